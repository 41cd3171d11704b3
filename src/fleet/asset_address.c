/* fleet/asset_address.c - see asset.h: a machine's addresses, as its agent sees them and as operators write them; and which of them may
 * be dialled. */
#include <arpa/inet.h>
#include <errno.h>

#include "base/mem.h"
#include "fleet/asset.h"

/* -- lists */

struct parsed {
    int family; /* AF_INET, AF_INET6; 0: none */
    uint8_t b[16];
};

/* An IPv4 address in IPv6 clothes is taken out of them. */
static struct parsed parse(struct str ip)
{
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    struct parsed p = { 0 };
    char text[64];

    if (str_copy(ip, text, sizeof(text)) < 0 || str_has_nul(ip))
        return p;
    if (inet_pton(AF_INET, text, p.b) == 1)
        p.family = AF_INET;
    else if (inet_pton(AF_INET6, text, p.b) == 1)
        p.family = AF_INET6;
    if (p.family == AF_INET6 && memcmp(p.b, mapped, sizeof(mapped)) == 0) {
        p.family = AF_INET;
        memmove(p.b, p.b + 12, 4);
        memset(p.b + 4, 0, 12);
    }
    return p;
}

static struct asset_address *find(const struct asset_addresses *l, struct str ip)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq_nocase(l->v[i].ip, ip))
            return &l->v[i];
    return NULL;
}

int asset_addresses_clean(const struct asset_addresses *in, struct asset_address *room, struct asset_addresses *ret, struct err *err)
{
    *ret = (struct asset_addresses){ room, 0 };
    for (size_t i = 0; i < in->n; i++) {
        struct asset_address a = in->v[i];

        a.ip = str_trim(a.ip);
        if (a.ip.len == 0)
            continue;
        if (!parse(a.ip).family)
            return err_set(err, -EINVAL, "request.bad", "ip_addresses[%zu]: \"%.*s\" is no IPv4 or IPv6 address", i,
                           STR_FMT(str_sub(a.ip, 0, 64)));
        if (!find(ret, a.ip) && ret->n < ASSET_ADDRESSES)
            room[ret->n++] = a;
    }
    return 0;
}

void asset_addresses_by_agent(const struct asset_addresses *stored, const struct asset_addresses *told, struct asset_address *room,
                              struct asset_addresses *ret)
{
    *ret = (struct asset_addresses){ room, 0 };
    for (size_t i = 0; i < told->n && ret->n < ASSET_ADDRESSES; i++) {
        const struct asset_address *old = find(stored, told->v[i].ip);
        struct asset_address a = { .ip = told->v[i].ip, .label = told->v[i].label };

        if (old) {
            a.is_manual = old->is_manual;
            if (old->label.len)
                a.label = old->label;
        }
        room[ret->n++] = a;
    }
    for (size_t i = 0; i < stored->n && ret->n < ASSET_ADDRESSES; i++)
        if (stored->v[i].is_manual && !find(told, stored->v[i].ip))
            room[ret->n++] = stored->v[i];
}

void asset_addresses_by_operator(const struct asset_addresses *stored, const struct asset_addresses *told, struct asset_address *room,
                                 struct asset_addresses *ret)
{
    *ret = (struct asset_addresses){ room, 0 };
    for (size_t i = 0; i < told->n && ret->n < ASSET_ADDRESSES; i++) {
        const struct asset_address *old = find(stored, told->v[i].ip);

        room[ret->n] = told->v[i];
        room[ret->n++].is_manual = old ? old->is_manual : true;
    }
}

void asset_addresses_diff(const struct asset_addresses *from, const struct asset_addresses *to, bool is_manual,
                          void (*fn)(void *ctx, const struct address_change *ch), void *ctx)
{
    for (size_t i = 0; i < from->n; i++)
        if (!find(to, from->v[i].ip))
            fn(ctx, &(struct address_change){ .ip = from->v[i].ip, .label = from->v[i].label, .is_manual = is_manual });
    for (size_t i = 0; i < to->n; i++)
        if (!find(from, to->v[i].ip))
            fn(ctx, &(struct address_change){
                        .ip = to->v[i].ip, .label = to->v[i].label, .is_added = true, .is_manual = is_manual });
}

struct str asset_address(const struct asset *a)
{
    for (size_t i = 0; i < a->addresses.n; i++)
        if (!str_is(a->addresses.v[i].label, "internal"))
            return a->addresses.v[i].ip;
    return a->addresses.n ? a->addresses.v[0].ip : STR_NONE;
}

/* -- dialling */

