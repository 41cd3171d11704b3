/* control/api_tokens.c - bearer tokens of people and scripts: looked up by SHA-256 in memory, shown once.
 * Loop thread. */
#include "base/rand.h"

#include "control/core.h"

enum { KEEP_DEAD_DAYS = 30, TOKENS_MAX = 100000 };

void api_token__row(const struct api_token *t, struct api_token_row *ret)
{
    *ret = (struct api_token_row){
        .id = t->id,
        .user_id = t->user_id,
        .name = str_of(t->name),
        .scope = str_of(t->scope),
        .created_at = t->created_at,
        .expires_at = t->expires_at,
        .last_used = t->last_used,
        .is_revoked = t->is_revoked,
        .created_by = str_of(t->created_by),
        .hint = str_of(t->hint),
    };
    memcpy(ret->hash, t->hash, SHA256_LEN);
}

void api_token__put(struct control *c, const struct api_token *t)
{
    struct api_token_row row;
    api_token__row(t, &row);
    store_put_api_token(c->store, &row);
}

static void file(struct control *c, struct api_token *t)
{
    HASH_ADD(hh, c->api_tokens, hash, SHA256_LEN, t);
    HASH_ADD(hh_id, c->api_token_ids, id, sizeof(t->id), t);
}

static void token_free(struct api_token *t)
{
    free(t->name);
    free(t->scope);
    free(t->created_by);
    free(t);
}

/* Every login makes one: the long dead are left in the store. */
static bool is_long_dead(const struct control *c, const struct api_token_row *r)
{
    usec_t now = control__wall(c), old = KEEP_DEAD_DAYS * USEC_PER_DAY;
    return (r->expires_at && r->expires_at + old < now) || (r->is_revoked && r->created_at + old < now);
}

static void load_one(void *ctx, const struct api_token_row *r)
{
    struct control *c = ctx;
    if (is_long_dead(c, r))
        return;
    struct api_token *t = xnew0(struct api_token);
    *t = (struct api_token){ .id = r->id,
                             .user_id = r->user_id,
                             .name = str_dup(r->name),
                             .scope = str_dup(r->scope),
                             .created_by = str_dup(r->created_by),
                             .created_at = r->created_at,
                             .expires_at = r->expires_at,
                             .last_used = r->last_used,
                             .is_revoked = r->is_revoked };
    memcpy(t->hash, r->hash, SHA256_LEN);
    str_copy(str_sub(r->hint, 0, sizeof(t->hint) - 1), t->hint, sizeof(t->hint));
    file(c, t);
}

int api_token__load(struct control *c, struct err *err)
{
    return store_load_api_tokens(c->store, load_one, c, err);
}

void api_token__free_all(struct control *c)
{
    struct api_token *t, *next;
    HASH_CLEAR(hh_id, c->api_token_ids);
    HASH_ITER(hh, c->api_tokens, t, next)
    {
        HASH_DEL(c->api_tokens, t);
        token_free(t);
    }
}

/* When there are too many, the one that was made first and is dead anyway makes room. */
static void make_room(struct control *c)
{
    struct api_token *t, *next;
    usec_t now = control__wall(c);
    if (HASH_COUNT(c->api_tokens) < TOKENS_MAX)
        return;
    HASH_ITER(hh, c->api_tokens, t, next)
    if (t->is_revoked || (t->expires_at && t->expires_at <= now)) {
        HASH_DEL(c->api_tokens, t);
        HASH_DELETE(hh_id, c->api_token_ids, t);
        token_free(t);
        return;
    }
}

struct api_token *api_token__new(struct control *c, uint64_t user_id, struct str name, const char *scope,
                                 usec_t expires_at, const char *created_by, char ret_text[API_TOKEN_MAX])
{
    uint8_t random[20];
    struct api_token *t = xnew0(struct api_token);
    make_room(c);
    rand_bytes(random, sizeof(random));
    api_token_make(random, ret_text);
    secret_wipe(random, sizeof(random));
    arena_reset(c->scratch);
    *t = (struct api_token){ .id = c->next.api_token++,
                             .user_id = user_id,
                             .scope = xstrdup(scope),
                             .name = str_dup(text__clean(c->scratch, name, LIMIT_NAME)),
                             .created_by = xstrdup(created_by),
                             .created_at = control__wall(c),
                             .expires_at = expires_at };
    api_token_hash(str_of(ret_text), t->hash);
    snprintf(t->hint, sizeof(t->hint), "%s", ret_text + API_TOKEN_LEN - 4);
    file(c, t);
    api_token__put(c, t);
    return t;
}

/* No user is called like that. */
#define BY_LOGIN "login:"

struct api_token *api_token__new_login(struct control *c, const struct user *u, struct str name, usec_t expires_at,
                                       char ret_text[API_TOKEN_MAX])
{
    AUTO_FREE char *by = xasprintf(BY_LOGIN "%s", u->name);
    return api_token__new(c, u->id, name, name_of(role_level_names, (int)u->role), expires_at, by, ret_text);
}

