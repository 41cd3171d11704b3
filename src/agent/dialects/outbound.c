/* agent/dialects/outbound.c - requests to a foreign server, one after the other over one kept-alive connection. Loop thread.
 *
 * net/client.h does HTTP; here are the base URL, the proxy, whom to trust, and one clock over a whole request: net/client stops
 * looking at the time once a reply's head has come, and a foreign server may stop in the middle of a body. */
#include <assert.h>
#include <errno.h>

#include "agent/dialects/outbound_url.h"
#include "agent/dialects/personality.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/text.h"

enum { BODY_MAX = 1 << 20, PEM_MAX = 1 << 20 };

struct wish {
    struct wish *next;
    uint64_t number;
    char *method, *target;
    struct kv *headers;
    size_t n_headers;
    struct buf body;
    usec_t timeout;
    outbound_fn done;
    void *ctx;
};

struct outbound {
    struct loop *loop;
    struct http_client *http;
    struct tls_ctx *tls;
    char *prefix, *origin;
    usec_t total_timeout;
    struct wish *queue, **tail, *cur;
    uint64_t numbers, http_number;
    struct timer *limit;
    usec_t retry_after;
    struct kv_list head; /* of the reply under way; copies */
    int status;
    bool is_soon, is_headed;
    bool *is_freed; /* for whoever is calling back */
};

static void pump(struct outbound *o);

static void wish_free(struct wish *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n_headers; i++) {
        free((void *)(uintptr_t)w->headers[i].key.ptr);
        secret_free((void *)(uintptr_t)w->headers[i].value.ptr);
    }
    free(w->headers);
    free(w->method);
    free(w->target);
    buf_done_secret(&w->body);
    free(w);
}
DEFINE_AUTO(struct wish *, wish_free)

static void head_done(struct outbound *o)
{
    for (size_t i = 0; i < o->head.n; i++) {
        free((void *)(uintptr_t)o->head.v[i].key.ptr);
        free((void *)(uintptr_t)o->head.v[i].value.ptr);
    }
    free(TAKE(o->head.v));
    o->head.n = 0;
    o->is_headed = false;
    o->retry_after = 0;
}

/* -- the answer */

static void on_head(void *ctx, int status, const struct kv_list *headers)
{
    struct outbound *o = ctx;

    head_done(o);
    o->is_headed = true;
    o->status = status;
    o->head.v = xcalloc(headers->n + 1, sizeof(*o->head.v));
    for (size_t i = 0; i < headers->n; i++) {
        o->head.v[o->head.n].key = (struct str){ str_dup(headers->v[i].key), headers->v[i].key.len };
        o->head.v[o->head.n++].value = (struct str){ str_dup(headers->v[i].value), headers->v[i].value.len };
        if ((status == 429 || status == 503) && str_is(headers->v[i].key, "retry-after"))
            o->retry_after = outbound__retry_after(headers->v[i].value, clock_wall(&clock_real));
    }
}

/* One slug for what is wrong with TLS and one for a connection that ended: the sentence says what. */
static struct err plain_words(const struct err *why)
{
    struct err err = *why;

    if (strcmp(err.slug, "tls.untrusted") == 0) {
        size_t at = strlen(err.text);
        (void)snprintf(err.text + at, sizeof(err.text) - at, "; the server's CA belongs in --ca-file FILE");
    }
    if (strncmp(err.slug, "tls.", 4) == 0)
        (void)str_copy(STR("net.tls"), err.slug, sizeof(err.slug));
    if (strcmp(err.slug, "net.reset") == 0)
        (void)str_copy(STR("net.closed"), err.slug, sizeof(err.slug));
    return err;
}

static void answer(struct outbound *o, const struct err *why, int status, struct str body)
{
    AUTO(wish_free) struct wish *w = TAKE(o->cur);
    struct err err = why ? plain_words(why) : (struct err){ 0 };
    struct outbound_reply r = { .status = why ? 0 : status,
                                .err = why ? &err : NULL,
                                .body = body,
                                .headers = &o->head,
                                .retry_after = why ? 0 : o->retry_after };
    bool is_freed = false;

    timer_stop(o->limit);
    o->http_number = 0;
    o->is_freed = &is_freed;
    w->done(w->ctx, &r);
    if (is_freed)
        return;
    o->is_freed = NULL;
    head_done(o);
    pump(o);
}

