/* Promises of codec/listing.h: the upstream agent's tests 1-4 and the tables of its spec, losses included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>

#include "base/buf.h"
#include "base/mem.h"
#include "codec/listing.h"

static struct rows rows;

static int up(void **state)
{
    (void)state;
    rows = (struct rows){ .arena = arena_new(16 << 20) };
    return 0;
}

static int down(void **state)
{
    (void)state;
    arena_free(rows.arena);
    rows_done(&rows);
    return 0;
}

static void expect(const char *const *want)
{
    size_t n = 0;

    rows_sort(&rows);
    for (; want[n]; n++) {
        if (n >= rows.n)
            fail_msg("missing: %s", want[n]);
        assert_string_equal(rows.v[n].ptr, want[n]);
    }
    assert_int_equal(rows.n, n);
}
#define EXPECT(...) expect((const char *const[]){ __VA_ARGS__, NULL })

static void addresses_skip_lo_and_take_v4_and_v6_with_the_interfaces_mac(void **state)
{
    (void)state;
    assert_int_equal(listing_addresses(STR(
        "[{\"ifname\":\"lo\",\"address\":\"00:00:00:00:00:00\",\"addr_info\":[{\"local\":\"127.0.0.1\",\"prefixlen\":8}]},"
        "{\"ifname\":\"eth0\",\"address\":\"02:00:00:00:00:05\",\"addr_info\":[{\"local\":\"fe80::5\",\"prefixlen\":64},{\"local\":\"192.0.2.5\",\"prefixlen\":24}]},"
        "{\"ifname\":\"gre1\",\"address\":\"192.0.2.5\",\"addr_info\":[{\"local\":\"198.51.100.9\",\"prefixlen\":32}]},"
        "{\"ifname\":\"d0\",\"addr_info\":[]},{\"ifname\":\"d1\",\"addr_info\":null},{\"ifname\":\"d2\"},{},7]"), &rows, NULL), 0);
    EXPECT("{\"interface\":\"eth0\",\"ip_address\":\"192.0.2.5\",\"mac_address\":\"02:00:00:00:00:05\",\"prefix_length\":24}",
           "{\"interface\":\"eth0\",\"ip_address\":\"fe80::5\",\"mac_address\":\"02:00:00:00:00:05\",\"prefix_length\":64}",
           "{\"interface\":\"gre1\",\"ip_address\":\"198.51.100.9\",\"mac_address\":null,\"prefix_length\":32}");
}

static void neighbours_take_their_state_as_list_or_string(void **state)
{
    (void)state;
    assert_int_equal(listing_neighbors(STR("[{\"dst\":\"192.0.2.1\",\"dev\":\"e\",\"lladdr\":\"02:00:00:00:00:01\",\"state\":[\"STALE\",\"NOARP\"]},"
                                                   "{\"dst\":\"192.0.2.2\",\"dev\":\"e\",\"state\":\"FAILED\"},{\"dst\":\"192.0.2.3\",\"dev\":\"e\"},{\"dev\":\"e\"}]"),
                                               &rows, NULL), 0);
    EXPECT("{\"interface\":\"e\",\"ip_address\":\"192.0.2.1\",\"mac_address\":\"02:00:00:00:00:01\",\"state\":\"stale,noarp\"}",
           "{\"interface\":\"e\",\"ip_address\":\"192.0.2.2\",\"mac_address\":null,\"state\":\"failed\"}",
           "{\"interface\":\"e\",\"ip_address\":\"192.0.2.3\",\"mac_address\":null,\"state\":null}");
}

static void routes_without_a_destination_are_the_default(void **state)
{
    (void)state;
    assert_int_equal(listing_routes(STR("[{\"gateway\":\"192.0.2.1\",\"dev\":\"e\"},{\"dst\":\"default\",\"nexthops\":[{}]},"
                                                "{\"type\":\"unreachable\",\"dst\":\"10.0.0.0/8\",\"metric\":7}]"), &rows, NULL), 0);
    EXPECT("{\"destination\":\"10.0.0.0/8\",\"gateway\":null,\"interface\":null,\"source_ip\":null}",
           "{\"destination\":\"default\",\"gateway\":\"192.0.2.1\",\"interface\":\"e\",\"source_ip\":null}",
           "{\"destination\":\"default\",\"gateway\":null,\"interface\":null,\"source_ip\":null}");
}

static void what_is_no_list_is_refused_and_nothing_is_nothing(void **state)
{
    static const char *const bad[] = { "{}", "7", "[", "nonsense", "[1,]", "[\"\xff\"]" };
    struct err err = { 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(listing_addresses(str_of(bad[i]), &rows, &err), -EINVAL);
        assert_int_equal(listing_routes(str_of(bad[i]), &rows, &err), -EINVAL);
    }
    assert_int_equal(listing_neighbors(STR(" \n"), &rows, &err), 0);
    assert_int_equal(listing_neighbors(STR("[]"), &rows, &err), 0);
    assert_int_equal(rows.n, 0);
}

static void ss_lines_become_tcp_and_udp_rows(void **state)
{
    (void)state;
    assert_int_equal(listing_ss(STR(
        "tcp   ESTAB  0 0  192.0.2.5:22  198.51.100.7:50000 users:((\"sshd\",pid=900,fd=3),(\"sshd\",pid=901,fd=4))\n"
        "udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:* users:((\"systemd-resolve\",pid=620,fd=12))\n"
        "icmp6 UNCONN 0 0 *:58 *:*\n"
        "tcp LISTEN 0 128 *:80 *:* users:((\"odd (name)\",pid=7,fd=1))\n"
        "u_str ESTAB 0 0 /run/x 1 * 2\n"
        "tcp SYN-SENT 0 1\n"
        "\n"
        "udp UNCONN 0 0 [fe80::1]%eth0:546 [::]:*\n"), &rows, NULL), 0);
    EXPECT("{\"local_ip\":\"0.0.0.0\",\"local_port\":80,\"pid\":7,\"process_name\":\"odd (name)\",\"protocol\":\"tcp\",\"remote_ip\":\"0.0.0.0\",\"remote_port\":null,\"state\":\"listen\"}",
           "{\"local_ip\":\"127.0.0.53\",\"local_port\":53,\"pid\":620,\"process_name\":\"systemd-resolve\",\"protocol\":\"udp\",\"remote_ip\":\"0.0.0.0\",\"remote_port\":null,\"state\":\"unknown\"}",
           "{\"local_ip\":\"192.0.2.5\",\"local_port\":22,\"pid\":900,\"process_name\":\"sshd\",\"protocol\":\"tcp\",\"remote_ip\":\"198.51.100.7\",\"remote_port\":50000,\"state\":\"established\"}");
}

static void netstat_loses_what_it_loses_upstream(void **state)
{
    (void)state;
    assert_int_equal(listing_netstat(STR(
        "Active Internet connections (servers and established)\n"
        "Proto Recv-Q Send-Q Local Address           Foreign Address         State       PID/Program name\n"
        "tcp        0      0 0.0.0.0:22              0.0.0.0:*               LISTEN      900/sshd: /usr/sbin\n"
        "tcp        0      0 192.0.2.5:22            198.51.100.7:50000      CLOSE       -\n"
        "tcp6       0      0 :::80                   :::*                    LISTEN      7/nginx\n"
        "udp        0      0 0.0.0.0:68              0.0.0.0:*                           620/dhclient\n"
        "udp        0      0 192.0.2.5:48000         198.51.100.1:53         ESTABLISHED 777/dig\n"), &rows, NULL), 0);
    EXPECT("{\"local_ip\":\"0.0.0.0\",\"local_port\":22,\"pid\":900,\"process_name\":\"sshd:\",\"protocol\":\"tcp\",\"remote_ip\":\"0.0.0.0\",\"remote_port\":null,\"state\":\"listen\"}",
           "{\"local_ip\":\"0.0.0.0\",\"local_port\":68,\"pid\":620,\"process_name\":\"dhclient\",\"protocol\":\"udp\",\"remote_ip\":\"0.0.0.0\",\"remote_port\":null,\"state\":\"unknown\"}",
           "{\"local_ip\":\"192.0.2.5\",\"local_port\":22,\"pid\":null,\"process_name\":null,\"protocol\":\"tcp\",\"remote_ip\":\"198.51.100.7\",\"remote_port\":50000,\"state\":\"closed\"}",
           "{\"local_ip\":\"192.0.2.5\",\"local_port\":48000,\"pid\":null,\"process_name\":null,\"protocol\":\"udp\",\"remote_ip\":\"198.51.100.1\",\"remote_port\":53,\"state\":\"unknown\"}");
}

/* -- what is left out says so; what is handed over is not kept */
static char refusals[1024];

