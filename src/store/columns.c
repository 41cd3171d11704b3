/* store/columns.c - small documents in columns: labels, claims, job specs, details. */
#define LOG_TARGET "store"
#include <assert.h>

#include "base/limits.h"
#include "base/log.h"
#include "codec/json.h"
#include "codec/record.h"
#include "store/store_priv.h"

static struct str keep_scratch(struct store *s, struct jw *w)
{
    if (jw_done(w) < 0) {
        /* Every value met its own cap on the way in, so a document this large is our mistake. Never half a
         * document. */
        log_error("store.document_too_large", "a row's document was left out",
                  LOG_U64("max", s->scratch.max));
        return STR("{}");
    }
    return store__keep(s, buf_as_str(&s->scratch));
}

struct str store__keep_map(struct store *s, const struct kv_list *kv)
{
    struct jw w = JW(&s->scratch);

    if (kv->n == 0)
        return STR("{}");
    buf_reset(&s->scratch);
    jw_map(&w);
    for (size_t i = 0; i < kv->n; i++) {
        jw_key_str(&w, kv->v[i].key);
        jw_str(&w, kv->v[i].value);
    }
    jw_end_map(&w);
    return keep_scratch(s, &w);
}

struct str store__keep_record(struct store *s, const struct record *rec, const void *obj)
{
    struct jw w = JW(&s->scratch);

    buf_reset(&s->scratch);
    record_write(rec, obj, &w);
    return keep_scratch(s, &w);
}

/* -- documents without secrets */

static bool has_secret(const struct record *rec)
{
    for (size_t i = 0; i < rec->n_fields; i++)
        if (rec->fields[i].flags & FIELD_SECRET || (rec->fields[i].sub && has_secret(rec->fields[i].sub)))
            return true;
    return false;
}

/* @rec without its secret members, at any depth; lives as long as the open unit. */
static const struct record *without_secrets(struct arena *a, const struct record *rec)
{
    struct record *ret = arena_new0(a, struct record);
    struct field *fields = arena_array(a, rec->n_fields, sizeof(*fields));

    *ret = *rec;
    ret->fields = fields;
    ret->n_fields = 0;
    for (size_t i = 0; i < rec->n_fields; i++) {
        if (rec->fields[i].flags & FIELD_SECRET)
            continue;
        struct field *f = &fields[ret->n_fields++];
        *f = rec->fields[i];
        if (f->sub && has_secret(f->sub))
            f->sub = without_secrets(a, f->sub);
    }
    return ret;
}

struct str store__keep_document(struct store *s, const struct record *rec, const void *obj)
{
    struct jw w = JW(&s->scratch);

    buf_reset(&s->scratch);
    record_write(has_secret(rec) ? without_secrets(s->open->a, rec) : rec, obj, &w);
    assert(jw_done(&w) == 0 && s->scratch.len <= LIMIT_OBJECT_BYTES); /* callers cap what goes in */
    return store__keep(s, buf_as_str(&s->scratch));
}

struct str col_keep(struct rows *r, int col, struct arena *a)
{
    return arena_str(a, col_str(r, col));
}

void col_map(struct rows *r, int col, struct arena *a, struct kv_list *ret)
{
    struct str text = col_str(r, col);
    struct node *root;
    struct err err = { 0 };

    *ret = (struct kv_list){ 0 };
    if (text.len <= 2)
        return;
    if (json_parse(a, text, LIMIT_JSON_BYTES, &root, &err) < 0 || root->type != NODE_MAP) {
        log_error("store.bad_document", "a row's document cannot be read", LOG_ERR(&err));
        return;
    }
    struct kv *v = arena_array(a, root->n, sizeof(*v));
    for (const struct node *n = root->child; v && n; n = n->next)
        v[ret->n++] = (struct kv){ n->key, n->type == NODE_STR ? n->s : STR_NONE };
    ret->v = v;
}

void col_record(struct rows *r, int col, struct arena *a, const struct record *rec, void *ret)
{
    struct record_errors errs;
    struct err err = { 0 };

    if (record_decode_json(rec, a, col_str(r, col), LIMIT_JSON_BYTES, ret, &errs, &err) < 0) {
        memset(ret, 0, rec->size);
        log_error("store.bad_document", "a row's document cannot be read", LOG_CSTR("record", rec->name),
                  LOG_ERR(&err));
    }
}
