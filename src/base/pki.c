/* base/pki.c - see pki.h.
 *
 *   CA      P-256, self-signed, basicConstraints critical CA:TRUE pathlen 0, keyUsage keyCertSign cRLSign
 *   server  P-256, EKU serverAuth, URI spiffe://<fleet>/server, DNS and IP names
 *   host    Ed25519, EKU clientAuth, URI spiffe://<fleet>/host/<uuid>
 *
 * All signatures are ECDSA with SHA-256 by the CA; only a request is signed by its own key. */
#include "base/pki.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"

enum { CSR_MAX = 16 << 10, SERIAL_LEN = 16 };

DEFINE_AUTO(EVP_PKEY *, EVP_PKEY_free)
DEFINE_AUTO(X509 *, X509_free)
DEFINE_AUTO(X509_REQ *, X509_REQ_free)
DEFINE_AUTO(X509_NAME *, X509_NAME_free)
DEFINE_AUTO(BIO *, BIO_free_all)
DEFINE_AUTO(GENERAL_NAMES *, GENERAL_NAMES_free)

/* Says why, and leaves libcrypto's per-thread error queue empty for the next caller (TLS reads it). */
static int fail(struct err *err, int code, const char *slug, const char *what)
{
    unsigned long e = ERR_peek_last_error();
    const char *why = e ? ERR_reason_error_string(e) : NULL;
    err_set(err, code, slug, why ? "%s: %s" : "%s", what, why);
    ERR_clear_error();
    return code;
}

/* -- PEM */

static BIO *bio_of(struct str s)
{
    if (s.len == 0 || s.len > INT32_MAX)
        return NULL;
    return BIO_new_mem_buf(s.ptr, (int)s.len);
}

static char *bio_text(BIO *bio)
{
    char *p = NULL;
    long n = BIO_get_mem_data(bio, &p);
    return n > 0 ? xstrndup(p, (size_t)n) : NULL;
}

/* An encrypted key must fail, not ask the terminal for a password. */
static int no_password(char *buf, int size, int rwflag, void *u)
{
    (void)buf, (void)size, (void)rwflag, (void)u;
    return -1;
}

static EVP_PKEY *key_read(const char *pem)
{
    AUTO(BIO_free_all) BIO *bio = bio_of(str_of(pem));
    return bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
}

static X509 *cert_read(struct str pem)
{
    AUTO(BIO_free_all) BIO *bio = bio_of(pem);
    return bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
}

static char *cert_text(X509 *cert, struct err *err)
{
    AUTO(BIO_free_all) BIO *bio = BIO_new(BIO_s_mem());
    if (bio && PEM_write_bio_X509(bio, cert) > 0)
        return bio_text(bio);
    fail(err, -EINVAL, "cert.write", "cannot write the certificate");
    return NULL;
}

/* -- keys */

static char *key_text(EVP_PKEY *key)
{
    AUTO(BIO_free_all) BIO *bio = BIO_new(BIO_s_secmem());
    if (!key || !bio || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) <= 0)
        abort(); /* no memory, or no libcrypto worth the name */
    return bio_text(bio);
}

char *pki_key_ed25519(void)
{
    AUTO(EVP_PKEY_free) EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    return key_text(key);
}

char *pki_key_p256(void)
{
    AUTO(EVP_PKEY_free) EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    return key_text(key);
}

static bool is_ed25519(const EVP_PKEY *key)
{
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519;
}

static bool is_allowed_key(const EVP_PKEY *key)
{
    char group[32];
    size_t n = 0;
    if (is_ed25519(key))
        return true;
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
           EVP_PKEY_get_group_name(key, group, sizeof(group), &n) && strcmp(group, "prime256v1") == 0;
}

static int spki_of(const EVP_PKEY *key, uint8_t ret[SHA256_LEN])
{
    uint8_t *der = NULL;
    int n = i2d_PUBKEY(key, &der);
    if (n <= 0)
        return -EBADMSG;
    sha256(str_bytes(der, (size_t)n), ret);
    OPENSSL_free(der);
    return 0;
}

