/* tests/unit/control/test_credentials.c - foreign secrets, and sessions of people who came through an accent. */
#include "fixture.h"

#include "control/accent.h"

static uint64_t make(struct fixture *f, const struct credential_wish *w, char text[SECRET_TEXT_MAX])
{
    const struct credential *cr = credential_make(f->c, w, text);
    assert_non_null(cr);
    uint64_t id = cr->id;
    settle(f);
    return id;
}
static int check(struct fixture *f, enum secret_kind k, const char *text, const struct credential **ret)
{
    f->err = (struct err){ 0 };
    int r = credential_check(f->c, k, str_of(text), "192.0.2.9", ret, &f->err);
    settle(f);
    return r;
}
static const struct credential_wish a_key = {
    .kind = SECRET_SIGMA_KEY, .name = { "ci", 2 }, .scope = { "operator", 8 }, .created_by = { "alice", 5 }
};

static void a_secret_is_known_by_its_text_and_only_the_hash_is_kept(void **state)
{
    struct fixture *f = *state;
    char text[SECRET_TEXT_MAX], command[256];
    const struct credential *cr;
    uint64_t id = make(f, &a_key, text);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(check(f, SECRET_SIGMA_KEY, text, &cr), 0);
        assert_int_equal(cr->id, id);
        assert_true(str_is(cr->name, "ci") && str_is(cr->scope, "operator") && str_is(cr->created_by, "alice"));
        assert_true(str_starts(str_of(text), cr->hint) && cr->hint.len < 20);
        restart(f);
    }
    fixture_close(f);
    snprintf(command, sizeof(command), "%s", f->path);
    AUTO(buf_done) struct buf b = BUF(64 << 20);
    assert_int_equal(fd_read_file(command, &b), 0);
    assert_null(memmem(b.ptr, b.len, text + 9, strlen(text) - 9));
    fixture_open(f);
}

static void another_kind_another_text_or_no_text_is_unknown(void **state)
{
    struct fixture *f = *state;
    char text[SECRET_TEXT_MAX];
    const struct credential *cr;
    make(f, &a_key, text);
    text[20] = text[20] == '0' ? '1' : '0';
    assert_int_equal(check(f, SECRET_SIGMA_KEY, text, &cr), -EACCES);
    assert_slug(f, "auth.bad_credential");
    assert_null(cr);
    assert_int_equal(check(f, SECRET_GRAPHEON_AGENT, text, &cr), -EACCES);
    assert_int_equal(check(f, SECRET_SIGMA_KEY, "", &cr), -EACCES);
    const struct credential_wish reporter = { .kind = SECRET_ARGUS_REPORTER };
    make(f, &reporter, text);
    assert_int_equal(check(f, SECRET_ARGUS_VIEWER, text, &cr), -EACCES);
    assert_int_equal(check(f, SECRET_ARGUS_REPORTER, text, &cr), 0);
}

static void a_revoked_one_stays_as_a_tombstone(void **state)
{
    struct fixture *f = *state;
    char text[SECRET_TEXT_MAX];
    const struct credential *cr;
    uint64_t id = make(f, &a_key, text);
    credential_revoke(f->c, id, false);
    credential_revoke(f->c, id, false);
    credential_revoke(f->c, 999, true);
    settle(f);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(check(f, SECRET_SIGMA_KEY, text, &cr), -EACCES);
        assert_slug(f, "auth.revoked");
        assert_int_equal(cr->id, id);
        restart(f);
    }
    credential_forget(f->c, id);
    settle(f);
    restart(f);
    assert_int_equal(check(f, SECRET_SIGMA_KEY, text, &cr), -EACCES);
    assert_slug(f, "auth.bad_credential");
}

static void children_go_with_their_parent_when_asked(void **state)
{
    struct fixture *f = *state;
    char parent[SECRET_TEXT_MAX], child[SECRET_TEXT_MAX], other[SECRET_TEXT_MAX];
    const struct credential *cr;
    uint64_t id = make(f, &a_key, parent);
    const struct credential_wish w = { .kind = SECRET_ARGUS_AGENT, .parent_id = id };
    make(f, &w, child);
    make(f, &(const struct credential_wish){ .kind = SECRET_ARGUS_AGENT, .parent_id = 77 }, other);
    credential_revoke(f->c, id, false);
    assert_int_equal(check(f, SECRET_ARGUS_AGENT, child, &cr), 0);
    credential_revoke(f->c, id, true);
    assert_int_equal(check(f, SECRET_ARGUS_AGENT, child, &cr), -EACCES);
    assert_int_equal(check(f, SECRET_ARGUS_AGENT, other, &cr), 0);
}

