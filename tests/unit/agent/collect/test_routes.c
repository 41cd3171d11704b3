/* tests/unit/agent/collect/test_routes.c - neighbours and routes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "nl.h"
#include "tree.h"

static void put_name(struct tree *t)
{
    struct nl_reply r = { 0 };
    struct ifinfomsg head = { .ifi_index = 2 };
    struct nlmsghdr *nlh = nl_begin(&r, RTM_NEWLINK, &head, sizeof(head));
    mnl_attr_put_strz(nlh, IFLA_IFNAME, "eth0");
    nl_end(&r, nlh);
    tree_bytes(t, "/netlink/links", r.bytes, r.n);
}

static void put_neighbour(struct nl_reply *r, uint16_t nud, unsigned char flags, unsigned char last)
{
    struct ndmsg head = { .ndm_family = AF_INET, .ndm_ifindex = 2, .ndm_state = nud, .ndm_flags = flags };
    const unsigned char address[4] = { 10, 0, 0, last };
    struct nlmsghdr *nlh = nl_begin(r, RTM_NEWNEIGH, &head, sizeof(head));
    mnl_attr_put(nlh, NDA_DST, 4, address);
    mnl_attr_put(nlh, NDA_LLADDR, 6, "\x02\x00\x00\x00\x00\x05");
    nl_end(r, nlh);
}

static void reachability_is_not_a_fact(void **state)
{
    struct tree *t = *state;
    struct nl_reply r = { 0 };
    put_name(t);
    put_neighbour(&r, NUD_STALE, NTF_ROUTER, 1);
    put_neighbour(&r, NUD_FAILED, 0, 2);
    put_neighbour(&r, NUD_NOARP, 0, 3);
    put_neighbour(&r, NUD_PERMANENT, 0, 4);
    tree_bytes(t, "/netlink/neighbours", r.bytes, r.n);
    assert_int_equal(tree_run(t, SECTION_NEIGHBOURS), 2);
    static const char want[] = "{\"interface\":\"eth0\",\"address\":\"10.0.0.1\",\"mac\":\"02:00:00:00:00:05\",\"router\":true}";
    assert_string_equal(tree_row(t, "eth0 10.0.0.1"), want);
    r.n = 0;
    put_neighbour(&r, NUD_REACHABLE, NTF_ROUTER, 1);
    tree_bytes(t, "/netlink/neighbours", r.bytes, r.n);
    assert_int_equal(tree_run(t, SECTION_NEIGHBOURS), 1);
    assert_string_equal(tree_row(t, "eth0 10.0.0.1"), want);
}

static struct nlmsghdr *route(struct nl_reply *r, unsigned char type, unsigned char table, unsigned char len)
{
    struct rtmsg head = { .rtm_family = AF_INET, .rtm_type = type, .rtm_table = table, .rtm_dst_len = len, .rtm_protocol = RTPROT_DHCP };
    return nl_begin(r, RTM_NEWROUTE, &head, sizeof(head));
}

static void routes_of_all_tables_but_local_are_rows(void **state)
{
    struct tree *t = *state;
    struct nl_reply r = { 0 };
    put_name(t);
    struct nlmsghdr *nlh = route(&r, RTN_UNICAST, RT_TABLE_MAIN, 0);
    mnl_attr_put(nlh, RTA_GATEWAY, 4, "\x0a\x00\x00\x01");
    mnl_attr_put_u32(nlh, RTA_OIF, 2);
    mnl_attr_put_u32(nlh, RTA_PRIORITY, 100);
    nl_end(&r, nlh);
    nlh = route(&r, RTN_LOCAL, RT_TABLE_LOCAL, 32);
    mnl_attr_put(nlh, RTA_DST, 4, "\x0a\x00\x00\x05");
    nl_end(&r, nlh);
    nlh = route(&r, RTN_BLACKHOLE, 0, 8);
    mnl_attr_put(nlh, RTA_DST, 4, "\x0b\x00\x00\x00");
    mnl_attr_put_u32(nlh, RTA_TABLE, 1000);
    nl_end(&r, nlh);
    tree_bytes(t, "/netlink/routes", r.bytes, r.n);
    assert_int_equal(tree_run(t, SECTION_ROUTES), 2);
    assert_string_equal(tree_row(t, "0.0.0.0/0 via 10.0.0.1 dev eth0 metric 100 table 254"),
                        "{\"destination\":\"0.0.0.0/0\",\"family\":\"inet\",\"type\":\"unicast\",\"gateway\":\"10.0.0.1\","
                        "\"interface\":\"eth0\",\"protocol\":\"dhcp\",\"metric\":100,\"table\":254}");
    assert_non_null(strstr(tree_row(t, "11.0.0.0/8 metric 0 table 1000"), "\"type\":\"blackhole\""));
}

static void a_route_with_many_next_hops_lists_them(void **state)
{
    struct tree *t = *state;
    struct nl_reply r = { 0 };
    put_name(t);
    struct nlmsghdr *nlh = route(&r, RTN_UNICAST, RT_TABLE_MAIN, 8);
    mnl_attr_put(nlh, RTA_DST, 4, "\x0c\x00\x00\x00");
    struct {
        struct rtnexthop hop;
        struct nlattr at;
        unsigned char gateway[4];
    } hops[2] = {
        { { .rtnh_len = 16, .rtnh_ifindex = 2 }, { .nla_len = 8, .nla_type = RTA_GATEWAY }, { 10, 0, 0, 1 } },
        { { .rtnh_len = 16, .rtnh_ifindex = 7 }, { .nla_len = 8, .nla_type = RTA_GATEWAY }, { 10, 0, 0, 2 } },
    };
    mnl_attr_put(nlh, RTA_MULTIPATH, sizeof(hops), hops);
    nl_end(&r, nlh);
    tree_bytes(t, "/netlink/routes", r.bytes, r.n);
    assert_int_equal(tree_run(t, SECTION_ROUTES), 1);
    assert_non_null(strstr(tree_row(t, "12.0.0.0/8 metric 0 table 254"), "\"gateways\":[\"10.0.0.1 dev eth0\",\"10.0.0.2 dev if7\"]"));
    /* a hop whose length lies ends the list */
    hops[1].hop.rtnh_len = 4000;
    r.n = 0;
    nlh = route(&r, RTN_UNICAST, RT_TABLE_MAIN, 8);
    mnl_attr_put(nlh, RTA_DST, 4, "\x0c\x00\x00\x00");
    mnl_attr_put(nlh, RTA_MULTIPATH, sizeof(hops), hops);
    nl_end(&r, nlh);
    tree_bytes(t, "/netlink/routes", r.bytes, r.n);
    assert_int_equal(tree_run(t, SECTION_ROUTES), 1);
    assert_non_null(strstr(tree_row(t, "12.0.0.0/8 metric 0 table 254"), "\"gateways\":[\"10.0.0.1 dev eth0\"]"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reachability_is_not_a_fact, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(routes_of_all_tables_but_local_are_rows, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_route_with_many_next_hops_lists_them, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
