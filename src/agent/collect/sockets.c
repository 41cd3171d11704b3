/* agent/collect/sockets.c - listening and connected TCP and UDP sockets by NETLINK_SOCK_DIAG, with the process that holds them.
 *
 * A UDP socket that is bound and not connected counts as listening, unless its port is one the system handed out: those are
 * questions under way (DNS), different at every look, and are shown among the connections.
 *
 * Cost: four dumps, one walk of /proc (owners.c). */
#include "agent/collect/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/limits.h"

struct socket_facts {
    struct str protocol, address, peer, state, interface, process, exe;
    uint32_t port, peer_port, uid, pid;
};
static const struct field listener_fields[] = {
    F_STR(struct socket_facts, protocol, "protocol", 8, .help = "tcp or udp."),
    F_STR(struct socket_facts, address, "address", 46, .help = "Address it is bound to."),
    F_U32(struct socket_facts, port, "port", .help = "Port."),
    F_STR(struct socket_facts, interface, "interface", 16, .flags = FIELD_OMIT, .help = "Interface it is bound to, if any."),
    F_U32(struct socket_facts, uid, "uid", .help = "User who made it."),
    F_U32(struct socket_facts, pid, "pid", .flags = FIELD_OMIT, .help = "Process that holds it; absent: not found."),
    F_STR(struct socket_facts, process, "process", 64, .flags = FIELD_OMIT, .help = "Its name."),
    F_STR(struct socket_facts, exe, "exe", 1024, .flags = FIELD_OMIT, .help = "Its program."),
};
static const struct record listener_record = RECORD(socket_facts, listener_fields);
static const struct field connection_fields[] = {
    F_STR(struct socket_facts, protocol, "protocol", 8, .help = "tcp or udp."),
    F_STR(struct socket_facts, address, "address", 46, .help = "Own address."),
    F_U32(struct socket_facts, port, "port", .help = "Own port."),
    F_STR(struct socket_facts, peer, "peer_address", 46, .flags = FIELD_OMIT, .help = "Address of the peer."),
    F_U32(struct socket_facts, peer_port, "peer_port", .flags = FIELD_OMIT, .help = "Port of the peer."),
    F_STR(struct socket_facts, state, "state", 16, .help = "TCP state."),
    F_U32(struct socket_facts, uid, "uid", .help = "User who made it."),
    F_U32(struct socket_facts, pid, "pid", .flags = FIELD_OMIT, .help = "Process that holds it; absent: not found."),
    F_STR(struct socket_facts, process, "process", 64, .flags = FIELD_OMIT, .help = "Its name."),
};
static const struct record connection_record = RECORD(socket_facts, connection_fields);

static const struct name state_names[] = {
    { TCP_ESTABLISHED, "established" }, { TCP_SYN_SENT, "syn_sent" },   { TCP_SYN_RECV, "syn_recv" }, { TCP_FIN_WAIT1, "fin_wait1" },
    { TCP_FIN_WAIT2, "fin_wait2" },     { TCP_TIME_WAIT, "time_wait" }, { TCP_CLOSE, "close" },       { TCP_CLOSE_WAIT, "close_wait" },
    { TCP_LAST_ACK, "last_ack" },       { TCP_LISTEN, "listen" },       { TCP_CLOSING, "closing" },   NAMES_END,
};

static bool is_listening(const struct sockets_ctx *c, const struct inet_diag_msg *m)
{
    if (c->is_tcp)
        return m->idiag_state == TCP_LISTEN;
    uint16_t port = ntohs(m->id.idiag_sport);
    return m->idiag_state == TCP_CLOSE && !(port >= c->ephemeral_lo && port <= c->ephemeral_hi);
}

int sockets__message(void *ctx, const struct nlmsghdr *nlh)
{
    struct sockets_ctx *c = ctx;
    if (nlh->nlmsg_type != SOCK_DIAG_BY_FAMILY || mnl_nlmsg_get_payload_len(nlh) < sizeof(struct inet_diag_msg))
        return 0;
    struct inet_diag_msg m;
    memcpy(&m, mnl_nlmsg_get_payload(nlh), sizeof(m));
    if ((m.idiag_family != AF_INET && m.idiag_family != AF_INET6) || is_listening(c, &m) != c->listening || m.id.idiag_sport == 0)
        return 0;
    if (c->v.n == LIMIT_SECTION_ROWS) {
        c->is_cut = true;
        return 1;
    }

    struct socket_seen *s = vec_add(&c->v);
    size_t len = m.idiag_family == AF_INET ? 4 : 16;
    *s = (struct socket_seen){
        .is_tcp = c->is_tcp,
        .is_v6 = m.idiag_family == AF_INET6,
        .state = m.idiag_state,
        .port = ntohs(m.id.idiag_sport),
        .peer_port = ntohs(m.id.idiag_dport),
        .interface = m.id.idiag_if,
        .uid = m.idiag_uid,
        .inode = m.idiag_inode,
    };
    src__address(str_bytes(m.id.idiag_src, len), s->address);
    src__address(str_bytes(m.id.idiag_dst, len), s->peer);
    return 0;
}

