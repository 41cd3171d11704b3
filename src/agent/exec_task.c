/* agent/exec_task.c - one task: its files, its hold, the socket between. See exec.h. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/exec_priv.h"
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

static int task_open(const struct task *t, const char *name, int flags)
{
    char path[TASK_PATH_MAX];
    int fd = openat(t->exec->tasks_fd, task_path(t->id, name, path), flags | O_CLOEXEC | O_NOFOLLOW, 0600);

    return fd < 0 ? -errno : fd;
}

struct task *task__new(struct exec *x, uint64_t id)
{
    struct task *t = xnew0(struct task);

    t->exec = x;
    t->id = id;
    t->conn = -1;
    t->order = x->next_order++;
    return t;
}

static void task_hang_up(struct task *t)
{
    watch_free(t->watch);
    t->watch = NULL;
    fd_close(&t->conn);
}

void task__free(struct task *t)
{
    if (!t)
        return;
    task_hang_up(t);
    free(t->message);
    free(t);
}

/* -- writing a task down */

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
        .start_before_us = t->start_before,
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

static int task_write_file(const struct task *t, const char *name, struct str s, bool is_durable)
{
    AUTO_FD int fd = task_open(t, name, O_WRONLY | O_CREAT | O_TRUNC);
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
    r = task_write_file(t, "spec", buf_as_str(&spec), is_queued);
    if (r == 0 && (cmd->stdin_open || cmd->stdin_data.b.len > 0))
        r = task_write_file(t, "in", cmd->stdin_data.b, is_queued);
    if (r == 0 && is_queued) {
        AUTO_FD int dir = task_open(t, "", O_RDONLY | O_DIRECTORY);

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

/* -- the end */

static bool task_read_status(struct task *t)
{
    uint8_t bytes[HOLD_PACKET_MAX];
    struct hold_end e;
    AUTO_FD int fd = task_open(t, "status", O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));

    if (n <= 0 || hold_end_read(str_bytes(bytes, (size_t)n), &e) < 0)
        return false;
    _Static_assert((int)HOLD_EXITED == (int)OUTCOME_EXITED && (int)HOLD_LOST == (int)OUTCOME_LOST, "one numbering");
    free(t->message);
    t->message = xstrdup(e.message);
    t->end = (struct task_end){
        .task_id = t->id,
        .outcome = (enum task_outcome)e.outcome,
        .exit_code = e.exit_code,
        .signal = e.signal,
        .started_at = e.started_at_us,
        .finished_at = e.finished_at_us,
        .stdout_bytes = e.stdout_bytes,
        .stderr_bytes = e.stderr_bytes,
        .stdout_total = e.stdout_total,
        .stderr_total = e.stderr_total,
        .stdout_truncated = e.is_stdout_cut,
        .stderr_truncated = e.is_stderr_cut,
        .message = str_of(t->message),
    };
    return true;
}

static uint64_t task_file_size(const struct task *t, const char *name)
{
    char path[TASK_PATH_MAX];
    struct stat st;

    if (!t->has_dir || fstatat(t->exec->tasks_fd, task_path(t->id, name, path), &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return (uint64_t)st.st_size;
}

void task__end(struct task *t, enum task_outcome outcome, const char *message)
{
    struct hold_end e = {
        .outcome = (uint32_t)outcome,
        .finished_at_us = clock_wall(&clock_real),
        .started_at_us = t->state.started_at_us,
        .stdout_bytes = task_file_size(t, "out"),
        .stderr_bytes = task_file_size(t, "err"),
    };
    uint8_t bytes[END_MAX_BYTES];

    e.stdout_total = e.stdout_bytes;
    e.stderr_total = e.stderr_bytes;
    (void)snprintf(e.message, sizeof(e.message), "%s", message);
    free(t->message);
    t->message = xstrdup(e.message);
    t->end = (struct task_end){
        .task_id = t->id,
        .outcome = outcome,
        .started_at = e.started_at_us,
        .finished_at = e.finished_at_us,
        .stdout_bytes = e.stdout_bytes,
        .stderr_bytes = e.stderr_bytes,
        .stdout_total = e.stdout_total,
        .stderr_total = e.stderr_total,
        .message = str_of(t->message),
    };
    if (t->has_dir) /* if this fails the next start of the agent will think again, and come to lost */
        (void)task_write_file(t, "status", str_bytes(bytes, hold_end_write(&e, bytes)), true);
    exec__ended(t);
}

/* A hold that was killed leaves its command behind, unwatched: no timeout, no cap, nobody to report. That is worse than none. */
static void task_kill_orphan(struct task *t)
{
    uint8_t bytes[STARTED_BYTES + 1];
    struct hold_started s;
    AUTO_FD int fd = task_open(t, "started", O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));

    if (n <= 0 || hold_started_read(str_bytes(bytes, (size_t)n), &s) < 0)
        return;
    t->state.started_at_us = s.at_us;
    if (s.pid > 1 && s.pid_ticks != 0 && hold_pid_ticks(s.pid) == s.pid_ticks) {
        log_warn("task.orphan", "killing a command whose hold is gone", LOG_U64("task", t->id), LOG_U64("pid", s.pid));
        (void)kill(-(pid_t)s.pid, SIGKILL);
    }
}

static void task_lost(struct task *t, const char *why)
{
    task_kill_orphan(t);
    task__end(t, OUTCOME_LOST, why);
}

/* -- the socket */

static void task_on_state(struct task *t, const struct hold_state *s)
{
    bool was_started = t->state.pid != 0;

    if (s->stdout_bytes != t->state.stdout_bytes || s->stderr_bytes != t->state.stderr_bytes)
        t->tell_output = true;
    t->state = *s;
    if (!was_started && s->pid != 0)
        t->tell_started = true;
    if (s->is_done && t->phase == TASK_RUNNING && task_read_status(t))
        exec__ended(t);
}

/* The hold is gone, or as good as. */
static void task_on_hangup(struct task *t)
{
    task_hang_up(t);
    if (t->hold_pid > 0)
        exec__reap_later(t->exec, t->hold_pid);
    t->hold_pid = 0;
    if (t->phase != TASK_RUNNING)
        return;
    if (task_read_status(t))
        exec__ended(t);
    else if (task__is_locked(t->exec, t->id))
        exec__probe_later(t->exec); /* it lives but dropped us: ask again */
    else
        task_lost(t, "muster-hold ended without a result");
}

static void task_on_readable(void *ctx, int events)
{
    struct task *t = ctx;
    struct exec *x = t->exec;
    struct {
        struct hold_head head;
        uint8_t body[HOLD_PACKET_MAX - sizeof(struct hold_head)];
    } p;

    (void)events;
    for (;;) {
        ssize_t n = recv(t->conn, &p, sizeof(p), MSG_DONTWAIT);
        struct hold_state s;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            task_on_hangup(t);
            break;
        }
        if ((size_t)n >= sizeof(p.head) + sizeof(s) && p.head.kind == HOLD_STATE) {
            memcpy(&s, p.body, sizeof(s));
            task_on_state(t, &s);
        }
    }
    exec__dispatch(x); /* may free @t */
}

static void task_follow(struct task *t, int conn)
{
    t->conn = conn;
    t->watch = watch_new(t->exec->loop, conn, task_on_readable, t);
    watch_set(t->watch, LOOP_READABLE);
}

int task__send(struct task *t, uint32_t kind, uint64_t a, uint64_t b)
{
    struct hold_head h = { .kind = kind, .a = a, .b = b };

    if (t->conn < 0)
        return -ENOTCONN;
    return send(t->conn, &h, sizeof(h), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void task_tell_input(struct task *t)
{
    if (t->takes_input && (t->in_size > 0 || t->is_in_whole))
        (void)task__send(t, HOLD_INPUT, t->in_size, t->is_in_whole);
}

int64_t task__input(struct task *t, uint64_t offset, struct str data, bool eof)
{
    uint64_t have = t->in_size - t->in_given;
    AUTO_FD int fd = -1;

    if (!t->takes_input || t->phase == TASK_DONE)
        return -EPIPE;
    if (offset > have || t->is_in_whole)
        return (int64_t)have; /* a gap: what is missing must come first */
    data = str_sub(data, (size_t)(have - offset), SIZE_MAX);
    if (data.len > EXEC_INPUT_MAX - have)
        data.len = (size_t)(EXEC_INPUT_MAX - have);
    if (data.len > 0) {
        int r;

        fd = task_open(t, "in", O_WRONLY | O_APPEND);
        r = fd < 0 ? fd : fd_write_all(fd, data.ptr, data.len);
        if (r < 0) {
            if (fd >= 0) /* half a piece is taken back */
                (void)!ftruncate(fd, (off_t)t->in_size);
            return r;
        }
        t->in_size += data.len;
    }
    if (eof) {
        t->is_in_whole = true;
        (void)task_write_file(t, "in.eof", STR_NONE, false);
    }
    task_tell_input(t);
    return (int64_t)(t->in_size - t->in_given);
}

/* -- the hold */

/* Out of the way of the number it will have there. */
static int move_up(int *fd)
{
    int up = fcntl(*fd, F_DUPFD_CLOEXEC, 10);

    if (up < 0)
        return -errno;
    (void)close(*fd);
    *fd = up;
    return 0;
}

static int run_hold(const char *path, int sock, pid_t *ret_pid)
{
    char name[] = "muster-hold", word[] = "--wait";
    char *argv[] = { name, word, NULL }, *env[] = { NULL };
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    sigset_t set;
    int r;

    (void)posix_spawn_file_actions_init(&fa);
    (void)posix_spawn_file_actions_adddup2(&fa, sock, HOLD_FD_AGENT);
    (void)posix_spawnattr_init(&attr);
    (void)sigemptyset(&set);
    (void)posix_spawnattr_setsigmask(&attr, &set);
    (void)sigfillset(&set);
    (void)posix_spawnattr_setsigdefault(&attr, &set);
    (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    r = posix_spawn(ret_pid, path, &fa, &attr, argv, env);
    (void)posix_spawn_file_actions_destroy(&fa);
    (void)posix_spawnattr_destroy(&attr);
    return -r;
}

static int hold_start(const char *path, struct hold_conn *ret)
{
    AUTO_FD int theirs = -1;
    int ends[2], r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return -errno;
    theirs = ends[1];
    r = move_up(&theirs);
    if (r == 0)
        r = run_hold(path, theirs, &ret->pid);
    if (r < 0) {
        (void)close(ends[0]);
        return r;
    }
    ret->sock = ends[0];
    return 0;
}

void exec__warm(struct exec *x)
{
    if (x->spare.sock < 0 && hold_start(x->hold_path, &x->spare) < 0)
        x->spare = (struct hold_conn){ .sock = -1 }; /* the task that needs one will say why */
}

void exec__retire(struct exec *x)
{
    if (x->spare.sock < 0)
        return;
    fd_close(&x->spare.sock); /* it ends by itself */
    exec__reap_later(x, x->spare.pid);
}

/* Hands the task over. */
static int hold_go(const struct hold_conn *c, uint64_t id, int dir, int lock)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = { 0 };
    struct hold_head head = { .kind = HOLD_GO, .a = id };
    struct iovec iov = iov_of(&head, sizeof(head));
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
    struct cmsghdr *m = CMSG_FIRSTHDR(&msg);
    int fds[2] = { dir, lock };

    m->cmsg_level = SOL_SOCKET;
    m->cmsg_type = SCM_RIGHTS;
    m->cmsg_len = CMSG_LEN(sizeof(fds));
    memcpy(CMSG_DATA(m), fds, sizeof(fds));
    return sendmsg(c->sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void task__spawn(struct task *t)
{
    AUTO_FD int lock = task_open(t, "lock", O_RDWR | O_CREAT);
    AUTO_FD int dir = task_open(t, "", O_RDONLY | O_DIRECTORY);
    struct exec *x = t->exec;
    struct hold_conn c = x->spare;
    char text[128];
    int r = -EPIPE;

    x->spare.sock = -1;
    if (dir < 0 || lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0) {
        task__end(t, OUTCOME_REFUSED, "the task's lock cannot be taken");
        r = 0;
    } else if (c.sock >= 0) {
        r = hold_go(&c, t->id, dir, lock);
    }
    if (c.sock >= 0 && (r < 0 || t->end.outcome != OUTCOME_NONE)) { /* somebody killed it while it waited */
        fd_close(&c.sock);
        exec__reap_later(x, c.pid);
    }
    if (t->end.outcome != OUTCOME_NONE)
        return;
    if (r < 0) {
        r = hold_start(x->hold_path, &c);
        if (r == 0)
            r = hold_go(&c, t->id, dir, lock);
    }
    if (r < 0) {
        (void)snprintf(text, sizeof(text), "cannot start muster-hold: %s", strerror(-r));
        task__end(t, OUTCOME_REFUSED, text);
        return;
    }
    t->hold_pid = c.pid;
    t->phase = TASK_RUNNING;
    x->n_running++;
    task_follow(t, c.sock);
    task_tell_input(t);
    exec__spare_used(x);
}

bool task__is_locked(struct exec *x, uint64_t id)
{
    char path[TASK_PATH_MAX];
    AUTO_FD int fd = openat(x->tasks_fd, task_path(id, "lock", path), O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static int task_connect(struct task *t)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    struct ucred who;
    socklen_t len = sizeof(who);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    (void)snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/%llu/sock", t->exec->tasks_fd,
                   (unsigned long long)t->id);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        int r = -errno;

        (void)close(fd);
        return r;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0)
        t->hold_pid = who.pid; /* ours to reap only where it is our child; asking does no harm */
    task_follow(t, fd);
    task_tell_input(t);
    if (t->is_cancel_due)
        t->is_cancel_due = task__send(t, HOLD_CANCEL, t->cancel_grace, 0) < 0;
    return 0;
}

/* What a running or queued task needs to go on, from its spec. */
static bool task_reread(struct task *t)
{
    AUTO(buf_done) struct buf bytes = BUF(SPEC_MAX_BYTES);
    AUTO(hold_spec_done) struct hold_spec s = { 0 };
    char path[TASK_PATH_MAX];

    if (fd_read_file_at(t->exec->tasks_fd, task_path(t->id, "spec", path), &bytes) < 0 ||
        hold_spec_read(buf_as_str(&bytes), &s) < 0)
        return false;
    t->start_before = s.start_before_us;
    t->is_of_this_boot = s.boot == t->exec->boot;
    t->takes_input = s.stdin_mode == HOLD_STDIN_PIPE;
    t->in_given = s.stdin_given;
    t->in_size = task_file_size(t, "in");
    t->is_in_whole = faccessat(t->exec->tasks_fd, task_path(t->id, "in.eof", path), F_OK, 0) == 0;
    return t->in_size >= t->in_given;
}

void task__probe(struct task *t)
{
    if (t->phase != TASK_RUNNING || t->conn >= 0)
        return;
    if (task_read_status(t)) {
        exec__ended(t);
    } else if (!task__is_locked(t->exec, t->id)) {
        /* It may have written its last word between the two questions. */
        if (task_read_status(t))
            exec__ended(t);
        else
            task_lost(t, "muster-hold ended without a result");
    } else if (task_connect(t) < 0) {
        exec__probe_later(t->exec);
    }
}

void task__adopt(struct task *t, enum ledger_state noted)
{
    char path[TASK_PATH_MAX];
    bool is_whole;

    t->has_dir = faccessat(t->exec->tasks_fd, task_path(t->id, "", path), F_OK, 0) == 0;
    is_whole = t->has_dir && task_reread(t);
    if (t->has_dir && task_read_status(t)) {
        exec__ended(t);
        return;
    }
    /* Noted as started, but the agent died before it made the lock: no hold was ever told. Only within one boot: a power cut may have
     * eaten the lock of a task that ran. */
    if (noted == LEDGER_STARTED && is_whole && t->is_of_this_boot &&
        faccessat(t->exec->tasks_fd, task_path(t->id, "lock", path), F_OK, 0) < 0 && errno == ENOENT)
        noted = LEDGER_QUEUED;
    if (noted == LEDGER_QUEUED && is_whole) {
        t->phase = TASK_QUEUED;
        t->exec->n_queued++;
        return;
    }
    if (t->has_dir && task__is_locked(t->exec, t->id)) {
        t->phase = TASK_RUNNING;
        t->exec->n_running++;
        if (task_connect(t) < 0)
            exec__probe_later(t->exec);
        return;
    }
    if (t->has_dir && task_read_status(t)) { /* between the two questions */
        exec__ended(t);
        return;
    }
    task_lost(t, t->has_dir ? "the agent or the host stopped while it ran" : "its directory is gone");
}
