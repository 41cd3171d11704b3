/* base/field.c - see field.h. */
#include "base/field.h"

#include <assert.h>

static uint64_t bit_of(const struct record *rec, const char *name)
{
    for (size_t i = 0; i < rec->n_fields && i < 64; i++)
        if (strcmp(rec->fields[i].name, name) == 0)
            return (uint64_t)1 << i;
    return 0;
}

static const struct seen *seen_of(const struct record *rec, const void *obj)
{
    assert(rec->seen_offset != SIZE_MAX);
    return (const struct seen *)((const char *)obj + rec->seen_offset);
}

bool field_is_present(const struct record *rec, const void *obj, const char *name)
{
    const struct seen *seen = seen_of(rec, obj);
    return seen->present & ~seen->null & bit_of(rec, name);
}

bool field_is_null(const struct record *rec, const void *obj, const char *name)
{
    return seen_of(rec, obj)->null & bit_of(rec, name);
}
