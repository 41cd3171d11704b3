/* fleet/report_health.c - see report_health.h. */
#include "fleet/report_health.h"

usec_t report_due_at(const struct report_pace *p)
{
    usec_t since = p->last_seen_at > p->approved_at ? p->last_seen_at : p->approved_at;

    if (p->state != HOST_APPROVED || !p->is_switched_on || since == 0)
        return 0;
    return since + (p->interval_s + p->jitter_s + REPORT_TIMER_S) * USEC_PER_SEC;
}

bool report_is_overdue(const struct report_pace *p, usec_t now)
{
    usec_t due = report_due_at(p);

    return due > 0 && now > due;
}

bool report_collector_fails(enum section_status s)
{
    switch (s) {
    case SECTION_FAILED:
    case SECTION_MISSING:
        return true;
    case SECTION_OK:
    case SECTION_DISABLED:
        break;
    }
    return false;
}
