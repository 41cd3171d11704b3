/* cli/follow.c - the stream of a job: events in, tracks kept, exit code out. See follow.h.
 *
 *   POST /jobs?follow=true --job--> tracks --output--> shown by offset --task--> state --end--> tasks asked
 * for what | broken                                                                                the stream
 * left out
 *        +--> GET /jobs/ID/output?follow=true: stored output comes again, what is below shown[] is skipped */
#include "cli/follow.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/uuid.h"
#include "cli/follow_priv.h"

#define FOLLOW_PATIENCE (2 * USEC_PER_MIN)
#define FOLLOW_REDRAW (200 * USEC_PER_MS)
enum { EVENT_ARENA = 256 << 20 };

/* -- tracks */

static char *printable(struct str s)
{
    AUTO(buf_done) struct buf b = BUF(4 * s.len + 8);
    (void)text_printable(&b, s);
    return str_dup(buf_as_str(&b));
}

struct track *follow__track(struct follow *f, uint64_t id, struct str host, struct str host_id)
{
    size_t lo = 0, hi = f->tracks.n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (f->tracks.v[mid]->id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    struct track *t = lo < f->tracks.n && f->tracks.v[lo]->id == id ? f->tracks.v[lo] : NULL;
    if (!t) {
        t = xnew0(struct track);
        *t = (struct track){ .id = id, .f = f, .color = f->next_color++ };
        (void)vec_add(&f->tracks);
        memmove(&f->tracks.v[lo + 1], &f->tracks.v[lo], (f->tracks.n - lo - 1) * sizeof(*f->tracks.v));
        f->tracks.v[lo] = t;
    }
    if (!t->host && host.len)
        t->host = printable(host);
    if (!t->host_id && host_id.len)
        t->host_id = str_dup(host_id);
    return t;
}

static void track_free(struct track *t)
{
    free(t->host);
    free(t->host_id);
    free(t->text);
    lines_done(&t->lines[0]);
    lines_done(&t->lines[1]);
    free(t);
}

static void name_track(struct track *t)
{
    if (!t->host)
        t->host = t->host_id ? xstrdup(t->host_id) : xasprintf("task %llu", (unsigned long long)t->id);
}

void follow__task(struct follow *f, const struct task_view *v)
{
    struct track *t = follow__track(f, v->id, v->host, v->host_id);
    name_track(t);
    if (t->state == TRACK_DONE)
        return;
    if (!str_is(v->state, "done")) {
        bool is_waiting = str_is(v->state, "queued") || str_is(v->state, "offered");
        t->state = is_waiting ? TRACK_WAITING : TRACK_RUNNING;
        return;
    }
    t->state = TRACK_DONE;
    t->result = outcome_result(v, t->gave_up);
    t->code = outcome_code(v, t->gave_up, f->is_interrupted);
    t->text = str_dup(v->result.len ? v->result : STR("no result"));
    if (f->is_json)
        return;
    follow__flush(f, t);
    if (v->stdout_truncated && v->stdout_total_bytes > t->shown[0])
        follow__missing(f, t, 0, v->stdout_total_bytes - t->shown[0]);
    if (v->stderr_truncated && v->stderr_total_bytes > t->shown[1])
        follow__missing(f, t, 1, v->stderr_total_bytes - t->shown[1]);
}

/* -- the loop's end */

void follow__leave(struct follow *f, int rc)
{
    if (f->is_over)
        return;
    f->is_over = true;
    f->rc = rc;
    loop_stop(f->loop);
}

/* -- events */

static void on_job(struct follow *f, const struct node *n)
{
    struct job_view v = { 0 };
    if (view_read(f->cli, f->arena, &job_view_record, n, &v) != RC_OK) {
        follow__leave(f, RC_FAILED);
        return;
    }
    f->n_total = v.counts.total;
    f->is_single = v.counts.total == 1;
    if (f->has_job)
        return;
    f->job_id = v.id;
    f->has_job = true;
    if (f->conf->created)
        f->conf->created(f->conf->ctx, v.id);
    if (f->is_interrupted)
        follow__cancel(f);
    if (f->conf->may_give_up)
        timer_start(f->offline, f->conf->offline_wait, 0);
}

static void on_output(struct follow *f, const struct node *n)
{
    struct output_view v = { 0 };
    if (view_read(f->cli, f->arena, &output_view_record, n, &v) != RC_OK) {
        follow__leave(f, RC_FAILED);
        return;
    }
    int stream = str_is(v.stream, "stderr");
    struct track *t = follow__track(f, v.task_id, v.host, v.host_id);
    name_track(t);
    if (t->state == TRACK_WAITING)
        t->state = TRACK_RUNNING;
    size_t skip;
    enum piece place = piece_place(t->shown[stream], v.offset, v.data.b.len, &skip);
    if (place == PIECE_OLD)
        return; /* shown before the break */
    if (place == PIECE_AHEAD && t->asked[stream] < v.offset) {
        t->asked[stream] = v.offset; /* something was left out: once, ask for what is stored */
        stream_again(f->stream);
        return;
    }
    if (place == PIECE_AHEAD)
        follow__missing(f, t, stream, v.offset - t->shown[stream]);
    t->shown[stream] = v.offset + v.data.b.len;
    follow__show(f, t, stream, str_sub(v.data.b, skip, v.data.b.len));
}

static void on_gap(struct follow *f, const struct node *n)
{
    struct gap_view v = { 0 };
    if (view_read(f->cli, f->arena, &gap_view_record, n, &v) != RC_OK) {
        err_reset(&f->cli->err);
        return;
    }
    int stream = str_is(v.stream, "stderr");
    struct track *t = follow__track(f, v.task_id, STR_NONE, STR_NONE);
    name_track(t);
    if (v.to <= t->shown[stream])
        return;
    if (t->asked[stream] < v.to) {
        t->asked[stream] = v.to;
        stream_again(f->stream);
        return;
    }
    follow__missing(f, t, stream, v.to - (v.from > t->shown[stream] ? v.from : t->shown[stream]));
    t->shown[stream] = v.to;
}

static void on_event(void *ctx, const char *event, const char *id, struct str data)
{
    struct follow *f = ctx;
    struct node *root;
    (void)id;
    if (f->is_over)
        return;
    arena_reset(f->arena);
    if (json_parse(f->arena, data, data.len, &root, NULL) < 0) {
        follow__leave(f,
                      cli_fail(f->cli, RC_FAILED, "server.reply", "an event of the job's stream is no JSON"));
        return;
    }
    bool is_known = true;
    if (strcmp(event, "job") == 0) {
        on_job(f, root);
    } else if (strcmp(event, "output") == 0) {
        on_output(f, root);
    } else if (strcmp(event, "gap") == 0) {
        on_gap(f, root);
    } else if (strcmp(event, "end") == 0) {
        on_job(f, root);
        f->has_ended = true;
        stream_stop(f->stream);
    } else if (strcmp(event, "task") == 0) {
        struct task_view v = { 0 };
        if (view_read(f->cli, f->arena, &task_view_record, root, &v) == RC_OK)
            follow__task(f, &v);
        else
            err_reset(&f->cli->err); /* asked for again at the end */
    } else {
        is_known = false;
    }
    if (f->is_json && is_known)
        follow__json(f, event, root);
}

static void on_prepare(void *ctx, struct stream_request *rq, bool again)
{
    struct follow *f = ctx;
    (void)again;
    if (f->conf->body.len && !f->has_job) {
        rq->method = "POST";
        buf_cstr(&rq->target, "/api/v1/jobs?follow=true");
        rq->body = f->conf->body;
        rq->idem_key = str_of(f->idem_key); /* the same wish again must not become a second job */
        return;
    }
    uint64_t id = f->has_job ? f->job_id : f->conf->job_id;
    buf_printf(&rq->target, "/api/v1/jobs/%llu/output%s", (unsigned long long)id,
               f->conf->live ? "?follow=true" : "");
}

static void on_over(void *ctx, int rc)
{
    struct follow *f = ctx;
    if (rc != RC_OK && f->has_job && !f->conf->live)
        rc = RC_OK; /* a stored stream may simply end */
    follow__leave(f, rc);
}

static void on_broken(void *ctx)
{
    struct follow *f = ctx;
    if (!f->conf->live) {
        stream_stop(f->stream);
        return;
    }
    follow__clear_bar(f);
    cli_note(f->cli, "lost the connection to %s; coming back", f->cli->target.url);
}

static void on_interrupt(void *ctx)
{
    struct follow *f = ctx;
    if (f->is_interrupted || !f->conf->cancel_on_interrupt) {
        follow__clear_bar(f);
        if (f->has_job)
            cli_note(f->cli, f->conf->cancel_on_interrupt ? "left while job %llu is being cancelled; how it ends: muster job %llu"
                                                          : "left; job %llu goes on: muster job %llu",
                     (unsigned long long)f->job_id, (unsigned long long)f->job_id);
        follow__leave(f, RC_INTERRUPTED);
        return;
    }
    f->is_interrupted = true;
    follow__cancel(f);
    follow__clear_bar(f);
    cli_note(f->cli, "cancelling; press Ctrl-C again to leave without waiting");
}

static void on_redraw(void *ctx)
{
    follow__bar(ctx);
}

/* -- result */

static int result_of(struct follow *f)
{
    if (!f->conf->live)
        return RC_OK; /* a look at what is stored */
    struct outcome_counts counts = { 0 };
    bool is_open = f->tracks.n < f->n_total;
    for (size_t i = 0; i < f->tracks.n && !is_open; i++)
        is_open = f->tracks.v[i]->state != TRACK_DONE;
    if (is_open) {
        int rc = follow__all_tasks(f);
        if (rc != RC_OK)
            return rc;
    }
    for (size_t i = 0; i < f->tracks.n; i++) {
        if (f->tracks.v[i]->state != TRACK_DONE)
            return RC_OK; /* a look at a job that still runs */
        outcome_count(&counts, f->tracks.v[i]->result);
    }
    follow__summary(f);
    if (f->tracks.n == 1)
        return f->tracks.v[0]->code;
    return outcome_job_code(&counts, f->is_interrupted);
}

static void done(struct follow *f)
{
    follow__clear_bar(f);
    stream_free(f->stream);
    http_client_free(f->side);
    timer_free(f->offline);
    timer_free(f->redraw);
    arena_free(f->arena);
    for (size_t i = 0; i < f->tracks.n; i++)
        track_free(f->tracks.v[i]);
    vec_done(&f->tracks);
}

/* A reader that left (`muster run ... | head`) must stop the job, and the request to do so has to get out
 * first. */
static void finish_side(struct follow *f)
{
    if (!f->cancel_sent || f->has_ended)
        return;
    for (int i = 0; i < 1000 && !f->cancel_answered; i++) {
        (void)loop_poll(f->loop);
        usleep(1000);
    }
}

/* Cut off from a job that has not ended: by a break, or because the server does not let us look any more. */
static void say_cut_off(const struct follow *f, int rc)
{
    unsigned long long id = f->job_id;
    if (!f->has_job || f->has_ended || !f->conf->live || !err_is(&f->cli->err) || rc == RC_NOT_FOUND)
        return; /* not found: it is no longer kept, so it has ended */
    if (f->cancel_sent && rc != RC_DENIED)
        cli_note(f->cli, "job %llu is being cancelled; how it ends: muster job %llu", id, id);
    else if (rc == RC_DENIED)
        cli_note(f->cli, "job %llu goes on without us; whoever is let in sees it with: muster job %llu --follow, and ends it with: muster cancel %llu",
                 id, id, id);
    else
        cli_note(f->cli, "job %llu goes on without us; see it with: muster job %llu --follow", id, id);
}

int follow_job(struct cli *cli, const struct follow_conf *conf)
{
    int rc = api_connect(cli);
    if (rc != RC_OK)
        return rc;
    struct follow f = { .cli = cli, .conf = conf, .loop = cli->loop, .is_json = cli_format(cli) == OUT_JSON };
    struct uuid u = uuid_v4();
    uuid_format(&u, f.idem_key);
    f.arena = arena_new(EVENT_ARENA);
    f.offline = timer_new(f.loop, follow__offline_tick, &f);
    f.redraw = timer_new(f.loop, on_redraw, &f);
    f.started = loop_now(f.loop);
    timer_start(f.redraw, FOLLOW_REDRAW, FOLLOW_REDRAW);
    loop_on_signal(f.loop, SIGINT, on_interrupt, &f);
    loop_on_signal(f.loop, SIGTERM, on_interrupt, &f);
    struct stream_ops ops = {
        .prepare = on_prepare, .event = on_event, .over = on_over, .broken = on_broken, .ctx = &f
    };
    f.stream = stream_open(cli, &ops, FOLLOW_PATIENCE);
    while (!f.is_over)
        loop_run(f.loop);
    for (size_t i = 0; i < f.tracks.n && f.rc != RC_PIPE; i++)
        follow__flush(&f, f.tracks.v[i]);
    finish_side(&f);
    rc = f.rc;
    if (rc == RC_OK && f.has_job)
        rc = result_of(&f);
    if (rc != RC_OK && rc != RC_PIPE && rc != RC_INTERRUPTED)
        say_cut_off(&f, rc);
    done(&f);
    return rc;
}
