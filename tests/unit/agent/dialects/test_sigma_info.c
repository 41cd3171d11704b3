/* system_info: agent/dialects/sigma_info.c against a fake tree (sigma 2.4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/statvfs.h>

#include "../collect/tree.h"
#include "agent/dialects/sigma.h"
#include "codec/json.h"

static const char *info(const struct tree *t, uint16_t metrics_port, const struct port_scan *scan)
{
    static char text[4096];
    AUTO(buf_done) struct buf b = BUF(4000);
    struct jw w = JW(&b);

    sigma_info_write(t->root, metrics_port, scan, 100, &w);
    assert_int_equal(jw_done(&w), 0);
    (void)snprintf(text, sizeof(text), "%.*s", STR_FMT(buf_as_str(&b)));
    return text;
}

static unsigned long long disk(const struct tree *t)
{
    struct statvfs st;

    assert_int_equal(statvfs(t->root, &st), 0);
    return (unsigned long long)st.f_blocks * st.f_frsize >> 30;
}

static void keys_are_in_order_and_values_floored(void **state)
{
    struct tree *t = *state;
    char want[512];

    tree_file(t, "/proc/cpuinfo", "processor\t: 0\nmodel name\t: x\n\nprocessor\t: 1\nphysical processor : 7\n");
    tree_file(t, "/proc/meminfo", "MemTotal:       24683519 kB\nMemFree: 1 kB\nMemTotal: 5 kB\n");
    tree_file(t, "/proc/uptime", "2324.97 4000.01\n");
    tree_file(t, "/proc/loadavg", "0.75 0.48 0.54 1/200 3000\n");
    (void)snprintf(want, sizeof(want),
                   "{\"cpu_cores\":2,\"disk_gb\":%llu,\"load_avg\":[0.75,0.48,0.54],\"metrics_port\":9102,\"ram_mb\":24104,\"uptime_seconds\":2324}",
                   disk(t));
    assert_string_equal(info(t, 9102, NULL), want);
}

static void what_cannot_be_read_is_zero_and_a_port_that_is_off_absent(void **state)
{
    struct tree *t = *state;
    char want[512];

    (void)snprintf(want, sizeof(want), "{\"cpu_cores\":0,\"disk_gb\":%llu,\"load_avg\":[],\"ram_mb\":0,\"uptime_seconds\":0}", disk(t));
    assert_string_equal(info(t, 0, NULL), want);
}

static void odd_sources_do_no_harm(void **state)
{
    struct tree *t = *state;

    tree_file(t, "/proc/loadavg", "0.75 0.48 nan\n");
    assert_non_null(strstr(info(t, 0, NULL), "\"load_avg\":[],"));
    tree_file(t, "/proc/loadavg", "0.75 1e5 0.1\n");
    assert_non_null(strstr(info(t, 0, NULL), "\"load_avg\":[],"));
    tree_file(t, "/proc/loadavg", "00.75 0.1 0.1\n");
    assert_non_null(strstr(info(t, 0, NULL), "\"load_avg\":[],"));
    tree_file(t, "/proc/loadavg", "10.75 0.1 0.10\n");
    assert_non_null(strstr(info(t, 0, NULL), "\"load_avg\":[10.75,0.1,0.10],"));
    tree_file(t, "/proc/meminfo", "MemTotal: much kB\n");
    tree_file(t, "/proc/uptime", "-1.0\n");
    assert_non_null(strstr(info(t, 0, NULL), "\"ram_mb\":0,\"uptime_seconds\":0}"));
}

static void a_scan_is_told_with_its_bounds(void **state)
{
    struct tree *t = *state;
    struct port_scan s = { .first = 10000, .last = 30000, .total = 20001, .available = 19999, .reserved = 3, .duration_us = 1499, .at = 1 };

    assert_non_null(strstr(info(t, 1, &s), "\"metrics_port\":1,\"port_scan\":{\"available\":19999,\"duration_ms\":1,\"end\":30000,"
                                           "\"max_count\":100,\"reserved\":3,\"start\":10000,\"total\":20001},\"ram_mb\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_are_in_order_and_values_floored, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_zero_and_a_port_that_is_off_absent, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(odd_sources_do_no_harm, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_scan_is_told_with_its_bounds, tree_setup, tree_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
