/* store/lazy.c - see lazy.h.
 *
 * Replaying is safe at any moment: every change of these rows leaves a word in the journal, so the last one
 * about a row that is still in it is never older than the row's table. */
#include "store/lazy.h"

#include <errno.h>

#include "store/lazy_words.h"
#include "store/objects.h"

enum {
    SWEEP_AT = 4096,         /* rows in memory that make a sweep begin */
    OBJECTS_AT = 16384,      /* objects: nine a page, so a sweep wants many to share its pages */
    SWEEP_LEAST = 32,        /* filed per commit at least; more when more comes in */
    JOURNAL_BYTES = 8 << 20, /* that make a sweep begin, too */
    RECORDS_MAX = 512 << 20, /* of one transaction: a cap for form's sake */
    SCRATCH_KEPT = 1 << 20,
};

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

/* -- entries */

struct str lazy_section(const struct lazy_head *h)
{
    return str_bytes(h->key.section, h->key_len - sizeof(uint64_t));
}

void lazy_set_message(struct lazy_head *h, struct str message)
{
    free(h->message);
    h->message = message.len ? xstrndup(message.ptr, message.len) : NULL;
}

static struct lazy_head *find_head(struct lazy *l, uint64_t host_id, struct str section)
{
    char small[sizeof(uint64_t) + 64], *key = small;
    AUTO_FREE char *large = NULL;
    struct lazy_head *h = NULL;

    if (sizeof(host_id) + section.len > sizeof(small))
        key = large = xmalloc(sizeof(host_id) + section.len);
    memcpy(key, &host_id, sizeof(host_id));
    if (section.len)
        memcpy(key + sizeof(host_id), section.ptr, section.len);
    HASH_FIND(hh, l->heads, key, sizeof(host_id) + section.len, h);
    return h;
}

static struct lazy_head *add_head(struct lazy *l, uint64_t host_id, struct str section)
{
    struct lazy_head *h = xcalloc(1, sizeof(*h) + section.len);

    h->key.host_id = host_id;
    if (section.len)
        memcpy(h->key.section, section.ptr, section.len);
    h->key_len = (uint32_t)(sizeof(uint64_t) + section.len);
    HASH_ADD_KEYPTR(hh, l->heads, &h->key, h->key_len, h);
    return h;
}

static void del_head(struct lazy *l, struct lazy_head *h)
{
    HASH_DEL(l->heads, h);
    free(h->message);
    free(h);
}

static struct lazy_seen *get_seen(struct lazy *l, uint64_t host_id)
{
    struct lazy_seen *s;

    HASH_FIND(hh, l->seens, &host_id, sizeof(host_id), s);
    if (!s) {
        s = xnew0(struct lazy_seen);
        s->row.host_id = host_id;
        HASH_ADD(hh, l->seens, row.host_id, sizeof(host_id), s);
    }
    return s;
}

static void del_seen(struct lazy *l, struct lazy_seen *s)
{
    HASH_DEL(l->seens, s);
    free(s);
}

static struct lazy_object *find_object(struct lazy *l, uint32_t kind, uint64_t id)
{
    const struct object_key key = { kind, id };
    struct lazy_object *o;

    HASH_FIND(hh, l->objects, &key, sizeof(key), o);
    return o;
}

static struct lazy_object *get_object(struct lazy *l, uint32_t kind, uint64_t id)
{
    struct lazy_object *o = find_object(l, kind, id);

    if (!o) {
        o = xnew0(struct lazy_object);
        o->key = (struct object_key){ kind, id };
        HASH_ADD(hh, l->objects, key, sizeof(o->key), o);
    }
    return o;
}

static void set_object(struct lazy *l, struct lazy_object *o, uint64_t parent, struct str body)
{
    o->parent = parent;
    if (body.len != o->body_len || !o->body)
        o->body = xrealloc(o->body, body.len + 1);
    memcpy(o->body, body.ptr, body.len);
    o->body_len = body.len;
    l->object_kinds |= 1ull << o->key.kind;
}

static void void_object(struct lazy_object *o)
{
    free(TAKE(o->body));
    o->body_len = 0;
}

