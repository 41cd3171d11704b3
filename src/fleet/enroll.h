/* fleet/enroll.h - how a host becomes one: pending -> approved -> revoked, pending -> rejected. Pure: time and facts are
 * arguments, no I/O. */
#ifndef MUSTER_FLEET_ENROLL_H
#define MUSTER_FLEET_ENROLL_H

#include "base/clock.h"
#include "base/err.h"
#include "base/names.h"
#include "base/str.h"

enum host_state { HOST_PENDING = 1, HOST_APPROVED, HOST_REJECTED, HOST_REVOKED };
extern const struct name host_state_names[];

enum enroll_verb { ENROLL_APPROVE, ENROLL_REJECT, ENROLL_REVOKE, ENROLL_ASK_AGAIN };
/* The transition table. Returns 0 and the new state, or -EINVAL and @err ("host.state": says from where, and what would work).
 * ASK_AGAIN is the same key enrolling: pending and approved stay, rejected and revoked stay (and answer so). Revoking a
 * pending host rejects it; approving a rejected one is allowed (an operator changed their mind), a revoked one is not: it must
 * be forgotten and enrol with a new key. */
int enroll_step(enum host_state from, enum enroll_verb verb, enum host_state *ret_to, struct err *err);

/* May somebody make the fleet let go of a host in @state, so that it comes back as a newcomer? @may_forget: he has the right to forget
 * hosts. Without it (an accent's own rule lets him delete what is his there) not where the host was turned away, unless @is_own: the
 * decision was his. 0; -EACCES host.revoked or host.rejected, and the sentence says of @name who can. */
int enroll_let_go(enum host_state state, bool may_forget, bool is_own, const char *name, struct err *err);

/* An install token as stored. */
struct install_token {
    uint64_t id;
    uint64_t max_uses;  /* 0: unlimited */
    uint64_t n_uses;
    usec_t expires_at;  /* 0: never */
    bool is_revoked, auto_approve;
};
enum token_verdict { TOKEN_OK, TOKEN_USED_UP, TOKEN_EXPIRED, TOKEN_REVOKED };
enum token_verdict token_check(const struct install_token *t, usec_t now);
/* "token.used_up" ...; NULL for OK. */
const char *token_verdict_slug(enum token_verdict v);

/* Has a pending request waited too long? */
bool enroll_is_expired(usec_t asked_at, usec_t max_age, usec_t now);

/* A key seen from two machines: true when @machine_id differs from the one on record and both are known. */
bool enroll_is_clone(struct str recorded_machine_id, struct str machine_id);

/* Installation code: "CODE@sha256:HEX". Splits and checks shape: code 8..64 of [A-Za-z0-9_-], 64 hex digits.
 * 0 or -EINVAL ("token.shape"). */
int install_token_parse(struct str text, struct str *ret_code, uint8_t ret_pin[32], struct err *err);

#endif