int pki_key_spki(const char *key_pem, uint8_t ret[SHA256_LEN])
{
    AUTO(EVP_PKEY_free) EVP_PKEY *key = key_read(key_pem);
    if (key)
        return spki_of(key, ret);
    ERR_clear_error();
    return -EBADMSG;
}

/* -- building certificates */

static bool set_time(ASN1_TIME *t, usec_t wall)
{
    return ASN1_TIME_set(t, (time_t)(wall / USEC_PER_SEC)) != NULL;
}

static bool set_serial(X509 *cert)
{
    uint8_t bytes[SERIAL_LEN];
    rand_bytes(bytes, sizeof(bytes));
    bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40); /* positive, and always 16 bytes long */
    BIGNUM *n = BN_bin2bn(bytes, sizeof(bytes), NULL);
    bool is_ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
    BN_free(n);
    return is_ok;
}

static X509_NAME *name_of_cn(const char *cn)
{
    X509_NAME *name = X509_NAME_new();
    /* ub-common-name is 64 (RFC 5280 appendix A): a longer one is cut, the SAN is what counts */
    size_t n = strlen(cn) > 64 ? utf8_whole_prefix(str_bytes(cn, 64)) : strlen(cn);
    if (name && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)cn, (int)n, -1, 0))
        return name;
    X509_NAME_free(name);
    return NULL;
}

static bool add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool is_ok = ext && X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    return is_ok;
}

/* Appends one name; built as a structure, since libcrypto's text form ("DNS:a,IP:b") would let a comma in a
 * name smuggle a second one in. */
static bool add_name(GENERAL_NAMES *names, int type, const void *p, size_t n)
{
    GENERAL_NAME *gn = GENERAL_NAME_new();
    ASN1_STRING *s = type == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    if (!gn || !s || !ASN1_STRING_set(s, p, (int)n)) {
        GENERAL_NAME_free(gn);
        ASN1_STRING_free(s);
        return false;
    }
    GENERAL_NAME_set0_value(gn, type, s);
    if (sk_GENERAL_NAME_push(names, gn) > 0)
        return true;
    GENERAL_NAME_free(gn);
    return false;
}

static bool add_host_name(GENERAL_NAMES *names, const char *host)
{
    uint8_t ip[16];
    if (inet_pton(AF_INET, host, ip) == 1)
        return add_name(names, GEN_IPADD, ip, 4);
    if (inet_pton(AF_INET6, host, ip) == 1)
        return add_name(names, GEN_IPADD, ip, 16);
    return add_name(names, GEN_DNS, host, strlen(host));
}

static bool add_alt_names(X509 *cert, const struct pki_issue *is)
{
    AUTO(GENERAL_NAMES_free) GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    if (!names)
        return false;
    if (is->uri && *is->uri && !add_name(names, GEN_URI, is->uri, strlen(is->uri)))
        return false;
    for (const char *const *d = is->dns; d && *d; d++)
        if (**d && !add_host_name(names, *d))
            return false;
    return sk_GENERAL_NAME_num(names) == 0 ||
           X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) > 0;
}

/* A certificate with everything but extensions and signature. */
static X509 *cert_new(EVP_PKEY *key, const char *cn, const X509_NAME *issuer, usec_t from, usec_t to)
{
    AUTO(X509_free) X509 *cert = X509_new();
    AUTO(X509_NAME_free) X509_NAME *name = name_of_cn(cn ? cn : "");
    if (!cert || !name || !X509_set_version(cert, X509_VERSION_3) || !set_serial(cert) ||
        !X509_set_subject_name(cert, name) || !X509_set_issuer_name(cert, issuer ? issuer : name) ||
        !set_time(X509_getm_notBefore(cert), from) || !set_time(X509_getm_notAfter(cert), to) ||
        !X509_set_pubkey(cert, key))
        return NULL;
    return TAKE(cert);
}

