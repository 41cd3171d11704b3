/* tests/unit/agent/collect/test_table.c - the table of collectors, rows and their caps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "agent/collect/source.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/json.h"
#include "tree.h"

static void every_section_has_its_row_and_only_connections_is_on_request(void **state)
{
    (void)state;
    for (enum section s = 0; s < SECTION_N; s++) {
        assert_int_equal(collectors[s].section, s);
        assert_non_null(collectors[s].run);
        assert_int_equal(collectors[s].every == 0, s == SECTION_CONNECTIONS);
    }
    assert_null(collectors[SECTION_N].run);
}

static void an_empty_tree_fails_or_misses_without_an_error(void **state)
{
    struct tree *t = *state;
    for (enum section s = 0; s < SECTION_N; s++) {
        size_t n = tree_run(t, s);
        if (t->status != SECTION_OK) {
            assert_int_equal(n, 0);
            assert_true(t->message[0] != '\0');
        }
    }
}

static void a_body_too_small_is_the_callers_to_know(void **state)
{
    struct tree *t = *state;
    struct buf tiny = BUF(8);
    assert_int_equal(collect_section(SECTION_KERNEL, t->root, &tiny, &t->status, t->message), -ENOBUFS);
    buf_done(&tiny);
}

static void of_doubled_keys_the_first_stays_and_rows_are_sorted(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/etc/passwd", "zoe:x:1:1::/a:/b\nann:x:2:2::/a:/b\nzoe:x:3:3::/a:/b\n");
    assert_int_equal(tree_run(t, SECTION_USERS), 2); /* tree_run checks the order */
    assert_non_null(strstr(tree_row(t, "user zoe"), "\"uid\":1"));
}

static void a_section_at_its_cap_is_whole_and_one_row_more_is_said(void **state)
{
    struct tree *t = *state;
    for (size_t n = LIMIT_SECTION_ROWS - 1; n <= LIMIT_SECTION_ROWS + 1; n++) {
        AUTO(buf_done) struct buf b = BUF(4 << 20);
        for (size_t i = 0; i < n; i++)
            buf_printf(&b, "u%zu:x:1:1:::\n", i);
        tree_bytes(t, "/etc/passwd", b.ptr, b.len);
        assert_int_equal(tree_run(t, SECTION_USERS), n < LIMIT_SECTION_ROWS ? n : LIMIT_SECTION_ROWS);
        assert_int_equal(t->status, SECTION_OK);
        assert_int_equal(t->message[0] != '\0', n > LIMIT_SECTION_ROWS);
    }
}

static void bytes_that_are_no_utf8_become_valid_text(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/etc/passwd", "m\xff:x:1:1:\xc3\x28:/:/\n");
    tree_run(t, SECTION_USERS);
    AUTO(buf_done) struct buf b = BUF(1 << 20);
    AUTO(arena_free) struct arena *a = arena_new(4 << 20);
    struct node *root;
    assert_int_equal(collect_facts_json(t->root, NULL, &b), 0);
    assert_int_equal(json_parse(a, buf_as_str(&b), 1 << 20, &root, NULL), 0);
}

static void facts_json_has_every_section_but_those_on_request(void **state)
{
    struct tree *t = *state;
    AUTO(buf_done) struct buf b = BUF(1 << 20);
    AUTO(arena_free) struct arena *a = arena_new(4 << 20);
    struct node *root;
    assert_int_equal(collect_facts_json(t->root, NULL, &b), 0);
    assert_int_equal(json_parse(a, buf_as_str(&b), 1 << 20, &root, NULL), 0);
    for (enum section s = 0; s < SECTION_N; s++) {
        const struct node *n = node_get(root, name_of(section_names, (int)s));
        assert_int_equal(n == NULL, s == SECTION_CONNECTIONS);
        if (n) {
            assert_non_null(node_get(n, "status"));
            assert_non_null(node_get(n, "rows"));
        }
    }
}

static void facts_json_of_a_role_that_is_off_is_a_status_a_section(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/etc/passwd", "m:x:1:1:M:/:/\n");
    AUTO(buf_done) struct buf b = BUF(1 << 20);
    AUTO(arena_free) struct arena *a = arena_new(4 << 20);
    struct node *root;
    assert_int_equal(collect_facts_json(t->root, "switched off", &b), 0);
    assert_int_equal(json_parse(a, buf_as_str(&b), 1 << 20, &root, NULL), 0);
    for (enum section s = 0; s < SECTION_N; s++) {
        const struct node *n = node_get(root, name_of(section_names, (int)s));
        assert_int_equal(n == NULL, s == SECTION_CONNECTIONS);
        if (!n)
            continue;
        assert_true(str_is(node_get(n, "status")->s, "disabled"));
        assert_true(str_is(node_get(n, "message")->s, "switched off"));
        assert_null(node_get(n, "rows")->child);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_section_has_its_row_and_only_connections_is_on_request),
        cmocka_unit_test_setup_teardown(an_empty_tree_fails_or_misses_without_an_error, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_body_too_small_is_the_callers_to_know, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(of_doubled_keys_the_first_stays_and_rows_are_sorted, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_section_at_its_cap_is_whole_and_one_row_more_is_said, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(bytes_that_are_no_utf8_become_valid_text, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(facts_json_has_every_section_but_those_on_request, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(facts_json_of_a_role_that_is_off_is_a_status_a_section, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
