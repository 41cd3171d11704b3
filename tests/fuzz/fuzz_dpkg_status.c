/* fuzz: collect
 * The dpkg status file. */
#include "fuzz_collect.h"

FUZZ_FILE("/var/lib/dpkg/status", SECTION_PACKAGES)
