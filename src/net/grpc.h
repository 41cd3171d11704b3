/* net/grpc.h - gRPC over HTTP/2, server and client side: calls carry whole messages as bytes; protobuf is somebody
 * else's. Framing, deadlines, trailers per the gRPC-over-HTTP2 protocol. Loop thread. Calls are named by generation-
 * checked ids, as exchanges in http.h: calls on a dead id return -ENOTCONN. */
#ifndef MUSTER_NET_GRPC_H
#define MUSTER_NET_GRPC_H

#include "base/blob.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/tls_ctx.h"

enum grpc_status {
    GRPC_OK = 0, GRPC_CANCELLED = 1, GRPC_UNKNOWN = 2, GRPC_INVALID_ARGUMENT = 3, GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5, GRPC_ALREADY_EXISTS = 6, GRPC_PERMISSION_DENIED = 7, GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9, GRPC_ABORTED = 10, GRPC_UNIMPLEMENTED = 12, GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14, GRPC_UNAUTHENTICATED = 16,
};

/* Lent for the length of a callback. */
struct grpc_call_info {
    struct str path;               /* "/muster.v1.Fleet/Link" */
    struct kv_list metadata;       /* request headers, lower case */
    const struct net_peer *peer;
    const struct tls_peer *tls;    /* is_tls false on cleartext */
    usec_t deadline;               /* loop time, or USEC_NEVER */
};

/* -- server */
struct grpc_server_ops {
    /* A call begins. Return 0 to take it (and set *@ret_user), or a grpc_status with *@ret_message (static text) to refuse. */
    int (*open)(void *ctx, uint64_t call, const struct grpc_call_info *info, void **ret_user, const char **ret_message);
    void (*message)(void *ctx, uint64_t call, void *user, struct str msg); /* one whole message, lent */
    void (*half_close)(void *ctx, uint64_t call, void *user);             /* the client will send no more */
    /* Over, for whatever reason; always last. @why: lent; what ended it unasked (net.closed, net.reset, net.timeout: the connection's end;
     * net.cancelled: this call's), or empty: it was finished. */
    void (*closed)(void *ctx, uint64_t call, void *user, const struct err *why);
    void *ctx;
};
/* Sends response HEADERS now (otherwise with the first message). */
int grpc_accept(uint64_t call);
/* Queues one message (copied). Returns bytes now queued on the call, or -ENOTCONN. Bytes go out at the end of the turn,
 * many messages in one TLS record where they fit. */
int64_t grpc_send(uint64_t call, struct str msg);
int64_t grpc_queued(uint64_t call);
int grpc_on_drain(uint64_t call, void (*fn)(void *ctx, uint64_t call), void *ctx);
/* Ends the call with trailers (server). @message may be NULL. */
int grpc_finish(uint64_t call, enum grpc_status status, const char *message);
/* Stops / resumes reading from the peer of this call (flow control: its window is not refilled). */
int grpc_pause(uint64_t call, bool paused);

/* -- client: one connection, any number of calls */
struct grpc_client;
struct grpc_client_conf {
    const char *host;             /* name or address */
    uint16_t port;
    struct tls_ctx *tls;          /* NULL: cleartext prior knowledge */
    usec_t connect_timeout;       /* whole of DNS + TCP + TLS; 0 = 15 s */
    usec_t ping_every, ping_timeout; /* HTTP/2 PING keepalive; 0 = none */
};
struct grpc_client_ops {
    void (*connected)(void *ctx, const struct tls_peer *peer);
    /* The connection is gone or could not be made; the client may be freed inside. @err says why. */
    void (*disconnected)(void *ctx, const struct err *err);
    void *ctx;
};
struct grpc_client_call_ops {
    void (*message)(void *ctx, uint64_t call, struct str msg);
    /* Over: status and message from trailers, GRPC_UNAVAILABLE when the connection broke. Always last. */
    void (*finished)(void *ctx, uint64_t call, int status, struct str message);
    void *ctx;
};
/* Starts connecting; callbacks come later, never from inside. */
struct grpc_client *grpc_client_new(struct loop *l, const struct grpc_client_conf *conf,
                                    const struct grpc_client_ops *ops);
/* Closes at once, no callbacks. NULL is a no-op. */
void grpc_client_free(struct grpc_client *c);
DEFINE_AUTO(struct grpc_client *, grpc_client_free)
/* Opens a call on a connected client; 0 and its id, or -ENOTCONN. @metadata may be NULL; @timeout 0: none. */
int grpc_client_call(struct grpc_client *c, const char *path, const struct kv_list *metadata, usec_t timeout,
                     const struct grpc_client_call_ops *ops, uint64_t *ret_call);
/* grpc_send, grpc_queued, grpc_on_drain work on client calls too. */
int grpc_half_close(uint64_t call);
int grpc_cancel(uint64_t call);
/* Where it is connected from: the local address towards the server. */
const struct net_peer *grpc_client_local(const struct grpc_client *c);

#endif
