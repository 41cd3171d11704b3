/* api/browser.c - see browser.h. */
#include "api/browser.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "api/auth.h"
#include "api/html.h"
#include "api/reply.h"
#include "api/state.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "codec/jwt.h"

enum { SESSION_S = 3600 };
#define SESSION_NAME "pages" /* tokens of the pages are good for nothing else */
#define COOKIE "muster_page"
#define COOKIE_RULES "; Path=%s; HttpOnly; SameSite=Strict"

/* Of a row that is a page: no other comes here. */
static const struct browser_site *site_of(const struct call *c)
{
    assert(c->route->dialect->prove == browser_prove);
    return (const struct browser_site *)(const void *)c->route->dialect;
}

/* -- the cookie */

/* HTTP/2 may send one header a pair (RFC 9113, 8.2.3). */
struct str browser_cookie(const struct http_req *req)
{
    for (size_t i = 0; i < req->headers.n; i++) {
        struct str rest = req->headers.v[i].value, pair;

        if (!str_is(req->headers.v[i].key, "cookie"))
            continue;
        while (str_cut(&rest, ';', &pair)) {
            struct str value = str_trim(pair), name;

            (void)str_cut(&value, '=', &name);
            if (str_is(name, COOKIE) && value.len)
                return value;
        }
    }
    return STR_NONE;
}

static void forget_cookie(struct call *c)
{
    call_header_lent(c, "set-cookie", arena_printf(c->arena, COOKIE "=" COOKIE_RULES "; Max-Age=0", site_of(c)->path));
}

int browser_prove(struct call *c, struct principal *ret, usec_t *ret_wait, struct err *err)
{
    struct str cookie = browser_cookie(c->req);

    return cookie.len ? auth_session(c->api, c->req, cookie, SESSION_NAME, ret, ret_wait, err)
                      : auth_operator(c->api, c->req, NULL, ret, ret_wait, err);
}

/* -- saying no */
static const char *title_of(int status)
{
    switch (status) {
    case 403:
        return "Not allowed";
    case 404:
        return "Not found";
    case 409:
        return "Not possible now";
    case 429:
    case 503:
        return "Try again in a moment";
    default:
        return "That did not work";
    }
}

int browser_error(struct call *c, const struct err *err, const struct record_errors *errs, struct buf *out)
{
    int status = dialect_status(err, errs);
    struct buf *b;

    if (status == 401) {
        if (browser_cookie(c->req).len)
            forget_cookie(c);
        call_header_lent(c, "location", str_of(site_of(c)->login));
    }
    b = html_begin(c, title_of(status));
    (void)buf_cstr(b, "<p class=\"said bad\" role=\"alert\">");
    html_cstr(b, err->text[0] ? err->text : "the request failed");
    (void)buf_printf(b, "</p>\n<p><a href=\"%s\">%s</a></p>\n", site_of(c)->home, site_of(c)->to_home);
    html_end(c);
    (void)out; /* it is c->out */
    return status == 401 ? 303 : status;
}

/* -- forms */
void browser_csrf(struct call *c, char ret[SHA256_HEX_MAX])
{
    AUTO(buf_done_secret) struct buf text = BUF(JWT_MAX + 64);
    struct str credential = browser_cookie(c->req);
    uint8_t mac[SHA256_LEN];

    if (!credential.len)
        credential = auth_bearer(c->req);
    /* The NUL keeps this apart from the tokens that are signed with the same key. */
    (void)buf_append(&text, "muster.page.csrf", sizeof("muster.page.csrf"));
    (void)buf_str(&text, str_sub(credential, 0, JWT_MAX));
    hmac_sha256(str_bytes(session_key(c->control), 32), buf_as_str(&text), mac);
    hex_encode(mac, sizeof(mac), ret);
}

static int read_form(struct call *c, const struct record *rec, void *obj, struct err *err)
{
    struct record_errors errs = { 0 };
    struct kv_list q = { 0 };

    if (auth_check_origin(c->req, err) < 0)
        return auth_refused(c->api, c->peer_addr, err);
    if (!call_has_type(c, STR("application/x-www-form-urlencoded")))
        return err_set(err, -EINVAL, "request.media_type", "the body must be a form (application/x-www-form-urlencoded)");
    if (query_parse(c->arena, c->req->body, &q) < 0)
        return err_set(err, -EINVAL, "request.bad", "the form cannot be read");
    if (query_decode(rec, c->arena, &q, obj, &errs) < 0)
        return err_set(err, -EINVAL, errs.n ? errs.v[0].slug : "field.invalid", "%s %s", errs.n ? errs.v[0].path : "a field",
                       errs.n ? errs.v[0].text : "is not valid");
    return 0;
}

bool browser_form_open(struct call *c, const struct record *rec, void *obj)
{
    struct err err = { 0 };

    if (read_form(c, rec, obj, &err) == 0)
        return true;
    reply_error(c, &err);
    return false;
}

