/* net/listen_priv.h - between a listener and its connections. Loop thread. */
#ifndef MUSTER_NET_LISTEN_PRIV_H
#define MUSTER_NET_LISTEN_PRIV_H

#include "net/conn.h"
#include "net/listen.h"

/* A connection that is silent gives its place to another, and goes on without; after our answer, and while handshakes end well
 * in numbers, only when it is slow. Half a ClientHello takes no place. */
enum { HANDSHAKE_SLOW_MS = 5000, HANDSHAKE_SILENT_MS = 1000 };

/* @c has no protocol yet, and bytes to be read. True: it has a place, so that they may cost a handshake. False: nothing is
 * free; it is not read from until something is. */
bool listener__may_read(struct conn *c);
/* They were read: half a ClientHello keeps no place. */
void listener__was_read(struct conn *c);
/* The ClientHello of @c was whole, and our half of the handshake is made: it keeps its place. */
void listener__answered(struct conn *c);

/* The handshake of @c is over, one way or the other: another may begin. */
void listener__uncount(struct conn *c);
/* Out of the list; maybe a paused accept can go on. */
void listener__remove(struct conn *c);
bool listener__is_paused(const struct listener *li);
/* The deadline of a connection that has no protocol yet. */
void listener__handshake_deadline(struct conn *c);
/* refuse.c: says to @c, which began with @first, that this port speaks TLS, in a form it may understand, and ends it. */
void listener__refuse_plain(struct conn *c, uint8_t first, bool is_grpc);
/* refuse.c: ops of a connection that has no protocol: its end is nobody's news, its deadline is its end. */
void listener__no_news(struct conn *c, const struct err *why);
void listener__too_late(struct conn *c);
/* conn.c: reports the closed connections of @li at once. */
void conn__reap_owner(struct loop *l, const struct listener *li);

#endif
