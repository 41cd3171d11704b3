/* tests/unit/control/test_users.c - people, their tokens, and what a bad credential gets. */
#include "fixture.h"

struct told {
    int n, result;
    char slug[48];
};
static void on_user(void *ctx, int result, const struct err *err)
{
    struct told *t = ctx;
    t->n++;
    t->result = result;
    snprintf(t->slug, sizeof(t->slug), "%s", err ? err->slug : "");
}
static struct told add_user(struct fixture *f, const char *name, enum role_level role, const char *password)
{
    struct told t = { 0 };
    user_create(f->c, &f->admin, str_of(name), role, str_of(password), on_user, &t);
    settle(f);
    assert_int_equal(t.n, 1);
    return t;
}
static struct told change(struct fixture *f, const struct principal *p, const char *name,
                          const struct user_change *ch)
{
    struct told t = { 0 };
    user_change(f->c, p, str_of(name), ch, on_user, &t);
    settle(f);
    assert_int_equal(t.n, 1);
    return t;
}
struct logged_in {
    int n, result;
    char slug[48], token[40];
};
static void on_login(void *ctx, const struct login_result *r)
{
    struct logged_in *l = ctx;
    l->n++;
    l->result = r->result;
    snprintf(l->slug, sizeof(l->slug), "%s", r->err.slug);
    snprintf(l->token, sizeof(l->token), "%s", r->token ? r->token : "");
}
static struct logged_in login(struct fixture *f, const char *name, const char *password, const char *addr)
{
    struct logged_in l = { 0 };
    const struct peer_info peer = { .addr = addr };
    authn_login(f->c, str_of(name), str_of(password), STR("cli"), 0, &peer, on_login, &l);
    settle(f);
    assert_int_equal(l.n, 1);
    return l;
}
static int who(struct fixture *f, const char *bearer, struct principal *p)
{
    const struct peer_info peer = { .addr = "192.0.2.5" };
    f->err = (struct err){ 0 };
    return authn_operator(f->c, str_of(bearer), &peer, p, &f->err);
}

static void a_login_gives_a_token_that_is_that_user(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    assert_int_equal(add_user(f, "alice", ROLE_OPERATOR, "correct horse").result, 0);
    struct logged_in l = login(f, "alice", "correct horse", "192.0.2.5");
    assert_int_equal(l.result, 0);
    assert_int_equal(strlen(l.token), 35);
    assert_int_equal(who(f, l.token, &p), 0);
    assert_int_equal(p.role, ROLE_OPERATOR);
    assert_string_equal(p.name, "alice");
    restart(f);
    assert_int_equal(who(f, l.token, &p), 0);
    clock_turn(&f->clock, 12 * USEC_PER_HOUR);
    assert_int_equal(who(f, l.token, &p), -EACCES);
    assert_slug(f, "auth.expired");
}

static void a_wrong_password_and_an_unknown_user_are_told_alike(void **state)
{
    struct fixture *f = *state;
    add_user(f, "alice", ROLE_OPERATOR, "correct horse");
    assert_string_equal(login(f, "alice", "wrong", "192.0.2.5").slug, "auth.bad_credential");
    assert_string_equal(login(f, "nobody", "wrong", "192.0.2.5").slug, "auth.bad_credential");
}

static void logins_are_limited_per_address_and_per_name(void **state)
{
    struct fixture *f = *state;
    add_user(f, "alice", ROLE_OPERATOR, "correct horse");
    for (int i = 0; i < 10; i++)
        assert_string_equal(login(f, "nobody", "x", "192.0.2.5").slug, "auth.bad_credential");
    assert_string_equal(login(f, "alice", "correct horse", "192.0.2.5").slug, "rate.limited");
    assert_string_equal(login(f, "nobody", "x", "192.0.2.6").slug, "rate.limited");
    assert_int_equal(login(f, "alice", "correct horse", "192.0.2.6").result, 0);
}

