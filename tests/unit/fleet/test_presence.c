/* tests/unit/fleet/test_presence.c - the promises of fleet/presence.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "fleet/presence.h"

#define S USEC_PER_SEC

static void rules_come_from_the_heartbeat_with_a_floor(void **state)
{
    (void)state;
    struct presence_rules r = presence_rules_for(10 * S);
    assert_int_equal(r.late_after, 20 * S);
    assert_int_equal(r.lost_after, 40 * S);
    r = presence_rules_for(1 * S);
    assert_int_equal(r.late_after, 5 * S);
    assert_int_equal(r.lost_after, 15 * S);
    r = presence_rules_for(USEC_NEVER);
    assert_int_equal(r.late_after, USEC_NEVER);
}

static void presence_by_age_one_under_exact_one_over(void **state)
{
    (void)state;
    struct presence_rules r = { 20, 40 };
    assert_int_equal(presence_at(&r, 0, true, 1000), PRESENCE_NEVER);
    assert_int_equal(presence_at(&r, 100, true, 119), PRESENCE_ONLINE);
    assert_int_equal(presence_at(&r, 100, true, 120), PRESENCE_LATE);
    assert_int_equal(presence_at(&r, 100, false, 119), PRESENCE_ONLINE);
    assert_int_equal(presence_at(&r, 100, false, 139), PRESENCE_LATE);
    assert_int_equal(presence_at(&r, 100, false, 140), PRESENCE_LOST);
    assert_int_equal(presence_at(&r, 100, true, 1000000),
                     PRESENCE_LATE);                                    /* the link lives: stuck, not gone */
    assert_int_equal(presence_at(&r, 100, false, 50), PRESENCE_ONLINE); /* the clock went back */
}

/* Between now and presence_next() nothing changes; at presence_next() something does. */
static void next_is_exactly_when_the_answer_changes(void **state)
{
    (void)state;
    static const struct presence_rules rules[] = { { 20, 40 }, { 5, 15 }, { 30, 30 }, { 40, 20 } };
    for (size_t k = 0; k < sizeof(rules) / sizeof(rules[0]); k++)
        for (int has_link = 0; has_link < 2; has_link++)
            for (usec_t last = 0; last <= 100; last += 50)
                for (usec_t now = 0; now < 250; now++) {
                    enum presence p = presence_at(&rules[k], last, has_link, now);
                    usec_t next = presence_next(&rules[k], last, has_link, now);
                    usec_t end = next == USEC_NEVER ? 1000 : next;
                    assert_true(next > now);
                    for (usec_t t = now; t < end; t++)
                        assert_int_equal(presence_at(&rules[k], last, has_link, t), p);
                    if (next != USEC_NEVER)
                        assert_int_not_equal(presence_at(&rules[k], last, has_link, next), p);
                }
}

