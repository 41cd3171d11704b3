/* net/sse.c - event streams as text (WHATWG HTML, section 9.2). */
#include "net/sse.h"

#include <errno.h>

#include "base/mem.h"

static int put_field(struct buf *out, const char *name, struct str value)
{
    if (buf_cstr(out, name) < 0 || buf_str(out, value) < 0)
        return -ENOBUFS;
    return buf_char(out, '\n');
}

/* Next line of @s; CR LF, LF and CR all end one. */
static bool next_line(struct str *s, struct str *ret)
{
    size_t i = 0;

    if (!s->ptr)
        return false;
    while (i < s->len && s->ptr[i] != '\n' && s->ptr[i] != '\r')
        i++;
    *ret = str_bytes(s->ptr, i);
    if (i == s->len) {
        *s = STR_NONE;
        return true;
    }
    size_t skip = s->ptr[i] == '\r' && i + 1 < s->len && s->ptr[i + 1] == '\n' ? 2 : 1;

    *s = str_bytes(s->ptr + i + skip, s->len - i - skip);
    return true;
}

int sse_event(struct buf *out, const char *event, struct str id, struct str data)
{
    size_t before = out->len;
    struct str rest = data.ptr ? data : STR(""), line;

    if (event && put_field(out, "event: ", str_of(event)) < 0)
        goto full;
    if (id.len > 0 && put_field(out, "id: ", id) < 0)
        goto full;
    while (next_line(&rest, &line))
        if (put_field(out, "data: ", line) < 0)
            goto full;
    if (buf_char(out, '\n') < 0)
        goto full;
    return 0;
full:
    out->len = before; /* all or nothing */
    return -ENOBUFS;
}

int sse_comment(struct buf *out, const char *text)
{
    size_t before = out->len;

    if (put_field(out, ": ", str_of(text)) < 0 || buf_char(out, '\n') < 0) {
        out->len = before;
        return -ENOBUFS;
    }
    return 0;
}

void sse_parser_init(struct sse_parser *p, size_t max_data)
{
    *p = (struct sse_parser){ .line = BUF(max_data + 16), .data = BUF(max_data + 1) };
}

void sse_parser_done(struct sse_parser *p)
{
    buf_done(&p->line);
    buf_done(&p->data);
}

static int take_line(struct sse_parser *p, sse_fn fn, void *ctx)
{
    struct str name = buf_as_str(&p->line), value = STR_NONE;
    ptrdiff_t colon;

    if (name.len == 0) {
        if (p->data.len > 0) /* without data there is no event */
            fn(ctx, p->event[0] ? p->event : "message", p->id, str_bytes(p->data.ptr, p->data.len - 1));
        buf_reset(&p->data);
        p->event[0] = '\0';
        return 0;
    }
    colon = str_find_char(name, ':');
    if (colon == 0)
        return 0; /* a comment */
    if (colon > 0) {
        value = str_sub(name, (size_t)colon + 1, SIZE_MAX);
        name = str_sub(name, 0, (size_t)colon);
        if (value.len > 0 && value.ptr[0] == ' ')
            value = str_sub(value, 1, SIZE_MAX);
    }
    if (str_is(name, "event"))
        (void)str_copy(value, p->event, sizeof(p->event));
    else if (str_is(name, "id") && !str_has_nul(value))
        (void)str_copy(value, p->id, sizeof(p->id));
    else if (str_is(name, "data") && (buf_str(&p->data, value) < 0 || buf_char(&p->data, '\n') < 0))
        return -EMSGSIZE;
    return 0;
}

int sse_feed(struct sse_parser *p, struct str piece, sse_fn fn, void *ctx)
{
    int r = 0;

    for (size_t i = 0; i < piece.len && r == 0; i++) {
        char c = piece.ptr[i];
        bool is_second_half = c == '\n' && p->skip_lf;

        p->skip_lf = c == '\r';
        if (is_second_half)
            continue;
        if (c != '\n' && c != '\r') {
            r = buf_char(&p->line, c) < 0 ? -EMSGSIZE : 0;
            continue;
        }
        r = take_line(p, fn, ctx);
        buf_reset(&p->line);
    }
    return r;
}
