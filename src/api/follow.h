/* api/follow.h - following a numbered log (events, audit) without gap or repeat (private to api/). Pure logic
 * over a sink and a source: no sockets. Core loop's thread.
 *
 * The caller subscribes first and hands live items to follow_live(); the follower reads what is older from
 * the source, holds live ones meanwhile, and switches over. When the sink is full it drops live items and
 * reads them later: they are on disk before anybody is told of them. Items gone by retention are told as
 * `gap` {from,to}. */
#ifndef MUSTER_API_FOLLOW_H
#define MUSTER_API_FOLLOW_H

#include "api/stream.h"

struct follow;

struct follow_source {
    /* Starts reading at most @limit items after @after, ascending: follow_row() for each, then
     * follow_read_done(). Never from inside. */
    void (*read)(void *ctx, struct follow *f, uint64_t after, uint32_t limit);
    /* The follower is over (leave the topic); @ctx may be freed. Once, last. */
    void (*over)(void *ctx);
    void *ctx;
};

/* @is_dense: numbers without holes belong to this log, so that a hole is a gap to tell of (no filter is set).
 * The follower owns itself: it ends by follow_gone(). */
struct follow *follow_new(const struct follow_source *src, bool is_dense);
/* Begins: everything after @after from the source first; or only what is new. The sink must outlive
 * follow_gone(). */
void follow_start_after(struct follow *f, const struct sink *sink, uint64_t after);
void follow_start_new(struct follow *f, const struct sink *sink);
void follow_live(struct follow *f, uint64_t id, struct str json);
void follow_row(struct follow *f, uint64_t id, struct str json);
void follow_read_done(struct follow *f, int result);
/* feed_ops for this feed. */
extern const struct feed_ops follow_feed_ops;

#endif
