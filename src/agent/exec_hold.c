/* agent/exec_hold.c - see exec_hold.h. */
#include "agent/exec_hold.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

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

int hold_conn_start(const char *path, struct hold_conn *ret)
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
    if (x->spare.sock < 0 && hold_conn_start(x->hold_path, &x->spare) < 0)
        x->spare = (struct hold_conn){ .sock = -1 }; /* the task that needs one will say why */
}

void exec__retire(struct exec *x)
{
    if (x->spare.sock < 0)
        return;
    fd_close(&x->spare.sock); /* it ends by itself */
    exec__reap_later(x, x->spare.pid);
}

int hold_conn_go(const struct hold_conn *c, uint64_t id, int dir, int lock)
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
