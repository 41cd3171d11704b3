/* api/dialects/grapheon_rows.c - a reported row becomes an inventory row: checked, in our words, under a key.
 *
 *   addresses    eth0 192.0.2.5/24              {"interface":"eth0","address":"192.0.2.5","prefix":24,"family":"inet","mac":"02:..."}
 *   neighbors    eth0 192.0.2.1                 {"interface":"eth0","address":"192.0.2.1","mac":"02:...","state":"stale"}
 *   connections  tcp 192.0.2.5:443 *            {"protocol":"tcp","address":"192.0.2.5","port":443,...}
 *   routes       default via 192.0.2.1 dev eth0 {"destination":"default","gateway":"192.0.2.1",...}
 *                default inet6 dev tun0 metric 1024 table 77, where the agent says so; next hops are no part of a key
 *
 * The key is what a thing is and not how it is: a socket that changes its state, a neighbour that goes stale replace their rows. Of
 * reporters that tell removals the process is part of a socket's key (" pid 900"): of two that share an address one may go. Any thread. */
#include "api/dialects/grapheon.h"
#include "base/limits.h"
#include "codec/json_scan.h"

enum { LISTED_MAX = 64 }; /* owners of a socket, next hops of a route */

struct row_reader {
    struct arena *a;
    struct report_refusal *why;
};

static bool bad(struct row_reader *r, const char *field, const char *type, const char *text)
{
    (void)snprintf(r->why->field, sizeof(r->why->field), "%s", field);
    (void)snprintf(r->why->message, sizeof(r->why->message), "%s", text);
    r->why->type = type;
    return false;
}

static size_t n_chars(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return n;
}

static bool get_text(struct row_reader *r, const struct json_item *m, const char *field, size_t max_chars, struct str *ret)
{
    if (m->kind == JSON_NULL)
        return true;
    if (m->kind != JSON_STR)
        return bad(r, field, "string_type", "must be a string");
    *ret = json_item_text(m, r->a);
    if (!ret->ptr)
        return bad(r, field, "string_too_long", "does not fit");
    return n_chars(*ret) <= max_chars || bad(r, field, "string_too_long", "is too long");
}

struct ip_text {
    char text[46];
    bool is_any, is_there;
};

static bool get_ip(struct row_reader *r, const struct json_item *m, const char *field, bool any_is_fine, struct ip_text *ret)
{
    struct str s = STR_NONE;

    if (m->kind == JSON_NULL)
        return true;
    if (!get_text(r, m, field, 255, &s))
        return false;
    if (!report_ip(str_trim(s), ret->text, &ret->is_any))
        return bad(r, field, "value_error", "is no IP address");
    if (ret->is_any && !any_is_fine)
        return bad(r, field, "value_error", "is the unspecified address");
    return ret->is_there = true;
}

static bool get_mac(struct row_reader *r, const struct json_item *m, char ret[18])
{
    struct str s = STR_NONE;

    ret[0] = '\0';
    if (m->kind == JSON_NULL)
        return true;
    if (!get_text(r, m, "mac_address", 255, &s))
        return false;
    return report_mac(str_trim(s), ret) || bad(r, "mac_address", "value_error", "is no MAC address of six pairs");
}

static bool get_int(struct row_reader *r, const struct json_item *m, const char *field, int64_t min, int64_t max, int64_t *ret)
{
    if (m->kind == JSON_NULL)
        return true;
    if (!json_item_int(m, ret))
        return bad(r, field, "int_parsing", "must be a whole number");
    if (*ret < min)
        return bad(r, field, "greater_than_equal", "is too small");
    return *ret <= max || bad(r, field, "less_than_equal", "is too large");
}

/* -- appending: rows are made of very many small pieces, so the usual case is here and not in another file */
static inline int add(struct buf *b, const void *p, size_t n)
{
    if (b->cap - b->len <= n || b->len + n > b->max)
        return buf_append(b, p, n);
    memcpy(b->ptr + b->len, p, n);
    b->len += n;
    return 0;
}

