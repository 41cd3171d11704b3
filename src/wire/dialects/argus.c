/* wire/dialects/argus.c - see argus.h. */
#include "wire/dialects/argus.h"

static const struct field register_fields[] = {
    F_STR(struct argus_register, hostname, "hostname", ARGUS_HOSTNAME_MAX, .flags = FIELD_REQUIRED),
    F_STR(struct argus_register, version, "version", 64, .flags = FIELD_NULLABLE),
    F_STR_LIST(struct argus_register, capabilities, "capabilities", ARGUS_CAPABILITIES_MAX, ARGUS_CAPABILITY_MAX,
               .help = "rerun, stop; label=NAME tells agents of one host apart."),
};
const struct record argus_register_record = RECORD(argus_register, register_fields);

static const struct field registered_fields[] = {
    F_STR(struct argus_registered, agent_id, "agent_id", 64, .flags = FIELD_REQUIRED),
    F_STR(struct argus_registered, agent_token, "agent_token", 128, .flags = FIELD_REQUIRED, .help = "Shown only now."),
    F_U32(struct argus_registered, poll_interval_s, "poll_interval_s"),
    F_TIME(struct argus_registered, server_time, "server_time_utc"),
    F_U32(struct argus_registered, heartbeat_interval_s, "heartbeat_interval_s"),
    F_STR(struct argus_registered, label, "label", 64, .flags = FIELD_NULLABLE),
    F_STR_LIST(struct argus_registered, features, "features", 16, 32),
};
const struct record argus_registered_record = RECORD(argus_registered, registered_fields);

static const struct field token_fields[] = {
    F_STR(struct argus_registered, agent_id, "agent_id", 64, .flags = FIELD_REQUIRED),
    F_STR(struct argus_registered, agent_token, "agent_token", 128, .flags = FIELD_REQUIRED),
    F_U32(struct argus_registered, poll_interval_s, "poll_interval_s"),
    F_U32(struct argus_registered, heartbeat_interval_s, "heartbeat_interval_s"),
    F_STR_LIST(struct argus_registered, features, "features", 16, 32),
};
const struct record argus_token_record = RECORD(argus_registered, token_fields);

static const struct field payload_fields[] = {
    F_STR(struct argus_payload, source_batch_id, "source_batch_id", 128, .flags = FIELD_NULLABLE),
    F_STR(struct argus_payload, command, "command", 256 << 10, .flags = FIELD_NULLABLE),
    F_STR(struct argus_payload, cwd, "cwd", 4096, .flags = FIELD_NULLABLE),
    F_MAP(struct argus_payload, env, "env", 1024, 128 << 10, .flags = FIELD_NULLABLE),
    F_STR(struct argus_payload, host, "host", ARGUS_HOSTNAME_MAX, .flags = FIELD_NULLABLE),
    F_JSON(struct argus_payload, overrides, "overrides", 128 << 10, .flags = FIELD_NULLABLE),
    F_JSON(struct argus_payload, requested_by, "requested_by", 1024, .flags = FIELD_NULLABLE),
    F_I64(struct argus_payload, pid, "pid", .flags = FIELD_NULLABLE),
    F_I64(struct argus_payload, pgid, "pgid", .flags = FIELD_NULLABLE),
    F_U32(struct argus_payload, grace_s, "grace_s", .flags = FIELD_NULLABLE),
};
const struct record argus_payload_record = RECORD_SEEN(argus_payload, payload_fields);

static const struct field job_fields[] = {
    F_STR(struct argus_job, id, "id", 64, .flags = FIELD_REQUIRED),
    F_STR(struct argus_job, kind, "kind", 32, .flags = FIELD_REQUIRED),
    F_STR(struct argus_job, batch_id, "batch_id", 128, .flags = FIELD_REQUIRED),
    F_SUB(struct argus_job, payload, "payload", &argus_payload_record),
    F_TIME(struct argus_job, created_at, "created_at"),
};
const struct record argus_job_record = RECORD(argus_job, job_fields);

