/* fuzz: dialects
 * JSON in Python's form: canonical text is its own canonical text, and indenting changes nothing but blanks. */
#include <assert.h>

#include "agent/dialects/grapheon.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(64 << 20);
    AUTO(buf_done) struct buf one = BUF(16 << 20), two = BUF(16 << 20), three = BUF(16 << 20), pretty = BUF(64 << 20);
    AUTO(buf_done) struct buf merged = BUF(16 << 20);
    struct grapheon_policy policy;
    struct node *tree, *again;

    if (json_parse(a, str_bytes(data, n), 1 << 20, &tree, NULL) == 0) {
        assert(json_ascii_canonical(tree, &one) == 0);
        if (json_parse(a, buf_as_str(&one), 16 << 20, &again, NULL) == 0) { /* a real may be printed longer than it came */
            assert(json_ascii_canonical(again, &two) == 0 && str_eq(buf_as_str(&one), buf_as_str(&two)));
            assert(json_ascii_pretty(buf_as_str(&one), &pretty) == 0);
            assert(json_parse(a, buf_as_str(&pretty), 64 << 20, &again, NULL) == 0);
            assert(json_ascii_canonical(again, &three) == 0 && str_eq(buf_as_str(&one), buf_as_str(&three)));
        }
        (void)grapheon__policy_merge(tree, tree, &merged);
        grapheon__policy_read(tree, &policy);
        assert(policy.interval_s >= 60 && policy.max_report_bytes >= GRAPHEON_REPORT_MIN);
    }
    arena_free(a);
    return 0;
}
