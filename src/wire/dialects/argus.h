/* wire/dialects/argus.h - the words of Argus (docs/wire/argus.md): tables that its agent and its server share. Strings are borrowed. */
#ifndef MUSTER_WIRE_ARGUS_H
#define MUSTER_WIRE_ARGUS_H

#include "base/field.h"

enum {
    ARGUS_HOSTNAME_MAX = 253,
    ARGUS_CAPABILITIES_MAX = 32,
    ARGUS_CAPABILITY_MAX = 128,
    ARGUS_POLL_S = 10,
    ARGUS_HEARTBEAT_S = 30,
    ARGUS_WAIT_MAX_S = 30,
    ARGUS_EVENTS_MAX = 500,
    ARGUS_LOG_TAIL_MAX = 16 << 10,
};
#define ARGUS_SCHEMA "1.1"

/* POST /api/agents/register. The real server takes these keys and no others. */
struct argus_register {
    struct str hostname, version;
    struct str_list capabilities;
};
extern const struct record argus_register_record;
struct argus_registered {
    struct str agent_id, agent_token;
    uint32_t poll_interval_s;
    usec_t server_time;
    uint32_t heartbeat_interval_s; /* ours from here on; 0: not said */
    struct str label;
    struct str_list features;      /* "exit", "wait", "shared" */
};
extern const struct record argus_registered_record;
/* What an agent needs of it: nothing else in the answer is a reason to throw a token away that the server has given already. */
extern const struct record argus_token_record;

/* GET .../jobs */
struct argus_payload { /* of both kinds: what a kind does not have is absent */
    struct seen seen;
    struct str source_batch_id, command, cwd, host;
    struct json_text requested_by; /* a name here; somebody else's server may say a number */
    struct kv_list env;
    struct json_text overrides;
    int64_t pid, pgid;
    uint32_t grace_s;
};
extern const struct record argus_payload_record;
struct argus_job {
    struct str id, kind, batch_id;
    struct argus_payload payload;
    usec_t created_at;
};
extern const struct record argus_job_record;
/* What an agent needs of it: a time that nobody reads is no reason to refuse what is asked. */
extern const struct record argus_command_record;
struct argus_jobs {
    LIST(struct argus_job) jobs;
};
extern const struct record argus_jobs_record;

/* POST .../ack, .../exit, .../heartbeat */
struct argus_ack {
    struct seen seen;
    struct str status, error;
    int64_t pid;
};
extern const struct record argus_ack_record;
struct argus_exit {
    struct seen seen;
    int32_t exit_code, signal;
    double runtime_s;
    struct str log_tail;
};
extern const struct record argus_exit_record;
struct argus_heartbeat {
    struct str note;
};
extern const struct record argus_heartbeat_record;

/* The envelope of an event: strict (the reader refuses unknown keys). */
struct argus_source {
    struct str project, host, user, commit, command;
};
extern const struct record argus_source_record;
struct argus_event {
    struct seen seen;
    struct str event_id, schema_version, event_type, batch_id, job_id;
    usec_t timestamp;
    struct argus_source source;
    struct json_text data;
};
extern const struct record argus_event_record;

#endif
