/* tests/unit/control/test_enroll.c - who gets in, once, and what cuts them off. */
#include "fixture.h"

#include "base/text.h"
#include "base/uuid.h"
#include "control/core.h"
#include "fleet/credential.h"

/* The CODE of a new token. */
static const char *make_token(struct fixture *f, uint64_t uses, usec_t ttl, bool auto_approve)
{
    static char text[128];
    struct kv labels[] = { { STR("role"), STR("web") } };
    const struct token_wish w = {
        .uses = uses, .ttl = ttl, .auto_approve = auto_approve, .labels = { labels, 1 }
    };
    uint64_t id;
    assert_int_equal(token_create(f->c, &f->admin, &w, text, &id, &f->err), 0);
    char *at = strchr(text, '@');
    assert_non_null(at);
    assert_string_equal(at + 1, control_identity(f->c)->pin_text);
    *at = '\0';
    settle(f);
    return text;
}

static void a_request_waits_until_an_operator_approves_it(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_new("web");
    struct host_view v;
    assert_int_equal(sim_enroll(f, m, NULL), 0);
    assert_int_equal(m->answer.state, HOST_PENDING);
    assert_true(m->answer.retry_after >= 5 * USEC_PER_SEC);
    assert_null(m->answer.certificate_pem);
    settle(f);
    assert_int_equal(sim_hello_with(f, m, NULL, 0), -EACCES);
    assert_slug(f, "host.pending");

    assert_int_equal(enroll_approve(f->c, &f->admin, STR("web"), false, STR_NONE, &f->err), 0);
    settle(f);
    assert_int_equal(sim_enroll(f, m, NULL), 0);
    assert_int_equal(m->answer.state, HOST_APPROVED);
    struct pki_cert cert;
    char uri[128];
    assert_int_equal(pki_cert_read(str_of(m->cert), &cert, NULL), 0);
    snprintf(uri, sizeof(uri), "spiffe://%s/host/%s", control_identity(f->c)->fleet, m->uuid);
    assert_string_equal(cert.uri, uri);
    assert_memory_equal(cert.spki_sha256, m->spki, SHA256_LEN);
    host_of(f, m, &v);
    assert_int_equal(v.state, HOST_APPROVED);
    assert_true(str_is(v.decided_by, "local:root"));
    assert_int_equal(v.cert_not_after, clock_wall(&f->clock) + 30 * USEC_PER_DAY);
    assert_int_equal(n_events(f, "host.pending"), 1);
    assert_int_equal(n_events(f, "host.approved"), 1);
    sim_free(m);
}

static void the_wait_between_polls_grows(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_new("web");
    usec_t last = 0;
    for (int i = 0; i < 30; i++) {
        assert_int_equal(sim_enroll(f, m, NULL), 0);
        assert_true(m->answer.retry_after >= last);
        last = m->answer.retry_after;
    }
    assert_true(last > 20 * USEC_PER_SEC && last <= 60 * USEC_PER_SEC);
    sim_free(m);
}

static void a_lost_answer_loses_nothing(void **state)
{
    struct fixture *f = *state;
    const char *code = make_token(f, 1, 0, true);
    struct sim *m = sim_new("web");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sim_enroll(f, m, code), 0);
        assert_int_equal(m->answer.state, HOST_APPROVED);
        assert_non_null(m->cert);
        settle(f);
    }
    /* One use was taken, not three: another key finds it used up. */
    struct sim *other = sim_new("db");
    assert_int_equal(sim_enroll(f, other, code), -EACCES);
    assert_slug(f, "token.used_up");
    restart(f);
    assert_int_equal(sim_enroll(f, m, code), 0);
    assert_int_equal(m->answer.state, HOST_APPROVED);
    sim_free(m);
    sim_free(other);
}

static void an_auto_approving_token_gives_its_labels_as_operator_labels(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_new("web");
    struct host_view v;
    assert_int_equal(sim_enroll(f, m, make_token(f, 0, 0, true)), 0);
    host_of(f, m, &v);
    assert_int_equal(v.labels->n, 1);
    assert_true(str_is(v.labels->v[0].key, "role"));
    assert_true(str_is(v.labels->v[0].value, "web"));
    sim_free(m);
}

