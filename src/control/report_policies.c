/* control/report_policies.c - how often reporters come and what they collect. Loop thread. */
#include "control/report_priv.h"

enum { INTERVAL_S = 3600, JITTER_S = 300, TIMEOUT_S = 15, REPORT_BYTES = 262144 };

struct policy_entry *policy__by_id(const struct control *c, uint64_t id)
{
    struct policy_entry *e = NULL;
    if (id)
        HASH_FIND(hh, report__book(c)->policies, &id, sizeof(id), e);
    return e;
}

const struct report_policy *report_policy_by_id(struct control *c, uint64_t id)
{
    struct policy_entry *e = policy__by_id(c, id);
    return e ? &e->p : NULL;
}

uint64_t report_policy_count(struct control *c, uint64_t id)
{
    struct policy_entry *e = policy__by_id(c, id);
    return e ? e->n_reporters : 0;
}

static struct policy_entry *by_name(const struct control *c, struct str name)
{
    struct policy_entry *e, *next;
    HASH_ITER(hh, report__book(c)->policies, e, next)
    if (str_eq(e->p.name, name))
        return e;
    return NULL;
}

static struct policy_entry *file(struct control *c, const struct report_policy *row)
{
    struct policy_entry *e = xnew0(struct policy_entry);
    e->p = *row;
    e->p.name = e->p.description = e->p.target_version = STR_NONE;
    e->p.collectors = (struct str_list){ 0 };
    report__set(&e->p.name, row->name);
    report__set(&e->p.description, row->description);
    report__set(&e->p.target_version, row->target_version);
    report__set_list(&e->p.collectors, row->collectors.v, row->collectors.n);
    HASH_ADD(hh, report__book(c)->policies, p.id, sizeof(e->p.id), e);
    return e;
}

static void put(struct control *c, const struct policy_entry *e)
{
    store_put_object(c->store, OBJECT_REPORT_POLICY, e->p.id, 0, &report_policy_record, &e->p);
}

/* -- what policies and enrolment keys have in common */
int report__begin(struct control *c, const struct principal *p, enum verb v, struct str target, struct err *err)
{
    int r = authz(c, p, v, target, err);
    if (r < 0)
        return r;
    return control_refuses_writes(c, err) ? -EAGAIN : 0;
}

static int too_long(struct err *err, const char *field, unsigned least, unsigned most)
{
    err_set(err, -EINVAL, "field.too_long", "has %u to %u characters", least, most);
    err_path(err, field);
    return -EINVAL;
}

int report__check_texts(const struct record *rec, const void *wish, struct str name, struct str description, struct err *err)
{
    if (report__given(rec, wish, "name") && (name.len == 0 || !report__fits(name, REPORT_NAME_MAX)))
        return too_long(err, "name", 1, REPORT_NAME_MAX);
    if (!report__fits(description, REPORT_DESCRIPTION_MAX))
        return too_long(err, "description", 0, REPORT_DESCRIPTION_MAX);
    return 0;
}

/* -- operators' words */
static int check(struct control *c, const struct report_policy_wish *w, const struct record *rec, const struct policy_entry *self,
                 struct err *err)
{
    int r = report__check_texts(rec, w, w->name, w->description, err);
    const struct policy_entry *other = r == 0 && report__given(rec, w, "name") ? by_name(c, w->name) : NULL;
    if (r < 0)
        return r;
    if (other && other != self)
        return err_set(err, -EEXIST, "name.taken", "another policy has this name");
    if (w->target_version.len && !report_version_fits(w->target_version)) {
        err_set(err, -EINVAL, "field.invalid", "a version is letters, digits and . + ~ _ : -, at most %d", REPORT_VERSION_MAX);
        err_path(err, "target_version");
        return -EINVAL;
    }
    for (size_t i = 0; i < w->collectors.n; i++)
        if (!report_collector_fits(w->collectors.v[i])) {
            err_set(err, -EINVAL, "field.invalid", "a collector's name is letters, digits and . _ -, at most %d", REPORT_COLLECTOR_NAME_MAX);
            err_path(err, "collectors");
            return -EINVAL;
        }
    return 0;
}

