/* tests/unit/base/test_text.c - the promises of base/text.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/mem.h"
#include "base/text.h"

static void hex_round_trip_and_refusals(void **state)
{
    (void)state;
    char text[9];
    uint8_t bytes[4];
    hex_encode("\x00\x7f\x80\xff", 4, text);
    assert_string_equal(text, "007f80ff");
    assert_int_equal(hex_decode(STR("007F80fF"), bytes, 4), 0);
    assert_memory_equal(bytes, "\x00\x7f\x80\xff", 4);
    assert_int_equal(hex_decode(STR("007f80f"), bytes, 4), -EINVAL);
    assert_int_equal(hex_decode(STR("007f80ff0"), bytes, 4), -EINVAL);
    assert_int_equal(hex_decode(STR("007f80fg"), bytes, 4), -EINVAL);
}

static void base64_vectors_of_rfc_4648(void **state)
{
    (void)state;
    static const char *const rows[][2] = { { "", "" },
                                           { "f", "Zg==" },
                                           { "fo", "Zm8=" },
                                           { "foo", "Zm9v" },
                                           { "foob", "Zm9vYg==" },
                                           { "fooba", "Zm9vYmE=" },
                                           { "foobar", "Zm9vYmFy" } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(buf_done) struct buf b = BUF(64);
        assert_int_equal(base64_encode(&b, str_of(rows[i][0])), 0);
        assert_true(str_is(buf_as_str(&b), rows[i][1]));
        buf_reset(&b);
        assert_int_equal(base64_decode(&b, str_of(rows[i][1])), 0);
        assert_true(str_is(buf_as_str(&b), rows[i][0]));
    }
}

static void base64_takes_both_alphabets_and_no_padding(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF(64);
    assert_int_equal(base64url_encode(&b, STR("\xfb\xff\xfe\x01")), 0);
    assert_true(str_is(buf_as_str(&b), "-__-AQ"));
    buf_reset(&b);
    assert_int_equal(base64_decode(&b, STR("-__-AQ")), 0);
    assert_memory_equal(b.ptr, "\xfb\xff\xfe\x01", 4);
    buf_reset(&b);
    assert_int_equal(base64_decode(&b, STR("+//+AQ==")), 0);
    assert_int_equal(b.len, 4);
}

static void base64_refuses_noise_and_bent_endings(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF(64);
    static const char *const bad[] = { "A",   "AAAAA", "AA A", "AA\nA", "AB",
                                       "AA=", "=",     "====", "AAA=A", "QR==" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(base64_decode(&b, str_of(bad[i])), -EINVAL);
    assert_int_equal(b.len, 0);
    struct buf small = BUF(2);
    assert_int_equal(base64_decode(&small, STR("Zm9v")), -ENOBUFS);
    assert_int_equal(base64_encode(&small, STR("f")), -ENOBUFS);
    assert_int_equal(small.len, 0);
    buf_done(&small);
}

static void utf8_is_strict(void **state)
{
    (void)state;
    static const char *const good[] = { "",
                                        "abc",
                                        "\xc2\x80",
                                        "\xe0\xa0\x80",
                                        "\xed\x9f\xbf",
                                        "\xef\xbf\xbf",
                                        "\xf0\x90\x80\x80",
                                        "\xf4\x8f\xbf\xbf" };
    static const char *const bad[] = { "\x80",
                                       "\xc0\xaf",
                                       "\xc1\xbf",
                                       "\xc2",
                                       "\xe0\x9f\xbf",
                                       "\xed\xa0\x80",
                                       "\xf0\x8f\xbf\xbf",
                                       "\xf4\x90\x80\x80",
                                       "\xf5\x80\x80\x80",
                                       "\xff",
                                       "a\xe2\x82" };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(utf8_is_valid(str_of(good[i])));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(utf8_is_valid(str_of(bad[i])));
}

static void a_split_character_is_held_back_at_every_point(void **state)
{
    (void)state;
    struct str s = STR("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z");
    static const size_t want[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11 };
    for (size_t n = 0; n <= s.len; n++)
        assert_int_equal(utf8_whole_prefix(str_sub(s, 0, n)), want[n]);
    /* bytes that can never become a character are not held back */
    assert_int_equal(utf8_whole_prefix(STR("a\xff")), 2);
    assert_int_equal(utf8_whole_prefix(STR("a\x80\x80")), 3);
}

static void lossy_replaces_only_what_is_wrong(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF(64);
    assert_int_equal(utf8_lossy(&b, STR("a\xff"
                                        "b\xe2\x82")),
                     0);
    assert_true(str_is(buf_as_str(&b), "a\xef\xbf\xbd"
                                       "b\xef\xbf\xbd"));
    assert_true(utf8_is_valid(buf_as_str(&b)));
    struct buf small = BUF(3);
    assert_int_equal(utf8_lossy(&small, STR("a\xff")), -ENOBUFS);
    assert_int_equal(small.len, 0);
    buf_done(&small);
}

static void columns_of_wide_and_combining(void **state)
{
    (void)state;
    assert_int_equal(utf8_columns(STR("abc")), 3);
    assert_int_equal(utf8_columns(STR("\xe6\xbc\xa2")), 2);
    assert_int_equal(utf8_columns(STR("e\xcc\x81")), 1);
    assert_int_equal(utf8_columns(STR("\xc3\xa9")), 1);
}

static void printable_leaves_no_control_character(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF(256);
    assert_int_equal(text_printable(&b, STR("a\x1b[0m\t\n\x7f\xc2\x9b\xff\xc3\xa9\xe2\x80\xae")), 0);
    assert_true(str_is(buf_as_str(&b), "a\\x1B[0m\\x09\\x0A\\x7F\\xC2\\x9B\\xFF\xc3\xa9\\xE2\\x80\\xAE"));
}

static void secrets_compare_by_value(void **state)
{
    (void)state;
    assert_true(secret_eq(STR("abc"), STR("abc")));
    assert_false(secret_eq(STR("abc"), STR("abd")));
    assert_false(secret_eq(STR("abc"), STR("ab")));
    assert_true(secret_eq(STR_NONE, STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_round_trip_and_refusals),
        cmocka_unit_test(base64_vectors_of_rfc_4648),
        cmocka_unit_test(base64_takes_both_alphabets_and_no_padding),
        cmocka_unit_test(base64_refuses_noise_and_bent_endings),
        cmocka_unit_test(utf8_is_strict),
        cmocka_unit_test(a_split_character_is_held_back_at_every_point),
        cmocka_unit_test(lossy_replaces_only_what_is_wrong),
        cmocka_unit_test(columns_of_wide_and_combining),
        cmocka_unit_test(printable_leaves_no_control_character),
        cmocka_unit_test(secrets_compare_by_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
