/* api/browser.h - people at a browser (private to api/): a session in a cookie, and forms that only our own pages can send. Core loop's
 * thread.
 *
 * Whoever registers pages says where they live (struct browser_site). Who has no session is led to the login form there; an API token
 * in Authorization, the local socket and the development rule are as good as everywhere. The cookie is a session token
 * (dialects/session.c): HttpOnly, SameSite=Strict, on TLS Secure, for an hour, for one site. Whoever presses a button proves with the
 * form's token that the page was shown to the same session. */
#ifndef MUSTER_API_BROWSER_H
#define MUSTER_API_BROWSER_H

#include "api/call.h"
#include "api/dialects/dialect.h"
#include "base/crypto.h"

/* Pages that share a session, all under one path. Static; the rows of its pages have .dialect = &site.dialect. */
struct browser_site {
    struct dialect dialect; /* first: HTML, and a way to the login form instead of a 401 */
    const char *path;       /* of the cookie */
    const char *login;
    const char *home;       /* where people go who logged in */
    const char *to_home;    /* what a link there says: "To the things" */
};
/* Its initialiser. Literals: "/things", "/things/all", "To the things". */
#define BROWSER_SITE(path_, home_, to_home_)                                                                                         \
    {                                                                                                                                \
        .dialect = { .name = "pages", .prove = browser_prove, .error = browser_error }, .path = path_, .login = path_ "/login",      \
        .home = home_, .to_home = to_home_                                                                                           \
    }
/* The rows of @site (its name) for the login form, logging in and out; @path as in it. */
#define BROWSER_ROWS(path, site)                                                                                                     \
    { HTTP_GET, path "/login", AUTH_NONE, .handler = browser_show_login, .dialect = &(site).dialect,                                 \
      .summary = "Page: the form to log in" },                                                                                       \
    { HTTP_POST, path "/login", AUTH_LOGIN, .cap = BROWSER_FORM_BYTES, .handler = browser_login,                                     \
      .flags = ROUTE_RAW_BODY | ROUTE_MUTATES, .dialect = &(site).dialect, .summary = "Page: logs a person in, by a cookie" },       \
    { HTTP_POST, path "/logout", AUTH_OPERATOR, VERB_READ, .cap = BROWSER_FORM_BYTES, .handler = browser_logout,                     \
      .flags = ROUTE_RAW_BODY | ROUTE_MUTATES, .dialect = &(site).dialect, .summary = "Page: takes the cookie back" }
enum { BROWSER_FORM_BYTES = 16384 };

/* For those two. */
int browser_prove(struct call *c, struct principal *ret, usec_t *ret_wait, struct err *err);
int browser_error(struct call *c, const struct err *err, const struct record_errors *errs, struct buf *out);
void browser_show_login(struct call *c);
void browser_login(struct call *c);
void browser_logout(struct call *c);

/* The session token a request brings as a cookie, or {NULL,0}. Pure. */
struct str browser_cookie(const struct http_req *req);
/* What @c's forms carry as "csrf": bound to the credential the page is shown to. */
void browser_csrf(struct call *c, char ret[SHA256_HEX_MAX]);
/* Reads the urlencoded body into @obj of @rec; @csrf is its member. False when it was refused and answered: another site's page
 * (403), not a form (415, 400), a field (422), no or another session's token (403). */
bool browser_form(struct call *c, const struct record *rec, void *obj, const struct str *csrf);
/* The same of a form that has no session yet. */
bool browser_form_open(struct call *c, const struct record *rec, void *obj);
/* Who it is, and the button to log out. */
void browser_who(struct call *c);
/* 303 to @path, when what was done is durable. */
void browser_go(struct call *c, struct str path);

#endif
