/* store/retain.c - what is old or too much goes, a few hundred rows at a time, on the writer thread. */
#include <errno.h>

#include "store/store_priv.h"

enum { STEP_ROWS = 400 };

/* Deletes a chunk of output rows of @sql's choosing (columns id, bytes): how many, or -errno. */
static int drop_output(struct writer *w, uint64_t job_id)
{
    int64_t ids[STEP_ROWS], bytes = 0;
    int n = 0, e;
    struct rows *r;

    e = db_query(
        w->db,
        "SELECT task_output.id, LENGTH(data) FROM task JOIN task_output ON task_output.task_id = task.id"
        " WHERE job_id = ? LIMIT ?",
        VALS(V_INT(job_id), V_INT(STEP_ROWS)), &r);
    if (e < 0)
        return e;
    while ((e = rows_next(r)) == 1 && n < STEP_ROWS) {
        ids[n++] = col_i64(r, 0);
        bytes += col_i64(r, 1) + ROW_OVERHEAD;
    }
    rows_done(r);
    for (int i = 0; i < n && e >= 0; i++)
        e = db_run(w->db, "DELETE FROM task_output WHERE id = ?", VALS(V_INT(ids[i])));
    w->now.output -= bytes;
    return e < 0 ? e : n;
}

static int drop_tasks(struct writer *w, uint64_t job_id)
{
    int64_t last = 0, n = 0;
    int e = db_number(
        w->db, "SELECT COALESCE(MAX(id), 0) FROM (SELECT id FROM task WHERE job_id = ? ORDER BY id LIMIT ?)",
        VALS(V_INT(job_id), V_INT(STEP_ROWS)), &last);

    if (e >= 0 && last)
        e = db_number(w->db, "SELECT COUNT(*) FROM task WHERE job_id = ? AND id <= ?",
                      VALS(V_INT(job_id), V_INT(last)), &n);
    if (e >= 0 && last)
        e = high__raise(w, "task", (uint64_t)last);
    if (e >= 0 && last)
        e = db_run(w->db, "DELETE FROM task WHERE job_id = ? AND id <= ?", VALS(V_INT(job_id), V_INT(last)));
    return e < 0 ? e : (int)n;
}

/* A finished job that is too old, with all that is its own, a few hundred rows at a time; those are counted in @spent. 1: something went,
 * 0: nothing (left), -errno. */
static int old_job(struct writer *w, int64_t before, int *spent)
{
    int64_t id;
    int e =
        db_number(w->db, "SELECT id FROM job WHERE finished_at > 0 AND finished_at < ? ORDER BY finished_at LIMIT 1",
                  VALS(V_INT(before)), &id);

    if (e != 1)
        return e;
    if ((e = drop_output(w, (uint64_t)id)) != 0 || (e = drop_tasks(w, (uint64_t)id)) != 0) {
        *spent += e > 0 ? e : 0;
        return e < 0 ? e : 1;
    }
    ++*spent;
    e = high__raise(w, "job", (uint64_t)id);
    if (e == 0)
        e = db_run(w->db, "DELETE FROM job_input WHERE job_id = ?", VALS(V_INT(id)));
    if (e == 0)
        e = db_run(w->db, "DELETE FROM job WHERE id = ?", VALS(V_INT(id)));
    return e < 0 ? e : 1;
}

/* As old_job(): as many as a step has rows for. */
static int old_jobs(struct writer *w, int64_t before)
{
    int spent = 0, e;

    while ((e = old_job(w, before, &spent)) == 1 && spent < STEP_ROWS)
        ;
    return e;
}

