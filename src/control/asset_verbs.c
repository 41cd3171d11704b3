/* control/asset_verbs.c - what people do with machines: find, create, change, retire, delete, restore. Loop thread. */
#include "control/assets_priv.h"

#include "base/uuid.h"

/* -- looking */

int asset_find(struct control *c, struct str uuid, struct asset_view *ret, struct err *err)
{
    struct asset_entry *e = asset__by_uuid(c, uuid);

    if (!e)
        return err_set(err, -ENOENT, "asset.unknown", "Not found: no VPS %.*s", STR_FMT(str_sub(uuid, 0, 64)));
    asset__view(c, e, ret);
    return 0;
}

int asset_of_host(struct control *c, struct str host, struct asset_view *ret, struct err *err)
{
    char uuid[129];
    struct host *h = host__find(c, host, err);

    if (!h)
        return -ENOENT;
    if (!accent_name_of(c, h->id, "sigma", uuid))
        return err_set(err, -ENOENT, "asset.unknown", "%.*s is no machine of the sigma list", STR_FMT(str_sub(host, 0, 128)));
    return asset_find(c, str_of(uuid), ret, err);
}

/* -- history */

struct history_read {
    asset_history_fn row;
    store_done_fn done;
    void *ctx;
};

static void on_change(void *ctx, const struct trail_row *t, const void *obj)
{
    struct history_read *h = ctx;

    h->row(h->ctx, t->id, t->at, obj);
}

static void on_changes_done(void *ctx, int result)
{
    struct history_read *h = ctx;

    h->done(h->ctx, result);
    free(h);
}

void asset_history(struct control *c, uint64_t id, uint32_t limit, asset_history_fn row, store_done_fn done, void *ctx)
{
    struct history_read *h = xnew0(struct history_read);

    *h = (struct history_read){ row, done, ctx };
    store_read_trail(c->store, TRAIL_ADDRESS, id, 0, 0, limit, &address_change_record, on_change, on_changes_done, h);
}

/* -- changing */

static int begin(struct control *c, const struct principal *p, struct str target, struct err *err)
{
    int r = authz(c, p, VERB_ASSET, target, err);

    return r == 0 && control_refuses_writes(c, err) ? -EAGAIN : r;
}

static int refused(struct control *c, const struct principal *p, struct str target, int r, const struct err *err)
{
    return audit__refused(c, p, VERB_ASSET, target, r, err);
}

static int find(struct control *c, struct str uuid, struct asset_entry **ret, struct err *err)
{
    *ret = asset__by_uuid(c, uuid);
    if (*ret)
        return 0;
    return err_set(err, -ENOENT, "asset.unknown", "Not found: no VPS %.*s", STR_FMT(str_sub(uuid, 0, 64)));
}

static int find_living(struct control *c, struct str uuid, struct asset_entry **ret, struct err *err)
{
    int r = find(c, uuid, ret, err);

    if (r == 0 && (*ret)->asset->status == ASSET_DELETED)
        r = err_set(err, -EBUSY, "asset.state", "%.*s is deleted: restore it first", STR_FMT((*ret)->asset->hostname));
    return r;
}

/* Free among the living, or @mine. */
static int check_name(struct control *c, const struct asset_entry *mine, const struct asset *a, struct err *err)
{
    struct asset_name *n = NULL;

    if (a->status == ASSET_DELETED || a->hostname.len == 0)
        return 0;
    HASH_FIND(hh, assets__of(c)->names, a->hostname.ptr, a->hostname.len, n);
    if (!n || n->e == mine)
        return 0;
    return err_set(err, -EEXIST, "asset.name_taken", "there is a VPS with hostname %.*s already", STR_FMT(str_sub(a->hostname, 0, 128)));
}

static int check_provider(struct control *c, struct asset *a, struct err *err)
{
    struct provider_entry *p;

    if (a->provider_id.len == 0)
        return 0;
    p = provider__by_uuid(c, a->provider_id);
    if (!p)
        return err_set(err, -EINVAL, "field.provider", "provider_id: there is no provider %.*s", STR_FMT(a->provider_id));
    a->provider_id = str_of(p->uuid); /* as we spell it */
    return 0;
}

