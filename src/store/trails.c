/* store/trails.c - what happened, appended and read in pages by what it belongs to. */
#define LOG_TARGET "store"
#include <assert.h>
#include <errno.h>

#include "base/limits.h"
#include "base/log.h"
#include "codec/record.h"
#include "store/store_priv.h"

struct put_trail {
    struct trail_row t;
    struct str body;
};

/* -- writer */

static int put_trail(struct writer *w, const void *args)
{
    const struct put_trail *p = args;
    const struct trail_row *t = &p->t;
    int64_t id;

    if (t->key.len) {
        /* "key <> ''" lets the planner take the index of rows that have one. */
        int e = db_number(w->db, "SELECT id FROM trail WHERE kind = ? AND key = ? AND key <> ''",
                          VALS(V_INT(t->kind), V_TEXT(t->key)), &id);
        if (e != 0)
            return e < 0 ? e : 0;
    }
    w->now.trails += (int64_t)(t->key.len + p->body.len) + ROW_OVERHEAD;
    return db_run(w->db, "INSERT INTO trail (id, kind, parent, at, key, body) VALUES (?, ?, ?, ?, ?, ?)",
                  VALS(V_INT(t->id), V_INT(t->kind), V_INT(t->parent), V_INT(t->at), V_TEXT(t->key),
                       V_BLOB(p->body)));
}

static int del_trail(struct writer *w, const void *args)
{
    const struct trail_row *t = args;
    AUTO(rows_done) struct rows *r = NULL;
    int64_t last = 0, bytes = 0;
    int e = db_query(w->db,
                     "SELECT id, key, LENGTH(body) FROM trail WHERE kind = ? AND parent = ? ORDER BY id",
                     VALS(V_INT(t->kind), V_INT(t->parent)), &r);

    while (e == 0 && (e = rows_next(r)) == 1) {
        last = col_i64(r, 0);
        bytes += (int64_t)col_str(r, 1).len + col_i64(r, 2) + ROW_OVERHEAD;
        e = 0;
    }
    if (e < 0 || !last)
        return e;
    w->now.trails -= bytes;
    e = high__raise(w, "trail", (uint64_t)last);
    return e < 0 ? e
                 : db_run(w->db, "DELETE FROM trail WHERE kind = ? AND parent = ?",
                          VALS(V_INT(t->kind), V_INT(t->parent)));
}

/* -- loop */

void store_put_trail(struct store *s, const struct trail_row *t, const struct record *rec, const void *obj)
{
    assert(t->kind > 0 && t->kind < TRAIL_KINDS && t->id);

    struct put_trail *p = OP(s, put_trail, struct put_trail);

    p->t = *t;
    p->t.key = store__keep(s, t->key);
    p->body = store__keep_document(s, rec, obj);
}

void store_del_trail(struct store *s, enum trail_kind kind, uint64_t parent)
{
    struct trail_row *t = OP(s, del_trail, struct trail_row);

    t->kind = kind;
    t->parent = parent;
}

/* -- reading */

struct found {
    struct trail_row t;
    void *obj;
};

/* 0; -ENOBUFS: the whole read is too large. A row that cannot be read is left out. */
static int add_found(struct read *rd, struct rows *r)
{
    const struct record *rec = rd->args.rec;
    struct record_errors errs;
    struct err why = { 0 };
    void *obj = arena_alloc(rd->a, rec->size);
    int e = obj ? record_decode_json(rec, rd->a, col_str(r, 5), LIMIT_OBJECT_BYTES, obj, &errs, &why)
                : -ENOBUFS;

    if (e == -ENOBUFS || (e == -EINVAL && errs.n && strcmp(errs.v[0].slug, "field.too_large") == 0))
        return -ENOBUFS;
    if (e < 0) {
        log_error("store.bad_document", "a trail's row cannot be read", LOG_CSTR("record", rec->name),
                  LOG_U64("id", col_u64(r, 0)), LOG_ERR(&why));
        return 0;
    }
    struct found *f = read__row(rd, sizeof(*f));
    if (!f)
        return -ENOBUFS;
    f->t = (struct trail_row){ .id = col_u64(r, 0),
                               .kind = (enum trail_kind)col_u32(r, 1),
                               .parent = col_u64(r, 2),
                               .at = col_u64(r, 3),
                               .key = col_keep(r, 4, rd->a) };
    f->obj = obj;
    return f->t.key.ptr ? 0 : -ENOBUFS;
}

