/* net/ws.c - WebSocket, server side: wslay's event API between a connection and whole messages. Loop thread. */
#include "net/ws.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <wslay/wslay.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/http_server.h"
#include "net/listen_priv.h"
#include "net/ws_priv.h"

enum {
    WS_IDLE_MS = LIMIT_HTTP_IDLE_MS / 5 * 6, /* x 1.2 */
    WS_PING_MS = WS_IDLE_MS / 2,             /* browsers do not ping by themselves; their pong shows they live */
    WS_CLOSE_MS = 5000,
};

struct ws {
    uint64_t id;
    struct conn *c;
    const struct ws_server_ops *ops;
    void *user;
    wslay_event_context_ptr ctx;
    struct str in; /* lent for one call */
    struct outq out;
    usec_t pinged_at, closing_at;
    bool is_opened, is_closing;
};

static struct ws *find(uint64_t id)
{
    struct ws *w = slots_get(net__ids(NET_WS), id);

    return w && w->c && !w->is_closing && w->c->state == CONN_OPEN ? w : NULL;
}

/* -- wslay's callbacks */
static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *dst, size_t room, int flags, void *user)
{
    struct ws *w = user;
    size_t n = w->in.len < room ? w->in.len : room;

    (void)flags;
    if (n == 0) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(dst, w->in.ptr, n);
    w->in.ptr += n;
    w->in.len -= n;
    return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *p, size_t n, int flags, void *user)
{
    struct ws *w = user;

    (void)ctx, (void)flags;
    outq_bytes(&w->out, p, n);
    return (ssize_t)n;
}

static void on_msg(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
    struct ws *w = user;

    (void)ctx;
    if (wslay_is_ctrl_frame(arg->opcode) || w->is_closing || w->c->state != CONN_OPEN)
        return;
    w->ops->message(w->ops->ctx, w->id, w->user, str_bytes(arg->msg, arg->msg_length), arg->opcode == WSLAY_TEXT_FRAME);
}

static struct wslay_event_callbacks callbacks = {
    .recv_callback = on_recv,
    .send_callback = on_send,
    .on_msg_recv_callback = on_msg,
};

/* -- the connection's callbacks */
static void finish_if_done(struct ws *w)
{
    if (!wslay_event_want_read(w->ctx) && !wslay_event_want_write(w->ctx))
        conn_finish(w->c);
}

static void on_input(struct conn *c, struct str plain)
{
    struct ws *w = c->proto;
    int r;

    w->in = plain;
    r = wslay_event_recv(w->ctx);
    w->in = STR_NONE;
    if (c->state == CONN_CLOSED)
        return;
    if (r != 0) {
        net_stats.protocol_errors++;
        conn_finish(c);
        return;
    }
    if (wslay_event_want_write(w->ctx))
        conn_dirty(c);
    finish_if_done(w);
}

static size_t on_output(struct conn *c, uint8_t *dst, size_t room)
{
    struct ws *w = c->proto;
    size_t n;

    if (wslay_event_want_write(w->ctx))
        wslay_event_send(w->ctx);
    n = outq_take(&w->out, dst, room);
    if (n == 0)
        finish_if_done(w);
    return n;
}

static void on_deadline(struct conn *c)
{
    static const struct wslay_event_msg ping = { .opcode = WSLAY_PING };
    struct ws *w = c->proto;
    usec_t now = loop_now(c->loop), next;

    if (conn_is_stalled(c) || (w->closing_at && now >= w->closing_at + WS_CLOSE_MS * USEC_PER_MS)) {
        conn_close(c, NULL);
        return;
    }
    if (now >= c->last_rx + WS_IDLE_MS * USEC_PER_MS && !conn_is_paused(c)) {
        wslay_event_queue_close(w->ctx, WSLAY_CODE_GOING_AWAY, NULL, 0);
        wslay_event_send(w->ctx);
        conn_finish(c);
        return;
    }
    next = c->last_rx + WS_IDLE_MS * USEC_PER_MS;
    if (now >= c->last_rx + WS_PING_MS * USEC_PER_MS) {
        if (w->pinged_at <= c->last_rx) {
            w->pinged_at = now;
            wslay_event_queue_msg(w->ctx, &ping);
            conn_dirty(c);
        }
    } else {
        next = c->last_rx + WS_PING_MS * USEC_PER_MS;
    }
    if (w->closing_at)
        next = w->closing_at + WS_CLOSE_MS * USEC_PER_MS;
    conn_deadline(c, next > now ? next : now + USEC_PER_SEC);
}

static void ws_free(struct ws *w)
{
    slots_del(net__ids(NET_WS), w->id);
    if (w->ctx)
        wslay_event_context_free(w->ctx);
    outq_done(&w->out);
    free(w);
}

static void on_closed(struct conn *c, const struct err *why)
{
    struct ws *w = c->proto;

    (void)why;
    w->is_closing = true;
    if (w->is_opened && w->ops->closed)
        w->ops->closed(w->ops->ctx, w->id, w->user);
    net_stats.ws_conns--;
    ws_free(w);
    c->proto = NULL;
}

const struct conn_ops ws_conn_ops = {
    .input = on_input,
    .output = on_output,
    .deadline = on_deadline,
    .closed = on_closed,
};

void ws_conn_drain(struct conn *c)
{
    struct ws *w = c->proto;

    (void)ws_close(w->id, WSLAY_CODE_GOING_AWAY, "the server is about to stop");
}

/* -- the upgrade (RFC 6455 section 4.2) */
static bool list_has(struct str list, const char *token)
{
    struct str part;

    while (str_cut(&list, ',', &part))
        if (str_eq_nocase(str_trim(part), str_of(token)))
            return true;
    return false;
}

