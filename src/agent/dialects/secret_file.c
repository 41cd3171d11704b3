/* agent/dialects/secret_file.c - files that hold a key or a token: never readable by others, not even for a moment. Any thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "agent/dialects/personality.h"
#include "base/fd.h"
#include "base/mem.h"

int secret_file_write(const char *path, struct str text, struct err *err)
{
    return fd_replace_file(path, text, 0600, err); /* its temporary is made 0600 with O_EXCL */
}

/* The temporary at @tmp, empty and ours alone while it is open. What lies there may be of a crash, or a planted link, which is never
 * followed. -EBUSY: another process of ours is at it. */
static int open_room(const char *tmp)
{
    AUTO_FD int fd = open(tmp, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    struct stat st, named;

    if (fd < 0 && errno == ELOOP && unlink(tmp) == 0)
        fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 || lstat(tmp, &named) < 0)
        return errno == EWOULDBLOCK || errno == ENOENT ? -EBUSY : -errno;
    if (st.st_ino != named.st_ino || st.st_dev != named.st_dev) /* it got its name between our open and our lock */
        return -EBUSY;
    if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || st.st_uid != geteuid())
        return -EEXIST;
    if (fchmod(fd, 0600) < 0 || ftruncate(fd, 0) < 0)
        return -errno;
    int ours = fd;
    fd = -1;
    return ours;
}

int secret_room_take(const char *path, size_t bytes, struct secret_room *ret, struct err *err)
{
    AUTO(secret_room_done) struct secret_room room = { .fd = -1, .path = xstrdup(path), .tmp = xasprintf("%s.new~", path), .bytes = bytes };
    AUTO_FREE char *zeros = xcalloc(bytes, 1); /* written: not every file system keeps what fallocate() was promised */
    int r;

    room.fd = open_room(room.tmp);
    if (room.fd == -EBUSY)
        return err_set(err, -EBUSY, "file.busy", "another registration is writing %s just now", path);
    r = room.fd < 0 ? room.fd : fd_write_all(room.fd, zeros, bytes);
    if (r == 0 && fsync(room.fd) < 0)
        r = -errno;
    if (r < 0)
        return err_set(err, r, "file.write", "cannot write %s: %m", path);
    *ret = room;
    room = (struct secret_room){ 0 };
    return 0;
}

static int fill(const struct secret_room *room, struct str text)
{
    if (text.len > room->bytes)
        return -ENOBUFS;
    if (lseek(room->fd, 0, SEEK_SET) < 0)
        return -errno;
    int r = fd_write_all(room->fd, text.ptr, text.len);
    if (r < 0)
        return r;
    if (ftruncate(room->fd, (off_t)text.len) < 0 || fchmod(room->fd, 0600) < 0 || fsync(room->fd) < 0 || rename(room->tmp, room->path) < 0)
        return -errno;
    return fd_sync_parent(room->path);
}

int secret_room_fill(struct secret_room *room, struct str text, struct err *err)
{
    int r = fill(room, text);

    if (r == 0)
        fd_close(&room->fd); /* nothing to take back: the name may be another's by now */
    if (r < 0)
        (void)err_set(err, r, "file.write", "cannot write %s: %m", room->path);
    secret_room_done(room);
    return r;
}

void secret_room_done(struct secret_room *room)
{
    if (room->tmp && room->fd >= 0)
        (void)unlink(room->tmp); /* not there any more once it was filled */
    if (room->tmp)
        fd_close(&room->fd);
    free(room->tmp);
    free(room->path);
    *room = (struct secret_room){ 0 };
}

int secret_file_read(const char *path, size_t max, struct buf *out, struct err *err)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    AUTO(buf_done_secret) struct buf b = BUF(max);
    uint8_t *room;
    struct str text;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set(err, -errno, "file.read", "cannot read %s: %m", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "file.mode", "%s is not a file", path);
    if (st.st_mode & 077)
        return err_set(err, -EPERM, "file.mode", "%s can be read or written by others (mode %03o): chmod 600 it", path,
                       (unsigned)st.st_mode & 0777);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return err_set(err, -EPERM, "file.owner", "%s belongs to user %u", path, (unsigned)st.st_uid);
    if ((uint64_t)st.st_size > max)
        return err_set(err, -EMSGSIZE, "file.too_large", "%s is larger than %zu bytes", path, max);
    if (st.st_size > 0) {
        if (buf_reserve(&b, (size_t)st.st_size, &room) < 0)
            return -ENOBUFS;
        if (fd_read_all(fd, room, (size_t)st.st_size) < 0)
            return err_set(err, -EIO, "file.read", "cannot read %s whole", path);
        buf_commit(&b, (size_t)st.st_size);
    }
    text = str_trim(buf_as_str(&b));
    if (buf_str(out, text) < 0)
        return err_set(err, -ENOBUFS, "file.too_large", "%s is too large", path);
    return 0;
}
