/* net/loop.c - the event loop over libuv. Loop thread (loop_stop_async: any).
 *
 * One iteration of libuv is: timers, idle, prepare, poll, closing. A *turn* of ours ends in prepare: everything the
 * last poll and the timers brought has been handled, and the loop has not begun to wait. The order there is
 *
 *     owners hear of closed connections -> the user's hooks -> net_flush()
 */
#include "net/loop.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>

#include "base/mem.h"
#include "net/loop_priv.h"

static _Thread_local struct {
    struct slots *tables[NET_KINDS];
    int loops;
} ids;

struct slots *net__ids(enum net_kind kind)
{
    if (!ids.tables[kind])
        ids.tables[kind] = slots_new();
    return ids.tables[kind];
}

static void turn_end(struct loop *l)
{
    l->is_flush_due = true;
    conn__reap(l);
    for (size_t i = 0; i < l->n_hooks; i++)
        l->hooks[i].fn(l->hooks[i].ctx);
    l->is_flush_due = false;
    net_flush(l);
    if (l->soon.n > 0 || l->closing || l->kicked)
        loop__wake(l);
}

static void on_prepare(uv_prepare_t *h)
{
    turn_end(h->data);
}

static void on_idle(uv_idle_t *h)
{
    struct loop *l = h->data;
    VEC(struct loop_row) now = { 0 };

    uv_idle_stop(h);
    l->is_idle_on = false;
    now.v = l->soon.v;
    now.n = l->soon.n;
    now.cap = l->soon.cap;
    l->soon.v = NULL;
    l->soon.n = l->soon.cap = 0;
    for (size_t i = 0; i < now.n; i++)
        now.v[i].fn(now.v[i].ctx);
    vec_done(&now);
}

static void on_wake(uv_async_t *h)
{
    struct loop *l = h->data;

    if (__atomic_exchange_n(&l->is_stop_asked, false, __ATOMIC_ACQ_REL))
        uv_stop(&l->uv);
}

void loop__wake(struct loop *l)
{
    if (!l->is_idle_on) {
        l->is_idle_on = true;
        uv_idle_start(&l->idle, on_idle);
    }
}

static void on_wheel(uv_timer_t *h)
{
    wheel_run(h->data);
}

struct loop *loop_new(void)
{
    struct loop *l = xnew0(struct loop);
    int r = uv_loop_init(&l->uv);

    assert(r == 0); /* no memory or no descriptors: nothing can work */
    l->dirty_tail = &l->dirty;
    l->closing_tail = &l->closing;
    l->kicked_tail = &l->kicked;
    uv_prepare_init(&l->uv, &l->prepare);
    uv_idle_init(&l->uv, &l->idle);
    uv_timer_init(&l->uv, &l->wheel.timer);
    r = uv_async_init(&l->uv, &l->wake, on_wake);
    assert(r == 0);
    l->prepare.data = l->idle.data = l->wake.data = l->wheel.timer.data = l;
    uv_prepare_start(&l->prepare, on_prepare);
    uv_unref((uv_handle_t *)&l->prepare);
    uv_unref((uv_handle_t *)&l->wake);
    uv_unref((uv_handle_t *)&l->wheel.timer);
    /* A peer that left must be an error code, not the end of the process. */
    signal(SIGPIPE, SIG_IGN);
    ids.loops++;
    return l;
}

static void on_closed_free(uv_handle_t *h)
{
    free(h->data);
}

static void close_left_over(uv_handle_t *h, void *arg)
{
    struct loop *l = arg;
    bool ours = h == (uv_handle_t *)&l->prepare || h == (uv_handle_t *)&l->idle || h == (uv_handle_t *)&l->wake ||
                h == (uv_handle_t *)&l->wheel.timer;

    /* Timers, watches and signals somebody forgot: each is one allocation that h->data points to. */
    if (!uv_is_closing(h))
        uv_close(h, ours ? NULL : on_closed_free);
}

