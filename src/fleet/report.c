/* fleet/report.c - see report.h. */
#include "fleet/report.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/mem.h"
#include "fleet/inventory.h"
#include "fleet/teller.h"

const struct name report_section_names[] = {
    { REPORT_ADDRESSES, "addresses" },
    { REPORT_NEIGHBORS, "neighbors" },
    { REPORT_CONNECTIONS, "connections" },
    { REPORT_ROUTES, "routes" },
    NAMES_END,
};

const struct name report_flag_names[] = {
    { REPORT_F_SKEW, "clock_skew" },   { REPORT_F_BACK, "sequence_back" },
    { REPORT_F_SHARED, "two_addresses" }, { REPORT_F_RESYNC, "resync" },
    { REPORT_F_REJECTED, "rows_rejected" }, { REPORT_F_DROPPED, "rows_dropped" },
    { REPORT_F_MISSING, "collectors_missing" },
    NAMES_END,
};

struct str report_section_facts(enum report_section s, bool is_apart)
{
    static const enum section facts[REPORT_SECTIONS] = {
        [REPORT_ADDRESSES] = SECTION_ADDRESSES,
        [REPORT_NEIGHBORS] = SECTION_NEIGHBOURS,
        [REPORT_CONNECTIONS] = SECTION_CONNECTIONS,
        [REPORT_ROUTES] = SECTION_ROUTES,
    };
    return str_of(name_of(section_names, (int)(is_apart ? section_apart(facts[s]) : facts[s])));
}

/* -- registering */
enum register_verdict register_judge(const struct register_facts *f, usec_t now)
{
    if (!f->key_is_known)
        return REGISTER_NO_KEY;
    if (!f->is_known) {
        if (!f->key_is_active)
            return REGISTER_NO_KEY;
        if (f->key_expires_at && now >= f->key_expires_at)
            return REGISTER_KEY_EXPIRED;
        if (f->max_registrations && f->n_registrations >= f->max_registrations)
            return REGISTER_USED_UP;
        return REGISTER_OK;
    }
    if (f->state == HOST_REJECTED || f->state == HOST_REVOKED)
        return REGISTER_REFUSED;
    if (f->bound_key_id && f->bound_key_id != f->key_id)
        return REGISTER_OTHER_KEY;
    if (f->has_claim && !f->claim_is_right)
        return REGISTER_CLAIM;
    return REGISTER_OK;
}

enum key_verdict key_judge(const struct key_facts *f, usec_t now)
{
    if (!f->is_active)
        return KEY_NONE;
    if (!f->has_key)
        return KEY_ISSUE;
    bool is_fresh = now < f->issued_at + KEY_REISSUE_WINDOW_S * USEC_PER_SEC;
    return f->has_claim && !f->key_is_used && is_fresh ? KEY_REISSUE : KEY_NONE;
}

enum cert_verdict cert_judge(const struct cert_facts *f)
{
    if (!f->is_shown)
        return f->is_bound || f->is_required ? CERT_MISSING : CERT_OK;
    if (f->is_bound)
        return f->is_same ? CERT_OK : CERT_OTHER;
    return f->may_bind ? CERT_BIND : CERT_OK;
}

/* -- reporting */
enum checkin_verdict checkin_judge(bool key_is_known, bool key_is_revoked, bool is_switched_on, enum host_state state)
{
    if (!key_is_known || !is_switched_on)
        return CHECKIN_NO_KEY;
    if (state != HOST_APPROVED)
        return CHECKIN_STATE;
    return key_is_revoked ? CHECKIN_NO_KEY : CHECKIN_OK;
}

enum sequence_verdict sequence_judge(struct str epoch, bool has_seq, uint64_t seq, struct str last_epoch, bool has_last, uint64_t last)
{
    if (!has_seq || !has_last || !str_eq(epoch, last_epoch))
        return SEQUENCE_NEW;
    if (seq == last)
        return epoch.len ? SEQUENCE_REPEAT : SEQUENCE_NEW;
    return seq < last && (epoch.len || seq > 1) ? SEQUENCE_BACK : SEQUENCE_NEW;
}

/* A word of letters, digits and @others. */
static bool is_word(struct str s, const char *others, size_t max)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !memchr(others, c, strlen(others)))
            return false;
    }
    return s.len > 0 && s.len <= max;
}

bool report_version_fits(struct str version)
{
    return is_word(version, ".+~_:-", REPORT_VERSION_MAX);
}

