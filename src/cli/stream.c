/* cli/stream.c - an event stream that comes back after a break. See api.h.
 *
 * connect -> head 2xx -> events -> (broken: wait 0.5 s, 1 s, 2 s, 4 s, 5 s ...) -> connect -> ... -> over
 * The server sends a comment every 15 s; 45 s without a byte means that nobody is there any more. */
#include <errno.h>

#include "base/mem.h"
#include "cli/api.h"
#include "cli/waiting.h"
#include "net/sse.h"

#define STREAM_SILENCE (45 * USEC_PER_SEC)
#define STREAM_FIRST_WAIT (USEC_PER_SEC / 2)
#define STREAM_MAX_WAIT (5 * USEC_PER_SEC)
enum { STREAM_EVENT_MAX = 8 << 20, STREAM_ERROR_MAX = 64 << 10 };

struct stream {
    struct cli *cli;
    struct stream_ops ops;
    struct http_client *client;
    uint64_t number; /* of the request under way, 0: none */
    struct stream_request rq;
    struct sse_parser parser;
    struct buf refusal; /* body of a status other than 2xx */
    struct timer *retry, *silence;
    usec_t patience, wait, broken_at; /* broken_at 0: connected */
    int status;
    bool was_connected; /* the server has answered at least once */
    bool is_over;
    bool is_deaf;     /* the rest of this connection does not matter */
    bool is_stopping; /* over() with @stop_rc in the next turn */
    bool is_waiting;  /* for the head of an answer */
    int stop_rc;
    char last_id[64];
};

static void stream_connect(void *ctx);

static void heard(struct stream *s)
{
    if (s->is_waiting)
        waiting_end(s->cli);
    s->is_waiting = false;
}

static void over(struct stream *s, int rc)
{
    if (s->is_over)
        return;
    s->is_over = true;
    timer_stop(s->retry);
    timer_stop(s->silence);
    if (rc == RC_OK)
        err_reset(&s->cli->err);
    s->ops.over(s->ops.ctx, rc);
}

static void drop(struct stream *s)
{
    heard(s);
    if (s->number)
        http_client_cancel(s->client, s->number);
    s->number = 0;
    timer_stop(s->silence);
}

static void come_back(struct stream *s, int rc)
{
    usec_t now = loop_now(s->cli->loop);
    if (!s->broken_at) {
        s->broken_at = now;
        s->wait = STREAM_FIRST_WAIT;
        if (s->ops.broken)
            s->ops.broken(s->ops.ctx);
        if (s->is_stopping)
            return;
    } else if (now - s->broken_at >= s->patience) {
        over(s, rc);
        return;
    }
    timer_start(s->retry, s->wait, 0);
    s->wait = s->wait * 2 < STREAM_MAX_WAIT ? s->wait * 2 : STREAM_MAX_WAIT;
}

/* From inside callbacks of the client: what must be cancelled is, in the next turn. */
static void stop_with(struct stream *s, int rc)
{
    if (s->is_over || s->is_stopping)
        return;
    s->is_deaf = s->is_stopping = true;
    s->stop_rc = rc;
    timer_start(s->retry, 0, 0);
}

static void on_silence(void *ctx)
{
    struct stream *s = ctx;
    drop(s);
    (void)cli_fail(s->cli, RC_UNREACHABLE, "net.silent", "nothing heard from %s for 45 seconds",
                   s->cli->target.url);
    come_back(s, RC_UNREACHABLE);
}

static void on_head(void *ctx, int status, const struct kv_list *headers)
{
    struct stream *s = ctx;
    (void)headers;
    heard(s);
    s->status = status;
    if (status < 200 || status > 299)
        return;
    s->was_connected = true;
    s->broken_at = 0;
    err_reset(&s->cli->err);
    timer_start(s->silence, STREAM_SILENCE, 0);
}

static void on_event(void *ctx, const char *event, const char *id, struct str data)
{
    struct stream *s = ctx;
    if (id && *id)
        (void)str_copy(str_of(id), s->last_id, sizeof(s->last_id));
    if (!s->is_over && !s->is_deaf)
        s->ops.event(s->ops.ctx, event, id, data);
}

static void on_chunk(void *ctx, struct str piece)
{
    struct stream *s = ctx;
    if (s->status < 200 || s->status > 299) {
        (void)buf_str(&s->refusal, str_sub(piece, 0, s->refusal.max - s->refusal.len));
        return;
    }
    timer_start(s->silence, STREAM_SILENCE, 0);
    if (!s->is_deaf && sse_feed(&s->parser, piece, on_event, s) < 0)
        stop_with(s, cli_fail(s->cli, RC_FAILED, "server.reply", "an event is larger than %d MiB",
                              STREAM_EVENT_MAX >> 20));
}