static void what_is_presented_and_bad_is_refused_and_what_is_absent_is_asked_for(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    struct peer_info local = { .addr = "unix", .is_unix = true, .uid = geteuid() };
    assert_int_equal(authn_operator(f->c, STR_NONE, &local, &p, &f->err), 0);
    assert_int_equal(p.role, ROLE_ADMIN);
    assert_int_equal(authn_operator(f->c, STR("em_live_xxxxxxxxxxxxxxxxxxxxxxxxxxx"), &local, &p, &f->err),
                     -EACCES);
    assert_slug(f, "auth.bad_credential");
    local.uid = 12345;
    assert_int_equal(authn_operator(f->c, STR_NONE, &local, &p, &f->err), -EACCES);
    assert_slug(f, "auth.required");
    struct peer_info dev = { .addr = "127.0.0.1", .is_loopback_dev = true };
    assert_int_equal(authn_operator(f->c, STR_NONE, &dev, &p, &f->err), -EACCES); /* not in --dev */
}

static void bad_credentials_are_written_down_but_not_a_thousand_times(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    uint64_t before = control_stats(f->c)->audit_rows;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(who(f, "em_live_xxxxxxxxxxxxxxxxxxxxxxxxxxx", &p), -EACCES);
    assert_int_equal(control_stats(f->c)->audit_rows - before, 5);
    assert_int_equal(control_stats(f->c)->logins_failed, 1000);
}

/* -- what the ration leaves out is counted */
struct tally {
    struct read_wait w;
    uint64_t n_rows, n_rest, left_out, n_limited;
    uint8_t prev[SHA256_LEN];
    bool has_prev, is_broken;
};
static uint64_t detail(const struct audit_row *a, const char *key)
{
    uint64_t n = 0;
    for (size_t i = 0; i < a->details.n; i++)
        if (str_is(a->details.v[i].key, key))
            assert_int_equal(str_to_u64(a->details.v[i].value, &n), 0);
    return n;
}
static void on_tally(void *ctx, const struct audit_row *a)
{
    struct tally *t = ctx;
    struct audit_row again = *a;
    audit_seal(&again);
    t->is_broken |= memcmp(again.hash, a->hash, SHA256_LEN) != 0 || (t->has_prev && memcmp(t->prev, a->prev, SHA256_LEN) != 0);
    t->has_prev = true;
    memcpy(t->prev, a->hash, SHA256_LEN);
    bool is_rest = str_is(a->verb, "auth.left_out");
    t->n_rest += is_rest;
    t->n_rows += !is_rest && str_is(a->outcome, "denied");
    t->left_out += detail(a, "left_out");
    t->n_limited += detail(a, "answered_429");
}
static void on_tally_end(void *ctx, int result)
{
    read_finish(ctx, result); /* the first member */
}
static struct tally tally(struct fixture *f)
{
    struct tally t = { .w = { .f = f } };
    settle(f);
    read_audit(f->c, 0, false, 100000, on_tally, on_tally_end, &t);
    read_wait_for(&t.w);
    assert_false(t.is_broken);
    return t;
}

static void what_has_no_row_is_counted_in_the_next_and_the_rest_is_told(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    for (int i = 0; i < 100; i++)
        assert_int_equal(who(f, "em_live_xxxxxxxxxxxxxxxxxxxxxxxxxxx", &p), -EACCES);
    authn_limited(f->c, "192.0.2.5");
    struct tally t = tally(f);
    assert_int_equal(t.n_rows, 5);
    assert_int_equal(t.left_out, 0);
    clock_turn(&f->clock, USEC_PER_SEC);
    for (int i = 0; i < 100; i++)
        assert_int_equal(who(f, NULL, &p), -EACCES); /* nothing presented */
    t = tally(f);
    assert_int_equal(t.n_rows, 6);
    assert_int_equal(t.left_out, 95);
    assert_int_equal(t.n_limited, 1);
    assert_int_equal(t.n_rest, 0);
    clock_turn(&f->clock, 10 * USEC_PER_SEC);
    control_tick(f->c);
    t = tally(f);
    assert_int_equal(t.n_rest, 1);
    assert_int_equal(t.n_rows + t.left_out, 200);
    clock_turn(&f->clock, USEC_PER_MIN);
    control_tick(f->c);
    assert_int_equal(tally(f).n_rest, 1); /* told once */
}

