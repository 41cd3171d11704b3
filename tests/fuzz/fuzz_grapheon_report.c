/* fuzz: api - the body of a check-in: whatever is read keeps its promises, and a canonical row is canonical. */
#include <stdint.h>
#include <stdlib.h>

#include "api/dialects/grapheon.h"
#include "base/limits.h"
#include "codec/json_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_rows(const struct report_rows *in)
{
    for (size_t i = 0; i < in->n_rows; i++) {
        struct json_scan s;

        if (in->rows[i].key.len == 0 || in->rows[i].key.len + in->rows[i].json.len > LIMIT_ROW_BYTES)
            abort();
        if (json_scan_open(in->rows[i].json, &s) != JSON_MAP)
            abort();
        for (size_t j = 0; j < i; j++)
            if (str_eq(in->rows[i].key, in->rows[j].key))
                abort(); /* one row a key: the inventory refuses doubles */
    }
}

static void check_canonical(struct str text)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    AUTO(buf_done) struct buf once = BUF(1 << 20);
    AUTO(buf_done) struct buf twice = BUF(1 << 20);
    struct json_scan s;
    struct json_item item = { .kind = json_scan_open(text, &s), .raw = str_trim(text) };

    if (item.kind == JSON_BAD || json_item_canonical(&item, a, &once) < 0)
        return;
    item.raw = buf_as_str(&once);
    if (json_scan_open(item.raw, &s) != item.kind || json_item_canonical(&item, a, &twice) < 0)
        abort();
    if (!str_eq(buf_as_str(&once), buf_as_str(&twice)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str text = str_bytes(data, n);
    AUTO(arena_free) struct arena *a = arena_new((256 << 10) + 24 * n);
    struct report *r = malloc(sizeof(*r));

    if (!r)
        abort();
    if (grapheon_read_report(a, text, false, r) == GRAPHEON_READ_OK) {
        if (!r->uuid.len)
            abort();
        for (int s = 0; s < REPORT_SECTIONS; s++)
            check_rows(&r->sections[s]);
        for (size_t i = 1; i < r->n_ips; i++)
            if (str_cmp(r->ips[i - 1], r->ips[i]) >= 0)
                abort();
    }
    free(r);
    check_canonical(text);
    return 0;
}
