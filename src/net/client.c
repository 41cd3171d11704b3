/* net/client.c - outbound HTTP/1.1, one request after the other on one connection. Loop thread. */
#include "net/client.h"

#include <assert.h>
#include <errno.h>

#include "base/mem.h"
#include "net/conn.h"
#include "net/dial.h"
#include "net/http1.h"
#include "net/outq.h"
#include "net/tls.h"

struct request {
    struct request *next;
    uint64_t number;
    struct buf bytes; /* head and body */
    struct http_client_req cb;
    bool is_head;
};

struct http_client {
    struct loop *l;
    char *host, *unix_path, *proxy_host, *proxy_auth;
    uint16_t port, proxy_port;
    struct tls_ctx *tls;
    usec_t connect_timeout, reply_timeout;
    size_t max_body;
    struct request *queue, **tail, *cur;
    uint64_t numbers;
    struct dial *dial;
    struct conn *c;
    struct outq out;
    struct h1 h1;
    struct buf body;
    struct wheel_entry deadline;
    bool is_up;      /* connected, TLS done */
    bool is_tunnelling; /* waits for the proxy's answer to CONNECT */
    bool is_reused;  /* cur went out on a connection that had been idle */
    bool is_answered; /* a byte of the reply to cur has come */
    bool *is_freed;  /* set by http_client_free() for whoever is calling back */
};

static void pump(struct http_client *h);

static void request_free(struct request *r)
{
    if (!r)
        return;
    buf_done_secret(&r->bytes); /* tokens travel in headers */
    free(r);
}

/* Forgets the connection; nothing of it comes back. */
static void drop_conn(struct http_client *h)
{
    dial_free(TAKE(h->dial));
    if (h->c) {
        h->c->proto = NULL;
        conn_close(h->c, NULL);
    }
    h->c = NULL;
    h->is_up = h->is_tunnelling = false;
    outq_done(&h->out);
    h1_reset(&h->h1);
    wheel_del(h->l, &h->deadline);
}

/* The current request is over: says so, and goes on with the next one if the client still lives. */
static void finish(struct http_client *h, const struct err *err)
{
    struct request *r = TAKE(h->cur);
    AUTO(buf_done) struct buf body = h->body;
    int status = h->h1.status;
    bool is_freed = false, keep = !err && h->h1.is_keep_alive;

    h->body = (struct buf){ 0 };
    wheel_del(h->l, &h->deadline);
    if (!keep)
        drop_conn(h);
    else
        h1_reset(&h->h1);
    h->is_freed = &is_freed;
    r->cb.done(r->cb.ctx, err, err ? 0 : status, buf_as_str(&body));
    request_free(r);
    if (is_freed)
        return;
    h->is_freed = NULL;
    pump(h);
}

static void fail(struct http_client *h, const struct err *why)
{
    struct err err = *why;

    if (!h->cur) {
        drop_conn(h);
        return;
    }
    if (!err_is(&err))
        err_set(&err, -ECONNRESET, "net.closed", "the server closed the connection");
    finish(h, &err);
}

/* -- the reply */
static int on_head(void *ctx)
{
    struct http_client *h = ctx;

    if (h->h1.status < 200 || h->is_tunnelling)
        return 0;
    wheel_del(h->l, &h->deadline);
    if (h->cur && h->cur->cb.head)
        h->cur->cb.head(h->cur->cb.ctx, h->h1.status, &h->h1.headers);
    return h->cur ? 0 : 499; /* cancelled in the callback */
}

static int on_body(void *ctx, struct str piece)
{
    struct http_client *h = ctx;

    if (!h->cur)
        return 499;
    if (h->cur->cb.chunk)
        h->cur->cb.chunk(h->cur->cb.ctx, piece);
    else if (buf_str(&h->body, piece) < 0)
        return 413;
    return h->cur ? 0 : 499;
}

static const struct h1_ops reply_ops = { on_head, on_body };

