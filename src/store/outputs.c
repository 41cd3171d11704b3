/* store/outputs.c - what commands printed. A plain table with a key beside it: chunks are large, and rows
 * without ids of their own would drag them through the inner pages of the tree. */
#include <errno.h>

#include "store/store_priv.h"

static int put_output(struct writer *w, const void *args)
{
    const struct output_frame *f = args;

    w->now.output += (int64_t)f->data.len + ROW_OVERHEAD;
    return db_run(w->db, "INSERT INTO task_output (task_id, stream, at, data) VALUES (?, ?, ?, ?)",
                  VALS(V_INT(f->task_id), V_INT(f->stream), V_INT(f->offset), V_BLOB(f->data)));
}

void store_put_output(struct store *s, const struct output_frame *f)
{
    struct output_frame *p = OP(s, put_output, struct output_frame);

    *p = *f;
    p->data = store__keep(s, f->data);
}

/* The chunk that holds @from starts at or before it. */
static int first_at(struct db *db, struct read *rd, int64_t *ret)
{
    *ret = (int64_t)rd->args.from;
    int e = db_number(
        db,
        "SELECT at FROM task_output WHERE task_id = ? AND stream = ? AND at <= ? ORDER BY at DESC LIMIT 1",
        VALS(V_INT(rd->args.id), V_INT(rd->args.stream), V_INT(rd->args.from)), ret);
    return e < 0 ? e : 0;
}

static int run_output(struct db *db, struct read *rd)
{
    AUTO(rows_done) struct rows *r = NULL;
    uint64_t left = rd->args.max;
    int64_t start;
    int e = first_at(db, rd, &start);

    if (e == 0)
        e = db_query(
            db, "SELECT at, data FROM task_output WHERE task_id = ? AND stream = ? AND at >= ? ORDER BY at",
            VALS(V_INT(rd->args.id), V_INT(rd->args.stream), V_INT(start)), &r);
    while (e == 0 && left > 0 && (e = rows_next(r)) == 1) {
        uint64_t at = col_u64(r, 0), skip = at < rd->args.from ? rd->args.from - at : 0;
        struct str data = str_sub(col_str(r, 1), skip, left);
        e = 0;
        if (data.len == 0)
            continue;
        struct output_frame *f = read__row(rd, sizeof(*f));
        struct str kept = arena_str(rd->a, data);
        if (!f || !kept.ptr)
            return -ENOBUFS;
        *f = (struct output_frame){ rd->args.id, rd->args.stream, at + skip, kept };
        left -= data.len;
    }
    return e < 0 ? e : 0;
}

static void deliver_output(const struct read *rd, const void *row)
{
    ((store_output_fn)rd->row)(rd->ctx, row);
}

void store_read_output(struct store *s, uint64_t task_id, enum output_stream stream, uint64_t offset,
                       uint64_t max_bytes, store_output_fn row, store_done_fn done, void *ctx)
{
    struct read *rd = read_new(run_output, deliver_output, (void (*)(void))row, done, ctx);

    rd->args.id = task_id;
    rd->args.stream = stream;
    rd->args.from = offset;
    rd->args.max = max_bytes;
    store__read(s, rd);
}
