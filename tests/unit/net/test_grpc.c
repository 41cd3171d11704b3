/* Promises of net/grpc.h over real sockets: both sides of it in one process, on one loop. */
#include <sys/stat.h>
#include <unistd.h>

#include "net/http2.h"
#include "net/listen.h"
#include "raw.h"

static struct loop *l;
static struct listener *li;
static struct certs *certs;
static struct tls_ctx *stls, *ctls;
static struct grpc_client *client;

/* -- the server: echoes, or does what the path says */
static struct {
    uint64_t call;
    int n_opened, n_messages, n_half, n_closed;
    struct buf got;
    char uri[PKI_URI_MAX], serial[PKI_SERIAL_HEX_MAX], path[64], meta[64];
    bool has_cert, is_tls;
    usec_t deadline;
    struct err why;
} srv;

static int on_open(void *ctx, uint64_t call, const struct grpc_call_info *info, void **ret_user, const char **ret_message)
{
    (void)ctx;
    srv.n_opened++;
    srv.call = call;
    srv.has_cert = info->tls->has_cert;
    srv.is_tls = info->tls->is_tls;
    srv.deadline = info->deadline;
    (void)str_copy(str_of(info->tls->uri), srv.uri, sizeof(srv.uri));
    (void)str_copy(str_of(info->tls->serial), srv.serial, sizeof(srv.serial));
    (void)str_copy(info->path, srv.path, sizeof(srv.path));
    for (size_t i = 0; i < info->metadata.n; i++)
        if (str_is(info->metadata.v[i].key, "x-test"))
            (void)str_copy(info->metadata.v[i].value, srv.meta, sizeof(srv.meta));
    *ret_user = &srv;
    if (str_is(info->path, "/t/Refuse")) {
        *ret_message = "not 100% you";
        return GRPC_PERMISSION_DENIED;
    }
    if (str_is(info->path, "/t/FinishAtOnce"))
        grpc_finish(call, GRPC_ALREADY_EXISTS, "gr\303\274n");
    return 0;
}

static void on_message(void *ctx, uint64_t call, void *user, struct str msg)
{
    (void)ctx;
    assert_ptr_equal(user, &srv);
    srv.n_messages++;
    if (strcmp(srv.path, "/t/Echo") == 0)
        assert_true(grpc_send(call, msg) > 0);
    else if (strcmp(srv.path, "/t/Sink") == 0)
        buf_str(&srv.got, msg);
}

static void on_half_close(void *ctx, uint64_t call, void *user)
{
    (void)ctx, (void)user;
    srv.n_half++;
    if (strcmp(srv.path, "/t/Echo") == 0)
        assert_int_equal(grpc_finish(call, GRPC_OK, NULL), 0);
}

static void on_closed(void *ctx, uint64_t call, void *user, const struct err *why)
{
    (void)ctx, (void)call;
    assert_ptr_equal(user, &srv);
    srv.why = *why;
    srv.n_closed++;
}

static const struct grpc_server_ops sops = { on_open, on_message, on_half_close, on_closed, NULL };

/* -- the client */
static struct {
    int n_connected, n_gone, n_messages, n_finished, status;
    struct err err;
    struct buf got;
    char message[128];
} cli;

static void on_connected(void *ctx, const struct tls_peer *peer)
{
    (void)ctx, (void)peer;
    cli.n_connected++;
}

static void on_disconnected(void *ctx, const struct err *err)
{
    (void)ctx;
    cli.n_gone++;
    cli.err = *err;
}

static void on_reply(void *ctx, uint64_t call, struct str msg)
{
    (void)ctx, (void)call;
    cli.n_messages++;
    buf_str(&cli.got, msg);
    buf_char(&cli.got, '|');
}

static void on_finished(void *ctx, uint64_t call, int status, struct str message)
{
    (void)ctx, (void)call;
    cli.n_finished++;
    cli.status = status;
    (void)str_copy(message, cli.message, sizeof(cli.message));
}

static const struct grpc_client_ops cops = { on_connected, on_disconnected, NULL };
static const struct grpc_client_call_ops call_ops = { on_reply, on_finished, NULL };

