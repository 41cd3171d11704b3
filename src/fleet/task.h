/* fleet/task.h - one host's share of a job, as a transition table. Pure. */
#ifndef MUSTER_FLEET_TASK_H
#define MUSTER_FLEET_TASK_H

#include "base/clock.h"
#include "base/err.h"
#include "base/names.h"
#include "wire/command.h"

enum task_state {
    TASK_QUEUED = 1, /* wanted; not (known to be) with the agent */
    TASK_OFFERED,    /* sent down a link; the agent has not said it has it */
    TASK_ACCEPTED,   /* on the agent's disk */
    TASK_RUNNING,
    TASK_DONE,       /* ended; the outcome says how */
};
extern const struct name task_state_names[]; /* queued offered accepted running done */

enum task_input {
    TASK_IN_OFFER,       /* we send it */
    TASK_IN_ACCEPTED,    /* agent: intent recorded */
    TASK_IN_STARTED,     /* agent: spawned */
    TASK_IN_FINISHED,    /* agent: end, with an outcome */
    TASK_IN_LINK_LOST,   /* the link broke before acceptance was heard */
    TASK_IN_UNKNOWN,     /* agent came back and does not know it */
    TASK_IN_CANCEL,      /* an operator wants it to end */
    TASK_IN_DEADLINE,    /* the job's deadline passed */
    TASK_IN_HOST_GONE,   /* host revoked or forgotten */
    TASK_IN_N,
};
/* What the caller must do besides recording the new state. */
enum task_action { TASK_ACT_NONE, TASK_ACT_SEND_OFFER, TASK_ACT_SEND_CANCEL, TASK_ACT_IGNORE };

struct task_step {
    enum task_state to;
    enum task_action action;
    enum task_outcome outcome; /* forced outcome when it ends here without the agent's word; OUTCOME_NONE: as reported */
    bool legal;                /* false: a forbidden move; the caller answers with a protocol error */
};
/* The table. Repeats of what is already true are legal and IGNORE (messages are sent again after a break). An offered task
 * the agent does not know goes back to QUEUED; an accepted or running one that it does not know is DONE/LOST. Cancel of
 * a queued task is DONE/CANCELLED at once, of an accepted or running one SEND_CANCEL and stays; of an offered one SEND_CANCEL
 * and stays (it may have it). Deadline ends only QUEUED (EXPIRED) and OFFERED->QUEUED ones; a running task has its timeout.
 * A host that is gone ends QUEUED as CANCELLED and what may have run as LOST. A task that is DONE here and is heard of as accepted
 * or started answers SEND_CANCEL (we ended it while the agent had it). Only an OFFER of what the agent has, or of a DONE one,
 * is forbidden; so are values outside the enums. */
struct task_step task_step(enum task_state from, enum task_input in);

/* Did the command succeed: exited with 0. */
bool task_is_success(enum task_outcome o, int32_t exit_code);
/* Did it exit by itself, so that @exit_code is its own? A command that was cancelled or timed out may have, too: on SIGTERM, in its grace.
 * Below 0: whoever told the end does not know. */
bool task_has_exit_code(enum task_outcome o, int32_t exit_code, int32_t signal, bool has_started);
/* The shell's number: exit code; 128+n by signal; 124 timed out; 125 refused, lost, expired; 130 cancelled. */
int32_t task_shell_code(enum task_outcome o, int32_t exit_code, int32_t signal);
/* "exited 3", "killed by SIGKILL", "timed out", ... for people. @dst >= 64. */
void task_outcome_text(enum task_outcome o, int32_t exit_code, int32_t signal, char *dst);

/* A job's state from its tasks' counts. */
enum job_state { JOB_RUNNING = 1, JOB_SUCCEEDED, JOB_FAILED, JOB_PARTIAL, JOB_CANCELLED };
extern const struct name job_state_names[];
struct job_counts {
    uint32_t total, queued, offered, accepted, running, succeeded, failed, cancelled, expired, lost;
};
enum job_state job_state_of(const struct job_counts *c, bool cancel_requested);
/* Moves one task's worth between counters; @from 0: a new task (total grows). From DONE nothing moves. */
void job_count_move(struct job_counts *c, enum task_state from, enum task_state to, enum task_outcome o, int32_t exit_code);

#endif
