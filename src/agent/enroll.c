/* agent/enroll.c - see enroll.h. */
#include "agent/enroll.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "agent/claims.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "fleet/enroll.h"
#include "net/grpc.h"
#include "pb/pb.h"

enum { CLAIMS_ARENA = 256 << 10, ASK_TIMEOUT = 30 * 1000 * 1000 };
#define SERVER_ANY "spiffe://*"

struct enroll {
    struct loop *loop;
    enroll_fn fn;
    void *ctx;
    struct tls_ctx *tls;
    struct grpc_client *client;
    uint64_t call;
    char *csr, *code;
    const char *root;
    const struct conf_map *labels;
    struct timer *soon;         /* the callback, never from inside a callback of net */
    bool has_answer;
    struct enroll_result res;
    struct pb_arena reply_mem;  /* of what res lends */
    bool is_pinned;
};

int join_token_parse(struct str s, struct join_token *ret, struct err *err)
{
    struct join_token t = { 0 };
    struct str code;
    int r = install_token_parse(str_trim(s), &code, t.pin, err);

    if (r < 0)
        return r;
    r = str_copy(code, t.code, sizeof(t.code));
    assert(r == 0); /* the rule allows 64 characters */
    *ret = t;
    secret_wipe(&t, sizeof(t));
    return 0;
}

static void enroll_say(void *ctx)
{
    struct enroll *e = ctx;

    e->fn(e->ctx, &e->res); /* may free us */
}

static void enroll_answer(struct enroll *e, enum enroll_answer answer)
{
    if (e->has_answer)
        return;
    e->has_answer = true;
    e->res.answer = answer;
    timer_start(e->soon, 0, 0);
}

/* "slug: sentence" as the server's status message. */
static void split_status(struct str message, int status, struct err *err)
{
    ptrdiff_t at = str_find(message, STR(": "));
    char slug[ERR_SLUG_MAX];

    if (at > 0 && str_copy(str_sub(message, 0, (size_t)at), slug, sizeof(slug)) == 0 && !strchr(slug, ' '))
        (void)err_set(err, -EACCES, slug, "%.*s", STR_FMT(str_sub(message, (size_t)at + 2, SIZE_MAX)));
    else
        (void)err_set(err, -EPROTO, "server.error", "the server answered with gRPC status %d: %.*s", status, STR_FMT(message));
}

static void on_reply(void *ctx, uint64_t call, struct str msg)
{
    struct enroll *e = ctx;
    const Muster__V1__EnrollReply *r;
    const char *ca;

    if (call != e->call || e->has_answer)
        return;
    r = pb_unpack(&muster__v1__enroll_reply__descriptor, &e->reply_mem, msg);
    if (!r) {
        (void)err_set(&e->res.err, -EBADMSG, "protocol.error", "the server's answer cannot be read");
        enroll_answer(e, ENROLL_UNREACHABLE);
        return;
    }
    /* The CA that proved itself to us counts, not the one that is written down beside it. */
    ca = e->is_pinned ? tls_pinned_ca(e->tls) : NULL;
    e->res.ca_pem = ca ? ca : r->ca_pem;
    e->res.certificate_pem = r->certificate_pem;
    e->res.host_id = r->host_id;
    e->res.fleet = r->fleet;
    e->res.message = r->message;
    e->res.server_time = r->server_time_us;
    e->res.retry_after = r->retry_after_ms * USEC_PER_MS;
    switch (r->state) {
    case MUSTER__V1__ENROLL_STATE__ENROLL_STATE_PENDING:
        enroll_answer(e, ENROLL_PENDING);
        return;
    case MUSTER__V1__ENROLL_STATE__ENROLL_STATE_APPROVED:
        enroll_answer(e, ENROLL_APPROVED);
        return;
    case MUSTER__V1__ENROLL_STATE__ENROLL_STATE_REJECTED:
        (void)err_set(&e->res.err, -EACCES, "host.rejected", "%s", r->message[0] ? r->message : "an operator rejected this host");
        enroll_answer(e, ENROLL_REJECTED);
        return;
    case MUSTER__V1__ENROLL_STATE__ENROLL_STATE_REVOKED:
        (void)err_set(&e->res.err, -EACCES, "host.revoked", "%s", r->message[0] ? r->message : "an operator revoked this host");
        enroll_answer(e, ENROLL_REVOKED);
        return;
    default:
        (void)err_set(&e->res.err, -EBADMSG, "protocol.error", "the server answered with a state this agent does not know");
        enroll_answer(e, ENROLL_UNREACHABLE);
    }
}

