/* tests/unit/fleet/test_credential.c - the promises of fleet/credential.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "fleet/credential.h"

static void a_token_is_its_random_bytes_in_base64url(void **state)
{
    (void)state;
    uint8_t random[20];
    char token[API_TOKEN_MAX];
    for (int round = 0; round < 256; round++) {
        for (int i = 0; i < 20; i++)
            random[i] = (uint8_t)(round * 37 + i * 101);
        api_token_make(random, token);
        assert_int_equal(strlen(token), API_TOKEN_LEN);
        assert_true(api_token_has_shape(str_of(token)));
        AUTO(buf_done) struct buf b = BUF(64);
        assert_int_equal(base64url_encode(&b, str_bytes(random, 20)), 0);
        assert_int_equal(b.len, 27);
        assert_memory_equal(b.ptr, token + 8, 27);
    }
}

static void shape_is_exact(void **state)
{
    (void)state;
    static const char good[] = "em_live_ABCDEFGHIJKLMNOPQRSTUVWXY-_";
    assert_true(api_token_has_shape(str_of(good)));
    for (size_t n = 0; n < sizeof(good) - 1; n++)
        assert_false(api_token_has_shape(str_bytes(good, n)));
    for (size_t i = 0; i < sizeof(good) - 1; i++)
        for (int c = 0; c < 2; c++) {
            char bad[sizeof(good)];
            memcpy(bad, good, sizeof(good));
            bad[i] = c ? '\0' : '+';
            assert_false(api_token_has_shape(str_bytes(bad, sizeof(good) - 1)));
        }
    assert_false(api_token_has_shape(STR("em_live_ABCDEFGHIJKLMNOPQRSTUVWXY-_=")));
    assert_false(api_token_has_shape(STR("ag_live_ABCDEFGHIJKLMNOPQRSTUVWXY-_")));
    uint8_t a[SHA256_LEN], b[SHA256_LEN];
    api_token_hash(str_of(good), a);
    sha256(str_of(good), b);
    assert_memory_equal(a, b, SHA256_LEN);
}

static void an_install_code_is_20_characters_without_i_l_o_u(void **state)
{
    (void)state;
    uint8_t random[13];
    char code[21], other[21];
    memset(random, 0, 13);
    install_code_make(random, code);
    assert_string_equal(code, "00000000000000000000");
    memset(random, 0xff, 13);
    install_code_make(random, code);
    assert_string_equal(code, "zzzzzzzzzzzzzzzzzzzz");
    for (int i = 0; i < 100; i++) { /* each of the 100 bits matters */
        memset(random, 0, 13);
        random[i / 8] = (uint8_t)(0x80 >> i % 8);
        install_code_make(random, other);
        assert_int_equal(strspn(other, "0123456789abcdefghjkmnpqrstvwxyz"), 20);
        assert_string_not_equal(other, "00000000000000000000");
    }
}

static void certificates_are_renewed_at_two_thirds(void **state)
{
    (void)state;
    assert_int_equal(certificate_renew_at(1000, 1300), 1200);
    assert_int_equal(certificate_renew_at(0, USEC_NEVER), USEC_NEVER / 3 * 2);
    assert_int_equal(certificate_renew_at(10, 10), 10);
    assert_int_equal(certificate_renew_at(10, 5), 10);
    for (usec_t life = 0; life < 100; life++)
        assert_int_equal(certificate_renew_at(7, 7 + life), 7 + life * 2 / 3);
}

static void passwords_have_8_to_1024_bytes_of_text(void **state)
{
    (void)state;
    char p[1026];
    memset(p, 'p', sizeof(p));
    assert_false(password_is_acceptable(str_bytes(p, 7)));
    assert_true(password_is_acceptable(str_bytes(p, 8)));
    assert_true(password_is_acceptable(str_bytes(p, 1024)));
    assert_false(password_is_acceptable(str_bytes(p, 1025)));
    assert_false(password_is_acceptable(str_bytes("abc\0defgh", 9)));
    assert_false(password_is_acceptable(STR("\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8")));
    assert_true(password_is_acceptable(STR("p\xc3\xa4sswort")));
}

static void user_names(void **state)
{
    (void)state;
    char n[66];
    memset(n, 'a', sizeof(n));
    assert_true(user_name_is_acceptable(STR("a")));
    assert_true(user_name_is_acceptable(STR("0a.b_c@d-e")));
    assert_true(user_name_is_acceptable(str_bytes(n, 64)));
    assert_false(user_name_is_acceptable(str_bytes(n, 65)));
    assert_false(user_name_is_acceptable(STR("")));
    assert_false(user_name_is_acceptable(STR("Alice")));
    assert_false(user_name_is_acceptable(STR(".alice")));
    assert_false(user_name_is_acceptable(STR("-x")));
    assert_false(user_name_is_acceptable(STR("a b")));
    assert_true(user_name_may_sign_up(STR("0a.b_c-d")));
    assert_false(user_name_may_sign_up(STR("a@b")));
    assert_false(user_name_may_sign_up(STR("A")));
    assert_true(user_name_wins(1, 2) && user_name_wins(2, 2));
    assert_false(user_name_wins(3, 2));
    assert_false(user_name_is_acceptable(str_bytes("a\0b", 3)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_its_random_bytes_in_base64url),
        cmocka_unit_test(shape_is_exact),
        cmocka_unit_test(an_install_code_is_20_characters_without_i_l_o_u),
        cmocka_unit_test(certificates_are_renewed_at_two_thirds),
        cmocka_unit_test(passwords_have_8_to_1024_bytes_of_text),
        cmocka_unit_test(user_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
