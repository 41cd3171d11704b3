/* codec/json_scan.c - see json_scan.h. RFC 8259. After json_scan_open() the text is known to be well formed: the walks only look for
 * where values end. */
#include "codec/json_scan.h"

#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

static const char *skip_blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

/* -- the check: each returns the place behind what it read, or NULL */
static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* What stands for itself in a string. */
static const bool is_itself[256] = { [0x20 ... 0x21] = true, [0x23 ... 0x5b] = true, [0x5d ... 0xff] = true };

static const char *check_string(const char *p, const char *end)
{
    for (p++; p < end; p++) {
        if (is_itself[(uint8_t)*p])
            continue;
        if (*p == '"')
            return p + 1;
        if (*p != '\\' || ++p >= end)
            return NULL;
        if (*p == 'u') {
            if (end - p < 5 || !is_hex(p[1]) || !is_hex(p[2]) || !is_hex(p[3]) || !is_hex(p[4]))
                return NULL;
            p += 4;
        } else if (!memchr("\"\\/bfnrt", *p, 8)) {
            return NULL;
        }
    }
    return NULL;
}

static const char *digits(const char *p, const char *end)
{
    const char *from = p;

    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p > from ? p : NULL;
}

static const char *check_number(const char *p, const char *end)
{
    if (*p == '-')
        p++;
    if (p < end && *p == '0')
        p++;
    else
        p = digits(p, end);
    if (p && p < end && *p == '.')
        p = digits(p + 1, end);
    if (p && p < end && (*p | 0x20) == 'e') {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        p = digits(p, end);
    }
    return p;
}

static const char *check_word(const char *p, const char *end, struct str word)
{
    return (size_t)(end - p) >= word.len && memcmp(p, word.ptr, word.len) == 0 ? p + word.len : NULL;
}

/* -- spans: of what is this near to the root; deeper things are small */
enum { SPAN_DEPTH = 4 };

void json_spans_done(struct json_spans *s)
{
    free(s->v);
    *s = (struct json_spans){ 0 };
}

static uint32_t span_open(struct json_spans *s)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->v = xreallocarray(s->v, s->cap, sizeof(*s->v));
    }
    return s->n++;
}

static void span_close(struct json_spans *s, uint32_t at, size_t len)
{
    s->v[at] = (struct json_span){ (uint32_t)len, s->n - at - 1 };
}

static const char *check_value(const char *p, const char *end, unsigned depth, struct json_spans *spans);

static const char *check_inside(const char *p, const char *end, char close, unsigned depth, struct json_spans *spans)
{
    p = skip_blank(p + 1, end);
    if (p < end && *p == close)
        return p + 1;
    while (p < end) {
        if (close == '}') {
            p = *p == '"' ? check_string(p, end) : NULL;
            p = p ? skip_blank(p, end) : NULL;
            if (!p || p >= end || *p != ':')
                return NULL;
            p = skip_blank(p + 1, end);
        }
        p = check_value(p, end, depth + 1, spans);
        p = p ? skip_blank(p, end) : NULL;
        if (!p || p >= end)
            return NULL;
        if (*p == close)
            return p + 1;
        if (*p != ',')
            return NULL;
        p = skip_blank(p + 1, end);
    }
    return NULL;
}

static const char *check_many(const char *from, const char *end, unsigned depth, struct json_spans *spans)
{
    char close = *from == '{' ? '}' : ']';
    const char *p;

    if (depth >= LIMIT_JSON_DEPTH)
        return NULL;
    if (!spans || depth >= SPAN_DEPTH)
        return check_inside(from, end, close, depth, NULL);
    uint32_t at = span_open(spans);
    p = check_inside(from, end, close, depth, spans);
    if (p)
        span_close(spans, at, (size_t)(p - from));
    return p;
}

static const char *check_value(const char *p, const char *end, unsigned depth, struct json_spans *spans)
{
    if (p >= end)
        return NULL;
    switch (*p) {
    case '{':
    case '[':
        return check_many(p, end, depth, spans);
    case '"':
        return check_string(p, end);
    case 't':
        return check_word(p, end, STR("true"));
    case 'f':
        return check_word(p, end, STR("false"));
    case 'n':
        return check_word(p, end, STR("null"));
    default:
        return *p == '-' || (*p >= '0' && *p <= '9') ? check_number(p, end) : NULL;
    }
}

