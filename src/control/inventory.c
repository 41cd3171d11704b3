/* control/inventory.c - what hosts report of themselves. Loop thread.
 *
 * In memory is only the digest of each section as recorded: enough to judge a delta. Rows go to the store as
 * they come; it folds them and writes the history. */
#include "control/noun.h"
#include "control/tell.h"
#include "fleet/inventory.h"

enum { ASKS_MAX = 1000, ASK_TIMEOUT_S = 10, BODY_OVERHEAD = 16 };

_Static_assert(SECTION_ALL <= 32, "sections are bits of a mask");

static struct section_mark *mark_of(const struct host *h, uint8_t section)
{
    for (uint8_t i = 0; i < h->n_sections; i++)
        if (h->sections[i].section == section)
            return &h->sections[i];
    return NULL;
}

static bool is_digest(const struct section_mark *m, const struct fact_digest *d)
{
    return m && memcmp(m->digest, d->b, MARK_LEN) == 0;
}

static void set_mark(struct host *h, uint8_t section, enum section_status status,
                     const struct fact_digest *digest)
{
    struct section_mark *m = mark_of(h, section);
    if (!m) {
        h->sections = xreallocarray(h->sections, (size_t)h->n_sections + 1, sizeof(*h->sections));
        m = &h->sections[h->n_sections++];
        m->section = section;
    }
    m->status = (uint8_t)status;
    memcpy(m->digest, digest->b, MARK_LEN);
}

/* What our own agent tells by itself. */
static bool is_an_agents(int section)
{
    return section >= 0 && section < SECTION_N && section != SECTION_CONNECTIONS; /* connections come by question only */
}

/* -- start */
static void load_one(void *ctx, const struct fact_head *head)
{
    struct control *c = ctx;
    struct host *h = host__by_id(c, head->host_id);
    int section = name_value(section_names, head->section);
    if (h && section >= 0)
        set_mark(h, (uint8_t)section, head->status, &head->digest);
}

int inventory__load(struct control *c, struct err *err)
{
    return store_load_fact_heads(c->store, load_one, c, err);
}

/* -- resync */
struct resync {
    uint64_t link_id;
    uint32_t sections;
};

static void send_resync(struct control *c, void *arg)
{
    struct resync *rs = arg;
    struct str names[SECTION_N];
    size_t n = 0;
    for (int i = 0; c && i < SECTION_N; i++)
        if (rs->sections & (1u << i))
            names[n++] = str_of(name_of(section_names, i));
    if (n)
        c->links->resync(c->links->ctx, (struct link_id){ rs->link_id }, names, n);
    free(rs);
}

/* Each section once, until it came in full: a burst of deltas that do not fit is one question. */
static void ask_resync(struct control *c, struct link *l, uint32_t sections)
{
    sections &= ~l->resync_asked;
    if (!sections)
        return;
    l->resync_asked |= sections;
    c->stats.inventory_resyncs += (unsigned)__builtin_popcount(sections);
    struct details d = { 0 };
    char names[256];
    size_t n = 0;
    for (int i = 0; i < SECTION_N && n < sizeof(names) - 32; i++)
        if (sections & (1u << i))
            n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", n ? " " : "",
                                  name_of(section_names, i));
    event__host(c, "inventory.resync", l->host, details_str(&d, "sections", str_of(names)));
    struct resync *rs = xnew0(struct resync);
    *rs = (struct resync){ l->id, sections };
    commit_after(c, send_resync, rs);
}

void inventory__hello(struct control *c, struct link *l, const struct section_delta *sections, size_t n)
{
    uint32_t differing = 0;
    for (size_t i = 0; i < n; i++) {
        int section = name_value(section_names, sections[i].name);
        const struct section_mark *m = section >= 0 ? mark_of(l->host, (uint8_t)section) : NULL;
        if (!is_an_agents(section))
            continue;
        if (!is_digest(m, &sections[i].digest))
            differing |= 1u << section;
    }
    ask_resync(c, l, differing);
}

