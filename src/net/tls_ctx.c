/* net/tls_ctx.c - certificates, keys, ALPN and how the other side is verified. Loop thread. */
#include "net/tls_ctx.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "net/tls.h"

DEFINE_AUTO(BIO *, BIO_free_all)
DEFINE_AUTO(X509 *, X509_free)
DEFINE_AUTO(EVP_PKEY *, EVP_PKEY_free)
DEFINE_AUTO(X509_STORE *, X509_STORE_free)
DEFINE_AUTO(X509_STORE_CTX *, X509_STORE_CTX_free)
DEFINE_AUTO(GENERAL_NAMES *, GENERAL_NAMES_free)

enum { DEPTH_MAX = 4, CHAIN_MAX_BYTES = 16 << 10, KEY_BITS_MIN = 112 /* RSA 2048; NIST SP 800-57 */ };

struct tls_ctx *tls_ctx_ref(struct tls_ctx *t)
{
    t->refs++;
    return t;
}

void tls_ctx_free(struct tls_ctx *t)
{
    if (!t || --t->refs > 0)
        return;
    SSL_CTX_free(t->ssl);
    X509_STORE_free(t->ca);
    free(t->expect_uri);
    free(t->expect_host);
    free(t->pinned_pem);
    free(t->alpn);
    free(t);
}

const char *tls_pinned_ca(const struct tls_ctx *t)
{
    return t->pinned_pem;
}

static int fail(struct err *err, const char *what)
{
    const char *why = ERR_reason_error_string(ERR_peek_error());

    err_set(err, -EINVAL, "tls.config", "%s: %s", what, why ? why : "not usable");
    ERR_clear_error();
    return -EINVAL;
}

/* -- reading a certificate */
static int spki_digest(X509 *x, uint8_t ret[SHA256_LEN])
{
    uint8_t *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);

    if (n <= 0)
        return -EBADMSG;
    sha256(str_bytes(der, (size_t)n), ret);
    OPENSSL_free(der);
    return 0;
}

static void read_uri(X509 *x, char *dst, size_t size)
{
    AUTO(GENERAL_NAMES_free) GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);

    dst[0] = '\0';
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);

        if (g->type != GEN_URI)
            continue;
        const ASN1_STRING *s = g->d.uniformResourceIdentifier;
        struct str uri = str_bytes(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));

        /* Two URIs are two identities: then it has none. */
        if (dst[0] != '\0' || str_has_nul(uri) || str_copy(uri, dst, size) < 0) {
            dst[0] = '\0';
            return;
        }
    }
}

static usec_t time_of(const ASN1_TIME *t)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(t, &tm) != 1)
        return 0;
    time_t s = timegm(&tm);

    return s < 0 ? 0 : (usec_t)s * USEC_PER_SEC;
}

/* The handshake goes on to check that it holds the key (RFC 8446 section 4.4.3, RFC 5246 section 7.4.8). */
static struct tls_peer *read_key(X509 *leaf)
{
    AUTO_FREE struct tls_peer *p = xnew0(struct tls_peer);

    p->is_tls = p->has_key = true;
    return spki_digest(leaf, p->spki_sha256) < 0 ? NULL : TAKE(p);
}

static struct tls_peer *read_peer(X509 *leaf)
{
    AUTO_FREE struct tls_peer *p = read_key(leaf);
    const ASN1_INTEGER *serial = X509_get0_serialNumber(leaf);
    size_t n = (size_t)ASN1_STRING_length(serial);

    if (!p || n * 2 + 1 > sizeof(p->serial))
        return NULL;
    p->has_cert = true;
    hex_encode(ASN1_STRING_get0_data(serial), n, p->serial);
    read_uri(leaf, p->uri, sizeof(p->uri));
    p->not_after = time_of(X509_get0_notAfter(leaf));
    return TAKE(p);
}

/* -- verification */
static bool uri_matches(const char *uri, const char *want)
{
    size_t n = strlen(want);

    if (n > 0 && want[n - 1] == '*')
        return strncmp(uri, want, n - 1) == 0 && uri[0] != '\0';
    return strcmp(uri, want) == 0;
}

static void say_clock(struct err *err, X509 *x, int code)
{
    char age[CLOCK_TEXT_MAX];
    usec_t now = clock_wall(&clock_real);
    bool early = code == X509_V_ERR_CERT_NOT_YET_VALID;
    usec_t edge = time_of(early ? X509_get0_notBefore(x) : X509_get0_notAfter(x));

    clock_format_age(edge > now ? edge - now : now - edge, age);
    err_set(err, -EKEYEXPIRED, "tls.clock", early ? "the peer's certificate is not valid before %s from now: is a clock "
                                                    "wrong?" : "the peer's certificate expired %s ago: is a clock wrong?",
            age);
}

