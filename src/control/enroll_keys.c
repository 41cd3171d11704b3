/* control/enroll_keys.c - keys that reporters come in with. The secret is a credential; here is what it is good for. Loop thread. */
#include "control/report_priv.h"

struct key_entry *enroll_key__by_id(const struct control *c, uint64_t id)
{
    struct key_entry *e = NULL;
    if (id)
        HASH_FIND(hh, report__book(c)->keys, &id, sizeof(id), e);
    return e;
}

struct key_entry *enroll_key__by_credential(const struct control *c, uint64_t credential_id)
{
    struct key_entry *e = NULL;
    if (credential_id)
        HASH_FIND(hh_credential, report__book(c)->keys_by_credential, &credential_id, sizeof(credential_id), e);
    return e;
}

const struct enroll_key *enroll_key_by_id(struct control *c, uint64_t id)
{
    struct key_entry *e = enroll_key__by_id(c, id);
    return e ? &e->k : NULL;
}

static struct key_entry *by_name(const struct control *c, struct str name)
{
    struct key_entry *e, *next;
    HASH_ITER(hh, report__book(c)->keys, e, next)
    if (str_eq(e->k.name, name))
        return e;
    return NULL;
}

static struct key_entry *file(struct control *c, const struct enroll_key *row)
{
    struct key_entry *e = xnew0(struct key_entry);
    e->k = *row;
    e->k.name = e->k.description = e->k.hint = STR_NONE;
    report__set(&e->k.name, row->name);
    report__set(&e->k.description, row->description);
    report__set(&e->k.hint, row->hint);
    HASH_ADD(hh, report__book(c)->keys, k.id, sizeof(e->k.id), e);
    HASH_ADD(hh_credential, report__book(c)->keys_by_credential, k.credential_id, sizeof(e->k.credential_id), e);
    return e;
}

void enroll_key__put(struct control *c, const struct key_entry *e)
{
    store_put_object(c->store, OBJECT_ENROLL_KEY, e->k.id, 0, &enroll_key_record, &e->k);
}

static int check(struct control *c, const struct enroll_key_wish *w, const struct record *rec, const struct key_entry *self,
                 struct err *err)
{
    int r = report__check_texts(rec, w, w->name, w->description, err);
    const struct key_entry *other = r == 0 && report__given(rec, w, "name") ? by_name(c, w->name) : NULL;
    if (r < 0)
        return r;
    if (w->require_client_cert && !c->conf.asks_client_certs)
        return err_set(err, -EBUSY, "client_cert.off",
                       "this server does not ask for certificates, so nobody could use the key: http_client_certs turns that on");
    if (w->policy_id && !policy__by_id(c, w->policy_id))
        return err_set(err, -ENOENT, "report_policy.unknown", "there is no policy %llu", (unsigned long long)w->policy_id);
    if (other && other != self)
        return err_set(err, -EEXIST, "name.taken", "another enrollment key has this name");
    return 0;
}

static void take(struct enroll_key *k, const struct enroll_key_wish *w, const struct record *rec)
{
    if (report__given(rec, w, "name"))
        report__set(&k->name, w->name);
    if (report__given(rec, w, "description")) {
        k->has_description = !field_is_null(rec, w, "description");
        report__set(&k->description, w->description);
    }
    if (report__given(rec, w, "default_policy_id"))
        k->policy_id = w->policy_id;
    if (report__given(rec, w, "auto_approve"))
        k->auto_approve = w->auto_approve;
    if (report__given(rec, w, "is_active"))
        k->is_active = w->is_active;
    if (report__given(rec, w, "require_client_cert"))
        k->require_client_cert = w->require_client_cert;
    if (report__given(rec, w, "expires_at"))
        k->expires_at = w->expires_at;
    if (report__given(rec, w, "max_registrations"))
        k->max_registrations = w->max_registrations;
}

