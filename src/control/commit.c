/* control/commit.c - what must wait for the disk waits here, in order. Loop thread.
 *
 * parked:  [done .. | ticketed ......... | young .....]
 *                    ^ parked_head         ^ parked_ticketed
 *
 * Young ones get their ticket when the turn's rows have been put (control__flush()): the newest ticket then
 * covers whatever they promise. That happens in commit_release(), after the turn's reads and before the unit
 * is sealed. */
#include "control/core.h"

/* Everything young waits for what is open now. */
static void give_tickets(struct control *c)
{
    control__flush(c);
    uint64_t newest = store_newest(c->store);
    for (; c->parked_ticketed < c->parked.n; c->parked_ticketed++)
        c->parked.v[c->parked_ticketed].ticket = newest;
}

static bool nothing_outstanding(const struct control *c)
{
    return c->parked_head == c->parked.n && c->dirty_tasks.n == 0 && c->dirty_hosts.n == 0 &&
           !c->is_flushing && store_newest(c->store) == store_committed(c->store);
}

void commit_after(struct control *c, commit_fn fn, void *arg)
{
    assert(fn);
    if (c->is_dead) {
        fn(NULL, arg);
        return;
    }
    if (nothing_outstanding(c)) {
        fn(c, arg);
        return;
    }
    *vec_add(&c->parked) = (struct parked){ .since = control__mono(c), .fn = fn, .arg = arg };
}

static bool run_committed(struct control *c)
{
    bool any = false;
    uint64_t committed = store_committed(c->store);
    while (c->parked_head < c->parked_ticketed && c->parked.v[c->parked_head].ticket <= committed) {
        struct parked p = c->parked.v[c->parked_head++];
        p.fn(c, p.arg); /* may park more: the array may move */
        any = true;
    }
    return any;
}

static void compact(struct control *c)
{
    if (c->parked_head == c->parked.n) {
        if (c->parked.cap > 65536)
            vec_done(&c->parked);
        c->parked.n = c->parked_head = c->parked_ticketed = 0;
    } else if (c->parked_head > 4096 && c->parked_head > c->parked.n / 2) {
        memmove(c->parked.v, c->parked.v + c->parked_head,
                (c->parked.n - c->parked_head) * sizeof(*c->parked.v));
        c->parked.n -= c->parked_head;
        c->parked_ticketed -= c->parked_head;
        c->parked_head = 0;
    }
}

void commit_release(struct control *c)
{
    if (c->is_releasing) /* a callback that drives the turn: the outer call goes on */
        return;
    c->is_releasing = true;
    do
        give_tickets(c);
    while (run_committed(c));
    compact(c);
    c->is_releasing = false;
    if (c->n_paused && !store_is_behind(c->store))
        link__resume_all(c);
}

unsigned long commit_parked(const struct control *c)
{
    return c->parked.n - c->parked_head;
}

void control__parked_drop(struct control *c)
{
    while (c->parked_head < c->parked.n) {
        struct parked p = c->parked.v[c->parked_head++];
        p.fn(NULL, p.arg);
    }
    vec_done(&c->parked);
    c->parked_head = c->parked_ticketed = 0;
}

/* -- what is written once a turn. An ack carries what it acknowledges: by the time it leaves, more may have
 * been taken that is not durable yet. */
struct seq_ack {
    uint64_t link_id, seq;
};

static void send_seq_ack(struct control *c, void *arg)
{
    struct seq_ack *a = arg;
    if (c)
        c->links->ack(c->links->ctx, (struct link_id){ a->link_id }, a->seq);
    free(a);
}

static void flush_host(struct control *c, struct host *h)
{
    h->is_seen_dirty = false;
    h->saved_mono = control__mono(c);
    const struct seen_row row = {
        .host_id = h->id, .spool_epoch = h->spool_epoch, .acked_seq = h->acked_seq, .last_seen = h->last_seen
    };
    store_put_seen(c->store, &row);
    host__save_peer(c, h);
    if (h->link && h->link->is_acking) {
        h->link->is_acking = false;
        struct seq_ack *a = xnew0(struct seq_ack);
        *a = (struct seq_ack){ h->link->id, h->acked_seq };
        commit_after(c, send_seq_ack, a);
    }
}

struct output_ack {
    uint64_t task_id, host_id, taken[2];
};

static void send_output_ack(struct control *c, void *arg)
{
    struct output_ack *a = arg;
    struct host *h = c ? host__by_id(c, a->host_id) : NULL;
    if (h && h->link)
        c->links->task_ack(c->links->ctx, link__id(h->link), a->task_id, a->taken[0], a->taken[1], false);
    free(a);
}

static void flush_task(struct control *c, struct task *t)
{
    uint8_t flags = t->flags;
    t->flags &= (uint8_t) ~(TASK_F_LISTED | TASK_F_DIRTY | TASK_F_ACK | TASK_F_NEWS);
    /* A command that started and ended in one turn is told once, as finished. */
    if ((flags & TASK_F_NEWS) && t->state == TASK_RUNNING) {
        struct details d = { 0 };
        event__host(c, "task.started", t->host,
                    details_u64(details_u64(&d, "task_id", t->id), "job_id", t->job->id));
    }
    if (flags & TASK_F_DIRTY) {
        struct task_row row;
        task__row(t, &row);
        store_put_task(c->store, &row);
        topics__task(c, t->job, &row);
    }
    if ((flags & TASK_F_ACK) && t->host && t->host->link) {
        struct output_ack *a = xnew0(struct output_ack);
        *a = (struct output_ack){ t->id, t->host->id, { t->taken[0], t->taken[1] } };
        commit_after(c, send_output_ack, a);
    }
}

void control__flush(struct control *c)
{
    if (c->is_flushing)
        return;
    c->is_flushing = true;
    for (size_t i = 0; i < c->dirty_tasks.n; i++)
        flush_task(c, c->dirty_tasks.v[i]);
    c->dirty_tasks.n = 0;
    for (size_t i = 0; i < c->dirty_hosts.n; i++)
        flush_host(c, c->dirty_hosts.v[i]);
    c->dirty_hosts.n = 0;
    c->is_flushing = false;
}

static void list_task(struct control *c, struct task *t, uint8_t flag)
{
    t->flags |= flag;
    if (!(t->flags & TASK_F_LISTED)) {
        t->flags |= TASK_F_LISTED;
        *vec_add(&c->dirty_tasks) = t;
    }
}

void task__dirty(struct control *c, struct task *t)
{
    list_task(c, t, TASK_F_DIRTY);
}

void task__ack_due(struct control *c, struct task *t)
{
    list_task(c, t, TASK_F_ACK);
}

void host__seen_dirty(struct control *c, struct host *h)
{
    if (!h->is_seen_dirty) {
        h->is_seen_dirty = true;
        *vec_add(&c->dirty_hosts) = h;
    }
}
