/* tests/unit/base/test_buf.c - the promises of base/buf.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/buf.h"

static void the_maximum_is_exact(void **state)
{
    (void)state;
    for (size_t max = 0; max < 200; max += 33) {
        AUTO(buf_done) struct buf b = BUF(max);
        for (size_t i = 0; i < max; i++)
            assert_int_equal(buf_char(&b, 'x'), 0);
        assert_int_equal(buf_char(&b, 'x'), -ENOBUFS);
        assert_int_equal(b.len, max);
    }
}

static void a_refused_append_changes_nothing(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF(5);
    assert_int_equal(buf_cstr(&b, "abc"), 0);
    assert_int_equal(buf_cstr(&b, "def"), -ENOBUFS);
    assert_int_equal(buf_printf(&b, "%d", 123), -ENOBUFS);
    assert_int_equal(buf_append(&b, "x", SIZE_MAX), -ENOBUFS);
    assert_true(str_is(buf_as_str(&b), "abc"));
    assert_int_equal(buf_printf(&b, "%d", 12), 0);
    assert_string_equal(buf_as_cstr(&b), "abc12");
}

static void all_zero_holds_nothing(void **state)
{
    (void)state;
    struct buf b = { 0 };
    assert_int_equal(buf_char(&b, 'x'), -ENOBUFS);
    assert_int_equal(buf_append(&b, NULL, 0), 0);
    assert_string_equal(buf_as_cstr(&b), "");
    buf_done(&b);
}

static void long_printf_fits_to_the_byte(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF(1000);
    assert_int_equal(buf_printf(&b, "%1000d", 7), 0);
    assert_int_equal(b.len, 1000);
    assert_int_equal(b.ptr[999], '7');
    assert_int_equal(strlen(buf_as_cstr(&b)), 1000);
}

static void integers_have_their_byte_order(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF(16);
    buf_le32(&b, 0x01020304);
    buf_be32(&b, 0x01020304);
    buf_le64(&b, 0x0102030405060708);
    assert_memory_equal(b.ptr, "\4\3\2\1\1\2\3\4\10\7\6\5\4\3\2\1", 16);
}

static void reserve_and_commit_and_consume(void **state)
{
    (void)state;
    AUTO(buf_done_secret) struct buf b = BUF(10);
    uint8_t *p;
    assert_int_equal(buf_reserve(&b, 11, &p), -ENOBUFS);
    assert_int_equal(buf_reserve(&b, 10, &p), 0);
    memcpy(p, "0123456789", 10);
    buf_commit(&b, 10);
    buf_consume(&b, 4);
    assert_true(str_is(buf_as_str(&b), "456789"));
    buf_consume(&b, 6);
    assert_int_equal(b.len, 0);
    buf_trim(&b, 64);
    assert_non_null(b.ptr);
    buf_trim(&b, 0);
    assert_null(b.ptr);
    assert_int_equal(buf_cstr(&b, "again"), 0);
    buf_reset(&b);
    assert_int_equal(b.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_maximum_is_exact),           cmocka_unit_test(a_refused_append_changes_nothing),
        cmocka_unit_test(all_zero_holds_nothing),         cmocka_unit_test(long_printf_fits_to_the_byte),
        cmocka_unit_test(integers_have_their_byte_order), cmocka_unit_test(reserve_and_commit_and_consume),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
