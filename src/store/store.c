/* store/store.c - the loop thread's half: units, tickets, poll. See store.h; the threads are worker.c and
 * reader.c. */
#define LOG_TARGET "store"
#include "store/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"
#include "store/lazy.h"
#include "store/schema.h"
#include "store/store_priv.h"

enum { UNITS_OPEN = 64, HELD_BYTES = 64 << 20, READ_BYTES = 64 << 20 };

int store__err(struct err *err, int e, const char *what, const char *path, struct db *db)
{
    const char *why = db ? DB__DRIVER(db)->why(db) : strerror(-e);

    switch (e) {
    case -ENOSPC:
        return err_set(err, e, "store.disk_full",
                       "cannot %s %s: no space left on its disk. Free some; it goes on by itself", what,
                       path);
    case -EROFS:
    case -EACCES:
        return err_set(err, e, "store.read_only", "cannot %s %s: it may not be written (%s)", what, path,
                       why);
    case -EBADMSG:
        return err_set(
            err, e, "store.corrupt",
            "cannot %s %s: it is damaged (%s). Stop musterd, move the state directory away and bring a backup back with "
            "`musterd restore FILE`; `musterd doctor` says more",
            what, path, why);
    case -EEXIST:
        return err_set(
            err, e, "store.corrupt",
            "cannot %s %s: two rows claim to be the same (%s). This is a mistake in musterd: nothing is "
            "committed any more; restart it, and please report this",
            what, path, why);
    case -ENOTSUP:
        return err_set(
            err, e, "store.corrupt",
            "cannot %s %s: %s. This is a mistake in musterd or a foreign change of the database: nothing is "
            "committed any more",
            what, path, why);
    case -EBUSY:
        return err_set(err, e, "store.io", "cannot %s %s: another process holds it locked", what, path);
    default:
        return err_set(err, e, "store.io", "cannot %s %s: %s", what, path, why);
    }
}

/* -- life */

static int take_lock(struct store *s, struct err *err)
{
    AUTO_FREE char *path = xasprintf("%s-lock", s->path);

    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0)
        return err_set(err, -errno, errno == EROFS ? "store.read_only" : "store.open", "cannot make %s: %m",
                       path);
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, -errno, "store.locked", "the database %s is in use by another musterd", s->path);
    return 0;
}

/* The lock file says, by having a text in it, that a database was made here: what is empty, without a schema or gone then was lost, and
 * is not a first start, which would give the fleet a new CA and lock every host out. The mark is made when the schema is: a first start that
 * was killed leaves an empty file, or one without a schema, and no mark. */
#define MADE_MARK "a database was made here\n"

static bool has_bytes(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && st.st_size > 0;
}

/* Only pages without tables: all others were in the log, which is gone. What cannot be read is for the open to say. */
static bool has_no_schema(const char *path)
{
    AUTO(db_close) struct db *db = NULL;
    struct err err = { 0 };
    uint32_t version;

    return driver_sqlite.open(&driver_sqlite, path, 0, &db, &err) == 0 && driver_sqlite.version(db, &version) == 0 && version == 0;
}

int store_check_lost(const char *path, struct err *err)
{
    AUTO_FREE char *lock = xasprintf("%s-lock", path), *log = xasprintf("%s-wal", path);
    bool is_lost;

    if (has_bytes(path)) /* opened to be read only: whatever log is beside it stays */
        is_lost = has_bytes(lock) && has_no_schema(path);
    else /* The log is younger than the first page of the file: an empty file has none. */
        is_lost = (access(path, F_OK) == 0 || errno == ENOENT) && (has_bytes(lock) || has_bytes(log));
    if (!is_lost)
        return 0;
    return err_set(err, -EBADMSG, "store.corrupt",
                   "%s is empty or gone, but a fleet was kept here: move the state directory away and bring a backup back with "
                   "`musterd restore FILE`",
                   path);
}

/* A full disk may refuse it: then the next start does it. */
static void mark_made(const struct store *s)
{
    struct stat st;

    if (has_bytes(s->path) && fstat(s->lock_fd, &st) == 0 && st.st_size == 0)
        (void)!pwrite(s->lock_fd, MADE_MARK, sizeof(MADE_MARK) - 1, 0);
}

