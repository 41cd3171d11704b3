/* api/dialects/dialect.h - what a foreign accent is to the rest of this floor: how it proves who speaks, how it says no.
 *
 * A dialect is rows (struct route with .dialect set), its own record tables (wire/dialects/) and adapters over control's verbs. It
 * decides, stores and locks nothing. Rows that share a path with another surface say what they claim (docs/architecture.md, shared
 * paths). Core loop's thread. */
#ifndef MUSTER_API_DIALECT_H
#define MUSTER_API_DIALECT_H

#include "api/call.h"
#include "api/reply.h"
#include "control/accent.h"

struct dialect {
    const char *name;
    /* Proof of the caller of an AUTH_OPERATOR (then control checks the row's verb) or AUTH_METRICS row: 0 and *@ret; -EACCES, or -EBUSY with *@ret_wait, and
     * @err. NULL: as everywhere (auth_operator(): bearer API token, session, local socket, development rule). */
    int (*prove)(struct call *c, struct principal *ret, usec_t *ret_wait, struct err *err);
    /* The refusal as this accent says it: the document into @out; returns the status. @errs may be NULL. NULL: {"detail": sentence,
     * "error": sentence} with the slug's status, field errors 422. */
    int (*error)(struct call *c, const struct err *err, const struct record_errors *errs, struct buf *out);
    /* What the accent has under way on its own; each may be NULL. */
    void (*start)(struct api *a); /* control is there */
    void (*drain)(struct api *a); /* a planned stop begins, with control still there */
    void (*stop)(struct api *a);  /* the api ends */
};
extern const struct dialect *const dialects[]; /* NULL-terminated */

/* The status the default error() gives: 422 for field.* and record errors, 400 for JSON that is none, else the slug's. */
int dialect_status(const struct err *err, const struct record_errors *errs);
/* {"detail": text, "error": text}. */
void dialect_error_json(const struct err *err, struct buf *out);

/* -- who claims a request on a shared path (house: Shared paths) */
bool claim_bearer_argus(const struct http_req *req);     /* Authorization: Bearer em_... / ag_..., or an argus session */
bool claim_key_grapheon(const struct http_req *req);     /* X-Agent-Api-Key (or as configured), or a grapheon session */
bool claim_key_sigma(const struct http_req *req);        /* X-Api-Key, Bearer sk_sigma_..., or a sigma session */
/* One of the body's top-level keys is @key: a bounded look at JSON text, no parse. False for anything unclear. */
bool claim_body_key(const struct http_req *req, const char *key);
/* The dialect a session token was made by ("argus", ...): unverified, for claims only; {NULL,0}: no session. */
struct str claim_session_dialect(const struct http_req *req);

/* -- sessions */
/* Makes the session token (compact JWT, HS256: sub, role, dialect, iat, exp, type "access") into @out. */
int session_make(struct call *c, const struct session_user *u, const char *dialect, usec_t ttl, struct buf *out);
/* Is @bearer shaped like one (two dots)? */
bool session_has_shape(struct str bearer);
/* Checks signature, expiry, that it was made for @dialect (NULL: nothing is) and the user: as authn_operator(). */
int session_check(struct api *a, struct str bearer, const char *dialect, const struct peer_info *peer, struct principal *ret, struct err *err);

/* Logging out: ends the session of @token, which @c came with, over restarts too. */
void session_close(struct call *c, struct str token);

/* Tables of the dialects' files, registered by api.c. */
struct route_table {
    const struct route *rows;
    size_t n;
};
extern const struct route_table *const dialect_tables[]; /* NULL-terminated */

extern const struct dialect dialect_sigma, dialect_grapheon, dialect_argus;

/* The options of the accents. */
const struct dialect_conf *dialect_conf(const struct call *c);

#endif
