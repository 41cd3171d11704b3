/* Promises of agent/ports_http.h: every row of sigma 2.7 and 2.8 over a real connection, and ours: token, rate, leases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "agent/ports_http.h"
#include "base/mem.h"
#include "net/client.h"

static struct {
    struct loop *loop;
    struct ports *ports;
    struct ports_http *http;
    struct timer *watchdog;
    int status;
    char body[8192], type[128], allow[64], retry[16], how[64];
    bool is_late;
} T;

static struct ports *lend(void *ctx)
{
    (void)ctx;
    return T.ports;
}

static void more(void *ctx, struct buf *out)
{
    (void)ctx;
    buf_cstr(out, "\nmore 1\n");
}

static void on_watchdog(void *ctx)
{
    (void)ctx;
    T.is_late = true;
    loop_stop(T.loop);
}

static void serve(const char *token)
{
    struct ports_http_conf conf = { .loop = T.loop, .addr = "127.0.0.1", .hostname = "h1", .token = token, .max_count = 5, .ports = lend,
                                    .more = more };
    struct err err = { 0 };

    ports_http_free(T.http);
    if (ports_http_new(&conf, &T.http, &err) < 0)
        fail_msg("%s", err.text);
}

static int set_up(void **state)
{
    struct ports_conf conf = { .root = "", .first = 31200, .last = 31299, .method = PORT_NETLINK, .max_count = 5 };

    (void)state;
    memset(&T, 0, sizeof(T));
    T.loop = conf.loop = loop_new();
    T.watchdog = timer_new(T.loop, on_watchdog, NULL);
    assert_int_equal(ports_new(&conf, &T.ports, NULL), 0);
    serve(NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ports_free(T.ports);
    ports_http_free(T.http);
    timer_free(T.watchdog);
    loop_free(T.loop);
    return 0;
}

static void on_head(void *ctx, int status, const struct kv_list *headers)
{
    (void)ctx, (void)status;
    for (size_t i = 0; i < headers->n; i++) {
        struct str k = headers->v[i].key, v = headers->v[i].value;

        if (str_is(k, "content-type"))
            (void)str_copy(v, T.type, sizeof(T.type));
        if (str_is(k, "allow"))
            (void)str_copy(v, T.allow, sizeof(T.allow));
        if (str_is(k, "retry-after"))
            (void)str_copy(v, T.retry, sizeof(T.retry));
        if (str_is(k, "www-authenticate"))
            (void)str_copy(v, T.how, sizeof(T.how));
    }
}

static void on_done(void *ctx, const struct err *err, int status, struct str body)
{
    (void)ctx;
    if (err)
        fail_msg("%s", err->text);
    T.status = status;
    assert_int_equal(str_copy(body, T.body, sizeof(T.body)), 0);
    loop_stop(T.loop);
}

static int ask(const char *method, const char *path, const char *type, const char *body, const char *accept, const char *auth)
{
    struct http_client_conf conf = { .host = "127.0.0.1", .port = ports_http_port(T.http) };
    AUTO(http_client_free) struct http_client *c = http_client_new(T.loop, &conf);
    struct kv headers[3];
    size_t n = 0;

    T.type[0] = T.allow[0] = T.retry[0] = T.how[0] = T.body[0] = '\0';
    if (type)
        headers[n++] = (struct kv){ STR("Content-Type"), str_of(type) };
    if (accept)
        headers[n++] = (struct kv){ STR("Accept"), str_of(accept) };
    if (auth)
        headers[n++] = (struct kv){ STR("Authorization"), str_of(auth) };
    http_client_send(c, &(struct http_client_req){ .method = method, .target = path, .headers = headers, .n_headers = n,
                                                   .body = str_of(body), .head = on_head, .done = on_done });
    timer_start(T.watchdog, 15 * USEC_PER_SEC, 0);
    loop_run(T.loop);
    timer_stop(T.watchdog);
    assert_false(T.is_late);
    return T.status;
}

static int allocate(const char *body)
{
    return ask("POST", "/ports/allocate", "application/json", body, NULL, NULL);
}

/* The bucket is of the whole server: a new one is full. */
static void fresh(void)
{
    serve(NULL);
}

static void metrics_are_served_to_get_and_head(void **state)
{
    (void)state;
    assert_int_equal(ask("GET", "/metrics", NULL, NULL, NULL, NULL), 200);
    assert_string_equal(T.type, "text/plain; version=0.0.4; charset=utf-8");
    assert_non_null(strstr(T.body, "sigma_ports_total{hostname=\"h1\"} 0\n"));
    assert_non_null(strstr(T.body, "\n\nmore 1\n"));
    assert_int_equal(ask("HEAD", "/metrics", NULL, NULL, NULL, NULL), 200);
    assert_string_equal(T.body, "");
    assert_int_equal(ask("GET", "/healthz", NULL, NULL, NULL, NULL), 200);
    assert_string_equal(T.body, "ok");
}

