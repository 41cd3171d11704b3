/* cli/lines.c - see lines.h. */
#include "cli/lines.h"

#include <ctype.h>

#include "base/text.h"

void lines_done(struct lines *l)
{
    buf_done(&l->part);
}

static void hand_out(struct lines *l, struct str head, bool is_whole, line_fn fn, void *ctx)
{
    if (l->part.len == 0) {
        fn(ctx, head, is_whole);
        return;
    }
    (void)buf_str(&l->part, head); /* fits: the caller has checked */
    fn(ctx, buf_as_str(&l->part), is_whole);
    buf_reset(&l->part);
}

void lines_feed(struct lines *l, struct str piece, line_fn fn, void *ctx)
{
    l->part.max = LINE_MAX_BYTES;
    while (piece.len) {
        size_t room = LINE_MAX_BYTES - l->part.len;
        ptrdiff_t end = str_find_char(str_sub(piece, 0, room + 1), '\n');
        if (end >= 0) {
            hand_out(l, str_sub(piece, 0, (size_t)end), true, fn, ctx);
            piece = str_sub(piece, (size_t)end + 1, piece.len);
        } else if (piece.len > room) {
            hand_out(l, str_sub(piece, 0, room), false, fn, ctx);
            piece = str_sub(piece, room, piece.len);
        } else {
            (void)buf_str(&l->part, piece);
            return;
        }
    }
}

void lines_flush(struct lines *l, line_fn fn, void *ctx)
{
    if (l->part.len)
        fn(ctx, buf_as_str(&l->part), false);
    buf_reset(&l->part);
}

enum piece piece_place(uint64_t shown, uint64_t offset, size_t len, size_t *ret_skip)
{
    *ret_skip = 0;
    if (offset > shown)
        return PIECE_AHEAD;
    if (len <= shown - offset)
        return PIECE_OLD;
    *ret_skip = (size_t)(shown - offset);
    return PIECE_NEW;
}

/* Length of a colour sequence at the start of @s, or 0. */
static size_t color_len(struct str s)
{
    if (s.len < 3 || s.ptr[0] != '\x1b' || s.ptr[1] != '[')
        return 0;
    for (size_t i = 2; i < s.len && i < 32; i++) {
        if (s.ptr[i] == 'm')
            return i + 1;
        if (!isdigit((unsigned char)s.ptr[i]) && s.ptr[i] != ';')
            return 0;
    }
    return 0;
}

void line_for_terminal(struct str line, struct buf *out, bool *ret_colored)
{
    *ret_colored = false;
    if (line.len && line.ptr[line.len - 1] == '\r')
        line.len--;
    for (size_t i = line.len; i > 0; i--) {
        if (line.ptr[i - 1] == '\r') {
            line = str_sub(line, i, line.len);
            break;
        }
    }
    size_t start = 0;
    for (size_t i = 0; i <= line.len;) {
        struct str rest = str_sub(line, i, line.len);
        size_t color = color_len(rest);
        bool is_tab = rest.len && rest.ptr[0] == '\t';
        if (rest.len && !color && !is_tab) {
            i++;
            continue;
        }
        (void)text_printable(out, str_sub(line, start, i - start));
        if (!rest.len)
            return;
        size_t n = color ? color : 1;
        (void)buf_str(out, str_sub(rest, 0, n));
        *ret_colored |= color > 0;
        i += n;
        start = i;
    }
}
