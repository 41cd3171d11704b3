/* What net/http2.h and grpc.h promise against a client that does not behave: frames made by hand over cleartext. */
#include <unistd.h>

#include "net/http2.h"
#include "net/listen.h"
#include "raw.h"

static struct loop *l;
static struct listener *li;
static int n_opened, n_messages, n_closed, n_half;
static uint64_t last_call;
static bool stall;

static int on_open(void *ctx, uint64_t call, const struct grpc_call_info *info, void **ret_user, const char **ret_message)
{
    (void)ctx, (void)info, (void)ret_user, (void)ret_message;
    n_opened++;
    last_call = call;
    if (stall)
        grpc_pause(call, true);
    return 0;
}

static void on_message(void *ctx, uint64_t call, void *user, struct str msg)
{
    (void)ctx, (void)user;
    n_messages++;
    grpc_send(call, msg);
}

static void on_half(void *ctx, uint64_t call, void *user)
{
    (void)ctx, (void)user;
    n_half++;
    grpc_finish(call, GRPC_OK, NULL);
}

static void on_closed(void *ctx, uint64_t call, void *user, const struct err *why)
{
    (void)ctx, (void)call, (void)user, (void)why;
    n_closed++;
}

static const struct grpc_server_ops ops = { on_open, on_message, on_half, on_closed, NULL };

static int up(void **state)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .allow_plain = true };
    struct err err = { 0 };

    (void)state;
    l = loop_new();
    n_opened = n_messages = n_closed = n_half = 0;
    stall = false;
    return listen_grpc(l, &conf, &ops, &li, &err);
}

static int down(void **state)
{
    (void)state;
    listener_free(li);
    loop_free(l);
    return 0;
}

/* -- frames */
enum { DATA = 0, HEADERS = 1, RST = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, CONTINUATION = 9 };
enum { END_STREAM = 1, END_HEADERS = 4 };

static void frame(struct buf *b, uint8_t type, uint8_t flags, uint32_t stream, struct str payload)
{
    buf_char(b, (char)(payload.len >> 16));
    buf_char(b, (char)(payload.len >> 8));
    buf_char(b, (char)payload.len);
    buf_char(b, (char)type);
    buf_char(b, (char)flags);
    buf_be32(b, stream);
    buf_str(b, payload);
}

/* A literal without indexing (RFC 7541 section 6.2.2), strings plain. */
static void header(struct buf *b, const char *name, struct str value)
{
    buf_char(b, 0);
    buf_char(b, (char)strlen(name));
    buf_cstr(b, name);
    if (value.len < 127) {
        buf_char(b, (char)value.len);
    } else {
        size_t n = value.len - 127;

        buf_char(b, 127);
        for (; n >= 128; n >>= 7)
            buf_char(b, (char)(n | 128));
        buf_char(b, (char)n);
    }
    buf_str(b, value);
}

static void head(struct buf *b, const char *type)
{
    header(b, ":method", STR("POST"));
    header(b, ":scheme", STR("http"));
    header(b, ":path", STR("/t/X"));
    header(b, ":authority", STR("x"));
    header(b, "content-type", str_of(type));
}

static void request(struct buf *b, uint32_t stream, const char *type, uint8_t flags)
{
    AUTO(buf_done) struct buf h = BUF(1000);

    head(&h, type);
    frame(b, HEADERS, (uint8_t)(END_HEADERS | flags), stream, buf_as_str(&h));
}

static void preface(struct buf *b)
{
    buf_cstr(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    frame(b, SETTINGS, 0, 0, STR_NONE);
}

static void push(int fd, const struct buf *b)
{
    size_t at = 0;
    bool is_gone = false;

    TURN_UNTIL(l, ({
                   ssize_t n = send(fd, b->ptr + at, b->len - at, MSG_NOSIGNAL);
                   at += n > 0 ? (size_t)n : 0;
                   is_gone = n < 0 && errno != EAGAIN;
                   at == b->len || is_gone;
               }));
}

/* Sends @b and expects the connection to end with a GOAWAY of @code. */
static void expect_goaway(struct buf *b, uint8_t code)
{
    int fd = raw_open(listener_port(li));
    struct buf got;
    bool found = false;

    push(fd, b);
    got = raw_all(l, fd);
    for (size_t i = 0; i + 17 <= got.len;) {
        size_t n = (size_t)got.ptr[i] << 16 | (size_t)got.ptr[i + 1] << 8 | got.ptr[i + 2];

        if (got.ptr[i + 3] == GOAWAY && got.ptr[i + 16] == code)
            found = true;
        i += 9 + n;
    }
    if (!found)
        fail_msg("no GOAWAY with code %u in %zu bytes", code, got.len);
    buf_done(&got);
    close(fd);
    TURN_UNTIL(l, listener_conns(li) == 0);
}

static void inflate(nghttp2_hd_inflater *inf, struct str block, struct buf *text)
{
    while (block.len > 0) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t n = nghttp2_hd_inflate_hd2(inf, &nv, &flags, (const uint8_t *)block.ptr, block.len, 1);

        assert_true(n >= 0);
        block = str_sub(block, (size_t)n, SIZE_MAX);
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            buf_printf(text, "%.*s: %.*s\n", (int)nv.namelen, nv.name, (int)nv.valuelen, nv.value);
    }
    nghttp2_hd_inflate_end_headers(inf);
}

