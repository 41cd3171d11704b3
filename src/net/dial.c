/* net/dial.c - getaddrinfo() on uv's pool, then one non-blocking connect() after the other. Loop thread. */
#include "net/dial.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/mem.h"
#include "net/loop_priv.h"

enum { DIAL_ADDRS_MAX = 8 };

struct dial {
    struct loop *l;
    dial_fn fn;
    bool (*may)(void *ctx, const struct net_peer *addr); /* NULL: any */
    void *ctx;
    char *host;
    uint16_t port;
    struct sockaddr_storage addrs[DIAL_ADDRS_MAX];
    size_t n_addrs, next;
    struct wheel_entry give_up, next_addr;
    usec_t deadline;
    struct watch *watch;
    int fd;
    struct err err;
    uv_getaddrinfo_t *dns; /* its data is NULL once we lost interest */
    bool is_soon, is_dead;
};

void net__peer_of(const struct sockaddr *sa, struct net_peer *ret)
{
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;

        inet_ntop(AF_INET, &in->sin_addr, ret->addr, sizeof(ret->addr));
        ret->port = ntohs(in->sin_port);
        ret->is_loopback = ntohl(in->sin_addr.s_addr) >> 24 == 127;
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)sa;
        const uint8_t *b = in->sin6_addr.s6_addr;

        ret->port = ntohs(in->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr)) {
            /* One spelling per host: the IPv4 one. */
            inet_ntop(AF_INET, b + 12, ret->addr, sizeof(ret->addr));
            ret->is_loopback = b[12] == 127;
        } else {
            inet_ntop(AF_INET6, b, ret->addr, sizeof(ret->addr));
            ret->is_loopback = IN6_IS_ADDR_LOOPBACK(&in->sin6_addr);
        }
    } else {
        (void)str_copy(STR("unix"), ret->addr, sizeof(ret->addr));
        ret->is_unix = ret->is_loopback = true;
    }
}

void dial_free(struct dial *d)
{
    if (!d)
        return;
    if (d->is_soon) {
        d->is_dead = true; /* loop_soon() still holds it */
        return;
    }
    wheel_del(d->l, &d->give_up);
    wheel_del(d->l, &d->next_addr);
    watch_free(d->watch);
    fd_close(&d->fd);
    if (d->dns) {
        d->dns->data = NULL;
        uv_cancel((uv_req_t *)d->dns);
    }
    free(d->host);
    free(d);
}

static void finish(struct dial *d, int fd)
{
    struct sockaddr_storage ss = { 0 };
    socklen_t len = sizeof(ss);
    struct net_peer peer = { 0 };
    dial_fn fn = d->fn;
    void *ctx = d->ctx;
    struct err err = d->err;

    if (fd >= 0 && getpeername(fd, (struct sockaddr *)&ss, &len) == 0)
        net__peer_of((struct sockaddr *)&ss, &peer);
    dial_free(d);
    fn(ctx, fd, fd < 0 ? NULL : &peer, fd < 0 ? &err : NULL);
}

static void say(struct dial *d, int code)
{
    const char *slug = code == -ECONNREFUSED ? "net.refused" : code == -ETIMEDOUT ? "net.timeout" : "net.unreachable";

    if (d->addrs[0].ss_family == AF_UNIX)
        err_set(&d->err, code, slug, "cannot connect to the socket %s: %m", d->host);
    else
        err_set(&d->err, code, slug, "cannot connect to %s port %u: %m", d->host, d->port);
}

static void try_next(struct dial *d);

static void failed(struct dial *d, int code)
{
    watch_free(TAKE(d->watch));
    fd_close(&d->fd);
    say(d, code);
    try_next(d);
}

static void on_writable(void *ctx, int events)
{
    struct dial *d = ctx;
    int code = 0, fd;
    socklen_t len = sizeof(code);

    (void)events;
    if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
        code = errno;
    if (code != 0) {
        failed(d, -code);
        return;
    }
    watch_free(TAKE(d->watch));
    fd = d->fd;
    d->fd = -1;
    finish(d, fd);
}

static void on_next_addr(struct wheel_entry *e)
{
    failed((struct dial *)((char *)e - offsetof(struct dial, next_addr)), -ETIMEDOUT);
}

static void on_give_up(struct wheel_entry *e)
{
    struct dial *d = (struct dial *)((char *)e - offsetof(struct dial, give_up));

    say(d, -ETIMEDOUT);
    finish(d, -1);
}

void dial_guard(struct dial *d, bool (*may)(void *ctx, const struct net_peer *addr))
{
    d->may = may;
}

