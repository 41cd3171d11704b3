/* agent/link_stream.c - the link's one gRPC stream: Hello and Welcome, what the spool holds, heartbeats, renewal, and what the
 * server says. See link.h. */
#include <errno.h>

#include "agent/claims.h"
#include "agent/link_priv.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "fleet/credential.h"
#include "pb/pb.h"

enum {
    PROTOCOL = 1,
    HELLO_ARENA = 1 << 20,
    PING_EVERY = 10 * 1000 * 1000,
    PING_TIMEOUT = 15 * 1000 * 1000,  /* together under the 30 s in which a half-open link is noticed */
    GREETING = 30 * 1000 * 1000,      /* Welcome within */
    BEAT_DEFAULT_MS = 10000, BEAT_MIN_MS = 100, BEAT_MAX_MS = 600000,
    NOTE_EVERY = 60 * 1000 * 1000,
};

int64_t link__send(struct link *l, const Muster__V1__AgentMessage *m)
{
    AUTO(buf_done) struct buf out = BUF(LIMIT_GRPC_MESSAGE);
    int r = pb_pack(m, &out);

    return r < 0 ? r : grpc_send(l->call, buf_as_str(&out));
}

static void link_on_drain(void *ctx, uint64_t call)
{
    struct link *l = ctx;

    if (call != l->call || l->phase != LINK_UP)
        return;
    l->is_drain_asked = false;
    timer_start(l->timer, 0, 0); /* outside of net's own stack */
}

void link__ask_drain(struct link *l)
{
    if (l->is_drain_asked)
        return;
    l->is_drain_asked = grpc_on_drain(l->call, link_on_drain, l) == 0;
}

/* Sends what waits in the spool, as far as the queue takes it. */
void link__pump(struct link *l)
{
    struct spool *s = hub_spool(l->conf.hub);
    struct str msg;
    uint64_t seq;
    int r;

    if (l->phase != LINK_UP)
        return;
    while ((r = spool_next(s, l->sent_seq, &msg, &seq)) == 1) {
        AUTO(buf_done) struct buf out = BUF(LIMIT_GRPC_MESSAGE);
        Muster__V1__AgentMessage number = MUSTER__V1__AGENT_MESSAGE__INIT;
        int64_t queued;

        if (grpc_queued(l->call) > LIMIT_WRITE_LOW) {
            link__ask_drain(l);
            return;
        }
        /* It was packed before it had a number; in protobuf, two messages one after the other are one merged message. */
        number.seq = seq;
        if (buf_str(&out, msg) < 0 || pb_pack(&number, &out) < 0) {
            l->sent_seq = seq;
            continue;
        }
        queued = grpc_send(l->call, buf_as_str(&out));
        if (queued < 0)
            return;
        l->sent_seq = seq;
    }
    if (r < 0) {
        struct err err = { 0 };

        (void)err_set(&err, r, "spool.read", "the spool cannot be read: %m");
        log_error("spool.broken", "the spool is unreadable and begins anew", LOG_ERR(&err));
        if (spool_renew(s) == 0)
            hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_UNKEPT });
        link__close_soon(l, &err);
    }
}

static void link_hello(struct link *l)
{
    AUTO(arena_free) struct arena *a = arena_new(HELLO_ARENA);
    AUTO(buf_done) struct buf boot = BUF(64);
    Muster__V1__AgentMessage m = MUSTER__V1__AGENT_MESSAGE__INIT;
    Muster__V1__Hello h = MUSTER__V1__HELLO__INIT;
    struct spool *s = hub_spool(l->conf.hub);
    char boot_id[64] = "";

    if (fd_read_file("/proc/sys/kernel/random/boot_id", &boot) == 0)
        (void)str_copy(str_trim(buf_as_str(&boot)), boot_id, sizeof(boot_id));
    h.protocol = PROTOCOL;
    h.agent_version = (char *)(uintptr_t)MUSTER_VERSION;
    h.boot_id = boot_id;
    h.spool_epoch = spool_epoch(s);
    h.spool_first_seq = spool_first_seq(s);
    h.claims = claims_make(a, l->conf.root, l->conf.labels);
    h.agent_time_us = wall_now();
    hub_fill_hello(l->conf.hub, &h, a);
    hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_HELLO, .hello = &h, .arena = a });
    m.body_case = MUSTER__V1__AGENT_MESSAGE__BODY_HELLO;
    m.hello = &h;
    (void)link__send(l, &m);
}

