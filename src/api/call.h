/* api/call.h - one HTTP request on its way through this floor (private to api/). Core loop's thread.
 *
 * A call lives as long as the exchange or anything that still works for it (a read, a hashing, a parked
 * reply) holds a reference. When the client leaves, the exchange's part (req, params, body: all in the
 * exchange's arena) is gone: whoever comes back later checks call_is_gone() before touching it. */
#ifndef MUSTER_API_CALL_H
#define MUSTER_API_CALL_H

#include "api/api.h"
#include "api/router.h"
#include "codec/json.h"
#include "codec/query.h"
#include "codec/record.h"
#include "control/commit.h"
#include "control/reads.h"
#include "control/verbs.h"

enum {
    CALL_HEADERS = 10,
    CALL_OUT_MAX = 64 << 20,
    CALL_STUCK_US = 10 * 1000 * 1000,
    CALL_UNSAVED_US = 500 * 1000
};

struct call {
    struct api *api;
    struct control *control; /* as at the start; never NULL in a handler */
    uint64_t exchange;
    const struct http_req *req; /* NULL once gone */
    const struct route *route;
    struct principal who;
    struct peer_info peer;
    char peer_addr[64];
    struct str params[ROUTE_PARAMS];
    size_t n_params;
    void *body, *query;  /* decoded by the row's records, in the exchange's arena */
    struct arena *arena; /* the exchange's */
    struct buf out;      /* the reply's body as it is made */
    struct jw w;         /* writes into .out */
    struct kv headers[CALL_HEADERS];
    char header_text[CALL_HEADERS][64];
    size_t n_headers;
    const char *content_type; /* NULL: JSON */
    int status;
    uint32_t refs;
    bool is_gone, is_answered, is_parked, is_streaming;
    bool is_unclaimed; /* the path is shared and nobody claimed it: a refusal must suit every accent */
    usec_t started;             /* monotonic */
    struct call *prev, *next;   /* api->calls: the unanswered ones */
    void (*on_gone)(void *ctx); /* a stream's own end */
    void (*on_half_closed)(void *ctx); /* parked, and the client will send no more: it waits, or has left */
    void *on_gone_ctx; /* of both */
};

struct call *call_ref(struct call *c);
void call_unref(struct call *c);
DEFINE_AUTO(struct call *, call_unref)
static inline bool call_is_gone(const struct call *c)
{
    return c->is_gone || c->is_answered;
}
/* Path parameter @i, or {NULL,0}. */
static inline struct str call_param(const struct call *c, size_t i)
{
    return i < c->n_params ? c->params[i] : STR_NONE;
}
/* Path parameter @i as a number; 0 or -ENOENT with @slug ("job.unknown") in @err: what is no number names
 * nothing. */
int call_param_id(const struct call *c, size_t i, const char *slug, uint64_t *ret, struct err *err);
/* One more reply header (name lower case, static); the value is copied, at most 63 bytes. */
void call_header(struct call *c, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with a value of any length that outlives the call or lies in its arena; takes the place of one of that name. */
void call_header_lent(struct call *c, const char *name, struct str value);
/* The body's JSON as the row wants it read: mended in the call's arena with ROUTE_ODD_TEXT, else as it came. 0; or -ENOBUFS and @err. */
int call_json_text(struct call *c, struct str *ret, struct err *err);
/* Is the body said to be of the media type @want ("application/json"), with any parameters? */
bool call_has_type(const struct call *c, struct str want);
/* The answer has begun as a stream of @status: the call is no longer waited for, call__closed() ends it. */
void call_begin_stream(struct call *c, int status);
/* The call's writer, opened on its empty body. */
struct jw *call_json(struct call *c);

/* Request part of api.c used by net's ops. */
int64_t call__head(void *ctx, const struct http_req *req);
void call__request(void *ctx, uint64_t exchange, const struct http_req *req);
void call__closed(void *ctx, uint64_t exchange, void *user);
void call__half_closed(void *ctx, uint64_t exchange, void *user);
void call__error_body(void *ctx, const struct http_req *req, int status, const char *slug, const char *text, struct buf *out);

#endif
