/* agent/link.c - see link.h. */
#include "agent/link.h"

#include <assert.h>
#include <errno.h>

#include "agent/claims.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "fleet/credential.h"
#include "net/grpc.h"
#include "pb/pb.h"

enum {
    PROTOCOL = 1,
    HELLO_ARENA = 1 << 20,
    PING_EVERY = 10 * 1000 * 1000,
    PING_TIMEOUT = 15 * 1000 * 1000,  /* together under the 30 s in which a half-open link is noticed */
    GREETING = 30 * 1000 * 1000,      /* Welcome within */
    BEAT_DEFAULT_MS = 10000, BEAT_MIN_MS = 100, BEAT_MAX_MS = 600000,
    NOTE_EVERY = 60 * 1000 * 1000,
    CLOCK_TOLERANCE = 300 * 1000 * 1000,
    PENDING_MIN = 1000 * 1000, PENDING_MAX = 300 * 1000 * 1000,
};

enum link_phase { LINK_WAITING, LINK_ASKING, LINK_CONNECTING, LINK_GREETING, LINK_UP, LINK_CLOSING, LINK_OVER };

struct link {
    struct link_conf conf;
    struct link_ops ops;
    enum link_phase phase;
    char *server;                /* "host:port", for people */

    struct timer *timer;         /* the next attempt; the greeting's deadline; the close */
    uint32_t n_failed;           /* in a row */
    struct err why;              /* of the last failure */
    struct err closing;          /* in LINK_CLOSING: why */
    int over_code;               /* in LINK_CLOSING: for good, with this exit code; 0: not */
    bool was_up;                 /* in LINK_CLOSING */
    usec_t slot;                 /* when the server wants us back, 0: not said */
    bool must_ask;               /* our certificate was not accepted */
    bool is_told_pending;

    struct enroll *enroll;
    struct tls_ctx *tls;         /* for the certificate we have */
    struct grpc_client *client;
    uint64_t call;

    struct timer *beat;
    uint32_t beat_ms;
    uint64_t sent_seq;           /* newest spooled message sent on this connection */
    usec_t server_offset;        /* modulo 2^64 */
    bool is_clock_told, is_drain_asked;
    usec_t renew_at;             /* wall; 0: not this time */
    usec_t up_since, last_ack, noted_at;
};

/* -- small rules */

usec_t link_backoff(uint32_t n, uint64_t random)
{
    usec_t base = 60 * USEC_PER_SEC;

    if (n >= 1 && n <= 6)
        base = (usec_t)1 << (n - 1) > 60 ? base : ((usec_t)1 << (n - 1)) * USEC_PER_SEC;
    return base - base / 5 + random % (base / 5 * 2 + 1);
}

/* Benches press years of refusals into seconds. */
static usec_t backoff_for_real(uint32_t n)
{
    const char *test = getenv("MUSTER_TEST_BACKOFF_MS");
    uint64_t ms;

    if (test && str_to_u64(str_of(test), &ms) == 0)
        return ms * USEC_PER_MS;
    return link_backoff(n, rand_u64());
}

int address_parse(struct str s, uint16_t def, char **ret_host, uint16_t *ret_port, struct err *err)
{
    struct str host = s, port = STR_NONE;
    ptrdiff_t at;
    uint64_t n = def;

    if (s.len > 0 && s.ptr[0] == '[') {
        at = str_find_char(s, ']');
        if (at < 0)
            return err_set(err, -EINVAL, "config.bad_value", "server: no ']' in %.*s", STR_FMT(s));
        host = str_sub(s, 1, (size_t)at - 1);
        port = str_sub(s, (size_t)at + 1, SIZE_MAX);
        if (port.len > 0 && port.ptr[0] != ':')
            return err_set(err, -EINVAL, "config.bad_value", "server: %.*s", STR_FMT(s));
    } else {
        at = str_find_char(s, ':');
        if (at >= 0 && str_find_char(str_sub(s, (size_t)at + 1, SIZE_MAX), ':') < 0) { /* two colons: a bare IPv6 address */
            host = str_sub(s, 0, (size_t)at);
            port = str_sub(s, (size_t)at, SIZE_MAX);
        }
    }
    if (port.len > 0 && (str_to_u64(str_sub(port, 1, SIZE_MAX), &n) < 0 || n == 0 || n > 65535))
        return err_set(err, -EINVAL, "config.bad_value", "server: bad port in %.*s", STR_FMT(s));
    if (host.len == 0 || host.len > 255)
        return err_set(err, -EINVAL, "config.bad_value", "server: no host name in \"%.*s\"", STR_FMT(s));
    *ret_host = str_dup(host);
    *ret_port = (uint16_t)n;
    return 0;
}

