/* tests/unit/control/test_tell.c - what agents of other accents say of their machine becomes sections. */
#include "fixture.h"

#include "control/assets.h"
#include "control/noun.h"
#include "control/runs.h"
#include "fleet/inventory.h"

static uint64_t meet_as(struct fixture *f, const char *dialect, const char *id)
{
    const struct sighting s = { .dialect = dialect, .external_id = str_of(id), .claims = { .hostname = str_of(id) },
                                .peer_addr = "192.0.2.7", .approved_by = "key", .every = USEC_PER_MIN };
    uint64_t host = 0;
    bool is_new;
    assert_int_equal(accent_meet(f->c, &s, &host, &is_new, &f->err), 0);
    settle(f);
    return host;
}
static void link_to(struct fixture *f, const char *host, const char *other)
{
    assert_int_equal(host_link(f->c, &f->admin, str_of(host), str_of(other), &f->err), 0);
    settle(f);
}

/* -- telling and reading: rows are "key=json;" */
static uint64_t n_taken(struct fixture *f)
{
    return control_stats(f->c)->inventory_deltas;
}
static void tell_as(struct fixture *f, uint64_t host, const char *dialect, const char *id, enum section s, const char *value)
{
    struct fact_row row = { str_of(name_of(section_names, (int)s)), str_of(value) };
    const struct told_section t = { s, &row, 1 };
    accent_tell(f->c, host, dialect, str_of(id), &t, 1);
    settle(f);
}
static void tell(struct fixture *f, uint64_t host, const char *dialect, enum section s, const char *value)
{
    char id[129] = "nobody";
    (void)accent_name_of(f->c, host, dialect, id);
    tell_as(f, host, dialect, id, s, value);
}

struct rows_seen {
    char text[512];
    size_t n_changes;
    struct fixture *f;
    bool is_done;
};
static void on_section(void *ctx, const struct fact_head *h, struct str body)
{
    struct rows_seen *s = ctx;
    struct fact_row row;
    assert_int_equal(h->status, SECTION_OK);
    for (size_t pos = 0; body_next(body, &pos, &row) == 1;)
        snprintf(s->text + strlen(s->text), sizeof(s->text) - strlen(s->text), "%.*s;", STR_FMT(row.json));
}
static void on_change(void *ctx, const struct fact_change *ch)
{
    (void)ch;
    ((struct rows_seen *)ctx)->n_changes++;
}
static void on_read(void *ctx, int result)
{
    assert_int_equal(result, 0);
    ((struct rows_seen *)ctx)->is_done = true;
}
static void wait_for(struct rows_seen *s)
{
    while (!s->is_done) {
        turn(s->f);
        if (!s->is_done)
            fixture_wait(s->f);
    }
}
static void check(struct fixture *f, uint64_t host, const char *section, const char *want)
{
    struct rows_seen s = { .f = f };
    read_facts(f->c, host, str_of(section), on_section, on_read, &s);
    wait_for(&s);
    assert_string_equal(s.text, want);
}
static size_t n_changes(struct fixture *f, uint64_t host, const char *section)
{
    struct rows_seen s = { .f = f };
    read_changes(f->c, host, str_of(section), 0, 100, on_change, on_read, &s);
    wait_for(&s);
    return s.n_changes;
}

/* -- promises of accent_tell() */
static void what_is_told_is_recorded_with_history_and_the_same_again_is_not_written(void **state)
{
    struct fixture *f = *state;
    uint64_t host = meet_as(f, "sigma", "a");
    assert_false(accent_is_told(f->c, host, SECTION_CPU));
    tell(f, host, "sigma", SECTION_CPU, "{\"threads\":2}");
    assert_true(accent_is_told(f->c, host, SECTION_CPU));
    check(f, host, "cpu", "{\"threads\":2};");
    uint64_t n = n_taken(f);
    for (int i = 0; i < 2; i++) {
        tell(f, host, "sigma", SECTION_CPU, "{\"threads\":2}");
        assert_int_equal(n_taken(f), n);
        assert_int_equal(n_changes(f, host, "cpu"), 0);
        restart(f);
        n = n_taken(f);
    }
    tell(f, host, "sigma", SECTION_CPU, "{\"threads\":4}");
    check(f, host, "cpu", "{\"threads\":4};");
    assert_true(n_changes(f, host, "cpu") > 0);
}

