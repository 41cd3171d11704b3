/* wire/run.c - see run.h. Times are microseconds: the column must give back exactly what was put. */
#include "wire/run.h"

#include "base/limits.h"

static const struct field run_fields[] = {
    F_STR(struct run_row, batch_id, "batch_id", 128, .flags = FIELD_REQUIRED | FIELD_ID),
    F_U64(struct run_row, owner_id, "owner_id", .flags = FIELD_OMIT),
    F_U64(struct run_row, route_owner_id, "route_owner_id", .flags = FIELD_OMIT),
    F_U64(struct run_row, root_id, "root_id", .flags = FIELD_OMIT),
    F_STR(struct run_row, project, "project", 128, .flags = FIELD_OMIT),
    F_STR(struct run_row, name, "name", 256, .flags = FIELD_OMIT),
    F_STR(struct run_row, experiment_type, "experiment_type", 128, .flags = FIELD_OMIT),
    F_STR(struct run_row, os_user, "os_user", 128, .flags = FIELD_OMIT),
    F_STR(struct run_row, host, "host", LIMIT_HOSTNAME, .flags = FIELD_OMIT),
    F_STR(struct run_row, command, "command", 128 << 10, .flags = FIELD_OMIT),
    F_STR(struct run_row, commit, "commit", 128, .flags = FIELD_OMIT),
    F_STR(struct run_row, source_batch_id, "source_batch_id", 128, .flags = FIELD_OMIT),
    F_JSON(struct run_row, overrides, "overrides", 64 << 10, .flags = FIELD_OMIT),
    F_STR(struct run_row, requested_by, "requested_by", 192, .flags = FIELD_OMIT),
    F_STR(struct run_row, failure_reason, "failure_reason", 1024, .flags = FIELD_OMIT),
    F_STR(struct run_row, stop_by, "stop_by", 192, .flags = FIELD_OMIT),
    F_U32(struct run_row, state, "state"),
    F_U32(struct run_row, n_total, "n_total", .flags = FIELD_OMIT),
    F_U32(struct run_row, n_done, "n_done", .flags = FIELD_OMIT),
    F_U32(struct run_row, n_failed, "n_failed", .flags = FIELD_OMIT),
    F_U64(struct run_row, snapshot_id, "snapshot_id", .flags = FIELD_OMIT),
    F_U64(struct run_row, created_at, "created_at_us"),
    F_U64(struct run_row, start_time, "start_time_us", .flags = FIELD_OMIT),
    F_U64(struct run_row, end_time, "end_time_us", .flags = FIELD_OMIT),
    F_U64(struct run_row, last_heard, "last_heard_us", .flags = FIELD_OMIT),
    F_U64(struct run_row, requested_at, "requested_at_us", .flags = FIELD_OMIT),
    F_U64(struct run_row, stop_at, "stop_at_us", .flags = FIELD_OMIT),
};
const struct record run_record = RECORD(run_row, run_fields);

static const struct field snapshot_fields[] = {
    F_STR(struct run_snapshot_row, command, "command", 128 << 10, .flags = FIELD_OMIT),
    F_STR(struct run_snapshot_row, cwd, "cwd", 4096, .flags = FIELD_OMIT),
    F_MAP(struct run_snapshot_row, env, "env", 1024, 64 << 10, .flags = FIELD_OMIT),
    F_JSON(struct run_snapshot_row, meta, "meta", 240 << 10, .flags = FIELD_OMIT),
};
const struct record run_snapshot_record = RECORD(run_snapshot_row, snapshot_fields);

static const struct field item_fields[] = {
    F_STR(struct run_item_row, item_id, "item_id", 256, .flags = FIELD_REQUIRED | FIELD_ID),
    F_STR(struct run_item_row, model, "model", 256, .flags = FIELD_OMIT),
    F_STR(struct run_item_row, dataset, "dataset", 256, .flags = FIELD_OMIT),
    F_STR(struct run_item_row, status, "status", 32, .flags = FIELD_OMIT),
    F_U64(struct run_item_row, start_time, "start_time_us", .flags = FIELD_OMIT),
    F_U64(struct run_item_row, end_time, "end_time_us", .flags = FIELD_OMIT),
    F_F64(struct run_item_row, elapsed_s, "elapsed_s", .flags = FIELD_OMIT),
    F_JSON(struct run_item_row, metrics, "metrics", 4096, .flags = FIELD_OMIT),
};
const struct record run_item_record = RECORD(run_item_row, item_fields);

static const struct field agent_fields[] = {
    F_STR(struct run_agent_row, agent_id, "agent_id", 64, .flags = FIELD_REQUIRED | FIELD_ID),
    F_U64(struct run_agent_row, host_id, "host_id"),
    F_U64(struct run_agent_row, owner_id, "owner_id", .flags = FIELD_OMIT),
    F_U64(struct run_agent_row, credential_id, "credential_id"),
    F_STR(struct run_agent_row, hostname, "hostname", LIMIT_HOSTNAME, .flags = FIELD_REQUIRED),
    F_STR(struct run_agent_row, label, "label", 64, .flags = FIELD_OMIT),
    F_STR(struct run_agent_row, version, "version", 64, .flags = FIELD_OMIT),
    F_STR_LIST(struct run_agent_row, capabilities, "capabilities", 32, 128, .flags = FIELD_OMIT),
    F_BOOL(struct run_agent_row, is_shared, "is_shared", .flags = FIELD_OMIT),
    F_U64(struct run_agent_row, registered_at, "registered_at_us"),
    F_U64(struct run_agent_row, last_seen, "last_seen_us", .flags = FIELD_OMIT),
};
const struct record run_agent_record = RECORD(run_agent_row, agent_fields);

