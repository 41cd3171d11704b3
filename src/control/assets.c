/* control/assets.c - the table of machines: loaded, found, filed, put. Loop thread.
 *
 * Every row is in memory, in two blocks: what people and registrations change, and what every heartbeat changes. */
#include "control/assets_priv.h"

#include "base/uuid.h"

#include <inttypes.h>

/* -- finding */

struct asset_entry *asset__by_uuid(const struct control *c, struct str uuid)
{
    struct asset_entry *e = NULL;
    char text[UUID_TEXT_MAX];
    struct uuid u;

    if (uuid.len != UUID_TEXT_LEN || uuid_parse(uuid, &u) < 0)
        return NULL;
    uuid_format(&u, text);
    HASH_FIND(hh, assets__of(c)->by_uuid, text, UUID_TEXT_LEN, e);
    return e;
}

struct asset_entry *asset__by_name(const struct control *c, struct str hostname)
{
    struct asset_name *n = NULL;

    if (hostname.len == 0)
        return NULL;
    HASH_FIND(hh, assets__of(c)->names, hostname.ptr, hostname.len, n);
    if (!n)
        HASH_FIND(hh, assets__of(c)->other_names, hostname.ptr, hostname.len, n);
    return n ? n->e : NULL;
}

/* -- names */

static struct asset_name *name_new(struct asset_entry *e, struct str text)
{
    struct asset_name *n = xnew0(struct asset_name);

    n->e = e;
    n->text = str_dup(text);
    return n;
}

static void name_free(struct asset_name *n)
{
    free(n->text);
    free(n);
}

static void drop_names(struct assets *s, struct asset_entry *e)
{
    struct asset_name *n;

    if (e->name) {
        HASH_DELETE(hh, s->names, e->name);
        name_free(e->name);
        e->name = NULL;
    }
    while ((n = e->others)) {
        e->others = n->next;
        HASH_DELETE(hh, s->other_names, n);
        name_free(n);
    }
}

/* A merged name that another row has already stays that row's. */
static void add_names(struct assets *s, struct asset_entry *e)
{
    const struct asset *a = e->asset;
    struct asset_name *n;

    if (a->status == ASSET_DELETED)
        return;
    n = name_new(e, a->hostname);
    HASH_ADD_KEYPTR(hh, s->names, n->text, strlen(n->text), n);
    e->name = n;
    for (size_t i = 0; i < a->other_names.n; i++) {
        struct asset_name *there = NULL;

        if (a->other_names.v[i].len == 0)
            continue;
        HASH_FIND(hh, s->other_names, a->other_names.v[i].ptr, a->other_names.v[i].len, there);
        if (there)
            continue;
        n = name_new(e, a->other_names.v[i]);
        HASH_ADD_KEYPTR(hh, s->other_names, n->text, strlen(n->text), n);
        n->next = e->others;
        e->others = n;
    }
}

static bool names_changed(const struct asset *a, const struct asset *b)
{
    if ((a->status == ASSET_DELETED) != (b->status == ASSET_DELETED) || !str_eq(a->hostname, b->hostname) ||
        a->other_names.n != b->other_names.n)
        return true;
    for (size_t i = 0; i < a->other_names.n; i++)
        if (!str_eq(a->other_names.v[i], b->other_names.v[i]))
            return true;
    return false;
}

/* -- how many each provider has */

static void count_provider(const struct control *c, const struct asset *a, bool is_more)
{
    struct provider_entry *p = a->status == ASSET_DELETED ? NULL : provider__by_uuid(c, a->provider_id);

    if (p)
        p->n_assets += is_more ? 1u : -1u;
}

/* -- how much their agents report */

static size_t large_of(const struct asset_state *st)
{
    return st->system_info.text.len > ASSET_INFO_SMALL ? st->system_info.text.len : 0;
}

static void set_state(struct assets *s, struct asset_entry *e, const struct asset_state *st)
{
    struct asset_state *old = e->state;

    s->large_bytes -= old ? large_of(old) : 0;
    e->state = record_pack(&asset_state_record, st);
    s->large_bytes += large_of(e->state);
    free(old);
}

int asset__check_room(const struct control *c, const struct asset_entry *e, const struct asset_state *st, struct err *err)
{
    const struct assets *s = assets__of(c);
    size_t large = large_of(st), had = e ? large_of(e->state) : 0;

    if (large <= had || s->large_bytes - had + large <= ASSET_INFO_LARGE)
        return 0;
    return err_set(err, -EINVAL, "field.too_long", "system_info: has more than %d bytes, and there is no room for more of that size",
                   ASSET_INFO_SMALL);
}

