/* tests/unit/control/test_poll.c - tasks that hosts fetch: shown until acknowledged, ended by the same rules as over a link. */
#include "fixture.h"

#include "control/accent.h"

static uint64_t meet(struct fixture *f, const char *id)
{
    const struct sighting s = {
        .dialect = "argus", .external_id = str_of(id), .claims = { .hostname = str_of(id) }, .approved_by = "bob"
    };
    uint64_t host;
    bool is_new;
    assert_int_equal(accent_meet(f->c, &s, &host, &is_new, &f->err), 0);
    assert_int_equal(accent_seen(f->c, host, NULL, NULL, 0, &f->err), 0);
    settle(f);
    return host;
}
static struct job_news rerun_with(struct fixture *f, const char *host, const char *subject, uint32_t max_parallel)
{
    struct str hosts[] = { str_of(host), STR("g2") };
    const struct job_wish w = { .kind = JOB_KIND_RERUN,
                                .subject = str_of(subject),
                                .hosts = { hosts, max_parallel ? 2 : 1 },
                                .max_parallel = max_parallel,
                                .stdin_data = { STR("{\"lr\":0.1}") } };
    return create_job(f, &w);
}
static struct job_news rerun(struct fixture *f, const char *host, const char *subject)
{
    return rerun_with(f, host, subject, 0);
}
struct shown {
    size_t n, stop_at;
    struct polled_task t[8];
    char subject[64], input[64];
};
static bool on_task(void *ctx, const struct polled_task *t)
{
    struct shown *s = ctx;
    s->t[s->n++] = *t;
    snprintf(s->subject, sizeof(s->subject), "%.*s", STR_FMT(t->spec->subject));
    snprintf(s->input, sizeof(s->input), "%.*s", STR_FMT(t->stdin_data));
    return s->n != s->stop_at;
}
static struct shown poll(struct fixture *f, uint64_t host)
{
    struct shown s = { 0 };
    poll_tasks(f->c, host, on_task, &s);
    settle(f);
    return s;
}
static int finish(struct fixture *f, uint64_t host, uint64_t task, enum task_outcome o, int code)
{
    const struct task_end e = { .task_id = task, .outcome = o, .exit_code = code };
    f->err = (struct err){ 0 };
    int r = poll_finished(f->c, host, &e, &f->err);
    settle(f);
    return r;
}

static void a_rerun_is_an_ordinary_job_that_is_fetched_and_done(void **state)
{
    struct fixture *f = *state;
    uint64_t h = meet(f, "g1");
    struct job_news n = rerun(f, "g1", "run-7");
    assert_int_equal(n.result, 0);
    assert_int_equal(the_job(f, n.id).counts.queued, 1);
    struct shown s = poll(f, h);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.t[0].state, TASK_OFFERED);
    assert_int_equal(s.t[0].job_id, n.id);
    assert_string_equal(s.subject, "run-7");
    assert_string_equal(s.input, "{\"lr\":0.1}");
    assert_int_equal(poll(f, h).n, 1); /* nothing is consumed */
    uint64_t task = s.t[0].task_id;
    assert_int_equal(poll_started(f->c, h, task, &f->err), 0);
    settle(f);
    assert_int_equal(poll(f, h).t[0].state, TASK_RUNNING);
    const struct output_frame o = { task, STREAM_STDOUT, 0, STR("epoch 1\n") };
    assert_int_equal(poll_output(f->c, h, &o, &f->err), 0);
    assert_int_equal(finish(f, h, task, OUTCOME_EXITED, 0), 0);
    assert_int_equal(poll(f, h).n, 0);
    struct job_row j = the_job(f, n.id);
    assert_int_equal(j.state, JOB_SUCCEEDED);
    assert_int_equal(j.spec.kind, JOB_KIND_RERUN);
    assert_int_equal(the_task(f, task).stdout_bytes, 8);
    assert_int_equal(n_sent_like(f, "offer"), 0);
}

