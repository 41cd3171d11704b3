/* tests/unit/control/test_reports.c - reporters, their keys and their reports, over a real store. */
#include "report_fixture.h"

#include "base/hash.h"

/* -- people's part */
static uint64_t make_key(struct fixture *f, const char *name, bool auto_approve, char text[SECRET_TEXT_MAX])
{
    struct enroll_key_wish w = { .name = str_of(name), .auto_approve = auto_approve, .seen = { .present = 1 | 8 } };
    return enroll_key_of(f, &w, text);
}

/* -- the agent's part */
static int reg(struct fixture *f, const char *key, const char *uuid, const char *claim, struct register_answer *a)
{
    const struct register_ask ask = { .enroll_key = str_of(key),
                                      .uuid = str_of(uuid),
                                      .hostname = str_of(uuid),
                                      .version = STR("0.3.0"),
                                      .claim = str_of(claim),
                                      .peer = REPORT_PEER };
    return register_with(f, &ask, a);
}

enum { ROWS = 8 };
/* A report of connections with the given keys (and removed ones), as a reader would make it. */
struct pack {
    struct report r;
    struct fact_row rows[ROWS];
    uint64_t marks[ROWS], gone_marks[ROWS];
    struct str macs[ROWS], gone[ROWS];
};
static void row_digest(const char *key, struct report_digest *sum)
{
    struct fact_digest h;
    fact_row_hash(&(struct fact_row){ STR("connections"), str_of(key) }, &h);
    fact_digest_add(&sum->sum, &h);
    sum->count++;
}
static struct report *pack(struct pack *p, const char *uuid, bool full, const char *const *keys, const char *const *gone)
{
    *p = (struct pack){ .r = { .uuid = str_of(uuid), .observed_at = 1, .is_full = full } };
    struct report_rows *in = &p->r.sections[REPORT_CONNECTIONS];
    *in = (struct report_rows){ .is_told = true, .rows = p->rows, .marks = p->marks, .macs = p->macs, .removed = p->gone, .removed_marks = p->gone_marks };
    for (size_t i = 0; keys && keys[i]; i++) {
        p->rows[i] = (struct fact_row){ str_of(keys[i]), STR("{\"x\":1}") };
        p->marks[in->n_rows++] = siphash(report_mark_key(), str_of(keys[i]));
        row_digest(keys[i], &in->added);
    }
    for (size_t i = 0; gone && gone[i]; i++) {
        p->gone[i] = str_of(gone[i]);
        p->gone_marks[in->n_removed++] = siphash(report_mark_key(), str_of(gone[i]));
        row_digest(gone[i], &in->gone);
        p->r.tells_removals = true;
    }
    return &p->r;
}
/* Says that the agent's set is @keys. */
static void promise(struct report *r, const char *const *keys)
{
    struct report_rows *in = &r->sections[REPORT_CONNECTIONS];
    in->has_digest = r->tells_removals = true;
    in->digest = (struct report_digest){ 0 };
    for (size_t i = 0; keys[i]; i++)
        row_digest(keys[i], &in->digest);
}
/* One that knows no digests: its reader adds none up. */
static struct report *plain(struct report *r)
{
    r->sections[REPORT_CONNECTIONS].added = (struct report_digest){ 0 };
    return r;
}
static struct report_told tell(struct fixture *f, const struct report_pass *pass, struct report *r)
{
    return tell_from(f, pass, r, REPORT_PEER);
}
static int pass_of(struct fixture *f, const char *key, struct report_pass *ret)
{
    return pass_with(f, key, (struct client_key){ 0 }, ret);
}
static struct register_answer let_in(struct fixture *f, const char *uuid, struct report_pass *pass)
{
    char key[SECRET_TEXT_MAX];
    struct register_answer a;
    (void)make_key(f, uuid, true, key);
    assert_int_equal(reg(f, key, uuid, NULL, &a), 0);
    assert_true(a.is_active && a.api_key[0]);
    assert_int_equal(pass_of(f, a.api_key, pass), 0);
    return a;
}

/* -- what is recorded */
struct keys_seen {
    char text[512];
    bool is_done;
};
static void on_section(void *ctx, const struct fact_head *h, struct str body)
{
    struct keys_seen *s = ctx;
    struct fact_row row;
    (void)h;
    for (size_t pos = 0; body_next(body, &pos, &row) == 1;)
        snprintf(s->text + strlen(s->text), sizeof(s->text) - strlen(s->text), "%.*s;", STR_FMT(row.key));
}
static void on_read(void *ctx, int result)
{
    assert_int_equal(result, 0);
    ((struct keys_seen *)ctx)->is_done = true;
}
static struct keys_seen recorded_as(struct fixture *f, uint64_t host_id, const char *section)
{
    struct keys_seen s = { 0 };
    read_facts(f->c, host_id, str_of(section), on_section, on_read, &s);
    while (!s.is_done) {
        turn(f);
        if (!s.is_done)
            fixture_wait(f);
    }
    assert_true(s.is_done);
    return s;
}
static struct keys_seen recorded(struct fixture *f, uint64_t reporter)
{
    return recorded_as(f, view(f, reporter).host_id, "connections");
}

