/* api/operator_admin.c - people, their tokens, logs and backups. */
#include <errno.h>
#include <stdio.h>

#include "api/page.h"
#include "api/reply.h"
#include "api/state.h"
#include "api/stream.h"
#include "api/view_logs.h"
#include "api/view_users.h"
#include "base/limits.h"
#include "base/mem.h"

#define LOG_TARGET "api"
#include "base/log.h"

enum { PASSWORD_MAX = 1024 };

/* -- login, whoami */

struct login_body {
    struct str username, password, name;
    usec_t ttl;
};
static const struct field login_fields[] = {
    F_STR(struct login_body, username, "username", LIMIT_NAME, .flags = FIELD_REQUIRED),
    F_STR(struct login_body, password, "password", PASSWORD_MAX, .flags = FIELD_REQUIRED | FIELD_SECRET),
    F_STR(struct login_body, name, "name", LIMIT_NAME, .help = "What the token is for; default: login."),
    F_DURATION(struct login_body, ttl, "ttl", .max_value = LOGIN_TTL_MAX, .help = "How long the token is good. Default 12h, at most 720h."),
};
static const struct record login_body_record = RECORD(login_body, login_fields);

struct login_out {
    struct str token, user;
    uint64_t token_id;
    int role;
    usec_t expires_at;
};
static const struct field login_out_fields[] = {
    F_STR(struct login_out, token, "token", 64, .help = "Bearer credential; shown only now."),
    F_U64(struct login_out, token_id, "token_id"),
    F_STR(struct login_out, user, "user", LIMIT_NAME),
    F_ENUM(struct login_out, role, "role", role_level_names),
    F_TIME(struct login_out, expires_at, "expires_at"),
};
static const struct record login_record = RECORD(login_out, login_out_fields);

static void on_login_done(void *ctx, const struct login_result *r)
{
    AUTO(call_unref) struct call *c = ctx;

    c->api->n_logins--;
    if (call_is_gone(c))
        return;
    if (r->result < 0) {
        if (strcmp(r->err.slug, "rate.limited") == 0)
            call_header(c, "retry-after", "6");
        reply_error_parked(c, &r->err);
        return;
    }
    struct login_out o = { .token = str_of(r->token),
                           .user = str_of(r->user),
                           .token_id = r->token_id,
                           .role = (int)r->role,
                           .expires_at = r->expires_at };
    reply_record(c, 200, &login_record, &o);
}

static void on_login(struct call *c)
{
    const struct login_body *b = c->body;

    c->api->n_logins++;
    authn_login(c->control, b->username, b->password, b->name, b->ttl, &c->peer, on_login_done, call_ref(c));
}

struct whoami_out {
    struct str name;
    int role, kind;
};
static const struct field whoami_fields[] = {
    F_STR(struct whoami_out, name, "name", 136),
    F_ENUM(struct whoami_out, role, "role", role_level_names),
    F_ENUM(struct whoami_out, kind, "kind", principal_kind_names),
};
static const struct record whoami_record = RECORD(whoami_out, whoami_fields);

static void on_whoami(struct call *c)
{
    struct whoami_out o = { .name = str_of(c->who.name), .role = (int)c->who.role, .kind = (int)c->who.kind };

    reply_record(c, 200, &whoami_record, &o);
}

/* -- users */

static const struct name user_roles[] = {
    { ROLE_VIEWER, "viewer" }, { ROLE_OPERATOR, "operator" }, { ROLE_ADMIN, "admin" }, NAMES_END
};

static void on_user_view(void *ctx, const struct user_row *u)
{
    view_user(u, call_json(ctx));
}

static void on_users(struct call *c)
{
    (void)page_begin_whole(c, "users");
    user_list(c->control, on_user_view, c);
    page_end_whole(c);
}

struct user_body {
    struct str name, password;
    int role;
};
static const struct field user_body_fields[] = {
    F_STR(struct user_body, name, "name", 64, .flags = FIELD_REQUIRED),
    F_ENUM(struct user_body, role, "role", user_roles, .help = "Default: viewer."),
    F_STR(struct user_body, password, "password", PASSWORD_MAX, .flags = FIELD_REQUIRED | FIELD_SECRET),
};
static const struct record user_body_record = RECORD(user_body, user_body_fields);

