/* store/tasks.c - one host's share of a job. */
#include <errno.h>

#include "store/store_priv.h"

static int put_task(struct writer *w, const void *args)
{
    const struct task_row *t = args;

    return db_run(
        w->db,
        "INSERT INTO task (id, job_id, host_id, host_name, state, outcome, exit_code, signal, created_at, "
        "offered_at, started_at,"
        " finished_at, stdout_bytes, stderr_bytes, stdout_total, stderr_total, stdout_truncated, "
        "stderr_truncated, message)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
        " state = excluded.state, outcome = excluded.outcome, exit_code = excluded.exit_code, signal = "
        "excluded.signal,"
        " offered_at = excluded.offered_at, started_at = excluded.started_at, finished_at = "
        "excluded.finished_at,"
        " stdout_bytes = excluded.stdout_bytes, stderr_bytes = excluded.stderr_bytes, stdout_total = "
        "excluded.stdout_total,"
        " stderr_total = excluded.stderr_total, stdout_truncated = excluded.stdout_truncated,"
        " stderr_truncated = excluded.stderr_truncated, message = excluded.message",
        VALS(V_INT(t->id), V_INT(t->job_id), V_INT(t->host_id), V_TEXT(t->host_name), V_INT(t->state),
             V_INT(t->outcome), V_INT(t->exit_code), V_INT(t->signal), V_INT(t->created_at),
             V_INT(t->offered_at), V_INT(t->started_at), V_INT(t->finished_at), V_INT(t->stdout_bytes),
             V_INT(t->stderr_bytes), V_INT(t->stdout_total), V_INT(t->stderr_total),
             V_INT(t->stdout_truncated), V_INT(t->stderr_truncated), V_TEXT(t->message)));
}

void store_put_task(struct store *s, const struct task_row *t)
{
    struct task_row *p = OP(s, put_task, struct task_row);

    *p = *t;
    p->host_name = store__keep(s, t->host_name);
    p->message = store__keep(s, t->message);
}

/* -- reading */

#define TASK_COLS                                                                                            \
    "SELECT id, job_id, host_id, host_name, state, outcome, exit_code, signal, created_at, offered_at, "     \
    "started_at,"                                                                                            \
    " finished_at, stdout_bytes, stderr_bytes, stdout_total, stderr_total, stdout_truncated, "               \
    "stderr_truncated, message"                                                                              \
    " FROM task "

/* Strings are the row's. */
static void task_from_row(struct rows *r, struct task_row *t)
{
    *t = (struct task_row){
        .id = col_u64(r, 0),
        .job_id = col_u64(r, 1),
        .host_id = col_u64(r, 2),
        .host_name = col_str(r, 3),
        .state = (enum task_state)col_u32(r, 4),
        .outcome = (enum task_outcome)col_u32(r, 5),
        .exit_code = (int32_t)col_i64(r, 6),
        .signal = (int32_t)col_i64(r, 7),
        .created_at = col_u64(r, 8),
        .offered_at = col_u64(r, 9),
        .started_at = col_u64(r, 10),
        .finished_at = col_u64(r, 11),
        .stdout_bytes = col_u64(r, 12),
        .stderr_bytes = col_u64(r, 13),
        .stdout_total = col_u64(r, 14),
        .stderr_total = col_u64(r, 15),
        .stdout_truncated = col_u32(r, 16),
        .stderr_truncated = col_u32(r, 17),
        .message = col_str(r, 18),
    };
}

int store_load_open_jobs(struct store *s, void (*job)(void *ctx, const struct job_row *j),
                         void (*task)(void *ctx, const struct task_row *t), void *ctx, struct err *err)
{
    struct db *db = store__load_db(s);
    AUTO(rows_done) struct rows *r = NULL;
    int e = jobs__load_open(s, job, ctx);

    if (e == 0)
        e = db_query(
            db, TASK_COLS "WHERE job_id IN (SELECT id FROM job WHERE finished_at = 0) ORDER BY job_id, id",
            NULL, 0, &r);
    while (e == 0 && (e = rows_next(r)) == 1) {
        struct task_row t;
        task_from_row(r, &t);
        task(ctx, &t);
        e = 0;
    }
    return e < 0 ? store__err(err, e, "read the open jobs in", s->path, db) : 0;
}

static int take_tasks(struct read *rd, struct rows *r)
{
    int e;

    while ((e = rows_next(r)) == 1) {
        struct task_row *t = read__row(rd, sizeof(*t));
        if (!t)
            return -ENOBUFS;
        task_from_row(r, t);
        t->host_name = col_keep(r, 3, rd->a);
        t->message = col_keep(r, 18, rd->a);
    }
    return e;
}

static int run_tasks(struct db *db, struct read *rd)
{
    AUTO(rows_done) struct rows *r = NULL;
    int e = db_query(db, TASK_COLS "WHERE job_id = ? AND id > ? ORDER BY id LIMIT ?",
                     VALS(V_INT(rd->args.id), V_INT(rd->args.from), V_INT(rd->args.limit)), &r);
    return e < 0 ? e : take_tasks(rd, r);
}

static int run_task(struct db *db, struct read *rd)
{
    AUTO(rows_done) struct rows *r = NULL;
    int e = db_query(db, TASK_COLS "WHERE id = ?", VALS(V_INT(rd->args.id)), &r);
    return e < 0 ? e : take_tasks(rd, r);
}

static void deliver_task(const struct read *rd, const void *row)
{
    ((store_task_fn)rd->row)(rd->ctx, row);
}

void store_read_tasks(struct store *s, uint64_t job_id, uint64_t after, uint32_t limit, store_task_fn row,
                      store_done_fn done, void *ctx)
{
    struct read *rd = read_new(run_tasks, deliver_task, (void (*)(void))row, done, ctx);

    rd->args.id = job_id;
    rd->args.from = after;
    rd->args.limit = limit;
    store__read(s, rd);
}

void store_read_task(struct store *s, uint64_t task_id, store_task_fn row, store_done_fn done, void *ctx)
{
    struct read *rd = read_new(run_task, deliver_task, (void (*)(void))row, done, ctx);

    rd->args.id = task_id;
    store__read(s, rd);
}
