/* hold/serve.c - the socket of a hold; see proto.h for its words. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "hold/hold.h"

void hold_listen(struct hold *h)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return;
    /* A state directory's path may be longer than a socket address holds; this one never is. */
    (void)snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/sock", h->dir_fd);
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, HOLD_CONNS) < 0) {
        (void)close(fd);
        return;
    }
    h->listen_fd = fd;
}

void hold_accept(struct hold *h)
{
    int fd = accept4(h->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    for (int i = 0; i < HOLD_CONNS; i++)
        if (h->conns[i] < 0) {
            h->conns[i] = fd;
            h->is_state_due = true;
            h->state_sent_at = 0;
            return;
        }
    (void)close(fd);
}

void hold_receive(struct hold *h, int i)
{
    union {
        struct hold_head head;
        uint8_t bytes[HOLD_PACKET_MAX];
    } p;
    ssize_t n = recv(h->conns[i], &p, sizeof(p), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) { /* this agent is gone; another will come */
        fd_close(&h->conns[i]);
        return;
    }
    if ((size_t)n < sizeof(p.head))
        return;
    switch (p.head.kind) {
    case HOLD_CANCEL:
        hold_stop(h, STOP_CANCEL, p.head.a);
        break;
    case HOLD_INPUT:
        if (p.head.a > h->in_size)
            h->in_size = p.head.a;
        if (p.head.b == 1)
            h->is_in_whole = true;
        break;
    case HOLD_SIGNAL:
        if (p.head.a > 0 && p.head.a < (uint64_t)SIGRTMAX)
            hold_signal(h, (int)p.head.a);
        break;
    default: /* from a newer agent */
        break;
    }
}

uint64_t hold_tell(struct hold *h, uint64_t now)
{
    struct {
        struct hold_head head;
        struct hold_state state;
    } p = {
        .head = { .kind = HOLD_STATE, .len = sizeof(p.state) },
        .state = { h->streams[0].kept, h->streams[1].kept, h->streams[0].total, h->streams[1].total, h->started_at_us,
                   h->is_started ? (uint32_t)h->pid : 0, h->is_done },
    };
    bool is_behind = false;

    if (!h->is_state_due)
        return 0;
    if (!h->is_done && now < h->state_sent_at + HOLD_STATE_EVERY_US)
        return h->state_sent_at + HOLD_STATE_EVERY_US;

    for (int i = 0; i < HOLD_CONNS; i++)
        if (h->conns[i] >= 0 && send(h->conns[i], &p, sizeof(p), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EAGAIN)
            is_behind = true;
    h->state_sent_at = now;
    h->is_state_due = is_behind;
    return is_behind ? now + HOLD_STATE_EVERY_US : 0;
}
