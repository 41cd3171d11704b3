/* store/facts.c - inventory, writing: a base and the deltas not yet folded into it. docs/decisions/0003.
 *
 *   fact_body: packages as of delta 812            fact_delta: 815, 820, 821 (packages, unfolded)
 *   current = body + 815 + 820 + 821; after FOLD_AT of them the sum becomes the new body
 *
 * The deltas of a section are a chain: fact_head.last_id, then prev_id of each.
 *
 * A report in full replaces the body; the difference to what was current is filed in fact_delta as history,
 * with what was there before ('-' key old, '+' key new). Its number is the body's folded_id, so it is never
 * applied again. */
#define LOG_TARGET "store"
#include <errno.h>

#include "base/limits.h"
#include "base/log.h"
#include "store/facts.h"

/* A large delta is folded at once, so that a body and its open deltas stay far below PARTS_BYTES. */
enum { FOLD_AT = 32, FOLD_BYTES = 256 << 10, PARTS_BYTES = 64 << 20 };

struct put_facts {
    struct fact_head h;
    struct str body; /* or the delta */
    bool no_history;
};

#define HEAD_SQL(n_rows, n_unfolded, last, before)                                                           \
    "INSERT INTO fact_head (host_id, section, status, message, digest, taken_at, received_at, n_rows, "      \
    "last_id, n_unfolded,"                                                                                   \
    " before_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (host_id, section) DO UPDATE SET"      \
    " status = excluded.status, message = excluded.message, digest = excluded.digest, taken_at = "           \
    "excluded.taken_at,"                                                                                     \
    " received_at = excluded.received_at, n_rows = " n_rows ", n_unfolded = " n_unfolded ", last_id = " last \
    ", before_id = " before

static struct str digest_str(const struct fact_digest *d)
{
    return str_bytes(d->b, SHA256_LEN);
}

#define HEAD_VALS(h, n_rows, last, n_unfolded)                                                               \
    VALS(V_INT((h)->host_id), V_TEXT((h)->section), V_INT((h)->status), V_TEXT((h)->message),                \
         V_BLOB(digest_str(&(h)->digest)), V_INT((h)->taken_at), V_INT((h)->received_at), V_INT(n_rows),     \
         V_INT(last), V_INT(n_unfolded))

static int put_history(struct writer *w, const struct fact_head *h, int64_t prev_id, struct str delta)
{
    w->now.history += (int64_t)delta.len + ROW_OVERHEAD;
    return db_run(
        w->db, "INSERT INTO fact_delta (id, prev_id, host_id, section, at, delta) VALUES (?, ?, ?, ?, ?, ?)",
        VALS(V_INT(w->now.delta), V_INT(prev_id), V_INT(h->host_id), V_TEXT(h->section),
             V_INT(h->received_at), V_BLOB(delta)));
}

static int put_body(struct writer *w, uint64_t host_id, struct str section, int64_t folded_id,
                    struct str body)
{
    return db_run(w->db,
                  "INSERT INTO fact_body (host_id, section, folded_id, body) VALUES (?, ?, ?, ?) ON CONFLICT "
                  "(host_id, section)"
                  " DO UPDATE SET folded_id = excluded.folded_id, body = excluded.body",
                  VALS(V_INT(host_id), V_TEXT(section), V_INT(folded_id), V_BLOB(body)));
}

/* -- current = body + deltas */

struct parts {
    struct buf bytes; /* the body, then each delta, newest first */
    size_t body_len;
    int64_t last_id; /* newest of what is in it */
    VEC(size_t) ends;
};

static void parts_done(struct parts *p)
{
    buf_done(&p->bytes);
    vec_done(&p->ends);
}
DEFINE_AUTO_VALUE(struct parts, parts_done)

static int load_body(struct db *db, uint64_t host_id, struct str section, struct parts *p,
                     int64_t *ret_folded_id)
{
    AUTO(rows_done) struct rows *r = NULL;
    int e = db_query(db, "SELECT folded_id, body FROM fact_body WHERE host_id = ? AND section = ?",
                     VALS(V_INT(host_id), V_TEXT(section)), &r);

    *ret_folded_id = 0;
    if (e == 0)
        e = rows_next(r);
    if (e != 1)
        return e;
    *ret_folded_id = col_i64(r, 0);
    e = buf_str(&p->bytes, col_str(r, 1));
    p->body_len = p->bytes.len;
    return e < 0 ? e : 1;
}

