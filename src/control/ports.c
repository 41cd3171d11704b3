/* control/ports.c - free ports of a host: the question, whatever carries it, and its answer. Loop thread.
 *
 *   ports_ask() ── ways[] ── link whose agent scans ──────── ports_link_answer()
 *                         ── waits to be fetched ────┐
 *                         ── puller of its dialect ──┴────── ports_answered()
 *                         ── link, for its refusal ───────── ports_link_answer()
 *
 * A question changes nothing here: it is not stored and need not wait for the disk; the audit row of it does. Nothing is searched
 * through: questions run out in the order they came, long polls by the heap of timers, and pollers are swept from the one that was
 * silent longest. */
#include "control/accent.h"
#include "control/noun.h"

enum {
    QUESTIONS_MAX = 1000,
    WAITS_MAX = 20000,
    POLLERS_MAX = 500000,
    PULLERS_MAX = 8,
    ANSWER_WITHIN_S = 35,
    REACHABLE_FOR_S = 90,
    FETCH_AGAIN_S = 5,  /* fetched and not answered: the answer or the fetch got lost. A scan by bind() takes less */
    SWEEP_STEP = 64,    /* pollers looked at in a tick */
};

/* Of one host: who may fetch, and what there is to fetch. */
struct poller {
    uint64_t host_id;
    usec_t at;               /* mono: reachable until a while later */
    struct wait *waits;      /* oldest first */
    struct question *asked;  /* likewise */
    UT_hash_handle hh;       /* in order of the last poll */
};
struct question {
    uint64_t id, host_id, link_id; /* link 0: fetched or pulled */
    struct ports_wish wish;
    char owner[LIMIT_NAME + 1];
    usec_t until, fetched; /* mono */
    struct principal p;
    char uuid[37];
    struct poller *poller; /* in whose list it is; NULL: carried by a link or a puller */
    ports_fn done;
    void *ctx;
    struct question *prev, *next; /* of poller->asked */
    struct question *fetched_prev, *fetched_next; /* of book->fetched, while .fetched is set */
    UT_hash_handle hh;            /* by id; in order of addition, which is that of until */
};
struct wait {
    uint64_t id;
    struct poller *poller;
    struct timer timer;
    void (*wake)(void *ctx);
    void *ctx;
    struct wait *prev, *next; /* of poller->waits */
    UT_hash_handle hh;
};
struct puller {
    const char *dialect;
    ports_pull_fn fn;
    void *ctx;
};
struct ports_book {
    struct question *questions;
    struct question *fetched; /* and not answered, the one that waits longest first */
    uint64_t next_id, next_wait;
    struct wait *waits;
    struct poller *pollers;
    struct puller pullers[PULLERS_MAX];
};

static struct ports_book *book(const struct control *c)
{
    return c->noun[NOUN_PORTS];
}

/* Nobody has it. */
static void set_open(struct ports_book *b, struct question *q)
{
    if (!q->fetched)
        return;
    DL_DELETE2(b->fetched, q, fetched_prev, fetched_next);
    q->fetched = 0;
}

static void set_fetched(struct ports_book *b, struct question *q, usec_t now)
{
    set_open(b, q);
    q->fetched = now;
    DL_APPEND2(b->fetched, q, fetched_prev, fetched_next);
}

/* -- the end of a question */
static void end(struct control *c, struct question *q, int result, const struct err *err, const struct ports_answer *a)
{
    struct details d = { 0 };
    const char *slug = err ? err->slug : NULL;
    char slug_text[ERR_SLUG_MAX];
    HASH_DEL(book(c)->questions, q);
    set_open(book(c), q);
    if (q->poller)
        DL_DELETE(q->poller->asked, q);
    if (a && a->error.slug.len) {
        (void)str_copy(str_sub(a->error.slug, 0, sizeof(slug_text) - 1), slug_text, sizeof(slug_text));
        slug = slug_text;
    }
    details_u64(details_u64(&d, "count", q->wish.count), "ttl_seconds", q->wish.ttl_seconds);
    details_str(&d, "owner", q->wish.owner);
    if (a && !slug && a->n)
        details_str(details_u64(details_u64(&d, "first", a->ports[0]), "last", a->ports[a->n - 1]), "lease", str_sub(a->lease, 0, 64));
    audit_emit(c, &q->p, NULL, VERB_PORTS, str_of(q->uuid), slug ? "failed" : "ok", slug, &d.list);
    q->done(q->ctx, result, err, a);
    free(q);
}