/* -- the walk */
/* Quotes are rare and escaped ones rarer: look for one, then at what stands before it. Most strings are shorter than what calling a
 * function costs. */
enum { STRING_USUAL = 24 };
static const char *end_of_string(const char *p, const char *end)
{
    const char *from = ++p, *usual = end - p > STRING_USUAL ? p + STRING_USUAL : end;

    while (p < usual && *p != '"' && *p != '\\')
        p++;
    if (p < usual && *p == '"')
        return p + 1;
    while ((p = memchr(p, '"', (size_t)(end - p)))) {
        size_t n = 0;

        while (p - n > from && p[-1 - (ptrdiff_t)n] == '\\')
            n++;
        p++;
        if (n % 2 == 0)
            return p;
    }
    return end;
}

/* What matters inside of brackets: quotes open a string, brackets count. */
static const uint8_t bracket_class[256] = { ['"'] = 1, ['{'] = 2, ['['] = 2, ['}'] = 3, [']'] = 3 };

static const char *end_of_many(const char *p, const char *end)
{
    unsigned depth = 0;

    while (p < end) {
        switch (bracket_class[(uint8_t)*p]) {
        case 0:
            p++;
            continue;
        case 1:
            p = end_of_string(p, end);
            continue;
        case 2:
            depth++;
            break;
        default:
            depth--;
            break;
        }
        p++;
        if (depth == 0)
            return p;
    }
    return end;
}

static const char *end_of_value(const char *p, const char *end)
{
    if (*p == '"')
        return end_of_string(p, end);
    while (p < end && *p != ',' && *p != '}' && *p != ']' && (uint8_t)*p > ' ')
        p++;
    return p;
}

static enum json_kind kind_of(struct str raw)
{
    switch (raw.ptr[0]) {
    case '{':
        return JSON_MAP;
    case '[':
        return JSON_LIST;
    case '"':
        return JSON_STR;
    case 't':
    case 'f':
        return JSON_BOOL;
    case 'n':
        return JSON_NULL;
    default:
        for (size_t i = 0; i < raw.len; i++)
            if (raw.ptr[i] == '.' || (raw.ptr[i] | 0x20) == 'e')
                return JSON_REAL;
        return JSON_INT;
    }
}

static struct json_scan walk(struct str raw)
{
    /* without its brackets: the end of the range is the end of the walk */
    return (struct json_scan){ .p = raw.ptr + 1, .end = raw.ptr + raw.len - 1, .is_map = raw.ptr[0] == '{' };
}

enum json_kind json_scan_open_large(struct str text, struct json_spans *spans, struct json_scan *ret)
{
    const char *p = text.ptr, *end = p + text.len, *after;

    *ret = (struct json_scan){ 0 };
    if (text.len == 0 || text.len > UINT32_MAX || !utf8_is_valid(text))
        return JSON_BAD;
    p = skip_blank(p, end);
    after = check_value(p, end, 0, spans);
    if (!after || skip_blank(after, end) != end)
        return JSON_BAD;
    struct str raw = { p, (size_t)(after - p) };
    enum json_kind kind = kind_of(raw);
    if (kind == JSON_MAP || kind == JSON_LIST) {
        *ret = walk(raw);
        ret->depth = 1;
        ret->next = spans ? spans->v + 1 : NULL;
    }
    return kind;
}

enum json_kind json_scan_open(struct str text, struct json_scan *ret)
{
    return json_scan_open_large(text, NULL, ret);
}

/* Over a list or map at @p; what is inside of it is left to be walked by @ret. */
static const char *step_over(struct json_scan *s, const char *p, struct json_item *ret)
{
    const struct json_span *span = s->next;

    if (!span || s->depth >= SPAN_DEPTH)
        return end_of_many(p, s->end);
    ret->inside = span + 1;
    s->next = span + 1 + span->inside;
    return p + span->len;
}

