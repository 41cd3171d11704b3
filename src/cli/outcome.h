/* cli/outcome.h - what the end of a task and of a job means for a person and for a script. Pure. */
#ifndef MUSTER_CLI_OUTCOME_H
#define MUSTER_CLI_OUTCOME_H

#include "base/buf.h"

struct task_view;

/* Appends how a finished task ended: "exit 2", "killed by signal 9 (SIGKILL)", "timed out", "refused: ...".
 */
void outcome_text(const struct task_view *t, struct buf *out);

enum task_result {
    RESULT_OK,     /* exited 0 */
    RESULT_FAILED, /* anything else that ran, or was refused, or lost */
    RESULT_TIMED_OUT,
    RESULT_UNREACHABLE, /* never delivered: the host was not there */
    RESULT_CANCELLED,
};
/* @gave_up: muster cancelled it because the host did not connect in time. */
enum task_result outcome_result(const struct task_view *t, bool gave_up);
/* Exit code for a task alone: the command's own, 128+n for a signal, 6 for a timeout and for a host that
 * could not be reached, 130 for a cancel by Ctrl-C (@is_interrupted), else 1. */
int outcome_code(const struct task_view *t, bool gave_up, bool is_interrupted);

struct outcome_counts {
    uint32_t ok, failed, timed_out, unreachable, cancelled;
};
void outcome_count(struct outcome_counts *c, enum task_result r);
/* Exit code for several hosts: 0 only if all succeeded, 3 if some did, 6 if none could be reached, 130 if
 * cancelled by Ctrl-C, else 1. */
int outcome_job_code(const struct outcome_counts *c, bool is_interrupted);

#endif
