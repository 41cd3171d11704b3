/* agent/dialects/sigma_queue.c - fetches questions about ports and brings the answers (docs/wire/sigma.md, the queued transport). Loop thread.
 *
 *   poll ── questions ── ports_allocate() ── answer ─┐
 *    ^  └── none: again                              │ one after the other
 *    └───────────────────────────────────────────────┘
 * A server without the route (404, or an answer that is not ours) is asked no more until the agent registers anew. */
#include <errno.h>

#include "agent/dialects/sigma.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/query.h"
#include "codec/record.h"

enum { WAIT_S = 30, REPLY_WITHIN_S = 15, PARSE_ARENA = 256 << 10, ANSWER_BYTES = 64 << 10, QUESTIONS_BYTES = 64 << 10, BACKOFF_MAX_S = 60 };

struct sigma_queue {
    struct sigma_queue_conf conf;
    char *path; /* of the poll */
    struct timer *again;
    bool is_on, is_busy;
    bool is_unknown; /* the last poll: no answer, or the server knew no such host */
    usec_t asked_at, backoff;
    /* the questions of one answer, and the one being worked on */
    struct arena *arena;
    struct sigma_port_requests todo;
    size_t at;
};

/* An allocation under way. The ports are freed before the queue, and answer then. */
struct question {
    struct sigma_queue *q;
    uint64_t id;
};

static void poll_now(void *ctx);
static void next_question(struct sigma_queue *q);

static void rest_until(struct sigma_queue *q, usec_t after)
{
    q->is_busy = false;
    timer_start(q->again, after, 0);
}

static void back_off(struct sigma_queue *q, usec_t at_least)
{
    usec_t most = BACKOFF_MAX_S * USEC_PER_SEC;

    q->backoff = q->backoff == 0 ? USEC_PER_SEC : q->backoff * 2 > most ? most : q->backoff * 2;
    rest_until(q, (at_least > q->backoff ? at_least : q->backoff) + rand_below(USEC_PER_SEC));
}

static void stop(struct sigma_queue *q, const char *why)
{
    log_info("sigma.queue_off", "the server has no questions about ports to fetch", LOG_CSTR("why", why));
    q->is_on = q->is_busy = false;
}

/* -- answering */

static void on_brought(void *ctx, const struct outbound_reply *r)
{
    struct sigma_queue *q = ctx;
    char why[ERR_TEXT_MAX];

    if (r->status < 200 || r->status >= 300) { /* too late, or gone: whoever asked was told so */
        sigma_talk_why(r, why, sizeof(why));
        log_debug("sigma.port_answer", "an answer was not taken", LOG_I64("status", r->status), LOG_CSTR("why", why));
    }
    q->at++;
    next_question(q);
}

static void bring(struct sigma_queue *q, uint64_t id, const struct ports_answer *a)
{
    AUTO(buf_done) struct buf body = BUF(ANSWER_BYTES), ports = BUF(ANSWER_BYTES);
    struct sigma_port_answer out = { .hostname = str_of(q->conf.hostname), .id = id, .error = a->error.slug, .message = a->error.text,
                                     .lease = a->lease, .expires_at = a->expires_at };
    struct jw list = JW(&ports), w = JW(&body);

    if (!a->error.slug.len) {
        jw_list(&list);
        for (uint32_t i = 0; i < a->n; i++)
            jw_u64(&list, a->ports[i]);
        jw_end_list(&list);
        out.ports.text = buf_as_str(&ports);
    }
    record_write(&sigma_port_answer_record, &out, &w);
    sigma_talk_send(q->conf.talk, "/agent/port-answers", buf_as_str(&body), REPLY_WITHIN_S * USEC_PER_SEC, on_brought, q);
}

static void on_answer(void *ctx, const struct ports_answer *a)
{
    AUTO_FREE struct question *qu = ctx;

    bring(qu->q, qu->id, a);
}

static void next_question(struct sigma_queue *q)
{
    const struct sigma_port_request *rq;
    struct question *qu;
    struct ports_wish w;

    if (q->at == q->todo.requests.n) {
        arena_reset(q->arena);
        q->todo = (struct sigma_port_requests){ 0 };
        rest_until(q, 0);
        return;
    }
    rq = &q->todo.requests.v[q->at];
    w = (struct ports_wish){ .count = rq->count, .ttl_seconds = rq->ttl_seconds, .owner = rq->owner, .hold = rq->hold };
    qu = xnew0(struct question);
    *qu = (struct question){ q, rq->id };
    ports_allocate(q->conf.ports, &w, on_answer, qu);
}

/* -- asking */

static void on_polled(void *ctx, const struct outbound_reply *r)
{
    struct sigma_queue *q = ctx;
    struct record_errors errs = { 0 };
    struct err err = { 0 };
    char why[ERR_TEXT_MAX];
    usec_t took = loop_now(q->conf.loop) - q->asked_at;

    q->is_unknown = r->status == 0 || r->status == 409;
    if (r->status == 404 || r->status == 405 || r->status == 501) {
        stop(q, "the server does not know the question");
        return;
    }
    if (r->status < 200 || r->status >= 300) {
        sigma_talk_why(r, why, sizeof(why));
        log_debug("sigma.queue", "no questions could be fetched", LOG_I64("status", r->status), LOG_CSTR("why", why));
        back_off(q, r->status == 401 || r->status == 403 ? q->conf.auth_backoff : r->retry_after);
        return;
    }
    arena_reset(q->arena);
    if (r->body.len == 0 || record_decode_json(&sigma_port_requests_record, q->arena, r->body, QUESTIONS_BYTES, &q->todo, &errs, &err) < 0) {
        stop(q, "its answer is not a list of questions");
        return;
    }
    q->backoff = 0;
    q->at = 0;
    if (q->todo.requests.n == 0)
        rest_until(q, took < USEC_PER_SEC ? USEC_PER_SEC - took : 0); /* a server that does not wait is not asked in circles */
    else
        next_question(q);
}

static void poll_now(void *ctx)
{
    struct sigma_queue *q = ctx;

    if (!q->is_on || q->is_busy)
        return;
    q->is_busy = true;
    q->asked_at = loop_now(q->conf.loop);
    sigma_talk_send(q->conf.talk, q->path, STR_NONE, (WAIT_S + REPLY_WITHIN_S) * USEC_PER_SEC, on_polled, q);
}

void sigma_queue_start(struct sigma_queue *q)
{
    if (q->is_on)
        return;
    q->is_on = true;
    q->is_unknown = false;
    q->backoff = 0;
    timer_start(q->again, 0, 0);
}

void sigma_queue_known(struct sigma_queue *q)
{
    if (!q->is_on || !q->is_unknown)
        return;
    q->is_unknown = false;
    q->backoff = 0;
    if (!q->is_busy)
        timer_start(q->again, 0, 0);
}

struct sigma_queue *sigma_queue_new(const struct sigma_queue_conf *conf)
{
    struct sigma_queue *q = xnew0(struct sigma_queue);
    AUTO(buf_done) struct buf name = BUF(4 * 4096);

    q->conf = *conf;
    (void)url_encode(&name, str_of(conf->hostname));
    q->path = xasprintf("/agent/port-requests?hostname=%s&wait=%d", buf_as_cstr(&name), WAIT_S);
    q->again = timer_new(conf->loop, poll_now, q);
    q->arena = arena_new(PARSE_ARENA);
    return q;
}

void sigma_queue_free(struct sigma_queue *q)
{
    if (!q)
        return;
    sigma_talk_free(q->conf.talk);
    timer_free(q->again);
    arena_free(q->arena);
    free(q->path);
    free(q);
}
