/* agent/link.h - the one connection to the server: enrolment where needed, mutual TLS, one gRPC stream, and again after every break.
 *
 *   waiting -> asking (no certificate, expired, or refused) -> waiting
 *           -> connecting -> greeting (Hello sent) -> up -> waiting
 *                                                      up -> leaving
 *
 * Memory does not grow with attempts: everything made for one is freed before the next. Loop thread. docs/internals/links.md. */
#ifndef MUSTER_AGENT_LINK_H
#define MUSTER_AGENT_LINK_H

#include "agent/enroll.h"
#include "agent/hub.h"
#include "agent/state.h"

struct link_conf {
    struct loop *loop;
    struct state *state;
    struct hub *hub;                   /* NULL: only enrol, or ask whether this host is still welcome */
    const char *host;
    uint16_t port;
    const struct join_token *token; /* NULL: none */
    const char *ca_pem;                /* trusted before enrolment when there is no token; NULL */
    const struct conf_map *labels;     /* lent; may change its content */
    const char *root;
};
struct link_ops {
    /* A certificate was received and written (also when it is renewed). */
    void (*enrolled)(void *ctx);
    /* The link came up. */
    void (*up)(void *ctx);
    /* It makes no sense to go on: @code is the exit code (5 denied, 78 configuration), @err says why. The link is quiet from here. */
    void (*over)(void *ctx, int code, const struct err *err);
    /* An attempt ended for @err and the server has not said that this host waits; the next follows by itself. NULL: who cares. */
    void (*failed)(void *ctx, const struct err *err);
    /* link_leave() is done. NULL where that is never called. */
    void (*left)(void *ctx);
    void *ctx;
};
struct link;
struct link *link_new(const struct link_conf *conf, const struct link_ops *ops);
void link_free(struct link *l);
DEFINE_AUTO(struct link *, link_free)
/* Starts; callbacks come from the loop. */
void link_start(struct link *l);
/* Takes leave: ends our half of the stream, by which the server knows at once that the host goes and was not cut off; the roles hear
 * that the link is down. True: ops->left follows from the loop, when the server has ended its half or after a second. False: there
 * is no link to leave, nothing follows. */
bool link_leave(struct link *l);
/* How the hub reaches it. */
struct hub_ops link_hub_ops(struct link *l);

/* How long to wait before attempt @n (1: the first again): 1 s doubling to 60 s, by @random (any value) 20 % more or less. */
usec_t link_backoff(uint32_t n, uint64_t random);

#endif
