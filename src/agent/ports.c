/* agent/ports.c - scans and allocations in turns on one pool thread, and the leases. See ports.h. Loop thread, but for the two
 * functions that say otherwise.
 *
 *   ask ──┐                       ┌── look() ──┐ pool thread: reads p->conf (never changes) and the job
 *         ├── next_turn() ── job ─┤            ├── on_looked() ── result, leases, answer ── next_turn()
 *   timer ┘                       └── pick() ──┘ */
#include "agent/ports.h"

#include <assert.h>
#include <errno.h>

#include "agent/ports_priv.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/uuid.h"

enum { ASKS_MAX = 64, LEASES_MAX = 256, LEASED_PORTS_MAX = 4096, HELD_PORTS_MAX = 512, COUNT_DEFAULT = 100, TTL_MAX_S = 24 * 3600 };

struct ask {
    struct ask *next;
    struct ports_wish wish;
    char owner[LIMIT_NAME + 1];
    char refusal[64];      /* a refusal that needs no look */
    void (*done)(void *ctx, const struct ports_answer *a);
    void *ctx;
};

struct lease {
    struct port_lease pub; /* .ports is ours to free */
    char owner[LIMIT_NAME + 1];
    usec_t until;          /* monotonic */
    int *fds;              /* held; as many as ports */
};

/* What the pool thread works on. */
struct job {
    struct ports *p;
    struct ask *ask;       /* NULL: a scan */
    uint8_t *bitmap;       /* scan: used ports. allocation: ports not to give */
    uint8_t *met;          /* allocation: leased ports somebody has bound meanwhile; NULL: not looked */
    uint32_t used[PORT_SOURCES_MAX], n_used;
    usec_t took;
    uint16_t found[PORTS_MAX];
    int fds[PORTS_MAX];
    uint32_t n_found;
    int r;
    bool is_told;          /* the ask has its answer */
    struct err err;
};

struct ports {
    struct ports_conf conf; /* strings are ours */
    struct ports_result result;
    struct err trouble;
    struct job *job;        /* under way */
    bool is_scan_due, was_ask, is_freed;
    struct ask *asks, **tail, *refused;
    size_t n_asks;
    struct timer *next_scan, *expiry, *refusals;
    VEC(struct lease) leases;
    size_t n_held;
};

static void next_turn(struct ports *p);

/* -- leases */

static usec_t mono(const struct ports *p)
{
    return clock_mono(p->conf.clock);
}

static void lease_drop_port(struct ports *p, struct lease *l, uint32_t i)
{
    uint16_t *ports = (uint16_t *)(uintptr_t)l->pub.ports;

    if (l->fds) {
        fd_close(&l->fds[i]);
        memmove(l->fds + i, l->fds + i + 1, (l->pub.n - i - 1) * sizeof(*l->fds));
        p->n_held--;
    }
    memmove(ports + i, ports + i + 1, (l->pub.n - i - 1) * sizeof(*ports));
    l->pub.n--;
    p->result.scan.reserved--;
}

static void lease_end(struct ports *p, size_t at)
{
    struct lease *l = &p->leases.v[at];

    while (l->pub.n)
        lease_drop_port(p, l, l->pub.n - 1);
    free((void *)(uintptr_t)l->pub.ports);
    free(l->fds);
    vec_del(&p->leases, at);
}

static void leases_expire(struct ports *p)
{
    usec_t now = mono(p), next = USEC_NEVER;

    for (size_t i = p->leases.n; i > 0; i--) {
        if (p->leases.v[i - 1].until <= now)
            lease_end(p, i - 1);
        else if (p->leases.v[i - 1].until < next)
            next = p->leases.v[i - 1].until;
    }
    if (next == USEC_NEVER)
        timer_stop(p->expiry);
    else
        timer_start(p->expiry, next - now + USEC_PER_MS, 0);
}

static void on_expiry(void *ctx)
{
    leases_expire(ctx);
}

