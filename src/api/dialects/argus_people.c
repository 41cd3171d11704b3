/* api/dialects/argus_people.c - logging in, tokens of scripts, addresses of people. */
#include <errno.h>
#include <stdio.h>

#include "api/dialects/argus.h"
#include "api/state.h"
#include "base/limits.h"
#include "base/mem.h"

enum { BODY_MAX = 8192, PASSWORD_MAX = 1024 };
#define SESSION_TTL USEC_PER_DAY

/* -- login */
struct argus_login_body {
    struct str who, password;
};
static const struct field login_fields[] = {
    F_STR(struct argus_login_body, who, "username_or_email", 254, .flags = FIELD_REQUIRED),
    F_STR(struct argus_login_body, password, "password", PASSWORD_MAX, .flags = FIELD_REQUIRED | FIELD_SECRET),
};
static const struct record login_record = RECORD(argus_login_body, login_fields);

struct login {
    struct call *c; /* held */
    char user[LIMIT_NAME + 1];
};

static void write_user(struct jw *w, uint64_t id, const char *name, enum role_level role, struct str email)
{
    jw_map(w);
    argus_number(w, "id", id);
    argus_word(w, "username", name);
    argus_text(w, "email", email);
    argus_flag(w, "is_admin", role == ROLE_ADMIN);
    argus_flag(w, "is_active", true);
    jw_end_map(w);
}

static void reply_login(struct call *c, const struct session_user *u)
{
    AUTO(buf_done_secret) struct buf token = BUF(4096);
    struct jw *w = call_json(c);
    struct err err = { 0 };

    if (session_make(c, u, dialect_argus.name, SESSION_TTL, &token) < 0) {
        (void)err_set(&err, -ENOBUFS, "internal", "the session token does not fit");
        reply_error(c, &err);
        return;
    }
    jw_map(w);
    jw_key(w, "access_token");
    jw_str(w, buf_as_str(&token));
    argus_word(w, "token_type", "bearer");
    argus_number(w, "expires_in", SESSION_TTL / USEC_PER_SEC);
    jw_key(w, "user");
    write_user(w, u->user_id, u->user, u->role, person_email_of(c->control, u->user_id));
    jw_end_map(w);
    reply_parked(c, 200);
}

static void on_login_done(void *ctx, const struct session_user *u)
{
    struct login *l = ctx;
    AUTO(call_unref) struct call *c = l->c;
    struct err err = u->err;
    bool is_limited = strcmp(err.slug, "rate.limited") == 0, is_verdict = u->result == 0 || u->result == -EACCES;

    c->api->n_logins--;
    if (c->api->control && is_verdict)
        run_login_told(c->control, str_of(l->user), u->result == 0);
    free(l);
    if (call_is_gone(c))
        return;
    if (u->result == 0) {
        reply_login(c, u);
        return;
    }
    if (is_limited)
        call_header(c, "retry-after", "%llu",
                    (unsigned long long)reply_retry_after(u->retry_after ? u->retry_after : USEC_PER_SEC));
    else if (u->result == -EACCES) /* wrong, unknown, disabled: told alike */
        (void)err_set(&err, -EACCES, "auth.bad_credential", "user name or password is wrong");
    reply_error_parked(c, &err);
}

static void on_login(struct call *c)
{
    const struct argus_login_body *b = c->body;
    struct err err = { 0 };
    usec_t wait = 0;

    if (!argus_is_safe(c))
        return;
    struct login *l = xnew0(struct login);
    run_person_name(c->control, b->who, l->user);
    if (run_login_allowed(c->control, str_of(l->user), &wait, &err) < 0) {
        free(l);
        call_header(c, "retry-after", "%llu", (unsigned long long)reply_retry_after(wait));
        reply_error(c, &err);
        return;
    }
    l->c = call_ref(c);
    c->api->n_logins++;
    authn_password(c->control, str_of(l->user), b->password, &c->peer, on_login_done, l);
}

