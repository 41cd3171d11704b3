/* tests/unit/codec/test_record.c - the promises of codec/record.h. */
#include <errno.h>

#include "base/limits.h"
#include "base/mem.h"
#include "codec/record.h"
#include "codec/yaml.h"
#include "arena_fixture.h"

struct port {
    struct str name;
    uint32_t port;
};
struct life {
    usec_t timeout;
};
struct all {
    struct seen seen;
    struct str name, secret;
    bool on;
    int32_t i32;
    uint32_t u32;
    int64_t i64;
    uint64_t u64;
    double f64;
    usec_t at, at_ms, wait;
    int role;
    struct bytes raw;
    struct json_text any;
    struct str_list tags;
    struct kv_list labels;
    struct life life;
    LIST(struct port) ports;
    LIST(struct port) rows;
};
static const struct name roles[] = { { 0, "viewer" }, { 1, "admin" }, NAMES_END };
static const struct field port_fields[] = {
    F_STR(struct port, name, "name", 8, .flags = FIELD_REQUIRED),
    F_U32(struct port, port, "port", .min_value = 1, .max_value = 65535),
};
static const struct record port_record = RECORD(port, port_fields);
static const struct field life_fields[] = { F_DURATION(struct life, timeout, "timeout",
                                                       .max_value = 3600000000) };
static const struct record life_record = RECORD(life, life_fields);
static const struct field all_fields[] = {
    F_STR(struct all, name, "name", 5, .flags = FIELD_REQUIRED, .help = "what it is called"),
    F_STR(struct all, secret, "secret", 100, .flags = FIELD_SECRET | FIELD_NULLABLE),
    F_BOOL(struct all, on, "on"),
    F_I32(struct all, i32, "i32", .flags = FIELD_OMIT),
    F_U32(struct all, u32, "u32"),
    F_I64(struct all, i64, "i64"),
    F_U64(struct all, u64, "u64"),
    F_F64(struct all, f64, "f64"),
    F_TIME(struct all, at, "at"),
    F_TIME_MS(struct all, at_ms, "atMs"),
    F_DURATION(struct all, wait, "wait"),
    F_ENUM(struct all, role, "role", roles),
    F_BYTES(struct all, raw, "raw", 4),
    F_JSON(struct all, any, "any", 20),
    F_STR_LIST(struct all, tags, "tags", 2, 3),
    F_MAP(struct all, labels, "labels", 2, 4),
    F_SUB(struct all, life, "lifecycle", &life_record),
    F_LIST(struct all, ports, "ports", 3, &port_record),
    F_LIST(struct all, rows, "rows", 9, &port_record, .flags = FIELD_QUARANTINE),
};
static const struct record all_record = RECORD_SEEN(all, all_fields);

static struct all o;
static struct record_errors errs;

static int decode(const char *text)
{
    return record_decode_json(&all_record, a, str_of(text), LIMIT_JSON_BYTES, &o, &errs, &err);
}

static const char full[] =
    "{\"name\":\"web\",\"secret\":\"s\",\"on\":true,\"u32\":7,\"i64\":\"-9223372036854775808\","
    "\"u64\":\"18446744073709551615\",\"f64\":0.5,\"at\":\"2026-11-22T05:56:45Z\",\"atMs\":1500,\"wait\":90,"
    "\"role\":\"admin\",\"raw\":\"AAH/\",\"any\":{\"x\":[1]},\"tags\":[\"a\",\"b\"],\"labels\":{\"k\":\"v\"},"
    "\"lifecycle\":{\"timeout\":300},\"ports\":[{\"name\":\"ssh\",\"port\":22}],\"rows\":[]}";

static void everything_goes_round(void **state)
{
    (void)state;
    assert_int_equal(decode(full), 0);
    assert_true(o.i64 == INT64_MIN && o.u64 == UINT64_MAX && o.wait == 90 * USEC_PER_SEC &&
                o.at_ms == 1500000);
    assert_true(o.raw.b.len == 3 && o.tags.n == 2 && o.ports.n == 1 && o.ports.v[0].port == 22);
    assert_true(o.life.timeout == 300 * USEC_PER_SEC);
    AUTO(buf_done) struct buf b = BUF(4096);
    struct jw w = JW(&b);
    record_write(&all_record, &o, &w);
    assert_int_equal(jw_done(&w), 0);
    assert_string_equal(buf_as_cstr(&b), full);
}

