/* codec/listing.c - see listing.h. */
#include "codec/listing.h"

#include <errno.h>

#include "base/buf.h"
#include "base/mem.h"
#include "codec/json_scan.h"

enum { FIELDS = 8, STATE_WORDS_MAX = 256 };

/* -- ip -json */

/* The top list, to be walked with @ret. An empty output is an empty list: some versions print nothing at all. */
static int open_list(struct str json, struct json_scan *ret, struct err *err)
{
    enum json_kind kind;

    *ret = (struct json_scan){ 0 };
    if (str_trim(json).len == 0)
        return 0;
    kind = json_scan_open(json, ret);
    if (kind == JSON_LIST)
        return 0;
    *ret = (struct json_scan){ 0 };
    return err_set(err, -EINVAL, "listing.json", kind == JSON_BAD ? "not JSON" : "not a JSON list");
}

/* Its text, empty for what is no string. */
static struct str text_of(const struct json_item *m, struct rows *out)
{
    struct str s = m->kind == JSON_STR ? json_item_text(m, out->arena) : STR_NONE;

    out->is_short |= m->kind == JSON_STR && !s.ptr;
    return s;
}

/* The member @m is @key: its text to @ret. */
static bool takes(const struct json_item *m, const char *key, struct rows *out, struct str *ret)
{
    if (!json_item_is(m, key))
        return false;
    *ret = text_of(m, out);
    return true;
}

/* -1: none, or none that counts anything. */
static int64_t int_of(const struct json_item *m)
{
    int64_t n;

    return m->kind == JSON_INT && json_item_int(m, &n) && n >= 0 && n <= UINT32_MAX ? n : -1;
}

static int take_info(const struct json_item *info, struct str name, struct str mac, struct rows *out)
{
    struct json_scan walk = json_scan_into(info);
    int r = 0;

    for (struct json_item a; r == 0 && json_scan_next(&walk, &a);) {
        struct json_scan members = json_scan_into(&a);
        struct str local = STR_NONE;
        int64_t prefix = -1;

        for (struct json_item m; a.kind == JSON_MAP && json_scan_next(&members, &m);)
            if (!takes(&m, "local", out, &local) && json_item_is(&m, "prefixlen"))
                prefix = m.kind == JSON_INT && json_item_int(&m, &prefix) ? prefix : -1;
        if (prefix < 0 || prefix > 128)
            rows_refuse(out, "prefix_length", "is no prefix length");
        else
            r = rows_address(out, name, local, (unsigned)prefix, mac);
    }
    return r;
}

int listing_addresses(struct str json, struct rows *out, struct err *err)
{
    struct json_scan walk;
    int r = open_list(json, &walk, err);

    for (struct json_item i; r == 0 && json_scan_next(&walk, &i);) {
        struct json_scan members = json_scan_into(&i);
        struct json_item info = { 0 };
        struct str name = STR_NONE, mac = STR_NONE;

        out->at = i.index;
        for (struct json_item m; i.kind == JSON_MAP && json_scan_next(&members, &m);)
            if (!takes(&m, "ifname", out, &name) && !takes(&m, "address", out, &mac) && json_item_is(&m, "addr_info"))
                info = m;
        if (i.kind != JSON_MAP)
            rows_refuse(out, "", "must be an object");
        else if (info.kind == JSON_LIST && !str_is(name, "lo"))
            r = take_info(&info, name, mac, out);
    }
    return out->is_short ? -ENOBUFS : r;
}

/* "STALE", or ["STALE","NOARP"] */
static void take_state(const struct json_item *m, struct rows *out, struct buf *state)
{
    struct json_scan words = json_scan_into(m);

    buf_reset(state);
    if (m->kind == JSON_STR)
        (void)buf_str(state, json_item_text(m, out->arena));
    for (struct json_item w; m->kind == JSON_LIST && json_scan_next(&words, &w);)
        if (w.kind == JSON_STR)
            (void)buf_printf(state, "%s%.*s", state->len ? "," : "", STR_FMT(json_item_text(&w, out->arena)));
}

