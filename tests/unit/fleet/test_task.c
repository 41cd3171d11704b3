/* tests/unit/fleet/test_task.c - the promises of fleet/task.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "fleet/task.h"

#define ILLEGAL                                                                                              \
    {                                                                                                        \
        0                                                                                                    \
    }
struct want {
    int to, action, outcome, legal;
};

static void the_transition_table_is_this(void **state)
{
    (void)state;
    enum { Q = TASK_QUEUED, O = TASK_OFFERED, A = TASK_ACCEPTED, R = TASK_RUNNING, D = TASK_DONE };
    enum { NO = TASK_ACT_NONE, OFF = TASK_ACT_SEND_OFFER, CAN = TASK_ACT_SEND_CANCEL, IGN = TASK_ACT_IGNORE };
    enum { AS = OUTCOME_NONE, CX = OUTCOME_CANCELLED, EX = OUTCOME_EXPIRED, LO = OUTCOME_LOST };
    /* offer, accepted, started, finished, link lost, unknown, cancel, deadline, host gone */
    static const struct want want[][TASK_IN_N] = {
        [Q] = { { O, OFF, AS, 1 },
                { A, NO, AS, 1 },
                { R, NO, AS, 1 },
                { D, NO, AS, 1 },
                { Q, IGN, AS, 1 },
                { Q, IGN, AS, 1 },
                { D, NO, CX, 1 },
                { D, NO, EX, 1 },
                { D, NO, CX, 1 } },
        [O] = { { O, IGN, AS, 1 },
                { A, NO, AS, 1 },
                { R, NO, AS, 1 },
                { D, NO, AS, 1 },
                { Q, NO, AS, 1 },
                { Q, NO, AS, 1 },
                { O, CAN, AS, 1 },
                { O, IGN, AS, 1 },
                { D, NO, LO, 1 } },
        [A] = { ILLEGAL,
                { A, IGN, AS, 1 },
                { R, NO, AS, 1 },
                { D, NO, AS, 1 },
                { A, IGN, AS, 1 },
                { D, NO, LO, 1 },
                { A, CAN, AS, 1 },
                { A, IGN, AS, 1 },
                { D, NO, LO, 1 } },
        [R] = { ILLEGAL,
                { R, IGN, AS, 1 },
                { R, IGN, AS, 1 },
                { D, NO, AS, 1 },
                { R, IGN, AS, 1 },
                { D, NO, LO, 1 },
                { R, CAN, AS, 1 },
                { R, IGN, AS, 1 },
                { D, NO, LO, 1 } },
        [D] = { ILLEGAL,
                { D, CAN, AS, 1 },
                { D, CAN, AS, 1 },
                { D, IGN, AS, 1 },
                { D, IGN, AS, 1 },
                { D, IGN, AS, 1 },
                { D, IGN, AS, 1 },
                { D, IGN, AS, 1 },
                { D, IGN, AS, 1 } },
    };
    for (int from = Q; from <= D; from++)
        for (int in = 0; in < TASK_IN_N; in++) {
            struct task_step got = task_step(from, in);
            assert_int_equal(got.legal, want[from][in].legal);
            if (!got.legal) {
                assert_int_equal(got.to, from);
                continue;
            }
            assert_int_equal(got.to, want[from][in].to);
            assert_int_equal(got.action, want[from][in].action);
            assert_int_equal(got.outcome, want[from][in].outcome);
        }
}

static void what_is_outside_the_enums_is_forbidden(void **state)
{
    (void)state;
    assert_false(task_step(0, TASK_IN_OFFER).legal);
    assert_false(task_step(TASK_DONE + 1, TASK_IN_OFFER).legal);
    assert_false(task_step(TASK_QUEUED, TASK_IN_N).legal);
}