static void a_bad_token_is_named_for_what_it_is(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_new("web");
    char code[64];
    assert_int_equal(sim_enroll(f, m, "nosuchcode"), -EACCES);
    assert_slug(f, "token.unknown");
    snprintf(code, sizeof(code), "%s", make_token(f, 5, USEC_PER_HOUR, false));
    clock_turn(&f->clock, USEC_PER_HOUR);
    assert_int_equal(sim_enroll(f, m, code), -EACCES);
    assert_slug(f, "token.expired");
    snprintf(code, sizeof(code), "%s", make_token(f, 5, 0, false));
    assert_int_equal(token_revoke(f->c, &f->admin, 2, &f->err), 0);
    assert_int_equal(sim_enroll(f, m, code), -EACCES);
    assert_slug(f, "token.revoked");
    /* Without a token it may wait at the door, and a later token counts. */
    assert_int_equal(sim_enroll(f, m, NULL), 0);
    assert_int_equal(m->answer.state, HOST_PENDING);
    assert_int_equal(sim_enroll(f, m, make_token(f, 1, 0, true)), 0);
    assert_int_equal(m->answer.state, HOST_APPROVED);
    sim_free(m);
}

static void without_a_token_an_address_meets_a_limit_and_others_do_not(void **state)
{
    struct fixture *f = *state;
    struct sim *m = NULL;
    int n = 0, r = 0;
    while (n < 100 && r == 0) {
        char name[32];
        snprintf(name, sizeof(name), "h%d", n++);
        m = sim_new(name);
        r = sim_enroll_from(f, m, NULL, "198.51.100.7");
        if (r == 0)
            sim_free(m);
    }
    assert_int_equal(n, 21); /* a burst of 20 */
    assert_int_equal(r, -EBUSY);
    assert_slug(f, "enroll.rate_limited");
    assert_true(m->answer.retry_after >= USEC_PER_SEC);
    assert_int_equal(sim_enroll_from(f, m, NULL, "198.51.100.8"), 0);
    struct sim *held = sim_new("held");
    assert_int_equal(sim_enroll_from(f, held, make_token(f, 0, 0, true), "198.51.100.7"), 0);
    /* 10 a minute */
    struct sim *late = sim_new("late");
    assert_int_equal(sim_enroll_from(f, late, NULL, "198.51.100.7"), -EBUSY);
    clock_turn(&f->clock, 6 * USEC_PER_SEC + USEC_PER_MS);
    assert_int_equal(sim_enroll_from(f, late, NULL, "198.51.100.7"), 0);
    sim_free(m);
    sim_free(held);
    sim_free(late);
}

static void a_request_that_is_none_is_refused(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_new("web");
    m->csr[strlen(m->csr) / 2] ^= 1;
    assert_int_equal(sim_enroll(f, m, NULL), -EINVAL);
    assert_slug(f, "csr.bad");
    sim_free(m);
}

static void two_hosts_with_one_hostname_are_two_hosts(void **state)
{
    struct fixture *f = *state;
    struct sim *a = sim_ready(f, "web"), *b = sim_new("web");
    struct host_view va, vb;
    assert_int_equal(sim_enroll_from(f, b, NULL, "192.0.2.99"), 0);
    host_of(f, a, &va);
    host_of(f, b, &vb);
    assert_true(str_is(va.name, "web"));
    assert_true(str_is(vb.name, "web-2"));
    assert_string_not_equal(a->uuid, b->uuid);
    sim_free(a);
    sim_free(b);
}

