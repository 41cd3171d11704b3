/* tests/unit/agent/collect/test_claims.c - who the host says it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "tree.h"

static void the_machine_id_is_a_salted_hash(void **state)
{
    struct tree *t = *state;
    AUTO(arena_free) struct arena *a = arena_new(1 << 16);
    struct host_claims c;
    tree_file(t, "/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    assert_int_equal(collect_claims(a, t->root, &c), 0);
    char want[SHA256_HEX_MAX];
    sha256_hex(STR("muster.machine\0" "0123456789abcdef0123456789abcdef"), want);
    assert_true(str_is(c.machine_id, want));
    tree_file(t, "/etc/machine-id", "uninitialized\n");
    assert_int_equal(collect_claims(a, t->root, &c), 0);
    assert_int_equal(c.machine_id.len, 0);
}

static void claims_carry_names_sizes_and_global_addresses(void **state)
{
    struct tree *t = *state;
    AUTO(arena_free) struct arena *a = arena_new(1 << 16);
    struct host_claims c;
    _Alignas(4) char bytes[512];
    size_t n = 0;
    const unsigned char scopes[] = { RT_SCOPE_HOST, RT_SCOPE_UNIVERSE };
    for (unsigned char i = 0; i < 2; i++) {
        struct nlmsghdr *nlh = mnl_nlmsg_put_header(bytes + n);
        nlh->nlmsg_type = RTM_NEWADDR;
        struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
        ifa->ifa_family = AF_INET;
        ifa->ifa_scope = scopes[i];
        const unsigned char address[4] = { 10, 0, 0, i };
        mnl_attr_put(nlh, IFA_LOCAL, 4, address);
        n += nlh->nlmsg_len;
    }
    tree_bytes(t, "/netlink/addresses", bytes, n);
    tree_file(t, "/proc/sys/kernel/hostname", "web-1\n");
    tree_file(t, "/proc/sys/kernel/osrelease", "6.1.0\n");
    tree_file(t, "/etc/os-release", "PRETTY_NAME=\"Test 1\"\n");
    tree_file(t, "/proc/meminfo", "MemTotal: 2048 kB\n");
    tree_file(t, "/sys/devices/system/cpu/online", "0-3,8\n");
    assert_int_equal(collect_claims(a, t->root, &c), 0);
    assert_true(str_is(c.hostname, "web-1"));
    assert_true(str_is(c.kernel, "6.1.0"));
    assert_true(str_is(c.os, "Test 1"));
    assert_int_equal(c.memory_bytes, 2048 * 1024);
    assert_int_equal(c.cpu_cores, 5);
    assert_int_equal(c.addresses.n, 1);
    assert_true(str_is(c.addresses.v[0], "10.0.0.1"));
    assert_true(c.disk_bytes > 0);
    assert_int_equal(c.agent_version.len, 0);
    assert_int_equal(c.labels.n, 0);
}

static void an_empty_tree_still_claims_something_and_a_full_arena_says_so(void **state)
{
    struct tree *t = *state;
    AUTO(arena_free) struct arena *a = arena_new(1 << 16);
    struct host_claims c;
    assert_int_equal(collect_claims(a, t->root, &c), 0);
    assert_true(c.hostname.len > 0 && c.os.len > 0 && c.kernel.len > 0 && c.arch.len > 0);
    AUTO(arena_free) struct arena *tiny = arena_new(16);
    assert_int_equal(collect_claims(tiny, t->root, &c), -ENOBUFS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_machine_id_is_a_salted_hash, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(claims_carry_names_sizes_and_global_addresses, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(an_empty_tree_still_claims_something_and_a_full_arena_says_so, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