static void free_all(struct store *s)
{
    db_close(s->reader.db);
    db_close(s->tidy_db);
    lazy_free(&s->writer);
    db_close(s->writer.db); /* last: the last one tidies the log up */
    vec_done(&s->writer.drifts);
    vec_done(&s->writer.pending);
    queue_free(s->to_writer);
    queue_free(s->to_reader);
    queue_free(s->to_tidy);
    queue_free(s->mail);
    buf_done(&s->scratch);
    fd_close(&s->lock_fd);
    free(s->path);
    free(s);
}
DEFINE_AUTO(struct store *, free_all)

static int open_handles(struct store *s, const struct driver *d, struct err *err)
{
    int e = d->open(d, s->path, DB_WRITE | DB_CREATE, &s->writer.db, err);

    if (e == 0)
        e = schema_migrate(s->writer.db, s->path, err);
    if (e == 0)
        e = d->open(d, s->path, 0, &s->reader.db, err);
    if (e == 0)
        e = d->open(d, s->path, DB_WRITE, &s->tidy_db, err);
    if (e == 0 && (e = writer_init(&s->writer)) < 0)
        store__err(err, e, "read", s->path, s->writer.db);
    return e;
}

/* Each ends when its queue is closed. */
static void stop_thread(struct queue *q, pthread_t thread)
{
    queue_close(q);
    pthread_join(thread, NULL);
}

static int start_threads(struct store *s)
{
    int e = pthread_create(&s->writer_thread, NULL, writer_main, &s->writer);

    if (e)
        return -e;
    if ((e = pthread_create(&s->tidy_thread, NULL, tidy_main, s)) != 0) {
        stop_thread(s->to_writer, s->writer_thread);
        return -e;
    }
    if ((e = pthread_create(&s->reader_thread, NULL, reader_main, &s->reader)) != 0) {
        stop_thread(s->to_writer, s->writer_thread);
        stop_thread(s->to_tidy, s->tidy_thread);
    }
    return -e;
}

int store_open(const struct store_conf *conf, struct store **ret, struct err *err)
{
    AUTO(free_all) struct store *s = xnew0(struct store);
    int e;

    s->conf = *conf;
    s->path = xstrdup(conf->path);
    s->conf.path = s->path;
    if (!s->conf.max_open_units)
        s->conf.max_open_units = UNITS_OPEN;
    if (s->conf.hung_after == 0)
        s->conf.hung_after = 10 * USEC_PER_SEC;
    s->lock_fd = -1;
    s->waiting_last = &s->waiting;
    s->scratch = BUF(LIMIT_JSON_BYTES);
    s->to_writer = queue_new();
    s->to_reader = queue_new();
    s->to_tidy = queue_new();
    s->mail = queue_new();
    s->writer.s = s->reader.s = s;
    if ((e = take_lock(s, err)) < 0)
        return e;
    if ((e = store_check_lost(s->path, err)) < 0)
        return e;
    if ((e = open_handles(s, conf->driver ? conf->driver : &driver_sqlite, err)) < 0)
        return e;
    mark_made(s);
    s->polled_at = clock_mono(&clock_real);
    atomic_store(&s->alive_at, s->polled_at);
    if ((e = start_threads(s)) < 0)
        return err_set(err, e, "store.open", "cannot start a thread: %m");
    *ret = TAKE(s);
    return 0;
}

void unit_free(struct unit *u)
{
    arena_free(u->a); /* the unit itself lives in it */
}

static void drop_pending(struct store *s)
{
    struct writer *w = &s->writer;

    if (w->pending.n)
        log_error("store.left_uncommitted",
                  "changes were not committed before the stop; nothing of them was acknowledged",
                  LOG_U64("units", w->pending.n));
    for (size_t i = 0; i < w->pending.n; i++)
        unit_free(w->pending.v[i]);
    w->pending.n = 0;
}

