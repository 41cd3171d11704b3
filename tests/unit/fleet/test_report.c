/* tests/unit/fleet/test_report.c - the promises of fleet/report.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rand.h"
#include "fleet/inventory.h"
#include "fleet/report.h"

#define NOW (1000 * USEC_PER_DAY)

static struct register_facts newcomer(void)
{
    return (struct register_facts){ .key_is_known = true, .key_is_active = true, .key_id = 7 };
}
static struct register_facts known(enum host_state s)
{
    struct register_facts f = newcomer();
    f.is_known = true;
    f.state = s;
    f.bound_key_id = 7;
    return f;
}

static void an_unknown_key_is_refused_whoever_comes(void **state)
{
    (void)state;
    struct register_facts f = { 0 };
    assert_int_equal(register_judge(&f, NOW), REGISTER_NO_KEY);
    for (int s = HOST_PENDING; s <= HOST_REVOKED; s++) {
        f = known((enum host_state)s);
        f.key_is_known = false;
        assert_int_equal(register_judge(&f, NOW), REGISTER_NO_KEY);
    }
}

static void a_newcomer_needs_a_key_that_is_good(void **state)
{
    (void)state;
    struct register_facts f = newcomer();
    assert_int_equal(register_judge(&f, NOW), REGISTER_OK);
    f.key_is_active = false;
    assert_int_equal(register_judge(&f, NOW), REGISTER_NO_KEY);
    f = newcomer();
    f.key_expires_at = NOW + 1;
    assert_int_equal(register_judge(&f, NOW), REGISTER_OK);
    f.key_expires_at = NOW;
    assert_int_equal(register_judge(&f, NOW), REGISTER_KEY_EXPIRED);
    f = newcomer();
    f.max_registrations = 3;
    f.n_registrations = 2;
    assert_int_equal(register_judge(&f, NOW), REGISTER_OK);
    f.n_registrations = 3;
    assert_int_equal(register_judge(&f, NOW), REGISTER_USED_UP);
}

static void who_is_known_does_not_care_how_the_key_ended(void **state)
{
    (void)state;
    for (int s = HOST_PENDING; s <= HOST_APPROVED; s++) {
        struct register_facts f = known((enum host_state)s);
        f.key_is_active = false;
        f.key_expires_at = 1;
        f.max_registrations = f.n_registrations = 1;
        assert_int_equal(register_judge(&f, NOW), REGISTER_OK);
    }
}

static void refused_hosts_and_other_keys_stay_out(void **state)
{
    (void)state;
    struct register_facts f = known(HOST_REJECTED);
    assert_int_equal(register_judge(&f, NOW), REGISTER_REFUSED);
    f = known(HOST_REVOKED);
    f.bound_key_id = 8; /* the state is said first */
    assert_int_equal(register_judge(&f, NOW), REGISTER_REFUSED);
    f = known(HOST_PENDING);
    f.bound_key_id = 8;
    assert_int_equal(register_judge(&f, NOW), REGISTER_OTHER_KEY);
    f.bound_key_id = 0;
    assert_int_equal(register_judge(&f, NOW), REGISTER_OK);
}

static void a_claim_must_be_shown_once_it_is_bound(void **state)
{
    (void)state;
    struct register_facts f = known(HOST_PENDING);
    f.has_claim = true;
    assert_int_equal(register_judge(&f, NOW), REGISTER_CLAIM);
    f.claim_is_right = true;
    assert_int_equal(register_judge(&f, NOW), REGISTER_OK);
}

/* The whole table. */
static void a_client_key_is_asked_for_and_bound_by_this_table(void **state)
{
    (void)state;
    for (int bits = 0; bits < 32; bits++) {
        const struct cert_facts f = { bits & 1, bits & 2, bits & 4, bits & 8, bits & 16 };
        enum cert_verdict want = CERT_OK;
        if (f.is_bound)
            want = !f.is_shown ? CERT_MISSING : f.is_same ? CERT_OK : CERT_OTHER;
        else if (f.is_required && !f.is_shown)
            want = CERT_MISSING;
        else if (f.is_shown && f.may_bind)
            want = CERT_BIND;
        assert_int_equal(cert_judge(&f), want);
    }
}

