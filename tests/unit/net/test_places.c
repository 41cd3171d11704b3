/* Promises of net/listen.h: who has a place for its handshake, who waits for one, who gives it up. */
#include <unistd.h>

#include "listening.h"

/* @n that begin and do not get as far as a place. */
static void begin_all(int *fd, size_t n, int (*begin)(void))
{
    for (size_t i = 0; i < n; i++) {
        fd[i] = begin();
        loop_poll(l);
    }
    TURN_UNTIL(l, listener_conns(li) == n && net_stats.handshakes_in_flight == 0);
}

static void handshakes_in_flight_are_bounded_and_the_rest_waits(void **state)
{
    enum { N = LIMIT_HANDSHAKES + 40 };
    struct listen_conf conf = { .addr = "127.0.0.1", .tls = tls };
    int fd[N];

    (void)state;
    listen_now(&conf);
    for (int i = 0; i < N; i++) {
        fd[i] = hello();
        loop_poll(l);
    }
    TURN_SOME(l);
    assert_int_equal(listener_conns(li), LIMIT_HANDSHAKES);
    assert_int_equal(net_stats.handshakes_in_flight, LIMIT_HANDSHAKES);
    /* One that leaves makes room for one. */
    close(fd[0]);
    TURN_SOME(l);
    assert_int_equal(listener_conns(li), LIMIT_HANDSHAKES);
    /* And nobody can hold the places: slow ones go on without. */
    loop__turn_clock(l, 6 * USEC_PER_SEC);
    TURN_UNTIL(l, listener_conns(li) == N - 1);
    loop__turn_clock(l, 11 * USEC_PER_SEC);
    TURN_UNTIL(l, listener_conns(li) == 0 || (loop__turn_clock(l, USEC_PER_SEC), false));
    assert_int_equal(net_stats.handshakes_in_flight, 0);
    for (int i = 1; i < N; i++)
        close(fd[i]);
}

static void half_a_hello_takes_no_place(void **state)
{
    enum { N = LIMIT_HANDSHAKES + 40 };
    struct listen_conf conf = { .addr = "127.0.0.1", .tls = tls };
    int fd[N], honest;

    (void)state;
    listen_now(&conf);
    begin_all(fd, N, half_hello);
    /* Without the clock being turned: nobody is waited for. */
    honest = hello();
    TURN_UNTIL(l, net_stats.handshakes_in_flight == 1);
    close(honest);
    TURN_UNTIL(l, listener_conns(li) == N && net_stats.handshakes_in_flight == 0);
    /* Who says the rest takes a place then. */
    honest = most_of_a_hello();
    TURN_UNTIL(l, listener_conns(li) == N + 1 && net_stats.handshakes_in_flight == 0);
    rest_of_a_hello(honest);
    TURN_UNTIL(l, net_stats.handshakes_in_flight == 1);
    close(honest);
    /* And half of one goes when its time is over. */
    loop__turn_clock(l, (LIMIT_HANDSHAKE_MS + 1000) * USEC_PER_MS);
    TURN_UNTIL(l, listener_conns(li) == 0);
    for (int i = 0; i < N; i++)
        close(fd[i]);
}

static void halves_that_are_completed_together_do_not_exceed_the_places(void **state)
{
    enum { N = 4 * LIMIT_HANDSHAKES };
    struct listen_conf conf = { .addr = "127.0.0.1", .tls = tls };
    static int fd[N];
    int left = N;

    (void)state;
    listen_now(&conf);
    begin_all(fd, N, most_of_a_hello);
    for (int i = 0; i < N; i++)
        rest_of_a_hello(fd[i]);
    /* As many as there are places have an answer. When those leave, as many others; nobody has waited for a clock. */
    while (left > 0) {
        int n = 0, most = left < LIMIT_HANDSHAKES ? left : LIMIT_HANDSHAKES;

        TURN_UNTIL(l, net_stats.handshakes_in_flight == (uint64_t)most);
        TURN_SOME(l);
        assert_int_equal(net_stats.handshakes_in_flight, most);
        assert_int_equal(listener_conns(li), left);
        for (int i = 0; i < N; i++) {
            if (fd[i] >= 0 && has_answer(fd[i])) {
                fd_close(&fd[i]);
                n++;
            }
        }
        assert_int_equal(n, most);
        left -= n;
    }
    TURN_UNTIL(l, listener_conns(li) == 0);
    assert_int_equal(net_stats.handshakes_in_flight, 0);
}

