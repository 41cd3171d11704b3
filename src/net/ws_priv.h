/* net/ws_priv.h - what listen.c needs of WebSocket. Loop thread. */
#ifndef MUSTER_NET_WS_PRIV_H
#define MUSTER_NET_WS_PRIV_H

#include "net/conn.h"
#include "net/ws.h"

int64_t ws__listen_head(const struct http_req *req);
/* Upgrades, or answers 426. */
void ws__listen_request(const struct ws_server_ops *ops, uint64_t exchange, const struct http_req *req);
extern const struct conn_ops ws_conn_ops;
void ws_conn_drain(struct conn *c);

#endif
