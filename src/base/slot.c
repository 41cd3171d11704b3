/* base/slot.c - see slot.h. Free entries form a list through .next_free. */
#include "base/slot.h"

#include <assert.h>

#include "base/mem.h"
#include "base/vec.h"

struct entry {
    void *obj;          /* NULL: free */
    uint32_t gen;       /* never 0 */
    uint32_t next_free; /* index + 1 */
};
struct slots {
    VEC(struct entry) entries;
    uint32_t first_free; /* index + 1, 0: none */
    size_t n;
};

struct slots *slots_new(void)
{
    return xnew0(struct slots);
}

void slots_free(struct slots *s)
{
    if (!s)
        return;
    vec_done(&s->entries);
    free(s);
}

uint64_t slots_add(struct slots *s, void *obj)
{
    assert(obj);
    uint32_t place = s->first_free; /* index + 1 */
    if (place) {
        s->first_free = s->entries.v[place - 1].next_free;
    } else {
        assert(s->entries.n < UINT32_MAX);
        struct entry *e = vec_add(&s->entries);
        e->gen = 1;
        place = (uint32_t)s->entries.n;
    }
    struct entry *e = &s->entries.v[place - 1];
    e->obj = obj;
    e->next_free = 0;
    s->n++;
    return (uint64_t)e->gen << 32 | place;
}

static struct entry *find(const struct slots *s, uint64_t id)
{
    uint32_t place = (uint32_t)id;
    if (place == 0 || place > s->entries.n)
        return NULL;
    struct entry *e = &s->entries.v[place - 1];
    return e->obj && e->gen == (uint32_t)(id >> 32) ? e : NULL;
}

void *slots_get(const struct slots *s, uint64_t id)
{
    struct entry *e = find(s, id);
    return e ? e->obj : NULL;
}

void *slots_del(struct slots *s, uint64_t id)
{
    struct entry *e = find(s, id);
    if (!e)
        return NULL;
    void *obj = e->obj;
    e->obj = NULL;
    s->n--;
    /* A place whose generations are used up retires: an old id must never come alive again. */
    if (e->gen == UINT32_MAX)
        return obj;
    e->gen++;
    e->next_free = s->first_free;
    s->first_free = (uint32_t)id;
    return obj;
}

size_t slots_count(const struct slots *s)
{
    return s->n;
}

void *slots_next(const struct slots *s, size_t *iter, uint64_t *ret_id)
{
    while (*iter < s->entries.n) {
        size_t i = (*iter)++;
        const struct entry *e = &s->entries.v[i];
        if (!e->obj)
            continue;
        if (ret_id)
            *ret_id = (uint64_t)e->gen << 32 | (i + 1);
        return e->obj;
    }
    return NULL;
}