/* Places no agent may send us to, whatever they are to us. */
static bool is_special(const struct parsed *p)
{
    static const uint8_t zero[16] = { 0 };
    const uint8_t *b = p->b;

    if (p->family == AF_INET)
        return b[0] == 0 || (b[0] == 169 && b[1] == 254) || b[0] >= 224; /* this net, link-local, multicast and above */
    return memcmp(b, zero, 16) == 0 || b[0] == 0xff || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
}

static bool is_loopback(const struct parsed *p)
{
    static const uint8_t one[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 };

    return p->family == AF_INET ? p->b[0] == 127 : memcmp(p->b, one, 16) == 0;
}

/* IPv6 addresses that a gateway, or we, may take to the IPv4 address inside: IPv4-compatible, NAT64 (RFC 6052, 8215), 6to4. */
static const struct {
    uint8_t prefix[12];
    uint8_t n_bits, at; /* of the prefix; where the IPv4 address begins */
} carriers[] = {
    { { 0 }, 96, 12 },
    { { 0x00, 0x64, 0xff, 0x9b }, 96, 12 },
    { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48, 0 }, /* at six places, as its gateway likes: read as 0.x.x.x, which nobody dials */
    { { 0x20, 0x02 }, 16, 2 },
};

/* The IPv4 address that @p carries; family 0: none. */
static struct parsed inside(const struct parsed *p)
{
    struct parsed in = { 0 };

    for (size_t i = 0; p->family == AF_INET6 && !is_loopback(p) && i < ARRAY_SIZE(carriers) && !in.family; i++)
        if (memcmp(p->b, carriers[i].prefix, carriers[i].n_bits / 8) == 0) {
            in.family = AF_INET;
            memcpy(in.b, p->b + carriers[i].at, 4);
        }
    return in;
}

static bool may_dial(const struct parsed *p, const struct asset_dial_rules *rules)
{
    if (!p->family || is_special(p))
        return false;
    if (rules->allow_loopback)
        return true;
    if (is_loopback(p))
        return false;
    for (size_t i = 0; i < rules->n_own; i++) {
        struct parsed own = parse(rules->own[i]);

        if (own.family == p->family && memcmp(own.b, p->b, 16) == 0)
            return false;
    }
    return true;
}

bool asset_may_dial(struct str addr, const struct asset_dial_rules *rules)
{
    const struct parsed p = parse(addr), in = inside(&p);

    return may_dial(&p, rules) && (!in.family || may_dial(&in, rules));
}

/* An alias may be any words; a name to resolve has a dot and nothing a URL would stumble over. */
static bool is_dns_name(struct str s)
{
    bool has_dot = false, has_letter = false;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!is_letter && !(c >= '0' && c <= '9') && c != '-' && c != '.' && c != '_')
            return false;
        has_dot |= c == '.';
        has_letter |= is_letter;
    }
    return has_dot && has_letter && s.len <= 253 && s.ptr[0] != '.' && s.ptr[0] != '-';
}

static void add_place(struct asset_dial *d, struct str host, bool is_name)
{
    if (d->n < ASSET_DIAL_MAX)
        d->place[d->n++] = (struct asset_place){ host, is_name };
}

/* The rule's first pass takes what is not labelled internal, the second the first there is. */
static void add_address(const struct asset *a, const struct asset_dial_rules *rules, struct asset_dial *d)
{
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < a->addresses.n; i++) {
            if (pass == 0 && str_is(a->addresses.v[i].label, "internal"))
                continue;
            if (!asset_may_dial(a->addresses.v[i].ip, rules))
                continue;
            add_place(d, a->addresses.v[i].ip, false);
            return;
        }
    }
}

int asset_dial(const struct asset *a, const struct asset_state *st, const struct asset_dial_rules *rules, struct asset_dial *ret,
               struct err *err)
{
    uint32_t port = st->metrics_port;

    *ret = (struct asset_dial){ 0 };
    /* An agent with its metrics switched off leaves the port out; one that never spoke is dialled where agents usually are. */
    if (port == 0 && st->last_heartbeat > 0)
        return err_set(err, -EINVAL, "asset.no_metrics", "the agent of %.*s reports no metrics port", STR_FMT(a->hostname));
    if (port == 0)
        port = ASSET_METRICS_PORT;
    if (port > 65535 || (port < 1024 && !rules->allow_loopback))
        return err_set(err, -EINVAL, "asset.port", "metrics port %u of %.*s is not between 1024 and 65535", port,
                       STR_FMT(a->hostname));
    ret->port = (uint16_t)port;
    if (asset_may_dial(st->public_ip, rules))
        add_place(ret, st->public_ip, false);
    if (is_dns_name(a->alias))
        add_place(ret, a->alias, true);
    add_address(a, rules, ret);
    if (ret->n == 0)
        return err_set(err, -EINVAL, "asset.no_address", "no address of %.*s may be dialled", STR_FMT(a->hostname));
    return 0;
}
