/* Promises of net/http1.h. */
#include "lib.h"
#include "net/http1.h"

struct got {
    struct h1 h;
    struct buf body, head;
    int n_heads;
};

static int on_head(void *ctx)
{
    struct got *s = ctx;

    s->n_heads++;
    buf_printf(&s->head, "%.*s %.*s 1.%u %d", STR_FMT(s->h.method), STR_FMT(s->h.target), s->h.minor, s->h.status);
    for (size_t i = 0; i < s->h.headers.n; i++)
        buf_printf(&s->head, "|%.*s=%.*s", STR_FMT(s->h.headers.v[i].key), STR_FMT(s->h.headers.v[i].value));
    return 0;
}

static int on_body(void *ctx, struct str piece)
{
    struct got *s = ctx;

    return buf_str(&s->body, piece) < 0 ? 413 : 0;
}

static const struct h1_ops ops = { on_head, on_body };

static void got_init(struct got *s, enum h1_kind kind)
{
    *s = (struct got){ .body = BUF(1 << 20), .head = BUF(1 << 20) };
    h1_init(&s->h, kind, &ops, s);
}

static void got_done(struct got *s)
{
    h1_reset(&s->h);
    buf_done(&s->body);
    buf_done(&s->head);
}

/* Feeds @msg cut at @cut; the outcome, and how much was eaten. */
static enum h1_outcome feed_cut(struct got *s, struct str msg, size_t cut, size_t *ret_used)
{
    size_t a = 0, b = 0;
    enum h1_outcome o = h1_feed(&s->h, str_sub(msg, 0, cut), &a);

    if (o == H1_MORE) {
        assert_int_equal(a, cut);
        o = h1_feed(&s->h, str_sub(msg, cut, SIZE_MAX), &b);
    }
    *ret_used = a + b;
    return o;
}

static void check_whole(const char *text, const char *head, const char *body)
{
    AUTO_FREE char *twice = xasprintf("%sGET /next", text);
    struct str msg = str_of(twice);
    size_t len = strlen(text), used;

    for (size_t cut = 0; cut <= msg.len; cut++) {
        struct got s;

        got_init(&s, H1_REQUEST);
        assert_int_equal(feed_cut(&s, msg, cut, &used), H1_DONE);
        assert_int_equal(used, len);
        assert_string_equal(buf_as_cstr(&s.head), head);
        assert_string_equal(buf_as_cstr(&s.body), body);
        got_done(&s);
    }
}

static void requests_are_read_at_any_split(void **state)
{
    (void)state;
    check_whole("GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Odd:  two  words \r\nEmpty:\r\n\r\n",
                "GET /a?b=c 1.1 0|host=x|x-odd=two  words|empty=", "");
    check_whole("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "POST / 1.1 0|host=x|content-length=5",
                "hello");
    check_whole("\r\n\r\nGET / HTTP/1.0\r\n\r\n", "GET / 1.0 0", "");
    check_whole("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n"
                "T: r\r\n\r\n",
                "POST / 1.1 0|host=x|transfer-encoding=chunked", "hello0123456789");
}

