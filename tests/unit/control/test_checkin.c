/* tests/unit/control/test_checkin.c - how a host stays known: links, presence, numbered messages, inventory.
 */
#include "fixture.h"

#include "fleet/inventory.h"

static enum presence presence_of(struct fixture *f, const struct sim *m)
{
    struct host_view v;
    host_of(f, m, &v);
    return v.presence;
}

static void hello_is_answered_when_it_is_durable(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    struct host_view v;
    checkin_gone(f->c, link_of(m), "net.closed", "test");
    settle(f);
    forget_sent(f);
    assert_int_equal(sim_hello_with(f, m, NULL, 0), 0);
    assert_int_equal(f->n_sent, 0);
    settle(f);
    assert_int_equal(n_sent_like(f, "welcome"), 1);
    assert_string_equal(f->welcome.host_uuid, m->uuid);
    assert_int_equal(f->welcome.config.heartbeat_ms, 10000);
    host_of(f, m, &v);
    assert_int_equal(v.link.v, m->link);
    assert_string_equal(v.status, "ready");
    sim_free(m);
}

static void a_newer_link_replaces_the_older_by_generation(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    uint64_t old = m->link, generation = f->welcome.generation;
    char line[64];
    assert_int_equal(sim_hello_with(f, m, NULL, 0), 0);
    settle(f);
    snprintf(line, sizeof(line), "%llu goodbye link.replaced", (unsigned long long)old);
    assert_sent(f, line);
    assert_true(f->welcome.generation > generation);
    /* What the old one still says or its end means nothing. */
    checkin_gone(f->c, (struct link_id){ old }, "net.closed", "closed");
    struct host_view v;
    host_of(f, m, &v);
    assert_int_equal(v.link.v, m->link);
    assert_false(checkin_seq(f->c, (struct link_id){ old }, 5));
    generation = f->welcome.generation;
    clock_turn(&f->clock, USEC_PER_SEC);
    restart(f);
    assert_int_equal(sim_hello_with(f, m, NULL, 0), 0);
    settle(f);
    assert_true(f->welcome.generation > generation);
    sim_free(m);
}

static void a_host_goes_online_late_lost_and_back_with_an_event_each(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    assert_int_equal(presence_of(f, m), PRESENCE_ONLINE);
    assert_int_equal(n_events(f, "host.online"), 1);
    /* It beats: it stays. */
    for (int i = 0; i < 12; i++) {
        pass(f, 10 * USEC_PER_SEC);
        checkin_beat(f->c, link_of(m), &(struct heartbeat){ .load1 = 1 });
    }
    assert_int_equal(presence_of(f, m), PRESENCE_ONLINE);
    assert_int_equal(n_events(f, "host.late"), 0);
    /* A stuck agent with a live link is late, never lost. */
    pass(f, 19 * USEC_PER_SEC);
    assert_int_equal(presence_of(f, m), PRESENCE_ONLINE);
    pass(f, 2 * USEC_PER_SEC);
    assert_int_equal(presence_of(f, m), PRESENCE_LATE);
    pass(f, 200 * USEC_PER_SEC);
    assert_int_equal(presence_of(f, m), PRESENCE_LATE);
    checkin_alive(f->c, link_of(m));
    assert_int_equal(presence_of(f, m), PRESENCE_ONLINE);
    checkin_gone(f->c, link_of(m), "net.closed", "eof");
    pass(f, 39 * USEC_PER_SEC);
    assert_int_equal(presence_of(f, m), PRESENCE_LATE);
    pass(f, 2 * USEC_PER_SEC);
    assert_int_equal(presence_of(f, m), PRESENCE_LOST);
    struct host_view v;
    host_of(f, m, &v);
    assert_string_equal(v.status, "disconnected");
    assert_int_equal(n_events(f, "host.online"), 2);
    assert_int_equal(n_events(f, "host.late"), 2);
    assert_int_equal(n_events(f, "host.lost"), 1);
    assert_int_equal(n_events(f, "agent.connected"), 1);
    assert_int_equal(n_events(f, "agent.disconnected"), 1);
    sim_free(m);
}

