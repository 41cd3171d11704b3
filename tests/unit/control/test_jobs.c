/* tests/unit/control/test_jobs.c - a wish over many hosts: offered once, ended truthfully, whatever restarts
 * in between. */
#include "fixture.h"

static void sent_offer(struct fixture *f, const struct sim *m, uint64_t task)
{
    char line[96];
    snprintf(line, sizeof(line), "%llu offer %llu true", (unsigned long long)m->link,
             (unsigned long long)task);
    assert_sent(f, line);
}
static void sent_finish_ack(struct fixture *f, const struct sim *m, uint64_t task)
{
    char part[96];
    snprintf(part, sizeof(part), "%llu task_ack %llu", (unsigned long long)m->link, (unsigned long long)task);
    for (size_t i = 0; i < f->n_sent; i++)
        if (strstr(f->sent[i], part) && strstr(f->sent[i], "finished"))
            return;
    print_sent(f);
    fail_msg("no finish ack for %llu", (unsigned long long)task);
}

static void a_command_runs_and_its_truth_is_kept(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    struct job_news n = run_on(f, "web", "true");
    assert_int_equal(n.result, 0);
    assert_int_equal(n.state, JOB_RUNNING);
    sent_offer(f, m, 1);
    agent_runs(f, m, 1, "hello\n", 3);
    settle(f);
    sent_finish_ack(f, m, 1);
    struct task_row t = the_task(f, 1);
    assert_int_equal(t.state, TASK_DONE);
    assert_int_equal(t.outcome, OUTCOME_EXITED);
    assert_int_equal(t.exit_code, 3);
    assert_int_equal(t.stdout_bytes, 6);
    struct job_row j = the_job(f, n.id);
    assert_int_equal(j.state, JOB_FAILED);
    assert_int_equal(j.counts.failed, 1);
    assert_true(j.finished_at > 0);
    struct read_wait *w = xnew0(struct read_wait);
    w->f = f;
    read_output(f->c, 1, STREAM_STDOUT, 0, 1 << 20, read_keep_output, read_finish, w);
    read_wait_for(w);
    assert_string_equal(w->text, "hello\n");
    free(w);
    assert_int_equal(n_events(f, "job.created"), 1);
    assert_int_equal(n_events(f, "job.finished"), 1);
    assert_int_equal(n_events(f, "task.finished"), 1);
    assert_int_equal(control_stats(f->c)->commands_failed, 1);
    assert_int_equal(control_stats(f->c)->latency_count, 1);
    struct fleet_counts k;
    fleet_count(f->c, &k);
    assert_int_equal(k.open_jobs, 0);
    sim_free(m);
}

static void an_offline_host_gets_it_when_it_returns(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    checkin_gone(f->c, link_of(m), "net.closed", "test");
    run_on(f, "web", "true");
    assert_int_equal(f->n_offers, 0);
    pass(f, 10 * USEC_PER_MIN);
    assert_int_equal(sim_hello_with(f, m, NULL, 0), 0);
    settle(f);
    sent_offer(f, m, 1);
    assert_int_equal(f->n_offers, 1);
    sim_free(m);
}

static void what_never_left_expires_at_the_deadline_also_over_a_restart(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    checkin_gone(f->c, link_of(m), "net.closed", "test");
    struct job_news n = run_on(f, "web", "true");
    pass(f, USEC_PER_HOUR - 2 * USEC_PER_SEC);
    assert_int_equal(the_task(f, 1).state, TASK_QUEUED);
    restart(f);
    assert_int_equal(the_task(f, 1).state, TASK_QUEUED);
    pass(f, 3 * USEC_PER_SEC);
    struct task_row t = the_task(f, 1);
    assert_int_equal(t.outcome, OUTCOME_EXPIRED);
    assert_int_equal(the_job(f, n.id).state, JOB_FAILED);
    assert_int_equal(sim_hello_with(f, m, NULL, 0), 0);
    settle(f);
    assert_int_equal(f->n_offers, 0);
    sim_free(m);
}

