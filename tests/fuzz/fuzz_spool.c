/* fuzz: agent. Recovery of the agent's spool from any bytes: it opens, what it lends is inside the file, and it can go on. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "agent/spool.h"
#include "base/fd.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char dir[64], path[96];
    struct spool *s = NULL;
    struct str msg;
    uint64_t seq = 0;

    if (!dir[0]) {
        (void)snprintf(dir, sizeof(dir), "/tmp/fuzz-spool-XXXXXX");
        assert(mkdtemp(dir));
        (void)snprintf(path, sizeof(path), "%s/spool", dir);
    }
    FILE *f = fopen(path, "we");
    assert(f);
    (void)!fwrite(data, 1, size, f);
    (void)fclose(f);

    assert(spool_open(path, 64 << 10, &s, NULL) == 0);
    while (spool_next(s, seq, &msg, &seq) == 1)
        assert(msg.len > 0 && msg.len <= size);
    if (spool_append(s, STR("more"), &seq) == SPOOL_OK)
        spool_ack(s, seq);
    assert(spool_append(s, STR("more"), &seq) <= SPOOL_FULL);
    spool_free(s);
    (void)unlink(path);
    return 0;
}