static void one_who_is_held_goes_when_its_time_is_over(void **state)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .tls = tls };
    int fd[LIMIT_HANDSHAKES], held;

    (void)state;
    listen_now(&conf);
    held = most_of_a_hello();
    TURN_UNTIL(l, listener_conns(li) == 1 && net_stats.handshakes_in_flight == 0);
    loop__turn_clock(l, (LIMIT_HANDSHAKE_MS - 500) * USEC_PER_MS);
    fill_places(fd, LIMIT_HANDSHAKES);
    rest_of_a_hello(held);
    TURN_SOME(l);
    assert_int_equal(listener_conns(li), LIMIT_HANDSHAKES + 1);
    loop__turn_clock(l, 750 * USEC_PER_MS);
    TURN_UNTIL(l, listener_conns(li) == LIMIT_HANDSHAKES);
    assert_false(has_answer(held));
    assert_int_equal(net_stats.handshakes_in_flight, LIMIT_HANDSHAKES);
    close(held);
    close_all(fd, LIMIT_HANDSHAKES);
}

/* A client that can go on behind its ClientHello. */
struct client {
    struct tls_ctx *ctx;
    struct tls *t;
    int fd;
};

static void client_send(struct client *c)
{
    raw_send(c->fd, str_bytes(c->t->sc->cipher, c->t->sc->cipher_len));
    c->t->sc->cipher_len = 0;
}

static void client_hello(struct client *c)
{
    const struct tls_client_conf conf = { .skip_verify = true, .alpn = alpn_h2 };
    struct err err = { 0 };

    c->ctx = tls_client_new(&conf, &err);
    c->t = tls_new(l, c->ctx, NULL);
    c->fd = raw_open(listener_port(li));
    tls_lend(c->t, NULL, 0);
    assert_int_equal(tls_handshake(c->t, &err), 0);
    client_send(c);
    TURN_UNTIL(l, has_answer(c->fd));
}

/* Its half of the handshake, which the server takes. */
static void client_finish(struct client *c)
{
    AUTO(buf_done) struct buf b = BUF(65536);
    uint64_t done = net_stats.handshakes;
    struct err err = { 0 };

    TURN_SOME(l);
    assert_true(raw_recv(c->fd, &b));
    tls_lend(c->t, b.ptr, b.len);
    assert_int_equal(tls_handshake(c->t, &err), 1);
    client_send(c);
    TURN_UNTIL(l, net_stats.handshakes == done + 1);
    tls_free(c->t);
    tls_ctx_free(c->ctx);
}

static void one_silent_since_our_answer_gives_its_place_after_a_second_and_goes_on(void **state)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .tls = tls };
    int fd[LIMIT_HANDSHAKES], waits;
    struct client slow;

    (void)state;
    listen_now(&conf);
    client_hello(&slow);
    fill_places(fd, LIMIT_HANDSHAKES - 1);
    waits = hello();
    loop__turn_clock(l, 900 * USEC_PER_MS);
    TURN_SOME(l);
    assert_false(has_answer(waits));
    loop__turn_clock(l, 350 * USEC_PER_MS);
    TURN_UNTIL(l, has_answer(waits));
    client_finish(&slow);
    close(slow.fd);
    close(waits);
    close_all(fd, LIMIT_HANDSHAKES - 1);
}

static void while_handshakes_end_well_in_numbers_the_silent_keep_their_places(void **state)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .tls = tls };
    int fd[LIMIT_HANDSHAKES], waits;

    (void)state;
    listen_now(&conf);
    for (int i = 0; i < LIMIT_HANDSHAKES / 4; i++) {
        struct client c;

        client_hello(&c);
        client_finish(&c);
        close(c.fd);
    }
    fill_places(fd, LIMIT_HANDSHAKES);
    waits = hello();
    loop__turn_clock(l, 1250 * USEC_PER_MS);
    TURN_SOME(l);
    assert_false(has_answer(waits));
    /* None did for a second. */
    loop__turn_clock(l, 1250 * USEC_PER_MS);
    TURN_UNTIL(l, has_answer(waits));
    close(waits);
    close_all(fd, LIMIT_HANDSHAKES);
}

static void one_that_had_our_answer_just_now_makes_no_room_for_others(void **state)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .tls = tls };
    static int fd[LIMIT_PREAUTH_CONNS - 1];
    struct client fresh;
    int more;

    (void)state;
    listen_now(&conf);
    begin_all(fd, ARRAY_SIZE(fd), half_hello);
    client_hello(&fresh);
    loop__turn_clock(l, 1500 * USEC_PER_MS);
    TURN_UNTIL(l, net_stats.handshakes_in_flight == 0);
    more = hello();
    TURN_UNTIL(l, has_answer(more));
    assert_true(listener_conns(li) < LIMIT_PREAUTH_CONNS);
    client_finish(&fresh);
    close(fresh.fd);
    close(more);
    close_all(fd, ARRAY_SIZE(fd));
}

