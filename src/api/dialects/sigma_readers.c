/* api/dialects/sigma_readers.c - what monitoring and automation read of sigma's machines: Prometheus, statistics, Ansible. */
#include <errno.h>

#include "api/dialects/sigma.h"
#include "api/state.h"
#include "base/mem.h"
#include "base/vec.h"

static bool is_scraped(const struct asset *a)
{
    return a->monitoring_enabled && (a->status == ASSET_ACTIVE || a->status == ASSET_PROVISIONING);
}

/* -- Prometheus http_sd */

static void label(struct jw *w, const char *key, struct str value)
{
    if (value.len == 0)
        return;
    jw_key(w, key);
    jw_str(w, value);
}

static void always(struct jw *w, const char *key, struct str value)
{
    jw_key(w, key);
    jw_str(w, value);
}

static void put_target(struct call *c, const struct asset_view *v, struct str addr, uint32_t port, bool has_hostname)
{
    const struct asset *a = v->asset;
    struct jw *w = call_json(c);
    AUTO(buf_done) struct buf tags = BUF(8 << 10);

    jw_map(w);
    jw_key(w, "targets");
    jw_list(w);
    jw_str(w, arena_printf(c->arena, str_find_char(addr, ':') >= 0 ? "[%.*s]:%u" : "%.*s:%u", STR_FMT(addr), port));
    jw_end_list(w);
    jw_key(w, "labels");
    jw_map(w);
    always(w, "instance_name", a->hostname);
    if (has_hostname)
        always(w, "hostname", a->hostname);
    always(w, "provider", v->provider ? v->provider->name : STR(""));
    always(w, "country", a->country);
    always(w, "status", str_of(name_of(asset_status_names, a->status)));
    label(w, "alias", a->alias);
    label(w, "city", a->city);
    label(w, "dc", a->dc_name);
    label(w, "purpose", a->purpose);
    label(w, "vpn_protocol", a->vpn_protocol);
    for (size_t i = 0; i < a->tags.n; i++) {
        if (i)
            (void)buf_char(&tags, ',');
        (void)buf_str(&tags, a->tags.v[i]);
    }
    label(w, "tags", buf_as_str(&tags));
    label(w, "expire_date", a->expire_date);
    jw_end_map(w);
    jw_end_map(w);
}

static bool on_target(void *ctx, const struct asset_view *v)
{
    struct str addr = asset_address(v->asset);

    if (is_scraped(v->asset) && addr.len)
        put_target(ctx, v, addr, (uint32_t)v->asset->node_exporter_port, false);
    return true;
}

struct scrape {
    struct call *c;
    struct asset_dial_rules rules;
};

/* The agents' own metrics: where allocate-ports would dial, as far as that is known without resolving. */
static bool on_agent_target(void *ctx, const struct asset_view *v)
{
    struct scrape *s = ctx;
    struct asset_dial d;
    struct err err = { 0 };

    if (is_scraped(v->asset) && v->state->metrics_port && asset_dial(v->asset, v->state, &s->rules, &d, &err) == 0)
        put_target(s->c, v, d.place[0].host, d.port, true);
    return true;
}

static void on_targets(struct call *c)
{
    jw_list(call_json(c));
    (void)asset_list(c->control, &(struct asset_filter){ 0 }, ASSET_BY_NAME, on_target, c);
    jw_end_list(call_json(c));
    reply_parked(c, 200);
}

static void on_agent_targets(struct call *c)
{
    struct scrape s = { .c = c };

    sigma_dial_rules(c->api, c->arena, &s.rules);
    jw_list(call_json(c));
    (void)asset_list(c->control, &(struct asset_filter){ 0 }, ASSET_BY_NAME, on_agent_target, &s);
    jw_end_list(call_json(c));
    reply_parked(c, 200);
}

/* -- statistics */

struct tally {
    struct str *label;
    uint32_t *count;
    size_t n, cap;
};

struct stats {
    struct call *c;
    uint32_t total, active;
    struct tally country, provider, status;
    usec_t now;
};

/* Linear: countries, providers and states are few. */
static void count(struct call *c, struct tally *t, struct str label)
{
    for (size_t i = 0; i < t->n; i++)
        if (str_eq(t->label[i], label)) {
            t->count[i]++;
            return;
        }
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 32;
        struct str *labels = arena_array(c->arena, cap, sizeof(*labels));
        uint32_t *counts = arena_array(c->arena, cap, sizeof(*counts));

        if (!labels || !counts)
            return;
        if (t->n) {
            memcpy(labels, t->label, t->n * sizeof(*labels));
            memcpy(counts, t->count, t->n * sizeof(*counts));
        }
        t->label = labels;
        t->count = counts;
        t->cap = cap;
    }
    t->label[t->n] = label;
    t->count[t->n++] = 1;
}

