/* agent/dialects/grapheon_release.h - is this release ours? A manifest names every file of a release with its size and SHA-256, and
 * an Ed25519 signature beside it (MANIFEST.sig, 64 bytes, over the whole text) says who wrote it. Offline; one thread.
 *
 *   grapheon-agent release manifest 1
 *   version 0.3.1
 *   9f86d081...  812345  grapheon-agent-v0.3.1.tar.gz
 *
 * Lines end with a line feed, columns are two blanks apart; packaging/grapheon/build-manifest.sh writes it. */
#ifndef MUSTER_AGENT_DIALECTS_GRAPHEON_RELEASE_H
#define MUSTER_AGENT_DIALECTS_GRAPHEON_RELEASE_H

#include "base/buf.h"
#include "base/crypto.h"
#include "base/err.h"
#include "wire/report.h"

enum {
    RELEASE_MANIFEST_BYTES = 16 << 10,
    RELEASE_FILES_MAX = 32,
    RELEASE_NAME_MAX = 128,
    RELEASE_KEY_BYTES = 4096, /* of a key's file */
};

struct release_file {
    uint8_t sha256[SHA256_LEN];
    uint64_t n_bytes;
    char name[RELEASE_NAME_MAX + 1]; /* never with a slash, never hidden */
};
struct release_manifest {
    char version[REPORT_VERSION_MAX + 1];
    size_t n;
    struct release_file files[RELEASE_FILES_MAX];
};

/* -- grapheon_manifest.c: pure */
/* Reads the whole of @text, strictly. 0, or -EBADMSG and @err: release.manifest with the line. */
int release__manifest(struct str text, struct release_manifest *ret, struct err *err);
/* Does @text begin as a manifest does, of this version or another? */
bool release__is_manifest(struct str text);
/* A public key: PEM as openssl writes it, the base64 in it, or base64 of the bare 32 bytes. 0 or -EINVAL. */
int release__key(struct str text, uint8_t ret[32]);

/* -- grapheon_verify.c */
struct release_check {
    const char *file;     /* a manifest, or a file that one names */
    const char *manifest; /* NULL: the one beside @file that names it */
    const char *key_file; /* NULL: @pinned */
    const char *pinned;   /* of the build; NULL or "": none */
    bool hashes_only;     /* without a signature; refused when there is a key */
};
enum release_verdict { RELEASE_GOOD, RELEASE_NO_KEY, RELEASE_REFUSED, RELEASE_FAILED };
/* Checks signature, then size and hash: of @file, or of every file that is beside the manifest (at least one). Writes a line each to
 * @out. RELEASE_GOOD; otherwise @err says why: no key to check with, not what was signed, or something cannot be read. */
enum release_verdict release__check(const struct release_check *c, struct buf *out, struct err *err);

/* `verify`: argv[0] is the word. The exit code. */
int grapheon__verify(int argc, char **argv);

#endif
