/* Promises of net/loop.h and net/mailbox.h. */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include "lib.h"
#include "net/mailbox.h"

static void count(void *ctx)
{
    ++*(int *)ctx;
}

static char trace[64];

static void trace_a(void *ctx)
{
    (void)ctx;
    strncat(trace, "a", sizeof(trace) - strlen(trace) - 1);
}

static void trace_b(void *ctx)
{
    (void)ctx;
    strncat(trace, "b", sizeof(trace) - strlen(trace) - 1);
}

static void hooks_run_once_a_turn_in_order(void **state)
{
    AUTO(loop_free) struct loop *l = loop_new();

    (void)state;
    trace[0] = '\0';
    loop_on_turn_end(l, trace_a, NULL);
    loop_on_turn_end(l, trace_b, NULL);
    loop_poll(l);
    assert_true(strlen(trace) >= 2 && strncmp(trace, "abab", strlen(trace)) == 0);
}

static void soon_runs_once_in_the_next_turn(void **state)
{
    AUTO(loop_free) struct loop *l = loop_new();
    int n = 0;

    (void)state;
    loop_soon(l, count, &n);
    assert_int_equal(n, 0);
    loop_poll(l);
    assert_int_equal(n, 1);
    loop_poll(l);
    assert_int_equal(n, 1);
}

static struct timer *self;

static void free_self(void *ctx)
{
    timer_free(self);
    self = NULL;
    ++*(int *)ctx;
}

static void a_timer_runs_after_its_time_and_may_free_itself(void **state)
{
    AUTO(loop_free) struct loop *l = loop_new();
    int n = 0;

    (void)state;
    self = timer_new(l, free_self, &n);
    assert_false(timer_is_running(self));
    timer_start(self, USEC_PER_MS, 0);
    assert_true(timer_is_running(self));
    TURN_UNTIL(l, n == 1);
    assert_null(self);
}

static void a_stopped_timer_stays_quiet(void **state)
{
    AUTO(loop_free) struct loop *l = loop_new();
    AUTO(timer_free) struct timer *t = NULL;
    int n = 0;

    (void)state;
    t = timer_new(l, count, &n);
    timer_start(t, 0, 0);
    timer_stop(t);
    TURN_SOME(l);
    assert_int_equal(n, 0);
}

static void stop_me(void *ctx)
{
    loop_stop(ctx);
}

static void run_goes_on_until_stop(void **state)
{
    AUTO(loop_free) struct loop *l = loop_new();

    (void)state;
    loop_soon(l, stop_me, l);
    loop_run(l);
}

static void *stop_from_thread(void *l)
{
    loop_stop_async(l);
    return NULL;
}

static void another_thread_can_stop_it(void **state)
{
    AUTO(loop_free) struct loop *l = loop_new();
    pthread_t t;

    (void)state;
    assert_int_equal(pthread_create(&t, NULL, stop_from_thread, l), 0);
    loop_run(l);
    pthread_join(t, NULL);
}

