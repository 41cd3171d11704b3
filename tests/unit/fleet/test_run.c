/* tests/unit/fleet/test_run.c - the rules of runs: the whole transition table, badges, choices, rights, words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "fleet/run.h"

/* Written from the specification, not from the code: a letter a state, '-' for a refused move.
 * q requested, p pending, r running, s stalled, g stopping, S stopped, C cancelled, D done, F failed */
static const char letters[] = " qprsgSCDF";
static const struct {
    enum run_input in;
    const char *to; /* from q p r s g S C D F */
} rows[] = {
    { RUN_IN_START, "rrrrgrrDr" },   /* a start does not clear a stop, and a done one stays done */
    { RUN_IN_NEWS, "rrrrgSCDF" },    /* late lines change no end */
    { RUN_IN_DONE, "DDDDSSCDD" },    /* stopping + done = stopped */
    { RUN_IN_FAILED, "FFFFSSCDF" },
    { RUN_IN_ACK, "rrrrgSCDF" },
    { RUN_IN_NACK, "qprsSSCDF" },    /* stays requested: may be asked for again */
    { RUN_IN_EXIT_OK, "DDDDSSCDF" }, /* what events said wins */
    { RUN_IN_EXIT_BAD, "FFFFSSCDF" },
    { RUN_IN_STOP, "ggggg----" },
    { RUN_IN_STOP_EARLY, "CCggg----" },
    { RUN_IN_NOT_HERE, "qprsSSCDF" },
    { RUN_IN_UNWANTED, "CCrsgSCDF" },
    { RUN_IN_SILENCE, "qpssSSCDF" },
};

static void every_move_is_as_the_table_says(void **state)
{
    (void)state;
    assert_int_equal(ARRAY_SIZE(rows), RUN_IN_N);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (int from = RUN_REQUESTED; from <= RUN_FAILED; from++) {
            char want = rows[i].to[from - 1];
            struct run_step step = run_step((enum run_state)from, rows[i].in);
            if (want == '-') {
                assert_false(step.legal);
                assert_int_equal(step.to, from);
                continue;
            }
            if (!step.legal || letters[step.to] != want)
                fail_msg("from %s by input %d: %c, wanted %c", name_of(run_state_names, from), (int)rows[i].in, letters[step.to], want);
            assert_int_equal(step.is_same, (int)step.to == from);
        }
}

static void values_outside_the_enums_are_refused(void **state)
{
    (void)state;
    assert_false(run_step((enum run_state)0, RUN_IN_START).legal);
    assert_false(run_step((enum run_state)(RUN_FAILED + 1), RUN_IN_START).legal);
    assert_false(run_step((enum run_state)-1, RUN_IN_START).legal);
    assert_false(run_step(RUN_RUNNING, RUN_IN_N).legal);
    assert_false(run_step(RUN_RUNNING, (enum run_input)-1).legal);
}

static void what_may_be_stopped_and_what_may_be_started_again(void **state)
{
    static const char stop[] = " yyyynnnnn", rerun[] = " nnnnnyyyy";
    (void)state;
    for (int s = RUN_REQUESTED; s <= RUN_FAILED; s++) {
        assert_int_equal(run_may_stop((enum run_state)s), stop[s] == 'y');
        assert_int_equal(run_may_rerun((enum run_state)s), rerun[s] == 'y');
        assert_int_equal(run_is_over((enum run_state)s), rerun[s] == 'y');
    }
}

static void a_wish_is_the_old_one_again_until_that_ends_or_differs(void **state)
{
    /* not acknowledged; acknowledged and the same wish; acknowledged and another */
    static const char open[] = " ynynnnnnn", same[] = " nnynnnnnn";
    (void)state;
    for (int s = RUN_REQUESTED; s <= RUN_FAILED; s++) {
        struct run_repeat r = { .state = (enum run_state)s, .is_open = true, .is_same_person = true };
        assert_int_equal(run_is_repeat(&r), open[s] == 'y');
        r.is_same_wish = true;
        assert_int_equal(run_is_repeat(&r), open[s] == 'y');
        r.is_open = false;
        assert_int_equal(run_is_repeat(&r), same[s] == 'y');
        r.is_same_wish = false;
        assert_false(run_is_repeat(&r));
        assert_false(run_is_repeat(&(struct run_repeat){ .state = r.state, .is_open = true, .is_same_wish = true })); /* somebody else's */
    }
}

