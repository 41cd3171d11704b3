/* base/blob.c - see blob.h. */
#include "base/blob.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/mem.h"

struct blob {
    atomic_size_t n_refs;
    size_t len;
    uint8_t bytes[];
};

struct blob *blob_new(struct str s)
{
    struct blob *b = xmalloc(sizeof(*b) + s.len);
    atomic_init(&b->n_refs, 1);
    b->len = s.len;
    if (s.len)
        memcpy(b->bytes, s.ptr, s.len);
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    size_t before = atomic_fetch_add_explicit(&b->n_refs, 1, memory_order_relaxed);
    assert(before > 0);
    return b;
}

void blob_unref(struct blob *b)
{
    if (!b)
        return;
    /* acq_rel: the one that frees must see what every other reader did before letting go */
    size_t before = atomic_fetch_sub_explicit(&b->n_refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1)
        free(b);
}

struct str blob_str(const struct blob *b)
{
    return b ? str_bytes(b->bytes, b->len) : STR_NONE;
}
