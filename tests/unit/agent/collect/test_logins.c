/* tests/unit/agent/collect/test_logins.c - who is logged in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <utmp.h>

#include "tree.h"

static struct utmp record(short type, int pid, const char *user, const char *line, const char *host)
{
    struct utmp u = { .ut_type = type, .ut_pid = pid, .ut_tv.tv_sec = 1700000000 };
    memcpy(u.ut_user, user, strnlen(user, sizeof(u.ut_user)));
    memcpy(u.ut_line, line, strnlen(line, sizeof(u.ut_line)));
    memcpy(u.ut_host, host, strnlen(host, sizeof(u.ut_host)));
    return u;
}

static void live_user_records_are_rows_and_others_are_not(void **state)
{
    struct tree *t = *state;
    const struct utmp all[] = {
        record(BOOT_TIME, 0, "reboot", "~", "6.1"),
        record(USER_PROCESS, 100, "alice", "pts/0", "10.0.0.9"),
        record(USER_PROCESS, 101, "ghost", "pts/1", ""),
        record(DEAD_PROCESS, 100, "bob", "pts/2", ""),
    };
    tree_dir(t, "/proc/100");
    tree_bytes(t, "/run/utmp", all, sizeof(all));
    assert_int_equal(tree_run(t, SECTION_LOGINS), 1);
    assert_string_equal(tree_row(t, "alice pts/0"), "{\"user\":\"alice\",\"line\":\"pts/0\",\"from\":\"10.0.0.9\","
                                                    "\"since\":\"2023-11-14T22:13:20Z\",\"pid\":100}");
}

static void fields_without_a_nul_end_at_their_size(void **state)
{
    struct tree *t = *state;
    char name[UT_NAMESIZE + 1];
    memset(name, 'x', UT_NAMESIZE);
    name[UT_NAMESIZE] = '\0';
    struct utmp u = record(USER_PROCESS, 100, name, "tty1", "");
    tree_dir(t, "/proc/100");
    tree_bytes(t, "/var/run/utmp", &u, sizeof(u));
    assert_int_equal(tree_run(t, SECTION_LOGINS), 1);
    char key[UT_NAMESIZE + 8];
    snprintf(key, sizeof(key), "%s tty1", name);
    assert_non_null(tree_row(t, key));
}

static void a_file_cut_inside_a_record_is_a_failure(void **state)
{
    struct tree *t = *state;
    const struct utmp all[] = { record(USER_PROCESS, 100, "a", "1", ""), record(USER_PROCESS, 100, "b", "2", "") };
    tree_dir(t, "/proc/100");
    for (size_t n = 0; n <= sizeof(all); n++) {
        tree_bytes(t, "/run/utmp", all, n);
        bool is_whole = n % sizeof(all[0]) == 0;
        assert_int_equal(tree_run(t, SECTION_LOGINS), is_whole ? n / sizeof(all[0]) : 0);
        assert_int_equal(t->status, is_whole ? SECTION_OK : SECTION_FAILED);
    }
}

static void without_utmp_logind_answers_and_without_both_it_is_missing(void **state)
{
    struct tree *t = *state;
    assert_int_equal(tree_run(t, SECTION_LOGINS), 0);
    assert_int_equal(t->status, SECTION_MISSING);
    tree_file(t, "/run/systemd/sessions/3",
              "# This is private data.\nUID=0\nUSER=root\nACTIVE=1\nSTATE=active\nCLASS=user\nTTY=tty1\nLEADER=77\n"
              "REALTIME=1700000000123456\n");
    tree_file(t, "/run/systemd/sessions/3.ref", "");
    tree_file(t, "/run/systemd/sessions/c1", "USER=gdm\nSTATE=active\nCLASS=greeter\n");
    assert_int_equal(tree_run(t, SECTION_LOGINS), 1);
    assert_string_equal(tree_row(t, "root tty1"),
                        "{\"user\":\"root\",\"line\":\"tty1\",\"since\":\"2023-11-14T22:13:20Z\",\"pid\":77}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(live_user_records_are_rows_and_others_are_not, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(fields_without_a_nul_end_at_their_size, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_file_cut_inside_a_record_is_a_failure, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(without_utmp_logind_answers_and_without_both_it_is_missing, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
