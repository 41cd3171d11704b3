/* net/outq.h - bytes waiting to be sent: small pieces are copied together, blobs are referenced. Empty costs nothing.
 * Loop thread. */
#ifndef MUSTER_NET_OUTQ_H
#define MUSTER_NET_OUTQ_H

#include "base/blob.h"

struct outq_seg;
/* All-zero is empty. */
struct outq {
    struct outq_seg *head, *tail;
    size_t len;
};
void outq_bytes(struct outq *q, const void *p, size_t n);
static inline void outq_str(struct outq *q, struct str s)
{
    outq_bytes(q, s.ptr, s.len);
}
/* Takes its own reference. */
void outq_blob(struct outq *q, struct blob *b);
/* Moves up to @room bytes to @dst; how many. */
size_t outq_take(struct outq *q, uint8_t *dst, size_t room);
void outq_done(struct outq *q);

#endif
