/* tests/unit/codec/test_yaml.c - the promises of codec/yaml.h. */
#include <errno.h>

#include "base/conf.h"
#include "base/field.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/yaml.h"
#include "arena_fixture.h"

static struct node *root;

static int parse(struct str s)
{
    return yaml_parse(a, s, LIMIT_YAML_BYTES, &root, &err);
}

static void maps_lists_and_scalars_become_the_tree(void **state)
{
    (void)state;
    assert_int_equal(
        parse(
            STR("# comment\nlisten: 127.0.0.1:8120\nlog:\n  level: \"info\"\nlist: [a, 'b']\nnone:\nn: 5\n")),
        0);
    assert_int_equal(root->type, NODE_MAP);
    assert_int_equal(root->n, 5);
    const struct node *n = node_get(root, "listen");
    assert_true(n->type == NODE_STR && n->is_bare && n->line == 2 && str_is(n->s, "127.0.0.1:8120"));
    n = node_get(node_get(root, "log"), "level");
    assert_true(n->type == NODE_STR && !n->is_bare && str_is(n->s, "info"));
    assert_int_equal(node_get(root, "list")->n, 2);
    assert_int_equal(node_get(root, "none")->type, NODE_NULL);
    assert_true(str_is(node_get(root, "n")->s, "5")); /* its field decides what it is */
}

static void an_empty_document_is_an_empty_map(void **state)
{
    (void)state;
    static const char *const texts[] = { "", "# nothing\n", "---\n", "---\n...\n" };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        assert_int_equal(parse(str_of(texts[i])), 0);
        assert_true(root->type == NODE_MAP && root->n == 0);
    }
}

static void what_is_refused_says_why_and_where(void **state)
{
    (void)state;
    static const struct {
        struct str text;
        const char *slug;
    } rows[] = {
        { STR("a: [1"), "yaml.syntax" },
        { STR("a: b: c"), "yaml.syntax" },
        { STR("\ta: 1"), "yaml.syntax" },
        { STR("a: 1\nb: 2\na: 3\n"), "yaml.duplicate" },
        { STR("a: &x 1\nb: *x\n"), "yaml.tag" },
        { STR("b: *x\n"), "yaml.alias" },
        { STR("a: !!int 1\n"), "yaml.tag" },
        { STR("a: !foo {}\n"), "yaml.tag" },
        { STR("<<: {a: 1}\n"), "yaml.merge" },
        { STR("? [a]\n: 1\n"), "yaml.key" },
        { STR("a: 1\n---\nb: 2\n"), "yaml.documents" },
        { STR("a: \"x\\0y\"\n"), "yaml.utf8" },
        { STR("a: \xff\n"), "yaml.utf8" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        err_reset(&err);
        assert_int_equal(parse(rows[i].text), -EINVAL);
        assert_string_equal(err.slug, rows[i].slug);
        assert_non_null(strstr(err.text, "line "));
    }
    assert_int_equal(parse(STR("a: 1\nb: 2\na: 3\n")), -EINVAL);
    assert_non_null(strstr(err.text, "line 3"));
}

static void depth_nodes_and_bytes_are_exact(void **state)
{
    (void)state;
    char text[2 * (LIMIT_JSON_DEPTH + 1)];
    for (size_t depth = LIMIT_JSON_DEPTH - 1; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(parse(str_bytes(text, 2 * depth)), depth <= LIMIT_JSON_DEPTH ? 0 : -EINVAL);
    }
    for (size_t n = LIMIT_YAML_NODES - 2; n <= LIMIT_YAML_NODES; n++) { /* the list itself is one */
        AUTO(buf_done) struct buf b = BUF(1 << 20);
        for (size_t i = 0; i < n; i++)
            buf_cstr(&b, "- 1\n");
        assert_int_equal(parse(buf_as_str(&b)), n < LIMIT_YAML_NODES ? 0 : -ENOBUFS);
        arena_reset(a);
    }
    assert_int_equal(yaml_parse(a, STR("a: 1"), 3, &root, &err), -EMSGSIZE);
    assert_int_equal(yaml_parse(a, STR("a: 1"), 4, &root, &err), 0);
}

static void flattening_joins_names_and_lists(void **state)
{
    (void)state;
    struct kv *kv;
    size_t n;
    static const char *const want[][2] = {
        { "log.level", "info" },  { "log.file.name", "x" }, { "labels", "role=web,zone=a,b" },
        { "labels.role", "web" }, { "labels.zone", "a,b" }, { "allow", "root,adm" },
        { "port", "8120" }
    };
    assert_int_equal(parse(STR("log: {level: info, file: {name: x}}\nlabels: {role: web, zone: 'a,b'}\n"
                               "allow: [root, adm]\nport: 8120\nnothing: ~\nempty: {}\n")),
                     0);
    assert_int_equal(yaml_flatten(a, root, &kv, &n, &err), 0);
    size_t found = 0;
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        for (size_t k = 0; k < n; k++)
            found += str_is(kv[k].key, want[i][0]) && str_is(kv[k].value, want[i][1]);
    assert_int_equal(found, ARRAY_SIZE(want));
    assert_int_equal(n, ARRAY_SIZE(want) + 1); /* and "log.file" = "name=x" */
    assert_int_equal(parse(STR("a: [{b: 1}]\n")), 0);
    assert_int_equal(yaml_flatten(a, root, &kv, &n, &err), -EINVAL);
    assert_int_equal(parse(STR("a: ['b,c']\n")), 0);
    assert_int_equal(yaml_flatten(a, root, &kv, &n, &err), -EINVAL);
    assert_int_equal(parse(STR("- a\n")), 0);
    assert_int_equal(yaml_flatten(a, root, &kv, &n, &err), -EINVAL);
}

static void a_configuration_keeps_its_values_and_a_refusal_names_the_file(void **st)
{
    struct opts {
        char *level;
    } o;
    static const struct conf_row rows[] = { { "log-level", 0, CONF_STR, offsetof(struct opts, level) } };
    static const struct conf_table table = { .program = "p", .rows = rows, .n_rows = 1, .size = sizeof(o) };
    struct conf c;
    char text[] = "log: {level: debug}\n";

    (void)st;
    conf_init(&c, &table, &o);
    assert_int_equal(yaml_conf(&c, "/etc/p.yaml", str_of(text), &err), 0);
    memset(text, 'x', sizeof(text)); /* nothing of it is kept */
    assert_string_equal(o.level, "debug");
    assert_int_equal(yaml_conf(&c, "/etc/p.yaml", STR("a: [\n"), &err), -EINVAL);
    assert_non_null(strstr(err.text, "/etc/p.yaml"));
    assert_int_equal(yaml_conf(&c, "/etc/p.yaml", STR("unknown: 1\n"), &err), -EINVAL);
    assert_string_equal(err.slug, "config.unknown_key");
    assert_non_null(strstr(err.text, "/etc/p.yaml"));
    conf_done(&c);
}

#define t(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        t(maps_lists_and_scalars_become_the_tree), t(an_empty_document_is_an_empty_map),
        t(what_is_refused_says_why_and_where),     t(depth_nodes_and_bytes_are_exact),
        t(flattening_joins_names_and_lists),
        t(a_configuration_keeps_its_values_and_a_refusal_names_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