static void del_object(struct lazy *l, struct lazy_object *o)
{
    HASH_DEL(l->objects, o);
    free(o->body);
    free(o);
}

static void stop_sweep(struct lazy *l)
{
    l->heads_due.n = l->seens_due.n = l->objects_due.n = 0;
    l->next_head = l->next_seen = l->next_object = 0;
    l->sweep_upto = 0;
}

static void drop_all(struct lazy *l)
{
    struct lazy_head *h, *next_h;
    struct lazy_seen *s, *next_s;
    struct lazy_object *o, *next_o;

    HASH_ITER(hh, l->heads, h, next_h)
    del_head(l, h);
    HASH_ITER(hh, l->seens, s, next_s)
    del_seen(l, s);
    HASH_ITER(hh, l->objects, o, next_o)
    del_object(l, o);
    l->object_kinds = 0;
    l->touched_heads.n = l->touched_seens.n = l->touched_objects.n = l->forgotten.n = 0;
    stop_sweep(l);
}

/* -- changing */

struct lazy_head *lazy_head(struct writer *w, uint64_t host_id, struct str section, int *ret_e)
{
    struct lazy *l = w->lazy;
    struct lazy_head *h = find_head(l, host_id, section);
    AUTO(rows_done) struct rows *r = NULL;

    *ret_e = 0;
    if (!h) {
        int e = db_query(w->db,
                         "SELECT status, message, digest, taken_at, received_at, n_rows, n_unfolded, last_id "
                         "FROM fact_head"
                         " WHERE host_id = ? AND section = ?",
                         VALS(V_INT(host_id), V_TEXT(section)), &r);
        if (e == 0)
            e = rows_next(r);
        if (e < 0) {
            *ret_e = e;
            return NULL;
        }
        h = add_head(l, host_id, section);
        if (e == 1) {
            h->status = (enum section_status)col_u32(r, 0);
            lazy_set_message(h, col_str(r, 1));
            col_copy(r, 2, h->digest.b, SHA256_LEN);
            h->taken_at = col_u64(r, 3);
            h->received_at = col_u64(r, 4);
            h->n_rows = col_u64(r, 5);
            h->is_blind = col_i64(r, 6) < 0;
            h->n_unfolded = lazy_abs(col_i64(r, 6));
            h->last_id = col_i64(r, 7);
        }
    }
    if (!h->is_touched) {
        h->is_touched = true;
        *vec_add(&l->touched_heads) = h;
    }
    return h;
}

void lazy_seen(struct writer *w, const struct seen_row *r)
{
    struct lazy_seen *s = get_seen(w->lazy, r->host_id);

    s->row = *r;
    if (!s->is_touched) {
        s->is_touched = true;
        *vec_add(&w->lazy->touched_seens) = s;
    }
}

static void touch_object(struct lazy *l, struct lazy_object *o)
{
    if (!o->is_touched) {
        o->is_touched = true;
        *vec_add(&l->touched_objects) = o;
    }
}

void lazy_object(struct writer *w, uint32_t kind, uint64_t id, uint64_t parent, struct str body)
{
    struct lazy_object *o = get_object(w->lazy, kind, id);

    set_object(w->lazy, o, parent, body);
    touch_object(w->lazy, o);
}

/* Also when it is not in memory: its word may still be in the journal behind the sweep that filed it. */
void lazy_object_settled(struct writer *w, uint32_t kind, uint64_t id)
{
    if (!(w->lazy->object_kinds & 1ull << kind))
        return;
    struct lazy_object *o = get_object(w->lazy, kind, id);
    void_object(o);
    touch_object(w->lazy, o);
}

static void forget_in_memory(struct lazy *l, uint64_t host_id)
{
    struct lazy_head *h, *next;
    struct lazy_seen *s;

    stop_sweep(l); /* it may be about to file what goes */
    for (size_t i = l->touched_heads.n; i-- > 0;)
        if (l->touched_heads.v[i]->key.host_id == host_id)
            vec_del_swap(&l->touched_heads, i);
    for (size_t i = l->touched_seens.n; i-- > 0;)
        if (l->touched_seens.v[i]->row.host_id == host_id)
            vec_del_swap(&l->touched_seens, i);
    HASH_ITER(hh, l->heads, h, next)
    if (h->key.host_id == host_id)
        del_head(l, h);
    HASH_FIND(hh, l->seens, &host_id, sizeof(host_id), s);
    if (s)
        del_seen(l, s);
}

