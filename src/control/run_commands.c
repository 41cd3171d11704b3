/* control/run_commands.c - what agents are told to do with runs: a job of the fleet each, fetched, acknowledged, ended. Loop thread.
 *
 *   waiting ──an agent registers──▸ pending ──ack──▸ started ──exit──▸ exited
 *      └────────── 24 h ──▸ cancelled ◂── cancel ┘  └ refused ▸ failed
 *
 * The task of the job and the command move together: what happens here ends the task, what happens to the task (an operator's
 * cancel, its deadline, its host forgotten) comes back through run__task_changed(). One exception: a rerun that is cancelled once its agent
 * has fetched it may run all the same, and its task stays open until somebody knows (is_awaited()). */
#include <inttypes.h>

#include "base/text.h"

#include "control/run_priv.h"

enum { EXIT_GRACE_US = 2 * 60 * 1000 * 1000, TAIL_KEPT = 4096 };

/* -- rows and indexes */
void run__command_put(struct control *c, const struct run_command *cmd)
{
    store_put_object(c->store, OBJECT_RUN_COMMAND, cmd->id, cmd->run->id, &run_command_record, &cmd->row);
}

/* A rerun whose end is still to come. One that was cancelled after its agent had fetched it may have begun all the same: how it ended is
 * the agent's to say. */
static bool is_awaited(struct control *c, const struct run_command *cmd)
{
    const struct task *t = cmd->row.kind == RUN_COMMAND_RERUN ? task__find(c, cmd->row.task_id) : NULL;
    if (cmd->row.state == RUN_COMMAND_CANCELLED)
        return t && t->state != TASK_DONE;
    return cmd->row.kind == RUN_COMMAND_RERUN && cmd->row.state == RUN_COMMAND_STARTED;
}

static void index_task(struct control *c, struct run_command *cmd)
{
    struct run_book *b = run__book(c);
    run_command_uuid(session_key(c), cmd->row.task_id, cmd->uuid);
    HASH_ADD_KEYPTR(hh_uuid, b->by_uuid, cmd->uuid, UUID_TEXT_LEN, cmd);
    HASH_ADD(hh_task, b->by_task, row.task_id, sizeof(cmd->row.task_id), cmd);
}

static void unindex_task(struct control *c, struct run_command *cmd)
{
    struct run_book *b = run__book(c);
    if (!cmd->uuid[0])
        return;
    HASH_DELETE(hh_uuid, b->by_uuid, cmd);
    HASH_DELETE(hh_task, b->by_task, cmd);
    cmd->uuid[0] = '\0';
}

bool run__command_is_closed(struct control *c, const struct run_command *cmd)
{
    if (is_awaited(c, cmd))
        return false;
    if (cmd->row.state == RUN_COMMAND_STARTED) /* of a stop nothing more is heard: the signal is sent */
        return cmd->row.kind == RUN_COMMAND_STOP;
    return cmd->row.state == RUN_COMMAND_FAILED || cmd->row.state == RUN_COMMAND_CANCELLED || cmd->row.state == RUN_COMMAND_EXITED;
}

void run__command_drop(struct control *c, struct run_command *cmd)
{
    unindex_task(c, cmd);
    DL_DELETE(cmd->run->commands, cmd);
    cmd->run->n_commands--;
    run__drop(&run_command_record, &cmd->row);
    free(cmd);
}

static struct run_command *file(struct run *r, uint64_t id, const struct run_command_row *row)
{
    struct run_command *cmd = xnew0(struct run_command);
    cmd->id = id;
    cmd->run = r;
    cmd->row = *row;
    run__own(&run_command_record, &cmd->row);
    DL_APPEND(r->commands, cmd);
    r->n_commands++;
    return cmd;
}

struct run_command *run__command_new(struct control *c, struct run *r, enum run_command_kind kind, const char *by)
{
    struct run_command *old, *next;
    DL_FOREACH_SAFE(r->commands, old, next)
    if (r->n_commands >= RUN_COMMANDS_KEPT && run__command_is_closed(c, old)) {
        store_del_object(c->store, OBJECT_RUN_COMMAND, old->id);
        run__command_drop(c, old);
    }
    const struct run_command_row row = {
        .kind = kind, .state = RUN_COMMAND_WAITING, .run_id = r->id, .requested_by = str_of(by), .created_at = control__wall(c)
    };
    return file(r, object__next(c, OBJECT_RUN_COMMAND), &row);
}