static void absent_null_and_value_differ(void **state)
{
    (void)state;
    assert_int_equal(decode("{\"name\":\"x\",\"secret\":null,\"at\":null}"), 0);
    assert_true(field_is_present(&all_record, &o, "name"));
    assert_true(field_is_null(&all_record, &o, "secret") && !field_is_present(&all_record, &o, "secret"));
    assert_true(!field_is_null(&all_record, &o, "on") && !field_is_present(&all_record, &o, "on"));
    assert_true(o.at == 0);
}

static void each_wrong_value_names_its_path_and_slug(void **state)
{
    (void)state;
    static const struct {
        const char *member, *path, *slug;
    } rows[] = {
        { "\"name\":\"toolong\"", "name", "field.too_long" },
        { "\"name\":\"\"", "name", "field.required" },
        { "\"name\":null", "name", "field.required" },
        { "\"name\":5", "name", "field.type" },
        { "\"name\":\"x\",\"on\":\"true\"", "on", "field.type" },
        { "\"name\":\"x\",\"on\":null", "on", "field.type" },
        { "\"name\":\"x\",\"i32\":2147483648", "i32", "field.range" },
        { "\"name\":\"x\",\"i32\":1.5", "i32", "field.type" },
        { "\"name\":\"x\",\"u32\":-1", "u32", "field.range" },
        { "\"name\":\"x\",\"u32\":4294967296", "u32", "field.range" },
        { "\"name\":\"x\",\"u32\":\"7\"", "u32", "field.type" },
        { "\"name\":\"x\",\"i64\":\"9223372036854775808\"", "i64", "field.range" },
        { "\"name\":\"x\",\"i64\":\"1x\"", "i64", "field.type" },
        { "\"name\":\"x\",\"u64\":-1", "u64", "field.range" },
        { "\"name\":\"x\",\"f64\":\"1\"", "f64", "field.type" },
        { "\"name\":\"x\",\"at\":\"yesterday\"", "at", "field.format" },
        { "\"name\":\"x\",\"atMs\":-1", "atMs", "field.range" },
        { "\"name\":\"x\",\"wait\":\"soon\"", "wait", "field.format" },
        { "\"name\":\"x\",\"wait\":-1", "wait", "field.range" },
        { "\"name\":\"x\",\"role\":\"root\"", "role", "field.enum" },
        { "\"name\":\"x\",\"raw\":\"!\"", "raw", "field.format" },
        { "\"name\":\"x\",\"raw\":\"AAAAAAA=\"", "raw", "field.too_long" },
        { "\"name\":\"x\",\"any\":\"0123456789012345678\"", "any", "field.too_long" },
        { "\"name\":\"x\",\"tags\":[\"a\",\"b\",\"c\"]", "tags", "field.too_many" },
        { "\"name\":\"x\",\"tags\":[\"a\",\"long\"]", "tags[1]", "field.too_long" },
        { "\"name\":\"x\",\"labels\":{\"k\":5}", "labels.k", "field.type" },
        { "\"name\":\"x\",\"labels\":{\"k\":\"vvvvv\"}", "labels.k", "field.too_long" },
        { "\"name\":\"x\",\"lifecycle\":{\"timeout\":\"61m\"}", "lifecycle.timeout", "field.range" },
        { "\"name\":\"x\",\"lifecycle\":[]", "lifecycle", "field.type" },
        { "\"name\":\"x\",\"ports\":[{\"name\":\"a\"},{\"name\":\"b\",\"port\":0}]", "ports[1].port",
          "field.range" },
        { "\"name\":\"x\",\"ports\":[{\"port\":1}]", "ports[0].name", "field.required" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[256];
        snprintf(text, sizeof(text), "{%s}", rows[i].member);
        err_reset(&err);
        assert_int_equal(decode(text), -EINVAL);
        assert_int_equal(errs.n, 1);
        assert_string_equal(errs.v[0].path, rows[i].path);
        assert_string_equal(errs.v[0].slug, rows[i].slug);
        assert_string_equal(err.path, rows[i].path);
    }
}

static void limits_are_exact(void **state)
{
    (void)state;
    assert_int_equal(
        decode("{\"name\":\"12345\",\"i32\":-2147483648,\"u32\":4294967295,\"any\":\"012345678901234567\","
               "\"raw\":\"AAAAAA==\",\"tags\":[\"abc\",\"d\"],\"wait\":\"250ms\","
               "\"lifecycle\":{\"timeout\":\"60m\"},\"ports\":[{\"name\":\"12345678\",\"port\":65535}]}"),
        0);
    assert_int_equal(o.any.text.len, 20);
    assert_true(o.wait == 250000);
}

static void all_errors_are_counted_32_kept_and_unknown_keys_only_counted(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF(1 << 16);
    buf_cstr(&b, "{\"name\":\"x\",\"zzz\":1,\"rows\":[");
    for (int i = 0; i < 9; i++)
        buf_printf(&b, "%s{}", i ? "," : "");
    buf_cstr(&b, "],\"u32\":-1,\"on\":5}");
    assert_int_equal(decode(buf_as_cstr(&b)), -EINVAL);
    assert_int_equal(errs.n_total, 11);
    assert_int_equal(errs.n_unknown, 1);
    assert_int_equal(errs.n_quarantined, 9);
    assert_non_null(strstr(err.text, "(and 10 more)"));
    buf_reset(&b);
    buf_cstr(&b, "{\"name\":\"x\",\"labels\":{\"a\":1,\"b\":2},\"tags\":[1,2],\"on\":1}");
    assert_int_equal(decode(buf_as_cstr(&b)), -EINVAL);
    assert_int_equal(errs.n_total, 5);
}

static void a_bad_row_is_quarantined_alone(void **state)
{
    (void)state;
    assert_int_equal(
        decode("{\"name\":\"x\",\"rows\":[{\"name\":\"a\"},{\"name\":7},5,{\"name\":\"d\",\"port\":9}]}"), 0);
    assert_int_equal(o.rows.n, 2);
    assert_true(str_is(o.rows.v[1].name, "d"));
    assert_int_equal(errs.n_quarantined, 2);
    assert_string_equal(errs.v[0].path, "rows[1].name");
    assert_string_equal(errs.v[1].path, "rows[2]");
}

static void empty_text_is_an_empty_object_and_other_roots_are_refused(void **state)
{
    (void)state;
    assert_int_equal(decode(""), -EINVAL);
    assert_string_equal(errs.v[0].slug, "field.required");
    assert_int_equal(decode("[]"), -EINVAL);
    assert_string_equal(errs.v[0].slug, "field.type");
    assert_int_equal(decode("{"), -EINVAL);
    assert_string_equal(err.slug, "json.syntax");
}

static void yaml_words_become_what_their_field_is(void **state)
{
    (void)state;
    struct node *n;
    assert_int_equal(
        yaml_parse(
            a, STR("name: 5\non: true\nu32: 7\nf64: 1.5\nwait: 5m\ntags: a,b\nports:\n- {name: x, port: 1}"),
            1000, &n, &err),
        0);
    assert_int_equal(record_decode(&all_record, a, n, &o, &errs), 0);
    assert_true(str_is(o.name, "5") && o.on && o.u32 == 7 && o.f64 == 1.5 && o.wait == 300 * USEC_PER_SEC);
    assert_true(o.tags.n == 2 && o.ports.n == 1);
    assert_int_equal(yaml_parse(a, STR("name: x\nu32: '7'"), 1000, &n, &err), 0);
    assert_int_equal(record_decode(&all_record, a, n, &o, &errs),
                     -EINVAL); /* quoted: it says it is a string */
}

static void out_only_omit_and_null_follow_the_table(void **state)
{
    (void)state;
    struct all zero = { .name = STR("x") };
    AUTO(buf_done) struct buf b = BUF(4096);
    struct jw w = JW(&b);
    record_write(&all_record, &zero, &w);
    assert_int_equal(jw_done(&w), 0);
    assert_null(strstr(buf_as_cstr(&b), "i32"));
    assert_non_null(strstr(buf_as_cstr(&b), "\"secret\":null"));
    assert_non_null(
        strstr(buf_as_cstr(&b),
               "\"at\":null,\"atMs\":null,\"wait\":0,\"role\":\"viewer\",\"raw\":\"\",\"any\":null"));
    struct node *n;
    assert_int_equal(json_parse(a, buf_as_str(&b), b.len, &n, &err), 0);
}

static void cells_are_for_people_and_keep_secrets(void **state)
{
    (void)state;
    assert_int_equal(decode(full), 0);
    static const char *const want[] = { "web",
                                        "(secret)",
                                        "yes",
                                        "0",
                                        "7",
                                        "-9223372036854775808",
                                        "18446744073709551615",
                                        "0.5",
                                        "5s",
                                        "56y",
                                        "1m",
                                        "admin",
                                        "3 bytes",
                                        "{\"x\":[1]}",
                                        "a,b",
                                        "k=v",
                                        "...",
                                        "1",
                                        "0" };
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        AUTO(buf_done) struct buf b = BUF(256);
        assert_int_equal(record_cell(&all_fields[i], &o, o.at + 5 * USEC_PER_SEC, &b), 0);
        if (i != 9)
            assert_string_equal(buf_as_cstr(&b), want[i]);
    }
}

