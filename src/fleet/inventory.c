/* fleet/inventory.c - see inventory.h. */
#include "fleet/inventory.h"

#include <endian.h>
#include <errno.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/vec.h"

/* -- digests: 256-bit little-endian sums, four words at a time */

void fact_row_hash(const struct fact_row *row, struct fact_digest *ret)
{
    static const char tag[] = "muster.row"; /* its NUL is the separator */
    uint8_t small[1024], *p = small;
    size_t n = sizeof(tag) + row->key.len + 1 + row->json.len;
    AUTO_FREE uint8_t *large = NULL;

    if (n > sizeof(small))
        p = large = xmalloc(n);
    memcpy(p, tag, sizeof(tag));
    if (row->key.len)
        memcpy(p + sizeof(tag), row->key.ptr, row->key.len);
    p[sizeof(tag) + row->key.len] = 0;
    if (row->json.len)
        memcpy(p + sizeof(tag) + row->key.len + 1, row->json.ptr, row->json.len);
    sha256(str_bytes(p, n), ret->b);
}

static void load(const struct fact_digest *d, uint64_t w[4])
{
    memcpy(w, d->b, SHA256_LEN);
    for (int i = 0; i < 4; i++)
        w[i] = le64toh(w[i]);
}

static void save(struct fact_digest *d, uint64_t w[4])
{
    for (int i = 0; i < 4; i++)
        w[i] = htole64(w[i]);
    memcpy(d->b, w, SHA256_LEN);
}

void fact_digest_add(struct fact_digest *d, const struct fact_digest *h)
{
    uint64_t a[4], b[4];
    bool carry = false;

    load(d, a);
    load(h, b);
    for (int i = 0; i < 4; i++) {
        bool c1 = __builtin_add_overflow(a[i], b[i], &a[i]);
        bool c2 = __builtin_add_overflow(a[i], (uint64_t)carry, &a[i]);
        carry = c1 || c2;
    }
    save(d, a);
}

void fact_digest_sub(struct fact_digest *d, const struct fact_digest *h)
{
    uint64_t a[4], b[4];
    bool borrow = false;

    load(d, a);
    load(h, b);
    for (int i = 0; i < 4; i++) {
        bool c1 = __builtin_sub_overflow(a[i], b[i], &a[i]);
        bool c2 = __builtin_sub_overflow(a[i], (uint64_t)borrow, &a[i]);
        borrow = c1 || c2;
    }
    save(d, a);
}

bool fact_digest_eq(const struct fact_digest *a, const struct fact_digest *b)
{
    return memcmp(a->b, b->b, SHA256_LEN) == 0;
}

/* -- bodies */

static int by_key(const void *a, const void *b)
{
    const struct fact_row *x = a, *y = b;
    return str_cmp(x->key, y->key);
}

static int append_row(struct buf *body, const struct fact_row *row)
{
    uint8_t *p;
    size_t n = 8 + row->key.len + row->json.len;
    uint32_t lens[2] = { htole32((uint32_t)row->key.len), htole32((uint32_t)row->json.len) };
    int r = buf_reserve(body, n, &p);

    if (r < 0)
        return r;
    memcpy(p, lens, 8);
    if (row->key.len)
        memcpy(p + 8, row->key.ptr, row->key.len);
    if (row->json.len)
        memcpy(p + 8 + row->key.len, row->json.ptr, row->json.len);
    buf_commit(body, n);
    return 0;
}

/* Keys are identities and never empty. */
static bool row_fits(const struct fact_row *row)
{
    return row->key.len > 0 && row->key.len <= LIMIT_ROW_BYTES &&
           row->json.len <= LIMIT_ROW_BYTES - row->key.len;
}