struct run_command *run__command_newest(const struct run *r, enum run_command_kind kind)
{
    struct run_command *cmd, *found = NULL;
    DL_FOREACH(r->commands, cmd)
    if (cmd->row.kind == kind)
        found = cmd;
    return found;
}

struct run_command *run__command_open(const struct run *r, enum run_command_kind kind)
{
    struct run_command *cmd, *found = NULL;
    DL_FOREACH(r->commands, cmd)
    if (cmd->row.kind == kind && (cmd->row.state == RUN_COMMAND_WAITING || cmd->row.state == RUN_COMMAND_PENDING))
        found = cmd;
    return found;
}

struct str run__command_text(const struct run *r)
{
    return r->snapshot && r->snapshot->row.command.len ? r->snapshot->row.command : r->row.command;
}

static void load_one(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    struct control *c = ctx;
    struct run *r = run__by_id(c, parent);
    if (!r)
        return;
    struct run_command *cmd = file(r, id, obj);
    cmd->is_delivered = true; /* for all we know */
    if (cmd->row.task_id)
        index_task(c, cmd);
}

int run__load_commands(struct control *c, struct err *err)
{
    return store_load_objects(c->store, OBJECT_RUN_COMMAND, &run_command_record, load_one, c, err);
}

/* -- as a job of the fleet */
static void on_job(void *ctx, int result, const struct err *err, const struct job_row *job, bool is_repeat)
{
    (void)ctx;
    (void)job;
    (void)is_repeat;
    if (result < 0)
        log_warn("run.command", "a command did not become a job", LOG_ERR(err));
}

int run__command_send(struct control *c, struct run_command *cmd, struct run_agent *a, const struct principal *p, struct err *err)
{
    const struct host *h = host__by_id(c, a->row.host_id);
    struct principal who = *p;
    uint64_t job_id = c->next.job;
    struct str uuid = str_of(h ? h->uuid : NULL);
    const struct job_wish w = {
        .kind = cmd->row.kind == RUN_COMMAND_RERUN ? JOB_KIND_RERUN : JOB_KIND_STOP,
        .subject = cmd->run->row.batch_id,
        .hosts = { &uuid, 1 },
        .deadline = RUN_DELIVER_WITHIN,
    };
    if (!h)
        return err_set(err, -ENOENT, "run.no_agent", "the agent's host is gone");
    if (who.role < ROLE_OPERATOR) /* who may touch this run was decided before: its owner's rule, not the fleet's roles */
        who.role = ROLE_OPERATOR;
    job_create(c, &who, &w, on_job, NULL);
    const struct job *j = c->next.job > job_id ? job__find(c, job_id) : NULL;
    if (!j)
        return err_set(err, -EBUSY, "server.overloaded", "the command could not be queued: too much is open");
    cmd->row.state = RUN_COMMAND_PENDING;
    cmd->row.host_id = h->id;
    cmd->row.agent_id = a->id;
    cmd->row.job_id = j->id;
    cmd->row.task_id = j->tasks[0].id;
    cmd->is_delivered = false;
    index_task(c, cmd);
    run__command_put(c, cmd); /* in the job's unit: both or neither */
    run__wake(c, a->id);
    return 0;
}

void run__deliver_waiting(struct control *c, struct run_agent *a)
{
    struct run *r;
    struct err err = { 0 };
    DL_FOREACH(run__book(c)->all, r)
    {
        struct run_command *cmd = run__command_open(r, RUN_COMMAND_RERUN);
        if (!cmd || cmd->row.state != RUN_COMMAND_WAITING || run__route(c, r, RUN_COMMAND_RERUN) != a)
            continue;
        struct principal p = { .kind = PRINCIPAL_KEY, .role = ROLE_OPERATOR, .user_id = r->row.owner_id };
        snprintf(p.name, sizeof(p.name), "%.*s", STR_FMT(cmd->row.requested_by));
        if (run__command_send(c, cmd, a, &p, &err) < 0)
            return;
    }
}

enum { NO_CODE = -1 };

