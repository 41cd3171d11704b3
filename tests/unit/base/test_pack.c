/* tests/unit/base/test_pack.c - the promises of base/pack.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/mem.h"
#include "base/pack.h"

struct inner {
    struct str name;
    uint32_t n;
    struct str_list words;
};
static const struct field inner_fields[] = {
    F_STR(struct inner, name, "name", 64),
    F_U32(struct inner, n, "n"),
    F_STR_LIST(struct inner, words, "words", 8, 64),
};
static const struct record inner_record = RECORD(inner, inner_fields);
struct outer {
    struct str a, b;
    bool yes;
    int64_t big;
    double real;
    struct json_text raw;
    struct bytes blob;
    struct kv_list map;
    struct inner sub;
    LIST(struct inner) many;
    const char *unknown; /* no row knows it */
};
static const struct field outer_fields[] = {
    F_STR(struct outer, a, "a", 64),
    F_STR(struct outer, b, "b", 64),
    F_BOOL(struct outer, yes, "yes"),
    F_I64(struct outer, big, "big"),
    F_F64(struct outer, real, "real"),
    F_JSON(struct outer, raw, "raw", 64),
    F_BYTES(struct outer, blob, "blob", 64),
    F_MAP(struct outer, map, "map", 8, 64),
    F_SUB(struct outer, sub, "sub", &inner_record),
    F_LIST(struct outer, many, "many", 8, &inner_record),
};
static const struct record outer_record = RECORD(outer, outer_fields);

/* One with everything in it, in memory that can be spoilt afterwards. */
struct room {
    char text[256];
    size_t n;
    struct str words[4];
    struct kv kv[2];
    struct inner many[2];
    struct outer o;
};
static struct str put(struct room *r, const char *s)
{
    size_t n = strlen(s);
    memcpy(r->text + r->n, s, n);
    r->n += n;
    return str_bytes(r->text + r->n - n, n);
}
static struct room *full(void)
{
    struct room *r = xnew0(struct room);
    r->words[0] = put(r, "one");
    r->words[1] = put(r, "two");
    r->kv[0] = (struct kv){ put(r, "key"), put(r, "value") };
    r->many[0] = (struct inner){ put(r, "first"), 1, { r->words, 2 } };
    r->many[1] = (struct inner){ put(r, "second"), 2, { 0 } };
    r->o = (struct outer){ .a = put(r, "alpha"),
                           .yes = true,
                           .big = -7,
                           .real = 0.5,
                           .raw = { put(r, "{\"x\":1}") },
                           .blob = { put(r, "bytes") },
                           .map = { r->kv, 1 },
                           .sub = { put(r, "sub"), 9, { r->words + 1, 1 } },
                           .unknown = "stays" };
    r->o.many.v = r->many;
    r->o.many.n = 2;
    return r;
}

static void a_copy_owes_nothing_to_what_it_was_made_from(void **state)
{
    (void)state;
    struct room *r = full();
    struct outer *o = record_pack(&outer_record, &r->o);
    memset(r, 'z', sizeof(*r));
    free(r);
    assert_true(str_is(o->a, "alpha") && o->b.ptr == NULL && o->yes && o->big == -7);
    assert_true(str_is(o->raw.text, "{\"x\":1}") && str_is(o->blob.b, "bytes"));
    assert_true(o->map.n == 1 && str_is(o->map.v[0].key, "key") && str_is(o->map.v[0].value, "value"));
    assert_true(str_is(o->sub.name, "sub") && o->sub.words.n == 1 && str_is(o->sub.words.v[0], "two"));
    assert_true(o->many.n == 2 && str_is(o->many.v[1].name, "second") && o->many.v[1].words.v == NULL);
    assert_true(o->many.v[0].words.n == 2 && str_is(o->many.v[0].words.v[1], "two"));
    assert_string_equal(o->unknown, "stays");
    assert_string_equal(o->a.ptr, "alpha"); /* a NUL behind each */
    free(o);
}

static void nothing_packs_to_nothing_and_empty_text_stays_text(void **state)
{
    (void)state;
    struct outer in = { .a = STR("") }, *o = record_pack(&outer_record, &in);
    assert_true(o->a.ptr && o->a.len == 0 && !o->b.ptr && o->many.n == 0);
    assert_true(record_eq(&outer_record, &in, o));
    free(o);
}

static void a_copy_of_a_copy_is_equal(void **state)
{
    (void)state;
    struct room *r = full();
    struct outer *a = record_pack(&outer_record, &r->o), *b = record_pack(&outer_record, a);
    assert_true(record_eq(&outer_record, a, b) && record_eq(&outer_record, a, &r->o));
    free(a);
    free(b);
    free(r);
}

static void every_difference_is_seen(void **state)
{
    (void)state;
    struct room *r = full();
    for (size_t i = 0; i < outer_record.n_fields; i++) {
        struct room *q = full();
        switch (i) {
        case 0: q->o.a = STR("alphA"); break;
        case 1: q->o.b = STR("x"); break;
        case 2: q->o.yes = false; break;
        case 3: q->o.big = -8; break;
        case 4: q->o.real = 0.25; break;
        case 5: q->o.raw.text = STR("{}"); break;
        case 6: q->o.blob.b = STR("byte"); break;
        case 7: q->kv[0].value = STR("other"); break;
        case 8: q->o.sub.n = 8; break;
        case 9: q->many[1].words = (struct str_list){ q->words, 1 }; break;
        default: break;
        }
        assert_false(record_eq(&outer_record, &r->o, &q->o));
        for (size_t k = 0; k < outer_record.n_fields; k++)
            assert_int_equal(field_eq(&outer_fields[k], &r->o, &q->o), k != i);
        free(q);
    }
    free(r);
}

static void fewer_elements_are_another_list(void **state)
{
    (void)state;
    struct room *r = full(), *q = full();
    q->o.many.n = 1;
    assert_false(field_eq(&outer_fields[9], &r->o, &q->o));
    free(r);
    free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_owes_nothing_to_what_it_was_made_from),
        cmocka_unit_test(nothing_packs_to_nothing_and_empty_text_stays_text),
        cmocka_unit_test(a_copy_of_a_copy_is_equal),
        cmocka_unit_test(every_difference_is_seen),
        cmocka_unit_test(fewer_elements_are_another_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