static void on_refused(void *ctx, size_t at, const char *field, const char *why)
{
    size_t n = strlen(refusals);

    assert_ptr_equal(ctx, &rows);
    assert_true(why[0] != '\0');
    (void)snprintf(refusals + n, sizeof(refusals) - n, "%zu:%s ", at, field);
}

static size_t n_taken, take_at_most;
static int on_row(void *ctx, struct str row)
{
    assert_ptr_equal(ctx, &rows);
    assert_true(row.len > 2 && row.ptr[0] == '{');
    return n_taken++ < take_at_most ? 0 : -ENOBUFS;
}

static void hooked(void)
{
    rows.refused = on_refused;
    rows.take = on_row;
    rows.ctx = &rows;
    refusals[0] = '\0';
    n_taken = 0;
    take_at_most = 100;
    rows.n_refused = 0;
}

/* -- extended rows: what upstream loses is kept */
static void extended_connections_have_interfaces_and_all_owners(void **state)
{
    static const struct {
        const char *line, *want;
    } table[] = {
        { "udp UNCONN 0 0 [fe80::1]%eth0:546 [::]:*",
          "{\"interface\":\"eth0\",\"local_ip\":\"fe80::1\",\"local_port\":546,\"pid\":null,\"process_name\":null,\"protocol\":\"udp\",\"remote_ip\":\"::\",\"remote_port\":null,\"state\":\"unknown\"}" },
        { "tcp ESTAB 0 0 [fe80::1%eth0]:22 [fe80::2]:50000 users:((\"sshd\",pid=900,fd=3),(\"sshd\",pid=900,fd=4))",
          "{\"interface\":\"eth0\",\"local_ip\":\"fe80::1\",\"local_port\":22,\"pid\":900,\"process_name\":\"sshd\",\"protocol\":\"tcp\",\"remote_ip\":\"fe80::2\",\"remote_port\":50000,\"state\":\"established\"}" },
        { "udp UNCONN 0 0 *%wg0:68 *:*",
          "{\"interface\":\"wg0\",\"local_ip\":\"0.0.0.0\",\"local_port\":68,\"pid\":null,\"process_name\":null,\"protocol\":\"udp\",\"remote_ip\":\"0.0.0.0\",\"remote_port\":null,\"state\":\"unknown\"}" },
        { "tcp LISTEN 0 1 192.0.2.5:80 0.0.0.0:* users:((\"nginx\",pid=9,fd=3),(\"odd (name)\",pid=7,fd=1),(\"nginx\",pid=9,fd=4))",
          "{\"local_ip\":\"192.0.2.5\",\"local_port\":80,\"owners\":[{\"pid\":7,\"process_name\":\"odd (name)\"},{\"pid\":9,\"process_name\":\"nginx\"}],\"pid\":9,\"process_name\":\"nginx\",\"protocol\":\"tcp\",\"remote_ip\":\"0.0.0.0\",\"remote_port\":null,\"state\":\"listen\"}" },
        { "tcp ESTAB 0 0 192.0.2.5:80 [fe80::2]%eth1:9",
          "{\"interface\":\"eth1\",\"local_ip\":\"192.0.2.5\",\"local_port\":80,\"pid\":null,\"process_name\":null,\"protocol\":\"tcp\",\"remote_ip\":\"fe80::2\",\"remote_port\":9,\"state\":\"established\"}" },
    };

    (void)state;
    rows.is_extended = true;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        rows.n = 0;
        assert_int_equal(listing_ss(str_of(table[i].line), &rows, NULL), 0);
        EXPECT(table[i].want);
    }
    rows.n = 0;
    assert_int_equal(listing_ss(STR("udp UNCONN 0 0 [fe80::1]%eth0 *:*\nudp UNCONN 0 0 %eth0:5 *:*\nudp UNCONN 0 0 *%:x *:*"), &rows, NULL), 0);
    EXPECT(NULL);
}

