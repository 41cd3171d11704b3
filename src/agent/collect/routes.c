/* agent/collect/routes.c - what rtnetlink says of neighbours and routes (netif.c asks).
 *
 * Neighbours: those with a known hardware address; their reachability is left out, it changes by the second. Routes: unicast,
 * blackhole, unreachable and prohibit of every table but "local"; never cached exceptions. */
#include "agent/collect/netif.h"

#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/socket.h>

struct neighbour_facts {
    struct str interface, address, mac;
    bool is_router, is_permanent;
};
static const struct field neighbour_fields[] = {
    F_STR(struct neighbour_facts, interface, "interface", 16, .help = "Interface it is behind."),
    F_STR(struct neighbour_facts, address, "address", 46, .help = "Address."),
    F_STR(struct neighbour_facts, mac, "mac", 64, .help = "Hardware address."),
    F_BOOL(struct neighbour_facts, is_router, "router", .flags = FIELD_OMIT, .help = "Says it is a router."),
    F_BOOL(struct neighbour_facts, is_permanent, "permanent", .flags = FIELD_OMIT, .help = "Set by hand."),
};
static const struct record neighbour_record = RECORD(neighbour_facts, neighbour_fields);

struct route_facts {
    struct str destination, gateway, interface, family, kind, protocol, scope, source;
    struct str_list gateways;
    uint32_t metric, table;
};
static const struct field route_fields[] = {
    F_STR(struct route_facts, destination, "destination", 64, .help = "Network: 0.0.0.0/0."),
    F_STR(struct route_facts, family, "family", 8, .help = "inet or inet6."),
    F_STR(struct route_facts, kind, "type", 16, .help = "unicast, blackhole, unreachable, prohibit."),
    F_STR(struct route_facts, gateway, "gateway", 46, .flags = FIELD_OMIT, .help = "Next hop."),
    F_STR(struct route_facts, interface, "interface", 16, .flags = FIELD_OMIT, .help = "Interface."),
    F_STR_LIST(struct route_facts, gateways, "gateways", 64, 80, .flags = FIELD_OMIT, .help = "Next hops, when several."),
    F_STR(struct route_facts, source, "source", 46, .flags = FIELD_OMIT, .help = "Preferred source address."),
    F_STR(struct route_facts, protocol, "protocol", 16, .help = "Who made it."),
    F_U32(struct route_facts, metric, "metric", .flags = FIELD_OMIT, .help = "Lower is preferred."),
    F_U32(struct route_facts, table, "table", .help = "Routing table; 254: main."),
};
static const struct record route_record = RECORD(route_facts, route_fields);

int neighbours__message(void *ctx, const struct nlmsghdr *nlh)
{
    struct netif_ctx *c = ctx;
    const struct nlattr *tb[NDA_LLADDR + 1];
    if (nlh->nlmsg_type != RTM_NEWNEIGH || !src__attrs(nlh, sizeof(struct ndmsg), tb, NDA_LLADDR))
        return 0;
    const struct ndmsg *nd = mnl_nlmsg_get_payload(nlh);
    struct str ll = src__attr_bytes(tb[NDA_LLADDR]);
    char address[46], name[16], mac[3 * 32 + 1];
    src__address(src__attr_bytes(tb[NDA_DST]), address);
    if (!address[0] || ll.len == 0 || ll.len > 32 || nd->ndm_state == NUD_NONE ||
        (nd->ndm_state & (NUD_NOARP | NUD_FAILED | NUD_INCOMPLETE)) || (nd->ndm_family != AF_INET && nd->ndm_family != AF_INET6))
        return 0;

    size_t n = 0;
    for (size_t i = 0; i < ll.len; i++)
        n += (size_t)snprintf(mac + n, sizeof(mac) - n, i ? ":%02x" : "%02x", (unsigned char)ll.ptr[i]);
    ifnames__of(&c->names, (uint32_t)nd->ndm_ifindex, name);
    struct neighbour_facts f = {
        .interface = str_of(name),
        .address = str_of(address),
        .mac = str_bytes(mac, n),
        .is_router = (nd->ndm_flags & NTF_ROUTER) != 0,
        .is_permanent = (nd->ndm_state & NUD_PERMANENT) != 0,
    };
    return collect_row(c->out, arena_printf(c->out->arena, "%s %s", name, address), &neighbour_record, &f);
}

static struct str protocol_name(unsigned p, char dst[16])
{
    static const struct name names[] = { { RTPROT_REDIRECT, "redirect" }, { RTPROT_KERNEL, "kernel" }, { RTPROT_BOOT, "boot" },
                                         { RTPROT_STATIC, "static" },     { RTPROT_RA, "ra" },         { RTPROT_DHCP, "dhcp" },
                                         { RTPROT_ZEBRA, "zebra" },       { RTPROT_BIRD, "bird" },     { 186, "bgp" },
                                         { 188, "ospf" },                 { 187, "isis" },             { 189, "rip" },
                                         NAMES_END };
    for (const struct name *n = names; n->text; n++)
        if (n->value == (int)p)
            return str_of(n->text);
    snprintf(dst, 16, "%u", p);
    return str_of(dst);
}

