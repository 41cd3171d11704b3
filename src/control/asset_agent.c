/* control/asset_agent.c - what the agents of machines say: register and heartbeat. Loop thread.
 *
 * A beat of a known host is the short path: one look-up by name, one sighting of its host row, one lazily written state. */
#include "control/assets_priv.h"

#include "base/uuid.h"

/* Presence is judged by twice this: the badge's 180 s (fleet/asset.h). Agents come every 60 s. */
static const usec_t beat_every = ASSET_ONLINE_S / 2 * USEC_PER_SEC;

/* -- who may */

void asset_principal(const struct credential *cr, struct principal *ret)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "sigma key %llu", (unsigned long long)cr->id);
    principal_of_credential(cr, name, ret);
    if (str_is(cr->scope, "agent")) /* agents read what everybody reads; whether they speak is asset_may_speak()'s */
        ret->role = ROLE_VIEWER;
}

static const struct credential *key_of(struct control *c, const struct principal *p)
{
    return p->kind == PRINCIPAL_KEY ? credential_by_id(c, p->token_id) : NULL;
}

int asset_may_speak(struct control *c, const struct principal *p, struct str hostname, const char *peer, struct err *err)
{
    const struct credential *cr = key_of(c, p);
    bool is_agent = cr && str_is(cr->scope, "agent");

    if (!is_agent && p->role < ROLE_OPERATOR)
        err_set(err, -EACCES, "auth.denied", "%s may not speak for agents: that takes a key of the role agent, operator or admin",
                p->name);
    else if (is_agent && cr->bind_hostname && cr->bound_hostname.len && !str_eq(cr->bound_hostname, hostname))
        err_set(err, -EACCES, "auth.denied", "this key speaks for %.*s only", STR_FMT(str_sub(cr->bound_hostname, 0, 128)));
    else
        return 0;
    return credential_refused(c, p->name, peer, err);
}

static void bind_key(struct control *c, const struct principal *p, struct str hostname)
{
    const struct credential *cr = key_of(c, p);

    if (cr && cr->bind_hostname && cr->bound_hostname.len == 0)
        credential_bind(c, cr->id, hostname);
}

/* -- how often */

/* What one key or person may do: its burst is what people see as the limit. */
static const struct rate rate_people = { .per_s = 100, .burst = 1000 };
static const struct rate rate_fleet = { .per_s = 50000, .burst = 100000 }; /* one key for all agents */
static const struct rate rate_bound = { .per_s = 5, .burst = 300 };        /* one key for one agent */

int asset_admit(struct control *c, const struct principal *p, bool is_agent, struct asset_quota *ret, struct err *err)
{
    struct assets *s = assets__of(c);
    const struct credential *cr = key_of(c, p);
    const struct rate *rate = !is_agent ? &rate_people : cr && cr->bind_hostname ? &rate_bound : &rate_fleet;
    struct asset_quota_entry *q = NULL;
    char key[sizeof(q->name)];
    int n = snprintf(key, sizeof(key), "%c%s", is_agent ? 'a' : 'o', p->name);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(key) ? (size_t)n : sizeof(key) - 1;
    bool is_in;

    HASH_FIND(hh, s->quotas, key, len, q);
    if (!q) {
        /* The one that is new longest goes: at worst somebody gets a burst anew. */
        if (HASH_COUNT(s->quotas) >= ASSET_QUOTAS_MAX) {
            struct asset_quota_entry *oldest = s->quotas;

            HASH_DEL(s->quotas, oldest);
            free(oldest);
        }
        q = xnew0(struct asset_quota_entry);
        memcpy(q->name, key, len + 1);
        HASH_ADD_KEYPTR(hh, s->quotas, q->name, len, q);
    }
    *ret = (struct asset_quota){ .limit = (uint32_t)rate->burst };
    is_in = bucket_take(&q->b, rate, control__mono(c), 1, &ret->wait);
    ret->remaining = is_in && q->b.level > 0 ? (uint32_t)q->b.level : 0;
    if (is_in)
        return 0;
    struct details d = { 0 };
    err_set(err, -EBUSY, "rate.limited", "too many calls of %s: at most %u at once", p->name, ret->limit);
    refusal__row(c, REFUSED_LIMITED, p->name, NULL, "asset.call", STR_NONE, "denied", err->slug, details_str(&d, "why", str_of(err->text)));
    return -EBUSY;
}

/* -- the host row */