/* The store found that what it has folded is not what the digest says. */
void inventory_drift(struct control *c, uint64_t host_id, struct str section)
{
    struct host *h = host__by_id(c, host_id);
    int s = name_value(section_names, section);
    if (!h || s < 0)
        return;
    log_warn("inventory.drift", "a folded section does not have its digest: asking for it in full",
             LOG_CSTR("host", h->name), LOG_STR("section", section));
    /* Forget what we believed: without a link now, the next hello differs and is asked. */
    struct fact_digest none;
    memset(&none, 0xff, sizeof(none));
    set_mark(h, (uint8_t)s, SECTION_FAILED, &none);
    if (h->link) {
        h->link->resync_asked &= ~(1u << s);
        ask_resync(c, h->link, 1u << s);
    }
}

/* -- deltas */
static void changed(struct control *c, struct host *h, int section)
{
    if (!h->changed_mask && control__mono(c) - h->changed_mono < USEC_PER_MIN) {
        h->changed_mask = 1u << section;
        host__timer(c, h); /* told together, at most once a minute */
        return;
    }
    h->changed_mask |= 1u << section;
    if (control__mono(c) - h->changed_mono >= USEC_PER_MIN)
        inventory__flush_changed(c, h);
}

void inventory__flush_changed(struct control *c, struct host *h)
{
    struct details d = { 0 };
    char names[256] = "";
    size_t n = 0;
    for (int i = 0; i < SECTION_ALL && n < sizeof(names) - 32; i++)
        if (h->changed_mask & (1u << i))
            n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", n ? " " : "",
                                  name_of(section_names, i));
    h->changed_mask = 0;
    h->changed_mono = control__mono(c);
    event__host(c, "inventory.changed", h, details_str(&d, "sections", str_of(names)));
}

static int take_full(struct control *c, struct fact_head *head, const struct section_delta *d)
{
    struct err err = { 0 };
    size_t size = BODY_OVERHEAD;
    if (d->n_rows > LIMIT_SECTION_ROWS)
        return -ENOBUFS;
    for (size_t i = 0; i < d->n_rows; i++)
        size += BODY_OVERHEAD + d->rows[i].key.len + d->rows[i].json.len;
    AUTO(buf_done) struct buf body = BUF(size);
    int r = body_make(d->rows, d->n_rows, &body, &err);
    if (r < 0) {
        log_warn("inventory.bad", "a section was refused", LOG_STR("section", head->section), LOG_ERR(&err));
        return r;
    }
    head->n_rows = d->n_rows;
    store_put_facts_full(c->store, head, buf_as_str(&body), false);
    return 0;
}

static int take_delta(struct control *c, const struct fact_head *head, const struct section_delta *d, bool is_blind)
{
    size_t size = BODY_OVERHEAD;
    if (d->n_rows > LIMIT_SECTION_ROWS || d->n_removed > LIMIT_SECTION_ROWS)
        return -ENOBUFS;
    for (size_t i = 0; i < d->n_rows; i++) {
        if (d->rows[i].key.len == 0 || d->rows[i].key.len + d->rows[i].json.len > LIMIT_ROW_BYTES)
            return -EINVAL;
        size += BODY_OVERHEAD + d->rows[i].key.len + d->rows[i].json.len;
    }
    for (size_t i = 0; i < d->n_removed; i++)
        size += BODY_OVERHEAD + d->removed[i].len;
    AUTO(buf_done) struct buf delta = BUF(size);
    uint8_t *room;
    int r = buf_reserve(&delta, size, &room); /* at once */
    r = r < 0 ? r : delta_encode(d, &delta);
    if (r < 0)
        return r;
    if (is_blind)
        store_put_facts_blind(c->store, head, buf_as_str(&delta));
    else
        store_put_facts_delta(c->store, head, buf_as_str(&delta));
    return 0;
}

/* What we believe is recorded, as far as @d can tell it apart. */
static struct fact_digest recorded_for(const struct section_mark *m, const struct section_delta *d)
{
    struct fact_digest none = { 0 };
    if (is_digest(m, &d->base))
        return d->base;
    if (is_digest(m, &d->digest))
        return d->digest;
    if (m)
        memset(&none, 0xff, sizeof(none)); /* neither: something else */
    return none;
}

/* Asked for all, it can or may say nothing of its rows: that is no news of them. The next difference does not fit what is recorded, and then the
 * whole is asked for. */
static bool is_mute(const struct section_delta *d, const struct section_mark *m)
{
    return m && d->full && d->n_rows == 0 && (d->status == SECTION_FAILED || d->status == SECTION_DISABLED);
}

