/* net/listen.c - listening sockets, pacing of accepts, and the first byte. Loop thread.
 *
 * Pacing: at most LIMIT_HANDSHAKES connections are between start and "protocol begins". So that nobody can hold those
 * places, a connection that is silent (1 s) or, on a busy machine, slow (5 s after our answer) goes on without one, and so
 * does half a ClientHello, which costs memory and no handshake; up to LIMIT_PREAUTH_CONNS of those; then the oldest go.
 * Before one that has no answer of ours yet is read from again it takes a place; while none is free it is held: what it
 * says waits in its socket. The others wait in a row of ours: waiting.h. A free place is for who has waited longest, held
 * or in the row. */
#include "net/listen.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <utlist.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/dial.h"
#include "net/http2.h"
#include "net/http_server.h"
#include "net/listen_priv.h"
#include "net/listen_socket.h"
#include "net/tls.h"
#include "net/waiting.h"
#include "net/ws_priv.h"

struct net_stats net_stats;

enum { ACCEPTS_PER_TURN = 1024, RETRY_MS = 250, FD_RESERVE = 64, EVICT_BATCH = 64 };
enum kind { KIND_HTTP, KIND_GRPC, KIND_WS };

struct listener {
    struct loop *l;
    enum kind kind;
    union {
        struct http_server_ops http;
        struct grpc_server_ops grpc;
        struct ws_server_ops ws;
    } ops;
    struct http_server_ops ws_http; /* what a WebSocket port answers to HTTP */
    struct tls_ctx *tls;
    bool allow_plain, is_paused, is_waiting, is_stopped, is_moving;
    uint32_t tag;
    struct listen_socket socket;
    struct watch *watch;
    struct wheel_entry retry;
    struct conn *conns, *held; /* held: in order */
    size_t n_conns, max_conns, n_pre, n_counted;
    usec_t second;                /* when this one began, */
    size_t n_done, n_done_before; /* and the handshakes that came to a good end in it and in the one before */
    struct waiting row;
    size_t row_max;
    struct watch *row_watch;
};

static void start(struct listener *li, int fd, const struct sockaddr *sa);

/* -- places */
/* Our answer may still be on its way there, or what is said to it on its way here. */
static bool is_fresh(const struct conn *c, usec_t now)
{
    return c->is_answered && now < c->since + HANDSHAKE_SLOW_MS * USEC_PER_MS;
}

static void evict(struct listener *li)
{
    usec_t now = loop_now(li->l);
    struct conn *c, *next;
    size_t n = 0;

    /* The newest are in front; what is found first is still older than HANDSHAKE_SILENT_MS. */
    for (c = li->conns; c && n < EVICT_BATCH; c = next) {
        next = c->next;
        if (c->is_pre && !c->is_counted && !is_fresh(c, now) && c->state != CONN_CLOSED &&
            now - c->born > HANDSHAKE_SILENT_MS * USEC_PER_MS) {
            conn_close(c, NULL);
            n++;
        }
    }
}

static bool may_start(struct listener *li)
{
    if (li->is_stopped || li->n_conns >= li->max_conns || li->n_counted >= LIMIT_HANDSHAKES)
        return false;
    if (li->n_pre >= LIMIT_PREAUTH_CONNS)
        evict(li);
    return li->n_pre < LIMIT_PREAUTH_CONNS;
}

static void count(struct conn *c)
{
    c->is_counted = true;
    c->owner->n_counted++;
    net_stats.handshakes_in_flight++;
}

static void give_place(struct conn *c)
{
    c->owner->n_counted -= c->is_counted;
    net_stats.handshakes_in_flight -= c->is_counted;
    c->is_counted = false;
}

static void new_second(struct listener *li)
{
    usec_t gone = loop_now(li->l) - li->second;

    if (gone < USEC_PER_SEC)
        return;
    li->n_done_before = gone < 2 * USEC_PER_SEC ? li->n_done : 0;
    li->n_done = 0;
    li->second = loop_now(li->l);
}

/* Handshakes end well in numbers, so what is silent for a second waits for a busy machine: to start more would make all slower.
 * Else the places are held by those who say nothing. */
static bool is_busy(struct listener *li)
{
    new_second(li);
    return li->n_done + li->n_done_before >= LIMIT_HANDSHAKES / 4;
}

/* -- those who are held */
static int by_since(const struct conn *a, const struct conn *b)
{
    return a->since > b->since ? 1 : -1; /* of the same time, the first comes first */
}

