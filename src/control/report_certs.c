/* control/report_certs.c - the key a reporter's TLS certificate proves, and the one it is bound to (fleet/report.h). Loop thread.
 *
 * What is compared is the public key, not the certificate: nobody has vouched for its name or its dates, and one that was made anew for
 * the same key is the same proof. */
#include "base/text.h"

#include "control/report_priv.h"

int reporter__judge_cert(struct control *c, const struct reporter *r, const struct enroll_key *key, const struct client_key *shown,
                         bool may_bind, struct err *err)
{
    char hex[SHA256_HEX_MAX];
    hex_encode(shown->spki_sha256, SHA256_LEN, hex);
    const struct cert_facts f = {
        .is_required = key && key->require_client_cert,
        .is_bound = r && r->row.client_key.len > 0,
        .is_shown = shown->is_shown,
        .is_same = r && str_is(r->row.client_key, hex),
        .may_bind = may_bind,
    };
    enum cert_verdict v = cert_judge(&f);
    switch (v) {
    case CERT_OK:
    case CERT_BIND:
        return (int)v;
    case CERT_MISSING:
        return err_set(err, -EACCES, "client_cert.required",
                       c->conf.asks_client_certs ? "this agent must come with its client certificate, over https"
                                                 : "this agent must come with its client certificate, but this server asks for none: "
                                                   "http_client_certs turns that on");
    case CERT_OTHER:
        break;
    }
    return err_set(err, -EACCES, "client_cert.other", "this agent is bound to the key of another client certificate");
}

void reporter__bind_cert(struct control *c, struct reporter *r, const struct client_key *shown, const char *peer)
{
    char hex[SHA256_HEX_MAX], who[160];
    struct details d = { 0 };
    hex_encode(shown->spki_sha256, SHA256_LEN, hex);
    report__set(&r->row.client_key, str_of(hex));
    snprintf(who, sizeof(who), "agent:%.*s", STR_FMT(r->row.uuid));
    audit__row(c, who, peer, "report.client_key", r->row.uuid, "ok", NULL, details_str(&d, "client_key_sha256", str_of(hex)));
}
