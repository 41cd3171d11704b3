/* fleet/task.c - see task.h.
 *
 *            offer            accepted           started           finished
 *   QUEUED --------> OFFERED ---------> ACCEPTED --------> RUNNING --------> DONE
 *      ^  link lost,    |                  |  agent does not    |               ^
 *      +-- unknown -----+                  +-- know it: lost ---+---------------+
 *
 * An agent's word always moves a task forward, from wherever we believed it was: an offer whose link broke
 * may well have arrived, so even a queued task can be heard of as running. */
#include "fleet/task.h"

#include <assert.h>
#include <signal.h>

const struct name task_state_names[] = {
    { TASK_QUEUED, "queued" },   { TASK_OFFERED, "offered" }, { TASK_ACCEPTED, "accepted" },
    { TASK_RUNNING, "running" }, { TASK_DONE, "done" },       NAMES_END,
};

const struct name job_state_names[] = {
    { JOB_RUNNING, "running" }, { JOB_SUCCEEDED, "succeeded" }, { JOB_FAILED, "failed" },
    { JOB_PARTIAL, "partial" }, { JOB_CANCELLED, "cancelled" }, NAMES_END,
};

#define GO(to_)                                                                                              \
    {                                                                                                        \
        TASK_##to_, TASK_ACT_NONE, OUTCOME_NONE, true                                                        \
    }
#define SAME(at_)                                                                                            \
    {                                                                                                        \
        TASK_##at_, TASK_ACT_IGNORE, OUTCOME_NONE, true                                                      \
    }
#define SEND(at_, what)                                                                                      \
    {                                                                                                        \
        TASK_##at_, TASK_ACT_SEND_##what, OUTCOME_NONE, true                                                 \
    }
#define END(how)                                                                                             \
    {                                                                                                        \
        TASK_DONE, TASK_ACT_NONE, OUTCOME_##how, true                                                        \
    }
#define NEVER(at_)                                                                                           \
    {                                                                                                        \
        TASK_##at_, TASK_ACT_NONE, OUTCOME_NONE, false                                                       \
    }

static const struct task_step table[TASK_DONE + 1][TASK_IN_N] = {
    [TASK_QUEUED] = {
        [TASK_IN_OFFER] = SEND(OFFERED, OFFER),
        [TASK_IN_ACCEPTED] = GO(ACCEPTED),
        [TASK_IN_STARTED] = GO(RUNNING),
        [TASK_IN_FINISHED] = GO(DONE),
        [TASK_IN_LINK_LOST] = SAME(QUEUED),
        [TASK_IN_UNKNOWN] = SAME(QUEUED),
        [TASK_IN_CANCEL] = END(CANCELLED),
        [TASK_IN_DEADLINE] = END(EXPIRED),
        [TASK_IN_HOST_GONE] = END(CANCELLED), /* it never ran */
    },
    [TASK_OFFERED] = {
        [TASK_IN_OFFER] = SAME(OFFERED),
        [TASK_IN_ACCEPTED] = GO(ACCEPTED),
        [TASK_IN_STARTED] = GO(RUNNING),
        [TASK_IN_FINISHED] = GO(DONE),
        [TASK_IN_LINK_LOST] = GO(QUEUED),
        [TASK_IN_UNKNOWN] = GO(QUEUED),
        [TASK_IN_CANCEL] = SEND(OFFERED, CANCEL),
        [TASK_IN_DEADLINE] = SAME(OFFERED), /* the agent refuses what it would start too late */
        [TASK_IN_HOST_GONE] = END(LOST),
    },
    [TASK_ACCEPTED] = {
        [TASK_IN_OFFER] = NEVER(ACCEPTED),
        [TASK_IN_ACCEPTED] = SAME(ACCEPTED),
        [TASK_IN_STARTED] = GO(RUNNING),
        [TASK_IN_FINISHED] = GO(DONE),
        [TASK_IN_LINK_LOST] = SAME(ACCEPTED),
        [TASK_IN_UNKNOWN] = END(LOST),
        [TASK_IN_CANCEL] = SEND(ACCEPTED, CANCEL),
        [TASK_IN_DEADLINE] = SAME(ACCEPTED),
        [TASK_IN_HOST_GONE] = END(LOST),
    },
    [TASK_RUNNING] = {
        [TASK_IN_OFFER] = NEVER(RUNNING),
        [TASK_IN_ACCEPTED] = SAME(RUNNING),
        [TASK_IN_STARTED] = SAME(RUNNING),
        [TASK_IN_FINISHED] = GO(DONE),
        [TASK_IN_LINK_LOST] = SAME(RUNNING),
        [TASK_IN_UNKNOWN] = END(LOST),
        [TASK_IN_CANCEL] = SEND(RUNNING, CANCEL),
        [TASK_IN_DEADLINE] = SAME(RUNNING),
        [TASK_IN_HOST_GONE] = END(LOST),
    },
    [TASK_DONE] = {
        [TASK_IN_OFFER] = NEVER(DONE),
        /* Ended here (cancelled, expired while we thought it was queued) and yet alive there: it must not go on. To an
         * agent that has forgotten it the cancel means nothing. */
        [TASK_IN_ACCEPTED] = SEND(DONE, CANCEL),
        [TASK_IN_STARTED] = SEND(DONE, CANCEL),
        [TASK_IN_FINISHED] = SAME(DONE),
        [TASK_IN_LINK_LOST] = SAME(DONE),
        [TASK_IN_UNKNOWN] = SAME(DONE),
        [TASK_IN_CANCEL] = SAME(DONE),
        [TASK_IN_DEADLINE] = SAME(DONE),
        [TASK_IN_HOST_GONE] = SAME(DONE),
    },
};

