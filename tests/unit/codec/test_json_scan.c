/* tests/unit/codec/test_json_scan.c - the promises of codec/json_scan.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "codec/json_scan.h"

static enum json_kind kind_of(const char *text)
{
    struct json_scan s;
    return json_scan_open(str_of(text), &s);
}

static void what_is_json_is_known_by_its_kind(void **state)
{
    (void)state;
    assert_int_equal(kind_of("{}"), JSON_MAP);
    assert_int_equal(kind_of(" [ 1 , 2 ] \n"), JSON_LIST);
    assert_int_equal(kind_of("\"x\""), JSON_STR);
    assert_int_equal(kind_of("-0"), JSON_INT);
    assert_int_equal(kind_of("1.5e+3"), JSON_REAL);
    assert_int_equal(kind_of("1E9"), JSON_REAL);
    assert_int_equal(kind_of("true"), JSON_BOOL);
    assert_int_equal(kind_of("null"), JSON_NULL);
}

static void what_is_no_json_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",        " ",         "{",       "}",        "[1,]",     "{\"a\":1,}", "{\"a\"}",   "{\"a\" 1}", "{a:1}",   "[1 2]",   "[1]]",  "01",
        "1.",      ".5",        "+1",      "-",        "1e",       "tru",        "nul",       "NaN",       "\"",      "\"\\x\"", "\"\\u12\"",
        "\"\\u12g4\"", "\"\n\"", "[\"a]",  "{\"a\":}", "\"a\" \"b\"", "\xff",    "\"\xc3\"",  "[,1]",      "{,}",     "[1,,2]",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (kind_of(bad[i]) != JSON_BAD)
            fail_msg("%s was taken", bad[i]);
}

static void depth_is_limited_exactly(void **state)
{
    (void)state;
    char text[2 * LIMIT_JSON_DEPTH + 8];
    for (size_t depth = LIMIT_JSON_DEPTH - 1; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = '\0';
        assert_int_equal(kind_of(text), depth <= LIMIT_JSON_DEPTH ? JSON_LIST : JSON_BAD);
    }
}

static void members_come_in_order_with_their_values(void **state)
{
    (void)state;
    struct json_scan s;
    struct json_item m;
    json_scan_open(STR(" { \"a\" : 1 ,\"b\":[1,[2],\"]\"], \"c\":{\"x\":\"}\"} ,\"d\\\"\":null, \"a\":2 } "), &s);
    assert_true(json_scan_next(&s, &m) && json_item_is(&m, "a") && m.kind == JSON_INT && str_is(m.raw, "1") && m.index == 0);
    assert_true(json_scan_next(&s, &m) && json_item_is(&m, "b") && str_is(m.raw, "[1,[2],\"]\"]"));
    struct json_scan in = json_scan_into(&m);
    struct json_item e;
    assert_true(json_scan_next(&in, &e) && str_is(e.raw, "1") && !e.key.ptr);
    assert_true(json_scan_next(&in, &e) && str_is(e.raw, "[2]"));
    assert_true(json_scan_next(&in, &e) && e.kind == JSON_STR && e.index == 2);
    assert_false(json_scan_next(&in, &e));
    assert_true(json_scan_next(&s, &m) && json_item_is(&m, "c") && str_is(m.raw, "{\"x\":\"}\"}"));
    assert_true(json_scan_next(&s, &m) && !json_item_is(&m, "d\"") && m.kind == JSON_NULL);
    assert_true(json_scan_next(&s, &m) && json_item_is(&m, "a") && str_is(m.raw, "2"));
    assert_false(json_scan_next(&s, &m));
    assert_false(json_scan_next(&s, &m));
}

static void same_walk(struct json_scan a, struct json_scan b)
{
    struct json_item x, y;
    while (json_scan_next(&a, &x)) {
        assert_true(json_scan_next(&b, &y));
        assert_true(x.kind == y.kind && x.index == y.index && x.raw.ptr == y.raw.ptr && x.raw.len == y.raw.len && str_eq(x.key, y.key));
        same_walk(json_scan_into(&x), json_scan_into(&y));
    }
    assert_false(json_scan_next(&b, &y));
}

static void a_large_text_is_walked_as_any_other(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}", "[]", "5", "[[],[[]],{},[{\"a\":[[[[[1,[2]],3]],\"]\"]},{}],7]",
        "{\"a\":[{\"x\":\"}\"},{\"y\":[]}],\"b\":{\"c\":[{\"d\":{\"e\":{\"f\":[1,{}]}}},2],\"g\":{}},\"h\":[]}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct json_spans spans = { 0 };
        struct json_scan a, b;
        assert_int_equal(json_scan_open(str_of(texts[i]), &a), json_scan_open_large(str_of(texts[i]), &spans, &b));
        same_walk(a, b);
        json_spans_done(&spans);
    }
    char many[4000];
    size_t n = 0;
    for (many[n++] = '['; n < 3000; n += 5)
        memcpy(many + n, "[{}],", 5);
    many[n - 1] = ']';
    struct json_spans spans = { 0 };
    struct json_scan a, b;
    assert_int_equal(json_scan_open_large(str_bytes(many, n), &spans, &b), JSON_LIST);
    assert_int_equal(json_scan_open(str_bytes(many, n), &a), JSON_LIST);
    same_walk(a, b);
    json_spans_done(&spans);
    assert_int_equal(json_scan_open_large(STR("[[[],[}"), &spans, &b), JSON_BAD);
    json_spans_done(&spans);
}

static struct json_item only(const char *value)
{
    static char text[4096];
    struct json_scan s;
    struct json_item m;
    snprintf(text, sizeof(text), "[%s]", value);
    assert_int_equal(json_scan_open(str_of(text), &s), JSON_LIST);
    assert_true(json_scan_next(&s, &m));
    return m;
}

static void strings_are_lent_or_decoded(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *a = arena_new(1 << 16);
    struct json_item m = only("\"plain \xc3\xa9\"");
    struct str s = json_item_text(&m, a);
    assert_true(str_is(s, "plain \xc3\xa9") && s.ptr == m.raw.ptr + 1);
    m = only("\"\"");
    assert_true(json_item_text(&m, a).ptr != NULL && json_item_text(&m, a).len == 0);
    m = only("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20ac\\ud83d\\ude00\"");
    assert_true(str_is(json_item_text(&m, a), "a\"\\/\b\f\n\r\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"));
    m = only("\"\\ud83d\"");
    assert_true(str_is(json_item_text(&m, a), "\xef\xbf\xbd"));
    m = only("\"\\udc80x\\u0000\\ud83d\\u0041\"");
    assert_true(str_is(json_item_text(&m, a), "\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd" "A"));
    m = only("5");
    assert_null(json_item_text(&m, a).ptr);
}

static void numbers_are_taken_as_pydantic_takes_them(void **state)
{
    (void)state;
    int64_t v;
    struct json_item m;
    m = only("5"), assert_true(json_item_int(&m, &v) && v == 5);
    m = only("-7"), assert_true(json_item_int(&m, &v) && v == -7);
    m = only("5.0"), assert_true(json_item_int(&m, &v) && v == 5);
    m = only("\"65535\""), assert_true(json_item_int(&m, &v) && v == 65535);
    m = only("9223372036854775807"), assert_true(json_item_int(&m, &v) && v == INT64_MAX);
    m = only("9223372036854775808"), assert_false(json_item_int(&m, &v));
    m = only("5.5"), assert_false(json_item_int(&m, &v));
    m = only("true"), assert_false(json_item_int(&m, &v));
    m = only("\"x\""), assert_false(json_item_int(&m, &v));
    bool b;
    m = only("true"), assert_true(json_item_bool(&m, &b) && b);
    m = only("\"No\""), assert_true(json_item_bool(&m, &b) && !b);
    m = only("1"), assert_true(json_item_bool(&m, &b) && b);
    m = only("2"), assert_false(json_item_bool(&m, &b));
    m = only("null"), assert_false(json_item_bool(&m, &b));
}

static void canonical_text_is_pythons(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *a = arena_new(1 << 16);
    /* right: json.dumps(json.loads(left), sort_keys=True, separators=(",", ":")) */
    static const char *const t[][2] = {
        { "{}", "{}" },
        { "{ \"b\" : 1, \"a\" : null }", "{\"a\":null,\"b\":1}" },
        { "{\"a\": [1, {\"y\": true, \"x\": false}]}", "{\"a\":[1,{\"x\":false,\"y\":true}]}" },
        { "{\"a\": \"\xc3\xa9\"}", "{\"a\":\"\\u00e9\"}" },
        { "{\"a\": \"\xf0\x9f\x98\x80\"}", "{\"a\":\"\\ud83d\\ude00\"}" },
        { "{\"a\": \"\\/\\u0041\\u000a\\u001f\\\"\\\\\"}", "{\"a\":\"/A\\n\\u001f\\\"\\\\\"}" },
        { "{\"a\": \"\x7f\"}", "{\"a\":\"\x7f\"}" },
        { "{\"\xc3\xa9\": 1, \"z\": 2, \"\\u0041\": 3}", "{\"A\":3,\"z\":2,\"\\u00e9\":1}" }, /* by code point, not by spelling */
        { "{\"local_ip\": \"::\", \"local_port\": 22}", "{\"local_ip\":\"::\",\"local_port\":22}" },
    };
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        AUTO(buf_done) struct buf out = BUF(4096);
        struct json_item m = only(t[i][0]);
        assert_int_equal(json_item_canonical(&m, a, &out), 0);
        assert_string_equal(buf_as_cstr(&out), t[i][1]);
    }
}

static void a_canonical_text_that_does_not_fit_says_so(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *a = arena_new(1 << 16);
    struct json_item m = only("{\"a\":\"0123456789\"}");
    for (size_t max = 0; max < 18; max++) {
        AUTO(buf_done) struct buf out = BUF(max);
        assert_int_equal(json_item_canonical(&m, a, &out), -ENOBUFS);
    }
    AUTO(buf_done) struct buf out = BUF(18);
    assert_int_equal(json_item_canonical(&m, a, &out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_json_is_known_by_its_kind),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(depth_is_limited_exactly),
        cmocka_unit_test(members_come_in_order_with_their_values),
        cmocka_unit_test(a_large_text_is_walked_as_any_other),
        cmocka_unit_test(strings_are_lent_or_decoded),
        cmocka_unit_test(numbers_are_taken_as_pydantic_takes_them),
        cmocka_unit_test(canonical_text_is_pythons),
        cmocka_unit_test(a_canonical_text_that_does_not_fit_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