static void fail(struct control *c, struct question *q, int r, const char *slug, const char *text)
{
    struct err err = { 0 };
    err_set(&err, r, slug, "%s", text);
    end(c, q, r, &err, NULL);
}

/* -- pollers and waits */
static struct poller *poller_of(const struct control *c, uint64_t host_id)
{
    struct poller *p;
    HASH_FIND(hh, book(c)->pollers, &host_id, sizeof(host_id), p);
    return p;
}

/* To the end of the line. */
static void poller_touch(struct ports_book *b, struct poller *p)
{
    HASH_DEL(b->pollers, p);
    HASH_ADD(hh, b->pollers, host_id, sizeof(p->host_id), p);
}

/* Pollers from the one that was silent longest, at most so many: those of before @until go, unless something still waits for them. */
static void sweep_pollers(struct ports_book *b, usec_t until)
{
    for (int i = 0; i < SWEEP_STEP && b->pollers; i++) {
        struct poller *p = b->pollers;
        if (p->at > until)
            return;
        if (p->waits || p->asked) {
            poller_touch(b, p);
        } else {
            HASH_DEL(b->pollers, p);
            free(p);
        }
    }
}

static struct poller *note_poll(struct control *c, uint64_t host_id, usec_t at)
{
    struct ports_book *b = book(c);
    struct poller *p = poller_of(c, host_id);
    if (p) {
        p->at = at > p->at ? at : p->at;
        poller_touch(b, p);
        return p;
    }
    if (HASH_COUNT(b->pollers) >= POLLERS_MAX)
        sweep_pollers(b, USEC_NEVER);
    p = xnew0(struct poller);
    *p = (struct poller){ .host_id = host_id, .at = at };
    HASH_ADD(hh, b->pollers, host_id, sizeof(p->host_id), p);
    return p;
}

static void wait_free(struct control *c, struct wait *w)
{
    timers_drop(&c->timers, &w->timer);
    HASH_DEL(book(c)->waits, w);
    DL_DELETE(w->poller->waits, w);
    free(w);
}

static void wake(struct control *c, struct wait *w)
{
    void (*fn)(void *ctx) = w->wake;
    void *ctx = w->ctx;
    wait_free(c, w);
    fn(ctx);
}

/* All polls of a host that is let in no more: its accent says so. Each callback may change the list. */
static void wake_all(struct control *c, uint64_t host_id)
{
    for (;;) {
        struct poller *p = poller_of(c, host_id);
        if (!p || !p->waits)
            return;
        wake(c, p->waits);
    }
}

void ports__wait_due(struct control *c, struct timer *t)
{
    wake(c, (struct wait *)((char *)t - offsetof(struct wait, timer)));
}

uint64_t ports_wait(struct control *c, uint64_t host_id, usec_t until, void (*wake_fn)(void *ctx), void *ctx)
{
    struct ports_book *b = book(c);
    usec_t now = control__mono(c), end_at = until + USEC_PER_DAY; /* control's own count is a day ahead */
    if (HASH_COUNT(b->waits) >= WAITS_MAX)
        end_at = now + USEC_PER_SEC;
    struct wait *w = xnew0(struct wait);
    *w = (struct wait){ .id = ++b->next_wait, .poller = note_poll(c, host_id, end_at > now ? end_at : now), .wake = wake_fn, .ctx = ctx };
    w->timer.kind = TIMER_WAIT;
    HASH_ADD(hh, b->waits, id, sizeof(w->id), w);
    DL_APPEND(w->poller->waits, w);
    timers_set(&c->timers, &w->timer, end_at);
    return w->id;
}