/* The user @name as it is now, after a verb. */
static void reply_user(struct call *c, int status, int result, const struct err *err, struct str name)
{
    struct user_row u;
    struct err none = { 0 };

    if (call_is_gone(c))
        return;
    if (result == 0 && user_find(c->control, name, &u) < 0) {
        result = err_set(&none, -ENOENT, "user.unknown", "there is no such user (any more)");
        err = &none;
    }
    if (result < 0) {
        reply_error_parked(c, err);
        return;
    }
    view_user(&u, call_json(c));
    reply_parked(c, status);
}

static void on_user_created(void *ctx, int result, const struct err *err)
{
    AUTO(call_unref) struct call *c = ctx;

    if (!call_is_gone(c))
        reply_user(c, 201, result, err, ((const struct user_body *)c->body)->name);
}

static void on_user_create(struct call *c)
{
    const struct user_body *b = c->body;
    enum role_level role = b->role ? (enum role_level)b->role : ROLE_VIEWER;

    user_create(c->control, &c->who, b->name, role, b->password, on_user_created, call_ref(c));
}

struct user_patch {
    struct seen seen;
    int role;
    struct str password, old_password;
    bool disabled;
};
static const struct field user_patch_fields[] = {
    F_ENUM(struct user_patch, role, "role", user_roles),
    F_STR(struct user_patch, password, "password", PASSWORD_MAX, .flags = FIELD_SECRET),
    F_BOOL(struct user_patch, disabled, "disabled"),
    F_STR(struct user_patch, old_password, "old_password", PASSWORD_MAX, .flags = FIELD_SECRET,
          .help = "Wanted when somebody changes their own."),
};
static const struct record user_patch_record = RECORD_SEEN(user_patch, user_patch_fields);

static void on_user_changed(void *ctx, int result, const struct err *err)
{
    AUTO(call_unref) struct call *c = ctx;

    if (!call_is_gone(c))
        reply_user(c, 200, result, err, call_param(c, 0));
}

static void on_user_patch(struct call *c)
{
    const struct user_patch *b = c->body;
    struct user_change ch = {
        .has_role = field_is_present(&user_patch_record, b, "role"),
        .has_disabled = field_is_present(&user_patch_record, b, "disabled"),
        .has_password = field_is_present(&user_patch_record, b, "password"),
        .role = (enum role_level)b->role,
        .disabled = b->disabled,
        .password = b->password,
        .old_password = b->old_password,
    };

    user_change(c->control, &c->who, call_param(c, 0), &ch, on_user_changed, call_ref(c));
}

/* -- API tokens */

struct api_tokens_query {
    bool all;
};
static const struct field api_tokens_query_fields[] = {
    F_BOOL(struct api_tokens_query, all, "all", .help = "Everybody's (admin)."),
};
static const struct record api_tokens_query_record = RECORD(api_tokens_query, api_tokens_query_fields);

static void on_api_token_view(void *ctx, const struct api_token_row *t, struct str user)
{
    view_api_token(t, user, call_json(ctx));
}

static void on_api_tokens(struct call *c)
{
    const struct api_tokens_query *q = c->query;
    struct err err = { 0 };

    if (q->all && authz(c->control, &c->who, VERB_API_TOKEN_ANY, STR("api-tokens"), &err) < 0) {
        reply_error(c, &err);
        return;
    }
    (void)page_begin_whole(c, "tokens");
    api_token_list(c->control, &c->who, q->all, on_api_token_view, c);
    page_end_whole(c);
}

struct api_token_body {
    struct str name, user;
    int role;
    usec_t ttl;
};
static const struct field api_token_body_fields[] = {
    F_STR(struct api_token_body, name, "name", LIMIT_NAME, .flags = FIELD_REQUIRED,
          .help = "What it is for."),
    F_ENUM(struct api_token_body, role, "role", user_roles, .help = "Default: its user's, and not more than yours."),
    F_DURATION(struct api_token_body, ttl, "ttl", .help = "How long it is good; 0: for ever."),
    F_STR(struct api_token_body, user, "user", LIMIT_NAME, .help = "Whose it is; default: yours."),
};
static const struct record api_token_body_record = RECORD(api_token_body, api_token_body_fields);