static void one_that_is_not_let_in_tells_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t host = meet_as(f, "sigma", "a");
    assert_int_equal(enroll_revoke(f->c, &f->admin, STR("a"), STR_NONE, &f->err), 0);
    settle(f);
    tell(f, host, "sigma", SECTION_CPU, "{}");
    assert_false(accent_is_told(f->c, host, SECTION_CPU));
    tell(f, 77777, "sigma", SECTION_CPU, "{}"); /* nobody */
}

static void beside_an_agent_of_ours_it_has_a_name_of_its_own(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web-1");
    struct host_view h;
    uint64_t other = meet_as(f, "sigma", "a");
    tell(f, other, "sigma", SECTION_OS, "{\"hostname\":\"a\"}");
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    uint64_t host = h.id.v;
    link_to(f, "web-1", "a");
    check(f, host, "reported_os", "{\"hostname\":\"a\"};"); /* it came along */
    check(f, host, "os", "");
    uint64_t n = n_taken(f);
    tell(f, host, "sigma", SECTION_OS, "{\"hostname\":\"a\"}");
    assert_int_equal(n_taken(f), n);
    tell(f, host, "sigma", SECTION_OS, "{\"hostname\":\"b\"}");
    check(f, host, "reported_os", "{\"hostname\":\"b\"};");
    check(f, host, "os", "");
    sim_free(m);
}

static void of_several_the_one_that_knows_most_tells(void **state)
{
    struct fixture *f = *state;
    uint64_t argus = meet_as(f, "argus", "a"), sigma = meet_as(f, "sigma", "s");
    tell(f, argus, "argus", SECTION_OS, "{\"n\":1}");
    tell(f, sigma, "sigma", SECTION_OS, "{\"n\":2}");
    link_to(f, "a", "s"); /* the better one's come along, and the other's are no more */
    check(f, argus, "os", "{\"n\":2};");
    tell(f, argus, "argus", SECTION_OS, "{\"n\":3}");
    check(f, argus, "os", "{\"n\":2};");
    tell(f, argus, "sigma", SECTION_OS, "{\"n\":4}");
    check(f, argus, "os", "{\"n\":4};");

    uint64_t late = meet_as(f, "argus", "b");
    tell(f, late, "argus", SECTION_OS, "{\"n\":5}");
    link_to(f, "a", "b");
    check(f, argus, "os", "{\"n\":4};");
}

/* A reporter adds to what it told: nothing of somebody else's may be there when it begins. */
static void one_that_knows_more_and_has_told_nothing_yet_begins_with_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t sigma = meet_as(f, "sigma", "s");
    tell(f, sigma, "sigma", SECTION_ADDRESSES, "{\"n\":1}");
    tell(f, sigma, "sigma", SECTION_CPU, "{\"n\":1}");
    (void)meet_as(f, "grapheon", "g");
    link_to(f, "s", "g");
    check(f, sigma, "addresses", "");
    check(f, sigma, "cpu", "{\"n\":1};");
    struct fact_row row = { STR("eth0 192.0.2.9/24"), STR("{\"n\":9}") };
    const struct section_delta d = { .name = STR("addresses"), .status = SECTION_OK, .rows = &row, .n_rows = 1 };
    assert_int_equal(accent_facts(f->c, sigma, &d, true, &f->err), DELTA_TAKE);
    settle(f);
    tell(f, sigma, "sigma", SECTION_ADDRESSES, "{\"n\":2}");
    check(f, sigma, "addresses", "{\"n\":9};");
}

