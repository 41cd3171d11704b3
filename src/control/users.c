/* control/users.c - people: made, changed, listed. Loop thread; hashing is off the loop.
 *
 * A verb that hashes checks twice: before, to refuse cheaply, and after, because the loop went on meanwhile.
 */
#include "base/text.h"

#include "control/noun.h"

enum { HASHING_MAX = 16 };

static void put(struct control *c, const struct user *u)
{
    const struct user_row row = {
        .id = u->id,
        .name = str_of(u->name),
        .password_hash = str_of(u->password_hash),
        .role = u->role,
        .is_disabled = u->is_disabled,
        .created_at = u->created_at,
    };
    store_put_user(c->store, &row);
}

static struct user *add(struct control *c, uint64_t id, struct str name, struct str hash,
                        enum role_level role, bool disabled, usec_t created_at)
{
    struct user *u = xnew0(struct user);
    *u = (struct user){ .id = id,
                        .name = str_dup(name),
                        .password_hash = str_dup(hash),
                        .role = role,
                        .is_disabled = disabled,
                        .created_at = created_at };
    HASH_ADD_KEYPTR(hh, c->users, u->name, strlen(u->name), u);
    return u;
}

static void load_one(void *ctx, const struct user_row *r)
{
    add(ctx, r->id, r->name, r->password_hash, r->role, r->is_disabled, r->created_at);
}

int user__load(struct control *c, struct err *err)
{
    return store_load_users(c->store, load_one, c, err);
}

void user__free_all(struct control *c)
{
    struct user *u, *next;
    HASH_ITER(hh, c->users, u, next)
    {
        HASH_DEL(c->users, u);
        free(u->name);
        secret_free(u->password_hash);
        free(u);
    }
}

struct user *user__by_name(const struct control *c, struct str name)
{
    struct user *u = NULL;
    if (name.len)
        HASH_FIND(hh, c->users, name.ptr, name.len, u);
    return u;
}

struct user *user__by_name_nocase(const struct control *c, struct str name)
{
    for (struct user *u = c->users; u; u = u->hh.next)
        if (str_eq_nocase(str_of(u->name), name))
            return u;
    return NULL;
}

struct user *user__meant_by(const struct control *c, struct str name_or_email)
{
    struct user *named = user__by_name(c, name_or_email), *addressed = user__by_email(c, name_or_email);
    return named && (!addressed || user_name_wins(named->id, addressed->id)) ? named : addressed;
}

/* People are few. */
struct user *user__by_id(const struct control *c, uint64_t id)
{
    for (struct user *u = c->users; u; u = u->hh.next)
        if (u->id == id)
            return u;
    return NULL;
}

static void fill(const struct user *u, struct user_row *ret)
{
    *ret = (struct user_row){ .id = u->id,
                              .name = str_of(u->name),
                              .role = u->role,
                              .is_disabled = u->is_disabled,
                              .created_at = u->created_at };
}

int user_find(struct control *c, struct str name, struct user_row *ret)
{
    const struct user *u = user__by_name(c, name);
    if (!u)
        return -ENOENT;
    fill(u, ret);
    return 0;
}

static int order(struct user *a, struct user *b)
{
    return strcmp(a->name, b->name);
}

void user_list(struct control *c, void (*fn)(void *ctx, const struct user_row *u), void *ctx)
{
    HASH_SRT(hh, c->users, order);
    for (struct user *u = c->users; u; u = u->hh.next) {
        struct user_row row;
        fill(u, &row);
        fn(ctx, &row);
    }
}

/* -- one call under way */
struct user_call {
    struct control *c;
    struct life *life; /* while it is in the pool */
    struct principal p;
    char *name, *password, *old_password;
    char hash[PASSWORD_HASH_MAX], old_hash[PASSWORD_HASH_MAX];
    int work_result;
    bool is_create, is_told; /* the refusal has its audit row, or is counted */
    struct user_change ch; /* its texts are not used */
    verb_fn done;
    void *ctx;
    int result;
    struct err err;
};

static void call_free(struct user_call *x)
{
    free(x->name);
    secret_free(x->password);
    secret_free(x->old_password);
    secret_wipe(x, sizeof(*x));
    free(x);
}

static void tell(struct control *c, void *arg)
{
    struct user_call *x = arg;
    if (c)
        x->done(x->ctx, x->result, x->result < 0 ? &x->err : NULL);
    call_free(x);
}

static enum verb verb_of(const struct user_call *x)
{
    bool is_own = !x->is_create && x->ch.has_password && !x->ch.has_role && !x->ch.has_disabled &&
                  x->p.user_id && strcmp(x->p.name, x->name) == 0;
    return is_own ? VERB_OWN_PASSWORD : VERB_USER_ADMIN;
}

