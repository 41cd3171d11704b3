/* api/operator_hosts.c - hosts and their inventory over REST. */
#include <errno.h>

#include "api/page.h"
#include "api/reply.h"
#include "api/state.h"
#include "api/view_hosts.h"
#include "api/view_inventory.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "control/accent.h"
#include "fleet/presence.h"

/* Fills @h with the host named by parameter 0; false: answered. */
static bool find_host(struct call *c, struct host_view *h)
{
    struct err err = { 0 };

    if (host_find(c->control, call_param(c, 0), h, &err) == 0)
        return true;
    reply_error_parked(c, &err);
    return false;
}

/* The host of parameter 0 as it is now: after a verb, or by its uuid when a rename took the name away. */
static void reply_host(struct call *c, struct str name_or_uuid)
{
    struct host_view h;
    struct err err = { 0 };

    if (host_find(c->control, name_or_uuid, &h, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    view_agent_whole(c->control, &h, call_json(c));
    reply_parked(c, 200);
}

/* -- GET /agents */

struct hosts_query {
    struct seen seen;
    struct str status, label, after;
    int state;
    bool connected;
    uint32_t limit;
};
static const struct field hosts_query_fields[] = {
    F_STR(struct hosts_query, status, "status", 64,
          .names = presence_status_names, .help = "One, or several with commas."),
    F_STR(struct hosts_query, label, "label", 4096, .help = "Selector: role=web,env!=test."),
    F_ENUM(struct hosts_query, state, "state", host_state_names, .help = "Default: approved and revoked."),
    F_BOOL(struct hosts_query, connected, "connected", .help = "Only with, or only without, a live link."),
    F_PAGE_LIMIT(struct hosts_query),
    F_STR(struct hosts_query, after, "after", 36, .help = "Id of the last one of the page before."),
};
static const struct record hosts_query_record = RECORD_SEEN(hosts_query, hosts_query_fields);

struct hosts_walk {
    struct call *c;
    const struct hosts_query *q;
    bool want_connected, has_after, is_past;
    uint32_t n, limit;
    char next[UUID_TEXT_MAX]; /* the last one written */
    bool has_more;
};

static bool status_fits(struct str wanted, const char *status)
{
    struct str part;

    if (wanted.len == 0)
        return true;
    while (str_cut(&wanted, ',', &part))
        if (str_is(str_trim(part), status))
            return true;
    return false;
}

/* A typo must not read as an empty fleet. */
static int check_status(struct str wanted, struct err *err)
{
    struct str part;

    while (wanted.len && str_cut(&wanted, ',', &part))
        if (name_value(presence_status_names, str_trim(part)) < 0) {
            int r = err_set(err, -EINVAL, "field.invalid", "status: %.*s is none of ready, busy, stale and disconnected",
                            STR_FMT(str_trim(part)));
            err_path(err, "status");
            return r;
        }
    return 0;
}

static bool host_fits(const struct hosts_walk *w, const struct host_view *h)
{
    if (h->state == HOST_PENDING)
        return false; /* they are in /enrollments */
    if (w->q->state ? w->q->state != (int)h->state : h->state == HOST_REJECTED)
        return false;
    if (w->want_connected && w->q->connected != (h->link.v != 0))
        return false;
    return status_fits(w->q->status, h->status);
}

static bool on_host(void *ctx, const struct host_view *h)
{
    struct hosts_walk *w = ctx;

    if (w->has_after && !w->is_past) {
        w->is_past = str_is(w->q->after, h->uuid);
        return true;
    }
    if (!host_fits(w, h))
        return true;
    if (w->n == w->limit) {
        w->has_more = true;
        return false;
    }
    w->n++;
    memcpy(w->next, h->uuid, UUID_TEXT_MAX);
    view_agent(w->c->control, h, call_json(w->c));
    return true;
}

static void on_hosts(struct call *c)
{
    const struct hosts_query *q = c->query;
    struct hosts_walk w = {
        .c = c, .q = q, .limit = q->limit ? q->limit : PAGE_DEFAULT, .has_after = q->after.len > 0
    };
    struct selector *sel = NULL;
    struct err err = { 0 };
    struct jw *out;

    w.want_connected = field_is_present(&hosts_query_record, q, "connected");
    if (check_status(q->status, &err) < 0 || (q->label.len && selector_parse(c->arena, q->label, &sel, &err) < 0)) {
        reply_error(c, &err);
        return;
    }
    if (q->after.len) {
        struct host_view h;

        if (host_find(c->control, q->after, &h, &err) < 0) {
            reply_error(c, &err);
            return;
        }
    }
    out = page_begin_whole(c, "agents");
    host_list(c->control, 0, sel, on_host, &w);
    jw_end_list(out);
    if (w.has_more) {
        jw_key(out, "next");
        jw_cstr(out, w.next);
    }
    jw_end_map(out);
    reply_parked(c, 200);
}

static void on_host_get(struct call *c)
{
    reply_host(c, call_param(c, 0));
}

/* -- PATCH and DELETE /agents/{host} */

struct host_patch {
    struct seen seen;
    struct str name;
    struct json_text labels;
};
static const struct field host_patch_fields[] = {
    F_STR(struct host_patch, name, "name", LIMIT_NAME, .help = "New display name."),
    F_JSON(struct host_patch, labels, "labels", 64 << 10, .help = "Object of strings; null removes a key."),
};
static const struct record host_patch_record = RECORD_SEEN(host_patch, host_patch_fields);

/* What is wrong with a change: every bad field, and the first one's error as it is. */
struct faults {
    struct record_errors errs;
    struct err first;
};
static void note_fault(struct faults *f, const struct err *err)
{
    if (f->errs.n_total == 0)
        f->first = *err;
    record_errors_add(&f->errs, err);
}

static void reply_faults(struct call *c, const struct faults *f)
{
    struct err err = f->first;

    if (f->errs.n_total > 1)
        (void)err_set(&err, f->first.code, f->first.slug, "%s (and %zu more)", f->first.text, f->errs.n_total - 1);
    reply_errors(c, &err, &f->errs);
}

static void check_label(struct faults *f, const struct node *n)
{
    char path[ERR_PATH_MAX];
    struct err err = { 0 };

    if (n->type == NODE_NULL || (n->type == NODE_STR && label_check(n->key, n->s.ptr ? n->s : STR(""), &err) == 0))
        return;
    if (n->type != NODE_STR) {
        (void)err_set(&err, -EINVAL, "label.bad", "labels.%.*s: a string or null is wanted", STR_FMT(str_sub(n->key, 0, 64)));
        (void)str_copy(n->key, path, sizeof(path)); /* one too long for a name is left out */
        err_path(&err, path);
    }
    err_path(&err, "labels");
    note_fault(f, &err);
}

/* {"k":"v","gone":null} -> pairs, NULL value for null. What is bad lands in @f. 0; negative: @err, the request cannot go on. */
static int labels_of(struct arena *a, struct str text, struct kv_list *ret, struct faults *f, struct err *err)
{
    struct node *map = NULL;
    struct err bad = { 0 };
    int r = json_parse(a, text, text.len, &map, err);

    if (r < 0)
        return r;
    if (map->type != NODE_MAP) {
        (void)err_set(&bad, -EINVAL, "field.type", "labels: an object of strings is wanted");
        err_path(&bad, "labels");
        note_fault(f, &bad);
        return 0;
    }
    ret->v = arena_array(a, map->n + 1, sizeof(*ret->v));
    if (!ret->v)
        return err_set(err, -ENOBUFS, "request.too_large", "too many labels");
    for (const struct node *n = map->child; n; n = n->next) {
        check_label(f, n);
        ret->v[ret->n++] = (struct kv){ n->key, n->type == NODE_STR ? (n->s.ptr ? n->s : STR("")) : STR_NONE };
    }
    return 0;
}

static void on_host_patch(struct call *c)
{
    const struct host_patch *p = c->body;
    struct kv_list labels = { 0 };
    struct faults bad = { 0 };
    struct host_view h;
    char uuid[UUID_TEXT_MAX];
    struct err err = { 0 };
    int named, r = 0;
    bool has_name;

    if (!find_host(c, &h))
        return;
    memcpy(uuid, h.uuid, sizeof(uuid));

    /* All is looked at before any is set: every bad field is named, and a change is whole or none. */
    has_name = field_is_present(&host_patch_record, p, "name") && !field_is_null(&host_patch_record, p, "name");
    named = has_name ? host_check_name(c->control, str_of(uuid), p->name, &err) : 0;
    if (named == -EINVAL)
        note_fault(&bad, &err);
    err_reset(&err);
    if (p->labels.text.len && labels_of(c->arena, p->labels.text, &labels, &bad, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    if (bad.errs.n_total > 0) {
        reply_faults(c, &bad);
        return;
    }
    /* A name that is taken is refused by the verb, before the labels; too many labels are, before the name is set. */
    if (named == 0 && labels.n)
        r = host_label(c->control, &c->who, str_of(uuid), &labels, &err);
    if (r == 0 && has_name)
        r = host_rename(c->control, &c->who, str_of(uuid), p->name, &err);
    if (r < 0) {
        reply_error_parked(c, &err);
        return;
    }
    reply_host(c, str_of(uuid));
}

static void on_host_forget(struct call *c)
{
    struct err err = { 0 };

    if (host_forget(c->control, &c->who, call_param(c, 0), &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    jw_map(call_json(c));
    jw_key(call_json(c), "forgotten");
    jw_bool(call_json(c), true);
    jw_end_map(call_json(c));
    reply_parked(c, 200);
}

/* -- POST /agents/{host}/link */

struct link_body {
    struct str other;
};
static const struct field link_body_fields[] = {
    F_STR(struct link_body, other, "other", LIMIT_NAME, .flags = FIELD_REQUIRED,
          .help = "The row that is the same machine, known through another accent: it goes, its names move here."),
};
static const struct record link_body_record = RECORD(link_body, link_body_fields);

static void on_host_link(struct call *c)
{
    const struct link_body *b = c->body;
    struct host_view h;
    char uuid[UUID_TEXT_MAX];
    struct err err = { 0 };

    if (!find_host(c, &h))
        return;
    memcpy(uuid, h.uuid, sizeof(uuid));
    if (host_link(c->control, &c->who, str_of(uuid), b->other, &err) < 0)
        reply_error_parked(c, &err);
    else
        reply_host(c, str_of(uuid));
}

/* -- inventory */

static void on_head(void *ctx, const struct fact_head *h, struct str body)
{
    struct page *p = ctx;
    struct jw *w = call_json(p->c);

    (void)body;
    if (call_is_gone(p->c))
        return;
    jw_map(w);
    view_section_members(h, w);
    jw_end_map(w);
}

static void on_inventory(struct call *c)
{
    struct jw *w = call_json(c);
    struct host_view h;

    if (!find_host(c, &h))
        return;
    jw_map(w);
    jw_key(w, "host_id");
    jw_cstr(w, h.uuid);
    jw_key(w, "sections");
    jw_list(w);
    read_facts(c->control, h.id.v, STR_NONE, on_head, page_done, page_new(c, 0));
}

static void write_row(struct jw *w, const struct fact_row *row)
{
    jw_map(w);
    jw_key(w, "key");
    jw_str(w, row->key);
    /* The row's own members, without its braces; what we store was checked to be an object. */
    if (row->json.len > 2) {
        (void)buf_char(w->out, ',');
        if (buf_append(w->out, row->json.ptr + 1, row->json.len - 2) < 0)
            w->err = -ENOBUFS;
    }
    jw_end_map(w);
}

static void on_section(void *ctx, const struct fact_head *h, struct str body)
{
    struct jw *w = page_row(ctx, 1); /* the one there is */
    struct fact_row row;
    size_t pos = 0;

    if (!w)
        return;
    jw_map(w);
    view_section_members(h, w);
    jw_key(w, "rows");
    jw_list(w);
    while (body_next(body, &pos, &row) > 0)
        write_row(w, &row);
    jw_end_list(w);
    jw_end_map(w);
}

static void on_section_done(void *ctx, int result)
{
    AUTO(page_free) struct page *p = ctx;
    struct err err = { 0 };

    if (page_broke(p, result))
        return;
    if (p->n > 0) {
        reply_now(p->c, 200);
        return;
    }
    (void)err_set(&err, -ENOENT, "section.unknown", "the host has not reported section %.*s",
                  STR_FMT(call_param(p->c, 1)));
    reply_error(p->c, &err);
}

/* A live answer of the agent: not stored, so nothing to wait for. */
static void on_asked(void *ctx, int result, const struct err *err, const struct section_delta *d)
{
    AUTO(call_unref) struct call *c = ctx;
    struct jw *w;

    if (call_is_gone(c))
        return;
    if (result < 0) {
        reply_error(c, err);
        return;
    }
    w = call_json(c);
    struct fact_head h = { .section = d->name,
                           .status = d->status,
                           .message = d->message,
                           .digest = d->digest,
                           .taken_at = d->taken_at,
                           .received_at = clock_wall(c->api->conf.clock),
                           .n_rows = d->n_rows };
    jw_map(w);
    view_section_members(&h, w);
    jw_key(w, "rows");
    jw_list(w);
    for (size_t i = 0; i < d->n_rows; i++)
        write_row(w, &d->rows[i]);
    jw_end_list(w);
    jw_end_map(w);
    reply_now(c, 200);
}

static void on_inventory_section(struct call *c)
{
    struct str section = call_param(c, 1);
    struct host_view h;
    struct err err = { 0 };

    if (name_value(section_names, section) < 0) {
        (void)err_set(&err, -ENOENT, "section.unknown", "there is no inventory section %.*s",
                      STR_FMT(str_sub(section, 0, 64)));
        reply_error(c, &err);
        return;
    }
    if (!find_host(c, &h))
        return;
    /* A host without a native link has reported its connections, if any: there is nobody to ask. */
    if (str_is(section, name_of(section_names, SECTION_CONNECTIONS)) && (h.link.v || str_is(h.dialect, "native")))
        inventory_ask(c->control, &c->who, str_of(h.uuid), section, on_asked, call_ref(c));
    else
        read_facts(c->control, h.id.v, section, on_section, on_section_done, page_new(c, 1));
}

struct history_query {
    struct seen seen;
    int section;
    uint64_t before;
    uint32_t limit;
};
static const struct field history_query_fields[] = {
    F_ENUM(struct history_query, section, "section", section_names),
    F_U64(struct history_query, before, "before", .help = "Only changes before this id."),
    F_PAGE_LIMIT(struct history_query),
};
static const struct record history_query_record = RECORD_SEEN(history_query, history_query_fields);

static void on_change(void *ctx, const struct fact_change *ch)
{
    struct jw *w = page_row(ctx, ch->id);

    if (w)
        view_change(ch, w);
}

static void on_history(struct call *c)
{
    const struct history_query *q = c->query;
    bool is_one = field_is_present(&history_query_record, q, "section");
    struct host_view h;
    struct page *p;

    if (!find_host(c, &h))
        return;
    p = page_open(c, "changes", q->limit);
    read_changes(c->control, h.id.v, is_one ? str_of(name_of(section_names, q->section)) : STR_NONE, q->before, page_want(p), on_change, page_done, p);
}

#define A "/api/v1/agents"
const struct route api_hosts_routes[] = {
    { HTTP_GET, A, AUTH_OPERATOR, VERB_READ, .handler = on_hosts, .query = &hosts_query_record,
      .response = &agent_list_record,
      .summary = "Hosts of the fleet in order of name; pending ones are under /enrollments." },
    { HTTP_GET, A "/{host}", AUTH_OPERATOR, VERB_READ, .handler = on_host_get, .response = &agent_record,
      .summary = "One host, by UUID or name." },
    { HTTP_PATCH, A "/{host}", AUTH_OPERATOR, VERB_HOST_LABEL, &host_patch_record, 128 << 10, on_host_patch,
      .response = &agent_record, .flags = ROUTE_MUTATES,
      .summary = "Renames a host, sets and removes labels." },
    { HTTP_DELETE, A "/{host}", AUTH_OPERATOR, VERB_HOST_FORGET, .handler = on_host_forget,
      .response = &forgotten_record, .flags = ROUTE_MUTATES,
      .summary = "Forgets a host and its facts; its live link is cut." },
    { HTTP_POST, A "/{host}/link", AUTH_OPERATOR, VERB_HOST_LINK, &link_body_record, 4 << 10, on_host_link,
      .response = &agent_record, .flags = ROUTE_MUTATES,
      .summary = "Says that another row is the same machine: its names in foreign accents move here, the row goes." },
    { HTTP_GET, A "/{host}/inventory", AUTH_OPERATOR, VERB_READ, .handler = on_inventory,
      .response = &inventory_record, .summary = "What is known of the host: one head per section." },
    { HTTP_GET, A "/{host}/inventory/{section}", AUTH_OPERATOR, VERB_READ, .handler = on_inventory_section,
      .response = &section_rows_record,
      .summary = "The rows of one section; connections are asked from the host live." },
    { HTTP_GET, A "/{host}/history", AUTH_OPERATOR, VERB_READ, .handler = on_history,
      .query = &history_query_record, .response = &change_list_record,
      .summary = "What changed when, newest first." },
};
const size_t api_hosts_routes_n = ARRAY_SIZE(api_hosts_routes);