static void of_too_many_owners_the_lowest_stay(void **state)
{
    struct connection_seen c = { 0 };

    (void)state;
    for (uint32_t pid = 40; pid > 0; pid--)
        connection_owner(&c, pid * 2, STR("x"));
    connection_owner(&c, 8, STR("y"));
    connection_owner(&c, 7, STR("z"));
    assert_int_equal(c.n_owners, LISTING_OWNERS);
    for (size_t i = 1; i < c.n_owners; i++)
        assert_true(c.owners[i - 1].pid < c.owners[i].pid);
    assert_int_equal(c.owners[3].pid, 7);
    assert_int_equal(c.owners[LISTING_OWNERS - 1].pid, 30);
    assert_true(str_is(c.owners[4].process, "x"));
}

static void extended_netstat_has_ipv6_but_nothing_that_may_be_cut(void **state)
{
    (void)state;
    rows.is_extended = true;
    assert_int_equal(listing_netstat(STR(
        "tcp6       0      0 :::80                   :::*                    LISTEN      7/nginx\n"
        "tcp6       0      0 2001:db8::1234:5678:8888 2001:db8:1111:2222::1:443 ESTABLISHED 7/nginx\n"
        "udp6       0      0 fe80::1:546             :::*                                620/dhclient\n"
        "udp        0      0 192.0.2.5:48000         198.51.100.1:53         ESTABLISHED 777/dig\n"), &rows, NULL), 0);
    EXPECT("{\"local_ip\":\"192.0.2.5\",\"local_port\":48000,\"pid\":777,\"process_name\":\"dig\",\"protocol\":\"udp\",\"remote_ip\":\"198.51.100.1\",\"remote_port\":53,\"state\":\"established\"}",
           "{\"local_ip\":\"2001:db8::1234:5678\",\"local_port\":8888,\"pid\":7,\"process_name\":\"nginx\",\"protocol\":\"tcp\",\"remote_ip\":\"2001:db8:1111:2222::1\",\"remote_port\":443,\"state\":\"established\"}",
           "{\"local_ip\":\"::\",\"local_port\":80,\"pid\":7,\"process_name\":\"nginx\",\"protocol\":\"tcp\",\"remote_ip\":\"::\",\"remote_port\":null,\"state\":\"listen\"}",
           "{\"local_ip\":\"fe80::1\",\"local_port\":546,\"pid\":620,\"process_name\":\"dhclient\",\"protocol\":\"udp\",\"remote_ip\":\"::\",\"remote_port\":null,\"state\":\"unknown\"}");
    hooked();
    assert_int_equal(listing_netstat(STR("tcp6 0 0 2001:db8::1234:567:8888 :::* LISTEN 7/nginx\n"
                                         "udp6 0 0 :::1 2001:db8::1234:567:8888 ESTABLISHED 7/nginx\n"), &rows, NULL), 0);
    assert_string_equal(refusals, "0:local_ip 1:remote_ip ");
    hooked(); /* a longer one: nothing was cut */
    assert_int_equal(listing_netstat(STR("tcp6 0 0 2001:db8::1234:567:8888 :::* LISTEN 7/nginx\n"
                                         "tcp6 0 0 2001:db8::1234:5678:8888 :::* LISTEN 7/nginx\n"), &rows, NULL), 0);
    assert_int_equal(n_taken, 2);
    hooked();
    rows.is_wide = true; /* who ran it knows */
    assert_int_equal(listing_netstat(STR("tcp6 0 0 2001:db8::1234:567:8888 :::* LISTEN 7/nginx\n"), &rows, NULL), 0);
    assert_int_equal(n_taken, 1);
    assert_string_equal(refusals, "");
}

