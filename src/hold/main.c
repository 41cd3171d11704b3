/* muster-hold - holds one command: runs it, keeps its output and its end in files, outlives the agent.
 *
 *   muster-hold --wait     as muster-agent starts it: the task comes through descriptor 3 (proto.h)
 *   muster-hold DIR        by hand: DIR as in agent/exec.h
 *
 * One thread, one poll(). Small on purpose: a host may run hundreds. When does a command end? When its own process has ended
 * and its output is read to the end, or 500 ms later if something it left in the background keeps the output open: such a
 * process is left alone (as with ssh and `nohup x >file &`), only nobody reads its output any more. A command that is
 * stopped (timeout, cancel) ends when everything it started has ended: SIGTERM to its group, grace, SIGKILL to all. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "hold/child.h"
#include "hold/hold.h"

static uint64_t read_clock(clockid_t which)
{
    struct timespec t;

    (void)clock_gettime(which, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t hold_now(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

uint64_t hold_wall(void)
{
    return read_clock(CLOCK_REALTIME);
}

/* -- the start */

static void take_over(struct hold *h, bool is_waiting)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    bool has_agent = is_waiting && null != HOLD_FD_AGENT && fcntl(HOLD_FD_AGENT, F_SETFD, FD_CLOEXEC) == 0;

    for (int fd = 0; fd < 3; fd++)
        (void)dup2(null, fd);
    if (null > 2 && null != HOLD_FD_AGENT)
        (void)close(null);
    (void)close_range(has_agent ? HOLD_FD_AGENT + 1 : 3, ~0U, 0);
    (void)setsid();
    (void)umask(077);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    (void)prctl(PR_SET_NAME, "muster-hold");

    *h = (struct hold){ .dir_fd = -1, .lock_fd = -1, .listen_fd = -1, .signal_fd = -1,
                        .error_fd = -1, .in_pipe = -1, .in_file = -1 };
    for (int i = 0; i < HOLD_CONNS; i++)
        h->conns[i] = -1;
    for (int i = 0; i < 2; i++)
        h->streams[i] = (struct hold_stream){ .pipe = -1, .file = -1 };
    if (has_agent)
        h->conns[0] = HOLD_FD_AGENT;
}

static int take_signals(struct hold *h)
{
    struct sigaction ign = { .sa_handler = SIG_IGN }, dfl = { .sa_handler = SIG_DFL };
    sigset_t mask;

    (void)sigaction(SIGPIPE, &ign, NULL);
    (void)sigaction(SIGCHLD, &dfl, NULL);
    (void)sigemptyset(&mask);
    (void)sigaddset(&mask, SIGCHLD);
    (void)sigaddset(&mask, SIGTERM);
    (void)sigaddset(&mask, SIGINT);
    (void)sigaddset(&mask, SIGHUP);
    (void)sigprocmask(SIG_SETMASK, &mask, NULL);
    h->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    return h->signal_fd < 0 ? -errno : 0;
}

/* Until the agent says what to do: 0, or -errno when it will not any more. */
static int wait_for_task(struct hold *h)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control;
    struct hold_head head;
    struct iovec iov = iov_of(&head, sizeof(head));
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
    struct pollfd p[] = { { h->conns[0], POLLIN, 0 }, { h->signal_fd, POLLIN, 0 } };
    const struct cmsghdr *c;
    int fds[2];

    for (;;) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return -errno;
        if (p[1].revents)
            return -EINTR; /* SIGTERM and the like: nothing was begun */
        if (p[0].revents)
            break;
    }
    if (recvmsg(h->conns[0], &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(head) || head.kind != HOLD_GO)
        return -ECONNRESET;
    c = CMSG_FIRSTHDR(&msg);
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(fds)))
        return -EBADMSG;
    memcpy(fds, CMSG_DATA(c), sizeof(fds));
    h->dir_fd = fds[0];
    h->lock_fd = fds[1];
    return 0;
}