/* Only the status is recorded. */
static int take_status(struct control *c, struct host *h, const struct fact_head *head, struct section_mark *m)
{
    bool is_same = m->status == (uint8_t)head->status;
    store_put_facts_blind(c->store, head, STR_NONE);
    m->status = (uint8_t)head->status;
    if (!is_same)
        changed(c, h, m->section);
    return DELTA_TAKE;
}

/* A sender without digests is believed; what the section is then only the store knows, when it folds it. */
static struct fact_digest digest_after(const struct section_delta *d, bool is_blind)
{
    struct fact_digest sum = { 0 }, row;
    if (!is_blind)
        return d->digest;
    if (!d->full) {
        memset(&sum, 0xff, sizeof(sum));
        return sum;
    }
    for (size_t i = 0; i < d->n_rows; i++) {
        fact_row_hash(&d->rows[i], &row);
        fact_digest_add(&sum, &row);
    }
    return sum;
}

int inventory__take(struct control *c, struct host *h, const struct section_delta *d, bool is_blind)
{
    int section = name_value(section_names, d->name), r;
    if (section < 0)
        return -ENOENT;
    struct section_mark *m = mark_of(h, (uint8_t)section);
    const struct fact_digest recorded = recorded_for(m, d), digest = digest_after(d, is_blind);
    enum delta_verdict verdict = is_blind ? DELTA_TAKE : delta_judge(d, m != NULL, &recorded);
    c->stats.inventory_deltas++;
    /* The same rows, and told again: after a report that was mute they may have another status. */
    bool is_status = verdict == DELTA_TAKE_SAME ? m->status != (uint8_t)d->status : !is_blind && is_mute(d, m);
    if (verdict == DELTA_RESYNC || (verdict == DELTA_TAKE_SAME && !is_status))
        return (int)verdict;
    arena_reset(c->scratch);
    struct fact_head head = {
        .host_id = h->id,
        .section = str_of(name_of(section_names, section)),
        .status = d->status,
        .message = text__clean(c->scratch, d->message, 1024),
        .digest = digest,
        .taken_at = d->taken_at,
        .received_at = control__wall(c),
    };
    if (is_status)
        return take_status(c, h, &head, m);
    r = d->full ? take_full(c, &head, d) : take_delta(c, &head, d, is_blind);
    if (r < 0)
        return DELTA_RESYNC;
    bool is_first = !m, is_same = is_digest(m, &digest) && m->status == (uint8_t)d->status;
    if (is_blind && !d->full)
        is_same = d->n_rows + d->n_removed == 0 && m && m->status == (uint8_t)d->status;
    set_mark(h, (uint8_t)section, d->status, &digest);
    if (!is_first && !is_same)
        changed(c, h, section);
    return DELTA_TAKE;
}

/* -- two rows are one machine */
/* What a worse teller told of @to goes where @from's agent tells it and has not yet: it would add to a stranger's rows. */
static void make_room(struct control *c, struct host *to, const struct host *from)
{
    for (enum section s = 0; s < SECTION_N; s++) {
        int had = tell__rank(c, to, s);
        if (had == 0 || tell__rank(c, from, s) <= had || mark_of(from, (uint8_t)s))
            continue;
        tell__empty(c, to, tell__section(to, s));
    }
}

void inventory__move(struct control *c, struct host *to, struct host *from, bool is_newer)
{
    uint8_t n_left = 0;
    make_room(c, to, from);
    for (uint8_t i = 0; i < from->n_sections; i++) {
        const struct section_mark m = from->sections[i];
        uint8_t section = (uint8_t)tell__section(to, m.section);
        int had = tell__rank(c, to, m.section), comes = tell__rank(c, from, m.section);
        if (comes < had || (comes == had && mark_of(to, section) && !is_newer)) {
            from->sections[n_left++] = m;
            continue;
        }
        struct fact_digest digest = { 0 };
        memcpy(digest.b, m.digest, MARK_LEN);
        set_mark(to, section, (enum section_status)m.status, &digest);
        store_move_facts(c->store, from->id, str_of(name_of(section_names, m.section)), to->id,
                         str_of(name_of(section_names, section)));
    }
    from->n_sections = n_left;
}

