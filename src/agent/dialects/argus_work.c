/* agent/dialects/argus_work.c - reruns and stops. See argus.h and docs/decisions/0009-argus-reruns-in-holds.md.
 *
 *   job of a poll -> book says intent -> exec_offer() (ledger, hold) -> started: ack with the pid -> finished: the end is told
 *
 * The server repeats a job until its ack arrived; the book, and below it exec's ledger, keep a repeat from being a second run. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/dialects/argus.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "hold/spec.h"

enum { COMMAND_BYTES = 512 << 10, OUTPUT_CAP = 64 << 10, GRACE_MAX_S = 3600, WHY_MAX = 512, LEFT_OUT_BYTES = 1024 };

/* The second shell is the one that is asked for: it gets the command as it is, and the pid of the first. Its words go to a file that
 * is opened for appending, so that rotating it loses no place. */
static const char run_script[] = "exec /bin/sh -c \"$1\" >>\"$0\" 2>&1";

/* The word servers know: the directory that the command was recorded in is gone. */
static const char stale_path[] = "stale_env_path";
static const char forbidden[] = "not allowed by host policy";

extern char **environ;

uint32_t argus__n_running(const struct argus *g)
{
    uint32_t n = 0;

    for (size_t i = 0; i < g->book->cmds.n; i++)
        n += g->book->cmds.v[i]->kind == ARGUS_RERUN && g->book->cmds.v[i]->phase == ARGUS_RUNNING;
    return n;
}

static void save(struct argus *g)
{
    int r = argus__book_save(g->book);

    g->is_dirty = r < 0;
    if (r < 0) /* what is not written is found again: in exec, or by the server's repeat */
        log_warn("state.write", "the state of commands cannot be written", LOG_CSTR("file", g->book->path),
                 LOG_CSTR("why", strerror(-r)));
}

void argus__keep(struct argus *g)
{
    if (!g->is_dirty)
        return;
    (void)argus__book_has_room(g->book); /* nobody holds one of its commands here: what is quite over may go */
    save(g);
}

/* -- a rerun */

int argus__policy_read(const char *path, struct buf *text, struct err *err)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a pipe somebody put there must not hold us */
    struct stat st;
    uint8_t *to;
    int r = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;

    if (r < 0)
        return err_set(err, r, "argus.policy", "the policy %s: %m", path);
    r = fd_check_owned(fd, path, "argus.policy", err);
    if (r < 0) {
        err_prefix(err, "the policy");
        return r;
    }
    r = buf_reserve(text, (size_t)st.st_size, &to);
    if (r == 0)
        r = fd_read_all(fd, to, (size_t)st.st_size);
    if (r < 0)
        return err_set(err, r, "argus.policy", "the policy %s: %m", path);
    buf_commit(text, (size_t)st.st_size);
    r = argus__policy_check(buf_as_str(text), err);
    if (r < 0)
        err_prefix(err, "the policy %s", path);
    return r;
}

/* Where the policy says where commands may run, the recorded directory, links resolved, must be there: which file a name without a path
 * is depends on it, and it is the server's word. NULL and *@ret the directory to use (NULL: as recorded), or why not. */
static const char *policy_forbids_cwd(struct str text, struct str cwd, char **ret)
{
    AUTO_FREE char *name = str_dup(cwd), *real = cwd.len > 0 && !str_has_nul(cwd) ? realpath(name, NULL) : NULL;
    bool has_rule = false, is_there = false;
    struct str dir;

    while (!is_there && argus__policy_next_dir(&text, &dir)) {
        AUTO_FREE char *rule = str_dup(dir), *real_dir = realpath(rule, NULL);

        has_rule = true;
        is_there = real && real_dir && argus__is_below(str_of(real_dir), str_of(real));
    }
    if (has_rule && !is_there)
        return cwd.len > 0 && !real ? stale_path : forbidden;
    if (has_rule)
        *ret = TAKE(real);
    return NULL;
}

/* Read for every command: a policy that was tightened counts at once, and one that cannot be read permits nothing. NULL and *@ret_cwd as
 * above, or why not. */
