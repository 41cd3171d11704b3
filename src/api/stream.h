/* api/stream.h - from topics to subscribers (private to api/): sinks, bounded, and the server-sent-events
 * one. Core loop's thread.
 *
 * A feed (api/follow.h, api/joblog.h) decides what to send; a sink carries it: an event stream here, a
 * WebSocket in ws.c. The bound is LIMIT_STREAM_QUEUE: past it a feed stops, asks for room, and reads what it
 * missed from the store, so that a slow reader costs four megabytes and loses nothing that is kept. */
#ifndef MUSTER_API_STREAM_H
#define MUSTER_API_STREAM_H

#include "api/call.h"

struct sink {
    /* Queues one item; @event NULL: unnamed; @id 0: none. */
    void (*put)(void *ctx, const char *event, uint64_t id, struct str json);
    /* May more be put? False too when nobody is there any more. */
    bool (*has_room)(void *ctx);
    /* Calls the feed's room() once there is room again. */
    void (*want_room)(void *ctx);
    /* The end; the feed hears nothing after it. */
    void (*end)(void *ctx);
    void *ctx;
};
/* What a sink tells its feed. */
struct feed_ops {
    void (*room)(void *feed);
    void (*gone)(
        void *feed); /* the client left, or the server ends the stream: the feed frees itself; always last */
};

/* -- the event stream */
struct stream;
/* Answers @c with @status and an endless text/event-stream. From here on the feed is told through @ops. NULL
 * when the client has already left (then @ops is never called). */
struct stream *stream_open(struct call *c, int status, const struct feed_ops *ops, void *feed);
struct sink stream_sink(struct stream *s);
/* Every open stream: a comment when it was silent for 15 s; its end when its credential no longer holds. */
void streams_tick(struct api *a);
/* Ends all (a planned stop): feeds are told they are gone. */
void streams_end(struct api *a);
struct call *stream_call(struct stream *s);

#endif
