/* Promises of outbound.c (agent/dialects/personality.h), against our own listener and against sockets that misbehave. */
#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../net/lib.h"
#include "agent/dialects/personality.h"
#include "base/fd.h"
#include "net/listen.h"

static struct loop *l;
static struct listener *li;
static struct certs *certs;
static struct outbound *out;
static int n_requests, n_done, status;
static char slug[48], seen_header[128], seen_target[256], url[128], dir[64];
static struct buf got;
static usec_t retry_after;
static size_t n_headers;

static int64_t take_any(void *ctx, const struct http_req *req)
{
    (void)ctx, (void)req;
    return 4 << 20;
}

static void on_request(void *ctx, uint64_t x, const struct http_req *req)
{
    static char big[(1 << 20) + 1];
    struct kv more[1] = { { STR("Retry-After"), STR("7") } };
    struct http_res res = { .status = 200, .body = req->body.len ? req->body : req->path, .headers = more };

    (void)ctx;
    n_requests++;
    (void)str_copy(http_header(req, "x-key"), seen_header, sizeof(seen_header));
    (void)str_copy(req->target, seen_target, sizeof(seen_target));
    if (str_ends(req->path, STR("/park")))
        return;
    if (str_ends(req->path, STR("/stall"))) {
        struct blob *b = blob_new(STR("half"));

        res.body = STR_NONE;
        http_stream_begin(x, &res);
        http_stream_write(x, b);
        blob_unref(b);
        return;
    }
    if (str_ends(req->path, STR("/moved"))) {
        more[0] = (struct kv){ STR("Location"), STR("/elsewhere") };
        res.status = 302;
        res.n_headers = 1;
    } else if (str_ends(req->path, STR("/busy"))) {
        res.status = 429;
        res.n_headers = 1;
    } else if (str_ends(req->path, STR("/down"))) {
        res.status = 503;
        res.n_headers = 1;
    } else if (str_ends(req->path, STR("/fine"))) {
        res.n_headers = 1; /* says it without a reason */
    } else if (str_ends(req->path, STR("/exact"))) {
        res.body = str_bytes(big, 1 << 20);
    } else if (str_ends(req->path, STR("/over"))) {
        res.body = str_bytes(big, sizeof(big));
    }
    http_reply(x, &res);
}
static const struct http_server_ops ops = { .head = take_any, .request = on_request };

static void on_answer(void *ctx, const struct outbound_reply *r)
{
    (void)ctx;
    n_done++;
    status = r->status;
    (void)snprintf(slug, sizeof(slug), "%s", r->err ? r->err->slug : "");
    assert_true(!!r->err == (r->status == 0));
    retry_after = r->retry_after;
    n_headers = r->headers->n;
    buf_reset(&got);
    buf_str(&got, r->body);
}

static void free_it(void *ctx, const struct outbound_reply *r)
{
    on_answer(ctx, r);
    outbound_free(TAKE(out));
}

static int up(void **state)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .allow_plain = true };
    struct err err = { 0 };

    (void)state;
    for (const char *const *v = (const char *const[]){ "http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "no_proxy",
                                                       "NO_PROXY", NULL }; *v; v++)
        (void)unsetenv(*v);
    l = loop_new();
    n_requests = n_done = status = 0;
    slug[0] = seen_header[0] = seen_target[0] = '\0';
    got = BUF(4 << 20);
    assert_int_equal(listen_http(l, &conf, &ops, &li, &err), 0);
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", listener_port(li));
    (void)snprintf(dir, sizeof(dir), "/tmp/test-outbound-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return 0;
}

static int down(void **state)
{
    (void)state;
    outbound_free(TAKE(out));
    listener_free(TAKE(li));
    TURN_SOME(l); /* a dial that was given up before its first turn goes in that turn */
    loop_free(l);
    buf_done(&got);
    if (certs)
        certs_free(TAKE(certs));
    return fd_remove_tree(dir);
}

static void make_with(struct outbound_conf conf)
{
    struct err err = { 0 };

    conf.loop = l;
    conf.base_url = conf.base_url ? conf.base_url : url;
    if (outbound_new(&conf, &out, &err) < 0)
        fail_msg("%s", err.text);
}

static uint64_t ask(const char *path)
{
    struct kv h = { STR("X-Key"), STR("secret") };
    struct outbound_req rq = { .method = "POST", .path = path, .headers = &h, .n_headers = 1, .done = on_answer };

    return outbound_send(out, &rq);
}

static void get(const char *path)
{
    int before = n_done;

    ask(path);
    TURN_UNTIL(l, n_done > before);
}

