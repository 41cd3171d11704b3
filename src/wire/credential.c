/* wire/credential.c - see credential.h. Times are microseconds: the column must give back exactly what was put. */
#include "wire/credential.h"

#include "base/limits.h"

static const struct field credential_fields[] = {
    F_U64(struct credential, id, "id", .flags = FIELD_ID, .help = "Never reused."),
    F_U32(struct credential, kind, "kind", .help = "Which secret: fleet/secret.h."),
    F_STR(struct credential, hash, "hash", 64, .flags = FIELD_REQUIRED, .help = "SHA-256 of the secret, hex."),
    F_STR(struct credential, hint, "hint", 24, .flags = FIELD_OMIT, .help = "Its first characters."),
    F_STR(struct credential, name, "name", LIMIT_NAME, .flags = FIELD_OMIT, .help = "For people."),
    F_STR(struct credential, scope, "scope", 32, .flags = FIELD_OMIT, .help = "The role word of its dialect."),
    F_U64(struct credential, host_id, "host_id", .flags = FIELD_OMIT, .help = "The host it belongs to."),
    F_U64(struct credential, user_id, "user_id", .flags = FIELD_OMIT, .help = "The person it speaks for."),
    F_U64(struct credential, parent_id, "parent_id", .flags = FIELD_OMIT, .help = "The credential it was got with."),
    F_BOOL(struct credential, bind_hostname, "bind_hostname", .flags = FIELD_OMIT,
           .help = "Good for one host name only."),
    F_STR(struct credential, bound_hostname, "bound_hostname", LIMIT_HOSTNAME, .flags = FIELD_OMIT,
          .help = "That name."),
    F_STR(struct credential, created_by, "created_by", 192, .flags = FIELD_OMIT, .help = "Who made it."),
    F_STR(struct credential, last_peer, "last_peer", 64, .flags = FIELD_OMIT, .help = "Where it was last used from."),
    F_U64(struct credential, created_at, "created_at_us", .help = "Server time."),
    F_U64(struct credential, expires_at, "expires_at_us", .flags = FIELD_OMIT, .help = "0: never."),
    F_U64(struct credential, last_used, "last_used_us", .flags = FIELD_OMIT, .help = "To the minute; 0: never."),
    F_U64(struct credential, revoked_at, "revoked_at_us", .flags = FIELD_OMIT, .help = "0: it is not."),
};
const struct record credential_record = RECORD(credential, credential_fields);

static const struct field alias_fields[] = {
    F_U64(struct alias, host_id, "host_id", .help = "The host's row."),
    F_STR(struct alias, dialect, "dialect", 32, .flags = FIELD_REQUIRED, .help = "sigma, grapheon, argus ..."),
    F_STR(struct alias, external_id, "external_id", 128, .flags = FIELD_REQUIRED | FIELD_ID,
          .help = "The host's name in that dialect."),
    F_U64(struct alias, since, "since_us", .help = "Server time."),
    F_U64(struct alias, every, "every_us", .flags = FIELD_OMIT, .help = "How often it means to come."),
    F_U64(struct alias, asked_at, "asked_at_us", .flags = FIELD_OMIT, .help = "When it registered last."),
};
const struct record alias_record = RECORD(alias, alias_fields);
