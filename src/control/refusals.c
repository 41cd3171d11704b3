/* control/refusals.c - refusals as audit rows: rationed, and what the ration leaves out counted. Loop thread.
 *
 * A flood of refusals must not fill the disk, and must not be silent either. A row that is let through says how many refusals of
 * the same caller had none (left_out); what is counted and not told so within TELL_AFTER_S has a row of its own. Callers are
 * counted one by one up to CALLERS_MAX, all others together. */
#include "control/core.h"

enum { CALLERS_MAX = 64, TELL_AFTER_S = 10 };

struct left_out {
    char kind, key[96]; /* of the ration; no key: everybody beyond CALLERS_MAX */
    uint64_t n, n_limited;
};
struct refusals {
    struct left_out callers[CALLERS_MAX], others;
    size_t n_callers;
    struct bucket strangers;
    usec_t tell_at; /* mono; 0: nothing is counted */
};

struct refusals *refusals_new(void)
{
    return xnew0(struct refusals);
}

void refusals_free(struct refusals *rs)
{
    free(rs);
}

static struct left_out *find(struct refusals *rs, char kind, struct str key)
{
    for (size_t i = 0; i < rs->n_callers; i++)
        if (rs->callers[i].kind == kind && str_is(key, rs->callers[i].key))
            return &rs->callers[i];
    return NULL;
}

static struct left_out *find_or_add(struct control *c, char kind, struct str key)
{
    struct refusals *rs = c->refusals;
    struct left_out *l = find(rs, kind, key);
    if (!rs->tell_at)
        rs->tell_at = control__mono(c) + TELL_AFTER_S * USEC_PER_SEC;
    if (l)
        return l;
    if (rs->n_callers == CALLERS_MAX || key.len == 0)
        return &rs->others;
    l = &rs->callers[rs->n_callers++];
    *l = (struct left_out){ .kind = kind };
    (void)str_copy(key, l->key, sizeof(l->key));
    return l;
}

static void put_counts(struct details *d, const struct left_out *l)
{
    if (l->n)
        details_u64(d, "left_out", l->n);
    if (l->n_limited)
        details_u64(d, "answered_429", l->n_limited);
}

/* Adds what was left out of that caller so far to @d, and forgets it. */
static void take_counts(struct refusals *rs, char kind, struct str key, struct details *d)
{
    struct left_out *l = find(rs, kind, key);
    if (!l)
        return;
    put_counts(d, l);
    *l = rs->callers[--rs->n_callers];
    if (rs->n_callers == 0 && rs->others.n == 0 && rs->others.n_limited == 0)
        rs->tell_at = 0;
}

/* While the database takes nothing, rows would only pile up in memory. */
static bool may_write(struct control *c, char kind, struct str key)
{
    static const struct rate of_principal = { 10, 100 };
    usec_t now = control__mono(c);
    if (store_health(c->store, NULL) < 0)
        return false;
    if (kind == REFUSED_PRINCIPAL)
        return admission_take(c->admission, kind, key, &of_principal, now, NULL);
    return admission_take(c->admission, kind, key, &c->conf.admission.auth_failure, now, NULL) &&
           (kind != REFUSED_CALLER || bucket_take(&c->refusals->strangers, &c->conf.admission.auth_failures, now, 1, NULL));
}

void refusal__row(struct control *c, enum refused kind, const char *who, const char *peer, const char *verb, struct str target,
                  const char *outcome, const char *slug, struct details *d)
{
    struct str key = str_sub(str_of(kind == REFUSED_CALLER ? peer : who), 0, sizeof(c->refusals->others.key) - 1);
    if (!may_write(c, (char)kind, key)) {
        find_or_add(c, (char)kind, key)->n++;
        return;
    }
    take_counts(c->refusals, (char)kind, key, d);
    audit__row(c, who, peer, verb, target, outcome, slug, d);
}

int authn_refused(struct control *c, const char *peer, const struct err *err)
{
    struct details d = { 0 };
    details_str(&d, "why", str_of(err->text));
    refusal__row(c, REFUSED_CALLER, "", peer, "auth.caller", STR_NONE, "denied", err->slug, &d);
    return err->code;
}

void authn_limited(struct control *c, const char *peer)
{
    struct str key = str_sub(str_of(peer), 0, sizeof(c->refusals->others.key) - 1);
    find_or_add(c, REFUSED_CALLER, key)->n_limited++;
}

int authz_refused(struct control *c, const struct principal *p, const char *peer, enum verb v, struct str target,
                  const struct err *err)
{
    struct details d = { 0 };
    details_str(&d, "role", str_of(name_of(role_level_names, (int)p->role)));
    refusal__row(c, err->code == -EBUSY ? REFUSED_LIMITED : REFUSED_PRINCIPAL, p->name, peer, name_of(verb_names, (int)v), target, "denied", err->slug, &d);
    return err->code;
}

/* -- the rest */
static void tell(struct control *c, struct left_out *l)
{
    struct details d = { 0 };
    bool is_caller = l->kind == REFUSED_CALLER;
    if (l->n == 0 && l->n_limited == 0)
        return;
    put_counts(details_str(&d, "why", STR("refusals without a row of their own")), l);
    if (!l->key[0])
        details_str(&d, "of", STR("callers too many to be counted one by one"));
    audit__row(c, is_caller ? "" : l->key, is_caller ? l->key : NULL, "auth.left_out", STR_NONE, "denied", NULL, &d);
    *l = (struct left_out){ 0 };
}

void refusals__tell(struct control *c, usec_t now)
{
    struct refusals *rs = c->refusals;
    if (!rs->tell_at || now < rs->tell_at || store_health(c->store, NULL) < 0)
        return;
    for (size_t i = 0; i < rs->n_callers; i++)
        tell(c, &rs->callers[i]);
    tell(c, &rs->others);
    rs->n_callers = 0;
    rs->tell_at = 0;
}
