/* wire/slugs.c - see slugs.h. Slugs are looked up only when something was refused, so a walk will do. */
#include "wire/slugs.h"

#include <stddef.h>
#include <string.h>

#define ROW(slug, http, grpc) { slug, http, grpc },
const struct slug slug_table[] = { WIRE_SLUGS(ROW){ NULL, 0, 0 } };
#undef ROW

static const struct slug *find(const char *slug)
{
    for (const struct slug *s = slug_table; s->slug; s++)
        if (strcmp(s->slug, slug) == 0)
            return s;
    return NULL;
}

const struct slug *slug_find(const char *slug)
{
    const struct slug *s = slug ? find(slug) : NULL;
    if (!s && slug && strncmp(slug, "field.", 6) == 0)
        s = find("field.invalid");
    return s ? s : find("internal");
}
