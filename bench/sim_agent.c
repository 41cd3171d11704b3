/* bench/sim_agent.c - one simulated agent: connects with its own certificate, says hello, answers.
 *
 * What it keeps is what a real one keeps on disk: check-ins not yet acknowledged and ends of tasks not yet acknowledged; both are
 * sent again after a break. An acknowledgement the server forgot is counted in lost_acks and must never happen. */
#include <errno.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/rand.h"
#include "fleet/inventory.h"
#include "sim.h"

static void send_message(struct agent *a, Muster__V1__AgentMessage *m)
{
    struct buf *out = &a->sim->out;
    buf_reset(out);
    if (pb_pack(m, out) == 0)
        (void)grpc_send(a->call, buf_as_str(out)); /* a dead call says so itself */
}

/* -- check-ins: section "packages" with one row whose version is the number of the message */
static void row_of(uint64_t n, char json[96], struct fact_digest *ret)
{
    snprintf(json, 96, "{\"name\":\"sim\",\"version\":\"1.%llu\",\"manager\":\"dpkg\"}", (unsigned long long)n);
    const struct fact_row row = { STR("sim"), str_of(json) };
    fact_row_hash(&row, ret);
}

static void send_checkin(struct agent *a, uint64_t seq)
{
    char json[96], before[96];
    struct fact_digest now, base;
    row_of(seq, json, &now);
    row_of(seq - 1, before, &base);
    Muster__V1__FactRow row = MUSTER__V1__FACT_ROW__INIT;
    row.key = (char *)(uintptr_t) "sim";
    row.json = json;
    Muster__V1__FactRow *rows[] = { &row };
    Muster__V1__SectionDelta d = MUSTER__V1__SECTION_DELTA__INIT;
    d.name = (char *)(uintptr_t) "packages";
    d.status = MUSTER__V1__SECTION_STATUS__SECTION_STATUS_OK;
    d.full = a->needs_full;
    d.rows = rows;
    d.n_rows = 1;
    d.digest = (ProtobufCBinaryData){ SHA256_LEN, now.b };
    if (!d.full)
        d.base_digest = (ProtobufCBinaryData){ SHA256_LEN, base.b };
    d.taken_at_us = clock_wall(&clock_real);
    Muster__V1__SectionDelta *sections[] = { &d };
    Muster__V1__Inventory inv = MUSTER__V1__INVENTORY__INIT;
    inv.sections = sections;
    inv.n_sections = 1;
    Muster__V1__AgentMessage m = MUSTER__V1__AGENT_MESSAGE__INIT;
    m.seq = seq;
    m.body_case = MUSTER__V1__AGENT_MESSAGE__BODY_INVENTORY;
    m.inventory = &inv;
    a->needs_full = false;
    send_message(a, &m);
}

bool agent_checkin(struct agent *a, usec_t due)
{
    if (a->w_n == AGENT_WINDOW)
        return false;
    if (!a->window)
        a->window = xcalloc(AGENT_WINDOW, sizeof(*a->window));
    a->window[(a->w_head + a->w_n++) % AGENT_WINDOW] = (struct sent){ ++a->seq, due };
    a->sim->c.checkins++;
    send_checkin(a, a->seq);
    return true;
}

/* Everything up to @seq is committed. */
static void acked(struct agent *a, uint64_t seq, usec_t now)
{
    struct sim *s = a->sim;
    while (a->w_n && a->window[a->w_head].seq <= seq) {
        hist_add(&s->ack, now - a->window[a->w_head].due);
        a->w_head = (a->w_head + 1) % AGENT_WINDOW;
        a->w_n--;
        s->c.acked++;
    }
    if (seq > a->acked)
        a->acked = seq;
}

static void resend(struct agent *a)
{
    for (uint32_t i = 0; i < a->w_n; i++) {
        a->needs_full = a->needs_full || i == 0;
        a->sim->c.resent++;
        send_checkin(a, a->window[(a->w_head + i) % AGENT_WINDOW].seq);
    }
}

/* -- tasks */
static void send_finished(struct agent *a, uint64_t task_id)
{
    Muster__V1__TaskFinished f = MUSTER__V1__TASK_FINISHED__INIT;
    f.task_id = task_id;
    f.outcome = MUSTER__V1__TASK_OUTCOME__TASK_OUTCOME_EXITED;
    f.started_at_us = f.finished_at_us = clock_wall(&clock_real);
    Muster__V1__AgentMessage m = MUSTER__V1__AGENT_MESSAGE__INIT;
    m.body_case = MUSTER__V1__AGENT_MESSAGE__BODY_TASK_FINISHED;
    m.task_finished = &f;
    send_message(a, &m);
}

