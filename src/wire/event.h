/* wire/event.h - what subscribers see: one row of the fleet's event log. */
#ifndef MUSTER_WIRE_EVENT_H
#define MUSTER_WIRE_EVENT_H

#include "base/clock.h"
#include "base/field.h"

struct event {
    uint64_t id;        /* monotonic, never reused */
    usec_t at;
    struct str type;    /* "host.online", "job.created" ... and the guide's "agent.connected" */
    struct str host_id; /* uuid or empty */
    struct str host;    /* name or empty */
    struct kv_list details; /* stored and shown as an object of strings (numbers as decimal text) */
};
extern const struct record event_record;

/* All types there are, by which lists may be narrowed: a new type of event has its row here and in docs/wire/native.md. */
extern const struct name event_type_names[];

#endif
