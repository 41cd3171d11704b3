/* Promises of cli/views.h and of the error half of cli/api.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/views.h"
#include "cli/waiting.h"

static struct str command(struct arena *a, const char *const *words, size_t n)
{
    struct str v[8];
    for (size_t i = 0; i < n; i++)
        v[i] = str_of(words[i]);
    return view_command(a, &(struct str_list){ v, n }, STR_NONE);
}

static void a_command_is_shown_as_a_shell_would_take_it(void **state)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    const char *const words[] = { "echo", "two words", "", "it's", "a=b" };
    (void)state;
    assert_true(str_is(command(a, words, 5), "echo 'two words' '' 'it'\\''s' a=b"));
    assert_true(str_is(view_command(a, &(struct str_list){ 0 }, STR("a | b")), "a | b"));
}

static int read_text(const char *json, const struct record *rec, struct arena *a, void *obj, struct cli *cli)
{
    struct node *root;
    assert_int_equal(json_parse(a, str_of(json), 1 << 20, &root, NULL), 0);
    return view_read(cli, a, rec, root, obj);
}

static void objects_of_a_newer_server_are_read_and_nulls_are_nothing(void **state)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    struct cli cli = { 0 };
    struct host_view h = { 0 };
    struct task_view t = { 0 };
    struct job_view j = { 0 };
    (void)state;
    assert_int_equal(
        read_text(
            "{\"name\":\"a\",\"status\":\"dreaming\",\"metrics\":null,\"system_info\":null,\"labels\":null,"
            "\"last_seen\":null,\"connected_at\":null,\"brand_new\":{\"x\":[1]}}",
            &host_view_record, a, &h, &cli),
        RC_OK);
    assert_true(str_is(h.status, "dreaming"));
    assert_int_equal(
        read_text(
            "{\"id\":\"18446744073709551615\",\"state\":\"done\",\"outcome\":\"exited\",\"exit_code\":2,"
            "\"signal\":null,\"message\":null}",
            &task_view_record, a, &t, &cli),
        RC_OK);
    assert_true(t.id == UINT64_MAX && str_is(t.result, "exit 2"));
    assert_int_equal(
        read_text("{\"id\":1,\"argv\":[\"a\",\"b c\"],\"shell\":null,\"counts\":{\"total\":5,\"running\":2}}",
                  &job_view_record, a, &j, &cli),
        RC_OK);
    assert_true(str_is(j.done, "3/5") && str_is(j.command, "a 'b c'"));
    assert_int_equal(read_text("{\"name\":7}", &host_view_record, a, &h, &cli), RC_FAILED);
    assert_string_equal(cli.err.slug, "server.reply");
    assert_int_equal(read_text("[]", &host_view_record, a, &h, &cli), RC_FAILED);
}

static void refusals_become_exit_codes(void **state)
{
    static const struct {
        int status;
        const char *body, *slug;
        int rc;
    } rows[] = {
        { 400, "{\"error\":{\"code\":\"field.invalid\",\"message\":\"m\"}}", "field.invalid", RC_USAGE },
        { 401, "{\"error\":{\"code\":\"auth.required\",\"message\":\"m\"}}", "auth.required", RC_DENIED },
        { 403, "", "http.403", RC_DENIED },
        { 404, "{\"error\":{\"code\":\"host.unknown\",\"message\":\"m\"}}", "host.unknown", RC_NOT_FOUND },
        { 409, "{\"error\":{\"code\":\"user.exists\",\"message\":\"m\"}}", "user.exists", RC_CONFLICT },
        { 409, "{\"error\":{\"code\":\"host.offline\",\"message\":\"m\"}}", "host.offline", RC_UNREACHABLE },
        { 429, "<html>", "http.429", RC_UNREACHABLE },
        { 500, "{\"error\":7}", "http.500", RC_FAILED },
        { 502, "null", "http.502", RC_UNREACHABLE },
        { 503, "{\"error\":{}}", "http.503", RC_UNREACHABLE },
        { 302, "", "http.302", RC_FAILED },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = { 0 };
        assert_int_equal(api_error(rows[i].status, str_of(rows[i].body), &err), rows[i].rc);
        assert_string_equal(err.slug, rows[i].slug);
        assert_true(err.text[0] != '\0');
    }
}

static void an_error_names_its_field_and_is_safe_to_print(void **state)
{
    struct err err = { 0 };
    (void)state;
    (void)api_error(400,
                    STR("{\"error\":{\"code\":\"field.invalid\",\"message\":\"bad\\u001b[2J\",\"fields\":[{"
                        "\"path\":\"targets.hosts[0]\","
                        "\"code\":\"c\",\"message\":\"must be\"}]}}"),
                    &err);
    assert_string_equal(err.text, "bad\\x1B[2J (targets.hosts[0]: must be)");
}

static void a_denial_is_read_from_its_members_and_only_a_role_that_exists(void **state)
{
    static const struct {
        const char *more, *who, *needs;
        bool login_helps;
    } rows[] = {
        { ",\"user\":\"ann\",\"required_role\":\"operator\",\"login_helps\":\"x\"", "ann", "operator" },
        { ",\"user\":\"a\\u001b\",\"required_role\":\"admin\"", "a\\x1B", "admin" },
        { ",\"user\":\"ann\",\"required_role\":\"x; reboot\"", "", "" },
        { ",\"user\":7,\"required_role\":\"admin\"", "", "admin" },
        { ",\"required_role\":\"admin\"", "", "admin" }, /* the token's */
        { ",\"required_role\":\"admin\",\"login_helps\":true", "", "admin", true },
        { ",\"required_role\":\"root\",\"login_helps\":true", "", "" },
        { ",\"user\":\"ann\"", "", "" },
        { "", "", "" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = { 0 };
        char body[256];
        snprintf(body, sizeof(body), "{\"error\":{\"code\":\"auth.denied\",\"message\":\"bo is viewer here; run needs operator\"%s}}",
                 rows[i].more);
        assert_int_equal(api_error(403, str_of(body), &err), RC_DENIED);
        assert_string_equal(err.who, rows[i].who);
        assert_string_equal(err.needs, rows[i].needs);
        assert_int_equal(err.login_helps, rows[i].login_helps);
    }
}