static void expiry_counts_from_its_moment(void **state)
{
    struct fixture *f = *state;
    char text[SECRET_TEXT_MAX];
    const struct credential *cr;
    struct credential_wish w = a_key;
    w.expires_at = clock_wall(&f->clock) + USEC_PER_HOUR;
    uint64_t id = make(f, &w, text);
    clock_turn(&f->clock, USEC_PER_HOUR - 1);
    assert_int_equal(check(f, SECRET_SIGMA_KEY, text, &cr), 0);
    clock_turn(&f->clock, 1);
    assert_int_equal(check(f, SECRET_SIGMA_KEY, text, &cr), -EACCES);
    assert_slug(f, "auth.expired");
    assert_non_null(cr);
    credential_set_expiry(f->c, id, 0);
    assert_int_equal(check(f, SECRET_SIGMA_KEY, text, &cr), 0);
}

static void a_use_is_written_once_a_minute(void **state)
{
    struct fixture *f = *state;
    char text[SECRET_TEXT_MAX];
    const struct credential *cr;
    uint64_t id = make(f, &a_key, text);
    assert_int_equal(check(f, SECRET_SIGMA_KEY, text, &cr), 0);
    usec_t first = cr->last_used;
    assert_true(str_is(cr->last_peer, "192.0.2.9"));
    uint64_t ticket = store_newest(f->s);
    clock_turn(&f->clock, 59 * USEC_PER_SEC);
    for (int i = 0; i < 100; i++)
        assert_int_equal(check(f, SECRET_SIGMA_KEY, text, &cr), 0);
    assert_int_equal(store_newest(f->s), ticket);
    clock_turn(&f->clock, USEC_PER_SEC);
    assert_int_equal(check(f, SECRET_SIGMA_KEY, text, &cr), 0);
    assert_true(store_newest(f->s) > ticket);
    restart(f);
    assert_int_equal(credential_by_id(f->c, id)->last_used, first + USEC_PER_MIN);
}

static void a_name_is_bound_and_kept(void **state)
{
    struct fixture *f = *state;
    char text[SECRET_TEXT_MAX];
    struct credential_wish w = a_key;
    w.bind_hostname = true;
    uint64_t id = make(f, &w, text);
    credential_bind(f->c, id, STR("web-1"));
    settle(f);
    restart(f);
    assert_true(credential_by_id(f->c, id)->bind_hostname);
    assert_true(str_is(credential_by_id(f->c, id)->bound_hostname, "web-1"));
}

static bool count(void *ctx, const struct credential *cr)
{
    uint64_t *n = ctx;
    assert_true(cr->id > n[1]);
    n[1] = cr->id;
    return ++n[0] < 3;
}
static void the_list_is_in_order_by_kind_and_stops(void **state)
{
    struct fixture *f = *state;
    char text[SECRET_TEXT_MAX];
    for (int i = 0; i < 4; i++) {
        make(f, &a_key, text);
        make(f, &(const struct credential_wish){ .kind = SECRET_ARGUS_VIEWER }, text);
    }
    uint64_t n[2] = { 0 }, all[2] = { 0 };
    credential_list(f->c, SECRET_SIGMA_KEY, count, n);
    credential_list(f->c, 0, count, all);
    assert_int_equal(n[0], 3);
    assert_int_equal(n[1], 5);
    assert_int_equal(all[1], 3);
}

static void what_a_host_holds_goes_with_it(void **state)
{
    struct fixture *f = *state;
    char text[SECRET_TEXT_MAX];
    const struct credential *cr;
    const struct sighting s = {
        .dialect = "argus", .external_id = STR("agent-1"), .claims = { .hostname = STR("g1") }, .approved_by = "bob"
    };
    uint64_t host;
    bool is_new;
    assert_int_equal(accent_meet(f->c, &s, &host, &is_new, &f->err), 0);
    make(f, &(const struct credential_wish){ .kind = SECRET_ARGUS_AGENT, .host_id = host }, text);
    assert_int_equal(check(f, SECRET_ARGUS_AGENT, text, &cr), 0);
    assert_int_equal(enroll_revoke(f->c, &f->admin, STR("g1"), STR_NONE, &f->err), 0);
    assert_int_equal(check(f, SECRET_ARGUS_AGENT, text, &cr), -EACCES);
    assert_slug(f, "auth.revoked");
    assert_int_equal(host_forget(f->c, &f->admin, STR("g1"), &f->err), 0);
    assert_int_equal(check(f, SECRET_ARGUS_AGENT, text, &cr), -EACCES);
    assert_slug(f, "auth.bad_credential");
}

