/* agent/dialects/argus_http.c - requests to an Argus server, for the agent and for argus-report. See argus.h. */
#include <errno.h>

#include "agent/dialects/argus.h"
#include "agent/dialects/outbound_url.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"

enum { CONNECT_TIMEOUT_S = 5, TOTAL_TIMEOUT_S = 15, TOKEN_MAX = 8192 };

int argus__outbound(const struct argus_link *l, struct outbound **ret, int *ret_exit, struct err *err)
{
    struct outbound_conf conf = {
        .loop = l->loop, .base_url = l->url, .ca_file = l->ca_file, .allow_http = l->insecure_http,
        .connect_timeout = CONNECT_TIMEOUT_S * USEC_PER_SEC, .total_timeout = TOTAL_TIMEOUT_S * USEC_PER_SEC, .max_body = ARGUS_REPLY_BYTES,
    };
    struct err why = { 0 };
    int r = outbound_new(&conf, ret, &why);

    *ret_exit = strcmp(why.slug, "url.insecure") == 0 ? ARGUS_EXIT_INSECURE : ARGUS_EXIT_USAGE;
    if (r < 0)
        return err_set(err, r, why.slug, strcmp(why.slug, "url.insecure") == 0 ? "%s with --insecure-http" : "%s", why.text);
    return 0;
}

static void ask_of(const struct argus_ask *q, struct kv h[3], struct buf *bearer, struct outbound_req *rq)
{
    size_t n = 0;

    (void)buf_cstr(bearer, "Bearer ");
    (void)buf_cstr(bearer, q->token);
    h[n++] = (struct kv){ STR("Authorization"), buf_as_str(bearer) };
    h[n++] = (struct kv){ STR("User-Agent"), STR("argus-agent/" MUSTER_VERSION) };
    if (q->body.len > 0)
        h[n++] = (struct kv){ STR("Content-Type"), STR("application/json") };
    *rq = (struct outbound_req){ .method = q->method, .path = q->path, .headers = h, .n_headers = n, .body = q->body, .timeout = q->timeout,
                                 .done = q->done, .ctx = q->ctx };
}

uint64_t argus__send(struct outbound *o, const struct argus_ask *q)
{
    AUTO(buf_done_secret) struct buf bearer = BUF(TOKEN_MAX);
    struct outbound_req rq;
    struct kv h[3];

    ask_of(q, h, &bearer, &rq);
    return outbound_send(o, &rq);
}

struct call {
    struct loop *loop;
    outbound_fn done;
    void *ctx;
    bool is_done;
};

static void on_call(void *ctx, const struct outbound_reply *r)
{
    struct call *c = ctx;

    c->is_done = true;
    c->done(c->ctx, r);
    loop_stop(c->loop);
}

int argus__call(struct loop *l, struct outbound *o, const struct argus_ask *q)
{
    struct call c = { .loop = l, .done = q->done, .ctx = q->ctx };
    struct argus_ask mine = *q;
    uint64_t number;

    mine.done = on_call;
    mine.ctx = &c;
    number = argus__send(o, &mine);
    loop_run(l);
    if (c.is_done)
        return 0;
    outbound_cancel(o, number);
    return -EINTR;
}

/* {"detail": "..."}, {"detail": [{"loc": [...], "msg": "..."}]} or {"error": "..."}. */
void argus__detail(const struct outbound_reply *r, char *ret, size_t size)
{
    AUTO(arena_free) struct arena *a = arena_new(256 << 10);
    AUTO(buf_done) struct buf text = BUF(512), raw = BUF(16 << 10);
    struct node *root = NULL;
    const struct node *d = NULL;
    struct str s = STR_NONE;

    if (json_parse(a, r->body, 16 << 10, &root, NULL) == 0 && root->type == NODE_MAP)
        d = node_get(root, "detail") ? node_get(root, "detail") : node_get(root, "error");
    if (d && d->type == NODE_STR)
        s = d->s;
    else if (d && node_write(d, &raw) == 0)
        s = buf_as_str(&raw);
    (void)text_printable(&text, str_sub(s, 0, 120));
    (void)snprintf(ret, size, "%s", buf_as_cstr(&text));
}

bool argus__is_downgrade(const struct outbound_reply *r)
{
    for (size_t i = 0; r->status >= 300 && r->status < 400 && i < r->headers->n; i++)
        if (str_is(r->headers->v[i].key, "location") && str_starts_nocase(r->headers->v[i].value, STR("http://")))
            return true;
    return false;
}

void argus__reply_text(const struct outbound_reply *r, char *ret, size_t size)
{
    char detail[256];

    if (r->err) {
        (void)snprintf(ret, size, "%s", r->err->text);
    } else if (r->status >= 300 && r->status < 400) {
        (void)snprintf(ret, size, "the server redirects (%d)%s: refused, the token goes nowhere else", r->status,
                       argus__is_downgrade(r) ? " to plain http" : "");
    } else {
        argus__detail(r, detail, sizeof(detail));
        (void)snprintf(ret, size, "the server answers %d%s%s", r->status, detail[0] ? ": " : "", detail);
    }
}
