/* Promises of net/sse.h. */
#include "lib.h"
#include "net/sse.h"

static void on_event(void *ctx, const char *event, const char *id, struct str data)
{
    buf_printf(ctx, "<%s|%s|%.*s>", event, id, STR_FMT(data));
}

static void check(struct str text, const char *want)
{
    for (size_t cut = 0; cut <= text.len; cut++) {
        AUTO(buf_done) struct buf got = BUF(10000);
        struct sse_parser p;

        sse_parser_init(&p, 100);
        assert_int_equal(sse_feed(&p, str_sub(text, 0, cut), on_event, &got), 0);
        assert_int_equal(sse_feed(&p, str_sub(text, cut, SIZE_MAX), on_event, &got), 0);
        assert_string_equal(buf_as_cstr(&got), want);
        sse_parser_done(&p);
    }
}

static void events_are_read_at_any_split(void **state)
{
    (void)state;
    check(STR("data: a\n\n"), "<message||a>");
    check(STR("event: x\nid: 7\ndata: a\ndata:b\n\ndata: c\n\n"), "<x|7|a\nb><message|7|c>");
    check(STR(": comment\r\ndata: a\r\n\r\ndata: b\r\rdata: c\n\n"), "<message||a><message||b><message||c>");
    check(STR("event: nothing\n\nid: 3\n\ndata\n\n"), "<message|3|>");
    check(STR("unknown: x\ndata: a\n\n"), "<message||a>");
}

static void what_is_written_is_read_back(void **state)
{
    AUTO(buf_done) struct buf wire = BUF(1000);
    AUTO(buf_done) struct buf got = BUF(1000);
    struct sse_parser p;

    (void)state;
    assert_int_equal(sse_event(&wire, "host", STR("12"), STR("two\nlines\n")), 0);
    assert_int_equal(sse_comment(&wire, "still here"), 0);
    assert_int_equal(sse_event(&wire, NULL, STR_NONE, STR("x")), 0);
    sse_parser_init(&p, 100);
    assert_int_equal(sse_feed(&p, buf_as_str(&wire), on_event, &got), 0);
    assert_string_equal(buf_as_cstr(&got), "<host|12|two\nlines\n><message|12|x>");
    sse_parser_done(&p);
}

static void an_event_over_the_maximum_is_refused(void **state)
{
    struct sse_parser p;
    AUTO(buf_done) struct buf got = BUF(1000);

    (void)state;
    sse_parser_init(&p, 4);
    assert_int_equal(sse_feed(&p, STR("data: abcd\n\n"), on_event, &got), 0);
    assert_int_equal(sse_feed(&p, STR("data: abcde\n\n"), on_event, &got), -EMSGSIZE);
    sse_parser_done(&p);
}

static void a_full_buffer_gets_all_or_nothing(void **state)
{
    AUTO(buf_done) struct buf wire = BUF(12);

    (void)state;
    assert_int_equal(sse_event(&wire, NULL, STR_NONE, STR("too much for it")), -ENOBUFS);
    assert_int_equal(wire.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_read_at_any_split),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(an_event_over_the_maximum_is_refused),
        cmocka_unit_test(a_full_buffer_gets_all_or_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