static usec_t wall_now(void)
{
    return clock_wall(&clock_real);
}

static void link_note(struct link *l)
{
    struct link_note n = {
        .is_connected = l->phase == LINK_UP,
        .server = l->server,
        .since = l->phase == LINK_UP ? l->up_since : wall_now(),
        .last_ack = l->last_ack,
        .why = l->phase == LINK_UP ? "" : l->why.text,
    };

    l->noted_at = wall_now();
    state_note_link(l->conf.state, &n);
}

/* -- ending an attempt */

static void link_drop(struct link *l)
{
    bool was_up = l->phase == LINK_UP;

    l->call = 0;
    l->is_drain_asked = false;
    timer_stop(l->beat);
    grpc_client_free(TAKE(l->client));
    enroll_free(TAKE(l->enroll));
    l->phase = LINK_WAITING;
    if (was_up) {
        hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_DOWN });
        link_note(l);
    }
}

static void link_wait(struct link *l, usec_t after)
{
    l->phase = LINK_WAITING;
    timer_start(l->timer, after, 0);
}

static void link_over(struct link *l, int code, const struct err *err)
{
    struct err copy = *err;

    link_drop(l);
    timer_stop(l->timer);
    l->phase = LINK_OVER;
    l->why = copy;
    link_note(l);
    l->ops.over(l->ops.ctx, code, &copy);
}

static void link_failed(struct link *l, const struct err *err)
{
    struct err copy = *err;
    bool was_up = l->phase == LINK_UP || (l->phase == LINK_CLOSING && l->was_up);
    usec_t after;

    link_drop(l);
    if (was_up)
        l->n_failed = 0;
    l->n_failed++;
    after = l->slot ? l->slot : backoff_for_real(l->n_failed);
    l->slot = 0;
    /* The same failure over and over is one story: told when it begins, and then every tenth time. */
    if (was_up || strcmp(copy.slug, l->why.slug) != 0 || l->n_failed % 10 == 1)
        log_warn("link.down", was_up ? "the link to the server broke" : "no link to the server", LOG_CSTR("server", l->server),
                 LOG_ERR(&copy), LOG_U64("attempt", l->n_failed), LOG_U64("again_ms", after / USEC_PER_MS));
    if (was_up || strcmp(copy.slug, l->why.slug) != 0) {
        l->why = copy;
        link_note(l);
    }
    link_wait(l, after);
}

/* From inside a callback of net that still holds the client: let it return first. */
static void link_close_soon(struct link *l, const struct err *why)
{
    if (l->phase == LINK_CLOSING || l->phase == LINK_OVER)
        return;
    l->was_up = l->phase == LINK_UP;
    l->closing = *why;
    l->phase = LINK_CLOSING; /* first: what the roles do now must not be sent */
    if (l->was_up)
        hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_DOWN });
    timer_stop(l->beat);
    timer_start(l->timer, 0, 0);
}

/* -- asking to be let in */

static void note_server_time(struct link *l, usec_t server_time)
{
    int64_t off;

    if (!server_time)
        return;
    l->server_offset = server_time - wall_now();
    off = (int64_t)l->server_offset;
    if (off < 0)
        off = -off;
    if (off > CLOCK_TOLERANCE && !l->is_clock_told)
        log_warn("clock.off", "this host's clock and the server's differ", LOG_I64("seconds", (int64_t)l->server_offset / 1000000));
    l->is_clock_told = off > CLOCK_TOLERANCE;
}

