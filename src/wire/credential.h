/* wire/credential.h - a foreign secret as it is kept: who holds it and what it is good for. Never the secret. */
#ifndef MUSTER_WIRE_CREDENTIAL_H
#define MUSTER_WIRE_CREDENTIAL_H

#include "base/clock.h"
#include "base/field.h"

struct credential {
    uint64_t id;
    uint32_t kind;             /* enum secret_kind (fleet/secret.h) */
    struct str hash;           /* SHA-256 of the secret in lower-case hex */
    struct str hint;           /* what is shown of it */
    struct str name;
    struct str scope;          /* the dialect's role word: admin operator agent readonly, reporter viewer, ... */
    uint64_t host_id;          /* the host it belongs to; 0: none */
    uint64_t user_id;          /* the person it speaks for; 0: none */
    uint64_t parent_id;        /* the credential it was got with; 0: none */
    bool bind_hostname;        /* good for one host name only: the first that uses it */
    struct str bound_hostname;
    struct str created_by, last_peer;
    usec_t created_at, expires_at, last_used, revoked_at; /* 0: never */
};
extern const struct record credential_record;

/* A host's name in an accent: (dialect, external id) is unique. */
struct alias {
    uint64_t host_id;
    struct str dialect;
    struct str external_id;    /* at most 128 bytes */
    usec_t since;
    usec_t every;              /* how often it means to come; 0: not known */
    usec_t asked_at;           /* registered last while it waited for an operator */
};
extern const struct record alias_record;

#endif
