/* control/output.c - frames in order, kept, told on. Loop thread.
 *
 * A stream is a run of bytes without gaps: what repeats is dropped, what jumps ahead is not taken and the ack
 * says where we are. The cap of the job is kept here too, whatever the agent does. */
#include "control/noun.h"

static void hold_back(struct control *c, struct link *l, size_t bytes)
{
    usec_t wait = bucket_charge(&l->bytes, &c->conf.admission.output_bytes, control__mono(c), (double)bytes);
    if (wait)
        link__throttle(c, l, wait);
    if (store_is_behind(c->store))
        link__pause(c, l);
}

static void keep(struct control *c, struct task *t, const struct output_frame *f)
{
    uint64_t cap = t->job->spec.output_cap_bytes;
    if (f->offset >= cap)
        return;
    struct output_frame part = *f;
    part.data = str_sub(f->data, 0, (size_t)(cap - f->offset));
    store_put_output(c->store, &part);
    topics__output(c, t, &part);
    c->stats.output_bytes += part.data.len;
}

bool output__is_sound(const struct output_frame *f)
{
    return f->data.len <= LIMIT_OUTPUT_CHUNK && (f->stream == STREAM_STDOUT || f->stream == STREAM_STDERR);
}

bool output__take(struct control *c, struct task *t, const struct output_frame *f)
{
    uint64_t *taken = &t->taken[f->stream - STREAM_STDOUT];
    if (f->offset > *taken)
        return false;
    if (f->offset + f->data.len <= *taken)
        return true; /* all of it is known */
    struct output_frame fresh = *f;
    fresh.offset = *taken;
    fresh.data = str_sub(f->data, (size_t)(*taken - f->offset), f->data.len);
    keep(c, t, &fresh);
    *taken += fresh.data.len;
    task__dirty(c, t);
    return true;
}

void task_output(struct control *c, struct link_id link, const struct output_frame *f)
{
    struct link *l = link__find(c, link);
    struct task *t = l ? task__find(c, f->task_id) : NULL;
    if (!l)
        return;
    presence__seen(c, l->host);
    hold_back(c, l, f->data.len + 64);
    if (!t || t->host != l->host || t->state == TASK_DONE || task__is_fetched(t) || !output__is_sound(f))
        return;
    if (t->state != TASK_RUNNING)
        task__input(c, t, TASK_IN_STARTED, NULL);
    task__ack_due(c, t);
    (void)output__take(c, t, f);
}
