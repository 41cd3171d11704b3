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

/* The numbers are nobody's business: only the words are stored and shown. */
const struct name event_type_names[] = {
    { 1, "agent.connected" },
    { 2, "agent.disconnected" },
    { 3, "agent.event" },
    { 4, "agent.registered" },
    { 5, "host.approved" },
    { 6, "host.certificate_renewed" },
    { 7, "host.clone_suspected" },
    { 8, "host.forgotten" },
    { 9, "host.labelled" },
    { 10, "host.late" },
    { 11, "host.linked" },
    { 12, "host.lost" },
    { 13, "host.online" },
    { 14, "host.pending" },
    { 15, "host.rejected" },
    { 16, "host.renamed" },
    { 17, "host.revoked" },
    { 18, "inventory.changed" },
    { 19, "inventory.resync" },
    { 20, "job.cancel_requested" },
    { 21, "job.created" },
    { 22, "job.finished" },
    { 23, "report.suspect" },
    { 24, "run.changed" },
    { 25, "run.rerun_requested" },
    { 26, "run.stop_requested" },
    { 27, "server.started" },
    { 28, "server.stopping" },
    { 29, "store.healthy" },
    { 30, "store.unhealthy" },
    { 31, "task.finished" },
    { 32, "task.started" },
    NAMES_END,
};
