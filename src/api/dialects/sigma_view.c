/* api/dialects/sigma_view.c - sigma's rows as they are shown; extra put together and taken apart. */
#include "api/dialects/sigma.h"

#include <errno.h>

/* -- extra: one object on the wire, several members here */

static void put_time(struct jw *w, const char *key, usec_t t)
{
    char text[CLOCK_TEXT_MAX], *z;

    if (t == 0)
        return;
    /* This one accent writes UTC as +00:00. */
    clock_format(t, t % USEC_PER_SEC ? 6 : 0, text);
    z = strchr(text, 'Z');
    if (z)
        *z = '\0';
    char full[CLOCK_TEXT_MAX + 8];
    (void)snprintf(full, sizeof(full), "%s+00:00", text);
    jw_key(w, key);
    jw_cstr(w, full);
}

static void put_extra(const struct asset_view *v, struct buf *out)
{
    const struct asset *a = v->asset;
    struct str rest = a->extra.text;
    struct jw w = JW(out);

    jw_map(&w);
    /* The rest is an object of ours: its members are what is between the braces. */
    if (rest.len > 2) {
        (void)buf_str(out, str_sub(rest, 1, rest.len - 2));
        w.has_items |= 1;
    }
    if (v->state->system_info.text.len) {
        jw_key(&w, "system_info");
        jw_raw(&w, v->state->system_info.text);
    }
    put_time(&w, "last_heartbeat", v->state->last_heartbeat);
    put_time(&w, "retired_at", a->retired_at);
    if (a->seen_retired_at) {
        jw_key(&w, "agent_seen_while_retired");
        jw_bool(&w, true);
    }
    if (a->other_names.n) {
        jw_key(&w, "merged_hostnames");
        jw_list(&w);
        for (size_t i = 0; i < a->other_names.n; i++)
            jw_str(&w, a->other_names.v[i]);
        jw_end_list(&w);
    }
    jw_end_map(&w);
}

void sigma_vps_of(const struct asset_view *v, struct buf *extra, struct sigma_vps *ret)
{
    *ret = (struct sigma_vps){ .a = *v->asset, .updated_at = v->asset->updated_at, .online = v->is_online,
                              .has_metrics_token = v->asset->sealed_token.len > 0 };
    if (v->state->updated_at > ret->updated_at)
        ret->updated_at = v->state->updated_at;
    put_extra(v, extra);
    ret->extra.text = buf_as_str(extra);
}

void sigma_view(struct call *c, const struct asset_view *v)
{
    AUTO(buf_done) struct buf extra = BUF(4 * ASSET_EXTRA_BYTES);
    struct sigma_vps vps;
    uint8_t *room;

    /* Room at once for what a row usually is: most calls here are heartbeats. */
    (void)buf_reserve(&extra, 512, &room);
    (void)buf_reserve(&c->out, 1536, &room);
    sigma_vps_of(v, &extra, &vps);
    record_write(&sigma_vps_record, &vps, call_json(c));
}

void sigma_reply_vps(struct call *c, const struct asset_view *v)
{
    sigma_view(c, v);
    reply_parked(c, 200);
}

/* -- what an agent reports */

static uint64_t number(const struct node *map, const char *key, uint64_t max)
{
    const struct node *n = node_get(map, key);

    if (!n || n->type != NODE_INT || n->i < 0 || (uint64_t)n->i > max)
        return 0;
    return (uint64_t)n->i;
}

static double real(const struct node *n)
{
    return !n ? 0 : n->type == NODE_INT ? (double)n->i : n->type == NODE_REAL ? n->r : 0;
}

static struct str text_of(const struct node *map, const char *key, size_t max)
{
    const struct node *n = node_get(map, key);

    return n && n->type == NODE_STR && n->s.len <= max ? n->s : STR_NONE;
}

/* The subtree as text in @a; {NULL,0}: longer than @max. */
static struct str json_of(struct arena *a, const struct node *n, size_t max)
{
    AUTO(buf_done) struct buf b = BUF(max);

    return node_write(n, &b) < 0 ? STR_NONE : arena_str(a, buf_as_str(&b));
}

int sigma_read_info(struct arena *a, const struct node *info, struct asset_state *ret, struct heartbeat *ret_beat, struct err *err)
{
    const struct node *load;

    *ret = (struct asset_state){ 0 };
    *ret_beat = (struct heartbeat){ 0 };
    if (!info || info->type == NODE_NULL)
        return 0;
    if (info->type != NODE_MAP)
        return err_set(err, -EINVAL, "field.type", "system_info: must be an object or null");
    ret->system_info.text = json_of(a, info, ASSET_EXTRA_BYTES);
    if (!ret->system_info.text.ptr)
        return err_set(err, -EINVAL, "field.too_long", "system_info: has more than %d bytes", ASSET_EXTRA_BYTES);
    ret->metrics_port = (uint32_t)number(info, "metrics_port", 65535);
    if (node_get(info, "port_scan") && node_get(info, "port_scan")->type == NODE_MAP)
        ret->ports_max = (uint32_t)number(node_get(info, "port_scan"), "max_count", PORTS_MAX);
    ret->public_ip = text_of(info, "public_ip", 64);
    ret->cpu_cores = (uint32_t)number(info, "cpu_cores", 1 << 20);
    ret->ram_mb = number(info, "ram_mb", (uint64_t)1 << 40);
    ret->disk_gb = number(info, "disk_gb", (uint64_t)1 << 30);

    ret_beat->uptime_s = number(info, "uptime_seconds", (uint64_t)1 << 40);
    ret_beat->memory_total_bytes = ret->ram_mb << 20;
    ret_beat->disk_total_bytes = ret->disk_gb << 30;
    ret_beat->disk_used_bytes = number(info, "disk_used_gb", (uint64_t)1 << 30) << 30;
    load = node_get(info, "load_avg");
    if (load && load->type == NODE_LIST && load->n == 3) {
        ret_beat->load1 = real(load->child);
        ret_beat->load5 = real(load->child->next);
        ret_beat->load15 = real(load->child->next->next);
    }
    return 0;
}

