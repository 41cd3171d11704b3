/* control/command.c - an order and the link that carries it: offers, cancels, input. Loop thread.
 *
 * An offer is decided (the task is OFFERED from then on, on disk too), and leaves when that is durable.
 * "Offered" therefore means: the agent may have it. A link that breaks leaves the task offered until the
 * host's next hello says what it has. */
#include "control/noun.h"

enum { QUEUE_ON_HOST = 4, INPUT_KEEP = 1 << 20, INPUT_PIECE = 64 << 10 };

bool command__has_window(const struct job *j)
{
    uint32_t busy = j->counts.offered + j->counts.accepted + j->counts.running;
    return !j->cancel_requested && !j->is_late && !j->is_ended &&
           (!j->spec.max_parallel || busy < j->spec.max_parallel);
}

static bool host_has_room(const struct control *c, const struct host *h)
{
    return h && h->link && h->link->is_welcomed && h->state == HOST_APPROVED &&
           h->n_inflight < c->conf.max_running_tasks + QUEUE_ON_HOST;
}

/* -- sending */
static void send_one(struct control *c, struct task *t)
{
    struct host *h = t->host;
    const struct job *j = t->job;
    if (!(t->flags & TASK_F_UNSENT) || t->state != TASK_OFFERED)
        return;
    if (h && h->link && !h->link->is_welcomed)
        return; /* the welcome sends it */
    const struct command cmd = {
        .task_id = t->id,
        .job_id = j->id,
        .argv = j->spec.argv,
        .user = j->spec.user,
        .cwd = j->spec.cwd,
        .env = j->spec.env,
        .timeout = j->spec.timeout,
        .grace = j->spec.grace,
        .output_cap_bytes = j->spec.output_cap_bytes,
        .stdin_open = j->spec.stdin_open,
        .stdin_data = { j->stdin_data },
        .start_before = j->deadline,
    };
    if (!h || !h->link || c->links->offer(c->links->ctx, link__id(h->link), &cmd) < 0) {
        command__unsend(c, t);
        return;
    }
    t->flags &= (uint8_t)~TASK_F_UNSENT;
    command__send_input(c, t, j->input_base);
}

void command__unsend(struct control *c, struct task *t)
{
    if (!(t->flags & TASK_F_UNSENT))
        return;
    t->flags &= (uint8_t)~TASK_F_UNSENT;
    task__input(c, t, TASK_IN_LINK_LOST, NULL);
}

static void send_offer(struct control *c, void *arg)
{
    struct task *t = c ? task__find(c, (uint64_t)(uintptr_t)arg) : NULL;
    if (t)
        send_one(c, t);
}

static void send_offers_of_job(struct control *c, void *arg)
{
    struct job *j = c ? job__find(c, (uint64_t)(uintptr_t)arg) : NULL;
    for (uint32_t i = 0; j && i < j->n_tasks; i++)
        send_one(c, &j->tasks[i]);
}

static void send_cancel(struct control *c, const struct host *h, const struct task *t)
{
    c->links->cancel(c->links->ctx, link__id(h->link), t->id, t->job->cancel_grace);
}

/* After a welcome: what was held for it, and what the last link may have lost. */
void command__send_waiting(struct control *c, struct host *h)
{
    struct task *t, *next;
    DL_FOREACH_SAFE(h->tasks, t, next)
    {
        if (!h->link)
            return;
        if (task__is_fetched(t))
            continue;
        if (t->flags & TASK_F_UNSENT)
            send_one(c, t);
        else if (t->state != TASK_QUEUED && t->job->cancel_requested)
            send_cancel(c, h, t);
        else if (t->state != TASK_QUEUED)
            command__send_input(c, t, t->job->input_base);
    }
}

/* -- deciding */
static bool mark(struct control *c, struct task *t)
{
    if (t->state != TASK_QUEUED || task__is_fetched(t) || !host_has_room(c, t->host) || !command__has_window(t->job))
        return false;
    if (control__wall(c) >= t->job->deadline)
        return false;
    t->flags |= TASK_F_UNSENT;
    return true;
}

static void offer(struct control *c, struct task *t)
{
    if (!mark(c, t))
        return;
    task__input(c, t, TASK_IN_OFFER, NULL);
    commit_after(c, send_offer, (void *)(uintptr_t)t->id);
}

void command__offer_host(struct control *c, struct host *h)
{
    struct task *t, *next;
    DL_FOREACH_SAFE(h->tasks, t, next)
    {
        if (!host_has_room(c, h))
            return;
        if (t->state == TASK_QUEUED)
            offer(c, t);
    }
}

/* Goes round once from where it stopped, so hosts that are away do not hold the others up. */
void command__offer_job(struct control *c, struct job *j)
{
    for (uint32_t seen = 0; seen < j->n_tasks && j->counts.queued && command__has_window(j); seen++) {
        struct task *t = &j->tasks[j->cursor];
        j->cursor = j->cursor + 1 < j->n_tasks ? j->cursor + 1 : 0;
        if (t->state == TASK_QUEUED)
            offer(c, t);
    }
}

void command__mark_new(struct control *c, struct job *j)
{
    usec_t now = control__wall(c);
    for (uint32_t i = 0; i < j->n_tasks && command__has_window(j); i++) {
        struct task *t = &j->tasks[i];
        if (!mark(c, t))
            continue;
        task__move(c, t, TASK_OFFERED);
        t->offered_at = now;
    }
}

