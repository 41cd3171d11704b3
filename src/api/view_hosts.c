/* api/view_hosts.c - see view_hosts.h. */
#include "api/view_hosts.h"

#include <stdio.h>

#include "base/limits.h"
#include "control/accent.h"

enum { ROLES_SHOWN = 32 };

struct metrics_out {
    double cpu_percent;
    uint64_t memory_used_bytes, memory_total_bytes, disk_used_bytes, disk_total_bytes, uptime_seconds;
    struct json_text load_avg;
};
static const struct field metrics_fields[] = {
    F_F64(struct metrics_out, cpu_percent, "cpu_percent", .help = "Of all processors together."),
    F_U64(struct metrics_out, memory_used_bytes, "memory_used_bytes"),
    F_U64(struct metrics_out, memory_total_bytes, "memory_total_bytes"),
    F_U64(struct metrics_out, disk_used_bytes, "disk_used_bytes"),
    F_U64(struct metrics_out, disk_total_bytes, "disk_total_bytes"),
    F_JSON(struct metrics_out, load_avg, "load_avg", 128, .help = "Three numbers: over 1, 5 and 15 minutes."),
    F_U64(struct metrics_out, uptime_seconds, "uptime_seconds"),
};
static const struct record metrics_record = RECORD(metrics_out, metrics_fields);

struct system_out {
    struct str os, kernel, arch;
    uint32_t cpu_cores;
    uint64_t memory_bytes, disk_bytes;
};
static const struct field system_fields[] = {
    F_STR(struct system_out, os, "os", 256),
    F_STR(struct system_out, kernel, "kernel", 256),
    F_STR(struct system_out, arch, "arch", 64),
    F_U32(struct system_out, cpu_cores, "cpu_cores"),
    F_U64(struct system_out, memory_bytes, "memory_bytes"),
    F_U64(struct system_out, disk_bytes, "disk_bytes"),
};
static const struct record system_record = RECORD(system_out, system_fields);

struct role_out {
    struct str name, message;
    int status;
};
static const struct field role_fields[] = {
    F_STR(struct role_out, name, "name", 32, .flags = FIELD_ID),
    F_ENUM(struct role_out, status, "status", section_status_names),
    F_STR(struct role_out, message, "message", 160, .flags = FIELD_OMIT, .help = "Why it is not ok."),
};
static const struct record role_record = RECORD(role_out, role_fields);