/* Somebody has bound a leased port: it is theirs, and no longer promised. */
static void leases_met(struct ports *p, const uint8_t *used)
{
    for (size_t i = p->leases.n; i > 0; i--) {
        struct lease *l = &p->leases.v[i - 1];

        for (uint32_t k = l->fds ? 0 : l->pub.n; k > 0; k--)
            if (ports__bit(used, l->pub.ports[k - 1] - p->conf.first))
                lease_drop_port(p, l, k - 1);
        if (l->pub.n == 0)
            lease_end(p, i - 1);
    }
}

/* The names of leases and their owners stay where they are when the vector grows; port_lease.owner points into its lease. */
static const struct lease *lease_make(struct ports *p, const struct job *j)
{
    struct lease *l = vec_add(&p->leases);
    struct uuid id = uuid_v7(clock_wall(p->conf.clock));
    usec_t ttl = j->ask->wish.ttl_seconds * USEC_PER_SEC;

    uuid_format(&id, l->pub.id);
    (void)str_copy(str_of(j->ask->owner), l->owner, sizeof(l->owner));
    l->pub.ports = xmemdup(j->found, j->n_found * sizeof(j->found[0]));
    l->pub.n = j->n_found;
    l->pub.expires_at = clock_wall(p->conf.clock) + ttl;
    l->until = mono(p) + ttl;
    if (j->ask->wish.hold) {
        l->pub.is_held = true;
        l->fds = xmemdup(j->fds, j->n_found * sizeof(j->fds[0]));
        p->n_held += j->n_found;
    }
    p->result.scan.reserved += j->n_found;
    return l;
}

void ports_leases(struct ports *p, void (*fn)(void *ctx, const struct port_lease *l), void *ctx)
{
    leases_expire(p);
    for (size_t i = 0; i < p->leases.n; i++) {
        struct port_lease l = p->leases.v[i].pub;

        l.owner = p->leases.v[i].owner;
        fn(ctx, &l);
    }
}

int ports_release(struct ports *p, struct str lease)
{
    leases_expire(p);
    for (size_t i = 0; i < p->leases.n; i++)
        if (str_is(lease, p->leases.v[i].pub.id)) {
            lease_end(p, i);
            leases_expire(p);
            return 0;
        }
    return -ENOENT;
}

/* -- a scan. Pool thread. */

static void classify(const struct ports_conf *c, const struct job *j, const struct diag *met, uint8_t *class)
{
    struct diag listening = { .first = c->first, .last = c->last };

    if (c->ss) {
        if (owners__classes_ss(c, j->bitmap, class) < 0)
            memset(class, PORT_CLASS_UNKNOWN, (size_t)(c->last - c->first) + 1);
        return;
    }
    /* without an answer all are unknown: what is used is known anyway */
    if (c->method != PORT_NETLINK && diag__run(c->root, &listening) < 0)
        listening.listeners.n = 0;
    owners__classes(c, j->bitmap, c->method == PORT_NETLINK ? met : &listening, class);
    vec_done(&listening.listeners);
}

static void look(void *ctx)
{
    struct job *j = ctx;
    const struct ports_conf *c = &j->p->conf;
    size_t n = (size_t)(c->last - c->first) + 1;
    AUTO_FREE uint8_t *class = xmalloc(n);
    struct diag d = { .first = c->first, .last = c->last, .used = j->bitmap };
    usec_t began = clock_mono(&clock_real);

    j->r = scan__run(c->method, c->root, &d, &j->err);
    if (j->r == 0)
        classify(c, j, &d, class);
    vec_done(&d.listeners);
    for (size_t i = 0; j->r == 0 && i < n; i++)
        if (ports__bit(j->bitmap, i)) {
            j->used[class[i]]++;
            j->n_used++;
        }
    j->took = clock_mono(&clock_real) - began;
}

/* -- an allocation. Pool thread. */

/* With netlink what is used need not be tried. */
static int narrow(struct job *j)
{
    const struct ports_conf *c = &j->p->conf;
    AUTO_FREE uint8_t *used = xcalloc(ports__bytes(c->first, c->last), 1);
    struct diag d = { .first = c->first, .last = c->last, .used = used };
    int r = scan__run(c->method, c->root, &d, &j->err);

    vec_done(&d.listeners);
    for (size_t i = 0; r == 0 && i < ports__bytes(c->first, c->last); i++)
        j->bitmap[i] |= used[i];
    return r;
}

