/* net/tls_record.c - RFC 8446 sections 5 (record protocol), 7.2 and 7.3 (traffic keys), 4.6.3 (KeyUpdate), 6 (alerts).
 *
 *     opaque_type 23 | 0x0303 | length | AEAD(content | content type | zeros)        the header is the additional data
 *     nonce = iv XOR sequence number */
#include "net/tls_record.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/mem.h"

enum { TYPE_ALERT = 21, TYPE_HANDSHAKE = 22, TYPE_DATA = 23 };
enum { ALERT_UNEXPECTED = 10, ALERT_BAD_MAC = 20, ALERT_OVERFLOW = 22, ALERT_DECODE = 50, ALERT_INTERNAL = 80 };
enum { KEY_UPDATE = 24, KEY_UPDATE_LEN = 5 };

/* -- keys */
static const EVP_MD *md_of(enum tls_suite suite)
{
    return suite == TLS_AES_256_GCM ? EVP_sha384() : EVP_sha256();
}

static size_t key_len(enum tls_suite suite)
{
    return suite == TLS_AES_128_GCM ? 16 : 32;
}

/* HKDF-Expand-Label with an empty context; @n is at most one hash, so one block of HKDF-Expand is enough. */
static void expand_label(const EVP_MD *md, const uint8_t *secret, const char *label, uint8_t *dst, size_t n)
{
    uint8_t info[32], block[EVP_MAX_MD_SIZE];
    size_t len = strlen(label), i = 0;
    unsigned block_len = 0;

    assert(len + 11 <= sizeof(info) && n <= (size_t)EVP_MD_get_size(md));
    info[i++] = (uint8_t)(n >> 8);
    info[i++] = (uint8_t)n;
    info[i++] = (uint8_t)(6 + len);
    memcpy(info + i, "tls13 ", 6);
    memcpy(info + i + 6, label, len);
    i += 6 + len;
    info[i++] = 0;
    info[i++] = 1; /* the first block */
    unsigned char *ok = HMAC(md, secret, EVP_MD_get_size(md), info, i, block, &block_len);

    assert(ok && block_len >= n);
    (void)ok;
    memcpy(dst, block, n);
    secret_wipe(block, sizeof(block));
}

static void derive(struct tls_keys *k, enum tls_suite suite)
{
    expand_label(md_of(suite), k->secret, "key", k->key, key_len(suite));
    expand_label(md_of(suite), k->secret, "iv", k->iv, sizeof(k->iv));
    k->seq = 0;
}

static void renew(struct tls_keys *k, enum tls_suite suite)
{
    uint8_t next[TLS_SECRET_MAX];

    expand_label(md_of(suite), k->secret, "traffic upd", next, (size_t)EVP_MD_get_size(md_of(suite)));
    memcpy(k->secret, next, sizeof(next));
    secret_wipe(next, sizeof(next));
    derive(k, suite);
}

int tls_records_init(struct tls_records *r, enum tls_suite suite, const uint8_t *rx_secret, const uint8_t *tx_secret,
                     size_t n)
{
    if (n != (size_t)EVP_MD_get_size(md_of(suite)))
        return -EINVAL;
    *r = (struct tls_records){ .suite = suite };
    memcpy(r->rx.secret, rx_secret, n);
    memcpy(r->tx.secret, tx_secret, n);
    derive(&r->rx, suite);
    derive(&r->tx, suite);
    return 0;
}

void tls_records_done(struct tls_records *r)
{
    free(r->part);
    secret_wipe(r, sizeof(*r));
}

/* -- the AEAD */
static EVP_CIPHER_CTX *cipher_ctx(enum tls_suite suite, bool is_seal)
{
    static _Thread_local EVP_CIPHER_CTX *ctxs[3][2]; /* never freed: one pair a suite and thread */
    EVP_CIPHER_CTX **c = &ctxs[suite][is_seal];

    if (!*c) {
        const EVP_CIPHER *cipher = suite == TLS_AES_128_GCM   ? EVP_aes_128_gcm()
                                   : suite == TLS_AES_256_GCM ? EVP_aes_256_gcm()
                                                              : EVP_chacha20_poly1305();

        *c = EVP_CIPHER_CTX_new();
        int ok = *c && EVP_CipherInit_ex(*c, cipher, NULL, NULL, NULL, is_seal);

        assert(ok);
        (void)ok;
    }
    return *c;
}

static void nonce_of(const struct tls_keys *k, uint8_t dst[12])
{
    memcpy(dst, k->iv, 12);
    for (int i = 0; i < 8; i++)
        dst[4 + i] ^= (uint8_t)(k->seq >> (56 - 8 * i));
}

