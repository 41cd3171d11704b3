/* codec/listing_rows.c - rows as canonical text: made and sorted. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/vec.h"
#include "codec/json_ascii.h"
#include "codec/listing.h"

enum { TEXT_MAX = 255, STATE_MAX = 50, NAME_MAX_BYTES = 32, ROW_MAX = 16 << 10 };

void rows_done(struct rows *r)
{
    free(r->v);
    r->v = NULL;
    r->n = r->cap = 0;
}

void rows_refuse(struct rows *r, const char *field, const char *why)
{
    r->n_refused++;
    if (r->refused)
        r->refused(r->ctx, r->at, field, why);
}

static int add(struct rows *r, struct str row)
{
    if (r->take)
        return r->take(r->ctx, row);
    if (r->max && r->n >= r->max) {
        r->n_truncated++;
        return 0;
    }
    if (r->arena) {
        row = arena_str(r->arena, row);
        if (!row.ptr)
            return -ENOBUFS;
    }
    *vec_add(r) = row;
    return 0;
}

/* -- addresses */

/* RFC 5952, but never with dots: Python 3.12 and older write a v4-mapped address as hex groups. */
static void v6_text(const uint8_t b[16], char dst[46])
{
    unsigned g[8], best = 8, best_n = 1; /* a single zero group is not shortened */
    char *p = dst;

    for (unsigned i = 0; i < 8; i++)
        g[i] = (unsigned)b[2 * i] << 8 | b[2 * i + 1];
    for (unsigned i = 0; i < 8; i++) {
        unsigned n = 0;

        while (i + n < 8 && g[i + n] == 0)
            n++;
        if (n > best_n) {
            best = i;
            best_n = n;
        }
        i += n;
    }
    for (unsigned i = 0; i < 8; i++) {
        if (i == best) {
            p += snprintf(p, (size_t)(dst + 46 - p), "::");
            i += best_n - 1;
            continue;
        }
        p += snprintf(p, (size_t)(dst + 46 - p), i > 0 && i != best + best_n ? ":%x" : "%x", g[i]);
    }
}

void listing_ip_of_bytes(struct str bytes, char dst[46])
{
    dst[0] = '\0';
    if (bytes.len == 4)
        (void)inet_ntop(AF_INET, bytes.ptr, dst, 46);
    else if (bytes.len == 16)
        v6_text((const uint8_t *)bytes.ptr, dst);
}

bool listing_ip(struct str s, char dst[46], bool *ret_unspecified)
{
    char text[64];
    uint8_t b[16];
    ptrdiff_t percent;
    size_t n = 0;

    s = str_trim(s);
    if (str_is(s, "*"))
        s = STR("0.0.0.0");
    while (s.len > 0 && (s.ptr[0] == '[' || s.ptr[0] == ']'))
        s = str_sub(s, 1, SIZE_MAX);
    percent = str_find_char(s, '%');
    if (percent >= 0)
        s = str_sub(s, 0, (size_t)percent);
    while (s.len > 0 && (s.ptr[s.len - 1] == '[' || s.ptr[s.len - 1] == ']'))
        s.len--;
    if (str_has_nul(s) || str_copy(s, text, sizeof(text)) < 0)
        return false;
    if (inet_pton(AF_INET, text, b) == 1)
        n = 4;
    else if (inet_pton(AF_INET6, text, b) == 1)
        n = 16;
    else
        return false;
    listing_ip_of_bytes(str_bytes(b, n), dst);
    *ret_unspecified = true;
    for (size_t i = 0; i < n; i++)
        *ret_unspecified = *ret_unspecified && b[i] == 0;
    return true;
}

bool listing_is_mac(struct str s)
{
    if (s.len != 17)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');

        if (i % 3 == 2 ? c != ':' && c != '-' : !hex)
            return false;
    }
    return true;
}

/* -- making rows; keys in sorted order */

static int put_text(struct buf *b, const char *key, struct str s, size_t max)
{
    int r = buf_printf(b, "%c\"%s\":", b->len == 0 ? '{' : ',', key);

    if (r < 0)
        return r;
    s = str_sub(s, 0, max);
    if (str_has_nul(s)) /* no parser of ours reads it back, state.json included */
        s = str_sub(s, 0, (size_t)str_find_char(s, '\0'));
    return s.len > 0 ? json_ascii_str(b, s) : buf_cstr(b, "null");
}

static int put_number(struct buf *b, const char *key, bool has, uint32_t v)
{
    return has ? buf_printf(b, "%c\"%s\":%u", b->len == 0 ? '{' : ',', key, v)
               : buf_printf(b, "%c\"%s\":null", b->len == 0 ? '{' : ',', key);
}

static int finish(struct rows *r, struct buf *b, int so_far)
{
    if (so_far < 0 || buf_char(b, '}') < 0)
        return -ENOBUFS;
    return add(r, buf_as_str(b));
}

/* An address that may be looked up, or "". */
static struct str usable(struct str s, char dst[46])
{
    bool unspecified;

    return listing_ip(s, dst, &unspecified) && !unspecified ? str_of(dst) : STR_NONE;
}

