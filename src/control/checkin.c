/* control/checkin.c - how a host stays known: hello, heartbeats, numbered messages, renewal, gone. Loop
 * thread.
 *
 * A hello is decided at once and answered when it is durable: the newer link is the host's link from here on,
 * what leaves for it (welcome, then resync, cancels, offers) is parked in that order. */
#include "base/pki.h"

#include "control/noun.h"

/* -- claims */
static void flag_clone(struct control *c, struct host *h, struct str machine_id)
{
    struct details d = { 0 };
    if (h->clone_note)
        return;
    h->clone_note =
        xasprintf("the same key was used from two machines (machine ids %.*s... and %.*s...): a copied disk?",
                  STR_FMT(str_sub(h->claims->machine_id, 0, 12)), STR_FMT(str_sub(machine_id, 0, 12)));
    details_str(details_str(&d, "machine_id", machine_id), "recorded", h->claims->machine_id);
    event__host(c, "host.clone_suspected", h, &d);
    log_warn("host.clone_suspected", "one key from two machines", LOG_CSTR("host", h->name));
}

bool host__take_claims(struct control *c, struct host *h, const struct host_claims *claims)
{
    struct host_claims *fresh = claims__pack(c, claims);
    if (claims__eq(fresh, h->claims)) {
        claims__free(c, fresh);
        return false;
    }
    if (enroll_is_clone(h->claims->machine_id, fresh->machine_id))
        flag_clone(c, h, fresh->machine_id);
    claims__free(c, h->claims);
    h->claims = fresh;
    return true;
}

/* -- hello */
struct welcome {
    uint64_t link_id, acked_seq;
    size_t n_tasks;
    struct task_resume tasks[];
};

static void send_welcome(struct control *c, void *arg)
{
    struct welcome *w = arg;
    struct link *l = c ? link__find(c, (struct link_id){ w->link_id }) : NULL;
    if (l) {
        const struct link_welcome msg = {
            .host_uuid = l->host->uuid,
            .generation = l->generation,
            .acked_seq = w->acked_seq,
            .config = { (uint32_t)(c->beat_every / USEC_PER_MS), c->conf.max_running_tasks,
                        c->conf.output_cap_bytes },
            .server_time = control__wall(c),
            .tasks = w->tasks,
            .n_tasks = w->n_tasks,
        };
        if (c->links->welcome(c->links->ctx, link__id(l), &msg) >= 0) {
            l->is_welcomed = true;
            command__send_waiting(c, l->host);
            command__offer_host(c, l->host);
        }
    }
    free(w);
}

/* What the agent has in hand against what we think it has. Whatever it does not have and had accepted is
 * lost; whatever was only offered goes out again. */
static struct welcome *resolve_tasks(struct control *c, struct host *h, const struct hello *hello)
{
    struct task *t, *next;
    struct welcome *w = xcalloc(1, sizeof(*w) + hello->n_tasks * sizeof(w->tasks[0]));
    for (size_t i = 0; i < hello->n_tasks; i++) {
        struct task_resume *r = &w->tasks[w->n_tasks++];
        r->task_id = hello->tasks[i].task_id;
        t = task__find(c, r->task_id);
        if (!t || t->host != h || task__is_fetched(t))
            continue; /* not known: the agent ends and forgets it */
        r->known = true;
        r->done = t->state == TASK_DONE;
        r->stdout_offset = t->taken[0];
        r->stderr_offset = t->taken[1];
        if (r->done)
            continue;
        t->flags |= TASK_F_IN_HAND;
        task__input(c, t, TASK_IN_ACCEPTED, NULL);
    }
    DL_FOREACH_SAFE(h->tasks, t, next)
    {
        if (t->flags & TASK_F_IN_HAND)
            t->flags &= (uint8_t)~TASK_F_IN_HAND;
        else if (!task__is_fetched(t))
            task__input(c, t, TASK_IN_UNKNOWN, "the host came back without it");
    }
    return w;
}

