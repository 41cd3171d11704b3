/* tests/unit/store/test_durable.c - what a ticket promised is there after SIGKILL at any moment, fifty times.
 *
 * A child commits units of a few tasks and tells every ticket that came back through a pipe; the parent kills
 * it after a random number of tickets, mostly in the middle of a commit, opens the database and looks. */
#include "fixture.h"

#include <signal.h>
#include <sys/wait.h>

enum { ROUNDS = 50, A_UNIT = 5 };

/* Unit @ticket of a round starting after @base writes tasks base + ticket * A_UNIT ... */
static void child(struct fixture *f, uint64_t base, int out)
{
    const struct store_conf conf = { .path = f->path, .wake = fixture__wake, .wake_ctx = f };
    struct err err;
    if (store_open(&conf, &f->s, &err) < 0)
        _exit(1);
    for (uint64_t told = 0;;) {
        uint64_t unit = store_newest(f->s) + 1;
        for (uint64_t i = 0; i < A_UNIT; i++)
            store_put_task(f->s, &(struct task_row){ .id = base + unit * A_UNIT + i,
                                                     .job_id = unit % 3 + 1,
                                                     .host_name = STR("h") });
        store_seal(f->s);
        sem_wait(&f->woken);
        store_poll(f->s);
        if (store_committed(f->s) > told) {
            told = store_committed(f->s);
            if (write(out, &told, sizeof(told)) != sizeof(told))
                _exit(1);
        }
    }
}

struct found {
    struct fixture *f;
    uint64_t n, max;
};

static void on_task(void *ctx, const struct task_row *t)
{
    struct found *g = ctx;
    g->n++;
    if (t->id > g->max)
        g->max = t->id;
}

static void on_done(void *ctx, int result)
{
    fixture_done(((struct found *)ctx)->f, result);
}

static struct found look(struct fixture *f)
{
    struct found g = { .f = f };
    for (uint64_t job = 1; job <= 3; job++) {
        fixture_begin(f);
        store_read_tasks(f->s, job, 0, 10000000, on_task, on_done, &g);
        assert_int_equal(fixture_finish(f), 0);
    }
    return g;
}

static void every_reported_ticket_is_there_after_a_kill(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    uint64_t base = 0, rows = 0;
    srandom(11);
    for (int round = 0; round < ROUNDS; round++) {
        int p[2];
        assert_int_equal(pipe(p), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(p[0]);
            child(f, base, p[1]);
        }
        close(p[1]);
        uint64_t ticket = 0;
        for (long want = 1 + random() % 40; want > 0; want--)
            assert_int_equal(read(p[0], &ticket, sizeof(ticket)), sizeof(ticket));
        assert_int_equal(kill(pid, SIGKILL), 0);
        while (read(p[0], &ticket, sizeof(ticket)) == sizeof(ticket)) /* told before it died */
            ;
        close(p[0]);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        fixture_open(f);
        struct found g = look(f);
        assert_true(g.n >= rows + ticket * A_UNIT); /* all that was promised */
        assert_int_equal(g.n % A_UNIT, 0);          /* units are whole */
        if (g.n)
            assert_int_equal(g.max, base + (g.n - rows) / A_UNIT * A_UNIT + A_UNIT -
                                        1); /* and in order, without gaps */
        rows = g.n;
        base = g.max;
        fixture_close(f);
    }
    assert_true(rows >= ROUNDS * A_UNIT);
    struct err err;
    assert_int_equal(store_check(f->path, &err), 0);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_reported_ticket_is_there_after_a_kill) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
