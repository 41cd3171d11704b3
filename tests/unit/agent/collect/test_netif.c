/* tests/unit/agent/collect/test_netif.c - interfaces and addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "nl.h"
#include "tree.h"

static void put_link(struct nl_reply *r, int index, const char *name, unsigned short type, unsigned flags, const char *kind,
                     uint32_t master)
{
    struct ifinfomsg head = { .ifi_index = index, .ifi_type = type, .ifi_flags = flags };
    struct nlmsghdr *nlh = nl_begin(r, RTM_NEWLINK, &head, sizeof(head));
    mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
    mnl_attr_put_u32(nlh, IFLA_MTU, 1500);
    mnl_attr_put_u8(nlh, IFLA_OPERSTATE, 6);
    mnl_attr_put(nlh, IFLA_ADDRESS, 6, "\x02\x00\x00\x00\x00\x01");
    if (kind) {
        struct nlattr *nest = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
        mnl_attr_put_strz(nlh, IFLA_INFO_KIND, kind);
        mnl_attr_nest_end(nlh, nest);
    }
    if (master)
        mnl_attr_put_u32(nlh, IFLA_MASTER, master);
    nl_end(r, nlh);
}

static void put_links(struct tree *t)
{
    struct nl_reply r = { 0 };
    put_link(&r, 1, "lo", ARPHRD_LOOPBACK, IFF_LOOPBACK | IFF_UP, NULL, 0);
    put_link(&r, 3, "br0", ARPHRD_ETHER, IFF_UP, "bridge", 0);
    put_link(&r, 2, "eth0", ARPHRD_ETHER, 0, NULL, 3);
    put_link(&r, 4, "../../etc", ARPHRD_ETHER, 0, NULL, 0);
    tree_bytes(t, "/netlink/links", r.bytes, r.n);
}

static void links_are_rows_with_kind_master_driver_and_speed(void **state)
{
    struct tree *t = *state;
    put_links(t);
    tree_file(t, "/sys/class/net/eth0/speed", "1000\n");
    tree_link(t, "/sys/class/net/eth0/device/driver", "../../drivers/e1000e");
    assert_int_equal(tree_run(t, SECTION_INTERFACES), 3);
    assert_string_equal(tree_row(t, "eth0"), "{\"name\":\"eth0\",\"index\":2,\"kind\":\"ether\",\"mac\":\"02:00:00:00:00:01\","
                                             "\"mtu\":1500,\"up\":false,\"state\":\"up\",\"master\":\"br0\",\"driver\":\"e1000e\","
                                             "\"speed_mbps\":1000}");
    assert_non_null(strstr(tree_row(t, "br0"), "\"kind\":\"bridge\""));
    assert_non_null(strstr(tree_row(t, "lo"), "\"kind\":\"loopback\""));
    /* a name that would lead out of /sys is nobody's */
    assert_null(tree_row(t, "../../etc"));
}

static void put_address(struct nl_reply *r, unsigned char family, unsigned index, unsigned char prefix, unsigned char scope,
                        uint32_t flags, const void *bytes)
{
    struct ifaddrmsg head = { .ifa_family = family, .ifa_index = index, .ifa_prefixlen = prefix, .ifa_scope = scope };
    struct nlmsghdr *nlh = nl_begin(r, RTM_NEWADDR, &head, sizeof(head));
    mnl_attr_put(nlh, IFA_ADDRESS, family == AF_INET ? 4 : 16, bytes);
    mnl_attr_put_u32(nlh, IFA_FLAGS, flags);
    nl_end(r, nlh);
}

static void addresses_are_keyed_by_interface_and_network(void **state)
{
    struct tree *t = *state;
    struct nl_reply r = { 0 };
    put_links(t);
    put_address(&r, AF_INET, 2, 24, RT_SCOPE_UNIVERSE, IFA_F_PERMANENT, "\x0a\x00\x00\x05");
    put_address(&r, AF_INET6, 9, 64, RT_SCOPE_LINK, IFA_F_TEMPORARY, "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\x01");
    tree_bytes(t, "/netlink/addresses", r.bytes, r.n);
    assert_int_equal(tree_run(t, SECTION_ADDRESSES), 2);
    assert_string_equal(tree_row(t, "eth0 10.0.0.5/24"), "{\"interface\":\"eth0\",\"address\":\"10.0.0.5\",\"prefix\":24,"
                                                         "\"family\":\"inet\",\"scope\":\"global\"}");
    assert_string_equal(tree_row(t, "if9 fe80::1/64"), "{\"interface\":\"if9\",\"address\":\"fe80::1\",\"prefix\":64,"
                                                       "\"family\":\"inet6\",\"scope\":\"link\",\"dynamic\":true,\"temporary\":true}");
}

static void a_reply_cut_at_any_byte_gives_its_whole_messages(void **state)
{
    struct tree *t = *state;
    struct nl_reply r = { 0 };
    put_links(t);
    put_address(&r, AF_INET, 2, 24, 0, 0, "\x0a\x00\x00\x05");
    size_t one = r.n;
    put_address(&r, AF_INET, 2, 24, 0, 0, "\x0a\x00\x00\x06");
    for (size_t n = 0; n <= r.n; n++) {
        tree_bytes(t, "/netlink/addresses", r.bytes, n);
        assert_int_equal(tree_run(t, SECTION_ADDRESSES), n < one ? 0 : n < r.n ? 1 : 2);
    }
}

static void lengths_that_lie_are_not_followed(void **state)
{
    struct tree *t = *state;
    struct nl_reply r = { 0 };
    put_links(t);
    put_address(&r, AF_INET, 2, 24, 0, 0, "\x0a\x00\x00\x05");
    for (size_t i = 0; i < r.n; i++)
        for (unsigned v = 0; v < 256; v += 51) {
            struct nl_reply bad = r;
            bad.bytes[i] = (char)v;
            tree_bytes(t, "/netlink/addresses", bad.bytes, bad.n);
            assert_true(tree_run(t, SECTION_ADDRESSES) <= 1);
        }
}

static void no_netlink_is_a_failure(void **state)
{
    struct tree *t = *state;
    assert_int_equal(tree_run(t, SECTION_INTERFACES), 0);
    assert_int_equal(t->status, SECTION_FAILED);
    assert_non_null(strstr(t->message, "rtnetlink"));
}

/* The kernel's own answer: there is always a loopback interface. */
static void this_machine_has_a_loopback_interface(void **state)
{
    struct tree *t = *state;
    buf_reset(&t->body);
    assert_int_equal(collect_section(SECTION_INTERFACES, "", &t->body, &t->status, t->message), 0);
    if (t->status == SECTION_FAILED)
        skip(); /* a sandbox without netlink */
    assert_non_null(tree_row(t, "lo"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(links_are_rows_with_kind_master_driver_and_speed, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(addresses_are_keyed_by_interface_and_network, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_reply_cut_at_any_byte_gives_its_whole_messages, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(lengths_that_lie_are_not_followed, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(no_netlink_is_a_failure, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(this_machine_has_a_loopback_interface, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