static void what_is_waited_for_is_said_in_words_and_safe_to_print(void **state)
{
    static const struct {
        const char *body, *want;
    } rows[] = {
        { "{\"status\":\"not_ready\",\"reason\":\"store.disk_full\"}", "its disk is full" },
        { "{\"reason\":\"store.io\"}", "its database takes no writes (store.io)" },
        { "{\"reason\":\"new\\u001b[2J\"}", "it is not ready (new\\x1B[2J)" },
        { "{\"reason\":7}", "it is not ready" },
        { "[]", "it is not ready" },
        { "<html>", "it is not ready" },
    };
    char room[320];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_string_equal(waiting_reason(str_of(rows[i].body), room, sizeof(room)), rows[i].want);
}

static void paths_and_queries_are_encoded(void **state)
{
    AUTO(buf_done) struct buf b = BUF(1000);
    (void)state;
    api_path(&b, "agents", "a/../b c", "approve", NULL);
    api_query(&b, "x", STR(""));
    api_query(&b, "q", STR("r=w,a b"));
    api_query(&b, "z", STR("1&2"));
    assert_string_equal(buf_as_cstr(&b), "/api/v1/agents/a%2F..%2Fb%20c/approve?q=r%3Dw%2Ca%20b&z=1%262");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_is_shown_as_a_shell_would_take_it),
        cmocka_unit_test(objects_of_a_newer_server_are_read_and_nulls_are_nothing),
        cmocka_unit_test(refusals_become_exit_codes),
        cmocka_unit_test(an_error_names_its_field_and_is_safe_to_print),
        cmocka_unit_test(a_denial_is_read_from_its_members_and_only_a_role_that_exists),
        cmocka_unit_test(paths_and_queries_are_encoded),
        cmocka_unit_test(what_is_waited_for_is_said_in_words_and_safe_to_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
