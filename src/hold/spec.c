/* hold/spec.c - see spec.h. */
#include "hold/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"

static const char spec_magic[4] = { 'M', 'H', 'S', SPEC_VERSION };
static const char started_magic[4] = { 'M', 'H', 'P', SPEC_VERSION };
static const char end_magic[4] = { 'M', 'H', 'E', SPEC_VERSION };
enum { HEAD_BYTES = 8 }; /* magic with version, CRC-32C of what follows */

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static void put64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get64(const uint8_t *p)
{
    return (uint64_t)get32(p) | (uint64_t)get32(p + 4) << 32;
}

/* A word is stored with its NUL, so that the reader can point into the file. */
static int put_word(struct buf *out, const char *s)
{
    size_t n = strlen(s);
    int r = buf_le32(out, (uint32_t)n);

    return r < 0 ? r : buf_append(out, s, n + 1);
}

static int put_words(struct buf *out, const char *const *words, size_t max)
{
    size_t n = 0;
    int r;

    while (words && words[n])
        n++;
    if (n > max)
        return -EINVAL;
    r = buf_le32(out, (uint32_t)n);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = put_word(out, words[i]);
    return r;
}

static int spec_write_body(const struct hold_spec *s, struct buf *out)
{
    int r;

    if ((r = buf_le64(out, s->task_id)) < 0 || (r = buf_le64(out, s->timeout_us)) < 0 ||
        (r = buf_le64(out, s->grace_us)) < 0 || (r = buf_le64(out, s->output_cap_bytes)) < 0 ||
        (r = buf_le64(out, s->start_before_us)) < 0 || (r = buf_le64(out, s->boot)) < 0 || (r = buf_le64(out, s->stdin_given)) < 0 ||
        (r = buf_le32(out, s->stdin_mode)) < 0 || (r = put_word(out, s->user ? s->user : "")) < 0 ||
        (r = put_word(out, s->cwd ? s->cwd : "")) < 0)
        return r;
    r = put_words(out, s->argv, LIMIT_ARGV);
    return r < 0 ? r : put_words(out, s->env, SPEC_MAX_ENV);
}

int hold_spec_write(const struct hold_spec *s, struct buf *out)
{
    size_t at = out->len;
    int r;

    if (!s->argv || !s->argv[0] || (s->user && strlen(s->user) > SPEC_MAX_NAME) ||
        (s->cwd && strlen(s->cwd) > SPEC_MAX_NAME) || s->stdin_mode < HOLD_STDIN_NULL ||
        s->stdin_mode > HOLD_STDIN_PIPE)
        return -EINVAL;

    r = buf_append(out, spec_magic, sizeof(spec_magic));
    if (r == 0)
        r = buf_le32(out, 0);
    if (r == 0)
        r = spec_write_body(s, out);
    if (r == 0 && out->len - at > SPEC_MAX_BYTES)
        r = -ENOBUFS;
    if (r < 0) {
        out->len = at;
        return r;
    }
    put32(out->ptr + at + 4, crc32c(str_bytes(out->ptr + at + HEAD_BYTES, out->len - at - HEAD_BYTES)));
    return 0;
}

/* A reader that never leaves its slice; is_bad sticks. */
struct cur {
    struct str rest;
    bool is_bad;
};

static const uint8_t *cur_take(struct cur *c, size_t n)
{
    const uint8_t *p = (const uint8_t *)c->rest.ptr;

    if (c->is_bad || n > c->rest.len) {
        c->is_bad = true;
        return NULL;
    }
    c->rest.ptr += n;
    c->rest.len -= n;
    return p;
}

static uint32_t cur_u32(struct cur *c)
{
    const uint8_t *p = cur_take(c, 4);

    return p ? get32(p) : 0;
}

static uint64_t cur_u64(struct cur *c)
{
    const uint8_t *p = cur_take(c, 8);

    return p ? get64(p) : 0;
}

static const char *cur_word(struct cur *c, size_t max)
{
    uint32_t n = cur_u32(c);
    const char *p;

    if (n > max) {
        c->is_bad = true;
        return NULL;
    }
    p = (const char *)cur_take(c, (size_t)n + 1);
    if (!p || p[n] != '\0' || memchr(p, '\0', n)) {
        c->is_bad = true;
        return NULL;
    }
    return p;
}

static const char **cur_words(struct cur *c, size_t max)
{
    uint32_t n = cur_u32(c);
    const char **v;

    /* Each word takes five bytes or more: a count the file cannot hold allocates nothing. */
    if (c->is_bad || n > max || n > c->rest.len / 5) {
        c->is_bad = true;
        return NULL;
    }
    v = xcalloc((size_t)n + 1, sizeof(*v));
    for (uint32_t i = 0; i < n; i++)
        v[i] = cur_word(c, SPEC_MAX_BYTES);
    return v;
}

static bool head_is_right(struct str bytes, const char magic[4])
{
    return bytes.len >= HEAD_BYTES && memcmp(bytes.ptr, magic, 4) == 0;
}