void lazy_forget(struct writer *w, uint64_t host_id)
{
    forget_in_memory(w->lazy, host_id);
    *vec_add(&w->lazy->forgotten) = host_id;
}

void *lazy_next_chain(struct writer *w, uint64_t host_id, void *it, int64_t *ret_last_id)
{
    struct lazy_head *h = it ? ((struct lazy_head *)it)->hh.next : w->lazy->heads;

    while (h && h->key.host_id != host_id)
        h = h->hh.next;
    if (h)
        *ret_last_id = h->last_id;
    return h;
}

/* -- filing */

static int file_head(struct writer *w, const struct lazy_head *h)
{
    return db_run(
        w->db,
        "INSERT INTO fact_head (host_id, section, status, message, digest, taken_at, received_at, n_rows, "
        "n_unfolded,"
        " last_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (host_id, section) DO UPDATE SET"
        " status = excluded.status, message = excluded.message, digest = excluded.digest,"
        " taken_at = excluded.taken_at, received_at = excluded.received_at, n_rows = excluded.n_rows,"
        " n_unfolded = excluded.n_unfolded, last_id = excluded.last_id",
        VALS(V_INT(h->key.host_id), V_TEXT(lazy_section(h)), V_INT(h->status), V_TEXT(str_of(h->message)),
             V_BLOB(str_bytes(h->digest.b, SHA256_LEN)), V_INT(h->taken_at), V_INT(h->received_at),
             V_INT(h->n_rows), V_INT(lazy_unfolded(h)), V_INT(h->last_id)));
}

static int file_seen(struct writer *w, const struct seen_row *r)
{
    return db_run(w->db,
                  "INSERT INTO seen (host_id, spool_epoch, acked_seq, last_seen) VALUES (?, ?, ?, ?) ON "
                  "CONFLICT (host_id)"
                  " DO UPDATE SET spool_epoch = excluded.spool_epoch, acked_seq = excluded.acked_seq,"
                  " last_seen = excluded.last_seen",
                  VALS(V_INT(r->host_id), V_INT(r->spool_epoch), V_INT(r->acked_seq), V_INT(r->last_seen)));
}

static int by_head_key(const void *a, const void *b)
{
    const struct lazy_head *x = *(struct lazy_head *const *)a, *y = *(struct lazy_head *const *)b;

    if (x->key.host_id != y->key.host_id)
        return x->key.host_id < y->key.host_id ? -1 : 1;
    return str_cmp(lazy_section(x), lazy_section(y));
}

static int by_host(const void *a, const void *b)
{
    const struct lazy_seen *x = *(struct lazy_seen *const *)a, *y = *(struct lazy_seen *const *)b;
    return x->row.host_id < y->row.host_id ? -1 : x->row.host_id > y->row.host_id;
}