/* A newcomer says what it is called, and operators reach hosts by id: a name that reads as an id would catch another host's orders. */
static void an_id_means_its_host_whatever_others_are_called(void **state)
{
    struct fixture *f = *state;
    struct sim *real = sim_new("vm"), *evil;
    struct host_view v;
    char upper[UUID_TEXT_MAX];
    assert_int_equal(sim_enroll(f, real, NULL), 0); /* waits */
    for (size_t i = 0; i < UUID_TEXT_MAX; i++)
        upper[i] = (char)(real->uuid[i] >= 'a' && real->uuid[i] <= 'f' ? real->uuid[i] - 32 : real->uuid[i]);

    const char *const spellings[] = { real->uuid, upper };
    for (size_t i = 0; i < ARRAY_SIZE(spellings); i++) {
        evil = sim_new(spellings[i]);
        assert_int_equal(sim_enroll(f, evil, NULL), 0); /* one that waits does not make an id ambiguous */
        host_of(f, evil, &v);
        assert_true(str_starts(v.name, STR("host-")));
        assert_true(str_is(v.claims.hostname, spellings[i])); /* what it says is still shown */
        assert_int_equal(host_find(f->c, str_of(spellings[i]), &v, &f->err), 0);
        assert_string_equal(v.uuid, real->uuid);

        assert_int_equal(enroll_approve(f->c, &f->admin, str_of(evil->uuid), false, str_of(spellings[i]), &f->err), -EINVAL);
        assert_slug(f, "field.invalid");
        assert_non_null(strstr(f->err.text, "id"));
        assert_int_equal(host_rename(f->c, &f->admin, str_of(evil->uuid), str_of(spellings[i]), &f->err), -EINVAL);
        assert_slug(f, "field.invalid");
        assert_non_null(strstr(f->err.text, "id"));
        sim_free(evil);
    }
    assert_int_equal(enroll_approve(f->c, &f->admin, str_of(upper), false, STR_NONE, &f->err), 0);
    host_of(f, real, &v);
    assert_int_equal(v.state, HOST_APPROVED);
    sim_free(real);
}

/* A database of before that rule still opens; the host is reached by its own id, and by a new name. */
static void a_name_of_an_ids_shape_from_before_reaches_nobody(void **state)
{
    struct fixture *f = *state;
    struct sim *real = sim_ready(f, "vm"), *odd = sim_ready(f, "odd");
    static const char gone[] = "01a20534-f98a-774f-af68-41e5ebac6b39";
    const char *const names[] = { real->uuid, gone };
    struct host_view v;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct host *h = host__by_uuid(f->c, str_of(odd->uuid));
        host__set_name(f->c, h, str_of(names[i]));
        host__put(f->c, h);
        settle(f);
        restart(f);
        host_of(f, odd, &v);
        assert_true(str_is(v.name, names[i]));
        if (i == 0) {
            assert_int_equal(host_find(f->c, str_of(names[i]), &v, &f->err), 0);
            assert_string_equal(v.uuid, real->uuid);
        } else {
            assert_int_equal(host_find(f->c, str_of(names[i]), &v, &f->err), -ENOENT);
        }
    }
    assert_int_equal(host_rename(f->c, &f->admin, str_of(odd->uuid), STR("even"), &f->err), 0);
    assert_int_equal(host_find(f->c, STR("even"), &v, &f->err), 0);
    sim_free(real);
    sim_free(odd);
}

static void one_key_from_two_machines_is_flagged_once(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    struct host_view v;
    for (int i = 0; i < 4; i++) {
        snprintf(m->machine_id, sizeof(m->machine_id), "machine-%d", i % 2);
        assert_int_equal(sim_hello_with(f, m, NULL, 0), 0);
        settle(f);
    }
    host_of(f, m, &v);
    assert_true(v.clone_note.len > 0);
    assert_int_equal(n_events(f, "host.clone_suspected"), 1);
    restart(f);
    host_of(f, m, &v);
    assert_true(v.clone_note.len > 0);
    sim_free(m);
}

static void claimed_labels_match_nothing_until_accepted(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_new("web");
    struct kv labels[] = { { STR("role"), STR("db") } };
    struct enroll_request rq = { .csr_pem = str_of(m->csr),
                                 .claims = sim_claims(m),
                                 .peer_addr = "192.0.2.1" };
    struct host_view v;
    rq.claims.labels = (struct kv_list){ labels, 1 };
    assert_int_equal(enroll_ask(f->c, &rq, &m->answer, &f->err), 0);
    memcpy(m->uuid, m->answer.host_uuid, 37);
    host_of(f, m, &v);
    assert_int_equal(v.claims.labels.n, 1);
    assert_int_equal(v.labels->n, 0);
    assert_int_equal(enroll_approve(f->c, &f->admin, STR("web"), false, STR_NONE, &f->err), 0);
    host_of(f, m, &v);
    assert_int_equal(v.labels->n, 0);
    assert_int_equal(enroll_approve(f->c, &f->admin, STR("web"), true, STR("db-1"), &f->err), 0);
    host_of(f, m, &v);
    assert_int_equal(v.labels->n, 1);
    assert_true(str_is(v.name, "db-1"));
    sim_free(m);
}

