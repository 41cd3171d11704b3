/* tests/unit/fleet/test_secret.c - the promises of fleet/secret.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "fleet/credential.h"
#include "fleet/secret.h"

static const uint8_t zeros[32], counting[32] = { 0x00, 0x10, 0x83, 0x10, 0x51, 0x87, 0x20, 0x92, 0x8b, 0x30, 0xd3, 0x8f, 0x41,
                                                 0x14, 0x93, 0x51, 0x55, 0x97, 0x61, 0x96, 0x9b, 0x71, 0xd7, 0x9f, 0x82, 0x18,
                                                 0xa3, 0x92, 0x59, 0xa7, 0xa2, 0x9a };

static const struct {
    enum secret_kind kind;
    const char *prefix;
    size_t len, hint_len;
} kinds[] = {
    { SECRET_SIGMA_KEY, "sk_sigma_", 49, 13 },    { SECRET_GRAPHEON_ENROLL, "gaek_", 48, 20 },
    { SECRET_GRAPHEON_AGENT, "gpak_", 48, 20 },   { SECRET_ARGUS_AGENT, "ag_live_", 51, 12 },
    { SECRET_ARGUS_VIEWER, "em_view_", 35, 12 },  { SECRET_ARGUS_REPORTER, "em_live_", 35, 12 },
};

static void every_kind_has_its_prefix_length_and_hint(void **state)
{
    (void)state;
    assert_int_equal(sizeof(kinds) / sizeof(kinds[0]), SECRET_KINDS - 1);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char text[SECRET_TEXT_MAX], hint[SECRET_HINT_MAX];
        secret_make(kinds[i].kind, counting, text);
        assert_int_equal(strlen(text), kinds[i].len);
        assert_true(str_starts(str_of(text), str_of(kinds[i].prefix)));
        secret_hint(kinds[i].kind, str_of(text), hint);
        assert_int_equal(strlen(hint), kinds[i].hint_len);
        assert_memory_equal(hint, text, kinds[i].hint_len);
        assert_string_not_equal(name_of(secret_kind_names, (int)kinds[i].kind), "unknown");
    }
}

static void the_alphabets_are_hex_and_base64url(void **state)
{
    char text[SECRET_TEXT_MAX];
    (void)state;
    secret_make(SECRET_SIGMA_KEY, counting, text);
    assert_string_equal(text, "sk_sigma_00108310518720928b30d38f41149351559761" "96");
    secret_make(SECRET_GRAPHEON_AGENT, counting, text);
    assert_string_equal(text, "gpak_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopo");
    secret_make(SECRET_ARGUS_VIEWER, zeros, text);
    assert_string_equal(text, "em_view_AAAAAAAAAAAAAAAAAAAAAAAAAAA");
}

static void only_its_own_shape_is_worth_a_look(void **state)
{
    char text[SECRET_TEXT_MAX + 1];
    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        secret_make(kinds[i].kind, counting, text);
        size_t n = strlen(text);
        for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
            assert_int_equal(secret_has_shape(kinds[k].kind, str_of(text)), k == i);
        assert_false(secret_has_shape(kinds[i].kind, (struct str){ text, n - 1 }));
        text[n] = 'A';
        assert_false(secret_has_shape(kinds[i].kind, (struct str){ text, n + 1 }));
        for (const char *bad = "=+/ \n\0G"; bad < &"=+/ \n\0G"[7]; bad++) {
            if (*bad == 'G' && kinds[i].kind != SECRET_SIGMA_KEY)
                continue;
            char keep = text[n - 1];
            text[n - 1] = *bad;
            assert_false(secret_has_shape(kinds[i].kind, (struct str){ text, n }));
            text[n - 1] = keep;
        }
        assert_false(secret_has_shape(kinds[i].kind, STR("")));
        assert_false(secret_has_shape(kinds[i].kind, STR_NONE));
    }
}

static void a_reporter_secret_looks_like_an_api_token(void **state)
{
    char text[SECRET_TEXT_MAX], token[API_TOKEN_MAX];
    (void)state;
    secret_make(SECRET_ARGUS_REPORTER, counting, text);
    api_token_make(counting, token);
    assert_string_equal(text, token);
    assert_true(api_token_has_shape(str_of(text)));
}

static void what_is_kept_is_the_digest_of_the_whole_text(void **state)
{
    uint8_t got[SHA256_LEN], want[SHA256_LEN];
    char text[SECRET_TEXT_MAX];
    (void)state;
    secret_make(SECRET_SIGMA_KEY, counting, text);
    secret_hash(str_of(text), got);
    sha256(str_of(text), want);
    assert_memory_equal(got, want, SHA256_LEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_has_its_prefix_length_and_hint),
        cmocka_unit_test(the_alphabets_are_hex_and_base64url),
        cmocka_unit_test(only_its_own_shape_is_worth_a_look),
        cmocka_unit_test(a_reporter_secret_looks_like_an_api_token),
        cmocka_unit_test(what_is_kept_is_the_digest_of_the_whole_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
