/* net/grpc_client.c - one outbound gRPC connection. Loop thread.
 *
 * "connected" is said when the server's SETTINGS have come: in TLS 1.3 a server refuses a client certificate only after
 * the client thinks the handshake is done. */
#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "net/dial.h"
#include "net/http2.h"
#include "net/tls.h"

struct grpc_client {
    struct loop *l;
    char *host;
    char *authority;
    struct tls_ctx *tls;
    usec_t ping_every, ping_timeout;
    struct grpc_client_ops ops;
    struct dial *dial;
    struct conn *c; /* NULL before it is connected and after it is closed */
    struct h2 *h2;
    struct wheel_entry deadline; /* of DNS, TCP, TLS and SETTINGS together */
    struct net_peer local;
    bool is_ready;
};

static void conn_ready(struct conn *c)
{
    struct grpc_client *g = c->proto;

    if (g) {
        g->h2 = h2_new_client(c, g);
    }
}

static void conn_input(struct conn *c, struct str plain)
{
    (void)c, (void)plain; /* nothing comes before ready() */
}

static size_t conn_output(struct conn *c, uint8_t *dst, size_t room)
{
    (void)c, (void)dst, (void)room;
    return 0;
}

static void conn_no_deadline(struct conn *c)
{
    (void)c;
}

/* Closed before HTTP/2 began. */
static void conn_closed(struct conn *c, const struct err *why)
{
    if (c->proto)
        grpc__client_gone(c->proto, why);
}

static const struct conn_ops connecting_ops = {
    .input = conn_input,
    .output = conn_output,
    .ready = conn_ready,
    .deadline = conn_no_deadline,
    .closed = conn_closed,
};

void grpc__client_ready(struct grpc_client *g)
{
    wheel_del(g->l, &g->deadline);
    g->is_ready = true;
    if (g->ping_every) {
        g->h2->ping_every = g->ping_every;
        g->h2->ping_timeout = g->ping_timeout ? g->ping_timeout : g->ping_every;
        conn_deadline(g->c, loop_now(g->l) + g->ping_every);
    }
    g->ops.connected(g->ops.ctx, conn_tls_peer(g->c));
}

void grpc__client_gone(struct grpc_client *g, const struct err *why)
{
    struct err err = *why;

    wheel_del(g->l, &g->deadline);
    g->c = NULL;
    g->h2 = NULL;
    g->is_ready = false;
    if (!err_is(&err))
        err_set(&err, -ECONNRESET, "net.closed", "the server closed the connection");
    g->ops.disconnected(g->ops.ctx, &err);
}

static void on_dialed(void *ctx, int fd, const struct net_peer *peer, const struct err *err)
{
    struct grpc_client *g = ctx;
    struct sockaddr_storage ss = { 0 };
    socklen_t len = sizeof(ss);

    g->dial = NULL;
    if (fd < 0) {
        grpc__client_gone(g, err);
        return;
    }
    if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
        net__peer_of((struct sockaddr *)&ss, &g->local);
    g->c = conn_new(g->l, fd, &connecting_ops, g);
    g->c->peer = *peer;
    if (g->tls)
        conn_start_tls(g->c, g->tls, g->host);
    else
        conn_ready(g->c);
}

static void on_deadline(struct wheel_entry *e)
{
    struct grpc_client *g = (struct grpc_client *)((char *)e - offsetof(struct grpc_client, deadline));
    struct err err = { 0 };

    err_set(&err, -ETIMEDOUT, "net.timeout", "%s does not answer", g->authority);
    if (g->c) {
        conn_close(g->c, &err);
        return;
    }
    dial_free(TAKE(g->dial));
    grpc__client_gone(g, &err);
}

struct grpc_client *grpc_client_new(struct loop *l, const struct grpc_client_conf *conf,
                                    const struct grpc_client_ops *ops)
{
    struct grpc_client *g = xnew0(struct grpc_client);
    usec_t timeout = conf->connect_timeout ? conf->connect_timeout : 15 * USEC_PER_SEC;

    g->l = l;
    g->host = xstrdup(conf->host);
    g->authority = xasprintf(strchr(conf->host, ':') ? "[%s]:%u" : "%s:%u", conf->host, conf->port);
    g->tls = conf->tls ? tls_ctx_ref(conf->tls) : NULL;
    g->ping_every = conf->ping_every;
    g->ping_timeout = conf->ping_timeout;
    g->ops = *ops;
    g->deadline.fire = on_deadline;
    wheel_set(l, &g->deadline, loop_now(l) + timeout);
    g->dial = dial_new(l, conf->host, conf->port, NULL, timeout, on_dialed, g);
    return g;
}

void grpc_client_free(struct grpc_client *g)
{
    if (!g)
        return;
    wheel_del(g->l, &g->deadline);
    dial_free(g->dial);
    if (g->h2) {
        g->h2->client = NULL;
        g->h2->is_dead = true;
    } else if (g->c) {
        g->c->proto = NULL;
    }
    if (g->c)
        conn_close(g->c, NULL);
    tls_ctx_free(g->tls);
    free(g->host);
    free(g->authority);
    free(g);
}

int grpc_client_call(struct grpc_client *g, const char *path, const struct kv_list *metadata, usec_t timeout,
                     const struct grpc_client_call_ops *ops, uint64_t *ret_call)
{
    struct call *call;

    if (!g->is_ready || !g->h2 || g->h2->is_draining || g->h2->is_dead)
        return -ENOTCONN;
    call = grpc__open(g->h2, g->authority, path, metadata, timeout, ops);
    if (!call)
        return -ENOTCONN;
    *ret_call = call->id;
    return 0;
}

const struct net_peer *grpc_client_local(const struct grpc_client *g)
{
    return &g->local;
}