int hold_spec_read(struct str bytes, struct hold_spec *ret)
{
    struct cur c = { .rest = str_sub(bytes, HEAD_BYTES, SIZE_MAX) };
    struct hold_spec s = { 0 };

    *ret = s;
    if (!head_is_right(bytes, spec_magic) || bytes.len > SPEC_MAX_BYTES ||
        get32((const uint8_t *)bytes.ptr + 4) != crc32c(c.rest))
        return -EBADMSG;

    s.task_id = cur_u64(&c);
    s.timeout_us = cur_u64(&c);
    s.grace_us = cur_u64(&c);
    s.output_cap_bytes = cur_u64(&c);
    s.start_before_us = cur_u64(&c);
    s.boot = cur_u64(&c);
    s.stdin_given = cur_u64(&c);
    s.stdin_mode = cur_u32(&c);
    s.user = cur_word(&c, SPEC_MAX_NAME);
    s.cwd = cur_word(&c, SPEC_MAX_NAME);
    s.argv = cur_words(&c, LIMIT_ARGV);
    s.env = cur_words(&c, SPEC_MAX_ENV);
    if (c.is_bad || c.rest.len > 0 || !s.argv[0] || s.stdin_mode < HOLD_STDIN_NULL || s.stdin_mode > HOLD_STDIN_PIPE) {
        hold_spec_done(&s);
        return -EBADMSG;
    }
    *ret = s;
    return 0;
}

void hold_spec_done(struct hold_spec *s)
{
    free(s->argv);
    free(s->env);
    *s = (struct hold_spec){ 0 };
}

void hold_started_write(const struct hold_started *s, uint8_t ret[STARTED_BYTES])
{
    memcpy(ret, started_magic, 4);
    put32(ret + 8, s->pid);
    put64(ret + 12, s->at_us);
    put64(ret + 20, s->pid_ticks);
    put32(ret + 28, 0);
    put32(ret + 4, crc32c(str_bytes(ret + HEAD_BYTES, STARTED_BYTES - HEAD_BYTES)));
}

int hold_started_read(struct str bytes, struct hold_started *ret)
{
    const uint8_t *p = (const uint8_t *)bytes.ptr;

    if (bytes.len != STARTED_BYTES || !head_is_right(bytes, started_magic) ||
        get32(p + 4) != crc32c(str_sub(bytes, HEAD_BYTES, SIZE_MAX)))
        return -EBADMSG;
    *ret = (struct hold_started){ .pid = get32(p + 8), .at_us = get64(p + 12), .pid_ticks = get64(p + 20) };
    return 0;
}

/* status: head, u32 outcome, i32 exit code, i32 signal, 6 u64, u8 cut flags, u32 message length, message.  The CRC covers
 * the length first, so what lies behind the record does not matter. */
enum { END_FIXED = HEAD_BYTES + 12 + 48 + 1 + 4 };

size_t hold_end_write(const struct hold_end *e, uint8_t ret[END_MAX_BYTES])
{
    size_t n = strnlen(e->message, END_MAX_MESSAGE - 1);
    uint64_t v[6] = { e->started_at_us, e->finished_at_us, e->stdout_bytes,
                      e->stderr_bytes,  e->stdout_total,   e->stderr_total };
    uint8_t *p = ret + HEAD_BYTES;

    _Static_assert(END_FIXED + END_MAX_MESSAGE <= END_MAX_BYTES, "a status file fits");
    memcpy(ret, end_magic, 4);
    put32(p, e->outcome);
    put32(p + 4, (uint32_t)e->exit_code);
    put32(p + 8, (uint32_t)e->signal);
    for (int i = 0; i < 6; i++)
        put64(p + 12 + 8 * i, v[i]);
    p[60] = (uint8_t)((e->is_stdout_cut ? 1 : 0) | (e->is_stderr_cut ? 2 : 0));
    put32(p + 61, (uint32_t)n);
    memcpy(ret + END_FIXED, e->message, n);
    put32(ret + 4, crc32c(str_bytes(p, END_FIXED - HEAD_BYTES + n)));
    return END_FIXED + n;
}

int hold_end_read(struct str bytes, struct hold_end *ret)
{
    const uint8_t *p = (const uint8_t *)bytes.ptr;
    struct hold_end e = { 0 };
    uint32_t n;

    if (bytes.len < END_FIXED || !head_is_right(bytes, end_magic))
        return -EBADMSG;
    p += HEAD_BYTES;
    n = get32(p + 61);
    if (n >= END_MAX_MESSAGE || n > bytes.len - END_FIXED ||
        get32(p - 4) != crc32c(str_bytes(p, END_FIXED - HEAD_BYTES + n)))
        return -EBADMSG;

    e.outcome = get32(p);
    e.exit_code = (int32_t)get32(p + 4);
    e.signal = (int32_t)get32(p + 8);
    e.started_at_us = get64(p + 12);
    e.finished_at_us = get64(p + 20);
    e.stdout_bytes = get64(p + 28);
    e.stderr_bytes = get64(p + 36);
    e.stdout_total = get64(p + 44);
    e.stderr_total = get64(p + 52);
    e.is_stdout_cut = p[60] & 1;
    e.is_stderr_cut = p[60] & 2;
    memcpy(e.message, bytes.ptr + END_FIXED, n);
    if (e.outcome < HOLD_EXITED || e.outcome > HOLD_LOST)
        return -EBADMSG;
    *ret = e;
    return 0;
}

uint64_t hold_pid_ticks(uint32_t pid)
{
    char path[48], text[512];
    ssize_t n;
    int fd;
    struct str rest, word = STR_NONE;
    uint64_t v;

    (void)snprintf(path, sizeof(path), "/proc/%u/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof(text));
    fd_close(&fd);
    if (n <= 0)
        return 0;
    /* The name in parentheses may hold anything: count from the last one. Start time is the 22nd field. */
    rest = str_bytes(text, (size_t)n);
    while (rest.len > 0 && rest.ptr[rest.len - 1] != ')')
        rest.len--;
    rest = str_bytes(text + rest.len, (size_t)n - rest.len);
    for (int i = 3; i <= 22; i++)
        if (!str_word(&rest, &word))
            return 0;
    return str_to_u64(word, &v) == 0 ? v : 0;
}
