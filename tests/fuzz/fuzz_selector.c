/* fuzz: fleet
 * tests/fuzz/fuzz_selector.c - fleet/select.h: label expressions come from every operator call. */
#include "fleet/select.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kv labels[] = { { STR("role"), STR("web") }, { STR("site"), STR("north-1") } };
    const struct kv_list list = { labels, 2 };
    const struct selectable host = { STR("018bcfe5-6800-7000-8000-0123456789ab"), STR("edge-01"),
                                     STR("ready"), &list };
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    struct selector *s;
    struct err err;

    if (selector_parse(a, str_bytes(data, size), &s, &err) == 0)
        (void)selector_match(s, &host);
    struct str rest = str_bytes(data, size), pattern;
    if (str_cut(&rest, '\n', &pattern))
        (void)glob_match(str_sub(pattern, 0, 300), str_sub(rest, 0, 300));
    (void)label_check(pattern, rest, NULL);
    return 0;
}