int rows_address(struct rows *r, struct str interface, struct str address, unsigned prefix, struct str mac)
{
    AUTO(buf_done) struct buf b = BUF(ROW_MAX);
    char ip[46];
    struct str a = usable(address, ip);
    int x;

    if (a.len == 0 || prefix > 128) {
        rows_refuse(r, a.len ? "prefix_length" : "ip_address", a.len ? "is more than 128" : "is no IP address");
        return 0;
    }
    x = put_text(&b, "interface", interface, TEXT_MAX);
    x = x < 0 ? x : put_text(&b, "ip_address", a, TEXT_MAX);
    x = x < 0 ? x : put_text(&b, "mac_address", listing_is_mac(mac) ? mac : STR_NONE, TEXT_MAX);
    x = x < 0 ? x : put_number(&b, "prefix_length", true, prefix);
    return finish(r, &b, x);
}

int rows_neighbor(struct rows *r, struct str interface, struct str address, struct str mac, struct str state)
{
    AUTO(buf_done) struct buf b = BUF(ROW_MAX);
    char ip[46], low[STATE_MAX + 1];
    struct str a = usable(address, ip);
    size_t n = 0;
    int x;

    if (a.len == 0) {
        rows_refuse(r, "ip_address", "is no IP address");
        return 0;
    }
    for (; n < state.len && n < STATE_MAX; n++)
        low[n] = state.ptr[n] >= 'A' && state.ptr[n] <= 'Z' ? (char)(state.ptr[n] | 0x20) : state.ptr[n];
    x = put_text(&b, "interface", interface, TEXT_MAX);
    x = x < 0 ? x : put_text(&b, "ip_address", a, TEXT_MAX);
    x = x < 0 ? x : put_text(&b, "mac_address", listing_is_mac(mac) ? mac : STR_NONE, TEXT_MAX);
    x = x < 0 ? x : put_text(&b, "state", str_bytes(low, n), STATE_MAX);
    return finish(r, &b, x);
}

/* Words of ss and netstat to the server's; what it does not know is "unknown". */
static const char *state_of(struct str s)
{
    static const char *const known[] = { "listen",   "established", "time_wait", "close_wait", "fin_wait1", "fin_wait2",
                                         "syn_recv", "syn_sent",    "closing",   "last_ack",   "closed",    NULL };
    static const char *const other[][2] = { { "estab", "established" },    { "connected", "established" },
                                            { "unconn", "unknown" },       { "fin_wait_1", "fin_wait1" },
                                            { "fin_wait_2", "fin_wait2" }, { "close", "closed" },
                                            { "new_syn_recv", "syn_recv" } };
    char low[24];
    size_t n = 0;

    for (; n < s.len && n + 1 < sizeof(low); n++)
        low[n] = s.ptr[n] == '-' ? '_' : s.ptr[n] >= 'A' && s.ptr[n] <= 'Z' ? (char)(s.ptr[n] | 0x20) : s.ptr[n];
    low[n] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(other); i++)
        if (strcmp(low, other[i][0]) == 0)
            return other[i][1];
    for (size_t i = 0; known[i]; i++)
        if (strcmp(low, known[i]) == 0)
            return known[i];
    return "unknown";
}

void connection_owner(struct connection_seen *c, uint32_t pid, struct str process)
{
    size_t at = c->n_owners;

    while (at > 0 && c->owners[at - 1].pid > pid)
        at--;
    if ((at > 0 && c->owners[at - 1].pid == pid) || at == LISTING_OWNERS)
        return;
    if (c->n_owners < LISTING_OWNERS)
        c->n_owners++;
    memmove(c->owners + at + 1, c->owners + at, (c->n_owners - at - 1) * sizeof(*c->owners));
    c->owners[at] = (struct owner_seen){ pid, process };
}

static int put_owners(struct buf *b, const struct connection_seen *c)
{
    int x = buf_cstr(b, ",\"owners\":[");

    for (size_t i = 0; x == 0 && i < c->n_owners; i++) {
        x = buf_printf(b, "%s{\"pid\":%u", i ? "," : "", c->owners[i].pid);
        x = x < 0 ? x : put_text(b, "process_name", c->owners[i].process, NAME_MAX_BYTES);
        x = x < 0 ? x : buf_char(b, '}');
    }
    return x < 0 ? x : buf_char(b, ']');
}

