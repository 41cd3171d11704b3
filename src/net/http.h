/* net/http.h - HTTP requests and replies, independent of version. Loop thread.
 *
 * A request is answered through its exchange at any later time. An exchange is named by a generation-checked id:
 * after the client is gone every call on the id is a harmless no-op that returns -ENOTCONN. */
#ifndef MUSTER_NET_HTTP_H
#define MUSTER_NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/blob.h"
#include "base/field.h"

struct net_peer {
    char addr[64];       /* numeric address without port; "unix" for the local socket */
    uint16_t port;
    bool is_loopback, is_unix, is_tls;
    bool is_dev_listener; /* the listener is bound to loopback */
    uid_t uid;            /* of the peer when is_unix */
    gid_t gid;
    pid_t pid;
};

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE, HTTP_OPTIONS, HTTP_OTHER };
extern const struct name http_method_names[];

struct http_req {
    enum http_method method;
    struct str target;            /* as sent */
    struct str path, query;       /* split at '?', still percent-encoded */
    struct kv_list headers;       /* names lower-cased */
    struct str body;              /* whole, within the cap the head callback gave */
    const struct net_peer *peer;
    const uint8_t *client_key;    /* SHA256_LEN bytes: of the public key (SPKI) the client proved to hold; NULL: none asked or shown */
    struct arena *arena;          /* freed after the exchange ends */
    bool keep_alive;
    uint32_t listener_tag;        /* from struct http_listen */
};
/* First header @name (lower case), or {NULL,0}. */
struct str http_header(const struct http_req *req, const char *name);

struct http_res {
    int status;                    /* 200, ... */
    const char *content_type;      /* NULL: none */
    const struct kv *headers;      /* extra */
    size_t n_headers;
    struct str body;               /* copied */
};

struct http_server_ops {
    /* The head has arrived: returns the body cap in bytes, or a negative HTTP status (-413, -404, -405 ...) to refuse
     * before reading a body (Content-Length above the cap is 413 by itself). May be NULL: the default cap. */
    int64_t (*head)(void *ctx, const struct http_req *req);
    /* The request is complete. @req lives until the exchange ends. */
    void (*request)(void *ctx, uint64_t exchange, const struct http_req *req);
    /* The client left before the exchange ended, or a started stream ended; @user from http_set_user. May be NULL. */
    void (*closed)(void *ctx, uint64_t exchange, void *user);
    /* The client closed its sending side while a reply is due. It may wait for it (RFC 9112 section 9.6), or be gone: the end of a killed
     * process looks the same. The reply is sent if it comes within HTTP_EOF_GRACE_MS, then the connection ends. May be NULL. */
    void (*half_closed)(void *ctx, uint64_t exchange, void *user);
    /* Plain text the server writes for protocol errors it answers itself (400, 408, 413, 431 ...): returns the JSON body
     * for @status and slug @slug in @out. @req is the request's head where it was read, else NULL. May be NULL: then the body is
     * "slug\n". */
    void (*error_body)(void *ctx, const struct http_req *req, int status, const char *slug, const char *text, struct buf *out);
    void *ctx;
};

/* All take an exchange id; 0, or -ENOTCONN when it is over. */
int http_reply(uint64_t exchange, const struct http_res *res);
void http_set_user(uint64_t exchange, void *user);
/* A streamed reply (chunked): begin, then write any number of times, then end. http_stream_write queues the blob (takes
 * its own reference) and returns the bytes now queued for this client, or -ENOTCONN. */
int http_stream_begin(uint64_t exchange, const struct http_res *res);
int64_t http_stream_write(uint64_t exchange, struct blob *b);
int http_stream_end(uint64_t exchange);
int64_t http_stream_queued(uint64_t exchange);
/* @fn once when the queue has fallen below LIMIT_WRITE_LOW (at once in the next turn if it is). */
int http_stream_on_drain(uint64_t exchange, void (*fn)(void *ctx, uint64_t exchange), void *ctx);
/* Switches the exchange to WebSocket (net/ws.h) if the request asks for it. */

#endif
