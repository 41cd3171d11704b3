/* net/listen_socket.h - one listening socket, TCP or unix (private to net/). Loop thread. */
#ifndef MUSTER_NET_LISTEN_SOCKET_H
#define MUSTER_NET_LISTEN_SOCKET_H

#include "net/listen.h"

struct listen_socket {
    int fd; /* -1: closed */
    uint16_t port; /* the real one; 0 for a unix socket */
    bool is_unix, is_loopback; /* a unix socket is loopback too */
    char *unix_path; /* its file, while that is ours to remove */
};

/* Binds and listens where @conf says; what is accepted has TCP_NODELAY. A unix socket gets mode 0660, and replaces a file
 * nobody listens behind. 0 and fills *@ret, to be ended with listen_socket_close(); else the negative errno, @err
 * ("listen.in_use" names the port), and *@ret is closed. */
int listen_socket_open(const struct listen_conf *conf, struct listen_socket *ret, struct err *err);
/* Closes it and removes its file; again is a no-op. */
void listen_socket_close(struct listen_socket *s);
/* Fills @err with what listening by @conf failed of: -errno in @code, returned. */
int listen__fail(struct err *err, const struct listen_conf *conf, int code);

#endif
