/* api/native.c - see native.h. Enroll and Link as calls; a link's messages are unpacked in native_in.c, what
 * control tells it is packed in native_out.c. */
#include "api/native.h"

#include <errno.h>
#include <stdio.h>

#include "api/auth.h"
#include "api/native_priv.h"
#include "api/reply.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/uuid.h"

#define LOG_TARGET "native"
#include "base/log.h"

enum { OUT_ARENA_BYTES = 8 << 20, ENROLL_MAX_BYTES = 64 << 10 };

#define PATH_ENROLL "/muster.v1.Fleet/Enroll"
#define PATH_LINK "/muster.v1.Fleet/Link"

/* "slug: sentence", as the refusals of the proto file. Valid until the next call. */
static const char *refusal_text(struct native *n, const struct err *err)
{
    (void)snprintf(n->refusal, sizeof(n->refusal), "%s: %s", err->slug[0] ? err->slug : "internal",
                   err->text);
    return n->refusal;
}

static void count(uint64_t by_code[17], int status)
{
    by_code[status >= 0 && status < 17 ? status : GRPC_UNKNOWN]++;
}

/* -- Enroll: one message, one answer, parked */

struct enroll_call {
    struct api *api;
    uint64_t call;
    char peer[64];
    bool is_asked, is_closed;
    uint32_t refs; /* the call's, and the parked reply's */
    struct buf reply;
};

static void enroll_unref(struct enroll_call *e)
{
    if (--e->refs > 0)
        return;
    buf_done(&e->reply);
    free(e);
}

static void enroll_finish(struct enroll_call *e, enum grpc_status status, const char *message)
{
    if (e->is_closed)
        return;
    count(e->api->n.grpc_enroll, (int)status);
    (void)grpc_finish(e->call, status, message);
}

static void enroll_refuse(struct enroll_call *e, const struct err *err)
{
    enroll_finish(e, (enum grpc_status)reply_grpc_of(err), refusal_text(e->api->native, err));
}

static void on_enroll_durable(struct control *c, void *arg)
{
    struct enroll_call *e = arg;

    if (c && !e->is_closed) {
        (void)grpc_send(e->call, buf_as_str(&e->reply));
        enroll_finish(e, GRPC_OK, NULL);
    }
    enroll_unref(e);
}

/* Refusals of state are parked too: "token used up" must be as true after a crash as before. */
struct enroll_refusal {
    struct enroll_call *e;
    struct err err;
};

static void on_refusal_durable(struct control *c, void *arg)
{
    struct enroll_refusal *r = arg;

    if (c)
        enroll_refuse(r->e, &r->err);
    enroll_unref(r->e);
    free(r);
}

static Muster__V1__EnrollState state_of(enum host_state s)
{
    switch (s) {
    case HOST_PENDING:
        return MUSTER__V1__ENROLL_STATE__ENROLL_STATE_PENDING;
    case HOST_APPROVED:
        return MUSTER__V1__ENROLL_STATE__ENROLL_STATE_APPROVED;
    case HOST_REJECTED:
        return MUSTER__V1__ENROLL_STATE__ENROLL_STATE_REJECTED;
    case HOST_REVOKED:
        return MUSTER__V1__ENROLL_STATE__ENROLL_STATE_REVOKED;
    }
    return MUSTER__V1__ENROLL_STATE__ENROLL_STATE_UNKNOWN;
}

static char *text(const char *s)
{
    return (char *)(uintptr_t)(s ? s : ""); /* packed, never written to */
}

static void pack_answer(struct enroll_call *e, const struct enroll_answer *an)
{
    struct api *a = e->api;
    Muster__V1__EnrollReply r = MUSTER__V1__ENROLL_REPLY__INIT;
    usec_t retry_ms = an->retry_after / USEC_PER_MS;

    r.state = state_of(an->state);
    r.host_id = text(an->host_uuid);
    r.certificate_pem = text(an->certificate_pem);
    r.ca_pem = text(an->ca_pem ? an->ca_pem : control_identity(a->control)->ca_pem);
    r.retry_after_ms = retry_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)retry_ms;
    r.message = text(an->message);
    r.server_time_us = clock_wall(a->conf.clock);
    r.fleet = text(control_identity(a->control)->fleet);
    e->reply = BUF(LIMIT_GRPC_MESSAGE);
    (void)pb_pack(&r, &e->reply);
}

