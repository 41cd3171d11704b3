/* tests/unit/control/test_report_certs.c - reporters and the key of the client certificate they come with. */
#include "report_fixture.h"

static const struct client_key none, key_a = { true, { 0xaa } }, key_b = { true, { 0xbb } };

static int setup(void **state)
{
    int r = fixture_setup(state);
    struct fixture *f = *state;
    f->conf.asks_client_certs = true;
    control_reload(f->c, &f->conf);
    return r;
}

static struct enroll_key_wish key_wish(const char *name, bool requires)
{
    struct enroll_key_wish w = { .name = str_of(name), .auto_approve = true, .require_client_cert = requires };
    wish_for(&enroll_key_create_record, &w.seen, "name");
    wish_for(&enroll_key_create_record, &w.seen, "auto_approve");
    wish_for(&enroll_key_create_record, &w.seen, "require_client_cert");
    return w;
}

static uint64_t make_key(struct fixture *f, const char *name, bool requires, char text[SECRET_TEXT_MAX])
{
    struct enroll_key_wish w = key_wish(name, requires);
    return enroll_key_of(f, &w, text);
}

static int reg(struct fixture *f, const char *key, const char *claim, struct client_key client, struct register_answer *a)
{
    const struct register_ask ask = { .enroll_key = str_of(key), .uuid = STR("u1"), .claim = str_of(claim), .client = client,
                                      .peer = REPORT_PEER };
    return register_with(f, &ask, a);
}

static int pass_of(struct fixture *f, const struct register_answer *a, struct client_key client, struct report_pass *ret)
{
    return pass_with(f, a->api_key, client, ret);
}

static int tell(struct fixture *f, const struct report_pass *pass)
{
    struct report r = { .uuid = STR("u1"), .observed_at = 1 };
    return tell_from(f, pass, &r, REPORT_PEER).result;
}

static struct str bound_to(struct fixture *f, uint64_t id)
{
    return view(f, id).row->client_key;
}

static int set(struct fixture *f, const struct principal *p, uint64_t id, struct str hex)
{
    struct reporter_wish w = { .client_key = hex };
    wish_for(&reporter_change_record, &w.seen, "client_key_sha256");
    int r = reporter_change(f->c, p, id, &w, &f->err);
    settle(f);
    return r;
}

#define HEX_A "aa00000000000000000000000000000000000000000000000000000000000000"
#define HEX_B "bb00000000000000000000000000000000000000000000000000000000000000"

static void a_key_that_requires_one_lets_nobody_in_without(void **state)
{
    struct fixture *f = *state;
    char key[SECRET_TEXT_MAX];
    struct register_answer a;
    struct report_pass pass;
    (void)make_key(f, "k", true, key);
    assert_int_equal(reg(f, key, NULL, none, &a), -EACCES);
    assert_slug(f, "client_cert.required");
    assert_int_equal(enroll_key_by_id(f->c, 1)->n_registrations, 0); /* it left nothing behind */
    assert_int_equal(reg(f, key, NULL, key_a, &a), 0);
    assert_true(a.api_key[0] && str_is(bound_to(f, a.reporter_id), HEX_A));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pass_of(f, &a, none, &pass), -EACCES);
        assert_slug(f, "client_cert.required");
        assert_int_equal(pass_of(f, &a, key_b, &pass), -EACCES);
        assert_slug(f, "client_cert.other");
        assert_int_equal(pass_of(f, &a, key_a, &pass), 0);
        assert_int_equal(tell(f, &pass), 0);
        restart(f);
    }
}

static void a_bound_agent_registers_over_its_key_only(void **state)
{
    struct fixture *f = *state;
    char key[SECRET_TEXT_MAX];
    struct register_answer a, again;
    (void)make_key(f, "k", false, key);
    assert_int_equal(reg(f, key, NULL, key_a, &a), 0);
    assert_true(str_is(bound_to(f, a.reporter_id), HEX_A));
    assert_int_equal(reg(f, key, NULL, none, &again), -EACCES);
    assert_slug(f, "client_cert.required");
    assert_int_equal(reg(f, key, NULL, key_b, &again), -EACCES);
    assert_slug(f, "client_cert.other");
    assert_int_equal(reg(f, key, NULL, key_a, &again), 0);
}

static void who_never_shows_one_stays_unbound(void **state)
{
    struct fixture *f = *state;
    char key[SECRET_TEXT_MAX];
    struct register_answer a, again;
    struct report_pass pass;
    (void)make_key(f, "k", false, key);
    assert_int_equal(reg(f, key, NULL, none, &a), 0);
    assert_int_equal(reg(f, key, NULL, none, &again), 0);
    assert_int_equal(pass_of(f, &a, none, &pass), 0);
    assert_int_equal(tell(f, &pass), 0);
    assert_int_equal(bound_to(f, a.reporter_id).len, 0);
}

/* The enrollment key and a uuid are known to many; a claim and an API key to one. */
static void only_who_is_it_for_sure_binds_an_agent_later(void **state)
{
    struct fixture *f = *state;
    char key[SECRET_TEXT_MAX];
    struct register_answer a, again;
    struct report_pass pass;
    (void)make_key(f, "k", false, key);
    assert_int_equal(reg(f, key, NULL, none, &a), 0);
    assert_int_equal(reg(f, key, NULL, key_b, &again), 0);
    assert_int_equal(bound_to(f, a.reporter_id).len, 0);
    assert_int_equal(pass_of(f, &a, key_a, &pass), 0);
    assert_int_equal(bound_to(f, a.reporter_id).len, 0); /* nothing was taken in yet */
    assert_int_equal(tell(f, &pass), 0);
    assert_true(str_is(bound_to(f, a.reporter_id), HEX_A));
    restart(f);
    assert_true(str_is(bound_to(f, a.reporter_id), HEX_A));
}

