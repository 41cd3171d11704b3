/* api/dialects/sigma_transfer.c - sigma's lists as a whole: out as JSON or CSV, and in again, row by row.
 *
 * Rows in are ordinary wishes: each is created or refused by itself, and the answer names the refused ones. */
#include <errno.h>
#include <inttypes.h>

#include "api/dialects/sigma.h"
#include "base/mem.h"

enum { IMPORT_ROWS_MAX = 5000, IMPORT_ERRORS_MAX = 1000, COLUMNS_MAX = 64, IMPORT_ARENA = 64 << 20 };

/* -- out */

struct export_query {
    struct str format;
};
static const struct field export_query_fields[] = {
    F_STR(struct export_query, format, "format", 8, .help = "json (the default) or csv."),
};
static const struct record export_query_record = RECORD(export_query, export_query_fields);

struct exporting {
    struct call *c;
    bool is_csv;
};

/* One member as a cell: lists of text with semicolons, other lists and objects as JSON. */
static void put_cell(struct call *c, const struct field *f, const void *obj, bool is_first)
{
    AUTO(buf_done) struct buf cell = BUF(1 << 20);
    const void *m = (const char *)obj + f->offset;
    const struct str_list *list = m;
    char text[CLOCK_TEXT_MAX];
    struct jw w = JW(&cell);

    switch (f->type) {
    case FT_STR:
    case FT_JSON:
        (void)buf_str(&cell, *(const struct str *)m);
        break;
    case FT_BOOL:
        (void)buf_cstr(&cell, *(const bool *)m ? "true" : "false");
        break;
    case FT_I32:
        (void)buf_printf(&cell, "%" PRId32, *(const int32_t *)m);
        break;
    case FT_U32:
        if (*(const uint32_t *)m)
            (void)buf_printf(&cell, "%" PRIu32, *(const uint32_t *)m);
        break;
    case FT_I64:
        if (*(const int64_t *)m)
            (void)buf_printf(&cell, "%" PRId64, *(const int64_t *)m);
        break;
    case FT_ENUM:
        (void)buf_cstr(&cell, name_of(f->names, *(const int *)m));
        break;
    case FT_TIME:
        clock_format(*(const usec_t *)m, 6, text);
        (void)buf_cstr(&cell, text);
        break;
    case FT_STR_LIST:
        for (size_t i = 0; i < list->n; i++) {
            if (i)
                (void)buf_char(&cell, ';');
            (void)buf_str(&cell, list->v[i]);
        }
        break;
    case FT_LIST:
        jw_list(&w);
        for (size_t i = 0; i < list->n; i++)
            record_write(f->sub, (const char *)(const void *)list->v + i * f->sub->size, &w);
        jw_end_list(&w);
        break;
    case FT_U64:
    case FT_F64:
    case FT_TIME_MS:
    case FT_DURATION:
    case FT_BYTES:
    case FT_MAP:
    case FT_SUB:
        break;
    }
    csv_field(&c->out, buf_as_str(&cell), is_first);
}

static void put_header(struct call *c, const struct record *rec)
{
    for (size_t i = 0; i < rec->n_fields; i++)
        csv_field(&c->out, str_of(rec->fields[i].name), i == 0);
    csv_end(&c->out);
}

static bool on_vps_out(void *ctx, const struct asset_view *v)
{
    struct exporting *e = ctx;
    struct call *c = e->c;
    AUTO(buf_done) struct buf extra = BUF(4 * ASSET_EXTRA_BYTES);
    struct sigma_vps vps;

    sigma_vps_of(v, &extra, &vps);
    vps.provider_name = v->provider ? v->provider->name : STR_NONE;
    if (!e->is_csv) {
        record_write(&sigma_vps_record, &vps, call_json(c));
        return true;
    }
    for (size_t i = 0; i < sigma_vps_record.n_fields; i++)
        put_cell(c, &sigma_vps_record.fields[i], &vps, i == 0);
    csv_end(&c->out);
    return true;
}