/* -- sigma's agents: asked only when there may be news */
struct asked {
    size_t n, n_addresses;
    bool has_addresses;
};
static size_t on_tell(void *ctx, const struct asset_facts *fa, struct told_section *ret)
{
    static struct fact_row rows[2];
    static char text[2][64];
    struct asked *a = ctx;
    a->n++;
    a->has_addresses = fa->addresses != NULL;
    a->n_addresses = fa->addresses ? fa->addresses->n : 0;
    snprintf(text[0], sizeof(text[0]), "{\"threads\":%u}", fa->state->cpu_cores);
    snprintf(text[1], sizeof(text[1]), "{\"n\":%zu}", a->n_addresses);
    for (int i = 0; i < 2; i++)
        rows[i] = (struct fact_row){ STR("k"), str_of(text[i]) };
    ret[0] = (struct told_section){ SECTION_CPU, &rows[0], 1 };
    ret[1] = (struct told_section){ SECTION_ADDRESSES, &rows[1], 1 };
    return fa->addresses ? 2 : 1;
}
static struct principal machine_key(struct fixture *f)
{
    char text[SECRET_TEXT_MAX];
    struct principal p = { 0 };
    asset_principal(asset_key_create(f->c, &f->admin, STR("key"), STR("agent"), false, text, &f->err), &p);
    return p;
}
static void beat_of(struct fixture *f, const char *hostname, const struct principal *p, struct asked *a, bool is_register, const char *ip,
                    uint32_t cores)
{
    struct asset_address ips[] = { { str_of(ip ? ip : ""), STR_NONE, false } };
    struct asset_view v;
    const struct asset_checkin in = { .hostname = str_of(hostname), .may_create = true, .is_register = is_register, .ssh_port = 22, .peer = "192.0.2.5",
                                      .addresses = { ips, ip != NULL }, .state = { .cpu_cores = cores }, .tell = on_tell, .tell_ctx = a };
    a->n = 0;
    assert_int_equal(asset_checkin(f->c, p, &in, &v, &f->err), 0);
    settle(f);
}
static void beat(struct fixture *f, const struct principal *p, struct asked *a, bool is_register, const char *ip, uint32_t cores)
{
    beat_of(f, "web-1", p, a, is_register, ip, cores);
}

static void a_machine_is_asked_for_its_facts_only_when_there_may_be_news(void **state)
{
    struct fixture *f = *state;
    struct principal p = machine_key(f);
    struct asked a = { 0 };
    struct host_view h;

    beat(f, &p, &a, true, "192.0.2.1", 2);
    assert_true(a.n == 1 && a.n_addresses == 1);
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    uint64_t host = h.id.v, n = n_taken(f);
    assert_int_equal(n, 2);
    beat(f, &p, &a, false, NULL, 2);
    assert_int_equal(a.n, 0);
    beat(f, &p, &a, false, "192.0.2.1", 2);
    assert_int_equal(a.n, 0);
    beat(f, &p, &a, true, "192.0.2.1", 2); /* looked at, found the same */
    assert_int_equal(a.n, 1);
    assert_int_equal(n_taken(f), n);
    beat(f, &p, &a, false, NULL, 4);
    assert_true(a.n == 1 && !a.has_addresses);
    check(f, host, "cpu", "{\"threads\":4};");
    assert_int_equal(n_taken(f), n + 1);

    /* Once after a start: what is on disk may be from before there were sections. */
    restart(f);
    n = n_taken(f);
    for (size_t i = 0; i < 2; i++) {
        beat(f, &p, &a, false, NULL, 4);
        assert_int_equal(a.n, i == 0);
    }
    assert_int_equal(n_taken(f), n);
    check(f, host, "addresses", "{\"n\":1};");
}

/* Known from before its sections were: a beat without addresses takes those that are known. */
static void a_machine_of_before_gets_its_sections_with_a_beat(void **state)
{
    struct fixture *f = *state;
    struct principal p = machine_key(f);
    struct asked a = { 0 };
    struct host_view h;
    struct asset_address ips[] = { { STR("192.0.2.1"), STR_NONE, false } };
    struct asset_view v;
    const struct asset_checkin in = { .hostname = STR("web-1"), .may_create = true, .is_register = true, .ssh_port = 22, .peer = "192.0.2.5",
                                      .addresses = { ips, 1 }, .state = { .cpu_cores = 2 } };
    assert_int_equal(asset_checkin(f->c, &p, &in, &v, &f->err), 0);
    settle(f);
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    assert_false(accent_is_told(f->c, h.id.v, SECTION_CPU));
    beat(f, &p, &a, false, NULL, 2);
    assert_true(a.n == 1 && a.n_addresses == 1);
    assert_true(accent_is_told(f->c, h.id.v, SECTION_CPU) && accent_is_told(f->c, h.id.v, SECTION_ADDRESSES));
}

