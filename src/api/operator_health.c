/* api/operator_health.c - is it alive, is it ready, how is it: probes, metrics, status and the description of
 * the API. */
#include <errno.h>
#include <stdio.h>

#include "api/metrics.h"
#include "api/openapi.h"
#include "api/reply.h"
#include "api/state.h"
#include "base/mem.h"

/* Health answers are not parked: they say how the server is now, above all when the disk does not take
 * anything. */

static void on_healthz(struct call *c)
{
    c->content_type = "text/plain; charset=utf-8";
    (void)buf_cstr(&c->out, "ok");
    reply_now(c, 200);
}

/* What a browser sees until there is a page: where things are. It says nothing of the fleet, so it needs no
 * credential. */
static const char landing[] =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Muster</title>"
    "<meta name=\"viewport\" content=\"width=device-width\"><style>body{font:16px/1.5 "
    "system-ui,sans-serif;max-width:44rem;"
    "margin:3rem auto;padding:0 1rem;color:#222;background:#fff}code{background:#eee;padding:.1em "
    ".3em;border-radius:3px}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}code{background:#333}a{color:#8bf}}"
    "</style>"
    "<h1>Muster</h1><p>This is a control server. It is used with the command line (<code>muster "
    "hosts</code>, "
    "<code>muster run HOST -- CMD</code>) and with these:</p><ul>"
    "<li><a href=\"/api/v1/agents\">/api/v1/agents</a> the hosts, as JSON"
    "<li><a href=\"/api/v1/jobs\">/api/v1/jobs</a> the jobs"
    "<li><a href=\"/api/v1/events\">/api/v1/events</a> what happened; <a "
    "href=\"/api/v1/events?follow=true\">live</a>"
    "<li><a href=\"/api/openapi.json\">/api/openapi.json</a> every route, OpenAPI 3.1"
    "<li><a href=\"/grapheon/agents\">/grapheon/agents</a> Graph\xc4\x93on agents, a page with buttons"
    "<li><a href=\"/metrics\">/metrics</a> for Prometheus, <a href=\"/readyz\">/readyz</a>, <a "
    "href=\"/healthz\">/healthz</a></ul>"
    "<p>Beyond a development server on loopback, the first four want a token: "
    "<code>Authorization: Bearer em_live_…</code>.</p></html>";

static void on_landing(struct call *c)
{
    c->content_type = "text/html; charset=utf-8";
    call_header(c, "content-security-policy", "default-src 'none'; style-src 'unsafe-inline'");
    call_header(c, "x-content-type-options", "nosniff");
    (void)buf_cstr(&c->out, landing);
    reply_now(c, 200);
}

struct ready_out {
    struct str status, reason;
};
static const struct field ready_fields[] = {
    F_STR(struct ready_out, status, "status", 16, .help = "ready or not_ready."),
    F_STR(struct ready_out, reason, "reason", 48, .flags = FIELD_OMIT, .help = "Slug of what is wrong."),
};
static const struct record ready_record = RECORD(ready_out, ready_fields);

static void on_readyz(struct call *c)
{
    struct ready_out o = { .status = STR("ready") };
    struct err err = { 0 };

    if (c->api->not_ready)
        o.reason = str_of(c->api->not_ready);
    else if (!c->control)
        o.reason = STR("starting");
    else if (read_health(c->control, &err) < 0)
        o.reason = str_of(err.slug);
    if (o.reason.len)
        o.status = STR("not_ready");
    record_write(&ready_record, &o, call_json(c));
    reply_now(c, o.reason.len ? 503 : 200);
}

static void on_metrics(struct call *c)
{
    if (!c->api->conf.has_metrics) {
        c->content_type = "text/plain; charset=utf-8";
        (void)buf_cstr(&c->out, "metrics are disabled\n");
        reply_now(c, 404);
        return;
    }
    c->content_type = "text/plain; version=0.0.4; charset=utf-8";
    (void)metrics_write(c->api, &c->out);
    reply_now(c, 200);
}

static void on_openapi(struct call *c)
{
    if (openapi_write(c->api->router, &c->out) < 0)
        c->w.err = -ENOBUFS;
    reply_now(c, 200);
}

