/* tests/unit/codec/test_gzip.c - the promises of codec/gzip.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/mem.h"
#include "base/rand.h"
#include "codec/gzip.h"

static void what_goes_in_comes_out(void **state)
{
    (void)state;
    for (size_t n = 0; n < 100000; n = n * 3 + 1) {
        AUTO_FREE uint8_t *bytes = xmalloc(n);
        rand_bytes(bytes, n);
        AUTO(buf_done) struct buf packed = BUF(200000);
        AUTO(buf_done) struct buf back = BUF(n);
        assert_int_equal(gzip_deflate(str_bytes(bytes, n), &packed), 0);
        assert_int_equal(gzip_inflate(buf_as_str(&packed), &back), 0);
        assert_true(str_eq(buf_as_str(&back), str_bytes(bytes, n)));
    }
}

static void the_output_cap_is_exact(void **state)
{
    (void)state;
    size_t n = 1 << 20;
    AUTO_FREE char *zeros = xcalloc(1, n);
    AUTO(buf_done) struct buf packed = BUF(1 << 16);
    assert_int_equal(gzip_deflate(str_bytes(zeros, n), &packed), 0);
    assert_true(packed.len < 2000);
    for (size_t max = n - 1; max <= n + 1; max++) {
        AUTO(buf_done) struct buf out = BUF(max);
        assert_int_equal(gzip_inflate(buf_as_str(&packed), &out), max < n ? -EMSGSIZE : 0);
        assert_int_equal(out.len, max < n ? 0 : n);
    }
    AUTO(buf_done) struct buf small = BUF(packed.len - 1);
    assert_int_equal(gzip_deflate(str_bytes(zeros, n), &small), -ENOBUFS);
    assert_int_equal(small.len, 0);
}

static void a_member_says_how_long_it_is_and_is_held_to_it(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf packed = BUF(1000);
    AUTO(buf_done) struct buf out = BUF(1000);
    assert_int_equal(gzip_deflate(STR("hello, hello, hello"), &packed), 0);
    assert_int_equal(gzip_says(buf_as_str(&packed)), 19);
    packed.ptr[packed.len - 4]++;
    assert_int_equal(gzip_says(buf_as_str(&packed)), 20);
    assert_int_equal(gzip_inflate(buf_as_str(&packed), &out), -EBADMSG);
    for (size_t n = 0; n < 18; n++)
        assert_int_equal(gzip_says(str_sub(buf_as_str(&packed), 0, n)), 0);
}

static void cut_bent_or_followed_by_garbage_is_refused(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf packed = BUF(1000);
    AUTO(buf_done) struct buf out = BUF(1000);
    assert_int_equal(gzip_deflate(STR("hello, hello, hello"), &packed), 0);
    for (size_t n = 0; n < packed.len; n++)
        assert_int_equal(gzip_inflate(str_sub(buf_as_str(&packed), 0, n), &out), -EBADMSG);
    packed.ptr[packed.len - 6] ^= 1; /* the checksum */
    assert_int_equal(gzip_inflate(buf_as_str(&packed), &out), -EBADMSG);
    packed.ptr[packed.len - 6] ^= 1;
    buf_char(&packed, 'x');
    assert_int_equal(gzip_inflate(buf_as_str(&packed), &out), -EBADMSG);
    assert_int_equal(out.len, 0);
    assert_int_equal(gzip_inflate(STR("plain text"), &out), -EBADMSG);
}

static void zlib_s_own_form_is_read_too(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf out = BUF(10);
    /* zlib.compress(b"abc") */
    assert_int_equal(gzip_inflate(STR("\x78\x9c\x4b\x4c\x4a\x06\x00\x02\x4d\x01\x27"), &out), 0);
    assert_true(str_is(buf_as_str(&out), "abc"));
}

/* One inflater for many bodies: what a body leaves behind, good or bad, does not show in the next. */
static void one_inflater_reads_many_bodies(void **state)
{
    (void)state;
    AUTO(gunzip_free) struct gunzip *g = gunzip_new();
    AUTO(buf_done) struct buf text = BUF(100000), packed = BUF(100000);
    for (int i = 0; i < 3000; i++)
        buf_printf(&text, "%d, ", i);
    assert_int_equal(gzip_deflate(buf_as_str(&text), &packed), 0);
    for (int i = 0; i < 4; i++) {
        AUTO(buf_done) struct buf out = BUF(text.len), small = BUF(text.len - 1), none = BUF(100);
        assert_int_equal(gunzip_run(g, buf_as_str(&packed), &out), 0);
        assert_true(str_eq(buf_as_str(&out), buf_as_str(&text)));
        assert_int_equal(gunzip_run(g, buf_as_str(&packed), &small), -EMSGSIZE);
        assert_int_equal(gunzip_run(g, str_sub(buf_as_str(&packed), 0, packed.len / 2), &none), -EMSGSIZE);
        assert_int_equal(gunzip_run(g, str_sub(buf_as_str(&packed), 0, 9), &none), -EBADMSG);
        assert_int_equal(gunzip_run(g, STR(""), &none), -EBADMSG);
        assert_int_equal(none.len, 0);
    }
}

/* The size at a member's end is only a hint: one that lies changes nothing but how the room is made. */
static void a_size_that_lies_is_corrupt(void **state)
{
    (void)state;
    static const uint8_t lies[][4] = { { 0, 0, 0, 0 }, { 1, 0, 0, 0 }, { 0xff, 0xff, 0xff, 0xff }, { 0, 0, 1, 0 } };
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        AUTO(buf_done) struct buf packed = BUF(1000), out = BUF(1 << 20);
        assert_int_equal(gzip_deflate(STR("hello, hello, hello, hello"), &packed), 0);
        memcpy(packed.ptr + packed.len - 4, lies[i], 4);
        assert_int_equal(gzip_inflate(buf_as_str(&packed), &out), -EBADMSG);
        assert_true(out.cap < 1 << 17);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(the_output_cap_is_exact),
        cmocka_unit_test(a_member_says_how_long_it_is_and_is_held_to_it),
        cmocka_unit_test(cut_bent_or_followed_by_garbage_is_refused),
        cmocka_unit_test(zlib_s_own_form_is_read_too),
        cmocka_unit_test(one_inflater_reads_many_bodies),
        cmocka_unit_test(a_size_that_lies_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
