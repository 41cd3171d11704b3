/* tests/unit/control/test_runs.c - agents of runs: registered, rotated, revoked; reruns and stops as they are fetched, acknowledged,
 * cancelled, lost; what time does to all of it. */
#include "run_fixture.h"

static int setup(void **state)
{
    fixture_setup(state);
    user_make(*state, "alice", ROLE_VIEWER);
    user_make(*state, "eve", ROLE_VIEWER);
    return 0;
}

/* Alice's agent on web-1, and a rerun of her batch b1 that waits for it. */
static struct agent asked(struct fixture *f, struct principal *ret_p, char child[RUN_ID_MAX + 1])
{
    *ret_p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, ret_p, "web-1");
    batch_done(f, ret_p, "b1");
    assert_int_equal(rerun(f, ret_p, "b1", child), 0);
    return a;
}

/* -- agents */
static void registering_again_keeps_the_id_and_kills_the_old_token(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1"), b = agent_make(f, &p, "web-1");
    assert_string_equal(a.got.agent_id, b.got.agent_id);
    assert_string_not_equal(a.got.token, b.got.token);
    assert_refused(f, agent_proves(f, &a), -EACCES, "auth.bad_credential");
    restart(f);
    assert_refused(f, agent_proves(f, &a), -EACCES, "auth.bad_credential");
    assert_int_equal(agent_proves(f, &b), 0);
}

static void labels_and_owners_tell_agents_of_one_host_apart(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL), q = script(f, "eve", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1"), b = { 0 }, d = agent_make(f, &q, "web-1");
    assert_int_equal(agent_try(f, &p, "web-1", "bob", &b), 0);
    assert_string_equal(b.got.label, "bob");
    assert_string_not_equal(a.got.agent_id, b.got.agent_id);
    assert_string_not_equal(a.got.agent_id, d.got.agent_id);
    assert_int_equal(agent_proves(f, &a), 0);
}

static void an_agent_is_a_host_of_the_fleet(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    agent_make(f, &p, "web-1");
    struct host_view h;
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    assert_true(str_is(h.dialect, "argus"));
    assert_int_equal(h.state, HOST_APPROVED);
    assert_int_equal(h.presence, PRESENCE_ONLINE);
}

static void a_viewer_s_token_and_a_bad_name_register_nothing(void **state)
{
    struct fixture *f = *state;
    struct principal v = script(f, "alice", "viewer", NULL), p = script(f, "alice", "reporter", NULL);
    struct agent a;
    char name[260];
    assert_refused(f, agent_try(f, &v, "web-1", NULL, &a), -EACCES, "run.read_only");
    assert_refused(f, agent_try(f, &p, "", NULL, &a), -EINVAL, "field.invalid");
    assert_refused(f, agent_try(f, &p, "a\nb", NULL, &a), -EINVAL, "field.invalid");
    assert_refused(f, agent_try(f, &p, "web-1", "two words", &a), -EINVAL, "field.invalid");
    memset(name, 'x', sizeof(name));
    name[254] = '\0';
    assert_refused(f, agent_try(f, &p, name, NULL, &a), -EINVAL, "field.invalid");
    name[253] = '\0';
    assert_int_equal(agent_try(f, &p, name, NULL, &a), 0);
}

static void another_agent_s_token_is_refused_apart_from_an_unknown_one(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1"), b = agent_make(f, &p, "web-2");
    struct run_agent_ref ref;
    assert_refused(f, run_agent_check(f->c, str_of(b.got.agent_id), str_of(a.got.token), "x", &ref, &f->err), -EACCES,
                   "run_agent.denied");
    assert_refused(f, run_agent_check(f->c, str_of(a.got.agent_id), STR("ag_live_nonsense"), "x", &ref, &f->err), -EACCES,
                   "auth.bad_credential");
    assert_refused(f, run_agent_check(f->c, str_of(a.got.agent_id), STR_NONE, "x", &ref, &f->err), -EACCES, "auth.required");
}

static void revoking_or_forgetting_the_host_kills_the_token(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1"), b = agent_make(f, &p, "web-2");
    assert_int_equal(enroll_revoke(f->c, &f->admin, STR("web-1"), STR_NONE, &f->err), 0);
    assert_refused(f, agent_proves(f, &a), -EACCES, "auth.bad_credential");
    assert_refused(f, agent_try(f, &p, "web-1", NULL, &a), -EACCES, "host.revoked");
    assert_int_equal(host_forget(f->c, &f->admin, STR("web-2"), &f->err), 0);
    assert_refused(f, agent_proves(f, &b), -EACCES, "auth.bad_credential");
    struct run_agent_view v;
    assert_refused(f, run_agent_get(f->c, &f->admin, str_of(b.got.agent_id), &v, &f->err), -ENOENT, "run_agent.unknown");
    assert_int_equal(host_forget(f->c, &f->admin, STR("web-1"), &f->err), 0);
    struct agent c = agent_make(f, &p, "web-1"); /* forgotten: it may come anew */
    assert_string_not_equal(c.got.agent_id, a.got.agent_id);
}

static void revoking_the_agent_revokes_the_host_and_is_its_owner_s(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL), eve = person(f, "eve"), alice = person(f, "alice");
    struct agent a = agent_make(f, &p, "web-1");
    struct host_view h;
    assert_refused(f, run_agent_revoke(f->c, &eve, str_of(a.got.agent_id), &f->err), -ENOENT, "run_agent.unknown");
    assert_int_equal(run_agent_revoke(f->c, &alice, str_of(a.got.agent_id), &f->err), 0);
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    assert_int_equal(h.state, HOST_REVOKED);
    assert_refused(f, agent_proves(f, &a), -EACCES, "auth.bad_credential");
    assert_int_equal(run_agent_delete(f->c, &alice, str_of(a.got.agent_id), &f->err), 0);
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), -ENOENT);
}

static void a_token_with_a_life_dies_of_age_and_register_gives_another(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = { 0 };
    const struct run_registration rq = { .hostname = STR("web-1"), .peer = "192.0.2.7", .life = USEC_PER_DAY };
    char child[RUN_ID_MAX + 1];
    assert_int_equal(run_agent_register(f->c, &p, &rq, &a.got, &f->err), 0);
    batch_done(f, &p, "b1");
    pass(f, USEC_PER_DAY - 10 * USEC_PER_SEC);
    assert_int_equal(agent_proves(f, &a), 0);
    pass(f, 20 * USEC_PER_SEC);
    assert_refused(f, agent_proves(f, &a), -EACCES, "auth.expired");
    assert_int_equal(rerun(f, &p, "b1", child), 0); /* waits: nobody serves it */
    assert_int_equal(run_agent_register(f->c, &p, &rq, &a.got, &f->err), 0);
    assert_int_equal(fetch(f, &a).n, 1);
}

