/* store/lazy_priv.h - what lazy.c (rows in memory, the journal) and lazy_sweep.c (their tables) share. Writer thread. */
#ifndef MUSTER_STORE_LAZY_PRIV_H
#define MUSTER_STORE_LAZY_PRIV_H

#include "base/vec.h"
#include "store/lazy.h"

struct lazy_seen {
    UT_hash_handle hh;
    struct seen_row row;
    bool is_touched;
};

/* Without a body: its row is right as it is, and what the journal said of it before does not count. */
struct lazy_object {
    UT_hash_handle hh;
    struct object_key {
        uint64_t kind, id;
    } key;
    uint64_t parent;
    char *body; /* malloced */
    size_t body_len;
    bool is_touched;
};

struct lazy {
    struct lazy_head *heads;
    struct lazy_seen *seens;
    struct lazy_object *objects;
    uint64_t object_kinds; /* a bit each: the journal may have words of them */
    VEC(struct lazy_head *) touched_heads;
    VEC(struct lazy_seen *) touched_seens;
    VEC(struct lazy_object *) touched_objects;
    VEC(uint64_t) forgotten; /* in this transaction */
    /* the sweep: what is to be filed, in key order; next to file */
    VEC(struct lazy_head *) heads_due;
    VEC(struct lazy_seen *) seens_due;
    VEC(struct lazy_object *) objects_due;
    size_t next_head, next_seen, next_object;
    int64_t sweep_upto; /* journal rows up to here are filed when it ends; 0: no sweep */
    int64_t newest;     /* journal row */
    size_t journal_bytes;
    bool is_stale; /* memory is not what the journal says */
    struct buf scratch;
};

/* Out of memory's tables and freed. Nothing that is touched or due may still point to it. */
void lazy__del_head(struct lazy *l, struct lazy_head *h);
void lazy__del_seen(struct lazy *l, struct lazy_seen *s);
void lazy__del_object(struct lazy *l, struct lazy_object *o);

/* -- lazy_sweep.c */
/* All that is in memory now becomes due. */
void lazy__start_sweep(struct lazy *l);
/* Nothing is due any more: what was filed stays filed, its words stay in the journal. */
void lazy__stop_sweep(struct lazy *l);
/* Files up to @n of each sort that is due, and drops them. One that changed in this very transaction stays: it is journalled again
 * behind sweep_upto. At the end the journal's rows up to there go. 0 or -errno. */
int lazy__sweep(struct writer *w, size_t n);

#endif
