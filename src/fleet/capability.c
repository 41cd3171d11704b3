/* fleet/capability.c - see capability.h. A new accent is a row here. */
#include "fleet/capability.h"

const struct name capability_names[] = {
    { CAN_COMMAND, "command" }, { CAN_RERUN, "rerun" }, { CAN_STOP, "stop" }, { CAN_PORTS, "ports" }, NAMES_END,
};

static const struct {
    const char *dialect;
    uint32_t can;
} table[] = {
    { "native", CAN_COMMAND | CAN_PORTS },
    { "sigma", CAN_PORTS },
    { "grapheon", 0 },
    { "argus", CAN_RERUN | CAN_STOP },
};

uint32_t capabilities_of(struct str dialect)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (str_is(dialect, table[i].dialect))
            return table[i].can;
    return 0;
}

enum capability capability_for(enum job_kind kind)
{
    switch (kind) {
    case JOB_KIND_RERUN:
        return CAN_RERUN;
    case JOB_KIND_STOP:
        return CAN_STOP;
    case JOB_KIND_COMMAND:
        break;
    }
    return CAN_COMMAND;
}