static int add_all(struct read *rd, struct rows *r)
{
    int e = 0;

    while (e == 0 && (e = rows_next(r)) == 1)
        e = add_found(rd, r);
    return e;
}

#define TRAIL_COLS "SELECT id, kind, parent, at, key, body FROM trail "

static int run_trail(struct db *db, struct read *rd)
{
    const struct read_args *a = &rd->args;
    AUTO(rows_done) struct rows *r = NULL;
    int e = a->from ? db_query(db,
                               TRAIL_COLS "WHERE kind = ? AND parent = ? AND id > ? ORDER BY id LIMIT ?",
                               VALS(V_INT(a->kind), V_INT(a->id), V_INT(a->from), V_INT(a->limit)), &r)
                    : db_query(db,
                               TRAIL_COLS "WHERE kind = ? AND parent = ? ORDER BY id DESC LIMIT ? OFFSET ?",
                               VALS(V_INT(a->kind), V_INT(a->id), V_INT(a->limit), V_INT(a->max)), &r);

    return e < 0 ? e : add_all(rd, r);
}

static int run_by_key(struct db *db, struct read *rd)
{
    AUTO(rows_done) struct rows *r = NULL;
    int e = db_query(db, TRAIL_COLS "WHERE kind = ? AND key = ? AND key <> ''",
                     VALS(V_INT(rd->args.kind), V_TEXT(rd->args.s1)), &r);

    return e < 0 ? e : add_all(rd, r);
}

static void deliver_found(const struct read *rd, const void *row)
{
    const struct found *f = row;

    ((store_trail_fn)rd->row)(rd->ctx, &f->t, f->obj);
}

void store_read_trail(struct store *s, enum trail_kind kind, uint64_t parent, uint64_t after, uint32_t skip,
                      uint32_t limit, const struct record *rec, store_trail_fn row, store_done_fn done,
                      void *ctx)
{
    struct read *rd = read_new(run_trail, deliver_found, (void (*)(void))row, done, ctx);

    rd->args.kind = kind;
    rd->args.id = parent;
    rd->args.from = after;
    rd->args.max = skip;
    rd->args.limit = limit;
    rd->args.rec = rec;
    store__read(s, rd);
}

void store_read_trail_by_key(struct store *s, enum trail_kind kind, struct str key, const struct record *rec,
                             store_trail_fn row, store_done_fn done, void *ctx)
{
    struct read *rd = read_new(run_by_key, deliver_found, (void (*)(void))row, done, ctx);

    rd->args.kind = kind;
    rd->args.s1 = arena_str(rd->a, key);
    rd->args.rec = rec;
    store__read(s, rd);
}

/* -- counting */

static int run_count(struct db *db, struct read *rd)
{
    uint64_t *n = read__row(rd, sizeof(*n));
    int64_t found = 0;
    int e = db_number(db, "SELECT COUNT(*) FROM trail WHERE kind = ? AND parent = ?",
                      VALS(V_INT(rd->args.kind), V_INT(rd->args.id)), &found);

    if (e < 0 || !n)
        return e < 0 ? e : -ENOBUFS;
    *n = (uint64_t)found;
    return 0;
}

static void deliver_count(const struct read *rd, const void *row)
{
    ((store_count_fn)rd->row)(rd->ctx, *(const uint64_t *)row);
}

void store_read_trail_count(struct store *s, enum trail_kind kind, uint64_t parent, store_count_fn row,
                            store_done_fn done, void *ctx)
{
    struct read *rd = read_new(run_count, deliver_count, (void (*)(void))row, done, ctx);

    rd->args.kind = kind;
    rd->args.id = parent;
    store__read(s, rd);
}
