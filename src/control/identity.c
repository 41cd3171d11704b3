/* control/identity.c - the fleet's own keys: made on first start, kept in the store's meta rows (the database
 * is 0600). Loop thread.
 *
 * The CA is P-256 for ten years. The server's leaf is made anew at a start when less than a third of its year
 * is left, or when it is to have other names: the pin is the CA's, so no agent notices. */
#include <unistd.h>

#include "base/pki.h"
#include "base/rand.h"
#include "base/text.h"

#include "control/core.h"

enum { META_MAX = 16 << 10 };

/* 1 and a malloced copy, 0 when there is none. */
static int meta_get(struct control *c, const char *key, char **ret, struct err *err)
{
    AUTO(buf_done_secret) struct buf b = BUF(META_MAX);
    int r = store_load_meta(c->store, key, &b, err);
    if (r == 1)
        *ret = str_dup(buf_as_str(&b));
    return r;
}

static int make_fleet(struct control *c, struct err *err)
{
    uint8_t random[6];
    char text[2 * sizeof(random) + 1];
    int r = meta_get(c, "fleet", &c->fleet, err);
    if (r != 0)
        return r < 0 ? r : 0;
    rand_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), text);
    c->fleet = xasprintf("fleet-%s", text);
    store_put_meta(c->store, "fleet", str_of(c->fleet));
    return 0;
}

static int make_ca(struct control *c, struct err *err)
{
    int r = meta_get(c, "ca_key", &c->ca_key_pem, err);
    if (r == 1)
        r = meta_get(c, "ca_cert", &c->ca_pem, err);
    if (r < 0)
        return r;
    if (c->ca_key_pem && c->ca_pem)
        return 0;
    if (c->ca_key_pem)
        return err_set(err, -EINVAL, "store.corrupt",
                       "the database has a CA key and no CA certificate: restore a backup");

    AUTO_FREE char *name = xasprintf("Muster CA %s", c->fleet);
    c->ca_key_pem = pki_key_p256();
    c->ca_pem = pki_ca_new(c->ca_key_pem, name, control__wall(c), 10 * 365 * USEC_PER_DAY, err);
    if (!c->ca_pem)
        return -EIO;
    store_put_meta(c->store, "ca_key", str_of(c->ca_key_pem));
    store_put_meta(c->store, "ca_cert", str_of(c->ca_pem));
    return 0;
}

static bool leaf_is_good(const struct control *c, const char *uri)
{
    struct pki_cert cert;
    usec_t now = control__wall(c);
    if (!c->server_cert_pem || !c->server_key_pem ||
        pki_cert_read(str_of(c->server_cert_pem), &cert, NULL) < 0)
        return false;
    usec_t life = cert.not_after - cert.not_before;
    return strcmp(cert.uri, uri) == 0 && now >= cert.not_before && now < cert.not_after &&
           cert.not_after - now >= life / 3;
}

/* What it is called: NULL-terminated in @dns, one a line in @text. */
static void names_of(const struct control *c, const char *host, const char *dns[4 + CONTROL_NAMES_MAX + 1], struct buf *text)
{
    size_t n = 0;
    dns[n++] = "localhost";
    dns[n++] = "127.0.0.1";
    dns[n++] = "::1";
    if (host[0] && strcmp(host, "localhost") != 0)
        dns[n++] = host;
    for (size_t i = 0; i < c->conf.n_names && i < CONTROL_NAMES_MAX; i++)
        dns[n++] = c->conf.names[i];
    dns[n] = NULL;
    for (size_t i = 0; i < n; i++)
        (void)buf_printf(text, "%s\n", dns[i]);
}

