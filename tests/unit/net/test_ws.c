/* Promises of net/ws.h over a raw socket. */
#include <unistd.h>

#include "net/listen.h"
#include "raw.h"

static struct loop *l;
static struct listener *li;
static int n_opened, n_closed, n_messages, refuse;
static uint64_t ws;
static struct buf got;

static int on_open(void *ctx, uint64_t id, const struct http_req *req, void **ret_user)
{
    (void)ctx;
    assert_true(str_is(req->path, "/ws"));
    if (refuse)
        return refuse;
    n_opened++;
    ws = id;
    *ret_user = &got;
    return 0;
}

static void on_message(void *ctx, uint64_t id, void *user, struct str msg, bool is_text)
{
    (void)ctx;
    assert_ptr_equal(user, &got);
    n_messages++;
    buf_printf(&got, "%c:%.*s|", is_text ? 't' : 'b', STR_FMT(msg));
    if (str_is(msg, "echo"))
        assert_true((is_text ? ws_send_text : ws_send_binary)(id, msg) > 0);
}

static void on_closed(void *ctx, uint64_t id, void *user)
{
    (void)ctx, (void)id, (void)user;
    n_closed++;
}

static const struct ws_server_ops ops = { on_open, on_message, on_closed, NULL };
static const char upgrade[] = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
                              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static int up(void **state)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .allow_plain = true };
    struct err err = { 0 };

    (void)state;
    l = loop_new();
    n_opened = n_closed = n_messages = refuse = 0;
    got = BUF(4 << 20);
    return listen_ws(l, &conf, &ops, &li, &err);
}

static int down(void **state)
{
    (void)state;
    listener_free(li);
    loop_free(l);
    buf_done(&got);
    return 0;
}

static int open_ws(void)
{
    int fd = raw_open(listener_port(li));

    raw_send(fd, str_bytes(upgrade, sizeof(upgrade) - 1));
    /* The example of RFC 6455 section 1.3. */
    struct buf b = raw_until(l, fd, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");

    assert_true(str_starts(buf_as_str(&b), STR("HTTP/1.1 101")));
    buf_done(&b);
    assert_int_equal(n_opened, 1);
    return fd;
}

/* A frame masked with zeros. */
static void frame(int fd, uint8_t first, struct str payload)
{
    AUTO(buf_done) struct buf b = BUF(payload.len + 20);

    buf_char(&b, (char)first);
    if (payload.len < 126) {
        buf_char(&b, (char)(0x80 | payload.len));
    } else if (payload.len < 65536) {
        buf_char(&b, (char)(0x80 | 126));
        buf_char(&b, (char)(payload.len >> 8));
        buf_char(&b, (char)payload.len);
    } else {
        buf_char(&b, (char)(0x80 | 127));
        buf_be32(&b, 0);
        buf_be32(&b, (uint32_t)payload.len);
    }
    buf_be32(&b, 0);
    buf_str(&b, payload);
    size_t at = 0;

    TURN_UNTIL(l, ({
                   ssize_t n = send(fd, b.ptr + at, b.len - at, MSG_NOSIGNAL);
                   at += n > 0 ? (size_t)n : 0;
                   at == b.len || (n < 0 && errno != EAGAIN);
               }));
}

static void messages_go_both_ways(void **state)
{
    int fd = open_ws();
    struct buf b;

    (void)state;
    frame(fd, 0x81, STR("echo"));
    b = raw_until(l, fd, "\x81\x04"
                         "echo");
    buf_done(&b);
    frame(fd, 0x82, STR("echo"));
    b = raw_until(l, fd, "\x82\x04"
                         "echo");
    buf_done(&b);
    frame(fd, 0x01, STR("two "));
    frame(fd, 0x80, STR("parts"));
    TURN_UNTIL(l, n_messages == 3);
    assert_string_equal(buf_as_cstr(&got), "t:echo|b:echo|t:two parts|");
    close(fd);
    TURN_UNTIL(l, n_closed == 1);
    assert_int_equal(ws_send_text(ws, STR("x")), -ENOTCONN);
}

static void a_frame_behind_the_upgrade_in_one_piece_is_read(void **state)
{
    AUTO(buf_done) struct buf b = BUF(1000);
    int fd = raw_open(listener_port(li));

    (void)state;
    buf_append(&b, upgrade, sizeof(upgrade) - 1);
    buf_append(&b, "\x81\x82\0\0\0\0hi", 8);
    raw_send(fd, buf_as_str(&b));
    TURN_UNTIL(l, n_messages == 1);
    close(fd);
}

static void frames_may_come_byte_by_byte(void **state)
{
    static const char bytes[] = "\x81\x85\0\0\0\0hello";
    int fd = open_ws();

    (void)state;
    for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
        raw_send(fd, str_bytes(bytes + i, 1));
        loop_poll(l);
        loop_poll(l);
    }
    TURN_UNTIL(l, n_messages == 1);
    assert_string_equal(buf_as_cstr(&got), "t:hello|");
    close(fd);
}

static void pings_are_answered(void **state)
{
    int fd = open_ws();
    struct buf b;

    (void)state;
    frame(fd, 0x89, STR("you?"));
    b = raw_until(l, fd, "\x8a\x04you?");
    buf_done(&b);
    close(fd);
}

