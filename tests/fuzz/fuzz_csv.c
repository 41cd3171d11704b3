/* fuzz: api - imported comma separated values, read to their end; what was read is written and read again. */
#include "api/dialects/sigma.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { COLUMNS = 16 };
    AUTO(arena_free) struct arena *a = arena_new(8 << 20);
    struct str text = str_bytes(data, size), cells[COLUMNS], again[COLUMNS];
    size_t n, m;

    while (csv_next(a, &text, cells, COLUMNS, &n) > 0) {
        AUTO(buf_done) struct buf out = BUF(8 << 20);
        struct str rest;
        bool is_blank = n == 1 && cells[0].len == 0;

        for (size_t i = 0; i < n; i++)
            csv_field(&out, cells[i], i == 0);
        csv_end(&out);
        rest = buf_as_str(&out);
        if (is_blank)
            continue;
        assert(csv_next(a, &rest, again, COLUMNS, &m) == 1 && m == n && rest.len == 0);
        for (size_t i = 0; i < n; i++)
            assert(str_eq(csv_plain(again[i]), cells[i]) || str_eq(again[i], cells[i]));
    }
    return 0;
}
