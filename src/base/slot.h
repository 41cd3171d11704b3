/* base/slot.h - generation-checked ids: a stale id finds nothing, never a stranger.
 *
 * A table of pointers; an id is (generation << 32 | index + 1), never 0. Owned by one thread. */
#ifndef MUSTER_SLOT_H
#define MUSTER_SLOT_H

#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

struct slots;

struct slots *slots_new(void);
void slots_free(struct slots *s); /* not the objects */
DEFINE_AUTO(struct slots *, slots_free)
/* Files @obj (not NULL) and returns its id. */
uint64_t slots_add(struct slots *s, void *obj);
/* The object, or NULL if @id was never given out or was removed. */
void *slots_get(const struct slots *s, uint64_t id);
/* Forgets @id (its index may be reused under a new generation); returns the object or NULL. */
void *slots_del(struct slots *s, uint64_t id);
size_t slots_count(const struct slots *s);
/* Visits all: *@iter starts at 0; returns the next object and its id, NULL at the end. Removal of the
 * visited one while iterating is fine. */
void *slots_next(const struct slots *s, size_t *iter, uint64_t *ret_id);

#endif