static void on_finished(void *ctx, uint64_t call, int status, struct str message)
{
    struct enroll *e = ctx;
    struct str slug;

    if (call != e->call || e->has_answer)
        return;
    split_status(message, status, &e->res.err);
    slug = str_of(e->res.err.slug);
    if (str_is(slug, "host.rejected"))
        enroll_answer(e, ENROLL_REJECTED);
    else if (str_is(slug, "host.revoked"))
        enroll_answer(e, ENROLL_REVOKED);
    else if (status == GRPC_UNAUTHENTICATED || status == GRPC_INVALID_ARGUMENT || status == GRPC_PERMISSION_DENIED)
        enroll_answer(e, ENROLL_REFUSED);
    else if (status == GRPC_RESOURCE_EXHAUSTED)
        enroll_answer(e, ENROLL_BUSY);
    else
        enroll_answer(e, ENROLL_UNREACHABLE);
}

static int ask(struct enroll *e)
{
    AUTO(arena_free) struct arena *a = arena_new(CLAIMS_ARENA);
    AUTO(buf_done_secret) struct buf out = BUF(LIMIT_GRPC_MESSAGE);
    struct grpc_client_call_ops ops = { .message = on_reply, .finished = on_finished, .ctx = e };
    Muster__V1__EnrollRequest q = MUSTER__V1__ENROLL_REQUEST__INIT;
    int r;

    q.csr_pem = e->csr;
    if (e->code)
        q.token = e->code;
    q.claims = claims_make(a, e->root, e->labels);
    q.agent_version = (char *)(uintptr_t)MUSTER_VERSION;
    r = pb_pack(&q, &out);
    if (r == 0)
        r = grpc_client_call(e->client, "/muster.v1.Fleet/Enroll", NULL, ASK_TIMEOUT, &ops, &e->call);
    if (r == 0 && grpc_send(e->call, buf_as_str(&out)) < 0)
        r = -ENOTCONN;
    return r == 0 ? grpc_half_close(e->call) : r;
}

/* spiffe://<one segment>/server: the name says that it is a server and not some host of the fleet. */
static bool is_server_name(struct str uri)
{
    struct str fleet;

    if (!str_starts(uri, STR("spiffe://")))
        return false;
    uri = str_sub(uri, 9, SIZE_MAX);
    return str_cut(&uri, '/', &fleet) && fleet.len > 0 && str_is(uri, "server");
}

static void on_connected(void *ctx, const struct tls_peer *peer)
{
    struct enroll *e = ctx;

    if (!is_server_name(str_of(peer->uri))) {
        (void)err_set(&e->res.err, -EACCES, "tls.name", "\"%s\" is not the name of a musterd", peer->uri);
        enroll_answer(e, ENROLL_UNTRUSTED);
        return;
    }
    if (ask(e) < 0) {
        (void)err_set(&e->res.err, -ENOTCONN, "net.closed", "the connection broke");
        enroll_answer(e, ENROLL_UNREACHABLE);
    }
}

static void on_disconnected(void *ctx, const struct err *err)
{
    struct enroll *e = ctx;
    struct str slug = str_of(err->slug);

    if (e->has_answer)
        return;
    e->res.err = *err;
    if (str_is(slug, "tls.pin") || str_is(slug, "tls.untrusted") || str_is(slug, "tls.name"))
        enroll_answer(e, ENROLL_UNTRUSTED);
    else
        enroll_answer(e, ENROLL_UNREACHABLE);
}

struct enroll *enroll_new(const struct enroll_conf *conf, enroll_fn fn, void *ctx, struct err *err)
{
    static const char *const alpn[] = { "h2", NULL };
    AUTO(enroll_free) struct enroll *e = xnew0(struct enroll);
    struct tls_client_conf tls = {
        .pin = conf->token ? conf->token->pin : NULL,
        .ca_pem = conf->token ? NULL : conf->ca_pem,
        .expect_uri = SERVER_ANY,
        .alpn = alpn,
    };
    struct grpc_client_conf client = { .host = conf->host, .port = conf->port };
    struct grpc_client_ops ops = { .connected = on_connected, .disconnected = on_disconnected, .ctx = e };
    char name[256] = "";

    assert(conf->token || conf->ca_pem);
    e->loop = conf->loop;
    e->fn = fn;
    e->ctx = ctx;
    e->root = conf->root ? conf->root : "";
    e->labels = conf->labels;
    e->is_pinned = conf->token != NULL;
    pb_arena_init(&e->reply_mem, LIMIT_PB_ARENA);
    if (conf->token)
        e->code = xstrdup(conf->token->code);
    if (gethostname(name, 60) < 0 || !name[0]) /* a common name has at most 64 characters */
        (void)snprintf(name, sizeof(name), "host");
    e->csr = pki_csr_new(conf->key_pem, name, err);
    if (!e->csr)
        return NULL;
    e->tls = tls_client_new(&tls, err);
    if (!e->tls)
        return NULL;
    client.tls = e->tls;
    e->soon = timer_new(conf->loop, enroll_say, e);
    e->client = grpc_client_new(conf->loop, &client, &ops);
    return TAKE(e);
}

void enroll_free(struct enroll *e)
{
    if (!e)
        return;
    grpc_client_free(e->client);
    timer_free(e->soon);
    tls_ctx_free(e->tls);
    pb_arena_done(&e->reply_mem);
    free(e->csr);
    secret_free(e->code);
    free(e);
}
