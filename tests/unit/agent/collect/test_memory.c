/* tests/unit/agent/collect/test_memory.c - how much memory there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tree.h"

static void free_memory_is_not_a_fact(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/proc/meminfo", "MemTotal:       1024 kB\nMemFree:  5 kB\nSwapTotal: 8 kB\nHugePages_Total:  2\n"
                                  "Hugepagesize:  2048 kB\nnonsense\nBad: x kB\n");
    assert_int_equal(tree_run(t, SECTION_MEMORY), 1);
    assert_string_equal(tree_row(t, "memory"),
                        "{\"total_bytes\":1048576,\"swap_bytes\":8192,\"huge_pages\":2,\"huge_page_bytes\":2097152}");
    tree_file(t, "/proc/meminfo", "MemTotal: 1024 kB\nMemFree: 900 kB\nSwapTotal: 8 kB\nHugePages_Total: 2\nHugepagesize: 2048 kB\n");
    AUTO(buf_done) struct buf before = BUF(4096);
    buf_str(&before, buf_as_str(&t->body));
    assert_int_equal(tree_run(t, SECTION_MEMORY), 1);
    assert_true(str_eq(buf_as_str(&before), buf_as_str(&t->body)));
}

static void each_swap_area_is_a_row(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/proc/meminfo", "MemTotal: 1 kB\n");
    tree_file(t, "/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/zram0  partition  4  2  100\n/swap file 8 0 -2\n");
    assert_int_equal(tree_run(t, SECTION_MEMORY), 3);
    assert_string_equal(tree_row(t, "swap /dev/zram0"),
                        "{\"name\":\"/dev/zram0\",\"kind\":\"partition\",\"size_bytes\":4096,\"priority\":100}");
    assert_string_equal(tree_row(t, "swap /swap"), "{\"name\":\"/swap\",\"kind\":\"file\",\"size_bytes\":8192,\"priority\":-2}");
}

static void a_number_that_is_none_is_a_failure_not_zero(void **state)
{
    struct tree *t = *state;
    static const char *const bad[][2] = {
        { "/proc/meminfo", "MemTotal: 1024 kB\nSwapTotal: zz kB\n" },
        { "/proc/meminfo", "MemTotal: 1024 kB\nHugePages_Total: \n" },
        { "/proc/meminfo", "MemTotal: 1024 kB\nHugepagesize: 2048\n" },
        { "/proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition xx 0 -2\n" },
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tree_file(t, "/proc/meminfo", "MemTotal: 1024 kB\n");
        tree_file(t, "/proc/swaps", "Filename Type Size Used Priority\n");
        tree_file(t, bad[i][0], bad[i][1]);
        (void)tree_run(t, SECTION_MEMORY);
        assert_int_equal(t->status, SECTION_FAILED);
    }
}

static void no_meminfo_is_a_failure(void **state)
{
    struct tree *t = *state;
    assert_int_equal(tree_run(t, SECTION_MEMORY), 0);
    assert_int_equal(t->status, SECTION_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(free_memory_is_not_a_fact, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(each_swap_area_is_a_row, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_number_that_is_none_is_a_failure_not_zero, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(no_meminfo_is_a_failure, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