/* An operator said that the agent's host and another row are one machine. */
static void a_linked_host_is_not_its_agent_s_owner_s_to_revoke_or_forget(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL), alice = person(f, "alice");
    struct agent a = agent_make(f, &p, "gpu");
    struct sim *m = sim_ready(f, "web-1");
    struct host_view h;
    assert_int_equal(host_link(f->c, &f->admin, STR("web-1"), STR("gpu"), &f->err), 0);
    settle(f);
    assert_int_equal(agent_proves(f, &a), 0);
    assert_int_equal(run_agent_revoke(f->c, &alice, str_of(a.got.agent_id), &f->err), 0);
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    assert_int_equal(h.state, HOST_APPROVED);
    assert_refused(f, agent_proves(f, &a), -EACCES, "auth.bad_credential");
    a = agent_make(f, &p, "gpu");
    assert_int_equal(run_agent_delete(f->c, &alice, str_of(a.got.agent_id), &f->err), 0);
    settle(f);
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    assert_refused(f, agent_proves(f, &a), -EACCES, "auth.bad_credential");
    restart(f);
    assert_refused(f, agent_proves(f, &a), -EACCES, "auth.bad_credential");
    struct agent b = agent_make(f, &p, "gpu"); /* anew: a host of its own */
    assert_string_not_equal(b.got.agent_id, a.got.agent_id);
    assert_int_equal(host_find(f->c, STR("gpu"), &h, &f->err), 0);
    assert_int_equal(host_link(f->c, &f->admin, STR("web-1"), STR("gpu"), &f->err), 0);
    assert_int_equal(run_agent_revoke(f->c, &f->admin, str_of(b.got.agent_id), &f->err), 0); /* who may revoke hosts */
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    assert_int_equal(h.state, HOST_REVOKED);
    sim_free(m);
}

static void agents_of_one_machine_hear_only_of_their_own_commands(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL), q = script(f, "eve", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1"), b = agent_make(f, &q, "web-2");
    char child[RUN_ID_MAX + 1];
    assert_int_equal(host_link(f->c, &f->admin, STR("web-2"), STR("web-1"), &f->err), 0);
    settle(f);
    batch_done(f, &p, "b1");
    assert_int_equal(rerun(f, &p, "b1", child), 0);
    assert_int_equal(fetch(f, &b).n, 0);
    struct orders os = fetch(f, &a);
    assert_int_equal(os.n, 1);
    assert_refused(f, ack(f, &b, os.v[0].uuid, true), -ENOENT, "run_command.unknown");
    assert_refused(f, ended(f, &b, os.v[0].uuid, 0, 0, ""), -ENOENT, "run_command.unknown");
    assert_int_equal(ack(f, &a, os.v[0].uuid, true), 0);
    restart(f);
    assert_int_equal(stop(f, &p, child), RUN_STOPPING);
    assert_int_equal(fetch(f, &b).n, 0);
    assert_int_equal(fetch(f, &a).v[0].kind, RUN_COMMAND_STOP);
    /* turned away, all of them are */
    assert_int_equal(enroll_revoke(f->c, &f->admin, STR("web-2"), STR_NONE, &f->err), 0);
    assert_refused(f, agent_proves(f, &a), -EACCES, "auth.bad_credential");
    assert_refused(f, agent_proves(f, &b), -EACCES, "auth.bad_credential");
}

static void revoking_the_parent_revokes_its_agents_unless_asked_not_to(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL), alice = person(f, "alice"), eve = person(f, "eve");
    struct agent a = agent_make(f, &p, "web-1");
    bool was;
    assert_refused(f, run_token_revoke(f->c, &eve, p.token_id, true, &was, &f->err), -ENOENT, "run_token.unknown");
    assert_int_equal(run_token_revoke(f->c, &alice, p.token_id, false, &was, &f->err), 0);
    assert_false(was);
    assert_int_equal(agent_proves(f, &a), 0);
    assert_int_equal(run_token_revoke(f->c, &alice, p.token_id, true, &was, &f->err), 0);
    assert_true(was);
    assert_refused(f, agent_proves(f, &a), -EACCES, "auth.bad_credential");
}

static void agents_of_a_disabled_user_are_refused(void **state)
{
    struct fixture *f = *state;
    char text[SECRET_TEXT_MAX];
    struct principal p = script(f, "alice", "reporter", text), key;
    struct agent a = agent_make(f, &p, "web-1");
    int result = 1;
    user_change(f->c, &f->admin, STR("alice"), &(struct user_change){ .has_disabled = true, .disabled = true }, on_user_made,
                &result);
    settle(f);
    assert_int_equal(result, 0);
    assert_refused(f, agent_proves(f, &a), -EACCES, "auth.disabled");
    assert_refused(f, run_key_check(f->c, str_of(text), &script_peer, &key, &f->err), -EACCES, "auth.disabled");
}

/* -- the badge */
static void the_badge_follows_the_server_s_clock(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct run_view v;
    batch_done(f, &p, "b1");
    look(f, &p, "b1", &v);
    assert_false(v.has_agents || v.is_agent_online || v.is_rerun_allowed);
    struct agent a = agent_make(f, &p, "web-1");
    look(f, &p, "b1", &v);
    assert_true(v.is_agent_online && v.is_rerun_allowed);
    clock_turn(&f->clock, 90 * USEC_PER_SEC);
    look(f, &p, "b1", &v);
    assert_true(v.is_agent_online);
    clock_turn(&f->clock, USEC_PER_SEC);
    look(f, &p, "b1", &v);
    assert_true(v.has_agents && !v.is_agent_online && !v.is_rerun_allowed);
    /* What it asked before and is answered now is none, and any call is a sign of life. */
    assert_int_equal(run_agent_still_holds(f->c, str_of(a.got.agent_id), str_of(a.got.token), "192.0.2.7", &a.ref, &f->err), 0);
    look(f, &p, "b1", &v);
    assert_false(v.is_agent_online);
    assert_int_equal(agent_proves(f, &a), 0);
    look(f, &p, "b1", &v);
    assert_true(v.is_agent_online && v.is_rerun_allowed);
}

