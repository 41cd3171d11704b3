/* api/views.c - see views.h. The tables are also the schemas of the OpenAPI document. */
#include "api/views.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/text.h"

/* -- hosts */

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

struct agent_out {
    struct str id, instance_id, name, hostname, ip_address, status, dialect, fingerprint, agent_version,
        clone_suspected, current_task, approved_by;
    int state, presence;
    usec_t connected_at, last_heartbeat, last_seen, certificate_expires_at, created_at, approved_at;
    struct metrics_out metrics;
    struct system_out system_info;
    struct kv_list labels, claimed_labels;
    struct str_list addresses;
    struct json_text sessions;
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
    F_TIME_MS(struct agent_out, connected_at, "connected_at",
              .help = "Milliseconds; null when it is not connected."),
    F_TIME_MS(struct agent_out, last_heartbeat, "last_heartbeat", .help = "Milliseconds."),
    F_TIME(struct agent_out, last_seen, "last_seen"),
    F_SUB(struct agent_out, metrics, "metrics", &metrics_record, .flags = FIELD_NULLABLE,
          .help = "Newest sample, or null."),
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

    if (!h->has_beat)
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

void view_agent(const struct host_view *h, struct jw *w)
{
    bool approved = h->state == HOST_APPROVED || h->state == HOST_REVOKED;
    char load[96] = "";
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
    };

