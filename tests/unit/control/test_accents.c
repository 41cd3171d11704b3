/* tests/unit/control/test_accents.c - hosts known through a foreign accent. */
#include "fixture.h"

#include "control/accent.h"

static struct sighting sight(const char *id, const char *approved_by)
{
    return (struct sighting){ .dialect = "sigma",
                              .external_id = str_of(id),
                              .claims = { .hostname = str_of(id), .os = STR("Debian"), .agent_version = STR("1") },
                              .peer_addr = "192.0.2.7",
                              .approved_by = approved_by,
                              .every = USEC_PER_MIN };
}
static int meet_as(struct fixture *f, const struct sighting *s, uint64_t *ret_id, bool *ret_new)
{
    f->err = (struct err){ 0 };
    int r = accent_meet(f->c, s, ret_id, ret_new, &f->err);
    settle(f);
    return r;
}
static uint64_t meet(struct fixture *f, const char *id, const char *approved_by)
{
    uint64_t host = 0;
    bool is_new;
    const struct sighting s = sight(id, approved_by);
    assert_int_equal(meet_as(f, &s, &host, &is_new), 0);
    return host;
}
static int seen(struct fixture *f, uint64_t id)
{
    f->err = (struct err){ 0 };
    return accent_seen(f->c, id, "192.0.2.8", NULL, 0, &f->err);
}
static struct host_view view(struct fixture *f, uint64_t id)
{
    struct host_view v;
    assert_true(host_view_of(f->c, (struct host_id){ id }, &v));
    return v;
}

/* -- becoming known */
static void a_new_host_is_one_ordinary_row_with_its_dialect(void **state)
{
    struct fixture *f = *state;
    uint64_t id, again;
    bool is_new;
    const struct sighting s = sight("web-1", "sigma key 3");
    assert_int_equal(meet_as(f, &s, &id, &is_new), 0);
    assert_true(is_new);
    struct host_view v = view(f, id);
    assert_true(str_is(v.dialect, "sigma") && str_is(v.name, "web-1") && str_is(v.decided_by, "sigma key 3"));
    assert_int_equal(v.state, HOST_APPROVED);
    assert_int_equal(v.presence, PRESENCE_NEVER); /* meeting is no sign of life */
    assert_int_equal(meet_as(f, &s, &again, &is_new), 0);
    assert_false(is_new);
    assert_int_equal(again, id);
    assert_int_equal(n_events(f, "agent.registered"), 1);
    assert_int_equal(n_events(f, "host.approved"), 1);
}

static void the_same_id_in_two_dialects_is_two_hosts(void **state)
{
    struct fixture *f = *state;
    struct sighting s = sight("7", "a");
    uint64_t one, two;
    bool is_new;
    assert_int_equal(meet_as(f, &s, &one, &is_new), 0);
    s.dialect = "grapheon";
    assert_int_equal(meet_as(f, &s, &two, &is_new), 0);
    assert_true(is_new && one != two);
    assert_int_equal(accent_find(f->c, "grapheon", STR("7"), &one, &f->err), 0);
    assert_int_equal(one, two);
    assert_int_equal(accent_find(f->c, "argus", STR("7"), &one, &f->err), -ENOENT);
    assert_slug(f, "host.unknown");
}

static void nobody_is_found_by_name(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web-1");
    uint64_t id = meet(f, "web-1", "a");
    struct host_view v = view(f, id);
    assert_string_not_equal(v.uuid, m->uuid);
    assert_true(str_is(v.name, "web-1-2"));
    sim_free(m);
}

static void an_id_is_1_to_128_bytes_of_text(void **state)
{
    struct fixture *f = *state;
    char text[130];
    uint64_t id;
    bool is_new;
    memset(text, 'x', sizeof(text));
    struct sighting s = sight("", "a");
    assert_int_equal(meet_as(f, &s, &id, &is_new), -EINVAL);
    assert_slug(f, "field.invalid");
    s.external_id = (struct str){ text, 1 };
    assert_int_equal(meet_as(f, &s, &id, &is_new), 0);
    s.external_id.len = 128;
    assert_int_equal(meet_as(f, &s, &id, &is_new), 0);
    s.external_id.len = 129;
    assert_int_equal(meet_as(f, &s, &id, &is_new), -EINVAL);
    s.external_id = STR("a\0b");
    assert_int_equal(meet_as(f, &s, &id, &is_new), -EINVAL);
    s.external_id = STR("\xff");
    assert_int_equal(meet_as(f, &s, &id, &is_new), -EINVAL);
}