/* The oldest events, at most a step, those before @before. As old_jobs. */
static int old_events(struct writer *w, int64_t before)
{
    struct rows *r;
    int64_t last = 0, bytes = 0;
    int n = 0, e;

    e = db_query(w->db,
                 "SELECT id, at, type, host_uuid, host_name, details_json FROM event ORDER BY id LIMIT ?",
                 VALS(V_INT(STEP_ROWS)), &r);
    if (e < 0)
        return e;
    while ((e = rows_next(r)) == 1 && col_i64(r, 1) < before) {
        last = col_i64(r, 0);
        for (int col = 2; col <= 5; col++)
            bytes += (int64_t)col_str(r, col).len;
        n++;
    }
    rows_done(r);
    if (e < 0 || n == 0)
        return e < 0 ? e : 0;
    w->now.events -= bytes + n * (int64_t)ROW_OVERHEAD;
    e = high__raise(w, "event", (uint64_t)last);
    if (e == 0)
        e = db_run(w->db, "DELETE FROM event WHERE id <= ?", VALS(V_INT(last)));
    return e < 0 ? e : n == STEP_ROWS;
}

/* Trails of all kinds, by their time. */
static int old_trails(struct writer *w, int64_t before)
{
    int64_t ids[STEP_ROWS], last = 0, bytes = 0;
    struct rows *r;
    int n = 0, e;

    e = db_query(w->db, "SELECT id, key, LENGTH(body) FROM trail WHERE at < ? ORDER BY at, id LIMIT ?",
                 VALS(V_INT(before), V_INT(STEP_ROWS)), &r);
    if (e < 0)
        return e;
    while ((e = rows_next(r)) == 1 && n < STEP_ROWS) {
        ids[n] = col_i64(r, 0);
        last = ids[n] > last ? ids[n] : last;
        bytes += (int64_t)col_str(r, 1).len + col_i64(r, 2) + ROW_OVERHEAD;
        n++;
    }
    rows_done(r);
    if (e < 0 || n == 0)
        return e < 0 ? e : 0;
    w->now.trails -= bytes;
    e = high__raise(w, "trail", (uint64_t)last);
    for (int i = 0; i < n && e == 0; i++)
        e = db_run(w->db, "DELETE FROM trail WHERE id = ?", VALS(V_INT(ids[i])));
    return e < 0 ? e : n == STEP_ROWS;
}

struct old_delta {
    int64_t id, bytes;
    uint64_t host_id;
    char section[64];
    bool is_open;
};

/* The oldest deltas. One that is not folded yet is part of what is current: fold it first. */
static int old_history(struct writer *w, int64_t before)
{
    VEC(struct old_delta) old = { 0 };
    struct rows *r;
    int e, n;

    e = db_query(
        w->db,
        "SELECT d.id, d.at, LENGTH(d.delta), d.host_id, d.section, COALESCE(b.folded_id, 0) FROM fact_delta d"
        " LEFT JOIN fact_body b ON b.host_id = d.host_id AND b.section = d.section ORDER BY d.id LIMIT ?",
        VALS(V_INT(STEP_ROWS)), &r);
    if (e < 0)
        return e;
    while ((e = rows_next(r)) == 1 && col_i64(r, 1) < before) {
        struct old_delta *d = vec_add(&old);
        *d = (struct old_delta){ col_i64(r, 0), col_i64(r, 2), col_u64(r, 3),
                                 .is_open = col_i64(r, 5) < col_i64(r, 0) };
        (void)str_copy(col_str(r, 4), d->section, sizeof(d->section));
    }
    rows_done(r);
    for (size_t i = 0; i < old.n && e >= 0; i++)
        if (old.v[i].is_open) /* the second of one section finds nothing left to fold */
            e = facts__fold(w, old.v[i].host_id, str_of(old.v[i].section));
    for (size_t i = 0; i < old.n && e >= 0; i++) {
        e = db_run(w->db, "DELETE FROM fact_delta WHERE id = ?", VALS(V_INT(old.v[i].id)));
        w->now.history -= old.v[i].bytes + ROW_OVERHEAD;
    }
    n = (int)old.n;
    vec_done(&old);
    return e < 0 ? e : n == STEP_ROWS;
}

