/* api/ws.c - see ws.h. The sandbox dialect adds its verbs here later; these four work for anybody. */
#include "api/ws.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <utlist.h>

#include "api/auth.h"
#include "api/operator_events.h"
#include "api/reply.h"
#include "base/limits.h"
#include "base/mem.h"

enum { MESSAGE_ARENA = 256 << 10, MESSAGE_MAX = 64 << 10, LIST_MAX_BYTES = 16 << 20 };

struct ws_conn {
    struct api *api;
    uint64_t ws; /* 0: closed */
    struct principal who;
    struct follow *events; /* NULL: not subscribed */
    struct sink sink;
    bool wants_room;
    uint32_t refs;
    struct ws_conn *prev, *next;
};

static void conn_unref(struct ws_conn *wc)
{
    if (--wc->refs == 0)
        free(wc);
}

static void send_text(struct ws_conn *wc, const struct buf *b)
{
    if (wc->ws)
        (void)ws_send_text(wc->ws, buf_as_str(b));
}

static void send_error(struct ws_conn *wc, const char *code, const char *message)
{
    AUTO(buf_done) struct buf out = BUF(2048);
    struct jw w = JW(&out);

    jw_map(&w);
    jw_key(&w, "type");
    jw_cstr(&w, "error");
    jw_key(&w, "code");
    jw_cstr(&w, code);
    jw_key(&w, "message");
    jw_cstr(&w, message);
    jw_end_map(&w);
    if (jw_done(&w) == 0)
        send_text(wc, &out);
}

/* One turn after on_open(): before that the connection is not ours to write to. */
static void send_hello(void *ctx)
{
    AUTO(buf_done) struct buf out = BUF(1024);
    struct ws_conn *wc = ctx;

    if (buf_cstr(&out, "{\"type\":\"server_hello\",\"server_version\":\"" MUSTER_VERSION
                       "\",\"supported_client_messages\":"
                       "[\"ping\",\"list_agents\",\"subscribe_events\"],\"features\":[]}") == 0)
        send_text(wc, &out);
    conn_unref(wc);
}

/* -- list_agents */

static bool on_agent(void *ctx, const struct host_view *h)
{
    struct jw *w = ctx;

    if (h->state != HOST_APPROVED)
        return true;
    jw_map(w);
    jw_key(w, "id");
    jw_cstr(w, h->uuid);
    jw_key(w, "name");
    jw_str(w, h->name);
    jw_key(w, "hostname");
    jw_str(w, h->claims.hostname);
    jw_key(w, "ip_address");
    jw_str(w, h->peer);
    jw_key(w, "status");
    jw_cstr(w, h->status);
    jw_key(w, "connected_at");
    jw_u64(w, h->link.v ? h->connected_at / USEC_PER_MS : 0);
    jw_key(w, "last_heartbeat");
    jw_u64(w, h->last_beat / USEC_PER_MS);
    jw_end_map(w);
    return true;
}

struct parked_text {
    struct ws_conn *wc;
    struct buf text;
};

static void on_list_durable(struct control *c, void *arg)
{
    struct parked_text *p = arg;

    if (c)
        send_text(p->wc, &p->text);
    buf_done(&p->text);
    conn_unref(p->wc);
    free(p);
}

static void list_agents(struct ws_conn *wc)
{
    struct parked_text *p = xnew0(struct parked_text);
    struct jw w;

    p->wc = wc;
    wc->refs++;
    p->text = BUF(LIST_MAX_BYTES);
    w = JW(&p->text);
    jw_map(&w);
    jw_key(&w, "type");
    jw_cstr(&w, "agent_list");
    jw_key(&w, "agents");
    jw_list(&w);
    host_list(wc->api->control, HOST_APPROVED, NULL, on_agent, &w);
    jw_end_list(&w);
    jw_end_map(&w);
    if (jw_done(&w) < 0)
        buf_reset(&p->text);
    commit_after(wc->api->control, on_list_durable, p);
}

/* -- subscribe_events: a sink for api/follow.c */

static void sink_put(void *ctx, const char *event, uint64_t id, struct str json)
{
    AUTO(buf_done) struct buf out = BUF(LIMIT_WS_MESSAGE);
    struct ws_conn *wc = ctx;

    (void)id;
    /* {"type":"event", ...members of the event} */
    if (json.len > 2 && buf_printf(&out, "{\"type\":\"%s\",", event ? event : "event") == 0 &&
        buf_append(&out, json.ptr + 1, json.len - 1) == 0)
        send_text(wc, &out);
}

static bool sink_has_room(void *ctx)
{
    struct ws_conn *wc = ctx;
    int64_t queued = wc->ws ? ws_queued(wc->ws) : -ENOTCONN;

    return queued >= 0 && queued < LIMIT_STREAM_QUEUE;
}