int listing_neighbors(struct str json, struct rows *out, struct err *err)
{
    AUTO(buf_done) struct buf state = BUF(STATE_WORDS_MAX);
    struct json_scan walk;
    int r = open_list(json, &walk, err);

    for (struct json_item i; r == 0 && json_scan_next(&walk, &i);) {
        struct json_scan members = json_scan_into(&i);
        struct str address = STR_NONE, interface = STR_NONE, mac = STR_NONE;

        out->at = i.index;
        buf_reset(&state);
        for (struct json_item m; i.kind == JSON_MAP && json_scan_next(&members, &m);)
            if (!takes(&m, "dst", out, &address) && !takes(&m, "dev", out, &interface) && !takes(&m, "lladdr", out, &mac) &&
                json_item_is(&m, "state"))
                take_state(&m, out, &state);
        if (out->is_extended && interface.len == 0 && str_find_char(address, '%') >= 0) /* "fe80::1%eth0" */
            interface = str_sub(address, (size_t)str_find_char(address, '%') + 1, SIZE_MAX);
        if (i.kind == JSON_MAP)
            r = rows_neighbor(out, interface, address, mac, buf_as_str(&state));
        else
            rows_refuse(out, "", "must be an object");
    }
    return out->is_short ? -ENOBUFS : r;
}

/* {"family":"inet6","host":"fe80::1"}: the gateway is of the other family. */
static struct str host_of(const struct json_item *via, struct rows *out)
{
    struct json_scan members = json_scan_into(via);
    struct str host = STR_NONE;

    for (struct json_item m; via->kind == JSON_MAP && json_scan_next(&members, &m);)
        (void)takes(&m, "host", out, &host);
    return host;
}

static bool is_v6(struct str address)
{
    return str_find_char(address, ':') >= 0;
}

static void take_hops(const struct json_item *list, struct rows *out, struct route_seen *ret, bool *is_inet6)
{
    struct json_scan walk = json_scan_into(list);

    ret->n_hops = 0;
    for (struct json_item i; list->kind == JSON_LIST && ret->n_hops < LISTING_HOPS && json_scan_next(&walk, &i);) {
        struct json_scan members = json_scan_into(&i);
        struct hop_seen hop = { 0 };
        struct str gateway = STR_NONE, via = STR_NONE;
        int64_t weight = 0;

        for (struct json_item m; i.kind == JSON_MAP && json_scan_next(&members, &m);)
            if (takes(&m, "gateway", out, &gateway) || takes(&m, "dev", out, &hop.interface))
                continue;
            else if (json_item_is(&m, "via"))
                via = host_of(&m, out);
            else if (json_item_is(&m, "weight"))
                weight = int_of(&m);
        if (!gateway.len && !via.len && !hop.interface.len)
            continue;
        *is_inet6 |= is_v6(gateway);
        hop.gateway = gateway.len ? gateway : via;
        hop.weight = weight > 0 ? (uint32_t)weight : 0;
        ret->hops[ret->n_hops++] = hop;
    }
}

/* What an address of the host brings with it is no news; nobody but the kernel made it. */
static bool follows_from_addresses(struct str type, struct str table)
{
    static const char *const types[] = { "local", "broadcast", "multicast", "anycast" };

    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (str_is(type, types[i]))
            return true;
    return str_is(table, "local") || str_is(table, "255");
}

/* A member that must be a text, or null, and is neither: the row is refused, for without it it would be another route. */
static bool refuses_member(const struct json_item *m, struct rows *out)
{
    static const struct {
        const char *key, *field;
    } texts[] = { { "dst", "destination" }, { "gateway", "gateway" }, { "dev", "interface" }, { "prefsrc", "source_ip" } };

    for (size_t i = 0; m->kind != JSON_STR && m->kind != JSON_NULL && i < ARRAY_SIZE(texts); i++)
        if (json_item_is(m, texts[i].key)) {
            rows_refuse(out, texts[i].field, "must be a text");
            return true;
        }
    return false;
}