static bool has_label(struct fixture *f, const struct sim *m, const char *key, const char *value)
{
    struct host_view v;
    host_of(f, m, &v);
    for (size_t i = 0; i < v.labels->n; i++)
        if (str_is(v.labels->v[i].key, key))
            return str_is(v.labels->v[i].value, value);
    return false;
}

/* What the install token gave is an operator's, too. */
static void accepting_what_a_host_claims_keeps_what_operators_gave(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_new("web");
    struct kv labels[] = { { STR("role"), STR("db") }, { STR("env"), STR("claimed") } }, given[] = { { STR("env"), STR("prod") } };
    struct enroll_request rq = { .csr_pem = str_of(m->csr), .claims = sim_claims(m), .peer_addr = "192.0.2.1" };
    rq.token_code = str_of(make_token(f, 1, 0, false)); /* role=web */
    rq.claims.labels = (struct kv_list){ labels, 2 };
    assert_int_equal(enroll_ask(f->c, &rq, &m->answer, &f->err), 0);
    memcpy(m->uuid, m->answer.host_uuid, 37);
    assert_int_equal(enroll_approve(f->c, &f->admin, STR("web"), true, STR_NONE, &f->err), 0);
    assert_true(has_label(f, m, "role", "web"));
    assert_true(has_label(f, m, "env", "claimed"));
    assert_int_equal(host_label(f->c, &f->admin, STR("web"), &(struct kv_list){ given, 1 }, &f->err), 0);
    assert_int_equal(enroll_approve(f->c, &f->admin, STR("web"), true, STR_NONE, &f->err), 0);
    assert_true(has_label(f, m, "role", "web"));
    assert_true(has_label(f, m, "env", "prod"));
    sim_free(m);
}

static void a_claim_that_could_never_be_selected_is_left_out(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_new("web");
    struct kv labels[] = { { STR("name"), STR("db") }, { STR("env"), STR("a,b") }, { STR("rack"), STR("r1") }, { STR("a b"), STR("c") } };
    struct enroll_request rq = { .csr_pem = str_of(m->csr), .claims = sim_claims(m), .peer_addr = "192.0.2.1" };
    struct host_view v;
    rq.claims.labels = (struct kv_list){ labels, 4 };
    assert_int_equal(enroll_ask(f->c, &rq, &m->answer, &f->err), 0);
    memcpy(m->uuid, m->answer.host_uuid, 37);
    assert_int_equal(enroll_approve(f->c, &f->admin, STR("web"), true, STR_NONE, &f->err), 0);
    host_of(f, m, &v);
    assert_int_equal(v.labels->n, 1);
    assert_true(has_label(f, m, "rack", "r1"));
    sim_free(m);
}

static void revoking_cuts_the_link_after_the_commit_and_refuses_afterwards(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    char line[64];
    assert_int_equal(enroll_revoke(f->c, &f->admin, STR("web"), STR("stolen"), &f->err), 0);
    snprintf(line, sizeof(line), "%llu goodbye host.revoked forever", (unsigned long long)m->link);
    assert_false(was_sent(f, line));
    settle(f);
    assert_sent(f, line);
    assert_int_equal(sim_hello_with(f, m, NULL, 0), -EACCES);
    assert_slug(f, "host.revoked");
    assert_int_equal(sim_enroll(f, m, NULL), 0);
    assert_int_equal(m->answer.state, HOST_REVOKED);
    assert_null(m->answer.certificate_pem);
    assert_int_equal(enroll_approve(f->c, &f->admin, STR("web"), false, STR_NONE, &f->err), -EINVAL);
    assert_slug(f, "host.state");
    restart(f);
    assert_int_equal(sim_hello_with(f, m, NULL, 0), -EACCES);
    /* Forgotten, the same key is a new host. */
    char old[37];
    memcpy(old, m->uuid, sizeof(old));
    assert_int_equal(host_forget(f->c, &f->admin, STR("web"), &f->err), 0);
    assert_int_equal(sim_enroll(f, m, NULL), 0);
    assert_int_equal(m->answer.state, HOST_PENDING);
    assert_string_not_equal(old, m->uuid);
    sim_free(m);
}

