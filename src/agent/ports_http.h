/* agent/ports_http.h - the metrics endpoint: GET /metrics, POST /ports/allocate, GET /ports/leases, DELETE /ports/leases/{id}, GET /healthz
 * over plain HTTP (sigma 2.7, 2.8, 6.1). Loop thread. */
#ifndef MUSTER_AGENT_PORTS_HTTP_H
#define MUSTER_AGENT_PORTS_HTTP_H

#include "agent/ports.h"

enum { PORTS_HTTP_PER_SECOND = 5 }; /* allocations, of all clients together */

struct ports_http;
struct ports_http_conf {
    struct loop *loop;
    const char *addr; /* numeric */
    uint16_t port;    /* 0: any */
    const char *hostname; /* of the label */
    const char *token;    /* what /ports must show as a bearer; NULL: open to everybody, as the seed has it */
    uint32_t max_count;
    struct ports *(*ports)(void *ctx);              /* asked at each request; NULL: scanning is off */
    void (*more)(void *ctx, struct buf *out);       /* further families behind those of the scan; may be NULL */
    void *ctx;
};
/* Strings are copied. 0; -errno and @err ("listen.in_use" ...). */
int ports_http_new(const struct ports_http_conf *conf, struct ports_http **ret, struct err *err);
void ports_http_free(struct ports_http *h);
DEFINE_AUTO(struct ports_http *, ports_http_free)
uint16_t ports_http_port(const struct ports_http *h);

#endif