/* -- sign-up */
struct argus_sign_up_body {
    struct str username, email, password;
};
static const struct field sign_up_fields[] = {
    F_STR(struct argus_sign_up_body, username, "username", 64, .flags = FIELD_REQUIRED),
    F_STR(struct argus_sign_up_body, email, "email", 254, .flags = FIELD_NULLABLE, .help = "Not kept: nobody has verified it."),
    F_STR(struct argus_sign_up_body, password, "password", PASSWORD_MAX, .flags = FIELD_REQUIRED | FIELD_SECRET),
};
static const struct record sign_up_record = RECORD(argus_sign_up_body, sign_up_fields);

static void on_signed_up(void *ctx, int result, const struct err *err)
{
    AUTO(call_unref) struct call *c = ctx;
    struct user_row u;
    char name[65];

    if (call_is_gone(c))
        return;
    if (result < 0 || user_find(c->control, ((const struct argus_sign_up_body *)c->body)->username, &u) < 0) {
        reply_error_parked(c, err);
        return;
    }
    (void)str_copy(u.name, name, sizeof(name));
    write_user(call_json(c), u.id, name, u.role, STR_NONE);
    reply_parked(c, 201);
}

static void on_sign_up(struct call *c)
{
    const struct argus_sign_up_body *b = c->body;
    struct err err = { 0 };
    usec_t wait = 0;

    if (!argus_is_safe(c) || run_sign_up(c->control, dialect_conf(c)->argus_sign_up, b->username, b->password, c->peer_addr,
                                         on_signed_up, call_ref(c), &wait, &err) == 0)
        return;
    if (wait > 0)
        call_header(c, "retry-after", "%llu", (unsigned long long)reply_retry_after(wait));
    reply_error(c, &err);
    call_unref(c);
}

/* -- tokens */
struct argus_token_body {
    struct str name, scope;
    usec_t expires_at;
};
static const struct field token_fields[] = {
    F_STR(struct argus_token_body, name, "name", 64, .flags = FIELD_REQUIRED),
    F_STR(struct argus_token_body, scope, "scope", 16, .flags = FIELD_REQUIRED, .help = "reporter or viewer."),
    F_TIME(struct argus_token_body, expires_at, "expires_at"),
};
static const struct record token_record = RECORD(argus_token_body, token_fields);

static void write_token(struct jw *w, const struct credential *cr, const char *text)
{
    jw_map(w);
    argus_number(w, "id", cr->id);
    jw_key(w, "name");
    jw_str(w, cr->name);
    argus_word(w, "prefix", cr->kind == SECRET_ARGUS_VIEWER ? "em_view_" : "em_live_");
    jw_key(w, "display_hint");
    jw_str(w, cr->hint);
    jw_key(w, "scope");
    jw_str(w, cr->scope);
    argus_time(w, "created_at", cr->created_at);
    argus_time(w, "last_used", cr->last_used);
    argus_time(w, "expires_at", cr->expires_at);
    argus_flag(w, "revoked", cr->revoked_at != 0);
    if (text)
        argus_word(w, "token", text);
    jw_end_map(w);
}