char *pki_ca_new(const char *key_pem, const char *name, usec_t now, usec_t valid, struct err *err)
{
    AUTO(EVP_PKEY_free) EVP_PKEY *key = key_read(key_pem);
    if (!key || !is_allowed_key(key) || is_ed25519(key)) {
        fail(err, -EINVAL, "ca.key", "the CA key must be a P-256 key in PEM");
        return NULL;
    }
    usec_t from = now > USEC_PER_DAY ? now - USEC_PER_DAY : 0; /* for hosts whose clock is behind */
    AUTO(X509_free) X509 *cert = cert_new(key, name, NULL, from, now + valid);
    if (!cert || !add_ext(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !add_ext(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !add_ext(cert, cert, NID_subject_key_identifier, "hash") ||
        !add_ext(cert, cert, NID_authority_key_identifier, "keyid") || !X509_sign(cert, key, EVP_sha256())) {
        fail(err, -EINVAL, "ca.make", "cannot make the CA certificate");
        return NULL;
    }
    return cert_text(cert, err);
}

static char *issue(const struct pki_issue *is, EVP_PKEY *key, struct err *err)
{
    AUTO(X509_free) X509 *ca = cert_read(str_of(is->ca_cert_pem));
    AUTO(EVP_PKEY_free) EVP_PKEY *ca_key = key_read(is->ca_key_pem);
    if (!ca || !ca_key || X509_check_private_key(ca, ca_key) != 1) {
        fail(err, -EINVAL, "ca.key", "CA certificate and CA key cannot be read or do not belong together");
        return NULL;
    }
    AUTO(X509_free)
    X509 *cert = cert_new(key, is->common_name, X509_get_subject_name(ca), is->not_before, is->not_after);
    if (!cert || !add_ext(cert, ca, NID_basic_constraints, "critical,CA:FALSE") ||
        !add_ext(cert, ca, NID_key_usage, "critical,digitalSignature") ||
        !add_ext(cert, ca, NID_ext_key_usage, is->is_server ? "serverAuth" : "clientAuth") ||
        !add_ext(cert, ca, NID_subject_key_identifier, "hash") ||
        !add_ext(cert, ca, NID_authority_key_identifier, "keyid:always") || !add_alt_names(cert, is) ||
        !X509_sign(cert, ca_key, is_ed25519(ca_key) ? NULL : EVP_sha256())) {
        fail(err, -EINVAL, "cert.issue", "cannot issue the certificate");
        return NULL;
    }
    return cert_text(cert, err);
}

char *pki_issue_key(const struct pki_issue *is, const char *key_pem, struct err *err)
{
    AUTO(EVP_PKEY_free) EVP_PKEY *key = key_read(key_pem);
    if (!key) {
        fail(err, -EINVAL, "key.bad", "the private key cannot be read");
        return NULL;
    }
    return issue(is, key, err);
}

/* -- requests */

char *pki_csr_new(const char *key_pem, const char *name, struct err *err)
{
    AUTO(EVP_PKEY_free) EVP_PKEY *key = key_read(key_pem);
    AUTO(X509_REQ_free) X509_REQ *req = X509_REQ_new();
    AUTO(X509_NAME_free) X509_NAME *subject = name_of_cn(name ? name : "");
    AUTO(BIO_free_all) BIO *bio = BIO_new(BIO_s_mem());
    if (!key || !req || !subject || !bio || !X509_REQ_set_version(req, X509_REQ_VERSION_1) ||
        !X509_REQ_set_subject_name(req, subject) || !X509_REQ_set_pubkey(req, key) ||
        !X509_REQ_sign(req, key, is_ed25519(key) ? NULL : EVP_sha256()) ||
        PEM_write_bio_X509_REQ(bio, req) <= 0) {
        fail(err, -EINVAL, "csr.make", "cannot make the certificate request");
        return NULL;
    }
    return bio_text(bio);
}

/* Reads and checks a request; gives its key, referenced. */
static int csr_key(struct str pem, EVP_PKEY **ret, struct err *err)
{
    if (pem.len > CSR_MAX)
        return err_set(err, -EINVAL, "csr.bad", "the certificate request is larger than %d bytes", CSR_MAX);
    AUTO(BIO_free_all) BIO *bio = bio_of(pem);
    AUTO(X509_REQ_free) X509_REQ *req = bio ? PEM_read_bio_X509_REQ(bio, NULL, no_password, NULL) : NULL;
    if (!req)
        return fail(err, -EBADMSG, "csr.bad", "the certificate request cannot be read");
    EVP_PKEY *key = X509_REQ_get0_pubkey(req);
    if (!key || !is_allowed_key(key))
        return fail(err, -EINVAL, "csr.bad",
                    "the key of the certificate request is neither Ed25519 nor P-256");
    if (X509_REQ_verify(req, key) != 1)
        return fail(err, -EBADMSG, "csr.bad", "the certificate request is not signed by its own key");
    EVP_PKEY_up_ref(key);
    *ret = key;
    return 0;
}

int pki_csr_check(struct str csr_pem, uint8_t ret_spki_sha256[SHA256_LEN], struct err *err)
{
    AUTO(EVP_PKEY_free) EVP_PKEY *key = NULL;
    int r = csr_key(csr_pem, &key, err);
    if (r < 0)
        return r;
    r = spki_of(key, ret_spki_sha256);
    return r < 0 ? fail(err, r, "csr.bad", "the key of the certificate request cannot be read") : 0;
}

char *pki_issue_csr(const struct pki_issue *is, struct str csr_pem, struct err *err)
{
    AUTO(EVP_PKEY_free) EVP_PKEY *key = NULL;
    if (csr_key(csr_pem, &key, err) < 0)
        return NULL;
    return issue(is, key, err);
}

/* -- reading */

static int read_uri(X509 *cert, char *ret)
{
    AUTO(GENERAL_NAMES_free) GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int n_uris = 0;
    ret[0] = '\0';
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *gn = sk_GENERAL_NAME_value(names, i);
        if (gn->type != GEN_URI)
            continue;
        const ASN1_IA5STRING *uri = gn->d.uniformResourceIdentifier;
        struct str s = str_bytes(ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri));
        /* two identities, or one with a NUL in it, is none */
        if (++n_uris > 1 || str_has_nul(s) || str_copy(s, ret, PKI_URI_MAX) < 0) {
            ret[0] = '\0';
            return -EBADMSG;
        }
    }
    return 0;
}

