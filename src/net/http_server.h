/* net/http_server.h - HTTP/1 on a connection: exchanges one after the other. Loop thread. */
#ifndef MUSTER_NET_HTTP_SERVER_H
#define MUSTER_NET_HTTP_SERVER_H

#include "net/conn.h"
#include "net/http1.h"
#include "net/outq.h"

/* Requests behind the one being answered wait here; more are not read (LIMIT_HTTP_PIPELINE of ordinary size). */
enum { HTTP_AHEAD_BYTES = LIMIT_HTTP_PIPELINE * 2048 };
/* A client that closed its sending side while a reply is due waits this long for it. */
enum { HTTP_EOF_GRACE_MS = 5000 };
enum { HTTP_ARENA_BYTES = 32 << 20 };

void http_conn_start(struct conn *c, const struct http_server_ops *ops, uint32_t tag);
/* No request after the current one. */
void http_conn_drain(struct conn *c);
extern const struct conn_ops http_conn_ops;

/* Takes the connection out of HTTP (101): hands over what is still to be written and what was read too far. NULL if the
 * exchange is over or answered. The request stays lent until the caller's callback returns. */
struct conn *http__take(uint64_t exchange, struct outq *ret_out, struct buf *ret_ahead);
const struct http_req *http__req(uint64_t exchange);

#endif