static void cancelling_ends_what_waits_and_asks_what_runs(void **state)
{
    struct fixture *f = *state;
    struct sim *a = sim_ready(f, "a"), *b = sim_ready(f, "b");
    checkin_gone(f->c, link_of(b), "net.closed", "test");
    struct job_news n = run_on(f, NULL, "true"), cancelled = { 0 };
    task_accepted(f->c, link_of(a), 1);
    task_started(f->c, link_of(a), 1);
    settle(f);
    job_cancel(f->c, &f->admin, n.id, 0, on_job, &cancelled);
    assert_false(cancelled.is_told);
    settle(f);
    assert_int_equal(cancelled.result, 0);
    char line[64];
    snprintf(line, sizeof(line), "%llu cancel 1", (unsigned long long)a->link);
    assert_sent(f, line);
    assert_int_equal(the_task(f, 2).outcome, OUTCOME_CANCELLED);
    assert_int_equal(the_task(f, 1).state, TASK_RUNNING);
    const struct task_end e = { .task_id = 1, .outcome = OUTCOME_CANCELLED };
    task_finished(f->c, link_of(a), &e);
    settle(f);
    assert_int_equal(the_job(f, n.id).state, JOB_CANCELLED);
    struct job_news again = { 0 };
    job_cancel(f->c, &f->admin, n.id, 0, on_job, &again);
    assert_string_equal(again.slug, "job.finished");
    again = (struct job_news){ 0 };
    job_cancel(f->c, &f->admin, 77, 0, on_job, &again);
    assert_string_equal(again.slug, "job.unknown");
    sim_free(a);
    sim_free(b);
}

/* The host's clock is fifty years off; what it says of durations holds. */
static void a_command_that_ended_without_a_link_ended_then_and_not_when_we_heard(void **state)
{
    enum { TOOK = 10 * 1000000, AWAY = 600 * 1000000 };
    static const bool is_start_known[] = { true, false };
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    for (size_t i = 0; i < ARRAY_SIZE(is_start_known); i++) {
        const uint64_t id = i + 1;
        (void)run_on(f, "web", "true");
        const usec_t began = clock_wall(&f->clock);
        task_accepted(f->c, link_of(m), id);
        if (is_start_known[i])
            task_started(f->c, link_of(m), id);
        settle(f);
        checkin_gone(f->c, link_of(m), "net.closed", "test");
        pass(f, AWAY);
        const struct task_in_hand hand = { id, true, 0, 0 };
        assert_int_equal(sim_hello_with(f, m, &hand, 1), 0);
        settle(f);
        task_started(f->c, link_of(m), id); /* told again, or at last */
        const struct task_end e = { .task_id = id, .outcome = OUTCOME_EXITED, .started_at = 5000000,
                                    .finished_at = 5000000 + TOOK, .sent_at = 5000000 + AWAY };
        task_finished(f->c, link_of(m), &e);
        settle(f);
        const struct task_row t = the_task(f, id);
        assert_in_range(t.started_at, began, began + 50000);
        assert_in_range(t.finished_at, began + TOOK, began + TOOK + 50000);
    }
    sim_free(m);
}

/* A clock that was set while the command ran: nothing ends before its job, nor in the future. */
static void a_leap_of_the_hosts_clock_is_bounded_by_the_job_and_by_now(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    static const struct task_end ends[] = {
        { .started_at = 1, .finished_at = USEC_PER_DAY, .sent_at = 400 * USEC_PER_DAY },
        { .started_at = USEC_PER_DAY, .finished_at = 2, .sent_at = 1 },
        { .started_at = 1, .finished_at = 0, .sent_at = 400 * USEC_PER_DAY },
    };
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        struct task_end e = ends[i];
        const usec_t created = clock_wall(&f->clock);
        (void)run_on(f, "web", "true");
        e.task_id = i + 1;
        e.outcome = OUTCOME_EXITED;
        task_finished(f->c, link_of(m), &e);
        settle(f);
        const struct task_row t = the_task(f, e.task_id);
        assert_in_range(t.started_at, created, t.finished_at);
        assert_in_range(t.finished_at, t.started_at, clock_wall(&f->clock));
    }
    sim_free(m);
}

