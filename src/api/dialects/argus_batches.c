/* api/dialects/argus_batches.c - batches as people and scripts read them. */
#include <errno.h>
#include <stdio.h>

#include "api/dialects/argus.h"
#include "api/state.h"
#include "base/limits.h"
#include "base/mem.h"

enum { BATCHES_DEFAULT = 50, BATCHES_MAX = 500, LINES_DEFAULT = 500, LINES_MAX = 5000 };

static void write_progress(struct jw *w, const struct run_view *v)
{
    const struct run_row *r = v->row;

    argus_number(w, "n_total", r->n_total);
    argus_number(w, "n_done", r->n_done);
    argus_number(w, "n_failed", r->n_failed);
    argus_word(w, "status", name_of(run_state_names, (int)r->state));
    jw_key(w, "agent_online");
    if (r->host.len)
        jw_bool(w, v->is_agent_online);
    else
        jw_null(w);
}

static void write_members(struct jw *w, const struct run_view *v)
{
    const struct run_row *r = v->row;

    argus_text(w, "id", r->batch_id);
    argus_text(w, "name", r->name);
    argus_text(w, "project", r->project);
    argus_text(w, "experiment_type", r->experiment_type);
    argus_text(w, "user", r->os_user);
    argus_text(w, "host", r->host);
    argus_text(w, "command", r->command);
    argus_text(w, "commit", r->commit);
    write_progress(w, v);
    argus_time(w, "start_time", r->start_time);
    argus_time(w, "end_time", r->end_time);
    argus_time(w, "created_at", r->created_at);
    argus_number(w, "owner_id", r->owner_id);
    jw_key(w, "owner");
    jw_str(w, v->owner);
    argus_text(w, "source_batch_id", r->source_batch_id);
    argus_text(w, "failure_reason", r->failure_reason);
    argus_flag(w, "is_deleted", false);
    argus_flag(w, "rerun_allowed", v->is_rerun_allowed);
}

/* -- one batch */

/* Names of the environment's variables, never their values. */
static void write_snapshot(struct call *c, struct jw *w, const struct run_snapshot_row *s)
{
    struct node *meta = NULL;
    struct err err;

    jw_map(w);
    argus_text(w, "command", s->command);
    argus_text(w, "cwd", s->cwd);
    jw_key(w, "env_keys");
    jw_list(w);
    for (size_t i = 0; i < s->env.n; i++)
        jw_str(w, s->env.v[i].key);
    jw_end_list(w);
    if (s->meta.text.len && json_parse(c->arena, s->meta.text, LIMIT_OBJECT_BYTES, &meta, &err) == 0 && meta->type == NODE_MAP)
        for (const struct node *n = meta->child; n; n = n->next) {
            AUTO(buf_done) struct buf one = BUF(LIMIT_OBJECT_BYTES);

            if (node_write(n, &one) < 0)
                continue;
            jw_key_str(w, n->key);
            jw_raw(w, buf_as_str(&one));
        }
    jw_end_map(w);
}

static void on_order(void *ctx, const char *uuid, const struct run_command_row *cmd)
{
    struct jw *w = ctx;

    jw_map(w);
    argus_text(w, "id", str_of(uuid));
    argus_word(w, "kind", name_of(run_command_kind_names, (int)cmd->kind));
    argus_word(w, "status", name_of(run_command_state_names, (int)cmd->state));
    argus_time(w, "created_at", cmd->created_at);
    argus_time(w, "ack_at", cmd->ack_at);
    argus_time(w, "ended_at", cmd->ended_at);
    argus_known(w, "job_id", cmd->job_id != 0, (int64_t)cmd->job_id);
    argus_known(w, "pid", cmd->pid > 0, cmd->pid);
    argus_known(w, "exit_code", cmd->has_exit_code, cmd->exit_code);
    argus_known(w, "signal", cmd->signal != 0, cmd->signal);
    argus_text(w, "error", cmd->error);
    argus_text(w, "log_tail", cmd->log_tail);
    argus_text(w, "requested_by", cmd->requested_by);
    jw_end_map(w);
}

bool argus_find(struct call *c, struct run_view *ret)
{
    struct err err = { 0 };

    if (run_get(c->control, &c->who, call_param(c, 0), ret, &err) == 0)
        return true;
    reply_error_parked(c, &err);
    return false;
}

static void on_batch(struct call *c)
{
    struct jw *w = call_json(c);
    struct run_view v;

    if (!argus_find(c, &v))
        return;
    jw_map(w);
    write_members(w, &v);
    jw_key(w, "env_snapshot");
    if (v.snapshot)
        write_snapshot(c, w, v.snapshot);
    else
        jw_null(w);
    jw_key(w, "commands");
    jw_list(w);
    run_orders(c->control, v.id, on_order, w);
    jw_end_list(w);
    jw_end_map(w);
    reply_parked(c, 200);
}

/* -- many */
static const struct name scopes[] = { { 1, "mine" }, { 2, "shared" }, { 3, "all" }, { 4, "public" }, NAMES_END };
struct batches_query {
    struct str user, project;
    int status, scope;
    usec_t since;
    uint32_t limit;
};
static const struct field batches_query_fields[] = {
    F_STR(struct batches_query, user, "user", 128, .help = "Owner, or user on the host."),
    F_STR(struct batches_query, project, "project", 128),
    F_ENUM(struct batches_query, status, "status", run_state_names),
    F_ENUM(struct batches_query, scope, "scope", scopes, .help = "Default: all that you may see."),
    F_TIME(struct batches_query, since, "since"),
    F_U32(struct batches_query, limit, "limit", .min_value = 1, .max_value = BATCHES_MAX, .help = "Default 50."),
};
static const struct record batches_query_record = RECORD(batches_query, batches_query_fields);

