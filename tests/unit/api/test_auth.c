/* tests/unit/api/test_auth.c - the promises of api/auth.h that need no control: the development rule, Bearer,
 * the peer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "api/auth.h"
#include "base/mem.h"

struct ask {
    const char *host, *origin, *site, *forwarded;
    bool is_loopback, is_dev_listener, is_unix;
};

static int rule(bool is_dev, const struct ask *q, struct err *err)
{
    struct net_peer peer = { .addr = "127.0.0.1",
                             .is_loopback = q->is_loopback,
                             .is_dev_listener = q->is_dev_listener,
                             .is_unix = q->is_unix };
    struct kv kvs[4];
    struct http_req req = { .peer = &peer, .headers = { kvs, 0 } };

    if (q->host)
        kvs[req.headers.n++] = (struct kv){ STR("host"), str_of(q->host) };
    if (q->origin)
        kvs[req.headers.n++] = (struct kv){ STR("origin"), str_of(q->origin) };
    if (q->site)
        kvs[req.headers.n++] = (struct kv){ STR("sec-fetch-site"), str_of(q->site) };
    if (q->forwarded)
        kvs[req.headers.n++] = (struct kv){ STR("x-forwarded-for"), str_of(q->forwarded) };
    return auth_dev_rule(is_dev, &req, err);
}

#define LOCAL .is_loopback = true, .is_dev_listener = true
static void only_development_mode_on_loopback_grants_anything(void **state)
{
    struct err err = { 0 };

    (void)state;
    assert_int_equal(rule(true, &(struct ask){ "localhost:1", LOCAL }, &err), 1);
    assert_int_equal(rule(false, &(struct ask){ "localhost:1", LOCAL }, &err), 0);
    assert_int_equal(rule(true, &(struct ask){ "localhost:1", .is_loopback = true }, &err), 0);
    assert_int_equal(rule(true, &(struct ask){ "localhost:1", .is_dev_listener = true }, &err), 0);
    assert_int_equal(rule(true, &(struct ask){ "localhost:1", LOCAL, .is_unix = true }, &err), 0);
    assert_int_equal(rule(true, &(struct ask){ "localhost:1", .forwarded = "203.0.113.1", LOCAL }, &err), 0);
}

static void a_foreign_host_name_is_refused(void **state)
{
    static const char *const hosts[] = {
        NULL,        "",         "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8122",
        "128.0.0.1", "[::2]:80", "127.1"
    };
    struct err err = { 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        assert_int_equal(rule(true, &(struct ask){ hosts[i], LOCAL }, &err), -EACCES);
        assert_string_equal(err.slug, "auth.origin");
    }
}

static void loopback_names_are_taken_with_and_without_port(void **state)
{
    static const char *const hosts[] = { "localhost",   "LOCALHOST:8122", "127.0.0.1", "127.0.0.1:8122",
                                         "127.4.5.6:1", "[::1]",          "[::1]:8122" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
        assert_true(auth_host_is_loopback(str_of(hosts[i])));
}

static void an_origin_must_be_this_server(void **state)
{
    struct err err = { 0 };

    (void)state;
    assert_int_equal(rule(true, &(struct ask){ "localhost:1", "http://localhost:1", LOCAL }, &err), 1);
    assert_int_equal(rule(true, &(struct ask){ "localhost:1", "https://localhost:1", LOCAL }, &err), 1);
    assert_int_equal(rule(true, &(struct ask){ "localhost:1", "http://localhost:2", LOCAL }, &err), -EACCES);
    assert_int_equal(rule(true, &(struct ask){ "localhost:1", "http://evil.example", LOCAL }, &err), -EACCES);
    assert_int_equal(rule(true, &(struct ask){ "localhost:1", "null", LOCAL }, &err), -EACCES);
    assert_int_equal(rule(true, &(struct ask){ "localhost:1", "", LOCAL }, &err), -EACCES);
    assert_int_equal(rule(true, &(struct ask){ "localhost:1", NULL, "cross-site", LOCAL }, &err), -EACCES);
    assert_int_equal(rule(true, &(struct ask){ "localhost:1", NULL, "same-origin", LOCAL }, &err), 1);
}

/* Whoever it is and wherever it came from: a form of another site is not sent for anybody. */
static void the_origin_is_looked_at_whatever_the_credential(void **state)
{
    static const struct {
        const char *origin, *site;
        int want;
    } rows[] = {
        { NULL, NULL, 0 },
        { "https://fleet.example:8122", "same-origin", 0 },
        { "https://FLEET.example:8122", NULL, 0 },
        { NULL, "none", 0 },
        { "https://fleet.example", NULL, -EACCES },
        { "https://evil.example", NULL, -EACCES },
        { "null", NULL, -EACCES },
        { NULL, "same-site", -EACCES },
        { NULL, "cross-site", -EACCES },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct kv kvs[3] = { { STR("host"), STR("fleet.example:8122") } };
        struct http_req req = { .headers = { kvs, 1 } };
        struct err err = { 0 };

        if (rows[i].origin)
            kvs[req.headers.n++] = (struct kv){ STR("origin"), str_of(rows[i].origin) };
        if (rows[i].site)
            kvs[req.headers.n++] = (struct kv){ STR("sec-fetch-site"), str_of(rows[i].site) };
        assert_int_equal(auth_check_origin(&req, &err), rows[i].want);
        assert_string_equal(err.slug, rows[i].want ? "auth.origin" : "");
    }
}

