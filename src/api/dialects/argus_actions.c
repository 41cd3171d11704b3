/* api/dialects/argus_actions.c - start a batch again, stop it, and what its script asks about both. */
#include <errno.h>

#include "api/dialects/argus.h"
#include "api/state.h"
#include "base/mem.h"

enum { RERUN_MAX = 1 << 20 }; /* far above what overrides may have, so that those that are too large hear why */

/* -- rerun */
struct argus_rerun_body {
    struct str name;
    struct json_text overrides;
};
static const struct field rerun_fields[] = {
    F_STR(struct argus_rerun_body, name, "name", RUN_NAME_MAX, .flags = FIELD_NULLABLE),
    F_JSON(struct argus_rerun_body, overrides, "overrides", RUN_OVERRIDES_MAX, .flags = FIELD_NULLABLE,
           .help = "An object; the agent decides what it does with it."),
};
static const struct record rerun_record = RECORD(argus_rerun_body, rerun_fields);

static bool read_query(struct call *c, bool *ret_require_agent)
{
    struct kv_list q = { 0 };
    struct err err = { 0 };

    if (query_parse(c->arena, c->req->query, &q) < 0) {
        (void)err_set(&err, -EINVAL, "request.bad", "the query string is malformed");
        reply_error(c, &err);
        return false;
    }
    struct str v = query_get(&q, "require_agent");
    *ret_require_agent = str_is(v, "1") || str_is(v, "true");
    return true;
}

static void on_rerun(struct call *c)
{
    const struct argus_rerun_body *b;
    struct jw *w = call_json(c);
    struct err err = { 0 };
    struct run_view v;
    bool require_agent;

    if (!argus_prove(c) || !read_query(c, &require_agent) || !(b = argus_body(c, &rerun_record, RERUN_MAX)))
        return;
    struct str overrides = str_is(b->overrides.text, "null") ? STR_NONE : b->overrides.text;
    if (overrides.len && overrides.ptr[0] != '{') {
        (void)err_set(&err, -EINVAL, "field.type", "overrides is an object");
        err_path(&err, "overrides");
        reply_error(c, &err);
        return;
    }
    const struct run_rerun wish = { .name = b->name, .overrides = overrides, .require_agent = require_agent };
    if (run_rerun(c->control, &c->who, call_param(c, 0), &wish, &v, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    jw_map(w);
    argus_text(w, "batch_id", v.row->batch_id);
    argus_text(w, "source_batch_id", v.row->source_batch_id);
    argus_text(w, "name", v.row->name);
    argus_word(w, "status", name_of(run_state_names, (int)v.row->state));
    argus_flag(w, "agent_online", v.is_agent_online);
    jw_end_map(w);
    reply_parked(c, 201);
}

static void on_rerun_info(struct call *c)
{
    struct jw *w = call_json(c);
    struct err err = { 0 };
    struct run_view v;

    if (!argus_find(c, &v))
        return;
    if (!v.row->source_batch_id.len) {
        (void)err_set(&err, -ENOENT, "run.unknown", "this batch repeats no other");
        reply_error_parked(c, &err);
        return;
    }
    jw_map(w);
    argus_text(w, "source_batch_id", v.row->source_batch_id);
    jw_key(w, "overrides_json");
    jw_raw(w, v.row->overrides.text.len ? v.row->overrides.text : STR("{}"));
    argus_time(w, "requested_at", v.row->requested_at);
    argus_text(w, "requested_by", v.row->requested_by);
    jw_end_map(w);
    reply_parked(c, 200);
}

/* -- stop */
static void on_stop(struct call *c)
{
    struct jw *w = call_json(c);
    struct err err = { 0 };
    struct run_view v;

    if (run_stop(c->control, &c->who, call_param(c, 0), &v, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    jw_map(w);
    argus_word(w, "status", name_of(run_state_names, (int)v.row->state));
    argus_text(w, "batch_id", v.row->batch_id);
    jw_end_map(w);
    reply_parked(c, 200);
}

/* Under both keys: servers say the one, the client reads the other. */
static void on_stop_requested(struct call *c)
{
    struct jw *w = call_json(c);
    struct run_view v;

    if (!argus_find(c, &v))
        return;
    bool is_wanted =
        v.row->state == RUN_STOPPING || (v.row->stop_at && (v.row->state == RUN_STOPPED || v.row->state == RUN_CANCELLED));
    jw_map(w);
    argus_flag(w, "requested", is_wanted);
    argus_flag(w, "stop_requested", is_wanted);
    argus_time(w, "requested_at", is_wanted ? v.row->stop_at : 0);
    argus_text(w, "requested_by", is_wanted ? v.row->stop_by : STR_NONE);
    jw_end_map(w);
    reply_parked(c, 200);
}

#define ARGUS .dialect = &dialect_argus
static const struct route rows[] = {
    { HTTP_POST, "/api/batches/{id}/rerun", AUTH_AGENT, .cap = RERUN_MAX, .handler = on_rerun, .status = 201,
      .flags = ROUTE_PROVE_HEAD | ROUTE_MUTATES | ROUTE_RAW_BODY, ARGUS,
      .summary = "Start it again on its host; ?require_agent=1: only if an agent is online." },
    { HTTP_GET, "/api/batches/{id}/rerun-info", AUTH_OPERATOR, VERB_READ, .handler = on_rerun_info, ARGUS,
      .summary = "What it repeats, and with which overrides." },
    { HTTP_POST, "/api/batches/{id}/stop", AUTH_OPERATOR, VERB_READ, .handler = on_stop, .flags = ROUTE_MUTATES, ARGUS,
      .summary = "Ask it to end." },
    { HTTP_GET, "/api/batches/{id}/stop-requested", AUTH_OPERATOR, VERB_READ, .handler = on_stop_requested, ARGUS,
      .summary = "Its script asks: shall I end?" },
};
const struct route_table argus_action_table = { rows, ARRAY_SIZE(rows) };
