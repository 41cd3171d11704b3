/* Promises of argus_jobs.c (agent/dialects/argus.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "agent/dialects/argus.h"
#include "base/log.h"
#include "base/mem.h"

static struct buf seen;

static int up(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    seen = BUF(4096);
    return 0;
}

static int down(void **state)
{
    (void)state;
    buf_done(&seen);
    return 0;
}

static void on_job(void *ctx, const struct argus_job *j, const char *why)
{
    (void)ctx;
    if (why) {
        assert_true(j->payload.command.ptr == NULL && j->payload.env.n == 0);
        (void)buf_printf(&seen, "%.*s %.*s %.*s: %s\n", STR_FMT(j->id), STR_FMT(j->kind), STR_FMT(j->batch_id), why);
        return;
    }
    (void)buf_printf(&seen, "%.*s %.*s %.*s [%.*s]", STR_FMT(j->id), STR_FMT(j->kind), STR_FMT(j->batch_id), STR_FMT(j->payload.command));
    for (size_t i = 0; i < j->payload.env.n; i++)
        (void)buf_printf(&seen, " %.*s=%.*s", STR_FMT(j->payload.env.v[i].key), STR_FMT(j->payload.env.v[i].value));
    (void)buf_char(&seen, '\n');
}

static void jobs_come_in_the_servers_order_with_what_they_need(void **state)
{
    struct str body = STR("{\"jobs\":[{\"id\":\"b\",\"kind\":\"rerun\",\"batch_id\":\"x\",\"payload\":{\"source_batch_id\":\"s\",\"command\":\"id\",\"cwd\":null,"
                          "\"env\":{\"A\":\"1\",\"N\":5,\"B\":\"2\",\"L\":[],\"Z\":null},\"host\":\"h\",\"overrides\":{},\"requested_by\":3,\"more\":1},"
                          "\"created_at\":\"2026-11-22T05:56:45Z\"},"
                          "{\"id\":\"a\",\"kind\":\"stop\",\"batch_id\":\"x\",\"payload\":{\"requested_by\":\"ann\"},\"created_at\":null}],\"new\":true}");

    (void)state;
    assert_int_equal(argus__jobs_each(body, on_job, NULL, NULL), 2);
    assert_string_equal(buf_as_cstr(&seen), "b rerun x [id] A=1 B=2\na stop x []\n");
}

static void a_job_that_cannot_be_read_costs_no_other(void **state)
{
    struct str body = STR("{\"jobs\":[5,null,{},{\"id\":7},{\"id\":\"../x\",\"kind\":\"rerun\",\"batch_id\":\"b\"},{\"id\":\"no-kind\",\"batch_id\":\"b\"},"
                          "{\"id\":\"bad\",\"kind\":\"rerun\",\"batch_id\":\"b\",\"payload\":{\"command\":[]}},"
                          "{\"id\":\"env\",\"kind\":\"rerun\",\"batch_id\":\"b\",\"payload\":{\"env\":7}},"
                          "{\"id\":\"good\",\"kind\":\"rerun\",\"batch_id\":\"b\",\"payload\":{\"command\":\"c\",\"env\":null},"
                          "\"created_at\":\"2026-11-23T00:00:00\"}]}"); /* a time without a zone, which nobody reads */

    (void)state;
    assert_int_equal(argus__jobs_each(body, on_job, NULL, NULL), 9);
    assert_string_equal(buf_as_cstr(&seen), "no-kind  b: this command cannot be read: kind is required\n"
                                            "bad rerun b: this command cannot be read: payload.command must be a string\n"
                                            "env rerun b: this command cannot be read: payload.env must be an object of strings\n"
                                            "good rerun b [c]\n");
}

