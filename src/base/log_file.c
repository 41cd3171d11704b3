/* base/log_file.c - see log_file.h.
 *
 *   musterd.log              being written
 *   musterd.log.2026-11-21   rotated daily; hourly: musterd.log.2026-11-21-17
 *
 * The name carries the period of the lines inside, and retention goes by the name: a backup tool that touches
 * old files does not make them young. */
#include "base/log_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

static uint64_t period_of(int rotation, usec_t wall)
{
    switch (rotation) {
    case LOG_ROTATE_HOURLY:
        return wall / USEC_PER_HOUR;
    case LOG_ROTATE_DAILY:
        return wall / USEC_PER_DAY;
    default:
        return 0;
    }
}

static int open_fd(struct log_file *f)
{
    struct stat st;
    AUTO_FD int fd = open(f->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    fd_close(&f->fd);
    f->fd = fd;
    fd = -1;
    f->dev = st.st_dev;
    f->ino = st.st_ino;
    return 0;
}

/* True for "2026-11-21" and "2026-11-21-17", perhaps followed by ".1" (see rotate()); the day's end in @*ret.
 */
static bool parse_suffix(struct str s, usec_t *ret_end)
{
    char text[32];
    if (s.len < 10)
        return false;
    snprintf(text, sizeof(text), "%.*sT00:00:00Z", 10, s.ptr);
    if (clock_parse(str_of(text), ret_end) < 0)
        return false;
    *ret_end += USEC_PER_DAY;
    for (size_t i = 10; i < s.len; i++)
        if (!(s.ptr[i] >= '0' && s.ptr[i] <= '9') && s.ptr[i] != '-' && s.ptr[i] != '.')
            return false;
    return true;
}

static void delete_old(const struct log_file *f, usec_t now)
{
    if (!f->retention_days)
        return;
    const char *slash = strrchr(f->path, '/');
    AUTO_FREE char *dir =
        slash ? xstrndup(f->path, slash == f->path ? 1 : (size_t)(slash - f->path)) : xstrdup(".");
    struct str base = str_of(slash ? slash + 1 : f->path);
    DIR *d = opendir(dir);
    if (!d)
        return;
    struct dirent *e;
    while ((e = readdir(d))) {
        struct str name = str_of(e->d_name);
        usec_t end;
        if (!str_starts(name, base) || name.len <= base.len || name.ptr[base.len] != '.' ||
            !parse_suffix(str_sub(name, base.len + 1, name.len), &end))
            continue;
        if (end + f->retention_days * USEC_PER_DAY <= now)
            unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
}

/* Moves the file away under its period's name. A name that is taken (the clock stepped back) gets .1, .2, ...
 */
static void rename_away(const struct log_file *f)
{
    char stamp[CLOCK_TEXT_MAX];
    usec_t unit = f->rotation == LOG_ROTATE_HOURLY ? USEC_PER_HOUR : USEC_PER_DAY;
    clock_format(f->period * unit, 0, stamp);
    stamp[f->rotation == LOG_ROTATE_HOURLY ? 13 : 10] = '\0';
    if (f->rotation == LOG_ROTATE_HOURLY)
        stamp[10] = '-'; /* the 'T' */
    for (int i = 0; i < 100; i++) {
        AUTO_FREE char *to =
            i ? xasprintf("%s.%s.%d", f->path, stamp, i) : xasprintf("%s.%s", f->path, stamp);
        if (renameat2(AT_FDCWD, f->path, AT_FDCWD, to, RENAME_NOREPLACE) == 0 || errno != EEXIST)
            break;
    }
}

/* The end of a period. A file without a line stays: an empty one a day would say nothing. */
static void rotate(struct log_file *f, usec_t now)
{
    struct stat st;
    if (stat(f->path, &st) == 0 && st.st_size > 0)
        rename_away(f);
    f->period = period_of(f->rotation, now);
    delete_old(f, now);
}

int log_file__open(struct log_file *f, const char *path, int rotation, uint32_t retention_days, usec_t now,
                   struct err *err)
{
    struct stat st;
    *f = (struct log_file){ .path = xstrdup(path),
                            .fd = -1,
                            .rotation = rotation,
                            .retention_days = retention_days,
                            .period = period_of(rotation, now),
                            .checked = now / USEC_PER_SEC };
    if (rotation != LOG_ROTATE_NEVER && stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
        uint64_t last = period_of(rotation, (usec_t)st.st_mtim.tv_sec * USEC_PER_SEC);
        if (last < f->period) {
            f->period = last;
            rotate(f, now);
        }
    }
    int r = open_fd(f);
    if (r < 0) {
        log_file__done(f);
        return err_set(err, r, "log.open", "cannot open the log file %s: %m", path);
    }
    delete_old(f, now);
    return 0;
}

void log_file__done(struct log_file *f)
{
    if (f->path)
        fd_close(&f->fd);
    free(f->path);
    *f = (struct log_file){ .fd = -1 };
}

void log_file__reopen(struct log_file *f)
{
    (void)open_fd(f);
}

void log_file__tick(struct log_file *f, usec_t now)
{
    if (f->rotation == LOG_ROTATE_NEVER || period_of(f->rotation, now) == f->period)
        return;
    rotate(f, now);
    (void)open_fd(f);
}

void log_file__write(struct log_file *f, usec_t now, struct str line)
{
    struct stat st;
    log_file__tick(f, now);
    if (f->checked != now / USEC_PER_SEC) {
        /* logrotate may have moved it without a signal */
        f->checked = now / USEC_PER_SEC;
        if (stat(f->path, &st) < 0 || st.st_dev != f->dev || st.st_ino != f->ino)
            (void)open_fd(f);
    }
    (void)fd_write_all(f->fd, line.ptr, line.len);
}