static void keys_are_handed_out_by_this_table(void **state)
{
    (void)state;
    const usec_t window = KEY_REISSUE_WINDOW_S * USEC_PER_SEC;
    for (int bits = 0; bits < 16; bits++) {
        struct key_facts f = { .is_active = bits & 1, .has_key = bits & 2, .key_is_used = bits & 4, .has_claim = bits & 8, .issued_at = NOW };
        enum key_verdict want = !f.is_active ? KEY_NONE : !f.has_key ? KEY_ISSUE : f.has_claim && !f.key_is_used ? KEY_REISSUE : KEY_NONE;
        assert_int_equal(key_judge(&f, NOW), want);
        assert_int_equal(key_judge(&f, NOW + window - 1), want);
        assert_int_equal(key_judge(&f, NOW + window), want == KEY_REISSUE ? KEY_NONE : want);
    }
}

static void check_ins_are_let_in_by_this_table(void **state)
{
    (void)state;
    for (int s = HOST_PENDING; s <= HOST_REVOKED; s++)
        for (int bits = 0; bits < 8; bits++) {
            bool is_key = bits & 1, is_revoked = bits & 2, is_on = bits & 4;
            enum checkin_verdict want = !is_key || !is_on    ? CHECKIN_NO_KEY
                                        : s != HOST_APPROVED ? CHECKIN_STATE
                                        : is_revoked         ? CHECKIN_NO_KEY
                                                             : CHECKIN_OK;
            assert_int_equal(checkin_judge(is_key, is_revoked, is_on, (enum host_state)s), want);
        }
}

static void sequences_repeat_only_within_a_named_epoch(void **state)
{
    (void)state;
    struct str e = STR("e"), f = STR("f");
    assert_int_equal(sequence_judge(e, true, 1, e, false, 0), SEQUENCE_NEW);
    assert_int_equal(sequence_judge(e, true, 5, e, true, 5), SEQUENCE_REPEAT);
    assert_int_equal(sequence_judge(e, true, 6, e, true, 5), SEQUENCE_NEW);
    assert_int_equal(sequence_judge(e, true, 4, e, true, 5), SEQUENCE_BACK);
    assert_int_equal(sequence_judge(e, true, 1, e, true, 5), SEQUENCE_BACK);
    assert_int_equal(sequence_judge(f, true, 5, e, true, 5), SEQUENCE_NEW);
    assert_int_equal(sequence_judge(e, false, 0, e, true, 5), SEQUENCE_NEW);
    /* an agent without epochs: never a repeat; 1 is its state file begun anew */
    assert_int_equal(sequence_judge(STR_NONE, true, 5, STR_NONE, true, 5), SEQUENCE_NEW);
    assert_int_equal(sequence_judge(STR_NONE, true, 1, STR_NONE, true, 5), SEQUENCE_NEW);
    assert_int_equal(sequence_judge(STR_NONE, true, 4, STR_NONE, true, 5), SEQUENCE_BACK);
}

static void five_minutes_of_skew_are_allowed_either_way(void **state)
{
    (void)state;
    const usec_t max = REPORT_SKEW_S * USEC_PER_SEC;
    assert_false(report_is_skewed(NOW + max, NOW));
    assert_false(report_is_skewed(NOW - max, NOW));
    assert_true(report_is_skewed(NOW + max + 1, NOW));
    assert_true(report_is_skewed(NOW - max - 1, NOW));
}

static void two_addresses_in_turn_are_noticed_a_move_is_not(void **state)
{
    (void)state;
    struct str a = STR("192.0.2.1"), b = STR("192.0.2.2"), c = STR("192.0.2.3");
    assert_true(report_is_shared(a, b, a));
    assert_false(report_is_shared(b, a, STR_NONE));
    assert_false(report_is_shared(a, a, a));
    assert_false(report_is_shared(c, b, a));
    assert_false(report_is_shared(a, STR_NONE, STR_NONE));
}

