/* wire/report.h - what is kept of hosts that report by themselves (fleet/report.h), and what operators ask for. Secrets are not in
 * here: keys are credentials (wire/credential.h). */
#ifndef MUSTER_WIRE_REPORT_H
#define MUSTER_WIRE_REPORT_H

#include "base/clock.h"
#include "base/field.h"

enum {
    REPORT_TEXT_MAX = 255,
    REPORT_VERSION_MAX = 100,
    REPORT_UUID_MAX = 128,
    REPORT_NAME_MAX = 100,
    REPORT_DESCRIPTION_MAX = 4000,
    REPORT_REASON_MAX = 1000,
    REPORT_METADATA_MAX = 8192,
    REPORT_ADDRESSES_MAX = 256, /* shown of one reporter */
    REPORT_COLLECTORS_MAX = 16,     /* named in a policy */
    REPORT_COLLECTOR_NAME_MAX = 64,
    REPORT_SEEN_MAX = 32,       /* addresses kept of one check-in */
};

/* What a reporter may collect; a bit each in struct report_policy. */
enum report_command { REPORT_IP_NEIGH = 1, REPORT_SS_TUNAP = 2, REPORT_IP_ADDR = 4, REPORT_IP_ROUTE = 8, REPORT_COMMANDS_ALL = 15 };
extern const struct name report_command_names[]; /* ip_neigh ss_tunap ip_addr ip_route */

struct report_policy {
    uint64_t id;
    struct str name, description, target_version; /* the version agents should run; empty: nobody says */
    bool has_description;
    uint32_t interval_s, jitter_s, command_timeout_s;
    uint32_t commands_named, commands_on; /* masks of enum report_command */
    bool has_collectors;                  /* only these are to run; else whatever the agent has */
    struct str_list collectors;           /* names, some of which an agent may not know */
    uint32_t max_report_bytes;
    bool is_active;
    usec_t created_at, updated_at;
};
extern const struct record report_policy_record;

/* As asked for; only what was there counts (struct seen). */
struct report_policy_wish {
    struct seen seen;
    struct str name, description, target_version;
    uint32_t interval_s, jitter_s, command_timeout_s, max_report_bytes;
    struct json_text commands_json;       /* api reads it into the masks */
    struct str_list collectors;           /* null: no word about it */
    bool is_active;
    uint32_t commands_named, commands_on;
};
extern const struct record report_policy_create_record, report_policy_change_record;

struct enroll_key {
    uint64_t id, credential_id, policy_id, max_registrations, n_registrations;
    struct str name, description, hint;
    bool has_description, auto_approve, is_active, require_client_cert;
    usec_t expires_at, created_at, updated_at, last_used_at;
};
extern const struct record enroll_key_record;

struct enroll_key_wish {
    struct seen seen;
    struct str name, description, expires_text;
    uint64_t policy_id, max_registrations;
    bool auto_approve, is_active, require_client_cert;
    usec_t expires_at; /* api reads expires_text into it */
};
extern const struct record enroll_key_create_record, enroll_key_change_record;

/* A reporter: what changes when somebody decides or it registers. */
struct reporter_row {
    uint64_t id, host_id, enroll_key_id, policy_id, credential_id;
    struct str uuid, display_name, hostname, site_name, version, platform, release;
    bool approval_required, is_active, key_is_used;
    struct str claim;            /* SHA-256 in hex of what it can prove itself with */
    struct str client_key;       /* the same of the public key (SPKI) its TLS certificate must have; empty: any or none */
    struct str key_hint, rejection_reason;
    uint64_t n_told;             /* address rows of the last registration */
    struct str_list told_ips, told_macs;
    struct json_text metadata;
    usec_t created_at, updated_at, approved_at, rejected_at, key_issued_at, last_registration_at;
};
extern const struct record reporter_row_record;

/* What a check-in left, short. */
struct report_summary {
    uint64_t hosts_created, neighbors_created, connections_created;
    uint64_t n_neighbors, n_connections, n_routes, n_addresses, n_ips, n_macs;
    struct str_list ips, macs; /* the first REPORT_SEEN_MAX */
};
extern const struct record report_summary_record;

/* One check-in of the trail. The rows it told are in the inventory and its history, not here. */
struct report_checkin {
    uint64_t reporter_id, sequence;
    bool has_sequence, is_full, is_gzip;
    usec_t observed_at;
    struct str peer, key_hint;
    uint32_t flags, n_rejected;
    struct report_summary summary;
};
extern const struct record report_checkin_record;

/* What moves with every check-in. */
struct reporter_state {
    uint64_t id;                 /* the reporter's */
    struct str epoch;
    uint64_t sequence;
    bool has_sequence, has_report, tells_removals;
    usec_t last_seen_at, updated_at;
    uint64_t checkin_id;         /* of the trail */
    struct report_checkin last;
    struct str_list digests;     /* of each section, as 64 hex digits; and how many rows that is */
    uint64_t addresses_count, neighbors_count, connections_count, routes_count;
    struct str_list addresses;   /* "MAC KEY" of the present address rows, "-" for no MAC */
    struct str before_peer;      /* where the check-in before the last came from */
    uint32_t flags;              /* standing: clock_skew, sequence_back, two_addresses */
};
extern const struct record reporter_state_record;

/* An operator's words about a reporter. */
struct reporter_wish {
    struct seen seen;
    struct str uuid, display_name, hostname, site_name, version, platform, release, state, client_key;
    uint64_t enroll_key_id, policy_id;
    bool approval_required, is_active;
};
extern const struct record reporter_create_record, reporter_change_record;

#endif
