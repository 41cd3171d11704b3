/* fuzz: collect
 * /proc/stat, loadavg and uptime of the heartbeat: the input is each of them. */
#include "fuzz_collect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct beat_state st;
    struct heartbeat h;
    fuzz_put("/proc/stat", data, n);
    fuzz_put("/proc/loadavg", data, n);
    fuzz_put("/proc/uptime", data, n);
    if (collect_beat(&st, fuzz_root, &h) == 0)
        assert(h.cpu_pct >= 0 && h.cpu_pct <= 100);
    return 0;
}
