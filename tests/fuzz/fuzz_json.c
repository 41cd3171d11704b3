/* fuzz: codec - JSON text: what is accepted is written, read again and written the same. */
#include <stdint.h>
#include <stdlib.h>

#include "base/limits.h"
#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    AUTO(buf_done) struct buf first = BUF(8 << 20);
    AUTO(buf_done) struct buf second = BUF(8 << 20);
    struct node *node;
    struct err err = { 0 };
    int r = json_parse(a, str_bytes(data, n), LIMIT_JSON_BYTES, &node, &err);
    if ((r < 0) != err_is(&err))
        abort();
    if (r < 0 || node_write(node, &first) < 0)
        return 0;
    arena_reset(a);
    if (json_parse(a, buf_as_str(&first), LIMIT_JSON_BYTES, &node, &err) < 0)
        return 0; /* an arena too small for the longer text */
    if (node_write(node, &second) < 0 || !str_eq(buf_as_str(&first), buf_as_str(&second)))
        abort();
    return 0;
}
