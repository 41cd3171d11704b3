/* tests/unit/fleet/test_teller.c - the promises of fleet/teller.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "fleet/report.h"
#include "fleet/teller.h"

static const char *const dialects[] = { "argus", "sigma", "grapheon" };

static void what_is_told_beside_an_agent_has_the_name_with_reported_in_front(void **state)
{
    (void)state;
    for (enum section s = 0; s < SECTION_ALL; s++) {
        enum section apart = section_apart(s);
        char name[64];
        if (apart == SECTION_ALL)
            continue;
        assert_true(s < SECTION_N && apart >= SECTION_N);
        snprintf(name, sizeof(name), "reported_%s", name_of(section_names, (int)s));
        assert_string_equal(name_of(section_names, (int)apart), name);
    }
    assert_int_equal(section_apart(SECTION_PACKAGES), SECTION_ALL);
}

static void every_section_that_is_told_has_such_a_name_and_one_that_tells_it_best(void **state)
{
    (void)state;
    for (enum section s = 0; s < SECTION_ALL; s++)
        for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++) {
            int rank = teller_rank(str_of(dialects[i]), s);
            if (rank == 0)
                continue;
            assert_int_not_equal(section_apart(s), SECTION_ALL);
            for (size_t j = 0; j < i; j++)
                assert_true(teller_rank(str_of(dialects[j]), s) < rank);
        }
    assert_int_equal(teller_rank(STR("native"), SECTION_OS), 0);
    assert_int_equal(teller_rank(STR("sigma"), SECTION_PACKAGES), 0);
    assert_int_equal(teller_rank(STR("sigma"), SECTION_REPORTED_OS), 0);
    assert_true(teller_rank(STR("grapheon"), SECTION_ADDRESSES) > teller_rank(STR("sigma"), SECTION_ADDRESSES));
}

static void a_reporter_tells_what_its_reports_become(void **state)
{
    (void)state;
    for (enum report_section s = 0; s < REPORT_SECTIONS; s++) {
        int plain = name_value(section_names, report_section_facts(s, false));
        assert_true(teller_rank(STR("grapheon"), (enum section)plain) > 0);
        assert_int_equal(name_value(section_names, report_section_facts(s, true)), section_apart((enum section)plain));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_told_beside_an_agent_has_the_name_with_reported_in_front),
        cmocka_unit_test(every_section_that_is_told_has_such_a_name_and_one_that_tells_it_best),
        cmocka_unit_test(a_reporter_tells_what_its_reports_become),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
