/* api/view_logs.h - what was written down, as REST shows it: audit rows, events, log lines. Record tables
 * (also the schemas of the OpenAPI document), and how they are filled (private to api/). Strings are lent by
 * whatever they are filled from, and written at once. Core loop's thread. */
#ifndef MUSTER_API_VIEW_LOGS_H
#define MUSTER_API_VIEW_LOGS_H

#include "api/call.h"

extern const struct record audit_record, audit_list_record, audit_verify_record, event_list_record,
    log_list_record;

/* Writes one object value. (An event is its own record: wire/event.h.) */
void view_audit(const struct audit_row *r, struct jw *w);

#endif