static void end_task(struct control *c, const struct run_command *cmd, enum task_outcome outcome, int32_t code, int32_t signal,
                     struct str message)
{
    struct err err = { 0 };
    const struct task_end end = {
        .task_id = cmd->row.task_id, .outcome = outcome, .exit_code = code, .signal = signal, .message = message
    };
    if (cmd->row.task_id && poll_finished(c, cmd->row.host_id, &end, &err) < 0)
        log_debug("run.task", "a command's task had ended", LOG_ERR(&err));
}

void run__command_cancel(struct control *c, struct run_command *cmd, const char *why)
{
    cmd->row.state = RUN_COMMAND_CANCELLED; /* first: the task's end is not news to us then */
    cmd->row.ended_at = control__wall(c);
    run__set(c, &cmd->row.error, str_of(why), 1024);
    run__command_put(c, cmd);
    if (cmd->row.kind != RUN_COMMAND_RERUN || !cmd->is_delivered)
        end_task(c, cmd, OUTCOME_CANCELLED, NO_CODE, 0, str_of(why));
}

/* -- what the fleet does to the task */
static void task_ended(struct control *c, struct run_command *cmd, const struct task *t)
{
    bool is_rerun = cmd->row.kind == RUN_COMMAND_RERUN;
    const char *how = name_of(task_outcome_names, t->outcome);
    char why[96];
    if (cmd->row.state == RUN_COMMAND_STARTED && is_rerun) { /* of a stop that is all: run_ack() ends its task */
        cmd->row.state = RUN_COMMAND_EXITED;
        cmd->row.ended_at = control__wall(c);
        run__set(c, &cmd->row.error, str_of(how), 1024);
        run__command_put(c, cmd);
        return;
    }
    if (cmd->row.state != RUN_COMMAND_PENDING)
        return;
    if (is_rerun && t->outcome == OUTCOME_CANCELLED && !t->job->cancel_requested && !cmd->is_delivered) {
        unindex_task(c, cmd); /* its host went: another may come */
        cmd->row.state = RUN_COMMAND_WAITING;
        cmd->row.task_id = cmd->row.job_id = cmd->row.host_id = cmd->row.agent_id = 0;
        run__command_put(c, cmd);
        return;
    }
    cmd->row.state = RUN_COMMAND_CANCELLED;
    cmd->row.ended_at = control__wall(c);
    run__set(c, &cmd->row.error, str_of(how), 1024);
    run__command_put(c, cmd);
    if (!is_rerun)
        return;
    snprintf(why, sizeof(why), "the command that was to start it is %s", how);
    run__input(c, cmd->run, RUN_IN_UNWANTED, why);
    cmd->run->is_stop_due = cmd->is_delivered && t->host; /* it may have been started all the same */
}

void run__task_changed(struct control *c, const struct task *t)
{
    struct run_command *cmd = NULL;
    uint64_t id = t->id;
    HASH_FIND(hh_task, run__book(c)->by_task, &id, sizeof(id), cmd);
    if (!cmd)
        return;
    if (t->state == TASK_OFFERED)
        cmd->is_delivered = true;
    else if (t->state == TASK_DONE)
        task_ended(c, cmd, t);
}

/* -- time */
static void local(struct principal *p, struct str name)
{
    *p = (struct principal){ .kind = PRINCIPAL_LOCAL, .role = ROLE_ADMIN };
    snprintf(p->name, sizeof(p->name), "%.*s", STR_FMT(name));
}

/* How it ended its agent will not say, or has not said. */
static void conclude(struct control *c, struct run_command *cmd, enum task_outcome outcome, int32_t code, const char *why)
{
    if (cmd->row.state == RUN_COMMAND_STARTED)
        cmd->row.state = RUN_COMMAND_EXITED; /* first, as in run__command_cancel() */
    cmd->row.ended_at = control__wall(c);
    if (outcome != OUTCOME_EXITED)
        run__set(c, &cmd->row.error, str_of(why), 1024);
    run__command_put(c, cmd);
    end_task(c, cmd, outcome, code, 0, str_of(why));
}

void run__commands_give_up(struct control *c, struct run *r, const char *why)
{
    struct run_command *cmd;
    DL_FOREACH(r->commands, cmd)
    if (is_awaited(c, cmd))
        conclude(c, cmd, OUTCOME_LOST, 0, why);
}

