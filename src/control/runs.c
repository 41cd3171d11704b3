/* control/runs.c - the book of runs: rows, indexes, states, what goes when there are too many. Loop thread.
 *
 * Runs are read whole at the start and kept: their rows are small (the snapshot, shared by reruns, is a row of its own) and capped,
 * per owner and together; the owner's oldest that is over makes room. */
#include "base/rand.h"
#include "base/text.h"

#include "control/run_priv.h"

enum { TICK_US = 5 * 1000 * 1000 };

/* -- rows own their strings */
static void own_list(void *member, size_t pair)
{
    struct any_list *l = member;
    struct str *copy = l->n ? xcalloc(l->n * pair, sizeof(*copy)) : NULL;
    for (size_t i = 0; i < l->n * pair; i++) {
        struct str s = ((const struct str *)l->v)[i];
        copy[i] = s.len ? (struct str){ str_dup(s), s.len } : STR_NONE;
    }
    l->v = copy;
}

static void drop_list(void *member, size_t pair)
{
    struct any_list *l = member;
    for (size_t i = 0; i < l->n * pair; i++)
        free((char *)(uintptr_t)((struct str *)l->v)[i].ptr);
    free(l->v);
    *l = (struct any_list){ 0 };
}

_Static_assert(sizeof(struct kv) == 2 * sizeof(struct str), "a pair is two strings");
_Static_assert(sizeof(struct json_text) == sizeof(struct str), "JSON text is a string");

static void walk(const struct record *rec, void *row, bool owns)
{
    for (size_t i = 0; i < rec->n_fields; i++) {
        const struct field *f = &rec->fields[i];
        void *member = (char *)row + f->offset;
        struct str *s = member;
        switch (f->type) {
        case FT_STR:
        case FT_JSON:
            if (owns)
                *s = s->len ? (struct str){ str_dup(*s), s->len } : STR_NONE;
            else
                run__set_raw(s, STR_NONE);
            break;
        case FT_STR_LIST:
        case FT_MAP:
            (owns ? own_list : drop_list)(member, f->type == FT_MAP ? 2 : 1);
            break;
        case FT_BOOL:
        case FT_I32:
        case FT_U32:
        case FT_I64:
        case FT_U64:
        case FT_F64:
        case FT_TIME:
        case FT_TIME_MS:
        case FT_DURATION:
        case FT_ENUM:
            break;
        case FT_BYTES:
        case FT_SUB:
        case FT_LIST:
            assert(!"a row of runs is flat");
        }
    }
}

void run__own(const struct record *rec, void *row)
{
    walk(rec, row, true);
}

void run__drop(const struct record *rec, void *row)
{
    walk(rec, row, false);
}

void run__set_raw(struct str *member, struct str s)
{
    char *copy = s.len ? str_dup(s) : NULL; /* first: @s may be the old one */
    free((char *)(uintptr_t)member->ptr);
    *member = (struct str){ copy, copy ? s.len : 0 };
}

bool run__set(struct control *c, struct str *member, struct str s, size_t max)
{
    arena_reset(c->scratch);
    s = text__clean(c->scratch, s, max);
    if (str_eq(*member, s))
        return false;
    run__set_raw(member, s);
    return true;
}

/* Bytes of @s inside a JSON document, at most. */
size_t run__json_len(struct str s)
{
    size_t n = s.len;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char b = (unsigned char)s.ptr[i];
        n += b < 0x20 || b == 0x7f ? 5 : b == '"' || b == '\\' ? 1 : 0;
    }
    return n;
}

/* -- found */
struct run *run__by_id(const struct control *c, uint64_t id)
{
    struct run *r = NULL;
    HASH_FIND(hh_id, run__book(c)->by_id, &id, sizeof(id), r);
    return r;
}

struct run *run__by_batch(const struct control *c, struct str batch_id)
{
    struct run *r = NULL;
    if (batch_id.len)
        HASH_FIND(hh, run__book(c)->by_batch, batch_id.ptr, batch_id.len, r);
    return r;
}

/* -- snapshots */
static struct run_snapshot *snapshot_by_id(const struct control *c, uint64_t id)
{
    struct run_snapshot *s = NULL;
    HASH_FIND(hh, run__book(c)->snapshots, &id, sizeof(id), s);
    return s;
}

static struct run_snapshot *snapshot_file(struct control *c, uint64_t id, const struct run_snapshot_row *row)
{
    struct run_snapshot *s = xnew0(struct run_snapshot);
    s->id = id;
    s->row = *row;
    run__own(&run_snapshot_record, &s->row);
    HASH_ADD(hh, run__book(c)->snapshots, id, sizeof(s->id), s);
    return s;
}

