/* fleet/report_health.h - how a reporter fares: is it late, does its collecting fail. Pure: time and facts are arguments. */
#ifndef MUSTER_FLEET_REPORT_HEALTH_H
#define MUSTER_FLEET_REPORT_HEALTH_H

#include "fleet/enroll.h"
#include "fleet/report.h"

/* A reporter is started by a timer and only then looks whether its interval is over: every 15 minutes, up to 30 seconds later for
 * spreading, and up to a minute later because that is how precise systemd is unless told (AccuracySec). */
enum { REPORT_TIMER_S = 15 * 60 + 30 + 60 };

struct report_pace {
    enum host_state state;
    bool is_switched_on;
    usec_t last_seen_at, approved_at; /* 0: never */
    uint64_t interval_s, jitter_s;    /* of its policy, or what it does without one */
};
/* Until when its next report is expected: counted from the last one, or from when it was let in if that was later. 0: none is
 * expected (not let in, switched off, or nothing to count from). */
usec_t report_due_at(const struct report_pace *p);
/* @now is later than that. */
bool report_is_overdue(const struct report_pace *p, usec_t now);

/* A collector that was meant to tell and could not: failed or missing; not one that was switched off. */
bool report_collector_fails(enum section_status s);

#endif