static void a_signal_inherited_as_ignored_or_blocked_is_heard(void **state)
{
    AUTO(loop_free) struct loop *l = loop_new();
    sigset_t set;
    int n = 0;

    (void)state;
    signal(SIGUSR2, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    loop_on_signal(l, SIGUSR2, count, &n);
    kill(getpid(), SIGUSR2);
    TURN_UNTIL(l, n == 1);
}

static int watched_events;

static void on_watch(void *ctx, int events)
{
    (void)ctx;
    watched_events |= events;
}

static void a_watch_tells_and_can_be_paused(void **state)
{
    AUTO(loop_free) struct loop *l = loop_new();
    AUTO(watch_free) struct watch *w = NULL;
    int p[2];

    (void)state;
    assert_int_equal(pipe(p), 0);
    w = watch_new(l, p[0], on_watch, NULL);
    assert_int_equal(write(p[1], "x", 1), 1);
    watch_set(w, 0);
    TURN_SOME(l);
    assert_int_equal(watched_events, 0);
    watch_set(w, LOOP_READABLE);
    TURN_UNTIL(l, watched_events == LOOP_READABLE);
    watch_set(w, 0);
    close(p[0]);
    close(p[1]);
}

static int n_worked, n_done;

static void work(void *ctx)
{
    (void)ctx;
    __atomic_add_fetch(&n_worked, 1, __ATOMIC_SEQ_CST);
}

static void slow_work_ends_on_the_loop(void **state)
{
    AUTO(loop_free) struct loop *l = loop_new();

    (void)state;
    loop_work(l, work, count, &n_done);
    TURN_UNTIL(l, n_done == 1);
    assert_int_equal(n_worked, 1);
}

/* -- the wheel */
struct due {
    struct wheel_entry e;
    int n;
};

static void on_due(struct wheel_entry *e)
{
    ((struct due *)e)->n++;
}

static void a_deadline_is_never_early_and_one_tick_late_at_most(void **state)
{
    AUTO(loop_free) struct loop *l = loop_new();
    static const usec_t times[] = { 1, 250000, 250001, 10 * USEC_PER_SEC, 63 * USEC_PER_SEC, 64 * USEC_PER_SEC,
                                    65 * USEC_PER_SEC, 1000 * USEC_PER_SEC };
    struct due d[ARRAY_SIZE(times)] = { 0 };
    usec_t start = loop_now(l);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        d[i].e.fire = on_due;
        wheel_set(l, &d[i].e, start + times[i]);
    }
    for (usec_t t = 0; t < 1002 * USEC_PER_SEC; t += 100 * USEC_PER_MS) {
        loop__turn_clock(l, 100 * USEC_PER_MS);
        usec_t now = loop_now(l);

        for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
            if (now < start + times[i])
                assert_int_equal(d[i].n, 0);
            if (now >= start + times[i] + 350 * USEC_PER_MS)
                assert_int_equal(d[i].n, 1);
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(times); i++)
        assert_int_equal(d[i].n, 1);
}

static void a_deadline_can_move_both_ways_and_be_taken_back(void **state)
{
    AUTO(loop_free) struct loop *l = loop_new();
    struct due later = { .e.fire = on_due }, sooner = { .e.fire = on_due }, gone = { .e.fire = on_due };
    usec_t now = loop_now(l);

    (void)state;
    wheel_set(l, &later.e, now + USEC_PER_SEC);
    wheel_set(l, &later.e, now + 20 * USEC_PER_SEC);
    wheel_set(l, &sooner.e, now + 20 * USEC_PER_SEC);
    wheel_set(l, &sooner.e, now + USEC_PER_SEC);
    wheel_set(l, &gone.e, now + USEC_PER_SEC);
    wheel_del(l, &gone.e);
    loop__turn_clock(l, 2 * USEC_PER_SEC);
    assert_int_equal(later.n, 0);
    assert_int_equal(sooner.n, 1);
    loop__turn_clock(l, 19 * USEC_PER_SEC);
    assert_int_equal(later.n, 1);
    assert_int_equal(gone.n, 0);
}

static void a_deadline_works_without_anybody_turning_the_clock(void **state)
{
    AUTO(loop_free) struct loop *l = loop_new();
    struct due d = { .e.fire = on_due };

    (void)state;
    wheel_set(l, &d.e, loop_now(l) + 10 * USEC_PER_MS);
    TURN_UNTIL(l, d.n == 1);
}

/* -- mailbox */
enum { PER_THREAD = 5000, THREADS = 4 };
struct letter {
    struct qmsg q;
    int thread, number;
};
static int last[THREADS], n_letters;

static void on_letter(void *ctx, struct qmsg *m)
{
    struct letter *x = (struct letter *)m;

    (void)ctx;
    assert_int_equal(x->number, last[x->thread] + 1);
    last[x->thread] = x->number;
    n_letters++;
    free(x);
}

