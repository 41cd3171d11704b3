/* agent/roles/inventory.c - facts in sections, told as differences.
 *
 * For each section STATE/facts/NAME keeps the body as it was last put into the spool. The next difference is taken against that:
 * what is in the spool arrives, in order, so the server will have had it. Where the two disagree all the same (a crash between
 * spool and file, a restored backup) the base digest is wrong, the server answers Resync, and the section goes in full.
 *
 * Offline, differences go to the spool until it is full; then the body on disk simply stays behind, and the next difference that
 * fits spans all that happened since. One section a turn: the loop is never held longer than one collector takes.
 *
 * When the role is off (env->off: the policy of this host, a start that failed) nothing is collected. Each section is told to be so, once
 * and by the same way: rows the server has stay there, as they do when a section fails, and the file keeps what they are, so that what
 * is told when the role is on again is a difference. Asked for in full it sends no row: it would tell another server of this host. */
#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <sys/stat.h>

#include "agent/collect/collect.h"
#include "agent/facts.h"
#include "agent/roles.h"
#include "agent/spool.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "fleet/inventory.h"
#include "pb/pb.h"

enum {
    DELTA_ARENA_BYTES = 16 << 20,
    START_AFTER = 30 * 1000 * 1000, /* us: without a server this long, collect anyway */
};

struct part {
    bool has_base;               /* the file holds what was last spooled */
    bool has_acked, has_said;
    uint32_t said;               /* crc32c of the message last told since the start */
    bool is_due_full, is_behind; /* asked for in full; did not fit into the spool */
    enum section_status status;
    struct fact_digest digest;   /* of the base */
    struct fact_digest acked;    /* what the server has committed */
    usec_t due;                  /* monotonic; 0: now */
    usec_t asked;                /* monotonic: when look_again() had it looked at last; 0: never */
};
struct kept_delta {
    uint64_t seq;
    enum section section;
    struct fact_digest digest;
};
struct inventory {
    const struct role_env *env;
    struct part parts[SECTION_N];
    VEC(struct kept_delta) kept; /* not acknowledged, oldest first */
    struct collect_state seen;
    bool has_begun, has_collected;
    usec_t test_every; /* MUSTER_TEST_CADENCE_MS: tests that cannot wait for a cadence; 0: the table's */
};

static usec_t mono_now(void)
{
    return clock_mono(&clock_real);
}

/* -- what is kept */

static void facts_load(struct inventory *v, enum section s)
{
    AUTO(buf_done) struct buf b = BUF(LIMIT_SECTION_BYTES + LIMIT_SECTION_ROWS * 8 + FACTS_HEAD_BYTES);
    struct part *p = &v->parts[s];
    uint32_t status = 0;

    if (facts_read(v->env->state_dir, s, &b, &status, &p->digest) < 0)
        return;
    p->has_base = p->has_acked = true;
    p->status = (enum section_status)status;
    p->acked = p->digest;
}

/* -- what is on its way */

/* One of those we collect; -1: none. */
static int section_of(const char *name)
{
    int s = name_value(section_names, str_of(name));
    return s < SECTION_N ? s : -1;
}

/* Replays the spool over the files: what the server is known to have is what the first message that waits builds on. */
static void recall(void *ctx, uint64_t seq, const Muster__V1__AgentMessage *m)
{
    struct inventory *v = ctx;

    if (m->body_case != MUSTER__V1__AGENT_MESSAGE__BODY_INVENTORY)
        return;
    for (size_t i = 0; i < m->inventory->n_sections; i++) {
        const Muster__V1__SectionDelta *d = m->inventory->sections[i];
        int s = section_of(d->name);
        struct kept_delta *k;
        bool is_first = true;

        if (s < 0 || d->digest.len != SHA256_LEN)
            continue;
        for (size_t j = 0; j < v->kept.n; j++)
            is_first = is_first && v->kept.v[j].section != (enum section)s;
        if (is_first) {
            v->parts[s].has_acked = !d->full && d->base_digest.len == SHA256_LEN;
            if (v->parts[s].has_acked)
                memcpy(v->parts[s].acked.b, d->base_digest.data, SHA256_LEN);
        }
        k = vec_add(&v->kept);
        k->seq = seq;
        k->section = (enum section)s;
        memcpy(k->digest.b, d->digest.data, SHA256_LEN);
    }
}

