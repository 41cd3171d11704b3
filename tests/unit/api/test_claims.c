/* tests/unit/api/test_claims.c - whose request is it: api/dialects/dialect.h, claims. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "api/dialects/dialect.h"
#include "base/mem.h"
#include "codec/jwt.h"

struct ask {
    struct arena *a;
    struct kv header;
    struct http_req req;
};

static struct http_req *ask(struct ask *q, const char *name, const char *value, const char *body)
{
    q->header = (struct kv){ str_of(name), str_of(value) };
    q->req = (struct http_req){ .headers = { &q->header, name[0] ? 1 : 0 }, .body = str_of(body), .arena = q->a };
    return &q->req;
}

static void headers_and_prefixes_claim(void **state)
{
    static const struct {
        const char *name, *value;
        bool argus, grapheon, sigma;
    } rows[] = {
        { "", "", false, false, false },
        { "authorization", "Bearer em_live_x", true, false, false },
        { "authorization", "bearer ag_live_x", true, false, false },
        { "authorization", "Bearer em_view_x", true, false, false },
        { "authorization", "Basic em_live_x", false, false, false },
        { "authorization", "Bearer sk_sigma_x", false, false, true },
        { "authorization", "Bearer something", false, false, false },
        { "x-agent-api-key", "gpak_x", false, true, false },
        { "x-agent-api-key", "", false, true, false },
        { "x-api-key", "sk_sigma_x", false, false, true },
        { "x-api-key", "anything", false, false, true },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(arena_free) struct arena *a = arena_new(64 << 10);
        struct ask q = { .a = a };
        const struct http_req *req = ask(&q, rows[i].name, rows[i].value, "");

        assert_int_equal(claim_bearer_argus(req), rows[i].argus);
        assert_int_equal(claim_key_grapheon(req), rows[i].grapheon);
        assert_int_equal(claim_key_sigma(req), rows[i].sigma);
    }
}

static void a_session_belongs_to_the_dialect_that_made_it(void **state)
{
    static const uint8_t key[32] = { 7 };
    static const char *const names[] = { "argus", "grapheon", "sigma" };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        AUTO(arena_free) struct arena *a = arena_new(64 << 10);
        AUTO(buf_done) struct buf t = BUF(4096);
        struct ask q = { .a = a };
        char payload[64];

        (void)snprintf(payload, sizeof(payload), "{\"dialect\":\"%s\"}", names[i]);
        assert_int_equal(buf_cstr(&t, "Bearer "), 0);
        assert_int_equal(jwt_sign(key, str_of(payload), &t), 0);
        const struct http_req *req = ask(&q, "authorization", buf_as_cstr(&t), "");
        assert_true(str_is(claim_session_dialect(req), names[i]));
        assert_int_equal(claim_bearer_argus(req), i == 0);
        assert_int_equal(claim_key_grapheon(req), i == 1);
        assert_int_equal(claim_key_sigma(req), i == 2);
    }
}

static void a_body_claims_by_its_own_keys_only(void **state)
{
    static const struct {
        const char *body;
        bool want;
    } rows[] = {
        { "{\"enrollment_key\":\"x\"}", true },
        { "{ \"a\": [1,{\"b\":2}], \"enrollment_key\" : 1}", true },
        { "{\"a\":{\"enrollment_key\":1}}", false },   /* deeper */
        { "{\"a\":\"enrollment_key\"}", false },        /* a value */
        { "{\"a\":\"\\\"enrollment_key\\\":1\"}", false }, /* inside a string */
        { "{\"enrollment_keys\":1}", false },
        { "[\"enrollment_key\"]", false },
        { "\"enrollment_key\":", false },
        { "{\"enrollment_key", false },
        { "{\"enrollment_key\"", false },
        { "{\"a\\", false },
        { "", false },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(arena_free) struct arena *a = arena_new(64 << 10);
        struct ask q = { .a = a };

        assert_int_equal(claim_body_key(ask(&q, "", "", rows[i].body), "enrollment_key"), rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_and_prefixes_claim),
        cmocka_unit_test(a_session_belongs_to_the_dialect_that_made_it),
        cmocka_unit_test(a_body_claims_by_its_own_keys_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
