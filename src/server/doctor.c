/* server/doctor.c - musterd doctor: looks at everything a server needs, says what is wrong and the fix. It asks in the
 * way the start does: opens the listeners, loads the certificate, tries to write where a file will be. Changes nothing. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "base/fd.h"
#include "base/mem.h"
#include "net/listen.h"
#include "server/offline.h"
#include "server/statedir.h"
#include "server/tls_people.h"
#include "store/store.h"

#define UNIT_CONFIG "/etc/muster/musterd.yaml" /* what the installed unit starts with */

struct doctor {
    int n_wrong;
};

/* What mends an error; the last row, of code 0, is for all others. */
struct fix {
    int code;
    const char *text;
};

static const struct fix fix_reading[] = {
    { ENOENT, "correct the path, or put the file there" },
    { ENOTDIR, "correct the path: a part of it is no directory" },
    { EACCES, "give it to that user, whose the state directory is, or to its group (chgrp, chmod 640), and let them into its directory (chmod g+x)" },
    { 0, "look at the file and the file system that it is on" },
};
static const struct fix fix_making[] = {
    { ENOENT, "make the directory it is to be in, or correct the path" },
    { ENOTDIR, "correct the path: a part of it is no directory" },
    { EISDIR, "correct the path: it is a directory" },
    { EACCES, "make it as root and give it to that user (chown), or give a path where that user may write" },
    { EROFS, "mount it read-write, or give a path elsewhere" },
    { ENOSPC, "free some space there, or give a path elsewhere" },
    { EDQUOT, "raise the quota, or give a path elsewhere" },
    { 0, "give a path elsewhere" },
};
static const struct fix fix_listening[] = {
    { EADDRINUSE, "stop what uses it (ss -ltnp), or give another port (--listen, --http-listen)" },
    { EADDRNOTAVAIL, "give an address that this machine has (ip address), or 0.0.0.0 for all of them" },
    { EAFNOSUPPORT, "IPv6 is switched off here: give an IPv4 address" },
    { EACCES, "give a port from 1024 on, or the right to take it (AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit)" },
    { 0, "give another address or port with --listen or --http-listen" },
};

static const char *fix_of(const struct fix *list, int r)
{
    while (list->code && list->code != -r)
        list++;
    return list->text;
}

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

/* A file without a name: nothing is left behind, and nobody sees it. A file system that has none of these is not asked. */
static int try_to_write(const char *dir)
{
    static const char page[4096];
    AUTO_FD int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

    if (fd < 0)
        return errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    return pwrite(fd, page, sizeof(page), 0) < 0 ? -errno : 0;
}

