/* api/native_in.c - messages of an agent: protobuf -> wire structs -> control's verbs. Everything an agent
 * sends is counted, capped and checked to be text here, because control, store and the REST surface take it
 * as such. */
#include <errno.h>

#include "api/native_priv.h"
#include "api/row_json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "control/accent.h"

#define LOG_TARGET "native"
#include "base/log.h"

enum { CLAIM_MAX = 256, SECTION_NAME_MAX = 32, MESSAGE_TEXT_MAX = 1024, TASKS_IN_HAND_MAX = 4096, ROLES_MAX = 64 };

static void break_off(struct native_link *l, const char *why)
{
    log_warn("native.protocol", "an agent broke the protocol", LOG_U64("link", l->id.v),
             LOG_CSTR("why", why));
    native__goodbye(l, "protocol.error", why, 0, false);
}

/* -- text */

/* @s within @max and valid UTF-8; {"",0} for NULL. */
static bool take_text(const char *s, size_t max, struct str *ret)
{
    *ret = s ? str_of(s) : STR("");
    return ret->len <= max && utf8_is_valid(*ret);
}

/* -- claims */

bool native__claims(struct native *n, const Muster__V1__HostClaims *m, const char *agent_version,
                    struct host_claims *ret)
{
    *ret = (struct host_claims){ 0 };
    if (!take_text(agent_version, 64, &ret->agent_version))
        return false;
    if (!m)
        return true;
    if (!take_text(m->hostname, LIMIT_HOSTNAME, &ret->hostname) ||
        !take_text(m->machine_id, 128, &ret->machine_id) || !take_text(m->os, CLAIM_MAX, &ret->os) ||
        !take_text(m->kernel, CLAIM_MAX, &ret->kernel) || !take_text(m->arch, 64, &ret->arch) ||
        m->n_addresses > 64 || m->n_labels > LIMIT_LABELS)
        return false;

    ret->addresses.v = arena_array(n->in.arena, m->n_addresses + 1, sizeof(*ret->addresses.v));
    ret->labels.v = arena_array(n->in.arena, m->n_labels + 1, sizeof(*ret->labels.v));
    if (!ret->addresses.v || !ret->labels.v)
        return false;
    for (size_t i = 0; i < m->n_addresses; i++)
        if (!take_text(m->addresses[i], 64, &ret->addresses.v[ret->addresses.n++]))
            return false;
    for (size_t i = 0; i < m->n_labels; i++) {
        struct kv *kv = &ret->labels.v[ret->labels.n++];

        if (!take_text(m->labels[i]->key, LIMIT_NAME, &kv->key) ||
            !take_text(m->labels[i]->value, LIMIT_LABEL_VALUE, &kv->value))
            return false;
    }
    ret->cpu_cores = m->cpu_cores;
    ret->memory_bytes = m->memory_bytes;
    ret->disk_bytes = m->disk_bytes;
    return true;
}

/* -- inventory */

static bool take_digest(ProtobufCBinaryData d, struct fact_digest *ret)
{
    if (d.len == 0) {
        *ret = (struct fact_digest){ 0 };
        return true;
    }
    if (d.len != SHA256_LEN)
        return false;
    memcpy(ret->b, d.data, SHA256_LEN);
    return true;
}

static enum section_status status_of(Muster__V1__SectionStatus s)
{
    switch (s) {
    case MUSTER__V1__SECTION_STATUS__SECTION_STATUS_OK:
        return SECTION_OK;
    case MUSTER__V1__SECTION_STATUS__SECTION_STATUS_DISABLED:
        return SECTION_DISABLED;
    case MUSTER__V1__SECTION_STATUS__SECTION_STATUS_MISSING:
        return SECTION_MISSING;
    case MUSTER__V1__SECTION_STATUS__SECTION_STATUS_FAILED:
    case MUSTER__V1__SECTION_STATUS__SECTION_STATUS_UNKNOWN:
    case _MUSTER__V1__SECTION_STATUS_IS_INT_SIZE:
        break;
    }
    return SECTION_FAILED;
}

