/* wire/asset.h - machines as the people who rent and run them list them, beside what their agents report; and who rents them out. As
 * stored; strings are borrowed. */
#ifndef MUSTER_WIRE_ASSET_H
#define MUSTER_WIRE_ASSET_H

#include "base/clock.h"
#include "base/field.h"
#include "base/names.h"

enum {
    ASSET_ADDRESSES = 64,          /* of one machine; fits the host's claims */
    ASSET_TAGS = 64,
    ASSET_NOTES_BYTES = 8 << 10,
    ASSET_EXTRA_BYTES = 64 << 10,  /* of free-form keys, and of what an agent reports */
    ASSET_OTHER_NAMES = 16,
    ASSET_DECIMAL_BYTES = 24,
    ASSET_TOKEN_BYTES = 256,
    ASSET_SEALED_BYTES = 512,      /* the same sealed, as base64 */
};

/* Numbers are on disk. */
enum asset_status {
    ASSET_PROVISIONING = 1, ASSET_ACTIVE, ASSET_RETIRING, ASSET_RETIRED, ASSET_SUSPENDED, ASSET_DELETED,
};
extern const struct name asset_status_names[];

struct asset_address {
    struct str ip, label;
    bool is_manual; /* an operator added it: it stays when the agent does not report it */
};
extern const struct record asset_address_record;
struct asset_addresses {
    struct asset_address *v;
    size_t n;
};

struct asset {
    struct str uuid, hostname, alias;
    struct str provider_id;            /* uuid; empty: none */
    struct asset_addresses addresses;
    int32_t ssh_port, node_exporter_port;
    struct str country, city, dc_name, currency;
    int64_t cpu_cores, ram_mb, disk_gb; /* as bought; 0: not said */
    struct str bandwidth_tb, cost_monthly; /* decimals as text; empty: not said */
    int status;                        /* enum asset_status */
    struct str purchase_date, expire_date; /* YYYY-MM-DD or empty */
    struct str purpose, vpn_protocol, notes, source;
    struct str_list tags, other_names; /* other_names: host names of rows merged into this one */
    bool monitoring_enabled;
    struct json_text extra;            /* an object: what nobody here understands; empty: none */
    struct str sealed_token;           /* what the agent's /ports asks for as Bearer (control/asset_token.c); empty: nothing */
    usec_t created_at, updated_at, retired_at, seen_retired_at; /* wall; 0: never */
};
extern const struct record asset_record;

/* What an operator asks an asset to become: what is there is taken, null empties what may be empty. Decimals come as number or text. */
struct asset_wish {
    struct seen seen;
    struct str hostname, alias, provider_id;
    struct asset_addresses addresses;
    int32_t ssh_port, node_exporter_port;
    struct str country, city, dc_name, currency;
    int64_t cpu_cores, ram_mb, disk_gb;
    struct json_text bandwidth_tb, cost_monthly;
    int status;
    struct str purchase_date, expire_date, purpose, vpn_protocol, notes, source;
    struct str_list tags;
    bool monitoring_enabled;
    struct json_text extra;
    struct str metrics_token;
};
extern const struct record asset_wish_record;

/* What changes with every heartbeat, kept apart so that a beat rewrites little. */
struct asset_state {
    struct json_text system_info;      /* as sent; empty: never */
    usec_t last_heartbeat, updated_at;
    uint32_t metrics_port;             /* 0: none reported */
    uint32_t ports_max;                /* ports it gives at once at most; 0: not said */
    struct str public_ip;
    uint32_t cpu_cores;                /* measured; shown as the host's claims */
    uint64_t ram_mb, disk_gb;
};
extern const struct record asset_state_record;

struct provider {
    struct str uuid, name, country, website, panel_url, notes;
    bool api_supported;
    uint32_t rating;                   /* 1-5; 0: none */
    usec_t created_at, updated_at;
};
extern const struct record provider_record;

struct provider_wish {
    struct seen seen;
    struct str name, country, website, panel_url, notes;
    bool api_supported;
    uint32_t rating;
};
extern const struct record provider_wish_record;

/* One step of a machine's addresses (a trail row). */
struct address_change {
    struct str ip, label;
    bool is_added;                     /* else removed */
    bool is_manual;                    /* by an operator, else by the agent */
};
extern const struct record address_change_record;

#endif