static void a_flood_from_everywhere_has_few_rows_and_no_refusal_is_lost(void **state)
{
    enum { ADDRESSES = 3000, EACH = 2 };
    struct fixture *f = *state;
    struct principal p;
    char addr[32];
    for (int i = 0; i < ADDRESSES * EACH; i++) {
        snprintf(addr, sizeof(addr), "2001:db8::%x", i % ADDRESSES);
        const struct peer_info peer = { .addr = addr };
        assert_int_equal(authn_operator(f->c, STR_NONE, &peer, &p, &f->err), -EACCES);
    }
    clock_turn(&f->clock, 10 * USEC_PER_SEC);
    control_tick(f->c);
    struct tally t = tally(f);
    assert_int_equal(t.n_rows, 1000);
    assert_int_equal(t.n_rest, 65);
    assert_int_equal(t.n_rows + t.left_out, ADDRESSES * EACH);
}

static void what_is_counted_is_told_before_the_end(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    for (int i = 0; i < 50; i++)
        assert_int_equal(who(f, NULL, &p), -EACCES);
    restart(f);
    struct tally t = tally(f);
    assert_int_equal(t.n_rows + t.left_out, 50);
}

static void too_many_logins_and_calls_and_denied_verbs_are_counted_too(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 30; i++) /* ten are looked at */
        assert_int_equal(login(f, "nobody", "x", "192.0.2.5").result < 0, 1);
    for (int i = 0; i < 300; i++)
        assert_int_equal(authz(f->c, &f->viewer, VERB_HOST_APPROVE, STR("web"), &f->err), -EACCES);
    assert_string_equal(f->err.who, ""); /* a token of nobody's */
    assert_string_equal(f->err.needs, "operator");
    int n_limited = 0;
    for (int i = 0; i < 10020; i++)
        n_limited += authz(f->c, &f->admin, VERB_READ, STR("x"), &f->err) == -EBUSY;
    assert_int_equal(n_limited, 20);
    clock_turn(&f->clock, 10 * USEC_PER_SEC);
    control_tick(f->c);
    struct tally t = tally(f);
    assert_int_equal(t.n_rows, 5 + 100 + 5);
    assert_int_equal(t.n_rows + t.left_out, 30 + 300 + 20);
    assert_int_equal(t.n_rest, 3);
}

static void a_token_of_no_role_has_its_users_but_never_more_than_its_maker(void **state)
{
    struct fixture *f = *state;
    struct api_token_row row;
    char text[36];
    add_user(f, "vic", ROLE_VIEWER, "correct horse");
    assert_int_equal(api_token_create(f->c, &f->admin, STR("x"), ROLE_NONE, 0, STR("vic"), text, &row, &f->err), 0);
    assert_true(str_is(row.scope, "viewer"));
    assert_int_equal(api_token_create(f->c, &f->admin, STR("x"), ROLE_NONE, 0, STR_NONE, text, &row, &f->err), 0);
    assert_true(str_is(row.scope, "admin"));
    assert_int_equal(api_token_create(f->c, &f->viewer, STR("x"), ROLE_NONE, 0, STR_NONE, text, &row, &f->err), 0);
    assert_true(str_is(row.scope, "viewer"));
}