int body_make(struct fact_row *rows, size_t n, struct buf *body, struct err *err)
{
    size_t start = body->len;
    int r = 0;

    if (n > LIMIT_SECTION_ROWS)
        return err_set(err, -ENOBUFS, "field.too_long", "%zu rows; a section may have %d", n,
                       LIMIT_SECTION_ROWS);
    if (n)
        qsort(rows, n, sizeof(*rows), by_key);
    for (size_t i = 0; i < n && r == 0; i++) {
        if (!row_fits(&rows[i]))
            r = err_set(err, -ENOBUFS, "field.too_long",
                        "a row's key must not be empty and the row at most %d bytes", LIMIT_ROW_BYTES);
        else if (i > 0 && str_eq(rows[i - 1].key, rows[i].key))
            r = err_set(err, -EINVAL, "field.duplicate", "key \"%.*s\" appears twice",
                        (int)(rows[i].key.len > 100 ? 100 : rows[i].key.len), rows[i].key.ptr);
        else if (append_row(body, &rows[i]) < 0 || body->len - start > LIMIT_SECTION_BYTES)
            r = err_set(err, -ENOBUFS, "field.too_long", "the section is larger than %zu bytes",
                        body->max < LIMIT_SECTION_BYTES ? body->max : (size_t)LIMIT_SECTION_BYTES);
    }
    if (r < 0)
        body->len = start;
    return r;
}

/* { u32 key length, u32 json length, key, json } at @*pos. */
static int next_row(struct str s, size_t *pos, struct fact_row *ret)
{
    uint32_t lens[2];

    if (s.len - *pos < sizeof(lens))
        return -EBADMSG;
    memcpy(lens, s.ptr + *pos, sizeof(lens));
    size_t key = le32toh(lens[0]), json = le32toh(lens[1]), left = s.len - *pos - sizeof(lens);
    if (key > left || json > left - key)
        return -EBADMSG;
    const char *p = s.ptr + *pos + sizeof(lens);
    *ret = (struct fact_row){ { p, key }, { p + key, json } };
    *pos += sizeof(lens) + key + json;
    return 1;
}

int body_next(struct str body, size_t *pos, struct fact_row *ret)
{
    if (*pos >= body.len)
        return *pos == body.len ? 0 : -EBADMSG;
    return next_row(body, pos, ret);
}

int body_check(struct str body)
{
    struct fact_row row, before = { 0 };
    size_t pos = 0, n = 0;
    int r;

    if (body.len > LIMIT_SECTION_BYTES)
        return -EBADMSG;
    while ((r = body_next(body, &pos, &row)) == 1) {
        if (!row_fits(&row) || ++n > LIMIT_SECTION_ROWS || (n > 1 && str_cmp(before.key, row.key) >= 0))
            return -EBADMSG;
        before = row;
    }
    return r;
}

void body_digest(struct str body, struct fact_digest *ret)
{
    struct fact_row row;
    struct fact_digest h;
    size_t pos = 0;

    *ret = (struct fact_digest){ 0 };
    while (body_next(body, &pos, &row) == 1) {
        fact_row_hash(&row, &h);
        fact_digest_add(ret, &h);
    }
}

size_t body_count(struct str body)
{
    struct fact_row row;
    size_t pos = 0, n = 0;

    while (body_next(body, &pos, &row) == 1)
        n++;
    return n;
}

void body_diff(struct str old_body, struct str new_body, body_diff_fn fn, void *ctx)
{
    struct fact_row a, b;
    size_t pa = 0, pb = 0;
    bool has_a = body_next(old_body, &pa, &a) == 1, has_b = body_next(new_body, &pb, &b) == 1;

    while (has_a || has_b) {
        int order = !has_a ? 1 : !has_b ? -1 : str_cmp(a.key, b.key);
        if (order < 0)
            fn(ctx, a.key, a.json, STR_NONE);
        else if (order > 0)
            fn(ctx, b.key, STR_NONE, b.json);
        else if (!str_eq(a.json, b.json))
            fn(ctx, a.key, a.json, b.json);
        if (order <= 0)
            has_a = body_next(old_body, &pa, &a) == 1;
        if (order >= 0)
            has_b = body_next(new_body, &pb, &b) == 1;
    }
}

/* -- deltas */

int delta_add(struct buf *out, char op, struct str key, struct str json)
{
    struct fact_row row = { key, json };
    size_t start = out->len;
    int r = row_fits(&row) ? buf_char(out, op) : -ENOBUFS;

    if (r == 0 && (r = append_row(out, &row)) < 0)
        out->len = start;
    return r;
}

