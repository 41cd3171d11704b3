/* Promises of agent/dialects/outbound_url.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>

#include "agent/dialects/outbound_url.h"
#include "base/mem.h"

static void expect(const char *text, bool bare, const char *host, unsigned port, const char *prefix, bool is_tls, const char *user)
{
    AUTO(outbound__url_done) struct outbound_url u = { 0 };
    struct err err = { 0 };

    if (outbound__url(str_of(text), bare, &u, &err) != 0)
        fail_msg("%s: %s", text, err.text);
    assert_string_equal(u.host, host);
    assert_int_equal(u.port, port);
    assert_string_equal(u.prefix, prefix);
    assert_int_equal(u.is_tls, is_tls);
    if (user)
        assert_string_equal(u.user, user);
    else
        assert_null(u.user);
}

static void urls_are_cut_into_their_parts(void **state)
{
    (void)state;
    expect("http://h", false, "h", 80, "", false, NULL);
    expect("https://h/", false, "h", 443, "", true, NULL);
    expect("HTTPS://h.example.:8443/a/b//", false, "h.example.", 8443, "/a/b", true, NULL);
    expect(" http://127.0.0.1:3000/ ", false, "127.0.0.1", 3000, "", false, NULL);
    expect("http://[::1]:8/x", false, "::1", 8, "/x", false, NULL);
    expect("http://[2001:db8::5]", false, "2001:db8::5", 80, "", false, NULL);
    expect("http://h:/", false, "h", 80, "", false, NULL);
    expect("http://a:b@c@h:1", false, "h", 1, "", false, "a:b@c");
    expect("proxy:3128", true, "proxy", 3128, "", false, NULL);
    expect("http://h:65535", false, "h", 65535, "", false, NULL);
}

static void what_is_no_base_url_is_refused(void **state)
{
    static const char *const bad[] = { "", "h", "h:80", "ftp://h", "http://", "http:///x", "http://h:0", "http://h:65536", "http://h:x",
                                       "http://h?x", "http://h/?x", "http://h/#f", "http://h/a b", "http://h\r\nX: y", "http://[::1", "http://[h]",
                                       "http://::1", "http://h/\xc3\xa4", "http://a b/", "https:/h", NULL };

    (void)state;
    for (const char *const *b = bad; *b; b++) {
        AUTO(outbound__url_done) struct outbound_url u = { 0 };
        struct err err = { 0 };

        if (outbound__url(str_of(*b), false, &u, &err) != -EINVAL)
            fail_msg("taken: %s", *b);
        assert_string_equal(err.slug, "url.bad");
    }
}

static void loopback_is_known_by_every_name(void **state)
{
    (void)state;
    assert_true(outbound__is_loopback("127.0.0.1"));
    assert_true(outbound__is_loopback("127.9.9.9"));
    assert_true(outbound__is_loopback("::1"));
    assert_true(outbound__is_loopback("::ffff:127.0.0.1"));
    assert_true(outbound__is_loopback("LOCALHOST"));
    assert_true(outbound__is_loopback("a.localhost"));
    assert_false(outbound__is_loopback("128.0.0.1"));
    assert_false(outbound__is_loopback("localhost.example"));
    assert_false(outbound__is_loopback("notlocalhost"));
    assert_false(outbound__is_loopback("127.0.0.1.example.org"));
    assert_false(outbound__is_loopback("::"));
}

static void no_proxy_lists_names_domains_ports_and_everything(void **state)
{
    static const struct {
        const char *list, *host;
        uint16_t port;
        bool yes;
    } rows[] = {
        { "", "h", 80, false },
        { "*", "h", 80, true },
        { "h", "h", 80, true },
        { "x, H ,y", "h", 80, true },
        { "example.org", "a.example.org", 80, true },
        { ".example.org", "a.example.org", 80, true },
        { "*.example.org", "a.example.org", 80, true },
        { ".example.org", "example.org", 80, true },
        { "example.org", "badexample.org", 80, false },
        { "h:81", "h", 80, false },
        { "h:80", "h", 80, true },
        { "::1", "::1", 80, true },
        { "[::1]:80", "::1", 80, true },
        { "[::1]:81", "::1", 80, false },
        { "127.0.0.1", "127.0.0.1", 1, true },
        { ",,", "h", 80, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (outbound__no_proxy(str_of(rows[i].list), rows[i].host, rows[i].port) != rows[i].yes)
            fail_msg("row %zu: %s with %s", i, rows[i].host, rows[i].list);
}

static void retry_after_is_seconds_or_a_date(void **state)
{
    usec_t now = 1795334400 * USEC_PER_SEC; /* Sun, 22 Nov 2026 08:00:00 GMT */

    (void)state;
    assert_int_equal(outbound__retry_after(STR("7"), now), 7 * USEC_PER_SEC);
    assert_int_equal(outbound__retry_after(STR("  0 "), now), 0);
    assert_int_equal(outbound__retry_after(STR("86400"), now), USEC_PER_DAY);
    assert_int_equal(outbound__retry_after(STR("86401"), now), USEC_PER_DAY);
    assert_int_equal(outbound__retry_after(STR("Sun, 22 Nov 2026 08:00:30 GMT"), now), 30 * USEC_PER_SEC);
    assert_int_equal(outbound__retry_after(STR("Sun, 22 Nov 2026 07:59:59 GMT"), now), 0);
    assert_int_equal(outbound__retry_after(STR("Sun, 22 Nov 2026 08:00:30 GMT x"), now), 0);
    assert_int_equal(outbound__retry_after(STR("soon"), now), 0);
    assert_int_equal(outbound__retry_after(STR("-1"), now), 0);
    assert_int_equal(outbound__retry_after(STR(""), now), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_cut_into_their_parts),
        cmocka_unit_test(what_is_no_base_url_is_refused),
        cmocka_unit_test(loopback_is_known_by_every_name),
        cmocka_unit_test(no_proxy_lists_names_domains_ports_and_everything),
        cmocka_unit_test(retry_after_is_seconds_or_a_date),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
