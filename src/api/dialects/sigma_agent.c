/* api/dialects/sigma_agent.c - what sigma's agents call: register, heartbeat, and the questions about ports that wait for them. */
#include <errno.h>

#include <utlist.h>

#include "api/dialects/sigma.h"
#include "api/dialects/told.h"
#include "api/state.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/json_mend.h"

/* -- register and heartbeat */

/* A host is found by its name: one that was mended (ROUTE_ODD_TEXT) would be other hosts' too. */
static bool require_hostname(struct call *c, const struct record *rec, const void *body, struct str hostname)
{
    struct err err = { 0 };

    if (!field_is_present(rec, body, "hostname"))
        (void)err_set(&err, -EINVAL, "field.required", "hostname: must be there");
    else if (json_is_mended(hostname))
        (void)err_set(&err, -EINVAL, "json.utf8", "hostname: is not valid text");
    else
        return true;
    reply_error(c, &err);
    return false;
}

/* The wire's addresses as the fleet's, in the request's arena. */
static struct asset_addresses addresses_of(struct call *c, const struct sigma_ips *in)
{
    struct asset_addresses out = { arena_array(c->arena, in->n + 1, sizeof(*out.v)), 0 };

    for (size_t i = 0; i < in->n && out.v; i++)
        out.v[out.n++] = (struct asset_address){ .ip = in->v[i].ip, .label = in->v[i].label };
    return out;
}

/* What our own agent would have found out: a measure that is 0 could not be read. */
static size_t on_tell(void *ctx, const struct asset_facts *f, struct told_section *ret)
{
    struct call *c = ctx;
    struct told_sheet sheet = { .arena = c->arena, .v = ret };

    told_os(&sheet, f->hostname);
    if (f->state->cpu_cores)
        told_cpu(&sheet, f->state->cpu_cores);
    if (f->state->ram_mb)
        told_memory(&sheet, f->state->ram_mb << 20);
    if (f->state->disk_gb)
        told_filesystem(&sheet, STR("/"), f->state->disk_gb << 30);
    if (f->addresses)
        told_addresses(&sheet, f->addresses);
    return sheet.n;
}

