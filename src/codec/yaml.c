/* codec/yaml.c - see yaml.h. Events, not libyaml's document tree: aliases are refused as they come, and
 * nothing is held that our caps do not cover. */
#include "codec/yaml.h"

#include <assert.h>
#include <errno.h>
#include <yaml.h>

#include "base/conf.h"
#include "base/field.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

struct level {
    struct node *node, **tail;
    struct str key; /* of the next member; .ptr NULL: a key is due */
};
struct reader {
    struct arena *a;
    struct err *err;
    struct level levels[LIMIT_JSON_DEPTH];
    size_t depth, n_nodes;
    struct node *root;
};

static int refuse(struct reader *rd, int code, const char *slug, const yaml_mark_t *at, const char *text)
{
    return err_set(rd->err, code, slug, "%s (line %zu)", text, at->line + 1);
}

static int too_large(struct reader *rd, const yaml_mark_t *at)
{
    return refuse(rd, -ENOBUFS, "yaml.too_large", at, "the document has too many values");
}

static int by_key(const void *a, const void *b)
{
    return str_cmp((*(struct node *const *)a)->key, (*(struct node *const *)b)->key);
}

/* Sorting finds duplicates in n log n; comparing each with each would let 20,000 keys take a second. */
static int check_duplicates(struct reader *rd, const struct node *map)
{
    if (map->n < 2)
        return 0;
    AUTO_FREE const struct node **keys = xcalloc(map->n, sizeof(struct node *));
    size_t n = 0;
    for (const struct node *c = map->child; c; c = c->next)
        keys[n++] = c;
    qsort(keys, n, sizeof(struct node *), by_key);
    for (size_t i = 1; i < n; i++) {
        if (!str_eq(keys[i - 1]->key, keys[i]->key))
            continue;
        uint32_t line = keys[i - 1]->line > keys[i]->line ? keys[i - 1]->line : keys[i]->line;
        return err_set(rd->err, -EINVAL, "yaml.duplicate", "the key %.*s appears twice (line %u)",
                       (int)(keys[i]->key.len > 64 ? 64 : keys[i]->key.len), keys[i]->key.ptr, line);
    }
    return 0;
}

/* A new node where the innermost map or list, or the document, wants one. */
static int add_node(struct reader *rd, const yaml_event_t *e, struct node **ret)
{
    const yaml_mark_t *at = &e->start_mark;
    if (++rd->n_nodes > LIMIT_YAML_NODES)
        return too_large(rd, at);
    struct node *n = arena_new0(rd->a, struct node);
    if (!n)
        return too_large(rd, at);
    n->line = (uint32_t)at->line + 1;
    *ret = n;
    if (rd->depth == 0) {
        rd->root = n;
        return 0;
    }
    struct level *l = &rd->levels[rd->depth - 1];
    if (l->node->type == NODE_MAP) {
        if (!l->key.ptr)
            return refuse(rd, -EINVAL, "yaml.key", at, "a key must be a plain word or a string");
        n->key = l->key;
        l->key = STR_NONE;
    }
    *l->tail = n;
    l->tail = &n->next;
    l->node->n++;
    return 0;
}

static int open_level(struct reader *rd, const yaml_event_t *e, enum node_type type)
{
    struct node *n;
    if (rd->depth == LIMIT_JSON_DEPTH)
        return refuse(rd, -EINVAL, "yaml.depth", &e->start_mark, "the document nests too deep");
    int r = add_node(rd, e, &n);
    if (r < 0)
        return r;
    n->type = type;
    rd->levels[rd->depth++] = (struct level){ .node = n, .tail = &n->child };
    return 0;
}

static int close_level(struct reader *rd)
{
    const struct node *n = rd->levels[--rd->depth].node;
    return n->type == NODE_MAP ? check_duplicates(rd, n) : 0;
}

static bool is_null_word(struct str s)
{
    return s.len == 0 || str_is(s, "~") || str_is(s, "null") || str_is(s, "Null") || str_is(s, "NULL");
}

