/* tests/unit/fleet/test_role_health.c - the promises of fleet/role_health.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/limits.h"
#include "base/mem.h"
#include "fleet/role_health.h"

static int add(struct buf *b, struct str name, enum section_status status, struct str message)
{
    return role_health_add(b, &(struct role_health){ name, status, message });
}

static void what_is_added_is_read_in_order(void **state)
{
    AUTO(buf_done) struct buf b = BUF(LIMIT_ROLE_HEALTH_BYTES);
    struct role_health r;
    (void)state;
    assert_int_equal(add(&b, STR("metrics"), SECTION_OK, STR_NONE), 0);
    assert_int_equal(add(&b, STR("inventory"), SECTION_DISABLED, STR("switched off: by whom?")), 0);
    struct str rest = buf_as_str(&b);
    assert_int_equal(role_health_next(&rest, &r), 1);
    assert_true(str_is(r.name, "metrics") && r.status == SECTION_OK && r.message.len == 0);
    assert_int_equal(role_health_next(&rest, &r), 1);
    assert_true(str_is(r.name, "inventory") && r.status == SECTION_DISABLED && str_is(r.message, "switched off: by whom?"));
    assert_int_equal(role_health_next(&rest, &r), 0);
    assert_int_equal(role_health_next(&rest, &r), 0);
}

static void what_is_no_line_is_not_added(void **state)
{
    AUTO(buf_done) struct buf b = BUF(LIMIT_ROLE_HEALTH_BYTES);
    (void)state;
    assert_int_equal(add(&b, STR(""), SECTION_OK, STR_NONE), -EINVAL);
    assert_int_equal(add(&b, STR("a\nb"), SECTION_OK, STR_NONE), -EINVAL);
    assert_int_equal(add(&b, STR("a"), SECTION_OK, STR("\x1f")), -EINVAL);
    assert_int_equal(add(&b, STR("a"), 0, STR_NONE), -EINVAL);
    assert_int_equal(add(&b, STR("a"), SECTION_MISSING + 1, STR_NONE), -EINVAL);
    assert_int_equal(b.len, 0);
}

static void a_full_one_stays_as_it_was(void **state)
{
    (void)state;
    for (size_t max = 0; max < 9; max++) { /* "a|1|mess\n" has 9 bytes */
        AUTO(buf_done) struct buf b = BUF(max);
        assert_int_equal(add(&b, STR("a"), SECTION_OK, STR("mess")), -ENOBUFS);
        assert_int_equal(b.len, 0);
    }
    AUTO(buf_done) struct buf b = BUF(9 + 8);
    assert_int_equal(add(&b, STR("a"), SECTION_OK, STR("mess")), 0);
    assert_int_equal(add(&b, STR("a"), SECTION_OK, STR("mess")), -ENOBUFS);
    assert_int_equal(b.len, 9);
}

static void what_is_none_ends_the_list(void **state)
{
    static const char *const bad[] = { "", "a", "a\037\n", "a\0370\037\n", "a\0375\037\n", "\0371\037\n", "a\03711\037\n" };
    struct role_health r;
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct str rest = str_of(bad[i]);
        assert_int_equal(role_health_next(&rest, &r), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_is_read_in_order),
        cmocka_unit_test(what_is_no_line_is_not_added),
        cmocka_unit_test(a_full_one_stays_as_it_was),
        cmocka_unit_test(what_is_none_ends_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
