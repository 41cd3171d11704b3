/* tests/unit/fleet/test_policy.c - the promises of fleet/policy.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet/policy.h"

static void who_may_do_what_is_this(void **state)
{
    (void)state;
    enum { V = ROLE_VIEWER, O = ROLE_OPERATOR, A = ROLE_ADMIN };
    static const int want[] = {
        [VERB_READ] = V,          [VERB_HOST_APPROVE] = O, [VERB_HOST_REJECT] = O,  [VERB_HOST_REVOKE] = A,
        [VERB_HOST_LABEL] = O,    [VERB_HOST_RENAME] = O,  [VERB_HOST_FORGET] = A,  [VERB_INSTALL_TOKEN] = O,
        [VERB_RUN] = O,           [VERB_USER_ADMIN] = A,   [VERB_OWN_PASSWORD] = V, [VERB_API_TOKEN] = V,
        [VERB_API_TOKEN_ANY] = A, [VERB_AUDIT_READ] = A,   [VERB_ASSET] = O,        [VERB_ASSET_IMPORT] = O,
        [VERB_FOREIGN_KEY] = A,   [VERB_FOREIGN_AGENT] = A, [VERB_REPORT_POLICY] = A, [VERB_SHARE] = V,
        [VERB_INGEST] = V,        [VERB_PORTS] = O,        [VERB_HOST_LINK] = A,
    };
    assert_int_equal(sizeof(want) / sizeof(want[0]), VERB_N); /* a new verb needs a line here */
    for (int v = 0; v < VERB_N; v++) {
        assert_int_equal(policy_needs(v), want[v]);
        for (int role = ROLE_NONE; role <= ROLE_ADMIN; role++)
            assert_int_equal(policy_allows(role, v), role != ROLE_NONE && role >= want[v]);
    }
}

static void no_role_may_nothing_and_unknown_verbs_are_denied(void **state)
{
    (void)state;
    assert_false(policy_allows(ROLE_NONE, VERB_READ));
    assert_false(policy_allows(ROLE_ADMIN, VERB_N));
    assert_false(policy_allows(ROLE_ADMIN + 1, VERB_READ));
    assert_int_equal(policy_needs(VERB_N), ROLE_ADMIN);
}

static void every_verb_has_a_name(void **state)
{
    (void)state;
    for (int v = 0; v < VERB_N; v++)
        assert_int_equal(name_value(verb_names, str_of(name_of(verb_names, v))), v);
    assert_string_equal(name_of(role_level_names, ROLE_OPERATOR), "operator");
    assert_string_equal(name_of(principal_kind_names, PRINCIPAL_HOST), "host");
    assert_string_equal(name_of(principal_kind_names, PRINCIPAL_SESSION), "session");
    assert_string_equal(name_of(principal_kind_names, PRINCIPAL_KEY), "key");
    assert_string_equal(name_of(verb_names, VERB_ASSET), "asset.write");
    assert_string_equal(name_of(verb_names, VERB_FOREIGN_AGENT), "foreign_agent");
    assert_string_equal(name_of(verb_names, VERB_PORTS), "ports.allocate");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_may_do_what_is_this),
        cmocka_unit_test(no_role_may_nothing_and_unknown_verbs_are_denied),
        cmocka_unit_test(every_verb_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
