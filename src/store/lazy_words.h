/* store/lazy_words.h - what a row of the journal (table lazy, see lazy.h) says: words, one after the other.
 *
 *   { u8 type, u64 id, fields }    numbers little-endian, texts { u32 length, bytes }
 *
 * The types are on disk: never changed, never reused. */
#ifndef MUSTER_STORE_LAZY_WORDS_H
#define MUSTER_STORE_LAZY_WORDS_H

#include "store/lazy.h"

enum word_type {
    WORD_FORGOTTEN = 'D', /* a host */
    WORD_HEAD = 'H',      /* a section's head */
    WORD_SEEN = 'S',      /* when a host was seen */
    WORD_OBJECT = 'O',
    WORD_SETTLED = 'X', /* an object: earlier words of it do not count, its table is right */
};
struct word {
    enum word_type type;
    uint64_t id; /* the host's, the object's */
    /* WORD_HEAD */
    struct fact_head h;
    int64_t unfolded, last_id;
    /* WORD_SEEN */
    struct seen_row seen;
    /* WORD_OBJECT; WORD_SETTLED: kind only */
    uint32_t kind;
    uint64_t parent;
    struct str body;
};

/* Each appends one word to @b, whose maximum is above all that a transaction may hold. */
void word_forgotten(struct buf *b, uint64_t host_id);
void word_head(struct buf *b, const struct lazy_head *h);
void word_seen(struct buf *b, const struct seen_row *r);
void word_object(struct buf *b, uint64_t kind, uint64_t id, uint64_t parent, struct str body);
void word_settled(struct buf *b, uint64_t kind, uint64_t id);

/* Any handle: every word of the journal, oldest first, until @fn (not 0) stops it. *@ret_newest (may be NULL, untouched when the
 * journal is empty) becomes the newest row's number, *@ret_bytes (may be NULL) grows by what there is. 0, -errno (-EBADMSG: not
 * words) or what @fn said. Strings are valid inside @fn. */
int words_each(struct db *db, int (*fn)(void *ctx, const struct word *r), void *ctx, int64_t *ret_newest,
               size_t *ret_bytes);

#endif
