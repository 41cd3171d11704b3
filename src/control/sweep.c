/* control/sweep.c - what happens because time passes: presence, deadlines, expiry, retention. Loop thread.
 *
 * One heap orders everything that is due, so a tick costs what changed and not what exists. */
#include "control/noun.h"

enum { SAVE_EVERY_S = 30, TELL_CHANGES_S = 60, RETAIN_EVERY_S = 60, RETAIN_STEP_MS = 80, DUE_MAX = 5000 };

static void host_due(struct control *c, struct host *h)
{
    usec_t now = control__mono(c);
    if (h->state == HOST_PENDING) {
        if (enroll_is_expired(accent__asked_at(h), c->conf.pending_ttl, control__wall(c))) {
            enroll__pending_due(c, h);
            return;
        }
        host__timer(c, h);
        return;
    }
    /* A host without a link was saved when it was last heard of, unless that was too soon after the time before. */
    bool has_news = h->link || (h->accent && h->seen_mono > h->saved_mono);
    if (has_news && now - h->saved_mono >= SAVE_EVERY_S * USEC_PER_SEC) {
        h->saved_mono = now;
        /* While the database takes nothing, sightings would only pile up in memory. */
        if (store_health(c->store, NULL) == 0)
            host__seen_dirty(c, h);
    }
    if (h->changed_mask && now - h->changed_mono >= TELL_CHANGES_S * USEC_PER_SEC)
        inventory__flush_changed(c, h);
    presence__judge(c, h);
    host__timer(c, h);
}

static void due(struct control *c, struct timer *t)
{
    switch ((enum timer_kind)t->kind) {
    case TIMER_HOST:
        host_due(c, (struct host *)((char *)t - offsetof(struct host, timer)));
        return;
    case TIMER_LINK:
        link__throttle(c, (struct link *)((char *)t - offsetof(struct link, timer)), 0);
        return;
    case TIMER_JOB:
        job__due(c, (struct job *)((char *)t - offsetof(struct job, timer)));
        return;
    case TIMER_ASK:
        inventory__ask_due(c, (struct ask *)((char *)t - offsetof(struct ask, timer)));
        return;
    case TIMER_WAIT:
        ports__wait_due(c, t);
        return;
    }
}

/* -- retention: small steps, on the store's thread, never two at once */
static void retained(void *ctx, int result)
{
    struct control *c = life_unref(ctx);
    if (!c)
        return;
    c->is_retaining = false;
    c->retain_at =
        control__mono(c) + (result == 1 ? RETAIN_STEP_MS * USEC_PER_MS : RETAIN_EVERY_S * USEC_PER_SEC);
}

static void retain(struct control *c)
{
    if (c->is_retaining || c->is_stopping || control__mono(c) < c->retain_at ||
        store_health(c->store, NULL) < 0)
        return;
    c->is_retaining = true;
    store_retain(c->store, &c->conf.retention, control__wall(c), retained, life_ref(c));
}

static void watch_store(struct control *c)
{
    struct err err = { 0 };
    struct details d = { 0 };
    bool is_unhealthy = store_health(c->store, &err) < 0;
    if (is_unhealthy == c->was_unhealthy)
        return;
    c->was_unhealthy = is_unhealthy;
    if (is_unhealthy) {
        details_str(details_str(&d, "code", str_of(err.slug)), "why", str_of(err.text));
        log_error("store.unhealthy", "the database takes no writes: mutations are refused", LOG_ERR(&err));
    } else {
        log_info("store.healthy", "the database takes writes again");
    }
    event_emit(c, is_unhealthy ? "store.unhealthy" : "store.healthy", NULL, &d.list);
}

void control_tick(struct control *c)
{
    usec_t now = control__mono(c);
    struct timer *t;
    /* A clock that jumped makes everything due at once: the rest waits for the next tick. */
    for (int i = 0; i < DUE_MAX && (t = timers_pop(&c->timers, now)); i++)
        due(c, t);
    noun__tick(c, now);
    refusals__tell(c, now);
    watch_store(c);
    retain(c);
    if (c->n_paused && !store_is_behind(c->store))
        link__resume_all(c);
}