void ports_unwait(struct control *c, uint64_t wait_id)
{
    struct wait *w;
    HASH_FIND(hh, book(c)->waits, &wait_id, sizeof(wait_id), w);
    if (w)
        wait_free(c, w);
}

void ports_puller(struct control *c, const char *dialect, ports_pull_fn fn, void *ctx)
{
    for (size_t i = 0; i < PULLERS_MAX; i++) {
        struct puller *p = &book(c)->pullers[i];
        if (p->dialect && strcmp(p->dialect, dialect) != 0)
            continue;
        *p = (struct puller){ dialect, fn, ctx };
        return;
    }
    assert(!"more accents than pullers");
}

/* -- asking */
int ports__check_lease(const struct ports_wish *w, struct err *err)
{
    if (w->ttl_seconds > PORTS_TTL_MAX_S)
        return err_set(err, -EINVAL, "field.range", "ttl_seconds: must be at most %d", PORTS_TTL_MAX_S);
    if (w->hold && !w->ttl_seconds)
        return err_set(err, -EINVAL, "field.range", "hold: goes with ttl_seconds");
    return 0;
}

static int may_ask(struct control *c, const struct principal *p, struct str host, const struct ports_wish *w, struct host **ret,
                   struct err *err)
{
    int r = authz(c, p, VERB_PORTS, host, err);
    if (r < 0)
        return r;
    struct host *h = *ret = host__find(c, host, err);
    if (!h)
        r = -ENOENT;
    else if (h->state != HOST_APPROVED)
        r = err_set(err, -EACCES, h->state == HOST_PENDING ? "host.pending" : h->state == HOST_REVOKED ? "host.revoked" : "host.rejected",
                    "%s is %s: it is asked nothing", h->name, name_of(host_state_names, h->state));
    else if (!accent__can(h, CAN_PORTS))
        r = err_set(err, -EINVAL, "host.cannot", "%s is known through %s, which has no ports to give", h->name, h->dialect);
    else if (w->count < 1 || w->count > PORTS_MAX)
        r = err_set(err, -EINVAL, "ports.count", "count is 1 to %d", PORTS_MAX);
    else if (w->owner.len > LIMIT_NAME)
        r = err_set(err, -EINVAL, "field.too_long", "owner is at most %d bytes", LIMIT_NAME);
    else if ((r = ports__check_lease(w, err)) == 0 && HASH_COUNT(book(c)->questions) >= QUESTIONS_MAX)
        r = err_set(err, -EBUSY, "server.overloaded", "too many questions are open");
    return r < 0 ? audit__refused(c, p, VERB_PORTS, host, r, err) : 0;
}

/* -- the ways to a host, best first: each can, as far as is known, and carries; what it does not carry is the next one's */
static bool has_link(struct control *c, const struct host *h)
{
    (void)c;
    return h->link && h->link->is_welcomed;
}

static bool link_scans(struct control *c, const struct host *h)
{
    return has_link(c, h) && h->link->ports != OFFER_NO;
}

static bool has_polled(struct control *c, const struct host *h)
{
    const struct poller *p = poller_of(c, h->id);
    return p && control__mono(c) < p->at + REACHABLE_FOR_S * USEC_PER_SEC;
}

static bool has_puller(struct control *c, const struct host *h)
{
    char name[129];
    for (size_t i = 0; i < PULLERS_MAX; i++) {
        const struct puller *p = &book(c)->pullers[i];
        if (p->fn && accent_name_of(c, h->id, p->dialect, name))
            return true;
    }
    return false;
}

static bool ask_link(struct control *c, const struct host *h, struct question *q)
{
    q->link_id = h->link->id;
    if (c->links->ports_request(c->links->ctx, link__id(h->link), q->id, &q->wish) < 0)
        fail(c, q, -ENOTCONN, "host.offline", "the host went away");
    return true;
}

static bool ask_poller(struct control *c, const struct host *h, struct question *q)
{
    struct poller *p = poller_of(c, h->id);
    q->poller = p;
    DL_APPEND(p->asked, q);
    /* One of them fetches it, the others wait on: the newest, since an agent that was restarted may have left one nobody reads any more. */
    if (p->waits)
        wake(c, p->waits->prev); /* the list's last */
    return true;
}