static void bad_reply(struct http_client *h)
{
    struct err err = { 0 };

    if (h->h1.bad_status == 413)
        err_set(&err, -EMSGSIZE, "http.too_large", "the reply is larger than %zu bytes", h->max_body);
    else
        err_set(&err, -EPROTO, "http.bad_reply", "the reply cannot be read: %s", h->h1.bad_text ? h->h1.bad_text : "");
    finish(h, &err);
}

static void put_host(const struct http_client *h, struct buf *b)
{
    buf_printf(b, strchr(h->host, ':') ? "[%s]:%u" : "%s:%u", h->host, h->port);
}

static void start_tunnel(struct http_client *h)
{
    AUTO(buf_done_secret) struct buf b = BUF(8 << 10);

    buf_cstr(&b, "CONNECT ");
    put_host(h, &b);
    buf_cstr(&b, " HTTP/1.1\r\nHost: ");
    put_host(h, &b);
    if (h->proxy_auth)
        buf_printf(&b, "\r\nProxy-Authorization: %s", h->proxy_auth);
    buf_cstr(&b, "\r\n\r\n");
    h->is_tunnelling = true;
    h1_reset(&h->h1);
    h->h1.is_head_reply = true; /* RFC 9110 section 9.3.6: no body after a 2xx; of others it does not matter */
    outq_bytes(&h->out, b.ptr, b.len);
    conn_dirty(h->c);
}

static void on_tunnel_input(struct http_client *h, struct str s)
{
    struct err err = { 0 };
    size_t used = 0;
    enum h1_outcome outcome = h1_feed(&h->h1, s, &used);

    if (outcome == H1_MORE)
        return;
    if (outcome == H1_DONE && h->h1.status >= 200 && h->h1.status < 300 && used == s.len) {
        h->is_tunnelling = false;
        h1_reset(&h->h1);
        conn_start_tls(h->c, h->tls, h->host);
        return;
    }
    if (outcome == H1_DONE)
        err_set(&err, -ECONNREFUSED, "net.proxy", "the proxy %s answered CONNECT with %d", h->proxy_host, h->h1.status);
    else
        err_set(&err, -EPROTO, "net.proxy", "the answer of the proxy %s cannot be read", h->proxy_host);
    drop_conn(h);
    fail(h, &err);
}

static void on_input(struct conn *c, struct str s)
{
    struct http_client *h = c->proto;
    size_t used;

    if (h && h->is_tunnelling) {
        on_tunnel_input(h, s);
        return;
    }
    while (h && s.len > 0 && c->proto == h && h->cur) {
        enum h1_outcome outcome = h1_feed(&h->h1, s, &used);

        if (c->proto != h || !h->cur)
            return; /* cancelled inside */
        h->is_answered = true;
        s = str_bytes(s.ptr + used, s.len - used);
        if (outcome == H1_BAD) {
            bad_reply(h);
            return;
        }
        if (outcome == H1_DONE && h->h1.status < 200) {
            h1_reset(&h->h1); /* 100 Continue: the real one follows */
            h->h1.is_head_reply = h->cur->is_head;
        } else if (outcome == H1_DONE) {
            finish(h, NULL);
            return; /* h may be gone; what follows unasked is not an answer to anything */
        }
    }
    if (h && c->proto == h && !h->cur && s.len > 0)
        drop_conn(h); /* talks without being asked */
}

static void on_eof(struct conn *c)
{
    struct http_client *h = c->proto;
    static const struct err none;

    if (!h)
        return;
    if (h->cur && h->is_answered) {
        if (h1_eof(&h->h1) == H1_DONE) {
            h->h1.is_keep_alive = false;
            finish(h, NULL);
        } else {
            fail(h, &none);
        }
        return;
    }
    conn_close(c, NULL);
}

static size_t on_output(struct conn *c, uint8_t *dst, size_t room)
{
    struct http_client *h = c->proto;

    return h ? outq_take(&h->out, dst, room) : 0;
}