struct agent_out {
    struct str id, instance_id, name, hostname, ip_address, status, dialect, fingerprint, agent_version,
        clone_suspected, current_task, approved_by, decided_by, reason;
    int state, presence;
    usec_t connected_at, last_heartbeat, last_seen, certificate_expires_at, created_at, approved_at, decided_at;
    struct metrics_out metrics;
    struct system_out system_info;
    struct kv_list labels, claimed_labels;
    struct str_list addresses, aliases;
    struct json_text sessions;
    LIST(struct role_out) roles;
    uint32_t active_commands;
};
static const struct field agent_fields[] = {
    F_STR(struct agent_out, id, "id", 36, .flags = FIELD_ID, .help = "UUID; never changes."),
    F_STR(struct agent_out, instance_id, "instance_id", 36, .help = "The same UUID."),
    F_STR(struct agent_out, name, "name", LIMIT_NAME, .help = "What operators call it."),
    F_STR(struct agent_out, hostname, "hostname", LIMIT_HOSTNAME, .help = "What it calls itself."),
    F_STR(struct agent_out, ip_address, "ip_address", 64, .help = "Address it last spoke from."),
    F_STR_LIST(struct agent_out, addresses, "addresses", 64, 64, .help = "Addresses it reports."),
    F_STR(struct agent_out, status, "status", 16, .help = "ready, busy, stale or disconnected."),
    F_ENUM(struct agent_out, state, "state", host_state_names),
    F_ENUM(struct agent_out, presence, "presence", presence_names),
    F_STR(struct agent_out, dialect, "dialect", 16, .help = "The wire it speaks."),
    F_STR_LIST(struct agent_out, aliases, "aliases", 16, 170, .help = "Its names in foreign accents: DIALECT:ID."),
    F_TIME_MS(struct agent_out, connected_at, "connected_at",
              .help = "Milliseconds; null when it is not connected."),
    F_TIME_MS(struct agent_out, last_heartbeat, "last_heartbeat", .help = "Milliseconds."),
    F_TIME(struct agent_out, last_seen, "last_seen"),
    F_SUB(struct agent_out, metrics, "metrics", &metrics_record, .flags = FIELD_NULLABLE,
          .help = "Newest sample, or null: none came, or its agent measures nothing."),
    F_LIST(struct agent_out, roles, "roles", ROLES_SHOWN, &role_record, .flags = FIELD_OMIT,
           .help = "How the roles of its agent are; only where one host is asked for, and left out when nothing was said."),
    F_SUB(struct agent_out, system_info, "system_info", &system_record, .flags = FIELD_NULLABLE),
    F_MAP(struct agent_out, labels, "labels", LIMIT_LABELS, LIMIT_LABEL_VALUE,
          .help = "Operators' labels: selectors match these."),
    F_MAP(struct agent_out, claimed_labels, "claimed_labels", LIMIT_LABELS, LIMIT_LABEL_VALUE,
          .help = "Labels it asks for; they match nothing until approved."),
    F_STR(struct agent_out, fingerprint, "fingerprint", 71, .help = "sha256:hex of its key."),
    F_STR(struct agent_out, agent_version, "agent_version", 64),
    F_TIME(struct agent_out, certificate_expires_at, "certificate_expires_at"),
    F_STR(struct agent_out, clone_suspected, "clone_suspected", 256, .flags = FIELD_NULLABLE,
          .help = "A sentence when two machines seem to use its key."),
    F_STR(struct agent_out, current_task, "current_task", 64, .flags = FIELD_NULLABLE),
    F_JSON(struct agent_out, sessions, "sessions", 65536, .help = "List of open terminal sessions."),
    F_U32(struct agent_out, active_commands, "active_commands"),
    F_TIME(struct agent_out, created_at, "created_at"),
    F_STR(struct agent_out, approved_by, "approved_by", LIMIT_NAME, .flags = FIELD_NULLABLE),
    F_TIME(struct agent_out, approved_at, "approved_at"),
    F_STR(struct agent_out, decided_by, "decided_by", LIMIT_NAME, .flags = FIELD_NULLABLE,
          .help = "Who approved, rejected or revoked it last."),
    F_TIME(struct agent_out, decided_at, "decided_at"),
    F_STR(struct agent_out, reason, "reason", 1024, .flags = FIELD_NULLABLE, .help = "Why it was rejected or revoked."),
};
const struct record agent_record = RECORD(agent_out, agent_fields);

static struct str first_address(const struct host_view *h)
{
    if (h->peer.len)
        return h->peer;
    return h->claims.addresses.n ? h->claims.addresses.v[0] : STR("");
}

static void fill_metrics(const struct host_view *h, char load[96], struct metrics_out *m)
{
    const struct heartbeat *b = &h->beat;

    if (!h->has_beat || h->beat.metrics == OFFER_NO)
        return;
    (void)snprintf(load, 96, "[%.2f,%.2f,%.2f]", b->load1, b->load5, b->load15);
    *m = (struct metrics_out){
        .cpu_percent = b->cpu_pct,
        .memory_used_bytes = b->memory_used_bytes,
        .memory_total_bytes = b->memory_total_bytes,
        .disk_used_bytes = b->disk_used_bytes,
        .disk_total_bytes = b->disk_total_bytes,
        .uptime_seconds = b->uptime_s,
        .load_avg.text = str_of(load),
    };
}

/* Its names in foreign accents, as "sigma:UUID". */
enum { ALIASES_SHOWN = 16, ALIAS_TEXT = 32 + 1 + 129 };
struct aliases_out {
    char text[ALIASES_SHOWN][ALIAS_TEXT];
    struct str v[ALIASES_SHOWN];
    size_t n;
};

static void add_alias(void *ctx, const struct alias *a)
{
    struct aliases_out *o = ctx;

    if (o->n == ALIASES_SHOWN)
        return;
    (void)snprintf(o->text[o->n], ALIAS_TEXT, "%.*s:%.*s", STR_FMT(a->dialect), STR_FMT(a->external_id));
    o->v[o->n] = str_of(o->text[o->n]);
    o->n++;
}

