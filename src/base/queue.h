/* base/queue.h - many-writers/one-reader message queue between threads. The only file here with a lock.
 *
 * Messages embed struct qmsg first and are moved, never shared: whoever pops owns. */
#ifndef MUSTER_QUEUE_H
#define MUSTER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/auto.h"

struct qmsg {
    struct qmsg *next;
};
struct queue;

struct queue *queue_new(void);
/* Messages still inside are the caller's to drain first. */
void queue_free(struct queue *q);
DEFINE_AUTO(struct queue *, queue_free)
/* Appends; any thread. Returns true if the queue was empty (the reader may need a wake-up). */
bool queue_push(struct queue *q, struct qmsg *m);
/* The whole content in order as a linked list, or NULL; reader's thread. Does not wait. */
struct qmsg *queue_take_all(struct queue *q);
/* As queue_take_all, but waits until there is something or queue_close() was called (then NULL when empty).
 * @timeout_ms < 0: for ever; on time-out NULL. */
struct qmsg *queue_wait_all(struct queue *q, int timeout_ms);
/* Wakes the reader for good. Any thread. */
void queue_close(struct queue *q);
bool queue_is_closed(struct queue *q);

#endif
