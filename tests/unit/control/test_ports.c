/* tests/unit/control/test_ports.c - questions about ports: over a link, fetched, pulled. */
#include "fixture.h"

#include "control/accent.h"

struct told {
    int n, result;
    char slug[48], refusal[48], lease[48];
    uint32_t n_ports;
    uint16_t first;
};
static void on_ports_told(void *ctx, int result, const struct err *err, const struct ports_answer *a)
{
    struct told *t = ctx;
    *t = (struct told){ .n = t->n + 1, .result = result };
    snprintf(t->slug, sizeof(t->slug), "%s", err ? err->slug : "");
    if (!a)
        return;
    snprintf(t->refusal, sizeof(t->refusal), "%.*s", STR_FMT(a->error.slug));
    snprintf(t->lease, sizeof(t->lease), "%.*s", STR_FMT(a->lease));
    t->n_ports = a->n;
    t->first = a->n ? a->ports[0] : 0;
}
static void ask(struct fixture *f, const char *host, uint32_t count, struct told *t)
{
    const struct ports_wish w = { .count = count, .ttl_seconds = 60, .owner = STR("alice") };
    *t = (struct told){ 0 };
    ports_ask(f->c, &f->admin, str_of(host), &w, on_ports_told, t);
    settle(f);
}
static uint64_t meet(struct fixture *f, const char *dialect, const char *id)
{
    const struct sighting s = {
        .dialect = dialect, .external_id = str_of(id), .claims = { .hostname = str_of(id) }, .approved_by = "key"
    };
    uint64_t host;
    bool is_new;
    assert_int_equal(accent_meet(f->c, &s, &host, &is_new, &f->err), 0);
    settle(f);
    return host;
}
static const struct ports_answer two = { .ports = { 20001, 20002 }, .n = 2, .lease = { "l-1", 3 } };

struct fetched {
    size_t n;
    uint64_t id;
    uint32_t count;
    char owner[32];
};
static void on_fetched(void *ctx, uint64_t id, const struct ports_wish *w)
{
    struct fetched *x = ctx;
    x->n++;
    x->id = id;
    x->count = w->count;
    snprintf(x->owner, sizeof(x->owner), "%.*s", STR_FMT(w->owner));
}
static struct fetched fetch(struct fixture *f, uint64_t host)
{
    struct fetched x = { 0 };
    ports_waiting(f->c, host, on_fetched, &x);
    return x;
}
static void on_wake(void *ctx)
{
    (*(int *)ctx)++;
}
static uint64_t ids_asked(const struct fixture *f)
{
    return n_sent_like(f, "ports_request");
}

/* -- over a link */
static void a_question_goes_down_the_link_and_its_answer_comes_back(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web-1");
    struct told t;
    char line[64];
    ask(f, "web-1", 2, &t);
    snprintf(line, sizeof(line), "%llu ports_request 1 2", (unsigned long long)m->link);
    assert_sent(f, line);
    assert_int_equal(t.n, 0);
    ports_link_answer(f->c, (struct link_id){ m->link + 1 }, 1, &two); /* another link's word is nothing */
    assert_int_equal(ports_answered(f->c, 1, 1, &two), -ENOENT);
    assert_int_equal(t.n, 0);
    ports_link_answer(f->c, link_of(m), 1, &two);
    assert_int_equal(t.n, 1);
    assert_int_equal(t.result, 0);
    assert_int_equal(t.n_ports, 2);
    assert_int_equal(t.first, 20001);
    assert_string_equal(t.lease, "l-1");
    ports_link_answer(f->c, link_of(m), 1, &two);
    assert_int_equal(t.n, 1);
    sim_free(m);
}

static void a_refusal_is_an_answer(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web-1");
    struct told t;
    ask(f, "web-1", 2, &t);
    const struct ports_answer a = { .error = { STR("ports.too_few"), STR("1 of 2") } };
    ports_link_answer(f->c, link_of(m), 1, &a);
    assert_int_equal(t.result, 0);
    assert_string_equal(t.refusal, "ports.too_few");
    sim_free(m);
}

