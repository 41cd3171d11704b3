/* control/run_tokens.c - what scripts and onlookers show: reporter and viewer tokens; names with too many wrong passwords; sign-up.
 * Loop thread. */
#include "control/run_priv.h"

enum { WRONG_MAX = 5, LOCK_US = 10 * 60 * 1000 * 1000 };

/* -- proof */
int run_key_check(struct control *c, struct str bearer, const struct peer_info *peer, struct principal *ret, struct err *err)
{
    const struct credential *cr = NULL;
    enum secret_kind k = str_starts(bearer, STR("em_view_")) ? SECRET_ARGUS_VIEWER : SECRET_ARGUS_REPORTER;
    *ret = (struct principal){ 0 };
    int r = credential_check(c, k, bearer, peer->addr, &cr, err);
    if (!cr && k == SECRET_ARGUS_REPORTER)
        return err_set(err, -ENOENT, "auth.bad_credential", "this token is not known here");
    const struct user *u = cr && cr->user_id ? user__by_id(c, cr->user_id) : NULL;
    if (r < 0) {
        bool is_expired = strcmp(err->slug, "auth.expired") == 0;
        err_set(err, -EACCES, is_expired ? "auth.expired" : "auth.bad_credential", "this token %s",
                is_expired ? "has expired"
                : cr       ? "was revoked"
                           : "is not known here");
    } else if (cr->user_id && (!u || u->is_disabled)) {
        r = err_set(err, -EACCES, "auth.disabled", "this token's user is disabled");
    }
    if (r < 0)
        return credential_refused(c, u ? u->name : "", peer->addr, err);
    *ret =
        (struct principal){ .kind = PRINCIPAL_KEY, .role = u ? u->role : ROLE_VIEWER, .user_id = cr->user_id, .token_id = cr->id };
    if (k == SECRET_ARGUS_VIEWER)
        ret->role = ret->role == ROLE_ADMIN ? ROLE_ADMIN : ROLE_VIEWER; /* sees what its user sees */
    snprintf(ret->name, sizeof(ret->name), "%s", u ? u->name : "local");
    return 0;
}

bool run_may_write(struct control *c, const struct principal *p)
{
    const struct credential *cr = p->kind == PRINCIPAL_KEY ? credential_by_id(c, p->token_id) : NULL;
    return p->kind != PRINCIPAL_KEY || (cr && cr->kind == SECRET_ARGUS_REPORTER);
}

/* -- making, listing, revoking */
static bool is_person(const struct principal *p)
{
    return p->kind == PRINCIPAL_SESSION || p->kind == PRINCIPAL_LOCAL || p->kind == PRINCIPAL_DEV;
}

static bool is_token(const struct credential *cr)
{
    return cr->kind == SECRET_ARGUS_REPORTER || cr->kind == SECRET_ARGUS_VIEWER;
}

static int people_only(struct control *c, const struct principal *p, const char *verb, struct err *err)
{
    if (is_person(p))
        return 0;
    err_set(err, -EACCES, "run.people_only", "a person has to log in for this: a token does not do");
    return run__refused(c, p, verb, STR_NONE, err);
}

struct count {
    usec_t now;
    uint64_t user_id;
    uint32_t n;
};
static bool count_alive(void *ctx, const struct credential *cr)
{
    struct count *x = ctx;
    x->n += is_token(cr) && cr->user_id == x->user_id && !cr->revoked_at && (!cr->expires_at || cr->expires_at > x->now);
    return true;
}

int run_token_create(struct control *c, const struct principal *p, struct str name, struct str scope, usec_t expires_at,
                     char ret_text[SECRET_TEXT_MAX], const struct credential **ret, struct err *err)
{
    struct count alive = { control__wall(c), p->user_id, 0 };
    struct details d = { 0 };
    bool is_reporter = str_is(scope, "reporter");
    int r = people_only(c, p, "run_token.create", err);
    if (r < 0)
        return r;
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    if (!run_text_is_acceptable(name, 64)) {
        err_set(err, -EINVAL, "field.invalid", "a name is 1 to 64 characters");
        err_path(err, "name");
        return -EINVAL;
    }
    if (!is_reporter && !str_is(scope, "viewer")) {
        err_set(err, -EINVAL, "field.enum", "a scope is reporter or viewer");
        err_path(err, "scope");
        return -EINVAL;
    }
    if (expires_at && expires_at <= alive.now) {
        err_set(err, -EINVAL, "field.range", "this is in the past");
        err_path(err, "expires_at");
        return -EINVAL;
    }
    credential_list(c, 0, count_alive, &alive);
    if (alive.n >= RUN_TOKENS_MAX) {
        err_set(err, -EEXIST, "run_token.too_many", "you have %d active tokens: revoke one first", RUN_TOKENS_MAX);
        return run__refused(c, p, "run_token.create", name, err);
    }
    const struct credential_wish w = {
        .kind = is_reporter ? SECRET_ARGUS_REPORTER : SECRET_ARGUS_VIEWER,
        .name = name,
        .scope = scope,
        .user_id = p->user_id,
        .expires_at = expires_at,
        .created_by = str_of(p->name),
    };
    *ret = credential_make(c, &w, ret_text);
    if (!*ret)
        return err_set(err, -EBUSY, "run.too_many", "too many keys are known here");
    details_str(details_u64(&d, "token", (*ret)->id), "name", (*ret)->name);
    details_str(details_str(&d, "scope", scope), "hint", (*ret)->hint);
    run__audit(c, p, "run_token.create", (*ret)->name, &d);
    return 0;
}

