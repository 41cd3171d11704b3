/* tests/unit/agent/collect/test_dmi.c - the machine as its firmware describes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tree.h"

static void dmi_comes_from_sysfs_and_unreadable_files_are_left_out(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/sys/class/dmi/id/sys_vendor", "ACME\n");
    tree_file(t, "/sys/class/dmi/id/product_name", "Anvil 3\n");
    tree_file(t, "/sys/class/dmi/id/chassis_type", "23\n");
    assert_int_equal(tree_run(t, SECTION_DMI), 1);
    assert_string_equal(tree_row(t, "dmi"), "{\"sys_vendor\":\"ACME\",\"product_name\":\"Anvil 3\",\"chassis_type\":\"23\"}");
}

static void a_device_tree_does_as_well(void **state)
{
    struct tree *t = *state;
    tree_bytes(t, "/proc/device-tree/model", "Board Four\0", 11);
    assert_int_equal(tree_run(t, SECTION_DMI), 1);
    assert_string_equal(tree_row(t, "dmi"), "{\"product_name\":\"Board Four\"}");
}

static void neither_is_missing(void **state)
{
    struct tree *t = *state;
    assert_int_equal(tree_run(t, SECTION_DMI), 0);
    assert_int_equal(t->status, SECTION_MISSING);
    assert_true(t->message[0] != '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(dmi_comes_from_sysfs_and_unreadable_files_are_left_out, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_device_tree_does_as_well, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(neither_is_missing, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
