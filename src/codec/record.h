/* codec/record.h - walks a record table (base/field.h) both ways: tree -> struct, struct -> JSON. No I/O. */
#ifndef MUSTER_CODEC_RECORD_H
#define MUSTER_CODEC_RECORD_H

#include "base/arena.h"
#include "base/field.h"
#include "codec/json.h"

/* All errors of one document, with paths ("lifecycle.timeout", "rows[3].port"). */
struct record_errors {
    struct {
        char path[ERR_PATH_MAX];
        char slug[ERR_SLUG_MAX]; /* field.required, field.type, field.too_long, field.range, field.enum, ... */
        char text[128];
    } v[32];
    size_t n;         /* stored; */
    size_t n_total;   /* seen */
    size_t n_unknown; /* unknown keys, ignored and counted */
    size_t n_quarantined; /* rows refused in FIELD_QUARANTINE lists */
};

/* Fills @obj (zeroed first) from the map @n. Strings borrow from the arena. Returns 0, or -EINVAL when any error
 * outside quarantined rows was found: @errs (not NULL) has them all and @obj is not to be used. */
int record_decode(const struct record *rec, struct arena *a, const struct node *n, void *obj,
                  struct record_errors *errs);
/* Text in one go: json_parse + record_decode; syntax errors also land in @err, field errors as "field.*" with the
 * first path, and "(and N more)". An empty text counts as {}. */
int record_decode_json(const struct record *rec, struct arena *a, struct str text, size_t max_bytes, void *obj,
                       struct record_errors *errs, struct err *err);

/* One more error of the document, found by a rule that no table has: path, slug and sentence of @err. */
void record_errors_add(struct record_errors *errs, const struct err *err);

/* Writes @obj as a JSON object value. */
void record_write(const struct record *rec, const void *obj, struct jw *w);
/* Only the members, for adding more to an open map. */
void record_write_members(const struct record *rec, const void *obj, struct jw *w);
/* One field as text for people (tables): appended. Times as age if @now is not 0. 0 or -ENOBUFS. */
int record_cell(const struct field *f, const void *obj, usec_t now, struct buf *out);
/* Overwrites FIELD_SECRET strings (in the arena). */
void record_wipe(const struct record *rec, void *obj);
/* JSON Schema (OpenAPI 3.1) of the record. */
void record_schema(const struct record *rec, struct jw *w);

#endif