static void link_beat(struct link *l)
{
    AUTO(arena_free) struct arena *a = arena_new(64 << 10);
    Muster__V1__AgentMessage m = MUSTER__V1__AGENT_MESSAGE__INIT;
    Muster__V1__Heartbeat b = MUSTER__V1__HEARTBEAT__INIT;

    hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_BEAT, .beat = &b });
    hub_fill_beat(l->conf.hub, &b, a);
    m.body_case = MUSTER__V1__AGENT_MESSAGE__BODY_HEARTBEAT;
    m.heartbeat = &b;
    (void)link__send(l, &m);
}

static void link_renew(struct link *l)
{
    Muster__V1__AgentMessage m = MUSTER__V1__AGENT_MESSAGE__INIT;
    Muster__V1__RenewRequest q = MUSTER__V1__RENEW_REQUEST__INIT;
    struct err err = { 0 };
    AUTO_FREE char *csr = pki_csr_new(l->conf.state->key_pem, l->conf.state->host_id, &err);

    l->renew_at = wall_now() + USEC_PER_HOUR; /* if nothing comes of it */
    if (!csr) {
        log_error("certificate.renew", "no request could be made", LOG_ERR(&err));
        return;
    }
    q.csr_pem = csr;
    m.body_case = MUSTER__V1__AGENT_MESSAGE__BODY_RENEW;
    m.renew = &q;
    (void)link__send(l, &m);
}

static void link_plan_renewal(struct link *l)
{
    const struct pki_cert *c = &l->conf.state->cert;

    l->renew_at = certificate_renew_at(c->not_before, c->not_after);
}

void link__on_beat(void *ctx)
{
    struct link *l = ctx;

    if (l->phase != LINK_UP)
        return;
    link_beat(l);
    if (wall_now() >= l->renew_at)
        link_renew(l);
    if (l->last_ack > l->noted_at && wall_now() - l->noted_at > NOTE_EVERY)
        link__note(l);
}

static void link_set_beat(struct link *l, uint32_t ms)
{
    if (ms == 0)
        ms = BEAT_DEFAULT_MS;
    ms = ms < BEAT_MIN_MS ? BEAT_MIN_MS : ms > BEAT_MAX_MS ? BEAT_MAX_MS : ms;
    if (ms == l->beat_ms && timer_is_running(l->beat))
        return;
    l->beat_ms = ms;
    timer_start(l->beat, ms * USEC_PER_MS, ms * USEC_PER_MS);
}

static void link_on_welcome(struct link *l, const Muster__V1__Welcome *w)
{
    struct spool *s = hub_spool(l->conf.hub);
    struct err err = { 0 };

    if (w->acked_seq > spool_last_seq(s)) {
        (void)err_set(&err, -ESTALE, "spool.stale", "the server remembers more than this state directory: it is an older copy");
        log_warn("spool.stale", "the spool begins anew", LOG_ERR(&err));
        if (spool_renew(s) == 0)
            hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_UNKEPT });
        link__close_soon(l, &err);
        return;
    }
    timer_stop(l->timer);
    l->phase = LINK_UP;
    l->n_failed = 0;
    l->slot = 0;
    l->up_since = l->last_ack = wall_now();
    l->is_told_pending = false;
    err_reset(&l->why);
    link__note_server_time(l, w->server_time_us);
    link_plan_renewal(l);
    spool_ack(s, w->acked_seq);
    l->sent_seq = w->acked_seq;
    log_info("link.up", "connected", LOG_CSTR("server", l->server), LOG_U64("generation", w->generation),
             LOG_CSTR("version", w->server_version));
    link__note(l);
    hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_ACKED, .acked_seq = w->acked_seq });
    hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_WELCOME, .welcome = w });
    link_set_beat(l, w->config ? w->config->heartbeat_ms : 0);
    link_beat(l);
    link__pump(l);
    l->ops.up(l->ops.ctx);
}