static const char *policy_forbids(const struct argus *g, struct str command, struct str cwd, char **ret_cwd)
{
    AUTO(buf_done) struct buf text = BUF(ARGUS_POLICY_BYTES);
    struct err err = { 0 };

    if (!g->opt->policy)
        return NULL;
    if (argus__policy_read(g->opt->policy, &text, &err) < 0) {
        log_warn("argus.policy", "nothing is run until the policy is mended", LOG_CSTR("why", err.text));
        return forbidden;
    }
    if (!argus__policy_allows(buf_as_str(&text), command))
        return forbidden;
    return policy_forbids_cwd(buf_as_str(&text), cwd, ret_cwd);
}

static bool dir_exists(struct str path)
{
    AUTO_FREE char *s = str_dup(path);
    struct stat st;

    return stat(s ? s : "", &st) == 0 && S_ISDIR(st.st_mode) && access(s, X_OK) == 0;
}

/* What is to be run, in which directory (malloced; NULL: as recorded), and why not: an empty @why permits. @unread: why it could not be read, or NULL. */
static void judge(const struct argus *g, const struct argus_job *job, const char *unread, struct buf *command, char **ret_cwd,
                  char why[WHY_MAX])
{
    const struct argus_payload *p = &job->payload;
    const char *no;
    struct err err = { 0 };

    why[0] = '\0';
    if (unread)
        (void)snprintf(why, WHY_MAX, "%s", unread);
    else if (p->command.len == 0)
        (void)snprintf(why, WHY_MAX, "there is no command");
    else if (buf_str(command, p->command) < 0)
        (void)snprintf(why, WHY_MAX, "the command is too large");
    else if (g->opt->overrides == ARGUS_OVERRIDES_APPEND && argus__append_overrides(p->overrides.text, command, &err) < 0)
        (void)snprintf(why, WHY_MAX, "%s", err.text);
    else if ((no = policy_forbids(g, buf_as_str(command), p->cwd, ret_cwd)))
        (void)snprintf(why, WHY_MAX, "%s", no);
    else if (p->cwd.len > 0 && !dir_exists(p->cwd))
        (void)snprintf(why, WHY_MAX, "%s", stale_path);
}

static void offer(struct argus *g, struct argus_cmd *c, const struct argus_job *job, struct str command, struct str cwd)
{
    AUTO(arena_free) struct arena *a = arena_new(ARGUS_ARENA_BYTES);
    AUTO_FREE char *log = argus__log_make(g->opt->state_dir, job->id, g->book);
    const struct argus_payload *p = &job->payload;
    struct str overrides = p->overrides.text.len && !str_is(p->overrides.text, "null") ? p->overrides.text : STR("{}");
    struct kv more[] = {
        { STR("ARGUS_BATCH_ID"), job->batch_id },
        { STR("ARGUS_SOURCE_BATCH_ID"), p->source_batch_id },
        { STR("ARGUS_RERUN_OVERRIDES"), overrides },
        { STR("ARGUS_URL"), str_of(g->cache.url) },
    };
    AUTO(buf_done) struct buf left_out = BUF(LEFT_OUT_BYTES);
    struct argus_env env = { .own = (const char *const *)environ, .payload = &p->env, .allow = &g->opt->allow_env,
                             .more = { more, ARRAY_SIZE(more) }, .has_policy = g->opt->policy != NULL, .left_out = &left_out };
    struct str argv[] = { STR("/bin/sh"), STR("-c"), str_of(run_script), str_of(log), command };
    struct command cmd = { .task_id = c->task, .argv = { argv, ARRAY_SIZE(argv) }, .cwd = cwd, .grace = g->opt->grace,
                           .output_cap_bytes = OUTPUT_CAP };

    c->phase = ARGUS_RUNNING; /* or OVER, when exec says so */
    if (!log || argus__env_build(a, &env, &cmd.env) < 0) {
        argus__cmd_answer(c, ARGUS_FAILED, log ? "the environment is too large" : "its log cannot be made on this host");
        c->phase = ARGUS_OVER;
        save(g);
        return;
    }
    if (g->opt->policy && left_out.len > 0)
        log_warn("rerun.environment", "variables of a recorded environment are left out: the host has a policy, and --allow-env does not name them",
                 LOG_CSTR("command", c->id), LOG_CSTR("batch", c->batch), LOG_STR("names", buf_as_str(&left_out)));
    log_info("rerun.begins", "starting a rerun", LOG_CSTR("command", c->id), LOG_CSTR("batch", c->batch));
    (void)exec_offer(g->exec, &cmd, 0); /* refusals come through on_finished() */
}

