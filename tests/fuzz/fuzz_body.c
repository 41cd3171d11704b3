/* fuzz: fleet
 * tests/fuzz/fuzz_body.c - fleet/inventory.h: bodies and deltas as they come out of a database that may be
 * damaged.
 *
 * First byte: where the body ends and the delta begins, in 256ths. */
#include "base/mem.h"
#include "fleet/inventory.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_diff(void *ctx, struct str key, struct str before, struct str after)
{
    size_t *n = ctx;
    *n += key.len + before.len + after.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t cut = 1 + (size - 1) * data[0] / 256, n = 0;
    struct str body = str_bytes(data + 1, cut - 1), delta = str_bytes(data + cut, size - cut);
    AUTO(buf_done) struct buf out = BUF(4 << 20);
    struct fact_digest d;

    bool is_good = body_check(body) == 0;
    body_digest(body, &d);
    (void)body_count(body);
    if (body_apply(body, delta, &out) == 0 && is_good)
        assert(body_check(buf_as_str(&out)) == 0); /* good and understood in: good out */
    body_diff(body, buf_as_str(&out), on_diff, &n);
    body_diff(body, delta, on_diff, &n);
    return 0;
}
