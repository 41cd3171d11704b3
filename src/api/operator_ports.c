/* api/operator_ports.c - free ports of a host over REST, through whatever accent reaches it. */
#include <errno.h>

#include "api/reply.h"
#include "api/state.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "control/assets.h"

/* -- GET: what was last told, and whether asking has a chance */

struct ports_read {
    struct call *c; /* held */
    bool has_scan;
    char why[160]; /* the section is not ok; "": it is, or was never told */
};

static const char *const way_words[] = { [PORTS_NO_WAY] = NULL, [PORTS_LINK] = "link", [PORTS_POLL] = "poll", [PORTS_DIAL] = "dial" };

static void on_scan(void *ctx, const struct fact_head *h, struct str body)
{
    struct ports_read *r = ctx;
    struct fact_row row;
    size_t pos = 0;

    if (h->status != SECTION_OK)
        (void)str_copy(str_sub(h->message, 0, sizeof(r->why) - 1), r->why, sizeof(r->why));
    if (call_is_gone(r->c) || r->has_scan || body_next(body, &pos, &row) <= 0)
        return;
    jw_raw(call_json(r->c), row.json);
    r->has_scan = true;
}

static void end_scan(struct call *c, bool has_scan, const char *why)
{
    struct jw *w = call_json(c);

    if (!has_scan)
        jw_null(w);
    jw_key(w, "message");
    why[0] ? jw_cstr(w, why) : jw_null(w);
    jw_end_map(w);
    reply_parked(c, 200);
}

static void on_scan_done(void *ctx, int result)
{
    struct ports_read *r = ctx;

    if (!call_is_gone(r->c)) {
        if (result < 0)
            reply_unread(r->c, result);
        else
            end_scan(r->c, r->has_scan, r->why);
    }
    call_unref(r->c);
    free(r);
}

/* The member port_scan of what the host's sigma agent reported, if any. */
static bool put_reported(struct call *c, const struct asset_view *v)
{
    struct err ignored = { 0 };
    const struct node *scan;
    struct node *info;
    struct str text = v->state->system_info.text;

    if (text.len == 0 || json_parse(c->arena, text, text.len, &info, &ignored) < 0)
        return false;
    scan = node_get(info, "port_scan");
    if (!scan || scan->type != NODE_MAP)
        return false;
    AUTO(buf_done) struct buf b = BUF(ASSET_EXTRA_BYTES);
    if (node_write(scan, &b) < 0)
        return false;
    jw_raw(call_json(c), buf_as_str(&b));
    return true;
}

static void on_ports_get(struct call *c)
{
    struct jw *w = call_json(c);
    struct asset_view v;
    struct host_view h;
    struct ports_read *r;
    struct err err = { 0 };
    enum ports_way way;
    bool is_asset;

    if (host_find(c->control, call_param(c, 0), &h, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    is_asset = asset_of_host(c->control, call_param(c, 0), &v, &(struct err){ 0 }) == 0;
    way = ports_way(c->control, h.id.v, is_asset && v.state->metrics_port);
    jw_map(w);
    jw_key(w, "host_id");
    jw_cstr(w, h.uuid);
    jw_key(w, "name");
    jw_str(w, h.name);
    jw_key(w, "reachable");
    jw_bool(w, way == PORTS_LINK || way == PORTS_POLL);
    jw_key(w, "way");
    way_words[way] ? jw_cstr(w, way_words[way]) : jw_null(w);
    jw_key(w, "scan");
    /* Of a host that is linked to one with sigma's agent both may scan, each its own range: shown is what whoever is asked told. */
    if (way != PORTS_LINK && is_asset && put_reported(c, &v)) {
        end_scan(c, true, "");
        return;
    }
    r = xnew0(struct ports_read);
    r->c = call_ref(c);
    read_facts(c->control, h.id.v, STR("ports"), on_scan, on_scan_done, r);
}

/* -- POST: asks for some */

static void on_answer(void *ctx, int result, const struct err *err, const struct ports_answer *a)
{
    AUTO(call_unref) struct call *c = ctx;
    struct err refusal = { 0 };
    struct jw *w = call_json(c);
    char text[CLOCK_TEXT_MAX];

    if (call_is_gone(c) || !c->api->control)
        return;
    if (result < 0) {
        reply_error_parked(c, err);
        return;
    }
    if (a->error.slug.len) {
        char slug[ERR_SLUG_MAX];

        (void)str_copy(str_sub(a->error.slug, 0, sizeof(slug) - 1), slug, sizeof(slug));
        (void)err_set(&refusal, -EIO, slug, "%.*s", STR_FMT(str_sub(a->error.text, 0, 256)));
        reply_error_parked(c, &refusal);
        return;
    }
    jw_map(w);
    jw_key(w, "ports");
    jw_list(w);
    for (uint32_t i = 0; i < a->n; i++)
        jw_u64(w, a->ports[i]);
    jw_end_list(w);
    jw_key(w, "lease");
    a->lease.len ? jw_str(w, a->lease) : jw_null(w);
    jw_key(w, "expires_at");
    if (a->expires_at) {
        clock_format(a->expires_at, 0, text);
        jw_cstr(w, text);
    } else {
        jw_null(w);
    }
    jw_end_map(w);
    reply_parked(c, 200);
}

static void on_ports_post(struct call *c)
{
    ports_ask(c->control, &c->who, call_param(c, 0), c->body, on_answer, call_ref(c));
}

/* -- what the document says */

struct ports_view {
    struct str host_id, name, way;
    bool reachable;
    struct json_text scan;
    struct str message;
};
static const struct field ports_view_fields[] = {
    F_STR(struct ports_view, host_id, "host_id", UUID_TEXT_LEN),
    F_STR(struct ports_view, name, "name", 128),
    F_BOOL(struct ports_view, reachable, "reachable", .help = "A question would be answered at once, as far as is known."),
    F_STR(struct ports_view, way, "way", 8, .flags = FIELD_NULLABLE, .help = "link, poll or dial: how a question travels."),
    F_JSON(struct ports_view, scan, "scan", 64 << 10, .help = "What whoever would be asked last told of the ports."),
    F_STR(struct ports_view, message, "message", 160, .flags = FIELD_NULLABLE, .help = "Why there is no scan (any more)."),
};
static const struct record ports_view_record = RECORD(ports_view, ports_view_fields);

struct ports_given {
    struct json_text ports;
    struct str lease;
    usec_t expires_at;
};
static const struct field ports_given_fields[] = {
    F_JSON(struct ports_given, ports, "ports", 8 << 10, .help = "Numbers, ascending."),
    F_STR(struct ports_given, lease, "lease", 64, .flags = FIELD_NULLABLE),
    F_TIME(struct ports_given, expires_at, "expires_at"),
};
static const struct record ports_given_record = RECORD(ports_given, ports_given_fields);

const struct route api_ports_routes[] = {
    { HTTP_GET, "/api/v1/agents/{host}/ports", AUTH_OPERATOR, VERB_READ, .handler = on_ports_get, .response = &ports_view_record,
      .summary = "What a host last told of its ports." },
    { HTTP_POST, "/api/v1/agents/{host}/ports", AUTH_OPERATOR, VERB_PORTS, &ports_wish_record, 4 << 10, on_ports_post,
      .response = &ports_given_record, .flags = ROUTE_MUTATES, .summary = "Asks a host for free ports, and reserves them for a while with ttl_seconds." },
};
const size_t api_ports_routes_n = ARRAY_SIZE(api_ports_routes);
