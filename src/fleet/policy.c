/* fleet/policy.c - see policy.h. */
#include "fleet/policy.h"

#include "base/mem.h"

const struct name role_level_names[] = {
    { ROLE_NONE, "none" },
    { ROLE_VIEWER, "viewer" },
    { ROLE_OPERATOR, "operator" },
    { ROLE_ADMIN, "admin" },
    NAMES_END,
};

const struct name principal_kind_names[] = {
    { PRINCIPAL_NONE, "none" },   { PRINCIPAL_LOCAL, "local" },     { PRINCIPAL_DEV, "dev" },
    { PRINCIPAL_TOKEN, "token" }, { PRINCIPAL_HOST, "host" },       { PRINCIPAL_SESSION, "session" },
    { PRINCIPAL_KEY, "key" },     NAMES_END,
};

bool principal_name_is_built_in(struct str name)
{
    static const char *const names[] = { PRINCIPAL_NAME_DEV, PRINCIPAL_NAME_SERVER, PRINCIPAL_NAME_SIGN_UP };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (str_is(name, names[i]))
            return true;
    return false;
}

const struct name verb_names[] = {
    { VERB_READ, "read" },
    { VERB_HOST_APPROVE, "host.approve" },
    { VERB_HOST_REJECT, "host.reject" },
    { VERB_HOST_REVOKE, "host.revoke" },
    { VERB_HOST_LABEL, "host.label" },
    { VERB_HOST_RENAME, "host.rename" },
    { VERB_HOST_FORGET, "host.forget" },
    { VERB_INSTALL_TOKEN, "install_token" },
    { VERB_RUN, "run" },
    { VERB_USER_ADMIN, "user.admin" },
    { VERB_OWN_PASSWORD, "password.own" },
    { VERB_API_TOKEN, "api_token.own" },
    { VERB_API_TOKEN_ANY, "api_token.any" },
    { VERB_AUDIT_READ, "audit.read" },
    { VERB_ASSET, "asset.write" },
    { VERB_ASSET_IMPORT, "asset.import" },
    { VERB_FOREIGN_KEY, "foreign_key" },
    { VERB_FOREIGN_AGENT, "foreign_agent" },
    { VERB_REPORT_POLICY, "report.policy" },
    { VERB_SHARE, "run.share" },
    { VERB_INGEST, "run.ingest" },
    { VERB_PORTS, "ports.allocate" },
    { VERB_HOST_LINK, "host.link" },
    NAMES_END,
};

/* The smallest role that may. A new verb without a row stays at ROLE_NONE, which policy_needs() turns into
 * "nobody below admin": forgetting a row never opens a door. */
static const enum role_level needs[VERB_N] = {
    [VERB_READ] = ROLE_VIEWER,          [VERB_HOST_APPROVE] = ROLE_OPERATOR,
    [VERB_HOST_REJECT] = ROLE_OPERATOR, [VERB_HOST_REVOKE] = ROLE_ADMIN,
    [VERB_HOST_LABEL] = ROLE_OPERATOR,  [VERB_HOST_RENAME] = ROLE_OPERATOR,
    [VERB_HOST_FORGET] = ROLE_ADMIN,    [VERB_INSTALL_TOKEN] = ROLE_OPERATOR,
    [VERB_RUN] = ROLE_OPERATOR,         [VERB_USER_ADMIN] = ROLE_ADMIN,
    [VERB_OWN_PASSWORD] = ROLE_VIEWER,  [VERB_API_TOKEN] = ROLE_VIEWER,
    [VERB_API_TOKEN_ANY] = ROLE_ADMIN,  [VERB_AUDIT_READ] = ROLE_ADMIN,
    [VERB_ASSET] = ROLE_OPERATOR,       [VERB_ASSET_IMPORT] = ROLE_OPERATOR,
    [VERB_FOREIGN_KEY] = ROLE_ADMIN,    [VERB_FOREIGN_AGENT] = ROLE_ADMIN,
    [VERB_REPORT_POLICY] = ROLE_ADMIN,  [VERB_SHARE] = ROLE_VIEWER,
    [VERB_INGEST] = ROLE_VIEWER,        [VERB_PORTS] = ROLE_OPERATOR,
    [VERB_HOST_LINK] = ROLE_ADMIN,
};

enum role_level policy_needs(enum verb v)
{
    if ((unsigned)v >= VERB_N || needs[v] == ROLE_NONE)
        return ROLE_ADMIN;
    return needs[v];
}

bool policy_allows(enum role_level role, enum verb v)
{
    if ((unsigned)v >= VERB_N || role < ROLE_VIEWER || role > ROLE_ADMIN)
        return false;
    return role >= policy_needs(v);
}
