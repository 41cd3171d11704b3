/* agent/link_priv.h - shared by link.c (phases), link_ask.c (enrolment) and link_stream.c (the gRPC stream) only. Loop thread. */
#ifndef MUSTER_AGENT_LINK_PRIV_H
#define MUSTER_AGENT_LINK_PRIV_H

#include "agent/link.h"
#include "net/grpc.h"

enum link_phase { LINK_WAITING, LINK_ASKING, LINK_CONNECTING, LINK_GREETING, LINK_UP, LINK_CLOSING, LINK_LEAVING, LINK_OVER };

struct link {
    struct link_conf conf;
    struct link_ops ops;
    enum link_phase phase;
    char *server;                /* "host:port", for people */

    struct timer *timer;         /* the next attempt; the greeting's and the goodbye's deadline; the close */
    uint32_t n_failed;           /* in a row */
    struct err why;              /* of the last failure */
    struct err closing;          /* in LINK_CLOSING: why */
    int over_code;               /* in LINK_CLOSING: for good, with this exit code; 0: not */
    bool was_up;                 /* in LINK_CLOSING */
    usec_t slot;                 /* when the server wants us back, 0: not said */
    bool must_ask;               /* our certificate was not accepted */
    bool is_told_pending;

    struct enroll *enroll;
    struct tls_ctx *tls;         /* for the certificate we have */
    struct grpc_client *client;
    uint64_t call;

    struct timer *beat;
    uint32_t beat_ms;
    uint64_t sent_seq;           /* newest spooled message sent on this connection */
    bool is_clock_told, is_drain_asked;
    usec_t renew_at;             /* wall; 0: not this time */
    usec_t up_since, last_ack, noted_at;
};

static inline usec_t wall_now(void)
{
    return clock_wall(&clock_real);
}

/* -- link.c: how an attempt goes on or ends. From inside a callback of net that still holds the client only
 * link__close_soon() may be used; the others free what the attempt made. */
/* The next attempt after @after. */
void link__wait(struct link *l, usec_t after);
/* The server's certificate was not taken (@err): adds which option would help. */
void link__say_way(const struct link *l, struct err *err);
/* This one failed of @err (copied): waits and tries again. */
void link__failed(struct link *l, const struct err *err);
/* For good, with this exit code; @err (copied) says why. */
void link__over(struct link *l, int code, const struct err *err);
/* Ends the stream for @why (copied) in the next turn. */
void link__close_soon(struct link *l, const struct err *why);
/* Writes down how it stands, for `muster-agent status`. */
void link__note(struct link *l);
/* link_backoff() with real random, or what benches ask for. */
usec_t link__backoff(uint32_t n);

/* -- link_ask.c */
/* Sends the request for a certificate; its answer decides what comes next. */
void link__ask(struct link *l);
/* Warns when our clock is far from the server's @server_time (0: not said). */
void link__note_server_time(struct link *l, usec_t server_time);

/* -- link_stream.c */
/* Connects with the certificate we have, says Hello, and serves the stream until it ends. */
void link__connect(struct link *l);
/* Sends what waits in the spool, as far as the queue takes it; only while the link is up. */
void link__pump(struct link *l);
/* Packs and queues @m: bytes queued, or -errno. */
int64_t link__send(struct link *l, const Muster__V1__AgentMessage *m);
/* LINK_UP's timer fires once the queue has drained. */
void link__ask_drain(struct link *l);
/* The heartbeat's timer; @ctx: the link. */
void link__on_beat(void *ctx);

#endif