/* One delta of the chain: 1 and *@id moves to the one before, 0 not there. */
static int load_delta(struct db *db, struct parts *p, int64_t *id)
{
    AUTO(rows_done) struct rows *r = NULL;
    int e = db_query(db, "SELECT prev_id, delta FROM fact_delta WHERE id = ?", VALS(V_INT(*id)), &r);

    if (e == 0)
        e = rows_next(r);
    if (e != 1)
        return e;
    *id = col_i64(r, 0);
    e = buf_str(&p->bytes, col_str(r, 1));
    *vec_add(&p->ends) = p->bytes.len;
    return e < 0 ? e : 1;
}

/* 1 there is a body, 0 there is none (deltas may still be there), -errno. */
static int parts_load(struct db *db, uint64_t host_id, struct str section, struct parts *p)
{
    int64_t folded_id, id;
    int has_body = load_body(db, host_id, section, p, &folded_id), e;

    if (has_body < 0)
        return has_body;
    e = db_number(db, "SELECT last_id FROM fact_head WHERE host_id = ? AND section = ?",
                  VALS(V_INT(host_id), V_TEXT(section)), &p->last_id);
    id = p->last_id;
    while (e == 1 && id > folded_id)
        e = load_delta(db, p, &id);
    return e < 0 ? e : has_body;
}

static int parts_sum(const struct parts *p, struct buf *out)
{
    struct str all = buf_as_str(&p->bytes);
    VEC(struct str) deltas = { 0 };

    for (size_t i = p->ends.n; i-- > 0;) {
        size_t start = i ? p->ends.v[i - 1] : p->body_len;
        *vec_add(&deltas) = str_sub(all, start, p->ends.v[i] - start);
    }
    int e = body_apply_all(str_sub(all, 0, p->body_len), deltas.v, deltas.n, out);
    vec_done(&deltas);
    return e;
}

int facts__current(struct db *db, uint64_t host_id, struct str section, struct buf *out)
{
    AUTO(parts_done) struct parts p = { .bytes = BUF(PARTS_BYTES) };
    int has_body = parts_load(db, host_id, section, &p);

    if (has_body < 0)
        return has_body;
    if (!has_body && p.ends.n == 0)
        return 0;
    int e = parts_sum(&p, out);
    /* What cannot be added up shows as its last good base; folding will tell of the drift. */
    if (e == -EBADMSG || e == -ENOBUFS)
        e = buf_str(out, str_sub(buf_as_str(&p.bytes), 0, p.body_len));
    return e < 0 ? e : 1;
}

/* -- folding */

static void add_drift(struct writer *w, uint64_t host_id, struct str section)
{
    struct drift_msg *m = xnew0(struct drift_msg);

    m->m.kind = MSG_DRIFT;
    m->host_id = host_id;
    (void)str_copy(section, m->section, sizeof(m->section));
    *vec_add(&w->drifts) = m;
    log_debug("store.drift", "a section is not what its digest says", LOG_U64("host", host_id),
              LOG_STR("section", section));
}

/* @body is current now. Is it what the head promises? */
static int head_after_fold(struct writer *w, uint64_t host_id, struct str section, struct str body)
{
    struct fact_digest is, said = { 0 };
    struct rows *r;
    int e = db_query(w->db, "SELECT digest FROM fact_head WHERE host_id = ? AND section = ?",
                     VALS(V_INT(host_id), V_TEXT(section)), &r);

    if (e < 0)
        return e;
    if ((e = rows_next(r)) == 1)
        col_copy(r, 0, said.b, SHA256_LEN);
    rows_done(r);
    if (e < 0)
        return e;
    body_digest(body, &is);
    if (!fact_digest_eq(&is, &said))
        add_drift(w, host_id, section);
    return db_run(
        w->db,
        "UPDATE fact_head SET digest = ?, n_rows = ?, n_unfolded = 0 WHERE host_id = ? AND section = ?",
        VALS(V_BLOB(digest_str(&is)), V_INT(body_count(body)), V_INT(host_id), V_TEXT(section)));
}

