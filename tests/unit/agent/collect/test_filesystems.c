/* tests/unit/agent/collect/test_filesystems.c - mounted file systems. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/statvfs.h>

#include "tree.h"

static void data_file_systems_stay_and_kernel_ones_go(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/proc/1/mountinfo",
              "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
              "25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw\n"
              "27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda1 rw,discard\n"
              "28 27 254:1 /sub /srv/with\\040space ro,nodev - ext4 /dev/vdb rw\n"
              "29 27 0:50 / /net rw - nfs4 server:/export rw,vers=4\n"
              "30 27 0:51 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw\n"
              "31 27 0:52 / /run/user/0/doc rw - fuse.portal portal rw\n"
              "broken line\n"
              "32 27 0:53 / /cut rw shared:1");
    tree_dir(t, "/srv/with space");
    assert_int_equal(tree_run(t, SECTION_FILESYSTEMS), 3);
    struct statvfs st;
    assert_int_equal(statvfs(t->root, &st), 0);
    char want[256];
    snprintf(want, sizeof(want),
             "{\"mountpoint\":\"/\",\"device\":\"/dev/vda1\",\"type\":\"ext4\",\"options\":\"rw,relatime\",\"size_bytes\":%llu,"
             "\"read_only\":false}",
             (unsigned long long)st.f_blocks * st.f_frsize);
    assert_string_equal(tree_row(t, "/"), want);
    snprintf(want, sizeof(want),
             "{\"mountpoint\":\"/srv/with space\",\"device\":\"/dev/vdb\",\"type\":\"ext4\",\"options\":\"ro,nodev\","
             "\"subtree\":\"/sub\",\"size_bytes\":%llu,\"read_only\":true}",
             (unsigned long long)st.f_blocks * st.f_frsize);
    assert_string_equal(tree_row(t, "/srv/with space"), want);
    /* never asked for its size: its server may be gone */
    assert_string_equal(tree_row(t, "/net"), "{\"mountpoint\":\"/net\",\"device\":\"server:/export\",\"type\":\"nfs4\","
                                             "\"options\":\"rw\",\"read_only\":false,\"remote\":true}");
}

static void of_two_mounts_on_one_point_the_upper_one_counts(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/proc/self/mountinfo", "1 0 8:1 / /data rw - ext4 /dev/sda1 rw\n2 1 8:2 / /data rw - xfs /dev/sda2 rw\n");
    assert_int_equal(tree_run(t, SECTION_FILESYSTEMS), 1);
    assert_non_null(strstr(tree_row(t, "/data"), "/dev/sda2"));
}

static void no_mountinfo_is_a_failure_with_a_reason(void **state)
{
    struct tree *t = *state;
    assert_int_equal(tree_run(t, SECTION_FILESYSTEMS), 0);
    assert_int_equal(t->status, SECTION_FAILED);
    assert_non_null(strstr(t->message, "mountinfo"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(data_file_systems_stay_and_kernel_ones_go, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(of_two_mounts_on_one_point_the_upper_one_counts, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(no_mountinfo_is_a_failure_with_a_reason, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