static void extended_routes_have_family_metric_table_and_next_hops(void **state)
{
    static const struct {
        const char *item, *want; /* NULL: passed over */
    } table[] = {
        { "\"dst\":\"default\",\"gateway\":\"192.0.2.1\",\"dev\":\"e\",\"metric\":100",
          "{\"destination\":\"default\",\"family\":\"inet\",\"gateway\":\"192.0.2.1\",\"interface\":\"e\",\"metric\":100,\"source_ip\":null}" },
        { "\"dst\":\"default\",\"dev\":\"tun0\",\"metric\":1024,\"pref\":\"medium\"",
          "{\"destination\":\"default\",\"family\":\"inet6\",\"gateway\":null,\"interface\":\"tun0\",\"metric\":1024,\"source_ip\":null}" },
        { "\"dst\":\"203.0.113.1\",\"via\":{\"family\":\"inet6\",\"host\":\"fe80::9\"},\"dev\":\"e\",\"table\":\"77\"",
          "{\"destination\":\"203.0.113.1\",\"family\":\"inet\",\"gateway\":\"fe80::9\",\"interface\":\"e\",\"source_ip\":null,\"table\":77}" },
        { "\"dst\":\"2001:db8::/48\",\"table\":\"blue\",\"metric\":0,\"nexthops\":[{\"gateway\":\"2001:db8::1\",\"dev\":\"e\",\"weight\":3},{\"dev\":\"f\",\"weight\":-1},{},7]",
          "{\"destination\":\"2001:db8::/48\",\"family\":\"inet6\",\"gateway\":null,\"interface\":null,\"metric\":0,\"nexthops\":[{\"gateway\":\"2001:db8::1\",\"interface\":\"e\",\"weight\":3},{\"gateway\":null,\"interface\":\"f\"}],\"source_ip\":null,\"table\":\"blue\"}" },
        { "\"type\":\"unreachable\",\"dst\":\"10.0.0.0/8\",\"table\":\"default\",\"metric\":4294967296",
          "{\"destination\":\"10.0.0.0/8\",\"family\":\"inet\",\"gateway\":null,\"interface\":null,\"source_ip\":null,\"table\":253,\"type\":\"unreachable\"}" },
        { "\"type\":\"unicast\",\"dst\":\"10.0.0.0/8\"", "{\"destination\":\"10.0.0.0/8\",\"family\":\"inet\",\"gateway\":null,\"interface\":null,\"source_ip\":null}" },
        { "\"type\":\"what\",\"dst\":\"10.0.0.0/8\"", "{\"destination\":\"10.0.0.0/8\",\"family\":\"inet\",\"gateway\":null,\"interface\":null,\"source_ip\":null}" },
        { "\"dst\":\"10.0.0.0/8\",\"table\":\"main\",\"nexthops\":[]",
          "{\"destination\":\"10.0.0.0/8\",\"family\":\"inet\",\"gateway\":null,\"interface\":null,\"source_ip\":null}" },
        { "\"type\":\"local\",\"dst\":\"192.0.2.5\",\"table\":\"77\"", NULL },
        { "\"dst\":\"192.0.2.5\",\"table\":\"local\"", NULL },
        { "\"dst\":\"192.0.2.5\",\"table\":255", NULL },
        { "\"type\":\"multicast\",\"dst\":\"ff00::/8\"", NULL },
    };

    (void)state;
    rows.is_extended = true;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        AUTO_FREE char *text = xasprintf("[{%s}]", table[i].item);

        rows.n = 0;
        assert_int_equal(listing_routes(str_of(text), &rows, NULL), 0);
        EXPECT(table[i].want);
        assert_int_equal(rows.n_refused, 0);
    }
}