static void put_header(uint8_t *dst, size_t n)
{
    dst[0] = TYPE_DATA;
    dst[1] = dst[2] = 3;
    dst[3] = (uint8_t)(n >> 8);
    dst[4] = (uint8_t)n;
}

/* One record around at most TLS_RECORD_PLAIN bytes. */
static size_t seal_one(struct tls_records *r, uint8_t type, const uint8_t *src, size_t n, uint8_t *dst)
{
    EVP_CIPHER_CTX *c = cipher_ctx(r->suite, true);
    uint8_t nonce[12], *body = dst + TLS_RECORD_HEADER;
    int len = 0, tail = 0;

    put_header(dst, n + 1 + TLS_RECORD_TAG);
    nonce_of(&r->tx, nonce);
    bool ok = EVP_EncryptInit_ex(c, NULL, NULL, r->tx.key, nonce) == 1 &&
              EVP_EncryptUpdate(c, NULL, &len, dst, TLS_RECORD_HEADER) == 1 &&
              EVP_EncryptUpdate(c, body, &len, src, (int)n) == 1 && EVP_EncryptUpdate(c, body + n, &tail, &type, 1) == 1 &&
              EVP_EncryptFinal_ex(c, body + n + 1, &len) == 1 &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TLS_RECORD_TAG, body + n + 1) == 1;

    /* Keys and sizes are ours: only a broken library fails here, and plain text must not leave then. */
    assert(ok && tail == 1);
    (void)ok;
    r->tx.seq++;
    return TLS_RECORD_HEADER + n + 1 + TLS_RECORD_TAG;
}

size_t tls_records_size(size_t n)
{
    size_t records = (n + TLS_RECORD_PLAIN - 1) / TLS_RECORD_PLAIN + 1; /* one may be a KeyUpdate */

    return n + records * (TLS_RECORD_HEADER + 1 + TLS_RECORD_TAG) + KEY_UPDATE_LEN;
}

size_t tls_records_update(struct tls_records *r, uint8_t *dst)
{
    static const uint8_t message[KEY_UPDATE_LEN] = { KEY_UPDATE, 0, 0, 1, 0 /* update_not_requested */ };
    size_t n = seal_one(r, TYPE_HANDSHAKE, message, sizeof(message), dst);

    renew(&r->tx, r->suite);
    return n;
}

size_t tls_records_alert(struct tls_records *r, uint8_t alert, uint8_t *dst)
{
    uint8_t message[2] = { alert == 0 ? 1 : 2, alert }; /* close_notify is a warning, all others are fatal */

    return seal_one(r, TYPE_ALERT, message, sizeof(message), dst);
}

size_t tls_records_seal(struct tls_records *r, const uint8_t *src, size_t n, uint8_t *dst)
{
    size_t done = 0;

    if (r->tx.seq >= TLS_RECORDS_PER_KEY)
        done = tls_records_update(r, dst);
    while (n > 0) {
        size_t piece = n < TLS_RECORD_PLAIN ? n : TLS_RECORD_PLAIN;

        done += seal_one(r, TYPE_DATA, src, piece, dst + done);
        src += piece;
        n -= piece;
    }
    return done;
}

/* -- receiving */
static int refuse(size_t *ret_alert, uint8_t alert, struct err *err, const char *why)
{
    *ret_alert = alert;
    return err_set(err, -EPROTO, "tls.protocol", "TLS failed: %s", why);
}

static int on_alert(const uint8_t *p, size_t n, size_t *ret_n, struct err *err)
{
    if (n != 2)
        return refuse(ret_n, ALERT_DECODE, err, "an alert that cannot be read");
    if (p[1] == 0)
        return TLS_RECORD_BYE;
    *ret_n = 0;
    return err_set(err, -EPROTO, "tls.protocol", "the peer ended TLS with alert %u", p[1]);
}

static int on_handshake(struct tls_records *r, const uint8_t *p, size_t n, size_t *ret_n, struct err *err)
{
    /* A server gets nothing else after the handshake: it asks for no certificate then, and sends tickets itself. */
    if (n != KEY_UPDATE_LEN || p[0] != KEY_UPDATE || p[1] || p[2] || p[3] != 1 || p[4] > 1)
        return refuse(ret_n, ALERT_UNEXPECTED, err, "an unexpected handshake message");
    if (++r->n_updates > TLS_KEY_UPDATES_MAX)
        return refuse(ret_n, ALERT_UNEXPECTED, err, "too many key updates");
    renew(&r->rx, r->suite);
    *ret_n = p[4];
    return TLS_RECORD_UPDATE;
}