/* -- promises */
static void a_newcomer_waits_and_its_key_comes_once(void **state)
{
    struct fixture *f = *state;
    char key[SECRET_TEXT_MAX];
    struct register_answer a;
    (void)make_key(f, "k", false, key);
    assert_int_equal(reg(f, key, "u1", NULL, &a), 0);
    assert_false(a.is_active);
    assert_string_equal(a.api_key, "");
    assert_int_equal(reporter_approve(f->c, &f->admin, a.reporter_id, 0, STR_NONE, &f->err), 0);
    assert_int_equal(reg(f, key, "u1", NULL, &a), 0);
    assert_true(a.is_active && a.api_key[0]);
    assert_int_equal(reg(f, key, "u1", NULL, &a), 0);
    assert_string_equal(a.api_key, "");
    restart(f);
    assert_int_equal(reg(f, key, "u1", NULL, &a), 0);
    assert_true(a.is_active && !a.api_key[0]);
    assert_int_equal(enroll_key_by_id(f->c, 1)->n_registrations, 1);
}

static void a_viewer_decides_nothing(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    struct register_answer a = let_in(f, "u1", &pass);
    char text[SECRET_TEXT_MAX];
    struct report_policy_wish pw = { .name = STR("p"), .seen = { .present = 1 } };
    struct enroll_key_wish kw = { .name = STR("k2"), .seen = { .present = 1 } };
    const struct report_policy *p;
    const struct enroll_key *k;
    assert_int_equal(reporter_reject(f->c, &f->viewer, a.reporter_id, STR_NONE, &f->err), -EACCES);
    assert_int_equal(reporter_rotate(f->c, &f->viewer, a.reporter_id, NULL, STR_NONE, text, &f->err), -EACCES);
    assert_int_equal(reporter_forget(f->c, &f->viewer, a.reporter_id, &f->err), -EACCES);
    assert_int_equal(report_policy_create(f->c, &f->viewer, &pw, &p, &f->err), -EACCES);
    assert_int_equal(enroll_key_create(f->c, &f->viewer, &kw, text, &k, &f->err), -EACCES);
    assert_int_equal(view(f, a.reporter_id).host_state, HOST_APPROVED);
}

static void a_claim_holds_over_restarts_and_gets_a_lost_key_again(void **state)
{
    struct fixture *f = *state;
    char key[SECRET_TEXT_MAX], first[SECRET_TEXT_MAX];
    struct register_answer a;
    struct report_pass pass;
    struct pack p;
    (void)make_key(f, "k", true, key);
    assert_int_equal(reg(f, key, "u1", "0123456789abcdef", &a), 0);
    snprintf(first, sizeof(first), "%s", a.api_key);
    restart(f);
    assert_int_equal(reg(f, key, "u1", "0123456789abcdeF", &a), -EACCES);
    assert_slug(f, "claim.bad");
    assert_int_equal(reg(f, key, "u1", NULL, &a), -EACCES);
    assert_int_equal(reg(f, key, "u1", "0123456789abcdef", &a), 0);
    assert_true(a.is_reissue);
    assert_int_equal(pass_of(f, first, &pass), -EACCES);
    assert_slug(f, "auth.bad_credential");
    assert_int_equal(pass_of(f, a.api_key, &pass), 0);
    assert_int_equal(tell(f, &pass, pack(&p, "u1", true, NULL, NULL)).result, 0);
    assert_int_equal(reg(f, key, "u1", "0123456789abcdef", &a), 0);
    assert_string_equal(a.api_key, ""); /* it was used */
}

static void whoever_decides_the_key_dies_with_the_decision(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    struct register_answer a = let_in(f, "u1", &pass);
    struct pack p;
    char uuid[37];
    struct host_view h;
    assert_true(host_view_of(f->c, (struct host_id){ view(f, a.reporter_id).host_id }, &h));
    snprintf(uuid, sizeof(uuid), "%s", h.uuid);
    assert_int_equal(enroll_revoke(f->c, &f->admin, str_of(uuid), STR_NONE, &f->err), 0); /* `muster revoke` */
    assert_int_equal(pass_of(f, a.api_key, &pass), -EACCES);
    assert_slug(f, "host.revoked");
    restart(f);
    assert_int_equal(pass_of(f, a.api_key, &pass), -EACCES);
    assert_slug(f, "host.revoked"); /* a tombstone */
    assert_int_equal(reporter_approve(f->c, &f->admin, a.reporter_id, 0, STR_NONE, &f->err), 0);
    assert_int_equal(pass_of(f, a.api_key, &pass), -EACCES);
    assert_slug(f, "auth.bad_credential");
    assert_int_equal(host_forget(f->c, &f->admin, str_of(uuid), &f->err), 0);
    assert_int_equal(reporter_find(f->c, a.reporter_id, &(struct reporter_view){ 0 }, &f->err), -ENOENT);
    restart(f);
    assert_int_equal(reporter_find(f->c, a.reporter_id, &(struct reporter_view){ 0 }, &f->err), -ENOENT);
    (void)p;
}

