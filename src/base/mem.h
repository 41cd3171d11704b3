/* base/mem.h - allocation of sizes we choose: aborts when there is no memory.
 *
 * Safe because everything acknowledged is durable and peers resend. Sizes a peer chooses meet a cap
 * first (base/limits.h). Any thread. */
#ifndef MUSTER_MEM_H
#define MUSTER_MEM_H

#include <stddef.h>
#include <stdlib.h>

/* A maker names what frees its result; only gcc knows the form with an argument. */
#if defined(__GNUC__) && !defined(__clang__)
#define FREED_BY(fn) malloc(fn)
#else
#define FREED_BY(fn) malloc
#endif

/* Like malloc/calloc/realloc/strdup, but never NULL: prints "out of memory" and aborts. Free with free(). */
void *xmalloc(size_t n) __attribute__((FREED_BY(free), returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((FREED_BY(free), returns_nonnull));
void *xrealloc(void *p, size_t n) __attribute__((returns_nonnull));
void *xreallocarray(void *p, size_t n, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((FREED_BY(free), returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((FREED_BY(free), returns_nonnull));
void *xmemdup(const void *p, size_t n) __attribute__((FREED_BY(free), returns_nonnull));
char *xasprintf(const char *fmt, ...) __attribute__((FREED_BY(free), returns_nonnull, format(printf, 1, 2)));

/* A zeroed object of @type. */
#define xnew0(type) ((type *)xcalloc(1, sizeof(type)))

/* Overwrites @n bytes in a way the compiler keeps; NULL with 0 is fine. */
void secret_wipe(void *p, size_t n);

/* secret_wipe() of the C string @s, then free(); NULL is a no-op. */
void secret_free(char *s);

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static inline void mem__free_auto(void *pp)
{
    free(*(void **)pp);
}
/* AUTO_FREE char *p = NULL; */
#define AUTO_FREE __attribute__((cleanup(mem__free_auto)))

#endif
