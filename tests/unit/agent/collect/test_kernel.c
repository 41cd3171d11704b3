/* tests/unit/agent/collect/test_kernel.c - the running kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/utsname.h>

#include "tree.h"

static void the_kernel_row_never_carries_the_command_line(void **state)
{
    struct tree *t = *state;
    struct utsname un;
    assert_int_equal(uname(&un), 0);
    tree_file(t, "/proc/sys/kernel/ostype", "Linux\n");
    tree_file(t, "/proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
    tree_file(t, "/proc/sys/kernel/version", "#1 SMP\n");
    tree_file(t, "/proc/sys/kernel/random/boot_id", "b-1\n");
    tree_file(t, "/proc/sys/kernel/tainted", "4096\n");
    tree_file(t, "/proc/cmdline", "root=/dev/vda secret=hunter2\n");
    assert_int_equal(tree_run(t, SECTION_KERNEL), 1);
    char want[512];
    snprintf(want, sizeof(want),
             "{\"name\":\"Linux\",\"release\":\"6.1.0-18-amd64\",\"version\":\"#1 SMP\",\"arch\":\"%s\",\"boot_id\":\"b-1\","
             "\"tainted\":4096,\"modular\":false}",
             un.machine);
    assert_string_equal(tree_row(t, "kernel"), want);
}

static void without_proc_uname_answers(void **state)
{
    struct tree *t = *state;
    assert_int_equal(tree_run(t, SECTION_KERNEL), 1);
    assert_non_null(strstr(tree_row(t, "kernel"), "\"name\":\"Linux\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_kernel_row_never_carries_the_command_line, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(without_proc_uname_answers, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
