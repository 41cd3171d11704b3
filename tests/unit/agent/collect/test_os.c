/* tests/unit/agent/collect/test_os.c - what runs here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/utsname.h>

#include "tree.h"

static void os_release_is_read_with_its_quotes(void **state)
{
    struct tree *t = *state;
    struct utsname un;
    assert_int_equal(uname(&un), 0);
    tree_file(t, "/etc/os-release", "# comment\nID=debian\nNAME=\"Debian \\\"GNU\\\"/Linux\"\nVERSION_ID='12'\nVERSION_CODENAME=bookworm\n"
                                    "HOME_URL=\"https://x/?a=b\"\nnonsense\n");
    tree_file(t, "/proc/sys/kernel/hostname", "web-1\n");
    tree_link(t, "/etc/localtime", "/usr/share/zoneinfo/Europe/Berlin");
    assert_int_equal(tree_run(t, SECTION_OS), 1);
    char want[512];
    snprintf(want, sizeof(want),
             "{\"hostname\":\"web-1\",\"id\":\"debian\",\"name\":\"Debian \\\"GNU\\\"/Linux\",\"version_id\":\"12\","
             "\"codename\":\"bookworm\",\"arch\":\"%s\",\"timezone\":\"Europe/Berlin\"}",
             un.machine);
    assert_string_equal(tree_row(t, "os"), want);
}

static void usr_lib_is_the_second_place_and_none_is_fine(void **state)
{
    struct tree *t = *state;
    assert_int_equal(tree_run(t, SECTION_OS), 1);
    assert_int_equal(t->status, SECTION_OK);
    tree_file(t, "/usr/lib/os-release", "ID=arch");
    tree_file(t, "/.dockerenv", "");
    assert_int_equal(tree_run(t, SECTION_OS), 1);
    assert_non_null(strstr(tree_row(t, "os"), "\"id\":\"arch\""));
    assert_non_null(strstr(tree_row(t, "os"), "\"container\":\"docker\""));
}

static void a_value_longer_than_its_field_is_cut(void **state)
{
    struct tree *t = *state;
    char text[400] = "ID=";
    memset(text + 3, 'x', 300);
    tree_file(t, "/etc/os-release", text);
    assert_int_equal(tree_run(t, SECTION_OS), 1);
    const char *id = strstr(tree_row(t, "os"), "\"id\":\"");
    assert_non_null(id);
    assert_int_equal(strspn(id + 6, "x"), 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(os_release_is_read_with_its_quotes, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(usr_lib_is_the_second_place_and_none_is_fine, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_value_longer_than_its_field_is_cut, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
