/* tests/unit/base/test_rand.c - the promises of base/rand.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rand.h"

static void below_stays_below_and_reaches_all(void **state)
{
    (void)state;
    unsigned hit = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t v = rand_below(5);
        assert_true(v < 5);
        hit |= 1u << v;
    }
    assert_int_equal(hit, 31);
    assert_int_equal(rand_below(1), 0);
    assert_true(rand_u64() != rand_u64());
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(below_stays_below_and_reaches_all) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
