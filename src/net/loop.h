/* net/loop.h - the event loop: timers, signals, turn hooks. Hides libuv. One loop per thread; every function
 * here belongs to that thread except loop_stop_async(). */
#ifndef MUSTER_NET_LOOP_H
#define MUSTER_NET_LOOP_H

#include "base/auto.h"
#include "base/clock.h"
#include "base/err.h"

struct loop;
struct timer;
typedef void (*loop_fn)(void *ctx);

struct loop *loop_new(void);
/* Closes what is still open and frees; the loop must not be running. */
void loop_free(struct loop *l);
DEFINE_AUTO(struct loop *, loop_free)
/* Runs until loop_stop(). */
void loop_run(struct loop *l);
/* Runs ready events once without waiting (tests, drains). Returns true if anything is still active. */
bool loop_poll(struct loop *l);
void loop_stop(struct loop *l);
/* As loop_stop(), from any thread. */
void loop_stop_async(struct loop *l);
/* Monotonic time, cached per turn, in steps of 1 ms. Its zero is the loop's own: compare it only with itself. */
usec_t loop_now(const struct loop *l);

/* Turn hooks: @fn runs once per turn after all events were handled and before the loop waits. At most 8, in order
 * of registration (server/turn.c registers release, seal, flush). */
void loop_on_turn_end(struct loop *l, loop_fn fn, void *ctx);
/* Writes what all connections have to say, each with as few system calls as it can. The loop does it by itself after
 * the hooks; a hook that must come after the write calls it first. */
void net_flush(struct loop *l);
/* Runs @fn once in the next turn. */
void loop_soon(struct loop *l, loop_fn fn, void *ctx);

/* A timer that is not running. */
struct timer *timer_new(struct loop *l, loop_fn fn, void *ctx);
/* NULL is a no-op; safe inside its own callback. */
void timer_free(struct timer *t);
DEFINE_AUTO(struct timer *, timer_free)
/* First after @after, then every @every (0: once). Restarts a running timer. Resolution 1 ms. */
void timer_start(struct timer *t, usec_t after, usec_t every);
void timer_stop(struct timer *t);
bool timer_is_running(const struct timer *t);

/* @fn for each signal @signo from now on, even if it was inherited as ignored. */
void loop_on_signal(struct loop *l, int signo, loop_fn fn, void *ctx);

/* Watches a descriptor that is not ours to wrap (netlink, the hold's socket): @fn with LOOP_READABLE and/or
 * LOOP_WRITABLE. */
enum { LOOP_READABLE = 1, LOOP_WRITABLE = 2 };
struct watch;
typedef void (*watch_fn)(void *ctx, int events);
struct watch *watch_new(struct loop *l, int fd, watch_fn fn, void *ctx);
void watch_set(struct watch *w, int events); /* 0 pauses */
void watch_free(struct watch *w);            /* does not close fd */
DEFINE_AUTO(struct watch *, watch_free)

/* Runs @work on a pool thread (password hashing), then @done on the loop. */
void loop_work(struct loop *l, loop_fn work, loop_fn done, void *ctx);

/* The pool of the whole process gets one thread, now, unless the user's UV_THREADPOOL_SIZE says otherwise. Before anything uses the
 * pool. The environment is left as it was: what a child inherits is the user's. */
void loop_small_pool(void);

#endif
