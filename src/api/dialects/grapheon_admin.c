/* api/dialects/grapheon_admin.c - policies and enrollment keys. */
#include <errno.h>

#include "api/dialects/grapheon.h"
#include "base/mem.h"
#include "codec/json_scan.h"

enum { PAGE_LIMIT = 50 };

/* -- lists: those from skip on, at most limit */
struct list {
    struct call *c;
    struct jw *w;
    uint64_t skip, limit, n, total;
};

static int active_filter(const struct grapheon_page *q)
{
    return field_is_present(&grapheon_page_record, q, "is_active") ? q->is_active : -1;
}

static bool takes(struct list *l)
{
    uint64_t at = l->n++;

    return l->w && at >= l->skip && at - l->skip < l->limit;
}

static void list_begin(struct call *c, struct list *l)
{
    const struct grapheon_page *q = c->query;

    *l = (struct list){ .c = c, .skip = q->skip, .limit = q->limit ? q->limit : PAGE_LIMIT };
}

/* -- policies */
/* {"ip_neigh": true, ...}: names we know only. */
static bool read_commands(struct call *c, struct report_policy_wish *w, const struct record *rec)
{
    struct json_scan walk;

    if (!field_is_present(rec, w, "enabled_commands") && !field_is_null(rec, w, "enabled_commands"))
        return true;
    if (json_scan_open(w->commands_json.text, &walk) != JSON_MAP) {
        grapheon_refuse_field(c, "enabled_commands", "dict_type", "must be an object");
        return false;
    }
    for (struct json_item m; json_scan_next(&walk, &m);) {
        int bit = name_value(report_command_names, m.key);
        bool is_on = false;

        if (bit < 0 || !json_item_bool(&m, &is_on)) {
            grapheon_refuse_field(c, "enabled_commands", "value_error", "has true or false for ip_neigh, ss_tunap, ip_addr, ip_route only");
            return false;
        }
        w->commands_named |= (uint32_t)bit;
        w->commands_on = is_on ? w->commands_on | (uint32_t)bit : w->commands_on & ~(uint32_t)bit;
    }
    return true;
}

static void answer_policy(struct call *c, int r, const struct err *err, const struct report_policy *p, int status)
{
    if (r < 0) {
        grapheon_error(c, err);
        return;
    }
    grapheon_begin(c);
    grapheon_policy(call_json(c), p, -1);
    reply_parked(c, status);
}

static void policy_create(struct call *c)
{
    struct report_policy_wish *w = c->body;
    const struct report_policy *p = NULL;
    struct err err = { 0 };

    if (!read_commands(c, w, &report_policy_create_record))
        return;
    int r = report_policy_create(c->control, &c->who, w, &p, &err);
    answer_policy(c, r, &err, p, 201);
}

static void policy_change(struct call *c)
{
    struct report_policy_wish *w = c->body;
    const struct report_policy *p = NULL;
    struct err err = { 0 };
    uint64_t id = 0;

    if (!grapheon_has_body(c) || !read_commands(c, w, &report_policy_change_record))
        return;
    int r = call_param_id(c, 0, "report_policy.unknown", &id, &err);
    if (r == 0)
        r = report_policy_change(c->control, &c->who, id, w, &p, &err);
    answer_policy(c, r, &err, p, 200);
}

static void on_policy(void *ctx, const struct report_policy *p)
{
    struct list *l = ctx;

    if (takes(l))
        grapheon_policy(l->w, p, (int64_t)report_policy_count(l->c->control, p->id));
}

static void policy_list(struct call *c)
{
    struct list l;
    int active = active_filter(c->query);

    list_begin(c, &l);
    report_policy_list(c->control, active, on_policy, &l); /* once to count */
    l.total = l.n;
    l.n = 0;
    l.w = call_json(c);
    grapheon_begin(c);
    grapheon_page_begin(l.w, l.total, l.skip, l.limit);
    report_policy_list(c->control, active, on_policy, &l);
    grapheon_page_end(l.w);
    reply_parked(c, 200);
}

