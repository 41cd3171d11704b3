/* net/conn.c - connections on non-blocking sockets. Loop thread.
 *
 * uv_poll and our own recv/send instead of uv_tcp: one shared receive buffer for all connections, the peer's address
 * straight from accept4(), and nothing of libuv's stream state (250 bytes and a write request each) per connection. */
#include "net/conn.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/listen_priv.h"
#include "net/tls.h"

enum {
    READS_PER_EVENT = 4,      /* then others have their turn */
    LINGER_MS = 2000,
    LINGER_BYTES = 1 << 20,
    FLUSHES_PER_TURN = 8,     /* of one connection: 512 KiB */
};

static void on_poll(uv_poll_t *h, int status, int events);

/* -- lists of the loop */
void conn_dirty(struct conn *c)
{
    if (c->is_dirty || c->state >= CONN_LINGERING)
        return;
    c->is_dirty = true;
    c->dirty_next = NULL;
    *c->loop->dirty_tail = c;
    c->loop->dirty_tail = &c->dirty_next;
    if (!c->loop->is_flush_due)
        loop__wake(c->loop);
}

void conn_kick(struct conn *c)
{
    if (c->is_kicked || c->state == CONN_CLOSED)
        return;
    c->is_kicked = true;
    c->kicked_next = NULL;
    *c->loop->kicked_tail = c;
    c->loop->kicked_tail = &c->kicked_next;
    loop__wake(c->loop);
}

static void drop_hold(struct conn *c)
{
    if (--c->n_holds > 0)
        return;
    tls_free(c->tls);
    free(c->pend);
    free(c->why);
    free(c);
}

static void on_uv_closed(uv_handle_t *h)
{
    drop_hold(h->data);
}

static void update_poll(struct conn *c)
{
    uint8_t want = 0;

    if (c->state == CONN_CLOSED)
        return;
    if (!c->is_eof && !conn_is_paused(c))
        want |= UV_READABLE;
    if (c->pend_len > 0)
        want |= UV_WRITABLE;
    if (want == c->poll_events)
        return;
    c->poll_events = want;
    if (want == 0)
        uv_poll_stop(&c->poll);
    else
        uv_poll_start(&c->poll, want, on_poll);
}

static void on_wheel(struct wheel_entry *e)
{
    struct conn *c = (struct conn *)((char *)e - offsetof(struct conn, wheel));

    if (c->state == CONN_LINGERING || (c->state == CONN_FINISHING && (conn_is_stalled(c) || c->is_handshaking)))
        conn_close(c, NULL);
    else if (c->state == CONN_FINISHING)
        conn_deadline(c, loop_now(c->loop) + LINGER_MS * USEC_PER_MS);
    else if (c->owner && c->is_pre)
        listener__handshake_deadline(c);
    else
        c->ops->deadline(c);
}

struct conn *conn_new(struct loop *l, int fd, const struct conn_ops *ops, void *proto)
{
    struct conn *c = xnew0(struct conn);
    int r;

    c->loop = l;
    c->ops = ops;
    c->proto = proto;
    c->fd = fd;
    c->n_holds = 2;
    c->wheel.fire = on_wheel;
    c->last_rx = c->born = loop_now(l);
    r = uv_poll_init(&l->uv, &c->poll, fd);
    assert(r == 0);
    (void)r;
    c->poll.data = c;
    update_poll(c);
    net_stats.conns++;
    return c;
}

const struct tls_peer *conn_tls_peer(const struct conn *c)
{
    static const struct tls_peer plain, unknown = { .is_tls = true };

    if (!c->tls)
        return &plain;
    return c->tls->peer ? c->tls->peer : &unknown;
}

bool conn_is_paused(const struct conn *c)
{
    return c->is_paused || (c->owner && listener__is_paused(c->owner));
}

void conn_pause(struct conn *c, bool paused)
{
    if (c->is_paused == paused)
        return;
    c->is_paused = paused;
    update_poll(c);
}

void conn_reread(struct conn *c)
{
    update_poll(c);
}