static void one_that_waits_is_approved_by_an_operator_or_a_later_key(void **state)
{
    struct fixture *f = *state;
    uint64_t a = meet(f, "a", NULL), b = meet(f, "b", NULL);
    assert_int_equal(view(f, a).state, HOST_PENDING);
    assert_int_equal(seen(f, a), -EACCES);
    assert_slug(f, "host.pending");
    assert_int_equal(enroll_approve(f->c, &f->admin, STR("a"), false, STR_NONE, &f->err), 0);
    assert_int_equal(seen(f, a), 0);
    assert_int_equal(meet(f, "b", "key"), b);
    assert_int_equal(view(f, b).state, HOST_APPROVED);
    struct fleet_counts n;
    fleet_count(f->c, &n);
    assert_int_equal(n.pending, 0);
    assert_int_equal(n.total, 2);
}

static void rejected_and_revoked_ones_hear_so_and_stay_known(void **state)
{
    struct fixture *f = *state;
    uint64_t a = meet(f, "a", NULL), b = meet(f, "b", "key"), id;
    bool is_new;
    assert_int_equal(enroll_reject(f->c, &f->admin, STR("a"), STR_NONE, &f->err), 0);
    assert_int_equal(enroll_revoke(f->c, &f->admin, STR("b"), STR_NONE, &f->err), 0);
    struct sighting s = sight("a", "key");
    assert_int_equal(meet_as(f, &s, &id, &is_new), -EACCES);
    assert_slug(f, "host.rejected");
    assert_int_equal(id, a);
    s = sight("b", "key");
    assert_int_equal(meet_as(f, &s, &id, &is_new), -EACCES);
    assert_slug(f, "host.revoked");
    assert_int_equal(id, b);
    assert_int_equal(seen(f, b), -EACCES);
    assert_slug(f, "host.revoked");
    assert_int_equal(seen(f, 999), -ENOENT);
}

static void a_forgotten_host_begins_anew(void **state)
{
    struct fixture *f = *state;
    uint64_t a = meet(f, "a", "key"), b;
    assert_int_equal(host_forget(f->c, &f->admin, STR("a"), &f->err), 0);
    settle(f);
    assert_int_equal(accent_find(f->c, "sigma", STR("a"), &b, &f->err), -ENOENT);
    assert_int_equal(seen(f, a), -ENOENT);
    restart(f);
    assert_int_equal(accent_find(f->c, "sigma", STR("a"), &b, &f->err), -ENOENT);
    assert_int_not_equal(meet(f, "a", "key"), a);
}

static void names_and_intervals_last(void **state)
{
    struct fixture *f = *state;
    uint64_t a = meet(f, "a", "key"), b;
    char name[129];
    assert_int_equal(seen(f, a), 0);
    settle(f);
    restart(f);
    assert_int_equal(accent_find(f->c, "sigma", STR("a"), &b, &f->err), 0);
    assert_int_equal(a, b);
    assert_true(accent_name_of(f->c, a, "sigma", name));
    assert_string_equal(name, "a");
    assert_false(accent_name_of(f->c, a, "argus", name));
    assert_true(str_is(view(f, a).dialect, "sigma"));
    assert_int_equal(view(f, a).presence, PRESENCE_ONLINE); /* it was, and nothing says otherwise yet */
}

