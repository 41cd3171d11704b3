/* agent/dialects/grapheon_netlink.c - the same rows from the kernel, without a process: rtnetlink and sock_diag, /proc for
 * owners.
 *
 * What is shown and how follows the tools, so that rows have the same text: `ip addr` leaves nothing out but "lo" (the agent
 * does), `ip neigh` the states none and noarp, `ip route` every table but main; `ss` calls a v6 socket on every address "*"
 * unless it is v6 only, and names the owner it met last. Of extended rows the routes are those of both families and of every table but
 * "local", as `ip route show table all` has them, and sockets have the device ss shows behind '%' and all who hold them. Cost: six dumps
 * and one walk over /proc. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "agent/collect/netif.h"
#include "agent/dialects/grapheon.h"

enum { LINKS_MAX = 200000, MAC_LEN = 6 };

struct mac {
    uint32_t index;
    char text[3 * MAC_LEN];
};
struct ctx {
    struct rows *out;
    const char *root;
    struct ifnames names;
    struct mac *macs;
    size_t n_macs, cap_macs;
    int r;
};

/* -- interfaces: names and hardware addresses */

static void mac_text(struct str bytes, char dst[3 * MAC_LEN])
{
    dst[0] = '\0';
    for (size_t i = 0; bytes.len == MAC_LEN && i < MAC_LEN; i++)
        (void)snprintf(dst + 3 * i, (size_t)(3 * MAC_LEN) - 3 * i, i + 1 < MAC_LEN ? "%02x:" : "%02x", (uint8_t)bytes.ptr[i]);
}

static int on_link(void *arg, const struct nlmsghdr *nlh)
{
    struct ctx *c = arg;
    const struct nlattr *tb[IFLA_IFNAME + 1];
    struct ifinfomsg head;

    if (nlh->nlmsg_type != RTM_NEWLINK || !src__attrs(nlh, sizeof(head), tb, IFLA_IFNAME))
        return 0;
    memcpy(&head, mnl_nlmsg_get_payload(nlh), sizeof(head));
    if (c->n_macs == c->cap_macs) {
        c->cap_macs = c->cap_macs ? c->cap_macs * 2 : 16;
        c->macs = xreallocarray(c->macs, c->cap_macs, sizeof(*c->macs));
    }
    c->macs[c->n_macs].index = (uint32_t)head.ifi_index;
    mac_text(src__attr_bytes(tb[IFLA_ADDRESS]), c->macs[c->n_macs++].text);
    return 0;
}

static struct str mac_of(const struct ctx *c, uint32_t index)
{
    for (size_t i = 0; i < c->n_macs; i++)
        if (c->macs[i].index == index)
            return str_of(c->macs[i].text);
    return STR_NONE;
}

static int dump(struct ctx *c, const char *name, uint16_t type, uint8_t family, size_t fixed, src_nl_fn fn)
{
    _Alignas(NLMSG_ALIGNTO) char buffer[128] = { 0 };
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
    uint8_t *head;

    nlh->nlmsg_type = type;
    head = mnl_nlmsg_put_extra_header(nlh, fixed);
    head[0] = family; /* the first member of all of them */
    return src__netlink(c->root, name, NETLINK_ROUTE, nlh, fn, c);
}

/* -- addresses */

static int on_address(void *arg, const struct nlmsghdr *nlh)
{
    struct ctx *c = arg;
    const struct nlattr *tb[IFA_LOCAL + 1];
    struct ifaddrmsg head;
    char name[16], ip[46];

    if (nlh->nlmsg_type != RTM_NEWADDR || !src__attrs(nlh, sizeof(head), tb, IFA_LOCAL))
        return 0;
    memcpy(&head, mnl_nlmsg_get_payload(nlh), sizeof(head));
    if (head.ifa_family != AF_INET && head.ifa_family != AF_INET6)
        return 0;
    ifnames__of(&c->names, head.ifa_index, name);
    if (strcmp(name, "lo") == 0)
        return 0;
    /* on a point-to-point link IFA_ADDRESS is the other end */
    listing_ip_of_bytes(src__attr_bytes(tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS]), ip);
    return rows_address(c->out, str_of(name), str_of(ip), head.ifa_prefixlen, mac_of(c, head.ifa_index));
}

/* -- neighbours */

