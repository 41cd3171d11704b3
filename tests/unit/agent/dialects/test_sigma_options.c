/* The sigma agent's options and environment: agent/dialects/sigma_options.c (sigma 2.1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "../collect/tree.h"
#include "agent/dialects/sigma.h"
#include "base/log.h"
#include "base/mem.h"

extern char **environ;

static struct conf conf;
static struct sigma_options o;
static struct err err;

static int set_up(void **state)
{
    char *output = getenv("CMOCKA_MESSAGE_OUTPUT"); /* cmocka asks for every line; what runs us counts on its answer */

    (void)state;
    output = output ? xstrdup(output) : NULL;
    clearenv();
    if (output)
        setenv("CMOCKA_MESSAGE_OUTPUT", output, 1);
    free(output);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    conf_done(&conf);
    return 0;
}

static int load(const char *a, const char *b)
{
    char *argv[] = { xstrdup("sigma-agent"), a ? xstrdup(a) : NULL, b ? xstrdup(b) : NULL, NULL };
    int r;

    conf_done(&conf);
    err_reset(&err);
    r = sigma_options_load(&conf, &o, a ? b ? 3 : 2 : 1, argv, &err);
    for (size_t i = 0; argv[i]; i++)
        free(argv[i]);
    return r;
}

static void the_defaults_are_the_seeds(void **state)
{
    (void)state;
    assert_int_equal(load(NULL, NULL), 0);
    assert_string_equal(o.api_url, "http://localhost:3000/api");
    assert_null(o.api_key);
    assert_int_equal(o.interval_s, 60);
    assert_null(o.hostname);
    assert_null(o.alias);
    assert_int_equal(o.ssh_port, 22);
    assert_int_equal(o.metrics_port, 9102);
    assert_string_equal(o.metrics_bind, "0.0.0.0");
    assert_false(o.port_scan);
    assert_string_equal(o.port_scan_range, "10000-30000");
    assert_int_equal(o.port_scan_interval_s, 60);
    assert_int_equal(o.scan_method, PORT_BIND);
    assert_int_equal(o.max_allocate, 100);
    assert_false(o.keep_172);
    assert_true(o.port_requests);
    assert_int_equal(o.auth_backoff, 5 * USEC_PER_MIN);
    assert_true(str_starts(str_of(o.public_ip_url), STR("https://icanhazip.com/,https://ifconfig.me/ip,https://api.ipify.org/")));
}

static void every_variable_is_read_and_a_flag_beats_it(void **state)
{
    (void)state;
    setenv("SIGMA_API_URL", "https://s.example/api/", 1);
    setenv("SIGMA_API_KEY", "k", 1);
    setenv("AGENT_INTERVAL", "7", 1);
    setenv("AGENT_HOSTNAME", "h", 1);
    setenv("AGENT_ALIAS", "a", 1);
    setenv("AGENT_SSH_PORT", "2222", 1);
    setenv("AGENT_METRICS_PORT", "0", 1);
    setenv("AGENT_PORT_SCAN", "true", 1);
    setenv("AGENT_PORT_SCAN_RANGE", "5-6", 1);
    setenv("AGENT_PORT_SCAN_INTERVAL", "8", 1);
    assert_int_equal(load("--hostname=other", NULL), 0);
    assert_string_equal(o.api_url, "https://s.example/api/");
    assert_string_equal(o.api_key, "k");
    assert_int_equal(o.interval_s, 7);
    assert_string_equal(o.hostname, "other");
    assert_string_equal(o.alias, "a");
    assert_int_equal(o.ssh_port, 2222);
    assert_int_equal(o.metrics_port, 0);
    assert_true(o.port_scan);
    assert_string_equal(o.port_scan_range, "5-6");
    assert_int_equal(o.port_scan_interval_s, 8);
}

static void both_ways_of_giving_a_value_work(void **state)
{
    (void)state;
    assert_int_equal(load("--interval", "9"), 0);
    assert_int_equal(o.interval_s, 9);
    assert_int_equal(load("--interval=10", "--port-scan"), 0);
    assert_int_equal(o.interval_s, 10);
    assert_true(o.port_scan);
}