static void an_answer_that_is_not_what_was_asked_for_is_none(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web-1");
    struct told t;
    static const struct ports_answer zero = { .ports = { 20001, 0 }, .n = 2 };
    ask(f, "web-1", 3, &t);
    ports_link_answer(f->c, link_of(m), 1, &two);
    assert_string_equal(t.refusal, "ports.failed");
    ask(f, "web-1", 2, &t);
    ports_link_answer(f->c, link_of(m), 2, &zero);
    assert_string_equal(t.refusal, "ports.failed");
    sim_free(m);
}

static void a_link_that_breaks_or_is_silent_ends_the_question(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web-1"), *n = sim_ready(f, "web-2");
    struct told t, u;
    ask(f, "web-1", 2, &t);
    ask(f, "web-2", 2, &u);
    checkin_gone(f->c, link_of(m), "net.closed", "test");
    assert_int_equal(t.result, -ENOTCONN);
    assert_string_equal(t.slug, "host.offline");
    assert_int_equal(u.n, 0);
    pass(f, 34 * USEC_PER_SEC);
    assert_int_equal(u.n, 0);
    pass(f, 2 * USEC_PER_SEC);
    assert_int_equal(u.result, -ETIMEDOUT);
    assert_string_equal(u.slug, "host.timeout");
    sim_free(m);
    sim_free(n);
}

static void a_dead_link_says_so_at_once(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web-1");
    struct told t;
    f->dead_link = m->link;
    ask(f, "web-1", 2, &t);
    assert_int_equal(t.result, -ENOTCONN);
    sim_free(m);
}

/* -- may one ask */
static void wishes_out_of_range_and_hosts_that_cannot_are_refused(void **state)
{
    struct fixture *f = *state;
    struct told t;
    meet(f, "grapheon", "g");
    uint64_t h = meet(f, "sigma", "s");
    fetch(f, h);
    ask(f, "s", 0, &t);
    assert_string_equal(t.slug, "ports.count");
    ask(f, "s", 1001, &t);
    assert_string_equal(t.slug, "ports.count");
    ask(f, "s", 1000, &t);
    assert_int_equal(t.n, 0); /* it waits */
    for (int i = 0; i < 2; i++) {
        struct told u = { 0 };
        ports_ask(f->c, &f->admin, STR("s"), i ? &(struct ports_wish){ .count = 1, .ttl_seconds = PORTS_TTL_MAX_S + 1 } :
                                               &(struct ports_wish){ .count = 1, .hold = true }, on_ports_told, &u);
        assert_string_equal(u.slug, "field.range");
    }
    ask(f, "g", 2, &t);
    assert_string_equal(t.slug, "host.cannot");
    ask(f, "nobody", 2, &t);
    assert_string_equal(t.slug, "host.unknown");
    const struct ports_wish w = { .count = 1 };
    t = (struct told){ 0 };
    ports_ask(f->c, &f->viewer, STR("s"), &w, on_ports_told, &t);
    assert_string_equal(t.slug, "auth.denied");
    assert_int_equal(enroll_revoke(f->c, &f->admin, STR("s"), STR_NONE, &f->err), 0);
    ask(f, "s", 1, &t);
    assert_string_equal(t.slug, "host.revoked");
}

/* -- fetched */
static void who_fetches_nothing_is_offline(void **state)
{
    struct fixture *f = *state;
    struct told t;
    uint64_t h = meet(f, "sigma", "s");
    ask(f, "s", 2, &t);
    assert_string_equal(t.slug, "host.offline");
    fetch(f, h);
    assert_true(ports_reachable(f->c, h));
    pass(f, 89 * USEC_PER_SEC);
    assert_true(ports_reachable(f->c, h));
    pass(f, USEC_PER_SEC);
    assert_false(ports_reachable(f->c, h));
}