/* A host with a certificate of its own keeps the fleet's table of states: nobody revives it, and it is cut when it is shut out. */
static void a_linked_host_is_never_forced_into_a_state(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    struct register_answer a = let_in(f, "u1", &pass);
    struct sim *m = sim_ready(f, "web-1");
    struct host_view h;
    char uuid[37];
    assert_true(host_view_of(f->c, (struct host_id){ view(f, a.reporter_id).host_id }, &h));
    snprintf(uuid, sizeof(uuid), "%s", h.uuid);
    assert_int_equal(host_link(f->c, &f->admin, STR("web-1"), str_of(uuid), &f->err), 0);
    settle(f);
    assert_int_equal(reporter_reject(f->c, &f->admin, a.reporter_id, STR_NONE, &f->err), -EBUSY);
    assert_slug(f, "host.linked");
    struct reporter_wish w = { .site_name = STR("b"), .state = STR("rejected") };
    wish_for(&reporter_change_record, &w.seen, "site_name");
    wish_for(&reporter_change_record, &w.seen, "enrollment_state");
    assert_int_equal(reporter_change(f->c, &f->admin, a.reporter_id, &w, &f->err), -EBUSY);
    assert_slug(f, "host.linked");
    assert_int_equal(view(f, a.reporter_id).row->site_name.len, 0); /* nothing of it */
    assert_int_equal(reporter_revoke(f->c, &f->admin, a.reporter_id, STR_NONE, &f->err), 0);
    assert_int_equal(reporter_approve(f->c, &f->admin, a.reporter_id, 0, STR_NONE, &f->err), -EBUSY);
    assert_slug(f, "host.linked");
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    assert_int_equal(h.state, HOST_REVOKED);
    sim_free(m);
}

static struct str host_uuid(struct fixture *f, uint64_t reporter, char room[37])
{
    struct host_view h;
    assert_true(host_view_of(f->c, (struct host_id){ view(f, reporter).host_id }, &h));
    snprintf(room, 37, "%s", h.uuid);
    return str_of(room);
}

static void forgetting_a_linked_agent_keeps_the_host(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    struct register_answer a = let_in(f, "u1", &pass), again;
    struct sim *m = sim_ready(f, "web-1");
    struct host_view h;
    char uuid[37], key[SECRET_TEXT_MAX];
    assert_int_equal(host_link(f->c, &f->admin, STR("web-1"), host_uuid(f, a.reporter_id, uuid), &f->err), 0);
    settle(f);
    assert_int_equal(reporter_forget(f->c, &f->admin, a.reporter_id, &f->err), 0);
    for (int i = 0; i < 2; i++) {
        settle(f);
        assert_int_equal(reporter_find(f->c, a.reporter_id, &(struct reporter_view){ 0 }, &f->err), -ENOENT);
        assert_int_equal(pass_of(f, a.api_key, &pass), -EACCES);
        assert_slug(f, "auth.bad_credential");
        assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
        assert_int_equal(h.state, HOST_APPROVED);
        assert_true(str_is(h.dialect, "native"));
        restart(f);
    }
    /* Its agent is a newcomer, with a row of its own. */
    (void)make_key(f, "k", false, key);
    assert_int_equal(reg(f, key, "u1", NULL, &again), 0);
    assert_false(again.is_active);
    assert_int_not_equal(view(f, again.reporter_id).host_id, h.id.v);
    sim_free(m);
}

static void a_host_that_lost_its_first_name_goes_by_the_next(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    struct register_answer a = let_in(f, "u1", &pass);
    const uint64_t host = view(f, a.reporter_id).host_id;
    const struct sighting s = {
        .dialect = "sigma", .external_id = STR("s1"), .claims = { .hostname = STR("s1") }, .approved_by = "key 1"
    };
    struct host_view h;
    char uuid[37];
    uint64_t id;
    bool is_new;
    assert_int_equal(accent_meet(f->c, &s, &id, &is_new, &f->err), 0);
    assert_int_equal(host_link(f->c, &f->admin, host_uuid(f, a.reporter_id, uuid), STR("s1"), &f->err), 0);
    settle(f);
    assert_int_equal(reporter_forget(f->c, &f->admin, a.reporter_id, &f->err), 0);
    for (int i = 0; i < 2; i++) {
        settle(f);
        assert_true(host_view_of(f->c, (struct host_id){ host }, &h));
        assert_true(str_is(h.dialect, "sigma"));
        assert_int_equal(h.state, HOST_APPROVED);
        restart(f);
    }
}

static void an_agent_that_was_installed_anew_gets_its_key_after_the_link(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    struct register_answer old = let_in(f, "u1", &pass), a;
    const uint64_t host = view(f, old.reporter_id).host_id;
    char one[37], two[37], key[SECRET_TEXT_MAX];
    struct pack p;
    assert_int_equal(tell(f, &pass, pack(&p, "u1", true, NULL, NULL)).result, 0);
    clock_turn(&f->clock, 3600 * USEC_PER_SEC);
    (void)make_key(f, "k", false, key);
    assert_int_equal(reg(f, key, "u2", NULL, &a), 0);
    assert_false(a.is_active);
    assert_int_equal(host_link(f->c, &f->admin, host_uuid(f, old.reporter_id, one), host_uuid(f, a.reporter_id, two), &f->err), 0);
    settle(f);
    restart(f);
    assert_int_equal(reg(f, key, "u2", NULL, &a), 0);
    assert_true(a.is_active && a.api_key[0]);
    assert_int_equal(view(f, a.reporter_id).host_id, host);
    assert_false(view(f, a.reporter_id).row->approval_required);
    assert_int_equal(pass_of(f, a.api_key, &pass), 0);
    assert_int_equal(tell(f, &pass, pack(&p, "u2", true, NULL, NULL)).result, 0);
    /* What was there before is nobody's any more. */
    assert_int_equal(reporter_find(f->c, old.reporter_id, &(struct reporter_view){ 0 }, &f->err), -ENOENT);
    assert_int_equal(pass_of(f, old.api_key, &pass), -EACCES);
    assert_int_equal(reg(f, key, "u1", NULL, &a), 0);
    assert_false(a.is_active);
    assert_int_not_equal(view(f, a.reporter_id).host_id, host);
}