static void the_switch_in_the_environment_is_strict(void **state)
{
    static const struct {
        const char *value;
        int is_on; /* -1: refused */
    } rows[] = { { "true", 1 }, { "false", 0 }, { "1", 1 },   { "0", 0 },  { "yes", 1 },
                 { "no", 0 },   { "", -1 },     { "TRUE", -1 }, { "2", -1 }, { " true", -1 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int r;

        setenv("AGENT_PORT_SCAN", rows[i].value, 1);
        r = load(NULL, NULL);
        assert_int_equal(r, rows[i].is_on < 0 ? -EINVAL : 0);
        if (r == 0)
            assert_int_equal(o.port_scan, rows[i].is_on);
        setenv("AGENT_PORT_SCAN", rows[i].value, 1);
        assert_int_equal(load("--port-scan", NULL), 0); /* then it is not looked at */
        assert_true(o.port_scan);
    }
}

static void what_is_not_understood_is_refused(void **state)
{
    static const char *const bad[] = { "--nonsense", "word",  "--interval=x",           "--interval=-1",       "--metrics-port=65536",
                                       "--ssh-port", "--source=x", "--scan-method=guess", "--max-allocate=1001", "--max-allocate=0",
                                       "--public-ip=name" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(load(bad[i], NULL), -EINVAL);
        assert_true(err_is(&err));
    }
    assert_int_equal(load("--help", NULL), CONF_HELP);
    assert_int_equal(load("--version", NULL), CONF_VERSION);
}

static void zero_intervals_are_one_second(void **state)
{
    (void)state;
    assert_int_equal(load("--interval=0", "--port-scan-interval=0"), 0);
    assert_int_equal(o.interval_s, 1);
    assert_int_equal(o.port_scan_interval_s, 1);
}

static void nobody_is_asked_for_the_address_where_that_is_said(void **state)
{
    (void)state;
    assert_int_equal(load("--public-ip-url", ""), 0);
    assert_string_equal(o.public_ip_url, "");
    setenv("AGENT_PUBLIC_IP_URL", "none", 1);
    assert_int_equal(load(NULL, NULL), 0);
    assert_string_equal(o.public_ip_url, "");
    assert_int_equal(load("--public-ip=2001:db8::1", NULL), 0);
}

static void the_host_is_called_by_the_first_that_knows(void **state)
{
    struct tree t = { 0 }, *tp = &t;
    void *ts = NULL;
    char root[80];

    (void)state;
    (void)tp;
    assert_int_equal(tree_setup(&ts), 0);
    tp = ts;
    (void)snprintf(root, sizeof(root), "--root=%s", tp->root);
    for (int i = 0; i < 5; i++) {
        static const char *const want[] = { "unknown", "kernel", "kernel", "outer", "mine" };
        char *name;

        if (i == 1)
            tree_file(tp, "/proc/sys/kernel/hostname", " kernel \n");
        if (i == 2)
            tree_file(tp, "/etc/host_hostname", " \n");
        if (i == 3)
            tree_file(tp, "/etc/host_hostname", "outer\n");
        assert_int_equal(load(root, i == 4 ? "--hostname=mine" : "--hostname="), 0); /* empty: not said */
        name = sigma_hostname(&o);
        assert_string_equal(name, want[i]);
        free(name);
    }
    tree_teardown(&ts);
}

static void a_level_is_found_in_a_filter(void **state)
{
    (void)state;
    assert_int_equal(sigma_log_level("info"), LOG_INFO);
    assert_int_equal(sigma_log_level("warn"), LOG_WARN);
    assert_int_equal(sigma_log_level("sigma_agent=debug"), LOG_DEBUG);
    assert_int_equal(sigma_log_level("hyper=info,sigma_agent=trace"), LOG_TRACE);
    assert_int_equal(sigma_log_level("nonsense"), LOG_INFO);
    assert_int_equal(sigma_log_level(""), LOG_INFO);
}

#define T_(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T_(the_defaults_are_the_seeds),
        T_(every_variable_is_read_and_a_flag_beats_it),
        T_(both_ways_of_giving_a_value_work),
        T_(the_switch_in_the_environment_is_strict),
        T_(what_is_not_understood_is_refused),
        T_(zero_intervals_are_one_second),
        T_(nobody_is_asked_for_the_address_where_that_is_said),
        T_(the_host_is_called_by_the_first_that_knows),
        T_(a_level_is_found_in_a_filter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