static int by_object_key(const void *a, const void *b)
{
    const struct object_key *x = &(*(struct lazy_object *const *)a)->key,
                            *y = &(*(struct lazy_object *const *)b)->key;

    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static void start_sweep(struct lazy *l)
{
    struct lazy_head *h, *next_h;
    struct lazy_seen *s, *next_s;
    struct lazy_object *o, *next_o;

    stop_sweep(l);
    HASH_ITER(hh, l->heads, h, next_h)
    *vec_add(&l->heads_due) = h;
    HASH_ITER(hh, l->seens, s, next_s)
    *vec_add(&l->seens_due) = s;
    HASH_ITER(hh, l->objects, o, next_o)
    *vec_add(&l->objects_due) = o;
    if (l->objects_due.n)
        qsort(l->objects_due.v, l->objects_due.n, sizeof(l->objects_due.v[0]), by_object_key);
    if (l->heads_due.n)
        qsort(l->heads_due.v, l->heads_due.n, sizeof(l->heads_due.v[0]), by_head_key);
    if (l->seens_due.n)
        qsort(l->seens_due.v, l->seens_due.n, sizeof(l->seens_due.v[0]), by_host);
    l->sweep_upto = l->newest;
}

/* Files up to @n of each. One that changed in this very transaction stays: it is journalled again behind
 * sweep_upto. */
static int sweep(struct writer *w, size_t n)
{
    struct lazy *l = w->lazy;
    int e = 0;

    for (size_t i = 0; i < n && l->next_head < l->heads_due.n && e == 0; i++) {
        struct lazy_head *h = l->heads_due.v[l->next_head++];
        if (h->is_touched)
            continue;
        e = file_head(w, h);
        del_head(l, h);
    }
    for (size_t i = 0; i < n && l->next_seen < l->seens_due.n && e == 0; i++) {
        struct lazy_seen *s = l->seens_due.v[l->next_seen++];
        if (s->is_touched)
            continue;
        e = file_seen(w, &s->row);
        del_seen(l, s);
    }
    for (size_t i = 0; i < n && l->next_object < l->objects_due.n && e == 0; i++) {
        struct lazy_object *o = l->objects_due.v[l->next_object++];
        if (o->is_touched)
            continue;
        if (o->body)
            e = objects__file(w->db, (uint32_t)o->key.kind, o->key.id, o->parent,
                              str_bytes(o->body, o->body_len));
        del_object(l, o);
    }
    if (e < 0 || l->next_head < l->heads_due.n || l->next_seen < l->seens_due.n ||
        l->next_object < l->objects_due.n)
        return e;
    e = db_run(w->db, "DELETE FROM lazy WHERE id <= ?", VALS(V_INT(l->sweep_upto)));
    l->journal_bytes =
        0; /* of what came since the sweep began nothing is counted: it only decides when the next begins */
    stop_sweep(l);
    return e;
}

static size_t n_touched(const struct lazy *l)
{
    return l->touched_heads.n + l->touched_seens.n + l->touched_objects.n;
}

/* What this transaction changed, as one row. */
static int write_journal(struct writer *w)
{
    struct lazy *l = w->lazy;

    if (n_touched(l) + l->forgotten.n == 0)
        return 0;
    for (size_t i = 0; i < l->forgotten.n; i++)
        word_forgotten(&l->scratch, l->forgotten.v[i]);
    for (size_t i = 0; i < l->touched_heads.n; i++) {
        word_head(&l->scratch, l->touched_heads.v[i]);
        l->touched_heads.v[i]->is_touched = false;
    }
    for (size_t i = 0; i < l->touched_seens.n; i++) {
        word_seen(&l->scratch, &l->touched_seens.v[i]->row);
        l->touched_seens.v[i]->is_touched = false;
    }
    for (size_t i = 0; i < l->touched_objects.n; i++) {
        struct lazy_object *o = l->touched_objects.v[i];
        if (o->body)
            word_object(&l->scratch, o->key.kind, o->key.id, o->parent, str_bytes(o->body, o->body_len));
        else
            word_settled(&l->scratch, o->key.kind, o->key.id);
        o->is_touched = false;
    }
    l->touched_heads.n = l->touched_seens.n = l->touched_objects.n = l->forgotten.n = 0;
    l->journal_bytes += l->scratch.len;
    l->newest++;
    int e = db_run(w->db, "INSERT INTO lazy (id, data) VALUES (?, ?)", VALS(V_INT(l->newest), V_BLOB(buf_as_str(&l->scratch))));
    buf_reset(&l->scratch);
    buf_trim(&l->scratch, SCRATCH_KEPT);
    return e;
}

/* Of one sort. */
static size_t most_touched(const struct lazy *l)
{
    size_t n = l->touched_heads.n > l->touched_seens.n ? l->touched_heads.n : l->touched_seens.n;
    return n > l->touched_objects.n ? n : l->touched_objects.n;
}

int lazy_commit(struct writer *w)
{
    struct lazy *l = w->lazy;
    int e = 0;

    if (!l->sweep_upto && (HASH_COUNT(l->heads) > SWEEP_AT || HASH_COUNT(l->seens) > SWEEP_AT ||
                           HASH_COUNT(l->objects) > OBJECTS_AT || l->journal_bytes > JOURNAL_BYTES))
        start_sweep(l);
    if (l->sweep_upto)
        e = sweep(w, SWEEP_LEAST + 2 * most_touched(l)); /* faster than it fills, but not by much: it shares pages */
    return e < 0 ? e : write_journal(w);
}

int lazy_file_all(struct writer *w)
{
    struct lazy *l = w->lazy;

    start_sweep(l);
    int e = sweep(w, SIZE_MAX);
    if (e == 0 && !n_touched(l))
        l->object_kinds = 0; /* not a word is left */
    return e;
}

bool lazy_is_empty(const struct writer *w)
{
    const struct lazy *l = w->lazy;
    return !l->heads && !l->seens && !l->objects && l->journal_bytes == 0;
}

/* -- reading the journal */

/* The last word of each row into memory, as the transactions left it. */
static int replay(void *ctx, const struct word *r)
{
    struct lazy *l = ctx;
    struct lazy_object *o;
    struct lazy_head *h;

    switch (r->type) {
    case WORD_FORGOTTEN:
        forget_in_memory(l, r->id);
        break;
    case WORD_SEEN:
        get_seen(l, r->id)->row = r->seen;
        break;
    case WORD_HEAD:
        h = find_head(l, r->id, r->h.section);
        if (!h)
            h = add_head(l, r->id, r->h.section);
        h->status = r->h.status;
        h->is_blind = r->unfolded < 0;
        h->n_unfolded = lazy_abs(r->unfolded);
        h->digest = r->h.digest;
        h->taken_at = r->h.taken_at;
        h->received_at = r->h.received_at;
        h->n_rows = r->h.n_rows;
        h->last_id = r->last_id;
        lazy_set_message(h, r->h.message);
        break;
    case WORD_OBJECT:
        set_object(l, get_object(l, r->kind, r->id), r->parent, r->body);
        break;
    case WORD_SETTLED:
        if ((o = find_object(l, r->kind, r->id)))
            void_object(o);
        break;
    }
    return 0;
}

int lazy_begin(struct writer *w)
{
    struct lazy *l = w->lazy;
    int e;

    if (!l->is_stale)
        return 0;
    drop_all(l);
    l->journal_bytes = 0;
    e = words_each(w->db, replay, l, &l->newest, &l->journal_bytes);
    l->is_stale = e < 0;
    return e;
}

void lazy_undo(struct writer *w)
{
    w->lazy->is_stale = true;
}

int lazy_open(struct writer *w)
{
    int e = db_begin(w->db);

    w->lazy = xnew0(struct lazy);
    w->lazy->scratch = BUF(RECORDS_MAX);
    w->lazy->is_stale = true;
    if (e == 0)
        e = lazy_begin(w);
    if (e == 0 && w->lazy->newest)
        e = lazy_file_all(w);
    if (e == 0)
        e = db_commit(w->db);
    if (e < 0)
        db_rollback(w->db);
    return e;
}

void lazy_free(struct writer *w)
{
    struct lazy *l = w->lazy;

    if (!l)
        return;
    drop_all(l);
    vec_done(&l->touched_heads);
    vec_done(&l->touched_seens);
    vec_done(&l->touched_objects);
    vec_done(&l->forgotten);
    vec_done(&l->heads_due);
    vec_done(&l->seens_due);
    vec_done(&l->objects_due);
    buf_done(&l->scratch);
    free(l);
    w->lazy = NULL;
}

struct overlay {
    uint64_t host_id;
    void (*fn)(void *ctx, const struct fact_head *h, int64_t last_id);
    void *ctx;
};

static int overlay(void *ctx, const struct word *r)
{
    struct overlay *o = ctx;

    if (r->id == o->host_id && r->type == WORD_HEAD)
        o->fn(o->ctx, &r->h, r->last_id);
    else if (r->id == o->host_id && r->type == WORD_FORGOTTEN)
        o->fn(o->ctx, NULL, 0);
    return 0;
}

int lazy_overlay(struct db *db, uint64_t host_id,
                 void (*fn)(void *ctx, const struct fact_head *h, int64_t last_id), void *ctx)
{
    struct overlay o = { host_id, fn, ctx };
    return words_each(db, overlay, &o, NULL, NULL);
}
