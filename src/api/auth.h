/* api/auth.h - proof out of a request (private to api/): Bearer, the local socket's peer, the development
 * rule. Core loop's thread. */
#ifndef MUSTER_API_AUTH_H
#define MUSTER_API_AUTH_H

#include "api/state.h"

/* Who speaks, as far as the transport knows: fills @ret (its addr lies in @addr, 64 bytes). A believed
 * proxy's X-Forwarded-For names the client; such a client is never local. */
void auth_peer(const struct api *a, const struct http_req *req, char addr[64], struct peer_info *ret);
/* The Bearer text, or {NULL,0} if no Authorization header was sent; another scheme is handed on whole, to be
 * refused. */
struct str auth_bearer(const struct http_req *req);
/* The development rule (docs/wire/native.md): may an absent credential on this request be local admin? 1 yes,
 * 0 no, or -EACCES (auth.origin): it could, but Host or Origin show a web page from elsewhere. Pure. */
int auth_dev_rule(bool is_dev, const struct http_req *req, struct err *err);
/* Is the request from a page of this server, or from none: what Origin and Sec-Fetch-Site say of it. 0; or -EACCES auth.origin. Pure. */
int auth_check_origin(const struct http_req *req, struct err *err);
/* Does the connection come from the address of a trusted proxy? Whether it says so of itself does not matter. */
bool auth_is_from_proxy(const struct api *a, const struct http_req *req);
/* Did the request come over TLS, here or to a proxy of ours that says so? */
bool auth_is_https(const struct api *a, const struct http_req *req);
/* --require-https is on, and what the request carries crossed a network readable by others. */
bool auth_is_exposed(const struct api *a, const struct http_req *req);
/* A credential from @addr was refused: 0, or how long until the next refusal is answered as such (a->refusals), and @err says so instead.
 * Asked after the credential was looked at: a good one always gets in. */
usec_t auth_ration(struct api *a, const char *addr, struct err *err);
/* Is @host ("name[:port]") a loopback name? */
bool auth_host_is_loopback(struct str host);
/* The whole of it: 0 and *@ret, or -EACCES / -EBUSY (rate.limited) and @err; *@ret_wait is set for the
 * latter. Sessions made for @accent ("argus", ...) are good here, no others; NULL: none is. */
int auth_operator(struct api *a, const struct http_req *req, const char *accent, struct principal *ret, usec_t *ret_wait,
                  struct err *err);
/* The same with the session token @text, wherever the request had it; anything else, API tokens too, is refused. */
int auth_session(struct api *a, const struct http_req *req, struct str text, const char *accent, struct principal *ret, usec_t *ret_wait,
                 struct err *err);

/* An audit row for what is refused in @err without a verb of control being asked. Returns err->code. */
int auth_refused(const struct api *a, const char *addr, const struct err *err);

#endif
