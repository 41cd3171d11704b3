/* agent/roles/command.c - commands: offers in, output and ends out. exec.c runs them; here is what the server has heard.
 *
 * A task stays in hand until TaskAck{finished}. Output goes in contiguous frames with at most WINDOW bytes unacknowledged a stream;
 * the end goes after the last byte. Accepted and started are held back for a moment: a short command is then one or two
 * messages instead of four, and the server has as many states less to commit. After a break Welcome says where to go on. */
#include <assert.h>
#include <errno.h>

#include "agent/exec.h"
#include "agent/roles.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "pb/pb.h"

enum {
    WINDOW = 256 << 10,
    HOLD_BACK = 25 * 1000,     /* us; well under the 250 ms that output may be late */
    DEFAULT_RUNNING = 16,      /* until the server says */
    DEFAULT_GRACE_MS = 10000,
    OUTPUT_CAP_MAX = 1 << 30,
};

/* What the server knows of a task. */
struct share {
    uint64_t task_id;
    struct {
        uint64_t sent, acked;
    } out[2];
    uint32_t pid;
    usec_t started_at;
    bool accepted_due, started_due; /* to be told, unless the end comes first */
    bool is_live;                   /* the server has said where to go on (or offered it on this link) */
    bool is_finished, end_sent;
    struct task_end end;            /* its message is @message */
    char *message;
};

struct commands {
    const struct role_env *env;
    struct exec *exec;
    VEC(struct share) shares; /* a handful: searched from the end */
    uint8_t *frame;           /* LIMIT_OUTPUT_CHUNK, only while there is output to send */
    uint64_t output_cap;
};

static bool may_run(const struct policy *p)
{
    return policy_allows_role(p, role_command.name);
}

static struct share *share_find(struct commands *c, uint64_t id)
{
    for (size_t i = c->shares.n; i > 0; i--)
        if (c->shares.v[i - 1].task_id == id)
            return &c->shares.v[i - 1];
    return NULL;
}

static struct share *share_make(struct commands *c, uint64_t id)
{
    struct share *s = share_find(c, id);

    if (!s) {
        s = vec_add(&c->shares);
        s->task_id = id;
    }
    return s;
}

static void share_forget(struct commands *c, uint64_t id)
{
    struct share *s = share_find(c, id);

    exec_forget(c->exec, id);
    if (!s)
        return;
    free(s->message);
    vec_del(&c->shares, (size_t)(s - c->shares.v));
    if (c->shares.n == 0)
        vec_done(&c->shares);
}

/* -- upward */

static int64_t say(struct commands *c, Muster__V1__AgentMessage__BodyCase what, void *body)
{
    Muster__V1__AgentMessage m = MUSTER__V1__AGENT_MESSAGE__INIT;

    m.body_case = what;
    m.hello = body; /* one union */
    return c->env->send(c->env->host, &m);
}

static void say_accepted(struct commands *c, struct share *s)
{
    Muster__V1__TaskAccepted a = MUSTER__V1__TASK_ACCEPTED__INIT;

    a.task_id = s->task_id;
    s->accepted_due = false;
    (void)say(c, MUSTER__V1__AGENT_MESSAGE__BODY_TASK_ACCEPTED, &a);
}

static void say_started(struct commands *c, struct share *s)
{
    Muster__V1__TaskStarted t = MUSTER__V1__TASK_STARTED__INIT;

    t.task_id = s->task_id;
    t.pid = s->pid;
    t.started_at_us = s->started_at;
    s->started_due = s->accepted_due = false;
    (void)say(c, MUSTER__V1__AGENT_MESSAGE__BODY_TASK_STARTED, &t);
}

