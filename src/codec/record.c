/* codec/record.c - tree -> struct, by the record's table. See record.h; writing is in record_write.c. */
#include "codec/record.h"

#include <assert.h>
#include <errno.h>
#include <math.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

enum { EACH_DEFAULT = 1024, FIELDS_MAX = 256 };

/* Where we are, as a chain on the stack: rendered only when something is wrong. */
struct place {
    const struct place *up;
    struct str name; /* .ptr NULL: an index */
    size_t index;
};
struct walk {
    struct arena *a;
    struct record_errors *errs;
};

static void put_place(const struct place *p, struct buf *out)
{
    if (!p)
        return;
    put_place(p->up, out);
    if (!p->name.ptr) {
        buf_printf(out, "[%zu]", p->index);
        return;
    }
    if (out->len)
        buf_char(out, '.');
    /* a key of the peer's: long ones are cut, control characters shown */
    struct str name = str_sub(p->name, 0, 64);
    name.len = utf8_whole_prefix(name);
    text_printable(out, name);
}

/* Notes an error; always false, so that a caller can return it. */
__attribute__((format(printf, 4, 5))) static bool bad(struct walk *w, const struct place *at,
                                                      const char *slug, const char *fmt, ...)
{
    struct record_errors *errs = w->errs;
    errs->n_total++;
    if (errs->n == ARRAY_SIZE(errs->v))
        return false;
    AUTO(buf_done) struct buf path = BUF(4096);
    put_place(at, &path);
    struct str p = str_sub(buf_as_str(&path), 0, sizeof(errs->v[0].path) - 1);
    p.len = utf8_whole_prefix(p);
    (void)str_copy(p, errs->v[errs->n].path, sizeof(errs->v[0].path));
    (void)str_copy(str_of(slug), errs->v[errs->n].slug, sizeof(errs->v[0].slug));
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(errs->v[errs->n].text, sizeof(errs->v[0].text), fmt, ap);
    va_end(ap);
    errs->n++;
    return false;
}

static bool bad_type(struct walk *w, const struct place *at, const char *want)
{
    return bad(w, at, "field.type", "must be %s", want);
}

static bool no_room(struct walk *w, const struct place *at)
{
    return bad(w, at, "field.too_large", "the document does not fit");
}

/* -- scalars */

static bool get_str(struct walk *w, const struct place *at, const struct node *n, size_t max, struct str *ret)
{
    if (n->type != NODE_STR)
        return bad_type(w, at, "a string");
    if (n->s.len > max)
        return bad(w, at, "field.too_long", "has %zu bytes, at most %zu are allowed", n->s.len, max);
    *ret = n->s;
    return true;
}

static bool get_bool(struct walk *w, const struct place *at, const struct node *n, bool *ret)
{
    if (n->type == NODE_BOOL) {
        *ret = n->b;
        return true;
    }
    if (n->type == NODE_STR && n->is_bare) {
        bool is_true = str_is(n->s, "true") || str_is(n->s, "1");
        if (is_true || str_is(n->s, "false") || str_is(n->s, "0")) {
            *ret = is_true;
            return true;
        }
    }
    return bad_type(w, at, "true or false");
}

/* A whole number as sign and magnitude, which holds all of int64 and uint64. */
struct whole {
    bool is_negative;
    uint64_t magnitude;
};

/* 0, -EINVAL: not a whole number, -ERANGE: none we can hold. @is_text_ok: a quoted decimal will do. */
static int to_whole(const struct node *n, bool is_text_ok, struct whole *ret)
{
    if (n->type == NODE_INT) {
        *ret = (struct whole){ n->i < 0, n->i < 0 ? 0 - (uint64_t)n->i : (uint64_t)n->i };
        return 0;
    }
    if (n->type == NODE_REAL) { /* 3.0 and 1e3 are whole numbers to JavaScript */
        double r = n->r;
        if (r != floor(r))
            return -EINVAL;
        if (fabs(r) > 9007199254740992.0)
            return -ERANGE;
        *ret = (struct whole){ r < 0, (uint64_t)fabs(r) };
        return 0;
    }
    if (n->type != NODE_STR || !(n->is_bare || is_text_ok))
        return -EINVAL;
    bool is_negative = n->s.len && n->s.ptr[0] == '-';
    ret->is_negative = is_negative;
    int r = str_to_u64(is_negative ? str_sub(n->s, 1, n->s.len) : n->s, &ret->magnitude);
    if (r == 0 && ret->magnitude == 0)
        ret->is_negative = false;
    return r;
}