static const char *take_rows(struct native *n, const Muster__V1__SectionDelta *m, struct section_delta *d)
{
    size_t bytes = 0;

    if (m->n_rows > LIMIT_SECTION_ROWS || m->n_removed > LIMIT_SECTION_ROWS)
        return "a section has too many rows";
    d->rows = arena_array(n->in.arena, m->n_rows + 1, sizeof(*d->rows));
    d->removed = arena_array(n->in.arena, m->n_removed + 1, sizeof(*d->removed));
    if (!d->rows || !d->removed)
        return "an inventory message is too large";
    for (size_t i = 0; i < m->n_rows; i++) {
        struct fact_row *row = &d->rows[d->n_rows++];

        if (!take_text(m->rows[i]->key, LIMIT_ROW_BYTES, &row->key) || row->key.len == 0)
            return "the key of a row is empty, too long or no text";
        row->json = str_of(m->rows[i]->json);
        if (row->json.len > LIMIT_ROW_BYTES || !row_json_is_valid(row->json))
            return "a row is no JSON object";
        bytes += row->key.len + row->json.len;
    }
    for (size_t i = 0; i < m->n_removed; i++) {
        if (!take_text(m->removed[i], LIMIT_ROW_BYTES, &d->removed[d->n_removed++]))
            return "a removed key is too long or no text";
        bytes += d->removed[i].len;
    }
    return bytes > LIMIT_SECTION_BYTES ? "a section is too large" : NULL;
}

/* NULL, or what is wrong with it. */
static const char *take_delta(struct native *n, const Muster__V1__SectionDelta *m, struct section_delta *d)
{
    *d =
        (struct section_delta){ .status = status_of(m->status), .full = m->full, .taken_at = m->taken_at_us };
    if (!take_text(m->name, SECTION_NAME_MAX, &d->name) || name_value(section_names, d->name) < 0)
        return "a section has no known name";
    if (!take_text(m->message, MESSAGE_TEXT_MAX, &d->message))
        return "a section's message is too long or no text";
    if (!take_digest(m->base_digest, &d->base) || !take_digest(m->digest, &d->digest))
        return "a digest has not 32 bytes";
    return take_rows(n, m, d);
}

/* A section we cannot take is left out and said so in the log: the agent would only send it again if we hung
 * up. */
static void on_inventory(struct native_link *l, const Muster__V1__Inventory *m)
{
    struct native *n = l->api->native;
    struct section_delta *d;
    size_t n_d = 0;

    if (m->n_sections > 4 * SECTION_N) {
        break_off(l, "an inventory message has too many sections");
        return;
    }
    d = arena_array(n->in.arena, m->n_sections + 1, sizeof(*d));
    if (!d) {
        break_off(l, "an inventory message is too large");
        return;
    }
    for (size_t i = 0; i < m->n_sections; i++) {
        const char *wrong = take_delta(n, m->sections[i], &d[n_d]);

        if (!wrong)
            n_d++;
        else
            log_warn("native.section_refused", "a section was left out", LOG_U64("link", l->id.v),
                     LOG_STR("section", str_sub(str_of(m->sections[i]->name), 0, SECTION_NAME_MAX)),
                     LOG_CSTR("why", wrong));
    }
    if (n_d > 0)
        checkin_inventory(l->api->control, l->id, d, n_d);
}

static void on_inventory_answer(struct native_link *l, const Muster__V1__InventoryAnswer *m)
{
    struct section_delta d;

    if (m->section && !take_delta(l->api->native, m->section, &d))
        inventory_answer(l->api->control, l->id, m->request_id, &d);
}

/* -- hello, heartbeat */

#define PORT_SCAN "port_scan"
#define METRICS "metrics"

/* An agent that names no role at all says nothing of any. */
static enum offer offers(char *const *roles, size_t n, const char *name)
{
    for (size_t i = 0; i < n && i < 64; i++)
        if (roles[i] && strcmp(roles[i], name) == 0)
            return OFFER_YES;
    return n ? OFFER_NO : OFFER_UNSAID;
}

