/* What agent/state.h, agent/policy.h and the small rules of agent/link.h promise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/address.h"
#include "agent/link.h"
#include "agent/options.h"
#include "agent/policy.h"
#include "agent/state.h"
#include "base/fd.h"
#include "base/mem.h"

static char top[64], dir[80], path[128];

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(top, sizeof(top), "/tmp/test-state-XXXXXX");
    assert_non_null(mkdtemp(top));
    (void)snprintf(dir, sizeof(dir), "%s/a/b", top);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)fd_remove_tree(top);
    return 0;
}

static const char *at(const char *name)
{
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static struct state *open_it(void)
{
    struct state *s = NULL;
    struct err err = { 0 };

    if (state_open(dir, &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

/* A certificate for the key of @s, from a CA of this moment. */
static char *certificate_for(const char *key_pem, char **ret_ca)
{
    AUTO_FREE char *ca_key = pki_key_p256();
    AUTO_FREE char *csr = pki_csr_new(key_pem, "h", NULL);
    usec_t now = clock_wall(&clock_real);
    char *ca = pki_ca_new(ca_key, "test", now, USEC_PER_DAY, NULL), *cert;
    struct pki_issue is = { .ca_cert_pem = ca, .ca_key_pem = ca_key, .common_name = "h", .uri = "spiffe://f/host/x",
                            .not_before = now - USEC_PER_HOUR, .not_after = now + USEC_PER_HOUR };

    cert = pki_issue_csr(&is, str_of(csr), NULL);
    assert_non_null(cert);
    if (ret_ca)
        *ret_ca = ca;
    else
        free(ca);
    return cert;
}

