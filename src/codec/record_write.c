/* codec/record_write.c - struct -> JSON, table cells, schema; wiping. See record.h. */
#include <errno.h>

#include "base/mem.h"
#include "base/text.h"
#include "codec/record.h"

static const void *member_of(const struct field *f, const void *obj)
{
    return (const char *)obj + f->offset;
}

/* Empty string or list, zero number or time, false, first enum value, a struct all of whose members are
 * empty. */
static bool is_empty(const struct field *f, const void *obj)
{
    const void *p = member_of(f, obj);
    switch (f->type) {
    case FT_STR:
    case FT_BYTES:
    case FT_JSON:
        return ((const struct str *)p)->len == 0; /* all three are one struct str */
    case FT_BOOL:
        return !*(const bool *)p;
    case FT_I32:
    case FT_U32:
    case FT_ENUM:
        return *(const uint32_t *)p == 0;
    case FT_I64:
    case FT_U64:
    case FT_TIME:
    case FT_TIME_MS:
    case FT_DURATION:
        return *(const uint64_t *)p == 0;
    case FT_F64:
        return *(const double *)p == 0;
    case FT_STR_LIST:
    case FT_MAP:
    case FT_LIST:
        return ((const struct any_list *)p)->n == 0;
    case FT_SUB:
        for (size_t i = 0; i < f->sub->n_fields; i++)
            if (!is_empty(&f->sub->fields[i], p))
                return false;
        return true;
    }
    return false;
}

static void write_time(usec_t t, struct jw *w)
{
    char text[CLOCK_TEXT_MAX];
    clock_format(t, t % USEC_PER_SEC ? 6 : 0, text);
    jw_cstr(w, text);
}

static void write_bytes(struct str s, struct jw *w)
{
    AUTO(buf_done_secret) struct buf b = BUF(s.len / 3 * 4 + 4);
    (void)base64_encode(&b, s); /* fits by arithmetic */
    jw_str(w, buf_as_str(&b));
}

/* 0 is "never" for the two times: null. */
static void write_usec(enum field_type type, usec_t t, struct jw *w)
{
    if (type == FT_DURATION && t % USEC_PER_SEC)
        jw_f64(w, (double)t / 1e6);
    else if (type == FT_DURATION)
        jw_u64(w, t / USEC_PER_SEC);
    else if (t == 0)
        jw_null(w);
    else if (type == FT_TIME_MS)
        jw_u64(w, t / USEC_PER_MS);
    else
        write_time(t, w);
}

static void write_list(const struct field *f, const struct any_list *list, struct jw *w)
{
    jw_list(w);
    for (size_t i = 0; i < list->n; i++) {
        if (f->type == FT_STR_LIST)
            jw_str(w, ((const struct str *)list->v)[i]);
        else
            record_write(f->sub, (const char *)list->v + i * f->sub->size, w);
    }
    jw_end_list(w);
}

static void write_map(const struct kv_list *map, struct jw *w)
{
    jw_map(w);
    for (size_t i = 0; i < map->n; i++) {
        jw_key_str(w, map->v[i].key);
        jw_str(w, map->v[i].value);
    }
    jw_end_map(w);
}

static void write_value(const struct field *f, const void *obj, struct jw *w)
{
    const void *p = member_of(f, obj);
    switch (f->type) {
    case FT_STR:
        jw_str(w, *(const struct str *)p);
        break;
    case FT_BOOL:
        jw_bool(w, *(const bool *)p);
        break;
    case FT_I32:
        jw_i64(w, *(const int32_t *)p);
        break;
    case FT_U32:
        jw_u64(w, *(const uint32_t *)p);
        break;
    case FT_I64:
        jw_i64(w, *(const int64_t *)p);
        break;
    case FT_U64:
        jw_u64(w, *(const uint64_t *)p);
        break;
    case FT_F64:
        jw_f64(w, *(const double *)p);
        break;
    case FT_TIME:
    case FT_TIME_MS:
    case FT_DURATION:
        write_usec(f->type, *(const usec_t *)p, w);
        break;
    case FT_ENUM:
        jw_cstr(w, name_of(f->names, *(const int *)p));
        break;
    case FT_BYTES:
        write_bytes(((const struct bytes *)p)->b, w);
        break;
    case FT_JSON:
        jw_raw(w, is_empty(f, obj) ? STR("null") : ((const struct json_text *)p)->text);
        break;
    case FT_MAP:
        write_map(p, w);
        break;
    case FT_SUB:
        record_write(f->sub, p, w);
        break;
    case FT_STR_LIST:
    case FT_LIST:
        write_list(f, p, w);
        break;
    }
}

void record_write_members(const struct record *rec, const void *obj, struct jw *w)
{
    for (size_t i = 0; i < rec->n_fields; i++) {
        const struct field *f = &rec->fields[i];
        bool has_none = (f->flags & (FIELD_OMIT | FIELD_NULLABLE)) && is_empty(f, obj);
        if (has_none && (f->flags & FIELD_OMIT))
            continue;
        jw_key(w, f->name);
        if (has_none)
            jw_null(w);
        else
            write_value(f, obj, w);
    }
}

