/* agent/link.c - the phases of the link: attempts, waits, ends, and what the hub sees. See link.h. */
#include <errno.h>

#include "agent/link_priv.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"

/* -- small rules */

usec_t link_backoff(uint32_t n, uint64_t random)
{
    usec_t base = 60 * USEC_PER_SEC;

    if (n >= 1 && n <= 6)
        base = (usec_t)1 << (n - 1) > 60 ? base : ((usec_t)1 << (n - 1)) * USEC_PER_SEC;
    return base - base / 5 + random % (base / 5 * 2 + 1);
}

/* Benches press years of refusals into seconds. */
usec_t link__backoff(uint32_t n)
{
    const char *test = getenv("MUSTER_TEST_BACKOFF_MS");
    uint64_t ms;

    if (test && str_to_u64(str_of(test), &ms) == 0)
        return ms * USEC_PER_MS;
    return link_backoff(n, rand_u64());
}

void link__note(struct link *l)
{
    struct link_note n = {
        .is_connected = l->phase == LINK_UP,
        .server = l->server,
        .since = l->phase == LINK_UP ? l->up_since : wall_now(),
        .last_ack = l->last_ack,
        .why = l->phase == LINK_UP ? "" : l->why.text,
    };

    l->noted_at = wall_now();
    state_note_link(l->conf.state, &n);
}

/* -- ending an attempt */

static void link_drop(struct link *l)
{
    bool was_up = l->phase == LINK_UP;

    l->call = 0;
    l->is_drain_asked = false;
    timer_stop(l->beat);
    grpc_client_free(TAKE(l->client));
    enroll_free(TAKE(l->enroll));
    l->phase = LINK_WAITING;
    if (was_up) {
        hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_DOWN });
        link__note(l);
    }
}

void link__wait(struct link *l, usec_t after)
{
    l->phase = LINK_WAITING;
    timer_start(l->timer, after, 0);
}

void link__over(struct link *l, int code, const struct err *err)
{
    struct err copy = *err;

    link_drop(l);
    timer_stop(l->timer);
    l->phase = LINK_OVER;
    l->why = copy;
    link__note(l);
    l->ops.over(l->ops.ctx, code, &copy);
}

void link__say_way(const struct link *l, struct err *err)
{
    const struct state *s = l->conf.state;
    size_t at = strlen(err->text), room = sizeof(err->text) - at;

    if (s->ca_pem)
        (void)snprintf(err->text + at, room, "; this host belongs to another fleet: to join this one, move %s away and enrol again", s->dir);
    else if (l->conf.token)
        (void)snprintf(err->text + at, room, "; the pin is the end of --token CODE@sha256:HEX: muster token create makes one on the server");
    else
        (void)snprintf(err->text + at, room, "; the server's CA belongs in --ca FILE: muster ca prints it there");
}

void link__failed(struct link *l, const struct err *err)
{
    struct err copy = *err;
    bool was_up = l->phase == LINK_UP || (l->phase == LINK_CLOSING && l->was_up);
    usec_t after;

    link_drop(l);
    if (was_up)
        l->n_failed = 0;
    l->n_failed++;
    after = l->slot ? l->slot : link__backoff(l->n_failed);
    l->slot = 0;
    /* The same failure over and over is one story: told when it begins, and then every tenth time. */
    if (was_up || strcmp(copy.slug, l->why.slug) != 0 || l->n_failed % 10 == 1)
        log_warn("link.down", was_up ? "the link to the server broke" : "no link to the server", LOG_CSTR("server", l->server),
                 LOG_ERR(&copy), LOG_U64("attempt", l->n_failed), LOG_U64("again_ms", after / USEC_PER_MS));
    if (was_up || strcmp(copy.slug, l->why.slug) != 0) {
        l->why = copy;
        link__note(l);
    }
    link__wait(l, after);
    if (l->ops.failed && !l->is_told_pending)
        l->ops.failed(l->ops.ctx, &copy);
}

/* From inside a callback of net that still holds the client: let it return first. */
void link__close_soon(struct link *l, const struct err *why)
{
    if (l->phase == LINK_CLOSING || l->phase == LINK_OVER)
        return;
    l->was_up = l->phase == LINK_UP;
    l->closing = *why;
    l->phase = LINK_CLOSING; /* first: what the roles do now must not be sent */
    if (l->was_up)
        hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_DOWN });
    timer_stop(l->beat);
    timer_start(l->timer, 0, 0);
}

static void link_attempt(struct link *l)
{
    struct state *s = l->conf.state;
    bool has_cert = s->cert_pem && s->ca_pem && s->host_id[0];

    if (!has_cert || l->must_ask || !l->conf.hub || wall_now() >= s->cert.not_after) {
        l->must_ask = false;
        link__ask(l);
    } else {
        link__connect(l);
    }
}

static void link_on_timer(void *ctx)
{
    struct link *l = ctx;
    struct err err = { 0 };

    switch (l->phase) {
    case LINK_WAITING:
        link_attempt(l);
        break;
    case LINK_GREETING:
        (void)err_set(&err, -ETIMEDOUT, "link.silent", "the server does not say Welcome");
        link__failed(l, &err);
        break;
    case LINK_CLOSING:
        err = l->closing;
        if (l->over_code)
            link__over(l, l->over_code, &err);
        else
            link__failed(l, &err);
        break;
    case LINK_LEAVING:
        l->ops.left(l->ops.ctx);
        break;
    case LINK_UP:
        hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_DRAINED });
        link__pump(l);
        break;
    case LINK_ASKING:
    case LINK_CONNECTING:
    case LINK_OVER:
        break;
    }
}

/* -- for the hub */

static bool hub_is_up(void *ctx)
{
    return ((struct link *)ctx)->phase == LINK_UP;
}

static int64_t hub_send(void *ctx, const Muster__V1__AgentMessage *m)
{
    struct link *l = ctx;
    int64_t queued;

    if (l->phase != LINK_UP)
        return -ENOTCONN;
    queued = link__send(l, m);
    if (queued > LIMIT_WRITE_LOW)
        link__ask_drain(l);
    return queued;
}

static void hub_kept(void *ctx)
{
    link__pump(ctx);
}

struct hub_ops link_hub_ops(struct link *l)
{
    return (struct hub_ops){ .is_up = hub_is_up, .send = hub_send, .kept = hub_kept, .ctx = l };
}

struct link *link_new(const struct link_conf *conf, const struct link_ops *ops)
{
    struct link *l = xnew0(struct link);

    l->conf = *conf;
    l->ops = *ops;
    l->server = xasprintf(strchr(conf->host, ':') ? "[%s]:%u" : "%s:%u", conf->host, conf->port);
    l->timer = timer_new(conf->loop, link_on_timer, l);
    l->beat = timer_new(conf->loop, link__on_beat, l);
    return l;
}

void link_free(struct link *l)
{
    if (!l)
        return;
    grpc_client_free(l->client);
    enroll_free(l->enroll);
    tls_ctx_free(l->tls);
    timer_free(l->timer);
    timer_free(l->beat);
    free(l->server);
    free(l);
}

bool link_leave(struct link *l)
{
    if (l->phase != LINK_UP || grpc_half_close(l->call) < 0)
        return false;
    l->phase = LINK_LEAVING; /* first: what the roles do now must not be sent */
    hub_tell(l->conf.hub, &(struct role_msg){ .kind = ROLE_MSG_DOWN });
    timer_stop(l->beat);
    timer_start(l->timer, USEC_PER_SEC, 0);
    return true;
}

void link_start(struct link *l)
{
    link__wait(l, 0);
}
