/* tests/unit/api/test_sigma_csv.c - comma separated values both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "api/dialects/sigma.h"
#include "base/mem.h"

/* Everything in @text as "a|b|c\n..."; a refusal as "!". */
static void assert_reads(const char *text, const char *want)
{
    struct arena *a = arena_new(1 << 20);
    struct str rest = str_of(text), cells[4];
    char got[512] = "";
    size_t n, at = 0;
    int r;
    while ((r = csv_next(a, &rest, cells, ARRAY_SIZE(cells), &n)) > 0) {
        for (size_t i = 0; i < n; i++)
            at += (size_t)snprintf(got + at, sizeof(got) - at, "%s%.*s", i ? "|" : "", STR_FMT(cells[i]));
        at += (size_t)snprintf(got + at, sizeof(got) - at, "/");
    }
    if (r < 0)
        snprintf(got + at, sizeof(got) - at, r == -E2BIG ? "!many" : "!");
    assert_string_equal(got, want);
    arena_free(a);
}

static void rows_end_with_any_line_end_and_the_last_needs_none(void **state)
{
    (void)state;
    assert_reads("", "");
    assert_reads("\n\r\n\n", "");
    assert_reads("a,b\nc,d", "a|b/c|d/");
    assert_reads("a,b\r\nc,d\r\n", "a|b/c|d/");
    assert_reads("a\rb", "a/b/");
    assert_reads("a\n\n\nb\n", "a/b/");
    assert_reads(",\n", "|/");
    assert_reads("a,\n", "a|/");
    assert_reads(",,,", "|||/");
}

static void quotes_hold_commas_quotes_and_line_ends(void **state)
{
    (void)state;
    assert_reads("\"a,b\",c", "a,b|c/");
    assert_reads("\"say \"\"hi\"\"\"", "say \"hi\"/");
    assert_reads("\"two\nlines\",x\ny", "two\nlines|x/y/");
    assert_reads("\"\",\"\"", "|/");
    assert_reads("\"\"\"\"", "\"/");
}

static void what_is_no_csv_is_refused(void **state)
{
    (void)state;
    assert_reads("\"open", "!");
    assert_reads("a\"b", "!");
    assert_reads("\"a\"b", "!");
    assert_reads("ok\n\"x", "ok/!");
    assert_reads("1,2,3,4\n", "1|2|3|4/");
    assert_reads("1,2,3,4,5\n", "!many");
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    static const char *const cells[] = { "", "plain", "a,b", "q\"q", "line\nend", "\r", "=1+1", "+1", "-1", "@x", "'x", "'=x", "''=x", "\t=x", "\r\n=x", "\n-1", " pad " };
    struct buf out = BUF(4096);
    for (size_t i = 0; i < ARRAY_SIZE(cells); i++) {
        csv_field(&out, str_of(cells[i]), true);
        csv_field(&out, STR("end"), false);
        csv_end(&out);
    }
    struct arena *a = arena_new(1 << 20);
    struct str rest = buf_as_str(&out), got[4];
    size_t n;
    for (size_t i = 0; i < ARRAY_SIZE(cells); i++) {
        assert_int_equal(csv_next(a, &rest, got, 4, &n), 1);
        assert_int_equal(n, 2);
        assert_true(str_is(csv_plain(got[0]), cells[i]));
        assert_true(str_is(got[1], "end"));
        assert_true(got[0].len == 0 || !strchr("=+-@\t\r\n", got[0].ptr[0]));
    }
    assert_int_equal(csv_next(a, &rest, got, 4, &n), 0);
    arena_free(a);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_end_with_any_line_end_and_the_last_needs_none),
        cmocka_unit_test(quotes_hold_commas_quotes_and_line_ends),
        cmocka_unit_test(what_is_no_csv_is_refused),
        cmocka_unit_test(what_is_written_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
