/* wire/dialects/grapheon.c - see grapheon.h. Limits of texts are in characters upstream: api counts them, bytes are capped here. */
#include "wire/dialects/grapheon.h"

#define TEXT(m, n, max_chars) F_STR(struct grapheon_register, m, n, (max_chars) * 4, .flags = FIELD_NULLABLE)
static const struct field register_fields[] = {
    F_STR(struct grapheon_register, enrollment_key, "enrollment_key", GRAPHEON_KEY_MAX, .flags = FIELD_REQUIRED | FIELD_SECRET),
    F_STR(struct grapheon_register, agent_uuid, "agent_uuid", REPORT_UUID_MAX, .flags = FIELD_REQUIRED),
    TEXT(display_name, "display_name", REPORT_TEXT_MAX),
    TEXT(hostname, "hostname", REPORT_TEXT_MAX),
    TEXT(site_name, "site_name", REPORT_TEXT_MAX),
    TEXT(platform, "platform", REPORT_TEXT_MAX),
    TEXT(platform_release, "platform_release", REPORT_TEXT_MAX),
    TEXT(agent_version, "agent_version", REPORT_VERSION_MAX),
    F_STR(struct grapheon_register, claim_sha256, "claim_sha256", 64, .flags = FIELD_NULLABLE),
    F_STR(struct grapheon_register, claim, "claim", GRAPHEON_CLAIM_MAX, .flags = FIELD_NULLABLE | FIELD_SECRET),
    F_JSON(struct grapheon_register, metadata, "metadata", REPORT_METADATA_MAX),
    F_JSON(struct grapheon_register, addresses, "addresses", GRAPHEON_REGISTER_BYTES),
};
const struct record grapheon_register_record = RECORD_SEEN(grapheon_register, register_fields);

static const struct field approve_fields[] = {
    F_U64(struct grapheon_verdict, policy_id, "policy_id", .flags = FIELD_NULLABLE),
    F_STR(struct grapheon_verdict, display_name, "display_name", REPORT_TEXT_MAX * 4, .flags = FIELD_NULLABLE),
};
const struct record grapheon_approve_record = RECORD_SEEN(grapheon_verdict, approve_fields);
static const struct field reason_fields[] = {
    F_STR(struct grapheon_verdict, reason, "reason", REPORT_REASON_MAX * 4, .flags = FIELD_NULLABLE),
};
const struct record grapheon_reason_record = RECORD_SEEN(grapheon_verdict, reason_fields);

static const struct field login_fields[] = {
    F_STR(struct grapheon_login, username, "username", 128, .flags = FIELD_REQUIRED),
    F_STR(struct grapheon_login, password, "password", 1024, .flags = FIELD_REQUIRED | FIELD_SECRET),
};
const struct record grapheon_login_record = RECORD(grapheon_login, login_fields);

static const struct field page_fields[] = {
    F_U32(struct grapheon_page, skip, "skip"),
    F_U32(struct grapheon_page, limit, "limit", .min_value = 1, .max_value = 1000),
    F_STR(struct grapheon_page, enrollment_state, "enrollment_state", 32),
    F_BOOL(struct grapheon_page, is_active, "is_active"),
};
const struct record grapheon_page_record = RECORD_SEEN(grapheon_page, page_fields);