/* `muster cancel` of a rerun that runs, or that its agent has fetched: the same as a stop of its run. */
static void note_cancel(struct run_command *cmd, bool cancel_requested)
{
    bool may_run = cmd->row.state == RUN_COMMAND_STARTED || (cmd->row.state == RUN_COMMAND_PENDING && cmd->is_delivered);
    if (cancel_requested && cmd->row.kind == RUN_COMMAND_RERUN && may_run)
        cmd->run->is_stop_due |= run_may_stop((enum run_state)cmd->run->row.state);
}

static void look_after(struct control *c, struct run_command *cmd, usec_t mono)
{
    struct run *r = cmd->run;
    usec_t now = control__wall(c);
    const struct job *j = cmd->row.job_id ? job__find(c, cmd->row.job_id) : NULL;
    note_cancel(cmd, j && j->cancel_requested); /* an agent that is away does not come to hear of it */
    if (cmd->row.state == RUN_COMMAND_WAITING && now > cmd->row.created_at && now - cmd->row.created_at > RUN_DELIVER_WITHIN) {
        run__command_cancel(c, cmd, "no agent fetched it within 24 hours");
        if (cmd->row.kind == RUN_COMMAND_RERUN)
            run__input(c, r, RUN_IN_UNWANTED, "no agent fetched it within 24 hours");
        return;
    }
    /* Its script said the end, or the agent that nothing of it runs; one that tells of exits had time to. */
    if (!is_awaited(c, cmd) || !run_is_over((enum run_state)r->row.state) || mono - r->over_mono <= EXIT_GRACE_US)
        return;
    if (r->row.state == RUN_DONE || r->row.state == RUN_FAILED)
        conclude(c, cmd, OUTCOME_EXITED, r->row.state == RUN_FAILED, "as its script told; the agent did not say");
    else
        conclude(c, cmd, OUTCOME_CANCELLED, NO_CODE, "stopped; the agent did not say how it ended");
}

void run__commands_tick(struct control *c, usec_t mono)
{
    struct run *r;
    struct principal p;
    DL_FOREACH(run__book(c)->all, r)
    {
        struct run_command *cmd, *next;
        DL_FOREACH_SAFE(r->commands, cmd, next)
        if (!run__command_is_closed(c, cmd))
            look_after(c, cmd, mono);
        if (r->is_stop_due) {
            r->is_stop_due = false;
            local(&p, r->row.requested_by);
            run__stop_now(c, r, &p);
        }
    }
}

/* -- the agent's side */
/* One machine may have several, each of its own owner: none hears of another's. */
static bool is_for(const struct run_command *cmd, const struct run_agent_ref *a)
{
    return cmd->row.host_id == a->host_id && cmd->row.agent_id == a->id;
}

static struct run_command *by_uuid(struct control *c, const struct run_agent_ref *a, struct str uuid, struct err *err)
{
    struct run_command *cmd = NULL;
    HASH_FIND(hh_uuid, run__book(c)->by_uuid, uuid.ptr ? uuid.ptr : "", uuid.len, cmd);
    if (cmd && is_for(cmd, a))
        return cmd;
    err_set(err, -ENOENT, "run_command.unknown", "this agent has no command %.*s", STR_FMT(str_sub(uuid, 0, 64)));
    return NULL;
}

struct fetched {
    struct run_book *b;
    const struct run_agent_ref *a;
    VEC(struct run_command *) v;
    bool has_stops;
};

static bool on_task(void *ctx, const struct polled_task *t)
{
    struct fetched *x = ctx;
    struct run_command *cmd = NULL;
    HASH_FIND(hh_task, x->b->by_task, &t->task_id, sizeof(t->task_id), cmd);
    if (!cmd || !is_for(cmd, x->a))
        return true;
    note_cancel(cmd, t->cancel_requested);
    x->has_stops |= t->cancel_requested && cmd->run->is_stop_due;
    if (cmd->row.state == RUN_COMMAND_PENDING)
        *vec_add(&x->v) = cmd;
    return true;
}