/* Its clock is set right, as after a boot, while the command runs: an hour after its job it was offered, and soon started. */
static void a_leap_of_the_hosts_clock_does_not_move_a_start_that_was_seen(void **state)
{
    static const struct {
        usec_t started_at, finished_at, sent_at, lag, took;
    } ends[] = {
        { 5, 400 * USEC_PER_DAY, 400 * USEC_PER_DAY, 0, 0 },
        { 6, 6, 400 * USEC_PER_DAY, 0, 0 },
        { 400 * USEC_PER_DAY, 5, 6, 0, 0 },
        /* No leap, but news that was late, as over a link that lost packets: of the start, of both, of the end. */
        { 5, 5 + 2300000, 5 + 2300000, 300000, 2300000 },
        { 5, 5 + 20 * USEC_PER_SEC, 5 + 20 * USEC_PER_SEC, 18 * USEC_PER_SEC, 20 * USEC_PER_SEC },
        { 5, 5 + USEC_PER_SEC, 5 + USEC_PER_SEC, 0, USEC_PER_SEC },
    };
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        const uint64_t id = i + 1;
        checkin_gone(f->c, link_of(m), "net.closed", "test");
        (void)run_on(f, "web", "true");
        pass(f, USEC_PER_MIN * 50);
        assert_int_equal(sim_hello_with(f, m, NULL, 0), 0);
        settle(f);
        task_accepted(f->c, link_of(m), id);
        pass(f, 30 * USEC_PER_SEC); /* it waits for its turn on the host */
        task_started(f->c, link_of(m), id);
        settle(f);
        const usec_t began = the_task(f, id).started_at;
        pass(f, 2 * USEC_PER_SEC);
        const struct task_end e = { .task_id = id, .outcome = OUTCOME_EXITED, .started_at = ends[i].started_at,
                                    .finished_at = ends[i].finished_at, .sent_at = ends[i].sent_at };
        task_finished(f->c, link_of(m), &e);
        settle(f);
        const struct task_row t = the_task(f, id);
        assert_in_range(began - t.started_at, ends[i].lag ? ends[i].lag - 10000 : 0, ends[i].lag);
        assert_in_range(t.finished_at, t.started_at, clock_wall(&f->clock));
        if (ends[i].took)
            assert_int_equal(t.finished_at - t.started_at, ends[i].took);
    }
    sim_free(m);
}

static void a_cancel_before_the_offer_left_never_sends_it(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    struct str hosts[] = { STR("web") }, argv[] = { STR("true") };
    const struct job_wish w = { .hosts = { hosts, 1 }, .argv = { argv, 1 } };
    struct job_news n = { 0 }, x = { 0 };
    job_create(f->c, &f->admin, &w, on_job, &n);
    job_cancel(f->c, &f->admin, 1, 0, on_job, &x); /* in the same turn */
    settle(f);
    assert_int_equal(f->n_offers, 0);
    assert_int_equal(the_task(f, 1).outcome, OUTCOME_CANCELLED);
    sim_free(m);
}

static void the_same_key_is_the_same_job_open_or_closed(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    struct str hosts[] = { STR("web") }, argv[] = { STR("true") }, other[] = { STR("false") };
    struct job_wish w = { .hosts = { hosts, 1 }, .argv = { argv, 1 }, .idem_key = STR("k1") };
    struct job_news a = create_job(f, &w), b = create_job(f, &w);
    assert_false(a.is_repeat);
    assert_true(b.is_repeat);
    assert_int_equal(a.id, b.id);
    assert_int_equal(f->n_offers, 1);
    struct job_wish different = w;
    different.argv = (struct str_list){ other, 1 };
    assert_string_equal(create_job(f, &different).slug, "job.key_reused");

    agent_runs(f, m, 1, "", 0);
    settle(f);
    b = create_job(f, &w); /* from the store now */
    assert_true(b.is_repeat);
    assert_int_equal(b.id, a.id);
    assert_int_equal(b.state, JOB_SUCCEEDED);
    assert_string_equal(create_job(f, &different).slug, "job.key_reused");
    restart(f);
    b = create_job(f, &w);
    assert_true(b.is_repeat);
    sim_free(m);
}