void command__send_new(struct control *c, const struct job *j)
{
    commit_after(c, send_offers_of_job, (void *)(uintptr_t)j->id);
}

/* -- cancel */
struct cancel {
    uint64_t host_id, task_id;
    usec_t grace;
};

static void cancel_after(struct control *c, void *arg)
{
    struct cancel *x = arg;
    const struct host *h = c ? host__by_id(c, x->host_id) : NULL;
    if (h && h->link && h->link->is_welcomed)
        c->links->cancel(c->links->ctx, link__id(h->link), x->task_id, x->grace);
    free(x);
}

void command__cancel(struct control *c, const struct task *t)
{
    if (!t->host || task__is_fetched(t)) /* who fetches sees that it is to end */
        return;
    struct cancel *x = xnew0(struct cancel);
    *x = (struct cancel){ t->host->id, t->id, t->job->cancel_grace };
    commit_after(c, cancel_after, x);
}

/* -- input. Not stored: like terminal bytes it is delivered at once. The last megabyte is kept for hosts that
 * start or come back. */
void command__send_input(struct control *c, const struct task *t, uint64_t from)
{
    const struct job *j = t->job;
    if (!j->spec.stdin_open || !j->input_known || !t->host || !t->host->link || !t->host->link->is_welcomed)
        return;
    struct str left = str_sub(buf_as_str(&j->input), (size_t)(from - j->input_base), j->input.len);
    uint64_t at = from;
    if (left.len == 0 && !j->input_eof)
        return;
    do {
        struct str piece = str_sub(left, 0, INPUT_PIECE);
        left = str_sub(left, piece.len, left.len);
        c->links->input(c->links->ctx, link__id(t->host->link), t->id, at, piece,
                        j->input_eof && left.len == 0);
        at += piece.len;
    } while (left.len);
}

static bool has_offer(const struct task *t)
{
    return t->state != TASK_QUEUED && t->state != TASK_DONE && !(t->flags & TASK_F_UNSENT) && t->host &&
           t->host->link && t->host->link->is_welcomed;
}

/* Makes room for @n more: only what every host has been sent may go. */
static int make_room(struct control *c, struct job *j, size_t n, struct err *err)
{
    bool may_drop = true;
    for (uint32_t i = 0; i < j->n_tasks; i++) {
        const struct task *t = &j->tasks[i];
        if (t->state == TASK_DONE)
            continue;
        if (!has_offer(t))
            may_drop = false;
        else if (c->links->queued(c->links->ctx, link__id(t->host->link)) > LIMIT_WRITE_HIGH)
            return err_set(err, -EBUSY, "job.input_full", "%s takes its input slowly: try again",
                           t->host->name);
    }
    if (j->input.len + n <= INPUT_KEEP)
        return 0;
    if (!may_drop)
        return err_set(err, -EBUSY, "job.input_full",
                       "hosts that have not started yet need the first %d bytes: try again later",
                       INPUT_KEEP);
    size_t drop = j->input.len + n - INPUT_KEEP;
    if (drop > j->input.len)
        drop = j->input.len;
    buf_consume(&j->input, drop);
    j->input_base += drop;
    return 0;
}

static int may_input(struct control *c, struct job *j, uint64_t job_id, uint64_t offset, struct str data,
                     struct err *err)
{
    if (!j && (job_id == 0 || job_id >= c->next.job))
        return err_set(err, -ENOENT, "job.unknown", "there is no job %llu", (unsigned long long)job_id);
    if (!j || j->is_ended)
        return err_set(err, -EINVAL, "job.finished", "job %llu has finished", (unsigned long long)job_id);
    if (!j->spec.stdin_open || j->input_eof)
        return err_set(err, -EINVAL, "job.not_open", "job %llu takes no (more) input",
                       (unsigned long long)job_id);
    if (data.len > INPUT_KEEP)
        return err_set(err, -EINVAL, "request.too_large", "at most %d bytes of input at a time", INPUT_KEEP);
    /* After a restart the sender knows where it was; the agent checks it. */
    if (!j->input_known) {
        j->input_known = true;
        j->input_base = j->input_next = offset;
    }
    if (offset != j->input_next)
        return err_set(err, -EBUSY, "job.input_offset", "the next byte is at offset %llu",
                       (unsigned long long)j->input_next);
    return 0;
}

int job_input(struct control *c, const struct principal *p, uint64_t job_id, uint64_t offset, struct str data,
              bool eof, struct err *err)
{
    char target[24];
    snprintf(target, sizeof(target), "%llu", (unsigned long long)job_id);
    int r = authz(c, p, VERB_RUN, str_of(target), err);
    if (r < 0)
        return r;
    struct job *j = job__find(c, job_id);
    r = may_input(c, j, job_id, offset, data, err);
    if (r == 0)
        r = make_room(c, j, data.len, err);
    if (r < 0)
        return r;
    j->input.max = INPUT_KEEP;
    if (buf_str(&j->input, data) < 0)
        return err_set(err, -EBUSY, "job.input_full", "too much input is waiting");
    j->input_next += data.len;
    j->input_eof = eof;
    for (uint32_t i = 0; i < j->n_tasks; i++)
        if (has_offer(&j->tasks[i]))
            command__send_input(c, &j->tasks[i], offset);
    return 0;
}