static const struct field command_fields[] = {
    F_U32(struct run_command_row, kind, "kind"),
    F_U32(struct run_command_row, state, "state"),
    F_U64(struct run_command_row, run_id, "run_id", .flags = FIELD_OMIT),
    F_U64(struct run_command_row, host_id, "host_id", .flags = FIELD_OMIT),
    F_U64(struct run_command_row, job_id, "job_id", .flags = FIELD_OMIT),
    F_U64(struct run_command_row, task_id, "task_id", .flags = FIELD_OMIT),
    F_U64(struct run_command_row, agent_id, "agent_id", .flags = FIELD_OMIT),
    F_STR(struct run_command_row, requested_by, "requested_by", 192, .flags = FIELD_OMIT),
    F_STR(struct run_command_row, error, "error", 1024, .flags = FIELD_OMIT),
    F_STR(struct run_command_row, log_tail, "log_tail", 4096, .flags = FIELD_OMIT),
    F_U64(struct run_command_row, created_at, "created_at_us"),
    F_U64(struct run_command_row, ack_at, "ack_at_us", .flags = FIELD_OMIT),
    F_U64(struct run_command_row, ended_at, "ended_at_us", .flags = FIELD_OMIT),
    F_I64(struct run_command_row, pid, "pid", .flags = FIELD_OMIT),
    F_I32(struct run_command_row, exit_code, "exit_code", .flags = FIELD_OMIT),
    F_I32(struct run_command_row, signal, "signal", .flags = FIELD_OMIT),
    F_BOOL(struct run_command_row, has_exit_code, "has_exit_code", .flags = FIELD_OMIT),
    F_F64(struct run_command_row, runtime_s, "runtime_s", .flags = FIELD_OMIT),
};
const struct record run_command_record = RECORD(run_command_row, command_fields);

static const struct field share_fields[] = {
    F_U64(struct run_share_row, run_id, "run_id", .flags = FIELD_OMIT),
    F_U64(struct run_share_row, owner_id, "owner_id", .flags = FIELD_OMIT),
    F_U64(struct run_share_row, grantee_id, "grantee_id"),
    F_STR(struct run_share_row, project, "project", 128, .flags = FIELD_OMIT),
    F_STR(struct run_share_row, created_by, "created_by", 192, .flags = FIELD_OMIT),
    F_U32(struct run_share_row, permission, "permission"),
    F_U64(struct run_share_row, created_at, "created_at_us"),
};
const struct record run_share_record = RECORD(run_share_row, share_fields);

static const struct field recipient_fields[] = {
    F_U64(struct run_recipient_row, owner_id, "owner_id", .flags = FIELD_OMIT),
    F_STR(struct run_recipient_row, project, "project", 128, .flags = FIELD_REQUIRED),
    F_STR(struct run_recipient_row, email, "email", 254, .flags = FIELD_REQUIRED | FIELD_ID),
    F_STR_LIST(struct run_recipient_row, event_kinds, "event_kinds", 32, 64, .flags = FIELD_OMIT),
    F_BOOL(struct run_recipient_row, is_disabled, "is_disabled", .flags = FIELD_OMIT),
    F_U64(struct run_recipient_row, created_at, "created_at_us"),
};
const struct record run_recipient_record = RECORD(run_recipient_row, recipient_fields);

static const struct field email_fields[] = {
    F_STR(struct person_email_row, email, "email", 254, .flags = FIELD_REQUIRED),
};
const struct record person_email_record = RECORD(person_email_row, email_fields);

static const struct field event_fields[] = {
    F_STR(struct run_event_row, type, "type", 64, .flags = FIELD_REQUIRED),
    F_STR(struct run_event_row, item_id, "item_id", 256, .flags = FIELD_OMIT),
    F_STR(struct run_event_row, by, "by", 192, .flags = FIELD_OMIT),
    F_U64(struct run_event_row, at, "at_us", .flags = FIELD_OMIT),
    F_BOOL(struct run_event_row, is_ignored, "is_ignored", .flags = FIELD_OMIT),
    F_JSON(struct run_event_row, data, "data", 128 << 10, .flags = FIELD_OMIT),
};
const struct record run_event_record = RECORD(run_event_row, event_fields);

static const struct field log_fields[] = {
    F_STR(struct run_log_row, level, "level", 128, .flags = FIELD_OMIT),
    F_STR(struct run_log_row, line, "line", 32 << 10, .flags = FIELD_OMIT),
    F_STR(struct run_log_row, item_id, "item_id", 256, .flags = FIELD_OMIT),
    F_U64(struct run_log_row, at, "at_us", .flags = FIELD_OMIT),
};
const struct record run_log_record = RECORD(run_log_row, log_fields);
