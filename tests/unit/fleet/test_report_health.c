/* tests/unit/fleet/test_report_health.c - the promises of fleet/report_health.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet/report_health.h"

#define SEEN (1000 * USEC_PER_DAY)

static struct report_pace living(void)
{
    return (struct report_pace){
        .state = HOST_APPROVED, .is_switched_on = true, .last_seen_at = SEEN, .approved_at = SEEN - USEC_PER_DAY, .interval_s = 600, .jitter_s = 60
    };
}

static void it_is_overdue_one_moment_after_interval_jitter_and_timer(void **state)
{
    struct report_pace p = living();
    usec_t due = SEEN + (600 + 60 + REPORT_TIMER_S) * USEC_PER_SEC;
    (void)state;

    assert_true(report_due_at(&p) == due);
    assert_false(report_is_overdue(&p, SEEN));
    assert_false(report_is_overdue(&p, due - 1));
    assert_false(report_is_overdue(&p, due));
    assert_true(report_is_overdue(&p, due + 1));
}

static void who_never_came_is_counted_from_when_it_was_let_in(void **state)
{
    struct report_pace p = living();
    (void)state;

    p.last_seen_at = 0;
    assert_true(report_due_at(&p) == SEEN - USEC_PER_DAY + (600 + 60 + REPORT_TIMER_S) * USEC_PER_SEC);
    p.approved_at = 0;
    assert_true(report_due_at(&p) == 0);
    assert_false(report_is_overdue(&p, USEC_NEVER));
}

static void who_was_let_in_again_gets_its_time_again(void **state)
{
    struct report_pace p = living();
    (void)state;

    p.approved_at = SEEN + USEC_PER_DAY;
    assert_false(report_is_overdue(&p, SEEN + USEC_PER_DAY + USEC_PER_MIN));
}

static void nothing_is_expected_of_who_is_not_let_in_or_switched_off(void **state)
{
    struct report_pace p = living();
    (void)state;

    for (int s = HOST_PENDING; s <= HOST_REVOKED; s++) {
        p.state = (enum host_state)s;
        assert_int_equal(report_is_overdue(&p, USEC_NEVER), s == HOST_APPROVED);
    }
    p = living();
    p.is_switched_on = false;
    assert_false(report_is_overdue(&p, USEC_NEVER));
}

static void a_collector_fails_when_it_should_have_told(void **state)
{
    (void)state;
    assert_false(report_collector_fails(SECTION_OK));
    assert_false(report_collector_fails(SECTION_DISABLED));
    assert_true(report_collector_fails(SECTION_FAILED));
    assert_true(report_collector_fails(SECTION_MISSING));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_overdue_one_moment_after_interval_jitter_and_timer),
        cmocka_unit_test(who_never_came_is_counted_from_when_it_was_let_in),
        cmocka_unit_test(who_was_let_in_again_gets_its_time_again),
        cmocka_unit_test(nothing_is_expected_of_who_is_not_let_in_or_switched_off),
        cmocka_unit_test(a_collector_fails_when_it_should_have_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
