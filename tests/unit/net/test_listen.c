/* Promises of net/listen.h: the first byte, waiting, and running out of descriptors. */
#include <sys/resource.h>
#include <unistd.h>

#include "listening.h"

static void cleartext_where_it_is_not_allowed_gets_goaway_or_a_sentence(void **state)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .tls = tls };
    struct buf b;
    int fd;

    (void)state;
    listen_now(&conf);
    fd = raw_open(listener_port(li));
    raw_send(fd, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    b = raw_all(l, fd);
    assert_true(str_ends(buf_as_str(&b), STR("this port speaks TLS")));
    assert_memory_equal(b.ptr, "\0\0\0\4\0\0\0\0\0\0\0\34\7", 13);
    assert_int_equal(b.len, 9 + 9 + 0x1c);
    buf_done(&b);
    close(fd);
    fd = raw_open(listener_port(li));
    raw_send(fd, STR("GET / HTTP/1.1\r\n\r\n"));
    b = raw_all(l, fd);
    assert_true(str_ends(buf_as_str(&b), STR("\r\n\r\nthis port speaks gRPC over TLS.\n")));
    buf_done(&b);
    close(fd);
}

static void cleartext_may_be_for_loopback_listeners_only(void **state)
{
    struct listen_conf conf = { .addr = "0.0.0.0", .tls = tls, .allow_plain = true, .plain_loopback_only = true };
    struct buf b;
    int fd;

    (void)state;
    listen_now(&conf);
    fd = raw_open(listener_port(li));
    raw_send(fd, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    b = raw_all(l, fd);
    assert_true(str_ends(buf_as_str(&b), STR("this port speaks TLS")));
    buf_done(&b);
    close(fd);
    listener_free(li);
    conf.addr = "127.0.0.1";
    listen_now(&conf);
    fd = raw_open(listener_port(li));
    raw_send(fd, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    TURN_SOME(l);
    assert_int_equal(listener_conns(li), 1);
    close(fd);
}

static void a_handshake_that_does_not_end_is_cut_after_its_time(void **state)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .tls = tls };
    int silent, slow;

    (void)state;
    listen_now(&conf);
    silent = raw_open(listener_port(li));
    slow = half_hello();
    TURN_UNTIL(l, listener_conns(li) == 2);
    loop__turn_clock(l, (LIMIT_HANDSHAKE_MS - 1000) * USEC_PER_MS);
    TURN_SOME(l);
    assert_int_equal(listener_conns(li), 2);
    loop__turn_clock(l, 2 * USEC_PER_SEC);
    TURN_UNTIL(l, listener_conns(li) == 0);
    close(silent);
    close(slow);
}

static void one_who_waits_and_leaves_never_starts(void **state)
{
    int fd[LIMIT_HANDSHAKES], left;
    uint64_t accepted, failures;

    (void)state;
    take_all_places(fd);
    accepted = net_stats.accepted;
    left = hello();
    TURN_UNTIL(l, net_stats.accepted == accepted + 1);
    failures = net_stats.handshake_failures;
    close(left);
    close(fd[0]);
    TURN_UNTIL(l, net_stats.handshake_failures == failures + 1);
    assert_int_equal(listener_conns(li), LIMIT_HANDSHAKES - 1);
    close_all(fd + 1, LIMIT_HANDSHAKES - 1);
}

static void one_who_waits_in_silence_is_closed_after_its_time(void **state)
{
    int fd[LIMIT_HANDSHAKES], silent;
    uint64_t accepted;
    char c;

    (void)state;
    take_all_places(fd);
    accepted = net_stats.accepted;
    silent = raw_open(listener_port(li));
    TURN_UNTIL(l, net_stats.accepted == accepted + 1);
    loop__turn_clock(l, (LIMIT_WAITING_MS - 1000) * USEC_PER_MS);
    TURN_SOME(l);
    assert_int_equal(recv(silent, &c, 1, MSG_DONTWAIT), -1);
    loop__turn_clock(l, 2 * USEC_PER_SEC);
    TURN_UNTIL(l, recv(silent, &c, 1, MSG_DONTWAIT) == 0);
    close(silent);
    close_all(fd, LIMIT_HANDSHAKES);
}

