/* base/fd.h - whole reads and writes, atomic file replacement, O_CLOEXEC opens. Blocking; any thread. */
#ifndef MUSTER_FD_H
#define MUSTER_FD_H

#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"

/* Closes @*fd if >= 0 and sets it to -1; keeps errno. */
void fd_close(int *fd);
static inline void fd_close__auto(int *fd)
{
    fd_close(fd);
}
/* AUTO_FD int fd = -1; */
#define AUTO_FD __attribute__((cleanup(fd_close__auto)))

/* 0 or -errno (short count: -EIO at end of file for read). EINTR is retried. */
int fd_write_all(int fd, const void *p, size_t n);
int fd_writev_all(int fd, struct iovec *iov, int n);
int fd_read_all(int fd, void *p, size_t n);

/* Appends the whole file to @b: 0, -errno, or -ENOBUFS when larger than @b may hold. Works for /proc. */
int fd_read_file(const char *path, struct buf *b);
int fd_read_file_at(int dirfd, const char *path, struct buf *b);

/* Writes @path.tmp~, fsyncs, renames, fsyncs the directory: after 0 the file is @s whatever happens.
 * Mode @mode exactly. 0 or -errno and the old file stands. */
int fd_replace_file(const char *path, struct str s, mode_t mode, struct err *err);
/* That nobody but root and who runs this can have written or can change what @fd is of: a regular file. 0, or -EPERM and @slug with a
 * sentence that says which it is and how to mend it; -errno. @path is for the sentence. */
int fd_check_owned(int fd, const char *path, const char *slug, struct err *err);
/* fsync of the directory that holds @path. */
int fd_sync_parent(const char *path);
/* mkdir -p with @mode for what it makes. 0 or -errno. */
int fd_mkdirs(const char *path, mode_t mode);
/* rm -r of @path, without following links. 0 or -errno; a missing path is 0. */
int fd_remove_tree(const char *path);
int fd_set_nonblock(int fd);

static inline struct iovec iov_of(const void *p, size_t n)
{
    return (struct iovec){ (void *)(uintptr_t)p, n };
}

#endif
