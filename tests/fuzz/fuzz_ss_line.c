/* fuzz: agent
 * Lines of `ss -tulnp`: a port is what is behind the last colon, a process a part of the line. */
#include <assert.h>

#include "agent/ports.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct ports_conf none;
    struct str rest = str_bytes(data, n), line;

    while (str_cut(&rest, '\n', &line)) {
        struct str process = STR_NONE;
        uint16_t port;

        if (!ss_line(line, &port, &process))
            continue;
        assert(str_find(line, STR("LISTEN")) >= 0 && str_find_char(line, ':') >= 0);
        assert(process.len == 0 || (process.ptr > line.ptr && process.ptr + process.len < line.ptr + line.len));
        assert(port_class(&none, process) < PORT_SOURCES_FIXED);
    }
    return 0;
}
