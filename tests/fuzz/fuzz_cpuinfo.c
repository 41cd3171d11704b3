/* fuzz: collect
 * /proc/cpuinfo. */
#include "fuzz_collect.h"

FUZZ_FILE("/proc/cpuinfo", SECTION_CPU)