static void hold(struct conn *c)
{
    if (c->held_prev)
        return;
    c->since = c->is_silent ? c->born : loop_now(c->loop); /* its first word: it waits since it came, as in the row */
    DL_INSERT_INORDER2(c->owner->held, c, by_since, held_prev, held_next);
    conn_pause(c, true);
}

static void let_go(struct conn *c)
{
    if (!c->held_prev)
        return;
    DL_DELETE2(c->owner->held, c, held_prev, held_next);
    c->held_prev = c->held_next = NULL;
    conn_pause(c, false);
}

/* Places for those who are held since @until or longer. They are read from in the next turn. */
static void held_go_on(struct listener *li, usec_t until)
{
    while (li->held && li->held->since <= until && li->n_counted < LIMIT_HANDSHAKES) {
        count(li->held);
        let_go(li->held);
    }
}

/* -- those who wait */
static bool may_start_one(void *ctx, usec_t since)
{
    held_go_on(ctx, since);
    return may_start(ctx);
}

static void start_one(void *ctx, int fd, const struct sockaddr *sa)
{
    start(ctx, fd, sa);
}

static void row_go_on(struct listener *li)
{
    usec_t now = loop_now(li->l);
    const struct waiting_ops ops = { .may_start = may_start_one, .start = start_one, .ctx = li };
    bool is_watching = false;

    if (li->is_moving || li->is_stopped || li->row.n == 0)
        return; /* moving: making a place closed somebody, and the call further up goes on */
    li->is_moving = true;
    waiting_expire(&li->row, now);
    if (may_start(li))
        is_watching = waiting_start(&li->row, &ops);
    li->is_moving = false;
    watch_set(li->row_watch, is_watching ? LOOP_READABLE : 0);
    if (li->row.n > 0)
        wheel_set(li->l, &li->retry, now + RETRY_MS * USEC_PER_MS);
}

static void go_on(struct listener *li)
{
    row_go_on(li);
    if (!li->is_moving)
        held_go_on(li, USEC_NEVER);
}

static void on_row(void *ctx, int events)
{
    (void)events;
    go_on(ctx);
}

static bool is_full(const struct listener *li)
{
    return li->n_conns + li->row.n >= li->max_conns || li->row.n >= li->row_max;
}

static bool may_accept(struct listener *li)
{
    if (li->is_stopped)
        return false;
    if (is_full(li) && !li->is_moving)
        waiting_evict(&li->row, loop_now(li->l), HANDSHAKE_SILENT_MS * USEC_PER_MS, EVICT_BATCH);
    return !is_full(li);
}

static void wait(struct listener *li)
{
    li->is_waiting = true;
    watch_set(li->watch, 0);
}

static void resume(struct listener *li)
{
    go_on(li);
    if (!li->is_waiting || !may_accept(li))
        return;
    li->is_waiting = false;
    watch_set(li->watch, LOOP_READABLE);
}

static void on_retry(struct wheel_entry *e)
{
    resume((struct listener *)((char *)e - offsetof(struct listener, retry)));
}

bool listener__may_read(struct conn *c)
{
    if (c->is_counted || c->is_answered)
        return true;
    if (c->owner->n_counted >= LIMIT_HANDSHAKES) {
        hold(c);
        return false;
    }
    count(c);
    return true;
}

void listener__was_read(struct conn *c)
{
    if (!c->is_pre || c->is_answered || c->is_silent)
        return;
    give_place(c);
    conn_deadline(c, c->born + LIMIT_HANDSHAKE_MS * USEC_PER_MS);
    resume(c->owner);
}

void listener__answered(struct conn *c)
{
    usec_t end = c->born + LIMIT_HANDSHAKE_MS * USEC_PER_MS;
    usec_t silent = loop_now(c->loop) + HANDSHAKE_SILENT_MS * USEC_PER_MS;

    c->is_answered = true;
    c->since = loop_now(c->loop);
    conn_deadline(c, silent < end ? silent : end);
}

void listener__uncount(struct conn *c)
{
    give_place(c);
    let_go(c);
    if (c->is_pre) {
        new_second(c->owner);
        c->owner->n_done += c->is_answered && c->state != CONN_CLOSED;
        c->is_pre = false;
        c->owner->n_pre--;
    }
    resume(c->owner);
}

void listener__remove(struct conn *c)
{
    struct listener *li = c->owner;

    *c->pprev = c->next;
    if (c->next)
        c->next->pprev = c->pprev;
    li->n_conns--;
    c->owner = NULL;
    resume(li);
}

bool listener__is_paused(const struct listener *li)
{
    return li->is_paused;
}