static int make_leaf(struct control *c, struct err *err)
{
    char host[256] = "localhost";
    const char *dns[4 + CONTROL_NAMES_MAX + 1];
    AUTO_FREE char *uri = xasprintf("spiffe://%s/server", c->fleet), *names = NULL;
    AUTO(buf_done) struct buf wanted = BUF(META_MAX);
    int r = meta_get(c, "server_key", &c->server_key_pem, err);
    if (r >= 0)
        r = meta_get(c, "server_cert", &c->server_cert_pem, err);
    if (r >= 0)
        r = meta_get(c, "server_names", &names, err);
    if (r < 0)
        return r;
    if (gethostname(host, sizeof(host) - 1) < 0)
        host[0] = '\0';
    names_of(c, host, dns, &wanted);
    if (leaf_is_good(c, uri) && names && str_is(buf_as_str(&wanted), names))
        return 0;

    const struct pki_issue is = {
        .ca_cert_pem = c->ca_pem,
        .ca_key_pem = c->ca_key_pem,
        .common_name = host[0] ? host : "musterd",
        .uri = uri,
        .dns = dns,
        .not_before = control__wall(c) - USEC_PER_DAY,
        .not_after = control__wall(c) + 365 * USEC_PER_DAY,
        .is_server = true,
    };
    secret_free(c->server_key_pem);
    free(c->server_cert_pem);
    c->server_key_pem = pki_key_p256();
    c->server_cert_pem = pki_issue_key(&is, c->server_key_pem, err);
    if (!c->server_cert_pem)
        return -EIO;
    store_put_meta(c->store, "server_key", str_of(c->server_key_pem));
    store_put_meta(c->store, "server_cert", str_of(c->server_cert_pem));
    store_put_meta(c->store, "server_names", buf_as_str(&wanted));
    return 0;
}

int identity__load(struct control *c, struct err *err)
{
    int r = make_fleet(c, err);
    if (r == 0)
        r = make_ca(c, err);
    if (r == 0)
        r = make_leaf(c, err);
    if (r < 0)
        return r;

    /* The CA travels with the leaf: that is how a host with a pin and nothing else gets to know it. */
    c->server_chain_pem = xasprintf("%s%s", c->server_cert_pem, c->ca_pem);
    struct control_identity *id = &c->identity;
    *id = (struct control_identity){ .fleet = c->fleet,
                                     .ca_pem = c->ca_pem,
                                     .server_cert_pem = c->server_chain_pem,
                                     .server_key_pem = c->server_key_pem };
    r = pki_key_spki(c->ca_key_pem, id->pin);
    if (r < 0)
        return err_set(err, r, "store.corrupt",
                       "the CA key in the database cannot be read: restore a backup");
    memcpy(id->pin_text, "sha256:", 7);
    hex_encode(id->pin, SHA256_LEN, id->pin_text + 7);
    return 0;
}

void identity__free(struct control *c)
{
    free(c->fleet);
    free(c->ca_pem);
    secret_free(c->ca_key_pem);
    free(c->server_cert_pem);
    free(c->server_chain_pem);
    secret_free(c->server_key_pem);
    free(c->lent_cert);
}

const struct control_identity *control_identity(const struct control *c)
{
    return &c->identity;
}

/* How far a host's certificate is dated back. Only we check it, by our own clock: a little slack is for clocks that are set back. But the
 * agent renews at two thirds from the beginning, and that must stay far from the day of issue for a short life too. */
static usec_t slack_of(usec_t ttl)
{
    return ttl / 60 < 5 * USEC_PER_MIN ? ttl / 60 : 5 * USEC_PER_MIN;
}

/* A certificate for the key in @csr_pem (checked by the caller to be @h's), recorded in @h and the store. */
int cert__issue(struct control *c, struct host *h, struct str csr_pem, char **ret_pem, struct err *err)
{
    char uri[PKI_URI_MAX];
    struct pki_cert cert;
    snprintf(uri, sizeof(uri), "spiffe://%s/host/%s", c->fleet, h->uuid);
    const struct pki_issue is = {
        .ca_cert_pem = c->ca_pem,
        .ca_key_pem = c->ca_key_pem,
        .common_name = h->uuid,
        .uri = uri,
        .not_before = control__wall(c) - slack_of(c->conf.cert_ttl),
        .not_after = control__wall(c) + c->conf.cert_ttl,
    };
    char *pem = pki_issue_csr(&is, csr_pem, err);
    if (!pem)
        return -EINVAL;
    int r = pki_cert_read(str_of(pem), &cert, err);
    if (r < 0) {
        free(pem);
        return r;
    }
    free(h->cert_serial);
    h->cert_serial = xstrdup(cert.serial);
    h->cert_not_after = cert.not_after;
    host__put(c, h);
    *ret_pem = pem;
    return 0;
}
