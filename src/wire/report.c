/* wire/report.c - see report.h. Stored times are microseconds: what is read is exactly what was put. */
#include "wire/report.h"

const struct name report_command_names[] = {
    { REPORT_IP_NEIGH, "ip_neigh" },
    { REPORT_SS_TUNAP, "ss_tunap" },
    { REPORT_IP_ADDR, "ip_addr" },
    { REPORT_IP_ROUTE, "ip_route" },
    NAMES_END,
};

/* -- as stored */
static const struct field policy_fields[] = {
    F_U64(struct report_policy, id, "id"),
    F_STR(struct report_policy, name, "name", REPORT_NAME_MAX * 4),
    F_STR(struct report_policy, description, "description", REPORT_DESCRIPTION_MAX * 4, .flags = FIELD_OMIT),
    F_BOOL(struct report_policy, has_description, "has_description", .flags = FIELD_OMIT),
    F_U32(struct report_policy, interval_s, "interval_s"),
    F_U32(struct report_policy, jitter_s, "jitter_s"),
    F_U32(struct report_policy, command_timeout_s, "command_timeout_s"),
    F_U32(struct report_policy, commands_named, "commands_named"),
    F_U32(struct report_policy, commands_on, "commands_on"),
    F_U32(struct report_policy, max_report_bytes, "max_report_bytes"),
    F_BOOL(struct report_policy, is_active, "is_active"),
    F_U64(struct report_policy, created_at, "created_at_us"),
    F_U64(struct report_policy, updated_at, "updated_at_us"),
    F_STR(struct report_policy, target_version, "target_version", REPORT_VERSION_MAX, .flags = FIELD_OMIT),
    F_BOOL(struct report_policy, has_collectors, "has_collectors", .flags = FIELD_OMIT),
    F_STR_LIST(struct report_policy, collectors, "collectors", REPORT_COLLECTORS_MAX, REPORT_COLLECTOR_NAME_MAX, .flags = FIELD_OMIT),
};
const struct record report_policy_record = RECORD(report_policy, policy_fields);

static const struct field key_fields[] = {
    F_U64(struct enroll_key, id, "id"),
    F_U64(struct enroll_key, credential_id, "credential_id"),
    F_U64(struct enroll_key, policy_id, "policy_id", .flags = FIELD_OMIT),
    F_U64(struct enroll_key, max_registrations, "max_registrations", .flags = FIELD_OMIT),
    F_U64(struct enroll_key, n_registrations, "n_registrations"),
    F_STR(struct enroll_key, name, "name", REPORT_NAME_MAX * 4),
    F_STR(struct enroll_key, description, "description", REPORT_DESCRIPTION_MAX * 4, .flags = FIELD_OMIT),
    F_STR(struct enroll_key, hint, "hint", 32),
    F_BOOL(struct enroll_key, has_description, "has_description", .flags = FIELD_OMIT),
    F_BOOL(struct enroll_key, auto_approve, "auto_approve"),
    F_BOOL(struct enroll_key, is_active, "is_active"),
    F_BOOL(struct enroll_key, require_client_cert, "require_client_cert", .flags = FIELD_OMIT),
    F_U64(struct enroll_key, expires_at, "expires_at_us", .flags = FIELD_OMIT),
    F_U64(struct enroll_key, created_at, "created_at_us"),
    F_U64(struct enroll_key, updated_at, "updated_at_us"),
    F_U64(struct enroll_key, last_used_at, "last_used_at_us", .flags = FIELD_OMIT),
};
const struct record enroll_key_record = RECORD(enroll_key, key_fields);

