/* tests/unit/control/test_random.c - agents that keep their word against a server that restarts, links that
 * break at any moment: nothing runs twice, and what ran ends as it ran. The seed is printed; MUSTER_TEST_SEED
 * repeats a run. */
#include "fixture.h"

#include "base/buf.h"

enum { HOSTS = 3, TASKS_MAX = 4000, STEPS = 3000 };

/* What an agent has on its disk of a task. */
struct held {
    bool is_there, is_finished, was_cancelled;
    int n_runs, exit_code;
    uint64_t out_total, out_sent;
};
struct agent {
    struct sim *sim;
    bool is_connected, is_welcomed;
    struct held held[TASKS_MAX];
};
struct world {
    struct fixture *f;
    struct agent agents[HOSTS];
    uint64_t seed, n_jobs;
    size_t read_to; /* of f->sent */
};

static uint64_t roll(struct world *w, uint64_t n)
{
    w->seed ^= w->seed << 13;
    w->seed ^= w->seed >> 7;
    w->seed ^= w->seed << 17;
    return (w->seed >> 11) % n;
}

static struct agent *by_link(struct world *w, uint64_t link)
{
    for (int i = 0; i < HOSTS; i++)
        if (w->agents[i].is_connected && w->agents[i].sim->link == link)
            return &w->agents[i];
    return NULL;
}

/* What was sent arrives, in order; on a link that is gone it does not. */
static void deliver(struct world *w, size_t most)
{
    struct fixture *f = w->f;
    for (; w->read_to < f->n_sent && most > 0; most--) {
        const char *line = f->sent[w->read_to++];
        unsigned long long link, task, a, b;
        char word[32] = "";
        if (sscanf(line, "%llu %31s", &link, word) != 2)
            continue;
        struct agent *g = by_link(w, link);
        if (!g)
            continue;
        if (strcmp(word, "welcome") == 0) {
            g->is_welcomed = true;
        } else if (strcmp(word, "offer") == 0 && sscanf(line, "%llu offer %llu", &link, &task) == 2) {
            assert_true(g->is_welcomed && task < TASKS_MAX);
            struct held *h = &g->held[task];
            if (h->is_there)
                continue; /* repeated offers of a known task are ignored */
            h->is_there = true;
            h->n_runs++;
            h->out_total = roll(w, 4) * 3;
            h->exit_code = (int)roll(w, 3);
        } else if (strcmp(word, "cancel") == 0 && sscanf(line, "%llu cancel %llu", &link, &task) == 2) {
            struct held *h = &g->held[task];
            if (h->is_there && !h->is_finished)
                h->was_cancelled = h->is_finished = true;
        } else if (strcmp(word, "task_ack") == 0 && strstr(line, "finished") &&
                   sscanf(line, "%llu task_ack %llu %llu %llu", &link, &task, &a, &b) == 4) {
            g->held[task].is_there = false; /* forgotten, and never to run again */
        } else if (strcmp(word, "goodbye") == 0) {
            g->is_connected = g->is_welcomed = false;
        }
    }
}

static void disconnect(struct world *w, struct agent *g)
{
    if (!g->is_connected)
        return;
    g->is_connected = g->is_welcomed = false;
    if (roll(w, 2)) /* or the server does not notice yet, and the next hello replaces it */
        checkin_gone(w->f->c, link_of(g->sim), "net.closed", "test");
}

static void connect(struct world *w, struct agent *g)
{
    struct task_in_hand hand[16];
    size_t n = 0;
    if (g->is_connected)
        return;
    for (uint64_t id = 1; id < TASKS_MAX && n < ARRAY_SIZE(hand); id++)
        if (g->held[id].is_there)
            hand[n++] = (struct task_in_hand){ id, g->held[id].is_finished, g->held[id].out_total, 0 };
    int r = sim_hello_with(w->f, g->sim, hand, n);
    if (r == -EBUSY)
        return;
    assert_int_equal(r, 0);
    g->is_connected = true;
    settle(w->f);
    deliver(w, SIZE_MAX);
    if (!g->is_welcomed)
        return;
    for (size_t i = 0; i < w->f->welcome.n_tasks; i++) {
        const struct task_resume *t = &w->f->resume[i];
        struct held *h = &g->held[t->task_id];
        if (!t->known || t->done)
            h->is_there = false;
        else
            h->out_sent = t->stdout_offset;
    }
}