void run_poll(struct control *c, const struct run_agent_ref *a, void (*fn)(void *ctx, const struct run_order *o), void *ctx)
{
    struct fetched x = { .b = run__book(c), .a = a };
    poll_tasks(c, a->host_id, on_task, &x);
    if (x.has_stops) { /* `muster cancel` of a running rerun: the agent learns of it as of any stop */
        x.v.n = 0;
        run__commands_tick(c, control__mono(c));
        poll_tasks(c, a->host_id, on_task, &x);
    }
    for (size_t i = 0; i < x.v.n; i++) {
        const struct run_command *cmd = x.v.v[i];
        const struct run_command *started = run__command_newest(cmd->run, RUN_COMMAND_RERUN);
        const struct run_order o = {
            .uuid = cmd->uuid,
            .row = &cmd->row,
            .run = &cmd->run->row,
            .snapshot = cmd->run->snapshot ? &cmd->run->snapshot->row : NULL,
            .command = run__command_text(cmd->run),
            .pid = started && is_for(started, a) ? started->row.pid : 0,
        };
        fn(ctx, &o);
    }
    vec_done(&x.v);
}

/* It came too late: its rerun was cancelled. Whether it began is news all the same. */
static void late_ack(struct control *c, const struct run_command *cmd, bool is_started, struct str error)
{
    struct err err = { 0 };
    if (cmd->row.state != RUN_COMMAND_CANCELLED || !is_awaited(c, cmd))
        return;
    if (!is_started)
        end_task(c, cmd, OUTCOME_CANCELLED, NO_CODE, 0, error);
    else if (poll_started(c, cmd->row.host_id, cmd->row.task_id, &err) < 0)
        log_debug("run.task", "a command's task had ended", LOG_ERR(&err));
}

static void heard(struct control *c, struct run *r)
{
    r->row.last_heard = control__wall(c);
    run__put_often(c, r);
}

/* Its agent has nothing to stop: what it fetched and was cancelled never began, or is over. */
static void not_here(struct control *c, struct run *r)
{
    struct run_command *cmd;
    DL_FOREACH(r->commands, cmd)
    if (cmd->row.state == RUN_COMMAND_CANCELLED && is_awaited(c, cmd))
        end_task(c, cmd, OUTCOME_CANCELLED, NO_CODE, 0, STR("cancelled; nothing of it runs at its agent"));
    run__input(c, r, RUN_IN_NOT_HERE, NULL);
}

int run_ack(struct control *c, const struct run_agent_ref *a, struct str uuid, bool is_started, int64_t pid, struct str error,
            struct err *err)
{
    struct details d = { 0 };
    struct run_command *cmd = by_uuid(c, a, uuid, err);
    if (!cmd)
        return -ENOENT;
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    if (cmd->row.state != RUN_COMMAND_PENDING) {
        late_ack(c, cmd, is_started, error);
        return err_set(err, -EEXIST, "run_command.state", "this command is %s already",
                       name_of(run_command_state_names, (int)cmd->row.state));
    }
    struct run *r = cmd->run;
    bool is_rerun = cmd->row.kind == RUN_COMMAND_RERUN;
    cmd->row.state = is_started ? RUN_COMMAND_STARTED : RUN_COMMAND_FAILED;
    cmd->row.ack_at = control__wall(c);
    cmd->row.pid = pid;
    run__set(c, &cmd->row.error, error, 1024);
    if (!is_started || !is_rerun)
        cmd->row.ended_at = cmd->row.ack_at;
    run__command_put(c, cmd);
    details_str(details_str(&d, "run", r->row.batch_id), "command", str_of(cmd->uuid));
    details_str(details_str(&d, "kind", str_of(name_of(run_command_kind_names, (int)cmd->row.kind))), "error", cmd->row.error);
    audit__row(c, a->agent_id, NULL, is_started ? "run.started" : "run.refused", r->row.batch_id, is_started ? "ok" : "failed",
               NULL, &d);
    if (is_started && poll_started(c, a->host_id, cmd->row.task_id, err) < 0)
        log_debug("run.task", "a command's task had ended", LOG_ERR(err));
    if (!is_started)
        end_task(c, cmd, OUTCOME_REFUSED, 0, 0, cmd->row.error);
    else if (!is_rerun) /* the signal is sent: all a stop is about; the end of the run is another's news */
        end_task(c, cmd, OUTCOME_EXITED, 0, 0, STR_NONE);
    heard(c, r);
    if (is_rerun)
        run__input(c, r, is_started ? RUN_IN_ACK : RUN_IN_NACK, NULL);
    else if (!is_started)
        not_here(c, r);
    return 0;
}