/* -- enrollment keys */
static bool read_expiry(struct call *c, struct enroll_key_wish *w)
{
    if (!w->expires_text.len || grapheon_parse_time(w->expires_text, &w->expires_at))
        return true;
    grapheon_refuse_field(c, "expires_at", "datetime_parsing", "is no date and time");
    return false;
}

static void key_create(struct call *c)
{
    struct enroll_key_wish *w = c->body;
    const struct enroll_key *k = NULL;
    char text[SECRET_TEXT_MAX];
    struct err err = { 0 };

    if (!read_expiry(c, w))
        return;
    if (enroll_key_create(c->control, &c->who, w, text, &k, &err) < 0) {
        grapheon_error(c, &err);
        return;
    }
    struct jw *j = call_json(c);

    grapheon_begin(c);
    jw_map(j);
    jw_key(j, "enrollment_key");
    jw_cstr(j, text);
    jw_key(j, "key");
    grapheon_key(j, c->control, k);
    jw_end_map(j);
    secret_wipe(text, sizeof(text));
    reply_parked(c, 201);
}

static void key_change(struct call *c)
{
    struct enroll_key_wish *w = c->body;
    const struct enroll_key *k = NULL;
    struct err err = { 0 };
    uint64_t id = 0;

    if (!grapheon_has_body(c) || !read_expiry(c, w))
        return;
    int r = call_param_id(c, 0, "enroll_key.unknown", &id, &err);
    if (r == 0)
        r = enroll_key_change(c->control, &c->who, id, w, &k, &err);
    if (r < 0) {
        grapheon_error(c, &err);
        return;
    }
    grapheon_begin(c);
    grapheon_key(call_json(c), c->control, k);
    reply_parked(c, 200);
}

static void on_key(void *ctx, const struct enroll_key *k)
{
    struct list *l = ctx;

    if (takes(l))
        grapheon_key(l->w, l->c->control, k);
}

static void key_list(struct call *c)
{
    struct list l;
    int active = active_filter(c->query);

    list_begin(c, &l);
    enroll_key_list(c->control, active, on_key, &l);
    l.total = l.n;
    l.n = 0;
    l.w = call_json(c);
    grapheon_begin(c);
    grapheon_page_begin(l.w, l.total, l.skip, l.limit);
    enroll_key_list(c->control, active, on_key, &l);
    grapheon_page_end(l.w);
    reply_parked(c, 200);
}

#define GRAPHEON .dialect = &dialect_grapheon
#define POLICIES "/api/agents/policies"
#define KEYS "/api/agents/enrollment-keys"
static const struct route rows[] = {
    { HTTP_GET, POLICIES, AUTH_OPERATOR, VERB_READ, .handler = policy_list, .query = &grapheon_page_record, GRAPHEON,
      .summary = "Graphēon: lists policies" },
    { HTTP_POST, POLICIES, AUTH_OPERATOR, VERB_REPORT_POLICY, .body = &report_policy_create_record, .handler = policy_create, .status = 201,
      .flags = ROUTE_MUTATES, GRAPHEON, .summary = "Graphēon: makes a policy" },
    { HTTP_PATCH, POLICIES "/{id}", AUTH_OPERATOR, VERB_REPORT_POLICY, .body = &report_policy_change_record, .handler = policy_change,
      .flags = ROUTE_MUTATES, GRAPHEON, .summary = "Graphēon: changes a policy" },
    { HTTP_GET, KEYS, AUTH_OPERATOR, VERB_FOREIGN_KEY, .handler = key_list, .query = &grapheon_page_record, GRAPHEON,
      .summary = "Graphēon: lists enrollment keys" },
    { HTTP_POST, KEYS, AUTH_OPERATOR, VERB_FOREIGN_KEY, .body = &enroll_key_create_record, .handler = key_create, .status = 201,
      .flags = ROUTE_MUTATES, GRAPHEON, .summary = "Graphēon: makes an enrollment key, shown once" },
    { HTTP_PATCH, KEYS "/{id}", AUTH_OPERATOR, VERB_FOREIGN_KEY, .body = &enroll_key_change_record, .handler = key_change,
      .flags = ROUTE_MUTATES, GRAPHEON, .summary = "Graphēon: changes an enrollment key" },
};
const struct route_table grapheon_admin_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