/* -- extra of a wish */

static bool is_ours(struct str key)
{
    return str_is(key, "system_info") || str_is(key, "last_heartbeat") || str_is(key, "retired_at") ||
           str_is(key, "agent_seen_while_retired") || str_is(key, "merged_hostnames");
}

static int read_names(struct arena *a, const struct node *n, struct str_list *ret, struct err *err)
{
    if (!n || n->type == NODE_NULL)
        return 0;
    if (n->type != NODE_LIST || n->n > ASSET_OTHER_NAMES)
        return err_set(err, -EINVAL, "field.type", "extra.merged_hostnames: must be a list of at most %d strings", ASSET_OTHER_NAMES);
    ret->v = arena_array(a, n->n + 1, sizeof(*ret->v));
    for (const struct node *e = n->child; e && ret->v; e = e->next) {
        if (e->type != NODE_STR || e->s.len > 255)
            return err_set(err, -EINVAL, "field.type", "extra.merged_hostnames: must be a list of host names");
        ret->v[ret->n++] = e->s;
    }
    return 0;
}

int sigma_read_extra(struct arena *a, const struct asset_wish *w, struct asset_extra *ret, struct err *err)
{
    AUTO(buf_done) struct buf rest = BUF(ASSET_EXTRA_BYTES);
    struct jw out = JW(&rest);
    struct node *map = NULL;
    struct heartbeat beat;
    struct str text;
    int r;

    *ret = (struct asset_extra){ 0 };
    if (!field_is_present(&asset_wish_record, w, "extra"))
        return 0;
    r = json_parse(a, w->extra.text, w->extra.text.len, &map, err);
    if (r < 0)
        return r;
    if (map->type != NODE_MAP)
        return err_set(err, -EINVAL, "field.type", "extra: must be an object");
    ret->is_given = true;
    jw_map(&out);
    for (const struct node *n = map->child; n; n = n->next) {
        if (is_ours(n->key))
            continue;
        text = json_of(a, n, ASSET_EXTRA_BYTES);
        jw_key_str(&out, n->key);
        jw_raw(&out, text.ptr ? text : STR("null"));
        if (!text.ptr)
            out.err = -ENOBUFS;
    }
    jw_end_map(&out);
    if (jw_done(&out) < 0)
        return err_set(err, -EINVAL, "field.too_long", "extra: has more than %d bytes", ASSET_EXTRA_BYTES);
    if (rest.len > 2)
        ret->rest.text = arena_str(a, buf_as_str(&rest));
    text = text_of(map, "retired_at", 40);
    if (text.len)
        (void)clock_parse(text, &ret->retired_at); /* what is no time is dropped: it says nothing here */
    r = read_names(a, node_get(map, "merged_hostnames"), &ret->other_names, err);
    if (r < 0 || !node_get(map, "system_info"))
        return r;
    ret->has_state = true;
    r = sigma_read_info(a, node_get(map, "system_info"), &ret->state, &beat, err);
    text = text_of(map, "last_heartbeat", 40);
    if (text.len)
        (void)clock_parse(text, &ret->state.last_heartbeat);
    return r;
}

/* -- windows of lists */

struct jw *sigma_window_begin(struct sigma_window *w, struct call *c, bool has_page, uint32_t page, bool has_per_page, int64_t per_page)
{
    struct jw *out = call_json(c);

    *w = (struct sigma_window){ .c = c, .page = has_page && page > 1 ? page : 1, .per_page = 25 };
    if (has_per_page)
        w->per_page = per_page < 1 ? 1 : per_page > 100 ? 100 : (uint32_t)per_page;
    jw_map(out);
    jw_key(out, "data");
    jw_list(out);
    return out;
}

bool sigma_window_row(struct sigma_window *w)
{
    size_t first = sigma_window_first(w), at = w->at++;

    return at >= first && at < first + w->per_page;
}

void sigma_window_end(struct sigma_window *w)
{
    struct jw *out = call_json(w->c);

    jw_end_list(out);
    jw_key(out, "total");
    jw_u64(out, w->at);
    jw_key(out, "page");
    jw_u64(out, w->page);
    jw_key(out, "per_page");
    jw_u64(out, w->per_page);
    jw_end_map(out);
    reply_parked(w->c, 200);
}
