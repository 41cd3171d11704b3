/* api/native_priv.h - shared by native.c, native_in.c and native_out.c only. */
#ifndef MUSTER_API_NATIVE_PRIV_H
#define MUSTER_API_NATIVE_PRIV_H

#include "api/native.h"
#include "muster.pb-c.h"

/* Needed until the agent has said hello, then freed: an idle link is small. */
struct link_hello {
    struct principal who;
    char peer[64];
};
struct native_link {
    struct api *api;
    uint64_t call;
    struct link_id id;
    struct link_hello *hello; /* NULL once said */
    bool is_ending;           /* goodbye was said: nothing is read or sent any more */
};
struct native {
    struct slots *links;
    struct pb_arena in; /* one message at a time */
    struct arena *out;  /* of one message on its way out */
    struct buf packed;
    uint32_t in_op; /* inside a link op, that is inside control */
    char refusal[512];
};

/* native_in.c: one message of a link. */
void native__message(struct native_link *l, struct str msg);
/* Claims as wire struct, borrowed from @m and n->in; @agent_version wins over an empty one. False: over a
 * cap, or not UTF-8. */
bool native__claims(struct native *n, const Muster__V1__HostClaims *m, const char *agent_version,
                    struct host_claims *ret);
/* native_out.c */
void native__out_init(struct api *a);
/* Says goodbye and ends the call. */
void native__goodbye(struct native_link *l, const char *slug, const char *why, usec_t reconnect_after,
                     bool forever);

#endif
