/* net/outq.c - segments in a list; a segment owns its bytes or one reference to a blob. */
#include "net/outq.h"

#include <assert.h>

#include "base/mem.h"

enum { SEG_MIN = 480, SEG_MAX = 16 << 10, BLOB_COPY_MAX = 512 };

struct outq_seg {
    struct outq_seg *next;
    struct blob *blob; /* NULL: the bytes are in data */
    size_t off, len, cap;
    uint8_t data[];
};

static void add_seg(struct outq *q, struct outq_seg *s)
{
    s->next = NULL;
    if (q->tail)
        q->tail->next = s;
    else
        q->head = s;
    q->tail = s;
}

void outq_bytes(struct outq *q, const void *p, size_t n)
{
    struct outq_seg *t = q->tail;

    if (n == 0)
        return;
    if (!t || t->blob || t->cap - t->len < n) {
        /* Grows with the queue, so a burst of small messages is a handful of allocations. */
        size_t cap = q->len < SEG_MIN ? SEG_MIN : q->len > SEG_MAX ? SEG_MAX : q->len;

        if (cap < n)
            cap = n;
        t = xmalloc(sizeof(*t) + cap);
        *t = (struct outq_seg){ .cap = cap };
        add_seg(q, t);
    }
    memcpy(t->data + t->len, p, n);
    t->len += n;
    q->len += n;
}

void outq_blob(struct outq *q, struct blob *b)
{
    struct str s = blob_str(b);
    struct outq_seg *t;

    if (s.len <= BLOB_COPY_MAX) {
        outq_str(q, s);
        return;
    }
    t = xmalloc(sizeof(*t));
    *t = (struct outq_seg){ .blob = blob_ref(b), .len = s.len };
    add_seg(q, t);
    q->len += s.len;
}

static void drop_head(struct outq *q)
{
    struct outq_seg *s = q->head;

    q->head = s->next;
    if (!q->head)
        q->tail = NULL;
    blob_unref(s->blob);
    free(s);
}

size_t outq_take(struct outq *q, uint8_t *dst, size_t room)
{
    size_t done = 0;

    while (q->head && done < room) {
        struct outq_seg *s = q->head;
        const uint8_t *src = s->blob ? (const uint8_t *)blob_str(s->blob).ptr : s->data;
        size_t n = s->len - s->off;

        if (n > room - done)
            n = room - done;
        memcpy(dst + done, src + s->off, n);
        s->off += n;
        done += n;
        if (s->off == s->len)
            drop_head(q);
    }
    assert(q->len >= done);
    q->len -= done;
    return done;
}

void outq_done(struct outq *q)
{
    while (q->head)
        drop_head(q);
    q->len = 0;
}