/* @rec is one whole record of @n bytes behind its header. */
static int open_one(struct tls_records *r, const uint8_t *rec, size_t n, uint8_t *plain, size_t *ret_n, struct err *err)
{
    EVP_CIPHER_CTX *c = cipher_ctx(r->suite, false);
    const uint8_t *body = rec + TLS_RECORD_HEADER;
    uint8_t nonce[12], tag[TLS_RECORD_TAG];
    size_t len = n - TLS_RECORD_TAG;
    int out = 0, tail = 0;

    nonce_of(&r->rx, nonce);
    memcpy(tag, body + len, TLS_RECORD_TAG);
    if (EVP_DecryptInit_ex(c, NULL, NULL, r->rx.key, nonce) != 1 ||
        EVP_DecryptUpdate(c, NULL, &out, rec, TLS_RECORD_HEADER) != 1 ||
        EVP_DecryptUpdate(c, plain, &out, body, (int)len) != 1 ||
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TLS_RECORD_TAG, tag) != 1 ||
        EVP_DecryptFinal_ex(c, plain + out, &tail) != 1)
        return refuse(ret_n, ALERT_BAD_MAC, err, "a record does not verify");
    r->rx.seq++;
    /* The last byte that is not zero is the type; zeros after it are padding. */
    while (len > 0 && plain[len - 1] == 0)
        len--;
    if (len == 0)
        return refuse(ret_n, ALERT_UNEXPECTED, err, "a record of nothing but zeros");
    uint8_t type = plain[--len];

    if (len > TLS_RECORD_PLAIN)
        return refuse(ret_n, ALERT_OVERFLOW, err, "a record is too long");
    switch (type) {
    case TYPE_DATA:
        if (len > 0)
            r->n_updates = 0;
        *ret_n = len;
        return TLS_RECORD_DATA;
    case TYPE_ALERT:
        return on_alert(plain, len, ret_n, err);
    case TYPE_HANDSHAKE:
        return on_handshake(r, plain, len, ret_n, err);
    default:
        return refuse(ret_n, ALERT_UNEXPECTED, err, "an unexpected kind of record");
    }
}

static int check_header(const uint8_t *h, size_t *ret_len, size_t *ret_alert, struct err *err)
{
    *ret_len = (size_t)h[3] << 8 | h[4];
    if (h[0] != TYPE_DATA || h[1] != 3)
        return refuse(ret_alert, ALERT_UNEXPECTED, err, "an unexpected kind of record");
    if (*ret_len > TLS_RECORD_MAX)
        return refuse(ret_alert, ALERT_OVERFLOW, err, "a record is too long");
    if (*ret_len < TLS_RECORD_TAG + 1)
        return refuse(ret_alert, ALERT_DECODE, err, "a record is too short");
    return 0;
}

/* Moves up to @want bytes in total into part. */
static void keep(struct tls_records *r, const uint8_t **in, size_t *n_in, size_t want)
{
    size_t n = want - r->part_len < *n_in ? want - r->part_len : *n_in;

    if (r->part_cap < want) {
        r->part = xrealloc(r->part, want);
        r->part_cap = (uint32_t)want;
    }
    memcpy(r->part + r->part_len, *in, n);
    r->part_len += (uint32_t)n;
    *in += n;
    *n_in -= n;
}

int tls_records_open(struct tls_records *r, const uint8_t **in, size_t *n_in, uint8_t *plain, size_t *ret_n,
                     struct err *err)
{
    size_t len;
    int outcome;

    *ret_n = 0;
    if (r->part_len == 0 && *n_in >= TLS_RECORD_HEADER) {
        /* The usual case: a whole record in what was just received is opened from there. */
        outcome = check_header(*in, &len, ret_n, err);
        if (outcome < 0)
            return outcome;
        if (*n_in >= TLS_RECORD_HEADER + len) {
            const uint8_t *rec = *in;

            *in += TLS_RECORD_HEADER + len;
            *n_in -= TLS_RECORD_HEADER + len;
            return open_one(r, rec, len, plain, ret_n, err);
        }
    }
    if (*n_in == 0)
        return TLS_RECORD_NONE;
    if (r->part_len < TLS_RECORD_HEADER) {
        keep(r, in, n_in, TLS_RECORD_HEADER);
        if (r->part_len < TLS_RECORD_HEADER)
            return TLS_RECORD_NONE;
    }
    outcome = check_header(r->part, &len, ret_n, err);
    if (outcome < 0)
        return outcome;
    keep(r, in, n_in, TLS_RECORD_HEADER + len);
    if (r->part_len < TLS_RECORD_HEADER + len)
        return TLS_RECORD_NONE;
    uint8_t *rec = r->part;

    r->part = NULL;
    r->part_len = r->part_cap = 0;
    outcome = open_one(r, rec, len, plain, ret_n, err);
    free(rec);
    return outcome;
}
