/* store/events.c - the fleet's event log. */
#include <errno.h>

#include "store/store_priv.h"

struct put_event {
    struct event e;
    struct str details_json;
};

static int put_event(struct writer *w, const void *args)
{
    const struct put_event *p = args;
    const struct event *ev = &p->e;

    w->now.events +=
        (int64_t)(ev->type.len + ev->host_id.len + ev->host.len + p->details_json.len) + ROW_OVERHEAD;
    return db_run(
        w->db,
        "INSERT INTO event (id, at, type, host_uuid, host_name, details_json) VALUES (?, ?, ?, ?, ?, ?)",
        VALS(V_INT(ev->id), V_INT(ev->at), V_TEXT(ev->type), V_TEXT(ev->host_id), V_TEXT(ev->host),
             V_TEXT(p->details_json)));
}

void store_put_event(struct store *s, const struct event *e)
{
    struct put_event *p = OP(s, put_event, struct put_event);

    p->e = *e;
    p->details_json = store__keep_map(s, &e->details);
    p->e.details = (struct kv_list){ 0 };
    p->e.type = store__keep(s, e->type);
    p->e.host_id = store__keep(s, e->host_id);
    p->e.host = store__keep(s, e->host);
}

/* -- reading */

#define EVENT_COLS "SELECT id, at, type, host_uuid, host_name, details_json FROM event "

/* Four queries and not one with "? = '' OR": the planner must see which key is given. */
static int query_events(struct db *db, const struct read_args *a, struct rows **r)
{
    bool has_host = a->s2.len > 0;

    if (a->newest_first && has_host)
        return db_query(
            db,
            EVENT_COLS
            "WHERE host_uuid = ? AND host_uuid <> '' AND (? = '' OR type = ?) ORDER BY id DESC LIMIT ?",
            VALS(V_TEXT(a->s2), V_TEXT(a->s1), V_TEXT(a->s1), V_INT(a->limit)), r);
    if (a->newest_first)
        return db_query(db, EVENT_COLS "WHERE ? = '' OR type = ? ORDER BY id DESC LIMIT ?",
                        VALS(V_TEXT(a->s1), V_TEXT(a->s1), V_INT(a->limit)), r);
    if (has_host)
        return db_query(
            db,
            EVENT_COLS
            "WHERE host_uuid = ? AND host_uuid <> '' AND id > ? AND (? = '' OR type = ?) ORDER BY id LIMIT ?",
            VALS(V_TEXT(a->s2), V_INT(a->from), V_TEXT(a->s1), V_TEXT(a->s1), V_INT(a->limit)), r);
    return db_query(db, EVENT_COLS "WHERE id > ? AND (? = '' OR type = ?) ORDER BY id LIMIT ?",
                    VALS(V_INT(a->from), V_TEXT(a->s1), V_TEXT(a->s1), V_INT(a->limit)), r);
}

static int run_events(struct db *db, struct read *rd)
{
    AUTO(rows_done) struct rows *r = NULL;
    int e = query_events(db, &rd->args, &r);

    while (e == 0 && (e = rows_next(r)) == 1) {
        struct event *ev = read__row(rd, sizeof(*ev));
        if (!ev)
            return -ENOBUFS;
        *ev = (struct event){
            .id = col_u64(r, 0),
            .at = col_u64(r, 1),
            .type = col_keep(r, 2, rd->a),
            .host_id = col_keep(r, 3, rd->a),
            .host = col_keep(r, 4, rd->a),
        };
        col_map(r, 5, rd->a, &ev->details);
        e = 0;
    }
    return e;
}

static void deliver_event(const struct read *rd, const void *row)
{
    ((store_event_fn)rd->row)(rd->ctx, row);
}

void store_read_events(struct store *s, uint64_t after_id, bool newest_first, uint32_t limit, struct str type,
                       struct str host_uuid, store_event_fn row, store_done_fn done, void *ctx)
{
    struct read *rd = read_new(run_events, deliver_event, (void (*)(void))row, done, ctx);

    rd->args.from = after_id;
    rd->args.newest_first = newest_first && after_id == 0;
    rd->args.limit = limit;
    rd->args.s1 = arena_str(rd->a, type);
    rd->args.s2 = arena_str(rd->a, host_uuid);
    store__read(s, rd);
}
