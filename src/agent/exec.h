/* agent/exec.h - starts muster-hold, one process per command, and follows it.
 *
 * A task is a directory under STATE/tasks/<task id>/ :
 *   spec      what to do
 *   in        its input so far; `in.eof` when that is all
 *   lock      flock()ed by the agent before the spawn and by the hold as long as it lives
 *   started   pid and start time of the child (made by the hold before, filled right after the spawn)
 *   out, err  output so far (raw bytes, up to the cap)
 *   status    outcome, written once and fsynced by the hold at the end
 *   sock      unix socket (SOCK_SEQPACKET) the hold serves: see hold/proto.h
 * The intent is a slot in STATE/tasks/ledger (agent/ledger.h), durable before anything is spawned: a task in the book as started
 * with no lock holder and no status was lost (unless the lock was never made, in the same boot: then no hold was told of it), one that is there as forgotten is never run again, whatever the server repeats.
 * A task that only waits in the queue has its spec fsynced too and is queued again after a restart. Directories go when the
 * server has committed their end. Loop thread of the agent. */
#ifndef MUSTER_AGENT_EXEC_H
#define MUSTER_AGENT_EXEC_H

#include "base/err.h"
#include "net/loop.h"
#include "wire/command.h"

struct exec;

struct exec_conf {
    const char *state_dir;       /* tasks live in state_dir/tasks */
    const char *hold_path;       /* muster-hold */
    uint32_t max_running;        /* others wait in the queue, first come first served */
    bool allow_run;              /* local policy: on or off */
    const char *const *allow_users; /* NULL-terminated; NULL: any the agent may become */
};
struct exec_ops {
    void (*accepted)(void *ctx, uint64_t task_id);              /* intent is on disk */
    void (*started)(void *ctx, uint64_t task_id, uint32_t pid, usec_t at);
    void (*output)(void *ctx, uint64_t task_id);                /* there is more to read with exec_read() */
    void (*finished)(void *ctx, const struct task_end *end);    /* also for refused and lost */
    void *ctx;
};

/* Opens the directory, re-adopts what is there (callbacks come later from the loop). */
int exec_open(struct loop *l, const struct exec_conf *conf, const struct exec_ops *ops, struct exec **ret, struct err *err);
/* Forgets; the holds live on. */
void exec_free(struct exec *x);
DEFINE_AUTO(struct exec *, exec_free)
void exec_set_max_running(struct exec *x, uint32_t n);
/* The local policy, read anew. @allow_users as in the configuration: lent until the next call. */
void exec_set_policy(struct exec *x, bool allow_run, const char *const *allow_users);
/* A command. A known task id is ignored (0). Refusals arrive as finished(OUTCOME_REFUSED). -errno only when the intent could not be
 * written (disk full): then finished(REFUSED, message) follows too. @start_within: refused when it cannot be started in that time, 0:
 * whenever; the clock may be set meanwhile. @cmd->start_before is not looked at: it is of the server's clock. */
int exec_offer(struct exec *x, const struct command *cmd, usec_t start_within);
void exec_cancel(struct exec *x, uint64_t task_id, usec_t grace);
/* Contiguous input, counted from 0 behind what came with the command; repeats below the accepted offset are dropped, a gap and
 * what is over EXEC_INPUT_MAX bytes too. Returns bytes accepted so far, -ENOENT, -EPIPE (the task takes no input) or -errno. */
enum { EXEC_INPUT_MAX = 256 << 20, EXEC_QUEUE_MAX = 1000 };
int64_t exec_input(struct exec *x, uint64_t task_id, uint64_t offset, struct str data, bool eof);
/* Reads output at @offset into @p: bytes read (0: none yet), -ENOENT. */
int64_t exec_read(struct exec *x, uint64_t task_id, enum output_stream st, uint64_t offset, void *p, size_t n);
struct exec_task {
    uint64_t task_id;
    bool finished;
    uint64_t stdout_bytes, stderr_bytes; /* available to read */
    struct task_end end;                 /* when finished */
};
/* Visits every task still known, in id order. */
void exec_list(struct exec *x, void (*fn)(void *ctx, const struct exec_task *t), void *ctx);
/* The server has its end: removes the directory, once the task has ended. */
void exec_forget(struct exec *x, uint64_t task_id);
void exec_count(const struct exec *x, uint32_t *ret_running, uint32_t *ret_queued);

#endif
