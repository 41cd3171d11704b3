/* codec/json_mend.h - JSON of peers that write what RFC 8259 does not have, made fit for json_parse(). Only where a route or a dialect asks
 * for it: everything of ours is read as it stands. No I/O. Any thread.
 *
 * Python's json.dumps() writes "\udcff" for a byte of the environment that is no UTF-8, and NaN for a loss that diverged. One such value
 * shall not cost a peer its request, and one row of a list not the others:
 *
 *     if (json_split(a, body, cap, "events", &rows, err) == 0)
 *         while (json_rows_next(&rows, &row))
 *             if (json_parse_python(a, row, cap, &n, err) == 0) ...
 *             else refuse the row that json_row_text(row, "event_id") names */
#ifndef MUSTER_CODEC_JSON_MEND_H
#define MUSTER_CODEC_JSON_MEND_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "codec/json.h"

/* Lone surrogates in strings and keys ("\udcff", half a pair) become U+FFFD. *@ret is @text itself where there is nothing to mend, else a
 * copy in @a, never longer. What is wrong otherwise stays so, for json_parse() to refuse. 0 or -ENOBUFS. */
int json_mend_text(struct arena *a, struct str text, struct str *ret);
/* The same, and NaN, Infinity and -Infinity become null: up to a third longer. */
int json_mend_python(struct arena *a, struct str text, struct str *ret);
/* json_mend_python() and json_parse(): @max_bytes is of @text as it came. */
int json_parse_python(struct arena *a, struct str text, size_t max_bytes, struct node **ret, struct err *err);
/* May @s, as it was read, have been mended? U+FFFD is in it, and others may read as the same: nothing to find anybody by. */
bool json_is_mended(struct str s);

struct json_rows {
    struct node *root; /* the document, that list empty */
    size_t n;          /* rows in all; none is empty text */
    const char *p, *end;
};
enum { JSON_SPLIT = 0, JSON_NO_LIST };
/* Cuts the list under @key of the map @text into the texts of its rows, each to be parsed alone (and to nest as deep as a document may);
 * what is around them is parsed here, with json_mend_python(). Returns JSON_SPLIT; JSON_NO_LIST: all of it is good JSON, but no map with
 * such a list, and .root is the whole; or as json_parse(), @ret untouched. The rows borrow from @text. */
int json_split(struct arena *a, struct str text, size_t max_bytes, const char *key, struct json_rows *ret, struct err *err);
/* The next row, without blanks around it; false at the end. */
bool json_rows_next(struct json_rows *r, struct str *ret);
/* Member @key of a row that may be no good JSON, to name it by: a string without escapes or control characters, valid UTF-8, given once.
 * Anything else: {NULL,0}. Borrows from @row. */
struct str json_row_text(struct str row, const char *key);

#endif