static bool is_mine(const struct principal *p, const struct credential *cr)
{
    return run__is_owner(p, cr->user_id);
}

int run_token_revoke(struct control *c, const struct principal *p, uint64_t id, bool with_agents, bool *ret_was_revoked,
                     struct err *err)
{
    struct details d = { 0 };
    char target[24];
    const struct credential *cr = credential_by_id(c, id);
    snprintf(target, sizeof(target), "%llu", (unsigned long long)id);
    int r = people_only(c, p, "run_token.revoke", err);
    if (r < 0)
        return r;
    if (!cr || !is_token(cr) || !(is_mine(p, cr) || p->role == ROLE_ADMIN)) {
        err_set(err, -ENOENT, "run_token.unknown", "you have no token %s", target);
        return run__refused(c, p, "run_token.revoke", str_of(target), err);
    }
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    *ret_was_revoked = cr->revoked_at != 0;
    details_str(details_str(&d, "hint", cr->hint), "agents", with_agents ? STR("too") : STR("stay"));
    credential_revoke(c, id, with_agents);
    run__audit(c, p, "run_token.revoke", str_of(target), &d);
    for (struct run_agent *a = with_agents ? run__book(c)->agents : NULL; a; a = a->hh.next)
        if (!credential__still_holds(c, a->row.credential_id))
            run__wake(c, a->id); /* whoever waits hears of it at once */
    return 0;
}

struct listing {
    const struct principal *p;
    struct str scope;
    bool with_revoked;
    void (*fn)(void *ctx, const struct credential *cr);
    void *ctx;
};
static bool list_one(void *ctx, const struct credential *cr)
{
    struct listing *x = ctx;
    if (is_token(cr) && is_mine(x->p, cr) && (x->with_revoked || !cr->revoked_at) && (!x->scope.len || str_eq(x->scope, cr->scope)))
        x->fn(x->ctx, cr);
    return true;
}

int run_token_list(struct control *c, const struct principal *p, struct str scope, bool with_revoked,
                   void (*fn)(void *ctx, const struct credential *cr), void *ctx, struct err *err)
{
    struct listing x = { p, scope, with_revoked, fn, ctx };
    int r = people_only(c, p, "run_token.list", err);
    if (r == 0)
        credential_list(c, 0, list_one, &x);
    return r;
}

/* -- wrong passwords, by name; in memory: a restart forgives */
static void lock_free(struct run_book *b, struct run_lock *l)
{
    HASH_DEL(b->locks, l);
    free(l);
}

void run__locks_free(struct control *c)
{
    while (run__book(c)->locks)
        lock_free(run__book(c), run__book(c)->locks);
}

static struct run_lock *lock_of(const struct control *c, struct str who)
{
    char name[LIMIT_NAME + 1];
    struct run_lock *l = NULL;
    (void)str_copy(str_sub(who, 0, LIMIT_NAME), name, sizeof(name));
    HASH_FIND_STR(run__book(c)->locks, name, l);
    return l;
}

int run_login_allowed(struct control *c, struct str who, usec_t *ret_wait, struct err *err)
{
    const struct run_lock *l = lock_of(c, who);
    usec_t now = control__mono(c);
    if (!l || l->until <= now)
        return 0;
    *ret_wait = l->until - now;
    return err_set(err, -EBUSY, "auth.locked", "too many wrong passwords: try again later");
}

void run_login_told(struct control *c, struct str who, bool is_good)
{
    struct run_book *b = run__book(c);
    struct run_lock *l = lock_of(c, who);
    usec_t now = control__mono(c);
    if (is_good) {
        if (l)
            lock_free(b, l);
        return;
    }
    if (l && now - l->since >= LOCK_US) { /* long ago: counted anew */
        l->n_wrong = 0;
        l->since = now;
    }
    if (!l) {
        if (HASH_COUNT(b->locks) >= RUN_LOCKS_MAX)
            lock_free(b, b->locks); /* the oldest */
        l = xnew0(struct run_lock);
        (void)str_copy(str_sub(who, 0, LIMIT_NAME), l->name, sizeof(l->name));
        l->since = now;
        HASH_ADD_STR(b->locks, name, l);
    }
    if (++l->n_wrong >= WRONG_MAX) {
        l->until = now + LOCK_US;
        l->n_wrong = 0;
        l->since = now;
    }
}

int run_sign_up(struct control *c, bool is_open, struct str name, struct str password, const char *peer, verb_fn done, void *ctx,
                usec_t *ret_wait, struct err *err)
{
    const struct principal who = { .kind = PRINCIPAL_LOCAL, .role = ROLE_ADMIN, .name = PRINCIPAL_NAME_SIGN_UP };
    *ret_wait = 0;
    if (!is_open) {
        err_set(err, -EACCES, "auth.closed", "an administrator adds users here: muster user add");
        return authn_refused(c, peer, err);
    }
    if (!admission_take(c->admission, 'l', str_of(peer), &c->conf.admission.login, control__mono(c), ret_wait)) {
        err_set(err, -EBUSY, "rate.limited", "too many attempts: try again in %llu s",
                (unsigned long long)((*ret_wait + USEC_PER_SEC - 1) / USEC_PER_SEC));
        return authn_refused(c, peer, err);
    }
    if (user_name_is_acceptable(name) && !user_name_may_sign_up(name)) {
        err_set(err, -EINVAL, "user.bad_name", "who signs up has a name without '@': it may be somebody's address");
        err_path(err, "username");
        return authn_refused(c, peer, err);
    }
    user_create(c, &who, name, ROLE_VIEWER, password, done, ctx);
    return 0;
}
