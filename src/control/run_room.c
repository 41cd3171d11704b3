/* control/run_room.c - the memory that runs take, by who owns them: rows are kept whole, and anybody who may log in makes them. Loop
 * thread. */
#include "control/run_priv.h"

struct run_owner {
    uint64_t id;
    size_t bytes;
    UT_hash_handle hh;
};

enum { OF_A_STRING = 16 }; /* what the allocator takes beside the text */

static size_t of_list(const void *member, size_t pair)
{
    const struct any_list *l = member;
    size_t n = 0;
    for (size_t i = 0; i < l->n * pair; i++)
        n += ((const struct str *)l->v)[i].len + sizeof(struct str) + OF_A_STRING;
    return n;
}

size_t run__bytes(const struct record *rec, const void *row)
{
    size_t n = rec->size;
    for (size_t i = 0; i < rec->n_fields; i++) {
        const struct field *f = &rec->fields[i];
        const void *member = (const char *)row + f->offset;
        if (f->type == FT_STR || f->type == FT_JSON)
            n += ((const struct str *)member)->len + OF_A_STRING;
        else if (f->type == FT_STR_LIST || f->type == FT_MAP)
            n += of_list(member, f->type == FT_MAP ? 2 : 1);
    }
    return n;
}

static struct run_owner *owner_of(const struct control *c, uint64_t id)
{
    struct run_owner *o = NULL;
    HASH_FIND(hh, run__book(c)->owners, &id, sizeof(id), o);
    return o;
}

void run__charge(struct control *c, uint64_t owner_id, size_t *member, size_t bytes)
{
    struct run_book *b = run__book(c);
    struct run_owner *o = owner_of(c, owner_id);
    if (*member == bytes)
        return;
    if (!o) {
        o = xnew0(struct run_owner);
        o->id = owner_id;
        HASH_ADD(hh, b->owners, id, sizeof(o->id), o);
    }
    assert(o->bytes >= *member && b->bytes >= *member);
    o->bytes += bytes - *member; /* may wrap down */
    b->bytes += bytes - *member;
    *member = bytes;
    if (o->bytes > 0)
        return;
    HASH_DEL(b->owners, o);
    free(o);
}

bool run__has_room(const struct control *c, uint64_t owner_id, size_t more)
{
    const struct run_owner *o = owner_of(c, owner_id);
    return (o ? o->bytes : 0) + more <= RUN_BYTES_PER_OWNER;
}

bool run__is_full(const struct control *c, size_t more)
{
    return run__book(c)->bytes + more > RUN_BYTES_MAX;
}
