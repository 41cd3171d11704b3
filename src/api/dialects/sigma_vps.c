/* api/dialects/sigma_vps.c - sigma's list of machines for people: list, create, change, retire, delete, restore, address history. */
#include <errno.h>

#include "api/dialects/sigma.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/uuid.h"

/* -- GET /api/vps */

struct list_query {
    struct seen seen;
    int status;
    struct str country, provider_id, purpose, tag, source, hostname;
    int64_t expiring_within_days, page, per_page;
    bool online;
};
static const struct field list_query_fields[] = {
    F_ENUM(struct list_query, status, "status", asset_status_names, .help = "Default: all but deleted."),
    F_STR(struct list_query, country, "country", 64),
    F_STR(struct list_query, provider_id, "provider_id", 36, .help = "A UUID."),
    F_STR(struct list_query, purpose, "purpose", 64),
    F_STR(struct list_query, tag, "tag", 64, .help = "One tag, as it is: a comma is part of it."),
    F_STR(struct list_query, source, "source", 32),
    F_STR(struct list_query, hostname, "hostname", LIMIT_HOSTNAME),
    F_I64(struct list_query, expiring_within_days, "expiring_within_days", .min_value = -36500, .max_value = 36500),
    F_BOOL(struct list_query, online, "online", .help = "Only with, or only without, a heartbeat in the last 180 s."),
    F_I64(struct list_query, page, "page"),
    F_I64(struct list_query, per_page, "per_page", .help = "1 to 100; more or less is taken as the nearest."),
};
static const struct record list_query_record = RECORD_SEEN(list_query, list_query_fields);

static bool on_row(void *ctx, const struct asset_view *v)
{
    sigma_view(((struct sigma_window *)ctx)->c, v);
    return true;
}

static bool is_given(const struct list_query *q, const char *name)
{
    return field_is_present(&list_query_record, q, name);
}

static void on_list(struct call *c)
{
    const struct list_query *q = c->query;
    const struct asset_filter f = {
        .status = q->status,
        .country = q->country,
        .provider_id = q->provider_id,
        .purpose = q->purpose,
        .tag = q->tag,
        .source = q->source,
        .hostname = q->hostname,
        .has_expiring = is_given(q, "expiring_within_days"),
        .expiring_days = q->expiring_within_days,
        .has_online = is_given(q, "online"),
        .is_online = q->online,
    };
    struct sigma_window w;
    struct uuid u;
    struct err err = { 0 };

    if (q->provider_id.len && uuid_parse(q->provider_id, &u) < 0) {
        (void)err_set(&err, -EINVAL, "request.bad", "Bad request: provider_id is no UUID");
        reply_error(c, &err);
        return;
    }
    (void)sigma_window_begin(&w, c, is_given(q, "page"), q->page > 0 && q->page < UINT32_MAX ? (uint32_t)q->page : 1,
                             is_given(q, "per_page"), q->per_page);
    w.at = asset_page(c->control, &f, sigma_window_first(&w), w.per_page, on_row, &w);
    sigma_window_end(&w);
}

/* -- one */

static void on_get(struct call *c)
{
    struct asset_view v;
    struct str uuid;
    struct err err = { 0 };

    if (!sigma_uuid(c, &uuid))
        return;
    if (asset_find(c->control, uuid, &v, &err) < 0)
        reply_error_parked(c, &err);
    else
        sigma_reply_vps(c, &v);
}

static void on_create(struct call *c)
{
    struct asset_extra x;
    struct asset_view v;
    struct err err = { 0 };

    if (sigma_read_extra(c->arena, c->body, &x, &err) < 0)
        reply_error(c, &err);
    else if (asset_create(c->control, &c->who, c->body, &x, &v, &err) < 0)
        reply_error_parked(c, &err);
    else
        sigma_reply_vps(c, &v);
}

static void on_change(struct call *c)
{
    struct asset_extra x;
    struct asset_view v;
    struct str uuid;
    struct err err = { 0 };

    if (!sigma_uuid(c, &uuid))
        return;
    if (sigma_read_extra(c->arena, c->body, &x, &err) < 0)
        reply_error(c, &err);
    else if (asset_change(c->control, &c->who, uuid, c->body, &x, &v, &err) < 0)
        reply_error_parked(c, &err);
    else
        sigma_reply_vps(c, &v);
}

static void on_delete(struct call *c)
{
    struct str uuid;
    struct err err = { 0 };

    if (!sigma_uuid(c, &uuid))
        return;
    if (asset_delete(c->control, &c->who, uuid, &err) < 0)
        reply_error_parked(c, &err);
    else
        sigma_reply_true(c, "deleted");
}

static void step(struct call *c,
                 int (*verb)(struct control *, const struct principal *, struct str, struct asset_view *, struct err *))
{
    struct asset_view v;
    struct str uuid;
    struct err err = { 0 };

    if (!sigma_uuid(c, &uuid))
        return;
    if (verb(c->control, &c->who, uuid, &v, &err) < 0)
        reply_error_parked(c, &err);
    else
        sigma_reply_vps(c, &v);
}

static void on_retire(struct call *c)
{
    step(c, asset_retire);
}

static void on_restore(struct call *c)
{
    step(c, asset_restore);
}

/* -- GET /api/vps/{id}/ip-history */

enum { HISTORY_MAX = 10000 };

struct history_query {
    struct seen seen;
    struct str action, ip;
    int64_t page, per_page;
};
static const struct field history_query_fields[] = {
    F_STR(struct history_query, action, "action", 16, .help = "added or removed."),
    F_STR(struct history_query, ip, "ip", 64),
    F_I64(struct history_query, page, "page"),
    F_I64(struct history_query, per_page, "per_page"),
};
static const struct record history_query_record = RECORD_SEEN(history_query, history_query_fields);

