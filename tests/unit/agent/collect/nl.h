/* tests/unit/agent/collect/nl.h - netlink replies by hand. */
#ifndef TEST_COLLECT_NL_H
#define TEST_COLLECT_NL_H

#include <libmnl/libmnl.h>

struct nl_reply {
    _Alignas(8) char bytes[8192];
    size_t n;
};
/* A new message at the end; attributes may be put until the next. */
static inline struct nlmsghdr *nl_begin(struct nl_reply *r, uint16_t type, const void *head, size_t size)
{
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(r->bytes + r->n);
    nlh->nlmsg_type = type;
    memcpy(mnl_nlmsg_put_extra_header(nlh, size), head, size);
    return nlh;
}
static inline void nl_end(struct nl_reply *r, const struct nlmsghdr *nlh)
{
    r->n += MNL_ALIGN(nlh->nlmsg_len);
}

#endif