/* Who takes leave was not cut off: there is nothing to wait for. */
static void an_agent_that_takes_leave_is_lost_at_once_and_back_at_its_next_hello(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    struct host_view v;
    checkin_leave(f->c, link_of(m));
    checkin_alive(f->c, link_of(m)); /* still on its way */
    assert_int_equal(presence_of(f, m), PRESENCE_ONLINE);
    checkin_gone(f->c, link_of(m), "net.closed", "eof");
    settle(f);
    assert_int_equal(presence_of(f, m), PRESENCE_LOST);
    host_of(f, m, &v);
    assert_string_equal(v.status, "disconnected");
    assert_int_equal(n_events(f, "host.lost"), 1);
    pass(f, 100 * USEC_PER_SEC);
    assert_int_equal(presence_of(f, m), PRESENCE_LOST);
    assert_int_equal(sim_hello_with(f, m, NULL, 0), 0);
    settle(f);
    assert_int_equal(presence_of(f, m), PRESENCE_ONLINE);
    checkin_gone(f->c, link_of(m), "net.closed", "eof"); /* and this one was cut off */
    assert_int_equal(presence_of(f, m), PRESENCE_ONLINE);
    checkin_leave(f->c, (struct link_id){ 99 }); /* nobody */
    sim_free(m);
}

/* What is known of it before is known after, and told once. */
static void a_leave_outlives_the_server_and_ends_with_the_next_hello(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    checkin_leave(f->c, link_of(m));
    checkin_gone(f->c, link_of(m), "net.closed", "eof");
    settle(f);
    pass(f, 5 * USEC_PER_SEC);
    for (int i = 0; i < 2; i++) {
        restart(f);
        assert_int_equal(presence_of(f, m), PRESENCE_LOST);
        pass(f, 100 * USEC_PER_SEC);
        assert_int_equal(presence_of(f, m), PRESENCE_LOST);
        assert_int_equal(n_events(f, "host.lost"), 1);
    }
    assert_int_equal(sim_hello_with(f, m, NULL, 0), 0);
    settle(f);
    assert_int_equal(presence_of(f, m), PRESENCE_ONLINE);
    restart(f);
    assert_int_equal(presence_of(f, m), PRESENCE_LATE); /* it may come back */
    sim_free(m);
}

static void last_seen_survives_and_a_restart_gives_a_grace(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web"), *gone = sim_ready(f, "gone");
    struct host_view v;
    char peer[64];
    host_of(f, m, &v);
    snprintf(peer, sizeof(peer), "%.*s", STR_FMT(v.peer));
    checkin_gone(f->c, link_of(gone), "net.closed", "eof");
    usec_t gone_at = clock_wall(&f->clock);
    for (int i = 0; i < 100; i++) {
        pass(f, 10 * USEC_PER_SEC);
        checkin_beat(f->c, link_of(m), &(struct heartbeat){ 0 });
    }
    clock_turn(&f->clock, USEC_PER_HOUR); /* the server is down for an hour */
    restart(f);
    host_of(f, gone, &v);
    assert_int_equal(v.last_seen, gone_at);
    assert_int_equal(v.presence, PRESENCE_LOST);
    host_of(f, m, &v);
    assert_true(v.peer.len && str_eq(v.peer, str_of(peer)));
    assert_true(v.last_seen + 31 * USEC_PER_SEC > clock_wall(&f->clock) - USEC_PER_HOUR);
    assert_int_equal(v.presence, PRESENCE_LATE);
    assert_int_equal(n_events(f, "host.lost"), 1);
    pass(f, 85 * USEC_PER_SEC);
    assert_int_equal(presence_of(f, m), PRESENCE_LATE);
    pass(f, 10 * USEC_PER_SEC);
    assert_int_equal(presence_of(f, m), PRESENCE_LOST);
    assert_int_equal(n_events(f, "host.lost"), 2);
    sim_free(m);
    sim_free(gone);
}