static bool is_upgrade(const struct http_req *req)
{
    AUTO(buf_done) struct buf key = BUF(32);

    return req->method == HTTP_GET && list_has(http_header(req, "upgrade"), "websocket") &&
           list_has(http_header(req, "connection"), "upgrade") &&
           str_is(http_header(req, "sec-websocket-version"), "13") &&
           base64_decode(&key, http_header(req, "sec-websocket-key")) == 0 && key.len == 16;
}

static void put_accept(struct outq *out, struct str key)
{
    AUTO(buf_done) struct buf b = BUF(512);
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    buf_str(&b, key);
    buf_cstr(&b, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    EVP_Digest(b.ptr, b.len, digest, &n, EVP_sha1(), NULL);
    buf_reset(&b);
    buf_cstr(&b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: ");
    base64_encode(&b, str_bytes(digest, n));
    buf_cstr(&b, "\r\n\r\n");
    outq_bytes(out, b.ptr, b.len);
}

static struct ws *ws_new(const struct ws_server_ops *ops)
{
    struct ws *w = xnew0(struct ws);

    w->ops = ops;
    w->id = slots_add(net__ids(NET_WS), w);
    return w;
}

static int attach(struct ws *w, uint64_t exchange)
{
    const struct http_req *req = http__req(exchange);
    struct buf ahead = { 0 };
    struct conn *c;
    int r;

    if (!req)
        return -ENOTCONN;
    AUTO_FREE char *key = str_dup(http_header(req, "sec-websocket-key"));

    c = http__take(exchange, &w->out, &ahead);
    if (!c) {
        buf_done(&ahead);
        return -ENOTCONN;
    }
    put_accept(&w->out, str_of(key));
    r = wslay_event_context_server_init(&w->ctx, &callbacks, w);
    assert(r == 0);
    (void)r;
    wslay_event_config_set_max_recv_msg_length(w->ctx, LIMIT_WS_MESSAGE);
    w->c = c;
    w->is_opened = true;
    c->ops = &ws_conn_ops;
    c->proto = w;
    net_stats.ws_conns++;
    conn_deadline(c, loop_now(c->loop) + WS_PING_MS * USEC_PER_MS);
    conn_dirty(c);
    if (ahead.len > 0)
        on_input(c, buf_as_str(&ahead));
    buf_done(&ahead);
    return 0;
}

int ws_upgrade(uint64_t exchange, const struct ws_server_ops *ops, void *user, uint64_t *ret)
{
    const struct http_req *req = http__req(exchange);
    struct ws *w;
    int r;

    if (!req)
        return -ENOTCONN;
    if (!is_upgrade(req))
        return -EINVAL;
    w = ws_new(ops);
    w->user = user;
    *ret = w->id;
    r = attach(w, exchange);
    if (r < 0)
        ws_free(w);
    return r;
}

/* -- a port that speaks WebSocket only */
int64_t ws__listen_head(const struct http_req *req)
{
    (void)req;
    return 0; /* an upgrade has no body */
}

void ws__listen_request(const struct ws_server_ops *ops, uint64_t exchange, const struct http_req *req)
{
    static const struct kv want[] = {
        { { "Upgrade", 7 }, { "websocket", 9 } },
        { { "Connection", 10 }, { "Upgrade", 7 } },
        { { "Sec-WebSocket-Version", 21 }, { "13", 2 } },
    };
    struct http_res res = { .status = 426, .content_type = "text/plain; charset=utf-8", .headers = want,
                            .n_headers = ARRAY_SIZE(want), .body = STR("this port speaks WebSocket\n") };
    struct ws *w;
    void *user = NULL;
    int status;

    if (!is_upgrade(req)) {
        http_reply(exchange, &res);
        return;
    }
    w = ws_new(ops);
    status = ops->open(ops->ctx, w->id, req, &user);
    w->user = user;
    if (status == 0 && attach(w, exchange) == 0)
        return;
    ws_free(w);
    res = (struct http_res){ .status = status ? status : 400, .content_type = "text/plain; charset=utf-8",
                             .body = STR("refused\n") };
    http_reply(exchange, &res);
}

/* -- what the user of ws.h sees */
static int64_t queued(const struct ws *w)
{
    return (int64_t)(wslay_event_get_queued_msg_length(w->ctx) + w->out.len);
}

static int64_t send_msg(uint64_t id, uint8_t opcode, struct str msg)
{
    struct ws *w = find(id);
    struct wslay_event_msg m = { opcode, (const uint8_t *)msg.ptr, msg.len };

    if (!w || wslay_event_queue_msg(w->ctx, &m) != 0)
        return -ENOTCONN;
    conn_dirty(w->c);
    return queued(w);
}

int64_t ws_send_text(uint64_t id, struct str msg)
{
    return send_msg(id, WSLAY_TEXT_FRAME, msg);
}

int64_t ws_send_binary(uint64_t id, struct str msg)
{
    return send_msg(id, WSLAY_BINARY_FRAME, msg);
}

int64_t ws_queued(uint64_t id)
{
    struct ws *w = find(id);

    return w ? queued(w) : -ENOTCONN;
}

int ws_close(uint64_t id, uint16_t code, const char *reason)
{
    struct ws *w = find(id);
    size_t n = reason ? strlen(reason) : 0;

    if (!w)
        return -ENOTCONN;
    w->is_closing = true;
    w->closing_at = loop_now(w->c->loop);
    wslay_event_queue_close(w->ctx, code, (const uint8_t *)reason, n > 123 ? 123 : n);
    conn_deadline(w->c, w->closing_at + WS_CLOSE_MS * USEC_PER_MS);
    conn_dirty(w->c);
    return 0;
}
