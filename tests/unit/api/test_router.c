/* tests/unit/api/test_router.c - the promises of api/router.h, and a walk over every table of the real api.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "api/api.h"
#include "api/router.h"
#include "api/state.h"
#include "base/limits.h"
#include "base/mem.h"

static void handler(struct call *c)
{
    (void)c;
}

static bool claims_never(const struct http_req *req)
{
    (void)req;
    return false;
}

static bool claims_bearer(const struct http_req *req)
{
    return http_header(req, "authorization").len > 0;
}

#define ROW(m, p, ...)                                                                                       \
    {                                                                                                        \
        .method = (m), .path = (p), .auth = AUTH_NONE, .handler = handler, ##__VA_ARGS__                     \
    }
static const struct route rows[] = {
    ROW(HTTP_GET, "/"),         ROW(HTTP_GET, "/a"),       ROW(HTTP_POST, "/a"),
    ROW(HTTP_GET, "/a/{x}"),    ROW(HTTP_GET, "/a/fixed"), ROW(HTTP_GET, "/a/{x}/b/{y}"),
    ROW(HTTP_DELETE, "/a/{x}"), ROW(HTTP_GET, "/{any}/c"),
};

struct fixture {
    struct router *r;
    struct arena *a;
    struct route_match m;
};

static int setup(void **state)
{
    struct fixture *f = xnew0(struct fixture);

    f->r = router_new();
    router_add(f->r, rows, ARRAY_SIZE(rows));
    f->a = arena_new(1 << 16);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    router_free(f->r);
    arena_free(f->a);
    free(f);
    return 0;
}

static enum route_outcome match(struct fixture *f, enum http_method method, const char *path)
{
    struct http_req req = { .method = method, .path = str_of(path) };

    router_match(f->r, &req, f->a, &f->m);
    return f->m.outcome;
}

static void a_path_finds_its_row_and_parameters(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(match(f, HTTP_GET, "/a/one/b/two%20x"), ROUTE_FOUND);
    assert_string_equal(f->m.route->path, "/a/{x}/b/{y}");
    assert_int_equal(f->m.n_params, 2);
    assert_string_equal(f->m.params[0].ptr, "one");
    assert_string_equal(f->m.params[1].ptr, "two x");
    assert_int_equal(match(f, HTTP_GET, "/"), ROUTE_FOUND);
}

static void a_literal_is_preferred_to_a_name_from_the_left(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(match(f, HTTP_GET, "/a/fixed"), ROUTE_FOUND);
    assert_string_equal(f->m.route->path, "/a/fixed");
    assert_int_equal(match(f, HTTP_GET, "/a/c"), ROUTE_FOUND);
    assert_string_equal(f->m.route->path, "/a/{x}");
    assert_int_equal(match(f, HTTP_GET, "/z/c"), ROUTE_FOUND);
    assert_string_equal(f->m.route->path, "/{any}/c");
}

static void head_is_answered_by_get(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(match(f, HTTP_HEAD, "/a"), ROUTE_FOUND);
    assert_int_equal(f->m.route->method, HTTP_GET);
}

static void a_known_path_with_another_method_says_which_it_takes(void **state)
{
    struct fixture *f = *state;
    char text[64];

    assert_int_equal(match(f, HTTP_PATCH, "/a"), ROUTE_METHOD);
    router_allow_text(f->m.allow, text, sizeof(text));
    assert_string_equal(text, "GET, HEAD, POST, OPTIONS");
    assert_int_equal(match(f, HTTP_OTHER, "/a/x"), ROUTE_METHOD);
    router_allow_text(f->m.allow, text, sizeof(text));
    assert_string_equal(text, "GET, HEAD, DELETE, OPTIONS");
}

static void other_paths_are_unknown(void **state)
{
    static const char *const paths[] = { "/b", "/a/", "//a", "/a/x/b", "/a/x/b/y/z", "/A", "/a/x/b/y/" };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        assert_int_equal(match(f, HTTP_GET, paths[i]), ROUTE_UNKNOWN);
}

static void dots_nuls_and_bad_escapes_are_not_looked_up(void **state)
{
    static const char *const paths[] = { "",       "a",      "/a/..", "/a/%2e%2E", "/./a",
                                         "/a/%00", "/a/%2f", "/a/%4", "/a/%zz",    "/%ff" };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        assert_int_equal(match(f, HTTP_GET, paths[i]), ROUTE_BAD_PATH);
}

static void a_path_longer_than_the_limit_is_not_looked_up(void **state)
{
    struct fixture *f = *state;
    char path[LIMIT_HTTP_PATH + 2];

    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[LIMIT_HTTP_PATH] = '\0'; /* exact */
    assert_int_equal(match(f, HTTP_GET, path), ROUTE_UNKNOWN);
    path[LIMIT_HTTP_PATH] = 'x';
    path[LIMIT_HTTP_PATH + 1] = '\0';
    assert_int_equal(match(f, HTTP_GET, path), ROUTE_BAD_PATH);
}

