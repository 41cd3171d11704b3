/* api/row_json.c - see row_json.h. codec/json_scan.h checks the form; what is stricter here is looked at in one more walk, without a
 * tree. */
#include "api/row_json.h"

#include <string.h>

#include "base/text.h"
#include "codec/json_scan.h"

enum { ROW_KEYS = 256, INT_DIGITS = 18, NUMBER_CHARS = 40, EXPONENT_DIGITS = 2 };
struct open_keys {
    struct str v[ROW_KEYS]; /* of the objects open now, outermost first */
    size_t n;
};

/* Four hex digits at @at of @raw, as the form check has seen them. */
static unsigned hex4(struct str raw, size_t at)
{
    uint8_t b[2] = { 0 };

    (void)hex_decode(str_sub(raw, at, 4), b, sizeof(b));
    return (unsigned)b[0] << 8 | b[1];
}

/* NUL is refused as our own parser does; surrogates come in pairs. */
static bool string_is_valid(struct str raw)
{
    for (size_t i = 1; i + 1 < raw.len; i++) {
        if (raw.ptr[i] != '\\' || raw.ptr[++i] != 'u')
            continue;
        unsigned v = hex4(raw, i + 1);

        i += 4;
        if (v == 0 || (v >= 0xdc00 && v <= 0xdfff))
            return false;
        if (v < 0xd800 || v > 0xdbff)
            continue;
        if (!str_starts(str_sub(raw, i + 1, raw.len), STR("\\u")))
            return false;
        v = hex4(raw, i + 3);
        i += 6;
        if (v < 0xdc00 || v > 0xdfff)
            return false;
    }
    return true;
}

/* What fits an int64 or a double whoever reads it. */
static bool number_is_valid(const struct json_item *m)
{
    size_t digits = 0, exponent = 0;
    bool is_exponent = false;

    for (size_t i = 0; i < m->raw.len; i++) {
        bool is_digit = m->raw.ptr[i] >= '0' && m->raw.ptr[i] <= '9';

        is_exponent = is_exponent || (m->raw.ptr[i] | 32) == 'e';
        digits += is_digit;
        exponent += is_digit && is_exponent;
    }
    return m->raw.len <= NUMBER_CHARS && exponent <= EXPONENT_DIGITS && (m->kind != JSON_INT || digits <= INT_DIGITS);
}

/* @first: where the keys of this object begin. The outermost has none called "key". */
static bool key_is_valid(struct open_keys *keys, size_t first, struct str key)
{
    if (str_find_char(key, '\\') >= 0 || keys->n == ROW_KEYS || (first == 0 && str_is(key, "key")))
        return false;
    for (size_t i = first; i < keys->n; i++)
        if (str_eq(keys->v[i], key))
            return false;
    keys->v[keys->n++] = key;
    return true;
}

/* No deeper than LIMIT_JSON_DEPTH: the form check has seen to it. */
static bool walk(struct json_scan s, struct open_keys *keys)
{
    size_t first = keys->n;

    for (struct json_item m; json_scan_next(&s, &m);) {
        if (s.is_map && !key_is_valid(keys, first, m.key))
            return false;
        switch (m.kind) {
        case JSON_STR:
            if (!string_is_valid(m.raw))
                return false;
            break;
        case JSON_INT:
        case JSON_REAL:
            if (!number_is_valid(&m))
                return false;
            break;
        case JSON_MAP:
        case JSON_LIST:
            if (!walk(json_scan_into(&m), keys))
                return false;
            break;
        case JSON_NULL:
        case JSON_BOOL:
            break;
        case JSON_BAD:
            return false;
        }
    }
    keys->n = first;
    return true;
}

bool row_json_is_valid(struct str text)
{
    struct open_keys keys; /* large: what is used of it is set */
    struct json_scan s;

    /* No white space around either: rows are shown by cutting the braces off. */
    if (text.len == 0 || text.ptr[0] != '{' || text.ptr[text.len - 1] != '}' || json_scan_open(text, &s) != JSON_MAP)
        return false;
    keys.n = 0;
    return walk(s, &keys);
}