/* Sends what the window and the queue take. True if it got to the end of what there is. */
static bool say_output(struct commands *c, struct share *s, int i)
{
    Muster__V1__TaskOutput o = MUSTER__V1__TASK_OUTPUT__INIT;
    enum output_stream stream = i == 0 ? STREAM_STDOUT : STREAM_STDERR;

    if (!c->frame)
        c->frame = xmalloc(LIMIT_OUTPUT_CHUNK);
    for (;;) {
        uint64_t in_flight = s->out[i].sent - s->out[i].acked;
        size_t want = in_flight >= WINDOW ? 0 : WINDOW - in_flight < LIMIT_OUTPUT_CHUNK ? (size_t)(WINDOW - in_flight) : LIMIT_OUTPUT_CHUNK;
        int64_t n = exec_read(c->exec, s->task_id, stream, s->out[i].sent, c->frame, want ? want : 1);
        int64_t queued;

        if (n <= 0)
            return true; /* all of it; or unreadable, then the end tells how much there was */
        if (want == 0)
            return false;
        o.task_id = s->task_id;
        o.stream = (Muster__V1__OutputStream)stream;
        o.offset = s->out[i].sent;
        o.data = (ProtobufCBinaryData){ .len = (size_t)n, .data = c->frame };
        if (s->started_due)
            say_started(c, s);
        queued = say(c, MUSTER__V1__AGENT_MESSAGE__BODY_TASK_OUTPUT, &o);
        if (queued < 0)
            return false;
        s->out[i].sent += (uint64_t)n;
        s->accepted_due = false;
        if (queued > LIMIT_WRITE_LOW)
            return false;
    }
}

static void say_end(struct commands *c, struct share *s)
{
    Muster__V1__TaskFinished f = MUSTER__V1__TASK_FINISHED__INIT;
    const struct task_end *e = &s->end;

    _Static_assert((int)OUTCOME_EXITED == (int)MUSTER__V1__TASK_OUTCOME__TASK_OUTCOME_EXITED &&
                       (int)OUTCOME_LOST == (int)MUSTER__V1__TASK_OUTCOME__TASK_OUTCOME_LOST,
                   "one numbering");
    f.task_id = s->task_id;
    f.outcome = (Muster__V1__TaskOutcome)e->outcome;
    f.exit_code = e->exit_code;
    f.signal = e->signal;
    f.started_at_us = e->started_at;
    f.finished_at_us = e->finished_at;
    f.sent_at_us = clock_wall(&clock_real); /* not when it ended: that may be days ago */
    f.stdout_bytes = e->stdout_bytes;
    f.stderr_bytes = e->stderr_bytes;
    f.stdout_truncated = e->stdout_truncated;
    f.stderr_truncated = e->stderr_truncated;
    f.stdout_total_bytes = e->stdout_total;
    f.stderr_total_bytes = e->stderr_total;
    f.message = s->message ? s->message : f.message;
    if (say(c, MUSTER__V1__AGENT_MESSAGE__BODY_TASK_FINISHED, &f) >= 0) {
        s->end_sent = true;
        s->accepted_due = s->started_due = false;
    }
}

static void share_push(struct commands *c, struct share *s)
{
    bool out, err;

    if (!s->is_live || s->end_sent || !c->env->is_up(c->env->host))
        return;
    out = say_output(c, s, 0);
    err = say_output(c, s, 1);
    if (s->is_finished && out && err)
        say_end(c, s);
}

static void push_all(struct commands *c)
{
    for (size_t i = 0; i < c->shares.n; i++)
        share_push(c, &c->shares.v[i]);
    free(c->frame); /* 64 KiB are not kept by an idle agent */
    c->frame = NULL;
}

/* -- what exec says */

static void on_accepted(void *ctx, uint64_t id)
{
    struct commands *c = ctx;

    share_make(c, id)->accepted_due = true;
    c->env->tick_in(c->env->host, c, HOLD_BACK);
}

static void on_started(void *ctx, uint64_t id, uint32_t pid, usec_t at)
{
    struct commands *c = ctx;
    struct share *s = share_make(c, id);

    s->pid = pid;
    s->started_at = at;
    s->started_due = true;
    c->env->tick_in(c->env->host, c, HOLD_BACK);
}

static void on_output(void *ctx, uint64_t id)
{
    struct commands *c = ctx;

    share_push(c, share_make(c, id));
    free(c->frame);
    c->frame = NULL;
}

static void on_finished(void *ctx, const struct task_end *end)
{
    struct commands *c = ctx;
    struct share *s = share_make(c, end->task_id);

    free(s->message);
    s->message = str_dup(end->message);
    s->end = *end;
    s->end.message = str_of(s->message);
    s->is_finished = true;
    log_info("task.end", "a command has ended", LOG_U64("task", end->task_id),
             LOG_CSTR("outcome", name_of(task_outcome_names, end->outcome)), LOG_I64("code", end->exit_code));
    share_push(c, s);
    free(c->frame);
    c->frame = NULL;
}