static int may_connect(struct control *c, const struct principal *p, struct link_id link, struct host **ret,
                       struct err *err)
{
    usec_t wait = 0;
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    if (link.v == 0 || link__find(c, link))
        return err_set(err, -EPROTO, "request.bad", "a link says hello once");
    if (!bucket_take(&c->connect_bucket, &c->conf.admission.connect, control__mono(c), 1, &wait))
        return err_set(err, -EBUSY, "rate.limited", "too many hosts connect at once");
    struct host *h = host__by_id(c, p->host_id);
    if (!h || p->kind != PRINCIPAL_HOST)
        return err_set(err, -EACCES, "host.unknown", "this host is not known here (any more)");
    if (h->state != HOST_APPROVED)
        return err_set(err, -EACCES, h->state == HOST_REVOKED ? "host.revoked" : "host.rejected",
                       "this host is %s", name_of(host_state_names, h->state));
    if (!bucket_take(&h->hellos, &c->conf.admission.connect_host, control__mono(c), 1, &wait))
        return err_set(err, -EBUSY, "rate.limited", "%s connects too often", h->name);
    *ret = h;
    return 0;
}

static struct link *link_new(struct control *c, struct host *h, struct link_id id)
{
    struct link *l = xnew0(struct link);
    usec_t wall = control__wall(c);
    /* Grows over restarts too. */
    c->generation = wall > c->generation ? wall : c->generation + 1;
    *l = (struct link){ .id = id.v, .host = h, .generation = c->generation, .since = wall };
    l->timer.kind = TIMER_LINK;
    HASH_ADD(hh, c->all_links, id, sizeof(l->id), l);
    h->link = l;
    return l;
}

int checkin_hello(struct control *c, const struct principal *host, struct link_id link,
                  const struct hello *hello, struct err *err)
{
    struct host *h = NULL;
    struct details d = { 0 };
    int r = may_connect(c, host, link, &h, err);
    if (r < 0)
        return r;

    bool is_replacing = h->link != NULL;
    if (is_replacing)
        link__cut(c, h->link, "link.replaced", "a newer connection of this host took over", false);
    c->stats.reconnects += h->last_seen != 0;
    struct link *l = link_new(c, h, link);
    l->ports = (uint8_t)hello->ports;
    if (h->spool_epoch != hello->spool_epoch) {
        h->spool_epoch = hello->spool_epoch;
        h->acked_seq = 0;
    }
    if (hello->peer_addr && (!h->peer || strcmp(h->peer, hello->peer_addr) != 0)) {
        free(h->peer);
        h->peer = xstrdup(hello->peer_addr);
    }
    if (host__take_claims(c, h, &hello->claims))
        host__put(c, h);

    struct welcome *w = resolve_tasks(c, h, hello);
    w->link_id = l->id;
    w->acked_seq = h->acked_seq;
    details_str(details_str(&d, "peer", str_of(h->peer)), "version", h->claims->agent_version);
    event__host(c, "agent.connected", h, &d);
    presence__seen(c, h);
    host__timer(c, h);
    host__seen_dirty(c, h);
    commit_after(c, send_welcome, w);
    inventory__hello(c, l, hello->sections, hello->n_sections);
    presence__retune(c);
    return 0;
}

/* -- presence */
static void tell_presence(struct control *c, struct host *h, enum presence was)
{
    struct details d = { 0 };
    char since[CLOCK_TEXT_MAX];
    details_str(&d, "was", str_of(name_of(presence_names, (int)was)));
    switch ((enum presence)h->presence) {
    case PRESENCE_NEVER:
        return;
    case PRESENCE_ONLINE:
        event__host(c, "host.online", h, &d);
        return;
    case PRESENCE_LATE:
    case PRESENCE_LOST:
        clock_format(h->last_seen, 0, since);
        event__host(c, h->presence == PRESENCE_LATE ? "host.late" : "host.lost", h,
                    details_str(&d, "last_seen", str_of(since)));
        return;
    }
}

/* A link beats as we tell it to; who has only an accent comes when it likes. */
static struct presence_rules rules_of(const struct control *c, const struct host *h)
{
    struct presence_rules own;
    return !h->link && accent__rules(h, &own) ? own : c->rules;
}

/* -- left or lost, over a restart of the server too */
struct host_away {
    usec_t at;
};
static const struct field host_away_fields[] = {
    F_TIME(struct host_away, at, "at"),
};
static const struct record host_away_record = RECORD(host_away, host_away_fields);

