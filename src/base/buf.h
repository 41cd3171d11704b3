/* base/buf.h - struct buf: owned growable bytes whose maximum is fixed at birth.
 *
 * All-zero is a valid empty buffer with maximum 0 (nothing fits). Growth beyond the maximum fails with
 * -ENOBUFS and changes nothing; running out of memory below it aborts. One thread at a time. */
#ifndef MUSTER_BUF_H
#define MUSTER_BUF_H

#include <stdarg.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/str.h"

struct buf {
    uint8_t *ptr;
    size_t len, cap, max;
};

/* An empty buffer for at most @max bytes; allocates nothing yet. */
#define BUF(max_) ((struct buf){ .max = (max_) })
/* Releases the bytes (wiping them first with buf_done_secret) and leaves an all-zero buffer. */
void buf_done(struct buf *b);
void buf_done_secret(struct buf *b);
DEFINE_AUTO_VALUE(struct buf, buf_done)
DEFINE_AUTO_VALUE(struct buf, buf_done_secret)

/* All return 0, or -ENOBUFS with @b unchanged. */
int buf_append(struct buf *b, const void *p, size_t n);
int buf_str(struct buf *b, struct str s);
int buf_cstr(struct buf *b, const char *s);
int buf_char(struct buf *b, char c);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
int buf_le32(struct buf *b, uint32_t v);
int buf_be32(struct buf *b, uint32_t v);
int buf_le64(struct buf *b, uint64_t v);

/* Makes room for @n more bytes and lends the place; buf_commit() accepts what was written there. */
int buf_reserve(struct buf *b, size_t n, uint8_t **lend);
void buf_commit(struct buf *b, size_t n);

/* Forgets the first @n bytes (n <= len). */
void buf_consume(struct buf *b, size_t n);
/* Keeps the memory, forgets the content. */
void buf_reset(struct buf *b);
/* Gives memory beyond @keep bytes of capacity back (only when empty). */
void buf_trim(struct buf *b, size_t keep);

/* The content; valid until the next change. */
static inline struct str buf_as_str(const struct buf *b)
{
    return str_bytes(b->ptr, b->len);
}
/* Content as C string: NUL-terminates (not counted; the buffer keeps a byte for it beyond its maximum). */
const char *buf_as_cstr(struct buf *b);

#endif
