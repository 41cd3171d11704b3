/* tests/unit/codec/test_json.c - the promises of codec/json.h. */
#include <errno.h>

#include "base/limits.h"
#include "base/mem.h"
#include "codec/json.h"
#include "arena_fixture.h"

static struct node *root;

static int parse(struct str s)
{
    return json_parse(a, s, LIMIT_JSON_BYTES, &root, &err);
}

static void every_kind_of_value_comes_and_goes(void **state)
{
    (void)state;
    struct str text =
        STR("{\"b\":true,\"a\":[1,-2.5,null,false,\"x\\n\\u00e9\",{}],\"n\":9007199254740993,\"e\":1e100}");
    assert_int_equal(parse(text), 0);
    assert_int_equal(root->n, 4);
    assert_true(str_is(root->child->key, "b")); /* the order of the text */
    assert_int_equal(node_get(root, "a")->n, 6);
    assert_true(node_get(root, "n")->i == 9007199254740993);
    assert_null(node_get(root, "z"));
    assert_null(node_get(node_get(root, "a"), "z"));
    AUTO(buf_done) struct buf b = BUF(4096);
    assert_int_equal(node_write(root, &b), 0);
    assert_string_equal(buf_as_cstr(&b), "{\"b\":true,\"a\":[1,-2.5,null,false,\"x\\n\xc3\xa9\",{}],"
                                         "\"n\":9007199254740993,\"e\":1e+100}");
    buf_reset(&b);
    b.max = 10;
    assert_int_equal(node_write(root, &b), -ENOBUFS);
    assert_int_equal(b.len, 0);
}

