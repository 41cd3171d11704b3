/* wire/dialects/sigma.h - the words of sigma (docs/wire/sigma.md): tables that its agent and its server share. Strings are borrowed. */
#ifndef MUSTER_WIRE_SIGMA_H
#define MUSTER_WIRE_SIGMA_H

#include "wire/asset.h"
#include "wire/ports.h"

enum {
    SIGMA_BODY_MAX = 2 << 20,
    SIGMA_HEARTBEAT_S = 60,
    SIGMA_ADDRESSES_MAX = 4096, /* a node of a cluster has hundreds, and its agent tells them all */
    SIGMA_WAIT_MAX_S = 60,
    SIGMA_COUNT_MAX = PORTS_MAX, /* of one allocation; the agent's own limit is usually 100 */
};

struct sigma_ip {
    struct str ip, label;
};
extern const struct record sigma_ip_record;
struct sigma_ips {
    struct sigma_ip *v;
    size_t n;
};

/* POST /api/agent/register and /heartbeat. system_info is any object: its members are in struct sigma_info. */
struct sigma_register {
    struct seen seen;
    struct str hostname, alias;
    struct sigma_ips ip_addresses;
    int32_t ssh_port;
    struct json_text system_info;
};
extern const struct record sigma_register_record;
struct sigma_heartbeat {
    struct seen seen;
    struct str hostname;
    struct sigma_ips ip_addresses;
    struct json_text system_info;
};
extern const struct record sigma_heartbeat_record;

/* The answer to both, as far as an agent reads it. */
struct sigma_registered {
    struct seen seen;
    struct str id, hostname, status;
};
extern const struct record sigma_registered_record;

/* The whole row: a machine, what is in extra as one text, and whether its agent is there. */
struct sigma_vps {
    struct asset a;
    struct json_text extra;
    usec_t updated_at;
    bool online, has_metrics_token;
    struct str provider_name; /* in exports: ids are this server's own */
};
extern const struct record sigma_vps_record;
/* A list of them: records for documents. */
struct sigma_vps_page {
    LIST(struct sigma_vps) data;
    uint64_t total, page, per_page;
};
extern const struct record sigma_vps_page_record;

struct sigma_provider {
    struct provider p;
    uint32_t vps_count;
};
extern const struct record sigma_provider_record;

/* -- questions about ports that wait (ours) */
struct sigma_port_request {
    uint64_t id;
    uint32_t count, ttl_seconds;
    struct str owner;
    bool hold;
};
extern const struct record sigma_port_request_record;
struct sigma_port_requests {
    LIST(struct sigma_port_request) requests;
};
extern const struct record sigma_port_requests_record;
struct sigma_port_answer {
    struct seen seen;
    struct str hostname, error, message, lease;
    uint64_t id;
    struct json_text ports; /* a list of numbers */
    usec_t expires_at;
};
extern const struct record sigma_port_answer_record;

/* POST /ports/allocate of the agent, and /api/vps/{id}/allocate-ports: struct ports_wish (wire/ports.h). */

/* -- keys and people */
struct sigma_key_wish {
    struct seen seen;
    struct str name, role;
    bool bind_hostname;
};
extern const struct record sigma_key_wish_record;
struct sigma_key {
    struct str id, name, key, key_prefix, role, bound_hostname, created_by;
    bool bind_hostname;
    usec_t created_at, last_used_at;
};
extern const struct record sigma_key_record;
struct sigma_login {
    struct str email, password;
};
extern const struct record sigma_login_record;

#endif