static void take(struct report_policy *p, const struct report_policy_wish *w, const struct record *rec)
{
    if (report__given(rec, w, "name"))
        report__set(&p->name, w->name);
    if (report__given(rec, w, "description")) {
        p->has_description = !field_is_null(rec, w, "description");
        report__set(&p->description, w->description);
    }
    if (report__given(rec, w, "checkin_interval_seconds"))
        p->interval_s = w->interval_s;
    if (report__given(rec, w, "jitter_seconds"))
        p->jitter_s = w->jitter_s;
    if (report__given(rec, w, "command_timeout_seconds"))
        p->command_timeout_s = w->command_timeout_s;
    if (report__given(rec, w, "enabled_commands")) {
        p->commands_named = w->commands_named;
        p->commands_on = w->commands_on;
    }
    if (report__given(rec, w, "max_report_bytes"))
        p->max_report_bytes = w->max_report_bytes;
    if (report__given(rec, w, "is_active"))
        p->is_active = w->is_active;
    if (report__given(rec, w, "target_version"))
        report__set(&p->target_version, w->target_version);
    if (report__given(rec, w, "collectors")) {
        p->has_collectors = !field_is_null(rec, w, "collectors");
        report__set_list(&p->collectors, w->collectors.v, w->collectors.n);
    }
}

int report_policy_create(struct control *c, const struct principal *p, const struct report_policy_wish *w,
                         const struct report_policy **ret, struct err *err)
{
    const struct record *rec = &report_policy_create_record;
    int r = report__begin(c, p, VERB_REPORT_POLICY, w->name, err);
    if (r < 0)
        return r;
    r = check(c, w, rec, NULL, err);
    if (r == 0 && HASH_COUNT(report__book(c)->policies) >= REPORT_POLICIES_MAX)
        r = err_set(err, -EBUSY, "report_policy.full", "there are %d policies already", REPORT_POLICIES_MAX);
    if (r < 0)
        return audit__refused(c, p, VERB_REPORT_POLICY, w->name, r, err);
    struct report_policy row = {
        .id = object__next(c, OBJECT_REPORT_POLICY),
        .interval_s = INTERVAL_S,
        .jitter_s = JITTER_S,
        .command_timeout_s = TIMEOUT_S,
        .commands_named = REPORT_COMMANDS_ALL,
        .commands_on = REPORT_COMMANDS_ALL,
        .max_report_bytes = REPORT_BYTES,
        .is_active = true,
        .created_at = control__wall(c),
        .updated_at = control__wall(c),
    };
    struct policy_entry *e = file(c, &row);
    take(&e->p, w, rec);
    put(c, e);
    struct details d = { 0 };
    audit__ok(c, p, VERB_REPORT_POLICY, e->p.name, details_u64(details_str(&d, "action", STR("create")), "policy", e->p.id));
    *ret = &e->p;
    return 0;
}

int report_policy_change(struct control *c, const struct principal *p, uint64_t id, const struct report_policy_wish *w,
                         const struct report_policy **ret, struct err *err)
{
    const struct record *rec = &report_policy_change_record;
    char target[24];
    snprintf(target, sizeof(target), "%llu", (unsigned long long)id);
    int r = report__begin(c, p, VERB_REPORT_POLICY, str_of(target), err);
    if (r < 0)
        return r;
    struct policy_entry *e = policy__by_id(c, id);
    if (!e)
        r = err_set(err, -ENOENT, "report_policy.unknown", "there is no policy %s", target);
    else
        r = check(c, w, rec, e, err);
    if (r < 0)
        return audit__refused(c, p, VERB_REPORT_POLICY, str_of(target), r, err);
    take(&e->p, w, rec);
    e->p.updated_at = control__wall(c);
    put(c, e);
    struct details d = { 0 };
    audit__ok(c, p, VERB_REPORT_POLICY, e->p.name, details_u64(details_str(&d, "action", STR("change")), "policy", id));
    *ret = &e->p;
    return 0;
}

static int by_name_order(struct policy_entry *a, struct policy_entry *b)
{
    return str_cmp(a->p.name, b->p.name);
}

void report_policy_list(struct control *c, int is_active, void (*fn)(void *ctx, const struct report_policy *p), void *ctx)
{
    struct policy_entry *e, *next;
    HASH_SRT(hh, report__book(c)->policies, by_name_order);
    HASH_ITER(hh, report__book(c)->policies, e, next)
    if (is_active < 0 || e->p.is_active == (is_active > 0))
        fn(ctx, &e->p);
}

/* -- the noun */
static void load_one(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    struct report_policy row = *(const struct report_policy *)obj;
    (void)parent;
    row.id = id;
    file(ctx, &row);
}

int policy__load(struct control *c, struct err *err)
{
    return store_load_objects(c->store, OBJECT_REPORT_POLICY, &report_policy_record, load_one, c, err);
}

void policy__free_all(struct control *c)
{
    struct policy_entry *e, *next;
    HASH_ITER(hh, report__book(c)->policies, e, next)
    {
        HASH_DEL(report__book(c)->policies, e);
        report__set(&e->p.name, STR_NONE);
        report__set(&e->p.description, STR_NONE);
        report__set(&e->p.target_version, STR_NONE);
        report__set_list(&e->p.collectors, NULL, 0);
        free(e);
    }
}
