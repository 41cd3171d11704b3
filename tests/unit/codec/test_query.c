/* tests/unit/codec/test_query.c - the promises of codec/query.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/limits.h"
#include "base/mem.h"
#include "codec/query.h"

static struct arena *a;

static int setup(void **state)
{
    (void)state;
    a = arena_new(1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(a);
    return 0;
}

static void pairs_are_decoded_in_order_and_repeats_kept(void **state)
{
    (void)state;
    struct kv_list q;
    assert_int_equal(query_parse(a, STR("a=1&b=x%20y+z&&a=2&flag&empty=&%C3%A9=%3D"), &q), 0);
    assert_int_equal(q.n, 6);
    assert_true(str_is(query_get(&q, "a"), "1"));
    assert_true(str_is(query_get(&q, "b"), "x y z"));
    assert_true(str_is(q.v[2].value, "2"));
    assert_true(query_get(&q, "flag").ptr && query_get(&q, "flag").len == 0);
    assert_true(str_is(query_get(&q, "\xc3\xa9"), "="));
    assert_null(query_get(&q, "none").ptr);
    assert_int_equal(query_parse(a, STR_NONE, &q), 0);
    assert_int_equal(q.n, 0);
}

static void bad_escapes_nul_and_bytes_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "a=%",   "a=%4",  "a=%4g", "a=%zz", "a=%00",
                                       "%00=a", "a=%ff", "a=%c3", "a=%2" };
    struct kv_list q;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(query_parse(a, str_of(bad[i]), &q), -EINVAL);
}

static void the_number_of_parameters_is_exact(void **state)
{
    (void)state;
    for (size_t n = LIMIT_QUERY_PARAMS - 1; n <= LIMIT_QUERY_PARAMS + 1; n++) {
        AUTO(buf_done) struct buf b = BUF(4096);
        struct kv_list q;
        for (size_t i = 0; i < n; i++)
            buf_cstr(&b, "a=1&");
        assert_int_equal(query_parse(a, buf_as_str(&b), &q), n <= LIMIT_QUERY_PARAMS ? 0 : -E2BIG);
    }
}

struct filter {
    uint32_t limit;
    bool follow;
    struct str_list status;
    struct kv_list label;
};
static const struct field filter_fields[] = {
    F_U32(struct filter, limit, "limit", .min_value = 1, .max_value = 100),
    F_BOOL(struct filter, follow, "follow"),
    F_STR_LIST(struct filter, status, "status", 4, 16),
    F_MAP(struct filter, label, "label", 4, 16),
};
static const struct record filter_record = RECORD(filter, filter_fields);

static int decode(const char *text, struct filter *f, struct record_errors *errs)
{
    struct kv_list q;
    assert_int_equal(query_parse(a, str_of(text), &q), 0);
    return query_decode(&filter_record, a, &q, f, errs);
}

static void a_query_fills_a_record(void **state)
{
    (void)state;
    struct filter f;
    struct record_errors errs;
    assert_int_equal(
        decode("limit=5&follow=true&status=a,b&status=c&label=role=web&label.zone=x&other=1", &f, &errs), 0);
    assert_true(f.limit == 5 && f.follow && f.status.n == 3 && f.label.n == 2);
    assert_true(str_is(f.label.v[0].key, "role") && str_is(f.label.v[0].value, "web"));
    assert_true(str_is(f.label.v[1].key, "zone") && str_is(f.label.v[1].value, "x"));
    assert_int_equal(errs.n_unknown, 1);
    assert_int_equal(decode("limit=101", &f, &errs), -EINVAL);
    assert_string_equal(errs.v[0].path, "limit");
    assert_string_equal(errs.v[0].slug, "field.range");
    assert_int_equal(decode("limit=1&limit=2", &f, &errs), -EINVAL);
    assert_string_equal(errs.v[0].slug, "field.repeated");
    assert_int_equal(decode("status=a,b,c,d,e", &f, &errs), -EINVAL);
    assert_string_equal(errs.v[0].slug, "field.too_many");
}

static void path_segments_cannot_climb(void **state)
{
    (void)state;
    static const char *const bad[] = { ".", "..", "%2e%2E", "a%2Fb", "a/b", "%00", "%", "a%ff" };
    struct str s;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(path_segment_decode(a, str_of(bad[i]), &s), -EINVAL);
    assert_int_equal(path_segment_decode(a, STR("web%201+x"), &s), 0);
    assert_true(str_is(s, "web 1+x"));
    assert_int_equal(path_segment_decode(a, STR("..."), &s), 0);
}

static void encoding_is_undone_by_decoding(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF(64);
    assert_int_equal(url_encode(&b, STR("a b/\xc3\xa9~-._&=")), 0);
    assert_string_equal(buf_as_cstr(&b), "a%20b%2F%C3%A9~-._%26%3D");
    AUTO(buf_done) struct buf small = BUF(2);
    assert_int_equal(url_encode(&small, STR(" ")), -ENOBUFS);
    assert_int_equal(small.len, 0);
}

#define t(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        t(pairs_are_decoded_in_order_and_repeats_kept),
        t(bad_escapes_nul_and_bytes_are_refused),
        t(the_number_of_parameters_is_exact),
        t(a_query_fills_a_record),
        t(path_segments_cannot_climb),
        t(encoding_is_undone_by_decoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
