/* tests/unit/codec/test_json_mend.c - the promises of codec/json_mend.h. */
#include <errno.h>

#include "base/limits.h"
#include "base/mem.h"
#include "codec/json_mend.h"
#include "arena_fixture.h"

static void assert_text(struct str got, const char *want)
{
    if (!str_is(got, want))
        fail_msg("got %.*s, want %s", STR_FMT(got), want);
}

static const struct {
    const char *text, *mended, *python; /* NULL: as it stands */
} rows[] = {
    { "\"a\\udcff\"", "\"a\\ufffd\"", NULL },
    { "\"\\uD800\"", "\"\\ufffd\"", NULL },
    { "\"\\ud83d\\ude00\"", "\"\\ud83d\\ude00\"", NULL },
    { "\"\\ud83d\\ud83d\\ude00\\ude00\"", "\"\\ufffd\\ud83d\\ude00\\ufffd\"", NULL },
    { "\"\\ud83dx\"", "\"\\ufffdx\"", NULL },
    { "\"\\ud83d\\n\"", "\"\\ufffd\\n\"", NULL },
    { "\"\\\\udcff\"", "\"\\\\udcff\"", NULL }, /* a backslash, then letters */
    { "\"\\\"\\udcff\"", "\"\\\"\\ufffd\"", NULL },
    { "\"\\ud7ff\\ue000\"", "\"\\ud7ff\\ue000\"", NULL },
    { "{\"\\udc80\":1}", "{\"\\ufffd\":1}", NULL },
    { "[NaN,Infinity,-Infinity,-1]", "[NaN,Infinity,-Infinity,-1]", "[null,null,null,-1]" },
    { "{\"NaN\":NaN,\"s\":\"NaN Infinity\"}", "{\"NaN\":NaN,\"s\":\"NaN Infinity\"}", "{\"NaN\":null,\"s\":\"NaN Infinity\"}" },
    { "{\"l\":-Infinity,\"s\":\"\\udc80\"}", "{\"l\":-Infinity,\"s\":\"\\ufffd\"}", "{\"l\":null,\"s\":\"\\ufffd\"}" },
};

static void surrogates_become_u_fffd_and_no_numbers_null(void **state)
{
    struct str got;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct node *n;

        assert_int_equal(json_mend_text(a, str_of(rows[i].text), &got), 0);
        assert_text(got, rows[i].mended);
        assert_int_equal(json_mend_python(a, str_of(rows[i].text), &got), 0);
        assert_text(got, rows[i].python ? rows[i].python : rows[i].mended);
        assert_int_equal(json_parse(a, got, got.len, &n, &err), 0);
    }
}

static void what_is_wrong_otherwise_stays_wrong(void **state)
{
    static const char *const bad[] = { "NaNs", "[-NaN]", "{NaN:1}", "[1NaN]", "[NaN1]", "[nullNaN]", "[NaN NaN]", "--Infinity", "+Infinity",
                                       "\"\\u0000\"", "\"\\ud8\"", "\"\\ud80", "\"\\", "\"\\udcf", "\"\\ud800\\u12\"", "[nan]", "{\"a\":1,\"a\":NaN}",
                                       "{\"\\udc80\":1,\"\\udc81\":2}", "\"\xff\\udc80\"" };
    struct str got;
    struct node *n;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(json_mend_python(a, str_of(bad[i]), &got), 0);
        if (json_parse(a, got, got.len, &n, &err) != -EINVAL)
            fail_msg("%s was taken", bad[i]);
    }
}

static void a_text_with_nothing_to_mend_is_lent(void **state)
{
    struct str text = STR("{\"a\":[1,\"\\u00e9 None\"]}"), got;
    size_t left = arena_left(a);

    (void)state;
    assert_int_equal(json_mend_python(a, text, &got), 0);
    assert_ptr_equal(got.ptr, text.ptr);
    assert_int_equal(arena_left(a), left);
}

static void a_full_arena_is_said(void **state)
{
    AUTO(arena_free) struct arena *small = arena_new(16);
    struct str got;
    struct json_rows r;

    (void)state;
    assert_int_equal(json_mend_text(small, STR("\"0123456789 0123456789 0123456789 \\udcff\""), &got), -ENOBUFS);
    assert_int_equal(json_split(small, STR("{\"0123456789 0123456789 0123456789\":1,\"r\":[]}"), 100, "r", &r, &err), -ENOBUFS);
    assert_string_equal(err.slug, "json.too_large");
}