static int read_spec(struct hold *h)
{
    struct stat st;
    AUTO_FD int fd = openat(h->dir_fd, "spec", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size <= 0 || st.st_size > SPEC_MAX_BYTES)
        return -EBADMSG;
    h->map_len = (size_t)st.st_size;
    h->map = mmap(NULL, h->map_len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (h->map == MAP_FAILED)
        return -errno;
    return hold_spec_read(str_bytes(h->map, h->map_len), &h->spec);
}

/* Takes the task: the lock, and `started`, which only one hold in the life of a task may create. */
static int open_task(struct hold *h, const char *path)
{
    static const uint8_t zeros[HOLD_STATUS_RESERVE];
    AUTO_FD int mark = -1, reserve = -1;

    if (h->dir_fd < 0)
        h->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (h->dir_fd < 0)
        return -errno;
    if (h->lock_fd < 0) {
        h->lock_fd = openat(h->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (h->lock_fd < 0 || flock(h->lock_fd, LOCK_EX | LOCK_NB) < 0)
            return -errno;
    }
    mark = openat(h->dir_fd, "started", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (mark < 0)
        return -errno;
    reserve = openat(h->dir_fd, "status.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (reserve < 0)
        return -errno;
    return fd_write_all(reserve, zeros, sizeof(zeros));
}

static void refuse(struct hold *h, const char *what, int code)
{
    h->is_refused = true;
    (void)snprintf(h->message, sizeof(h->message), "%s: %s", what, strerror(code < 0 ? -code : code));
}

static int open_input(struct hold *h)
{
    int ends[2];

    switch ((enum hold_stdin)h->spec.stdin_mode) {
    case HOLD_STDIN_NULL:
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    case HOLD_STDIN_FILE:
        return openat(h->dir_fd, "in", O_RDONLY | O_CLOEXEC);
    case HOLD_STDIN_PIPE:
        h->in_file = openat(h->dir_fd, "in", O_RDONLY | O_CLOEXEC);
        if (h->in_file < 0 || pipe2(ends, O_CLOEXEC) < 0)
            return -1;
        h->in_pipe = ends[1];
        (void)fd_set_nonblock(h->in_pipe);
        return ends[0];
    }
    return -1;
}

static int open_output(struct hold *h, int i)
{
    int ends[2];

    h->streams[i].file = openat(h->dir_fd, i == 0 ? "out" : "err", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (h->streams[i].file < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    h->streams[i].pipe = ends[0];
    (void)fd_set_nonblock(ends[0]);
    return ends[1];
}

static void start(struct hold *h)
{
    struct child_fds fds = { -1, -1, -1, -1 };
    int ends[2] = { -1, -1 };

    fds.in = open_input(h);
    fds.out = open_output(h, 0);
    fds.err = open_output(h, 1);
    if (fds.in < 0 || fds.out < 0 || fds.err < 0 || pipe2(ends, O_CLOEXEC) < 0) {
        refuse(h, "cannot make the command's files", errno);
        return;
    }
    h->error_fd = ends[0];
    fds.error_fd = ends[1];
    h->started_at_us = hold_wall();
    if (h->spec.timeout_us > 0)
        h->timeout_at = hold_now() + h->spec.timeout_us;

    /* vfork() spares a copy of our page tables, but we stand still until the exec: not while a user is looked up, which may ask
     * a server. The child only goes deeper into the stack from here, and its writes to the heap are lost words of ours. */
    pid_t pid = h->spec.user[0] ? fork() : vfork();
    if (pid == 0)
        child_run(&h->spec, &fds);
    h->pid = pid;
    if (h->pid < 0)
        refuse(h, "cannot start another process", errno);
    h->has_children = h->pid > 0;

    fd_close(&fds.in);
    fd_close(&fds.out);
    fd_close(&fds.err);
    fd_close(&fds.error_fd);
    h->is_in_whole = h->in_pipe < 0;
}

/* While one process holds the truth about another, it should be the last to go. After the fork: not for the command. */
static void survive_oom(void)
{
    AUTO_FD int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd >= 0)
        (void)fd_write_all(fd, "-900", 4);
}

/* -- the end of a command */

void hold_signal(struct hold *h, int signo)
{
    if (h->pid > 0 && h->is_started)
        (void)kill(-h->pid, signo);
}

/* Signals what the command left to us (we are its subreaper) outside its own group. */
static void signal_adopted(const struct hold *h, int signo)
{
    char path[64], text[1024];
    struct str rest, word;
    ssize_t n;
    uint64_t pid;
    AUTO_FD int fd = -1;

    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text));
    rest = str_bytes(text, n > 0 ? (size_t)n : 0);
    while (str_word(&rest, &word))
        if (str_to_u64(word, &pid) == 0 && (pid_t)pid != h->pid)
            (void)kill((pid_t)pid, signo);
}

void hold_stop(struct hold *h, enum hold_stop why, uint64_t grace_us)
{
    if (h->stop != STOP_NONE || h->has_exited || h->pid <= 0)
        return;
    h->stop = why;
    h->kill_at = hold_now() + grace_us;
    if (why == STOP_SHUTDOWN)
        (void)snprintf(h->message, sizeof(h->message), "stopped because muster-hold was told to stop");
    (void)kill(-h->pid, SIGTERM);
    if (!h->is_started)
        (void)kill(h->pid, SIGTERM); /* its group may not exist yet */
    (void)kill(-h->pid, SIGCONT); /* a stopped process would not notice */
    signal_adopted(h, SIGTERM);
}

static void kill_all(struct hold *h, uint64_t now)
{
    if (!h->is_killed)
        h->give_up_at = now + HOLD_REAP_US;
    h->is_killed = true;
    (void)kill(-h->pid, SIGKILL);
    if (!h->has_exited)
        (void)kill(h->pid, SIGKILL);
    signal_adopted(h, SIGKILL);
}

static void reap(struct hold *h)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == h->pid) {
            h->has_exited = true;
            h->wait_status = status;
            h->drain_until = hold_now() + HOLD_DRAIN_US;
        }
    h->has_children = pid == 0;
}

static void take_signal(struct hold *h)
{
    struct signalfd_siginfo si;

    while (read(h->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
        if (si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT)
            hold_stop(h, STOP_SHUTDOWN, h->spec.grace_us);
    reap(h);
}

/* The child's last words before exec, or their absence. */
static void take_exec_result(struct hold *h)
{
    ssize_t n = read(h->error_fd, h->message, sizeof(h->message) - 1);

    if (n < 0 && errno == EINTR)
        return;
    fd_close(&h->error_fd);
    if (n > 0) {
        h->message[n] = '\0';
        h->is_refused = true;
        return;
    }
    h->message[0] = '\0';
    h->is_started = true;
    h->is_state_due = true;
    hold_note_start(h);
}

/* -- bytes */

static void pump_output(struct hold_stream *s, uint64_t cap)
{
    static uint8_t bytes[64 << 10]; /* touched only as far as there is output */
    ssize_t n = read(s->pipe, bytes, sizeof(bytes));
    size_t keep;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        fd_close(&s->pipe);
        return;
    }
    s->total += (uint64_t)n;
    keep = s->is_cut || s->kept >= cap ? 0 : (size_t)n;
    if (keep > cap - s->kept)
        keep = (size_t)(cap - s->kept);
    for (size_t at = 0; at < keep;) {
        ssize_t w = write(s->file, bytes + at, keep - at);

        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0) /* disk full: from here on the file is a prefix, and says so */
            break;
        at += (size_t)w;
        s->kept += (uint64_t)w;
    }
    s->is_cut = s->kept < s->total;
}

static void feed_input(struct hold *h)
{
    uint8_t bytes[4096];
    ssize_t n, w;

    if (h->in_at == h->in_size) {
        if (h->is_in_whole)
            fd_close(&h->in_pipe);
        return;
    }
    n = pread(h->in_file, bytes, sizeof(bytes), (off_t)h->in_at);
    if (n <= 0) {
        fd_close(&h->in_pipe);
        return;
    }
    w = write(h->in_pipe, bytes, (size_t)n);
    if (w < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (w < 0) /* it reads no more */
        fd_close(&h->in_pipe);
    else
        h->in_at += (uint64_t)w;
}

/* -- the loop */

static bool is_over(const struct hold *h, uint64_t now)
{
    bool is_quiet = h->streams[0].pipe < 0 && h->streams[1].pipe < 0;

    if (h->is_refused)
        return !h->has_children || now >= h->drain_until;
    if (!h->has_exited || h->error_fd >= 0)
        return false;
    if (!is_quiet && now < h->drain_until)
        return false;
    return h->stop == STOP_NONE || !h->has_children || (h->is_killed && now >= h->give_up_at);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* Acts on what is due; returns when to come back, 0: only for an event. */
static uint64_t on_time(struct hold *h, uint64_t now)
{
    uint64_t next = 0;

    if (h->timeout_at && now >= h->timeout_at && !h->has_exited) {
        h->timeout_at = 0;
        hold_stop(h, STOP_TIMEOUT, h->spec.grace_us);
    }
    if (!h->has_exited)
        next = h->timeout_at;
    if (h->stop != STOP_NONE && h->has_children) {
        if (now >= h->kill_at) {
            kill_all(h, now);
            reap(h);
            /* What had children of its own hands them to us: look again shortly. */
            next = earlier(next, now + 2000);
        } else {
            next = earlier(next, h->kill_at);
        }
    }
    if (h->has_exited && now < h->drain_until)
        next = earlier(next, h->drain_until);
    return earlier(next, hold_tell(h, now));
}

/* Seconds of inactivity free nothing: the set is rebuilt on every turn, it has at most eleven members. */
static void turn(struct hold *h, uint64_t until)
{
    enum { AT_SIGNAL, AT_LISTEN, AT_ERROR, AT_IN, AT_OUT, AT_ERR, AT_CONNS, AT_N = AT_CONNS + HOLD_CONNS };
    bool may_feed = h->in_pipe >= 0 && (h->in_at < h->in_size || h->is_in_whole);
    struct pollfd p[AT_N] = {
        [AT_SIGNAL] = { h->signal_fd, POLLIN, 0 },
        [AT_LISTEN] = { h->listen_fd, POLLIN, 0 },
        [AT_ERROR] = { h->error_fd, POLLIN, 0 },
        [AT_IN] = { h->in_pipe, may_feed ? POLLOUT : 0, 0 },
        [AT_OUT] = { h->streams[0].pipe, POLLIN, 0 },
        [AT_ERR] = { h->streams[1].pipe, POLLIN, 0 },
    };
    uint64_t now = hold_now(), wait = until > now ? until - now : 0;
    struct timespec ts = { (time_t)(wait / 1000000), (long)(wait % 1000000) * 1000 };

    for (int i = 0; i < HOLD_CONNS; i++)
        p[AT_CONNS + i] = (struct pollfd){ h->conns[i], POLLIN, 0 };
    if (ppoll(p, AT_N, until ? &ts : NULL, NULL) <= 0)
        return;

    if (p[AT_ERROR].revents) /* before the signal: a refusal must be known when its exit is */
        take_exec_result(h);
    if (p[AT_SIGNAL].revents)
        take_signal(h);
    for (int i = 0; i < HOLD_CONNS; i++)
        if (p[AT_CONNS + i].revents)
            hold_receive(h, i);
    if (p[AT_LISTEN].revents)
        hold_accept(h);
    for (int i = 0; i < 2; i++)
        if (p[AT_OUT + i].revents) {
            pump_output(&h->streams[i], h->spec.output_cap_bytes);
            h->is_state_due = true;
        }
    if (p[AT_IN].revents & (POLLERR | POLLHUP))
        fd_close(&h->in_pipe);
    else if (p[AT_IN].revents)
        feed_input(h);
}

int main(int argc, char **argv)
{
    bool is_waiting = argc == 2 && strcmp(argv[1], "--wait") == 0;
    struct hold h;
    int r;

    if (argc != 2 || (argv[1][0] == '-' && !is_waiting)) {
        (void)fprintf(stderr, "usage: muster-hold DIR (muster-agent runs it, nobody else needs to)\n");
        return 2;
    }
    take_over(&h, is_waiting);
    if (take_signals(&h) < 0)
        return 1;
    if (is_waiting && wait_for_task(&h) < 0)
        return 0;
    if (open_task(&h, argv[1]) < 0)
        return 1;
    hold_listen(&h);
    r = read_spec(&h);
    if (r < 0)
        refuse(&h, "the task's spec is unreadable", r);
    else
        start(&h);
    survive_oom();
    hold_spec_done(&(struct hold_spec){ .argv = h.spec.argv, .env = h.spec.env });
    h.spec.argv = h.spec.env = NULL;

    for (uint64_t now = hold_now(); !is_over(&h, now); now = hold_now())
        turn(&h, on_time(&h, now));
    hold_finish(&h);
    return 0;
}
