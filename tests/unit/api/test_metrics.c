/* tests/unit/api/test_metrics.c - what stands in the metrics is one line each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/metrics.h"

static void labels_of_metrics_are_escaped(void **state)
{
    AUTO(buf_done) struct buf out = BUF(256);

    (void)state;
    metrics_label(&out, STR("a\"b\\c\nd\x01"));
    assert_string_equal(buf_as_cstr(&out), "a\\\"b\\\\c\\nd ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_of_metrics_are_escaped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