int rows_connection(struct rows *r, const struct connection_seen *c)
{
    AUTO(buf_done) struct buf b = BUF(ROW_MAX);
    char local[46], remote[46];
    const char *state = state_of(c->state);
    bool any;
    int x = 0;

    if (c->local_port == 0 || c->local_port > UINT16_MAX) {
        rows_refuse(r, "local_port", "is no port");
        return 0;
    }
    if (!listing_ip(c->local, local, &any) || !listing_ip(c->remote, remote, &any)) {
        rows_refuse(r, listing_ip(c->local, local, &any) ? "remote_ip" : "local_ip", "is no IP address");
        return 0;
    }
    if (r->drop_time_wait && strcmp(state, "time_wait") == 0) {
        r->n_truncated++;
        return 0;
    }
    if (r->is_extended && c->interface.len)
        x = put_text(&b, "interface", c->interface, TEXT_MAX);
    x = x < 0 ? x : put_text(&b, "local_ip", str_of(local), TEXT_MAX);
    x = x < 0 ? x : put_number(&b, "local_port", true, c->local_port);
    if (r->is_extended && c->n_owners > 1)
        x = x < 0 ? x : put_owners(&b, c);
    x = x < 0 ? x : put_number(&b, "pid", c->has_pid, c->pid);
    x = x < 0 ? x : put_text(&b, "process_name", c->process, TEXT_MAX);
    x = x < 0 ? x : put_text(&b, "protocol", c->protocol, TEXT_MAX);
    x = x < 0 ? x : put_text(&b, "remote_ip", str_of(remote), TEXT_MAX);
    x = x < 0 ? x : put_number(&b, "remote_port", c->has_remote_port && c->remote_port <= UINT16_MAX, c->remote_port);
    x = x < 0 ? x : put_text(&b, "state", str_of(state), TEXT_MAX);
    return finish(r, &b, x);
}

/* By the names every system has; of others the name is all there is to know. */
static int put_table(struct buf *b, struct str table)
{
    static const struct {
        const char *name;
        uint32_t number;
    } known[] = { { "default", 253 }, { "main", 254 }, { "local", 255 } };
    enum { MAIN = 254 };
    uint64_t n = 0;

    if (table.len == 0)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (str_is(table, known[i].name))
            n = known[i].number;
    if (n == 0 && (str_to_u64(table, &n) < 0 || n > UINT32_MAX))
        return put_text(b, "table", table, NAME_MAX_BYTES);
    return n == MAIN || n == 0 ? 0 : put_number(b, "table", true, (uint32_t)n);
}

/* Of other kinds no more is known than of a route that leads somewhere. */
static int put_type(struct buf *b, struct str type)
{
    static const char *const known[] = { "blackhole", "unreachable", "prohibit", "throw" };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (str_is(type, known[i]))
            return put_text(b, "type", type, TEXT_MAX);
    return 0;
}

static int put_hops(struct buf *b, const struct route_seen *s)
{
    int x = buf_cstr(b, ",\"nexthops\":[");

    for (size_t i = 0; x == 0 && i < s->n_hops; i++) {
        const struct hop_seen *hop = &s->hops[i];
        char gw[46];

        x = i ? buf_char(b, ',') : 0;
        x = x < 0 ? x : buf_cstr(b, "{\"gateway\":");
        struct str gateway = usable(hop->gateway, gw);
        x = x < 0 ? x : gateway.len ? json_ascii_str(b, gateway) : buf_cstr(b, "null");
        x = x < 0 ? x : put_text(b, "interface", hop->interface, NAME_MAX_BYTES);
        if (hop->weight)
            x = x < 0 ? x : put_number(b, "weight", true, hop->weight);
        x = x < 0 ? x : buf_char(b, '}');
    }
    return x < 0 ? x : buf_char(b, ']');
}

int rows_route(struct rows *r, const struct route_seen *s)
{
    AUTO(buf_done) struct buf b = BUF(ROW_MAX);
    bool more = r->is_extended;
    char gw[46], src[46];
    int x;

    if (s->destination.len > TEXT_MAX || s->interface.len > TEXT_MAX) { /* cut, it would be another route */
        rows_refuse(r, s->destination.len > TEXT_MAX ? "destination" : "interface", "is too long");
        return 0;
    }
    x = put_text(&b, "destination", s->destination.len ? s->destination : STR("default"), TEXT_MAX);
    if (more && s->family.len)
        x = x < 0 ? x : put_text(&b, "family", s->family, TEXT_MAX);
    x = x < 0 ? x : put_text(&b, "gateway", usable(s->gateway, gw), TEXT_MAX);
    x = x < 0 ? x : put_text(&b, "interface", s->interface, TEXT_MAX);
    if (more && s->has_metric)
        x = x < 0 ? x : put_number(&b, "metric", true, s->metric);
    if (more && s->n_hops)
        x = x < 0 ? x : put_hops(&b, s);
    x = x < 0 ? x : put_text(&b, "source_ip", usable(s->source, src), TEXT_MAX);
    if (more)
        x = x < 0 ? x : put_table(&b, s->table);
    if (more)
        x = x < 0 ? x : put_type(&b, s->type);
    return finish(r, &b, x);
}

int rows_node(struct rows *r, const struct node *row)
{
    AUTO(buf_done) struct buf b = BUF(ROW_MAX);

    if (row->type != NODE_MAP || json_ascii_canonical(row, &b) < 0)
        return 0; /* not a row of ours: whatever it was is told again */
    return add(r, buf_as_str(&b));
}

/* -- comparing */

static int by_text(const void *a, const void *b)
{
    const struct str *x = a, *y = b;

    return str_cmp(*x, *y);
}

void rows_sort(struct rows *r)
{
    if (r->n > 1)
        qsort(r->v, r->n, sizeof(*r->v), by_text);
}