static void on_done(void *ctx, const struct err *err, int status, struct str body)
{
    answer(ctx, err, status, body);
}

static void on_limit(void *ctx)
{
    struct outbound *o = ctx;
    struct err err = { 0 };

    if (!o->cur)
        return;
    err_set(&err, -ETIMEDOUT, "net.timeout", o->is_headed ? "%s does not finish its answer" : "%s does not answer", o->origin);
    http_client_cancel(o->http, o->http_number);
    answer(o, &err, 0, STR_NONE);
}

/* -- asking */

static void start(void *ctx)
{
    struct outbound *o = ctx;
    struct wish *w = o->queue;
    struct http_client_req rq;

    o->is_soon = false;
    if (!o->loop) { /* freed meanwhile */
        free(o);
        return;
    }
    if (o->cur || !w)
        return;
    o->queue = w->next;
    if (!o->queue)
        o->tail = &o->queue;
    w->next = NULL;
    o->cur = w;
    rq = (struct http_client_req){ .method = w->method,
                                   .target = w->target,
                                   .headers = w->headers,
                                   .n_headers = w->n_headers,
                                   .body = buf_as_str(&w->body),
                                   .head = on_head,
                                   .done = on_done,
                                   .ctx = o };
    head_done(o);
    o->http_number = http_client_send(o->http, &rq);
    timer_start(o->limit, w->timeout, 0);
}

static void pump(struct outbound *o)
{
    if (o->cur || !o->queue || o->is_soon)
        return;
    o->is_soon = true;
    loop_soon(o->loop, start, o);
}

static bool is_header_safe(const struct kv *h)
{
    for (size_t i = 0; i < h->key.len; i++)
        if (h->key.ptr[i] <= ' ' || h->key.ptr[i] > '~' || h->key.ptr[i] == ':')
            return false;
    for (size_t i = 0; i < h->value.len; i++)
        if ((uint8_t)h->value.ptr[i] < ' ' || h->value.ptr[i] == 0x7f)
            return false;
    return h->key.len > 0;
}

uint64_t outbound_send(struct outbound *o, const struct outbound_req *rq)
{
    struct wish *w = xnew0(struct wish);

    assert(rq->method && rq->path && rq->done);
    w->number = ++o->numbers;
    w->method = xstrdup(rq->method);
    w->target = xasprintf("%s%s%s", o->prefix, rq->path[0] == '/' ? "" : "/", rq->path);
    w->headers = xcalloc(rq->n_headers + 1, sizeof(*w->headers));
    for (size_t i = 0; i < rq->n_headers; i++) {
        if (!is_header_safe(&rq->headers[i]))
            continue; /* a line break in a key would be a second header; the server will miss it and say so */
        w->headers[w->n_headers].key = (struct str){ str_dup(rq->headers[i].key), rq->headers[i].key.len };
        w->headers[w->n_headers++].value = (struct str){ str_dup(rq->headers[i].value), rq->headers[i].value.len };
    }
    w->body = BUF(rq->body.len);
    (void)buf_str(&w->body, rq->body);
    w->timeout = rq->timeout ? rq->timeout : o->total_timeout;
    w->done = rq->done;
    w->ctx = rq->ctx;
    *o->tail = w;
    o->tail = &w->next;
    pump(o);
    return w->number;
}

void outbound_cancel(struct outbound *o, uint64_t number)
{
    struct wish **pp = &o->queue, *w;

    if (o->cur && o->cur->number == number) {
        timer_stop(o->limit);
        http_client_cancel(o->http, o->http_number);
        wish_free(TAKE(o->cur));
        pump(o);
        return;
    }
    while ((w = *pp) && w->number != number)
        pp = &w->next;
    if (!w)
        return;
    *pp = w->next;
    if (!*pp)
        o->tail = pp;
    wish_free(w);
}

