/* tests/unit/net/raw.h - a client that is nothing but a socket. */
#ifndef TEST_NET_RAW_H
#define TEST_NET_RAW_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "lib.h"

static inline int raw_open(uint16_t port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(fd_set_nonblock(fd), 0);
    return fd;
}

static inline void raw_send(int fd, struct str s)
{
    assert_int_equal(send(fd, s.ptr, s.len, MSG_NOSIGNAL), s.len);
}

/* Appends what has come; false at the end of the stream. */
static inline bool raw_recv(int fd, struct buf *b)
{
    char p[4096];
    ssize_t n = recv(fd, p, sizeof(p), 0);

    if (n > 0)
        buf_append(b, p, (size_t)n);
    return n > 0 || (n < 0 && errno == EAGAIN);
}

/* Turns @l until the peer closed; all it said. */
static inline struct buf raw_all(struct loop *l, int fd)
{
    struct buf b = BUF(16 << 20);

    TURN_UNTIL(l, !raw_recv(fd, &b));
    return b;
}

/* Turns @l until @want was said. */
static inline struct buf raw_until(struct loop *l, int fd, const char *want)
{
    struct buf b = BUF(16 << 20);

    TURN_UNTIL(l, (assert_true(raw_recv(fd, &b)), str_find(buf_as_str(&b), str_of(want)) >= 0));
    return b;
}

#endif