static void sink_want_room(void *ctx)
{
    struct ws_conn *wc = ctx;

    wc->wants_room = true; /* ws_tick() looks */
    wc->api->n.stream_catch_ups++;
}

static void sink_end(void *ctx)
{
    struct ws_conn *wc = ctx;

    wc->events = NULL;
    send_error(wc, "store.unavailable", "the event log could not be read; subscribe again");
}

static void subscribe_events(struct ws_conn *wc, const struct node *msg)
{
    const struct node *after = node_get(msg, "after");
    bool has_after = after && after->type == NODE_INT && after->i >= 0;

    if (wc->events) {
        follow_feed_ops.gone(wc->events);
        wc->events = NULL;
    }
    wc->wants_room = false;
    wc->sink = (struct sink){
        .put = sink_put, .has_room = sink_has_room, .want_room = sink_want_room, .end = sink_end, .ctx = wc
    };
    wc->events = events_follow(wc->api->control, STR_NONE, NULL, &wc->sink, has_after,
                               has_after ? (uint64_t)after->i : 0);
}

/* -- messages */

static void send_pong(struct ws_conn *wc, const struct node *msg)
{
    const struct node *t = node_get(msg, "timestamp");
    AUTO(buf_done) struct buf out = BUF(128);

    if (buf_printf(&out, "{\"type\":\"pong\",\"timestamp\":%" PRId64 "}",
                   t && t->type == NODE_INT ? t->i : 0) == 0)
        send_text(wc, &out);
}

static void handle(struct ws_conn *wc, const struct node *msg)
{
    const struct node *type = node_get(msg, "type");

    if (!type || type->type != NODE_STR)
        send_error(wc, "request.bad", "a message has a type");
    else if (str_is(type->s, "ping"))
        send_pong(wc, msg);
    else if (str_is(type->s, "list_agents"))
        list_agents(wc);
    else if (str_is(type->s, "subscribe_events"))
        subscribe_events(wc, msg);
    else
        send_error(wc, "request.bad", "this type of message is not known here");
}

static void on_message(void *ctx, uint64_t ws, void *user, struct str text, bool is_text)
{
    struct ws_conn *wc = user;
    struct api *a = ctx;
    struct node *msg = NULL;
    struct err err = { 0 };

    (void)ws;
    if (!a->control)
        return;
    if (!is_text) {
        send_error(wc, "request.bad", "text frames only");
        return;
    }
    AUTO(arena_free) struct arena *arena = arena_new(MESSAGE_ARENA);
    if (json_parse(arena, text, MESSAGE_MAX, &msg, &err) < 0)
        send_error(wc, err.slug, err.text);
    else if (msg->type != NODE_MAP)
        send_error(wc, "request.bad", "a message is an object");
    else
        handle(wc, msg);
}

static int on_open(void *ctx, uint64_t ws, const struct http_req *req, void **ret_user)
{
    struct api *a = ctx;
    struct principal who;
    struct err err = { 0 };
    usec_t wait = 0;
    struct ws_conn *wc;

    if (!a->control || a->is_draining)
        return 503;
    if (auth_operator(a, req, NULL, &who, &wait, &err) < 0 ||
        authz(a->control, &who, VERB_READ, STR("websocket"), &err) < 0)
        return reply_status_of(&err);

    wc = xnew0(struct ws_conn);
    *wc = (struct ws_conn){ .api = a, .ws = ws, .who = who, .refs = 2 };
    DL_APPEND(a->ws_conns, wc);
    a->n_ws++;
    a->n.ws_total++;
    *ret_user = wc;
    loop_soon(a->conf.loop, send_hello, wc);
    return 0;
}

static void on_closed(void *ctx, uint64_t ws, void *user)
{
    struct ws_conn *wc = user;
    struct api *a = ctx;

    (void)ws;
    if (!wc)
        return;
    wc->ws = 0;
    if (wc->events)
        follow_feed_ops.gone(TAKE(wc->events));
    DL_DELETE(a->ws_conns, wc);
    a->n_ws--;
    conn_unref(wc);
}

void ws_init(struct api *a)
{
    a->ws_ops =
        (struct ws_server_ops){ .open = on_open, .message = on_message, .closed = on_closed, .ctx = a };
}

void ws_tick(struct api *a)
{
    struct ws_conn *wc, *next;

    DL_FOREACH_SAFE(a->ws_conns, wc, next)
    {
        if (!wc->wants_room || !wc->events || ws_queued(wc->ws) > LIMIT_WRITE_LOW)
            continue;
        wc->wants_room = false;
        follow_feed_ops.room(wc->events);
    }
}

void ws_drain(struct api *a)
{
    struct ws_conn *wc, *next;

    DL_FOREACH_SAFE(a->ws_conns, wc, next)
    (void)ws_close(wc->ws, 1001, "server.stopping");
}