static void take_extra(struct asset *a, const struct asset_extra *x)
{
    if (!x->is_given)
        return;
    a->extra = x->rest;
    a->retired_at = x->retired_at;
    a->other_names = x->other_names;
    a->seen_retired_at = 0;
}

/* What a row made of a wish borrows from. */
struct room {
    struct asset_address told[ASSET_ADDRESSES], merged[ASSET_ADDRESSES];
    struct buf sealed;
};
static void room_done(struct room *r)
{
    buf_done(&r->sealed);
}
DEFINE_AUTO_VALUE(struct room, room_done)

static int take_token(struct control *c, struct asset *next, const struct asset_wish *w, struct room *room, struct err *err)
{
    int r;

    if (!field_is_present(&asset_wish_record, w, "metrics_token") && !field_is_null(&asset_wish_record, w, "metrics_token"))
        return 0;
    room->sealed = BUF(ASSET_SEALED_BYTES);
    r = asset__seal_token(c, next->uuid, w->metrics_token, &room->sealed, err);
    next->sealed_token = buf_as_str(&room->sealed);
    return r;
}

/* @w and @x over @next, checked; it borrows from @room. */
static int apply(struct control *c, const struct asset_entry *mine, struct asset *next, const struct asset_wish *w,
                 const struct asset_extra *x, struct room *room, struct err *err)
{
    struct asset_addresses told, stored = next->addresses;
    int r = asset_apply(next, w, err);

    if (r == 0 && field_is_present(&asset_wish_record, w, "ip_addresses")) {
        r = asset_addresses_clean(&w->addresses, room->told, &told, err);
        if (r == 0)
            asset_addresses_by_operator(&stored, &told, room->merged, &next->addresses);
    }
    if (r == 0)
        r = take_token(c, next, w, room, err);
    if (r == 0)
        r = check_provider(c, next, err);
    take_extra(next, x);
    return r == 0 ? check_name(c, mine, next, err) : r;
}

int asset_create(struct control *c, const struct principal *p, const struct asset_wish *w, const struct asset_extra *x,
                 struct asset_view *ret, struct err *err)
{
    static const struct asset_addresses none = { 0 };
    AUTO(room_done) struct room room = { 0 };
    char uuid[UUID_TEXT_MAX];
    struct asset_state st = x->has_state ? x->state : (struct asset_state){ 0 };
    struct uuid u = uuid_v7(control__wall(c));
    struct details d = { 0 };
    struct asset_entry *e;
    struct asset next;
    int r = begin(c, p, w->hostname, err);

    if (r < 0)
        return r;
    asset_defaults(&next, ASSET_PROVISIONING, "manual");
    uuid_format(&u, uuid);
    next.uuid = str_of(uuid);
    if (!field_is_present(&asset_wish_record, w, "hostname"))
        r = err_set(err, -EINVAL, "field.required", "hostname: must be there");
    if (r == 0)
        r = apply(c, NULL, &next, w, x, &room, err);
    if (r == 0 && HASH_COUNT(assets__of(c)->by_uuid) >= ASSETS_MAX)
        r = err_set(err, -EBUSY, "enroll.full", "there are %d machines: no more fit", ASSETS_MAX);
    if (r < 0)
        return refused(c, p, w->hostname, r, err);

    next.created_at = next.updated_at = control__wall(c);
    /* What an import says of a sighting is history: it makes nobody online whom we never heard. */
    usec_t newest = next.created_at - ASSET_ONLINE_S * USEC_PER_SEC;
    if (st.last_heartbeat > newest)
        st.last_heartbeat = newest;
    e = asset__add(c, &next, &st);
    asset__put_history(c, e, &none, &e->asset->addresses, true);
    details_str(details_str(&d, "did", STR("asset.create")), "hostname", e->asset->hostname);
    audit__ok(c, p, VERB_ASSET, str_of(e->uuid), &d);
    asset__view(c, e, ret);
    return 0;
}