int facts__fold(struct writer *w, uint64_t host_id, struct str section)
{
    AUTO(parts_done) struct parts p = { .bytes = BUF(PARTS_BYTES) };
    AUTO(buf_done) struct buf sum = BUF(PARTS_BYTES);
    int e = parts_load(w->db, host_id, section, &p);

    if (e < 0)
        return e;
    if (p.ends.n == 0)
        return 0;
    e = parts_sum(&p, &sum);
    if (e == -EBADMSG || e == -ENOBUFS)
        e = buf_str(&sum, str_sub(buf_as_str(&p.bytes), 0, p.body_len)); /* its digest will not fit: drift */
    if (e == 0)
        e = put_body(w, host_id, section, p.last_id, buf_as_str(&sum));
    return e < 0 ? e : head_after_fold(w, host_id, section, buf_as_str(&sum));
}

/* -- ops */

static int put_delta(struct writer *w, const void *args)
{
    const struct put_facts *p = args;
    const struct fact_head *h = &p->h;

    if (p->body.len == 0) /* its state changed, its rows did not */
        return db_run(
            w->db,
            HEAD_SQL("fact_head.n_rows", "fact_head.n_unfolded", "fact_head.last_id", "fact_head.before_id"),
            HEAD_VALS(h, 0, 0, 0));
    int64_t prev_id = 0, n_unfolded = 0, id = ++w->now.delta;
    AUTO(rows_done) struct rows *r = NULL;
    int e = db_query(w->db,
                     HEAD_SQL("fact_head.n_rows", "fact_head.n_unfolded + 1", "excluded.last_id",
                              "fact_head.last_id") " RETURNING before_id, n_unfolded",
                     HEAD_VALS(h, 0, id, 1), &r);
    if (e == 0)
        e = rows_next(r);
    if (e < 0)
        return e;
    prev_id = col_i64(r, 0);
    n_unfolded = col_i64(r, 1);
    rows_done(TAKE(r));
    e = put_history(w, h, prev_id, p->body);
    if (e < 0)
        return e;
    return n_unfolded >= FOLD_AT || p->body.len > FOLD_BYTES ? facts__fold(w, h->host_id, h->section) : 0;
}

struct diffing {
    struct buf out;
    int e;
};

static void add_diff(void *ctx, struct str key, struct str before, struct str after)
{
    struct diffing *d = ctx;

    if (d->e < 0)
        return;
    if (before.ptr)
        d->e = delta_add(&d->out, '-', key, before);
    if (after.ptr && d->e == 0)
        d->e = delta_add(&d->out, '+', key, after);
}

/* What changed, as history: 1 filed as now.delta, 0 nothing changed, -errno. The very first report is no
 * change. */
static int put_diff(struct writer *w, const struct put_facts *p)
{
    AUTO(buf_done) struct buf old = BUF(PARTS_BYTES);
    struct diffing d = { .out = BUF(4 * (size_t)LIMIT_SECTION_BYTES) };
    int64_t prev_id = 0;
    int e = facts__current(w->db, p->h.host_id, p->h.section, &old);

    if (e <= 0)
        return e;
    body_diff(buf_as_str(&old), p->body, add_diff, &d);
    e = 0;
    if (d.e == 0 && d.out.len)
        e = db_number(w->db, "SELECT last_id FROM fact_head WHERE host_id = ? AND section = ?",
                      VALS(V_INT(p->h.host_id), V_TEXT(p->h.section)), &prev_id);
    if (e == 1) {
        w->now.delta++;
        e = put_history(w, &p->h, prev_id, buf_as_str(&d.out));
        e = e < 0 ? e : 1;
    }
    buf_done(&d.out);
    return e;
}