static void operators_rename_label_and_select_them(void **state)
{
    struct fixture *f = *state;
    uint64_t a = meet(f, "a", "key");
    struct kv kv = { STR("role"), STR("web") };
    const struct kv_list labels = { &kv, 1 };
    assert_int_equal(host_rename(f->c, &f->admin, STR("a"), STR("front"), &f->err), 0);
    assert_int_equal(host_label(f->c, &f->admin, STR("front"), &labels, &f->err), 0);
    settle(f);
    assert_int_equal(meet(f, "a", "key"), a);
    assert_true(str_is(view(f, a).name, "front"));
    assert_int_equal(view(f, a).labels->n, 1);
}

/* -- waiting */
static void only_so_many_wait_and_a_key_still_gets_in(void **state)
{
    struct fixture *f = *state;
    char id[16];
    uint64_t host;
    bool is_new;
    for (int i = 0; i < LIMIT_PENDING_HOSTS; i++) {
        snprintf(id, sizeof(id), "h%d", i);
        const struct sighting s = sight(id, NULL);
        assert_int_equal(accent_meet(f->c, &s, &host, &is_new, &f->err), 0);
        if (i % 1000 == 0)
            settle(f);
    }
    struct sighting s = sight("one more", NULL);
    assert_int_equal(meet_as(f, &s, &host, &is_new), -EBUSY);
    assert_slug(f, "enroll.full");
    s.approved_by = "key";
    assert_int_equal(meet_as(f, &s, &host, &is_new), 0);
    s = sight("h7", NULL);
    assert_int_equal(meet_as(f, &s, &host, &is_new), 0); /* who waits already is no news */
}

static void one_that_waits_expires_unless_it_registers_again(void **state)
{
    struct fixture *f = *state;
    meet(f, "gone", NULL);
    uint64_t stays = meet(f, "stays", NULL);
    pass(f, 5 * USEC_PER_DAY);
    assert_int_equal(meet(f, "stays", NULL), stays);
    pass(f, 3 * USEC_PER_DAY);
    uint64_t id;
    assert_int_equal(accent_find(f->c, "sigma", STR("gone"), &id, &f->err), -ENOENT);
    assert_int_equal(accent_find(f->c, "sigma", STR("stays"), &id, &f->err), 0);
    restart(f);
    assert_int_equal(accent_find(f->c, "sigma", STR("stays"), &id, &f->err), 0);
    pass(f, 5 * USEC_PER_DAY);
    assert_int_equal(accent_find(f->c, "sigma", STR("stays"), &id, &f->err), -ENOENT);
}

/* -- staying known */
static void presence_goes_by_the_hosts_own_interval(void **state)
{
    struct fixture *f = *state;
    uint64_t a = meet(f, "a", "key"); /* a minute: late after 2, lost after 4 */
    assert_int_equal(seen(f, a), 0);
    assert_int_equal(view(f, a).presence, PRESENCE_ONLINE);
    pass(f, 119 * USEC_PER_SEC);
    assert_int_equal(view(f, a).presence, PRESENCE_ONLINE);
    pass(f, 2 * USEC_PER_SEC);
    assert_int_equal(view(f, a).presence, PRESENCE_LATE);
    pass(f, 118 * USEC_PER_SEC);
    assert_int_equal(view(f, a).presence, PRESENCE_LATE);
    pass(f, 2 * USEC_PER_SEC);
    assert_int_equal(view(f, a).presence, PRESENCE_LOST);
    assert_int_equal(seen(f, a), 0);
    assert_int_equal(view(f, a).presence, PRESENCE_ONLINE);
    assert_int_equal(n_events(f, "host.lost"), 1);
}

static void a_short_interval_still_gives_half_a_minute(void **state)
{
    struct fixture *f = *state;
    uint64_t a = meet(f, "a", "key");
    assert_int_equal(accent_seen(f->c, a, NULL, NULL, USEC_PER_SEC, &f->err), 0);
    settle(f);
    pass(f, 29 * USEC_PER_SEC);
    assert_int_equal(view(f, a).presence, PRESENCE_ONLINE);
    pass(f, 2 * USEC_PER_SEC);
    assert_int_equal(view(f, a).presence, PRESENCE_LATE);
}

