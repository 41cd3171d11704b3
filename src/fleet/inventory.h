/* fleet/inventory.h - sections: digests, deltas, folding. Pure; both halves use it (the agent to make deltas, the server to
 * check and fold them). wire/facts.h defines row and digest.
 *
 * A body is a section as sorted rows in one run of bytes: repeated { u32 key length, u32 json length, key, json }, little-
 * endian, ascending by key. It is what the store keeps. */
#ifndef MUSTER_FLEET_INVENTORY_H
#define MUSTER_FLEET_INVENTORY_H

#include "base/buf.h"
#include "base/err.h"
#include "wire/facts.h"

/* h(row) as in wire/facts.h. */
void fact_row_hash(const struct fact_row *row, struct fact_digest *ret);
void fact_digest_add(struct fact_digest *d, const struct fact_digest *h);
void fact_digest_sub(struct fact_digest *d, const struct fact_digest *h);
bool fact_digest_eq(const struct fact_digest *a, const struct fact_digest *b);

/* Sorts @rows by key in place and appends them to @body. -EINVAL on a doubled key ("field.duplicate"); -ENOBUFS when @body or
 * a cap (LIMIT_SECTION_ROWS, LIMIT_SECTION_BYTES, LIMIT_ROW_BYTES for key and JSON together, keys not empty) says no
 * ("field.too_long"). On failure @body is as before. */
int body_make(struct fact_row *rows, size_t n, struct buf *body, struct err *err);
/* Walks a body: *@pos starts at 0; 1 and the row (borrowed), 0 at the end, -EBADMSG when malformed. */
int body_next(struct str body, size_t *pos, struct fact_row *ret);
/* 0 or -EBADMSG: well formed, sorted, within caps. */
int body_check(struct str body);
void body_digest(struct str body, struct fact_digest *ret);
size_t body_count(struct str body);

/* What changed from @old to @new (bodies): calls @fn per change in key order. @before or @after has {NULL,0} json when the row
 * appeared or went. */
typedef void (*body_diff_fn)(void *ctx, struct str key, struct str before, struct str after);
void body_diff(struct str old_body, struct str new_body, body_diff_fn fn, void *ctx);

/* A delta as stored: repeated { u8 op ('+' put, '-' remove), u32 key length, u32 json length, key, json }, removals first; the
 * later word on a key wins. 0, or -ENOBUFS with @out as before (it is full, or a row breaks LIMIT_ROW_BYTES). */
int delta_encode(const struct section_delta *d, struct buf *out);
/* One more word. A '-' may carry the JSON that was there (history does); applying ignores it. As delta_encode. */
int delta_add(struct buf *out, char op, struct str key, struct str json);
int delta_next(struct str delta, size_t *pos, char *ret_op, struct fact_row *ret);
/* @body + @delta -> @out (a body, appended). Removing what is not there is no error: the digest tells. 0, or with @out as before
 * -EBADMSG (malformed), -ENOBUFS (@out or the caps of body_make). */
int body_apply(struct str body, struct str delta, struct buf *out);
/* As body_apply for @n deltas, oldest first, in one pass over @body. */
int body_apply_all(struct str body, const struct str *deltas, size_t n, struct buf *out);

/* Server side: may this delta be taken on top of what is recorded? */
enum delta_verdict { DELTA_TAKE, DELTA_TAKE_SAME, DELTA_RESYNC };
/* FULL: take when its digest is right for its rows. Delta: take when base == recorded; TAKE_SAME when digest == recorded (a
 * repeat after a break); else RESYNC. */
enum delta_verdict delta_judge(const struct section_delta *d, bool has_recorded, const struct fact_digest *recorded);
/* True if @d->digest is the digest of its rows (full). */
bool delta_digest_is_right(const struct section_delta *d);

#endif