static void the_same_key_twice_at_once_is_one_job(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    struct str hosts[] = { STR("web") }, argv[] = { STR("true") };
    const struct job_wish w = { .hosts = { hosts, 1 }, .argv = { argv, 1 }, .idem_key = STR("k1") };
    struct job_news n[5] = { 0 };
    for (size_t i = 0; i < 5; i++)
        job_create(f->c, &f->admin, &w, on_job, &n[i]);
    while (!n[4].is_told) {
        settle(f);
        if (!n[4].is_told)
            fixture_wait(f);
    }
    size_t n_new = 0;
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(n[i].result, 0);
        assert_int_equal(n[i].id, n[0].id);
        n_new += !n[i].is_repeat;
    }
    assert_int_equal(n_new, 1);
    settle(f);
    assert_int_equal(f->n_offers, 1);
    sim_free(m);
}

static void a_key_being_looked_up_when_the_server_stops_is_answered_so(void **state)
{
    struct fixture *f = *state;
    struct str argv[] = { STR("true") };
    const struct job_wish w = { .all = true, .argv = { argv, 1 }, .idem_key = STR("k1") };
    struct job_news n = { 0 };
    job_create(f->c, &f->admin, &w, on_job, &n);
    fixture_close(f);
    assert_true(n.is_told);
    assert_string_equal(n.slug, "server.stopping");
    fixture_open(f);
}

static void a_server_restart_in_the_middle_ends_in_the_true_result(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    struct job_news n = run_on(f, "web", "true");
    task_accepted(f->c, link_of(m), 1);
    task_started(f->c, link_of(m), 1);
    task_output(f->c, link_of(m), &(struct output_frame){ 1, STREAM_STDOUT, 0, STR("one ") });
    settle(f);
    restart(f);
    assert_int_equal(the_task(f, 1).state, TASK_RUNNING);
    /* The agent went on meanwhile and comes back with more and the end. */
    const struct task_in_hand hand = { 1, true, 7, 0 };
    assert_int_equal(sim_hello_with(f, m, &hand, 1), 0);
    settle(f);
    assert_int_equal(f->welcome.n_tasks, 1);
    assert_true(f->resume[0].known);
    assert_false(f->resume[0].done);
    assert_int_equal(f->resume[0].stdout_offset, 4);
    assert_int_equal(n_sent_like(f, "offer"), 0);
    task_output(f->c, link_of(m), &(struct output_frame){ 1, STREAM_STDOUT, 4, STR("two") });
    task_finished(f->c, link_of(m),
                  &(struct task_end){ .task_id = 1, .outcome = OUTCOME_EXITED, .stdout_bytes = 7 });
    settle(f);
    assert_int_equal(the_job(f, n.id).state, JOB_SUCCEEDED);
    assert_int_equal(the_task(f, 1).stdout_bytes, 7);
    /* Told again after the ack was lost: the server does not know it any more and says so. */
    assert_int_equal(sim_hello_with(f, m, &hand, 1), 0);
    settle(f);
    assert_false(f->resume[0].known);
    forget_sent(f);
    task_finished(f->c, link_of(m),
                  &(struct task_end){ .task_id = 1, .outcome = OUTCOME_EXITED, .stdout_bytes = 7 });
    settle(f);
    sent_finish_ack(f, m, 1);
    sim_free(m);
}

static void an_offer_that_arrived_before_the_restart_is_not_made_again(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    run_on(f, "web", "true");
    assert_int_equal(f->n_offers, 1);
    restart(f);
    assert_int_equal(the_task(f, 1).state, TASK_OFFERED);
    const struct task_in_hand hand = { 1, false, 0, 0 };
    assert_int_equal(sim_hello_with(f, m, &hand, 1), 0);
    settle(f);
    assert_int_equal(f->n_offers, 1);
    assert_int_equal(the_task(f, 1).state, TASK_ACCEPTED);
    sim_free(m);
}