void listener__handshake_deadline(struct conn *c)
{
    usec_t now = loop_now(c->loop), end = c->born + LIMIT_HANDSHAKE_MS * USEC_PER_MS;
    usec_t later = now + HANDSHAKE_SILENT_MS * USEC_PER_MS;
    struct err err = { 0 };

    if (now >= end) {
        net_stats.handshake_failures += c->is_handshaking;
        err_set(&err, -ETIMEDOUT, "net.timeout", "the handshake took too long");
        conn_close(c, &err);
        return;
    }
    if (is_fresh(c, now) && is_busy(c->owner)) {
        conn_deadline(c, later < end ? later : end);
        return;
    }
    give_place(c);
    resume(c->owner);
    conn_deadline(c, end);
}

/* -- the first byte */
static void start_protocol(struct conn *c)
{
    struct listener *li = c->owner;

    switch (li->kind) {
    case KIND_GRPC:
        h2_new_server(c, &li->ops.grpc);
        break;
    case KIND_HTTP:
        http_conn_start(c, &li->ops.http, li->tag);
        break;
    case KIND_WS:
        http_conn_start(c, &li->ws_http, li->tag);
        break;
    }
}

static size_t no_output(struct conn *c, uint8_t *dst, size_t room)
{
    (void)c, (void)dst, (void)room;
    return 0;
}

static void on_sniff(struct conn *c, struct str s)
{
    struct listener *li = c->owner;
    uint8_t first = (uint8_t)s.ptr[0];

    c->is_silent = false;
    if (first == 0x16 && li->tls) { /* a TLS handshake record (RFC 8446 section 5.1) */
        conn_start_tls(c, li->tls, NULL);
        conn_feed(c, (const uint8_t *)s.ptr, s.len);
        return;
    }
    listener__uncount(c);
    if (!li->allow_plain) {
        listener__refuse_plain(c, first, li->kind == KIND_GRPC);
        return;
    }
    start_protocol(c);
    conn_feed(c, (const uint8_t *)s.ptr, s.len);
}

static const struct conn_ops sniff_ops = {
    .input = on_sniff,
    .output = no_output,
    .ready = start_protocol,
    .deadline = listener__too_late,
    .closed = listener__no_news,
};

/* -- accept */
static void start(struct listener *li, int fd, const struct sockaddr *sa)
{
    struct conn *c = conn_new(li->l, fd, &sniff_ops, NULL);
    struct ucred cred;
    socklen_t len = sizeof(cred);

    c->owner = li;
    c->next = li->conns;
    c->pprev = &li->conns;
    if (c->next)
        c->next->pprev = &c->next;
    li->conns = c;
    li->n_conns++;
    net__peer_of(sa, &c->peer);
    c->peer.is_dev_listener = li->socket.is_loopback && !li->socket.is_unix;
    if (li->socket.is_unix && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0) {
        c->peer.uid = cred.uid;
        c->peer.gid = cred.gid;
        c->peer.pid = cred.pid;
    }
    c->is_pre = c->is_silent = true;
    li->n_pre++;
    count(c);
    conn_deadline(c, c->born + HANDSHAKE_SILENT_MS * USEC_PER_MS);
    if (li->is_paused)
        conn_reread(c);
}

static void on_accept(void *ctx, int events)
{
    struct listener *li = ctx;

    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage ss = { 0 };
        socklen_t len = sizeof(ss);

        if (!may_accept(li)) {
            wait(li);
            break;
        }
        int fd = accept4(li->socket.fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            if (li->socket.is_unix)
                ss.ss_family = AF_UNIX;
            net_stats.accepted++;
            /* The second half of the places is for those who have spoken. */
            if (li->row.n == 0 && li->n_counted < LIMIT_HANDSHAKES / 2 && may_start(li))
                start(li, fd, (struct sockaddr *)&ss);
            else
                waiting_push(&li->row, fd, (struct sockaddr *)&ss, loop_now(li->l));
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            /* Readable for ever, and nothing to be done now: look again in a moment. */
            log_debug("listen.no_descriptors", "accept paused");
            wait(li);
            wheel_set(li->l, &li->retry, loop_now(li->l) + RETRY_MS * USEC_PER_MS);
            break;
        } else if (errno == EAGAIN) {
            break;
        } /* else: that one left already */
    }
    go_on(li);
}

/* -- opening */
static size_t default_max(void)
{
    struct rlimit rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) < 0 || rl.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    return rl.rlim_cur > FD_RESERVE * 2 ? rl.rlim_cur - FD_RESERVE : rl.rlim_cur / 2;
}