/* -- what the server says */

static void on_offer(struct commands *c, const Muster__V1__TaskOffer *o)
{
    AUTO_FREE struct str *argv = xcalloc(o->n_argv + 1, sizeof(*argv));
    AUTO_FREE struct kv *env = xcalloc(o->n_env + 1, sizeof(*env));
    struct command cmd = {
        .task_id = o->task_id,
        .argv = { argv, o->n_argv },
        .user = str_of(o->user),
        .cwd = str_of(o->cwd),
        .env = { env, o->n_env },
        .timeout = o->timeout_ms * USEC_PER_MS,
        .grace = (o->grace_ms ? o->grace_ms : DEFAULT_GRACE_MS) * USEC_PER_MS,
        .output_cap_bytes = o->output_cap_bytes ? o->output_cap_bytes : c->output_cap,
        .stdin_open = o->stdin_open,
        .stdin_data = { pb_bytes(o->stdin) },
    };
    bool is_new = share_find(c, o->task_id) == NULL;
    int r;

    if (cmd.output_cap_bytes > OUTPUT_CAP_MAX)
        cmd.output_cap_bytes = OUTPUT_CAP_MAX;
    for (size_t i = 0; i < o->n_argv; i++)
        argv[i] = pb_bytes(o->argv[i]);
    for (size_t i = 0; i < o->n_env; i++)
        env[i] = (struct kv){ str_of(o->env[i]->key), str_of(o->env[i]->value) };

    if (is_new) {
        struct share *s = share_make(c, o->task_id);

        s->is_live = true;
        log_info("task.offer", "a command was offered", LOG_U64("task", o->task_id), LOG_CSTR("job", o->job),
                 LOG_STR("program", o->n_argv ? argv[0] : STR_NONE), LOG_CSTR("user", o->user));
    }
    r = exec_offer(c->exec, &cmd, o->start_within_us);
    if (r < 0) {
        char text[96];

        (void)snprintf(text, sizeof(text), "the intent of a command could not be written: %s", strerror(-r));
        c->env->set_health(c->env->host, c, ROLE_FAILED, text);
    } else if (may_run(c->env->policy)) {
        c->env->set_health(c->env->host, c, ROLE_OK, "");
    }
}

static void on_input(struct commands *c, const Muster__V1__TaskInput *in)
{
    int64_t r = exec_input(c->exec, in->task_id, in->offset, pb_bytes(in->data), in->eof);

    if (r < 0 && r != -ENOENT && r != -EPIPE)
        log_warn("task.input", "input for a command could not be kept", LOG_U64("task", in->task_id),
                 LOG_CSTR("why", strerror((int)-r)));
}

static void on_ack(struct commands *c, const Muster__V1__TaskAck *a)
{
    struct share *s = share_find(c, a->task_id);

    if (a->finished) {
        share_forget(c, a->task_id);
        return;
    }
    if (!s)
        return;
    if (a->stdout_offset > s->out[0].acked && a->stdout_offset <= s->out[0].sent)
        s->out[0].acked = a->stdout_offset;
    if (a->stderr_offset > s->out[1].acked && a->stderr_offset <= s->out[1].sent)
        s->out[1].acked = a->stderr_offset;
    share_push(c, s);
    free(c->frame);
    c->frame = NULL;
}

static void on_config(struct commands *c, const Muster__V1__Config *cfg)
{
    if (!cfg)
        return;
    if (cfg->max_running_tasks)
        exec_set_max_running(c->exec, cfg->max_running_tasks);
    if (cfg->output_cap_bytes)
        c->output_cap = cfg->output_cap_bytes;
}

/* The server has no such task open: its database is an older one (restored), it is another server, or it has given the task up.
 * A finished one may also be told long ago, with only the ack of its end lost. */
static void share_drop(struct commands *c, uint64_t id)
{
    const struct share *s = share_find(c, id);

    if (s && s->is_finished)
        log_info("task.unknown", "the server does not wait for the end of this command: forgotten", LOG_U64("task", id));
    else if (s)
        log_warn("task.unknown", "the server does not know this command (its database was restored, or it is another one): stopping it",
                 LOG_U64("task", id), LOG_U64("pid", s->pid));
    exec_cancel(c->exec, id, DEFAULT_GRACE_MS * USEC_PER_MS);
    share_forget(c, id);
}