static inline int add_str(struct buf *b, struct str s)
{
    return s.len ? add(b, s.ptr, s.len) : 0;
}

static inline int add_cstr(struct buf *b, const char *s)
{
    return add(b, s, strlen(s));
}

static inline int add_char(struct buf *b, char c)
{
    return add(b, &c, 1);
}

/* -- JSON of known members: written in order, those that are not there left out */
struct row_json {
    struct buf *out;
    int err;
    char before;
};

/* As it is written, its length known to the compiler. */
#define KEY(name) STR("\"" name "\":")

static inline void put_key(struct row_json *j, struct str key)
{
    j->err |= add_char(j->out, j->before) | add_str(j->out, key);
    j->before = ',';
}

static void put_str(struct row_json *j, struct str key, struct str s)
{
    bool is_plain = true;

    if (s.len == 0)
        return;
    put_key(j, key);
    for (size_t i = 0; i < s.len && is_plain; i++)
        is_plain = (unsigned char)s.ptr[i] >= 0x20 && s.ptr[i] != '"' && s.ptr[i] != '\\';
    if (!is_plain) {
        struct jw w = JW(j->out);

        jw_str(&w, s);
        j->err |= jw_done(&w);
        return;
    }
    j->err |= add_char(j->out, '"');
    j->err |= add_str(j->out, s);
    j->err |= add_char(j->out, '"');
}

static int put_digits(struct buf *out, int64_t v)
{
    char text[24], *p = text + sizeof(text);
    uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;

    do
        *--p = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0)
        *--p = '-';
    return add(out, p, (size_t)(text + sizeof(text) - p));
}

static void put_int(struct row_json *j, struct str key, int64_t v)
{
    put_key(j, key);
    j->err |= put_digits(j->out, v);
}

/* The key is in front in @room, @split bytes of it; the JSON behind. Both leave in one copy. */
static bool finish(struct row_reader *r, struct row_json *j, size_t split, struct grapheon_row *ret)
{
    j->err |= add_cstr(j->out, j->before == '{' ? "{}" : "}");
    if (j->err || split == 0)
        return bad(r, "unknown", "string_too_long", "the row is too long");
    struct str whole = arena_str(r->a, buf_as_str(j->out));
    if (!whole.ptr)
        return bad(r, "unknown", "string_too_long", "the report is too large");
    ret->key = str_sub(whole, 0, split);
    ret->json = str_sub(whole, split, whole.len);
    return true;
}

static void keep_ip(struct row_reader *r, const struct ip_text *ip, struct grapheon_row *ret)
{
    if (ip->is_there && !ip->is_any)
        ret->ips[ret->n_ips++] = arena_str(r->a, str_of(ip->text));
}

static struct str or_dash(struct str s)
{
    return s.len ? s : STR("-");
}

static const char *family_of(const char *ip)
{
    return strchr(ip, ':') ? "inet6" : "inet";
}

/* -- the four kinds */
static bool read_address(struct row_reader *r, struct buf *room, const struct json_item *row, struct grapheon_row *ret)
{
    struct json_scan s = json_scan_into(row);
    struct ip_text ip = { 0 };
    struct str interface = STR_NONE;
    char mac[18] = "";
    int64_t prefix = -1;

    for (struct json_item m; json_scan_next(&s, &m);)
        if (json_item_is(&m, "ip_address") ? !get_ip(r, &m, "ip_address", false, &ip)
            : json_item_is(&m, "interface") ? !get_text(r, &m, "interface", 255, &interface)
            : json_item_is(&m, "prefix_length") ? !get_int(r, &m, "prefix_length", 0, 128, &prefix)
            : json_item_is(&m, "mac_address") ? !get_mac(r, &m, mac)
                                              : false)
            return false;
    if (!ip.is_there)
        return bad(r, "ip_address", "missing", "is required");
    struct row_json j = { room, 0, '{' };
    j.err |= add_str(room, or_dash(interface)) | add_char(room, ' ') | add_cstr(room, ip.text);
    if (prefix >= 0)
        j.err |= add_char(room, '/') | put_digits(room, prefix);
    size_t split = room->len;
    put_str(&j, KEY("interface"), interface);
    put_str(&j, KEY("address"), str_of(ip.text));
    if (prefix >= 0)
        put_int(&j, KEY("prefix"), prefix);
    put_str(&j, KEY("family"), str_of(family_of(ip.text)));
    put_str(&j, KEY("mac"), str_of(mac));
    keep_ip(r, &ip, ret);
    ret->mac = mac[0] ? arena_str(r->a, str_of(mac)) : STR_NONE;
    return finish(r, &j, split, ret);
}

