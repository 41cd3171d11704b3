/* codec/jwt.h - compact tokens: HS256 only (RFC 7515 section 7.1, RFC 7519). No clock, no I/O. */
#ifndef MUSTER_CODEC_JWT_H
#define MUSTER_CODEC_JWT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/json.h"

enum { JWT_MAX = 2048 };
/* Appends header.payload.signature over @payload (a JSON object). 0 or -ENOBUFS. */
int jwt_sign(const uint8_t key[32], struct str payload, struct buf *out);
/* Signature and form: 0 and the payload's tree in @a; -EBADMSG for everything else (also alg other than HS256). Expiry is the
 * caller's to check. */
int jwt_verify(const uint8_t key[32], struct str token, struct arena *a, struct node **ret);
/* The payload without looking at the signature: for routing only. 0 or -EBADMSG. */
int jwt_peek(struct str token, struct arena *a, struct node **ret);

#endif