static void who_is_lost_stays_lost_over_a_restart(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web"), *gone = sim_ready(f, "gone");
    checkin_gone(f->c, link_of(gone), "net.closed", "eof");
    for (int i = 0; i < 3; i++) { /* too short for its age alone to say so */
        pass(f, 10 * USEC_PER_SEC);
        checkin_beat(f->c, link_of(m), &(struct heartbeat){ 0 });
    }
    pass(f, 12 * USEC_PER_SEC);
    assert_int_equal(presence_of(f, gone), PRESENCE_LOST);
    for (int i = 0; i < 2; i++) {
        restart(f);
        assert_int_equal(presence_of(f, gone), PRESENCE_LOST);
        assert_int_equal(presence_of(f, m), PRESENCE_LATE);
        pass(f, 60 * USEC_PER_SEC);
        assert_int_equal(presence_of(f, gone), PRESENCE_LOST);
        assert_int_equal(n_events(f, "host.lost"), 1);
    }
    assert_int_equal(sim_hello_with(f, gone, NULL, 0), 0); /* it is back, and late like all others after the next restart */
    settle(f);
    assert_int_equal(presence_of(f, gone), PRESENCE_ONLINE);
    restart(f);
    assert_int_equal(presence_of(f, gone), PRESENCE_LATE);
    sim_free(m);
    sim_free(gone);
}

static void numbered_messages_are_taken_once_and_acknowledged_after_commit(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    char line[64];
    forget_sent(f);
    assert_true(checkin_seq(f->c, link_of(m), 1));
    assert_true(checkin_seq(f->c, link_of(m), 2));
    assert_false(checkin_seq(f->c, link_of(m), 2));
    assert_int_equal(f->n_sent, 0);
    settle(f);
    assert_int_equal(f->n_sent, 1); /* one ack for the turn */
    snprintf(line, sizeof(line), "%llu ack 2", (unsigned long long)m->link);
    assert_sent(f, line);
    restart(f);
    assert_int_equal(sim_hello_with(f, m, NULL, 0), 0);
    settle(f);
    assert_int_equal(f->welcome.acked_seq, 2);
    assert_false(checkin_seq(f->c, link_of(m), 2));
    assert_true(checkin_seq(f->c, link_of(m), 3));
    settle(f);
    /* A new spool starts at 0. */
    m->epoch = 99;
    assert_int_equal(sim_hello_with(f, m, NULL, 0), 0);
    settle(f);
    assert_int_equal(f->welcome.acked_seq, 0);
    assert_true(checkin_seq(f->c, link_of(m), 1));
    sim_free(m);
}

/* -- inventory */
static struct section_delta full(struct fact_row *rows, size_t n)
{
    struct section_delta d = {
        .name = STR("packages"), .status = SECTION_OK, .full = true, .rows = rows, .n_rows = n
    };
    for (size_t i = 0; i < n; i++) {
        struct fact_digest h;
        fact_row_hash(&rows[i], &h);
        fact_digest_add(&d.digest, &h);
    }
    return d;
}

static void count_rows(void *ctx, const struct fact_head *h, struct str body)
{
    struct read_wait *w = ctx;
    (void)h;
    w->n = body_count(body);
}

static void note_status(void *ctx, const struct fact_head *h, struct str body)
{
    struct read_wait *w = ctx;
    (void)body;
    w->n = h->status;
}

/* Section packages, by what @fn makes of it. */
static size_t of_packages(struct fixture *f, const struct sim *m, void (*fn)(void *ctx, const struct fact_head *h, struct str body))
{
    struct host_view v;
    struct read_wait *w = xnew0(struct read_wait);
    w->f = f;
    host_of(f, m, &v);
    read_facts(f->c, v.id.v, STR("packages"), fn, read_finish, w);
    read_wait_for(w);
    size_t n = w->n;
    free(w);
    return n;
}

static size_t n_rows(struct fixture *f, const struct sim *m)
{
    return of_packages(f, m, count_rows);
}

