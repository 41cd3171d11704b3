/* store/lazy_words.c - see lazy_words.h. */
#include "store/lazy_words.h"

#include <errno.h>

/* -- writing */

static void put_type(struct buf *b, enum word_type type, uint64_t id)
{
    (void)buf_char(b, (char)type);
    (void)buf_le64(b, id);
}

static void put_u64(struct buf *b, uint64_t v)
{
    (void)buf_le64(b, v);
}

static void put_str(struct buf *b, struct str s)
{
    (void)buf_le32(b, (uint32_t)s.len);
    (void)buf_str(b, s);
}

void word_forgotten(struct buf *b, uint64_t host_id)
{
    put_type(b, WORD_FORGOTTEN, host_id);
}

void word_head(struct buf *b, const struct lazy_head *h)
{
    put_type(b, WORD_HEAD, h->key.host_id);
    put_str(b, lazy_section(h));
    put_str(b, str_of(h->message));
    put_str(b, str_bytes(h->digest.b, SHA256_LEN));
    put_u64(b, h->status);
    put_u64(b, (uint64_t)lazy_unfolded(h));
    put_u64(b, h->taken_at);
    put_u64(b, h->received_at);
    put_u64(b, h->n_rows);
    put_u64(b, (uint64_t)h->last_id);
}

void word_seen(struct buf *b, const struct seen_row *r)
{
    put_type(b, WORD_SEEN, r->host_id);
    put_u64(b, r->spool_epoch);
    put_u64(b, r->acked_seq);
    put_u64(b, r->last_seen);
}

void word_object(struct buf *b, uint64_t kind, uint64_t id, uint64_t parent, struct str body)
{
    put_type(b, WORD_OBJECT, id);
    put_u64(b, kind);
    put_u64(b, parent);
    put_str(b, body);
}

void word_settled(struct buf *b, uint64_t kind, uint64_t id)
{
    put_type(b, WORD_SETTLED, id);
    put_u64(b, kind);
}

/* -- reading */

static bool get_u64(struct str *s, uint64_t *ret)
{
    if (s->len < 8)
        return false;
    *ret = 0;
    for (int i = 7; i >= 0; i--)
        *ret = *ret << 8 | (uint8_t)s->ptr[i];
    *s = str_sub(*s, 8, SIZE_MAX);
    return true;
}

static bool get_str(struct str *s, struct str *ret)
{
    size_t n = 0;

    if (s->len < 4)
        return false;
    for (int i = 3; i >= 0; i--)
        n = n << 8 | (uint8_t)s->ptr[i];
    if (n > s->len - 4)
        return false;
    *ret = str_sub(*s, 4, n);
    *s = str_sub(*s, 4 + n, SIZE_MAX);
    return true;
}

static bool get_head(struct str *s, struct word *r)
{
    struct str digest;
    uint64_t status, unfolded, last_id;

    if (!get_str(s, &r->h.section) || !get_str(s, &r->h.message) || !get_str(s, &digest) ||
        digest.len != SHA256_LEN || !get_u64(s, &status) || !get_u64(s, &unfolded) ||
        !get_u64(s, &r->h.taken_at) || !get_u64(s, &r->h.received_at) || !get_u64(s, &r->h.n_rows) ||
        !get_u64(s, &last_id))
        return false;
    memcpy(r->h.digest.b, digest.ptr, SHA256_LEN);
    r->h.host_id = r->id;
    r->h.status = (enum section_status)status;
    r->unfolded = (int64_t)unfolded;
    r->last_id = (int64_t)last_id;
    return true;
}

static bool get_kind(struct str *s, struct word *r)
{
    uint64_t kind;

    if (!get_u64(s, &kind) || kind >= OBJECT_KINDS)
        return false;
    r->kind = (uint32_t)kind;
    return true;
}

static bool get_fields(struct str *s, struct word *r)
{
    switch (r->type) {
    case WORD_FORGOTTEN:
        return true;
    case WORD_HEAD:
        return get_head(s, r);
    case WORD_SEEN:
        r->seen.host_id = r->id;
        return get_u64(s, &r->seen.spool_epoch) && get_u64(s, &r->seen.acked_seq) &&
               get_u64(s, &r->seen.last_seen);
    case WORD_OBJECT:
        return get_kind(s, r) && get_u64(s, &r->parent) && get_str(s, &r->body);
    case WORD_SETTLED:
        return get_kind(s, r);
    }
    return false;
}

/* 1 and the word, 0 at the end, -EBADMSG. */
static int next_word(struct str *s, struct word *r)
{
    if (s->len == 0)
        return 0;
    r->type = (enum word_type)s->ptr[0];
    *s = str_sub(*s, 1, SIZE_MAX);
    return get_u64(s, &r->id) && get_fields(s, r) ? 1 : -EBADMSG;
}

int words_each(struct db *db, int (*fn)(void *ctx, const struct word *r), void *ctx, int64_t *ret_newest,
               size_t *ret_bytes)
{
    AUTO(rows_done) struct rows *rows = NULL;
    int e = db_query(db, "SELECT id, data FROM lazy ORDER BY id", NULL, 0, &rows);

    while (e == 0 && (e = rows_next(rows)) == 1) {
        struct str s = col_str(rows, 1);
        struct word r;
        if (ret_newest)
            *ret_newest = col_i64(rows, 0);
        if (ret_bytes)
            *ret_bytes += s.len;
        while ((e = next_word(&s, &r)) == 1 && (e = fn(ctx, &r)) == 0)
            ;
    }
    return e;
}
