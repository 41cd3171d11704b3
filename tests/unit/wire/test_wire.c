/* tests/unit/wire/test_wire.c - the tables of wire/: no gaps, no doubles, no surprises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/limits.h"
#include "wire/checkin.h"
#include "wire/command.h"
#include "wire/event.h"
#include "wire/facts.h"
#include "wire/job.h"
#include "wire/slugs.h"

static void every_slug_is_there_once_and_has_sane_statuses(void **state)
{
    (void)state;
    for (const struct slug *s = slug_table; s->slug; s++) {
        assert_ptr_equal(slug_find(s->slug), s); /* finds the first: a double would not find itself */
        assert_true(s->http >= 400 && s->http < 600);
        assert_true(s->grpc >= 1 && s->grpc <= 16);
        assert_non_null(strchr(s->slug, '.') ? s->slug : strcmp(s->slug, "internal") == 0 ? s->slug : NULL);
    }
}

static void field_slugs_answer_as_invalid_and_strangers_as_internal(void **state)
{
    (void)state;
    assert_string_equal(slug_find("field.too_long")->slug, "field.invalid");
    assert_string_equal(slug_find("field.invalid")->slug, "field.invalid");
    assert_int_equal(slug_find("field.required")->http, 400);
    assert_string_equal(slug_find("no.such")->slug, "internal");
    assert_string_equal(slug_find("")->slug, "internal");
    assert_string_equal(slug_find(NULL)->slug, "internal");
    assert_int_equal(slug_find("store.disk_full")->http, 503);
}

static void check_names(const struct name *names, int first, int n)
{
    int count = 0;
    for (const struct name *x = names; x->text; x++, count++) {
        assert_int_equal(x->value, first + count);
        assert_int_equal(name_value(names, str_of(x->text)), x->value);
    }
    assert_int_equal(count, n);
}

static void every_value_has_one_spelling(void **state)
{
    (void)state;
    check_names(task_outcome_names, OUTCOME_NONE, OUTCOME_EXPIRED + 1);
    check_names(output_stream_names, STREAM_STDOUT, 2);
    check_names(section_status_names, SECTION_OK, 4);
    check_names(section_names, 0, SECTION_ALL);
}

static void check_record(const struct record *rec, size_t size)
{
    assert_int_equal(rec->size, size);
    for (size_t i = 0; i < rec->n_fields; i++) {
        const struct field *f = &rec->fields[i];
        assert_true(f->offset < rec->size);
        if (f->type == FT_STR || f->type == FT_STR_LIST || f->type == FT_MAP)
            assert_true(f->max > 0);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(rec->fields[k].name, f->name);
    }
}

static void records_state_their_maxima_and_double_no_name(void **state)
{
    (void)state;
    check_record(&host_claims_record, sizeof(struct host_claims));
    check_record(&event_record, sizeof(struct event));
    check_record(&job_spec_record, sizeof(struct job_spec));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_slug_is_there_once_and_has_sane_statuses),
        cmocka_unit_test(field_slugs_answer_as_invalid_and_strangers_as_internal),
        cmocka_unit_test(every_value_has_one_spelling),
        cmocka_unit_test(records_state_their_maxima_and_double_no_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