static void fail(struct user_call *x, int r)
{
    x->result = r;
    if (r != -EAGAIN && !x->is_told)
        audit__refused(x->c, &x->p, verb_of(x), str_of(x->name), r, &x->err);
    commit_after(x->c, tell, x);
}

static void hash_work(void *arg)
{
    struct user_call *x = arg;
    x->work_result = 0;
    if (x->old_hash[0] && password_verify(str_of(x->old_password), x->old_hash) < 0)
        x->work_result = -EACCES;
    else if (x->password)
        x->work_result = password_hash(str_of(x->password), x->hash);
}

static bool is_last_admin(const struct control *c, const struct user *me)
{
    if (me->role != ROLE_ADMIN || me->is_disabled)
        return false;
    for (const struct user *u = c->users; u; u = u->hh.next)
        if (u != me && u->role == ROLE_ADMIN && !u->is_disabled)
            return false;
    return true;
}

static int bad(struct user_call *x, const char *path, int r)
{
    err_path(&x->err, path);
    return r;
}

static int check_create(struct user_call *x)
{
    if (!user_name_is_acceptable(str_of(x->name)))
        return bad(x, "name", err_set(&x->err, -EINVAL, "user.bad_name",
                                      "a user name is [a-z0-9][a-z0-9._@-]*, at most 64 characters"));
    /* One of before this rule is loaded and logs in as ever. */
    if (principal_name_is_built_in(str_of(x->name)))
        return bad(x, "name", err_set(&x->err, -EINVAL, "user.bad_name",
                                      "%s is who acts without being a user: the audit log could not tell them apart", x->name));
    if (user__by_name(x->c, str_of(x->name)))
        return bad(x, "name", err_set(&x->err, -EEXIST, "user.exists", "there is a user %s already", x->name));
    if (user__by_email(x->c, str_of(x->name)))
        return bad(x, "name", err_set(&x->err, -EEXIST, "user.exists", "%s is the address of another user", x->name));
    if (x->ch.role < ROLE_VIEWER || x->ch.role > ROLE_ADMIN)
        return bad(x, "role", err_set(&x->err, -EINVAL, "field.enum", "a role is viewer, operator or admin"));
    return 0;
}

static int check_change(struct user_call *x, struct user **ret)
{
    struct user *u = *ret = user__by_name(x->c, str_of(x->name));
    if (!u)
        return err_set(&x->err, -ENOENT, "user.unknown", "there is no user %s", x->name);
    if (x->ch.has_role && (x->ch.role < ROLE_VIEWER || x->ch.role > ROLE_ADMIN))
        return bad(x, "role", err_set(&x->err, -EINVAL, "field.enum", "a role is viewer, operator or admin"));
    bool is_losing = (x->ch.has_role && x->ch.role != ROLE_ADMIN) || (x->ch.has_disabled && x->ch.disabled);
    if (is_losing && is_last_admin(x->c, u))
        return err_set(&x->err, -EINVAL, "user.last_admin", "%s is the last admin: make another one first",
                       x->name);
    return 0;
}

static int check(struct user_call *x, struct user **ret)
{
    struct user *u = NULL;
    int r = x->is_create ? check_create(x) : check_change(x, &u);
    if (r == 0 && x->password && !password_is_acceptable(str_of(x->password)))
        r = bad(x, "password", err_set(&x->err, -EINVAL, "password.bad", "a password has 8 to 1024 bytes of UTF-8"));
    if (ret)
        *ret = u;
    return r;
}

static void create(struct user_call *x)
{
    struct control *c = x->c;
    struct details d = { 0 };
    struct user *u =
        add(c, c->next.user++, str_of(x->name), str_of(x->hash), x->ch.role, false, control__wall(c));
    put(c, u);
    session__end_all(c, u->id); /* a restored backup may have been without this user: the id had another one's sessions */
    details_str(details_str(&d, "what", STR("create")), "role",
                str_of(name_of(role_level_names, (int)u->role)));
    audit__ok(c, &x->p, VERB_USER_ADMIN, str_of(u->name), &d);
}

static void change(struct user_call *x, struct user *u)
{
    struct control *c = x->c;
    struct details d = { 0 };
    enum verb v = verb_of(x);
    if (x->ch.has_password || (x->ch.has_role && x->ch.role != u->role) || (x->ch.has_disabled && x->ch.disabled))
        session__end_all(c, u->id);
    bool is_ending = x->ch.has_disabled && x->ch.disabled;
    if (x->ch.has_password || is_ending) /* whoever changes the own password goes on with the login that did it */
        api_token__end_logins(c, u->id, x->p.kind == PRINCIPAL_TOKEN && !is_ending ? x->p.token_id : 0);
    if (x->ch.has_role) {
        u->role = x->ch.role;
        details_str(&d, "role", str_of(name_of(role_level_names, (int)u->role)));
    }
    if (x->ch.has_disabled) {
        u->is_disabled = x->ch.disabled;
        details_str(&d, "disabled", u->is_disabled ? STR("true") : STR("false"));
    }
    if (x->ch.has_password) {
        secret_free(u->password_hash);
        u->password_hash = xstrdup(x->hash);
        details_str(&d, "password", STR("changed"));
    }
    put(c, u);
    audit__ok(c, &x->p, v, str_of(u->name), &d);
}