void agent_answer(struct agent *a, uint64_t task_id, usec_t offered_at)
{
    (void)offered_at;
    if (a->n_tasks == AGENT_TASKS) { /* the oldest is given up: the server offers it again or calls it lost */
        memmove(a->tasks, a->tasks + 1, (AGENT_TASKS - 1) * sizeof(a->tasks[0]));
        a->n_tasks--;
    }
    a->tasks[a->n_tasks++] = task_id;
    if (a->state != AGENT_ONLINE)
        return; /* it is in the next hello */
    send_finished(a, task_id);
    a->sim->c.answered++;
    a->sim->last_answer_wall = clock_wall(&clock_real);
}

static void forget_task(struct agent *a, uint64_t task_id)
{
    for (uint32_t i = 0; i < a->n_tasks; i++)
        if (a->tasks[i] == task_id) {
            memmove(a->tasks + i, a->tasks + i + 1, (a->n_tasks - i - 1) * sizeof(a->tasks[0]));
            a->n_tasks--;
            a->sim->c.finished_acked++;
            a->sim->last_finished_wall = clock_wall(&clock_real);
            return;
        }
}

/* -- hello and welcome */
static void send_hello(struct agent *a)
{
    static char *roles[] = { (char *)(uintptr_t) "inventory", (char *)(uintptr_t) "command", (char *)(uintptr_t) "metrics" };
    char name[32], id[SHA256_HEX_MAX], boot[64];
    snprintf(name, sizeof(name), "sim-%05u", a->index);
    sha256_hex(str_of(name), id);
    snprintf(boot, sizeof(boot), "sim-%016llx", (unsigned long long)a->epoch);
    Muster__V1__HostClaims claims = MUSTER__V1__HOST_CLAIMS__INIT;
    claims.hostname = name;
    claims.machine_id = id;
    claims.os = (char *)(uintptr_t) "Simulated";
    claims.kernel = claims.arch = (char *)(uintptr_t) "sim";
    claims.cpu_cores = 1;
    claims.memory_bytes = 1 << 30;
    Muster__V1__TaskInHand hands[AGENT_TASKS], *tasks[AGENT_TASKS];
    for (uint32_t i = 0; i < a->n_tasks; i++) {
        hands[i] = (Muster__V1__TaskInHand)MUSTER__V1__TASK_IN_HAND__INIT;
        hands[i].task_id = a->tasks[i];
        hands[i].finished = true;
        tasks[i] = &hands[i];
    }
    Muster__V1__Hello h = MUSTER__V1__HELLO__INIT;
    h.protocol = 1;
    h.agent_version = (char *)(uintptr_t)MUSTER_VERSION;
    h.boot_id = boot;
    h.spool_epoch = a->epoch;
    h.spool_first_seq = a->w_n ? a->window[a->w_head].seq : 0;
    h.claims = &claims;
    h.tasks = tasks;
    h.n_tasks = a->n_tasks;
    h.roles = roles;
    h.n_roles = ARRAY_SIZE(roles);
    h.agent_time_us = clock_wall(&clock_real);
    h.commands_allowed = true;
    Muster__V1__AgentMessage m = MUSTER__V1__AGENT_MESSAGE__INIT;
    m.body_case = MUSTER__V1__AGENT_MESSAGE__BODY_HELLO;
    m.hello = &h;
    send_message(a, &m);
}

static void take_config(struct agent *a, const Muster__V1__Config *c)
{
    if (c && c->heartbeat_ms)
        a->sim->server_heartbeat_ms = c->heartbeat_ms;
}

static void on_welcome(struct agent *a, const Muster__V1__Welcome *w)
{
    if (a->state != AGENT_HELLO)
        return;
    /* the server said "committed" of more than it still knows */
    if (a->acked > w->acked_seq)
        a->sim->c.lost_acks++;
    take_config(a, w->config);
    acked(a, w->acked_seq, sim_now());
    a->needs_full = true;
    sim_online(a->sim, a);
    resend(a);
    for (size_t i = 0; i < w->n_tasks; i++) {
        if (w->tasks[i]->done || !w->tasks[i]->known)
            forget_task(a, w->tasks[i]->task_id);
        else
            send_finished(a, w->tasks[i]->task_id);
    }
}

