/* fuzz: codec
 * What ss and netstat print: the first byte says which, and whether the rows are extended ones. Every row that comes out is JSON the
 * server's schema knows. */
#include <assert.h>

#include "codec/json.h"
#include "codec/listing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(64 << 20);
    struct rows rows = { .arena = a, .is_extended = n > 0 && data[0] & 2 };

    if (n > 0) {
        struct str text = str_bytes(data + 1, n - 1);

        (void)(data[0] % 2 ? listing_ss(text, &rows, NULL) : listing_netstat(text, &rows, NULL));
    }
    rows_sort(&rows);
    for (size_t i = 0; i < rows.n; i++) {
        struct node *tree;

        assert(json_parse(a, rows.v[i], 64 << 10, &tree, NULL) == 0 && tree->type == NODE_MAP);
        assert(rows.is_extended ? tree->n >= 8 && tree->n <= 10 : tree->n == 8);
    }
    rows_done(&rows);
    arena_free(a);
    return 0;
}
