/* tests/unit/agent/collect/test_source.c - lines at any chunking, words, links, stamps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "agent/collect/source.h"
#include "base/mem.h"
#include "tree.h"

static int join(void *ctx, struct str line)
{
    struct buf *b = ctx;
    assert_int_equal(buf_printf(b, "[%.*s]", STR_FMT(line)), 0);
    return 0;
}

static void lines_are_the_same_at_every_split(void **state)
{
    (void)state;
    static const char text[] = "one\n\ntwo words\nlast";
    for (size_t i = 0; i < sizeof(text); i++)
        for (size_t j = i; j < sizeof(text); j++) {
            AUTO(buf_done) struct buf b = BUF(1024);
            struct src_lines l = src__lines(join, &b);
            assert_int_equal(src__lines_feed(&l, str_bytes(text, i)), 0);
            assert_int_equal(src__lines_feed(&l, str_bytes(text + i, j - i)), 0);
            assert_int_equal(src__lines_feed(&l, str_bytes(text + j, sizeof(text) - 1 - j < sizeof(text) ? sizeof(text) - 1 - j : 0)), 0);
            assert_int_equal(src__lines_end(&l), 0);
            assert_string_equal(buf_as_cstr(&b), "[one][][two words][last]");
        }
}

static int measure(void *ctx, struct str line)
{
    size_t *lens = ctx;
    lens[1 + lens[0]++] = line.len;
    return 0;
}

static void a_line_beyond_the_cap_is_cut_and_the_next_is_whole(void **state)
{
    (void)state;
    for (size_t n = SRC_LINE_MAX - 1; n <= SRC_LINE_MAX + 1; n++)
        for (size_t chunk = 1000; chunk <= SRC_LINE_MAX * 2; chunk += 7000) {
            AUTO(buf_done) struct buf b = BUF(SRC_LINE_MAX * 4);
            for (size_t i = 0; i < n; i++)
                buf_char(&b, 'x');
            buf_cstr(&b, "\nabc\n");
            size_t lens[4] = { 0 };
            struct src_lines l = src__lines(measure, lens);
            for (size_t at = 0; at < b.len; at += chunk)
                assert_int_equal(src__lines_feed(&l, str_sub(buf_as_str(&b), at, chunk)), 0);
            assert_int_equal(src__lines_end(&l), 0);
            assert_int_equal(lens[0], 2);
            assert_int_equal(lens[1], n < SRC_LINE_MAX ? n : SRC_LINE_MAX);
            assert_int_equal(lens[2], 3);
        }
}

static int refuse(void *ctx, struct str line)
{
    (void)line;
    return *(int *)ctx;
}

static void a_reader_may_stop_and_its_error_is_passed_on(void **state)
{
    struct tree *t = *state;
    int r = 1;
    tree_file(t, "/f", "a\nb\n");
    assert_int_equal(src__file_lines(t->root, "/f", refuse, &r), 0);
    r = -ENOBUFS;
    assert_int_equal(src__file_lines(t->root, "/f", refuse, &r), -ENOBUFS);
    assert_int_equal(src__file_lines(t->root, "/none", refuse, &r), -ENOENT);
}

static void words_numbers_and_links_are_empty_where_nothing_is(void **state)
{
    struct tree *t = *state;
    AUTO(arena_free) struct arena *a = arena_new(4096);
    tree_file(t, "/w", "  word \nsecond\n");
    tree_file(t, "/n", "42\n");
    tree_link(t, "/l", "/a/b/c");
    assert_true(str_is(src__word(a, t->root, "/%s", "w"), "word"));
    assert_int_equal(src__word(a, t->root, "/none").len, 0);
    assert_int_equal(src__number(t->root, "/n"), 42);
    assert_int_equal(src__number(t->root, "/w"), 0);
    assert_true(str_is(src__base(src__link(a, t->root, "/l")), "c"));
    assert_int_equal(src__link(a, t->root, "/w").len, 0);
}

static void a_path_too_long_is_refused_not_cut(void **state)
{
    (void)state;
    char path[SRC_PATH_MAX], root[SRC_PATH_MAX + 8];
    memset(root, 'r', sizeof(root) - 1);
    root[sizeof(root) - 1] = '\0';
    assert_int_equal(src__path(path, root, "/x"), -ENAMETOOLONG);
    root[SRC_PATH_MAX - 3] = '\0';
    assert_int_equal(src__path(path, root, "/x"), 0);
    root[SRC_PATH_MAX - 3] = 'r';
    root[SRC_PATH_MAX - 2] = '\0';
    assert_int_equal(src__path(path, root, "/x"), -ENAMETOOLONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_the_same_at_every_split),
        cmocka_unit_test(a_line_beyond_the_cap_is_cut_and_the_next_is_whole),
        cmocka_unit_test_setup_teardown(a_reader_may_stop_and_its_error_is_passed_on, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(words_numbers_and_links_are_empty_where_nothing_is, tree_setup, tree_teardown),
        cmocka_unit_test(a_path_too_long_is_refused_not_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
