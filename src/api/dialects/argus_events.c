/* api/dialects/argus_events.c - what scripts report: one event, or up to 500, strict in the envelope and free in the data. */
#include <errno.h>
#include <stdio.h>

#include "api/dialects/argus.h"
#include "api/state.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/json_mend.h"

enum {
    ONE_MAX = 1 << 20,
    MANY_MAX = LIMIT_JSON_BYTES,
    ROW_ARENA_BYTES = 32 << 20, /* what reading one event of many may take: all that a request may */
};

/* -- out of the data: what is there and of the right type; nothing in it can be wrong */
static struct str text_in(const struct node *data, const char *key)
{
    const struct node *n = data && data->type == NODE_MAP ? node_get(data, key) : NULL;

    return n && n->type == NODE_STR ? n->s : STR_NONE;
}

static struct str either(struct str a, struct str b)
{
    return a.len ? a : b;
}

static bool number_in(const struct node *data, const char *key, double *ret)
{
    const struct node *n = data && data->type == NODE_MAP ? node_get(data, key) : NULL;

    if (!n || (n->type != NODE_INT && n->type != NODE_REAL))
        return false;
    *ret = n->type == NODE_INT ? (double)n->i : n->r;
    return true;
}

static struct str json_in(struct arena *a, const struct node *data, const char *key)
{
    AUTO(buf_done) struct buf b = BUF(ONE_MAX);
    const struct node *n = data && data->type == NODE_MAP ? node_get(data, key) : NULL;

    if (!n || n->type != NODE_MAP || node_write(n, &b) < 0)
        return STR_NONE;
    return arena_str(a, buf_as_str(&b));
}

/* Known keys only, so that nothing secret gets into what is shown by another name. */
static struct str snapshot_meta(struct arena *a, const struct node *data)
{
    static const char *const known[] = {
        "git_sha", "git_branch", "git_dirty", "python_version", "pip_freeze", "hydra_config_digest", "hydra_config_content",
        "hostname"
    };
    AUTO(buf_done) struct buf b = BUF(ONE_MAX), one = BUF(ONE_MAX);
    struct jw w = JW(&b);

    jw_map(&w);
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        const struct node *n = node_get(data, known[i]);

        buf_reset(&one);
        if (!n || node_write(n, &one) < 0)
            continue;
        jw_key(&w, known[i]);
        jw_raw(&w, buf_as_str(&one));
    }
    jw_end_map(&w);
    return jw_done(&w) == 0 ? arena_str(a, buf_as_str(&b)) : STR_NONE;
}

static struct kv_list snapshot_env(struct arena *a, const struct node *data)
{
    const struct node *env = node_get(data, "env");
    struct kv_list list = { 0 };

    if (!env || env->type != NODE_MAP || !env->n)
        return list;
    list.v = arena_array(a, env->n, sizeof(struct kv));
    for (const struct node *n = list.v ? env->child : NULL; n; n = n->next)
        if (n->type == NODE_STR)
            list.v[list.n++] = (struct kv){ n->key, n->s };
    return list;
}

static void read_data(struct arena *a, const struct node *data, struct run_event *e)
{
    double number;

    if (!data || data->type != NODE_MAP)
        return;
    e->name = text_in(data, "name");
    e->experiment_type = text_in(data, "experiment_type");
    e->data_command = text_in(data, "command");
    e->cwd = text_in(data, "cwd");
    e->status = text_in(data, "status");
    e->model = text_in(data, "model");
    e->dataset = text_in(data, "dataset");
    e->reason =
        either(text_in(data, "reason"), text_in(data, "error")); /* the client says the one, the server's models the other */
    e->line = either(text_in(data, "line"), text_in(data, "message"));
    e->level = either(text_in(data, "level"), STR("info"));
    e->metrics = json_in(a, data, "metrics");
    e->has_total =
        (number_in(data, "n_total", &number) || number_in(data, "n_total_jobs", &number)) && number >= 0 && number <= UINT32_MAX;
    e->n_total = e->has_total ? (uint32_t)number : 0;
    e->has_elapsed = number_in(data, "elapsed_s", &e->elapsed_s);
    if (e->type == RUN_EVENT_SNAPSHOT) {
        e->meta = snapshot_meta(a, data);
        e->env = snapshot_env(a, data);
        e->data = STR_NONE; /* the environment is in there */
    }
}

/* -- the envelope */
static const char *unknown_key(const struct record *rec, const struct node *n)
{
    for (const struct node *m = n && n->type == NODE_MAP ? n->child : NULL; m; m = m->next) {
        size_t i = 0;

        while (i < rec->n_fields && !str_is(m->key, rec->fields[i].name))
            i++;
        if (i == rec->n_fields)
            return m->key.ptr;
    }
    return NULL;
}

