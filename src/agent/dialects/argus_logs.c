/* agent/dialects/argus_logs.c - what reruns say: one file each, bounded in size and number. See argus.h.
 *
 * A rerun writes its log itself, with O_APPEND, and not through its hold: so it loses nothing and gets no SIGPIPE, whatever
 * happens to the hold or the agent. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "agent/dialects/argus.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/text.h"

struct log_file {
    char *name;
    struct timespec at;
};
typedef VEC(struct log_file) log_files;

static int older_first(const void *a, const void *b)
{
    const struct timespec *x = &((const struct log_file *)a)->at, *y = &((const struct log_file *)b)->at;

    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

static bool is_running(const struct argus_book *b, struct str name)
{
    const struct argus_cmd *c = argus__book_find(b, name);

    return c && (c->phase != ARGUS_OVER || c->is_exit_due);
}

static void list_logs(int dir, const struct argus_book *b, log_files *ret)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *e;

    while (d && (e = readdir(d))) {
        struct str name = str_of(e->d_name);
        struct stat st;

        if (!str_ends(name, STR(".log")) || is_running(b, str_sub(name, 0, name.len - 4)) ||
            fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        *vec_add(ret) = (struct log_file){ xstrdup(e->d_name), st.st_mtim };
    }
    if (d)
        (void)closedir(d);
    else
        fd_close(&fd);
}

static void prune(int dir, const struct argus_book *b)
{
    log_files l = { 0 };

    list_logs(dir, b, &l);
    if (l.n >= ARGUS_LOGS_KEPT)
        qsort(l.v, l.n, sizeof(*l.v), older_first);
    for (size_t i = 0; i < l.n; i++) {
        if (i + ARGUS_LOGS_KEPT <= l.n) {
            AUTO_FREE char *rotated = xasprintf("%s.1", l.v[i].name);

            (void)unlinkat(dir, l.v[i].name, 0);
            (void)unlinkat(dir, rotated, 0);
        }
        free(l.v[i].name);
    }
    vec_done(&l);
}

char *argus__log_make(const char *dir, struct str id, const struct argus_book *b)
{
    AUTO_FREE char *logs = xasprintf("%s/logs", dir);
    AUTO_FREE char *path = xasprintf("%s/%.*s.log", logs, STR_FMT(id));
    AUTO_FD int at = open(logs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_FD int fd = -1;

    if (at < 0)
        return NULL;
    prune(at, b);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? NULL : TAKE(path);
}

void argus__log_tail(const char *dir, const char *id, struct buf *out)
{
    AUTO_FREE char *path = xasprintf("%s/logs/%s.log", dir, id);
    AUTO(buf_done) struct buf clean = BUF(4 * ARGUS_LOG_TAIL_MAX);
    AUTO_FREE char *raw = xmalloc(ARGUS_LOG_TAIL_MAX);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    struct str tail;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    n = pread(fd, raw, ARGUS_LOG_TAIL_MAX, st.st_size > ARGUS_LOG_TAIL_MAX ? st.st_size - ARGUS_LOG_TAIL_MAX : 0);
    if (n <= 0)
        return;
    /* Control characters (colours, bells) are six bytes each in JSON and nothing to read. */
    for (ssize_t i = 0; i < n; i++)
        if (((uint8_t)raw[i] < ' ' && raw[i] != '\n' && raw[i] != '\t') || raw[i] == 0x7f)
            raw[i] = ' ';
    (void)utf8_lossy(&clean, str_bytes(raw, (size_t)n));
    tail = buf_as_str(&clean);
    if (tail.len > ARGUS_LOG_TAIL_MAX)
        tail = str_sub(tail, tail.len - ARGUS_LOG_TAIL_MAX, SIZE_MAX);
    while (tail.len > 0 && ((uint8_t)tail.ptr[0] & 0xc0) == 0x80) /* not in the middle of a character */
        tail = str_sub(tail, 1, SIZE_MAX);
    (void)buf_str(out, tail);
}

static int copy_all(int from, int to, off_t size)
{
    off_t at = 0;

    while (at < size) {
        ssize_t n = copy_file_range(from, &at, to, NULL, (size_t)(size - at), 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
    }
    return 0;
}

int argus__log_rotate(const char *dir, const char *id, uint64_t max)
{
    AUTO_FREE char *path = xasprintf("%s/logs/%s.log", dir, id), *old = xasprintf("%s.1", path);
    AUTO_FD int from = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    AUTO_FD int to = -1;
    struct stat st;
    int r;

    if (from < 0 || fstat(from, &st) < 0)
        return -errno;
    if ((uint64_t)st.st_size <= max)
        return 0;
    to = open(old, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    r = to < 0 ? -errno : copy_all(from, to, st.st_size);
    /* A disk that is full: the log goes, for a rerun must not fill it further. */
    if (ftruncate(from, 0) < 0 && r == 0)
        r = -errno;
    return r;
}