/* The other way round: the row that is linked away is the dead one. */
static void linking_a_dead_agent_to_a_living_one_harms_nobody(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass, dead_pass;
    struct register_answer dead = let_in(f, "u1", &dead_pass), a;
    char one[37], two[37];
    struct pack p;
    clock_turn(&f->clock, 3600 * USEC_PER_SEC);
    a = let_in(f, "u2", &pass);
    assert_int_equal(host_link(f->c, &f->admin, host_uuid(f, a.reporter_id, one), host_uuid(f, dead.reporter_id, two), &f->err), 0);
    for (int i = 0; i < 2; i++) {
        settle(f);
        assert_int_equal(tell(f, &pass, pack(&p, "u2", true, NULL, NULL)).result, 0);
        assert_int_equal(pass_of(f, dead.api_key, &dead_pass), -EACCES);
        assert_int_equal(reporter_find(f->c, dead.reporter_id, &(struct reporter_view){ 0 }, &f->err), -ENOENT);
        restart(f);
    }
}

/* The same keys as routes, too. */
static struct report *and_routes(struct report *r)
{
    r->sections[REPORT_ROUTES] = r->sections[REPORT_CONNECTIONS];
    return r;
}

/* The agent's own routes; @base NULL: all of them. */
static void native_routes(struct fixture *f, const struct sim *m, const char *key, struct fact_digest *sum, bool is_full)
{
    struct fact_row row = { str_of(key), STR("{}") };
    struct section_delta d = { .name = STR("routes"), .status = SECTION_OK, .full = is_full, .rows = &row, .n_rows = 1, .base = *sum };
    struct fact_digest h;
    fact_row_hash(&row, &h);
    fact_digest_add(sum, &h);
    d.digest = *sum;
    checkin_inventory(f->c, (struct link_id){ m->link }, &d, 1);
    settle(f);
}

static void what_was_reported_comes_along_when_it_is_linked(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    struct register_answer a = let_in(f, "u1", &pass);
    struct sim *m = sim_ready(f, "web-1");
    struct pack p;
    struct fact_digest sum = { 0 };
    struct host_view h;
    char uuid[37];
    native_routes(f, m, "own", &sum, true);
    struct report *r = pack(&p, "u1", true, (const char *[]){ "a", "b", NULL }, NULL);
    promise(r, (const char *[]){ "a", "b", NULL });
    assert_int_equal(tell(f, &pass, and_routes(r)).a.is_resync, false);
    assert_true(host_view_of(f->c, (struct host_id){ view(f, a.reporter_id).host_id }, &h));
    snprintf(uuid, sizeof(uuid), "%s", h.uuid);
    assert_int_equal(host_link(f->c, &f->admin, STR("web-1"), str_of(uuid), &f->err), 0);
    settle(f);
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    const uint64_t host = h.id.v;
    assert_int_equal(view(f, a.reporter_id).host_id, host);
    assert_string_equal(recorded_as(f, host, "reported_connections").text, "a;b;");
    assert_string_equal(recorded_as(f, host, "reported_routes").text, "a;b;");
    assert_string_equal(recorded_as(f, host, "routes").text, "own;");
    assert_string_equal(recorded_as(f, host, "connections").text, ""); /* our agent is asked for those */

    /* Its next delta fits, and so does the other agent's: nobody is asked for all of it. */
    static const char *const more[][2] = { { "c", NULL }, { "d", NULL } };
    static const char *const all[][5] = { { "a", "b", "c", NULL }, { "a", "b", "c", "d", NULL } };
    for (int round = 0; round < 2; round++) {
        r = pack(&p, "u1", false, more[round], NULL);
        promise(r, all[round]);
        struct report_told t = tell(f, &pass, and_routes(r));
        assert_int_equal(t.result, 0);
        assert_false(t.a.is_resync);
        assert_int_equal(t.ck.summary.connections_created, 1);
        native_routes(f, m, round ? "own3" : "own2", &sum, false);
        assert_int_equal(n_sent_like(f, "resync"), 0);
        if (round == 0) {
            restart(f);
            assert_int_equal(sim_hello_with(f, m, NULL, 0), 0);
            settle(f);
        }
    }
    assert_string_equal(recorded_as(f, host, "reported_connections").text, "a;b;c;d;");
    assert_string_equal(recorded_as(f, host, "reported_routes").text, "a;b;c;d;");
    assert_string_equal(recorded_as(f, host, "routes").text, "own;own2;own3;");
    sim_free(m);
}