int enroll_key_create(struct control *c, const struct principal *p, const struct enroll_key_wish *w, char ret_text[SECRET_TEXT_MAX],
                      const struct enroll_key **ret, struct err *err)
{
    const struct record *rec = &enroll_key_create_record;
    int r = report__begin(c, p, VERB_FOREIGN_KEY, w->name, err);
    if (r < 0)
        return r;
    r = check(c, w, rec, NULL, err);
    if (r == 0 && HASH_COUNT(report__book(c)->keys) >= ENROLL_KEYS_MAX)
        r = err_set(err, -EBUSY, "enroll_key.full", "there are %d enrollment keys already", ENROLL_KEYS_MAX);
    const struct credential *cr = NULL;
    if (r == 0) {
        const struct credential_wish wish = { .kind = SECRET_GRAPHEON_ENROLL, .name = w->name, .created_by = str_of(p->name) };
        cr = credential_make(c, &wish, ret_text);
        if (!cr)
            r = err_set(err, -EBUSY, "enroll_key.full", "no more keys can be made");
    }
    if (r < 0)
        return audit__refused(c, p, VERB_FOREIGN_KEY, w->name, r, err);
    const struct enroll_key row = {
        .id = object__next(c, OBJECT_ENROLL_KEY),
        .credential_id = cr->id,
        .hint = cr->hint,
        .is_active = true,
        .created_at = control__wall(c),
        .updated_at = control__wall(c),
    };
    struct key_entry *e = file(c, &row);
    take(&e->k, w, rec);
    enroll_key__put(c, e);
    struct details d = { 0 };
    details_str(details_str(&d, "action", STR("create")), "kind", STR("enrollment key"));
    audit__ok(c, p, VERB_FOREIGN_KEY, e->k.name, details_u64(&d, "key", e->k.id));
    *ret = &e->k;
    return 0;
}

int enroll_key_change(struct control *c, const struct principal *p, uint64_t id, const struct enroll_key_wish *w,
                      const struct enroll_key **ret, struct err *err)
{
    const struct record *rec = &enroll_key_change_record;
    char target[24];
    snprintf(target, sizeof(target), "%llu", (unsigned long long)id);
    int r = report__begin(c, p, VERB_FOREIGN_KEY, str_of(target), err);
    if (r < 0)
        return r;
    struct key_entry *e = enroll_key__by_id(c, id);
    if (!e)
        r = err_set(err, -ENOENT, "enroll_key.unknown", "there is no enrollment key %s", target);
    else
        r = check(c, w, rec, e, err);
    if (r < 0)
        return audit__refused(c, p, VERB_FOREIGN_KEY, str_of(target), r, err);
    take(&e->k, w, rec);
    e->k.updated_at = control__wall(c);
    enroll_key__put(c, e);
    struct details d = { 0 };
    details_str(details_str(&d, "action", STR("change")), "kind", STR("enrollment key"));
    audit__ok(c, p, VERB_FOREIGN_KEY, e->k.name, details_u64(&d, "key", id));
    *ret = &e->k;
    return 0;
}

static int by_name_order(struct key_entry *a, struct key_entry *b)
{
    return str_cmp(a->k.name, b->k.name);
}

void enroll_key_list(struct control *c, int is_active, void (*fn)(void *ctx, const struct enroll_key *k), void *ctx)
{
    struct key_entry *e, *next;
    HASH_SRT(hh, report__book(c)->keys, by_name_order);
    HASH_ITER(hh, report__book(c)->keys, e, next)
    if (is_active < 0 || e->k.is_active == (is_active > 0))
        fn(ctx, &e->k);
}

/* -- the noun */
static void load_one(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    struct enroll_key row = *(const struct enroll_key *)obj;
    (void)parent;
    row.id = id;
    file(ctx, &row);
}

int enroll_key__load(struct control *c, struct err *err)
{
    return store_load_objects(c->store, OBJECT_ENROLL_KEY, &enroll_key_record, load_one, c, err);
}

void enroll_key__free_all(struct control *c)
{
    struct key_entry *e, *next;
    HASH_CLEAR(hh_credential, report__book(c)->keys_by_credential);
    HASH_ITER(hh, report__book(c)->keys, e, next)
    {
        HASH_DEL(report__book(c)->keys, e);
        report__set(&e->k.name, STR_NONE);
        report__set(&e->k.description, STR_NONE);
        report__set(&e->k.hint, STR_NONE);
        free(e);
    }
}