static void only_the_host_it_is_for_sees_and_ends_it(void **state)
{
    struct fixture *f = *state;
    uint64_t h = meet(f, "g1"), other = meet(f, "g2");
    rerun(f, "g1", "run-7");
    uint64_t task = poll(f, h).t[0].task_id;
    assert_int_equal(poll(f, other).n, 0);
    assert_int_equal(poll(f, 999).n, 0);
    assert_int_equal(poll_started(f->c, other, task, &f->err), -ENOENT);
    assert_slug(f, "task.unknown");
    assert_int_equal(finish(f, other, task, OUTCOME_EXITED, 0), -ENOENT);
    assert_int_equal(poll_started(f->c, h, task + 1, &f->err), -ENOENT);
}

static void a_visitor_that_stops_leaves_the_rest_queued(void **state)
{
    struct fixture *f = *state;
    uint64_t h = meet(f, "g1");
    struct job_news a = rerun(f, "g1", "one"), b = rerun(f, "g1", "two");
    struct shown s = { .stop_at = 1 };
    poll_tasks(f->c, h, on_task, &s);
    settle(f);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.t[0].job_id, a.id); /* oldest first */
    assert_int_equal(the_job(f, b.id).counts.queued, 1);
    assert_int_equal(poll(f, h).n, 2);
}

static void tasks_survive_a_restart_in_every_state(void **state)
{
    struct fixture *f = *state;
    uint64_t h = meet(f, "g1"), task;
    rerun(f, "g1", "run-7");
    restart(f);
    struct shown s = poll(f, h);
    assert_int_equal(s.n, 1);
    task = s.t[0].task_id;
    assert_string_equal(s.subject, "run-7");
    assert_string_equal(s.input, "{\"lr\":0.1}");
    restart(f);
    assert_int_equal(poll(f, h).t[0].state, TASK_OFFERED);
    assert_int_equal(poll_started(f->c, h, task, &f->err), 0);
    settle(f);
    restart(f);
    assert_int_equal(poll(f, h).t[0].state, TASK_RUNNING);
    assert_int_equal(finish(f, h, task, OUTCOME_EXITED, 3), 0);
    assert_int_equal(the_task(f, task).exit_code, 3);
}

static void on_cancel_told(void *ctx, int result, const struct err *err, const struct job_row *job, bool is_repeat)
{
    (void)err;
    (void)job;
    (void)is_repeat;
    *(int *)ctx = result;
}
static void cancel(struct fixture *f, uint64_t job)
{
    int r = 1;
    job_cancel(f->c, &f->admin, job, 0, on_cancel_told, &r);
    settle(f);
    assert_int_equal(r, 0);
}
static void cancel_ends_what_was_not_acknowledged_at_once(void **state)
{
    struct fixture *f = *state;
    uint64_t h = meet(f, "g1");
    struct job_news a = rerun(f, "g1", "queued");
    cancel(f, a.id);
    assert_int_equal(the_job(f, a.id).state, JOB_CANCELLED);
    struct str hosts[] = { STR("g1") };
    const struct job_wish w = { .kind = JOB_KIND_STOP, .subject = STR("offered"), .hosts = { hosts, 1 } };
    struct job_news b = create_job(f, &w);
    uint64_t task = poll(f, h).t[0].task_id;
    cancel(f, b.id);
    assert_int_equal(the_job(f, b.id).state, JOB_CANCELLED);
    assert_int_equal(poll(f, h).n, 0);
    assert_true(poll_started(f->c, h, task, &f->err) < 0); /* it came too late: do not begin */
}

static void cancel_of_a_rerun_that_was_fetched_leaves_its_end_to_the_agent(void **state)
{
    struct fixture *f = *state;
    uint64_t h = meet(f, "g1");
    struct job_news a = rerun(f, "g1", "offered");
    uint64_t task = poll(f, h).t[0].task_id;
    cancel(f, a.id);
    struct shown s = poll(f, h);
    assert_int_equal(s.n, 1);
    assert_true(s.t[0].cancel_requested);
    assert_int_equal(the_job(f, a.id).state, JOB_RUNNING);
    assert_int_equal(poll_started(f->c, h, task, &f->err), 0);
    assert_int_equal(finish(f, h, task, OUTCOME_EXITED, 0), 0);
    assert_int_equal(the_job(f, a.id).state, JOB_SUCCEEDED); /* it ended before anybody could stop it */
}