static int read_time(const ASN1_TIME *t, usec_t *ret)
{
    struct tm tm;
    if (!ASN1_TIME_to_tm(t, &tm))
        return -EBADMSG;
    time_t s = timegm(&tm);
    *ret = s > 0 ? (usec_t)s * USEC_PER_SEC : 0;
    return 0;
}

int pki_cert_read(struct str pem, struct pki_cert *ret, struct err *err)
{
    AUTO(X509_free) X509 *cert = cert_read(pem);
    if (!cert)
        return fail(err, -EBADMSG, "cert.bad", "the certificate cannot be read");
    struct pki_cert c = { 0 };
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    size_t n = (size_t)ASN1_STRING_length(serial);
    EVP_PKEY *key = X509_get0_pubkey(cert);
    if (n * 2 + 1 > sizeof(c.serial) || !key || spki_of(key, c.spki_sha256) < 0 ||
        read_uri(cert, c.uri) < 0 || read_time(X509_get0_notBefore(cert), &c.not_before) < 0 ||
        read_time(X509_get0_notAfter(cert), &c.not_after) < 0)
        return fail(err, -EBADMSG, "cert.bad", "the certificate says something we do not accept");
    hex_encode(ASN1_STRING_get0_data(serial), n, c.serial);
    c.is_ca = X509_check_ca(cert) == 1;
    *ret = c;
    return 0;
}