static void a_daily_host_is_not_lost_over_a_restart(void **state)
{
    struct fixture *f = *state;
    uint64_t a = meet(f, "a", "key"), b = meet(f, "b", "key");
    assert_int_equal(accent_seen(f->c, a, NULL, NULL, USEC_PER_DAY, &f->err), 0);
    settle(f);
    pass(f, 20 * USEC_PER_HOUR);
    assert_int_equal(seen(f, b), 0); /* somebody was there just now */
    settle(f);
    restart(f);
    assert_int_equal(view(f, a).presence, PRESENCE_ONLINE);
    pass(f, USEC_PER_HOUR);
    assert_int_equal(view(f, a).presence, PRESENCE_ONLINE);
    assert_int_equal(view(f, b).presence, PRESENCE_LOST);
}

/* A host that was heard so long ago. */
static uint64_t heard_last(struct fixture *f, usec_t ago)
{
    uint64_t a = meet(f, "a", "key");
    assert_int_equal(seen(f, a), 0);
    settle(f);
    pass(f, ago);
    return a;
}

static void who_is_lost_stays_lost_over_a_restart(void **state)
{
    struct fixture *f = *state;
    uint64_t a = heard_last(f, 241 * USEC_PER_SEC);
    assert_int_equal(view(f, a).presence, PRESENCE_LOST);
    restart(f); /* nobody was heard since: its age alone does not say so */
    assert_int_equal(view(f, a).presence, PRESENCE_LOST);
    pass(f, 300 * USEC_PER_SEC);
    assert_int_equal(view(f, a).presence, PRESENCE_LOST);
    assert_int_equal(n_events(f, "host.lost"), 1);
    assert_int_equal(n_events(f, "host.late"), 1);
    assert_int_equal(seen(f, a), 0);
    settle(f);
    restart(f);
    assert_int_equal(view(f, a).presence, PRESENCE_ONLINE);
}

/* Nobody else was heard who could tell when the server stopped. */
static void silence_before_a_clean_stop_counts_after_it(void **state)
{
    struct fixture *f = *state;
    uint64_t a = heard_last(f, 100 * USEC_PER_SEC);
    control_drain(f->c);
    settle(f);
    restart(f);
    assert_int_equal(view(f, a).presence, PRESENCE_ONLINE);
    pass(f, 85 * USEC_PER_SEC); /* and the 40 s of the 100 that are sure: late after 120 */
    assert_int_equal(view(f, a).presence, PRESENCE_LATE);
}

static void last_seen_is_durable_within_a_minute(void **state)
{
    struct fixture *f = *state;
    uint64_t a = heard_last(f, 10 * USEC_PER_SEC);
    assert_int_equal(seen(f, a), 0); /* too soon to be written, and the last we hear */
    usec_t last = view(f, a).last_seen;
    pass(f, 40 * USEC_PER_SEC);
    restart(f);
    assert_int_equal(view(f, a).last_seen, last);
}

static void a_sample_and_the_address_are_shown(void **state)
{
    struct fixture *f = *state;
    uint64_t a = meet(f, "a", "key");
    const struct heartbeat b = { .load1 = 0.5, .uptime_s = 77 };
    assert_int_equal(accent_seen(f->c, a, "198.51.100.4", &b, 0, &f->err), 0);
    struct host_view v = view(f, a);
    assert_true(v.has_beat && v.beat.uptime_s == 77 && str_is(v.peer, "198.51.100.4"));
    assert_string_equal(v.status, "ready");
    settle(f);
    for (int i = 0; i < 3; i++) { /* the address it last spoke from, over restarts; another one within half a minute */
        restart(f);
        assert_true(str_is(view(f, a).peer, i < 2 ? "198.51.100.4" : "198.51.100.5"));
        pass(f, USEC_PER_SEC);
        assert_int_equal(accent_seen(f->c, a, i == 0 ? "198.51.100.4" : "198.51.100.5", NULL, 0, &f->err), 0);
        settle(f);
        pass(f, 30 * USEC_PER_SEC);
    }
}