static bool read_neighbor(struct row_reader *r, struct buf *room, const struct json_item *row, struct grapheon_row *ret)
{
    struct json_scan s = json_scan_into(row);
    struct ip_text ip = { 0 };
    struct str interface = STR_NONE, state = STR_NONE, hostname = STR_NONE;
    char mac[18] = "", word[256];

    for (struct json_item m; json_scan_next(&s, &m);)
        if (json_item_is(&m, "ip_address") ? !get_ip(r, &m, "ip_address", false, &ip)
            : json_item_is(&m, "interface") ? !get_text(r, &m, "interface", 255, &interface)
            : json_item_is(&m, "state") ? !get_text(r, &m, "state", 50, &state)
            : json_item_is(&m, "mac_address") ? !get_mac(r, &m, mac)
            : json_item_is(&m, "hostname") ? !get_text(r, &m, "hostname", 255, &hostname)
                                           : false)
            return false;
    if (!ip.is_there)
        return bad(r, "ip_address", "missing", "is required");
    if (state.len && str_copy(state, word, sizeof(word)) == 0) {
        for (char *ch = word; *ch; ch++)
            *ch = *ch >= 'A' && *ch <= 'Z' ? (char)(*ch | 0x20) : *ch;
        state = str_of(word);
    }
    struct row_json j = { room, 0, '{' };
    j.err |= add_str(room, or_dash(interface)) | add_char(room, ' ') | add_cstr(room, ip.text);
    size_t split = room->len;
    put_str(&j, KEY("interface"), interface);
    put_str(&j, KEY("address"), str_of(ip.text));
    put_str(&j, KEY("mac"), str_of(mac));
    put_str(&j, KEY("state"), state);
    put_str(&j, KEY("hostname"), hostname);
    keep_ip(r, &ip, ret);
    ret->mac = mac[0] ? arena_str(r->a, str_of(mac)) : STR_NONE;
    return finish(r, &j, split, ret);
}

static int put_endpoint(struct buf *out, const struct ip_text *ip, int64_t port)
{
    bool is_v6 = strchr(ip->text, ':') != NULL;
    int e;

    if (ip->is_any && port < 0)
        return add(out, " *", 2);
    e = add(out, " [", is_v6 ? 2 : 1) | add_cstr(out, ip->text) | (is_v6 ? add_char(out, ']') : 0);
    return port < 0 ? e : e | add_char(out, ':') | put_digits(out, port);
}

struct socket_words {
    struct str protocol, state, process, interface;
};

/* -- lists within a row: read once to be checked, when the row is read, and once more to be written */
struct listed {
    struct json_item list; /* JSON_BAD: none */
};

static bool get_list(struct row_reader *r, const struct json_item *m, const char *field, struct listed *ret)
{
    struct json_scan s = json_scan_into(m);
    size_t n = 0;

    ret->list.kind = JSON_BAD;
    if (m->kind == JSON_NULL)
        return true;
    if (m->kind != JSON_LIST)
        return bad(r, field, "list_type", "must be a list");
    for (struct json_item i; json_scan_next(&s, &i); n++)
        if (i.kind != JSON_MAP)
            return bad(r, field, "model_type", "must be a list of objects");
    if (n > LISTED_MAX)
        return bad(r, field, "too_long", "has more than 64 items");
    if (n > 0)
        ret->list = *m;
    return true;
}

