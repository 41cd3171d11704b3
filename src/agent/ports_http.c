/* agent/ports_http.c - see ports_http.h. Statuses and the order of checks are the seed's; bodies of refusals are JSON where the client
 * asks for it by name, else plain text. Loop thread. */
#include "agent/ports_http.h"

#include <errno.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "codec/json.h"
#include "net/listen.h"

enum { METRICS_MAX = 1 << 20, REPLY_MAX = 512 << 10, BODY_ARENA = 256 << 10 };
#define JSON_TYPE "application/json"
#define TEXT_TYPE "text/plain; charset=utf-8"

struct ports_http {
    struct ports_http_conf conf;
    struct listener *listener;
    usec_t full_at; /* when the bucket of allocations is full again, loop time */
};

/* An allocation under way: its client may be gone by then. */
struct waiting {
    uint64_t exchange;
    bool is_json;
};

/* -- replies */

static bool wants_json(const struct http_req *req)
{
    struct str rest = http_header(req, "accept"), part, type;

    while (str_cut(&rest, ',', &part)) {
        if (str_cut(&part, ';', &type) && str_eq_nocase(str_trim(type), STR(JSON_TYPE)))
            return true;
    }
    return false;
}

static void reply(uint64_t x, int status, const char *type, struct str body)
{
    (void)http_reply(x, &(struct http_res){ .status = status, .content_type = type, .body = body });
}

static void refuse_with(uint64_t x, bool is_json, int status, struct str text, const struct kv *header)
{
    AUTO(buf_done) struct buf b = BUF(4096);
    struct http_res res = { .status = status, .content_type = TEXT_TYPE, .body = text, .headers = header, .n_headers = header ? 1 : 0 };

    if (is_json) {
        struct jw w = JW(&b);

        jw_map(&w);
        jw_key(&w, "error");
        jw_str(&w, text);
        jw_end_map(&w);
        res.content_type = JSON_TYPE;
        res.body = buf_as_str(&b);
    }
    (void)http_reply(x, &res);
}

static void refuse(uint64_t x, const struct http_req *req, int status, const char *text)
{
    refuse_with(x, wants_json(req), status, str_of(text), NULL);
}

/* -- who may */

static bool is_allowed(struct ports_http *h, uint64_t x, const struct http_req *req)
{
    static const struct kv how = { { "WWW-Authenticate", 16 }, { "Bearer", 6 } };
    struct str said = http_header(req, "authorization"), scheme = STR("Bearer ");

    if (!h->conf.token)
        return true;
    if (str_starts_nocase(said, scheme) && secret_eq(str_trim(str_sub(said, scheme.len, said.len)), str_of(h->conf.token)))
        return true;
    refuse_with(x, wants_json(req), 401, STR("a bearer token is needed"), &how);
    return false;
}

/* A bucket of PORTS_HTTP_PER_SECOND that fills as fast. */
static bool is_in_time(struct ports_http *h, uint64_t x, const struct http_req *req)
{
    static const struct kv later = { { "Retry-After", 11 }, { "1", 1 } };
    usec_t now = loop_now(h->conf.loop), each = USEC_PER_SEC / PORTS_HTTP_PER_SECOND;

    if (h->full_at < now)
        h->full_at = now;
    if (h->full_at + each > now + USEC_PER_SEC) {
        refuse_with(x, wants_json(req), 429, STR("at most 5 allocations a second"), &later);
        return false;
    }
    h->full_at += each;
    return true;
}

/* -- GET /metrics, /healthz */

static void on_metrics(struct ports_http *h, uint64_t x)
{
    AUTO(buf_done) struct buf b = BUF(METRICS_MAX);

    if (ports_metrics(h->conf.ports(h->conf.ctx), str_of(h->conf.hostname), &b) < 0) {
        reply(x, 500, TEXT_TYPE, STR("the metrics are too many"));
        return;
    }
    if (h->conf.more)
        h->conf.more(h->conf.ctx, &b);
    reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_as_str(&b));
}

/* -- POST /ports/allocate */

static bool is_json_type(struct str type)
{
    struct str head;

    if (!str_cut(&type, ';', &head))
        return false;
    head = str_trim(head);
    return str_eq_nocase(head, STR(JSON_TYPE)) ||
           (str_starts_nocase(head, STR("application/")) && head.len > 5 && str_eq_nocase(str_sub(head, head.len - 5, 5), STR("+json")));
}

