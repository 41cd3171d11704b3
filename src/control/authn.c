/* control/authn.c - credential -> principal. Loop thread.
 *
 * A credential that is presented and bad never falls back to a weaker proof (local socket, dev): it is
 * refused. */
#include <unistd.h>

#include "base/text.h"

#include "control/accent.h"
#include "control/noun.h"

static int refuse(struct control *c, const struct peer_info *peer, const char *who, const char *verb,
                  const char *slug, const char *text, struct err *err)
{
    struct details d = { 0 };
    c->stats.logins_failed++;
    refusal__row(c, REFUSED_CALLER, who, peer->addr, verb, STR_NONE, "denied", slug, details_str(&d, "why", str_of(text)));
    return err_set(err, -EACCES, slug, "%s", text);
}

/* Argus's reporters hold tokens of the same shape: a principal without a role. */
static bool is_reporter(struct control *c, struct str bearer, const struct peer_info *peer, struct principal *ret)
{
    const struct credential *cr;
    char name[64];

    if (credential_check(c, SECRET_ARGUS_REPORTER, bearer, peer->addr, &cr, NULL) < 0)
        return false;
    (void)snprintf(name, sizeof(name), "reporter:%llu", (unsigned long long)cr->id);
    principal_of_credential(cr, name, ret);
    return true;
}

/* Who acts by a token: its user. A token of nobody's goes by its number: its name is its maker's choice, and others may have the same
 * ("token:ID" is an install token). */
static void token_principal(const struct api_token *t, const struct user *u, char *dst, size_t size)
{
    if (u)
        (void)snprintf(dst, size, "%s", u->name);
    else
        (void)snprintf(dst, size, "api-token:%llu", (unsigned long long)t->id);
}

static int by_token(struct control *c, struct str bearer, const struct peer_info *peer, struct principal *ret,
                    struct err *err)
{
    uint8_t hash[SHA256_LEN];
    struct api_token *t = NULL;
    const struct user *u = NULL;
    char name[sizeof(ret->name)];

    if (api_token_has_shape(bearer)) {
        api_token_hash(bearer, hash);
        HASH_FIND(hh, c->api_tokens, hash, SHA256_LEN, t);
    }
    if (!t && is_reporter(c, bearer, peer, ret))
        return 0; /* known, and good for nothing here: what it asks for is denied, not unknown */
    if (!t)
        return refuse(c, peer, "", "auth.token", "auth.bad_credential",
                      str_find_char(bearer, ' ') < 0
                          ? "this API token is not known here"
                          : "only Authorization: Bearer and a token is understood here, no other scheme",
                      err);
    if (t->user_id)
        u = user__by_id(c, t->user_id);
    token_principal(t, u, name, sizeof(name));
    if (t->user_id && (!u || u->is_disabled)) /* first: disabling revokes those of logins, and is the better word */
        return refuse(c, peer, name, "auth.token", "auth.disabled", "this user is disabled", err);
    if (t->is_revoked)
        return refuse(c, peer, name, "auth.token", "auth.bad_credential", "this API token was revoked",
                      err);
    if (t->expires_at && t->expires_at <= control__wall(c))
        return refuse(c, peer, name, "auth.token", "auth.expired",
                      "this API token has expired: log in again", err);

    int scope = name_value(role_level_names, str_of(t->scope));
    enum role_level role = scope > ROLE_NONE ? (enum role_level)scope : ROLE_NONE;
    if (u && u->role < role)
        role = u->role;
    *ret =
        (struct principal){ .kind = PRINCIPAL_TOKEN, .role = role, .user_id = t->user_id, .token_id = t->id };
    memcpy(ret->name, name, sizeof(name));

    usec_t now = control__mono(c);
    if (now - t->used_mono >= USEC_PER_MIN) {
        t->used_mono = now;
        t->last_used = control__wall(c);
        api_token__put(c, t);
    }
    return 0;
}

