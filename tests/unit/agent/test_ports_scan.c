/* The matrix of sigma 2.6 with real sockets: agent/ports_scan.c and ports_diag.c. In a network namespace of its own where that is
 * allowed, so that nobody else's sockets are met. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/ports.h"
#include "agent/ports_priv.h"
#include "base/fd.h"
#include "netns.h"

static struct {
    bool is_alone;      /* our own namespace */
    bool has_v6;
    bool tells_bound;   /* the kernel tells bound sockets that do not listen */
    int fds[64];
    size_t n;
    uint16_t next;
} T;

static int set_up_all(void **state)
{
    struct utsname u;
    unsigned major = 0, minor = 0;
    AUTO_FD int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    T.is_alone = go_alone();
    T.has_v6 = fd >= 0;
    T.next = 24100;
    assert_int_equal(uname(&u), 0);
    (void)sscanf(u.release, "%u.%u", &major, &minor);
    T.tells_bound = major > 6 || (major == 6 && minor >= 8);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    while (T.n)
        fd_close(&T.fds[--T.n]);
    return 0;
}

static int keep(int fd)
{
    assert_true(fd >= 0);
    T.fds[T.n++] = fd;
    return fd;
}

static void let_go(int fd)
{
    for (size_t i = 0; i < T.n; i++)
        if (T.fds[i] == fd)
            T.fds[i] = T.fds[--T.n];
    close(fd);
}

/* -- sockets in every state */
enum { REUSE = 1, V6ONLY = 2, LISTENS = 4, UDP = 8 };

static socklen_t address(const char *text, uint16_t port, struct sockaddr_storage *ret)
{
    struct sockaddr_in *a4 = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)ret;

    memset(ret, 0, sizeof(*ret));
    if (strchr(text, ':')) {
        a6->sin6_family = AF_INET6;
        a6->sin6_port = htons(port);
        assert_int_equal(inet_pton(AF_INET6, text, &a6->sin6_addr), 1);
        return sizeof(*a6);
    }
    a4->sin_family = AF_INET;
    a4->sin_port = htons(port);
    assert_int_equal(inet_pton(AF_INET, text, &a4->sin_addr), 1);
    return sizeof(*a4);
}