static void refused(const struct outbound_conf *like, int code, const char *want)
{
    struct outbound_conf conf = *like;
    struct err err = { 0 };

    conf.loop = l;
    assert_int_equal(outbound_new(&conf, &out, &err), code);
    assert_string_equal(err.slug, want);
    assert_null(out);
}

static void requests_go_in_order_over_one_connection_behind_the_prefix(void **state)
{
    AUTO_FREE char *with_prefix = xasprintf("%s/api//", url);

    (void)state;
    make_with((struct outbound_conf){ .base_url = with_prefix });
    ask("/a");
    ask("/b?x=1");
    assert_int_equal(n_done, 0);
    TURN_UNTIL(l, n_done == 2);
    assert_string_equal(seen_target, "/api/b?x=1");
    assert_string_equal(seen_header, "secret");
    get("/c");
    assert_int_equal(listener_conns(li), 1);
    assert_int_equal(status, 200);
    assert_true(n_headers > 0);
    assert_string_equal(outbound_origin(out), url);
}

static void a_redirect_is_handed_on_and_not_followed(void **state)
{
    (void)state;
    make_with((struct outbound_conf){ 0 });
    get("/moved");
    assert_int_equal(status, 302);
    TURN_SOME(l);
    assert_int_equal(n_requests, 1);
}

static void retry_after_counts_with_429_and_503_only(void **state)
{
    (void)state;
    make_with((struct outbound_conf){ 0 });
    get("/busy");
    assert_int_equal(retry_after, 7 * USEC_PER_SEC);
    get("/down");
    assert_int_equal(retry_after, 7 * USEC_PER_SEC);
    get("/fine");
    assert_int_equal(retry_after, 0);
    assert_int_equal(status, 200);
}

static void a_reply_may_have_so_many_bytes_and_no_more(void **state)
{
    (void)state;
    make_with((struct outbound_conf){ 0 });
    get("/exact");
    assert_int_equal(status, 200);
    assert_int_equal(got.len, 1 << 20);
    get("/over");
    assert_string_equal(slug, "http.too_large");
    get("/a");
    assert_int_equal(status, 200);
}

static void no_answer_half_an_answer_and_no_handshake_time_out(void **state)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    AUTO_FREE char *deaf = NULL;

    (void)state;
    make_with((struct outbound_conf){ .total_timeout = 80 * USEC_PER_MS });
    get("/park");
    assert_string_equal(slug, "net.timeout");
    get("/stall");
    assert_string_equal(slug, "net.timeout");
    get("/a"); /* the next one has a connection of its own */
    assert_int_equal(status, 200);

    outbound_free(TAKE(out));
    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    deaf = xasprintf("https://127.0.0.1:%u", ntohs(in.sin_port));
    make_with((struct outbound_conf){ .base_url = deaf, .insecure_skip_verify = true, .connect_timeout = 80 * USEC_PER_MS });
    get("/a");
    assert_string_equal(slug, "net.timeout");
    close(fd);
}

static void nobody_there_an_unknown_name_and_a_slammed_door_are_told_apart(void **state)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one;
    AUTO_FREE char *rude = NULL;

    (void)state;
    listener_free(TAKE(li));
    make_with((struct outbound_conf){ 0 });
    get("/a");
    assert_string_equal(slug, "net.refused");
    outbound_free(TAKE(out));
    make_with((struct outbound_conf){ .base_url = "http://no-such-host.invalid", .allow_http = true });
    get("/a");
    assert_string_equal(slug, "net.dns");
    outbound_free(TAKE(out));

    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    assert_int_equal(fd_set_nonblock(fd), 0);
    rude = xasprintf("http://127.0.0.1:%u", ntohs(in.sin_port));
    make_with((struct outbound_conf){ .base_url = rude });
    ask("/a");
    TURN_UNTIL(l, ({
                   one = accept(fd, NULL, NULL);
                   if (one >= 0)
                       close(one);
                   n_done == 1 || n_done == 3;
               }));
    assert_string_equal(slug, "net.closed");
    close(fd);
}

static void plain_http_leaves_the_machine_only_when_allowed(void **state)
{
    struct err err = { 0 };
    struct outbound_conf conf = { .loop = l, .base_url = "http://192.0.2.1", .allow_http = true };

    (void)state;
    refused(&(struct outbound_conf){ .base_url = "http://192.0.2.1" }, -EPERM, "url.insecure");
    refused(&(struct outbound_conf){ .base_url = "ftp://h" }, -EINVAL, "url.bad");
    refused(&(struct outbound_conf){ .base_url = "https://u:p@h" }, -EINVAL, "url.bad");
    assert_int_equal(outbound_new(&conf, &out, &err), 0);
}

