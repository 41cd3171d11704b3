/* control/commit.h - tickets: what must wait for the disk waits here. Loop thread.
 *
 * commit_after() parks a callback on the newest ticket of the store (including the open unit): it runs from commit_release() once
 * that is durable, in the order parked; at once if nothing is outstanding. server/turn.c calls commit_release() at the start of the
 * release step: after the turn's reads, before store_seal(). It also writes what a turn writes once (task and seen rows), so no turn
 * may seal without it. docs/internals/turn.md has the whole order. */
#ifndef MUSTER_CONTROL_COMMIT_H
#define MUSTER_CONTROL_COMMIT_H

struct control;
typedef void (*commit_fn)(struct control *c, void *arg);

/* @arg moves to the callback. A callback still parked when control is freed is called with @c NULL: nothing was promised, it frees
 * @arg and says nothing. */
void commit_after(struct control *c, commit_fn fn, void *arg);
/* Runs what has become durable (store_poll() was called before). */
void commit_release(struct control *c);
/* How many are parked; and for how long the oldest has waited (us). */
unsigned long commit_parked(const struct control *c);

#endif