static int bound(const char *at, uint16_t port, int how)
{
    struct sockaddr_storage sa;
    socklen_t len = address(at, port, &sa);
    int on = 1, only = how & V6ONLY ? 1 : 0, fd = keep(socket(sa.ss_family, (how & UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0));

    if (how & REUSE)
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    if (sa.ss_family == AF_INET6)
        assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    if (how & LISTENS)
        assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int connected(const char *to, uint16_t port, int from)
{
    struct sockaddr_storage sa;
    socklen_t len = address(to, port, &sa);
    int fd = from >= 0 ? from : keep(socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));

    assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
    return fd;
}

static int accepted(int listener)
{
    return keep(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);

    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    return ntohs(((struct sockaddr_in *)&sa)->sin_port); /* at the same place in both families */
}

/* The one that ends first is left in TIME_WAIT. */
static void end_first(int first, int second)
{
    char c;

    shutdown(first, SHUT_WR);
    assert_int_equal(read(second, &c, 1), 0);
    shutdown(second, SHUT_WR);
    assert_int_equal(read(first, &c, 1), 0);
    let_go(first);
    let_go(second);
}

/* -- asking */
static bool is_used(enum port_method m, uint16_t port)
{
    uint8_t bitmap[1];
    struct err err = { 0 };

    if (port_scan_run(m, "", port, port, bitmap, &err) < 0)
        fail_msg("%s", err.text);
    return bitmap[0] & 1;
}

static void expect(uint16_t port, bool bind_used, bool strict_used)
{
    assert_int_equal(is_used(PORT_BIND, port), bind_used);
    assert_int_equal(is_used(PORT_STRICT, port), strict_used);
    assert_int_equal(is_used(PORT_NETLINK, port), strict_used);
}

static uint16_t fresh(void)
{
    uint16_t port = T.next++;

    while (!T.is_alone && (is_used(PORT_STRICT, port) || is_used(PORT_NETLINK, port)))
        port = T.next++;
    return port;
}

static void need_v6(void)
{
    if (!T.has_v6)
        skip();
}

/* -- the matrix */
static void a_port_nobody_has_is_free(void **state)
{
    (void)state;
    expect(fresh(), false, false);
}

static void a_listener_on_one_address_uses_the_port(void **state)
{
    uint16_t a = fresh(), b, c;

    (void)state;
    bound("127.0.0.1", a, LISTENS);
    expect(a, true, true);
    b = fresh();
    bound("127.0.0.5", b, LISTENS | REUSE);
    expect(b, true, true);
    c = fresh();
    bound("0.0.0.0", c, LISTENS | REUSE);
    expect(c, true, true);
}

static void a_dual_stack_listener_uses_the_port(void **state)
{
    uint16_t port = fresh();

    (void)state;
    need_v6();
    bound("::", port, LISTENS | REUSE);
    expect(port, true, true);
    port = fresh();
    bound("::ffff:127.0.0.1", port, LISTENS);
    expect(port, true, true);
}

static void a_listener_on_ipv6_only_leaves_the_port_free(void **state)
{
    uint16_t port = fresh();

    (void)state;
    need_v6();
    bound("::", port, LISTENS | V6ONLY);
    expect(port, false, false);
    port = fresh();
    bound("::1", port, LISTENS);
    expect(port, false, false);
}

static void a_udp_socket_leaves_the_port_free(void **state)
{
    uint16_t port = fresh();

    (void)state;
    bound("0.0.0.0", port, UDP);
    expect(port, false, false);
}

static void a_bound_socket_uses_the_port_unless_both_may_reuse_it(void **state)
{
    uint16_t plain = fresh(), reuse;

    (void)state;
    bound("0.0.0.0", plain, 0);
    assert_true(is_used(PORT_BIND, plain));
    assert_true(is_used(PORT_STRICT, plain));
    reuse = fresh();
    bound("127.0.0.1", reuse, REUSE);
    assert_false(is_used(PORT_BIND, reuse));
    assert_true(is_used(PORT_STRICT, reuse));
    if (!T.tells_bound)
        skip(); /* older kernels leave such sockets out of their dumps */
    assert_true(is_used(PORT_NETLINK, plain));
    assert_true(is_used(PORT_NETLINK, reuse));
}

static void bound_ipv6_sockets_count_as_their_listeners_would(void **state)
{
    uint16_t port = fresh();

    (void)state;
    need_v6();
    if (!T.tells_bound)
        skip();
    bound("::", port, 0);
    expect(port, true, true);
    port = fresh();
    bound("::", port, V6ONLY);
    expect(port, false, false);
    port = fresh();
    bound("::1", port, 0);
    expect(port, false, false);
}

static void an_outgoing_connection_uses_its_port(void **state)
{
    int listener = bound("127.0.0.1", fresh(), LISTENS | REUSE), out = connected("127.0.0.1", port_of(listener), -1), in;
    uint16_t port = port_of(out);

    (void)state;
    in = accepted(listener);
    expect(port, true, true);
    end_first(out, in); /* TIME_WAIT at the port of the one who asked */
    expect(port, true, true);
}

static void what_a_reusing_listener_leaves_is_free_to_bind_and_strictly_used(void **state)
{
    uint16_t port = fresh();
    int listener = bound("127.0.0.1", port, LISTENS | REUSE), out = connected("127.0.0.1", port, -1), in = accepted(listener);

    (void)state;
    let_go(listener);
    expect(port, false, true); /* the accepted connection */
    end_first(in, out);
    expect(port, false, true); /* its TIME_WAIT */
}

static void what_a_plain_listener_leaves_is_used(void **state)
{
    uint16_t port = fresh();
    int listener = bound("127.0.0.1", port, LISTENS), out = connected("127.0.0.1", port, -1), in = accepted(listener);

    (void)state;
    let_go(listener);
    end_first(in, out);
    expect(port, true, true);
}

/* What the kernel does not say of IPv6 connections is tried: the answers must agree whatever they are. */
static void netlink_agrees_with_strict_on_connections_over_ipv6(void **state)
{
    static const struct {
        const char *at;
        int how;
    } rows[] = { { "::1", LISTENS }, { "::", LISTENS | V6ONLY }, { "::", LISTENS }, { "::", LISTENS | REUSE }, { "::1", LISTENS | REUSE } };

    (void)state;
    need_v6();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint16_t port = fresh(), mine;
        int listener = bound(rows[i].at, port, rows[i].how), out = connected("::1", port, -1), in = accepted(listener);

        mine = port_of(out);
        assert_int_equal(is_used(PORT_NETLINK, port), is_used(PORT_STRICT, port));
        assert_int_equal(is_used(PORT_NETLINK, mine), is_used(PORT_STRICT, mine));
        let_go(listener);
        assert_int_equal(is_used(PORT_NETLINK, port), is_used(PORT_STRICT, port));
        if (i & 1)
            end_first(in, out);
        else
            end_first(out, in);
        assert_int_equal(is_used(PORT_NETLINK, port), is_used(PORT_STRICT, port));
        assert_int_equal(is_used(PORT_NETLINK, mine), is_used(PORT_STRICT, mine));
    }
}