static void wiping_overwrites_the_secret_alone(void **state)
{
    (void)state;
    assert_int_equal(decode(full), 0);
    const char *secret = o.secret.ptr, *name = o.name.ptr;
    record_wipe(&all_record, &o);
    assert_int_equal(secret[0], 0);
    assert_int_equal(name[0], 'w');
}

static void the_schema_is_json_and_knows_the_rules(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF(1 << 16);
    struct jw w = JW(&b);
    struct node *n;
    record_schema(&all_record, &w);
    assert_int_equal(jw_done(&w), 0);
    assert_int_equal(json_parse(a, buf_as_str(&b), b.len, &n, &err), 0);
    const struct node *props = node_get(n, "properties");
    assert_int_equal(props->n, ARRAY_SIZE(all_fields));
    assert_int_equal(node_get(node_get(props, "name"), "maxLength")->i, 5);
    assert_true(str_is(node_get(n, "required")->child->s, "name"));
    assert_int_equal(node_get(node_get(props, "role"), "enum")->n, 2);
    assert_null(node_get(node_get(props, "wait"), "maximum"));

    AUTO(buf_done) struct buf life = BUF(1 << 16);
    w = (struct jw)JW(&life);
    record_schema(&life_record, &w);
    assert_int_equal(jw_done(&w), 0);
    assert_int_equal(json_parse(a, buf_as_str(&life), life.len, &n, &err), 0);
    assert_int_equal(node_get(node_get(node_get(n, "properties"), "timeout"), "maximum")->i, 3600); /* seconds, as it is spelled */
}

static void a_small_arena_is_an_error_and_no_crash(void **state)
{
    (void)state;
    for (size_t max = 0; max < 8000; max += 16) {
        AUTO(arena_free) struct arena *small = arena_new(max);
        (void)record_decode_json(&all_record, small, str_of(full), 4096, &o, &errs, &err);
    }
}

#define t(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        t(everything_goes_round),
        t(absent_null_and_value_differ),
        t(each_wrong_value_names_its_path_and_slug),
        t(limits_are_exact),
        t(all_errors_are_counted_32_kept_and_unknown_keys_only_counted),
        t(a_bad_row_is_quarantined_alone),
        t(empty_text_is_an_empty_object_and_other_roots_are_refused),
        t(yaml_words_become_what_their_field_is),
        t(out_only_omit_and_null_follow_the_table),
        t(cells_are_for_people_and_keep_secrets),
        t(wiping_overwrites_the_secret_alone),
        t(the_schema_is_json_and_knows_the_rules),
        t(a_small_arena_is_an_error_and_no_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
