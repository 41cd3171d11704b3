/* The words of ss and the classes of processes: agent/ports_owners.c, with the tables of sigma section 5. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/ports_priv.h"
#include "base/fd.h"

static const struct {
    const char *line;
    int port;         /* -1: no listener */
    const char *process;
} lines[] = {
    /* the seed's */
    { "LISTEN 0 4096 192.0.2.7:10001 0.0.0.0:* users:((\"envoy\",pid=11,fd=20))", 10001, "envoy" },
    { "tcp   LISTEN 0      4096        0.0.0.0:10008      0.0.0.0:*    users:((\"envoy\",pid=1,fd=9))", 10008, "envoy" },
    { "tcp   LISTEN 0      128         127.0.0.1:9912     0.0.0.0:*", 9912, "" },
    { "LISTEN 0 128 [::]:22 [::]:* users:((\"sshd\",pid=5,fd=4))", 22, "sshd" },
    { "LISTEN 0 4096 *:9100 *:* users:((\"node_exporter\",pid=6,fd=3))", 9100, "node_exporter" },
    { "LISTEN 0 5 127.0.0.1:8080 0.0.0.0:*", 8080, "" },
    { "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process", -1, NULL },
    { "Netid State Recv-Q Send-Q Local Address:Port Peer Address:Port Process", -1, NULL },
    { "udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:* users:((\"systemd-resolve\",pid=2,fd=12))", -1, NULL },
    /* ours */
    { "LISTEN 0 511 192.0.2.4:24001 0.0.0.0:* users:((\"nginx\",pid=7,fd=6),(\"nginx\",pid=8,fd=6))", 24001, "nginx" },
    { "tcp LISTEN 3 128 127.0.0.53%lo:53 0.0.0.0:*", 53, "" },
    { "tcp LISTEN 0 4096 [::ffff:10.0.0.1]:20443 *:* users:((\"envoy\",pid=3,fd=9))", 20443, "envoy" },
    { "tcp LISTEN 0 50 *:70000 *:*", -1, NULL },
    { "tcp LISTEN 0 50 *:http *:*", -1, NULL },
    { "LISTEN 0 5 0.0.0.0:25000", 25000, "" },
    { "LISTEN 0 5", -1, NULL },
    { "", -1, NULL },
    { "     ", -1, NULL },
    { "tcp ESTAB 0 0 10.0.0.1:24002 10.0.0.9:443 users:((\"curl\",pid=1,fd=3))", -1, NULL },
    { "x tcp LISTEN 0 5 0.0.0.0:24003 0.0.0.0:*", -1, NULL },
    { "tcp LISTEN 0 5 0.0.0.0:24004 0.0.0.0:* users:((\"Web Server\",pid=1,fd=3))", 24004, "Web Server" },
    { "tcp\tLISTEN\t0\t5\t0.0.0.0:24005\t0.0.0.0:*\tusers:((\"a\",pid=1,fd=3))", 24005, "a" },
    { "tcp LISTEN 0 5 0.0.0.0:24006 0.0.0.0:* users:((\"a\",pid=1,fd=3))\r", 24006, "a" },
    { "LISTEN 0 5 0.0.0.0:24007\r", 24007, "" },
    { "LISTEN 0 5 0.0.0.0:0 0.0.0.0:*", 0, "" },
    { "LISTEN 0 5 0.0.0.0:65535 0.0.0.0:*", 65535, "" },
    { "LISTEN 0 5 0.0.0.0:65536 0.0.0.0:*", -1, NULL },
    { "LISTEN 0 5 nothing 0.0.0.0:*", -1, NULL },
    { "LISTEN 0 5 0.0.0.0: 0.0.0.0:*", -1, NULL },
    { "LISTEN 0 5 0.0.0.0:24008 0.0.0.0:* users:((\"\",pid=1))", 24008, "" },
    { "LISTEN 0 5 0.0.0.0:24009 0.0.0.0:* users:((\"open", 24009, "" },
    { "LISTEN 0 5 0.0.0.0:24010 0.0.0.0:* users:((", 24010, "" },
    { "listen 0 5 0.0.0.0:24011 0.0.0.0:*", -1, NULL },
};

static void a_line_of_ss_is_read_as_the_tables_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct str process = STR_NONE;
        uint16_t port = 0;
        int r = ss_line(str_of(lines[i].line), &port, &process);

        if (r != (lines[i].port >= 0))
            fail_msg("%s: %d", lines[i].line, r);
        if (r && (port != lines[i].port || !str_is(process, lines[i].process)))
            fail_msg("%s: port %u, process \"%.*s\"", lines[i].line, port, STR_FMT(process));
    }
}

static void a_long_line_and_a_nul_are_read_without_harm(void **state)
{
    static const char nul[] = "tcp LISTEN 0 5 0.0.0.0:24012 0.0.0.0:* users:((\"a\0b\",pid=1,fd=3))";
    AUTO(buf_done) struct buf b = BUF(80 << 10);
    struct str process;
    uint16_t port;

    (void)state;
    assert_int_equal(ss_line(str_bytes(nul, sizeof(nul) - 1), &port, &process), 1);
    assert_int_equal(port, 24012);
    assert_int_equal(process.len, 3);
    buf_cstr(&b, "tcp LISTEN 0 5 0.0.0.0:24013 0.0.0.0:* users:((\"");
    while (b.len < 64 << 10)
        buf_char(&b, 'x');
    assert_int_equal(ss_line(buf_as_str(&b), &port, &process), 1);
    assert_int_equal(port, 24013);
    assert_int_equal(process.len, 0); /* the name has no end */
    buf_cstr(&b, "\",pid=1))");
    assert_int_equal(ss_line(buf_as_str(&b), &port, &process), 1);
    assert_true(process.len > 60000);
}