void conn_deadline(struct conn *c, usec_t at)
{
    if (c->state != CONN_CLOSED)
        wheel_set(c->loop, &c->wheel, at);
}

bool conn_is_stalled(const struct conn *c)
{
    return c->pend_len > 0 && loop_now(c->loop) > c->stalled_at + LIMIT_HTTP_BODY_MS * USEC_PER_MS;
}

void conn_close(struct conn *c, const struct err *why)
{
    if (c->state == CONN_CLOSED)
        return;
    c->state = CONN_CLOSED;
    if (err_is(why))
        c->why = xmemdup(why, sizeof(*why));
    wheel_del(c->loop, &c->wheel);
    if (c->owner)
        listener__uncount(c);
    /* uv first: closing a poll handle takes the number out of epoll, and the number is anybody's after close(). */
    uv_close((uv_handle_t *)&c->poll, on_uv_closed);
    fd_close(&c->fd);
    free(c->pend);
    c->pend = NULL;
    c->pend_len = 0;
    c->closing_next = NULL;
    *c->loop->closing_tail = c;
    c->loop->closing_tail = &c->closing_next;
    loop__wake(c->loop);
}

/* Takes @c out of a singly linked list of the loop. */
#define LIST_DROP(head, tail, link, c)                                                                       \
    do {                                                                                                     \
        struct conn **pp_ = &(head);                                                                         \
        while (*pp_ && *pp_ != (c))                                                                          \
            pp_ = &(*pp_)->link;                                                                             \
        if (*pp_) {                                                                                          \
            *pp_ = (c)->link;                                                                                \
            if (!*pp_)                                                                                       \
                (tail) = pp_;                                                                                \
        }                                                                                                    \
    } while (0)

static void reap_one(struct conn *c)
{
    static const struct err none;
    struct loop *l = c->loop;

    if (c->is_dirty)
        LIST_DROP(l->dirty, l->dirty_tail, dirty_next, c);
    if (c->is_kicked)
        LIST_DROP(l->kicked, l->kicked_tail, kicked_next, c);
    c->is_dirty = c->is_kicked = false;
    net_stats.conns--;
    net_stats.closed++;
    c->ops->closed(c, c->why ? c->why : &none);
    if (c->owner)
        listener__remove(c);
    drop_hold(c);
}

void conn__reap(struct loop *l)
{
    struct conn *c, *kicked = l->kicked;

    /* Kicks made from here on belong to the next turn. */
    l->kicked = NULL;
    l->kicked_tail = &l->kicked;
    while ((c = kicked)) {
        kicked = c->kicked_next;
        c->is_kicked = false;
        if (c->state != CONN_CLOSED && c->ops->kick)
            c->ops->kick(c);
    }
    while ((c = l->closing)) {
        l->closing = c->closing_next;
        if (!l->closing)
            l->closing_tail = &l->closing;
        reap_one(c);
    }
}

void conn__reap_owner(struct loop *l, const struct listener *li)
{
    struct conn **pp = &l->closing, *c;

    while ((c = *pp)) {
        if (c->owner != li) {
            pp = &c->closing_next;
            continue;
        }
        *pp = c->closing_next;
        if (!*pp)
            l->closing_tail = pp;
        reap_one(c);
        pp = &l->closing; /* the report may have closed more */
    }
}

/* -- writing */
static int close_errno(struct conn *c, int code)
{
    struct err err = { 0 };

    err_set(&err, code, "net.reset", "connection lost: %m");
    conn_close(c, &err);
    return code;
}

