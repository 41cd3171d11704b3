/* Promises of net/http.h and net/listen.h (HTTP), over real sockets. */
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/http_bodies.h"
#include "net/listen.h"
#include "raw.h"

static struct loop *l;
static struct listener *li;
static uint64_t parked; /* the exchange a handler keeps */
static int n_requests, n_closed, n_half_closed;
static int64_t head_answer;
static bool is_peer_dev;

static int64_t on_head(void *ctx, const struct http_req *req)
{
    (void)ctx;
    return str_is(req->path, "/head") ? head_answer : 100;
}

static void on_request(void *ctx, uint64_t x, const struct http_req *req)
{
    struct buf b = BUF(1000);
    struct http_res res = { .status = 200, .content_type = "text/plain" };

    (void)ctx;
    n_requests++;
    is_peer_dev = req->peer->is_dev_listener && req->peer->is_loopback;
    if (str_is(req->path, "/park")) {
        parked = x;
        buf_done(&b);
        return;
    }
    buf_printf(&b, "%s %.*s?%.*s [%.*s]", name_of(http_method_names, req->method), STR_FMT(req->path),
               STR_FMT(req->query), STR_FMT(req->body));
    res.body = buf_as_str(&b);
    assert_int_equal(http_reply(x, &res), 0);
    /* The request is still there, the exchange is not. */
    assert_true(req->path.len > 0);
    assert_int_equal(http_reply(x, &res), -ENOTCONN);
    buf_done(&b);
}

static void on_closed(void *ctx, uint64_t x, void *user)
{
    (void)ctx, (void)x, (void)user;
    n_closed++;
}

static void on_half_closed(void *ctx, uint64_t x, void *user)
{
    (void)ctx, (void)user;
    assert_true(x == parked);
    n_half_closed++;
}

static const struct http_server_ops ops = {
    .head = on_head, .request = on_request, .closed = on_closed, .half_closed = on_half_closed
};

static int up(void **state)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .allow_plain = true };
    struct err err = { 0 };

    (void)state;
    l = loop_new();
    parked = 0;
    n_requests = n_closed = n_half_closed = 0;
    return listen_http(l, &conf, &ops, &li, &err);
}

static int down(void **state)
{
    (void)state;
    listener_free(li);
    loop_free(l);
    return 0;
}

/* Sends @req on a fresh connection in two pieces, and returns all that came until the server closed. */
static struct buf ask_cut(const char *req, size_t cut)
{
    int fd = raw_open(listener_port(li));
    struct str s = str_of(req);

    raw_send(fd, str_sub(s, 0, cut));
    loop_poll(l);
    loop_poll(l);
    raw_send(fd, str_sub(s, cut, SIZE_MAX));
    struct buf b = raw_all(l, fd);

    close(fd);
    return b;
}

static void expect(const char *req, const char *start, const char *end)
{
    struct buf b = ask_cut(req, strlen(req) / 2);

    if (!str_starts(buf_as_str(&b), str_of(start)) || !str_ends(buf_as_str(&b), str_of(end)))
        fail_msg("asked %s\ngot %s", req, buf_as_cstr(&b));
    buf_done(&b);
}

static void requests_are_answered(void **state)
{
    (void)state;
    expect("GET /a?b=c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\nGET /a?b=c []");
    expect("GET http://x:80/a?b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200", "GET /a?b []");
    expect("GET http://x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200", "GET /? []");
    expect("POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi", "HTTP/1.1 200", "POST /? [hi]");
    expect("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
           "HTTP/1.1 200", "PUT /? [hi]");
    expect("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200", "Connection: close\r\n\r\n");
    expect("OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200", "OPTIONS *? []");
    assert_true(is_peer_dev);
}

static void bad_requests_are_refused_and_the_connection_closed(void **state)
{
    (void)state;
    expect("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400", "http.host\n");
    expect("GET * HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400", "\n");
    expect("GET /#f HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400", "\n");
    expect("GET / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n", "HTTP/1.1 417", "http.expect\n");
    expect("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n", "HTTP/1.1 413", "http.too_large\n");
    expect("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501", "\n");
    expect("GET / HTTP/3.0\r\nHost: x\r\n\r\n", "HTTP/1.1 505", "\n");
    assert_int_equal(n_requests, 0);
}