static void a_token_does_no_more_than_its_user(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    struct api_token_row row;
    char text[36];
    add_user(f, "vic", ROLE_VIEWER, "correct horse");
    add_user(f, "op", ROLE_OPERATOR, "correct horse");
    assert_int_equal(
        api_token_create(f->c, &f->admin, STR("x"), ROLE_OPERATOR, 0, STR("vic"), text, &row, &f->err),
        -EACCES);
    assert_int_equal(
        api_token_create(f->c, &f->admin, STR("x"), ROLE_OPERATOR, 0, STR("op"), text, &row, &f->err), 0);
    assert_int_equal(who(f, text, &p), 0);
    assert_int_equal(p.role, ROLE_OPERATOR);
    /* The user shrinks, the token with it. */
    assert_int_equal(
        change(f, &f->admin, "op", &(struct user_change){ .has_role = true, .role = ROLE_VIEWER }).result, 0);
    assert_int_equal(who(f, text, &p), 0);
    assert_int_equal(p.role, ROLE_VIEWER);
    assert_int_equal(
        change(f, &f->admin, "op", &(struct user_change){ .has_disabled = true, .disabled = true }).result,
        0);
    assert_int_equal(who(f, text, &p), -EACCES);
    assert_slug(f, "auth.disabled");
    assert_int_equal(change(f, &f->admin, "op", &(struct user_change){ .has_disabled = true }).result, 0);
    assert_int_equal(api_token_revoke(f->c, &f->admin, row.id, &row, &f->err), 0);
    assert_true(row.is_revoked);
    assert_int_equal(who(f, text, &p), -EACCES);
    assert_slug(f, "auth.bad_credential");
    assert_int_equal(api_token_revoke(f->c, &f->admin, 999, &row, &f->err), -ENOENT);
}

static void come_with_viewers_token(struct fixture *f, const char *name, enum role_level role, char text[36], struct principal *ret)
{
    struct api_token_row row;
    add_user(f, name, role, "correct horse");
    assert_int_equal(api_token_create(f->c, &f->admin, STR("low"), ROLE_VIEWER, 0, str_of(name), text, &row, &f->err), 0);
    assert_int_equal(who(f, text, ret), 0);
}

static void a_denial_names_the_user_only_where_it_is_they_who_lack_it(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    char text[36];
    come_with_viewers_token(f, "op", ROLE_OPERATOR, text, &p);
    assert_int_equal(authz(f->c, &p, VERB_INSTALL_TOKEN, STR_NONE, &f->err), -EACCES);
    assert_string_equal(f->err.who, ""); /* to give op that role would change nothing */
    assert_string_equal(f->err.needs, "operator");
    assert_string_equal(f->err.text, "op is viewer with this token; install_token needs operator");
    assert_true(f->err.login_helps);
    assert_int_equal(authz(f->c, &p, VERB_HOST_REVOKE, STR_NONE, &f->err), -EACCES);
    assert_string_equal(f->err.who, "op");
    assert_string_equal(f->err.needs, "admin");
    assert_false(f->err.login_helps);
    const struct principal key = { .kind = PRINCIPAL_KEY, .name = "reporter:1", .user_id = p.user_id }; /* a secret without a role */
    assert_int_equal(authz(f->c, &key, VERB_INSTALL_TOKEN, STR_NONE, &f->err), -EACCES);
    assert_string_equal(f->err.text, "reporter:1 has no role here; install_token needs operator");
}

static void a_login_from_before_a_promotion_is_told_to_log_in_again(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    char text[36];
    come_with_viewers_token(f, "vic", ROLE_VIEWER, text, &p);
    assert_int_equal(authz(f->c, &p, VERB_RUN, STR_NONE, &f->err), -EACCES);
    assert_false(f->err.login_helps);
    assert_int_equal(change(f, &f->admin, "vic", &(struct user_change){ .has_role = true, .role = ROLE_OPERATOR }).result, 0);
    assert_int_equal(who(f, text, &p), 0);
    assert_int_equal(authz(f->c, &p, VERB_RUN, STR_NONE, &f->err), -EACCES);
    assert_string_equal(f->err.text, "vic is viewer with this token; run needs operator");
    assert_true(f->err.login_helps);
}