static void next_hops_are_counted(void **state)
{
    AUTO(buf_done) struct buf b = BUF(64 << 10);

    (void)state;
    rows.is_extended = true;
    (void)buf_cstr(&b, "[{\"dst\":\"10.0.0.0/8\",\"nexthops\":[");
    for (int i = 0; i < LISTING_HOPS + 1; i++)
        (void)buf_printf(&b, "%s{\"dev\":\"e%d\"}", i ? "," : "", i);
    (void)buf_cstr(&b, "]}]");
    assert_int_equal(listing_routes(buf_as_str(&b), &rows, NULL), 0);
    assert_int_equal(rows.n, 1);
    assert_true(str_find(rows.v[0], STR("\"e31\"")) > 0 && str_find(rows.v[0], STR("\"e32\"")) < 0);
}

static void an_extended_neighbour_has_its_scope_for_an_interface(void **state)
{
    (void)state;
    rows.is_extended = true;
    assert_int_equal(listing_neighbors(STR("[{\"dst\":\"fe80::1%eth0\"},{\"dst\":\"fe80::2%eth0\",\"dev\":\"eth1\"}]"), &rows, NULL), 0);
    EXPECT("{\"interface\":\"eth0\",\"ip_address\":\"fe80::1\",\"mac_address\":null,\"state\":null}",
           "{\"interface\":\"eth1\",\"ip_address\":\"fe80::2\",\"mac_address\":null,\"state\":null}");
}

