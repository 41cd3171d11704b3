/* tests/unit/base/test_uuid.c - the promises of base/uuid.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/mem.h"
#include "base/uuid.h"

static void text_and_bytes_agree(void **state)
{
    (void)state;
    struct uuid u;
    char text[UUID_TEXT_MAX];
    assert_int_equal(uuid_parse(STR("00112233-4455-6677-8899-AABBCCDDEEFF"), &u), 0);
    uuid_format(&u, text);
    assert_string_equal(text, "00112233-4455-6677-8899-aabbccddeeff");
    static const char *const bad[] = { "",
                                       "00112233445566778899aabbccddeeff",
                                       "00112233-4455-6677-8899-aabbccddeef",
                                       "00112233-4455-6677-8899-aabbccddeeff0",
                                       "g0112233-4455-6677-8899-aabbccddeeff",
                                       "0011223-34455-6677-8899-aabbccddeeff" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(uuid_parse(str_of(bad[i]), &u), -EINVAL);
    uuid_format(&u, text);
    assert_string_equal(text, "00112233-4455-6677-8899-aabbccddeeff"); /* untouched */
}

static void versions_and_variant_are_stamped(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct uuid a = uuid_v4(), b = uuid_v4(), c = uuid_v7(1);
        assert_int_equal(a.b[6] >> 4, 4);
        assert_int_equal(a.b[8] >> 6, 2);
        assert_int_equal(c.b[6] >> 4, 7);
        assert_int_equal(c.b[8] >> 6, 2);
        assert_false(uuid_eq(&a, &b));
        assert_false(uuid_is_nil(&a));
    }
    struct uuid nil = { 0 };
    assert_true(uuid_is_nil(&nil));
}

static void v7_of_one_millisecond_sort(void **state)
{
    (void)state;
    usec_t wall = 1795327005ULL * USEC_PER_SEC;
    struct uuid last = uuid_v7(wall);
    for (int i = 0; i < 10000; i++) { /* more than the 12-bit counter: it runs into the next millisecond */
        struct uuid u = uuid_v7(wall);
        assert_true(memcmp(last.b, u.b, 16) < 0);
        last = u;
    }
    struct uuid later = uuid_v7(wall + USEC_PER_SEC), earlier = uuid_v7(wall - USEC_PER_DAY);
    assert_true(memcmp(last.b, later.b, 16) < 0);
    assert_true(memcmp(earlier.b, later.b, 16) < 0); /* a clock set back far is believed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_bytes_agree),
        cmocka_unit_test(versions_and_variant_are_stamped),
        cmocka_unit_test(v7_of_one_millisecond_sort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
