/* control/run_events.c - what scripts tell: each event once, by its id, and what follows from it for the run. Loop thread.
 *
 * An id is looked for among those seen lately, then in the store; reads come back in the order they were asked for, so events take
 * effect in the order they came. Ids are an owner's own: nobody can use up another's. */
#include "base/text.h"

#include "control/run_priv.h"

enum {
    EVENT_ARENA_MAX = 1 << 20,
    SNAPSHOT_JSON_MAX = 240 << 10,
    COMMAND_JSON_MAX = 160 << 10,
    METRICS_MAX = 4096,
    LINE_MAX = 32 << 10,
    DATA_MAX = 128 << 10,
    ENV_EACH_MAX = 64 << 10
};

struct ingest {
    struct life *life;
    struct principal p;
    struct arena *arena;
    struct run_event e; /* its strings are in @arena */
    uint8_t key[24];
    char key_text[64];
    uint64_t number; /* found or given */
    bool is_repeat;
    int result;
    struct err err;
    run_ingest_fn done;
    void *ctx;
};

/* -- seen lately */
static struct run_recent *recent(const struct control *c, const uint8_t key[24])
{
    struct run_recent *x = NULL;
    HASH_FIND(hh, run__book(c)->recent, key, 24, x);
    return x;
}

static void forget_recent(struct run_book *b, struct run_recent *x)
{
    HASH_DEL(b->recent, x);
    free(x);
}

static void remember(struct control *c, const uint8_t key[24], uint64_t number)
{
    struct run_book *b = run__book(c);
    if (recent(c, key))
        return;
    if (HASH_COUNT(b->recent) >= RUN_RECENT_EVENTS)
        forget_recent(b, b->recent); /* the one that came first */
    struct run_recent *x = xnew0(struct run_recent);
    memcpy(x->key, key, sizeof(x->key));
    x->number = number;
    HASH_ADD(hh, b->recent, key, sizeof(x->key), x);
}

void run__recent_free(struct control *c)
{
    while (run__book(c)->recent)
        forget_recent(run__book(c), run__book(c)->recent);
}

/* -- rate */
int run_ingest_admit(struct control *c, const struct principal *p, usec_t *ret_wait, struct err *err)
{
    char key[32];
    *ret_wait = 0;
    if (p->kind == PRINCIPAL_LOCAL || p->kind == PRINCIPAL_DEV) {
        err_set(err, -EACCES, "auth.required", "events need a reporter's token: Authorization: Bearer em_live_...");
        return run__refused(c, p, "run.ingest", STR_NONE, err);
    }
    if (p->kind != PRINCIPAL_KEY || !run_may_write(c, p)) {
        err_set(err, -EACCES, "run.reporter_only", "events need a reporter's token");
        return run__refused(c, p, "run.ingest", STR_NONE, err);
    }
    snprintf(key, sizeof(key), "%llu", (unsigned long long)p->token_id);
    if (admission_take(c->admission, 'i', str_of(key), &(struct rate){ 10, 60 }, control__mono(c), ret_wait))
        return 0;
    err_set(err, -EBUSY, "rate.limited", "this token may send 10 requests a second");
    return run__refused(c, p, "run.ingest", STR_NONE, err);
}

/* -- items */
static struct run_item *item_of(struct control *c, struct run *r, struct str item_id)
{
    struct run_item *i = NULL;
    HASH_FIND(hh, r->items, item_id.ptr, item_id.len, i);
    if (i || HASH_COUNT(r->items) >= RUN_ITEMS_MAX || run__book(c)->n_items >= RUN_ITEMS_TOTAL)
        return i;
    i = xnew0(struct run_item);
    i->id = object__next(c, OBJECT_RUN_ITEM);
    run__set_raw(&i->row.item_id, item_id);
    HASH_ADD_KEYPTR(hh, r->items, i->row.item_id.ptr, i->row.item_id.len, i);
    run__book(c)->n_items++;
    return i;
}

