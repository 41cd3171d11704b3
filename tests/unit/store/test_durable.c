/* tests/unit/store/test_durable.c - what a ticket promised is there after SIGKILL at any moment, fifty times.
 *
 * A child commits units of a few tasks and tells every ticket that came back through a pipe; the parent kills
 * it after a random number of tickets, mostly in the middle of a commit, opens the database and looks. */
#include "fixture.h"

#include <signal.h>
#include <sys/wait.h>

enum { ROUNDS = 50, A_UNIT = 5 };

/* Commits what @put puts for unit 1, 2 .. and tells the tickets, until it is killed. */
static void child(struct fixture *f, void (*put)(struct store *s, uint64_t base, uint64_t unit), uint64_t base,
                  int out)
{
    const struct store_conf conf = { .path = f->path, .wake = fixture__wake, .wake_ctx = f };
    struct err err;
    if (store_open(&conf, &f->s, &err) < 0)
        _exit(1);
    for (uint64_t told = 0;;) {
        put(f->s, base, store_newest(f->s) + 1);
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

/* The last ticket that a child told before it was killed. */
static uint64_t kill_one(struct fixture *f, void (*put)(struct store *s, uint64_t base, uint64_t unit),
                         uint64_t base)
{
    int p[2];
    assert_int_equal(pipe(p), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(p[0]);
        child(f, put, base, p[1]);
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
    return ticket;
}

/* -- rows in tables */

/* Unit @unit of a round starting after @base writes tasks base + unit * A_UNIT ... */
static void put_tasks(struct store *s, uint64_t base, uint64_t unit)
{
    for (uint64_t i = 0; i < A_UNIT; i++)
        store_put_task(s, &(struct task_row){ .id = base + unit * A_UNIT + i,
                                              .job_id = unit % 3 + 1,
                                              .host_name = STR("h") });
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
        uint64_t ticket = kill_one(f, put_tasks, base);
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

/* -- objects and trails, of one unit together */

struct beat {
    uint64_t n;
    struct str pad;
};
static const struct field beat_fields[] = { F_U64(struct beat, n, "n"), F_STR(struct beat, pad, "pad", 400) };
static const struct record beat_record = RECORD(beat, beat_fields);

static void put_beat(struct store *s, uint64_t base, uint64_t unit)
{
    char pad[400];
    memset(pad, 'p', sizeof(pad));
    const struct beat b = { base + unit, str_bytes(pad, sizeof(pad)) };
    store_put_object_often(s, OBJECT_ASSET_STATE, 1, 0, &beat_record, &b);
    store_put_object_often(s, OBJECT_ASSET_STATE, 2 + unit % 50, 0, &beat_record, &b);
    store_put_object(s, OBJECT_ASSET_STATE, 100, 0, &beat_record, &b); /* past the journal */
    store_put_object(s, OBJECT_ASSET, 1, 0, &beat_record, &b);
    store_put_trail(s, &(struct trail_row){ .id = 1 + base + unit, .kind = TRAIL_ASSET, .parent = 1 }, &beat_record,
                    &b);
}

static void on_beat(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    uint64_t n = ((const struct beat *)obj)->n;
    (void)parent;
    if (id == 1)
        *(uint64_t *)ctx = n;
    if (id == 100) /* the journal's and the table's are of one moment */
        assert_int_equal(n, *(uint64_t *)ctx);
}

static void on_count(void *ctx, uint64_t n)
{
    ((struct found *)ctx)->n = n;
}

static void objects_and_trails_of_a_reported_ticket_are_there_after_a_kill(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    uint64_t base = 0;
    srandom(12);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t ticket = kill_one(f, put_beat, base), asset = 0, beat = 0;
        struct found g = { .f = f };
        fixture_open(f);
        assert_int_equal(store_load_objects(f->s, OBJECT_ASSET, &beat_record, on_beat, &asset, NULL), 0);
        assert_int_equal(store_load_objects(f->s, OBJECT_ASSET_STATE, &beat_record, on_beat, &beat, NULL), 0);
        fixture_begin(f);
        store_read_trail_count(f->s, TRAIL_ASSET, 1, on_count, on_done, &g);
        assert_int_equal(fixture_finish(f), 0);
        assert_true(asset >= base + ticket);
        assert_int_equal(beat, asset);
        assert_int_equal(g.n, asset);
        base = asset;
        fixture_close(f);
    }
    assert_int_equal(store_check(f->path, NULL), 0);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reported_ticket_is_there_after_a_kill),
        cmocka_unit_test(objects_and_trails_of_a_reported_ticket_are_there_after_a_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
