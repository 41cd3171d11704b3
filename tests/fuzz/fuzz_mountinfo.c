/* fuzz: collect
 * /proc/PID/mountinfo. */
#include "fuzz_collect.h"

FUZZ_FILE("/proc/1/mountinfo", SECTION_FILESYSTEMS)