static int on_neighbor(void *arg, const struct nlmsghdr *nlh)
{
    static const struct {
        unsigned bit;
        const char *text;
    } states[] = { { NUD_INCOMPLETE, "incomplete" }, { NUD_REACHABLE, "reachable" }, { NUD_STALE, "stale" },
                   { NUD_DELAY, "delay" },           { NUD_PROBE, "probe" },         { NUD_FAILED, "failed" },
                   { NUD_NOARP, "noarp" },           { NUD_PERMANENT, "permanent" } };
    struct ctx *c = arg;
    const struct nlattr *tb[NDA_LLADDR + 1];
    AUTO(buf_done) struct buf state = BUF(128);
    struct ndmsg head;
    char name[16], ip[46], mac[3 * MAC_LEN];

    if (nlh->nlmsg_type != RTM_NEWNEIGH || !src__attrs(nlh, sizeof(head), tb, NDA_LLADDR))
        return 0;
    memcpy(&head, mnl_nlmsg_get_payload(nlh), sizeof(head));
    if ((head.ndm_family != AF_INET && head.ndm_family != AF_INET6) ||
        (!(head.ndm_state & (0xff & ~NUD_NOARP)) && !(head.ndm_flags & (NTF_PROXY | NTF_EXT_LEARNED))))
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        if (head.ndm_state & states[i].bit)
            (void)buf_printf(&state, "%s%s", state.len ? "," : "", states[i].text);
    ifnames__of(&c->names, (uint32_t)head.ndm_ifindex, name);
    listing_ip_of_bytes(src__attr_bytes(tb[NDA_DST]), ip);
    mac_text(src__attr_bytes(tb[NDA_LLADDR]), mac);
    return rows_neighbor(c->out, str_of(name), str_of(ip), str_of(mac), buf_as_str(&state));
}

/* -- routes */

/* Where the texts of a route are. */
struct route_texts {
    char name[16], dst[46], to[64], gateway[46], source[46], table[12];
    struct {
        char gateway[46], name[16];
    } hops[LISTING_HOPS];
};

static bool is_shown(const struct rtmsg *head, uint32_t table, bool is_extended)
{
    if (head->rtm_flags & RTM_F_CLONED)
        return false;
    if (!is_extended)
        return head->rtm_family == AF_INET && table == RT_TABLE_MAIN;
    return (head->rtm_family == AF_INET || head->rtm_family == AF_INET6) && table != RT_TABLE_LOCAL && head->rtm_type != RTN_LOCAL &&
           head->rtm_type != RTN_BROADCAST && head->rtm_type != RTN_ANYCAST && head->rtm_type != RTN_MULTICAST;
}

static struct str type_text(unsigned type)
{
    static const char *const names[] = {
        [RTN_BLACKHOLE] = "blackhole", [RTN_UNREACHABLE] = "unreachable", [RTN_PROHIBIT] = "prohibit", [RTN_THROW] = "throw"
    };

    return type < ARRAY_SIZE(names) && names[type] ? str_of(names[type]) : STR_NONE;
}

/* A gateway of the route's own family, or of the other. */
static void gateway_text(struct str gateway, struct str via, char dst[46])
{
    listing_ip_of_bytes(gateway.len > 0 ? gateway : str_sub(via, sizeof(struct rtvia), SIZE_MAX), dst);
}

/* RTA_MULTIPATH: a run of struct rtnexthop, each with attributes of its own. */
static void read_hops(const struct ctx *c, struct str bytes, struct route_texts *t, struct route_seen *ret)
{
    while (bytes.len >= sizeof(struct rtnexthop) && ret->n_hops < LISTING_HOPS) {
        struct str attrs, gateway = STR_NONE, via = STR_NONE;
        struct rtnexthop hop;
        struct nlattr at;
        size_t n = ret->n_hops;

        memcpy(&hop, bytes.ptr, sizeof(hop));
        if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > bytes.len)
            break;
        for (attrs = str_sub(bytes, sizeof(hop), hop.rtnh_len - sizeof(hop)); attrs.len >= sizeof(at);
             attrs = str_sub(attrs, MNL_ALIGN(at.nla_len), attrs.len)) {
            memcpy(&at, attrs.ptr, sizeof(at));
            if (at.nla_len < sizeof(at) || at.nla_len > attrs.len)
                break;
            if ((at.nla_type & NLA_TYPE_MASK) == RTA_GATEWAY)
                gateway = str_sub(attrs, sizeof(at), at.nla_len - sizeof(at));
            else if ((at.nla_type & NLA_TYPE_MASK) == RTA_VIA)
                via = str_sub(attrs, sizeof(at), at.nla_len - sizeof(at));
        }
        gateway_text(gateway, via, t->hops[n].gateway);
        ifnames__of(&c->names, (uint32_t)hop.rtnh_ifindex, t->hops[n].name);
        ret->hops[n] =
            (struct hop_seen){ str_of(t->hops[n].gateway), str_of(t->hops[n].name), (uint32_t)hop.rtnh_hops + 1 };
        ret->n_hops++;
        bytes = str_sub(bytes, RTNH_ALIGN(hop.rtnh_len), bytes.len);
    }
}