static void a_question_waits_to_be_fetched_and_answered(void **state)
{
    struct fixture *f = *state;
    struct told t;
    uint64_t h = meet(f, "sigma", "s"), other = meet(f, "sigma", "o");
    assert_int_equal(fetch(f, h).n, 0);
    ask(f, "s", 2, &t);
    assert_int_equal(fetch(f, other).n, 0);
    struct fetched x = fetch(f, h);
    assert_int_equal(x.n, 1);
    assert_int_equal(x.count, 2);
    assert_string_equal(x.owner, "alice");
    assert_int_equal(fetch(f, h).n, 0); /* not twice at once */
    pass(f, 4 * USEC_PER_SEC);
    assert_int_equal(fetch(f, h).n, 0);
    pass(f, USEC_PER_SEC);
    assert_int_equal(fetch(f, h).n, 1); /* but again when nobody answers */
    assert_int_equal(ports_answered(f->c, other, x.id, &two), -ENOENT);
    assert_int_equal(ports_answered(f->c, h, x.id, &two), 0);
    assert_int_equal(t.n_ports, 2);
    assert_int_equal(ports_answered(f->c, h, x.id, &two), -ENOENT);
    assert_int_equal(ids_asked(f), 0);
}

static void a_question_nobody_answers_ends_after_35_seconds(void **state)
{
    struct fixture *f = *state;
    struct told t;
    uint64_t h = meet(f, "sigma", "s");
    fetch(f, h);
    ask(f, "s", 2, &t);
    struct fetched x = fetch(f, h);
    pass(f, 36 * USEC_PER_SEC);
    assert_string_equal(t.slug, "host.timeout");
    assert_int_equal(ports_answered(f->c, h, x.id, &two), -ENOENT);
}

static void a_long_poll_wakes_by_a_question_or_by_time(void **state)
{
    struct fixture *f = *state;
    struct told t;
    int woken = 0, gone = 0;
    uint64_t h = meet(f, "sigma", "s");
    usec_t now = clock_mono(&f->clock);
    ports_wait(f->c, h, now + 30 * USEC_PER_SEC, on_wake, &woken);
    ask(f, "s", 2, &t);
    assert_int_equal(woken, 1);
    struct fetched x = fetch(f, h);
    assert_int_equal(x.n, 1);
    assert_int_equal(ports_answered(f->c, h, x.id, &two), 0);
    ports_wait(f->c, h, now + 30 * USEC_PER_SEC, on_wake, &woken);
    uint64_t id = ports_wait(f->c, h, now + 30 * USEC_PER_SEC, on_wake, &gone);
    ports_unwait(f->c, id);
    ports_unwait(f->c, id);
    pass(f, 29 * USEC_PER_SEC);
    assert_int_equal(woken, 1);
    pass(f, USEC_PER_SEC);
    assert_int_equal(woken, 2);
    assert_int_equal(gone, 0);
    assert_true(ports_reachable(f->c, h)); /* it waited until now */
}

/* A restarted agent's poll of before may still look held, and nobody reads its answer. */
static void a_question_wakes_the_newest_poll(void **state)
{
    struct fixture *f = *state;
    struct told t;
    int old = 0, newest = 0;
    uint64_t h = meet(f, "sigma", "s");
    ports_wait(f->c, h, clock_mono(&f->clock) + 30 * USEC_PER_SEC, on_wake, &old);
    ports_wait(f->c, h, clock_mono(&f->clock) + 30 * USEC_PER_SEC, on_wake, &newest);
    ask(f, "s", 2, &t);
    assert_int_equal(newest, 1);
    assert_int_equal(old, 0);
    ask(f, "s", 2, &t);
    assert_int_equal(old, 1);
    pass(f, 36 * USEC_PER_SEC);
    assert_int_equal(t.n, 2);
}

