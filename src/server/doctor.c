/* server/doctor.c - musterd doctor: looks at everything a server needs, says what is wrong and the fix.
 * Changes nothing. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "server/offline.h"
#include "server/statedir.h"
#include "store/store.h"

struct doctor {
    int n_wrong;
};

static void good(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void good(const char *fmt, ...)
{
    va_list ap;

    (void)fputs("ok     ", stdout);
    va_start(ap, fmt);
    (void)vprintf(fmt, ap);
    va_end(ap);
    (void)putchar('\n');
}

static void bad(struct doctor *d, const char *fix, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void bad(struct doctor *d, const char *fix, const char *fmt, ...)
{
    va_list ap;

    d->n_wrong++;
    (void)fputs("WRONG  ", stdout);
    va_start(ap, fmt);
    (void)vprintf(fmt, ap);
    va_end(ap);
    (void)printf("\n       fix: %s\n", fix);
}

static void look_at_directory(struct doctor *d, const struct statedir *dir)
{
    struct stat st;

    if (stat(dir->path, &st) < 0) {
        if (errno == ENOENT)
            good("state directory %s: not there yet, the first start makes it", dir->path);
        else
            bad(d, "make it readable for this user", "state directory %s: %s", dir->path, strerror(errno));
        return;
    }
    if (!S_ISDIR(st.st_mode))
        bad(d, "remove the file, or give another path with --state-dir", "%s is not a directory", dir->path);
    else if (st.st_uid != geteuid() && geteuid() != 0)
        bad(d, "run as its owner, or chown it", "state directory %s belongs to user %u, this is user %u",
            dir->path, st.st_uid, geteuid());
    else if (st.st_mode & 077)
        bad(d, "chmod 700 it (a start does)", "state directory %s can be read by others (mode %04o)",
            dir->path, st.st_mode & 07777);
    else if (st.st_uid != geteuid())
        good("state directory %s belongs to user %u: musterd must run as that user", dir->path, st.st_uid);
    else
        good("state directory %s", dir->path);
}

/* A file without a name: nothing is left behind, and nobody sees it. A file system that has none of these is not asked. */
static int try_to_write(const char *dir)
{
    static const char page[4096];
    AUTO_FD int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

    if (fd < 0)
        return errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    return pwrite(fd, page, sizeof(page), 0) < 0 ? -errno : 0;
}

/* False when nothing can be written there: the database may not even be opened then, which says nothing of the database. */
static bool look_at_disk(struct doctor *d, const struct statedir *dir)
{
    struct statvfs v;
    uint64_t free_bytes;
    int r = try_to_write(dir->path);

    if (statvfs(dir->path, &v) < 0)
        return true;
    free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    if (v.f_flag & ST_RDONLY) {
        bad(d, "mount it read-write, and look again: the database was not looked at", "the file system of %s is read-only", dir->path);
        return false;
    }
    if (r == -EROFS || r == -EIO || r == -ESHUTDOWN || r == -EUCLEAN) { /* said to be read-write, and stopped by its own error */
        bad(d, "look for its error in the kernel's log (dmesg), check it unmounted (fsck), mount it again, and look again: the database was "
               "not looked at", "nothing can be written in %s: %s, though it is mounted read-write", dir->path, strerror(-r));
        return false;
    }
    if (free_bytes < (512ULL << 20))
        bad(d, "free some space, or lower --quota and --retention", "only %llu MiB are free at %s",
            (unsigned long long)(free_bytes >> 20), dir->path);
    else if (r == -EDQUOT || r == -ENOSPC)
        bad(d, "raise the quota, or free files or space", "nothing can be written in %s: %s", dir->path, strerror(-r));
    else if (r == -EPERM && geteuid() == 0)
        bad(d, "chattr -i it, or lift what forbids it", "nothing can be written in %s: %s", dir->path, strerror(-r));
    else
        good("disk: %llu MiB free", (unsigned long long)(free_bytes >> 20));
    return true;
}