/* Keeps what an approval brought. */
static int link_take_approval(struct link *l, const struct enroll_result *res, struct err *err)
{
    struct state *s = l->conf.state;
    int r = 0;

    if (res->ca_pem && res->ca_pem[0])
        r = state_set_ca(s, res->ca_pem, err);
    if (r == 0)
        r = state_set_identity(s, res->host_id, res->fleet, l->server, err);
    if (r == 0)
        r = state_set_cert(s, res->certificate_pem, err);
    if (r < 0)
        return r;
    tls_ctx_free(TAKE(l->tls));
    l->must_ask = false;
    l->is_told_pending = false;
    log_info("enroll.approved", "this host is enrolled", LOG_CSTR("host", s->host_id), LOG_CSTR("fleet", s->fleet));
    l->ops.enrolled(l->ops.ctx);
    return 0;
}

static void link_on_pending(struct link *l, const struct enroll_result *res)
{
    usec_t after = res->retry_after ? res->retry_after : 5 * USEC_PER_SEC;
    char fingerprint[STATE_FINGERPRINT_MAX];
    struct err err = { 0 };

    /* From here on the CA can be trusted without the token: a restart without it still finds its way. */
    if (res->ca_pem && res->ca_pem[0] && state_set_ca(l->conf.state, res->ca_pem, &err) < 0)
        log_warn("state.write", "the CA could not be kept", LOG_ERR(&err));
    if (!l->is_told_pending) {
        state_fingerprint(l->conf.state, fingerprint);
        log_info("enroll.pending", "waiting for an operator to approve this host (muster pending; muster approve)",
                 LOG_CSTR("server", l->server), LOG_CSTR("fingerprint", fingerprint));
    }
    l->is_told_pending = true;
    l->n_failed = 0;
    if (after < PENDING_MIN)
        after = PENDING_MIN;
    if (after > PENDING_MAX)
        after = PENDING_MAX;
    link_wait(l, after - after / 10 + rand_below(after / 5 + 1));
}

static void link_on_answer(void *ctx, const struct enroll_result *res)
{
    struct link *l = ctx;
    struct enroll *done = TAKE(l->enroll); /* freed when its result has been read */
    struct err err = res->err;
    bool is_new = l->conf.state->cert_pem == NULL;

    note_server_time(l, res->server_time);
    switch (res->answer) {
    case ENROLL_PENDING:
        link_on_pending(l, res);
        break;
    case ENROLL_APPROVED: {
        AUTO_FREE char *before = l->conf.state->cert_pem ? xstrdup(l->conf.state->cert_pem) : NULL;

        if (link_take_approval(l, res, &err) < 0)
            link_failed(l, &err);
        else if (!l->conf.hub)
            l->phase = LINK_OVER; /* that was all */
        else if (before && strcmp(before, l->conf.state->cert_pem) == 0) /* the one that was not accepted: do not run in circles */
            link_wait(l, backoff_for_real(++l->n_failed));
        else
            link_wait(l, 0);
        break;
    }
    case ENROLL_REJECTED:
    case ENROLL_REVOKED:
        link_over(l, 5, &err);
        break;
    case ENROLL_REFUSED:
        if (strcmp(err.slug, "csr.bad") == 0 || str_starts(str_of(err.slug), STR("token.")))
            link_over(l, 5, &err);
        else
            link_failed(l, &err);
        break;
    case ENROLL_BUSY:
        l->slot = res->retry_after;
        link_failed(l, &err);
        break;
    case ENROLL_UNTRUSTED:
        /* A pin that does not match will not match tomorrow. A known host keeps trying: its server may come back. */
        if (is_new && l->conf.token)
            link_over(l, 78, &err);
        else
            link_failed(l, &err);
        break;
    case ENROLL_UNREACHABLE:
        link_failed(l, &err);
        break;
    }
    enroll_free(done);
}

static void link_ask(struct link *l)
{
    struct state *s = l->conf.state;
    bool has_ca = s->ca_pem != NULL;
    struct enroll_conf conf = {
        .loop = l->conf.loop,
        .host = l->conf.host,
        .port = l->conf.port,
        .token = s->cert_pem ? NULL : l->conf.token,
        .ca_pem = has_ca ? s->ca_pem : l->conf.ca_pem,
        .key_pem = s->key_pem,
        .labels = l->conf.labels,
        .root = l->conf.root,
    };
    struct err err = { 0 };

    if (!conf.token && !conf.ca_pem)
        conf.token = l->conf.token;
    if (!conf.token && !conf.ca_pem) {
        (void)err_set(&err, -EINVAL, "config.token", "this host is not enrolled, and without a token or --ca there is no way to know the "
                                                     "server. Make one with: muster token create");
        link_over(l, 78, &err);
        return;
    }
    l->phase = LINK_ASKING;
    l->enroll = enroll_new(&conf, link_on_answer, l, &err);
    if (!l->enroll)
        link_over(l, 78, &err);
}

