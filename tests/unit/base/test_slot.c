/* tests/unit/base/test_slot.c - the promises of base/slot.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/slot.h"

enum { N = 64, STEPS = 20000 };

static void a_stale_id_finds_nothing(void **state)
{
    (void)state;
    AUTO(slots_free) struct slots *s = slots_new();
    int a, b;
    uint64_t id = slots_add(s, &a);
    assert_true(id != 0);
    assert_ptr_equal(slots_get(s, id), &a);
    assert_ptr_equal(slots_del(s, id), &a);
    uint64_t id2 = slots_add(s, &b);
    assert_true(id2 != id && (uint32_t)id2 == (uint32_t)id); /* same place, other generation */
    assert_null(slots_get(s, id));
    assert_null(slots_del(s, id));
    assert_ptr_equal(slots_get(s, id2), &b);
    assert_null(slots_get(s, 0));
    assert_null(slots_get(s, UINT64_MAX));
}

/* Random operations against a naive list. */
static void agrees_with_a_naive_list(void **state)
{
    (void)state;
    AUTO(slots_free) struct slots *s = slots_new();
    static int objs[N];
    uint64_t ids[N] = { 0 };
    size_t n = 0;
    unsigned seed = 1;
    for (int step = 0; step < STEPS; step++) {
        seed = seed * 1103515245 + 12345;
        size_t i = seed >> 16 & (N - 1);
        if (ids[i]) {
            assert_ptr_equal(slots_get(s, ids[i]), &objs[i]);
            if (seed >> 30 & 1) {
                assert_ptr_equal(slots_del(s, ids[i]), &objs[i]);
                assert_null(slots_get(s, ids[i]));
                ids[i] = 0;
                n--;
            }
        } else {
            ids[i] = slots_add(s, &objs[i]);
            n++;
        }
        assert_int_equal(slots_count(s), n);
    }
    size_t iter = 0, seen = 0;
    uint64_t id;
    int *obj;
    while ((obj = slots_next(s, &iter, &id))) {
        assert_true(ids[obj - objs] == id);
        seen++;
        slots_del(s, id);
    }
    assert_int_equal(seen, n);
    assert_int_equal(slots_count(s), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stale_id_finds_nothing),
        cmocka_unit_test(agrees_with_a_naive_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
