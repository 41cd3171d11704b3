/* cli/tail.h - a log that grows (events, audit): the last rows, then the new ones as they come. */
#ifndef MUSTER_CLI_TAIL_H
#define MUSTER_CLI_TAIL_H

#include "cli/views.h"

struct tail {
    const char *target; /* with its filters, without limit */
    const char *key;    /* of the list */
    const struct record *rec;
    const char *none;
    uint32_t limit; /* of the last rows */
    bool follow;
    /* Appends one row as a line for people. */
    void (*line)(const struct cli *cli, const void *obj, struct buf *out);
};
/* Exit code. With follow: runs until Ctrl-C (0) or the server is gone for two minutes. */
int tail_run(struct cli *cli, const struct tail *t);

#endif