bool report_collector_fits(struct str name)
{
    return is_word(name, "._-", REPORT_COLLECTOR_NAME_MAX);
}

bool report_is_other_version(struct str version, struct str target)
{
    return version.len > 0 && target.len > 0 && !str_eq(version, target);
}

bool report_is_skewed(usec_t observed_at, usec_t now)
{
    usec_t off = observed_at > now ? observed_at - now : now - observed_at;

    return off > REPORT_SKEW_S * USEC_PER_SEC;
}

bool report_is_shared(struct str peer, struct str last_peer, struct str before_last)
{
    return peer.len && last_peer.len && str_eq(peer, before_last) && !str_eq(peer, last_peer);
}

void report_digest_step(const struct report_digest *recorded, bool is_full, const struct report_digest *added,
                        const struct report_digest *gone, struct report_digest *now_has)
{
    *now_has = is_full ? (struct report_digest){ 0 } : *recorded;
    fact_digest_sub(&now_has->sum, &gone->sum);
    fact_digest_add(&now_has->sum, &added->sum);
    now_has->count = now_has->count - gone->count + added->count;
}

bool report_digest_eq(const struct report_digest *a, const struct report_digest *b)
{
    return a->count == b->count && fact_digest_eq(&a->sum, &b->sum);
}

/* -- values */
/* Four numbers, in the one spelling there is: no leading zeros, no short forms. By hand: reports are made of them. */
static bool is_ip4(struct str s, bool *ret_any)
{
    unsigned n_parts = 0, all = 0;
    size_t i = 0;

    for (; n_parts < 4; n_parts++) {
        size_t from = i;
        unsigned v = 0;

        for (; i < s.len && i - from < 3 && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++)
            v = v * 10 + (unsigned)(s.ptr[i] - '0');
        if (i == from || v > 255 || (i - from > 1 && s.ptr[from] == '0'))
            return false;
        all |= v;
        if (n_parts < 3 && (i >= s.len || s.ptr[i++] != '.'))
            return false;
    }
    *ret_any = all == 0;
    return i == s.len;
}

bool report_ip(struct str s, char ret[46], bool *ret_any)
{
    char text[64];
    struct in6_addr a6;
    ptrdiff_t zone = str_find_char(s, '%');

    if (zone >= 0)
        s.len = (size_t)zone;
    if (is_ip4(s, ret_any))
        return str_copy(s, ret, 46) == 0;
    if (s.len == 0 || str_copy(s, text, sizeof(text)) < 0)
        return false;
    if (inet_pton(AF_INET6, text, &a6) != 1)
        return false;
    *ret_any = IN6_IS_ADDR_UNSPECIFIED(&a6);
    return inet_ntop(AF_INET6, &a6, ret, 46) != NULL;
}

