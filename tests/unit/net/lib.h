/* tests/unit/net/lib.h - what the tests of net share: cmocka, certificates, a loop that turns until something is true. */
#ifndef TEST_NET_LIB_H
#define TEST_NET_LIB_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/pki.h"
#include "net/loop_priv.h"
#include "net/tls_ctx.h"

static const char *const alpn_h2[] __attribute__((unused)) = { "h2", NULL };

struct certs {
    char *ca_key, *ca, *server_key, *server_chain, *client_key, *client;
    uint8_t pin[SHA256_LEN];
};

static char *issue(const struct certs *c, const char *key, const char *uri, bool is_server, int64_t from, int64_t to)
{
    usec_t now = clock_wall(&clock_real);
    struct err err = { 0 };
    struct pki_issue is = { .ca_cert_pem = c->ca, .ca_key_pem = c->ca_key, .common_name = "test", .uri = uri,
                            .not_before = (usec_t)((int64_t)now + from), .not_after = (usec_t)((int64_t)now + to),
                            .is_server = is_server };
    char *pem = pki_issue_key(&is, key, &err);

    assert_non_null(pem);
    return pem;
}

#define HOUR_US ((int64_t)USEC_PER_HOUR)

/* @from, @to: the server certificate's life, relative to now. */
static inline struct certs *certs_new_at(int64_t from, int64_t to)
{
    struct certs *c = xnew0(struct certs);
    struct pki_cert ca;
    struct err err = { 0 };
    AUTO_FREE char *leaf = NULL;

    c->ca_key = pki_key_p256();
    c->ca = pki_ca_new(c->ca_key, "test CA", clock_wall(&clock_real), 365 * USEC_PER_DAY, &err);
    assert_non_null(c->ca);
    assert_int_equal(pki_cert_read(str_of(c->ca), &ca, &err), 0);
    memcpy(c->pin, ca.spki_sha256, SHA256_LEN);
    c->server_key = pki_key_p256();
    leaf = issue(c, c->server_key, "spiffe://test/server", true, from, to);
    c->server_chain = xasprintf("%s%s", leaf, c->ca);
    c->client_key = pki_key_ed25519();
    c->client = issue(c, c->client_key, "spiffe://test/host/1", false, -HOUR_US, HOUR_US);
    return c;
}

static inline struct certs *certs_new(void)
{
    return certs_new_at(-HOUR_US, HOUR_US);
}

static inline void certs_free(struct certs *c)
{
    free(c->ca_key);
    free(c->ca);
    free(c->server_key);
    free(c->server_chain);
    free(c->client_key);
    free(c->client);
    free(c);
}

static inline struct tls_ctx *server_tls(const struct certs *c, const char *const *alpn)
{
    struct err err = { 0 };
    struct tls_server_conf conf = { .cert_pem = c->server_chain, .key_pem = c->server_key, .ca_pem = c->ca,
                                    .ask_client_cert = true, .alpn = alpn };
    struct tls_ctx *t = tls_server_new(&conf, &err);

    assert_non_null(t);
    return t;
}

/* Turns @l until @cond, at most about 10 s. */
#define TURN_UNTIL(l, cond)                                                                                  \
    do {                                                                                                     \
        usec_t until_ = clock_mono(&clock_real) + 10 * USEC_PER_SEC;                                         \
        while (!(cond)) {                                                                                    \
            assert_true(clock_mono(&clock_real) < until_);                                                   \
            loop_poll(l);                                                                                    \
        }                                                                                                    \
    } while (0)
/* A few turns in which nothing should happen. */
#define TURN_SOME(l)                                                                                         \
    do {                                                                                                     \
        for (int turn_ = 0; turn_ < 200; turn_++)                                                            \
            loop_poll(l);                                                                                    \
    } while (0)

#endif
