/* fuzz: dialects
 * A host's policy, and a command behind a zero byte: what is not well formed permits nothing. */
#include <assert.h>

#include "agent/dialects/argus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str command = str_bytes(data, n), policy = STR_NONE;

    /* Long expressions and counted repeats only find out how slow libc's are; the file is the host's own. */
    if (n > 256 || !str_cut(&command, '\0', &policy) || str_find_char(policy, '{') >= 0 || str_find_char(policy, '(') >= 0)
        return 0;
    if (argus__policy_allows(policy, command))
        assert(argus__policy_check(policy, NULL) == 0);
    return 0;
}