static void keep(struct control *c, const struct host *h, bool *is_kept, enum object_kind kind)
{
    const struct host_away away = { .at = control__wall(c) };
    if (!*is_kept)
        store_put_object(c->store, kind, h->id, 0, &host_away_record, &away);
    *is_kept = true;
}

static void unkeep(struct control *c, const struct host *h, bool *is_kept, enum object_kind kind)
{
    if (*is_kept)
        store_del_object(c->store, kind, h->id);
    *is_kept = false;
}

void presence__back(struct control *c, struct host *h)
{
    unkeep(c, h, &h->has_left, OBJECT_HOST_LEFT);
    unkeep(c, h, &h->is_lost_kept, OBJECT_HOST_LOST);
}

static void load_left(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    struct host *h = host__by_id(ctx, id);
    (void)parent, (void)obj;
    if (h)
        h->has_left = true;
}

static void load_lost(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    struct host *h = host__by_id(ctx, id);
    (void)parent, (void)obj;
    if (h)
        h->is_lost_kept = true;
}

#define STOPPED_AT "stopped_at" /* wall, of the last clean stop */

int presence__load(struct control *c, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF(32);
    int r = store_load_objects(c->store, OBJECT_HOST_LEFT, &host_away_record, load_left, c, err);
    if (r == 0)
        r = store_load_objects(c->store, OBJECT_HOST_LOST, &host_away_record, load_lost, c, err);
    if (r == 0 && (r = store_load_meta(c->store, STOPPED_AT, &text, err)) > 0)
        (void)str_to_u64(buf_as_str(&text), &c->woke.newest);
    return r < 0 ? r : 0;
}

/* A fleet of one or two hosts that went silent long before does not say when the server stopped. */
void presence__stopping(struct control *c)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)control__wall(c));
    store_put_meta(c->store, STOPPED_AT, str_of(text));
}

/* Its agent's leave counts only for a host that nobody else speaks for. */
static bool has_left(const struct host *h)
{
    return h->has_left && !h->accent;
}

void presence__judge(struct control *c, struct host *h)
{
    usec_t now = control__mono(c);
    const struct presence_rules rules = rules_of(c, h);
    enum presence was = (enum presence)h->presence,
                  is = has_left(h) ? PRESENCE_LOST : presence_at(&rules, h->seen_mono, h->link != NULL, now);
    if (is == PRESENCE_LOST && now < h->grace_mono)
        is = PRESENCE_LATE;
    if (is == was)
        return;
    h->presence = (uint8_t)is;
    tell_presence(c, h, was);
    if (is != PRESENCE_LOST)
        unkeep(c, h, &h->is_lost_kept, OBJECT_HOST_LOST);
    else if (!has_left(h)) /* that says as much */
        keep(c, h, &h->is_lost_kept, OBJECT_HOST_LOST);
    if (h->accent && store_health(c->store, NULL) == 0)
        host__seen_dirty(c, h);
}

/* Cheap: this runs for every byte of every agent. A timer that is armed too early looks again by itself. */
void presence__seen(struct control *c, struct host *h)
{
    h->seen_mono = control__mono(c);
    h->last_seen = control__wall(c);
    h->grace_mono = 0;
    presence__back(c, h);
    if (h->presence != PRESENCE_ONLINE) {
        presence__judge(c, h);
        host__timer(c, h);
    }
}

void host__timer(struct control *c, struct host *h)
{
    enum { SAVE_EVERY_S = 30, TELL_CHANGES_S = 60 };
    usec_t now = control__mono(c), at;
    if (h->state == HOST_PENDING) {
        timers_set(&c->timers, &h->timer, control__mono_at(c, accent__asked_at(h) + c->conf.pending_ttl));
        return;
    }
    const struct presence_rules rules = rules_of(c, h);
    at = has_left(h) ? USEC_NEVER : presence_next(&rules, h->seen_mono, h->link != NULL, now);
    if (h->grace_mono > now && (at == USEC_NEVER || at < h->grace_mono))
        at = h->grace_mono;
    bool has_news = h->link || (h->accent && h->seen_mono > h->saved_mono);
    if (has_news && h->saved_mono + SAVE_EVERY_S * USEC_PER_SEC < at)
        at = h->saved_mono + SAVE_EVERY_S * USEC_PER_SEC;
    if (h->changed_mask && h->changed_mono + TELL_CHANGES_S * USEC_PER_SEC < at)
        at = h->changed_mono + TELL_CHANGES_S * USEC_PER_SEC;
    if (at != USEC_NEVER && at <= now)
        at = now + USEC_PER_MS; /* never a busy loop */
    timers_set(&c->timers, &h->timer, at);
}

