/* agent/ports_scan.c - is a port free? By trying (bind), or by asking the kernel (ports_diag.c). See ports.h. Any thread.
 *
 * What "used" means: a normal TCP server could not bind 0.0.0.0:port now. Trying never listens: for the time of a system call a
 * listener would take strangers' connections, and the answer is the same. Cost of trying: four system calls a free port, one a used one,
 * about 8 us and 1 us. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/collect/source.h"
#include "agent/ports_priv.h"
#include "base/fd.h"

const struct name port_method_names[] = {
    { PORT_BIND, "bind" }, { PORT_STRICT, "strict" }, { PORT_NETLINK, "netlink" }, NAMES_END
};

int probe__try(struct probe *p, uint16_t port, int *ret_fd)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_ANY) } };
    int on = 1;

    if (p->fd < 0) {
        p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (p->fd < 0)
            return -errno;
        if (p->reuse && setsockopt(p->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
            return -errno;
    }
    if (bind(p->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
        return 0;
    if (ret_fd) {
        *ret_fd = p->fd;
        p->fd = -1;
    } else {
        fd_close(&p->fd);
    }
    return 1;
}

void probe__done(struct probe *p)
{
    fd_close(&p->fd);
}

static int scan_by_trying(bool reuse, struct diag *d)
{
    struct probe p = { .fd = -1, .reuse = reuse };
    int r = 0;

    for (uint32_t port = d->first; r >= 0 && port <= d->last; port++) {
        r = probe__try(&p, (uint16_t)port, NULL);
        if (r == 0)
            ports__set(d->used, port - d->first);
    }
    probe__done(&p);
    return r < 0 ? r : 0;
}

/* Ports below this one need a capability; where we have it not, nobody like us can bind them. */
static int mark_privileged(const char *root, struct diag *d)
{
    uint64_t start = src__number(root, "/proc/sys/net/ipv4/ip_unprivileged_port_start");
    struct probe p = { .fd = -1 };
    int r = 0;

    if (d->first >= start || *root)
        return 0;
    /* one that is free for sure tells: the first that can be bound, or is refused for lack of privilege */
    for (uint32_t port = d->first; r == 0 && port < start && port <= d->last; port++) {
        if (ports__bit(d->used, port - d->first))
            continue;
        r = probe__try(&p, (uint16_t)port, NULL);
        if (r == 0 && errno == EACCES)
            break;
    }
    probe__done(&p);
    if (r != 0)
        return r < 0 ? r : 0;
    for (uint32_t port = d->first; port < start && port <= d->last; port++)
        ports__set(d->used, port - d->first);
    return 0;
}

static int scan_by_asking(const char *root, struct diag *d)
{
    size_t n = ports__bytes(d->first, d->last);
    AUTO_FREE uint8_t *maybe = xcalloc(n, 1);
    struct probe p = { .fd = -1 };
    int r;

    d->maybe = maybe;
    r = diag__run(root, d);
    d->maybe = NULL;
    if (r == 0)
        r = mark_privileged(root, d);
    /* what the kernel leaves open is tried: connections over IPv6 with a local port in the range, as a rule none */
    for (size_t i = 0; r >= 0 && i <= (size_t)(d->last - d->first); i++) {
        if (maybe[i >> 3] == 0) {
            i |= 7;
            continue;
        }
        if (!ports__bit(maybe, i) || ports__bit(d->used, i))
            continue;
        r = probe__try(&p, (uint16_t)(d->first + i), NULL);
        if (r == 0)
            ports__set(d->used, i);
    }
    probe__done(&p);
    return r < 0 ? r : 0;
}

int scan__run(enum port_method m, const char *root, struct diag *d, struct err *err)
{
    int r = m == PORT_NETLINK ? scan_by_asking(root, d) : scan_by_trying(m == PORT_BIND, d);

    if (r < 0)
        return err_set(err, r, "ports.failed", m == PORT_NETLINK ? "sock_diag: %m" : "no socket: %m");
    return 0;
}

int port_scan_run(enum port_method m, const char *root, uint16_t first, uint16_t last, uint8_t *bitmap, struct err *err)
{
    struct diag d = { .first = first, .last = last, .used = bitmap };
    int r;

    memset(bitmap, 0, ports__bytes(first, last));
    r = scan__run(m, root, &d, err);
    vec_done(&d.listeners);
    return r;
}

int port_range_parse(struct str s, uint16_t *ret_first, uint16_t *ret_last, struct err *err)
{
    struct str rest = s, low;
    uint64_t first, last;

    if (!str_cut(&rest, '-', &low) || str_to_u64(str_trim(low), &first) < 0 || str_to_u64(str_trim(rest), &last) < 0 || first < 1 ||
        last > UINT16_MAX || first > last)
        return err_set(err, -EINVAL, "config.range", "port range \"%.*s\": must be START-END with 1 <= START <= END <= 65535",
                       STR_FMT(str_sub(s, 0, 64)));
    *ret_first = (uint16_t)first;
    *ret_last = (uint16_t)last;
    return 0;
}
