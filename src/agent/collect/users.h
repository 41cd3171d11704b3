/* agent/collect/users.h - private: parsers of passwd(5) and group(5); ctx = struct collect_out. */
#ifndef MUSTER_AGENT_COLLECT_USERS_H
#define MUSTER_AGENT_COLLECT_USERS_H

#include "agent/collect/source.h"

int users__passwd_line(void *collect_out, struct str line);
int users__group_line(void *collect_out, struct str line);

#endif