/* -- the stream */

static int64_t link_send(struct link *l, const Muster__V1__AgentMessage *m)
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

static void link_ask_drain(struct link *l)
{
    if (l->is_drain_asked)
        return;
    l->is_drain_asked = grpc_on_drain(l->call, link_on_drain, l) == 0;
}

/* Sends what waits in the spool, as far as the queue takes it. */
static void link_pump(struct link *l)
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
            link_ask_drain(l);
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
        link_close_soon(l, &err);
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
    (void)link_send(l, &m);
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
    (void)link_send(l, &m);
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
    (void)link_send(l, &m);
}

static void link_plan_renewal(struct link *l)
{
    const struct pki_cert *c = &l->conf.state->cert;

    l->renew_at = certificate_renew_at(c->not_before, c->not_after);
}

static void link_on_beat(void *ctx)
{
    struct link *l = ctx;

    if (l->phase != LINK_UP)
        return;
    link_beat(l);
    if (wall_now() >= l->renew_at)
        link_renew(l);
    if (l->last_ack > l->noted_at && wall_now() - l->noted_at > NOTE_EVERY)
        link_note(l);
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
        link_close_soon(l, &err);
        return;
    }
    timer_stop(l->timer);
    l->phase = LINK_UP;
    l->n_failed = 0;
    l->slot = 0;
    l->up_since = l->last_ack = wall_now();
    l->is_told_pending = false;
    err_reset(&l->why);
    note_server_time(l, w->server_time_us);
    link_plan_renewal(l);
    spool_ack(s, w->acked_seq);
    l->sent_seq = w->acked_seq;
    log_info("link.up", "connected", LOG_CSTR("server", l->server), LOG_U64("generation", w->generation),
             LOG_CSTR("version", w->server_version));
    link_note(l);
    hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_ACKED, .acked_seq = w->acked_seq });
    hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_WELCOME, .welcome = w });
    link_set_beat(l, w->config ? w->config->heartbeat_ms : 0);
    link_beat(l);
    link_pump(l);
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
    if (g->forever)
        l->over_code = 5;
    l->slot = g->reconnect_after_ms * USEC_PER_MS;
    if (!l->slot && getenv("MUSTER_TEST_BACKOFF_MS") == NULL && strcmp(err.slug, "link.replaced") == 0)
        l->slot = link_backoff(5, rand_u64()); /* somebody else with our key is there: no tug of war */
    link_close_soon(l, &err);
}

/* @m lives until we return. */
static void link_take(struct link *l, const Muster__V1__ServerMessage *m)
{
    struct err err = { 0 };

    if (l->phase == LINK_GREETING && m->body_case != MUSTER__V1__SERVER_MESSAGE__BODY_WELCOME &&
        m->body_case != MUSTER__V1__SERVER_MESSAGE__BODY_GOODBYE) {
        (void)err_set(&err, -EPROTO, "protocol.error", "the server did not say Welcome first");
        link_close_soon(l, &err);
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
        link_pump(l);
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
        link_close_soon(l, &err);
    }
    pb_arena_done(&pa);
}

static void link_on_finished(void *ctx, uint64_t call, int status, struct str message)
{
    struct link *l = ctx;
    struct err err = { 0 };
    ptrdiff_t at = str_find(message, STR(": "));
    char slug[ERR_SLUG_MAX];

    if (call != l->call || l->phase == LINK_CLOSING || l->phase == LINK_OVER)
        return;
    if (at > 0 && str_copy(str_sub(message, 0, (size_t)at), slug, sizeof(slug)) == 0 && !strchr(slug, ' '))
        (void)err_set(&err, -ECONNRESET, slug, "%.*s", STR_FMT(str_sub(message, (size_t)at + 2, SIZE_MAX)));
    else
        (void)err_set(&err, -ECONNRESET, "link.ended", "the server ended the link (gRPC status %d%s%.*s)", status,
                      message.len ? ": " : "", STR_FMT(message));
    if (status == GRPC_UNAUTHENTICATED || status == GRPC_PERMISSION_DENIED)
        l->must_ask = true; /* revoked, forgotten, expired? the answer to that question says */
    link_close_soon(l, &err);
}