struct health_agents_out {
    uint32_t connected, ready;
};
static const struct field health_agents_fields[] = {
    F_U32(struct health_agents_out, connected, "connected"),
    F_U32(struct health_agents_out, ready, "ready"),
};
static const struct record health_agents_record = RECORD(health_agents_out, health_agents_fields);
struct health_tasks_out {
    uint32_t running, pending;
};
static const struct field health_tasks_fields[] = {
    F_U32(struct health_tasks_out, running, "running"),
    F_U32(struct health_tasks_out, pending, "pending"),
};
static const struct record health_tasks_record = RECORD(health_tasks_out, health_tasks_fields);
struct health_out {
    struct str status, version;
    uint64_t uptime_seconds;
    struct health_agents_out agents;
    struct health_tasks_out tasks;
};
static const struct field health_fields[] = {
    F_STR(struct health_out, status, "status", 8, .help = "ok: the server answers."),
    F_STR(struct health_out, version, "version", 32),
    F_U64(struct health_out, uptime_seconds, "uptime_seconds"),
    F_SUB(struct health_out, agents, "agents", &health_agents_record),
    F_SUB(struct health_out, tasks, "tasks", &health_tasks_record),
};
static const struct record health_record = RECORD(health_out, health_fields);

static void on_health(struct call *c)
{
    struct fleet_counts n = { 0 };
    struct health_out o = { .status = STR("ok"),
                            .version = STR(MUSTER_VERSION),
                            .uptime_seconds = (api_now(c->api) - c->api->started_mono) / USEC_PER_SEC };

    if (c->control)
        fleet_count(c->control, &n);
    o.agents = (struct health_agents_out){ n.connected, n.ready };
    o.tasks = (struct health_tasks_out){ n.running_tasks, n.queued_tasks };
    record_write(&health_record, &o, call_json(c));
    reply_now(c, 200);
}

/* -- GET /status */

struct status_hosts_out {
    uint32_t total, ready, busy, stale, disconnected, pending;
};
static const struct field status_hosts_fields[] = {
    F_U32(struct status_hosts_out, total, "total"),
    F_U32(struct status_hosts_out, ready, "ready"),
    F_U32(struct status_hosts_out, busy, "busy"),
    F_U32(struct status_hosts_out, stale, "stale"),
    F_U32(struct status_hosts_out, disconnected, "disconnected"),
    F_U32(struct status_hosts_out, pending, "pending"),
};
static const struct record status_hosts_record = RECORD(status_hosts_out, status_hosts_fields);
struct status_jobs_out {
    uint32_t open;
};
static const struct field status_jobs_fields[] = { F_U32(struct status_jobs_out, open, "open") };
static const struct record status_jobs_record = RECORD(status_jobs_out, status_jobs_fields);
struct status_store_out {
    bool healthy;
    struct str reason;
    uint64_t db_bytes;
};
static const struct field status_store_fields[] = {
    F_BOOL(struct status_store_out, healthy, "healthy"),
    F_STR(struct status_store_out, reason, "reason", 384, .flags = FIELD_NULLABLE),
    F_U64(struct status_store_out, db_bytes, "db_bytes"),
};
static const struct record status_store_record = RECORD(status_store_out, status_store_fields);
struct status_listen_out {
    struct str grpc, ws, http;
    struct str_list more;
};
static const struct field status_listen_fields[] = {
    F_STR(struct status_listen_out, grpc, "grpc", 80),
    F_STR(struct status_listen_out, ws, "ws", 80),
    F_STR(struct status_listen_out, http, "http", 80),
    F_STR_LIST(struct status_listen_out, more, "more_http", API_LISTEN_MORE, 80, .flags = FIELD_OMIT, .help = "Those of --http-listen."),
};
static const struct record status_listen_record = RECORD(status_listen_out, status_listen_fields);
struct status_out {
    struct str version, fleet, pin;
    uint64_t uptime_seconds;
    struct status_hosts_out hosts;
    struct status_jobs_out jobs;
    struct status_store_out store;
    double heartbeat_seconds, heartbeat_now_seconds;
    struct status_listen_out listen;
    bool dev;
};
static const struct field status_fields[] = {
    F_STR(struct status_out, version, "version", 32),
    F_STR(struct status_out, fleet, "fleet", 128, .help = "Trust domain of its certificates."),
    F_U64(struct status_out, uptime_seconds, "uptime_seconds"),
    F_SUB(struct status_out, hosts, "hosts", &status_hosts_record),
    F_SUB(struct status_out, jobs, "jobs", &status_jobs_record),
    F_SUB(struct status_out, store, "store", &status_store_record),
    F_F64(struct status_out, heartbeat_seconds, "heartbeat_seconds", .help = "As configured."),
    F_F64(struct status_out, heartbeat_now_seconds, "heartbeat_now_seconds", .help = "In force: stretched when there are many agents."),
    F_STR(struct status_out, pin, "pin", 80, .help = "sha256:hex of the fleet's CA key."),
    F_SUB(struct status_out, listen, "listen", &status_listen_record),
    F_BOOL(struct status_out, dev, "dev"),
};
static const struct record status_record = RECORD(status_out, status_fields);

