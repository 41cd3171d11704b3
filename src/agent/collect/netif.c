/* agent/collect/netif.c - interfaces and addresses by rtnetlink. Counters, signal levels and lifetimes are left out: they move.
 *
 * Cost: one dump for interfaces (and two small reads each), two for addresses. */
#include "agent/collect/netif.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/if.h>
#include <stdio.h>
#include <sys/socket.h>

struct interface_facts {
    struct str name, kind, mac, permanent_mac, state, master, driver, alias;
    uint32_t index, mtu;
    uint64_t speed_mbps;
    bool is_up;
};
static const struct field interface_fields[] = {
    F_STR(struct interface_facts, name, "name", 16, .help = "Name."),
    F_U32(struct interface_facts, index, "index", .help = "Number."),
    F_STR(struct interface_facts, kind, "kind", 32, .help = "ether, loopback, or the kind of a virtual one: bridge."),
    F_STR(struct interface_facts, mac, "mac", 64, .flags = FIELD_OMIT, .help = "Hardware address."),
    F_STR(struct interface_facts, permanent_mac, "permanent_mac", 64, .flags = FIELD_OMIT, .help = "As burnt in, if it differs."),
    F_U32(struct interface_facts, mtu, "mtu", .help = "Largest packet."),
    F_BOOL(struct interface_facts, is_up, "up", .help = "Switched on."),
    F_STR(struct interface_facts, state, "state", 24, .help = "Operational state (RFC 2863)."),
    F_STR(struct interface_facts, master, "master", 16, .flags = FIELD_OMIT, .help = "Bridge or bond it belongs to."),
    F_STR(struct interface_facts, driver, "driver", 64, .flags = FIELD_OMIT, .help = "Kernel driver."),
    F_STR(struct interface_facts, alias, "alias", 256, .flags = FIELD_OMIT, .help = "What the operator calls it."),
    F_U64(struct interface_facts, speed_mbps, "speed_mbps", .flags = FIELD_OMIT, .help = "Link speed."),
};
static const struct record interface_record = RECORD(interface_facts, interface_fields);

struct address_facts {
    struct str interface, address, family, scope, label;
    uint32_t prefix;
    bool is_dynamic, is_temporary;
};
static const struct field address_fields[] = {
    F_STR(struct address_facts, interface, "interface", 16, .help = "Interface."),
    F_STR(struct address_facts, address, "address", 46, .help = "Address."),
    F_U32(struct address_facts, prefix, "prefix", .help = "Length of the network part."),
    F_STR(struct address_facts, family, "family", 8, .help = "inet or inet6."),
    F_STR(struct address_facts, scope, "scope", 16, .help = "global, link, host."),
    F_BOOL(struct address_facts, is_dynamic, "dynamic", .flags = FIELD_OMIT, .help = "Given for a time, by DHCP or a router."),
    F_BOOL(struct address_facts, is_temporary, "temporary", .flags = FIELD_OMIT, .help = "IPv6 privacy address."),
};
static const struct record address_record = RECORD(address_facts, address_fields);

/* -- names by number */
static int on_name(void *ctx, const struct nlmsghdr *nlh)
{
    struct ifnames *names = ctx;
    const struct nlattr *tb[IFLA_IFNAME + 1];
    if (nlh->nlmsg_type != RTM_NEWLINK || !src__attrs(nlh, sizeof(struct ifinfomsg), tb, IFLA_IFNAME))
        return 0;
    const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
    struct ifname *n = vec_add(names);
    n->index = (uint32_t)ifi->ifi_index;
    str_copy(src__attr_text(tb[IFLA_IFNAME]), n->name, sizeof(n->name));
    return 0;
}

static int by_index(const void *a, const void *b)
{
    const struct ifname *x = a, *y = b;
    return (x->index > y->index) - (x->index < y->index);
}

/* The request: zero but for the header; @fixed is the size of the family's fixed part. */
static struct nlmsghdr *request(char *buffer, uint16_t type, size_t fixed)
{
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
    nlh->nlmsg_type = type;
    mnl_nlmsg_put_extra_header(nlh, fixed); /* zeroed: every family */
    return nlh;
}

