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

static void on_job(void *ctx, const struct argus_job *j)
{
    (void)ctx;
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
                          "{\"id\":\"good\",\"kind\":\"rerun\",\"batch_id\":\"b\",\"payload\":{\"command\":\"c\",\"env\":null}}]}");

    (void)state;
    assert_int_equal(argus__jobs_each(body, on_job, NULL, NULL), 9);
    assert_string_equal(buf_as_cstr(&seen), "good rerun b [c]\n");
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
        T(what_is_no_answer_to_a_poll_is_refused),
        T(an_answer_is_at_most_one_mebibyte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