static void a_digest_steps_as_the_set_does(void **state)
{
    (void)state;
    struct report_digest zero = { 0 }, one = { 0 }, two = { 0 }, both, left;
    fact_row_hash(&(struct fact_row){ STR("routes"), STR("{\"a\":1}") }, &one.sum);
    fact_row_hash(&(struct fact_row){ STR("routes"), STR("{\"a\":2}") }, &two.sum);
    one.count = two.count = 1;
    report_digest_step(&one, false, &two, &zero, &both);
    assert_int_equal(both.count, 2);
    report_digest_step(&both, false, &zero, &one, &left);
    assert_true(report_digest_eq(&left, &two));
    report_digest_step(&both, true, &one, &zero, &left); /* a full report begins anew */
    assert_true(report_digest_eq(&left, &one));
    assert_false(report_digest_eq(&one, &two));
}

static void addresses_have_one_spelling(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
        bool is_any;
    } good[] = {
        { "192.0.2.5", "192.0.2.5", false },
        { "0.0.0.0", "0.0.0.0", true },
        { "::", "::", true },
        { "FE80::1%eth0", "fe80::1", false },
        { "2001:db8:0:0:0:0:0:1", "2001:db8::1", false },
        { "::ffff:c000:205", "::ffff:192.0.2.5", false },
        { "::ffff:192.0.2.5", "::ffff:192.0.2.5", false },
    };
    static const char *const bad[] = { "", "%eth0", "192.0.2", "192.0.2.256", "host", "1.2.3.4 ", "[::1]", "*", ":::" };
    char text[46];
    bool any;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(report_ip(str_of(good[i].in), text, &any));
        assert_string_equal(text, good[i].out);
        assert_int_equal(any, good[i].is_any);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(report_ip(str_of(bad[i]), text, &any));
}

static void a_mac_is_six_pairs(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "02:00:00:00:00", "02:00:00:00:00:0", "02:00:00:00:00:005", "0200.0000.0005", "02:00:00:00:00:0g",
                                       "192.0.2.5", "020:0:00:00:00:05", "02 00 00 00 00 05" };
    char text[18];
    assert_true(report_mac(STR("02:00:00:00:00:05"), text));
    assert_true(report_mac(STR("02-AB:00-cd:00:0F"), text));
    assert_string_equal(text, "02:ab:00:cd:00:0f");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(report_mac(str_of(bad[i]), text));
}

static void words_are_found_in_any_case(void **state)
{
    (void)state;
    assert_string_equal(report_word(report_states, STR("ESTABLISHED")), "established");
    assert_string_equal(report_word(report_protocols, STR("Tcp")), "tcp");
    assert_null(report_word(report_states, STR("close")));
    assert_null(report_word(report_states, STR("")));
}

static void a_key_names_its_addresses(void **state)
{
    (void)state;
    static const struct {
        enum report_section s;
        const char *key, *a, *b;
    } t[] = {
        { REPORT_ADDRESSES, "eth0 192.0.2.5/24", "192.0.2.5", NULL },
        { REPORT_ADDRESSES, "odd name fe80::5/64", "fe80::5", NULL },
        { REPORT_ADDRESSES, "- 192.0.2.5", "192.0.2.5", NULL },
        { REPORT_NEIGHBORS, "eth0 192.0.2.1", "192.0.2.1", NULL },
        { REPORT_CONNECTIONS, "tcp 0.0.0.0:22 *", NULL, NULL },
        { REPORT_CONNECTIONS, "tcp 192.0.2.5:443 198.51.100.21:40001 pid 4", "192.0.2.5", "198.51.100.21" },
        { REPORT_CONNECTIONS, "tcp [::ffff:192.0.2.5]:80 [2001:db8::1]:9", "::ffff:192.0.2.5", "2001:db8::1" },
        { REPORT_CONNECTIONS, "udp 127.0.0.53:53 198.51.100.1", "127.0.0.53", "198.51.100.1" },
        { REPORT_ROUTES, "default via 192.0.2.1 dev eth0", "192.0.2.1", NULL },
        { REPORT_ROUTES, "192.0.2.0/24 dev eth0", NULL, NULL },
    };
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct str ips[2];
        size_t n = report_key_ips(t[i].s, str_of(t[i].key), ips);
        assert_int_equal(n, (t[i].a != NULL) + (t[i].b != NULL));
        if (n > 0)
            assert_true(str_is(ips[0], t[i].a));
        if (n > 1)
            assert_true(str_is(ips[1], t[i].b));
    }
}

