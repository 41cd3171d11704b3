/* agent/collect/owners.h - private: which process holds a socket. One walk over /proc for the inodes asked for. */
#ifndef MUSTER_AGENT_COLLECT_OWNERS_H
#define MUSTER_AGENT_COLLECT_OWNERS_H

#include "agent/collect/source.h"

struct owner {
    uint64_t inode;
    uint32_t pid;       /* 0: not found (kernel, another user's, or gone) */
    struct str process; /* comm */
    struct str exe;
};
struct owners {
    struct owner *v;
    size_t n, cap;
    bool is_cut; /* the walk met its cap */
};
/* Asks for an inode (0 and repeats are fine). */
void owners__want(struct owners *o, uint64_t inode);
/* Walks ROOT/proc until all are found. Of several holders the lowest pid: the one that opened it, as a rule. Strings in @a. */
void owners__find(struct owners *o, struct arena *a, const char *root);
/* NULL when it was not asked for. */
const struct owner *owners__of(const struct owners *o, uint64_t inode);
void owners__done(struct owners *o);

#endif
