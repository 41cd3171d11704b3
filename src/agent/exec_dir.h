/* agent/exec_dir.h - the directory of one task: STATE/tasks/ID, whose files exec.h lists (shared by the exec_*.c only).
 * Everything is opened below exec->tasks_fd and never through a link. Loop thread of the agent. */
#ifndef MUSTER_AGENT_EXEC_DIR_H
#define MUSTER_AGENT_EXEC_DIR_H

#include "agent/exec_priv.h"

/* Makes the directory of a new task and writes `spec` and, where there is input, `in`; @is_queued: durably. 0 or -errno. */
int task__write(struct task *t, const struct command *cmd, bool is_queued);
/* What a running or queued task needs to go on, from its spec. False: that is missing or broken. */
bool task__reread(struct task *t);
/* Removes the directory of task @id with all we ever put there; none is fine. */
void task__remove_dir(struct exec *x, uint64_t id);

/* Opens @name ("": the directory itself); O_CLOEXEC and O_NOFOLLOW are added, what is created has mode 0600. A descriptor,
 * the caller's, or -errno. */
int task__open(const struct task *t, const char *name, int flags);
/* Replaces the content of @name; @is_durable: fsynced. 0 or -errno. */
int task__write_file(const struct task *t, const char *name, struct str s, bool is_durable);
/* Is there a @name ("": the directory)? errno says why not. */
bool task__has_file(const struct task *t, const char *name);
/* Bytes in @name; 0 when there is none. */
uint64_t task__file_size(const struct task *t, const char *name);
/* The hold's word for the end as ours: t->end and t->message. */
void task__set_end(struct task *t, const struct hold_end *e);
/* Reads `status` into t->end and t->message. False: there is none yet, and both are as they were. */
bool task__read_status(struct task *t);
/* True if a hold has the task's lock. */
bool task__is_locked(struct exec *x, uint64_t id);

#endif
