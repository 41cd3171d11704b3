/* tests/unit/agent/collect/test_users.c - local users and groups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tree.h"

static void users_and_groups_are_rows_and_passwords_are_not_read(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/etc/passwd", "root:SECRET:0:0:root,room 1:/root:/bin/bash\n"
                                "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
                                "+nis::::::\n#comment:x:1:1::/:/\nbad:x:notanumber:1::/:/\nbig:x:4294967296:1::/:/\nshort:x:7");
    tree_file(t, "/etc/group", "adm:x:4:syslog,alice\nempty:x:5:\nlast:x:6");
    assert_int_equal(tree_run(t, SECTION_USERS), 5);
    assert_string_equal(tree_row(t, "user root"), "{\"kind\":\"user\",\"name\":\"root\",\"uid\":0,\"gid\":0,\"full_name\":\"root\","
                                                  "\"home\":\"/root\",\"shell\":\"/bin/bash\",\"login_shell\":true}");
    assert_non_null(strstr(tree_row(t, "user daemon"), "\"login_shell\":false"));
    assert_string_equal(tree_row(t, "group adm"), "{\"kind\":\"group\",\"name\":\"adm\",\"gid\":4,\"members\":[\"syslog\",\"alice\"]}");
    assert_string_equal(tree_row(t, "group empty"), "{\"kind\":\"group\",\"name\":\"empty\",\"gid\":5}");
}

static void a_change_of_either_file_is_noticed(void **state)
{
    struct tree *t = *state;
    struct collect_state st = { .root = t->root };
    const struct collector *c = &collectors[SECTION_USERS];
    tree_file(t, "/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    tree_file(t, "/etc/group", "root:x:0:\n");
    assert_true(c->is_changed(&st));
    assert_false(c->is_changed(&st));
    tree_file(t, "/etc/group", "root:x:0:alice\n");
    assert_true(c->is_changed(&st));
    assert_false(c->is_changed(&st));
}

static void a_directory_in_the_place_of_passwd_is_a_failure(void **state)
{
    struct tree *t = *state;
    assert_int_equal(tree_run(t, SECTION_USERS), 0);
    assert_int_equal(t->status, SECTION_MISSING);
    tree_dir(t, "/etc/passwd");
    assert_int_equal(tree_run(t, SECTION_USERS), 0);
    assert_int_equal(t->status, SECTION_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(users_and_groups_are_rows_and_passwords_are_not_read, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_change_of_either_file_is_noticed, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_directory_in_the_place_of_passwd_is_a_failure, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
