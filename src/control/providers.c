/* control/providers.c - who rents machines out. Loop thread. */
#include "control/assets_priv.h"

#include "base/uuid.h"

struct provider_entry *provider__by_uuid(const struct control *c, struct str uuid)
{
    struct provider_entry *e = NULL;
    char text[UUID_TEXT_MAX];
    struct uuid u;

    if (uuid.len != UUID_TEXT_LEN || uuid_parse(uuid, &u) < 0)
        return NULL;
    uuid_format(&u, text);
    HASH_FIND(hh, assets__of(c)->providers, text, UUID_TEXT_LEN, e);
    return e;
}

static struct provider_entry *by_name(const struct control *c, struct str name)
{
    for (struct provider_entry *e = assets__of(c)->providers; e; e = e->hh.next)
        if (str_eq(e->p->name, name))
            return e;
    return NULL;
}

const struct provider *provider_by_name(struct control *c, struct str name)
{
    struct provider_entry *e = by_name(c, name);

    return e ? e->p : NULL;
}

static struct provider_entry *file(struct control *c, uint64_t id, const struct provider *p)
{
    struct provider_entry *e = xnew0(struct provider_entry);

    e->id = id;
    (void)str_copy(p->uuid, e->uuid, sizeof(e->uuid));
    e->p = record_pack(&provider_record, p);
    HASH_ADD(hh, assets__of(c)->providers, uuid, UUID_TEXT_LEN, e);
    return e;
}

static void put(struct control *c, const struct provider_entry *e)
{
    store_put_object(c->store, OBJECT_PROVIDER, e->id, 0, &provider_record, e->p);
}

static void load_one(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    (void)parent;
    (void)file(ctx, id, obj);
}

int provider__load(struct control *c, struct err *err)
{
    return store_load_objects(c->store, OBJECT_PROVIDER, &provider_record, load_one, c, err);
}

static void drop(struct assets *s, struct provider_entry *e)
{
    HASH_DEL(s->providers, e);
    free(e->p);
    free(e);
}

void provider__free_all(struct control *c)
{
    struct provider_entry *e, *next;

    HASH_ITER(hh, assets__of(c)->providers, e, next)
    drop(assets__of(c), e);
}

static void view(const struct provider_entry *e, struct provider_view *ret)
{
    *ret = (struct provider_view){ e->p, e->n_assets };
}

/* -- verbs */

static int compare(const void *a, const void *b)
{
    const struct provider_entry *x = *(struct provider_entry *const *)a, *y = *(struct provider_entry *const *)b;

    return str_cmp(x->p->name, y->p->name);
}

size_t provider_list(struct control *c, bool (*fn)(void *ctx, const struct provider_view *v), void *ctx)
{
    struct assets *s = assets__of(c);

    s->sorted_providers.n = 0;
    for (struct provider_entry *e = s->providers; e; e = e->hh.next)
        *vec_add(&s->sorted_providers) = e;
    if (s->sorted_providers.n)
        qsort(s->sorted_providers.v, s->sorted_providers.n, sizeof(*s->sorted_providers.v), compare);
    for (size_t i = 0; i < s->sorted_providers.n; i++) {
        struct provider_view v;

        view(s->sorted_providers.v[i], &v);
        if (!fn(ctx, &v))
            break;
    }
    return s->sorted_providers.n;
}

int provider_find(struct control *c, struct str uuid, struct provider_view *ret, struct err *err)
{
    struct provider_entry *e = provider__by_uuid(c, uuid);

    if (!e)
        return err_set(err, -ENOENT, "provider.unknown", "no provider %.*s", STR_FMT(str_sub(uuid, 0, 64)));
    view(e, ret);
    return 0;
}

/* Right and readiness. */
static int begin(struct control *c, const struct principal *p, struct str target, struct err *err)
{
    int r = authz(c, p, VERB_ASSET, target, err);

    return r == 0 && control_refuses_writes(c, err) ? -EAGAIN : r;
}

