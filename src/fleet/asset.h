/* fleet/asset.h - machines with a lease and an owner: what may be said of them, how two accounts of their addresses become one, and where
 * their agents may be dialled. Pure: time is an argument, nothing is resolved or connected.
 *
 * An agent reports what it sees, an operator writes what it knows; neither may wipe out the other's word. */
#ifndef MUSTER_FLEET_ASSET_H
#define MUSTER_FLEET_ASSET_H

#include "base/err.h"
#include "wire/asset.h"

enum {
    ASSET_ONLINE_S = 180,        /* the badge: a beat younger than this */
    ASSET_METRICS_PORT = 9102,   /* of an agent that never said one */
    ASSET_EXPIRING_DAYS = 14,
    ASSET_PORTS_MAX = 100,       /* ports an agent that says nothing else gives at once */
};

/* -- a row */
/* A new row as nobody has said anything about it yet: ports 22 and 9100, USD, monitored. */
void asset_defaults(struct asset *ret, enum asset_status status, const char *source);
/* Lays @w over @a (members borrow from @w): fields that are there replace, null empties nullable ones and leaves the others. @a's
 * addresses are asset_addresses_by_operator()'s business and left alone, so is extra. -EINVAL: "field.*" (a date, a decimal, a purpose
 * nobody knows, status deleted), "request.bad" (a blank host name). */
int asset_apply(struct asset *a, const struct asset_wish *w, struct err *err);
/* As if @w had said this provider. */
void asset_wish_set_provider(struct asset_wish *w, struct str uuid);
/* The same for a provider; its name must not be blank ("field.required"). */
int provider_apply(struct provider *p, const struct provider_wish *w, struct err *err);
/* Not empty after trimming, no longer than a name may be. 0; -EINVAL request.bad. */
int asset_check_hostname(struct str hostname, struct err *err);
/* Days since 1970 of "YYYY-MM-DD"; false: no such day. */
bool asset_date_days(struct str date, int64_t *ret_days);
/* A decimal as people write it: digits, at most one point, a sign; quotes of JSON around it are dropped. {NULL,0}: it is none. */
struct str asset_decimal(struct str json);

/* -- life */
/* What a registration makes of @from: provisioning becomes active, everything else stays. */
enum asset_status asset_status_when_seen(enum asset_status from);
/* Retired or suspended machines that speak: worth a note. */
bool asset_is_unexpected(enum asset_status s);
bool asset_is_online(usec_t last_heartbeat, usec_t now);
/* Due within @days of @now (also long ago), and active or provisioning. */
bool asset_is_expiring(const struct asset *a, usec_t now, int64_t days);
/* Order of lists: status by its word, expiry with none last, host name. <0, 0, >0. */
int asset_compare(const struct asset *a, const struct asset *b);
/* Order of scrape targets: host name alone. */
int asset_compare_names(const struct asset *a, const struct asset *b);

/* -- addresses. @room has ASSET_ADDRESSES elements; results borrow from the arguments. */
/* Checks and tidies a list as somebody sent it: blanks and repeats go. -EINVAL request.bad names the one that is no address. */
int asset_addresses_clean(const struct asset_addresses *in, struct asset_address *room, struct asset_addresses *ret, struct err *err);
/* The agent reports @told (clean): its order; a label that is stored and not empty stays; manual ones stay, behind. */
void asset_addresses_by_agent(const struct asset_addresses *stored, const struct asset_addresses *told, struct asset_address *room,
                              struct asset_addresses *ret);
/* An operator writes @told (clean): what was not there is manual from now on. */
void asset_addresses_by_operator(const struct asset_addresses *stored, const struct asset_addresses *told, struct asset_address *room,
                                 struct asset_addresses *ret);
/* Calls @fn for each that went and each that came. */
void asset_addresses_diff(const struct asset_addresses *from, const struct asset_addresses *to, bool is_manual,
                          void (*fn)(void *ctx, const struct address_change *ch), void *ctx);
/* The first that is not labelled internal, else the first; {NULL,0}: there is none. */
struct str asset_address(const struct asset *a);

/* -- dialling an agent. Address and port are the agent's own word, so they lead only to places a stranger may send us to. */
struct asset_dial_rules {
    const struct str *own;       /* the server's own addresses, as text */
    size_t n_own;
    bool allow_loopback;         /* tests: loopback and own addresses are fine, and any port */
};
enum { ASSET_DIAL_MAX = 4 };
/* Places to try until one has an address: numeric ones are checked, names must be checked when resolved. */
struct asset_dial {
    uint16_t port;
    struct asset_place {
        struct str host;
        bool is_name;
    } place[ASSET_DIAL_MAX];
    size_t n;
};
/* 0; or -EINVAL "asset.no_metrics" (the last beat named no port), "asset.no_address", "asset.port" (below 1024). */
int asset_dial(const struct asset *a, const struct asset_state *st, const struct asset_dial_rules *rules, struct asset_dial *ret,
               struct err *err);
/* May this numeric address be dialled? Loopback, link-local, unspecified, multicast, broadcast and our own may not; nor may an
 * IPv6 address that carries such an IPv4 one (mapped, compatible, NAT64, 6to4). False for text that is no address. */
bool asset_may_dial(struct str addr, const struct asset_dial_rules *rules);

/* -- what a list shows */
struct asset_filter {
    int status;                  /* 0: all but deleted */
    struct str country, provider_id, purpose, tag, source, hostname;
    bool has_expiring, has_online, is_online;
    int64_t expiring_days;
};
bool asset_matches(const struct asset_filter *f, const struct asset *a, const struct asset_state *st, usec_t now);

#endif