static void an_offer_that_did_not_arrive_is_made_again(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    run_on(f, "web", "true");
    restart(f);
    assert_int_equal(sim_hello_with(f, m, NULL, 0), 0);
    settle(f);
    assert_int_equal(f->n_offers, 2);
    sent_offer(f, m, 1);
    sim_free(m);
}

static void an_accepted_task_the_agent_lost_is_lost_and_not_run_again(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    run_on(f, "web", "true");
    task_accepted(f->c, link_of(m), 1);
    settle(f);
    restart(f);
    assert_int_equal(sim_hello_with(f, m, NULL, 0), 0);
    settle(f);
    assert_int_equal(the_task(f, 1).outcome, OUTCOME_LOST);
    assert_int_equal(f->n_offers, 1);
    sim_free(m);
}

static void a_link_that_dies_under_the_offer_leaves_the_task_queued(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    f->dead_link = m->link;
    run_on(f, "web", "true");
    assert_int_equal(the_task(f, 1).state, TASK_QUEUED);
    f->dead_link = 0;
    assert_int_equal(sim_hello_with(f, m, NULL, 0), 0);
    settle(f);
    assert_int_equal(f->n_offers, 1);
    sim_free(m);
}

static void max_parallel_is_a_window(void **state)
{
    struct fixture *f = *state;
    struct sim *m[5];
    struct str argv[] = { STR("true") };
    for (int i = 0; i < 5; i++) {
        char name[8];
        snprintf(name, sizeof(name), "h%d", i);
        m[i] = sim_ready(f, name);
    }
    const struct job_wish w = { .all = true, .argv = { argv, 1 }, .max_parallel = 2 };
    struct job_news n = create_job(f, &w);
    assert_int_equal(f->n_offers, 2);
    agent_runs(f, m[0], 1, "", 0);
    settle(f);
    assert_int_equal(f->n_offers, 3);
    for (uint64_t i = 1; i < 5; i++) {
        agent_runs(f, m[i], i + 1, "", i == 4);
        settle(f);
    }
    assert_int_equal(f->n_offers, 5);
    struct job_row j = the_job(f, n.id);
    assert_int_equal(j.state, JOB_PARTIAL);
    assert_int_equal(j.counts.succeeded, 4);
    for (int i = 0; i < 5; i++)
        sim_free(m[i]);
}

static void a_host_has_room_for_so_many_and_takes_the_next_when_one_ends(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    for (int i = 0; i < 25; i++)
        run_on(f, "web", "true");
    assert_int_equal(f->n_offers, 16 + 4);
    agent_runs(f, m, 1, "", 0);
    settle(f);
    assert_int_equal(f->n_offers, 21);
    sim_free(m);
}

static void output_is_taken_in_order_once_and_acknowledged(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    char line[64];
    run_on(f, "web", "true");
    forget_sent(f);
    task_output(f->c, link_of(m), &(struct output_frame){ 1, STREAM_STDOUT, 0, STR("abc") });
    task_output(f->c, link_of(m), &(struct output_frame){ 1, STREAM_STDOUT, 0, STR("abc") }); /* repeat */
    task_output(f->c, link_of(m), &(struct output_frame){ 1, STREAM_STDOUT, 2, STR("cde") }); /* overlaps */
    task_output(f->c, link_of(m), &(struct output_frame){ 1, STREAM_STDOUT, 9, STR("zzz") }); /* gap */
    assert_int_equal(f->n_sent, 0); /* nothing before the commit */
    settle(f);
    snprintf(line, sizeof(line), "%llu task_ack 1 5 0", (unsigned long long)m->link);
    assert_sent(f, line);
    assert_int_equal(f->n_sent, 1);
    /* The end waits for what is missing. */
    task_finished(f->c, link_of(m),
                  &(struct task_end){ .task_id = 1, .outcome = OUTCOME_EXITED, .stdout_bytes = 6 });
    settle(f);
    assert_int_equal(the_task(f, 1).state, TASK_RUNNING);
    task_output(f->c, link_of(m), &(struct output_frame){ 1, STREAM_STDOUT, 5, STR("f") });
    task_finished(f->c, link_of(m),
                  &(struct task_end){ .task_id = 1, .outcome = OUTCOME_EXITED, .stdout_bytes = 6 });
    settle(f);
    assert_int_equal(the_task(f, 1).state, TASK_DONE);
    struct read_wait *w = xnew0(struct read_wait);
    w->f = f;
    read_output(f->c, 1, STREAM_STDOUT, 0, 1 << 20, read_keep_output, read_finish, w);
    read_wait_for(w);
    assert_string_equal(w->text, "abcdef");
    free(w);
    sim_free(m);
}

