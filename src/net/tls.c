/* net/tls.c - OpenSSL over shared scratch. Loop thread.
 *
 * What a connection keeps after its handshake decides how many agents fit into a machine, so here is what we do about
 * it (measured figures: docs/internals/connections.md):
 *  - the BIO has no buffer: it reads the lent slice, and writes to the loop's scratch, which always takes everything;
 *  - SSL_MODE_RELEASE_BUFFERS: the 17 KB record buffers exist only while a record is half there;
 *  - the peer's certificate is read once (URI, serial, key digest) and then dropped out of the session. OpenSSL 3.0
 *    has no call for that, but d2i_SSL_SESSION() into the live session replaces its certificate by what the encoding
 *    says - and ours, made from an empty session, says none. No ticket or cache will ever need the session again. */
#include "net/tls.h"

#include <assert.h>
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/mem.h"

/* -- the BIO */
static int bio_read_ex(BIO *b, char *dst, size_t room, size_t *ret)
{
    struct tls *t = BIO_get_data(b);
    size_t n = t->in_len < room ? t->in_len : room;

    BIO_clear_retry_flags(b);
    if (n == 0) {
        BIO_set_retry_read(b);
        return 0;
    }
    memcpy(dst, t->in, n);
    t->in += n;
    t->in_len -= n;
    *ret = n;
    return 1;
}

static int bio_write_ex(BIO *b, const char *src, size_t n, size_t *ret)
{
    struct tls *t = BIO_get_data(b);
    struct net_scratch *sc = t->sc;

    BIO_clear_retry_flags(b);
    if (sc->cipher_cap - sc->cipher_len < n) {
        sc->cipher_cap = sc->cipher_cap * 2 > sc->cipher_len + n ? sc->cipher_cap * 2 : sc->cipher_len + n;
        sc->cipher = xrealloc(sc->cipher, sc->cipher_cap);
    }
    memcpy(sc->cipher + sc->cipher_len, src, n);
    sc->cipher_len += n;
    *ret = n;
    return 1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    (void)b, (void)num, (void)ptr;
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static int bio_create(BIO *b)
{
    BIO_set_init(b, 1);
    return 1;
}

static const BIO_METHOD *bio_method(void)
{
    static BIO_METHOD *m; /* never freed: one for the process */

    if (!m) {
        BIO_METHOD *n = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "muster");

        assert(n);
        BIO_meth_set_read_ex(n, bio_read_ex);
        BIO_meth_set_write_ex(n, bio_write_ex);
        BIO_meth_set_ctrl(n, bio_ctrl);
        BIO_meth_set_create(n, bio_create);
        m = n;
    }
    return m;
}

struct tls *tls_new(struct loop *l, struct tls_ctx *ctx, const char *host)
{
    struct tls *t = xnew0(struct tls);
    BIO *b = BIO_new(bio_method());
    unsigned char ip[16];

    t->ctx = tls_ctx_ref(ctx);
    t->sc = loop__scratch(l);
    t->ssl = SSL_new(ctx->ssl);
    assert(b && t->ssl);
    BIO_set_data(b, t);
    SSL_set_bio(t->ssl, b, b);
    if (ctx->is_server) {
        SSL_set_accept_state(t->ssl);
    } else {
        SSL_set_connect_state(t->ssl);
        if (host && inet_pton(AF_INET, host, ip) != 1 && inet_pton(AF_INET6, host, ip) != 1)
            SSL_set_tlsext_host_name(t->ssl, host);
    }
    return t;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    tls_ctx_free(t->ctx);
    free(t->peer);
    free(t);
}

/* -- errors */
static bool is_refusal(int alert)
{
    switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_CERTIFICATE_REQUIRED:
        return true;
    default:
        return false;
    }
}