int ifnames__read(const char *root, struct ifnames *ret)
{
    _Alignas(NLMSG_ALIGNTO) char buffer[128];
    *ret = (struct ifnames){ 0 };
    int r = src__netlink(root, "links", NETLINK_ROUTE, request(buffer, RTM_GETLINK, sizeof(struct ifinfomsg)), on_name, ret);
    if (ret->n)
        qsort(ret->v, ret->n, sizeof(*ret->v), by_index);
    return r;
}

void ifnames__done(struct ifnames *names)
{
    vec_done(names);
}

void ifnames__of(const struct ifnames *names, uint32_t index, char dst[16])
{
    struct ifname want = { .index = index };
    const struct ifname *n = names->n ? bsearch(&want, names->v, names->n, sizeof(*names->v), by_index) : NULL;
    if (n && n->name[0])
        str_copy(str_of(n->name), dst, 16);
    else
        snprintf(dst, 16, "if%u", index);
}

/* -- interfaces */
static struct str mac_text(struct arena *a, struct str b)
{
    char text[3 * 32 + 1];
    size_t n = 0;
    if (b.len == 0 || b.len > 32)
        return STR_NONE;
    bool is_zero = true;
    for (size_t i = 0; i < b.len; i++) {
        is_zero = is_zero && b.ptr[i] == 0;
        n += (size_t)snprintf(text + n, sizeof(text) - n, i ? ":%02x" : "%02x", (unsigned char)b.ptr[i]);
    }
    return is_zero ? STR_NONE : arena_str(a, str_bytes(text, n));
}

static struct str kind_of(unsigned type, const struct nlattr *linkinfo)
{
    const struct nlattr *tb[IFLA_INFO_KIND + 1];
    src__attrs_nested(linkinfo, tb, IFLA_INFO_KIND);
    struct str kind = src__attr_text(tb[IFLA_INFO_KIND]);
    if (kind.len)
        return kind;
    switch (type) {
    case ARPHRD_ETHER:
        return STR("ether");
    case ARPHRD_LOOPBACK:
        return STR("loopback");
    case ARPHRD_INFINIBAND:
        return STR("infiniband");
    case ARPHRD_PPP:
        return STR("ppp");
    default:
        return STR("other");
    }
}

int interfaces__message(void *ctx, const struct nlmsghdr *nlh)
{
    static const char *const states[] = { "unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up" };
    struct netif_ctx *c = ctx;
    const struct nlattr *tb[IFLA_PERM_ADDRESS + 1];
    if (nlh->nlmsg_type != RTM_NEWLINK || !src__attrs(nlh, sizeof(struct ifinfomsg), tb, IFLA_PERM_ADDRESS))
        return 0;
    const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
    struct arena *a = c->out->arena;
    struct str state = src__attr_bytes(tb[IFLA_OPERSTATE]);
    size_t st = state.len ? (uint8_t)state.ptr[0] : 0;
    struct interface_facts f = {
        .name = src__attr_text(tb[IFLA_IFNAME]),
        .index = (uint32_t)ifi->ifi_index,
        .kind = kind_of(ifi->ifi_type, tb[IFLA_LINKINFO]),
        .mac = mac_text(a, src__attr_bytes(tb[IFLA_ADDRESS])),
        .permanent_mac = mac_text(a, src__attr_bytes(tb[IFLA_PERM_ADDRESS])),
        .alias = str_sub(src__attr_text(tb[IFLA_IFALIAS]), 0, 256),
        .is_up = (ifi->ifi_flags & IFF_UP) != 0,
        .state = str_of(st < sizeof(states) / sizeof(states[0]) ? states[st] : "unknown"),
    };
    src__attr_u32(tb[IFLA_MTU], &f.mtu);
    if (str_eq(f.mac, f.permanent_mac))
        f.permanent_mac = STR_NONE;
    /* a name with a slash is not the kernel's; it would lead out of /sys/class/net */
    if (!f.name.len || f.name.len >= IFNAMSIZ || str_find_char(f.name, '/') >= 0)
        return 0;

    uint32_t master;
    char master_name[16];
    if (src__attr_u32(tb[IFLA_MASTER], &master)) {
        ifnames__of(&c->names, master, master_name);
        f.master = str_of(master_name);
    }
    if (!(ifi->ifi_flags & IFF_LOOPBACK)) {
        f.speed_mbps = src__number(c->root, "/sys/class/net/%.*s/speed", STR_FMT(f.name));
        f.driver = src__base(src__link(a, c->root, "/sys/class/net/%.*s/device/driver", STR_FMT(f.name)));
    }
    return collect_row(c->out, f.name, &interface_record, &f);
}