static struct str destination_of(const struct rtmsg *head, const struct nlattr *attr, struct route_texts *t)
{
    unsigned whole = head->rtm_family == AF_INET ? 32 : 128;

    listing_ip_of_bytes(src__attr_bytes(attr), t->dst);
    if (attr && head->rtm_dst_len == whole)
        return str_of(t->dst);
    if (attr && t->dst[0])
        return str_bytes(t->to, (size_t)snprintf(t->to, sizeof(t->to), "%s/%u", t->dst, head->rtm_dst_len));
    if (head->rtm_dst_len)
        return str_bytes(t->to, (size_t)snprintf(t->to, sizeof(t->to), "0/%u", head->rtm_dst_len));
    return STR("default");
}

static int on_route(void *arg, const struct nlmsghdr *nlh)
{
    struct ctx *c = arg;
    const struct nlattr *tb[RTA_VIA + 1];
    struct rtmsg head;
    struct route_texts t;
    struct route_seen s = { 0 };
    uint32_t table, index;

    if (nlh->nlmsg_type != RTM_NEWROUTE || !src__attrs(nlh, sizeof(head), tb, RTA_VIA))
        return 0;
    memcpy(&head, mnl_nlmsg_get_payload(nlh), sizeof(head));
    table = head.rtm_table;
    (void)src__attr_u32(tb[RTA_TABLE], &table);
    if (!is_shown(&head, table, c->out->is_extended))
        return 0;
    t.name[0] = '\0';
    if (src__attr_u32(tb[RTA_OIF], &index))
        ifnames__of(&c->names, index, t.name);
    gateway_text(src__attr_bytes(tb[RTA_GATEWAY]), c->out->is_extended ? src__attr_bytes(tb[RTA_VIA]) : STR_NONE, t.gateway);
    listing_ip_of_bytes(src__attr_bytes(tb[RTA_PREFSRC]), t.source);
    s.destination = destination_of(&head, tb[RTA_DST], &t);
    s.gateway = str_of(t.gateway);
    s.interface = str_of(t.name);
    s.source = str_of(t.source);
    if (c->out->is_extended) {
        s.family = head.rtm_family == AF_INET ? STR("inet") : STR("inet6");
        s.table = str_bytes(t.table, (size_t)snprintf(t.table, sizeof(t.table), "%u", table));
        s.type = type_text(head.rtm_type);
        s.has_metric = src__attr_u32(tb[RTA_PRIORITY], &s.metric);
        read_hops(c, src__attr_bytes(tb[RTA_MULTIPATH]), &t, &s);
    }
    return rows_route(c->out, &s);
}

/* -- sockets */

struct socket_row {
    uint64_t inode;
    uint32_t pid; /* of the owner met last; 0: none */
    char process[16];
    char local[46], remote[46];
    uint16_t local_port, remote_port;
    uint8_t state;
    bool is_tcp;
    uint32_t interface; /* 0: any */
};
struct holder {
    uint64_t inode;
    uint32_t pid;
    char process[16];
};
struct sockets {
    struct socket_row *v;
    size_t n, cap, n_owned; /* those with an inode come first once sorted */
    size_t max, n_cut;
    bool is_tcp;
    size_t n_links;
    const char *root;
    bool wants_holders;
    VEC(struct holder) holders; /* all of them, at most LINKS_MAX */
};

