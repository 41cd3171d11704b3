/* net/listen.h - listening sockets; each kind of port sniffs the first byte (0x16 = TLS) where the house says so.
 * Starts are paced to handshake capacity (LIMIT_HANDSHAKES in flight; the rest wait, accepted but not started, up to
 * LIMIT_WAITING_CONNS; then in the backlog). Loop thread. */
#ifndef MUSTER_NET_LISTEN_H
#define MUSTER_NET_LISTEN_H

#include "net/grpc.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/tls_ctx.h"
#include "net/ws.h"

struct listener;

struct listen_conf {
    const char *addr;       /* "127.0.0.1", "0.0.0.0", "::"; or NULL with unix_path */
    uint16_t port;
    const char *unix_path;  /* mode 0660; a stale socket is replaced, a live one is -EADDRINUSE */
    struct tls_ctx *tls;    /* NULL: no TLS on this port */
    bool allow_plain;       /* cleartext allowed at all */
    bool plain_loopback_only; /* cleartext only where the listener is bound to loopback, else answered with an error */
    int backlog;            /* 0: somaxconn */
    size_t max_conns;       /* 0: derived from RLIMIT_NOFILE */
    uint32_t tag;           /* handed on in http_req.listener_tag */
};

/* 0 and *@ret; -EADDRINUSE, -EACCES, ... and @err ("listen.in_use": names the port). One of the three kinds: */
int listen_http(struct loop *l, const struct listen_conf *conf, const struct http_server_ops *ops, struct listener **ret,
                struct err *err);
int listen_grpc(struct loop *l, const struct listen_conf *conf, const struct grpc_server_ops *ops, struct listener **ret,
                struct err *err);
/* WebSocket only: other requests get 426. */
int listen_ws(struct loop *l, const struct listen_conf *conf, const struct ws_server_ops *ops, struct listener **ret,
              struct err *err);
/* New connections use @tls from now on. */
void listener_set_tls(struct listener *li, struct tls_ctx *tls);
uint16_t listener_port(const struct listener *li); /* the real one when 0 was asked */
/* Stops accepting; open connections go on. */
void listener_stop(struct listener *li);
/* HTTP/2: GOAWAY on all connections of the listener; HTTP/1: close after the current reply. */
void listener_drain(struct listener *li);
size_t listener_conns(const struct listener *li);
/* Pauses reading from all connections (store behind), and resumes. */
void listener_pause_reads(struct listener *li, bool paused);
void listener_free(struct listener *li); /* closes everything */
DEFINE_AUTO(struct listener *, listener_free)

/* Counters of the whole of net, for /metrics. */
struct net_stats {
    uint64_t accepted, handshakes, handshake_failures, closed, http_requests, grpc_calls, ws_conns, bytes_in, bytes_out,
        protocol_errors;
    uint64_t conns, handshakes_in_flight;
};
extern struct net_stats net_stats;

#endif
