/* Promises of agent/ports.h: scans, allocations, leases. Real sockets in a network namespace of our own (skipped without one), time by
 * hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/ports.h"
#include "base/fd.h"
#include "base/mem.h"
#include "netns.h"

enum { FIRST = 21000, LAST = 21019 };

static struct {
    bool is_alone;
    struct loop *loop;
    struct clock clock;
    struct ports *p;
    struct timer *watchdog;
    struct ports_answer got; /* strings copied below */
    char slug[32], text[128], lease[64];
    int n_answers, n_refused, n_scans, n_leased;
    bool is_late;
    size_t n_leases;
    struct port_lease last_lease;
    char last_owner[200];
    uint16_t last_ports[64];
} T;

static void on_watchdog(void *ctx)
{
    (void)ctx;
    T.is_late = true;
    loop_stop(T.loop);
}

static void on_scanned(void *ctx)
{
    (void)ctx;
    T.n_scans++;
    loop_stop(T.loop);
}

static void on_leased(void *ctx)
{
    (void)ctx;
    T.n_leased++;
}

static void on_answer(void *ctx, const struct ports_answer *a)
{
    (void)ctx;
    T.n_answers++;
    T.n_refused += a->error.slug.len > 0;
    T.got = *a;
    (void)str_copy(a->error.slug, T.slug, sizeof(T.slug));
    (void)str_copy(a->error.text, T.text, sizeof(T.text));
    (void)str_copy(a->lease, T.lease, sizeof(T.lease));
    loop_stop(T.loop);
}

static void run(void)
{
    T.is_late = false;
    timer_start(T.watchdog, 15 * USEC_PER_SEC, 0);
    loop_run(T.loop);
    timer_stop(T.watchdog);
    assert_false(T.is_late);
}

static struct ports_conf usual(void)
{
    return (struct ports_conf){ .loop = T.loop, .root = "", .first = FIRST, .last = LAST, .method = PORT_STRICT, .max_count = 100,
                                .clock = &T.clock, .scanned = on_scanned, .leased = on_leased };
}

static void open_ports(struct ports_conf conf)
{
    ports_free(T.p);
    assert_int_equal(ports_new(&conf, &T.p, NULL), 0);
}

static int set_up(void **state)
{
    bool alone = T.is_alone;

    (void)state;
    memset(&T, 0, sizeof(T));
    T.is_alone = alone;
    T.loop = loop_new();
    T.clock = clock_hand(1000 * USEC_PER_SEC);
    T.watchdog = timer_new(T.loop, on_watchdog, NULL);
    open_ports(usual());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ports_free(T.p);
    timer_free(T.watchdog);
    loop_free(T.loop);
    return 0;
}

static void need_alone(void)
{
    if (!T.is_alone)
        skip();
}

static void ask(struct ports_wish w)
{
    int before = T.n_answers;

    ports_allocate(T.p, &w, on_answer, NULL);
    while (T.n_answers == before)
        run();
}

static void scan(void)
{
    int before = T.n_scans;

    ports_scan_now(T.p);
    while (T.n_scans == before)
        run();
}

static int taken(uint16_t port)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 1) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void note_lease(void *ctx, const struct port_lease *l)
{
    (void)ctx;
    T.n_leases++;
    T.last_lease = *l;
    (void)snprintf(T.last_owner, sizeof(T.last_owner), "%s", l->owner);
    memcpy(T.last_ports, l->ports, l->n * sizeof(l->ports[0]));
}

static size_t n_leases(void)
{
    T.n_leases = 0;
    ports_leases(T.p, note_lease, NULL);
    return T.n_leases;
}

/* -- scans */

static void before_the_first_scan_all_is_zero(void **state)
{
    const struct ports_result *r = ports_result(T.p);

    (void)state;
    assert_int_equal(r->scan.total, 0);
    assert_int_equal(r->scan.at, 0);
    assert_int_equal(r->n_sources, PORT_SOURCES_FIXED);
    assert_string_equal(r->source[5], "unknown");
    assert_null(ports_trouble(T.p));
}

