/* wire/checkin.h - who I am, how I am. What any accent's check-in becomes. Strings are borrowed. */
#ifndef MUSTER_WIRE_CHECKIN_H
#define MUSTER_WIRE_CHECKIN_H

#include "base/clock.h"
#include "base/field.h"

/* What a host says of itself: shown to the operator, trusted for nothing. */
struct host_claims {
    struct str hostname, machine_id, os, kernel, arch, agent_version;
    struct str_list addresses;
    struct kv_list labels;
    uint32_t cpu_cores;
    uint64_t memory_bytes, disk_bytes;
};
extern const struct record host_claims_record;

/* What an agent says of one of its roles. */
enum offer { OFFER_UNSAID, OFFER_YES, OFFER_NO };

/* A sample of a host's condition; plain values, no pointers. */
struct heartbeat {
    double load1, load5, load15, cpu_pct;
    uint64_t memory_used_bytes, memory_total_bytes, disk_used_bytes, disk_total_bytes, uptime_s;
    uint32_t running_tasks, queued_tasks;
    uint8_t roles_failed; /* how many roles report failed */
    uint8_t ports;        /* enum offer: the port scan */
    uint8_t metrics;      /* enum offer; NO: nobody measures there, all before running_tasks is 0 and says nothing */
};

#endif