/* -- breaks */
static usec_t backoff(const struct agent *a)
{
    usec_t d = USEC_PER_SEC << (a->attempt < 7 ? a->attempt : 7);
    if (d > a->sim->o.backoff_max)
        d = a->sim->o.backoff_max;
    return d * (800 + rand_below(401)) / 1000; /* +-20 % */
}

static void broken(struct agent *a, usec_t wait, bool forever)
{
    if (a->state == AGENT_WAITING || a->state == AGENT_GONE || a->state == AGENT_IDLE)
        return;
    sim_offline(a->sim, a);
    a->is_stale = true;
    a->state = forever ? AGENT_GONE : AGENT_WAITING;
    if (forever)
        return;
    sim_later(a->sim, a, wait ? wait : backoff(a));
    a->attempt++;
}

static void on_goodbye(struct agent *a, const Muster__V1__Goodbye *g)
{
    a->sim->c.goodbyes++;
    snprintf(a->sim->last_error, sizeof(a->sim->last_error), "%s: %s", g->reason, g->message);
    broken(a, (usec_t)g->reconnect_after_ms * USEC_PER_MS, g->forever);
}

static void send_nothing_for(struct agent *a, const Muster__V1__InventoryRequest *rq)
{
    uint8_t zero[SHA256_LEN] = { 0 };
    Muster__V1__SectionDelta d = MUSTER__V1__SECTION_DELTA__INIT;
    d.name = rq->section;
    d.status = MUSTER__V1__SECTION_STATUS__SECTION_STATUS_OK;
    d.full = true;
    d.digest = (ProtobufCBinaryData){ sizeof(zero), zero };
    d.taken_at_us = clock_wall(&clock_real);
    Muster__V1__InventoryAnswer an = MUSTER__V1__INVENTORY_ANSWER__INIT;
    an.request_id = rq->request_id;
    an.section = &d;
    Muster__V1__AgentMessage m = MUSTER__V1__AGENT_MESSAGE__INIT;
    m.body_case = MUSTER__V1__AGENT_MESSAGE__BODY_INVENTORY_ANSWER;
    m.inventory_answer = &an;
    a->sim->c.inventory_asked++;
    send_message(a, &m);
}

/* A simulated host has no ports to give. */
static void refuse_ports(struct agent *a, const Muster__V1__PortsRequest *rq)
{
    Muster__V1__PortsAnswer an = MUSTER__V1__PORTS_ANSWER__INIT;
    Muster__V1__AgentMessage m = MUSTER__V1__AGENT_MESSAGE__INIT;

    an.request_id = rq->request_id;
    an.error_slug = (char *)(uintptr_t) "ports.disabled";
    an.error_text = (char *)(uintptr_t) "a simulated host does not scan ports";
    m.body_case = MUSTER__V1__AGENT_MESSAGE__BODY_PORTS_ANSWER;
    m.ports_answer = &an;
    send_message(a, &m);
}

static void on_message(void *ctx, uint64_t call, struct str msg)
{
    struct agent *a = ctx;
    struct sim *s = a->sim;
    if (call != a->call || a->is_stale)
        return;
    Muster__V1__ServerMessage *m = pb_unpack(&muster__v1__server_message__descriptor, &s->in, msg);
    if (!m) {
        s->c.bytes_bad++;
        pb_arena_reset(&s->in);
        return;
    }
    switch (m->body_case) {
    case MUSTER__V1__SERVER_MESSAGE__BODY_WELCOME:
        on_welcome(a, m->welcome);
        break;
    case MUSTER__V1__SERVER_MESSAGE__BODY_ACK:
        acked(a, m->ack->seq, sim_now());
        break;
    case MUSTER__V1__SERVER_MESSAGE__BODY_OFFER:
        sim_offered(s, a, m->offer->task_id);
        break;
    case MUSTER__V1__SERVER_MESSAGE__BODY_TASK_ACK:
        if (m->task_ack->finished)
            forget_task(a, m->task_ack->task_id);
        break;
    case MUSTER__V1__SERVER_MESSAGE__BODY_RESYNC:
        s->c.resyncs++;
        a->needs_full = true;
        break;
    case MUSTER__V1__SERVER_MESSAGE__BODY_CONFIG:
        take_config(a, m->config);
        break;
    case MUSTER__V1__SERVER_MESSAGE__BODY_GOODBYE:
        on_goodbye(a, m->goodbye);
        break;
    case MUSTER__V1__SERVER_MESSAGE__BODY_INVENTORY_REQUEST:
        send_nothing_for(a, m->inventory_request);
        break;
    case MUSTER__V1__SERVER_MESSAGE__BODY_PORTS_REQUEST:
        refuse_ports(a, m->ports_request);
        break;
    case MUSTER__V1__SERVER_MESSAGE__BODY_CANCEL:  /* what is to be cancelled has ended */
    case MUSTER__V1__SERVER_MESSAGE__BODY_INPUT:   /* and reads nothing */
    case MUSTER__V1__SERVER_MESSAGE__BODY_RENEWED: /* never asked for */
    case MUSTER__V1__SERVER_MESSAGE__BODY__NOT_SET:
    case _MUSTER__V1__SERVER_MESSAGE__BODY__CASE_IS_INT_SIZE:
        break;
    }
    pb_arena_reset(&s->in);
}

