/* tests/unit/fleet/test_select.c - the promises of fleet/select.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "fleet/select.h"

static struct kv labels[] = { { STR("role"), STR("web") },
                              { STR("site"), STR("north-1") },
                              { STR("empty"), STR("") } };
static const struct kv_list all_labels = { labels, 3 };
static const struct selectable host = { .uuid = STR("018bcfe5-6800-7000-8000-0123456789ab"),
                                        .name = STR("edge-01"),
                                        .status = STR("ready"),
                                        .labels = &all_labels };

static int matches(const char *text)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 16);
    struct selector *s;
    struct err err = { 0 };
    int r = selector_parse(a, str_of(text), &s, &err);
    if (r < 0) {
        assert_string_equal(err.slug, "selector.bad");
        return r;
    }
    return selector_match(s, &host);
}

static void terms_match(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int want;
    } cases[] = {
        { "role=web", 1 },
        { "role=db", 0 },
        { "role=db|web", 1 },
        { "role!=web", 0 },
        { "role!=db|app", 1 },
        { "nolabel!=x", 1 },
        { "role", 1 },
        { "nolabel", 0 },
        { "!role", 0 },
        { "!nolabel", 1 },
        { "site~north-*", 1 },
        { "site~south*|north-?", 1 },
        { "nolabel~*", 0 },
        { "empty=", 1 },
        { "role=", 0 },
        { "role=web,site~n*,!x", 1 },
        { "role=web,site=south", 0 },
        { " role=web , !x ", 1 },
        { "name=edge-01", 1 },
        { "name=edge-*", 1 },
        { "name=edge", 0 },
        { "name!=edge-*", 0 },
        { "name~*01", 1 },
        { "id=018bcfe5-6800-7000-8000-0123456789ab", 1 },
        { "id=018BCFE5-6800-7000-8000-0123456789AB", 1 },
        { "id=018bcfe5-6800-7000-8000-0123456789ac", 0 },
        { "id!=018bcfe5-6800-7000-8000-0123456789ac", 1 },
        { "status=ready", 1 },
        { "status=busy|ready", 1 },
        { "status!=ready", 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (matches(cases[i].text) != cases[i].want)
            fail_msg("%s: %d", cases[i].text, matches(cases[i].text));
}

static void nonsense_is_refused_with_its_place(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",     " ",     ",",     "a=b,",    ",a=b",          "a=b,,c", "=x",      "!",
        "!=x",  "a b=c", "a!b",   "!a=b",    "a=\x01",        "a=\xff", "id=nope", "id~*",
        "name", "!name", "name=", "status=", "status=Ready!", "status", "~x",      "a<b"
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (matches(bad[i]) != -EINVAL)
            fail_msg("\"%s\": %d", bad[i], matches(bad[i]));
    AUTO(arena_free) struct arena *a = arena_new(1 << 16);
    struct selector *s;
    struct err err;
    assert_int_equal(selector_parse(a, STR("role=web, bad key"), &s, &err), -EINVAL);
    assert_non_null(strstr(err.text, "character 14"));
    assert_int_equal(selector_parse(a, STR_NONE, &s, &err), -EINVAL);
}

static void thirty_two_terms_and_not_one_more(void **state)
{
    (void)state;
    char text[256] = "a";
    for (int n = 1; n < 32; n++)
        memcpy(text + strlen(text), ",a", 3);
    assert_int_equal(matches(text), 0);
    memcpy(text + strlen(text), ",a", 3);
    assert_int_equal(matches(text), -E2BIG);
}

static void a_small_arena_is_an_error_not_a_crash(void **state)
{
    (void)state;
    for (size_t max = 0; max < 4096; max += 64) {
        AUTO(arena_free) struct arena *a = arena_new(max);
        struct selector *s;
        int r = selector_parse(a, STR("role=web|db|app,site~north-*,name=edge-*"), &s, NULL);
        assert_true(r == 0 || r == -ENOBUFS);
    }
}

static void globs(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *s;
        bool want;
    } cases[] = {
        { "", "", true },
        { "", "a", false },
        { "*", "", true },
        { "*", "abc", true },
        { "?", "", false },
        { "?", "a", true },
        { "a*c", "abc", true },
        { "a*c", "ac", true },
        { "a*c", "ab", false },
        { "*b*", "abc", true },
        { "**", "x", true },
        { "a?c", "abc", true },
        { "*a*b*c", "xxaxxbxxc", true },
        { "*a*b*c", "xxaxxcxxb", false },
        { "a*a*a", "aa", false },
        { "[a]", "a", false },
        { "[a]", "[a]", true },
        { "*.example", "a.b.example", true },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(glob_match(str_of(cases[i].pattern), str_of(cases[i].s)), cases[i].want);
    char evil[513], text[4097];
    for (int i = 0; i < 512; i += 2)
        memcpy(evil + i, "a*", 2);
    memset(text, 'a', 4096);
    assert_false(glob_match(str_bytes(evil, 512), str_bytes(text, 200)));
    evil[511] = 'b';
    assert_false(glob_match(str_bytes(evil, 512), str_bytes(text, 4096))); /* comes back at all */
}

