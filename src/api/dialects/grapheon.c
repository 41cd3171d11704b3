/* api/dialects/grapheon.c - the accent of Graphēon: how it says no, who logs in, how it is. Agents: grapheon_checkin.c,
 * grapheon_agents.c; policies and keys: grapheon_admin.c. */
#include "api/dialects/grapheon.h"

#include <errno.h>
#include <stdio.h>

#include "api/auth.h"
#include "api/state.h"
#include "base/uuid.h"

enum { SESSION_S = 3600 };

/* -- what every answer has */
void grapheon_begin(struct call *c)
{
    struct uuid u = uuid_v4();
    char text[UUID_TEXT_MAX];

    for (size_t i = 0; i < c->n_headers; i++)
        if (str_is(c->headers[i].key, "x-request-id"))
            return;
    uuid_format(&u, text);
    call_header(c, "x-request-id", "%s", text);
}

/* -- refusals: {"detail": text, "errors": [{"field", "message", "type"}]}; "error" for who reads other accents on shared paths */

/* The tag that pydantic would give. */
static const char *type_of(const char *slug, const char *text)
{
    static const struct {
        const char *slug, *word, *type;
    } table[] = {
        { "field.required", "", "missing" },
        { "field.too_long", "", "string_too_long" },
        { "field.too_short", "", "string_too_short" },
        { "field.range", "too small", "greater_than_equal" },
        { "field.range", "", "less_than_equal" },
        { "field.type", "string", "string_type" },
        { "field.type", "number", "int_type" },
        { "field.type", "true", "bool_type" },
        { "field.type", "list", "list_type" },
        { "field.type", "object", "model_type" },
        { "json.", "", "json_invalid" },
        { "field.", "", "value_error" },
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (str_starts(str_of(slug), str_of(table[i].slug)) && str_find(str_of(text), str_of(table[i].word)) >= 0)
            return table[i].type;
    return "value_error";
}

/* rows[3].port -> rows.3.port */
static void dotted(const char *path, char *dst, size_t size)
{
    size_t n = 0;

    for (; *path && n + 1 < size; path++)
        if (*path == '[')
            dst[n++] = '.';
        else if (*path != ']')
            dst[n++] = *path;
    dst[n] = '\0';
    if (n == 0)
        (void)snprintf(dst, size, "unknown");
}

static void one_error(struct jw *w, const char *path, const char *text, const char *type)
{
    char field[ERR_PATH_MAX];

    dotted(path, field, sizeof(field));
    jw_map(w);
    jw_key(w, "field");
    jw_cstr(w, field);
    jw_key(w, "message");
    jw_cstr(w, text);
    jw_key(w, "type");
    jw_cstr(w, type);
    jw_end_map(w);
}

static bool is_about_form(const struct err *err)
{
    return str_starts(str_of(err->slug), STR("field.")) || str_starts(str_of(err->slug), STR("json."));
}

static void begin_error(struct jw *w, const char *text)
{
    jw_map(w);
    jw_key(w, "detail");
    jw_cstr(w, text);
    jw_key(w, "error");
    jw_cstr(w, text);
}

static int error(struct call *c, const struct err *err, const struct record_errors *errs, struct buf *out)
{
    bool is_form = is_about_form(err) || (errs && errs->n);
    int status = is_form && strcmp(err->slug, "json.too_large") != 0 ? 422 : dialect_status(err, NULL);
    struct jw w = JW(out);

    grapheon_begin(c);
    begin_error(&w, is_form ? "the request is not valid" : err->text[0] ? err->text : "the request failed");
    if (status == 422) {
        jw_key(&w, "errors");
        jw_list(&w);
        for (size_t i = 0; errs && i < errs->n; i++)
            one_error(&w, errs->v[i].path, errs->v[i].text, type_of(errs->v[i].slug, errs->v[i].text));
        if (!errs || errs->n == 0)
            one_error(&w, err->path, err->text, type_of(err->slug, err->text));
        jw_end_list(&w);
    }
    jw_end_map(&w);
    return status;
}

struct client_key grapheon_client_key(const struct call *c)
{
    /* A trusted proxy that comes with a certificate of its own does so for everybody behind it, whatever headers it sets. */
    struct client_key k = { .is_shown = c->req->client_key && !auth_is_from_proxy(c->api, c->req) };

    if (k.is_shown)
        memcpy(k.spki_sha256, c->req->client_key, sizeof(k.spki_sha256));
    return k;
}

/* An agent whose report is larger than anybody may send: by its key, and within what the operator allows. People as everywhere. */
static int prove(struct call *c, struct principal *ret, usec_t *ret_wait, struct err *err)
{
    const struct dialect_conf *conf = dialect_conf(c);
    const struct client_key client = grapheon_client_key(c);
    struct report_pass pass;
    uint64_t length;

    if (c->route->auth != AUTH_AGENT)
        return auth_operator(c->api, c->req, dialect_grapheon.name, ret, ret_wait, err);
    if (str_to_u64(http_header(c->req, "content-length"), &length) < 0 || length > conf->grapheon_max_report)
        return err_set(err, -EMSGSIZE, "request.too_large", "the body is larger than %u bytes", conf->grapheon_max_report);
    return report_authenticate(c->control, http_header(c->req, conf->grapheon_key_header), &client, c->peer_addr, &pass, err);
}

const struct dialect dialect_grapheon = { .name = "grapheon", .prove = prove, .error = error, .stop = grapheon_stop };

void grapheon_error(struct call *c, const struct err *err)
{
    reply_error_parked(c, err);
}

void grapheon_refusals(struct jw *w, const struct report_refusal *v, size_t n)
{
    jw_list(w);
    for (size_t i = 0; i < n; i++)
        one_error(w, v[i].field, v[i].message, v[i].type);
    jw_end_list(w);
}

void grapheon_refuse_fields(struct call *c, const struct report_refusal *v, size_t n)
{
    struct jw *w = call_json(c);

    if (call_is_gone(c))
        return;
    grapheon_begin(c);
    begin_error(w, "the request is not valid");
    jw_key(w, "errors");
    grapheon_refusals(w, v, n);
    jw_end_map(w);
    reply_now(c, 422);
}

void grapheon_refuse_field(struct call *c, const char *field, const char *type, const char *message)
{
    struct report_refusal why = { .type = type };

    (void)snprintf(why.field, sizeof(why.field), "%s", field);
    (void)snprintf(why.message, sizeof(why.message), "%s", message);
    grapheon_refuse_fields(c, &why, 1);
}

bool grapheon_has_body(struct call *c)
{
    if (c->req->body.len > 0)
        return true;
    grapheon_refuse_field(c, "", "missing", "a body is required: {} when there is nothing to say");
    return false;
}

bool grapheon_fits(struct call *c, const char *field, struct str s, size_t max_chars)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    if (n <= max_chars)
        return true;
    grapheon_refuse_field(c, field, "string_too_long", "is too long");
    return false;
}