static void the_badge_does_not_go_out_over_a_restart(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1"), gone = agent_make(f, &p, "web-2");
    struct run_view v;
    batch_done(f, &p, "b1");
    settle(f);
    for (int i = 0; i < 16; i++) { /* 160 s: each is saved now and then only */
        pass(f, 10 * USEC_PER_SEC);
        assert_int_equal(agent_proves(f, &a), 0);
    }
    settle(f);
    clock_turn(&f->clock, USEC_PER_HOUR); /* the server is down for an hour */
    restart(f);
    look(f, &p, "b1", &v);
    assert_true(v.is_agent_online && v.is_rerun_allowed);
    pass(f, 90 * USEC_PER_SEC); /* it did not come back */
    look(f, &p, "b1", &v);
    assert_true(v.is_agent_online);
    pass(f, USEC_PER_SEC);
    look(f, &p, "b1", &v);
    assert_false(v.is_agent_online);
    /* Who was silent before is not taken for one that the server missed. */
    assert_int_equal(agent_proves(f, &gone), 0);
    settle(f);
    for (int i = 0; i < 20; i++) {
        pass(f, 10 * USEC_PER_SEC);
        assert_int_equal(agent_proves(f, &a), 0);
    }
    settle(f);
    struct run_event e = event_of("b2", RUN_EVENT_BATCH_START);
    e.host = STR("web-2");
    assert_int_equal(tell_event(f, &p, &e).result, 0);
    restart(f);
    look(f, &p, "b1", &v);
    assert_true(v.is_agent_online);
    look(f, &p, "b2", &v);
    assert_true(v.has_agents && !v.is_agent_online);
}

static void a_silent_agent_was_last_seen_then_after_a_restart_too(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    settle(f);
    pass(f, 10 * USEC_PER_SEC);
    assert_int_equal(agent_proves(f, &a), 0); /* too soon to be saved, and the last we hear */
    usec_t last = clock_wall(&f->clock);
    pass(f, 40 * USEC_PER_SEC);
    restart(f);
    struct run_agent_view v;
    assert_int_equal(run_agent_get(f->c, &f->admin, str_of(a.got.agent_id), &v, &f->err), 0);
    assert_int_equal(v.row->last_seen, last);
}

/* -- rerun */
static void a_rerun_is_fetched_until_it_is_acknowledged(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    char child[RUN_ID_MAX + 1];
    batch_done(f, &p, "b1");
    assert_int_equal(fetch(f, &a).n, 0);
    assert_int_equal(rerun(f, &p, "b1", child), 0);
    struct orders one = fetch(f, &a), two = fetch(f, &a);
    assert_int_equal(one.n, 1);
    assert_int_equal(two.n, 1);
    assert_string_equal(one.v[0].uuid, two.v[0].uuid);
    assert_string_equal(one.v[0].batch, child);
    assert_string_equal(one.v[0].command, "python train.py");
    assert_int_equal(state_of(f, child), RUN_REQUESTED);
    restart(f); /* in the middle of a poll */
    assert_string_equal(fetch(f, &a).v[0].uuid, one.v[0].uuid);
    assert_int_equal(ack(f, &a, one.v[0].uuid, true), 0);
    assert_int_equal(state_of(f, child), RUN_RUNNING);
    assert_int_equal(fetch(f, &a).n, 0);
    assert_refused(f, ack(f, &a, one.v[0].uuid, true), -EEXIST, "run_command.state");
    assert_refused(f, ack(f, &a, "00000000-0000-4000-8000-000000000000", true), -ENOENT, "run_command.unknown");
}

static void two_clicks_are_one_command_even_ten_minutes_apart(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    char one[RUN_ID_MAX + 1], two[RUN_ID_MAX + 1];
    struct agent a = asked(f, &p, one);
    pass(f, 10 * USEC_PER_MIN);
    assert_int_equal(rerun(f, &p, "b1", two), 0);
    assert_string_equal(one, two);
    assert_int_equal(fetch(f, &a).n, 1);
}

static int rerun_as(struct fixture *f, const struct principal *p, const char *name, const char *overrides, char ret_child[RUN_ID_MAX + 1])
{
    const struct run_rerun w = { .name = str_of(name), .overrides = str_of(overrides) };
    struct run_view v;
    int r = run_rerun(f->c, p, STR("b1"), &w, &v, &f->err);
    snprintf(ret_child, RUN_ID_MAX + 1, "%.*s", r == 0 ? (int)v.row->batch_id.len : 0, r == 0 ? v.row->batch_id.ptr : "");
    settle(f);
    return r;
}

/* The agent waits for work, so it may have begun between the two clicks. */
static void the_second_click_is_one_with_the_first_though_the_agent_was_faster(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    char one[RUN_ID_MAX + 1], two[RUN_ID_MAX + 1];
    batch_done(f, &p, "b1");
    assert_int_equal(rerun_as(f, &p, "", "", one), 0);
    char first[UUID_TEXT_MAX];
    snprintf(first, sizeof(first), "%s", fetch(f, &a).v[0].uuid);
    tell(f, &p, one, RUN_EVENT_BATCH_START); /* the script may be faster than the acknowledgement */
    assert_int_equal(rerun_as(f, &p, "", "{}", two), 0);
    assert_string_equal(one, two);
    assert_int_equal(ack(f, &a, first, true), 0);
    restart(f);
    assert_int_equal(rerun_as(f, &p, "", "", two), 0);
    assert_string_equal(one, two);
    assert_int_equal(fetch(f, &a).n, 0);

    assert_int_equal(rerun_as(f, &p, "", "{\"lr\":2}", two), 0); /* another wish */
    assert_string_not_equal(one, two);
    assert_int_equal(ack(f, &a, fetch(f, &a).v[0].uuid, true), 0);
    assert_int_equal(rerun_as(f, &p, "once more", "", two), 0); /* another name says: I mean it */
    assert_string_not_equal(one, two);
    assert_int_equal(ack(f, &a, fetch(f, &a).v[0].uuid, true), 0);
    assert_int_equal(rerun_as(f, &f->admin, "", "", two), 0); /* another person */
    assert_string_not_equal(one, two);
    assert_int_equal(ack(f, &a, fetch(f, &a).v[0].uuid, true), 0);

    assert_int_equal(stop(f, &p, one), RUN_STOPPING); /* not wanted any more */
    ack(f, &a, fetch(f, &a).v[0].uuid, true);
    assert_int_equal(rerun_as(f, &p, "", "", two), 0);
    assert_string_not_equal(one, two);
    snprintf(first, sizeof(first), "%s", fetch(f, &a).v[0].uuid);
    ack(f, &a, first, true);
    assert_int_equal(ended(f, &a, first, 0, 0, ""), 0);
    assert_int_equal(rerun_as(f, &p, "", "", one), 0); /* that one is over */
    assert_string_not_equal(one, two);
}