static bool on_provider_out(void *ctx, const struct provider_view *v)
{
    struct exporting *e = ctx;
    const struct sigma_provider p = { .p = *v->provider, .vps_count = v->n_assets };

    if (!e->is_csv) {
        record_write(&sigma_provider_record, &p, call_json(e->c));
        return true;
    }
    for (size_t i = 0; i < sigma_provider_record.n_fields; i++)
        put_cell(e->c, &sigma_provider_record.fields[i], &p, i == 0);
    csv_end(&e->c->out);
    return true;
}

/* Json or csv? False: answered. */
static bool begin_export(struct call *c, const struct record *rec, struct exporting *ret)
{
    const struct export_query *q = c->query;
    struct err err = { 0 };

    *ret = (struct exporting){ c, str_is(q->format, "csv") };
    if (q->format.len && !ret->is_csv && !str_is(q->format, "json")) {
        (void)err_set(&err, -EINVAL, "request.bad", "Bad request: format is json or csv");
        reply_error(c, &err);
        return false;
    }
    if (ret->is_csv) {
        c->content_type = "text/csv; charset=utf-8";
        put_header(c, rec);
    } else {
        jw_list(call_json(c));
    }
    return true;
}

static void end_export(struct exporting *e)
{
    if (!e->is_csv)
        jw_end_list(call_json(e->c));
    reply_parked(e->c, 200);
}

static void on_vps_export(struct call *c)
{
    struct exporting e;

    if (!begin_export(c, &sigma_vps_record, &e))
        return;
    (void)asset_list(c->control, &(struct asset_filter){ 0 }, ASSET_BY_NAME, on_vps_out, &e);
    end_export(&e);
}

static void on_provider_export(struct call *c)
{
    struct exporting e;

    if (!begin_export(c, &sigma_provider_record, &e))
        return;
    (void)provider_list(c->control, on_provider_out, &e);
    end_export(&e);
}

/* -- in */

struct importing {
    struct call *c;
    struct arena *a;
    int (*row)(struct importing *in, const struct node *n, struct err *err);
    uint32_t n_rows, n_imported;
    struct str errors[IMPORT_ERRORS_MAX];
    size_t n_errors;
};

static void note(struct importing *in, const char *text)
{
    if (in->n_errors < IMPORT_ERRORS_MAX)
        in->errors[in->n_errors++] = arena_printf(in->a, "row %u: %s", in->n_rows, text);
}

static void take_row(struct importing *in, const struct node *n)
{
    struct err err = { 0 };

    in->n_rows++;
    if (in->n_rows > IMPORT_ROWS_MAX)
        (void)err_set(&err, -E2BIG, "field.too_many", "at most %d rows at once", IMPORT_ROWS_MAX);
    else if (n->type != NODE_MAP)
        (void)err_set(&err, -EINVAL, "field.type", "must be an object");
    else if (in->row(in, n, &err) == 0) {
        in->n_imported++;
        return;
    }
    note(in, err.text);
}

/* Fills the wish of @rec; the first wrong field is in @err. */
static int decode(struct importing *in, const struct record *rec, const struct node *n, void *wish, struct err *err)
{
    struct record_errors errs = { 0 };

    if (record_decode(rec, in->a, n, wish, &errs) == 0)
        return 0;
    return err_set(err, -EINVAL, "field.invalid", "%s: %s", errs.n ? errs.v[0].path : "row", errs.n ? errs.v[0].text : "not understood");
}

static int vps_row(struct importing *in, const struct node *n, struct err *err)
{
    const struct node *name = node_get(n, "provider_name");
    struct control *c = in->c->control;
    struct asset_wish w;
    struct asset_extra x;
    struct asset_view v;
    struct provider_view pv;
    const struct provider *p;
    int r = decode(in, &asset_wish_record, n, &w, err);

    if (r == 0 && name && name->type == NODE_STR && name->s.len) {
        struct err ignored = { 0 };

        /* Ids are another server's: the name is what the two have in common. */
        p = provider_by_name(c, name->s);
        if (!p && (w.provider_id.len == 0 || provider_find(c, w.provider_id, &pv, &ignored) < 0))
            return err_set(err, -EINVAL, "field.provider", "there is no provider named %.*s", STR_FMT(str_sub(name->s, 0, 128)));
        if (p)
            asset_wish_set_provider(&w, arena_str(in->a, p->uuid));
    }
    if (r == 0)
        r = sigma_read_extra(in->a, &w, &x, err);
    return r == 0 ? asset_create(c, &in->c->who, &w, &x, &v, err) : r;
}

