/* Promises of net/tls.h: our server half against OpenSSL's own client, without sockets. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/buf.h"
#include "lib.h"
#include "net/tls.h"

static struct loop *l;
static struct certs *certs, *strangers; /* of another CA */
static const struct certs *shown;      /* whose certificate the client has; NULL: none */
static bool takes_any;
static struct tls_ctx *ctx;
static struct tls *srv;
static SSL_CTX *octx;
static SSL *ossl;
static BIO *to_client, *from_client;

static void show(const struct certs *c)
{
    BIO *b = BIO_new_mem_buf(c->client, -1), *k = BIO_new_mem_buf(c->client_key, -1);
    X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(k, NULL, NULL, NULL);

    SSL_CTX_use_certificate(octx, x);
    SSL_CTX_use_PrivateKey(octx, key);
    X509_free(x);
    EVP_PKEY_free(key);
    BIO_free(b);
    BIO_free(k);
}

static void start(int version, const char *suites, bool allow_tls12)
{
    struct err err = { 0 };
    struct tls_server_conf conf = { .cert_pem = certs->server_chain, .key_pem = certs->server_key, .ca_pem = certs->ca,
                                    .ask_client_cert = true, .any_client_cert = takes_any, .alpn = alpn_h2, .allow_tls12 = allow_tls12 };

    l = loop_new();
    ctx = tls_server_new(&conf, &err);
    assert_non_null(ctx);
    srv = tls_new(l, ctx, NULL);
    octx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(octx, version);
    if (suites)
        SSL_CTX_set_ciphersuites(octx, suites);
    if (shown)
        show(shown);
    ossl = SSL_new(octx);
    to_client = BIO_new(BIO_s_mem());
    from_client = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(to_client, -1);
    SSL_set_bio(ossl, to_client, from_client);
    SSL_set_connect_state(ossl);
    SSL_set_alpn_protos(ossl, (const unsigned char *)"\2h2", 3);
}

static void stop(void)
{
    SSL_free(ossl);
    SSL_CTX_free(octx);
    tls_free(srv);
    tls_ctx_free(ctx);
    loop_free(l);
}

static void carry(void)
{
    BIO_write(to_client, srv->sc->cipher, (int)srv->sc->cipher_len);
    srv->sc->cipher_len = 0;
}

/* Hands @n bytes (0: all there are) of the client to the server; what it read of them, as text, and how it ended. */
static int feed(struct buf *got, size_t n)
{
    static uint8_t wire[1 << 20];
    struct err err = { 0 };
    int r = BIO_read(from_client, wire, (int)(n ? n : sizeof(wire)));

    if (r <= 0)
        return 0;
    tls_lend(srv, wire, (size_t)r);
    if (!srv->is_done) {
        r = tls_handshake(srv, &err);
        carry();
        if (r <= 0)
            return r;
    }
    while ((r = tls_read(srv, &err)) > 0)
        buf_append(got, srv->sc->plain, (size_t)r);
    carry();
    return r;
}

static void shake(size_t step)
{
    AUTO(buf_done) struct buf none = BUF(100);

    for (int i = 0; i < 20000 && !(srv->is_done && SSL_is_init_finished(ossl)); i++) {
        SSL_do_handshake(ossl);
        assert_true(feed(&none, step) >= 0);
    }
    assert_true(srv->is_done);
    assert_true(SSL_is_init_finished(ossl));
    ERR_clear_error();
}

static void talk(void)
{
    AUTO(buf_done) struct buf got = BUF(1 << 20);
    static uint8_t big[100000], back[100000];
    size_t n, at = 0;

    SSL_write(ossl, "hello", 5);
    SSL_write(ossl, "world", 5);
    assert_int_equal(feed(&got, 0), 0);
    assert_string_equal(buf_as_cstr(&got), "helloworld");
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (uint8_t)(i * 31);
    assert_int_equal(tls_write(srv, big, sizeof(big)), 0);
    carry();
    while (at < sizeof(back) && SSL_read_ex(ossl, back + at, sizeof(back) - at, &n) == 1)
        at += n;
    assert_int_equal(at, sizeof(back));
    assert_memory_equal(big, back, sizeof(back));
}