static void drop_msg(struct msg *m)
{
    struct retain_msg *retain = (struct retain_msg *)m;
    struct copy_msg *copy = (struct copy_msg *)m;

    switch (m->kind) {
    case MSG_TIDY:
        break;
    case MSG_UNIT:
        unit_free((struct unit *)m);
        return;
    case MSG_READ:
        ((struct read *)m)->done(((struct read *)m)->ctx, -ECANCELED);
        read_free((struct read *)m);
        return;
    case MSG_RETAIN:
        retain->done(retain->ctx, -ECANCELED);
        break;
    case MSG_COPY:
        copy->done(copy->ctx, copy->result < 0 ? -ECANCELED : copy->result);
        free(copy->path);
        break;
    case MSG_HEALTH:
    case MSG_DRIFT:
    case MSG_PROGRESS:
        break;
    }
    free(m);
}

static void drop_queue(struct queue *q)
{
    for (struct qmsg *m = queue_take_all(q), *next; m; m = next) {
        next = m->next;
        drop_msg((struct msg *)m);
    }
}

void store_close(struct store *s)
{
    if (!s)
        return;
    store_seal(s);
    atomic_store(&s->is_closing, true); /* the writer tries for 5 s more if the database will not have it */
    stop_thread(s->to_writer, s->writer_thread);
    stop_thread(s->to_reader, s->reader_thread);
    stop_thread(s->to_tidy, s->tidy_thread);
    drop_queue(s->to_writer);
    drop_queue(s->to_reader);
    drop_queue(s->to_tidy);
    drop_queue(s->mail);
    while (s->waiting) {
        struct read *rd = s->waiting;
        s->waiting = rd->next;
        drop_msg(&rd->m);
    }
    drop_pending(s);
    for (size_t i = 0; i < s->writer.drifts.n; i++)
        free(s->writer.drifts.v[i]);
    if (s->open)
        unit_free(s->open);
    free_all(s);
}

/* -- units */

static struct unit *unit_new(uint64_t ticket)
{
    struct arena *a = arena_new(SIZE_MAX);
    struct unit *u = arena_new0(a, struct unit);

    u->m.kind = MSG_UNIT;
    u->ticket = ticket;
    u->a = a;
    u->last = &u->first;
    return u;
}

void *store__op(struct store *s, op_fn fn, size_t size)
{
    if (!s->open)
        s->open = unit_new(++s->newest);
    struct unit *u = s->open;
    struct op *op = arena_alloc(u->a, sizeof(*op) + size);

    op->fn = fn;
    *u->last = op;
    u->last = &op->next;
    u->n_ops++;
    return op->args;
}

struct str store__keep(struct store *s, struct str v)
{
    return v.len ? arena_str(s->open->a, v) : STR("");
}

void store_seal(struct store *s)
{
    if (!s->open)
        return;
    struct unit *u = TAKE(s->open);
    s->sealed = u->ticket;
    atomic_fetch_add(&s->held_bytes, arena_used(u->a));
    queue_push(s->to_writer, &u->m.q);
}

uint64_t store_newest(const struct store *s)
{
    return s->newest;
}

uint64_t store_committed(const struct store *s)
{
    return s->committed;
}

int store_health(const struct store *s, struct err *err)
{
    if (s->health && err)
        *err = s->health_err;
    if (s->health == 0 && s->silent_us > s->conf.hung_after)
        return err_set(err, -ETIMEDOUT, "store.io", "%s: its disk has not answered for %llu seconds", s->path,
                       (unsigned long long)(s->silent_us / USEC_PER_SEC));
    return s->health;
}

/* How long the writer has been silent, in our own time: a turn late by more than a second counts for one, so that a
 * process that was stopped and goes on does not blame the disk. */
static void mind_silence(struct store *s)
{
    usec_t now = clock_mono(&clock_real), alive = atomic_load(&s->alive_at),
           passed = now - s->polled_at < USEC_PER_SEC ? now - s->polled_at : USEC_PER_SEC;

    s->silent_us = alive == s->seen_alive_at ? s->silent_us + passed : 0;
    s->seen_alive_at = alive;
    s->polled_at = now;
}

bool store_is_behind(const struct store *s)
{
    return s->sealed - atomic_load(&s->durable) >= s->conf.max_open_units ||
           atomic_load(&s->held_bytes) >= HELD_BYTES;
}

usec_t store_last_alive(const struct store *s)
{
    return atomic_load(&s->alive_at);
}

