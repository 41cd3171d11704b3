/* tests/unit/base/test_arena.c - the promises of base/arena.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/arena.h"

static void the_cap_is_exact_and_returns_after_reset(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *a = arena_new(64 * 16);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 64; i++)
            assert_non_null(arena_alloc(a, 16));
        assert_int_equal(arena_left(a), 0);
        assert_null(arena_alloc(a, 1));
        assert_null(arena_str(a, STR("x")).ptr);
        assert_null(arena_printf(a, "x").ptr);
        assert_int_equal(arena_defer(a, free, NULL), -ENOBUFS);
        arena_reset(a);
        assert_int_equal(arena_used(a), 0);
    }
}

static void the_cap_can_be_set_anew(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *a = arena_new(0);
    assert_null(arena_alloc(a, 1));
    arena_set_max(a, 64);
    assert_non_null(arena_alloc(a, 48));
    assert_int_equal(arena_left(a), 16);
    arena_set_max(a, 48);
    assert_null(arena_alloc(a, 1));
    arena_reset(a);
    assert_non_null(arena_alloc(a, 48));
    assert_null(arena_alloc(a, 1));
}

static void memory_is_zeroed_and_aligned_and_apart(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    for (int round = 0; round < 2; round++) {
        uint8_t *last = NULL;
        for (size_t n = 0; n < 700; n += 7) {
            uint8_t *p = arena_alloc(a, n);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % 16, 0);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(p[i], 0);
            memset(p, 0xee, n);
            assert_ptr_not_equal(p, last);
            last = p;
        }
        arena_reset(a);
    }
}

static void huge_sizes_fail_rather_than_wrap(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *a = arena_new(SIZE_MAX);
    assert_null(arena_alloc(a, SIZE_MAX));
    assert_null(arena_array(a, SIZE_MAX / 2, 3));
    assert_non_null(arena_array(a, 3, 5));
    assert_non_null(arena_alloc(a, 1 << 20)); /* a chunk of its own */
    assert_non_null(arena_alloc(a, 8));
}

static void note(void *arg)
{
    char **at = arg;
    *(*at)++ = 'x';
}

static char log_text[8];
static void first(void *arg)
{
    (void)arg;
    strncat(log_text, "1", 2);
}
static void second(void *arg)
{
    (void)arg;
    strncat(log_text, "2", 2);
}

static void deferred_calls_run_backwards_once(void **state)
{
    (void)state;
    struct arena *a = arena_new(1024);
    char text[4] = "", *at = text;
    assert_int_equal(arena_defer(a, note, &at), 0);
    arena_reset(a);
    assert_string_equal(text, "x");
    assert_int_equal(arena_defer(a, first, NULL), 0);
    assert_int_equal(arena_defer(a, second, NULL), 0);
    arena_free(a);
    assert_string_equal(log_text, "21");
    assert_string_equal(text, "x");
    arena_free(NULL);
}

static void strings_end_in_nul(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *a = arena_new(1024);
    struct str s = arena_str(a, STR("abc"));
    assert_string_equal(s.ptr, "abc");
    assert_int_equal(s.len, 3);
    s = arena_str(a, STR_NONE);
    assert_non_null(s.ptr);
    assert_string_equal(arena_printf(a, "%d-%s", 5, "x").ptr, "5-x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cap_is_exact_and_returns_after_reset),
        cmocka_unit_test(the_cap_can_be_set_anew),
        cmocka_unit_test(memory_is_zeroed_and_aligned_and_apart),
        cmocka_unit_test(huge_sizes_fail_rather_than_wrap),
        cmocka_unit_test(deferred_calls_run_backwards_once),
        cmocka_unit_test(strings_end_in_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