void record_write(const struct record *rec, const void *obj, struct jw *w)
{
    jw_map(w);
    record_write_members(rec, obj, w);
    jw_end_map(w);
}

/* -- cells */

static int cell_time(usec_t t, usec_t now, struct buf *out)
{
    char text[CLOCK_TEXT_MAX];
    if (t == 0)
        return buf_char(out, '-');
    if (now)
        clock_format_age(now > t ? now - t : 0, text);
    else
        clock_format(t, 0, text);
    return buf_cstr(out, text);
}

static int cell_map(const struct kv_list *m, struct buf *out)
{
    int r = 0;
    for (size_t i = 0; i < m->n && r == 0; i++) {
        r = i ? buf_char(out, ',') : 0;
        if (r == 0)
            r = text_printable(out, m->v[i].key);
        if (r == 0)
            r = buf_char(out, '=');
        if (r == 0)
            r = text_printable(out, m->v[i].value);
    }
    return r;
}

static int cell_list(const struct str_list *l, struct buf *out)
{
    int r = 0;
    for (size_t i = 0; i < l->n && r == 0; i++) {
        r = i ? buf_char(out, ',') : 0;
        if (r == 0)
            r = text_printable(out, l->v[i]);
    }
    return r;
}

int record_cell(const struct field *f, const void *obj, usec_t now, struct buf *out)
{
    const void *p = member_of(f, obj);
    char text[CLOCK_TEXT_MAX];
    if (f->flags & FIELD_SECRET)
        return buf_cstr(out, "(secret)");
    switch (f->type) {
    case FT_STR:
    case FT_JSON:
        return is_empty(f, obj) ? buf_char(out, '-') : text_printable(out, *(const struct str *)p);
    case FT_BOOL:
        return buf_cstr(out, *(const bool *)p ? "yes" : "no");
    case FT_I32:
        return buf_printf(out, "%d", *(const int32_t *)p);
    case FT_U32:
        return buf_printf(out, "%u", *(const uint32_t *)p);
    case FT_I64:
        return buf_printf(out, "%lld", (long long)*(const int64_t *)p);
    case FT_U64:
        return buf_printf(out, "%llu", (unsigned long long)*(const uint64_t *)p);
    case FT_F64:
        return buf_printf(out, "%.6g", *(const double *)p);
    case FT_TIME:
    case FT_TIME_MS:
        return cell_time(*(const usec_t *)p, now, out);
    case FT_DURATION:
        clock_format_age(*(const usec_t *)p, text);
        return buf_cstr(out, text);
    case FT_ENUM:
        return buf_cstr(out, name_of(f->names, *(const int *)p));
    case FT_BYTES:
        return buf_printf(out, "%zu bytes", ((const struct bytes *)p)->b.len);
    case FT_STR_LIST:
        return is_empty(f, obj) ? buf_char(out, '-') : cell_list(p, out);
    case FT_MAP:
        return is_empty(f, obj) ? buf_char(out, '-') : cell_map(p, out);
    case FT_LIST:
        return buf_printf(out, "%zu", ((const struct any_list *)p)->n);
    case FT_SUB:
        return buf_cstr(out, "...");
    }
    return 0;
}

/* -- wiping */

static void wipe_str(const struct str *s)
{
    secret_wipe((void *)(uintptr_t)s->ptr, s->len); /* ours: the arena's copy */
}

static void wipe_member(const struct field *f, void *p)
{
    const struct str_list *list = p;
    const struct kv_list *map = p;
    if (f->type == FT_STR || f->type == FT_BYTES || f->type == FT_JSON)
        wipe_str(p);
    for (size_t i = 0; f->type == FT_STR_LIST && i < list->n; i++)
        wipe_str(&list->v[i]);
    for (size_t i = 0; f->type == FT_MAP && i < map->n; i++)
        wipe_str(&map->v[i].value);
}

void record_wipe(const struct record *rec, void *obj)
{
    for (size_t i = 0; i < rec->n_fields; i++) {
        const struct field *f = &rec->fields[i];
        void *p = (char *)obj + f->offset;
        const struct any_list *list = p;
        if (f->flags & FIELD_SECRET)
            wipe_member(f, p);
        if (f->type == FT_SUB)
            record_wipe(f->sub, p);
        for (size_t k = 0; f->type == FT_LIST && k < list->n; k++)
            record_wipe(f->sub, (char *)list->v + k * f->sub->size);
    }
}

/* -- schema */

static void schema_type(const struct field *f, const char *type, struct jw *w)
{
    jw_key(w, "type");
    bool may_be_null = (f->flags & FIELD_NULLABLE) || f->type == FT_TIME || f->type == FT_TIME_MS;
    if (!may_be_null) {
        jw_cstr(w, type);
        return;
    }
    jw_list(w);
    jw_cstr(w, type);
    jw_cstr(w, "null");
    jw_end_list(w);
}