/* Found: the second of two people got the first one's copy, without their own name and overrides, and could not even look at it. */
static void two_people_s_wishes_are_two_reruns_and_whose_agents_run_them_stops_both(void **state)
{
    struct fixture *f = *state;
    struct principal alice, eve = script(f, "eve", "reporter", NULL);
    char hers[RUN_ID_MAX + 1], own[RUN_ID_MAX + 1], again[RUN_ID_MAX + 1];
    struct run_view v;
    struct agent a = asked(f, &alice, own);
    assert_int_equal(run_share_run(f->c, &alice, STR("b1"), STR("eve"), RUN_SHARE_EDITOR, &f->err), 0);
    assert_int_equal(rerun_as(f, &eve, "other", "", hers), 0);
    assert_string_not_equal(own, hers);
    assert_int_equal(rerun_as(f, &eve, "other", "", again), 0);
    assert_string_equal(again, hers);
    assert_int_equal(rerun(f, &alice, "b1", again), 0);
    assert_string_equal(again, own);
    assert_int_equal(look(f, &alice, own, &v), 0);
    assert_true(str_is(v.row->overrides.text, "{\"lr\":1}"));

    assert_int_equal(look(f, &eve, own, &v), -ENOENT);
    assert_int_equal(look(f, &alice, hers, &v), 0);
    assert_int_equal(v.right, RUN_RIGHT_EDIT);
    assert_true(str_is(v.owner, "eve") && str_is(v.row->name, "other"));
    assert_refused(f, run_share_run(f->c, &alice, str_of(hers), STR("alice"), RUN_SHARE_EDITOR, &f->err), -EACCES, "run.denied");
    struct orders os = fetch(f, &a);
    assert_int_equal(os.n, 2);
    for (size_t i = 0; i < os.n; i++)
        assert_int_equal(ack(f, &a, os.v[i].uuid, true), 0);
    assert_int_equal(stop(f, &alice, hers), RUN_STOPPING);
    tell(f, &alice, hers, RUN_EVENT_BATCH_DONE); /* by the token that was recorded with what it repeats */
    assert_int_equal(state_of(f, hers), RUN_STOPPED);
    assert_int_equal(state_of(f, own), RUN_RUNNING);
    assert_int_equal(run_unshare_run(f->c, &alice, STR("b1"), STR("eve"), &f->err), 0);
    assert_refused(f, rerun(f, &eve, hers, again), -EACCES, "run.denied");
    assert_int_equal(rerun(f, &alice, hers, again), 0);
}

static void a_refused_rerun_leaves_the_batch_requested(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    char child[RUN_ID_MAX + 1], next[RUN_ID_MAX + 1];
    struct agent a = asked(f, &p, child);
    assert_int_equal(ack(f, &a, fetch(f, &a).v[0].uuid, false), 0);
    assert_int_equal(state_of(f, child), RUN_REQUESTED);
    assert_int_equal(rerun(f, &p, "b1", next), 0);
    assert_string_not_equal(child, next);
    assert_int_equal(stop(f, &p, child), RUN_CANCELLED); /* nothing can be running */
    assert_int_equal(ack(f, &a, fetch(f, &a).v[0].uuid, false), 0);
    pass(f, 23 * USEC_PER_HOUR);
    restart(f);
    assert_int_equal(state_of(f, next), RUN_REQUESTED);
    pass(f, 2 * USEC_PER_HOUR); /* nobody tried again */
    assert_int_equal(state_of(f, next), RUN_CANCELLED);
}

static void only_what_is_over_and_has_a_command_is_started_again(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    char child[RUN_ID_MAX + 1];
    tell(f, &p, "b1", RUN_EVENT_BATCH_START);
    assert_refused(f, rerun(f, &p, "b1", child), -EEXIST, "run.state");
    tell(f, &p, "b1", RUN_EVENT_BATCH_FAILED);
    assert_int_equal(rerun(f, &p, "b1", child), 0);
    struct run_event e = event_of("b2", RUN_EVENT_BATCH_DONE);
    e.command = STR_NONE;
    assert_int_equal(tell_event(f, &p, &e).result, 0);
    assert_refused(f, rerun(f, &p, "b2", child), -EEXIST, "run.no_command");
    assert_refused(f, rerun(f, &p, "b3", child), -ENOENT, "run.unknown");
}

static void without_an_agent_a_rerun_waits_a_day_for_one(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    const struct run_rerun w = { .require_agent = true };
    struct run_view v;
    char child[RUN_ID_MAX + 1], late[RUN_ID_MAX + 1];
    batch_done(f, &p, "b1");
    assert_refused(f, run_rerun(f->c, &p, STR("b1"), &w, &v, &f->err), -EEXIST, "run.no_agent");
    assert_int_equal(rerun(f, &p, "b1", child), 0);
    pass(f, 23 * USEC_PER_HOUR);
    restart(f);
    struct agent a = agent_make(f, &p, "web-1");
    assert_string_equal(fetch(f, &a).v[0].batch, child);

    batch_done(f, &p, "b2");
    assert_int_equal(run_agent_delete(f->c, &f->admin, str_of(a.got.agent_id), &f->err), 0);
    settle(f);
    assert_int_equal(rerun(f, &p, "b2", late), 0);
    pass(f, 25 * USEC_PER_HOUR);
    assert_int_equal(state_of(f, late), RUN_CANCELLED);
    a = agent_make(f, &p, "web-1");
    assert_int_equal(fetch(f, &a).n, 0);
}

static void a_rerun_of_the_oldest_keeps_its_source(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    char child[RUN_ID_MAX + 1], batch[32];
    struct run_view v;
    tell(f, &p, "b0", RUN_EVENT_BATCH_START);
    stop(f, &p, "b0");
    ack(f, &a, fetch(f, &a).v[0].uuid, true); /* nothing more is heard of a stop: it holds nothing */
    for (int i = 0; i < 5001; i++) { /* one more than a person may have */
        snprintf(batch, sizeof(batch), "b%d", i);
        tell(f, &p, batch, RUN_EVENT_BATCH_DONE);
    }
    assert_int_equal(look(f, &p, "b0", &v), -ENOENT); /* made room */
    assert_int_equal(rerun(f, &p, "b1", child), 0);
    assert_int_equal(look(f, &p, "b1", &v), 0);
    assert_int_equal(look(f, &p, "b2", &v), -ENOENT);
    assert_int_equal(look(f, &p, child, &v), 0);
    assert_true(str_is(v.row->source_batch_id, "b1"));
}