int authn_operator(struct control *c, struct str bearer, const struct peer_info *peer, struct principal *ret,
                   struct err *err)
{
    *ret = (struct principal){ 0 };
    if (bearer.ptr)
        return by_token(c, bearer, peer, ret, err);
    if (peer->is_unix && (peer->uid == 0 || peer->uid == geteuid())) {
        *ret = (struct principal){ .kind = PRINCIPAL_LOCAL, .role = ROLE_ADMIN };
        if (peer->uid == 0)
            snprintf(ret->name, sizeof(ret->name), "local:root");
        else
            snprintf(ret->name, sizeof(ret->name), "local:%u", peer->uid);
        return 0;
    }
    if (c->conf.is_dev && peer->is_loopback_dev) {
        *ret = (struct principal){ .kind = PRINCIPAL_DEV, .role = ROLE_ADMIN, .name = PRINCIPAL_NAME_DEV };
        return 0;
    }
    err_set(err, -EACCES, "auth.required", "this needs a credential: Authorization: Bearer em_live_...");
    return authn_refused(c, peer->addr, err);
}

bool authn_still_holds(struct control *c, const struct principal *p)
{
    struct api_token *t, *next;

    if (p->kind == PRINCIPAL_KEY)
        return credential__still_holds(c, p->token_id);
    if (p->kind == PRINCIPAL_SESSION) {
        const struct user *u = user__by_id(c, p->user_id);
        return u && !u->is_disabled && u->role >= p->role && p->session_mark == session__mark(c, p->user_id);
    }
    if (p->kind != PRINCIPAL_TOKEN)
        return true;
    HASH_ITER(hh, c->api_tokens, t, next)
    {
        if (t->id != p->token_id)
            continue;
        const struct user *u = t->user_id ? user__by_id(c, t->user_id) : NULL;
        return !t->is_revoked && (!t->expires_at || t->expires_at > control__wall(c)) &&
               (!t->user_id || (u && !u->is_disabled && u->role >= p->role));
    }
    return false;
}

/* -- login */
struct login {
    struct life *life; /* while it is in the pool */
    char *user, *password, *token_name, *peer;
    char hash[PASSWORD_HASH_MAX];
    usec_t ttl;
    bool is_known;
    int verdict;
    login_fn done;
    session_fn session_done; /* instead of @done: no token is made */
    usec_t retry_after;
    uint64_t user_id, mark;
    void *ctx;
    struct login_result result;
    char token[API_TOKEN_MAX];
};

static void login_free(struct login *l)
{
    free(l->user);
    secret_free(l->password);
    free(l->token_name);
    free(l->peer);
    secret_wipe(l, sizeof(*l));
    free(l);
}

static void login_tell(struct control *c, void *arg)
{
    struct login *l = arg;
    const struct login_result *r = &l->result;
    if (c && l->done)
        l->done(l->ctx, r);
    else if (c)
        l->session_done(l->ctx, &(struct session_user){ .result = r->result,
                                                        .err = r->err,
                                                        .user_id = l->user_id,
                                                        .user = r->user,
                                                        .role = r->role,
                                                        .mark = l->mark,
                                                        .retry_after = l->retry_after });
    login_free(l);
}

static void login_work(void *arg)
{
    struct login *l = arg;
    l->verdict = l->is_known ? password_verify(str_of(l->password), l->hash)
                             : password_hash(str_of(l->password), l->hash);
}

static void login_refused(struct control *c, struct login *l, const char *slug, const char *text)
{
    const struct peer_info peer = { .addr = l->peer };
    l->result.result = refuse(c, &peer, l->user, "auth.login", slug, text, &l->result.err);
    commit_after(c, login_tell, l);
}

static void login_granted(struct control *c, struct login *l, const struct user *u)
{
    struct details d = { 0 };
    usec_t expires = control__wall(c) + (l->ttl ? l->ttl : 12 * USEC_PER_HOUR);
    struct api_token *t =
        api_token__new_login(c, u, str_of(l->token_name && *l->token_name ? l->token_name : "login"), expires, l->token);
    audit__row(c, u->name, l->peer, "auth.login", str_of(u->name), "ok", NULL,
               details_u64(&d, "api_token", t->id));
    l->result = (struct login_result){
        .token = l->token, .token_id = t->id, .user = l->user, .role = u->role, .expires_at = expires
    };
    commit_after(c, login_tell, l);
}

static void session_granted(struct control *c, struct login *l, const struct user *u)
{
    struct details d = { 0 };
    audit__row(c, u->name, l->peer, "auth.login", str_of(u->name), "ok", NULL, details_str(&d, "for", STR("session")));
    l->result = (struct login_result){ .user = l->user, .role = u->role };
    l->user_id = u->id;
    l->mark = session__mark(c, u->id);
    commit_after(c, login_tell, l);
}