static void schema_number(const struct field *f, const char *type, const char *format, struct jw *w)
{
    schema_type(f, type, w);
    jw_key(w, "format");
    jw_cstr(w, format);
    if (!f->min_value && !f->max_value)
        return;
    jw_key(w, "minimum");
    jw_i64(w, f->min_value);
    jw_key(w, "maximum");
    jw_i64(w, f->max_value);
}

/* In seconds, as it is spelled. */
static void schema_duration(const struct field *f, struct jw *w)
{
    schema_type(f, "number", w);
    if (!f->max_value)
        return;
    jw_key(w, "minimum");
    jw_i64(w, f->min_value / (int64_t)USEC_PER_SEC);
    jw_key(w, "maximum");
    jw_i64(w, f->max_value / (int64_t)USEC_PER_SEC);
}

static void schema_string(const struct field *f, const char *format, size_t max, struct jw *w)
{
    schema_type(f, "string", w);
    if (format) {
        jw_key(w, "format");
        jw_cstr(w, format);
    }
    if (max) {
        jw_key(w, "maxLength");
        jw_u64(w, max);
    }
}

static void schema_enum(const struct field *f, struct jw *w)
{
    schema_type(f, "string", w);
    jw_key(w, "enum");
    jw_list(w);
    for (const struct name *n = f->names; n->text; n++)
        jw_cstr(w, n->text);
    jw_end_list(w);
}

/* @keyword: "items" or "additionalProperties"; the elements are strings. */
static void schema_strings(const struct field *f, const char *type, const char *keyword,
                           const char *max_keyword, struct jw *w)
{
    schema_type(f, type, w);
    jw_key(w, max_keyword);
    jw_u64(w, f->max);
    jw_key(w, keyword);
    jw_map(w);
    jw_key(w, "type");
    jw_cstr(w, "string");
    jw_key(w, "maxLength");
    jw_u64(w, f->max_each ? f->max_each : 1024);
    jw_end_map(w);
}

static void schema_members(const struct record *rec, struct jw *w);

static void schema_field(const struct field *f, struct jw *w)
{
    switch (f->type) {
    case FT_STR:
        schema_string(f, NULL, f->max, w);
        break;
    case FT_BOOL:
        schema_type(f, "boolean", w);
        break;
    case FT_I32:
        schema_number(f, "integer", "int32", w);
        break;
    case FT_U32:
        schema_number(f, "integer", "uint32", w);
        break;
    case FT_I64:
        schema_number(f, "integer", "int64", w);
        break;
    case FT_U64:
        schema_number(f, "integer", "uint64", w);
        break;
    case FT_F64:
        schema_number(f, "number", "double", w);
        break;
    case FT_TIME:
        schema_string(f, "date-time", 0, w);
        break;
    case FT_TIME_MS:
        schema_number(f, "integer", "int64", w);
        break;
    case FT_DURATION:
        schema_duration(f, w);
        break;
    case FT_ENUM:
        schema_enum(f, w);
        break;
    case FT_BYTES:
        schema_string(f, "byte", ((size_t)f->max + 2) / 3 * 4, w);
        break;
    case FT_JSON:
        break; /* the empty schema: anything */
    case FT_STR_LIST:
        schema_strings(f, "array", "items", "maxItems", w);
        break;
    case FT_MAP:
        schema_strings(f, "object", "additionalProperties", "maxProperties", w);
        break;
    case FT_SUB:
        schema_type(f, "object", w);
        schema_members(f->sub, w);
        break;
    case FT_LIST:
        schema_type(f, "array", w);
        jw_key(w, "maxItems");
        jw_u64(w, f->max);
        jw_key(w, "items");
        record_schema(f->sub, w);
        break;
    }
}

static void schema_members(const struct record *rec, struct jw *w)
{
    size_t n_required = 0;
    jw_key(w, "properties");
    jw_map(w);
    for (size_t i = 0; i < rec->n_fields; i++) {
        const struct field *f = &rec->fields[i];
        n_required += (f->flags & FIELD_REQUIRED) != 0;
        jw_key(w, f->name);
        jw_map(w);
        schema_field(f, w);
        if (f->help) {
            jw_key(w, "description");
            jw_cstr(w, f->help);
        }
        if (f->flags & FIELD_OUT_ONLY) {
            jw_key(w, "readOnly");
            jw_bool(w, true);
        }
        jw_end_map(w);
    }
    jw_end_map(w);
    if (!n_required)
        return;
    jw_key(w, "required");
    jw_list(w);
    for (size_t i = 0; i < rec->n_fields; i++)
        if (rec->fields[i].flags & FIELD_REQUIRED)
            jw_cstr(w, rec->fields[i].name);
    jw_end_list(w);
}

void record_schema(const struct record *rec, struct jw *w)
{
    jw_map(w);
    jw_key(w, "type");
    jw_cstr(w, "object");
    schema_members(rec, w);
    jw_end_map(w);
}
