/* tests/unit/server/test_statedir.c - the promises of server/statedir.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "base/fd.h"
#include "server/statedir.h"

static char base[64];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(base, sizeof(base), "/tmp/muster-test-statedir-XXXXXX");
    return mkdtemp(base) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return fd_remove_tree(base);
}

static void paths(struct statedir *s, const char *name)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", base, name);
    assert_int_equal(statedir_paths(path, s, NULL), 0);
}

static void a_missing_directory_is_made_for_us_alone(void **state)
{
    struct statedir s;
    struct stat st;

    (void)state;
    paths(&s, "a/b");
    assert_false(statedir_is_used(&s));
    assert_int_equal(statedir_open(&s, NULL), 0);
    assert_int_equal(stat(s.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_false(statedir_is_used(&s)); /* the lock does not count */
    statedir_unlock(&s);
}

static void a_wide_mode_is_narrowed(void **state)
{
    struct statedir s;
    struct stat st;

    (void)state;
    paths(&s, "wide");
    assert_int_equal(mkdir(s.path, 0755), 0);
    assert_int_equal(statedir_open(&s, NULL), 0);
    assert_int_equal(stat(s.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    statedir_unlock(&s);
}

static void a_second_server_is_told_who_has_it(void **state)
{
    struct statedir one, two;
    struct err err = { 0 };
    char pid[32];

    (void)state;
    paths(&one, "locked");
    paths(&two, "locked");
    assert_int_equal(statedir_holder(&one), 0);
    assert_int_equal(statedir_open(&one, NULL), 0);
    assert_int_equal(statedir_open(&two, &err), -EBUSY);
    assert_string_equal(err.slug, "state.locked");
    (void)snprintf(pid, sizeof(pid), "pid %ld", (long)getpid());
    assert_non_null(strstr(err.text, pid));
    assert_int_equal(statedir_holder(&two), getpid());
    assert_int_equal(statedir_holder(&two), getpid()); /* asking takes nothing */
    statedir_unlock(&one);
    assert_int_equal(statedir_holder(&two), 0);
    assert_int_equal(statedir_open(&two, NULL), 0);
    statedir_unlock(&two);
}

static void a_file_in_its_place_is_named(void **state)
{
    struct statedir s;
    struct err err = { 0 };

    (void)state;
    paths(&s, "file");
    assert_int_equal(fd_replace_file(s.path, STR("x"), 0600, NULL), 0);
    assert_true(statedir_open(&s, &err) < 0);
    assert_non_null(strstr(err.text, s.path));
    statedir_unlock(&s);
}

static void anything_in_it_makes_it_used(void **state)
{
    struct statedir s;

    (void)state;
    paths(&s, "used");
    assert_int_equal(statedir_open(&s, NULL), 0);
    assert_int_equal(fd_replace_file(s.db, STR("x"), 0600, NULL), 0);
    assert_true(statedir_is_used(&s));
    statedir_unlock(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_missing_directory_is_made_for_us_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wide_mode_is_narrowed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_server_is_told_who_has_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_in_its_place_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(anything_in_it_makes_it_used, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