static void used_and_available_make_the_total(void **state)
{
    const struct ports_result *r;
    uint32_t sum = 0;

    (void)state;
    need_alone();
    for (int m = PORT_BIND; m <= PORT_NETLINK; m++) {
        struct ports_conf conf = usual();
        AUTO_FD int a = taken(FIRST + 3);
        AUTO_FD int b = taken(LAST);

        conf.method = (enum port_method)m;
        open_ports(conf);
        scan();
        r = ports_result(T.p);
        assert_int_equal(r->scan.total, 20);
        assert_int_equal(r->scan.available, 18);
        assert_int_equal(r->scan.at, clock_wall(&T.clock));
        sum = 0;
        for (size_t i = 0; i < r->n_sources; i++)
            sum += r->used[i];
        assert_int_equal(sum + r->scan.available, r->scan.total);
        assert_int_equal(r->used[4], 2); /* this program is "other" */
    }
}

static void a_scan_asked_for_while_one_runs_is_that_one(void **state)
{
    (void)state;
    ports_scan_now(T.p);
    ports_scan_now(T.p);
    run();
    assert_int_equal(T.n_scans, 1);
    timer_start(T.watchdog, 50 * USEC_PER_MS, 0); /* no second one comes */
    loop_run(T.loop);
    assert_int_equal(T.n_scans, 1);
}

static void scans_come_again_by_themselves(void **state)
{
    struct ports_conf conf = usual();

    (void)state;
    conf.every = 5 * USEC_PER_MS;
    open_ports(conf);
    while (T.n_scans < 3)
        run();
}

static void a_range_and_a_count_out_of_bounds_are_refused(void **state)
{
    struct ports_conf conf;
    struct ports *p = NULL;
    struct err err = { 0 };

    (void)state;
    conf = usual();
    conf.first = 0;
    assert_int_equal(ports_new(&conf, &p, &err), -EINVAL);
    assert_string_equal(err.slug, "ports.range");
    conf = usual();
    conf.last = FIRST - 1;
    assert_int_equal(ports_new(&conf, &p, &err), -EINVAL);
    conf = usual();
    conf.max_count = 0;
    assert_int_equal(ports_new(&conf, &p, &err), -EINVAL);
    assert_string_equal(err.slug, "ports.count");
    conf.max_count = PORTS_MAX + 1;
    assert_int_equal(ports_new(&conf, &p, &err), -EINVAL);
    conf.max_count = PORTS_MAX;
    assert_int_equal(ports_new(&conf, &p, &err), 0);
    ports_free(p);
}

/* -- allocations */

static void the_first_free_ports_are_given_ascending_and_again(void **state)
{
    (void)state;
    need_alone();
    for (int m = PORT_BIND; m <= PORT_NETLINK; m++) {
        struct ports_conf conf = usual();
        AUTO_FD int a = taken(FIRST);
        AUTO_FD int b = taken(FIRST + 2);

        conf.method = (enum port_method)m;
        open_ports(conf);
        for (int i = 0; i < 2; i++) { /* nothing is kept without ttl */
            ask((struct ports_wish){ .count = 3 });
            assert_string_equal(T.slug, "");
            assert_int_equal(T.got.n, 3);
            assert_int_equal(T.got.ports[0], FIRST + 1);
            assert_int_equal(T.got.ports[1], FIRST + 3);
            assert_int_equal(T.got.ports[2], FIRST + 4);
            assert_string_equal(T.lease, "");
        }
    }
}

static void all_of_the_range_can_be_had_and_not_one_more(void **state)
{
    (void)state;
    need_alone();
    ask((struct ports_wish){ .count = 20 });
    assert_int_equal(T.got.n, 20);
    assert_int_equal(T.got.ports[19], LAST);
    ask((struct ports_wish){ .count = 21 });
    assert_string_equal(T.slug, "ports.too_few");
    assert_non_null(strstr(T.text, "20"));
    assert_non_null(strstr(T.text, "21"));
    assert_int_equal(T.got.n, 0);
}

