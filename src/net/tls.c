/* net/tls.c - OpenSSL over shared scratch. Loop thread.
 *
 * What a connection keeps after its handshake decides how many agents fit into a machine (measured figures:
 * docs/internals/connections.md). OpenSSL keeps 13 KB and the peer's certificates; so on the server side its object is freed
 * when the handshake is done, and tls_record.c does the records with the secrets the handshake ended in. They come
 * through the key log callback, OpenSSL's public way to them, go into the record layer, and are wiped. */
#include "net/tls.h"

#include <assert.h>
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "base/text.h"

/* -- the BIO */
/* Room for @n more bytes of records. */
static uint8_t *cipher_room(struct net_scratch *sc, size_t n)
{
    if (sc->cipher_cap - sc->cipher_len < n) {
        sc->cipher_cap = sc->cipher_cap * 2 > sc->cipher_len + n ? sc->cipher_cap * 2 : sc->cipher_len + n;
        sc->cipher = xrealloc(sc->cipher, sc->cipher_cap);
    }
    return sc->cipher + sc->cipher_len;
}

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
    memcpy(cipher_room(sc, n), src, n);
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
        t->secrets = xnew0(struct tls_secrets);
        SSL_set_accept_state(t->ssl);
    } else {
        SSL_set_connect_state(t->ssl);
        if (host && inet_pton(AF_INET, host, ip) != 1 && inet_pton(AF_INET6, host, ip) != 1)
            SSL_set_tlsext_host_name(t->ssl, host);
    }
    return t;
}

static void drop_secrets(struct tls *t)
{
    if (t->secrets)
        secret_wipe(t->secrets, sizeof(*t->secrets));
    free(TAKE(t->secrets));
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    drop_secrets(t);
    if (t->rec)
        tls_records_done(t->rec);
    free(t->rec);
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
static int suite_of(const SSL *ssl, enum tls_suite *ret)
{
    switch (SSL_CIPHER_get_id(SSL_get_current_cipher(ssl))) {
    case TLS1_3_CK_AES_128_GCM_SHA256:
        *ret = TLS_AES_128_GCM;
        return 0;
    case TLS1_3_CK_AES_256_GCM_SHA384:
        *ret = TLS_AES_256_GCM;
        return 0;
    case TLS1_3_CK_CHACHA20_POLY1305_SHA256:
        *ret = TLS_CHACHA20;
        return 0;
    default:
        return -EINVAL;
    }
}

/* No record was written with the application keys yet (we send no tickets), none was read (OpenSSL takes from the BIO what
 * the handshake needs and no more): both counters begin at 0. */
static void take_over(struct tls *t)
{
    struct tls_secrets *s = t->secrets;
    struct tls_records r;
    enum tls_suite suite;

    if (s && SSL_version(t->ssl) == TLS1_3_VERSION && s->n_client == s->n_server && !SSL_has_pending(t->ssl) &&
        suite_of(t->ssl, &suite) == 0 && tls_records_init(&r, suite, s->client, s->server, s->n_client) == 0) {
        t->rec = xmemdup(&r, sizeof(r));
        secret_wipe(&r, sizeof(r));
        SSL_free(TAKE(t->ssl));
    }
    drop_secrets(t);
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

void tls__on_secret(const SSL *ssl, const char *line)
{
    /* "SERVER_TRAFFIC_SECRET_0 <client random> <secret>", in hex */
    struct tls_secrets *s = verifying.t ? verifying.t->secrets : NULL;
    struct str rest = str_of(line), label, part, secret;

    (void)ssl;
    if (!s || !str_word(&rest, &label) || !str_word(&rest, &part) || !str_word(&rest, &secret) ||
        secret.len > TLS_SECRET_MAX * 2)
        return;
    if (str_is(label, "CLIENT_TRAFFIC_SECRET_0") && hex_decode(secret, s->client, secret.len / 2) == 0)
        s->n_client = secret.len / 2;
    else if (str_is(label, "SERVER_TRAFFIC_SECRET_0") && hex_decode(secret, s->server, secret.len / 2) == 0)
        s->n_server = secret.len / 2;
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
        take_over(t);
        return 1;
    }
    r = SSL_get_error(t->ssl, r);
    if (r == SSL_ERROR_WANT_READ)
        return 0;
    return fail(t, err);
}

enum { SMALL_RECORD = 32 };

static int read_record(struct tls *t, struct err *err)
{
    struct net_scratch *sc = t->sc;
    size_t n;

    for (;;) {
        int outcome = tls_records_open(t->rec, &t->in, &t->in_len, sc->plain, &n, err);

        switch (outcome) {
        case TLS_RECORD_DATA:
            if (n > 0)
                return (int)n;
            break; /* empty: allowed, says nothing */
        case TLS_RECORD_UPDATE:
            if (n == 1)
                sc->cipher_len += tls_records_update(t->rec, cipher_room(sc, SMALL_RECORD));
            break;
        case TLS_RECORD_NONE:
            return 0;
        case TLS_RECORD_BYE:
            return -EPIPE;
        default:
            if (n > 0)
                sc->cipher_len += tls_records_alert(t->rec, (uint8_t)n, cipher_room(sc, SMALL_RECORD));
            return outcome;
        }
    }
}

int tls_read(struct tls *t, struct err *err)
{
    size_t n = 0;
    int r;

    if (t->rec)
        return read_record(t, err);
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
    struct net_scratch *sc = t->sc;
    size_t done = 0;

    if (t->rec) {
        sc->cipher_len += tls_records_seal(t->rec, p, n, cipher_room(sc, tls_records_size(n)));
        return 0;
    }
    ERR_clear_error();
    if (SSL_write_ex(t->ssl, p, n, &done) == 1 && done == n)
        return 0;
    ERR_clear_error();
    return -EPROTO;
}

void tls_bye(struct tls *t)
{
    if (t->rec) {
        t->sc->cipher_len += tls_records_alert(t->rec, 0, cipher_room(t->sc, SMALL_RECORD));
        return;
    }
    ERR_clear_error();
    if (t->is_done)
        SSL_shutdown(t->ssl);
    ERR_clear_error();
}