static void send_current(struct http_client *h)
{
    h->is_answered = false;
    h1_reset(&h->h1);
    h->h1.is_head_reply = h->cur->is_head;
    outq_bytes(&h->out, h->cur->bytes.ptr, h->cur->bytes.len);
    if (h->reply_timeout != USEC_NEVER)
        wheel_set(h->l, &h->deadline, loop_now(h->l) + h->reply_timeout);
    else
        wheel_del(h->l, &h->deadline);
    conn_dirty(h->c);
}

static void on_ready(struct conn *c)
{
    struct http_client *h = c->proto;

    if (!h)
        return;
    h->is_up = true;
    if (h->cur)
        send_current(h);
}

static void on_conn_deadline(struct conn *c)
{
    (void)c; /* the client keeps the time */
}

static void on_closed(struct conn *c, const struct err *why)
{
    struct http_client *h = c->proto;

    if (!h)
        return;
    h->c = NULL;
    h->is_up = h->is_tunnelling = false;
    outq_done(&h->out);
    if (h->cur && h->is_reused && !h->is_answered) {
        /* The server gave up the idle connection while our request was on its way: once more, on a new one. */
        struct request *r = TAKE(h->cur);

        r->next = h->queue;
        if (!h->queue)
            h->tail = &r->next;
        h->queue = r;
        h->is_reused = false;
        pump(h);
        return;
    }
    fail(h, why);
}

static const struct conn_ops client_ops = {
    .input = on_input,
    .eof = on_eof,
    .output = on_output,
    .ready = on_ready,
    .deadline = on_conn_deadline,
    .closed = on_closed,
};

static void on_dialed(void *ctx, int fd, const struct net_peer *peer, const struct err *err)
{
    struct http_client *h = ctx;

    h->dial = NULL;
    if (fd < 0) {
        fail(h, err);
        return;
    }
    h->c = conn_new(h->l, fd, &client_ops, h);
    h->c->peer = *peer;
    if (h->tls && h->proxy_host)
        start_tunnel(h);
    else if (h->tls)
        conn_start_tls(h->c, h->tls, h->host);
    else
        on_ready(h->c);
}

static void on_deadline(struct wheel_entry *e)
{
    struct http_client *h = (struct http_client *)((char *)e - offsetof(struct http_client, deadline));
    struct err err = { 0 };

    err_set(&err, -ETIMEDOUT, "net.timeout", "%s does not answer", h->unix_path ? h->unix_path : h->host);
    drop_conn(h);
    fail(h, &err);
}

static void pump(struct http_client *h)
{
    if (h->cur || !h->queue)
        return;
    h->cur = h->queue;
    h->queue = h->cur->next;
    if (!h->queue)
        h->tail = &h->queue;
    h->cur->next = NULL;
    h->body = BUF(h->max_body);
    if (h->c && h->is_up && h->c->state == CONN_OPEN) {
        h->is_reused = true;
        send_current(h);
        return;
    }
    h->is_reused = false;
    h->is_answered = false;
    if (h->c || h->dial)
        drop_conn(h);
    wheel_set(h->l, &h->deadline, loop_now(h->l) + h->connect_timeout);
    h->dial = dial_new(h->l, h->proxy_host ? h->proxy_host : h->host, h->proxy_host ? h->proxy_port : h->port, h->unix_path,
                       h->connect_timeout, on_dialed, h);
}

/* -- outside */
struct http_client *http_client_new(struct loop *l, const struct http_client_conf *conf)
{
    struct http_client *h = xnew0(struct http_client);