static void put_tally(struct jw *w, const char *key, const struct tally *t)
{
    jw_key(w, key);
    jw_list(w);
    for (size_t i = 0; i < t->n; i++) {
        jw_map(w);
        always(w, "label", t->label[i]);
        jw_key(w, "count");
        jw_u64(w, t->count[i]);
        jw_end_map(w);
    }
    jw_end_list(w);
}

static bool on_counted(void *ctx, const struct asset_view *v)
{
    struct stats *s = ctx;
    const struct asset *a = v->asset;

    count(s->c, &s->status, str_of(name_of(asset_status_names, a->status)));
    if (a->status == ASSET_RETIRED)
        return true;
    s->total++;
    s->active += a->status == ASSET_ACTIVE;
    count(s->c, &s->country, a->country);
    count(s->c, &s->provider, v->provider ? v->provider->name : STR("(unassigned)"));
    return true;
}

static bool on_expiring(void *ctx, const struct asset_view *v)
{
    sigma_view(ctx, v);
    return true;
}

static bool nothing(void *ctx, const struct provider_view *v)
{
    (void)ctx;
    (void)v;
    return true;
}

static void on_stats(struct call *c)
{
    struct stats s = { .c = c };
    struct jw *w = call_json(c);

    (void)asset_list(c->control, &(struct asset_filter){ 0 }, ASSET_BY_STATUS, on_counted, &s);
    jw_map(w);
    jw_key(w, "total_vps");
    jw_u64(w, s.total);
    jw_key(w, "active_vps");
    jw_u64(w, s.active);
    jw_key(w, "total_providers");
    jw_u64(w, provider_list(c->control, nothing, NULL));
    put_tally(w, "by_country", &s.country);
    put_tally(w, "by_provider", &s.provider);
    put_tally(w, "by_status", &s.status);
    jw_key(w, "expiring_soon");
    jw_list(w);
    (void)asset_list(c->control, &(struct asset_filter){ .has_expiring = true, .expiring_days = ASSET_EXPIRING_DAYS }, ASSET_BY_STATUS,
                     on_expiring, c);
    jw_end_list(w);
    jw_end_map(w);
    reply_parked(c, 200);
}

/* -- Ansible */

enum { GROUP_NAME_MAX = 160 };

/* Names of groups as Ansible takes them. */
static struct str group_name(struct arena *a, const char *kind, struct str value)
{
    char text[GROUP_NAME_MAX];
    size_t n = (size_t)snprintf(text, sizeof(text), "%s_", kind);

