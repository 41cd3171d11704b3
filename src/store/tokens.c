/* store/tokens.c - install tokens. */
#include "base/limits.h"
#include "store/store_priv.h"

struct put_token {
    struct token_row t;
    struct str labels_json;
};

static int put_token(struct writer *w, const void *args)
{
    const struct put_token *p = args;
    const struct token_row *t = &p->t;

    return db_run(
        w->db,
        "INSERT INTO install_token (id, code_hash, max_uses, n_uses, expires_at, is_revoked, auto_approve, "
        "labels_json,"
        " created_by, note, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE "
        "SET"
        " code_hash = excluded.code_hash, max_uses = excluded.max_uses, n_uses = excluded.n_uses,"
        " expires_at = excluded.expires_at, is_revoked = excluded.is_revoked, auto_approve = "
        "excluded.auto_approve,"
        " labels_json = excluded.labels_json, created_by = excluded.created_by, note = excluded.note,"
        " created_at = excluded.created_at",
        VALS(V_INT(t->t.id), V_BLOB(str_bytes(t->code_hash, SHA256_LEN)), V_INT(t->t.max_uses),
             V_INT(t->t.n_uses), V_INT(t->t.expires_at), V_INT(t->t.is_revoked), V_INT(t->t.auto_approve),
             V_TEXT(p->labels_json), V_TEXT(t->created_by), V_TEXT(t->note), V_INT(t->created_at)));
}

void store_put_token(struct store *s, const struct token_row *t)
{
    struct put_token *p = OP(s, put_token, struct put_token);

    p->t = *t;
    p->labels_json = store__keep_map(s, &t->labels);
    p->t.labels = (struct kv_list){ 0 };
    p->t.created_by = store__keep(s, t->created_by);
    p->t.note = store__keep(s, t->note);
}

int store_load_tokens(struct store *s, void (*fn)(void *ctx, const struct token_row *t), void *ctx,
                      struct err *err)
{
    struct db *db = store__load_db(s);
    AUTO(arena_free) struct arena *a = arena_new(2 * (size_t)LIMIT_JSON_BYTES);
    AUTO(rows_done) struct rows *r = NULL;
    int e = db_query(db,
                     "SELECT id, code_hash, max_uses, n_uses, expires_at, is_revoked, auto_approve, "
                     "labels_json, created_by,"
                     " note, created_at FROM install_token ORDER BY id",
                     NULL, 0, &r);

    while (e == 0 && (e = rows_next(r)) == 1) {
        struct token_row t = {
            .t = { col_u64(r, 0), col_u64(r, 2), col_u64(r, 3), col_u64(r, 4), col_u32(r, 5), col_u32(r, 6) },
            .created_by = col_str(r, 8),
            .note = col_str(r, 9),
            .created_at = col_u64(r, 10),
        };
        col_copy(r, 1, t.code_hash, SHA256_LEN);
        col_map(r, 7, a, &t.labels);
        fn(ctx, &t);
        arena_reset(a);
        e = 0;
    }
    return e < 0 ? store__err(err, e, "read the install tokens in", s->path, db) : 0;
}