static void snapshot_charge(struct control *c, struct run_snapshot *s, uint64_t owner_id)
{
    s->charged_to = owner_id;
    run__charge(c, owner_id, &s->bytes, run__bytes(&run_snapshot_record, &s->row));
}

static void snapshot_free(struct control *c, struct run_snapshot *s)
{
    run__charge(c, s->charged_to, &s->bytes, 0);
    HASH_DEL(run__book(c)->snapshots, s);
    for (size_t i = 0; i < s->row.env.n; i++) /* likely to hold somebody's keys */
        secret_wipe((char *)(uintptr_t)s->row.env.v[i].value.ptr, s->row.env.v[i].value.len);
    run__drop(&run_snapshot_record, &s->row);
    free(s);
}

struct run_snapshot *run__snapshot_new(struct control *c, uint64_t owner_id, const struct run_snapshot_row *row)
{
    struct run_snapshot *s = snapshot_file(c, object__next(c, OBJECT_RUN_SNAPSHOT), row);
    snapshot_charge(c, s, owner_id);
    store_put_object(c->store, OBJECT_RUN_SNAPSHOT, s->id, 0, &run_snapshot_record, &s->row);
    return s;
}

void run__snapshot_set(struct control *c, struct run *r, struct run_snapshot *s)
{
    (void)c;
    assert(!r->snapshot);
    r->snapshot = s;
    r->row.snapshot_id = s ? s->id : 0;
    if (s)
        s->n_refs++;
}

/* -- made, kept, gone */
static void charge(struct control *c, struct run *r)
{
    run__charge(c, r->row.owner_id, &r->bytes, sizeof(*r) + run__bytes(&run_record, &r->row));
}

void run__item_changed(struct control *c, const struct run *r, struct run_item *i)
{
    run__charge(c, r->row.owner_id, &i->bytes, sizeof(*i) + run__bytes(&run_item_record, &i->row));
}

void run__put(struct control *c, struct run *r)
{
    charge(c, r);
    store_put_object(c->store, OBJECT_RUN, r->id, 0, &run_record, &r->row);
}

void run__put_often(struct control *c, struct run *r)
{
    charge(c, r);
    store_put_object_often(c->store, OBJECT_RUN, r->id, 0, &run_record, &r->row);
}

static struct run *file(struct control *c, uint64_t id, const struct run_row *row)
{
    struct run_book *b = run__book(c);
    struct run *r = xnew0(struct run);
    r->id = id;
    r->row = *row;
    run__own(&run_record, &r->row);
    HASH_ADD_KEYPTR(hh, b->by_batch, r->row.batch_id.ptr, r->row.batch_id.len, r);
    HASH_ADD(hh_id, b->by_id, id, sizeof(r->id), r);
    DL_APPEND(b->all, r);
    charge(c, r);
    return r;
}

static void item_free(struct control *c, struct run *r, struct run_item *i)
{
    run__charge(c, r->row.owner_id, &i->bytes, 0);
    HASH_DEL(r->items, i);
    run__book(c)->n_items--;
    run__drop(&run_item_record, &i->row);
    free(i);
}

static void run_free(struct control *c, struct run *r, bool is_forgotten)
{
    struct run_book *b = run__book(c);
    struct run_item *i, *next;
    HASH_ITER(hh, r->items, i, next)
    {
        if (is_forgotten)
            store_del_object(c->store, OBJECT_RUN_ITEM, i->id);
        item_free(c, r, i);
    }
    while (r->commands) {
        if (is_forgotten)
            store_del_object(c->store, OBJECT_RUN_COMMAND, r->commands->id);
        run__command_drop(c, r->commands);
    }
    if (r->snapshot && --r->snapshot->n_refs == 0) {
        if (is_forgotten)
            store_del_object(c->store, OBJECT_RUN_SNAPSHOT, r->snapshot->id);
        snapshot_free(c, r->snapshot);
    }
    run__charge(c, r->row.owner_id, &r->bytes, 0);
    HASH_DELETE(hh_id, b->by_id, r);
    HASH_DELETE(hh, b->by_batch, r);
    DL_DELETE(b->all, r);
    run__drop(&run_record, &r->row);
    free(r);
}

static void forget(struct control *c, struct run *r)
{
    run__unshare_all(c, r);
    store_del_object(c->store, OBJECT_RUN, r->id);
    store_del_trail(c->store, TRAIL_RUN_EVENT, r->id);
    store_del_trail(c->store, TRAIL_RUN_LOG, r->id);
    run_free(c, r, true);
}

/* The oldest that is over, of @owner_id or of everybody, and nothing an agent still works on. */
static bool make_room(struct control *c, uint64_t owner_id, bool of_owner, const struct run *keep)
{
    struct run *r;
    DL_FOREACH(run__book(c)->all, r)
    {
        if (r == keep || (of_owner && r->row.owner_id != owner_id) || !run_is_over((enum run_state)r->row.state))
            continue;
        const struct run_command *cmd = r->commands;
        while (cmd && run__command_is_closed(c, cmd))
            cmd = cmd->next;
        if (cmd)
            continue;
        forget(c, r);
        return true;
    }
    return false;
}

