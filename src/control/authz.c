/* control/authz.c - may this principal do that here? fleet/policy.c answers; refusals are audited. Loop
 * thread. */
#include "control/core.h"

#include "control/accent.h"

/* sigma's keys have words of their own: of an agent's key and a readonly one, "viewer" is what we make of it. */
static struct str role_of(struct control *c, const struct principal *p)
{
    const struct credential *cr = p->kind == PRINCIPAL_KEY ? credential_by_id(c, p->token_id) : NULL;

    return cr && cr->kind == SECRET_SIGMA_KEY ? cr->scope : str_of(name_of(role_level_names, (int)p->role));
}

/* The user's own role, or the token's that has less than its user? Who reads it is told what to change. */
static void denied(struct control *c, const struct principal *p, enum verb v, struct err *err)
{
    const struct user *u = p->user_id ? user__by_id(c, p->user_id) : NULL;
    bool is_user = u && u->role < policy_needs(v);
    const char *needs = name_of(role_level_names, (int)policy_needs(v)), *what = name_of(verb_names, (int)v);
    struct str role = role_of(c, p);

    if (str_is(role, "none"))
        (void)err_set(err, -EACCES, "auth.denied", "%s has no role here; %s needs %s", p->name, what, needs);
    else
        (void)err_set(err, -EACCES, "auth.denied", "%s is %.*s %s; %s needs %s", p->name, STR_FMT(role),
                      u && !is_user ? "with this token" : "here", what, needs);
    err_denied(err, is_user ? p->name : "", needs);
    if (u && !is_user)
        err_login_helps(err);
}

int authz(struct control *c, const struct principal *p, enum verb v, struct str target, struct err *err)
{
    char key[160];
    usec_t wait = 0;

    if (policy_allows(p->role, v)) {
        snprintf(key, sizeof(key), "%d:%s", (int)p->kind, p->name);
        if (admission_take(c->admission, 'o', str_of(key), &c->conf.admission.operators, control__mono(c),
                           &wait))
            return 0;
        err_set(err, -EBUSY, "rate.limited", "too many calls: try again in %llu ms",
                (unsigned long long)(wait / USEC_PER_MS + 1));
        return authz_refused(c, p, NULL, v, target, err);
    }
    denied(c, p, v, err);
    return authz_refused(c, p, NULL, v, target, err);
}

bool control_refuses_writes(struct control *c, struct err *err)
{
    struct err why = { 0 };
    if (c->is_stopping) {
        err_set(err, -EAGAIN, "server.stopping", "the server is stopping");
        return true;
    }
    if (store_health(c->store, &why) < 0) {
        err_set(err, -EAGAIN, "store.unavailable", "the database takes no writes now: %s", why.text);
        return true;
    }
    return false;
}