static void a_directory_is_made_and_shut_to_others(void **state)
{
    struct stat st;
    struct state *s;

    (void)state;
    s = open_it();
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    state_free(s);
    assert_int_equal(chmod(dir, 0755), 0);
    state_free(open_it());
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void a_key_is_made_once_and_only_ours_to_read(void **state)
{
    struct state *s = open_it();
    char one[STATE_FINGERPRINT_MAX], two[STATE_FINGERPRINT_MAX];
    struct stat st;

    (void)state;
    assert_int_equal(state_make_key(s, NULL), 0);
    state_fingerprint(s, one);
    assert_int_equal(strlen(one), 71);
    assert_int_equal(stat(at("key.pem"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    state_free(s);
    s = open_it();
    assert_int_equal(state_make_key(s, NULL), 0);
    state_fingerprint(s, two);
    assert_string_equal(one, two);
    state_free(s);
}

static void a_key_or_ca_of_junk_is_named_with_the_way_out(void **state)
{
    static const char *const names[] = { "key.pem", "ca.pem" }, *const junk[] = { "junk", "" },
        *const slugs[] = { "state.key_bad", "state.ca_bad" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        for (size_t j = 0; j < ARRAY_SIZE(junk); j++) {
            struct state *s = open_it();
            struct err err = { 0 };

            assert_int_equal(state_make_key(s, NULL), 0);
            state_free(s);
            s = NULL;
            assert_int_equal(fd_replace_file(at(names[i]), str_of(junk[j]), 0600, NULL), 0);
            assert_int_equal(state_open(dir, &s, &err), -EBADMSG);
            assert_null(s);
            assert_string_equal(err.slug, slugs[i]);
            assert_non_null(strstr(err.text, at(names[i])));
            assert_int_equal(state_peek(dir, &s, &err), -EBADMSG);
            assert_int_equal(unlink(at(names[i])), 0);
        }
}

static void a_key_others_can_read_is_refused(void **state)
{
    struct state *s = open_it();
    struct err err = { 0 };

    (void)state;
    assert_int_equal(state_make_key(s, NULL), 0);
    state_free(s);
    s = NULL;
    assert_int_equal(chmod(at("key.pem"), 0640), 0);
    assert_true(state_open(dir, &s, &err) < 0);
    assert_string_equal(err.slug, "state.secret_readable");
    assert_null(s);
    assert_int_equal(chmod(at("key.pem"), 0600), 0);
    state_free(open_it());
}

static void a_foreign_owner_is_refused(void **state)
{
    struct state *s = NULL;
    struct err err = { 0 };

    (void)state;
    if (geteuid() != 0) {
        skip();
        return;
    }
    state_free(open_it());
    assert_int_equal(chown(dir, 12345, 12345), 0);
    assert_true(state_open(dir, &s, &err) < 0);
    assert_string_equal(err.slug, "state.owner");
}

static void two_agents_do_not_share_a_directory(void **state)
{
    AUTO(state_free) struct state *s = open_it();
    struct state *other = NULL;
    struct err err = { 0 };

    (void)state;
    assert_int_equal(state_open(dir, &other, &err), -EBUSY);
    assert_string_equal(err.slug, "state.busy");
    assert_int_equal(state_running_pid(s), getpid());
    assert_int_equal(state_peek(dir, &other, &err), 0);
    state_free(other);
}

static void identity_and_certificate_survive_a_restart(void **state)
{
    struct state *s = open_it();
    AUTO_FREE char *ca = NULL, *cert = NULL;

    (void)state;
    assert_int_equal(state_make_key(s, NULL), 0);
    cert = certificate_for(s->key_pem, &ca);
    assert_int_equal(state_set_ca(s, ca, NULL), 0);
    assert_int_equal(state_set_cert(s, cert, NULL), 0);
    assert_int_equal(state_set_identity(s, "01900000-0000-7000-8000-000000000001", "fleet", "host:1", NULL), 0);
    state_free(s);
    s = open_it();
    assert_string_equal(s->cert_pem, cert);
    assert_string_equal(s->ca_pem, ca);
    assert_string_equal(s->host_id, "01900000-0000-7000-8000-000000000001");
    assert_string_equal(s->fleet, "fleet");
    assert_string_equal(s->server, "host:1");
    assert_string_equal(s->cert.uri, "spiffe://f/host/x");
    state_free(s);
}

static void a_certificate_of_another_key_is_refused(void **state)
{
    AUTO(state_free) struct state *s = open_it();
    AUTO_FREE char *key = pki_key_ed25519();
    AUTO_FREE char *cert = certificate_for(key, NULL);
    struct err err = { 0 };

    (void)state;
    assert_int_equal(state_make_key(s, NULL), 0);
    assert_int_equal(state_set_cert(s, cert, &err), -EBADMSG);
    assert_string_equal(err.slug, "state.foreign_certificate");
    assert_null(s->cert_pem);
}

static void a_damaged_certificate_counts_as_none(void **state)
{
    struct state *s = open_it();

    (void)state;
    assert_int_equal(state_make_key(s, NULL), 0);
    state_free(s);
    assert_int_equal(fd_replace_file(at("cert.pem"), STR("not a certificate"), 0600, NULL), 0);
    s = open_it();
    assert_null(s->cert_pem);
    state_free(s);
}

/* -- policy */

static int policy_of(const char *text, struct policy *p, struct err *err)
{
    (void)snprintf(path, sizeof(path), "%s/policy.yaml", top);
    assert_int_equal(fd_replace_file(path, str_of(text), 0644, NULL), 0);
    return policy_read(path, true, p, err);
}

static void no_policy_allows_everything(void **state)
{
    AUTO(policy_done) struct policy p = { 0 };
    struct err err = { 0 };

    (void)state;
    assert_int_equal(policy_read("/no/such/policy", false, &p, &err), 0);
    assert_true(p.run && !p.users && policy_allows_role(&p, "command"));
    assert_int_equal(policy_read("/no/such/policy", true, &p, &err), -ENOENT);
}

static void a_policy_restricts(void **state)
{
    AUTO(policy_done) struct policy p = { 0 };

    (void)state;
    assert_int_equal(policy_of("run: off\nusers: [deploy, www]\nroles: [metrics]\n", &p, NULL), 0);
    assert_false(p.run);
    assert_string_equal(p.users[1], "www");
    assert_null(p.users[2]);
    assert_true(policy_allows_role(&p, "metrics"));
    assert_false(policy_allows_role(&p, "command"));
}

static void commands_need_both_words_that_may_forbid_them(void **state)
{
    static const struct {
        const char *text;
        bool command, metrics;
    } rows[] = {
        { "run: off\n", false, true },
        { "run: on\n", true, true },
        { "roles: [metrics]\n", false, true },
        { "run: on\nroles: [metrics]\n", false, true },
        { "run: off\nroles: [command]\n", false, false },
        { "roles: [command]\n", true, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(policy_done) struct policy p = { 0 };

        assert_int_equal(policy_of(rows[i].text, &p, NULL), 0);
        assert_int_equal(policy_allows_role(&p, "command"), rows[i].command);
        assert_int_equal(policy_allows_role(&p, "metrics"), rows[i].metrics);
    }
}

static void a_misspelt_restriction_is_an_error_and_not_a_permission(void **state)
{
    static const char *const bad[] = { "rum: off\n", "run: maybe\n", "users: deploy\n", "users: [[a]]\n", "- run\n", "run: [\n" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct policy p = { 0 };
        struct err err = { 0 };

        assert_true(policy_of(bad[i], &p, &err) < 0);
        assert_true(err_is(&err));
        assert_null(p.users);
    }
}

static void a_policy_others_can_write_is_refused(void **state)
{
    struct policy p = { 0 };
    struct err err = { 0 };

    (void)state;
    assert_int_equal(policy_of("run: off\n", &p, NULL), 0);
    policy_done(&p);
    assert_int_equal(chmod(path, 0666), 0);
    assert_true(policy_read(path, true, &p, &err) < 0);
    assert_string_equal(err.slug, "policy.writable");
}

/* -- tokens, addresses, waiting */

static void an_install_token_is_a_code_and_a_pin(void **state)
{
    static const char good[] = "abcdefgh@sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    static const char *const bad[] = { "", "abcdefgh", "@sha256:00", "abcdefgh@sha1:00", "abcdefgh@sha256:zz", "a b@sha256:", "abc@sha256:00" };
    struct join_token t;
    struct err err = { 0 };

    (void)state;
    assert_int_equal(join_token_parse(str_of(good), &t, NULL), 0);
    assert_string_equal(t.code, "abcdefgh");
    assert_int_equal(t.pin[31], 0x1f);
    assert_int_equal(join_token_parse(str_sub(str_of(good), 0, sizeof(good) - 2), &t, &err), -EINVAL);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(join_token_parse(str_of(bad[i]), &t, &err), -EINVAL);
    assert_string_equal(err.slug, "token.shape");
}

static void addresses_are_names_or_numbers_with_or_without_port(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } good[] = { { "a.example", "a.example", 8120 }, { "a:1", "a", 1 },          { "127.0.0.1:65535", "127.0.0.1", 65535 },
                 { "[::1]:9", "::1", 9 },            { "[::1]", "::1", 8120 },  { "fe80::1", "fe80::1", 8120 } };
    static const char *const bad[] = { "", ":1", "a:", "a:0", "a:65536", "a:x", "[::1", "[::1]x", "[]:1" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        AUTO_FREE char *host = NULL;
        uint16_t port;

        assert_int_equal(address_parse(str_of(good[i].text), 8120, &host, &port, NULL), 0);
        assert_string_equal(host, good[i].host);
        assert_int_equal(port, good[i].port);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char *host = NULL;
        uint16_t port;

        assert_int_equal(address_parse(str_of(bad[i]), 8120, &host, &port, NULL), -EINVAL);
        assert_null(host);
    }
}

static void what_is_no_address_of_an_agents_server_says_what_is(void **state)
{
    static const char *const bad[] = { "unix:/run/muster/api.sock", "https://a.example:8122" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err err = { 0 };
        char *host = NULL;
        uint16_t port;

        assert_int_equal(address_parse(str_of(bad[i]), 8120, &host, &port, &err), -EINVAL);
        assert_non_null(strstr(err.text, bad[i]));
        assert_non_null(strstr(err.text, "HOST[:PORT]"));
    }
}

static void waiting_doubles_from_one_second_to_sixty_with_a_fifth_of_chance(void **state)
{
    static const unsigned seconds[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };

    (void)state;
    for (uint32_t n = 1; n <= ARRAY_SIZE(seconds); n++) {
        usec_t want = seconds[n - 1] * USEC_PER_SEC, low = USEC_NEVER, high = 0;

        for (uint64_t r = 0; r < 100000; r += 7) {
            usec_t got = link_backoff(n, r * 2654435761u);

            low = got < low ? got : low;
            high = got > high ? got : high;
        }
        assert_true(low >= want - want / 5 && low < want - want / 6);
        assert_true(high <= want + want / 5 && high > want + want / 6);
    }
    assert_true(link_backoff(UINT32_MAX, 0) == 48 * USEC_PER_SEC);
}

/* -- options */

static void flags_stand_before_or_behind_the_word_and_secrets_are_overwritten(void **state)
{
    char a0[] = "muster-agent", a1[] = "--server", a2[] = "h:1", a3[] = "enroll", a4[] = "--token=abc", a5[] = "-l", a6[] = "k=v";
    char *argv[] = { a0, a1, a2, a3, a4, a5, a6, NULL };
    struct options o = { 0 };
    struct conf c;
    const char *sub;
    struct err err = { 0 };

    (void)state;
    assert_int_equal(options_load(&c, &o, 7, argv, &sub, &err), CONF_OK);
    assert_string_equal(sub, "enroll");
    assert_string_equal(o.server, "h:1");
    assert_string_equal(o.token, "abc");
    assert_int_equal(o.label.n, 1);
    assert_null(strstr(a4, "abc"));
    conf_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
        T(a_directory_is_made_and_shut_to_others),
        T(a_key_is_made_once_and_only_ours_to_read),
        T(a_key_or_ca_of_junk_is_named_with_the_way_out),
        T(a_key_others_can_read_is_refused),
        T(a_foreign_owner_is_refused),
        T(two_agents_do_not_share_a_directory),
        T(identity_and_certificate_survive_a_restart),
        T(a_certificate_of_another_key_is_refused),
        T(a_damaged_certificate_counts_as_none),
        T(no_policy_allows_everything),
        T(commands_need_both_words_that_may_forbid_them),
        T(a_policy_restricts),
        T(a_misspelt_restriction_is_an_error_and_not_a_permission),
        T(a_policy_others_can_write_is_refused),
        T(an_install_token_is_a_code_and_a_pin),
        T(addresses_are_names_or_numbers_with_or_without_port),
        T(what_is_no_address_of_an_agents_server_says_what_is),
        T(waiting_doubles_from_one_second_to_sixty_with_a_fifth_of_chance),
        T(flags_stand_before_or_behind_the_word_and_secrets_are_overwritten),
#undef T
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
