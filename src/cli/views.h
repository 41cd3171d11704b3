/* cli/views.h - what the server shows, as structs with record tables (docs/wire/native.md): decoded from its
 * JSON and printed as tables. The order of the rows is the order of the columns; a row whose column is "" is
 * in no table (only in `muster host` and the like); FIELD_WIDE rows need -o wide. Words of the server
 * (states, outcomes) stay text, so that a newer server can add some. Strings borrow from the arena they were
 * decoded into. */
#ifndef MUSTER_CLI_VIEWS_H
#define MUSTER_CLI_VIEWS_H

#include "base/field.h"
#include "cli/api.h"

struct system_view {
    struct str os, kernel;
    uint64_t cpu_cores, memory_bytes, disk_bytes;
};
struct metrics_view {
    double cpu_percent;
    uint64_t memory_used_bytes, memory_total_bytes, disk_used_bytes, disk_total_bytes, uptime_seconds;
    struct json_text load_avg;
};
struct role_view {
    struct str name, status, message;
};
struct host_view {
    struct str name, status, ip_address;
    struct system_view system;
    struct kv_list labels;
    usec_t last_seen;
    struct str dialect; /* with those of its aliases: "native+grapheon" */
    struct str id, hostname, state, presence, fingerprint, agent_version, clone_suspected,
        approved_by, decided_by, reason;
    struct str_list aliases;
    struct kv_list claimed_labels;
    struct metrics_view metrics;
    LIST(struct role_view) roles;
    usec_t connected_at, certificate_expires_at, created_at, approved_at, decided_at;
    uint64_t active_commands;
};
extern const struct record host_view_record;

struct enrollment_view {
    struct str name, hostname, id, fingerprint, os, peer, kernel, arch, clone_suspected;
    struct str_list addresses;
    struct kv_list claimed_labels;
    usec_t requested_at, expires_at;
};
extern const struct record enrollment_view_record;

struct token_view {
    uint64_t id, uses, used;
    struct str left; /* "2 of 5", "unlimited": made here */
    usec_t expires_at, created_at;
    bool auto_approve, revoked;
    struct kv_list labels;
    struct str created_by, note;
};
extern const struct record token_view_record;

struct counts_view {
    uint64_t total, queued, offered, accepted, running, succeeded, failed, cancelled, expired, lost;
};
struct job_view {
    uint64_t id;
    struct str state;
    usec_t created_at;
    struct str done;    /* "3/5": made here */
    struct str command; /* the words, the shell text, or "rerun SUBJECT": made here */
    struct str principal;
    usec_t finished_at, deadline;
    struct str_list argv;
    struct str shell, user, cwd, kind, subject;
    usec_t timeout;
    uint64_t max_parallel;
    bool cancel_requested;
    struct counts_view counts;
};
extern const struct record job_view_record;

struct task_view {
    struct str host, state, outcome, result; /* result: "exit 2", "killed by SIGKILL": made here */
    usec_t started_at, finished_at, created_at;
    uint64_t stdout_bytes, stderr_bytes, stdout_total_bytes, stderr_total_bytes;
    bool stdout_truncated, stderr_truncated;
    int64_t exit_code, signal, shell_code;
    struct str message, host_id;
    uint64_t id, job_id;
};
extern const struct record task_view_record;

struct user_view {
    struct str name, role;
    bool disabled;
    usec_t created_at;
};
extern const struct record user_view_record;

struct api_token_view {
    uint64_t id;
    struct str name, user, role, hint;
    usec_t expires_at, last_used, created_at;
    bool revoked;
};
extern const struct record api_token_view_record;

struct audit_view {
    uint64_t id;
    usec_t at;
    struct str principal, verb, target, outcome, code, peer;
    struct json_text details;
    struct str hash;
};
extern const struct record audit_view_record;

struct event_view {
    uint64_t id;
    usec_t timestamp;
    struct str event_type, host, agent_id;
    struct kv_list details;
};
extern const struct record event_view_record;

struct section_view {
    struct str section, status;
    uint64_t rows_count;
    usec_t taken_at, received_at;
    struct str message, digest;
};
extern const struct record section_view_record;

struct change_view {
    uint64_t id;
    usec_t at;
    struct str section, key, change; /* change: "now", "removed", "changed": made here */
    struct json_text before, after;
};
extern const struct record change_view_record;

struct output_view {
    uint64_t task_id, offset;
    struct str host, host_id, stream;
    struct bytes data;
};
extern const struct record output_view_record;

struct gap_view {
    uint64_t task_id, from, to;
    struct str stream;
};
extern const struct record gap_view_record;

/* Decodes @n into @obj, strings into @a, and fills the members made here. RC_OK, or RC_FAILED with cli->err.
 */
int view_read(struct cli *cli, struct arena *a, const struct record *rec, const struct node *n, void *obj);
/* "/bin/echo 'two words'": argv as a shell would take it, safe for a terminal; or the shell text. */
struct str view_command(struct arena *a, const struct str_list *argv, struct str shell);

#endif