static void a_list_is_cut_into_its_rows(void **state)
{
    static const char *const want[] = { "1", "\"a,]\\\"}\"", "{\"x\": [1, {}], \"y\":NaN}", "[[[\"\\u0000\"]]]", "oops", "null" };
    struct str text = STR(" {\"b\": {\"r\": [0]}, \"r\" : [ 1,\"a,]\\\"}\" , {\"x\": [1, {}], \"y\":NaN},[[[\"\\u0000\"]]],oops,null ] , \"z\": Infinity}\n");
    struct json_rows r;
    struct str row;
    size_t n = 0;

    (void)state;
    assert_int_equal(json_split(a, text, 1000, "r", &r, &err), JSON_SPLIT);
    assert_int_equal(r.n, ARRAY_SIZE(want));
    assert_int_equal(r.root->n, 3);
    assert_int_equal(node_get(r.root, "r")->n, 0);
    assert_int_equal(node_get(r.root, "z")->type, NODE_NULL);
    while (json_rows_next(&r, &row))
        assert_text(row, want[n++]);
    assert_int_equal(n, ARRAY_SIZE(want));
    assert_false(json_rows_next(&r, &row));
}

static void an_empty_list_has_no_row(void **state)
{
    struct json_rows r;
    struct str row;

    (void)state;
    assert_int_equal(json_split(a, STR("{\"r\":[ ]}"), 100, "r", &r, &err), JSON_SPLIT);
    assert_int_equal(r.n, 0);
    assert_false(json_rows_next(&r, &row));
}

static void a_document_without_the_list_says_so(void **state)
{
    static const char *const none[] = { "{}", "null", "[]", "{\"r\":{}}", "{\"r\":\"[]\"}", "{\"R\":[1]}", "{\"a\":{\"r\":[1]}}", "7" };
    struct json_rows r;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(none); i++)
        if (json_split(a, str_of(none[i]), 100, "r", &r, &err) != JSON_NO_LIST || r.n != 0)
            fail_msg("%s", none[i]);
}

static void a_document_that_is_no_json_around_its_rows_is_refused(void **state)
{
    static const char *const bad[] = { "", "{", "{\"r\":[", "{\"r\":[1", "{\"r\":[1]", "{\"r\":[1,]}", "{\"r\":[,1]}", "{\"r\":[1,,2]}", "{\"r\":[1]}}",
                                       "{\"r\":[1]} x", "{\"r\":[1] \"a\":2}", "{\"r\":[1}", "{\"r\":[1],\"r\":[2]}", "{\"a\":1,\"a\":2,\"r\":[1]}", "<html>",
                                       "{\"r\":[\"", "{\"r\":[\"\\", "{r:[1]}", "{\"r\":[1]x}", "{\"a\":\"\\u0000\",\"r\":[1]}", "{\"a\":\"\xff\",\"r\":[1]}" };
    struct json_rows r;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        err_reset(&err);
        if (json_split(a, str_of(bad[i]), 100, "r", &r, &err) != -EINVAL || !err_is(&err))
            fail_msg("%s was taken", bad[i]);
    }
}

static void the_limit_is_of_the_whole_text(void **state)
{
    struct str text = STR("{\"r\":[1,NaN]}");
    struct json_rows r;

    (void)state;
    assert_int_equal(json_split(a, text, text.len, "r", &r, &err), JSON_SPLIT);
    assert_int_equal(json_split(a, text, text.len - 1, "r", &r, &err), -EMSGSIZE);
}

static void a_row_is_named_by_a_plain_member_given_once(void **state)
{
    static const struct {
        const char *row, *want;
    } names[] = {
        { "{\"id\":\"x\"}", "x" },
        { "{ \"a\" : {\"id\":\"no\"} , \"id\" : \"\xc3\xbc\" , \"b\":[NaN,\"\\u0000\",{\"id\":\"no\"}]}", "\xc3\xbc" },
        { "{\"id\":\"x\",\"id\":\"y\"}", NULL },
        { "{\"id\":\"\\u0078\"}", NULL },
        { "{\"id\":7}", NULL },
        { "{\"id\":\"x\" \"y\"}", NULL },
        { "{\"id\":\"x\"", NULL },
        { "{\"id\":\"x\"}}", NULL },
        { "{\"id\":\"x\",}", NULL },
        { "{\"id\":\"\xff\"}", NULL },
        { "{\"id\":\"a\nb\"}", NULL },
        { "{}", NULL },
        { "[\"id\"]", NULL },
        { "\"id\"", NULL },
        { "", NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct str got = json_row_text(str_of(names[i].row), "id");

        if (names[i].want)
            assert_text(got, names[i].want);
        else if (got.ptr)
            fail_msg("%s is named %.*s", names[i].row, STR_FMT(got));
    }
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(surrogates_become_u_fffd_and_no_numbers_null),
        T(what_is_wrong_otherwise_stays_wrong),
        T(a_text_with_nothing_to_mend_is_lent),
        T(a_full_arena_is_said),
        T(a_list_is_cut_into_its_rows),
        T(an_empty_list_has_no_row),
        T(a_document_without_the_list_says_so),
        T(a_document_that_is_no_json_around_its_rows_is_refused),
        T(the_limit_is_of_the_whole_text),
        T(a_row_is_named_by_a_plain_member_given_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
