/* tests/unit/base/test_field.c - the promises of base/field.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/field.h"
#include "base/vec.h"

struct thing {
    struct seen seen;
    struct str name;
    uint32_t n;
};
static const struct field thing_fields[] = {
    F_STR(struct thing, name, "name", 10, .flags = FIELD_REQUIRED),
    F_U32(struct thing, n, "n", .max_value = 5),
};
static const struct record thing_record = RECORD_SEEN(thing, thing_fields);

static void rows_carry_offset_type_and_maximum(void **state)
{
    (void)state;
    assert_int_equal(thing_record.n_fields, 2);
    assert_int_equal(thing_record.seen_offset, 0);
    assert_int_equal(thing_fields[0].offset, offsetof(struct thing, name));
    assert_int_equal(thing_fields[0].max, 10);
    assert_int_equal(thing_fields[0].flags, FIELD_REQUIRED);
    assert_int_equal(thing_fields[1].type, FT_U32);
    assert_int_equal(thing_fields[1].max, 0);
    assert_int_equal(thing_fields[1].max_value, 5);
}

static void absent_null_and_value_differ(void **state)
{
    (void)state;
    struct thing t = { .seen = { .present = 3, .null = 2 } };
    assert_true(field_is_present(&thing_record, &t, "name"));
    assert_false(field_is_null(&thing_record, &t, "name"));
    assert_false(field_is_present(&thing_record, &t, "n"));
    assert_true(field_is_null(&thing_record, &t, "n"));
    assert_false(field_is_present(&thing_record, &t, "other"));
}

static void names_go_both_ways(void **state)
{
    (void)state;
    static const struct name names[] = { { 3, "three" }, { 0, "zero" }, NAMES_END };
    assert_string_equal(name_of(names, 3), "three");
    assert_string_equal(name_of(names, 9), "unknown");
    assert_int_equal(name_value(names, STR("zero")), 0);
    assert_int_equal(name_value(names, STR("z")), -1);
}

static void vectors_grow_and_delete_in_order(void **state)
{
    (void)state;
    VEC(int) v = { 0 };
    for (int i = 0; i < 100; i++)
        *vec_add(&v) = i;
    vec_del(&v, 0);
    assert_int_equal(v.v[0], 1);
    vec_del_swap(&v, 0);
    assert_int_equal(v.v[0], 99);
    assert_int_equal(v.n, 98);
    vec_done(&v);
    assert_null(v.v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_carry_offset_type_and_maximum),
        cmocka_unit_test(absent_null_and_value_differ),
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(vectors_grow_and_delete_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
