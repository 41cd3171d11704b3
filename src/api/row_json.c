/* api/row_json.c - see row_json.h. A walk without a tree: literals, numbers, strings, nesting. It recurses
 * nowhere and allocates nothing. */
#include "api/row_json.h"

#include <string.h>

#include "base/limits.h"
#include "base/text.h"

enum { ROW_KEYS = 256, INT_DIGITS = 18, NUMBER_CHARS = 40, EXPONENT_DIGITS = 2 };
struct scan {
    const unsigned char *p, *end;
    struct str keys[ROW_KEYS]; /* of the objects open now, outermost first */
    size_t n_keys;
};

static void skip_space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

static bool take_char(struct scan *s, char c)
{
    if (s->p >= s->end || *s->p != (unsigned char)c)
        return false;
    s->p++;
    return true;
}

/* Four hex digits; -1 if they are not. */
static int take_hex4(struct scan *s)
{
    int v = 0;

    if (s->end - s->p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        unsigned char c = *s->p++;

        if (c >= '0' && c <= '9')
            v = v * 16 + (c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            v = v * 16 + ((c | 32) - 'a' + 10);
        else
            return -1;
    }
    return v;
}

/* Behind "\u". NUL is refused as our own parser does; surrogates come in pairs. */
static bool scan_unicode(struct scan *s)
{
    int v = take_hex4(s);

    if (v <= 0 || (v >= 0xdc00 && v <= 0xdfff))
        return false;
    if (v < 0xd800 || v > 0xdbff)
        return true;
    if (!take_char(s, '\\') || !take_char(s, 'u'))
        return false;
    v = take_hex4(s);
    return v >= 0xdc00 && v <= 0xdfff;
}

static bool scan_string(struct scan *s)
{
    if (!take_char(s, '"'))
        return false;
    while (s->p < s->end) {
        unsigned char c = *s->p++;

        if (c == '"')
            return true;
        if (c < 0x20)
            return false;
        if (c != '\\')
            continue;
        if (s->p >= s->end)
            return false;
        c = *s->p++;
        if (c == 'u' ? !scan_unicode(s) : !memchr("\"\\/bfnrt", c, 8))
            return false;
    }
    return false;
}

/* A key and its colon; @first: where the keys of this object begin in s->keys. The outermost has none called
 * "key": the REST surface puts the row's own there. */
static bool scan_key(struct scan *s, size_t first)
{
    struct str key = { (const char *)s->p + 1, 0 };

    if (!scan_string(s))
        return false;
    key.len = (size_t)((const char *)s->p - key.ptr) - 1;
    if (str_find_char(key, '\\') >= 0 || s->n_keys == ROW_KEYS || (first == 0 && str_is(key, "key")))
        return false;
    for (size_t i = first; i < s->n_keys; i++)
        if (str_eq(s->keys[i], key))
            return false;
    s->keys[s->n_keys++] = key;
    skip_space(s);
    if (!take_char(s, ':'))
        return false;
    skip_space(s);
    return true;
}

static size_t scan_digits(struct scan *s)
{
    const unsigned char *from = s->p;

    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
    return (size_t)(s->p - from);
}

static bool scan_number(struct scan *s)
{
    const unsigned char *from = s->p;
    bool is_int = true;
    size_t n = 1;

    (void)take_char(s, '-');
    if (!take_char(s, '0'))
        n = scan_digits(s);
    if (n == 0)
        return false;
    if (take_char(s, '.')) {
        is_int = false;
        if (scan_digits(s) == 0)
            return false;
    }
    if (take_char(s, 'e') || take_char(s, 'E')) {
        is_int = false;
        if (!take_char(s, '+'))
            (void)take_char(s, '-');
        size_t digits = scan_digits(s);
        if (digits == 0 || digits > EXPONENT_DIGITS)
            return false;
    }
    return s->p - from <= NUMBER_CHARS && (!is_int || n <= INT_DIGITS);
}

static bool scan_word(struct scan *s, const char *word, size_t n)
{
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
        return false;
    s->p += n;
    return true;
}

/* A value that does not nest. */
static bool scan_scalar(struct scan *s)
{
    if (s->p >= s->end)
        return false;
    switch (*s->p) {
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true", 4);
    case 'f':
        return scan_word(s, "false", 5);
    case 'n':
        return scan_word(s, "null", 4);
    default:
        return scan_number(s);
    }
}

bool row_json_is_valid(struct str text)
{
    struct scan s;                  /* large: what is used of it is set here */
    char open[LIMIT_JSON_DEPTH];    /* '{' or '[' per level */
    size_t first[LIMIT_JSON_DEPTH]; /* where its keys begin */
    size_t depth = 0;
    bool wants_value = true; /* else a comma or an end */

    s.p = (const unsigned char *)text.ptr;
    s.end = s.p + text.len;
    s.n_keys = 0;
    if (text.len == 0 || text.ptr[0] != '{' || text.ptr[text.len - 1] != '}' || !utf8_is_valid(text))
        return false; /* no white space around either: rows are shown by cutting the braces off */
    do {
        skip_space(&s);
        if (wants_value) {
            if (depth > 0 && open[depth - 1] == '{' && !scan_key(&s, first[depth - 1]))
                return false;
            if (s.p < s.end && (*s.p == '{' || *s.p == '[')) {
                char c = (char)*s.p++;

                if (depth == LIMIT_JSON_DEPTH)
                    return false;
                first[depth] = s.n_keys;
                open[depth++] = c;
                skip_space(&s);
                wants_value = !(s.p < s.end && *s.p == (c == '{' ? '}' : ']'));
                continue;
            }
            if (!scan_scalar(&s))
                return false;
            wants_value = false;
        } else if (take_char(&s, ',')) {
            wants_value = true;
        } else if (take_char(&s, open[depth - 1] == '{' ? '}' : ']')) {
            s.n_keys = first[--depth];
        } else {
            return false;
        }
    } while (depth > 0);
    return s.p == s.end;
}
