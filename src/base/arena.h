/* base/arena.h - bump allocator with a cap, freed in one go: the request lifetime.
 *
 * Sizes here may be chosen by a peer, so running over the cap returns NULL (that request fails); running
 * out of memory below it aborts. One thread at a time. */
#ifndef MUSTER_ARENA_H
#define MUSTER_ARENA_H

#include <stddef.h>

#include "base/auto.h"
#include "base/str.h"

struct arena;
typedef void (*arena_defer_fn)(void *arg);

/* An empty arena for at most @max_bytes; allocates its first chunk (4 KiB) on first use. */
struct arena *arena_new(size_t max_bytes);
/* Runs the deferred calls in reverse order and frees everything. NULL is a no-op. */
void arena_free(struct arena *a);
DEFINE_AUTO(struct arena *, arena_free)
/* As arena_free, but keeps one chunk for reuse. */
void arena_reset(struct arena *a);

/* @n zeroed bytes aligned for any type, valid until reset or free; NULL over the cap. */
void *arena_alloc(struct arena *a, size_t n);
#define arena_new0(a, type) ((type *)arena_alloc((a), sizeof(type)))
/* @n * @size with overflow check. */
void *arena_array(struct arena *a, size_t n, size_t size);
/* NUL-terminated copy (the NUL is not counted in len); {NULL,0} over the cap. */
struct str arena_str(struct arena *a, struct str s);
struct str arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Calls @fn(@arg) at reset or free; 0 or -ENOBUFS. */
int arena_defer(struct arena *a, arena_defer_fn fn, void *arg);
/* Another cap from now on, not below what was handed out since the last reset. */
void arena_set_max(struct arena *a, size_t max_bytes);
/* Bytes handed out, and how many more may be. */
size_t arena_used(const struct arena *a);
size_t arena_left(const struct arena *a);

#endif