static void done_is_never_left_and_an_agents_word_never_goes_back(void **state)
{
    (void)state;
    for (int in = 0; in < TASK_IN_N; in++)
        assert_int_equal(task_step(TASK_DONE, in).to, TASK_DONE);
    for (int from = TASK_QUEUED; from <= TASK_DONE; from++)
        for (int in = TASK_IN_ACCEPTED; in <= TASK_IN_FINISHED; in++)
            assert_true((int)task_step(from, in).to >= from);
}

static void only_a_task_that_ends_here_gets_an_outcome(void **state)
{
    (void)state;
    for (int from = TASK_QUEUED; from <= TASK_DONE; from++)
        for (int in = 0; in < TASK_IN_N; in++) {
            struct task_step s = task_step(from, in);
            if (s.outcome != OUTCOME_NONE)
                assert_true(s.to == TASK_DONE && from != TASK_DONE && in != TASK_IN_FINISHED);
        }
}

static void the_shells_numbers(void **state)
{
    (void)state;
    assert_int_equal(task_shell_code(OUTCOME_EXITED, 0, 0), 0);
    assert_int_equal(task_shell_code(OUTCOME_EXITED, 77, 0), 77);
    assert_int_equal(task_shell_code(OUTCOME_SIGNALED, 0, 9), 137);
    assert_int_equal(task_shell_code(OUTCOME_TIMED_OUT, 0, 9), 124);
    assert_int_equal(task_shell_code(OUTCOME_CANCELLED, 0, 15), 130);
    assert_int_equal(task_shell_code(OUTCOME_REFUSED, 0, 0), 125);
    assert_int_equal(task_shell_code(OUTCOME_LOST, 0, 0), 125);
    assert_int_equal(task_shell_code(OUTCOME_EXPIRED, 0, 0), 125);
    assert_true(task_is_success(OUTCOME_EXITED, 0));
    assert_false(task_is_success(OUTCOME_EXITED, 1));
    assert_false(task_is_success(OUTCOME_CANCELLED, 0));
}

/* Whether a stop was graceful is in the code. */
static void what_exits_when_it_is_stopped_has_a_code(void **state)
{
    (void)state;
    assert_true(task_has_exit_code(OUTCOME_EXITED, 0, 0, true));
    assert_true(task_has_exit_code(OUTCOME_CANCELLED, 5, 0, true));
    assert_true(task_has_exit_code(OUTCOME_TIMED_OUT, 0, 0, true));
    assert_false(task_has_exit_code(OUTCOME_CANCELLED, 0, 15, true));
    assert_false(task_has_exit_code(OUTCOME_CANCELLED, 0, 0, false)); /* never ran */
    assert_false(task_has_exit_code(OUTCOME_CANCELLED, -1, 0, true)); /* an accent that does not say */
    assert_false(task_has_exit_code(OUTCOME_SIGNALED, 0, 9, true));
    assert_false(task_has_exit_code(OUTCOME_LOST, 0, 0, true));
    assert_false(task_has_exit_code(OUTCOME_REFUSED, 0, 0, false));
}

static void outcomes_read_like_sentences_and_fit(void **state)
{
    (void)state;
    char text[65];
    task_outcome_text(OUTCOME_EXITED, 3, 0, text);
    assert_string_equal(text, "exited 3");
    task_outcome_text(OUTCOME_SIGNALED, 0, 9, text);
    assert_string_equal(text, "killed by SIGKILL");
    task_outcome_text(OUTCOME_SIGNALED, 0, 9999, text);
    assert_string_equal(text, "killed by signal 9999");
    task_outcome_text(OUTCOME_TIMED_OUT, 0, 0, text);
    assert_string_equal(text, "timed out");
    for (int o = OUTCOME_NONE; o <= OUTCOME_EXPIRED; o++) {
        text[64] = 'x';
        task_outcome_text(o, INT32_MIN, INT32_MIN, text);
        assert_true(strlen(text) > 0 && strlen(text) < 64);
        assert_int_equal(text[64], 'x');
    }
}

