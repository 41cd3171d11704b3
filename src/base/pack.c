/* base/pack.c - see pack.h. Two walks over the same table: one adds up what is needed, one lays it out. */
#include "base/pack.h"

#include <assert.h>

#include "base/mem.h"

enum { ALIGN = sizeof(void *) };

static size_t aligned(size_t n)
{
    return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

/* Where the next array and the next string go: arrays first, so that only they need aligning. */
struct room {
    char *array, *text;
    size_t array_bytes, text_bytes; /* of the first walk */
};

static void count_members(const struct record *rec, const void *obj, struct room *r);
static void move_members(const struct record *rec, void *obj, struct room *r);

static size_t element_size(const struct field *f)
{
    return f->type == FT_LIST ? f->sub->size : f->type == FT_MAP ? sizeof(struct kv) : sizeof(struct str);
}

static void count_str(const struct str *s, struct room *r)
{
    r->text_bytes += s->ptr ? s->len + 1 : 0;
}

static void count_list(const struct field *f, const struct any_list *list, struct room *r)
{
    r->array_bytes += aligned(list->n * element_size(f));
    for (size_t i = 0; i < list->n; i++) {
        const char *e = (const char *)list->v + i * element_size(f);

        if (f->type == FT_LIST) {
            count_members(f->sub, e, r);
            continue;
        }
        count_str((const struct str *)e, r);
        if (f->type == FT_MAP)
            count_str((const struct str *)e + 1, r);
    }
}

static void count_members(const struct record *rec, const void *obj, struct room *r)
{
    for (size_t i = 0; i < rec->n_fields; i++) {
        const struct field *f = &rec->fields[i];
        const void *m = (const char *)obj + f->offset;

        if (f->type == FT_STR || f->type == FT_JSON || f->type == FT_BYTES)
            count_str(m, r);
        else if (f->type == FT_STR_LIST || f->type == FT_MAP || f->type == FT_LIST)
            count_list(f, m, r);
        else if (f->type == FT_SUB)
            count_members(f->sub, m, r);
    }
}

static void move_str(struct str *s, struct room *r)
{
    if (!s->ptr)
        return;
    if (s->len)
        memcpy(r->text, s->ptr, s->len);
    r->text[s->len] = '\0';
    s->ptr = r->text;
    r->text += s->len + 1;
}

static void move_list(const struct field *f, struct any_list *list, struct room *r)
{
    size_t bytes = list->n * element_size(f);
    char *to = r->array;

    if (bytes == 0) {
        *list = (struct any_list){ 0 };
        return;
    }
    memcpy(to, list->v, bytes);
    r->array += aligned(bytes);
    list->v = to;
    for (size_t i = 0; i < list->n; i++) {
        char *e = to + i * element_size(f);

        if (f->type == FT_LIST) {
            move_members(f->sub, e, r);
            continue;
        }
        move_str((struct str *)(void *)e, r);
        if (f->type == FT_MAP)
            move_str((struct str *)(void *)e + 1, r);
    }
}

static void move_members(const struct record *rec, void *obj, struct room *r)
{
    for (size_t i = 0; i < rec->n_fields; i++) {
        const struct field *f = &rec->fields[i];
        void *m = (char *)obj + f->offset;

        if (f->type == FT_STR || f->type == FT_JSON || f->type == FT_BYTES)
            move_str(m, r);
        else if (f->type == FT_STR_LIST || f->type == FT_MAP || f->type == FT_LIST)
            move_list(f, m, r);
        else if (f->type == FT_SUB)
            move_members(f->sub, m, r);
    }
}

void *record_pack(const struct record *rec, const void *obj)
{
    struct room r = { 0 };
    char *block;

    count_members(rec, obj, &r);
    block = xmalloc(aligned(rec->size) + r.array_bytes + r.text_bytes + 1);
    memcpy(block, obj, rec->size);
    r.array = block + aligned(rec->size);
    r.text = r.array + r.array_bytes;
    move_members(rec, block, &r);
    return block;
}

static bool list_eq(const struct field *f, const struct any_list *a, const struct any_list *b)
{
    size_t size = element_size(f);

    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const char *x = (const char *)a->v + i * size, *y = (const char *)b->v + i * size;

        if (f->type == FT_LIST ? !record_eq(f->sub, x, y) : !str_eq(*(const struct str *)x, *(const struct str *)y))
            return false;
        if (f->type == FT_MAP && !str_eq(((const struct kv *)x)->value, ((const struct kv *)y)->value))
            return false;
    }
    return true;
}

bool field_eq(const struct field *f, const void *a, const void *b)
{
    const void *x = (const char *)a + f->offset, *y = (const char *)b + f->offset;

    switch (f->type) {
    case FT_STR:
    case FT_JSON:
    case FT_BYTES:
        return str_eq(*(const struct str *)x, *(const struct str *)y);
    case FT_BOOL:
        return *(const bool *)x == *(const bool *)y;
    case FT_I32:
    case FT_U32:
    case FT_ENUM:
        return memcmp(x, y, sizeof(uint32_t)) == 0;
    case FT_I64:
    case FT_U64:
    case FT_TIME:
    case FT_TIME_MS:
    case FT_DURATION:
    case FT_F64:
        return memcmp(x, y, sizeof(uint64_t)) == 0;
    case FT_STR_LIST:
    case FT_MAP:
    case FT_LIST:
        return list_eq(f, x, y);
    case FT_SUB:
        return record_eq(f->sub, x, y);
    }
    assert(!"a field of no type");
    return false;
}

bool record_eq(const struct record *rec, const void *a, const void *b)
{
    for (size_t i = 0; i < rec->n_fields; i++)
        if (!field_eq(&rec->fields[i], a, b))
            return false;
    return true;
}