static int take_extended_route(const struct json_item *route, struct rows *out)
{
    struct json_scan members = json_scan_into(route);
    struct route_seen s = { 0 };
    struct str via = STR_NONE;
    bool is_inet6 = false;
    int64_t metric = -1;

    for (struct json_item m; json_scan_next(&members, &m);) {
        if (refuses_member(&m, out))
            return 0;
        if (takes(&m, "dst", out, &s.destination) || takes(&m, "gateway", out, &s.gateway) || takes(&m, "dev", out, &s.interface) ||
            takes(&m, "prefsrc", out, &s.source) || takes(&m, "type", out, &s.type))
            continue;
        if (json_item_is(&m, "table"))
            s.table = m.kind == JSON_INT ? m.raw : text_of(&m, out);
        else if (json_item_is(&m, "metric"))
            metric = int_of(&m);
        else if (json_item_is(&m, "via"))
            via = host_of(&m, out);
        else if (json_item_is(&m, "nexthops"))
            take_hops(&m, out, &s, &is_inet6);
        else if (json_item_is(&m, "pref")) /* IPv6 alone has preferences */
            is_inet6 = true;
    }
    if (follows_from_addresses(s.type, s.table))
        return 0;
    is_inet6 |= is_v6(s.destination) || is_v6(s.gateway) || is_v6(s.source);
    s.family = is_inet6 ? STR("inet6") : STR("inet");
    s.gateway = s.gateway.len ? s.gateway : via;
    s.has_metric = metric >= 0;
    s.metric = s.has_metric ? (uint32_t)metric : 0;
    return rows_route(out, &s);
}

static int take_route(const struct json_item *route, struct rows *out)
{
    struct json_scan members = json_scan_into(route);
    struct route_seen s = { 0 };

    for (struct json_item m; json_scan_next(&members, &m);) {
        if (refuses_member(&m, out))
            return 0;
        (void)(takes(&m, "dst", out, &s.destination) || takes(&m, "gateway", out, &s.gateway) ||
               takes(&m, "dev", out, &s.interface) || takes(&m, "prefsrc", out, &s.source));
    }
    return rows_route(out, &s);
}

int listing_routes(struct str json, struct rows *out, struct err *err)
{
    struct json_scan walk;
    int r = open_list(json, &walk, err);

    for (struct json_item i; r == 0 && json_scan_next(&walk, &i);) {
        out->at = i.index;
        if (i.kind != JSON_MAP)
            rows_refuse(out, "", "must be an object");
        else
            r = out->is_extended ? take_extended_route(&i, out) : take_route(&i, out);
    }
    return out->is_short ? -ENOBUFS : r;
}

/* -- ss and netstat */

bool listing_endpoint(struct str s, struct str *ret_host, uint32_t *ret_port, bool *ret_has_port)
{
    ptrdiff_t colon = -1;
    struct str host, port;
    uint64_t n;

    *ret_has_port = false;
    *ret_port = 0;
    s = str_trim(s);
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == ':')
            colon = (ptrdiff_t)i;
    if (s.len == 0)
        return false;
    if (colon < 0) {
        *ret_host = s;
        return true;
    }
    host = str_sub(s, 0, (size_t)colon);
    port = str_sub(s, (size_t)colon + 1, SIZE_MAX);
    /* "[fe80::1]%eth0:546", what ss really prints: upstream finds no port in it, and so no row */
    if (host.len > 0 && host.ptr[0] == '[' && host.ptr[host.len - 1] != ']') {
        ptrdiff_t end = str_find_char(host, ']');

        *ret_host = end > 0 ? str_sub(host, 1, (size_t)end - 1) : host;
        return true;
    }
    *ret_host = host;
    if (!str_is(port, "*") && str_to_u64(port, &n) == 0 && n <= UINT16_MAX) {
        *ret_port = (uint32_t)n;
        *ret_has_port = true;
    }
    return host.len > 0;
}

/* The same of an extended row: "[fe80::1]%eth0:546" and "[fe80::1%eth0]:546" have a port, and a scope or device for @ret_scope. No name
 * of an interface has a colon, so the last one is the port's. */
static bool scoped_endpoint(struct str s, struct str *ret_host, struct str *ret_scope, uint32_t *ret_port, bool *ret_has_port)
{
    ptrdiff_t percent = str_find_char(s, '%');
    struct str scope, port = STR_NONE;
    uint64_t n = 0;

    if (percent < 0)
        return listing_endpoint(s, ret_host, ret_port, ret_has_port);
    scope = str_sub(s, (size_t)percent + 1, SIZE_MAX);
    for (size_t i = scope.len; i > 0 && !port.ptr; i--)
        if (scope.ptr[i - 1] == ':') {
            port = str_sub(scope, i, SIZE_MAX);
            scope.len = i - 1;
        }
    if (scope.len > 0 && scope.ptr[scope.len - 1] == ']')
        scope.len--;
    *ret_has_port = str_to_u64(port, &n) == 0 && n <= UINT16_MAX;
    *ret_port = *ret_has_port ? (uint32_t)n : 0;
    *ret_scope = scope;
    *ret_host = str_sub(s, 0, (size_t)percent);
    return ret_host->len > 0;
}

