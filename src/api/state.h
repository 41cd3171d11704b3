/* api/state.h - the struct everything on this floor hangs on (private to api/). Core loop's thread. */
#ifndef MUSTER_API_STATE_H
#define MUSTER_API_STATE_H

#include "api/api.h"
#include "api/call.h"
#include "api/throttle.h"
#include "base/slot.h"
#include "pb/pb.h"

struct stream;
struct ws_conn;
struct native;

struct api {
    struct api_conf conf;
    struct control *control; /* NULL before start and after stop */
    struct router *router;
    struct http_server_ops http_ops;
    struct grpc_server_ops grpc_ops;
    struct ws_server_ops ws_ops;
    struct link_ops link_ops;
    struct throttle *refusals; /* answers to bad credentials, per address */
    struct call *calls;        /* unanswered, oldest first */
    size_t n_calls;
    struct stream *streams;
    size_t n_streams;
    struct ws_conn *ws_conns;
    size_t n_ws;
    struct native *native;
    struct pulled *sigma_pulls; /* questions about ports that were dialled (dialects/sigma_ports.c) */
    struct grapheon_intake *grapheon; /* check-ins being read (dialects/grapheon_intake.c); NULL before the first */
    usec_t started_mono;
    const char *not_ready; /* static text or NULL */
    bool is_draining;
    char listen_grpc[80], listen_ws[80], listen_http[80], listen_more[API_LISTEN_MORE][80];
    size_t n_listen_more;
    uint32_t n_logins; /* hashings under way */
    struct {
        uint64_t http_by_class[6], rate_limited, parked_timeouts, ws_total, grpc_enroll[17], grpc_link[17],
            stream_catch_ups, links_total;
    } n;
};

static inline usec_t api_now(const struct api *a)
{
    return clock_mono(a->conf.clock);
}
/* The rows of each surface file. */
extern const struct route api_health_routes[], api_hosts_routes[], api_enroll_routes[], api_jobs_routes[],
    api_events_routes[], api_admin_routes[], api_ports_routes[];
extern const size_t api_health_routes_n, api_hosts_routes_n, api_enroll_routes_n, api_jobs_routes_n,
    api_events_routes_n, api_admin_routes_n, api_ports_routes_n;

#endif
