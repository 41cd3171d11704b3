/* Promises of cli/target.h: addresses, the configuration file, and which token goes where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "cli/contexts_text.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF"

static void good_addresses_are_taken_apart(void **state)
{
    static const struct {
        const char *text, *url, *host, *unix_path;
        uint16_t port;
        bool tls;
    } rows[] = {
        { "https://muster.example", "https://muster.example:8122", "muster.example", NULL, 8122, true },
        { "https://muster.example:443/", "https://muster.example:443", "muster.example", NULL, 443, true },
        { "HTTP://127.0.0.1:80", "http://127.0.0.1:80", "127.0.0.1", NULL, 80, false },
        { "muster", "https://muster:8122", "muster", NULL, 8122, true },
        { "muster:9", "https://muster:9", "muster", NULL, 9, true },
        { "https://[::1]:8122", "https://[::1]:8122", "::1", NULL, 8122, true },
        { "[fe80::1]", "https://[fe80::1]:8122", "fe80::1", NULL, 8122, true },
        { "unix:/run/x.sock", "unix:/run/x.sock", NULL, "/run/x.sock", 0, false },
        { "unix:///run/x.sock", "unix:/run/x.sock", NULL, "/run/x.sock", 0, false },
        { "unix:var/x.sock", "unix:var/x.sock", NULL, "var/x.sock", 0, false },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(target_done) struct target t = { 0 };
        struct err err = { 0 };
        if (target_parse(&t, rows[i].text, &err) != 0)
            fail_msg("%s: %s", rows[i].text, err.text);
        assert_string_equal(t.url, rows[i].url);
        assert_int_equal(t.port, rows[i].port);
        assert_int_equal(t.is_tls, rows[i].tls);
        if (rows[i].host)
            assert_string_equal(t.host, rows[i].host);
        if (rows[i].unix_path)
            assert_string_equal(t.unix_path, rows[i].unix_path);
    }
}

static void bad_addresses_are_refused_with_a_reason(void **state)
{
    static const char *const rows[] = { "",         "https://",    "ftp://x", "https://x/path", "x:0",
                                        "x:65536",  "x:port",      "a:b:c",   "https://[::1",   "[::1]x",
                                        "unix:",    "https://u@h", "a b",     "https://x?y=1",  "x\x1b[2J",
                                        "https:///" };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(target_done) struct target t = { 0 };
        struct err err = { 0 };
        if (target_parse(&t, rows[i], &err) != -EINVAL)
            fail_msg("%s was taken", rows[i]);
        assert_string_equal(err.slug, "server.bad");
        assert_null(strchr(err.text, '\x1b'));
    }
}

static void only_loopback_is_loopback(void **state)
{
    static const struct {
        const char *url;
        bool want;
    } rows[] = { { "http://127.0.0.1", true },
                 { "http://127.9.9.9", true },
                 { "http://[::1]", true },
                 { "http://localhost", true },
                 { "unix:/x", true },
                 { "http://10.0.0.1", false },
                 { "http://localhost.evil.example", false } };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(target_done) struct target t = { 0 };
        assert_int_equal(target_parse(&t, rows[i].url, NULL), 0);
        assert_int_equal(target_is_loopback(&t), rows[i].want);
    }
}

static void a_pin_is_64_digits_with_or_without_its_name(void **state)
{
    static const char *const bad[] = { "", "sha256:", "sha256:12", "sha1:" HEX, HEX "0", "sha256:" HEX "00" };
    AUTO_FREE char *one = pin_parse("sha256:" HEX, NULL);
    AUTO_FREE char *two = pin_parse(" " HEX "\n", NULL);
    (void)state;
    assert_non_null(one);
    assert_string_equal(one, two);
    assert_null(strpbrk(one, "ABCDEF"));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err err = { 0 };
        assert_null(pin_parse(bad[i], &err));
        assert_string_equal(err.slug, "pin.bad");
    }
}

/* -- contexts */

static void fill(struct contexts *c)
{
    struct context *x = contexts_add(c, "prod: #1 \"x\"");
    x->server = xstrdup("https://muster.example:8122");
    x->pin = xstrdup("sha256:" HEX);
    x->ca = xstrdup("-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n");
    x->token = xstrdup("em_live_secret");
    x->token_id = 77;
    x = contexts_add(c, "dev");
    x->server = xstrdup("http://127.0.0.1:8122");
    c->current = xstrdup("dev");
}

