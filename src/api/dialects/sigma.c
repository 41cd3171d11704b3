/* api/dialects/sigma.c - sigma's accent: X-Api-Key, and {"error": text} for every refusal. See docs/wire/sigma.md. */
#include "api/dialects/sigma.h"

#include <errno.h>

#include "api/auth.h"
#include "api/state.h"
#include "base/uuid.h"

/* -- proof */

static bool is_sigma_key(struct str s)
{
    return str_starts(s, STR("sk_sigma_"));
}

/* A key that may be good: in X-Api-Key, or as Bearer for Prometheus, which sends nothing else. */
static struct str key_of(const struct http_req *req, struct str bearer)
{
    struct str key = http_header(req, "x-api-key");

    return key.ptr ? key : is_sigma_key(bearer) ? bearer : STR_NONE;
}

static int by_key(struct call *c, struct str key, struct principal *ret, struct err *err)
{
    const struct credential *cr = NULL;
    int r = credential_check(c->control, SECRET_SIGMA_KEY, key, c->peer_addr, &cr, err);

    if (r == 0) {
        asset_principal(cr, ret);
        return 0;
    }
    if (strcmp(err->slug, "auth.revoked") == 0) /* here a key that is gone was never there */
        (void)err_set(err, r, "auth.bad_credential", "this key is not known");
    return credential_refused(c->control, cr ? "sigma key" : "", c->peer_addr, err);
}

/* Session, then key, then whatever is good elsewhere. A session that is not good falls through: the key beside it may be. */
static int identify(struct call *c, bool is_agent, struct principal *ret, usec_t *ret_wait, struct err *err)
{
    struct str bearer = auth_bearer(c->req), key = key_of(c->req, bearer);
    int r;

    *ret_wait = 0;
    if (!key.ptr && is_agent && !bearer.ptr && !c->peer.is_unix) {
        (void)err_set(err, -EACCES, "auth.required", "Unauthorized: agents send their key as X-Api-Key");
        return auth_refused(c->api, c->peer_addr, err);
    }
    if (!key.ptr || (session_has_shape(bearer) && session_check(c->api, bearer, dialect_sigma.name, &c->peer, ret, err) == 0))
        return key.ptr ? 0 : auth_operator(c->api, c->req, dialect_sigma.name, ret, ret_wait, err);
    *err = (struct err){ 0 };
    r = by_key(c, key, ret, err);
    if (r == 0)
        return 0;
    *ret_wait = auth_ration(c->api, c->peer_addr, err);
    return *ret_wait > 0 ? err->code : r;
}

static int prove_as(struct call *c, bool is_agent, struct principal *ret, usec_t *ret_wait, struct err *err)
{
    struct asset_quota q;
    int r = identify(c, is_agent, ret, ret_wait, err);

    if (r < 0)
        return r;
    r = asset_admit(c->control, ret, is_agent, &q, err);
    call_header(c, "x-ratelimit-limit", "%u", q.limit);
    call_header(c, "x-ratelimit-remaining", "%u", q.remaining);
    *ret_wait = q.wait;
    return r;
}

/* Of an agent's row only the head is here: is it worth taking in the body? What the call costs its caller is counted with the body. */
static int prove(struct call *c, struct principal *ret, usec_t *ret_wait, struct err *err)
{
    return c->route->auth == AUTH_AGENT ? identify(c, true, ret, ret_wait, err) : prove_as(c, false, ret, ret_wait, err);
}

bool sigma_prove_agent(struct call *c)
{
    struct err err = { 0 };
    usec_t wait = 0;

    if (prove_as(c, true, &c->who, &wait, &err) == 0)
        return true;
    if (wait > 0)
        call_header(c, "retry-after", "%llu", (unsigned long long)reply_retry_after(wait));
    reply_error(c, &err);
    return false;
}

/* -- refusals */

static int error(struct call *c, const struct err *err, const struct record_errors *errs, struct buf *out)
{
    struct jw w = JW(out);

    /* Rows that others share say it in both ways. */
    if (c->route->claims) {
        dialect_error_json(err, out);
    } else {
        jw_map(&w);
        jw_key(&w, "error");
        jw_cstr(&w, err->text[0] ? err->text : "the request failed");
        jw_end_map(&w);
        if (jw_done(&w) < 0) {
            buf_reset(out);
            (void)buf_cstr(out, "{\"error\":\"the error does not fit\"}");
        }
    }
    /* Field errors before there is a body are the query's. */
    if (errs && errs->n_total > 0 && !c->body)
        return 400;
    return dialect_status(err, errs);
}

const struct dialect dialect_sigma = { .name = "sigma", .prove = prove, .error = error,
                                      .start = sigma_start, .drain = sigma_drain, .stop = sigma_stop };

/* -- bodies */

static bool is_json(struct call *c)
{
    struct str rest = http_header(c->req, "content-type"), media;

    return str_cut(&rest, ';', &media) && str_eq_nocase(str_trim(media), STR("application/json"));
}

void *sigma_body(struct call *c, const struct record *rec, struct node **ret_root)
{
    struct record_errors errs = { 0 };
    struct err err = { 0 };
    struct node *root = NULL;
    struct str text;
    void *obj;

    if (!is_json(c)) {
        (void)err_set(&err, -EINVAL, "request.media_type", "the body must be sent as Content-Type: application/json");
        reply_error(c, &err);
        return NULL;
    }
    if (call_json_text(c, &text, &err) < 0 || json_parse(c->arena, text, SIGMA_BODY_MAX, &root, &err) < 0) {
        reply_error(c, &err);
        return NULL;
    }
    obj = arena_alloc(c->arena, rec->size);
    if (!obj)
        (void)err_set(&err, -ENOBUFS, "request.too_large", "the request is too large");
    else if (root->type != NODE_MAP)
        (void)err_set(&err, -EINVAL, "field.type", "the body must be an object");
    else if (record_decode(rec, c->arena, root, obj, &errs) < 0)
        (void)err_set(&err, -EINVAL, errs.n ? errs.v[0].slug : "field.invalid", "%s: %s", errs.n ? errs.v[0].path : "body",
                      errs.n ? errs.v[0].text : "not understood");
    if (err_is(&err)) {
        reply_error(c, &err);
        return NULL;
    }
    if (ret_root)
        *ret_root = root;
    return obj;
}

bool sigma_uuid(struct call *c, struct str *ret)
{
    struct err err = { 0 };
    char text[UUID_TEXT_MAX];
    struct str s = call_param(c, 0);
    struct uuid u;

    if (s.len == 32) { /* without its dashes */
        (void)snprintf(text, sizeof(text), "%.8s-%.4s-%.4s-%.4s-%.12s", s.ptr, s.ptr + 8, s.ptr + 12, s.ptr + 16, s.ptr + 20);
        s = arena_str(c->arena, str_of(text));
    }
    if (uuid_parse(s, &u) == 0) {
        uuid_format(&u, text);
        *ret = arena_str(c->arena, str_of(text));
        return true;
    }
    (void)err_set(&err, -EINVAL, "request.bad", "Bad request: the id in the path is no UUID");
    reply_error(c, &err);
    return false;
}

void sigma_reply_true(struct call *c, const char *key)
{
    struct jw *w = call_json(c);

    jw_map(w);
    jw_key(w, key);
    jw_bool(w, true);
    jw_end_map(w);
    reply_parked(c, 200);
}
