/* tests/unit/fleet/test_audit.c - the promises of fleet/audit.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "fleet/audit.h"

static struct kv details[] = { { STR("host"), STR("web-1") }, { STR("why"), STR("test") } };

static struct audit_row row(uint64_t id, const struct audit_row *prev)
{
    struct audit_row r = {
        .id = id,
        .at = 1000 + id,
        .principal = STR("alice"),
        .peer = STR("192.0.2.1"),
        .verb = STR("host.approve"),
        .target = STR("web-1"),
        .outcome = STR("ok"),
        .details = { details, 2 },
    };
    if (prev)
        memcpy(r.prev, prev->hash, SHA256_LEN);
    audit_seal(&r);
    return r;
}

static void a_chain_checks(void **state)
{
    (void)state;
    struct audit_row a = row(1, NULL), b = row(2, &a), c = row(3, &b);
    assert_int_equal(audit_check(NULL, &a), AUDIT_OK);
    assert_int_equal(audit_check(&a, &b), AUDIT_OK);
    assert_int_equal(audit_check(&b, &c), AUDIT_OK);
    assert_int_equal(audit_check(NULL, &c), AUDIT_OK); /* after retention: the first kept row */
}

static void a_row_taken_out_is_a_gap_and_one_put_in_breaks_the_link(void **state)
{
    (void)state;
    struct audit_row a = row(1, NULL), b = row(2, &a), c = row(3, &b), other = row(2, NULL);
    assert_int_equal(audit_check(&a, &c), AUDIT_GAP);
    assert_int_equal(audit_check(&a, &other), AUDIT_BROKEN_LINK);
    assert_int_equal(audit_check(&other, &c), AUDIT_BROKEN_LINK);
}

static void every_field_is_under_the_hash(void **state)
{
    (void)state;
    struct kv changed[] = { { STR("host"), STR("web-2") }, { STR("why"), STR("test") } };
    struct audit_row a = row(1, NULL);
    for (int i = 0; i < 12; i++) {
        struct audit_row e = a;
        switch (i) {
        case 0:
            e.id++;
            break;
        case 1:
            e.at++;
            break;
        case 2:
            e.principal = STR("alicf");
            break;
        case 3:
            e.peer = STR_NONE;
            break;
        case 4:
            e.verb = STR("host.reject");
            break;
        case 5:
            e.target = STR("web-2");
            break;
        case 6:
            e.outcome = STR("denied");
            break;
        case 7:
            e.slug = STR("x");
            break;
        case 8:
            e.details.n = 1;
            break;
        case 9:
            e.details.v = changed;
            break;
        case 10:
            e.prev[31] ^= 1;
            break;
        case 11:
            e.hash[0] ^= 1;
            break;
        }
        assert_int_equal(audit_check(NULL, &e), AUDIT_EDITED);
    }
}

static void bytes_cannot_move_from_one_field_to_the_next(void **state)
{
    (void)state;
    struct audit_row a = { .id = 1, .verb = STR("ab"), .target = STR("c") },
                     b = { .id = 1, .verb = STR("a"), .target = STR("bc") };
    audit_seal(&a);
    audit_seal(&b);
    assert_memory_not_equal(a.hash, b.hash, SHA256_LEN);
    struct kv x[] = { { STR("ab"), STR("c") } }, y[] = { { STR("a"), STR("bc") } };
    struct audit_row c = { .id = 1, .details = { x, 1 } }, d = { .id = 1, .details = { y, 1 } };
    audit_seal(&c);
    audit_seal(&d);
    assert_memory_not_equal(c.hash, d.hash, SHA256_LEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_checks),
        cmocka_unit_test(a_row_taken_out_is_a_gap_and_one_put_in_breaks_the_link),
        cmocka_unit_test(every_field_is_under_the_hash),
        cmocka_unit_test(bytes_cannot_move_from_one_field_to_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