static void every_suite_of_1_3_is_taken_over(void **state)
{
    static const char *const suites[] = { "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                          "TLS_CHACHA20_POLY1305_SHA256" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(suites); i++) {
        start(TLS1_3_VERSION, suites[i], false);
        shake(0);
        assert_null(srv->ssl);
        assert_non_null(srv->rec);
        assert_null(srv->secrets);
        assert_true(srv->peer->has_cert);
        assert_string_equal(srv->peer->uri, "spiffe://test/host/1");
        talk();
        talk();
        stop();
    }
}

static void tls_1_2_stays_with_openssl_where_it_is_allowed(void **state)
{
    struct err err = { 0 };

    (void)state;
    start(TLS1_2_VERSION, NULL, true);
    shake(0);
    assert_non_null(srv->ssl);
    assert_null(srv->rec);
    talk();
    stop();

    start(TLS1_2_VERSION, NULL, false);
    static uint8_t wire[4096];

    SSL_do_handshake(ossl);
    int n = BIO_read(from_client, wire, sizeof(wire));

    tls_lend(srv, wire, (size_t)n);
    assert_true(tls_handshake(srv, &err) < 0);
    assert_string_equal(err.slug, "tls.protocol");
    assert_true(srv->sc->cipher_len > 0); /* the alert */
    srv->sc->cipher_len = 0;
    stop();
}

static void the_handshake_and_records_may_come_byte_by_byte(void **state)
{
    AUTO(buf_done) struct buf got = BUF(1000);

    (void)state;
    start(TLS1_3_VERSION, NULL, false);
    shake(1);
    SSL_write(ossl, "slow", 4);
    for (int i = 0; i < 100; i++)
        assert_int_equal(feed(&got, 1), 0);
    assert_string_equal(buf_as_cstr(&got), "slow");
    stop();
}

static void what_follows_the_handshake_in_one_piece_is_read(void **state)
{
    AUTO(buf_done) struct buf got = BUF(1000);

    (void)state;
    start(TLS1_3_VERSION, NULL, false);
    SSL_do_handshake(ossl);
    feed(&got, 0);
    SSL_do_handshake(ossl); /* the client's last flight ... */
    SSL_write(ossl, "early bird", 10); /* ... and data right behind it */
    assert_int_equal(feed(&got, 0), 0);
    assert_true(srv->is_done);
    assert_string_equal(buf_as_cstr(&got), "early bird");
    stop();
}

