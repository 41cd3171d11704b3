/* agent/exec_priv.h - shared by exec.c (the list, the queue, the callbacks), exec_task.c (one task), exec_dir.c (its files) and
 * exec_hold.c (the hold it gets). */
#ifndef MUSTER_AGENT_EXEC_PRIV_H
#define MUSTER_AGENT_EXEC_PRIV_H

#include <sys/types.h>

#include "agent/exec.h"
#include "agent/ledger.h"
#include "base/vec.h"
#include "hold/proto.h"
#include "hold/spec.h"

enum task_phase { TASK_DONE, TASK_QUEUED, TASK_RUNNING };

struct task {
    struct exec *exec;
    uint64_t id, order;           /* @order: first come, first served */
    enum task_phase phase;
    usec_t start_before;          /* clock_mono(), 0: none */
    bool is_cancel_due;           /* the hold could not be told yet */
    usec_t cancel_grace;
    uint64_t in_given, in_size;   /* of `in`: with the command; now */
    bool takes_input, is_in_whole, has_dir, is_of_this_boot;
    bool forget_at_end;
    /* what to tell, see exec__dispatch() */
    bool tell_started, tell_output, tell_finished;

    int conn;                     /* to the hold, -1 */
    struct watch *watch;
    pid_t hold_pid;
    struct hold_state state;      /* newest from the hold */
    struct task_end end;          /* when TASK_DONE; its message is @message */
    char *message;
};

/* A hold that was born and has no task yet. */
struct hold_conn {
    int sock;
    pid_t pid;
};

struct exec {
    struct loop *loop;
    struct exec_conf conf;
    struct exec_ops ops;
    char *hold_path;
    char *own_user, *own_env[4];   /* name; HOME=, USER=, LOGNAME=, SHELL= */
    int tasks_fd;
    struct ledger *ledger;
    VEC(struct task *) tasks;     /* ascending by id */
    VEC(pid_t) dying;             /* holds that are done but not yet reaped */
    uint64_t next_order;
    uint64_t boot;                /* a number for this boot of the host */
    uint32_t n_running, n_queued;
    struct timer *soon;           /* dispatch */
    struct timer *later;          /* reap, and holds that cannot be reached by socket */
    struct hold_conn spare;       /* a hold that waits for a task; sock -1: none */
    struct timer *spare_timer;    /* makes the next one, later lets it go */
    bool is_spare_idle;           /* the timer is the one that lets it go */
};

/* -- exec_task.c */
struct task *task__new(struct exec *x, uint64_t id);
void task__free(struct task *t);
/* Starts its hold; the ledger already says STARTED. The failure of this is the task's end (REFUSED). */
void task__spawn(struct task *t);
/* Meets a task from before: finds out which phase it is in. */
void task__adopt(struct task *t, enum ledger_state noted);
/* Asks a hold that cannot be reached by socket whether it still lives. */
void task__probe(struct task *t);
/* The end as we say it (refused, cancelled in the queue, lost): kept in `status` where there is a directory. */
void task__end(struct task *t, enum task_outcome outcome, const char *message);
int task__send(struct task *t, uint32_t kind, uint64_t a, uint64_t b);
int64_t task__input(struct task *t, uint64_t offset, struct str data, bool eof);

/* -- exec.c */
void exec__changed(struct exec *x);          /* something is to be told, in the next turn */
void exec__dispatch(struct exec *x);         /* tells now: only from the loop */
void exec__ended(struct task *t);            /* bookkeeping at TASK_DONE */
void exec__reap_later(struct exec *x, pid_t pid);
void exec__probe_later(struct exec *x);
void exec__spare_used(struct exec *x);

#endif