static void a_principal_has_the_role_its_scope_names(void **state)
{
    static const struct {
        const char *scope;
        enum role_level role;
    } want[] = { { "admin", ROLE_ADMIN },   { "operator", ROLE_OPERATOR }, { "viewer", ROLE_VIEWER }, { "readonly", ROLE_VIEWER },
                 { "agent", ROLE_NONE },    { "reporter", ROLE_NONE },     { "none", ROLE_NONE },     { "", ROLE_NONE } };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        const struct credential cr = { .id = 9, .user_id = 4, .scope = str_of(want[i].scope) };
        struct principal p;
        principal_of_credential(&cr, "sigma:ci", &p);
        assert_int_equal(p.role, want[i].role);
        assert_int_equal(p.kind, PRINCIPAL_KEY);
        assert_int_equal(p.token_id, 9);
        assert_int_equal(p.user_id, 4);
        assert_string_equal(p.name, "sigma:ci");
    }
}

static void a_key_that_was_proven_holds_until_it_is_revoked(void **state)
{
    struct fixture *f = *state;
    char text[SECRET_TEXT_MAX];
    struct principal p;
    uint64_t id = make(f, &a_key, text);
    principal_of_credential(credential_by_id(f->c, id), "ci", &p);
    assert_true(authn_still_holds(f->c, &p));
    credential_revoke(f->c, id, false);
    assert_false(authn_still_holds(f->c, &p));
}

static size_t n_audit;
static void on_audit(void *ctx, const struct audit_row *a)
{
    struct read_wait *w = ctx;
    (void)w;
    n_audit += str_is(a->verb, "auth.key") && str_is(a->outcome, "denied");
}
static void refusals_are_audited_but_not_by_the_thousand(void **state)
{
    struct fixture *f = *state;
    const struct credential *cr;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(check(f, SECRET_SIGMA_KEY, "sk_sigma_nope", &cr), -EACCES);
        assert_int_equal(credential_refused(f->c, "", "192.0.2.9", &f->err), -EACCES);
    }
    struct read_wait w = { .f = f };
    n_audit = 0;
    read_audit(f->c, 0, false, 10000, on_audit, read_finish, &w);
    read_wait_for(&w);
    assert_int_equal(n_audit, 5);
}

/* -- sessions */
struct told {
    int n, result;
    char slug[48], user[64];
    uint64_t user_id, mark;
    enum role_level role;
    usec_t retry_after;
};
static void on_session(void *ctx, const struct session_user *r)
{
    struct told *t = ctx;
    *t = (struct told){ t->n + 1, r->result, "", "", r->user_id, r->mark, r->role, r->retry_after };
    snprintf(t->slug, sizeof(t->slug), "%s", r->err.slug);
    snprintf(t->user, sizeof(t->user), "%s", r->user ? r->user : "");
}
static void on_user(void *ctx, int result, const struct err *err)
{
    (void)err;
    *(int *)ctx = result;
}
static const struct peer_info here = { .addr = "192.0.2.5" };
static struct told prove(struct fixture *f, const char *name, const char *password)
{
    struct told t = { 0 };
    authn_password(f->c, str_of(name), str_of(password), &here, on_session, &t);
    settle(f);
    assert_int_equal(t.n, 1);
    return t;
}
static void add_ann(struct fixture *f)
{
    int r = 1;
    user_create(f->c, &f->admin, STR("ann"), ROLE_OPERATOR, STR("a long password"), on_user, &r);
    settle(f);
    assert_int_equal(r, 0);
}
static void change_ann(struct fixture *f, const struct user_change *ch)
{
    int r = 1;
    user_change(f->c, &f->admin, STR("ann"), ch, on_user, &r);
    settle(f);
    assert_int_equal(r, 0);
}
/* Ann is here from now on, and her session is @ret. */
static struct told ann_comes(struct fixture *f, struct principal *ret)
{
    add_ann(f);
    struct told t = prove(f, "ann", "a long password");
    assert_int_equal(authn_session(f->c, t.user_id, t.mark, &here, ret, &f->err), 0);
    return t;
}