static void a_message_of_the_limit_is_taken_and_one_more_is_not(void **state)
{
    AUTO_FREE char *big = xmalloc(LIMIT_WS_MESSAGE + 1);

    (void)state;
    memset(big, 'x', LIMIT_WS_MESSAGE + 1);
    int fd = open_ws();
    struct buf b;

    frame(fd, 0x82, str_bytes(big, LIMIT_WS_MESSAGE));
    TURN_UNTIL(l, n_messages == 1);
    frame(fd, 0x82, str_bytes(big, LIMIT_WS_MESSAGE + 1));
    b = raw_all(l, fd);
    assert_int_equal(n_messages, 1);
    assert_true(str_find(buf_as_str(&b), STR("\x88\x02\x03\xf1")) >= 0); /* 1009, too big */
    buf_done(&b);
    close(fd);
    TURN_UNTIL(l, n_closed == 1);
}

static void bad_frames_end_the_connection(void **state)
{
    static const struct str bad[] = { { "\x81\x02hi", 4 },               /* not masked */
                                      { "\xc1\x82\0\0\0\0hi", 8 },       /* a reserved bit */
                                      { "\x81\x82\0\0\0\0\xff\xff", 8 }, /* no UTF-8 */
                                      { "\x80\x82\0\0\0\0hi", 8 },       /* continues nothing */
                                      { "\x89\xfe\0\x7e\0\0\0\0", 8 } }; /* a ping too long */

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        n_opened = n_closed = 0;
        int fd = open_ws();

        raw_send(fd, bad[i]);
        struct buf b = raw_all(l, fd);

        buf_done(&b);
        close(fd);
        TURN_UNTIL(l, n_closed == 1);
    }
    assert_int_equal(n_messages, 0);
}

static void closing_says_why_and_waits_for_the_other_side(void **state)
{
    int fd = open_ws();
    struct buf b;

    (void)state;
    assert_int_equal(ws_close(ws, 1001, "bye"), 0);
    assert_int_equal(ws_close(ws, 1001, "bye"), -ENOTCONN);
    b = raw_until(l, fd, "\x88\x05\x03\xe9"
                         "bye");
    buf_done(&b);
    assert_int_equal(n_closed, 0);
    frame(fd, 0x88, STR("\x03\xe9"));
    b = raw_all(l, fd);
    buf_done(&b);
    close(fd);
    TURN_UNTIL(l, n_closed == 1);
}

static void a_close_nobody_answers_ends_by_itself(void **state)
{
    int fd = open_ws();

    (void)state;
    ws_close(ws, 1000, NULL);
    TURN_SOME(l);
    loop__turn_clock(l, 6 * USEC_PER_SEC);
    TURN_UNTIL(l, n_closed == 1);
    close(fd);
}

static void silence_is_asked_and_then_closed(void **state)
{
    int fd = open_ws();
    struct buf b;

    (void)state;
    TURN_SOME(l);
    loop__turn_clock(l, 46 * USEC_PER_SEC);
    b = raw_until(l, fd, "\x89");
    buf_done(&b);
    loop__turn_clock(l, 46 * USEC_PER_SEC);
    TURN_SOME(l);
    loop__turn_clock(l, 3 * USEC_PER_SEC);
    TURN_UNTIL(l, n_closed == 1);
    close(fd);
}

static void who_answers_pings_stays(void **state)
{
    int fd = open_ws();

    (void)state;
    for (int i = 0; i < 20; i++) {
        loop__turn_clock(l, 46 * USEC_PER_SEC);
        struct buf b = raw_until(l, fd, "\x89");

        buf_done(&b);
        frame(fd, 0x8a, STR_NONE);
        TURN_SOME(l);
    }
    assert_int_equal(n_closed, 0);
    close(fd);
}

static void ask(const char *text, const char *want)
{
    int fd = raw_open(listener_port(li));
    struct buf b;

    raw_send(fd, str_of(text));
    b = raw_until(l, fd, want);
    buf_done(&b);
    close(fd);
}

static void other_requests_are_told_to_upgrade(void **state)
{
    (void)state;
    ask("GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 426");
    ask("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "Sec-WebSocket-Version: 13\r\n");
    ask("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: short\r\n\r\n",
        "HTTP/1.1 426");
    assert_int_equal(n_opened, 0);
}

static void a_refused_upgrade_gets_its_status(void **state)
{
    (void)state;
    refuse = 401;
    ask(upgrade, "HTTP/1.1 401");
    assert_int_equal(n_closed, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        T(messages_go_both_ways),
        T(a_frame_behind_the_upgrade_in_one_piece_is_read),
        T(frames_may_come_byte_by_byte),
        T(pings_are_answered),
        T(a_message_of_the_limit_is_taken_and_one_more_is_not),
        T(bad_frames_end_the_connection),
        T(closing_says_why_and_waits_for_the_other_side),
        T(a_close_nobody_answers_ends_by_itself),
        T(silence_is_asked_and_then_closed),
        T(who_answers_pings_stays),
        T(other_requests_are_told_to_upgrade),
        T(a_refused_upgrade_gets_its_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
