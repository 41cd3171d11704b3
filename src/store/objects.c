/* store/objects.c - nouns kept as one document each. docs/decisions/0008-objects-and-trails.md.
 *
 * Most are written straight into their table. What changes with every beat goes through the journal of small
 * rows (lazy.h); a kind of which the journal has words must tell it when a row is written or deleted past it. */
#include "store/objects.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/limits.h"
#include "codec/record.h"
#include "store/lazy.h"

struct put_object {
    uint32_t kind;
    uint64_t id, parent;
    struct str body;
};

/* -- writer */

int objects__file(struct db *db, uint32_t kind, uint64_t id, uint64_t parent, struct str body)
{
    return db_run(db,
                  "INSERT INTO object (kind, id, parent, body) VALUES (?, ?, ?, ?) ON CONFLICT (kind, id)"
                  " DO UPDATE SET parent = excluded.parent, body = excluded.body",
                  VALS(V_INT(kind), V_INT(id), V_INT(parent), V_TEXT(body)));
}

static int put_object(struct writer *w, const void *args)
{
    const struct put_object *p = args;

    lazy_object_settled(w, p->kind, p->id);
    return objects__file(w->db, p->kind, p->id, p->parent, p->body);
}

static int put_object_often(struct writer *w, const void *args)
{
    const struct put_object *p = args;

    lazy_object(w, p->kind, p->id, p->parent, p->body);
    return 0;
}

struct noun_name {
    char text[24];
};

/* The kind's row in the table high. */
static struct noun_name noun_of(uint32_t kind)
{
    struct noun_name n;

    snprintf(n.text, sizeof(n.text), "object.%u", kind);
    return n;
}

static int del_object(struct writer *w, const void *args)
{
    const struct put_object *p = args;
    struct noun_name noun = noun_of(p->kind);
    int e = high__raise(w, noun.text, p->id);

    lazy_object_settled(w, p->kind, p->id);
    if (e < 0)
        return e;
    return db_run(w->db, "DELETE FROM object WHERE kind = ? AND id = ?", VALS(V_INT(p->kind), V_INT(p->id)));
}

/* -- loop */

static struct put_object *op(struct store *s, op_fn fn, enum object_kind kind, uint64_t id)
{
    assert(kind > 0 && kind < OBJECT_KINDS);

    struct put_object *p = OP(s, fn, struct put_object);

    p->kind = kind;
    p->id = id;
    return p;
}

void store_put_object(struct store *s, enum object_kind kind, uint64_t id, uint64_t parent,
                      const struct record *rec, const void *obj)
{
    struct put_object *p = op(s, put_object, kind, id);

    p->parent = parent;
    p->body = store__keep_document(s, rec, obj);
}

void store_put_object_often(struct store *s, enum object_kind kind, uint64_t id, uint64_t parent,
                            const struct record *rec, const void *obj)
{
    struct put_object *p = op(s, put_object_often, kind, id);

    p->parent = parent;
    p->body = store__keep_document(s, rec, obj);
}

void store_del_object(struct store *s, enum object_kind kind, uint64_t id)
{
    (void)op(s, del_object, kind, id);
}

/* -- start-up */

enum {
    DECODE_BYTES = 64 << 20, /* a tree is some forty times its text at worst */
    RESET_ABOVE = 1 << 20,   /* resetting for every row would give the memory back and ask for it again */
};

int store_load_objects(struct store *s, enum object_kind kind, const struct record *rec, store_object_fn fn,
                       void *ctx, struct err *err)
{
    struct db *db = store__load_db(s);
    AUTO(arena_free) struct arena *a = arena_new(DECODE_BYTES);
    AUTO_FREE void *obj = xmalloc(rec->size);
    AUTO(rows_done) struct rows *r = NULL;
    struct record_errors errs;
    struct err why = { 0 };
    int e = db_query(db, "SELECT id, parent, body FROM object WHERE kind = ? ORDER BY id",
                     VALS(V_INT(kind)), &r);

    while (e == 0 && (e = rows_next(r)) == 1) {
        uint64_t id = col_u64(r, 0);
        e = record_decode_json(rec, a, col_str(r, 2), LIMIT_OBJECT_BYTES, obj, &errs, &why);
        if (e < 0)
            return err_set(err, -EBADMSG, "store.corrupt", "%s %lu (object kind %d) in %s cannot be read: %s",
                           rec->name, (unsigned long)id, (int)kind, s->path, why.text);
        fn(ctx, id, col_u64(r, 1), obj);
        if (arena_used(a) > RESET_ABOVE)
            arena_reset(a);
    }
    return e < 0 ? store__err(err, e, "read the objects in", s->path, db) : 0;
}

int store_load_next_object(struct store *s, enum object_kind kind, uint64_t *ret, struct err *err)
{
    struct db *db = store__load_db(s);
    struct noun_name noun = noun_of(kind);
    int64_t max = 0, high = 0;
    int e = db_number(db, "SELECT COALESCE(MAX(id), 0) FROM object WHERE kind = ?", VALS(V_INT(kind)), &max);

    if (e >= 0)
        e = db_number(db, "SELECT id FROM high WHERE noun = ?", VALS(V_TEXT(str_of(noun.text))), &high);
    if (e < 0)
        return store__err(err, e, "read", s->path, db);
    *ret = (uint64_t)(max > high ? max : high) + 1;
    return 0;
}
