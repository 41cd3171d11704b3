/* api/dialects/sigma_dial.c - asks an agent for free ports at its own metrics port. What it says about itself decided the address, so
 * it is believed in little: no redirects, 64 KiB, 10 s, exactly the numbers asked for.
 *
 *   place is a name ── resolved by a connection that sends nothing, to addresses that may be dialled only ── that address
 *   place is an address ───────────────────────────────────────────────────────────────── POST /ports/allocate
 */
#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>

#include "api/dialects/sigma.h"
#include "api/state.h"
#include "base/fd.h"
#include "base/mem.h"
#include "net/client.h"
#include "net/dial.h"

enum { ANSWER_MAX = 64 << 10, WITHIN_S = 10, RESOLVE_S = 4, QUOTE_MAX = 200, OWN_MAX = 64, ADDR_MAX = 64 };

struct sigma_dialing {
    struct api *a;
    char *host[ASSET_DIAL_MAX];
    bool is_name[ASSET_DIAL_MAX];
    size_t n, at;
    uint16_t port;
    uint32_t count;
    char *request;
    struct buf bearer; /* the header, secret; empty: none */
    struct dial *dial;
    struct http_client *client;
    struct timer *timer;
    sigma_dialled_fn done;
    void *ctx;
};

/* -- own addresses */

