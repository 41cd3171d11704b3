/* agent/dialects/sigma_lookup.c - asks others what our public address is (sigma 2.5): the first whose answer is an address and nothing
 * else. Their word is taken for no more than that. */
#include <arpa/inet.h>
#include <string.h>

#include "agent/dialects/sigma.h"
#include "base/log.h"
#include "base/mem.h"

enum { ANSWER_MAX = 64, EACH_S = 5 };

struct sigma_lookup {
    struct loop *loop;
    char *urls, *ca_file;
    struct str rest;
    struct outbound *out;
    struct timer *soon;
    void (*done)(void *ctx, struct str ip);
    void *ctx;
};

static void next(struct sigma_lookup *k);

static bool is_address(struct str s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr any;

    return str_copy(s, text, sizeof(text)) == 0 && !str_has_nul(s) &&
           (inet_pton(AF_INET, text, &any) == 1 || inet_pton(AF_INET6, text, &any) == 1);
}

static void on_answer(void *ctx, const struct outbound_reply *r)
{
    struct sigma_lookup *k = ctx;
    struct str ip = str_trim(r->body);

    if (r->status >= 200 && r->status < 300 && is_address(ip)) {
        k->done(k->ctx, ip); /* may free us */
        return;
    }
    log_debug("sigma.lookup", "no address from this one", LOG_CSTR("url", outbound_origin(k->out)), LOG_I64("status", r->status));
    timer_start(k->soon, 0, 0); /* not from inside the one that goes */
}

static void on_soon(void *ctx)
{
    next(ctx);
}

static bool ask(struct sigma_lookup *k, struct str url)
{
    static const struct kv headers[] = { { STR("accept"), STR("*/*") }, { STR("user-agent"), STR("") } };
    AUTO_FREE char *text = str_dup(url);
    struct outbound_conf conf = { .loop = k->loop, .base_url = text, .allow_http = true, .ca_file = k->ca_file, .max_body = ANSWER_MAX,
                                  .connect_timeout = EACH_S * USEC_PER_SEC, .total_timeout = EACH_S * USEC_PER_SEC };
    struct outbound_req rq = { .method = "GET", .path = "/", .headers = headers, .n_headers = ARRAY_SIZE(headers), .done = on_answer,
                               .ctx = k };
    char *slash = strstr(text, "://");
    AUTO_FREE char *path = NULL;
    struct err err = { 0 };

    slash = slash ? strchr(slash + 3, '/') : NULL;
    if (slash) { /* the path as it is written: outbound cuts slashes at the end of a prefix */
        path = xstrdup(slash);
        *slash = '\0';
        rq.path = path;
    }
    if (outbound_new(&conf, &k->out, &err) < 0) {
        log_warn("sigma.lookup", "cannot ask for the public address", LOG_CSTR("url", text), LOG_ERR(&err));
        return false;
    }
    (void)outbound_send(k->out, &rq);
    return true;
}

static void next(struct sigma_lookup *k)
{
    struct str url;

    outbound_free(TAKE(k->out));
    while (str_cut(&k->rest, ',', &url)) {
        url = str_trim(url);
        if (url.len && ask(k, url))
            return;
    }
    k->done(k->ctx, STR_NONE);
}

struct sigma_lookup *sigma_lookup_new(struct loop *l, const char *urls, const char *ca_file, void (*done)(void *ctx, struct str ip), void *ctx)
{
    struct sigma_lookup *k = xnew0(struct sigma_lookup);

    k->loop = l;
    k->urls = xstrdup(urls);
    k->ca_file = ca_file ? xstrdup(ca_file) : NULL;
    k->rest = str_of(k->urls);
    k->done = done;
    k->ctx = ctx;
    k->soon = timer_new(l, on_soon, k);
    timer_start(k->soon, 0, 0);
    return k;
}

void sigma_lookup_free(struct sigma_lookup *k)
{
    if (!k)
        return;
    outbound_free(k->out);
    timer_free(k->soon);
    free(k->urls);
    free(k->ca_file);
    free(k);
}
