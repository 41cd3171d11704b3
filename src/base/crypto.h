/* base/crypto.h - hashes, signatures, passwords over libcrypto and libxcrypt. Any thread. */
#ifndef MUSTER_CRYPTO_H
#define MUSTER_CRYPTO_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { SHA256_LEN = 32, SHA256_HEX_MAX = 65, PASSWORD_HASH_MAX = 256 };

void sha256(struct str s, uint8_t ret[SHA256_LEN]);
void sha256_hex(struct str s, char ret[SHA256_HEX_MAX]);
struct sha256_state; /* incremental; needs no cleanup of its own beyond _free */
struct sha256_state *sha256_new(void);
void sha256_add(struct sha256_state *st, struct str s);
void sha256_finish(struct sha256_state *st, uint8_t ret[SHA256_LEN]); /* resets for reuse */
void sha256_free(struct sha256_state *st);
void hmac_sha256(struct str key, struct str s, uint8_t ret[SHA256_LEN]);

/* Ed25519 (RFC 8032). @pub 32 bytes, @sec the 32-byte seed, @sig 64. */
void ed25519_keypair(uint8_t pub[32], uint8_t sec[32]);
int ed25519_sign(const uint8_t sec[32], struct str msg, uint8_t sig[64]);
/* 0, or -EBADMSG. */
int ed25519_verify(const uint8_t pub[32], struct str msg, const uint8_t sig[64]);

/* yescrypt, default cost: slow on purpose (about 50 ms), so off the loop. 0 or -errno. */
int password_hash(struct str password, char ret[PASSWORD_HASH_MAX]);
/* 0 if it matches, -EACCES if not, -EINVAL for a hash we cannot read. */
int password_verify(struct str password, const char *hash);

/* AES-256-GCM: @ret gets 12-byte nonce + ciphertext + 16-byte tag. 0; open: -EBADMSG. */
struct buf;
int seal(const uint8_t key[32], struct str plain, struct str aad, struct buf *ret);
int unseal(const uint8_t key[32], struct str sealed, struct str aad, struct buf *ret);

#endif
