/* Promises of cli/outcome.h: the exit codes scripts depend on, as tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/outcome.h"
#include "cli/views.h"

static struct task_view task_of(const char *outcome, int64_t code, int64_t signo)
{
    return (
        struct task_view){ .outcome = str_of(outcome), .exit_code = code, .signal = signo, .started_at = 1 };
}

static void one_host_ends_with_the_commands_own_code(void **state)
{
    static const struct {
        const char *outcome;
        int64_t code, signo;
        bool gave_up, interrupted;
        int want;
    } rows[] = {
        { "exited", 0, 0, false, false, 0 },     { "exited", 1, 0, false, false, 1 },
        { "exited", 255, 0, false, false, 255 }, { "exited", 256, 0, false, false, 1 },
        { "exited", -1, 0, false, false, 1 },    { "signaled", 0, 9, false, false, 137 },
        { "signaled", 0, 15, false, true, 143 }, { "signaled", 0, 127, false, false, 255 },
        { "signaled", 0, 128, false, false, 1 }, { "signaled", 0, 0, false, false, 1 },
        { "timed_out", 0, 0, false, false, 6 },  { "expired", 0, 0, false, false, 6 },
        { "cancelled", 0, 0, false, false, 1 },  { "cancelled", 0, 0, false, true, 130 },
        { "refused", 0, 0, false, false, 1 },    { "lost", 0, 0, false, false, 1 },
        { "exited", 0, 0, true, true, 0 },       { "some new word", 0, 0, false, false, 1 },
        { "", 0, 0, false, false, 1 },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct task_view t = task_of(rows[i].outcome, rows[i].code, rows[i].signo);
        int got = outcome_code(&t, rows[i].gave_up, rows[i].interrupted);
        if (got != rows[i].want)
            fail_msg("row %zu (%s): %d, want %d", i, rows[i].outcome, got, rows[i].want);
    }
}

static void a_host_given_up_is_unreachable_unless_it_had_started(void **state)
{
    struct task_view t = task_of("cancelled", 0, 0);
    (void)state;
    assert_int_equal(outcome_code(&t, true, false), 1);
    t.started_at = 0;
    assert_int_equal(outcome_code(&t, true, false), 6);
    assert_int_equal(outcome_result(&t, true), RESULT_UNREACHABLE);
    assert_int_equal(outcome_result(&t, false), RESULT_CANCELLED);
}

static void several_hosts_end_with_0_1_3_6_or_130(void **state)
{
    static const struct {
        struct outcome_counts c;
        bool interrupted;
        int want;
    } rows[] = {
        { { .ok = 3 }, false, 0 },
        { { .ok = 3 }, true, 0 },
        { { .ok = 1, .failed = 1 }, false, 3 },
        { { .ok = 1, .unreachable = 1 }, false, 3 },
        { { .ok = 1, .timed_out = 1 }, false, 3 },
        { { .failed = 2 }, false, 1 },
        { { .timed_out = 2 }, false, 1 },
        { { .failed = 1, .unreachable = 1 }, false, 1 },
        { { .unreachable = 2 }, false, 6 },
        { { .cancelled = 2 }, true, 130 },
        { { .ok = 1, .cancelled = 2 }, true, 130 },
        { { .ok = 1, .failed = 2 }, true, 3 },
        { { .cancelled = 2 }, false, 1 },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int got = outcome_job_code(&rows[i].c, rows[i].interrupted);
        if (got != rows[i].want)
            fail_msg("row %zu: %d, want %d", i, got, rows[i].want);
    }
}

static void every_result_is_counted_in_its_place(void **state)
{
    struct outcome_counts c = { 0 };
    (void)state;
    outcome_count(&c, RESULT_OK);
    outcome_count(&c, RESULT_FAILED);
    outcome_count(&c, RESULT_TIMED_OUT);
    outcome_count(&c, RESULT_UNREACHABLE);
    outcome_count(&c, RESULT_CANCELLED);
    assert_true(c.ok == 1 && c.failed == 1 && c.timed_out == 1 && c.unreachable == 1 && c.cancelled == 1);
}

static void check_text(struct task_view t, const char *want)
{
    AUTO(buf_done) struct buf b = BUF(1000);
    outcome_text(&t, &b);
    assert_string_equal(buf_as_cstr(&b), want);
}

static void ends_are_said_in_words_and_messages_are_made_safe(void **state)
{
    (void)state;
    check_text(task_of("exited", 3, 0), "exit 3");
    check_text(task_of("signaled", 0, 9), "killed by signal 9 (SIGKILL)");
    check_text(task_of("signaled", 0, 99), "killed by signal 99");
    check_text(task_of("timed_out", 0, 0), "timed out");
    check_text(task_of("timed_out", 5, 0), "timed out, exit 5");
    check_text(task_of("cancelled", 5, 0), "cancelled, exit 5");
    check_text(task_of("brand\x1bnew", 0, 0), "brand\\x1Bnew");
    struct task_view t = task_of("refused", 0, 0);
    t.message = STR("no\nuser");
    check_text(t, "refused: no\\x0Auser");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_host_ends_with_the_commands_own_code),
        cmocka_unit_test(a_host_given_up_is_unreachable_unless_it_had_started),
        cmocka_unit_test(several_hosts_end_with_0_1_3_6_or_130),
        cmocka_unit_test(every_result_is_counted_in_its_place),
        cmocka_unit_test(ends_are_said_in_words_and_messages_are_made_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