/* -- times */
bool grapheon_parse_time(struct str s, usec_t *ret)
{
    char text[64];
    double number;
    usec_t t;

    s = str_trim(s);
    if (str_to_f64(s, &number) == 0) {
        if (number > 2e10)
            number /= 1000; /* milliseconds: as seconds it would be the year 2603 and later */
        if (number < 0 || number > 253402300800.0)
            return false;
        *ret = (usec_t)(number * 1e6);
        return true;
    }
    if (s.len < 10 || s.len > 40 || str_copy(s, text, sizeof(text)) < 0)
        return false;
    if (s.len == 10)
        (void)snprintf(text + 10, sizeof(text) - 10, "T00:00:00Z");
    if (text[10] == ' ' || text[10] == 't')
        text[10] = 'T';
    if (clock_parse(str_of(text), &t) < 0) {
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "Z"); /* no zone: UTC */
        if (clock_parse(str_of(text), &t) < 0)
            return false;
    }
    *ret = t;
    return true;
}

/* -- logging in */
static void on_login(void *ctx, const struct session_user *u)
{
    AUTO(call_unref) struct call *c = ctx;
    AUTO(buf_done_secret) struct buf token = BUF(2048);
    struct jw *w;

    c->api->n_logins--;
    if (call_is_gone(c))
        return;
    if (u->result < 0) {
        struct err err = u->err;

        if (strcmp(err.slug, "auth.disabled") == 0)
            (void)err_set(&err, -EACCES, "auth.denied", "this user is disabled");
        if (u->retry_after)
            call_header(c, "retry-after", "%llu", (unsigned long long)reply_retry_after(u->retry_after));
        reply_error_parked(c, &err);
        return;
    }
    grapheon_begin(c);
    if (session_make(c, u, dialect_grapheon.name, SESSION_S * USEC_PER_SEC, &token) < 0) {
        reply_unread(c, -ENOBUFS);
        return;
    }
    w = call_json(c);
    jw_map(w);
    jw_key(w, "access_token");
    jw_str(w, buf_as_str(&token));
    jw_key(w, "token_type");
    jw_cstr(w, "Bearer");
    jw_key(w, "expires_in");
    jw_u64(w, SESSION_S);
    jw_key(w, "user_id");
    jw_u64(w, u->user_id);
    jw_key(w, "username");
    jw_cstr(w, u->user);
    jw_key(w, "email");
    jw_null(w);
    jw_key(w, "role");
    jw_cstr(w, u->role == ROLE_OPERATOR ? "editor" : name_of(role_level_names, (int)u->role));
    jw_end_map(w);
    reply_parked(c, 200);
}