/* A chain of its own context, so that OpenSSL keeps no verified chain with the connection. */
static int verify_chain(X509_STORE *store, X509 *leaf, STACK_OF(X509) *untrusted, int purpose, struct err *err)
{
    AUTO(X509_STORE_CTX_free) X509_STORE_CTX *c = X509_STORE_CTX_new();
    int code;

    if (!c || X509_STORE_CTX_init(c, store, leaf, untrusted) != 1)
        return X509_V_ERR_UNSPECIFIED;
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(c);

    X509_VERIFY_PARAM_set_purpose(param, purpose);
    X509_VERIFY_PARAM_set_depth(param, DEPTH_MAX);
    if (X509_verify_cert(c) == 1)
        return X509_V_OK;
    code = X509_STORE_CTX_get_error(c);
    if (code == X509_V_OK)
        code = X509_V_ERR_UNSPECIFIED;
    if (code == X509_V_ERR_CERT_HAS_EXPIRED || code == X509_V_ERR_CERT_NOT_YET_VALID)
        say_clock(err, X509_STORE_CTX_get_current_cert(c), code);
    else
        err_set(err, -EACCES, "tls.untrusted", "the peer's certificate does not verify: %s",
                X509_verify_cert_error_string(code));
    return code;
}

static X509 *find_pinned(STACK_OF(X509) *chain, const uint8_t pin[SHA256_LEN])
{
    uint8_t digest[SHA256_LEN];

    for (int i = 0; i < sk_X509_num(chain); i++) {
        X509 *x = sk_X509_value(chain, i);

        if (spki_digest(x, digest) == 0 && secret_eq(str_bytes(digest, SHA256_LEN), str_bytes(pin, SHA256_LEN)))
            return x;
    }
    return NULL;
}

static char *to_pem(X509 *x)
{
    AUTO(BIO_free_all) BIO *b = BIO_new(BIO_s_mem());
    char *p;
    long n;

    if (!b || PEM_write_bio_X509(b, x) != 1)
        return NULL;
    n = BIO_get_mem_data(b, &p);
    return xstrndup(p, (size_t)n);
}

static int verify_server(struct tls_ctx *ctx, X509 *leaf, STACK_OF(X509) *chain, struct err *err)
{
    AUTO(X509_STORE_free) X509_STORE *anchor = NULL;
    X509_STORE *store = ctx->ca;
    X509 *pinned = NULL;
    char uri[PKI_URI_MAX];
    int code;

    if (ctx->has_pin) {
        pinned = find_pinned(chain, ctx->pin);
        if (!pinned) {
            err_set(err, -EACCES, "tls.pin", "no certificate of the server matches the pinned key: wrong server, or its "
                                             "CA was replaced");
            return X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN;
        }
        /* The pinned certificate must really sign the leaf: it alone is the anchor. */
        anchor = X509_STORE_new();
        if (!anchor || X509_STORE_add_cert(anchor, pinned) != 1)
            return X509_V_ERR_OUT_OF_MEM;
        X509_STORE_set_flags(anchor, X509_V_FLAG_PARTIAL_CHAIN);
        store = anchor;
    }
    code = verify_chain(store, leaf, chain, X509_PURPOSE_SSL_SERVER, err);
    if (code != X509_V_OK)
        return code;
    read_uri(leaf, uri, sizeof(uri));
    if (ctx->expect_uri && !uri_matches(uri, ctx->expect_uri)) {
        err_set(err, -EACCES, "tls.name", "the server calls itself \"%s\", expected \"%s\"", uri, ctx->expect_uri);
        return X509_V_ERR_HOSTNAME_MISMATCH;
    }
    if (ctx->expect_host && X509_check_host(leaf, ctx->expect_host, 0, 0, NULL) != 1 &&
        X509_check_ip_asc(leaf, ctx->expect_host, 0) != 1) {
        err_set(err, -EACCES, "tls.name", "the server's certificate is not for \"%s\"", ctx->expect_host);
        return X509_V_ERR_HOSTNAME_MISMATCH;
    }
    if (pinned) {
        free(ctx->pinned_pem);
        ctx->pinned_pem = to_pem(pinned);
    }
    return X509_V_OK;
}

