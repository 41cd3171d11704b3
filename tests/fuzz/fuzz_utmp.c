/* fuzz: collect
 * utmp(5) records. */
#include "fuzz_collect.h"

FUZZ_FILE("/run/utmp", SECTION_LOGINS)
