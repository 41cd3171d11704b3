/* tests/unit/base/test_clock.c - the promises of base/clock.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/clock.h"
#include "base/mem.h"

static void known_moments_are_written_and_read(void **state)
{
    (void)state;
    static const struct {
        usec_t wall;
        const char *text;
    } rows[] = {
        { 0, "1970-01-01T00:00:00Z" },
        { 951782399ULL * USEC_PER_SEC, "2000-02-28T23:59:59Z" },
        { 951782400ULL * USEC_PER_SEC, "2000-02-29T00:00:00Z" },
        { 4107542400ULL * USEC_PER_SEC, "2100-03-01T00:00:00Z" },
        { 1795327005ULL * USEC_PER_SEC, "2026-11-22T05:56:45Z" },
        { 253402300799ULL * USEC_PER_SEC, "9999-12-31T23:59:59Z" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[CLOCK_TEXT_MAX];
        usec_t wall;
        clock_format(rows[i].wall, 0, text);
        assert_string_equal(text, rows[i].text);
        assert_int_equal(clock_parse(str_of(text), &wall), 0);
        assert_true(wall == rows[i].wall);
    }
}

static void every_day_of_five_centuries_survives_the_round_trip(void **state)
{
    (void)state;
    for (usec_t day = 0; day < 365 * 530; day++) {
        char text[CLOCK_TEXT_MAX];
        usec_t wall = day * USEC_PER_DAY + day % 86400 * USEC_PER_SEC + day, back;
        clock_format(wall, 6, text);
        assert_int_equal(clock_parse(str_of(text), &back), 0);
        assert_true(back == wall);
    }
}

static void fractions_and_offsets(void **state)
{
    (void)state;
    char text[CLOCK_TEXT_MAX];
    usec_t wall;
    clock_format(1123456, 3, text);
    assert_string_equal(text, "1970-01-01T00:00:01.123Z");
    clock_format(1123456, 6, text);
    assert_string_equal(text, "1970-01-01T00:00:01.123456Z");
    assert_int_equal(clock_parse(STR("1970-01-01T02:30:01.5+02:30"), &wall), 0);
    assert_true(wall == 1500000);
    assert_int_equal(clock_parse(STR("1969-12-31t23:00:00-01:00"), &wall), 0);
    assert_true(wall == 0);
    assert_int_equal(clock_parse(STR("1970-01-01 00:00:00.123456789z"), &wall), 0);
    assert_true(wall == 123456);
    clock_format(USEC_NEVER, 6, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999999Z");
}

static void what_is_no_moment_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "2026",
        "2026-11-22",
        "2026-11-22T05:56:45",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-11-31T00:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T05:60:00Z",
        "2026-11-22T05:56:61Z",
        "2026-11-22T05:56:45.Z",
        "2026-11-22T05:56:45Zx",
        "2026-11-22T05:56:45+24:00",
        "2026-11-22T05:56:45+0100",
        "1969-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "+026-01-01T00:00:00Z",
    };
    usec_t wall = 7;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(clock_parse(str_of(bad[i]), &wall), -EINVAL);
    struct str whole = STR("2026-11-22T05:56:45.123Z");
    for (size_t n = 0; n < whole.len; n++)
        assert_int_equal(clock_parse(str_sub(whole, 0, n), &wall), -EINVAL);
    assert_true(wall == 7);
}

static void the_hand_clock_stands_until_turned(void **state)
{
    (void)state;
    struct clock c = clock_hand(5 * USEC_PER_SEC);
    usec_t mono = clock_mono(&c);
    assert_true(clock_wall(&c) == 5 * USEC_PER_SEC);
    clock_turn(&c, USEC_PER_MIN);
    assert_true(clock_wall(&c) == 65 * USEC_PER_SEC);
    assert_true(clock_mono(&c) == mono + USEC_PER_MIN);
    usec_t real = clock_mono(&clock_real);
    assert_true(clock_mono(&clock_real) >= real);
    assert_true(clock_wall(&clock_real) > 1700000000ULL * USEC_PER_SEC);
}

static void ages_are_short(void **state)
{
    (void)state;
    static const struct {
        usec_t age;
        const char *text;
    } rows[] = {
        { 0, "0s" },
        { 3999999, "3s" },
        { 5 * USEC_PER_MIN + 59 * USEC_PER_SEC, "5m" },
        { 2 * USEC_PER_HOUR + 10 * USEC_PER_MIN, "2h 10m" },
        { 2 * USEC_PER_HOUR, "2h" },
        { 4 * USEC_PER_DAY + USEC_PER_HOUR, "4d" },
        { USEC_NEVER, "213503982d" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[CLOCK_TEXT_MAX];
        clock_format_age(rows[i].age, text);
        assert_string_equal(text, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_moments_are_written_and_read),
        cmocka_unit_test(every_day_of_five_centuries_survives_the_round_trip),
        cmocka_unit_test(fractions_and_offsets),
        cmocka_unit_test(what_is_no_moment_is_refused),
        cmocka_unit_test(the_hand_clock_stands_until_turned),
        cmocka_unit_test(ages_are_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
