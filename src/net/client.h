/* net/client.h - outbound HTTP/1.1 (cli, webhooks) over TCP, TLS or a unix socket, with streamed replies. Loop thread.
 * Requests on one client go one after another over a kept-alive connection; a broken idle connection is opened anew once. */
#ifndef MUSTER_NET_CLIENT_H
#define MUSTER_NET_CLIENT_H

#include "net/http.h"
#include "net/loop.h"
#include "net/tls_ctx.h"

struct http_client;
struct http_client_conf {
    const char *host;         /* for TCP; also the Host header */
    uint16_t port;
    const char *unix_path;    /* instead of host and port */
    struct tls_ctx *tls;      /* NULL: plain */
    usec_t connect_timeout;   /* 0 = 10 s */
    usec_t reply_timeout;     /* until the reply head; 0 = 30 s; USEC_NEVER */
    size_t max_body;          /* of a collected reply; 0 = 64 MiB */
    /* Through a proxy: CONNECT with TLS, else the whole URL as the target. NULL: none. "net.proxy": it refused. */
    const char *proxy_host;
    uint16_t proxy_port;
    const char *proxy_auth;   /* Proxy-Authorization, or NULL */
};
struct http_client_req {
    const char *method;
    const char *target;       /* path and query */
    const struct kv *headers; /* a user-agent replaces ours; an empty one: none is sent */
    size_t n_headers;
    struct str body;          /* copied */
    /* The reply. @head once (status, headers lent). Then either @chunk for pieces as they come, or when @chunk is NULL the
     * whole body goes to @done. @done once, last: @err is NULL on success. The client may be freed inside @done only. */
    void (*head)(void *ctx, int status, const struct kv_list *headers);
    void (*chunk)(void *ctx, struct str piece);
    void (*done)(void *ctx, const struct err *err, int status, struct str body);
    void *ctx;
};
struct http_client *http_client_new(struct loop *l, const struct http_client_conf *conf);
void http_client_free(struct http_client *c);
DEFINE_AUTO(struct http_client *, http_client_free)
/* Queues a request; returns its number (for cancel). Callbacks come later, never from inside. */
uint64_t http_client_send(struct http_client *c, const struct http_client_req *req);
/* Forgets the request without callbacks; closes the connection if it was under way. */
void http_client_cancel(struct http_client *c, uint64_t number);

#endif
