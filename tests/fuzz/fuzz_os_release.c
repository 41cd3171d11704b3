/* fuzz: collect
 * os-release(5). */
#include "fuzz_collect.h"

FUZZ_FILE("/etc/os-release", SECTION_OS)
