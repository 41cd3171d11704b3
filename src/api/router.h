/* api/router.h - which row answers a request. Rows are const tables; several tables may be registered (one
 * per surface).
 *
 * A pattern is literal segments and {names}: "/api/v1/agents/{host}/approve". A literal is preferred to a
 * name, from the left. Two rows of one method and one shape are a collision: then each needs claims(), save
 * at most one that is the answer when nobody claims; router_check() refuses anything else. Pure apart from
 * the arena; one thread. */
#ifndef MUSTER_API_ROUTER_H
#define MUSTER_API_ROUTER_H

#include "base/arena.h"
#include "base/err.h"
#include "base/field.h"
#include "fleet/policy.h"
#include "net/http.h"

struct call;
struct dialect;
typedef void (*route_fn)(struct call *c);
typedef bool (*route_claims_fn)(const struct http_req *req);

/* AUTH_UNSET is 0 so that a forgotten column is found by the test that walks all tables; open routes say
 * AUTH_NONE out loud. */
enum auth_class {
    AUTH_UNSET = 0,
    AUTH_NONE,     /* anybody */
    AUTH_LOGIN,    /* anybody, through the login throttle */
    AUTH_OPERATOR, /* a principal whose role allows .verb */
    AUTH_METRICS,  /* nobody special from loopback and the local socket, else as AUTH_OPERATOR */
    AUTH_LOCAL,    /* as AUTH_OPERATOR, and only over the local socket */
    AUTH_AGENT,    /* a host by its own credential: the dialect's handler proves it */
};

enum route_flags {
    ROUTE_RAW_BODY = 1, /* the body is bytes, not JSON */
    ROUTE_MUTATES = 2,  /* refused while the database takes no writes */
    ROUTE_IDEM_KEY = 4, /* takes Idempotency-Key */
    ROUTE_STREAMS = 8,  /* may answer with an event stream */
    ROUTE_PROVE_HEAD = 32, /* AUTH_AGENT with a large cap: the dialect's prove() knows its callers by the head alone */
    ROUTE_ODD_TEXT = 64, /* lone surrogates in the JSON body are read as U+FFFD (codec/json_mend.h): some foreign agents write them */
    ROUTE_JSON_TYPE = 16, /* a body must say Content-Type: application/json, else 415 */
};

struct route {
    enum http_method method;
    const char *path;
    enum auth_class auth;
    enum verb verb;            /* AUTH_OPERATOR, AUTH_METRICS, AUTH_LOCAL: what the role must allow */
    const struct record *body; /* JSON body; NULL: none is read (or ROUTE_RAW_BODY) */
    size_t cap;                /* of the body in bytes; 0: LIMIT_HTTP_BODY_DEFAULT */
    route_fn handler;
    const struct record *query; /* NULL: the query string is ignored */
    const struct record *response;
    int status; /* of success; 0: 200 */
    uint32_t flags;
    route_claims_fn claims; /* rows that share a path: is this request mine? */
    const char *summary;
    const struct dialect *dialect; /* whose accent answers (api/dialects/dialect.h); NULL: ours */
    size_t cap_unproven;           /* ROUTE_PROVE_HEAD: of the body of who has not; 0: LIMIT_HTTP_BODY_DEFAULT */
};

enum { ROUTE_PARAMS = 4, ROUTE_SEGMENTS = 12 };

enum route_outcome {
    ROUTE_FOUND,
    ROUTE_UNKNOWN,   /* no such path */
    ROUTE_METHOD,    /* the path exists for other methods: .allow */
    ROUTE_UNCLAIMED, /* rows share the path and none wants this request */
    ROUTE_BAD_PATH,  /* bad escape, NUL, "..": not to be looked up at all */
};
struct route_match {
    enum route_outcome outcome;
    const struct route *route;
    struct str params[ROUTE_PARAMS]; /* decoded, NUL-terminated in the arena */
    size_t n_params;
    uint32_t allow; /* bit per enum http_method */
    bool is_foreign; /* the path, by whatever method, is also a dialect's */
};

struct router;
struct router *router_new(void);
void router_free(struct router *r);
DEFINE_AUTO(struct router *, router_free)
/* Registers @n rows, which live as long as the router. */
void router_add(struct router *r, const struct route *rows, size_t n);
/* 0; or -EINVAL: "route.auth_unset", "route.collision", "route.pattern", "route.handler" and which rows. */
int router_check(const struct router *r, struct err *err);
/* Finds the row for @req (HEAD is answered by GET rows). Decoded parameters live in @a. */
void router_match(const struct router *r, const struct http_req *req, struct arena *a,
                  struct route_match *ret);
/* All rows in order of registration: *@iter starts at 0; NULL at the end. */
const struct route *router_next(const struct router *r, size_t *iter);
/* "GET, HEAD, OPTIONS, POST" for a 405 or an OPTIONS. @dst >= 64. */
void router_allow_text(uint32_t allow, char *dst, size_t size);

#endif