struct history_row {
    uint64_t id;
    struct str vps_id, ip, label, action, source;
    usec_t created_at;
};
static const struct field history_row_fields[] = {
    F_U64(struct history_row, id, "id"),
    F_STR(struct history_row, vps_id, "vps_id", 36),
    F_STR(struct history_row, action, "action", 16, .help = "added or removed."),
    F_STR(struct history_row, ip, "ip", 64),
    F_STR(struct history_row, label, "label", 128),
    F_STR(struct history_row, source, "source", 16, .help = "agent or manual."),
    F_TIME(struct history_row, created_at, "created_at"),
};
static const struct record history_row_record = RECORD(history_row, history_row_fields);

struct history {
    struct sigma_window w;
    struct call *c; /* held */
    char action[17], ip[65], uuid[UUID_TEXT_MAX];
};

static void on_history_row(void *ctx, uint64_t id, usec_t at, const struct address_change *ch)
{
    struct history *h = ctx;
    const struct history_row row = { .id = id,
                                     .vps_id = str_of(h->uuid),
                                     .action = ch->is_added ? STR("added") : STR("removed"),
                                     .ip = ch->ip,
                                     .label = ch->label,
                                     .source = ch->is_manual ? STR("manual") : STR("agent"),
                                     .created_at = at };

    if (call_is_gone(h->c) || (h->action[0] && !str_is(row.action, h->action)) || (h->ip[0] && !str_is(row.ip, h->ip)))
        return;
    if (sigma_window_row(&h->w))
        record_write(&history_row_record, &row, call_json(h->c));
}

static void on_history_done(void *ctx, int result)
{
    struct history *h = ctx;

    if (!call_is_gone(h->c)) {
        if (result < 0)
            reply_unread(h->c, result);
        else
            sigma_window_end(&h->w);
    }
    call_unref(h->c);
    free(h);
}

static void on_history(struct call *c)
{
    const struct history_query *q = c->query;
    struct asset_view v;
    struct history *h;
    struct str uuid;
    struct err err = { 0 };

    if (!sigma_uuid(c, &uuid))
        return;
    if (q->action.len && !str_is(q->action, "added") && !str_is(q->action, "removed")) {
        (void)err_set(&err, -EINVAL, "request.bad", "Bad request: action is added or removed");
        reply_error(c, &err);
        return;
    }
    if (asset_find(c->control, uuid, &v, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    h = xnew0(struct history);
    h->c = call_ref(c);
    (void)str_copy(q->action, h->action, sizeof(h->action));
    (void)str_copy(q->ip, h->ip, sizeof(h->ip));
    (void)str_copy(uuid, h->uuid, sizeof(h->uuid));
    (void)sigma_window_begin(&h->w, c, field_is_present(&history_query_record, q, "page"),
                             q->page > 0 && q->page < UINT32_MAX ? (uint32_t)q->page : 1,
                             field_is_present(&history_query_record, q, "per_page"), q->per_page);
    asset_history(c->control, v.id, HISTORY_MAX, on_history_row, on_history_done, h);
}

#define WRITES ROUTE_MUTATES | ROUTE_JSON_TYPE
static const struct route rows[] = {
    { HTTP_GET, "/api/vps", AUTH_OPERATOR, VERB_READ, .handler = on_list, .query = &list_query_record,
      .response = &sigma_vps_page_record, .dialect = &dialect_sigma, .summary = "Machines, filtered and in pages." },
    { HTTP_POST, "/api/vps", AUTH_OPERATOR, VERB_ASSET, &asset_wish_record, SIGMA_BODY_MAX, on_create, .response = &sigma_vps_record,
      .flags = WRITES, .dialect = &dialect_sigma, .summary = "Add a machine." },
    { HTTP_GET, "/api/vps/{id}", AUTH_OPERATOR, VERB_READ, .handler = on_get, .response = &sigma_vps_record,
      .dialect = &dialect_sigma, .summary = "One machine." },
    { HTTP_PUT, "/api/vps/{id}", AUTH_OPERATOR, VERB_ASSET, &asset_wish_record, SIGMA_BODY_MAX, on_change,
      .response = &sigma_vps_record, .flags = WRITES, .dialect = &dialect_sigma,
      .summary = "Change what is given; null clears what may be empty." },
    { HTTP_DELETE, "/api/vps/{id}", AUTH_OPERATOR, VERB_ASSET, .handler = on_delete, .flags = ROUTE_MUTATES,
      .dialect = &dialect_sigma, .summary = "Delete a machine; its row can be restored." },
    { HTTP_POST, "/api/vps/{id}/retire", AUTH_OPERATOR, VERB_ASSET, .handler = on_retire, .response = &sigma_vps_record,
      .flags = ROUTE_MUTATES, .dialect = &dialect_sigma, .summary = "Retire a machine." },
    { HTTP_POST, "/api/vps/{id}/restore", AUTH_OPERATOR, VERB_ASSET, .handler = on_restore, .response = &sigma_vps_record,
      .flags = ROUTE_MUTATES, .dialect = &dialect_sigma, .summary = "Bring a deleted machine back, as retired." },
    { HTTP_GET, "/api/vps/{id}/ip-history", AUTH_OPERATOR, VERB_READ, .handler = on_history, .query = &history_query_record,
      .response = &history_row_record, .dialect = &dialect_sigma, .summary = "Addresses that came and went, newest first." },
};
const struct route_table sigma_vps_table = { rows, ARRAY_SIZE(rows) };