static int on_verify(X509_STORE_CTX *c, void *arg)
{
    struct tls_ctx *ctx = arg;
    struct err *err = NULL;
    struct tls *t = tls__verifying(&err);
    X509 *leaf = X509_STORE_CTX_get0_cert(c);
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(c);
    int code;

    if (!t || !leaf)
        return 0;
    if (ctx->any_client_cert) /* OpenSSL's own check of strength is one of those that this function takes the place of */
        code = EVP_PKEY_get_security_bits(X509_get0_pubkey(leaf)) < KEY_BITS_MIN ? X509_V_ERR_EE_KEY_TOO_SMALL : X509_V_OK;
    else if (ctx->is_server)
        code = ctx->ca ? verify_chain(ctx->ca, leaf, chain, X509_PURPOSE_SSL_CLIENT, err) : X509_V_ERR_UNSPECIFIED;
    else
        code = ctx->skip_verify ? X509_V_OK : verify_server(ctx, leaf, chain, err);
    if (code == X509_V_OK) {
        free(t->peer);
        t->peer = ctx->any_client_cert ? read_key(leaf) : read_peer(leaf);
        if (!t->peer)
            code = X509_V_ERR_UNSPECIFIED;
    }
    X509_STORE_CTX_set_error(c, code);
    return code == X509_V_OK;
}