/* -- facts */
static struct fact_digest digest_of(struct fact_row *rows, size_t n)
{
    struct fact_digest sum = { 0 }, h;
    for (size_t i = 0; i < n; i++) {
        fact_row_hash(&rows[i], &h);
        fact_digest_add(&sum, &h);
    }
    return sum;
}
struct section_seen {
    struct fixture *f;
    char text[1024];
    bool is_done;
};
static void on_section(void *ctx, const struct fact_head *h, struct str body)
{
    struct section_seen *s = ctx;
    struct fact_row row;
    size_t pos = 0, len = 0;
    (void)h;
    while (body_next(body, &pos, &row) == 1)
        len += (size_t)snprintf(s->text + len, sizeof(s->text) - len, "%.*s ", STR_FMT(row.key));
}
static void on_section_done(void *ctx, int result)
{
    assert_int_equal(result, 0);
    ((struct section_seen *)ctx)->is_done = true;
}
static const char *keys_of(struct fixture *f, uint64_t host, const char *section, struct section_seen *s)
{
    *s = (struct section_seen){ .f = f };
    read_facts(f->c, host, str_of(section), on_section, on_section_done, s);
    turn(f);
    while (!s->is_done) {
        fixture_wait(f);
        turn(f);
    }
    return s->text;
}

static void blind_deltas_are_taken_as_they_come(void **state)
{
    struct fixture *f = *state;
    struct section_seen s;
    uint64_t a = meet(f, "a", "key");
    struct fact_row one[] = { { STR("k1"), STR("{\"v\":1}") } }, two[] = { { STR("k2"), STR("{\"v\":2}") } };
    struct str removed[] = { STR("k1") };
    struct section_delta d = { .name = STR("listeners"), .status = SECTION_OK, .rows = one, .n_rows = 1 };
    enum section_status status;
    struct fact_digest got;
    assert_false(accent_section(f->c, a, STR("listeners"), &status, &got));
    assert_int_equal(accent_facts(f->c, a, &d, true, &f->err), DELTA_TAKE);
    d.rows = two;
    assert_int_equal(accent_facts(f->c, a, &d, true, &f->err), DELTA_TAKE);
    settle(f);
    assert_string_equal(keys_of(f, a, "listeners", &s), "k1 k2 ");
    d = (struct section_delta){ .name = STR("listeners"), .status = SECTION_OK, .removed = removed, .n_removed = 1 };
    assert_int_equal(accent_facts(f->c, a, &d, true, &f->err), DELTA_TAKE);
    settle(f);
    assert_string_equal(keys_of(f, a, "listeners", &s), "k2 ");
    assert_true(accent_section(f->c, a, STR("listeners"), &status, &got));
    assert_int_equal(status, SECTION_OK);
    assert_int_equal(n_events(f, "inventory.changed"), 1);
}

static void judged_deltas_need_what_is_recorded(void **state)
{
    struct fixture *f = *state;
    struct section_seen s;
    uint64_t a = meet(f, "a", "key");
    struct fact_row rows[] = { { STR("k1"), STR("{\"v\":1}") }, { STR("k2"), STR("{\"v\":2}") } };
    struct section_delta d = { .name = STR("routes"), .status = SECTION_OK, .rows = rows + 1, .n_rows = 1 };
    d.base = digest_of(rows, 1);
    d.digest = digest_of(rows, 2);
    assert_int_equal(accent_facts(f->c, a, &d, false, &f->err), DELTA_RESYNC);
    struct section_delta full = { .name = STR("routes"), .status = SECTION_OK, .full = true, .rows = rows, .n_rows = 1 };
    full.digest = digest_of(rows, 1);
    assert_int_equal(accent_facts(f->c, a, &full, false, &f->err), DELTA_TAKE);
    assert_true(accent_section_is(f->c, a, STR("routes"), &full.digest));
    assert_int_equal(accent_facts(f->c, a, &d, false, &f->err), DELTA_TAKE);
    assert_int_equal(accent_facts(f->c, a, &d, false, &f->err), DELTA_TAKE_SAME);
    assert_true(accent_section_is(f->c, a, STR("routes"), &d.digest));
    settle(f);
    assert_string_equal(keys_of(f, a, "routes", &s), "k1 k2 ");
    restart(f);
    assert_true(accent_section_is(f->c, a, STR("routes"), &d.digest));
}