static void a_count_out_of_bounds_is_refused_and_names_them(void **state)
{
    struct ports_conf conf = usual();

    (void)state;
    conf.max_count = 5;
    open_ports(conf);
    ask((struct ports_wish){ .count = 0 });
    assert_string_equal(T.slug, "ports.count");
    assert_non_null(strstr(T.text, "between 1 and 5"));
    ask((struct ports_wish){ .count = 6 });
    assert_string_equal(T.slug, "ports.count");
    ask((struct ports_wish){ .count = 1, .hold = true });
    assert_string_equal(T.slug, "ports.failed");
    ask((struct ports_wish){ .count = 1, .ttl_seconds = 24 * 3600 + 1 });
    assert_string_equal(T.slug, "ports.failed");
    ask((struct ports_wish){ .count = 5, .ttl_seconds = 24 * 3600 });
    assert_string_equal(T.slug, "");
}

static void too_many_questions_at_once_are_refused(void **state)
{
    int n = 66; /* one under way, 64 that wait, and one more */

    (void)state;
    for (int i = 0; i < n; i++)
        ports_allocate(T.p, &(struct ports_wish){ .count = 1 }, on_answer, NULL);
    while (T.n_answers < n)
        run();
    assert_int_equal(T.n_refused, 1);
}

static void who_waits_when_it_ends_is_refused(void **state)
{
    (void)state;
    ports_allocate(T.p, &(struct ports_wish){ .count = 1 }, on_answer, NULL); /* under way */
    ports_allocate(T.p, &(struct ports_wish){ .count = 1 }, on_answer, NULL); /* waits */
    ports_allocate(T.p, &(struct ports_wish){ .count = 0 }, on_answer, NULL); /* refused already */
    ports_free(TAKE(T.p));
    assert_int_equal(T.n_answers, 3);
    assert_string_equal(T.slug, "ports.failed");
}

static void free_in_the_answer(void *ctx, const struct ports_answer *a)
{
    (void)a;
    ports_free(TAKE(T.p));
    on_answer(ctx, a);
}

static void it_may_be_freed_in_an_answer(void **state)
{
    (void)state;
    ports_allocate(T.p, &(struct ports_wish){ .count = 1 }, free_in_the_answer, NULL);
    run();
    assert_null(T.p);
    assert_int_equal(T.n_answers, 1);
}

/* -- leases */

static void leased_ports_are_not_given_again_until_they_are_given_back(void **state)
{
    char first[64];

    (void)state;
    need_alone();
    ask((struct ports_wish){ .count = 2, .ttl_seconds = 60, .owner = STR("one") });
    assert_int_equal(T.got.ports[0], FIRST);
    assert_int_equal(strlen(T.lease), 36);
    assert_int_equal(T.got.expires_at, clock_wall(&T.clock) + 60 * USEC_PER_SEC);
    (void)snprintf(first, sizeof(first), "%s", T.lease);
    ask((struct ports_wish){ .count = 2, .ttl_seconds = 60, .owner = STR("two") });
    assert_int_equal(T.got.ports[0], FIRST + 2);
    ask((struct ports_wish){ .count = 1 }); /* those without a lease get none of them either */
    assert_int_equal(T.got.ports[0], FIRST + 4);
    assert_int_equal(n_leases(), 2);
    assert_string_equal(T.last_owner, "two");
    assert_int_equal(T.last_lease.n, 2);
    assert_int_equal(T.last_ports[1], FIRST + 3);
    assert_int_equal(ports_result(T.p)->scan.reserved, 4);
    assert_int_equal(T.n_leased, 2); /* told of each change, and of nothing else */
    assert_int_equal(ports_release(T.p, str_of(first), NULL), 0);
    assert_int_equal(T.n_leased, 3);
    assert_int_equal(ports_release(T.p, str_of(first), NULL), -ENOENT);
    assert_int_equal(ports_release(T.p, STR(""), NULL), -ENOENT);
    assert_int_equal(n_leases(), 1);
    assert_int_equal(ports_result(T.p)->scan.reserved, 2);
    ask((struct ports_wish){ .count = 1 });
    assert_int_equal(T.got.ports[0], FIRST);
}