void loop_free(struct loop *l)
{
    if (!l)
        return;

    assert(!l->is_running);
    /* What was closed but not yet reported; a report may close more. */
    while (l->closing || l->kicked)
        conn__reap(l);
    uv_walk(&l->uv, close_left_over, l);
    while (uv_run(&l->uv, UV_RUN_DEFAULT) != 0)
        ;
    int r = uv_loop_close(&l->uv);

    assert(r == 0);
    (void)r;
    if (l->scratch)
        free(l->scratch->cipher);
    free(l->scratch);
    vec_done(&l->soon);
    free(l);
    if (--ids.loops == 0) {
        for (size_t i = 0; i < NET_KINDS; i++) {
            slots_free(ids.tables[i]);
            ids.tables[i] = NULL;
        }
    }
}

void loop_run(struct loop *l)
{
    uv_ref((uv_handle_t *)&l->wake);
    l->is_running = true;
    uv_run(&l->uv, UV_RUN_DEFAULT);
    l->is_running = false;
    uv_unref((uv_handle_t *)&l->wake);
    /* The events of the last poll belong to a turn too. */
    turn_end(l);
}

bool loop_poll(struct loop *l)
{
    l->is_running = true;
    uv_ref((uv_handle_t *)&l->wake); /* with nothing referenced uv_run() would not even look */
    uv_run(&l->uv, UV_RUN_NOWAIT);
    uv_unref((uv_handle_t *)&l->wake);
    l->is_running = false;
    turn_end(l);
    return uv_loop_alive(&l->uv) != 0;
}

void loop_stop(struct loop *l)
{
    uv_stop(&l->uv);
}

void loop_stop_async(struct loop *l)
{
    __atomic_store_n(&l->is_stop_asked, true, __ATOMIC_RELEASE);
    uv_async_send(&l->wake);
}

usec_t loop_now(const struct loop *l)
{
    return (l->is_still ? 0 : uv_now(&l->uv) * USEC_PER_MS) + l->shift;
}

void loop__stop_clock(struct loop *l)
{
    l->shift = loop_now(l);
    l->is_still = true;
}

void loop__turn_clock(struct loop *l, usec_t by)
{
    l->shift += by;
    wheel_run(l);
}

struct net_scratch *loop__scratch(struct loop *l)
{
    if (!l->scratch) {
        /* Not zeroed: pages are touched when they are used. */
        l->scratch = xmalloc(sizeof(*l->scratch));
        l->scratch->cipher_cap = SCRATCH_OUT + (32 << 10);
        l->scratch->cipher = xmalloc(l->scratch->cipher_cap);
        l->scratch->cipher_len = 0;
    }
    return l->scratch;
}

void loop_on_turn_end(struct loop *l, loop_fn fn, void *ctx)
{
    assert(l->n_hooks < LOOP_HOOKS_MAX);
    l->hooks[l->n_hooks++] = (struct loop_row){ fn, ctx };
}

void loop_soon(struct loop *l, loop_fn fn, void *ctx)
{
    *vec_add(&l->soon) = (struct loop_row){ fn, ctx };
    loop__wake(l);
}

/* -- timers */
struct timer {
    uv_timer_t h;
    loop_fn fn;
    void *ctx;
};

struct timer *timer_new(struct loop *l, loop_fn fn, void *ctx)
{
    struct timer *t = xnew0(struct timer);

    t->fn = fn;
    t->ctx = ctx;
    uv_timer_init(&l->uv, &t->h);
    t->h.data = t;
    return t;
}

void timer_free(struct timer *t)
{
    if (t)
        uv_close((uv_handle_t *)&t->h, on_closed_free);
}

static void on_timer(uv_timer_t *h)
{
    struct timer *t = h->data;

    t->fn(t->ctx);
}