static void labels_have_limits(void **state)
{
    (void)state;
    char k[130], v[258];
    memset(k, 'k', sizeof(k));
    memset(v, 'v', sizeof(v));
    assert_int_equal(label_check(STR("a.b_c/d-E9"), STR("any text; even = and !~*?"), NULL), 0);
    assert_int_equal(label_check(str_bytes(k, 128), STR(""), NULL), 0);
    assert_int_equal(label_check(str_bytes(k, 129), STR(""), NULL), -EINVAL);
    assert_int_equal(label_check(STR(""), STR(""), NULL), -EINVAL);
    assert_int_equal(label_check(STR("a b"), STR(""), NULL), -EINVAL);
    assert_int_equal(label_check(STR("k"), str_bytes(v, LIMIT_LABEL_VALUE), NULL), 0);
    assert_int_equal(label_check(STR("k"), str_bytes(v, LIMIT_LABEL_VALUE + 1), NULL), -EINVAL);
    assert_int_equal(label_check(STR("k"), str_bytes("a\0b", 3), NULL), -EINVAL);
    assert_int_equal(label_check(STR("k"), STR("\x1b[1m"), NULL), -EINVAL);
    struct err err;
    assert_int_equal(label_check(STR("k"), STR("\xc3"), &err), -EINVAL);
    assert_string_equal(err.slug, "label.bad");
}

/* Operators' labels always match: what label_check() lets through, key=value selects. */
static void what_may_be_set_can_be_selected(void **state)
{
    (void)state;
    static const char *const keys[] = { "name", "id", "status", "Name", "names", "a", "status.x", "-a", "a/b" };
    static const char *const values[] = { "", "x", " x", "x ", "a,b", ",", "a|b", "|", "a=b", "!a", "~a", "*", "a!=b", "\"q\"", "\xc3\xa9", " " };
    size_t n_refused = 0;
    for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
        for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
            AUTO(arena_free) struct arena *a = arena_new(1 << 16);
            struct kv label = { str_of(keys[k]), str_of(values[v]) };
            const struct kv_list one = { &label, 1 };
            const struct selectable h = { .uuid = host.uuid, .name = STR("x"), .status = STR("ready"), .labels = &one };
            struct selector *sel = NULL;
            struct err err = { 0 };
            char text[64];
            snprintf(text, sizeof(text), "%s=%s", keys[k], values[v]);
            bool selects = selector_parse(a, str_of(text), &sel, NULL) == 0 && selector_match(sel, &h);
            bool is_builtin = k < 3; /* name=x selects, but by the name */
            if ((label_check(label.key, label.value, &err) == 0) != (selects && !is_builtin))
                fail_msg("%s: %s", text, err.text);
            if (err.slug[0]) {
                assert_string_equal(err.path, keys[k]);
                n_refused++;
            }
        }
    assert_int_equal(n_refused, 3 * 16 + 6 * 6);
}

/* A typo must not read as "none". */
static void a_status_nobody_can_have_is_refused(void **state)
{
    (void)state;
    assert_int_equal(matches("status=redy"), -EINVAL);
    assert_int_equal(matches("status!=redy"), -EINVAL);
    assert_int_equal(matches("status=ready|gone"), -EINVAL);
    assert_int_equal(matches("status!=stale|disconnected"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_match),
        cmocka_unit_test(nonsense_is_refused_with_its_place),
        cmocka_unit_test(thirty_two_terms_and_not_one_more),
        cmocka_unit_test(a_small_arena_is_an_error_not_a_crash),
        cmocka_unit_test(globs),
        cmocka_unit_test(labels_have_limits),
        cmocka_unit_test(what_may_be_set_can_be_selected),
        cmocka_unit_test(a_status_nobody_can_have_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
