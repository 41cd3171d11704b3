/* api/api.c - see api.h: birth, joints and the tick. */
#include "api/api.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include <utlist.h>

#include "api/dialects/dialect.h"
#include "api/native.h"
#include "api/openapi.h"
#include "api/reply.h"
#include "api/state.h"
#include "api/stream.h"
#include "api/ws.h"
#include "base/mem.h"

enum { REFUSAL_KEYS = 4096, REFUSALS_PER_S = 20 };

static void set_rates(struct api *a)
{
    uint32_t per_s = a->conf.refusals_per_s ? a->conf.refusals_per_s : REFUSALS_PER_S;

    throttle_set(a->refusals, 2 * per_s, USEC_PER_SEC / per_s);
}

struct api *api_new(const struct api_conf *conf)
{
    struct api *a = xnew0(struct api);

    assert(conf->loop && conf->clock);
    a->conf = *conf;
    a->router = router_new();
    router_add(a->router, api_health_routes, api_health_routes_n);
    router_add(a->router, api_hosts_routes, api_hosts_routes_n);
    router_add(a->router, api_ports_routes, api_ports_routes_n);
    router_add(a->router, api_enroll_routes, api_enroll_routes_n);
    router_add(a->router, api_jobs_routes, api_jobs_routes_n);
    router_add(a->router, api_events_routes, api_events_routes_n);
    router_add(a->router, api_admin_routes, api_admin_routes_n);
    for (size_t i = 0; dialect_tables[i]; i++)
        router_add(a->router, dialect_tables[i]->rows, dialect_tables[i]->n);
    a->http_ops = (struct http_server_ops){ .head = call__head,
                                            .request = call__request,
                                            .closed = call__closed,
                                            .half_closed = call__half_closed,
                                            .error_body = call__error_body,
                                            .ctx = a };
    a->refusals = throttle_new(REFUSAL_KEYS, 1, 1);
    set_rates(a);
    a->started_mono = api_now(a);
    a->not_ready = "starting";
    native_init(a);
    ws_init(a);
    return a;
}

void api_free(struct api *a)
{
    if (!a)
        return;
    for (size_t i = 0; dialects[i]; i++)
        if (dialects[i]->stop)
            dialects[i]->stop(a);
    native_done(a);
    throttle_free(a->refusals);
    router_free(a->router);
    free(a);
}

int api_check(const struct api *a, struct err *err)
{
    return router_check(a->router, err);
}

void api_set_control(struct api *a, struct control *c)
{
    a->control = c;
    for (size_t i = 0; c && dialects[i]; i++)
        if (dialects[i]->start)
            dialects[i]->start(a);
}

void api_reload(struct api *a, const struct api_conf *conf)
{
    a->conf.has_metrics = conf->has_metrics;
    a->conf.heartbeat = conf->heartbeat;
    a->conf.refusals_per_s = conf->refusals_per_s;
    a->conf.trusted_proxies = conf->trusted_proxies;
    a->conf.n_trusted_proxies = conf->n_trusted_proxies;
    set_rates(a);
}

const struct link_ops *api_link_ops(struct api *a)
{
    return &a->link_ops;
}

const struct http_server_ops *api_http_ops(struct api *a)
{
    return &a->http_ops;
}

const struct grpc_server_ops *api_grpc_ops(struct api *a)
{
    return &a->grpc_ops;
}

const struct ws_server_ops *api_ws_ops(struct api *a)
{
    return &a->ws_ops;
}

void api_set_listen(struct api *a, const char *grpc, const char *ws, const char *http)
{
    (void)snprintf(a->listen_grpc, sizeof(a->listen_grpc), "%s", grpc);
    (void)snprintf(a->listen_ws, sizeof(a->listen_ws), "%s", ws);
    (void)snprintf(a->listen_http, sizeof(a->listen_http), "%s", http);
}

void api_add_listen(struct api *a, const char *http)
{
    if (a->n_listen_more < API_LISTEN_MORE)
        (void)snprintf(a->listen_more[a->n_listen_more++], sizeof(a->listen_more[0]), "%s", http);
}

void api_set_not_ready(struct api *a, const char *reason)
{
    a->not_ready = reason;
}

/* While the database does not take what was promised, nobody waits for ever. Who only looks is shown what is
 * known, marked as not saved: an operator must see the fleet above all when its disk is full. Who changes
 * something is told after ten seconds that we do not know. */
static void answer_the_stuck(struct api *a)
{
    struct err why = { 0 };
    struct call *c, *next;
    usec_t now = api_now(a);

    if (!a->control || read_health(a->control, &why) == 0)
        return;
    DL_FOREACH_SAFE(a->calls, c, next)
    {
        struct err err = { 0 };
        bool mutates = c->route && (c->route->flags & ROUTE_MUTATES);

        if (c->is_parked && !mutates && now - c->started >= CALL_UNSAVED_US) {
            reply_unsaved(c);
            continue;
        }
        if (now - c->started < CALL_STUCK_US)
            continue;
        a->n.parked_timeouts++;
        if (!mutates)
            (void)err_set(&err, -EAGAIN, "store.unavailable", "the database does not answer: %s", why.text);
        else if (c->route->flags & ROUTE_IDEM_KEY)
            (void)err_set(&err, -EAGAIN, "store.unavailable",
                          "the database does not answer, so the outcome is unknown; it is safe to repeat the "
                          "request with the same "
                          "Idempotency-Key: %s",
                          why.text);
        else
            (void)err_set(&err, -EAGAIN, "store.unavailable",
                          "the database does not answer, so the outcome is unknown: look before you repeat "
                          "the request: %s",
                          why.text);
        reply_error(c, &err);
    }
}

void api_tick(struct api *a)
{
    answer_the_stuck(a);
    streams_tick(a);
    ws_tick(a);
}

void api_drain(struct api *a)
{
    a->is_draining = true;
    a->not_ready = "stopping";
    streams_end(a);
    ws_drain(a);
    for (size_t i = 0; a->control && dialects[i]; i++)
        if (dialects[i]->drain)
            dialects[i]->drain(a);
}

size_t api_n_open(const struct api *a)
{
    return a->n_calls + a->n_streams + a->n_ws + native_n_links(a);
}

int api_openapi(const struct api *a, struct buf *out)
{
    return openapi_write(a->router, out);
}
