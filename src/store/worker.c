/* store/worker.c - the writer thread: many units, one transaction, one fsync, one ticket back.
 *
 * It takes everything that waits, runs it in one transaction and tells the newest ticket; what arrives
 * meanwhile is the next transaction. Under load transactions grow by themselves and the fsync is shared:
 * nobody waits on purpose.
 *
 * A commit that fails keeps its units and is tried again. Only two failures are final: a damaged file, and a
 * constraint that says no (our mistake): then nothing is committed any more, and nothing is dropped. */
#define LOG_TARGET "store"
#include <errno.h>
#include <time.h>

#include "base/log.h"
#include "store/lazy.h"

enum { IDLE_MS = 2000, RETRY_FIRST_MS = 100, RETRY_LAST_MS = 1000, CLOSE_WAIT_S = 5 };

static usec_t now_us(void)
{
    return clock_mono(&clock_real);
}

static bool is_final(int e)
{
    return e != -ENOSPC && e != -EROFS && e != -EACCES && e != -EIO && e != -EBUSY;
}

/* -- telling */

static void tell_health(struct writer *w, int code, const struct err *err)
{
    if (code == w->health)
        return;
    if (code)
        log_error(err->slug, "the database takes no changes", LOG_CSTR("why", err->text));
    else
        log_info("store.healthy", "the database takes changes again");
    w->health = code;
    struct health_msg *m = xnew0(struct health_msg);
    m->m.kind = MSG_HEALTH;
    m->code = code;
    if (code)
        m->err = *err;
    store__mail(w->s, &m->m);
}

static void failed(struct writer *w, int e, const struct err *err)
{
    atomic_fetch_add(&w->s->n_failures, 1);
    w->backoff = w->backoff ? w->backoff * 2 : RETRY_FIRST_MS * USEC_PER_MS;
    if (w->backoff > RETRY_LAST_MS * USEC_PER_MS)
        w->backoff = RETRY_LAST_MS * USEC_PER_MS;
    w->try_at = now_us() + w->backoff;
    if (is_final(e))
        w->is_fatal = true;
    tell_health(w, e, err);
}

static void succeeded(struct writer *w)
{
    w->backoff = 0;
    w->try_at = 0;
    tell_health(w, 0, NULL);
}

static void mail_drifts(struct writer *w)
{
    for (size_t i = 0; i < w->drifts.n; i++)
        store__mail(w->s, &w->drifts.v[i]->m);
    w->drifts.n = 0;
}

static void drop_drifts(struct writer *w)
{
    for (size_t i = 0; i < w->drifts.n; i++)
        free(w->drifts.v[i]);
    w->drifts.n = 0;
}

/* -- transactions */

static int begin(struct writer *w)
{
    int e = db_begin(w->db);
    return e < 0 ? e : lazy_begin(w);
}

static int write_tally(struct writer *w)
{
    if (memcmp(&w->now, &w->durable, sizeof(w->now)) == 0)
        return 0;
    return db_run(
        w->db, "UPDATE tally SET output = ?, events = ?, history = ?, delta = ?, trails = ? WHERE id = 1",
        VALS(V_INT(w->now.output), V_INT(w->now.events), V_INT(w->now.history), V_INT(w->now.delta),
             V_INT(w->now.trails)));
}

/* Commits what was done since begin() if @e >= 0, else undoes it. Returns @e or the commit's failure. */
static int end(struct writer *w, int e, struct err *err)
{
    int r = e < 0 ? e : lazy_commit(w);

    if (r >= 0)
        r = write_tally(w);
    if (r >= 0)
        r = db_commit(w->db);
    /* An error is an answer too: the watchdog looks for a database that hangs, and a full disk must not get
     * us killed. */
    atomic_store(&w->s->alive_at, now_us());
    if (r < 0) {
        store__err(err, r, "write", w->s->path, w->db);
        db_rollback(w->db);
        w->now = w->durable;
        lazy_undo(w);
        drop_drifts(w);
        return r;
    }
    w->durable = w->now;
    mail_drifts(w);
    return e;
}

static int run_units(struct writer *w, uint64_t *ret_rows)
{
    uint64_t n = 0;
    int e = begin(w);

    for (size_t i = 0; i < w->pending.n && e >= 0; i++) {
        for (const struct op *op = w->pending.v[i]->first; op && e >= 0; op = op->next)
            e = op->fn(w, op->args);
        n += w->pending.v[i]->n_ops;
    }
    *ret_rows = n;
    return e;
}

static void note_sizes(struct writer *w)
{
    uint64_t db_bytes = 0, wal_bytes = 0;

    DB__DRIVER(w->db)->sizes(w->db, &db_bytes, &wal_bytes);
    atomic_store(&w->s->db_bytes, db_bytes);
    atomic_store(&w->s->wal_bytes, wal_bytes);
}

static void commit_pending(struct writer *w)
{
    struct store *s = w->s;
    struct err err = { 0 };
    uint64_t n_rows, ticket = w->pending.v[w->pending.n - 1]->ticket, n_units = w->pending.n;
    usec_t start = now_us();
    size_t held = 0;

    if (end(w, run_units(w, &n_rows), &err) < 0) {
        failed(w, err.code, &err);
        return;
    }
    for (size_t i = 0; i < w->pending.n; i++) {
        held += arena_used(w->pending.v[i]->a);
        unit_free(w->pending.v[i]);
    }
    w->pending.n = 0;
    succeeded(w);
    atomic_fetch_sub(&s->held_bytes, held);
    atomic_fetch_add(&s->n_units, n_units);
    atomic_fetch_add(&s->n_rows, n_rows);
    if ((atomic_fetch_add(&s->n_commits, 1) & 63) == 0)
        note_sizes(w);
    atomic_store(&s->commit_us, now_us() - start);
    atomic_store(&s->durable, ticket);
    if (s->conf.wake)
        s->conf.wake(s->conf.wake_ctx);
    tidy__after_commit(w);
}

