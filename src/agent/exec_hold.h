/* agent/exec_hold.h - muster-hold processes that are being born: started, kept spare, given their task (shared by the
 * exec_*.c only). Loop thread of the agent. */
#ifndef MUSTER_AGENT_EXEC_HOLD_H
#define MUSTER_AGENT_EXEC_HOLD_H

#include "agent/exec_priv.h"

/* Starts @path, which waits for its task. 0 and *@ret: its socket is the caller's, its pid is to be reaped; or -errno. */
int hold_conn_start(const char *path, struct hold_conn *ret);
/* Hands task @id over, with its directory and its lock (both stay the caller's too). 0 or -errno: it is gone. */
int hold_conn_go(const struct hold_conn *c, uint64_t id, int dir, int lock);

/* Makes sure that a spare one is there or starting: called before the intent is made durable, so that both happen at once.
 * A failure is silent: the task that needs one will say why. */
void exec__warm(struct exec *x);
/* Lets the spare go, if there is one. */
void exec__retire(struct exec *x);

#endif
