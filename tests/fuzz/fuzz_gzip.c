/* fuzz: codec - gzip: inflating stays below the cap; what was deflated comes back. */
#include <stdint.h>
#include <stdlib.h>

#include "codec/gzip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO(buf_done) struct buf out = BUF(1 << 16);
    AUTO(buf_done) struct buf packed = BUF(2 * n + 1024);
    AUTO(buf_done) struct buf back = BUF(n);
    (void)gzip_inflate(str_bytes(data, n), &out);
    if (out.len > out.max)
        abort();
    if (gzip_deflate(str_bytes(data, n), &packed) < 0 || gzip_inflate(buf_as_str(&packed), &back) < 0 ||
        !str_eq(buf_as_str(&back), str_bytes(data, n)))
        abort();
    return 0;
}
