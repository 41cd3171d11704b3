/* codec/json_write.c - the streaming writer of json.h. */
#include <errno.h>
#include <math.h>

#include "base/text.h"
#include "codec/json.h"

enum { DEPTH_MAX = 64 };
static const uint64_t exact_max = (uint64_t)1 << 53; /* what JavaScript's numbers hold exactly */

/* Room for exactly @n more bytes, NULL when there is none. Documents are made of very many small pieces: the usual case is here and not
 * in another file. */
static inline uint8_t *lend(struct jw *w, size_t n)
{
    struct buf *b = w->out;
    uint8_t *p = NULL;

    if (w->err)
        return NULL;
    if (b->cap > b->len && n < b->cap - b->len && n <= b->max - b->len)
        return b->ptr + b->len;
    w->err = buf_reserve(b, n, &p);
    return w->err ? NULL : p;
}

static inline void put(struct jw *w, const char *p, size_t n)
{
    uint8_t *at = n ? lend(w, n) : NULL;

    if (!at)
        return;
    memcpy(at, p, n);
    w->out->len += n;
}

static void newline(struct jw *w)
{
    put(w, "\n", 1);
    for (uint32_t i = 0; i < w->depth; i++)
        put(w, "  ", 2);
}

/* Before every value and key: the comma, and the line in pretty form. */
static void begin(struct jw *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->depth == 0)
        return;
    uint64_t bit = (uint64_t)1 << (w->depth - 1);
    if (w->has_items & bit)
        put(w, ",", 1);
    w->has_items |= bit;
    if (w->pretty)
        newline(w);
}

static void open_nest(struct jw *w, char c)
{
    begin(w);
    put(w, &c, 1);
    if (w->depth == DEPTH_MAX) {
        w->err = w->err ? w->err : -ENOBUFS;
        return;
    }
    w->has_items &= ~((uint64_t)1 << w->depth);
    w->depth++;
}

static void close_nest(struct jw *w, char c)
{
    if (w->depth == 0) {
        w->err = w->err ? w->err : -EINVAL;
        return;
    }
    w->depth--;
    if (w->pretty && (w->has_items & (uint64_t)1 << w->depth))
        newline(w);
    put(w, &c, 1);
}

void jw_map(struct jw *w)
{
    open_nest(w, '{');
}

void jw_end_map(struct jw *w)
{
    close_nest(w, '}');
}

void jw_list(struct jw *w)
{
    open_nest(w, '[');
}

void jw_end_list(struct jw *w)
{
    close_nest(w, ']');
}

static void put_escaped(struct jw *w, unsigned char c)
{
    static const char shorts[] = "\b\t\n\f\r\"\\", letters[] = "btnfr\"\\";
    const char *at = c ? strchr(shorts, c) : NULL;
    char text[8];
    int n;
    if (at)
        n = snprintf(text, sizeof(text), "\\%c", letters[at - shorts]);
    else
        n = snprintf(text, sizeof(text), "\\u%04x", c);
    put(w, text, (size_t)n);
}

/* Characters that stand for themselves: printable ASCII but for the quote and the backslash. */
static bool is_plain(struct str s)
{
    const uint64_t ones = UINT64_MAX / 255, highs = ones << 7;
    size_t i = 0;

    /* Eight at a time. A byte minus one has its high bit and had not: it was zero. A borrow may accuse the byte above a guilty one, which
     * changes nothing. */
    for (; i + 8 <= s.len; i += 8) {
        uint64_t v, quote, slash;

        memcpy(&v, s.ptr + i, 8);
        quote = v ^ ones * '"';
        slash = v ^ ones * '\\';
        if ((v | (v + ones) | ((v - ones * 0x20) & ~v) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & highs)
            return false;
    }
    for (; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            return false;
    }
    return true;
}

static void put_plain(struct jw *w, struct str s)
{
    uint8_t *p = lend(w, s.len + 2);

    if (!p)
        return;
    p[0] = '"';
    if (s.len)
        memcpy(p + 1, s.ptr, s.len);
    p[s.len + 1] = '"';
    w->out->len += s.len + 2;
}

static void put_odd(struct jw *w, struct str s)
{
    AUTO(buf_done) struct buf clean = { 0 };
    if (!utf8_is_valid(s)) {
        clean = BUF(3 * s.len);
        (void)utf8_lossy(&clean, s); /* at most three bytes for one: fits */
        s = buf_as_str(&clean);
    }
    put(w, "\"", 1);
    size_t from = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        put(w, s.ptr + from, i - from);
        put_escaped(w, c);
        from = i + 1;
    }
    put(w, s.ptr + from, s.len - from);
    put(w, "\"", 1);
}