static void a_status_word_is_open_good_or_bad(void **state)
{
    (void)state;
    assert_int_equal(run_item_class_of(STR("")), RUN_ITEM_OPEN);
    assert_int_equal(run_item_class_of(STR("running")), RUN_ITEM_OPEN);
    assert_int_equal(run_item_class_of(STR("done")), RUN_ITEM_GOOD);
    assert_int_equal(run_item_class_of(STR("ok")), RUN_ITEM_GOOD);
    assert_int_equal(run_item_class_of(STR("failed")), RUN_ITEM_BAD);
    assert_int_equal(run_item_class_of(STR("error")), RUN_ITEM_BAD);
}

static void a_command_s_id_is_stable_a_uuid_and_needs_the_secret(void **state)
{
    uint8_t one[32] = { 1 }, two[32] = { 2 };
    char a[UUID_TEXT_MAX], b[UUID_TEXT_MAX];
    struct uuid u;
    (void)state;
    run_command_uuid(one, 7, a);
    run_command_uuid(one, 7, b);
    assert_string_equal(a, b);
    assert_int_equal(uuid_parse(str_of(a), &u), 0);
    assert_int_equal(a[14], '8');
    run_command_uuid(one, 8, b);
    assert_string_not_equal(a, b);
    run_command_uuid(two, 7, b);
    assert_string_not_equal(a, b);
}

static void the_badge_turns_at_ninety_seconds_and_a_quarter_of_an_hour(void **state)
{
    usec_t t = 1700000000 * USEC_PER_SEC;
    (void)state;
    assert_int_equal(run_agent_badge_at(0, t), RUN_AGENT_OFFLINE);
    assert_int_equal(run_agent_badge_at(t, t), RUN_AGENT_ONLINE);
    assert_int_equal(run_agent_badge_at(t, t + 90 * USEC_PER_SEC), RUN_AGENT_ONLINE);
    assert_int_equal(run_agent_badge_at(t, t + 90 * USEC_PER_SEC + 1), RUN_AGENT_STALE);
    assert_int_equal(run_agent_badge_at(t, t + 900 * USEC_PER_SEC), RUN_AGENT_STALE);
    assert_int_equal(run_agent_badge_at(t, t + 900 * USEC_PER_SEC + 1), RUN_AGENT_OFFLINE);
    assert_int_equal(run_agent_badge_at(t, t - USEC_PER_DAY), RUN_AGENT_ONLINE); /* the wall clock was set back */
}

static void an_agent_serves_its_owner_s_runs_on_its_host(void **state)
{
    const struct run_target t = { 1, STR("web-1"), STR("bob") };
    const struct run_route good = { .owner_id = 1, .hostname = STR("web-1"), .can_do = true };
    struct run_route r = good;
    (void)state;
    assert_true(run_agent_serves(&r, &t));
    r.owner_id = 2; /* another's agent under the same name gets nothing */
    assert_false(run_agent_serves(&r, &t));
    r.is_shared = true;
    assert_true(run_agent_serves(&r, &t));
    r = good;
    r.hostname = STR("web-2");
    assert_false(run_agent_serves(&r, &t));
    r = good;
    r.can_do = false;
    assert_false(run_agent_serves(&r, &t));
    r = good;
    r.label = STR("bob");
    assert_true(run_agent_serves(&r, &t));
    r.label = STR("alice");
    assert_false(run_agent_serves(&r, &t));
    assert_false(run_agent_serves(&good, &(struct run_target){ 1, STR_NONE, STR_NONE }));
}

static void label_goes_before_own_before_newest(void **state)
{
    const struct run_route plain = { .last_seen = 10 }, newer = { .last_seen = 11 }, shared = { .is_shared = true, .last_seen = 99 },
                           labelled = { .label = STR("bob"), .last_seen = 1 };
    (void)state;
    assert_true(run_agent_is_better(&labelled, &newer));
    assert_false(run_agent_is_better(&newer, &labelled));
    assert_true(run_agent_is_better(&plain, &shared));
    assert_false(run_agent_is_better(&shared, &plain));
    assert_true(run_agent_is_better(&newer, &plain));
    assert_false(run_agent_is_better(&plain, &newer));
}

