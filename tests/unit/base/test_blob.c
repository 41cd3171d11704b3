/* tests/unit/base/test_blob.c - the promises of base/blob.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/blob.h"

static void bytes_live_as_long_as_one_reference(void **state)
{
    (void)state;
    struct blob *a = blob_new(STR("abc"));
    struct blob *b = blob_ref(a);
    blob_unref(a);
    assert_true(str_is(blob_str(b), "abc"));
    blob_unref(b);
    blob_unref(NULL);
    struct blob *empty = blob_new(STR_NONE);
    assert_int_equal(blob_str(empty).len, 0);
    blob_unref(empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(bytes_live_as_long_as_one_reference) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
