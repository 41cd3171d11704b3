/* agent/dialects/grapheon_verify.c - `grapheon-agent verify`: signature and hashes of a release, offline. See grapheon_release.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/dialects/grapheon.h"
#include "agent/dialects/grapheon_release.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/text.h"

enum { SIGNATURE_BYTES = 64, READ_BYTES = 64 << 10 };

/* -- reading */
static int read_small(const char *path, size_t max, struct buf *b, struct err *err)
{
    int r;

    *b = BUF(max);
    r = fd_read_file(path, b);
    return r < 0 ? err_set(err, r, "release.read", "cannot read %s: %m", path) : 0;
}

static int hash_file(const char *path, uint64_t *ret_bytes, uint8_t ret[SHA256_LEN])
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    AUTO_FREE char *room = NULL;
    struct sha256_state *st;
    struct stat sb;
    ssize_t n = 0;
    int r = 0;

    if (fd < 0 || fstat(fd, &sb) < 0)
        return -errno;
    if (!S_ISREG(sb.st_mode))
        return -EINVAL;
    st = sha256_new();
    room = xmalloc(READ_BYTES);
    *ret_bytes = 0;
    while (r == 0 && (n = read(fd, room, READ_BYTES)) != 0) {
        if (n > 0) {
            sha256_add(st, str_bytes(room, (size_t)n));
            *ret_bytes += (uint64_t)n;
        } else if (errno != EINTR) {
            r = -errno;
        }
    }
    sha256_finish(st, ret);
    sha256_free(st);
    return r;
}

static char *beside(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');

    return slash ? xasprintf("%.*s%s", (int)(slash + 1 - path), path, name) : xstrdup(name);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static const struct release_file *named(const struct release_manifest *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->files[i].name, name) == 0)
            return &m->files[i];
    return NULL;
}

/* -- which manifest? */
static bool names_it(const char *path, const char *name)
{
    AUTO(buf_done) struct buf b = { 0 };
    struct release_manifest m;

    return read_small(path, RELEASE_MANIFEST_BYTES, &b, NULL) == 0 && release__manifest(buf_as_str(&b), &m, NULL) == 0 &&
           named(&m, name);
}

/* The only manifest beside @file that names it. NULL and @err: none, or several. */
static char *find_manifest(const char *file, struct err *err)
{
    AUTO_FREE char *dir = beside(file, ".");
    AUTO_FREE char *found = NULL;
    DIR *d = opendir(dir);
    bool several = false;

    for (struct dirent *e; d && (e = readdir(d));) {
        AUTO_FREE char *path = NULL;

        if (!str_ends(str_of(e->d_name), STR(".manifest")))
            continue;
        path = beside(file, e->d_name);
        if (!names_it(path, base_name(file)))
            continue;
        several = several || found;
        free(found);
        found = TAKE(path);
    }
    if (d)
        (void)closedir(d);
    if (several)
        (void)err_set(err, -EEXIST, "release.manifest", "several manifests name %s: --manifest says which", base_name(file));
    else if (!found)
        (void)err_set(err, -ENOENT, "release.manifest", "no manifest beside %s names it: --manifest says where it is", file);
    return several ? NULL : TAKE(found);
}

/* -- signature */
/* 1 and @ret_key; 0: there is none; -errno and @err. */
static int key_of(const struct release_check *c, uint8_t ret_key[32], struct err *err)
{
    AUTO(buf_done) struct buf b = { 0 };

    if (c->key_file) {
        if (read_small(c->key_file, RELEASE_KEY_BYTES, &b, err) < 0)
            return -ENOENT;
        if (release__key(buf_as_str(&b), ret_key) < 0)
            return err_set(err, -EINVAL, "release.key", "%s holds no Ed25519 public key", c->key_file);
        return 1;
    }
    if (!c->pinned || !c->pinned[0])
        return 0;
    return release__key(str_of(c->pinned), ret_key) < 0
               ? err_set(err, -EINVAL, "release.key", "the key built into this program is no Ed25519 public key")
               : 1;
}

static enum release_verdict check_signature(const struct release_check *c, const char *path, struct str text, struct buf *out,
                                            struct err *err)
{
    AUTO_FREE char *sig_path = xasprintf("%s.sig", path);
    AUTO(buf_done) struct buf sig = { 0 };
    uint8_t key[32];
    int has_key = key_of(c, key, err);