static void what_is_refused_says_why(void **state)
{
    (void)state;
    static const struct {
        struct str text;
        const char *slug;
    } rows[] = {
        { STR(""), "json.syntax" },
        { STR("{"), "json.syntax" },
        { STR("{} x"), "json.syntax" },
        { STR("{}{}"), "json.syntax" },
        { STR("{\"a\":1,\"a\":2}"), "json.duplicate" },
        { STR("{\"x\":{\"a\":1,\"\\u0061\":2}}"), "json.duplicate" },
        { STR("[\"\xff\"]"), "json.utf8" },
        { STR("[\"\\ud800\"]"), "json.syntax" } /* jansson calls a lone surrogate so */,
        { STR("[\"a\\u0000b\"]"), "json.utf8" },
        { STR("{\"a\\u0000b\":1}"), "json.utf8" },
        { STR("[NaN]"), "json.syntax" },
        { STR("[Infinity]"), "json.syntax" },
        { STR("[1e999]"), "json.number" },
        { STR("[9223372036854775808]"), "json.number" },
        { STR("[01]"), "json.syntax" },
        { STR("[1,]"), "json.syntax" },
        { STR("{a:1}"), "json.syntax" },
        { STR("['a']"), "json.syntax" },
        { STR("[\"a\nb\"]"), "json.syntax" },
        { STR("[1]\0"), "json.syntax" },
        { STR("\xef\xbb\xbf[1]"), "json.syntax" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        err_reset(&err);
        assert_int_equal(parse(rows[i].text), -EINVAL);
        assert_string_equal(err.slug, rows[i].slug);
    }
}

static void every_proper_prefix_is_refused(void **state)
{
    (void)state;
    struct str s = STR("{\"a\":[1,{\"b\":\"\\u00e9\xc3\xa9\"}],\"c\":null}");
    for (size_t n = 0; n < s.len; n++)
        assert_int_equal(parse(str_sub(s, 0, n)), -EINVAL);
    assert_int_equal(parse(s), 0);
}

static void errors_do_not_repeat_the_input(void **state)
{
    (void)state;
    assert_int_equal(parse(STR("{\"token\": hunter2}")), -EINVAL);
    assert_null(strstr(err.text, "hunter2"));
}

static void depth_is_exact(void **state)
{
    (void)state;
    char text[2 * (LIMIT_JSON_DEPTH + 1)];
    for (size_t depth = LIMIT_JSON_DEPTH - 1; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        int r = parse(str_bytes(text, 2 * depth));
        assert_int_equal(r, depth <= LIMIT_JSON_DEPTH ? 0 : -EINVAL);
    }
    assert_string_equal(err.slug, "json.depth");
    assert_int_equal(parse(STR("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[\"]")), 0);
}

static void size_is_exact_and_many_values_meet_the_arena_first(void **state)
{
    (void)state;
    assert_int_equal(json_parse(a, STR("[1,2]"), 4, &root, &err), -EMSGSIZE);
    assert_string_equal(err.slug, "json.too_large");
    assert_int_equal(json_parse(a, STR("[1,2]"), 5, &root, &err), 0);
    size_t n = 200000;
    AUTO_FREE char *text = xmalloc(n);
    memset(text, ',', n);
    size_t before = arena_used(a);
    assert_int_equal(json_parse(a, str_bytes(text, n), n, &root, &err), -ENOBUFS);
    assert_int_equal(arena_used(a), before);
}

static void the_writer_looks_after_commas_and_escapes(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF(4096);
    struct jw w = JW(&b);
    jw_map(&w);
    jw_key(&w, "s");
    jw_str(&w, STR("\"\\/\b\x01\x7f\xff\xe2\x82\xac"));
    jw_key(&w, "big");
    jw_u64(&w, 9007199254740993);
    jw_key(&w, "max");
    jw_u64(&w, 9007199254740992);
    jw_key(&w, "neg");
    jw_i64(&w, -9007199254740993);
    jw_key(&w, "l");
    jw_list(&w);
    jw_f64(&w, 0.1);
    jw_f64(&w, 1.0 / 0.0);
    jw_f64(&w, -0.0);
    jw_bool(&w, true);
    jw_null(&w);
    jw_list(&w);
    jw_end_list(&w);
    jw_raw(&w, STR("{\"x\":1}"));
    jw_end_list(&w);
    jw_end_map(&w);
    assert_int_equal(jw_done(&w), 0);
    assert_string_equal(
        buf_as_cstr(&b),
        "{\"s\":\"\\\"\\\\/\\b\\u0001\\u007f\xef\xbf\xbd\xe2\x82\xac\",\"big\":\"9007199254740993\","
        "\"max\":9007199254740992,\"neg\":\"-9007199254740993\",\"l\":[0.1,null,0,true,null,[],{\"x\":1}]}");
}

static void pretty_indents_by_two(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF(4096);
    struct jw w = JW(&b);
    w.pretty = true;
    jw_map(&w);
    jw_key(&w, "a");
    jw_list(&w);
    jw_u64(&w, 1);
    jw_u64(&w, 2);
    jw_end_list(&w);
    jw_key(&w, "b");
    jw_map(&w);
    jw_end_map(&w);
    jw_end_map(&w);
    assert_int_equal(jw_done(&w), 0);
    assert_string_equal(buf_as_cstr(&b), "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}");
}

static void a_writer_s_first_error_sticks(void **state)
{
    (void)state;
    for (size_t max = 0; max < 9; max++) {
        AUTO(buf_done) struct buf b = BUF(max);
        struct jw w = JW(&b);
        jw_list(&w);
        jw_cstr(&w, "abcde");
        jw_end_list(&w);
        assert_int_equal(jw_done(&w), -ENOBUFS);
    }
    AUTO(buf_done) struct buf b = BUF(4096);
    struct jw open = JW(&b);
    jw_list(&open);
    assert_int_equal(jw_done(&open), -EINVAL);
    struct jw deep = JW(&b);
    for (int i = 0; i < 65; i++)
        jw_list(&deep);
    assert_int_equal(jw_done(&deep), -ENOBUFS);
}

#define t(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        t(every_kind_of_value_comes_and_goes),
        t(what_is_refused_says_why),
        t(every_proper_prefix_is_refused),
        t(errors_do_not_repeat_the_input),
        t(depth_is_exact),
        t(size_is_exact_and_many_values_meet_the_arena_first),
        t(the_writer_looks_after_commas_and_escapes),
        t(pretty_indents_by_two),
        t(a_writer_s_first_error_sticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
