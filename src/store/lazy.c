/* store/lazy.c - see lazy.h.
 *
 * Replaying is safe at any moment: every change of these rows leaves a word in the journal, so the last one
 * about a row that is still in it is never older than the row's table. */
#include "store/lazy_priv.h"

#include <errno.h>

#include "store/lazy_words.h"

enum {
    SWEEP_AT = 4096,         /* rows in memory that make a sweep begin */
    OBJECTS_AT = 16384,      /* objects: nine a page, so a sweep wants many to share its pages */
    SWEEP_LEAST = 32,        /* filed per commit at least; more when more comes in */
    JOURNAL_BYTES = 8 << 20, /* that make a sweep begin, too */
    RECORDS_MAX = 512 << 20, /* of one transaction: a cap for form's sake */
    SCRATCH_KEPT = 1 << 20,
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

void lazy__del_head(struct lazy *l, struct lazy_head *h)
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

void lazy__del_seen(struct lazy *l, struct lazy_seen *s)
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

void lazy__del_object(struct lazy *l, struct lazy_object *o)
{
    HASH_DEL(l->objects, o);
    free(o->body);
    free(o);
}

static void drop_all(struct lazy *l)
{
    struct lazy_head *h, *next_h;
    struct lazy_seen *s, *next_s;
    struct lazy_object *o, *next_o;

    HASH_ITER(hh, l->heads, h, next_h)
    lazy__del_head(l, h);
    HASH_ITER(hh, l->seens, s, next_s)
    lazy__del_seen(l, s);
    HASH_ITER(hh, l->objects, o, next_o)
    lazy__del_object(l, o);
    l->object_kinds = 0;
    l->touched_heads.n = l->touched_seens.n = l->touched_objects.n = l->forgotten.n = 0;
    lazy__stop_sweep(l);
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

    lazy__stop_sweep(l); /* it may be about to file what goes */
    for (size_t i = l->touched_heads.n; i-- > 0;)
        if (l->touched_heads.v[i]->key.host_id == host_id)
            vec_del_swap(&l->touched_heads, i);
    for (size_t i = l->touched_seens.n; i-- > 0;)
        if (l->touched_seens.v[i]->row.host_id == host_id)
            vec_del_swap(&l->touched_seens, i);
    HASH_ITER(hh, l->heads, h, next)
    if (h->key.host_id == host_id)
        lazy__del_head(l, h);
    HASH_FIND(hh, l->seens, &host_id, sizeof(host_id), s);
    if (s)
        lazy__del_seen(l, s);
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

/* -- journalling */

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
        lazy__start_sweep(l);
    if (l->sweep_upto)
        e = lazy__sweep(w, SWEEP_LEAST + 2 * most_touched(l)); /* faster than it fills, but not by much: it shares pages */
    return e < 0 ? e : write_journal(w);
}

int lazy_file_all(struct writer *w)
{
    struct lazy *l = w->lazy;

    lazy__start_sweep(l);
    int e = lazy__sweep(w, SIZE_MAX);
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
