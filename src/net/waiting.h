/* net/waiting.h - connections that were accepted and not started (private to net/). Loop thread.
 *
 * A row of ours: a descriptor, an address, an entry in an epoll set, nothing else. Left in the kernel's backlog they would
 * fill it (somaxconn, 4096), and whoever comes then is dropped and tries again after 1, 3 and 7 s: 10,000 agents took twice
 * as long to come back as their handshakes do. The set says who has spoken, in that order; only those start, so silence
 * takes no place and waits for its end. How many there may be is the owner's to keep. */
#ifndef MUSTER_NET_WAITING_H
#define MUSTER_NET_WAITING_H

#include <sys/socket.h>

#include "base/clock.h"

struct waiter;
struct waiting {
    struct waiter *first; /* the oldest */
    size_t n;
    int fd; /* epoll, to be watched: readable when somebody has spoken or left; -1: closed */
    bool may_half_close; /* a plain HTTP client may close its half behind the request: that is not leaving */
};

struct waiting_ops {
    bool (*may_start)(void *ctx, usec_t since); /* one who has waited since then */
    void (*start)(void *ctx, int fd, const struct sockaddr *sa); /* @fd changes hands */
    void *ctx;
};

/* Opens an empty row. 0, or -errno. */
int waiting_open(struct waiting *r);
/* Closes all who wait, and the set; again is a no-op. */
void waiting_close(struct waiting *r);
/* Takes @fd, of the peer @sa, into the row. */
void waiting_push(struct waiting *r, int fd, const struct sockaddr *sa, usec_t now);
/* Starts those who have spoken while ops->may_start(). True: there are more places than those. */
bool waiting_start(struct waiting *r, const struct waiting_ops *ops);
/* Closes those who have waited longer than LIMIT_WAITING_MS. */
void waiting_expire(struct waiting *r, usec_t now);
/* Looks at the oldest, @max at most, who have waited longer than @silence, and closes those who have said nothing. */
void waiting_evict(struct waiting *r, usec_t now, usec_t silence, size_t max);

#endif
