/* fleet/role_health.h - how the roles of an agent are, as it last said: a line of text a role, so that hosts that say alike can share one
 * copy. Pure.
 *
 * A line (all together LIMIT_ROLE_HEALTH_BYTES): name 0x1f status 0x1f message '\n', where status is a digit, enum section_status. */
#ifndef MUSTER_FLEET_ROLE_HEALTH_H
#define MUSTER_FLEET_ROLE_HEALTH_H

#include "base/buf.h"
#include "wire/facts.h"

struct role_health {
    struct str name;
    enum section_status status;
    struct str message; /* why it is not ok; may be empty */
};
/* Appends a line for @r. 0; or with @out as before -EINVAL (no name, no status, a control character), -ENOBUFS (it is full). */
int role_health_add(struct buf *out, const struct role_health *r);
/* Takes the first line off @rest: 1 and *@ret, which borrows from it; 0 at the end, or when what is left is no such line. */
int role_health_next(struct str *rest, struct role_health *ret);

#endif
