/* codec/query.h - query strings and forms into kv lists and records. No I/O. */
#ifndef MUSTER_CODEC_QUERY_H
#define MUSTER_CODEC_QUERY_H

#include "base/arena.h"
#include "base/field.h"
#include "codec/record.h"

/* Decodes "a=1&b=x%20y" into the arena, in order, repeats kept, at most LIMIT_QUERY_PARAMS. 0, -EINVAL (bad
 * escape, NUL, not UTF-8), -E2BIG. */
int query_parse(struct arena *a, struct str query, struct kv_list *ret);
/* First value of @key, or {NULL,0}. */
struct str query_get(const struct kv_list *q, const char *key);
/* Into a record: every value is a bare scalar; list fields take repeats and commas; FT_MAP field "label" takes
 * repeats of label=k=v and label.k=v. Same errors as record_decode. */
int query_decode(const struct record *rec, struct arena *a, const struct kv_list *q, void *obj,
                 struct record_errors *errs);
/* Percent-decodes one path segment into the arena; -EINVAL for bad escapes, NUL, '/', "." and "..". */
int path_segment_decode(struct arena *a, struct str seg, struct str *ret);
/* Appends percent-encoded (RFC 3986 unreserved kept). */
int url_encode(struct buf *out, struct str s);

#endif
