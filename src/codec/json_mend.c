/* codec/json_mend.c - see json_mend.h. Nothing here decides what is JSON: json_parse() still reads every text that comes out. */
#include "codec/json_mend.h"

#include <errno.h>

#include "base/mem.h"
#include "base/text.h"

/* -- mending */
static const struct str no_numbers[] = { { "NaN", 3 }, { "Infinity", 8 }, { "-Infinity", 9 } };
enum { SURROGATE_LEN = 6 }; /* \uD800 */

/* Is there an escaped half of a pair at @i? */
static bool half_at(struct str s, size_t i, uint64_t *ret)
{
    return i <= s.len && s.len - i >= SURROGATE_LEN && s.ptr[i] == '\\' && s.ptr[i + 1] == 'u' &&
           str_to_hex_u64(str_sub(s, i + 2, 4), ret) == 0 && *ret >= 0xd800 && *ret <= 0xdfff;
}

/* How much of @s at @i stands for one escape of a string; @ret_is_lone: it is to be replaced. */
static size_t escape_at(struct str s, size_t i, bool *ret_is_lone)
{
    uint64_t half, low;

    *ret_is_lone = false;
    if (!half_at(s, i, &half))
        return s.len - i < 2 ? 1 : 2;
    if (half < 0xdc00 && half_at(s, i + SURROGATE_LEN, &low) && low >= 0xdc00)
        return 2 * (size_t)SURROGATE_LEN;
    *ret_is_lone = true;
    return SURROGATE_LEN;
}

static size_t no_number_at(struct str s, size_t i)
{
    for (size_t k = 0; k < ARRAY_SIZE(no_numbers); k++)
        if (str_starts(str_sub(s, i, no_numbers[k].len), no_numbers[k]))
            return no_numbers[k].len;
    return 0;
}

static size_t put(char *dst, size_t at, const char *src, size_t n)
{
    memcpy(dst + at, src, n);
    return at + n;
}

/* @dst holds what can come of @s. A word in a wrong place, as in NaNs or {NaN: 1}, is as wrong as null there. */
static size_t mend_into(char *dst, struct str s, bool has_no_numbers)
{
    bool in_string = false, is_lone;
    size_t at = 0;

    for (size_t i = 0, n; i < s.len; i += n) {
        n = 1;
        is_lone = false;
        if (in_string && s.ptr[i] == '\\') {
            n = escape_at(s, i, &is_lone);
            at = is_lone ? put(dst, at, "\\ufffd", SURROGATE_LEN) : put(dst, at, s.ptr + i, n);
            continue;
        }
        in_string ^= s.ptr[i] == '"';
        size_t word = !in_string && has_no_numbers ? no_number_at(s, i) : 0;
        n = word ? word : 1;
        at = word ? put(dst, at, "null", 4) : put(dst, at, s.ptr + i, 1);
    }
    return at;
}

static size_t n_found(struct str s, struct str what)
{
    size_t n = 0;

    for (ptrdiff_t at; (at = str_find(s, what)) >= 0; n++)
        s = str_sub(s, (size_t)at + what.len, SIZE_MAX);
    return n;
}

static int mend(struct arena *a, struct str text, bool has_no_numbers, struct str *ret)
{
    size_t n_longer = has_no_numbers ? n_found(text, no_numbers[0]) : 0; /* null has a letter more than NaN */
    bool is_odd = n_longer > 0 || str_find(text, STR("\\ud")) >= 0 || str_find(text, STR("\\uD")) >= 0 ||
                  (has_no_numbers && str_find(text, no_numbers[1]) >= 0);
    char *dst = is_odd ? arena_alloc(a, text.len + n_longer) : NULL;

    if (is_odd && !dst)
        return -ENOBUFS;
    *ret = is_odd ? (struct str){ dst, mend_into(dst, text, has_no_numbers) } : text;
    return 0;
}

int json_mend_text(struct arena *a, struct str text, struct str *ret)
{
    return mend(a, text, false, ret);
}

int json_mend_python(struct arena *a, struct str text, struct str *ret)
{
    return mend(a, text, true, ret);
}

int json_parse_python(struct arena *a, struct str text, size_t max_bytes, struct node **ret, struct err *err)
{
    if (text.len > max_bytes)
        return json_parse(a, text, max_bytes, ret, err); /* refused */
    if (json_mend_python(a, text, &text) < 0)
        return err_set(err, -ENOBUFS, "json.too_large", "the JSON text is too large");
    return json_parse(a, text, text.len, ret, err);
}

/* -- rows: where values end, whatever is in them. Each returns the place behind what it steps over, or NULL. */
static const char *skip_blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

static const char *over_string(const char *p, const char *end)
{
    for (p++; p < end; p++) {
        if (*p == '"')
            return p + 1;
        if (*p == '\\')
            p++;
    }
    return NULL;
}