static void on_batch_row(void *ctx, const struct run_view *v)
{
    struct jw *w = ctx;

    jw_map(w);
    write_members(w, v);
    jw_end_map(w);
}

static void on_batches(struct call *c)
{
    const struct batches_query *q = c->query;
    struct jw *w = call_json(c);
    const struct run_filter f = {
        .user = q->user,
        .project = q->project,
        .scope = str_of(q->scope ? name_of(scopes, q->scope) : NULL),
        .state = (uint32_t)q->status,
        .since = q->since,
        .limit = q->limit ? q->limit : BATCHES_DEFAULT,
    };

    jw_list(w);
    run_list(c->control, &c->who, &f, on_batch_row, w);
    jw_end_list(w);
    reply_parked(c, 200);
}

/* -- its jobs, lines, health */
struct item_walk {
    struct jw *w;
    struct str batch_id;
};

static void on_item(void *ctx, const struct run_item_row *i)
{
    struct item_walk *x = ctx;
    struct jw *w = x->w;

    jw_map(w);
    argus_text(w, "id", i->item_id);
    argus_text(w, "batch_id", x->batch_id);
    argus_text(w, "model", i->model);
    argus_text(w, "dataset", i->dataset);
    argus_text(w, "status", i->status);
    argus_time(w, "start_time", i->start_time);
    argus_time(w, "end_time", i->end_time);
    jw_key(w, "elapsed_s");
    if (i->elapsed_s > 0)
        jw_f64(w, i->elapsed_s);
    else
        jw_null(w);
    jw_key(w, "metrics");
    jw_raw(w, i->metrics.text.len ? i->metrics.text : STR("null"));
    jw_end_map(w);
}

static void on_items(struct call *c)
{
    struct item_walk x = { .w = call_json(c) };
    struct run_view v;

    if (!argus_find(c, &v))
        return;
    x.batch_id = v.row->batch_id;
    jw_list(x.w);
    run_items(c->control, v.id, on_item, &x);
    jw_end_list(x.w);
    reply_parked(c, 200);
}

struct lines_query {
    uint64_t after;
    uint32_t limit;
};
static const struct field lines_query_fields[] = {
    F_U64(struct lines_query, after, "after", .help = "Lines behind this id."),
    F_U32(struct lines_query, limit, "limit", .min_value = 1, .max_value = LINES_MAX, .help = "Default 500."),
};
static const struct record lines_query_record = RECORD(lines_query, lines_query_fields);

static void on_line(void *ctx, uint64_t id, const struct run_log_row *l)
{
    struct call *c = ctx;
    struct jw *w = call_json(c);

    if (call_is_gone(c))
        return;
    jw_map(w);
    argus_number(w, "id", id);
    argus_time(w, "timestamp", l->at);
    argus_text(w, "level", l->level);
    jw_key(w, "line");
    jw_str(w, l->line);
    jw_key(w, "message");
    jw_str(w, l->line);
    argus_text(w, "job_id", l->item_id);
    jw_end_map(w);
}

static void on_lines_done(void *ctx, int result)
{
    AUTO(call_unref) struct call *c = ctx;

    if (call_is_gone(c))
        return;
    if (result < 0) {
        reply_unread(c, result);
        return;
    }
    jw_end_list(call_json(c));
    reply_now(c, 200); /* read from the disk */
}

static void on_lines(struct call *c)
{
    const struct lines_query *q = c->query;
    struct run_view v;

    if (!argus_find(c, &v))
        return;
    jw_list(call_json(c));
    run_read_logs(c->control, v.id, q->after, q->limit ? q->limit : LINES_DEFAULT, on_line, on_lines_done, call_ref(c));
}

static void on_health(struct call *c)
{
    struct jw *w = call_json(c);
    usec_t now = clock_wall(c->api->conf.clock);
    struct run_view v;

    if (!argus_find(c, &v))
        return;
    const struct run_row *r = v.row;
    jw_map(w);
    argus_text(w, "batch_id", r->batch_id);
    write_progress(w, &v);
    argus_flag(w, "is_stalled", r->state == RUN_STALLED);
    argus_time(w, "last_event_at", r->last_heard);
    argus_number(w, "last_event_age_s", (now > r->last_heard ? now - r->last_heard : 0) / USEC_PER_SEC);
    argus_number(w, "stalled_after_s", RUN_SILENCE / USEC_PER_SEC);
    jw_end_map(w);
    reply_parked(c, 200);
}

#define READ AUTH_OPERATOR, VERB_READ
static const struct route rows[] = {
    { HTTP_GET, "/api/batches", READ, .handler = on_batches, .query = &batches_query_record, .dialect = &dialect_argus,
      .summary = "Batches you may see, newest first." },
    { HTTP_GET, "/api/batches/{id}", READ, .handler = on_batch, .dialect = &dialect_argus,
      .summary = "One batch, with its commands." },
    { HTTP_GET, "/api/batches/{id}/jobs", READ, .handler = on_items, .dialect = &dialect_argus, .summary = "Its jobs." },
    { HTTP_GET, "/api/batches/{id}/log-lines", READ, .handler = on_lines, .query = &lines_query_record, .dialect = &dialect_argus,
      .summary = "Its log lines, oldest first." },
    { HTTP_GET, "/api/batches/{id}/health", READ, .handler = on_health, .dialect = &dialect_argus, .summary = "Is it alive?" },
};
const struct route_table argus_batch_table = { rows, ARRAY_SIZE(rows) };
