/* agent/dialects/argus_talk.c - what the agent tells the server: acks, ends, heartbeats; one at a time. See argus.h. */
#include <errno.h>

#include "agent/dialects/argus.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/record.h"

enum { PATH_MAX_BYTES = 256 };

static bool is_due(const struct argus_cmd *c)
{
    return c->answer != ARGUS_NO_ANSWER && (!c->is_acked || c->is_exit_due);
}

static void talk_failed(struct argus *g, const struct outbound_reply *r, const char *what)
{
    char text[512];
    usec_t wait = argus__wait_after(++g->n_talk_failures, r);

    argus__reply_text(r, text, sizeof(text));
    if (r->status == 401)
        (void)argus__reread_token(g);
    log_warn("server.untold", "the server could not be told", LOG_CSTR("what", what), LOG_CSTR("why", text),
             LOG_U64("again_in_ms", wait / USEC_PER_MS));
    if (r->status == 403) {
        log_error("agent.forbidden", "the server says that this token is not this agent's: register anew", LOG_CSTR("agent", g->cache.agent_id));
        argus__end(g, ARGUS_EXIT_TOKEN);
        return;
    }
    if (g->opt->once) {
        argus__end(g, ARGUS_EXIT_RUNTIME);
        return;
    }
    timer_start(g->talk_timer, argus__jitter(wait, rand_u64()), 0);
}

/* Whatever it may be worth, it has had its answer. */
static bool is_final(int status)
{
    return status == 200 || status == 201 || status == 204 || status == 400 || status == 404 || status == 409 || status == 410 ||
           status == 413 || status == 415 || status == 422;
}

static void on_ack(const struct outbound_reply *r, struct argus_cmd *c)
{
    char text[512];

    c->is_acked = true;
    if (c->answer == ARGUS_FAILED)
        c->is_exit_due = false;
    if (r->status == 200 || r->status == 409) /* 409: it has been told before, or no longer wants to know */
        return;
    argus__reply_text(r, text, sizeof(text));
    log_warn("ack.refused", "the server does not take an acknowledgement", LOG_CSTR("command", c->id), LOG_CSTR("why", text));
}

static void on_exit_told(struct argus *g, const struct outbound_reply *r, struct argus_cmd *c)
{
    c->is_exit_due = false;
    if (r->status == 405 || (r->status == 404 && !g->book->has_exit)) {
        /* An Argus that has never heard of it: not asked again as long as we run. */
        log_info("exit.unsupported", "this server does not take exit codes", LOG_U64("status", (uint64_t)r->status));
        g->is_exit_off = true;
        for (size_t i = 0; i < g->book->cmds.n; i++)
            g->book->cmds.v[i]->is_exit_due = false;
    } else if (r->status == 200) {
        g->book->has_exit = true;
    }
}

static void on_told(void *ctx, const struct outbound_reply *r)
{
    struct argus *g = ctx;
    struct argus_cmd *c = argus__book_find(g->book, str_of(g->talking_id));

    g->is_talking = false;
    if (!is_final(r->status)) {
        if (g->is_beating) /* the next one is as good */
            g->is_beat_due = false;
        talk_failed(g, r, g->is_beating ? "heartbeat" : g->is_talk_exit ? "end" : "ack");
        return;
    }
    g->n_talk_failures = 0;
    if (g->is_beating) {
        g->is_beat_due = false;
    } else if (c) {
        if (g->is_talk_exit)
            on_exit_told(g, r, c);
        else
            on_ack(r, c);
        g->is_dirty = true; /* if it is lost: told twice, which is answered 409 */
    }
    argus__talk(g);
}

static void send_it(struct argus *g, const char *path, struct str body)
{
    struct argus_ask q = { .method = "POST", .path = path, .token = g->cache.token, .body = body, .done = on_told, .ctx = g };

    g->is_talking = true;
    (void)argus__send(g->talk_out, &q);
}

static void send_ack(struct argus *g, const struct argus_cmd *c)
{
    AUTO_FREE char *path = xasprintf("/api/agents/%s/jobs/%s/ack", g->cache.agent_id, c->id);
    AUTO(buf_done) struct buf body = BUF(16 << 10);
    struct argus_ack ack = { .status = c->answer == ARGUS_STARTED ? STR("started") : STR("failed"), .error = str_of(c->error), .pid = c->pid };
    struct jw w = JW(&body);

    record_write(&argus_ack_record, &ack, &w);
    (void)jw_done(&w);
    send_it(g, path, buf_as_str(&body));
}

/* By hand: 0 and "not known" differ here. */
static void send_exit(struct argus *g, const struct argus_cmd *c)
{
    AUTO_FREE char *path = xasprintf("/api/agents/%s/jobs/%s/exit", g->cache.agent_id, c->id);
    AUTO(buf_done) struct buf tail = BUF(ARGUS_LOG_TAIL_MAX), body = BUF(8 * ARGUS_LOG_TAIL_MAX);
    struct jw w = JW(&body);

    argus__log_tail(g->opt->state_dir, c->id, &tail);
    jw_map(&w);
    jw_key(&w, "exit_code");
    if (c->has_exit && c->signal == 0)
        jw_i64(&w, c->exit_code);
    else
        jw_null(&w);
    jw_key(&w, "signal");
    if (c->has_exit && c->signal != 0)
        jw_i64(&w, c->signal);
    else
        jw_null(&w);
    jw_key(&w, "runtime_s");
    jw_f64(&w, (double)c->runtime / (double)USEC_PER_SEC);
    jw_key(&w, "log_tail");
    jw_str(&w, buf_as_str(&tail));
    jw_end_map(&w);
    (void)jw_done(&w);
    send_it(g, path, buf_as_str(&body));
}

void argus__talk(struct argus *g)
{
    size_t n = g->book->cmds.n;

    if (g->is_talking || timer_is_running(g->talk_timer) || g->opt->dry_run)
        return;
    g->is_beating = g->is_beat_due;
    if (g->is_beat_due) {
        AUTO_FREE char *path = xasprintf("/api/agents/%s/heartbeat", g->cache.agent_id);

        send_it(g, path, STR_NONE);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        /* After a failure begin further on: one that the server chokes on must not silence the others. */
        struct argus_cmd *c = g->book->cmds.v[(i + g->n_talk_failures) % n];

        if (!is_due(c))
            continue;
        (void)str_copy(str_of(c->id), g->talking_id, sizeof(g->talking_id));
        g->is_talk_exit = c->is_acked;
        if (g->is_talk_exit)
            send_exit(g, c);
        else
            send_ack(g, c);
        return;
    }
    argus__talk_done(g);
}