/* -- a token's maker chooses its name: no row may name somebody else by it */
struct named {
    struct read_wait w;
    const char *name;
    size_t n;
};
static void on_named(void *ctx, const struct audit_row *a)
{
    struct named *n = ctx;
    n->n += str_is(a->verb, "auth.token") && str_is(a->principal, n->name);
}
static size_t tokens_refused_to(struct fixture *f, const char *name)
{
    struct named n = { .w = { .f = f }, .name = name };
    settle(f);
    read_audit(f->c, 0, false, 1000, on_named, on_tally_end, &n);
    read_wait_for(&n.w);
    return n.n;
}
static void a_refused_token_is_filed_under_who_it_was_while_it_lived(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    struct api_token_row row;
    char text[36], name[64];
    add_user(f, "op", ROLE_OPERATOR, "correct horse");
    assert_int_equal(api_token_create(f->c, &f->admin, STR("local:root"), ROLE_VIEWER, 0, STR("op"), text, &row, &f->err), 0);
    assert_int_equal(api_token_revoke(f->c, &f->admin, row.id, &row, &f->err), 0);
    assert_int_equal(who(f, text, &p), -EACCES);
    assert_int_equal(api_token_create(f->c, &f->admin, STR("local:root"), ROLE_VIEWER, USEC_PER_SEC, STR_NONE, text, &row, &f->err), 0);
    clock_turn(&f->clock, USEC_PER_MIN);
    assert_int_equal(who(f, text, &p), -EACCES);
    assert_int_equal(tokens_refused_to(f, "local:root"), 0);
    assert_int_equal(tokens_refused_to(f, "op"), 1);
    snprintf(name, sizeof(name), "api-token:%llu", (unsigned long long)row.id);
    assert_int_equal(tokens_refused_to(f, name), 1);
}

/* As other things are owned by name: neither is the other's. */
static void tokens_of_nobody_with_one_name_are_two(void **state)
{
    struct fixture *f = *state;
    struct principal one, two;
    struct api_token_row row, made;
    char text[36], name[64];
    assert_int_equal(api_token_create(f->c, &f->admin, STR("ci"), ROLE_OPERATOR, 0, STR_NONE, text, &row, &f->err), 0);
    assert_int_equal(who(f, text, &one), 0);
    snprintf(name, sizeof(name), "api-token:%llu", (unsigned long long)row.id);
    assert_string_equal(one.name, name);
    assert_int_equal(api_token_create(f->c, &f->admin, STR("ci"), ROLE_OPERATOR, 0, STR_NONE, text, &row, &f->err), 0);
    assert_int_equal(who(f, text, &two), 0);
    assert_string_not_equal(one.name, two.name);
    assert_int_equal(api_token_create(f->c, &one, STR("below"), ROLE_VIEWER, 0, STR_NONE, text, &made, &f->err), 0);
    assert_int_equal(api_token_revoke(f->c, &two, made.id, &row, &f->err), -EACCES);
    assert_int_equal(api_token_revoke(f->c, &one, made.id, &row, &f->err), 0);
}

static void a_new_password_and_disabling_end_logins_and_leave_made_tokens(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    struct api_token_row row;
    char made[36];
    struct user_change ch = { .has_password = true, .password = STR("new password"), .old_password = STR("correct horse") };
    add_user(f, "vic", ROLE_OPERATOR, "correct horse");
    add_user(f, "other", ROLE_OPERATOR, "correct horse");
    assert_int_equal(api_token_create(f->c, &f->admin, STR("login"), ROLE_VIEWER, 0, STR("vic"), made, &row, &f->err), 0);
    struct logged_in one = login(f, "vic", "correct horse", "192.0.2.5"), two = login(f, "vic", "correct horse", "192.0.2.5"),
                     others = login(f, "other", "correct horse", "192.0.2.5");
    assert_int_equal(who(f, one.token, &p), 0);
    assert_int_equal(change(f, &p, "vic", &ch).result, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(who(f, one.token, &p), 0); /* it has just shown the old one */
        assert_int_equal(who(f, two.token, &p), -EACCES);
        assert_int_equal(who(f, made, &p), 0);
        assert_int_equal(who(f, others.token, &p), 0);
        restart(f);
    }
    assert_int_equal(change(f, &f->admin, "vic", &(struct user_change){ .has_disabled = true, .disabled = true }).result, 0);
    assert_int_equal(who(f, made, &p), -EACCES);
    assert_int_equal(change(f, &f->admin, "vic", &(struct user_change){ .has_disabled = true }).result, 0);
    assert_int_equal(who(f, one.token, &p), -EACCES); /* it does not come back */
    assert_int_equal(who(f, made, &p), 0);
    assert_int_equal(who(f, others.token, &p), 0);
}

