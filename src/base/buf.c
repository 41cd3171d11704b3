/* base/buf.c - see buf.h. The allocation is always one byte larger than what it may hold, for a C string's
 * NUL. */
#include "base/buf.h"

#include <assert.h>
#include <errno.h>

#include "base/mem.h"

void buf_done(struct buf *b)
{
    free(b->ptr);
    *b = (struct buf){ 0 };
}

void buf_done_secret(struct buf *b)
{
    secret_wipe(b->ptr, b->cap);
    buf_done(b);
}

static int grow(struct buf *b, size_t n)
{
    if (n > b->max || b->len > b->max - n)
        return -ENOBUFS;
    size_t need = b->len + n + 1;
    if (need <= b->cap)
        return 0;
    size_t cap = b->cap < 32 ? 64 : b->cap + b->cap / 2;
    if (cap < need)
        cap = need;
    if (cap > b->max + 1 && b->max + 1 >= need)
        cap = b->max + 1;
    b->ptr = xrealloc(b->ptr, cap);
    b->cap = cap;
    return 0;
}

int buf_append(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return 0;
    int r = grow(b, n);
    if (r < 0)
        return r;
    memcpy(b->ptr + b->len, p, n);
    b->len += n;
    return 0;
}

int buf_str(struct buf *b, struct str s)
{
    return buf_append(b, s.ptr, s.len);
}

int buf_cstr(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

int buf_char(struct buf *b, char c)
{
    return buf_append(b, &c, 1);
}

int buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    char small[128];
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof(small), fmt, ap);
    int r = n < 0 ? -ENOBUFS : 0;
    if (r == 0 && (size_t)n < sizeof(small)) {
        r = buf_append(b, small, (size_t)n);
    } else if (r == 0 && (r = grow(b, (size_t)n)) == 0) {
        vsnprintf((char *)b->ptr + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return r;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = buf_vprintf(b, fmt, ap);
    va_end(ap);
    return r;
}

int buf_le32(struct buf *b, uint32_t v)
{
    uint8_t p[4] = { (uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24) };
    return buf_append(b, p, sizeof(p));
}

int buf_be32(struct buf *b, uint32_t v)
{
    return buf_le32(b, __builtin_bswap32(v)); /* le32 writes by shifts, so this holds on any machine */
}

int buf_le64(struct buf *b, uint64_t v)
{
    uint8_t p[8];
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
    return buf_append(b, p, sizeof(p));
}

int buf_reserve(struct buf *b, size_t n, uint8_t **lend)
{
    int r = grow(b, n);
    if (r < 0)
        return r;
    *lend = b->ptr ? b->ptr + b->len : NULL;
    return 0;
}

void buf_commit(struct buf *b, size_t n)
{
    assert(n <= b->max && b->len <= b->max - n && (n == 0 || b->len + n < b->cap));
    b->len += n;
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= b->len);
    if (n == 0)
        return;
    memmove(b->ptr, b->ptr + n, b->len - n);
    b->len -= n;
}

void buf_reset(struct buf *b)
{
    b->len = 0;
}

void buf_trim(struct buf *b, size_t keep)
{
    if (b->len || b->cap <= keep)
        return;
    free(b->ptr);
    b->ptr = NULL;
    b->cap = 0;
}

const char *buf_as_cstr(struct buf *b)
{
    if (!b->ptr)
        return "";
    b->ptr[b->len] = '\0';
    return (const char *)b->ptr;
}
