/* store/copies.c - whole databases: backup (online), restore and check (offline). */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "store/schema.h"
#include "store/store_priv.h"

void store_backup(struct store *s, const char *path,
                  void (*progress)(void *ctx, uint64_t done, uint64_t total), store_done_fn done, void *ctx)
{
    struct copy_msg *m = xnew0(struct copy_msg);

    m->m.kind = MSG_COPY;
    m->path = xstrdup(path);
    m->progress = progress;
    m->done = done;
    m->ctx = ctx;
    if (s->has_copy) {
        /* Through the mail like any answer: @done runs inside store_poll() and nowhere else. */
        struct retain_msg *busy = xnew0(struct retain_msg);
        busy->m.kind = MSG_RETAIN;
        busy->result = -EBUSY;
        busy->done = done;
        busy->ctx = ctx;
        store__mail(s, &busy->m);
        free(m->path);
        free(m);
        return;
    }
    s->has_copy = true;
    s->copy_progress = progress;
    s->copy_ctx = ctx;
    queue_push(s->to_reader, &m->m.q);
}

/* Ours, of a version we know, and whole. */
static int check_file(const char *path, struct err *err)
{
    AUTO(db_close) struct db *db = NULL;
    uint32_t version;
    int e;

    if (access(path, R_OK) < 0)
        return err_set(err, -errno, "store.open", "cannot read %s: %m", path);
    if ((e = driver_sqlite.open(&driver_sqlite, path, 0, &db, err)) < 0 ||
        (e = schema_check(db, path, &version, err)) < 0)
        return e;
    if (version == 0)
        return err_set(err, -EBADMSG, "store.corrupt", "%s is an empty database: there is nothing in it",
                       path);
    if ((e = db_integrity(db, err)) < 0)
        err_prefix(err, "%s is damaged", path);
    return e;
}

int store_check(const char *path, struct err *err)
{
    return check_file(path, err);
}

int store_restore(const char *file, const char *path, struct err *err)
{
    AUTO(db_copy_free) struct db_copy *c = NULL;
    uint64_t done, total;
    int e = check_file(file, err);

    if (e == 0)
        e = db_copy_open(file, path, &c, err);
    if (e < 0)
        return e;
    while ((e = db_copy_step(c, 1024, &done, &total)) == 1)
        ;
    return e < 0 ? store__err(err, e, "restore", path, NULL) : 0;
}