/* Ours was stopped, and the other one goes on speaking for the host. */
static void an_agent_that_takes_leave_leaves_the_host_to_its_other_one(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web-1");
    struct host_view h;
    assert_int_equal(sim_enroll(f, m, NULL), 0); /* it fetches its certificate */
    (void)meet_as(f, "sigma", "a");
    link_to(f, "web-1", "a");
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    assert_int_equal(accent_seen(f->c, h.id.v, "192.0.2.7", NULL, USEC_PER_MIN, &f->err), 0);
    checkin_leave(f->c, (struct link_id){ m->link });
    checkin_gone(f->c, (struct link_id){ m->link }, "net.closed", "eof");
    settle(f);
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    assert_int_equal(h.presence, PRESENCE_ONLINE);
    restart(f); /* and over a restart of the server */
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    assert_int_equal(h.presence, PRESENCE_ONLINE);
    /* It comes once a day, and has spoken since ours left. */
    assert_int_equal(accent_seen(f->c, h.id.v, "192.0.2.7", NULL, USEC_PER_DAY, &f->err), 0);
    settle(f);
    pass(f, 20 * USEC_PER_HOUR);
    assert_int_equal(accent_seen(f->c, meet_as(f, "sigma", "b"), "192.0.2.8", NULL, USEC_PER_MIN, &f->err), 0);
    settle(f);
    restart(f);
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    assert_int_equal(h.presence, PRESENCE_ONLINE);
    pass(f, USEC_PER_HOUR);
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    assert_int_equal(h.presence, PRESENCE_ONLINE);
    sim_free(m);
}

/* One that adds to what it told must not add to a stranger's rows, and what nobody tells any more is not kept as true. */
static void when_the_best_parts_its_sections_are_empty_and_the_next_is_asked(void **state)
{
    struct fixture *f = *state;
    struct principal p = machine_key(f);
    struct asked a = { 0 };
    struct host_view h;
    beat(f, &p, &a, true, "192.0.2.1", 2);
    uint64_t g = meet_as(f, "grapheon", "g");
    struct fact_row row = { STR("eth0 192.0.2.9/24"), STR("{\"n\":9}") };
    struct section_delta d = { .name = STR("addresses"), .status = SECTION_OK, .rows = &row, .n_rows = 1 };
    assert_int_equal(accent_facts(f->c, g, &d, true, &f->err), DELTA_TAKE);
    d.name = STR("routes");
    assert_int_equal(accent_facts(f->c, g, &d, true, &f->err), DELTA_TAKE);
    settle(f);
    link_to(f, "web-1", "g");
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    check(f, h.id.v, "addresses", "{\"n\":9};");
    beat(f, &p, &a, false, NULL, 2);
    beat(f, &p, &a, false, NULL, 2);
    assert_int_equal(a.n, 0);

    accent__part(f->c, host__by_id(f->c, h.id.v), "grapheon", STR("g"));
    settle(f);
    check(f, h.id.v, "addresses", "");
    check(f, h.id.v, "routes", "");
    check(f, h.id.v, "cpu", "{\"threads\":2};"); /* never was another's */
    beat(f, &p, &a, false, NULL, 2); /* an agent that tells addresses when it registers, only */
    assert_true(a.n == 1 && a.n_addresses == 1);
    check(f, h.id.v, "addresses", "{\"n\":1};");
    beat(f, &p, &a, false, NULL, 2);
    assert_int_equal(a.n, 0);
}

static void what_was_told_beside_an_agent_of_ours_goes_with_who_told_it(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web-1");
    struct host_view h;
    uint64_t other = meet_as(f, "sigma", "a");
    tell(f, other, "sigma", SECTION_OS, "{\"n\":1}");
    link_to(f, "web-1", "a");
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    check(f, h.id.v, "reported_os", "{\"n\":1};");
    accent__part(f->c, host__by_id(f->c, h.id.v), "sigma", STR("a"));
    settle(f);
    check(f, h.id.v, "reported_os", "");
    sim_free(m);
}

