/* wire/run.h - runs as they are kept: work that scripts report on, who may touch it, and what agents were told to do with it
 * (fleet/run.h has the rules). Strings are borrowed. Times are microseconds of the wall clock, 0: never. */
#ifndef MUSTER_WIRE_RUN_H
#define MUSTER_WIRE_RUN_H

#include "base/field.h"

struct run_row {
    struct str batch_id;              /* chosen by the script, or "rerun-" and 12 hex digits; unique */
    uint64_t owner_id;                /* a user; 0: the local admin */
    uint64_t route_owner_id;          /* whose agents may run it: the owner of the run that it repeats */
    uint64_t root_id;                 /* that run; 0: this one */
    struct str project, name, experiment_type, os_user, host, command, commit;
    struct str source_batch_id;       /* the run it repeats; empty: none */
    struct json_text overrides;
    struct str requested_by, failure_reason, stop_by;
    uint32_t state;                   /* enum run_state */
    uint32_t n_total, n_done, n_failed;
    uint64_t snapshot_id;             /* 0: none */
    usec_t created_at, start_time, end_time, last_heard, requested_at, stop_at;
};
extern const struct record run_record;

/* What a run was started with. The environment never leaves but to the agent that runs it. */
struct run_snapshot_row {
    struct str command, cwd;
    struct kv_list env;
    struct json_text meta; /* the other known keys: an object */
};
extern const struct record run_snapshot_record;

struct run_item_row {
    struct str item_id, model, dataset, status;
    usec_t start_time, end_time;
    double elapsed_s;
    struct json_text metrics;
};
extern const struct record run_item_record;

struct run_agent_row {
    struct str agent_id;           /* "agent-" and 12 hex digits */
    uint64_t host_id, owner_id, credential_id;
    struct str hostname, label, version;
    struct str_list capabilities;
    bool is_shared;                /* an admin lets everybody's runs use it */
    usec_t registered_at, last_seen;
};
extern const struct record run_agent_record;

struct run_command_row {
    uint32_t kind, state;          /* enum run_command_kind, run_command_state */
    uint64_t run_id, host_id, job_id, task_id;
    uint64_t agent_id;             /* whose it is: a linked host may have several */
    struct str requested_by, error, log_tail;
    usec_t created_at, ack_at, ended_at;
    int64_t pid;                   /* 0: not said */
    int32_t exit_code, signal;
    bool has_exit_code;
    double runtime_s;
};
extern const struct record run_command_record;

struct run_share_row {
    uint64_t run_id;               /* 0: a whole project of @owner_id */
    uint64_t owner_id, grantee_id;
    struct str project, created_by;
    uint32_t permission;           /* enum run_share */
    usec_t created_at;
};
extern const struct record run_share_record;

struct run_recipient_row {
    uint64_t owner_id;
    struct str project, email;
    struct str_list event_kinds;
    bool is_disabled;
    usec_t created_at;
};
extern const struct record run_recipient_record;

/* A person's address: set by an admin, so it counts as verified. Filed under the user's id. */
struct person_email_row {
    struct str email;
};
extern const struct record person_email_record;

/* Trail rows. */
struct run_event_row {
    struct str type, item_id, by;
    usec_t at;                     /* by the sender's clock */
    bool is_ignored;               /* from somebody who may not change the run: kept, without effect */
    struct json_text data;
};
extern const struct record run_event_record;
struct run_log_row {
    struct str level, line, item_id;
    usec_t at;
};
extern const struct record run_log_record;

#endif
