/* base/pack.h - copies and comparisons of structs by their record tables. Any thread. */
#ifndef MUSTER_PACK_H
#define MUSTER_PACK_H

#include "base/buf.h"
#include "base/field.h"

/* A copy of @obj with every string, list and subtree the table knows inside one malloced block that starts with the struct: free()
 * releases all of it. Members the table does not know are copied as they are (what they point to stays the caller's). Each string is
 * followed by a NUL that is not counted. */
void *record_pack(const struct record *rec, const void *obj) __attribute__((malloc, returns_nonnull));
/* Do @a and @b hold the same in @f? Lists in the same order. */
bool field_eq(const struct field *f, const void *a, const void *b);
/* Do they in all fields? */
bool record_eq(const struct record *rec, const void *a, const void *b);

#endif