/* What each of these payloads becomes, between two good commands. */
static const struct {
    const char *payload, *want;
} odd[] = {
    { "{\"command\":\"c\",\"env\":{\"A\":\"\\u0000\"}}", "x rerun b: this command cannot be read: *" },
    { "{\"command\":\"c\",\"env\":{\"A\":1,\"A\":2}}", "x rerun b: this command cannot be read: *" },
    { "{\"command\":\"c\",\"overrides\":{\"lr\":NaN}}", "x rerun b: this command cannot be read: *" },
    { "{\"command\":\"c\",\"overrides\":{\"n\":1000000000000000000000000000000}}", "x rerun b: this command cannot be read: *" },
    { "{\"command\":\"c\",\"overrides\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
      "x rerun b: this command cannot be read: *" },
    { "{\"command\":\"c\\udcff\"}", "x rerun b: this command cannot be read: *" },
    { "{\"command\":\"c\",\"cwd\":\"/\\udcff\"}", "x rerun b: this command cannot be read: *" },
    { "{\"command\":\"c\",\"overrides\":{\"\\udcff\":1}}", "x rerun b: this command cannot be read: *" },
    { "{\"command\":\"c\",\"env\":[1]}", "x rerun b: this command cannot be read: payload.env *" },
    { "{\"command\":\"c\",\"cwd\":5}", "x rerun b: this command cannot be read: payload.cwd *" },
    { "{\"command\":7}", "x rerun b: this command cannot be read: payload.command *" },
    { "[]", "x rerun b: this command cannot be read: payload *" },
    /* variables that are no text cost nobody the command, nor does who asked for it */
    { "{\"command\":\"c\",\"env\":{\"A\":\"\\udcff\",\"B\":\"2\"},\"requested_by\":\"\\ud83d\"}", "x rerun b [c] B=2" },
    { "{\"command\":\"c \\ud83d\\ude00\",\"env\":{\"\\udcff\":\"2\"}}", "x rerun b [c \xf0\x9f\x98\x80]" },
};

static void an_odd_command_is_refused_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
        AUTO(buf_done) struct buf body = BUF(4096);
        AUTO(buf_done) struct buf want = BUF(4096);
        struct str stem = str_of(odd[i].want), got;
        bool is_stem = str_ends(stem, STR("*"));

        buf_reset(&seen);
        (void)buf_printf(&body,
                         "{\"jobs\":[{\"id\":\"a\",\"kind\":\"stop\",\"batch_id\":\"b\"},{\"id\":\"x\",\"kind\":\"rerun\",\"batch_id\":\"b\","
                         "\"payload\":%s},{\"id\":\"z\",\"kind\":\"stop\",\"batch_id\":\"b\"}]}",
                         odd[i].payload);
        assert_int_equal(argus__jobs_each(buf_as_str(&body), on_job, NULL, NULL), 3);
        (void)buf_printf(&want, "a stop b []\n%.*s", STR_FMT(str_sub(stem, 0, stem.len - is_stem)));
        got = buf_as_str(&seen);
        if (!str_starts(got, buf_as_str(&want)) || !str_ends(got, STR("\nz stop b []\n")))
            fail_msg("%s became %s", odd[i].payload, buf_as_cstr(&seen));
    }
}

static void an_unreadable_stop_is_still_known_as_one(void **state)
{
    struct str body = STR("{\"jobs\":[{\"payload\":{\"grace_s\":\"\\u0000\"},\"id\":\"s\",\"kind\":\"stop\",\"batch_id\":\"b\"},"
                          "{\"id\":\"t\",\"id\":\"u\",\"kind\":\"stop\",\"batch_id\":\"b\"}]}");

    (void)state;
    assert_int_equal(argus__jobs_each(body, on_job, NULL, NULL), 2);
    assert_true(str_starts(buf_as_str(&seen), STR("s stop b: this command cannot be read: ")));
    assert_ptr_equal(strchr(buf_as_cstr(&seen), '\n'), buf_as_cstr(&seen) + seen.len - 1); /* which of two ids: neither */
}

static void what_is_no_answer_to_a_poll_is_refused(void **state)
{
    static const char *const bad[] = { "", "null", "[]", "{}", "{\"jobs\":{}}", "{\"jobs\":null}", "{\"jobs\":[]", "<html>" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_true(argus__jobs_each(str_of(bad[i]), on_job, NULL, NULL) < 0);
    assert_int_equal(argus__jobs_each(STR("{\"jobs\":[]}"), on_job, NULL, NULL), 0);
    assert_int_equal(seen.len, 0);
}

static void an_answer_is_at_most_one_mebibyte(void **state)
{
    AUTO(buf_done) struct buf b = BUF(2 << 20);
    struct err err = { 0 };

    (void)state;
    (void)buf_cstr(&b, "{\"jobs\":[]");
    while (b.len < ARGUS_REPLY_BYTES - 1)
        (void)buf_char(&b, ' ');
    (void)buf_char(&b, '}');
    assert_int_equal(argus__jobs_each(buf_as_str(&b), on_job, NULL, NULL), 0);
    b.ptr[b.len - 1] = ' ';
    (void)buf_char(&b, '}');
    assert_int_equal(argus__jobs_each(buf_as_str(&b), on_job, NULL, &err), -EMSGSIZE);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, up, down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(jobs_come_in_the_servers_order_with_what_they_need),
        T(a_job_that_cannot_be_read_costs_no_other),
        T(an_odd_command_is_refused_alone),
        T(an_unreadable_stop_is_still_known_as_one),
        T(what_is_no_answer_to_a_poll_is_refused),
        T(an_answer_is_at_most_one_mebibyte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
