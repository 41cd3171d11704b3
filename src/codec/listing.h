/* codec/listing.h - what ip, ss and netstat print, as rows: on the host that ran them, or on the server a host sent the text to.
 *
 *   struct rows rows = { .arena = a };
 *   listing_neighbors(text, &rows, &err);   // {"interface":"eth0","ip_address":"192.0.2.1","mac_address":...,"state":"stale"}
 *
 * A row is its canonical text: compact JSON, keys sorted, non-ASCII as \uXXXX, in the words of Graphēon's reports (docs/wire/grapheon.md).
 * The rules are those of the upstream agent, its losses included (spec 2.6: scoped IPv6 endpoints in brackets, tcp6 lines of netstat, all
 * owners but the first): a host may change agents without every row becoming a new one. With is_extended nothing of that is lost, and rows
 * have what is known beyond upstream's members: "interface" and "owners" of a connection, "family", "metric", "table", "nexthops" and
 * "type" of a route, each only where there is something to say (docs/wire/grapheon.md, "Extended rows").
 *
 * Memory: rows and the strings with escapes of what is being read; nothing is built of the text itself. Any thread. */
#ifndef MUSTER_CODEC_LISTING_H
#define MUSTER_CODEC_LISTING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/err.h"
#include "base/str.h"

struct node;

struct rows {
    struct arena *arena; /* owns the texts */
    struct str *v;       /* canonical; malloced */
    size_t n, cap;
    size_t max;         /* no more than these: the others are counted */
    size_t n_truncated; /* left out for the cap or by drop_time_wait */
    size_t n_refused;   /* no server would take them: no address */
    bool drop_time_wait;
    bool is_extended;
    bool is_wide;  /* netstat ran with -W: no address is cut */
    bool is_short; /* the arena had no room for a text: what was read is not all */
    size_t at;     /* of what is read: the line, or the place in the list, from 0 */
    /* Set: rows are handed over instead of kept (valid in the call; its -errno ends the reading), refusals are told with the member at
     * fault ("": the whole) and why. */
    int (*take)(void *ctx, struct str row);
    void (*refused)(void *ctx, size_t at, const char *field, const char *why);
    void *ctx;
};
void rows_done(struct rows *r);
DEFINE_AUTO_VALUE(struct rows, rows_done)

/* -- listing_rows.c */
/* One row each from loose text: addresses are made canonical (scope, brackets and blanks off, "*" is 0.0.0.0), what the server's
 * schema refuses is emptied (a hardware address that is none) or leaves the row out (no address). Empty strings are null. 0 or
 * -ENOBUFS. */
int rows_address(struct rows *r, struct str interface, struct str address, unsigned prefix, struct str mac);
int rows_neighbor(struct rows *r, struct str interface, struct str address, struct str mac, struct str state);
enum { LISTING_OWNERS = 16, LISTING_HOPS = 32 }; /* of one row; more are left out */
struct owner_seen {
    uint32_t pid;
    struct str process;
};
struct connection_seen {
    struct str protocol, state, local, remote, process;
    uint32_t local_port; /* 0: none, and the row is left out */
    uint32_t remote_port, pid;
    bool has_remote_port, has_pid;
    /* extended rows only */
    struct str interface;
    struct owner_seen owners[LISTING_OWNERS]; /* ascending; told where there are two or more */
    size_t n_owners;
};
int rows_connection(struct rows *r, const struct connection_seen *c);
/* One more process that holds the socket; a pid counts once, and of too many the lowest are kept: the same ones at every look. */
void connection_owner(struct connection_seen *c, uint32_t pid, struct str process);
struct hop_seen {
    struct str gateway, interface;
    uint32_t weight; /* 0: not known */
};
struct route_seen {
    struct str destination, gateway, interface, source;
    /* extended rows only */
    struct str family, table; /* a number or a name; the main one is not told */
    struct str type;          /* in ip's words; told where it leads nowhere: blackhole, unreachable, prohibit, throw */
    uint32_t metric;
    bool has_metric;
    struct hop_seen hops[LISTING_HOPS];
    size_t n_hops;
};
int rows_route(struct rows *r, const struct route_seen *s);
/* Any map, as a row that was kept. */
int rows_node(struct rows *r, const struct node *row);
/* Leaves a row out. */
void rows_refuse(struct rows *r, const char *field, const char *why);
/* Ascending by text, as the server gets them. */
void rows_sort(struct rows *r);
/* Canonical text of an address in @dst as Python's ipaddress has it (v4-mapped as hex groups). False: none. */
bool listing_ip(struct str text, char dst[46], bool *ret_unspecified);
void listing_ip_of_bytes(struct str bytes, char dst[46]);
/* Six hex pairs with ':' or '-'. */
bool listing_is_mac(struct str s);

/* -- listing.c: ip -json addr|neigh|route show; ss -tunapH (a heading is passed over); netstat -tunap. Of extended routes both families
 * and all tables are wanted (ip -json route show table all); what follows from the host's own addresses is passed over. 0; -EINVAL not a JSON list
 * and @err (may be NULL); -ENOBUFS; or what rows.take() said. Nothing at all is an empty list. */
int listing_addresses(struct str json, struct rows *out, struct err *err);
int listing_neighbors(struct str json, struct rows *out, struct err *err);
int listing_routes(struct str json, struct rows *out, struct err *err);
int listing_ss(struct str text, struct rows *out, struct err *err);
int listing_netstat(struct str text, struct rows *out, struct err *err);
/* By the names policies have for the commands: ip_addr ip_neigh ss_tunap ip_route, and netstat_tunap where there is no ss. */
struct listing {
    const char *name, *section; /* NULL: the end of the table */
    int (*read)(struct str text, struct rows *out, struct err *err);
};
enum { LISTINGS = 5 };
extern const struct listing listings[LISTINGS + 1];
/* NULL: none of that name. */
const struct listing *listing_find(struct str name);
/* "host:port" as ss and netstat print it; false: no host. @ret_host is a slice, "*" and brackets off. */
bool listing_endpoint(struct str text, struct str *ret_host, uint32_t *ret_port, bool *ret_has_port);

#endif