/* "owners":[{"pid":900,"process":"sshd"},...] */
static bool put_owners(struct row_reader *r, struct row_json *j, const struct listed *l)
{
    struct json_scan s = json_scan_into(&l->list);

    if (l->list.kind != JSON_LIST)
        return true;
    put_key(j, KEY("owners"));
    j->before = '[';
    for (struct json_item i; json_scan_next(&s, &i);) {
        struct json_scan members = json_scan_into(&i);
        struct row_json one = { j->out, 0, '{' };
        struct str process = STR_NONE;
        int64_t pid = INT64_MIN;

        for (struct json_item m; json_scan_next(&members, &m);)
            if (json_item_is(&m, "pid") ? !get_int(r, &m, "owners.pid", -INT64_MAX, INT64_MAX, &pid)
                : json_item_is(&m, "process_name") ? !get_text(r, &m, "owners.process_name", 255, &process)
                                                   : false)
                return false;
        if (pid == INT64_MIN)
            return bad(r, "owners.pid", "missing", "is required");
        j->err |= add_char(j->out, j->before);
        put_int(&one, KEY("pid"), pid);
        put_str(&one, KEY("process"), process);
        j->err |= one.err | add_char(j->out, '}');
        j->before = ',';
    }
    j->err |= add_char(j->out, ']');
    return true;
}

/* "nexthops":[{"gateway":"192.0.2.1","interface":"eth0","weight":1},...] */
static bool put_hops(struct row_reader *r, struct row_json *j, const struct listed *l)
{
    struct json_scan s = json_scan_into(&l->list);

    if (l->list.kind != JSON_LIST)
        return true;
    put_key(j, KEY("nexthops"));
    j->before = '[';
    for (struct json_item i; json_scan_next(&s, &i);) {
        struct json_scan members = json_scan_into(&i);
        struct row_json one = { j->out, 0, '{' };
        struct ip_text gateway = { 0 };
        struct str interface = STR_NONE;
        int64_t weight = -1;

        for (struct json_item m; json_scan_next(&members, &m);)
            if (json_item_is(&m, "gateway") ? !get_ip(r, &m, "nexthops.gateway", false, &gateway)
                : json_item_is(&m, "interface") ? !get_text(r, &m, "nexthops.interface", 255, &interface)
                : json_item_is(&m, "weight") ? !get_int(r, &m, "nexthops.weight", 0, UINT32_MAX, &weight)
                                             : false)
                return false;
        if (!gateway.is_there && !interface.len)
            return bad(r, "nexthops", "missing", "has a hop without gateway and interface");
        j->err |= add_char(j->out, j->before);
        put_str(&one, KEY("gateway"), gateway.is_there ? str_of(gateway.text) : STR_NONE);
        put_str(&one, KEY("interface"), interface);
        if (weight >= 0)
            put_int(&one, KEY("weight"), weight);
        j->err |= one.err | add_char(j->out, '}');
        j->before = ',';
    }
    j->err |= add_char(j->out, ']');
    return true;
}

static bool get_word(struct row_reader *r, const struct json_item *m, const char *field, const char *const *list, struct str *ret)
{
    struct str s = STR_NONE;
    const char *word;

    if (!get_text(r, m, field, 255, &s))
        return false;
    if (m->kind == JSON_NULL)
        return true;
    word = report_word(list, str_trim(s));
    if (!word)
        return bad(r, field, "value_error", "is not one of the words allowed here");
    *ret = str_of(word);
    return true;
}

struct connection {
    struct ip_text here, there;
    struct socket_words w;
    struct listed owners;
    int64_t here_port, there_port, pid; /* -1, -1, INT64_MIN: not said */
};