/* A frozen agent's poll, or one cut off by a router, is not known to be dead. */
static void a_fetched_question_that_is_not_answered_wakes_the_next_poll(void **state)
{
    struct fixture *f = *state;
    struct told t, u;
    int dead = 0, live = 0, later = 0;
    uint64_t h = meet(f, "sigma", "s");
    usec_t until = clock_mono(&f->clock) + 60 * USEC_PER_SEC;
    ports_wait(f->c, h, until, on_wake, &dead);
    ask(f, "s", 2, &t);
    assert_int_equal(dead, 1);
    uint64_t id = fetch(f, h).id;
    ports_wait(f->c, h, until, on_wake, &live);
    pass(f, 3 * USEC_PER_SEC);
    assert_int_equal(live, 0);
    pass(f, 2 * USEC_PER_SEC);
    assert_int_equal(live, 1);
    struct fetched x = fetch(f, h);
    assert_int_equal(x.n, 1);
    assert_int_equal(x.id, id);
    ports_wait(f->c, h, until, on_wake, &later);
    ask(f, "s", 2, &u); /* and one of two that are out is answered */
    assert_int_equal(later, 1);
    assert_int_equal(fetch(f, h).n, 1);
    assert_int_equal(ports_answered(f->c, h, id, &two), 0);
    ports_wait(f->c, h, until, on_wake, &later);
    pass(f, 5 * USEC_PER_SEC);
    assert_int_equal(later, 2);
    assert_int_equal(fetch(f, h).n, 1);
    assert_int_equal(t.n + u.n, 1);
    assert_int_equal(ports_answered(f->c, h, id + 1, &two), 0);
    ports_wait(f->c, h, until, on_wake, &later);
    pass(f, 20 * USEC_PER_SEC);
    assert_int_equal(later, 2);
}

static void a_forgotten_host_ends_its_questions(void **state)
{
    struct fixture *f = *state;
    struct told t;
    uint64_t h = meet(f, "sigma", "s");
    fetch(f, h);
    ask(f, "s", 2, &t);
    assert_int_equal(host_forget(f->c, &f->admin, STR("s"), &f->err), 0);
    settle(f);
    assert_string_equal(t.slug, "host.unknown");
    assert_false(ports_reachable(f->c, h));
}

/* -- pulled */
struct pulled {
    struct fixture *f;
    uint64_t host, id;
    bool can, at_once;
};
static bool on_pull(void *ctx, uint64_t host, uint64_t id, const struct ports_wish *w)
{
    struct pulled *x = ctx;
    assert_int_equal(w->count, 2);
    x->host = host;
    x->id = id;
    if (x->can && x->at_once)
        assert_int_equal(ports_answered(x->f->c, host, id, &two), 0);
    return x->can;
}
static void a_dialect_whose_server_calls_is_asked_so(void **state)
{
    struct fixture *f = *state;
    struct told t;
    struct pulled x = { .f = f, .can = true };
    uint64_t h = meet(f, "sigma", "s");
    ports_puller(f->c, "sigma", on_pull, &x);
    ask(f, "s", 2, &t);
    assert_int_equal(x.host, h);
    assert_int_equal(fetch(f, h).n, 0); /* under way already */
    assert_int_equal(ports_answered(f->c, h, x.id, &two), 0);
    assert_int_equal(t.n_ports, 2);
    pass(f, 91 * USEC_PER_SEC);
    x.at_once = true;
    ask(f, "s", 2, &t);
    assert_int_equal(t.n_ports, 2);
    x.can = false;
    ask(f, "s", 2, &t);
    assert_string_equal(t.slug, "host.offline");
    ports_puller(f->c, "sigma", NULL, NULL);
    x.can = true;
    ask(f, "s", 2, &t);
    assert_string_equal(t.slug, "host.offline");
}