static void checkin(struct call *c, struct asset_checkin *in, const struct node *root)
{
    struct asset_view v;
    struct heartbeat beat;
    struct err err = { 0 };

    in->peer = c->peer_addr;
    in->beat = &beat;
    in->tell = on_tell;
    in->tell_ctx = c;
    if (sigma_read_info(c->arena, node_get(root, "system_info"), &in->state, &beat, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    if (in->state.system_info.text.len == 0)
        in->beat = NULL;
    if (asset_checkin(c->control, &c->who, in, &v, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    sigma_reply_vps(c, &v);
}

static void on_register(struct call *c)
{
    const struct sigma_register *b;
    struct node *root;

    if (!sigma_prove_agent(c) || !(b = sigma_body(c, &sigma_register_record, &root)) ||
        !require_hostname(c, &sigma_register_record, b, b->hostname))
        return;
    checkin(c,
            &(struct asset_checkin){ .hostname = b->hostname,
                                     .alias = b->alias,
                                     .addresses = addresses_of(c, &b->ip_addresses),
                                     .is_register = true,
                                     .may_create = true,
                                     .ssh_port = b->ssh_port ? b->ssh_port : 22 },
            root);
}

static void on_heartbeat(struct call *c)
{
    const struct sigma_heartbeat *b;
    struct node *root;

    if (!sigma_prove_agent(c) || !(b = sigma_body(c, &sigma_heartbeat_record, &root)) ||
        !require_hostname(c, &sigma_heartbeat_record, b, b->hostname))
        return;
    checkin(c,
            &(struct asset_checkin){ .hostname = b->hostname,
                                     .addresses = addresses_of(c, &b->ip_addresses),
                                     .may_create = dialect_conf(c)->sigma_heartbeat_creates,
                                     .ssh_port = 22 },
            root);
}

/* -- questions about ports: a long poll */

struct poll_query {
    struct seen seen;
    struct str hostname;
    uint32_t wait;
};
static const struct field poll_query_fields[] = {
    F_STR(struct poll_query, hostname, "hostname", LIMIT_HOSTNAME, .flags = FIELD_REQUIRED),
    F_U32(struct poll_query, wait, "wait", .max_value = SIGMA_WAIT_MAX_S, .help = "Seconds; default 30."),
};
static const struct record poll_query_record = RECORD_SEEN(poll_query, poll_query_fields);

struct poll {
    struct call *call; /* held */
    uint64_t wait_id;
};

struct waiting {
    struct call *c;
    size_t n;
};

static void on_request(void *ctx, uint64_t request_id, const struct ports_wish *w)
{
    struct waiting *l = ctx;
    const struct sigma_port_request q = {
        .id = request_id, .count = w->count, .ttl_seconds = w->ttl_seconds, .owner = w->owner, .hold = w->hold
    };

    record_write(&sigma_port_request_record, &q, call_json(l->c));
    l->n++;
}

/* What waits for the host, as the answer; returns how many. */
static size_t write_requests(struct call *c, uint64_t host_id)
{
    struct waiting w = { c, 0 };
    struct jw *out = call_json(c);

    jw_map(out);
    jw_key(out, "requests");
    jw_list(out);
    ports_waiting(c->control, host_id, on_request, &w);
    jw_end_list(out);
    jw_end_map(out);
    return w.n;
}

/* The host that polls. One that nobody knows is a 409 here: 404 is the answer of a server that has no such route, which an agent asks
 * no more; this one is registered by its next heartbeat. Returns 0; negative: @err. */
static int polling_host(struct call *c, struct str hostname, uint64_t *ret_host_id, struct err *err)
{
    struct err why = { 0 };
    int r = asset_host_of(c->control, hostname, ret_host_id, &why);

    if (r == -ENOENT)
        return err_set(err, -ESTALE, "asset.state", "%s: it is known again after its next heartbeat", why.text);
    if (r < 0)
        *err = why;
    return r;
}

static void on_poll_wake(void *ctx)
{
    AUTO(call_unref) struct call *c = ((struct poll *)ctx)->call;
    const struct poll_query *q = c->query;
    struct err err = { 0 };
    uint64_t host_id;

    c->on_gone = c->on_half_closed = NULL;
    free(ctx);
    if (call_is_gone(c) || !c->api->control)
        return;
    /* It was let in when it began to wait: key, host and name may be another matter by now. */
    if (!authn_still_holds(c->control, &c->who))
        (void)err_set(&err, -EACCES, "auth.bad_credential", "Unauthorized: this key is good no more");
    else
        (void)polling_host(c, q->hostname, &host_id, &err);
    if (err_is(&err)) {
        reply_error_parked(c, &err);
        return;
    }
    (void)write_requests(c, host_id);
    reply_parked(c, 200);
}

static void on_poll_gone(void *ctx)
{
    struct poll *p = ctx;

    if (p->call->api->control)
        ports_unwait(p->call->api->control, p->wait_id);
    call_unref(p->call);
    free(p);
}

/* Whoever polls has left, or waits for the answer with its half closed: it is told that there is nothing. A question handed to it might
 * be lost with it, and would wait to be fetched again while the agent's next poll is held. */
static void on_poll_half_closed(void *ctx)
{
    struct poll *p = ctx;
    struct call *c = p->call;
    struct jw *out = call_json(c);

    if (c->api->control)
        ports_unwait(c->api->control, p->wait_id);
    c->on_gone = c->on_half_closed = NULL;
    free(p);
    jw_map(out);
    jw_key(out, "requests");
    jw_list(out);
    jw_end_list(out);
    jw_end_map(out);
    reply_parked(c, 200);
    call_unref(c);
}

/* A planned stop waits for nobody's silence: whoever polls is told that there is nothing and comes back later. */
void sigma_drain(struct api *a)
{
    struct call *c, *next;

    DL_FOREACH_SAFE(a->calls, c, next)
    {
        if (c->on_gone != on_poll_gone)
            continue;
        ports_unwait(a->control, ((struct poll *)c->on_gone_ctx)->wait_id);
        on_poll_wake(c->on_gone_ctx);
    }
}

static void on_port_requests(struct call *c)
{
    const struct poll_query *q = c->query;
    usec_t wait = field_is_present(&poll_query_record, q, "wait") ? q->wait * USEC_PER_SEC : 30 * USEC_PER_SEC;
    struct err err = { 0 };
    struct poll *p;
    uint64_t host_id;

    if (!sigma_prove_agent(c))
        return;
    if (asset_may_speak(c->control, &c->who, q->hostname, c->peer_addr, &err) < 0 ||
        polling_host(c, q->hostname, &host_id, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    if (write_requests(c, host_id) > 0) {
        reply_parked(c, 200);
        return;
    }
    buf_reset(&c->out);
    c->w = JW(&c->out);
    p = xnew0(struct poll);
    *p = (struct poll){ .call = call_ref(c) };
    c->on_gone = on_poll_gone;
    c->on_half_closed = on_poll_half_closed;
    c->on_gone_ctx = p;
    p->wait_id = ports_wait(c->control, host_id, api_now(c->api) + wait, on_poll_wake, p);
}

/* -- answers */

/* [10001, 10002] -> @out; false: not that, or more than there may be. */
static bool read_ports(struct call *c, struct str text, struct ports_answer *out)
{
    struct err err = { 0 };
    struct node *list;

    if (text.len == 0)
        return true;
    if (json_parse(c->arena, text, text.len, &list, &err) < 0 || list->type != NODE_LIST || list->n > PORTS_MAX)
        return false;
    for (const struct node *n = list->child; n; n = n->next) {
        if (n->type != NODE_INT || n->i < 1 || n->i > 65535)
            return false;
        out->ports[out->n++] = (uint16_t)n->i;
    }
    return true;
}

static const char *const refusals[] = { "ports.disabled", "ports.count", "ports.too_few", "ports.failed" };

static void on_port_answers(struct call *c)
{
    const struct sigma_port_answer *b;
    struct ports_answer *a;
    struct err err = { 0 };
    uint64_t host_id;
    bool is_known = false;

    if (!sigma_prove_agent(c) || !(b = sigma_body(c, &sigma_port_answer_record, NULL)))
        return;
    a = arena_new0(c->arena, struct ports_answer);
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
        is_known |= str_is(b->error, refusals[i]);
    if (!a)
        (void)err_set(&err, -ENOBUFS, "request.too_large", "the request is too large");
    else if (!read_ports(c, b->ports.text, a))
        (void)err_set(&err, -EINVAL, "field.type", "ports: must be a list of at most %d numbers between 1 and 65535", PORTS_MAX);
    else if (b->error.len && !is_known)
        (void)err_set(&err, -EINVAL, "field.enum", "error: must be ports.disabled, ports.count, ports.too_few or ports.failed");
    else if (b->error.len == 0 && a->n == 0)
        (void)err_set(&err, -EINVAL, "field.required", "ports: must be there when there is no error");
    if (err_is(&err)) {
        reply_error(c, &err);
        return;
    }
    a->error.slug = b->error;
    a->error.text = b->message.len ? b->message : b->error;
    a->lease = b->lease;
    a->expires_at = b->expires_at;
    if (asset_may_speak(c->control, &c->who, b->hostname, c->peer_addr, &err) < 0 ||
        asset_host_of(c->control, b->hostname, &host_id, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    if (ports_answered(c->control, host_id, b->id, a) < 0) {
        (void)err_set(&err, -ENOENT, "request.gone", "Not found: nobody waits for this answer (any more)");
        reply_error_parked(c, &err);
        return;
    }
    sigma_reply_true(c, "accepted");
}

static const struct route rows[] = {
    { HTTP_POST, "/api/agent/register", AUTH_AGENT, .cap = SIGMA_BODY_MAX, .handler = on_register, .response = &sigma_vps_record,
      .flags = ROUTE_PROVE_HEAD | ROUTE_RAW_BODY | ROUTE_ODD_TEXT | ROUTE_MUTATES, .dialect = &dialect_sigma, .summary = "A sigma agent says who it is." },
    { HTTP_POST, "/api/agent/heartbeat", AUTH_AGENT, .cap = SIGMA_BODY_MAX, .handler = on_heartbeat, .response = &sigma_vps_record,
      .flags = ROUTE_PROVE_HEAD | ROUTE_RAW_BODY | ROUTE_ODD_TEXT | ROUTE_MUTATES, .dialect = &dialect_sigma, .summary = "A sigma agent is alive." },
    { HTTP_GET, "/api/agent/port-requests", AUTH_AGENT, .handler = on_port_requests, .query = &poll_query_record,
      .response = &sigma_port_requests_record, .dialect = &dialect_sigma,
      .summary = "Questions about free ports that wait for a sigma agent (long poll)." },
    { HTTP_POST, "/api/agent/port-answers", AUTH_AGENT, .handler = on_port_answers, .flags = ROUTE_RAW_BODY | ROUTE_MUTATES,
      .dialect = &dialect_sigma, .summary = "The answer to one of them." },
};
const struct route_table sigma_agent_table = { rows, ARRAY_SIZE(rows) };
