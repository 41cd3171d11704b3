/* api/dialects/sigma_csv.c - comma separated values both ways (RFC 4180): quotes, doubled quotes, line ends inside quotes. Pure. */
#include <errno.h>
#include <string.h>

#include "api/dialects/sigma.h"

/* A quoted field from behind its opening quote; *@text is left behind the closing one. Without doubled quotes it borrows. */
static int quoted(struct arena *a, struct str *text, struct str *ret)
{
    size_t end = 0, n = 0, n_doubled = 0;
    char *out;

    while (end < text->len && (text->ptr[end] != '"' || (end + 1 < text->len && text->ptr[end + 1] == '"'))) {
        n_doubled += text->ptr[end] == '"';
        end += text->ptr[end] == '"' ? 2 : 1;
    }
    if (end >= text->len)
        return -EINVAL; /* never closed */
    *ret = str_sub(*text, 0, end);
    if (n_doubled > 0) {
        out = arena_alloc(a, end - n_doubled);
        if (!out)
            return -ENOBUFS;
        for (size_t i = 0; i < end; i++) {
            i += text->ptr[i] == '"';
            out[n++] = text->ptr[i];
        }
        *ret = str_bytes(out, n);
    }
    *text = str_sub(*text, end + 1, text->len);
    return 0;
}

static bool is_line_end(struct str s)
{
    return s.len == 0 || s.ptr[0] == '\n' || s.ptr[0] == '\r';
}

static void skip_line_end(struct str *s)
{
    if (s->len && s->ptr[0] == '\r')
        *s = str_sub(*s, 1, s->len);
    if (s->len && s->ptr[0] == '\n')
        *s = str_sub(*s, 1, s->len);
}

static int field(struct arena *a, struct str *text, struct str *ret)
{
    size_t n = 0;

    if (text->len && text->ptr[0] == '"') {
        *text = str_sub(*text, 1, text->len);
        return quoted(a, text, ret);
    }
    while (n < text->len && text->ptr[n] != ',' && text->ptr[n] != '\n' && text->ptr[n] != '\r' && text->ptr[n] != '"')
        n++;
    if (n < text->len && text->ptr[n] == '"')
        return -EINVAL;
    *ret = str_sub(*text, 0, n);
    *text = str_sub(*text, n, text->len);
    return 0;
}

int csv_next(struct arena *a, struct str *text, struct str *fields, size_t max, size_t *ret_n)
{
    *ret_n = 0;
    while (text->len && is_line_end(*text))
        skip_line_end(text);
    if (text->len == 0)
        return 0;
    for (;;) {
        int r;

        if (*ret_n == max)
            return -E2BIG;
        r = field(a, text, &fields[*ret_n]);
        if (r < 0)
            return r;
        ++*ret_n;
        if (is_line_end(*text)) {
            skip_line_end(text);
            return 1;
        }
        if (text->ptr[0] != ',') /* text behind a closing quote */
            return -EINVAL;
        *text = str_sub(*text, 1, text->len);
    }
}

/* Behind its apostrophes, if it has any: a value with one of its own gets another, so that import gives back what there was. */
static bool is_formula(struct str s)
{
    size_t i = 0;

    while (i < s.len && s.ptr[i] == '\'')
        i++;
    return i < s.len && s.ptr[i] && strchr("=+-@\t\r\n", s.ptr[i]);
}

struct str csv_plain(struct str value)
{
    return value.len > 1 && value.ptr[0] == '\'' && is_formula(str_sub(value, 1, value.len)) ? str_sub(value, 1, value.len) : value;
}

void csv_field(struct buf *out, struct str value, bool is_first)
{
    bool needs_quotes = is_formula(value);

    for (size_t i = 0; i < value.len; i++)
        needs_quotes |= value.ptr[i] == ',' || value.ptr[i] == '"' || value.ptr[i] == '\n' || value.ptr[i] == '\r';
    if (!is_first)
        (void)buf_char(out, ',');
    if (!needs_quotes) {
        (void)buf_str(out, value);
        return;
    }
    (void)buf_char(out, '"');
    if (is_formula(value))
        (void)buf_char(out, '\'');
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '"')
            (void)buf_char(out, '"');
        (void)buf_char(out, value.ptr[i]);
    }
    (void)buf_char(out, '"');
}

void csv_end(struct buf *out)
{
    (void)buf_cstr(out, "\r\n");
}
