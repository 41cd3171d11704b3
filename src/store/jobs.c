/* store/jobs.c - jobs: one wish over many hosts. */
#include <errno.h>

#include "base/limits.h"
#include "store/store_priv.h"

/* -- writer */

struct put_job {
    struct job_row j;
    struct str spec_json;
};

static int put_input(struct writer *w, const struct job_row *j)
{
    if (j->finished_at)
        return db_run(w->db, "DELETE FROM job_input WHERE job_id = ?", VALS(V_INT(j->id)));
    if (j->stdin_data.len == 0)
        return 0;
    return db_run(w->db, "INSERT INTO job_input (job_id, data) VALUES (?, ?) ON CONFLICT (job_id) DO NOTHING",
                  VALS(V_INT(j->id), V_BLOB(j->stdin_data)));
}

static int put_job(struct writer *w, const void *args)
{
    const struct put_job *p = args;
    const struct job_row *j = &p->j;
    const struct job_counts *c = &j->counts;
    int e = db_run(
        w->db,
        "INSERT INTO job (id, principal, created_at, deadline, finished_at, spec_json, idem_key, idem_hash, "
        "cancel_requested,"
        " state, n_total, n_queued, n_offered, n_accepted, n_running, n_succeeded, n_failed, n_cancelled, "
        "n_expired, n_lost,"
        " has_output) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT "
        "(id) DO UPDATE SET"
        " principal = excluded.principal, created_at = excluded.created_at, deadline = excluded.deadline,"
        " finished_at = excluded.finished_at, spec_json = excluded.spec_json, idem_key = excluded.idem_key,"
        " idem_hash = excluded.idem_hash, cancel_requested = excluded.cancel_requested, state = "
        "excluded.state,"
        " n_total = excluded.n_total, n_queued = excluded.n_queued, n_offered = excluded.n_offered,"
        " n_accepted = excluded.n_accepted, n_running = excluded.n_running, n_succeeded = "
        "excluded.n_succeeded,"
        " n_failed = excluded.n_failed, n_cancelled = excluded.n_cancelled, n_expired = excluded.n_expired,"
        " n_lost = excluded.n_lost",
        VALS(V_INT(j->id), V_TEXT(j->principal), V_INT(j->created_at), V_INT(j->deadline),
             V_INT(j->finished_at), V_TEXT(p->spec_json), V_TEXT(j->idem_key),
             V_BLOB(str_bytes(j->idem_hash, SHA256_LEN)), V_INT(j->cancel_requested), V_INT(j->state),
             V_INT(c->total), V_INT(c->queued), V_INT(c->offered), V_INT(c->accepted), V_INT(c->running),
             V_INT(c->succeeded), V_INT(c->failed), V_INT(c->cancelled), V_INT(c->expired), V_INT(c->lost)));

    return e < 0 ? e : put_input(w, j);
}

static int put_progress(struct writer *w, const void *args)
{
    const struct job_row *j = args;
    const struct job_counts *c = &j->counts;
    int e = db_run(w->db,
                   "UPDATE job SET finished_at = ?, cancel_requested = ?, state = ?, n_total = ?, n_queued = "
                   "?, n_offered = ?,"
                   " n_accepted = ?, n_running = ?, n_succeeded = ?, n_failed = ?, n_cancelled = ?, "
                   "n_expired = ?, n_lost = ?"
                   " WHERE id = ?",
                   VALS(V_INT(j->finished_at), V_INT(j->cancel_requested), V_INT(j->state), V_INT(c->total),
                        V_INT(c->queued), V_INT(c->offered), V_INT(c->accepted), V_INT(c->running),
                        V_INT(c->succeeded), V_INT(c->failed), V_INT(c->cancelled), V_INT(c->expired),
                        V_INT(c->lost), V_INT(j->id)));

    return e < 0 || !j->finished_at ? e : put_input(w, j);
}

/* -- loop */

void store_put_job(struct store *s, const struct job_row *j)
{
    struct put_job *p = OP(s, put_job, struct put_job);

    p->j = *j;
    p->spec_json = store__keep_record(s, &job_spec_record, &j->spec);
    p->j.spec = (struct job_spec){ 0 };
    p->j.principal = store__keep(s, j->principal);
    p->j.stdin_data = store__keep(s, j->stdin_data);
    p->j.idem_key = store__keep(s, j->idem_key);
}

void store_put_job_progress(struct store *s, const struct job_row *j)
{
    *OP(s, put_progress, struct job_row) = (struct job_row){
        .id = j->id,
        .finished_at = j->finished_at,
        .cancel_requested = j->cancel_requested,
        .state = j->state,
        .counts = j->counts,
    };
}