static void count_items(struct run *r)
{
    r->row.n_done = r->row.n_failed = 0;
    for (const struct run_item *i = r->items; i; i = i->hh.next) {
        enum run_item_class k = run_item_class_of(i->row.status);
        r->row.n_done += k == RUN_ITEM_GOOD;
        r->row.n_failed += k == RUN_ITEM_BAD;
    }
}

static void set_status(struct control *c, struct run_item *i, struct str status)
{
    char lower[32];
    struct str s = str_sub(status, 0, sizeof(lower));
    for (size_t k = 0; k < s.len; k++)
        lower[k] = (char)(s.ptr[k] >= 'A' && s.ptr[k] <= 'Z' ? s.ptr[k] + 32 : s.ptr[k]);
    run__set(c, &i->row.status, str_bytes(lower, s.len), sizeof(lower));
}

/* False: there is no room for one more. */
static bool take_item(struct control *c, struct run *r, const struct run_event *e)
{
    struct run_item *i = item_of(c, r, e->item_id);
    if (!i)
        return false;
    if (e->model.len)
        run__set(c, &i->row.model, e->model, 256);
    if (e->dataset.len)
        run__set(c, &i->row.dataset, e->dataset, 256);
    if (e->metrics.len && e->metrics.len <= METRICS_MAX)
        run__set_raw(&i->row.metrics.text, e->metrics);
    if (e->has_elapsed)
        i->row.elapsed_s = e->elapsed_s;
    if (!i->row.start_time)
        i->row.start_time = e->at;
    switch (e->type) {
    case RUN_EVENT_JOB_DONE:
        set_status(c, i, e->status.len ? e->status : STR("done"));
        i->row.end_time = e->at;
        break;
    case RUN_EVENT_JOB_FAILED:
        set_status(c, i, STR("failed"));
        i->row.end_time = e->at;
        break;
    default:
        if (run_item_class_of(i->row.status) == RUN_ITEM_OPEN)
            set_status(c, i, STR("running"));
        break;
    }
    count_items(r);
    run__item_changed(c, r, i);
    store_put_object_often(c->store, OBJECT_RUN_ITEM, i->id, r->id, &run_item_record, &i->row);
    return true;
}

/* -- snapshots */
/* First write wins, and only the owner's counts: anybody else could plant a command. Nor may the owner of a copy change what another's
 * agents run. */
static bool may_snapshot(const struct ingest *x, const struct run *r)
{
    return run__is_owner(&x->p, r->row.owner_id) && r->row.route_owner_id == r->row.owner_id && !r->snapshot;
}

/* As long as its record says, and small enough as JSON. */
static bool is_command_kept(struct str command)
{
    return command.len <= RUN_COMMAND_MAX && run__json_len(command) <= COMMAND_JSON_MAX;
}

static int check_snapshot(const struct run_event *e, struct err *err)
{
    size_t bytes = run__json_len(e->data_command) + run__json_len(e->cwd) + e->meta.len;
    bool fits = is_command_kept(e->data_command) && e->cwd.len <= 4096 && e->env.n <= 1024;
    for (size_t i = 0; i < e->env.n; i++) {
        bytes += run__json_len(e->env.v[i].key) + run__json_len(e->env.v[i].value) + 6;
        fits &= e->env.v[i].key.len <= ENV_EACH_MAX && e->env.v[i].value.len <= ENV_EACH_MAX;
    }
    if (bytes > SNAPSHOT_JSON_MAX || !fits)
        return err_set(err, -EMSGSIZE, "run.too_large", "a snapshot is at most %d bytes", SNAPSHOT_JSON_MAX);
    return 0;
}

static void take_snapshot(struct control *c, struct run *r, const struct run_event *e)
{
    const struct run_snapshot_row row = { .command = e->data_command, .cwd = e->cwd, .env = e->env, .meta = { e->meta } };
    run__snapshot_set(c, r, run__snapshot_new(c, r->row.owner_id, &row));
    run__put(c, r);
}

