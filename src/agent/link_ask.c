/* agent/link_ask.c - the link while this host asks to be let in. See link.h. */
#include <errno.h>

#include "agent/link_priv.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"

enum { CLOCK_TOLERANCE = 300 * 1000 * 1000, PENDING_MIN = 1000 * 1000, PENDING_MAX = 300 * 1000 * 1000 };

void link__note_server_time(struct link *l, usec_t server_time)
{
    int64_t off;
    bool is_off;

    if (!server_time)
        return;
    off = (int64_t)(server_time - wall_now());
    is_off = off > CLOCK_TOLERANCE || off < -CLOCK_TOLERANCE;
    if (is_off && !l->is_clock_told)
        log_warn("clock.off", "this host's clock and the server's differ", LOG_I64("seconds", off / 1000000));
    l->is_clock_told = is_off;
}

/* Keeps what an approval brought. */
static int link_take_approval(struct link *l, const struct enroll_result *res, struct err *err)
{
    struct state *s = l->conf.state;
    int r = 0;

    if (res->ca_pem && res->ca_pem[0])
        r = state_set_ca(s, res->ca_pem, err);
    if (r == 0)
        r = state_set_identity(s, res->host_id, res->fleet, l->server, err);
    if (r == 0)
        r = state_set_cert(s, res->certificate_pem, err);
    if (r < 0)
        return r;
    tls_ctx_free(TAKE(l->tls));
    l->must_ask = false;
    l->is_told_pending = false;
    log_info("enroll.approved", "this host is enrolled", LOG_CSTR("host", s->host_id), LOG_CSTR("fleet", s->fleet));
    l->ops.enrolled(l->ops.ctx);
    return 0;
}

static void link_on_pending(struct link *l, const struct enroll_result *res)
{
    usec_t after = res->retry_after ? res->retry_after : 5 * USEC_PER_SEC;
    char fingerprint[STATE_FINGERPRINT_MAX];
    struct err err = { 0 };

    /* From here on the CA can be trusted without the token: a restart without it still finds its way. */
    if (res->ca_pem && res->ca_pem[0] && state_set_ca(l->conf.state, res->ca_pem, &err) < 0)
        log_warn("state.write", "the CA could not be kept", LOG_ERR(&err));
    if (!l->is_told_pending) {
        state_fingerprint(l->conf.state, fingerprint);
        err_reset(&l->why);
        link__note(l); /* why an earlier try, or an earlier run, was turned away is over: status would still show it */
        log_info("enroll.pending", "waiting for an operator to approve this host (muster pending; muster approve)",
                 LOG_CSTR("server", l->server), LOG_CSTR("fingerprint", fingerprint));
    }
    l->is_told_pending = true;
    l->n_failed = 0;
    if (after < PENDING_MIN)
        after = PENDING_MIN;
    if (after > PENDING_MAX)
        after = PENDING_MAX;
    link__wait(l, after - after / 10 + rand_below(after / 5 + 1));
}

/* The host was turned away: adds how it could come in again. */
static void link_say_way_back(const struct link *l, enum enroll_answer answer, struct err *err)
{
    const struct state *s = l->conf.state;
    const char *host = s->host_id[0] ? s->host_id : "HOST";
    size_t at = strlen(err->text), room = sizeof(err->text) - at;

    if (answer == ENROLL_REJECTED)
        (void)snprintf(err->text + at, room, "; to let it in, on the server: muster approve %s", host);
    else
        (void)snprintf(err->text + at, room, "; to let it in again, on the server: muster forget %s; then move %s away here and enrol", host,
                       s->dir);
}

static void link_on_approved(struct link *l, const struct enroll_result *res, struct err *err)
{
    AUTO_FREE char *before = l->conf.state->cert_pem ? xstrdup(l->conf.state->cert_pem) : NULL;

    if (link_take_approval(l, res, err) < 0)
        link__failed(l, err);
    else if (!l->conf.hub) {
        l->phase = LINK_OVER; /* that was all */
        err_reset(&l->why);
        link__note(l); /* a failure noted by an attempt before this one is over: status would still show it */
    } else if (wall_now() >= l->conf.state->cert.not_after) { /* only another clock here mends that: do not run in circles */
        (void)err_set(err, -ETIME, "tls.clock", "by this host's clock the certificate it was just given has ended already: set the clock");
        link__failed(l, err);
    } else if (before && strcmp(before, l->conf.state->cert_pem) == 0) /* the one that was not accepted: do not run in circles */
        link__wait(l, link__backoff(++l->n_failed));
    else
        link__wait(l, 0);
}

static void link_on_answer(void *ctx, const struct enroll_result *res)
{
    struct link *l = ctx;
    struct enroll *done = TAKE(l->enroll); /* freed when its result has been read */
    struct err err = res->err;
    bool is_new = l->conf.state->cert_pem == NULL;

    link__note_server_time(l, res->server_time);
    switch (res->answer) {
    case ENROLL_PENDING:
        link_on_pending(l, res);
        break;
    case ENROLL_APPROVED:
        link_on_approved(l, res, &err);
        break;
    case ENROLL_REJECTED:
    case ENROLL_REVOKED:
        link_say_way_back(l, res->answer, &err);
        link__over(l, 5, &err);
        break;
    case ENROLL_REFUSED:
        /* Who waits needs no token: the server has forgotten that it asked. */
        if (l->is_told_pending && str_starts(str_of(err.slug), STR("token.")))
            err_prefix(&err, "nobody approved this host in time, and to ask again it needs another token");
        if (strcmp(err.slug, "csr.bad") == 0 || str_starts(str_of(err.slug), STR("token.")))
            link__over(l, 5, &err);
        else
            link__failed(l, &err);
        break;
    case ENROLL_BUSY:
        l->slot = res->retry_after;
        link__failed(l, &err);
        break;
    case ENROLL_UNTRUSTED:
        link__say_way(l, &err);
        /* A pin that does not match will not match tomorrow. A known host keeps trying: its server may come back. */
        if (is_new && l->conf.token)
            link__over(l, 78, &err);
        else
            link__failed(l, &err);
        break;
    case ENROLL_UNREACHABLE:
        link__failed(l, &err);
        break;
    }
    enroll_free(done);
}

void link__ask(struct link *l)
{
    struct state *s = l->conf.state;
    bool has_ca = s->ca_pem != NULL;
    struct enroll_conf conf = {
        .loop = l->conf.loop,
        .host = l->conf.host,
        .port = l->conf.port,
        /* Who only enrols sends it again: the server looks at it if it has forgotten this host, and then only. */
        .token = s->cert_pem && l->conf.hub ? NULL : l->conf.token,
        .ca_pem = has_ca ? s->ca_pem : l->conf.ca_pem,
        .key_pem = s->key_pem,
        .labels = l->conf.labels,
        .root = l->conf.root,
    };
    struct err err = { 0 };

    if (!conf.token && !conf.ca_pem)
        conf.token = l->conf.token;
    if (!conf.token && !conf.ca_pem) {
        (void)err_set(&err, -EINVAL, "config.token", "this host is not enrolled, and without a token or --ca there is no way to know the "
                                                     "server. Make one with: muster token create");
        link__over(l, 78, &err);
        return;
    }
    l->phase = LINK_ASKING;
    l->enroll = enroll_new(&conf, link_on_answer, l, &err);
    if (!l->enroll)
        link__over(l, 78, &err);
}