/* The agent does something about one of its tasks. */
static void progress(struct world *w, struct agent *g, uint64_t id)
{
    struct held *h = &g->held[id];
    struct link_id link = link_of(g->sim);
    if (!g->is_welcomed || !h->is_there)
        return;
    switch (roll(w, 4)) {
    case 0:
        task_accepted(w->f->c, link, id);
        break;
    case 1:
        task_started(w->f->c, link, id);
        break;
    case 2:
        if (h->out_sent < h->out_total) {
            task_output(w->f->c, link, &(struct output_frame){ id, STREAM_STDOUT, h->out_sent, STR("abc") });
            h->out_sent += 3;
        }
        break;
    case 3:
        if (h->out_sent < h->out_total)
            break;
        h->is_finished = true;
        task_finished(w->f->c, link,
                      &(struct task_end){ .task_id = id,
                                          .exit_code = h->exit_code,
                                          .stdout_bytes = h->out_total,
                                          .outcome = h->was_cancelled ? OUTCOME_CANCELLED : OUTCOME_EXITED });
        break;
    }
}

/* A copy of what is on disk now, to be opened as after a power cut: the open unit and everything parked are
 * gone. */
static void copy_file(const char *from, const char *to)
{
    AUTO(buf_done) struct buf b = BUF(256 << 20);
    if (fd_read_file(from, &b) == 0)
        assert_int_equal(fd_replace_file(to, buf_as_str(&b), 0600, NULL), 0);
}

static void crash(struct world *w)
{
    static const char *const tails[] = { "", "-wal" };
    struct fixture *f = w->f;
    char from[160], to[160];
    struct read_wait rw = { .f = f };
    /* Sealed units are through when nothing moves for a while; what they promised has not left. */
    for (uint64_t last = 0, still = 0; still < 20; still++) {
        usleep(500);
        store_poll(f->s);
        still = store_committed(f->s) == last ? still : 0;
        last = store_committed(f->s);
    }
    for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
        snprintf(from, sizeof(from), "%s%s", f->path, tails[i]);
        snprintf(to, sizeof(to), "%s/crash%s", f->dir, tails[i]);
        copy_file(from, to);
    }
    fixture_close(f);
    for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
        snprintf(to, sizeof(to), "%s%s", f->path, tails[i]);
        snprintf(from, sizeof(from), "%s/crash%s", f->dir, tails[i]);
        (void)unlink(to);
        (void)rename(from, to);
    }
    snprintf(to, sizeof(to), "%s-shm", f->path);
    (void)unlink(to);
    fixture_open(f);
    /* A job that was never acknowledged may be gone, and its number given again. */
    read_jobs(f->c, 0, 10000, read_keep_job, read_finish, &rw);
    read_wait_for(&rw);
    w->n_jobs = rw.n;
}

static void ignore_job(void *ctx, int result, const struct err *err, const struct job_row *job,
                       bool is_repeat)
{
    (void)ctx;
    (void)err;
    (void)job;
    (void)is_repeat;
    assert_true(result == 0 || result == -EINVAL || result == -ENOENT);
}

