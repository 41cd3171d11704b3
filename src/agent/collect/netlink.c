/* agent/collect/netlink.c - one netlink dump at a time through libmnl; attributes with their lengths checked. See source.h.
 *
 * Cost: one socket, one request, one 32 KiB buffer a dump. */
#include "agent/collect/source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "base/fd.h"
#include "base/mem.h"

enum { BUFFER = 32 << 10, FAKE_MAX = 4 << 20, ATTEMPTS = 3 };

struct call {
    src_nl_fn fn;
    void *ctx;
    int r;
};

static int on_message(const struct nlmsghdr *nlh, void *ctx)
{
    struct call *c = ctx;
    c->r = c->fn(c->ctx, nlh);
    return c->r == 0 ? MNL_CB_OK : MNL_CB_STOP;
}

int src__netlink_feed(struct str bytes, src_nl_fn fn, void *ctx)
{
    /* aligned as the kernel's buffer would be */
    AUTO_FREE char *copy = bytes.len ? xmemdup(bytes.ptr, bytes.len) : NULL;
    struct call c = { .fn = fn, .ctx = ctx };
    /* not mnl_nlmsg_ok(): it takes a length beyond 2^31 for a negative one and says yes */
    for (size_t at = 0, left = bytes.len; left >= sizeof(struct nlmsghdr);) {
        const struct nlmsghdr *nlh = (const struct nlmsghdr *)(const void *)(copy + at);
        if (nlh->nlmsg_len < sizeof(*nlh) || nlh->nlmsg_len > left || nlh->nlmsg_type == NLMSG_DONE)
            break;
        if (nlh->nlmsg_type >= NLMSG_MIN_TYPE && on_message(nlh, &c) == MNL_CB_STOP)
            break;
        size_t step = MNL_ALIGN((size_t)nlh->nlmsg_len);
        if (step >= left)
            break;
        at += step;
        left -= step;
    }
    return c.r < 0 ? c.r : 0;
}

static int from_file(const char *root, const char *name, src_nl_fn fn, void *ctx)
{
    char path[SRC_PATH_MAX];
    int r = src__path(path, root, "/netlink/%s", name);
    if (r < 0)
        return r;
    AUTO(buf_done) struct buf b = BUF(FAKE_MAX);
    r = fd_read_file(path, &b);
    return r < 0 ? r : src__netlink_feed(buf_as_str(&b), fn, ctx);
}

/* What the end of a dump says: 0, or -errno of one that could not be made. libmnl does not look. */
static int end_of(const char *buffer, size_t n)
{
    for (size_t at = 0; n - at >= sizeof(struct nlmsghdr);) {
        const struct nlmsghdr *nlh = (const struct nlmsghdr *)(const void *)(buffer + at);
        int code = 0;
        if (nlh->nlmsg_len < sizeof(*nlh) || nlh->nlmsg_len > n - at)
            break;
        if (nlh->nlmsg_type == NLMSG_DONE && mnl_nlmsg_get_payload_len(nlh) >= sizeof(code))
            memcpy(&code, mnl_nlmsg_get_payload(nlh), sizeof(code));
        if (nlh->nlmsg_type == NLMSG_DONE)
            return code < 0 ? code : 0;
        at += MNL_ALIGN((size_t)nlh->nlmsg_len);
        if (at >= n)
            break;
    }
    return 0;
}

/* One request and its whole reply. -EINTR: the kernel's tables changed meanwhile, the dump is not consistent. */
static int dump(struct mnl_socket *nl, int protocol, struct nlmsghdr *req, char *buffer, struct call *c)
{
    unsigned port = mnl_socket_get_portid(nl);
    if (mnl_socket_sendto(nl, req, req->nlmsg_len) < 0)
        return -errno;
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(nl, buffer, BUFFER);
        if (n < 0)
            return -errno;
        int r = mnl_cb_run(buffer, (size_t)n, req->nlmsg_seq, port, on_message, c);
        if (r < 0)
            return -errno;
        if (r == MNL_CB_STOP && c->r != 0)
            return c->r < 0 ? c->r : 0;
        /* That there is no tcp_diag comes this way only. An rtnetlink dump of every family ends with what its last family says of the
         * question, though the others have answered. */
        if (r == MNL_CB_STOP)
            return protocol == NETLINK_SOCK_DIAG ? end_of(buffer, (size_t)n) : 0;
    }
}

