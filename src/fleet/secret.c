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

void secret__spell(const uint8_t *src, size_t n_src, unsigned bits, const char *alphabet, char *dst, size_t n_out)
{
    for (size_t i = 0; i < n_out; i++) {
        unsigned v = 0;
        for (size_t b = i * bits; b < (i + 1) * bits; b++)
            v = v << 1 | (b / 8 < n_src ? src[b / 8] >> (7 - b % 8) & 1u : 0);
        dst[i] = alphabet[v];
    }
    dst[n_out] = '\0';
}

void secret_make(enum secret_kind k, const uint8_t random32[32], char ret[SECRET_TEXT_MAX])
{
    const struct shape *s = shape_of(k);
    size_t n = strlen(s->prefix);
    memcpy(ret, s->prefix, n);
    secret__spell(random32, s->n_random, s->bits, s->alphabet, ret + n, s->n_chars);
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
