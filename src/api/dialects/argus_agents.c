/* api/dialects/argus_agents.c - the agent's endpoints: register, fetch, acknowledge, exit, heartbeat; and agents as people see them. */
#include <errno.h>
#include <stdio.h>

#include "api/auth.h"
#include "api/dialects/argus.h"
#include "api/dialects/told.h"
#include "api/state.h"
#include "base/mem.h"

enum { BODY_MAX = 64 << 10 };

/* -- register */
static void on_register(struct call *c)
{
    const struct argus_register *b = c->body;
    struct run_registered got;
    struct err err = { 0 };
    struct told_section told[TOLD_MAX];
    struct told_sheet sheet = { .arena = c->arena, .v = told };
    told_os(&sheet, b->hostname);
    const struct run_registration rq = {
        .hostname = b->hostname, .version = b->version, .capabilities = b->capabilities, .peer = c->peer_addr,
        .life = dialect_conf(c)->argus_agent_life, .told = told, .n_told = sheet.n,
    };

    if (run_agent_register(c->control, &c->who, &rq, &got, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    struct str features[] = { STR("exit"), STR("wait") };
    usec_t now = clock_wall(c->api->conf.clock);
    const struct argus_registered answer = {
        .agent_id = str_of(got.agent_id),
        .agent_token = str_of(got.token),
        .poll_interval_s = ARGUS_POLL_S,
        .server_time = now - now % USEC_PER_SEC,
        .heartbeat_interval_s = ARGUS_HEARTBEAT_S,
        .label = str_of(got.label),
        .features = { features, ARRAY_SIZE(features) },
    };
    reply_record(c, 201, &argus_registered_record, &answer);
    secret_wipe(&got, sizeof(got));
}

/* -- fetch */
struct argus_poll_query {
    uint32_t wait;
};
static const struct field poll_query_fields[] = {
    F_U32(struct argus_poll_query, wait, "wait", .help = "Seconds to wait for work, at most 30."),
};
static const struct record poll_query_record = RECORD(argus_poll_query, poll_query_fields);

/* Agents refuse answers above 1 MiB; one rerun is at most half of that. What does not fit comes when the first are acknowledged; stops
 * are small and always there. */
enum { POLL_FULL = 512 << 10 };
struct poll {
    struct jw *w;
    const struct buf *out;
    size_t n;
};

static void write_rerun(struct jw *w, const struct run_order *o)
{
    const struct run_snapshot_row *s = o->snapshot;

    argus_text(w, "source_batch_id", o->run->source_batch_id);
    jw_key(w, "command");
    jw_str(w, o->command);
    argus_text(w, "cwd", s ? s->cwd : STR_NONE);
    jw_key(w, "env");
    if (s && s->env.n) {
        jw_map(w);
        for (size_t i = 0; i < s->env.n; i++) {
            jw_key_str(w, s->env.v[i].key);
            jw_str(w, s->env.v[i].value);
        }
        jw_end_map(w);
    } else {
        jw_null(w);
    }
    argus_text(w, "host", o->run->host);
    jw_key(w, "overrides");
    jw_raw(w, o->run->overrides.text.len ? o->run->overrides.text : STR("{}"));
}

static void on_order(void *ctx, const struct run_order *o)
{
    struct poll *x = ctx;
    struct jw *w = x->w;

    if (o->row->kind == RUN_COMMAND_RERUN && x->out->len > POLL_FULL)
        return;
    x->n++;
    jw_map(w);
    argus_word(w, "id", o->uuid);
    argus_word(w, "kind", name_of(run_command_kind_names, (int)o->row->kind));
    jw_key(w, "batch_id");
    jw_str(w, o->run->batch_id);
    jw_key(w, "payload");
    jw_map(w);
    if (o->row->kind == RUN_COMMAND_RERUN)
        write_rerun(w, o);
    argus_text(w, "requested_by", o->row->requested_by);
    if (o->row->kind == RUN_COMMAND_STOP && o->pid > 0) {
        jw_key(w, "pid");
        jw_i64(w, o->pid);
        jw_key(w, "pgid");
        jw_i64(w, o->pid); /* agents start every command in a session of its own */
    }
    jw_end_map(w);
    argus_time(w, "created_at", o->row->created_at);
    jw_end_map(w);
}

static size_t write_jobs(struct call *c, const struct run_agent_ref *a)
{
    struct poll x = { .w = call_json(c), .out = &c->out };

    jw_map(x.w);
    jw_key(x.w, "jobs");
    jw_list(x.w);
    run_poll(c->control, a, on_order, &x);
    jw_end_list(x.w);
    jw_end_map(x.w);
    return x.n;
}

/* There may be work now, or the time is over, or the token is not good any more: asked from the start. */
static void on_wake(void *ctx)
{
    AUTO(call_unref) struct call *c = ctx;
    struct run_agent_ref a;

    if (call_is_gone(c) || !argus_prove_agent_anew(c, &a))
        return;
    write_jobs(c, &a);
    reply_parked(c, 200);
}

static void on_poll(struct call *c)
{
    const struct argus_poll_query *q = c->query;
    struct run_agent_ref a;

    if (!argus_prove_agent(c, &a))
        return;
    if (write_jobs(c, &a) == 0 && q->wait > 0 && !c->api->is_draining) {
        usec_t wait = q->wait < ARGUS_WAIT_MAX_S ? q->wait : ARGUS_WAIT_MAX_S;

        buf_reset(&c->out);
        c->w = JW(&c->out);
        c->n_headers = 0; /* said again when it is answered */
        run_poll_wait(c->control, &a, wait * USEC_PER_SEC, on_wake, call_ref(c));
        return;
    }
    reply_parked(c, 200);
}

/* -- acknowledge, exit, heartbeat */
static void reply_command(struct call *c, struct str status)
{
    struct jw *w = call_json(c);

    jw_map(w);
    jw_key(w, "cmd_id");
    jw_str(w, call_param(c, 1));
    jw_key(w, "status");
    jw_str(w, status);
    jw_end_map(w);
    reply_parked(c, 200);
}

static void on_ack(struct call *c)
{
    const struct argus_ack *b;
    struct run_agent_ref a;
    struct err err = { 0 };

    if (!argus_prove_agent(c, &a) || !(b = argus_body(c, &argus_ack_record, BODY_MAX)))
        return;
    if (!str_is(b->status, "started") && !str_is(b->status, "failed")) {
        (void)err_set(&err, -EINVAL, "run_command.status", "status is started or failed");
        reply_error(c, &err);
        return;
    }
    if (run_ack(c->control, &a, call_param(c, 1), str_is(b->status, "started"), b->pid, b->error, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    reply_command(c, b->status);
}

static void on_exit_told(struct call *c)
{
    const struct argus_exit *b;
    struct run_agent_ref a;
    struct err err = { 0 };

    if (!argus_prove_agent(c, &a) || !(b = argus_body(c, &argus_exit_record, BODY_MAX)))
        return;
    const struct run_exit e = {
        .has_code = field_is_present(&argus_exit_record, b, "exit_code") && !field_is_null(&argus_exit_record, b, "exit_code"),
        .code = b->exit_code,
        .signal = b->signal,
        .runtime_s = b->runtime_s,
        .log_tail = b->log_tail,
    };
    if (run_exited(c->control, &a, call_param(c, 1), &e, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    reply_command(c, STR("exited"));
}

static void on_heartbeat(struct call *c)
{
    struct run_agent_ref a;

    if (argus_prove_agent(c, &a) && argus_body(c, &argus_heartbeat_record, BODY_MAX))
        reply_parked(c, 204);
}

/* -- for people */
static void write_agent(struct jw *w, const struct run_agent_view *v)
{
    const struct run_agent_row *r = v->row;

    jw_map(w);
    jw_key(w, "id");
    jw_str(w, r->agent_id);
    jw_key(w, "hostname");
    jw_str(w, r->hostname);
    argus_text(w, "label", r->label);
    argus_text(w, "version", r->version);
    jw_key(w, "capabilities");
    jw_list(w);
    for (size_t i = 0; i < r->capabilities.n; i++)
        jw_str(w, r->capabilities.v[i]);
    jw_end_list(w);
    jw_key(w, "owner");
    jw_str(w, v->owner);
    argus_flag(w, "online", v->badge == RUN_AGENT_ONLINE);
    argus_word(w, "status", v->is_revoked ? "revoked" : name_of(run_agent_badge_names, (int)v->badge));
    argus_time(w, "registered_at", r->registered_at);
    argus_time(w, "last_seen_at", r->last_seen);
    argus_number(w, "running", v->n_running);
    argus_flag(w, "shared", r->is_shared);
    jw_end_map(w);
}

static void on_agent_row(void *ctx, const struct run_agent_view *v)
{
    write_agent(ctx, v);
}

static void on_agents(struct call *c)
{
    struct jw *w = call_json(c);

    jw_list(w);
    run_agent_list(c->control, &c->who, on_agent_row, w);
    jw_end_list(w);
    reply_parked(c, 200);
}

static void reply_agent(struct call *c)
{
    struct run_agent_view v;
    struct err err = { 0 };

    if (run_agent_get(c->control, &c->who, call_param(c, 0), &v, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    write_agent(call_json(c), &v);
    reply_parked(c, 200);
}

static void reply_empty(struct call *c, int result, const struct err *err)
{
    if (result < 0)
        reply_error_parked(c, err);
    else
        reply_parked(c, 204);
}

static void on_agent_revoke(struct call *c)
{
    struct err err = { 0 };

    reply_empty(c, run_agent_revoke(c->control, &c->who, call_param(c, 0), &err), &err);
}

static void on_agent_delete(struct call *c)
{
    struct err err = { 0 };

    reply_empty(c, run_agent_delete(c->control, &c->who, call_param(c, 0), &err), &err);
}

struct argus_agent_patch {
    bool shared;
};
static const struct field agent_patch_fields[] = {
    F_BOOL(struct argus_agent_patch, shared, "shared", .flags = FIELD_REQUIRED,
           .help = "Everybody's runs on this host may use it."),
};
static const struct record agent_patch_record = RECORD(argus_agent_patch, agent_patch_fields);

static void on_agent_patch(struct call *c)
{
    const struct argus_agent_patch *b = c->body;
    struct err err = { 0 };

    if (run_agent_share(c->control, &c->who, call_param(c, 0), b->shared, &err) < 0)
        reply_error_parked(c, &err);
    else
        reply_agent(c);
}

#define ARGUS .dialect = &dialect_argus
static const struct route rows[] = {
    { HTTP_POST, "/api/agents/register", AUTH_OPERATOR, VERB_INGEST, &argus_register_record, BODY_MAX, on_register,
      .response = &argus_registered_record, .status = 201, .flags = ROUTE_MUTATES, .claims = claim_bearer_argus, ARGUS,
      .summary = "An agent introduces itself; again: a new token." },
    { HTTP_GET, "/api/agents/{id}/jobs", AUTH_AGENT, .handler = on_poll, .query = &poll_query_record,
      .response = &argus_jobs_record, ARGUS, .summary = "What waits for the agent; the same again until it is acknowledged." },
    { HTTP_POST, "/api/agents/{id}/jobs/{cmd}/ack", AUTH_AGENT, .cap = BODY_MAX, .handler = on_ack,
      .flags = ROUTE_MUTATES | ROUTE_RAW_BODY | ROUTE_ODD_TEXT, ARGUS, .summary = "The agent started it, or could not." },
    { HTTP_POST, "/api/agents/{id}/jobs/{cmd}/exit", AUTH_AGENT, .cap = BODY_MAX, .handler = on_exit_told,
      .flags = ROUTE_MUTATES | ROUTE_RAW_BODY | ROUTE_ODD_TEXT, ARGUS, .summary = "What the agent started has ended." },
    { HTTP_POST, "/api/agents/{id}/heartbeat", AUTH_AGENT, .cap = BODY_MAX, .handler = on_heartbeat, .status = 204,
      .flags = ROUTE_MUTATES | ROUTE_RAW_BODY, ARGUS, .summary = "The agent is alive." },
    { HTTP_GET, "/api/agents", AUTH_OPERATOR, VERB_READ, .handler = on_agents, .claims = claim_bearer_argus, ARGUS,
      .summary = "Agents you may see." },
    { HTTP_GET, "/api/agents/{id}", AUTH_OPERATOR, VERB_READ, .handler = reply_agent, .claims = argus_claims_agent, ARGUS,
      .summary = "One agent." },
    { HTTP_PATCH, "/api/agents/{id}", AUTH_OPERATOR, VERB_READ, &agent_patch_record, BODY_MAX, on_agent_patch,
      .flags = ROUTE_MUTATES, .claims = argus_claims_agent, ARGUS, .summary = "Let everybody use it, or not (admin)." },
    { HTTP_DELETE, "/api/agents/{id}", AUTH_OPERATOR, VERB_READ, .handler = on_agent_delete, .status = 204, .flags = ROUTE_MUTATES,
      .claims = argus_claims_agent, ARGUS, .summary = "Forget an agent and its host." },
    { HTTP_POST, "/api/agents/{id}/revoke", AUTH_OPERATOR, VERB_READ, .handler = on_agent_revoke, .status = 204,
      .flags = ROUTE_MUTATES, .claims = argus_claims_agent, ARGUS, .summary = "Revoke an agent and its host." },
};
const struct route_table argus_agent_table = { rows, ARRAY_SIZE(rows) };