static void listen_tls(const char *address)
{
    const char *const names[] = { "localhost", address, NULL };
    static const char *const alpn[] = { "http/1.1", NULL };
    struct err err = { 0 };
    usec_t now = clock_wall(&clock_real);
    AUTO_FREE char *leaf = NULL, *chain = NULL;

    certs = certs_new();
    struct pki_issue is = { .ca_cert_pem = certs->ca, .ca_key_pem = certs->ca_key, .common_name = "s", .uri = "spiffe://t/server",
                            .dns = names, .not_before = now - USEC_PER_HOUR, .not_after = now + USEC_PER_HOUR, .is_server = true };

    leaf = pki_issue_key(&is, certs->server_key, &err);
    assert_non_null(leaf);
    chain = xasprintf("%s%s", leaf, certs->ca);
    struct tls_server_conf conf = { .cert_pem = chain, .key_pem = certs->server_key, .ca_pem = certs->ca, .ask_client_cert = true,
                                    .alpn = alpn };
    struct tls_ctx *t = tls_server_new(&conf, &err);
    struct listen_conf lc = { .addr = "127.0.0.1", .tls = t };

    assert_non_null(t);
    listener_free(TAKE(li));
    assert_int_equal(listen_http(l, &lc, &ops, &li, &err), 0);
    tls_ctx_free(t);
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%u", listener_port(li));
}

static char *put(const char *name, const char *text)
{
    char *path = xasprintf("%s/%s", dir, name);
    struct err err = { 0 };

    assert_int_equal(fd_replace_file(path, str_of(text), 0600, &err), 0);
    return path;
}

static void tls_is_verified_by_the_file_the_system_or_not_at_all_on_request(void **state)
{
    AUTO_FREE char *ca = NULL, *none = NULL, *named = NULL, *cert = NULL, *key = NULL;

    (void)state;
    listen_tls("127.0.0.1");
    ca = put("ca.pem", certs->ca);
    none = put("none.pem", "nothing\n");
    cert = put("cert.pem", certs->client);
    key = put("key.pem", certs->client_key);

    make_with((struct outbound_conf){ .ca_file = ca });
    get("/a");
    assert_int_equal(status, 200);
    outbound_free(TAKE(out));

    make_with((struct outbound_conf){ 0 }); /* the system does not know our CA */
    get("/a");
    assert_string_equal(slug, "net.tls");
    outbound_free(TAKE(out));
    assert_int_equal(n_requests, 1);

    make_with((struct outbound_conf){ .insecure_skip_verify = true });
    get("/a");
    assert_int_equal(status, 200);
    outbound_free(TAKE(out));

    named = xasprintf("https://localhost:%u", listener_port(li));
    make_with((struct outbound_conf){ .base_url = named, .ca_file = ca, .cert_file = cert, .key_file = key });
    get("/a");
    assert_int_equal(status, 200);
    outbound_free(TAKE(out));

    refused(&(struct outbound_conf){ .base_url = url, .ca_file = none }, -EINVAL, "tls.ca");
    refused(&(struct outbound_conf){ .base_url = url, .ca_file = "/nonexistent" }, -ENOENT, "tls.ca");
}

/* Everything before the first byte is sent. */
static void a_client_certificate_comes_with_its_own_key_that_nobody_else_reads(void **state)
{
    AUTO_FREE char *cert = NULL, *key = NULL, *other = NULL, *both = NULL, *text = NULL, *pair = NULL;

    (void)state;
    listen_tls("127.0.0.1");
    text = pki_key_p256();
    pair = xasprintf("%s%s", certs->client, certs->client_key);
    cert = put("cert.pem", certs->client);
    key = put("key.pem", certs->client_key);
    other = put("other.pem", text);
    both = put("both.pem", pair);
    make_with((struct outbound_conf){ .insecure_skip_verify = true, .cert_file = both });
    get("/a");
    assert_int_equal(status, 200);
    outbound_free(TAKE(out));

    refused(&(struct outbound_conf){ .base_url = url, .cert_file = "/nonexistent" }, -ENOENT, "tls.cert");
    refused(&(struct outbound_conf){ .base_url = url, .cert_file = cert, .key_file = "/nonexistent" }, -ENOENT, "file.read");
    refused(&(struct outbound_conf){ .base_url = url, .key_file = key }, -EINVAL, "tls.cert");
    refused(&(struct outbound_conf){ .base_url = url, .cert_file = cert }, -EINVAL, "tls.config");
    refused(&(struct outbound_conf){ .base_url = url, .cert_file = cert, .key_file = other }, -EINVAL, "tls.config");
    refused(&(struct outbound_conf){ .base_url = url, .cert_file = key, .key_file = key }, -EINVAL, "tls.config");
    assert_int_equal(chmod(key, 0640), 0);
    refused(&(struct outbound_conf){ .base_url = url, .cert_file = cert, .key_file = key }, -EPERM, "file.mode");
    assert_int_equal(chmod(both, 0604), 0);
    refused(&(struct outbound_conf){ .base_url = url, .cert_file = both }, -EPERM, "file.mode");
    assert_int_equal(n_requests, 1);
}

