/* agent/exec_dir.c - see exec_dir.h. */
#include "agent/exec_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"

enum { TASK_PATH_MAX = 48 };

/* "123/spec", for openat() in the tasks directory. */
static const char *task_path(uint64_t id, const char *name, char path[TASK_PATH_MAX])
{
    (void)snprintf(path, TASK_PATH_MAX, "%llu%s%s", (unsigned long long)id, name[0] ? "/" : "", name);
    return path;
}

int task__open(const struct task *t, const char *name, int flags)
{
    char path[TASK_PATH_MAX];
    int fd = openat(t->exec->tasks_fd, task_path(t->id, name, path), flags | O_CLOEXEC | O_NOFOLLOW, 0600);

    return fd < 0 ? -errno : fd;
}

static const char **words_of(const struct str_list *l, char **ret_text)
{
    const char **v = xcalloc(l->n + 1, sizeof(*v));
    size_t size = 1;
    char *p;

    for (size_t i = 0; i < l->n; i++)
        size += l->v[i].len + 1;
    p = *ret_text = xmalloc(size);
    for (size_t i = 0; i < l->n; i++) {
        v[i] = p;
        if (l->v[i].len) /* an empty argument may come without a place */
            memcpy(p, l->v[i].ptr, l->v[i].len);
        p += l->v[i].len;
        *p++ = '\0';
    }
    return v;
}

static bool has_key(const struct kv_list *l, const char *pair)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_starts(str_of(pair), l->v[i].key) && pair[l->v[i].key.len] == '=')
            return true;
    return false;
}

/* The given environment; before it, for a command of our own user (@own, else NULL), who that is. */
static const char **pairs_of(const struct kv_list *l, char *const own[4], char **ret_text)
{
    const char **v = xcalloc(l->n + 5, sizeof(*v)), **next = v;
    size_t size = 1, at = 0;
    char *p;

    for (int i = 0; own && i < 4; i++)
        if (own[i] && !has_key(l, own[i]))
            *next++ = own[i];

    for (size_t i = 0; i < l->n; i++)
        size += l->v[i].key.len + l->v[i].value.len + 2;
    p = *ret_text = xmalloc(size);
    for (size_t i = 0; i < l->n; i++) {
        *next++ = p + at;
        at += (size_t)snprintf(p + at, size - at, "%.*s=%.*s", STR_FMT(l->v[i].key), STR_FMT(l->v[i].value)) + 1;
    }
    return v;
}

/* What is written down is wall time, for it may be read after a reboot; in memory no deadline moves when the clock is set. */
static usec_t wall_over_mono(void)
{
    return clock_wall(&clock_real) - clock_mono(&clock_real);
}

static int task_spec(const struct task *t, const struct command *cmd, struct buf *out)
{
    AUTO_FREE char *argv_text = NULL, *env_text = NULL, *user = str_dup(cmd->user), *cwd = str_dup(cmd->cwd);
    AUTO_FREE const char **argv = words_of(&cmd->argv, &argv_text);
    AUTO_FREE const char **env = pairs_of(&cmd->env, cmd->user.len ? NULL : t->exec->own_env, &env_text);
    struct hold_spec s = {
        .task_id = t->id,
        .timeout_us = cmd->timeout,
        .grace_us = cmd->grace,
        .output_cap_bytes = cmd->output_cap_bytes,
        .start_before_us = t->start_before ? t->start_before + wall_over_mono() : 0,
        .boot = t->exec->boot,
        .stdin_given = cmd->stdin_data.b.len,
        .stdin_mode = cmd->stdin_open            ? HOLD_STDIN_PIPE
                      : cmd->stdin_data.b.len > 0 ? HOLD_STDIN_FILE
                                                  : HOLD_STDIN_NULL,
        .user = user ? user : "",
        .cwd = cwd ? cwd : "",
        .argv = argv,
        .env = env,
    };

    return hold_spec_write(&s, out);
}

int task__write_file(const struct task *t, const char *name, struct str s, bool is_durable)
{
    AUTO_FD int fd = task__open(t, name, O_WRONLY | O_CREAT | O_TRUNC);
    int r = fd < 0 ? fd : fd_write_all(fd, s.ptr, s.len);

    if (r == 0 && is_durable && fsync(fd) < 0)
        r = -errno;
    return r;
}

