/* Promises of net/client.h, against our own server and against a socket that misbehaves. */
#include <unistd.h>

#include "net/client.h"
#include "net/listen.h"
#include "raw.h"

static struct loop *l;
static struct listener *li;
static struct http_client *client;
static int n_requests, n_done, n_heads, n_chunks, status;
static struct err last;
static struct buf got;
static uint64_t parked;

static int64_t take_any(void *ctx, const struct http_req *req)
{
    (void)ctx, (void)req;
    return 1 << 20;
}

static void on_request(void *ctx, uint64_t x, const struct http_req *req)
{
    struct http_res res = { .status = 200, .body = req->body.len ? req->body : req->path };

    (void)ctx;
    n_requests++;
    if (str_is(req->path, "/park"))
        parked = x;
    else
        http_reply(x, &res);
}

static const struct http_server_ops ops = { .head = take_any, .request = on_request };

static void on_head(void *ctx, int s, const struct kv_list *headers)
{
    (void)ctx, (void)s;
    n_heads++;
    assert_true(headers->n > 0);
}

static void on_chunk(void *ctx, struct str piece)
{
    (void)ctx;
    n_chunks++;
    buf_str(&got, piece);
}

static void on_done(void *ctx, const struct err *err, int s, struct str body)
{
    (void)ctx;
    n_done++;
    status = s;
    last = err ? *err : (struct err){ 0 };
    buf_str(&got, body);
}

static void on_done_free(void *ctx, const struct err *err, int s, struct str body)
{
    on_done(ctx, err, s, body);
    http_client_free(TAKE(client));
}

static void listen_plain(void)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .allow_plain = true };
    struct err err = { 0 };

    assert_int_equal(listen_http(l, &conf, &ops, &li, &err), 0);
}

static void make_client(uint16_t port)
{
    struct http_client_conf conf = { .host = "127.0.0.1", .port = port, .max_body = 1 << 20 };

    client = http_client_new(l, &conf);
}

static int up(void **state)
{
    (void)state;
    l = loop_new();
    n_requests = n_done = n_heads = n_chunks = status = 0;
    parked = 0;
    last = (struct err){ 0 };
    got = BUF(4 << 20);
    listen_plain();
    make_client(listener_port(li));
    return 0;
}

static int down(void **state)
{
    (void)state;
    http_client_free(client);
    listener_free(li);
    loop_free(l);
    buf_done(&got);
    return 0;
}

static uint64_t ask(const char *method, const char *target, struct str body)
{
    struct http_client_req req = { .method = method, .target = target, .body = body, .done = on_done };

    return http_client_send(client, &req);
}

static void requests_go_one_after_the_other_over_one_connection(void **state)
{
    (void)state;
    ask("GET", "/a", STR_NONE);
    ask("POST", "/b", STR("body"));
    ask("HEAD", "/c", STR_NONE);
    ask("GET", "/d", STR_NONE);
    assert_int_equal(n_done, 0);
    TURN_UNTIL(l, n_done == 4);
    assert_string_equal(buf_as_cstr(&got), "/abody/d");
    assert_int_equal(status, 200);
    assert_int_equal(listener_conns(li), 1);
}

static void a_streamed_reply_comes_in_pieces(void **state)
{
    struct http_client_req req = { .method = "GET", .target = "/park", .head = on_head, .chunk = on_chunk,
                                   .done = on_done };
    struct http_res res = { .status = 200, .content_type = "text/plain" };
    struct blob *b = blob_new(STR("piece"));

    (void)state;
    http_client_send(client, &req);
    TURN_UNTIL(l, parked != 0);
    http_stream_begin(parked, &res);
    http_stream_write(parked, b);
    TURN_UNTIL(l, n_chunks == 1);
    assert_int_equal(n_heads, 1);
    assert_int_equal(n_done, 0);
    http_stream_write(parked, b);
    TURN_UNTIL(l, n_chunks == 2);
    http_stream_end(parked);
    TURN_UNTIL(l, n_done == 1);
    assert_string_equal(buf_as_cstr(&got), "piecepiece");
    blob_unref(b);
}

static void an_idle_connection_that_broke_is_opened_anew(void **state)
{
    uint16_t port = listener_port(li);
    struct listen_conf conf = { .addr = "127.0.0.1", .port = port, .allow_plain = true };
    struct err err = { 0 };

    (void)state;
    ask("GET", "/a", STR_NONE);
    TURN_UNTIL(l, n_done == 1);
    listener_free(li);
    assert_int_equal(listen_http(l, &conf, &ops, &li, &err), 0);
    /* The client has not seen the close yet. */
    ask("GET", "/b", STR_NONE);
    TURN_UNTIL(l, n_done == 2);
    assert_false(err_is(&last));
    assert_string_equal(buf_as_cstr(&got), "/a/b");
}

static void cancelling_forgets_without_callbacks(void **state)
{
    uint64_t first, second;

    (void)state;
    first = ask("GET", "/park", STR_NONE);
    second = ask("GET", "/never", STR_NONE);
    ask("GET", "/last", STR_NONE);
    TURN_UNTIL(l, parked != 0);
    http_client_cancel(client, second);
    http_client_cancel(client, first);
    TURN_UNTIL(l, n_done == 1);
    assert_string_equal(buf_as_cstr(&got), "/last");
    http_client_cancel(client, 4711);
}

static void the_client_may_be_freed_when_done(void **state)
{
    struct http_client_req req = { .method = "GET", .target = "/a", .done = on_done_free };

    (void)state;
    http_client_send(client, &req);
    http_client_send(client, &req);
    TURN_UNTIL(l, n_done == 1);
    assert_null(client);
    TURN_SOME(l);
    assert_int_equal(n_done, 1);
}