static void the_last_admin_stays(void **state)
{
    struct fixture *f = *state;
    const struct user_change demote = { .has_role = true, .role = ROLE_VIEWER };
    add_user(f, "root", ROLE_ADMIN, "correct horse");
    assert_string_equal(change(f, &f->admin, "root", &demote).slug, "user.last_admin");
    add_user(f, "second", ROLE_ADMIN, "correct horse");
    assert_int_equal(change(f, &f->admin, "root", &demote).result, 0);
}

static void bad_names_passwords_and_doubles_are_refused(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(add_user(f, "Alice!", ROLE_VIEWER, "correct horse").slug, "user.bad_name");
    assert_string_equal(add_user(f, "dev", ROLE_VIEWER, "correct horse").slug, "user.bad_name");
    assert_string_equal(add_user(f, "server", ROLE_VIEWER, "correct horse").slug, "user.bad_name");
    assert_string_equal(add_user(f, "sign-up", ROLE_VIEWER, "correct horse").slug, "user.bad_name");
    assert_string_equal(add_user(f, "alice", ROLE_VIEWER, "1234567").slug, "password.bad");
    assert_int_equal(add_user(f, "alice", ROLE_VIEWER, "12345678").result, 0);
    assert_string_equal(add_user(f, "alice", ROLE_VIEWER, "12345678").slug, "user.exists");
    assert_string_equal(change(f, &f->admin, "bob", &(struct user_change){ 0 }).slug, "user.unknown");
    struct told t = { 0 };
    user_create(f->c, &f->viewer, STR("eve"), ROLE_ADMIN, STR("12345678"), on_user, &t);
    settle(f);
    assert_string_equal(t.slug, "auth.denied");
}

static void a_user_of_before_who_has_a_built_in_name_stays(void **state)
{
    struct fixture *f = *state;
    char hash[PASSWORD_HASH_MAX];
    assert_int_equal(password_hash(STR("correct horse"), hash), 0);
    store_put_user(f->s, &(struct user_row){ .id = 7, .name = STR("dev"), .password_hash = str_of(hash), .role = ROLE_VIEWER, .created_at = 1 });
    settle(f);
    restart(f);
    assert_int_equal(login(f, "dev", "correct horse", "192.0.2.5").result, 0);
    assert_int_equal(change(f, &f->admin, "dev", &(struct user_change){ .has_disabled = true, .disabled = true }).result, 0);
    assert_string_equal(add_user(f, "dev", ROLE_VIEWER, "correct horse").slug, "user.bad_name");
}

static void ones_own_password_needs_the_old_one(void **state)
{
    struct fixture *f = *state;
    struct principal p;
    add_user(f, "vic", ROLE_VIEWER, "correct horse");
    struct logged_in l = login(f, "vic", "correct horse", "192.0.2.5");
    assert_int_equal(who(f, l.token, &p), 0);
    struct user_change ch = { .has_password = true,
                              .password = STR("new password"),
                              .old_password = STR("wrong") };
    assert_string_equal(change(f, &p, "vic", &ch).slug, "auth.bad_credential");
    ch.old_password = STR("correct horse");
    assert_int_equal(change(f, &p, "vic", &ch).result, 0);
    assert_int_equal(login(f, "vic", "new password", "192.0.2.5").result, 0);
    assert_int_equal(login(f, "vic", "correct horse", "192.0.2.5").result, -EACCES);
    add_user(f, "other", ROLE_VIEWER, "correct horse");
    assert_string_equal(change(f, &p, "other", &ch).slug, "auth.denied");
}

