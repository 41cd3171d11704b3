/* base/names.h - enum <-> spelling by table (header-only).
 *
 *   static const struct name role_names[] = { { ROLE_VIEWER, "viewer" }, ..., NAMES_END };
 */
#ifndef MUSTER_NAMES_H
#define MUSTER_NAMES_H

#include <stddef.h>

#include "base/str.h"

struct name {
    int value;
    const char *text;
};
#define NAMES_END { 0, NULL }

/* The spelling, or "unknown". */
static inline const char *name_of(const struct name *names, int value)
{
    for (; names->text; names++)
        if (names->value == value)
            return names->text;
    return "unknown";
}
/* The value, or -1. */
static inline int name_value(const struct name *names, struct str s)
{
    for (; names->text; names++)
        if (str_is(s, names->text))
            return names->value;
    return -1;
}

#endif