static void ask(struct enroll_call *e, const Muster__V1__EnrollRequest *m)
{
    struct api *a = e->api;
    struct enroll_request rq = { .csr_pem = pb_str(m->csr_pem),
                                 .token_code = pb_str(m->token),
                                 .peer_addr = e->peer };
    struct enroll_answer an = { 0 };
    struct err err = { 0 };

    if (!native__claims(a->native, m->claims, m->agent_version, &rq.claims)) {
        (void)err_set(&err, -EINVAL, "request.bad", "the claims hold more than they may, or are no text");
        enroll_refuse(e, &err);
        return;
    }
    if (control_refuses_writes(a->control, &err)) {
        enroll_refuse(e, &err);
        return;
    }
    e->refs++;
    if (enroll_ask(a->control, &rq, &an, &err) == 0) {
        pack_answer(e, &an);
        commit_after(a->control, on_enroll_durable, e);
        return;
    }
    /* Only what passes by waiting: a token that is used up does not. */
    if (an.retry_after > 0 && err.code == -EBUSY) { /* a gRPC status has no field for it, so the sentence says it */
        char wait[48];

        (void)snprintf(wait, sizeof(wait), "; try again in %llu s",
                       (unsigned long long)reply_retry_after(an.retry_after));
        size_t len = strlen(err.text);
        (void)snprintf(err.text + len, sizeof(err.text) - len, "%s", wait);
    }
    struct enroll_refusal *r = xnew0(struct enroll_refusal);
    *r = (struct enroll_refusal){ e, err };
    commit_after(a->control, on_refusal_durable, r);
}

static void enroll_message(struct enroll_call *e, struct str msg)
{
    struct native *n = e->api->native;
    Muster__V1__EnrollRequest *m;
    struct err err = { 0 };

    if (e->is_asked)
        return; /* one request a call; net ends the rest */
    e->is_asked = true;
    m = msg.len <= ENROLL_MAX_BYTES ? pb_unpack(&muster__v1__enroll_request__descriptor, &n->in, msg) : NULL;
    if (!m) {
        (void)err_set(&err, -EINVAL, "request.bad", "this is no EnrollRequest");
        enroll_refuse(e, &err);
    } else {
        ask(e, m);
    }
    pb_arena_reset(&n->in);
}

/* -- calls: kinds are told apart by their first member */

enum call_kind { CALL_ENROLL = 1, CALL_LINK };
struct grpc_user {
    enum call_kind kind;
    union {
        struct enroll_call *enroll;
        struct native_link *link;
    };
};

static int refuse_open(struct native *n, const struct err *err, const char **ret_message)
{
    *ret_message = refusal_text(n, err);
    return reply_grpc_of(err);
}

static int open_enroll(struct api *a, uint64_t call, const struct grpc_call_info *info, struct grpc_user *u)
{
    struct enroll_call *e = xnew0(struct enroll_call);

    *e = (struct enroll_call){ .api = a, .call = call, .refs = 1 };
    (void)snprintf(e->peer, sizeof(e->peer), "%s", info->peer->addr);
    u->kind = CALL_ENROLL;
    u->enroll = e;
    return 0;
}

/* "spiffe://<fleet>/host/<uuid>" -> uuid. */
static bool uuid_of_uri(const struct control_identity *id, const char *uri, struct str *ret)
{
    struct str s = str_of(uri), fleet = str_of(id->fleet);

    if (!str_starts(s, STR("spiffe://")))
        return false;
    s = str_sub(s, 9, s.len);
    if (!str_starts(s, fleet))
        return false;
    s = str_sub(s, fleet.len, s.len);
    if (!str_starts(s, STR("/host/")))
        return false;
    *ret = str_sub(s, 6, s.len);
    return ret->len == UUID_TEXT_LEN;
}

static int open_link(struct api *a, uint64_t call, const struct grpc_call_info *info, struct grpc_user *u,
                     const char **ret_message)
{
    struct native_link *l;
    struct principal who;
    struct err err = { 0 };
    struct str uuid;

    if (!info->tls->is_tls || !info->tls->has_cert) {
        (void)err_set(&err, -EACCES, "auth.required", "a link needs the host's client certificate");
        (void)auth_refused(a, info->peer->addr, &err);
        return refuse_open(a->native, &err, ret_message);
    }
    if (!uuid_of_uri(control_identity(a->control), info->tls->uri, &uuid)) {
        (void)err_set(&err, -EACCES, "auth.bad_credential", "the certificate is not of a host of this fleet");
        (void)auth_refused(a, info->peer->addr, &err);
        return refuse_open(a->native, &err, ret_message);
    }
    if (authn_host(a->control, uuid, info->tls->spki_sha256, str_of(info->tls->serial), &who, &err) < 0) {
        (void)auth_refused(a, info->peer->addr, &err);
        return refuse_open(a->native, &err, ret_message);
    }

    l = xnew0(struct native_link);
    *l = (struct native_link){ .api = a, .call = call, .hello = xnew0(struct link_hello) };
    l->hello->who = who;
    (void)snprintf(l->hello->peer, sizeof(l->hello->peer), "%s", info->peer->addr);
    l->id.v = slots_add(a->native->links, l);
    a->n.links_total++;
    u->kind = CALL_LINK;
    u->link = l;
    return 0;
}

