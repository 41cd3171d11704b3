/* agent/address.c - see address.h. */
#include "agent/address.h"

#include <errno.h>

#include "base/mem.h"

int address_parse(struct str s, uint16_t def, char **ret_host, uint16_t *ret_port, struct err *err)
{
    struct str host = s, port = STR_NONE;
    ptrdiff_t at;
    uint64_t n = def;

    if (str_starts(s, STR("unix:")))
        return err_set(err, -EINVAL, "config.bad_value",
                       "server: %.*s is a socket for muster, on the server's own host; the agent needs HOST[:PORT], as --server, as server: in "
                       "its file, or in MUSTER_SERVER",
                       STR_FMT(s));
    if (str_find(s, STR("://")) >= 0)
        return err_set(err, -EINVAL, "config.bad_value", "server: %.*s is a URL; the agent needs HOST[:PORT] (default port %u)", STR_FMT(s), def);
    if (s.len > 0 && s.ptr[0] == '[') {
        at = str_find_char(s, ']');
        if (at < 0)
            return err_set(err, -EINVAL, "config.bad_value", "server: no ']' in %.*s", STR_FMT(s));
        host = str_sub(s, 1, (size_t)at - 1);
        port = str_sub(s, (size_t)at + 1, SIZE_MAX);
        if (port.len > 0 && port.ptr[0] != ':')
            return err_set(err, -EINVAL, "config.bad_value", "server: %.*s", STR_FMT(s));
    } else {
        at = str_find_char(s, ':');
        if (at >= 0 && str_find_char(str_sub(s, (size_t)at + 1, SIZE_MAX), ':') < 0) { /* two colons: a bare IPv6 address */
            host = str_sub(s, 0, (size_t)at);
            port = str_sub(s, (size_t)at, SIZE_MAX);
        }
    }
    if (port.len > 0 && (str_to_u64(str_sub(port, 1, SIZE_MAX), &n) < 0 || n == 0 || n > 65535))
        return err_set(err, -EINVAL, "config.bad_value", "server: bad port in %.*s", STR_FMT(s));
    if (host.len == 0 || host.len > 255)
        return err_set(err, -EINVAL, "config.bad_value", "server: no host name in \"%.*s\"", STR_FMT(s));
    *ret_host = str_dup(host);
    *ret_port = (uint16_t)n;
    return 0;
}