/* @next in the place of @e's row: audit with the difference, history, the row. */
static void commit(struct control *c, const struct principal *p, struct asset_entry *e, struct asset *next, const char *did)
{
    AUTO(arena_free) struct arena *a = arena_new(256 << 10);
    struct details d = { 0 };

    if (next->status != e->asset->status)
        next->seen_retired_at = 0; /* it was said of the status that ends here */
    details_str(&d, "did", str_of(did));
    if (asset__diff(a, &asset_record, e->asset, next, &d) == 0)
        return;
    next->updated_at = control__wall(c);
    asset__put_history(c, e, &e->asset->addresses, &next->addresses, true);
    audit__ok(c, p, VERB_ASSET, str_of(e->uuid), &d);
    asset__set(c, e, next);
}

int asset_change(struct control *c, const struct principal *p, struct str uuid, const struct asset_wish *w, const struct asset_extra *x,
                 struct asset_view *ret, struct err *err)
{
    AUTO(room_done) struct room room = { 0 };
    struct asset_entry *e;
    struct asset next;
    const struct host *h;
    int r = begin(c, p, uuid, err);

    if (r < 0)
        return r;
    r = find_living(c, uuid, &e, err);
    if (r == 0) {
        next = *e->asset;
        r = apply(c, e, &next, w, x, &room, err);
    }
    /* Agents go by the host name: under its old one the machine would be a newcomer. */
    if (r == 0 && !str_eq(next.hostname, e->asset->hostname) && (h = host__by_id(c, asset__host(c, e))))
        r = enroll__may_leave(c, p, h, err);
    if (r < 0)
        return refused(c, p, uuid, r, err);
    commit(c, p, e, &next, "asset.change");
    if (x->has_state) {
        struct asset_state st = x->state;

        st.last_heartbeat = e->state->last_heartbeat;
        st.updated_at = control__wall(c);
        asset__set_state(c, e, &st);
    }
    asset__view(c, e, ret);
    return 0;
}

int asset_retire(struct control *c, const struct principal *p, struct str uuid, struct asset_view *ret, struct err *err)
{
    struct asset_entry *e;
    struct asset next;
    int r = begin(c, p, uuid, err);

    if (r < 0)
        return r;
    r = find_living(c, uuid, &e, err);
    if (r < 0)
        return refused(c, p, uuid, r, err);
    next = *e->asset;
    next.status = ASSET_RETIRED;
    next.monitoring_enabled = false;
    next.retired_at = control__wall(c);
    next.seen_retired_at = 0; /* of this retirement nothing is known yet */
    commit(c, p, e, &next, "asset.retire");
    asset__view(c, e, ret);
    return 0;
}

int asset_delete(struct control *c, const struct principal *p, struct str uuid, struct err *err)
{
    struct asset_entry *e;
    struct asset next;
    struct host *h;
    int r = begin(c, p, uuid, err);

    if (r < 0)
        return r;
    r = find(c, uuid, &e, err);
    if (r == 0 && e->asset->status == ASSET_DELETED)
        r = err_set(err, -ENOENT, "asset.unknown", "Not found: %.*s is deleted already", STR_FMT(e->asset->hostname));
    if (r < 0)
        return refused(c, p, uuid, r, err);

    h = host__by_id(c, asset__host(c, e));
    if (h)
        r = accent__let_go(c, p, h, "sigma", str_of(e->uuid), "its VPS was deleted", err);
    if (r < 0)
        return refused(c, p, uuid, r, err);
    e->host_id = 0;
    next = *e->asset;
    next.status = ASSET_DELETED;
    next.monitoring_enabled = false;
    next.sealed_token = STR_NONE;
    commit(c, p, e, &next, "asset.delete");
    return 0;
}

int asset_restore(struct control *c, const struct principal *p, struct str uuid, struct asset_view *ret, struct err *err)
{
    struct asset_entry *e;
    struct asset next;
    int r = begin(c, p, uuid, err);

    if (r < 0)
        return r;
    r = find(c, uuid, &e, err);
    if (r == 0 && e->asset->status != ASSET_DELETED)
        r = err_set(err, -EBUSY, "asset.state", "%.*s is not deleted", STR_FMT(e->asset->hostname));
    if (r == 0) {
        next = *e->asset;
        next.status = ASSET_RETIRED;
        r = check_name(c, e, &next, err);
    }
    if (r < 0)
        return refused(c, p, uuid, r, err);
    commit(c, p, e, &next, "asset.restore");
    asset__view(c, e, ret);
    return 0;
}
