/* fuzz: collect
 * A session file of logind. */
#include "fuzz_collect.h"

FUZZ_FILE("/run/systemd/sessions/1", SECTION_LOGINS)
