/* tests/unit/fleet/test_enroll.c - the promises of fleet/enroll.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "fleet/enroll.h"

static void the_transition_table_is_this(void **state)
{
    (void)state;
    enum { P = HOST_PENDING, A = HOST_APPROVED, J = HOST_REJECTED, V = HOST_REVOKED, X = 0 };
    static const int want[][4] = {
        /* approve reject revoke ask_again */
        [P] = { A, J, J, P },
        [A] = { A, X, V, A },
        [J] = { A, J, X, J },
        [V] = { X, X, V, V },
    };
    for (int from = P; from <= V; from++)
        for (int verb = 0; verb < 4; verb++) {
            struct err err = { 0 };
            enum host_state to = 77;
            int r = enroll_step(from, verb, &to, &err);
            if (want[from][verb]) {
                assert_int_equal(r, 0);
                assert_int_equal(to, want[from][verb]);
                assert_false(err_is(&err));
            } else {
                assert_int_equal(r, -EINVAL);
                assert_int_equal(to, 77);
                assert_string_equal(err.slug, "host.state");
                assert_non_null(strstr(err.text, name_of(host_state_names, from)));
            }
        }
}

static void what_is_outside_the_enums_is_refused(void **state)
{
    (void)state;
    enum host_state to;
    assert_int_equal(enroll_step(0, ENROLL_APPROVE, &to, NULL), -EINVAL);
    assert_int_equal(enroll_step(HOST_REVOKED + 1, ENROLL_APPROVE, &to, NULL), -EINVAL);
    assert_int_equal(enroll_step(HOST_PENDING, ENROLL_ASK_AGAIN + 1, &to, NULL), -EINVAL);
}

static void a_revoked_host_is_told_to_be_forgotten(void **state)
{
    (void)state;
    struct err err;
    enum host_state to;
    assert_int_equal(enroll_step(HOST_REVOKED, ENROLL_APPROVE, &to, &err), -EINVAL);
    assert_non_null(strstr(err.text, "forget"));
}

static void who_was_turned_away_is_let_go_by_whom_may_forget_or_decided_it(void **state)
{
    (void)state;
    for (int from = HOST_PENDING; from <= HOST_REVOKED; from++)
        for (int who = 0; who < 4; who++) {
            struct err err = { 0 };
            bool is_away = from == HOST_REJECTED || from == HOST_REVOKED;
            int r = enroll_let_go(from, who & 1, who & 2, "web-1", &err);
            assert_int_equal(r, is_away && who == 0 ? -EACCES : 0);
            if (r < 0) {
                assert_string_equal(err.slug, from == HOST_REVOKED ? "host.revoked" : "host.rejected");
                assert_non_null(strstr(err.text, "muster forget web-1"));
            }
        }
}

static void a_token_counts_its_uses_and_its_time(void **state)
{
    (void)state;
    struct install_token t = { .max_uses = 2 };
    assert_int_equal(token_check(&t, 1000), TOKEN_OK);
    t.n_uses = 1;
    assert_int_equal(token_check(&t, 1000), TOKEN_OK);
    t.n_uses = 2;
    assert_int_equal(token_check(&t, 1000), TOKEN_USED_UP);
    t.max_uses = 0;
    t.n_uses = UINT64_MAX;
    assert_int_equal(token_check(&t, 1000), TOKEN_OK);
    t.expires_at = 1001;
    assert_int_equal(token_check(&t, 1000), TOKEN_OK);
    assert_int_equal(token_check(&t, 1001), TOKEN_EXPIRED);
    assert_int_equal(token_check(&t, 1002), TOKEN_EXPIRED);
    t.is_revoked = true;
    assert_int_equal(token_check(&t, 1000), TOKEN_REVOKED);
    assert_null(token_verdict_slug(TOKEN_OK));
    assert_string_equal(token_verdict_slug(TOKEN_USED_UP), "token.used_up");
    assert_string_equal(token_verdict_slug(TOKEN_EXPIRED), "token.expired");
    assert_string_equal(token_verdict_slug(TOKEN_REVOKED), "token.revoked");
}

