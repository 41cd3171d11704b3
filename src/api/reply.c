/* api/reply.c - see reply.h. */
#include "api/reply.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include <utlist.h>

#include "api/dialects/dialect.h"
#include "api/state.h"
#include "base/mem.h"
#include "wire/slugs.h"

#define LOG_TARGET "api"
#include "base/log.h"

static int status_of_errno(int code)
{
    switch (-code) {
    case EINVAL:
    case EBADMSG:
        return 400;
    case EACCES:
    case EPERM:
        return 403;
    case ENOENT:
        return 404;
    case EEXIST:
        return 409;
    case EMSGSIZE:
    case E2BIG:
    case ENOBUFS:
        return 413;
    case EBUSY:
        return 409;
    case EAGAIN:
    case ENOSPC:
    case EROFS:
    case ECANCELED:
        return 503;
    case ETIMEDOUT:
        return 504;
    default:
        return 500;
    }
}

/* Is @slug in the table, or of a family that is? */
static const struct slug *known_slug(const char *slug)
{
    const struct slug *s = slug[0] ? slug_find(slug) : NULL;

    if (s && strcmp(s->slug, "internal") == 0 && strcmp(slug, "internal") != 0)
        return NULL;
    return s;
}

int reply_status_of(const struct err *err)
{
    const struct slug *s = known_slug(err->slug);

    return s ? s->http : status_of_errno(err->code);
}

int reply_grpc_of(const struct err *err)
{
    const struct slug *s = known_slug(err->slug);

    if (s)
        return s->grpc;
    switch (status_of_errno(err->code)) {
    case 400:
        return GRPC_INVALID_ARGUMENT;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_NOT_FOUND;
    case 409:
        return GRPC_FAILED_PRECONDITION;
    case 413:
        return GRPC_RESOURCE_EXHAUSTED;
    case 503:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_INTERNAL;
    }
}

uint64_t reply_retry_after(usec_t wait)
{
    uint64_t s = (wait + USEC_PER_SEC - 1) / USEC_PER_SEC;

    return s ? s : 1;
}

void reply_error_json(const struct err *err, const struct record_errors *errs, struct buf *out)
{
    struct jw w = JW(out);

    jw_map(&w);
    jw_key(&w, "error");
    jw_map(&w);
    jw_key(&w, "code");
    jw_cstr(&w, err->slug[0] ? err->slug : "internal");
    jw_key(&w, "message");
    jw_cstr(&w, err->text[0] ? err->text : "the request failed");
    if (err->who[0]) {
        jw_key(&w, "user");
        jw_cstr(&w, err->who);
    }
    if (err->needs[0]) {
        jw_key(&w, "required_role");
        jw_cstr(&w, err->needs);
    }
    if (err->login_helps) {
        jw_key(&w, "login_helps");
        jw_bool(&w, true);
    }
    if ((errs && errs->n > 0) || err->path[0]) {
        jw_key(&w, "fields");
        jw_list(&w);
        for (size_t i = 0; errs && i < errs->n; i++) {
            jw_map(&w);
            jw_key(&w, "path");
            jw_cstr(&w, errs->v[i].path);
            jw_key(&w, "code");
            jw_cstr(&w, errs->v[i].slug);
            jw_key(&w, "message");
            jw_cstr(&w, errs->v[i].text);
            jw_end_map(&w);
        }
        if (!errs || errs->n == 0) {
            jw_map(&w);
            jw_key(&w, "path");
            jw_cstr(&w, err->path);
            jw_key(&w, "code");
            jw_cstr(&w, err->slug);
            jw_key(&w, "message");
            jw_cstr(&w, err->text);
            jw_end_map(&w);
        }
        jw_end_list(&w);
    }
    jw_end_map(&w);
    jw_end_map(&w);
    if (jw_done(&w) < 0) {
        buf_reset(out);
        (void)buf_cstr(out, "{\"error\":{\"code\":\"internal\",\"message\":\"the error does not fit\"}}");
    }
}