static void classes_are_parts_of_names_in_any_case(void **state)
{
    struct port_source more[] = { { "xray", "xray" }, { "proxy", "caddy" }, { "proxy", "traefik" }, { "nginx", "openresty" }, { "none", "" } };
    struct ports_conf conf = { .sources = more, .n_sources = 5 };
    const char *names[PORT_SOURCES_MAX];
    size_t n;

    (void)state;
    ports__sources(&conf, names, &n);
    assert_int_equal(n, 9);
    assert_string_equal(names[6], "xray");
    assert_string_equal(names[7], "proxy");
    assert_string_equal(names[8], "none");
    assert_int_equal(port_class(&conf, STR("envoy")), 0);
    assert_int_equal(port_class(&conf, STR("my-envoy-proxy")), 0);
    assert_int_equal(port_class(&conf, STR("/usr/local/bin/envoy")), 0);
    assert_int_equal(port_class(&conf, STR("sshd")), 1);
    assert_int_equal(port_class(&conf, STR("Nginx")), 2);
    assert_int_equal(port_class(&conf, STR("node_exporter")), 3);
    assert_int_equal(port_class(&conf, STR("python3")), 4);
    assert_int_equal(port_class(&conf, STR("java")), 4);
    assert_int_equal(port_class(&conf, STR("")), 5);
    assert_int_equal(port_class(&conf, STR("Xray-core")), 6);
    assert_int_equal(port_class(&conf, STR("traefik")), 7);
    assert_int_equal(port_class(&conf, STR("openresty")), 2);
    assert_int_equal(port_class(&(struct ports_conf){ 0 }, STR("xray")), 4);
}

static void an_ss_program_is_believed_and_the_last_row_wins(void **state)
{
    char path[] = "/tmp/test-ss-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    static const char script[] = "#!/bin/sh\n"
                                 "test \"$1\" = -tulnp || exit 1\n"
                                 "echo 'LISTEN 0 5 0.0.0.0:20003 0.0.0.0:* users:((\"heading\",pid=1,fd=3))'\n"
                                 "echo 'LISTEN 0 5 0.0.0.0:20000 0.0.0.0:* users:((\"envoy\",pid=1,fd=3))'\n"
                                 "echo 'LISTEN 0 5 0.0.0.0:20000 0.0.0.0:* users:((\"sshd\",pid=1,fd=3))'\n"
                                 "echo 'LISTEN 0 5 0.0.0.0:20001 0.0.0.0:*'\n"
                                 "echo 'LISTEN 0 5 0.0.0.0:29999 0.0.0.0:* users:((\"envoy\",pid=1,fd=3))'\n"
                                 "printf 'LISTEN 0 5 0.0.0.0:20002 0.0.0.0:* users:((\"bash\",pid=1,fd=3))'\n";
    struct ports_conf conf = { .root = "", .first = 20000, .last = 20003, .ss = path };
    uint8_t bitmap[1] = { 0x0f }, class[4];

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, script, sizeof(script) - 1), 0);
    assert_int_equal(fchmod(fd, 0755), 0);
    close(fd);
    assert_int_equal(owners__classes_ss(&conf, bitmap, class), 0);
    assert_int_equal(class[0], 1);
    assert_int_equal(class[1], PORT_CLASS_UNKNOWN);
    assert_int_equal(class[2], PORT_CLASS_OTHER);
    assert_int_equal(class[3], PORT_CLASS_UNKNOWN); /* the first line is a heading whatever is in it */
    unlink(path);
    assert_true(owners__classes_ss(&conf, bitmap, class) < 0); /* gone: all unknown */
    assert_int_equal(class[0], PORT_CLASS_UNKNOWN);
}

static void a_listener_of_ours_is_found_by_proc(void **state)
{
    AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof(sa);
    struct ports_conf conf = { .root = "" };
    struct diag d;
    uint8_t bitmap[1] = { 1 }, class[1];

    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    conf.first = conf.last = ntohs(sa.sin_port);
    d = (struct diag){ .first = conf.first, .last = conf.last };
    assert_int_equal(diag__run("", &d), 0);
    assert_true(d.listeners.n >= 1);
    owners__classes(&conf, bitmap, &d, class);
    assert_int_equal(class[0], PORT_CLASS_OTHER); /* this program */
    bitmap[0] = 0;
    owners__classes(&conf, bitmap, &d, class);
    assert_int_equal(class[0], PORT_CLASS_UNKNOWN); /* not asked for what is not used */
    vec_done(&d.listeners);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_of_ss_is_read_as_the_tables_say),
        cmocka_unit_test(a_long_line_and_a_nul_are_read_without_harm),
        cmocka_unit_test(classes_are_parts_of_names_in_any_case),
        cmocka_unit_test(an_ss_program_is_believed_and_the_last_row_wins),
        cmocka_unit_test(a_listener_of_ours_is_found_by_proc),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
