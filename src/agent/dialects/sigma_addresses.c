/* agent/dialects/sigma_addresses.c - the host's own IPv4 addresses as the kernel's routing trie lists them (sigma 2.5). */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <string.h>

#include "agent/collect/source.h"
#include "agent/dialects/sigma.h"

struct net {
    uint32_t addr, mask;
};
#define NET(a, b, c, d, bits) { (uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d), UINT32_MAX << (32 - (bits)) }
static const struct net loopback[] = { NET(127, 0, 0, 0, 8) };
static const struct net rfc1918[] = { NET(10, 0, 0, 0, 8), NET(172, 16, 0, 0, 12), NET(192, 168, 0, 0, 16) };
static const struct net docker[] = { NET(172, 16, 0, 0, 12) };
static const struct net cgnat[] = { NET(100, 64, 0, 0, 10) };
static const struct net elsewhere[] = { NET(169, 254, 0, 0, 16), NET(100, 64, 0, 0, 10), NET(198, 18, 0, 0, 15), NET(0, 0, 0, 0, 8) };
#define IS_IN(nets, a) is_in(nets, sizeof(nets) / sizeof((nets)[0]), a)

static bool is_in(const struct net *nets, size_t n, uint32_t a)
{
    for (size_t i = 0; i < n; i++)
        if ((a & nets[i].mask) == nets[i].addr)
            return true;
    return false;
}

/* 0 when it is none. */
static bool parse_v4(const char *text, uint32_t *ret)
{
    struct in_addr a;

    if (inet_pton(AF_INET, text, &a) != 1)
        return false;
    *ret = ntohl(a.s_addr);
    return true;
}

static const char *label_of(const char *ip)
{
    uint32_t a;

    if (!parse_v4(ip, &a))
        return "";
    return IS_IN(rfc1918, a) ? "internal" : IS_IN(cgnat, a) ? "cgnat" : "";
}

bool sigma_addresses_add(struct sigma_addresses *a, struct str ip)
{
    struct in6_addr any;
    char text[INET6_ADDRSTRLEN];
    size_t at = 0;
    int c = 1;

    if (str_copy(ip, text, sizeof(text)) < 0 || str_has_nul(ip) ||
        (inet_pton(AF_INET, text, &any) != 1 && inet_pton(AF_INET6, text, &any) != 1))
        return false;
    while (at < a->n && (c = strcmp(a->v[at].ip, text)) < 0)
        at++;
    if (at < a->n && c == 0)
        return true;
    if (a->n == sizeof(a->v) / sizeof(a->v[0])) {
        a->is_cut = true;
        return false;
    }
    memmove(a->v + at + 1, a->v + at, (a->n - at) * sizeof(a->v[0]));
    memcpy(a->v[at].ip, text, sizeof(text));
    a->v[at].label = label_of(text);
    a->n++;
    return true;
}

bool sigma_addresses_have_public(const struct sigma_addresses *a)
{
    uint32_t v4;

    for (size_t i = 0; i < a->n; i++)
        if (!parse_v4(a->v[i].ip, &v4) || (!IS_IN(rfc1918, v4) && !IS_IN(elsewhere, v4)))
            return true;
    return false;
}

bool sigma_addresses_eq(const struct sigma_addresses *a, const struct sigma_addresses *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->v[i].ip, b->v[i].ip) != 0)
            return false;
    return true;
}

/*   |-- 10.1.2.3             a leaf: the prefix of what follows
 *      /32 host LOCAL        accepts it
 *   +-- 198.51.100.0/24 2 0 2   a node may be followed by such a line too */
int fib_trie_line(void *fib_trie, struct str line)
{
    struct fib_trie *f = fib_trie;
    uint32_t a;

    line = str_trim(line);
    if (str_starts(line, STR("|--")) || str_starts(line, STR("+--"))) {
        struct str rest = str_sub(line, 3, line.len), word;

        f->prefix[0] = '\0';
        if (str_word(&rest, &word) && str_cut(&word, '/', &rest))
            (void)str_copy(rest, f->prefix, sizeof(f->prefix)); /* too long for an address: empty */
        return 0;
    }
    if (str_find(line, STR("/32 host LOCAL")) < 0 || !parse_v4(f->prefix, &a) || IS_IN(loopback, a))
        return 0;
    if (f->keep_172 || !IS_IN(docker, a))
        (void)sigma_addresses_add(f->to, str_of(f->prefix));
    return 0;
}

/* -- bridges of containers */

static bool is_bridge(const char *name)
{
    struct str s = str_of(name);

    return str_is(s, "docker0") || str_starts(s, STR("br-")) || str_starts(s, STR("veth"));
}

static void drop(struct sigma_addresses *a, const char *ip)
{
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->v[i].ip, ip) == 0) {
            memmove(a->v + i, a->v + i + 1, (a->n - i - 1) * sizeof(a->v[0]));
            a->n--;
            return;
        }
}

static void drop_bridges(struct sigma_addresses *a)
{
    struct ifaddrs *all;

    if (getifaddrs(&all) < 0)
        return;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        char text[INET_ADDRSTRLEN];
        uint32_t v4;

        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !is_bridge(i->ifa_name))
            continue;
        (void)inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr, text, sizeof(text));
        if (parse_v4(text, &v4) && IS_IN(docker, v4))
            drop(a, text);
    }
    freeifaddrs(all);
}

void sigma_addresses_read(const char *root, bool keep_172, struct sigma_addresses *ret)
{
    struct fib_trie f = { .to = ret, .keep_172 = keep_172 };

    *ret = (struct sigma_addresses){ 0 };
    (void)src__file_lines(root, "/proc/net/fib_trie", fib_trie_line, &f);
    if (keep_172 && !*root)
        drop_bridges(ret);
}