static void write_agent(struct control *c, const struct host_view *h, const struct role_out *roles, size_t n_roles, struct jw *w)
{
    bool approved = h->state == HOST_APPROVED;
    char load[96] = "";
    struct aliases_out aliases;
    struct agent_out o = {
        .id = str_of(h->uuid),
        .instance_id = str_of(h->uuid),
        .name = h->name,
        .hostname = h->claims.hostname,
        .ip_address = first_address(h),
        .addresses = h->claims.addresses,
        .status = str_of(h->status),
        .state = (int)h->state,
        .presence = (int)h->presence,
        .dialect = h->dialect,
        .connected_at = h->link.v ? h->connected_at : 0,
        .last_heartbeat = h->last_beat,
        .last_seen = h->last_seen,
        .system_info = { .os = h->claims.os,
                         .kernel = h->claims.kernel,
                         .arch = h->claims.arch,
                         .cpu_cores = h->claims.cpu_cores,
                         .memory_bytes = h->claims.memory_bytes,
                         .disk_bytes = h->claims.disk_bytes },
        .claimed_labels = h->claims.labels,
        .fingerprint = h->fingerprint,
        .agent_version = h->claims.agent_version,
        .certificate_expires_at = h->cert_not_after,
        .clone_suspected = h->clone_note,
        .sessions.text = STR("[]"),
        .active_commands = h->active_tasks,
        .created_at = h->created_at,
        .approved_by = approved ? h->decided_by : STR_NONE,
        .approved_at = approved ? h->decided_at : 0,
        .decided_by = h->decided_by,
        .decided_at = h->decided_at,
        .reason = h->decided_why,
        .roles = { (struct role_out *)(uintptr_t)roles, n_roles },
    };

    if (h->labels)
        o.labels = *h->labels;
    aliases.n = 0;
    accent_aliases(c, h->id.v, add_alias, &aliases);
    o.aliases = (struct str_list){ aliases.v, aliases.n };
    fill_metrics(h, load, &o.metrics);
    record_write(&agent_record, &o, w);
}

void view_agent(struct control *c, const struct host_view *h, struct jw *w)
{
    write_agent(c, h, NULL, 0, w);
}

void view_agent_whole(struct control *c, const struct host_view *h, struct jw *w)
{
    struct role_out roles[ROLES_SHOWN];
    struct role_health r;
    struct str rest = h->roles;
    size_t n = 0;

    while (n < ROLES_SHOWN && role_health_next(&rest, &r) == 1)
        roles[n++] = (struct role_out){ .name = r.name, .message = r.message, .status = (int)r.status };
    write_agent(c, h, roles, n, w);
}

struct agent_list_out {
    LIST(struct agent_out) agents;
    struct str next;
};
static const struct field agent_list_fields[] = {
    F_LIST(struct agent_list_out, agents, "agents", 10000, &agent_record),
    F_STR(struct agent_list_out, next, "next", 36, .flags = FIELD_OMIT,
          .help = "There is more: ask again with after=next."),
};
const struct record agent_list_record = RECORD(agent_list_out, agent_list_fields);

struct enrollment_out {
    struct str id, name, hostname, fingerprint, os, kernel, arch, agent_version, peer, clone_suspected;
    struct str_list addresses;
    struct kv_list claimed_labels;
    usec_t requested_at, expires_at;
};
static const struct field enrollment_fields[] = {
    F_STR(struct enrollment_out, id, "id", 36, .flags = FIELD_ID),
    F_STR(struct enrollment_out, name, "name", LIMIT_NAME, .help = "What it is called here: unique."),
    F_STR(struct enrollment_out, hostname, "hostname", LIMIT_HOSTNAME, .help = "What it calls itself."),
    F_STR(struct enrollment_out, fingerprint, "fingerprint", 71,
          .help = "sha256:hex of its key: compare it with the host's."),
    F_STR_LIST(struct enrollment_out, addresses, "addresses", 64, 64),
    F_STR(struct enrollment_out, os, "os", 256),
    F_STR(struct enrollment_out, kernel, "kernel", 256),
    F_STR(struct enrollment_out, arch, "arch", 64),
    F_STR(struct enrollment_out, agent_version, "agent_version", 64),
    F_MAP(struct enrollment_out, claimed_labels, "claimed_labels", LIMIT_LABELS, LIMIT_LABEL_VALUE),
    F_TIME(struct enrollment_out, requested_at, "requested_at"),
    F_TIME(struct enrollment_out, expires_at, "expires_at"),
    F_STR(struct enrollment_out, peer, "peer", 64, .help = "Address it asked from."),
    F_STR(struct enrollment_out, clone_suspected, "clone_suspected", 256, .flags = FIELD_NULLABLE),
};
static const struct record enrollment_record = RECORD(enrollment_out, enrollment_fields);
struct enrollment_list_out {
    LIST(struct enrollment_out) enrollments;
};
static const struct field enrollment_list_fields[] = {
    F_LIST(struct enrollment_list_out, enrollments, "enrollments", LIMIT_PENDING_HOSTS, &enrollment_record),
};
const struct record enrollment_list_record = RECORD(enrollment_list_out, enrollment_list_fields);