/* A file that is not what was spooled last cannot be built upon. */
static void recall_check(struct inventory *v)
{
    for (size_t i = 0; i < v->kept.n; i++) {
        const struct kept_delta *k = &v->kept.v[i];
        bool is_last = true;

        for (size_t j = i + 1; j < v->kept.n; j++)
            is_last = is_last && v->kept.v[j].section != k->section;
        if (is_last && !fact_digest_eq(&k->digest, &v->parts[k->section].digest))
            v->parts[k->section].has_base = false;
    }
}

static void on_acked(struct inventory *v, uint64_t seq)
{
    size_t n = 0;
    bool is_behind = false;

    while (n < v->kept.n && v->kept.v[n].seq <= seq) {
        struct part *p = &v->parts[v->kept.v[n].section];

        p->acked = v->kept.v[n].digest;
        p->has_acked = true;
        n++;
    }
    if (n == 0)
        return;
    memmove(v->kept.v, v->kept.v + n, (v->kept.n - n) * sizeof(v->kept.v[0]));
    v->kept.n -= n;
    if (v->kept.n == 0)
        vec_done(&v->kept);
    for (int s = 0; s < SECTION_N; s++)
        if (v->parts[s].is_behind) {
            v->parts[s].due = 0;
            is_behind = true;
        }
    if (is_behind)
        v->env->tick_in(v->env->host, v, 0);
}

/* -- making a difference */

struct delta_fill {
    struct arena *arena;
    Muster__V1__SectionDelta *d;
    size_t cap_rows, cap_removed;
    bool is_full;
};

static char *fill_text(struct delta_fill *f, struct str s)
{
    struct str copy = arena_str(f->arena, s);

    if (!copy.ptr)
        f->is_full = true;
    return (char *)(uintptr_t)(copy.ptr ? copy.ptr : "");
}

/* Doubles an array in the arena; the old one is left there. */
static void *fill_grow(struct delta_fill *f, void *v, size_t n, size_t *cap)
{
    void **more;

    if (n < *cap)
        return v;
    *cap = *cap ? *cap * 2 : 64;
    more = arena_array(f->arena, *cap, sizeof(*more));
    if (!more)
        f->is_full = true;
    else if (n)
        memcpy(more, v, n * sizeof(*more));
    return more;
}

static void fill_change(void *ctx, struct str key, struct str before, struct str after)
{
    struct delta_fill *f = ctx;

    (void)before;
    if (f->is_full)
        return;
    if (!after.ptr) {
        f->d->removed = fill_grow(f, f->d->removed, f->d->n_removed, &f->cap_removed);
        if (!f->is_full)
            f->d->removed[f->d->n_removed++] = fill_text(f, key);
        return;
    }
    f->d->rows = fill_grow(f, f->d->rows, f->d->n_rows, &f->cap_rows);
    if (f->is_full)
        return;
    Muster__V1__FactRow *row = arena_new0(f->arena, Muster__V1__FactRow);
    if (!row) {
        f->is_full = true;
        return;
    }
    muster__v1__fact_row__init(row);
    row->key = fill_text(f, key);
    row->json = fill_text(f, after);
    f->d->rows[f->d->n_rows++] = row;
}

static ProtobufCBinaryData digest_bytes(const struct fact_digest *d)
{
    return (ProtobufCBinaryData){ .len = SHA256_LEN, .data = (uint8_t *)(uintptr_t)d->b };
}

/* What a section is right now. */
struct sample {
    struct buf body;
    enum section_status status;
    char message[COLLECT_MESSAGE_MAX];
    struct fact_digest digest;
};
static void sample_done(struct sample *m)
{
    buf_done(&m->body);
}
DEFINE_AUTO_VALUE(struct sample, sample_done)

static int sample_take(struct inventory *v, enum section s, struct sample *m)
{
    int r;

    *m = (struct sample){ .body = BUF(LIMIT_SECTION_BYTES + LIMIT_SECTION_ROWS * 8) };
    if (v->env->off) { /* no row, which has the digest of zeros */
        m->status = (enum section_status)v->env->off;
        (void)snprintf(m->message, sizeof(m->message), "%s", v->env->off_why);
        return 0;
    }
    r = collect_section(s, v->env->root, &m->body, &m->status, m->message);
    if (r < 0) {
        m->status = SECTION_FAILED;
        (void)snprintf(m->message, sizeof(m->message), "%s", strerror(-r));
        buf_reset(&m->body);
    }
    if (m->status == SECTION_FAILED)
        collect_forget(&v->seen, s);
    body_digest(buf_as_str(&m->body), &m->digest);
    v->has_collected = true;
    return 0;
}

