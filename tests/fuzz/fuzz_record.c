/* fuzz: codec - JSON into a record with every kind of field, and out again. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/limits.h"
#include "codec/record.h"

struct row {
    struct str name;
    uint32_t port;
};
struct all {
    struct seen seen;
    struct str name;
    bool on;
    int32_t i32;
    int64_t i64;
    uint64_t u64;
    double f64;
    usec_t at, at_ms, wait;
    int role;
    struct bytes raw;
    struct json_text any;
    struct str_list tags;
    struct kv_list labels;
    struct row one;
    LIST(struct row) rows;
};
static const struct name roles[] = { { 0, "viewer" }, { 1, "admin" }, NAMES_END };
static const struct field row_fields[] = {
    F_STR(struct row, name, "name", 8, .flags = FIELD_REQUIRED),
    F_U32(struct row, port, "port", .min_value = 1, .max_value = 65535),
};
static const struct record row_record = RECORD(row, row_fields);
static const struct field all_fields[] = {
    F_STR(struct all, name, "name", 16, .flags = FIELD_SECRET),
    F_BOOL(struct all, on, "on"),
    F_I32(struct all, i32, "i32", .min_value = -5, .max_value = -1),
    F_I64(struct all, i64, "i64"),
    F_U64(struct all, u64, "u64"),
    F_F64(struct all, f64, "f64"),
    F_TIME(struct all, at, "at"),
    F_TIME_MS(struct all, at_ms, "atMs"),
    F_DURATION(struct all, wait, "wait"),
    F_ENUM(struct all, role, "role", roles),
    F_BYTES(struct all, raw, "raw", 16),
    F_JSON(struct all, any, "any", 64),
    F_STR_LIST(struct all, tags, "tags", 4, 8),
    F_MAP(struct all, labels, "labels", 4, 8),
    F_SUB(struct all, one, "one", &row_record),
    F_LIST(struct all, rows, "rows", 8, &row_record, .flags = FIELD_QUARANTINE),
};
static const struct record all_record = RECORD_SEEN(all, all_fields);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 18);
    AUTO(buf_done) struct buf out = BUF(8 << 20);
    struct record_errors errs;
    struct err err = { 0 };
    struct all o;
    struct node *node;
    struct jw w = JW(&out);
    if (record_decode_json(&all_record, a, str_bytes(data, n), LIMIT_JSON_BYTES, &o, &errs, &err) < 0)
        return 0;
    record_write(&all_record, &o, &w);
    if (jw_done(&w) < 0 || json_parse(a, buf_as_str(&out), out.max, &node, &err) == -EINVAL)
        abort();
    out.len = 0;
    for (size_t i = 0; i < all_record.n_fields; i++)
        (void)record_cell(&all_fields[i], &o, 1, &out);
    record_wipe(&all_record, &o);
    return 0;
}