static void login(struct call *c)
{
    const struct grapheon_login *b = c->body;

    c->api->n_logins++;
    authn_password(c->control, b->username, b->password, &c->peer, on_login, call_ref(c));
}

/* -- how it is */
static void health(struct call *c)
{
    struct err why = { 0 };
    bool is_fine = c->api->control && read_health(c->api->control, &why) == 0 && !c->api->is_draining;
    struct jw *w = call_json(c);
    char now[32];

    grapheon_begin(c);
    grapheon_format_time(clock_wall(c->api->conf.clock), now);
    jw_map(w);
    jw_key(w, "status");
    jw_cstr(w, is_fine ? "healthy" : "unhealthy");
    jw_key(w, "timestamp");
    jw_cstr(w, now);
    jw_key(w, "checks");
    jw_map(w);
    jw_key(w, "database");
    jw_cstr(w, is_fine ? "ok" : why.text[0] ? why.text : "not ready");
    jw_end_map(w);
    jw_end_map(w);
    reply_now(c, is_fine ? 200 : 503);
}

static void info(struct call *c)
{
    struct jw *w = call_json(c);

    grapheon_begin(c);
    jw_map(w);
    jw_key(w, "name");
    jw_cstr(w, "muster");
    jw_key(w, "version");
    jw_cstr(w, MUSTER_VERSION);
    jw_key(w, "accent");
    jw_cstr(w, "grapheon");
    jw_key(w, "auth_enabled");
    jw_bool(w, true);
    jw_key(w, "enforce_auth");
    jw_bool(w, true);
    jw_end_map(w);
    reply_now(c, 200);
}

#define GRAPHEON .dialect = &dialect_grapheon
static const struct route rows[] = {
    { HTTP_POST, "/api/auth/login/local", AUTH_LOGIN, .body = &grapheon_login_record, .cap = 8192, .handler = login,
      .flags = ROUTE_MUTATES, GRAPHEON, .summary = "Graphēon: logs a person in" },
    { HTTP_GET, "/health", AUTH_NONE, .handler = health, GRAPHEON, .summary = "Graphēon: how the server is" },
    { HTTP_GET, "/api/health", AUTH_NONE, .handler = health, GRAPHEON, .summary = "Graphēon: how the server is" },
    { HTTP_GET, "/api/info", AUTH_NONE, .handler = info, GRAPHEON, .summary = "Graphēon: what the server is" },
    { HTTP_GET, "/api", AUTH_NONE, .handler = info, GRAPHEON, .summary = "Graphēon: what the server is" },
};
const struct route_table grapheon_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