static void cancel_of_a_running_one_is_shown_until_it_ends(void **state)
{
    struct fixture *f = *state;
    uint64_t h = meet(f, "g1");
    struct job_news a = rerun(f, "g1", "run-7");
    uint64_t task = poll(f, h).t[0].task_id;
    assert_int_equal(poll_started(f->c, h, task, &f->err), 0);
    cancel(f, a.id);
    struct shown s = poll(f, h);
    assert_int_equal(s.n, 1);
    assert_true(s.t[0].cancel_requested);
    assert_int_equal(finish(f, h, task, OUTCOME_CANCELLED, 0), 0);
    assert_int_equal(the_job(f, a.id).state, JOB_CANCELLED);
    assert_int_equal(n_sent_like(f, "cancel"), 0);
}

static void the_deadline_ends_what_nobody_acknowledged(void **state)
{
    struct fixture *f = *state;
    uint64_t h = meet(f, "g1");
    struct job_news a = rerun(f, "g1", "queued"), b = rerun(f, "g1", "running");
    struct shown s = poll(f, h);
    assert_int_equal(poll_started(f->c, h, s.t[1].task_id, &f->err), 0);
    pass(f, 2 * USEC_PER_HOUR);
    assert_int_equal(the_job(f, a.id).counts.expired, 1);
    assert_int_equal(the_job(f, b.id).counts.running, 1);
    s = poll(f, h);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.t[0].job_id, b.id);
}

static void an_end_is_told_once(void **state)
{
    struct fixture *f = *state;
    uint64_t h = meet(f, "g1"), g = meet(f, "g2");
    rerun_with(f, "g1", "run-7", 10);
    uint64_t task = poll(f, h).t[0].task_id;
    assert_int_equal(finish(f, h, task, OUTCOME_EXITED, 0), 0);
    assert_int_equal(finish(f, h, task, OUTCOME_EXITED, 1), -EINVAL); /* the job is open: g2 has not ended */
    assert_slug(f, "job.finished");
    assert_int_equal(poll_started(f->c, h, task, &f->err), -EINVAL);
    assert_int_equal(poll(f, g).n, 1);
    assert_int_equal(the_task(f, task).exit_code, 0);
}

static void only_so_many_hosts_at_once_are_offered_it(void **state)
{
    struct fixture *f = *state;
    uint64_t h = meet(f, "g1"), g = meet(f, "g2");
    rerun_with(f, "g1", "run-7", 1);
    assert_int_equal(poll(f, h).n, 1);
    assert_int_equal(poll(f, g).n, 0);
    assert_int_equal(finish(f, h, poll(f, h).t[0].task_id, OUTCOME_EXITED, 0), 0);
    assert_int_equal(poll(f, g).n, 1);
}

static void output_comes_without_gaps_and_repeats_are_dropped(void **state)
{
    struct fixture *f = *state;
    uint64_t h = meet(f, "g1");
    rerun(f, "g1", "run-7");
    uint64_t task = poll(f, h).t[0].task_id;
    struct output_frame o = { task, STREAM_STDERR, 3, STR("def") };
    assert_int_equal(poll_output(f->c, h, &o, &f->err), -ERANGE);
    assert_slug(f, "job.input_offset");
    o = (struct output_frame){ task, STREAM_STDERR, 0, STR("abc") };
    assert_int_equal(poll_output(f->c, h, &o, &f->err), 0);
    assert_int_equal(poll_output(f->c, h, &o, &f->err), 0);
    o = (struct output_frame){ task, STREAM_STDERR, 1, STR("bcde") };
    assert_int_equal(poll_output(f->c, h, &o, &f->err), 0);
    o.stream = (enum output_stream)7;
    assert_int_equal(poll_output(f->c, h, &o, &f->err), -EINVAL);
    assert_int_equal(finish(f, h, task, OUTCOME_EXITED, 0), 0);
    assert_int_equal(the_task(f, task).stderr_bytes, 5);
}

static void a_revoked_host_loses_its_tasks(void **state)
{
    struct fixture *f = *state;
    uint64_t h = meet(f, "g1");
    struct job_news a = rerun(f, "g1", "run-7");
    poll(f, h);
    assert_int_equal(enroll_revoke(f->c, &f->admin, STR("g1"), STR_NONE, &f->err), 0);
    settle(f);
    assert_int_equal(the_job(f, a.id).counts.lost, 1);
    assert_int_equal(poll(f, h).n, 0);
}

