/* control/timers.c - a binary heap of what is due. Loop thread. */
#include "control/core.h"

static void place(struct timers *ts, size_t i, struct timer *t)
{
    ts->v[i] = t;
    t->place = (uint32_t)i + 1;
}

static void sift_up(struct timers *ts, size_t i)
{
    struct timer *t = ts->v[i];
    while (i > 0 && ts->v[(i - 1) / 2]->at > t->at) {
        place(ts, i, ts->v[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(ts, i, t);
}

static void sift_down(struct timers *ts, size_t i)
{
    struct timer *t = ts->v[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= ts->n)
            break;
        if (child + 1 < ts->n && ts->v[child + 1]->at < ts->v[child]->at)
            child++;
        if (ts->v[child]->at >= t->at)
            break;
        place(ts, i, ts->v[child]);
        i = child;
    }
    place(ts, i, t);
}

void timers_drop(struct timers *ts, struct timer *t)
{
    if (t->place == 0)
        return;
    size_t i = t->place - 1;
    assert(i < ts->n && ts->v[i] == t);
    t->place = 0;
    struct timer *last = ts->v[--ts->n];
    if (last == t)
        return;
    place(ts, i, last);
    sift_up(ts, i);
    sift_down(ts, last->place - 1);
}

void timers_set(struct timers *ts, struct timer *t, usec_t at)
{
    if (at == USEC_NEVER) {
        timers_drop(ts, t);
        return;
    }
    usec_t old = t->at;
    t->at = at;
    if (t->place == 0) {
        ts->v = vec__grow(ts->v, &ts->cap, ts->n, sizeof(*ts->v));
        place(ts, ts->n++, t);
        sift_up(ts, ts->n - 1);
    } else if (at < old) {
        sift_up(ts, t->place - 1);
    } else {
        sift_down(ts, t->place - 1);
    }
}

struct timer *timers_pop(struct timers *ts, usec_t now)
{
    if (ts->n == 0 || ts->v[0]->at > now)
        return NULL;
    struct timer *t = ts->v[0];
    timers_drop(ts, t);
    return t;
}

void timers_done(struct timers *ts)
{
    free(ts->v);
    *ts = (struct timers){ 0 };
}
