/* agent/dialects/argus_spool.c - see argus_report.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "agent/dialects/argus_report.h"
#include "base/fd.h"
#include "base/mem.h"

struct argus_spool {
    char *data, *sending;
    int lock_fd, turn_fd; /* short, for the files; long, for who sends */
    bool has_turn;
    struct buf text;
    struct str rest;
};

void argus__spool_free(struct argus_spool *s)
{
    if (!s)
        return;
    buf_done(&s->text);
    fd_close(&s->lock_fd);
    fd_close(&s->turn_fd);
    free(s->data);
    free(s->sending);
    free(s);
}

static int open_lock(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    return fd < 0 ? -errno : fd;
}

int argus__spool_open(const char *dir, const char *origin, struct argus_spool **ret, struct err *err)
{
    AUTO(argus__spool_free) struct argus_spool *s = xnew0(struct argus_spool);
    AUTO_FREE char *name = xstrdup(origin), *lock = NULL, *turn = NULL;
    struct stat st;
    int r;

    s->lock_fd = s->turn_fd = -1;
    r = fd_mkdirs(dir, 0700);
    if (r < 0)
        return err_set(err, r, "spool.directory", "cannot make %s: %m", dir);
    if (stat(dir, &st) < 0 || st.st_uid != geteuid())
        return err_set(err, -EPERM, "spool.directory", "%s is not ours", dir);
    for (char *c = name; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9')))
            *c = '-';
    s->data = xasprintf("%s/argus-report-%.150s.jsonl", dir, name);
    s->sending = xasprintf("%s/argus-report-%.150s.sending.jsonl", dir, name);
    lock = xasprintf("%s/argus-report-%.150s.lock", dir, name);
    turn = xasprintf("%s/argus-report-%.150s.turn", dir, name);
    s->lock_fd = open_lock(lock);
    s->turn_fd = open_lock(turn);
    if (s->lock_fd < 0 || s->turn_fd < 0)
        return err_set(err, s->lock_fd < 0 ? s->lock_fd : s->turn_fd, "spool.directory", "cannot write in %s: %m", dir);
    s->text = BUF(2 * SPOOL_BYTES);
    *ret = TAKE(s);
    return 0;
}

static int append_line(const char *path, struct str event)
{
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct iovec iov[] = { iov_of(event.ptr, event.len), iov_of("\n", 1) };
    struct stat st;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if ((uint64_t)st.st_size + event.len + 1 > SPOOL_BYTES)
        return -ENOSPC;
    r = fd_writev_all(fd, iov, 2);
    if (r == 0 && fdatasync(fd) < 0)
        r = -errno;
    if (r < 0) /* half a line would join the next one */
        (void)!ftruncate(fd, st.st_size);
    return r;
}

int argus__spool_put(struct argus_spool *s, struct str event)
{
    int r;

    if (flock(s->lock_fd, LOCK_EX) < 0)
        return -errno;
    r = append_line(s->data, event);
    (void)flock(s->lock_fd, LOCK_UN);
    return r;
}

int argus__spool_take(struct argus_spool *s)
{
    if (s->has_turn || flock(s->turn_fd, LOCK_EX | LOCK_NB) < 0)
        return 0;
    s->has_turn = true;
    buf_reset(&s->text);
    /* A file that is being sent already is of somebody who was killed: it goes first, alone. */
    if (access(s->sending, F_OK) < 0 && flock(s->lock_fd, LOCK_EX) == 0) {
        (void)rename(s->data, s->sending);
        (void)flock(s->lock_fd, LOCK_UN);
    }
    if (fd_read_file(s->sending, &s->text) < 0 || s->text.len == 0) {
        argus__spool_give(s, s->text.len == 0);
        return 0;
    }
    s->rest = buf_as_str(&s->text);
    return 1;
}

bool argus__spool_next(struct argus_spool *s, struct str *ret)
{
    while (str_cut(&s->rest, '\n', ret)) {
        *ret = str_trim(*ret);
        if (ret->len > 1 && ret->len <= REPORT_EVENT_BYTES && ret->ptr[0] == '{' && ret->ptr[ret->len - 1] == '}')
            return true;
    }
    return false;
}

void argus__spool_give(struct argus_spool *s, bool is_sent)
{
    if (!s->has_turn)
        return;
    if (is_sent) {
        (void)unlink(s->sending);
    } else if (flock(s->lock_fd, LOCK_EX) == 0) { /* back, unless others have begun a file of their own: then it goes first */
        (void)renameat2(AT_FDCWD, s->sending, AT_FDCWD, s->data, RENAME_NOREPLACE);
        (void)flock(s->lock_fd, LOCK_UN);
    }
    s->has_turn = false;
    s->rest = STR_NONE;
    buf_reset(&s->text);
    (void)flock(s->turn_fd, LOCK_UN);
}