static void rerun(struct argus *g, const struct argus_job *job, const char *unread, struct argus_cmd *c)
{
    AUTO(buf_done) struct buf command = BUF(COMMAND_BYTES);
    AUTO_FREE char *cwd = NULL;
    char why[WHY_MAX];

    judge(g, job, unread, &command, &cwd, why);
    if (why[0]) {
        c = c ? c : argus__book_add(g->book, job->id, job->batch_id, ARGUS_RERUN);
        log_warn("rerun.refused", "a rerun is refused", LOG_CSTR("command", c->id), LOG_CSTR("batch", c->batch), LOG_CSTR("why", why),
                 LOG_STR("cwd", job->payload.cwd));
        c->phase = ARGUS_OVER;
        argus__cmd_answer(c, ARGUS_FAILED, why);
        g->is_dirty = true;
        return;
    }
    if (argus__n_running(g) >= g->opt->max_concurrent) { /* unacknowledged, the server offers it again */
        if (!g->is_full_told)
            log_info("rerun.waits", "as many reruns as allowed are running: others wait at the server", LOG_U64("max", g->opt->max_concurrent));
        g->is_full_told = true;
        return;
    }
    g->is_full_told = false;
    if (!c) {
        c = argus__book_add(g->book, job->id, job->batch_id, ARGUS_RERUN);
        c->task = g->book->next_task++;
        c->is_seen = true;
        if (argus__book_save(g->book) < 0) {
            log_error("state.write", "a rerun is put off: its intent cannot be written", LOG_CSTR("command", c->id));
            argus__book_remove(g->book, c);
            return;
        }
    }
    offer(g, c, job, buf_as_str(&command), cwd ? str_of(cwd) : job->payload.cwd);
}

/* -- what exec says of it */

static void on_accepted(void *ctx, uint64_t task)
{
    (void)ctx, (void)task;
}

static void on_started(void *ctx, uint64_t task, uint32_t pid, usec_t at)
{
    struct argus *g = ctx;
    struct argus_cmd *c = argus__book_task(g->book, task);

    (void)at;
    if (!c || pid == 0)
        return;
    c->phase = ARGUS_RUNNING;
    if (c->pid != pid) {
        c->pid = pid;
        c->pid_ticks = hold_pid_ticks(pid);
    }
    if (c->answer == ARGUS_NO_ANSWER) {
        argus__cmd_answer(c, ARGUS_STARTED, NULL);
        log_info("rerun.started", "a rerun is running", LOG_CSTR("command", c->id), LOG_CSTR("batch", c->batch), LOG_U64("pid", pid));
    } else {
        log_info("rerun.adopted", "a rerun of before is still running", LOG_CSTR("command", c->id), LOG_CSTR("batch", c->batch),
                 LOG_U64("pid", pid));
    }
    save(g);
    argus__talk(g);
}

static void on_output(void *ctx, uint64_t task)
{
    (void)ctx, (void)task; /* only the outer shell's complaint, if its log cannot be opened */
}

/* The hold's note of the start: for a rerun that began and ended while no agent looked. */
static void read_started(const struct argus *g, struct argus_cmd *c)
{
    AUTO_FREE char *path = xasprintf("%s/tasks/%llu/started", g->opt->state_dir, (unsigned long long)c->task);
    AUTO(buf_done) struct buf b = BUF(STARTED_BYTES);
    struct hold_started s;

    if (fd_read_file(path, &b) == 0 && hold_started_read(buf_as_str(&b), &s) == 0) {
        c->pid = s.pid;
        c->pid_ticks = s.pid_ticks;
    }
}

static void note_refusal(struct argus_cmd *c, struct str message)
{
    AUTO_FREE char *why = str_dup(message);

    argus__cmd_answer(c, ARGUS_FAILED, str_starts(message, STR("cwd:")) ? stale_path : why);
    log_warn("rerun.failed", "a rerun could not be started", LOG_CSTR("command", c->id), LOG_CSTR("batch", c->batch), LOG_STR("why", message));
}