static void a_password_gives_a_session_and_no_token(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    struct told t = ann_comes(f, &p);
    assert_int_equal(t.result, 0);
    assert_string_equal(t.user, "ann");
    assert_int_equal(t.role, ROLE_OPERATOR);
    assert_int_equal(p.kind, PRINCIPAL_SESSION);
    assert_int_equal(p.role, ROLE_OPERATOR);
    assert_string_equal(p.name, "ann");
    assert_true(authn_still_holds(f->c, &p));
    assert_int_equal(prove(f, "ann", "wrong").result, -EACCES);
    assert_int_equal(prove(f, "nobody", "a long password").result, -EACCES);
    assert_string_equal(prove(f, "ann", "wrong").slug, "auth.bad_credential");
}

/* The clock stands still: what was made in the very moment of the change is before it, too. */
static void a_new_password_ends_the_sessions_before_it(void **state)
{
    struct fixture *f = *state;
    struct principal p, then;
    struct told t = ann_comes(f, &then);
    for (int i = 0; i < 3; i++) { /* the same one again is a new one */
        change_ann(f, &(const struct user_change){ .has_password = true, .password = STR("another password") });
        struct told now = prove(f, "ann", "another password");
        for (int j = 0; j < 2; j++) {
            assert_int_equal(authn_session(f->c, t.user_id, t.mark, &here, &p, &f->err), -EACCES);
            assert_slug(f, "auth.bad_credential");
            assert_int_equal(authn_session(f->c, now.user_id, now.mark, &here, &p, &f->err), 0);
            assert_true(authn_still_holds(f->c, &p));
            assert_false(authn_still_holds(f->c, &then)); /* what it follows ends as well */
            settle(f);
            restart(f);
        }
        t = now;
        then = p;
    }
}

/* The old password is looked at on a pool thread, and changed meanwhile. */
struct held {
    struct {
        void (*work)(void *), (*done)(void *);
        void *arg;
    } v[4];
    size_t n;
};
static struct held held;
static void hold_work(void *ctx, void (*work)(void *), void (*done)(void *), void *arg)
{
    (void)ctx;
    assert_true(held.n < 4);
    held.v[held.n].work = work;
    held.v[held.n].done = done;
    held.v[held.n++].arg = arg;
}

static void a_password_that_is_changed_while_it_is_looked_at_is_wrong(void **state)
{
    struct fixture *f = *state;
    struct told t = { 0 };
    int r = 1;
    add_ann(f);
    fixture_close(f);
    fixture_open_with(f, hold_work);
    held.n = 0;
    authn_password(f->c, STR("ann"), STR("a long password"), &here, on_session, &t);
    user_change(f->c, &f->admin, STR("ann"), &(const struct user_change){ .has_password = true, .password = STR("another password") }, on_user, &r);
    assert_int_equal(held.n, 2);
    for (size_t i = 0; i < held.n; i++)
        held.v[i].work(held.v[i].arg);
    held.v[1].done(held.v[1].arg);
    held.v[0].done(held.v[0].arg);
    settle(f);
    assert_int_equal(r, 0);
    assert_int_equal(t.result, -EACCES);
    assert_string_equal(t.slug, "auth.bad_credential");
}

static void a_session_ends_with_its_role_and_when_its_user_is_disabled(void **state)
{
    struct fixture *f = *state;
    struct principal p, then;
    struct told t = ann_comes(f, &then);
    change_ann(f, &(const struct user_change){ .has_role = true, .role = ROLE_OPERATOR });
    assert_int_equal(authn_session(f->c, t.user_id, t.mark, &here, &then, &f->err), 0); /* it was that before */
    change_ann(f, &(const struct user_change){ .has_role = true, .role = ROLE_VIEWER });
    assert_int_equal(authn_session(f->c, t.user_id, t.mark, &here, &p, &f->err), -EACCES);
    assert_slug(f, "auth.bad_credential");
    assert_false(authn_still_holds(f->c, &then));
    t = prove(f, "ann", "a long password");
    assert_int_equal(authn_session(f->c, t.user_id, t.mark, &here, &then, &f->err), 0);
    assert_int_equal(then.role, ROLE_VIEWER);
    assert_true(authn_still_holds(f->c, &then));
    change_ann(f, &(const struct user_change){ .has_disabled = true, .disabled = true });
    assert_int_equal(authn_session(f->c, t.user_id, t.mark, &here, &p, &f->err), -EACCES);
    assert_slug(f, "auth.disabled");
    assert_false(authn_still_holds(f->c, &then));
    change_ann(f, &(const struct user_change){ .has_disabled = true, .disabled = false });
    for (int i = 0; i < 2; i++) { /* it does not come back */
        assert_int_equal(authn_session(f->c, t.user_id, t.mark, &here, &p, &f->err), -EACCES);
        assert_slug(f, "auth.bad_credential");
        assert_false(authn_still_holds(f->c, &then));
        settle(f);
        restart(f);
    }
    assert_int_equal(authn_session(f->c, 999, t.mark, &here, &p, &f->err), -EACCES);
    assert_slug(f, "auth.bad_credential");
}

