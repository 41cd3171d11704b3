/* tests/unit/fleet/test_capability.c - the promises of fleet/capability.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet/capability.h"

static void what_each_accent_can_is_this(void **state)
{
    (void)state;
    assert_int_equal(capabilities_of(STR("native")), CAN_COMMAND | CAN_PORTS);
    assert_int_equal(capabilities_of(STR("sigma")), CAN_PORTS);
    assert_int_equal(capabilities_of(STR("grapheon")), 0);
    assert_int_equal(capabilities_of(STR("argus")), CAN_RERUN | CAN_STOP);
    assert_int_equal(capabilities_of(STR("martian")), 0);
    assert_int_equal(capabilities_of(STR_NONE), 0);
}

static void every_kind_of_job_needs_its_own_word(void **state)
{
    (void)state;
    assert_int_equal(capability_for(JOB_KIND_COMMAND), CAN_COMMAND);
    assert_int_equal(capability_for(JOB_KIND_RERUN), CAN_RERUN);
    assert_int_equal(capability_for(JOB_KIND_STOP), CAN_STOP);
    for (const struct name *n = job_kind_names; n->text; n++)
        assert_string_equal(name_of(capability_names, (int)capability_for((enum job_kind)n->value)), n->text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_each_accent_can_is_this),
        cmocka_unit_test(every_kind_of_job_needs_its_own_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