void view_enrollment(const struct host_view *h, struct jw *w)
{
    struct enrollment_out o = {
        .id = str_of(h->uuid),
        .name = h->name,
        .hostname = h->claims.hostname,
        .fingerprint = h->fingerprint,
        .os = h->claims.os,
        .kernel = h->claims.kernel,
        .arch = h->claims.arch,
        .agent_version = h->claims.agent_version,
        .peer = h->peer,
        .clone_suspected = h->clone_note,
        .addresses = h->claims.addresses,
        .claimed_labels = h->claims.labels,
        .requested_at = h->created_at,
        .expires_at = h->pending_expires_at,
    };

    record_write(&enrollment_record, &o, w);
}

struct forgotten_out {
    bool forgotten;
};
static const struct field forgotten_fields[] = { F_BOOL(struct forgotten_out, forgotten, "forgotten") };
const struct record forgotten_record = RECORD(forgotten_out, forgotten_fields);

/* -- install tokens */

struct install_token_out {
    uint64_t id, uses, used;
    usec_t expires_at, created_at;
    bool auto_approve, revoked;
    struct kv_list labels;
    struct str created_by, note;
};
static const struct field install_token_fields[] = {
    F_U64(struct install_token_out, id, "id", .flags = FIELD_ID),
    F_U64(struct install_token_out, uses, "uses", .help = "0: unlimited."),
    F_U64(struct install_token_out, used, "used"),
    F_TIME(struct install_token_out, expires_at, "expires_at"),
    F_BOOL(struct install_token_out, auto_approve, "auto_approve"),
    F_MAP(struct install_token_out, labels, "labels", LIMIT_LABELS, LIMIT_LABEL_VALUE),
    F_BOOL(struct install_token_out, revoked, "revoked"),
    F_STR(struct install_token_out, created_by, "created_by", LIMIT_NAME),
    F_TIME(struct install_token_out, created_at, "created_at"),
    F_STR(struct install_token_out, note, "note", 256),
};
const struct record install_token_record = RECORD(install_token_out, install_token_fields);
struct install_token_list_out {
    LIST(struct install_token_out) tokens;
};
static const struct field install_token_list_fields[] = {
    F_LIST(struct install_token_list_out, tokens, "tokens", 10000, &install_token_record),
};
const struct record install_token_list_record = RECORD(install_token_list_out, install_token_list_fields);
struct install_token_new_out {
    uint64_t id;
    struct str token, command;
    usec_t expires_at;
};
static const struct field install_token_new_fields[] = {
    F_U64(struct install_token_new_out, id, "id"),
    F_STR(struct install_token_new_out, token, "token", 128, .help = "CODE@sha256:HEX, shown only now."),
    F_STR(struct install_token_new_out, command, "command", 512, .help = "The line to paste on a host."),
    F_TIME(struct install_token_new_out, expires_at, "expires_at"),
};
const struct record install_token_new_record = RECORD(install_token_new_out, install_token_new_fields);

void view_install_token(const struct token_view *t, struct jw *w)
{
    struct install_token_out o = {
        .id = t->id,
        .uses = t->t.max_uses,
        .used = t->t.n_uses,
        .expires_at = t->t.expires_at,
        .auto_approve = t->t.auto_approve,
        .revoked = t->t.is_revoked,
        .created_by = t->created_by,
        .created_at = t->created_at,
        .note = t->note,
    };

    if (t->labels)
        o.labels = *t->labels;
    record_write(&install_token_record, &o, w);
}

struct str view_host_uuid(struct control *c, uint64_t id)
{
    struct host_view h;

    return host_view_of(c, (struct host_id){ id }, &h) ? str_of(h.uuid) : STR("");
}