static void bodies_of_all_connections_together_have_a_cap(void **state)
{
    static const char half[] = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 80\r\n\r\n"
                               "0123456789012345678901234567890123456789012345678901234567890123456789";
    static const char other[] = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 31\r\n\r\n"
                                "0123456789012345678901234567890";
    int fd;

    (void)state;
    http_bodies.max_bytes = 100;
    fd = raw_open(listener_port(li));
    raw_send(fd, str_of(half));
    TURN_UNTIL(l, http_bodies.held_bytes == 70);
    struct buf b = ask_cut(other, strlen(other));
    assert_true(str_starts(buf_as_str(&b), STR("HTTP/1.1 503")));
    assert_true(str_find(buf_as_str(&b), STR("Retry-After: 2\r\n")) > 0);
    assert_true(str_ends(buf_as_str(&b), STR("server.overloaded\n")));
    buf_done(&b);
    assert_int_equal(http_bodies.held_bytes, 70);
    assert_int_equal(http_bodies.peak_bytes, 70);
    close(fd); /* who leaves gives the room back */
    TURN_UNTIL(l, http_bodies.held_bytes == 0);
    expect(other, "HTTP/1.1 200", "67890]");
    TURN_UNTIL(l, http_bodies.held_bytes == 0);
    assert_int_equal(http_bodies.peak_bytes, 0);
    http_bodies.max_bytes = LIMIT_HTTP_BODIES;
}