/* Hands @n bytes to the kernel; what it does not take is kept. */
static int send_raw(struct conn *c, const uint8_t *p, size_t n)
{
    ssize_t done = 0;

    if (n == 0)
        return 0;
    if (c->pend_len == 0) {
        do {
            done = send(c->fd, p, n, MSG_NOSIGNAL);
        } while (done < 0 && errno == EINTR);
        if (done < 0) {
            if (errno != EAGAIN)
                return close_errno(c, -errno);
            done = 0;
        }
        net_stats.bytes_out += (uint64_t)done;
        if ((size_t)done == n)
            return 0;
        c->stalled_at = loop_now(c->loop);
    }
    /* Only the last piece of a flush, a TLS alert or a key update comes here while something waits already. */
    size_t keep = n - (size_t)done;
    uint8_t *all = xmalloc(c->pend_len + keep);

    if (c->pend_len > 0)
        memcpy(all, c->pend + c->pend_off, c->pend_len);
    memcpy(all + c->pend_len, p + done, keep);
    free(c->pend);
    c->pend = all;
    c->pend_off = 0;
    c->pend_len += keep;
    if (c->pend_len > SCRATCH_OUT * 4)
        return close_errno(c, -ENOBUFS);
    update_poll(c);
    return 0;
}

/* Sends what TLS has put into the scratch. */
static int send_cipher(struct conn *c)
{
    struct net_scratch *sc = c->loop->scratch;
    size_t n = sc->cipher_len;

    sc->cipher_len = 0;
    return send_raw(c, sc->cipher, n);
}

static void say_goodbye(struct conn *c)
{
    if (c->tls) {
        tls_bye(c->tls);
        if (send_cipher(c) < 0)
            return;
    }
    if (c->pend_len > 0)
        return; /* called again when it is gone */
    shutdown(c->fd, SHUT_WR);
    if (c->is_eof) {
        conn_close(c, NULL);
        return;
    }
    c->state = CONN_LINGERING;
    c->is_paused = false;
    update_poll(c);
    conn_deadline(c, loop_now(c->loop) + LINGER_MS * USEC_PER_MS);
}

static void flush(struct conn *c)
{
    struct net_scratch *sc = loop__scratch(c->loop);

    if (c->state >= CONN_LINGERING || (c->tls && !c->tls->is_done))
        return;
    for (int i = 0; c->pend_len == 0; i++) {
        if (i == FLUSHES_PER_TURN) {
            conn_dirty(c);
            return;
        }
        size_t n = c->ops->output(c, sc->out, sizeof(sc->out));

        if (c->state == CONN_CLOSED)
            return;
        if (n == 0)
            break;
        if (!c->tls) {
            if (send_raw(c, sc->out, n) < 0)
                return;
        } else if (tls_write(c->tls, sc->out, n) < 0) {
            close_errno(c, -EPROTO);
            return;
        } else if (send_cipher(c) < 0) {
            return;
        }
    }
    if (c->state == CONN_FINISHING && c->pend_len == 0)
        say_goodbye(c);
}

void net_flush(struct loop *l)
{
    struct conn *c, *list = l->dirty;

    l->dirty = NULL;
    l->dirty_tail = &l->dirty;
    for (; list; list = c) {
        c = list->dirty_next;
        list->is_dirty = false;
        flush(list);
    }
}

void conn_finish(struct conn *c)
{
    if (c->state != CONN_OPEN)
        return;
    c->state = CONN_FINISHING;
    conn_deadline(c, loop_now(c->loop) + LINGER_MS * USEC_PER_MS);
    conn_dirty(c);
}

static void on_writable(struct conn *c)
{
    ssize_t n;

    do {
        n = send(c->fd, c->pend + c->pend_off, c->pend_len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno != EAGAIN)
            close_errno(c, -errno);
        return;
    }
    net_stats.bytes_out += (uint64_t)n;
    c->stalled_at = loop_now(c->loop);
    c->pend_off += (size_t)n;
    c->pend_len -= (size_t)n;
    if (c->pend_len > 0)
        return;
    free(c->pend);
    c->pend = NULL;
    c->pend_off = 0;
    update_poll(c);
    conn_dirty(c); /* ask the protocol for more, or say goodbye */
}

/* -- reading */
void conn_start_tls(struct conn *c, struct tls_ctx *ctx, const char *sni)
{
    c->tls = tls_new(c->loop, ctx, sni);
    c->peer.is_tls = true;
    c->is_handshaking = true;
    if (!ctx->is_server) {
        /* The ClientHello. */
        struct err err = { 0 };

        tls_lend(c->tls, NULL, 0);
        if (tls_handshake(c->tls, &err) < 0)
            conn_close(c, &err);
        else
            send_cipher(c);
    }
}