/* The whole frames of @wire as text: headers by line, data as it is. */
static struct buf decode(const struct buf *wire)
{
    struct buf text = BUF(1 << 20);
    nghttp2_hd_inflater *inf;

    nghttp2_hd_inflate_new(&inf);
    for (size_t i = 0; i + 9 <= wire->len;) {
        size_t n = (size_t)wire->ptr[i] << 16 | (size_t)wire->ptr[i + 1] << 8 | wire->ptr[i + 2];
        struct str payload = str_sub(buf_as_str(wire), i + 9, n);

        if (payload.len < n)
            break;
        if (wire->ptr[i + 3] == HEADERS)
            inflate(inf, payload, &text);
        else if (wire->ptr[i + 3] == DATA)
            buf_str(&text, payload);
        i += 9 + n;
    }
    nghttp2_hd_inflate_del(inf);
    return text;
}

/* Turns until @want is somewhere in what came; the text of it. */
static struct buf text_until(int fd, const char *want)
{
    struct buf wire = BUF(1 << 20), text = { 0 };

    TURN_UNTIL(l, ({
                   assert_true(raw_recv(fd, &wire));
                   buf_done(&text);
                   text = decode(&wire);
                   str_find(buf_as_str(&text), str_of(want)) >= 0;
               }));
    buf_done(&wire);
    return text;
}

/* Sends @b, and expects @want somewhere in what comes. */
static void expect(struct buf *b, const char *want)
{
    int fd = raw_open(listener_port(li));
    struct buf got;

    push(fd, b);
    got = text_until(fd, want);
    buf_done(&got);
    close(fd);
    TURN_UNTIL(l, listener_conns(li) == 0);
}

static void a_call_works_at_any_split(void **state)
{
    AUTO(buf_done) struct buf b = BUF(10000);

    (void)state;
    preface(&b);
    request(&b, 1, "application/grpc+proto", 0);
    frame(&b, DATA, 0, 1, str_bytes("\0\0\0\0\2h", 6));
    frame(&b, DATA, END_STREAM, 1, STR("i"));
    for (size_t cut = 0; cut < b.len; cut += 3) {
        int fd = raw_open(listener_port(li));
        struct buf got;

        raw_send(fd, str_bytes(b.ptr, cut));
        loop_poll(l);
        loop_poll(l);
        loop_poll(l);
        raw_send(fd, str_bytes(b.ptr + cut, b.len - cut));
        got = text_until(fd, "grpc-status: 0");
        assert_true(str_find(buf_as_str(&got), str_bytes("\0\0\0\0\2hi", 7)) > 0);
        buf_done(&got);
        close(fd);
    }
    TURN_UNTIL(l, n_closed == n_opened);
}

static void other_content_types_methods_and_sizes_get_an_http_status(void **state)
{
    static const char *const bad[] = { "application/json", "application/grpcx", "" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO(buf_done) struct buf b = BUF(10000);

        preface(&b);
        request(&b, 1, bad[i], END_STREAM);
        expect(&b, ":status: 415");
    }
    AUTO(buf_done) struct buf b = BUF(10000);
    AUTO(buf_done) struct buf h = BUF(1000);

    preface(&b);
    header(&h, ":method", STR("GET"));
    header(&h, ":scheme", STR("http"));
    header(&h, ":path", STR("/"));
    header(&h, ":authority", STR("x"));
    frame(&b, HEADERS, END_HEADERS | END_STREAM, 1, buf_as_str(&h));
    expect(&b, ":status: 405");
    assert_int_equal(n_opened, 0);
}