static struct tls_ctx *client_tls(bool with_cert)
{
    struct err err = { 0 };
    struct tls_client_conf conf = { .pin = certs->pin, .expect_uri = "spiffe://test/*", .alpn = alpn_h2,
                                    .cert_pem = with_cert ? certs->client : NULL,
                                    .key_pem = with_cert ? certs->client_key : NULL };
    struct tls_ctx *t = tls_client_new(&conf, &err);

    assert_non_null(t);
    return t;
}

static void listen_with(bool plain)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .tls = stls, .allow_plain = plain };
    struct err err = { 0 };

    assert_int_equal(listen_grpc(l, &conf, &sops, &li, &err), 0);
}

static void start_client(struct tls_ctx *tls)
{
    struct grpc_client_conf conf = { .host = "127.0.0.1", .port = listener_port(li), .tls = tls,
                                     .ping_every = 10 * USEC_PER_SEC, .ping_timeout = 15 * USEC_PER_SEC };

    client = grpc_client_new(l, &conf, &cops);
}

static void connect_client(void)
{
    start_client(ctls);
    TURN_UNTIL(l, cli.n_connected == 1);
}

static uint64_t call(const char *path, usec_t timeout)
{
    struct kv kv = { STR("x-test"), STR("meta") };
    struct kv_list meta = { &kv, 1 };
    uint64_t id = 0;

    assert_int_equal(grpc_client_call(client, path, &meta, timeout, &call_ops, &id), 0);
    return id;
}

static int up(void **state)
{
    (void)state;
    memset(&srv, 0, sizeof(srv));
    memset(&cli, 0, sizeof(cli));
    srv.got = BUF(64 << 20);
    cli.got = BUF(64 << 20);
    l = loop_new();
    stls = server_tls(certs, alpn_h2);
    ctls = client_tls(true);
    client = NULL;
    listen_with(false);
    return 0;
}

static int down(void **state)
{
    (void)state;
    grpc_client_free(client);
    listener_free(li);
    loop_poll(l);
    tls_ctx_free(stls);
    tls_ctx_free(ctls);
    loop_free(l);
    buf_done(&srv.got);
    buf_done(&cli.got);
    return 0;
}

/* -- tests */
static void messages_go_both_ways_over_mutual_tls(void **state)
{
    struct pki_cert cert;
    struct err err = { 0 };
    uint64_t id;

    (void)state;
    connect_client();
    id = call("/t/Echo", 0);
    assert_true(grpc_send(id, STR("one")) > 0);
    assert_true(grpc_send(id, STR("")) > 0);
    assert_true(grpc_send(id, STR("three")) > 0);
    TURN_UNTIL(l, cli.n_messages == 3);
    assert_string_equal(buf_as_cstr(&cli.got), "one||three|");
    assert_int_equal(grpc_half_close(id), 0);
    assert_int_equal(grpc_send(id, STR("late")), -ENOTCONN);
    TURN_UNTIL(l, cli.n_finished == 1);
    assert_int_equal(cli.status, GRPC_OK);
    TURN_UNTIL(l, srv.n_closed == 1);
    assert_string_equal(srv.why.slug, "");
    assert_true(srv.is_tls && srv.has_cert);
    assert_string_equal(srv.uri, "spiffe://test/host/1");
    assert_string_equal(srv.meta, "meta");
    assert_int_equal(pki_cert_read(str_of(certs->client), &cert, &err), 0);
    assert_string_equal(srv.serial, cert.serial);
    assert_string_equal(grpc_client_local(client)->addr, "127.0.0.1");
    assert_int_equal(grpc_send(srv.call, STR("x")), -ENOTCONN);
}

static void without_a_certificate_the_call_says_so(void **state)
{
    struct tls_ctx *none = client_tls(false);

    (void)state;
    start_client(none);
    TURN_UNTIL(l, cli.n_connected == 1);
    call("/t/Echo", 0);
    TURN_UNTIL(l, srv.n_opened == 1);
    assert_true(srv.is_tls && !srv.has_cert);
    assert_non_null(tls_pinned_ca(none));
    tls_ctx_free(none);
}

static void a_refused_call_carries_status_and_message(void **state)
{
    (void)state;
    connect_client();
    grpc_send(call("/t/Refuse", 0), STR("x"));
    TURN_UNTIL(l, cli.n_finished == 1);
    assert_int_equal(cli.status, GRPC_PERMISSION_DENIED);
    assert_string_equal(cli.message, "not 100% you");
    TURN_SOME(l);
    assert_int_equal(srv.n_closed, 0); /* it was never opened */
    assert_int_equal(srv.n_messages, 0);
}

