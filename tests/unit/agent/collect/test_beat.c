/* tests/unit/agent/collect/test_beat.c - the heartbeat's sample. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "tree.h"

static void put_stat(struct tree *t, unsigned busy, unsigned idle)
{
    char text[128];
    snprintf(text, sizeof(text), "cpu  %u 0 0 %u 0 0 0 0 0 0\ncpu0 1 2 3 4 5\n", busy, idle);
    tree_file(t, "/proc/stat", text);
}

static void cpu_percent_is_zero_the_first_time_and_the_share_since_then(void **state)
{
    struct tree *t = *state;
    struct beat_state st = { 0 };
    struct heartbeat h;
    put_stat(t, 100, 900);
    assert_int_equal(collect_beat(&st, t->root, &h), 0);
    assert_true(h.cpu_pct == 0);
    put_stat(t, 125, 975);
    assert_int_equal(collect_beat(&st, t->root, &h), 0);
    assert_true(h.cpu_pct == 25);
    /* nothing happened */
    assert_int_equal(collect_beat(&st, t->root, &h), 0);
    assert_true(h.cpu_pct == 0);
    /* the counters went back */
    put_stat(t, 1, 2);
    assert_int_equal(collect_beat(&st, t->root, &h), 0);
    assert_true(h.cpu_pct == 0);
}

static void the_sample_has_load_memory_uptime_and_disk(void **state)
{
    struct tree *t = *state;
    struct beat_state st = { 0 };
    struct heartbeat h = { .running_tasks = 7 };
    put_stat(t, 1, 1);
    tree_file(t, "/proc/loadavg", "0.50 1.25 2.00 1/100 4711\n");
    tree_file(t, "/proc/uptime", "12345.67 90000.00\n");
    tree_file(t, "/proc/meminfo", "MemTotal:  1000 kB\nMemFree: 10 kB\nMemAvailable:   400 kB\n");
    assert_int_equal(collect_beat(&st, t->root, &h), 0);
    assert_true(h.load1 == 0.5 && h.load5 == 1.25 && h.load15 == 2);
    assert_int_equal(h.uptime_s, 12345);
    assert_int_equal(h.memory_total_bytes, 1000 * 1024);
    assert_int_equal(h.memory_used_bytes, 600 * 1024);
    assert_true(h.disk_total_bytes > 0 && h.disk_used_bytes <= h.disk_total_bytes);
    assert_int_equal(h.running_tasks, 0);
    /* Garbled is not zero. */
    static const char *const bad[][2] = { { "/proc/loadavg", "junk\n" }, { "/proc/loadavg", "-1 0 0\n" }, { "/proc/uptime", "\x01\n" },
                                          { "/proc/meminfo", "MemTotal: 0 kB\n" }, { "/proc/meminfo", "MemTotal: 9 kB\nMemAvailable: x\n" } };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tree_file(t, "/proc/loadavg", "0.50 1.25 2.00 1/100 4711\n");
        tree_file(t, "/proc/uptime", "12345.67 90000.00\n");
        tree_file(t, "/proc/meminfo", "MemTotal: 1000 kB\n");
        assert_int_equal(collect_beat(&st, t->root, &h), 0);
        tree_file(t, bad[i][0], bad[i][1]);
        assert_int_equal(collect_beat(&st, t->root, &h), -EBADMSG);
    }
}

static void without_proc_stat_it_says_so(void **state)
{
    struct tree *t = *state;
    struct beat_state st = { 0 };
    struct heartbeat h;
    assert_int_equal(collect_beat(&st, t->root, &h), -ENOENT);
    tree_file(t, "/proc/stat", "intr 5\n");
    assert_int_equal(collect_beat(&st, t->root, &h), -EBADMSG);
    tree_file(t, "/proc/stat", "cpu 1 2 99999999999999999999999 4\n");
    assert_int_equal(collect_beat(&st, t->root, &h), -EBADMSG);
    tree_file(t, "/proc/stat", "cpu");
    assert_int_equal(collect_beat(&st, t->root, &h), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cpu_percent_is_zero_the_first_time_and_the_share_since_then, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(the_sample_has_load_memory_uptime_and_disk, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(without_proc_stat_it_says_so, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