static void a_certificate_for_another_name_is_refused(void **state)
{
    AUTO_FREE char *ca = NULL;

    (void)state;
    listen_tls("127.0.0.9");
    ca = put("ca.pem", certs->ca);
    make_with((struct outbound_conf){ .ca_file = ca });
    get("/a");
    assert_string_equal(slug, "net.tls");
    assert_int_equal(n_requests, 0);
}

/* -- proxies: a raw socket that answers CONNECT and splices, or says no */

static int proxy_fd = -1, client_fd = -1, server_fd = -1;
static struct buf proxy_head;
static const char *proxy_says;

static uint16_t proxy_listen(void)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(in);

    proxy_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(proxy_fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(proxy_fd, 5), 0);
    assert_int_equal(getsockname(proxy_fd, (struct sockaddr *)&in, &len), 0);
    proxy_head = BUF(64 << 10);
    return ntohs(in.sin_port);
}

static void splice_some(int from, int to)
{
    char p[16384];
    ssize_t n = recv(from, p, sizeof(p), MSG_DONTWAIT);

    if (n > 0)
        assert_int_equal(send(to, p, (size_t)n, MSG_NOSIGNAL), n);
}

static void proxy_turn(void)
{
    if (client_fd < 0) {
        client_fd = accept4(proxy_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    } else if (server_fd < 0) {
        char p[4096];
        ssize_t n = recv(client_fd, p, sizeof(p), MSG_DONTWAIT);

        if (n > 0)
            buf_append(&proxy_head, p, (size_t)n);
        if (!str_ends(buf_as_str(&proxy_head), STR("\r\n\r\n")))
            return;
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(listener_port(li)) };

        server_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(server_fd, (struct sockaddr *)&in, sizeof(in)), 0);
        (void)!send(client_fd, proxy_says, strlen(proxy_says), MSG_NOSIGNAL);
    } else {
        splice_some(client_fd, server_fd);
        splice_some(server_fd, client_fd);
    }
}

static void proxy_down(void)
{
    fd_close(&proxy_fd);
    fd_close(&client_fd);
    fd_close(&server_fd);
    buf_done(&proxy_head);
}

static void https_goes_through_a_proxy_by_connect(void **state)
{
    AUTO_FREE char *proxy = NULL, *ca = NULL;

    (void)state;
    listen_tls("127.0.0.1");
    ca = put("ca.pem", certs->ca);
    proxy = xasprintf("http://me:pass@127.0.0.1:%u/", proxy_listen());
    (void)setenv("https_proxy", proxy, 1);
    proxy_says = "HTTP/1.1 200 Connection established\r\n\r\n";
    make_with((struct outbound_conf){ .ca_file = ca });
    ask("/a");
    TURN_UNTIL(l, (proxy_turn(), n_done == 1));
    assert_int_equal(status, 200);
    assert_true(str_starts(buf_as_str(&proxy_head), STR("CONNECT 127.0.0.1:")));
    assert_true(str_find(buf_as_str(&proxy_head), STR("Proxy-Authorization: Basic bWU6cGFzcw==\r\n")) > 0);
    assert_true(str_find(buf_as_str(&proxy_head), STR("secret")) < 0);
    proxy_down();
}

static void a_proxy_that_says_no_is_named(void **state)
{
    AUTO_FREE char *proxy = NULL;

    (void)state;
    listen_tls("127.0.0.1");
    proxy = xasprintf("127.0.0.1:%u", proxy_listen());
    (void)setenv("HTTPS_PROXY", proxy, 1);
    proxy_says = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno";
    make_with((struct outbound_conf){ .insecure_skip_verify = true });
    ask("/a");
    TURN_UNTIL(l, (proxy_turn(), n_done == 1));
    assert_string_equal(slug, "net.proxy");
    assert_int_equal(n_requests, 0);
    proxy_down();
}

