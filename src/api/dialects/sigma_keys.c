/* api/dialects/sigma_keys.c - sigma's API keys, and people's login for its routes. */
#include <errno.h>

#include "api/dialects/sigma.h"
#include "api/state.h"
#include "base/mem.h"
#include "base/uuid.h"

/* Ids of keys look like every other id of this accent: the number is the last group. */
enum { KEY_ID_DIGITS = 12 };
#define KEY_ID_PREFIX "00000000-0000-4000-8000-"

static void key_id(uint64_t id, char ret[UUID_TEXT_MAX])
{
    (void)snprintf(ret, UUID_TEXT_MAX, KEY_ID_PREFIX "%012llx", (unsigned long long)(id & 0xffffffffffffULL));
}

/* -1: answered. */
static int param_id(struct call *c, uint64_t *ret)
{
    struct str uuid;
    struct err err = { 0 };

    if (!sigma_uuid(c, &uuid))
        return -1;
    if (str_starts(uuid, STR(KEY_ID_PREFIX)) && str_to_hex_u64(str_sub(uuid, UUID_TEXT_LEN - KEY_ID_DIGITS, KEY_ID_DIGITS), ret) == 0)
        return 0;
    (void)err_set(&err, -ENOENT, "foreign_key.unknown", "Not found: no such API key");
    reply_error_parked(c, &err);
    return -1;
}

static void view(struct call *c, const struct credential *cr, const char *text)
{
    char id[UUID_TEXT_MAX];

    key_id(cr->id, id);
    const struct sigma_key k = { .id = str_of(id),
                                 .name = cr->name,
                                 .key = str_of(text),
                                 .key_prefix = cr->hint,
                                 .role = cr->scope,
                                 .bind_hostname = cr->bind_hostname,
                                 .bound_hostname = cr->bound_hostname,
                                 .created_by = cr->created_by,
                                 .created_at = cr->created_at,
                                 .last_used_at = cr->last_used };

    record_write(&sigma_key_record, &k, call_json(c));
}

static bool on_row(void *ctx, const struct credential *cr)
{
    if (!cr->revoked_at)
        view(ctx, cr, NULL);
    return true;
}

static void on_list(struct call *c)
{
    jw_list(call_json(c));
    credential_list(c->control, SECRET_SIGMA_KEY, on_row, c);
    jw_end_list(call_json(c));
    reply_parked(c, 200);
}

static void on_create(struct call *c)
{
    const struct sigma_key_wish *b = c->body;
    const struct credential *cr;
    char text[SECRET_TEXT_MAX];
    struct err err = { 0 };

    cr = asset_key_create(c->control, &c->who, b->name, b->role.len ? b->role : STR("readonly"), b->bind_hostname, text, &err);
    if (!cr) {
        reply_error_parked(c, &err);
        return;
    }
    view(c, cr, text);
    secret_wipe(text, sizeof(text));
    reply_parked(c, 200);
}

static void on_get(struct call *c)
{
    const struct credential *cr;
    struct err err = { 0 };
    uint64_t id;

    if (param_id(c, &id) < 0)
        return;
    cr = asset_key_find(c->control, id, &err);
    if (!cr) {
        reply_error_parked(c, &err);
        return;
    }
    view(c, cr, NULL);
    reply_parked(c, 200);
}

static void on_delete(struct call *c)
{
    struct err err = { 0 };
    uint64_t id;

    if (param_id(c, &id) < 0)
        return;
    if (asset_key_delete(c->control, &c->who, id, &err) < 0)
        reply_error_parked(c, &err);
    else
        reply_parked(c, 204);
}

/* -- login */

/* Role words of this accent. */
static const char *role_word(enum role_level role)
{
    return role == ROLE_VIEWER ? "readonly" : name_of(role_level_names, (int)role);
}

static void on_login_done(void *ctx, const struct session_user *u)
{
    AUTO(call_unref) struct call *c = ctx;
    AUTO(buf_done_secret) struct buf token = BUF(4096);
    struct jw *w;
    char id[24];

    c->api->n_logins--;
    if (call_is_gone(c) || !c->api->control)
        return;
    if (u->result < 0) {
        if (u->retry_after)
            call_header(c, "retry-after", "%llu", (unsigned long long)reply_retry_after(u->retry_after));
        reply_error_parked(c, &u->err);
        return;
    }
    if (session_make(c, u, dialect_sigma.name, USEC_PER_DAY, &token) < 0) {
        struct err err = { 0 };

        (void)err_set(&err, -EIO, "internal", "the session token could not be made");
        reply_error(c, &err);
        return;
    }
    (void)snprintf(id, sizeof(id), "%llu", (unsigned long long)u->user_id);
    w = call_json(c);
    jw_map(w);
    jw_key(w, "token");
    jw_str(w, buf_as_str(&token));
    jw_key(w, "user");
    jw_map(w);
    jw_key(w, "id");
    jw_cstr(w, id);
    jw_key(w, "email");
    jw_cstr(w, u->user);
    jw_key(w, "role");
    jw_cstr(w, role_word(u->role));
    jw_end_map(w);
    jw_end_map(w);
    reply_parked(c, 200);
}

static void on_login(struct call *c)
{
    const struct sigma_login *b = c->body;

    c->api->n_logins++;
    authn_password(c->control, b->email, b->password, &c->peer, on_login_done, call_ref(c));
}

static bool claims_login(const struct http_req *req)
{
    return claim_body_key(req, "email");
}

static const struct route rows[] = {
    { HTTP_GET, "/api/api-keys", AUTH_OPERATOR, VERB_FOREIGN_KEY, .handler = on_list, .response = &sigma_key_record,
      .dialect = &dialect_sigma, .summary = "sigma's API keys." },
    { HTTP_POST, "/api/api-keys", AUTH_OPERATOR, VERB_FOREIGN_KEY, &sigma_key_wish_record, .handler = on_create,
      .response = &sigma_key_record, .flags = ROUTE_MUTATES | ROUTE_JSON_TYPE, .dialect = &dialect_sigma,
      .summary = "Make an API key; it is shown only now." },
    { HTTP_GET, "/api/api-keys/{id}", AUTH_OPERATOR, VERB_FOREIGN_KEY, .handler = on_get, .response = &sigma_key_record,
      .dialect = &dialect_sigma, .summary = "One API key." },
    { HTTP_DELETE, "/api/api-keys/{id}", AUTH_OPERATOR, VERB_FOREIGN_KEY, .handler = on_delete, .flags = ROUTE_MUTATES, .status = 204,
      .dialect = &dialect_sigma, .summary = "Delete an API key." },
    { HTTP_POST, "/api/auth/login", AUTH_LOGIN, .body = &sigma_login_record, .handler = on_login, .flags = ROUTE_JSON_TYPE | ROUTE_MUTATES,
      .claims = claims_login, .dialect = &dialect_sigma, .summary = "Log in to sigma's routes with a user's name and password." },
};
const struct route_table sigma_key_table = { rows, ARRAY_SIZE(rows) };