static void link_on_renewed(struct link *l, const Muster__V1__Renewed *r)
{
    struct err err = { 0 };

    if (r->error[0]) {
        log_warn("certificate.renew", "the server does not renew our certificate", LOG_CSTR("why", r->error));
        return;
    }
    if ((r->ca_pem[0] && state_set_ca(l->conf.state, r->ca_pem, &err) < 0) ||
        state_set_cert(l->conf.state, r->certificate_pem, &err) < 0) {
        log_error("certificate.renew", "the new certificate cannot be kept", LOG_ERR(&err));
        return;
    }
    tls_ctx_free(TAKE(l->tls)); /* the next connection uses it; this one goes on */
    link_plan_renewal(l);
    log_info("certificate.renewed", "our certificate was renewed", LOG_U64("days", (l->conf.state->cert.not_after - wall_now()) / USEC_PER_DAY));
    l->ops.enrolled(l->ops.ctx);
}

static void link_on_goodbye(struct link *l, const Muster__V1__Goodbye *g)
{
    struct err err = { 0 };

    (void)err_set(&err, -ESHUTDOWN, g->reason[0] ? g->reason : "server.goodbye", "%s",
                  g->message[0] ? g->message : "the server ended the link");
    if (g->forever) {
        hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_DISOWNED });
        l->over_code = 5;
    }
    l->slot = g->reconnect_after_ms * USEC_PER_MS;
    if (!l->slot && getenv("MUSTER_TEST_BACKOFF_MS") == NULL && strcmp(err.slug, "link.replaced") == 0)
        l->slot = link_backoff(5, rand_u64()); /* somebody else with our key is there: no tug of war */
    link__close_soon(l, &err);
}

/* @m lives until we return. */
static void link_take(struct link *l, const Muster__V1__ServerMessage *m)
{
    struct err err = { 0 };

    if (l->phase == LINK_GREETING && m->body_case != MUSTER__V1__SERVER_MESSAGE__BODY_WELCOME &&
        m->body_case != MUSTER__V1__SERVER_MESSAGE__BODY_GOODBYE) {
        (void)err_set(&err, -EPROTO, "protocol.error", "the server did not say Welcome first");
        link__close_soon(l, &err);
        return;
    }
    switch (m->body_case) {
    case MUSTER__V1__SERVER_MESSAGE__BODY_WELCOME:
        if (l->phase == LINK_GREETING)
            link_on_welcome(l, m->welcome);
        break;
    case MUSTER__V1__SERVER_MESSAGE__BODY_ACK:
        l->last_ack = wall_now();
        spool_ack(hub_spool(l->conf.hub), m->ack->seq);
        hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_ACKED, .acked_seq = m->ack->seq });
        link__pump(l);
        break;
    case MUSTER__V1__SERVER_MESSAGE__BODY_RENEWED:
        link_on_renewed(l, m->renewed);
        break;
    case MUSTER__V1__SERVER_MESSAGE__BODY_GOODBYE:
        link_on_goodbye(l, m->goodbye);
        break;
    case MUSTER__V1__SERVER_MESSAGE__BODY_CONFIG:
        link_set_beat(l, m->config->heartbeat_ms);
        hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_SERVER, .server = m });
        break;
    case MUSTER__V1__SERVER_MESSAGE__BODY_TASK_ACK:
        l->last_ack = wall_now();
        hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_SERVER, .server = m });
        break;
    default: /* a role's, or from a newer server */
        hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_SERVER, .server = m });
    }
}

static void link_on_message(void *ctx, uint64_t call, struct str msg)
{
    struct link *l = ctx;
    const Muster__V1__ServerMessage *m;
    struct pb_arena pa;

    if (call != l->call || (l->phase != LINK_GREETING && l->phase != LINK_UP))
        return;
    pb_arena_init(&pa, LIMIT_PB_ARENA);
    m = pb_unpack(&muster__v1__server_message__descriptor, &pa, msg);
    if (m) {
        link_take(l, m);
    } else {
        struct err err = { 0 };

        (void)err_set(&err, -EBADMSG, "protocol.error", "a message of the server cannot be read");
        link__close_soon(l, &err);
    }
    pb_arena_done(&pa);
}

