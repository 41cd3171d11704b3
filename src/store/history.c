/* store/history.c - inventory, reading: sections as they are now, and what changed when. */
#include <errno.h>

#include "base/limits.h"
#include "store/facts.h"
#include "store/lazy.h"

static int keep(struct read *rd, struct str from, struct str *to)
{
    *to = from.len ? arena_str(rd->a, from) : STR("");
    return to->ptr ? 0 : -ENOBUFS;
}

/* -- current */

struct section_row {
    struct fact_head h;
    struct str body;
    int64_t last_id;
    bool is_gone;
};

/* The head @h as a row of @rd, in place of an older one of that section. */
static int put_section(struct read *rd, const struct fact_head *h, int64_t last_id)
{
    struct section_row *row = NULL;
    int e;

    for (struct read_row *r = rd->first; r && !row; r = r->next)
        if (str_eq(((struct section_row *)r->row)->h.section, h->section))
            row = (struct section_row *)r->row;
    if (!row && !(row = read__row(rd, sizeof(*row))))
        return -ENOBUFS;
    *row = (struct section_row){ .h = *h, .last_id = last_id };
    e = keep(rd, h->section, &row->h.section);
    return e < 0 ? e : keep(rd, h->message, &row->h.message);
}

struct overlaying {
    struct read *rd;
    int e;
};

/* What is committed but not filed yet (lazy.h). */
static void on_overlay(void *ctx, const struct fact_head *h, int64_t last_id)
{
    struct overlaying *o = ctx;

    if (!h)
        for (struct read_row *r = o->rd->first; r; r = r->next)
            ((struct section_row *)r->row)->is_gone = true;
    else if (o->e == 0 && (!o->rd->args.s1.ptr || str_eq(o->rd->args.s1, h->section)))
        o->e = put_section(o->rd, h, last_id);
}

#define HEAD_COLS                                                                                            \
    "SELECT host_id, section, status, message, digest, taken_at, received_at, n_rows, last_id FROM "         \
    "fact_head "

/* The heads of a host, or one of them, as rows of @rd. */
static int read_heads(struct db *db, struct read *rd)
{
    AUTO(rows_done) struct rows *r = NULL;
    struct overlaying o = { .rd = rd };
    bool one = rd->args.s1.ptr;
    int e = one ? db_query(db, HEAD_COLS "WHERE host_id = ? AND section = ?",
                           VALS(V_INT(rd->args.id), V_TEXT(rd->args.s1)), &r)
                : db_query(db, HEAD_COLS "WHERE host_id = ? ORDER BY section", VALS(V_INT(rd->args.id)), &r);

    while (e == 0 && (e = rows_next(r)) == 1) {
        struct fact_head h;
        facts__head(r, &h);
        e = put_section(rd, &h, col_i64(r, 8));
    }
    if (e == 0)
        e = lazy_overlay(db, rd->args.id, on_overlay, &o);
    return e < 0 ? e : o.e;
}

static int run_facts(struct db *db, struct read *rd)
{
    int e = read_heads(db, rd);

    for (struct read_row *r = rd->first; r && e == 0; r = r->next) {
        struct section_row *row = (struct section_row *)r->row;
        AUTO(buf_done) struct buf body = BUF(64 << 20);
        if (row->is_gone)
            continue;
        e = facts__current(db, row->h.host_id, row->h.section, row->last_id, &body);
        if (e >= 0)
            e = keep(rd, buf_as_str(&body), &row->body);
        row->h.n_rows = body_count(row->body);
    }
    return e;
}

static void deliver_section(const struct read *rd, const void *row)
{
    const struct section_row *s = row;

    if (!s->is_gone)
        ((store_section_fn)rd->row)(rd->ctx, &s->h, s->body);
}

void store_read_facts(struct store *s, uint64_t host_id, struct str section, store_section_fn row,
                      store_done_fn done, void *ctx)
{
    struct read *rd = read_new(run_facts, deliver_section, (void (*)(void))row, done, ctx);

    rd->args.id = host_id;
    if (section.ptr)
        rd->args.s1 = arena_str(rd->a, section);
    store__read(s, rd);
}

/* -- changes. A change's id is its delta's number and its place in it: pages may end inside a delta. */

enum { PLACE_BITS = 16 };

struct one_change {
    struct str key, before, after;
};