    h->l = l;
    h->host = xstrdup(conf->host ? conf->host : "localhost");
    h->unix_path = conf->unix_path ? xstrdup(conf->unix_path) : NULL;
    h->port = conf->port;
    h->proxy_host = conf->proxy_host ? xstrdup(conf->proxy_host) : NULL;
    h->proxy_port = conf->proxy_port;
    h->proxy_auth = conf->proxy_auth ? xstrdup(conf->proxy_auth) : NULL;
    h->tls = conf->tls ? tls_ctx_ref(conf->tls) : NULL;
    h->connect_timeout = conf->connect_timeout ? conf->connect_timeout : 10 * USEC_PER_SEC;
    h->reply_timeout = conf->reply_timeout ? conf->reply_timeout : 30 * USEC_PER_SEC;
    h->max_body = conf->max_body ? conf->max_body : (size_t)64 << 20;
    h->tail = &h->queue;
    h->deadline.fire = on_deadline;
    h1_init(&h->h1, H1_RESPONSE, &reply_ops, h);
    return h;
}

void http_client_free(struct http_client *h)
{
    struct request *r;

    if (!h)
        return;
    if (h->is_freed)
        *h->is_freed = true;
    drop_conn(h);
    request_free(h->cur);
    while ((r = h->queue)) {
        h->queue = r->next;
        request_free(r);
    }
    buf_done(&h->body);
    tls_ctx_free(h->tls);
    free(h->host);
    free(h->unix_path);
    free(h->proxy_host);
    secret_free(h->proxy_auth);
    free(h);
}

static void put_request(struct http_client *h, struct request *r, const struct http_client_req *req)
{
    struct buf *b = &r->bytes;
    bool names_agent = false; /* the caller says who it is; with an empty value: nobody */

    *b = BUF(SIZE_MAX / 2);
    buf_printf(b, "%s ", req->method);
    if (h->proxy_host && !h->tls) { /* RFC 9112 section 3.2.2 */
        buf_cstr(b, "http://");
        put_host(h, b);
    }
    buf_printf(b, "%s HTTP/1.1\r\n", req->target);
    if (h->proxy_host && !h->tls && h->proxy_auth)
        buf_printf(b, "Proxy-Authorization: %s\r\n", h->proxy_auth);
    if (h->unix_path || h->port == 80 || h->port == 443) {
        buf_printf(b, "Host: %s\r\n", h->unix_path ? "localhost" : h->host);
    } else {
        buf_cstr(b, "Host: ");
        put_host(h, b);
        buf_cstr(b, "\r\n");
    }
    for (size_t i = 0; i < req->n_headers; i++) {
        bool is_agent = str_eq_nocase(req->headers[i].key, STR("user-agent"));

        names_agent = names_agent || is_agent;
        if (!is_agent || req->headers[i].value.len)
            buf_printf(b, "%.*s: %.*s\r\n", STR_FMT(req->headers[i].key), STR_FMT(req->headers[i].value));
    }
    if (!names_agent)
        buf_cstr(b, "User-Agent: muster/" MUSTER_VERSION "\r\n");
    if (req->body.len > 0 || (strcmp(req->method, "GET") != 0 && strcmp(req->method, "HEAD") != 0))
        buf_printf(b, "Content-Length: %zu\r\n", req->body.len);
    buf_cstr(b, "\r\n");
    buf_str(b, req->body);
}

uint64_t http_client_send(struct http_client *h, const struct http_client_req *req)
{
    struct request *r = xnew0(struct request);

    assert(req->done);
    r->number = ++h->numbers;
    r->cb = *req;
    r->is_head = strcmp(req->method, "HEAD") == 0;
    put_request(h, r, req);
    *h->tail = r;
    h->tail = &r->next;
    pump(h);
    return r->number;
}

void http_client_cancel(struct http_client *h, uint64_t number)
{
    struct request **pp = &h->queue, *r;

    if (h->cur && h->cur->number == number) {
        request_free(TAKE(h->cur));
        buf_done(&h->body);
        drop_conn(h);
        pump(h);
        return;
    }
    while ((r = *pp) && r->number != number)
        pp = &r->next;
    if (!r)
        return;
    *pp = r->next;
    if (!*pp)
        h->tail = pp;
    request_free(r);
}