static void a_session_that_was_logged_out_stays_so_until_its_time_is_over(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    struct told t = ann_comes(f, &p);
    usec_t end = clock_wall(&f->clock) + USEC_PER_HOUR;
    session_end(f->c, &p, "192.0.2.5", INT64_MAX, end);
    session_end(f->c, &p, "192.0.2.5", INT64_MAX, end);
    for (int i = 0; i < 2; i++) {
        assert_true(session_is_ended(f->c, INT64_MAX));
        assert_false(session_is_ended(f->c, 7));
        assert_int_equal(authn_session(f->c, t.user_id, t.mark, &here, &p, &f->err), 0); /* the others go on */
        settle(f);
        restart(f);
    }
    clock_turn(&f->clock, 2 * USEC_PER_HOUR);
    control_tick(f->c);
    settle(f);
    restart(f);
    assert_false(session_is_ended(f->c, INT64_MAX));
}

static void beyond_what_can_be_remembered_all_sessions_of_the_user_end(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    struct told t = ann_comes(f, &p);
    usec_t end = clock_wall(&f->clock) + USEC_PER_HOUR;
    for (uint64_t i = 1; i <= SESSIONS_ENDED_MAX; i++)
        session_end(f->c, &p, "192.0.2.5", i, end);
    assert_int_equal(authn_session(f->c, t.user_id, t.mark, &here, &p, &f->err), 0);
    session_end(f->c, &p, "192.0.2.5", SESSIONS_ENDED_MAX + 1, end);
    assert_int_equal(authn_session(f->c, t.user_id, t.mark, &here, &p, &f->err), -EACCES);
    clock_turn(&f->clock, 2 * USEC_PER_HOUR); /* and there is room again */
    t = prove(f, "ann", "a long password");
    assert_int_equal(authn_session(f->c, t.user_id, t.mark, &here, &p, &f->err), 0);
    session_end(f->c, &p, "192.0.2.5", 1, clock_wall(&f->clock) + USEC_PER_HOUR);
    assert_true(session_is_ended(f->c, 1));
    assert_int_equal(authn_session(f->c, t.user_id, t.mark, &here, &p, &f->err), 0);
}

static void too_many_tries_are_told_when_to_come_back(void **state)
{
    struct fixture *f = *state;
    struct told t = { 0 };
    add_ann(f);
    for (int i = 0; i < 20; i++)
        t = prove(f, "ann", "wrong");
    assert_int_equal(t.result, -EBUSY);
    assert_string_equal(t.slug, "rate.limited");
    assert_true(t.retry_after > 0);
}

static void the_key_of_sessions_lasts(void **state)
{
    struct fixture *f = *state;
    uint8_t key[32], zero[32] = { 0 };
    memcpy(key, session_key(f->c), 32);
    assert_memory_not_equal(key, zero, 32);
    assert_memory_equal(session_key(f->c), key, 32);
    settle(f);
    restart(f);
    assert_memory_equal(session_key(f->c), key, 32);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_secret_is_known_by_its_text_and_only_the_hash_is_kept),
        T(another_kind_another_text_or_no_text_is_unknown),
        T(a_revoked_one_stays_as_a_tombstone),
        T(children_go_with_their_parent_when_asked),
        T(expiry_counts_from_its_moment),
        T(a_use_is_written_once_a_minute),
        T(a_name_is_bound_and_kept),
        T(the_list_is_in_order_by_kind_and_stops),
        T(what_a_host_holds_goes_with_it),
        T(a_principal_has_the_role_its_scope_names),
        T(a_key_that_was_proven_holds_until_it_is_revoked),
        T(refusals_are_audited_but_not_by_the_thousand),
        T(a_password_gives_a_session_and_no_token),
        T(a_new_password_ends_the_sessions_before_it),
        T(a_session_ends_with_its_role_and_when_its_user_is_disabled),
        T(a_password_that_is_changed_while_it_is_looked_at_is_wrong),
        T(a_session_that_was_logged_out_stays_so_until_its_time_is_over),
        T(beyond_what_can_be_remembered_all_sessions_of_the_user_end),
        T(too_many_tries_are_told_when_to_come_back),
        T(the_key_of_sessions_lasts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