static void other_methods_get_405_and_other_paths_404_both_bare(void **state)
{
    static const struct {
        const char *method, *path, *allow;
    } rows[] = { { "POST", "/metrics", "GET,HEAD" },   { "PUT", "/metrics", "GET,HEAD" },       { "GET", "/ports/allocate", "POST" },
                 { "DELETE", "/healthz", "GET,HEAD" }, { "POST", "/ports/leases", "GET,HEAD" }, { "GET", "/ports/leases/x", "DELETE" } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(ask(rows[i].method, rows[i].path, NULL, NULL, NULL, NULL), 405);
        assert_string_equal(T.allow, rows[i].allow);
        assert_string_equal(T.body, "");
    }
    assert_int_equal(ask("GET", "/", NULL, NULL, NULL, NULL), 404);
    assert_string_equal(T.body, "");
    assert_int_equal(ask("GET", "/metrics/", NULL, NULL, NULL, NULL), 404);
}

static void an_allocation_has_the_statuses_of_the_seed(void **state)
{
    static const struct {
        const char *type, *body;
        int status;
    } rows[] = {
        { NULL, "{\"count\":1}", 415 },
        { "text/plain", "{\"count\":1}", 415 },
        { "application/json", "{\"count\":1", 400 },
        { "application/json", "", 400 },
        { "application/json", "{}", 422 },
        { "application/json", "[]", 422 },
        { "application/json", "{\"count\":null}", 422 },
        { "application/json", "{\"count\":\"3\"}", 422 },
        { "application/json", "{\"count\":-1}", 422 },
        { "application/json", "{\"count\":2.0}", 422 },
        { "application/json", "{\"count\":1,\"ttl_seconds\":-1}", 422 },
        { "application/json", "{\"count\":1,\"ttl_seconds\":86401}", 422 },
        { "application/json", "{\"count\":1,\"owner\":7}", 422 },
        { "application/json", "{\"count\":1,\"hold\":1}", 422 },
        { "application/json", "{\"count\":1,\"hold\":true}", 422 },
        { "application/json", "{\"count\":0}", 400 },
        { "application/json", "{\"count\":6}", 400 },
        { "application/json", "{\"count\":9000000000}", 400 },
        { "application/json", "{\"count\":5,\"more\":[1]}", 200 },
        { "application/json; charset=utf-8", "{\"count\":1}", 200 },
        { "Application/JSON", "{\"count\":1}", 200 },
        { "application/vnd.x+json", "{\"count\":1}", 200 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        fresh();
        if (ask("POST", "/ports/allocate", rows[i].type, rows[i].body, NULL, NULL) != rows[i].status)
            fail_msg("%s: %d %s", rows[i].body, T.status, T.body);
        assert_string_equal(T.type, T.status == 200 ? "application/json" : "text/plain; charset=utf-8");
    }
    assert_true(str_starts(str_of(T.body), STR("{\"ports\":[31")));
}

static void refusals_name_the_bounds_and_are_json_where_that_is_asked_for(void **state)
{
    (void)state;
    assert_int_equal(allocate("{\"count\":0}"), 400);
    assert_string_equal(T.body, "count must be between 1 and 5");
    assert_int_equal(ask("POST", "/ports/allocate", "application/json", "{\"count\":0}", "text/html, application/json;q=0.9", NULL), 400);
    assert_string_equal(T.body, "{\"error\":\"count must be between 1 and 5\"}");
    assert_string_equal(T.type, "application/json");
    assert_int_equal(ask("POST", "/ports/allocate", "application/json", "{\"count\":0}", "*/*", NULL), 400);
    assert_string_equal(T.body, "count must be between 1 and 5");
}

static void with_the_scan_off_metrics_are_zero_and_allocations_503(void **state)
{
    (void)state;
    ports_free(TAKE(T.ports));
    assert_int_equal(ask("GET", "/metrics", NULL, NULL, NULL, NULL), 200);
    assert_non_null(strstr(T.body, "sigma_port_scan_duration_seconds{hostname=\"h1\"} 0.000\n"));
    assert_int_equal(allocate("{\"count\":1}"), 503);
    assert_non_null(strstr(T.body, "not enabled"));
    assert_int_equal(allocate("{\"count\":0}"), 503); /* before the count's bounds, */
    assert_int_equal(allocate("{}"), 422);            /* behind its form */
    assert_int_equal(ask("GET", "/ports/leases", NULL, NULL, NULL, NULL), 503);
    assert_int_equal(ask("DELETE", "/ports/leases/x", NULL, NULL, NULL, NULL), 503);
}

static void too_few_free_ports_are_409_with_both_numbers(void **state)
{
    struct ports_conf conf = { .loop = T.loop, .root = "", .first = 31298, .last = 31299, .method = PORT_NETLINK, .max_count = 5 };

    (void)state;
    ports_free(T.ports);
    assert_int_equal(ports_new(&conf, &T.ports, NULL), 0);
    assert_int_equal(allocate("{\"count\":3}"), 409);
    assert_non_null(strstr(T.body, "3"));
    assert_non_null(strstr(T.body, "found"));
}

static void a_lease_is_given_listed_and_given_back(void **state)
{
    char path[80], *id;

    (void)state;
    assert_int_equal(allocate("{\"count\":2,\"ttl_seconds\":60,\"owner\":\"me\"}"), 200);
    id = strstr(T.body, "\"lease\":\"");
    assert_non_null(id);
    assert_non_null(strstr(T.body, "\"expires_at\":\"20"));
    (void)snprintf(path, sizeof(path), "/ports/leases/%.36s", id + 9);
    assert_int_equal(ask("GET", "/ports/leases", NULL, NULL, NULL, NULL), 200);
    assert_non_null(strstr(T.body, "\"owner\":\"me\",\"ports\":[31"));
    assert_int_equal(ask("DELETE", path, NULL, NULL, NULL, NULL), 200);
    assert_int_equal(ask("DELETE", path, NULL, NULL, NULL, NULL), 404);
    assert_int_equal(ask("GET", "/ports/leases", NULL, NULL, NULL, NULL), 200);
    assert_string_equal(T.body, "{\"leases\":[]}");
}

static void a_token_is_asked_of_allocations_and_not_of_metrics(void **state)
{
    (void)state;
    serve("s3cret");
    assert_int_equal(ask("GET", "/metrics", NULL, NULL, NULL, NULL), 200);
    assert_int_equal(allocate("{\"count\":1}"), 401);
    assert_string_equal(T.how, "Bearer");
    assert_int_equal(ask("POST", "/ports/allocate", "application/json", "{\"count\":1}", NULL, "Bearer s3cre"), 401);
    assert_int_equal(ask("POST", "/ports/allocate", "application/json", "{\"count\":1}", NULL, "Bearer s3cret"), 200);
    assert_int_equal(ask("POST", "/ports/allocate", "application/json", "{\"count\":1}", NULL, "bearer s3cret"), 200);
    assert_int_equal(ask("GET", "/ports/leases", NULL, NULL, NULL, NULL), 401);
    assert_int_equal(ask("DELETE", "/ports/leases/x", NULL, NULL, NULL, "Basic s3cret"), 401);
}

static void five_allocations_a_second_and_no_sixth(void **state)
{
    (void)state;
    serve(NULL);
    for (int i = 0; i < 5; i++)
        assert_int_equal(allocate("{\"count\":0}"), 400);
    if (allocate("{\"count\":0}") != 429) /* this machine may be slow: a place comes free every 200 ms */
        while (allocate("{\"count\":0}") != 429)
            ;
    assert_string_equal(T.retry, "1");
    assert_int_equal(ask("GET", "/metrics", NULL, NULL, NULL, NULL), 200);
}

static void a_body_that_is_too_large_is_413(void **state)
{
    AUTO(buf_done) struct buf b = BUF(80 << 10);

    (void)state;
    while (b.len < 65 << 10)
        buf_char(&b, ' ');
    assert_int_equal(ask("POST", "/ports/allocate", "application/json", buf_as_cstr(&b), NULL, NULL), 413);
}

static void a_port_that_is_taken_is_said(void **state)
{
    struct ports_http_conf conf = { .loop = T.loop, .addr = "127.0.0.1", .port = ports_http_port(T.http), .hostname = "h", .max_count = 1,
                                    .ports = lend };
    struct ports_http *other = NULL;
    struct err err = { 0 };

    (void)state;
    assert_int_equal(ports_http_new(&conf, &other, &err), -EADDRINUSE);
    assert_string_equal(err.slug, "listen.in_use");
    assert_null(other);
}

#define T_(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T_(metrics_are_served_to_get_and_head),
        T_(other_methods_get_405_and_other_paths_404_both_bare),
        T_(an_allocation_has_the_statuses_of_the_seed),
        T_(refusals_name_the_bounds_and_are_json_where_that_is_asked_for),
        T_(with_the_scan_off_metrics_are_zero_and_allocations_503),
        T_(too_few_free_ports_are_409_with_both_numbers),
        T_(a_lease_is_given_listed_and_given_back),
        T_(a_token_is_asked_of_allocations_and_not_of_metrics),
        T_(five_allocations_a_second_and_no_sixth),
        T_(a_body_that_is_too_large_is_413),
        T_(a_port_that_is_taken_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