/* The server's own, of the directory's owner and his alone: what an earlier start as another user, or a copy, left behind stops the next one. */
static void look_at_files(struct doctor *d, const struct statedir *dir)
{
    DIR *list = opendir(dir->path);
    struct stat top, st;

    if (!list || fstat(dirfd(list), &top) < 0) {
        if (list)
            (void)closedir(list);
        return;
    }
    for (struct dirent *e; (e = readdir(list));) {
        if ((strncmp(e->d_name, "muster.db", 9) != 0 && strcmp(e->d_name, "musterd.lock") != 0) ||
            fstatat(dirfd(list), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (st.st_uid != top.st_uid)
            bad(d, "stop musterd, and chown it to the directory's owner", "%s/%s belongs to user %u, the directory to user %u", dir->path,
                e->d_name, st.st_uid, top.st_uid);
        if (S_ISREG(st.st_mode) && (st.st_mode & 077))
            bad(d, "chmod 600 it", "%s/%s can be read by others (mode %04o)", dir->path, e->d_name, st.st_mode & 07777);
        else if (S_ISREG(st.st_mode) && (st.st_mode & 0600) != 0600)
            bad(d, "chmod 600 it", "%s/%s cannot be written by its owner (mode %04o)", dir->path, e->d_name, st.st_mode & 07777);
    }
    (void)closedir(list);
}

/* 0 or -errno, as the user @uid sees it: with his groups, and every directory on the way. Not root: as ourselves. */
static int may_read(uid_t uid, const char *path)
{
    int status = 0;
    pid_t pid;

    if (geteuid() != 0 || uid == 0)
        return access(path, R_OK) < 0 ? -errno : 0;
    pid = fork();
    if (pid == 0) {
        const struct passwd *pw = getpwuid(uid);

        if (!pw || initgroups(pw->pw_name, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 || setuid(uid) < 0)
            _exit(0); /* nobody we can become: nothing is known */
        _exit(access(path, R_OK) < 0 ? errno : 0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
        return 0;
    return -WEXITSTATUS(status);
}

/* Root reads everything; the user the server runs as, who has its directory, need not. */
static void look_at_readers(struct doctor *d, const struct options *o, const struct statedir *dir)
{
    const char *const files[] = { o->config, o->tls_cert, o->tls_key };
    struct stat st;

    if (stat(dir->path, &st) < 0)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        int r = files[i] ? may_read(st.st_uid, files[i]) : 0;

        if (r < 0)
            bad(d, "give it to that user or its group (chgrp, chmod 640), and let them into its directory (chmod g+x)",
                "%s cannot be read by user %u, whose the state directory is: %s", files[i], st.st_uid, strerror(-r));
    }
}

static void look_at_database(struct doctor *d, const struct statedir *dir)
{
    struct err err = { 0 };
    struct stat st;

    if (store_check_lost(dir->db, &err) < 0) {
        bad(d, "stop musterd, move the state directory away, and run: musterd restore BACKUP-FILE", "database: %s", err.text);
        return;
    }
    if (stat(dir->db, &st) < 0) {
        if (errno == ENOENT)
            good("database: none yet");
        else if (errno != ENOTDIR)
            bad(d, "make it readable for this user", "database %s: %s", dir->db, strerror(errno));
        return;
    }
    if (store_check(dir->db, &err) < 0)
        bad(d, "stop musterd, move the state directory away, and run: musterd restore BACKUP-FILE",
            "database: %s", err.text);
    else
        good("database: whole, %lld KiB", (long long)st.st_size / 1024);
}

static bool port_is_free(const struct listen_at *at, uint16_t port, int *ret_errno)
{
    struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    bool is_v6 = inet_pton(AF_INET6, at->addr, &a6.sin6_addr) == 1;
    AUTO_FD int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    (void)inet_pton(AF_INET, at->addr, &a4.sin_addr);
    if (fd < 0)
        return true;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, is_v6 ? (struct sockaddr *)&a6 : (struct sockaddr *)&a4, is_v6 ? sizeof(a6) : sizeof(a4)) ==
        0)
        return true;
    *ret_errno = errno;
    return false;
}

static void look_at_ports(struct doctor *d, const struct options *o, long running)
{
    static const char *const what[] = { "gRPC", "WebSocket", "HTTP" };
    struct listen_at at;
    struct err err = { 0 };

    if (options_listen(o, &at, &err) < 0) {
        bad(d, "correct the option listen", "%s", err.text);
        return;
    }
    for (uint16_t i = 0; i < 3 && at.port; i++) {
        uint16_t port = (uint16_t)(at.port + i);
        int e = 0;

        if (port_is_free(&at, port, &e))
            good("port %u (%s) is free", port, what[i]);
        else if (running)
            good("port %u (%s) is in use, as it should: musterd runs (pid %ld)", port, what[i], running);
        else
            bad(d, "stop what uses it (ss -ltnp), or give another base port with --listen",
                "port %u (%s): %s", port, what[i], strerror(e));
    }
}

static void look_at_clock(struct doctor *d)
{
    struct timex t = { 0 };
    time_t now = time(NULL);

    if (now < 1735689600) /* 2025: before this program was written */
        bad(d, "set the clock; certificates depend on it",
            "the clock is in the past (%lld seconds since 1970)", (long long)now);
    else if (adjtimex(&t) == TIME_ERROR && (t.status & STA_UNSYNC))
        good("clock: right by its year, but nothing keeps it in step (timedatectl set-ntp true)");
    else
        good("clock: in step");
}

static void look_at_limits(struct doctor *d)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        return;
    if (r.rlim_max < 16384)
        bad(d, "LimitNOFILE=1048576 in the unit, or ulimit -Hn",
            "only %llu descriptors are allowed: about as many agents", (unsigned long long)r.rlim_max);
    else
        good("descriptors: %llu", (unsigned long long)r.rlim_max);
}

int offline_doctor(const struct conf *c, const struct options *o)
{
    struct doctor d = { 0 };
    struct statedir dir;
    struct err err = { 0 };
    long running;

    (void)c;
    good("configuration%s%s", o->config ? " " : ": no file, defaults", o->config ? o->config : "");
    if (statedir_paths(options_state_dir(o), &dir, &err) < 0) {
        bad(&d, "give a shorter one", "%s", err.text);
        return 1;
    }
    running = statedir_holder(&dir);
    look_at_directory(&d, &dir);
    look_at_files(&d, &dir);
    look_at_readers(&d, o, &dir);
    if (look_at_disk(&d, &dir))
        look_at_database(&d, &dir);
    look_at_ports(&d, o, running);
    look_at_clock(&d);
    look_at_limits(&d);
    if (strlen(dir.socket) > 107)
        bad(&d, "a shorter --state-dir", "the path of the local socket is too long: %s", dir.socket);
    (void)printf("%s\n", d.n_wrong ? "something is wrong: see above" : "all is well");
    return d.n_wrong ? 1 : 0;
}