/* Up to the comma or the bracket that ends it; depth is a count, so that a peer cannot make us recurse. */
static const char *over_value(const char *p, const char *end)
{
    size_t depth = 0;

    while (p && p < end) {
        if (*p == '"') {
            p = over_string(p, end);
            continue;
        }
        if (depth == 0 && (*p == ',' || *p == ']' || *p == '}'))
            return p;
        depth += *p == '[' || *p == '{';
        depth -= *p == ']' || *p == '}';
        p++;
    }
    return NULL;
}

static struct str between(const char *p, const char *end)
{
    while (end > p && (end[-1] == ' ' || end[-1] == '\n' || end[-1] == '\r' || end[-1] == '\t'))
        end--;
    return (struct str){ p, (size_t)(end - p) };
}

/* @p: the member's first byte. */
static const char *over_member(const char *p, const char *end, struct str *ret_key, struct str *ret_value)
{
    const char *close = p < end && *p == '"' ? over_string(p, end) : NULL;

    if (!close)
        return NULL;
    *ret_key = (struct str){ p + 1, (size_t)(close - p) - 2 };
    p = skip_blank(close, end);
    if (p >= end || *p != ':')
        return NULL;
    p = skip_blank(p + 1, end);
    close = over_value(p, end);
    if (close)
        *ret_value = between(p, close);
    return close;
}

/* The list under @key, brackets included; the first of several, for json_parse() then finds the second. */
static struct str find_list(struct str text, const char *key)
{
    const char *end = text.ptr + text.len, *p = skip_blank(text.ptr, end);
    struct str name, value;

    if (p >= end || *p != '{')
        return STR_NONE;
    do {
        p = over_member(skip_blank(p + 1, end), end, &name, &value);
        if (p && str_is(name, key))
            return value.len >= 2 && value.ptr[0] == '[' && value.ptr[value.len - 1] == ']' ? value : STR_NONE;
    } while (p && *p == ',');
    return STR_NONE;
}

bool json_rows_next(struct json_rows *r, struct str *ret)
{
    const char *p = skip_blank(r->p, r->end), *close = over_value(p, r->end);

    if (!close || *close == '}')
        return false;
    *ret = between(p, close);
    r->p = *close == ',' ? close + 1 : r->end;
    return true;
}

/* Are the rows such that the list would be good JSON if they were? */
static bool count_rows(struct str list, struct json_rows *r)
{
    struct str row;

    *r = (struct json_rows){ .p = list.ptr + 1, .end = list.ptr + list.len };
    if (skip_blank(r->p, r->end) == r->end - 1) {
        r->p = r->end; /* [] */
        return true;
    }
    for (; r->p < r->end; r->n++)
        if (!json_rows_next(r, &row) || row.len == 0)
            return false;
    r->p = list.ptr + 1;
    return true;
}

int json_split(struct arena *a, struct str text, size_t max_bytes, const char *key, struct json_rows *ret, struct err *err)
{
    struct str list, shell = text;
    struct json_rows rows = { 0 };
    bool is_split;
    char *dst;
    int r;

    if (text.len > max_bytes)
        return json_parse(a, text, max_bytes, &rows.root, err); /* refused */
    list = find_list(text, key);
    is_split = list.ptr && count_rows(list, &rows);
    if (is_split) {
        size_t before = (size_t)(list.ptr - text.ptr) + 1, after = text.len - before - list.len + 2;

        dst = arena_alloc(a, before + after);
        if (!dst)
            return err_set(err, -ENOBUFS, "json.too_large", "the JSON text is too large");
        shell = (struct str){ dst, put(dst, put(dst, 0, text.ptr, before), list.ptr + list.len - 1, after) };
    } else {
        rows = (struct json_rows){ 0 };
    }
    r = json_parse_python(a, shell, max_bytes, &rows.root, err);
    if (r < 0)
        return r;
    *ret = rows;
    return is_split ? JSON_SPLIT : JSON_NO_LIST;
}

bool json_is_mended(struct str s)
{
    return str_find(s, STR("\xef\xbf\xbd")) >= 0;
}

static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == '\\' || s.ptr[i] == '"' || s.ptr[i] == 0x7f)
            return false;
    return utf8_is_valid(s);
}

struct str json_row_text(struct str row, const char *key)
{
    const char *end = row.ptr + row.len, *p = row.ptr;
    struct str found = STR_NONE, name, value;
    size_t n = 0;

    if (row.len < 2 || *p != '{')
        return STR_NONE;
    do {
        p = over_member(skip_blank(p + 1, end), end, &name, &value);
        if (!p || !str_is(name, key))
            continue;
        n++;
        found = value;
    } while (p && *p == ',');
    if (!p || p != end - 1 || *p != '}' || n != 1 || found.len < 2 || found.ptr[0] != '"' || found.ptr[found.len - 1] != '"')
        return STR_NONE;
    found = str_sub(found, 1, found.len - 2);
    return is_plain(found) ? found : STR_NONE;
}