static void the_cap_of_a_stream_holds_here_too(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    struct str hosts[] = { STR("web") }, argv[] = { STR("true") };
    const struct job_wish w = { .hosts = { hosts, 1 }, .argv = { argv, 1 }, .output_cap_bytes = 4 };
    create_job(f, &w);
    task_output(f->c, link_of(m), &(struct output_frame){ 1, STREAM_STDERR, 0, STR("abc") });
    task_output(f->c, link_of(m), &(struct output_frame){ 1, STREAM_STDERR, 3, STR("defg") });
    task_finished(
        f->c, link_of(m),
        &(struct task_end){ .task_id = 1, .outcome = OUTCOME_EXITED, .stderr_bytes = 7, .stderr_total = 7 });
    settle(f);
    struct task_row t = the_task(f, 1);
    assert_int_equal(t.state, TASK_DONE);
    assert_int_equal(t.stderr_bytes, 4);
    assert_int_equal(t.stderr_total, 7);
    assert_true(t.stderr_truncated);
    sim_free(m);
}

static void a_host_speaks_only_for_its_own_tasks(void **state)
{
    struct fixture *f = *state;
    struct sim *a = sim_ready(f, "a"), *b = sim_ready(f, "b");
    char line[64];
    run_on(f, "a", "true");
    task_finished(f->c, link_of(b), &(struct task_end){ .task_id = 1, .outcome = OUTCOME_EXITED });
    task_output(f->c, link_of(b), &(struct output_frame){ 1, STREAM_STDOUT, 0, STR("evil") });
    task_accepted(f->c, link_of(b), 1);
    settle(f);
    assert_int_equal(the_task(f, 1).state, TASK_OFFERED);
    assert_int_equal(the_task(f, 1).stdout_bytes, 0);
    snprintf(line, sizeof(line), "%llu cancel 1", (unsigned long long)b->link);
    assert_sent(f, line);
    sim_free(a);
    sim_free(b);
}

static void an_outcome_only_the_server_may_say_is_not_taken_from_an_agent(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    run_on(f, "web", "true");
    task_finished(
        f->c, link_of(m),
        &(struct task_end){ .task_id = 1, .outcome = OUTCOME_EXPIRED, .message = STR("\xff\x01 hm") });
    settle(f);
    assert_int_equal(the_task(f, 1).outcome, OUTCOME_LOST);
    sim_free(m);
}

static void revoking_a_host_ends_its_tasks(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web"), *other = sim_ready(f, "off");
    checkin_gone(f->c, link_of(other), "net.closed", "test");
    struct job_news n = run_on(f, NULL, "true");
    assert_int_equal(enroll_revoke(f->c, &f->admin, STR("web"), STR_NONE, &f->err), 0);
    assert_int_equal(host_forget(f->c, &f->admin, STR("off"), &f->err), 0);
    settle(f);
    assert_int_equal(the_job(f, n.id).counts.lost, 1);
    assert_int_equal(the_job(f, n.id).counts.cancelled, 1);
    restart(f);
    struct fleet_counts k;
    fleet_count(f->c, &k);
    assert_int_equal(k.open_jobs, 0);
    sim_free(m);
    sim_free(other);
}

static void a_running_task_of_a_host_that_never_returns_is_given_up_in_the_end(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    struct job_news n = run_on(f, "web", "true");
    task_started(f->c, link_of(m), 1);
    settle(f);
    checkin_gone(f->c, link_of(m), "net.closed", "test");
    pass(f, 20 * USEC_PER_HOUR);
    assert_int_equal(the_task(f, 1).state, TASK_RUNNING);
    pass(f, 6 * USEC_PER_HOUR);
    assert_int_equal(the_task(f, 1).outcome, OUTCOME_LOST);
    assert_int_equal(the_job(f, n.id).state, JOB_FAILED);
    sim_free(m);
}