static void after_a_blind_delta_a_judged_one_asks_for_all(void **state)
{
    struct fixture *f = *state;
    uint64_t a = meet(f, "a", "key");
    struct fact_row rows[] = { { STR("k1"), STR("{}") } };
    struct section_delta d = { .name = STR("routes"), .status = SECTION_OK, .rows = rows, .n_rows = 1 };
    assert_int_equal(accent_facts(f->c, a, &d, true, &f->err), DELTA_TAKE);
    d.digest = digest_of(rows, 1);
    assert_int_equal(accent_facts(f->c, a, &d, false, &f->err), DELTA_RESYNC);
    d.full = true;
    assert_int_equal(accent_facts(f->c, a, &d, true, &f->err), DELTA_TAKE); /* full and blind: the digest is made here */
    assert_false(accent_section_is(f->c, a, STR("routes"), &(struct fact_digest){ 0 }));
    struct fact_digest want = digest_of(rows, 1);
    assert_true(accent_section_is(f->c, a, STR("routes"), &want));
}

static void facts_of_unknown_sections_and_of_who_may_not_speak_are_refused(void **state)
{
    struct fixture *f = *state;
    uint64_t a = meet(f, "a", "key"), b = meet(f, "b", NULL);
    struct section_delta d = { .name = STR("horoscope"), .status = SECTION_OK };
    assert_int_equal(accent_facts(f->c, a, &d, true, &f->err), -ENOENT);
    assert_slug(f, "section.unknown");
    d.name = STR("routes");
    assert_int_equal(accent_facts(f->c, b, &d, true, &f->err), -EACCES);
    assert_slug(f, "host.pending");
    assert_int_equal(accent_facts(f->c, 999, &d, true, &f->err), -ENOENT);
}

/* -- orders */
static void a_command_for_a_host_that_runs_none_is_refused_by_name(void **state)
{
    struct fixture *f = *state;
    meet(f, "a", "key");
    struct job_news n = run_on(f, "a", "true");
    assert_int_equal(n.result, -EINVAL);
    assert_string_equal(n.slug, "host.cannot");
}

static void a_selector_runs_what_can_and_refuses_the_rest(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web-1");
    meet(f, "a", "key");
    struct job_news n = run_on(f, NULL, "true");
    assert_int_equal(n.result, 0);
    struct job_row j = the_job(f, n.id);
    assert_int_equal(j.counts.total, 2);
    assert_int_equal(j.counts.failed, 1);
    assert_int_equal(f->n_offers, 1);
    struct read_wait w = { .f = f };
    read_task(f->c, 1, read_keep_task, read_finish, &w);
    read_wait_for(&w);
    assert_int_equal(w.task.outcome, OUTCOME_REFUSED);
    assert_non_null(strstr(w.message, "a is known through sigma"));
    sim_free(m);
}

static void a_job_of_hosts_that_all_cannot_is_over_at_once(void **state)
{
    struct fixture *f = *state;
    meet(f, "a", "key");
    struct job_news n = run_on(f, NULL, "true");
    assert_int_equal(n.result, 0);
    assert_int_equal(the_job(f, n.id).state, JOB_FAILED);
}

