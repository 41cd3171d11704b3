/* tests/unit/agent/collect/test_rpm.c - rpm by a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tree.h"

static void rpm_is_asked_and_its_lines_are_rows(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/var/lib/rpm/rpmdb.sqlite", "x");
    tree_file(t, "/usr/bin/rpm", "#!/bin/sh\n"
                                 "printf 'bash\\t5.2-1\\tx86_64\\tbash-5.2-1.src.rpm\\tUnspecified\\t100\\n'\n"
                                 "printf 'kernel-core\\t6.1-1\\tx86_64\\t(none)\\tSystem\\t1\\n'\n"
                                 "printf 'kernel-core\\t6.2-1\\tx86_64\\t(none)\\tSystem\\t1\\n'\n"
                                 "printf 'gpg-pubkey\\t1-1\\t(none)\\t\\t\\t0\\nhalf\\t1'\n");
    assert_int_equal(tree_run(t, SECTION_PACKAGES), 3);
    assert_string_equal(tree_row(t, "bash:x86_64"),
                        "{\"name\":\"bash\",\"version\":\"5.2-1\",\"arch\":\"x86_64\",\"source\":\"bash-5.2-1.src.rpm\","
                        "\"installed_bytes\":100,\"manager\":\"rpm\"}");
    /* kernels live beside each other */
    assert_non_null(tree_row(t, "kernel-core-6.1-1:x86_64"));
    assert_non_null(tree_row(t, "kernel-core-6.2-1:x86_64"));
}

static void a_child_that_fails_is_a_failed_section(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/var/lib/rpm/rpmdb.sqlite", "x");
    tree_file(t, "/usr/bin/rpm", "#!/bin/sh\nprintf 'bash\\t5\\tx\\n'\nexit 3\n");
    assert_int_equal(tree_run(t, SECTION_PACKAGES), 0);
    assert_int_equal(t->status, SECTION_FAILED);
    assert_non_null(strstr(t->message, "rpm"));
}

static void a_database_that_has_nothing_is_a_failure_unless_rpm_is_a_mere_tool(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/var/lib/rpm/rpmdb.sqlite", "x");
    tree_file(t, "/usr/bin/rpm", "#!/bin/sh\n");
    assert_int_equal(tree_run(t, SECTION_PACKAGES), 0);
    assert_int_equal(t->status, SECTION_FAILED);
    tree_file(t, "/var/lib/dpkg/status", "Package: a\nStatus: install ok installed\nVersion: 1\n\n");
    assert_int_equal(tree_run(t, SECTION_PACKAGES), 1);
    assert_int_equal(t->status, SECTION_OK);
    /* and the other way round: dpkg is the tool */
    tree_file(t, "/usr/bin/rpm", "#!/bin/sh\nprintf 'bash\\t5\\tx\\n'\n");
    tree_file(t, "/var/lib/dpkg/status", "");
    assert_int_equal(tree_run(t, SECTION_PACKAGES), 1);
    assert_int_equal(t->status, SECTION_OK);
}

static void a_database_without_the_program_is_not_asked(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/var/lib/rpm/rpmdb.sqlite", "x");
    assert_int_equal(tree_run(t, SECTION_PACKAGES), 0);
    assert_int_equal(t->status, SECTION_MISSING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rpm_is_asked_and_its_lines_are_rows, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_child_that_fails_is_a_failed_section, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_database_that_has_nothing_is_a_failure_unless_rpm_is_a_mere_tool, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_database_without_the_program_is_not_asked, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
