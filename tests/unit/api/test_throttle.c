/* tests/unit/api/test_throttle.c - the promises of api/throttle.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <stdio.h>

#include "api/throttle.h"

static const usec_t t0 = 1000 * USEC_PER_SEC;

static void a_burst_is_let_through_and_one_more_waits(void **state)
{
    AUTO(throttle_free) struct throttle *t = throttle_new(16, 3, USEC_PER_SEC);

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(throttle_take(t, STR("a"), t0), 0);
    assert_int_equal(throttle_take(t, STR("a"), t0), USEC_PER_SEC);
}

static void a_refusal_takes_nothing_and_says_exactly_when(void **state)
{
    AUTO(throttle_free) struct throttle *t = throttle_new(16, 1, USEC_PER_SEC);

    (void)state;
    assert_int_equal(throttle_take(t, STR("a"), t0), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(throttle_take(t, STR("a"), t0 + 400000), 600000);
    assert_int_equal(throttle_take(t, STR("a"), t0 + USEC_PER_SEC - 1), 1);
    assert_int_equal(throttle_take(t, STR("a"), t0 + USEC_PER_SEC), 0);
}

static void keys_do_not_disturb_each_other(void **state)
{
    AUTO(throttle_free) struct throttle *t = throttle_new(16, 1, USEC_PER_SEC);

    (void)state;
    assert_int_equal(throttle_take(t, STR("a"), t0), 0);
    assert_int_equal(throttle_take(t, STR("b"), t0), 0);
    assert_int_not_equal(throttle_take(t, STR("a"), t0), 0);
}

static void peeking_takes_nothing_and_returning_gives_back(void **state)
{
    AUTO(throttle_free) struct throttle *t = throttle_new(16, 1, USEC_PER_SEC);

    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(throttle_peek(t, STR("a"), t0), 0);
    assert_int_equal(throttle_take(t, STR("a"), t0), 0);
    assert_int_not_equal(throttle_peek(t, STR("a"), t0), 0);
    throttle_return(t, STR("a"), t0);
    assert_int_equal(throttle_take(t, STR("a"), t0), 0);
}

static void no_interval_is_no_limit(void **state)
{
    AUTO(throttle_free) struct throttle *t = throttle_new(16, 1, 0);

    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(throttle_take(t, STR("a"), t0), 0);
}

/* A table of 8 keys and 10,000 addresses: whoever is limited most is kept longest. */
static void a_full_table_keeps_who_is_limited_most(void **state)
{
    AUTO(throttle_free) struct throttle *t = throttle_new(8, 10, USEC_PER_SEC);
    char key[16];

    (void)state;
    while (throttle_take(t, STR("bad"), t0) == 0) {
    }
    for (int i = 0; i < 10000; i++) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(throttle_take(t, str_of(key), t0), 0);
    }
    assert_int_not_equal(throttle_take(t, STR("bad"), t0), 0);
}

static void an_ipv6_address_counts_by_its_network(void **state)
{
    char a[64], b[64];

    (void)state;
    assert_true(str_eq(throttle_address("2001:db8:1:2::5", a), throttle_address("2001:db8:1:2:aaaa::9", b)));
    assert_false(str_eq(throttle_address("2001:db8:1:2::5", a), throttle_address("2001:db8:1:3::5", b)));
    assert_true(str_is(throttle_address("192.0.2.1", a), "192.0.2.1"));
    assert_true(str_is(throttle_address("::1", a), "::1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_is_let_through_and_one_more_waits),
        cmocka_unit_test(a_refusal_takes_nothing_and_says_exactly_when),
        cmocka_unit_test(keys_do_not_disturb_each_other),
        cmocka_unit_test(peeking_takes_nothing_and_returning_gives_back),
        cmocka_unit_test(no_interval_is_no_limit),
        cmocka_unit_test(a_full_table_keeps_who_is_limited_most),
        cmocka_unit_test(an_ipv6_address_counts_by_its_network),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
