/* tests/unit/server/test_health.c - the promises of server/health.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "server/health.h"

static int listen_at_abstract(const char *name)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    memcpy(at.sun_path + 1, name, strlen(name));
    assert_int_equal(bind(fd, (struct sockaddr *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))),
                     0);
    return fd;
}

static const char *heard(int fd)
{
    static char text[512];
    ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void nobody_asked_means_nothing_is_said(void **state)
{
    struct health h;

    (void)state;
    (void)unsetenv("NOTIFY_SOCKET");
    health_init(&h);
    assert_int_equal(h.fd, -1);
    health_notify(&h, "READY=1");
    health_feed(&h, 1000000, 1, 1000000);
    health_done(&h);
}

static void words_arrive_and_children_do_not_inherit_the_socket(void **state)
{
    char name[64], env[80];
    AUTO_FD int fd = -1;
    struct health h;

    (void)state;
    (void)snprintf(name, sizeof(name), "muster-test-%ld", (long)getpid());
    (void)snprintf(env, sizeof(env), "@%s", name);
    fd = listen_at_abstract(name);
    (void)setenv("NOTIFY_SOCKET", env, 1);
    (void)setenv("WATCHDOG_USEC", "3000000", 1);
    health_init(&h);
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
    health_notify(&h, "READY=%d", 1);
    assert_string_equal(heard(fd), "READY=1");

    /* Due after a third of the interval, only if the loop turned and the database answered. */
    usec_t now = 100 * USEC_PER_SEC;
    health_feed(&h, now, 1, now);
    assert_string_equal(heard(fd), "WATCHDOG=1");
    health_feed(&h, now + 999999, 2, now);
    assert_string_equal(heard(fd), "");
    health_feed(&h, now + 1000000, 1, now); /* no turn since */
    assert_string_equal(heard(fd), "");
    health_feed(&h, now + 4000000, 2, now); /* the database is silent for longer than the interval */
    assert_string_equal(heard(fd), "");
    health_feed(&h, now + 4000000, 2, now + 1000000);
    assert_string_equal(heard(fd), "WATCHDOG=1");
    health_done(&h);
}

static void a_watchdog_of_another_process_is_not_ours(void **state)
{
    char name[64], env[80];
    AUTO_FD int fd = -1;
    struct health h;

    (void)state;
    (void)snprintf(name, sizeof(name), "muster-test2-%ld", (long)getpid());
    (void)snprintf(env, sizeof(env), "@%s", name);
    fd = listen_at_abstract(name);
    (void)setenv("NOTIFY_SOCKET", env, 1);
    (void)setenv("WATCHDOG_USEC", "3000000", 1);
    (void)setenv("WATCHDOG_PID", "1", 1);
    health_init(&h);
    assert_int_equal(h.watchdog, 0);
    assert_null(getenv("WATCHDOG_PID"));
    health_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_asked_means_nothing_is_said),
        cmocka_unit_test(words_arrive_and_children_do_not_inherit_the_socket),
        cmocka_unit_test(a_watchdog_of_another_process_is_not_ours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