static void of_two_of_one_accent_the_newest_tells_and_after_it_the_other(void **state)
{
    struct fixture *f = *state;
    uint64_t a = meet_as(f, "sigma", "a");
    (void)meet_as(f, "sigma", "b");
    tell_as(f, a, "sigma", "a", SECTION_OS, "{\"hostname\":\"a\"}");
    link_to(f, "a", "b");
    tell_as(f, a, "sigma", "b", SECTION_OS, "{\"hostname\":\"b\"}");
    uint64_t n = n_taken(f);
    size_t changes = n_changes(f, a, "os");
    for (int i = 0; i < 3; i++) {
        tell_as(f, a, "sigma", "a", SECTION_OS, "{\"hostname\":\"a\"}");
        tell_as(f, a, "sigma", "b", SECTION_OS, "{\"hostname\":\"b\"}");
    }
    assert_int_equal(n_taken(f), n);
    assert_int_equal(n_changes(f, a, "os"), changes);
    check(f, a, "os", "{\"hostname\":\"b\"};");
    accent__part(f->c, host__by_id(f->c, a), "sigma", STR("b"));
    settle(f);
    tell_as(f, a, "sigma", "a", SECTION_OS, "{\"hostname\":\"a\"}");
    check(f, a, "os", "{\"hostname\":\"a\"};");
    tell_as(f, a, "sigma", "b", SECTION_OS, "{\"hostname\":\"b\"}"); /* it has no name here any more */
    check(f, a, "os", "{\"hostname\":\"a\"};");
}

static void the_other_is_heard_while_the_newest_is_lost(void **state)
{
    struct fixture *f = *state;
    struct principal p = machine_key(f);
    struct asked a = { 0 };
    struct host_view h;
    beat_of(f, "old", &p, &a, true, NULL, 2);
    beat_of(f, "new", &p, &a, true, NULL, 4);
    link_to(f, "old", "new");
    assert_int_equal(host_find(f->c, STR("old"), &h, &f->err), 0);
    for (int round = 0; round < 3; round++) {
        if (round == 2) { /* the server was down for an hour: who has not come back yet is not lost */
            clock_turn(&f->clock, USEC_PER_HOUR);
            restart(f);
            beat_of(f, "old", &p, &a, false, NULL, 3);
            check(f, h.id.v, "cpu", "{\"threads\":2};"); /* as it stood */
        }
        beat_of(f, "new", &p, &a, false, NULL, 4);
        beat_of(f, "new", &p, &a, false, NULL, 4);
        assert_int_equal(a.n, 0); /* told for good */
        beat_of(f, "old", &p, &a, false, NULL, 2);
        check(f, h.id.v, "cpu", "{\"threads\":4};");
        uint64_t n = n_taken(f);
        for (int i = 0; i < 10; i++) {
            pass(f, 5 * USEC_PER_MIN);
            beat_of(f, "old", &p, &a, false, NULL, 2);
        }
        check(f, h.id.v, "cpu", "{\"threads\":2};"); /* nothing was new to it */
        assert_int_equal(n_taken(f), n + 1);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(what_is_told_is_recorded_with_history_and_the_same_again_is_not_written),
        T(one_that_is_not_let_in_tells_nothing),
        T(beside_an_agent_of_ours_it_has_a_name_of_its_own),
        T(of_several_the_one_that_knows_most_tells),
        T(one_that_knows_more_and_has_told_nothing_yet_begins_with_nothing),
        T(a_machine_is_asked_for_its_facts_only_when_there_may_be_news),
        T(a_machine_of_before_gets_its_sections_with_a_beat),
        T(an_agent_that_takes_leave_leaves_the_host_to_its_other_one),
        T(when_the_best_parts_its_sections_are_empty_and_the_next_is_asked),
        T(what_was_told_beside_an_agent_of_ours_goes_with_who_told_it),
        T(of_two_of_one_accent_the_newest_tells_and_after_it_the_other),
        T(the_other_is_heard_while_the_newest_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
