/* store/schema.c - see schema.h. */
#define LOG_TARGET "store"
#include "store/schema.h"

#include <errno.h>

#include "base/log.h"
#include "store/driver.h"
#include "store/store_priv.h"

uint32_t schema_newest(void)
{
    uint32_t v = 0;

    for (const struct migration *m = store__migrations; m->version; m++)
        v = m->version;
    return v;
}

int schema_check(struct db *db, const char *path, uint32_t *ret_version, struct err *err)
{
    uint32_t v = 0;
    int e = DB__DRIVER(db)->version(db, &v);

    if (e == -EBADMSG)
        return err_set(err, e, "store.corrupt",
                       "%s is damaged or not a Muster database. Move the state directory away and bring a backup back with "
                       "`musterd restore FILE`; `musterd doctor` says more",
                       path);
    if (e < 0)
        return store__err(err, e, "read the version of", path, db);
    if (v > schema_newest())
        return err_set(
            err, -EPROTONOSUPPORT, "store.newer",
            "%s was written by a newer musterd (schema %u, this one knows %u): install that version", path, v,
            schema_newest());
    *ret_version = v;
    return 0;
}

static int migrate_one(struct db *db, const struct migration *m)
{
    int e = db_begin(db);

    if (e == 0)
        e = db_script(db, m->sql);
    if (e == 0)
        e = DB__DRIVER(db)->set_version(db, m->version);
    if (e == 0)
        e = db_commit(db);
    return e;
}

int schema_migrate(struct db *db, const char *path, struct err *err)
{
    uint32_t have;
    int e = schema_check(db, path, &have, err);

    if (e < 0)
        return e;
    for (const struct migration *m = store__migrations; m->version; m++) {
        if (m->version <= have)
            continue;
        e = migrate_one(db, m);
        if (e < 0) {
            e = store__err(err, e, "upgrade", path, db);
            db_rollback(db);
            err_prefix(err, "%s", m->name);
            return e;
        }
        if (have)
            log_info("store.migrated", "database upgraded", LOG_CSTR("migration", m->name));
    }
    return 0;
}