    if (h->labels)
        o.labels = *h->labels;
    fill_metrics(h, load, &o.metrics);
    record_write(&agent_record, &o, w);
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
    struct str id, hostname, fingerprint, os, kernel, arch, agent_version, peer, clone_suspected;
    struct str_list addresses;
    struct kv_list claimed_labels;
    usec_t requested_at, expires_at;
};
static const struct field enrollment_fields[] = {
    F_STR(struct enrollment_out, id, "id", 36, .flags = FIELD_ID),
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

/* -- jobs and tasks */

struct counts_out {
    uint32_t total, queued, offered, accepted, running, succeeded, failed, cancelled, expired, lost;
};
static const struct field counts_fields[] = {
    F_U32(struct counts_out, total, "total"),     F_U32(struct counts_out, queued, "queued"),
    F_U32(struct counts_out, offered, "offered"), F_U32(struct counts_out, accepted, "accepted"),
    F_U32(struct counts_out, running, "running"), F_U32(struct counts_out, succeeded, "succeeded"),
    F_U32(struct counts_out, failed, "failed"),   F_U32(struct counts_out, cancelled, "cancelled"),
    F_U32(struct counts_out, expired, "expired"), F_U32(struct counts_out, lost, "lost"),
};
static const struct record counts_record = RECORD(counts_out, counts_fields);

struct job_out {
    uint64_t id, output_cap;
    int state;
    usec_t created_at, finished_at, deadline, timeout, grace;
    struct str principal, shell, user, cwd;
    struct str_list argv;
    struct kv_list env;
    uint32_t max_parallel;
    bool cancel_requested, stdin_open;
    struct counts_out counts;
};
static const struct field job_fields[] = {
    F_U64(struct job_out, id, "id", .flags = FIELD_ID),
    F_ENUM(struct job_out, state, "state", job_state_names),
    F_TIME(struct job_out, created_at, "created_at"),
    F_TIME(struct job_out, finished_at, "finished_at"),
    F_TIME(struct job_out, deadline, "deadline", .help = "Hosts that have not begun by then do not begin."),
    F_STR(struct job_out, principal, "principal", 136),
    F_STR_LIST(struct job_out, argv, "argv", LIMIT_ARGV, LIMIT_ARG_BYTES),
    F_STR(struct job_out, shell, "shell", LIMIT_ARG_BYTES, .flags = FIELD_NULLABLE),
    F_STR(struct job_out, user, "user", LIMIT_NAME, .flags = FIELD_NULLABLE),
    F_STR(struct job_out, cwd, "cwd", 4096, .flags = FIELD_NULLABLE),
    F_DURATION(struct job_out, timeout, "timeout", .flags = FIELD_NULLABLE,
               .help = "Seconds from the start on the host."),
    F_DURATION(struct job_out, grace, "grace"),
    F_U32(struct job_out, max_parallel, "max_parallel"),
    F_U64(struct job_out, output_cap, "output_cap"),
    F_BOOL(struct job_out, stdin_open, "stdin_open"),
    F_BOOL(struct job_out, cancel_requested, "cancel_requested"),
    F_SUB(struct job_out, counts, "counts", &counts_record),
};
const struct record job_record = RECORD(job_out, job_fields);
struct job_list_out {
    LIST(struct job_out) jobs;
    uint64_t next;
};
static const struct field job_list_fields[] = {
    F_LIST(struct job_list_out, jobs, "jobs", 10000, &job_record),
    F_U64(struct job_list_out, next, "next", .flags = FIELD_OMIT,
          .help = "There is more: ask again with before=next."),
};
const struct record job_list_record = RECORD(job_list_out, job_list_fields);

void view_job(const struct job_row *j, struct jw *w)
{
    const struct job_counts *n = &j->counts;
    struct job_out o = {
        .id = j->id,
        .state = (int)j->state,
        .created_at = j->created_at,
        .finished_at = j->finished_at,
        .deadline = j->deadline,
        .principal = j->principal,
        .argv = j->spec.argv,
        .shell = j->spec.shell,
        .user = j->spec.user,
        .cwd = j->spec.cwd,
        .timeout = j->spec.timeout,
        .grace = j->spec.grace,
        .max_parallel = j->spec.max_parallel,
        .output_cap = j->spec.output_cap_bytes,
        .stdin_open = j->spec.stdin_open,
        .cancel_requested = j->cancel_requested,
        .counts = { n->total, n->queued, n->offered, n->accepted, n->running, n->succeeded, n->failed,
                    n->cancelled, n->expired, n->lost },
    };

    record_write(&job_record, &o, w);
}

struct task_out {
    uint64_t id, job_id, stdout_bytes, stderr_bytes, stdout_total, stderr_total;
    struct str host_id, host, outcome, message;
    int state;
    struct json_text exit_code, signal, shell_code;
    usec_t created_at, offered_at, started_at, finished_at;
    bool stdout_truncated, stderr_truncated;
};
static const struct field task_fields[] = {
    F_U64(struct task_out, id, "id", .flags = FIELD_ID),
    F_U64(struct task_out, job_id, "job_id"),
    F_STR(struct task_out, host_id, "host_id", 36, .flags = FIELD_NULLABLE,
          .help = "Null when the host was forgotten."),
    F_STR(struct task_out, host, "host", LIMIT_NAME, .help = "Its name at the time."),
    F_ENUM(struct task_out, state, "state", task_state_names),
    F_STR(struct task_out, outcome, "outcome", 16, .flags = FIELD_NULLABLE,
          .help = "exited, signaled, timed_out, cancelled, refused, lost or expired; null until it is done."),
    F_JSON(struct task_out, exit_code, "exit_code", 16, .help = "Integer, or null unless it exited."),
    F_JSON(struct task_out, signal, "signal", 16, .help = "Integer, or null unless a signal ended it."),
    F_JSON(struct task_out, shell_code, "shell_code", 16,
           .help = "What a shell would say; null until it is done."),
    F_STR(struct task_out, message, "message", 1024, .flags = FIELD_NULLABLE),
    F_TIME(struct task_out, created_at, "created_at"),
    F_TIME(struct task_out, offered_at, "offered_at"),
    F_TIME(struct task_out, started_at, "started_at"),
    F_TIME(struct task_out, finished_at, "finished_at"),
    F_U64(struct task_out, stdout_bytes, "stdout_bytes", .help = "Kept."),
    F_U64(struct task_out, stderr_bytes, "stderr_bytes"),
    F_BOOL(struct task_out, stdout_truncated, "stdout_truncated"),
    F_BOOL(struct task_out, stderr_truncated, "stderr_truncated"),
    F_U64(struct task_out, stdout_total, "stdout_total_bytes", .help = "Produced, including what a cap cut."),
    F_U64(struct task_out, stderr_total, "stderr_total_bytes"),
};
const struct record task_record = RECORD(task_out, task_fields);
struct task_list_out {
    LIST(struct task_out) tasks;
    uint64_t next;
};
static const struct field task_list_fields[] = {
    F_LIST(struct task_list_out, tasks, "tasks", 10000, &task_record),
    F_U64(struct task_list_out, next, "next", .flags = FIELD_OMIT,
          .help = "There is more: ask again with after=next."),
};
const struct record task_list_record = RECORD(task_list_out, task_list_fields);

void view_task(const struct task_row *t, struct str host_uuid, struct jw *w)
{
    char exit_code[16], signal[16], shell[16];
    bool done = t->state == TASK_DONE;
    struct task_out o = {
        .id = t->id,
        .job_id = t->job_id,
        .host_id = host_uuid,
        .host = t->host_name,
        .state = (int)t->state,
        .outcome = done ? str_of(name_of(task_outcome_names, (int)t->outcome)) : STR_NONE,
        .message = t->message,
        .created_at = t->created_at,
        .offered_at = t->offered_at,
        .started_at = t->started_at,
        .finished_at = t->finished_at,
        .stdout_bytes = t->stdout_bytes,
        .stderr_bytes = t->stderr_bytes,
        .stdout_truncated = t->stdout_truncated,
        .stderr_truncated = t->stderr_truncated,
        .stdout_total = t->stdout_total > t->stdout_bytes ? t->stdout_total : t->stdout_bytes,
        .stderr_total = t->stderr_total > t->stderr_bytes ? t->stderr_total : t->stderr_bytes,
    };

    (void)snprintf(exit_code, sizeof(exit_code), "%" PRId32, t->exit_code);
    (void)snprintf(signal, sizeof(signal), "%" PRId32, t->signal);
    (void)snprintf(shell, sizeof(shell), "%" PRId32, task_shell_code(t->outcome, t->exit_code, t->signal));
    if (done && t->outcome == OUTCOME_EXITED)
        o.exit_code.text = str_of(exit_code);
    if (done && t->signal != 0)
        o.signal.text = str_of(signal);
    if (done)
        o.shell_code.text = str_of(shell);
    record_write(&task_record, &o, w);
}

/* -- users and their tokens */

struct user_out {
    struct str name;
    int role;
    bool disabled;
    usec_t created_at;
};
static const struct field user_fields[] = {
    F_STR(struct user_out, name, "name", LIMIT_NAME, .flags = FIELD_ID),
    F_ENUM(struct user_out, role, "role", role_level_names),
    F_BOOL(struct user_out, disabled, "disabled"),
    F_TIME(struct user_out, created_at, "created_at"),
};
const struct record user_out_record = RECORD(user_out, user_fields);
struct user_list_out {
    LIST(struct user_out) users;
};
static const struct field user_list_fields[] = { F_LIST(struct user_list_out, users, "users", 10000,
                                                        &user_out_record) };
const struct record user_list_record = RECORD(user_list_out, user_list_fields);

void view_user(const struct user_row *u, struct jw *w)
{
    struct user_out o = {
        .name = u->name, .role = (int)u->role, .disabled = u->is_disabled, .created_at = u->created_at
    };

    record_write(&user_out_record, &o, w);
}

struct api_token_out {
    uint64_t id;
    struct str name, user, role, hint, created_by, token;
    usec_t created_at, expires_at, last_used;
    bool revoked;
};
static const struct field api_token_fields[] = {
    F_U64(struct api_token_out, id, "id", .flags = FIELD_ID),
    F_STR(struct api_token_out, name, "name", LIMIT_NAME),
    F_STR(struct api_token_out, user, "user", LIMIT_NAME, .flags = FIELD_NULLABLE),
    F_STR(struct api_token_out, role, "role", 32),
    F_TIME(struct api_token_out, created_at, "created_at"),
    F_TIME(struct api_token_out, expires_at, "expires_at"),
    F_TIME(struct api_token_out, last_used, "last_used"),
    F_BOOL(struct api_token_out, revoked, "revoked"),
    F_STR(struct api_token_out, created_by, "created_by", LIMIT_NAME),
    F_STR(struct api_token_out, hint, "hint", 8, .help = "The token's last characters."),
    F_STR(struct api_token_out, token, "token", 64, .flags = FIELD_OMIT,
          .help = "The token itself, in the answer that makes it only."),
};
const struct record api_token_record = RECORD(api_token_out, api_token_fields);
struct api_token_list_out {
    LIST(struct api_token_out) tokens;
};
static const struct field api_token_list_fields[] = {
    F_LIST(struct api_token_list_out, tokens, "tokens", 10000, &api_token_record),
};
const struct record api_token_list_record = RECORD(api_token_list_out, api_token_list_fields);

static struct api_token_out api_token_of(const struct api_token_row *t, struct str user)
{
    return (struct api_token_out){ .id = t->id,
                                   .name = t->name,
                                   .user = user,
                                   .role = t->scope,
                                   .hint = t->hint,
                                   .created_by = t->created_by,
                                   .created_at = t->created_at,
                                   .expires_at = t->expires_at,
                                   .last_used = t->last_used,
                                   .revoked = t->is_revoked };
}

void view_api_token(const struct api_token_row *t, struct str user, struct jw *w)
{
    struct api_token_out o = api_token_of(t, user);

    record_write(&api_token_record, &o, w);
}

/* -- audit, events, logs */

struct audit_out {
    uint64_t id;
    usec_t at;
    struct str principal, peer, verb, target, outcome, code, hash;
    struct kv_list details;
};
static const struct field audit_fields[] = {
    F_U64(struct audit_out, id, "id", .flags = FIELD_ID),
    F_TIME(struct audit_out, at, "at"),
    F_STR(struct audit_out, principal, "principal", 136),
    F_STR(struct audit_out, peer, "peer", 64, .flags = FIELD_NULLABLE),
    F_STR(struct audit_out, verb, "verb", 64),
    F_STR(struct audit_out, target, "target", 256, .flags = FIELD_NULLABLE),
    F_STR(struct audit_out, outcome, "outcome", 16, .help = "ok, denied or failed."),
    F_STR(struct audit_out, code, "code", 48, .flags = FIELD_NULLABLE),
    F_MAP(struct audit_out, details, "details", 64, 8 << 10),
    F_STR(struct audit_out, hash, "hash", 64, .flags = FIELD_WIDE,
          .help = "Of this row and the one before it."),
};
const struct record audit_record = RECORD(audit_out, audit_fields);
struct audit_list_out {
    LIST(struct audit_out) rows;
    uint64_t next;
};
static const struct field audit_list_fields[] = {
    F_LIST(struct audit_list_out, rows, "rows", 10000, &audit_record),
    F_U64(struct audit_list_out, next, "next", .flags = FIELD_OMIT,
          .help = "There is more: ask again with after=next."),
};
const struct record audit_list_record = RECORD(audit_list_out, audit_list_fields);

void view_audit(const struct audit_row *r, struct jw *w)
{
    char hash[2 * SHA256_LEN + 1];
    struct audit_out o = { .id = r->id,
                           .at = r->at,
                           .principal = r->principal,
                           .peer = r->peer,
                           .verb = r->verb,
                           .target = r->target,
                           .outcome = r->outcome,
                           .code = r->slug,
                           .details = r->details };

    hex_encode(r->hash, SHA256_LEN, hash);
    o.hash = str_of(hash);
    record_write(&audit_record, &o, w);
}

struct broken_out {
    uint64_t id;
    struct str reason;
};
static const struct field broken_fields[] = {
    F_U64(struct broken_out, id, "id"),
    F_STR(struct broken_out, reason, "reason", 64),
};
static const struct record broken_record = RECORD(broken_out, broken_fields);
struct audit_verify_out {
    bool ok;
    uint64_t rows, first_id, last_id;
    struct str last_hash;
    struct broken_out broken;
};
static const struct field audit_verify_fields[] = {
    F_BOOL(struct audit_verify_out, ok, "ok"),
    F_U64(struct audit_verify_out, rows, "rows"),
    F_U64(struct audit_verify_out, first_id, "first_id"),
    F_U64(struct audit_verify_out, last_id, "last_id"),
    F_STR(struct audit_verify_out, last_hash, "last_hash", 64),
    F_SUB(struct audit_verify_out, broken, "broken", &broken_record, .flags = FIELD_OMIT),
};
const struct record audit_verify_record = RECORD(audit_verify_out, audit_verify_fields);

struct event_list_out {
    LIST(struct event) events;
    uint64_t total_count, last_event_id;
};
static const struct field event_list_fields[] = {
    F_LIST(struct event_list_out, events, "events", 5000, &event_record),
    F_U64(struct event_list_out, total_count, "total_count"),
    F_U64(struct event_list_out, last_event_id, "last_event_id"),
};
const struct record event_list_record = RECORD(event_list_out, event_list_fields);

struct log_out {
    usec_t timestamp;
    struct str level, target, message;
};
static const struct field log_fields[] = {
    F_TIME(struct log_out, timestamp, "timestamp"),
    F_STR(struct log_out, level, "level", 8),
    F_STR(struct log_out, target, "target", 64),
    F_STR(struct log_out, message, "message", 8192),
};
static const struct record log_record = RECORD(log_out, log_fields);
struct log_list_out {
    LIST(struct log_out) logs;
};
static const struct field log_list_fields[] = { F_LIST(struct log_list_out, logs, "logs", 2000,
                                                       &log_record) };
const struct record log_list_record = RECORD(log_list_out, log_list_fields);

/* -- inventory */

struct section_head_out {
    struct str section, message, digest;
    int status;
    usec_t taken_at, received_at;
    uint64_t rows_count;
};
static const struct field section_head_fields[] = {
    F_STR(struct section_head_out, section, "section", 32, .flags = FIELD_ID),
    F_ENUM(struct section_head_out, status, "status", section_status_names),
    F_STR(struct section_head_out, message, "message", 1024, .flags = FIELD_OMIT,
          .help = "Why it is not ok."),
    F_TIME(struct section_head_out, taken_at, "taken_at", .help = "The host's clock."),
    F_TIME(struct section_head_out, received_at, "received_at"),
    F_U64(struct section_head_out, rows_count, "rows_count"),
    F_STR(struct section_head_out, digest, "digest", 64, .flags = FIELD_WIDE),
};
const struct record section_head_record = RECORD(section_head_out, section_head_fields);
struct inventory_out {
    struct str host_id;
    LIST(struct section_head_out) sections;
};
static const struct field inventory_fields[] = {
    F_STR(struct inventory_out, host_id, "host_id", 36),
    F_LIST(struct inventory_out, sections, "sections", 64, &section_head_record),
};
const struct record inventory_record = RECORD(inventory_out, inventory_fields);
struct section_rows_out {
    struct json_text rows;
};
static const struct field section_rows_fields[] = {
    F_JSON(struct section_rows_out, rows, "rows", LIMIT_SECTION_BYTES,
           .help = "Objects with a key; beside it the members of the section's head."),
};
const struct record section_rows_record = RECORD(section_rows_out, section_rows_fields);

void view_section_members(const struct fact_head *h, struct jw *w)
{
    char digest[2 * SHA256_LEN + 1];
    struct section_head_out o = { .section = h->section,
                                  .message = h->message,
                                  .status = (int)h->status,
                                  .taken_at = h->taken_at,
                                  .received_at = h->received_at,
                                  .rows_count = h->n_rows };

    hex_encode(h->digest.b, SHA256_LEN, digest);
    o.digest = str_of(digest);
    record_write_members(&section_head_record, &o, w);
}

struct change_out {
    uint64_t id;
    usec_t at;
    struct str section, key;
    struct json_text before, after;
};
static const struct field change_fields[] = {
    F_U64(struct change_out, id, "id", .flags = FIELD_ID),
    F_TIME(struct change_out, at, "at"),
    F_STR(struct change_out, section, "section", 32),
    F_STR(struct change_out, key, "key", LIMIT_ROW_BYTES),
    F_JSON(struct change_out, before, "before", LIMIT_ROW_BYTES, .help = "The row as it was, or null."),
    F_JSON(struct change_out, after, "after", LIMIT_ROW_BYTES,
           .help = "The row as it is, or null when it went."),
};
static const struct record change_record = RECORD(change_out, change_fields);
struct change_list_out {
    LIST(struct change_out) changes;
    uint64_t next;
};
static const struct field change_list_fields[] = {
    F_LIST(struct change_list_out, changes, "changes", 10000, &change_record),
    F_U64(struct change_list_out, next, "next", .flags = FIELD_OMIT,
          .help = "There is more: ask again with before=next."),
};
const struct record change_list_record = RECORD(change_list_out, change_list_fields);

void view_change(const struct fact_change *ch, struct jw *w)
{
    struct change_out o = { .id = ch->id,
                            .at = ch->at,
                            .section = ch->section,
                            .key = ch->key,
                            .before.text = ch->before,
                            .after.text = ch->after };

    record_write(&change_record, &o, w);
}

struct str view_host_uuid(struct control *c, uint64_t id)
{
    struct host_view h;

    return host_view_of(c, (struct host_id){ id }, &h) ? str_of(h.uuid) : STR("");
}