static void on_welcome(struct commands *c, const Muster__V1__Welcome *w)
{
    on_config(c, w->config);
    for (size_t i = 0; i < w->n_tasks; i++) {
        const Muster__V1__TaskResume *t = w->tasks[i];
        struct share *s;

        if (!t->known && !t->done) {
            share_drop(c, t->task_id);
            continue;
        }
        if (t->done) {
            share_forget(c, t->task_id);
            continue;
        }
        s = share_find(c, t->task_id);
        if (!s)
            continue;
        s->out[0].sent = s->out[0].acked = t->stdout_offset;
        s->out[1].sent = s->out[1].acked = t->stderr_offset;
        s->is_live = true;
    }
    /* What Hello named, the server knows to be accepted; what has begun it hears again, which does no harm. */
    for (size_t i = 0; i < c->shares.n; i++)
        if (c->shares.v[i].is_live && !c->shares.v[i].is_finished && c->shares.v[i].pid)
            say_started(c, &c->shares.v[i]);
    push_all(c);
}

/* What an operator ran here must not go on where none can see or stop it any more. */
static void on_disowned(struct commands *c)
{
    for (size_t i = 0; i < c->shares.n; i++) {
        const struct share *s = &c->shares.v[i];

        if (s->is_finished)
            continue;
        log_warn("task.disowned", "the server turned this host away: stopping its command", LOG_U64("task", s->task_id), LOG_U64("pid", s->pid));
        exec_cancel(c->exec, s->task_id, DEFAULT_GRACE_MS * USEC_PER_MS);
    }
}

static void on_down(struct commands *c)
{
    for (size_t i = 0; i < c->shares.n; i++)
        c->shares.v[i].is_live = c->shares.v[i].end_sent = false;
}

struct hello_fill {
    Muster__V1__Hello *hello;
    struct arena *arena;
};

static void count_task(void *ctx, const struct exec_task *t)
{
    (void)t;
    (*(size_t *)ctx)++;
}

static void add_task(void *ctx, const struct exec_task *t)
{
    struct hello_fill *f = ctx;
    Muster__V1__TaskInHand *h = arena_new0(f->arena, Muster__V1__TaskInHand);

    if (!h)
        return;
    muster__v1__task_in_hand__init(h);
    h->task_id = t->task_id;
    h->finished = t->finished;
    h->stdout_bytes = t->stdout_bytes;
    h->stderr_bytes = t->stderr_bytes;
    f->hello->tasks[f->hello->n_tasks++] = h;
}

static void on_hello(struct commands *c, Muster__V1__Hello *hello, struct arena *arena)
{
    size_t n = 0;

    exec_list(c->exec, count_task, &n);
    hello->tasks = arena_array(arena, n ? n : 1, sizeof(*hello->tasks));
    if (hello->tasks)
        exec_list(c->exec, add_task, &(struct hello_fill){ hello, arena });
    hello->commands_allowed = may_run(c->env->policy);
}

/* -- off: it could not start (what the policy forbids is refused by exec) */

static void refuse_all(struct commands *c, const struct role_msg *m)
{
    Muster__V1__TaskFinished f = MUSTER__V1__TASK_FINISHED__INIT;
    char text[256];

    if (m->kind != ROLE_MSG_SERVER || m->server->body_case != MUSTER__V1__SERVER_MESSAGE__BODY_OFFER)
        return;
    (void)snprintf(text, sizeof(text), "commands cannot be run on this host: %s", c->env->off_why);
    f.task_id = m->server->offer->task_id;
    f.outcome = MUSTER__V1__TASK_OUTCOME__TASK_OUTCOME_REFUSED;
    f.sent_at_us = clock_wall(&clock_real);
    f.message = text;
    (void)say(c, MUSTER__V1__AGENT_MESSAGE__BODY_TASK_FINISHED, &f);
}

/* -- the four hooks */

/* Tasks from before this start: exec tells their start and end by itself; here they only get a share. */
static void adopt(void *ctx, const struct exec_task *t)
{
    (void)share_make(ctx, t->task_id);
}

