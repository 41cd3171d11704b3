/* net/tls_record.h - TLS 1.3 records of a connection whose handshake is done: keys in, bytes in, bytes out. No I/O.
 *
 * OpenSSL does the handshake: certificates, key agreement, key schedule. What it keeps afterwards is 13 KB a connection
 * to do what this file does in 0.3: one AEAD call a record, with a counter (RFC 8446 section 5). The cipher contexts are
 * shared by all connections of a thread and keyed anew for each record. Loop thread. */
#ifndef MUSTER_NET_TLS_RECORD_H
#define MUSTER_NET_TLS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    TLS_RECORD_HEADER = 5,
    TLS_RECORD_TAG = 16,
    TLS_RECORD_PLAIN = 16 << 10,                  /* of one record */
    TLS_RECORD_MAX = TLS_RECORD_PLAIN + 256,      /* of one record's encrypted part */
    TLS_SECRET_MAX = 48,
    TLS_KEY_UPDATES_MAX = 32,                     /* of the peer, without data between them */
};
/* Renewed long before AES-GCM's limit (RFC 8446 section 5.5: 2^24.5 full records). */
#define TLS_RECORDS_PER_KEY (UINT64_C(1) << 24)

enum tls_suite { TLS_AES_128_GCM, TLS_AES_256_GCM, TLS_CHACHA20 };

struct tls_keys {
    uint64_t seq;
    uint8_t secret[TLS_SECRET_MAX]; /* for the next key */
    uint8_t key[32], iv[12];
};
/* All-zero has no keys. */
struct tls_records {
    struct tls_keys rx, tx;
    uint8_t *part; /* a record of which the rest is still to come, header included */
    uint32_t part_len, part_cap;
    enum tls_suite suite;
    uint16_t n_updates;
};

/* From the two "traffic secrets" of the handshake; @n is their length (the hash's). 0, or -EINVAL if @n does not fit. */
int tls_records_init(struct tls_records *r, enum tls_suite suite, const uint8_t *rx_secret, const uint8_t *tx_secret,
                     size_t n);
/* Wipes the keys. */
void tls_records_done(struct tls_records *r);

enum { TLS_RECORD_NONE = 0, TLS_RECORD_DATA, TLS_RECORD_UPDATE, TLS_RECORD_BYE };
/* Takes one record from *@in (moving it on) and opens it to @plain (TLS_RECORD_MAX bytes).
 * TLS_RECORD_DATA and *@ret_n bytes (may be 0); TLS_RECORD_NONE: *@in is used up and the record is not whole yet;
 * TLS_RECORD_UPDATE: the peer has new keys, and wants the same of us if *@ret_n is 1: tls_records_update(); TLS_RECORD_BYE:
 * close_notify. -EPROTO and @err otherwise; *@ret_n is then the alert to send (0: none, the peer sent one). */
int tls_records_open(struct tls_records *r, const uint8_t **in, size_t *n_in, uint8_t *plain, size_t *ret_n,
                     struct err *err);
/* Writes records for @n bytes to @dst, which has room for tls_records_size(n); how many. */
size_t tls_records_seal(struct tls_records *r, const uint8_t *src, size_t n, uint8_t *dst);
size_t tls_records_size(size_t n);
/* One record to @dst (32 bytes of room): an alert, or a KeyUpdate after which our keys are new. */
size_t tls_records_alert(struct tls_records *r, uint8_t alert, uint8_t *dst);
size_t tls_records_update(struct tls_records *r, uint8_t *dst);

#endif