/* Work in the pool that outlives control. */
static struct {
    void (*work)(void *);
    void (*done)(void *);
    void *arg;
} held;
static void hold_work(void *ctx, void (*work)(void *), void (*done)(void *), void *arg)
{
    (void)ctx;
    held.work = work;
    held.done = done;
    held.arg = arg;
}

/* The loop goes on while a password is hashed: what an admin did meanwhile wins. */
static bool is_holding;
static void hold_some(void *ctx, void (*work)(void *), void (*done)(void *), void *arg)
{
    if (is_holding)
        hold_work(ctx, work, done, arg);
    else
        fixture__offload(ctx, work, done, arg);
}
/* vic changes the own password, and while it is hashed an admin makes @meanwhile of vic. */
static struct told overtaken(struct fixture *f, const char *old, const struct user_change *meanwhile)
{
    struct principal p;
    struct told mine = { 0 };
    struct logged_in l = login(f, "vic", old, "192.0.2.5");
    assert_int_equal(who(f, l.token, &p), 0);
    const struct user_change ch = { .has_password = true, .password = STR("the thief's"), .old_password = str_of(old) };
    is_holding = true;
    user_change(f->c, &p, STR("vic"), &ch, on_user, &mine);
    is_holding = false;
    assert_int_equal(change(f, &f->admin, "vic", meanwhile).result, 0);
    held.work(held.arg);
    held.done(held.arg);
    settle(f);
    assert_int_equal(mine.n, 1);
    return mine;
}
static void an_admins_reset_wins_over_a_change_under_way(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    fixture_open_with(f, hold_some);
    add_user(f, "vic", ROLE_VIEWER, "correct horse");
    struct user_change ch = { .has_password = true, .password = STR("admin's reset") };
    assert_int_equal(overtaken(f, "correct horse", &ch).result, -EACCES);
    assert_int_equal(login(f, "vic", "admin's reset", "192.0.2.5").result, 0);
    ch = (struct user_change){ .has_disabled = true, .disabled = true };
    assert_int_equal(overtaken(f, "admin's reset", &ch).result, -EACCES);
    assert_int_equal(change(f, &f->admin, "vic", &(struct user_change){ .has_disabled = true }).result, 0);
    assert_int_equal(login(f, "vic", "admin's reset", "192.0.2.5").result, 0);
    ch = (struct user_change){ .has_role = true, .role = ROLE_OPERATOR }; /* more rights end nothing */
    assert_int_equal(overtaken(f, "admin's reset", &ch).result, 0);
    fixture_close(f);
    fixture_open(f);
}
/* A reset to the very same text is a reset: a token that outlives it proves nothing. */
static void a_change_with_a_made_token_does_not_overtake_a_reset(void **state)
{
    struct fixture *f = *state;
    char text[36];
    struct api_token_row row;
    struct principal p;
    struct told mine = { 0 };
    fixture_close(f);
    fixture_open_with(f, hold_some);
    add_user(f, "vic", ROLE_VIEWER, "correct horse");
    assert_int_equal(api_token_create(f->c, &f->admin, STR("made"), ROLE_VIEWER, 0, STR("vic"), text, &row, &f->err), 0);
    settle(f);
    assert_int_equal(who(f, text, &p), 0);
    struct user_change ch = { .has_password = true, .password = STR("the thief's"), .old_password = STR("correct horse") };
    is_holding = true;
    user_change(f->c, &p, STR("vic"), &ch, on_user, &mine);
    is_holding = false;
    ch.password = STR("correct horse");
    assert_int_equal(change(f, &f->admin, "vic", &ch).result, 0);
    held.work(held.arg);
    held.done(held.arg);
    settle(f);
    assert_int_equal(mine.result, -EACCES);
    assert_int_equal(who(f, text, &p), 0);
    assert_int_equal(login(f, "vic", "correct horse", "192.0.2.5").result, 0);
    fixture_close(f);
    fixture_open(f);
}

