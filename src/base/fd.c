/* base/fd.c - see fd.h. */
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/mem.h"

void fd_close(int *fd)
{
    if (*fd < 0)
        return;
    int saved = errno;
    close(*fd); /* EINTR included: on Linux the descriptor is gone either way */
    *fd = -1;
    errno = saved;
}

int fd_write_all(int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n) {
        ssize_t r = write(fd, at, n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        at += r;
        n -= (size_t)r;
    }
    return 0;
}

int fd_writev_all(int fd, struct iovec *iov, int n)
{
    while (n > 0) {
        if (iov->iov_len == 0) {
            iov++, n--;
            continue;
        }
        ssize_t r = writev(fd, iov, n > IOV_MAX ? IOV_MAX : n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        size_t done = (size_t)r;
        while (n > 0 && done >= iov->iov_len) {
            done -= iov->iov_len;
            iov++, n--;
        }
        if (n > 0 && done) {
            iov->iov_base = (char *)iov->iov_base + done;
            iov->iov_len -= done;
        }
    }
    return 0;
}

int fd_read_all(int fd, void *p, size_t n)
{
    char *at = p;
    while (n) {
        ssize_t r = read(fd, at, n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        if (r == 0)
            return -EIO;
        at += r;
        n -= (size_t)r;
    }
    return 0;
}

static int read_to_end(int fd, struct buf *b)
{
    size_t before = b->len;
    for (;;) {
        /* sizes in /proc are 0, so ask by reading; at the maximum one byte tells "full" from "too large" */
        size_t room = b->max - b->len, want = room < 4096 ? room : 4096;
        uint8_t *p, probe;
        if (want && buf_reserve(b, want, &p) < 0)
            return -ENOBUFS;
        ssize_t r = want ? read(fd, p, want) : read(fd, &probe, 1);
        if (r < 0 && errno == EINTR)
            continue;
        if (r == 0)
            return 0;
        if (r < 0 || !want) {
            b->len = before;
            return r < 0 ? -errno : -ENOBUFS;
        }
        buf_commit(b, (size_t)r);
    }
}

int fd_read_file_at(int dirfd, const char *path, struct buf *b)
{
    AUTO_FD int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    return read_to_end(fd, b);
}

int fd_read_file(const char *path, struct buf *b)
{
    return fd_read_file_at(AT_FDCWD, path, b);
}

int fd_check_owned(int fd, const char *path, const char *slug, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(err, -errno, slug, "%s: %m", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EPERM, slug, "%s is no regular file", path);
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return err_set(err, -EPERM, slug, "%s belongs to uid %u, who can change it: chown root %s", path, st.st_uid, path);
    if (st.st_mode & 022)
        return err_set(err, -EPERM, slug, "%s can be changed by others (mode %03o): chmod go-w %s", path, st.st_mode & 0777, path);
    return 0;
}

int fd_sync_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    AUTO_FREE char *dir = NULL;
    if (!slash)
        dir = xstrdup(".");
    else
        dir = xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
    AUTO_FD int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return -errno;
    return 0;
}

static int write_synced(const char *path, struct str s, mode_t mode)
{
    /* a left-over of a crash would make O_EXCL fail; O_EXCL is there so that a planted link is never followed
     */
    if (unlink(path) < 0 && errno != ENOENT)
        return -errno;
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int r = fd_write_all(fd, s.ptr, s.len);
    if (r == 0 && fchmod(fd, mode) < 0) /* the umask has no say */
        r = -errno;
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    return r;
}

int fd_replace_file(const char *path, struct str s, mode_t mode, struct err *err)
{
    AUTO_FREE char *tmp = xasprintf("%s.tmp~", path);
    int r = write_synced(tmp, s, mode);
    if (r == 0 && rename(tmp, path) < 0)
        r = -errno;
    if (r < 0) {
        unlink(tmp);
        return err_set(err, r, "file.write", "cannot write %s: %m", path);
    }
    r = fd_sync_parent(path);
    if (r < 0)
        return err_set(err, r, "file.write", "cannot sync the directory of %s: %m", path);
    return 0;
}

int fd_mkdirs(const char *path, mode_t mode)
{
    AUTO_FREE char *p = xstrdup(path);
    for (char *at = p + (*p == '/'); *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdir(p, mode) < 0 && errno != EEXIST)
            return -errno;
        *at = '/';
    }
    if (mkdir(p, mode) == 0)
        return 0;
    if (errno != EEXIST)
        return -errno;
    struct stat st;
    if (stat(p, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int remove_at(int dirfd, const char *name)
{
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM) /* POSIX allows EPERM for a directory */
        return -errno;
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    DIR *d = fdopendir(fd);
    if (!d) {
        fd_close(&fd);
        return -ENOMEM;
    }
    int r = 0;
    struct dirent *e;
    while (r == 0 && (e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            r = remove_at(fd, e->d_name);
    closedir(d);
    if (r == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        r = -errno;
    return r;
}

int fd_remove_tree(const char *path)
{
    return remove_at(AT_FDCWD, path);
}

int fd_set_nonblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return 0;
}