/* Is this role's health that of one who works, or tries to? */
static enum offer offer_of(int status)
{
    return status == SECTION_DISABLED || status == SECTION_MISSING ? OFFER_NO : OFFER_YES;
}

static void on_hello(struct native_link *l, const Muster__V1__Hello *m)
{
    struct native *n = l->api->native;
    struct link_hello *said = l->hello;
    struct task_in_hand *tasks;
    struct section_delta *sections;
    struct hello h = { .peer_addr = said->peer,
                       .spool_epoch = m->spool_epoch,
                       .commands_allowed = m->commands_allowed,
                       .ports = offers(m->roles, m->n_roles, PORT_SCAN),
                       .agent_time = m->agent_time_us };
    struct err err = { 0 };

    if (m->protocol != 1) {
        native__goodbye(l, "protocol.version", "this server speaks protocol 1", 0, false);
        return;
    }
    if (m->n_tasks > TASKS_IN_HAND_MAX || m->n_sections > 4 * SECTION_N ||
        !native__claims(n, m->claims, m->agent_version, &h.claims)) {
        break_off(l, "the hello holds more than it may");
        return;
    }
    tasks = arena_array(n->in.arena, m->n_tasks + 1, sizeof(*tasks));
    sections = arena_array(n->in.arena, m->n_sections + 1, sizeof(*sections));
    if (!tasks || !sections) {
        break_off(l, "the hello is too large");
        return;
    }
    for (size_t i = 0; i < m->n_tasks; i++)
        tasks[i] = (struct task_in_hand){ .task_id = m->tasks[i]->task_id,
                                          .finished = m->tasks[i]->finished,
                                          .stdout_bytes = m->tasks[i]->stdout_bytes,
                                          .stderr_bytes = m->tasks[i]->stderr_bytes };
    for (size_t i = 0; i < m->n_sections; i++) {
        struct section_delta *d = &sections[h.n_sections];

        if (take_text(m->sections[i]->name, SECTION_NAME_MAX, &d->name) &&
            take_digest(m->sections[i]->digest, &d->digest))
            h.n_sections++;
    }
    h.tasks = tasks;
    h.n_tasks = m->n_tasks;
    h.sections = sections;

    if (checkin_hello(l->api->control, &said->who, l->id, &h, &err) < 0) {
        bool forever = strcmp(err.slug, "host.revoked") == 0 || strcmp(err.slug, "host.rejected") == 0;

        native__goodbye(l, err.slug, err.text, 0, forever);
        return;
    }
    /* From here on control knows the link, and hears when it is gone. */
    l->hello = NULL;
    free(said);
}

static void on_heartbeat(struct native_link *l, const Muster__V1__Heartbeat *m)
{
    struct heartbeat b = {
        .load1 = m->load1,
        .load5 = m->load5,
        .load15 = m->load15,
        .cpu_pct = m->cpu_percent,
        .memory_used_bytes = m->memory_used_bytes,
        .memory_total_bytes = m->memory_total_bytes,
        .disk_used_bytes = m->disk_used_bytes,
        .disk_total_bytes = m->disk_total_bytes,
        .uptime_s = m->uptime_seconds,
        .running_tasks = m->running_tasks,
        .queued_tasks = m->queued_tasks,
    };

    struct role_health roles[ROLES_MAX];
    size_t n = 0;

    for (size_t i = 0; i < m->n_roles && i < ROLES_MAX; i++) {
        const Muster__V1__RoleHealth *r = m->roles[i];
        int status = r->status ? name_value(section_status_names, str_of(r->status)) : -1;

        if (!r->name || status < 0)
            continue;
        roles[n++] = (struct role_health){ str_of(r->name), (enum section_status)status, str_of(r->message) };
        b.roles_failed = (uint8_t)(b.roles_failed + (status == SECTION_FAILED));
        if (strcmp(r->name, PORT_SCAN) == 0)
            b.ports = (uint8_t)offer_of(status);
        else if (strcmp(r->name, METRICS) == 0)
            b.metrics = status == SECTION_OK ? OFFER_YES : OFFER_NO;
    }
    checkin_beat(l->api->control, l->id, &b);
    checkin_roles(l->api->control, l->id, roles, n);
}

