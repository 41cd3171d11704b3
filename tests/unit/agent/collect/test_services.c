/* tests/unit/agent/collect/test_services.c - systemd's units without systemd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tree.h"

static const char with_install[] = "[Unit]\nDescription=OpenBSD Secure Shell server\n[Service]\nExecStart=/x\n[Install]\nWantedBy=multi-user.target\n";
static const char no_install[] = "# c\n[Unit]\n  Description = A thing \n[Install]\n# WantedBy=x\n";

static void put_units(struct tree *t)
{
    tree_dir(t, "/run/systemd/system");
    tree_file(t, "/lib/systemd/system/ssh.service", with_install);
    tree_link(t, "/etc/systemd/system/multi-user.target.wants/ssh.service", "/lib/systemd/system/ssh.service");
    tree_link(t, "/etc/systemd/system/sshd.service", "/lib/systemd/system/ssh.service"); /* an alias */
    tree_file(t, "/lib/systemd/system/off.service", with_install);
    tree_file(t, "/lib/systemd/system/plain.timer", no_install);
    tree_file(t, "/lib/systemd/system/never.service", with_install);
    tree_link(t, "/etc/systemd/system/never.service", "/dev/null");
    tree_file(t, "/lib/systemd/system/getty@.service", with_install); /* a template */
    tree_link(t, "/etc/systemd/system/getty.target.wants/getty@tty1.service", "/lib/systemd/system/getty@.service");
    tree_file(t, "/lib/systemd/system/boot.target", no_install); /* not a kind we list */
    tree_link(t, "/run/systemd/units/invocation:ssh.service", "0123");
    tree_link(t, "/run/systemd/units/invocation:getty@tty1.service", "0124");
    tree_file(t, "/sys/fs/cgroup/system.slice/ssh.service/cgroup.procs", "71\n");
    tree_file(t, "/sys/fs/cgroup/system.slice/system-getty.slice/getty@tty1.service/cgroup.procs", "72\n");
}

static void units_are_rows_with_state_and_enablement(void **state)
{
    struct tree *t = *state;
    put_units(t);
    assert_int_equal(tree_run(t, SECTION_SERVICES), 5);
    assert_string_equal(tree_row(t, "ssh.service"), "{\"name\":\"ssh.service\",\"type\":\"service\",\"state\":\"active\",\"running\":true,"
                                                    "\"enabled\":\"enabled\",\"description\":\"OpenBSD Secure Shell server\"}");
    assert_string_equal(tree_row(t, "plain.timer"), "{\"name\":\"plain.timer\",\"type\":\"timer\",\"state\":\"inactive\",\"running\":false,"
                                                    "\"enabled\":\"static\",\"description\":\"A thing\"}");
    assert_non_null(strstr(tree_row(t, "off.service"), "\"enabled\":\"disabled\""));
    assert_non_null(strstr(tree_row(t, "never.service"), "\"enabled\":\"masked\""));
    assert_non_null(strstr(tree_row(t, "getty@tty1.service"), "\"state\":\"active\",\"running\":true,\"enabled\":\"enabled\""));
}

static void an_active_unit_without_a_process_is_not_running(void **state)
{
    struct tree *t = *state;
    put_units(t);
    tree_file(t, "/sys/fs/cgroup/system.slice/ssh.service/cgroup.procs", "");
    tree_run(t, SECTION_SERVICES);
    assert_non_null(strstr(tree_row(t, "ssh.service"), "\"state\":\"active\",\"running\":false"));
}

static void without_systemd_it_is_missing(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/lib/systemd/system/ssh.service", with_install);
    assert_int_equal(tree_run(t, SECTION_SERVICES), 0);
    assert_int_equal(t->status, SECTION_MISSING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(units_are_rows_with_state_and_enablement, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(an_active_unit_without_a_process_is_not_running, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(without_systemd_it_is_missing, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