static int listen_any(struct loop *l, const struct listen_conf *conf, enum kind kind, struct listener **ret,
                      struct err *err)
{
    AUTO(listener_free) struct listener *li = xnew0(struct listener);
    int r;

    li->l = l;
    li->kind = kind;
    li->socket.fd = li->row.fd = -1;
    li->retry.fire = on_retry;
    r = listen_socket_open(conf, &li->socket, err);
    if (r < 0)
        return r;
    r = waiting_open(&li->row);
    if (r < 0)
        return listen__fail(err, conf, r);
    li->tls = conf->tls ? tls_ctx_ref(conf->tls) : NULL;
    li->allow_plain = conf->allow_plain && (!conf->plain_loopback_only || li->socket.is_loopback);
    li->tag = conf->tag;
    li->max_conns = conf->max_conns ? conf->max_conns : default_max();
    li->row.may_half_close = li->allow_plain;
    /* Half of what there is: a flood that fills the row leaves descriptors for those who are known. */
    li->row_max = li->max_conns / 2 + 1 < LIMIT_WAITING_CONNS ? li->max_conns / 2 + 1 : LIMIT_WAITING_CONNS;
    li->watch = watch_new(l, li->socket.fd, on_accept, li);
    li->row_watch = watch_new(l, li->row.fd, on_row, li);
    watch_set(li->watch, LOOP_READABLE);
    *ret = TAKE(li);
    return 0;
}

int listen_http(struct loop *l, const struct listen_conf *conf, const struct http_server_ops *ops, struct listener **ret,
                struct err *err)
{
    int r = listen_any(l, conf, KIND_HTTP, ret, err);

    if (r == 0)
        (*ret)->ops.http = *ops;
    return r;
}

int listen_grpc(struct loop *l, const struct listen_conf *conf, const struct grpc_server_ops *ops, struct listener **ret,
                struct err *err)
{
    int r = listen_any(l, conf, KIND_GRPC, ret, err);

    if (r == 0)
        (*ret)->ops.grpc = *ops;
    return r;
}

static int64_t ws_head(void *ctx, const struct http_req *req)
{
    (void)ctx;
    return ws__listen_head(req);
}

static void ws_request(void *ctx, uint64_t exchange, const struct http_req *req)
{
    struct listener *li = ctx;

    ws__listen_request(&li->ops.ws, exchange, req);
}

int listen_ws(struct loop *l, const struct listen_conf *conf, const struct ws_server_ops *ops, struct listener **ret,
              struct err *err)
{
    int r = listen_any(l, conf, KIND_WS, ret, err);

    if (r < 0)
        return r;
    (*ret)->ops.ws = *ops;
    (*ret)->ws_http = (struct http_server_ops){ .head = ws_head, .request = ws_request, .ctx = *ret };
    return 0;
}

void listener_set_tls(struct listener *li, struct tls_ctx *tls)
{
    struct tls_ctx *old = li->tls;

    li->tls = tls ? tls_ctx_ref(tls) : NULL;
    tls_ctx_free(old);
}

uint16_t listener_port(const struct listener *li)
{
    return li->socket.port;
}

void listener_stop(struct listener *li)
{
    if (li->is_stopped)
        return;
    li->is_stopped = true;
    wheel_del(li->l, &li->retry);
    watch_free(TAKE(li->row_watch));
    waiting_close(&li->row);
    watch_free(TAKE(li->watch));
    listen_socket_close(&li->socket);
}

void listener_drain(struct listener *li)
{
    struct conn *c, *next;

    for (c = li->conns; c; c = next) {
        next = c->next;
        if (c->state == CONN_CLOSED)
            continue;
        if (c->ops == &h2_conn_ops)
            h2_drain(c->proto);
        else if (c->ops == &http_conn_ops)
            http_conn_drain(c);
        else if (c->ops == &ws_conn_ops)
            ws_conn_drain(c);
        else
            conn_close(c, NULL);
    }
}

size_t listener_conns(const struct listener *li)
{
    return li->n_conns;
}

void listener_pause_reads(struct listener *li, bool paused)
{
    if (li->is_paused == paused)
        return;
    li->is_paused = paused;
    for (struct conn *c = li->conns; c; c = c->next)
        conn_reread(c);
}

void listener_free(struct listener *li)
{
    if (!li)
        return;
    listener_stop(li);
    while (li->conns) {
        for (struct conn *c = li->conns; c; c = c->next)
            conn_close(c, NULL);
        conn__reap_owner(li->l, li);
    }
    tls_ctx_free(li->tls);
    free(li);
}