/* HOST's own sections stay; of what could not come along, whoever keeps digests is asked. */
static void of_two_reporters_rows_the_hosts_own_stay(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass, other;
    struct register_answer a = let_in(f, "u1", &pass), b = let_in(f, "u2", &other);
    struct pack p;
    struct host_view h;
    char one[37], two[37];
    assert_int_equal(tell(f, &pass, pack(&p, "u1", true, (const char *[]){ "a", NULL }, NULL)).result, 0);
    assert_int_equal(tell(f, &other, pack(&p, "u2", true, (const char *[]){ "z", NULL }, NULL)).result, 0);
    assert_true(host_view_of(f->c, (struct host_id){ view(f, a.reporter_id).host_id }, &h));
    snprintf(one, sizeof(one), "%s", h.uuid);
    assert_true(host_view_of(f->c, (struct host_id){ view(f, b.reporter_id).host_id }, &h));
    snprintf(two, sizeof(two), "%s", h.uuid);
    assert_int_equal(host_link(f->c, &f->admin, str_of(one), str_of(two), &f->err), 0);
    for (int i = 0; i < 2; i++) {
        settle(f);
        assert_string_equal(recorded(f, a.reporter_id).text, "a;");
        assert_int_equal(store_health(f->s, NULL), 0);
        restart(f);
    }
}

/* An agent that was installed anew tells all of it once, under a new name: that is what is true. */
static void of_two_reporters_the_living_ones_rows_come_in(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass, other;
    struct register_answer a = let_in(f, "u1", &pass), b = let_in(f, "u2", &other);
    struct pack p;
    char one[37], two[37];
    assert_int_equal(tell(f, &pass, pack(&p, "u1", true, (const char *[]){ "a", "b", NULL }, NULL)).result, 0);
    assert_int_equal(tell(f, &pass, pack(&p, "u1", false, (const char *[]){ "c", NULL }, NULL)).result, 0);
    clock_turn(&f->clock, USEC_PER_SEC);
    struct report *r = pack(&p, "u2", true, (const char *[]){ "y", "z", NULL }, NULL);
    promise(r, (const char *[]){ "y", "z", NULL });
    assert_int_equal(tell(f, &other, r).result, 0);
    assert_int_equal(host_link(f->c, &f->admin, host_uuid(f, a.reporter_id, one), host_uuid(f, b.reporter_id, two), &f->err), 0);
    settle(f);
    assert_string_equal(recorded(f, b.reporter_id).text, "y;z;");
    r = pack(&p, "u2", false, (const char *[]){ "w", NULL }, NULL);
    promise(r, (const char *[]){ "w", "y", "z", NULL });
    assert_false(tell(f, &other, r).a.is_resync);
    restart(f);
    assert_string_equal(recorded(f, b.reporter_id).text, "w;y;z;");
    assert_int_equal(store_health(f->s, NULL), 0);
}

static void a_key_decided_about_while_a_report_was_read_is_refused(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    struct register_answer a = let_in(f, "u1", &pass);
    struct pack p;
    assert_int_equal(reporter_reject(f->c, &f->admin, a.reporter_id, STR("no"), &f->err), 0);
    struct report_told t = tell(f, &pass, pack(&p, "u1", true, NULL, NULL));
    assert_int_equal(t.result, -EACCES);
    assert_string_equal(t.err.slug, "host.rejected");
    assert_true(str_is(view(f, a.reporter_id).row->rejection_reason, "no"));
}

static void additions_add_and_what_is_new_is_counted(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    struct register_answer a = let_in(f, "u1", &pass);
    struct pack p;
    assert_int_equal(tell(f, &pass, pack(&p, "u1", true, (const char *[]){ "a", "b", NULL }, NULL)).ck.summary.connections_created, 2);
    assert_int_equal(tell(f, &pass, pack(&p, "u1", false, (const char *[]){ "b", "c", NULL }, NULL)).ck.summary.connections_created, 1);
    assert_string_equal(recorded(f, a.reporter_id).text, "a;b;c;");
    restart(f);
    assert_int_equal(tell(f, &pass, pack(&p, "u1", false, (const char *[]){ "c", "d", NULL }, NULL)).ck.summary.connections_created, 1);
    assert_string_equal(recorded(f, a.reporter_id).text, "a;b;c;d;");
    assert_int_equal(tell(f, &pass, pack(&p, "u1", true, (const char *[]){ "d", NULL }, NULL)).ck.summary.connections_created, 0);
    assert_string_equal(recorded(f, a.reporter_id).text, "d;");
}

static void digests_find_what_was_lost(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    struct register_answer a = let_in(f, "u1", &pass);
    struct pack p;
    const char *const ab[] = { "a", "b", NULL }, *const b[] = { "b", NULL }, *const bc[] = { "b", "c", NULL }, *const gone[] = { "a", NULL };
    struct report *r = pack(&p, "u1", true, ab, NULL);
    promise(r, ab);
    assert_false(tell(f, &pass, r).a.is_resync);
    r = pack(&p, "u1", false, NULL, gone);
    promise(r, b);
    assert_false(tell(f, &pass, r).a.is_resync);
    assert_string_equal(recorded(f, a.reporter_id).text, "b;");
    restart(f);
    r = pack(&p, "u1", false, NULL, NULL); /* a heartbeat of one that has c, which never came */
    promise(r, bc);
    struct report_told t = tell(f, &pass, r);
    assert_true(t.a.is_resync);
    assert_true(t.ck.flags & REPORT_F_RESYNC);
    r = pack(&p, "u1", true, bc, NULL);
    promise(r, bc);
    assert_false(tell(f, &pass, r).a.is_resync);
    assert_string_equal(recorded(f, a.reporter_id).text, "b;c;");
}

