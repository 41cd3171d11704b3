/* api/call.c - see call.h: the way of one request: route, proof, right, body, handler. */
#include "api/call.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include <utlist.h>

#include "api/auth.h"
#include "api/dialects/dialect.h"
#include "api/reply.h"
#include "api/state.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/json_mend.h"

#define LOG_TARGET "api"
#include "base/log.h"

struct call *call_ref(struct call *c)
{
    c->refs++;
    return c;
}

void call_unref(struct call *c)
{
    if (!c || --c->refs > 0)
        return;
    buf_done(&c->out);
    free(c);
}

int call_param_id(const struct call *c, size_t i, const char *slug, uint64_t *ret, struct err *err)
{
    struct str s = call_param(c, i);

    if (str_to_u64(s, ret) == 0 && *ret > 0 && *ret <= INT64_MAX)
        return 0;
    return err_set(err, -ENOENT, slug, "nothing here is called %.*s", STR_FMT(str_sub(s, 0, 64)));
}

void call_header(struct call *c, const char *name, const char *fmt, ...)
{
    va_list ap;
    int n;

    assert(c->n_headers < CALL_HEADERS);
    va_start(ap, fmt);
    n = vsnprintf(c->header_text[c->n_headers], sizeof(c->header_text[0]), fmt, ap);
    va_end(ap);
    assert(n >= 0 && (size_t)n < sizeof(c->header_text[0]));
    c->headers[c->n_headers].key = str_of(name);
    c->headers[c->n_headers].value = str_of(c->header_text[c->n_headers]);
    c->n_headers++;
}

void call_header_lent(struct call *c, const char *name, struct str value)
{
    size_t i = 0;

    while (i < c->n_headers && !str_is(c->headers[i].key, name))
        i++;
    assert(i < CALL_HEADERS);
    c->headers[i] = (struct kv){ str_of(name), value };
    if (i == c->n_headers)
        c->n_headers++;
}

void call_begin_stream(struct call *c, int status)
{
    assert(!c->is_answered);
    c->is_answered = c->is_streaming = true;
    c->status = status;
    c->api->n.http_by_class[status / 100]++;
    DL_DELETE(c->api->calls, c);
    c->api->n_calls--;
}

struct jw *call_json(struct call *c)
{
    return &c->w;
}

/* -- the head: how much body may come */

static bool body_is_at_most(const struct http_req *req, size_t n)
{
    uint64_t length;

    return str_to_u64(http_header(req, "content-length"), &length) == 0 && length <= n;
}

/* Before the credential is known only small bodies are taken in; large ones need at least a credential that
 * could be good. */
int64_t call__head(void *ctx, const struct http_req *req)
{
    struct api *a = ctx;
    struct route_match m;
    struct principal who;
    struct err err = { 0 };
    usec_t wait = 0;
    size_t cap, low;
    int r;

    router_match(a->router, req, req->arena, &m);
    if (m.outcome != ROUTE_FOUND || !a->control)
        return LIMIT_HTTP_BODY_DEFAULT;
    cap = m.route->cap ? m.route->cap : LIMIT_HTTP_BODY_DEFAULT;
    if (cap <= LIMIT_HTTP_BODY_DEFAULT || m.route->auth == AUTH_NONE ||
        (m.route->auth == AUTH_AGENT && !(m.route->flags & ROUTE_PROVE_HEAD)))
        return (int64_t)cap;
    low = m.route->cap_unproven ? m.route->cap_unproven : LIMIT_HTTP_BODY_DEFAULT;
    if (body_is_at_most(req, low))
        return (int64_t)low;
    if (m.route->dialect && m.route->dialect->prove) {
        /* Gone already, so that nothing it says is sent: the refusal comes with the request. */
        struct call asking = { .api = a, .control = a->control, .req = req, .route = m.route, .arena = req->arena, .is_gone = true };

        auth_peer(a, req, asking.peer_addr, &asking.peer);
        asking.peer.addr = asking.peer_addr;
        r = m.route->dialect->prove(&asking, &who, &wait, &err);
    } else {
        r = auth_operator(a, req, NULL, &who, &wait, &err);
    }
    return (int64_t)(r < 0 ? low : cap);
}

/* net answers by itself, before there is a call: still in the accent of the row that would have answered. */
void call__error_body(void *ctx, const struct http_req *req, int status, const char *slug, const char *text, struct buf *out)
{
    struct api *a = ctx;
    struct route_match m = { 0 };
    struct err err = { 0 };

    a->n.http_by_class[status >= 100 && status < 600 ? status / 100 : 4]++;
    (void)err_set(&err, 0, slug && slug[0] ? slug : "request.bad", "%s",
                  text && text[0] ? text : "the request was refused");
    if (req && req->arena)
        router_match(a->router, req, req->arena, &m);
    /* A path that surfaces share may be claimed by what stands in the body, and that has not come: a form that suits them all. */
    if (m.outcome == ROUTE_UNCLAIMED || (m.route && m.route->dialect))
        dialect_error_json(&err, out);
    else
        reply_error_json(&err, NULL, out);
}