static void a_body_of_the_cap_is_taken_and_one_more_is_not(void **state)
{
    AUTO_FREE char *exact = xasprintf("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                                      "64\r\n%0100d\r\n0\r\n\r\n", 0);
    AUTO_FREE char *over = xasprintf("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                                     "65\r\n%0101d\r\n0\r\n\r\n", 0);

    (void)state;
    expect(exact, "HTTP/1.1 200", "0]");
    expect(over, "HTTP/1.1 413", "http.too_large\n");
}

static void the_head_callback_can_refuse_before_the_body(void **state)
{
    int fd;
    struct buf b;

    (void)state;
    head_answer = -404;
    expect("POST /head HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n", "HTTP/1.1 404", "http.not_found\n");
    /* Without a body the connection goes on. */
    fd = raw_open(listener_port(li));
    raw_send(fd, STR("GET /head HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n"));
    b = raw_until(l, fd, "GET /b? []");
    assert_true(str_starts(buf_as_str(&b), STR("HTTP/1.1 404")));
    buf_done(&b);
    close(fd);
}

static void expect_100_is_answered_before_the_body(void **state)
{
    int fd = raw_open(listener_port(li));
    struct buf b;

    (void)state;
    raw_send(fd, STR("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"));
    b = raw_until(l, fd, "HTTP/1.1 100 Continue\r\n\r\n");
    buf_done(&b);
    raw_send(fd, STR("hi"));
    b = raw_until(l, fd, "POST /? [hi]");
    buf_done(&b);
    close(fd);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    int fd = raw_open(listener_port(li));
    struct http_res res = { .status = 200, .body = STR("late") };
    struct buf b;

    (void)state;
    raw_send(fd, STR("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /park HTTP/1.1\r\nHost: x\r\n\r\n"
                     "GET /3 HTTP/1.1\r\nHost: x\r\n\r\nGET /4 HTTP/1.1\r\nHost: x\r\n\r\n"));
    b = raw_until(l, fd, "GET /1? []");
    buf_done(&b);
    TURN_SOME(l);
    assert_int_equal(n_requests, 2); /* the third waits for the second */
    assert_int_equal(http_reply(parked, &res), 0);
    b = raw_until(l, fd, "GET /4? []");
    assert_true(str_find(buf_as_str(&b), STR("late")) < str_find(buf_as_str(&b), STR("GET /3")));
    buf_done(&b);
    close(fd);
}

static void a_client_that_does_not_wait_is_not_read_without_end(void **state)
{
    int fd = raw_open(listener_port(li));
    struct str req = STR("GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
    size_t sent = 0;

    (void)state;
    raw_send(fd, STR("GET /park HTTP/1.1\r\nHost: x\r\n\r\n"));
    TURN_UNTIL(l, parked != 0);
    for (int quiet = 0; quiet < 100;) {
        ssize_t n = send(fd, req.ptr, req.len, MSG_NOSIGNAL);

        if (n > 0)
            sent += (size_t)n;
        else
            quiet++;
        loop_poll(l);
        assert_true(sent < 64 << 20); /* the kernel's buffers, not ours */
    }
    assert_int_equal(n_requests, 1);
    close(fd);
}

static void a_parked_exchange_learns_that_the_client_left(void **state)
{
    int fd = raw_open(listener_port(li));
    struct http_res res = { .status = 200 };
    struct linger rst = { 1, 0 };

    (void)state;
    raw_send(fd, STR("GET /park HTTP/1.1\r\nHost: x\r\n\r\n"));
    TURN_UNTIL(l, parked != 0);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
    close(fd);
    TURN_UNTIL(l, n_closed == 1);
    assert_int_equal(http_reply(parked, &res), -ENOTCONN);
}

static void half_a_close_still_gets_the_reply(void **state)
{
    int fd = raw_open(listener_port(li));
    struct http_res res = { .status = 200, .body = STR("late") };
    struct buf b;

    (void)state;
    raw_send(fd, STR("GET /park HTTP/1.1\r\nHost: x\r\n\r\n"));
    shutdown(fd, SHUT_WR);
    TURN_UNTIL(l, n_half_closed == 1); /* who parked it is told */
    TURN_SOME(l);
    assert_int_equal(n_half_closed, 1);
    assert_int_equal(http_reply(parked, &res), 0);
    b = raw_all(l, fd);
    assert_true(str_ends(buf_as_str(&b), STR("late")));
    buf_done(&b);
    close(fd);
}

static void half_a_close_is_not_waited_for_without_end(void **state)
{
    int fd = raw_open(listener_port(li));

    (void)state;
    raw_send(fd, STR("GET /park HTTP/1.1\r\nHost: x\r\n\r\n"));
    shutdown(fd, SHUT_WR);
    TURN_UNTIL(l, parked != 0);
    TURN_SOME(l);
    assert_int_equal(n_closed, 0);
    loop__turn_clock(l, 6 * USEC_PER_SEC);
    TURN_UNTIL(l, n_closed == 1);
    close(fd);
}

static struct blob *blob_of(struct str s)
{
    return blob_new(s);
}

static void a_stream_is_chunked_and_its_end_is_told(void **state)
{
    int fd = raw_open(listener_port(li));
    struct http_res res = { .status = 200, .content_type = "text/event-stream" };
    struct buf b;

    (void)state;
    raw_send(fd, STR("GET /park HTTP/1.1\r\nHost: x\r\n\r\nGET /after HTTP/1.1\r\nHost: x\r\n\r\n"));
    TURN_UNTIL(l, parked != 0);
    assert_int_equal(http_stream_begin(parked, &res), 0);
    for (int i = 0; i < 2; i++) {
        struct blob *bl = blob_of(STR("piece"));

        assert_true(http_stream_write(parked, bl) > 0);
        blob_unref(bl);
    }
    b = raw_until(l, fd, "5\r\npiece\r\n5\r\npiece\r\n");
    assert_true(str_find(buf_as_str(&b), STR("Transfer-Encoding: chunked\r\n")) > 0);
    buf_done(&b);
    assert_int_equal(http_stream_end(parked), 0);
    assert_int_equal(http_stream_queued(parked), -ENOTCONN);
    b = raw_until(l, fd, "GET /after? []");
    assert_true(str_starts(buf_as_str(&b), STR("0\r\n\r\nHTTP/1.1 200")));
    assert_int_equal(n_closed, 1);
    buf_done(&b);
    close(fd);
}

static void a_stream_to_http_1_0_ends_with_the_connection(void **state)
{
    int fd = raw_open(listener_port(li));
    struct http_res res = { .status = 200 };
    struct blob *bl = blob_of(STR("piece"));
    struct buf b;

    (void)state;
    raw_send(fd, STR("GET /park HTTP/1.0\r\n\r\n"));
    TURN_UNTIL(l, parked != 0);
    http_stream_begin(parked, &res);
    http_stream_write(parked, bl);
    blob_unref(bl);
    http_stream_end(parked);
    b = raw_all(l, fd);
    assert_true(str_ends(buf_as_str(&b), STR("\r\n\r\npiece")));
    assert_int_equal(str_find(buf_as_str(&b), STR("chunked")), -1);
    buf_done(&b);
    close(fd);
}

static int n_drained;

static void on_drain(void *ctx, uint64_t x)
{
    (void)ctx, (void)x;
    n_drained++;
}

static void a_slow_reader_fills_the_queue_and_draining_is_told_once(void **state)
{
    int fd = raw_open(listener_port(li));
    struct http_res res = { .status = 200 };
    AUTO_FREE char *mib = xcalloc(1, 1 << 20);
    struct blob *bl = blob_of(str_bytes(mib, 1 << 20));
    struct buf b = BUF(1 << 20);

    (void)state;
    n_drained = 0;
    raw_send(fd, STR("GET /park HTTP/1.1\r\nHost: x\r\n\r\n"));
    TURN_UNTIL(l, parked != 0);
    http_stream_begin(parked, &res);
    for (int i = 0; i < 16; i++)
        http_stream_write(parked, bl);
    TURN_SOME(l);
    assert_true(http_stream_queued(parked) > LIMIT_WRITE_HIGH);
    assert_int_equal(http_stream_on_drain(parked, on_drain, NULL), 0);
    TURN_SOME(l);
    assert_int_equal(n_drained, 0);
    TURN_UNTIL(l, (b.len = 0, raw_recv(fd, &b), http_stream_queued(parked) == 0));
    TURN_SOME(l);
    assert_int_equal(n_drained, 1);
    /* With nothing queued it comes in the next turn. */
    http_stream_on_drain(parked, on_drain, NULL);
    assert_int_equal(n_drained, 1);
    TURN_UNTIL(l, n_drained == 2);
    buf_done(&b);
    blob_unref(bl);
    close(fd);
}

static void a_reader_that_stands_still_is_dropped(void **state)
{
    int fd = raw_open(listener_port(li));
    struct http_res res = { .status = 200 };
    AUTO_FREE char *mib = xcalloc(1, 16 << 20);

    (void)state;
    raw_send(fd, STR("GET /park HTTP/1.1\r\nHost: x\r\n\r\n"));
    TURN_UNTIL(l, parked != 0);
    res.body = str_bytes(mib, 16 << 20);
    http_reply(parked, &res);
    TURN_SOME(l);
    assert_int_equal(listener_conns(li), 1);
    for (int i = 0; i < 80; i++) {
        loop__turn_clock(l, USEC_PER_SEC);
        loop_poll(l);
    }
    assert_int_equal(listener_conns(li), 0);
    close(fd);
}

static void a_slow_head_and_a_slow_body_get_408(void **state)
{
    static const char *const starts[] = { "GET / HT", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1234" };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int fd = raw_open(listener_port(li));
        struct buf b = BUF(1000);

        raw_send(fd, str_of(starts[i]));
        TURN_SOME(l);
        loop__turn_clock(l, (i ? LIMIT_HTTP_BODY_MS : LIMIT_HTTP_HEAD_MS) * USEC_PER_MS - USEC_PER_SEC);
        TURN_SOME(l);
        assert_true(raw_recv(fd, &b) && b.len == 0);
        loop__turn_clock(l, 2 * USEC_PER_SEC);
        b = raw_all(l, fd);
        assert_true(str_starts(buf_as_str(&b), STR("HTTP/1.1 408")));
        buf_done(&b);
        close(fd);
    }
}

static void an_idle_connection_is_closed_in_silence(void **state)
{
    int fd = raw_open(listener_port(li));
    struct buf b;

    (void)state;
    raw_send(fd, STR("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    b = raw_until(l, fd, "GET /? []");
    buf_done(&b);
    loop__turn_clock(l, LIMIT_HTTP_IDLE_MS * USEC_PER_MS - USEC_PER_SEC);
    TURN_SOME(l);
    assert_int_equal(listener_conns(li), 1);
    loop__turn_clock(l, 2 * USEC_PER_SEC);
    b = raw_all(l, fd);
    assert_int_equal(b.len, 0);
    close(fd);
    buf_done(&b);
}

static void a_header_with_a_line_break_is_not_sent(void **state)
{
    int fd = raw_open(listener_port(li));
    struct kv evil = { STR("X-A"), STR("b\r\nX-Evil: yes") };
    struct http_res res = { .status = 200, .headers = &evil, .n_headers = 1, .body = STR("end") };
    struct buf b;

    (void)state;
    raw_send(fd, STR("GET /park HTTP/1.1\r\nHost: x\r\n\r\n"));
    TURN_UNTIL(l, parked != 0);
    http_reply(parked, &res);
    b = raw_until(l, fd, "end");
    assert_int_equal(str_find(buf_as_str(&b), STR("Evil")), -1);
    buf_done(&b);
    close(fd);
}

static void draining_closes_after_the_current_reply(void **state)
{
    int idle = raw_open(listener_port(li)), busy = raw_open(listener_port(li));
    struct http_res res = { .status = 200, .body = STR("last") };
    struct buf b;

    (void)state;
    raw_send(busy, STR("GET /park HTTP/1.1\r\nHost: x\r\n\r\n"));
    TURN_UNTIL(l, parked != 0 && listener_conns(li) == 2);
    listener_stop(li);
    listener_drain(li);
    b = raw_all(l, idle);
    assert_int_equal(b.len, 0);
    http_reply(parked, &res);
    b = raw_all(l, busy);
    assert_true(str_find(buf_as_str(&b), STR("Connection: close\r\n")) > 0);
    assert_true(str_ends(buf_as_str(&b), STR("last")));
    buf_done(&b);
    close(idle);
    close(busy);
}

static void paused_reads_wait_and_go_on(void **state)
{
    int fd = raw_open(listener_port(li));
    struct buf b;

    (void)state;
    TURN_UNTIL(l, listener_conns(li) == 1);
    listener_pause_reads(li, true);
    raw_send(fd, STR("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    TURN_SOME(l);
    assert_int_equal(n_requests, 0);
    listener_pause_reads(li, false);
    b = raw_until(l, fd, "GET /? []");
    buf_done(&b);
    close(fd);
}

static void a_port_in_use_is_named(void **state)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .port = listener_port(li), .allow_plain = true };
    struct listener *other = NULL;
    struct err err = { 0 };

    (void)state;
    assert_int_equal(listen_http(l, &conf, &ops, &other, &err), -EADDRINUSE);
    assert_null(other);
    assert_string_equal(err.slug, "listen.in_use");
    AUTO_FREE char *port = xasprintf("%u", conf.port);

    assert_non_null(strstr(err.text, port));
}

static void a_unix_socket_knows_who_calls_and_replaces_a_stale_one(void **state)
{
    AUTO_FREE char *path = xasprintf("/tmp/test-net-%d.sock", getpid());
    struct listen_conf conf = { .unix_path = path, .allow_plain = true };
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    struct listener *a = NULL, *b = NULL;
    struct err err = { 0 };
    struct stat st;
    int stale = socket(AF_UNIX, SOCK_STREAM, 0), fd;

    (void)state;
    assert_int_equal(str_copy(str_of(path), un.sun_path, sizeof(un.sun_path)), 0);
    assert_int_equal(bind(stale, (struct sockaddr *)&un, sizeof(un)), 0);
    close(stale);
    assert_int_equal(listen_http(l, &conf, &ops, &a, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    assert_int_equal(listen_http(l, &conf, &ops, &b, &err), -EADDRINUSE);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    fd_set_nonblock(fd);
    raw_send(fd, STR("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    struct buf got = raw_until(l, fd, "GET /? []");

    buf_done(&got);
    assert_false(is_peer_dev); /* another matter than the socket */
    close(fd);
    listener_free(a);
    assert_int_equal(stat(path, &st), -1);
}

static void plain_http_where_only_tls_is_spoken_is_told_so(void **state)
{
    struct certs *c = certs_new();
    struct tls_ctx *tls = server_tls(c, NULL);
    struct listen_conf conf = { .addr = "0.0.0.0", .tls = tls, .allow_plain = true, .plain_loopback_only = true };
    struct listener *other = NULL;
    struct err err = { 0 };
    struct buf b;
    int fd;

    (void)state;
    assert_int_equal(listen_http(l, &conf, &ops, &other, &err), 0);
    fd = raw_open(listener_port(other));
    raw_send(fd, STR("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    b = raw_all(l, fd);
    assert_true(str_starts(buf_as_str(&b), STR("HTTP/1.1 400")));
    assert_true(str_ends(buf_as_str(&b), STR("\r\n\r\nthis port speaks HTTPS.\n")));
    buf_done(&b);
    close(fd);
    listener_free(other);
    tls_ctx_free(tls);
    certs_free(c);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        T(requests_are_answered),
        T(bad_requests_are_refused_and_the_connection_closed),
        T(a_body_of_the_cap_is_taken_and_one_more_is_not),
        T(bodies_of_all_connections_together_have_a_cap),
        T(the_head_callback_can_refuse_before_the_body),
        T(expect_100_is_answered_before_the_body),
        T(pipelined_requests_are_answered_in_order),
        T(a_client_that_does_not_wait_is_not_read_without_end),
        T(a_parked_exchange_learns_that_the_client_left),
        T(half_a_close_still_gets_the_reply),
        T(half_a_close_is_not_waited_for_without_end),
        T(a_stream_is_chunked_and_its_end_is_told),
        T(a_stream_to_http_1_0_ends_with_the_connection),
        T(a_slow_reader_fills_the_queue_and_draining_is_told_once),
        T(a_reader_that_stands_still_is_dropped),
        T(a_slow_head_and_a_slow_body_get_408),
        T(an_idle_connection_is_closed_in_silence),
        T(a_header_with_a_line_break_is_not_sent),
        T(draining_closes_after_the_current_reply),
        T(paused_reads_wait_and_go_on),
        T(a_port_in_use_is_named),
        T(a_unix_socket_knows_who_calls_and_replaces_a_stale_one),
        T(plain_http_where_only_tls_is_spoken_is_told_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
