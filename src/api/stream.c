/* api/stream.c - see stream.h. */
#include "api/stream.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <utlist.h>

#include "api/state.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/sse.h"

enum { PING_US = 15 * 1000 * 1000, EVENT_MAX = 8 << 20 };

struct stream {
    struct call *call; /* one reference */
    const struct feed_ops *ops;
    void *feed;
    usec_t last_write;
    bool wants_room, is_over;
    struct stream *prev, *next;
};

static void stream_free(struct stream *s)
{
    struct api *a = s->call->api;

    DL_DELETE(a->streams, s);
    a->n_streams--;
    call_unref(s->call);
    free(s);
}

/* The exchange is over: net told the call, the call tells us. */
static void on_gone(void *ctx)
{
    struct stream *s = ctx;

    s->call->on_gone = NULL;
    if (!s->is_over) {
        s->is_over = true;
        s->ops->gone(s->feed);
    }
    stream_free(s);
}

struct stream *stream_open(struct call *c, int status, const struct feed_ops *ops, void *feed)
{
    static const struct kv headers[] = {
        { { "cache-control", 13 }, { "no-cache", 8 } },
        { { "x-accel-buffering", 17 }, { "no", 2 } },
    };
    struct http_res res = {
        .status = status, .content_type = "text/event-stream", .headers = headers, .n_headers = 2
    };
    struct api *a = c->api;
    struct stream *s;

    if (call_is_gone(c) || http_stream_begin(c->exchange, &res) < 0)
        return NULL;

    call_begin_stream(c, status);

    s = xnew0(struct stream);
    *s = (struct stream){ .call = call_ref(c), .ops = ops, .feed = feed, .last_write = api_now(a) };
    c->on_gone = on_gone;
    c->on_gone_ctx = s;
    DL_APPEND(a->streams, s);
    a->n_streams++;
    return s;
}

struct call *stream_call(struct stream *s)
{
    return s->call;
}

static void write_bytes(struct stream *s, struct str bytes)
{
    AUTO(blob_unref) struct blob *b = blob_new(bytes);

    (void)http_stream_write(s->call->exchange, b);
    s->last_write = api_now(s->call->api);
}

static void sse_put(void *ctx, const char *event, uint64_t id, struct str json)
{
    AUTO(buf_done) struct buf out = BUF(EVENT_MAX);
    struct stream *s = ctx;
    char id_text[24] = "";

    if (s->is_over)
        return;
    if (id)
        (void)snprintf(id_text, sizeof(id_text), "%" PRIu64, id);
    if (sse_event(&out, event, id ? str_of(id_text) : STR_NONE, json) == 0)
        write_bytes(s, buf_as_str(&out));
}

static bool sse_has_room(void *ctx)
{
    struct stream *s = ctx;
    int64_t queued = s->is_over ? -ENOTCONN : http_stream_queued(s->call->exchange);

    return queued >= 0 && queued < LIMIT_STREAM_QUEUE;
}

static struct stream *stream_of(struct api *a, uint64_t exchange)
{
    struct stream *s;

    DL_FOREACH(a->streams, s)
    if (s->call->exchange == exchange)
        return s;
    return NULL;
}

static void on_drain(void *ctx, uint64_t exchange)
{
    struct stream *s = stream_of(ctx, exchange);

    if (!s || s->is_over || !s->wants_room)
        return;
    s->wants_room = false;
    s->ops->room(s->feed);
}

static void sse_want_room(void *ctx)
{
    struct stream *s = ctx;

    if (s->is_over || s->wants_room)
        return;
    s->wants_room = true;
    s->call->api->n.stream_catch_ups++;
    (void)http_stream_on_drain(s->call->exchange, on_drain, s->call->api);
}

/* Queued bytes still go out; net tells call__closed() when they have, or at once. */
static void sse_end(void *ctx)
{
    struct stream *s = ctx;

    if (s->is_over)
        return;
    s->is_over = true;
    (void)http_stream_end(s->call->exchange);
}

struct sink stream_sink(struct stream *s)
{
    return (struct sink){
        .put = sse_put, .has_room = sse_has_room, .want_room = sse_want_room, .end = sse_end, .ctx = s
    };
}

void streams_tick(struct api *a)
{
    static const char ping[] = ": ping\n\n";
    usec_t now = api_now(a);
    struct stream *s, *next;

    DL_FOREACH_SAFE(a->streams, s, next)
    {
        if (s->is_over)
            continue;
        /* A stream lives on after its request, its right to does not: a revoked token is cut here. */
        if (!authn_still_holds(s->call->control, &s->call->who)) {
            s->is_over = true;
            s->ops->gone(s->feed);
            (void)http_stream_end(s->call->exchange);
        } else if (now - s->last_write >= PING_US) {
            write_bytes(s, str_bytes(ping, sizeof(ping) - 1));
        }
    }
}

void streams_end(struct api *a)
{
    struct stream *s, *next;

    DL_FOREACH_SAFE(a->streams, s, next)
    {
        if (s->is_over)
            continue;
        s->is_over = true;
        s->ops->gone(s->feed);
        (void)http_stream_end(s->call->exchange);
    }
}
