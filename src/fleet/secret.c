/* fleet/secret.c - see secret.h. One row a kind: what it begins with, how it is spelled, how long. */
#include "fleet/secret.h"

#include <assert.h>

#include "base/mem.h"
#include "base/text.h"

const struct name secret_kind_names[] = {
    { SECRET_SIGMA_KEY, "sigma_key" },
    { SECRET_GRAPHEON_ENROLL, "grapheon_enroll" },
    { SECRET_GRAPHEON_AGENT, "grapheon_agent" },
    { SECRET_ARGUS_AGENT, "argus_agent" },
    { SECRET_ARGUS_VIEWER, "argus_viewer" },
    { SECRET_ARGUS_REPORTER, "argus_reporter" },
    NAMES_END,
};

static const char hex_digits[] = "0123456789abcdef";
static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static const struct shape {
    const char *prefix, *alphabet;
    uint8_t n_random, bits, n_chars, n_hint; /* bytes used; bits a character; characters; of them shown */
} shapes[SECRET_KINDS] = {
    [SECRET_SIGMA_KEY] = { "sk_sigma_", hex_digits, 20, 4, 40, 4 },
    [SECRET_GRAPHEON_ENROLL] = { "gaek_", base64url, 32, 6, 43, 15 },
    [SECRET_GRAPHEON_AGENT] = { "gpak_", base64url, 32, 6, 43, 15 },
    [SECRET_ARGUS_AGENT] = { "ag_live_", base64url, 32, 6, 43, 4 },
    [SECRET_ARGUS_VIEWER] = { "em_view_", base64url, 20, 6, 27, 4 },
    [SECRET_ARGUS_REPORTER] = { "em_live_", base64url, 20, 6, 27, 4 },
};

static const struct shape *shape_of(enum secret_kind k)
{
    assert(k >= SECRET_SIGMA_KEY && k < SECRET_KINDS);
    return &shapes[k];
}

/* Characters of @bits bits from the front of @src; bits past its end are zero (RFC 4648, unpadded). */
static void spell(const struct shape *s, const uint8_t *src, char *dst)
{
    for (size_t i = 0; i < s->n_chars; i++) {
        unsigned v = 0;
        for (size_t b = i * s->bits; b < (i + 1) * s->bits; b++)
            v = v << 1 | (b / 8 < s->n_random ? src[b / 8] >> (7 - b % 8) & 1u : 0);
        dst[i] = s->alphabet[v];
    }
    dst[s->n_chars] = '\0';
}

void secret_make(enum secret_kind k, const uint8_t random32[32], char ret[SECRET_TEXT_MAX])
{
    const struct shape *s = shape_of(k);
    size_t n = strlen(s->prefix);
    memcpy(ret, s->prefix, n);
    spell(s, random32, ret + n);
}

bool secret_has_shape(enum secret_kind k, struct str s)
{
    const struct shape *shape = shape_of(k);
    size_t n = strlen(shape->prefix);
    if (s.len != n + shape->n_chars || memcmp(s.ptr, shape->prefix, n) != 0)
        return false;
    for (size_t i = n; i < s.len; i++)
        if (!s.ptr[i] || !strchr(shape->alphabet, s.ptr[i]))
            return false;
    return true;
}

void secret_hash(struct str s, uint8_t ret[SHA256_LEN])
{
    sha256(s, ret);
}

void secret_hint(enum secret_kind k, struct str s, char ret[SECRET_HINT_MAX])
{
    const struct shape *shape = shape_of(k);
    struct str shown = str_sub(s, 0, strlen(shape->prefix) + shape->n_hint);
    (void)str_copy(shown, ret, SECRET_HINT_MAX);
}
