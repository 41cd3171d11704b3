/* net/http_server.c - exchanges on a kept-alive connection, strictly one at a time. Loop thread.
 *
 *     idle -> head -> body -> request() -> reply, or stream begin .. write .. end -> idle
 *
 * A pipelined request waits unread in `ahead` until the one before it has been answered. */
#include "net/http_server.h"

#include <assert.h>
#include <errno.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/http_bodies.h"
#include "net/http_res.h"
#include "net/listen_priv.h"

const struct name http_method_names[] = {
    { HTTP_GET, "GET" },       { HTTP_HEAD, "HEAD" },     { HTTP_POST, "POST" },       { HTTP_PUT, "PUT" },
    { HTTP_PATCH, "PATCH" },   { HTTP_DELETE, "DELETE" }, { HTTP_OPTIONS, "OPTIONS" }, NAMES_END,
};

struct hconn;
struct exchange {
    uint64_t id;
    struct hconn *hc;
    struct http_req req;
    struct buf body;
    uint64_t cap;
    void *user;
    void (*drain)(void *ctx, uint64_t exchange);
    void *drain_ctx;
    int refused; /* by head(): answered when the request is complete */
    bool is_delivered, is_streaming, is_chunked, is_ended, is_head;
};

struct hconn {
    struct conn *c;
    const struct http_server_ops *ops;
    struct h1 h1;
    struct exchange *x;
    struct outq out;
    struct buf ahead;
    usec_t due, body_since;
    uint64_t body_bytes;
    uint32_t tag;
    bool is_feeding, is_draining, is_taken, is_timed;
};

static void process(struct hconn *hc, struct str s);

struct str http_header(const struct http_req *req, const char *name)
{
    for (size_t i = 0; i < req->headers.n; i++)
        if (str_is(req->headers.v[i].key, name))
            return req->headers.v[i].value;
    return STR_NONE;
}

static void set_due(struct hconn *hc, usec_t after)
{
    hc->due = loop_now(hc->c->loop) + after;
    conn_deadline(hc->c, hc->due);
}

/* -- writing a reply */
/* Status line and headers, up to the empty line. */
static void put_head(struct hconn *hc, const struct http_res *res, const char *framing, bool keep_alive, uint8_t minor)
{
    AUTO(buf_done) struct buf b = BUF(HTTP_RES_HEAD_MAX);

    http_res_head(res, framing, keep_alive, minor, &b);
    outq_bytes(&hc->out, b.ptr, b.len);
}

static void put_reply(struct hconn *hc, const struct http_res *res, bool keep_alive, bool is_head, uint8_t minor)
{
    char framing[64] = "";

    if (http_res_has_body(res->status))
        snprintf(framing, sizeof(framing), "Content-Length: %zu\r\n", res->body.len);
    put_head(hc, res, framing, keep_alive, minor);
    if (!is_head && http_res_has_body(res->status))
        outq_str(&hc->out, res->body);
    conn_dirty(hc->c);
}

static void put_error(struct hconn *hc, int status, const char *slug, const char *text, bool keep_alive, bool is_head)
{
    AUTO(buf_done) struct buf body = BUF(4096);
    struct http_refusal usual = http_res_refusal(status);
    struct http_res res = {
        .status = status, .content_type = "text/plain; charset=utf-8", .headers = usual.headers, .n_headers = usual.n_headers
    };

    slug = slug ? slug : usual.slug;
    text = text ? text : usual.text;
    if (hc->ops->error_body) {
        hc->ops->error_body(hc->ops->ctx, hc->x && hc->x->req.path.len ? &hc->x->req : NULL, status, slug, text, &body);
        res.content_type = "application/json";
    } else {
        buf_printf(&body, "%s\n", slug);
    }
    res.body = buf_as_str(&body);
    put_reply(hc, &res, keep_alive, is_head, 1);
}

/* The client broke the protocol or ran out of time: says so and closes. */
static void protocol_error(struct hconn *hc, int status, const char *slug, const char *text)
{
    net_stats.protocol_errors++;
    put_error(hc, status, slug, text, false, hc->x && hc->x->is_head);
    conn_finish(hc->c);
}

