/* tests/unit/server/test_options.c - the promises of server/options.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "server/options.h"

struct run {
    struct conf c;
    struct options o;
    const char *words[4];
    size_t n;
    struct err err;
    int r;
};

static void load(struct run *x, int argc, const char *const *argv)
{
    char *copy[16] = { 0 };

    *x = (struct run){ 0 };
    for (int i = 0; i < argc; i++)
        copy[i] = xstrdup(argv[i]);
    x->r = options_load(&x->c, &x->o, argc, copy, x->words, 4, &x->n, &x->err);
    for (size_t i = 0; i < x->n; i++) /* words point into argv: name them by the originals */
        for (int k = 0; k < argc; k++)
            if (copy[k] == x->words[i])
                x->words[i] = argv[k];
    for (int i = 0; i < argc; i++)
        free(copy[i]);
}
#define LOAD(x, ...)                                                                                         \
    do {                                                                                                     \
        const char *const argv__[] = { "musterd", ##__VA_ARGS__ };                                           \
        load((x), (int)ARRAY_SIZE(argv__), argv__);                                                          \
    } while (0)

static void defaults_differ_by_mode(void **state)
{
    struct listen_at at;
    struct run x;

    (void)state;
    LOAD(&x);
    assert_int_equal(x.r, CONF_OK);
    assert_int_equal(options_listen(&x.o, &at, NULL), 0);
    assert_string_equal(at.addr, "0.0.0.0");
    assert_int_equal(at.port, 8120);
    assert_string_equal(options_state_dir(&x.o), "/var/lib/muster");
    conf_done(&x.c);

    LOAD(&x, "--dev");
    assert_int_equal(options_listen(&x.o, &at, NULL), 0);
    assert_string_equal(at.addr, "127.0.0.1");
    assert_true(at.is_loopback);
    assert_string_equal(options_state_dir(&x.o), "./var/server");
    conf_done(&x.c);
}

static void words_and_flags_may_stand_in_any_order(void **state)
{
    struct run x;

    (void)state;
    LOAD(&x, "backup", "--state-dir", "/x", "file", "--dev");
    assert_int_equal(x.r, CONF_OK);
    assert_int_equal(x.n, 2);
    assert_string_equal(x.words[0], "backup");
    assert_string_equal(x.words[1], "file");
    assert_string_equal(x.o.state_dir, "/x");
    assert_true(x.o.dev);
    conf_done(&x.c);

    LOAD(&x, "--dev", "config", "dump", "--origin");
    assert_int_equal(x.n, 3);
    assert_string_equal(x.words[2], "--origin");
    conf_done(&x.c);

    LOAD(&x, "a", "b", "c", "d", "e");
    assert_true(x.r < 0);
    conf_done(&x.c);
}

static void a_listen_address_is_taken_whole_or_refused(void **state)
{
    static const char *const good[] = { "127.0.0.1:1", "[::1]:65533", "localhost:0", ":9000",
                                        "0.0.0.0:8120" };
    static const char *const bad[] = { "8120",           "127.0.0.1", "127.0.0.1:", "127.0.0.1:65534",
                                       "host.example:1", "[::1:80",   "1.2.3:80",   "1.2.3.4:-1" };
    struct listen_at at;
    struct err err = { 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct options o = { .listen = (char *)(uintptr_t)good[i] };

        if (options_listen(&o, &at, &err) < 0)
            fail_msg("%s: %s", good[i], err.text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct options o = { .listen = (char *)(uintptr_t)bad[i] };

        assert_int_equal(options_listen(&o, &at, &err), -EINVAL);
    }
}

static void development_mode_stays_on_this_machine(void **state)
{
    struct run x;

    (void)state;
    LOAD(&x, "--dev", "--listen", "192.0.2.1:8120");
    assert_true(x.r < 0);
    assert_non_null(strstr(x.err.text, "loopback"));
    conf_done(&x.c);
}

static void a_file_is_read_and_its_mistakes_are_named(void **state)
{
    char path[] = "/tmp/muster-test-options-XXXXXX";
    int fd = mkstemp(path);
    struct run x;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, "heartbeat: 20s\nlog:\n  level: warn\n", 34), 0);
    LOAD(&x, "--config", path, "--heartbeat", "5s");
    assert_int_equal(x.r, CONF_OK);
    assert_int_equal(x.o.heartbeat, 5 * USEC_PER_SEC);
    assert_int_equal(x.o.log_level, LOG_WARN);
    conf_done(&x.c);

    assert_int_equal(fd_write_all(fd, "no-such: 1\n", 11), 0);
    LOAD(&x, "--config", path);
    assert_true(x.r < 0);
    assert_non_null(strstr(x.err.text, "no-such"));
    conf_done(&x.c);

    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, "current: x\ncontexts:\n  x: y\n", 28, 0), 28);
    LOAD(&x, "--config", path);
    assert_true(x.r < 0);
    assert_non_null(strstr(x.err.text, "is the file of muster, the command line (it has current);"));
    conf_done(&x.c);
    (void)close(fd);
    (void)unlink(path);

    LOAD(&x, "--config", "/nonexistent/file");
    assert_int_equal(x.r, -ENOENT);
    conf_done(&x.c);
}