bool run__make_room(struct control *c, uint64_t owner_id, size_t more, const struct run *keep, struct err *err)
{
    while (!run__has_room(c, owner_id, more))
        if (!make_room(c, owner_id, true, keep))
            goto none;
    while (run__is_full(c, more))
        if (!make_room(c, 0, false, keep))
            goto none;
    return true;
none:
    err_set(err, -EBUSY, "run.too_many", "the runs that are under way take all the room there is");
    return false;
}

struct run *run__new(struct control *c, struct str batch_id, uint64_t owner_id, const struct run *keep, struct err *err)
{
    struct run_book *b = run__book(c);
    uint32_t n_own = 0;
    const struct run *r;
    DL_FOREACH(b->all, r)
    n_own += r->row.owner_id == owner_id;
    if ((n_own >= RUNS_PER_OWNER && !make_room(c, owner_id, true, keep)) ||
        (HASH_CNT(hh_id, b->by_id) >= RUNS_MAX && !make_room(c, 0, false, keep))) {
        err_set(err, -EBUSY, "run.too_many", "too many runs are under way");
        return NULL;
    }
    const struct run_row row = { .batch_id = batch_id,
                                 .owner_id = owner_id,
                                 .route_owner_id = owner_id,
                                 .state = RUN_PENDING,
                                 .created_at = control__wall(c),
                                 .last_heard = control__wall(c) };
    return file(c, object__next(c, OBJECT_RUN), &row);
}

/* -- what happened */
uint64_t run__history(struct control *c, const struct run *r, enum run_event_type t, const char *by, struct str data)
{
    const struct trail_row row = { .id = c->next.trail++, .kind = TRAIL_RUN_EVENT, .parent = r->id, .at = control__wall(c) };
    const struct run_event_row e = {
        .type = str_of(name_of(run_event_history_names, (int)t)), .by = str_of(by), .at = row.at, .data = { data }
    };
    store_put_trail(c->store, &row, &run_event_record, &e);
    return row.id;
}

/* Every viewer of the fleet reads this: no word of why, which quotes what the run printed. The batch has it. */
static void tell_state(struct control *c, const struct run *r)
{
    struct details d = { 0 };
    details_str(details_str(&d, "run", r->row.batch_id), "project", r->row.project);
    details_str(details_str(&d, "state", str_of(name_of(run_state_names, (int)r->row.state))), "owner",
                run_person(c, r->row.owner_id));
    event_emit(c, "run.changed", NULL, &d.list);
}

struct run_step run__input(struct control *c, struct run *r, enum run_input in, const char *reason)
{
    struct run_step step = run_step((enum run_state)r->row.state, in);
    if (!step.legal || step.is_same)
        return step;
    bool was_over = run_is_over((enum run_state)r->row.state);
    r->row.state = step.to;
    if (run_is_over(step.to)) {
        r->row.end_time = control__wall(c);
        r->over_mono = control__mono(c);
    } else if (was_over) { /* begun anew: what was said of the last time is not true of this one */
        r->row.end_time = r->row.stop_at = 0;
        run__set_raw(&r->row.failure_reason, STR_NONE);
        run__set_raw(&r->row.stop_by, STR_NONE);
    }
    if (reason && *reason)
        run__set(c, &r->row.failure_reason, str_of(reason), RUN_REASON_MAX);
    run__put(c, r);
    tell_state(c, r);
    return step;
}

void run__audit(struct control *c, const struct principal *p, const char *verb, struct str target, const struct details *d)
{
    audit__row(c, p->name, NULL, verb, target, "ok", NULL, d);
}

int run__refused(struct control *c, const struct principal *p, const char *verb, struct str target, const struct err *err)
{
    struct details d = { 0 };
    details_str(&d, "why", str_of(err->text));
    refusal__row(c, err->code == -EBUSY ? REFUSED_LIMITED : REFUSED_PRINCIPAL, p->name, NULL, verb, target,
                 err->code == -EACCES || err->code == -EBUSY ? "denied" : "failed", err->slug, &d);
    return err->code;
}

/* -- start, end, time */
static void load_snapshot(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    (void)parent;
    snapshot_file(ctx, id, obj);
}

static void load_run(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    struct control *c = ctx;
    struct run *r = file(c, id, obj);
    (void)parent;
    struct run_snapshot *s = r->row.snapshot_id ? snapshot_by_id(c, r->row.snapshot_id) : NULL;
    if (s && !s->n_refs)
        snapshot_charge(c, s, r->row.route_owner_id);
    run__snapshot_set(c, r, s);
    r->over_mono = run_is_over((enum run_state)r->row.state) ? control__mono(c) : 0;
}