static void netlink_agrees_with_strict_on_a_mapped_connection(void **state)
{
    uint16_t port = fresh();
    int listener = bound("::", port, LISTENS | REUSE), out = connected("127.0.0.1", port, -1), in = accepted(listener);

    (void)state;
    need_v6();
    let_go(listener);
    expect(port, false, true);
    end_first(in, out);
    assert_int_equal(is_used(PORT_NETLINK, port), is_used(PORT_STRICT, port));
}

/* In a child that gives up CAP_NET_BIND_SERVICE (its exit code is the finding). */
static int without_privilege(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];
    uint8_t got[3][2];
    struct err err = { 0 };

    if (syscall(SYS_capget, &head, data) < 0)
        return 10;
    for (int i = 0; i < 2; i++)
        data[i].effective = data[i].permitted = data[i].inheritable = 0;
    if (syscall(SYS_capset, &head, data) < 0)
        return 11;
    for (int m = PORT_BIND; m <= PORT_NETLINK; m++)
        if (port_scan_run((enum port_method)m, "", 1016, 1031, got[m], &err) < 0)
            return 12;
    for (int m = PORT_BIND; m <= PORT_NETLINK; m++)
        if (got[m][0] != 0xff || got[m][1] != 0)
            return 20 + m;
    return 0;
}

static void privileged_ports_are_used_without_the_privilege(void **state)
{
    pid_t pid;
    int status;

    (void)state;
    if (!T.is_alone)
        skip(); /* others may have ports there */
    pid = fork();
    if (pid == 0)
        _exit(without_privilege());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_range_is_two_ports_in_order(void **state)
{
    static const struct {
        const char *text;
        bool is_good;
    } rows[] = { { "10000-30000", true }, { "1-65535", true }, { "80-80", true }, { " 5 - 6 ", true }, { "0-5", false }, { "5-0", false },
                 { "6-5", false }, { "1-65536", false }, { "5", false }, { "", false }, { "-", false }, { "a-b", false }, { "5-", false },
                 { "-5", false }, { "1-2-3", false }, { "1..2", false } };
    uint16_t first, last;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        err_reset(&err);
        assert_int_equal(port_range_parse(str_of(rows[i].text), &first, &last, &err) == 0, rows[i].is_good);
        assert_int_equal(err_is(&err), !rows[i].is_good);
    }
    assert_int_equal(port_range_parse(STR("10000-30000"), &first, &last, &err), 0);
    assert_int_equal(first, 10000);
    assert_int_equal(last, 30000);
}

static void a_whole_range_gets_one_bit_a_port(void **state)
{
    uint8_t by[3][3];
    struct err err = { 0 };

    (void)state;
    if (!T.is_alone)
        skip();
    bound("127.0.0.1", 25000, LISTENS);
    bound("127.0.0.1", 25009, LISTENS);
    bound("127.0.0.1", 25018, LISTENS);
    bound("127.0.0.1", 25019, LISTENS); /* one beyond */
    for (int m = PORT_BIND; m <= PORT_NETLINK; m++) {
        memset(by[m], 0xee, sizeof(by[m]));
        assert_int_equal(port_scan_run((enum port_method)m, "", 25000, 25018, by[m], &err), 0);
        assert_int_equal(by[m][0], 0x01);
        assert_int_equal(by[m][1], 0x02);
        assert_int_equal(by[m][2], 0x04);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_port_nobody_has_is_free, tear_down),
        cmocka_unit_test_teardown(a_listener_on_one_address_uses_the_port, tear_down),
        cmocka_unit_test_teardown(a_dual_stack_listener_uses_the_port, tear_down),
        cmocka_unit_test_teardown(a_listener_on_ipv6_only_leaves_the_port_free, tear_down),
        cmocka_unit_test_teardown(a_udp_socket_leaves_the_port_free, tear_down),
        cmocka_unit_test_teardown(a_bound_socket_uses_the_port_unless_both_may_reuse_it, tear_down),
        cmocka_unit_test_teardown(bound_ipv6_sockets_count_as_their_listeners_would, tear_down),
        cmocka_unit_test_teardown(an_outgoing_connection_uses_its_port, tear_down),
        cmocka_unit_test_teardown(what_a_reusing_listener_leaves_is_free_to_bind_and_strictly_used, tear_down),
        cmocka_unit_test_teardown(what_a_plain_listener_leaves_is_used, tear_down),
        cmocka_unit_test_teardown(netlink_agrees_with_strict_on_connections_over_ipv6, tear_down),
        cmocka_unit_test_teardown(netlink_agrees_with_strict_on_a_mapped_connection, tear_down),
        cmocka_unit_test_teardown(privileged_ports_are_used_without_the_privilege, tear_down),
        cmocka_unit_test(a_range_is_two_ports_in_order),
        cmocka_unit_test_teardown(a_whole_range_gets_one_bit_a_port, tear_down),
    };

    return cmocka_run_group_tests(tests, set_up_all, NULL);
}
