/* agent/collect/logins.h - private: the parser of utmp(5) records, for tests and fuzzing. */
#ifndef MUSTER_AGENT_COLLECT_LOGINS_H
#define MUSTER_AGENT_COLLECT_LOGINS_H

#include "agent/collect/source.h"

/* All whole records in @bytes; those whose process is gone from ROOT/proc are left out. 0 or -ENOBUFS. */
int logins__utmp(struct collect_out *out, const char *root, struct str bytes);

#endif