static void one_whose_first_word_is_held_waits_since_it_came(void **state)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .tls = tls };
    int fd[LIMIT_HANDSHAKES], silent, half, row;

    (void)state;
    listen_now(&conf);
    silent = raw_open(listener_port(li));
    half = most_of_a_hello();
    TURN_UNTIL(l, listener_conns(li) == 2 && net_stats.handshakes_in_flight == 1);
    loop__turn_clock(l, 1500 * USEC_PER_MS);
    TURN_UNTIL(l, net_stats.handshakes_in_flight == 0);
    fill_places(fd, LIMIT_HANDSHAKES);
    row = hello();
    TURN_SOME(l);
    loop__turn_clock(l, 10 * USEC_PER_MS);
    rest_of_a_hello(half);
    TURN_SOME(l);
    raw_send(silent, buf_as_str(&hello_bytes));
    TURN_SOME(l);
    close(fd[0]);
    TURN_UNTIL(l, has_answer(silent));
    assert_false(has_answer(row) || has_answer(half));
    close(fd[1]);
    TURN_UNTIL(l, has_answer(row));
    assert_false(has_answer(half));
    close(silent);
    close(half);
    close(row);
    close_all(fd + 2, LIMIT_HANDSHAKES - 2);
}

static void a_place_goes_to_who_waits_longest_held_or_in_the_row(void **state)
{
    struct listen_conf conf = { .addr = "127.0.0.1", .tls = tls };
    int fd[LIMIT_HANDSHAKES], held[2], row[2];

    (void)state;
    listen_now(&conf);
    for (int i = 0; i < 2; i++)
        held[i] = most_of_a_hello();
    TURN_UNTIL(l, listener_conns(li) == 2 && net_stats.handshakes_in_flight == 0);
    fill_places(fd, LIMIT_HANDSHAKES);
    for (int i = 0; i < 2; i++) {
        row[i] = hello();
        TURN_SOME(l);
        loop__turn_clock(l, 10 * USEC_PER_MS);
        rest_of_a_hello(held[i]);
        TURN_SOME(l);
        loop__turn_clock(l, 10 * USEC_PER_MS);
    }
    assert_int_equal(listener_conns(li), LIMIT_HANDSHAKES + 2);
    const int order[] = { row[0], held[0], row[1], held[1] };

    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        assert_false(has_answer(order[i]));
        close(fd[i]);
        TURN_UNTIL(l, has_answer(order[i]));
        for (size_t j = i + 1; j < ARRAY_SIZE(order); j++)
            assert_false(has_answer(order[j]));
        assert_int_equal(net_stats.handshakes_in_flight, LIMIT_HANDSHAKES);
    }
    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        close(order[i]);
    close_all(fd + ARRAY_SIZE(order), LIMIT_HANDSHAKES - (int)ARRAY_SIZE(order));
}

static void a_place_goes_to_one_who_has_spoken_not_to_one_who_waits_longer(void **state)
{
    int fd[LIMIT_HANDSHAKES], silent, speaker;
    uint64_t accepted;

    (void)state;
    take_all_places(fd);
    accepted = net_stats.accepted;
    silent = raw_open(listener_port(li));
    TURN_UNTIL(l, net_stats.accepted == accepted + 1);
    speaker = hello();
    TURN_UNTIL(l, net_stats.accepted == accepted + 2);
    close(fd[0]);
    close(fd[1]);
    TURN_SOME(l);
    assert_int_equal(listener_conns(li), LIMIT_HANDSHAKES - 1);
    close(speaker);
    TURN_UNTIL(l, listener_conns(li) == LIMIT_HANDSHAKES - 2);
    /* And to the silent one as soon as it speaks. */
    raw_send(silent, STR("\x16"));
    TURN_UNTIL(l, listener_conns(li) == LIMIT_HANDSHAKES - 1);
    close(silent);
    close_all(fd + 2, LIMIT_HANDSHAKES - 2);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        T(handshakes_in_flight_are_bounded_and_the_rest_waits),
        T(half_a_hello_takes_no_place),
        T(halves_that_are_completed_together_do_not_exceed_the_places),
        T(one_who_is_held_goes_when_its_time_is_over),
        T(one_silent_since_our_answer_gives_its_place_after_a_second_and_goes_on),
        T(while_handshakes_end_well_in_numbers_the_silent_keep_their_places),
        T(one_that_had_our_answer_just_now_makes_no_room_for_others),
        T(one_whose_first_word_is_held_waits_since_it_came),
        T(a_place_goes_to_who_waits_longest_held_or_in_the_row),
        T(a_place_goes_to_one_who_has_spoken_not_to_one_who_waits_longer),
    };

    return cmocka_run_group_tests(tests, group_up, group_down);
}