static void a_socket_is_found_in_the_form_it_stands_in(void **state)
{
    static const uint8_t mark_key[16] = { 7 };
    static const struct {
        bool is_told, is_removed;      /* a row, or one that is gone: " | " stands before what names its process */
        bool tells_removals;
        const char *stands, *key, *want, *gone;
    } t[] = {
        { false, true, true, "tcp a *", "tcp a * pid 9", NULL, "tcp a *" },
        { false, true, true, "tcp a * pid 9", "tcp a * pid 9", NULL, "tcp a * pid 9" },
        { false, true, true, "tcp b *", "tcp a * pid 9", NULL, "tcp a * pid 9" },
        { false, true, true, "tcp a *", "tcp a * pid -9", NULL, "tcp a *" },
        { false, true, true, "tcp a * pid", "tcp a * pid pid 9", NULL, "tcp a * pid" },
        { false, true, true, "tcp a", "tcp a 9", NULL, "tcp a 9" },
        { false, true, true, "tcp a", "tcp a pid ", NULL, "tcp a pid " },
        { false, true, true, "tcp a", "9", NULL, "9" },
        { true, false, true, "tcp a *", "tcp a * pid 9", "tcp a * pid 9", "tcp a *" },
        { true, false, true, "tcp b *", "tcp a * pid 9", "tcp a * pid 9", NULL },
        { true, false, true, "tcp a *", "tcp a *", "tcp a *", NULL },
        { true, true, true, "tcp a *", "tcp a * pid 9", "tcp a * pid 9", "tcp a *" },
        { true, false, false, "tcp a * pid 9", "tcp a *| pid 9", "tcp a * pid 9", NULL },
        { true, false, false, "tcp a * pid 8", "tcp a *| pid 9", "tcp a *", NULL },
        { true, false, false, "tcp a *", "tcp a *| pid 9", "tcp a *", NULL },
        { true, false, false, "tcp a * pid 9", "tcp a *", "tcp a *", NULL },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
        char text[64];
        size_t bar = strcspn(t[i].key, "|"), len = strlen(t[i].key);
        struct mark_set have = { 0 };
        snprintf(text, sizeof(text), "%.*s%s", (int)bar, t[i].key, bar < len ? t[i].key + bar + 1 : "");
        mark_set_add(&have, siphash(mark_key, str_of(t[i].stands)));
        struct fact_row row = { { text, bar }, STR("{}") };
        struct str gone = { text, bar };
        uint64_t mark = siphash(mark_key, gone), gone_mark = mark;
        uint8_t tail = bar < len ? (uint8_t)(len - bar - 1) : 0;
        struct report_rows rows = { .rows = &row, .marks = &mark, .tails = &tail, .n_rows = t[i].is_told,
                                    .removed = &gone, .removed_marks = &gone_mark, .n_removed = t[i].is_removed };
        void *block = report_match_forms(&have, mark_key, t[i].tells_removals, &rows);
        if (t[i].is_told)
            assert_true(str_is(rows.rows[0].key, t[i].want) && rows.marks[0] == siphash(mark_key, str_of(t[i].want)));
        assert_int_equal(rows.n_removed > 0, t[i].gone != NULL);
        for (size_t k = 0; k < rows.n_removed; k++)
            assert_true(str_is(rows.removed[k], t[i].gone) && rows.removed_marks[k] == siphash(mark_key, str_of(t[i].gone)));
        free(block);
        mark_set_done(&have);
    }
}