static bool read_u32(const struct node *map, const char *key, bool must, uint32_t *ret)
{
    const struct node *n = node_get(map, key);

    if (!n || (n->type == NODE_NULL && !must))
        return !must;
    if (n->type != NODE_INT || n->i < 0)
        return false;
    *ret = n->i > UINT32_MAX ? UINT32_MAX : (uint32_t)n->i;
    return true;
}

/* 0, or the status and why. */
static int read_wish(const struct http_req *req, struct ports_wish *w, const char **ret_why)
{
    struct err err = { 0 };
    struct node *root;
    const struct node *n;
    int r = json_parse(req->arena, req->body, req->body.len, &root, &err);

    *ret_why = "the body is not JSON";
    if (r < 0) /* what can be read and makes no sense is told apart from what cannot be read */
        return strcmp(err.slug, "json.number") == 0 || strcmp(err.slug, "json.duplicate") == 0 ? 422 : 400;
    *ret_why = "count must be a whole number";
    if (root->type != NODE_MAP || !read_u32(root, "count", true, &w->count))
        return 422;
    *ret_why = "ttl_seconds must be a whole number";
    if (!read_u32(root, "ttl_seconds", false, &w->ttl_seconds))
        return 422;
    *ret_why = "owner must be text of at most 128 bytes";
    n = node_get(root, "owner");
    if (n && n->type != NODE_NULL && (n->type != NODE_STR || n->s.len > LIMIT_NAME))
        return 422;
    if (n && n->type == NODE_STR)
        w->owner = n->s;
    *ret_why = "hold must be true or false";
    n = node_get(root, "hold");
    if (n && n->type != NODE_NULL && n->type != NODE_BOOL)
        return 422;
    w->hold = n && n->type == NODE_BOOL && n->b;
    return 0;
}

static void put_ports(struct jw *w, const uint16_t *ports, uint32_t n)
{
    jw_key(w, "ports");
    jw_list(w);
    for (uint32_t i = 0; i < n; i++)
        jw_u64(w, ports[i]);
    jw_end_list(w);
}

static void put_time(struct jw *w, const char *key, usec_t at)
{
    char text[CLOCK_TEXT_MAX];

    clock_format(at, 0, text);
    jw_key(w, key);
    jw_cstr(w, text);
}

static void on_answer(void *ctx, const struct ports_answer *a)
{
    AUTO_FREE struct waiting *wait = ctx;
    AUTO(buf_done) struct buf b = BUF(REPLY_MAX);
    struct jw w = JW(&b);

    if (a->error.slug.len) {
        int status = str_is(a->error.slug, "ports.count") ? 400 : str_is(a->error.slug, "ports.too_few") ? 409 : 500;

        refuse_with(wait->exchange, wait->is_json, status, a->error.text, NULL);
        return;
    }
    jw_map(&w);
    put_ports(&w, a->ports, a->n);
    if (a->lease.len) {
        jw_key(&w, "lease");
        jw_str(&w, a->lease);
        put_time(&w, "expires_at", a->expires_at);
    }
    jw_end_map(&w);
    reply(wait->exchange, 200, JSON_TYPE, buf_as_str(&b));
}

static void on_allocate(struct ports_http *h, uint64_t x, const struct http_req *req)
{
    struct ports_wish w = { 0 };
    struct ports *p = h->conf.ports(h->conf.ctx);
    struct waiting *wait;
    struct err err = { 0 };
    const char *why;
    int status;

    if (!is_json_type(http_header(req, "content-type"))) {
        refuse(x, req, 415, "Content-Type must be application/json");
        return;
    }
    status = read_wish(req, &w, &why);
    if (status) {
        refuse(x, req, status, why);
        return;
    }
    if (!p) {
        refuse(x, req, 503, "port scanning is not enabled on this host");
        return;
    }
    if (ports_wish_check(&w, h->conf.max_count, &err) < 0) {
        refuse(x, req, strcmp(err.slug, "ports.count") == 0 ? 400 : 422, err.text);
        return;
    }
    wait = xnew0(struct waiting);
    *wait = (struct waiting){ x, wants_json(req) };
    ports_allocate(p, &w, on_answer, wait);
}

/* -- leases */