/* Whatever ends while we take leave, stream or connection, is the end we asked for: out, in the next turn. */
static bool link_leaves(struct link *l)
{
    if (l->phase != LINK_LEAVING)
        return false;
    timer_start(l->timer, 0, 0);
    return true;
}

static void link_on_finished(void *ctx, uint64_t call, int status, struct str message)
{
    struct link *l = ctx;
    struct err err = { 0 };
    ptrdiff_t at = str_find(message, STR(": "));
    char slug[ERR_SLUG_MAX];

    if (call != l->call || l->phase == LINK_CLOSING || l->phase == LINK_OVER || link_leaves(l))
        return;
    if (at > 0 && str_copy(str_sub(message, 0, (size_t)at), slug, sizeof(slug)) == 0 && !strchr(slug, ' '))
        (void)err_set(&err, -ECONNRESET, slug, "%.*s", STR_FMT(str_sub(message, (size_t)at + 2, SIZE_MAX)));
    else
        (void)err_set(&err, -ECONNRESET, "link.ended", "the server ended the link (gRPC status %d%s%.*s)", status,
                      message.len ? ": " : "", STR_FMT(message));
    if (status == GRPC_UNAUTHENTICATED || status == GRPC_PERMISSION_DENIED)
        l->must_ask = true; /* revoked, forgotten, expired? the answer to that question says */
    link__close_soon(l, &err);
}

static void link_on_connected(void *ctx, const struct tls_peer *peer)
{
    struct link *l = ctx;
    struct grpc_client_call_ops ops = { .message = link_on_message, .finished = link_on_finished, .ctx = l };
    struct err err = { 0 };

    (void)peer;
    if (grpc_client_call(l->client, "/muster.v1.Fleet/Link", NULL, 0, &ops, &l->call) < 0) {
        (void)err_set(&err, -ENOTCONN, "net.closed", "the connection broke at once");
        link__close_soon(l, &err);
        return;
    }
    l->phase = LINK_GREETING;
    timer_start(l->timer, GREETING, 0);
    link_hello(l);
}

static void link_on_disconnected(void *ctx, const struct err *err)
{
    struct link *l = ctx;
    /* The stream's end comes first and knows less than the connection's, unless the server gave a reason. */
    bool is_told = l->phase == LINK_CLOSING && strcmp(l->closing.slug, "link.ended") != 0;
    struct err why = is_told ? l->closing : *err;

    if (link_leaves(l))
        return;
    if (!is_told && (strcmp(err->slug, "tls.untrusted") == 0 || strcmp(err->slug, "tls.name") == 0))
        link__say_way(l, &why);
    if (strcmp(err->slug, "tls.refused") == 0)
        l->must_ask = true;
    if (l->over_code)
        link__over(l, l->over_code, &why);
    else
        link__failed(l, &why);
}

void link__connect(struct link *l)
{
    static const char *const alpn[] = { "h2", NULL };
    struct state *s = l->conf.state;
    struct grpc_client_conf conf = {
        .host = l->conf.host, .port = l->conf.port, .ping_every = PING_EVERY, .ping_timeout = PING_TIMEOUT
    };
    struct grpc_client_ops ops = { .connected = link_on_connected, .disconnected = link_on_disconnected, .ctx = l };
    struct err err = { 0 };

    if (!l->tls) {
        AUTO_FREE char *uri = xasprintf("spiffe://%s/server", s->fleet ? s->fleet : "*");
        struct tls_client_conf tls = {
            .ca_pem = s->ca_pem, .expect_uri = uri, .cert_pem = s->cert_pem, .key_pem = s->key_pem, .alpn = alpn
        };

        l->tls = tls_client_new(&tls, &err);
        if (!l->tls) { /* the files are not what they were: ask for them again */
            free(TAKE(s->cert_pem));
            link__failed(l, &err);
            return;
        }
    }
    conf.tls = l->tls;
    l->phase = LINK_CONNECTING;
    l->client = grpc_client_new(l->conf.loop, &conf, &ops);
}
