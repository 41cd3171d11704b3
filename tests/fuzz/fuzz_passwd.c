/* fuzz: collect
 * passwd(5). */
#include "fuzz_collect.h"

FUZZ_FILE("/etc/passwd", SECTION_USERS)