static void note_end(struct argus *g, struct argus_cmd *c, const struct task_end *e)
{
    c->is_exit_due = !g->is_exit_off;
    c->has_exit = e->outcome != OUTCOME_LOST;
    c->exit_code = e->exit_code;
    c->signal = e->signal;
    c->runtime = e->started_at > 0 && e->finished_at > e->started_at ? e->finished_at - e->started_at : 0;
    if (!c->has_exit)
        log_warn("rerun.lost", "nobody saw a rerun end", LOG_CSTR("command", c->id), LOG_CSTR("batch", c->batch), LOG_STR("why", e->message));
    else
        log_info("rerun.ended", "a rerun has ended", LOG_CSTR("command", c->id), LOG_CSTR("batch", c->batch),
                 LOG_I64("exit_code", c->exit_code), LOG_I64("signal", c->signal));
}

static void on_finished(void *ctx, const struct task_end *e)
{
    struct argus *g = ctx;
    struct argus_cmd *c = argus__book_task(g->book, e->task_id);

    if (!c) { /* dropped from the book long ago */
        exec_forget(g->exec, e->task_id);
        return;
    }
    if (c->pid == 0)
        read_started(g, c);
    if (c->phase != ARGUS_OVER || c->answer == ARGUS_NO_ANSWER) {
        bool never_began = e->outcome == OUTCOME_REFUSED || (e->outcome == OUTCOME_LOST && c->pid == 0 && e->started_at == 0);

        if (never_began && c->answer == ARGUS_NO_ANSWER)
            note_refusal(c, e->message);
        else
            note_end(g, c, e);
        if (c->answer == ARGUS_NO_ANSWER)
            argus__cmd_answer(c, ARGUS_STARTED, NULL);
        c->phase = ARGUS_OVER;
    }
    if (argus__book_save(g->book) == 0)
        exec_forget(g->exec, e->task_id);
    argus__talk(g);
}

const struct exec_ops argus__exec_ops = { .accepted = on_accepted, .started = on_started, .output = on_output, .finished = on_finished };

/* -- a stop */

/* The rerun a stop means, if it may be signalled; else NULL and why not. */
static struct argus_cmd *stoppable(const struct argus *g, struct str batch, const char **ret_why)
{
    struct argus_cmd *c = argus__book_rerun(g->book, batch);

    if (!c || c->phase == ARGUS_INTENT || (c->phase == ARGUS_OVER && c->answer == ARGUS_FAILED)) {
        *ret_why = "not started by this agent";
        return NULL;
    }
    /* The hold is its parent and signals it only while it is not reaped, so its number cannot be a stranger's; we look all the same. */
    if (c->phase == ARGUS_OVER || (c->pid != 0 && hold_pid_ticks(c->pid) != c->pid_ticks)) {
        *ret_why = "no longer running";
        return NULL;
    }
    return c;
}

static void stop(struct argus *g, const struct argus_job *job)
{
    const struct argus_payload *p = &job->payload;
    const char *why = NULL;
    struct argus_cmd *target = stoppable(g, job->batch_id, &why);
    struct argus_cmd *c = argus__book_add(g->book, job->id, job->batch_id, ARGUS_STOP);
    bool says_grace = field_is_present(&argus_payload_record, p, "grace_s") && !field_is_null(&argus_payload_record, p, "grace_s");
    usec_t grace = says_grace && p->grace_s <= GRACE_MAX_S ? p->grace_s * USEC_PER_SEC : g->opt->grace;

    c->phase = ARGUS_OVER;
    if (target) {
        log_info("stop.begins", "stopping a rerun", LOG_CSTR("command", c->id), LOG_CSTR("batch", c->batch), LOG_U64("pid", target->pid));
        exec_cancel(g->exec, target->task, grace);
        c->pid = target->pid;
        c->pid_ticks = target->pid_ticks;
        argus__cmd_answer(c, ARGUS_STARTED, NULL);
    } else {
        log_info("stop.failed", "there is nothing to stop", LOG_CSTR("command", c->id), LOG_CSTR("batch", c->batch), LOG_CSTR("why", why));
        argus__cmd_answer(c, ARGUS_FAILED, why);
    }
    g->is_dirty = true;
}