static void a_job_is_what_its_tasks_are(void **state)
{
    (void)state;
    assert_int_equal(job_state_of(&(struct job_counts){ .total = 2, .queued = 1, .succeeded = 1 }, false),
                     JOB_RUNNING);
    assert_int_equal(job_state_of(&(struct job_counts){ .total = 2, .running = 2 }, true), JOB_RUNNING);
    assert_int_equal(job_state_of(&(struct job_counts){ .total = 2, .succeeded = 2 }, false), JOB_SUCCEEDED);
    assert_int_equal(job_state_of(&(struct job_counts){ .total = 2, .succeeded = 2 }, true), JOB_SUCCEEDED);
    assert_int_equal(job_state_of(&(struct job_counts){ .total = 2, .failed = 2 }, false), JOB_FAILED);
    assert_int_equal(job_state_of(&(struct job_counts){ .total = 2, .failed = 2 }, true), JOB_FAILED);
    assert_int_equal(job_state_of(&(struct job_counts){ .total = 3, .succeeded = 1, .lost = 2 }, false),
                     JOB_PARTIAL);
    assert_int_equal(job_state_of(&(struct job_counts){ .total = 3, .succeeded = 1, .cancelled = 2 }, true),
                     JOB_CANCELLED);
    assert_int_equal(job_state_of(&(struct job_counts){ .total = 2, .expired = 2 }, false), JOB_FAILED);
    assert_int_equal(job_state_of(&(struct job_counts){ .total = 2, .cancelled = 2 }, false), JOB_CANCELLED);
    assert_int_equal(job_state_of(&(struct job_counts){ .total = 2, .cancelled = 1, .lost = 1 }, false), JOB_FAILED);
}

/* Random walks of many tasks through the table: the counters always add up. */
static void counts_follow_every_walk(void **state)
{
    (void)state;
    enum { TASKS = 40 };
    struct job_counts c = { 0 };
    enum task_state at[TASKS];
    srandom(1);
    for (int i = 0; i < TASKS; i++) {
        at[i] = TASK_QUEUED;
        job_count_move(&c, 0, TASK_QUEUED, OUTCOME_NONE, 0);
    }
    for (int step = 0; step < 20000; step++) {
        int i = (int)(random() % TASKS);
        struct task_step s = task_step(at[i], (enum task_input)(random() % TASK_IN_N));
        if (!s.legal)
            continue;
        enum task_outcome o = s.outcome ? s.outcome : (enum task_outcome)(1 + random() % 7);
        job_count_move(&c, at[i], s.to, o, (int)(random() % 2));
        at[i] = s.to;
        uint32_t n[TASK_DONE + 1] = { 0 };
        for (int k = 0; k < TASKS; k++)
            n[at[k]]++;
        assert_int_equal(c.total, TASKS);
        assert_int_equal(c.queued, n[TASK_QUEUED]);
        assert_int_equal(c.offered, n[TASK_OFFERED]);
        assert_int_equal(c.accepted, n[TASK_ACCEPTED]);
        assert_int_equal(c.running, n[TASK_RUNNING]);
        assert_int_equal(c.succeeded + c.failed + c.cancelled + c.expired + c.lost, n[TASK_DONE]);
        if (n[TASK_DONE] == TASKS)
            break;
    }
    assert_int_not_equal(job_state_of(&c, false), JOB_RUNNING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_transition_table_is_this),
        cmocka_unit_test(what_is_outside_the_enums_is_forbidden),
        cmocka_unit_test(done_is_never_left_and_an_agents_word_never_goes_back),
        cmocka_unit_test(only_a_task_that_ends_here_gets_an_outcome),
        cmocka_unit_test(the_shells_numbers),
        cmocka_unit_test(what_exits_when_it_is_stopped_has_a_code),
        cmocka_unit_test(outcomes_read_like_sentences_and_fit),
        cmocka_unit_test(a_job_is_what_its_tasks_are),
        cmocka_unit_test(counts_follow_every_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
