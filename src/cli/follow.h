/* cli/follow.h - watches a job to its end and shows its output as it comes: behind `muster run` and `muster
 * job`.
 *
 * One host: its bytes, raw. Several: whole lines as "host | line", each host in its own colour on a terminal,
 * a progress bar on standard error, and a list of what failed at the end. After a break the server shows
 * stored output again and what was already shown is skipped by its offset. Loop thread. */
#ifndef MUSTER_CLI_FOLLOW_H
#define MUSTER_CLI_FOLLOW_H

#include "cli/api.h"

struct follow_conf {
    struct str body; /* of POST /jobs; empty: follow job @job_id that exists */
    uint64_t job_id;
    bool live;         /* wait for the end; else only what is stored */
    bool quiet_output; /* progress and results only */
    bool may_give_up;  /* cancel what has not been delivered @offline_wait after the start */
    usec_t offline_wait;
    bool
        cancel_on_interrupt; /* Ctrl-C: the first cancels the job, the second leaves; else the first leaves */
    /* Once, when the job's number is known; may be NULL. */
    void (*created)(void *ctx, uint64_t job_id);
    void *ctx;
};
/* Runs the loop until the job has ended (or the interest in it). Returns the exit code (outcome.h); cli->err
 * is set only when the watching itself failed. */
int follow_job(struct cli *cli, const struct follow_conf *conf);

#endif
