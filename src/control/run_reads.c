/* control/run_reads.c - runs as people ask for them. Loop thread. */
#include "control/run_priv.h"

static bool is_wanted(struct control *c, const struct principal *p, const struct run_filter *f, const struct run *r,
                      enum run_right right)
{
    bool is_mine = run__is_owner(p, r->row.owner_id);
    if (right == RUN_RIGHT_NONE || (f->state && r->row.state != f->state))
        return false;
    if (f->project.len && !str_eq(f->project, r->row.project))
        return false;
    if (f->user.len && !str_eq(f->user, run_person(c, r->row.owner_id)) && !str_eq(f->user, r->row.os_user))
        return false;
    if (f->since && (r->row.start_time ? r->row.start_time : r->row.created_at) < f->since)
        return false;
    if (str_is(f->scope, "mine"))
        return is_mine;
    if (str_is(f->scope, "shared"))
        return !is_mine && (p->role != ROLE_ADMIN || right < RUN_RIGHT_OWN);
    return !str_is(f->scope, "public"); /* nothing is public here */
}

void run_list(struct control *c, const struct principal *p, const struct run_filter *f,
              void (*fn)(void *ctx, const struct run_view *v), void *ctx)
{
    struct run_book *b = run__book(c);
    AUTO(run__reach_done) struct run_reach reach = { 0 };
    uint32_t n = 0;
    run__reach(c, p, &reach);
    for (struct run *r = b->all ? b->all->prev : NULL; r && n < f->limit; r = r == b->all ? NULL : r->prev) {
        enum run_right right = run__right_in(c, p, &reach, r);
        if (!is_wanted(c, p, f, r, right))
            continue;
        struct run_view v;
        run__view(c, right, r, &v);
        fn(ctx, &v);
        n++;
    }
}

int run_get(struct control *c, const struct principal *p, struct str batch_id, struct run_view *ret, struct err *err)
{
    const struct run *r = run__for(c, p, batch_id, RUN_RIGHT_SEE, NULL, err);
    if (!r)
        return err->code;
    run__view(c, run__right(c, p, r), r, ret);
    return 0;
}

void run_items(struct control *c, uint64_t run_id, void (*fn)(void *ctx, const struct run_item_row *i), void *ctx)
{
    const struct run *r = run__by_id(c, run_id);
    for (const struct run_item *i = r ? r->items : NULL; i; i = i->hh.next)
        fn(ctx, &i->row);
}

void run_orders(struct control *c, uint64_t run_id, void (*fn)(void *ctx, const char *uuid, const struct run_command_row *cmd),
                void *ctx)
{
    const struct run *r = run__by_id(c, run_id);
    const struct run_command *cmd;
    DL_FOREACH(r ? r->commands : NULL, cmd)
    fn(ctx, cmd->uuid, &cmd->row);
}

struct log_read {
    void (*row)(void *ctx, uint64_t id, const struct run_log_row *l);
    void (*done)(void *ctx, int result);
    void *ctx;
};

static void on_row(void *ctx, const struct trail_row *t, const void *obj)
{
    struct log_read *x = ctx;
    x->row(x->ctx, t->id, obj);
}

static void on_done(void *ctx, int result)
{
    struct log_read *x = ctx;
    x->done(x->ctx, result);
    free(x);
}

void run_read_logs(struct control *c, uint64_t run_id, uint64_t after, uint32_t limit,
                   void (*row)(void *ctx, uint64_t id, const struct run_log_row *l), void (*done)(void *ctx, int result), void *ctx)
{
    struct log_read *x = xnew0(struct log_read);
    *x = (struct log_read){ row, done, ctx };
    control__flush(c);
    store_read_trail(c->store, TRAIL_RUN_LOG, run_id, after ? after : 1, 0, limit, &run_log_record, on_row, on_done, x);
}
