/* cli/pump.h - carries our standard input to a running job, in order, one piece at a time. Loop thread. */
#ifndef MUSTER_CLI_PUMP_H
#define MUSTER_CLI_PUMP_H

#include "cli/api.h"

enum {
    PUMP_PIECE = 32 << 10,   /* bytes of one request */
    PUMP_INLINE = 256 << 10, /* input this small and already complete goes along with the job */
};

/* Reads @fd into @ret while bytes are there, at most its maximum; waits at most @wait_ms for the next ones.
 * Returns 1 at the end of the input, 0 if more may come, or -errno. */
int pump_read_ahead(int fd, int wait_ms, struct buf *ret);

struct pump;
/* Sends @first (taken over), then what @fd still gives, then the end. Starts with pump_start(). */
struct pump *pump_new(struct cli *cli, int fd, struct buf *first);
void pump_start(struct pump *p, uint64_t job_id);
void pump_free(struct pump *p);
DEFINE_AUTO(struct pump *, pump_free)

#endif
