/* fleet/credential.c - see credential.h. */
#include "fleet/credential.h"

#include "base/text.h"

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char crockford[] = "0123456789abcdefghjkmnpqrstvwxyz";

/* @n_out characters of @bits bits each from the front of @src; bits past its end are zero. */
static void spell(const uint8_t *src, size_t n_src, unsigned bits, const char *alphabet, char *dst,
                  size_t n_out)
{
    for (size_t i = 0; i < n_out; i++) {
        unsigned v = 0;
        for (size_t b = i * bits; b < (i + 1) * bits; b++)
            v = v << 1 | (b / 8 < n_src ? src[b / 8] >> (7 - b % 8) & 1u : 0);
        dst[i] = alphabet[v];
    }
    dst[n_out] = '\0';
}

void api_token_make(const uint8_t random20[20], char ret[API_TOKEN_MAX])
{
    memcpy(ret, "em_live_", 8);
    spell(random20, 20, 6, base64url, ret + 8, 27);
}

bool api_token_has_shape(struct str s)
{
    if (s.len != API_TOKEN_LEN || !str_starts(s, STR("em_live_")))
        return false;
    for (size_t i = 8; i < s.len; i++)
        if (!s.ptr[i] || !strchr(base64url, s.ptr[i]))
            return false;
    return true;
}

void api_token_hash(struct str token, uint8_t ret[SHA256_LEN])
{
    sha256(token, ret);
}

void install_code_make(const uint8_t random13[13], char ret[21])
{
    spell(random13, 13, 5, crockford, ret, 20);
}

usec_t certificate_renew_at(usec_t not_before, usec_t not_after)
{
    if (not_after <= not_before)
        return not_before;
    usec_t life = not_after - not_before;
    return not_before + life / 3 * 2 + life % 3 * 2 / 3;
}

bool password_is_acceptable(struct str password)
{
    return password.len >= 8 && password.len <= 1024 && !str_has_nul(password) && utf8_is_valid(password);
}

bool user_name_is_acceptable(struct str name)
{
    if (name.len < 1 || name.len > 64)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!is_plain && (i == 0 || (c != '.' && c != '_' && c != '@' && c != '-')))
            return false;
    }
    return true;
}
