/* agent/ports.c - scans and allocations in turns on one pool thread; leases are in ports_leases.c. See ports.h. Loop thread, but for the
 * two functions that say otherwise.
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

enum { ASKS_MAX = 64 };

struct ask {
    struct ask *next;
    struct ports_wish wish;
    char owner[LIMIT_NAME + 1];
    struct err refusal;    /* one that needs no look */
    void (*done)(void *ctx, const struct ports_answer *a);
    void *ctx;
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

static void next_turn(struct ports *p);

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
    char text[ERR_TEXT_MAX] = "", id[sizeof(p->leases.v->pub.id)];
    const struct lease *l;
    struct err err = { 0 };

    if (j->r < 0) {
        a.error.slug = STR("ports.failed");
        (void)snprintf(text, sizeof(text), "%s", j->err.text);
    } else if (j->n_found < w->count) {
        a.error.slug = STR("ports.too_few");
        (void)snprintf(text, sizeof(text), "%u free ports found, %u asked for", j->n_found, w->count);
    } else if (w->ttl_seconds) {
        const struct port_lease wanted = { .owner = j->ask->owner, .ports = j->found, .n = j->n_found, .is_held = w->hold };

        l = leases__make(p, &wanted, w->ttl_seconds * USEC_PER_SEC, j->fds, &err);
        if (l) {
            memcpy(id, l->pub.id, sizeof(id));
            a.lease = str_of(id);
            a.expires_at = l->pub.expires_at;
        } else {
            a.error.slug = STR("ports.failed");
            (void)snprintf(text, sizeof(text), "%s", err.text);
        }
    }
    if (a.error.slug.len) {
        for (uint32_t i = 0; w->hold && i < j->n_found; i++)
            fd_close(&j->fds[i]);
        a.error.text = str_of(text);
        a.n = 0;
    } else {
        memcpy(a.ports, j->found, a.n * sizeof(a.ports[0]));
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
    free((void *)(uintptr_t)p->conf.lease_file);
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
    leases__met(p, j->bitmap);
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
            leases__met(p, j->met);
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
    leases__expire(p);
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
        struct ports_answer no = { .error = { str_of(a->refusal.slug), str_of(a->refusal.text) } };

        p->refused = a->next;
        if (p->refused)
            timer_start(p->refusals, 0, 0); /* one at a time: whom we tell may free @p */
        a->done(a->ctx, &no);
        free(a);
        return;
    }
}

int ports_wish_check(const struct ports_wish *w, uint32_t max_count, struct err *err)
{
    if (w->count < 1 || w->count > max_count)
        return err_set(err, -EINVAL, "ports.count", "count must be between 1 and %u", max_count);
    if (w->ttl_seconds > PORTS_TTL_MAX_S)
        return err_set(err, -EINVAL, "ports.failed", "ttl_seconds is at most %d", PORTS_TTL_MAX_S);
    if (w->hold && !w->ttl_seconds)
        return err_set(err, -EINVAL, "ports.failed", "hold needs ttl_seconds");
    return 0;
}

/* Is this wish refused without a look? */
static bool is_refused(const struct ports *p, const struct ports_wish *w, struct err *err)
{
    if (ports_wish_check(w, p->conf.max_count, err) == 0 && p->n_asks >= ASKS_MAX)
        (void)err_set(err, -EBUSY, "ports.failed", "too many questions at once");
    return err_is(err);
}

void ports_allocate(struct ports *p, const struct ports_wish *w, void (*done)(void *ctx, const struct ports_answer *a), void *ctx)
{
    struct ask *a = xnew0(struct ask);

    a->done = done;
    a->ctx = ctx;
    a->wish = *w;
    a->wish.owner = STR_NONE;
    (void)str_copy(str_sub(w->owner, 0, LIMIT_NAME), a->owner, sizeof(a->owner));
    if (is_refused(p, w, &a->refusal)) {
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
    p->conf.lease_file = conf->lease_file ? xstrdup(conf->lease_file) : NULL;
    if (!conf->clock)
        p->conf.clock = &clock_real;
    p->conf.sources = sources = xcalloc(conf->n_sources + 1, sizeof(*sources));
    for (size_t i = 0; i < conf->n_sources; i++)
        sources[i] = (struct port_source){ xstrdup(conf->sources[i].name), xstrdup(conf->sources[i].pattern) };
    p->tail = &p->asks;
    p->next_scan = timer_new(conf->loop, on_next_scan, p);
    p->expiry = timer_new(conf->loop, leases__on_expiry, p);
    p->refusals = timer_new(conf->loop, on_refusals, p);
    ports__sources(&p->conf, p->result.source, &p->result.n_sources);
    p->result.scan.first = conf->first;
    p->result.scan.last = conf->last;
    leases__load(p);
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
    leases__end_all(p);
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