static void a_name_taken_by_another_user_s_agent_gets_nothing(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL), q = script(f, "eve", "reporter", NULL);
    char child[RUN_ID_MAX + 1];
    batch_done(f, &p, "b1");
    struct agent thief = agent_make(f, &q, "web-1");
    assert_int_equal(rerun(f, &p, "b1", child), 0);
    assert_int_equal(fetch(f, &thief).n, 0);
    assert_int_equal(run_agent_share(f->c, &q, str_of(thief.got.agent_id), true, &f->err), -EACCES);
    assert_int_equal(run_agent_share(f->c, &f->admin, str_of(thief.got.agent_id), true, &f->err), 0);
    settle(f);
    assert_int_equal(fetch(f, &thief).n, 1); /* an admin says so */
}

static void the_label_that_is_the_os_user_is_chosen(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent plain = agent_make(f, &p, "web-1"), bob = { 0 }, carl = { 0 };
    char child[RUN_ID_MAX + 1];
    assert_int_equal(agent_try(f, &p, "web-1", "bob", &bob), 0);
    assert_int_equal(agent_try(f, &p, "web-1", "carl", &carl), 0);
    batch_done(f, &p, "b1"); /* source.user bob */
    assert_int_equal(rerun(f, &p, "b1", child), 0);
    assert_int_equal(fetch(f, &plain).n, 0);
    assert_int_equal(fetch(f, &carl).n, 0);
    assert_int_equal(fetch(f, &bob).n, 1);
}

/* -- exits */
static void an_exit_ends_a_run_whose_script_said_nothing(void **state)
{
    static const struct {
        int code, signal;
        enum run_state want;
        const char *reason;
    } t[] = { { 0, 0, RUN_DONE, "" },
              { 3, 0, RUN_FAILED, "exit code 3: last words" },
              { -1, 9, RUN_FAILED, "killed by SIGKILL: last words" } };
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    batch_done(f, &p, "b1");
    for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
        char child[RUN_ID_MAX + 1];
        struct run_view v;
        assert_int_equal(rerun(f, &p, "b1", child), 0);
        struct orders os = fetch(f, &a);
        ack(f, &a, os.v[0].uuid, true);
        assert_int_equal(ended(f, &a, os.v[0].uuid, t[i].code, t[i].signal, "first\nlast words\n"), 0);
        look(f, &p, child, &v);
        assert_int_equal(v.row->state, t[i].want);
        assert_true(str_is(v.row->failure_reason, t[i].reason));
        assert_int_equal(ended(f, &a, os.v[0].uuid, 1, 0, ""), 0); /* told twice */
        assert_int_equal(state_of(f, child), t[i].want);
    }
}

/* What every viewer of the fleet reads. */
static void count_words(void *ctx, const struct event *e)
{
    struct read_wait *w = ctx;
    for (size_t i = 0; i < e->details.n; i++)
        w->n += str_find(e->details.v[i].value, STR("last words")) >= 0;
    w->job.id += str_is(e->type, "run.changed");
}

static void what_a_run_printed_is_its_owner_s(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    char child[RUN_ID_MAX + 1];
    struct order o = begun(f, &p, &a, child);
    assert_int_equal(ended(f, &a, o.uuid, 3, 0, "last words"), 0);
    assert_int_equal(state_of(f, child), RUN_FAILED);
    struct read_wait *w = xnew0(struct read_wait);
    w->f = f;
    read_events(f->c, 0, false, 10000, STR_NONE, STR_NONE, count_words, read_finish, w);
    read_wait_for(w);
    assert_true(w->job.id > 0);
    assert_int_equal(w->n, 0);
    *w = (struct read_wait){ .f = f }; /* nor is it output of the rerun's job */
    read_output(f->c, 1, STREAM_STDOUT, 0, 1 << 20, read_keep_output, read_finish, w);
    read_wait_for(w);
    assert_string_equal(w->text, "");
    free(w);
}

static void what_the_script_said_wins_over_the_exit(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    char child[RUN_ID_MAX + 1];
    struct order o = begun(f, &p, &a, child);
    tell(f, &p, child, RUN_EVENT_BATCH_DONE);
    assert_int_equal(ended(f, &a, o.uuid, 1, 0, ""), 0);
    assert_int_equal(state_of(f, child), RUN_DONE);
}

/* -- stop */
static void on_started_without_error(void *ctx, const char *uuid, const struct run_command_row *cmd)
{
    (void)ctx;
    (void)uuid;
    assert_int_equal(cmd->state, RUN_COMMAND_STARTED);
    assert_int_equal(cmd->error.len, 0);
}

static void a_stop_goes_to_the_agent_with_the_pid_and_every_end_is_stopped(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    char child[RUN_ID_MAX + 1];
    struct run_view v;
    struct order o = begun(f, &p, &a, child);
    assert_int_equal(stop(f, &p, child), RUN_STOPPING);
    assert_int_equal(stop(f, &p, child), RUN_STOPPING); /* twice is once */
    struct orders stops = fetch(f, &a);
    assert_int_equal(stops.n, 1);
    assert_int_equal(stops.v[0].kind, RUN_COMMAND_STOP);
    assert_int_equal(stops.v[0].pid, 4711);
    assert_int_equal(ack(f, &a, stops.v[0].uuid, true), 0);
    assert_int_equal(state_of(f, child), RUN_STOPPING);
    look(f, &p, child, &v);
    run_orders(f->c, v.id, on_started_without_error, NULL);
    tell(f, &p, child, RUN_EVENT_BATCH_START); /* does not clear the stop */
    assert_int_equal(state_of(f, child), RUN_STOPPING);
    assert_int_equal(ended(f, &a, o.uuid, -1, 15, ""), 0);
    look(f, &p, child, &v);
    assert_int_equal(v.row->state, RUN_STOPPED);
    assert_true(v.row->stop_at && str_is(v.row->stop_by, "alice"));
    assert_int_equal(stop(f, &p, child), RUN_STOPPED); /* of what is over: nothing */
}

static void a_stop_cancels_the_rerun_that_nobody_fetched(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    char child[RUN_ID_MAX + 1];
    struct agent a = asked(f, &p, child);
    assert_int_equal(stop(f, &p, child), RUN_CANCELLED);
    struct orders os = fetch(f, &a);
    assert_int_equal(os.n, 1);
    assert_int_equal(os.v[0].kind, RUN_COMMAND_STOP);
    assert_int_equal(ack(f, &a, os.v[0].uuid, false), 0);
    assert_int_equal(state_of(f, child), RUN_CANCELLED);
}