int task__write(struct task *t, const struct command *cmd, bool is_queued)
{
    AUTO(buf_done) struct buf spec = BUF(SPEC_MAX_BYTES);
    char path[TASK_PATH_MAX];
    int r = task_spec(t, cmd, &spec);

    if (r < 0)
        return r;
    if (mkdirat(t->exec->tasks_fd, task_path(t->id, "", path), 0700) < 0)
        return -errno;
    t->has_dir = true;
    r = task__write_file(t, "spec", buf_as_str(&spec), is_queued);
    if (r == 0 && (cmd->stdin_open || cmd->stdin_data.b.len > 0))
        r = task__write_file(t, "in", cmd->stdin_data.b, is_queued);
    if (r == 0 && is_queued) {
        AUTO_FD int dir = task__open(t, "", O_RDONLY | O_DIRECTORY);

        if (dir < 0 || fsync(dir) < 0 || fsync(t->exec->tasks_fd) < 0)
            r = -errno;
    }
    t->takes_input = cmd->stdin_open;
    t->in_given = t->in_size = cmd->stdin_data.b.len;
    return r;
}

void task__remove_dir(struct exec *x, uint64_t id)
{
    static const char *const names[] = { "spec", "in",  "in.eof", "lock",       "started",
                                         "out",  "err", "status", "status.tmp", "sock" };
    char path[TASK_PATH_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        (void)unlinkat(x->tasks_fd, task_path(id, names[i], path), 0);
    if (unlinkat(x->tasks_fd, task_path(id, "", path), AT_REMOVEDIR) < 0 && errno != ENOENT)
        log_warn("task.directory", "the directory of a finished task cannot be removed", LOG_U64("task", id),
                 LOG_CSTR("why", strerror(errno)));
}

void task__set_end(struct task *t, const struct hold_end *e)
{
    _Static_assert((int)HOLD_EXITED == (int)OUTCOME_EXITED && (int)HOLD_LOST == (int)OUTCOME_LOST, "one numbering");
    free(t->message);
    t->message = xstrdup(e->message);
    t->end = (struct task_end){
        .task_id = t->id,
        .outcome = (enum task_outcome)e->outcome,
        .exit_code = e->exit_code,
        .signal = e->signal,
        .started_at = e->started_at_us,
        .finished_at = e->finished_at_us,
        .stdout_bytes = e->stdout_bytes,
        .stderr_bytes = e->stderr_bytes,
        .stdout_total = e->stdout_total,
        .stderr_total = e->stderr_total,
        .stdout_truncated = e->is_stdout_cut,
        .stderr_truncated = e->is_stderr_cut,
        .message = str_of(t->message),
    };
}

bool task__read_status(struct task *t)
{
    uint8_t bytes[HOLD_PACKET_MAX];
    struct hold_end e;
    AUTO_FD int fd = task__open(t, "status", O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));

    if (n <= 0 || hold_end_read(str_bytes(bytes, (size_t)n), &e) < 0)
        return false;
    task__set_end(t, &e);
    return true;
}

bool task__has_file(const struct task *t, const char *name)
{
    char path[TASK_PATH_MAX];

    return faccessat(t->exec->tasks_fd, task_path(t->id, name, path), F_OK, 0) == 0;
}

uint64_t task__file_size(const struct task *t, const char *name)
{
    char path[TASK_PATH_MAX];
    struct stat st;

    if (!t->has_dir || fstatat(t->exec->tasks_fd, task_path(t->id, name, path), &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return (uint64_t)st.st_size;
}

bool task__is_locked(struct exec *x, uint64_t id)
{
    char path[TASK_PATH_MAX];
    AUTO_FD int fd = openat(x->tasks_fd, task_path(id, "lock", path), O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

bool task__reread(struct task *t)
{
    AUTO(buf_done) struct buf bytes = BUF(SPEC_MAX_BYTES);
    AUTO(hold_spec_done) struct hold_spec s = { 0 };
    char path[TASK_PATH_MAX];

    if (fd_read_file_at(t->exec->tasks_fd, task_path(t->id, "spec", path), &bytes) < 0 ||
        hold_spec_read(buf_as_str(&bytes), &s) < 0)
        return false;
    if (s.start_before_us) /* 1: it was over before this boot */
        t->start_before = s.start_before_us > wall_over_mono() ? s.start_before_us - wall_over_mono() : 1;
    t->is_of_this_boot = s.boot == t->exec->boot;
    t->takes_input = s.stdin_mode == HOLD_STDIN_PIPE;
    t->in_given = s.stdin_given;
    t->in_size = task__file_size(t, "in");
    t->is_in_whole = task__has_file(t, "in.eof");
    return t->in_size >= t->in_given;
}
