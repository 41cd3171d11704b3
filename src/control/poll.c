/* control/poll.c - tasks of hosts that fetch their work: the same table, rows and ends as over a link. Loop thread.
 *
 * "Offered" means that the host may have fetched it. Nobody tells us when a fetch got lost, so what is offered is shown again
 * until it is acknowledged; and what ends here before that is refused when the host comes to begin it. */
#include "control/accent.h"
#include "control/noun.h"

/* However many there are: whoever fetches decides how many it does at once, and one that ends another must not wait behind it. */
static bool may_offer(const struct control *c, const struct task *t)
{
    return t->state == TASK_QUEUED && t->host->state == HOST_APPROVED && command__has_window(t->job) &&
           control__wall(c) < t->job->deadline;
}

void poll_tasks(struct control *c, uint64_t host_id, bool (*fn)(void *ctx, const struct polled_task *t), void *ctx)
{
    struct host *h = host__by_id(c, host_id);
    struct task *t, *next;
    DL_FOREACH_SAFE(h ? h->tasks : NULL, t, next)
    {
        if (!task__is_fetched(t))
            continue;
        if (may_offer(c, t))
            task__input(c, t, TASK_IN_OFFER, NULL);
        if (t->state == TASK_QUEUED)
            continue;
        const struct job *j = t->job;
        const struct polled_task shown = {
            .task_id = t->id,
            .job_id = j->id,
            .state = (enum task_state)t->state,
            .spec = &j->spec,
            .stdin_data = j->stdin_data,
            .created_at = j->created_at,
            .cancel_requested = j->cancel_requested,
        };
        if (!fn(ctx, &shown))
            return;
    }
}

void poll__take_back(struct control *c, struct task *t)
{
    if (task__is_fetched(t) && t->state == TASK_OFFERED)
        task__input(c, t, TASK_IN_LINK_LOST, NULL);
}

/* -- the agent's word */
static int of_host(struct control *c, uint64_t host_id, uint64_t task_id, struct task **ret, struct err *err)
{
    struct task *t = task__find(c, task_id);
    if (!t || !t->host || t->host->id != host_id || !task__is_fetched(t))
        return err_set(err, -ENOENT, "task.unknown", "this host has no task %llu", (unsigned long long)task_id);
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    if (t->state == TASK_DONE)
        return err_set(err, -EINVAL, "job.finished", "task %llu has ended", (unsigned long long)task_id);
    *ret = t;
    return 0;
}

int poll_started(struct control *c, uint64_t host_id, uint64_t task_id, struct err *err)
{
    struct task *t;
    int r = of_host(c, host_id, task_id, &t, err);
    if (r < 0)
        return r;
    task__input(c, t, TASK_IN_ACCEPTED, NULL);
    task__input(c, t, TASK_IN_STARTED, NULL);
    return 0;
}

int poll_output(struct control *c, uint64_t host_id, const struct output_frame *f, struct err *err)
{
    struct task *t;
    int r = of_host(c, host_id, f->task_id, &t, err);
    if (r < 0)
        return r;
    if (!output__is_sound(f))
        return err_set(err, -EINVAL, "field.invalid", "a frame is of stdout or stderr and at most %d bytes", LIMIT_OUTPUT_CHUNK);
    if (t->state != TASK_RUNNING)
        task__input(c, t, TASK_IN_STARTED, NULL);
    if (output__take(c, t, f))
        return 0;
    return err_set(err, -ERANGE, "job.input_offset", "the next byte wanted is at offset %llu",
                   (unsigned long long)t->taken[f->stream - STREAM_STDOUT]);
}

int poll_finished(struct control *c, uint64_t host_id, const struct task_end *end, struct err *err)
{
    char message[512];
    struct task *t;
    int r = of_host(c, host_id, end->task_id, &t, err);
    if (r < 0)
        return r;
    struct task_end mine = *end;
    mine.outcome = task__agents_outcome(end->outcome);
    arena_reset(c->scratch);
    (void)str_copy(text__clean(c->scratch, end->message, sizeof(message) - 1), message, sizeof(message));
    mine.message = str_of(message);
    task__end(c, t, &mine);
    return 0;
}