    if (has_key < 0) /* what is built in is our own mistake and no reason to look for another key */
        return c->key_file ? RELEASE_NO_KEY : RELEASE_FAILED;
    if (has_key == 0 && !c->hashes_only) {
        (void)err_set(err, -ENOKEY, "release.key",
                      "no key is built into this program: --key FILE names the public key of the release's maker");
        return RELEASE_NO_KEY;
    }
    if (has_key == 0) {
        (void)buf_printf(out, "unsigned  %s: whoever can write the files can write the manifest\n", path);
        return RELEASE_GOOD;
    }
    if (c->hashes_only) {
        (void)err_set(err, -EPERM, "release.unsigned", "there is a key to check with: --hashes-only is refused");
        return RELEASE_REFUSED;
    }
    if (read_small(sig_path, SIGNATURE_BYTES, &sig, err) < 0) {
        err_prefix(err, "the manifest is not signed");
        return RELEASE_REFUSED;
    }
    if (sig.len != SIGNATURE_BYTES || ed25519_verify(key, text, (const uint8_t *)sig.ptr) < 0) {
        (void)err_set(err, -EBADMSG, "release.signature", "%s is no signature of %s by %s", sig_path, path,
                      c->key_file ? c->key_file : "the key built into this program");
        return RELEASE_REFUSED;
    }
    (void)buf_printf(out, "signed    %s\n", path);
    return RELEASE_GOOD;
}

/* -- files */
/* 1 good, 0 not here, -1 not as named or not readable. */
static int check_file(const char *manifest, const char *path, const struct release_file *f, struct buf *out)
{
    AUTO_FREE char *at = path ? xasprintf("%s", path) : beside(manifest, f->name);
    uint8_t sum[SHA256_LEN];
    uint64_t n;
    int r = hash_file(at, &n, sum);

    if (r == -ENOENT) {
        (void)buf_printf(out, "not here  %s\n", f->name);
        return 0;
    }
    if (r < 0)
        (void)buf_printf(out, "BAD       %s: cannot be read: %s\n", f->name, strerror(-r));
    else if (n != f->n_bytes)
        (void)buf_printf(out, "BAD       %s: has %llu bytes, not %llu\n", f->name, (unsigned long long)n,
                         (unsigned long long)f->n_bytes);
    else if (memcmp(sum, f->sha256, sizeof(sum)) != 0)
        (void)buf_printf(out, "BAD       %s: its SHA-256 is another\n", f->name);
    else
        (void)buf_printf(out, "good      %s\n", f->name);
    return r == 0 && n == f->n_bytes && memcmp(sum, f->sha256, sizeof(sum)) == 0 ? 1 : -1;
}

static enum release_verdict check_files(const struct release_check *c, const char *manifest, const struct release_manifest *m,
                                        bool all, struct buf *out, struct err *err)
{
    const struct release_file *one = all ? NULL : named(m, base_name(c->file));
    unsigned n_good = 0, n_bad = 0;

    if (!all && !one) {
        (void)err_set(err, -ENOENT, "release.file", "%s does not name %s", manifest, base_name(c->file));
        return RELEASE_REFUSED;
    }
    (void)buf_printf(out, "version   %s\n", m->version);
    for (size_t i = 0; i < m->n; i++) {
        int r = all || &m->files[i] == one ? check_file(manifest, all ? NULL : c->file, &m->files[i], out) : 0;

        n_good += r > 0;
        n_bad += r < 0;
    }
    if (n_bad > 0) {
        (void)err_set(err, -EBADMSG, "release.file", "%u of the files are not what the manifest says", n_bad);
        return RELEASE_REFUSED;
    }
    if (n_good == 0) {
        (void)err_set(err, -ENOENT, "release.file", "none of the files is beside %s", manifest);
        return RELEASE_FAILED;
    }
    return RELEASE_GOOD;
}

static bool is_manifest_file(const char *path)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    char head[64];
    ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof(head));

    return n > 0 && release__is_manifest(str_bytes(head, (size_t)n));
}

