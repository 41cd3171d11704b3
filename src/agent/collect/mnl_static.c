/* agent/collect/mnl_static.c - the few functions of libmnl that this agent calls, for the program without shared libraries.
 *
 * Debian has no libmnl.a. Behaviour as in libmnl.h and its manual, for one dump at a time; whoever adds a call of another function is told
 * by the linker. Only in muster-agent-static: everybody else has the library. Messages: RFC 3549 section 2.3. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

struct mnl_socket {
    int fd;
    struct sockaddr_nl addr;
};

struct mnl_socket *mnl_socket_open2(int bus, int flags)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | flags, bus);

    if (fd < 0)
        return NULL;
    struct mnl_socket *nl = xnew0(struct mnl_socket);

    nl->fd = fd;
    return nl;
}

int mnl_socket_bind(struct mnl_socket *nl, unsigned groups, pid_t pid)
{
    socklen_t len = sizeof(nl->addr);

    nl->addr = (struct sockaddr_nl){ .nl_family = AF_NETLINK, .nl_groups = groups, .nl_pid = (uint32_t)pid };
    if (bind(nl->fd, (const struct sockaddr *)&nl->addr, len) < 0)
        return -1;
    return getsockname(nl->fd, (struct sockaddr *)&nl->addr, &len); /* the kernel has chosen the port */
}

int mnl_socket_close(struct mnl_socket *nl)
{
    int r = close(nl->fd);

    free(nl);
    return r;
}

int mnl_socket_get_fd(const struct mnl_socket *nl)
{
    return nl->fd;
}

unsigned mnl_socket_get_portid(const struct mnl_socket *nl)
{
    return nl->addr.nl_pid;
}

ssize_t mnl_socket_sendto(const struct mnl_socket *nl, const void *req, size_t size)
{
    static const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

    return sendto(nl->fd, req, size, 0, (const struct sockaddr *)&kernel, sizeof(kernel));
}

/* A message that does not fit is no message: -1 and ENOSPC. */
ssize_t mnl_socket_recvfrom(const struct mnl_socket *nl, void *buf, size_t size)
{
    struct sockaddr_nl from;
    struct iovec iov = { .iov_base = buf, .iov_len = size };
    struct msghdr msg = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t n = recvmsg(nl->fd, &msg, 0);

    if (n >= 0 && (msg.msg_flags & MSG_TRUNC)) {
        errno = ENOSPC;
        return -1;
    }
    if (n >= 0 && msg.msg_namelen != sizeof(from)) {
        errno = EINVAL;
        return -1;
    }
    return n;
}

size_t mnl_nlmsg_get_payload_len(const struct nlmsghdr *nlh)
{
    return nlh->nlmsg_len - MNL_NLMSG_HDRLEN;
}

void *mnl_nlmsg_get_payload(const struct nlmsghdr *nlh)
{
    return (char *)nlh + MNL_NLMSG_HDRLEN;
}

struct nlmsghdr *mnl_nlmsg_put_header(void *buf)
{
    struct nlmsghdr *nlh = buf;

    *nlh = (struct nlmsghdr){ .nlmsg_len = MNL_NLMSG_HDRLEN };
    return nlh;
}

void *mnl_nlmsg_put_extra_header(struct nlmsghdr *nlh, size_t size)
{
    char *at = (char *)nlh + nlh->nlmsg_len;
    size_t len = MNL_ALIGN(size);

    memset(at, 0, len);
    nlh->nlmsg_len += (uint32_t)len;
    return at;
}

uint16_t mnl_attr_get_type(const struct nlattr *attr)
{
    return (uint16_t)(attr->nla_type & NLA_TYPE_MASK);
}

uint16_t mnl_attr_get_payload_len(const struct nlattr *attr)
{
    return (uint16_t)(attr->nla_len - MNL_ATTR_HDRLEN);
}

void *mnl_attr_get_payload(const struct nlattr *attr)
{
    return (char *)attr + MNL_ATTR_HDRLEN;
}

uint32_t mnl_attr_get_u32(const struct nlattr *attr)
{
    uint32_t v;

    memcpy(&v, mnl_attr_get_payload(attr), sizeof(v));
    return v;
}

/* What the kernel itself says: the end of a dump, or an error, whose errno is to be passed on. Negative with errno: failed. */
static int control(const struct nlmsghdr *nlh)
{
    int code;

    switch (nlh->nlmsg_type) {
    case NLMSG_DONE:
        return MNL_CB_STOP;
    case NLMSG_ERROR:
        if (nlh->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(struct nlmsgerr)) {
            errno = EBADMSG;
            return MNL_CB_ERROR;
        }
        memcpy(&code, mnl_nlmsg_get_payload(nlh), sizeof(code));
        errno = abs(code);
        return code == 0 ? MNL_CB_STOP : MNL_CB_ERROR;
    default: /* NLMSG_NOOP; an overrun shows as ENOBUFS of the socket */
        return MNL_CB_OK;
    }
}

int mnl_cb_run(const void *buf, size_t left, unsigned seq, unsigned port, mnl_cb_t fn, void *data)
{
    int r = MNL_CB_OK;

    for (const char *p = buf; left >= sizeof(struct nlmsghdr) && r > MNL_CB_STOP;) {
        const struct nlmsghdr *nlh = (const struct nlmsghdr *)(const void *)p;

        if (nlh->nlmsg_len < sizeof(*nlh) || nlh->nlmsg_len > left)
            break;
        if (nlh->nlmsg_pid && port && nlh->nlmsg_pid != port) {
            errno = ESRCH;
            return MNL_CB_ERROR;
        }
        if (nlh->nlmsg_seq && seq && nlh->nlmsg_seq != seq) {
            errno = EPROTO;
            return MNL_CB_ERROR;
        }
        if (nlh->nlmsg_flags & NLM_F_DUMP_INTR) { /* the tables changed meanwhile: the dump is not consistent */
            errno = EINTR;
            return MNL_CB_ERROR;
        }
        r = nlh->nlmsg_type >= NLMSG_MIN_TYPE ? fn(nlh, data) : control(nlh);
        size_t step = MNL_ALIGN((size_t)nlh->nlmsg_len);

        if (step >= left)
            break;
        p += step;
        left -= step;
    }
    return r;
}
