/* fleet/teller.c - see teller.h. A new accent is a row here. */
#include "fleet/teller.h"

#define BIT(s) (1u << SECTION_##s)

_Static_assert(SECTION_N <= 32, "sections are bits of a mask");

/* From the one that knows least: a reporter sees interfaces and networks, sigma's agent only which addresses there are. */
static const struct {
    const char *dialect;
    uint32_t sections;
} tellers[] = {
    { "argus", BIT(OS) },
    { "sigma", BIT(OS) | BIT(CPU) | BIT(MEMORY) | BIT(FILESYSTEMS) | BIT(ADDRESSES) },
    { "grapheon", BIT(ADDRESSES) | BIT(NEIGHBOURS) | BIT(CONNECTIONS) | BIT(ROUTES) },
};

enum section section_apart(enum section s)
{
    static const struct {
        enum section plain, apart;
    } pairs[] = {
        { SECTION_OS, SECTION_REPORTED_OS },
        { SECTION_CPU, SECTION_REPORTED_CPU },
        { SECTION_MEMORY, SECTION_REPORTED_MEMORY },
        { SECTION_FILESYSTEMS, SECTION_REPORTED_FILESYSTEMS },
        { SECTION_ADDRESSES, SECTION_REPORTED_ADDRESSES },
        { SECTION_NEIGHBOURS, SECTION_REPORTED_NEIGHBOURS },
        { SECTION_CONNECTIONS, SECTION_REPORTED_CONNECTIONS },
        { SECTION_ROUTES, SECTION_REPORTED_ROUTES },
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (pairs[i].plain == s)
            return pairs[i].apart;
    return SECTION_ALL;
}

int teller_rank(struct str dialect, enum section s)
{
    for (size_t i = 0; i < sizeof(tellers) / sizeof(tellers[0]) && s < SECTION_N; i++)
        if (str_is(dialect, tellers[i].dialect))
            return tellers[i].sections & (1u << s) ? (int)i + 1 : 0;
    return 0;
}