static size_t own_addresses(char text[OWN_MAX][ADDR_MAX])
{
    struct ifaddrs *all = NULL;
    size_t n = 0;

    if (getifaddrs(&all) < 0)
        return 0;
    for (const struct ifaddrs *i = all; i && n < OWN_MAX; i = i->ifa_next) {
        struct net_peer p;

        if (!i->ifa_addr || (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
            continue;
        net__peer_of(i->ifa_addr, &p);
        (void)snprintf(text[n++], ADDR_MAX, "%.*s", ADDR_MAX - 1, p.addr);
    }
    freeifaddrs(all);
    return n;
}

static bool may_loop(const struct api *a)
{
    return a->conf.dialects && a->conf.dialects->sigma_allow_loopback;
}

void sigma_dial_rules(const struct api *a, struct arena *arena, struct asset_dial_rules *ret)
{
    char text[OWN_MAX][ADDR_MAX];
    size_t n = own_addresses(text);
    struct str *own = arena_array(arena, n + 1, sizeof(*own));

    *ret = (struct asset_dial_rules){ .own = own, .allow_loopback = may_loop(a) };
    for (size_t i = 0; i < n && own; i++)
        own[ret->n_own++] = arena_str(arena, str_of(text[i]));
}

static bool may_dial(const struct sigma_dialing *d, const char *addr)
{
    char text[OWN_MAX][ADDR_MAX];
    struct str own[OWN_MAX];
    struct asset_dial_rules rules = { .own = own, .allow_loopback = may_loop(d->a) };

    rules.n_own = own_addresses(text);
    for (size_t i = 0; i < rules.n_own; i++)
        own[i] = str_of(text[i]);
    return asset_may_dial(str_of(addr), &rules);
}

/* -- the answer */

static int read_answer(struct arena *a, uint32_t count, struct str body, struct ports_answer *ret, struct err *err)
{
    const struct node *ports, *lease, *expires;
    struct err why = { 0 };
    struct node *root;

    if (json_parse(a, body, ANSWER_MAX, &root, &why) < 0)
        return err_set(err, -EBADMSG, "agent.bad_answer", "Bad gateway: the agent's answer is no JSON: %s", why.text);
    ports = node_get(root, "ports");
    if (root->type != NODE_MAP || !ports || ports->type != NODE_LIST || ports->n != count)
        return err_set(err, -EBADMSG, "agent.bad_answer", "Bad gateway: the agent's answer has no list of %u ports", count);
    for (const struct node *n = ports->child; n; n = n->next) {
        if (n->type != NODE_INT || n->i < 1 || n->i > 65535)
            return err_set(err, -EBADMSG, "agent.bad_answer", "Bad gateway: the agent named something that is no port");
        ret->ports[ret->n++] = (uint16_t)n->i;
    }
    lease = node_get(root, "lease");
    expires = node_get(root, "expires_at");
    if (lease && lease->type == NODE_STR && lease->s.len <= 64)
        ret->lease = lease->s;
    if (expires && expires->type == NODE_STR)
        (void)clock_parse(expires->s, &ret->expires_at);
    return 0;
}

/* What the agent says is wrong: the text of {"error": text}, as ours answers, or the beginning of what it sent. */
static struct str words_of(struct arena *a, struct str body)
{
    struct err ignored = { 0 };
    const struct node *text;
    struct node *root;

    if (json_parse(a, body, ANSWER_MAX, &root, &ignored) == 0 && root->type == NODE_MAP && (text = node_get(root, "error")) &&
        text->type == NODE_STR)
        body = text->s;
    return str_trim(str_sub(body, 0, QUOTE_MAX));
}

static int read_status(struct arena *a, int status, struct str body, struct err *err)
{
    struct str quote = words_of(a, body);

    if (status >= 200 && status < 300)
        return 0;
    if (status == 409)
        return err_set(err, -EEXIST, "ports.too_few", "the agent says: %.*s", STR_FMT(quote));
    if (status == 503)
        return err_set(err, -EBUSY, "ports.disabled", "port scan disabled: the agent says: %.*s", STR_FMT(quote));
    return err_set(err, -EIO, "agent.refused", "Bad gateway: the agent answered %d: %.*s", status, STR_FMT(quote));
}

/* -- life */

static void dialing_free(struct sigma_dialing *d)
{
    dial_free(d->dial);
    http_client_free(d->client);
    timer_free(d->timer);
    for (size_t i = 0; i < ASSET_DIAL_MAX; i++)
        free(d->host[i]);
    free(d->request);
    buf_done_secret(&d->bearer);
    free(d);
}

void sigma_dial_cancel(struct sigma_dialing *d)
{
    if (d)
        dialing_free(d);
}

static void end(struct sigma_dialing *d, const struct ports_answer *a, const struct err *err)
{
    d->done(d->ctx, a, err);
    dialing_free(d);
}

static void try_next(struct sigma_dialing *d, const struct err *last);

static void on_reply(void *ctx, const struct err *failed, int status, struct str body)
{
    AUTO(arena_free) struct arena *a = arena_new(256 << 10);
    struct sigma_dialing *d = ctx;
    struct ports_answer answer = { 0 };
    struct err err = { 0 };

    if (failed) {
        (void)err_set(&err, -EIO, "agent.unreachable", "Bad gateway: %s port %u: %s", d->host[d->at], d->port, failed->text);
        end(d, NULL, &err);
        return;
    }
    if (read_status(a, status, body, &err) < 0 || read_answer(a, d->count, body, &answer, &err) < 0) {
        end(d, NULL, &err);
        return;
    }
    end(d, &answer, NULL);
}

static void send_request(struct sigma_dialing *d, const char *addr)
{
    const struct kv headers[] = { { STR("content-type"), STR("application/json") },
                                  { STR("accept"), STR("application/json") },
                                  { STR("authorization"), buf_as_str(&d->bearer) } };
    const struct http_client_conf conf = { .host = addr,
                                           .port = d->port,
                                           .connect_timeout = WITHIN_S * USEC_PER_SEC,
                                           .reply_timeout = WITHIN_S * USEC_PER_SEC,
                                           .max_body = ANSWER_MAX };

    d->client = http_client_new(d->a->conf.loop, &conf);
    (void)http_client_send(d->client, &(struct http_client_req){ .method = "POST",
                                                                 .target = "/ports/allocate",
                                                                 .headers = headers,
                                                                 .n_headers = ARRAY_SIZE(headers) - (d->bearer.len ? 0 : 1),
                                                                 .body = str_of(d->request),
                                                                 .done = on_reply,
                                                                 .ctx = d });
}

static bool may_try(void *ctx, const struct net_peer *addr)
{
    return may_dial(ctx, addr->addr);
}

/* The name led somewhere: nothing was said yet, and only the address counts from here on. */
static void on_resolved(void *ctx, int fd, const struct net_peer *peer, const struct err *failed)
{
    struct sigma_dialing *d = ctx;
    struct err err = { 0 };

    d->dial = NULL;
    if (fd >= 0)
        fd_close(&fd);
    if (failed || !peer) {
        (void)err_set(&err, -EIO, "agent.unreachable", "Bad gateway: %s: %s", d->host[d->at], failed ? failed->text : "no answer");
        d->at++;
        try_next(d, &err);
        return;
    }
    send_request(d, peer->addr);
}

static void try_next(struct sigma_dialing *d, const struct err *last)
{
    if (d->at >= d->n)
        end(d, NULL, last);
    else if (!d->is_name[d->at])
        send_request(d, d->host[d->at]);
    else
        dial_guard(d->dial = dial_new(d->a->conf.loop, d->host[d->at], d->port, NULL, RESOLVE_S * USEC_PER_SEC, on_resolved, d), may_try);
}

static void on_time_up(void *ctx)
{
    struct sigma_dialing *d = ctx;
    struct err err = { 0 };

    (void)err_set(&err, -ETIMEDOUT, "agent.unreachable", "Bad gateway: no answer from %s within %d s",
                  d->host[d->at < d->n ? d->at : d->n - 1], WITHIN_S);
    end(d, NULL, &err);
}

/* What this agent's /ports asks for, if anything. */
static void take_token(struct sigma_dialing *d, const struct asset *asset)
{
    d->bearer = BUF(ASSET_TOKEN_BYTES + 16);
    (void)buf_cstr(&d->bearer, "Bearer ");
    if (!asset_token(d->a->control, asset, &d->bearer))
        buf_done_secret(&d->bearer);
}

struct sigma_dialing *sigma_dial(struct api *a, const struct asset *asset, const struct asset_dial *places, const struct ports_wish *w,
                                 sigma_dialled_fn done, void *ctx)
{
    AUTO(buf_done) struct buf body = BUF(4096);
    struct sigma_dialing *d = xnew0(struct sigma_dialing);
    struct jw out = JW(&body);

    record_write(&ports_wish_record, w, &out);
    *d = (struct sigma_dialing){ .a = a, .n = places->n, .port = places->port, .count = w->count, .done = done, .ctx = ctx };
    d->request = str_dup(buf_as_str(&body));
    take_token(d, asset);
    for (size_t i = 0; i < d->n; i++) {
        d->host[i] = str_dup(places->place[i].host);
        d->is_name[i] = places->place[i].is_name;
    }
    d->timer = timer_new(a->conf.loop, on_time_up, d);
    timer_start(d->timer, WITHIN_S * USEC_PER_SEC, 0);
    try_next(d, NULL);
    return d;
}
