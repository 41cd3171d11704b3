/* agent/collect/rpm.c - asks rpm by a child: its database has no other stable reader. The loop stands still meanwhile (half a
 * second as a rule, RPM_TIMEOUT_MS at most), so this runs only when the database's mtime changed. */
#include "agent/collect/packages.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

enum { RPM_TIMEOUT_MS = 8000 };

const char *rpm__database(const char *root)
{
    static const char *const paths[] = { "/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite",
                                         "/usr/lib/sysimage/rpm/Packages.db", "/var/lib/rpm/Packages.db", "/var/lib/rpm/Packages" };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (src__exists(root, paths[i]) && src__exists(root, "/usr/bin/rpm"))
            return paths[i];
    return NULL;
}

int rpm__line(void *ctx, struct str line)
{
    struct collect_out *out = ctx;
    struct package_facts f = { .manager = STR("rpm") };
    struct str size = STR_NONE;
    if (!str_cut(&line, '\t', &f.name) || !str_cut(&line, '\t', &f.version) || !str_cut(&line, '\t', &f.arch) || !f.name.len)
        return 0;
    if (str_is(f.name, "gpg-pubkey"))
        return 0; /* keys, not packages */
    str_cut(&line, '\t', &f.source);
    str_cut(&line, '\t', &f.section);
    str_cut(&line, '\t', &size);
    if (str_to_u64(size, &f.installed_bytes) < 0)
        f.installed_bytes = 0;
    if (str_is(f.section, "Unspecified"))
        f.section = STR_NONE;
    if (str_is(f.source, "(none)"))
        f.source = STR_NONE;
    f.name = str_sub(f.name, 0, 128);
    f.version = str_sub(f.version, 0, 128);
    f.arch = str_sub(f.arch, 0, 32);
    f.source = str_sub(f.source, 0, 128);
    f.section = str_sub(f.section, 0, 64);
    /* kernels are installed beside each other */
    bool has_many = str_starts(f.name, STR("kernel"));
    struct str key = arena_printf(out->arena, "%.*s%s%.*s:%.*s", STR_FMT(f.name), has_many ? "-" : "",
                                  has_many ? (int)f.version.len : 0, has_many ? f.version.ptr : "", STR_FMT(f.arch));
    return collect_row(out, key, &package_record, &f);
}

static int spawn(const char *root, int out_fd, pid_t *ret)
{
    char path[SRC_PATH_MAX];
    int r = src__path(path, root, "/usr/bin/rpm");
    if (r < 0)
        return r;
    const char *argv[] = { "rpm", "-qa", "--qf", RPM_FORMAT, NULL };
    const char *envp[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/", NULL };
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&fa, out_fd, 1);
    posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    r = -posix_spawn(ret, path, &fa, &attr, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)envp);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&attr);
    return r;
}

/* Feeds lines until end of file or the deadline. */
static int read_until(int fd, struct src_lines *l, usec_t deadline)
{
    char chunk[8192];
    for (;;) {
        usec_t now = clock_mono(&clock_real);
        if (now >= deadline)
            return -ETIMEDOUT;
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int n = poll(&p, 1, (int)((deadline - now) / USEC_PER_MS) + 1);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n <= 0)
            continue;
        ssize_t got = read(fd, chunk, sizeof(chunk));
        if (got < 0 && errno != EINTR && errno != EAGAIN)
            return -errno;
        if (got == 0)
            return src__lines_end(l);
        int r = got > 0 ? src__lines_feed(l, str_bytes(chunk, (size_t)got)) : 0;
        if (r != 0)
            return r;
    }
}

int rpm__run(struct collect_out *out, const char *root)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    AUTO_FD int in = fds[0], child_out = fds[1];
    pid_t pid;
    int r = spawn(root, child_out, &pid);
    fd_close(&child_out);
    if (r < 0)
        return collect__failed(out, r, "rpm");

    struct src_lines l = src__lines(rpm__line, out);
    r = read_until(in, &l, clock_mono(&clock_real) + RPM_TIMEOUT_MS * USEC_PER_MS);
    src__lines_done(&l);
    if (r != 0)
        kill(-pid, SIGKILL);
    int status = 0;
    pid_t got;
    while ((got = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        ;
    if (r == -ENOBUFS)
        return r;
    if (r < 0)
        return collect__failed(out, r, "rpm");
    /* somebody else may have reaped it (-ECHILD): its output was whole all the same */
    if (got == pid && status != 0)
        return collect__failed(out, -EIO, "rpm");
    return out->n_rows == 0 ? collect__garbled(out, "rpm", "lists no package of its database") : 0;
}