bool browser_form(struct call *c, const struct record *rec, void *obj, const struct str *csrf)
{
    char want[SHA256_HEX_MAX];
    struct err err = { 0 };

    if (!browser_form_open(c, rec, obj))
        return false;
    browser_csrf(c, want);
    if (secret_eq(*csrf, str_of(want)))
        return true;
    (void)err_set(&err, -EACCES, "auth.origin", "this form is not of your session (any more): open the page again");
    (void)auth_refused(c->api, c->peer_addr, &err);
    reply_error(c, &err);
    return false;
}

void browser_go(struct call *c, struct str path)
{
    (void)html_begin(c, "Done");
    (void)buf_cstr(&c->out, "<p><a href=\"");
    html_text(&c->out, path);
    (void)buf_cstr(&c->out, "\">Go on</a></p>\n");
    html_end(c);
    call_header_lent(c, "location", path);
    reply_parked(c, 303);
}

void browser_who(struct call *c)
{
    struct buf *b = &c->out;
    char csrf[SHA256_HEX_MAX];

    (void)buf_cstr(b, "<div class=\"who\"><span>");
    html_cstr(b, c->who.name);
    (void)buf_printf(b, " (%s)</span>", name_of(role_level_names, (int)c->who.role));
    if (browser_cookie(c->req).len) {
        browser_csrf(c, csrf);
        (void)buf_printf(b,
                         "<form method=\"post\" action=\"%s/logout\"><input type=\"hidden\" name=\"csrf\" value=\"%s\">"
                         "<button>Log out</button></form>",
                         site_of(c)->path, csrf);
    }
    (void)buf_cstr(b, "</div>\n");
}

/* -- logging in and out */
static void put_login(struct call *c, const char *text)
{
    struct buf *b = html_begin(c, "Log in");

    if (text) {
        (void)buf_cstr(b, "<p class=\"said bad\" role=\"alert\">");
        html_cstr(b, text);
        (void)buf_cstr(b, "</p>\n");
    }
    (void)buf_printf(b, "<form method=\"post\" action=\"%s\">\n", site_of(c)->login);
    (void)buf_cstr(
        b, "<label>Name<br><input name=\"username\" autocomplete=\"username\" required autofocus></label>\n"
           "<label>Password<br><input name=\"password\" type=\"password\" autocomplete=\"current-password\" required></label>\n"
           "<button>Log in</button></form>\n");
    html_end(c);
}

void browser_show_login(struct call *c)
{
    struct err err = { 0 };

    if (auth_is_exposed(c->api, c->req)) { /* said before a password is sent, not after */
        (void)err_set(&err, -EACCES, "auth.https", "people log in over https only");
        reply_error(c, &err);
        return;
    }
    put_login(c, NULL);
    reply_now(c, 200);
}

static void on_login(void *ctx, const struct session_user *u)
{
    AUTO(call_unref) struct call *c = ctx;
    AUTO(buf_done_secret) struct buf token = BUF(JWT_MAX);

    c->api->n_logins--;
    if (call_is_gone(c))
        return;
    if (u->result < 0) {
        if (u->retry_after)
            call_header(c, "retry-after", "%llu", (unsigned long long)reply_retry_after(u->retry_after));
        put_login(c, u->err.text);
        reply_parked(c, dialect_status(&u->err, NULL));
        return;
    }
    if (session_make(c, u, SESSION_NAME, SESSION_S * USEC_PER_SEC, &token) < 0) {
        reply_unread(c, -ENOBUFS);
        return;
    }
    call_header_lent(c, "set-cookie",
                     arena_printf(c->arena, COOKIE "=%.*s" COOKIE_RULES "; Max-Age=%d%s", STR_FMT(buf_as_str(&token)), site_of(c)->path,
                                  SESSION_S, auth_is_https(c->api, c->req) ? "; Secure" : ""));
    browser_go(c, str_of(site_of(c)->home));
}

struct login_form {
    struct str username, password;
};
static const struct field login_fields[] = {
    F_STR(struct login_form, username, "username", LIMIT_NAME, .flags = FIELD_REQUIRED),
    F_STR(struct login_form, password, "password", 1024, .flags = FIELD_REQUIRED | FIELD_SECRET),
};
static const struct record login_record = RECORD(login_form, login_fields);

void browser_login(struct call *c)
{
    struct login_form b = { 0 };

    if (!browser_form_open(c, &login_record, &b))
        return;
    c->api->n_logins++;
    authn_password(c->control, b.username, b.password, &c->peer, on_login, call_ref(c));
    record_wipe(&login_record, &b);
}

struct logout_form {
    struct str csrf;
};
static const struct field logout_fields[] = { F_STR(struct logout_form, csrf, "csrf", SHA256_HEX_MAX) };
static const struct record logout_record = RECORD(logout_form, logout_fields);

void browser_logout(struct call *c)
{
    struct logout_form b = { 0 };

    if (!browser_form(c, &logout_record, &b, &b.csrf))
        return;
    session_close(c, browser_cookie(c->req));
    forget_cookie(c);
    browser_go(c, str_of(site_of(c)->login));
}