enum release_verdict release__check(const struct release_check *c, struct buf *out, struct err *err)
{
    bool all = !c->manifest && is_manifest_file(c->file);
    AUTO_FREE char *path = all ? xasprintf("%s", c->file) : c->manifest ? xasprintf("%s", c->manifest) : NULL;
    AUTO(buf_done) struct buf text = { 0 };
    struct release_manifest m;
    enum release_verdict v;

    if (access(c->file, R_OK) < 0) {
        (void)err_set(err, -errno, "release.read", "cannot read %s: %m", c->file);
        return RELEASE_FAILED;
    }
    if (!path)
        path = find_manifest(c->file, err);
    if (!path || read_small(path, RELEASE_MANIFEST_BYTES, &text, err) < 0)
        return RELEASE_FAILED;
    v = check_signature(c, path, buf_as_str(&text), out, err); /* before a word of it is read */
    if (v != RELEASE_GOOD)
        return v;
    if (release__manifest(buf_as_str(&text), &m, err) < 0)
        return RELEASE_REFUSED;
    return check_files(c, path, &m, all, out, err);
}

/* -- the command line */
static const char usage[] =
    "usage: grapheon-agent verify [--key FILE] [--manifest FILE] [--hashes-only] [--exit-codes plain|fine] FILE\n"
    "\nFILE is a release's manifest, or one of the files it names: tarball, Debian package, RPM.\n"
    "\n  --key FILE       public key of the release's maker, Ed25519, PEM (default: the one built in, if any)\n"
    "  --manifest FILE  when it is not beside FILE; its signature is FILE.sig\n"
    "  --hashes-only    without a signature; refused when there is a key\n"
    "  --exit-codes HOW plain: 0 good, 1 not. fine: 5 refused, 78 no key, 1 something cannot be read\n";

static bool read_args(int argc, char **argv, struct release_check *c, bool *ret_fine)
{
    const struct {
        const char *flag, **at;
    } texts[] = { { "--key", &c->key_file }, { "--manifest", &c->manifest } };

    for (int k = 1; k < argc; k++) {
        bool is_known = strcmp(argv[k], "--hashes-only") == 0;

        c->hashes_only = c->hashes_only || is_known;
        for (size_t i = 0; !is_known && i < ARRAY_SIZE(texts); i++)
            if (strcmp(argv[k], texts[i].flag) == 0 && k + 1 < argc) {
                *texts[i].at = argv[++k];
                is_known = true;
            }
        if (!is_known && strcmp(argv[k], "--exit-codes") == 0 && k + 1 < argc) {
            *ret_fine = strcmp(argv[++k], "fine") == 0;
            is_known = *ret_fine || strcmp(argv[k], "plain") == 0;
        }
        if (is_known)
            continue;
        if (argv[k][0] == '-' || c->file)
            return false;
        c->file = argv[k];
    }
    return c->file;
}

int grapheon__verify(int argc, char **argv)
{
    static const int fine_codes[] = { [RELEASE_GOOD] = GRAPHEON_EXIT_OK,
                                      [RELEASE_NO_KEY] = GRAPHEON_EXIT_CONFIG,
                                      [RELEASE_REFUSED] = GRAPHEON_EXIT_REFUSED,
                                      [RELEASE_FAILED] = GRAPHEON_EXIT_FAILED };
    struct release_check c = { .pinned = GRAPHEON_RELEASE_KEY };
    AUTO(buf_done) struct buf out = BUF(64 << 10);
    struct err err = { 0 };
    enum release_verdict v;
    bool fine = false;

    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        return fd_write_all(STDOUT_FILENO, usage, sizeof(usage) - 1) == 0 ? GRAPHEON_EXIT_OK : GRAPHEON_EXIT_FAILED;
    if (!read_args(argc, argv, &c, &fine)) {
        (void)fd_write_all(STDERR_FILENO, usage, sizeof(usage) - 1);
        return GRAPHEON_EXIT_USAGE;
    }
    v = release__check(&c, &out, &err);
    if (fd_write_all(STDOUT_FILENO, out.ptr, out.len) < 0)
        return GRAPHEON_EXIT_FAILED;
    if (v != RELEASE_GOOD)
        (void)fprintf(stderr, "grapheon-agent: %s\n", err.text);
    return fine ? fine_codes[v] : v == RELEASE_GOOD ? GRAPHEON_EXIT_OK : GRAPHEON_EXIT_FAILED;
}