static int on_open(void *ctx, uint64_t call, const struct grpc_call_info *info, void **ret_user,
                   const char **ret_message)
{
    struct api *a = ctx;
    struct grpc_user *u;
    struct err err = { 0 };
    bool is_enroll = str_is(info->path, PATH_ENROLL);
    int r;

    if (!is_enroll && !str_is(info->path, PATH_LINK)) {
        (void)err_set(&err, -EINVAL, "route.unknown", "there is no such method");
        return refuse_open(a->native, &err, ret_message);
    }
    if (!a->control || a->is_draining) {
        (void)err_set(&err, -EAGAIN, "server.stopping", "the server is %s",
                      a->control ? "stopping" : "starting");
        return refuse_open(a->native, &err, ret_message);
    }
    u = xnew0(struct grpc_user);
    r = is_enroll ? open_enroll(a, call, info, u) : open_link(a, call, info, u, ret_message);
    if (r != 0) {
        count(is_enroll ? a->n.grpc_enroll : a->n.grpc_link, r);
        free(u);
        return r;
    }
    *ret_user = u;
    return 0;
}

static void on_message(void *ctx, uint64_t call, void *user, struct str msg)
{
    struct grpc_user *u = user;
    struct api *a = ctx;

    (void)call;
    if (!a->control)
        return;
    if (u->kind == CALL_ENROLL)
        enroll_message(u->enroll, msg);
    else
        native__message(u->link, msg);
}

static void on_half_close(void *ctx, uint64_t call, void *user)
{
    struct grpc_user *u = user;
    struct api *a = ctx;

    if (u->kind == CALL_LINK) {
        if (a->control)
            checkin_leave(a->control, u->link->id);
        (void)grpc_finish(call, GRPC_OK, NULL); /* the agent is done */
    } else if (!u->enroll->is_asked)
        enroll_finish(u->enroll, GRPC_INVALID_ARGUMENT, "request.bad: a call without a request");
}

enum { REASON_MAX = 128 };

/* Told one turn later when it happened inside one of control's own calls: control must not be entered from
 * itself. */
struct link_gone {
    struct api *api;
    struct link_id id;
    char code[ERR_SLUG_MAX], reason[REASON_MAX];
};

/* For the event, in the agent's terms: of an empty @why the call was finished, by us (an agent that takes leave has a word of its own). */
static void say_reason(const struct err *why, char code[ERR_SLUG_MAX], char reason[REASON_MAX])
{
    static const struct {
        const char *slug, *text;
    } texts[] = {
        { "", "the link was ended" },
        { "net.closed", "the agent's side closed the connection" },
        { "net.timeout", "the agent did not answer" },
        { "net.cancelled", "the agent dropped the link" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (strcmp(why->slug, texts[i].slug) == 0) {
            (void)snprintf(code, ERR_SLUG_MAX, "%s", why->slug[0] ? why->slug : "link.ended");
            (void)snprintf(reason, REASON_MAX, "%s", texts[i].text);
            return;
        }
    (void)snprintf(code, ERR_SLUG_MAX, "%s", why->slug);
    (void)snprintf(reason, REASON_MAX, "%.*s", STR_FMT(str_sub(str_of(why->text), 0, REASON_MAX - 1)));
}

static void on_gone_soon(void *ctx)
{
    struct link_gone *g = ctx;

    if (g->api->control)
        checkin_gone(g->api->control, g->id, g->code, g->reason);
    free(g);
}

static void link_closed(struct native_link *l, const struct err *why)
{
    char code[ERR_SLUG_MAX], reason[REASON_MAX];
    struct api *a = l->api;
    bool was_known = !l->hello; /* said hello: control knows it */

    count(a->n.grpc_link, GRPC_OK);
    (void)slots_del(a->native->links, l->id.v);
    if (was_known && a->control && a->native->in_op == 0) {
        say_reason(why, code, reason);
        checkin_gone(a->control, l->id, code, reason);
    } else if (was_known && a->control) {
        struct link_gone *g = xnew0(struct link_gone);

        *g = (struct link_gone){ .api = a, .id = l->id };
        say_reason(why, g->code, g->reason);
        loop_soon(a->conf.loop, on_gone_soon, g);
    }
    free(l->hello);
    free(l);
}

static void on_closed(void *ctx, uint64_t call, void *user, const struct err *why)
{
    struct grpc_user *u = user;

    (void)ctx;
    (void)call;
    if (u->kind == CALL_LINK) {
        link_closed(u->link, why);
    } else {
        u->enroll->is_closed = true;
        enroll_unref(u->enroll);
    }
    free(u);
}

/* -- life */

void native_init(struct api *a)
{
    struct native *n = xnew0(struct native);

    a->native = n;
    n->links = slots_new();
    pb_arena_init(&n->in, LIMIT_PB_ARENA);
    n->out = arena_new(OUT_ARENA_BYTES);
    n->packed = BUF(LIMIT_GRPC_MESSAGE);
    a->grpc_ops = (struct grpc_server_ops){
        .open = on_open, .message = on_message, .half_close = on_half_close, .closed = on_closed, .ctx = a
    };
    native__out_init(a);
}

void native_done(struct api *a)
{
    struct native *n = a->native;

    if (!n)
        return;
    slots_free(n->links);
    pb_arena_done(&n->in);
    arena_free(n->out);
    buf_done(&n->packed);
    free(n);
    a->native = NULL;
}

size_t native_n_links(const struct api *a)
{
    return slots_count(a->native->links);
}
