/* control/assets.h - machines as people list them and as their agents report them; who rents them out; keys for both.
 *
 * The rules of control.h hold. An asset is found by its UUID; its agent speaks for it by host name, which is unique among rows that are
 * not deleted. The agent's machine is also an ordinary host row: accent "sigma", external id the asset's UUID. */
#ifndef MUSTER_CONTROL_ASSETS_H
#define MUSTER_CONTROL_ASSETS_H

#include "control/accent.h"
#include "fleet/asset.h"

/* Lent until control is entered again. */
struct asset_view {
    uint64_t id;
    const struct asset *asset;
    const struct asset_state *state; /* never NULL */
    const struct provider *provider; /* NULL: none */
    bool is_online;
};

/* -- how often: one bucket a key or person; agents' buckets are wide, unless their key is bound to one host */
struct asset_quota {
    uint32_t limit, remaining;
    usec_t wait; /* of a refusal */
};
/* One call of @p, agent's or operator's. 0 and what is left; -EBUSY rate.limited. */
int asset_admit(struct control *c, const struct principal *p, bool is_agent, struct asset_quota *ret, struct err *err);

/* -- asset_agent.c: what agents say */
/* What an agent says of its machine, for its accent to make sections of. */
struct asset_facts {
    struct str hostname;
    const struct asset_addresses *addresses; /* as it told them (a manual one it did not); NULL: not told this time */
    const struct asset_state *state;
};
/* Writes at most TOLD_MAX sections into @ret, of what @f has; returns how many. They last as long as the call. */
typedef size_t (*asset_tell_fn)(void *ctx, const struct asset_facts *f, struct told_section *ret);
struct asset_checkin {
    struct str hostname, alias;          /* alias empty: as it was */
    struct asset_addresses addresses;    /* as sent */
    bool is_register;                    /* else a heartbeat: empty addresses leave the stored ones alone */
    bool may_create;                     /* a heartbeat of a host nobody knows makes a row */
    int32_t ssh_port;
    struct asset_state state;            /* system_info and what was read out of it; times are ours */
    const struct heartbeat *beat;        /* NULL: the report has no sample */
    const char *peer;
    asset_tell_fn tell;                  /* called before asset_checkin() returns, and only when there may be news; NULL: no sections */
    void *tell_ctx;
};
/* The principal of a key: role by its class, agents' read only. Its class lets agents speak or not: see asset_checkin(). */
void asset_principal(const struct credential *cr, struct principal *ret);
/* May @p speak for agents, and for the one at @hostname? Binds a key made to be bound. 0; -EACCES auth.denied, audited. */
int asset_may_speak(struct control *c, const struct principal *p, struct str hostname, const char *peer, struct err *err);
/* Register and heartbeat. 0 and *@ret; -EINVAL request.bad (blank name, no address); -EACCES auth.denied, host.revoked, host.rejected;
 * -ENOENT asset.unknown; -EBUSY enroll.full. */
int asset_checkin(struct control *c, const struct principal *p, const struct asset_checkin *in, struct asset_view *ret, struct err *err);
/* The host row of the asset of @hostname, for questions about ports. 0; -ENOENT asset.unknown; -EACCES host.revoked ... */
int asset_host_of(struct control *c, struct str hostname, uint64_t *ret_host_id, struct err *err);

/* -- asset_verbs.c: what people do; lists: asset_order.c */
/* What is in extra and understood here, beside the wish itself. */
struct asset_extra {
    bool is_given;                       /* the wish has extra: it replaces what was there */
    struct json_text rest;               /* what nobody here understands */
    usec_t retired_at;
    struct str_list other_names;
    bool has_state;
    struct asset_state state;            /* system_info, and last_heartbeat when the row is new */
};
int asset_find(struct control *c, struct str uuid, struct asset_view *ret, struct err *err);
enum asset_order { ASSET_BY_STATUS, ASSET_BY_NAME, ASSET_ORDERS };
/* Visits those that match @f in order, until @fn returns false. Returns how many match. */
size_t asset_list(struct control *c, const struct asset_filter *f, enum asset_order order,
                  bool (*fn)(void *ctx, const struct asset_view *v), void *ctx);