static void a_stop_of_a_rerun_that_was_fetched_waits_for_the_agent_s_word(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    char child[RUN_ID_MAX + 1];
    struct agent a = asked(f, &p, child);
    struct orders os = fetch(f, &a);
    assert_int_equal(stop(f, &p, child), RUN_STOPPING);
    assert_refused(f, ack(f, &a, os.v[0].uuid, true), -EEXIST, "run_command.state");
    struct orders stops = fetch(f, &a);
    assert_int_equal(stops.n, 1);
    assert_int_equal(ack(f, &a, stops.v[0].uuid, false), 0); /* nothing of it runs here */
    assert_int_equal(state_of(f, child), RUN_STOPPED);
}

/* The agent says how many it runs at once; the others wait at the server, and nothing else behind them. */
static void reruns_that_wait_hold_up_neither_a_stop_nor_the_host_s_own_link(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    struct sim *m = sim_ready(f, "native-1");
    char child[40][RUN_ID_MAX + 1], batch[16];
    assert_int_equal(host_link(f->c, &f->admin, STR("native-1"), STR("web-1"), &f->err), 0);
    settle(f);
    for (size_t i = 0; i < ARRAY_SIZE(child); i++) {
        snprintf(batch, sizeof(batch), "b%zu", i);
        batch_done(f, &p, batch);
        assert_int_equal(rerun(f, &p, batch, child[i]), 0);
    }
    struct orders os = fetch(f, &a);
    assert_int_equal(os.n, ARRAY_SIZE(child));
    assert_string_equal(os.v[0].batch, child[0]); /* oldest first */
    ack(f, &a, os.v[0].uuid, true);
    assert_int_equal(stop(f, &p, child[0]), RUN_STOPPING);
    os = fetch(f, &a);
    assert_int_equal(os.n, ARRAY_SIZE(child));
    assert_int_equal(os.v[os.n - 1].kind, RUN_COMMAND_STOP);
    assert_int_equal(run_on(f, "native-1", "true").counts.offered, 1);
    sim_free(m);
}

static void without_an_agent_a_stop_is_the_script_s_to_hear(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    tell(f, &p, "b1", RUN_EVENT_BATCH_START);
    assert_int_equal(stop(f, &p, "b1"), RUN_STOPPING);
    tell(f, &p, "b1", RUN_EVENT_BATCH_DONE);
    assert_int_equal(state_of(f, "b1"), RUN_STOPPED);
}

/* -- the fleet's own verbs */
static void on_cancelled(void *ctx, int result, const struct err *err, const struct job_row *j, bool is_repeat)
{
    (void)err;
    (void)j;
    (void)is_repeat;
    *(int *)ctx = result;
}

static void cancelling_the_job_is_a_stop(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    char one[RUN_ID_MAX + 1], two[RUN_ID_MAX + 1];
    int result = 1;
    batch_done(f, &p, "b1");
    rerun(f, &p, "b1", one); /* job 1: nobody fetched it */
    job_cancel(f->c, &f->admin, 1, 0, on_cancelled, &result);
    settle(f);
    assert_int_equal(result, 0);
    assert_int_equal(state_of(f, one), RUN_CANCELLED);
    assert_int_equal(fetch(f, &a).n, 0);
    rerun(f, &p, "b1", two); /* job 2: it runs */
    ack(f, &a, fetch(f, &a).v[0].uuid, true);
    job_cancel(f->c, &f->admin, 2, 0, on_cancelled, &result);
    settle(f);
    struct orders os = fetch(f, &a);
    assert_int_equal(os.n, 1);
    assert_int_equal(os.v[0].kind, RUN_COMMAND_STOP);
    assert_int_equal(state_of(f, two), RUN_STOPPING);
}

/* Its agent may have begun it: how that ended is the agent's to say, as of a stop. */
static void a_rerun_cancelled_after_it_was_fetched_ends_as_its_agent_says(void **state)
{
    static const struct {
        bool is_late_ack, has_begun;
        int code;
    } t[] = { { true, true, 0 }, { true, true, 3 }, { true, false, -1 }, { false, true, 0 }, { false, false, -1 } };
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    int result = 1;

    for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
        char id[16], child[RUN_ID_MAX + 1];
        uint64_t job = 2 * i + 1; /* the stops are between */
        snprintf(id, sizeof(id), "b%zu", i);
        batch_done(f, &p, id);
        rerun(f, &p, id, child);
        struct orders os = fetch(f, &a);
        assert_int_equal(os.n, 1);
        job_cancel(f->c, &f->admin, job, 0, on_cancelled, &result);
        settle(f);
        assert_int_equal(result, 0);
        assert_int_equal(the_task(f, job).state, TASK_OFFERED);
        struct orders stops = fetch(f, &a); /* the rerun is not handed out again */
        assert_int_equal(stops.n, 1);
        assert_int_equal(stops.v[0].kind, RUN_COMMAND_STOP);
        assert_int_equal(state_of(f, child), RUN_STOPPING);
        if (t[i].is_late_ack)
            assert_refused(f, ack(f, &a, os.v[0].uuid, t[i].has_begun), -EEXIST, "run_command.state");
        if (t[i].is_late_ack)
            assert_int_equal(the_task(f, job).state, t[i].has_begun ? TASK_RUNNING : TASK_DONE);
        if (t[i].has_begun)
            assert_int_equal(ended(f, &a, os.v[0].uuid, t[i].code, 0, ""), 0);
        assert_int_equal(ack(f, &a, stops.v[0].uuid, false), 0); /* nothing of it runs, or no more */
        assert_int_equal(state_of(f, child), RUN_STOPPED);
        assert_int_equal(the_task(f, job).state, TASK_DONE);
        assert_int_equal(the_task(f, job).outcome, OUTCOME_CANCELLED);
        assert_int_equal(the_task(f, job).exit_code, t[i].code);
    }
}

static void a_rerun_cancelled_on_its_way_to_an_agent_that_is_gone_ends_too(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    char child[RUN_ID_MAX + 1];
    int result = 1;
    struct agent a = asked(f, &p, child);
    fetch(f, &a);
    job_cancel(f->c, &f->admin, 1, 0, on_cancelled, &result);
    pass(f, 10 * USEC_PER_SEC);
    assert_int_equal(state_of(f, child), RUN_STOPPING);
    pass(f, RUN_SILENCE + 10 * USEC_PER_SEC);
    assert_int_equal(state_of(f, child), RUN_STOPPED);
    assert_int_equal(the_task(f, 1).state, TASK_DONE);
    assert_int_equal(the_task(f, 1).outcome, OUTCOME_LOST);
}

static void a_rerun_stopped_on_its_way_ends_without_its_agent_s_word(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    char child[RUN_ID_MAX + 1];
    struct agent a = asked(f, &p, child);
    fetch(f, &a);
    assert_int_equal(stop(f, &p, child), RUN_STOPPING);
    tell(f, &p, child, RUN_EVENT_BATCH_DONE); /* an agent that tells no exits */
    assert_int_equal(state_of(f, child), RUN_STOPPED);
    assert_int_not_equal(the_task(f, 1).state, TASK_DONE);
    pass(f, 3 * USEC_PER_MIN);
    assert_int_equal(the_task(f, 1).outcome, OUTCOME_CANCELLED);
}