static bool do_handshake(struct conn *c)
{
    struct err err = { 0 };
    int r = tls_handshake(c->tls, &err);

    if (c->owner && !c->is_answered && c->tls->sc->cipher_len > 0)
        listener__answered(c);
    if (send_cipher(c) < 0)
        return false;
    if (r == 0)
        return false;
    if (r < 0) {
        net_stats.handshake_failures++;
        conn_close(c, &err);
        return false;
    }
    net_stats.handshakes++;
    c->is_handshaking = false;
    if (c->owner)
        listener__uncount(c);
    if (c->ops->ready)
        c->ops->ready(c);
    return c->state != CONN_CLOSED;
}

static void feed_tls(struct conn *c, const uint8_t *p, size_t n)
{
    struct tls *t = c->tls;
    struct err err = { 0 };

    tls_lend(t, p, n);
    if (!t->is_done && !do_handshake(c))
        return;
    while (c->state != CONN_CLOSED) {
        int r = tls_read(t, &err);

        /* An answer of TLS itself: a key update, an alert. */
        if (t->sc->cipher_len > 0 && send_cipher(c) < 0)
            return;
        if (r == 0)
            return;
        if (r == -EPIPE) {
            c->is_eof = true;
            return;
        }
        if (r < 0) {
            conn_close(c, &err);
            return;
        }
        if (c->state == CONN_LINGERING)
            continue;
        c->ops->input(c, str_bytes(t->sc->plain, (size_t)r));
    }
}

void conn_feed(struct conn *c, const uint8_t *p, size_t n)
{
    if (c->tls)
        feed_tls(c, p, n);
    else if (c->state != CONN_LINGERING)
        c->ops->input(c, str_bytes(p, n));
}

static void on_eof(struct conn *c)
{
    struct err err = { 0 };

    c->is_eof = true;
    update_poll(c);
    if (c->state == CONN_LINGERING) {
        conn_close(c, NULL);
    } else if (c->ops->eof && !c->is_handshaking) {
        c->ops->eof(c);
    } else {
        err_set(&err, -ECONNRESET, "net.closed", "the peer closed the connection");
        conn_close(c, &err);
    }
}

static void read_some(struct conn *c)
{
    struct net_scratch *sc = loop__scratch(c->loop);

    for (int i = 0; i < READS_PER_EVENT; i++) {
        ssize_t n = recv(c->fd, sc->rx, sizeof(sc->rx), 0);

        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR)
                close_errno(c, -errno);
            return;
        }
        if (n > 0) {
            c->last_rx = loop_now(c->loop);
            net_stats.bytes_in += (uint64_t)n;
            if (c->state == CONN_LINGERING && (c->lingered += (size_t)n) > LINGER_BYTES) {
                conn_close(c, NULL);
                return;
            }
            conn_feed(c, sc->rx, (size_t)n);
            if (c->state == CONN_CLOSED)
                return;
        }
        if (n == 0 || c->is_eof) {
            on_eof(c);
            return;
        }
        /* A short read emptied the socket: epoll will say when there is more. */
        if ((size_t)n < sizeof(sc->rx) || conn_is_paused(c))
            return;
    }
}

static void on_readable(struct conn *c)
{
    if (!c->owner || !c->is_pre) {
        read_some(c);
    } else if (listener__may_read(c)) {
        read_some(c);
        listener__was_read(c);
    }
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct conn *c = h->data;

    if (status < 0) {
        /* uv stopped the handle; recv() will say what it is. */
        c->poll_events = 0;
        events = UV_READABLE;
    }
    if ((events & UV_WRITABLE) && c->pend_len > 0)
        on_writable(c);
    if (c->state != CONN_CLOSED && (events & (UV_READABLE | UV_DISCONNECT)))
        on_readable(c);
    if (status < 0)
        update_poll(c);
}