static void put_string(struct jw *w, struct str s)
{
    if (is_plain(s))
        put_plain(w, s);
    else
        put_odd(w, s);
}

void jw_key_str(struct jw *w, struct str key)
{
    begin(w);
    put_string(w, key);
    put(w, ": ", w->pretty ? 2 : 1);
    w->after_key = true;
}

void jw_str(struct jw *w, struct str s)
{
    begin(w);
    put_string(w, s);
}

void jw_cstr(struct jw *w, const char *s)
{
    jw_str(w, str_of(s));
}

static void put_number(struct jw *w, const char *text, int n, bool is_exact)
{
    begin(w);
    if (!is_exact)
        put(w, "\"", 1);
    put(w, text, (size_t)n);
    if (!is_exact)
        put(w, "\"", 1);
}

/* By hand: documents are full of numbers, and printf is most of what they would cost. Fills @text from its end. */
static char *digits_of(uint64_t v, char *end)
{
    do
        *--end = (char)('0' + v % 10);
    while (v /= 10);
    return end;
}

void jw_u64(struct jw *w, uint64_t v)
{
    char text[32], *p = digits_of(v, text + sizeof(text));

    put_number(w, p, (int)(text + sizeof(text) - p), v <= exact_max);
}

void jw_i64(struct jw *w, int64_t v)
{
    uint64_t size = v < 0 ? -(uint64_t)v : (uint64_t)v;
    char text[32], *p = digits_of(size, text + sizeof(text));

    if (v < 0)
        *--p = '-';
    put_number(w, p, (int)(text + sizeof(text) - p), size <= exact_max);
}

void jw_f64(struct jw *w, double v)
{
    char text[40];
    int n = 0;
    if (!isfinite(v)) {
        jw_null(w);
        return;
    }
    if (v == 0)
        v = 0;                                      /* "-0" would be read back as the integer 0 */
    for (int digits = 15; digits <= 17; digits++) { /* the shortest that reads back as the same */
        n = snprintf(text, sizeof(text), "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    put_number(w, text, n, true);
}

void jw_bool(struct jw *w, bool v)
{
    begin(w);
    put(w, v ? "true" : "false", v ? 4 : 5);
}

void jw_null(struct jw *w)
{
    begin(w);
    put(w, "null", 4);
}

void jw_raw(struct jw *w, struct str json)
{
    begin(w);
    put(w, json.ptr, json.len);
}

int jw_done(struct jw *w)
{
    if (w->err == 0 && (w->depth || w->after_key))
        w->err = -EINVAL;
    return w->err;
}

static void write_node(struct jw *w, const struct node *n)
{
    switch (n->type) {
    case NODE_NULL:
        jw_null(w);
        break;
    case NODE_BOOL:
        jw_bool(w, n->b);
        break;
    case NODE_INT: {
        char text[32]; /* as it came: never turned into a string */
        put_number(w, text, snprintf(text, sizeof(text), "%lld", (long long)n->i), true);
        break;
    }
    case NODE_REAL:
        jw_f64(w, n->r);
        break;
    case NODE_STR:
        jw_str(w, n->s);
        break;
    case NODE_LIST:
        jw_list(w);
        for (const struct node *c = n->child; c; c = c->next)
            write_node(w, c);
        jw_end_list(w);
        break;
    case NODE_MAP:
        jw_map(w);
        for (const struct node *c = n->child; c; c = c->next) {
            jw_key_str(w, c->key);
            write_node(w, c);
        }
        jw_end_map(w);
        break;
    }
}

int node_write(const struct node *n, struct buf *out)
{
    size_t before = out->len;
    struct jw w = JW(out);
    write_node(&w, n);
    int r = jw_done(&w);
    if (r < 0)
        out->len = before;
    return r;
}