static void a_rerun_whose_agent_has_not_told_its_end_is_not_made_room_of(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    char child[RUN_ID_MAX + 1], id[16];
    struct agent a = asked(f, &p, child);
    struct orders os = fetch(f, &a);
    assert_int_equal(stop(f, &p, child), RUN_STOPPING);
    struct orders stops = fetch(f, &a);
    assert_int_equal(ack(f, &a, stops.v[0].uuid, true), 0);
    tell(f, &p, child, RUN_EVENT_BATCH_DONE);
    assert_int_equal(state_of(f, child), RUN_STOPPED); /* over, and the oldest but one; its process may still run */
    for (int i = 0; i < 5001; i++) {
        snprintf(id, sizeof(id), "x%d", i);
        batch_done(f, &p, id);
    }
    assert_int_equal(ended(f, &a, os.v[0].uuid, 0, 0, ""), 0);
    assert_int_equal(the_task(f, 1).state, TASK_DONE);
    batch_done(f, &p, "y");
    assert_refused(f, ended(f, &a, os.v[0].uuid, 0, 0, ""), -ENOENT, "run_command.unknown"); /* now it went */
}

static void a_cancel_that_is_fetched_ends_nothing_else(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    struct fleet_counts n;
    char one[RUN_ID_MAX + 1], two[RUN_ID_MAX + 1];
    int result = 1;
    batch_done(f, &p, "b1");
    batch_done(f, &p, "b2");
    rerun(f, &p, "b1", one); /* job 1 */
    rerun(f, &p, "b2", two); /* job 2 */
    struct orders os = fetch(f, &a);
    ack(f, &a, os.v[0].uuid, true);
    ack(f, &a, os.v[1].uuid, true);
    tell(f, &p, one, RUN_EVENT_BATCH_DONE); /* its exit is still to come */
    job_cancel(f->c, &f->admin, 2, 0, on_cancelled, &result);
    settle(f);
    assert_int_equal(fetch(f, &a).n, 1);
    fleet_count(f->c, &n);
    assert_int_equal(n.open_jobs, 3); /* both, and the stop */
    assert_int_equal(ended(f, &a, os.v[0].uuid, 0, 0, ""), 0);
}

static void a_rerun_of_a_host_that_is_forgotten_waits_for_another(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    agent_make(f, &p, "web-1");
    char child[RUN_ID_MAX + 1];
    batch_done(f, &p, "b1");
    rerun(f, &p, "b1", child);
    assert_int_equal(host_forget(f->c, &f->admin, STR("web-1"), &f->err), 0);
    settle(f);
    assert_int_equal(state_of(f, child), RUN_REQUESTED);
    struct agent b = agent_make(f, &p, "web-1");
    assert_string_equal(fetch(f, &b).v[0].batch, child);
}

static void a_rerun_s_job_ends_even_if_the_agent_tells_no_exits(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    struct fleet_counts n;
    char child[RUN_ID_MAX + 1];
    begun(f, &p, &a, child);
    tell(f, &p, child, RUN_EVENT_BATCH_DONE);
    fleet_count(f->c, &n);
    assert_int_equal(n.open_jobs, 1);
    pass(f, 3 * USEC_PER_MIN);
    fleet_count(f->c, &n);
    assert_int_equal(n.open_jobs, 0);
}

static void on_newest_signal(void *ctx, const char *uuid, const struct run_command_row *cmd)
{
    (void)uuid;
    if (cmd->kind == RUN_COMMAND_RERUN)
        assert_int_equal(cmd->signal, *(const int *)ctx);
}

/* A stop that was acknowledged, and then not a word, from nobody. */
static void a_job_ends_as_lost_when_its_run_is_given_up(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    struct fleet_counts n;
    struct run_view v;
    char child[RUN_ID_MAX + 1];
    struct order o = begun(f, &p, &a, child);
    stop(f, &p, child);
    ack(f, &a, fetch(f, &a).v[0].uuid, true);
    pass(f, RUN_SILENCE - 10 * USEC_PER_SEC);
    fleet_count(f->c, &n);
    assert_int_equal(n.open_jobs, 1);
    assert_int_equal(the_task(f, 1).state, TASK_RUNNING);
    pass(f, 20 * USEC_PER_SEC);
    assert_int_equal(state_of(f, child), RUN_STOPPED);
    fleet_count(f->c, &n);
    assert_int_equal(n.open_jobs, 0);
    assert_int_equal(the_task(f, 1).outcome, OUTCOME_LOST);
    assert_int_equal(ended(f, &a, o.uuid, -1, 15, "late"), 0); /* it was only away: what it knows is kept */
    look(f, &p, child, &v);
    assert_int_equal(v.row->state, RUN_STOPPED);
    run_orders(f->c, v.id, on_newest_signal, &(int){ 15 });
    assert_int_equal(the_task(f, 1).outcome, OUTCOME_LOST);
}

static void a_stopped_rerun_s_job_did_not_succeed(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    char child[RUN_ID_MAX + 1];
    begun(f, &p, &a, child);
    stop(f, &p, child);
    tell(f, &p, child, RUN_EVENT_BATCH_DONE); /* and this agent tells no exits */
    pass(f, 3 * USEC_PER_MIN);
    assert_int_equal(the_task(f, 1).outcome, OUTCOME_CANCELLED);
}

static void a_rerun_that_was_stopped_ends_as_cancelled_however_it_exits(void **state)
{
    static const struct {
        bool is_told; /* its script says the end before the agent does */
        int code, signal;
    } t[] = { { false, -1, 15 }, { false, 3, 0 }, { false, 0, 0 }, { true, -1, 15 } };
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    struct run_view v;

    for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
        char id[16], child[RUN_ID_MAX + 1];
        snprintf(id, sizeof(id), "b%zu", i);
        batch_done(f, &p, id);
        rerun(f, &p, id, child); /* tasks 1, 3, 5 ...; the stops are between */
        struct orders os = fetch(f, &a);
        ack(f, &a, os.v[0].uuid, true);
        stop(f, &p, child);
        ack(f, &a, fetch(f, &a).v[0].uuid, true);
        if (t[i].is_told)
            tell(f, &p, child, RUN_EVENT_BATCH_DONE);
        assert_int_equal(ended(f, &a, os.v[0].uuid, t[i].code, t[i].signal, ""), 0);
        assert_int_equal(state_of(f, child), RUN_STOPPED);
        assert_int_equal(the_task(f, 2 * i + 1).outcome, OUTCOME_CANCELLED);
        look(f, &p, child, &v);
        if (t[i].signal)
            run_orders(f->c, v.id, on_newest_signal, (void *)&t[i].signal);
    }
}