struct task_step task_step(enum task_state from, enum task_input in)
{
    if (from < TASK_QUEUED || from > TASK_DONE || (unsigned)in >= TASK_IN_N)
        return (struct task_step){ .to = from };
    return table[from][in];
}

bool task_is_success(enum task_outcome o, int32_t exit_code)
{
    return o == OUTCOME_EXITED && exit_code == 0;
}

bool task_has_exit_code(enum task_outcome o, int32_t exit_code, int32_t signal, bool has_started)
{
    bool was_stopped = o == OUTCOME_CANCELLED || o == OUTCOME_TIMED_OUT;
    return o == OUTCOME_EXITED || (was_stopped && has_started && signal == 0 && exit_code >= 0);
}

int32_t task_shell_code(enum task_outcome o, int32_t exit_code, int32_t signal)
{
    switch (o) {
    case OUTCOME_EXITED:
        return exit_code;
    case OUTCOME_SIGNALED:
        return 128 + signal;
    case OUTCOME_TIMED_OUT:
        return 124;
    case OUTCOME_CANCELLED:
        return 130;
    case OUTCOME_NONE:
    case OUTCOME_REFUSED:
    case OUTCOME_LOST:
    case OUTCOME_EXPIRED:
        break;
    }
    return 125;
}

void task_outcome_text(enum task_outcome o, int32_t exit_code, int32_t signal, char *dst)
{
    enum { SIZE = 64 };
    const char *text = "not finished", *name;

    switch (o) {
    case OUTCOME_NONE:
        break;
    case OUTCOME_EXITED:
        snprintf(dst, SIZE, "exited %d", exit_code);
        return;
    case OUTCOME_SIGNALED:
        name = sigabbrev_np(signal);
        if (name)
            snprintf(dst, SIZE, "killed by SIG%s", name);
        else
            snprintf(dst, SIZE, "killed by signal %d", signal);
        return;
    case OUTCOME_TIMED_OUT:
        text = "timed out";
        break;
    case OUTCOME_CANCELLED:
        text = "cancelled";
        break;
    case OUTCOME_REFUSED:
        text = "refused by the host";
        break;
    case OUTCOME_LOST:
        text = "lost: the host cannot say what became of it";
        break;
    case OUTCOME_EXPIRED:
        text = "expired: never reached the host in time";
        break;
    }
    snprintf(dst, SIZE, "%s", text);
}

enum job_state job_state_of(const struct job_counts *c, bool cancel_requested)
{
    if (c->queued + c->offered + c->accepted + c->running > 0)
        return JOB_RUNNING;
    if (c->succeeded == c->total)
        return JOB_SUCCEEDED;
    if (c->cancelled == c->total || (cancel_requested && c->cancelled > 0)) /* all of them: some accents stop a task, not its job */
        return JOB_CANCELLED;
    return c->succeeded > 0 ? JOB_PARTIAL : JOB_FAILED;
}

static uint32_t *counter(struct job_counts *c, enum task_state s, enum task_outcome o, int32_t exit_code)
{
    switch (s) {
    case TASK_QUEUED:
        return &c->queued;
    case TASK_OFFERED:
        return &c->offered;
    case TASK_ACCEPTED:
        return &c->accepted;
    case TASK_RUNNING:
        return &c->running;
    case TASK_DONE:
        break;
    }
    switch (o) {
    case OUTCOME_CANCELLED:
        return &c->cancelled;
    case OUTCOME_EXPIRED:
        return &c->expired;
    case OUTCOME_LOST:
        return &c->lost;
    case OUTCOME_NONE:
    case OUTCOME_EXITED:
    case OUTCOME_SIGNALED:
    case OUTCOME_TIMED_OUT:
    case OUTCOME_REFUSED:
        break;
    }
    return task_is_success(o, exit_code) ? &c->succeeded : &c->failed;
}

void job_count_move(struct job_counts *c, enum task_state from, enum task_state to, enum task_outcome o,
                    int32_t exit_code)
{
    if (from == to || from == TASK_DONE)
        return;
    if (from) {
        uint32_t *old = counter(c, from, OUTCOME_NONE, 0);
        assert(*old > 0);
        (*old)--;
    } else {
        c->total++;
    }
    (*counter(c, to, o, exit_code))++;
}
