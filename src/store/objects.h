/* store/objects.h - what objects.c and lazy.c share (private to this folder). */
#ifndef MUSTER_STORE_OBJECTS_H
#define MUSTER_STORE_OBJECTS_H

#include "store/store_priv.h"

/* Writes the row. 0 or -errno. */
int objects__file(struct db *db, uint32_t kind, uint64_t id, uint64_t parent, struct str body);

#endif