static int scalar(struct reader *rd, const yaml_event_t *e)
{
    struct str s = str_bytes(e->data.scalar.value, e->data.scalar.length);
    bool is_bare = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (str_has_nul(s) || !utf8_is_valid(s))
        return refuse(rd, -EINVAL, "yaml.utf8", &e->start_mark, "a value contains a NUL or is not UTF-8");
    struct str copy = arena_str(rd->a, s);
    if (!copy.ptr)
        return too_large(rd, &e->start_mark);
    struct level *l = rd->depth ? &rd->levels[rd->depth - 1] : NULL;
    if (l && l->node->type == NODE_MAP && !l->key.ptr) {
        if (is_bare && str_is(s, "<<"))
            return refuse(rd, -EINVAL, "yaml.merge", &e->start_mark, "merge keys are not supported");
        l->key = copy;
        return 0;
    }
    struct node *n;
    int r = add_node(rd, e, &n);
    if (r < 0)
        return r;
    n->is_bare = is_bare;
    if (is_bare && is_null_word(s)) {
        n->type = NODE_NULL;
        return 0;
    }
    n->type = NODE_STR;
    n->s = copy;
    return 0;
}

/* Anchors are refused together with aliases: without the one the other says nothing. */
static bool is_plain(const yaml_char_t *anchor, const yaml_char_t *tag)
{
    return !anchor && !tag;
}

/* One event. Returns 1 at the end of the stream, 0 to go on, -errno. */
static int take_event(struct reader *rd, const yaml_event_t *e)
{
    static const char exotic[] = "anchors and tags are not supported";
    switch (e->type) {
    case YAML_STREAM_END_EVENT:
        return 1;
    case YAML_DOCUMENT_START_EVENT:
        if (rd->root)
            return refuse(rd, -EINVAL, "yaml.documents", &e->start_mark, "there must be one document only");
        return 0;
    case YAML_ALIAS_EVENT:
        return refuse(rd, -EINVAL, "yaml.alias", &e->start_mark, "aliases are not supported");
    case YAML_SCALAR_EVENT:
        if (!is_plain(e->data.scalar.anchor, e->data.scalar.tag))
            return refuse(rd, -EINVAL, "yaml.tag", &e->start_mark, exotic);
        return scalar(rd, e);
    case YAML_SEQUENCE_START_EVENT:
        if (!is_plain(e->data.sequence_start.anchor, e->data.sequence_start.tag))
            return refuse(rd, -EINVAL, "yaml.tag", &e->start_mark, exotic);
        return open_level(rd, e, NODE_LIST);
    case YAML_MAPPING_START_EVENT:
        if (!is_plain(e->data.mapping_start.anchor, e->data.mapping_start.tag))
            return refuse(rd, -EINVAL, "yaml.tag", &e->start_mark, exotic);
        return open_level(rd, e, NODE_MAP);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_level(rd);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return 0;
    }
    return -EINVAL;
}

static int read_events(struct reader *rd, yaml_parser_t *p)
{
    for (;;) {
        yaml_event_t e;
        if (!yaml_parser_parse(p, &e)) {
            if (p->error == YAML_MEMORY_ERROR)
                abort();
            /* a reader's error (encoding) has no mark, only a byte offset */
            bool is_utf8 = p->error == YAML_READER_ERROR;
            return refuse(rd, -EINVAL, is_utf8 ? "yaml.utf8" : "yaml.syntax", &p->problem_mark,
                          p->problem ? p->problem : "this is not YAML");
        }
        int r = take_event(rd, &e);
        yaml_event_delete(&e);
        if (r)
            return r < 0 ? r : 0;
    }
}

int yaml_parse(struct arena *a, struct str text, size_t max_bytes, struct node **ret, struct err *err)
{
    if (max_bytes > LIMIT_YAML_BYTES)
        max_bytes = LIMIT_YAML_BYTES;
    if (text.len > max_bytes)
        return err_set(err, -EMSGSIZE, "yaml.too_large",
                       "the YAML text has %zu bytes, at most %zu are allowed", text.len, max_bytes);
    yaml_parser_t p;
    if (!yaml_parser_initialize(&p))
        abort();
    yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p, (const unsigned char *)(text.len ? text.ptr : ""), text.len);
    struct reader rd = { .a = a, .err = err };
    int r = read_events(&rd, &p);
    yaml_parser_delete(&p);
    if (r < 0)
        return r;
    if (!rd.root) {
        rd.root = arena_new0(a, struct node);
        if (!rd.root)
            return err_set(err, -ENOBUFS, "yaml.too_large", "there is no room for the document");
        rd.root->type = NODE_MAP;
    } else if (rd.root->type == NODE_NULL) {
        rd.root->type = NODE_MAP; /* "---" or only comments */
    }
    *ret = rd.root;
    return 0;
}

/* -- flattening */

struct flat {
    struct arena *a;
    struct err *err;
    struct kv *v;
    size_t n, max;
};

static int bad(struct flat *f, const struct node *n, const char *what)
{
    err_set(f->err, -EINVAL, "config.bad_value", "%s (line %u)", what, n->line);
    char path[ERR_PATH_MAX];
    (void)str_copy(str_sub(n->key, 0, sizeof(path) - 1), path, sizeof(path));
    err_path(f->err, path);
    return -EINVAL;
}

