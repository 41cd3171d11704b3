/* wire/ports.h - free ports of a host: the wish and the answer, whatever accent carries them. Strings are borrowed. */
#ifndef MUSTER_WIRE_PORTS_H
#define MUSTER_WIRE_PORTS_H

#include "base/clock.h"
#include "base/field.h"

enum { PORTS_MAX = 1000, PORTS_TTL_MAX_S = 24 * 3600 };

struct ports_wish {
    uint32_t count;        /* 1..the agent's maximum */
    uint32_t ttl_seconds;  /* 0: nothing is reserved; else a lease, of at most PORTS_TTL_MAX_S */
    struct str owner;      /* of the lease, for people */
    bool hold;             /* with a lease: the agent keeps them bound until it ends */
};
extern const struct record ports_wish_record; /* count, ttl_seconds, owner, hold: as POST /ports/allocate has them */

/* Refusals by slug: "ports.disabled" (no scan on that host), "ports.count" (out of range), "ports.too_few" (fewer are free),
 * "ports.failed". */
struct ports_answer {
    struct err_text { struct str slug, text; } error; /* slug empty: granted */
    uint16_t ports[PORTS_MAX];
    uint32_t n;
    struct str lease;      /* empty without ttl */
    usec_t expires_at;
};

/* The scan's result, as told in a heartbeat or the section "ports". */
struct port_scan {
    uint32_t first, last, total, available, reserved;
    uint32_t duration_us;
    usec_t at;             /* 0: never finished */
};

#endif