/* -- exchanges */
static void exchange_free(struct hconn *hc)
{
    struct exchange *x = hc->x;

    if (!x)
        return;
    hc->x = NULL;
    slots_del(net__ids(NET_EXCHANGE), x->id);
    arena_free(x->req.arena);
    http_bodies_drop(&x->body);
    free(x);
    h1_reset(&hc->h1);
}

static struct exchange *find(uint64_t id)
{
    struct exchange *x = slots_get(net__ids(NET_EXCHANGE), id);

    return x && x->is_delivered && !x->is_ended && x->hc->c->state != CONN_CLOSED ? x : NULL;
}

/* After the last byte of an answer was queued. */
static void exchange_end(struct exchange *x)
{
    struct hconn *hc = x->hc;

    x->is_ended = true;
    if (!hc->is_feeding)
        conn_kick(hc->c); /* the caller may still look at the request */
}

/* The exchange is history: ready for the next one. */
static void settle(struct hconn *hc)
{
    struct exchange *x = hc->x;
    bool go_on = x->req.keep_alive && !hc->is_draining && !hc->c->is_eof;

    if (x->is_streaming && hc->ops->closed)
        hc->ops->closed(hc->ops->ctx, x->id, x->user);
    exchange_free(hc);
    if (hc->c->state != CONN_OPEN)
        return;
    if (!go_on) {
        conn_finish(hc->c);
        return;
    }
    hc->is_timed = false;
    set_due(hc, LIMIT_HTTP_IDLE_MS * USEC_PER_MS);
}

/* -- reading a request */
static enum http_method method_of(struct str s)
{
    int m = name_value(http_method_names, s);

    return m < 0 ? HTTP_OTHER : (enum http_method)m;
}

/* origin-form, absolute-form, or "*" (RFC 9112 section 3.2). 0, or the status. */
static int split_target(struct http_req *req)
{
    struct str t = req->target;
    ptrdiff_t i;

    if (str_find_char(t, '#') >= 0)
        return 400;
    if (str_starts_nocase(t, STR("http://")) || str_starts_nocase(t, STR("https://"))) {
        t = str_sub(t, (size_t)str_find(t, STR("://")) + 3, SIZE_MAX);
        i = str_find_char(t, '/');
        t = i < 0 ? STR("/") : str_sub(t, (size_t)i, SIZE_MAX);
    } else if (!str_starts(t, STR("/")) && !(str_is(t, "*") && req->method == HTTP_OPTIONS)) {
        return 400;
    }
    i = str_find_char(t, '?');
    req->path = i < 0 ? t : str_sub(t, 0, (size_t)i);
    req->query = i < 0 ? STR_NONE : str_sub(t, (size_t)i + 1, SIZE_MAX);
    return 0;
}

static int check_expect(struct hconn *hc)
{
    struct str expect = h1_header(&hc->h1, "expect");

    if (!expect.ptr || hc->h1.minor == 0)
        return 0;
    if (!str_eq_nocase(expect, STR("100-continue")))
        return 417;
    if (hc->h1.has_body) {
        outq_str(&hc->out, STR("HTTP/1.1 100 Continue\r\n\r\n"));
        conn_dirty(hc->c);
    }
    return 0;
}