/* The answer may have come when this returns. */
static bool ask_puller(struct control *c, const struct host *h, struct question *q)
{
    uint64_t id = q->id;
    for (size_t i = 0; i < PULLERS_MAX; i++) {
        const struct puller *p = &book(c)->pullers[i];
        char name[129];
        if (p->fn && accent_name_of(c, h->id, p->dialect, name) && p->fn(p->ctx, h->id, id, &q->wish))
            return true;
    }
    return false;
}

static const struct {
    enum ports_way way;
    bool (*can)(struct control *c, const struct host *h);
    bool (*carry)(struct control *c, const struct host *h, struct question *q);
} ways[] = {
    { PORTS_LINK, link_scans, ask_link },
    { PORTS_POLL, has_polled, ask_poller },
    { PORTS_DIAL, has_puller, ask_puller },
    { PORTS_LINK, has_link, ask_link }, /* it does not scan, and says so in its own words */
};

enum ports_way ports_way(struct control *c, uint64_t host_id, bool may_dial)
{
    const struct host *h = host__by_id(c, host_id);
    for (size_t i = 0; h && h->state == HOST_APPROVED && i < ARRAY_SIZE(ways); i++)
        if ((ways[i].way != PORTS_DIAL || may_dial) && ways[i].can(c, h))
            return ways[i].way;
    return PORTS_NO_WAY;
}

bool ports_reachable(struct control *c, uint64_t host_id)
{
    const struct host *h = host__by_id(c, host_id);
    return h && (link_scans(c, h) || has_polled(c, h));
}

void ports_ask(struct control *c, const struct principal *p, struct str host, const struct ports_wish *w, ports_fn done, void *ctx)
{
    struct err err = { 0 };
    struct host *h = NULL;
    int r = may_ask(c, p, host, w, &h, &err);
    if (r < 0) {
        done(ctx, r, &err, NULL);
        return;
    }
    struct question *q = xnew0(struct question);
    *q = (struct question){ .id = ++book(c)->next_id, .host_id = h->id, .wish = *w, .p = *p, .done = done, .ctx = ctx };
    q->until = control__mono(c) + ANSWER_WITHIN_S * USEC_PER_SEC;
    arena_reset(c->scratch);
    (void)str_copy(text__clean(c->scratch, w->owner, LIMIT_NAME), q->owner, sizeof(q->owner));
    q->wish.owner = str_of(q->owner);
    memcpy(q->uuid, h->uuid, sizeof(q->uuid));
    HASH_ADD(hh, book(c)->questions, id, sizeof(q->id), q);
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
        if (ways[i].can(c, h) && ways[i].carry(c, h, q))
            return; /* it may be over by now */
    fail(c, q, -ENOTCONN, "host.offline", "the host is not connected and fetches no questions");
}

/* -- answering */
/* Exactly what was asked for, or a refusal. */
static bool is_sound(const struct question *q, const struct ports_answer *a)
{
    if (a->error.slug.len)
        return true;
    if (a->n != q->wish.count)
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (a->ports[i] == 0)
            return false;
    return true;
}

static void answer(struct control *c, struct question *q, const struct ports_answer *a)
{
    static const struct ports_answer bad = { .error = { STR("ports.failed"), STR("the host's answer is not what was asked for") } };
    end(c, q, 0, NULL, is_sound(q, a) ? a : &bad);
}

static struct question *question_of(struct control *c, uint64_t id)
{
    struct question *q;
    HASH_FIND(hh, book(c)->questions, &id, sizeof(id), q);
    return q;
}

int ports_answered(struct control *c, uint64_t host_id, uint64_t request_id, const struct ports_answer *a)
{
    struct question *q = question_of(c, request_id);
    if (!q || q->host_id != host_id || q->link_id)
        return -ENOENT;
    answer(c, q, a);
    return 0;
}

void ports_link_answer(struct control *c, struct link_id link, uint64_t request_id, const struct ports_answer *a)
{
    struct question *q = question_of(c, request_id);
    if (q && q->link_id == link.v)
        answer(c, q, a);
}