static bool read_members(struct row_reader *r, const struct json_item *row, struct connection *c)
{
    struct json_scan s = json_scan_into(row);

    for (struct json_item m; json_scan_next(&s, &m);)
        if (json_item_is(&m, "local_ip") ? !get_ip(r, &m, "local_ip", true, &c->here)
            : json_item_is(&m, "local_port") ? !get_int(r, &m, "local_port", 0, 65535, &c->here_port)
            : json_item_is(&m, "remote_ip") ? !get_ip(r, &m, "remote_ip", true, &c->there)
            : json_item_is(&m, "remote_port") ? !get_int(r, &m, "remote_port", 0, 65535, &c->there_port)
            : json_item_is(&m, "protocol") ? !get_word(r, &m, "protocol", report_protocols, &c->w.protocol)
            : json_item_is(&m, "state") ? !get_word(r, &m, "state", report_states, &c->w.state)
            : json_item_is(&m, "pid") ? !get_int(r, &m, "pid", -INT64_MAX, INT64_MAX, &c->pid)
            : json_item_is(&m, "process_name") ? !get_text(r, &m, "process_name", 255, &c->w.process)
            : json_item_is(&m, "interface") ? !get_text(r, &m, "interface", 255, &c->w.interface)
            : json_item_is(&m, "owners") ? !get_list(r, &m, "owners", &c->owners)
                                         : false)
            return false;
    return true;
}

static bool has_required(struct row_reader *r, const struct connection *c)
{
    if (!c->here.is_there || c->here_port < 0)
        return bad(r, c->here.is_there ? "local_port" : "local_ip", "missing", "is required");
    if (!c->there.is_there || !c->w.protocol.len)
        return bad(r, c->there.is_there ? "protocol" : "remote_ip", "missing", "is required");
    return true;
}

static bool read_connection(struct row_reader *r, struct buf *room, const struct json_item *row, bool is_precise,
                            struct grapheon_row *ret)
{
    struct connection c = { .here_port = -1, .there_port = -1, .pid = INT64_MIN };
    struct row_json j = { room, 0, '{' };
    size_t split;

    if (!read_members(r, row, &c) || !has_required(r, &c))
        return false;
    j.err |= add_str(room, c.w.protocol) | put_endpoint(room, &c.here, c.here_port) | put_endpoint(room, &c.there, c.there_port);
    if (c.w.interface.len)
        j.err |= add(room, " %", 2) | add_str(room, c.w.interface);
    size_t before_pid = room->len;
    if (c.pid != INT64_MIN)
        j.err |= add(room, " pid ", 5) | put_digits(room, c.pid);
    split = room->len;
    put_str(&j, KEY("protocol"), c.w.protocol);
    put_str(&j, KEY("address"), str_of(c.here.text));
    put_int(&j, KEY("port"), c.here_port);
    if (!c.there.is_any || c.there_port > 0)
        put_str(&j, KEY("peer_address"), str_of(c.there.text));
    if (c.there_port >= 0)
        put_int(&j, KEY("peer_port"), c.there_port);
    put_str(&j, KEY("state"), c.w.state);
    put_str(&j, KEY("interface"), c.w.interface);
    if (c.pid != INT64_MIN)
        put_int(&j, KEY("pid"), c.pid);
    put_str(&j, KEY("process"), c.w.process);
    if (!put_owners(r, &j, &c.owners))
        return false;
    keep_ip(r, &c.here, ret);
    keep_ip(r, &c.there, ret);
    if (!finish(r, &j, split, ret))
        return false;
    if (!is_precise) {
        ret->key.len = before_pid;
        ret->tail = (uint8_t)(split - before_pid);
    }
    return true;
}

/* By number, or by a name its host has for it. */
static bool get_table(struct row_reader *r, const struct json_item *m, int64_t *ret, struct str *ret_name)
{
    *ret = -1;
    *ret_name = STR_NONE;
    if (m->kind != JSON_STR || json_item_int(m, ret))
        return get_int(r, m, "table", 0, UINT32_MAX, ret);
    return get_text(r, m, "table", 64, ret_name);
}