/* -- the run */
static void set_if_empty(struct control *c, struct str *member, struct str s, size_t max)
{
    if (!member->len && s.len)
        run__set(c, member, s, max);
}

static void take_source(struct control *c, struct run *r, const struct run_event *e)
{
    set_if_empty(c, &r->row.project, e->project, RUN_PROJECT_MAX);
    set_if_empty(c, &r->row.host, e->host, LIMIT_HOSTNAME);
    set_if_empty(c, &r->row.os_user, e->os_user, 128);
    set_if_empty(c, &r->row.commit, e->commit, 128);
    /* Of a copy the command is what it was started with. Commands stay as they are: line feeds and all. */
    struct str command = e->type == RUN_EVENT_BATCH_START && e->data_command.len ? e->data_command : e->command;
    if (!r->row.source_batch_id.len && !r->row.command.len && command.len && is_command_kept(command))
        run__set_raw(&r->row.command, command);
}

static void take_start(struct control *c, struct run *r, const struct run_event *e)
{
    if (!r->row.start_time)
        r->row.start_time = e->at;
    if (e->has_total)
        r->row.n_total = e->n_total;
    if (e->experiment_type.len)
        run__set(c, &r->row.experiment_type, e->experiment_type, 128);
    if (e->name.len && !r->row.source_batch_id.len)
        run__set(c, &r->row.name, e->name, RUN_NAME_MAX);
}

/* What the event does; false: it is kept without effect. */
static bool take_effect(struct control *c, const struct ingest *x, struct run *r)
{
    const struct run_event *e = &x->e;
    char why[RUN_REASON_MAX];
    enum run_input in = RUN_IN_NEWS;
    if (run__right(c, &x->p, r) < RUN_RIGHT_EDIT || (e->type == RUN_EVENT_SNAPSHOT && !may_snapshot(x, r)))
        return false;
    snprintf(why, sizeof(why), "%.*s", STR_FMT(str_sub(e->reason, 0, sizeof(why) - 1)));
    take_source(c, r, e);
    r->row.last_heard = control__wall(c);
    switch (e->type) {
    case RUN_EVENT_BATCH_START:
        take_start(c, r, e);
        in = RUN_IN_START;
        break;
    case RUN_EVENT_BATCH_DONE:
        in = RUN_IN_DONE;
        break;
    case RUN_EVENT_BATCH_FAILED:
        in = RUN_IN_FAILED;
        break;
    case RUN_EVENT_JOB_START:
    case RUN_EVENT_JOB_EPOCH:
    case RUN_EVENT_JOB_DONE:
    case RUN_EVENT_JOB_FAILED:
        if (!take_item(c, r, e))
            return false;
        break;
    case RUN_EVENT_SNAPSHOT:
        take_snapshot(c, r, e);
        break;
    case RUN_EVENT_RESOURCE:
    case RUN_EVENT_LOG:
    case RUN_EVENT_RERUN:
    case RUN_EVENT_STOP:
    case RUN_EVENT_EXIT:
        break;
    }
    if (!r->row.start_time && r->row.state != RUN_REQUESTED)
        r->row.start_time = e->at;
    run__put_often(c, r);
    run__input(c, r, in, in == RUN_IN_FAILED ? why : NULL);
    return true;
}

static uint64_t keep(struct control *c, const struct ingest *x, const struct run *r, bool is_ignored)
{
    const struct run_event *e = &x->e;
    bool is_log = e->type == RUN_EVENT_LOG && !is_ignored;
    const struct trail_row t = { .id = c->next.trail++,
                                 .kind = is_log ? TRAIL_RUN_LOG : TRAIL_RUN_EVENT,
                                 .parent = r->id,
                                 .at = control__wall(c),
                                 .key = str_of(x->key_text) };
    const struct run_log_row line = { .level = str_sub(e->level, 0, 32), .line = e->line, .item_id = e->item_id, .at = e->at };
    const struct run_event_row event = { .type = str_of(name_of(run_event_names, (int)e->type)),
                                         .item_id = e->item_id,
                                         .by = str_of(x->p.name),
                                         .at = e->at,
                                         .is_ignored = is_ignored,
                                         .data = { e->data } };
    if (is_log)
        store_put_trail(c->store, &t, &run_log_record, &line);
    else
        store_put_trail(c->store, &t, &run_event_record, &event);
    return t.id;
}

