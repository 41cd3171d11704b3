/* tests/unit/base/test_err.c - the promises of base/err.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/err.h"
#include "base/text.h"

static void set_returns_the_code_and_fills_all_parts(void **state)
{
    (void)state;
    struct err e = { 0 };
    assert_false(err_is(&e));
    assert_int_equal(err_set(&e, -ENOENT, "file.missing", "no %s", "file"), -ENOENT);
    assert_true(err_is(&e));
    assert_int_equal(e.code, -ENOENT);
    assert_string_equal(e.slug, "file.missing");
    assert_string_equal(e.text, "no file");
    err_reset(&e);
    assert_false(err_is(&e));
}

static void a_denial_says_whom_and_what_they_lack_until_the_next_error(void **state)
{
    (void)state;
    struct err e = { 0 };
    err_denied(NULL, "ann", "admin");
    err_set(&e, -EACCES, "auth.denied", "no");
    assert_string_equal(e.who, "");
    assert_string_equal(e.needs, "");
    err_login_helps(NULL);
    err_login_helps(&e);
    assert_true(e.login_helps);
    err_denied(&e, "ann", "admin");
    assert_false(e.login_helps);
    err_login_helps(&e);
    err_prefix(&e, "outer");
    assert_string_equal(e.who, "ann");
    assert_string_equal(e.needs, "admin");
    assert_true(e.login_helps);
    err_set(&e, -EIO, "x", "y");
    assert_false(e.login_helps);
    assert_string_equal(e.who, "");
    assert_string_equal(e.needs, "");
}

static void percent_m_is_of_the_code_whatever_errno_became(void **state)
{
    (void)state;
    struct err e = { 0 };
    errno = EBUSY;
    err_set(&e, -ENOENT, "x", "open: %m");
    assert_string_equal(e.text, "open: No such file or directory");
    assert_int_equal(errno, EBUSY);
}

static void a_null_err_only_passes_the_code_through(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, -EIO, "x", "y"), -EIO);
    err_prefix(NULL, "p");
    err_path(NULL, "p");
    err_reset(NULL);
    assert_false(err_is(NULL));
}

static void prefix_goes_in_front_and_not_on_an_empty_err(void **state)
{
    (void)state;
    struct err e = { 0 };
    err_prefix(&e, "outer");
    assert_string_equal(e.text, "");
    err_set(&e, -EIO, "x", "inner");
    err_prefix(&e, "outer %d", 7);
    assert_string_equal(e.text, "outer 7: inner");
}

static void paths_grow_outward(void **state)
{
    (void)state;
    struct err e = { 0 };
    err_set(&e, -EINVAL, "x", "y");
    err_path(&e, "port");
    err_path(&e, "[3]");
    err_path(&e, "rows");
    assert_string_equal(e.path, "rows[3].port");
}

static void what_does_not_fit_is_cut_between_characters(void **state)
{
    (void)state;
    struct err e = { 0 };
    char long_text[3 * ERR_TEXT_MAX + 1];
    for (size_t i = 0; i < ERR_TEXT_MAX; i++)
        memcpy(long_text + 3 * i, "\xe2\x82\xac", 3);
    long_text[3 * ERR_TEXT_MAX] = '\0';
    err_set(&e, -EIO, "x", "%s", long_text);
    assert_true(strlen(e.text) > ERR_TEXT_MAX - 4);
    assert_true(utf8_is_valid(str_of(e.text)));
    err_prefix(&e, "%s", long_text);
    assert_true(utf8_is_valid(str_of(e.text)));
    err_path(&e, long_text);
    assert_true(utf8_is_valid(str_of(e.path)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_returns_the_code_and_fills_all_parts),
        cmocka_unit_test(a_denial_says_whom_and_what_they_lack_until_the_next_error),
        cmocka_unit_test(percent_m_is_of_the_code_whatever_errno_became),
        cmocka_unit_test(a_null_err_only_passes_the_code_through),
        cmocka_unit_test(prefix_goes_in_front_and_not_on_an_empty_err),
        cmocka_unit_test(paths_grow_outward),
        cmocka_unit_test(what_does_not_fit_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
