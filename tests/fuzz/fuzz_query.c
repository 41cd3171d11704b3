/* fuzz: codec - query strings and path segments; encoding is undone by decoding. */
#include <stdint.h>
#include <stdlib.h>

#include "codec/query.h"

struct filter {
    uint32_t limit;
    struct str_list status;
    struct kv_list label;
};
static const struct field filter_fields[] = {
    F_U32(struct filter, limit, "limit"),
    F_STR_LIST(struct filter, status, "status", 8, 16),
    F_MAP(struct filter, label, "label", 8, 16),
};
static const struct record filter_record = RECORD(filter, filter_fields);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    AUTO(buf_done) struct buf text = BUF(3 * n);
    struct str in = str_bytes(data, n), seg, again;
    struct kv_list q;
    struct filter f;
    struct record_errors errs;
    if (query_parse(a, in, &q) == 0)
        (void)query_decode(&filter_record, a, &q, &f, &errs);
    if (path_segment_decode(a, in, &seg) == 0 && seg.len && url_encode(&text, seg) == 0 &&
        (path_segment_decode(a, buf_as_str(&text), &again) < 0 || !str_eq(seg, again)))
        abort();
    return 0;
}