/* Turns OpenSSL's error queue into ours. What the verify callback said stands. */
static int fail(struct tls *t, struct err *err)
{
    unsigned long e = ERR_peek_error();
    int reason = ERR_GET_REASON(e);
    const char *why = ERR_reason_error_string(e);

    ERR_clear_error();
    if (err_is(err))
        return err->code;
    if (ERR_GET_LIB(e) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET && is_refusal(reason - SSL_AD_REASON_OFFSET))
        return err_set(err, -EACCES, "tls.refused", t->ctx->is_server ? "the client refused our certificate: %s"
                                                                       : "the server refused our certificate: %s",
                       why ? why : "no reason given");
    return err_set(err, -EPROTO, "tls.protocol", "TLS failed: %s", why ? why : "unexpected end");
}

/* -- after the handshake */

/* The encoding of a session that says nothing but its version and cipher, one per cipher in use. */
static const uint8_t *empty_session(SSL *ssl, long *ret_len)
{
    static _Thread_local struct {
        uint32_t cipher;
        uint8_t *der;
        int len;
    } known[4];
    const SSL_CIPHER *c = SSL_get_current_cipher(ssl);
    size_t i = 0;

    while (i < ARRAY_SIZE(known) && known[i].der && known[i].cipher != SSL_CIPHER_get_id(c))
        i++;
    if (i == ARRAY_SIZE(known))
        return NULL;
    if (!known[i].der) {
        SSL_SESSION *s = SSL_SESSION_new();

        if (s && SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION) && SSL_SESSION_set_cipher(s, c)) {
            known[i].cipher = SSL_CIPHER_get_id(c);
            known[i].len = i2d_SSL_SESSION(s, &known[i].der);
        }
        SSL_SESSION_free(s);
        if (known[i].len <= 0)
            return NULL;
    }
    *ret_len = known[i].len;
    return known[i].der;
}

static void drop_peer_chain(struct tls *t)
{
    SSL_SESSION *s = SSL_get0_session(t->ssl);
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(t->ssl);
    long len = 0;
    const uint8_t *der;

    if (SSL_version(t->ssl) != TLS1_3_VERSION || !s)
        return;
    while (chain && sk_X509_num(chain) > 0)
        X509_free(sk_X509_pop(chain));
    der = empty_session(t->ssl, &len);
    if (der)
        d2i_SSL_SESSION(&s, &der, len);
    ERR_clear_error();
}

/* The verify callback runs inside SSL_do_handshake() and finds its connection here: cheaper than an ex_data slot in
 * every connection. */
static _Thread_local struct {
    struct tls *t;
    struct err *err;
} verifying;

struct tls *tls__verifying(struct err **ret_err)
{
    *ret_err = verifying.err;
    return verifying.t;
}

int tls_handshake(struct tls *t, struct err *err)
{
    int r;

    ERR_clear_error();
    verifying.t = t;
    verifying.err = err;
    r = SSL_do_handshake(t->ssl);
    verifying.t = NULL;
    verifying.err = NULL;
    if (r == 1) {
        t->is_done = true;
        drop_peer_chain(t);
        return 1;
    }
    r = SSL_get_error(t->ssl, r);
    if (r == SSL_ERROR_WANT_READ)
        return 0;
    return fail(t, err);
}

int tls_read(struct tls *t, struct err *err)
{
    size_t n = 0;
    int r;

    ERR_clear_error();
    if (SSL_read_ex(t->ssl, t->sc->plain, sizeof(t->sc->plain), &n) == 1)
        return (int)n;
    r = SSL_get_error(t->ssl, 0);
    if (r == SSL_ERROR_WANT_READ)
        return 0;
    if (r == SSL_ERROR_ZERO_RETURN)
        return -EPIPE;
    return fail(t, err);
}

int tls_write(struct tls *t, const void *p, size_t n)
{
    size_t done = 0;

    ERR_clear_error();
    if (SSL_write_ex(t->ssl, p, n, &done) == 1 && done == n)
        return 0;
    ERR_clear_error();
    return -EPROTO;
}

void tls_bye(struct tls *t)
{
    ERR_clear_error();
    if (t->is_done)
        SSL_shutdown(t->ssl);
    ERR_clear_error();
}