static void a_call_may_be_finished_where_it_is_opened(void **state)
{
    (void)state;
    connect_client();
    call("/t/FinishAtOnce", 0);
    TURN_UNTIL(l, cli.n_finished == 1);
    assert_int_equal(cli.status, GRPC_ALREADY_EXISTS);
    assert_string_equal(cli.message, "gr\303\274n");
    TURN_UNTIL(l, srv.n_closed == 1);
}

static void what_was_queued_comes_before_the_status(void **state)
{
    (void)state;
    connect_client();
    grpc_send(call("/t/Sink", 0), STR("x"));
    TURN_UNTIL(l, srv.n_messages == 1);
    grpc_accept(srv.call);
    for (int i = 0; i < 1000; i++)
        grpc_send(srv.call, STR("0123456789"));
    grpc_finish(srv.call, GRPC_ABORTED, "enough");
    TURN_UNTIL(l, cli.n_finished == 1);
    assert_int_equal(cli.n_messages, 1000);
    assert_int_equal(cli.status, GRPC_ABORTED);
    assert_string_equal(cli.message, "enough");
}

static void a_large_message_comes_whole_and_one_over_the_limit_is_refused(void **state)
{
    AUTO_FREE char *big = xcalloc(1, LIMIT_GRPC_MESSAGE + 1);
    uint64_t id;

    (void)state;
    connect_client();
    id = call("/t/Sink", 0);
    memset(big, 'x', LIMIT_GRPC_MESSAGE + 1);
    grpc_send(id, str_bytes(big, LIMIT_GRPC_MESSAGE));
    TURN_UNTIL(l, srv.n_messages == 1);
    assert_int_equal(srv.got.len, LIMIT_GRPC_MESSAGE);
    grpc_send(id, str_bytes(big, LIMIT_GRPC_MESSAGE + 1));
    TURN_UNTIL(l, cli.n_finished == 1);
    assert_int_equal(cli.status, GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(srv.n_messages, 1);
    TURN_UNTIL(l, srv.n_closed == 1);
}

static void a_deadline_reaches_the_server_and_ends_the_call_on_both_sides(void **state)
{
    (void)state;
    connect_client();
    call("/t/Sink", 5 * USEC_PER_SEC);
    TURN_UNTIL(l, srv.n_opened == 1);
    assert_true(srv.deadline > loop_now(l) && srv.deadline <= loop_now(l) + 5 * USEC_PER_SEC);
    loop__turn_clock(l, 6 * USEC_PER_SEC);
    TURN_UNTIL(l, cli.n_finished == 1 && srv.n_closed == 1);
    assert_int_equal(cli.status, GRPC_DEADLINE_EXCEEDED);
}

static void cancelling_ends_the_call_on_both_sides(void **state)
{
    uint64_t id;

    (void)state;
    connect_client();
    id = call("/t/Sink", 0);
    TURN_UNTIL(l, srv.n_opened == 1);
    grpc_cancel(id);
    TURN_UNTIL(l, cli.n_finished == 1 && srv.n_closed == 1);
    assert_int_equal(cli.status, GRPC_CANCELLED);
    assert_string_equal(srv.why.slug, "net.cancelled");
    assert_int_equal(grpc_send(srv.call, STR("x")), -ENOTCONN);
}

static void a_paused_call_stops_its_peer_and_no_other(void **state)
{
    AUTO_FREE char *mib = xcalloc(1, 1 << 20);
    uint64_t slow, fast, slow_srv;

    (void)state;
    connect_client();
    slow = call("/t/Sink", 0);
    TURN_UNTIL(l, srv.n_opened == 1);
    slow_srv = srv.call;
    grpc_pause(slow_srv, true);
    grpc_send(slow, str_bytes(mib, 1 << 20));
    TURN_SOME(l);
    assert_true(grpc_queued(slow) > (1 << 20) / 2);
    fast = call("/t/Sink", 0);
    for (int i = 0; i < 4; i++)
        grpc_send(fast, str_bytes(mib, 1 << 20));
    TURN_UNTIL(l, srv.n_messages == 4);
    grpc_pause(slow_srv, false);
    TURN_UNTIL(l, srv.n_messages == 5);
}

static int n_drained;

static void on_drain(void *ctx, uint64_t id)
{
    (void)ctx, (void)id;
    n_drained++;
}

static void a_full_queue_tells_when_there_is_room(void **state)
{
    AUTO_FREE char *mib = xcalloc(1, 1 << 20);
    uint64_t id;

    (void)state;
    n_drained = 0;
    connect_client();
    id = call("/t/Sink", 0);
    for (int i = 0; i < 4; i++)
        grpc_send(id, str_bytes(mib, 1 << 20));
    assert_true(grpc_queued(id) > LIMIT_WRITE_HIGH);
    grpc_on_drain(id, on_drain, NULL);
    loop_poll(l);
    assert_int_equal(n_drained, 0);
    TURN_UNTIL(l, n_drained == 1);
    assert_true(grpc_queued(id) < LIMIT_WRITE_LOW);
}

static void a_lost_connection_finishes_calls_then_says_goodbye(void **state)
{
    (void)state;
    connect_client();
    call("/t/Sink", 0);
    TURN_UNTIL(l, srv.n_opened == 1);
    listener_free(li);
    li = NULL;
    assert_int_equal(srv.n_closed, 1);
    TURN_UNTIL(l, cli.n_gone == 1);
    assert_int_equal(cli.n_finished, 1);
    assert_int_equal(cli.status, GRPC_UNAVAILABLE);
    uint64_t id;

    assert_int_equal(grpc_client_call(client, "/t/Echo", NULL, 0, &call_ops, &id), -ENOTCONN);
}

static void freeing_the_client_is_silent_and_the_server_notices(void **state)
{
    (void)state;
    connect_client();
    call("/t/Sink", 0);
    TURN_UNTIL(l, srv.n_opened == 1);
    grpc_client_free(TAKE(client));
    TURN_UNTIL(l, srv.n_closed == 1);
    assert_string_equal(srv.why.slug, "net.closed");
    TURN_UNTIL(l, listener_conns(li) == 0);
    assert_int_equal(cli.n_gone, 0);
    assert_int_equal(cli.n_finished, 0);
}

static void draining_lets_calls_end_and_takes_no_new_ones(void **state)
{
    uint64_t id, other;

    (void)state;
    connect_client();
    id = call("/t/Echo", 0);
    grpc_send(id, STR("a"));
    TURN_UNTIL(l, cli.n_messages == 1);
    listener_drain(li);
    TURN_SOME(l);
    assert_int_equal(grpc_client_call(client, "/t/Echo", NULL, 0, &call_ops, &other), -ENOTCONN);
    grpc_send(id, STR("b"));
    TURN_UNTIL(l, cli.n_messages == 2);
    grpc_half_close(id);
    TURN_UNTIL(l, cli.n_finished == 1);
    assert_int_equal(cli.status, GRPC_OK);
    TURN_UNTIL(l, cli.n_gone == 1);
}

/* -- half-open connections: who does not read looks like a machine without power */
static void a_silent_server_is_noticed_by_the_client_within_30_s(void **state)
{
    usec_t start;

    (void)state;
    connect_client();
    call("/t/Sink", 0);
    TURN_UNTIL(l, srv.n_opened == 1);
    listener_pause_reads(li, true); /* the server does not read: no PING is answered, and it keeps quiet itself */
    start = loop_now(l);
    while (cli.n_gone == 0 && loop_now(l) < start + 60 * USEC_PER_SEC) {
        loop__turn_clock(l, 100 * USEC_PER_MS);
        loop_poll(l);
    }
    assert_int_equal(cli.n_gone, 1);
    assert_string_equal(cli.err.slug, "net.timeout");
    assert_true(loop_now(l) - start <= 30 * USEC_PER_SEC);
    assert_int_equal(srv.n_closed, 0); /* who pauses does not judge */
}

static void a_silent_client_is_noticed_by_the_server_within_30_s(void **state)
{
    usec_t start;
    int fd;

    (void)state;
    listener_free(li);
    listen_with(true);
    fd = raw_open(listener_port(li));
    raw_send(fd, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    raw_send(fd, str_bytes("\0\0\0\4\0\0\0\0\0", 9));
    TURN_UNTIL(l, listener_conns(li) == 1);
    TURN_SOME(l);
    start = loop_now(l);
    while (listener_conns(li) == 1 && loop_now(l) < start + 60 * USEC_PER_SEC) {
        loop__turn_clock(l, 100 * USEC_PER_MS);
        loop_poll(l);
    }
    assert_int_equal(listener_conns(li), 0);
    assert_true(loop_now(l) - start <= 30 * USEC_PER_SEC);
    close(fd);
}

static void a_healthy_quiet_link_stays(void **state)
{
    (void)state;
    connect_client();
    call("/t/Sink", 0);
    TURN_UNTIL(l, srv.n_opened == 1);
    for (int i = 0; i < 1200; i++) {
        loop__turn_clock(l, 250 * USEC_PER_MS);
        for (int j = 0; j < 8; j++)
            loop_poll(l);
    }
    assert_int_equal(cli.n_gone, 0);
    assert_int_equal(srv.n_closed, 0);
    assert_int_equal(listener_conns(li), 1);
}

/* -- how connecting fails */
static void expect_failure(const struct tls_client_conf *conf, const char *slug)
{
    struct err err = { 0 };
    struct tls_ctx *t = tls_client_new(conf, &err);

    assert_non_null(t);
    start_client(t);
    TURN_UNTIL(l, cli.n_gone == 1);
    assert_string_equal(cli.err.slug, slug);
    assert_int_equal(cli.n_connected, 0);
    assert_int_equal(srv.n_opened, 0);
    tls_ctx_free(t);
}

static void a_wrong_pin_is_named(void **state)
{
    uint8_t pin[SHA256_LEN] = { 1 };
    struct tls_client_conf conf = { .pin = pin, .alpn = alpn_h2 };

    (void)state;
    expect_failure(&conf, "tls.pin");
}

static void a_pinned_certificate_must_really_sign_the_leaf(void **state)
{
    struct certs *other = certs_new();
    AUTO_FREE char *mixed = xasprintf("%s%s", certs->server_chain, other->ca);
    struct err err = { 0 };
    struct tls_server_conf sconf = { .cert_pem = mixed, .key_pem = certs->server_key, .alpn = alpn_h2 };
    struct tls_ctx *t = tls_server_new(&sconf, &err);
    struct tls_client_conf conf = { .pin = other->pin, .alpn = alpn_h2 };

    (void)state;
    assert_non_null(t);
    listener_set_tls(li, t);
    tls_ctx_free(t);
    expect_failure(&conf, "tls.untrusted");
    certs_free(other);
}

static void an_unknown_ca_is_named(void **state)
{
    struct certs *other = certs_new();
    struct tls_client_conf conf = { .ca_pem = other->ca, .alpn = alpn_h2 };

    (void)state;
    expect_failure(&conf, "tls.untrusted");
    certs_free(other);
}

static void a_wrong_name_is_named(void **state)
{
    struct tls_client_conf conf = { .pin = certs->pin, .expect_uri = "spiffe://other/server", .alpn = alpn_h2 };

    (void)state;
    expect_failure(&conf, "tls.name");
}

static void a_wrong_clock_is_named(void **state)
{
    static const int64_t lives[2][2] = { { HOUR_US, 2 * HOUR_US }, { -2 * HOUR_US, -HOUR_US } };

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct certs *old = certs_new_at(lives[i][0], lives[i][1]);
        struct tls_ctx *t = server_tls(old, alpn_h2);
        struct tls_client_conf conf = { .pin = old->pin, .alpn = alpn_h2 };

        listener_set_tls(li, t);
        expect_failure(&conf, "tls.clock");
        grpc_client_free(TAKE(client));
        tls_ctx_free(t);
        certs_free(old);
        memset(&cli.err, 0, sizeof(cli.err));
        cli.n_gone = 0;
    }
}

static void a_client_certificate_of_another_ca_is_refused(void **state)
{
    struct certs *other = certs_new();
    struct tls_client_conf conf = { .pin = certs->pin, .alpn = alpn_h2, .cert_pem = other->client,
                                    .key_pem = other->client_key };

    (void)state;
    expect_failure(&conf, "tls.refused");
    certs_free(other);
}

static void an_expired_client_certificate_is_refused(void **state)
{
    AUTO_FREE char *old = issue(certs, certs->client_key, "spiffe://test/host/1", false, -2 * HOUR_US, -HOUR_US);
    struct tls_client_conf conf = { .pin = certs->pin, .alpn = alpn_h2, .cert_pem = old, .key_pem = certs->client_key };

    (void)state;
    expect_failure(&conf, "tls.refused");
}

static void a_closed_port_is_named(void **state)
{
    struct grpc_client_conf conf = { .host = "127.0.0.1", .port = listener_port(li), .tls = ctls };

    (void)state;
    listener_stop(li);
    client = grpc_client_new(l, &conf, &cops);
    assert_int_equal(cli.n_gone, 0); /* never from inside */
    TURN_UNTIL(l, cli.n_gone == 1);
    assert_string_equal(cli.err.slug, "net.refused");
}

static void a_server_that_says_nothing_times_out(void **state)
{
    struct grpc_client_conf conf = { .host = "127.0.0.1", .port = listener_port(li), .tls = ctls };

    (void)state;
    listener_pause_reads(li, true);
    client = grpc_client_new(l, &conf, &cops);
    TURN_SOME(l);
    loop__turn_clock(l, 14 * USEC_PER_SEC);
    TURN_SOME(l);
    assert_int_equal(cli.n_gone, 0);
    loop__turn_clock(l, 2 * USEC_PER_SEC);
    TURN_UNTIL(l, cli.n_gone == 1);
    assert_string_equal(cli.err.slug, "net.timeout");
}

static void new_connections_use_the_reloaded_certificate(void **state)
{
    struct certs *next = certs_new();
    struct tls_ctx *t = server_tls(next, alpn_h2);
    struct tls_client_conf conf = { .pin = certs->pin, .alpn = alpn_h2 };

    (void)state;
    connect_client();
    grpc_send(call("/t/Echo", 0), STR("a"));
    TURN_UNTIL(l, cli.n_messages == 1);
    listener_set_tls(li, t);
    tls_ctx_free(t);
    /* The old one goes on. */
    grpc_send(call("/t/Echo", 0), STR("b"));
    TURN_UNTIL(l, cli.n_messages == 2);
    struct grpc_client *first = client;
    struct err err = { 0 };
    struct tls_ctx *old = tls_client_new(&conf, &err);

    start_client(old);
    TURN_UNTIL(l, cli.n_gone == 1);
    assert_string_equal(cli.err.slug, "tls.pin");
    grpc_client_free(first);
    tls_ctx_free(old);
    certs_free(next);
}

static int group_up(void **state)
{
    (void)state;
    certs = certs_new();
    return 0;
}

static int group_down(void **state)
{
    (void)state;
    certs_free(certs);
    return 0;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        T(messages_go_both_ways_over_mutual_tls),
        T(without_a_certificate_the_call_says_so),
        T(a_refused_call_carries_status_and_message),
        T(a_call_may_be_finished_where_it_is_opened),
        T(what_was_queued_comes_before_the_status),
        T(a_large_message_comes_whole_and_one_over_the_limit_is_refused),
        T(a_deadline_reaches_the_server_and_ends_the_call_on_both_sides),
        T(cancelling_ends_the_call_on_both_sides),
        T(a_paused_call_stops_its_peer_and_no_other),
        T(a_full_queue_tells_when_there_is_room),
        T(a_lost_connection_finishes_calls_then_says_goodbye),
        T(freeing_the_client_is_silent_and_the_server_notices),
        T(draining_lets_calls_end_and_takes_no_new_ones),
        T(a_silent_server_is_noticed_by_the_client_within_30_s),
        T(a_silent_client_is_noticed_by_the_server_within_30_s),
        T(a_healthy_quiet_link_stays),
        T(a_wrong_pin_is_named),
        T(a_pinned_certificate_must_really_sign_the_leaf),
        T(an_unknown_ca_is_named),
        T(a_wrong_name_is_named),
        T(a_wrong_clock_is_named),
        T(a_client_certificate_of_another_ca_is_refused),
        T(an_expired_client_certificate_is_refused),
        T(a_closed_port_is_named),
        T(a_server_that_says_nothing_times_out),
        T(new_connections_use_the_reloaded_certificate),
    };

    return cmocka_run_group_tests(tests, group_up, group_down);
}
