/* agent/collect/sockets.h - private: the parser of sock_diag replies, for tests and fuzzing. */
#ifndef MUSTER_AGENT_COLLECT_SOCKETS_H
#define MUSTER_AGENT_COLLECT_SOCKETS_H

#include "agent/collect/netif.h"
#include "agent/collect/owners.h"

struct socket_seen {
    bool is_tcp, is_v6;
    uint8_t state;
    uint16_t port, peer_port;
    uint32_t interface, uid;
    uint64_t inode;
    char address[46], peer[46];
};
struct sockets_ctx {
    bool is_tcp, listening;      /* what is asked for */
    uint16_t ephemeral_lo, ephemeral_hi; /* ports the system hands out; 0, 0: unknown */
    VEC(struct socket_seen) v;
    bool is_cut;
};
int sockets__message(void *ctx, const struct nlmsghdr *nlh);

#endif
