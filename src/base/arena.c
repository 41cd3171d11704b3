/* base/arena.c - see arena.h.
 *
 *   chunks:  [ 4 KiB ] <- [ 8 KiB ] <- [ 16 KiB ]      the newest is filled; large objects get a chunk of
 * their own
 *
 * The cap counts bytes handed out. Memory held is at most about a third more: what a chunk's end is too
 * short for never exceeds a quarter of it. */
#include "base/arena.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>

#include "base/mem.h"

enum { CHUNK_FIRST = 4096, CHUNK_LARGEST = 65536, ALIGN = 16 };

struct chunk {
    struct chunk *next;
    size_t size, used;
    _Alignas(ALIGN) uint8_t bytes[];
};
struct defer {
    struct defer *next;
    arena_defer_fn fn;
    void *arg;
};
struct arena {
    struct chunk *chunks; /* head is the one being filled */
    struct defer *defers;
    size_t max, used, next_size;
};

struct arena *arena_new(size_t max_bytes)
{
    struct arena *a = xnew0(struct arena);
    a->max = max_bytes;
    a->next_size = CHUNK_FIRST;
    return a;
}

static void run_defers(struct arena *a)
{
    while (a->defers) {
        struct defer *d = a->defers;
        a->defers = d->next; /* first: @fn may defer again */
        d->fn(d->arg);
    }
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    run_defers(a);
    while (a->chunks) {
        struct chunk *c = a->chunks;
        a->chunks = c->next;
        free(c);
    }
    free(a);
}

void arena_reset(struct arena *a)
{
    run_defers(a);
    struct chunk *keep = NULL;
    while (a->chunks) {
        struct chunk *c = a->chunks, *drop = c;
        a->chunks = c->next;
        if (c->size <= CHUNK_LARGEST && (!keep || c->size > keep->size)) {
            drop = keep;
            keep = c;
        }
        free(drop);
    }
    a->next_size = CHUNK_FIRST;
    if (keep) {
        keep->next = NULL;
        keep->used = 0;
        a->chunks = keep;
        while (a->next_size < keep->size) /* whoever needed as much will again */
            a->next_size *= 2;
    }
    a->used = 0;
}

static struct chunk *chunk_new(size_t size)
{
    struct chunk *c = xmalloc(sizeof(*c) + size);
    c->next = NULL;
    c->size = size;
    c->used = 0;
    return c;
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > SIZE_MAX - ALIGN)
        return NULL;
    size_t take = n ? (n + ALIGN - 1) & ~(size_t)(ALIGN - 1) : ALIGN;
    if (take > a->max || a->used > a->max - take)
        return NULL;
    struct chunk *c = a->chunks;
    if (!c || c->size - c->used < take) {
        if (c && take > a->next_size / 4) { /* own chunk behind the head, which stays in use */
            struct chunk *own = chunk_new(take);
            own->next = c->next;
            c->next = own;
            c = own;
        } else {
            size_t size = a->next_size > take ? a->next_size : take;
            struct chunk *fresh = chunk_new(size);
            fresh->next = c;
            a->chunks = c = fresh;
            if (a->next_size < CHUNK_LARGEST)
                a->next_size *= 2;
        }
    }
    void *p = c->bytes + c->used;
    c->used += take;
    a->used += take;
    memset(p, 0, take);
    return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total))
        return NULL;
    return arena_alloc(a, total);
}

struct str arena_str(struct arena *a, struct str s)
{
    if (s.len == SIZE_MAX)
        return STR_NONE;
    char *p = arena_alloc(a, s.len + 1);
    if (!p)
        return STR_NONE;
    if (s.len)
        memcpy(p, s.ptr, s.len);
    return str_bytes(p, s.len);
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (!p)
        return STR_NONE;
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return str_bytes(p, (size_t)n);
}

int arena_defer(struct arena *a, arena_defer_fn fn, void *arg)
{
    struct defer *d = arena_new0(a, struct defer);
    if (!d)
        return -ENOBUFS;
    *d = (struct defer){ a->defers, fn, arg };
    a->defers = d;
    return 0;
}

void arena_set_max(struct arena *a, size_t max_bytes)
{
    assert(a->used <= max_bytes);
    a->max = max_bytes;
}

size_t arena_used(const struct arena *a)
{
    return a->used;
}

size_t arena_left(const struct arena *a)
{
    return a->max - a->used;
}
