/* codec/listing.c - see listing.h. */
#include "codec/listing.h"

#include <errno.h>

#include "base/buf.h"
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

/* The member @m is @key: its text to @ret, empty for what is no string. */
static bool takes(const struct json_item *m, const char *key, struct rows *out, struct str *ret)
{
    if (!json_item_is(m, key))
        return false;
    *ret = m->kind == JSON_STR ? json_item_text(m, out->arena) : STR_NONE;
    out->is_short |= m->kind == JSON_STR && !ret->ptr;
    return true;
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
        if (i.kind == JSON_MAP)
            r = rows_neighbor(out, interface, address, mac, buf_as_str(&state));
        else
            rows_refuse(out, "", "must be an object");
    }
    return out->is_short ? -ENOBUFS : r;
}

int listing_routes(struct str json, struct rows *out, struct err *err)
{
    struct json_scan walk;
    int r = open_list(json, &walk, err);

    for (struct json_item i; r == 0 && json_scan_next(&walk, &i);) {
        struct json_scan members = json_scan_into(&i);
        struct str to = STR_NONE, gateway = STR_NONE, interface = STR_NONE, source = STR_NONE;

        out->at = i.index;
        for (struct json_item m; i.kind == JSON_MAP && json_scan_next(&members, &m);)
            (void)(takes(&m, "dst", out, &to) || takes(&m, "gateway", out, &gateway) || takes(&m, "dev", out, &interface) ||
                   takes(&m, "prefsrc", out, &source));
        if (i.kind == JSON_MAP)
            r = rows_route(out, to, gateway, interface, source);
        else
            rows_refuse(out, "", "must be an object");
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

    if (!listing_endpoint(local, &c->local, &c->local_port, &has_local) || !has_local)
        rows_refuse(out, c->local.len ? "local_port" : "local_ip", "is missing");
    else if (!listing_endpoint(remote, &c->remote, &c->remote_port, &c->has_remote_port))
        rows_refuse(out, "remote_ip", "is missing");
    else
        return rows_connection(out, c);
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

/* The first ("name",pid=N of users:(...). */
static void set_owner(struct connection_seen *c, struct str rest)
{
    struct str pid;
    ptrdiff_t at;
    uint64_t n;

    at = str_find(rest, STR("(\""));
    if (str_find(rest, STR("users:")) < 0 || at < 0)
        return;
    rest = str_sub(rest, (size_t)at + 2, SIZE_MAX);
    at = str_find(rest, STR("\",pid="));
    if (at <= 0)
        return;
    pid = str_sub(rest, (size_t)at + 6, SIZE_MAX);
    for (n = 0; n < pid.len && pid.ptr[n] >= '0' && pid.ptr[n] <= '9';)
        n++;
    if (str_to_u64(str_sub(pid, 0, n), &n) < 0 || n > UINT32_MAX)
        return;
    c->process = str_sub(rest, 0, (size_t)at);
    c->pid = (uint32_t)n;
    c->has_pid = true;
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
            set_owner(&c, f[6]);
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

int listing_netstat(struct str text, struct rows *out, struct err *err)
{
    static const char *const others[] = {
        "Active", "Proto", "tcp6", "udp6", "udpl", "udpl6", "raw", "raw6", "sctp", "unix", NULL
    };
    struct str line;
    int r = 0;

    (void)err; /* lines are refused alone */
    for (out->at = 0; r == 0 && str_cut(&text, '\n', &line); out->at++) {
        struct str f[FIELDS] = { 0 };
        size_t n = split(line, f, FIELDS);
        bool tcp = str_is(f[0], "tcp");
        struct connection_seen c = { .protocol = f[0], .state = tcp ? f[5] : STR("unknown") };

        if (is_passed_over(f[0], others))
            continue;
        if (n < 6 || (!tcp && !str_is(f[0], "udp"))) {
            rows_refuse(out, "", "is no line of netstat -tunap");
            continue;
        }
        if (tcp && n > 6)
            set_program(&c, f[6]);
        else if (!tcp)
            set_program(&c, f[5]);
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