/* From @base (NULL: in full) to @m. Strings are in the arena and in @m. */
static bool delta_make(struct arena *a, enum section s, const struct sample *m, const struct buf *base,
                       const struct fact_digest *base_digest, Muster__V1__SectionDelta *d)
{
    struct delta_fill f = { .arena = a, .d = d };

    muster__v1__section_delta__init(d);
    d->name = (char *)(uintptr_t)name_of(section_names, (int)s);
    d->status = (Muster__V1__SectionStatus)m->status;
    d->message = (char *)(uintptr_t)m->message;
    d->full = base == NULL;
    d->taken_at_us = clock_wall(&clock_real);
    d->digest = digest_bytes(&m->digest);
    if (base)
        d->base_digest = digest_bytes(base_digest);
    body_diff(base ? buf_as_str(base) : STR_NONE, buf_as_str(&m->body), fill_change, &f);
    return !f.is_full;
}

/* Puts it into the spool. True unless it has to wait. */
static bool delta_keep(struct inventory *v, enum section s, Muster__V1__SectionDelta *d, const struct fact_digest *digest)
{
    Muster__V1__AgentMessage msg = MUSTER__V1__AGENT_MESSAGE__INIT;
    Muster__V1__Inventory inv = MUSTER__V1__INVENTORY__INIT;
    struct part *p = &v->parts[s];
    struct kept_delta *k;
    uint64_t seq;
    int r;

    inv.n_sections = 1;
    inv.sections = &d;
    msg.body_case = MUSTER__V1__AGENT_MESSAGE__BODY_INVENTORY;
    msg.inventory = &inv;
    r = v->env->keep(v->env->host, &msg, &seq);
    p->is_behind = r != SPOOL_OK;
    if (r < 0 && r != -ENOBUFS) {
        char text[96];

        (void)snprintf(text, sizeof(text), "facts cannot be kept: %s", strerror(-r));
        v->env->set_health(v->env->host, v, ROLE_FAILED, text);
    } else if (r == SPOOL_FULL) {
        log_debug("inventory.behind", "the spool is full", LOG_CSTR("section", d->name));
    } else {
        v->env->set_health(v->env->host, v, ROLE_OK, "");
    }
    if (p->is_behind)
        return false;
    k = vec_add(&v->kept);
    *k = (struct kept_delta){ .seq = seq, .section = s, .digest = *digest };
    return true;
}

static void update(struct inventory *v, enum section s)
{
    AUTO(arena_free) struct arena *a = arena_new(DELTA_ARENA_BYTES);
    AUTO(buf_done) struct buf base = BUF(LIMIT_SECTION_BYTES + LIMIT_SECTION_ROWS * 8 + FACTS_HEAD_BYTES);
    AUTO(sample_done) struct sample m;
    struct part *p = &v->parts[s];
    struct fact_digest base_digest = p->digest;
    Muster__V1__SectionDelta d;
    bool is_full = p->is_due_full || !p->has_base, is_blank, is_said;
    uint32_t status, message;

    (void)sample_take(v, s, &m);
    message = crc32c(str_of(m.message));
    /* Why it fails may change, with nobody running. */
    is_said = p->has_said ? p->said == message : m.status != SECTION_FAILED;
    is_blank = m.status == SECTION_FAILED || v->env->off; /* no rows, but not because there are none */
    if (!is_full && is_said && m.status == p->status && (is_blank || fact_digest_eq(&m.digest, &p->digest))) {
        p->is_behind = false;
        p->has_said = true;
        p->said = message;
        return;
    }
    if (!is_full && facts_read(v->env->state_dir, s, &base, &status, &base_digest) < 0)
        is_full = true;
    if (!is_full && is_blank) {
        /* What was known stays known: only the status is news. */
        buf_done(&m.body);
        m.body = base;
        base = BUF(0);
        m.digest = base_digest;
        if (!delta_make(a, s, &m, &m.body, &base_digest, &d))
            return;
    } else if (!delta_make(a, s, &m, is_full ? NULL : &base, &base_digest, &d)) {
        log_warn("inventory.too_large", "a section does not fit", LOG_CSTR("section", d.name));
        return;
    }
    if (!delta_keep(v, s, &d, &m.digest))
        return;
    p->is_due_full = false;
    p->has_said = true;
    p->said = message;
    p->status = m.status;
    p->digest = m.digest;
    p->has_base = facts_write(v->env->state_dir, s, (uint32_t)m.status, &m.digest, buf_as_str(&m.body)) == 0;
}