static void headers_of_the_limit_are_taken_and_more_are_not(void **state)
{
    AUTO_FREE char *big = xmalloc(H2_HEADER_LIST_MAX);

    (void)state;
    memset(big, 'a', H2_HEADER_LIST_MAX);
    for (int over = 0; over <= 1; over++) {
        AUTO(buf_done) struct buf b = BUF(100000);
        AUTO(buf_done) struct buf h = BUF(100000);
        /* RFC 9113 section 6.5.2: 32 a field; five of them are there already */
        size_t used = strlen(":methodPOST:schemehttp:path/t/X:authorityxcontent-typeapplication/grpc") + 5 * 32 + 32 + 1;

        preface(&b);
        head(&h, "application/grpc");
        header(&h, "x", str_bytes(big, H2_HEADER_LIST_MAX - used + (size_t)over));
        frame(&b, HEADERS, 0, 1, str_sub(buf_as_str(&h), 0, 9000));
        frame(&b, CONTINUATION, END_HEADERS, 1, str_sub(buf_as_str(&h), 9000, SIZE_MAX));
        frame(&b, DATA, END_STREAM, 1, STR_NONE);
        expect(&b, over ? ":status: 431" : "grpc-status");
        assert_int_equal(n_opened, 1);
    }
}

static void a_compressed_message_is_unimplemented(void **state)
{
    AUTO(buf_done) struct buf b = BUF(10000);

    (void)state;
    preface(&b);
    request(&b, 1, "application/grpc", 0);
    frame(&b, DATA, 0, 1, str_bytes("\1\0\0\0\1x", 6));
    expect(&b, "compressed messages are not supported");
    assert_int_equal(n_messages, 0);
}

static void a_stream_that_ends_inside_a_message_is_an_error(void **state)
{
    AUTO(buf_done) struct buf b = BUF(10000);

    (void)state;
    preface(&b);
    request(&b, 1, "application/grpc", 0);
    frame(&b, DATA, END_STREAM, 1, str_bytes("\0\0\0\0\5x", 6));
    expect(&b, "the stream ends inside a message");
    assert_int_equal(n_half, 0);
}

static void an_unreadable_timeout_is_refused(void **state)
{
    AUTO(buf_done) struct buf b = BUF(10000);
    AUTO(buf_done) struct buf h = BUF(1000);

    (void)state;
    preface(&b);
    head(&h, "application/grpc");
    header(&h, "grpc-timeout", STR("soon"));
    frame(&b, HEADERS, END_HEADERS, 1, buf_as_str(&h));
    expect(&b, "grpc-timeout cannot be read");
    assert_int_equal(n_opened, 0);
}

