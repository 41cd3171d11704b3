/* agent/collect/services.h - private: the parser of unit files, for tests and fuzzing. */
#ifndef MUSTER_AGENT_COLLECT_SERVICES_H
#define MUSTER_AGENT_COLLECT_SERVICES_H

#include "agent/collect/source.h"

struct unit_file {
    char description[128];
    bool has_install, in_install, in_unit;
};
int unit__line(void *unit_file, struct str line);

#endif