static int hex_digit(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    ch = (char)(ch | 0x20);
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

bool report_mac(struct str s, char ret[18])
{
    static const char digits[] = "0123456789abcdef";

    if (s.len != 17)
        return false;
    for (size_t i = 0; i < 17; i++) {
        int v = hex_digit(s.ptr[i]);

        if (i % 3 == 2) {
            if (s.ptr[i] != ':' && s.ptr[i] != '-')
                return false;
            ret[i] = ':';
        } else if (v < 0) {
            return false;
        } else {
            ret[i] = digits[v];
        }
    }
    ret[17] = '\0';
    return true;
}

const char *const report_protocols[] = { "tcp", "udp", "sctp", "ip", "icmp", NULL };
const char *const report_states[] = { "listen",   "established", "time_wait", "close_wait", "fin_wait1", "fin_wait2", "syn_recv",
                                      "syn_sent", "closing",     "last_ack",  "closed",     "unknown",   NULL };

const char *report_word(const char *const *list, struct str s)
{
    for (; *list; list++)
        if (str_eq_nocase(s, str_of(*list)))
            return *list;
    return NULL;
}

/* -- marks: open addressing with linear probing; 0 marks a free place, so 0 itself is kept as 1. */
enum { SET_MIN = 16 };

static uint64_t mark_of(uint64_t mark)
{
    return mark ? mark : 1;
}

void mark_set_done(struct mark_set *s)
{
    free(s->v);
    *s = (struct mark_set){ 0 };
}

void mark_set_clear(struct mark_set *s)
{
    mark_set_done(s);
}

static uint32_t place_of(const struct mark_set *s, uint64_t mark)
{
    uint32_t i = (uint32_t)mark & (s->cap - 1);

    while (s->v[i] && s->v[i] != mark)
        i = (i + 1) & (s->cap - 1);
    return i;
}

bool mark_set_has(const struct mark_set *s, uint64_t mark)
{
    return s->cap && s->v[place_of(s, mark_of(mark))];
}

static void resize(struct mark_set *s, uint32_t cap)
{
    struct mark_set old = *s;

    s->cap = cap;
    s->v = xcalloc(s->cap, sizeof(*s->v));
    for (uint32_t i = 0; i < old.cap; i++)
        if (old.v[i])
            s->v[place_of(s, old.v[i])] = old.v[i];
    free(old.v);
}

void mark_set_room(struct mark_set *s, uint32_t n)
{
    uint32_t cap = s->cap ? s->cap : SET_MIN;

    while (n * 4ull > cap * 3ull)
        cap *= 2;
    if (cap > s->cap)
        resize(s, cap);
}

bool mark_set_add(struct mark_set *s, uint64_t mark)
{
    mark = mark_of(mark);
    if ((s->n + 1) * 4ull > s->cap * 3ull)
        resize(s, s->cap ? s->cap * 2 : SET_MIN);
    uint32_t i = place_of(s, mark);
    if (s->v[i])
        return false;
    s->v[i] = mark;
    s->n++;
    return true;
}

bool mark_set_del(struct mark_set *s, uint64_t mark)
{
    if (!s->cap)
        return false;
    uint32_t i = place_of(s, mark_of(mark)), mask = s->cap - 1;
    if (!s->v[i])
        return false;
    s->n--;
    /* Close the gap: whoever was pushed past it by probing moves back. */
    for (uint32_t j = (i + 1) & mask; s->v[j]; j = (j + 1) & mask) {
        uint32_t home = (uint32_t)s->v[j] & mask;

        if (((j - home) & mask) >= ((j - i) & mask)) {
            s->v[i] = s->v[j];
            i = j;
        }
    }
    s->v[i] = 0;
    return true;
}

/* -- keys, as api/dialects/grapheon_rows.c makes them:
 *   addresses    "eth0 192.0.2.5/24"            neighbors  "eth0 192.0.2.1"
 *   connections  "tcp 192.0.2.5:443 [::1]:99 …"  routes     "default via 192.0.2.1 dev eth0" */
static bool take_ip(struct str s, struct str ret[2], size_t *n)
{
    char text[46];
    bool is_any;

    if (s.len && s.ptr[0] == '[') {
        ptrdiff_t end = str_find_char(s, ']');
        s = end < 0 ? STR_NONE : str_sub(s, 1, (size_t)end - 1);
    } else if (str_find_char(s, '.') >= 0) {
        ptrdiff_t colon = str_find_char(s, ':');
        /* "192.0.2.5:443" has its port behind the only colon; "::ffff:192.0.2.5" is an address */
        if (colon > 0 && str_find_char(str_sub(s, (size_t)colon + 1, s.len), ':') < 0)
            s.len = (size_t)colon;
    }
    if (!report_ip(s, text, &is_any) || is_any)
        return false;
    ret[(*n)++] = s;
    return true;
}

size_t report_key_ips(enum report_section section, struct str key, struct str ret[2])
{
    struct str rest = key, word;
    size_t n = 0;

    switch (section) {
    case REPORT_ADDRESSES:
    case REPORT_NEIGHBORS: {
        size_t at = key.len;
        while (at > 0 && key.ptr[at - 1] != ' ') /* an interface may have blanks in its name */
            at--;
        rest = str_sub(key, at, key.len);
        (void)str_cut(&rest, '/', &word);
        (void)take_ip(word, ret, &n);
        return n;
    }
    case REPORT_CONNECTIONS:
        if (!str_cut(&rest, ' ', &word)) /* the protocol */
            return 0;
        for (int i = 0; i < 2 && str_cut(&rest, ' ', &word); i++)
            (void)take_ip(word, ret, &n);
        return n;
    case REPORT_ROUTES: {
        ptrdiff_t via = str_find(key, STR(" via "));
        if (via < 0)
            return 0;
        rest = str_sub(key, (size_t)via + 5, key.len);
        (void)str_cut(&rest, ' ', &word);
        (void)take_ip(word, ret, &n);
        return n;
    }
    case REPORT_SECTIONS:
        break;
    }
    return n;
}