/* What the event adds to what is kept in memory, at most; @r NULL: a new run too. */
static size_t growth(const struct run *r, const struct run_event *e)
{
    size_t n = r ? 0 : RUN_ROOM_LEAST;
    struct run_item *i = NULL;
    if (!r || !r->row.command.len)
        n += e->command.len + e->data_command.len;
    if (e->type == RUN_EVENT_SNAPSHOT && !(r && r->snapshot)) {
        const struct run_snapshot_row row = { .command = e->data_command, .cwd = e->cwd, .env = e->env, .meta = { e->meta } };
        n += run__bytes(&run_snapshot_record, &row);
    }
    if (!run_event_is_of_item(e->type))
        return n;
    if (r)
        HASH_FIND(hh, r->items, e->item_id.ptr, e->item_id.len, i);
    n += i ? 0 : RUN_ROOM_LEAST;
    return n + (e->metrics.len > (i ? i->row.metrics.text.len : 0) ? e->metrics.len : 0);
}

/* Of whoever may not touch the run nothing is kept in memory. */
static bool has_room(struct control *c, struct ingest *x, const struct run *r)
{
    size_t more = r && run__right(c, &x->p, r) < RUN_RIGHT_EDIT ? 0 : growth(r, &x->e);
    return more == 0 || run__make_room(c, r ? r->row.owner_id : x->p.user_id, more, r, &x->err);
}

static int apply(struct control *c, struct ingest *x)
{
    struct run *r = run__by_batch(c, x->e.batch_id);
    int e = x->e.type == RUN_EVENT_SNAPSHOT ? check_snapshot(&x->e, &x->err) : 0;
    if (e < 0)
        return e;
    if (control_refuses_writes(c, &x->err))
        return -EAGAIN;
    if (!has_room(c, x, r))
        return x->err.code;
    if (!r && !(r = run__new(c, x->e.batch_id, x->p.user_id, NULL, &x->err)))
        return x->err.code;
    bool has_effect = take_effect(c, x, r);
    x->number = keep(c, x, r, !has_effect);
    remember(c, x->key, x->number);
    return 0;
}

/* -- one event on its way */
static void ingest_free(struct ingest *x)
{
    for (size_t i = 0; i < x->e.env.n; i++)
        secret_wipe((char *)(uintptr_t)x->e.env.v[i].value.ptr, x->e.env.v[i].value.len);
    arena_free(x->arena);
    free(x);
}

static void tell(struct control *c, void *arg)
{
    struct ingest *x = arg;
    (void)c; /* also when control ends: whoever waits lets go */
    x->done(x->ctx, c ? x->result : -ECANCELED, &x->err, x->number, x->is_repeat);
    ingest_free(x);
}

static void on_known(void *ctx, const struct trail_row *t, const void *obj)
{
    struct ingest *x = ctx;
    (void)obj;
    x->number = t->id;
}

static void finish(struct control *c, struct ingest *x)
{
    const struct run_recent *known = recent(c, x->key);
    if (known)
        x->number = known->number;
    x->is_repeat = x->number != 0;
    if (x->is_repeat)
        remember(c, x->key, x->number);
    else
        x->result = apply(c, x);
    commit_after(c, tell, x);
}

static void on_looked_up(void *ctx, int result)
{
    struct ingest *x = ctx;
    struct control *c = life_unref(TAKE(x->life));
    if (!c) {
        tell(NULL, x);
        return;
    }
    if (result < 0) {
        x->result = err_set(&x->err, -EAGAIN, "store.unavailable", "the database could not be read");
        commit_after(c, tell, x);
        return;
    }
    finish(c, x);
}