static void on_api_token_create(struct call *c)
{
    const struct api_token_body *b = c->body;
    enum role_level role = (enum role_level)b->role;
    struct api_token_row row = { 0 };
    struct jw *w = call_json(c);
    struct err err = { 0 };
    char text[36];

    if (api_token_create(c->control, &c->who, b->name, role, b->ttl, b->user, text, &row, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    jw_map(w);
    jw_key(w, "id");
    jw_u64(w, row.id);
    jw_key(w, "token");
    jw_cstr(w, text);
    jw_key(w, "name");
    jw_str(w, row.name);
    jw_key(w, "role");
    jw_str(w, row.scope);
    jw_key(w, "created_at");
    char at[CLOCK_TEXT_MAX];
    clock_format(row.created_at, 0, at);
    jw_cstr(w, at);
    jw_key(w, "expires_at");
    if (row.expires_at) {
        clock_format(row.expires_at, 0, at);
        jw_cstr(w, at);
    } else {
        jw_null(w);
    }
    jw_key(w, "hint");
    jw_str(w, row.hint);
    jw_end_map(w);
    secret_wipe(text, sizeof(text));
    reply_parked(c, 201);
}

static void on_api_token_revoke(struct call *c)
{
    struct api_token_row row;
    struct err err = { 0 };
    uint64_t id;

    if (call_param_id(c, 0, "api_token.unknown", &id, &err) < 0 ||
        api_token_revoke(c->control, &c->who, id, &row, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    view_api_token(&row, STR_NONE, call_json(c));
    reply_parked(c, 200);
}

/* -- logs */

struct logs_query {
    uint32_t limit;
};
static const struct field logs_query_fields[] = {
    F_U32(struct logs_query, limit, "limit", .min_value = 1, .max_value = 2000, .help = "Default 200."),
};
static const struct record logs_query_record = RECORD(logs_query, logs_query_fields);

struct log_copy {
    usec_t at;
    enum log_level level;
    char target[32];
    struct blob *line;
};
struct logs_walk {
    struct log_copy *v;
    size_t n, size; /* a ring: the newest @size */
};

/* Runs with the log's lock held: copies, no more. */
static void on_log(void *ctx, uint64_t wall_us, enum log_level level, const char *target, const char *line)
{
    struct logs_walk *w = ctx;
    struct log_copy *l = &w->v[w->n++ % w->size];

    blob_unref(l->line);
    *l = (struct log_copy){ .at = wall_us, .level = level, .line = blob_new(str_of(line)) };
    (void)snprintf(l->target, sizeof(l->target), "%s", target);
}

static const char *level_text(enum log_level level)
{
    static const char *const text[] = { "ERROR", "WARN", "INFO", "DEBUG", "TRACE" };

    return (size_t)level < ARRAY_SIZE(text) ? text[level] : "INFO";
}

static void on_logs(struct call *c)
{
    const struct logs_query *q = c->query;
    struct logs_walk walk = { .size = q->limit ? q->limit : 200 };
    struct jw *w = call_json(c);
    size_t n;

    walk.v = xcalloc(walk.size, sizeof(*walk.v));
    log_visit(on_log, &walk);
    n = walk.n < walk.size ? walk.n : walk.size;
    jw_map(w);
    jw_key(w, "logs");
    jw_list(w);
    for (size_t i = 0; i < n; i++) {
        const struct log_copy *l = &walk.v[(walk.n - 1 - i) % walk.size];
        char at[CLOCK_TEXT_MAX];

        clock_format(l->at, 6, at);
        jw_map(w);
        jw_key(w, "timestamp");
        jw_cstr(w, at);
        jw_key(w, "level");
        jw_cstr(w, level_text(l->level));
        jw_key(w, "target");
        jw_cstr(w, l->target);
        jw_key(w, "message");
        jw_str(w, blob_str(l->line));
        jw_end_map(w);
    }
    jw_end_list(w);
    jw_end_map(w);
    for (size_t i = 0; i < walk.size; i++)
        blob_unref(walk.v[i].line);
    free(walk.v);
    reply_parked(c, 200);
}

/* -- backup: progress as an event stream */

struct backup_body {
    struct str path;
};
static const struct field backup_fields[] = {
    F_STR(struct backup_body, path, "path", 4096, .flags = FIELD_REQUIRED,
          .help = "Absolute path of a file that does not exist yet."),
};
static const struct record backup_record = RECORD(backup_body, backup_fields);

struct backup {
    struct sink sink;
    bool is_gone;
    char *path;
};

static void backup_room(void *feed)
{
    (void)feed;
}

/* The copy goes on without its reader. */
static void backup_gone(void *feed)
{
    ((struct backup *)feed)->is_gone = true;
}

static const struct feed_ops backup_feed_ops = { .room = backup_room, .gone = backup_gone };

static void on_backup_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct backup *b = ctx;
    char json[96];
    int n;

    if (b->is_gone)
        return;
    n = snprintf(json, sizeof(json), "{\"done\":%llu,\"total\":%llu}", (unsigned long long)done,
                 (unsigned long long)total);
    b->sink.put(b->sink.ctx, "progress", 0, str_bytes(json, (size_t)n));
}

static void put_backup_end(struct backup *b, int result)
{
    AUTO(buf_done) struct buf out = BUF(16384);
    struct jw w = JW(&out);
    struct err err = { 0 };

    jw_map(&w);
    jw_key(&w, "path");
    jw_cstr(&w, b->path);
    if (result < 0) {
        (void)err_set(&err, result, "backup.failed", "%m");
        jw_key(&w, "code");
        jw_cstr(&w, err.slug);
        jw_key(&w, "message");
        jw_cstr(&w, err.text);
    }
    jw_end_map(&w);
    if (jw_done(&w) == 0)
        b->sink.put(b->sink.ctx, result < 0 ? "error" : "done", 0, buf_as_str(&out));
}

static void on_backup_done(void *ctx, int result)
{
    struct backup *b = ctx;

    if (!b->is_gone) {
        put_backup_end(b, result);
        b->sink.end(b->sink.ctx);
    }
    free(b->path);
    free(b);
}

static void on_backup(struct call *c)
{
    const struct backup_body *body = c->body;
    struct err err = { 0 };
    struct backup *b;
    struct stream *s;

    if (body->path.ptr[0] != '/') {
        (void)err_set(&err, -EINVAL, "field.invalid", "path: an absolute path is wanted");
        err_path(&err, "path");
        reply_error(c, &err);
        return;
    }
    b = xnew0(struct backup);
    b->path = str_dup(body->path);
    s = stream_open(c, 202, &backup_feed_ops, b);
    if (!s) {
        free(b->path);
        free(b);
        return;
    }
    b->sink = stream_sink(s);
    read_backup(c->control, &c->who, b->path, on_backup_progress, on_backup_done, b);
}

#define V1 "/api/v1"
const struct route api_admin_routes[] = {
    { HTTP_POST, V1 "/login", AUTH_LOGIN, .body = &login_body_record, .cap = 8192, .handler = on_login,
      .response = &login_record, .flags = ROUTE_MUTATES, .summary = "A password for an API token." },
    { HTTP_GET, V1 "/whoami", AUTH_OPERATOR, VERB_READ, .handler = on_whoami, .response = &whoami_record,
      .summary = "Who you are here." },
    { HTTP_GET, V1 "/users", AUTH_OPERATOR, VERB_USER_ADMIN, .handler = on_users,
      .response = &user_list_record, .summary = "Users." },
    { HTTP_POST, V1 "/users", AUTH_OPERATOR, VERB_USER_ADMIN, &user_body_record, 8192, on_user_create,
      .response = &user_out_record, .status = 201, .flags = ROUTE_MUTATES, .summary = "Adds a user." },
    { HTTP_PATCH, V1 "/users/{name}", AUTH_OPERATOR, VERB_OWN_PASSWORD, &user_patch_record, 8192,
      on_user_patch, .response = &user_out_record, .flags = ROUTE_MUTATES,
      .summary = "Changes a user; everybody may change their own password." },
    { HTTP_GET, V1 "/api-tokens", AUTH_OPERATOR, VERB_API_TOKEN, .handler = on_api_tokens,
      .query = &api_tokens_query_record, .response = &api_token_list_record, .summary = "Your API tokens." },
    { HTTP_POST, V1 "/api-tokens", AUTH_OPERATOR, VERB_API_TOKEN, &api_token_body_record, 8192,
      on_api_token_create, .response = &api_token_record, .status = 201, .flags = ROUTE_MUTATES,
      .summary = "Makes an API token." },
    { HTTP_DELETE, V1 "/api-tokens/{id}", AUTH_OPERATOR, VERB_API_TOKEN, .handler = on_api_token_revoke,
      .response = &api_token_record, .flags = ROUTE_MUTATES, .summary = "Revokes an API token." },
    { HTTP_GET, V1 "/logs", AUTH_OPERATOR, VERB_AUDIT_READ, .handler = on_logs, .query = &logs_query_record,
      .response = &log_list_record, .summary = "The server's newest log lines." },
    { HTTP_POST, V1 "/backup", AUTH_LOCAL, VERB_USER_ADMIN, &backup_record, 8192, on_backup, .status = 202,
      .flags = ROUTE_STREAMS, .summary = "Copies the database into a file on the server, online." },
};
const size_t api_admin_routes_n = ARRAY_SIZE(api_admin_routes);