static int provider_row(struct importing *in, const struct node *n, struct err *err)
{
    struct provider_wish w;
    struct provider_view v;
    int r = decode(in, &provider_wish_record, n, &w, err);

    return r == 0 ? provider_create(in->c->control, &in->c->who, &w, &v, err) : r;
}

static struct node *add_child(struct arena *a, struct node *parent, struct node *value, struct node **tail)
{
    struct node *n = value ? value : arena_new0(a, struct node);

    if (!n)
        return NULL;
    *(*tail ? &(*tail)->next : &parent->child) = n;
    *tail = n;
    parent->n++;
    return n;
}

static struct node *tags_of(struct arena *a, struct str text)
{
    struct node *list = arena_new0(a, struct node), *tail = NULL, *n;
    struct str part;

    if (!list)
        return NULL;
    list->type = NODE_LIST;
    while (str_cut(&text, ';', &part)) {
        n = part.len ? add_child(a, list, NULL, &tail) : NULL;
        if (n) {
            n->type = NODE_STR;
            n->s = part;
        }
    }
    return list;
}

/* A cell as the value of its column: what is JSON inside is read as such. NULL: it is none, and @err says so. */
static struct node *value_of(struct arena *a, struct str column, struct str cell, struct err *err)
{
    struct node *n = NULL;

    if (str_is(column, "tags"))
        return tags_of(a, csv_plain(cell));
    if (str_is(column, "ip_addresses") || str_is(column, "extra"))
        return json_parse(a, cell, cell.len, &n, err) < 0 ? NULL : n;
    n = arena_new0(a, struct node);
    if (!n) {
        (void)err_set(err, -ENOBUFS, "request.too_large", "the row does not fit");
        return NULL;
    }
    n->type = NODE_STR;
    n->is_bare = true;
    n->s = csv_plain(cell);
    return n;
}

/* An empty cell says nothing. */
static void take_csv_row(struct importing *in, const struct str *columns, size_t n_columns, const struct str *cells, size_t n_cells)
{
    struct node map = { .type = NODE_MAP }, *tail = NULL;
    struct err err = { 0 };

    for (size_t i = 0; i < n_cells && i < n_columns; i++) {
        struct node *v = cells[i].len ? value_of(in->a, columns[i], cells[i], &err) : NULL;

        if (!v && cells[i].len) {
            in->n_rows++;
            note(in, err.text);
            return;
        }
        if (!v || node_get(&map, arena_str(in->a, columns[i]).ptr))
            continue;
        v->key = columns[i];
        v->next = NULL;
        (void)add_child(in->a, &map, v, &tail);
    }
    take_row(in, &map);
}

static int import_csv(struct importing *in, struct str text, struct err *err)
{
    struct str columns[COLUMNS_MAX], cells[COLUMNS_MAX];
    size_t n_columns, n_cells;
    int r;

    if (str_starts(text, STR("\xef\xbb\xbf"))) /* what spreadsheets put in front */
        text = str_sub(text, 3, text.len);
    r = csv_next(in->a, &text, columns, COLUMNS_MAX, &n_columns);
    if (r == 0)
        return 0;
    while (r > 0) {
        r = csv_next(in->a, &text, cells, COLUMNS_MAX, &n_cells);
        if (r > 0)
            take_csv_row(in, columns, n_columns, cells, n_cells);
    }
    if (r < 0)
        return err_set(err, -EINVAL, "field.format", "data: row %u is no CSV (quotes, or more than %d columns)", in->n_rows + 1, COLUMNS_MAX);
    return 0;
}