/* -- addresses */
static bool read_address(const struct nlmsghdr *nlh, char text[46], struct ifaddrmsg *ret_head, uint32_t *ret_flags)
{
    const struct nlattr *tb[IFA_FLAGS + 1];
    if (nlh->nlmsg_type != RTM_NEWADDR || !src__attrs(nlh, sizeof(struct ifaddrmsg), tb, IFA_FLAGS))
        return false;
    memcpy(ret_head, mnl_nlmsg_get_payload(nlh), sizeof(*ret_head));
    /* on a point-to-point link IFA_ADDRESS is the other end */
    src__address(src__attr_bytes(tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS]), text);
    *ret_flags = ret_head->ifa_flags;
    src__attr_u32(tb[IFA_FLAGS], ret_flags);
    return text[0] != '\0';
}

int addresses__message(void *ctx, const struct nlmsghdr *nlh)
{
    struct netif_ctx *c = ctx;
    struct ifaddrmsg head;
    uint32_t flags;
    char text[46], name[16];
    if (!read_address(nlh, text, &head, &flags))
        return 0;
    ifnames__of(&c->names, head.ifa_index, name);
    struct address_facts f = {
        .interface = str_of(name),
        .address = str_of(text),
        .prefix = head.ifa_prefixlen,
        .family = head.ifa_family == AF_INET ? STR("inet") : STR("inet6"),
        .scope = head.ifa_scope == RT_SCOPE_HOST   ? STR("host")
                 : head.ifa_scope == RT_SCOPE_LINK ? STR("link")
                 : head.ifa_scope == RT_SCOPE_SITE ? STR("site")
                                                   : STR("global"),
        .is_dynamic = !(flags & IFA_F_PERMANENT),
        .is_temporary = head.ifa_family == AF_INET6 && (flags & IFA_F_TEMPORARY),
    };
    struct str key = arena_printf(c->out->arena, "%s %s/%u", name, text, f.prefix);
    return collect_row(c->out, key, &address_record, &f);
}

struct each {
    address_fn fn;
    void *ctx;
};
static int on_each(void *ctx, const struct nlmsghdr *nlh)
{
    struct each *e = ctx;
    struct ifaddrmsg head;
    uint32_t flags;
    char text[46];
    if (!read_address(nlh, text, &head, &flags) || head.ifa_scope != RT_SCOPE_UNIVERSE ||
        (head.ifa_family == AF_INET6 && (flags & (IFA_F_TEMPORARY | IFA_F_DEPRECATED))))
        return 0;
    return e->fn(e->ctx, text);
}

int addresses__each(const char *root, address_fn fn, void *ctx)
{
    _Alignas(NLMSG_ALIGNTO) char buffer[128];
    struct each e = { fn, ctx };
    return src__netlink(root, "addresses", NETLINK_ROUTE, request(buffer, RTM_GETADDR, sizeof(struct ifaddrmsg)), on_each, &e);
}

static int run(struct collect_out *out, const char *root, const char *name, uint16_t type, size_t fixed, src_nl_fn fn)
{
    _Alignas(NLMSG_ALIGNTO) char buffer[128];
    struct netif_ctx c = { .out = out, .root = root };
    int r = ifnames__read(root, &c.names);
    if (r == 0)
        r = src__netlink(root, name, NETLINK_ROUTE, request(buffer, type, fixed), fn, &c);
    ifnames__done(&c.names);
    return r < 0 && r != -ENOBUFS ? collect__failed(out, r, "rtnetlink") : r;
}

int interfaces__run(struct collect_out *out, const char *root)
{
    return run(out, root, "links", RTM_GETLINK, sizeof(struct ifinfomsg), interfaces__message);
}

int addresses__run(struct collect_out *out, const char *root)
{
    return run(out, root, "addresses", RTM_GETADDR, sizeof(struct ifaddrmsg), addresses__message);
}

int neighbours__run(struct collect_out *out, const char *root)
{
    return run(out, root, "neighbours", RTM_GETNEIGH, sizeof(struct ndmsg), neighbours__message);
}

int routes__run(struct collect_out *out, const char *root)
{
    return run(out, root, "routes", RTM_GETROUTE, sizeof(struct rtmsg), routes__message);
}