static void the_guides_variables_are_taken(void **state)
{
    struct run x;

    (void)state;
    (void)setenv("LOG_LEVEL", "error", 1);
    (void)setenv("METRICS_ENABLED", "0", 1);
    (void)setenv("LISTEN_ADDR", "127.0.0.1:9120", 1);
    LOAD(&x);
    assert_int_equal(x.o.log_level, LOG_ERROR);
    assert_false(x.o.metrics);
    assert_string_equal(x.o.listen, "127.0.0.1:9120");
    conf_done(&x.c);
    (void)setenv("RUST_LOG", "debug", 1);
    LOAD(&x);
    assert_int_equal(x.o.log_level, LOG_DEBUG);
    conf_done(&x.c);
    (void)setenv("RUST_LOG", "info,hyper=warn", 1);
    LOAD(&x);
    assert_int_equal(x.o.log_level, LOG_ERROR);
    conf_done(&x.c);
    (void)unsetenv("RUST_LOG");
    (void)unsetenv("LOG_LEVEL");
    (void)unsetenv("METRICS_ENABLED");
    (void)unsetenv("LISTEN_ADDR");
}

static void certificate_and_key_go_together(void **state)
{
    struct run x;

    (void)state;
    LOAD(&x, "--tls-cert", "/x");
    assert_int_equal(x.r, -EINVAL);
    conf_done(&x.c);
}

static void a_name_for_the_certificate_is_a_host_name_or_an_address(void **state)
{
    static const char *const good[] = { "fleet.example.org", "*.example", "10.0.0.1", "2001:db8::1", "vm-1" };
    static const char *const bad[] = { "*", "a..b", ".a", "a.", "a b", "a:b", "https://a", "*.*.a", "a_b" };
    struct run x;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        LOAD(&x, "--tls-name", good[i], "--tls-name", "other");
        if (x.r != CONF_OK)
            fail_msg("%s: %s", good[i], x.err.text);
        assert_int_equal(x.o.tls_names.n, 2);
        assert_string_equal(x.o.tls_names.v[0].value, good[i]);
        conf_done(&x.c);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        LOAD(&x, "--tls-name", bad[i]);
        if (x.r != -EINVAL)
            fail_msg("\"%s\" was taken", bad[i]);
        conf_done(&x.c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_differ_by_mode),
        cmocka_unit_test(words_and_flags_may_stand_in_any_order),
        cmocka_unit_test(a_listen_address_is_taken_whole_or_refused),
        cmocka_unit_test(a_name_for_the_certificate_is_a_host_name_or_an_address),
        cmocka_unit_test(development_mode_stays_on_this_machine),
        cmocka_unit_test(a_file_is_read_and_its_mistakes_are_named),
        cmocka_unit_test(the_guides_variables_are_taken),
        cmocka_unit_test(certificate_and_key_go_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