static int import_json(struct importing *in, const struct node *data, struct err *err)
{
    struct node *list = NULL;

    if (data->type == NODE_STR) {
        int r = json_parse(in->a, data->s, SIGMA_BODY_MAX, &list, err);

        if (r < 0)
            return err_set(err, -EINVAL, "field.format", "data: is no JSON");
        data = list;
    }
    if (data->type != NODE_LIST)
        return err_set(err, -EINVAL, "field.type", "data: must be a list of objects, as such or as text");
    for (const struct node *n = data->child; n; n = n->next)
        take_row(in, n);
    return 0;
}

static void reply_import(struct importing *in)
{
    struct jw *w = call_json(in->c);

    jw_map(w);
    jw_key(w, "imported");
    jw_u64(w, in->n_imported);
    jw_key(w, "errors");
    jw_list(w);
    for (size_t i = 0; i < in->n_errors; i++)
        jw_str(w, in->errors[i]);
    jw_end_list(w);
    jw_end_map(w);
    reply_parked(in->c, 200);
}

static void import(struct call *c, int (*row)(struct importing *, const struct node *, struct err *))
{
    AUTO(arena_free) struct arena *a = arena_new(IMPORT_ARENA);
    const struct node *format, *data;
    struct importing *in;
    struct node *root;
    struct err err = { 0 };
    int r = 0;

    if (json_parse(a, c->req->body, SIGMA_BODY_MAX, &root, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    format = node_get(root, "format");
    data = node_get(root, "data");
    in = arena_new0(a, struct importing);
    in->c = c;
    in->a = a;
    in->row = row;
    if (root->type != NODE_MAP || !data)
        r = err_set(&err, -EINVAL, "field.required", "data: must be there");
    else if (!format || (format->type == NODE_STR && str_is(format->s, "json")))
        r = import_json(in, data, &err);
    else if (format->type != NODE_STR || !str_is(format->s, "csv"))
        r = err_set(&err, -EINVAL, "field.enum", "format: must be json or csv");
    else if (data->type != NODE_STR)
        r = err_set(&err, -EINVAL, "field.type", "data: must be text");
    else
        r = import_csv(in, data->s, &err);
    /* Rows before one that is no CSV are in: they are told rather than hidden behind the refusal. */
    if (r < 0 && in->n_rows == 0) {
        reply_error(c, &err);
        return;
    }
    if (r < 0) {
        in->n_rows++;
        note(in, err.text);
    }
    reply_import(in);
}

static void on_vps_import(struct call *c)
{
    import(c, vps_row);
}

static void on_provider_import(struct call *c)
{
    import(c, provider_row);
}

#define WRITES ROUTE_RAW_BODY | ROUTE_MUTATES | ROUTE_JSON_TYPE
static const struct route rows[] = {
    { HTTP_GET, "/api/vps/export", AUTH_OPERATOR, VERB_READ, .handler = on_vps_export, .query = &export_query_record,
      .dialect = &dialect_sigma, .summary = "All machines, as JSON or CSV." },
    { HTTP_POST, "/api/vps/import", AUTH_OPERATOR, VERB_ASSET_IMPORT, .cap = SIGMA_BODY_MAX, .handler = on_vps_import, .flags = WRITES,
      .dialect = &dialect_sigma, .summary = "Machines from JSON or CSV, row by row." },
    { HTTP_GET, "/api/providers/export", AUTH_OPERATOR, VERB_READ, .handler = on_provider_export, .query = &export_query_record,
      .dialect = &dialect_sigma, .summary = "All providers, as JSON or CSV." },
    { HTTP_POST, "/api/providers/import", AUTH_OPERATOR, VERB_ASSET_IMPORT, .cap = SIGMA_BODY_MAX, .handler = on_provider_import,
      .flags = WRITES, .dialect = &dialect_sigma, .summary = "Providers from JSON or CSV, row by row." },
};
const struct route_table sigma_transfer_table = { rows, ARRAY_SIZE(rows) };
