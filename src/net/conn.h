/* net/conn.h - one connection: socket, TLS or not, deadline, back-pressure. Loop thread.
 *
 *     recv -> [TLS] -> ops->input            a protocol (HTTP/1, HTTP/2, WebSocket) eats plain bytes
 *     ops->output -> [TLS] -> send           and is asked for bytes at the end of the turn, if it called conn_dirty()
 *
 * Output is *pulled*: while the kernel takes no more, nobody is asked, and what waits stays in the protocol's own
 * queue, where it is counted. At most one flush (about 64 KiB) waits below TLS.
 *
 * Life: conn_close() makes the connection deaf and dumb at once; ops->closed() follows before the turn ends, never from
 * inside another callback, and is the last one. The struct is freed after it. */
#ifndef MUSTER_NET_CONN_H
#define MUSTER_NET_CONN_H

#include "net/http.h"
#include "net/loop_priv.h"
#include "net/tls_ctx.h"

struct tls;
struct listener;

enum conn_state {
    CONN_OPEN,
    CONN_FINISHING, /* writes what is queued, then says goodbye */
    CONN_LINGERING, /* said goodbye; reads and forgets until the peer closes, so our last words are not lost to a RST */
    CONN_CLOSED,
};

/* Room ops->output() can count on. */
enum { CONN_OUT_ROOM = 32 << 10 };

struct conn_ops {
    /* Plain bytes, lent. May still come once or twice after conn_pause() (what was received already). */
    void (*input)(struct conn *c, struct str plain);
    /* The peer will send no more. NULL: closes. */
    void (*eof)(struct conn *c);
    /* Puts up to @room (>= CONN_OUT_ROOM) bytes at @dst; 0: nothing more. */
    size_t (*output)(struct conn *c, uint8_t *dst, size_t room);
    void (*ready)(struct conn *c); /* TLS is up. May be NULL */
    void (*deadline)(struct conn *c);
    void (*kick)(struct conn *c); /* see conn_kick(). May be NULL */
    void (*closed)(struct conn *c, const struct err *why);
};

struct conn {
    uv_poll_t poll;
    struct loop *loop;
    const struct conn_ops *ops;
    void *proto; /* of ops */
    struct tls *tls;
    struct listener *owner; /* NULL: outbound */
    struct conn *next, **pprev; /* of the owner's list */
    struct conn *dirty_next, *closing_next, *kicked_next;
    struct conn *held_prev, *held_next; /* of the owner's list; held_prev is NULL for one that is not held */
    struct wheel_entry wheel;
    uint8_t *pend; /* bytes below TLS the kernel did not take */
    size_t pend_off, pend_len;
    usec_t last_rx;    /* loop time of the last bytes in */
    usec_t stalled_at; /* since when pend makes no progress */
    usec_t born, since; /* since: when it was held; later: when it had its answer */
    size_t lingered;
    struct err *why;
    int fd;
    uint8_t state; /* enum conn_state */
    uint8_t poll_events;
    uint8_t n_holds; /* struct is freed at 0: uv's close callback, the closed report */
    bool is_dirty, is_kicked, is_paused, is_eof, is_handshaking;
    bool is_pre;     /* of a listener: no protocol has begun yet */
    bool is_counted; /* and it takes one of the places for handshakes */
    bool is_silent;  /* not one byte came */
    bool is_answered; /* and its handshake had an answer: a whole ClientHello came */
    struct net_peer peer;
};

/* Wraps a connected non-blocking socket. */
struct conn *conn_new(struct loop *l, int fd, const struct conn_ops *ops, void *proto);
/* From now on the bytes are TLS; @ops->ready when it is up. */
void conn_start_tls(struct conn *c, struct tls_ctx *ctx, const char *sni);
/* Handles @n received bytes as if they had just come (after a sniff). */
void conn_feed(struct conn *c, const uint8_t *p, size_t n);
static inline bool conn_is_open(const struct conn *c)
{
    return c->state == CONN_OPEN;
}
/* Who is at the other end; a static "nobody" without TLS or certificate. */
const struct tls_peer *conn_tls_peer(const struct conn *c);

/* Asks ops->output at the end of the turn. */
void conn_dirty(struct conn *c);
/* ops->kick in the next turn. */
void conn_kick(struct conn *c);
/* Stops / resumes reading. */
void conn_pause(struct conn *c, bool paused);
/* After listener_pause_reads(). */
void conn_reread(struct conn *c);
/* True if reads are stopped by anybody. */
bool conn_is_paused(const struct conn *c);
/* ops->deadline when loop time @at has come (at most 250 ms late); USEC_NEVER: none. */
void conn_deadline(struct conn *c, usec_t at);
/* Bytes wait below TLS without progress since more than LIMIT_HTTP_BODY_MS. */
bool conn_is_stalled(const struct conn *c);
/* Writes what ops->output has, then closes in order. */
void conn_finish(struct conn *c);
/* Closes now; @why may be NULL. */
void conn_close(struct conn *c, const struct err *why);

#endif
