/* server/turn.h - the order of one loop turn. Core loop's thread. */
#ifndef MUSTER_SERVER_TURN_H
#define MUSTER_SERVER_TURN_H

#include "control/control.h"
#include "net/listen.h"
#include "net/loop.h"
#include "store/store.h"

struct turn {
    struct loop *loop;
    struct store *store;
    struct control *control;
    struct listener *agents; /* not read from while the store is behind */
    bool is_behind;
    uint64_t n_turns; /* the watchdog wants to see it grow */
};

/* Registers the turn with @t->loop; loop, store and control are set, agents may follow. */
void turn_start(struct turn *t);
/* No more turns (the hook stays and does nothing). */
void turn_stop(struct turn *t);

/* For store_conf.wake: any thread. @ctx is a struct wake made by wake_new(). The store exists before control
 * and turn do. */
struct wake;
struct wake *wake_new(struct loop *l);
void wake_free(struct wake *w);
void wake_call(void *ctx);

#endif
