/* tests/unit/base/test_mem.c - the promises of base/mem.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"

static void zero_sizes_give_a_pointer_that_can_be_freed(void **state)
{
    (void)state;
    free(xmalloc(0));
    free(xcalloc(0, 0));
    free(xrealloc(NULL, 0));
    free(xreallocarray(NULL, 0, 8));
    free(xmemdup(NULL, 0));
}

static void copies_are_equal(void **state)
{
    (void)state;
    AUTO_FREE char *a = xstrdup("abc");
    AUTO_FREE char *b = xstrndup("abcdef", 3);
    AUTO_FREE char *c = xasprintf("%s%d", "abc", 12);
    assert_string_equal(a, b);
    assert_string_equal(c, "abc12");
}

static void wipe_overwrites_and_takes_nothing(void **state)
{
    (void)state;
    char s[] = "secret";
    secret_wipe(s, sizeof(s));
    for (size_t i = 0; i < sizeof(s); i++)
        assert_int_equal(s[i], 0);
    secret_wipe(NULL, 0);
    secret_free(NULL);
    secret_free(xstrdup("x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_sizes_give_a_pointer_that_can_be_freed),
        cmocka_unit_test(copies_are_equal),
        cmocka_unit_test(wipe_overwrites_and_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