static struct str kind_name(unsigned type)
{
    switch (type) {
    case RTN_UNICAST:
        return STR("unicast");
    case RTN_BLACKHOLE:
        return STR("blackhole");
    case RTN_UNREACHABLE:
        return STR("unreachable");
    case RTN_PROHIBIT:
        return STR("prohibit");
    default:
        return STR_NONE; /* local, broadcast, anycast, multicast: follow from the addresses */
    }
}

enum { HOPS_MAX = 64 };

/* RTA_MULTIPATH: a run of struct rtnexthop, each with attributes of its own. */
static void read_hops(struct netif_ctx *c, struct str bytes, struct str_list *ret)
{
    struct str *v = arena_array(c->out->arena, HOPS_MAX, sizeof(*v));
    size_t n = 0;
    while (v && bytes.len >= sizeof(struct rtnexthop) && n < HOPS_MAX) {
        struct rtnexthop hop;
        memcpy(&hop, bytes.ptr, sizeof(hop));
        if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > bytes.len)
            break;
        char gateway[46] = "", name[16];
        struct str attrs = str_sub(bytes, sizeof(hop), hop.rtnh_len - sizeof(hop));
        while (attrs.len >= sizeof(struct nlattr)) {
            struct nlattr at;
            memcpy(&at, attrs.ptr, sizeof(at));
            if (at.nla_len < sizeof(at) || at.nla_len > attrs.len)
                break;
            if ((at.nla_type & NLA_TYPE_MASK) == RTA_GATEWAY)
                src__address(str_sub(attrs, sizeof(at), at.nla_len - sizeof(at)), gateway);
            attrs = str_sub(attrs, MNL_ALIGN(at.nla_len), attrs.len);
        }
        ifnames__of(&c->names, (uint32_t)hop.rtnh_ifindex, name);
        v[n] = arena_printf(c->out->arena, "%s%sdev %s", gateway, gateway[0] ? " " : "", name);
        if (!v[n].ptr)
            break;
        n++;
        bytes = str_sub(bytes, RTNH_ALIGN(hop.rtnh_len), bytes.len);
    }
    *ret = (struct str_list){ v, n };
}

int routes__message(void *ctx, const struct nlmsghdr *nlh)
{
    struct netif_ctx *c = ctx;
    const struct nlattr *tb[RTA_TABLE + 1];
    if (nlh->nlmsg_type != RTM_NEWROUTE || !src__attrs(nlh, sizeof(struct rtmsg), tb, RTA_TABLE))
        return 0;
    const struct rtmsg *rt = mnl_nlmsg_get_payload(nlh);
    struct route_facts f = { .kind = kind_name(rt->rtm_type), .table = rt->rtm_table };
    src__attr_u32(tb[RTA_TABLE], &f.table);
    if (!f.kind.len || f.table == RT_TABLE_LOCAL || (rt->rtm_flags & RTM_F_CLONED) ||
        (rt->rtm_family != AF_INET && rt->rtm_family != AF_INET6))
        return 0;

    bool is_v4 = rt->rtm_family == AF_INET;
    char destination[46], gateway[46], source[46], name[16] = "", protocol[16];
    src__address(src__attr_bytes(tb[RTA_DST]), destination);
    src__address(src__attr_bytes(tb[RTA_GATEWAY]), gateway);
    src__address(src__attr_bytes(tb[RTA_PREFSRC]), source);
    uint32_t oif;
    if (src__attr_u32(tb[RTA_OIF], &oif))
        ifnames__of(&c->names, oif, name);
    src__attr_u32(tb[RTA_PRIORITY], &f.metric);
    struct arena *a = c->out->arena;
    f.destination = arena_printf(a, "%s/%u", destination[0] ? destination : is_v4 ? "0.0.0.0" : "::", rt->rtm_dst_len);
    f.family = is_v4 ? STR("inet") : STR("inet6");
    f.gateway = str_of(gateway);
    f.interface = str_of(name);
    f.source = str_of(source);
    f.protocol = protocol_name(rt->rtm_protocol, protocol);
    if (tb[RTA_MULTIPATH])
        read_hops(c, src__attr_bytes(tb[RTA_MULTIPATH]), &f.gateways);

    struct str key = arena_printf(a, "%.*s%s%s%s%s metric %u table %u%s", STR_FMT(f.destination), gateway[0] ? " via " : "", gateway,
                                  name[0] ? " dev " : "", name, f.metric, f.table, rt->rtm_tos ? " tos" : "");
    return collect_row(c->out, key, &route_record, &f);
}