static bool cut_endpoint(const struct rows *out, struct str s, struct str *ret_host, struct str *ret_scope, uint32_t *ret_port,
                         bool *ret_has_port)
{
    return out->is_extended ? scoped_endpoint(str_trim(s), ret_host, ret_scope, ret_port, ret_has_port)
                            : listing_endpoint(s, ret_host, ret_port, ret_has_port);
}

/* Up to @max words; the last is the rest of the line. */
static size_t split(struct str line, struct str v[FIELDS], size_t max)
{
    size_t n = 0;

    while (n + 1 < max && str_word(&line, &v[n]))
        n++;
    line = str_trim(line);
    if (n + 1 == max && line.len > 0)
        v[n++] = line;
    return n;
}

static int take_connection(struct rows *out, struct connection_seen *c, struct str local, struct str remote)
{
    bool has_local = false;
    struct str here = STR_NONE, there = STR_NONE;

    if (!cut_endpoint(out, local, &c->local, &here, &c->local_port, &has_local) || !has_local)
        rows_refuse(out, c->local.len ? "local_port" : "local_ip", "is missing");
    else if (!cut_endpoint(out, remote, &c->remote, &there, &c->remote_port, &c->has_remote_port))
        rows_refuse(out, "remote_ip", "is missing");
    else {
        c->interface = here.len ? here : there;
        return rows_connection(out, c);
    }
    return 0;
}

/* Lines that are no rows by rule; what begins with none of these words was not printed by the program. */
static bool is_passed_over(struct str first, const char *const *words)
{
    for (; *words; words++)
        if (str_is(first, *words))
            return true;
    return first.len == 0;
}

/* The next ("name",pid=N of users:(...); false: none, or none that makes sense. */
static bool next_owner(struct str *rest, struct str *ret_name, uint32_t *ret_pid)
{
    ptrdiff_t at = str_find(*rest, STR("(\""));
    struct str name, pid;
    uint64_t n;

    if (at < 0)
        return false;
    name = str_sub(*rest, (size_t)at + 2, SIZE_MAX);
    at = str_find(name, STR("\",pid="));
    if (at <= 0)
        return false;
    pid = str_sub(name, (size_t)at + 6, SIZE_MAX);
    for (n = 0; n < pid.len && pid.ptr[n] >= '0' && pid.ptr[n] <= '9';)
        n++;
    *rest = str_sub(pid, n, SIZE_MAX);
    if (str_to_u64(str_sub(pid, 0, n), &n) < 0 || n > UINT32_MAX)
        return false;
    *ret_name = str_sub(name, 0, (size_t)at);
    *ret_pid = (uint32_t)n;
    return true;
}

/* The first is the row's; with it all the others where the row is an extended one. */
static void set_owner(const struct rows *out, struct connection_seen *c, struct str rest)
{
    struct str name;
    uint32_t pid;

    if (str_find(rest, STR("users:")) < 0 || !next_owner(&rest, &c->process, &c->pid))
        return;
    c->has_pid = true;
    if (!out->is_extended)
        return;
    connection_owner(c, c->pid, c->process);
    while (next_owner(&rest, &name, &pid))
        connection_owner(c, pid, name);
}

int listing_ss(struct str text, struct rows *out, struct err *err)
{
    static const char *const others[] = { "Netid", "icmp6", "raw",     "sctp",  "dccp",  "mptcp", "nl",
                                          "p_raw", "p_dgr", "tipc",    "u_str", "u_dgr", "u_seq", "v_str",
                                          "v_dgr", "xdp",   "udplite", "???",   NULL };
    struct str line;
    int r = 0;

    (void)err; /* lines are refused alone */
    for (out->at = 0; r == 0 && str_cut(&text, '\n', &line); out->at++) {
        struct str f[FIELDS] = { 0 };
        size_t n = split(line, f, 7);
        struct connection_seen c = { .protocol = f[0], .state = f[1] };

        if (is_passed_over(f[0], others))
            continue;
        if (n < 6 || (!str_is(f[0], "tcp") && !str_is(f[0], "udp"))) {
            rows_refuse(out, "", "is no line of ss -tunap");
            continue;
        }
        if (n == 7)
            set_owner(out, &c, f[6]);
        r = take_connection(out, &c, f[4], f[5]);
    }
    return r;
}