static void load_item(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    struct control *c = ctx;
    struct run *r = run__by_id(c, parent);
    if (!r)
        return;
    struct run_item *i = xnew0(struct run_item);
    i->id = id;
    i->row = *(const struct run_item_row *)obj;
    run__own(&run_item_record, &i->row);
    HASH_ADD_KEYPTR(hh, r->items, i->row.item_id.ptr, i->row.item_id.len, i);
    run__book(c)->n_items++;
    run__item_changed(c, r, i);
}

static void drop_orphans(struct control *c)
{
    struct run_snapshot *s, *next;
    HASH_ITER(hh, run__book(c)->snapshots, s, next)
    if (s->n_refs == 0) {
        store_del_object(c->store, OBJECT_RUN_SNAPSHOT, s->id);
        snapshot_free(c, s);
    }
}

static int load(struct control *c, struct err *err)
{
    c->noun[NOUN_RUNS] = xnew0(struct run_book);
    int r = store_load_objects(c->store, OBJECT_RUN_SNAPSHOT, &run_snapshot_record, load_snapshot, c, err);
    if (r == 0)
        r = store_load_objects(c->store, OBJECT_RUN, &run_record, load_run, c, err);
    if (r == 0)
        r = store_load_objects(c->store, OBJECT_RUN_ITEM, &run_item_record, load_item, c, err);
    if (r == 0)
        r = run__load_access(c, err);
    if (r == 0)
        r = run__load_agents(c, err);
    if (r == 0)
        r = run__load_commands(c, err);
    if (r == 0)
        drop_orphans(c);
    return r;
}

static void release(struct control *c)
{
    struct run_book *b = run__book(c);
    if (!b)
        return;
    for (size_t i = 0; i < b->waiters.n; i++)
        b->waiters.v[i].wake(b->waiters.v[i].ctx);
    vec_done(&b->waiters);
    while (b->all)
        run_free(c, b->all, false);
    struct run_snapshot *s, *next;
    HASH_ITER(hh, b->snapshots, s, next)
    snapshot_free(c, s);
    run__free_agents(c);
    run__free_access(c);
    run__recent_free(c);
    run__locks_free(c);
    free(b);
    c->noun[NOUN_RUNS] = NULL;
}

/* Its agent refused it, and a day later nobody has asked for it again: it need not take room for ever. */
static bool is_left_lying(const struct run *r, usec_t now)
{
    if (r->row.state != RUN_REQUESTED || run__command_open(r, RUN_COMMAND_RERUN))
        return false;
    const struct run_command *cmd = run__command_newest(r, RUN_COMMAND_RERUN);
    usec_t since = cmd && cmd->row.ended_at ? cmd->row.ended_at : r->row.requested_at;
    return now > since && now - since > RUN_DELIVER_WITHIN;
}

/* Silence, by the server's clock only. */
static void look_after(struct control *c)
{
    static const char given_up[] = "not a word since it was asked to stop";
    struct run *r;
    usec_t now = control__wall(c);
    DL_FOREACH(run__book(c)->all, r)
    {
        bool is_live = r->row.state == RUN_RUNNING || r->row.state == RUN_STOPPING;
        usec_t since = r->row.stop_at > r->row.last_heard ? r->row.stop_at : r->row.last_heard;
        if (is_left_lying(r, now))
            run__input(c, r, RUN_IN_UNWANTED, "its agent could not start it, and nobody asked again");
        if (!is_live || now <= since || now - since <= RUN_SILENCE)
            continue;
        run__input(c, r, RUN_IN_SILENCE, r->row.state == RUN_STOPPING ? given_up : NULL);
        if (run_is_over((enum run_state)r->row.state))
            run__commands_give_up(c, r, given_up);
    }
}

static void tick(struct control *c, usec_t mono)
{
    struct run_book *b = run__book(c);
    for (size_t i = 0; i < b->waiters.n;) {
        struct run_waiter w = b->waiters.v[i];
        if (w.until > mono && !c->is_stopping) {
            i++;
            continue;
        }
        vec_del_swap(&b->waiters, i);
        w.wake(w.ctx);
    }
    if (mono < b->tick_at || store_health(c->store, NULL) < 0)
        return;
    b->tick_at = mono + TICK_US;
    run__commands_tick(c, mono);
    look_after(c);
}

const struct noun noun_runs = {
    .name = "runs",
    .load = load,
    .free = release,
    .tick = tick,
    .host_gone = run__agent_host_gone,
    .host_decided = run__agent_host_decided,
    .host_linked = run__agent_host_linked,
    .task_changed = run__task_changed,
    .dialect = "argus",
    .heard_at = run__agent_heard_at,
};
