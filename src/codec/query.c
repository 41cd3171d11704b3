/* codec/query.c - see query.h. A query becomes the same tree as JSON and goes through the same record walker.
 */
#include "codec/query.h"

#include <errno.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

/* Decodes %XX, and '+' as space if @is_form. The result is never longer. */
static int decode(struct arena *a, struct str s, bool is_form, struct str *ret)
{
    struct str copy = arena_str(a, s);
    if (!copy.ptr)
        return -ENOBUFS;
    char *p = (char *)(uintptr_t)copy.ptr; /* arena_str() made it for us */
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '+' && is_form) {
            c = ' ';
        } else if (c == '%') {
            uint8_t byte;
            if (hex_decode(str_sub(s, i + 1, 2), &byte, 1) < 0)
                return -EINVAL;
            c = (char)byte;
            i += 2;
        }
        if (c == '\0')
            return -EINVAL;
        p[n++] = c;
    }
    p[n] = '\0';
    *ret = str_bytes(p, n);
    return utf8_is_valid(*ret) ? 0 : -EINVAL;
}

int query_parse(struct arena *a, struct str query, struct kv_list *ret)
{
    struct kv_list q = { .v = arena_array(a, LIMIT_QUERY_PARAMS, sizeof(struct kv)) };
    struct str pair, key;
    if (!q.v)
        return -ENOBUFS;
    while (str_cut(&query, '&', &pair)) {
        if (pair.len == 0) /* "a=1&&b=2", and the empty query */
            continue;
        if (q.n == LIMIT_QUERY_PARAMS)
            return -E2BIG;
        (void)str_cut(&pair, '=', &key);
        struct kv *kv = &q.v[q.n++];
        int r = decode(a, key, true, &kv->key);
        if (r == 0)
            r = decode(a, pair.ptr ? pair : STR(""), true, &kv->value);
        if (r < 0)
            return r;
    }
    *ret = q;
    return 0;
}

struct str query_get(const struct kv_list *q, const char *key)
{
    for (size_t i = 0; i < q->n; i++)
        if (str_is(q->v[i].key, key))
            return q->v[i].value;
    return STR_NONE;
}

/* -- into records */

static struct node *add(struct arena *a, struct node *parent, struct str key, enum node_type type)
{
    struct node *n = arena_new0(a, struct node);
    if (!n)
        return NULL;
    n->type = type;
    n->is_bare = type == NODE_STR;
    n->key = key;
    struct node **at = &parent->child;
    while (*at) /* at most LIMIT_QUERY_PARAMS */
        at = &(*at)->next;
    *at = n;
    parent->n++;
    return n;
}

static struct node *member(const struct node *map, struct str key)
{
    for (struct node *n = map->child; n; n = n->next)
        if (str_eq(n->key, key))
            return n;
    return NULL;
}

/* The row @key belongs to; for "label.role" the FT_MAP row "label", and "role" in @*ret_rest. */
static const struct field *field_of(const struct record *rec, struct str key, struct str *ret_rest)
{
    struct str rest = key, head;
    (void)str_cut(&rest, '.', &head);
    for (size_t i = 0; i < rec->n_fields; i++) {
        const struct field *f = &rec->fields[i];
        if (str_is(key, f->name)) {
            *ret_rest = STR_NONE;
            return f;
        }
        if (f->type == FT_MAP && rest.len && str_is(head, f->name)) {
            *ret_rest = rest;
            return f;
        }
    }
    return NULL;
}

/* Puts one pair of a map field under its node. "k" without '=' has an empty value; a repeated key's last one
 * counts. */
static int add_map_pair(struct arena *a, struct node *map, struct str key, struct str value)
{
    if (!key.ptr) {
        (void)str_cut(&value, '=', &key);
        if (!value.ptr)
            value = STR("");
    }
    struct node *n = member(map, key);
    if (!n)
        n = add(a, map, key, NODE_STR);
    if (!n)
        return -ENOBUFS;
    n->s = value;
    return 0;
}

/* Every element of a repeated list parameter, commas split too. */
static int add_items(struct arena *a, struct node *list, struct str value)
{
    struct str part;
    while (value.len && str_cut(&value, ',', &part)) {
        struct node *n = add(a, list, STR_NONE, NODE_STR);
        if (!n)
            return -ENOBUFS;
        n->s = part;
    }
    return 0;
}

static int add_param(struct arena *a, struct node *root, const struct record *rec, const struct kv *kv,
                     bool *ret_again)
{
    struct str rest = STR_NONE;
    const struct field *f = field_of(rec, kv->key, &rest);
    enum node_type type = f && f->type == FT_MAP        ? NODE_MAP
                          : f && f->type == FT_STR_LIST ? NODE_LIST
                                                        : NODE_STR;
    struct str name = f ? str_of(f->name) : kv->key;
    struct node *n = member(root, name);
    *ret_again = n && type == NODE_STR;
    if (!n)
        n = add(a, root, name, type);
    if (!n)
        return -ENOBUFS;
    if (type == NODE_MAP)
        return add_map_pair(a, n, rest, kv->value);
    if (type == NODE_LIST)
        return add_items(a, n, kv->value);
    n->s = kv->value;
    return 0;
}

static int fail(struct record_errors *errs, struct str path, const char *slug, const char *text)
{
    *errs = (struct record_errors){ .n = 1, .n_total = 1 };
    (void)str_copy(str_sub(path, 0, sizeof(errs->v[0].path) - 1), errs->v[0].path, sizeof(errs->v[0].path));
    (void)str_copy(str_of(slug), errs->v[0].slug, sizeof(errs->v[0].slug));
    (void)str_copy(str_of(text), errs->v[0].text, sizeof(errs->v[0].text));
    return -EINVAL;
}

int query_decode(const struct record *rec, struct arena *a, const struct kv_list *q, void *obj,
                 struct record_errors *errs)
{
    struct node root = { .type = NODE_MAP };
    for (size_t i = 0; i < q->n; i++) {
        bool is_again;
        if (add_param(a, &root, rec, &q->v[i], &is_again) < 0)
            return fail(errs, q->v[i].key, "field.too_large", "the query does not fit");
        if (is_again)
            return fail(errs, q->v[i].key, "field.repeated", "is given twice");
    }
    return record_decode(rec, a, &root, obj, errs);
}

/* -- paths */

int path_segment_decode(struct arena *a, struct str seg, struct str *ret)
{
    struct str s;
    int r = decode(a, seg, false, &s);
    if (r < 0)
        return r;
    if (str_is(s, ".") || str_is(s, "..") || str_find_char(s, '/') >= 0)
        return -EINVAL;
    *ret = s;
    return 0;
}

int url_encode(struct buf *out, struct str s)
{
    size_t before = out->len;
    int r = 0;
    for (size_t i = 0; i < s.len && r == 0; i++) {
        char c = s.ptr[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                        c == '-' || c == '.' || c == '_' || c == '~';
        r = is_plain ? buf_char(out, c) : buf_printf(out, "%%%02X", (unsigned char)c);
    }
    if (r < 0)
        out->len = before;
    return r;
}
