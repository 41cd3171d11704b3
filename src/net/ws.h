/* net/ws.h - RFC 6455 server side (wslay). Whole messages; pings answered; idle closed after LIMIT_HTTP_IDLE_MS x 1.2
 * without any frame. Ids as in http.h. Loop thread. */
#ifndef MUSTER_NET_WS_H
#define MUSTER_NET_WS_H

#include "net/http.h"

struct ws_server_ops {
    /* The upgrade request; 0 to accept (and *@ret_user), or an HTTP status to refuse. */
    int (*open)(void *ctx, uint64_t ws, const struct http_req *req, void **ret_user);
    void (*message)(void *ctx, uint64_t ws, void *user, struct str msg, bool is_text);
    void (*closed)(void *ctx, uint64_t ws, void *user);
    void *ctx;
};
/* Queues a message; bytes now queued, or -ENOTCONN. */
int64_t ws_send_text(uint64_t ws, struct str msg);
int64_t ws_send_binary(uint64_t ws, struct str msg);
int64_t ws_queued(uint64_t ws);
int ws_close(uint64_t ws, uint16_t code, const char *reason);
/* From an HTTP listener: upgrade this exchange; afterwards @ops are called with the ws id (*@ret). 0, -EINVAL if the
 * request is no upgrade, -ENOTCONN. */
int ws_upgrade(uint64_t exchange, const struct ws_server_ops *ops, void *user, uint64_t *ret);

#endif
