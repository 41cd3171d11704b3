/* What the tests of net/listen.h share: a listener with TLS, a clock that stands still, clients that say part of a handshake. */
#ifndef TEST_LISTENING_H
#define TEST_LISTENING_H

#include "net/listen.h"
#include "net/tls.h"
#include "raw.h"

static struct loop *l;
static struct certs *certs;
static struct tls_ctx *tls;
static struct listener *li;

static inline int on_open(void *ctx, uint64_t call, const struct grpc_call_info *info, void **ret_user, const char **ret_message)
{
    (void)ctx, (void)call, (void)info, (void)ret_user, (void)ret_message;
    return 0;
}

static inline void on_message(void *ctx, uint64_t call, void *user, struct str msg)
{
    (void)ctx, (void)call, (void)user, (void)msg;
}

static const struct grpc_server_ops ops = { .open = on_open, .message = on_message };

static inline void listen_now(const struct listen_conf *conf)
{
    struct err err = { 0 };

    assert_int_equal(listen_grpc(l, conf, &ops, &li, &err), 0);
}

/* Made once: what it costs would be taken from the time that a handshake has. Any server answers it, as often as it comes. */
static struct buf hello_bytes;
static inline void make_hello(void)
{
    const struct tls_client_conf conf = { .skip_verify = true, .alpn = alpn_h2 };
    struct err err = { 0 };
    AUTO(tls_ctx_free) struct tls_ctx *ctx = tls_client_new(&conf, &err);
    struct tls *t;

    hello_bytes = BUF(16384);
    assert_non_null(ctx);
    t = tls_new(l, ctx, NULL);
    tls_lend(t, NULL, 0);
    assert_int_equal(tls_handshake(t, &err), 0);
    buf_append(&hello_bytes, t->sc->cipher, t->sc->cipher_len);
    t->sc->cipher_len = 0;
    tls_free(t);
}

static inline int up(void **state)
{
    (void)state;
    l = loop_new();
    loop__stop_clock(l); /* on a slow machine as on a fast one */
    tls = server_tls(certs, alpn_h2);
    if (hello_bytes.len == 0)
        make_hello();
    return 0;
}

static inline int down(void **state)
{
    (void)state;
    listener_free(li);
    tls_ctx_free(tls);
    loop_free(l);
    return 0;
}

/* The beginning of a ClientHello: the first byte alone opens a handshake. */
static inline int half_hello(void)
{
    int fd = raw_open(listener_port(li));

    raw_send(fd, str_bytes("\x16\x03\x01\x02\x00\x01", 6));
    return fd;
}

/* A whole ClientHello and nothing more: the server makes its half of the handshake and waits. */
static inline int hello(void)
{
    int fd = raw_open(listener_port(li));

    raw_send(fd, buf_as_str(&hello_bytes));
    return fd;
}

static inline int most_of_a_hello(void)
{
    int fd = raw_open(listener_port(li));

    raw_send(fd, str_bytes(hello_bytes.ptr, 100));
    return fd;
}

static inline void rest_of_a_hello(int fd)
{
    raw_send(fd, str_bytes(hello_bytes.ptr + 100, hello_bytes.len - 100));
}

static inline bool has_answer(int fd)
{
    char c;

    return recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
}

/* The last @n places taken by @fd. */
static inline void fill_places(int *fd, int n)
{
    for (int i = 0; i < n; i++) {
        fd[i] = hello();
        loop_poll(l);
    }
    for (int i = 0; i < n; i++)
        TURN_UNTIL(l, has_answer(fd[i]));
    assert_int_equal(net_stats.handshakes_in_flight, LIMIT_HANDSHAKES);
}

static inline void take_all_places(int *fd)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .tls = tls };

    listen_now(&conf);
    fill_places(fd, LIMIT_HANDSHAKES);
}

static inline void close_all(const int *fd, int n)
{
    for (int i = 0; i < n; i++)
        close(fd[i]);
    TURN_UNTIL(l, listener_conns(li) == 0 || (loop__turn_clock(l, USEC_PER_SEC), false));
}

static inline int group_up(void **state)
{
    (void)state;
    certs = certs_new();
    return 0;
}

static inline int group_down(void **state)
{
    (void)state;
    certs_free(certs);
    buf_done(&hello_bytes);
    return 0;
}

#endif
