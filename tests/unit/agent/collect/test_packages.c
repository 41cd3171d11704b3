/* tests/unit/agent/collect/test_packages.c - the dpkg status file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tree.h"

static const char status[] = "Package: bash\n"
                             "Essential: yes\n"
                             "Status: install ok installed\n"
                             "Section: shells\n"
                             "Installed-Size: 7164\n"
                             "Architecture: amd64\n"
                             "Multi-Arch: foreign\n"
                             "Version: 5.2.15-2+b7\n"
                             "Description: GNU Bourne Again SHell\n"
                             " Package: not this\n"
                             " .\n"
                             "\n"
                             "Package: libc6\n"
                             "Status: hold ok installed\n"
                             "Architecture: amd64\n"
                             "Multi-Arch: same\n"
                             "Source: glibc (2.36)\n"
                             "Version: 2.36-9\n"
                             "\n"
                             "Package: gone\n"
                             "Status: deinstall ok config-files\n"
                             "Version: 1\n"
                             "\n\n"
                             "Package: torn\n"
                             "Status: install reinstreq half-installed\n"
                             "Version: 2\n";

static void installed_packages_are_rows_under_dpkgs_own_names(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/var/lib/dpkg/status", status);
    assert_int_equal(tree_run(t, SECTION_PACKAGES), 3);
    assert_string_equal(tree_row(t, "bash"), "{\"name\":\"bash\",\"version\":\"5.2.15-2+b7\",\"arch\":\"amd64\",\"section\":\"shells\","
                                             "\"installed_bytes\":7335936,\"manager\":\"dpkg\"}");
    assert_string_equal(tree_row(t, "libc6:amd64"), "{\"name\":\"libc6\",\"version\":\"2.36-9\",\"arch\":\"amd64\",\"source\":\"glibc\","
                                                    "\"held\":true,\"manager\":\"dpkg\"}");
    assert_string_equal(tree_row(t, "torn"), "{\"name\":\"torn\",\"version\":\"2\",\"status\":\"half-installed\",\"manager\":\"dpkg\"}");
}

static void without_a_status_file_packages_are_missing(void **state)
{
    struct tree *t = *state;
    assert_int_equal(tree_run(t, SECTION_PACKAGES), 0);
    assert_int_equal(t->status, SECTION_MISSING);
}

static void the_change_check_says_yes_once_per_change(void **state)
{
    struct tree *t = *state;
    struct collect_state st = { .root = t->root };
    const struct collector *c = &collectors[SECTION_PACKAGES];
    assert_true(c->is_changed(&st)); /* the first look, though nothing is there */
    assert_false(c->is_changed(&st));
    tree_file(t, "/var/lib/dpkg/status", status);
    assert_true(c->is_changed(&st));
    assert_false(c->is_changed(&st));
    tree_file(t, "/var/lib/dpkg/status", "Package: x\n");
    assert_true(c->is_changed(&st));
    assert_false(c->is_changed(&st));
    tree_remove(t, "/var/lib/dpkg/status");
    assert_true(c->is_changed(&st));
    assert_false(c->is_changed(&st));
    collect_forget(&st, SECTION_PACKAGES);
    assert_true(c->is_changed(&st));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(installed_packages_are_rows_under_dpkgs_own_names, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(without_a_status_file_packages_are_missing, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(the_change_check_says_yes_once_per_change, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