static int put_full(struct writer *w, const void *args)
{
    const struct put_facts *p = args;
    const struct fact_head *h = &p->h;
    int filed = p->no_history ? 0 : put_diff(w, p), e = filed;

    /* Everything filed so far, folded or not, is history now: ids up to now.delta. */
    if (e >= 0)
        e = put_body(w, h->host_id, h->section, w->now.delta, p->body);
    if (e < 0)
        return e;
    if (filed)
        return db_run(w->db, HEAD_SQL("excluded.n_rows", "0", "excluded.last_id", "fact_head.last_id"),
                      HEAD_VALS(h, body_count(p->body), w->now.delta, 0));
    return db_run(w->db, HEAD_SQL("excluded.n_rows", "0", "fact_head.last_id", "fact_head.before_id"),
                  HEAD_VALS(h, body_count(p->body), 0, 0));
}

static int forget_chain(struct writer *w, int64_t id)
{
    while (id) {
        struct rows *r;
        int64_t gone = id;
        int e = db_query(w->db, "SELECT prev_id, LENGTH(delta) FROM fact_delta WHERE id = ?", VALS(V_INT(id)),
                         &r);
        if (e < 0)
            return e;
        e = rows_next(r);
        id = e == 1 ? col_i64(r, 0) : 0;
        w->now.history -= e == 1 ? col_i64(r, 1) + ROW_OVERHEAD : 0;
        rows_done(r);
        if (e == 1)
            e = db_run(w->db, "DELETE FROM fact_delta WHERE id = ?", VALS(V_INT(gone)));
        if (e < 0)
            return e;
    }
    return 0;
}

int facts__forget(struct writer *w, uint64_t host_id)
{
    VEC(int64_t) chains = { 0 };
    struct rows *r;
    int e = db_query(w->db, "SELECT last_id FROM fact_head WHERE host_id = ?", VALS(V_INT(host_id)), &r);

    if (e < 0)
        return e;
    while ((e = rows_next(r)) == 1)
        *vec_add(&chains) = col_i64(r, 0);
    rows_done(r);
    for (size_t i = 0; i < chains.n && e >= 0; i++)
        e = forget_chain(w, chains.v[i]);
    vec_done(&chains);
    if (e >= 0)
        e = db_run(w->db, "DELETE FROM fact_body WHERE host_id = ?", VALS(V_INT(host_id)));
    if (e == 0)
        e = db_run(w->db, "DELETE FROM fact_head WHERE host_id = ?", VALS(V_INT(host_id)));
    return e;
}

/* -- loop */

static struct put_facts *put_facts(struct store *s, op_fn fn, const struct fact_head *h, struct str bytes)
{
    struct put_facts *p = OP(s, fn, struct put_facts);

    p->h = *h;
    p->h.section = store__keep(s, h->section);
    p->h.message = store__keep(s, h->message);
    p->body = store__keep(s, bytes);
    return p;
}

void store_put_facts_full(struct store *s, const struct fact_head *h, struct str body, bool no_history)
{
    put_facts(s, put_full, h, body)->no_history = no_history;
}

void store_put_facts_delta(struct store *s, const struct fact_head *h, struct str delta)
{
    put_facts(s, put_delta, h, delta);
}

void facts__head(struct rows *r, struct fact_head *h)
{
    *h = (struct fact_head){
        .host_id = col_u64(r, 0),
        .section = col_str(r, 1),
        .status = (enum section_status)col_u32(r, 2),
        .message = col_str(r, 3),
        .taken_at = col_u64(r, 5),
        .received_at = col_u64(r, 6),
        .n_rows = col_u64(r, 7),
    };
    col_copy(r, 4, h->digest.b, SHA256_LEN);
}

int store_load_fact_heads(struct store *s, void (*fn)(void *ctx, const struct fact_head *h), void *ctx,
                          struct err *err)
{
    struct db *db = store__load_db(s);
    AUTO(rows_done) struct rows *r = NULL;
    int e = db_query(
        db,
        "SELECT host_id, section, status, message, digest, taken_at, received_at, n_rows FROM fact_head"
        " ORDER BY host_id, section",
        NULL, 0, &r);

    while (e == 0 && (e = rows_next(r)) == 1) {
        struct fact_head h;
        facts__head(r, &h);
        fn(ctx, &h);
        e = 0;
    }
    return e < 0 ? store__err(err, e, "read the inventory in", s->path, db) : 0;
}
