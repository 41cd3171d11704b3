/* agent/dialects/outbound_url.c - see outbound_url.h. */
#include "agent/dialects/outbound_url.h"

#include <arpa/inet.h>
#include <errno.h>

#include "base/mem.h"

enum { URL_MAX = 2048, HOST_MAX = 253 };

void outbound__url_done(struct outbound_url *u)
{
    free(u->host);
    free(u->prefix);
    secret_free(u->user);
    *u = (struct outbound_url){ 0 };
}

static int bad(struct err *err, const char *why)
{
    /* the URL itself may hold a password */
    return err_set(err, -EINVAL, "url.bad", "the URL is not usable: %s", why);
}

static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static int read_host(struct str s, struct outbound_url *u, struct err *err)
{
    struct in6_addr in6;

    if (s.len > 0 && s.ptr[0] == '[') {
        if (s.ptr[s.len - 1] != ']')
            return bad(err, "a bracket is not closed");
        u->host = str_dup(str_sub(s, 1, s.len - 2));
        return inet_pton(AF_INET6, u->host, &in6) == 1 ? 0 : bad(err, "no address between the brackets");
    }
    if (s.len == 0 || s.len > HOST_MAX)
        return bad(err, "no host name");
    for (size_t i = 0; i < s.len; i++)
        if (!is_host_char(s.ptr[i]))
            return bad(err, "a character that no host name has");
    u->host = str_dup(s);
    return 0;
}

/* "host", "host:port", "[v6]", "[v6]:port" */
static int read_authority(struct str s, struct outbound_url *u, struct err *err)
{
    ptrdiff_t bracket = str_find_char(s, ']'), colon = -1;
    struct str host = s, port;
    uint64_t n;

    for (size_t i = bracket < 0 ? 0 : (size_t)bracket; i < s.len && colon < 0; i++)
        if (s.ptr[i] == ':')
            colon = (ptrdiff_t)i;
    u->port = u->is_tls ? 443 : 80;
    if (colon >= 0) {
        host = str_sub(s, 0, (size_t)colon);
        port = str_sub(s, (size_t)colon + 1, SIZE_MAX);
        if (port.len > 0) { /* RFC 3986 allows an empty one */
            if (str_to_u64(port, &n) < 0 || n == 0 || n > UINT16_MAX)
                return bad(err, "the port is not a number from 1 to 65535");
            u->port = (uint16_t)n;
        }
    }
    return read_host(host, u, err);
}

static int read_prefix(struct str s, struct outbound_url *u, struct err *err)
{
    while (s.len > 0 && s.ptr[s.len - 1] == '/')
        s.len--;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '?' || s.ptr[i] == '#')
            return bad(err, "a query or fragment has no place here");
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
            return bad(err, "a character that must be percent-encoded");
    }
    u->prefix = s.len > 0 ? str_dup(s) : xstrdup("");
    return 0;
}

int outbound__url(struct str text, bool may_be_bare, struct outbound_url *ret, struct err *err)
{
    struct str s = str_trim(text), authority;
    ptrdiff_t slash, at = -1;
    int r;

    *ret = (struct outbound_url){ 0 };
    if (s.len > URL_MAX)
        return bad(err, "too long");
    if (str_starts_nocase(s, STR("https://"))) {
        ret->is_tls = true;
        s = str_sub(s, 8, SIZE_MAX);
    } else if (str_starts_nocase(s, STR("http://"))) {
        s = str_sub(s, 7, SIZE_MAX);
    } else if (!may_be_bare || str_find(s, STR("://")) >= 0) {
        return bad(err, "it must begin with http:// or https://");
    }
    slash = str_find_char(s, '/');
    authority = slash < 0 ? s : str_sub(s, 0, (size_t)slash);
    for (size_t i = 0; i < authority.len; i++)
        if (authority.ptr[i] == '@')
            at = (ptrdiff_t)i;
    if (at >= 0) {
        ret->user = str_dup(str_sub(authority, 0, (size_t)at));
        authority = str_sub(authority, (size_t)at + 1, SIZE_MAX);
    }
    r = read_authority(authority, ret, err);
    return r < 0 ? r : read_prefix(slash < 0 ? STR_NONE : str_sub(s, (size_t)slash, SIZE_MAX), ret, err);
}

bool outbound__is_loopback(const char *host)
{
    struct in_addr in;
    struct in6_addr in6;

    if (inet_pton(AF_INET, host, &in) == 1)
        return ntohl(in.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &in6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&in6) || (IN6_IS_ADDR_V4MAPPED(&in6) && in6.s6_addr[12] == 127);
    struct str s = str_of(host), tail = STR(".localhost");

    if (str_eq_nocase(s, STR("localhost")))
        return true;
    return s.len > tail.len && str_eq_nocase(str_sub(s, s.len - tail.len, tail.len), tail);
}

/* "name[:port]": the name cut off; the port, 0 when there is none. */
static struct str split_port(struct str s, uint16_t *ret_port)
{
    ptrdiff_t first = str_find_char(s, ':');
    uint64_t n;

    *ret_port = 0;
    if (s.len > 0 && s.ptr[0] == '[') {
        ptrdiff_t end = str_find_char(s, ']');

        if (end < 0)
            return s;
        if (str_sub(s, (size_t)end + 1, 1).len == 1 && str_to_u64(str_sub(s, (size_t)end + 2, SIZE_MAX), &n) == 0 &&
            n <= UINT16_MAX)
            *ret_port = (uint16_t)n;
        return str_sub(s, 1, (size_t)end - 1);
    }
    if (first < 0 || str_find_char(str_sub(s, (size_t)first + 1, SIZE_MAX), ':') >= 0) /* two colons: a bare IPv6 address */
        return s;
    if (str_to_u64(str_sub(s, (size_t)first + 1, SIZE_MAX), &n) == 0 && n <= UINT16_MAX)
        *ret_port = (uint16_t)n;
    return str_sub(s, 0, (size_t)first);
}

bool outbound__no_proxy(struct str list, const char *host, uint16_t port)
{
    struct str part, h = str_of(host);

    while (str_cut(&list, ',', &part)) {
        uint16_t only;
        struct str name = split_port(str_trim(part), &only);

        if (str_is(name, "*"))
            return true;
        if (only != 0 && only != port)
            continue;
        if (str_starts(name, STR("*.")))
            name = str_sub(name, 1, SIZE_MAX);
        if (str_starts(name, STR(".")))
            name = str_sub(name, 1, SIZE_MAX);
        if (name.len == 0 || name.len > h.len || !str_eq_nocase(str_sub(h, h.len - name.len, name.len), name))
            continue;
        if (name.len == h.len || h.ptr[h.len - name.len - 1] == '.')
            return true;
    }
    return false;
}

usec_t outbound__retry_after(struct str value, usec_t wall)
{
    char text[64];
    struct tm tm = { 0 };
    const char *end;
    uint64_t s;
    usec_t then;

    value = str_trim(value);
    if (str_to_u64(value, &s) == 0)
        return s > 86400 ? USEC_PER_DAY : s * USEC_PER_SEC;
    if (str_copy(value, text, sizeof(text)) < 0)
        return 0;
    end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (!end || *end)
        return 0;
    then = (usec_t)timegm(&tm) * USEC_PER_SEC;
    if (then <= wall)
        return 0;
    return then - wall > USEC_PER_DAY ? USEC_PER_DAY : then - wall;
}
