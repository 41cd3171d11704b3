/* net/http2.h - an HTTP/2 connection (nghttp2) that carries gRPC calls, server or client side. Loop thread. */
#ifndef MUSTER_NET_HTTP2_H
#define MUSTER_NET_HTTP2_H

#include <nghttp2/nghttp2.h>

#include "base/limits.h"
#include "net/conn.h"
#include "net/grpc.h"
#include "net/grpc_frame.h"
#include "net/outq.h"

struct call;
struct grpc_client;

/* Keepalive of server connections. A link that said nothing for 11 s is asked (agents speak every 10 s, so a healthy
 * fleet is never asked), and is gone when nothing at all came in the 17 s after: 28.25 s in the worst case, with the
 * wheel's tick. */
enum { H2_PING_EVERY_MS = 11000, H2_PING_TIMEOUT_MS = 17000 };
/* A connection without any call is closed in order after this long. */
enum { H2_IDLE_MS = 300000, H2_IDLE_NOAUTH_MS = 60000 };
/* Frames that carry nothing (SETTINGS, PING, empty DATA) in 10 s. nghttp2 skips PRIORITY by itself. */
enum { H2_NOISE_MAX = 1000, H2_RATE_WINDOW_MS = 10000 };
/* Header block of one request, counted as RFC 9113 section 6.5.2 does. */
enum { H2_HEADER_LIST_MAX = 16 << 10, H2_HEADERS_MAX = 100 };
/* Message bytes that may wait for their rest, of all calls of one connection. */
enum { H2_PARTIAL_MAX = 2 * LIMIT_GRPC_MESSAGE, H2_PARTIAL_NOAUTH_MAX = 256 << 10 };

/* A header block while it comes in. */
struct h2_head {
    struct buf bytes;
    struct kv kv[H2_HEADERS_MAX]; /* ptr holds the offset into bytes until the block is complete */
    size_t n, total;
    bool is_too_big;
};

struct h2 {
    struct conn *c;
    nghttp2_session *ng;
    struct call *calls;
    uint32_t n_calls;
    bool is_client, is_draining, is_dead, has_settings, is_bad_magic, may_plain, owes_magic;
    const struct grpc_server_ops *ops; /* server */
    const struct err *why;             /* lent while the calls end with their connection */
    struct grpc_client *client;        /* client; NULL once freed */
    struct h2_head *head;
    usec_t ping_every, ping_timeout, ping_at; /* ping_at: when the one on its way was sent; 0 none */
    usec_t quiet_since;                       /* without calls since */
    usec_t rate_start;
    uint32_t n_resets, n_noise;
    size_t partial, partial_max;
};

/* One stream: a gRPC call. */
struct call {
    uint64_t id;
    struct h2 *h2;
    struct call *next, **pprev;
    struct wheel_entry deadline;
    struct grpc_reader reader;
    struct outq out;
    void *user;                              /* server */
    const struct grpc_client_call_ops *cops; /* client; copied */
    void (*drain)(void *ctx, uint64_t call);
    void *drain_ctx;
    char *message; /* of the trailers, either way */
    size_t unconsumed;
    int32_t stream_id;
    int16_t status; /* -1: not known yet */
    int16_t http_status;
    bool is_opened;    /* the user knows of it */
    bool is_started;   /* HEADERS are on their way */
    bool is_ending;    /* no more messages from us */
    bool is_deferred;  /* nghttp2 waits for nghttp2_session_resume_data() */
    bool is_paused, is_over;
};

/* Takes @c over (its proto is the session from now on). Server: */
struct h2 *h2_new_server(struct conn *c, const struct grpc_server_ops *ops);
struct h2 *h2_new_client(struct conn *c, struct grpc_client *client);
extern const struct conn_ops h2_conn_ops;
/* No new calls; those that run may end. */
void h2_drain(struct h2 *h);
/* GOAWAY with @code and close. */
void h2_terminate(struct h2 *h, uint32_t code);

/* grpc.c: what the session tells the calls. */
void grpc__head(struct h2 *h, int32_t stream_id, const struct kv_list *headers, bool is_too_big);
void grpc__data(struct call *call, struct str data);
void grpc__peer_end(struct call *call);
void grpc__closed(struct call *call, uint32_t h2_error);
size_t grpc__read(struct call *call, uint8_t *dst, size_t room, bool *ret_end);
struct call *grpc__call_new(struct h2 *h, int32_t stream_id);
void grpc__call_free(struct call *call);
struct call *grpc__open(struct h2 *h, const char *authority, const char *path, const struct kv_list *metadata,
                        usec_t timeout, const struct grpc_client_call_ops *ops);
/* grpc_client.c: */
void grpc__client_ready(struct grpc_client *client);
void grpc__client_gone(struct grpc_client *client, const struct err *why);

#endif