static void deltas_fold_and_what_does_not_fit_is_asked_in_full_once(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    char line[64];
    struct fact_row rows[] = { { STR("bash"), STR("{\"version\":\"5\"}") },
                               { STR("curl"), STR("{\"version\":\"7\"}") } };
    struct fact_row more[] = { { STR("zsh"), STR("{\"version\":\"5.9\"}") } };
    struct section_delta first = full(rows, 2),
                         d = { .name = STR("packages"), .status = SECTION_OK, .rows = more, .n_rows = 1 };
    d.base = first.digest;
    d.digest = first.digest;
    struct fact_digest h;
    fact_row_hash(&more[0], &h);
    fact_digest_add(&d.digest, &h);

    checkin_inventory(f->c, link_of(m), &d, 1); /* before anything in full */
    checkin_inventory(f->c, link_of(m), &d, 1);
    settle(f);
    snprintf(line, sizeof(line), "%llu resync packages", (unsigned long long)m->link);
    assert_sent(f, line);
    assert_int_equal(n_sent_like(f, "resync"), 1);
    checkin_inventory(f->c, link_of(m), &first, 1);
    checkin_inventory(f->c, link_of(m), &d, 1);
    checkin_inventory(f->c, link_of(m), &d, 1); /* sent again after a break */
    assert_int_equal(n_rows(f, m), 3);
    assert_int_equal(n_sent_like(f, "resync"), 1);
    assert_int_equal(n_events(f, "inventory.changed"), 1);

    /* What the agent believes we have is compared at hello. */
    struct principal p;
    assert_int_equal(authn_host(f->c, str_of(m->uuid), m->spki, STR("aa"), &p, &f->err), 0);
    forget_sent(f);
    struct section_delta believes[] = { { .name = STR("packages"), .digest = d.digest },
                                        { .name = STR("os"), .digest = d.digest } };
    const struct hello hello = {
        .claims = sim_claims(m), .spool_epoch = 1, .sections = believes, .n_sections = 2
    };
    assert_int_equal(checkin_hello(f->c, &p, (struct link_id){ 9 }, &hello, &f->err), 0);
    settle(f);
    assert_sent(f, "9 resync os");
    assert_int_equal(n_sent_like(f, "resync"), 1);
    inventory_drift(f->c, 1, STR("packages"));
    settle(f);
    assert_sent(f, "9 resync packages");
    sim_free(m);
}

static void a_section_that_fails_keeps_its_rows_even_asked_in_full(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    char line[64];
    struct fact_row rows[] = { { STR("bash"), STR("{}") }, { STR("curl"), STR("{}") } };
    struct section_delta good = full(rows, 2), failed = full(NULL, 0), one = full(rows, 1);
    failed.status = SECTION_FAILED;
    failed.message = STR("/var/lib/dpkg/status: is empty");
    checkin_inventory(f->c, link_of(m), &good, 1);
    checkin_inventory(f->c, link_of(m), &failed, 1);
    assert_int_equal(n_rows(f, m), 2);
    checkin_inventory(f->c, link_of(m), &failed, 1);
    settle(f);
    assert_int_equal(n_events(f, "inventory.changed"), 1);
    assert_int_equal(n_sent_like(f, "resync"), 0);

    /* Its agent believes us to have nothing. It is mended with the rows as they were: that is all they are, but no longer failed. */
    struct section_delta mended = good;
    mended.full = false;
    mended.base = failed.digest;
    checkin_inventory(f->c, link_of(m), &mended, 1);
    settle(f);
    assert_int_equal(n_rows(f, m), 2);
    assert_int_equal(of_packages(f, m, note_status), SECTION_OK);
    assert_int_equal(n_events(f, "inventory.changed"), 1);
    assert_int_equal(n_sent_like(f, "resync"), 0);
    checkin_inventory(f->c, link_of(m), &failed, 1);

    /* What it tells then does not fit, and all is asked for. */
    struct section_delta d = one;
    d.full = false;
    d.base = failed.digest;
    checkin_inventory(f->c, link_of(m), &d, 1);
    settle(f);
    snprintf(line, sizeof(line), "%llu resync packages", (unsigned long long)m->link);
    assert_sent(f, line);
    checkin_inventory(f->c, link_of(m), &one, 1);
    assert_int_equal(n_rows(f, m), 1);
    sim_free(m);
}