static void the_claim_binds_too(void **state)
{
    struct fixture *f = *state;
    char key[SECRET_TEXT_MAX];
    struct register_answer a;
    (void)make_key(f, "k", false, key);
    assert_int_equal(reg(f, key, "0123456789abcdef", none, &a), 0);
    assert_int_equal(reg(f, key, "0123456789abcdef", key_a, &a), 0);
    assert_true(str_is(bound_to(f, a.reporter_id), HEX_A));
}

static void an_operator_replaces_and_clears_it(void **state)
{
    struct fixture *f = *state;
    char key[SECRET_TEXT_MAX];
    struct register_answer a;
    struct report_pass pass;
    (void)make_key(f, "k", false, key);
    assert_int_equal(reg(f, key, NULL, key_a, &a), 0);
    assert_int_equal(set(f, &f->viewer, a.reporter_id, STR_NONE), -EACCES);
    assert_int_equal(set(f, &f->admin, a.reporter_id, STR("abc")), -EINVAL);
    assert_int_equal(set(f, &f->admin, a.reporter_id, str_sub(STR(HEX_B), 0, 63)), -EINVAL);
    assert_int_equal(set(f, &f->admin, a.reporter_id, STR("x" HEX_B)), -EINVAL);
    assert_true(str_is(bound_to(f, a.reporter_id), HEX_A));
    assert_int_equal(set(f, &f->admin, a.reporter_id, STR("BB00000000000000000000000000000000000000000000000000000000000000")), 0);
    assert_true(str_is(bound_to(f, a.reporter_id), HEX_B));
    assert_int_equal(pass_of(f, &a, key_a, &pass), -EACCES);
    assert_int_equal(pass_of(f, &a, key_b, &pass), 0);
    assert_int_equal(set(f, &f->admin, a.reporter_id, STR_NONE), 0);
    assert_int_equal(bound_to(f, a.reporter_id).len, 0);
    assert_int_equal(pass_of(f, &a, none, &pass), 0);
    assert_int_equal(pass_of(f, &a, key_a, &pass), 0);
    assert_int_equal(tell(f, &pass), 0); /* the next it shows */
    assert_true(str_is(bound_to(f, a.reporter_id), HEX_A));
}

static void what_an_operator_decided_meanwhile_counts(void **state)
{
    struct fixture *f = *state;
    char key[SECRET_TEXT_MAX];
    struct register_answer a;
    struct report_pass pass;
    (void)make_key(f, "k", false, key);
    assert_int_equal(reg(f, key, NULL, key_a, &a), 0);
    assert_int_equal(pass_of(f, &a, key_a, &pass), 0);
    assert_int_equal(set(f, &f->admin, a.reporter_id, STR(HEX_B)), 0); /* while the report was inflated */
    assert_int_equal(tell(f, &pass), -EACCES);
    assert_true(str_is(bound_to(f, a.reporter_id), HEX_B));
}

static void a_key_that_is_changed_to_require_one_holds_for_all_who_came_with_it(void **state)
{
    struct fixture *f = *state;
    char key[SECRET_TEXT_MAX];
    struct register_answer a;
    struct report_pass pass;
    const struct enroll_key *k;
    uint64_t id = make_key(f, "k", false, key);
    assert_int_equal(reg(f, key, NULL, none, &a), 0);
    struct enroll_key_wish w = { .require_client_cert = true };
    wish_for(&enroll_key_change_record, &w.seen, "require_client_cert");
    assert_int_equal(enroll_key_change(f->c, &f->admin, id, &w, &k, &f->err), 0);
    settle(f);
    assert_int_equal(pass_of(f, &a, none, &pass), -EACCES);
    assert_slug(f, "client_cert.required");
    assert_int_equal(pass_of(f, &a, key_a, &pass), 0);
    assert_int_equal(tell(f, &pass), 0);
    assert_true(str_is(bound_to(f, a.reporter_id), HEX_A));
}

static void a_server_that_asks_for_none_makes_no_key_that_requires_one(void **state)
{
    struct fixture *f = *state;
    struct enroll_key_wish w = key_wish("k", true);
    const struct enroll_key *k;
    char text[SECRET_TEXT_MAX];
    struct register_answer a;
    f->conf.asks_client_certs = false;
    control_reload(f->c, &f->conf);
    assert_int_equal(enroll_key_create(f->c, &f->admin, &w, text, &k, &f->err), -EBUSY);
    assert_slug(f, "client_cert.off");
    f->conf.asks_client_certs = true;
    control_reload(f->c, &f->conf);
    (void)make_key(f, "k", true, text);
    f->conf.asks_client_certs = false; /* the key goes on to require it, and the refusal says why nobody can */
    control_reload(f->c, &f->conf);
    assert_int_equal(reg(f, text, NULL, none, &a), -EACCES);
    assert_slug(f, "client_cert.required");
    assert_non_null(strstr(f->err.text, "http_client_certs"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_key_that_requires_one_lets_nobody_in_without),
        T(a_bound_agent_registers_over_its_key_only),
        T(who_never_shows_one_stays_unbound),
        T(only_who_is_it_for_sure_binds_an_agent_later),
        T(the_claim_binds_too),
        T(an_operator_replaces_and_clears_it),
        T(what_an_operator_decided_meanwhile_counts),
        T(a_key_that_is_changed_to_require_one_holds_for_all_who_came_with_it),
        T(a_server_that_asks_for_none_makes_no_key_that_requires_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
