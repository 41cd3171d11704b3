/* fuzz: codec
 * `ip -json` of addresses, neighbours and routes: the first byte says which, from 3 on as extended rows. */
#include <assert.h>

#include "codec/json.h"
#include "codec/listing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static int (*const parsers[])(struct str, struct rows *, struct err *) = { listing_addresses, listing_neighbors, listing_routes };
    struct arena *a = arena_new(64 << 20);
    struct rows rows = { .arena = a, .is_extended = n > 0 && data[0] % 6 >= 3 };
    struct err err = { 0 };

    if (n > 0)
        (void)parsers[data[0] % 3](str_bytes(data + 1, n - 1), &rows, &err);
    rows_sort(&rows);
    for (size_t i = 0; i < rows.n; i++) {
        struct node *tree;

        assert(json_parse(a, rows.v[i], 64 << 10, &tree, NULL) == 0 && tree->type == NODE_MAP);
        assert(rows.is_extended ? tree->n >= 4 && tree->n <= 9 : tree->n == 4);
    }
    rows_done(&rows);
    arena_free(a);
    return 0;
}