static void link_on_connected(void *ctx, const struct tls_peer *peer)
{
    struct link *l = ctx;
    struct grpc_client_call_ops ops = { .message = link_on_message, .finished = link_on_finished, .ctx = l };
    struct err err = { 0 };

    (void)peer;
    if (grpc_client_call(l->client, "/muster.v1.Fleet/Link", NULL, 0, &ops, &l->call) < 0) {
        (void)err_set(&err, -ENOTCONN, "net.closed", "the connection broke at once");
        link_close_soon(l, &err);
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

    if (strcmp(err->slug, "tls.refused") == 0)
        l->must_ask = true;
    if (l->over_code)
        link_over(l, l->over_code, &why);
    else
        link_failed(l, &why);
}

static void link_connect(struct link *l)
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
            link_failed(l, &err);
            return;
        }
    }
    conf.tls = l->tls;
    l->phase = LINK_CONNECTING;
    l->client = grpc_client_new(l->conf.loop, &conf, &ops);
}

static void link_attempt(struct link *l)
{
    struct state *s = l->conf.state;
    bool has_cert = s->cert_pem && s->ca_pem && s->host_id[0];

    if (!has_cert || l->must_ask || wall_now() >= s->cert.not_after) {
        l->must_ask = false;
        link_ask(l);
    } else {
        link_connect(l);
    }
}

static void link_on_timer(void *ctx)
{
    struct link *l = ctx;
    struct err err = { 0 };

    switch (l->phase) {
    case LINK_WAITING:
        link_attempt(l);
        break;
    case LINK_GREETING:
        (void)err_set(&err, -ETIMEDOUT, "link.silent", "the server does not say Welcome");
        link_failed(l, &err);
        break;
    case LINK_CLOSING:
        err = l->closing;
        if (l->over_code)
            link_over(l, l->over_code, &err);
        else
            link_failed(l, &err);
        break;
    case LINK_UP:
        hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_DRAINED });
        link_pump(l);
        break;
    case LINK_ASKING:
    case LINK_CONNECTING:
    case LINK_OVER:
        break;
    }
}

/* -- for the hub */

static bool hub_is_up(void *ctx)
{
    return ((struct link *)ctx)->phase == LINK_UP;
}

static int64_t hub_send(void *ctx, const Muster__V1__AgentMessage *m)
{
    struct link *l = ctx;
    int64_t queued;

    if (l->phase != LINK_UP)
        return -ENOTCONN;
    queued = link_send(l, m);
    if (queued > LIMIT_WRITE_LOW)
        link_ask_drain(l);
    return queued;
}

static void hub_kept(void *ctx)
{
    link_pump(ctx);
}

static usec_t hub_server_offset(void *ctx)
{
    return ((struct link *)ctx)->server_offset;
}

struct hub_ops link_hub_ops(struct link *l)
{
    return (struct hub_ops){ .is_up = hub_is_up, .send = hub_send, .kept = hub_kept, .server_offset = hub_server_offset, .ctx = l };
}

struct link *link_new(const struct link_conf *conf, const struct link_ops *ops)
{
    struct link *l = xnew0(struct link);

    l->conf = *conf;
    l->ops = *ops;
    l->server = xasprintf(strchr(conf->host, ':') ? "[%s]:%u" : "%s:%u", conf->host, conf->port);
    l->timer = timer_new(conf->loop, link_on_timer, l);
    l->beat = timer_new(conf->loop, link_on_beat, l);
    return l;
}

void link_free(struct link *l)
{
    if (!l)
        return;
    grpc_client_free(l->client);
    enroll_free(l->enroll);
    tls_ctx_free(l->tls);
    timer_free(l->timer);
    timer_free(l->beat);
    free(l->server);
    free(l);
}

void link_start(struct link *l)
{
    link_wait(l, 0);
}