int src__netlink(const char *root, const char *name, int protocol, struct nlmsghdr *req, src_nl_fn fn, void *ctx)
{
    if (root && *root)
        return from_file(root, name, fn, ctx);

    int r = -EINTR;
    AUTO_FREE char *buffer = xmalloc(BUFFER);
    for (int i = 0; r == -EINTR && i < ATTEMPTS; i++) {
        struct mnl_socket *nl = mnl_socket_open2(protocol, SOCK_CLOEXEC);
        if (!nl)
            return -errno;
        /* the kernel answers dumps at once; this is against a stuck module */
        struct timeval limit = { .tv_sec = 2 };
        setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        /* filters in the request are honoured; older kernels say no and send everything: callers filter too */
        int on = 1;
        setsockopt(mnl_socket_get_fd(nl), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
        req->nlmsg_seq = (uint32_t)time(NULL) + (uint32_t)i;
        req->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
        struct call c = { .fn = fn, .ctx = ctx };
        r = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : dump(nl, protocol, req, buffer, &c);
        mnl_socket_close(nl);
    }
    /* inconsistent three times over: what was collected is the best there is (doubled keys fall out later) */
    return r == -EINTR ? 0 : r;
}

int src__sock_diag(const char *root, uint32_t tcp_states, bool *is_tcp, src_nl_fn fn, void *ctx)
{
    static const struct {
        uint8_t family, protocol;
        const char *name;
    } dumps[] = { { AF_INET, IPPROTO_TCP, "tcp4" },
                  { AF_INET6, IPPROTO_TCP, "tcp6" },
                  { AF_INET, IPPROTO_UDP, "udp4" },
                  { AF_INET6, IPPROTO_UDP, "udp6" } };
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(dumps) && r == 0; i++) {
        struct {
            struct nlmsghdr head;
            struct inet_diag_req_v2 req;
        } rq = { .head = { .nlmsg_len = sizeof(rq), .nlmsg_type = SOCK_DIAG_BY_FAMILY },
                 .req = { .sdiag_family = dumps[i].family, .sdiag_protocol = dumps[i].protocol } };
        *is_tcp = dumps[i].protocol == IPPROTO_TCP;
        rq.req.idiag_states = *is_tcp ? tcp_states : UINT32_MAX;
        r = src__netlink(root, dumps[i].name, NETLINK_SOCK_DIAG, &rq.head, fn, ctx);
        if (r == -ENOENT && i > 0)
            r = 0;
    }
    return r;
}

/* libmnl's own loop macros convert a length in a way -Wconversion dislikes, so the walk is written out. */
static void collect_attrs(const char *p, size_t len, const struct nlattr **tb, unsigned max)
{
    memset(tb, 0, sizeof(*tb) * (max + 1));
    while (len >= sizeof(struct nlattr)) {
        const struct nlattr *attr = (const struct nlattr *)(const void *)p;
        if (attr->nla_len < sizeof(*attr) || attr->nla_len > len)
            return;
        if (mnl_attr_get_type(attr) <= max)
            tb[mnl_attr_get_type(attr)] = attr;
        size_t step = MNL_ALIGN(attr->nla_len);
        if (step >= len)
            return;
        p += step;
        len -= step;
    }
}

bool src__attrs(const struct nlmsghdr *nlh, size_t fixed, const struct nlattr **tb, unsigned max)
{
    memset(tb, 0, sizeof(*tb) * (max + 1));
    size_t len = mnl_nlmsg_get_payload_len(nlh), head = MNL_ALIGN(fixed);
    if (len < fixed)
        return false;
    if (len > head)
        collect_attrs((const char *)mnl_nlmsg_get_payload(nlh) + head, len - head, tb, max);
    return true;
}

void src__attrs_nested(const struct nlattr *nest, const struct nlattr **tb, unsigned max)
{
    memset(tb, 0, sizeof(*tb) * (max + 1));
    if (nest)
        collect_attrs(mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest), tb, max);
}

bool src__attr_u32(const struct nlattr *attr, uint32_t *ret)
{
    if (!attr || mnl_attr_get_payload_len(attr) < sizeof(uint32_t))
        return false;
    *ret = mnl_attr_get_u32(attr);
    return true;
}

struct str src__attr_bytes(const struct nlattr *attr)
{
    return attr ? str_bytes(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr)) : STR_NONE;
}

struct str src__attr_text(const struct nlattr *attr)
{
    struct str s = src__attr_bytes(attr);
    ptrdiff_t nul = str_find_char(s, '\0');
    return nul >= 0 ? str_sub(s, 0, (size_t)nul) : s;
}

void src__address(struct str bytes, char dst[46])
{
    static const char mapped[12] = { [10] = (char)0xff, [11] = (char)0xff };
    dst[0] = '\0';
    if (bytes.len == 16 && memcmp(bytes.ptr, mapped, sizeof(mapped)) == 0)
        bytes = str_sub(bytes, 12, 4);
    if (bytes.len == 4)
        inet_ntop(AF_INET, bytes.ptr, dst, 46);
    else if (bytes.len == 16)
        inet_ntop(AF_INET6, bytes.ptr, dst, 46);
}