int delta_encode(const struct section_delta *d, struct buf *out)
{
    size_t start = out->len;
    int r = 0;

    for (size_t i = 0; i < d->n_removed && r == 0; i++)
        r = delta_add(out, '-', d->removed[i], STR_NONE);
    for (size_t i = 0; i < d->n_rows && r == 0; i++)
        r = delta_add(out, '+', d->rows[i].key, d->rows[i].json);
    if (r < 0)
        out->len = start;
    return r;
}

int delta_next(struct str delta, size_t *pos, char *ret_op, struct fact_row *ret)
{
    if (*pos >= delta.len)
        return *pos == delta.len ? 0 : -EBADMSG;
    char op = delta.ptr[*pos];
    if (op != '+' && op != '-')
        return -EBADMSG;
    size_t at = *pos + 1;
    int r = next_row(delta, &at, ret);
    if (r < 0)
        return r;
    *pos = at;
    *ret_op = op;
    return 1;
}

struct change {
    struct fact_row row;
    size_t order; /* the later word on a key wins */
    char op;
};
typedef VEC(struct change) change_vec;

static int by_key_then_order(const void *a, const void *b)
{
    const struct change *x = a, *y = b;
    int r = str_cmp(x->row.key, y->row.key);
    return r ? r : x->order < y->order ? -1 : x->order > y->order;
}

static int collect(change_vec *all, struct str delta)
{
    struct fact_row row;
    size_t pos = 0;
    char op;
    int r;

    while ((r = delta_next(delta, &pos, &op, &row)) == 1) {
        if (!row_fits(&row))
            return -EBADMSG;
        struct change *c = vec_add(all);
        *c = (struct change){ row, all->n, op };
    }
    return r;
}

/* Merges sorted @all into @body. */
static int merge(struct str body, const change_vec *all, struct buf *out)
{
    struct fact_row old;
    size_t pos = 0, i = 0, n = 0, start = out->len;
    int more = body_next(body, &pos, &old), r = 0;

    while (more == 1 || i < all->n) {
        while (i + 1 < all->n && str_eq(all->v[i].row.key, all->v[i + 1].row.key))
            i++;
        int order = more != 1 ? 1 : i == all->n ? -1 : str_cmp(old.key, all->v[i].row.key);
        if (order < 0) {
            r = append_row(out, &old);
            n++;
        } else {
            if (all->v[i].op == '+') {
                r = append_row(out, &all->v[i].row);
                n++;
            }
            i++;
        }
        if (r < 0)
            return r;
        if (n > LIMIT_SECTION_ROWS || out->len - start > LIMIT_SECTION_BYTES)
            return -ENOBUFS;
        if (order <= 0)
            more = body_next(body, &pos, &old);
        if (more < 0)
            return more;
    }
    return more < 0 ? more : 0;
}

int body_apply_all(struct str body, const struct str *deltas, size_t n_deltas, struct buf *out)
{
    change_vec all = { 0 };
    size_t start = out->len;
    int r = 0;

    for (size_t i = 0; i < n_deltas && r == 0; i++)
        r = collect(&all, deltas[i]);
    if (r == 0) {
        if (all.n)
            qsort(all.v, all.n, sizeof(all.v[0]), by_key_then_order);
        r = merge(body, &all, out);
    }
    if (r < 0)
        out->len = start;
    vec_done(&all);
    return r;
}

int body_apply(struct str body, struct str delta, struct buf *out)
{
    return body_apply_all(body, &delta, 1, out);
}

/* -- judging */

bool delta_digest_is_right(const struct section_delta *d)
{
    struct fact_digest sum = { 0 }, h;

    for (size_t i = 0; i < d->n_rows; i++) {
        fact_row_hash(&d->rows[i], &h);
        fact_digest_add(&sum, &h);
    }
    return fact_digest_eq(&sum, &d->digest);
}

enum delta_verdict delta_judge(const struct section_delta *d, bool has_recorded,
                               const struct fact_digest *recorded)
{
    if (d->full)
        return delta_digest_is_right(d) ? DELTA_TAKE : DELTA_RESYNC;
    if (!has_recorded)
        return DELTA_RESYNC;
    if (fact_digest_eq(&d->base, recorded))
        return DELTA_TAKE;
    return fact_digest_eq(&d->digest, recorded) ? DELTA_TAKE_SAME : DELTA_RESYNC;
}