/* "exit code 3: last line of its output". */
static void reason_of(const struct run_exit *e, char *dst, size_t size)
{
    struct str tail = str_trim(e->log_tail), line = tail;
    for (size_t i = tail.len; i-- > 0;)
        if (tail.ptr[i] == '\n') {
            line = str_sub(tail, i + 1, tail.len);
            break;
        }
    if (line.len > 300)
        line.len = 300;
    char how[64] = "it ended, how is not known";
    if (e->has_code)
        snprintf(how, sizeof(how), "exit code %d", e->code);
    else if (e->signal)
        task_outcome_text(OUTCOME_SIGNALED, 0, e->signal, how);
    snprintf(dst, size, "%s%s%.*s", how, line.len ? ": " : "", STR_FMT(line));
}

static void note_exit(struct control *c, const struct run_command *cmd, const struct run_exit *e)
{
    char json[256], code[16] = "null";
    if (e->has_code)
        snprintf(code, sizeof(code), "%d", e->code);
    snprintf(json, sizeof(json), "{\"cmd_id\":\"%s\",\"exit_code\":%s,\"signal\":%d}", cmd->uuid, code, e->signal);
    run__history(c, cmd->run, RUN_EVENT_EXIT, "", str_of(json));
}

/* With the batch, and not as output of the job too: that is every viewer's of the fleet to read. */
static void keep_tail(struct run_command *cmd, struct str tail)
{
    struct str kept = tail.len > TAIL_KEPT ? str_sub(tail, tail.len - TAIL_KEPT, TAIL_KEPT) : tail;
    while (kept.len && ((unsigned char)kept.ptr[0] & 0xc0) == 0x80) /* not in the middle of a character */
        kept = str_sub(kept, 1, kept.len);
    run__set_raw(&cmd->row.log_tail, utf8_is_valid(kept) ? kept : STR_NONE);
}

/* How its task ended: cancelled, if a stop is why. Its batch says `stopped` then, whatever the exit was. */
static enum task_outcome outcome_of(const struct run_command *cmd, const struct run_exit *e)
{
    enum run_state state = (enum run_state)cmd->run->row.state;

    if ((state == RUN_STOPPING || state == RUN_STOPPED) && cmd == run__command_newest(cmd->run, RUN_COMMAND_RERUN))
        return OUTCOME_CANCELLED;
    return e->has_code ? OUTCOME_EXITED : e->signal ? OUTCOME_SIGNALED : OUTCOME_LOST;
}

int run_exited(struct control *c, const struct run_agent_ref *a, struct str uuid, const struct run_exit *e, struct err *err)
{
    char why[RUN_REASON_MAX];
    struct run_command *cmd = by_uuid(c, a, uuid, err);
    if (!cmd)
        return -ENOENT;
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    if (cmd->row.state == RUN_COMMAND_FAILED)
        return err_set(err, -EEXIST, "run_command.state", "this command was not started");
    struct run *r = cmd->run;
    bool is_good = e->has_code && e->code == 0, was_cancelled = cmd->row.state == RUN_COMMAND_CANCELLED;
    bool is_told = cmd->row.has_exit_code || cmd->row.signal, is_unknown = !e->has_code && !e->signal;
    if ((cmd->row.state == RUN_COMMAND_EXITED && (is_told || is_unknown)) || (was_cancelled && is_told))
        return 0; /* but of one that was given up the end is still news */
    reason_of(e, why, sizeof(why));
    keep_tail(cmd, e->log_tail);
    cmd->row.state = was_cancelled ? RUN_COMMAND_CANCELLED : RUN_COMMAND_EXITED;
    cmd->row.ended_at = control__wall(c);
    cmd->row.exit_code = e->code;
    cmd->row.has_exit_code = e->has_code;
    cmd->row.signal = e->signal;
    cmd->row.runtime_s = e->runtime_s;
    run__command_put(c, cmd);
    end_task(c, cmd, outcome_of(cmd, e), e->has_code ? e->code : NO_CODE, e->signal, STR_NONE);
    note_exit(c, cmd, e);
    heard(c, r);
    run__input(c, r, is_good ? RUN_IN_EXIT_OK : RUN_IN_EXIT_BAD, is_good || r->row.state == RUN_STOPPING ? NULL : why);
    return 0;
}