static void a_viewer_approves_nobody_and_is_written_down(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_new("web");
    struct control_stats before = *control_stats(f->c);
    assert_int_equal(sim_enroll(f, m, NULL), 0);
    assert_int_equal(enroll_approve(f->c, &f->viewer, STR("web"), false, STR_NONE, &f->err), -EACCES);
    assert_slug(f, "auth.denied");
    assert_int_equal(control_stats(f->c)->audit_rows - before.audit_rows,
                     2); /* the request and the refusal */
    sim_free(m);
}

static void a_request_nobody_decides_expires_exactly_then(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_new("web");
    struct host_view v;
    assert_int_equal(sim_enroll(f, m, NULL), 0);
    settle(f);
    clock_turn(&f->clock, 7 * USEC_PER_DAY - USEC_PER_SEC);
    control_tick(f->c);
    assert_int_equal(host_find(f->c, STR("web"), &v, &f->err), 0);
    clock_turn(&f->clock, 2 * USEC_PER_SEC);
    control_tick(f->c);
    assert_int_equal(host_find(f->c, STR("web"), &v, &f->err), -ENOENT);
    settle(f);
    restart(f);
    assert_int_equal(host_find(f->c, STR("web"), &v, &f->err), -ENOENT);
    /* A clock that is set forward brings no second chance: only the wall's hand moves. */
    assert_int_equal(sim_enroll(f, m, NULL), 0);
    settle(f);
    f->clock.hand_wall += 8 * USEC_PER_DAY;
    assert_int_equal(enroll_approve(f->c, &f->admin, STR("web"), false, STR_NONE, &f->err), -ENOENT);
    sim_free(m);
}

/* From issue, not from the day that the slack for wrong clocks dates it back to. */
static void renewal_is_due_at_two_thirds_of_a_life_of_any_length(void **state)
{
    struct fixture *f = *state;
    static const usec_t lives[] = { USEC_PER_MIN, 150 * USEC_PER_SEC, USEC_PER_HOUR, 30 * USEC_PER_DAY };
    struct pki_cert cert;

    for (size_t i = 0; i < ARRAY_SIZE(lives); i++) {
        struct sim *m;
        usec_t issued;

        f->conf.cert_ttl = lives[i];
        restart(f);
        m = sim_ready(f, "web");
        issued = clock_wall(&f->clock);
        checkin_renew(f->c, link_of(m), str_of(m->csr));
        settle(f);
        assert_int_equal(pki_cert_read(str_of(f->cert), &cert, NULL), 0);
        usec_t due = certificate_renew_at(cert.not_before, cert.not_after);
        assert_true(due <= issued + lives[i] * 2 / 3);
        assert_true(due >= issued + lives[i] * 3 / 5);
        sim_free(m);
    }
}

static void a_renewal_over_the_link_is_for_the_same_key_only(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web"), *other = sim_new("other");
    struct pki_cert cert;
    checkin_renew(f->c, link_of(m), str_of(m->csr));
    assert_null(f->cert);
    settle(f);
    assert_non_null(f->cert);
    assert_int_equal(pki_cert_read(str_of(f->cert), &cert, NULL), 0);
    assert_memory_equal(cert.spki_sha256, m->spki, SHA256_LEN);
    checkin_renew(f->c, link_of(m), str_of(other->csr));
    settle(f);
    assert_null(f->cert);
    assert_int_equal(n_sent_like(f, "renewed csr.bad"), 1);
    sim_free(m);
    sim_free(other);
}

static void the_fleet_keeps_its_identity_over_restarts(void **state)
{
    struct fixture *f = *state;
    char fleet[64], pin[80], *leaf = xstrdup(control_identity(f->c)->server_cert_pem);
    snprintf(fleet, sizeof(fleet), "%s", control_identity(f->c)->fleet);
    snprintf(pin, sizeof(pin), "%s", control_identity(f->c)->pin_text);
    assert_int_equal(strlen(fleet), 6 + 12);
    assert_int_equal(strncmp(fleet, "fleet-", 6), 0);
    restart(f);
    assert_string_equal(control_identity(f->c)->fleet, fleet);
    assert_string_equal(control_identity(f->c)->pin_text, pin);
    assert_string_equal(control_identity(f->c)->server_cert_pem, leaf);
    /* A leaf with less than a third of its life is made anew; the pin stays. */
    clock_turn(&f->clock, 300 * USEC_PER_DAY);
    restart(f);
    assert_string_not_equal(control_identity(f->c)->server_cert_pem, leaf);
    assert_string_equal(control_identity(f->c)->pin_text, pin);
    free(leaf);
}