/* Who begins with digests may have told rows without: the first is all of it only when it says so. */
static void a_first_digest_that_does_not_fit_empties_nothing(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    struct register_answer a = let_in(f, "u1", &pass);
    struct pack p;
    const char *const c[] = { "c", NULL }, *const abc[] = { "a", "b", "c", NULL }, *const d[] = { "d", NULL };
    (void)tell(f, &pass, plain(pack(&p, "u1", true, (const char *[]){ "a", "b", NULL }, NULL)));
    struct report *r = pack(&p, "u1", false, c, NULL);
    promise(r, abc);
    assert_true(tell(f, &pass, r).a.is_resync);
    assert_string_equal(recorded(f, a.reporter_id).text, "a;b;c;");
    r = pack(&p, "u1", true, abc, NULL);
    promise(r, abc);
    assert_false(tell(f, &pass, r).a.is_resync);

    a = let_in(f, "u2", &pass);
    (void)tell(f, &pass, plain(pack(&p, "u2", true, c, NULL)));
    r = pack(&p, "u2", false, d, NULL);
    promise(r, d);
    assert_false(tell(f, &pass, r).a.is_resync);
    assert_string_equal(recorded(f, a.reporter_id).text, "d;");
}

static void a_repeat_is_answered_and_not_taken(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    (void)let_in(f, "u1", &pass);
    struct pack p;
    struct report *r = pack(&p, "u1", true, (const char *[]){ "a", NULL }, NULL);
    r->epoch = STR("e");
    r->has_sequence = true;
    r->sequence = 4;
    struct report_told one = tell(f, &pass, r), two = tell(f, &pass, r);
    assert_false(one.a.is_repeat);
    assert_true(two.a.is_repeat);
    assert_int_equal(one.a.checkin_id, two.a.checkin_id);
    restart(f);
    two = tell(f, &pass, r);
    assert_true(two.a.is_repeat);
    r->sequence = 3;
    two = tell(f, &pass, r);
    assert_true(!two.a.is_repeat && (two.ck.flags & REPORT_F_BACK));
}

static void two_machines_with_one_key_are_noticed(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    struct register_answer a = let_in(f, "u1", &pass);
    struct pack p;
    assert_int_equal(tell_from(f, &pass, pack(&p, "u1", true, NULL, NULL), "192.0.2.1").ck.flags & REPORT_F_SHARED, 0);
    assert_int_equal(tell_from(f, &pass, pack(&p, "u1", false, NULL, NULL), "192.0.2.2").ck.flags & REPORT_F_SHARED, 0);
    assert_int_equal(tell_from(f, &pass, pack(&p, "u1", false, NULL, NULL), "192.0.2.1").ck.flags & REPORT_F_SHARED, REPORT_F_SHARED);
    assert_true(view(f, a.reporter_id).state->flags & REPORT_F_SHARED);
}

static void a_section_that_failed_keeps_its_rows(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    struct register_answer a = let_in(f, "u1", &pass);
    struct pack p;
    (void)tell(f, &pass, pack(&p, "u1", true, (const char *[]){ "a", NULL }, NULL));
    struct report *r = pack(&p, "u1", true, NULL, NULL);
    r->sections[REPORT_CONNECTIONS].status = SECTION_FAILED;
    (void)tell(f, &pass, r);
    assert_string_equal(recorded(f, a.reporter_id).text, "a;");
}

static void a_section_ends_and_then_the_newest_rows_count(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    struct register_answer a = let_in(f, "u1", &pass);
    enum { MANY = LIMIT_SECTION_ROWS };
    struct fact_row *rows = xcalloc(MANY, sizeof(*rows));
    uint64_t *marks = xcalloc(MANY, sizeof(*marks));
    struct str *macs = xcalloc(MANY, sizeof(*macs));
    char(*keys)[16] = xcalloc(MANY, sizeof(*keys));
    for (int i = 0; i < MANY; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%05d", i);
        rows[i] = (struct fact_row){ str_of(keys[i]), STR("{}") };
        marks[i] = siphash(report_mark_key(), rows[i].key);
    }
    struct report r = { .uuid = STR("u1"), .observed_at = 1, .is_full = true };
    r.sections[REPORT_CONNECTIONS] = (struct report_rows){ .is_told = true, .rows = rows, .marks = marks, .macs = macs, .n_rows = MANY };
    assert_int_equal(tell(f, &pass, &r).ck.flags & REPORT_F_DROPPED, 0); /* exactly full */
    struct pack p;
    struct report_told t = tell(f, &pass, pack(&p, "u1", false, (const char *[]){ "k00001", NULL }, NULL));
    assert_int_equal(t.ck.flags & REPORT_F_DROPPED, 0); /* a row it has */
    t = tell(f, &pass, pack(&p, "u1", false, (const char *[]){ "one more", NULL }, NULL));
    assert_int_equal(t.ck.flags & REPORT_F_DROPPED, REPORT_F_DROPPED);
    assert_string_equal(recorded(f, a.reporter_id).text, "one more;");
    free(rows);
    free(marks);
    free(macs);
    free(keys);
}

