/* fleet/policy.h - principal x verb -> allow or deny. Pure; a table. */
#ifndef MUSTER_FLEET_POLICY_H
#define MUSTER_FLEET_POLICY_H

#include <stdbool.h>

#include "base/names.h"
#include "base/str.h"

enum role_level { ROLE_NONE, ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMIN };
extern const struct name role_level_names[]; /* none viewer operator admin */

/* How a principal was proven. */
enum principal_kind {
    PRINCIPAL_NONE, PRINCIPAL_LOCAL, PRINCIPAL_DEV, PRINCIPAL_TOKEN, PRINCIPAL_HOST,
    PRINCIPAL_SESSION, /* a person who logged in through an accent: token_id is 0 */
    PRINCIPAL_KEY,     /* a credential of an accent (fleet/secret.h): token_id is the credential's id */
};
extern const struct name principal_kind_names[]; /* none local dev token host session key */

/* Names of those who act without being a user, in a user's charset (the others have a colon: "local:root"). No new user is called so. */
#define PRINCIPAL_NAME_DEV "dev"         /* whoever has no credential with --dev */
#define PRINCIPAL_NAME_SERVER "server"   /* musterd by itself, in the audit log */
#define PRINCIPAL_NAME_SIGN_UP "sign-up" /* a newcomer who makes an own account */
bool principal_name_is_built_in(struct str name);
struct principal {
    enum principal_kind kind;
    enum role_level role;
    uint64_t user_id;
    uint64_t token_id;
    uint64_t session_mark; /* PRINCIPAL_SESSION: what its token carries */
    uint64_t host_id;      /* PRINCIPAL_HOST */
    char name[136];        /* "alice", "local:root", "dev", "host:web-1" : for audit and logs */
};

enum verb {
    VERB_READ,          /* hosts, inventory, jobs, events, own identity */
    VERB_HOST_APPROVE, VERB_HOST_REJECT, VERB_HOST_REVOKE, VERB_HOST_LABEL, VERB_HOST_RENAME, VERB_HOST_FORGET,
    VERB_INSTALL_TOKEN, /* create, revoke, list */
    VERB_RUN,           /* create a job, cancel, stdin */
    VERB_USER_ADMIN,    /* users, passwords of others */
    VERB_OWN_PASSWORD,
    VERB_API_TOKEN,     /* own tokens */
    VERB_API_TOKEN_ANY, /* others' tokens */
    VERB_AUDIT_READ,
    VERB_ASSET,         /* what an accent keeps beside its hosts (sigma's VPS, providers): create, change, delete */
    VERB_ASSET_IMPORT,
    VERB_FOREIGN_KEY,   /* API keys and enrolment keys of the accents */
    VERB_FOREIGN_AGENT, /* approve, reject, rotate, change through an accent's own routes */
    VERB_REPORT_POLICY,
    VERB_SHARE,         /* own runs with others */
    VERB_INGEST,        /* events of runs; a credential without a role is let in by its accent */
    VERB_PORTS,         /* free ports of a host, asked for or reserved */
    VERB_HOST_LINK,     /* two rows are one machine */
    VERB_N,
};
extern const struct name verb_names[]; /* "host.approve" ...: the audit's verb column */

bool policy_allows(enum role_level role, enum verb v);
/* The smallest role that may. */
enum role_level policy_needs(enum verb v);

#endif