static bool is_refused(struct dial *d, const struct sockaddr *sa)
{
    struct net_peer addr = { 0 };

    if (!d->may)
        return false;
    net__peer_of(sa, &addr);
    if (d->may(d->ctx, &addr))
        return false;
    err_set(&d->err, -EACCES, "net.refused", "%s leads to %s, which may not be dialled", d->host, addr.addr);
    return true;
}

static void try_next(struct dial *d)
{
    const struct sockaddr *sa;
    socklen_t len;
    int one = 1;
    usec_t now = loop_now(d->l), left;

    while (d->next < d->n_addrs && is_refused(d, (const struct sockaddr *)&d->addrs[d->next]))
        d->next++;
    if (d->next == d->n_addrs) {
        finish(d, -1);
        return;
    }
    sa = (const struct sockaddr *)&d->addrs[d->next++];
    len = sa->sa_family == AF_INET    ? sizeof(struct sockaddr_in)
          : sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                      : sizeof(struct sockaddr_un);
    d->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->fd < 0) {
        failed(d, -errno);
        return;
    }
    if (sa->sa_family != AF_UNIX)
        setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(d->fd, sa, len) < 0 && errno != EINPROGRESS) {
        failed(d, -errno);
        return;
    }
    d->watch = watch_new(d->l, d->fd, on_writable, d);
    watch_set(d->watch, LOOP_WRITABLE);
    /* An address that swallows packets must leave time for those after it. */
    left = d->deadline > now ? d->deadline - now : 0;
    wheel_set(d->l, &d->next_addr, d->next == d->n_addrs ? USEC_NEVER : now + left / (d->n_addrs - d->next + 1));
}

static void on_dns(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
    struct dial *d = req->data;

    free(req);
    if (!d) {
        uv_freeaddrinfo(res);
        return;
    }
    d->dns = NULL;
    if (status < 0) {
        err_set(&d->err, -EHOSTUNREACH, "net.dns", "cannot find the address of %s: %s", d->host, uv_strerror(status));
        finish(d, -1);
        return;
    }
    for (const struct addrinfo *a = res; a && d->n_addrs < DIAL_ADDRS_MAX; a = a->ai_next)
        if (a->ai_family == AF_INET || a->ai_family == AF_INET6)
            memcpy(&d->addrs[d->n_addrs++], a->ai_addr, a->ai_addrlen);
    uv_freeaddrinfo(res);
    say(d, -EHOSTUNREACH); /* should there be none */
    try_next(d);
}

static void resolve(struct dial *d)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV };
    char port[8];
    int r;

    snprintf(port, sizeof(port), "%u", d->port);
    d->dns = xnew0(uv_getaddrinfo_t);
    d->dns->data = d;
    r = uv_getaddrinfo(&d->l->uv, d->dns, on_dns, d->host, port, &hints);
    if (r < 0) {
        free(TAKE(d->dns));
        err_set(&d->err, r, "net.dns", "cannot look up %s: %s", d->host, uv_strerror(r));
        finish(d, -1);
    }
}

static void start(void *ctx)
{
    struct dial *d = ctx;

    d->is_soon = false;
    if (d->is_dead)
        dial_free(d);
    else if (d->n_addrs > 0)
        try_next(d);
    else
        resolve(d);
}

struct dial *dial_new(struct loop *l, const char *host, uint16_t port, const char *unix_path, usec_t timeout, dial_fn fn,
                      void *ctx)
{
    struct dial *d = xnew0(struct dial);
    struct sockaddr_in *in = (struct sockaddr_in *)&d->addrs[0];
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&d->addrs[0];

    d->l = l;
    d->fn = fn;
    d->ctx = ctx;
    d->fd = -1;
    d->host = xstrdup(unix_path ? unix_path : host);
    d->port = port;
    d->give_up.fire = on_give_up;
    d->next_addr.fire = on_next_addr;
    d->deadline = loop_now(l) + timeout;
    if (timeout != USEC_NEVER)
        wheel_set(l, &d->give_up, d->deadline);
    if (unix_path) {
        struct sockaddr_un *un = (struct sockaddr_un *)&d->addrs[0];

        un->sun_family = AF_UNIX;
        if (str_copy(str_of(unix_path), un->sun_path, sizeof(un->sun_path)) < 0)
            un->sun_path[0] = '\0'; /* connect() will refuse */
        d->n_addrs = 1;
    } else if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        d->n_addrs = 1;
    } else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        d->n_addrs = 1;
    }
    d->is_soon = true;
    loop_soon(l, start, d);
    return d;
}
