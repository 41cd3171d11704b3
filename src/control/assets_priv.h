/* control/assets_priv.h - the table of assets (private to control/assets.c, asset_*.c and providers.c). Loop thread. */
#ifndef MUSTER_CONTROL_ASSETS_PRIV_H
#define MUSTER_CONTROL_ASSETS_PRIV_H

#include "base/pack.h"
#include "control/assets.h"
#include "control/noun.h"

enum {
    ASSETS_MAX = 200000,
    PROVIDERS_MAX = 10000,
    ASSET_QUOTAS_MAX = 4096,
    ASSET_INFO_SMALL = 4096,       /* what an agent reports of its machine has so much room always */
    ASSET_INFO_LARGE = 64 << 20,   /* and what is larger, of all machines: one key may make as many as it likes */
};

struct asset_entry {
    uint64_t id, host_id; /* host 0: not known yet; a stale one finds nothing */
    uint64_t told_host;   /* the host whose sections hold what was told of it, since the start; 0: none */
    char uuid[37];
    struct asset *asset;       /* one block each */
    struct asset_state *state;
    struct asset_name *name;   /* NULL while deleted */
    struct asset_name *others; /* names of rows merged into this one */
    UT_hash_handle hh;         /* by uuid */
};
struct asset_name {
    struct asset_entry *e;
    struct asset_name *next; /* of e->others */
    char *text;
    UT_hash_handle hh;
};
struct provider_entry {
    uint64_t id;
    char uuid[37];
    struct provider *p;
    uint32_t n_assets;
    UT_hash_handle hh; /* by uuid */
};
struct asset_quota_entry {
    struct bucket b;
    uint64_t credential_id;
    char name[144]; /* of a person; empty for a key */
    UT_hash_handle hh;
};
struct assets {
    struct asset_entry *by_uuid;
    struct asset_name *names, *other_names;
    struct provider_entry *providers;
    struct asset_quota_entry *quotas;
    size_t large_bytes; /* of reports larger than ASSET_INFO_SMALL */
    VEC(struct asset_entry *) order[ASSET_ORDERS]; /* all rows, ascending */
    size_t n_of[ASSET_DELETED + 1];                /* by status */
    bool is_loading;                               /* in any order as yet */
    VEC(struct provider_entry *) sorted_providers;
};
static inline struct assets *assets__of(const struct control *c)
{
    return c->noun[NOUN_ASSETS];
}

/* -- assets.c */
struct asset_entry *asset__by_uuid(const struct control *c, struct str uuid);
usec_t asset__heard_at(const struct control *c, struct str uuid); /* asset_agent.c, for the noun's table */
/* Among rows that are not deleted; by a name of its own before a merged one. */
struct asset_entry *asset__by_name(const struct control *c, struct str hostname);
/* Files a new row under a new id and @a's uuid. */
struct asset_entry *asset__add(struct control *c, const struct asset *a, const struct asset_state *st);
/* Other content (borrowed, may point into the old): copied, indexed anew, put. */
void asset__set(struct control *c, struct asset_entry *e, const struct asset *a);
void asset__set_state(struct control *c, struct asset_entry *e, const struct asset_state *st);
/* Is there room for what an agent reports? @e: in the place of which row's; NULL: a new one. -EINVAL field.too_long. */
int asset__check_room(const struct control *c, const struct asset_entry *e, const struct asset_state *st, struct err *err);
void asset__view(struct control *c, const struct asset_entry *e, struct asset_view *ret);
/* A trail row for each address that came or went. */
void asset__put_history(struct control *c, const struct asset_entry *e, const struct asset_addresses *from, const struct asset_addresses *to,
                        bool is_manual);
/* The host row of @e: as cached, or by its alias; 0: none. */
uint64_t asset__host(struct control *c, struct asset_entry *e);
/* What changed from @from to @to as details "field" = "old -> new"; at most as many as a row takes. Values live in @a. Returns how many. */
size_t asset__diff(struct arena *a, const struct record *rec, const void *from, const void *to, struct details *d);

/* -- asset_order.c: in and out of the sorted lists, by what the row is at that moment */
void asset__order_add(struct assets *s, struct asset_entry *e);
void asset__order_drop(struct assets *s, struct asset_entry *e);
/* All rows are in. */
void asset__order_loaded(struct assets *s);

/* -- asset_token.c */
/* @token for the row of @uuid as it may be kept, appended to @ret (nothing for an empty one). 0; -EINVAL field.format. */
int asset__seal_token(struct control *c, struct str uuid, struct str token, struct buf *ret, struct err *err);

/* -- providers.c */
struct provider_entry *provider__by_uuid(const struct control *c, struct str uuid);
int provider__load(struct control *c, struct err *err);
void provider__free_all(struct control *c);

#endif
