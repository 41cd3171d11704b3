/* base/field.h - a struct described once: JSON, YAML, columns, OpenAPI, redaction walk this table.
 *
 *   struct checkin { struct seen seen; struct str hostname; uint64_t uptime_s; };
 *   static const struct field checkin_fields[] = {
 *       F_STR(struct checkin, hostname, "hostname", 255, .flags = FIELD_REQUIRED),
 *       F_U64(struct checkin, uptime_s, "uptimeSeconds"),
 *   };
 *   const struct record checkin_record = RECORD_SEEN(checkin, checkin_fields);
 *
 * A wrong member type does not compile. Strings and lists state a maximum (bytes, elements). Pure data. */
#ifndef MUSTER_FIELD_H
#define MUSTER_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/names.h"
#include "base/str.h"

/* Which fields were there, by index in the table (at most 64 of them): absent, null and value differ. */
struct seen {
    uint64_t present; /* the key was there (null or value) */
    uint64_t null;    /* it was null */
};

struct kv {
    struct str key, value;
};
#define LIST(type)                                                                                 \
    struct {                                                                                       \
        type *v;                                                                                   \
        size_t n;                                                                                  \
    }
struct str_list {
    struct str *v;
    size_t n;
};
struct kv_list {
    struct kv *v;
    size_t n;
};
/* What FT_LIST members look like to the walkers. */
struct any_list {
    void *v;
    size_t n;
};
/* A raw JSON subtree, kept as text. */
struct json_text {
    struct str text;
};
/* Raw bytes; base64 in JSON. */
struct bytes {
    struct str b;
};

enum field_type {
    FT_STR,      /* struct str */
    FT_BOOL,     /* bool */
    FT_I32,      /* int32_t */
    FT_U32,      /* uint32_t */
    FT_I64,      /* int64_t; JSON integers beyond 2^53 travel as strings, both accepted */
    FT_U64,      /* uint64_t; likewise */
    FT_F64,      /* double */
    FT_TIME,     /* usec_t wall; RFC 3339 text, 0 = null */
    FT_TIME_MS,  /* usec_t wall; integer milliseconds, 0 = null */
    FT_DURATION, /* usec_t; in: "5m" or seconds; out: seconds */
    FT_ENUM,     /* int; names in .names */
    FT_BYTES,    /* struct bytes; base64 */
    FT_JSON,     /* struct json_text; any subtree, .max bytes */
    FT_STR_LIST, /* struct str_list; .max elements, each at most .max_each bytes */
    FT_MAP,      /* struct kv_list; object of strings */
    FT_SUB,      /* an embedded struct; .sub */
    FT_LIST,     /* LIST(struct x); .sub, .max elements */
};

enum field_flags {
    FIELD_REQUIRED = 1,   /* in: must be there and not null (a string: not empty) */
    FIELD_NULLABLE = 2,   /* out: empty string / zero time / zero number prints null; in: null is allowed */
    FIELD_SECRET = 4,     /* never logged or printed by tables; wiped by record_wipe() */
    FIELD_OMIT = 8,       /* out: left out when empty or zero */
    FIELD_QUARANTINE = 16, /* FT_LIST: a bad row is refused alone (error with its path), the rest kept */
    FIELD_OUT_ONLY = 32,  /* never decoded */
    FIELD_ID = 64,        /* the column people select by */
    FIELD_WIDE = 128,     /* tables for people leave it out unless asked (-o wide) */
    FIELD_STATE = 256,    /* a word of how something is: tables for people paint it */
};

struct record;
struct field {
    const char *name; /* as on the wire */
    enum field_type type;
    uint32_t offset;
    uint32_t max;      /* bytes of a string, elements of a list; 0 for others */
    uint32_t max_each; /* bytes of one list or map element (default 1024 when 0) */
    uint32_t flags;
    int64_t min_value, max_value; /* numbers; both 0 = the type's own range */
    const struct name *names; /* FT_ENUM; on an FT_STR of a query: the words it takes, with commas (the handler looks) */
    const struct record *sub;
    const char *help;  /* one sentence: OpenAPI, docs */
    const char *column; /* heading in tables for people; NULL: the name in capitals */
    const char *usual; /* tables leave the column out where all rows say this, or nothing; may be NULL */
};

