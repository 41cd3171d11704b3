/* net/http_bodies.c - see http_bodies.h. */
#include "net/http_bodies.h"

#include <malloc.h>

#include "base/limits.h"

/* So much at once is a flood: what the allocator keeps of it would be kept for ever, and is worth a walk over the heap. */
enum { FLOOD_BYTES = 16 << 20 };

struct http_bodies http_bodies = { .max_bytes = LIMIT_HTTP_BODIES };

int http_bodies_grow(struct buf *body, struct str piece)
{
    struct http_bodies *h = &http_bodies;

    if (piece.len > h->max_bytes - h->held_bytes)
        return 503;
    if (buf_str(body, piece) < 0)
        return 413;
    h->held_bytes += piece.len;
    if (h->held_bytes > h->peak_bytes)
        h->peak_bytes = h->held_bytes;
    return 0;
}

void http_bodies_drop(struct buf *body)
{
    struct http_bodies *h = &http_bodies;

    h->held_bytes -= body->len;
    buf_done(body);
    if (h->held_bytes > 0)
        return;
    if (h->peak_bytes >= FLOOD_BYTES)
        (void)malloc_trim(0);
    h->peak_bytes = 0;
}
