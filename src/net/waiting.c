/* net/waiting.c - see waiting.h. */
#include "net/waiting.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <utlist.h>

#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/listen.h"

enum { START_BATCH = 64 };

struct waiter {
    struct waiter *prev, *next;
    usec_t since;
    int fd;
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } from;
};

int waiting_open(struct waiting *r)
{
    *r = (struct waiting){ .fd = epoll_create1(EPOLL_CLOEXEC) };
    return r->fd < 0 ? -errno : 0;
}

void waiting_push(struct waiting *r, int fd, const struct sockaddr *sa, usec_t now)
{
    struct waiter *w = xnew0(struct waiter);
    struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = w };

    w->since = now;
    w->fd = fd;
    memcpy(&w->from, sa, sa->sa_family == AF_INET6 ? sizeof(w->from.in6) : sizeof(w->from.in));
    DL_APPEND(r->first, w);
    r->n++;
    if (epoll_ctl(r->fd, EPOLL_CTL_ADD, fd, &ev) < 0) /* no memory: it is closed when its time is up */
        log_debug("listen.waiting", "a connection cannot be watched");
}

/* Takes @w out; its descriptor is the caller's. */
static int take(struct waiting *r, struct waiter *w)
{
    int fd = w->fd;

    (void)epoll_ctl(r->fd, EPOLL_CTL_DEL, fd, NULL);
    DL_DELETE(r->first, w);
    r->n--;
    free(w);
    return fd;
}

static void drop(struct waiting *r, struct waiter *w)
{
    int fd = take(r, w);

    net_stats.handshake_failures++;
    fd_close(&fd);
}

void waiting_close(struct waiting *r)
{
    while (r->n > 0) {
        int fd = take(r, r->first);

        fd_close(&fd);
    }
    fd_close(&r->fd);
}

static bool has_left(const struct waiting *r, uint32_t events)
{
    return (events & (EPOLLERR | EPOLLHUP)) || ((events & EPOLLRDHUP) && !r->may_half_close);
}

bool waiting_start(struct waiting *r, const struct waiting_ops *ops)
{
    struct epoll_event ev[START_BATCH];

    while (r->n > 0) {
        int n = epoll_wait(r->fd, ev, START_BATCH, 0);

        if (n <= 0)
            return true;
        for (int i = 0; i < n; i++) {
            struct waiter *w = ev[i].data.ptr;
            struct waiter copy = *w;

            if (has_left(r, ev[i].events)) {
                drop(r, w);
                continue;
            }
            if (!ops->may_start(ops->ctx, w->since))
                return false;
            ops->start(ops->ctx, take(r, w), &copy.from.sa);
        }
    }
    return false;
}

void waiting_expire(struct waiting *r, usec_t now)
{
    while (r->n > 0 && now - r->first->since > LIMIT_WAITING_MS * USEC_PER_MS)
        drop(r, r->first);
}

void waiting_evict(struct waiting *r, usec_t now, usec_t silence, size_t max)
{
    size_t n = 0;
    struct waiter *w, *next;

    DL_FOREACH_SAFE(r->first, w, next)
    {
        struct pollfd p = { .fd = w->fd, .events = POLLIN };

        if (n++ == max || now - w->since <= silence)
            return;
        if (poll(&p, 1, 0) == 0)
            drop(r, w);
    }
}