struct record {
    const char *name;
    size_t size;
    const struct field *fields;
    size_t n_fields;
    size_t seen_offset; /* of a struct seen, or SIZE_MAX */
};

#define F__IS(T, m, want) (0 * sizeof(_Generic(((T *)0)->m, want : 1)))
#define F__ROW(T, m, n, t, ...)                                                                    \
    { .name = (n), .type = (t), .offset = (uint32_t)offsetof(T, m), __VA_ARGS__ }
#define F_STR(T, m, n, max_, ...)                                                                  \
    F__ROW(T, m, n, FT_STR, .max = (uint32_t)((max_) + F__IS(T, m, struct str)), ##__VA_ARGS__)
#define F_BOOL(T, m, n, ...) F__ROW(T, m, n, FT_BOOL, .max = F__IS(T, m, bool), ##__VA_ARGS__)
#define F_I32(T, m, n, ...) F__ROW(T, m, n, FT_I32, .max = F__IS(T, m, int32_t), ##__VA_ARGS__)
#define F_U32(T, m, n, ...) F__ROW(T, m, n, FT_U32, .max = F__IS(T, m, uint32_t), ##__VA_ARGS__)
#define F_I64(T, m, n, ...) F__ROW(T, m, n, FT_I64, .max = F__IS(T, m, int64_t), ##__VA_ARGS__)
#define F_U64(T, m, n, ...) F__ROW(T, m, n, FT_U64, .max = F__IS(T, m, uint64_t), ##__VA_ARGS__)
#define F_F64(T, m, n, ...) F__ROW(T, m, n, FT_F64, .max = F__IS(T, m, double), ##__VA_ARGS__)
#define F_TIME(T, m, n, ...) F__ROW(T, m, n, FT_TIME, .max = F__IS(T, m, usec_t), ##__VA_ARGS__)
#define F_TIME_MS(T, m, n, ...) F__ROW(T, m, n, FT_TIME_MS, .max = F__IS(T, m, usec_t), ##__VA_ARGS__)
#define F_DURATION(T, m, n, ...) F__ROW(T, m, n, FT_DURATION, .max = F__IS(T, m, usec_t), ##__VA_ARGS__)
#define F_ENUM(T, m, n, names_, ...)                                                               \
    F__ROW(T, m, n, FT_ENUM, .max = F__IS(T, m, int), .names = (names_), ##__VA_ARGS__)
#define F_BYTES(T, m, n, max_, ...)                                                                \
    F__ROW(T, m, n, FT_BYTES, .max = (uint32_t)((max_) + F__IS(T, m, struct bytes)), ##__VA_ARGS__)
#define F_JSON(T, m, n, max_, ...)                                                                 \
    F__ROW(T, m, n, FT_JSON, .max = (uint32_t)((max_) + F__IS(T, m, struct json_text)), ##__VA_ARGS__)
#define F_STR_LIST(T, m, n, max_, each_, ...)                                                      \
    F__ROW(T, m, n, FT_STR_LIST, .max = (uint32_t)((max_) + F__IS(T, m, struct str_list)),         \
           .max_each = (each_), ##__VA_ARGS__)
#define F_MAP(T, m, n, max_, each_, ...)                                                           \
    F__ROW(T, m, n, FT_MAP, .max = (uint32_t)((max_) + F__IS(T, m, struct kv_list)),               \
           .max_each = (each_), ##__VA_ARGS__)
#define F_SUB(T, m, n, rec, ...) F__ROW(T, m, n, FT_SUB, .sub = (rec), ##__VA_ARGS__)
#define F_LIST(T, m, n, max_, rec, ...)                                                            \
    F__ROW(T, m, n, FT_LIST, .max = (max_), .sub = (rec), ##__VA_ARGS__)

#define RECORD(type, rows)                                                                         \
    { #type, sizeof(struct type), (rows), sizeof(rows) / sizeof((rows)[0]), SIZE_MAX }
/* For a struct with a member `struct seen seen`. */
#define RECORD_SEEN(type, rows)                                                                    \
    { #type, sizeof(struct type), (rows), sizeof(rows) / sizeof((rows)[0]), offsetof(struct type, seen) }

/* True if @obj's key @name was there; null counts only for _is_null. The record must have a seen member. */
bool field_is_present(const struct record *rec, const void *obj, const char *name);
bool field_is_null(const struct record *rec, const void *obj, const char *name);

#endif