static bool read_route(struct row_reader *r, struct buf *room, const struct json_item *row, struct grapheon_row *ret)
{
    struct json_scan s = json_scan_into(row);
    struct ip_text gateway = { 0 }, source = { 0 };
    struct str destination = STR_NONE, interface = STR_NONE, family = STR_NONE, type = STR_NONE, table_name = STR_NONE;
    struct listed hops = { 0 };
    int64_t metric = -1, table = -1;

    for (struct json_item m; json_scan_next(&s, &m);)
        if (json_item_is(&m, "destination") ? !get_text(r, &m, "destination", 255, &destination)
            : json_item_is(&m, "gateway") ? !get_ip(r, &m, "gateway", false, &gateway)
            : json_item_is(&m, "interface") ? !get_text(r, &m, "interface", 255, &interface)
            : json_item_is(&m, "source_ip") ? !get_ip(r, &m, "source_ip", false, &source)
            : json_item_is(&m, "family") ? !get_text(r, &m, "family", 16, &family)
            : json_item_is(&m, "metric") ? !get_int(r, &m, "metric", 0, UINT32_MAX, &metric)
            : json_item_is(&m, "table") ? !get_table(r, &m, &table, &table_name)
            : json_item_is(&m, "type") ? !get_text(r, &m, "type", 16, &type)
            : json_item_is(&m, "nexthops") ? !get_list(r, &m, "nexthops", &hops)
                                           : false)
            return false;
    if (!destination.len)
        return bad(r, "destination", destination.ptr ? "string_too_short" : "missing", "is required");
    struct row_json j = { room, 0, '{' };
    j.err |= add_str(room, destination);
    if (str_is(family, "inet6") && str_find_char(destination, ':') < 0) /* there are two "default" */
        j.err |= add(room, " inet6", 6);
    if (gateway.is_there)
        j.err |= add(room, " via ", 5) | add_cstr(room, gateway.text);
    if (interface.len)
        j.err |= add(room, " dev ", 5) | add_str(room, interface);
    if (metric >= 0)
        j.err |= add(room, " metric ", 8) | put_digits(room, metric);
    if (table >= 0)
        j.err |= add(room, " table ", 7) | put_digits(room, table);
    if (table_name.len)
        j.err |= add(room, " table ", 7) | add_str(room, table_name);
    size_t split = room->len;
    put_str(&j, KEY("destination"), destination);
    put_str(&j, KEY("family"), family);
    put_str(&j, KEY("type"), type);
    put_str(&j, KEY("gateway"), gateway.is_there ? str_of(gateway.text) : STR_NONE);
    put_str(&j, KEY("interface"), interface);
    put_str(&j, KEY("source"), source.is_there ? str_of(source.text) : STR_NONE);
    if (metric >= 0)
        put_int(&j, KEY("metric"), metric);
    if (table >= 0)
        put_int(&j, KEY("table"), table);
    put_str(&j, KEY("table"), table_name);
    if (!put_hops(r, &j, &hops))
        return false;
    keep_ip(r, &source, ret);
    keep_ip(r, &gateway, ret);
    return finish(r, &j, split, ret);
}

bool grapheon_read_row(struct arena *a, struct buf *room, enum report_section s, const struct json_item *row, bool is_precise,
                       struct grapheon_row *ret, struct report_refusal *why)
{
    struct row_reader r = { a, why };

    *ret = (struct grapheon_row){ 0 };
    buf_reset(room);
    if (row->kind != JSON_MAP)
        return bad(&r, "", "model_type", "must be an object");
    switch (s) {
    case REPORT_ADDRESSES:
        return read_address(&r, room, row, ret);
    case REPORT_NEIGHBORS:
        return read_neighbor(&r, room, row, ret);
    case REPORT_CONNECTIONS:
        return read_connection(&r, room, row, is_precise, ret);
    case REPORT_ROUTES:
        return read_route(&r, room, row, ret);
    case REPORT_SECTIONS:
        break;
    }
    return bad(&r, "", "value_error", "there is no such section");
}
