/* tests/unit/agent/collect/test_disks.c - block devices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tree.h"

static void disks_have_their_partitions_and_empty_drives_are_left_out(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/sys/block/sda/size", "2048\n");
    tree_file(t, "/sys/block/sda/device/model", "DISK 1000   \n");
    tree_file(t, "/sys/block/sda/device/wwid", "naa.5000\n");
    tree_file(t, "/sys/block/sda/queue/rotational", "1\n");
    tree_file(t, "/sys/block/sda/sda1/partition", "1\n");
    tree_file(t, "/sys/block/sda/sda1/size", "1024\n");
    tree_dir(t, "/sys/block/sda/sda_not_one");
    tree_file(t, "/sys/block/sr0/size", "0\n");
    tree_file(t, "/sys/block/dm-0/size", "8\n");
    tree_file(t, "/sys/block/dm-0/dm/name", "vg-root\n");
    assert_int_equal(tree_run(t, SECTION_DISKS), 3);
    assert_string_equal(tree_row(t, "sda"), "{\"name\":\"sda\",\"kind\":\"disk\",\"size_bytes\":1048576,\"model\":\"DISK 1000\","
                                            "\"wwid\":\"naa.5000\",\"rotational\":true}");
    assert_string_equal(tree_row(t, "sda1"), "{\"name\":\"sda1\",\"kind\":\"partition\",\"size_bytes\":524288,\"parent\":\"sda\"}");
    assert_string_equal(tree_row(t, "dm-0"), "{\"name\":\"dm-0\",\"kind\":\"mapper\",\"size_bytes\":4096,\"mapper\":\"vg-root\"}");
}

static void no_sys_block_is_missing(void **state)
{
    struct tree *t = *state;
    assert_int_equal(tree_run(t, SECTION_DISKS), 0);
    assert_int_equal(t->status, SECTION_MISSING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(disks_have_their_partitions_and_empty_drives_are_left_out, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(no_sys_block_is_missing, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