static void cancelling_the_job_of_an_agent_that_is_gone_ends_it(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    struct fleet_counts n;
    char child[RUN_ID_MAX + 1];
    int result = 1;
    begun(f, &p, &a, child);
    job_cancel(f->c, &f->admin, 1, 0, on_cancelled, &result);
    pass(f, 10 * USEC_PER_SEC);
    assert_int_equal(result, 0);
    assert_int_equal(state_of(f, child), RUN_STOPPING); /* its script hears of it too */
    pass(f, RUN_SILENCE + 10 * USEC_PER_SEC);
    assert_int_equal(state_of(f, child), RUN_STOPPED);
    assert_int_equal(the_task(f, 1).outcome, OUTCOME_LOST);
    fleet_count(f->c, &n);
    assert_int_equal(n.open_jobs, 1); /* the stop still waits for the agent */
}

/* -- silence */
static void a_silent_run_stalls_and_speaks_up_again(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    tell(f, &p, "b1", RUN_EVENT_BATCH_START);
    pass(f, RUN_SILENCE - 10 * USEC_PER_SEC);
    assert_int_equal(state_of(f, "b1"), RUN_RUNNING);
    pass(f, 20 * USEC_PER_SEC);
    assert_int_equal(state_of(f, "b1"), RUN_STALLED);
    tell(f, &p, "b1", RUN_EVENT_LOG);
    assert_int_equal(state_of(f, "b1"), RUN_RUNNING);
    assert_int_equal(stop(f, &p, "b1"), RUN_STOPPING);
    pass(f, RUN_SILENCE + 10 * USEC_PER_SEC);
    assert_int_equal(state_of(f, "b1"), RUN_STOPPED);
}

/* -- long polls */
static void on_wake(void *ctx)
{
    ++*(int *)ctx;
}

static void a_long_poll_wakes_for_work_for_its_time_and_for_the_next_one(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    char child[RUN_ID_MAX + 1];
    int one = 0, two = 0;
    batch_done(f, &p, "b1");
    run_poll_wait(f->c, &a.ref, 30 * USEC_PER_SEC, on_wake, &one);
    run_poll_wait(f->c, &a.ref, 30 * USEC_PER_SEC, on_wake, &two);
    settle(f);
    assert_int_equal(one, 1);
    pass(f, 29 * USEC_PER_SEC);
    assert_int_equal(two, 0);
    pass(f, 2 * USEC_PER_SEC);
    assert_int_equal(two, 1);
    run_poll_wait(f->c, &a.ref, 30 * USEC_PER_SEC, on_wake, &one);
    rerun(f, &p, "b1", child);
    assert_int_equal(one, 2);
    run_poll_wait(f->c, &a.ref, 30 * USEC_PER_SEC, on_wake, &two); /* left waiting: told when control ends */
    restart(f);
    assert_int_equal(two, 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(registering_again_keeps_the_id_and_kills_the_old_token),
        T(labels_and_owners_tell_agents_of_one_host_apart),
        T(an_agent_is_a_host_of_the_fleet),
        T(a_viewer_s_token_and_a_bad_name_register_nothing),
        T(another_agent_s_token_is_refused_apart_from_an_unknown_one),
        T(revoking_or_forgetting_the_host_kills_the_token),
        T(revoking_the_agent_revokes_the_host_and_is_its_owner_s),
        T(a_token_with_a_life_dies_of_age_and_register_gives_another),
        T(a_linked_host_is_not_its_agent_s_owner_s_to_revoke_or_forget),
        T(agents_of_one_machine_hear_only_of_their_own_commands),
        T(revoking_the_parent_revokes_its_agents_unless_asked_not_to),
        T(agents_of_a_disabled_user_are_refused),
        T(the_badge_follows_the_server_s_clock),
        T(the_badge_does_not_go_out_over_a_restart),
        T(a_silent_agent_was_last_seen_then_after_a_restart_too),
        T(a_rerun_is_fetched_until_it_is_acknowledged),
        T(two_clicks_are_one_command_even_ten_minutes_apart),
        T(the_second_click_is_one_with_the_first_though_the_agent_was_faster),
        T(two_people_s_wishes_are_two_reruns_and_whose_agents_run_them_stops_both),
        T(a_refused_rerun_leaves_the_batch_requested),
        T(only_what_is_over_and_has_a_command_is_started_again),
        T(without_an_agent_a_rerun_waits_a_day_for_one),
        T(a_rerun_of_the_oldest_keeps_its_source),
        T(a_name_taken_by_another_user_s_agent_gets_nothing),
        T(the_label_that_is_the_os_user_is_chosen),
        T(an_exit_ends_a_run_whose_script_said_nothing),
        T(what_a_run_printed_is_its_owner_s),
        T(what_the_script_said_wins_over_the_exit),
        T(a_stop_goes_to_the_agent_with_the_pid_and_every_end_is_stopped),
        T(a_stop_cancels_the_rerun_that_nobody_fetched),
        T(a_stop_of_a_rerun_that_was_fetched_waits_for_the_agent_s_word),
        T(reruns_that_wait_hold_up_neither_a_stop_nor_the_host_s_own_link),
        T(without_an_agent_a_stop_is_the_script_s_to_hear),
        T(cancelling_the_job_is_a_stop),
        T(a_rerun_cancelled_after_it_was_fetched_ends_as_its_agent_says),
        T(a_rerun_cancelled_on_its_way_to_an_agent_that_is_gone_ends_too),
        T(a_rerun_stopped_on_its_way_ends_without_its_agent_s_word),
        T(a_rerun_whose_agent_has_not_told_its_end_is_not_made_room_of),
        T(a_cancel_that_is_fetched_ends_nothing_else),
        T(a_rerun_of_a_host_that_is_forgotten_waits_for_another),
        T(a_rerun_s_job_ends_even_if_the_agent_tells_no_exits),
        T(a_job_ends_as_lost_when_its_run_is_given_up),
        T(a_stopped_rerun_s_job_did_not_succeed),
        T(a_rerun_that_was_stopped_ends_as_cancelled_however_it_exits),
        T(cancelling_the_job_of_an_agent_that_is_gone_ends_it),
        T(a_silent_run_stalls_and_speaks_up_again),
        T(a_long_poll_wakes_for_work_for_its_time_and_for_the_next_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