/* The table of spec 2.6. */
static void endpoints_are_cut_as_upstream_cuts_them(void **state)
{
    static const struct {
        const char *in, *host;
        int port; /* -1: none */
    } table[] = {
        { "*", "0.0.0.0", -1 },
        { "*:*", "0.0.0.0", -1 },
        { "0.0.0.0:*", "0.0.0.0", -1 },
        { "[::]:*", "::", -1 },
        { ":::*", "::", -1 },
        { "*:22", "0.0.0.0", 22 },
        { "[::ffff:192.0.2.5]:8080", "::ffff:c000:205", 8080 },
        { "127.0.0.53%lo:53", "127.0.0.53", 53 },
        { "fe80::1%eth0:546", "fe80::1", 546 },
        { "[fe80::1]%eth0:546", "fe80::1", -1 },
        { ":::22", "::", 22 },
        { "192.0.2.1:65535", "192.0.2.1", 65535 },
        { "192.0.2.1:65536", "192.0.2.1", -1 },
        { "192.0.2.1:http", "192.0.2.1", -1 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct str host;
        uint32_t port;
        bool has, any;
        char text[46];

        if (!listing_endpoint(str_of(table[i].in), &host, &port, &has) || !listing_ip(host, text, &any))
            fail_msg("%s has no host", table[i].in);
        assert_string_equal(text, table[i].host);
        assert_int_equal(has, table[i].port >= 0);
        if (has)
            assert_int_equal(port, table[i].port);
    }
}

static void an_owner_that_makes_no_sense_is_none(void **state)
{
    static const char *const rests[] = { "users:((\"x\"", "users:((\"x\",pid=,fd=1))", "users:((\"x\",pid=99999999999,fd=1))", "timer:(\"x\",pid=1)", "users:((\"\",pid=1))" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rests); i++) {
        AUTO_FREE char *line = xasprintf("tcp ESTAB 0 0 192.0.2.1:1 192.0.2.2:2 %s\n", rests[i]);

        rows.n = 0;
        assert_int_equal(listing_ss(str_of(line), &rows, NULL), 0);
        assert_int_equal(rows.n, 1);
        assert_true(str_find(rows.v[0], STR("\"pid\":null,\"process_name\":null")) > 0);
    }
}

static void lines_that_are_no_rows_are_told_with_their_place(void **state)
{
    (void)state;
    hooked();
    assert_int_equal(listing_ss(STR("Netid State Recv-Q Send-Q Local Peer\n"
                                    "tcp LISTEN 0 128 *:80 *:*\n"
                                    "nonsense\n\n"
                                    "tcp LISTEN 0 1\n"
                                    "udp UNCONN 0 0 nowhere:53 *:*\n"
                                    "udp UNCONN 0 0 [fe80::1]%eth0:546 [::]:*\n"
                                    "udp UNCONN 0 0 *:53 nowhere:*\n"
                                    "u_str ESTAB 0 0 /run/x 1 * 2\n"
                                    "tcp LISTEN 0 1 *:0 *:*"), &rows, NULL), 0);
    assert_string_equal(refusals, "2: 4: 5:local_ip 6:local_port 7:remote_ip 9:local_port ");
    assert_int_equal(n_taken, 1);
    hooked();
    assert_int_equal(listing_netstat(STR("Active Internet connections\nProto Recv-Q\ntcp6 0 0 :::80 :::* LISTEN 7/nginx\nwhat\ntcp 0 0 *:1 * LISTEN\n"), &rows, NULL), 0);
    assert_string_equal(refusals, "3: ");
    assert_int_equal(n_taken, 1);
}

