/* cli/lines.h - bytes of one stream cut into whole lines, however they arrive. Pure. */
#ifndef MUSTER_CLI_LINES_H
#define MUSTER_CLI_LINES_H

#include "base/buf.h"

enum { LINE_MAX_BYTES = 64 << 10 }; /* a longer line is handed out in pieces of this size */

struct lines {
    struct buf part; /* an incomplete line, at most LINE_MAX_BYTES */
};
/* @line without its newline; @is_whole: a newline was there. */
typedef void (*line_fn)(void *ctx, struct str line, bool is_whole);

/* All-zero is a valid start. */
void lines_feed(struct lines *l, struct str piece, line_fn fn, void *ctx);
/* The end of the stream: hands out what is left, if anything. */
void lines_flush(struct lines *l, line_fn fn, void *ctx);
void lines_done(struct lines *l);

/* Which part of a piece of @len bytes at @offset of a stream is new when @shown bytes were shown: after a
 * break the server begins anew. PIECE_OLD: nothing; PIECE_NEW: all but the first *@ret_skip bytes;
 * PIECE_AHEAD: bytes are missing before. */
enum piece { PIECE_OLD, PIECE_NEW, PIECE_AHEAD };
enum piece piece_place(uint64_t shown, uint64_t offset, size_t len, size_t *ret_skip);

/* Appends @line as a terminal may see it: what a carriage return overwrote is gone, tabs and colours (ESC [
 * ... m) stay, other control characters are shown as \xNN. Sets *@ret_colored when a colour was passed on and
 * must be reset. */
void line_for_terminal(struct str line, struct buf *out, bool *ret_colored);

#endif
