/* agent/ports_diag.c - which ports of a range have a TCP socket, by NETLINK_SOCK_DIAG: no port is touched. Any thread.
 *
 * The answer is that of a bind to 0.0.0.0 without SO_REUSEADDR (the kernel's inet_csk_bind_conflict): it meets every IPv4 socket of
 * the port in whatever state, and every IPv6 socket that is not IPv6-only. Bound sockets that neither listen nor are connected are told
 * by kernels from 6.8 on; older ones do not know the bit and leave them out.
 *
 * Cost: one dump; the kernel walks its tables and, thanks to the filter, sends only what is in the range. The old form of the request
 * (TCPDIAG_GETSOCK) names no family and so gets both in one walk: by 5000 listeners a quarter cheaper than a request each, and half as
 * dear with none. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "agent/collect/source.h"
#include "agent/ports_priv.h"

enum { DIAG_LISTENERS_MAX = 1 << 16 };

static void on_v6(struct diag *d, const struct nlmsghdr *nlh, const struct inet_diag_msg *m, size_t at)
{
    const struct nlattr *tb[INET_DIAG_SKV6ONLY + 1];
    struct in6_addr a;
    struct str only = STR_NONE;

    memcpy(&a, m->id.idiag_src, sizeof(a));
    if (src__attrs(nlh, sizeof(*m), tb, INET_DIAG_SKV6ONLY))
        only = src__attr_bytes(tb[INET_DIAG_SKV6ONLY]);
    if (IN6_IS_ADDR_V4MAPPED(&a) || (only.len && !only.ptr[0]))
        ports__set(d->used, at);
    else if (!only.len) /* said of listening and closed sockets only */
        ports__set(d->maybe, at);
}

static int on_socket(void *ctx, const struct nlmsghdr *nlh)
{
    struct diag *d = ctx;
    struct inet_diag_msg m;
    uint16_t port;

    if ((nlh->nlmsg_type != SOCK_DIAG_BY_FAMILY && nlh->nlmsg_type != TCPDIAG_GETSOCK) || nlh->nlmsg_len < NLMSG_LENGTH(sizeof(m)))
        return 0;
    memcpy(&m, NLMSG_DATA(nlh), sizeof(m));
    port = ntohs(m.id.idiag_sport);
    if (port < d->first || port > d->last)
        return 0;
    if (m.idiag_state == TCP_LISTEN && m.idiag_inode && d->listeners.n < DIAG_LISTENERS_MAX)
        *vec_add(&d->listeners) = (struct diag_listener){ .inode = m.idiag_inode, .port = port };
    if (!d->used)
        return 0;
    if (m.idiag_family == AF_INET)
        ports__set(d->used, port - d->first);
    else if (m.idiag_family == AF_INET6)
        on_v6(d, nlh, &m, port - d->first);
    return 0;
}

/* The kernel's filter: source port >= first and <= last. A comparison takes two operations, its number is in the second's .no; where
 * it fails the jump leads behind the end, which refuses. */
enum { FILTER_OPS = 4, OP = sizeof(struct inet_diag_bc_op), ALL = FILTER_OPS * OP };
struct filter {
    struct nlattr attr;
    struct inet_diag_bc_op op[FILTER_OPS];
};

static struct filter filter_of(const struct diag *d)
{
    return (struct filter){
        .attr = { .nla_len = sizeof(struct filter), .nla_type = INET_DIAG_REQ_BYTECODE },
        .op = { { INET_DIAG_BC_S_GE, 2 * OP, ALL + 4 }, { .no = d->first },
                { INET_DIAG_BC_S_LE, 2 * OP, ALL - 2 * OP + 4 }, { .no = d->last } },
    };
}

static uint32_t states_of(const struct diag *d)
{
    return d->used ? UINT32_MAX : 1u << TCP_LISTEN;
}

/* Both families in one dump. */
static int ask_both(struct diag *d)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req req;
        struct filter filter;
    } rq = {
        .head = { .nlmsg_len = sizeof(rq), .nlmsg_type = TCPDIAG_GETSOCK },
        .req = { .idiag_family = AF_INET, .idiag_states = states_of(d) },
        .filter = filter_of(d),
    };

    return src__netlink("", "tcp", NETLINK_SOCK_DIAG, &rq.head, on_socket, d);
}

static int ask(const char *root, struct diag *d, int family, const char *name)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 req;
        struct filter filter;
    } rq = {
        .head = { .nlmsg_len = sizeof(rq), .nlmsg_type = SOCK_DIAG_BY_FAMILY },
        .req = { .sdiag_family = (uint8_t)family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = states_of(d) },
        .filter = filter_of(d),
    };

    return src__netlink(root, name, NETLINK_SOCK_DIAG, &rq.head, on_socket, d);
}

int diag__run(const char *root, struct diag *d)
{
    int r, r6;

    if (!*root && ask_both(d) == 0)
        return 0;
    /* a fake tree, or a kernel without the old form: what was heard so far is heard again, which changes nothing */
    r = ask(root, d, AF_INET, "tcp4");
    if (r < 0)
        return r;
    r6 = ask(root, d, AF_INET6, "tcp6");
    return r6 == -ENOENT ? 0 : r6; /* a host without IPv6 */
}
