/* fleet/credential.c - see credential.h. */
#include "fleet/credential.h"

#include "base/text.h"
#include "fleet/secret.h"

static const char crockford[] = "0123456789abcdefghjkmnpqrstvwxyz";

/* An API token is shaped as the secret of Argus's reporters: what lies behind it decides. */
void api_token_make(const uint8_t random20[20], char ret[API_TOKEN_MAX])
{
    uint8_t random32[32] = { 0 };
    char text[SECRET_TEXT_MAX];

    memcpy(random32, random20, 20);
    secret_make(SECRET_ARGUS_REPORTER, random32, text);
    memcpy(ret, text, API_TOKEN_MAX);
}

bool api_token_has_shape(struct str s)
{
    return secret_has_shape(SECRET_ARGUS_REPORTER, s);
}

void api_token_hash(struct str token, uint8_t ret[SHA256_LEN])
{
    secret_hash(token, ret);
}

void install_code_make(const uint8_t random13[13], char ret[21])
{
    secret__spell(random13, 13, 5, crockford, ret, 20);
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

bool user_name_may_sign_up(struct str name)
{
    return user_name_is_acceptable(name) && !memchr(name.ptr, '@', name.len);
}

bool user_name_wins(uint64_t named_id, uint64_t addressed_id)
{
    return named_id <= addressed_id;
}
