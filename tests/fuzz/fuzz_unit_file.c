/* fuzz: collect
 * A systemd unit file. */
#include "fuzz_collect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_put("/run/systemd/system/x.service", data, n);
    fuzz_run(SECTION_SERVICES);
    return 0;
}