static struct mailbox *box;

static void *post_many(void *arg)
{
    int thread = (int)(intptr_t)arg;

    for (int i = 1; i <= PER_THREAD; i++) {
        struct letter *x = xnew0(struct letter);

        x->thread = thread;
        x->number = i;
        mailbox_post(box, &x->q);
    }
    return NULL;
}

static void letters_of_all_threads_come_in_order(void **state)
{
    AUTO(loop_free) struct loop *l = loop_new();
    pthread_t t[THREADS];

    (void)state;
    box = mailbox_new(l, on_letter, NULL);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, post_many, (void *)(intptr_t)i), 0);
    TURN_UNTIL(l, n_letters == THREADS * PER_THREAD);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    mailbox_free(box);
}

static void freeing_a_mailbox_delivers_what_is_inside(void **state)
{
    AUTO(loop_free) struct loop *l = loop_new();
    struct letter *x = xnew0(struct letter);

    (void)state;
    memset(last, 0, sizeof(last));
    n_letters = 0;
    box = mailbox_new(l, on_letter, NULL);
    x->number = 1;
    mailbox_post(box, &x->q);
    mailbox_free(box);
    assert_int_equal(n_letters, 1);
}

static void do_nothing(void *ctx)
{
    (void)ctx;
}

static int n_threads(void)
{
    char line[128];
    int n = 0;
    FILE *f = fopen("/proc/self/status", "re");

    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        (void)sscanf(line, "Threads: %d", &n);
    (void)fclose(f);
    return n;
}

static void *wait_for_it(void *it)
{
    assert_int_equal(sem_wait(it), 0);
    return NULL;
}

/* The first of all: the pool is the process's, and starts once. */
static void a_small_pool_is_one_thread_and_no_child_hears_of_it(void **state)
{
    (void)state;
    AUTO(loop_free) struct loop *l = loop_new();
    int before, n = 0;
    pthread_t first;
    sem_t end;

    assert_int_equal(unsetenv("UV_THREADPOOL_SIZE"), 0);
    /* a sanitizer's own thread comes with the first of ours, which stays: how long one that ended is counted is the kernel's */
    assert_int_equal(sem_init(&end, 0, 0), 0);
    assert_int_equal(pthread_create(&first, NULL, wait_for_it, &end), 0);
    before = n_threads();
    loop_small_pool();
    loop_small_pool();
    assert_null(getenv("UV_THREADPOOL_SIZE"));
    for (int i = 0; i < 8; i++)
        loop_work(l, do_nothing, count, &n);
    TURN_UNTIL(l, n == 8);
    assert_int_equal(n_threads(), before + 1);
    assert_int_equal(sem_post(&end), 0);
    assert_int_equal(pthread_join(first, NULL), 0);
    assert_int_equal(sem_destroy(&end), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_pool_is_one_thread_and_no_child_hears_of_it),
        cmocka_unit_test(hooks_run_once_a_turn_in_order),
        cmocka_unit_test(soon_runs_once_in_the_next_turn),
        cmocka_unit_test(a_timer_runs_after_its_time_and_may_free_itself),
        cmocka_unit_test(a_stopped_timer_stays_quiet),
        cmocka_unit_test(run_goes_on_until_stop),
        cmocka_unit_test(another_thread_can_stop_it),
        cmocka_unit_test(a_signal_inherited_as_ignored_or_blocked_is_heard),
        cmocka_unit_test(a_watch_tells_and_can_be_paused),
        cmocka_unit_test(slow_work_ends_on_the_loop),
        cmocka_unit_test(a_deadline_is_never_early_and_one_tick_late_at_most),
        cmocka_unit_test(a_deadline_can_move_both_ways_and_be_taken_back),
        cmocka_unit_test(a_deadline_works_without_anybody_turning_the_clock),
        cmocka_unit_test(letters_of_all_threads_come_in_order),
        cmocka_unit_test(freeing_a_mailbox_delivers_what_is_inside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