static void the_silent_make_room_when_too_many_wait(void **state)
{
    enum { MAX = 300, STARTED = LIMIT_HANDSHAKES / 2, ROW = MAX / 2 + 1 };
    struct listen_conf conf = { .addr = "127.0.0.1", .tls = tls, .max_conns = MAX };
    int fd[STARTED + ROW], speaker;
    uint64_t accepted = net_stats.accepted;

    (void)state;
    listen_now(&conf);
    for (int i = 0; i < STARTED + ROW; i++) {
        fd[i] = raw_open(listener_port(li));
        loop_poll(l);
    }
    speaker = hello();
    TURN_SOME(l);
    assert_int_equal(net_stats.accepted, accepted + STARTED + ROW);
    assert_int_equal(listener_conns(li), STARTED);
    loop__turn_clock(l, 2 * USEC_PER_SEC);
    TURN_UNTIL(l, listener_conns(li) == STARTED + 1);
    close(speaker);
    close_all(fd, STARTED + ROW);
}

static void who_waits_is_closed_when_the_listener_stops(void **state)
{
    int fd[LIMIT_HANDSHAKES], silent;
    uint64_t accepted;
    char c;

    (void)state;
    take_all_places(fd);
    accepted = net_stats.accepted;
    silent = raw_open(listener_port(li));
    TURN_UNTIL(l, net_stats.accepted == accepted + 1);
    listener_stop(li);
    assert_int_equal(recv(silent, &c, 1, MSG_DONTWAIT), 0);
    assert_int_equal(listener_conns(li), LIMIT_HANDSHAKES);
    close(silent);
    close_all(fd, LIMIT_HANDSHAKES);
}

static void connections_are_bounded_and_the_rest_waits(void **state)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .allow_plain = true, .max_conns = 3 };
    int fd[5];

    (void)state;
    listen_now(&conf);
    for (int i = 0; i < 5; i++) {
        fd[i] = raw_open(listener_port(li));
        raw_send(fd[i], STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    }
    TURN_SOME(l);
    assert_int_equal(listener_conns(li), 3);
    close(fd[0]);
    close(fd[1]);
    TURN_SOME(l);
    assert_int_equal(listener_conns(li), 3);
    close(fd[2]);
    TURN_UNTIL(l, listener_conns(li) == 2);
    close(fd[3]);
    close(fd[4]);
}

static void without_descriptors_accept_pauses_and_goes_on(void **state)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .allow_plain = true, .max_conns = 1000 };
    struct rlimit old, low;
    int fd[8];

    (void)state;
    listen_now(&conf);
    for (int i = 0; i < 8; i++)
        fd[i] = raw_open(listener_port(li));
    getrlimit(RLIMIT_NOFILE, &old);
    low = old;
    low.rlim_cur = (rlim_t)fd[7] + 3; /* room for two or three more */
    setrlimit(RLIMIT_NOFILE, &low);
    TURN_SOME(l);
    size_t had = listener_conns(li);

    assert_true(had < 8);
    TURN_SOME(l);
    assert_int_equal(listener_conns(li), had);
    setrlimit(RLIMIT_NOFILE, &old);
    loop__turn_clock(l, USEC_PER_SEC);
    TURN_UNTIL(l, listener_conns(li) == 8);
    for (int i = 0; i < 8; i++)
        close(fd[i]);
}

static void a_stopped_listener_accepts_no_more_and_keeps_what_it_has(void **state)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .allow_plain = true };
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd, more = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    listen_now(&conf);
    fd = raw_open(listener_port(li));
    TURN_UNTIL(l, listener_conns(li) == 1);
    listener_stop(li);
    in.sin_port = htons(listener_port(li));
    assert_int_equal(connect(more, (struct sockaddr *)&in, sizeof(in)), -1);
    TURN_SOME(l);
    assert_int_equal(listener_conns(li), 1);
    close(fd);
    close(more);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        T(cleartext_where_it_is_not_allowed_gets_goaway_or_a_sentence),
        T(cleartext_may_be_for_loopback_listeners_only),
        T(a_handshake_that_does_not_end_is_cut_after_its_time),
        T(one_who_waits_and_leaves_never_starts),
        T(one_who_waits_in_silence_is_closed_after_its_time),
        T(the_silent_make_room_when_too_many_wait),
        T(who_waits_is_closed_when_the_listener_stops),
        T(connections_are_bounded_and_the_rest_waits),
        T(without_descriptors_accept_pauses_and_goes_on),
        T(a_stopped_listener_accepts_no_more_and_keeps_what_it_has),
    };

    return cmocka_run_group_tests(tests, group_up, group_down);
}