/* -- reading */

#define JOB_COLS                                                                                             \
    "SELECT id, principal, created_at, deadline, finished_at, spec_json, idem_key, idem_hash, "              \
    "cancel_requested, state,"                                                                               \
    " n_total, n_queued, n_offered, n_accepted, n_running, n_succeeded, n_failed, n_cancelled, n_expired, "  \
    "n_lost,"                                                                                                \
    " COALESCE((SELECT data FROM job_input WHERE job_id = id), '') FROM job "

static void job_from_row(struct rows *r, struct arena *a, struct job_row *j)
{
    *j = (struct job_row){
        .id = col_u64(r, 0),
        .principal = col_keep(r, 1, a),
        .created_at = col_u64(r, 2),
        .deadline = col_u64(r, 3),
        .finished_at = col_u64(r, 4),
        .idem_key = col_keep(r, 6, a),
        .cancel_requested = col_u32(r, 8),
        .state = (enum job_state)col_u32(r, 9),
        .counts = { col_u32(r, 10), col_u32(r, 11), col_u32(r, 12), col_u32(r, 13), col_u32(r, 14),
                    col_u32(r, 15), col_u32(r, 16), col_u32(r, 17), col_u32(r, 18), col_u32(r, 19) },
        .stdin_data = col_keep(r, 20, a),
    };
    col_record(r, 5, a, &job_spec_record, &j->spec);
    col_copy(r, 7, j->idem_hash, SHA256_LEN);
}

int jobs__load_open(struct store *s, void (*fn)(void *ctx, const struct job_row *j), void *ctx)
{
    AUTO(arena_free) struct arena *a = arena_new(16 << 20);
    AUTO(rows_done) struct rows *r = NULL;
    int e = db_query(store__load_db(s), JOB_COLS "WHERE finished_at = 0 ORDER BY id", NULL, 0, &r);

    while (e == 0 && (e = rows_next(r)) == 1) {
        struct job_row j;
        job_from_row(r, a, &j);
        fn(ctx, &j);
        arena_reset(a);
        e = 0;
    }
    return e;
}

static int take_jobs(struct read *rd, struct rows *r)
{
    int e;

    while ((e = rows_next(r)) == 1) {
        struct job_row *j = read__row(rd, sizeof(*j));
        if (!j)
            return -ENOBUFS;
        job_from_row(r, rd->a, j);
    }
    return e;
}

static int run_job(struct db *db, struct read *rd)
{
    AUTO(rows_done) struct rows *r = NULL;
    int e = db_query(db, JOB_COLS "WHERE id = ?", VALS(V_INT(rd->args.id)), &r);
    return e < 0 ? e : take_jobs(rd, r);
}

static int run_jobs(struct db *db, struct read *rd)
{
    AUTO(rows_done) struct rows *r = NULL;
    int e =
        db_query(db, JOB_COLS "WHERE id < ? ORDER BY id DESC LIMIT ?",
                 VALS(V_INT(rd->args.from ? (int64_t)rd->args.from : INT64_MAX), V_INT(rd->args.limit)), &r);
    return e < 0 ? e : take_jobs(rd, r);
}

static int run_job_by_key(struct db *db, struct read *rd)
{
    AUTO(rows_done) struct rows *r = NULL;
    int e = db_query(db, JOB_COLS "WHERE principal = ? AND idem_key = ? AND idem_key <> ''",
                     VALS(V_TEXT(rd->args.s1), V_TEXT(rd->args.s2)), &r);
    return e < 0 ? e : take_jobs(rd, r);
}

static void deliver_job(const struct read *rd, const void *row)
{
    ((store_job_fn)rd->row)(rd->ctx, row);
}

void store_read_job(struct store *s, uint64_t id, store_job_fn row, store_done_fn done, void *ctx)
{
    struct read *rd = read_new(run_job, deliver_job, (void (*)(void))row, done, ctx);

    rd->args.id = id;
    store__read(s, rd);
}

void store_read_jobs(struct store *s, uint64_t before, uint32_t limit, store_job_fn row, store_done_fn done,
                     void *ctx)
{
    struct read *rd = read_new(run_jobs, deliver_job, (void (*)(void))row, done, ctx);

    rd->args.from = before;
    rd->args.limit = limit;
    store__read(s, rd);
}

void store_read_job_by_key(struct store *s, struct str principal, struct str key, store_job_fn row,
                           store_done_fn done, void *ctx)
{
    struct read *rd = read_new(run_job_by_key, deliver_job, (void (*)(void))row, done, ctx);

    rd->args.s1 = arena_str(rd->a, principal);
    rd->args.s2 = arena_str(rd->a, key);
    store__read(s, rd);
}
