/* tests/unit/agent/collect/test_ports.c - the section "ports": what the role port_scan hands over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/collect/source.h"
#include "tree.h"

static struct collect_ports scan(uint32_t available)
{
    return (struct collect_ports){ .start = 10, .end = 29, .available = available, .reserved = 1, .method = "strict",
                                   .used = STR("{\"envoy\":2,\"unknown\":0}") };
}

static void without_a_scan_the_section_is_missing(void **state)
{
    struct tree *t = *state;
    collect_ports_tell(NULL);
    assert_int_equal(tree_run(t, SECTION_PORTS), 0);
    assert_int_equal(t->status, SECTION_MISSING);
    assert_true(t->message[0] != '\0');
}

static void a_scan_that_is_off_says_why_until_there_is_one(void **state)
{
    struct tree *t = *state;
    struct collect_state st = { .root = "" };
    struct collect_ports p = scan(18);
    collect_ports_tell(NULL);
    (void)ports__is_changed(&st);
    collect_ports_off(SECTION_DISABLED, "switched off");
    assert_true(ports__is_changed(&st));
    assert_int_equal(tree_run(t, SECTION_PORTS), 0);
    assert_int_equal(t->status, SECTION_DISABLED);
    assert_string_equal(t->message, "switched off");
    collect_ports_tell(&p);
    assert_true(ports__is_changed(&st));
    assert_int_equal(tree_run(t, SECTION_PORTS), 1);
    assert_int_equal(t->status, SECTION_OK);
    collect_ports_off(SECTION_FAILED, "broken");
    collect_ports_tell(NULL);
    assert_int_equal(tree_run(t, SECTION_PORTS), 0);
    assert_int_equal(t->status, SECTION_MISSING);
}

static void a_scan_is_one_row_without_time(void **state)
{
    struct tree *t = *state;
    struct collect_ports p = scan(18);
    collect_ports_tell(&p);
    assert_int_equal(tree_run(t, SECTION_PORTS), 1);
    assert_int_equal(t->status, SECTION_OK);
    assert_string_equal(tree_row(t, "tcp 10-29"), "{\"start\":10,\"end\":29,\"total\":20,\"available\":18,\"reserved\":1,\"method\":\"strict\","
                                                  "\"used\":{\"envoy\":2,\"unknown\":0}}");
    collect_ports_tell(NULL);
    assert_int_equal(tree_run(t, SECTION_PORTS), 0);
}

static void only_news_is_a_change(void **state)
{
    struct collect_state st = { .root = "" };
    struct collect_ports p = scan(18);
    (void)state;
    assert_true(ports__is_changed(&st)); /* nothing was seen yet */
    assert_false(ports__is_changed(&st));
    collect_ports_tell(&p);
    assert_true(ports__is_changed(&st));
    collect_ports_tell(&p); /* the same again */
    assert_false(ports__is_changed(&st));
    p = scan(17);
    collect_ports_tell(&p);
    assert_true(ports__is_changed(&st));
    p.used = STR("{\"envoy\":3}");
    collect_ports_tell(&p);
    assert_true(ports__is_changed(&st));
    collect_ports_tell(NULL);
    assert_true(ports__is_changed(&st));
    collect_ports_tell(NULL);
    assert_false(ports__is_changed(&st));
    collect_forget(&st, SECTION_PORTS);
    assert_true(ports__is_changed(&st));
}

static void what_does_not_fit_is_left_out_whole(void **state)
{
    struct tree *t = *state;
    static char big[COLLECT_PORTS_USED_MAX + 8];
    struct collect_ports p = scan(1);
    memset(big, ' ', sizeof(big));
    big[0] = '{';
    big[sizeof(big) - 1] = '}';
    p.used = str_bytes(big, sizeof(big));
    collect_ports_tell(&p);
    assert_int_equal(tree_run(t, SECTION_PORTS), 1);
    assert_non_null(strstr(tree_row(t, "tcp 10-29"), "\"used\":{}"));
    collect_ports_tell(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_a_scan_the_section_is_missing, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_scan_that_is_off_says_why_until_there_is_one, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_scan_is_one_row_without_time, tree_setup, tree_teardown),
        cmocka_unit_test(only_news_is_a_change),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_left_out_whole, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
