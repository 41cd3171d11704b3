/* api/view_inventory.c - see view_inventory.h. */
#include "api/view_inventory.h"

#include "base/limits.h"
#include "base/text.h"

struct section_head_out {
    struct str section, message, digest;
    int status;
    usec_t taken_at, received_at;
    uint64_t rows_count;
};
/* The head by itself, and as the members beside its rows. */
#define HEAD_FIELDS(T, in)                                                                                  \
    F_STR(T, in section, "section", 32, .flags = FIELD_ID),                                                 \
        F_ENUM(T, in status, "status", section_status_names),                                               \
        F_STR(T, in message, "message", 1024, .flags = FIELD_OMIT, .help = "Why it is not ok."),            \
        F_TIME(T, in taken_at, "taken_at", .help = "The host's clock."),                                    \
        F_TIME(T, in received_at, "received_at"), F_U64(T, in rows_count, "rows_count"),                    \
        F_STR(T, in digest, "digest", 64, .flags = FIELD_WIDE)
static const struct field section_head_fields[] = { HEAD_FIELDS(struct section_head_out, ) };
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
    struct section_head_out head;
    struct json_text rows;
};
static const struct field section_rows_fields[] = {
    HEAD_FIELDS(struct section_rows_out, head.),
    F_JSON(struct section_rows_out, rows, "rows", LIMIT_SECTION_BYTES, .help = "A list of objects with a key."),
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
    F_JSON(struct change_out, before, "before", LIMIT_ROW_BYTES, .help = "The row as it was; null when there was none, or it is not known."),
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
