/* codec/json.h - JSON text -> tree with checks (jansson inside), and a streaming writer. No I/O. One thread. */
#ifndef MUSTER_CODEC_JSON_H
#define MUSTER_CODEC_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* -- the tree that JSON and YAML share; nodes live in the arena given to the parser */
enum node_type { NODE_NULL, NODE_BOOL, NODE_INT, NODE_REAL, NODE_STR, NODE_LIST, NODE_MAP };
struct node {
    enum node_type type;
    bool is_bare;       /* a YAML plain scalar: may be read as number or bool by its field */
    union {
        bool b;
        int64_t i;
        double r;
        struct str s;   /* NODE_STR */
    };
    struct str key;     /* when a member of a map */
    struct node *child; /* first of a list or map */
    struct node *next;  /* sibling */
    uint32_t n;         /* children */
    uint32_t line;      /* YAML: 1-based; JSON: 0 */
};

/* Parses the whole of @text (at most @max_bytes; depth LIMIT_JSON_DEPTH). Refused: duplicate keys, invalid UTF-8,
 * NUL in strings, trailing bytes, NaN, numbers beyond int64 or double. Returns 0 and the root in @a; -EINVAL
 * ("json.syntax", "json.duplicate", "json.depth", "json.utf8", "json.number"), -EMSGSIZE ("json.too_large"),
 * -ENOBUFS ("json.too_large": @a is too small for the tree; what was parsed meanwhile stays within its cap). */
int json_parse(struct arena *a, struct str text, size_t max_bytes, struct node **ret, struct err *err);
/* Member @key of a map, or NULL. */
const struct node *node_get(const struct node *map, const char *key);
/* The node as compact JSON text appended to @out. 0 or -ENOBUFS. */
int node_write(const struct node *n, struct buf *out);

/* -- the writer: commas, escapes and nesting looked after. Errors (-ENOBUFS) stick: check once at the end. */
struct jw {
    struct buf *out;
    int err;
    uint32_t depth;
    uint64_t has_items; /* bit per depth */
    bool after_key;
    bool pretty;
};
#define JW(out_) ((struct jw){ .out = (out_) })
void jw_map(struct jw *w);
void jw_end_map(struct jw *w);
void jw_list(struct jw *w);
void jw_end_list(struct jw *w);
void jw_key_str(struct jw *w, struct str key);
static inline void jw_key(struct jw *w, const char *key)
{
    jw_key_str(w, (struct str){ key, strlen(key) }); /* nearly always a constant */
}
void jw_str(struct jw *w, struct str s); /* invalid UTF-8 is replaced, never emitted */
void jw_cstr(struct jw *w, const char *s);
void jw_u64(struct jw *w, uint64_t v); /* beyond 2^53 as a string */
void jw_i64(struct jw *w, int64_t v); /* likewise */
void jw_f64(struct jw *w, double v);   /* NaN and infinities as null */
void jw_bool(struct jw *w, bool v);
void jw_null(struct jw *w);
void jw_raw(struct jw *w, struct str json); /* trusted, already JSON */
/* 0 or the first error; the caller's document is complete. */
int jw_done(struct jw *w);

#endif
