/* tests/unit/api/test_reply.c - the promises of api/reply.h about errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "api/reply.h"
#include "base/mem.h"
#include "wire/slugs.h"

static struct err err_of(int code, const char *slug)
{
    struct err err = { 0 };

    (void)err_set(&err, code, slug, "a sentence with \"quotes\"");
    return err;
}

static void every_slug_has_its_status_in_both_worlds(void **state)
{
    (void)state;
    for (const struct slug *s = slug_table; s->slug; s++) {
        struct err err = err_of(-EIO, s->slug);

        assert_int_equal(reply_status_of(&err), s->http);
        assert_int_equal(reply_grpc_of(&err), s->grpc);
    }
}

static void a_slug_that_is_not_in_the_table_goes_by_its_code(void **state)
{
    static const struct {
        int code, http;
    } rows[] = { { -EINVAL, 400 }, { -EACCES, 403 },    { -ENOENT, 404 },
                 { -EEXIST, 409 }, { -EMSGSIZE, 413 },  { -EIO, 500 },
                 { -ENOSPC, 503 }, { -ECANCELED, 503 }, { -ETIMEDOUT, 504 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = err_of(rows[i].code, "no.such_slug");

        assert_int_equal(reply_status_of(&err), rows[i].http);
    }
}

static void field_slugs_are_bad_requests(void **state)
{
    struct err err = err_of(-EINVAL, "field.too_long");

    (void)state;
    assert_int_equal(reply_status_of(&err), 400);
}

static void the_document_has_code_message_and_fields(void **state)
{
    AUTO(buf_done) struct buf out = BUF(4096);
    struct record_errors errs = { .n = 1 };
    struct err err = err_of(-EINVAL, "field.range");

    (void)state;
    (void)str_copy(STR("targets.hosts[0]"), errs.v[0].path, sizeof(errs.v[0].path));
    (void)str_copy(STR("field.range"), errs.v[0].slug, sizeof(errs.v[0].slug));
    (void)str_copy(STR("too much"), errs.v[0].text, sizeof(errs.v[0].text));
    reply_error_json(&err, &errs, &out);
    assert_string_equal(buf_as_cstr(&out),
                        "{\"error\":{\"code\":\"field.range\",\"message\":\"a sentence with "
                        "\\\"quotes\\\"\",\"fields\":[{\"path\":"
                        "\"targets.hosts[0]\",\"code\":\"field.range\",\"message\":\"too much\"}]}}");
}

static void a_denial_says_whom_and_the_role_it_takes(void **state)
{
    AUTO(buf_done) struct buf out = BUF(4096);
    struct err err = { 0 };

    (void)state;
    (void)err_set(&err, -EACCES, "auth.denied", "no");
    err_denied(&err, "ann", "admin");
    reply_error_json(&err, NULL, &out);
    assert_string_equal(buf_as_cstr(&out),
                        "{\"error\":{\"code\":\"auth.denied\",\"message\":\"no\",\"user\":\"ann\",\"required_role\":\"admin\"}}");
    err_denied(&err, "", "admin"); /* a token's */
    buf_reset(&out);
    reply_error_json(&err, NULL, &out);
    assert_string_equal(buf_as_cstr(&out), "{\"error\":{\"code\":\"auth.denied\",\"message\":\"no\",\"required_role\":\"admin\"}}");
    err_login_helps(&err);
    buf_reset(&out);
    reply_error_json(&err, NULL, &out);
    assert_non_null(strstr(buf_as_cstr(&out), "\"required_role\":\"admin\",\"login_helps\":true}}"));
}

static void an_error_without_words_still_says_something(void **state)
{
    AUTO(buf_done) struct buf out = BUF(4096);
    struct err err = { 0 };

    (void)state;
    reply_error_json(&err, NULL, &out);
    assert_string_equal(buf_as_cstr(&out),
                        "{\"error\":{\"code\":\"internal\",\"message\":\"the request failed\"}}");
}

static void retry_after_is_at_least_a_second_and_rounds_up(void **state)
{
    (void)state;
    assert_int_equal(reply_retry_after(0), 1);
    assert_int_equal(reply_retry_after(1), 1);
    assert_int_equal(reply_retry_after(USEC_PER_SEC), 1);
    assert_int_equal(reply_retry_after(USEC_PER_SEC + 1), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_slug_has_its_status_in_both_worlds),
        cmocka_unit_test(a_slug_that_is_not_in_the_table_goes_by_its_code),
        cmocka_unit_test(field_slugs_are_bad_requests),
        cmocka_unit_test(the_document_has_code_message_and_fields),
        cmocka_unit_test(a_denial_says_whom_and_the_role_it_takes),
        cmocka_unit_test(an_error_without_words_still_says_something),
        cmocka_unit_test(retry_after_is_at_least_a_second_and_rounds_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