static int on_head(void *ctx)
{
    struct hconn *hc = ctx;
    struct h1 *h = &hc->h1;
    struct exchange *x = xnew0(struct exchange);
    const struct tls_peer *who = conn_tls_peer(hc->c);
    int64_t cap = LIMIT_HTTP_BODY_DEFAULT;
    int status;

    x->hc = hc;
    x->req = (struct http_req){
        .method = method_of(h->method),
        .target = h->target,
        .headers = h->headers,
        .peer = &hc->c->peer,
        .client_key = who->has_key ? who->spki_sha256 : NULL,
        .arena = arena_new(HTTP_ARENA_BYTES),
        .keep_alive = h->is_keep_alive,
        .listener_tag = hc->tag,
    };
    x->is_head = x->req.method == HTTP_HEAD;
    hc->x = x;
    x->id = slots_add(net__ids(NET_EXCHANGE), x);
    net_stats.http_requests++;
    status = split_target(&x->req);
    if (status != 0)
        return status;
    if (hc->ops->head)
        cap = hc->ops->head(hc->ops->ctx, &x->req);
    if (cap < 0) {
        /* With a body on its way the connection must end; without one it may go on. */
        if (h->has_body)
            return (int)-cap;
        x->refused = (int)-cap;
        return 0;
    }
    if (h->has_length && h->length > (uint64_t)cap)
        return 413;
    x->cap = (uint64_t)cap;
    x->body = BUF((size_t)cap);
    hc->body_since = loop_now(hc->c->loop);
    hc->body_bytes = 0;
    set_due(hc, LIMIT_HTTP_BODY_MS * USEC_PER_MS);
    return check_expect(hc);
}

/* A large body may take longer, at 64 KiB a second or faster. */
enum { BODY_BYTES_PER_MS = 64 };

static int on_body(void *ctx, struct str piece)
{
    struct hconn *hc = ctx;
    struct exchange *x = hc->x;

    hc->body_bytes += piece.len;
    hc->due = hc->body_since + (LIMIT_HTTP_BODY_MS + hc->body_bytes / BODY_BYTES_PER_MS) * USEC_PER_MS;
    conn_deadline(hc->c, hc->due);
    return http_bodies_grow(&x->body, piece);
}

static const struct h1_ops request_ops = { on_head, on_body };

static void deliver(struct hconn *hc)
{
    struct exchange *x = hc->x;

    x->req.body = buf_as_str(&x->body);
    hc->due = USEC_NEVER;
    if (x->refused) {
        put_error(hc, x->refused, NULL, NULL, x->req.keep_alive && !hc->is_draining, x->is_head);
        x->is_ended = true;
        return;
    }
    x->is_delivered = true;
    hc->ops->request(hc->ops->ctx, x->id, &x->req);
}

static void keep_ahead(struct hconn *hc, struct str s)
{
    if (s.len == 0)
        return;
    if (hc->ahead.max == 0)
        hc->ahead = BUF(HTTP_AHEAD_BYTES + SCRATCH_RX + SCRATCH_PLAIN);
    if (buf_str(&hc->ahead, s) < 0) {
        conn_close(hc->c, NULL);
        return;
    }
    if (hc->ahead.len > HTTP_AHEAD_BYTES)
        conn_pause(hc->c, true);
}

static void hconn_free(struct hconn *hc)
{
    exchange_free(hc);
    h1_reset(&hc->h1);
    outq_done(&hc->out);
    buf_done(&hc->ahead);
    free(hc);
}

static void process(struct hconn *hc, struct str s)
{
    struct conn *c = hc->c;
    size_t used;

    hc->is_feeding = true;
    while (s.len > 0 && c->state == CONN_OPEN && !hc->is_taken && !(hc->x && hc->x->is_delivered)) {
        enum h1_outcome outcome = h1_feed(&hc->h1, s, &used);

        s = str_bytes(s.ptr + used, s.len - used);
        if (outcome == H1_BAD) {
            protocol_error(hc, hc->h1.bad_status, hc->h1.bad_slug, hc->h1.bad_text);
            break;
        }
        if (outcome == H1_MORE) {
            if (h1_is_begun(&hc->h1) && !hc->is_timed) {
                hc->is_timed = true;
                if (!hc->x)
                    set_due(hc, LIMIT_HTTP_HEAD_MS * USEC_PER_MS);
            }
            continue;
        }
        deliver(hc);
        if (!hc->is_taken && hc->x->is_ended)
            settle(hc);
    }
    hc->is_feeding = false;
    if (hc->is_taken) {
        hconn_free(hc);
        if (s.len > 0 && c->state != CONN_CLOSED)
            c->ops->input(c, s);
        return;
    }
    if (c->state == CONN_OPEN)
        keep_ahead(hc, s);
}

