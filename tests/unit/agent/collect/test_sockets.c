/* tests/unit/agent/collect/test_sockets.c - listening and connected sockets and who holds them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/collect/source.h"
#include "nl.h"
#include "tree.h"

static void put_socket(struct nl_reply *r, uint8_t family, uint8_t st, const void *from, uint16_t port, const void *to,
                       uint16_t peer_port, uint32_t inode)
{
    struct inet_diag_msg m = { .idiag_family = family, .idiag_state = st, .idiag_uid = 33, .idiag_inode = inode };
    size_t n = family == AF_INET ? 4 : 16;
    memcpy(m.id.idiag_src, from, n);
    memcpy(m.id.idiag_dst, to, n);
    m.id.idiag_sport = htons(port);
    m.id.idiag_dport = htons(peer_port);
    nl_end(r, nl_begin(r, SOCK_DIAG_BY_FAMILY, &m, sizeof(m)));
}

static const char any4[4], any6[16], here[4] = { 10, 0, 0, 1 }, there[4] = { 10, 0, 0, 9 };

static void put_all(struct tree *t)
{
    struct nl_reply tcp4 = { 0 }, tcp6 = { 0 }, udp4 = { 0 };
    put_socket(&tcp4, AF_INET, TCP_LISTEN, any4, 22, any4, 0, 500);
    put_socket(&tcp4, AF_INET, TCP_LISTEN, any4, 80, any4, 0, 502); /* two of one port: SO_REUSEPORT */
    put_socket(&tcp4, AF_INET, TCP_LISTEN, any4, 80, any4, 0, 501);
    put_socket(&tcp4, AF_INET, TCP_ESTABLISHED, here, 22, there, 5000, 503);
    put_socket(&tcp6, AF_INET6, TCP_LISTEN, any6, 22, any6, 0, 504);
    put_socket(&udp4, AF_INET, TCP_CLOSE, here, 123, any4, 0, 505);
    put_socket(&udp4, AF_INET, TCP_CLOSE, any4, 40000, any4, 0, 506); /* a question under way */
    put_socket(&udp4, AF_INET, TCP_CLOSE, any4, 32767, any4, 0, 507); /* one below the range */
    tree_bytes(t, "/netlink/tcp4", tcp4.bytes, tcp4.n);
    tree_bytes(t, "/netlink/tcp6", tcp6.bytes, tcp6.n);
    tree_bytes(t, "/netlink/udp4", udp4.bytes, udp4.n);
    tree_file(t, "/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n");
    tree_file(t, "/proc/71/comm", "sshd\n");
    tree_link(t, "/proc/71/exe", "/usr/sbin/sshd");
    tree_link(t, "/proc/71/fd/3", "socket:[500]");
    tree_link(t, "/proc/71/fd/4", "socket:[504]");
    tree_link(t, "/proc/71/fd/5", "/dev/null");
    tree_link(t, "/proc/71/fd/6", "socket:[]");
    tree_file(t, "/proc/80/comm", "worker\n");
    tree_link(t, "/proc/80/fd/3", "socket:[501]");
}

static void listeners_have_their_process(void **state)
{
    struct tree *t = *state;
    put_all(t);
    assert_int_equal(tree_run(t, SECTION_LISTENERS), 5);
    assert_string_equal(tree_row(t, "tcp 0.0.0.0:22"), "{\"protocol\":\"tcp\",\"address\":\"0.0.0.0\",\"port\":22,\"uid\":33,\"pid\":71,"
                                                       "\"process\":\"sshd\",\"exe\":\"/usr/sbin/sshd\"}");
    assert_non_null(strstr(tree_row(t, "tcp [::]:22"), "\"pid\":71"));
    /* of several sockets the one made first speaks, whatever the kernel's order */
    assert_non_null(strstr(tree_row(t, "tcp 0.0.0.0:80"), "\"process\":\"worker\""));
    /* nobody we may see holds it */
    assert_string_equal(tree_row(t, "udp 10.0.0.1:123"), "{\"protocol\":\"udp\",\"address\":\"10.0.0.1\",\"port\":123,\"uid\":33}");
}

static void udp_on_a_port_the_system_hands_out_is_no_listener(void **state)
{
    struct tree *t = *state;
    put_all(t);
    tree_run(t, SECTION_LISTENERS);
    assert_null(tree_row(t, "udp 0.0.0.0:40000"));
    assert_non_null(tree_row(t, "udp 0.0.0.0:32767"));
    assert_int_equal(tree_run(t, SECTION_CONNECTIONS), 2);
    assert_non_null(tree_row(t, "udp 0.0.0.0:40000 *"));
    assert_string_equal(tree_row(t, "tcp 10.0.0.1:22 10.0.0.9:5000"),
                        "{\"protocol\":\"tcp\",\"address\":\"10.0.0.1\",\"port\":22,\"peer_address\":\"10.0.0.9\",\"peer_port\":5000,"
                        "\"state\":\"established\",\"uid\":33}");
}

static void no_sock_diag_is_a_failure(void **state)
{
    struct tree *t = *state;
    assert_int_equal(tree_run(t, SECTION_LISTENERS), 0);
    assert_int_equal(t->status, SECTION_FAILED);
}

/* The real kernel, the real /proc: a listener of ours is found with our pid. */
static void a_listener_of_this_process_is_found(void **state)
{
    struct tree *t = *state;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(sa);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    assert_int_equal(collect_section(SECTION_LISTENERS, "", &t->body, &t->status, t->message), 0);
    close(fd);
    if (t->status == SECTION_FAILED)
        skip(); /* a kernel without sock_diag */
    char key[64], pid[32];
    snprintf(key, sizeof(key), "tcp 127.0.0.1:%u", ntohs(sa.sin_port));
    snprintf(pid, sizeof(pid), "\"pid\":%d,", (int)getpid());
    const char *row = tree_row(t, key);
    assert_non_null(row);
    assert_non_null(strstr(row, pid));
}

static int count(void *ctx, const struct nlmsghdr *nlh)
{
    (void)nlh;
    ++*(size_t *)ctx;
    return 0;
}

/* The kernel says so behind an empty list, and a host without tcp_diag must not look like one without listeners. */
static void a_protocol_without_sock_diag_is_no_empty_list(void **state)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 req;
    } rq = { .head = { .nlmsg_len = sizeof(rq), .nlmsg_type = SOCK_DIAG_BY_FAMILY },
             .req = { .sdiag_family = AF_INET, .sdiag_protocol = 254, .idiag_states = UINT32_MAX } }; /* for experiments (RFC 3692) */
    size_t n = 0;

    (void)state;
    assert_true(src__netlink("", "none", NETLINK_SOCK_DIAG, &rq.head, count, &n) < 0);
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(listeners_have_their_process, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(udp_on_a_port_the_system_hands_out_is_no_listener, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(no_sock_diag_is_a_failure, tree_setup, tree_teardown),
        cmocka_unit_test(a_protocol_without_sock_diag_is_no_empty_list),
        cmocka_unit_test_setup_teardown(a_listener_of_this_process_is_found, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
