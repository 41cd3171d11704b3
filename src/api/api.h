/* api/api.h - the floor that speaks: REST, server-sent events, WebSocket and the native gRPC link, over one
 * control. Core loop's thread only.
 *
 * api is made before control (control needs its link_ops), then both are joined with api_set_control(). What
 * it answers waits for the disk (api/reply.h); what it streams is bounded (api/stream.h). It owns no
 * listener: server/ hands its ops to net. */
#ifndef MUSTER_API_H
#define MUSTER_API_H

#include "control/control.h"
#include "net/grpc.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/ws.h"

struct api;

/* Options of the dialects, from the server's option table. */
struct dialect_conf {
    bool sigma_heartbeat_creates;   /* default on */
    bool sigma_allow_loopback;      /* agents at loopback addresses may be dialled (tests) */
    bool require_https;             /* tokens over plain HTTP from elsewhere are refused (argus 4.5) */
    bool argus_sign_up;             /* anybody may make himself a user (viewer); default off */
    usec_t argus_agent_life;        /* agents' tokens are good for that long after register; 0: until revoked */
    bool grapheon_strict;           /* one bad row refuses the whole report (parity tests) */
    uint32_t grapheon_max_report;   /* compressed body, 262144 */
    const char *grapheon_key_header; /* lower case; "x-agent-api-key" */
};

struct api_conf {
    struct loop *loop;
    const struct clock *clock;
    bool is_dev, has_metrics;
    usec_t heartbeat;        /* base interval, for /status */
    uint32_t refusals_per_s; /* refused credentials answered with 401 per address, burst twice that; then 429.
                              * 0 = 20. Every other rate is control's (control/admission.h) */
    const char *const *trusted_proxies; /* numeric addresses whose X-Forwarded-For is believed; lent for the
                                           life of the api */
    size_t n_trusted_proxies;
    const struct dialect_conf *dialects; /* lent for the life of the api; NULL: defaults */
};

/* Never fails; route tables are checked with api_check(). */
struct api *api_new(const struct api_conf *conf);
/* Ends streams without ceremony and frees; listeners and control were freed before. NULL is a no-op. */
void api_free(struct api *a);
DEFINE_AUTO(struct api *, api_free)
/* Every route has an auth class and no two claim one request: 0, or -EINVAL and @err naming the rows. */
int api_check(const struct api *a, struct err *err);

const struct link_ops *api_link_ops(struct api *a);
/* From here on requests are answered; before, they get 503. @c is borrowed; NULL takes it away again
 * (shutdown). */
void api_set_control(struct api *a, struct control *c);
/* Takes the rate, metrics and proxies of a reload. */
void api_reload(struct api *a, const struct api_conf *conf);

/* For net. The ops structs live as long as the api. */
const struct http_server_ops *api_http_ops(struct api *a);
const struct grpc_server_ops *api_grpc_ops(struct api *a);
const struct ws_server_ops *api_ws_ops(struct api *a);

/* Where the listeners are, for /status: "127.0.0.1:8120"; copied. */
void api_set_listen(struct api *a, const char *grpc, const char *ws, const char *http);
/* One more that speaks HTTP; beyond API_LISTEN_MORE of them are not shown. */
enum { API_LISTEN_MORE = 16 };
void api_add_listen(struct api *a, const char *http);
/* Why the server is not ready although the database is: "starting", "stopping"; NULL: nothing is in the way.
 * Static text. */
void api_set_not_ready(struct api *a, const char *reason);

/* Timers: pings of streams, stuck replies, paused links. Call about every 250 ms. */
void api_tick(struct api *a);
/* Planned stop: streams are ended, new requests get server.stopping. */
void api_drain(struct api *a);
/* Exchanges, streams and links still open: a drain waits for 0. */
size_t api_n_open(const struct api *a);

/* The OpenAPI document as JSON appended to @out: 0 or -ENOBUFS. Needs no control. */
int api_openapi(const struct api *a, struct buf *out);

#endif
