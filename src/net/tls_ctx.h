/* net/tls_ctx.h - TLS contexts: certificates, verification, reload. OpenSSL stays inside net. Loop thread. */
#ifndef MUSTER_NET_TLS_CTX_H
#define MUSTER_NET_TLS_CTX_H

#include <stdbool.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/err.h"
#include "base/pki.h"

struct tls_ctx; /* refcounted inside: connections keep the one they started with across a reload */

struct tls_server_conf {
    const char *cert_pem;    /* leaf first; the CA follows so that a pin can be checked */
    const char *key_pem;
    const char *ca_pem;      /* client certificates must chain to it */
    bool ask_client_cert;    /* ask for one; a connection without is allowed and says so in tls_peer */
    bool any_client_cert;    /* and take anybody's, as the proof of a key and of nothing else: never tls_peer.has_cert */
    const char *const *alpn; /* NULL-terminated preference list, e.g. { "h2", NULL } */
    bool allow_tls12;        /* browsers; agents are 1.3 only */
};
struct tls_ctx *tls_server_new(const struct tls_server_conf *conf, struct err *err); /* NULL and @err */

struct tls_client_conf {
    const char *ca_pem;        /* trust anchor, or NULL: then the pin, or without one what this machine trusts (or SSL_CERT_FILE) */
    const uint8_t *pin;        /* SHA-256 of the SPKI of a certificate in the chain that signs the leaf; or NULL */
    const char *expect_uri;    /* URI SAN the leaf must carry; NULL: not checked. A trailing '*' matches any end */
    const char *expect_host;   /* DNS/IP the leaf must match; NULL: not checked */
    const char *cert_pem, *key_pem; /* client certificate, or NULL */
    const char *const *alpn;
    bool allow_tls12;          /* also with a client certificate (without one it is allowed anyway) */
    bool skip_verify;          /* takes any certificate: only where an operator asked for exactly that */
};
struct tls_ctx *tls_client_new(const struct tls_client_conf *conf, struct err *err);
void tls_ctx_free(struct tls_ctx *t);
DEFINE_AUTO(struct tls_ctx *, tls_ctx_free)
/* PEM of the chain certificate that matched the pin, after a handshake with a pin (for the agent to keep);
 * lent until the context is freed, NULL before. */
const char *tls_pinned_ca(const struct tls_ctx *t);

/* Who is at the other end, once the handshake is done. The certificate itself is dropped. */
struct tls_peer {
    bool is_tls;
    bool has_key;               /* it has the private key to spki_sha256; who it is, nobody says */
    bool has_cert;              /* and its certificate is chained to our CA and within its time: the rest is true */
    uint8_t spki_sha256[SHA256_LEN];
    char uri[PKI_URI_MAX];
    char serial[PKI_SERIAL_HEX_MAX];
    usec_t not_after;
};

/* Slugs a failed client connect reports: "tls.pin" (no certificate matches the pin), "tls.untrusted", "tls.clock"
 * (not yet valid or expired: says by how much), "tls.name", "tls.refused" (the server refused our certificate),
 * "tls.protocol". */

#endif
