/* api/dialects/told.h - what a foreign agent says of its machine, as rows of the sections that our own agent tells: the same keys, the same
 * members, fewer of them (docs/internals/accents.md). */
#ifndef MUSTER_API_TOLD_H
#define MUSTER_API_TOLD_H

#include "base/arena.h"
#include "control/assets.h"

/* Sections so far: room for TOLD_MAX in @v, one call makes one. A section for which @arena has no room is left out: what is recorded of
 * it stays. */
struct told_sheet {
    struct arena *arena;
    struct told_section *v;
    size_t n;
};
void told_os(struct told_sheet *s, struct str hostname);
void told_cpu(struct told_sheet *s, uint32_t threads);
void told_memory(struct told_sheet *s, uint64_t total_bytes);
void told_filesystem(struct told_sheet *s, struct str mountpoint, uint64_t size_bytes);
/* Each address once, as the fleet writes it; manual ones are an operator's word and no fact. */
void told_addresses(struct told_sheet *s, const struct asset_addresses *list);

#endif