static void put_lease(void *ctx, const struct port_lease *l)
{
    struct jw *w = ctx;

    jw_map(w);
    jw_key(w, "id");
    jw_cstr(w, l->id);
    jw_key(w, "owner");
    jw_cstr(w, l->owner);
    put_ports(w, l->ports, l->n);
    put_time(w, "expires_at", l->expires_at);
    jw_key(w, "held");
    jw_bool(w, l->is_held);
    jw_end_map(w);
}

static void on_leases(struct ports_http *h, uint64_t x, const struct http_req *req)
{
    AUTO(buf_done) struct buf b = BUF(REPLY_MAX);
    struct ports *p = h->conf.ports(h->conf.ctx);
    struct jw w = JW(&b);

    if (!p) {
        refuse(x, req, 503, "port scanning is not enabled on this host");
        return;
    }
    jw_map(&w);
    jw_key(&w, "leases");
    jw_list(&w);
    ports_leases(p, put_lease, &w);
    jw_end_list(&w);
    jw_end_map(&w);
    if (jw_done(&w) < 0)
        refuse(x, req, 500, "the leases are too many");
    else
        reply(x, 200, JSON_TYPE, buf_as_str(&b));
}

static void on_release(struct ports_http *h, uint64_t x, const struct http_req *req)
{
    struct ports *p = h->conf.ports(h->conf.ctx);
    struct err err = { 0 };
    int r;

    if (!p) {
        refuse(x, req, 503, "port scanning is not enabled on this host");
        return;
    }
    r = ports_release(p, str_sub(req->path, strlen("/ports/leases/"), 64), &err);
    if (r < 0)
        refuse(x, req, r == -ENOENT ? 404 : 500, err.text);
    else
        reply(x, 200, JSON_TYPE, STR("{\"released\":true}"));
}

/* -- the server */

static void bare(uint64_t x, int status, const char *allow)
{
    struct kv kv = { STR("Allow"), str_of(allow) };

    (void)http_reply(x, &(struct http_res){ .status = status, .headers = &kv, .n_headers = allow ? 1 : 0 });
}

static void on_request(void *ctx, uint64_t x, const struct http_req *req)
{
    struct ports_http *h = ctx;
    bool is_get = req->method == HTTP_GET || req->method == HTTP_HEAD;

    if (str_is(req->path, "/metrics")) {
        if (is_get)
            on_metrics(h, x);
        else
            bare(x, 405, "GET,HEAD");
    } else if (str_is(req->path, "/healthz")) {
        if (is_get)
            reply(x, 200, TEXT_TYPE, STR("ok"));
        else
            bare(x, 405, "GET,HEAD");
    } else if (str_is(req->path, "/ports/allocate")) {
        if (req->method != HTTP_POST)
            bare(x, 405, "POST");
        else if (is_allowed(h, x, req) && is_in_time(h, x, req))
            on_allocate(h, x, req);
    } else if (str_is(req->path, "/ports/leases")) {
        if (!is_get)
            bare(x, 405, "GET,HEAD");
        else if (is_allowed(h, x, req))
            on_leases(h, x, req);
    } else if (str_starts(req->path, STR("/ports/leases/"))) {
        if (req->method != HTTP_DELETE)
            bare(x, 405, "DELETE");
        else if (is_allowed(h, x, req))
            on_release(h, x, req);
    } else {
        bare(x, 404, NULL);
    }
}

int ports_http_new(const struct ports_http_conf *conf, struct ports_http **ret, struct err *err)
{
    struct listen_conf at = { .addr = conf->addr, .port = conf->port, .allow_plain = true, .max_conns = 64 };
    struct http_server_ops ops = { .request = on_request };
    AUTO(ports_http_free) struct ports_http *h = xnew0(struct ports_http);
    int r;

    h->conf = *conf;
    h->conf.addr = NULL;
    h->conf.hostname = xstrdup(conf->hostname);
    h->conf.token = conf->token && *conf->token ? xstrdup(conf->token) : NULL;
    ops.ctx = h;
    r = listen_http(conf->loop, &at, &ops, &h->listener, err);
    if (r < 0)
        return r;
    *ret = TAKE(h);
    return 0;
}

void ports_http_free(struct ports_http *h)
{
    if (!h)
        return;
    listener_free(h->listener);
    free((void *)(uintptr_t)h->conf.hostname);
    secret_free((void *)(uintptr_t)h->conf.token);
    free(h);
}

uint16_t ports_http_port(const struct ports_http *h)
{
    return listener_port(h->listener);
}