/* -- which way */
static void hear_of_ports(struct fixture *f, struct sim *m, enum offer o)
{
    checkin_beat(f->c, link_of(m), &(struct heartbeat){ .ports = (uint8_t)o });
    settle(f);
}
static void the_best_way_that_can_carry_it_is_taken(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web-1");
    struct told t;
    struct pulled x = { .f = f, .can = true };
    struct host_view v;
    meet(f, "sigma", "s");
    assert_int_equal(host_link(f->c, &f->admin, STR("web-1"), STR("s"), &f->err), 0);
    settle(f);
    assert_int_equal(host_find(f->c, STR("web-1"), &v, &f->err), 0);
    uint64_t h = v.id.v;
    ports_puller(f->c, "sigma", on_pull, &x);
    /* nothing was said of the scan: the link is asked */
    assert_int_equal(ports_way(f->c, h, true), PORTS_LINK);
    hear_of_ports(f, m, OFFER_YES);
    fetch(f, h);
    assert_int_equal(ports_way(f->c, h, true), PORTS_LINK);
    ask(f, "web-1", 2, &t);
    assert_int_equal(ids_asked(f), 1);
    /* it is off there: the poll of the other agent fetches the question */
    hear_of_ports(f, m, OFFER_NO);
    hear_of_ports(f, m, OFFER_UNSAID);
    assert_int_equal(ports_way(f->c, h, true), PORTS_POLL);
    assert_true(ports_reachable(f->c, h));
    ask(f, "web-1", 2, &t);
    assert_int_equal(ids_asked(f), 1);
    struct fetched y = fetch(f, h);
    assert_int_equal(y.n, 1);
    assert_int_equal(ports_answered(f->c, h, y.id, &two), 0);
    assert_int_equal(t.n_ports, 2);
    /* nobody polls: it is dialled */
    pass(f, 91 * USEC_PER_SEC);
    hear_of_ports(f, m, OFFER_NO);
    assert_int_equal(ports_way(f->c, h, true), PORTS_DIAL);
    assert_false(ports_reachable(f->c, h));
    ask(f, "web-1", 2, &t);
    assert_int_equal(x.host, h);
    assert_int_equal(ports_answered(f->c, h, x.id, &two), 0);
    /* nobody can be dialled either: the link's own words are the answer */
    x.can = false;
    assert_int_equal(ports_way(f->c, h, false), PORTS_LINK);
    ask(f, "web-1", 2, &t);
    assert_int_equal(ids_asked(f), 2);
    assert_int_equal(t.n, 0);
    checkin_gone(f->c, link_of(m), "net.closed", "test");
    assert_string_equal(t.slug, "host.offline");
    assert_int_equal(ports_way(f->c, h, false), PORTS_NO_WAY);
    sim_free(m);
}

static void polls_of_a_host_that_is_let_in_no_more_end_at_once(void **state)
{
    struct fixture *f = *state;
    int woken = 0, others = 0, gone = 0;
    uint64_t h = meet(f, "sigma", "s"), o = meet(f, "sigma", "o");
    usec_t until = clock_mono(&f->clock) + 60 * USEC_PER_SEC;
    ports_wait(f->c, h, until, on_wake, &woken);
    ports_wait(f->c, h, until, on_wake, &woken);
    ports_wait(f->c, o, until, on_wake, &others);
    assert_int_equal(enroll_revoke(f->c, &f->admin, STR("s"), STR_NONE, &f->err), 0);
    assert_int_equal(woken, 2);
    assert_int_equal(others, 0);
    ports_wait(f->c, o, until, on_wake, &gone);
    assert_int_equal(host_forget(f->c, &f->admin, STR("o"), &f->err), 0);
    assert_int_equal(others, 1);
    assert_int_equal(gone, 1);
    settle(f);
    pass(f, 61 * USEC_PER_SEC);
    assert_int_equal(woken + others + gone, 4);
}

