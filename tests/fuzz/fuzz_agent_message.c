/* fuzz: api
 * tests/fuzz/fuzz_agent_message.c - what an agent sends, unpacked with a capped allocator, and the walk over
 * its JSON rows: what the walk takes, the parser must take (rows are shown raw). */
#include "api/row_json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/json.h"
#include "muster.pb-c.h"
#include "pb/pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str s = str_bytes(data, size);
    struct pb_arena pa;

    pb_arena_init(&pa, 1 << 20);
    (void)pb_unpack(&muster__v1__agent_message__descriptor, &pa, s);
    pb_arena_reset(&pa);
    (void)pb_unpack(&muster__v1__enroll_request__descriptor, &pa, s);
    pb_arena_done(&pa);

    if (s.len <= LIMIT_ROW_BYTES && row_json_is_valid(s)) {
        AUTO(arena_free) struct arena *a = arena_new(8 << 20);
        struct node *n = NULL;
        struct err err = { 0 };

        if (json_parse(a, s, s.len, &n, &err) < 0 && !str_is(str_of(err.slug), "json.too_large"))
            __builtin_trap();
    }
    return 0;
}