static bool bad_range(struct walk *w, const struct place *at, const struct field *f, bool is_below)
{
    const char *what = is_below ? "is too small" : "is too large";

    if (f->min_value || f->max_value)
        return bad(w, at, "field.range", "%s: must be between %lld and %lld", what, (long long)f->min_value,
                   (long long)f->max_value);
    return bad(w, at, "field.range", "%s", what);
}

/* True if @v is within the field's own limits and [@low, @high] of its type. */
static bool in_range(const struct field *f, struct whole v, int64_t low, uint64_t high)
{
    if (f->min_value || f->max_value) {
        low = f->min_value;
        high = f->max_value > 0 ? (uint64_t)f->max_value : 0;
        if (f->max_value < 0)
            return v.is_negative && v.magnitude >= 0 - (uint64_t)f->max_value &&
                   v.magnitude <= 0 - (uint64_t)low;
    }
    if (v.is_negative)
        return low < 0 && v.magnitude <= 0 - (uint64_t)low;
    return v.magnitude <= high && (low <= 0 || v.magnitude >= (uint64_t)low);
}

static bool get_whole(struct walk *w, const struct place *at, const struct field *f, const struct node *n,
                      int64_t low, uint64_t high, struct whole *ret)
{
    bool is_wide = f->type == FT_I64 || f->type == FT_U64;
    *ret = (struct whole){ 0 };
    int r = to_whole(n, is_wide, ret);
    if (r == -EINVAL)
        return bad_type(w, at, "a whole number");
    if (r < 0 || !in_range(f, *ret, low, high))
        return bad_range(w, at, f,
                         ret->is_negative || (r == 0 && f->min_value > 0 && ret->magnitude < (uint64_t)f->min_value));
    return true;
}

static int64_t signed_of(struct whole v)
{
    return v.is_negative ? (int64_t)(0 - v.magnitude) : (int64_t)v.magnitude;
}

static bool get_f64(struct walk *w, const struct place *at, const struct field *f, const struct node *n,
                    double *ret)
{
    double v;
    if (n->type == NODE_INT)
        v = (double)n->i;
    else if (n->type == NODE_REAL)
        v = n->r;
    else if (n->type != NODE_STR || !n->is_bare || str_to_f64(n->s, &v) < 0)
        return bad_type(w, at, "a number");
    if ((f->min_value || f->max_value) && (v < (double)f->min_value || v > (double)f->max_value))
        return bad_range(w, at, f, v < (double)f->min_value);
    *ret = v;
    return true;
}

static bool get_time(struct walk *w, const struct place *at, const struct field *f, const struct node *n,
                     usec_t *ret)
{
    if (f->type == FT_TIME) {
        if (n->type != NODE_STR)
            return bad_type(w, at, "a time in RFC 3339");
        if (clock_parse(n->s, ret) < 0)
            return bad(w, at, "field.format", "must be a time such as 2026-11-22T05:56:45Z");
        return true;
    }
    struct whole ms;
    if (!get_whole(w, at, f, n, 0, UINT64_MAX / USEC_PER_MS, &ms))
        return false;
    *ret = ms.magnitude * USEC_PER_MS;
    return true;
}

static bool bad_duration(struct walk *w, const struct place *at, const struct field *f)
{
    if (f->max_value)
        return bad(w, at, "field.range", "must be between %lld and %lld seconds", (long long)f->min_value / (long long)USEC_PER_SEC,
                   (long long)f->max_value / (long long)USEC_PER_SEC);
    return bad(w, at, "field.range", "is not a duration we allow here");
}

static bool get_duration(struct walk *w, const struct place *at, const struct field *f, const struct node *n,
                         usec_t *ret)
{
    usec_t v;
    int r;
    if (n->type == NODE_STR) {
        r = str_to_duration_us(n->s, &v);
    } else if (n->type == NODE_INT) {
        r = n->i < 0 || (uint64_t)n->i > UINT64_MAX / USEC_PER_SEC ? -ERANGE : 0;
        v = r < 0 ? 0 : (usec_t)n->i * USEC_PER_SEC;
    } else if (n->type == NODE_REAL) {
        r = n->r < 0 || n->r > 1e12 ? -ERANGE : 0;
        v = r < 0 ? 0 : (usec_t)(n->r * 1e6 + 0.5);
    } else {
        return bad_type(w, at, "a duration");
    }
    if (r == -EINVAL)
        return bad(w, at, "field.format", "must be seconds or a duration such as 30s, 5m, 1h");
    if (r < 0 || !in_range(f, (struct whole){ false, v }, 0, UINT64_MAX))
        return bad_duration(w, at, f);
    *ret = v;
    return true;
}