static void step(struct world *w)
{
    struct fixture *f = w->f;
    struct agent *g = &w->agents[roll(w, HOSTS)];
    struct str argv[] = { STR("true") };
    const struct job_wish wish = { .all = true, .argv = { argv, 1 }, .max_parallel = (uint32_t)roll(w, 3) };
    uint64_t dice = roll(w, 100);
    if (dice < 4 && w->n_jobs * HOSTS < TASKS_MAX - 200 && f->n_sent < SENT_MAX - 10000) {
        struct fleet_counts k;
        fleet_count(f->c, &k);
        if (k.open_jobs < 5) {
            job_create(f->c, &f->admin, &wish, ignore_job, NULL);
            w->n_jobs++;
        }
    } else if (dice < 5 && w->n_jobs) {
        job_cancel(f->c, &f->admin, 1 + roll(w, w->n_jobs), 0, ignore_job, NULL);
    } else if (dice < 10) {
        disconnect(w, g);
    } else if (dice < 20) {
        connect(w, g);
    } else if (dice < 21) {
        deliver(w, roll(w, 3)); /* some of what left is still on the way: lost */
        for (int i = 0; i < HOSTS; i++)
            w->agents[i].is_connected = w->agents[i].is_welcomed = false;
        if (roll(w, 2)) {
            crash(w);
        } else {
            fixture_close(f);
            fixture_open(f);
        }
        w->read_to = f->n_sent;
    } else if (dice < 40) {
        deliver(w, roll(w, 4));
    } else if (dice < 60) {
        turn(f);
    } else {
        for (uint64_t id = 1; id <= w->n_jobs * HOSTS; id++)
            if (g->held[id].is_there)
                progress(w, g, id);
    }
    clock_turn(&f->clock, 200 * USEC_PER_MS);
}

static void check_task(struct world *w, uint64_t id)
{
    struct task_row t = the_task(w->f, id);
    struct agent *g = NULL;
    struct host_view v;
    for (int i = 0; i < HOSTS; i++) {
        host_of(w->f, w->agents[i].sim, &v);
        if (v.id.v == t.host_id)
            g = &w->agents[i];
    }
    assert_non_null(g);
    const struct held *h = &g->held[id];
    assert_int_equal(t.state, TASK_DONE);
    assert_true(h->n_runs <= 1);
    if (t.outcome == OUTCOME_EXITED) {
        assert_int_equal(h->n_runs, 1);
        assert_int_equal(t.exit_code, h->exit_code);
        assert_int_equal(t.stdout_bytes, h->out_total);
    } else {
        assert_true(t.outcome == OUTCOME_CANCELLED); /* nothing was lost or expired here */
        assert_true(h->n_runs == 0 || h->was_cancelled);
    }
}

static void nothing_runs_twice_and_what_ran_ends_as_it_ran(void **state)
{
    struct world *w = xnew0(struct world);
    const char *seed = getenv("MUSTER_TEST_SEED");
    w->f = *state;
    w->seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 2654435761u + (uint64_t)getpid();
    print_message("MUSTER_TEST_SEED=%llu\n", (unsigned long long)w->seed);
    for (int i = 0; i < HOSTS; i++) {
        char name[8];
        snprintf(name, sizeof(name), "h%d", i);
        w->agents[i].sim = sim_ready(w->f, name);
        w->agents[i].is_connected = true;
    }
    deliver(w, SIZE_MAX);
    for (int i = 0; i < STEPS; i++)
        step(w);
    /* Quiet at last: everybody comes back and finishes. */
    for (int round = 0; round < 2000; round++) {
        struct fleet_counts k;
        settle(w->f);
        deliver(w, SIZE_MAX);
        fleet_count(w->f->c, &k);
        if (k.open_jobs == 0)
            break;
        clock_turn(&w->f->clock, 600 * USEC_PER_MS);
        for (int i = 0; i < HOSTS; i++) {
            connect(w, &w->agents[i]);
            for (uint64_t id = 1; id <= w->n_jobs * HOSTS; id++)
                progress(w, &w->agents[i], id);
        }
    }
    settle(w->f);
    print_message("%llu jobs\n", (unsigned long long)w->n_jobs);
    assert_true(w->n_jobs > 10);
    for (uint64_t id = 1; id <= w->n_jobs * HOSTS; id++)
        check_task(w, id);
    for (int i = 0; i < HOSTS; i++)
        sim_free(w->agents[i].sim);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_runs_twice_and_what_ran_ends_as_it_ran, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