/* A refusal that may pass: the server starts, stops or is busy. */
static bool may_pass(int status)
{
    return status == 429 || status == 502 || status == 503 || status == 504;
}

/* Nothing got through, and nothing will: no use in trying again when nobody ever answered. */
static bool is_hopeless(const struct err *err)
{
    return err->code == -ECONNREFUSED || err->code == -ENOENT || err->code == -EACCES ||
           err->code == -EHOSTUNREACH || err->code == -ENETUNREACH || strncmp(err->slug, "tls.", 4) == 0 ||
           strncmp(err->slug, "dns.", 4) == 0;
}

static void on_done(void *ctx, const struct err *err, int status, struct str body)
{
    struct stream *s = ctx;
    (void)body;
    heard(s);
    s->number = 0;
    timer_stop(s->silence);
    if (s->is_over || s->is_stopping || timer_is_running(s->retry))
        return;
    if (err && err_is(err)) {
        s->cli->err = *err;
        int rc = api_transport_rc(err);
        if (!s->was_connected && is_hopeless(err))
            over(s, rc);
        else
            come_back(s, rc);
        return;
    }
    if (status < 200 || status > 299) {
        int rc = api_error(status, buf_as_str(&s->refusal), &s->cli->err);
        if (s->was_connected && may_pass(status))
            come_back(s, rc);
        else
            over(s, rc);
        return;
    }
    /* a clean end that the owner did not ask for is a break like any other */
    (void)cli_fail(s->cli, RC_UNREACHABLE, "net.closed", "%s ended the stream", s->cli->target.url);
    come_back(s, RC_UNREACHABLE);
}

static void stream_connect(void *ctx)
{
    struct stream *s = ctx;
    if (s->is_over)
        return;
    drop(s);
    if (s->is_stopping) {
        over(s, s->stop_rc);
        return;
    }
    s->is_deaf = false;
    sse_parser_done(&s->parser);
    sse_parser_init(&s->parser, STREAM_EVENT_MAX);
    buf_reset(&s->refusal);
    buf_reset(&s->rq.target);
    s->rq.method = "GET";
    s->rq.body = s->rq.idem_key = STR_NONE;
    s->ops.prepare(s->ops.ctx, &s->rq, s->was_connected);
    const struct kv *base;
    size_t n = api_headers(s->cli, &base);
    struct kv headers[8];
    memcpy(headers, base, n * sizeof(*headers));
    headers[n++] = (struct kv){ STR("accept"), STR("text/event-stream") };
    if (s->rq.idem_key.len)
        headers[n++] = (struct kv){ STR("idempotency-key"), s->rq.idem_key };
    if (s->last_id[0])
        headers[n++] = (struct kv){ STR("last-event-id"), str_of(s->last_id) };
    struct http_client_req req = { .method = s->rq.method,
                                   .target = buf_as_cstr(&s->rq.target),
                                   .headers = headers,
                                   .n_headers = n,
                                   .body = s->rq.body,
                                   .head = on_head,
                                   .chunk = on_chunk,
                                   .done = on_done,
                                   .ctx = s };
    s->status = 0;
    waiting_begin(s->cli);
    s->is_waiting = true;
    s->number = http_client_send(s->client, &req);
}

struct stream *stream_open(struct cli *cli, const struct stream_ops *ops, usec_t patience)
{
    struct stream *s = xnew0(struct stream);
    *s = (struct stream){ .cli = cli, .ops = *ops, .patience = patience };
    s->rq.target = BUF(16 << 10);
    s->refusal = BUF(STREAM_ERROR_MAX);
    s->client = api_client(cli, 0);
    s->retry = timer_new(cli->loop, stream_connect, s);
    s->silence = timer_new(cli->loop, on_silence, s);
    sse_parser_init(&s->parser, STREAM_EVENT_MAX);
    timer_start(s->retry, 0, 0);
    return s;
}

void stream_free(struct stream *s)
{
    if (!s)
        return;
    drop(s);
    timer_free(s->retry);
    timer_free(s->silence);
    http_client_free(s->client);
    sse_parser_done(&s->parser);
    buf_done(&s->refusal);
    buf_done(&s->rq.target);
    free(s);
}

void stream_stop(struct stream *s)
{
    stop_with(s, RC_OK);
}

void stream_again(struct stream *s)
{
    s->is_deaf = true;
    timer_start(s->retry, 0, 0);
}
