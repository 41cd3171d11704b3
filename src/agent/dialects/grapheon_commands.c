/* agent/dialects/grapheon_commands.c - rows by running ip, ss and netstat; and which way a section is collected. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/dialects/grapheon.h"
#include "base/fd.h"

extern char **environ;

/* In the order they are tried: what its section has already is passed over. */
static const struct {
    const char *name, *argv[5];
    const char *extended[7]; /* for extended rows, where that is another */
} commands[] = {
    { "ip_addr", { "ip", "-json", "addr", "show" }, { NULL } },
    { "ip_neigh", { "ip", "-json", "neigh", "show" }, { NULL } },
    { "ip_route", { "ip", "-json", "route", "show" }, { "ip", "-json", "route", "show", "table", "all" } },
    { "ss_tunap", { "ss", "-tunapH" }, { NULL } },
    /* only when there is no ss: one that fails is a failure */
    { "netstat_tunap", { "netstat", "-tunap" }, { "netstat", "-tunapW" } },
};

/* Its output, no input, no complaints; a process group of its own, so that what it started goes with it. */
static int start(const char *const *argv, int out, pid_t *ret)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int r;

    sigemptyset(&none);
    sigfillset(&all);
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawnattr_init(&attr);
    (void)posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    (void)posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    (void)posix_spawnattr_setsigmask(&attr, &none);
    (void)posix_spawnattr_setsigdefault(&attr, &all);
    r = posix_spawnp(ret, argv[0], &files, &attr, (char *const *)(uintptr_t)argv, environ);
    (void)posix_spawn_file_actions_destroy(&files);
    (void)posix_spawnattr_destroy(&attr);
    return -r;
}

/* Until the end of the output, the deadline or the cap. */
static int read_all(int fd, usec_t deadline, struct buf *out)
{
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        usec_t now = clock_mono(&clock_real);
        uint8_t *room;
        ssize_t n;
        int r;

        if (now >= deadline)
            return -ETIMEDOUT;
        r = poll(&p, 1, (int)((deadline - now) / USEC_PER_MS) + 1);
        if (r < 0 && errno != EINTR)
            return -errno;
        if (r <= 0)
            continue;
        if (buf_reserve(out, 16 << 10, &room) < 0)
            return -EMSGSIZE;
        n = read(fd, room, 16 << 10);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return 0;
        if (n > 0)
            buf_commit(out, (size_t)n);
    }
}

/* Waits for the end; kills at the deadline or at once after a failure. The exit status. */
static int reap(pid_t pid, int so_far, usec_t deadline)
{
    int status = 0;

    while (so_far == 0) {
        pid_t got = waitpid(pid, &status, WNOHANG);

        if (got == pid)
            return status;
        if (clock_mono(&clock_real) >= deadline)
            break;
        (void)poll(NULL, 0, 1); /* it has closed its output: a moment, as a rule none */
    }
    (void)kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

int grapheon__command(const char *const *argv, usec_t timeout, struct buf *out, struct err *err)
{
    usec_t deadline = clock_mono(&clock_real) + timeout;
    AUTO_FD int in = -1;
    int fds[2], r, status;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_set(err, -errno, "grapheon.command", "pipe: %m");
    in = fds[0];
    r = start(argv, fds[1], &pid);
    (void)close(fds[1]);
    if (r < 0)
        return err_set(err, r, "grapheon.command", r == -ENOENT ? "%s is not on PATH" : "%s cannot be started: %m", argv[0]);
    r = read_all(in, deadline, out);
    status = reap(pid, r, deadline);
    if (r == -ETIMEDOUT || (r == 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
        return err_set(err, -ETIMEDOUT, "grapheon.command", "%s took longer than %llu s", argv[0],
                       (unsigned long long)(timeout / USEC_PER_SEC));
    if (r == -EMSGSIZE)
        return err_set(err, r, "grapheon.command", "%s printed more than %zu bytes", argv[0], out->max);
    if (r < 0)
        return err_set(err, r, "grapheon.command", "%s: %m", argv[0]);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(err, -EIO, "grapheon.command", "%s failed with code %d", argv[0],
                       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return 0;
}

int grapheon__by_command(enum grapheon_section s, usec_t timeout, struct rows *out, struct buf *text, const char **ret_name,
                         struct err *err)
{
    const struct listing *l = NULL;
    int r = -EINVAL;

    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        l = listing_find(str_of(commands[i].name));
        if (strcmp(l->section, grapheon_section_names[s]) != 0)
            continue;
        buf_reset(text);
        err_reset(err);
        r = grapheon__command(out->is_extended && commands[i].extended[0] ? commands[i].extended : commands[i].argv, timeout, text, err);
        if (r != -ENOENT)
            break;
    }
    if (r < 0)
        return r;
    out->is_wide = out->is_extended; /* what is run then has -W */
    *ret_name = l->name;
    return l->read(buf_as_str(text), out, err);
}

static void collect_one(const struct collect_wish *w, enum grapheon_section s, struct grapheon_sample *ret)
{
    AUTO(buf_done) struct buf text = BUF(GRAPHEON_OUTPUT_BYTES);
    struct rows *out = &ret->rows[s];
    struct err err = { 0 };
    int r;

    *out = (struct rows){
        .arena = w->arena, .max = w->max_rows, .drop_time_wait = w->drop_time_wait, .is_extended = w->is_extended
    };
    ret->status[s] = SECTION_DISABLED;
    if (!w->enabled[s])
        return;
    r = w->by_commands ? grapheon__by_command(s, w->timeout, out, &text, &ret->command[s], &err)
                       : grapheon__netlink(s, w->root, out);
    ret->status[s] = r == 0 ? SECTION_OK : r == -ENOENT ? SECTION_MISSING : SECTION_FAILED;
    if (r == 0) {
        rows_sort(out);
        if (w->keep_text) {
            ret->text[s] = text;
            text = (struct buf){ 0 };
        }
        return;
    }
    rows_done(out); /* half a section would look like removals */
    if (!err_is(&err))
        (void)err_set(&err, r, "grapheon.netlink", "netlink: %m");
    (void)snprintf(ret->why[s], sizeof(ret->why[s]), "%.150s", err.text);
    grapheon__say(SAY_WARNING, "Collecting %s failed: %s", grapheon_section_names[s], err.text);
}

void grapheon__collect(const struct collect_wish *w, struct grapheon_sample *ret)
{
    *ret = (struct grapheon_sample){ 0 };
    for (enum grapheon_section s = 0; s < GS_N; s++)
        collect_one(w, s, ret);
}

void sample__done(struct grapheon_sample *s)
{
    for (size_t i = 0; i < GS_N; i++) {
        rows_done(&s->rows[i]);
        buf_done(&s->text[i]);
    }
}