/* -- filing */

static struct asset_entry *file(struct control *c, uint64_t id, const struct asset *a, const struct asset_state *st)
{
    struct assets *s = assets__of(c);
    struct asset_entry *e = xnew0(struct asset_entry);

    e->id = id;
    (void)str_copy(a->uuid, e->uuid, sizeof(e->uuid));
    e->asset = record_pack(&asset_record, a);
    set_state(s, e, st);
    HASH_ADD(hh, s->by_uuid, uuid, UUID_TEXT_LEN, e);
    add_names(s, e);
    asset__order_add(s, e);
    count_provider(c, e->asset, true);
    return e;
}

static void put(struct control *c, const struct asset_entry *e)
{
    store_put_object(c->store, OBJECT_ASSET, e->id, 0, &asset_record, e->asset);
}

struct asset_entry *asset__add(struct control *c, const struct asset *a, const struct asset_state *st)
{
    struct asset_entry *e = file(c, object__next(c, OBJECT_ASSET), a, st);

    put(c, e);
    store_put_object_often(c->store, OBJECT_ASSET_STATE, e->id, 0, &asset_state_record, e->state);
    return e;
}

void asset__set(struct control *c, struct asset_entry *e, const struct asset *a)
{
    struct asset *old = e->asset;
    bool is_renamed = names_changed(old, a), is_moved = asset_compare(old, a) != 0;

    if (is_renamed)
        drop_names(assets__of(c), e);
    if (is_moved)
        asset__order_drop(assets__of(c), e);
    count_provider(c, old, false);
    e->asset = record_pack(&asset_record, a);
    free(old);
    count_provider(c, e->asset, true);
    if (is_moved)
        asset__order_add(assets__of(c), e);
    if (is_renamed)
        add_names(assets__of(c), e);
    put(c, e);
}

void asset__set_state(struct control *c, struct asset_entry *e, const struct asset_state *st)
{
    set_state(assets__of(c), e, st);
    store_put_object_often(c->store, OBJECT_ASSET_STATE, e->id, 0, &asset_state_record, e->state);
}

void asset__view(struct control *c, const struct asset_entry *e, struct asset_view *ret)
{
    const struct provider_entry *p = e->asset->provider_id.len ? provider__by_uuid(c, e->asset->provider_id) : NULL;

    *ret = (struct asset_view){ .id = e->id,
                                .asset = e->asset,
                                .state = e->state,
                                .provider = p ? p->p : NULL,
                                .is_online = asset_is_online(e->state->last_heartbeat, control__wall(c)) };
}

/* -- addresses */

struct history {
    struct control *c;
    const struct asset_entry *e;
};

static void put_change(void *ctx, const struct address_change *ch)
{
    struct history *h = ctx;
    const struct trail_row row = {
        .id = h->c->next.trail++, .kind = TRAIL_ADDRESS, .parent = h->e->id, .at = control__wall(h->c)
    };

    store_put_trail(h->c->store, &row, &address_change_record, ch);
}

void asset__put_history(struct control *c, const struct asset_entry *e, const struct asset_addresses *from, const struct asset_addresses *to,
                        bool is_manual)
{
    asset_addresses_diff(from, to, is_manual, put_change, &(struct history){ c, e });
}

/* -- the host row */

uint64_t asset__host(struct control *c, struct asset_entry *e)
{
    struct err err = { 0 };

    if (e->host_id && host__by_id(c, e->host_id))
        return e->host_id;
    e->host_id = 0;
    (void)accent_find(c, "sigma", str_of(e->uuid), &e->host_id, &err);
    return e->host_id;
}

/* -- what changed, for the audit */

static struct str field_text(struct arena *a, const struct field *f, const void *obj)
{
    const void *m = (const char *)obj + f->offset;
    const struct any_list *l = m;