static void a_label_is_a_word_of_at_most_sixty_four(void **state)
{
    char text[6 + RUN_LABEL_MAX + 2] = "label=";
    (void)state;
    assert_true(str_is(run_label_of(STR("label=gpu-1")), "gpu-1"));
    assert_int_equal(run_label_of(STR("rerun")).len, 0);
    assert_int_equal(run_label_of(STR("label=")).len, 0);
    assert_int_equal(run_label_of(STR("label=a b")).len, 0);
    assert_int_equal(run_label_of(STR("label=a/b")).len, 0);
    memset(text + 6, 'x', RUN_LABEL_MAX + 1);
    assert_int_equal(run_label_of(str_bytes(text, 6 + RUN_LABEL_MAX)).len, RUN_LABEL_MAX);
    assert_int_equal(run_label_of(str_bytes(text, 6 + RUN_LABEL_MAX + 1)).len, 0);
}

static void rights_follow_from_standing(void **state)
{
    static const struct {
        struct run_standing s;
        enum run_right want;
    } t[] = {
        { { 0 }, RUN_RIGHT_NONE },
        { { .is_owner = true }, RUN_RIGHT_OWN },
        { { .is_admin = true }, RUN_RIGHT_OWN },
        { { .share = RUN_SHARE_VIEWER }, RUN_RIGHT_SEE },
        { { .share = RUN_SHARE_EDITOR }, RUN_RIGHT_EDIT },
        { { .is_recipient = true, .is_recipient_enabled = true }, RUN_RIGHT_EDIT },
        { { .is_recipient = true }, RUN_RIGHT_SEE },
        { { .is_agents_owner = true }, RUN_RIGHT_EDIT },
        { { .is_agents_owner = true, .is_read_only = true }, RUN_RIGHT_SEE },
        { { .is_owner = true, .is_read_only = true }, RUN_RIGHT_SEE },
        { { .share = RUN_SHARE_EDITOR, .is_read_only = true }, RUN_RIGHT_SEE },
        { { .is_read_only = true }, RUN_RIGHT_NONE },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(t); i++)
        assert_int_equal(run_right_of(&t[i].s), t[i].want);
}

static void words_are_checked(void **state)
{
    char text[140];
    (void)state;
    memset(text, 'x', sizeof(text));
    assert_true(run_text_is_acceptable(str_bytes(text, RUN_ID_MAX), RUN_ID_MAX));
    assert_false(run_text_is_acceptable(str_bytes(text, RUN_ID_MAX + 1), RUN_ID_MAX));
    assert_false(run_text_is_acceptable(STR(""), 10));
    assert_false(run_text_is_acceptable(STR("a\nb"), 10));
    assert_false(run_text_is_acceptable(STR("a\x7f"), 10));
    assert_false(run_text_is_acceptable(STR("\xff"), 10));
    assert_true(run_text_is_acceptable(STR("größe"), 10));
    assert_true(run_email_is_acceptable(STR("a@b")));
    assert_false(run_email_is_acceptable(STR("@b")));
    assert_false(run_email_is_acceptable(STR("a@")));
    assert_false(run_email_is_acceptable(STR("a@b@c")));
    assert_false(run_email_is_acceptable(STR("a b@c")));
    assert_false(run_email_is_acceptable(STR("ab")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_move_is_as_the_table_says),
        cmocka_unit_test(values_outside_the_enums_are_refused),
        cmocka_unit_test(what_may_be_stopped_and_what_may_be_started_again),
        cmocka_unit_test(a_wish_is_the_old_one_again_until_that_ends_or_differs),
        cmocka_unit_test(a_status_word_is_open_good_or_bad),
        cmocka_unit_test(a_command_s_id_is_stable_a_uuid_and_needs_the_secret),
        cmocka_unit_test(the_badge_turns_at_ninety_seconds_and_a_quarter_of_an_hour),
        cmocka_unit_test(an_agent_serves_its_owner_s_runs_on_its_host),
        cmocka_unit_test(label_goes_before_own_before_newest),
        cmocka_unit_test(a_label_is_a_word_of_at_most_sixty_four),
        cmocka_unit_test(rights_follow_from_standing),
        cmocka_unit_test(words_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