static void refused(const char *text, int status)
{
    struct str msg = str_of(text);
    size_t used;

    for (size_t cut = 0; cut <= msg.len; cut++) {
        struct got s;

        got_init(&s, H1_REQUEST);
        assert_int_equal(feed_cut(&s, msg, cut, &used), H1_BAD);
        assert_int_equal(s.h.bad_status, status);
        assert_non_null(s.h.bad_slug);
        /* For good. */
        assert_int_equal(h1_feed(&s.h, STR("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), &used), H1_BAD);
        got_done(&s);
    }
}

static void what_two_parsers_could_read_in_two_ways_is_refused(void **state)
{
    (void)state;
    refused("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
    refused("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400);
    refused("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400);
    refused("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello", 400);
    refused("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello", 400);
    refused("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nhello", 400);
    refused("POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello", 400);
    refused("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
    refused("POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
    refused("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400);
    refused("GET / HTTP/1.1\nHost: x\n\n", 400);
    refused("GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400);
    refused("GET / HTTP/1.1\r\nHost: x\r\nA: b\x01\r\n\r\n", 400);
    refused("GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400);
    refused("GET /\x7f HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    refused("GET /\xc3\xbc HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    refused("GET / HTTP/1.1\r\n\r\n", 400);
    refused("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400);
    refused("GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505);
    refused("nonsense\r\n\r\n", 400);
}

static void other_transfer_encodings_are_not_implemented(void **state)
{
    struct got s;
    size_t used;

    (void)state;
    got_init(&s, H1_REQUEST);
    assert_int_equal(h1_feed(&s.h, STR("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), &used),
                     H1_BAD);
    assert_int_equal(s.h.bad_status, 501);
    got_done(&s);
}

static void a_nul_anywhere_in_the_head_is_refused(void **state)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: xyz\r\n\r\n";
    char copy[sizeof(text)];
    size_t used;

    (void)state;
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        struct got s;

        memcpy(copy, text, sizeof(text));
        copy[i] = '\0';
        got_init(&s, H1_REQUEST);
        assert_int_equal(h1_feed(&s.h, str_bytes(copy, sizeof(text) - 1), &used), H1_BAD);
        assert_int_equal(s.h.bad_status, 400);
        got_done(&s);
    }
}

static void chunks_not_framed_as_they_must_be_are_refused(void **state)
{
    static const char *const bodies[] = { "5\nhello\r\n0\r\n\r\n",    "5\r\nhelloXX0\r\n\r\n", "5\r\nhello\n0\r\n\r\n",
                                          "g\r\n",                     "\r\n",                  "-1\r\n",
                                          "0x5\r\nhello\r\n",          "123456789\r\n",         "5 \r\nhello\r\n0\r\n\r\n",
                                          "5;a\x01\r\nhello\r\n0\r\n\r\n", "0\r\n folded\r\n\r\n", "5\rXhello\r\n0\r\n\r\n" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        AUTO_FREE char *text = xasprintf("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%s", bodies[i]);

        refused(text, 400);
    }
}

/* A request whose head is exactly @n bytes. */
static char *head_of(size_t n)
{
    static const char start[] = "GET / HTTP/1.1\r\nHost: x\r\nA: ", end[] = "\r\n\r\n";
    char *s = xmalloc(n + 1);

    memset(s, 'a', n);
    memcpy(s, start, sizeof(start) - 1);
    memcpy(s + n - 4, end, sizeof(end));
    return s;
}

static void a_head_may_be_as_large_as_the_limit_and_no_larger(void **state)
{
    size_t used;

    (void)state;
    for (int over = -1; over <= 1; over++) {
        AUTO_FREE char *text = head_of((size_t)(LIMIT_HTTP_HEAD_BYTES + over));
        struct got s;

        got_init(&s, H1_REQUEST);
        assert_int_equal(h1_feed(&s.h, str_of(text), &used), over > 0 ? H1_BAD : H1_DONE);
        assert_int_equal(s.h.bad_status, over > 0 ? 431 : 0);
        got_done(&s);
    }
}

static void as_many_headers_as_the_limit_and_no_more(void **state)
{
    (void)state;
    for (int over = -1; over <= 1; over++) {
        AUTO(buf_done) struct buf b = BUF(1 << 16);
        struct got s;
        size_t used;

        buf_cstr(&b, "GET / HTTP/1.1\r\nHost: x\r\n");
        for (int i = 1; i < LIMIT_HTTP_HEADERS + over; i++)
            buf_printf(&b, "a%d: b\r\n", i);
        buf_cstr(&b, "\r\n");
        got_init(&s, H1_REQUEST);
        assert_int_equal(h1_feed(&s.h, buf_as_str(&b), &used), over > 0 ? H1_BAD : H1_DONE);
        assert_int_equal(s.h.bad_status, over > 0 ? 431 : 0);
        got_done(&s);
    }
}

static void a_path_may_be_as_long_as_the_limit_and_no_longer(void **state)
{
    (void)state;
    for (int over = -1; over <= 1; over++) {
        AUTO(buf_done) struct buf b = BUF(1 << 16);
        struct got s;
        size_t used;

        buf_cstr(&b, "GET /");
        for (int i = 1; i < LIMIT_HTTP_PATH + over; i++)
            buf_char(&b, 'p');
        buf_cstr(&b, "?a-query-does-not-count HTTP/1.1\r\nHost: x\r\n\r\n");
        got_init(&s, H1_REQUEST);
        assert_int_equal(h1_feed(&s.h, buf_as_str(&b), &used), over > 0 ? H1_BAD : H1_DONE);
        assert_int_equal(s.h.bad_status, over > 0 ? 414 : 0);
        got_done(&s);
    }
}

static void a_body_refused_by_its_reader_says_so(void **state)
{
    struct got s;
    size_t used;

    (void)state;
    got_init(&s, H1_REQUEST);
    s.body.max = 4;
    assert_int_equal(h1_feed(&s.h, STR("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"), &used), H1_BAD);
    assert_int_equal(s.h.bad_status, 413);
    got_done(&s);
}

static void replies_are_read_at_any_split(void **state)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    size_t used;

    (void)state;
    for (size_t cut = 0; cut < sizeof(text); cut++) {
        struct got s;

        got_init(&s, H1_RESPONSE);
        assert_int_equal(feed_cut(&s, STR("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), cut, &used), H1_DONE);
        assert_int_equal(s.h.status, 200);
        assert_string_equal(buf_as_cstr(&s.body), "ok");
        got_done(&s);
    }
}

static void a_reply_without_length_ends_with_the_connection(void **state)
{
    struct got s;
    size_t used;

    (void)state;
    got_init(&s, H1_RESPONSE);
    assert_int_equal(h1_feed(&s.h, STR("HTTP/1.0 200 OK\r\n\r\nall of"), &used), H1_MORE);
    assert_int_equal(h1_feed(&s.h, STR(" it"), &used), H1_MORE);
    assert_int_equal(h1_eof(&s.h), H1_DONE);
    assert_string_equal(buf_as_cstr(&s.body), "all of it");
    got_done(&s);
}

static void an_end_in_the_middle_is_bad_and_before_the_start_is_not(void **state)
{
    struct got s;
    size_t used;

    (void)state;
    got_init(&s, H1_REQUEST);
    assert_int_equal(h1_eof(&s.h), H1_MORE);
    assert_int_equal(h1_feed(&s.h, STR("GET / HT"), &used), H1_MORE);
    assert_int_equal(h1_eof(&s.h), H1_BAD);
    got_done(&s);
}

static void after_a_reset_the_next_message_is_read(void **state)
{
    struct got s;
    size_t used;

    (void)state;
    got_init(&s, H1_REQUEST);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(h1_feed(&s.h, STR("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1"), &used), H1_DONE);
        h1_reset(&s.h);
        assert_false(h1_is_begun(&s.h));
    }
    assert_string_equal(buf_as_cstr(&s.body), "111");
    got_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_read_at_any_split),
        cmocka_unit_test(what_two_parsers_could_read_in_two_ways_is_refused),
        cmocka_unit_test(other_transfer_encodings_are_not_implemented),
        cmocka_unit_test(a_nul_anywhere_in_the_head_is_refused),
        cmocka_unit_test(chunks_not_framed_as_they_must_be_are_refused),
        cmocka_unit_test(a_head_may_be_as_large_as_the_limit_and_no_larger),
        cmocka_unit_test(as_many_headers_as_the_limit_and_no_more),
        cmocka_unit_test(a_path_may_be_as_long_as_the_limit_and_no_longer),
        cmocka_unit_test(a_body_refused_by_its_reader_says_so),
        cmocka_unit_test(replies_are_read_at_any_split),
        cmocka_unit_test(a_reply_without_length_ends_with_the_connection),
        cmocka_unit_test(an_end_in_the_middle_is_bad_and_before_the_start_is_not),
        cmocka_unit_test(after_a_reset_the_next_message_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
