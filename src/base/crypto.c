/* base/crypto.c - see crypto.h. libcrypto failing on valid arguments means it is out of memory or
 * misinstalled; nothing sensible can follow, so those abort like xmalloc() does. */
#include "base/crypto.h"

#include <crypt.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"

enum { NONCE_LEN = 12, TAG_LEN = 16, PASSWORD_MAX = 511 };

struct sha256_state {
    EVP_MD_CTX *ctx;
};

static void must(int is_ok)
{
    if (!is_ok)
        abort();
}

/* Looking an algorithm up by name costs more than hashing a short string with it: done once. */
static EVP_MD *md_sha256;
static void fetch_once(void)
{
    md_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    must(md_sha256 != NULL);
}

static const EVP_MD *the_sha256(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fetch_once);
    return md_sha256;
}

void sha256(struct str s, uint8_t ret[SHA256_LEN])
{
    must(EVP_Digest(s.len ? s.ptr : "", s.len, ret, NULL, the_sha256(), NULL));
}

void sha256_hex(struct str s, char ret[SHA256_HEX_MAX])
{
    uint8_t d[SHA256_LEN];
    sha256(s, d);
    hex_encode(d, sizeof(d), ret);
}

struct sha256_state *sha256_new(void)
{
    struct sha256_state *st = xnew0(struct sha256_state);
    st->ctx = EVP_MD_CTX_new();
    must(st->ctx && EVP_DigestInit_ex2(st->ctx, the_sha256(), NULL));
    return st;
}

void sha256_add(struct sha256_state *st, struct str s)
{
    if (s.len)
        must(EVP_DigestUpdate(st->ctx, s.ptr, s.len));
}

void sha256_finish(struct sha256_state *st, uint8_t ret[SHA256_LEN])
{
    must(EVP_DigestFinal_ex(st->ctx, ret, NULL));
    must(EVP_DigestInit_ex2(st->ctx, the_sha256(), NULL));
}

void sha256_free(struct sha256_state *st)
{
    if (!st)
        return;
    EVP_MD_CTX_free(st->ctx);
    free(st);
}

void hmac_sha256(struct str key, struct str s, uint8_t ret[SHA256_LEN])
{
    unsigned n = 0;
    must(HMAC(the_sha256(), key.len ? key.ptr : "", (int)key.len, (const uint8_t *)(s.len ? s.ptr : ""),
              s.len, ret, &n) != NULL);
}

void ed25519_keypair(uint8_t pub[32], uint8_t sec[32])
{
    rand_bytes(sec, 32);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, sec, 32);
    size_t n = 32;
    must(key && EVP_PKEY_get_raw_public_key(key, pub, &n) && n == 32);
    EVP_PKEY_free(key);
}

int ed25519_sign(const uint8_t sec[32], struct str msg, uint8_t sig[64])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, sec, 32);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t n = 64;
    must(key && ctx);
    int is_ok = EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) > 0 &&
                EVP_DigestSign(ctx, sig, &n, (const uint8_t *)(msg.len ? msg.ptr : ""), msg.len) > 0;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return is_ok && n == 64 ? 0 : -EIO;
}

int ed25519_verify(const uint8_t pub[32], struct str msg, const uint8_t sig[64])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, pub, 32);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int is_ok = key && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) > 0 &&
                EVP_DigestVerify(ctx, sig, 64, (const uint8_t *)(msg.len ? msg.ptr : ""), msg.len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return is_ok ? 0 : -EBADMSG;
}

/* @ret gets what crypt() makes of @password under @setting. struct crypt_data is 32 KiB: on the heap, and
 * wiped. */
static int crypt_into(struct str password, const char *setting, char ret[PASSWORD_HASH_MAX])
{
    if (password.len > PASSWORD_MAX || str_has_nul(password))
        return -EINVAL;
    struct crypt_data *cd = xnew0(struct crypt_data);
    char *phrase = str_dup(password);
    const char *out = crypt_rn(phrase, setting, cd, (int)sizeof(*cd));
    int r = out ? str_copy(str_of(out), ret, PASSWORD_HASH_MAX) : -EINVAL;
    secret_free(phrase);
    secret_wipe(cd, sizeof(*cd));
    free(cd);
    return r;
}

int password_hash(struct str password, char ret[PASSWORD_HASH_MAX])
{
    char salt[16], setting[CRYPT_GENSALT_OUTPUT_SIZE];
    rand_bytes(salt, sizeof(salt));
    if (!crypt_gensalt_rn("$y$", 0, salt, sizeof(salt), setting, sizeof(setting)))
        return -errno;
    return crypt_into(password, setting, ret);
}

int password_verify(struct str password, const char *hash)
{
    if (!hash || hash[0] != '$') /* no DES, no "*" for locked accounts */
        return -EINVAL;
    if (password.len > PASSWORD_MAX || str_has_nul(password))
        return -EACCES; /* we never made a hash of such */
    char again[PASSWORD_HASH_MAX];
    int r = crypt_into(password, hash, again);
    if (r < 0)
        return r;
    return secret_eq(str_of(again), str_of(hash)) ? 0 : -EACCES;
}

int seal(const uint8_t key[32], struct str plain, struct str aad, struct buf *ret)
{
    if (plain.len > INT32_MAX - 64 || aad.len > INT32_MAX)
        return -ENOBUFS;
    uint8_t *p;
    int r = buf_reserve(ret, NONCE_LEN + plain.len + TAG_LEN, &p), n = 0;
    if (r < 0)
        return r;
    rand_bytes(p, NONCE_LEN);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    must(ctx && EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, p));
    if (aad.len)
        must(EVP_EncryptUpdate(ctx, NULL, &n, (const uint8_t *)aad.ptr, (int)aad.len));
    if (plain.len)
        must(EVP_EncryptUpdate(ctx, p + NONCE_LEN, &n, (const uint8_t *)plain.ptr, (int)plain.len));
    must(EVP_EncryptFinal_ex(ctx, p + NONCE_LEN + plain.len, &n));
    must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_LEN, p + NONCE_LEN + plain.len));
    EVP_CIPHER_CTX_free(ctx);
    buf_commit(ret, NONCE_LEN + plain.len + TAG_LEN);
    return 0;
}

int unseal(const uint8_t key[32], struct str sealed, struct str aad, struct buf *ret)
{
    if (sealed.len < NONCE_LEN + TAG_LEN || sealed.len > INT32_MAX || aad.len > INT32_MAX)
        return -EBADMSG;
    const uint8_t *nonce = (const uint8_t *)sealed.ptr, *body = nonce + NONCE_LEN;
    size_t body_len = sealed.len - NONCE_LEN - TAG_LEN;
    uint8_t tag[TAG_LEN], *p;
    memcpy(tag, body + body_len, TAG_LEN);
    int r = buf_reserve(ret, body_len, &p), n = 0; /* GCM is a stream cipher: writes no more than that */
    if (r < 0)
        return r;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    must(ctx && EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce));
    if (aad.len)
        must(EVP_DecryptUpdate(ctx, NULL, &n, (const uint8_t *)aad.ptr, (int)aad.len));
    if (body_len)
        must(EVP_DecryptUpdate(ctx, p, &n, body, (int)body_len));
    must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag));
    uint8_t nothing[TAG_LEN];
    bool is_ok = EVP_DecryptFinal_ex(ctx, nothing, &n) > 0;
    EVP_CIPHER_CTX_free(ctx);
    if (!is_ok) {
        secret_wipe(p, body_len); /* what failed the check must not be read */
        return -EBADMSG;
    }
    buf_commit(ret, body_len);
    return 0;
}
