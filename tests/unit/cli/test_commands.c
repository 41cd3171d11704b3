/* The verb table keeps its own promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/help.h"

static void every_verb_can_be_found_and_described(void **state)
{
    (void)state;
    for (size_t i = 0; cmd_table[i]; i++) {
        const struct cmd *c = cmd_table[i];
        assert_non_null(c->run);
        assert_true(c->summary[0] && c->group[0] && c->usage);
        assert_true(c->size == 0 || c->size >= sizeof(struct global_opts));
        assert_true(c->n_rows == 0 || c->size > 0);
        AUTO_FREE char *copy = xstrdup(c->name);
        char *space = strchr(copy, ' ');
        char *words[2] = { copy, space ? space + 1 : NULL };
        int n;
        if (space)
            *space = '\0';
        assert_ptr_equal(cmd_find(words, space ? 2 : 1, &n), c);
        assert_int_equal(n, space ? 2 : 1);
    }
}

static void no_two_verbs_share_a_name_or_an_alias(void **state)
{
    (void)state;
    for (size_t i = 0; cmd_table[i]; i++)
        for (size_t k = 0; cmd_table[k]; k++) {
            const char *alias = cmd_table[k]->alias;
            assert_true(i == k || strcmp(cmd_table[i]->name, cmd_table[k]->name) != 0);
            assert_true(!alias || strcmp(cmd_table[i]->name, alias) != 0);
            assert_true(i == k || !alias || !cmd_table[i]->alias || strcmp(cmd_table[i]->alias, alias) != 0);
        }
}

static void no_option_of_a_verb_hides_another_one(void **state)
{
    (void)state;
    for (size_t i = 0; cmd_table[i]; i++) {
        size_t n;
        AUTO_FREE struct conf_row *rows = cmd_rows(cmd_table[i], &n);
        for (size_t a = 0; a < n; a++) {
            assert_true(rows[a].help && rows[a].help[0]);
            assert_true(rows[a].letter != 'h' && rows[a].letter != 'V');
            for (size_t b = 0; b < a; b++) {
                assert_true(strcmp(rows[a].name, rows[b].name) != 0);
                if (rows[a].letter && rows[a].letter == rows[b].letter)
                    fail_msg("%s: -%c twice", cmd_table[i]->name, rows[a].letter);
            }
        }
    }
}

static void defaults_of_every_verb_parse(void **state)
{
    (void)state;
    for (size_t i = 0; cmd_table[i]; i++) {
        size_t n, size = cmd_table[i]->size ? cmd_table[i]->size : sizeof(struct global_opts);
        AUTO_FREE struct conf_row *rows = cmd_rows(cmd_table[i], &n);
        AUTO_FREE void *options = xcalloc(1, size);
        struct conf_table t = { .program = "muster", .rows = rows, .n_rows = n, .size = size };
        struct conf c;
        conf_init(&c, &t, options);
        assert_true(((struct global_opts *)options)->color);
        conf_done(&c);
    }
}

static void a_misspelt_verb_suggests_the_near_one(void **state)
{
    (void)state;
    assert_string_equal(help_suggest("hots"), "hosts");
    assert_string_equal(help_suggest("aprove"), "approve");
    assert_null(help_suggest("completely-different"));
}

static void every_hint_is_for_a_slug_and_unknown_slugs_have_none(void **state)
{
    (void)state;
    static const struct {
        const char *slug, *text, *want; /* want: in the hint; NULL: there is none */
    } rows[] = {
        { "host.unknown", "no host named x", "muster hosts" },
        { "no.such.slug", "x", NULL },
        { "http.400", "x", "8122" },
        { "auth.denied", "this is done over the server's local socket only", NULL },
    };
    char room[256];
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err e = { 0 };
        err_set(&e, 0, rows[i].slug, "%s", rows[i].text);
        const char *hint = cli_hint(&e, room, sizeof(room));
        if (!rows[i].want)
            assert_null(hint);
        else
            assert_non_null(strstr(hint, rows[i].want));
    }
}

static void a_denial_is_helped_by_the_role_it_lacks(void **state)
{
    (void)state;
    char room[256];
    struct err e = { 0 };
    err_set(&e, 0, "auth.denied", "ann is viewer here; run needs operator");
    assert_null(cli_hint(&e, room, sizeof(room))); /* sentences are for people */
    err_denied(&e, "ann", "operator");
    assert_string_equal(cli_hint(&e, room, sizeof(room)),
                        "An admin can give that role: muster user role ann operator; a token keeps the role it was made with");
    err_denied(&e, "", "admin");
    assert_string_equal(cli_hint(&e, room, sizeof(room)),
                        "It is this token that has too little: use one made with: muster api-token create NAME --role admin");
    err_login_helps(&e);
    assert_string_equal(cli_hint(&e, room, sizeof(room)),
                        "This token has less than its user: log in again with muster login, or use one made with: muster api-token create NAME "
                        "--role admin");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_verb_can_be_found_and_described),
        cmocka_unit_test(no_two_verbs_share_a_name_or_an_alias),
        cmocka_unit_test(no_option_of_a_verb_hides_another_one),
        cmocka_unit_test(defaults_of_every_verb_parse),
        cmocka_unit_test(a_misspelt_verb_suggests_the_near_one),
        cmocka_unit_test(every_hint_is_for_a_slug_and_unknown_slugs_have_none),
        cmocka_unit_test(a_denial_is_helped_by_the_role_it_lacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