/* Pool threads that are all at work. */
static struct {
    void (*done)(void *);
    void *arg;
} busy[16];
static size_t n_busy;
static void keep_busy(void *ctx, void (*work)(void *), void (*done)(void *), void *arg)
{
    (void)ctx, (void)work;
    assert_true(n_busy < ARRAY_SIZE(busy));
    busy[n_busy].done = done;
    busy[n_busy++].arg = arg;
}

static void too_many_passwords_at_once_are_refused_and_told_within_the_ration(void **state)
{
    enum { MORE = 30 };
    struct fixture *f = *state;
    struct told t[ARRAY_SIZE(busy)] = { 0 }, late = { 0 };
    char name[16];
    fixture_close(f);
    fixture_open_with(f, keep_busy);
    n_busy = 0;
    for (size_t i = 0; i < ARRAY_SIZE(busy); i++) {
        snprintf(name, sizeof(name), "u%zu", i);
        user_create(f->c, &f->admin, str_of(name), ROLE_VIEWER, STR("correct horse"), on_user, &t[i]);
    }
    for (int i = 0; i < MORE; i++)
        user_create(f->c, &f->admin, STR("late"), ROLE_VIEWER, STR("correct horse"), on_user, &late);
    settle(f);
    assert_int_equal(late.n, MORE);
    assert_string_equal(late.slug, "rate.limited");
    clock_turn(&f->clock, 10 * USEC_PER_SEC);
    control_tick(f->c);
    struct tally seen = tally(f);
    assert_int_equal(seen.n_rows, 5);
    assert_int_equal(seen.n_rows + seen.left_out, MORE);
    while (n_busy) {
        n_busy--;
        busy[n_busy].done(busy[n_busy].arg);
    }
    fixture_close(f);
    fixture_open(f);
}

static void what_comes_back_after_control_is_gone_touches_nothing(void **state)
{
    struct fixture *f = *state;
    struct logged_in l = { 0 };
    const struct peer_info peer = { .addr = "192.0.2.5" };
    fixture_close(f);
    fixture_open_with(f, hold_work);
    authn_login(f->c, STR("alice"), STR("correct horse"), STR("cli"), 0, &peer, on_login, &l);
    control_free(f->c);
    held.work(held.arg);
    held.done(held.arg);
    assert_int_equal(l.n, 0);
    store_close(f->s);
    fixture_open(f);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(a_login_gives_a_token_that_is_that_user),
        T(a_wrong_password_and_an_unknown_user_are_told_alike),
        T(logins_are_limited_per_address_and_per_name),
        T(what_is_presented_and_bad_is_refused_and_what_is_absent_is_asked_for),
        T(bad_credentials_are_written_down_but_not_a_thousand_times),
        T(what_has_no_row_is_counted_in_the_next_and_the_rest_is_told),
        T(a_flood_from_everywhere_has_few_rows_and_no_refusal_is_lost),
        T(what_is_counted_is_told_before_the_end),
        T(too_many_logins_and_calls_and_denied_verbs_are_counted_too),
        T(a_token_does_no_more_than_its_user),
        T(a_token_of_no_role_has_its_users_but_never_more_than_its_maker),
        T(a_denial_names_the_user_only_where_it_is_they_who_lack_it),
        T(a_login_from_before_a_promotion_is_told_to_log_in_again),
        T(a_refused_token_is_filed_under_who_it_was_while_it_lived),
        T(tokens_of_nobody_with_one_name_are_two),
        T(a_new_password_and_disabling_end_logins_and_leave_made_tokens),
        T(the_last_admin_stays),
        T(bad_names_passwords_and_doubles_are_refused),
        T(a_user_of_before_who_has_a_built_in_name_stays),
        T(ones_own_password_needs_the_old_one),
        T(an_admins_reset_wins_over_a_change_under_way),
        T(a_change_with_a_made_token_does_not_overtake_a_reset),
        T(too_many_passwords_at_once_are_refused_and_told_within_the_ration),
        T(what_comes_back_after_control_is_gone_touches_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