bool json_scan_next(struct json_scan *s, struct json_item *ret)
{
    const char *p = skip_blank(s->p, s->end);

    if (p >= s->end)
        return false;
    if (*p == ',')
        p = skip_blank(p + 1, s->end);
    *ret = (struct json_item){ .index = s->n++, .depth = s->depth };
    if (s->is_map) {
        const char *close = end_of_string(p, s->end);

        ret->key = (struct str){ p + 1, (size_t)(close - p) - 2 };
        p = skip_blank(close, s->end) + 1; /* the colon */
        p = skip_blank(p, s->end);
    }
    s->p = *p == '{' || *p == '[' ? step_over(s, p, ret) : end_of_value(p, s->end);
    ret->raw = (struct str){ p, (size_t)(s->p - p) };
    ret->kind = kind_of(ret->raw);
    return true;
}

struct json_scan json_scan_into(const struct json_item *item)
{
    struct json_scan s = { 0 };

    if (item->kind != JSON_MAP && item->kind != JSON_LIST)
        return s;
    s = walk(item->raw);
    s.depth = item->depth + 1;
    s.next = item->inside;
    return s;
}

/* -- values */
static unsigned hex4(const char *p)
{
    uint64_t v = 0;

    (void)str_to_hex_u64((struct str){ p, 4 }, &v);
    return (unsigned)v;
}

static size_t put_utf8(char *dst, unsigned c)
{
    if (c == 0 || (c >= 0xd800 && c <= 0xdfff))
        c = 0xfffd;
    if (c < 0x80) {
        dst[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        dst[0] = (char)(0xc0 | c >> 6);
        dst[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        dst[0] = (char)(0xe0 | c >> 12);
        dst[1] = (char)(0x80 | (c >> 6 & 0x3f));
        dst[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    dst[0] = (char)(0xf0 | c >> 18);
    dst[1] = (char)(0x80 | (c >> 12 & 0x3f));
    dst[2] = (char)(0x80 | (c >> 6 & 0x3f));
    dst[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

static struct str unescape(struct str s, struct arena *a)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    char *dst = arena_alloc(a, s.len + 1); /* never longer: \uXXXX is at most 3 bytes, a pair 4 */
    size_t n = 0;

    if (!dst)
        return STR_NONE;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '\\') {
            dst[n++] = s.ptr[i];
            continue;
        }
        char c = s.ptr[++i];
        const char *at = c == '\0' ? NULL : memchr(from, c, sizeof(from) - 1);
        if (c != 'u') {
            dst[n++] = at ? to[at - from] : c;
            continue;
        }
        unsigned u = hex4(s.ptr + i + 1);
        i += 4;
        if (u >= 0xd800 && u < 0xdc00 && s.len - i > 6 && s.ptr[i + 1] == '\\' && s.ptr[i + 2] == 'u') {
            unsigned low = hex4(s.ptr + i + 3);

            if (low >= 0xdc00 && low <= 0xdfff) {
                u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
                i += 6;
            }
        }
        n += put_utf8(dst + n, u);
    }
    return (struct str){ dst, n };
}

struct str json_item_text(const struct json_item *m, struct arena *a)
{
    if (m->kind != JSON_STR)
        return STR_NONE;
    struct str s = str_sub(m->raw, 1, m->raw.len - 2);
    if (s.len == 0)
        return STR("");
    return memchr(s.ptr, '\\', s.len) ? unescape(s, a) : s;
}

bool json_item_int(const struct json_item *m, int64_t *ret)
{
    struct str s = m->raw;
    double d;

    if (m->kind == JSON_STR)
        s = str_trim(str_sub(s, 1, s.len - 2));
    else if (m->kind != JSON_INT && m->kind != JSON_REAL)
        return false;
    if (str_to_i64(s, ret) == 0)
        return true;
    if (str_to_f64(s, &d) < 0 || d < -9e15 || d > 9e15 || d != (double)(int64_t)d)
        return false;
    *ret = (int64_t)d;
    return true;
}

bool json_item_bool(const struct json_item *m, bool *ret)
{
    static const char *const yes[] = { "true", "1", "yes", "y", "on", "t", "1.0" };
    static const char *const no[] = { "false", "0", "no", "n", "off", "f", "0.0" };
    struct str s = m->kind == JSON_STR ? str_sub(m->raw, 1, m->raw.len - 2) : m->raw;

    if (m->kind != JSON_STR && m->kind != JSON_BOOL && m->kind != JSON_INT && m->kind != JSON_REAL)
        return false;
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (str_eq_nocase(s, str_of(yes[i])))
            return *ret = true;
        if (str_eq_nocase(s, str_of(no[i]))) {
            *ret = false;
            return true;
        }
    }
    return false;
}

/* -- canonical text */
static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] >= 0x80 || s.ptr[i] == '\\')
            return false;
    return true;
}