static void on_token_create(struct call *c)
{
    const struct argus_token_body *b = c->body;
    const struct credential *cr;
    char text[SECRET_TEXT_MAX];
    struct err err = { 0 };

    if (run_token_create(c->control, &c->who, b->name, b->scope, b->expires_at, text, &cr, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    write_token(call_json(c), cr, text);
    secret_wipe(text, sizeof(text));
    reply_parked(c, 201);
}

struct argus_token_query {
    struct str scope;
    bool include_revoked;
};
static const struct field token_query_fields[] = {
    F_STR(struct argus_token_query, scope, "scope", 16),
    F_BOOL(struct argus_token_query, include_revoked, "include_revoked"),
};
static const struct record token_query_record = RECORD(argus_token_query, token_query_fields);

static void on_token_row(void *ctx, const struct credential *cr)
{
    write_token(ctx, cr, NULL);
}

static void on_tokens(struct call *c)
{
    const struct argus_token_query *q = c->query;
    struct jw *w = call_json(c);
    struct err err = { 0 };

    jw_list(w);
    if (run_token_list(c->control, &c->who, q->scope, q->include_revoked, on_token_row, w, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    jw_end_list(w);
    reply_parked(c, 200);
}

struct argus_revoke_query {
    struct seen seen;
    bool revoke_agents;
};
static const struct field revoke_query_fields[] = {
    F_BOOL(struct argus_revoke_query, revoke_agents, "revoke_agents",
           .help = "Agents registered with it lose their tokens too; default true."),
};
static const struct record revoke_query_record = RECORD_SEEN(argus_revoke_query, revoke_query_fields);

static void on_token_revoke(struct call *c)
{
    const struct argus_revoke_query *q = c->query;
    bool was_revoked = false, with_agents = !field_is_present(&revoke_query_record, q, "revoke_agents") || q->revoke_agents;
    struct jw *w = call_json(c);
    struct err err = { 0 };
    uint64_t id;

    if (call_param_id(c, 0, "run_token.unknown", &id, &err) < 0 ||
        run_token_revoke(c->control, &c->who, id, with_agents, &was_revoked, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    jw_map(w);
    argus_flag(w, "ok", true);
    argus_word(w, "detail", was_revoked ? "already-revoked" : "revoked");
    argus_number(w, "id", id);
    jw_end_map(w);
    reply_parked(c, 200);
}

/* -- addresses: a route of our own, in our own accent */
struct argus_email_body {
    struct str email;
};
static const struct field email_fields[] = {
    F_STR(struct argus_email_body, email, "email", 254, .flags = FIELD_NULLABLE,
          .help = "Empty or null: none. An admin says it, so it is verified."),
};
static const struct record email_record = RECORD(argus_email_body, email_fields);

static void reply_email(struct call *c)
{
    struct err err = { 0 };
    struct user_row u;

    if (user_find(c->control, call_param(c, 0), &u) < 0) {
        (void)err_set(&err, -ENOENT, "user.unknown", "there is no such user");
        reply_error_parked(c, &err);
        return;
    }
    struct argus_email_body o = { person_email_of(c->control, u.id) };
    reply_record(c, 200, &email_record, &o);
}

static void on_email_put(struct call *c)
{
    const struct argus_email_body *b = c->body;
    struct err err = { 0 };

    if (person_email_set(c->control, &c->who, call_param(c, 0), b->email, &err) < 0)
        reply_error_parked(c, &err);
    else
        reply_email(c);
}

static bool claims_login(const struct http_req *req)
{
    return claim_body_key(req, "username_or_email");
}

#define ARGUS .dialect = &dialect_argus
static const struct route rows[] = {
    { HTTP_POST, "/api/auth/login", AUTH_LOGIN, .body = &login_record, .cap = BODY_MAX, .handler = on_login, .flags = ROUTE_MUTATES,
      .claims = claims_login, ARGUS, .summary = "A password for a session of 24 hours." },
    { HTTP_POST, "/api/auth/register", AUTH_LOGIN, .body = &sign_up_record, .cap = BODY_MAX, .handler = on_sign_up, .status = 201,
      .flags = ROUTE_MUTATES, ARGUS, .summary = "Sign up, where --argus-sign-up allows it." },
    { HTTP_POST, "/api/tokens", AUTH_OPERATOR, VERB_API_TOKEN, &token_record, BODY_MAX, on_token_create, .status = 201,
      .flags = ROUTE_MUTATES, ARGUS, .summary = "Make a reporter's or viewer's token; shown only now." },
    { HTTP_GET, "/api/tokens", AUTH_OPERATOR, VERB_API_TOKEN, .handler = on_tokens, .query = &token_query_record, ARGUS,
      .summary = "Your tokens." },
    { HTTP_DELETE, "/api/tokens/{id}", AUTH_OPERATOR, VERB_API_TOKEN, .handler = on_token_revoke, .query = &revoke_query_record,
      .flags = ROUTE_MUTATES, ARGUS, .summary = "Revoke a token, and the agents registered with it." },
    { HTTP_GET, "/api/v1/users/{name}/email", AUTH_OPERATOR, VERB_USER_ADMIN, .handler = reply_email, .response = &email_record,
      .summary = "A user's address." },
    { HTTP_PUT, "/api/v1/users/{name}/email", AUTH_OPERATOR, VERB_USER_ADMIN, &email_record, BODY_MAX, on_email_put,
      .response = &email_record, .flags = ROUTE_MUTATES, .summary = "Sets a user's address (verified: an admin says so)." },
};
const struct route_table argus_people_table = { rows, ARRAY_SIZE(rows) };