static int bad_field(struct err *err, const char *path, const char *slug, const char *text)
{
    (void)err_set(err, -EINVAL, slug, "%s", text);
    err_path(err, path);
    return -EINVAL;
}

int argus_read_event(struct arena *a, const struct node *n, struct run_event *e, struct record_errors *errs, struct err *err)
{
    struct str schema = n->type == NODE_MAP ? text_in(n, "schema_version") : STR_NONE;
    struct argus_event b;
    const char *extra;
    int type;

    if (schema.len && !str_is(schema, ARGUS_SCHEMA))
        return err_set(err, -EINVAL, "run.schema", "schema_version %.*s is not taken here", STR_FMT(str_sub(schema, 0, 32)));
    if (n->type != NODE_MAP)
        return bad_field(err, "", "field.type", "an event is an object");
    if (record_decode(&argus_event_record, a, n, &b, errs) < 0)
        return err_set(err, -EINVAL, errs->n ? errs->v[0].slug : "field.invalid", "%s: %s", errs->n ? errs->v[0].path : "event",
                       errs->n ? errs->v[0].text : "not understood");
    extra = unknown_key(&argus_event_record, n);
    if (!extra)
        extra = unknown_key(&argus_source_record, node_get(n, "source"));
    if (extra)
        return bad_field(err, extra, "field.extra_forbidden", "this key is not part of an event");
    if (node_get(n, "data") && node_get(n, "data")->type != NODE_MAP && node_get(n, "data")->type != NODE_NULL)
        return bad_field(err, "data", "field.type", "must be an object");
    type = name_value(run_event_names, b.event_type);
    if (type < 0)
        return bad_field(err, "event_type", "field.enum", "no such event type");
    *e = (struct run_event){
        .type = (enum run_event_type)type,
        .event_id = b.event_id,
        .batch_id = b.batch_id,
        .item_id = b.job_id,
        .at = b.timestamp,
        .project = b.source.project,
        .host = b.source.host,
        .os_user = b.source.user,
        .commit = b.source.commit,
        .command = b.source.command,
        .data = b.data.text,
    };
    read_data(a, node_get(n, "data"), e);
    return 0;
}

/* Proof and rate. False: answered. */
static bool begin(struct call *c)
{
    struct err err = { 0 };
    usec_t wait = 0;

    if (!argus_prove(c))
        return false;
    if (run_ingest_admit(c->control, &c->who, &wait, &err) == 0)
        return true;
    if (wait > 0)
        call_header(c, "retry-after", "%llu", (unsigned long long)reply_retry_after(wait));
    reply_error(c, &err);
    return false;
}

/* -- one */
static void reply_schema(struct call *c, const struct node *root, const struct err *err)
{
    struct jw *w = call_json(c);

    jw_map(w);
    jw_key(w, "detail");
    jw_map(w);
    argus_word(w, "message", err->text);
    jw_key(w, "received");
    jw_str(w, text_in(root, "schema_version"));
    jw_key(w, "supported");
    jw_list(w);
    jw_cstr(w, ARGUS_SCHEMA);
    jw_end_list(w);
    jw_end_map(w);
    argus_word(w, "error", err->text);
    jw_end_map(w);
    reply_now(c, 415);
}

static void on_taken(void *ctx, int result, const struct err *err, uint64_t number, bool is_repeat)
{
    AUTO(call_unref) struct call *c = ctx;
    struct jw *w;

    if (call_is_gone(c) || result == -ECANCELED)
        return;
    if (result < 0) {
        reply_error(c, err);
        return;
    }
    w = call_json(c);
    jw_map(w);
    argus_flag(w, "accepted", true);
    argus_number(w, "event_id", number);
    argus_flag(w, "deduplicated", is_repeat);
    jw_end_map(w);
    reply_now(c, 200);
}

