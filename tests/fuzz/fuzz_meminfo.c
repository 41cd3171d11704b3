/* fuzz: collect
 * /proc/meminfo. */
#include "fuzz_collect.h"

FUZZ_FILE("/proc/meminfo", SECTION_MEMORY)