/* -- one job of a poll */

void argus__work(struct argus *g, const struct argus_job *job, const char *why)
{
    struct argus_cmd *c = argus__book_find(g->book, job->id);
    bool is_rerun = str_is(job->kind, "rerun");

    if (c)
        c->is_seen = true;
    if (c && c->phase == ARGUS_INTENT && c->kind == ARGUS_RERUN && is_rerun) {
        rerun(g, job, why, c); /* an agent before us died before anything was started */
    } else if (c) {
        c->is_acked = false; /* the server has not heard it, or has not kept it */
    } else if (!argus__book_has_room(g->book)) {
        log_warn("job.waits", "too many commands are unsettled: this one waits at the server", LOG_STR("command", job->id));
    } else if (job->batch_id.len == 0 || job->batch_id.len >= ARGUS_BATCH_MAX) {
        log_warn("job.unreadable", "a command names no usable batch", LOG_STR("command", job->id));
    } else if (is_rerun) {
        rerun(g, job, why, NULL);
        g->has_news |= !g->is_full_told;
    } else if (str_is(job->kind, "stop")) {
        stop(g, job);
        g->has_news = true;
    } else {
        c = argus__book_add(g->book, job->id, job->batch_id, ARGUS_STOP);
        c->phase = ARGUS_OVER;
        argus__cmd_answer(c, ARGUS_FAILED, why ? why : "this agent does not know such a command");
        g->is_dirty = true;
    }
}

void argus__work_dry(struct argus *g, const struct argus_job *job, const char *unread)
{
    AUTO(buf_done) struct buf command = BUF(COMMAND_BYTES);
    const struct argus_cmd *c = argus__book_find(g->book, job->id);
    const char *verdict = "would be run";
    AUTO_FREE char *cwd = NULL;
    char why[WHY_MAX] = "";

    if (c) {
        verdict = c->phase == ARGUS_INTENT ? "would be run" : "is known already: would be acknowledged again";
    } else if (str_is(job->kind, "stop")) {
        verdict = stoppable(g, job->batch_id, &verdict) ? "would be stopped" : verdict;
    } else {
        judge(g, job, unread, &command, &cwd, why);
        verdict = why[0] ? "would be refused: " : verdict;
    }
    (void)printf("%.*s  %.*s  batch %.*s: %s%s\n", STR_FMT(job->id), STR_FMT(job->kind), STR_FMT(job->batch_id), verdict, why);
    if (job->payload.command.len > 0)
        (void)printf("    cwd      %.*s\n    command  %.*s\n", STR_FMT(job->payload.cwd), STR_FMT(job->payload.command));
}

/* -- after a start */

struct adoption {
    uint64_t ids[4096];
    size_t n;
};

static void note_task(void *ctx, const struct exec_task *t)
{
    struct adoption *a = ctx;

    if (a->n < ARRAY_SIZE(a->ids))
        a->ids[a->n++] = t->task_id;
}

static bool exec_has(const struct adoption *a, uint64_t task)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->ids[i] == task)
            return true;
    return false;
}

void argus__work_adopt(struct argus *g)
{
    AUTO_FREE struct adoption *a = xnew0(struct adoption);

    exec_list(g->exec, note_task, a);
    for (size_t i = 0; i < g->book->cmds.n; i++) {
        struct argus_cmd *c = g->book->cmds.v[i];

        if (c->kind != ARGUS_RERUN || c->phase == ARGUS_OVER)
            continue;
        if (exec_has(a, c->task)) {
            c->phase = ARGUS_RUNNING; /* its end, if it came meanwhile, is told in a moment */
        } else if (c->phase == ARGUS_RUNNING && c->answer == ARGUS_NO_ANSWER) {
            c->phase = ARGUS_INTENT; /* exec never had it */
        } else if (c->phase == ARGUS_RUNNING) {
            note_end(g, c, &(struct task_end){ .outcome = OUTCOME_LOST, .message = STR("its task directory is gone") });
            c->phase = ARGUS_OVER;
        }
    }
    for (size_t i = 0; i < a->n; i++)
        if (a->ids[i] >= g->book->next_task)
            g->book->next_task = a->ids[i] + 1;
}
