/* agent/exec.c - the list of tasks, the queue, who hears what. See exec.h; one task is in exec_task.c. */
#include "agent/exec.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/exec_dir.h"
#include "agent/exec_hold.h"
#include "agent/exec_priv.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"

enum {
    REAP_EVERY = 5 * 1000,
    PROBE_EVERY = 200 * 1000,
    SPARE_AFTER = 10 * 1000,        /* a hold is made in advance when the command just begun is under way */
    SPARE_KEEP = 60 * 1000 * 1000,  /* and let go when no other command came: an idle agent has none */
};

/* Where @id is or would be in the sorted list. */
static size_t exec_index(const struct exec *x, uint64_t id)
{
    size_t lo = 0, hi = x->tasks.n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (x->tasks.v[mid]->id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct task *exec_find(const struct exec *x, uint64_t id)
{
    size_t i = exec_index(x, id);

    return i < x->tasks.n && x->tasks.v[i]->id == id ? x->tasks.v[i] : NULL;
}

static struct task *exec_add(struct exec *x, uint64_t id)
{
    size_t i = exec_index(x, id);
    struct task *t = task__new(x, id);

    (void)vec_add(&x->tasks);
    memmove(&x->tasks.v[i + 1], &x->tasks.v[i], (x->tasks.n - 1 - i) * sizeof(x->tasks.v[0]));
    x->tasks.v[i] = t;
    return t;
}

/* The task is over and the server knows: nothing of it stays but its line in the ledger. */
static void exec_drop(struct exec *x, struct task *t)
{
    size_t i = exec_index(x, t->id);

    assert(x->tasks.v[i] == t);
    (void)ledger_set(x->ledger, t->id, LEDGER_FORGOTTEN);
    if (t->has_dir)
        task__remove_dir(x, t->id);
    if (t->hold_pid > 0)
        exec__reap_later(x, t->hold_pid);
    vec_del(&x->tasks, i);
    task__free(t);
}

/* -- the queue */

static bool task__is_late(const struct task *t)
{
    return t->start_before && clock_mono(&clock_real) > t->start_before;
}

static void exec_start(struct exec *x, struct task *t)
{
    int r;

    if (task__is_late(t)) {
        task__end(t, OUTCOME_REFUSED, "not started by its deadline");
        return;
    }
    exec__warm(x);
    r = ledger_set(x->ledger, t->id, LEDGER_STARTED);
    if (r < 0)
        task__end(t, OUTCOME_REFUSED, "the intent to run it could not be written");
    else
        task__spawn(t);
}

static void exec_fill(struct exec *x)
{
    while (x->n_queued > 0 && x->n_running < x->conf.max_running) {
        struct task *first = NULL;

        for (size_t i = 0; i < x->tasks.n; i++) {
            struct task *t = x->tasks.v[i];

            if (t->phase == TASK_QUEUED && (!first || t->order < first->order))
                first = t;
        }
        assert(first);
        x->n_queued--;
        first->phase = TASK_DONE; /* unless the spawn says otherwise */
        exec_start(x, first);
    }
}

void exec__ended(struct task *t)
{
    struct exec *x = t->exec;

    if (t->phase == TASK_RUNNING)
        x->n_running--;
    if (t->phase == TASK_QUEUED && x->n_queued > 0)
        x->n_queued--;
    t->phase = TASK_DONE;
    t->tell_finished = true;
    exec__changed(x);
}

/* -- telling */

void exec__changed(struct exec *x)
{
    if (!timer_is_running(x->soon))
        timer_start(x->soon, 0, 0);
}

/* One event of one task; false when there is none left. A callback may forget tasks: so start over every time. */
static bool exec_tell_one(struct exec *x)
{
    for (size_t i = 0; i < x->tasks.n; i++) {
        struct task *t = x->tasks.v[i];

        if (t->phase == TASK_DONE && t->forget_at_end) {
            exec_drop(x, t);
            return true;
        }
        if (t->tell_started) {
            t->tell_started = false;
            if (!t->forget_at_end)
                x->ops.started(x->ops.ctx, t->id, t->state.pid, t->state.started_at_us);
            return true;
        }
        if (t->tell_output) {
            t->tell_output = false;
            if (!t->forget_at_end)
                x->ops.output(x->ops.ctx, t->id);
            return true;
        }
        if (t->tell_finished) {
            t->tell_finished = false;
            x->ops.finished(x->ops.ctx, &t->end);
            return true;
        }
    }
    return false;
}

void exec__dispatch(struct exec *x)
{
    timer_stop(x->soon);
    exec_fill(x);
    while (exec_tell_one(x))
        ;
    exec_fill(x);
}

static void exec_on_soon(void *ctx)
{
    exec__dispatch(ctx);
}

/* -- holds that ended, holds that do not answer */

static bool exec_reap(struct exec *x)
{
    for (size_t i = 0; i < x->dying.n;) {
        pid_t r = waitpid(x->dying.v[i], NULL, WNOHANG);

        if (r == 0)
            i++;
        else
            vec_del_swap(&x->dying, i); /* reaped, or never our child */
    }
    return x->dying.n > 0;
}

static void exec_on_later(void *ctx)
{
    struct exec *x = ctx;
    bool is_dying = exec_reap(x);

    for (size_t i = 0; i < x->tasks.n; i++)
        task__probe(x->tasks.v[i]);
    if (is_dying)
        timer_start(x->later, REAP_EVERY, 0);
    exec__dispatch(x);
}

void exec__reap_later(struct exec *x, pid_t pid)
{
    *vec_add(&x->dying) = pid;
    if (exec_reap(x))
        timer_start(x->later, REAP_EVERY, 0);
}

void exec__probe_later(struct exec *x)
{
    if (!timer_is_running(x->later))
        timer_start(x->later, PROBE_EVERY, 0);
}

/* -- the spare hold */

static void exec_on_spare(void *ctx)
{
    struct exec *x = ctx;

    if (x->is_spare_idle) {
        exec__retire(x);
        return;
    }
    exec__warm(x);
    x->is_spare_idle = true;
    timer_start(x->spare_timer, SPARE_KEEP, 0);
}

void exec__spare_used(struct exec *x)
{
    x->is_spare_idle = false;
    timer_start(x->spare_timer, SPARE_AFTER, 0);
}

/* -- open and close */

static void exec_adopt_book(struct exec *x)
{
    uint32_t iter = 0;
    uint64_t id;
    enum ledger_state noted;

    while (ledger_next(x->ledger, &iter, &id, &noted))
        task__adopt(exec_add(x, id), noted);
}

/* Directories the book does not list as open: of forgotten tasks (removed, once nobody runs there), or, where the book itself
 * was lost, of unknown ones, which then have to be taken for started. */
static int exec_adopt_rest(struct exec *x)
{
    int fd = openat(x->tasks_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *e;
    uint64_t id;
    int r = 0;

    if (!d)
        return -errno;
    while (r == 0 && (e = readdir(d))) {
        enum ledger_state noted;

        if (str_to_u64(str_of(e->d_name), &id) < 0 || exec_find(x, id))
            continue;
        noted = ledger_get(x->ledger, id);
        if (noted == LEDGER_FORGOTTEN && !task__is_locked(x, id)) {
            task__remove_dir(x, id);
            continue;
        }
        if (noted == LEDGER_NEVER)
            r = ledger_set(x->ledger, id, LEDGER_STARTED);
        if (r == 0) {
            struct task *t = exec_add(x, id);

            t->forget_at_end = noted == LEDGER_FORGOTTEN;
            task__adopt(t, LEDGER_STARTED);
        }
    }
    (void)closedir(d);
    return r;
}

static int exec_open_dir(struct exec *x, struct err *err)
{
    AUTO_FREE char *path = xasprintf("%s/tasks", x->conf.state_dir);
    int r;

    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return err_set(err, -errno, "exec.directory", "%s: %m", path);
    x->tasks_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (x->tasks_fd < 0)
        return err_set(err, -errno, "exec.directory", "%s: %m", path);
    r = ledger_open(x->tasks_fd, "ledger", &x->ledger, err);
    if (r < 0)
        err_prefix(err, "%s", path);
    return r;
}

/* Once, so that no command waits for a name service to learn who we are. */
static void exec_know_ourselves(struct exec *x)
{
    const struct passwd *pw = getpwuid(geteuid());

    x->own_user = xstrdup(pw ? pw->pw_name : "");
    if (!pw)
        return;
    x->own_env[0] = xasprintf("HOME=%s", pw->pw_dir);
    x->own_env[1] = xasprintf("USER=%s", pw->pw_name);
    x->own_env[2] = xasprintf("LOGNAME=%s", pw->pw_name);
    x->own_env[3] = xasprintf("SHELL=%s", pw->pw_shell[0] ? pw->pw_shell : "/bin/sh");
}

static uint64_t boot_number(void)
{
    static const uint8_t key[16];
    AUTO(buf_done) struct buf b = BUF(64);

    /* Unknown is a number too, but never twice the same. */
    return fd_read_file("/proc/sys/kernel/random/boot_id", &b) == 0 ? siphash(key, buf_as_str(&b)) : rand_u64();
}

int exec_open(struct loop *l, const struct exec_conf *conf, const struct exec_ops *ops, struct exec **ret, struct err *err)
{
    AUTO(exec_free) struct exec *x = xnew0(struct exec);
    int r;

    assert(conf->max_running > 0);
    *x = (struct exec){ .loop = l, .conf = *conf, .ops = *ops, .tasks_fd = -1, .spare = { .sock = -1 }, .hold_path = xstrdup(conf->hold_path) };
    exec_know_ourselves(x);
    x->boot = boot_number();
    r = exec_open_dir(x, err);
    if (r < 0)
        return r;
    x->soon = timer_new(l, exec_on_soon, x);
    x->later = timer_new(l, exec_on_later, x);
    x->spare_timer = timer_new(l, exec_on_spare, x);
    exec_adopt_book(x);
    r = exec_adopt_rest(x);
    if (r < 0)
        return err_set(err, r, "exec.adopt", "%s/tasks: %m", conf->state_dir);
    exec__changed(x);
    *ret = TAKE(x);
    return 0;
}

void exec_free(struct exec *x)
{
    if (!x)
        return;
    for (size_t i = 0; i < x->tasks.n; i++)
        task__free(x->tasks.v[i]);
    vec_done(&x->tasks);
    fd_close(&x->spare.sock);
    if (x->spare.pid > 0) /* whose end of it is not far, but it is not waited for */
        (void)waitpid(x->spare.pid, NULL, WNOHANG);
    vec_done(&x->dying);
    timer_free(x->spare_timer);
    timer_free(x->soon);
    timer_free(x->later);
    ledger_free(x->ledger);
    fd_close(&x->tasks_fd);
    free(x->hold_path);
    free(x->own_user);
    for (size_t i = 0; i < ARRAY_SIZE(x->own_env); i++)
        free(x->own_env[i]);
    free(x);
}

void exec_set_max_running(struct exec *x, uint32_t n)
{
    if (n == 0 || n == x->conf.max_running)
        return;
    x->conf.max_running = n;
    exec__changed(x);
}

void exec_set_policy(struct exec *x, bool allow_run, const char *const *allow_users)
{
    x->conf.allow_run = allow_run;
    x->conf.allow_users = allow_users;
}

/* -- commands */

static bool user_is_allowed(struct exec *x, struct str user)
{
    if (!x->conf.allow_users)
        return true;
    if (user.len == 0)
        user = str_of(x->own_user);
    for (size_t i = 0; x->conf.allow_users[i]; i++)
        if (str_is(user, x->conf.allow_users[i]))
            return true;
    return false;
}

static bool has_nul(const struct command *c)
{
    bool bad = str_has_nul(c->user) || str_has_nul(c->cwd);

    for (size_t i = 0; i < c->argv.n; i++)
        bad = bad || str_has_nul(c->argv.v[i]);
    for (size_t i = 0; i < c->env.n; i++)
        bad = bad || str_has_nul(c->env.v[i].key) || str_has_nul(c->env.v[i].value) || c->env.v[i].key.len == 0 ||
              str_find_char(c->env.v[i].key, '=') >= 0;
    return bad;
}

static size_t command_bytes(const struct command *c)
{
    size_t n = c->stdin_data.b.len + c->user.len + c->cwd.len;

    for (size_t i = 0; i < c->argv.n; i++)
        n += c->argv.v[i].len + 1;
    for (size_t i = 0; i < c->env.n; i++)
        n += c->env.v[i].key.len + c->env.v[i].value.len + 2;
    return n;
}

/* Why it may not run here, or NULL. */
static const char *exec_objection(struct exec *x, const struct task *t, const struct command *c)
{
    if (!x->conf.allow_run)
        return "commands are switched off on this host (policy: run off, or roles without command)";
    if (!user_is_allowed(x, c->user))
        return "the policy of this host does not allow this user";
    if (c->argv.n == 0)
        return "there is no command";
    if (c->argv.n > LIMIT_ARGV || c->env.n > SPEC_MAX_ENV - 4 || command_bytes(c) > LIMIT_COMMAND_BYTES)
        return "the command is too large";
    if (has_nul(c))
        return "a NUL byte in the command, or a bad name in its environment";
    if (task__is_late(t))
        return "not started by its deadline";
    if (x->n_queued >= EXEC_QUEUE_MAX)
        return "too many commands wait on this host";
    return NULL;
}

int exec_offer(struct exec *x, const struct command *cmd, usec_t start_within)
{
    bool is_queued = x->n_running >= x->conf.max_running || x->n_queued > 0;
    const char *objection;
    char text[128];
    struct task *t;
    int r;

    if (exec_find(x, cmd->task_id))
        return 0;
    t = exec_add(x, cmd->task_id);
    t->start_before = start_within ? clock_mono(&clock_real) + start_within : 0;
    if (ledger_get(x->ledger, cmd->task_id) != LEDGER_NEVER) {
        task__end(t, OUTCOME_LOST, "this host has had this task before and forgot it when its result was delivered");
        return 0;
    }
    objection = exec_objection(x, t, cmd);
    if (objection) {
        task__end(t, OUTCOME_REFUSED, objection);
        return 0;
    }

    if (!is_queued)
        exec__warm(x);
    r = task__write(t, cmd, is_queued);
    if (r == 0)
        r = ledger_set(x->ledger, t->id, is_queued ? LEDGER_QUEUED : LEDGER_STARTED);
    if (r < 0) {
        if (t->has_dir)
            task__remove_dir(x, t->id);
        t->has_dir = false;
        (void)snprintf(text, sizeof(text), "the intent to run it could not be written: %s", strerror(-r));
        task__end(t, OUTCOME_REFUSED, text);
        return r;
    }
    if (is_queued) {
        t->phase = TASK_QUEUED;
        x->n_queued++;
    } else {
        task__spawn(t);
    }
    x->ops.accepted(x->ops.ctx, cmd->task_id);
    return 0;
}

void exec_cancel(struct exec *x, uint64_t task_id, usec_t grace)
{
    struct task *t = exec_find(x, task_id);

    if (!t || t->phase == TASK_DONE)
        return;
    if (t->phase == TASK_QUEUED)
        task__end(t, OUTCOME_CANCELLED, "cancelled before it was started");
    else if (task__send(t, HOLD_CANCEL, grace, 0) < 0) {
        t->is_cancel_due = true;
        t->cancel_grace = grace;
    }
}

int64_t exec_input(struct exec *x, uint64_t task_id, uint64_t offset, struct str data, bool eof)
{
    struct task *t = exec_find(x, task_id);

    return t ? task__input(t, offset, data, eof) : -ENOENT;
}

int64_t exec_read(struct exec *x, uint64_t task_id, enum output_stream st, uint64_t offset, void *p, size_t n)
{
    struct task *t = exec_find(x, task_id);
    char path[48];
    AUTO_FD int fd = -1;
    ssize_t got;

    if (!t)
        return -ENOENT;
    if (!t->has_dir)
        return 0;
    (void)snprintf(path, sizeof(path), "%llu/%s", (unsigned long long)task_id, st == STREAM_STDOUT ? "out" : "err");
    fd = openat(x->tasks_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    got = pread(fd, p, n, (off_t)offset);
    return got < 0 ? -errno : got;
}

void exec_list(struct exec *x, void (*fn)(void *ctx, const struct exec_task *t), void *ctx)
{
    for (size_t i = 0; i < x->tasks.n; i++) {
        const struct task *t = x->tasks.v[i];
        struct exec_task out = { .task_id = t->id, .finished = t->phase == TASK_DONE };

        if (t->forget_at_end)
            continue;
        if (out.finished) {
            out.end = t->end;
            out.stdout_bytes = t->end.stdout_bytes;
            out.stderr_bytes = t->end.stderr_bytes;
        } else {
            out.stdout_bytes = t->state.stdout_bytes;
            out.stderr_bytes = t->state.stderr_bytes;
        }
        fn(ctx, &out);
    }
}

void exec_forget(struct exec *x, uint64_t task_id)
{
    struct task *t = exec_find(x, task_id);

    if (!t)
        return;
    t->forget_at_end = true;
    if (t->phase == TASK_DONE)
        (void)ledger_set(x->ledger, task_id, LEDGER_FORGOTTEN);
    exec__changed(x); /* the list must not change under a caller who walks it */
}

void exec_count(const struct exec *x, uint32_t *ret_running, uint32_t *ret_queued)
{
    *ret_running = x->n_running;
    *ret_queued = x->n_queued;
}