static void on_input(struct conn *c, struct str plain)
{
    struct hconn *hc = c->proto;

    if (c->state != CONN_OPEN)
        return;
    if (hc->ahead.len > 0 || (hc->x && hc->x->is_delivered))
        keep_ahead(hc, plain);
    else
        process(hc, plain);
}

static void on_kick(struct conn *c)
{
    struct hconn *hc = c->proto;

    if (hc->x && hc->x->is_ended)
        settle(hc);
    if (hc->x && hc->x->drain && hc->out.len < LIMIT_WRITE_LOW) {
        void (*fn)(void *, uint64_t) = hc->x->drain;

        hc->x->drain = NULL;
        fn(hc->x->drain_ctx, hc->x->id);
    }
    if (c->state != CONN_OPEN || hc->ahead.len == 0 || (hc->x && hc->x->is_delivered))
        return;
    AUTO(buf_done) struct buf ahead = hc->ahead;

    hc->ahead = (struct buf){ 0 };
    conn_pause(c, false);
    process(hc, buf_as_str(&ahead));
}

static void on_eof(struct conn *c)
{
    struct hconn *hc = c->proto;
    struct exchange *x = hc->x;

    if (c->state != CONN_OPEN)
        return;
    if (!x || !x->is_delivered) {
        /* In the middle of a request there is nobody left to tell. */
        conn_finish(c);
        return;
    }
    if (x->is_streaming && !x->is_ended) {
        conn_close(c, NULL);
        return;
    }
    set_due(hc, HTTP_EOF_GRACE_MS * USEC_PER_MS);
    if (!x->is_ended && hc->ops->half_closed)
        hc->ops->half_closed(hc->ops->ctx, x->id, x->user);
}

static size_t on_output(struct conn *c, uint8_t *dst, size_t room)
{
    struct hconn *hc = c->proto;
    size_t n = outq_take(&hc->out, dst, room);

    if (hc->x && hc->x->drain && hc->out.len < LIMIT_WRITE_LOW)
        conn_kick(c);
    return n;
}

static void on_deadline(struct conn *c)
{
    struct hconn *hc = c->proto;
    usec_t now = loop_now(c->loop);

    if (conn_is_stalled(c)) {
        conn_close(c, NULL);
        return;
    }
    if (conn_is_paused(c) && !c->is_paused) {
        set_due(hc, LIMIT_HTTP_BODY_MS * USEC_PER_MS); /* it is us who do not read */
        return;
    }
    if (hc->due > now) {
        conn_deadline(c, hc->due == USEC_NEVER ? now + LIMIT_HTTP_BODY_MS * USEC_PER_MS : hc->due);
        return;
    }
    if (hc->x && hc->x->is_delivered)
        conn_close(c, NULL); /* the grace after an EOF is over */
    else if (h1_is_begun(&hc->h1))
        protocol_error(hc, 408, "http.timeout", "the request did not arrive in time");
    else
        conn_finish(c);
}

static void on_closed(struct conn *c, const struct err *why)
{
    struct hconn *hc = c->proto;
    struct exchange *x = hc->x;

    (void)why;
    if (x && x->is_delivered && (x->is_streaming || !x->is_ended) && hc->ops->closed) {
        x->is_ended = true;
        hc->ops->closed(hc->ops->ctx, x->id, x->user);
    }
    hconn_free(hc);
    c->proto = NULL;
}

const struct conn_ops http_conn_ops = {
    .input = on_input,
    .eof = on_eof,
    .output = on_output,
    .deadline = on_deadline,
    .kick = on_kick,
    .closed = on_closed,
};

void http_conn_start(struct conn *c, const struct http_server_ops *ops, uint32_t tag)
{
    struct hconn *hc = xnew0(struct hconn);

    hc->c = c;
    hc->ops = ops;
    hc->tag = tag;
    h1_init(&hc->h1, H1_REQUEST, &request_ops, hc);
    c->ops = &http_conn_ops;
    c->proto = hc;
    set_due(hc, LIMIT_HTTP_IDLE_MS * USEC_PER_MS);
}

