/* control/reads.c - what is not held in memory, and the two kinds that are in both places. Loop thread.
 *
 * An open job's row in the store has old counts. They are laid over from memory as they were when the read
 * was asked for: the store answers only when everything recorded until then is durable, so nothing is shown
 * that a crash could take back. */
#include "control/core.h"

struct overlay {
    uint64_t id;
    struct job_counts counts;
    enum job_state state;
    usec_t finished_at;
    bool cancel_requested;
};
struct job_read {
    store_job_fn row;
    store_done_fn done;
    void *ctx;
    size_t n;
    struct overlay v[];
};

static struct job_read *snapshot(struct control *c, uint64_t only_id, store_job_fn row, store_done_fn done,
                                 void *ctx)
{
    struct job_read *r = xcalloc(1, sizeof(*r) + (only_id ? 1 : c->jobs.n) * sizeof(r->v[0]));
    *r = (struct job_read){ .row = row, .done = done, .ctx = ctx };
    for (size_t i = 0; i < c->jobs.n; i++) {
        const struct job *j = c->jobs.v[i];
        struct job_row now;
        if (only_id && j->id != only_id)
            continue;
        job__row(j, &now);
        r->v[r->n++] =
            (struct overlay){ j->id, now.counts, now.state, now.finished_at, now.cancel_requested };
    }
    return r;
}

static int by_id(const void *key, const void *member)
{
    uint64_t id = *(const uint64_t *)key, other = ((const struct overlay *)member)->id;
    return id < other ? -1 : id > other;
}

static void on_row(void *ctx, const struct job_row *row)
{
    struct job_read *r = ctx;
    struct job_row now = *row;
    const struct overlay *o = r->n ? bsearch(&row->id, r->v, r->n, sizeof(r->v[0]), by_id) : NULL;
    if (o) {
        now.counts = o->counts;
        now.state = o->state;
        now.finished_at = o->finished_at;
        now.cancel_requested = o->cancel_requested;
    }
    r->row(r->ctx, &now);
}

static void on_done(void *ctx, int result)
{
    struct job_read *r = ctx;
    r->done(r->ctx, result);
    free(r);
}

void read_job(struct control *c, uint64_t id, store_job_fn row, store_done_fn done, void *ctx)
{
    control__flush(c);
    store_read_job(c->store, id, on_row, on_done, snapshot(c, id, row, done, ctx));
}

void read_jobs(struct control *c, uint64_t before, uint32_t limit, store_job_fn row, store_done_fn done,
               void *ctx)
{
    control__flush(c);
    store_read_jobs(c->store, before, limit, on_row, on_done, snapshot(c, 0, row, done, ctx));
}

void read_tasks(struct control *c, uint64_t job_id, uint64_t after, uint32_t limit, store_task_fn row,
                store_done_fn done, void *ctx)
{
    control__flush(c);
    store_read_tasks(c->store, job_id, after, limit, row, done, ctx);
}

void read_task(struct control *c, uint64_t task_id, store_task_fn row, store_done_fn done, void *ctx)
{
    control__flush(c);
    store_read_task(c->store, task_id, row, done, ctx);
}

void read_output(struct control *c, uint64_t task_id, enum output_stream stream, uint64_t offset,
                 uint64_t max_bytes, store_output_fn row, store_done_fn done, void *ctx)
{
    store_read_output(c->store, task_id, stream, offset, max_bytes, row, done, ctx);
}

void read_facts(struct control *c, uint64_t host_id, struct str section, store_section_fn row,
                store_done_fn done, void *ctx)
{
    store_read_facts(c->store, host_id, section, row, done, ctx);
}

void read_changes(struct control *c, uint64_t host_id, struct str section, uint64_t before, uint32_t limit,
                  store_change_fn row, store_done_fn done, void *ctx)
{
    store_read_changes(c->store, host_id, section, before, limit, row, done, ctx);
}

void read_events(struct control *c, uint64_t after_id, bool newest_first, uint32_t limit, struct str type,
                 struct str host_uuid, store_event_fn row, store_done_fn done, void *ctx)
{
    store_read_events(c->store, after_id, newest_first, limit, type, host_uuid, row, done, ctx);
}

void read_audit(struct control *c, uint64_t after_id, bool newest_first, uint32_t limit, store_audit_fn row,
                store_done_fn done, void *ctx)
{
    store_read_audit(c->store, after_id, newest_first, limit, row, done, ctx);
}

void read_backup(struct control *c, const struct principal *p, const char *path,
                 void (*progress)(void *ctx, uint64_t done, uint64_t total), store_done_fn done, void *ctx)
{
    struct details d = { 0 };
    details_str(&d, "path", str_of(path));
    audit__row(c, p->name, NULL, "backup", STR_NONE, "ok", NULL, &d);
    store_backup(c->store, path, progress, done, ctx);
}

int read_health(const struct control *c, struct err *err)
{
    return store_health(c->store, err);
}

void read_store_stats(const struct control *c, struct store_stats *ret)
{
    store_stats(c->store, ret);
}
