/* api/operator_events.h - following the event log, for the WebSocket too (private to api/). */
#ifndef MUSTER_API_OPERATOR_EVENTS_H
#define MUSTER_API_OPERATOR_EVENTS_H

#include "api/follow.h"

/* Starts a follower of all events (or those of one type or host) into @sink, which lives until the follower
 * is told it is gone: follow_feed_ops.gone(). With @has_after everything after @after first. */
struct follow *events_follow(struct control *control, struct str type, const char *host_uuid,
                             const struct sink *sink, bool has_after, uint64_t after);

#endif