static void a_linked_native_host_gets_commands_by_link_and_reruns_by_fetching(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web-1");
    struct host_view v;
    meet(f, "g1");
    assert_int_equal(rerun(f, "web-1", "run-7").result, -EINVAL);
    assert_int_equal(host_link(f->c, &f->admin, STR("web-1"), STR("g1"), &f->err), 0);
    settle(f);
    struct job_news a = rerun(f, "web-1", "run-7"), b = run_on(f, "web-1", "true");
    assert_int_equal(a.result, 0);
    assert_int_equal(b.result, 0);
    assert_int_equal(f->n_offers, 1);
    host_of(f, m, &v);
    struct shown s = poll(f, v.id.v);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.t[0].job_id, a.id);
    /* a break of the link says nothing about what is fetched */
    assert_int_equal(poll_started(f->c, v.id.v, s.t[0].task_id, &f->err), 0);
    checkin_gone(f->c, link_of(m), "net.closed", "test");
    clock_turn(&f->clock, USEC_PER_SEC);
    assert_int_equal(sim_hello_with(f, m, NULL, 0), 0);
    settle(f);
    assert_int_equal(poll(f, v.id.v).t[0].state, TASK_RUNNING);
    /* nor may the link speak of it */
    task_accepted(f->c, link_of(m), s.t[0].task_id);
    const struct task_end e = { .task_id = s.t[0].task_id, .outcome = OUTCOME_EXITED };
    task_finished(f->c, link_of(m), &e);
    settle(f);
    assert_int_equal(poll(f, v.id.v).t[0].state, TASK_RUNNING);
    sim_free(m);
}

static void a_wish_of_another_kind_says_what_it_is_about(void **state)
{
    struct fixture *f = *state;
    struct str hosts[] = { STR("g1") }, argv[] = { STR("true") };
    char long_text[258];
    memset(long_text, 'x', sizeof(long_text));
    meet(f, "g1");
    struct job_wish w = { .kind = JOB_KIND_STOP, .hosts = { hosts, 1 } };
    assert_string_equal(create_job(f, &w).slug, "field.invalid");
    w.subject = (struct str){ long_text, 257 };
    assert_string_equal(create_job(f, &w).slug, "field.invalid");
    w.subject.len = 256;
    assert_int_equal(create_job(f, &w).result, 0);
    w.shell = STR("true");
    assert_string_equal(create_job(f, &w).slug, "field.invalid");
    w = (struct job_wish){ .kind = JOB_KIND_COMMAND, .subject = STR("x"), .hosts = { hosts, 1 }, .argv = { argv, 1 } };
    assert_string_equal(create_job(f, &w).slug, "field.invalid");
}

static void the_same_key_for_another_subject_is_refused(void **state)
{
    struct fixture *f = *state;
    struct str hosts[] = { STR("g1") };
    meet(f, "g1");
    struct job_wish w = { .kind = JOB_KIND_STOP, .subject = STR("a"), .hosts = { hosts, 1 }, .idem_key = STR("k") };
    struct job_news first = create_job(f, &w), again = create_job(f, &w);
    assert_true(again.is_repeat && again.id == first.id);
    w.subject = STR("b");
    assert_string_equal(create_job(f, &w).slug, "job.key_reused");
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_rerun_is_an_ordinary_job_that_is_fetched_and_done),
        T(only_the_host_it_is_for_sees_and_ends_it),
        T(a_visitor_that_stops_leaves_the_rest_queued),
        T(tasks_survive_a_restart_in_every_state),
        T(cancel_ends_what_was_not_acknowledged_at_once),
        T(cancel_of_a_rerun_that_was_fetched_leaves_its_end_to_the_agent),
        T(cancel_of_a_running_one_is_shown_until_it_ends),
        T(the_deadline_ends_what_nobody_acknowledged),
        T(an_end_is_told_once),
        T(only_so_many_hosts_at_once_are_offered_it),
        T(output_comes_without_gaps_and_repeats_are_dropped),
        T(a_revoked_host_loses_its_tasks),
        T(a_linked_native_host_gets_commands_by_link_and_reruns_by_fetching),
        T(a_wish_of_another_kind_says_what_it_is_about),
        T(the_same_key_for_another_subject_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