void timer_start(struct timer *t, usec_t after, usec_t every)
{
    /* Rounded up: a timer is never early. */
    uv_timer_start(&t->h, on_timer, (after + USEC_PER_MS - 1) / USEC_PER_MS, (every + USEC_PER_MS - 1) / USEC_PER_MS);
}

void timer_stop(struct timer *t)
{
    uv_timer_stop(&t->h);
}

bool timer_is_running(const struct timer *t)
{
    return uv_is_active((const uv_handle_t *)&t->h) != 0;
}

/* -- signals */
struct signal_row {
    uv_signal_t h;
    loop_fn fn;
    void *ctx;
};

static void on_signal(uv_signal_t *h, int signo)
{
    struct signal_row *s = h->data;

    (void)signo;
    s->fn(s->ctx);
}

void loop_on_signal(struct loop *l, int signo, loop_fn fn, void *ctx)
{
    struct signal_row *s = xnew0(struct signal_row);
    sigset_t set;

    s->fn = fn;
    s->ctx = ctx;
    uv_signal_init(&l->uv, &s->h);
    s->h.data = s;
    /* uv's sigaction() replaces an inherited SIG_IGN (nohup, shells' background jobs); a signal that was inherited
     * as blocked would still never come. */
    int r = uv_signal_start(&s->h, on_signal, signo);

    assert(r == 0);
    (void)r;
    uv_unref((uv_handle_t *)&s->h);
    sigemptyset(&set);
    sigaddset(&set, signo);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* -- foreign descriptors */
struct watch {
    uv_poll_t h;
    watch_fn fn;
    void *ctx;
    int events;
};

struct watch *watch_new(struct loop *l, int fd, watch_fn fn, void *ctx)
{
    struct watch *w = xnew0(struct watch);
    int r = uv_poll_init(&l->uv, &w->h, fd);

    assert(r == 0);
    (void)r;
    w->fn = fn;
    w->ctx = ctx;
    w->h.data = w;
    return w;
}

static void on_watch(uv_poll_t *h, int status, int events)
{
    struct watch *w = h->data;
    int got = 0;

    if (status < 0) {
        got = w->events; /* an error shows itself at the next read or write */
    } else {
        got |= events & (UV_READABLE | UV_DISCONNECT) ? LOOP_READABLE : 0;
        got |= events & UV_WRITABLE ? LOOP_WRITABLE : 0;
    }
    w->fn(w->ctx, got);
}

void watch_set(struct watch *w, int events)
{
    w->events = events;
    if (events == 0)
        uv_poll_stop(&w->h);
    else
        uv_poll_start(&w->h, (events & LOOP_READABLE ? UV_READABLE : 0) | (events & LOOP_WRITABLE ? UV_WRITABLE : 0),
                      on_watch);
}

void watch_free(struct watch *w)
{
    if (w)
        uv_close((uv_handle_t *)&w->h, on_closed_free);
}

/* -- slow work */
struct work {
    uv_work_t req;
    loop_fn work, done;
    void *ctx;
};

static void on_work(uv_work_t *req)
{
    struct work *w = req->data;

    w->work(w->ctx);
}

static void on_work_done(uv_work_t *req, int status)
{
    struct work *w = req->data;

    (void)status;
    w->done(w->ctx);
    free(w);
}

void loop_work(struct loop *l, loop_fn work, loop_fn done, void *ctx)
{
    struct work *w = xnew0(struct work);

    *w = (struct work){ .work = work, .done = done, .ctx = ctx };
    w->req.data = w;
    int r = uv_queue_work(&l->uv, &w->req, on_work, on_work_done);

    assert(r == 0);
    (void)r;
}

static void no_work(uv_work_t *req)
{
    (void)req;
}

static void no_work_done(uv_work_t *req, int status)
{
    (void)req;
    (void)status;
}

/* libuv reads the variable once, with the first piece of work. */
void loop_small_pool(void)
{
    uv_loop_t l;
    uv_work_t first;

    if (getenv("UV_THREADPOOL_SIZE") || uv_loop_init(&l) < 0)
        return;
    if (setenv("UV_THREADPOOL_SIZE", "1", 1) == 0) {
        if (uv_queue_work(&l, &first, no_work, no_work_done) == 0)
            (void)uv_run(&l, UV_RUN_DEFAULT);
        (void)unsetenv("UV_THREADPOOL_SIZE");
    }
    (void)uv_loop_close(&l);
}

/* -- the wheel */
static void wheel_arm(struct loop *l)
{
    struct wheel *w = &l->wheel;

    w->armed = 0;
    if (w->n == 0) {
        uv_timer_stop(&w->timer);
        return;
    }
    for (uint64_t t = w->done + 1; t <= w->done + WHEEL_SLOTS; t++) {
        if (w->slots[t % WHEEL_SLOTS]) {
            usec_t now = loop_now(l), at = t * WHEEL_TICK_MS * USEC_PER_MS;

            w->armed = t;
            uv_timer_start(&w->timer, on_wheel, at > now ? (at - now + USEC_PER_MS - 1) / USEC_PER_MS : 0, 0);
            return;
        }
    }
}

static void wheel_unlink(struct loop *l, struct wheel_entry *e)
{
    if (!e->pprev)
        return;
    *e->pprev = e->next;
    if (e->next)
        e->next->pprev = e->pprev;
    e->next = NULL;
    e->pprev = NULL;
    l->wheel.n--;
}

static void wheel_link(struct loop *l, struct wheel_entry *e)
{
    struct wheel *w = &l->wheel;
    const usec_t tick = WHEEL_TICK_MS * USEC_PER_MS;

    if (w->n == 0)
        w->done = loop_now(l) / tick;
    e->tick = e->at / tick + (e->at % tick ? 1 : 0);
    if (e->tick <= w->done)
        e->tick = w->done + 1;
    if (e->tick > w->done + WHEEL_SLOTS - 1)
        e->tick = w->done + WHEEL_SLOTS - 1; /* visited early, then filed again */

    struct wheel_entry **head = &w->slots[e->tick % WHEEL_SLOTS];

    e->next = *head;
    e->pprev = head;
    if (e->next)
        e->next->pprev = &e->next;
    *head = e;
    w->n++;
}

void wheel_set(struct loop *l, struct wheel_entry *e, usec_t at)
{
    const usec_t tick = WHEEL_TICK_MS * USEC_PER_MS;

    e->at = at;
    if (e->pprev && e->tick * tick <= at)
        return; /* later than where it is filed: sorted out when visited */
    wheel_unlink(l, e);
    if (at == USEC_NEVER)
        return;
    wheel_link(l, e);
    if (l->wheel.armed == 0 || e->tick < l->wheel.armed)
        wheel_arm(l);
}

void wheel_del(struct loop *l, struct wheel_entry *e)
{
    wheel_unlink(l, e);
}

void wheel_run(struct loop *l)
{
    struct wheel *w = &l->wheel;
    const usec_t tick = WHEEL_TICK_MS * USEC_PER_MS;
    usec_t now = loop_now(l);
    uint64_t upto = now / tick;

    /* After a long sleep one revolution visits every slot there is. */
    if (upto > w->done + WHEEL_SLOTS)
        w->done = upto - WHEEL_SLOTS;
    while (w->done < upto) {
        struct wheel_entry *list, *e;

        w->done++;
        list = w->slots[w->done % WHEEL_SLOTS];
        w->slots[w->done % WHEEL_SLOTS] = NULL;
        if (list)
            list->pprev = &list;
        while ((e = list)) {
            wheel_unlink(l, e);
            if (e->at == USEC_NEVER)
                continue;
            if (e->at > now)
                wheel_link(l, e);
            else
                e->fire(e);
        }
    }
    wheel_arm(l);
}
