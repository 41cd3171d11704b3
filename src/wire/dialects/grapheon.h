/* wire/dialects/grapheon.h - the words of Graphēon (docs/wire/grapheon.md). Strings are borrowed. */
#ifndef MUSTER_WIRE_GRAPHEON_H
#define MUSTER_WIRE_GRAPHEON_H

#include "wire/report.h"

enum {
    GRAPHEON_KEY_MAX = 512,
    GRAPHEON_REGISTER_BYTES = 64 << 10,
    GRAPHEON_REPORT_BYTES = 262144,       /* compressed, as upstream; and decoded where a policy says nothing */
    GRAPHEON_REPORT_BYTES_MAX = 4 << 20,  /* compressed, the most an operator may allow */
    GRAPHEON_REPORT_UNPROVEN = 1 << 20,   /* compressed, taken in before the key is looked at */
    GRAPHEON_RAW_TEXT_MAX = 4 << 20,      /* of one command in a check-in */
    GRAPHEON_CLAIM_MAX = 128,
    GRAPHEON_CLAIM_MIN = 16,
    GRAPHEON_EPOCH_MAX = 64,
};

/* POST /api/agents/register. The rows of addresses are read as a report's are. */
struct grapheon_register {
    struct seen seen;
    struct str enrollment_key, agent_uuid;
    struct str display_name, hostname, site_name, platform, platform_release, agent_version;
    struct str claim_sha256, claim;
    struct json_text metadata, addresses;
};
extern const struct record grapheon_register_record;

/* POST /api/agents/{id}/approve, /reject, /revoke, /rotate-api-key */
struct grapheon_verdict {
    struct seen seen;
    uint64_t policy_id;
    struct str display_name, reason;
};
extern const struct record grapheon_approve_record, grapheon_reason_record;

/* POST /api/auth/login/local */
struct grapheon_login {
    struct str username, password;
};
extern const struct record grapheon_login_record;

/* Lists */
struct grapheon_page {
    struct seen seen;
    uint32_t skip, limit;
    struct str enrollment_state;
    bool is_active;
};
extern const struct record grapheon_page_record;

#endif