static unsigned next_char(struct str s, size_t *i)
{
    unsigned char c = (unsigned char)s.ptr[(*i)++];
    int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
    unsigned v = more == 3 ? c & 7u : more == 2 ? c & 15u : more == 1 ? c & 31u : c;

    while (more-- > 0 && *i < s.len)
        v = v << 6 | ((unsigned char)s.ptr[(*i)++] & 0x3fu);
    return v;
}

static int write_string(struct str s, struct buf *out)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    int r = buf_char(out, '"');

    for (size_t i = 0; i < s.len && r == 0;) {
        unsigned c = next_char(s, &i);
        const char *at = c && c < 0x80 ? memchr(from, (int)c, sizeof(from) - 1) : NULL;

        if (at)
            r = buf_printf(out, "\\%c", to[at - from]);
        else if (c >= 0x10000)
            r = buf_printf(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
        else if (c < 0x20 || c >= 0x80)
            r = buf_printf(out, "\\u%04x", c);
        else
            r = buf_char(out, (char)c);
    }
    return r < 0 ? r : buf_char(out, '"');
}

/* Members go by the text of their keys, however they are written: in UTF-8 that is the order of code points, as Python's. */
enum { MEMBERS_MAX = 64 };
struct member {
    struct str name;
    struct json_item item;
};
static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

static int write_text(struct str raw, struct arena *a, struct buf *out)
{
    if (is_plain(raw))
        return buf_str(out, raw);
    struct json_item item = { .kind = JSON_STR, .raw = raw };
    struct str text = json_item_text(&item, a);
    return text.ptr ? write_string(text, out) : -ENOBUFS;
}

static int read_members(const struct json_item *m, struct arena *a, struct member v[MEMBERS_MAX], size_t *ret_n)
{
    struct json_scan s = json_scan_into(m);
    struct json_item item;
    bool is_sorted = true;
    size_t n = 0;

    for (; json_scan_next(&s, &item); n++) {
        if (n == MEMBERS_MAX)
            return -ENOBUFS;
        v[n] = (struct member){ item.key, item };
        if (memchr(item.key.ptr, '\\', item.key.len))
            v[n].name = unescape(item.key, a);
        if (!v[n].name.ptr)
            return -ENOBUFS;
        is_sorted &= n == 0 || str_cmp(v[n - 1].name, v[n].name) < 0;
    }
    if (!is_sorted)
        qsort(v, n, sizeof(v[0]), by_name);
    *ret_n = n;
    return 0;
}

static int write_map(const struct json_item *m, struct arena *a, struct buf *out)
{
    struct member v[MEMBERS_MAX];
    size_t n = 0;
    int r = read_members(m, a, v, &n);

    r = r ? r : buf_char(out, '{');
    for (size_t i = 0; i < n && r == 0; i++) {
        struct str raw = v[i].item.key, quoted = { raw.ptr - 1, raw.len + 2 };

        r = i ? buf_char(out, ',') : 0;
        r = r ? r : write_text(quoted, a, out);
        r = r ? r : buf_char(out, ':');
        r = r ? r : json_item_canonical(&v[i].item, a, out);
    }
    return r ? r : buf_char(out, '}');
}

int json_item_canonical(const struct json_item *m, struct arena *a, struct buf *out)
{
    int r;

    switch (m->kind) {
    case JSON_MAP:
        return write_map(m, a, out);
    case JSON_LIST: {
        struct json_scan s = json_scan_into(m);
        struct json_item item;

        r = buf_char(out, '[');
        while (r == 0 && json_scan_next(&s, &item)) {
            r = item.index ? buf_char(out, ',') : 0;
            r = r ? r : json_item_canonical(&item, a, out);
        }
        return r ? r : buf_char(out, ']');
    }
    case JSON_STR:
        return write_text(m->raw, a, out);
    case JSON_NULL:
    case JSON_BOOL:
    case JSON_INT:
    case JSON_REAL:
        return buf_str(out, m->raw);
    case JSON_BAD:
        break;
    }
    return -ENOBUFS;
}