static void http_goes_to_a_proxy_with_the_whole_url_unless_excepted(void **state)
{
    AUTO_FREE char *proxy = xasprintf("http://127.0.0.1:%u", listener_port(li));

    (void)state;
    (void)setenv("http_proxy", proxy, 1);
    make_with((struct outbound_conf){ .base_url = "http://example.org/p", .allow_http = true });
    get("/a");
    assert_string_equal(seen_target, "http://example.org:80/p/a");
    outbound_free(TAKE(out));
    (void)setenv("http_proxy", "http://127.0.0.1:1", 1);
    (void)setenv("no_proxy", "127.0.0.1", 1);
    make_with((struct outbound_conf){ 0 });
    get("/a");
    assert_string_equal(seen_target, "/a");
}

static void cancelled_requests_never_answer(void **state)
{
    uint64_t first, second;

    (void)state;
    make_with((struct outbound_conf){ 0 });
    first = ask("/park");
    second = ask("/never");
    ask("/last");
    TURN_UNTIL(l, n_requests == 1);
    outbound_cancel(out, second);
    outbound_cancel(out, first);
    TURN_UNTIL(l, n_done == 1);
    assert_string_equal(buf_as_cstr(&got), "/last");
    outbound_cancel(out, 4711);
}

static void it_may_be_freed_in_its_callback_and_before_it_began(void **state)
{
    struct outbound_req rq = { .method = "GET", .path = "/a", .done = free_it };

    (void)state;
    make_with((struct outbound_conf){ 0 });
    outbound_send(out, &rq);
    outbound_send(out, &rq);
    TURN_UNTIL(l, n_done == 1);
    assert_null(out);
    make_with((struct outbound_conf){ 0 });
    outbound_send(out, &rq);
    outbound_free(TAKE(out));
    TURN_SOME(l);
    assert_int_equal(n_done, 1);
}

static void a_header_with_a_line_break_is_not_sent(void **state)
{
    struct kv h[] = { { STR("X-Key"), STR("a\r\nX-Evil: 1") }, { STR("Bad Name"), STR("x") } };
    struct outbound_req rq = { .method = "GET", .path = "/a", .headers = h, .n_headers = 2, .done = on_answer };

    (void)state;
    make_with((struct outbound_conf){ 0 });
    outbound_send(out, &rq);
    TURN_UNTIL(l, n_done == 1);
    assert_int_equal(status, 200);
    assert_string_equal(seen_header, "");
}

static void stop_it(void *ctx)
{
    loop_stop(ctx);
}

static void a_call_waits_for_its_answer_or_for_a_stop(void **state)
{
    AUTO(buf_done) struct buf body = BUF(1 << 20);
    struct err err = { 0 };
    struct outbound_req rq = { .method = "GET", .path = "/a" };
    usec_t wait = 1;

    (void)state;
    make_with((struct outbound_conf){ 0 });
    assert_int_equal(outbound_call(out, &rq, &body, &wait, &err), 200);
    assert_string_equal(buf_as_cstr(&body), "/a");
    assert_int_equal(wait, 0);
    rq.path = "/busy";
    assert_int_equal(outbound_call(out, &rq, &body, &wait, &err), 429);
    assert_int_equal(wait, 7 * USEC_PER_SEC);
    rq.path = "/park";
    rq.timeout = 50 * USEC_PER_MS;
    assert_int_equal(outbound_call(out, &rq, &body, &wait, &err), -ETIMEDOUT);
    assert_string_equal(err.slug, "net.timeout");
    rq.timeout = 0;
    loop_on_signal(l, SIGUSR1, stop_it, l);
    assert_int_equal(raise(SIGUSR1), 0);
    assert_int_equal(outbound_call(out, &rq, &body, &wait, &err), -EINTR);
    assert_string_equal(err.slug, "net.interrupted");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        T(requests_go_in_order_over_one_connection_behind_the_prefix),
        T(a_redirect_is_handed_on_and_not_followed),
        T(retry_after_counts_with_429_and_503_only),
        T(a_reply_may_have_so_many_bytes_and_no_more),
        T(no_answer_half_an_answer_and_no_handshake_time_out),
        T(nobody_there_an_unknown_name_and_a_slammed_door_are_told_apart),
        T(plain_http_leaves_the_machine_only_when_allowed),
        T(tls_is_verified_by_the_file_the_system_or_not_at_all_on_request),
        T(a_client_certificate_comes_with_its_own_key_that_nobody_else_reads),
        T(a_certificate_for_another_name_is_refused),
        T(https_goes_through_a_proxy_by_connect),
        T(a_proxy_that_says_no_is_named),
        T(http_goes_to_a_proxy_with_the_whole_url_unless_excepted),
        T(cancelled_requests_never_answer),
        T(it_may_be_freed_in_its_callback_and_before_it_began),
        T(a_header_with_a_line_break_is_not_sent),
        T(a_call_waits_for_its_answer_or_for_a_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