/* Random additions and removals against a plain array. */
static void a_set_of_marks_does_what_a_list_does(void **state)
{
    (void)state;
    enum { KEYS = 300, STEPS = 60000 };
    bool there[KEYS] = { 0 };
    struct mark_set s = { 0 };
    uint32_t n = 0;
    for (int i = 0; i < STEPS; i++) {
        uint64_t k = 2 + rand_below(KEYS - 2);
        uint64_t mark = k * (k % 3 ? 1 : 1024); /* many with one home */
        if (rand_below(2)) {
            assert_int_equal(mark_set_add(&s, mark), !there[k]);
            n += !there[k];
            there[k] = true;
        } else {
            assert_int_equal(mark_set_del(&s, mark), there[k]);
            n -= there[k];
            there[k] = false;
        }
        assert_int_equal(s.n, n);
        if (i % 1000 == 0)
            for (uint64_t j = 2; j < KEYS; j++)
                assert_int_equal(mark_set_has(&s, j * (j % 3 ? 1 : 1024)), there[j]);
    }
    mark_set_clear(&s);
    assert_true(mark_set_add(&s, 0)); /* no mark is special to the caller */
    assert_true(mark_set_has(&s, 0));
    assert_true(mark_set_del(&s, 0));
    assert_false(mark_set_has(&s, 5));
    assert_false(mark_set_del(&s, 5));
    mark_set_done(&s);
}

static void a_version_may_stand_in_a_log(void **state)
{
    static const char *const good[] = { "0.3.0", "1.2.3-rc1+deb12u1~x_y:z", "v2" }, *const bad[] = { "", "1 2", "1\n", "\x1b[1m", "1/2", "\xc3\xa9" };
    char text[REPORT_VERSION_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(report_version_fits(str_of(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(report_version_fits(str_of(bad[i])));
    memset(text, '1', sizeof(text));
    assert_true(report_version_fits((struct str){ text, REPORT_VERSION_MAX }));
    assert_false(report_version_fits((struct str){ text, REPORT_VERSION_MAX + 1 }));
}

static void another_version_is_one_that_is_known_and_differs(void **state)
{
    (void)state;
    assert_true(report_is_other_version(STR("0.3.0"), STR("0.3.1")));
    assert_false(report_is_other_version(STR("0.3.1"), STR("0.3.1")));
    assert_false(report_is_other_version(STR_NONE, STR("0.3.1")));
    assert_false(report_is_other_version(STR("0.3.0"), STR_NONE));
}

static void a_collectors_name_is_one_word(void **state)
{
    char most[REPORT_COLLECTOR_NAME_MAX + 1];

    (void)state;
    memset(most, 'a', sizeof(most));
    assert_true(report_collector_fits(STR("ip_neigh")) && report_collector_fits(STR("x-1.2")) && report_collector_fits(str_bytes(most, sizeof(most) - 1)));
    assert_false(report_collector_fits(STR("")) || report_collector_fits(STR("a b")) || report_collector_fits(STR("a\"")) || report_collector_fits(STR("\xc3\xa9")) ||
                 report_collector_fits(str_bytes("a\0b", 3)) || report_collector_fits(str_bytes(most, sizeof(most))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_collectors_name_is_one_word),
        cmocka_unit_test(an_unknown_key_is_refused_whoever_comes),
        cmocka_unit_test(a_newcomer_needs_a_key_that_is_good),
        cmocka_unit_test(who_is_known_does_not_care_how_the_key_ended),
        cmocka_unit_test(refused_hosts_and_other_keys_stay_out),
        cmocka_unit_test(a_claim_must_be_shown_once_it_is_bound),
        cmocka_unit_test(keys_are_handed_out_by_this_table),
        cmocka_unit_test(a_client_key_is_asked_for_and_bound_by_this_table),
        cmocka_unit_test(check_ins_are_let_in_by_this_table),
        cmocka_unit_test(sequences_repeat_only_within_a_named_epoch),
        cmocka_unit_test(five_minutes_of_skew_are_allowed_either_way),
        cmocka_unit_test(two_addresses_in_turn_are_noticed_a_move_is_not),
        cmocka_unit_test(a_digest_steps_as_the_set_does),
        cmocka_unit_test(addresses_have_one_spelling),
        cmocka_unit_test(a_mac_is_six_pairs),
        cmocka_unit_test(words_are_found_in_any_case),
        cmocka_unit_test(a_key_names_its_addresses),
        cmocka_unit_test(a_socket_is_found_in_the_form_it_stands_in),
        cmocka_unit_test(a_set_of_marks_does_what_a_list_does),
        cmocka_unit_test(a_version_may_stand_in_a_log),
        cmocka_unit_test(another_version_is_one_that_is_known_and_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