static void what_was_written_reads_back_whatever_it_holds(void **state)
{
    AUTO(contexts_done) struct contexts a = { 0 };
    AUTO(contexts_done) struct contexts b = { 0 };
    AUTO(buf_done) struct buf text = BUF(1 << 16);
    AUTO(buf_done) struct buf again = BUF(1 << 16);
    struct err err = { 0 };
    (void)state;
    fill(&a);
    assert_int_equal(contexts_write(&a, &text), 0);
    if (contexts_parse(&b, buf_as_str(&text), "f", &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(b.n, 2);
    assert_string_equal(b.current, "dev");
    assert_string_equal(b.v[0].ca, a.v[0].ca);
    assert_int_equal(b.v[0].token_id, 77);
    assert_int_equal(contexts_write(&b, &again), 0);
    assert_true(str_eq(buf_as_str(&text), buf_as_str(&again)));
}

static void a_text_cut_anywhere_is_read_or_refused_but_never_more(void **state)
{
    AUTO(contexts_done) struct contexts a = { 0 };
    AUTO(buf_done) struct buf text = BUF(1 << 16);
    (void)state;
    fill(&a);
    assert_int_equal(contexts_write(&a, &text), 0);
    for (size_t n = 0; n <= text.len; n++) {
        AUTO(contexts_done) struct contexts b = { 0 };
        AUTO_FREE char *copy = n ? xmemdup(text.ptr, n) : NULL;
        struct err err = { 0 };
        int r = contexts_parse(&b, str_bytes(copy, n), "f", &err);
        assert_true(r == 0 || (r == -EINVAL && strcmp(err.slug, "config.bad") == 0));
    }
}

static void wrong_shapes_are_refused(void **state)
{
    static const char *const rows[] = { "[]", "contexts: []", "contexts: {a: 7}", "contexts:\n  a: x\n",
                                        "a: {b: [" };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(contexts_done) struct contexts c = { 0 };
        struct err err = { 0 };
        if (contexts_parse(&c, str_of(rows[i]), "f", &err) != -EINVAL)
            fail_msg("%s was taken", rows[i]);
    }
}

static void the_file_is_private_and_a_readable_one_with_a_token_is_refused(void **state)
{
    char dir[] = "/tmp/muster-test-XXXXXX";
    struct stat st;
    struct err err = { 0 };
    (void)state;
    assert_non_null(mkdtemp(dir));
    AUTO_FREE char *path = xasprintf("%s/a/b/config.yaml", dir);
    AUTO(contexts_done) struct contexts a = { .path = xstrdup(path) };
    AUTO(contexts_done) struct contexts b = { 0 };
    AUTO(contexts_done) struct contexts c = { 0 };
    AUTO(contexts_done) struct contexts none = { 0 };
    assert_int_equal(contexts_load(&none, path, &err), 0);
    assert_int_equal(none.n, 0);
    fill(&a);
    assert_int_equal(contexts_save(&a, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(contexts_load(&b, path, &err), 0);
    assert_int_equal(b.n, 2);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(contexts_load(&c, path, &err), -EPERM);
    assert_string_equal(err.slug, "config.permissions");
    assert_int_equal(fd_remove_tree(dir), 0);
}

static void a_file_of_another_program_is_read_past_and_never_overwritten(void **state)
{
    AUTO(contexts_done) struct contexts c = { .path = xstrdup("/nonexistent/f") };
    struct err err = { 0 };
    (void)state;
    assert_int_equal(contexts_parse(&c, STR("listen: 0.0.0.0:8120\nlog:\n  level: warn\n"), "f", &err), 0);
    assert_int_equal(c.n, 0);
    assert_int_equal(contexts_are_ours(&c, &err), -EINVAL);
    err_reset(&err);
    (void)contexts_add(&c, "a");
    assert_int_equal(contexts_save(&c, &err), -EINVAL);
    assert_string_equal(err.slug, "config.foreign");
    assert_non_null(strstr(err.text, "listen"));
}

static void removing_the_current_context_leaves_none_in_use(void **state)
{
    AUTO(contexts_done) struct contexts c = { 0 };
    (void)state;
    fill(&c);
    contexts_remove(&c, contexts_find(&c, "dev"));
    assert_int_equal(c.n, 1);
    assert_null(c.current);
    assert_null(contexts_find(&c, "dev"));
}

/* -- deciding */

static int resolve(struct target *t, struct target_wish w, struct err *err)
{
    AUTO(contexts_done) struct contexts c = { .path = xstrdup("f") };
    fill(&c);
    return target_resolve(t, &w, &c, err);
}

static void the_order_is_flag_context_environment_current_socket(void **state)
{
    AUTO(target_done)
    struct target flag = { 0 }, context = { 0 }, env = { 0 }, current = { 0 }, local = { 0 };
    AUTO(contexts_done) struct contexts none = { 0 };
    struct target_wish w = { 0 };
    (void)state;
    assert_int_equal(
        resolve(&flag, (struct target_wish){ .server = "unix:/s", .server_is_flag = true, .context = "dev" },
                NULL),
        0);
    assert_string_equal(flag.url, "unix:/s");
    assert_int_equal(resolve(&context, (struct target_wish){ .server = "unix:/s", .context = "dev" }, NULL),
                     0);
    assert_string_equal(context.url, "http://127.0.0.1:8122");
    assert_int_equal(resolve(&env, (struct target_wish){ .server = "unix:/s" }, NULL), 0);
    assert_string_equal(env.url, "unix:/s");
    assert_int_equal(resolve(&current, (struct target_wish){ 0 }, NULL), 0);
    assert_string_equal(current.context, "dev");
    assert_int_equal(target_resolve(&local, &w, &none, NULL), 0);
    assert_true(local.is_default && local.unix_path);
}

static void a_token_goes_only_to_the_server_it_came_from(void **state)
{
    AUTO(target_done) struct target same = { 0 }, other = { 0 };
    (void)state;
    assert_int_equal(resolve(&same, (struct target_wish){ .server = "muster.example" }, NULL), 0);
    assert_string_equal(same.token, "em_live_secret");
    assert_int_equal(strlen(same.pin), 64); /* without its "sha256:" */
    assert_int_equal(resolve(&other, (struct target_wish){ .server = "http://127.0.0.1:9" }, NULL), 0);
    assert_null(other.token);
}

static void a_server_nobody_vouches_for_is_refused(void **state)
{
    static const struct {
        struct target_wish w;
        const char *slug;
    } rows[] = {
        { { .server = "https://other.example" }, "server.no_pin" },
        { { .server = "https://other.example", .pin = "sha256:12" }, "pin.bad" },
        { { .server = "http://10.0.0.1", .token = "t" }, "server.cleartext" },
        { { .context = "nope" }, "context.unknown" },
        { { .server = "https://other.example", .ca_file = "/no/such/file" }, "config.read" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(target_done) struct target t = { 0 };
        struct err err = { 0 };
        assert_true(resolve(&t, rows[i].w, &err) < 0);
        assert_string_equal(err.slug, rows[i].slug);
    }
}

static void a_new_pin_takes_the_place_of_what_the_context_kept(void **state)
{
    AUTO(target_done) struct target t = { 0 };
    AUTO_FREE char *zeros = xasprintf("sha256:%064d", 0);
    (void)state;
    assert_int_equal(resolve(&t, (struct target_wish){ .server = "muster.example", .pin = zeros }, NULL), 0);
    assert_string_equal(t.pin, zeros + 7);
    assert_null(t.ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_addresses_are_taken_apart),
        cmocka_unit_test(bad_addresses_are_refused_with_a_reason),
        cmocka_unit_test(only_loopback_is_loopback),
        cmocka_unit_test(a_pin_is_64_digits_with_or_without_its_name),
        cmocka_unit_test(what_was_written_reads_back_whatever_it_holds),
        cmocka_unit_test(a_text_cut_anywhere_is_read_or_refused_but_never_more),
        cmocka_unit_test(wrong_shapes_are_refused),
        cmocka_unit_test(the_file_is_private_and_a_readable_one_with_a_token_is_refused),
        cmocka_unit_test(removing_the_current_context_leaves_none_in_use),
        cmocka_unit_test(a_file_of_another_program_is_read_past_and_never_overwritten),
        cmocka_unit_test(the_order_is_flag_context_environment_current_socket),
        cmocka_unit_test(a_token_goes_only_to_the_server_it_came_from),
        cmocka_unit_test(a_server_nobody_vouches_for_is_refused),
        cmocka_unit_test(a_new_pin_takes_the_place_of_what_the_context_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