static void reports_that_wait_for_the_sets_keep_their_order(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    struct register_answer a = let_in(f, "u1", &pass);
    struct pack p[3];
    struct report_told t[3] = { 0 };
    (void)tell(f, &pass, pack(&p[0], "u1", true, (const char *[]){ "a", NULL }, NULL));
    restart(f);
    report_checkin(f->c, &pass, pack(&p[0], "u1", false, (const char *[]){ "b", NULL }, NULL), "x", on_report_told, &t[0]);
    report_checkin(f->c, &pass, pack(&p[1], "u1", false, NULL, (const char *[]){ "b", NULL }), "x", on_report_told, &t[1]);
    report_checkin(f->c, &pass, pack(&p[2], "u1", false, (const char *[]){ "c", NULL }, NULL), "x", on_report_told, &t[2]);
    assert_false(t[0].is_done);
    while (!t[2].is_done) {
        turn(f);
        if (!t[2].is_done)
            fixture_wait(f);
    }
    assert_true(t[0].is_done && t[1].is_done && t[2].is_done);
    assert_true(t[0].a.checkin_id < t[1].a.checkin_id && t[1].a.checkin_id < t[2].a.checkin_id);
    assert_string_equal(recorded(f, a.reporter_id).text, "a;c;");
}

static void one_that_waited_hears_when_its_agent_goes(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    struct register_answer a = let_in(f, "u1", &pass);
    struct pack p;
    struct report_told t = { 0 };
    (void)tell(f, &pass, pack(&p, "u1", true, (const char *[]){ "a", NULL }, NULL));
    restart(f);
    report_checkin(f->c, &pass, pack(&p, "u1", false, NULL, NULL), "x", on_report_told, &t);
    assert_false(t.is_done);
    assert_int_equal(reporter_forget(f->c, &f->admin, a.reporter_id, &f->err), 0);
    assert_true(t.is_done);
    assert_int_equal(t.result, -EACCES);
    settle(f);
}

static void another_agents_uuid_is_refused(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    (void)let_in(f, "u1", &pass);
    struct pack p;
    struct report_told t = tell(f, &pass, pack(&p, "u2", true, NULL, NULL));
    assert_int_equal(t.result, -EEXIST);
    assert_string_equal(t.err.slug, "report.uuid");
}

/* -- how they fare */
static void whoever_may_approve_hosts_decides_about_those_that_wait_and_no_others(void **state)
{
    struct fixture *f = *state;
    struct principal ops = { .kind = PRINCIPAL_TOKEN, .role = ROLE_OPERATOR, .name = "otto" };
    struct register_answer a, b;
    char key[SECRET_TEXT_MAX];
    (void)make_key(f, "manual", false, key);
    assert_int_equal(reg(f, key, "u1", NULL, &a), 0);
    assert_int_equal(reg(f, key, "u2", NULL, &b), 0);
    assert_int_equal(reporter_approve(f->c, &f->viewer, a.reporter_id, 0, STR_NONE, &f->err), -EACCES);
    assert_int_equal(reporter_approve(f->c, &ops, a.reporter_id, 0, STR("named"), &f->err), -EACCES);
    assert_int_equal(reporter_approve(f->c, &ops, a.reporter_id, 0, STR_NONE, &f->err), 0);
    assert_int_equal(reporter_reject(f->c, &ops, b.reporter_id, STR("no"), &f->err), 0);
    assert_int_equal(view(f, a.reporter_id).host_state, HOST_APPROVED);
    assert_int_equal(view(f, b.reporter_id).host_state, HOST_REJECTED);
    assert_int_equal(reporter_reject(f->c, &ops, a.reporter_id, STR_NONE, &f->err), -EACCES);
    assert_int_equal(reporter_approve(f->c, &ops, b.reporter_id, 0, STR_NONE, &f->err), -EACCES);
    assert_int_equal(reporter_revoke(f->c, &ops, a.reporter_id, STR_NONE, &f->err), -EACCES);
    settle(f);
}

static struct reporter_health judged(struct fixture *f, uint64_t id)
{
    struct reporter_view v = view(f, id);
    struct reporter_health h;
    reporter_judge(f->c, &v, &h);
    return h;
}

static void note_uuid(void *ctx, const struct reporter_view *v)
{
    snprintf((char *)ctx + strlen(ctx), 64 - strlen(ctx), "%.*s;", STR_FMT(v->row->uuid));
}

static void who_is_late_is_counted_and_listed(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass, other;
    struct register_answer a = let_in(f, "u1", &pass), b;
    char key[SECRET_TEXT_MAX], names[64] = "";
    struct pack p;
    struct reporter_tally t;
    (void)make_key(f, "manual", false, key);
    assert_int_equal(reg(f, key, "u2", NULL, &b), 0);
    (void)tell(f, &pass, pack(&p, "u1", true, NULL, NULL));
    assert_false(judged(f, a.reporter_id).is_overdue);
    clock_turn(&f->clock, 2 * USEC_PER_HOUR);
    (void)let_in(f, "u3", &other);
    assert_true(judged(f, a.reporter_id).is_overdue);
    assert_false(judged(f, b.reporter_id).is_overdue); /* it waits: nothing is expected of it */
    reporter_tally(f->c, &t);
    assert_int_equal(t.n, 3);
    assert_int_equal(t.by_state[HOST_PENDING], 1);
    assert_int_equal(t.by_state[HOST_APPROVED], 2);
    assert_int_equal(t.n_overdue, 1);
    const struct reporter_filter late = { .is_active = -1, .is_overdue = true };
    assert_int_equal(reporter_list(f->c, &late, 0, 10, note_uuid, names), 1);
    assert_string_equal(names, "u1;");
    (void)tell(f, &pass, pack(&p, "u1", false, NULL, NULL));
    assert_false(judged(f, a.reporter_id).is_overdue);
}

