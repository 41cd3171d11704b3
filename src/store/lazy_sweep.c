/* store/lazy_sweep.c - filing: rows from memory into their tables, in key order, a few per commit. See lazy.h. */
#include "store/lazy_priv.h"
#include "store/objects.h"

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

void lazy__stop_sweep(struct lazy *l)
{
    l->heads_due.n = l->seens_due.n = l->objects_due.n = 0;
    l->next_head = l->next_seen = l->next_object = 0;
    l->sweep_upto = 0;
}

void lazy__start_sweep(struct lazy *l)
{
    struct lazy_head *h, *next_h;
    struct lazy_seen *s, *next_s;
    struct lazy_object *o, *next_o;

    lazy__stop_sweep(l);
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

int lazy__sweep(struct writer *w, size_t n)
{
    struct lazy *l = w->lazy;
    int e = 0;

    for (size_t i = 0; i < n && l->next_head < l->heads_due.n && e == 0; i++) {
        struct lazy_head *h = l->heads_due.v[l->next_head++];
        if (h->is_touched)
            continue;
        e = file_head(w, h);
        lazy__del_head(l, h);
    }
    for (size_t i = 0; i < n && l->next_seen < l->seens_due.n && e == 0; i++) {
        struct lazy_seen *s = l->seens_due.v[l->next_seen++];
        if (s->is_touched)
            continue;
        e = file_seen(w, &s->row);
        lazy__del_seen(l, s);
    }
    for (size_t i = 0; i < n && l->next_object < l->objects_due.n && e == 0; i++) {
        struct lazy_object *o = l->objects_due.v[l->next_object++];
        if (o->is_touched)
            continue;
        if (o->body)
            e = objects__file(w->db, (uint32_t)o->key.kind, o->key.id, o->parent,
                              str_bytes(o->body, o->body_len));
        lazy__del_object(l, o);
    }
    if (e < 0 || l->next_head < l->heads_due.n || l->next_seen < l->seens_due.n ||
        l->next_object < l->objects_due.n)
        return e;
    e = db_run(w->db, "DELETE FROM lazy WHERE id <= ?", VALS(V_INT(l->sweep_upto)));
    l->journal_bytes =
        0; /* of what came since the sweep began nothing is counted: it only decides when the next begins */
    lazy__stop_sweep(l);
    return e;
}