const char *outbound_origin(const struct outbound *o)
{
    return o->origin;
}

/* -- making one */

static int read_pem(const char *path, const char *slug, struct buf *out, struct err *err)
{
    int r = fd_read_file(path, out);

    return r < 0 ? err_set(err, r, slug, "cannot read %s: %m", path) : 0;
}

/* One file may hold both. The key is a secret as others are: for its owner's eyes. */
static int read_client_cert(const struct outbound_conf *conf, struct buf *cert, struct buf *key, struct err *err)
{
    int r;

    if (!conf->cert_file)
        return err_set(err, -EINVAL, "tls.cert", "a client key needs its certificate: --client-cert FILE");
    r = read_pem(conf->cert_file, "tls.cert", cert, err);
    return r < 0 ? r : secret_file_read(conf->key_file ? conf->key_file : conf->cert_file, PEM_MAX, key, err);
}

static int make_tls(struct outbound *o, const struct outbound_conf *conf, const char *host, struct err *err)
{
    static const char *const alpn[] = { "http/1.1", NULL };
    AUTO(buf_done) struct buf ca = BUF(PEM_MAX), cert = BUF(PEM_MAX);
    AUTO(buf_done_secret) struct buf key = BUF(PEM_MAX);
    struct tls_client_conf tls = {
        .alpn = alpn, .allow_tls12 = true, .skip_verify = conf->insecure_skip_verify, .expect_host = host
    };
    int r = 0;

    if (conf->ca_file && !conf->insecure_skip_verify) {
        r = read_pem(conf->ca_file, "tls.ca", &ca, err);
        tls.ca_pem = buf_as_cstr(&ca);
    }
    if (r == 0 && (conf->cert_file || conf->key_file)) {
        r = read_client_cert(conf, &cert, &key, err);
        tls.cert_pem = buf_as_cstr(&cert);
        tls.key_pem = buf_as_cstr(&key);
    }
    if (r < 0)
        return r;
    o->tls = tls_client_new(&tls, err);
    if (!o->tls && tls.ca_pem && err && strcmp(err->slug, "tls.config") == 0 && str_starts(str_of(err->text), STR("the CA")))
        return err_set(err, -EINVAL, "tls.ca", "no CA certificate in %s", conf->ca_file);
    if (!o->tls && conf->cert_file)
        err_prefix(err, "%s", conf->key_file ? conf->key_file : conf->cert_file);
    return o->tls ? 0 : -EINVAL;
}

/* Lower case wins, as everywhere; HTTP_PROXY in a CGI would be the client's header "Proxy:". */
static const char *proxy_variable(bool is_tls)
{
    static const char *const plain[] = { "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", NULL };
    static const char *const tls[] = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", NULL };

    for (const char *const *name = is_tls ? tls : plain; *name; name++) {
        const char *v = getenv(*name);

        if (v && *v && !(strcmp(*name, "HTTP_PROXY") == 0 && getenv("REQUEST_METHOD")))
            return v;
    }
    return NULL;
}

static int find_proxy(const struct outbound_url *to, struct outbound_url *ret, char **ret_auth, struct err *err)
{
    const char *text = proxy_variable(to->is_tls), *except = getenv("no_proxy");
    int r;

    if (!except || !*except)
        except = getenv("NO_PROXY");
    if (!text || (except && outbound__no_proxy(str_of(except), to->host, to->port)))
        return 0;
    r = outbound__url(str_of(text), true, ret, err);
    if (r == 0 && ret->is_tls)
        r = err_set(err, -EINVAL, "url.bad", "a proxy that is itself spoken to through TLS is not supported");
    if (r < 0) {
        err_prefix(err, "proxy");
        return r;
    }
    if (ret->user) {
        AUTO(buf_done_secret) struct buf b = BUF(4096);

        r = base64_encode(&b, str_of(ret->user));
        if (r < 0)
            return err_set(err, r, "url.bad", "the proxy's password is too long");
        *ret_auth = xasprintf("Basic %s", buf_as_cstr(&b));
    }
    return 0;
}