#define TEXT(T, m, n) F_STR(T, m, n, REPORT_TEXT_MAX * 4, .flags = FIELD_OMIT)
static const struct field reporter_fields[] = {
    F_U64(struct reporter_row, id, "id"),
    F_U64(struct reporter_row, host_id, "host_id"),
    F_U64(struct reporter_row, enroll_key_id, "enroll_key_id", .flags = FIELD_OMIT),
    F_U64(struct reporter_row, policy_id, "policy_id", .flags = FIELD_OMIT),
    F_U64(struct reporter_row, credential_id, "credential_id", .flags = FIELD_OMIT),
    F_STR(struct reporter_row, uuid, "uuid", REPORT_UUID_MAX),
    TEXT(struct reporter_row, display_name, "display_name"),
    TEXT(struct reporter_row, hostname, "hostname"),
    TEXT(struct reporter_row, site_name, "site_name"),
    TEXT(struct reporter_row, version, "version"),
    TEXT(struct reporter_row, platform, "platform"),
    TEXT(struct reporter_row, release, "release"),
    F_BOOL(struct reporter_row, approval_required, "approval_required"),
    F_BOOL(struct reporter_row, is_active, "is_active"),
    F_BOOL(struct reporter_row, key_is_used, "key_is_used"),
    F_STR(struct reporter_row, claim, "claim", 64, .flags = FIELD_OMIT),
    F_STR(struct reporter_row, client_key, "client_key", 64, .flags = FIELD_OMIT),
    F_STR(struct reporter_row, key_hint, "key_hint", 32, .flags = FIELD_OMIT),
    F_STR(struct reporter_row, rejection_reason, "rejection_reason", REPORT_REASON_MAX * 4, .flags = FIELD_OMIT),
    F_U64(struct reporter_row, n_told, "n_told"),
    F_STR_LIST(struct reporter_row, told_ips, "told_ips", REPORT_ADDRESSES_MAX, 64, .flags = FIELD_OMIT),
    F_STR_LIST(struct reporter_row, told_macs, "told_macs", REPORT_ADDRESSES_MAX, 64, .flags = FIELD_OMIT),
    F_JSON(struct reporter_row, metadata, "metadata", REPORT_METADATA_MAX * 2, .flags = FIELD_OMIT),
    F_U64(struct reporter_row, created_at, "created_at_us"),
    F_U64(struct reporter_row, updated_at, "updated_at_us"),
    F_U64(struct reporter_row, approved_at, "approved_at_us", .flags = FIELD_OMIT),
    F_U64(struct reporter_row, rejected_at, "rejected_at_us", .flags = FIELD_OMIT),
    F_U64(struct reporter_row, key_issued_at, "key_issued_at_us", .flags = FIELD_OMIT),
    F_U64(struct reporter_row, last_registration_at, "last_registration_at_us", .flags = FIELD_OMIT),
};
const struct record reporter_row_record = RECORD(reporter_row, reporter_fields);

static const struct field summary_fields[] = {
    F_U64(struct report_summary, hosts_created, "hosts_created", .flags = FIELD_OMIT),
    F_U64(struct report_summary, neighbors_created, "neighbors_created", .flags = FIELD_OMIT),
    F_U64(struct report_summary, connections_created, "connections_created", .flags = FIELD_OMIT),
    F_U64(struct report_summary, n_neighbors, "n_neighbors", .flags = FIELD_OMIT),
    F_U64(struct report_summary, n_connections, "n_connections", .flags = FIELD_OMIT),
    F_U64(struct report_summary, n_routes, "n_routes", .flags = FIELD_OMIT),
    F_U64(struct report_summary, n_addresses, "n_addresses", .flags = FIELD_OMIT),
    F_U64(struct report_summary, n_ips, "n_ips", .flags = FIELD_OMIT),
    F_U64(struct report_summary, n_macs, "n_macs", .flags = FIELD_OMIT),
    F_STR_LIST(struct report_summary, ips, "ips", REPORT_SEEN_MAX, 64, .flags = FIELD_OMIT),
    F_STR_LIST(struct report_summary, macs, "macs", REPORT_SEEN_MAX, 64, .flags = FIELD_OMIT),
};
const struct record report_summary_record = RECORD(report_summary, summary_fields);