static void login_done(void *arg)
{
    struct login *l = arg;
    struct control *c = life_unref(TAKE(l->life));
    if (!c) {
        login_free(l);
        return;
    }
    c->n_hashing--;
    const struct user *u = user__by_name(c, str_of(l->user));
    bool is_changed = u && strcmp(l->hash, u->password_hash) != 0; /* meanwhile: the one that was looked at is good no more */
    if (!l->is_known || !u || l->verdict < 0 || is_changed)
        login_refused(c, l, "auth.bad_credential", "user name or password is wrong");
    else if (u->is_disabled)
        login_refused(c, l, "auth.disabled", "this user is disabled");
    else if (control_refuses_writes(c, &l->result.err)) {
        l->result.result = -EAGAIN;
        commit_after(c, login_tell, l);
    } else if (l->done) {
        login_granted(c, l, u);
    } else {
        session_granted(c, l, u);
    }
}

/* Takes @l over. An unknown user costs the same time as a wrong password: making a hash and checking one are the same work. */
static void login_begin(struct control *c, struct login *l, struct str password)
{
    enum { HASHING_MAX = 16 };
    usec_t now = control__mono(c), wait = USEC_PER_SEC;
    struct str user = str_of(l->user);

    bool is_let_in =
        c->n_hashing < HASHING_MAX &&
        admission_take(c->admission, 'l', str_of(l->peer), &c->conf.admission.login, now, &wait) &&
        admission_take(c->admission, 'u', user, &c->conf.admission.login, now, &wait);
    if (!is_let_in) {
        l->retry_after = wait;
        l->result.result =
            err_set(&l->result.err, -EBUSY, "rate.limited", "too many attempts: try again in %llu s",
                    (unsigned long long)(wait / USEC_PER_SEC + 1));
        struct details d = { 0 };
        refusal__row(c, REFUSED_CALLER, l->user, l->peer, "auth.login", STR_NONE, "denied", l->result.err.slug,
                     details_str(&d, "why", str_of(l->result.err.text)));
        commit_after(c, login_tell, l);
        return;
    }
    const struct user *u = user__by_name(c, user);
    l->is_known = u != NULL && password.len <= 1024;
    l->password = str_dup(str_sub(password, 0, 1024));
    if (l->is_known)
        snprintf(l->hash, sizeof(l->hash), "%s", u->password_hash);
    c->n_hashing++;
    l->life = life_ref(c);
    c->conf.offload(c->conf.offload_ctx, login_work, login_done, l);
}

void authn_login(struct control *c, struct str user, struct str password, struct str token_name, usec_t ttl,
                 const struct peer_info *peer, login_fn done, void *ctx)
{
    struct login *l = xnew0(struct login);
    *l = (struct login){ .ttl = ttl,
                         .done = done,
                         .ctx = ctx,
                         .user = str_dup(str_sub(user, 0, LIMIT_NAME)),
                         .peer = xstrdup(peer->addr),
                         .token_name = str_dup(str_sub(token_name, 0, LIMIT_NAME)) };
    login_begin(c, l, password);
}

void authn_password(struct control *c, struct str user, struct str password, const struct peer_info *peer, session_fn done, void *ctx)
{
    struct login *l = xnew0(struct login);
    *l = (struct login){
        .session_done = done, .ctx = ctx, .user = str_dup(str_sub(user, 0, LIMIT_NAME)), .peer = xstrdup(peer->addr)
    };
    login_begin(c, l, password);
}

/* -- hosts */
int authn_host(struct control *c, struct str uuid, const uint8_t key[SHA256_LEN], struct str cert_serial,
               struct principal *ret, struct err *err)
{
    struct host *h = host__by_uuid(c, uuid);
    *ret = (struct principal){ 0 };
    if (!h || memcmp(h->fingerprint, key, SHA256_LEN) != 0) {
        log_info("host.unknown", "a certificate of ours names no host", LOG_STR("uuid", str_sub(uuid, 0, 64)),
                 LOG_STR("serial", cert_serial));
        return err_set(err, -EACCES, "host.unknown",
                       "this host is not known here (any more): enrol again with a new key");
    }
    int r = host__may_speak(h, err);
    if (r < 0)
        return r;
    *ret = (struct principal){ .kind = PRINCIPAL_HOST, .host_id = h->id };
    snprintf(ret->name, sizeof(ret->name), "host:%s", h->name);
    return 0;
}