    for (size_t i = 0; i < value.len && n < sizeof(text) - 1; i++) {
        char ch = value.ptr[i];

        if (ch >= 'A' && ch <= 'Z')
            ch = (char)(ch - 'A' + 'a');
        text[n++] = (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') ? ch : '_';
    }
    return arena_str(a, str_bytes(text, n));
}

/* Agents say their names and aliases, and Ansible runs what it finds between such braces. */
static bool is_template(struct str s)
{
    return str_find(s, STR("{{")) >= 0 || str_find(s, STR("{%")) >= 0 || str_find(s, STR("{#")) >= 0;
}

/* Text that is never a template: marked as Ansible's own reader of JSON understands it. */
static void put_text(struct jw *w, struct str s)
{
    if (!is_template(s)) {
        jw_str(w, s);
        return;
    }
    jw_map(w);
    jw_key(w, "__ansible_unsafe");
    jw_str(w, s);
    jw_end_map(w);
}

static void put_var(struct jw *w, const char *key, struct str s)
{
    jw_key(w, key);
    put_text(w, s);
}

struct member {
    struct str group, host;
    size_t turn;
};
struct inventory {
    struct arena *a; /* its own: a fleet may be large */
    struct call *c;
    struct member *members;
    size_t n, cap;
};

static void join(struct inventory *inv, const char *kind, struct str value, struct str host)
{
    if (value.len == 0)
        return;
    inv->members = vec__grow(inv->members, &inv->cap, inv->n, sizeof(*inv->members));
    inv->members[inv->n] = (struct member){ group_name(inv->a, kind, value), host, inv->n };
    inv->n++;
}

static int by_group(const void *x, const void *y)
{
    const struct member *a = x, *b = y;
    int d = str_cmp(a->group, b->group);

    return d ? d : a->turn < b->turn ? -1 : a->turn > b->turn;
}

static bool on_inventory_host(void *ctx, const struct asset_view *v)
{
    struct inventory *inv = ctx;
    const struct asset *a = v->asset;

    if (is_template(a->hostname)) /* a key cannot be marked, and no host is called so */
        return true;
    jw_str(call_json(inv->c), a->hostname);
    join(inv, "status", str_of(name_of(asset_status_names, a->status)), a->hostname);
    join(inv, "country", a->country, a->hostname);
    join(inv, "purpose", a->purpose, a->hostname);
    join(inv, "provider", v->provider ? v->provider->name : STR_NONE, a->hostname);
    for (size_t i = 0; i < a->tags.n; i++)
        join(inv, "tag", a->tags.v[i], a->hostname);
    return true;
}

static bool on_inventory_vars(void *ctx, const struct asset_view *v)
{
    struct call *c = ctx;
    const struct asset *a = v->asset;
    struct str addr = asset_address(a);
    struct jw *w = call_json(c);

    if (is_template(a->hostname))
        return true;
    jw_key_str(w, a->hostname);
    jw_map(w);
    put_var(w, "ansible_host", addr.len ? addr : a->hostname);
    jw_key(w, "ansible_port");
    jw_i64(w, a->ssh_port);
    put_var(w, "sigma_id", a->uuid);
    put_var(w, "sigma_alias", a->alias);
    put_var(w, "sigma_status", str_of(name_of(asset_status_names, a->status)));
    put_var(w, "sigma_provider", v->provider ? v->provider->name : STR(""));
    put_var(w, "sigma_country", a->country);
    put_var(w, "sigma_city", a->city);
    put_var(w, "sigma_dc_name", a->dc_name);
    put_var(w, "sigma_purpose", a->purpose);
    put_var(w, "sigma_vpn_protocol", a->vpn_protocol);
    put_var(w, "sigma_expire_date", a->expire_date);
    jw_key(w, "sigma_tags");
    jw_list(w);
    for (size_t i = 0; i < a->tags.n; i++)
        put_text(w, a->tags.v[i]);
    jw_end_list(w);
    jw_key(w, "sigma_online");
    jw_bool(w, v->is_online);
    jw_end_map(w);
    return true;
}

static void put_groups(struct inventory *inv)
{
    struct jw *w = call_json(inv->c);

    if (inv->n)
        qsort(inv->members, inv->n, sizeof(*inv->members), by_group);
    for (size_t i = 0; i < inv->n;) {
        struct str group = inv->members[i].group;

        jw_key_str(w, group);
        jw_map(w);
        jw_key(w, "hosts");
        jw_list(w);
        for (; i < inv->n && str_eq(inv->members[i].group, group); i++)
            if (i == 0 || !str_eq(inv->members[i - 1].group, group) || !str_eq(inv->members[i - 1].host, inv->members[i].host))
                jw_str(w, inv->members[i].host); /* two tags may become one group */
        jw_end_list(w);
        jw_end_map(w);
    }
}

static void on_inventory(struct call *c)
{
    AUTO(arena_free) struct arena *a = arena_new(256 << 20);
    const struct asset_filter all = { 0 };
    struct inventory inv = { .a = a, .c = c };
    struct jw *w = call_json(c);

    jw_map(w);
    jw_key(w, "all");
    jw_map(w);
    jw_key(w, "hosts");
    jw_list(w);
    (void)asset_list(c->control, &all, ASSET_BY_NAME, on_inventory_host, &inv);
    jw_end_list(w);
    jw_end_map(w);
    put_groups(&inv);
    jw_key(w, "_meta");
    jw_map(w);
    jw_key(w, "hostvars");
    jw_map(w);
    (void)asset_list(c->control, &all, ASSET_BY_NAME, on_inventory_vars, c);
    jw_end_map(w);
    jw_end_map(w);
    jw_end_map(w);
    free(inv.members);
    reply_parked(c, 200);
}

static const struct route rows[] = {
    { HTTP_GET, "/api/prometheus/targets", AUTH_OPERATOR, VERB_READ, .handler = on_targets, .dialect = &dialect_sigma,
      .summary = "Machines with a node exporter, for http_sd." },
    { HTTP_GET, "/api/prometheus/agent-targets", AUTH_OPERATOR, VERB_READ, .handler = on_agent_targets, .dialect = &dialect_sigma,
      .summary = "Agents with metrics, for http_sd." },
    { HTTP_GET, "/api/stats", AUTH_OPERATOR, VERB_READ, .handler = on_stats, .dialect = &dialect_sigma,
      .summary = "How many machines, and which are due." },
    { HTTP_GET, "/api/ansible/inventory", AUTH_OPERATOR, VERB_READ, .handler = on_inventory, .dialect = &dialect_sigma,
      .summary = "Machines as a dynamic inventory." },
};
const struct route_table sigma_reader_table = { rows, ARRAY_SIZE(rows) };