static void pick(void *ctx)
{
    struct job *j = ctx;
    const struct ports_conf *c = &j->p->conf;
    const struct ports_wish *w = &j->ask->wish;
    struct probe probe = { .fd = -1, .reuse = c->method == PORT_BIND };

    /* leased ports somebody has taken meanwhile, where no scan looks */
    for (uint32_t port = c->first; j->met && j->r >= 0 && port <= c->last; port++)
        if (ports__bit(j->met, port - c->first)) {
            j->r = probe__try(&probe, (uint16_t)port, NULL);
            if (j->r == 1)
                j->met[(port - c->first) >> 3] &= (uint8_t)~(1u << ((port - c->first) & 7));
        }
    if (j->r >= 0)
        j->r = c->method == PORT_NETLINK ? narrow(j) : 0;
    for (uint32_t port = c->first; j->r >= 0 && port <= c->last && j->n_found < w->count; port++) {
        if (ports__bit(j->bitmap, port - c->first))
            continue;
        j->r = probe__try(&probe, (uint16_t)port, w->hold ? &j->fds[j->n_found] : NULL);
        if (j->r == 1)
            j->found[j->n_found++] = (uint16_t)port;
    }
    if (j->r < 0 && !err_is(&j->err))
        err_set(&j->err, j->r, "ports.failed", "no socket: %m");
    probe__done(&probe);
}

static void answer(struct ports *p, struct job *j)
{
    struct ports_answer a = { .n = j->n_found };
    const struct ports_wish *w = &j->ask->wish;
    bool is_full = p->leases.n >= LEASES_MAX || p->result.scan.reserved + w->count > LEASED_PORTS_MAX ||
                   (w->hold && p->n_held + w->count > HELD_PORTS_MAX);
    char text[ERR_TEXT_MAX] = "", id[sizeof(p->leases.v->pub.id)];

    if (j->r < 0) {
        a.error.slug = STR("ports.failed");
        (void)snprintf(text, sizeof(text), "%s", j->err.text);
    } else if (j->n_found < w->count) {
        a.error.slug = STR("ports.too_few");
        (void)snprintf(text, sizeof(text), "%u free ports found, %u asked for", j->n_found, w->count);
    } else if (w->ttl_seconds && is_full) {
        a.error.slug = STR("ports.failed");
        (void)snprintf(text, sizeof(text), "too many ports are reserved already");
    }
    if (a.error.slug.len) {
        for (uint32_t i = 0; w->hold && i < j->n_found; i++)
            fd_close(&j->fds[i]);
        a.error.text = str_of(text);
        a.n = 0;
    } else {
        memcpy(a.ports, j->found, a.n * sizeof(a.ports[0]));
        if (w->ttl_seconds) {
            const struct lease *l = lease_make(p, j);

            memcpy(id, l->pub.id, sizeof(id));
            a.lease = str_of(id);
            a.expires_at = l->pub.expires_at;
            leases_expire(p);
        }
    }
    j->is_told = true;
    j->ask->done(j->ask->ctx, &a);
}

/* -- turns */

static void job_free(struct job *j)
{
    if (!j)
        return;
    free(j->ask);
    free(j->bitmap);
    free(j->met);
    free(j);
}

static void ports_destroy(struct ports *p)
{
    for (size_t i = 0; i < p->conf.n_sources; i++) {
        free((void *)(uintptr_t)p->conf.sources[i].name);
        free((void *)(uintptr_t)p->conf.sources[i].pattern);
    }
    free((void *)(uintptr_t)p->conf.sources);
    free((void *)(uintptr_t)p->conf.root);
    free((void *)(uintptr_t)p->conf.ss);
    free(p);
}

static void take_result(struct ports *p, const struct job *j)
{
    struct port_scan *s = &p->result.scan;

    if (j->r < 0) {
        p->trouble = j->err;
        return;
    }
    err_reset(&p->trouble);
    s->total = (uint32_t)(p->conf.last - p->conf.first) + 1;
    s->available = s->total - j->n_used;
    s->duration_us = (uint32_t)j->took;
    s->at = clock_wall(p->conf.clock);
    memcpy(p->result.used, j->used, sizeof(j->used));
    leases_met(p, j->bitmap);
}

