/* fleet/capability.h - what a host can be asked to do, by the accent it is known through. Pure; a table. */
#ifndef MUSTER_FLEET_CAPABILITY_H
#define MUSTER_FLEET_CAPABILITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/names.h"
#include "wire/job.h"

enum capability {
    CAN_COMMAND = 1, /* any program, output and input streamed: over a link */
    CAN_RERUN = 2,   /* run again what it reported (Argus) */
    CAN_STOP = 4,    /* end a run of its own (Argus) */
    CAN_PORTS = 8,   /* name free ports */
};
extern const struct name capability_names[]; /* command rerun stop ports */

/* All @dialect can: bits of enum capability; 0 for one nobody knows. */
uint32_t capabilities_of(struct str dialect);
/* What a job of @kind needs. */
enum capability capability_for(enum job_kind kind);

#endif
