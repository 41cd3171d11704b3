/* server/statedir.c - see statedir.h. */
#include "server/statedir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

#define LOCK_NAME "musterd.lock"

static void lock_path(const struct statedir *s, char dst[2080])
{
    (void)snprintf(dst, 2080, "%s/" LOCK_NAME, s->path);
}

int statedir_paths(const char *path, struct statedir *ret, struct err *err)
{
    *ret = (struct statedir){ .lock_fd = -1 };
    if (str_copy(str_of(path), ret->path, sizeof(ret->path)) < 0)
        return err_set(err, -ENAMETOOLONG, "state.path", "the path of the state directory is too long");
    (void)snprintf(ret->db, sizeof(ret->db), "%s/muster.db", path);
    (void)snprintf(ret->socket, sizeof(ret->socket), "%s/musterd.sock", path);
    return 0;
}

static int prepare(const struct statedir *s, struct err *err)
{
    struct stat st;
    int r = fd_mkdirs(s->path, 0700);

    if (r < 0 && r != -EEXIST)
        return err_set(err, r, "state.create", "the state directory %s cannot be made: %m", s->path);
    if (stat(s->path, &st) < 0)
        return err_set(err, -errno, "state.create", "the state directory %s: %m", s->path);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, -ENOTDIR, "state.create",
                       "the state directory %s is not a directory; remove it or give another with "
                       "--state-dir",
                       s->path);
    if (st.st_uid != geteuid())
        return err_set(err, -EPERM, "state.owner",
                       "the state directory %s belongs to user %u, but this is user %u; run as its owner or "
                       "chown it",
                       s->path, st.st_uid, geteuid());
    if ((st.st_mode & 0777) != 0700 && chmod(s->path, 0700) < 0)
        return err_set(err, -errno, "state.mode", "the mode of %s cannot be set to 0700: %m", s->path);
    return 0;
}

static long pid_in(int fd)
{
    char text[32] = "";
    uint64_t pid = 0;
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

    if (n > 0)
        (void)str_to_u64(str_trim(str_bytes(text, (size_t)n)), &pid);
    return (long)pid;
}

int statedir_open(struct statedir *s, struct err *err)
{
    char path[2080], text[32];
    AUTO_FD int fd = -1;
    int r = prepare(s, err);

    if (r < 0)
        return r;
    lock_path(s, path);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set(err, -errno, "state.lock", "%s: %m", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK)
            return err_set(err, -EBUSY, "state.locked",
                           "the state directory %s is already used by another musterd (pid %ld)", s->path,
                           pid_in(fd));
        return err_set(err, -errno, "state.lock", "%s: %m", path);
    }
    int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    /* For people only (a full disk may refuse it): the lock is the lock. */
    if (ftruncate(fd, 0) == 0 && n > 0)
        (void)!pwrite(fd, text, (size_t)n, 0);
    s->lock_fd = fd;
    fd = -1;
    return 0;
}

void statedir_unlock(struct statedir *s)
{
    fd_close(&s->lock_fd);
}

long statedir_holder(const struct statedir *s)
{
    char path[2080];
    AUTO_FD int fd = -1;

    lock_path(s, path);
    /* Asked for reading, shared: that works on a read-only file system, too, and still not beside the server's. */
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0)
        return 0;
    long pid = pid_in(fd);
    return pid ? pid : 1;
}

bool statedir_is_used(const struct statedir *s)
{
    DIR *d = opendir(s->path);
    bool used = false;

    if (!d)
        return false;
    for (struct dirent *e; (e = readdir(d));)
        used = used || (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
                        strcmp(e->d_name, LOCK_NAME) != 0);
    (void)closedir(d);
    return used;
}