/* -- tasks */

static void on_output(struct native_link *l, const Muster__V1__TaskOutput *m)
{
    struct output_frame f = { .task_id = m->task_id, .offset = m->offset, .data = pb_bytes(m->data) };

    if (m->stream == MUSTER__V1__OUTPUT_STREAM__OUTPUT_STREAM_STDOUT)
        f.stream = STREAM_STDOUT;
    else if (m->stream == MUSTER__V1__OUTPUT_STREAM__OUTPUT_STREAM_STDERR)
        f.stream = STREAM_STDERR;
    if (!f.stream || f.data.len > LIMIT_OUTPUT_CHUNK || f.offset > INT64_MAX)
        break_off(l, "an output frame has no stream or is too large");
    else
        task_output(l->api->control, l->id, &f);
}

static enum task_outcome outcome_of(Muster__V1__TaskOutcome o)
{
    switch (o) {
    case MUSTER__V1__TASK_OUTCOME__TASK_OUTCOME_EXITED:
        return OUTCOME_EXITED;
    case MUSTER__V1__TASK_OUTCOME__TASK_OUTCOME_SIGNALED:
        return OUTCOME_SIGNALED;
    case MUSTER__V1__TASK_OUTCOME__TASK_OUTCOME_TIMED_OUT:
        return OUTCOME_TIMED_OUT;
    case MUSTER__V1__TASK_OUTCOME__TASK_OUTCOME_CANCELLED:
        return OUTCOME_CANCELLED;
    case MUSTER__V1__TASK_OUTCOME__TASK_OUTCOME_REFUSED:
        return OUTCOME_REFUSED;
    case MUSTER__V1__TASK_OUTCOME__TASK_OUTCOME_LOST:
        return OUTCOME_LOST;
    case MUSTER__V1__TASK_OUTCOME__TASK_OUTCOME_UNKNOWN:
    case _MUSTER__V1__TASK_OUTCOME_IS_INT_SIZE:
        break;
    }
    return OUTCOME_NONE;
}

static void on_finished(struct native_link *l, const Muster__V1__TaskFinished *m)
{
    struct task_end e = {
        .task_id = m->task_id,
        .outcome = outcome_of(m->outcome),
        .exit_code = m->exit_code,
        .signal = m->signal,
        .started_at = m->started_at_us,
        .finished_at = m->finished_at_us,
        .sent_at = m->sent_at_us,
        .stdout_bytes = m->stdout_bytes,
        .stderr_bytes = m->stderr_bytes,
        .stdout_total = m->stdout_total_bytes,
        .stderr_total = m->stderr_total_bytes,
        .stdout_truncated = m->stdout_truncated,
        .stderr_truncated = m->stderr_truncated,
    };

    if (e.outcome == OUTCOME_NONE || !take_text(m->message, MESSAGE_TEXT_MAX, &e.message))
        break_off(l, "the end of a task has no known outcome, or a message that is no text");
    else
        task_finished(l->api->control, l->id, &e);
}

static void on_agent_event(struct native_link *l, const Muster__V1__AgentEvent *m)
{
    struct str slug, message;

    if (take_text(m->slug, 64, &slug) && take_text(m->message, MESSAGE_TEXT_MAX, &message))
        checkin_agent_event(l->api->control, l->id, slug, message, m->at_us);
}

static void on_renew(struct native_link *l, const Muster__V1__RenewRequest *m)
{
    struct str csr;

    if (take_text(m->csr_pem, 16 << 10, &csr))
        checkin_renew(l->api->control, l->id, csr);
    else
        break_off(l, "the request for a certificate is too large or no text");
}