void store_stats(const struct store *s, struct store_stats *ret)
{
    *ret = (struct store_stats){
        .units = atomic_load(&s->n_units),
        .commits = atomic_load(&s->n_commits),
        .rows = atomic_load(&s->n_rows),
        .reads = atomic_load(&s->n_reads),
        .commit_failures = atomic_load(&s->n_failures),
        .last_commit_us = atomic_load(&s->commit_us),
        .db_bytes = atomic_load(&s->db_bytes),
        .wal_bytes = atomic_load(&s->wal_bytes),
    };
}

void store_on_drift(struct store *s, void (*fn)(void *ctx, uint64_t host_id, struct str section), void *ctx)
{
    s->drift = fn;
    s->drift_ctx = ctx;
}

/* -- mail */

void store__mail(struct store *s, struct msg *m)
{
    queue_push(s->mail, &m->q);
    if (s->conf.wake)
        s->conf.wake(s->conf.wake_ctx);
}

static void finish_read(struct read *rd)
{
    if (rd->result == 0)
        for (struct read_row *r = rd->first; r; r = r->next)
            rd->deliver(rd, r->row);
    rd->done(rd->ctx, rd->result);
    read_free(rd);
}

static void open_mail(struct store *s, struct msg *m)
{
    struct health_msg *health = (struct health_msg *)m;
    struct drift_msg *drift = (struct drift_msg *)m;
    struct retain_msg *retain = (struct retain_msg *)m;
    struct copy_msg *copy = (struct copy_msg *)m;
    struct progress_msg *progress = (struct progress_msg *)m;

    switch (m->kind) {
    case MSG_READ:
        finish_read((struct read *)m);
        return;
    case MSG_HEALTH:
        s->health = health->code;
        s->health_err = health->err;
        break;
    case MSG_DRIFT:
        if (s->drift)
            s->drift(s->drift_ctx, drift->host_id, str_of(drift->section));
        break;
    case MSG_RETAIN:
        retain->done(retain->ctx, retain->result);
        break;
    case MSG_COPY:
        s->has_copy = false;
        s->copy_progress = NULL;
        copy->done(copy->ctx, copy->result);
        free(copy->path);
        break;
    case MSG_PROGRESS:
        if (s->copy_progress)
            s->copy_progress(s->copy_ctx, progress->done, progress->total);
        break;
    case MSG_UNIT:
    case MSG_TIDY:
        assert(!"these do not come back");
    }
    free(m);
}

void store_poll(struct store *s)
{
    /* First the ticket, then the mail: what a commit mailed (drift, health) was mailed before its ticket
     * moved. */
    uint64_t durable = atomic_load(&s->durable);

    mind_silence(s);
    for (struct qmsg *m = queue_take_all(s->mail), *next; m; m = next) {
        next = m->next;
        open_mail(s, (struct msg *)m);
    }
    s->committed = durable;
    while (s->waiting && s->waiting->after <= durable) {
        struct read *rd = s->waiting;
        s->waiting = rd->next;
        if (!s->waiting)
            s->waiting_last = &s->waiting;
        queue_push(s->to_reader, &rd->m.q);
    }
}

/* -- reads */

struct read *read_new(read_fn run, deliver_fn deliver, void (*row)(void), store_done_fn done, void *ctx)
{
    struct arena *a = arena_new(READ_BYTES);
    struct read *rd = arena_new0(a, struct read);

    rd->m.kind = MSG_READ;
    rd->a = a;
    rd->run = run;
    rd->deliver = deliver;
    rd->row = row;
    rd->done = done;
    rd->ctx = ctx;
    rd->last = &rd->first;
    return rd;
}

void read_free(struct read *rd)
{
    arena_free(rd->a); /* the read itself lives in it */
}

void store__read(struct store *s, struct read *rd)
{
    rd->after = s->newest;
    if (rd->after <= s->committed && !s->waiting) {
        queue_push(s->to_reader, &rd->m.q);
        return;
    }
    *s->waiting_last = rd;
    s->waiting_last = &rd->next;
}

void *read__row(struct read *rd, size_t size)
{
    struct read_row *r = arena_alloc(rd->a, sizeof(*r) + size);

    if (!r)
        return NULL;
    *rd->last = r;
    rd->last = &r->next;
    return r->row;
}

struct db *store__load_db(struct store *s)
{
    assert(atomic_load(&s->n_reads) == 0 && !s->waiting);
    return s->reader.db;
}
