/* codec/json.c - see json.h. The writer is in json_write.c.
 *
 * jansson reads into its own heap; what it would take is estimated before it starts (a scan that counts
 * brackets and commas), so that a peer's document costs no more than the arena it was given. */
#include "codec/json.h"

#include <errno.h>
#include <jansson.h>

#include "base/limits.h"
#include "base/text.h"

static int refuse(struct err *err, int code, const char *slug, const char *text)
{
    return err_set(err, code, slug, "%s", text);
}

/* Counts values (an upper bound) and the deepest nesting; strings are skipped, syntax is jansson's to judge.
 */
static void measure(struct str text, size_t *ret_values, size_t *ret_depth)
{
    size_t values = 1, depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
            continue;
        }
        if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            values++;
            if (++depth > deepest)
                deepest = depth;
        } else if (c == ']' || c == '}') {
            depth -= depth > 0;
        } else if (c == ',') {
            values++;
        }
    }
    *ret_values = values;
    *ret_depth = deepest;
}

static int convert(struct arena *a, json_t *j, struct node *n);

static struct node *add_child(struct arena *a, struct node *parent, struct node ***tail)
{
    struct node *n = arena_new0(a, struct node);
    if (!n)
        return NULL;
    **tail = n;
    *tail = &n->next;
    parent->n++;
    return n;
}

static int convert_str(struct arena *a, struct str s, struct str *ret)
{
    *ret = arena_str(a, s);
    return ret->ptr ? 0 : -ENOBUFS;
}

static int convert_children(struct arena *a, json_t *j, struct node *n)
{
    struct node **tail = &n->child;
    const char *key;
    json_t *value;
    if (json_is_array(j)) {
        for (size_t i = 0; i < json_array_size(j); i++) {
            struct node *child = add_child(a, n, &tail);
            if (!child || convert(a, json_array_get(j, i), child) < 0)
                return -ENOBUFS;
        }
        return 0;
    }
    json_object_foreach(j, key, value) /* in the order of the text */
    {
        struct node *child = add_child(a, n, &tail);
        if (!child || convert_str(a, str_of(key), &child->key) < 0 || convert(a, value, child) < 0)
            return -ENOBUFS;
    }
    return 0;
}

/* Recursion is bounded: measure() has refused anything deeper than LIMIT_JSON_DEPTH. */
static int convert(struct arena *a, json_t *j, struct node *n)
{
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        n->type = NODE_MAP;
        return convert_children(a, j, n);
    case JSON_ARRAY:
        n->type = NODE_LIST;
        return convert_children(a, j, n);
    case JSON_STRING:
        n->type = NODE_STR;
        return convert_str(a, str_bytes(json_string_value(j), json_string_length(j)), &n->s);
    case JSON_INTEGER:
        n->type = NODE_INT;
        n->i = json_integer_value(j);
        return 0;
    case JSON_REAL:
        n->type = NODE_REAL;
        n->r = json_real_value(j);
        return 0;
    case JSON_TRUE:
    case JSON_FALSE:
        n->type = NODE_BOOL;
        n->b = json_is_true(j);
        return 0;
    case JSON_NULL:
        n->type = NODE_NULL;
        return 0;
    }
    return -EINVAL;
}

static int syntax_error(struct err *err, const json_error_t *e)
{
    /* jansson's texts quote the input after "near": not repeated, it may hold a secret */
    struct str what = str_of(e->text);
    ptrdiff_t near = str_find(what, STR(" near "));
    if (near >= 0)
        what.len = (size_t)near;
    switch (json_error_code(e)) {
    case json_error_duplicate_key:
        return err_set(err, -EINVAL, "json.duplicate", "a key appears twice (line %d)", e->line);
    case json_error_invalid_utf8:
        return err_set(err, -EINVAL, "json.utf8", "the text is not valid UTF-8 (line %d)", e->line);
    case json_error_numeric_overflow:
        return err_set(err, -EINVAL, "json.number", "a number is too large (line %d)", e->line);
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return err_set(err, -EINVAL, "json.utf8", "a string contains a NUL (line %d)", e->line);
    default:
        return err_set(err, -EINVAL, "json.syntax", "%.*s (line %d, column %d)", STR_FMT(what), e->line,
                       e->column);
    }
}

int json_parse(struct arena *a, struct str text, size_t max_bytes, struct node **ret, struct err *err)
{
    size_t values, depth;
    if (text.len > max_bytes)
        return err_set(err, -EMSGSIZE, "json.too_large",
                       "the JSON text has %zu bytes, at most %zu are allowed", text.len, max_bytes);
    if (!utf8_is_valid(text))
        return refuse(err, -EINVAL, "json.utf8", "the text is not valid UTF-8");
    measure(text, &values, &depth);
    if (depth > LIMIT_JSON_DEPTH)
        return err_set(err, -EINVAL, "json.depth", "the JSON text nests %zu deep, at most %d are allowed",
                       depth, LIMIT_JSON_DEPTH);
    if (values > arena_left(a) / sizeof(struct node))
        return refuse(err, -ENOBUFS, "json.too_large", "the JSON text has too many values");
    json_error_t e;
    json_t *j = json_loadb(text.len ? text.ptr : "", text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (!j)
        return syntax_error(err, &e);
    struct node *root = arena_new0(a, struct node);
    int r = root ? convert(a, j, root) : -ENOBUFS;
    json_decref(j);
    if (r < 0)
        return refuse(err, r, "json.too_large", "the JSON text has too many values");
    *ret = root;
    return 0;
}

const struct node *node_get(const struct node *map, const char *key)
{
    if (!map || map->type != NODE_MAP)
        return NULL;
    for (const struct node *n = map->child; n; n = n->next)
        if (str_is(n->key, key))
            return n;
    return NULL;
}
