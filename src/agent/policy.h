/* agent/policy.h - what this host allows, whatever the server asks: a small YAML file that only root writes.
 *
 *   run: on                 # commands at all
 *   users: [deploy, www]    # as whom; absent: any the agent may become
 *   roles: [inventory, command, metrics]   # absent: all
 */
#ifndef MUSTER_AGENT_POLICY_H
#define MUSTER_AGENT_POLICY_H

#include <stdbool.h>

#include "base/auto.h"
#include "base/err.h"

/* What is said of a role that it does not allow. */
#define POLICY_OFF "switched off by the policy of this host"

struct policy {
    bool run;
    char **users, **roles; /* NULL-terminated; NULL: all */
};

/* Reads @path. A missing file is the default (everything) unless @must_exist. Refused: unknown keys, wrong types ("policy.bad"), a
 * file that somebody other than root or we can write ("policy.writable"). 0 or -errno and @err, and *@ret is untouched. */
int policy_read(const char *path, bool must_exist, struct policy *ret, struct err *err);
void policy_done(struct policy *p);
DEFINE_AUTO_VALUE(struct policy, policy_done)
/* "roles" names it, or is absent; and the role command needs "run" on, too. */
bool policy_allows_role(const struct policy *p, const char *name);

#endif