/* How far two words begin alike. */
static size_t common(const char *word, struct str got)
{
    size_t n = 0;
    while (n < got.len && word[n] && word[n] == got.ptr[n])
        n++;
    return n;
}

/* As many words as the text has room for, those that begin most like @got first. */
static bool bad_word(struct walk *w, const struct place *at, const struct name *names, struct str got)
{
    AUTO(buf_done) struct buf all = BUF(96);
    size_t n = 0, n_shown = 0, alike = 0;
    for (const struct name *name = names; name->text; name++, n++)
        alike = common(name->text, got) > alike ? common(name->text, got) : alike;
    for (bool is_full = false; !is_full && n_shown < n; alike--)
        for (const struct name *name = names; !is_full && name->text; name++)
            if (common(name->text, got) == alike) {
                is_full = buf_printf(&all, "%s%s", all.len ? ", " : "", name->text) < 0;
                n_shown += !is_full;
            }
    if (n_shown == n)
        return bad(w, at, "field.enum", "must be one of %s", buf_as_cstr(&all));
    return bad(w, at, "field.enum", "must be one of %s ... (%zu in all)", buf_as_cstr(&all), n);
}

static bool get_enum(struct walk *w, const struct place *at, const struct field *f, const struct node *n,
                     int *ret)
{
    if (n->type != NODE_STR)
        return bad_type(w, at, "a string");
    for (const struct name *name = f->names; name->text; name++) {
        if (!str_is(n->s, name->text))
            continue;
        *ret = name->value;
        return true;
    }
    return bad_word(w, at, f->names, n->s);
}

static bool get_bytes(struct walk *w, const struct place *at, const struct field *f, const struct node *n,
                      struct bytes *ret)
{
    if (n->type != NODE_STR)
        return bad_type(w, at, "a string in base64");
    AUTO(buf_done_secret) struct buf b = BUF(f->max);
    int r = base64_decode(&b, n->s);
    if (r == -EINVAL)
        return bad(w, at, "field.format", "must be base64");
    if (r < 0)
        return bad(w, at, "field.too_long", "has more than %u bytes", f->max);
    ret->b = arena_str(w->a, buf_as_str(&b));
    return ret->b.ptr ? true : no_room(w, at);
}

static bool get_json(struct walk *w, const struct place *at, const struct field *f, const struct node *n,
                     struct json_text *ret)
{
    AUTO(buf_done) struct buf b = BUF(f->max);
    if (node_write(n, &b) < 0)
        return bad(w, at, "field.too_long", "has more than %u bytes", f->max);
    ret->text = arena_str(w->a, buf_as_str(&b));
    return ret->text.ptr ? true : no_room(w, at);
}

/* -- many */

static size_t each_max(const struct field *f)
{
    return f->max_each ? f->max_each : EACH_DEFAULT;
}

static bool check_count(struct walk *w, const struct place *at, const struct field *f, size_t n)
{
    if (n <= f->max)
        return true;
    return bad(w, at, "field.too_many", "has %zu elements, at most %u are allowed", n, f->max);
}

/* "a,b,c" of a query or a config line. */
static bool get_split_list(struct walk *w, const struct place *at, const struct field *f, struct str s,
                           struct str_list *ret)
{
    size_t n = s.len ? 1 : 0;
    for (size_t i = 0; i < s.len; i++)
        n += s.ptr[i] == ',';
    if (!check_count(w, at, f, n))
        return false;
    ret->v = arena_array(w->a, n, sizeof(struct str));
    if (!ret->v)
        return no_room(w, at);
    struct str part;
    while (ret->n < n && str_cut(&s, ',', &part)) {
        if (part.len > each_max(f))
            return bad(w, at, "field.too_long", "has an element of %zu bytes, at most %zu are allowed",
                       part.len, each_max(f));
        ret->v[ret->n++] = part;
    }
    return true;
}

static bool get_str_list(struct walk *w, const struct place *at, const struct field *f, const struct node *n,
                         struct str_list *ret)
{
    if (n->type == NODE_STR && n->is_bare)
        return get_split_list(w, at, f, n->s, ret);
    if (n->type != NODE_LIST)
        return bad_type(w, at, "a list of strings");
    if (!check_count(w, at, f, n->n))
        return false;
    ret->v = arena_array(w->a, n->n, sizeof(struct str));
    if (!ret->v)
        return no_room(w, at);
    bool is_ok = true;
    size_t i = 0;
    for (const struct node *c = n->child; c; c = c->next, i++) {
        struct place here = { at, STR_NONE, i };
        is_ok &= get_str(w, &here, c, each_max(f), &ret->v[i]);
    }
    ret->n = n->n;
    return is_ok;
}