/* Meets the host as @a and @st tell of it. */
static int meet(struct control *c, const struct principal *p, const struct asset_checkin *in, const struct asset *a, uint64_t *ret_host,
                struct err *err)
{
    struct str ips[ASSET_ADDRESSES];
    struct sighting s = {
        .dialect = "sigma",
        .external_id = a->uuid,
        .name = a->hostname,
        .claims = { .hostname = in->hostname,
                    .addresses = { ips, 0 },
                    .cpu_cores = in->state.cpu_cores,
                    .memory_bytes = in->state.ram_mb << 20,
                    .disk_bytes = in->state.disk_gb << 30 },
        .peer_addr = in->peer,
        .approved_by = p->name,
        .every = beat_every,
    };
    bool is_new;

    for (size_t i = 0; i < a->addresses.n; i++)
        ips[s.claims.addresses.n++] = a->addresses.v[i].ip;
    return accent_meet(c, &s, ret_host, &is_new, err);
}

static bool measures_differ(const struct asset_state *a, const struct asset_state *b)
{
    return a->cpu_cores != b->cpu_cores || a->ram_mb != b->ram_mb || a->disk_gb != b->disk_gb;
}

/* -- one check-in */

struct step {
    struct control *c;
    const struct principal *p;
    const struct asset_checkin *in;
    struct asset_entry *e;      /* NULL: a new one */
    struct asset next;
    struct asset_addresses told;
    struct asset_address *room; /* for those told and, behind them, for what becomes of them; NULL: no list to look at */
    char uuid[UUID_TEXT_MAX];
};

/* What the row is after this, in @st->next; nothing is changed yet. */
static int decide(struct step *st, struct err *err)
{
    const struct asset_checkin *in = st->in;
    static const struct asset_addresses none = { 0 };
    usec_t now = control__wall(st->c);
    struct asset *a = &st->next;

    if (st->e) {
        *a = *st->e->asset;
        if (in->is_register)
            a->status = (int)asset_status_when_seen((enum asset_status)a->status);
    } else {
        struct uuid u = uuid_v7(now);

        if (!in->is_register && !in->may_create)
            return err_set(err, -ENOENT, "asset.unknown", "Not found: no host %.*s is registered",
                           STR_FMT(str_sub(in->hostname, 0, 128)));
        if (HASH_COUNT(assets__of(st->c)->by_uuid) >= ASSETS_MAX)
            return err_set(err, -EBUSY, "enroll.full", "there are %d machines: no more fit", ASSETS_MAX);
        uuid_format(&u, st->uuid);
        asset_defaults(a, ASSET_ACTIVE, "agent");
        a->uuid = str_of(st->uuid);
        a->hostname = in->hostname;
        a->created_at = now;
    }
    if (in->is_register) {
        a->ssh_port = in->ssh_port;
        if (in->alias.len)
            a->alias = in->alias;
    }
    if (in->is_register || st->told.n)
        asset_addresses_by_agent(st->e ? &st->e->asset->addresses : &none, &st->told, st->room + ASSET_ADDRESSES, &a->addresses);
    if (asset_is_unexpected((enum asset_status)a->status) && !a->seen_retired_at)
        a->seen_retired_at = now;
    return 0;
}

/* The sighting of the host row: known hosts that say nothing new are only seen. */
static int see(struct step *st, bool is_news, uint64_t *ret_host, struct err *err)
{
    const struct asset_checkin *in = st->in;
    uint64_t id = st->e ? asset__host(st->c, st->e) : 0;
    int r;

    if (id == 0 || is_news) {
        r = meet(st->c, st->p, in, &st->next, &id, err);
        if (r < 0)
            return r;
    }
    *ret_host = id;
    return accent_seen(st->c, id, in->peer, in->beat, beat_every, err);
}

static void audit(const struct step *st, struct details *d)
{
    audit_emit(st->c, st->p, st->in->peer, VERB_ASSET, str_of(st->e->uuid), "ok", NULL, &d->list);
}

static struct str what(const struct step *st)
{
    return st->in->is_register ? STR("asset.register") : STR("asset.heartbeat");
}

static void record_new(struct step *st, const struct asset_state *state)
{
    static const struct asset_addresses none = { 0 };
    struct details d = { 0 };

    st->next.updated_at = state->updated_at;
    st->e = asset__add(st->c, &st->next, state);
    asset__put_history(st->c, st->e, &none, &st->e->asset->addresses, false);
    audit(st, details_str(details_str(&d, "did", what(st)), "hostname", st->e->asset->hostname));
}