static const char *state_text(const struct socket_row *s)
{
    static const char *const names[] = {
        [TCP_ESTABLISHED] = "estab",    [TCP_SYN_SENT] = "syn-sent",     [TCP_SYN_RECV] = "syn-recv",
        [TCP_FIN_WAIT1] = "fin-wait-1", [TCP_FIN_WAIT2] = "fin-wait-2",  [TCP_TIME_WAIT] = "time-wait",
        [TCP_CLOSE] = "unconn",         [TCP_CLOSE_WAIT] = "close-wait", [TCP_LAST_ACK] = "last-ack",
        [TCP_LISTEN] = "listen",        [TCP_CLOSING] = "closing",       [12] = "syn-recv"
    };

    return s->state < ARRAY_SIZE(names) && names[s->state] ? names[s->state] : "unknown";
}

/* A v6 socket that also takes v4 is on every address of both. */
static void address_text(const struct inet_diag_msg *m, const void *bytes, bool v6only, char dst[46])
{
    static const uint8_t zero[16];

    if (m->idiag_family == AF_INET6 && !v6only && memcmp(bytes, zero, sizeof(zero)) == 0)
        (void)str_copy(STR("0.0.0.0"), dst, 46);
    else
        listing_ip_of_bytes(str_bytes(bytes, m->idiag_family == AF_INET ? 4 : 16), dst);
}

static int on_socket(void *arg, const struct nlmsghdr *nlh)
{
    struct sockets *c = arg;
    const struct nlattr *tb[INET_DIAG_SKV6ONLY + 1];
    struct inet_diag_msg m;
    struct str only;
    struct socket_row *s;
    bool v6only;

    if (nlh->nlmsg_type != SOCK_DIAG_BY_FAMILY || !src__attrs(nlh, sizeof(m), tb, INET_DIAG_SKV6ONLY))
        return 0;
    memcpy(&m, mnl_nlmsg_get_payload(nlh), sizeof(m));
    if ((m.idiag_family != AF_INET && m.idiag_family != AF_INET6) || m.id.idiag_sport == 0)
        return 0;
    if (c->n >= c->max) {
        c->n_cut++;
        return 0;
    }
    only = src__attr_bytes(tb[INET_DIAG_SKV6ONLY]);
    v6only = only.len > 0 && only.ptr[0] != 0;
    s = vec_add(c);
    s->inode = m.idiag_inode;
    s->state = m.idiag_state;
    s->is_tcp = c->is_tcp;
    s->interface = m.id.idiag_if;
    s->local_port = ntohs(m.id.idiag_sport);
    s->remote_port = ntohs(m.id.idiag_dport);
    address_text(&m, m.id.idiag_src, v6only, s->local);
    address_text(&m, m.id.idiag_dst, v6only, s->remote);
    return 0;
}

/* Descending: sockets without an owner (TIME-WAIT has inode 0) at the end. */
static int by_inode(const void *a, const void *b)
{
    const struct socket_row *x = a, *y = b;

    return (x->inode < y->inode) - (x->inode > y->inode);
}

static struct socket_row *first_of(struct sockets *c, uint64_t inode)
{
    size_t lo = 0, hi = c->n_owned;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (c->v[mid].inode > inode)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < c->n_owned && c->v[lo].inode == inode ? &c->v[lo] : NULL;
}

static void read_comm(const char *root, uint64_t pid, char dst[16])
{
    AUTO(arena_free) struct arena *a = arena_new(4096);
    struct str s = src__word(a, root, "/proc/%llu/comm", (unsigned long long)pid);

    (void)str_copy(str_sub(s, 0, 15), dst, 16);
}

static int on_process(void *ctx, const char *name)
{
    struct sockets *c = ctx;
    char path[SRC_PATH_MAX], comm[16] = "";
    uint64_t pid;
    DIR *d;

    if (str_to_u64(str_of(name), &pid) < 0 || pid > UINT32_MAX || src__path(path, c->root, "/proc/%s/fd", name) < 0)
        return 0;
    d = opendir(path);
    if (!d)
        return 0; /* gone, or not ours to see */
    for (struct dirent *e; c->n_links < LINKS_MAX && (e = readdir(d));) {
        char target[48];
        ssize_t n;
        uint64_t inode;
        struct socket_row *s;

        if (e->d_name[0] == '.')
            continue;
        c->n_links++;
        n = readlinkat(dirfd(d), e->d_name, target, sizeof(target));
        if (n < 10 || memcmp(target, "socket:[", 8) != 0 || str_to_u64(str_bytes(target + 8, (size_t)n - 9), &inode) < 0 ||
            inode == 0)
            continue;
        s = first_of(c, inode);
        if (!s)
            continue;
        if (!comm[0])
            read_comm(c->root, pid, comm);
        if (c->wants_holders) {
            struct holder *h = vec_add(&c->holders);

            *h = (struct holder){ .inode = inode, .pid = (uint32_t)pid };
            memcpy(h->process, comm, sizeof(comm));
        }
        /* as ss, which shows the one it met last first */
        for (; s < c->v + c->n_owned && s->inode == inode; s++) {
            s->pid = (uint32_t)pid;
            memcpy(s->process, comm, sizeof(comm));
        }
    }
    closedir(d);
    return c->n_links >= LINKS_MAX;
}