/* Changes of one delta, in its order. '-' key old directly followed by '+' key new is one change. */
static int split(struct arena *a, struct str delta, struct one_change **ret, size_t *ret_n)
{
    struct fact_row row;
    size_t pos = 0, n = 0;
    char op;

    while (delta_next(delta, &pos, &op, &row) == 1)
        n++;
    struct one_change *all = arena_array(a, n, sizeof(*all));
    if (!all && n)
        return -ENOBUFS;
    bool was_removal = false;
    n = pos = 0;
    while (delta_next(delta, &pos, &op, &row) == 1) {
        if (op == '+' && was_removal && str_eq(all[n - 1].key, row.key))
            all[n - 1].after = row.json;
        else
            all[n++] = (struct one_change){ row.key, op == '-' && row.json.len ? row.json : STR_NONE,
                                            op == '+' ? row.json : STR_NONE };
        was_removal = op == '-';
    }
    *ret = all;
    *ret_n = n;
    return 0;
}

/* The chains of a host's sections, merged newest first: the next delta is the highest of their heads. */
struct chain {
    struct str section;
    int64_t next;
};
struct chains {
    struct chain v[64];
    size_t n;
};

static int open_chains(struct db *db, struct read *rd, struct chains *c)
{
    int e = read_heads(db, rd);

    for (struct read_row *r = rd->first; r && e == 0 && c->n < ARRAY_SIZE(c->v); r = r->next) {
        const struct section_row *row = (const struct section_row *)r->row;
        if (!row->is_gone && row->last_id)
            c->v[c->n++] = (struct chain){ row->h.section, row->last_id };
    }
    rd->first = NULL; /* these were for us */
    rd->last = &rd->first;
    return e;
}

static struct chain *newest(struct chains *c)
{
    struct chain *best = NULL;

    for (size_t i = 0; i < c->n; i++)
        if (c->v[i].next && (!best || c->v[i].next > best->next))
            best = &c->v[i];
    return best;
}

static int add_changes(struct read *rd, struct rows *r, struct str section, uint64_t id, uint32_t *left)
{
    struct str delta = col_keep(r, 2, rd->a);
    struct one_change *all;
    size_t n;
    int e = delta.ptr ? split(rd->a, delta, &all, &n) : -ENOBUFS;

    if (e < 0)
        return e;
    for (size_t i = n; i-- > 0 && *left > 0;) {
        uint64_t change_id = id << PLACE_BITS | (i & ((1 << PLACE_BITS) - 1));
        if (rd->args.from && change_id >= rd->args.from)
            continue;
        struct fact_change *c = read__row(rd, sizeof(*c));
        if (!c)
            return -ENOBUFS;
        *c = (struct fact_change){
            change_id, col_u64(r, 1), section, all[i].key, all[i].before, all[i].after
        };
        --*left;
    }
    return 0;
}

static int step_chain(struct db *db, struct read *rd, struct chain *c, uint32_t *left)
{
    AUTO(rows_done) struct rows *r = NULL;
    int64_t id = c->next;
    int e = db_query(db, "SELECT prev_id, at, delta FROM fact_delta WHERE id = ?", VALS(V_INT(id)), &r);

    if (e == 0)
        e = rows_next(r);
    c->next = e == 1 ? col_i64(r, 0) : 0; /* not there: retention has been here */
    /* The delta that holds the last change of the page before may have more. */
    if (e == 1 && (!rd->args.from || (uint64_t)id <= rd->args.from >> PLACE_BITS))
        e = add_changes(rd, r, c->section, (uint64_t)id, left);
    return e;
}

static int run_changes(struct db *db, struct read *rd)
{
    struct chains chains = { 0 };
    uint32_t left = rd->args.limit;
    struct chain *c;
    int e = open_chains(db, rd, &chains);

    while (e >= 0 && left > 0 && (c = newest(&chains)))
        e = step_chain(db, rd, c, &left);
    return e < 0 ? e : 0;
}

static void deliver_change(const struct read *rd, const void *row)
{
    ((store_change_fn)rd->row)(rd->ctx, row);
}

void store_read_changes(struct store *s, uint64_t host_id, struct str section, uint64_t before,
                        uint32_t limit, store_change_fn row, store_done_fn done, void *ctx)
{
    struct read *rd = read_new(run_changes, deliver_change, (void (*)(void))row, done, ctx);

    rd->args.id = host_id;
    rd->args.from = before;
    rd->args.limit = limit;
    if (section.ptr)
        rd->args.s1 = arena_str(rd->a, section);
    store__read(s, rd);
}
