/* store/lazy.h - small rows written often (heads of sections, who was seen, objects that change with every
 * beat): journalled at once, filed later.
 *
 * A check-in changes two small rows somewhere in large tables; writing their two pages in each commit would
 * be most of what the log has to carry. So a commit writes what changed as one row of the table "lazy"
 * (append only), and a sweep files the rows into their tables in key order, a few per commit, many rows a
 * page. Journal rows whose content has been filed are deleted. Durability is the commit's; only the place is
 * another one for a while.
 *
 *   lazy:  [5: H 1/os, S 1, S 9] [6: H 7/os, S 7] ...      tables: as of the last sweep
 *   the row as it is now = its last word in the journal, else its table
 *
 * Heads and seens are written this way only. Objects may also be written past the journal (most are): then a
 * word says that what the journal had does not count any more. The words: lazy_words.h.
 *
 * Writer thread, except lazy_overlay(). */
#ifndef MUSTER_STORE_LAZY_H
#define MUSTER_STORE_LAZY_H

#include "base/table.h"
#include "store/store_priv.h"

/* A section's head. Change it inside the transaction that got it; it is journalled when that commits. */
struct lazy_head {
    UT_hash_handle hh;
    enum section_status status;
    uint32_t n_unfolded;
    bool is_blind; /* one of them promised no digest: @digest is of before */
    struct fact_digest digest;
    usec_t taken_at, received_at;
    uint64_t n_rows;
    int64_t last_id; /* newest delta, 0: none */
    char *message;   /* malloced, NULL: empty */
    bool is_touched;
    uint32_t key_len;
    struct lazy_key {
        uint64_t host_id;
        char section[];
    } key;
};

/* Takes up what a crash left in the journal and files it. In a transaction of its own. 0 or -errno. */
int lazy_open(struct writer *w);
void lazy_free(struct writer *w);
/* The head of a section, zeroed if there is none yet; marked as changed. NULL and *@ret_e. */
struct lazy_head *lazy_head(struct writer *w, uint64_t host_id, struct str section, int *ret_e);
struct str lazy_section(const struct lazy_head *h);
void lazy_set_message(struct lazy_head *h, struct str message);
/* Both as one number of a row: negative when blind. */
static inline int64_t lazy_unfolded(const struct lazy_head *h)
{
    return h->is_blind ? -(int64_t)h->n_unfolded : h->n_unfolded;
}
static inline uint32_t lazy_abs(int64_t unfolded)
{
    return (uint32_t)(unfolded < 0 ? -unfolded : unfolded);
}
void lazy_seen(struct writer *w, const struct seen_row *r);
/* An object's row as it will be filed. */
void lazy_object(struct writer *w, uint32_t kind, uint64_t id, uint64_t parent, struct str body);
/* The object's row is being written or deleted by the caller: what is pending of it must not undo that. */
void lazy_object_settled(struct writer *w, uint32_t kind, uint64_t id);
/* Drops what is known of a host, and says so in the journal; the tables are the caller's. */
void lazy_forget(struct writer *w, uint64_t host_id);
/* Visits the heads of a host that are in memory: @it NULL to begin, then what came back; NULL at the end. */
void *lazy_next_chain(struct writer *w, uint64_t host_id, void *it, int64_t *ret_last_id);
/* Last thing in a transaction: journals what changed, files a little. 0 or -errno. */
int lazy_commit(struct writer *w);
/* Files everything: before lazy_commit(), when there is time. */
int lazy_file_all(struct writer *w);
bool lazy_is_empty(const struct writer *w);
/* The transaction was undone: what is in memory is read again before the next. */
void lazy_undo(struct writer *w);
/* First thing in a transaction. 0 or -errno. */
int lazy_begin(struct writer *w);

/* Any handle: calls @fn for each head of @host_id in the journal, oldest first; @h NULL: the host was
 * forgotten. 0 or -errno. Strings are valid inside @fn. */
int lazy_overlay(struct db *db, uint64_t host_id,
                 void (*fn)(void *ctx, const struct fact_head *h, int64_t last_id), void *ctx);

#endif