static void a_section_that_is_disabled_keeps_its_rows_and_comes_back_by_a_difference(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    struct fact_row rows[] = { { STR("bash"), STR("{}") }, { STR("curl"), STR("{}") } }, third[] = { { STR("zsh"), STR("{}") } };
    struct section_delta good = full(rows, 2), mute = full(NULL, 0),
                         off = { .name = STR("packages"), .status = SECTION_DISABLED, .base = good.digest, .digest = good.digest },
                         on = { .name = STR("packages"), .status = SECTION_OK, .rows = third, .n_rows = 1, .base = good.digest,
                                .digest = good.digest };
    struct fact_digest h;
    fact_row_hash(&third[0], &h);
    fact_digest_add(&on.digest, &h);
    mute.status = SECTION_DISABLED;
    checkin_inventory(f->c, link_of(m), &good, 1);
    checkin_inventory(f->c, link_of(m), &off, 1);
    assert_int_equal(n_rows(f, m), 2);
    checkin_inventory(f->c, link_of(m), &mute, 1); /* asked in full, it may say nothing */
    assert_int_equal(n_rows(f, m), 2);
    checkin_inventory(f->c, link_of(m), &on, 1);
    assert_int_equal(n_rows(f, m), 3);
    assert_int_equal(n_sent_like(f, "resync"), 0);
    sim_free(m);
}

static struct str roles_of(struct fixture *f, const struct sim *m)
{
    struct host_view v;
    host_of(f, m, &v);
    return v.roles;
}

static void how_the_roles_are_is_known_as_last_told(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    struct role_health v[] = { { STR("inventory"), SECTION_OK, STR("") }, { STR("metrics"), SECTION_DISABLED, STR("off\nhere") } }, r;
    static char big[200];
    assert_int_equal(roles_of(f, m).len, 0);
    for (int i = 0; i < 2; i++) { /* again the same */
        checkin_roles(f->c, link_of(m), v, 2);
        struct str rest = roles_of(f, m);
        assert_int_equal(role_health_next(&rest, &r), 1);
        assert_true(str_is(r.name, "inventory") && r.status == SECTION_OK && r.message.len == 0);
        assert_int_equal(role_health_next(&rest, &r), 1);
        assert_true(str_is(r.name, "metrics") && r.status == SECTION_DISABLED && str_is(r.message, "off here"));
        assert_int_equal(role_health_next(&rest, &r), 0);
    }
    /* A peer that says very much is cut. */
    struct role_health many[64];
    memset(big, 'x', sizeof(big));
    for (size_t i = 0; i < ARRAY_SIZE(many); i++)
        many[i] = (struct role_health){ str_bytes(big, sizeof(big)), SECTION_FAILED, str_bytes(big, sizeof(big)) };
    checkin_roles(f->c, link_of(m), many, ARRAY_SIZE(many));
    assert_in_range(roles_of(f, m).len, 1, LIMIT_ROLE_HEALTH_BYTES);
    checkin_roles(f->c, link_of(m), NULL, 0);
    assert_int_equal(roles_of(f, m).len, 0);
    checkin_roles(f->c, (struct link_id){ 4711 }, v, 2); /* of a link that is gone */
    sim_free(m);
}

static void a_full_section_that_lies_about_itself_is_not_taken(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    struct fact_row rows[] = { { STR("bash"), STR("{}") } },
                    twice[] = { { STR("a"), STR("{}") }, { STR("a"), STR("{}") } };
    struct section_delta d = full(rows, 1);
    d.digest.b[0] ^= 1;
    checkin_inventory(f->c, link_of(m), &d, 1);
    d = full(twice, 2);
    checkin_inventory(f->c, link_of(m), &d, 1);
    settle(f);
    assert_int_equal(n_rows(f, m), 0);
    assert_int_equal(n_sent_like(f, "resync"), 1);
    d = full(rows, 1);
    d.name = STR("no-such-section");
    checkin_inventory(f->c, link_of(m), &d, 1);
    sim_free(m);
}