static void input_goes_to_who_runs_and_is_kept_for_who_comes(void **state)
{
    struct fixture *f = *state;
    struct sim *a = sim_ready(f, "a"), *b = sim_ready(f, "b");
    struct str argv[] = { STR("cat") };
    char line[96];
    checkin_gone(f->c, link_of(b), "net.closed", "test");
    const struct job_wish w = { .all = true, .argv = { argv, 1 }, .stdin_open = true };
    struct job_news n = create_job(f, &w);
    assert_int_equal(job_input(f->c, &f->admin, n.id, 0, STR("abc"), false, &f->err), 0);
    snprintf(line, sizeof(line), "%llu input 1 0 abc", (unsigned long long)a->link);
    assert_sent(f, line);
    assert_int_equal(job_input(f->c, &f->admin, n.id, 2, STR("x"), false, &f->err), -EBUSY);
    assert_slug(f, "job.input_offset");
    assert_int_equal(job_input(f->c, &f->admin, n.id, 3, STR("def"), true, &f->err), 0);
    assert_int_equal(job_input(f->c, &f->admin, n.id, 6, STR("x"), false, &f->err), -EINVAL);
    assert_slug(f, "job.not_open");
    assert_int_equal(sim_hello_with(f, b, NULL, 0), 0);
    settle(f);
    snprintf(line, sizeof(line), "%llu input 2 0 abcdef eof", (unsigned long long)b->link);
    assert_sent(f, line);
    assert_int_equal(job_input(f->c, &f->admin, 99, 0, STR("x"), false, &f->err), -ENOENT);
    sim_free(a);
    sim_free(b);
}

static void a_wish_that_cannot_be_is_refused_with_its_field(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web"), *p = sim_new("waiting");
    struct str hosts[] = { STR("web"), STR("nobody") }, waiting[] = { STR("waiting") },
               argv[] = { STR("true") };
    struct job_wish w = { .hosts = { hosts, 1 } };
    sim_enroll(f, p, NULL);
    assert_string_equal(create_job(f, &w).slug, "field.required");
    w.argv = (struct str_list){ argv, 1 };
    w.hosts.n = 2;
    assert_string_equal(create_job(f, &w).slug, "host.unknown");
    w.hosts = (struct str_list){ waiting, 1 };
    assert_string_equal(create_job(f, &w).slug, "host.state");
    w.hosts.n = 0;
    assert_string_equal(create_job(f, &w).slug, "job.no_targets");
    w.selector = STR("role=web");
    assert_string_equal(create_job(f, &w).slug, "selector.empty");
    w.selector = STR("===");
    assert_string_equal(create_job(f, &w).slug, "selector.bad");
    w.selector = STR_NONE;
    w.all = true;
    w.cwd = STR("relative");
    assert_string_equal(create_job(f, &w).slug, "field.invalid");
    w.cwd = STR_NONE;
    char *big = xcalloc(1, LIMIT_COMMAND_BYTES + 1);
    memset(big, 'x', LIMIT_COMMAND_BYTES);
    w.stdin_data.b = (struct str){ big, LIMIT_COMMAND_BYTES - 4 };
    assert_string_equal(create_job(f, &w).slug, "job.too_large"); /* "true" and its NUL are five */
    w.stdin_data.b.len--;
    assert_int_equal(create_job(f, &w).result, 0);
    free(big);
    struct job_news n = { 0 };
    job_create(f->c, &f->viewer, &w, on_job, &n);
    assert_string_equal(n.slug, "auth.denied");
    sim_free(m);
    sim_free(p);
}

