/* agent/enroll.h - asking the server once: may I come in, am I in yet? One request, idempotent, keyed by our key. Who decides what
 * to do with the answer is agent/link.c. Loop thread.
 *
 * The connection is made and the server proven (by pin, or by a CA we trust, and by its name spiffe://<fleet>/server) before a byte of
 * the request is sent: the token never reaches anybody else. */
#ifndef MUSTER_AGENT_ENROLL_H
#define MUSTER_AGENT_ENROLL_H

#include "base/conf.h"
#include "base/err.h"
#include "base/pki.h"
#include "net/loop.h"

enum { ENROLL_CODE_MAX = 65 };

/* An install token, CODE@sha256:HEX, as the host keeps it until it is used. */
struct join_token {
    char code[ENROLL_CODE_MAX];
    uint8_t pin[SHA256_LEN];
};
/* By the rule of fleet/enroll.h. 0, or -EINVAL and @err ("token.shape"): the text is never repeated in it. */
int join_token_parse(struct str s, struct join_token *ret, struct err *err);

struct enroll_conf {
    struct loop *loop;
    const char *host;
    uint16_t port;
    const struct join_token *token; /* its pin decides; NULL: @ca_pem does, and no token is sent */
    const char *ca_pem;
    const char *key_pem;
    const struct conf_map *labels;
    const char *root;
};
enum enroll_answer {
    ENROLL_PENDING,     /* ask again after @retry_after */
    ENROLL_APPROVED,    /* @certificate_pem, @ca_pem, @host_id, @fleet are there */
    ENROLL_REJECTED,    /* @err says so too, as for all below */
    ENROLL_REVOKED,
    ENROLL_REFUSED,     /* the server says no to this request: err.slug token.*, csr.bad */
    ENROLL_BUSY,        /* later: @retry_after or the usual backoff */
    ENROLL_UNTRUSTED,   /* this is not the server we look for: err.slug tls.pin, tls.untrusted, tls.name */
    ENROLL_UNREACHABLE, /* anything else */
};
struct enroll_result {
    enum enroll_answer answer;
    struct err err;
    usec_t retry_after;           /* 0: not said */
    const char *certificate_pem, *ca_pem, *host_id, *fleet, *message; /* lent for the length of the callback */
    usec_t server_time;           /* 0: not said */
};
struct enroll;
typedef void (*enroll_fn)(void *ctx, const struct enroll_result *res);
/* Starts asking; @fn once, later; free inside or after it. NULL and @err when it cannot even start (a key that is none). */
struct enroll *enroll_new(const struct enroll_conf *conf, enroll_fn fn, void *ctx, struct err *err);
void enroll_free(struct enroll *e);
DEFINE_AUTO(struct enroll *, enroll_free)

#endif