void api_token__end_logins(struct control *c, uint64_t user_id, uint64_t but)
{
    for (struct api_token *t = c->api_token_ids; t; t = t->hh_id.next) {
        if (t->user_id != user_id || t->id == but || t->is_revoked || !str_starts(str_of(t->created_by), STR(BY_LOGIN)))
            continue;
        t->is_revoked = true;
        api_token__put(c, t);
    }
}

/* Whose is it to be: one's own, or (admins) anybody's. A token has no more than its user has. */
static int aim(struct control *c, const struct principal *p, struct str user, enum role_level role,
               struct user **ret, enum role_level *ret_role, struct err *err)
{
    bool is_own = user.len == 0 || str_is(user, p->name);
    int r = authz(c, p, is_own ? VERB_API_TOKEN : VERB_API_TOKEN_ANY, user, err);
    if (r < 0)
        return r;
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    *ret = is_own ? (p->user_id ? user__by_id(c, p->user_id) : NULL) : user__by_name(c, user);
    if (!is_own && !*ret)
        return err_set(err, -ENOENT, "user.unknown", "there is no user %.*s", STR_FMT(str_sub(user, 0, 64)));
    enum role_level most = *ret && (*ret)->role < p->role ? (*ret)->role : p->role;
    *ret_role = role == ROLE_NONE ? most : role;
    if (*ret_role < ROLE_VIEWER || *ret_role > ROLE_ADMIN)
        return err_set(err, -EINVAL, "field.enum", "a role is viewer, operator or admin");
    if (*ret_role > most)
        return err_set(err, -EACCES, "auth.denied", "a token cannot do more than its owner (%s)", name_of(role_level_names, (int)most));
    return 0;
}

int api_token_create(struct control *c, const struct principal *p, struct str name, enum role_level role,
                     usec_t ttl, struct str user, char ret_text[36], struct api_token_row *ret,
                     struct err *err)
{
    struct user *u = NULL;
    struct details d = { 0 };
    bool is_own = user.len == 0 || str_is(user, p->name);
    enum verb v = is_own ? VERB_API_TOKEN : VERB_API_TOKEN_ANY;
    int r = aim(c, p, user, role, &u, &role, err);
    if (r < 0)
        return err_is(err) && r != -EAGAIN && r != -EBUSY ? audit__refused(c, p, v, STR("create"), r, err)
                                                          : r;
    struct api_token *t = api_token__new(c, u ? u->id : 0, name, name_of(role_level_names, (int)role),
                                         ttl ? control__wall(c) + ttl : 0, p->name, ret_text);
    details_str(details_u64(&d, "api_token", t->id), "name", str_of(t->name));
    details_str(details_str(&d, "role", str_of(t->scope)), "user", str_of(u ? u->name : NULL));
    audit__ok(c, p, v, STR("create"), &d);
    api_token__row(t, ret);
    return 0;
}

/* Tokens without a user belong to whoever made them. */
static bool is_mine(const struct principal *p, const struct api_token *t)
{
    return t->user_id ? t->user_id == p->user_id : strcmp(t->created_by, p->name) == 0;
}

int api_token_revoke(struct control *c, const struct principal *p, uint64_t id, struct api_token_row *ret,
                     struct err *err)
{
    struct api_token *t = NULL;
    struct details d = { 0 };
    HASH_FIND(hh_id, c->api_token_ids, &id, sizeof(id), t);
    bool is_own = t && is_mine(p, t);
    enum verb v = is_own || !t ? VERB_API_TOKEN : VERB_API_TOKEN_ANY;
    int r = authz(c, p, v, STR("revoke"), err);
    if (r < 0)
        return r;
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    if (!t) {
        r = err_set(err, -ENOENT, "api_token.unknown", "there is no API token %llu", (unsigned long long)id);
        return audit__refused(c, p, v, STR("revoke"), r, err);
    }
    if (!t->is_revoked) {
        t->is_revoked = true;
        api_token__put(c, t);
    }
    details_str(details_u64(&d, "api_token", t->id), "name", str_of(t->name));
    audit__ok(c, p, v, STR("revoke"), &d);
    api_token__row(t, ret);
    return 0;
}

static int order(struct api_token *a, struct api_token *b)
{
    return a->id < b->id ? -1 : a->id > b->id;
}

void api_token_list(struct control *c, const struct principal *p, bool all,
                    void (*fn)(void *ctx, const struct api_token_row *t, struct str user), void *ctx)
{
    HASH_SRT(hh_id, c->api_token_ids, order);
    for (struct api_token *t = c->api_token_ids; t; t = t->hh_id.next) {
        if (!is_mine(p, t) && !(all && policy_allows(p->role, VERB_API_TOKEN_ANY)))
            continue;
        struct api_token_row row;
        const struct user *u = t->user_id ? user__by_id(c, t->user_id) : NULL;
        api_token__row(t, &row);
        fn(ctx, &row, str_of(u ? u->name : NULL));
    }
}