/* Could a file be made in the directory @dir? 0 or -errno. */
static int may_make_in(const char *dir)
{
    struct stat st;

    if (stat(dir, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return -ENOTDIR;
    return access(dir, W_OK | X_OK) < 0 ? -errno : try_to_write(dir);
}

/* Cuts the last name off @path: "a/b/" becomes "a", "a" ".", "/a" "/". */
static void cut_name(char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    while (n > 1 && path[n - 1] == '/')
        n--;
    path[n] = '\0';
    if (n == 0)
        memcpy(path, ".", 2);
}

/* A state directory that is missing is made at the start, with all that leads to it: 0 or -errno. */
static int may_make_directory(const struct statedir *dir)
{
    char at[sizeof(dir->path)];
    int r = -ENOENT;

    memcpy(at, dir->path, sizeof(at));
    while (r == -ENOENT && strcmp(at, ".") != 0 && strcmp(at, "/") != 0) {
        cut_name(at);
        r = may_make_in(at);
    }
    return r;
}

static void look_at_directory(struct doctor *d, const struct statedir *dir)
{
    struct stat st;
    int r = stat(dir->path, &st) < 0 ? -errno : 0;

    if (r == -ENOENT && (r = may_make_directory(dir)) == 0) {
        good("state directory %s: not there yet, the first start makes it", dir->path);
        return;
    }
    if (r < 0) {
        bad(d, fix_of(fix_making, r), "state directory %s cannot be made or entered by user %u: %s", dir->path, geteuid(), strerror(-r));
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

/* 0 or -errno of @look, as the user @uid sees it: with his groups, and every directory on the way. Not root: as ourselves. */
static int as_user(uid_t uid, int (*look)(const char *path), const char *path)
{
    int status = 0;
    pid_t pid;

    if (geteuid() != 0 || uid == 0)
        return look(path);
    (void)fflush(stdout);
    pid = fork();
    if (pid == 0) {
        const struct passwd *pw = getpwuid(uid);

        if (!pw || initgroups(pw->pw_name, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 || setuid(uid) < 0)
            _exit(0); /* nobody we can become: nothing is known */
        _exit(-look(path));
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
        return 0;
    return -WEXITSTATUS(status);
}

static int may_read(const char *path)
{
    return access(path, R_OK) < 0 ? -errno : 0;
}

/* As the log opens it, but nothing is made: where it is missing, its directory is asked. */
static int may_log(const char *path)
{
    AUTO_FD int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    AUTO_FREE char *dir = NULL;

    if (fd >= 0)
        return 0;
    if (errno != ENOENT)
        return -errno;
    dir = xmalloc(strlen(path) + 2); /* "" becomes "." */
    memcpy(dir, path, strlen(path) + 1);
    cut_name(dir);
    return may_make_in(dir);
}

/* Root may do everything; the user the server runs as, who has its directory, need not. */
static void look_at_other_files(struct doctor *d, const struct options *o, const struct statedir *dir)
{
    const char *const files[] = { o->config, o->tls_cert, o->tls_key };
    struct stat st;
    uid_t uid = stat(dir->path, &st) == 0 ? st.st_uid : geteuid();
    struct err err = { 0 };
    int r, n_unread = 0;

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        r = files[i] ? as_user(uid, may_read, files[i]) : 0;
        if (r < 0)
            bad(d, fix_of(fix_reading, r), "%s cannot be read by user %u: %s", files[i], uid, strerror(-r));
        n_unread += r < 0;
    }
    if (o->tls_cert && n_unread == 0) {
        AUTO(tls_ctx_free) struct tls_ctx *t = tls_people_new(o, &(struct tls_server_conf){ .allow_tls12 = true }, &err);

        if (t)
            good("certificate %s, with its key", o->tls_cert);
        else
            bad(d, "give --tls-cert a certificate in PEM, its own first, and --tls-key the key that belongs to it", "%s", err.text);
    }
    r = o->log_file ? as_user(uid, may_log, o->log_file) : 0;
    if (r < 0)
        bad(d, fix_of(fix_making, r), "log file %s cannot be written by user %u: %s", o->log_file, uid, strerror(-r));
    else if (o->log_file)
        good("log file %s", o->log_file);
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

/* Opened as the start opens it, and kept open: two of ours on one port are in each other's way, too. */
static struct listener *look_at_port(struct doctor *d, struct loop *l, const struct listen_at *at, uint16_t port, const char *what, long running)
{
    const struct listen_conf conf = { .addr = at->addr, .port = port, .allow_plain = true };
    const struct http_server_ops nobody = { 0 }; /* the loop does not run */
    struct listener *li = NULL;
    struct err err = { 0 };
    int r = listen_http(l, &conf, &nobody, &li, &err);

    if (r == 0)
        good("port %u (%s) is free", port, what);
    else if (running && r == -EADDRINUSE)
        good("port %u (%s) is in use, as it should: musterd runs (pid %ld)", port, what, running);
    else
        bad(d, fix_of(fix_listening, r), "%s (%s)", err.text, what);
    return li;
}

static void look_at_ports(struct doctor *d, const struct options *o, long running)
{
    static const char *const what[] = { "gRPC", "WebSocket", "HTTP" };
    struct listener *open[3 + API_LISTEN_MORE] = { 0 };
    AUTO(loop_free) struct loop *l = loop_new();
    struct listen_at at;
    struct err err = { 0 };
    size_t n = 0;

    if (options_listen(o, &at, &err) < 0)
        bad(d, "correct the option listen", "%s", err.text);
    for (uint16_t i = 0; i < 3 && at.port; i++)
        open[n++] = look_at_port(d, l, &at, (uint16_t)(at.port + i), what[i], running);
    if (o->http_listen.n > API_LISTEN_MORE)
        bad(d, "leave some out", "http-listen: more than %d ports", API_LISTEN_MORE);
    for (size_t i = 0; i < o->http_listen.n && i < API_LISTEN_MORE; i++) {
        if (options_http_listen(o, i, &at, &err) < 0)
            bad(d, "correct the option http-listen", "%s", err.text);
        else if (at.port)
            open[n++] = look_at_port(d, l, &at, at.port, "HTTP of --http-listen", running);
    }
    while (n > 0)
        listener_free(open[--n]);
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
    if (o->config)
        good("configuration %s", o->config);
    else if (!o->dev && access(UNIT_CONFIG, F_OK) == 0)
        good("configuration: no file, defaults; " UNIT_CONFIG " is there and was not looked at (--config " UNIT_CONFIG ")");
    else
        good("configuration: no file, defaults");
    if (statedir_paths(options_state_dir(o), &dir, &err) < 0) {
        bad(&d, "give a shorter one", "%s", err.text);
        return 1;
    }
    running = statedir_holder(&dir);
    look_at_directory(&d, &dir);
    look_at_files(&d, &dir);
    look_at_other_files(&d, o, &dir);
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
