/* agent/dialects/sigma_talk.c - requests to a sigma server: its headers, and redirects within its origin (sigma 2.2). The key never goes
 * to another origin, and a POST never becomes a GET. Loop thread. */
#include <errno.h>

#include "agent/dialects/outbound_url.h"
#include "agent/dialects/sigma.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"

enum { HOPS_MAX = 5, REPLY_MAX = 4 << 20, WHY_ARENA = 64 << 10, CONNECT_S = 5 };

struct sigma_talk {
    struct outbound *out; /* knows the origin only: a redirect may lead out of the prefix */
    char *prefix, *key, *path;
    struct buf body;
    usec_t timeout;
    int hops;
    outbound_fn done;
    void *ctx;
};

static void send_it(struct sigma_talk *t);

/* Where a 307 or 308 leads within our origin: malloced, or NULL. */
static char *same_origin(const struct sigma_talk *t, struct str to)
{
    AUTO(outbound__url_done) struct outbound_url url = { 0 };
    AUTO_FREE char *origin = NULL;
    ptrdiff_t scheme = str_find(to, STR("://"));
    struct str host, path;
    struct err err;
    ptrdiff_t slash;

    if (to.len && to.ptr[0] == '/' && !(to.len > 1 && to.ptr[1] == '/'))
        return str_dup(to);
    if (scheme < 0)
        return NULL;
    slash = str_find_char(str_sub(to, (size_t)scheme + 3, to.len), '/');
    host = slash < 0 ? to : str_sub(to, 0, (size_t)(scheme + 3 + slash));
    path = slash < 0 ? STR("/") : str_sub(to, host.len, to.len);
    if (outbound__url(host, false, &url, &err) < 0 || url.user)
        return NULL;
    origin = xasprintf(strchr(url.host, ':') ? "%s://[%s]:%u" : "%s://%s:%u", url.is_tls ? "https" : "http", url.host, url.port);
    return strcmp(origin, outbound_origin(t->out)) == 0 ? str_dup(path) : NULL;
}

static struct str header_of(const struct outbound_reply *r, const char *name)
{
    for (size_t i = 0; r->headers && i < r->headers->n; i++)
        if (str_is(r->headers->v[i].key, name))
            return r->headers->v[i].value;
    return STR_NONE;
}

static void on_reply(void *ctx, const struct outbound_reply *r)
{
    struct sigma_talk *t = ctx;

    if ((r->status == 307 || r->status == 308) && t->hops < HOPS_MAX) {
        struct str to = header_of(r, "location");
        char *path = same_origin(t, to);

        if (path) {
            t->hops++;
            free(t->path);
            t->path = path;
            send_it(t);
            return;
        }
        log_warn("sigma.redirect", "a redirect to another origin is not followed: it would get the key", LOG_STR("to", str_sub(to, 0, 256)));
    }
    free(TAKE(t->path));
    t->done(t->ctx, r); /* may free us, or ask again */
}

static void send_it(struct sigma_talk *t)
{
    struct kv headers[4];
    size_t n = 0;

    if (t->body.len)
        headers[n++] = (struct kv){ STR("content-type"), STR("application/json") };
    headers[n++] = (struct kv){ STR("accept"), STR("*/*") };
    headers[n++] = (struct kv){ STR("user-agent"), STR("") }; /* the seed's agent says none */
    if (t->key)
        headers[n++] = (struct kv){ STR("x-api-key"), str_of(t->key) };
    (void)outbound_send(t->out, &(struct outbound_req){ .method = t->body.len ? "POST" : "GET",
                                                        .path = t->path,
                                                        .headers = headers,
                                                        .n_headers = n,
                                                        .body = buf_as_str(&t->body),
                                                        .timeout = t->timeout,
                                                        .done = on_reply,
                                                        .ctx = t });
}

void sigma_talk_send(struct sigma_talk *t, const char *path, struct str body, usec_t timeout, outbound_fn done, void *ctx)
{
    buf_done(&t->body);
    t->body = BUF(body.len);
    (void)buf_str(&t->body, body);
    free(t->path);
    t->path = xasprintf("%s%s", t->prefix, path);
    t->timeout = timeout;
    t->hops = 0;
    t->done = done;
    t->ctx = ctx;
    send_it(t);
}

int sigma_talk_new(const struct sigma_talk_conf *conf, struct sigma_talk **ret, struct err *err)
{
    AUTO(outbound__url_done) struct outbound_url url = { 0 };
    AUTO_FREE char *origin = NULL;
    struct outbound_conf out = { .loop = conf->loop, .ca_file = conf->ca_file, .allow_http = true, .max_body = REPLY_MAX,
                                 .connect_timeout = CONNECT_S * USEC_PER_SEC, .total_timeout = conf->total_timeout };
    struct sigma_talk *t;
    int r = outbound__url(str_of(conf->api_url), false, &url, err);

    if (r < 0)
        return r;
    origin = xasprintf("%s://%s%s%s:%u", url.is_tls ? "https" : "http", strchr(url.host, ':') ? "[" : "", url.host,
                       strchr(url.host, ':') ? "]" : "", url.port);
    if (url.user)
        return err_set(err, -EINVAL, "url.bad", "a name and password have no place in the URL");
    t = xnew0(struct sigma_talk);
    out.base_url = origin;
    r = outbound_new(&out, &t->out, err);
    if (r < 0) {
        free(t);
        return r;
    }
    t->prefix = TAKE(url.prefix);
    t->key = conf->api_key && *conf->api_key ? xstrdup(conf->api_key) : NULL;
    *ret = t;
    return 0;
}

void sigma_talk_free(struct sigma_talk *t)
{
    if (!t)
        return;
    outbound_free(t->out);
    free(t->prefix);
    free(t->path);
    secret_free(t->key);
    buf_done(&t->body);
    free(t);
}

void sigma_talk_why(const struct outbound_reply *r, char *dst, size_t size)
{
    AUTO(arena_free) struct arena *a = arena_new(WHY_ARENA);
    const struct node *n;
    struct node *root;
    struct err err;

    if (r->err) {
        (void)snprintf(dst, size, "%s", r->err->text);
        return;
    }
    if (json_parse(a, r->body, 16 << 10, &root, &err) == 0 && root->type == NODE_MAP && (n = node_get(root, "error")) && n->type == NODE_STR)
        (void)snprintf(dst, size, "%.*s", STR_FMT(str_sub(n->s, 0, 256)));
    else
        (void)snprintf(dst, size, "%.*s", STR_FMT(str_sub(str_trim(r->body), 0, 256)));
}
