/* net/tls.h - one TLS connection as bytes in, bytes out: no socket, no buffers of its own.
 *
 * A custom BIO reads from the slice that was just received and writes to the loop's shared scratch. When a server's
 * TLS 1.3 handshake is done OpenSSL's part is over and tls_record.h goes on with the keys; clients and TLS 1.2 (browsers)
 * stay with OpenSSL. Loop thread. */
#ifndef MUSTER_NET_TLS_H
#define MUSTER_NET_TLS_H

#include <openssl/ssl.h>

#include "net/loop_priv.h"
#include "net/tls_ctx.h"
#include "net/tls_record.h"

struct tls_ctx {
    unsigned refs;
    SSL_CTX *ssl;
    bool is_server, any_client_cert;
    X509_STORE *ca; /* NULL: none, or the pin decides */
    bool has_pin, skip_verify;
    uint8_t pin[SHA256_LEN];
    char *expect_uri, *expect_host;
    char *pinned_pem;
    uint8_t *alpn; /* wire form */
    unsigned alpn_len;
};
struct tls_ctx *tls_ctx_ref(struct tls_ctx *t);

/* The two secrets OpenSSL tells the key log, while a server's handshake runs. */
struct tls_secrets {
    uint8_t client[TLS_SECRET_MAX], server[TLS_SECRET_MAX];
    size_t n_client, n_server;
};

struct tls {
    SSL *ssl;                    /* NULL once `rec` has taken over */
    struct tls_records *rec;     /* server, TLS 1.3, after the handshake */
    struct tls_secrets *secrets; /* only during it */
    struct tls_ctx *ctx;
    struct net_scratch *sc;
    const uint8_t *in; /* lent for one call */
    size_t in_len;
    struct tls_peer *peer; /* NULL until known; NULL afterwards if there is no certificate */
    bool is_done;
};

/* @host is sent as SNI when it is a name (client); may be NULL. Never fails but for memory. */
struct tls *tls_new(struct loop *l, struct tls_ctx *ctx, const char *host);
void tls_free(struct tls *t);
/* Lends received bytes to the next calls. */
static inline void tls_lend(struct tls *t, const uint8_t *p, size_t n)
{
    t->in = p;
    t->in_len = n;
}
/* 1: done; 0: needs more input; or -errno and @err (slugs in tls_ctx.h). What is to be sent, alerts included, is in
 * the scratch's cipher bytes afterwards - also on failure. */
int tls_handshake(struct tls *t, struct err *err);
/* Bytes in the scratch's plain buffer (> 0), 0: needs more input, -EPIPE: the peer closed in order, or -errno and
 * @err. */
int tls_read(struct tls *t, struct err *err);
/* Appends records for @n bytes to the scratch's cipher bytes. 0 or -EPROTO. */
int tls_write(struct tls *t, const void *p, size_t n);
/* The connection whose handshake is running on this thread, for the verify callback of tls_ctx.c; @err to fill. */
struct tls *tls__verifying(struct err **ret_err);
/* OpenSSL's key log, for tls_ctx.c. */
void tls__on_secret(const SSL *ssl, const char *line);
/* Appends close_notify. */
void tls_bye(struct tls *t);

#endif
