/* fuzz: hold. The three files of a task directory that are read back: spec, started, status. The checksum is put right first, or nothing would ever
 * get past it; the first byte says which reader. */
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/mem.h"
#include "hold/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_FREE uint8_t *b = NULL;
    size_t volatile total = 0;
    uint32_t crc;

    if (size < 9)
        return 0;
    b = xmemdup(data + 1, size - 1);
    if (data[0] & 0x80) {
        crc = crc32c(str_bytes(b + 8, size - 9));
        for (int i = 0; i < 4; i++)
            b[4 + i] = (uint8_t)(crc >> (8 * i));
    }
    switch (data[0] & 3) {
    case 0: {
        struct hold_spec s;

        if (hold_spec_read(str_bytes(b, size - 1), &s) == 0) {
            for (size_t i = 0; s.argv[i]; i++)
                total += strlen(s.argv[i]);
            for (size_t i = 0; s.env[i]; i++)
                total += strlen(s.env[i]);
            total += strlen(s.user) + strlen(s.cwd);
        }
        hold_spec_done(&s);
        break;
    }
    case 1: {
        struct hold_started s;

        (void)hold_started_read(str_bytes(b, size - 1), &s);
        break;
    }
    default: {
        struct hold_end e;

        if (hold_end_read(str_bytes(b, size - 1), &e) == 0)
            total += strlen(e.message);
    }
    }
    return 0;
}
