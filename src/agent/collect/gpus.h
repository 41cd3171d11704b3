/* agent/collect/gpus.h - private: the parser of /proc/driver/nvidia/gpus/SLOT/information. */
#ifndef MUSTER_AGENT_COLLECT_GPUS_H
#define MUSTER_AGENT_COLLECT_GPUS_H

#include "agent/collect/source.h"

struct nvidia_info {
    char model[128], uuid[64], firmware[64];
};
int gpus__nvidia_line(void *nvidia_info, struct str line);

#endif
