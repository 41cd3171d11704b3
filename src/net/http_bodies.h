/* net/http_bodies.h - the request bodies that all connections of the process hold, and their common cap.
 *
 * Each body has a cap of its own, but nobody counts how many there are: thousands of slow senders would add up. Where a body
 * would grow beyond @max_bytes together with all others, its request is refused. The loop's thread only. */
#ifndef MUSTER_NET_HTTP_BODIES_H
#define MUSTER_NET_HTTP_BODIES_H

#include "base/buf.h"

struct http_bodies {
    size_t held_bytes, max_bytes; /* max: LIMIT_HTTP_BODIES; tests lower it */
    size_t peak_bytes;            /* the most that was held since nothing was */
};
extern struct http_bodies http_bodies;

/* Appends @piece to @body. 0; 413 beyond the body's own maximum; 503 beyond that of all. Then @body is as it was. */
int http_bodies_grow(struct buf *body, struct str piece);
/* Releases @body. The last of a flood gives the heap back to the system. */
void http_bodies_drop(struct buf *body);

#endif
