/* store/facts.c - inventory, writing: a base and the deltas not yet folded into it. docs/decisions/0003.
 *
 *   fact_body: packages as of delta 812            fact_delta: 815, 820, 821 (packages, unfolded)
 *   current = body + 815 + 820 + 821; after at most FOLD_AT of them the sum becomes the new body
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
#include "store/lazy.h"

/* A large delta is folded at once, so that a body and its open deltas stay far below PARTS_BYTES. */
enum { FOLD_AT = 32, FOLD_SPREAD = 16, FOLD_BYTES = 256 << 10, PARTS_BYTES = 64 << 20 };

uint32_t facts__fold_at(uint64_t host_id, struct str section)
{
    uint64_t n = host_id * 64 + (section.len ? (uint8_t)section.ptr[0] : 0);

    return FOLD_AT - (uint32_t)(n * 0x9e3779b97f4a7c15u >> 32) % FOLD_SPREAD;
}

struct put_facts {
    struct fact_head h;
    struct str body; /* or the delta */
    bool no_history;
};

/* Files @delta as the newest of its section. */
static int put_history(struct writer *w, struct lazy_head *head, usec_t at, struct str delta)
{
    int64_t prev_id = head->last_id;

    head->last_id = ++w->now.delta;
    w->now.history += (int64_t)delta.len + ROW_OVERHEAD;
    return db_run(
        w->db, "INSERT INTO fact_delta (id, prev_id, host_id, section, at, delta) VALUES (?, ?, ?, ?, ?, ?)",
        VALS(V_INT(head->last_id), V_INT(prev_id), V_INT(head->key.host_id), V_TEXT(lazy_section(head)),
             V_INT(at), V_BLOB(delta)));
}

/* All but the digest. */
static void put_state(struct lazy_head *head, const struct fact_head *h)
{
    head->status = h->status;
    head->taken_at = h->taken_at;
    head->received_at = h->received_at;
    lazy_set_message(head, h->message);
}

