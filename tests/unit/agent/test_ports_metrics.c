/* Promises of agent/ports_metrics.c: the families of sigma 2.7, in order, escaped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "agent/ports.h"
#include "base/mem.h"

static struct loop *loop;

static void stop(void *ctx)
{
    (void)ctx;
    loop_stop(loop);
}

static void without_a_scan_every_known_source_is_there_and_zero(void **state)
{
    static const char want[] = "# HELP sigma_ports_total Ports in the scanned range.\n"
                               "# TYPE sigma_ports_total gauge\n"
                               "sigma_ports_total{hostname=\"h1\"} 0\n"
                               "\n"
                               "# HELP sigma_ports_available Ports of the range a server could bind now.\n"
                               "# TYPE sigma_ports_available gauge\n"
                               "sigma_ports_available{hostname=\"h1\"} 0\n"
                               "\n"
                               "# HELP sigma_ports_used Ports of the range in use, by who uses them.\n"
                               "# TYPE sigma_ports_used gauge\n"
                               "sigma_ports_used{hostname=\"h1\",source=\"envoy\"} 0\n"
                               "sigma_ports_used{hostname=\"h1\",source=\"sshd\"} 0\n"
                               "sigma_ports_used{hostname=\"h1\",source=\"nginx\"} 0\n"
                               "sigma_ports_used{hostname=\"h1\",source=\"node_exporter\"} 0\n"
                               "sigma_ports_used{hostname=\"h1\",source=\"other\"} 0\n"
                               "sigma_ports_used{hostname=\"h1\",source=\"unknown\"} 0\n"
                               "\n"
                               "# HELP sigma_port_scan_duration_seconds How long the last scan took.\n"
                               "# TYPE sigma_port_scan_duration_seconds gauge\n"
                               "sigma_port_scan_duration_seconds{hostname=\"h1\"} 0.000\n";
    AUTO(buf_done) struct buf b = BUF(64 << 10);

    (void)state;
    assert_int_equal(ports_metrics(NULL, STR("h1"), &b), 0);
    assert_true(str_starts(buf_as_str(&b), str_of(want)));
    assert_non_null(strstr(buf_as_cstr(&b), "\nsigma_ports_reserved{hostname=\"h1\"} 0\n"));
    assert_non_null(strstr(buf_as_cstr(&b), "\nsigma_port_scan_last_success_timestamp_seconds{hostname=\"h1\"} 0.000\n"));
}

static void a_scan_prints_its_numbers_and_other_sources_behind_the_known(void **state)
{
    struct port_source more = { "xr\"ay", "xray" };
    struct clock clock = clock_hand(1795341379627400);
    struct ports_conf conf = { .root = "", .first = 31000, .last = 31009, .method = PORT_BIND, .max_count = 10, .sources = &more,
                               .n_sources = 1, .clock = &clock, .scanned = stop };
    AUTO(ports_free) struct ports *p = NULL;
    AUTO(buf_done) struct buf b = BUF(64 << 10);
    struct ports_result *r;

    (void)state;
    conf.loop = loop;
    assert_int_equal(ports_new(&conf, &p, NULL), 0);
    ports_scan_now(p);
    loop_run(loop);
    r = (struct ports_result *)(uintptr_t)ports_result(p); /* what the machine has there is not what this is about */
    r->scan.available = 4;
    r->scan.duration_us = 287400;
    memcpy(r->used, (uint32_t[]){ 1, 0, 2, 0, 0, 1, 2 }, 7 * sizeof(uint32_t));
    assert_int_equal(ports_metrics(p, STR("h"), &b), 0);
    for (const char *const *want = (const char *const[]){ "\nsigma_ports_total{hostname=\"h\"} 10\n", "\nsigma_ports_available{hostname=\"h\"} 4\n",
                                                          "source=\"envoy\"} 1\n", "source=\"nginx\"} 2\n",
                                                          "source=\"unknown\"} 1\nsigma_ports_used{hostname=\"h\",source=\"xr\\\"ay\"} 2\n",
                                                          "\nsigma_port_scan_duration_seconds{hostname=\"h\"} 0.287\n",
                                                          "\nsigma_ports_in_use{hostname=\"h\"} 6\n",
                                                          "timestamp_seconds{hostname=\"h\"} 1795341379.627\n", NULL };
         *want; want++)
        if (!strstr(buf_as_cstr(&b), *want))
            fail_msg("no %s in\n%s", *want, buf_as_cstr(&b));
}

static void labels_are_escaped(void **state)
{
    AUTO(buf_done) struct buf b = BUF(64 << 10);

    (void)state;
    assert_int_equal(ports_metrics(NULL, STR("a\"b\\c\nd\xc3\xa9"), &b), 0);
    assert_non_null(strstr(buf_as_cstr(&b), "sigma_ports_total{hostname=\"a\\\"b\\\\c\\nd\xc3\xa9\"} 0\n"));
}

static void what_does_not_fit_is_not_begun(void **state)
{
    AUTO(buf_done) struct buf b = BUF(100);

    (void)state;
    buf_cstr(&b, "before");
    assert_int_equal(ports_metrics(NULL, STR("h"), &b), -ENOBUFS);
    assert_int_equal(b.len, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_scan_every_known_source_is_there_and_zero),
        cmocka_unit_test(a_scan_prints_its_numbers_and_other_sources_behind_the_known),
        cmocka_unit_test(labels_are_escaped),
        cmocka_unit_test(what_does_not_fit_is_not_begun),
    };
    int r;

    loop = loop_new();
    r = cmocka_run_group_tests(tests, NULL, NULL);
    loop_free(loop);
    return r;
}