static void send(struct call *c)
{
    struct api *a = c->api;
    struct http_res res = {
        .status = c->status,
        .content_type = c->content_type ? c->content_type : "application/json",
        .headers = c->headers,
        .n_headers = c->n_headers,
        .body = buf_as_str(&c->out),
    };

    assert(!c->is_answered);
    c->is_answered = true;
    DL_DELETE(a->calls, c);
    a->n_calls--;
    a->n.http_by_class[c->status >= 100 && c->status < 600 ? c->status / 100 : 5]++;
    if (c->status == 204)
        res.content_type = NULL;

    if (c->body && c->route && c->route->body)
        record_wipe(c->route->body, c->body); /* passwords do not outlive their request */
    http_set_user(c->exchange, NULL); /* whatever closed() says after this is not about an open call */
    (void)http_reply(c->exchange, &res);
    c->req = NULL;
    call_unref(c); /* the exchange's */
}

static bool document_is_whole(struct call *c)
{
    if (jw_done(&c->w) == 0)
        return true;
    buf_reset(&c->out);
    struct err err = { 0 };
    (void)err_set(&err, -ENOBUFS, "internal", "the answer is larger than %d bytes; ask for less with limit",
                  CALL_OUT_MAX);
    reply_error_json(&err, NULL, &c->out);
    c->content_type = NULL;
    return false;
}

void reply_now(struct call *c, int status)
{
    if (call_is_gone(c))
        return;
    c->status = status;
    if (!document_is_whole(c))
        c->status = 500;
    send(c);
}

static void on_durable(struct control *control, void *arg)
{
    AUTO(call_unref) struct call *c = arg;

    if (control &&
        !call_is_gone(c)) /* without control nothing was promised: it stopped before the commit came */
        send(c);
}

static void park(struct call *c, int status)
{
    if (call_is_gone(c))
        return;
    c->status = status;
    if (!document_is_whole(c))
        c->status = 500;
    c->is_parked = true;
    commit_after(c->control, on_durable, call_ref(c));
}

void reply_unsaved(struct call *c)
{
    assert(c->is_parked);
    if (call_is_gone(c))
        return;
    call_header(c, "x-muster-unsaved", "true");
    send(c);
}

void reply_parked(struct call *c, int status)
{
    park(c, status);
}

static bool has_header(const struct call *c, const char *name)
{
    for (size_t i = 0; i < c->n_headers; i++)
        if (str_is(c->headers[i].key, name))
            return true;
    return false;
}

/* A refusal in the accent of the row. */
static int put_dialect_error(struct call *c, const struct err *err, const struct record_errors *errs)
{
    const struct dialect *d = c->route->dialect;

    if (d->error)
        return d->error(c, err, errs, &c->out);
    dialect_error_json(err, &c->out);
    return dialect_status(err, errs);
}

static int put_error(struct call *c, const struct err *err, const struct record_errors *errs)
{
    bool is_foreign = c->route && c->route->dialect;
    int status = reply_status_of(err);

    if (status == 500)
        log_error("api.internal", "a request failed inside", LOG_CSTR("path", c->route ? c->route->path : ""),
                  LOG_ERR(err));
    c->w = JW(&c->out);
    buf_reset(&c->out);
    c->content_type = NULL;
    if (is_foreign)
        status = put_dialect_error(c, err, errs);
    else if (c->is_unclaimed)
        dialect_error_json(err, &c->out);
    else
        reply_error_json(err, errs, &c->out);
    if (status == 401 && !has_header(c, "www-authenticate"))
        call_header(c, "www-authenticate", "Bearer");
    if ((status == 503 || status == 429) && !has_header(c, "retry-after"))
        call_header(c, "retry-after", status == 503 ? "5" : "1");
    return status;
}

void reply_errors(struct call *c, const struct err *err, const struct record_errors *errs)
{
    if (call_is_gone(c))
        return;
    reply_now(c, put_error(c, err, errs));
}

void reply_error(struct call *c, const struct err *err)
{
    reply_errors(c, err, NULL);
}

void reply_unread(struct call *c, int result)
{
    struct err err = { 0 };

    (void)err_set(&err, result, "store.unavailable", "the database could not be read: %m");
    reply_error(c, &err);
}

void reply_error_parked(struct call *c, const struct err *err)
{
    int status;

    if (call_is_gone(c))
        return;
    status = put_error(c, err, NULL);
    if (status == 503)
        reply_now(c, status); /* the disk is what is missing */
    else
        park(c, status);
}

void reply_record(struct call *c, int status, const struct record *rec, const void *obj)
{
    record_write(rec, obj, call_json(c));
    reply_parked(c, status);
}