static void items_that_are_no_rows_are_told_with_their_place(void **state)
{
    (void)state;
    hooked();
    assert_int_equal(listing_neighbors(STR("[7,{},{\"dst\":\"192.0.2.1\"},{\"dst\":7}]"), &rows, NULL), 0);
    assert_string_equal(refusals, "0: 1:ip_address 3:ip_address ");
    hooked();
    assert_int_equal(listing_addresses(STR("[null,{\"ifname\":\"e\",\"addr_info\":[{\"local\":\"192.0.2.1\"},{\"local\":\"192.0.2.1\",\"prefixlen\":129},"
                                           "{\"local\":\"x\",\"prefixlen\":1},{\"local\":\"192.0.2.1\",\"prefixlen\":\"5\"},8]}]"), &rows, NULL), 0);
    assert_string_equal(refusals, "0: 1:prefix_length 1:prefix_length 1:ip_address 1:prefix_length 1:prefix_length ");
    assert_int_equal(rows.n_refused, 6);
    hooked();
    assert_int_equal(listing_routes(STR("[[],{\"dst\":\"192.0.2.0/24\"}]"), &rows, NULL), 0);
    assert_string_equal(refusals, "0: ");
    assert_int_equal(rows.n, 0);
}

static void a_route_with_a_member_that_is_no_text_or_too_long_is_refused_alone(void **state)
{
    (void)state;
    for (int extended = 0; extended < 2; extended++) {
        AUTO(buf_done) struct buf b = BUF(8192);

        hooked();
        rows.is_extended = extended;
        (void)buf_cstr(&b, "[{\"dst\":5},{\"dst\":null},{\"gateway\":[]},{\"dev\":true},{\"prefsrc\":1.5},"
                           "{\"dst\":\"192.0.2.0/24\",\"what\":5}");
        for (int n = 255; n <= 256; n++)
            (void)buf_printf(&b, ",{\"dst\":\"%0*d\"},{\"dev\":\"%0*d\"}", n, 1, n, 1);
        (void)buf_cstr(&b, "]");
        assert_int_equal(listing_routes(buf_as_str(&b), &rows, NULL), 0);
        assert_string_equal(refusals, "0:destination 2:gateway 3:interface 4:source_ip 8:destination 9:interface ");
        assert_int_equal(n_taken, 4);
    }
}

static void who_takes_rows_may_end_the_reading(void **state)
{
    (void)state;
    hooked();
    take_at_most = 1;
    assert_int_equal(listing_ss(STR("tcp LISTEN 0 1 *:1 *:*\ntcp LISTEN 0 1 *:2 *:*\ntcp LISTEN 0 1 *:3 *:*\n"), &rows, NULL), -ENOBUFS);
    assert_int_equal(n_taken, 2);
    hooked();
    take_at_most = 0;
    assert_int_equal(listing_routes(STR("[{},{}]"), &rows, NULL), -ENOBUFS);
    assert_int_equal(n_taken, 1);
}

static void escapes_are_read_and_the_later_of_two_counts(void **state)
{
    (void)state;
    assert_int_equal(listing_neighbors(STR("[{\"dst\":\"x\",\"dst\":\"192.0.2.1\",\"dev\":\"a\\u0062\\\"\\ud83d\\u0000\"}]"), &rows, NULL), 0);
    EXPECT("{\"interface\":\"ab\\\"\\ufffd\\ufffd\",\"ip_address\":\"192.0.2.1\",\"mac_address\":null,\"state\":null}");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        T(addresses_skip_lo_and_take_v4_and_v6_with_the_interfaces_mac),
        T(neighbours_take_their_state_as_list_or_string),
        T(routes_without_a_destination_are_the_default),
        T(what_is_no_list_is_refused_and_nothing_is_nothing),
        T(ss_lines_become_tcp_and_udp_rows),
        T(netstat_loses_what_it_loses_upstream),
        T(extended_connections_have_interfaces_and_all_owners),
        T(of_too_many_owners_the_lowest_stay),
        T(extended_netstat_has_ipv6_but_nothing_that_may_be_cut),
        T(extended_routes_have_family_metric_table_and_next_hops),
        T(next_hops_are_counted),
        T(an_extended_neighbour_has_its_scope_for_an_interface),
        T(endpoints_are_cut_as_upstream_cuts_them),
        T(an_owner_that_makes_no_sense_is_none),
        T(lines_that_are_no_rows_are_told_with_their_place),
        T(items_that_are_no_rows_are_told_with_their_place),
        T(a_route_with_a_member_that_is_no_text_or_too_long_is_refused_alone),
        T(who_takes_rows_may_end_the_reading),
        T(escapes_are_read_and_the_later_of_two_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
