/* fuzz: dialects
 * Netlink replies as Graphēon rows: the first byte says of what, from 6 on as extended ones. */
#include "agent/dialects/grapheon.h"
#include "fuzz_collect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct {
        const char *file;
        enum grapheon_section section;
    } kinds[] = {
        { "/netlink/links", GS_ADDRESSES }, { "/netlink/addresses", GS_ADDRESSES }, { "/netlink/neighbours", GS_NEIGHBORS },
        { "/netlink/routes", GS_ROUTES },   { "/netlink/tcp4", GS_CONNECTIONS },    { "/netlink/udp6", GS_CONNECTIONS },
    };
    static bool is_prepared;
    struct arena *a = arena_new(64 << 20);
    struct rows rows = { .arena = a, .is_extended = n > 0 && data[0] / ARRAY_SIZE(kinds) % 2 };

    if (!is_prepared) {
        is_prepared = true;
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
            fuzz_put(kinds[i].file, NULL, 0);
    }
    if (n > 0) {
        size_t kind = data[0] % ARRAY_SIZE(kinds);

        fuzz_put(kinds[kind].file, data + 1, n - 1);
        (void)grapheon__netlink(kinds[kind].section, fuzz_root, &rows);
        for (size_t i = 0; i < rows.n; i++) {
            struct node *tree;

            assert(json_parse(a, rows.v[i], 64 << 10, &tree, NULL) == 0 && tree->type == NODE_MAP);
        }
        fuzz_put(kinds[kind].file, NULL, 0);
    }
    rows_done(&rows);
    arena_free(a);
    return 0;
}
