/* api/auth.c - see auth.h. */
#include "api/auth.h"

#include "api/dialects/dialect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

static bool is_trusted_proxy(const struct api *a, const char *addr)
{
    for (size_t i = 0; i < a->conf.n_trusted_proxies; i++)
        if (strcmp(a->conf.trusted_proxies[i], addr) == 0)
            return true;
    return false;
}

bool auth_is_from_proxy(const struct api *a, const struct http_req *req)
{
    return !req->peer->is_unix && is_trusted_proxy(a, req->peer->addr);
}

/* A proxy of ours passes on what somebody else sent. */
static bool is_proxied(const struct api *a, const struct http_req *req)
{
    return auth_is_from_proxy(a, req) &&
           (http_header(req, "x-forwarded-for").ptr || http_header(req, "x-forwarded-proto").ptr);
}

bool auth_is_https(const struct api *a, const struct http_req *req)
{
    if (is_proxied(a, req))
        return str_eq_nocase(str_trim(http_header(req, "x-forwarded-proto")), STR("https"));
    return req->peer->is_tls;
}

bool auth_is_exposed(const struct api *a, const struct http_req *req)
{
    if (!a->conf.dialects || !a->conf.dialects->require_https || req->peer->is_unix || auth_is_https(a, req))
        return false;
    return !req->peer->is_loopback || is_proxied(a, req);
}

/* The rightmost address: what our own proxy saw; everything left of it is hearsay. */
static bool forwarded_for(struct str header, char dst[64])
{
    struct str rest = header, part, last = STR_NONE;
    struct in6_addr any;

    while (str_cut(&rest, ',', &part))
        last = str_trim(part);
    if (str_copy(last, dst, 64) < 0)
        return false;
    return inet_pton(AF_INET, dst, &any) == 1 || inet_pton(AF_INET6, dst, &any) == 1;
}

void auth_peer(const struct api *a, const struct http_req *req, char addr[64], struct peer_info *ret)
{
    struct str forwarded = http_header(req, "x-forwarded-for");

    *ret = (struct peer_info){ .addr = addr, .is_unix = req->peer->is_unix, .uid = (uint32_t)req->peer->uid };
    (void)snprintf(addr, 64, "%s", req->peer->is_unix ? "unix" : req->peer->addr);
    if (!req->peer->is_unix && forwarded.len > 0 && is_trusted_proxy(a, req->peer->addr)) {
        char client[64];

        if (forwarded_for(forwarded, client))
            (void)snprintf(addr, 64, "%s", client);
    }
}

struct str auth_bearer(const struct http_req *req)
{
    struct str h = http_header(req, "authorization");

    if (!h.ptr)
        return STR_NONE;
    if (str_starts_nocase(h, STR("bearer ")))
        h = str_trim(str_sub(h, 7, h.len));
    return h.len ? h : STR("-"); /* presented, though empty: a bad one, not an absent one */
}

/* "name:port" -> "name"; "[::1]:80" -> "[::1]". */
static struct str host_name_of(struct str host)
{
    ptrdiff_t colon;

    if (host.len > 0 && host.ptr[0] == '[') {
        ptrdiff_t end = str_find_char(host, ']');

        return end < 0 ? STR_NONE : str_sub(host, 0, (size_t)end + 1);
    }
    colon = str_find_char(host, ':');
    return colon < 0 ? host : str_sub(host, 0, (size_t)colon);
}

bool auth_host_is_loopback(struct str host)
{
    struct str name = host_name_of(host);
    char text[64];
    struct in_addr a4;

    if (str_eq_nocase(name, STR("localhost")) || str_is(name, "[::1]"))
        return true;
    return str_copy(name, text, sizeof(text)) == 0 && inet_pton(AF_INET, text, &a4) == 1 &&
           (ntohl(a4.s_addr) >> 24) == 127;
}

int auth_check_origin(const struct http_req *req, struct err *err)
{
    struct str host = http_header(req, "host"), origin = http_header(req, "origin");
    struct str site = http_header(req, "sec-fetch-site");

    if (origin.ptr) {
        struct str authority = origin;

        if (str_starts(origin, STR("http://")))
            authority = str_sub(origin, 7, origin.len);
        else if (str_starts(origin, STR("https://")))
            authority = str_sub(origin, 8, origin.len);
        if (!str_eq_nocase(authority, host))
            return err_set(err, -EACCES, "auth.origin", "Origin is another site: only pages of this server may send this");
    }
    if (str_is(site, "cross-site") || str_is(site, "same-site"))
        return err_set(err, -EACCES, "auth.origin", "the request comes from a page of another site");
    return 0;
}

int auth_dev_rule(bool is_dev, const struct http_req *req, struct err *err)
{
    int r;

    if (!is_dev || !req->peer->is_loopback || !req->peer->is_dev_listener || req->peer->is_unix)
        return 0;
    if (http_header(req, "x-forwarded-for").ptr || http_header(req, "forwarded").ptr)
        return 0; /* somebody else's request, carried here */

    /* A name that resolves to us but is not ours: DNS rebinding. */
    if (!auth_host_is_loopback(http_header(req, "host")))
        return err_set(err, -EACCES, "auth.origin",
                       "Host is not a loopback name; without a credential only http://127.0.0.1 or "
                       "localhost may be used");
    r = auth_check_origin(req, err);
    return r < 0 ? r : 1;
}

usec_t auth_ration(struct api *a, const char *addr, struct err *err)
{
    char text[64];
    usec_t wait = throttle_take(a->refusals, throttle_address(addr, text), api_now(a));

    if (wait > 0) {
        a->n.rate_limited++;
        authn_limited(a->control, addr);
        (void)err_set(err, -EBUSY, "rate.limited", "too many refused requests from %s", addr);
    }
    return wait;
}

int auth_refused(const struct api *a, const char *addr, const struct err *err)
{
    return a->control ? authn_refused(a->control, addr, err) : err->code;
}

/* What a credential that was not good gets. */
static int rationed(struct api *a, const char *addr, const struct peer_info *peer, int r, usec_t *ret_wait, struct err *err)
{
    if (r >= 0 || peer->is_unix)
        return r;

    *ret_wait = auth_ration(a, addr, err);
    return *ret_wait > 0 ? err->code : r;
}

int auth_session(struct api *a, const struct http_req *req, struct str text, const char *accent, struct principal *ret, usec_t *ret_wait,
                 struct err *err)
{
    char addr[64];
    struct peer_info peer;
    int r;

    *ret_wait = 0;
    auth_peer(a, req, addr, &peer);
    if (session_has_shape(text)) {
        r = session_check(a, text, accent, &peer, ret, err);
    } else {
        (void)err_set(err, -EACCES, "auth.bad_credential", "this is no session: log in");
        r = auth_refused(a, addr, err);
    }
    return rationed(a, addr, &peer, r, ret_wait, err);
}

int auth_operator(struct api *a, const struct http_req *req, const char *accent, struct principal *ret, usec_t *ret_wait,
                  struct err *err)
{
    struct str bearer = auth_bearer(req);
    char addr[64];
    struct peer_info peer;
    int r;

    *ret_wait = 0;
    auth_peer(a, req, addr, &peer);
    if (!bearer.ptr) {
        r = auth_dev_rule(a->conf.is_dev, req, err);
        if (r < 0)
            return auth_refused(a, addr, err);
        peer.is_loopback_dev = r > 0;
    }

    r = session_has_shape(bearer) ? session_check(a, bearer, accent, &peer, ret, err) : authn_operator(a->control, bearer, &peer, ret, err);
    return rationed(a, addr, &peer, r, ret_wait, err);
}
