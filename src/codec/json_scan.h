/* codec/json_scan.h - JSON read where it lies, without a tree: for large bodies of known form. No I/O, no allocation but for strings
 * with escapes.
 *
 *     struct json_scan s;
 *     if (json_scan_open(text, &s) == JSON_MAP)          // the whole text was checked once
 *         for (struct json_item m; json_scan_next(&s, &m);)
 *             if (json_item_is(&m, "rows"))
 *                 for (s2 = json_scan_into(&m); json_scan_next(&s2, &row);) ...
 *
 * Duplicate keys are handed out as they come: the reader decides (taking the later is what most parsers do). Any thread. */
#ifndef MUSTER_CODEC_JSON_SCAN_H
#define MUSTER_CODEC_JSON_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

enum json_kind { JSON_BAD, JSON_NULL, JSON_BOOL, JSON_INT, JSON_REAL, JSON_STR, JSON_LIST, JSON_MAP };
/* Where lists and maps end, found by the check: a walk then steps over them without looking in. */
struct json_span {
    uint32_t len, inside; /* bytes, brackets included; spans of what is inside */
};
struct json_spans {
    struct json_span *v;
    uint32_t n, cap;
};
void json_spans_done(struct json_spans *s);

struct json_item {
    enum json_kind kind;
    struct str key;  /* raw text between the quotes; {NULL,0} in lists */
    struct str raw;  /* the value as it stands, strings with their quotes */
    size_t index;    /* in its list or map */
    const struct json_span *inside; /* NULL: not known */
    uint32_t depth;
};
struct json_scan {
    const char *p, *end;
    bool is_map;
    uint32_t depth; /* of its items */
    size_t n;
    const struct json_span *next; /* of the next list or map; NULL: not known */
};

/* Checks @text: one value, valid UTF-8, depth at most LIMIT_JSON_DEPTH, no bytes after it. Returns its kind, a list or map ready to be
 * walked with @ret; JSON_BAD when it is not JSON. */
enum json_kind json_scan_open(struct str text, struct json_scan *ret);
/* The same for a large text that is walked whole: takes eight bytes for each list or map near the root (@spans, all-zero before; the
 * caller's until the last walk ends). */
enum json_kind json_scan_open_large(struct str text, struct json_spans *spans, struct json_scan *ret);
/* The next member or element; false at the end. */
bool json_scan_next(struct json_scan *s, struct json_item *ret);
/* A walk over @item, which is a list or a map. */
struct json_scan json_scan_into(const struct json_item *item);
/* The key is @name (a key written with escapes is never equal). */
static inline bool json_item_is(const struct json_item *m, const char *name)
{
    size_t n = strlen(name); /* a constant: readers ask this a dozen times a member */

    return m->key.len == n && memcmp(m->key.ptr, name, n) == 0;
}

/* The text of a string: lent from the input, or decoded into @a where it has escapes. Lone surrogates and NUL become U+FFFD. {NULL,0}
 * when @a is full or it is no string. */
struct str json_item_text(const struct json_item *m, struct arena *a);
/* Whole numbers: 5, 5.0, "5". False: none of those, or out of int64's range. */
bool json_item_int(const struct json_item *m, int64_t *ret);
/* true, false, and in words or digits as some parsers take them: "true" "yes" "on" "1" 1 ... */
bool json_item_bool(const struct json_item *m, bool *ret);
/* Appends the value as Python's json.dumps(v, sort_keys=True, separators=(",", ":")) writes it. 0 or -ENOBUFS. A map with more than
 * 64 members is -ENOBUFS too. */
int json_item_canonical(const struct json_item *m, struct arena *a, struct buf *out);

#endif
