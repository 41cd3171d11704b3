/* agent/collect/source.c - files, links, directories and lines under a root; see source.h. */
#include "agent/collect/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

enum { CHUNK = 32 << 10, WORD_MAX = 4096 };

static int vpath(char dst[SRC_PATH_MAX], const char *root, const char *fmt, va_list ap)
{
    int n = snprintf(dst, SRC_PATH_MAX, "%s", root ? root : "");
    if (n < 0 || n >= SRC_PATH_MAX)
        return -ENAMETOOLONG;
    int m = vsnprintf(dst + n, (size_t)(SRC_PATH_MAX - n), fmt, ap);
    return m < 0 || m >= SRC_PATH_MAX - n ? -ENAMETOOLONG : 0;
}

int src__path(char dst[SRC_PATH_MAX], const char *root, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = vpath(dst, root, fmt, ap);
    va_end(ap);
    return r;
}

/* At most @n bytes of the file, NUL-terminated, cut at the first line's end and trimmed. Pseudo files hold less. 0 or -errno. */
static int read_first(const char *path, char *dst, size_t n, struct str *ret)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    ssize_t got = read(fd, dst, n - 1);
    if (got < 0)
        return -errno;

    struct str all = str_bytes(dst, (size_t)got), line;
    /* device-tree strings end in NUL, the rest in a newline */
    ptrdiff_t nul = str_find_char(all, '\0');
    if (nul >= 0)
        all.len = (size_t)nul;
    str_cut(&all, '\n', &line);
    *ret = str_trim(line);
    return 0;
}

static struct str read_word(const char *path, char *dst, size_t n)
{
    struct str word = STR_NONE;
    (void)read_first(path, dst, n, &word);
    return word;
}

struct str src__word(struct arena *a, const char *root, const char *fmt, ...)
{
    char path[SRC_PATH_MAX], word[WORD_MAX];
    va_list ap;
    va_start(ap, fmt);
    int r = vpath(path, root, fmt, ap);
    va_end(ap);
    if (r < 0)
        return STR_NONE;

    struct str s = read_word(path, word, sizeof(word));
    return s.len ? arena_str(a, s) : STR_NONE;
}

uint64_t src__number(const char *root, const char *fmt, ...)
{
    char path[SRC_PATH_MAX], word[64];
    va_list ap;
    va_start(ap, fmt);
    int r = vpath(path, root, fmt, ap);
    va_end(ap);
    uint64_t v = 0;
    if (r < 0 || str_to_u64(read_word(path, word, sizeof(word)), &v) < 0)
        return 0;
    return v;
}

int src__number_of(uint64_t *ret, const char *root, const char *fmt, ...)
{
    char path[SRC_PATH_MAX], text[64];
    struct str word;
    va_list ap;
    va_start(ap, fmt);
    int r = vpath(path, root, fmt, ap);
    va_end(ap);
    if (r == 0)
        r = read_first(path, text, sizeof(text), &word);
    if (r < 0)
        return r;
    return str_to_u64(word, ret) < 0 ? -EBADMSG : 0;
}

struct str src__link(struct arena *a, const char *root, const char *fmt, ...)
{
    char path[SRC_PATH_MAX], target[WORD_MAX];
    va_list ap;
    va_start(ap, fmt);
    int r = vpath(path, root, fmt, ap);
    va_end(ap);
    if (r < 0)
        return STR_NONE;
    ssize_t n = readlink(path, target, sizeof(target));
    return n > 0 ? arena_str(a, str_bytes(target, (size_t)n)) : STR_NONE;
}

struct str src__base(struct str path)
{
    for (size_t i = path.len; i > 0; i--)
        if (path.ptr[i - 1] == '/')
            return str_sub(path, i, path.len);
    return path;
}

bool src__exists(const char *root, const char *path)
{
    char full[SRC_PATH_MAX];
    return src__path(full, root, "%s", path) == 0 && access(full, F_OK) == 0;
}

int src__dir(const char *root, const char *path, src_entry_fn fn, void *ctx)
{
    char full[SRC_PATH_MAX];
    int r = src__path(full, root, "%s", path);
    if (r < 0)
        return r;
    DIR *d = opendir(full);
    if (!d)
        return -errno;

    r = 0;
    for (struct dirent *e; r == 0 && (e = readdir(d));) {
        if (e->d_name[0] == '.' && (!e->d_name[1] || (e->d_name[1] == '.' && !e->d_name[2])))
            continue;
        r = fn(ctx, e->d_name);
    }
    closedir(d);
    return r < 0 ? r : 0;
}