/* -- when */

static void plan(struct inventory *v)
{
    usec_t now = mono_now(), next = USEC_NEVER;

    for (int s = 0; s < SECTION_N; s++)
        if (collectors[s].every && v->parts[s].due < next)
            next = v->parts[s].due;
    if (next != USEC_NEVER)
        v->env->tick_in(v->env->host, v, next > now ? next - now : 0);
}

static void begin(struct inventory *v)
{
    if (v->has_begun)
        return;
    v->has_begun = true;
    v->env->tick_in(v->env->host, v, 0);
}

/* Somebody knows that @s has changed: at once, and what changes soon after is told together, for each report is a row of history. */
static void look_again(void *self, enum section s)
{
    enum { TOGETHER_S = 10 };
    struct inventory *v = self;
    struct part *p = &v->parts[s];
    usec_t at = mono_now();

    if (p->asked && p->asked + TOGETHER_S * USEC_PER_SEC > at)
        at = p->asked + TOGETHER_S * USEC_PER_SEC;
    if (p->due <= at)
        return;
    p->due = p->asked = at;
    if (v->has_begun)
        plan(v);
}

/* The most overdue section of all. */
static void inventory_tick(void *self)
{
    struct inventory *v = self;
    usec_t now = mono_now();

    v->has_begun = true;
    for (int s = 0; s < SECTION_N; s++) {
        struct part *p = &v->parts[s];
        const struct collector *c = &collectors[s];
        bool must;

        if (c->every == 0 || p->due > now)
            continue;
        must = p->is_due_full || p->is_behind || !p->has_base;
        /* On a grid, so that one wake-up serves many sections. */
        p->due = v->test_every ? now + v->test_every : (now / USEC_PER_MIN + c->every / USEC_PER_MIN) * USEC_PER_MIN;
        /* The question is always asked: it remembers what it saw. */
        if (!v->env->off && c->is_changed && !c->is_changed(&v->seen) && !must)
            continue;
        update(v, (enum section)s);
        if (v->env->off && !p->is_behind)
            p->due = USEC_NEVER; /* said; if it is asked for anew it is due again */
        plan(v);
        return;
    }
    if (v->has_collected) {
        v->has_collected = false;
        (void)malloc_trim(0); /* collecting is the one thing that takes megabytes */
    }
    plan(v);
}

/* -- what the server says */

static void on_resync(struct inventory *v, const Muster__V1__Resync *r)
{
    for (int s = 0; s < SECTION_N; s++) {
        bool is_asked = r->n_sections == 0;

        for (size_t i = 0; i < r->n_sections; i++)
            is_asked = is_asked || strcmp(r->sections[i], name_of(section_names, s)) == 0;
        if (is_asked) {
            v->parts[s].is_due_full = true;
            v->parts[s].due = 0;
        }
    }
    v->env->tick_in(v->env->host, v, 0);
}

/* Another role may be on or off now, and its section with it: those that can say cheaply whether they changed are asked. */
static void on_policy(struct inventory *v)
{
    for (int s = 0; s < SECTION_N; s++)
        if (collectors[s].is_changed && v->parts[s].due != USEC_NEVER)
            v->parts[s].due = 0;
    if (v->has_begun)
        v->env->tick_in(v->env->host, v, 0);
}

