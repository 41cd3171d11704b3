/* api/dialects/argus.c - Argus's accent: Bearer tokens by their prefix, {"detail": ...} for every refusal. See docs/wire/argus.md. */
#include "api/dialects/argus.h"

#include <errno.h>
#include <stdio.h>

#include "api/auth.h"
#include "api/state.h"

/* -- over what */
bool argus_is_safe(struct call *c)
{
    struct err err = { 0 };

    if (auth_is_https(c->api, c->req))
        call_header(c, "strict-transport-security", "max-age=31536000");
    if (!auth_is_exposed(c->api, c->req))
        return true;
    (void)err_set(&err, -EACCES, "auth.https", "credentials are taken over https only");
    (void)auth_refused(c->api, c->peer_addr, &err);
    reply_error(c, &err);
    return false;
}

/* -- who */
static bool has_credential(const struct call *c)
{
    return http_header(c->req, "authorization").ptr != NULL;
}

static int identify(struct call *c, struct principal *ret, usec_t *ret_wait, struct err *err)
{
    struct str bearer = auth_bearer(c->req);
    int r;

    *ret_wait = 0;
    if (!str_starts(bearer, STR("em_")))
        return auth_operator(c->api, c->req, dialect_argus.name, ret, ret_wait, err);
    r = run_key_check(c->control, bearer, &c->peer, ret, err);
    if (r == -ENOENT) { /* of the same shape: an API token */
        err_reset(err);
        return auth_operator(c->api, c->req, dialect_argus.name, ret, ret_wait, err);
    }
    if (r == 0)
        return 0;
    *ret_wait = auth_ration(c->api, c->peer_addr, err);
    return *ret_wait > 0 ? err->code : r;
}

/* Of AUTH_OPERATOR rows. */
static int prove(struct call *c, struct principal *ret, usec_t *ret_wait, struct err *err)
{
    if (has_credential(c) && !argus_is_safe(c)) /* answered already: the refusal that follows finds the call over */
        return err_set(err, -EACCES, "auth.https", "credentials are taken over https only");
    return identify(c, ret, ret_wait, err);
}

bool argus_prove(struct call *c)
{
    struct err err = { 0 };
    usec_t wait = 0;

    if (has_credential(c) && !argus_is_safe(c))
        return false;
    if (identify(c, &c->who, &wait, &err) == 0)
        return true;
    if (wait > 0)
        call_header(c, "retry-after", "%llu", (unsigned long long)reply_retry_after(wait));
    reply_error(c, &err);
    return false;
}

typedef int (*agent_check_fn)(struct control *c, struct str agent_id, struct str bearer, const char *peer, struct run_agent_ref *ret,
                              struct err *err);

static bool prove_agent(struct call *c, agent_check_fn check, struct run_agent_ref *ret)
{
    struct err err = { 0 };

    if (has_credential(c) && !argus_is_safe(c))
        return false;
    if (check(c->control, call_param(c, 0), auth_bearer(c->req), c->peer_addr, ret, &err) == 0)
        return true;
    usec_t wait = strcmp(err.slug, "auth.required") == 0 ? 0 : auth_ration(c->api, c->peer_addr, &err);
    if (wait > 0)
        call_header(c, "retry-after", "%llu", (unsigned long long)reply_retry_after(wait));
    reply_error(c, &err);
    return false;
}

bool argus_prove_agent(struct call *c, struct run_agent_ref *ret)
{
    return prove_agent(c, run_agent_check, ret);
}

bool argus_prove_agent_anew(struct call *c, struct run_agent_ref *ret)
{
    return prove_agent(c, run_agent_still_holds, ret);
}

bool argus_claims_agent(const struct http_req *req)
{
    static const struct str agents = STR("/api/agents/");
    char first = req->path.len > agents.len ? req->path.ptr[agents.len] : '\0';
    bool is_number = first >= '0' && first <= '9'; /* no agent of ours has one: API tokens look like a reporter's */

    return str_starts(req->path, STR("/api/agents/agent-")) || (!is_number && claim_bearer_argus(req));
}