static int holder_by_inode(const void *a, const void *b)
{
    const struct holder *x = a, *y = b;

    return (x->inode > y->inode) - (x->inode < y->inode);
}

static void add_holders(const struct sockets *c, uint64_t inode, struct connection_seen *row)
{
    size_t lo = 0, hi = c->holders.n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (c->holders.v[mid].inode < inode)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < c->holders.n && c->holders.v[lo].inode == inode; lo++)
        connection_owner(row, c->holders.v[lo].pid, str_of(c->holders.v[lo].process));
}

static int tell(const struct sockets *c, const struct socket_row *s, const struct ifnames *names, struct rows *out)
{
    char interface[16] = "";
    struct connection_seen row = { .protocol = s->is_tcp ? STR("tcp") : STR("udp"),
                                   .state = str_of(state_text(s)),
                                   .local = str_of(s->local),
                                   .remote = str_of(s->remote),
                                   .process = str_of(s->process),
                                   .local_port = s->local_port,
                                   .remote_port = s->remote_port,
                                   .pid = s->pid,
                                   .has_remote_port = s->remote_port != 0,
                                   .has_pid = s->pid != 0 };

    if (out->is_extended && s->interface)
        ifnames__of(names, s->interface, interface);
    row.interface = str_of(interface);
    if (s->inode)
        add_holders(c, s->inode, &row);
    return rows_connection(out, &row);
}

static int connections(const char *root, struct rows *out)
{
    struct sockets c = { .root = root, .max = 4 * (size_t)GRAPHEON_ROWS_MAX, .wants_holders = out->is_extended };
    struct ifnames names = { 0 };
    int r = src__sock_diag(root, UINT32_MAX, &c.is_tcp, on_socket, &c);

    if (r == 0 && c.n > 1)
        qsort(c.v, c.n, sizeof(*c.v), by_inode);
    while (c.n_owned < c.n && c.v[c.n_owned].inode != 0)
        c.n_owned++;
    if (r == 0 && c.n_owned > 0)
        (void)src__dir(root, "/proc", on_process, &c); /* without /proc nobody owns anything */
    if (c.holders.n > 1)
        qsort(c.holders.v, c.holders.n, sizeof(*c.holders.v), holder_by_inode);
    if (out->is_extended)
        (void)ifnames__read(root, &names); /* else "if7" */
    for (size_t i = 0; r == 0 && i < c.n; i++)
        r = tell(&c, &c.v[i], &names, out);
    out->n_truncated += c.n_cut;
    ifnames__done(&names);
    vec_done(&c.holders);
    free(c.v);
    return r;
}

int grapheon__netlink(enum grapheon_section s, const char *root, struct rows *out)
{
    struct ctx c = { .out = out, .root = root };
    int r;

    if (s == GS_CONNECTIONS)
        return connections(root, out);
    r = ifnames__read(root, &c.names);
    if (r == 0 && s == GS_ADDRESSES)
        r = dump(&c, "links", RTM_GETLINK, AF_UNSPEC, sizeof(struct ifinfomsg), on_link);
    if (r == 0 && s == GS_ADDRESSES)
        r = dump(&c, "addresses", RTM_GETADDR, AF_UNSPEC, sizeof(struct ifaddrmsg), on_address);
    else if (r == 0 && s == GS_NEIGHBORS)
        r = dump(&c, "neighbours", RTM_GETNEIGH, AF_UNSPEC, sizeof(struct ndmsg), on_neighbor);
    else if (r == 0)
        r = dump(&c, "routes", RTM_GETROUTE, out->is_extended ? AF_UNSPEC : AF_INET, sizeof(struct rtmsg), on_route);
    ifnames__done(&c.names);
    free(c.macs);
    return r;
}
