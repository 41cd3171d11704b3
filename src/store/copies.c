/* store/copies.c - whole databases: backup (online), restore and check (offline). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/rand.h"
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

/* A restored fleet is set back in time, but whoever it spoke to is not: agents remember the tasks that were made after the
 * backup, and would refuse new ones that bear the same numbers, or take their results for those of the old; who follows
 * events or a trail comes back with the last number he saw; and a job's number stands in people's notes. So the numbers go
 * on above anything that can have been given out since. The backup's own count cannot say where that is: the same backup
 * may be restored a second time. The clock can. People type the number of a job: it counts in seconds. */
static const struct {
    const char *noun, *max_sql;
    usec_t unit; /* what is given out is less than one in it */
} going_on[] = {
    { "task", "SELECT COALESCE(MAX(id), 0) FROM task", 1 },
    { "event", "SELECT COALESCE(MAX(id), 0) FROM event", 1 },
    { "trail", "SELECT COALESCE(MAX(id), 0) FROM trail", 1 },
    { "job", "SELECT COALESCE(MAX(id), 0) FROM job", USEC_PER_SEC },
};

/* Raises row @i: 0, 1 when the clock is behind what was given out, or -errno. */
static int raise_ids(struct db *db, size_t i, usec_t now)
{
    int64_t max = 0, high = 0, is_there = 0;
    usec_t since = now > STORE_RESTORE_EPOCH ? now - STORE_RESTORE_EPOCH : 0;
    uint64_t used, base = since / going_on[i].unit;
    bool is_behind;
    int e = db_number(db, "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ?", VALS(V_TEXT(str_of(going_on[i].noun))), &is_there);

    if (e >= 0 && !is_there) /* a backup of a version that had no such noun; migration makes it */
        return 0;
    if (e >= 0)
        e = db_number(db, going_on[i].max_sql, NULL, 0, &max);
    if (e >= 0)
        e = db_number(db, "SELECT COALESCE(MAX(id), 0) FROM high WHERE noun = ?", VALS(V_TEXT(str_of(going_on[i].noun))), &high);
    if (e < 0)
        return e;
    used = (uint64_t)(max > high ? max : high);
    is_behind = base <= used;
    if (is_behind) /* days wide: two restores by such a clock hardly meet */
        base = used + (STORE_RESTORE_STEP + rand_below(UINT64_C(1) << 38)) / going_on[i].unit;
    e = db_run(db, "INSERT INTO high (noun, id) VALUES (?, ?) ON CONFLICT (noun) DO UPDATE SET id = excluded.id",
               VALS(V_TEXT(str_of(going_on[i].noun)), V_INT((int64_t)base)));
    return e < 0 ? e : is_behind;
}

static int raise_all_ids(const char *path, usec_t now, struct err *err)
{
    AUTO(db_close) struct db *db = NULL;
    bool is_behind = false;
    int e = driver_sqlite.open(&driver_sqlite, path, DB_WRITE, &db, err);

    if (e < 0)
        return e;
    e = db_begin(db);
    for (size_t i = 0; i < ARRAY_SIZE(going_on) && e >= 0; i++) {
        e = raise_ids(db, i, now);
        is_behind |= e == 1 && going_on[i].unit == 1; /* a busy fleet may make more than a job a second */
    }
    if (e >= 0)
        e = db_commit(db);
    if (e < 0)
        return store__err(err, e, "restore", path, db);
    return is_behind ? STORE_CLOCK_BEHIND : STORE_RESTORED;
}

/* The copy gets its name when it is complete: half a restore must not look like a whole one. */
static int restore_as(const char *file, const char *path, const char *part, usec_t now, struct err *err)
{
    AUTO(db_copy_free) struct db_copy *c = NULL;
    uint64_t done, total;
    int e = db_copy_open(file, part, &c, err);

    if (e < 0)
        return e;
    while ((e = db_copy_step(c, 1024, &done, &total)) == 1)
        ;
    if (e < 0)
        return store__err(err, e, "restore", path, NULL);
    e = raise_all_ids(part, now, err);
    if (e >= 0 && renameat2(AT_FDCWD, part, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
        e = err_set(err, -errno, "store.io", "cannot make %s: %m", path);
    if (e >= 0 && fd_sync_parent(path) < 0)
        e = err_set(err, -errno, "store.io", "cannot sync the directory of %s: %m", path);
    if (e < 0)
        unlink(part);
    return e;
}

int store_restore(const char *file, const char *path, usec_t now, struct err *err)
{
    AUTO_FREE char *part = xasprintf("%s.restored~", path);
    int e = check_file(file, err);

    if (e < 0)
        return e;
    if (access(path, F_OK) == 0)
        return err_set(err, -EEXIST, "store.exists", "%s exists already; choose a new file", path);
    unlink(part);
    return restore_as(file, path, part, now, err);
}