struct asked {
    int result, n;
    char slug[48];
};
static void on_answer(void *ctx, int result, const struct err *err, const struct section_delta *d)
{
    struct asked *a = ctx;
    (void)d;
    a->n++;
    a->result = result;
    snprintf(a->slug, sizeof(a->slug), "%s", err ? err->slug : "");
}

static void a_live_question_is_answered_or_ends(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    struct asked a = { 0 };
    const struct section_delta d = { .name = STR("connections") };
    inventory_ask(f->c, &f->viewer, STR("web"), STR("connections"), on_answer, &a);
    inventory_answer(f->c, (struct link_id){ 1 }, 1, &d); /* another link */
    assert_int_equal(a.n, 0);
    inventory_answer(f->c, link_of(m), 1, &d);
    inventory_answer(f->c, link_of(m), 1, &d);
    assert_int_equal(a.n, 1);
    assert_int_equal(a.result, 0);
    inventory_ask(f->c, &f->viewer, STR("web"), STR("connections"), on_answer, &a);
    pass(f, 11 * USEC_PER_SEC);
    assert_int_equal(a.n, 2);
    assert_string_equal(a.slug, "request.timeout");
    inventory_ask(f->c, &f->viewer, STR("web"), STR("connections"), on_answer, &a);
    checkin_gone(f->c, link_of(m), "net.closed", "eof");
    assert_string_equal(a.slug, "host.offline");
    inventory_ask(f->c, &f->viewer, STR("web"), STR("connections"), on_answer, &a);
    assert_int_equal(a.n, 4);
    assert_string_equal(a.slug, "host.offline");
    sim_free(m);
}

/* -- load */
static void a_link_over_its_rate_is_not_read_until_it_is_under(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    forget_sent(f);
    for (uint64_t i = 1; i <= 2000; i++)
        checkin_seq(f->c, link_of(m), i);
    assert_int_equal(n_sent_like(f, "pause"), 0);
    checkin_seq(f->c, link_of(m), 2001);
    checkin_seq(f->c, link_of(m), 2002);
    assert_int_equal(n_sent_like(f, "pause"), 1);
    pass(f, USEC_PER_SEC);
    assert_int_equal(n_sent_like(f, "resume"), 1);
    sim_free(m);
}

static void one_host_may_connect_so_often(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web"), *other = sim_ready(f, "other");
    int n = 1, r = 0;
    while (r == 0 && n < 100) {
        r = sim_hello_with(f, m, NULL, 0);
        n += r == 0;
    }
    assert_int_equal(n, 20);
    assert_int_equal(r, -EBUSY);
    assert_slug(f, "rate.limited");
    assert_int_equal(sim_hello_with(f, other, NULL, 0), 0);
    clock_turn(&f->clock, USEC_PER_SEC);
    assert_int_equal(sim_hello_with(f, m, NULL, 0), 0);
    sim_free(m);
    sim_free(other);
}

static void the_interval_grows_with_the_fleet_and_agents_hear_of_it(void **state)
{
    struct fixture *f = *state;
    struct sim *m[4];
    f->conf.beats_per_s = 1;
    f->conf.heartbeat = 2 * USEC_PER_SEC;
    control_reload(f->c, &f->conf);
    for (int i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof(name), "h%d", i);
        m[i] = sim_ready(f, name);
    }
    assert_int_equal(f->welcome.config.heartbeat_ms, 4000); /* four hosts, one beat a second */
    assert_int_equal(presence_beat_every(f->c), 4 * USEC_PER_SEC);
    assert_sent(f, "101 config 4000");
    for (int i = 0; i < 4; i++)
        sim_free(m[i]);
}

static void a_planned_stop_gives_everybody_a_slot(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    control_drain(f->c);
    settle(f);
    assert_int_equal(n_sent_like(f, "goodbye server.stopping"), 1);
    assert_int_equal(sim_hello_with(f, m, NULL, 0), -EAGAIN);
    assert_slug(f, "server.stopping");
    sim_free(m);
}