/* As counted; the list shows as many. */
static uint64_t n_failing(struct fixture *f)
{
    const struct reporter_filter failing = { .is_active = -1, .is_failing = true };
    struct reporter_tally t;
    char names[64] = "";
    reporter_tally(f->c, &t);
    assert_int_equal(reporter_list(f->c, &failing, 0, 10, note_uuid, names), t.n_failing);
    return t.n_failing;
}

static void a_collector_that_failed_is_shown_until_it_is_well(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    struct register_answer a = let_in(f, "u1", &pass);
    struct pack p;
    struct report *r = pack(&p, "u1", true, NULL, NULL);
    assert_int_equal(judged(f, a.reporter_id).collectors[REPORT_CONNECTIONS], 0);
    r->sections[REPORT_CONNECTIONS].status = SECTION_FAILED;
    (void)tell(f, &pass, r);
    assert_int_equal(judged(f, a.reporter_id).collectors[REPORT_CONNECTIONS], SECTION_FAILED);
    assert_int_equal(n_failing(f), 1);
    assert_int_equal(judged(f, a.reporter_id).collectors[REPORT_ROUTES], SECTION_OK);
    assert_false(judged(f, a.reporter_id).is_missing_collector);
    r = pack(&p, "u1", false, NULL, NULL);
    r->is_missing_collector = true;
    (void)tell(f, &pass, r);
    assert_true(judged(f, a.reporter_id).is_missing_collector);
    assert_int_equal(n_failing(f), 1);
    (void)tell(f, &pass, pack(&p, "u1", true, (const char *[]){ "a", NULL }, NULL));
    assert_int_equal(judged(f, a.reporter_id).collectors[REPORT_CONNECTIONS], SECTION_OK);
    assert_int_equal(n_failing(f), 0);
}

static void the_last_refusal_is_kept_by_whoever_can_be_named(void **state)
{
    struct fixture *f = *state;
    struct report_pass pass;
    struct register_answer a = let_in(f, "u1", &pass), b;
    struct pack p;
    assert_null(judged(f, a.reporter_id).refusal);
    (void)tell(f, &pass, pack(&p, "u2", true, NULL, NULL));
    assert_string_equal(judged(f, a.reporter_id).refusal->code, "report.uuid");
    assert_string_equal(judged(f, a.reporter_id).refusal->peer, "192.0.2.50");
    assert_int_equal(reporter_revoke(f->c, &f->admin, a.reporter_id, STR_NONE, &f->err), 0);
    assert_int_equal(pass_of(f, a.api_key, &pass), -EACCES);
    assert_string_equal(judged(f, a.reporter_id).refusal->code, "host.revoked");
    /* A uuid alone, with a key that nobody gave out, writes nothing. */
    clock_turn(&f->clock, USEC_PER_SEC);
    usec_t before = judged(f, a.reporter_id).refusal->at;
    assert_int_equal(reg(f, "gaek_nobody", "u1", NULL, &b), -EACCES);
    assert_true(judged(f, a.reporter_id).refusal->at == before);
    char key[SECRET_TEXT_MAX];
    (void)make_key(f, "other", true, key);
    assert_true(reg(f, key, "u1", NULL, &b) < 0);
    assert_true(judged(f, a.reporter_id).refusal->at > before);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_newcomer_waits_and_its_key_comes_once),
        T(a_viewer_decides_nothing),
        T(a_claim_holds_over_restarts_and_gets_a_lost_key_again),
        T(whoever_decides_the_key_dies_with_the_decision),
        T(a_linked_host_is_never_forced_into_a_state),
        T(forgetting_a_linked_agent_keeps_the_host),
        T(a_host_that_lost_its_first_name_goes_by_the_next),
        T(an_agent_that_was_installed_anew_gets_its_key_after_the_link),
        T(linking_a_dead_agent_to_a_living_one_harms_nobody),
        T(what_was_reported_comes_along_when_it_is_linked),
        T(of_two_reporters_rows_the_hosts_own_stay),
        T(of_two_reporters_the_living_ones_rows_come_in),
        T(a_key_decided_about_while_a_report_was_read_is_refused),
        T(additions_add_and_what_is_new_is_counted),
        T(digests_find_what_was_lost),
        T(a_first_digest_that_does_not_fit_empties_nothing),
        T(a_repeat_is_answered_and_not_taken),
        T(two_machines_with_one_key_are_noticed),
        T(a_section_that_failed_keeps_its_rows),
        T(a_section_ends_and_then_the_newest_rows_count),
        T(reports_that_wait_for_the_sets_keep_their_order),
        T(one_that_waited_hears_when_its_agent_goes),
        T(another_agents_uuid_is_refused),
        T(whoever_may_approve_hosts_decides_about_those_that_wait_and_no_others),
        T(who_is_late_is_counted_and_listed),
        T(a_collector_that_failed_is_shown_until_it_is_well),
        T(the_last_refusal_is_kept_by_whoever_can_be_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
