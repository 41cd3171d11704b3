/* api/dialects/sigma_providers.c - who rents machines out, over sigma's routes. */
#include <errno.h>

#include "api/dialects/sigma.h"
#include "base/mem.h"

static void view(struct call *c, const struct provider_view *v)
{
    const struct sigma_provider p = { .p = *v->provider, .vps_count = v->n_assets };

    record_write(&sigma_provider_record, &p, call_json(c));
}

static void reply_provider(struct call *c, const struct provider_view *v)
{
    view(c, v);
    reply_parked(c, 200);
}

struct list_query {
    struct seen seen;
    int64_t page, per_page;
};
static const struct field list_query_fields[] = {
    F_I64(struct list_query, page, "page"),
    F_I64(struct list_query, per_page, "per_page", .help = "1 to 100; more or less is taken as the nearest."),
};
static const struct record list_query_record = RECORD_SEEN(list_query, list_query_fields);

static bool on_row(void *ctx, const struct provider_view *v)
{
    struct sigma_window *w = ctx;

    if (sigma_window_row(w))
        view(w->c, v);
    return true;
}

static void on_list(struct call *c)
{
    const struct list_query *q = c->query;
    struct sigma_window w;

    (void)sigma_window_begin(&w, c, field_is_present(&list_query_record, q, "page"),
                             q->page > 0 && q->page < UINT32_MAX ? (uint32_t)q->page : 1,
                             field_is_present(&list_query_record, q, "per_page"), q->per_page);
    (void)provider_list(c->control, on_row, &w);
    sigma_window_end(&w);
}

static void on_get(struct call *c)
{
    struct provider_view v;
    struct str uuid;
    struct err err = { 0 };

    if (!sigma_uuid(c, &uuid))
        return;
    if (provider_find(c->control, uuid, &v, &err) < 0)
        reply_error_parked(c, &err);
    else
        reply_provider(c, &v);
}

static void on_create(struct call *c)
{
    struct provider_view v;
    struct err err = { 0 };

    if (provider_create(c->control, &c->who, c->body, &v, &err) < 0)
        reply_error_parked(c, &err);
    else
        reply_provider(c, &v);
}

static void on_change(struct call *c)
{
    struct provider_view v;
    struct str uuid;
    struct err err = { 0 };

    if (!sigma_uuid(c, &uuid))
        return;
    if (provider_change(c->control, &c->who, uuid, c->body, &v, &err) < 0)
        reply_error_parked(c, &err);
    else
        reply_provider(c, &v);
}

static void on_delete(struct call *c)
{
    struct str uuid;
    struct err err = { 0 };

    if (!sigma_uuid(c, &uuid))
        return;
    if (provider_delete(c->control, &c->who, uuid, &err) < 0)
        reply_error_parked(c, &err);
    else
        sigma_reply_true(c, "deleted");
}

#define WRITES ROUTE_MUTATES | ROUTE_JSON_TYPE
static const struct route rows[] = {
    { HTTP_GET, "/api/providers", AUTH_OPERATOR, VERB_READ, .handler = on_list, .query = &list_query_record,
      .response = &sigma_provider_record, .dialect = &dialect_sigma, .summary = "Providers by name, in pages." },
    { HTTP_POST, "/api/providers", AUTH_OPERATOR, VERB_ASSET, &provider_wish_record, SIGMA_BODY_MAX, on_create,
      .response = &sigma_provider_record, .flags = WRITES, .dialect = &dialect_sigma, .summary = "Add a provider." },
    { HTTP_GET, "/api/providers/{id}", AUTH_OPERATOR, VERB_READ, .handler = on_get, .response = &sigma_provider_record,
      .dialect = &dialect_sigma, .summary = "One provider." },
    { HTTP_PUT, "/api/providers/{id}", AUTH_OPERATOR, VERB_ASSET, &provider_wish_record, SIGMA_BODY_MAX, on_change,
      .response = &sigma_provider_record, .flags = WRITES, .dialect = &dialect_sigma, .summary = "Change what is given." },
    { HTTP_DELETE, "/api/providers/{id}", AUTH_OPERATOR, VERB_ASSET, .handler = on_delete, .flags = ROUTE_MUTATES,
      .dialect = &dialect_sigma, .summary = "Delete a provider; its machines have none then." },
};
const struct route_table sigma_provider_table = { rows, ARRAY_SIZE(rows) };
