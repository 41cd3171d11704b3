/* fleet/secret.h - secrets we hand to foreign agents and tools: shapes and rules. Pure.
 *
 * A secret is shown once; what is kept is SHA-256 of its whole text, and a hint that tells keys apart. */
#ifndef MUSTER_FLEET_SECRET_H
#define MUSTER_FLEET_SECRET_H

#include "base/clock.h"
#include "base/crypto.h"
#include "base/names.h"
#include "base/str.h"

/* Numbers are on disk (struct credential). */
enum secret_kind {
    SECRET_SIGMA_KEY = 1,   /* sk_sigma_ + 40 hex digits of 20 random bytes (sigma 1.2) */
    SECRET_GRAPHEON_ENROLL, /* gaek_ + 43 base64url characters of 32 random bytes (grapheon 1.9) */
    SECRET_GRAPHEON_AGENT,  /* gpak_ + the same */
    SECRET_ARGUS_AGENT,     /* ag_live_ + 43 base64url characters of 32 random bytes (argus 2) */
    SECRET_ARGUS_VIEWER,    /* em_view_ + 27 base64url characters of 20 random bytes */
    SECRET_ARGUS_REPORTER,  /* em_live_ + 27: shares its shape with API tokens, see fleet/credential.h */
    SECRET_KINDS,
};
extern const struct name secret_kind_names[];

enum { SECRET_TEXT_MAX = 64, SECRET_HINT_MAX = 24 };
/* Makes the text from @random32 (as many of its bytes as the kind wants). */
void secret_make(enum secret_kind k, const uint8_t random32[32], char ret[SECRET_TEXT_MAX]);
/* Prefix, length and alphabet are right: worth hashing and looking up. */
bool secret_has_shape(enum secret_kind k, struct str s);
/* What is stored. */
void secret_hash(struct str s, uint8_t ret[SHA256_LEN]);
/* What is shown of it ever after: the prefix and the first characters behind it (15 for grapheon, so that the hint is the spec's 20
 * characters; 4 for the others). */
void secret_hint(enum secret_kind k, struct str s, char ret[SECRET_HINT_MAX]);

/* Private to fleet/: @n_out characters of @bits bits each from the front of @src; bits past its end are zero (RFC 4648, unpadded).
 * @dst has room for a NUL behind them. */
void secret__spell(const uint8_t *src, size_t n_src, unsigned bits, const char *alphabet, char *dst, size_t n_out);

#endif
