/* agent/collect/netif.h - private: names of interfaces by number, for addresses, neighbours, routes and sockets. */
#ifndef MUSTER_AGENT_COLLECT_NETIF_H
#define MUSTER_AGENT_COLLECT_NETIF_H

#include "agent/collect/source.h"
#include "base/vec.h"

struct ifname {
    uint32_t index;
    char name[16];
};
struct ifnames {
    struct ifname *v;
    size_t n, cap;
};
/* Fills @ret from one dump. 0 or -errno. */
int ifnames__read(const char *root, struct ifnames *ret);
void ifnames__done(struct ifnames *names);
/* "eth0", or "if7" for one that is not in the list. @dst has 16 bytes. */
void ifnames__of(const struct ifnames *names, uint32_t index, char dst[16]);

/* The parsers, for tests and fuzzing: one message each, ctx = struct netif_ctx. */
struct netif_ctx {
    struct collect_out *out;
    const char *root;
    struct ifnames names;
};
int interfaces__message(void *ctx, const struct nlmsghdr *nlh);
int addresses__message(void *ctx, const struct nlmsghdr *nlh);
int neighbours__message(void *ctx, const struct nlmsghdr *nlh);
int routes__message(void *ctx, const struct nlmsghdr *nlh);

#endif