static void on_looked(void *ctx)
{
    struct job *j = ctx;
    struct ports *p = j->p;

    if (p->is_freed) { /* nobody waits any more */
        for (uint32_t i = 0; j->ask && j->ask->wish.hold && i < j->n_found; i++)
            fd_close(&j->fds[i]);
    } else if (j->ask) {
        if (j->met && j->r >= 0)
            leases_met(p, j->met);
        answer(p, j);
    } else {
        take_result(p, j);
        if (p->conf.every)
            timer_start(p->next_scan, p->conf.every, 0);
        if (p->conf.scanned) /* last: it may free @p */
            p->conf.scanned(p->conf.ctx);
    }
    p->job = NULL; /* not before: whom we told may have freed @p */
    job_free(j);
    if (p->is_freed)
        ports_destroy(p);
    else
        next_turn(p);
}

static void begin(struct ports *p, struct ask *a)
{
    struct job *j = p->job = xnew0(struct job);
    size_t n = ports__bytes(p->conf.first, p->conf.last);

    j->p = p;
    j->ask = a;
    j->bitmap = xcalloc(n, 1);
    p->was_ask = a != NULL;
    leases_expire(p);
    if (!a) {
        p->is_scan_due = false;
        timer_stop(p->next_scan);
        loop_work(p->conf.loop, look, on_looked, j);
        return;
    }
    if (p->conf.every == 0 && p->leases.n)
        j->met = xcalloc(n, 1);
    for (size_t i = 0; i < p->leases.n; i++)
        for (uint32_t k = 0; k < p->leases.v[i].pub.n; k++) {
            size_t at = p->leases.v[i].pub.ports[k] - p->conf.first;

            ports__set(j->bitmap, at);
            if (j->met && !p->leases.v[i].fds)
                ports__set(j->met, at);
        }
    loop_work(p->conf.loop, pick, on_looked, j);
}

/* Neither keeps the other waiting for ever. */
static void next_turn(struct ports *p)
{
    struct ask *a = p->asks;

    if (p->job || p->is_freed)
        return;
    if (a && !(p->is_scan_due && p->was_ask)) {
        p->asks = a->next;
        if (!p->asks)
            p->tail = &p->asks;
        p->n_asks--;
        begin(p, a);
    } else if (p->is_scan_due) {
        begin(p, NULL);
    }
}

static void on_next_scan(void *ctx)
{
    ports_scan_now(ctx);
}

void ports_scan_now(struct ports *p)
{
    if (p->job && !p->job->ask)
        return;
    p->is_scan_due = true;
    next_turn(p);
}

static void on_refusals(void *ctx)
{
    struct ports *p = ctx;
    struct ask *a;

    while ((a = p->refused)) {
        struct ports_answer no = { .error = { STR("ports.failed"), str_of(a->refusal) } };

        p->refused = a->next;
        if (a->wish.count < 1 || a->wish.count > p->conf.max_count)
            no.error.slug = STR("ports.count");
        if (p->refused)
            timer_start(p->refusals, 0, 0); /* one at a time: whom we tell may free @p */
        a->done(a->ctx, &no);
        free(a);
        return;
    }
}

/* Why this wish is refused without a look, into @a. */
static bool is_refused(const struct ports *p, const struct ports_wish *w, struct ask *a)
{
    if (w->count < 1 || w->count > p->conf.max_count)
        (void)snprintf(a->refusal, sizeof(a->refusal), "count must be between 1 and %u", p->conf.max_count);
    else if (w->ttl_seconds > TTL_MAX_S)
        (void)snprintf(a->refusal, sizeof(a->refusal), "ttl_seconds is at most %d", TTL_MAX_S);
    else if (w->hold && !w->ttl_seconds)
        (void)snprintf(a->refusal, sizeof(a->refusal), "hold needs ttl_seconds");
    else if (p->n_asks >= ASKS_MAX)
        (void)snprintf(a->refusal, sizeof(a->refusal), "too many questions at once");
    return a->refusal[0] != '\0';
}

