/* tests/fuzz/fuzz_net_conn.h - a connection that is fed by hand, for the fuzz targets of net's protocols. */
#ifndef FUZZ_NET_CONN_H
#define FUZZ_NET_CONN_H

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/conn.h"

static struct loop *fuzz_loop;
static int fuzz_peer = -1;

static inline void fuzz_no_closed(struct conn *c, const struct err *why)
{
    (void)c, (void)why;
}

/* A fresh connection; what it sends goes to fuzz_peer. */
static inline struct conn *fuzz_conn(void)
{
    static const struct conn_ops none = { .closed = fuzz_no_closed };
    int fd[2];

    if (!fuzz_loop)
        fuzz_loop = loop_new();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) < 0)
        return NULL;
    fuzz_peer = fd[1];
    return conn_new(fuzz_loop, fd[0], &none, NULL);
}

/* Feeds @s in pieces of @step with a turn after each, then ends the connection. */
static inline void fuzz_run(struct conn *c, struct str s, size_t step)
{
    char sink[65536];

    while (s.len > 0 && c->state == CONN_OPEN) {
        struct str piece = str_sub(s, 0, step);

        conn_feed(c, (const uint8_t *)piece.ptr, piece.len);
        s = str_sub(s, piece.len, SIZE_MAX);
        conn__reap(fuzz_loop);
        net_flush(fuzz_loop);
        if (s.len > 0 && fuzz_loop->closing)
            break;
        while (recv(fuzz_peer, sink, sizeof(sink), 0) > 0)
            ;
    }
    conn_close(c, NULL);
    conn__reap(fuzz_loop);
    close(fuzz_peer);
    loop_poll(fuzz_loop);
}

#endif
