/* net/loop_priv.h - inside of the loop, for the files of net only: the turn's lists, the shared scratch and the
 * deadline wheel. Loop thread. */
#ifndef MUSTER_NET_LOOP_PRIV_H
#define MUSTER_NET_LOOP_PRIV_H

#include <uv.h>

#include "base/slot.h"
#include "base/vec.h"
#include "net/loop.h"

struct conn;

/* -- the wheel: any number of deadlines behind one timer. An entry is visited when its slot comes up, and once
 * per revolution if it lies further away. Moving a deadline *later* only stores the time: the entry re-files itself
 * when it is next visited, so a busy connection never touches a list. */
enum { WHEEL_SLOTS = 256, WHEEL_TICK_MS = 250 };
struct wheel_entry {
    struct wheel_entry *next, **pprev; /* pprev NULL: not linked */
    usec_t at;                         /* when it is due */
    uint64_t tick;                     /* where it is filed */
    void (*fire)(struct wheel_entry *e);
};
struct wheel {
    struct wheel_entry *slots[WHEEL_SLOTS];
    uint64_t done;  /* last tick visited */
    uint64_t armed; /* tick the timer waits for; 0 = none */
    size_t n;
    uv_timer_t timer;
};
/* Due at @at (loop time), by @e->fire, at most one tick late and never early; fires once. */
void wheel_set(struct loop *l, struct wheel_entry *e, usec_t at);
void wheel_del(struct loop *l, struct wheel_entry *e);
void wheel_run(struct loop *l);

/* Shared by all connections of a loop: nothing in here outlives the call that filled it. */
enum { SCRATCH_RX = 64 << 10, SCRATCH_PLAIN = (16 << 10) + 256, SCRATCH_OUT = 64 << 10 };
struct net_scratch {
    uint8_t rx[SCRATCH_RX];       /* what recv() gave */
    uint8_t plain[SCRATCH_PLAIN]; /* one decrypted record */
    uint8_t out[SCRATCH_OUT];     /* plain bytes gathered from a protocol */
    uint8_t *cipher;              /* records waiting for send(), grows to fit one flush of `out` */
    size_t cipher_len, cipher_cap;
};

struct loop_row {
    loop_fn fn;
    void *ctx;
};
enum { LOOP_HOOKS_MAX = 8 };
struct loop {
    uv_loop_t uv;
    uv_prepare_t prepare; /* the end of a turn */
    uv_idle_t idle;       /* keeps the loop from waiting while something is due in the next turn */
    uv_async_t wake;      /* keeps loop_run() alive, and loop_stop_async() */
    bool is_idle_on, is_stop_asked, is_running;
    bool is_flush_due; /* this turn's net_flush() is still to come: no need to wake for it */
    struct loop_row hooks[LOOP_HOOKS_MAX];
    size_t n_hooks;
    VEC(struct loop_row) soon;
    struct conn *dirty, **dirty_tail;   /* have output to write at the end of this turn */
    struct conn *closing, **closing_tail; /* closed, their owner does not know yet */
    struct conn *kicked, **kicked_tail; /* want their kick callback in the next turn */
    struct wheel wheel;
    struct net_scratch *scratch; /* made on first use */
    usec_t shift;                /* tests: how far the clock was turned */
    bool is_still;               /* tests: the clock stands, @shift is what it shows */
};

/* The next turn follows without waiting. */
void loop__wake(struct loop *l);
struct net_scratch *loop__scratch(struct loop *l);
/* Tests: moves loop_now() forward and runs what became due. */
void loop__turn_clock(struct loop *l, usec_t by);
/* Tests: from now on only loop__turn_clock() moves it. */
void loop__stop_clock(struct loop *l);

/* -- ids: one table per kind and thread, so a call needs the id only. */
enum net_kind { NET_EXCHANGE, NET_CALL, NET_WS, NET_KINDS };
struct slots *net__ids(enum net_kind kind);

/* conn.c: tells owners about closed connections and runs kicks; before the turn's hooks. */
void conn__reap(struct loop *l);

#endif