static void more_segments_than_any_row_has_are_unknown(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(match(f, HTTP_GET, "/1/2/3/4/5/6/7/8/9/10/11/12"), ROUTE_UNKNOWN);
    assert_int_equal(match(f, HTTP_GET, "/1/2/3/4/5/6/7/8/9/10/11/12/13"), ROUTE_UNKNOWN);
    assert_int_equal(match(f, HTTP_GET, "/1/2/3/4/5/6/7/8/9/10/11/12/%zz"), ROUTE_BAD_PATH);
}

static const char *check(const struct route *rs, size_t n)
{
    AUTO(router_free) struct router *r = router_new();
    static struct err err;

    err_reset(&err);
    router_add(r, rs, n);
    return router_check(r, &err) < 0 ? err.slug : "";
}

static void the_check_finds_rows_that_say_no_auth_class(void **state)
{
    static const struct route bad[] = { { .method = HTTP_GET, .path = "/x", .handler = handler } };

    (void)state;
    assert_string_equal(check(rows, ARRAY_SIZE(rows)), "");
    assert_string_equal(check(bad, 1), "route.auth_unset");
}

static void the_check_finds_collisions_nobody_claims(void **state)
{
    static const struct route plain[] = { ROW(HTTP_GET, "/x/{a}"), ROW(HTTP_GET, "/x/{b}") };
    static const struct route claimed[] = { ROW(HTTP_GET, "/x/{a}"),
                                            ROW(HTTP_GET, "/x/{b}", .claims = claims_bearer) };
    static const struct route others[] = { ROW(HTTP_GET, "/x/{a}"), ROW(HTTP_POST, "/x/{a}"),
                                           ROW(HTTP_GET, "/x/y") };

    (void)state;
    assert_string_equal(check(plain, 2), "route.collision");
    assert_string_equal(check(claimed, 2), "");
    assert_string_equal(check(others, 3), "");
}

static void the_check_finds_bad_patterns_and_missing_handlers(void **state)
{
    static const struct route no_slash[] = { ROW(HTTP_GET, "x") };
    static const struct route too_many[] = { ROW(HTTP_GET, "/{a}/{b}/{c}/{d}/{e}") };
    static const struct route no_handler[] = { { .method = HTTP_GET, .path = "/x", .auth = AUTH_NONE } };

    (void)state;
    assert_string_equal(check(no_slash, 1), "route.pattern");
    assert_string_equal(check(too_many, 1), "route.pattern");
    assert_string_equal(check(no_handler, 1), "route.handler");
}

static const struct route *shared(const struct route *rs, size_t n, bool has_bearer, enum route_outcome *ret)
{
    AUTO(router_free) struct router *r = router_new();
    AUTO(arena_free) struct arena *a = arena_new(4096);
    struct kv auth = { STR("authorization"), STR("Bearer x") };
    struct http_req req = { .method = HTTP_GET, .path = STR("/x"), .headers = { &auth, has_bearer ? 1 : 0 } };
    struct route_match m;

    router_add(r, rs, n);
    router_match(r, &req, a, &m);
    *ret = m.outcome;
    return m.route;
}