static bool get_map(struct walk *w, const struct place *at, const struct field *f, const struct node *n,
                    struct kv_list *ret)
{
    if (n->type != NODE_MAP)
        return bad_type(w, at, "an object of strings");
    if (!check_count(w, at, f, n->n))
        return false;
    ret->v = arena_array(w->a, n->n, sizeof(struct kv));
    if (!ret->v)
        return no_room(w, at);
    bool is_ok = true;
    for (const struct node *c = n->child; c; c = c->next) {
        struct place here = { at, c->key, 0 };
        struct kv *kv = &ret->v[ret->n++];
        kv->key = c->key;
        if (c->key.len > each_max(f))
            is_ok = bad(w, &here, "field.too_long", "the key has %zu bytes, at most %zu are allowed",
                        c->key.len, each_max(f));
        is_ok &= get_str(w, &here, c, each_max(f), &kv->value);
    }
    return is_ok;
}

static bool get_record(struct walk *w, const struct place *at, const struct record *rec, const struct node *n,
                       void *obj);

static bool get_list(struct walk *w, const struct place *at, const struct field *f, const struct node *n,
                     void *member)
{
    if (n->type != NODE_LIST)
        return bad_type(w, at, "a list");
    if (!check_count(w, at, f, n->n))
        return false;
    char *rows = arena_array(w->a, n->n, f->sub->size);
    if (!rows)
        return no_room(w, at);
    bool is_ok = true;
    size_t i = 0, kept = 0;
    for (const struct node *c = n->child; c; c = c->next, i++) {
        struct place here = { at, STR_NONE, i };
        if (get_record(w, &here, f->sub, c, rows + kept * f->sub->size))
            kept++;
        else if (f->flags & FIELD_QUARANTINE)
            w->errs->n_quarantined++;
        else
            is_ok = false;
    }
    struct any_list list = { rows, kept };
    memcpy(member, &list, sizeof(list));
    return is_ok;
}

/* -- records */

static bool get_value(struct walk *w, const struct place *at, const struct field *f, const struct node *n,
                      void *member)
{
    struct whole v;
    switch (f->type) {
    case FT_STR:
        return get_str(w, at, n, f->max, member);
    case FT_BOOL:
        return get_bool(w, at, n, member);
    case FT_I32:
        if (!get_whole(w, at, f, n, INT32_MIN, INT32_MAX, &v))
            return false;
        *(int32_t *)member = (int32_t)signed_of(v);
        return true;
    case FT_U32:
        if (!get_whole(w, at, f, n, 0, UINT32_MAX, &v))
            return false;
        *(uint32_t *)member = (uint32_t)v.magnitude;
        return true;
    case FT_I64:
        if (!get_whole(w, at, f, n, INT64_MIN, INT64_MAX, &v))
            return false;
        *(int64_t *)member = signed_of(v);
        return true;
    case FT_U64:
        if (!get_whole(w, at, f, n, 0, UINT64_MAX, &v))
            return false;
        *(uint64_t *)member = v.magnitude;
        return true;
    case FT_F64:
        return get_f64(w, at, f, n, member);
    case FT_TIME:
    case FT_TIME_MS:
        return get_time(w, at, f, n, member);
    case FT_DURATION:
        return get_duration(w, at, f, n, member);
    case FT_ENUM:
        return get_enum(w, at, f, n, member);
    case FT_BYTES:
        return get_bytes(w, at, f, n, member);
    case FT_JSON:
        return get_json(w, at, f, n, member);
    case FT_STR_LIST:
        return get_str_list(w, at, f, n, member);
    case FT_MAP:
        return get_map(w, at, f, n, member);
    case FT_SUB:
        return get_record(w, at, f->sub, n, member);
    case FT_LIST:
        return get_list(w, at, f, n, member);
    }
    return false;
}

static bool may_be_null(const struct field *f)
{
    return (f->flags & FIELD_NULLABLE) || f->type == FT_TIME || f->type == FT_TIME_MS || f->type == FT_JSON;
}