const struct section_mark *inventory__mark(const struct host *h, uint8_t section)
{
    return mark_of(h, section);
}

static void take_section(struct control *c, struct link *l, const struct section_delta *d)
{
    int section = name_value(section_names, d->name);
    if (!is_an_agents(section))
        return; /* newer agents may know more */
    int r = inventory__take(c, l->host, d, false);
    if (r == DELTA_RESYNC)
        /* A full section that is wrong in itself would come just as wrong again: asked once a connection. */
        ask_resync(c, l, 1u << section);
    else if (r == DELTA_TAKE && d->full)
        l->resync_asked &= ~(1u << section);
}

void checkin_inventory(struct control *c, struct link_id link, const struct section_delta *deltas, size_t n)
{
    struct link *l = link__find(c, link);
    if (!l)
        return;
    for (size_t i = 0; i < n; i++)
        take_section(c, l, &deltas[i]);
}

/* -- live questions */
static void ask_end(struct control *c, struct ask *a, int result, const struct err *err,
                    const struct section_delta *d)
{
    DL_DELETE(c->asks, a);
    c->n_asks--;
    timers_drop(&c->timers, &a->timer);
    a->done(a->ctx, result, err, d);
    free(a);
}

static void ask_fail(struct control *c, struct ask *a, int r, const char *slug, const char *text)
{
    struct err err = { 0 };
    err_set(&err, r, slug, "%s", text);
    ask_end(c, a, r, &err, NULL);
}

static int may_ask(struct control *c, const struct principal *p, struct str host, struct str section,
                   struct link **ret, struct err *err)
{
    int r = authz(c, p, VERB_READ, host, err);
    if (r < 0)
        return r;
    struct host *h = host__find(c, host, err);
    if (!h)
        return -ENOENT;
    if (name_value(section_names, section) < 0)
        return err_set(err, -ENOENT, "section.unknown", "there is no section %.*s",
                       STR_FMT(str_sub(section, 0, 64)));
    if (!h->link || !h->link->is_welcomed)
        return err_set(err, -ENOTCONN, "host.offline", "%s is not connected", h->name);
    if (c->n_asks >= ASKS_MAX)
        return err_set(err, -EBUSY, "server.overloaded", "too many questions are open");
    *ret = h->link;
    return 0;
}

void inventory_ask(struct control *c, const struct principal *p, struct str host, struct str section,
                   inventory_fn done, void *ctx)
{
    struct err err = { 0 };
    struct link *l = NULL;
    int r = may_ask(c, p, host, section, &l, &err);
    if (r < 0) {
        done(ctx, r, &err, NULL);
        return;
    }
    struct ask *a = xnew0(struct ask);
    *a = (struct ask){
        .id = ++c->next_ask, .link_id = l->id, .host_id = l->host->id, .done = done, .ctx = ctx
    };
    a->timer.kind = TIMER_ASK;
    DL_APPEND(c->asks, a);
    c->n_asks++;
    timers_set(&c->timers, &a->timer, control__mono(c) + ASK_TIMEOUT_S * USEC_PER_SEC);
    /* A question changes nothing: it need not wait for the disk. */
    if (c->links->inventory_request(c->links->ctx, link__id(l), a->id, section) < 0)
        ask_fail(c, a, -ENOTCONN, "host.offline", "the host went away");
}

void inventory_answer(struct control *c, struct link_id link, uint64_t request_id,
                      const struct section_delta *d)
{
    struct ask *a;
    DL_FOREACH(c->asks, a)
    if (a->id == request_id && a->link_id == link.v) {
        ask_end(c, a, 0, NULL, d);
        return;
    }
}

void inventory__ask_due(struct control *c, struct ask *a)
{
    ask_fail(c, a, -ETIMEDOUT, "request.timeout", "the host did not answer within 10 s");
}

void inventory__link_gone(struct control *c, const struct link *l)
{
    struct ask *a, *next;
    DL_FOREACH_SAFE(c->asks, a, next)
    if (a->link_id == l->id)
        ask_fail(c, a, -ENOTCONN, "host.offline", "the host went away");
}

void inventory__free(struct control *c)
{
    while (c->asks)
        ask_fail(c, c->asks, -ECANCELED, "server.stopping", "the server is stopping");
}