void ports_allocate(struct ports *p, const struct ports_wish *w, void (*done)(void *ctx, const struct ports_answer *a), void *ctx)
{
    struct ask *a = xnew0(struct ask);

    a->done = done;
    a->ctx = ctx;
    a->wish = *w;
    a->wish.owner = STR_NONE;
    (void)str_copy(str_sub(w->owner, 0, LIMIT_NAME), a->owner, sizeof(a->owner));
    if (is_refused(p, w, a)) {
        a->next = p->refused;
        p->refused = a;
        timer_start(p->refusals, 0, 0);
        return;
    }
    *p->tail = a;
    p->tail = &a->next;
    p->n_asks++;
    next_turn(p);
}

/* -- making and reading */

static int check(const struct ports_conf *conf, struct err *err)
{
    const char *names[PORT_SOURCES_MAX];
    size_t n;

    if (conf->first < 1 || conf->last < conf->first)
        return err_set(err, -EINVAL, "ports.range", "a range of ports begins at 1 or above and does not end before it begins");
    if (conf->max_count < 1 || conf->max_count > PORTS_MAX)
        return err_set(err, -EINVAL, "ports.count", "an allocation is of 1 to %d ports", PORTS_MAX);
    ports__sources(conf, names, &n);
    if (conf->n_sources > PORT_SOURCES_MAX || (n == PORT_SOURCES_MAX && conf->n_sources > PORT_SOURCES_MAX - PORT_SOURCES_FIXED))
        return err_set(err, -EINVAL, "ports.sources", "at most %d sources", PORT_SOURCES_MAX - PORT_SOURCES_FIXED);
    return 0;
}

int ports_new(const struct ports_conf *conf, struct ports **ret, struct err *err)
{
    struct port_source *sources;
    struct ports *p;
    int r = check(conf, err);

    if (r < 0)
        return r;
    p = xnew0(struct ports);
    p->conf = *conf;
    p->conf.root = xstrdup(conf->root ? conf->root : "");
    p->conf.ss = conf->ss ? xstrdup(conf->ss) : NULL;
    if (!conf->clock)
        p->conf.clock = &clock_real;
    p->conf.sources = sources = xcalloc(conf->n_sources + 1, sizeof(*sources));
    for (size_t i = 0; i < conf->n_sources; i++)
        sources[i] = (struct port_source){ xstrdup(conf->sources[i].name), xstrdup(conf->sources[i].pattern) };
    p->tail = &p->asks;
    p->next_scan = timer_new(conf->loop, on_next_scan, p);
    p->expiry = timer_new(conf->loop, on_expiry, p);
    p->refusals = timer_new(conf->loop, on_refusals, p);
    ports__sources(&p->conf, p->result.source, &p->result.n_sources);
    p->result.scan.first = conf->first;
    p->result.scan.last = conf->last;
    if (conf->every)
        ports_scan_now(p);
    *ret = p;
    return 0;
}

static void say_stopped(struct ask *a)
{
    struct ports_answer no = { .error = { STR("ports.failed"), STR("the port scan is being switched off") } };

    a->done(a->ctx, &no);
}

static void say_stopped_all(struct ask *a)
{
    while (a) {
        struct ask *next = a->next;

        say_stopped(a);
        free(a);
        a = next;
    }
}

void ports_free(struct ports *p)
{
    if (!p || p->is_freed)
        return;
    p->is_freed = true;
    if (p->job && p->job->ask && !p->job->is_told)
        say_stopped(p->job->ask);
    say_stopped_all(TAKE(p->asks));
    say_stopped_all(TAKE(p->refused));
    while (p->leases.n)
        lease_end(p, p->leases.n - 1);
    vec_done(&p->leases);
    timer_free(p->next_scan);
    timer_free(p->refusals);
    timer_free(p->expiry);
    if (!p->job) /* else the thread still reads it, and on_looked() ends it */
        ports_destroy(p);
}

const struct ports_result *ports_result(const struct ports *p)
{
    return &p->result;
}

const struct err *ports_trouble(const struct ports *p)
{
    return err_is(&p->trouble) ? &p->trouble : NULL;
}