/* -- linking */
static void linking_moves_the_names_and_forgets_the_other_row(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web-1");
    uint64_t a = meet(f, "a", "key"), id;
    struct host_view v;
    const struct credential_wish w = { .kind = SECRET_ARGUS_AGENT, .host_id = a };
    char text[SECRET_TEXT_MAX], name[129];
    uint64_t cr = credential_make(f->c, &w, text)->id;
    assert_int_equal(seen(f, a), 0);
    settle(f);
    assert_int_equal(host_link(f->c, &f->viewer, STR("web-1"), STR("a"), &f->err), -EACCES);
    assert_int_equal(host_link(f->c, &f->admin, STR("web-1"), STR("a"), &f->err), 0);
    settle(f);
    host_of(f, m, &v);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(accent_find(f->c, "sigma", STR("a"), &id, &f->err), 0);
        assert_int_equal(id, v.id.v);
        assert_true(accent_name_of(f->c, id, "sigma", name));
        assert_int_equal(credential_by_id(f->c, cr)->host_id, id);
        assert_int_equal(host_find(f->c, STR("a"), &v, &f->err), -ENOENT);
        assert_int_equal(meet(f, "a", "key"), id);
        assert_int_equal(seen(f, id), 0);
        host_of(f, m, &v);
        assert_true(str_is(v.dialect, "native"));
        assert_true(str_is(v.claims.hostname, "web-1")); /* its own agent says how it is */
        restart(f);
    }
    sim_free(m);
}

static void a_row_with_a_key_of_its_own_is_not_linked_away(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web-1");
    meet(f, "a", "key");
    meet(f, "p", NULL);
    assert_int_equal(host_link(f->c, &f->admin, STR("a"), STR("web-1"), &f->err), -EINVAL);
    assert_slug(f, "host.linked");
    assert_int_equal(host_link(f->c, &f->admin, STR("a"), STR("a"), &f->err), -EINVAL);
    assert_int_equal(host_link(f->c, &f->admin, STR("p"), STR("a"), &f->err), -EINVAL);
    assert_slug(f, "host.state");
    assert_int_equal(host_link(f->c, &f->admin, STR("a"), STR("nobody"), &f->err), -ENOENT);
    sim_free(m);
}

static void count_alias(void *ctx, const struct alias *a)
{
    struct str *last = ctx;
    assert_true(a->external_id.len > 0);
    last->len++;
}
static void of_two_names_in_one_dialect_the_newer_counts(void **state)
{
    struct fixture *f = *state;
    uint64_t a = meet(f, "old", "key");
    char name[129];
    meet(f, "new", "key");
    assert_int_equal(host_link(f->c, &f->admin, STR("old"), STR("new"), &f->err), 0);
    settle(f);
    for (int i = 0; i < 2; i++) {
        struct str n = { 0 };
        assert_true(accent_name_of(f->c, a, "sigma", name));
        assert_string_equal(name, "new");
        accent_aliases(f->c, a, count_alias, &n);
        assert_int_equal(n.len, 2);
        restart(f);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_new_host_is_one_ordinary_row_with_its_dialect),
        T(the_same_id_in_two_dialects_is_two_hosts),
        T(nobody_is_found_by_name),
        T(an_id_is_1_to_128_bytes_of_text),
        T(one_that_waits_is_approved_by_an_operator_or_a_later_key),
        T(rejected_and_revoked_ones_hear_so_and_stay_known),
        T(a_forgotten_host_begins_anew),
        T(names_and_intervals_last),
        T(operators_rename_label_and_select_them),
        T(only_so_many_wait_and_a_key_still_gets_in),
        T(one_that_waits_expires_unless_it_registers_again),
        T(presence_goes_by_the_hosts_own_interval),
        T(a_short_interval_still_gives_half_a_minute),
        T(a_daily_host_is_not_lost_over_a_restart),
        T(who_is_lost_stays_lost_over_a_restart),
        T(silence_before_a_clean_stop_counts_after_it),
        T(last_seen_is_durable_within_a_minute),
        T(a_sample_and_the_address_are_shown),
        T(blind_deltas_are_taken_as_they_come),
        T(judged_deltas_need_what_is_recorded),
        T(after_a_blind_delta_a_judged_one_asks_for_all),
        T(facts_of_unknown_sections_and_of_who_may_not_speak_are_refused),
        T(a_command_for_a_host_that_runs_none_is_refused_by_name),
        T(a_selector_runs_what_can_and_refuses_the_rest),
        T(a_job_of_hosts_that_all_cannot_is_over_at_once),
        T(linking_moves_the_names_and_forgets_the_other_row),
        T(a_row_with_a_key_of_its_own_is_not_linked_away),
        T(of_two_names_in_one_dialect_the_newer_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