static bool is_scalar(const struct node *n)
{
    return n->type != NODE_LIST && n->type != NODE_MAP;
}

/* A scalar as text. Numbers and booleans only come from JSON; YAML's are bare strings. */
static struct str text_of(struct arena *a, const struct node *n)
{
    switch (n->type) {
    case NODE_STR:
        return n->s;
    case NODE_BOOL:
        return n->b ? STR("true") : STR("false");
    case NODE_INT:
        return arena_printf(a, "%lld", (long long)n->i);
    case NODE_REAL:
        return arena_printf(a, "%.17g", n->r);
    case NODE_NULL:
    case NODE_LIST:
    case NODE_MAP:
        break;
    }
    return STR("");
}

static int add_pair(struct flat *f, struct str key, struct str value)
{
    if (f->n == f->max || !key.ptr || !value.ptr)
        return err_set(f->err, -ENOBUFS, "yaml.too_large", "there is no room for the values");
    f->v[f->n++] = (struct kv){ key, value };
    return 0;
}

/* A list's items, or a map's "k=v", joined by commas. */
static int add_joined(struct flat *f, const struct node *n, struct str key)
{
    AUTO(buf_done) struct buf b = BUF(arena_left(f->a));
    for (const struct node *c = n->child; c; c = c->next) {
        if (!is_scalar(c))
            return bad(f, n, "a list here must hold plain values");
        struct str text = text_of(f->a, c);
        if (n->type == NODE_LIST && str_find_char(text, ',') >= 0)
            return bad(f, n, "a value in a list must not contain a comma");
        int r = c == n->child ? 0 : buf_char(&b, ',');
        if (r == 0 && n->type == NODE_MAP)
            r = buf_printf(&b, "%.*s=", STR_FMT(c->key));
        if (r == 0)
            r = buf_str(&b, text);
        if (r < 0)
            return err_set(f->err, r, "yaml.too_large", "there is no room for the values");
    }
    return add_pair(f, key, arena_str(f->a, buf_as_str(&b)));
}

static int flatten(struct flat *f, const struct node *map, struct str prefix)
{
    for (const struct node *c = map->child; c; c = c->next) {
        struct str key = c->key;
        int r = 0;
        if (prefix.len)
            key = arena_printf(f->a, "%.*s.%.*s", STR_FMT(prefix), STR_FMT(c->key));
        if (c->type == NODE_MAP) {
            bool is_flat = c->n > 0;
            for (const struct node *g = c->child; g; g = g->next)
                is_flat = is_flat && is_scalar(g);
            r = is_flat ? add_joined(f, c, key) : 0;
            if (r == 0)
                r = flatten(f, c, key);
        } else if (c->type == NODE_LIST) {
            r = add_joined(f, c, key);
        } else if (c->type != NODE_NULL) { /* "key:" with nothing behind it is as good as no key */
            r = add_pair(f, key, text_of(f->a, c));
        }
        if (r < 0)
            return r;
    }
    return 0;
}

static size_t count(const struct node *n)
{
    size_t total = 1;
    for (const struct node *c = n->child; c; c = c->next)
        total += count(c);
    return total;
}

int yaml_flatten(struct arena *a, const struct node *map, struct kv **ret, size_t *ret_n, struct err *err)
{
    if (map->type != NODE_MAP)
        return err_set(err, -EINVAL, "config.bad_value", "the file must be a mapping of names to values");
    struct flat f = { .a = a, .err = err, .max = count(map) };
    f.v = arena_array(a, f.max, sizeof(*f.v));
    if (!f.v)
        return err_set(err, -ENOBUFS, "yaml.too_large", "there is no room for the values");
    int r = flatten(&f, map, STR_NONE);
    if (r < 0)
        return r;
    *ret = f.v;
    *ret_n = f.n;
    return 0;
}

int yaml_conf(struct conf *c, const char *path, struct str text, struct err *err)
{
    AUTO(arena_free) struct arena *a = arena_new(16 * LIMIT_YAML_BYTES);
    struct node *root = NULL;
    struct kv *kvs = NULL;
    size_t n = 0;
    int r = yaml_parse(a, text, LIMIT_YAML_BYTES, &root, err);

    if (r == 0)
        r = yaml_flatten(a, root, &kvs, &n, err);
    if (r < 0) {
        err_prefix(err, "%s", path);
        return r;
    }
    return conf_file(c, path, kvs, n, err);
}