/* -- the request */

static struct call *call_new(struct api *a, uint64_t exchange, const struct http_req *req)
{
    struct call *c = xnew0(struct call);

    *c = (struct call){ .api = a,
                        .control = a->control,
                        .exchange = exchange,
                        .req = req,
                        .arena = req->arena,
                        .refs = 1,
                        .out = BUF(CALL_OUT_MAX),
                        .started = api_now(a) };
    c->w = JW(&c->out);
    auth_peer(a, req, c->peer_addr, &c->peer);
    c->peer.addr = c->peer_addr;
    DL_APPEND(a->calls, c);
    a->n_calls++;
    http_set_user(exchange, c);
    return c;
}

/* The answers of the router itself. Returns false when the request is answered. */
static bool find_route(struct call *c)
{
    struct route_match m;
    struct err err = { 0 };
    char allow[64];

    router_match(c->api->router, c->req, c->arena, &m);
    if (c->req->method == HTTP_OPTIONS && m.allow) {
        router_allow_text(m.allow, allow, sizeof(allow));
        call_header(c, "allow", "%s", allow);
        reply_now(c, 204);
        return false;
    }
    switch (m.outcome) {
    case ROUTE_FOUND:
        c->route = m.route;
        memcpy(c->params, m.params, sizeof(c->params));
        c->n_params = m.n_params;
        return true;
    case ROUTE_METHOD:
        router_allow_text(m.allow, allow, sizeof(allow));
        call_header(c, "allow", "%s", allow);
        c->is_unclaimed = m.is_foreign;
        (void)err_set(&err, 0, "route.method", "this path takes %s", allow);
        break;
    case ROUTE_UNCLAIMED:
        c->is_unclaimed = true;
        (void)err_set(&err, 0, "auth.required",
                      "several surfaces share this path and nothing says which one is meant");
        (void)auth_refused(c->api, c->peer_addr, &err);
        break;
    case ROUTE_BAD_PATH:
        (void)err_set(&err, 0, "request.bad", "the path has a bad escape, a NUL or a dot segment");
        break;
    case ROUTE_UNKNOWN:
        (void)err_set(&err, 0, "route.unknown", "nothing is served at this path");
        break;
    }
    reply_error(c, &err);
    return false;
}

static bool prove(struct call *c)
{
    struct err err = { 0 };
    usec_t wait = 0;

    const struct dialect *d = c->route->dialect;

    if ((d && d->prove ? d->prove(c, &c->who, &wait, &err) : auth_operator(c->api, c->req, NULL, &c->who, &wait, &err)) < 0) {
        if (wait > 0)
            call_header(c, "retry-after", "%llu", (unsigned long long)reply_retry_after(wait));
        reply_error(c, &err);
        return false;
    }
    if (c->route->auth == AUTH_LOCAL && !c->peer.is_unix) {
        (void)err_set(&err, -EACCES, "auth.denied", "this is done over the server's local socket only");
        (void)authz_refused(c->control, &c->who, c->peer_addr, c->route->verb, call_param(c, 0), &err);
        reply_error(c, &err);
        return false;
    }
    if (authz(c->control, &c->who, c->route->verb, call_param(c, 0), &err) < 0) {
        reply_error(c, &err);
        return false;
    }
    return true;
}

/* Returns false when the request is answered: who may, and how often. */
static bool admit(struct call *c)
{
    if (c->route->auth != AUTH_NONE && auth_is_exposed(c->api, c->req)) {
        struct err err = { 0 };

        (void)err_set(&err, -EACCES, "auth.https", "credentials are taken over https only");
        (void)auth_refused(c->api, c->peer_addr, &err);
        reply_error(c, &err);
        return false;
    }
    switch (c->route->auth) {
    case AUTH_NONE:
    case AUTH_AGENT: /* the dialect's own adapter looks at the credential */
        return true;
    case AUTH_LOGIN:
        return true; /* the handler counts, a good password costs nothing */
    case AUTH_METRICS:
        if (c->peer.is_unix || (c->req->peer->is_loopback && strcmp(c->peer_addr, c->req->peer->addr) == 0 &&
                                !http_header(c->req, "authorization").ptr))
            return true;
        return prove(c);
    case AUTH_OPERATOR:
    case AUTH_LOCAL:
        return prove(c);
    case AUTH_UNSET:
        break;
    }
    assert(!"a route without auth class got past router_check()");
    return false;
}

