/* agent/dialects/grapheon_parse.c - what `ip -json`, `ss -tunapH` and `netstat -tunap` print, as rows. Pure.
 *
 * The rules are those of the upstream agent, its losses included (spec 2.6: scoped IPv6 endpoints in brackets, tcp6 lines of
 * netstat, all owners but the first): a host may change agents without every row becoming a new one. grapheon_netlink.c loses
 * nothing. */
#include <errno.h>

#include "agent/dialects/grapheon.h"

enum { FIELDS = 8 };

/* -- ip -json */

static struct str text_of(const struct node *map, const char *key)
{
    const struct node *n = map && map->type == NODE_MAP ? node_get(map, key) : NULL;

    return n && n->type == NODE_STR ? n->s : STR_NONE;
}

/* The top list. An empty output is an empty list: some versions print nothing at all. */
static int parse_list(struct str json, struct rows *out, const struct node **ret, struct err *err)
{
    struct node *n = NULL;
    int r;

    *ret = NULL;
    if (str_trim(json).len == 0)
        return 0;
    r = json_parse(out->arena, json, GRAPHEON_OUTPUT_BYTES, &n, err);
    if (r < 0)
        return r;
    if (n->type != NODE_LIST)
        return err_set(err, -EINVAL, "grapheon.output", "not a JSON list");
    *ret = n->child;
    return 0;
}

int grapheon__parse_addresses(struct str json, struct rows *out, struct err *err)
{
    const struct node *i;
    int r = parse_list(json, out, &i, err);

    for (; r == 0 && i; i = i->next) {
        struct str name = text_of(i, "ifname"), mac = text_of(i, "address");
        const struct node *info = i->type == NODE_MAP ? node_get(i, "addr_info") : NULL;

        if (str_is(name, "lo") || !info || info->type != NODE_LIST)
            continue;
        for (const struct node *a = info->child; r == 0 && a; a = a->next) {
            const struct node *prefix = a->type == NODE_MAP ? node_get(a, "prefixlen") : NULL;

            if (prefix && prefix->type == NODE_INT && prefix->i >= 0 && prefix->i <= 128)
                r = rows__address(out, name, text_of(a, "local"), (unsigned)prefix->i, mac);
        }
    }
    return r;
}

int grapheon__parse_neighbors(struct str json, struct rows *out, struct err *err)
{
    const struct node *i;
    int r = parse_list(json, out, &i, err);

    for (; r == 0 && i; i = i->next) {
        AUTO(buf_done) struct buf state = BUF(256);
        const struct node *s = i->type == NODE_MAP ? node_get(i, "state") : NULL;

        if (s && s->type == NODE_STR)
            (void)buf_str(&state, s->s);
        for (const struct node *c = s && s->type == NODE_LIST ? s->child : NULL; c; c = c->next)
            if (c->type == NODE_STR)
                (void)buf_printf(&state, "%s%.*s", state.len ? "," : "", STR_FMT(c->s));
        r = rows__neighbor(out, text_of(i, "dev"), text_of(i, "dst"), text_of(i, "lladdr"), buf_as_str(&state));
    }
    return r;
}

int grapheon__parse_routes(struct str json, struct rows *out, struct err *err)
{
    const struct node *i;
    int r = parse_list(json, out, &i, err);

    for (; r == 0 && i; i = i->next)
        if (i->type == NODE_MAP)
            r = rows__route(out, text_of(i, "dst"), text_of(i, "gateway"), text_of(i, "dev"), text_of(i, "prefsrc"));
    return r;
}

/* -- ss and netstat */

bool grapheon__endpoint(struct str s, struct str *ret_host, uint32_t *ret_port, bool *ret_has_port)
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

static bool set_endpoints(struct connection_seen *c, struct str local, struct str remote)
{
    bool has_local;

    return grapheon__endpoint(local, &c->local, &c->local_port, &has_local) && has_local &&
           grapheon__endpoint(remote, &c->remote, &c->remote_port, &c->has_remote_port);
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

int grapheon__parse_ss(struct str text, struct rows *out)
{
    struct str line;
    int r = 0;

    while (r == 0 && str_cut(&text, '\n', &line)) {
        struct str f[FIELDS];
        size_t n = split(line, f, 7);
        struct connection_seen c = { 0 };

        if (n < 6 || (!str_is(f[0], "tcp") && !str_is(f[0], "udp")))
            continue;
        c.protocol = f[0];
        c.state = f[1];
        if (n == 7)
            set_owner(&c, f[6]);
        if (set_endpoints(&c, f[4], f[5]))
            r = rows__connection(out, &c);
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

int grapheon__parse_netstat(struct str text, struct rows *out)
{
    struct str line;
    int r = 0;

    while (r == 0 && str_cut(&text, '\n', &line)) {
        struct str f[FIELDS];
        size_t n = split(line, f, FIELDS);
        struct connection_seen c = { 0 };
        bool tcp = n > 0 && str_is(f[0], "tcp");

        if (n < 6 || (!tcp && !str_is(f[0], "udp")))
            continue;
        c.protocol = f[0];
        c.state = tcp ? f[5] : STR("unknown");
        if (tcp && n > 6)
            set_program(&c, f[6]);
        else if (!tcp)
            set_program(&c, f[5]);
        if (set_endpoints(&c, f[3], f[4]))
            r = rows__connection(out, &c);
    }
    return r;
}