static void a_refused_connection_is_an_error_per_request(void **state)
{
    (void)state;
    listener_stop(li);
    ask("GET", "/a", STR_NONE);
    ask("GET", "/b", STR_NONE);
    TURN_UNTIL(l, n_done == 2);
    assert_string_equal(last.slug, "net.refused");
    assert_int_equal(status, 0);
}

static void an_unknown_host_is_named(void **state)
{
    struct http_client_conf conf = { .host = "no-such-host.invalid", .port = 80 };

    (void)state;
    http_client_free(client);
    client = http_client_new(l, &conf);
    ask("GET", "/a", STR_NONE);
    TURN_UNTIL(l, n_done == 1);
    assert_string_equal(last.slug, "net.dns");
}

static void a_reply_that_does_not_come_times_out(void **state)
{
    (void)state;
    ask("GET", "/park", STR_NONE);
    TURN_UNTIL(l, parked != 0);
    loop__turn_clock(l, 31 * USEC_PER_SEC);
    TURN_UNTIL(l, n_done == 1);
    assert_string_equal(last.slug, "net.timeout");
}

/* A server of our own making. */
static int serve(int lfd, const char *reply)
{
    AUTO(buf_done) struct buf b = BUF(10000);
    int fd = -1;

    TURN_UNTIL(l, (fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    TURN_UNTIL(l, (raw_recv(fd, &b), str_find(buf_as_str(&b), STR("\r\n\r\n")) >= 0));
    raw_send(fd, str_of(reply));
    return fd;
}

static int odd_server(void)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fd, 5), 0);
    getsockname(fd, (struct sockaddr *)&in, &len);
    http_client_free(client);
    make_client(ntohs(in.sin_port));
    return fd;
}

static void odd_replies_are_understood_or_named(void **state)
{
    static const struct {
        const char *reply, *slug, *body;
        bool close;
    } rows[] = {
        { "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "", "ok", false },
        { "HTTP/1.0 200 OK\r\n\r\nto the end", "", "to the end", true },
        { "HTTP/1.1 204 No Content\r\n\r\n", "", "", false },
        { "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nshort", "net.closed", "", true },
        { "rubbish\r\n\r\n", "http.bad_reply", "", false },
    };
    int lfd;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        lfd = odd_server();
        n_done = 0;
        buf_reset(&got);
        ask("GET", "/", STR_NONE);
        int fd = serve(lfd, rows[i].reply);

        if (rows[i].close)
            close(fd);
        TURN_UNTIL(l, n_done == 1);
        assert_string_equal(last.slug, rows[i].slug);
        if (!rows[i].slug[0])
            assert_string_equal(buf_as_cstr(&got), rows[i].body);
        if (!rows[i].close)
            close(fd);
        close(lfd);
    }
}

static void a_reply_over_the_maximum_is_an_error(void **state)
{
    AUTO_FREE char *big = xcalloc(1, (1 << 20) + 200);
    int lfd = odd_server(), fd;

    (void)state;
    ask("GET", "/", STR_NONE);
    fd = serve(lfd, "HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n");
    size_t at = 0;

    TURN_UNTIL(l, ({
                   ssize_t n = send(fd, big + at, (1 << 20) + 1 - at, MSG_NOSIGNAL);
                   at += n > 0 ? (size_t)n : 0;
                   n_done == 1;
               }));
    assert_string_equal(last.slug, "http.too_large");
    close(fd);
    close(lfd);
}

static void https_is_spoken_with_a_pin(void **state)
{
    static const char *const http11[] = { "http/1.1", NULL };
    struct certs *c = certs_new();
    struct err err = { 0 };
    struct tls_server_conf sconf = { .cert_pem = c->server_chain, .key_pem = c->server_key, .alpn = http11,
                                     .allow_tls12 = true };
    struct tls_client_conf cconf = { .pin = c->pin, .alpn = http11 };
    struct tls_ctx *st = tls_server_new(&sconf, &err), *ct = tls_client_new(&cconf, &err);
    struct listen_conf conf = { .addr = "127.0.0.1", .tls = st };
    AUTO_FREE char *big = xmalloc(1 << 20);

    (void)state;
    memset(big, 'b', 1 << 20);
    listener_free(li);
    http_client_free(client);
    assert_int_equal(listen_http(l, &conf, &ops, &li, &err), 0);
    struct http_client_conf hc = { .host = "localhost", .port = listener_port(li), .tls = ct };

    client = http_client_new(l, &hc);
    ask("POST", "/", str_bytes(big, 1 << 20));
    TURN_UNTIL(l, n_done == 1);
    assert_int_equal(status, 200);
    assert_int_equal(got.len, 1 << 20);
    assert_memory_equal(got.ptr, big, 1 << 20);
    tls_ctx_free(st);
    tls_ctx_free(ct);
    certs_free(c);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        T(requests_go_one_after_the_other_over_one_connection),
        T(a_streamed_reply_comes_in_pieces),
        T(an_idle_connection_that_broke_is_opened_anew),
        T(cancelling_forgets_without_callbacks),
        T(the_client_may_be_freed_when_done),
        T(a_refused_connection_is_an_error_per_request),
        T(an_unknown_host_is_named),
        T(a_reply_that_does_not_come_times_out),
        T(odd_replies_are_understood_or_named),
        T(a_reply_over_the_maximum_is_an_error),
        T(https_is_spoken_with_a_pin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