static const struct field checkin_fields[] = {
    F_U64(struct report_checkin, reporter_id, "reporter_id"),
    F_U64(struct report_checkin, sequence, "sequence", .flags = FIELD_OMIT),
    F_BOOL(struct report_checkin, has_sequence, "has_sequence", .flags = FIELD_OMIT),
    F_BOOL(struct report_checkin, is_full, "is_full", .flags = FIELD_OMIT),
    F_BOOL(struct report_checkin, is_gzip, "is_gzip", .flags = FIELD_OMIT),
    F_U64(struct report_checkin, observed_at, "observed_at_us"),
    F_STR(struct report_checkin, peer, "peer", 64),
    F_STR(struct report_checkin, key_hint, "key_hint", 32),
    F_U32(struct report_checkin, flags, "flags", .flags = FIELD_OMIT),
    F_U32(struct report_checkin, n_rejected, "n_rejected", .flags = FIELD_OMIT),
    F_SUB(struct report_checkin, summary, "summary", &report_summary_record),
};
const struct record report_checkin_record = RECORD(report_checkin, checkin_fields);

static const struct field state_fields[] = {
    F_U64(struct reporter_state, id, "id"),
    F_STR(struct reporter_state, epoch, "epoch", 64, .flags = FIELD_OMIT),
    F_U64(struct reporter_state, sequence, "sequence", .flags = FIELD_OMIT),
    F_BOOL(struct reporter_state, has_sequence, "has_sequence", .flags = FIELD_OMIT),
    F_BOOL(struct reporter_state, has_report, "has_report", .flags = FIELD_OMIT),
    F_BOOL(struct reporter_state, tells_removals, "tells_removals", .flags = FIELD_OMIT),
    F_U64(struct reporter_state, last_seen_at, "last_seen_at_us"),
    F_U64(struct reporter_state, updated_at, "updated_at_us"),
    F_U64(struct reporter_state, checkin_id, "checkin_id"),
    F_SUB(struct reporter_state, last, "last", &report_checkin_record),
    F_STR_LIST(struct reporter_state, digests, "digests", 4, 64, .flags = FIELD_OMIT),
    F_U64(struct reporter_state, addresses_count, "addresses_count", .flags = FIELD_OMIT),
    F_U64(struct reporter_state, neighbors_count, "neighbors_count", .flags = FIELD_OMIT),
    F_U64(struct reporter_state, connections_count, "connections_count", .flags = FIELD_OMIT),
    F_U64(struct reporter_state, routes_count, "routes_count", .flags = FIELD_OMIT),
    F_STR_LIST(struct reporter_state, addresses, "addresses", REPORT_ADDRESSES_MAX, 1536, .flags = FIELD_OMIT),
    F_STR(struct reporter_state, before_peer, "before_peer", 64, .flags = FIELD_OMIT),
    F_U32(struct reporter_state, flags, "flags", .flags = FIELD_OMIT),
};
const struct record reporter_state_record = RECORD(reporter_state, state_fields);

/* -- as asked for. A text's limit is in characters (its reader counts them); bytes are capped here. */
#define WISH_TEXT(T, m, n, max_chars) F_STR(T, m, n, (max_chars) * 4, .flags = FIELD_NULLABLE)
#define POLICY_WISH(name_flags)                                                                                              \
    F_STR(struct report_policy_wish, name, "name", REPORT_NAME_MAX * 4, .flags = (name_flags)),                              \
        WISH_TEXT(struct report_policy_wish, description, "description", REPORT_DESCRIPTION_MAX),                            \
        F_U32(struct report_policy_wish, interval_s, "checkin_interval_seconds", .min_value = 60, .max_value = 86400),       \
        F_U32(struct report_policy_wish, jitter_s, "jitter_seconds", .min_value = 0, .max_value = 3600),                     \
        F_U32(struct report_policy_wish, command_timeout_s, "command_timeout_seconds", .min_value = 1, .max_value = 300),    \
        F_JSON(struct report_policy_wish, commands_json, "enabled_commands", 1024),                                          \
        F_U32(struct report_policy_wish, max_report_bytes, "max_report_bytes", .min_value = 16384, .max_value = 10485760),   \
        F_BOOL(struct report_policy_wish, is_active, "is_active"),                                                           \
        F_STR(struct report_policy_wish, target_version, "target_version", REPORT_VERSION_MAX, .flags = FIELD_NULLABLE),    \
        F_STR_LIST(struct report_policy_wish, collectors, "collectors", REPORT_COLLECTORS_MAX, REPORT_COLLECTOR_NAME_MAX,    \
                   .flags = FIELD_NULLABLE)