static void record_change(struct step *st, usec_t now)
{
    AUTO(arena_free) struct arena *a = arena_new(256 << 10);
    struct details d = { 0 };

    st->next.updated_at = now;
    details_str(&d, "did", what(st));
    (void)asset__diff(a, &asset_record, st->e->asset, &st->next, &d);
    asset__put_history(st->c, st->e, &st->e->asset->addresses, &st->next.addresses, false);
    audit(st, &d);
    asset__set(st->c, st->e, &st->next);
}

static void record(struct step *st, bool is_changed, uint64_t host_id)
{
    struct asset_state state = st->in->state;

    state.last_heartbeat = state.updated_at = control__wall(st->c);
    if (!st->e) {
        record_new(st, &state);
    } else {
        if (is_changed)
            record_change(st, state.updated_at);
        asset__set_state(st->c, st->e, &state);
    }
    st->e->host_id = host_id;
}

/* The sections of the host row. A beat that only says what the last one said never comes here. */
static void tell(struct step *st, uint64_t host_id)
{
    const struct asset_checkin *in = st->in;
    bool is_told = in->is_register || st->told.n;
    const struct asset_facts f = {
        .hostname = st->e->asset->hostname,
        /* Agents that tell addresses when they register only: what is known from then, if it was never recorded. */
        .addresses = is_told ? &st->told : accent_is_told(st->c, host_id, SECTION_ADDRESSES) ? NULL : &st->e->asset->addresses,
        .state = st->e->state,
    };
    struct told_section sections[TOLD_MAX];

    bool is_told_for_good = accent_tell(st->c, host_id, "sigma", str_of(st->e->uuid), sections, in->tell(in->tell_ctx, &f, sections));
    st->e->told_host = is_told_for_good ? host_id : 0;
}

static void forget_told(void *ctx, const struct alias *a)
{
    struct asset_entry *e = str_is(a->dialect, "sigma") ? asset__by_uuid(ctx, a->external_id) : NULL;

    if (e)
        e->told_host = 0;
}

void asset__tell_again(struct control *c, uint64_t host_id)
{
    accent_aliases(c, host_id, forget_told, c);
}

usec_t asset__heard_at(const struct control *c, struct str uuid)
{
    const struct asset_entry *e = asset__by_uuid(c, uuid);

    return e ? e->state->last_heartbeat : 0;
}

int asset_checkin(struct control *c, const struct principal *p, const struct asset_checkin *in, struct asset_view *ret, struct err *err)
{
    struct step st;
    uint64_t host_id = 0;
    bool is_changed, is_news;
    int r = asset_check_hostname(in->hostname, err);
    AUTO_FREE struct asset_address *room = NULL; /* a beat of an unmodified agent needs none */

    if (r == 0 && (in->is_register || in->addresses.n))
        room = xcalloc(2 * ASSET_ADDRESSES, sizeof(*room));
    st.room = room;
    st.told.n = 0;
    if (r == 0)
        r = asset_addresses_clean(&in->addresses, room, &st.told, err);
    if (r == 0)
        r = asset_may_speak(c, p, in->hostname, in->peer, err);
    if (r < 0)
        return r;

    st.c = c;
    st.p = p;
    st.in = in;
    st.e = asset__by_name(c, in->hostname);
    r = asset__check_room(c, st.e, &in->state, err);
    if (r == 0)
        r = decide(&st, err);
    if (r < 0)
        return r;
    is_changed = !st.e || !record_eq(&asset_record, st.e->asset, &st.next);
    is_news = is_changed || in->is_register || measures_differ(&in->state, st.e->state);
    r = see(&st, is_news, &host_id, err);
    if (r < 0)
        return r == -EACCES ? credential_refused(c, p->name, in->peer, err) : r;

    bind_key(c, p, in->hostname);
    record(&st, is_changed, host_id);
    if (in->tell && (is_news || st.e->told_host != host_id))
        tell(&st, host_id);
    asset__view(c, st.e, ret);
    return 0;
}

int asset_host_of(struct control *c, struct str hostname, uint64_t *ret_host_id, struct err *err)
{
    struct asset_entry *e = asset__by_name(c, hostname);
    struct host *h = e ? host__by_id(c, asset__host(c, e)) : NULL;

    if (!h)
        return err_set(err, -ENOENT, "asset.unknown", "Not found: no host %.*s is registered", STR_FMT(str_sub(hostname, 0, 128)));
    if (h->state != HOST_APPROVED)
        return err_set(err, -EACCES, h->state == HOST_REVOKED ? "host.revoked" : "host.rejected", "this host is not let in");
    *ret_host_id = h->id;
    return 0;
}
