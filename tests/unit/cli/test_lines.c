/* Promises of cli/lines.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/lines.h"

/* Everything handed out: "<line>\n" when whole, "<line>$" when not. */
static void collect(void *ctx, struct str line, bool is_whole)
{
    struct buf *b = ctx;
    assert_int_equal(buf_str(b, line), 0);
    assert_int_equal(buf_char(b, is_whole ? '\n' : '$'), 0);
}

static void feed(struct lines *l, const char *s, size_t n, struct buf *out)
{
    /* exactly as many bytes as there are: reading further is seen by the sanitizer */
    char *copy = n ? xmemdup(s, n) : NULL;
    lines_feed(l, str_bytes(copy, n), collect, out);
    free(copy);
}

static void a_stream_cut_at_any_two_points_gives_the_same_lines(void **state)
{
    static const char text[] = "one\n\ntwo \xc3\xbc\r\n\nlast";
    static const char want[] = "one\n\ntwo \xc3\xbc\r\n\nlast$";
    size_t n = sizeof(text) - 1;
    (void)state;
    for (size_t i = 0; i <= n; i++) {
        for (size_t k = i; k <= n; k++) {
            AUTO(buf_done) struct buf out = BUF(1000);
            struct lines l = { 0 };
            feed(&l, text, i, &out);
            feed(&l, text + i, k - i, &out);
            feed(&l, text + k, n - k, &out);
            lines_flush(&l, collect, &out);
            assert_true(str_is(buf_as_str(&out), want));
            lines_done(&l);
        }
    }
}

static void an_incomplete_line_waits_and_is_flushed_once(void **state)
{
    AUTO(buf_done) struct buf out = BUF(100);
    struct lines l = { 0 };
    (void)state;
    feed(&l, "half", 4, &out);
    assert_int_equal(out.len, 0);
    lines_flush(&l, collect, &out);
    lines_flush(&l, collect, &out);
    assert_true(str_is(buf_as_str(&out), "half$"));
    lines_done(&l);
}

static size_t longest, n_pieces, n_whole, total;
static void measure(void *ctx, struct str line, bool is_whole)
{
    (void)ctx;
    longest = line.len > longest ? line.len : longest;
    n_pieces++;
    n_whole += is_whole;
    total += line.len;
}

static void a_line_of_the_maximum_is_one_piece_and_one_byte_more_makes_two(void **state)
{
    (void)state;
    for (size_t extra = 0; extra <= 1; extra++) {
        for (size_t step = 1; step <= 3; step++) {
            size_t n = LINE_MAX_BYTES - 1 + extra + 1, piece = step == 1 ? n + 1 : step == 2 ? 4096 : 65535;
            AUTO_FREE char *text = xmalloc(n + 1);
            struct lines l = { 0 };
            memset(text, 'x', n);
            text[n] = '\n';
            longest = n_pieces = n_whole = total = 0;
            for (size_t at = 0; at < n + 1; at += piece)
                lines_feed(&l, str_bytes(text + at, n + 1 - at < piece ? n + 1 - at : piece), measure, NULL);
            lines_flush(&l, measure, NULL);
            assert_int_equal(total, n);
            assert_int_equal(n_whole, 1);
            assert_int_equal(n_pieces, n > LINE_MAX_BYTES ? 2 : 1);
            assert_true(longest <= LINE_MAX_BYTES);
            lines_done(&l);
        }
    }
}

static void after_a_break_only_new_bytes_are_shown_at_any_offset(void **state)
{
    size_t skip;
    (void)state;
    for (uint64_t shown = 0; shown < 12; shown++) {
        for (uint64_t offset = 0; offset < 12; offset++) {
            for (size_t len = 0; len < 12; len++) {
                enum piece p = piece_place(shown, offset, len, &skip);
                if (offset > shown) {
                    assert_int_equal(p, PIECE_AHEAD);
                } else if (offset + len <= shown) {
                    assert_int_equal(p, PIECE_OLD);
                } else {
                    assert_int_equal(p, PIECE_NEW);
                    assert_int_equal(offset + skip, shown);
                }
            }
        }
    }
    assert_int_equal(piece_place(10, 5, SIZE_MAX, &skip), PIECE_NEW);
    assert_int_equal(piece_place(UINT64_MAX, UINT64_MAX - 1, 1, &skip), PIECE_OLD);
}

static void check_terminal(const char *in, const char *want, bool colored)
{
    AUTO(buf_done) struct buf out = BUF(1000);
    bool got;
    line_for_terminal(str_of(in), &out, &got);
    if (!str_is(buf_as_str(&out), want))
        fail_msg("got %s, want %s", buf_as_cstr(&out), want);
    assert_int_equal(got, colored);
}

static void a_terminal_sees_colours_and_tabs_but_no_other_control(void **state)
{
    (void)state;
    check_terminal("plain \xc3\xbc", "plain \xc3\xbc", false);
    check_terminal("a\tb", "a\tb", false);
    check_terminal("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m", true);
    check_terminal("\x1b[2J", "\\x1B[2J", false);
    check_terminal("\x1b]0;title\a", "\\x1B]0;title\\x07", false);
    check_terminal("\x1b[31", "\\x1B[31", false);
    check_terminal("\x1b", "\\x1B", false);
    check_terminal("", "", false);
}

static void what_a_carriage_return_overwrote_is_gone(void **state)
{
    (void)state;
    check_terminal("10%\r50%\r100%", "100%", false);
    check_terminal("dos line\r", "dos line", false);
    check_terminal("\r", "", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_cut_at_any_two_points_gives_the_same_lines),
        cmocka_unit_test(an_incomplete_line_waits_and_is_flushed_once),
        cmocka_unit_test(a_line_of_the_maximum_is_one_piece_and_one_byte_more_makes_two),
        cmocka_unit_test(after_a_break_only_new_bytes_are_shown_at_any_offset),
        cmocka_unit_test(a_terminal_sees_colours_and_tabs_but_no_other_control),
        cmocka_unit_test(what_a_carriage_return_overwrote_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