static void put_head(struct lazy_head *head, const struct fact_head *h)
{
    put_state(head, h);
    head->digest = h->digest;
    head->is_blind = false;
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

/* The deltas from @last_id down. 1 there is a body, 0 there is none (deltas may still be there), -errno. */
static int parts_load(struct db *db, uint64_t host_id, struct str section, int64_t last_id, struct parts *p)
{
    int64_t folded_id, id = last_id;
    int has_body = load_body(db, host_id, section, p, &folded_id), e = 1;

    if (has_body < 0)
        return has_body;
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

int facts__current(struct db *db, uint64_t host_id, struct str section, int64_t last_id, struct buf *out)
{
    AUTO(parts_done) struct parts p = { .bytes = BUF(PARTS_BYTES) };
    int has_body = parts_load(db, host_id, section, last_id, &p);

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

static int fold(struct writer *w, struct lazy_head *head)
{
    AUTO(parts_done) struct parts p = { .bytes = BUF(PARTS_BYTES) };
    AUTO(buf_done) struct buf sum = BUF(PARTS_BYTES);
    uint64_t host_id = head->key.host_id;
    struct str section = lazy_section(head);
    struct fact_digest is;
    int e = parts_load(w->db, host_id, section, head->last_id, &p);

    if (e < 0 || p.ends.n == 0)
        return e < 0 ? e : 0;
    e = parts_sum(&p, &sum);
    if (e == -EBADMSG || e == -ENOBUFS) /* its digest will not fit: drift */
        e = buf_str(&sum, str_sub(buf_as_str(&p.bytes), 0, p.body_len));
    if (e == 0)
        e = put_body(w, host_id, section, head->last_id, buf_as_str(&sum));
    if (e < 0)
        return e;
    body_digest(buf_as_str(&sum), &is);
    if (!head->is_blind && !fact_digest_eq(&is, &head->digest))
        add_drift(w, host_id, section);
    head->is_blind = false;
    head->digest = is;
    head->n_rows = body_count(buf_as_str(&sum));
    head->n_unfolded = 0;
    return 0;
}

int facts__fold(struct writer *w, uint64_t host_id, struct str section)
{
    int e;
    struct lazy_head *head = lazy_head(w, host_id, section, &e);
    return head ? fold(w, head) : e;
}

/* -- ops */

static int add_delta(struct writer *w, struct lazy_head *head, const struct put_facts *p)
{
    if (p->body.len == 0) /* its state changed, its rows did not */
        return 0;
    int e = put_history(w, head, p->h.received_at, p->body);
    if (e < 0)
        return e;
    return ++head->n_unfolded >= facts__fold_at(head->key.host_id, lazy_section(head)) || p->body.len > FOLD_BYTES ? fold(w, head) : 0;
}

static int put_delta(struct writer *w, const void *args)
{
    const struct put_facts *p = args;
    int e;
    struct lazy_head *head = lazy_head(w, p->h.host_id, p->h.section, &e);

    if (!head)
        return e;
    put_head(head, &p->h);
    return add_delta(w, head, p);
}

static int put_blind(struct writer *w, const void *args)
{
    const struct put_facts *p = args;
    int e;
    struct lazy_head *head = lazy_head(w, p->h.host_id, p->h.section, &e);

    if (!head)
        return e;
    put_state(head, &p->h);
    if (p->body.len)
        head->is_blind = true; /* until it is folded, or somebody promises a digest again */
    return add_delta(w, head, p);
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

/* What changed, as history. The very first report is no change. */
static int put_diff(struct writer *w, const struct put_facts *p, struct lazy_head *head)
{
    AUTO(buf_done) struct buf old = BUF(PARTS_BYTES);
    struct diffing d = { .out = BUF(4 * (size_t)LIMIT_SECTION_BYTES) };
    int e = facts__current(w->db, p->h.host_id, p->h.section, head->last_id, &old);

    if (e <= 0)
        return e;
    body_diff(buf_as_str(&old), p->body, add_diff, &d);
    e = d.e == 0 && d.out.len ? put_history(w, head, p->h.received_at, buf_as_str(&d.out)) : 0;
    buf_done(&d.out);
    return e;
}

static int put_full(struct writer *w, const void *args)
{
    const struct put_facts *p = args;
    int e;
    struct lazy_head *head = lazy_head(w, p->h.host_id, p->h.section, &e);

    if (head && !p->no_history)
        e = put_diff(w, p, head);
    /* Everything filed so far, folded or not, is history now: ids up to now.delta. */
    if (e == 0)
        e = put_body(w, p->h.host_id, p->h.section, w->now.delta, p->body);
    if (e < 0)
        return e;
    put_head(head, &p->h);
    head->n_rows = body_count(p->body);
    head->n_unfolded = 0;
    return 0;
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

/* -- moving: the chain and the body go under another name, and the head is copied. Its old place is left empty, in the journal too. */

struct move_facts {
    uint64_t from, to;
    struct str section, to_section;
};

static int move_chain(struct writer *w, const struct move_facts *m, int64_t id)
{
    int e = 0;
    while (id && e == 0) {
        int64_t prev_id = 0; /* not there: retention has been here */
        e = db_number(w->db, "SELECT prev_id FROM fact_delta WHERE id = ?", VALS(V_INT(id)), &prev_id);
        if (e >= 0)
            e = db_run(w->db, "UPDATE fact_delta SET host_id = ?, section = ? WHERE id = ?",
                       VALS(V_INT(m->to), V_TEXT(m->to_section), V_INT(id)));
        id = prev_id;
    }
    return e;
}

static int move_head(struct writer *w, const struct move_facts *m, struct lazy_head *old)
{
    int e;
    struct lazy_head *head = lazy_head(w, m->to, m->to_section, &e);

    if (!head)
        return e;
    e = forget_chain(w, head->last_id);
    if (e < 0)
        return e;
    head->status = old->status;
    head->is_blind = old->is_blind;
    head->n_unfolded = old->n_unfolded;
    head->digest = old->digest;
    head->taken_at = old->taken_at;
    head->received_at = old->received_at;
    head->n_rows = old->n_rows;
    head->last_id = old->last_id;
    lazy_set_message(head, str_of(old->message));
    old->last_id = 0; /* forgetting @from goes down its chains */
    old->n_rows = 0;
    old->n_unfolded = 0;
    return 0;
}

static int move(struct writer *w, const void *args)
{
    const struct move_facts *m = args;
    int e;
    struct lazy_head *old = lazy_head(w, m->from, m->section, &e);

    if (!old)
        return e;
    e = db_run(w->db, "DELETE FROM fact_body WHERE host_id = ? AND section = ?", VALS(V_INT(m->to), V_TEXT(m->to_section)));
    if (e == 0)
        e = move_chain(w, m, old->last_id);
    if (e == 0)
        e = db_run(w->db, "UPDATE fact_body SET host_id = ?, section = ? WHERE host_id = ? AND section = ?",
                   VALS(V_INT(m->to), V_TEXT(m->to_section), V_INT(m->from), V_TEXT(m->section)));
    if (e == 0)
        e = db_run(w->db, "UPDATE fact_head SET last_id = 0 WHERE host_id = ? AND section = ?",
                   VALS(V_INT(m->from), V_TEXT(m->section)));
    return e < 0 ? e : move_head(w, m, old);
}

int facts__forget(struct writer *w, uint64_t host_id)
{
    VEC(int64_t) chains = { 0 };
    struct rows *r;
    int64_t last_id;
    /* A head in memory is newer than its row; going down a chain twice finds nothing the second time. */
    int e = db_query(w->db, "SELECT last_id FROM fact_head WHERE host_id = ?", VALS(V_INT(host_id)), &r);

    if (e < 0)
        return e;
    while ((e = rows_next(r)) == 1)
        *vec_add(&chains) = col_i64(r, 0);
    rows_done(r);
    for (void *it = NULL; (it = lazy_next_chain(w, host_id, it, &last_id));)
        *vec_add(&chains) = last_id;
    for (size_t i = chains.n; i-- > 0 && e >= 0;)
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

void store_put_facts_blind(struct store *s, const struct fact_head *h, struct str delta)
{
    put_facts(s, put_blind, h, delta);
}

void store_move_facts(struct store *s, uint64_t from, struct str section, uint64_t to, struct str to_section)
{
    struct move_facts *m = OP(s, move, struct move_facts);

    *m = (struct move_facts){ .from = from, .to = to };
    m->section = store__keep(s, section);
    m->to_section = store__keep(s, to_section);
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
