/* api/browser.h - people at a browser (private to api/): a session in a cookie, and forms that only our own pages can send. Core loop's
 * thread.
 *
 * The pages of musterd live under PAGES. Who has no session is led to the login form; an API token in Authorization, the local socket
 * and the development rule are as good as everywhere. The cookie is a session token (dialects/session.c): HttpOnly, SameSite=Strict,
 * on TLS Secure, for an hour. Whoever presses a button proves with the form's token that the page was shown to the same session. */
#ifndef MUSTER_API_BROWSER_H
#define MUSTER_API_BROWSER_H

#include "api/call.h"
#include "base/crypto.h"

#define PAGES "/grapheon"
#define PAGES_HOME PAGES "/agents"

struct dialect;
struct route_table;
/* How rows that are pages prove and refuse: HTML, and a way to the login form instead of a 401. */
extern const struct dialect dialect_pages;
/* The login form, logging in and out. */
extern const struct route_table browser_routes;

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
