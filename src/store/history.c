/* store/history.c - inventory, reading: sections as they are now, and what changed when. */
#include <errno.h>

#include "base/limits.h"
#include "store/facts.h"

static int keep(struct read *rd, struct str from, struct str *to)
{
    *to = from.len ? arena_str(rd->a, from) : STR("");
    return to->ptr ? 0 : -ENOBUFS;
}

/* -- current */

struct section_row {
    struct fact_head h;
    struct str body;
};

static int read_heads(struct db *db, struct read *rd)
{
    AUTO(rows_done) struct rows *r = NULL;
    bool one = rd->args.s1.ptr;
    int e = one ? db_query(db,
                           "SELECT host_id, section, status, message, digest, taken_at, received_at, n_rows FROM fact_head"
                           " WHERE host_id = ? AND section = ?",
                           VALS(V_INT(rd->args.id), V_TEXT(rd->args.s1)), &r)
                : db_query(db,
                           "SELECT host_id, section, status, message, digest, taken_at, received_at, n_rows FROM fact_head"
                           " WHERE host_id = ? ORDER BY section",
                           VALS(V_INT(rd->args.id)), &r);

    while (e == 0 && (e = rows_next(r)) == 1) {
        struct section_row *row = read__row(rd, sizeof(*row));
        if (!row)
            return -ENOBUFS;
        facts__head(r, &row->h);
        e = keep(rd, row->h.section, &row->h.section);
        if (e == 0)
            e = keep(rd, row->h.message, &row->h.message);
    }
    return e;
}

static int run_facts(struct db *db, struct read *rd)
{
    int e = read_heads(db, rd);

    for (struct read_row *r = rd->first; r && e == 0; r = r->next) {
        struct section_row *row = (struct section_row *)r->row;
        AUTO(buf_done) struct buf body = BUF(64 << 20);
        e = facts__current(db, row->h.host_id, row->h.section, &body);
        if (e >= 0)
            e = keep(rd, buf_as_str(&body), &row->body);
        row->h.n_rows = body_count(row->body);
    }
    return e;
}

static void deliver_section(const struct read *rd, const void *row)
{
    const struct section_row *s = row;
    ((store_section_fn)rd->row)(rd->ctx, &s->h, s->body);
}

void store_read_facts(struct store *s, uint64_t host_id, struct str section, store_section_fn row, store_done_fn done, void *ctx)
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

static int add_changes(struct read *rd, struct rows *r, uint32_t *left)
{
    struct str delta = arena_str(rd->a, col_str(r, 3)), section;
    struct one_change *all;
    size_t n;
    uint64_t id = col_u64(r, 0);
    int e = delta.ptr ? keep(rd, col_str(r, 1), &section) : -ENOBUFS;

    if (e == 0)
        e = split(rd->a, delta, &all, &n);
    if (e < 0)
        return e;
    for (size_t i = n; i-- > 0 && *left > 0;) {
        uint64_t change_id = id << PLACE_BITS | (i & ((1 << PLACE_BITS) - 1));
        if (rd->args.from && change_id >= rd->args.from)
            continue;
        struct fact_change *c = read__row(rd, sizeof(*c));
        if (!c)
            return -ENOBUFS;
        *c = (struct fact_change){ change_id, col_u64(r, 2), section, all[i].key, all[i].before, all[i].after };
        --*left;
    }
    return 0;
}

static int run_changes(struct db *db, struct read *rd)
{
    AUTO(rows_done) struct rows *r = NULL;
    uint32_t left = rd->args.limit;
    /* The delta that holds the last change of the page before may have more. */
    int64_t newest = rd->args.from ? (int64_t)(rd->args.from >> PLACE_BITS) : INT64_MAX;
    int e;

    /* Ids first, out of the index alone: sorting must not drag the deltas along. */
    if (rd->args.s1.ptr)
        e = db_query(db,
                     "SELECT id, section, at, delta FROM fact_delta WHERE host_id = ? AND section = ? AND id <= ?"
                     " ORDER BY id DESC LIMIT ?",
                     VALS(V_INT(rd->args.id), V_TEXT(rd->args.s1), V_INT(newest), V_INT((int64_t)left + 1)), &r);
    else
        e = db_query(db,
                     "SELECT id, section, at, delta FROM fact_delta WHERE id IN (SELECT id FROM fact_delta WHERE host_id = ?"
                     " AND id <= ? ORDER BY id DESC LIMIT ?) ORDER BY id DESC",
                     VALS(V_INT(rd->args.id), V_INT(newest), V_INT((int64_t)left + 1)), &r);
    while (e == 0 && left > 0 && (e = rows_next(r)) == 1)
        e = add_changes(rd, r, &left);
    return e < 0 ? e : 0;
}

static void deliver_change(const struct read *rd, const void *row)
{
    ((store_change_fn)rd->row)(rd->ctx, row);
}

void store_read_changes(struct store *s, uint64_t host_id, struct str section, uint64_t before, uint32_t limit,
                        store_change_fn row, store_done_fn done, void *ctx)
{
    struct read *rd = read_new(run_changes, deliver_change, (void (*)(void))row, done, ctx);

    rd->args.id = host_id;
    rd->args.from = before;
    rd->args.limit = limit;
    if (section.ptr)
        rd->args.s1 = arena_str(rd->a, section);
    store__read(s, rd);
}