void http_conn_drain(struct conn *c)
{
    struct hconn *hc = c->proto;

    hc->is_draining = true;
    if (!hc->x && !h1_is_begun(&hc->h1))
        conn_finish(c);
}

/* -- what the user of http.h sees */
void http_set_user(uint64_t id, void *user)
{
    struct exchange *x = find(id);

    if (x)
        x->user = user;
}

int http_reply(uint64_t id, const struct http_res *res)
{
    struct exchange *x = find(id);

    if (!x || x->is_streaming)
        return -ENOTCONN;
    put_reply(x->hc, res, x->req.keep_alive && !x->hc->is_draining && !x->hc->c->is_eof, x->is_head, x->hc->h1.minor);
    exchange_end(x);
    return 0;
}

int http_stream_begin(uint64_t id, const struct http_res *res)
{
    struct exchange *x = find(id);

    if (!x || x->is_streaming)
        return -ENOTCONN;
    x->is_streaming = true;
    x->is_chunked = x->hc->h1.minor > 0;
    if (!x->is_chunked)
        x->req.keep_alive = false; /* the end of the connection is the end of the body */
    put_head(x->hc, res, x->is_chunked ? "Transfer-Encoding: chunked\r\n" : "",
             x->req.keep_alive && !x->hc->is_draining, x->hc->h1.minor);
    x->hc->due = USEC_NEVER;
    conn_deadline(x->hc->c, loop_now(x->hc->c->loop) + LIMIT_HTTP_BODY_MS * USEC_PER_MS);
    conn_dirty(x->hc->c);
    return 0;
}

int64_t http_stream_write(uint64_t id, struct blob *b)
{
    struct exchange *x = find(id);
    size_t n = blob_str(b).len;
    char size[24];

    if (!x || !x->is_streaming)
        return -ENOTCONN;
    if (n > 0 && !x->is_head) { /* an empty chunk would end the body */
        if (x->is_chunked)
            outq_bytes(&x->hc->out, size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", n));
        outq_blob(&x->hc->out, b);
        if (x->is_chunked)
            outq_str(&x->hc->out, STR("\r\n"));
        conn_dirty(x->hc->c);
    }
    return (int64_t)x->hc->out.len;
}

int http_stream_end(uint64_t id)
{
    struct exchange *x = find(id);

    if (!x || !x->is_streaming)
        return -ENOTCONN;
    if (x->is_chunked && !x->is_head)
        outq_str(&x->hc->out, STR("0\r\n\r\n"));
    conn_dirty(x->hc->c);
    exchange_end(x);
    return 0;
}

int64_t http_stream_queued(uint64_t id)
{
    struct exchange *x = find(id);

    return x ? (int64_t)x->hc->out.len : -ENOTCONN;
}

int http_stream_on_drain(uint64_t id, void (*fn)(void *ctx, uint64_t exchange), void *ctx)
{
    struct exchange *x = find(id);

    if (!x)
        return -ENOTCONN;
    x->drain = fn;
    x->drain_ctx = ctx;
    if (x->hc->out.len < LIMIT_WRITE_LOW)
        conn_kick(x->hc->c);
    return 0;
}

const struct http_req *http__req(uint64_t id)
{
    struct exchange *x = find(id);

    return x ? &x->req : NULL;
}

struct conn *http__take(uint64_t id, struct outq *ret_out, struct buf *ret_ahead)
{
    struct exchange *x = find(id);
    struct hconn *hc;
    struct conn *c;

    if (!x || x->is_streaming)
        return NULL;
    hc = x->hc;
    c = hc->c;
    *ret_out = hc->out;
    hc->out = (struct outq){ 0 };
    *ret_ahead = hc->ahead;
    hc->ahead = (struct buf){ 0 };
    x->is_ended = true;
    c->proto = NULL;
    conn_pause(c, false);
    if (hc->is_feeding)
        hc->is_taken = true; /* process() frees it and hands on the rest of the piece */
    else
        hconn_free(hc);
    return c;
}