static const struct field command_fields[] = {
    F_STR(struct argus_job, id, "id", 64, .flags = FIELD_REQUIRED),
    F_STR(struct argus_job, kind, "kind", 32, .flags = FIELD_REQUIRED),
    F_STR(struct argus_job, batch_id, "batch_id", 128, .flags = FIELD_REQUIRED),
    F_SUB(struct argus_job, payload, "payload", &argus_payload_record),
};
const struct record argus_command_record = RECORD(argus_job, command_fields);

static const struct field jobs_fields[] = {
    F_LIST(struct argus_jobs, jobs, "jobs", 1000, &argus_job_record, .flags = FIELD_QUARANTINE),
};
const struct record argus_jobs_record = RECORD(argus_jobs, jobs_fields);

static const struct field ack_fields[] = {
    F_STR(struct argus_ack, status, "status", 32, .flags = FIELD_REQUIRED, .help = "started or failed."),
    F_I64(struct argus_ack, pid, "pid", .flags = FIELD_NULLABLE),
    F_STR(struct argus_ack, error, "error", 4096, .flags = FIELD_NULLABLE),
};
const struct record argus_ack_record = RECORD_SEEN(argus_ack, ack_fields);

static const struct field exit_fields[] = {
    F_I32(struct argus_exit, exit_code, "exit_code", .flags = FIELD_NULLABLE, .min_value = -1, .max_value = 255),
    F_I32(struct argus_exit, signal, "signal", .flags = FIELD_NULLABLE, .min_value = 0, .max_value = 127),
    F_F64(struct argus_exit, runtime_s, "runtime_s", .flags = FIELD_NULLABLE),
    F_STR(struct argus_exit, log_tail, "log_tail", ARGUS_LOG_TAIL_MAX, .flags = FIELD_NULLABLE,
          .help = "The end of its output."),
};
const struct record argus_exit_record = RECORD_SEEN(argus_exit, exit_fields);

static const struct field heartbeat_fields[] = {
    F_STR(struct argus_heartbeat, note, "note", 1024, .flags = FIELD_NULLABLE),
};
const struct record argus_heartbeat_record = RECORD(argus_heartbeat, heartbeat_fields);

static const struct field source_fields[] = {
    F_STR(struct argus_source, project, "project", 128, .flags = FIELD_REQUIRED),
    F_STR(struct argus_source, host, "host", ARGUS_HOSTNAME_MAX, .flags = FIELD_NULLABLE),
    F_STR(struct argus_source, user, "user", 128, .flags = FIELD_NULLABLE),
    F_STR(struct argus_source, commit, "commit", 128, .flags = FIELD_NULLABLE),
    F_STR(struct argus_source, command, "command", 128 << 10, .flags = FIELD_NULLABLE),
};
const struct record argus_source_record = RECORD(argus_source, source_fields);

static const struct field event_fields[] = {
    F_STR(struct argus_event, event_id, "event_id", 36, .flags = FIELD_REQUIRED, .help = "A UUID: a repeat changes nothing."),
    F_STR(struct argus_event, schema_version, "schema_version", 32, .flags = FIELD_REQUIRED),
    F_STR(struct argus_event, event_type, "event_type", 64, .flags = FIELD_REQUIRED),
    F_TIME(struct argus_event, timestamp, "timestamp", .flags = FIELD_REQUIRED),
    F_STR(struct argus_event, batch_id, "batch_id", 128, .flags = FIELD_REQUIRED),
    F_STR(struct argus_event, job_id, "job_id", 256, .flags = FIELD_NULLABLE),
    F_SUB(struct argus_event, source, "source", &argus_source_record, .flags = FIELD_REQUIRED),
    F_JSON(struct argus_event, data, "data", 512 << 10, .flags = FIELD_NULLABLE),
};
const struct record argus_event_record = RECORD_SEEN(argus_event, event_fields);
