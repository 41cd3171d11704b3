/* net/dial.h - name to connected socket: DNS, then each address in order. Loop thread. */
#ifndef MUSTER_NET_DIAL_H
#define MUSTER_NET_DIAL_H

#include "net/http.h"
#include "net/loop.h"

struct dial;
/* Called once, never from inside dial_new(): @fd (non-blocking, the callee's) and the peer, or -1 and why ("net.dns",
 * "net.refused", "net.unreachable", "net.timeout"). The dial is freed after it. */
typedef void (*dial_fn)(void *ctx, int fd, const struct net_peer *peer, const struct err *err);
/* @timeout spans DNS and all addresses; @unix_path instead of host and port when not NULL. */
struct dial *dial_new(struct loop *l, const char *host, uint16_t port, const char *unix_path, usec_t timeout, dial_fn fn,
                      void *ctx);
/* Addresses that @may refuses (with @ctx) are passed over: not a packet goes there. Right after dial_new(). */
void dial_guard(struct dial *d, bool (*may)(void *ctx, const struct net_peer *addr));
/* Gives up without a callback. NULL is a no-op; not after the callback has begun. */
void dial_free(struct dial *d);

struct sockaddr;
/* Fills addr, port, is_loopback. */
void net__peer_of(const struct sockaddr *sa, struct net_peer *ret);

#endif
