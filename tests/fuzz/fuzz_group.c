/* fuzz: collect
 * group(5). */
#include "fuzz_collect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_put("/etc/passwd", NULL, 0);
    fuzz_put("/etc/group", data, n);
    fuzz_run(SECTION_USERS);
    return 0;
}