int outbound_new(const struct outbound_conf *conf, struct outbound **ret, struct err *err)
{
    AUTO(outbound_free) struct outbound *o = NULL;
    AUTO(outbound__url_done) struct outbound_url url = { 0 };
    AUTO(outbound__url_done) struct outbound_url proxy = { 0 };
    char *proxy_auth = NULL;
    int r = outbound__url(str_of(conf->base_url), false, &url, err);

    if (r < 0)
        return r;
    if (url.user)
        return err_set(err, -EINVAL, "url.bad", "the URL is not usable: a name and password have no place in it");
    if (!url.is_tls && !conf->allow_http && !outbound__is_loopback(url.host))
        return err_set(err, -EPERM, "url.insecure",
                       "http:// to %s would send credentials in the clear: use https://, or allow it", url.host);
    r = find_proxy(&url, &proxy, &proxy_auth, err);
    if (r < 0)
        return r;

    o = xnew0(struct outbound);
    o->loop = conf->loop;
    o->tail = &o->queue;
    o->limit = timer_new(conf->loop, on_limit, o);
    o->total_timeout = conf->total_timeout ? conf->total_timeout : 60 * USEC_PER_SEC;
    o->prefix = TAKE(url.prefix);
    o->origin =
        xasprintf(strchr(url.host, ':') ? "%s://[%s]:%u" : "%s://%s:%u", url.is_tls ? "https" : "http", url.host, url.port);
    r = url.is_tls ? make_tls(o, conf, url.host, err) : 0;
    if (r < 0) {
        secret_free(proxy_auth);
        return r;
    }
    struct http_client_conf http = {
        .host = url.host,
        .port = url.port,
        .tls = o->tls,
        .connect_timeout = conf->connect_timeout,
        .reply_timeout = USEC_NEVER,
        .max_body = conf->max_body ? conf->max_body : BODY_MAX,
        .proxy_host = proxy.host,
        .proxy_port = proxy.port,
        .proxy_auth = proxy_auth,
    };
    o->http = http_client_new(conf->loop, &http);
    secret_free(proxy_auth);
    *ret = TAKE(o);
    return 0;
}

void outbound_free(struct outbound *o)
{
    struct wish *w;

    if (!o)
        return;
    if (o->is_freed)
        *o->is_freed = true;
    http_client_free(o->http);
    timer_free(o->limit);
    wish_free(o->cur);
    while ((w = o->queue)) {
        o->queue = w->next;
        wish_free(w);
    }
    head_done(o);
    tls_ctx_free(o->tls);
    free(o->prefix);
    free(o->origin);
    if (o->is_soon) { /* loop_soon() still holds it */
        *o = (struct outbound){ .is_soon = true };
        return;
    }
    free(o);
}

/* -- one-shot programs */

struct call {
    struct loop *loop;
    struct buf *body;
    struct err *err;
    usec_t retry_after;
    int status;
    bool is_done;
};

static void on_call(void *ctx, const struct outbound_reply *r)
{
    struct call *c = ctx;

    c->is_done = true;
    c->retry_after = r->retry_after;
    if (r->err) {
        c->status = r->err->code < 0 ? r->err->code : -EIO;
        if (c->err)
            *c->err = *r->err;
    } else if (c->body && buf_str(c->body, r->body) < 0) {
        c->status = err_set(c->err, -EMSGSIZE, "http.too_large", "the reply is larger than %zu bytes", c->body->max);
    } else {
        c->status = r->status;
    }
    loop_stop(c->loop);
}

int outbound_call(struct outbound *o, const struct outbound_req *rq, struct buf *ret_body, usec_t *ret_retry_after,
                  struct err *err)
{
    struct call c = { .loop = o->loop, .body = ret_body, .err = err };
    struct outbound_req mine = *rq;
    uint64_t number;

    mine.done = on_call;
    mine.ctx = &c;
    number = outbound_send(o, &mine);
    loop_run(o->loop);
    if (!c.is_done) {
        outbound_cancel(o, number);
        return err_set(err, -EINTR, "net.interrupted", "stopped while waiting for %s", o->origin);
    }
    if (ret_retry_after)
        *ret_retry_after = c.retry_after;
    return c.status;
}
