/* store/users.c - users and their API tokens (hashes only). */
#include "store/store_priv.h"

static int put_user(struct writer *w, const void *args)
{
    const struct user_row *u = args;

    return db_run(
        w->db,
        "INSERT INTO account (id, name, password_hash, role, is_disabled, created_at) VALUES (?, ?, ?, ?, ?, "
        "?)"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name, password_hash = excluded.password_hash,"
        " role = excluded.role, is_disabled = excluded.is_disabled, created_at = excluded.created_at",
        VALS(V_INT(u->id), V_TEXT(u->name), V_TEXT(u->password_hash), V_INT(u->role), V_INT(u->is_disabled),
             V_INT(u->created_at)));
}

void store_put_user(struct store *s, const struct user_row *u)
{
    struct user_row *p = OP(s, put_user, struct user_row);

    *p = *u;
    p->name = store__keep(s, u->name);
    p->password_hash = store__keep(s, u->password_hash);
}

int store_load_users(struct store *s, void (*fn)(void *ctx, const struct user_row *u), void *ctx,
                     struct err *err)
{
    struct db *db = store__load_db(s);
    AUTO(rows_done) struct rows *r = NULL;
    int e =
        db_query(db, "SELECT id, name, password_hash, role, is_disabled, created_at FROM account ORDER BY id",
                 NULL, 0, &r);

    while (e == 0 && (e = rows_next(r)) == 1) {
        struct user_row u = {
            .id = col_u64(r, 0),
            .name = col_str(r, 1),
            .password_hash = col_str(r, 2),
            .role = (enum role_level)col_u32(r, 3),
            .is_disabled = col_u32(r, 4),
            .created_at = col_u64(r, 5),
        };
        fn(ctx, &u);
        e = 0;
    }
    return e < 0 ? store__err(err, e, "read the users in", s->path, db) : 0;
}

static int put_api_token(struct writer *w, const void *args)
{
    const struct api_token_row *t = args;

    return db_run(
        w->db,
        "INSERT INTO api_token (id, user_id, hash, name, scope, created_at, expires_at, last_used, "
        "is_revoked,"
        " created_by, hint) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
        " user_id = excluded.user_id, hash = excluded.hash, name = excluded.name, scope = excluded.scope,"
        " created_at = excluded.created_at, expires_at = excluded.expires_at, last_used = excluded.last_used,"
        " is_revoked = excluded.is_revoked, created_by = excluded.created_by, hint = excluded.hint",
        VALS(V_INT(t->id), V_INT(t->user_id), V_BLOB(str_bytes(t->hash, SHA256_LEN)), V_TEXT(t->name),
             V_TEXT(t->scope), V_INT(t->created_at), V_INT(t->expires_at), V_INT(t->last_used),
             V_INT(t->is_revoked), V_TEXT(t->created_by), V_TEXT(t->hint)));
}

void store_put_api_token(struct store *s, const struct api_token_row *t)
{
    struct api_token_row *p = OP(s, put_api_token, struct api_token_row);

    *p = *t;
    p->name = store__keep(s, t->name);
    p->scope = store__keep(s, t->scope);
    p->created_by = store__keep(s, t->created_by);
    p->hint = store__keep(s, t->hint);
}

int store_load_api_tokens(struct store *s, void (*fn)(void *ctx, const struct api_token_row *t), void *ctx,
                          struct err *err)
{
    struct db *db = store__load_db(s);
    AUTO(rows_done) struct rows *r = NULL;
    int e = db_query(db,
                     "SELECT id, user_id, hash, name, scope, created_at, expires_at, last_used, is_revoked, "
                     "created_by, hint"
                     " FROM api_token ORDER BY id",
                     NULL, 0, &r);

    while (e == 0 && (e = rows_next(r)) == 1) {
        struct api_token_row t = {
            .id = col_u64(r, 0),
            .user_id = col_u64(r, 1),
            .name = col_str(r, 3),
            .scope = col_str(r, 4),
            .created_at = col_u64(r, 5),
            .expires_at = col_u64(r, 6),
            .last_used = col_u64(r, 7),
            .is_revoked = col_u32(r, 8),
            .created_by = col_str(r, 9),
            .hint = col_str(r, 10),
        };
        col_copy(r, 2, t.hash, SHA256_LEN);
        fn(ctx, &t);
        e = 0;
    }
    return e < 0 ? store__err(err, e, "read the API tokens in", s->path, db) : 0;
}