static const struct field policy_create_fields[] = { POLICY_WISH(FIELD_REQUIRED) };
static const struct field policy_change_fields[] = { POLICY_WISH(0) };
const struct record report_policy_create_record = RECORD_SEEN(report_policy_wish, policy_create_fields);
const struct record report_policy_change_record = RECORD_SEEN(report_policy_wish, policy_change_fields);

#define KEY_WISH(name_flags)                                                                                                 \
    F_STR(struct enroll_key_wish, name, "name", REPORT_NAME_MAX * 4, .flags = (name_flags)),                                 \
        WISH_TEXT(struct enroll_key_wish, description, "description", REPORT_DESCRIPTION_MAX),                               \
        F_U64(struct enroll_key_wish, policy_id, "default_policy_id", .flags = FIELD_NULLABLE),                              \
        F_BOOL(struct enroll_key_wish, auto_approve, "auto_approve"),                                                        \
        F_BOOL(struct enroll_key_wish, is_active, "is_active"),                                                              \
        F_BOOL(struct enroll_key_wish, require_client_cert, "require_client_cert"),                                          \
        F_STR(struct enroll_key_wish, expires_text, "expires_at", 64, .flags = FIELD_NULLABLE),                              \
        F_U64(struct enroll_key_wish, max_registrations, "max_registrations", .min_value = 1, .max_value = 100000,           \
              .flags = FIELD_NULLABLE)
static const struct field key_create_fields[] = { KEY_WISH(FIELD_REQUIRED) };
static const struct field key_change_fields[] = { KEY_WISH(0) };
const struct record enroll_key_create_record = RECORD_SEEN(enroll_key_wish, key_create_fields);
const struct record enroll_key_change_record = RECORD_SEEN(enroll_key_wish, key_change_fields);

#define REPORTER_WISH                                                                                                        \
    WISH_TEXT(struct reporter_wish, display_name, "display_name", REPORT_TEXT_MAX),                                          \
        WISH_TEXT(struct reporter_wish, hostname, "hostname", REPORT_TEXT_MAX),                                              \
        WISH_TEXT(struct reporter_wish, site_name, "site_name", REPORT_TEXT_MAX),                                            \
        F_U64(struct reporter_wish, enroll_key_id, "enrollment_key_id", .flags = FIELD_NULLABLE),                            \
        F_U64(struct reporter_wish, policy_id, "policy_id", .flags = FIELD_NULLABLE),                                        \
        F_STR(struct reporter_wish, state, "enrollment_state", 32),                                                          \
        F_BOOL(struct reporter_wish, approval_required, "approval_required", .flags = FIELD_NULLABLE),                       \
        WISH_TEXT(struct reporter_wish, version, "agent_version", REPORT_VERSION_MAX),                                       \
        WISH_TEXT(struct reporter_wish, platform, "platform", REPORT_TEXT_MAX),                                              \
        WISH_TEXT(struct reporter_wish, release, "platform_release", REPORT_TEXT_MAX),                                       \
        F_STR(struct reporter_wish, client_key, "client_key_sha256", 64, .flags = FIELD_NULLABLE),                           \
        F_BOOL(struct reporter_wish, is_active, "is_active", .flags = FIELD_NULLABLE)
static const struct field reporter_create_fields[] = {
    F_STR(struct reporter_wish, uuid, "agent_uuid", REPORT_UUID_MAX, .flags = FIELD_REQUIRED),
    REPORTER_WISH,
};
static const struct field reporter_change_fields[] = { REPORTER_WISH };
const struct record reporter_create_record = RECORD_SEEN(reporter_wish, reporter_create_fields);
const struct record reporter_change_record = RECORD_SEEN(reporter_wish, reporter_change_fields);
