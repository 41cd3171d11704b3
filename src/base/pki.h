/* base/pki.h - keys, certificate requests and certificates over libcrypto's X.509. PEM in, PEM out: no
 * libcrypto type leaves this file. CPU only, no files, no clock (times are arguments). Any thread. */
#ifndef MUSTER_PKI_H
#define MUSTER_PKI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/err.h"

enum { PKI_URI_MAX = 256, PKI_SERIAL_HEX_MAX = 48 };

/* What a certificate says; filled by pki_cert_read(). */
struct pki_cert {
    char uri[PKI_URI_MAX];           /* the single URI SAN, or "" */
    char serial[PKI_SERIAL_HEX_MAX]; /* lower-case hex */
    uint8_t spki_sha256[SHA256_LEN];
    usec_t not_before, not_after; /* wall */
    bool is_ca;
};

/* A new private key, PKCS#8 PEM, malloced: release with secret_free(). */
char *pki_key_ed25519(void);
char *pki_key_p256(void);

/* Self-signed CA (P-256), CN @name, valid @valid from one day before @now. Malloced PEM, or NULL and @err. */
char *pki_ca_new(const char *key_pem, const char *name, usec_t now, usec_t valid, struct err *err);
/* A PKCS#10 request for @key_pem with CN @name. Malloced PEM, or NULL and @err. */
char *pki_csr_new(const char *key_pem, const char *name, struct err *err);
/* Checks the request's own signature and that the key is Ed25519 or P-256; gives the SHA-256 of its SPKI.
 * Cap 16 KiB. 0, or -EBADMSG / -EINVAL and @err ("csr.bad"). */
int pki_csr_check(struct str csr_pem, uint8_t ret_spki_sha256[SHA256_LEN], struct err *err);

struct pki_issue {
    const char *ca_cert_pem, *ca_key_pem;
    const char *common_name;
    const char *uri;                 /* URI SAN */
    const char *const *dns;          /* NULL-terminated extra DNS/IP SANs, may be NULL */
    usec_t not_before, not_after;
    bool is_server;                  /* extended key usage serverAuth, else clientAuth */
};
/* Signs the key of a request, or a key of our own. Malloced PEM, or NULL and @err. Serial: 16 random bytes. */
char *pki_issue_csr(const struct pki_issue *is, struct str csr_pem, struct err *err);
char *pki_issue_key(const struct pki_issue *is, const char *key_pem, struct err *err);

/* Reads the first certificate in @pem. 0 or -EBADMSG. */
int pki_cert_read(struct str pem, struct pki_cert *ret, struct err *err);
/* SHA-256 of the SubjectPublicKeyInfo of a private key. 0 or -EBADMSG. */
int pki_key_spki(const char *key_pem, uint8_t ret[SHA256_LEN]);

#endif