static void read_ephemeral(struct arena *a, const char *root, struct sockets_ctx *c)
{
    struct str range = src__word(a, root, "/proc/sys/net/ipv4/ip_local_port_range"), lo, hi;
    uint64_t l, h;
    if (str_word(&range, &lo) && str_word(&range, &hi) && str_to_u64(lo, &l) == 0 && str_to_u64(hi, &h) == 0 && l <= h && h < 65536) {
        c->ephemeral_lo = (uint16_t)l;
        c->ephemeral_hi = (uint16_t)h;
    }
}

static struct str endpoint(struct arena *a, const char *address, uint16_t port)
{
    return strchr(address, ':') ? arena_printf(a, "[%s]:%u", address, port) : arena_printf(a, "%s:%u", address, port);
}

static int add_row(struct collect_out *out, const struct socket_seen *s, const struct owners *owners, const struct ifnames *names,
                   bool listening)
{
    struct arena *a = out->arena;
    const struct owner *own = owners__of(owners, s->inode);
    char ifname[16] = "";
    if (s->interface)
        ifnames__of(names, s->interface, ifname);
    struct socket_facts f = {
        .protocol = s->is_tcp ? STR("tcp") : STR("udp"),
        .address = str_of(s->address),
        .port = s->port,
        .interface = str_of(ifname),
        .uid = s->uid,
        .pid = own ? own->pid : 0,
        .process = own ? own->process : STR_NONE,
        .exe = own ? own->exe : STR_NONE,
    };
    struct str here = endpoint(a, s->address, s->port);
    if (listening)
        return collect_row(out, arena_printf(a, "%.*s %.*s%s%s", STR_FMT(f.protocol), STR_FMT(here), ifname[0] ? "%" : "", ifname),
                           &listener_record, &f);

    f.state = str_of(name_of(state_names, s->state));
    struct str there = STR("*");
    if (s->peer_port) {
        f.peer = str_of(s->peer);
        f.peer_port = s->peer_port;
        there = endpoint(a, s->peer, s->peer_port);
    }
    return collect_row(out, arena_printf(a, "%.*s %.*s %.*s", STR_FMT(f.protocol), STR_FMT(here), STR_FMT(there)),
                       &connection_record, &f);
}

/* With SO_REUSEPORT several sockets have one key: the order must not depend on the kernel's hash. */
static int by_inode(const void *a, const void *b)
{
    const struct socket_seen *x = a, *y = b;
    return (x->inode > y->inode) - (x->inode < y->inode);
}

static int run(struct collect_out *out, const char *root, bool listening)
{
    struct sockets_ctx c = { .listening = listening };
    read_ephemeral(out->arena, root, &c);
    /* listeners only, or everything but */
    uint32_t tcp_states = listening ? 1u << TCP_LISTEN : ~(1u << TCP_LISTEN);
    int r = src__sock_diag(root, tcp_states, &c.is_tcp, sockets__message, &c);

    struct owners owners = { 0 };
    struct ifnames names = { 0 };
    if (r == 0 && c.v.n) {
        qsort(c.v.v, c.v.n, sizeof(*c.v.v), by_inode);
        for (size_t i = 0; i < c.v.n; i++)
            owners__want(&owners, c.v.v[i].inode);
        owners__find(&owners, out->arena, root);
        (void)ifnames__read(root, &names); /* else "if7" */
    }
    out->is_cut = out->is_cut || c.is_cut;
    int full = 0;
    for (size_t i = 0; r == 0 && full == 0 && i < c.v.n; i++)
        full = add_row(out, &c.v.v[i], &owners, &names, listening);
    owners__done(&owners);
    ifnames__done(&names);
    vec_done(&c.v);
    if (r == -ENOENT) /* also after an upgrade that took the running kernel's modules away */
        return collect__garbled(out, "sock_diag", "this kernel has no tcp_diag, or cannot load it");
    return r < 0 ? collect__failed(out, r, "sock_diag") : full;
}

int listeners__run(struct collect_out *out, const char *root)
{
    return run(out, root, true);
}

int connections__run(struct collect_out *out, const char *root)
{
    return run(out, root, false);
}
