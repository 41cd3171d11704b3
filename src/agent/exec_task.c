/* agent/exec_task.c - one task: its phases, and the socket to its hold. See exec.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/exec_dir.h"
#include "agent/exec_hold.h"
#include "agent/exec_priv.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"

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

/* -- the end */

void task__end(struct task *t, enum task_outcome outcome, const char *message)
{
    struct hold_end e = {
        .outcome = (uint32_t)outcome,
        .finished_at_us = clock_wall(&clock_real),
        .started_at_us = t->state.started_at_us,
        .stdout_bytes = task__file_size(t, "out"),
        .stderr_bytes = task__file_size(t, "err"),
    };
    uint8_t bytes[END_MAX_BYTES];

    e.stdout_total = e.stdout_bytes;
    e.stderr_total = e.stderr_bytes;
    (void)snprintf(e.message, sizeof(e.message), "%s", message);
    task__set_end(t, &e);
    if (t->has_dir) /* if this fails the next start of the agent will think again, and come to lost */
        (void)task__write_file(t, "status", str_bytes(bytes, hold_end_write(&e, bytes)), true);
    exec__ended(t);
}

/* A hold that was killed leaves its command behind, unwatched: no timeout, no cap, nobody to report. That is worse than none. */
static void task_kill_orphan(struct task *t)
{
    uint8_t bytes[STARTED_BYTES + 1];
    struct hold_started s;
    AUTO_FD int fd = task__open(t, "started", O_RDONLY);
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
    if (s->is_done && t->phase == TASK_RUNNING && task__read_status(t))
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
    if (task__read_status(t))
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

        fd = task__open(t, "in", O_WRONLY | O_APPEND);
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
        (void)task__write_file(t, "in.eof", STR_NONE, false);
    }
    task_tell_input(t);
    return (int64_t)(t->in_size - t->in_given);
}

/* -- its hold */

void task__spawn(struct task *t)
{
    AUTO_FD int lock = task__open(t, "lock", O_RDWR | O_CREAT);
    AUTO_FD int dir = task__open(t, "", O_RDONLY | O_DIRECTORY);
    struct exec *x = t->exec;
    struct hold_conn c = x->spare;
    char text[128];
    int r = -EPIPE;

    x->spare.sock = -1;
    if (dir < 0 || lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0) {
        task__end(t, OUTCOME_REFUSED, "the task's lock cannot be taken");
        r = 0;
    } else if (c.sock >= 0) {
        r = hold_conn_go(&c, t->id, dir, lock);
    }
    if (c.sock >= 0 && (r < 0 || t->end.outcome != OUTCOME_NONE)) { /* somebody killed it while it waited */
        fd_close(&c.sock);
        exec__reap_later(x, c.pid);
    }
    if (t->end.outcome != OUTCOME_NONE)
        return;
    if (r < 0) {
        r = hold_conn_start(x->hold_path, &c);
        if (r == 0)
            r = hold_conn_go(&c, t->id, dir, lock);
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

void task__probe(struct task *t)
{
    if (t->phase != TASK_RUNNING || t->conn >= 0)
        return;
    if (task__read_status(t)) {
        exec__ended(t);
    } else if (!task__is_locked(t->exec, t->id)) {
        /* It may have written its last word between the two questions. */
        if (task__read_status(t))
            exec__ended(t);
        else
            task_lost(t, "muster-hold ended without a result");
    } else if (task_connect(t) < 0) {
        exec__probe_later(t->exec);
    }
}

void task__adopt(struct task *t, enum ledger_state noted)
{
    bool is_whole;

    t->has_dir = task__has_file(t, "");
    is_whole = t->has_dir && task__reread(t);
    if (t->has_dir && task__read_status(t)) {
        exec__ended(t);
        return;
    }
    /* Noted as started, but the agent died before it made the lock: no hold was ever told. Only within one boot: a power cut may have
     * eaten the lock of a task that ran. */
    if (noted == LEDGER_STARTED && is_whole && t->is_of_this_boot &&
        !task__has_file(t, "lock") && errno == ENOENT)
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
    if (t->has_dir && task__read_status(t)) { /* between the two questions */
        exec__ended(t);
        return;
    }
    task_lost(t, t->has_dir ? "the agent or the host stopped while it ran" : "its directory is gone");
}