static ptrdiff_t find_field(const struct record *rec, struct str key)
{
    for (size_t i = 0; i < rec->n_fields; i++)
        if (str_is(key, rec->fields[i].name))
            return (ptrdiff_t)i;
    return -1;
}

static bool is_empty_text(const struct field *f, const struct node *n)
{
    return f->type == FT_STR && n->type == NODE_STR && n->s.len == 0;
}

static bool get_member(struct walk *w, const struct place *at, const struct field *f, const struct node *n,
                       void *obj)
{
    if (n->type == NODE_NULL) {
        if (f->flags & FIELD_REQUIRED)
            return true; /* the caller tells "required" from "given" */
        return may_be_null(f) ? true : bad_type(w, at, "left out rather than null");
    }
    return get_value(w, at, f, n, (char *)obj + f->offset);
}

static bool get_record(struct walk *w, const struct place *at, const struct record *rec, const struct node *n,
                       void *obj)
{
    memset(obj, 0, rec->size);
    if (n->type != NODE_MAP)
        return bad_type(w, at, "an object");
    assert(rec->n_fields <= FIELDS_MAX);
    uint64_t given[FIELDS_MAX / 64] = { 0 };
    struct seen seen = { 0 };
    bool is_ok = true;
    for (const struct node *c = n->child; c; c = c->next) {
        ptrdiff_t i = find_field(rec, c->key);
        if (i < 0) {
            w->errs->n_unknown++;
            continue;
        }
        const struct field *f = &rec->fields[i];
        if (f->flags & FIELD_OUT_ONLY)
            continue;
        struct place here = { at, c->key, 0 };
        if (i < 64) {
            seen.present |= (uint64_t)1 << i;
            seen.null |= (uint64_t)(c->type == NODE_NULL) << i;
        }
        if (c->type != NODE_NULL && !is_empty_text(f, c))
            given[i / 64] |= (uint64_t)1 << (i % 64);
        is_ok &= get_member(w, &here, f, c, obj);
    }
    for (size_t i = 0; i < rec->n_fields; i++) {
        if (!(rec->fields[i].flags & FIELD_REQUIRED) || (given[i / 64] >> (i % 64) & 1))
            continue;
        struct place here = { at, str_of(rec->fields[i].name), 0 };
        is_ok = bad(w, &here, "field.required", "is required");
    }
    if (rec->seen_offset != SIZE_MAX)
        memcpy((char *)obj + rec->seen_offset, &seen, sizeof(seen));
    return is_ok;
}

int record_decode(const struct record *rec, struct arena *a, const struct node *n, void *obj,
                  struct record_errors *errs)
{
    *errs = (struct record_errors){ 0 };
    struct walk w = { a, errs };
    return get_record(&w, NULL, rec, n, obj) ? 0 : -EINVAL;
}

void record_errors_add(struct record_errors *errs, const struct err *err)
{
    errs->n_total++;
    if (errs->n == ARRAY_SIZE(errs->v))
        return;
    struct str text = str_sub(str_of(err->text), 0, sizeof(errs->v[0].text) - 1);
    text.len = utf8_whole_prefix(text);
    (void)str_copy(str_of(err->path), errs->v[errs->n].path, sizeof(errs->v[0].path));
    (void)str_copy(str_of(err->slug), errs->v[errs->n].slug, sizeof(errs->v[0].slug));
    (void)str_copy(text, errs->v[errs->n].text, sizeof(errs->v[0].text));
    errs->n++;
}

int record_decode_json(const struct record *rec, struct arena *a, struct str text, size_t max_bytes,
                       void *obj, struct record_errors *errs, struct err *err)
{
    *errs = (struct record_errors){ 0 };
    memset(obj, 0, rec->size);
    struct node empty = { .type = NODE_MAP }, *root = &empty;
    if (text.len) {
        int r = json_parse(a, text, max_bytes, &root, err);
        if (r < 0)
            return r;
    }
    if (record_decode(rec, a, root, obj, errs) == 0)
        return 0;
    /* errors of quarantined rows come first in the list at times; any of them is a fair first one to name */
    if (errs->n_total > 1)
        err_set(err, -EINVAL, errs->v[0].slug, "%s%s%s (and %zu more)", errs->v[0].path,
                errs->v[0].path[0] ? " " : "", errs->v[0].text, errs->n_total - 1);
    else
        err_set(err, -EINVAL, errs->v[0].slug, "%s%s%s", errs->v[0].path, errs->v[0].path[0] ? " " : "",
                errs->v[0].text);
    err_path(err, errs->v[0].path);
    return -EINVAL;
}