static void over_a_restart_only_what_a_server_could_hear_counts(void **state)
{
    (void)state;
    /* last_seen, unsaved, newest, start -> from when */
    static const usec_t rows[][5] = {
        { 0, 60, 1000, 5000, 0 },          /* never */
        { 1000, 60, 1000, 5000, 5000 },    /* the newest of all: heard to the end */
        { 940, 60, 1000, 5000, 5000 },     /* perhaps too */
        { 939, 60, 1000, 5000, 4999 },     /* a second before the end */
        { 100, 60, 1000, 5000, 4160 },     /* long silent when it ended, and still is */
        { 939, 0, 1000, 5000, 4939 },      /* all is saved */
        { 1000, 60, 1000, 1000, 1000 },    /* no time between */
        { 5000, 60, 1000, 5000, 5000 },    /* heard since */
        { 6000, 60, 1000, 5000, 6000 },
        { 1000, 60, 900, 5000, 5000 },     /* another book than the one that @newest is of */
        { 100, 60, 1000, 500, 100 },       /* the clock was set back: never before it was heard */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(presence_over_restart(rows[i][0], rows[i][1], rows[i][2], rows[i][3]), rows[i][4]);
}

static void the_guides_words(void **state)
{
    (void)state;
    assert_string_equal(presence_status(PRESENCE_ONLINE, 0), "ready");
    assert_string_equal(presence_status(PRESENCE_ONLINE, 1), "busy");
    assert_string_equal(presence_status(PRESENCE_LATE, 1), "stale");
    assert_string_equal(presence_status(PRESENCE_LOST, 1), "disconnected");
    assert_string_equal(presence_status(PRESENCE_NEVER, 0), "disconnected");
}

static void the_interval_stretches_only_above_the_rate(void **state)
{
    (void)state;
    assert_int_equal(presence_interval(10 * S, 0, 2000), 10 * S);
    assert_int_equal(presence_interval(10 * S, 20000, 2000), 10 * S);
    assert_true(presence_interval(10 * S, 20001, 2000) > 10 * S);
    assert_int_equal(presence_interval(10 * S, 100000, 2000), 50 * S);
    assert_int_equal(presence_interval(10 * S, 100000, 0), 10 * S);
    for (uint64_t n = 1; n < 200000; n = n * 3 + 1) {
        usec_t every = presence_interval(S, n, 1500);
        assert_true(n * S <= every * 1500); /* never more than asked for */
        assert_int_equal(every % USEC_PER_MS, 0);
    }
    assert_true(presence_interval(S, UINT64_MAX, 1) > S);
}

static void reconnect_slots_bring_so_many_a_second(void **state)
{
    (void)state;
    int in_second[10] = { 0 };
    for (uint64_t i = 0; i < 1000; i++)
        in_second[presence_reconnect_slot(i, 1000, 100) / S]++;
    for (int k = 0; k < 10; k++)
        assert_int_equal(in_second[k], 100);
    assert_int_equal(presence_reconnect_slot(5, 10, 0), 0);
    assert_int_equal(presence_reconnect_slot(5, 0, 10), 0);
}

static void a_sample_with_a_number_of_no_machine_measures_nothing(void **state)
{
    (void)state;
    const struct heartbeat good = { .load1 = 0.5, .load5 = 3000, .cpu_pct = 100, .memory_used_bytes = UINT64_C(1) << 53,
                                    .uptime_s = 7, .running_tasks = 3, .ports = OFFER_YES, .metrics = OFFER_YES };
    struct heartbeat bad[9], is = heartbeat_checked(&good);

    assert_memory_equal(&is, &good, sizeof(is));
    for (size_t i = 0; i < 9; i++)
        bad[i] = good;
    bad[0].load1 = NAN;
    bad[1].load5 = INFINITY;
    bad[2].load15 = -0.01;
    bad[3].cpu_pct = 1e300;
    bad[4].memory_used_bytes++;
    bad[5].memory_total_bytes = UINT64_MAX;
    bad[6].disk_used_bytes = UINT64_MAX;
    bad[7].disk_total_bytes = UINT64_MAX;
    bad[8].uptime_s = UINT64_MAX;
    for (size_t i = 0; i < 9; i++) {
        is = heartbeat_checked(&bad[i]);
        assert_true(is.load1 == 0 && is.load5 == 0 && is.load15 == 0 && is.cpu_pct == 0);
        assert_true(is.memory_used_bytes + is.memory_total_bytes + is.disk_used_bytes + is.disk_total_bytes + is.uptime_s == 0);
        assert_int_equal(is.metrics, OFFER_NO);
        assert_int_equal(is.running_tasks, 3);
        assert_int_equal(is.ports, OFFER_YES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_come_from_the_heartbeat_with_a_floor),
        cmocka_unit_test(presence_by_age_one_under_exact_one_over),
        cmocka_unit_test(next_is_exactly_when_the_answer_changes),
        cmocka_unit_test(over_a_restart_only_what_a_server_could_hear_counts),
        cmocka_unit_test(the_guides_words),
        cmocka_unit_test(the_interval_stretches_only_above_the_rate),
        cmocka_unit_test(a_sample_with_a_number_of_no_machine_measures_nothing),
        cmocka_unit_test(reconnect_slots_bring_so_many_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