/* -- at start. When the last server stopped is told by its last clean stop or the newest sighting of all: time that there was none counts for nobody. Who was lost
 * is lost, and no event says so again.
 *
 * Who came by a link has to come back in: it is late meanwhile, but lost if it was then. Who has an accent goes on where it stood, as it
 * does when its link ends; with an agent of ours beside it, that one's grace to come back keeps it from being lost. */
static void wake(struct control *c, struct host *h, usec_t now)
{
    enum { RESTART_GRACE_S = 90, SAVED_EVERY_S = 60 };
    const struct presence_rules rules = rules_of(c, h);
    const usec_t heard = presence__heard(c, h->last_seen, SAVED_EVERY_S * USEC_PER_SEC);
    usec_t age = c->woke.at > heard ? c->woke.at - heard : 0;
    h->saved_mono = now;
    if (h->last_seen == 0) {
        h->presence = PRESENCE_NEVER;
        return;
    }
    if (h->is_lost_kept && age < rules.lost_after)
        age = rules.lost_after;
    if (h->accent) {
        h->seen_mono = age < now ? now - age : 1;
        h->presence = (uint8_t)presence_at(&rules, h->seen_mono, false, now);
    } else if (has_left(h) || h->is_lost_kept || age > c->rules.lost_after) {
        h->seen_mono = 1;
        h->presence = PRESENCE_LOST;
    } else {
        h->seen_mono = now - rules.late_after;
        h->presence = PRESENCE_LATE;
    }
    if (h->presence != PRESENCE_LOST && (!h->accent || (h->cert_serial && !h->has_left)))
        h->grace_mono = now + RESTART_GRACE_S * USEC_PER_SEC;
}

usec_t presence__heard(const struct control *c, usec_t last_seen, usec_t unsaved)
{
    return presence_over_restart(last_seen, unsaved, c->woke.newest, c->woke.at);
}

void presence__wake(struct control *c)
{
    for (size_t i = 0; i < c->hosts.n; i++)
        if (c->hosts.v[i]->last_seen > c->woke.newest)
            c->woke.newest = c->hosts.v[i]->last_seen;
    c->woke.at = control__wall(c);
    for (size_t i = 0; i < c->hosts.n; i++) {
        wake(c, c->hosts.v[i], control__mono(c));
        host__timer(c, c->hosts.v[i]);
    }
}

void checkin_alive(struct control *c, struct link_id link)
{
    struct link *l = link__find(c, link);
    if (l)
        presence__seen(c, l->host);
}

void checkin_beat(struct control *c, struct link_id link, const struct heartbeat *b)
{
    struct link *l = link__find(c, link);
    if (!l)
        return;
    l->host->beat = heartbeat_checked(b);
    if (b->ports != OFFER_UNSAID)
        l->ports = b->ports;
    l->host->has_beat = true;
    presence__seen(c, l->host);
    l->host->last_beat = l->host->last_seen;
    c->stats.heartbeats++;
}

void checkin_roles(struct control *c, struct link_id link, const struct role_health *v, size_t n)
{
    enum { NAME = 32, MESSAGE = 160 };
    AUTO(buf_done) struct buf b = BUF(LIMIT_ROLE_HEALTH_BYTES);
    struct link *l = link__find(c, link);
    if (!l)
        return;
    arena_reset(c->scratch);
    for (size_t i = 0; i < n; i++)
        (void)role_health_add(&b, &(struct role_health){ text__clean(c->scratch, v[i].name, NAME), v[i].status,
                                                         text__clean(c->scratch, v[i].message, MESSAGE) });
    if (str_eq(buf_as_str(&b), str_of(l->host->roles)))
        return; /* as nearly always */
    intern__put(c, l->host->roles);
    l->host->roles = intern__get(c, buf_as_str(&b));
}