/* A file that is not there has a stamp too: it differs from the all-zero "never looked". */
struct collect_stamp src__stamp(const char *root, const char *path)
{
    char full[SRC_PATH_MAX];
    struct stat st;
    if (src__path(full, root, "%s", path) < 0 || stat(full, &st) < 0)
        return (struct collect_stamp){ .size = UINT64_MAX };
    return (struct collect_stamp){
        .mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec,
        .size = (uint64_t)st.st_size,
        .inode = st.st_ino,
    };
}

bool src__changed(struct collect_state *st, enum section s, const char *a, const char *b)
{
    const char *paths[2] = { a, b };
    bool is_changed = false;
    for (size_t i = 0; i < 2; i++) {
        if (!paths[i])
            continue;
        struct collect_stamp now = src__stamp(st->root, paths[i]), *was = &st->stamps[s][i];
        if (now.mtime_ns != was->mtime_ns || now.size != was->size || now.inode != was->inode) {
            *was = now;
            is_changed = true;
        }
    }
    return is_changed;
}

/* -- lines */
struct src_lines src__lines(src_line_fn fn, void *ctx)
{
    return (struct src_lines){ .fn = fn, .ctx = ctx, .part = BUF(SRC_LINE_MAX) };
}

void src__lines_done(struct src_lines *l)
{
    buf_done(&l->part);
}

/* Appends what fits of @s to the unfinished line. */
static void keep_part(struct src_lines *l, struct str s)
{
    if (l->is_skipping)
        return;
    size_t room = SRC_LINE_MAX - l->part.len;
    if (s.len > room)
        l->is_skipping = true;
    buf_append(&l->part, s.ptr, s.len < room ? s.len : room);
}

int src__lines_feed(struct src_lines *l, struct str chunk)
{
    while (chunk.len) {
        const char *nl = memchr(chunk.ptr, '\n', chunk.len);
        if (!nl) {
            keep_part(l, chunk);
            return 0;
        }
        struct str line = str_bytes(chunk.ptr, (size_t)(nl - chunk.ptr));
        chunk = str_sub(chunk, line.len + 1, chunk.len);
        int r;
        if (l->part.len || l->is_skipping) {
            keep_part(l, line);
            r = l->fn(l->ctx, buf_as_str(&l->part));
            buf_reset(&l->part);
            l->is_skipping = false;
        } else {
            r = l->fn(l->ctx, str_sub(line, 0, SRC_LINE_MAX));
        }
        if (r != 0)
            return r;
    }
    return 0;
}

int src__lines_end(struct src_lines *l)
{
    int r = l->part.len ? l->fn(l->ctx, buf_as_str(&l->part)) : 0;
    src__lines_done(l);
    l->is_skipping = false;
    return r;
}

int src__file_lines(const char *root, const char *path, src_line_fn fn, void *ctx)
{
    char full[SRC_PATH_MAX];
    int r = src__path(full, root, "%s", path);
    if (r < 0)
        return r;
    AUTO_FD int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;

    AUTO_FREE char *chunk = xmalloc(CHUNK);
    struct src_lines l = src__lines(fn, ctx);
    for (;;) {
        ssize_t n = read(fd, chunk, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            r = -errno;
        else if (n > 0 && memchr(chunk, '\0', (size_t)n))
            r = -EBADMSG;
        else if (n > 0)
            r = src__lines_feed(&l, str_bytes(chunk, (size_t)n));
        if (n <= 0 || r != 0)
            break;
    }
    if (r == 0)
        r = src__lines_end(&l);
    src__lines_done(&l);
    return r < 0 ? r : 0;
}

bool src__pair(struct str line, char sep, struct str *ret_key, struct str *ret_value)
{
    ptrdiff_t at = str_find_char(line, sep);
    if (at < 0)
        return false;
    *ret_key = str_trim(str_sub(line, 0, (size_t)at));
    *ret_value = str_trim(str_sub(line, (size_t)at + 1, line.len));
    return true;
}