/* "900/sshd:" */
static void set_program(struct connection_seen *c, struct str s)
{
    ptrdiff_t slash = str_find_char(s, '/');
    uint64_t n;

    if (slash <= 0 || str_to_u64(str_sub(s, 0, (size_t)slash), &n) < 0 || n > UINT32_MAX)
        return;
    c->pid = (uint32_t)n;
    c->has_pid = true;
    c->process = str_sub(s, (size_t)slash + 1, SIZE_MAX);
}

/* netstat without -W cuts the end of an address off so that the whole has 23 characters: another address is left. With -W some may
 * be longer, and then none is cut. */
enum { NARROW = 23 };
static bool is_wide(struct str text, const struct rows *out)
{
    struct str line;

    if (out->is_wide)
        return true;
    while (str_cut(&text, '\n', &line)) {
        struct str f[FIELDS] = { 0 };

        if (split(line, f, FIELDS) >= 6 && (str_starts(f[0], STR("tcp")) || str_starts(f[0], STR("udp"))) &&
            (f[3].len > NARROW || f[4].len > NARROW))
            return true;
    }
    return false;
}

static void read_netstat_line(struct rows *out, const struct str f[FIELDS], size_t n, struct connection_seen *c)
{
    bool tcp = str_starts(f[0], STR("tcp"));

    c->protocol = tcp ? STR("tcp") : STR("udp");
    c->state = tcp ? f[5] : STR("unknown");
    if (tcp && n > 6)
        set_program(c, f[6]);
    else if (!tcp)
        set_program(c, f[5]);
    if (out->is_extended && !tcp && !c->has_pid && n > 6) { /* a connected one: "ESTABLISHED 777/dig" */
        c->state = f[5];
        set_program(c, f[6]);
    }
}

int listing_netstat(struct str text, struct rows *out, struct err *err)
{
    enum { LOST = 2 };
    static const char *const others[] = {
        "tcp6", "udp6", /* LOST upstream */
        "Active", "Proto", "udpl", "udpl6", "raw", "raw6", "sctp", "unix", NULL
    };
    size_t cut = out->is_extended && !is_wide(text, out) ? NARROW : SIZE_MAX;
    struct str line;
    int r = 0;

    (void)err; /* lines are refused alone */
    for (out->at = 0; r == 0 && str_cut(&text, '\n', &line); out->at++) {
        struct str f[FIELDS] = { 0 };
        size_t n = split(line, f, FIELDS);
        bool is_v4 = str_is(f[0], "tcp") || str_is(f[0], "udp");
        bool is_v6_line = out->is_extended && (str_is(f[0], "tcp6") || str_is(f[0], "udp6"));
        struct connection_seen c = { 0 };

        if (is_passed_over(f[0], out->is_extended ? others + LOST : others))
            continue;
        if (n < 6 || (!is_v4 && !is_v6_line)) {
            rows_refuse(out, "", "is no line of netstat -tunap");
            continue;
        }
        if (is_v6_line && (f[3].len == cut || f[4].len == cut)) {
            rows_refuse(out, f[3].len == cut ? "local_ip" : "remote_ip", "may be cut short: netstat -W prints all of it");
            continue;
        }
        read_netstat_line(out, f, n, &c);
        r = take_connection(out, &c, f[3], f[4]);
    }
    return r;
}

const struct listing listings[LISTINGS + 1] = {
    { "ip_addr", "addresses", listing_addresses },       { "ip_neigh", "neighbors", listing_neighbors },
    { "ss_tunap", "connections", listing_ss },           { "ip_route", "routes", listing_routes },
    { "netstat_tunap", "connections", listing_netstat }, { NULL },
};

const struct listing *listing_find(struct str name)
{
    for (const struct listing *l = listings; l->name; l++)
        if (str_is(name, l->name))
            return l;
    return NULL;
}