static void rapid_resets_end_the_connection(void **state)
{
    AUTO(buf_done) struct buf b = BUF(1 << 20);

    (void)state;
    preface(&b);
    for (uint32_t i = 0; i < LIMIT_H2_RESETS + 1; i++) {
        request(&b, 2 * i + 1, "application/grpc", 0);
        frame(&b, RST, 0, 2 * i + 1, str_bytes("\0\0\0\10", 4));
    }
    expect_goaway(&b, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(n_opened, n_closed);
}

static void as_many_resets_as_the_limit_are_fine(void **state)
{
    AUTO(buf_done) struct buf b = BUF(1 << 20);

    (void)state;
    preface(&b);
    for (uint32_t i = 0; i < LIMIT_H2_RESETS; i++) {
        request(&b, 2 * i + 1, "application/grpc", 0);
        frame(&b, RST, 0, 2 * i + 1, str_bytes("\0\0\0\10", 4));
    }
    request(&b, 2 * LIMIT_H2_RESETS + 1, "application/grpc", END_STREAM);
    expect(&b, "grpc-status");
}

static void floods_of_frames_that_say_nothing_end_the_connection(void **state)
{
    static const struct {
        uint8_t type;
        struct str payload;
    } rows[] = { { PING, { "12345678", 8 } }, { SETTINGS, { NULL, 0 } } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(buf_done) struct buf b = BUF(1 << 20);

        preface(&b);
        for (int j = 0; j <= H2_NOISE_MAX; j++)
            frame(&b, rows[i].type, 0, 0, rows[i].payload);
        int fd = raw_open(listener_port(li));

        push(fd, &b);
        struct buf got = raw_all(l, fd);

        assert_true(got.len < 64 << 10); /* the answers were bounded too */
        buf_done(&got);
        close(fd);
        TURN_UNTIL(l, listener_conns(li) == 0);
    }
}

static void a_flood_of_continuations_ends_the_connection(void **state)
{
    AUTO(buf_done) struct buf b = BUF(8 << 20);

    (void)state;
    preface(&b);
    frame(&b, HEADERS, 0, 1, STR_NONE);
    for (int i = 0; i < 10000; i++)
        frame(&b, CONTINUATION, 0, 1, STR_NONE);
    int fd = raw_open(listener_port(li));

    push(fd, &b);
    struct buf got = raw_all(l, fd);

    buf_done(&got);
    close(fd);
    assert_int_equal(n_opened, 0);
}

static void more_streams_than_the_limit_are_refused(void **state)
{
    AUTO(buf_done) struct buf b = BUF(1 << 20);
    int fd = raw_open(listener_port(li));

    (void)state;
    preface(&b);
    for (uint32_t i = 0; i < LIMIT_H2_STREAMS + 5; i++)
        request(&b, 2 * i + 1, "application/grpc", 0);
    push(fd, &b);
    TURN_SOME(l);
    assert_int_equal(n_opened, LIMIT_H2_STREAMS);
    close(fd);
    TURN_UNTIL(l, n_closed == LIMIT_H2_STREAMS);
}

static void a_peer_that_ignores_windows_is_cut(void **state)
{
    AUTO(buf_done) struct buf b = BUF(8 << 20);
    AUTO_FREE char *zeros = xcalloc(1, 16384);
    int fd = raw_open(listener_port(li));

    (void)state;
    stall = true;
    preface(&b);
    request(&b, 1, "application/grpc", 0);
    frame(&b, DATA, 0, 1, str_bytes("\0\0\77\0\0", 5));
    for (int i = 0; i < 40; i++) /* 640 KiB against a window of 256 */
        frame(&b, DATA, 0, 1, str_bytes(zeros, 16384));
    push(fd, &b);
    TURN_UNTIL(l, n_closed == 1);
    close(fd);
}

static void something_else_than_http_2_is_told_so(void **state)
{
    int fd = raw_open(listener_port(li));
    struct buf got;

    (void)state;
    raw_send(fd, STR("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    got = raw_all(l, fd);
    assert_true(str_starts(buf_as_str(&got), STR("HTTP/1.1 400")));
    assert_true(str_ends(buf_as_str(&got), STR("this port speaks gRPC over HTTP/2, no more\n")));
    buf_done(&got);
    close(fd);
}

static void a_connection_without_calls_is_closed_in_order(void **state)
{
    AUTO(buf_done) struct buf b = BUF(1000);
    int fd = raw_open(listener_port(li));
    struct buf got = BUF(100000);
    bool open = true;

    (void)state;
    preface(&b);
    push(fd, &b);
    for (int i = 0; i < 400 && open; i++) {
        AUTO(buf_done) struct buf pong = BUF(100);

        loop__turn_clock(l, USEC_PER_SEC);
        loop_poll(l);
        frame(&pong, PING, 1, 0, STR("12345678"));
        if (listener_conns(li) == 1)
            send(fd, pong.ptr, pong.len, MSG_NOSIGNAL);
        loop_poll(l);
        open = raw_recv(fd, &got);
    }
    assert_false(open);
    buf_done(&got);
    close(fd);
}

static void the_shared_frame_buffer_mixes_no_sessions(void **state)
{
    enum { N = 20 };
    int fd[N];
    struct buf got[N];

    (void)state;
    for (int i = 0; i < N; i++) {
        AUTO(buf_done) struct buf b = BUF(100000);
        char text[3005] = { 0, 0, 0, 3000 >> 8, (char)(3000 & 255) };

        memset(text + 5, 'a' + i, 3000);
        preface(&b);
        request(&b, 1, "application/grpc", 0);
        for (int j = 0; j < 3; j++)
            frame(&b, DATA, j == 2 ? END_STREAM : 0, 1, str_bytes(text, sizeof(text)));
        fd[i] = raw_open(listener_port(li));
        push(fd[i], &b);
    }
    for (int i = 0; i < N; i++) {
        got[i] = text_until(fd[i], "grpc-status");
        size_t n = 0;

        for (size_t j = 0; j < got[i].len; j++)
            n += got[i].ptr[j] == 'a' + i;
        assert_true(n >= 9000 && n < 9100); /* and those of the headers */
        buf_done(&got[i]);
        close(fd[i]);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        T(a_call_works_at_any_split),
        T(other_content_types_methods_and_sizes_get_an_http_status),
        T(headers_of_the_limit_are_taken_and_more_are_not),
        T(a_compressed_message_is_unimplemented),
        T(a_stream_that_ends_inside_a_message_is_an_error),
        T(an_unreadable_timeout_is_refused),
        T(rapid_resets_end_the_connection),
        T(as_many_resets_as_the_limit_are_fine),
        T(floods_of_frames_that_say_nothing_end_the_connection),
        T(a_flood_of_continuations_ends_the_connection),
        T(more_streams_than_the_limit_are_refused),
        T(a_peer_that_ignores_windows_is_cut),
        T(something_else_than_http_2_is_told_so),
        T(a_connection_without_calls_is_closed_in_order),
        T(the_shared_frame_buffer_mixes_no_sessions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
