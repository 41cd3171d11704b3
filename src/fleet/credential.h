/* fleet/credential.h - API tokens and certificates: shapes and expiry rules. Pure. */
#ifndef MUSTER_FLEET_CREDENTIAL_H
#define MUSTER_FLEET_CREDENTIAL_H

#include "base/clock.h"
#include "base/crypto.h"
#include "base/str.h"

enum { API_TOKEN_LEN = 35, API_TOKEN_MAX = 36 }; /* "em_live_" + 27 base64url characters */
/* Makes the text of a token from 20 random bytes (27 characters, the last two bits zero). */
void api_token_make(const uint8_t random20[20], char ret[API_TOKEN_MAX]);
bool api_token_has_shape(struct str s);
/* What is stored. */
void api_token_hash(struct str token, uint8_t ret[SHA256_LEN]);
/* Install code: 20 characters of Crockford base32 in lower case from 100 random bits. */
void install_code_make(const uint8_t random13[13], char ret[21]);

/* When a host's certificate should be renewed: at 2/3 of its life. */
usec_t certificate_renew_at(usec_t not_before, usec_t not_after);
/* Password rule: 8..1024 bytes, valid UTF-8, no NUL. */
bool password_is_acceptable(struct str password);
/* [a-z0-9][a-z0-9._@-]{0,63} */
bool user_name_is_acceptable(struct str name);
/* The same without an '@': what somebody nobody knows may call himself, as it can be nobody's address. */
bool user_name_may_sign_up(struct str name);
/* Somebody is called as another's verified address is written. Does the text mean the one of that name? Only where he was there before the
 * other: who came later may have taken the name to be taken for him. Ids grow with time. */
bool user_name_wins(uint64_t named_id, uint64_t addressed_id);

#endif