static void a_request_expires_exactly_at_its_age(void **state)
{
    (void)state;
    assert_false(enroll_is_expired(1000, 100, 1099));
    assert_true(enroll_is_expired(1000, 100, 1100));
    assert_false(enroll_is_expired(1000, 100, 10)); /* a clock set back expires nothing */
}

static void a_clone_needs_two_known_machines(void **state)
{
    (void)state;
    assert_false(enroll_is_clone(STR("a"), STR("a")));
    assert_true(enroll_is_clone(STR("a"), STR("b")));
    assert_false(enroll_is_clone(STR_NONE, STR("b")));
    assert_false(enroll_is_clone(STR("a"), STR_NONE));
}

#define PIN "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

static int parse(const char *text, struct str *code, uint8_t pin[32])
{
    struct err err = { 0 };
    int r = install_token_parse(str_of(text), code, pin, &err);
    if (r < 0)
        assert_string_equal(err.slug, "token.shape");
    return r;
}

static void a_token_is_a_code_and_a_pin(void **state)
{
    (void)state;
    struct str code;
    uint8_t pin[32];
    assert_int_equal(parse("abcd-_12@sha256:" PIN, &code, pin), 0);
    assert_true(str_is(code, "abcd-_12"));
    assert_int_equal(pin[1], 0x11);
    assert_int_equal(pin[31], 0xff);
}

static void every_cut_and_every_foreign_byte_is_refused(void **state)
{
    (void)state;
    static const char good[] = "abcdefgh@sha256:" PIN;
    struct str code;
    uint8_t pin[32];
    for (size_t n = 0; n < sizeof(good) - 1; n++)
        assert_int_equal(install_token_parse(str_bytes(good, n), &code, pin, NULL), -EINVAL);
    for (size_t n = 0; n < sizeof(good) - 1; n++) {
        char bad[sizeof(good)];
        memcpy(bad, good, sizeof(good));
        bad[n] = '!';
        assert_int_equal(parse(bad, &code, pin), -EINVAL);
    }
    assert_int_equal(parse("abcdefgh@sha256:" PIN "0", &code, pin), -EINVAL);
    assert_int_equal(parse("abcdefgh@sha512:" PIN, &code, pin), -EINVAL);
}

static void a_code_has_8_to_64_characters(void **state)
{
    (void)state;
    struct str code;
    uint8_t pin[32];
    for (size_t n = 7; n <= 65; n++) {
        char text[200] = { 0 };
        memset(text, 'k', n);
        memcpy(text + n, "@sha256:" PIN, sizeof("@sha256:" PIN));
        assert_int_equal(parse(text, &code, pin), n >= 8 && n <= 64 ? 0 : -EINVAL);
    }
}

static void the_sentence_never_repeats_the_code(void **state)
{
    (void)state;
    struct err err;
    struct str code;
    uint8_t pin[32];
    install_token_parse(STR("topsecretcode@sha256:12"), &code, pin, &err);
    assert_null(strstr(err.text, "topsecret"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_transition_table_is_this),
        cmocka_unit_test(what_is_outside_the_enums_is_refused),
        cmocka_unit_test(a_revoked_host_is_told_to_be_forgotten),
        cmocka_unit_test(who_was_turned_away_is_let_go_by_whom_may_forget_or_decided_it),
        cmocka_unit_test(a_token_counts_its_uses_and_its_time),
        cmocka_unit_test(a_request_expires_exactly_at_its_age),
        cmocka_unit_test(a_clone_needs_two_known_machines),
        cmocka_unit_test(a_token_is_a_code_and_a_pin),
        cmocka_unit_test(every_cut_and_every_foreign_byte_is_refused),
        cmocka_unit_test(a_code_has_8_to_64_characters),
        cmocka_unit_test(the_sentence_never_repeats_the_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