/* The same by status for the @limit rows behind the first @skip: without filters beside the status it costs no more than these. */
size_t asset_page(struct control *c, const struct asset_filter *f, size_t skip, size_t limit,
                  bool (*fn)(void *ctx, const struct asset_view *v), void *ctx);
/* -EINVAL field.*, request.bad; -EEXIST asset.name_taken. */
int asset_create(struct control *c, const struct principal *p, const struct asset_wish *w, const struct asset_extra *x,
                 struct asset_view *ret, struct err *err);
/* Also -ENOENT asset.unknown, -EBUSY asset.state (deleted). */
int asset_change(struct control *c, const struct principal *p, struct str uuid, const struct asset_wish *w, const struct asset_extra *x,
                 struct asset_view *ret, struct err *err);
int asset_retire(struct control *c, const struct principal *p, struct str uuid, struct asset_view *ret, struct err *err);
/* The row stays, its name is free, its host row is forgotten. */
int asset_delete(struct control *c, const struct principal *p, struct str uuid, struct err *err);
/* -EBUSY asset.state (not deleted); -EEXIST asset.name_taken. */
int asset_restore(struct control *c, const struct principal *p, struct str uuid, struct asset_view *ret, struct err *err);
/* Newest first, at most @limit. */
typedef void (*asset_history_fn)(void *ctx, uint64_t id, usec_t at, const struct address_change *ch);
void asset_history(struct control *c, uint64_t id, uint32_t limit, asset_history_fn row, store_done_fn done, void *ctx);

/* -- asset_ports.c: free ports of a machine. @c decides how: */
enum asset_ports_way { ASSET_PORTS_ASK, ASSET_PORTS_DIAL };
/* ASSET_PORTS_ASK: @done comes as of ports_ask(). ASSET_PORTS_DIAL: the caller dials *@ret_dial (lent) and tells asset_ports_told().
 * -ENOENT asset.unknown; -EINVAL asset.no_metrics, asset.no_address, asset.port; -EACCES auth.denied, host.revoked. */
int asset_ports(struct control *c, const struct principal *p, struct str uuid, const struct ports_wish *w,
                const struct asset_dial_rules *rules, ports_fn done, void *ctx, struct asset_dial *ret_dial, struct err *err);
/* What the agent of @a wants to hear as Bearer, appended to @ret (give it a secret one). False: nothing is known. */
bool asset_token(struct control *c, const struct asset *a, struct buf *ret);
/* Audit of a dialled answer: ports and lease, or why there are none. */
void asset_ports_told(struct control *c, const struct principal *p, struct str uuid, const struct ports_wish *w,
                      const struct ports_answer *a, const struct err *err);
/* The asset a host row belongs to. 0; -ENOENT asset.unknown. */
int asset_of_host(struct control *c, struct str host, struct asset_view *ret, struct err *err);

/* -- providers.c */
struct provider_view {
    const struct provider *provider;
    uint32_t n_assets; /* not deleted */
};
int provider_find(struct control *c, struct str uuid, struct provider_view *ret, struct err *err);
/* {NULL}: there is none of that name. */
const struct provider *provider_by_name(struct control *c, struct str name);
/* In name order. Returns how many there are. */
size_t provider_list(struct control *c, bool (*fn)(void *ctx, const struct provider_view *v), void *ctx);
/* -EINVAL field.*; -EEXIST provider.name_taken. */
int provider_create(struct control *c, const struct principal *p, const struct provider_wish *w, struct provider_view *ret,
                    struct err *err);
int provider_change(struct control *c, const struct principal *p, struct str uuid, const struct provider_wish *w,
                    struct provider_view *ret, struct err *err);
/* Its assets have none then. */
int provider_delete(struct control *c, const struct principal *p, struct str uuid, struct err *err);

/* -- asset_keys.c: the keys of this accent. @scope: admin operator agent readonly (-EINVAL field.enum). */
const struct credential *asset_key_create(struct control *c, const struct principal *p, struct str name, struct str scope,
                                          bool bind_hostname, char ret_text[SECRET_TEXT_MAX], struct err *err);
/* -ENOENT foreign_key.unknown. Its text is unknown from now on. */
int asset_key_delete(struct control *c, const struct principal *p, uint64_t id, struct err *err);
const struct credential *asset_key_find(struct control *c, uint64_t id, struct err *err);

#endif