/* Against a naive copy: polls, questions, answers and time in any order. */
static void who_waits_is_woken_once_whatever_comes_first(void **state)
{
    enum { HOSTS = 5, WAITS = 400 };
    struct fixture *f = *state;
    int woken[WAITS] = { 0 };
    bool dropped[WAITS] = { false };
    uint64_t host[HOSTS], id[WAITS];
    unsigned n = 0;
    srand(7);
    for (int i = 0; i < HOSTS; i++)
        host[i] = meet(f, "sigma", (char[2]){ (char)('a' + i), '\0' });
    for (int step = 0; step < 1500; step++) {
        int at = rand() % HOSTS;
        switch (rand() % 4) {
        case 0:
            if (n == WAITS)
                break;
            id[n] = ports_wait(f->c, host[at], clock_mono(&f->clock) + (usec_t)(rand() % 60) * USEC_PER_SEC, on_wake, &woken[n]);
            n++;
            break;
        case 1:
            if (n == 0)
                break;
            int which = rand() % (int)n;
            dropped[which] |= woken[which] == 0;
            ports_unwait(f->c, id[which]);
            break;
        case 2: {
            static struct told t[1500];
            char name[2] = { (char)('a' + at), '\0' };
            ask(f, name, 2, &t[step]);
            struct fetched x = fetch(f, host[at]);
            if (x.n)
                assert_int_equal(ports_answered(f->c, host[at], x.id, &two), 0);
            break;
        }
        default:
            pass(f, USEC_PER_SEC);
        }
    }
    pass(f, 61 * USEC_PER_SEC);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(woken[i], !dropped[i]);
}

static void questions_still_out_end_with_the_server(void **state)
{
    struct fixture *f = *state;
    struct told t;
    int woken = 0;
    uint64_t h = meet(f, "sigma", "s");
    fetch(f, h);
    ask(f, "s", 2, &t);
    ports_wait(f->c, h, clock_mono(&f->clock) + USEC_PER_SEC, on_wake, &woken);
    restart(f);
    assert_int_equal(t.result, -ECANCELED);
    assert_int_equal(woken, 0);
}

static size_t n_rows;
static void on_audit(void *ctx, const struct audit_row *a)
{
    (void)ctx;
    n_rows += str_is(a->verb, "ports.allocate") && str_is(a->outcome, "ok") && str_is(a->principal, "local:root");
}
static void what_was_given_is_audited(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web-1");
    struct told t;
    struct read_wait w = { .f = f };
    ask(f, "web-1", 2, &t);
    ports_link_answer(f->c, link_of(m), 1, &two);
    n_rows = 0;
    read_audit(f->c, 0, false, 10000, on_audit, read_finish, &w);
    read_wait_for(&w);
    assert_int_equal(n_rows, 1);
    sim_free(m);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_question_goes_down_the_link_and_its_answer_comes_back),
        T(a_refusal_is_an_answer),
        T(an_answer_that_is_not_what_was_asked_for_is_none),
        T(a_link_that_breaks_or_is_silent_ends_the_question),
        T(a_dead_link_says_so_at_once),
        T(wishes_out_of_range_and_hosts_that_cannot_are_refused),
        T(who_fetches_nothing_is_offline),
        T(a_question_waits_to_be_fetched_and_answered),
        T(a_question_wakes_the_newest_poll),
        T(a_fetched_question_that_is_not_answered_wakes_the_next_poll),
        T(a_question_nobody_answers_ends_after_35_seconds),
        T(a_long_poll_wakes_by_a_question_or_by_time),
        T(a_forgotten_host_ends_its_questions),
        T(a_dialect_whose_server_calls_is_asked_so),
        T(the_best_way_that_can_carry_it_is_taken),
        T(polls_of_a_host_that_is_let_in_no_more_end_at_once),
        T(who_waits_is_woken_once_whatever_comes_first),
        T(questions_still_out_end_with_the_server),
        T(what_was_given_is_audited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