static struct str bearer(const char *value)
{
    static struct kv kv;
    struct http_req req = { .headers = { &kv, value ? 1 : 0 } };

    kv = (struct kv){ STR("authorization"), str_of(value) };
    return auth_bearer(&req);
}

static void a_presented_credential_is_never_taken_for_an_absent_one(void **state)
{
    (void)state;
    assert_null(bearer(NULL).ptr);
    assert_true(str_is(bearer("Bearer abc"), "abc"));
    assert_true(str_is(bearer("bearer   abc "), "abc"));
    assert_true(bearer("").len > 0);
    assert_true(bearer("Bearer").len > 0);
    assert_true(bearer("Bearer ").len > 0);
    assert_true(str_is(bearer("Basic YQ=="), "Basic YQ=="));
}

static const char *peer_addr(const char *addr, const char *forwarded, const char *proxy)
{
    static char dst[64];
    struct api a = { .conf = { .trusted_proxies = &proxy, .n_trusted_proxies = proxy ? 1 : 0 } };
    struct net_peer peer = { 0 };
    struct kv kv = { STR("x-forwarded-for"), str_of(forwarded) };
    struct http_req req = { .peer = &peer, .headers = { &kv, forwarded ? 1 : 0 } };
    struct peer_info info;

    (void)str_copy(str_of(addr), peer.addr, sizeof(peer.addr));
    auth_peer(&a, &req, dst, &info);
    assert_false(info.is_loopback_dev);
    return dst;
}

static void only_a_trusted_proxy_may_say_who_asks(void **state)
{
    (void)state;
    assert_string_equal(peer_addr("127.0.0.1", NULL, "127.0.0.1"), "127.0.0.1");
    assert_string_equal(peer_addr("127.0.0.1", "203.0.113.7", "127.0.0.1"), "203.0.113.7");
    assert_string_equal(peer_addr("127.0.0.1", "1.1.1.1, 203.0.113.7", "127.0.0.1"), "203.0.113.7");
    assert_string_equal(peer_addr("192.0.2.1", "203.0.113.7", "127.0.0.1"), "192.0.2.1");
    assert_string_equal(peer_addr("127.0.0.1", "not an address", "127.0.0.1"), "127.0.0.1");
    assert_string_equal(peer_addr("127.0.0.1", "203.0.113.7", NULL), "127.0.0.1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_development_mode_on_loopback_grants_anything),
        cmocka_unit_test(a_foreign_host_name_is_refused),
        cmocka_unit_test(loopback_names_are_taken_with_and_without_port),
        cmocka_unit_test(an_origin_must_be_this_server),
        cmocka_unit_test(the_origin_is_looked_at_whatever_the_credential),
        cmocka_unit_test(a_presented_credential_is_never_taken_for_an_absent_one),
        cmocka_unit_test(only_a_trusted_proxy_may_say_who_asks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