/* What was proven before the hashing may be undone by now: an admin's reset, role or disabling wins over the change it overtook. */
static int check_proof(struct user_call *x, const struct user *u)
{
    if (!authn_still_holds(x->c, &x->p))
        return err_set(&x->err, -EACCES, "auth.bad_credential", "this credential was ended meanwhile: log in again");
    if (u && u->is_disabled && verb_of(x) == VERB_OWN_PASSWORD)
        return err_set(&x->err, -EACCES, "auth.disabled", "this user is disabled");
    if (u && x->old_hash[0] && strcmp(x->old_hash, u->password_hash) != 0)
        return err_set(&x->err, -EACCES, "auth.bad_credential", "the password was changed meanwhile: log in again");
    return 0;
}

static void hash_done(void *arg)
{
    struct user_call *x = arg;
    struct user *u;
    if (!life_unref(TAKE(x->life))) {
        call_free(x);
        return;
    }
    x->c->n_hashing--;
    int r = check(x, &u);
    if (r == 0)
        r = check_proof(x, u);
    if (r == 0 && x->work_result == -EACCES)
        r = err_set(&x->err, -EACCES, "auth.bad_credential", "the old password is wrong");
    else if (r == 0 && x->work_result < 0)
        r = err_set(&x->err, x->work_result, "internal", "the password could not be hashed");
    if (r == 0 && control_refuses_writes(x->c, &x->err))
        r = -EAGAIN;
    if (r < 0) {
        fail(x, r);
        return;
    }
    if (x->is_create)
        create(x);
    else
        change(x, u);
    commit_after(x->c, tell, x);
}

static struct user_call *call_new(struct control *c, const struct principal *p, struct str name, verb_fn done,
                                  void *ctx)
{
    struct user_call *x = xnew0(struct user_call);
    *x = (struct user_call){
        .c = c, .p = *p, .name = str_dup(str_sub(name, 0, 256)), .done = done, .ctx = ctx
    };
    return x;
}

static void begin(struct user_call *x)
{
    struct control *c = x->c;
    struct user *u = NULL;
    int r = authz(c, &x->p, verb_of(x), str_of(x->name), &x->err);
    x->is_told = r < 0;
    if (r == 0 && control_refuses_writes(c, &x->err))
        r = -EAGAIN;
    if (r == 0)
        r = check(x, &u);
    if (r == 0 && x->password && c->n_hashing >= HASHING_MAX) {
        err_set(&x->err, -EBUSY, "rate.limited", "too many passwords are being hashed: try again in 1 s");
        r = authz_refused(c, &x->p, NULL, verb_of(x), str_of(x->name), &x->err); /* rationed: whoever is too fast is so often */
        x->is_told = true;
    }
    if (r < 0) {
        fail(x, r);
        return;
    }
    /* One's own password needs the old one; an admin may set anybody's. */
    if (u && verb_of(x) == VERB_OWN_PASSWORD && x->p.role != ROLE_ADMIN)
        snprintf(x->old_hash, sizeof(x->old_hash), "%s", u->password_hash);
    c->n_hashing++;
    x->life = life_ref(c);
    if (!x->password) {
        hash_done(x);
        return;
    }
    c->conf.offload(c->conf.offload_ctx, hash_work, hash_done, x);
}

void user_create(struct control *c, const struct principal *p, struct str name, enum role_level role,
                 struct str password, verb_fn done, void *ctx)
{
    struct user_call *x = call_new(c, p, name, done, ctx);
    x->is_create = true;
    x->ch.role = role;
    x->password = str_dup(str_sub(password, 0, 1025));
    begin(x);
}

void user_change(struct control *c, const struct principal *p, struct str name, const struct user_change *ch,
                 verb_fn done, void *ctx)
{
    struct user_call *x = call_new(c, p, name, done, ctx);
    x->ch = *ch;
    x->ch.password = x->ch.old_password = STR_NONE;
    if (ch->has_password)
        x->password = str_dup(str_sub(ch->password, 0, 1025));
    x->old_password = str_dup(str_sub(ch->old_password, 0, 1025));
    begin(x);
}