static void on_status(struct call *c)
{
    const struct control_identity *id = control_identity(c->control);
    struct store_stats st = { 0 };
    struct fleet_counts n = { 0 };
    struct err err = { 0 };
    struct api *a = c->api;
    struct str more[API_LISTEN_MORE];

    for (size_t i = 0; i < a->n_listen_more; i++)
        more[i] = str_of(a->listen_more[i]);
    fleet_count(c->control, &n);
    read_store_stats(c->control, &st);
    struct status_out o = {
        .version = STR(MUSTER_VERSION),
        .fleet = str_of(id->fleet),
        .pin = str_of(id->pin_text),
        .uptime_seconds = (api_now(a) - a->started_mono) / USEC_PER_SEC,
        .hosts = { n.total, n.ready, n.busy, n.stale, n.disconnected, n.pending },
        .jobs = { n.open_jobs },
        .heartbeat_seconds = (double)a->conf.heartbeat / 1e6,
        .heartbeat_now_seconds = (double)presence_beat_every(c->control) / 1e6,
        .listen = { str_of(a->listen_grpc), str_of(a->listen_ws), str_of(a->listen_http), { more, a->n_listen_more } },
        .dev = a->conf.is_dev,
    };
    o.store.healthy = read_health(c->control, &err) == 0;
    o.store.reason = o.store.healthy ? STR_NONE : str_of(err.text);
    o.store.db_bytes = st.db_bytes;
    record_write(&status_record, &o, call_json(c));
    reply_now(c, 200); /* says how the disk is, so it does not wait for it */
}

struct ca_out {
    struct str fleet, pin, ca_pem;
};
static const struct field ca_fields[] = {
    F_STR(struct ca_out, fleet, "fleet", 128, .help = "Trust domain of its certificates."),
    F_STR(struct ca_out, pin, "pin", 80, .help = "sha256:hex of its key."),
    F_STR(struct ca_out, ca_pem, "ca_pem", 8192, .help = "The certificate, for whoever checks this server's."),
};
static const struct record ca_record = RECORD(ca_out, ca_fields);

static void on_ca(struct call *c)
{
    const struct control_identity *id = control_identity(c->control);
    const struct ca_out o = { str_of(id->fleet), str_of(id->pin_text), str_of(id->ca_pem) };

    record_write(&ca_record, &o, call_json(c));
    reply_now(c, 200);
}

const struct route api_health_routes[] = {
    { HTTP_GET, "/", AUTH_NONE, .handler = on_landing, .summary = "Where things are, for a browser." },
    { HTTP_GET, "/healthz", AUTH_NONE, .handler = on_healthz, .summary = "Alive: ok." },
    { HTTP_GET, "/readyz", AUTH_NONE, .handler = on_readyz, .response = &ready_record,
      .summary = "Ready: the database is open and takes writes." },
    { HTTP_GET, "/metrics", AUTH_METRICS, VERB_READ, .handler = on_metrics, .summary = "Prometheus text." },
    { HTTP_GET, "/api/openapi.json", AUTH_NONE, .handler = on_openapi, .summary = "This document." },
    { HTTP_GET, "/api/v1/health", AUTH_NONE, .handler = on_health, .response = &health_record,
      .summary = "A short summary." },
    { HTTP_GET, "/api/v1/status", AUTH_OPERATOR, VERB_READ, .handler = on_status, .response = &status_record,
      .summary = "The server and its fleet at a glance." },
    { HTTP_GET, "/api/v1/ca", AUTH_OPERATOR, VERB_READ, .handler = on_ca, .response = &ca_record,
      .summary = "The fleet's CA certificate, to hand out." },
};
const size_t api_health_routes_n = ARRAY_SIZE(api_health_routes);