static void on_ports_answer(struct native_link *l, const Muster__V1__PortsAnswer *m)
{
    struct ports_answer a = { .expires_at = m->expires_at_us };

    if (!take_text(m->error_slug, 64, &a.error.slug) || !take_text(m->error_text, MESSAGE_TEXT_MAX, &a.error.text) ||
        !take_text(m->lease, 64, &a.lease) || m->n_ports > PORTS_MAX) {
        break_off(l, "an answer about ports is too large or no text");
        return;
    }
    for (size_t i = 0; i < m->n_ports; i++) {
        if (m->ports[i] < 1 || m->ports[i] > UINT16_MAX) {
            break_off(l, "an answer about ports has one that is none");
            return;
        }
        a.ports[a.n++] = (uint16_t)m->ports[i];
    }
    ports_link_answer(l->api->control, l->id, m->request_id, &a);
}

/* -- dispatch */

static bool is_numbered(const Muster__V1__AgentMessage *m)
{
    return m->body_case == MUSTER__V1__AGENT_MESSAGE__BODY_INVENTORY ||
           m->body_case == MUSTER__V1__AGENT_MESSAGE__BODY_EVENT;
}

static void dispatch(struct native_link *l, const Muster__V1__AgentMessage *m)
{
    struct control *c = l->api->control;

    switch (m->body_case) {
    case MUSTER__V1__AGENT_MESSAGE__BODY_HELLO:
        break_off(l, "a second hello");
        break;
    case MUSTER__V1__AGENT_MESSAGE__BODY_HEARTBEAT:
        on_heartbeat(l, m->heartbeat);
        break;
    case MUSTER__V1__AGENT_MESSAGE__BODY_INVENTORY:
        on_inventory(l, m->inventory);
        break;
    case MUSTER__V1__AGENT_MESSAGE__BODY_TASK_ACCEPTED:
        task_accepted(c, l->id, m->task_accepted->task_id);
        break;
    case MUSTER__V1__AGENT_MESSAGE__BODY_TASK_STARTED:
        task_started(c, l->id, m->task_started->task_id);
        break;
    case MUSTER__V1__AGENT_MESSAGE__BODY_TASK_OUTPUT:
        on_output(l, m->task_output);
        break;
    case MUSTER__V1__AGENT_MESSAGE__BODY_TASK_FINISHED:
        on_finished(l, m->task_finished);
        break;
    case MUSTER__V1__AGENT_MESSAGE__BODY_RENEW:
        on_renew(l, m->renew);
        break;
    case MUSTER__V1__AGENT_MESSAGE__BODY_INVENTORY_ANSWER:
        on_inventory_answer(l, m->inventory_answer);
        break;
    case MUSTER__V1__AGENT_MESSAGE__BODY_EVENT:
        on_agent_event(l, m->event);
        break;
    case MUSTER__V1__AGENT_MESSAGE__BODY_PORTS_ANSWER:
        on_ports_answer(l, m->ports_answer);
        break;
    case MUSTER__V1__AGENT_MESSAGE__BODY__NOT_SET:
    case _MUSTER__V1__AGENT_MESSAGE__BODY__CASE_IS_INT_SIZE:
        break; /* a message of a newer agent: not for us */
    }
}

static void take_message(struct native_link *l, const Muster__V1__AgentMessage *m)
{
    if (l->hello) {
        if (m->body_case == MUSTER__V1__AGENT_MESSAGE__BODY_HELLO)
            on_hello(l, m->hello);
        else
            break_off(l, "the first message is not a hello");
        return;
    }
    checkin_alive(l->api->control, l->id);
    if (is_numbered(m)) {
        if (m->seq == 0)
            break_off(l, "a message that is kept has no number");
        else if (checkin_seq(l->api->control, l->id, m->seq))
            dispatch(l, m);
        return;
    }
    dispatch(l, m);
}

void native__message(struct native_link *l, struct str msg)
{
    struct native *n = l->api->native;
    Muster__V1__AgentMessage *m;

    if (l->is_ending)
        return;
    m = pb_unpack(&muster__v1__agent_message__descriptor, &n->in, msg);
    if (m)
        take_message(l, m);
    else
        break_off(l, n->in.is_full ? "a message is too large when unpacked" : "a message is not protobuf");
    pb_arena_reset(&n->in);
}