static void apply_policy(struct commands *c)
{
    const struct policy *p = c->env->policy;

    exec_set_policy(c->exec, may_run(p), (const char *const *)p->users);
    if (may_run(p))
        c->env->set_health(c->env->host, c, ROLE_OK, "");
    else
        c->env->set_health(c->env->host, c, ROLE_DISABLED, "commands are switched off by the policy of this host");
}

static int command_start(const struct role_env *env, void **ret_self, struct err *err)
{
    struct commands *c = xnew0(struct commands);
    struct exec_conf conf = {
        .state_dir = env->state_dir,
        .hold_path = env->hold_path,
        .max_running = DEFAULT_RUNNING,
        .allow_run = may_run(env->policy),
        .allow_users = (const char *const *)env->policy->users,
    };
    struct exec_ops ops = { on_accepted, on_started, on_output, on_finished, c };
    int r;

    c->env = env;
    if (env->off) {
        *ret_self = c;
        return 0;
    }
    c->output_cap = 64 << 20;
    r = exec_open(env->loop, &conf, &ops, &c->exec, err);
    if (r < 0) {
        free(c);
        return r;
    }
    exec_list(c->exec, adopt, c);
    apply_policy(c);
    *ret_self = c;
    return 0;
}

static void on_server(struct commands *c, const Muster__V1__ServerMessage *m)
{
    switch (m->body_case) {
    case MUSTER__V1__SERVER_MESSAGE__BODY_OFFER:
        on_offer(c, m->offer);
        break;
    case MUSTER__V1__SERVER_MESSAGE__BODY_CANCEL:
        exec_cancel(c->exec, m->cancel->task_id,
                    (m->cancel->grace_ms ? m->cancel->grace_ms : DEFAULT_GRACE_MS) * USEC_PER_MS);
        break;
    case MUSTER__V1__SERVER_MESSAGE__BODY_INPUT:
        on_input(c, m->input);
        break;
    case MUSTER__V1__SERVER_MESSAGE__BODY_TASK_ACK:
        on_ack(c, m->task_ack);
        break;
    case MUSTER__V1__SERVER_MESSAGE__BODY_CONFIG:
        on_config(c, m->config);
        break;
    default: /* somebody else's */
        break;
    }
}

static void command_message(void *self, const struct role_msg *m)
{
    struct commands *c = self;

    if (c->env->off) {
        refuse_all(c, m);
        return;
    }
    switch (m->kind) {
    case ROLE_MSG_HELLO:
        on_hello(c, m->hello, m->arena);
        break;
    case ROLE_MSG_WELCOME:
        on_welcome(c, m->welcome);
        break;
    case ROLE_MSG_DOWN:
        on_down(c);
        break;
    case ROLE_MSG_SERVER:
        on_server(c, m->server);
        break;
    case ROLE_MSG_DRAINED:
        push_all(c);
        break;
    case ROLE_MSG_BEAT:
        exec_count(c->exec, &m->beat->running_tasks, &m->beat->queued_tasks);
        break;
    case ROLE_MSG_POLICY:
        apply_policy(c);
        break;
    case ROLE_MSG_DISOWNED:
        on_disowned(c);
        break;
    case ROLE_MSG_ACKED:
    case ROLE_MSG_UNKEPT:
        break;
    }
}

/* What was held back long enough. */
static void command_tick(void *self)
{
    struct commands *c = self;

    if (!c->env->is_up(c->env->host))
        return;
    for (size_t i = 0; i < c->shares.n; i++) {
        struct share *s = &c->shares.v[i];

        if (!s->is_live || s->is_finished)
            continue;
        if (s->started_due)
            say_started(c, s);
        else if (s->accepted_due)
            say_accepted(c, s);
    }
}

static void command_stop(void *self)
{
    struct commands *c = self;

    exec_free(c->exec);
    for (size_t i = 0; i < c->shares.n; i++)
        free(c->shares.v[i].message);
    vec_done(&c->shares);
    free(c->frame);
    free(c);
}

const struct role role_command = {
    .abi = ROLE_ABI, .size = sizeof(struct role),
    .name = "command", .contexts = ROLE_SYSTEM, .needs = ROLE_NEED_EXEC, .when_off = ROLE_STAYS,
    .start = command_start, .message = command_message, .tick = command_tick, .stop = command_stop,
};
