/* agent/dialects/outbound_url.h - private to outbound.c and its tests: URLs, proxy exceptions, Retry-After. Pure; any thread. */
#ifndef MUSTER_AGENT_DIALECTS_OUTBOUND_URL_H
#define MUSTER_AGENT_DIALECTS_OUTBOUND_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/err.h"

struct outbound_url {
    bool is_tls;
    uint16_t port;
    char *host;   /* without brackets */
    char *prefix; /* "" or "/a/b" without a slash at the end */
    char *user;   /* "name:password" as written, or NULL */
};
/* http[s]://[user@]host[:port][/prefix]; no query, no fragment. @may_be_bare: "host:port" is taken as http (proxies).
 * 0; -EINVAL "url.bad". Release with outbound__url_done(), also after a failure. */
int outbound__url(struct str text, bool may_be_bare, struct outbound_url *ret, struct err *err);
void outbound__url_done(struct outbound_url *u);
DEFINE_AUTO_VALUE(struct outbound_url, outbound__url_done)

/* 127.0.0.0/8, ::1, "localhost" and names under it. */
bool outbound__is_loopback(const char *host);
/* True if @list (of no_proxy: names that match themselves and what is under them, addresses, "*"; each with an optional port) has
 * the host. */
bool outbound__no_proxy(struct str list, const char *host, uint16_t port);
/* Seconds or an HTTP date (RFC 9110 section 10.2.3) as time from @wall on; 0 when it is neither, or past. At most one day. */
usec_t outbound__retry_after(struct str value, usec_t wall);

#endif