/* The newest row always stays: the chain goes on from it. */
static int old_audit(struct writer *w, int64_t before)
{
    int64_t last = 0, n = 0;
    int e =
        db_number(w->db,
                  "SELECT COALESCE(MAX(id), 0) FROM (SELECT id, at FROM audit ORDER BY id LIMIT ?) AS oldest"
                  " WHERE at < ? AND id < (SELECT MAX(id) FROM audit)",
                  VALS(V_INT(STEP_ROWS), V_INT(before)), &last);

    if (e < 0 || last == 0)
        return e < 0 ? e : 0;
    e = db_number(w->db, "SELECT COUNT(*) FROM audit WHERE id <= ?", VALS(V_INT(last)), &n);
    if (e >= 0)
        e = db_run(w->db, "DELETE FROM audit WHERE id <= ?", VALS(V_INT(last)));
    return e < 0 ? e : n == STEP_ROWS;
}

/* Output of the oldest finished job that has some; the job itself stays. As old_job(). */
static int drop_oldest_output(struct writer *w, int *spent)
{
    int64_t id;
    int e =
        db_number(w->db, "SELECT id FROM job WHERE finished_at > 0 AND has_output = 1 ORDER BY id LIMIT 1",
                  NULL, 0, &id);

    if (e != 1)
        return e;
    if ((e = drop_output(w, (uint64_t)id)) != 0) {
        *spent += e > 0 ? e : 0;
        return e < 0 ? e : 1;
    }
    ++*spent;
    e = db_run(w->db, "UPDATE job SET has_output = 0 WHERE id = ?", VALS(V_INT(id)));
    return e < 0 ? e : 1;
}

static bool is_over(const struct tally *t, uint64_t quota)
{
    return t->output + t->events + t->history + t->trails > (int64_t)quota;
}

static int over_quota_output(struct writer *w, uint64_t quota)
{
    int spent = 0, e;

    while ((e = drop_oldest_output(w, &spent)) == 1 && spent < STEP_ROWS && is_over(&w->now, quota))
        ;
    return e;
}

static int over_quota(struct writer *w, uint64_t quota)
{
    const struct tally *t = &w->now;
    int e;

    if (!is_over(t, quota))
        return 0;
    if ((e = over_quota_output(w, quota)) != 0)
        return e;
    /* A tenth is for the logs: output of running jobs alone may be more than the quota, and taking all else away would not mend that. */
    if ((uint64_t)(t->events + t->history + t->trails) <= quota / 10)
        return 0;
    if (t->events >= t->history && t->events >= t->trails)
        e = old_events(w, INT64_MAX);
    else if (t->history >= t->trails)
        e = old_history(w, INT64_MAX);
    else
        e = old_trails(w, INT64_MAX);
    return e < 0 ? e : is_over(t, quota);
}

static int64_t age_limit(usec_t keep, usec_t now)
{
    return keep && keep < now ? (int64_t)(now - keep) : 0;
}

int retain__step(struct writer *w, const struct retention *r, usec_t now)
{
    int64_t before = age_limit(r->keep, now), audit_before = age_limit(r->keep_audit, now);
    int more = 0, e = 0;

    if (before) {
        more |= (e = old_jobs(w, before)) > 0;
        if (e >= 0)
            more |= (e = old_events(w, before)) > 0;
        if (e >= 0)
            more |= (e = old_history(w, before)) > 0;
        if (e >= 0)
            more |= (e = old_trails(w, before)) > 0;
    }
    if (e >= 0 && audit_before)
        more |= (e = old_audit(w, audit_before)) > 0;
    if (e >= 0 && r->quota_bytes)
        more |= (e = over_quota(w, r->quota_bytes)) > 0;
    return e < 0 ? e : more;
}

void store_retain(struct store *s, const struct retention *r, usec_t now, store_done_fn done, void *ctx)
{
    struct retain_msg *m = xnew0(struct retain_msg);

    m->m.kind = MSG_RETAIN;
    m->r = *r;
    m->now = now;
    m->done = done;
    m->ctx = ctx;
    queue_push(s->to_writer, &m->m.q);
}
