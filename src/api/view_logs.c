/* api/view_logs.c - see view_logs.h. */
#include "api/view_logs.h"

#include "base/limits.h"
#include "base/text.h"

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
