/* Promises of personality_find() and of the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "agent/dialects/personality.h"

static const char *found(int *ret_shift, int argc, const char *const *argv)
{
    const struct personality *p = personality_find(argc, (char **)(uintptr_t)argv, ret_shift);

    return p ? p->name : "native";
}
#define FOUND(shift, ...) found(shift, (int)(sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *)), (const char *const[]){ __VA_ARGS__, NULL })

static void it_goes_by_the_first_word_or_by_the_name_it_was_called_by(void **state)
{
    int shift;

    (void)state;
    assert_string_equal(FOUND(&shift, "muster-agent", "grapheon", "--force"), "grapheon");
    assert_int_equal(shift, 1);
    assert_string_equal(FOUND(&shift, "/usr/local/bin/grapheon-agent", "--force"), "grapheon");
    assert_int_equal(shift, 0);
    assert_string_equal(FOUND(&shift, "grapheon-agent", "grapheon"), "grapheon");
    assert_int_equal(shift, 0);
    assert_string_equal(FOUND(&shift, "muster-agent"), "native");
    assert_string_equal(FOUND(&shift, "muster-agent", "status"), "native");
    assert_string_equal(FOUND(&shift, "muster-agent", "--server", "grapheon"), "native");
    assert_string_equal(FOUND(&shift, "/opt/grapheon-agent/muster-agent"), "native");
    assert_string_equal(found(&shift, 0, (const char *const[]){ NULL }), "native");
    assert_int_equal(shift, 0);
}

static void no_two_personalities_share_a_word_or_a_name(void **state)
{
    static const char *const natives[] = { "enroll", "status", "facts" };

    (void)state;
    for (const struct personality *const *p = personality_table; *p; p++) {
        assert_true((*p)->name[0] && (*p)->argv0[0] && (*p)->summary[0] && (*p)->main);
        for (size_t i = 0; i < sizeof(natives) / sizeof(natives[0]); i++)
            assert_string_not_equal((*p)->name, natives[i]);
        for (const struct personality *const *q = p + 1; *q; q++) {
            assert_string_not_equal((*p)->name, (*q)->name);
            assert_string_not_equal((*p)->argv0, (*q)->argv0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_goes_by_the_first_word_or_by_the_name_it_was_called_by),
        cmocka_unit_test(no_two_personalities_share_a_word_or_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