/* -- numbered messages */
static void charge(struct control *c, struct link *l, double messages)
{
    usec_t wait = bucket_charge(&l->messages, &c->conf.admission.checkin, control__mono(c), messages);
    if (wait)
        link__throttle(c, l, wait);
    if (store_is_behind(c->store))
        link__pause(c, l);
}

bool checkin_seq(struct control *c, struct link_id link, uint64_t seq)
{
    struct link *l = link__find(c, link);
    if (!l)
        return false;
    struct host *h = l->host;
    presence__seen(c, h);
    charge(c, l, 1);
    l->is_acking = true;
    host__seen_dirty(c, h);
    if (seq <= h->acked_seq)
        return false;
    h->acked_seq = seq;
    return true;
}

void checkin_agent_event(struct control *c, struct link_id link, struct str slug, struct str message,
                         usec_t at)
{
    char when[CLOCK_TEXT_MAX];
    struct details d = { 0 };
    struct link *l = link__find(c, link);
    if (!l)
        return;
    charge(c, l, 20); /* each is a row for ever */
    clock_format(at, 0, when);
    details_str(details_str(&d, "slug", str_sub(slug, 0, 128)), "message", str_sub(message, 0, 2048));
    event__host(c, "agent.event", l->host, details_str(&d, "agent_time", str_of(when)));
}

/* -- certificates */
struct renewal {
    uint64_t link_id;
    char *cert_pem;
    char error[160];
};

static void send_renewal(struct control *c, void *arg)
{
    struct renewal *r = arg;
    if (c)
        c->links->renewed(c->links->ctx, (struct link_id){ r->link_id }, r->cert_pem,
                          r->cert_pem ? c->ca_pem : NULL, r->cert_pem ? NULL : r->error);
    free(r->cert_pem);
    free(r);
}

void checkin_renew(struct control *c, struct link_id link, struct str csr_pem)
{
    uint8_t key[SHA256_LEN];
    struct err err = { 0 };
    struct details d = { 0 };
    char who[160];
    struct link *l = link__find(c, link);
    if (!l)
        return;
    struct host *h = l->host;
    struct renewal *rn = xnew0(struct renewal);
    rn->link_id = link.v;
    charge(c, l, 100);
    int r = pki_csr_check(csr_pem, key, &err);
    if (r == 0 && memcmp(key, h->fingerprint, SHA256_LEN) != 0)
        r = err_set(&err, -EINVAL, "csr.bad", "a renewal is for the same key: a new key must enrol");
    if (r == 0)
        r = cert__issue(c, h, csr_pem, &rn->cert_pem, &err);
    snprintf(who, sizeof(who), "host:%s", h->name);
    if (r < 0) {
        snprintf(rn->error, sizeof(rn->error), "%.40s: %.110s", err.slug, err.text);
        audit__row(c, who, h->peer, "host.renew", str_of(h->uuid), "failed", err.slug,
                   details_str(&d, "why", str_of(err.text)));
    } else {
        audit__row(c, who, h->peer, "host.renew", str_of(h->uuid), "ok", NULL,
                   details_str(&d, "serial", str_of(h->cert_serial)));
        event__host(c, "host.certificate_renewed", h, &d);
    }
    commit_after(c, send_renewal, rn);
}

/* -- gone */
void checkin_leave(struct control *c, struct link_id link)
{
    struct link *l = link__find(c, link);
    if (l)
        l->is_leaving = true;
}

void checkin_gone(struct control *c, struct link_id link, const char *code, const char *reason)
{
    struct details d = { 0 };
    struct link *l = link__find(c, link);
    if (!l)
        return;
    struct host *h = l->host;
    if (l->is_leaving) {
        code = "agent.stopped";
        reason = "the agent was stopped";
        keep(c, h, &h->has_left, OBJECT_HOST_LEFT);
    }
    link__drop(c, l);
    event__host(c, "agent.disconnected", h, details_str(details_str(&d, "code", str_of(code)), "reason", str_of(reason)));
    presence__judge(c, h);
    host__timer(c, h);
    presence__retune(c);
}