static void a_lease_ends_with_its_time(void **state)
{
    (void)state;
    need_alone();
    ask((struct ports_wish){ .count = 1, .ttl_seconds = 10 });
    clock_turn(&T.clock, 10 * USEC_PER_SEC - 1);
    assert_int_equal(n_leases(), 1);
    ask((struct ports_wish){ .count = 1 });
    assert_int_equal(T.got.ports[0], FIRST + 1);
    clock_turn(&T.clock, 1);
    assert_int_equal(n_leases(), 0);
    ask((struct ports_wish){ .count = 1 });
    assert_int_equal(T.got.ports[0], FIRST);
}

static void a_leased_port_somebody_binds_is_no_longer_leased(void **state)
{
    (void)state;
    need_alone();
    ask((struct ports_wish){ .count = 2, .ttl_seconds = 60 });
    {
        AUTO_FD int fd = taken(FIRST);

        scan();
        assert_int_equal(n_leases(), 1);
        assert_int_equal(T.last_lease.n, 1);
        assert_int_equal(T.last_ports[0], FIRST + 1);
        assert_int_equal(ports_result(T.p)->scan.reserved, 1);
    }
    {
        AUTO_FD int fd = taken(FIRST + 1);

        ask((struct ports_wish){ .count = 1 }); /* where no scans run, allocations look */
        assert_int_equal(n_leases(), 0);
        assert_int_equal(T.got.ports[0], FIRST); /* whoever had it let go */
    }
}

static void held_ports_cannot_be_bound_until_the_lease_ends(void **state)
{
    int fd;

    (void)state;
    need_alone();
    ask((struct ports_wish){ .count = 2, .ttl_seconds = 60, .hold = true });
    assert_string_equal(T.slug, "");
    assert_int_equal(taken(FIRST), -1);
    assert_int_equal(taken(FIRST + 1), -1);
    scan();
    assert_int_equal(n_leases(), 1); /* not taken for somebody's */
    assert_true(T.last_lease.is_held);
    assert_int_equal(T.last_lease.n, 2);
    assert_int_equal(ports_release(T.p, str_of(T.lease), NULL), 0);
    fd = taken(FIRST);
    assert_true(fd >= 0);
    close(fd);
}

static void held_ports_are_let_go_when_the_question_fails_or_all_ends(void **state)
{
    int fd;

    (void)state;
    need_alone();
    ask((struct ports_wish){ .count = 21, .ttl_seconds = 60, .hold = true });
    assert_string_equal(T.slug, "ports.too_few");
    fd = taken(FIRST);
    assert_true(fd >= 0);
    close(fd);
    ask((struct ports_wish){ .count = 2, .ttl_seconds = 60, .hold = true });
    ports_free(TAKE(T.p));
    fd = taken(FIRST);
    assert_true(fd >= 0);
    close(fd);
}

/* Opens anew as a process that was killed would: what was in memory is gone. */
static void again(struct ports_conf conf)
{
    ports_free(TAKE(T.p));
    open_ports(conf);
}

