/* agent/dialects/personality.c - which personality a command line means. See personality.h. */
#include "agent/dialects/personality.h"

#include "base/str.h"

/* In the order of --help. */
const struct personality *const personality_table[] = {
    &personality_grapheon,
    &personality_sigma,
    &personality_argus,
    &personality_argus_report,
    NULL,
};

const struct personality *personality_find(int argc, char **argv, int *ret_shift)
{
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *base = argc > 0 ? (slash ? slash + 1 : argv[0]) : "";

    *ret_shift = 0;
    for (const struct personality *const *p = personality_table; *p; p++)
        if (strcmp(base, (*p)->argv0) == 0)
            return *p;
    for (const struct personality *const *p = personality_table; *p && argc > 1; p++)
        if (strcmp(argv[1], (*p)->name) == 0) {
            *ret_shift = 1;
            return *p;
        }
    return NULL;
}