static bool decode_query(struct call *c)
{
    struct record_errors errs = { 0 };
    struct err err = { 0 };
    struct kv_list q = { 0 };
    int r;

    if (!c->route->query)
        return true;
    r = query_parse(c->arena, c->req->query, &q);
    if (r < 0) {
        (void)err_set(&err, r, "request.bad", "the query string is malformed or has more than %d parameters",
                      LIMIT_QUERY_PARAMS);
        reply_error(c, &err);
        return false;
    }
    c->query = arena_alloc(c->arena, c->route->query->size);
    if (c->query && query_decode(c->route->query, c->arena, &q, c->query, &errs) == 0)
        return true;
    (void)err_set(&err, -EINVAL, errs.n ? errs.v[0].slug : "field.invalid", "%s: %s",
                  errs.n ? errs.v[0].path : "query", errs.n ? errs.v[0].text : "not understood");
    reply_errors(c, &err, &errs);
    return false;
}

bool call_has_type(const struct call *c, struct str want)
{
    struct str rest = http_header(c->req, "content-type"), media;

    return str_cut(&rest, ';', &media) && str_eq_nocase(str_trim(media), want);
}

int call_json_text(struct call *c, struct str *ret, struct err *err)
{
    *ret = c->req->body;
    if (!(c->route->flags & ROUTE_ODD_TEXT) || json_mend_text(c->arena, *ret, ret) == 0)
        return 0;
    return err_set(err, -ENOBUFS, "request.too_large", "the request is too large");
}

static bool is_encoded(struct str encoding)
{
    return encoding.len > 0 && !str_eq_nocase(encoding, STR("identity"));
}

static bool decode_body(struct call *c)
{
    struct record_errors errs = { 0 };
    struct err err = { 0 };
    struct str text;
    size_t cap = c->route->cap ? c->route->cap : LIMIT_HTTP_BODY_DEFAULT;

    if ((c->route->flags & ROUTE_JSON_TYPE) && !call_has_type(c, STR("application/json"))) {
        (void)err_set(&err, -EINVAL, "request.media_type", "the body must be sent as Content-Type: application/json");
        reply_error(c, &err);
        return false;
    }
    if (!c->route->dialect && c->req->body.len > 0 && is_encoded(http_header(c->req, "content-encoding"))) {
        (void)err_set(&err, -EINVAL, "request.media_type", "the body must be sent as it is, without Content-Encoding");
        reply_error(c, &err);
        return false;
    }
    if (!c->route->body)
        return true;
    c->body = arena_alloc(c->arena, c->route->body->size);
    if (!c->body) {
        (void)err_set(&err, -ENOBUFS, "request.too_large", "the request is too large");
        reply_error(c, &err);
        return false;
    }
    if (call_json_text(c, &text, &err) < 0 || record_decode_json(c->route->body, c->arena, text, cap, c->body, &errs, &err) < 0) {
        if (!err_is(&err))
            (void)err_set(&err, -EINVAL, "request.bad", "the body is not understood");
        reply_errors(c, &err, &errs);
        return false;
    }
    if (errs.n_unknown > 0)
        call_header(c, "x-unknown-fields", "%zu", errs.n_unknown);
    return true;
}

/* Returns false when the request is answered: is this a time for it? */
static bool is_open(struct call *c)
{
    struct err err = { 0 };

    if (c->route->auth == AUTH_NONE)
        return true;
    if (c->api->is_draining)
        (void)err_set(&err, -EAGAIN, "server.stopping", "the server is stopping; it is back in a moment");
    else if (!c->control)
        (void)err_set(&err, -EAGAIN, "server.stopping", "the server is starting");
    else
        return true;
    reply_error(c, &err);
    return false;
}

static bool may_write(struct call *c)
{
    struct err err = { 0 };

    if (!(c->route->flags & ROUTE_MUTATES) || !control_refuses_writes(c->control, &err))
        return true;
    reply_error(c, &err);
    return false;
}

void call__request(void *ctx, uint64_t exchange, const struct http_req *req)
{
    AUTO(call_unref) struct call *c = call_ref(call_new(ctx, exchange, req));

    if (!find_route(c) || !is_open(c) || !admit(c) || !decode_query(c))
        return;
    if (c->route->auth == AUTH_LOGIN && c->api->n_logins >= 64) {
        struct err err = { 0 };

        (void)err_set(&err, -EAGAIN, "server.overloaded", "too many logins at once");
        reply_error(c, &err);
        return;
    }
    if (!decode_body(c) || !may_write(c))
        return;
    c->route->handler(c);
}

void call__half_closed(void *ctx, uint64_t exchange, void *user)
{
    struct call *c = user;

    (void)ctx;
    (void)exchange;
    if (c && !call_is_gone(c) && c->on_half_closed)
        c->on_half_closed(c->on_gone_ctx);
}

/* The client left, or a stream is over. */
void call__closed(void *ctx, uint64_t exchange, void *user)
{
    struct call *c = user;
    struct api *a = ctx;

    (void)exchange;
    if (!c)
        return;
    if (!c->is_answered) {
        DL_DELETE(a->calls, c);
        a->n_calls--;
    }
    c->is_gone = true;
    c->req = NULL;
    if (c->on_gone)
        c->on_gone(c->on_gone_ctx);
    call_unref(c);
}
