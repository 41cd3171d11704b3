/* wire/event.c - see event.h. Spellings are the sandbox guide's (its section 2.7): "vm_name" is the host's
 * name there. */
#include "wire/event.h"

#include "base/limits.h"

static const struct field event_fields[] = {
    F_U64(struct event, id, "id", .flags = FIELD_ID, .help = "Grows by one an event, never reused."),
    F_TIME(struct event, at, "timestamp", .help = "Server time."),
    F_STR(struct event, type, "event_type", 64, .help = "agent.connected, job.created ..."),
    F_STR(struct event, host_id, "agent_id", 64, .flags = FIELD_OMIT | FIELD_WIDE,
          .help = "Host it is about."),
    F_STR(struct event, host, "vm_name", LIMIT_HOSTNAME, .column = "HOST", .help = "Name of that host."),
    F_MAP(struct event, details, "details", 64, 8 << 10, .help = "What else there is to know, by type."),
};
const struct record event_record = RECORD(event, event_fields);