static void key_updates_of_the_client_are_followed(void **state)
{
    (void)state;
    start(TLS1_3_VERSION, NULL, false);
    shake(0);
    for (int i = 0; i < 50; i++) {
        /* With "requested" the server must renew its own keys too, or talk() fails on the client's side. */
        assert_int_equal(SSL_key_update(ossl, i % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        talk();
    }
    stop();
}

static void our_own_key_updates_are_followed_by_the_client(void **state)
{
    (void)state;
    start(TLS1_3_VERSION, NULL, false);
    shake(0);
    for (int i = 0; i < 10; i++) {
        talk();
        srv->sc->cipher_len += tls_records_update(srv->rec, srv->sc->cipher + srv->sc->cipher_len);
        carry();
        talk();
    }
    stop();
}

static void close_notify_is_told_both_ways(void **state)
{
    AUTO(buf_done) struct buf got = BUF(1000);
    char c;

    (void)state;
    start(TLS1_3_VERSION, NULL, false);
    shake(0);
    tls_bye(srv);
    carry();
    assert_int_equal(SSL_get_error(ossl, SSL_read(ossl, &c, 1)), SSL_ERROR_ZERO_RETURN);
    SSL_shutdown(ossl);
    assert_int_equal(feed(&got, 0), -EPIPE);
    stop();
}

static void a_forged_record_ends_it_with_an_alert(void **state)
{
    struct err err = { 0 };
    uint8_t forged[] = { 23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 };
    char c;

    (void)state;
    start(TLS1_3_VERSION, NULL, false);
    shake(0);
    tls_lend(srv, forged, sizeof(forged));
    assert_int_equal(tls_read(srv, &err), -EPROTO);
    assert_string_equal(err.slug, "tls.protocol");
    carry();
    assert_int_equal(SSL_get_error(ossl, SSL_read(ossl, &c, 1)), SSL_ERROR_SSL);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
    ERR_clear_error();
    stop();
}

static void plain_records_after_the_handshake_are_refused(void **state)
{
    struct err err = { 0 };
    uint8_t ccs[] = { 20, 3, 3, 0, 1, 1 };

    (void)state;
    start(TLS1_3_VERSION, NULL, false);
    shake(0);
    tls_lend(srv, ccs, sizeof(ccs));
    assert_int_equal(tls_read(srv, &err), -EPROTO);
    srv->sc->cipher_len = 0;
    stop();
}

static const int versions[] = { TLS1_3_VERSION, TLS1_2_VERSION };

static void anybodys_certificate_is_a_key_and_no_name_where_that_will_do(void **state)
{
    const struct certs *const whose[] = { strangers, certs };
    struct pki_cert known;
    struct err err = { 0 };

    (void)state;
    takes_any = true;
    for (size_t i = 0; i < ARRAY_SIZE(whose) * ARRAY_SIZE(versions); i++) {
        shown = whose[i / 2];
        assert_int_equal(pki_cert_read(str_of(shown->client), &known, &err), 0);
        start(versions[i % 2], NULL, true);
        shake(0);
        assert_true(srv->peer->is_tls && srv->peer->has_key);
        assert_memory_equal(srv->peer->spki_sha256, known.spki_sha256, SHA256_LEN);
        assert_false(srv->peer->has_cert); /* also of a member: who asks for names does so on another port */
        assert_string_equal(srv->peer->uri, "");
        talk();
        stop();
    }
    takes_any = false;
    shown = certs;
}

static void who_shows_no_certificate_has_no_key(void **state)
{
    (void)state;
    shown = NULL;
    for (size_t i = 0; i < 2 * ARRAY_SIZE(versions); i++) {
        takes_any = i / 2 == 0;
        start(versions[i % 2], NULL, true);
        shake(0);
        assert_null(srv->peer);
        talk();
        stop();
    }
    takes_any = false;
    shown = certs;
}

static void a_strangers_certificate_is_refused_where_a_name_is_asked_for(void **state)
{
    AUTO(buf_done) struct buf none = BUF(100);
    int r = 0;

    (void)state;
    shown = strangers;
    start(TLS1_3_VERSION, NULL, false);
    for (int i = 0; i < 100 && r >= 0; i++) {
        SSL_do_handshake(ossl);
        r = feed(&none, 0);
    }
    assert_int_equal(r, -EACCES);
    assert_null(srv->peer);
    ERR_clear_error();
    stop();
    shown = certs;
}

/* What a browser goes by before it bothers its user: certificates of these CAs only. */
static void the_question_names_our_ca(void **state)
{
    (void)state;
    takes_any = true;
    start(TLS1_3_VERSION, NULL, true);
    shake(0);
    const STACK_OF(X509_NAME) *names = SSL_get0_peer_CA_list(ossl);

    assert_int_equal(sk_X509_NAME_num(names), 1);
    stop();
    takes_any = false;
}

static int group_up(void **state)
{
    (void)state;
    certs = certs_new();
    strangers = certs_new();
    shown = certs;
    return 0;
}

static int group_down(void **state)
{
    (void)state;
    certs_free(certs);
    certs_free(strangers);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_suite_of_1_3_is_taken_over),
        cmocka_unit_test(tls_1_2_stays_with_openssl_where_it_is_allowed),
        cmocka_unit_test(the_handshake_and_records_may_come_byte_by_byte),
        cmocka_unit_test(what_follows_the_handshake_in_one_piece_is_read),
        cmocka_unit_test(key_updates_of_the_client_are_followed),
        cmocka_unit_test(our_own_key_updates_are_followed_by_the_client),
        cmocka_unit_test(close_notify_is_told_both_ways),
        cmocka_unit_test(a_forged_record_ends_it_with_an_alert),
        cmocka_unit_test(plain_records_after_the_handshake_are_refused),
        cmocka_unit_test(anybodys_certificate_is_a_key_and_no_name_where_that_will_do),
        cmocka_unit_test(who_shows_no_certificate_has_no_key),
        cmocka_unit_test(a_strangers_certificate_is_refused_where_a_name_is_asked_for),
        cmocka_unit_test(the_question_names_our_ca),
    };

    return cmocka_run_group_tests(tests, group_up, group_down);
}