static void claims_of_an_agent_are_mended_before_they_are_kept(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_new("web");
    struct host_view v;
    struct enroll_request rq = { .csr_pem = str_of(m->csr),
                                 .claims = sim_claims(m),
                                 .peer_addr = "192.0.2.1" };
    char *long_name = xcalloc(1, 5000);
    memset(long_name, 'x', 4999);
    rq.claims.os = STR("evil\x1b[31m \xff os");
    rq.claims.hostname = str_of(long_name);
    assert_int_equal(enroll_ask(f->c, &rq, &m->answer, &f->err), 0);
    memcpy(m->uuid, m->answer.host_uuid, 37);
    host_of(f, m, &v);
    assert_int_equal(v.claims.hostname.len, 255);
    assert_true(v.name.len <= LIMIT_NAME);
    assert_null(memchr(v.claims.os.ptr, 0x1b, v.claims.os.len));
    settle(f);
    restart(f);
    host_of(f, m, &v);
    assert_int_equal(v.claims.hostname.len, 255);
    free(long_name);
    sim_free(m);
}

static void names_and_labels_are_for_operators_to_give(void **state)
{
    struct fixture *f = *state;
    struct sim *a = sim_ready(f, "a"), *b = sim_ready(f, "b");
    struct kv labels[] = { { STR("role"), STR("web") }, { STR("zone"), STR("1") } },
              gone[] = { { STR("zone"), STR_NONE } }, bad[] = { { STR("a b"), STR("x") } };
    struct host_view v;
    assert_int_equal(host_rename(f->c, &f->admin, STR("a"), STR("b"), &f->err), -EEXIST);
    assert_slug(f, "host.name_taken");
    assert_int_equal(host_rename(f->c, &f->admin, STR("a"), STR("a b"), &f->err), -EINVAL);
    assert_int_equal(host_rename(f->c, &f->admin, STR("a"), STR("web-1"), &f->err), 0);
    assert_int_equal(host_label(f->c, &f->admin, STR("web-1"), &(struct kv_list){ labels, 2 }, &f->err), 0);
    assert_int_equal(host_label(f->c, &f->admin, STR("web-1"), &(struct kv_list){ gone, 1 }, &f->err), 0);
    assert_int_equal(host_label(f->c, &f->admin, STR("web-1"), &(struct kv_list){ bad, 1 }, &f->err),
                     -EINVAL);
    assert_int_equal(host_label(f->c, &f->viewer, STR("web-1"), &(struct kv_list){ gone, 1 }, &f->err),
                     -EACCES);
    settle(f);
    restart(f);
    assert_int_equal(host_find(f->c, STR("web-1"), &v, &f->err), 0);
    assert_int_equal(v.labels->n, 1);
    assert_true(str_is(v.labels->v[0].value, "web"));
    assert_int_equal(host_find(f->c, STR("a"), &v, &f->err), -ENOENT);
    assert_slug(f, "host.unknown");
    sim_free(a);
    sim_free(b);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(hello_is_answered_when_it_is_durable),
        T(a_newer_link_replaces_the_older_by_generation),
        T(a_host_goes_online_late_lost_and_back_with_an_event_each),
        T(an_agent_that_takes_leave_is_lost_at_once_and_back_at_its_next_hello),
        T(a_leave_outlives_the_server_and_ends_with_the_next_hello),
        T(last_seen_survives_and_a_restart_gives_a_grace),
        T(who_is_lost_stays_lost_over_a_restart),
        T(numbered_messages_are_taken_once_and_acknowledged_after_commit),
        T(deltas_fold_and_what_does_not_fit_is_asked_in_full_once),
        T(a_section_that_fails_keeps_its_rows_even_asked_in_full),
        T(a_section_that_is_disabled_keeps_its_rows_and_comes_back_by_a_difference),
        T(how_the_roles_are_is_known_as_last_told),
        T(a_full_section_that_lies_about_itself_is_not_taken),
        T(a_live_question_is_answered_or_ends),
        T(a_link_over_its_rate_is_not_read_until_it_is_under),
        T(one_host_may_connect_so_often),
        T(the_interval_grows_with_the_fleet_and_agents_hear_of_it),
        T(a_planned_stop_gives_everybody_a_slot),
        T(claims_of_an_agent_are_mended_before_they_are_kept),
        T(names_and_labels_are_for_operators_to_give),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
