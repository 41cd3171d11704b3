/* server/health.c - see health.h. */
#include "server/health.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

void health_init(struct health *h)
{
    const char *path = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC"),
               *pid = getenv("WATCHDOG_PID");
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    size_t len = path ? strlen(path) : 0;
    uint64_t v;

    *h = (struct health){ .fd = -1 };
    if (len > 1 && len < sizeof(to.sun_path) && (path[0] == '/' || path[0] == '@')) {
        memcpy(to.sun_path, path, len);
        if (path[0] == '@')
            to.sun_path[0] = '\0'; /* an abstract socket */
        h->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (h->fd >= 0 && connect(h->fd, (struct sockaddr *)&to,
                                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
            fd_close(&h->fd);
    }
    if (h->fd >= 0 && usec && str_to_u64(str_of(usec), &v) == 0 &&
        (!pid || (str_to_u64(str_of(pid), &h->fed_turn) == 0 && h->fed_turn == (uint64_t)getpid())))
        h->watchdog = v;
    h->fed_turn = 0;
    (void)unsetenv("NOTIFY_SOCKET"); /* not for children */
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
}

void health_done(struct health *h)
{
    fd_close(&h->fd);
}

void health_notify(const struct health *h, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    int n;

    if (h->fd < 0)
        return;
    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n > 0)
        (void)!send(h->fd, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1, MSG_NOSIGNAL);
}

void health_feed(struct health *h, usec_t now, uint64_t n_turns, usec_t store_alive)
{
    if (h->watchdog == 0 || now - h->last_feed < h->watchdog / 3)
        return;
    if (n_turns == h->fed_turn || now - store_alive > h->watchdog)
        return;
    h->last_feed = now;
    h->fed_turn = n_turns;
    health_notify(h, "WATCHDOG=1");
}