/* -- ALPN */
static void set_alpn(struct tls_ctx *t, const char *const *list)
{
    size_t n = 0;

    for (size_t i = 0; list && list[i]; i++)
        n += 1 + strlen(list[i]);
    if (n == 0)
        return;
    t->alpn = xmalloc(n);
    for (size_t i = 0; list[i]; i++) {
        size_t len = strlen(list[i]);

        assert(len > 0 && len < 256);
        t->alpn[t->alpn_len++] = (uint8_t)len;
        memcpy(t->alpn + t->alpn_len, list[i], len);
        t->alpn_len += (unsigned)len;
    }
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len,
                   void *arg)
{
    struct tls_ctx *t = arg;
    unsigned char *chosen = NULL;

    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_len, t->alpn, t->alpn_len, in, in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 section 3.2 */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* -- making one */
/* A key that needs a pass phrase is not usable: OpenSSL would ask for it on the terminal. */
static int no_phrase(char *buf, int size, int is_writing, void *arg)
{
    (void)buf, (void)size, (void)is_writing, (void)arg;
    return -1;
}

static int use_cert(struct tls_ctx *t, const char *cert_pem, const char *key_pem, struct err *err)
{
    AUTO(BIO_free_all) BIO *cb = BIO_new_mem_buf(cert_pem, -1);
    AUTO(BIO_free_all) BIO *kb = BIO_new_mem_buf(key_pem, -1);
    AUTO(X509_free) X509 *leaf = cb ? PEM_read_bio_X509(cb, NULL, NULL, NULL) : NULL;
    AUTO(EVP_PKEY_free) EVP_PKEY *key = kb ? PEM_read_bio_PrivateKey(kb, NULL, no_phrase, NULL) : NULL;
    X509 *more;

    if (!leaf)
        return fail(err, "the certificate");
    if (!key)
        return fail(err, "the private key");
    if (SSL_CTX_use_certificate(t->ssl, leaf) != 1)
        return fail(err, "the certificate");
    if (SSL_CTX_use_PrivateKey(t->ssl, key) != 1 || SSL_CTX_check_private_key(t->ssl) != 1)
        return fail(err, "the private key does not belong to the certificate");
    while ((more = PEM_read_bio_X509(cb, NULL, NULL, NULL))) {
        if (SSL_CTX_add0_chain_cert(t->ssl, more) != 1) {
            X509_free(more);
            return fail(err, "the certificate chain");
        }
    }
    ERR_clear_error(); /* "no start line" ends the loop above */
    return 0;
}

static int use_ca(struct tls_ctx *t, const char *pem, bool announce, struct err *err)
{
    AUTO(BIO_free_all) BIO *b = BIO_new_mem_buf(pem, -1);
    AUTO(X509_STORE_free) X509_STORE *store = X509_STORE_new();
    X509 *x;
    int n = 0;

    if (!b || !store)
        return fail(err, "the CA");
    while ((x = PEM_read_bio_X509(b, NULL, NULL, NULL))) {
        bool ok = X509_STORE_add_cert(store, x) == 1 && (!announce || SSL_CTX_add_client_CA(t->ssl, x) == 1);

        X509_free(x);
        if (!ok)
            return fail(err, "the CA certificate");
        n++;
    }
    ERR_clear_error();
    if (n == 0)
        return fail(err, "the CA certificate");
    t->ca = TAKE(store);
    return 0;
}

static struct tls_ctx *ctx_new(bool is_server, const char *const *alpn, bool allow_tls12)
{
    struct tls_ctx *t = xnew0(struct tls_ctx);

    ERR_clear_error();
    t->refs = 1;
    t->is_server = is_server;
    t->ssl = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    assert(t->ssl);
    SSL_CTX_set_min_proto_version(t->ssl, allow_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION);
    SSL_CTX_set_mode(t->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(t->ssl, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                    SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(t->ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(t->ssl, 0);
    SSL_CTX_set_max_cert_list(t->ssl, CHAIN_MAX_BYTES);
    SSL_CTX_set1_groups_list(t->ssl, "X25519:P-256");
    /* 128 bits first: as safe in practice, and the key schedule and the transcript hash are the cheaper ones. */
    SSL_CTX_set_ciphersuites(t->ssl, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384");
    SSL_CTX_set_cipher_list(t->ssl, "ECDHE+AESGCM:ECDHE+CHACHA20");
    SSL_CTX_set_cert_verify_callback(t->ssl, on_verify, t);
    set_alpn(t, alpn);
    return t;
}

struct tls_ctx *tls_server_new(const struct tls_server_conf *conf, struct err *err)
{
    AUTO(tls_ctx_free) struct tls_ctx *t = ctx_new(true, conf->alpn, conf->allow_tls12);

    if (use_cert(t, conf->cert_pem, conf->key_pem, err) < 0)
        return NULL;
    if (conf->ca_pem && use_ca(t, conf->ca_pem, conf->ask_client_cert, err) < 0)
        return NULL;
    t->any_client_cert = conf->any_client_cert;
    /* Asked for, not required: without one only Enroll answers. A bad one ends the handshake with an alert. The CA stands in the
     * question even where anybody's will do: a browser then asks its user nothing, having none of that CA, and clients that were
     * given one certificate send it all the same. */
    SSL_CTX_set_verify(t->ssl, conf->ask_client_cert ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_keylog_callback(t->ssl, tls__on_secret);
    if (t->alpn)
        SSL_CTX_set_alpn_select_cb(t->ssl, on_alpn, t);
    return TAKE(t);
}

/* Where distributions keep the CA certificates they trust. OpenSSL knows the place on the system that it was built for only, and a program
 * without shared libraries runs on others. */
static const char *const trust_files[] = {
    "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Ubuntu, Arch, Gentoo, Alpine */
    "/etc/pki/tls/certs/ca-bundle.crt",                  /* Fedora, RHEL and kin */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* the same, where the first name has gone */
    "/etc/ssl/ca-bundle.pem",                            /* openSUSE */
    "/etc/ssl/cert.pem",
};

/* SSL_CERT_FILE and SSL_CERT_DIR, or OpenSSL's own places if there are any, or the first of the table. None is no error: then nobody is
 * trusted, and the handshake says so. */
static int trust_the_system(X509_STORE *store)
{
    const char *file = getenv(X509_get_default_cert_file_env()), *dir = getenv(X509_get_default_cert_dir_env());
    bool has_place = file || dir || access(X509_get_default_cert_file(), R_OK) == 0 || access(X509_get_default_cert_dir(), R_OK) == 0;

    if (X509_STORE_set_default_paths(store) != 1)
        return -EINVAL;
    for (size_t i = 0; !has_place && i < ARRAY_SIZE(trust_files); i++) {
        if (access(trust_files[i], R_OK) == 0)
            return X509_STORE_load_file(store, trust_files[i]) == 1 ? 0 : -EINVAL;
    }
    return 0;
}

struct tls_ctx *tls_client_new(const struct tls_client_conf *conf, struct err *err)
{
    AUTO(tls_ctx_free) struct tls_ctx *t = ctx_new(false, conf->alpn, conf->allow_tls12 || conf->cert_pem == NULL);

    if (conf->cert_pem && use_cert(t, conf->cert_pem, conf->key_pem, err) < 0)
        return NULL;
    if (conf->ca_pem && use_ca(t, conf->ca_pem, false, err) < 0)
        return NULL;
    t->skip_verify = conf->skip_verify;
    if (!conf->ca_pem && !conf->pin && !conf->skip_verify) {
        /* Neither: the machine's own trust decides (webhooks to the world), never nobody. */
        t->ca = X509_STORE_new();
        if (!t->ca || trust_the_system(t->ca) < 0) {
            fail(err, "the system's CA certificates");
            return NULL;
        }
    }
    if (conf->pin) {
        t->has_pin = true;
        memcpy(t->pin, conf->pin, SHA256_LEN);
    }
    t->expect_uri = conf->expect_uri ? xstrdup(conf->expect_uri) : NULL;
    t->expect_host = conf->expect_host ? xstrdup(conf->expect_host) : NULL;
    SSL_CTX_set_verify(t->ssl, SSL_VERIFY_PEER, NULL);
    if (t->alpn && SSL_CTX_set_alpn_protos(t->ssl, t->alpn, t->alpn_len) != 0) {
        fail(err, "ALPN");
        return NULL;
    }
    return TAKE(t);
}
