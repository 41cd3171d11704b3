/* When a heartbeat is due: agent/dialects/sigma.c (sigma 2.2, a fixed-rate schedule). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>

#include "agent/dialects/sigma.h"

#define S USEC_PER_SEC

static void beats_lie_on_a_grid_whatever_the_server_takes(void **state)
{
    usec_t due = 100 * S;

    (void)state;
    srand(1);
    for (int i = 1; i <= 1000; i++) { /* each answer comes up to an interval late: none is left out, none drifts */
        usec_t answered = due + (usec_t)rand() % (60 * S);

        due = sigma_next_beat(due, 60 * S, answered, 0);
        assert_true(due == 100 * S + (usec_t)i * 60 * S);
    }
}

static void one_that_is_still_under_way_is_not_overtaken(void **state)
{
    (void)state;
    assert_true(sigma_next_beat(100 * S, 60 * S, 160 * S - 1, 0) == 160 * S);
    assert_true(sigma_next_beat(100 * S, 60 * S, 160 * S, 0) == 220 * S);
    assert_true(sigma_next_beat(100 * S, 60 * S, 100 * S + 3600 * S + 1, 0) == 100 * S + 61 * 60 * S);
}

static void a_server_that_asks_for_patience_gets_the_next_point_after_it(void **state)
{
    (void)state;
    assert_true(sigma_next_beat(100 * S, 60 * S, 101 * S, 160 * S) == 160 * S);
    assert_true(sigma_next_beat(100 * S, 60 * S, 101 * S, 160 * S + 1) == 220 * S);
    assert_true(sigma_next_beat(500 * S, 60 * S, 101 * S, 160 * S) == 500 * S); /* it lies ahead already */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beats_lie_on_a_grid_whatever_the_server_takes),
        cmocka_unit_test(one_that_is_still_under_way_is_not_overtaken),
        cmocka_unit_test(a_server_that_asks_for_patience_gets_the_next_point_after_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