static void the_host_hears_why_it_was_turned_away_over_restarts(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_new("web"), *in = sim_ready(f, "db");
    char line[96];
    assert_int_equal(sim_enroll(f, m, NULL), 0);
    assert_int_equal(enroll_reject(f->c, &f->admin, str_of(m->uuid), STR("not\x1bours"), &f->err), 0);
    assert_int_equal(enroll_revoke(f->c, &f->admin, str_of(in->uuid), STR("sold"), &f->err), 0);
    settle(f);
    snprintf(line, sizeof(line), "%llu goodbye host.revoked forever", (unsigned long long)in->link);
    assert_sent(f, line);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sim_enroll(f, m, NULL), 0);
        assert_string_equal(m->answer.message, "an operator rejected this host: not?ours");
        assert_int_equal(sim_enroll(f, in, NULL), 0);
        assert_string_equal(in->answer.message, "an operator revoked this host: sold");
        restart(f);
    }
    assert_int_equal(enroll_approve(f->c, &f->admin, str_of(m->uuid), false, STR_NONE, &f->err), 0);
    assert_int_equal(enroll_revoke(f->c, &f->admin, str_of(m->uuid), STR_NONE, &f->err), 0);
    assert_int_equal(sim_enroll(f, m, NULL), 0);
    assert_string_equal(m->answer.message, "an operator revoked this host"); /* the old reason went with the old decision */
    sim_free(m);
    sim_free(in);
}

static void other_names_make_another_leaf_of_the_same_ca(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = { "fleet.example", "10.9.8.7" };
    char pin[80], *leaf = xstrdup(control_identity(f->c)->server_cert_pem);
    snprintf(pin, sizeof(pin), "%s", control_identity(f->c)->pin_text);
    f->conf.names = names;
    f->conf.n_names = ARRAY_SIZE(names);
    restart(f);
    assert_string_not_equal(control_identity(f->c)->server_cert_pem, leaf);
    assert_string_equal(control_identity(f->c)->pin_text, pin);
    free(leaf);
    leaf = xstrdup(control_identity(f->c)->server_cert_pem);
    restart(f); /* the same names: the same leaf */
    assert_string_equal(control_identity(f->c)->server_cert_pem, leaf);
    f->conf.n_names = 1;
    restart(f);
    assert_string_not_equal(control_identity(f->c)->server_cert_pem, leaf);
    free(leaf);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(a_request_waits_until_an_operator_approves_it),
        T(the_wait_between_polls_grows),
        T(a_lost_answer_loses_nothing),
        T(an_auto_approving_token_gives_its_labels_as_operator_labels),
        T(a_bad_token_is_named_for_what_it_is),
        T(without_a_token_an_address_meets_a_limit_and_others_do_not),
        T(a_request_that_is_none_is_refused),
        T(two_hosts_with_one_hostname_are_two_hosts),
        T(an_id_means_its_host_whatever_others_are_called),
        T(a_name_of_an_ids_shape_from_before_reaches_nobody),
        T(one_key_from_two_machines_is_flagged_once),
        T(claimed_labels_match_nothing_until_accepted),
        T(accepting_what_a_host_claims_keeps_what_operators_gave),
        T(a_claim_that_could_never_be_selected_is_left_out),
        T(revoking_cuts_the_link_after_the_commit_and_refuses_afterwards),
        T(a_viewer_approves_nobody_and_is_written_down),
        T(a_request_nobody_decides_expires_exactly_then),
        T(renewal_is_due_at_two_thirds_of_a_life_of_any_length),
        T(a_renewal_over_the_link_is_for_the_same_key_only),
        T(the_fleet_keeps_its_identity_over_restarts),
        T(the_host_hears_why_it_was_turned_away_over_restarts),
        T(other_names_make_another_leaf_of_the_same_ca),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
