/* codec/json_ascii.c - see json_ascii.h. */
#include "codec/json_ascii.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/text.h"

static int put_unit(struct buf *out, unsigned u)
{
    return buf_printf(out, "\\u%04x", u);
}

/* One character of valid UTF-8; its length. */
static size_t decode(const uint8_t *p, size_t n, uint32_t *ret)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

    *ret = len == 1 ? p[0] : p[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len && i < n; i++)
        *ret = *ret << 6 | (p[i] & 0x3f);
    return len <= n ? len : n;
}

static int put_char(struct buf *out, uint32_t c)
{
    static const char shorts[] = "\"\\\n\r\t\f\b", letters[] = "\"\\nrtfb";
    const char *s = c < 0x80 && c > 0 ? strchr(shorts, (int)c) : NULL;
    char two[2] = { '\\' };
    int r;

    if (s) {
        two[1] = letters[s - shorts];
        return buf_append(out, two, 2);
    }
    if (c >= ' ' && c <= '~')
        return buf_char(out, (char)c);
    if (c < 0x10000)
        return put_unit(out, c);
    r = put_unit(out, 0xd800 | (c - 0x10000) >> 10);
    return r < 0 ? r : put_unit(out, 0xdc00 | ((c - 0x10000) & 0x3ff));
}

int json_ascii_str(struct buf *out, struct str s)
{
    AUTO(buf_done) struct buf clean = BUF(s.len * 3 + 1);
    size_t plain = 0;
    int r = buf_char(out, '"');

    while (plain < s.len && s.ptr[plain] >= ' ' && s.ptr[plain] <= '~' && s.ptr[plain] != '"' && s.ptr[plain] != '\\')
        plain++;
    if (r == 0 && plain > 0)
        r = buf_append(out, s.ptr, plain);
    if (plain == s.len)
        return r < 0 ? r : buf_char(out, '"');
    s = str_sub(s, plain, SIZE_MAX);
    if (!utf8_is_valid(s)) {
        if (utf8_lossy(&clean, s) < 0)
            return -ENOBUFS;
        s = buf_as_str(&clean);
    }
    for (size_t i = 0; r == 0 && i < s.len;) {
        uint32_t c;

        i += decode((const uint8_t *)s.ptr + i, s.len - i, &c);
        r = put_char(out, c);
    }
    return r < 0 ? r : buf_char(out, '"');
}

static int by_key(const void *a, const void *b)
{
    const struct node *const *x = a, *const *y = b;

    return str_cmp((*x)->key, (*y)->key);
}

static int put_map(const struct node *n, struct buf *out)
{
    AUTO_FREE const struct node **v = xcalloc(n->n + 1, sizeof(*v));
    size_t i = 0;
    int r = buf_char(out, '{');

    for (const struct node *c = n->child; c; c = c->next)
        v[i++] = c;
    qsort(v, i, sizeof(*v), by_key);
    for (size_t k = 0; r == 0 && k < i; k++) {
        if (k > 0)
            r = buf_char(out, ',');
        if (r == 0)
            r = json_ascii_str(out, v[k]->key);
        if (r == 0)
            r = buf_char(out, ':');
        if (r == 0)
            r = json_ascii_canonical(v[k], out);
    }
    return r < 0 ? r : buf_char(out, '}');
}

static int put_list(const struct node *n, struct buf *out)
{
    int r = buf_char(out, '[');

    for (const struct node *c = n->child; r == 0 && c; c = c->next) {
        r = json_ascii_canonical(c, out);
        if (r == 0 && c->next)
            r = buf_char(out, ',');
    }
    return r < 0 ? r : buf_char(out, ']');
}

int json_ascii_canonical(const struct node *n, struct buf *out)
{
    switch (n->type) {
    case NODE_NULL:
        return buf_cstr(out, "null");
    case NODE_BOOL:
        return buf_cstr(out, n->b ? "true" : "false");
    case NODE_INT:
        return buf_printf(out, "%lld", (long long)n->i);
    case NODE_REAL:
        return node_write(n, out); /* no row has one; in policies nobody compares them */
    case NODE_STR:
        return json_ascii_str(out, n->s);
    case NODE_LIST:
        return put_list(n, out);
    case NODE_MAP:
        return put_map(n, out);
    }
    return -EINVAL;
}

static int new_line(struct buf *out, unsigned depth)
{
    int r = buf_char(out, '\n');

    for (unsigned i = 0; r == 0 && i < depth; i++)
        r = buf_cstr(out, "  ");
    return r;
}

/* The end of the string that begins at @at. */
static size_t string_end(struct str s, size_t at)
{
    for (size_t i = at + 1; i < s.len; i++) {
        if (s.ptr[i] == '\\')
            i++;
        else if (s.ptr[i] == '"')
            return i + 1;
    }
    return s.len;
}

int json_ascii_pretty(struct str s, struct buf *out)
{
    unsigned depth = 0;
    int r = 0;

    for (size_t i = 0; r == 0 && i < s.len; i++) {
        char c = s.ptr[i];
        size_t end;

        switch (c) {
        case '"':
            end = string_end(s, i);
            r = buf_append(out, s.ptr + i, end - i);
            i = end - 1;
            break;
        case '{':
        case '[':
            r = buf_char(out, c);
            if (i + 1 < s.len && (s.ptr[i + 1] == '}' || s.ptr[i + 1] == ']')) {
                r = r < 0 ? r : buf_char(out, s.ptr[++i]);
                break;
            }
            r = r < 0 ? r : new_line(out, ++depth);
            break;
        case '}':
        case ']':
            r = new_line(out, depth > 0 ? --depth : 0);
            r = r < 0 ? r : buf_char(out, c);
            break;
        case ',':
            r = buf_char(out, c);
            r = r < 0 ? r : new_line(out, depth);
            break;
        case ':':
            r = buf_cstr(out, ": ");
            break;
        default:
            r = buf_char(out, c);
        }
    }
    return r;
}