static void on_request(struct inventory *v, const Muster__V1__InventoryRequest *q)
{
    AUTO(arena_free) struct arena *a = arena_new(DELTA_ARENA_BYTES);
    AUTO(sample_done) struct sample m = { 0 };
    Muster__V1__AgentMessage msg = MUSTER__V1__AGENT_MESSAGE__INIT;
    Muster__V1__InventoryAnswer answer = MUSTER__V1__INVENTORY_ANSWER__INIT;
    Muster__V1__SectionDelta d;
    int s = section_of(q->section);

    if (s >= 0) {
        (void)sample_take(v, (enum section)s, &m);
    }
    if (s < 0 || !delta_make(a, (enum section)s, &m, NULL, NULL, &d)) {
        muster__v1__section_delta__init(&d);
        d.name = q->section;
        d.status = MUSTER__V1__SECTION_STATUS__SECTION_STATUS_MISSING;
        d.message = (char *)(uintptr_t)"this agent has no such section";
    }
    answer.request_id = q->request_id;
    answer.section = &d;
    msg.body_case = MUSTER__V1__AGENT_MESSAGE__BODY_INVENTORY_ANSWER;
    msg.inventory_answer = &answer;
    (void)v->env->send(v->env->host, &msg);
}

static void on_hello(struct inventory *v, Muster__V1__Hello *hello, struct arena *a)
{
    hello->sections = arena_array(a, SECTION_N, sizeof(*hello->sections));
    for (int s = 0; hello->sections && s < SECTION_N; s++) {
        Muster__V1__SectionDigest *d;

        if (!v->parts[s].has_acked || !(d = arena_new0(a, Muster__V1__SectionDigest)))
            continue;
        muster__v1__section_digest__init(d);
        d->name = (char *)(uintptr_t)name_of(section_names, s);
        d->digest = digest_bytes(&v->parts[s].acked);
        hello->sections[hello->n_sections++] = d;
    }
}

/* -- the four hooks */

static int inventory_start(const struct role_env *env, void **ret_self, struct err *err)
{
    AUTO_FREE char *dir = xasprintf("%s/facts", env->state_dir);
    struct inventory *v;

    if (mkdir(dir, 0700) < 0 && errno != EEXIST && !env->off)
        return err_set(err, -errno, "inventory.directory", "%s: %m", dir);
    v = xnew0(struct inventory);
    v->env = env;
    v->seen.root = env->root;
    const char *test = getenv("MUSTER_TEST_CADENCE_MS");
    uint64_t ms;
    if (test && str_to_u64(str_of(test), &ms) == 0)
        v->test_every = ms * USEC_PER_MS;
    for (int s = 0; s < SECTION_N; s++)
        if (collectors[s].every)
            facts_load(v, (enum section)s);
    env->kept(env->host, recall, v);
    recall_check(v);
    env->tick_in(env->host, v, env->is_up(env->host) ? 0 : START_AFTER); /* switched on or off by a policy read anew: at once */
    env->shared->look_again = look_again;
    env->shared->inventory = v;
    *ret_self = v;
    return 0;
}

static void inventory_message(void *self, const struct role_msg *m)
{
    struct inventory *v = self;

    switch (m->kind) {
    case ROLE_MSG_HELLO:
        on_hello(v, m->hello, m->arena);
        break;
    case ROLE_MSG_WELCOME:
        begin(v);
        break;
    case ROLE_MSG_ACKED:
        on_acked(v, m->acked_seq);
        break;
    case ROLE_MSG_UNKEPT:
        vec_done(&v->kept);
        for (int s = 0; s < SECTION_N; s++) {
            v->parts[s].has_base = v->parts[s].has_acked = false;
            v->parts[s].due = 0;
        }
        v->env->tick_in(v->env->host, v, 0);
        break;
    case ROLE_MSG_SERVER:
        if (m->server->body_case == MUSTER__V1__SERVER_MESSAGE__BODY_RESYNC)
            on_resync(v, m->server->resync);
        else if (m->server->body_case == MUSTER__V1__SERVER_MESSAGE__BODY_INVENTORY_REQUEST)
            on_request(v, m->server->inventory_request);
        break;
    case ROLE_MSG_POLICY:
        on_policy(v);
        break;
    case ROLE_MSG_DOWN:
    case ROLE_MSG_DRAINED:
    case ROLE_MSG_BEAT:
    case ROLE_MSG_DISOWNED:
        break;
    }
}

static void inventory_stop(void *self)
{
    struct inventory *v = self;

    v->env->shared->look_again = NULL;
    v->env->shared->inventory = NULL;
    vec_done(&v->kept);
    free(v);
}

const struct role role_inventory = {
    .abi = ROLE_ABI, .size = sizeof(struct role),
    .name = "inventory", .contexts = ROLE_SYSTEM, .when_off = ROLE_SAYS,
    .start = inventory_start, .message = inventory_message, .tick = inventory_tick, .stop = inventory_stop,
};
