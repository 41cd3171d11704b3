/* control/tasks.c - one host's share of a job: the transition table applied, ends recorded. Loop thread.
 *
 * fleet/task.c decides; here counters, lists, rows, events and news follow. Only unfinished tasks of open
 * jobs are in memory, in one array a job (ids ascend), so a task is found by two binary searches and has no
 * index of its own. */
#include "control/noun.h"

struct task *task__find(const struct control *c, uint64_t id)
{
    size_t lo = 0, hi = c->jobs.n; /* the last job that begins at or before @id */
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->jobs.v[mid]->tasks[0].id <= id)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0)
        return NULL;
    struct job *j = c->jobs.v[lo - 1];
    uint64_t at = id - j->tasks[0].id; /* nearly always right: ids of a job have no gaps */
    if (at < j->n_tasks && j->tasks[at].id == id)
        return &j->tasks[at];
    for (lo = 0, hi = j->n_tasks; lo < hi;) {
        size_t mid = lo + (hi - lo) / 2;
        if (j->tasks[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < j->n_tasks && j->tasks[lo].id == id ? &j->tasks[lo] : NULL;
}

static uint64_t kept(const struct task *t, int stream)
{
    uint64_t cap = t->job->spec.output_cap_bytes;
    return t->taken[stream] < cap ? t->taken[stream] : cap;
}

void task__row(const struct task *t, struct task_row *ret)
{
    *ret = (struct task_row){
        .id = t->id,
        .job_id = t->job->id,
        .host_id = t->host ? t->host->id : 0,
        .host_name = str_of(t->host ? t->host->name : NULL),
        .state = (enum task_state)t->state,
        .outcome = (enum task_outcome)t->outcome,
        .exit_code = t->exit_code,
        .signal = t->signal,
        .created_at = t->job->created_at,
        .offered_at = t->offered_at,
        .started_at = t->started_at,
        .finished_at = t->finished_at,
        .stdout_bytes = kept(t, 0),
        .stderr_bytes = kept(t, 1),
        .stdout_total = t->taken[0],
        .stderr_total = t->taken[1],
        .stdout_truncated = kept(t, 0) < t->taken[0],
        .stderr_truncated = kept(t, 1) < t->taken[1],
    };
}

static bool is_inflight(uint8_t state)
{
    return state == TASK_OFFERED || state == TASK_ACCEPTED || state == TASK_RUNNING;
}

static bool is_active(uint8_t state)
{
    return state == TASK_ACCEPTED || state == TASK_RUNNING;
}

/* State and everything that counts it; no row. From 0: a task made or loaded, which the caller listed unless
 * it is done. */
void task__move(struct control *c, struct task *t, enum task_state to)
{
    struct host *h = t->host;
    uint8_t from = t->state;
    job_count_move(&t->job->counts, (enum task_state)from, to, (enum task_outcome)t->outcome, t->exit_code);
    t->state = (uint8_t)to;
    if (h) {
        if (!task__is_fetched(t))
            h->n_inflight += (uint32_t)is_inflight(t->state) - (uint32_t)is_inflight(from);
        h->n_active += (uint32_t)is_active(t->state) - (uint32_t)is_active(from);
        if (to == TASK_DONE && from && from != TASK_DONE)
            DL_DELETE(h->tasks, t);
    }
    if (to == TASK_DONE && from && from != TASK_DONE)
        c->n_open_tasks--;
}

struct task_step task__input(struct control *c, struct task *t, enum task_input in, const char *message)
{
    struct task_step step = task_step((enum task_state)t->state, in);
    if (!step.legal) {
        log_debug("task.illegal", "a forbidden move was asked for", LOG_U64("task", t->id),
                  LOG_U64("input", in));
        return step;
    }
    if (step.action == TASK_ACT_SEND_CANCEL)
        command__cancel(c, t);
    if (step.to == (enum task_state)t->state)
        return step;
    if (step.to == TASK_DONE) {
        const struct task_end end = { .task_id = t->id, .outcome = step.outcome, .message = str_of(message) };
        task__end(c, t, &end);
        return step;
    }

    task__move(c, t, step.to);
    if (step.to == TASK_RUNNING) {
        t->started_at = control__wall(c);
        t->flags |= TASK_F_NEWS;
        if (t->host && t->host->link && t->offered_at >= t->host->link->since)
            t->flags |= TASK_F_SEEN;
    } else if (step.to == TASK_OFFERED) {
        t->offered_at = control__wall(c);
    } else if (step.to == TASK_QUEUED) {
        t->offered_at = 0;
        t->flags &= (uint8_t)~TASK_F_UNSENT;
    }
    task__dirty(c, t);
    if (task__is_fetched(t))
        noun__task_changed(c, t);
    if (step.to == TASK_QUEUED && t->job->cancel_requested)
        task__input(c, t, TASK_IN_CANCEL, "cancelled before the host took it");
    else if (step.to == TASK_QUEUED && t->job->is_late)
        task__input(c, t, TASK_IN_DEADLINE, "the job's deadline passed before the host took it");
    return step;
}

/* -- the end */
static void count_command(struct control *c, const struct task *t)
{
    static const double edges[] = { 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60 };
    struct control_stats *s = &c->stats;
    s->commands_total++;
    *(task_is_success((enum task_outcome)t->outcome, t->exit_code) ? &s->commands_ok : &s->commands_failed) +=
        1;
    if (!t->started_at || t->finished_at < t->started_at)
        return;
    double seconds = (double)(t->finished_at - t->started_at) / (double)USEC_PER_SEC;
    s->command_seconds_sum += seconds;
    s->latency_sum += seconds;
    s->latency_count++;
    for (size_t i = 0; i < ARRAY_SIZE(edges); i++)
        s->latency_bucket[i] += seconds <= edges[i];
    s->latency_bucket[ARRAY_SIZE(edges)]++;
}

/* Nothing of a task is before the offer that the host took. */
static usec_t since_offer(const struct task *t, usec_t at)
{
    usec_t floor = t->offered_at ? t->offered_at : t->job->created_at;
    return at > floor ? at - floor : 0;
}

static usec_t earlier(const struct task *t, usec_t at, usec_t by)
{
    usec_t since = since_offer(t, at);
    return at - (by < since ? by : since);
}

/* The agent's clock may be wrong, its differences are not: it says how long ago the command ended, which by ours is now unless there was
 * no link, and how long it took. Where we saw the start, one of the two pieces of news was late if they are not that far apart. A clock
 * that is set while the command runs makes nonsense of a difference: what has no room since the offer moves nothing that we saw. */
static void set_times(struct control *c, struct task *t, const struct task_end *end)
{
    usec_t ago = end->finished_at && end->sent_at > end->finished_at ? end->sent_at - end->finished_at : 0;
    usec_t took = end->finished_at > end->started_at ? end->finished_at - end->started_at : 0;
    bool is_seen = t->flags & TASK_F_SEEN;
    t->finished_at = earlier(t, control__wall(c), ago);
    if (is_seen && t->finished_at < t->started_at)
        t->finished_at = t->started_at;
    if (!end->started_at || end->outcome == OUTCOME_REFUSED)
        return;
    if (is_seen) {
        if (end->finished_at < end->started_at || took > since_offer(t, t->finished_at))
            return;
        if (took < t->finished_at - t->started_at)
            t->finished_at = t->started_at + took;
        else
            t->started_at = t->finished_at - took;
        return;
    }
    usec_t start = earlier(t, t->finished_at, took);
    if (!t->started_at || start < t->started_at)
        t->started_at = start;
}

static void tell_end(struct control *c, const struct task *t, const struct task_row *row)
{
    struct details d = { 0 };
    char text[64];
    details_u64(details_u64(&d, "task_id", t->id), "job_id", t->job->id);
    details_str(&d, "outcome", str_of(name_of(task_outcome_names, row->outcome)));
    if (task_has_exit_code(row->outcome, row->exit_code, row->signal, row->started_at != 0))
        details_i64(&d, "exit_code", row->exit_code);
    if (row->signal)
        details_i64(&d, "signal", row->signal);
    task_outcome_text(row->outcome, row->exit_code, row->signal, text);
    details_str(details_str(&d, "text", str_of(text)), "message", row->message);
    event__host(c, "task.finished", t->host, &d);
}

void task__end(struct control *c, struct task *t, const struct task_end *end)
{
    struct task_row row;
    struct job *j = t->job;
    struct host *h = t->host;
    assert(t->state != TASK_DONE);

    t->outcome = (uint8_t)end->outcome;
    t->exit_code = end->exit_code;
    t->signal = (uint8_t)(end->signal > 0 && end->signal < 128 ? end->signal : 0);
    set_times(c, t, end);
    task__move(c, t, TASK_DONE);
    t->flags &= (uint8_t) ~(TASK_F_DIRTY | TASK_F_NEWS | TASK_F_ACK | TASK_F_UNSENT);
    task__row(t, &row);
    if (end->stdout_total > row.stdout_total)
        row.stdout_total = end->stdout_total;
    if (end->stderr_total > row.stderr_total)
        row.stderr_total = end->stderr_total;
    row.stdout_truncated |= end->stdout_truncated;
    row.stderr_truncated |= end->stderr_truncated;
    row.message = end->message;
    store_put_task(c->store, &row);
    count_command(c, t);
    topics__task(c, j, &row);
    tell_end(c, t, &row);
    if (task__is_fetched(t))
        noun__task_changed(c, t);
    job__check_end(c, j);
    if (h)
        command__offer_host(c, h);
    if (j->spec.max_parallel)
        command__offer_job(c, j);
}

/* -- the agent's word */
static struct task *of_link(struct control *c, struct link_id link, uint64_t task_id, struct link **ret_l)
{
    *ret_l = link__find(c, link);
    struct task *t = *ret_l ? task__find(c, task_id) : NULL;
    if (*ret_l)
        presence__seen(c, (*ret_l)->host);
    return t && t->host == (*ret_l)->host && !task__is_fetched(t) ? t : NULL;
}

void task_accepted(struct control *c, struct link_id link, uint64_t task_id)
{
    struct link *l;
    struct task *t = of_link(c, link, task_id, &l);
    if (t)
        task__input(c, t, TASK_IN_ACCEPTED, NULL);
    else if (l) /* nothing of ours (any more): it must not run */
        c->links->cancel(c->links->ctx, link, task_id, 0);
}

void task_started(struct control *c, struct link_id link, uint64_t task_id)
{
    struct link *l;
    struct task *t = of_link(c, link, task_id, &l);
    if (t)
        task__input(c, t, TASK_IN_STARTED, NULL);
}

struct end_ack {
    uint64_t link_id, task_id, taken[2];
};

static void send_end_ack(struct control *c, void *arg)
{
    struct end_ack *a = arg;
    if (c)
        c->links->task_ack(c->links->ctx, (struct link_id){ a->link_id }, a->task_id, a->taken[0],
                           a->taken[1], true);
    free(a);
}

enum task_outcome task__agents_outcome(enum task_outcome o)
{
    switch (o) {
    case OUTCOME_EXITED:
    case OUTCOME_SIGNALED:
    case OUTCOME_TIMED_OUT:
    case OUTCOME_CANCELLED:
    case OUTCOME_REFUSED:
    case OUTCOME_LOST:
        return o;
    case OUTCOME_NONE:
    case OUTCOME_EXPIRED:
        break;
    }
    return OUTCOME_LOST; /* not for an agent to say */
}

void task_finished(struct control *c, struct link_id link, const struct task_end *e)
{
    char message[512];
    struct link *l;
    struct task *t = of_link(c, link, e->task_id, &l);
    if (!l)
        return;
    if (t && t->state != TASK_DONE) {
        /* The end counts when all before it is here; the ack of what is here makes the agent send the rest.
         */
        if (e->stdout_bytes > t->taken[0] || e->stderr_bytes > t->taken[1]) {
            task__ack_due(c, t);
            return;
        }
        struct task_end end = *e;
        end.outcome = task__agents_outcome(e->outcome);
        arena_reset(c->scratch);
        struct str clean = text__clean(c->scratch, e->message, sizeof(message) - 1);
        str_copy(clean, message, sizeof(message));
        end.message = str_of(message);
        task__end(c, t, &end);
    }
    struct end_ack *a = xnew0(struct end_ack);
    *a = (struct end_ack){ link.v,
                           e->task_id,
                           { t ? t->taken[0] : e->stdout_bytes, t ? t->taken[1] : e->stderr_bytes } };
    commit_after(c, send_end_ack, a);
}
