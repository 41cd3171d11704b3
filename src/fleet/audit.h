/* fleet/audit.h - the hash chain of the audit log. Pure. */
#ifndef MUSTER_FLEET_AUDIT_H
#define MUSTER_FLEET_AUDIT_H

#include "base/clock.h"
#include "base/crypto.h"
#include "base/field.h"
#include "base/str.h"

struct audit_row {
    uint64_t id; /* 1, 2, 3 ... without gaps */
    usec_t at;
    struct str principal, peer, verb, target, outcome, slug; /* outcome: ok | denied | failed */
    struct kv_list details; /* stored and shown as an object of strings, in this order */
    uint8_t prev[SHA256_LEN], hash[SHA256_LEN];
};
/* hash = SHA-256 over prev and every field, each with its length in front (details: the number of pairs, then each key and value
 * with its length in front). The first row's prev is all zero (or, after
 * retention, the hash of the last row removed). */
void audit_seal(struct audit_row *row);
enum audit_verdict { AUDIT_OK, AUDIT_GAP, AUDIT_BROKEN_LINK, AUDIT_EDITED };
/* Checks @row against its predecessor (@prev NULL: the first kept row; only its own hash is checked). */
enum audit_verdict audit_check(const struct audit_row *prev, const struct audit_row *row);

#endif