static int check_name(const struct control *c, const struct provider_entry *mine, struct str name, struct err *err)
{
    struct provider_entry *other = by_name(c, name);

    if (!other || other == mine)
        return 0;
    return err_set(err, -EEXIST, "provider.name_taken", "there is a provider named %.*s already", STR_FMT(str_sub(name, 0, 128)));
}

int provider_create(struct control *c, const struct principal *p, const struct provider_wish *w, struct provider_view *ret,
                    struct err *err)
{
    struct provider next = { 0 };
    struct details d = { 0 };
    char uuid[UUID_TEXT_MAX];
    struct uuid u = uuid_v7(control__wall(c));
    int r = begin(c, p, w->name, err);

    if (r < 0)
        return r;
    r = provider_apply(&next, w, err);
    if (r == 0)
        r = check_name(c, NULL, next.name, err);
    if (r == 0 && HASH_COUNT(assets__of(c)->providers) >= PROVIDERS_MAX)
        r = err_set(err, -EBUSY, "enroll.full", "there are %d providers: no more fit", PROVIDERS_MAX);
    if (r < 0)
        return audit__refused(c, p, VERB_ASSET, w->name, r, err);

    uuid_format(&u, uuid);
    next.uuid = str_of(uuid);
    next.created_at = next.updated_at = control__wall(c);
    struct provider_entry *e = file(c, object__next(c, OBJECT_PROVIDER), &next);
    put(c, e);
    details_str(details_str(&d, "did", STR("provider.create")), "name", e->p->name);
    audit__ok(c, p, VERB_ASSET, str_of(e->uuid), &d);
    view(e, ret);
    return 0;
}

int provider_change(struct control *c, const struct principal *p, struct str uuid, const struct provider_wish *w,
                    struct provider_view *ret, struct err *err)
{
    AUTO(arena_free) struct arena *a = arena_new(64 << 10);
    struct provider_entry *e;
    struct provider next, *old;
    struct details d = { 0 };
    int r = begin(c, p, uuid, err);

    if (r < 0)
        return r;
    e = provider__by_uuid(c, uuid);
    if (!e)
        r = err_set(err, -ENOENT, "provider.unknown", "no provider %.*s", STR_FMT(str_sub(uuid, 0, 64)));
    if (r == 0) {
        next = *e->p;
        r = provider_apply(&next, w, err);
    }
    if (r == 0)
        r = check_name(c, e, next.name, err);
    if (r < 0)
        return audit__refused(c, p, VERB_ASSET, uuid, r, err);

    details_str(&d, "did", STR("provider.change"));
    if (asset__diff(a, &provider_record, e->p, &next, &d) > 0) {
        next.updated_at = control__wall(c);
        old = e->p;
        e->p = record_pack(&provider_record, &next);
        put(c, e);
        audit__ok(c, p, VERB_ASSET, str_of(e->uuid), &d);
        free(old);
    }
    view(e, ret);
    return 0;
}

int provider_delete(struct control *c, const struct principal *p, struct str uuid, struct err *err)
{
    struct assets *s = assets__of(c);
    struct details d = { 0 };
    struct provider_entry *e;
    uint64_t n = 0;
    int r = begin(c, p, uuid, err);

    if (r < 0)
        return r;
    e = provider__by_uuid(c, uuid);
    if (!e)
        return audit__refused(c, p, VERB_ASSET, uuid,
                              err_set(err, -ENOENT, "provider.unknown", "no provider %.*s", STR_FMT(str_sub(uuid, 0, 64))), err);
    for (struct asset_entry *a = s->by_uuid; a; a = a->hh.next) {
        struct asset next = *a->asset;

        if (!str_is(next.provider_id, e->uuid))
            continue;
        next.provider_id = STR_NONE;
        next.updated_at = control__wall(c);
        asset__set(c, a, &next);
        n++;
    }
    details_str(details_str(&d, "did", STR("provider.delete")), "name", e->p->name);
    audit__ok(c, p, VERB_ASSET, str_of(e->uuid), details_u64(&d, "assets", n));
    store_del_object(c->store, OBJECT_PROVIDER, e->id);
    drop(s, e);
    return 0;
}
