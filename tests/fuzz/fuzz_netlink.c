/* fuzz: collect
 * Netlink replies: the first byte says of what. */
#include "fuzz_collect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct {
        const char *file;
        enum section section;
    } kinds[] = {
        { "/netlink/links", SECTION_INTERFACES },      { "/netlink/addresses", SECTION_ADDRESSES },
        { "/netlink/neighbours", SECTION_NEIGHBOURS }, { "/netlink/routes", SECTION_ROUTES },
        { "/netlink/tcp4", SECTION_CONNECTIONS },      { "/netlink/tcp4", SECTION_LISTENERS },
    };
    static bool is_prepared;
    if (n == 0)
        return 0;
    if (!is_prepared) {
        is_prepared = true;
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
            fuzz_put(kinds[i].file, NULL, 0);
    }
    size_t kind = data[0] % (sizeof(kinds) / sizeof(kinds[0]));
    fuzz_put(kinds[kind].file, data + 1, n - 1);
    fuzz_run(kinds[kind].section);
    return 0;
}