static int check(const struct run_event *e, struct uuid *ret_id, struct err *err)
{
    const char *path = NULL;
    if (uuid_parse(e->event_id, ret_id) < 0)
        path = "event_id";
    else if (!run_text_is_acceptable(e->batch_id, RUN_ID_MAX))
        path = "batch_id";
    else if (!run_text_is_acceptable(e->project, RUN_PROJECT_MAX))
        path = "source.project";
    else if (e->item_id.len && !run_text_is_acceptable(e->item_id, RUN_ITEM_ID_MAX))
        path = "job_id";
    if (path) {
        err_set(err, -EINVAL, "field.invalid", "not a %s", path);
        err_path(err, path);
        return -EINVAL;
    }
    if (run_event_is_of_item(e->type) && !e->item_id.len)
        return err_set(err, -EINVAL, "run.no_item", "an event about a job needs job_id");
    if (e->data.len > DATA_MAX)
        return err_set(err, -EMSGSIZE, "run.too_large", "the data of an event is at most %d bytes", DATA_MAX);
    return 0;
}

/* The caller's strings end with the call. */
static bool copy(struct ingest *x, const struct run_event *e)
{
    struct str *const members[] = { &x->e.event_id,     &x->e.batch_id, &x->e.item_id, &x->e.project, &x->e.host,
                                    &x->e.os_user,      &x->e.commit,   &x->e.command, &x->e.name,    &x->e.experiment_type,
                                    &x->e.data_command, &x->e.cwd,      &x->e.status,  &x->e.model,   &x->e.dataset,
                                    &x->e.reason,       &x->e.line,     &x->e.level,   &x->e.metrics, &x->e.meta,
                                    &x->e.data };
    bool fits = true;
    x->arena = arena_new(EVENT_ARENA_MAX);
    x->e = *e;
    x->e.line = str_sub(e->line, 0, LINE_MAX);
    if (x->e.line.len < e->line.len)
        x->e.line.len = utf8_whole_prefix(x->e.line);
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        if (members[i]->len) {
            *members[i] = arena_str(x->arena, *members[i]);
            fits &= members[i]->ptr != NULL;
        }
    x->e.env.v = e->env.n ? arena_array(x->arena, e->env.n, sizeof(struct kv)) : NULL;
    x->e.env.n = x->e.env.v ? e->env.n : 0;
    for (size_t i = 0; i < x->e.env.n; i++) {
        x->e.env.v[i] = (struct kv){ arena_str(x->arena, e->env.v[i].key), arena_str(x->arena, e->env.v[i].value) };
        if (!x->e.env.v[i].value.ptr || !x->e.env.v[i].key.ptr) {
            x->e.env.n = i;
            fits = false;
        }
    }
    return fits && x->e.env.n == e->env.n;
}

void run_ingest(struct control *c, const struct principal *p, const struct run_event *e, run_ingest_fn done, void *ctx)
{
    struct ingest *x = xnew0(struct ingest);
    struct uuid id;
    x->p = *p;
    x->done = done;
    x->ctx = ctx;
    x->result = check(e, &id, &x->err);
    if (x->result == 0 && !copy(x, e))
        x->result = err_set(&x->err, -EMSGSIZE, "run.too_large", "this event is too large");
    if (x->result < 0) {
        commit_after(c, tell, x);
        return;
    }
    memcpy(x->key, &p->user_id, 8);
    memcpy(x->key + 8, id.b, 16);
    snprintf(x->key_text, sizeof(x->key_text), "%llu:", (unsigned long long)p->user_id);
    uuid_format(&id, x->key_text + strlen(x->key_text));
    if (recent(c, x->key)) {
        finish(c, x);
        return;
    }
    x->life = life_ref(c);
    control__flush(c);
    store_read_trail_by_key(c->store, e->type == RUN_EVENT_LOG ? TRAIL_RUN_LOG : TRAIL_RUN_EVENT, str_of(x->key_text),
                            e->type == RUN_EVENT_LOG ? &run_log_record : &run_event_record, on_known, on_looked_up, x);
}