/* -- refusals */
/* "capabilities[2]" is "capabilities", 2. */
static void write_step(struct jw *w, struct str step)
{
    struct str index = step, name;
    uint64_t n;

    (void)str_cut(&index, '[', &name);
    if (index.len < 2 || index.ptr[index.len - 1] != ']' || str_to_u64(str_sub(index, 0, index.len - 1), &n) < 0) {
        jw_str(w, step);
        return;
    }
    if (name.len)
        jw_str(w, name);
    jw_u64(w, n);
}

static void write_loc(struct jw *w, const char *where, const char *path)
{
    struct str rest = str_of(path), part;

    jw_key(w, "loc");
    jw_list(w);
    jw_cstr(w, where);
    while (*path && str_cut(&rest, '.', &part))
        write_step(w, part);
    jw_end_list(w);
}

static void write_field(struct jw *w, const char *where, const char *path, const char *slug, const char *text)
{
    const char *dot = strrchr(slug, '.');

    jw_map(w);
    jw_key(w, "type");
    jw_cstr(w, strcmp(slug, "field.required") == 0 ? "missing" : dot ? dot + 1 : slug);
    write_loc(w, where, path);
    jw_key(w, "msg");
    jw_cstr(w, text);
    jw_end_map(w);
}

static bool is_shape(const struct err *err, const struct record_errors *errs)
{
    struct str slug = str_of(err->slug);

    return (errs && errs->n_total > 0) || str_starts(slug, STR("field.")) ||
           (str_starts(slug, STR("json.")) && !str_is(slug, "json.too_large"));
}

static int error(struct call *c, const struct err *err, const struct record_errors *errs, struct buf *out)
{
    const char *text = err->text[0] ? err->text : "the request failed";
    const char *where = c->query && !c->body && errs ? "query" : "body";
    struct jw w = JW(out);

    if (!is_shape(err, errs)) {
        dialect_error_json(err, out);
        return str_is(str_of(err->slug), "auth.revoked") ? 401 : reply_status_of(err);
    }
    jw_map(&w);
    jw_key(&w, "detail");
    jw_list(&w);
    for (size_t i = 0; errs && i < errs->n; i++)
        write_field(&w, where, errs->v[i].path, errs->v[i].slug, errs->v[i].text);
    if (!errs || errs->n == 0)
        write_field(&w, where, err->path, err->slug, text);
    jw_end_list(&w);
    jw_key(&w, "error");
    jw_cstr(&w, text);
    jw_end_map(&w);
    if (jw_done(&w) < 0) {
        buf_reset(out);
        dialect_error_json(err, out);
    }
    return 422;
}

const struct dialect dialect_argus = { .name = "argus", .prove = prove, .error = error };

/* -- bodies and answers */
void *argus_body(struct call *c, const struct record *rec, size_t cap)
{
    struct record_errors errs = { 0 };
    struct err err = { 0 };
    struct str text;

    c->body = arena_alloc(c->arena, rec->size);
    if (c->body && call_json_text(c, &text, &err) == 0 && record_decode_json(rec, c->arena, text, cap, c->body, &errs, &err) == 0)
        return c->body;
    if (!c->body)
        (void)err_set(&err, -ENOBUFS, "request.too_large", "the request is too large");
    else if (!err_is(&err))
        (void)err_set(&err, -EINVAL, "field.invalid", "the body is not understood");
    reply_errors(c, &err, &errs);
    return NULL;
}

void argus_time(struct jw *w, const char *key, usec_t t)
{
    char text[CLOCK_TEXT_MAX];

    jw_key(w, key);
    if (!t) {
        jw_null(w);
        return;
    }
    clock_format(t, 0, text);
    jw_cstr(w, text);
}

void argus_text(struct jw *w, const char *key, struct str s)
{
    jw_key(w, key);
    if (s.len)
        jw_str(w, s);
    else
        jw_null(w);
}

void argus_word(struct jw *w, const char *key, const char *word)
{
    jw_key(w, key);
    jw_cstr(w, word);
}

void argus_number(struct jw *w, const char *key, uint64_t n)
{
    jw_key(w, key);
    jw_u64(w, n);
}

void argus_known(struct jw *w, const char *key, bool is_known, int64_t n)
{
    jw_key(w, key);
    if (is_known)
        jw_i64(w, n);
    else
        jw_null(w);
}

void argus_flag(struct jw *w, const char *key, bool is_set)
{
    jw_key(w, key);
    jw_bool(w, is_set);
}
