/* store/metas.c - small named values. They may be secret (the CA's key): nothing here logs one. */
#include <errno.h>

#include "store/store_priv.h"

struct put_meta {
    struct str name, value;
};

static int put_meta(struct writer *w, const void *args)
{
    const struct put_meta *p = args;

    return db_run(w->db,
                  "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = "
                  "excluded.value",
                  VALS(V_TEXT(p->name), V_BLOB(p->value)));
}

void store_put_meta(struct store *s, const char *key, struct str value)
{
    struct put_meta *p = OP(s, put_meta, struct put_meta);

    p->name = store__keep(s, str_of(key));
    p->value = store__keep(s, value);
}

int store_load_meta(struct store *s, const char *key, struct buf *ret, struct err *err)
{
    struct db *db = store__load_db(s);
    AUTO(rows_done) struct rows *r = NULL;
    int e = db_query(db, "SELECT value FROM meta WHERE name = ?", VALS(V_TEXT(str_of(key))), &r);

    if (e == 0)
        e = rows_next(r);
    if (e == 1 && buf_str(ret, col_str(r, 0)) < 0)
        return err_set(err, -ENOBUFS, "store.open", "the value of %s is larger than expected", key);
    return e < 0 ? store__err(err, e, "read", s->path, db) : e;
}