    switch (f->type) {
    case FT_STR:
    case FT_JSON:
    case FT_BYTES:
        return str_sub(*(const struct str *)m, 0, 256);
    case FT_BOOL:
        return *(const bool *)m ? STR("true") : STR("false");
    case FT_I32:
        return arena_printf(a, "%" PRId32, *(const int32_t *)m);
    case FT_U32:
        return arena_printf(a, "%" PRIu32, *(const uint32_t *)m);
    case FT_I64:
        return arena_printf(a, "%" PRId64, *(const int64_t *)m);
    case FT_U64:
    case FT_TIME:
    case FT_TIME_MS:
    case FT_DURATION:
        return arena_printf(a, "%" PRIu64, *(const uint64_t *)m);
    case FT_ENUM:
        return str_of(name_of(f->names, *(const int *)m));
    case FT_STR_LIST: {
        struct str text = STR("");

        for (size_t i = 0; i < l->n && text.len < 256; i++)
            text = arena_printf(a, "%.*s%s%.*s", STR_FMT(text), i ? "," : "", STR_FMT(((const struct str *)l->v)[i]));
        return text;
    }
    case FT_LIST:
        if (f->sub == &asset_address_record) {
            struct str text = STR("");

            for (size_t i = 0; i < l->n && text.len < 256; i++)
                text = arena_printf(a, "%.*s%s%.*s", STR_FMT(text), i ? "," : "",
                                    STR_FMT(((const struct asset_address *)l->v)[i].ip));
            return text;
        }
        break;
    case FT_F64:
    case FT_MAP:
    case FT_SUB:
        break;
    }
    return arena_printf(a, "%zu entries", l->n);
}

size_t asset__diff(struct arena *a, const struct record *rec, const void *from, const void *to, struct details *d)
{
    size_t n = 0;

    for (size_t i = 0; i < rec->n_fields; i++) {
        const struct field *f = &rec->fields[i];

        if (strcmp(f->name, "updated_at_us") == 0 || field_eq(f, from, to))
            continue;
        if (f->offset == offsetof(struct asset, sealed_token) && rec == &asset_record) { /* that it changed, and no more */
            details_str(d, "metrics_token", ((const struct asset *)to)->sealed_token.len ? STR("set") : STR("cleared"));
            n++;
            continue;
        }
        struct str before = field_text(a, f, from), after = field_text(a, f, to);
        n++;
        details_str(d, f->name, arena_printf(a, "%.*s -> %.*s", STR_FMT(before), STR_FMT(after)));
    }
    return n;
}

/* -- the noun */

struct loading {
    struct control *c;
    struct asset_entry **by_id; /* in id order, as rows come */
    size_t n, cap, at;
};

static void load_asset(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    static const struct asset_state nothing = { 0 };
    struct loading *l = ctx;

    (void)parent;
    l->by_id = vec__grow(l->by_id, &l->cap, l->n, sizeof(*l->by_id));
    l->by_id[l->n++] = file(l->c, id, obj, &nothing);
}

static void load_state(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    struct loading *l = ctx;

    (void)parent;
    while (l->at < l->n && l->by_id[l->at]->id < id)
        l->at++;
    if (l->at == l->n || l->by_id[l->at]->id != id)
        return; /* a state without its row: nobody's */
    set_state(assets__of(l->c), l->by_id[l->at], obj);
}

static int load(struct control *c, struct err *err)
{
    struct loading l = { .c = c };
    int r;

    c->noun[NOUN_ASSETS] = xnew0(struct assets);
    assets__of(c)->is_loading = true;
    r = provider__load(c, err);
    if (r == 0)
        r = store_load_objects(c->store, OBJECT_ASSET, &asset_record, load_asset, &l, err);
    if (r == 0)
        r = store_load_objects(c->store, OBJECT_ASSET_STATE, &asset_state_record, load_state, &l, err);
    asset__order_loaded(assets__of(c));
    free(l.by_id);
    return r;
}

static void free_all(struct control *c)
{
    struct assets *s = assets__of(c);
    struct asset_entry *e, *next;
    struct asset_quota_entry *q, *q_next;

    if (!s)
        return;
    HASH_ITER(hh, s->by_uuid, e, next)
    {
        drop_names(s, e);
        HASH_DEL(s->by_uuid, e);
        free(e->asset);
        free(e->state);
        free(e);
    }
    HASH_ITER(hh, s->quotas, q, q_next)
    {
        HASH_DEL(s->quotas, q);
        free(q);
    }
    provider__free_all(c);
    for (int o = 0; o < ASSET_ORDERS; o++)
        vec_done(&s->order[o]);
    vec_done(&s->sorted_providers);
    free(s);
    c->noun[NOUN_ASSETS] = NULL;
}

const struct noun noun_assets = {
    .name = "assets", .load = load, .free = free_all, .dialect = "sigma", .heard_at = asset__heard_at
};