static void leases_with_a_file_survive_the_agent(void **state)
{
    char dir[] = "/tmp/muster-ports-XXXXXX", file[64], first[64], held[64];
    struct ports_conf conf = usual(), moved;
    usec_t end;

    (void)state;
    need_alone();
    assert_non_null(mkdtemp(dir));
    (void)snprintf(file, sizeof(file), "%s/leases.json", dir);
    conf.lease_file = file;
    open_ports(conf);
    ask((struct ports_wish){ .count = 2, .ttl_seconds = 60, .owner = STR("o\"ne\n") });
    (void)snprintf(first, sizeof(first), "%s", T.lease);
    end = T.got.expires_at;
    ask((struct ports_wish){ .count = 1, .ttl_seconds = 10 });
    ask((struct ports_wish){ .count = 2, .ttl_seconds = 600, .hold = true });
    (void)snprintf(held, sizeof(held), "%s", T.lease);
    again(conf);
    assert_int_equal(n_leases(), 3);
    assert_int_equal(ports_result(T.p)->scan.reserved, 5);
    assert_true(T.last_lease.is_held && taken(FIRST + 3) == -1); /* bound anew */
    ask((struct ports_wish){ .count = 1 });
    assert_int_equal(T.got.ports[0], FIRST + 5);
    /* what ran out while nobody was there is dropped, the rest ends when it was promised to */
    ports_free(TAKE(T.p));
    clock_turn(&T.clock, 10 * USEC_PER_SEC);
    open_ports(conf);
    assert_int_equal(n_leases(), 2);
    clock_turn(&T.clock, end - clock_wall(&T.clock) - 1);
    assert_int_equal(n_leases(), 2);
    clock_turn(&T.clock, 1);
    assert_int_equal(n_leases(), 1);
    assert_int_equal(ports_release(T.p, str_of(first), NULL), -ENOENT);
    /* given back is given back; another range has no use for ports outside it */
    assert_int_equal(ports_release(T.p, str_of(held), NULL), 0);
    again(conf);
    assert_int_equal(n_leases(), 0);
    ask((struct ports_wish){ .count = 6, .ttl_seconds = 60, .owner = STR("x") });
    moved = conf;
    moved.first = FIRST + 4;
    again(moved);
    assert_int_equal(n_leases(), 1);
    assert_int_equal(T.last_lease.n, 2);
    assert_int_equal(T.last_ports[0], FIRST + 4);
    assert_string_equal(T.last_owner, "x");
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void a_lease_that_cannot_be_written_is_none(void **state)
{
    struct ports_conf conf = usual();
    int fd;

    (void)state;
    need_alone();
    conf.lease_file = "/proc/nowhere/leases.json";
    open_ports(conf);
    ask((struct ports_wish){ .count = 2, .ttl_seconds = 60, .hold = true });
    assert_string_equal(T.slug, "ports.failed");
    assert_int_equal(n_leases(), 0);
    assert_int_equal(ports_result(T.p)->scan.reserved, 0);
    fd = taken(FIRST);
    assert_true(fd >= 0);
    close(fd);
    ask((struct ports_wish){ .count = 2 });
    assert_string_equal(T.slug, "");
}

/* Found: it was given back all the same, and a restart brought it back. */
static void what_cannot_be_given_back_on_disk_is_kept(void **state)
{
    char dir[] = "/tmp/muster-ports-XXXXXX", file[64], blocked[72];
    struct ports_conf conf = usual();
    struct err err = { 0 };

    (void)state;
    need_alone();
    assert_non_null(mkdtemp(dir));
    (void)snprintf(file, sizeof(file), "%s/leases.json", dir);
    (void)snprintf(blocked, sizeof(blocked), "%s.tmp~", file);
    conf.lease_file = file;
    open_ports(conf);
    ask((struct ports_wish){ .count = 2, .ttl_seconds = 60, .hold = true });
    assert_int_equal(mkdir(blocked, 0700), 0);
    assert_true(ports_release(T.p, str_of(T.lease), &err) < 0);
    assert_string_equal(err.slug, "file.write");
    assert_true(n_leases() == 1 && taken(FIRST) == -1);
    assert_int_equal(ports_result(T.p)->scan.reserved, 2);
    again(conf);
    assert_int_equal(n_leases(), 1);
    assert_int_equal(rmdir(blocked), 0);
    assert_int_equal(ports_release(T.p, str_of(T.lease), &err), 0);
    again(conf);
    assert_int_equal(n_leases(), 0);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void a_file_of_leases_that_makes_no_sense_is_none(void **state)
{
    static const char *const texts[] = {
        "", "{", "[]", "{\"leases\":7}", "{\"leases\":[7,{},{\"id\":1}]}",
        "{\"leases\":[{\"id\":\"0190b3c4-0000-7000-8000-000000000000\",\"ports\":[0,-1,99999,\"21000\",1e9],"
        "\"expires_at\":\"2100-01-01T00:00:00Z\"}]}",
        "{\"leases\":[{\"id\":\"short\",\"ports\":[21000],\"expires_at\":\"2100-01-01T00:00:00Z\"}]}",
        "{\"leases\":[{\"id\":\"0190b3c4-0000-7000-8000-000000000000\",\"ports\":[21000],\"expires_at\":\"soon\"}]}",
    };
    char dir[] = "/tmp/muster-ports-XXXXXX", file[64];
    struct ports_conf conf = usual();

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(file, sizeof(file), "%s/leases.json", dir);
    conf.lease_file = file;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        assert_int_equal(fd_replace_file(file, str_of(texts[i]), 0600, NULL), 0);
        again(conf);
        assert_int_equal(n_leases(), 0);
    }
    /* a clock that was set back makes no lease longer than one may be */
    assert_int_equal(fd_replace_file(file,
                                     STR("{\"leases\":[{\"id\":\"0190b3c4-0000-7000-8000-000000000000\",\"ports\":[21000,21000],"
                                         "\"expires_at\":\"2100-01-01T00:00:00Z\"}]}"), 0600, NULL), 0);
    again(conf);
    assert_int_equal(n_leases(), 1);
    assert_int_equal(T.last_lease.n, 1);
    assert_int_equal(T.last_lease.expires_at, clock_wall(&T.clock) + USEC_PER_DAY);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void so_many_leases_and_no_more(void **state)
{
    (void)state;
    need_alone();
    {
        struct ports_conf conf = usual();

        conf.first = 22000;
        conf.last = 23000;
        open_ports(conf);
    }
    for (int i = 0; i < 256; i++) {
        ask((struct ports_wish){ .count = 1, .ttl_seconds = 60 });
        assert_string_equal(T.slug, "");
        assert_int_equal(T.got.ports[0], 22000 + i);
    }
    ask((struct ports_wish){ .count = 1, .ttl_seconds = 60 });
    assert_string_equal(T.slug, "ports.failed");
    ask((struct ports_wish){ .count = 1 });
    assert_string_equal(T.slug, "");
}

#define T_(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T_(before_the_first_scan_all_is_zero),
        T_(used_and_available_make_the_total),
        T_(a_scan_asked_for_while_one_runs_is_that_one),
        T_(scans_come_again_by_themselves),
        T_(a_range_and_a_count_out_of_bounds_are_refused),
        T_(the_first_free_ports_are_given_ascending_and_again),
        T_(all_of_the_range_can_be_had_and_not_one_more),
        T_(a_count_out_of_bounds_is_refused_and_names_them),
        T_(too_many_questions_at_once_are_refused),
        T_(who_waits_when_it_ends_is_refused),
        T_(it_may_be_freed_in_an_answer),
        T_(leased_ports_are_not_given_again_until_they_are_given_back),
        T_(a_lease_ends_with_its_time),
        T_(a_leased_port_somebody_binds_is_no_longer_leased),
        T_(held_ports_cannot_be_bound_until_the_lease_ends),
        T_(held_ports_are_let_go_when_the_question_fails_or_all_ends),
        T_(leases_with_a_file_survive_the_agent),
        T_(a_lease_that_cannot_be_written_is_none),
        T_(what_cannot_be_given_back_on_disk_is_kept),
        T_(a_file_of_leases_that_makes_no_sense_is_none),
        T_(so_many_leases_and_no_more),
    };

    T.is_alone = go_alone();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
