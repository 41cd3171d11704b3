/* control/links.c - live connections, by the id their carrier gave them: find, drop, cut, hold back. Loop
 * thread.
 *
 * Reading from an agent stops for two reasons, each with its own end: it is over a rate (its timer), or the
 * store is behind (when it has caught up). */
#include "control/noun.h"

struct link *link__find(const struct control *c, struct link_id id)
{
    struct link *l;
    HASH_FIND(hh, c->all_links, &id.v, sizeof(id.v), l);
    return l;
}

static void apply_pause(struct control *c, struct link *l)
{
    bool want = l->is_throttled || l->is_store_paused;
    if (want == l->is_paused)
        return;
    l->is_paused = want;
    c->links->pause(c->links->ctx, link__id(l), want);
}

void link__pause(struct control *c, struct link *l)
{
    if (l->is_store_paused)
        return;
    l->is_store_paused = true;
    c->n_paused++;
    apply_pause(c, l);
}

void link__resume_all(struct control *c)
{
    struct link *l, *next;
    HASH_ITER(hh, c->all_links, l, next)
    {
        if (!l->is_store_paused)
            continue;
        l->is_store_paused = false;
        apply_pause(c, l);
    }
    c->n_paused = 0;
}

void link__throttle(struct control *c, struct link *l, usec_t wait)
{
    l->is_throttled = wait > 0;
    timers_set(&c->timers, &l->timer, wait > 0 ? control__mono(c) + wait : USEC_NEVER);
    apply_pause(c, l);
}

void link__drop(struct control *c, struct link *l)
{
    struct host *h = l->host;
    struct task *t, *next;

    HASH_DELETE(hh, c->all_links, l);
    timers_drop(&c->timers, &l->timer);
    c->n_paused -= l->is_store_paused;
    if (h->link == l)
        h->link = NULL;
    inventory__link_gone(c, l);
    ports__link_gone(c, l);
    /* An offer that never left is no offer. One that left may have arrived: the next hello tells. */
    DL_FOREACH_SAFE(h->tasks, t, next)
    command__unsend(c, t);
    host__seen_dirty(c, h);
    free(l);
}

struct farewell {
    uint64_t link_id;
    const char *slug;
    char *text;
    usec_t reconnect_after;
    bool is_forever;
};

static void send_farewell(struct control *c, void *arg)
{
    struct farewell *f = arg;
    if (c)
        c->links->goodbye(c->links->ctx, (struct link_id){ f->link_id }, f->slug, f->text, f->reconnect_after,
                          f->is_forever);
    free(f->text);
    free(f);
}

static void say_goodbye(struct control *c, uint64_t link_id, const char *slug, const char *text, usec_t after,
                        bool forever)
{
    struct farewell *f = xnew0(struct farewell);
    *f = (struct farewell){ link_id, slug, xstrdup(text), after, forever };
    commit_after(c, send_farewell, f);
}

void link__cut(struct control *c, struct link *l, const char *slug, const char *text, bool forever)
{
    struct details d = { 0 };
    struct host *h = l->host;
    uint64_t id = l->id;
    link__drop(c, l); /* first: whoever hears the goodbye may report the end at once */
    say_goodbye(c, id, slug, text, 0, forever);
    event__host(c, "agent.disconnected", h, details_str(details_str(&d, "code", str_of(slug)), "reason", str_of(text)));
    presence__retune(c);
}

/* Everybody gets a slot of their own to come back in. */
void control_drain(struct control *c)
{
    enum { BACK_PER_S = 1000 };
    struct link *l, *next;
    uint64_t i = 0, n = HASH_COUNT(c->all_links);
    if (c->is_stopping)
        return;
    c->is_stopping = true;
    event_emit(c, "server.stopping", NULL, NULL);
    presence__stopping(c);
    HASH_ITER(hh, c->all_links, l, next)
    {
        uint64_t id = l->id;
        link__drop(c, l);
        say_goodbye(c, id, "server.stopping", "the server is stopping: come back in your own time slot",
                    USEC_PER_SEC + presence_reconnect_slot(i++, n, BACK_PER_S), false);
    }
}

/* -- how often agents speak */
static void tell_config(struct control *c, const struct link *l)
{
    const struct link_config config = {
        .heartbeat_ms = (uint32_t)(c->beat_every / USEC_PER_MS),
        .max_running_tasks = c->conf.max_running_tasks,
        .output_cap_bytes = c->conf.output_cap_bytes,
    };
    c->links->config(c->links->ctx, link__id(l), &config);
}

void link__tell_config(struct control *c)
{
    struct link *l, *next;
    HASH_ITER(hh, c->all_links, l, next)
    if (l->is_welcomed)
        tell_config(c, l);
}

usec_t presence_beat_every(const struct control *c)
{
    return c->beat_every;
}

/* The interval grows with the fleet; agents hear of it when it has moved by a fifth. */
void presence__retune(struct control *c)
{
    usec_t every = presence_interval(c->conf.heartbeat, HASH_COUNT(c->all_links), c->conf.beats_per_s);
    usec_t moved = every > c->beat_every ? every - c->beat_every : c->beat_every - every;
    if (moved * 5 <= c->beat_every)
        return;
    c->beat_every = every;
    c->rules = presence_rules_for(every);
    link__tell_config(c);
}