static void retain(struct writer *w, struct retain_msg *m)
{
    struct err err = { 0 };

    if (w->is_fatal || w->pending.n) {
        m->result = w->health;
    } else {
        int e = begin(w);
        if (e == 0)
            e = retain__step(w, &m->r, m->now);
        m->result = end(w, e, &err);
        if (m->result < 0)
            failed(w, m->result, &err);
        else
            DB__DRIVER(w->db)->shrink(w->db, 256);
    }
    store__mail(w->s, &m->m);
}

/* -- when nothing happens */

/* A real write: only that shows that the disk has room again. */
static void probe_write(struct writer *w)
{
    struct err err = { 0 };
    int e = begin(w);

    if (e == 0)
        e = db_run(w->db,
                   "INSERT INTO meta (name, value) VALUES ('probe', ?) ON CONFLICT (name) DO UPDATE SET "
                   "value = excluded.value",
                   VALS(V_BLOB(STR("1"))));
    if (end(w, e, &err) < 0)
        failed(w, err.code, &err);
    else
        succeeded(w);
}

static void file_lazy(struct writer *w)
{
    struct err err = { 0 };

    if (lazy_is_empty(w))
        return;
    int e = begin(w);
    if (e == 0)
        e = lazy_file_all(w);
    if (end(w, e, &err) < 0)
        failed(w, err.code, &err);
    else
        atomic_fetch_add(&w->s->n_commits, 1);
}

static void idle(struct writer *w)
{
    int64_t n;

    if (w->is_fatal)
        return;
    if (w->health) {
        probe_write(w);
        return;
    }
    int e = db_number(w->db, "SELECT delta FROM tally WHERE id = 1", NULL, 0, &n);
    atomic_store(&w->s->alive_at, now_us());
    if (e < 0) {
        struct err err = { 0 };
        failed(w, store__err(&err, e, "read", w->s->path, w->db), &err);
        return;
    }
    file_lazy(w);
    tidy__when_idle(w);
    note_sizes(w);
}

static int wait_ms(const struct writer *w)
{
    if (w->is_fatal)
        return IDLE_MS;
    if (w->pending.n || w->health) {
        usec_t now = now_us();
        return w->try_at > now ? (int)((w->try_at - now) / USEC_PER_MS) + 1 : 0;
    }
    return IDLE_MS;
}

/* After the queue is closed waiting on it returns at once; retries need a pause all the same. */
static void pause_ms(int ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000L };
    nanosleep(&t, NULL);
}

static void sort_in(struct writer *w, struct qmsg *m, struct qmsg **retains)
{
    for (struct qmsg *next; m; m = next) {
        next = m->next;
        if (((struct msg *)m)->kind == MSG_UNIT) {
            *vec_add(&w->pending) = (struct unit *)m;
        } else {
            m->next = NULL;
            *retains = m;
            retains = &m->next;
        }
    }
}

void *writer_main(void *arg)
{
    struct writer *w = arg;
    usec_t give_up = 0;

    pthread_setname_np(pthread_self(), "store-write");
    for (;;) {
        struct qmsg *retains = NULL, *got = queue_wait_all(w->s->to_writer, wait_ms(w));
        sort_in(w, got, &retains);
        bool is_due = !w->is_fatal && now_us() >= w->try_at;
        if (w->pending.n && is_due)
            commit_pending(w);
        else if (!got && !w->pending.n && is_due && !queue_is_closed(w->s->to_writer))
            idle(w);
        for (struct qmsg *next; retains; retains = next) {
            next = retains->next;
            retain(w, (struct retain_msg *)retains);
        }
        if (!queue_is_closed(w->s->to_writer) || got)
            continue;
        if (!w->pending.n || w->is_fatal)
            break;
        if (!give_up)
            give_up = now_us() + CLOSE_WAIT_S * USEC_PER_SEC;
        if (now_us() >= give_up)
            break;
        pause_ms(wait_ms(w));
    }
    if (!w->is_fatal && !w->pending.n && !w->health)
        file_lazy(w); /* the next start need not */
    return NULL;
}

int writer_init(struct writer *w)
{
    AUTO(rows_done) struct rows *r = NULL;
    int e = db_query(w->db, "SELECT output, events, history, delta, trails FROM tally WHERE id = 1", NULL, 0, &r);

    if (e == 0)
        e = rows_next(r);
    if (e == 1)
        w->now = w->durable = (struct tally){ .output = col_i64(r, 0),
                                              .events = col_i64(r, 1),
                                              .history = col_i64(r, 2),
                                              .delta = col_i64(r, 3),
                                              .trails = col_i64(r, 4) };
    if (e == 0)
        e = -EBADMSG;
    rows_done(TAKE(r));
    note_sizes(w);
    return e < 0 ? e : lazy_open(w);
}

int high__raise(struct writer *w, const char *noun, uint64_t id)
{
    return db_run(
        w->db,
        "INSERT INTO high (noun, id) VALUES (?, ?) ON CONFLICT (noun) DO UPDATE SET id = excluded.id "
        "WHERE excluded.id > high.id",
        VALS(V_TEXT(str_of(noun)), V_INT(id)));
}
