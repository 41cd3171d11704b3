/* server/turn.c - the durability promise on one screen.
 *
 *     events      sockets were read, timers ran: verbs recorded changes into the open unit and parked what
 * they promised 1 inbox       what the store thread sends: commits that came back, rows that were read 2
 * release     what has become durable leaves: replies, acks, orders, events (they queue bytes, and may record
 * more) 3 seal        everything recorded since the last turn becomes one unit, and goes to the store thread
 *   4 flush       queued bytes are written to the sockets
 *
 * Nothing recorded in a turn can leave in it: release comes before seal, and looks at commits only. When
 * nothing was recorded the newest ticket is durable already and commit_after() calls at once: an answer to a
 * pure read leaves in its own turn. */
#include "server/turn.h"

#include <stdatomic.h>

#include "base/mem.h"
#include "control/commit.h"
#include "net/mailbox.h"

#define LOG_TARGET "server"
#include "base/log.h"

/* Too many units are under way: agents are not read from (TCP holds them back), people still are. */
static void mind_the_backlog(struct turn *t)
{
    bool behind = store_is_behind(t->store);

    if (behind == t->is_behind)
        return;
    t->is_behind = behind;
    if (t->agents)
        listener_pause_reads(t->agents, behind);
    log_debug("store.behind", behind ? "agents wait for the disk" : "the disk has caught up");
}

static void turn(void *ctx)
{
    struct turn *t = ctx;

    if (!t->control)
        return;
    t->n_turns++;
    store_poll(t->store);
    commit_release(t->control);
    store_seal(t->store);
    net_flush(t->loop);
    mind_the_backlog(t);
}

void turn_start(struct turn *t)
{
    loop_on_turn_end(t->loop, turn, t);
}

void turn_stop(struct turn *t)
{
    t->control = NULL;
}

/* -- the bell: the store thread rings it, the loop then takes a turn. It carries nothing, so one message is
 * enough: it is posted again only after it was taken out. */
struct wake {
    struct mailbox *box;
    atomic_flag is_posted;
    struct qmsg msg;
};

static void on_wake(void *ctx, struct qmsg *m)
{
    struct wake *w = ctx;

    (void)m;
    atomic_flag_clear(&w->is_posted); /* before the turn looks: a later ring must not be lost */
}

struct wake *wake_new(struct loop *l)
{
    struct wake *w = xnew0(struct wake);

    atomic_flag_clear(&w->is_posted);
    w->box = mailbox_new(l, on_wake, w);
    return w;
}

void wake_free(struct wake *w)
{
    if (!w)
        return;
    mailbox_free(w->box);
    free(w);
}

void wake_call(void *ctx)
{
    struct wake *w = ctx;

    if (!atomic_flag_test_and_set(&w->is_posted))
        mailbox_post(w->box, &w->msg);
}