struct watched {
    size_t n_tasks, n_output, n_end, n_output_after_done;
    char order[256];
    bool is_done;
};
static void on_news(void *ctx, const struct sub_event *e)
{
    struct watched *w = ctx;
    switch (e->kind) {
    case SUB_TASK:
        w->n_tasks++;
        w->is_done |= e->task->state == TASK_DONE;
        assert_true(str_is(e->host_name, "web"));
        assert_true(str_is(e->task->host_name, "web"));
        break;
    case SUB_OUTPUT:
        w->n_output++;
        w->n_output_after_done += w->is_done;
        break;
    case SUB_JOB_END:
        w->n_end++;
        assert_int_equal(e->job->state, JOB_SUCCEEDED);
        assert_true(w->is_done);
        break;
    case SUB_EVENT:
    case SUB_AUDIT:
        break;
    }
}

static void who_follows_a_job_sees_output_before_the_end_and_the_end_last(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    struct watched w = { 0 };
    struct job_news n = run_on(f, "web", "true");
    assert_true(topic_job(f->c, n.id, on_news, &w) != 0);
    agent_runs(f, m, 1, "hello", 0);
    assert_int_equal(w.n_output + w.n_tasks + w.n_end, 0); /* not durable yet */
    settle(f);
    assert_int_equal(w.n_output, 1);
    assert_int_equal(w.n_output_after_done, 0);
    assert_int_equal(w.n_end, 1);
    assert_int_equal(topic_job(f->c, n.id, on_news, &w), 0);
    sim_free(m);
}

static void an_open_job_shows_counts_of_now(void **state)
{
    struct fixture *f = *state;
    struct sim *a = sim_ready(f, "a"), *b = sim_ready(f, "b");
    struct job_news n = run_on(f, NULL, "true");
    agent_runs(f, a, 1, "", 0);
    settle(f);
    struct job_row j = the_job(f, n.id);
    assert_int_equal(j.counts.succeeded, 1);
    assert_int_equal(j.counts.offered, 1);
    assert_int_equal(j.state, JOB_RUNNING);
    restart(f);
    j = the_job(f, n.id);
    assert_int_equal(j.counts.succeeded, 1);
    assert_int_equal(j.counts.offered, 1);
    assert_int_equal(j.counts.total, 2);
    sim_free(a);
    sim_free(b);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(a_command_runs_and_its_truth_is_kept),
        T(an_offline_host_gets_it_when_it_returns),
        T(what_never_left_expires_at_the_deadline_also_over_a_restart),
        T(cancelling_ends_what_waits_and_asks_what_runs),
        T(a_command_that_ended_without_a_link_ended_then_and_not_when_we_heard),
        T(a_leap_of_the_hosts_clock_is_bounded_by_the_job_and_by_now),
        T(a_leap_of_the_hosts_clock_does_not_move_a_start_that_was_seen),
        T(a_cancel_before_the_offer_left_never_sends_it),
        T(the_same_key_is_the_same_job_open_or_closed),
        T(the_same_key_twice_at_once_is_one_job),
        T(a_key_being_looked_up_when_the_server_stops_is_answered_so),
        T(a_server_restart_in_the_middle_ends_in_the_true_result),
        T(an_offer_that_arrived_before_the_restart_is_not_made_again),
        T(an_offer_that_did_not_arrive_is_made_again),
        T(an_accepted_task_the_agent_lost_is_lost_and_not_run_again),
        T(a_link_that_dies_under_the_offer_leaves_the_task_queued),
        T(max_parallel_is_a_window),
        T(a_host_has_room_for_so_many_and_takes_the_next_when_one_ends),
        T(output_is_taken_in_order_once_and_acknowledged),
        T(the_cap_of_a_stream_holds_here_too),
        T(a_host_speaks_only_for_its_own_tasks),
        T(an_outcome_only_the_server_may_say_is_not_taken_from_an_agent),
        T(revoking_a_host_ends_its_tasks),
        T(a_running_task_of_a_host_that_never_returns_is_given_up_in_the_end),
        T(input_goes_to_who_runs_and_is_kept_for_who_comes),
        T(a_wish_that_cannot_be_is_refused_with_its_field),
        T(who_follows_a_job_sees_output_before_the_end_and_the_end_last),
        T(an_open_job_shows_counts_of_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
