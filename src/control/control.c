/* control/control.c - start and stop. Loop thread. */
#include "base/rand.h"

#include "control/noun.h"

uint8_t control__hash_key[16];

static void take_conf(struct control *c, const struct control_conf *conf)
{
    struct control_conf *k = &c->conf;
    *k = *conf;
#define DEFAULT(member, value)                                                                               \
    do {                                                                                                     \
        if (k->member == 0)                                                                                  \
            k->member = (value);                                                                             \
    } while (0)
    DEFAULT(heartbeat, 10 * USEC_PER_SEC);
    DEFAULT(beats_per_s, 2000);
    DEFAULT(pending_ttl, 7 * USEC_PER_DAY);
    DEFAULT(cert_ttl, 30 * USEC_PER_DAY);
    DEFAULT(job_deadline, USEC_PER_HOUR);
    DEFAULT(output_cap_bytes, 64 << 20);
    DEFAULT(max_running_tasks, 16);
    DEFAULT(enroll_per_s, k->is_dev ? 1000 : 200);
    DEFAULT(away_limit, USEC_PER_DAY);
    DEFAULT(retention.keep, 30 * USEC_PER_DAY);
    DEFAULT(retention.keep_audit, 400 * USEC_PER_DAY);
    DEFAULT(retention.quota_bytes, (uint64_t)10 << 30);
#undef DEFAULT
    admission_defaults(&k->admission);
}

static int load(struct control *c, struct err *err)
{
    int r = store_load_next(c->store, &c->next, err);
    uint64_t audit_id = 0;
    if (r == 0)
        r = store_load_audit_head(c->store, &audit_id, c->audit_head, err);
    if (r < 0)
        return r;
    if (c->next.audit <= audit_id)
        c->next.audit = audit_id + 1;
    /* 0 is nobody's id. */
    uint64_t *ids = (uint64_t *)&c->next;
    for (size_t i = 0; i < sizeof(c->next) / sizeof(*ids); i++)
        ids[i] += ids[i] == 0;
    if ((r = user__load(c, err)) < 0 || (r = api_token__load(c, err)) < 0 || (r = token__load(c, err)) < 0 ||
        (r = host__load(c, err)) < 0 || (r = inventory__load(c, err)) < 0 || (r = identity__load(c, err)) < 0 ||
        (r = noun__load_all(c, err)) < 0)
        return r;
    presence__wake(c);
    return job__load(c, err); /* may end tasks: the first writes after identity's */
}

static void on_drift(void *ctx, uint64_t host_id, struct str section)
{
    inventory_drift(ctx, host_id, section);
}

int control_open(const struct control_conf *conf, struct control **ret, struct err *err)
{
    static bool has_key;
    if (!has_key)
        rand_bytes(control__hash_key, sizeof(control__hash_key));
    has_key = true;

    AUTO(control_free) struct control *c = xnew0(struct control);
    c->life = xnew0(struct life);
    *c->life = (struct life){ c, 1 };
    take_conf(c, conf);
    c->store = conf->store;
    c->links = conf->links;
    c->scratch = arena_new(256 << 10);
    c->subs = slots_new();
    c->admission = admission_new(20000);
    c->refusals = refusals_new();
    c->beat_every = c->conf.heartbeat;
    c->rules = presence_rules_for(c->beat_every);
    c->started_mono = control__mono(c);
    c->retain_at = c->started_mono + USEC_PER_MIN;

    int r = load(c, err);
    if (r < 0)
        return r;
    store_on_drift(c->store, on_drift, c);
    struct details d = { 0 };
    details_str(details_str(&d, "version", STR(MUSTER_VERSION)), "fleet", str_of(c->fleet));
    event_emit(c, "server.started", NULL, &details_u64(&d, "hosts", c->hosts.n)->list);
    *ret = TAKE(c);
    return 0;
}

void control_free(struct control *c)
{
    struct link *l, *next;
    if (!c)
        return;
    /* The close of the store commits what is open: output without the row that says how far it goes would be
     * taken twice. */
    if (c->store) {
        refusals__tell(c, USEC_NEVER);
        control__flush(c);
    }
    c->is_dead = true;
    c->life->c = NULL;
    life_unref(c->life);
    if (c->store)
        store_on_drift(c->store, NULL, NULL);
    inventory__free(c);
    control__parked_drop(c);
    noun__free_all(c);
    topics__done(c);
    job__free_all(c);
    HASH_ITER(hh, c->all_links, l, next)
    {
        HASH_DEL(c->all_links, l);
        free(l);
    }
    host__free_all(c);
    struct intern_entry *e, *e_next;
    HASH_ITER(hh, c->interned, e, e_next)
    {
        HASH_DEL(c->interned, e);
        free(e);
    }
    token__free_all(c);
    api_token__free_all(c);
    user__free_all(c);
    identity__free(c);
    timers_done(&c->timers);
    admission_free(c->admission);
    refusals_free(c->refusals);
    slots_free(c->subs);
    arena_free(c->scratch);
    free(c);
}

void control_reload(struct control *c, const struct control_conf *conf)
{
    const struct control_conf old = c->conf;
    take_conf(c, conf);
    /* What cannot change while running. */
    c->conf.clock = old.clock;
    c->conf.store = old.store;
    c->conf.links = old.links;
    c->conf.offload = old.offload;
    c->conf.offload_ctx = old.offload_ctx;
    c->conf.is_dev = old.is_dev;
    for (size_t i = 0; i < c->hosts.n; i++)
        if (c->hosts.v[i]->state == HOST_PENDING)
            host__timer(c, c->hosts.v[i]);
    presence__retune(c);
    link__tell_config(c);
}

const struct control_stats *control_stats(const struct control *c)
{
    return &c->stats;
}
