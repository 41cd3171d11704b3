/* store/audits.c - the audit log: appended, never changed. */
#include <errno.h>

#include "store/store_priv.h"

struct put_audit {
    struct audit_row a;
    struct str details_json;
};

static int put_audit(struct writer *w, const void *args)
{
    const struct put_audit *p = args;
    const struct audit_row *a = &p->a;

    return db_run(
        w->db,
        "INSERT INTO audit (id, at, principal, peer, verb, target, outcome, slug, details_json, prev, hash)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        VALS(V_INT(a->id), V_INT(a->at), V_TEXT(a->principal), V_TEXT(a->peer), V_TEXT(a->verb),
             V_TEXT(a->target), V_TEXT(a->outcome), V_TEXT(a->slug), V_TEXT(p->details_json),
             V_BLOB(str_bytes(a->prev, SHA256_LEN)), V_BLOB(str_bytes(a->hash, SHA256_LEN))));
}

void store_put_audit(struct store *s, const struct audit_row *a)
{
    struct put_audit *p = OP(s, put_audit, struct put_audit);

    p->a = *a;
    p->details_json = store__keep_map(s, &a->details);
    p->a.details = (struct kv_list){ 0 };
    p->a.principal = store__keep(s, a->principal);
    p->a.peer = store__keep(s, a->peer);
    p->a.verb = store__keep(s, a->verb);
    p->a.target = store__keep(s, a->target);
    p->a.outcome = store__keep(s, a->outcome);
    p->a.slug = store__keep(s, a->slug);
}

int store_load_audit_head(struct store *s, uint64_t *ret_id, uint8_t ret_hash[SHA256_LEN], struct err *err)
{
    struct db *db = store__load_db(s);
    AUTO(rows_done) struct rows *r = NULL;
    int e = db_query(db, "SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1", NULL, 0, &r);

    *ret_id = 0;
    memset(ret_hash, 0, SHA256_LEN);
    if (e == 0)
        e = rows_next(r);
    if (e == 1) {
        *ret_id = col_u64(r, 0);
        col_copy(r, 1, ret_hash, SHA256_LEN);
    }
    return e < 0 ? store__err(err, e, "read the audit log in", s->path, db) : 0;
}

#define AUDIT_COLS                                                                                           \
    "SELECT id, at, principal, peer, verb, target, outcome, slug, details_json, prev, hash FROM audit "

static int run_audit(struct db *db, struct read *rd)
{
    AUTO(rows_done) struct rows *r = NULL;
    int e = rd->args.newest_first
                ? db_query(db, AUDIT_COLS "ORDER BY id DESC LIMIT ?", VALS(V_INT(rd->args.limit)), &r)
                : db_query(db, AUDIT_COLS "WHERE id > ? ORDER BY id LIMIT ?",
                           VALS(V_INT(rd->args.from), V_INT(rd->args.limit)), &r);

    while (e == 0 && (e = rows_next(r)) == 1) {
        struct audit_row *a = read__row(rd, sizeof(*a));
        if (!a)
            return -ENOBUFS;
        *a = (struct audit_row){
            .id = col_u64(r, 0),
            .at = col_u64(r, 1),
            .principal = col_keep(r, 2, rd->a),
            .peer = col_keep(r, 3, rd->a),
            .verb = col_keep(r, 4, rd->a),
            .target = col_keep(r, 5, rd->a),
            .outcome = col_keep(r, 6, rd->a),
            .slug = col_keep(r, 7, rd->a),
        };
        col_map(r, 8, rd->a, &a->details);
        col_copy(r, 9, a->prev, SHA256_LEN);
        col_copy(r, 10, a->hash, SHA256_LEN);
        e = 0;
    }
    return e;
}

static void deliver_audit(const struct read *rd, const void *row)
{
    ((store_audit_fn)rd->row)(rd->ctx, row);
}

void store_read_audit(struct store *s, uint64_t after_id, bool newest_first, uint32_t limit,
                      store_audit_fn row, store_done_fn done, void *ctx)
{
    struct read *rd = read_new(run_audit, deliver_audit, (void (*)(void))row, done, ctx);

    rd->args.from = after_id;
    rd->args.newest_first = newest_first && after_id == 0;
    rd->args.limit = limit;
    store__read(s, rd);
}