void ports_waiting(struct control *c, uint64_t host_id, void (*fn)(void *ctx, uint64_t request_id, const struct ports_wish *w), void *ctx)
{
    struct question *q, *next;
    usec_t now = control__mono(c);
    struct poller *p = note_poll(c, host_id, now);
    DL_FOREACH_SAFE(p->asked, q, next)
    {
        if (q->fetched && now < q->fetched + FETCH_AGAIN_S * USEC_PER_SEC)
            continue;
        set_fetched(book(c), q, now);
        fn(ctx, q->id, &q->wish);
    }
}

/* -- the noun */
/* Callbacks may ask or answer: each round begins at the head. */
static void end_where(struct control *c, bool (*is_over)(const struct question *q, uint64_t what), uint64_t what, int r, const char *slug,
                      const char *text)
{
    for (bool any = true; any;) {
        struct question *q, *next;
        any = false;
        HASH_ITER(hh, book(c)->questions, q, next)
        if (is_over(q, what)) {
            fail(c, q, r, slug, text);
            any = true;
            break;
        }
    }
}

static bool is_of_link(const struct question *q, uint64_t link_id)
{
    return q->link_id == link_id;
}

static bool is_of_host(const struct question *q, uint64_t host_id)
{
    return q->host_id == host_id;
}

static bool is_any(const struct question *q, uint64_t what)
{
    (void)q;
    (void)what;
    return true;
}

void ports__link_gone(struct control *c, const struct link *l)
{
    if (book(c))
        end_where(c, is_of_link, l->id, -ENOTCONN, "host.offline", "the host went away");
}

/* Who fetched these may be gone, and the agent's next poll is held: that one has them now. */
static void offer_again(struct control *c, usec_t mono)
{
    struct ports_book *b = book(c);
    struct question *q;
    while ((q = b->fetched) && q->fetched + FETCH_AGAIN_S * USEC_PER_SEC <= mono) {
        set_open(b, q);
        if (q->poller->waits)
            wake(c, q->poller->waits->prev);
    }
}

static void tick(struct control *c, usec_t mono)
{
    struct ports_book *b = book(c);
    offer_again(c, mono);
    while (b->questions && b->questions->until <= mono)
        fail(c, b->questions, -ETIMEDOUT, "host.timeout", "the host did not answer within 35 s");
    if (mono > REACHABLE_FOR_S * USEC_PER_SEC)
        sweep_pollers(b, mono - REACHABLE_FOR_S * USEC_PER_SEC);
}

static void host_gone(struct control *c, uint64_t host_id)
{
    struct poller *p;
    end_where(c, is_of_host, host_id, -ENOENT, "host.unknown", "the host was forgotten");
    wake_all(c, host_id);
    p = poller_of(c, host_id);
    if (!p)
        return;
    HASH_DEL(book(c)->pollers, p);
    free(p);
}

static void host_decided(struct control *c, uint64_t host_id)
{
    const struct host *h = host__by_id(c, host_id);
    if (!h || h->state == HOST_APPROVED)
        return;
    end_where(c, is_of_host, host_id, -EACCES, "host.revoked", "an operator revoked this host");
    wake_all(c, host_id);
}

static int load(struct control *c, struct err *err)
{
    (void)err;
    c->noun[NOUN_PORTS] = xnew0(struct ports_book);
    return 0;
}

static void free_all(struct control *c)
{
    struct ports_book *b = book(c);
    struct wait *w, *w_next;
    struct poller *p, *p_next;
    if (!b)
        return;
    end_where(c, is_any, 0, -ECANCELED, "server.stopping", "the server is stopping");
    HASH_ITER(hh, b->waits, w, w_next)
    wait_free(c, w);
    HASH_ITER(hh, b->pollers, p, p_next)
    {
        HASH_DEL(b->pollers, p);
        free(p);
    }
    free(b);
    c->noun[NOUN_PORTS] = NULL;
}

const struct noun noun_ports = {
    .name = "ports",
    .load = load,
    .free = free_all,
    .tick = tick,
    .host_gone = host_gone,
    .host_decided = host_decided,
};