static void on_finished(void *ctx, uint64_t call, int status, struct str message)
{
    struct agent *a = ctx;
    struct sim *s = a->sim;
    if (call != a->call || a->is_stale)
        return;
    if (a->state == AGENT_HELLO && status != GRPC_UNAVAILABLE) {
        s->c.call_refused++;
        snprintf(s->last_error, sizeof(s->last_error), "link refused: %.*s", STR_FMT(message));
    } else {
        snprintf(s->last_error, sizeof(s->last_error), "link ended: %.*s", STR_FMT(message));
    }
    broken(a, 0, false);
}

static void on_connected(void *ctx, const struct tls_peer *peer)
{
    (void)peer;
    struct agent *a = ctx;
    const struct grpc_client_call_ops ops = { .message = on_message, .finished = on_finished, .ctx = a };
    if (a->state != AGENT_CONNECTING)
        return;
    a->sim->n_connecting--;
    a->state = AGENT_HELLO;
    if (grpc_client_call(a->client, "/muster.v1.Fleet/Link", NULL, 0, &ops, &a->call) < 0) {
        broken(a, 0, false);
        return;
    }
    send_hello(a);
}

static void on_disconnected(void *ctx, const struct err *err)
{
    struct agent *a = ctx;
    struct sim *s = a->sim;
    if (a->is_stale)
        return; /* its end was dealt with; it goes before the next connect */
    if (a->state == AGENT_CONNECTING) {
        bool is_refused = strcmp(err->slug, "net.refused") == 0;
        s->c.refused += is_refused;
        s->c.failed += !is_refused;
        if (s->storm.broke_at && !s->storm.all_back_at) {
            s->storm.refused += is_refused;
            s->storm.failed += !is_refused;
        }
        s->n_connecting--;
    }
    snprintf(s->last_error, sizeof(s->last_error), "%s: %s", err->slug, err->text);
    broken(a, 0, false);
}

void agent_prepare(struct agent *a)
{
    static const char *const alpn[] = { "h2", NULL };
    struct sim *s = a->sim;
    struct err err = { 0 };
    const struct tls_client_conf tls = {
        .ca_pem = s->ids.ca_pem,
        .expect_uri = s->expect_uri,
        .cert_pem = s->ids.v[a->index].cert_pem,
        .key_pem = s->ids.v[a->index].key_pem,
        .alpn = alpn,
    };
    a->tls = tls_client_new(&tls, &err);
    if (!a->tls)
        sim_end(s, err.text);
}

void agent_connect(struct agent *a)
{
    struct sim *s = a->sim;
    grpc_client_free(TAKE(a->client));
    a->is_stale = false;
    a->call = 0;
    if (!a->epoch)
        rand_bytes(&a->epoch, sizeof(a->epoch));
    const struct grpc_client_conf conf = { .host = s->host, .port = s->port, .tls = a->tls, .connect_timeout = s->o.connect_timeout };
    const struct grpc_client_ops ops = { on_connected, on_disconnected, a };
    a->state = AGENT_CONNECTING;
    s->n_connecting++;
    s->c.connects++;
    a->client = grpc_client_new(s->loop, &conf, &ops);
}

void agent_heartbeat(struct agent *a, struct str packed)
{
    (void)grpc_send(a->call, packed);
    a->sim->c.heartbeats++;
}

void agent_done(struct agent *a)
{
    grpc_client_free(TAKE(a->client));
    tls_ctx_free(TAKE(a->tls));
    free(a->window);
    a->window = NULL;
}