static void a_shared_path_goes_to_who_claims_it_then_to_who_does_not_care(void **state)
{
    static const struct route rs[] = { ROW(HTTP_GET, "/x"), ROW(HTTP_GET, "/x", .claims = claims_bearer),
                                       ROW(HTTP_GET, "/x", .claims = claims_never) };
    enum route_outcome outcome;

    (void)state;
    assert_ptr_equal(shared(rs, 3, true, &outcome), &rs[1]);
    assert_ptr_equal(shared(rs, 3, false, &outcome), &rs[0]);
    assert_null(shared(rs + 1, 2, false, &outcome));
    assert_int_equal(outcome, ROUTE_UNCLAIMED);
}

/* Every table of the real thing. */
static void every_row_says_who_may_and_what_it_does(void **state)
{
    AUTO(loop_free) struct loop *loop = loop_new();
    AUTO(api_free) struct api *a = api_new(&(struct api_conf){ .loop = loop, .clock = &clock_real });
    struct err err = { 0 };
    size_t iter = 0, n = 0;

    (void)state;
    if (api_check(a, &err) < 0)
        fail_msg("%s", err.text);
    for (const struct route *r; (r = router_next(a->router, &iter)); n++) {
        bool is_change = r->method == HTTP_POST || r->method == HTTP_PATCH || r->method == HTTP_DELETE ||
                         r->method == HTTP_PUT;

        assert_int_not_equal(r->auth, AUTH_UNSET);
        assert_non_null(r->summary);
        if (is_change && r->auth != AUTH_LOCAL && !(r->flags & ROUTE_MUTATES))
            fail_msg("%s changes something and does not say ROUTE_MUTATES", r->path);
        if (r->auth == AUTH_NONE && (is_change || r->body))
            fail_msg("%s changes something for anybody", r->path);
        if (r->cap > LIMIT_JSON_BYTES)
            fail_msg("%s takes more than any body may have", r->path);
    }
    assert_true(n > 30);
}

static void the_description_names_every_route(void **state)
{
    AUTO(loop_free) struct loop *loop = loop_new();
    AUTO(api_free) struct api *a = api_new(&(struct api_conf){ .loop = loop, .clock = &clock_real });
    AUTO(buf_done) struct buf out = BUF(4 << 20);
    AUTO(arena_free) struct arena *arena = arena_new(64 << 20);
    struct node *root = NULL;
    const struct node *paths;
    size_t iter = 0;

    (void)state;
    assert_int_equal(api_openapi(a, &out), 0);
    assert_int_equal(json_parse(arena, buf_as_str(&out), out.len, &root, NULL), 0);
    assert_true(str_is(node_get(root, "openapi")->s, "3.1.0"));
    paths = node_get(root, "paths");
    for (const struct route *r; (r = router_next(a->router, &iter));)
        assert_non_null(node_get(paths, r->path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_path_finds_its_row_and_parameters, setup, teardown),
        cmocka_unit_test_setup_teardown(a_literal_is_preferred_to_a_name_from_the_left, setup, teardown),
        cmocka_unit_test_setup_teardown(head_is_answered_by_get, setup, teardown),
        cmocka_unit_test_setup_teardown(a_known_path_with_another_method_says_which_it_takes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(other_paths_are_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(dots_nuls_and_bad_escapes_are_not_looked_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_path_longer_than_the_limit_is_not_looked_up, setup, teardown),
        cmocka_unit_test_setup_teardown(more_segments_than_any_row_has_are_unknown, setup, teardown),
        cmocka_unit_test(the_check_finds_rows_that_say_no_auth_class),
        cmocka_unit_test(the_check_finds_collisions_nobody_claims),
        cmocka_unit_test(the_check_finds_bad_patterns_and_missing_handlers),
        cmocka_unit_test(a_shared_path_goes_to_who_claims_it_then_to_who_does_not_care),
        cmocka_unit_test(every_row_says_who_may_and_what_it_does),
        cmocka_unit_test(the_description_names_every_route),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