static void on_event(struct call *c)
{
    struct record_errors errs = { 0 };
    struct err err = { 0 };
    struct run_event e;
    struct node *root;

    if (!begin(c))
        return;
    if (json_parse_python(c->arena, c->req->body, ONE_MAX, &root, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    c->body = root; /* for the refusal: it is about the body */
    if (argus_read_event(c->arena, root, &e, &errs, &err) == 0)
        run_ingest(c->control, &c->who, &e, on_taken, call_ref(c));
    else if (strcmp(err.slug, "run.schema") == 0)
        reply_schema(c, root, &err);
    else
        reply_errors(c, &err, &errs);
}

/* -- many: each stands alone */
struct many;
struct one {
    struct many *many;
    char event_id[40];
    uint64_t number;
    bool is_repeat, is_rejected;
    char why[160];
};
struct many {
    struct call *c; /* held */
    size_t n, n_open;
    bool is_over;     /* control ends: nobody is told anything */
    struct err fault; /* ours: "rejected" is a last word, and a good event would be dropped for it */
    struct one v[];
};

static void many_write(struct call *c, const struct many *m)
{
    struct jw *w = call_json(c);
    uint64_t n_rejected = 0;

    for (size_t i = 0; i < m->n; i++)
        n_rejected += m->v[i].is_rejected;
    jw_map(w);
    argus_number(w, "accepted", m->n - n_rejected);
    argus_number(w, "rejected", n_rejected);
    jw_key(w, "results");
    jw_list(w);
    for (size_t i = 0; i < m->n; i++) {
        const struct one *o = &m->v[i];

        jw_map(w);
        argus_text(w, "event_id", str_of(o->event_id));
        argus_word(w, "status", o->is_rejected ? "rejected" : o->is_repeat ? "deduplicated" : "accepted");
        argus_known(w, "db_id", o->number != 0, (int64_t)o->number);
        argus_text(w, "error", str_of(o->why));
        jw_end_map(w);
    }
    jw_end_list(w);
    jw_end_map(w);
    reply_now(c, 200);
}

/* Where one was not taken by our fault, all of them are to be told again: by its id each counts once. */
static void many_answer(struct many *m)
{
    AUTO(call_unref) struct call *c = m->c;

    if (!call_is_gone(c) && !m->is_over) {
        if (m->fault.code)
            reply_error(c, &m->fault);
        else
            many_write(c, m);
    }
    free(m);
}

static void on_one_taken(void *ctx, int result, const struct err *err, uint64_t number, bool is_repeat)
{
    struct one *o = ctx;
    struct many *m = o->many;

    o->number = number;
    o->is_repeat = is_repeat;
    o->is_rejected = result < 0;
    m->is_over |= result == -ECANCELED;
    if (result == -EAGAIN)
        m->fault = *err;
    if (result < 0)
        (void)snprintf(o->why, sizeof(o->why), "%.*s", (int)sizeof(o->why) - 1, err->text);
    if (--m->n_open == 0)
        many_answer(m);
}

/* Each has all of @a, however many values those before it had. */
static void take_one(struct call *c, struct arena *a, struct str row, struct one *o)
{
    struct record_errors errs = { 0 };
    struct err err = { 0 };
    struct node *n = NULL;
    struct run_event e;

    arena_reset(a); /* run_ingest() copied what it keeps */
    int r = json_parse_python(a, row, MANY_MAX, &n, &err);
    struct str id = r < 0 ? json_row_text(row, "event_id") : n->type == NODE_MAP ? text_in(n, "event_id") : STR_NONE;

    (void)str_copy(str_sub(id, 0, 36), o->event_id, sizeof(o->event_id));
    if (r == 0 && argus_read_event(a, n, &e, &errs, &err) == 0)
        run_ingest(c->control, &c->who, &e, on_one_taken, o);
    else
        on_one_taken(o, -EINVAL, &err, 0, false);
}

static void on_events(struct call *c)
{
    struct json_rows events;
    struct err err = { 0 };
    struct str row;
    size_t at = 0;
    int r;

    if (!begin(c))
        return;
    r = json_split(c->arena, c->req->body, MANY_MAX, "events", &events, &err);
    if (r < 0) {
        reply_error(c, &err);
        return;
    }
    c->body = events.root;
    if (r == JSON_NO_LIST || events.n < 1 || events.n > ARGUS_EVENTS_MAX) {
        (void)bad_field(&err, "events", node_get(events.root, "events") ? "field.range" : "field.required", "events is a list of 1 to 500 events");
        reply_error(c, &err);
        return;
    }
    struct many *m = xcalloc(1, sizeof(*m) + events.n * sizeof(m->v[0]));
    m->c = call_ref(c);
    m->n = events.n;
    m->n_open = events.n + 1; /* ours: none of them answers before the last was handed in */
    AUTO(arena_free) struct arena *a = arena_new(ROW_ARENA_BYTES);
    while (json_rows_next(&events, &row)) {
        m->v[at].many = m;
        take_one(c, a, row, &m->v[at++]);
    }
    if (--m->n_open == 0)
        many_answer(m);
}

static const struct route rows[] = {
    { HTTP_POST, "/api/events", AUTH_AGENT, .cap = ONE_MAX, .handler = on_event, .flags = ROUTE_PROVE_HEAD | ROUTE_MUTATES | ROUTE_RAW_BODY,
      .dialect = &dialect_argus, .summary = "One event of a script; by its id it counts once." },
    { HTTP_POST, "/api/events/batch", AUTH_AGENT, .cap = MANY_MAX, .handler = on_events, .flags = ROUTE_PROVE_HEAD | ROUTE_MUTATES | ROUTE_RAW_BODY,
      .dialect = &dialect_argus, .summary = "Up to 500 events, each taken or refused alone." },
};
const struct route_table argus_event_table = { rows, ARRAY_SIZE(rows) };
