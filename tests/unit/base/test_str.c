/* tests/unit/base/test_str.c - the promises of base/str.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/mem.h"
#include "base/str.h"

static void equality_and_order_are_of_the_bytes(void **state)
{
    (void)state;
    assert_true(str_eq(STR_NONE, STR("")));
    assert_true(str_eq_nocase(STR("Host-Name"), STR("hOST-nAME")));
    assert_false(str_eq_nocase(STR("a"), STR("ab")));
    assert_true(str_starts(STR("abc"), STR("ab")) && str_starts(STR("abc"), STR("")));
    assert_false(str_starts(STR("a"), STR("ab")));
    assert_true(str_ends(STR("abc"), STR("bc")));
    assert_false(str_ends(STR("c"), STR("bc")));
    assert_true(str_cmp(STR("a"), STR("b")) < 0);
    assert_true(str_cmp(STR("ab"), STR("a")) > 0);
    assert_int_equal(str_cmp(STR("x"), STR("x")), 0);
    assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
}

static void find_tells_the_first_place_or_minus_one(void **state)
{
    (void)state;
    assert_int_equal(str_find_char(STR("a=b=c"), '='), 1);
    assert_int_equal(str_find_char(STR_NONE, '='), -1);
    assert_int_equal(str_find(STR("hello"), STR("ll")), 2);
    assert_int_equal(str_find(STR("hello"), STR("")), 0);
    assert_int_equal(str_find(STR("l"), STR("ll")), -1);
}

static void sub_clamps_and_trim_takes_ascii_space(void **state)
{
    (void)state;
    assert_true(str_is(str_sub(STR("abc"), 1, 99), "bc"));
    assert_true(str_is(str_sub(STR("abc"), 9, 1), ""));
    assert_true(str_is(str_sub(STR("abc"), 0, SIZE_MAX), "abc"));
    assert_true(str_is(str_trim(STR(" \t\r\n a b \v\f")), "a b"));
    assert_true(str_is(str_trim(STR("   ")), ""));
}

static void cut_visits_empty_parts_and_ends(void **state)
{
    (void)state;
    static const char *const want[] = { "a", "", "b", "" };
    struct str rest = STR("a,,b,"), part;
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        assert_true(str_cut(&rest, ',', &part));
        assert_true(str_is(part, want[i]));
    }
    assert_false(str_cut(&rest, ',', &part));
    rest = STR("");
    assert_true(str_cut(&rest, ',', &part));
    assert_int_equal(part.len, 0);
    assert_false(str_cut(&rest, ',', &part));
    rest = STR_NONE;
    assert_false(str_cut(&rest, ',', &part));
}

static void word_skips_runs_of_space(void **state)
{
    (void)state;
    struct str rest = STR("  one\t two  "), word;
    assert_true(str_word(&rest, &word) && str_is(word, "one"));
    assert_true(str_word(&rest, &word) && str_is(word, "two"));
    assert_false(str_word(&rest, &word));
}

static void u64_takes_exactly_the_decimals_that_fit(void **state)
{
    (void)state;
    uint64_t v = 7;
    assert_int_equal(str_to_u64(STR("18446744073709551615"), &v), 0);
    assert_true(v == UINT64_MAX);
    v = 7;
    assert_int_equal(str_to_u64(STR("18446744073709551616"), &v), -ERANGE);
    static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "0x1", "1.0", "99999999999999999999x" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(str_to_u64(str_of(bad[i]), &v), -EINVAL);
    assert_int_equal(v, 7);
}

static void i64_reaches_both_ends(void **state)
{
    (void)state;
    int64_t v;
    assert_int_equal(str_to_i64(STR("-9223372036854775808"), &v), 0);
    assert_true(v == INT64_MIN);
    assert_int_equal(str_to_i64(STR("9223372036854775807"), &v), 0);
    assert_true(v == INT64_MAX);
    assert_int_equal(str_to_i64(STR("9223372036854775808"), &v), -ERANGE);
    assert_int_equal(str_to_i64(STR("-9223372036854775809"), &v), -ERANGE);
    assert_int_equal(str_to_i64(STR("-"), &v), -EINVAL);
    assert_int_equal(str_to_i64(STR("--1"), &v), -EINVAL);
}

static void f64_is_a_finite_json_number(void **state)
{
    (void)state;
    double v = 7;
    assert_int_equal(str_to_f64(STR("-12.5e-1"), &v), 0);
    assert_true(v == -1.25);
    static const char *const bad[] = { "", ".5", "5.", "01", "1e", "nan", "inf", "0x1p3", "1 ", "+1", "-" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(str_to_f64(str_of(bad[i]), &v), -EINVAL);
    assert_int_equal(str_to_f64(STR("1e999"), &v), -ERANGE);
}

static void hex_u64_takes_sixteen_digits(void **state)
{
    (void)state;
    uint64_t v;
    assert_int_equal(str_to_hex_u64(STR("fFfFffffffffffff"), &v), 0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(str_to_hex_u64(STR("10000000000000000"), &v), -ERANGE);
    assert_int_equal(str_to_hex_u64(STR("g"), &v), -EINVAL);
    assert_int_equal(str_to_hex_u64(STR(""), &v), -EINVAL);
}

static void durations_and_sizes_know_their_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t us;
    } durations[] = { { "30", 30000000 },
                      { "30s", 30000000 },
                      { "5m", 300000000 },
                      { "1h", 3600000000ULL },
                      { "7d", 604800000000ULL },
                      { "250ms", 250000 },
                      { "0", 0 } },
      sizes[] = { { "4096", 4096 },     { "64K", 65536 }, { "10M", 10485760 }, { "10GiB", 10737418240ULL },
                  { "1G", 1073741824 }, { "2kb", 2048 } };
    uint64_t v;
    for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
        assert_int_equal(str_to_duration_us(str_of(durations[i].text), &v), 0);
        assert_true(v == durations[i].us);
    }
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        assert_int_equal(str_to_size(str_of(sizes[i].text), &v), 0);
        assert_true(v == sizes[i].us);
    }
    assert_int_equal(str_to_duration_us(STR("5x"), &v), -EINVAL);
    assert_int_equal(str_to_duration_us(STR("s"), &v), -EINVAL);
    assert_int_equal(str_to_duration_us(STR("213503983d"), &v), -ERANGE);
    assert_int_equal(str_to_size(STR("16777216T"), &v), -ERANGE);
    assert_int_equal(str_to_size(STR("1.5G"), &v), -EINVAL);
}

static void copy_fits_exactly_or_leaves_an_empty_string(void **state)
{
    (void)state;
    char dst[4];
    assert_int_equal(str_copy(STR("abc"), dst, sizeof(dst)), 0);
    assert_string_equal(dst, "abc");
    assert_int_equal(str_copy(STR("abcd"), dst, sizeof(dst)), -ENAMETOOLONG);
    assert_string_equal(dst, "");
    AUTO_FREE char *s = str_dup(STR("a\0b"));
    assert_memory_equal(s, "a\0b", 4);
    assert_true(str_has_nul(STR("a\0b")));
    assert_false(str_has_nul(STR("ab")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equality_and_order_are_of_the_bytes),
        cmocka_unit_test(find_tells_the_first_place_or_minus_one),
        cmocka_unit_test(sub_clamps_and_trim_takes_ascii_space),
        cmocka_unit_test(cut_visits_empty_parts_and_ends),
        cmocka_unit_test(word_skips_runs_of_space),
        cmocka_unit_test(u64_takes_exactly_the_decimals_that_fit),
        cmocka_unit_test(i64_reaches_both_ends),
        cmocka_unit_test(f64_is_a_finite_json_number),
        cmocka_unit_test(hex_u64_takes_sixteen_digits),
        cmocka_unit_test(durations_and_sizes_know_their_units),
        cmocka_unit_test(copy_fits_exactly_or_leaves_an_empty_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
