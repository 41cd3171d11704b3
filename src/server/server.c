/* server/server.c - see server.h. Read it from the bottom: server_main() is the table of contents. */
#define LOG_TARGET "server"
#include "server/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/api.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "control/commit.h"
#include "control/verbs.h"
#include "net/listen.h"
#include "server/health.h"
#include "server/statedir.h"
#include "server/tls_people.h"
#include "server/turn.h"

enum {
    TICK_US = 250 * 1000,
    DRAIN_US = 4 * 1000 * 1000, /* for agents and requests to leave; the database gets five more */
    HANG_UP_US = 1000 * 1000,   /* of that, for connections to be closed by the other side */
    HTTP_LISTEN_MAX = API_LISTEN_MORE,
};

struct server {
    struct conf *conf;
    struct options *options;
    int argc;
    char **argv;
    struct statedir dir;
    struct listen_at at;
    struct loop *loop;
    struct wake *wake;
    struct store *store;
    struct control *control;
    struct api *api;
    struct tls_ctx *tls_agents, *tls_people, *tls_http; /* WebSocket; HTTP, which may ask for certificates */
    struct listener *grpc, *ws, *http, *local;
    struct listener *more_http[HTTP_LISTEN_MAX]; /* --http-listen */
    size_t n_more_http;
    struct dialect_conf dialects;
    struct turn turn;
    struct health health;
    struct timer *tick;
    const char **proxies;
    const char *names[CONTROL_NAMES_MAX]; /* of --tls-name */
    char *key_header; /* --grapheon-key-header in lower case */
    usec_t started, drain_until; /* monotonic */
    bool is_draining, is_hanging_up;
};

/* -- build */

static void raise_nofile(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &r);
    }
}

static void offload(void *ctx, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    struct server *s = ctx;

    loop_work(s->loop, work, done, arg);
}

static struct rate per_s(double v)
{
    return (struct rate){ .per_s = v, .burst = v * 4 };
}

static void control_conf_of(const struct server *s, const struct options *o, struct control_conf *ret)
{
    struct server *self = (struct server *)(uintptr_t)s;

    for (size_t i = 0; i < o->tls_names.n && i < CONTROL_NAMES_MAX; i++)
        self->names[i] = o->tls_names.v[i].value;
    *ret = (struct control_conf){
        .clock = &clock_real,
        .store = s->store,
        .links = s->api ? api_link_ops(s->api) : NULL,
        .heartbeat = o->heartbeat,
        .beats_per_s = o->beats_per_s,
        .pending_ttl = o->pending_ttl,
        .cert_ttl = o->cert_ttl,
        .job_deadline = o->job_deadline,
        .output_cap_bytes = o->output_cap,
        .max_running_tasks = o->max_tasks,
        .enroll_per_s = o->enroll_per_s,
        .away_limit = o->away_limit,
        .admission = {
            .login = { .per_s = o->login_per_min / 60.0, .burst = o->login_per_min },
            .connect = per_s(o->connect_per_s),
            .checkin = per_s(o->checkin_per_s),
            .output_bytes = { .per_s = (double)o->output_per_s, .burst = 2 * (double)o->output_per_s },
            .operators = { .per_s = o->operator_per_s, .burst = 5.0 * o->operator_per_s },
        },
        .retention = { .keep = o->keep, .keep_audit = o->keep_audit, .quota_bytes = o->quota },
        .is_dev = o->dev,
        .asks_client_certs = o->http_client_certs,
        .names = s->names,
        .n_names = o->tls_names.n,
        .offload = offload,
        .offload_ctx = self,
    };
}

static void api_conf_of(struct server *s, const struct options *o, struct api_conf *ret)
{
    if (!s->key_header) { /* header names are compared in lower case; not changed by a reload */
        s->key_header = xstrdup(o->grapheon_key_header);
        for (char *p = s->key_header; *p; p++)
            *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + ('a' - 'A') : *p);
    }
    free(s->proxies);
    s->proxies = xcalloc(o->trusted_proxies.n + 1, sizeof(*s->proxies));
    for (size_t i = 0; i < o->trusted_proxies.n; i++)
        s->proxies[i] = o->trusted_proxies.v[i].value;
    *ret = (struct api_conf){
        .loop = s->loop,
        .clock = &clock_real,
        .is_dev = o->dev,
        .has_metrics = o->metrics,
        .heartbeat = o->heartbeat,
        .refusals_per_s = o->refusals_per_s,
        .trusted_proxies = s->proxies,
        .n_trusted_proxies = o->trusted_proxies.n,
        .dialects = &s->dialects,
    };
    s->dialects = (struct dialect_conf){
        .sigma_heartbeat_creates = o->sigma_heartbeat_creates,
        .sigma_allow_loopback = o->sigma_allow_loopback,
        .require_https = o->require_https,
        .argus_sign_up = o->argus_sign_up,
        .argus_agent_life = o->argus_agent_life,
        .grapheon_strict = o->grapheon_strict,
        .grapheon_max_report = (uint32_t)o->grapheon_max_report,
        .grapheon_key_header = s->key_header,
    };
}

static int build(struct server *s, struct err *err)
{
    struct control_conf cc;
    struct api_conf ac;
    int r;

    s->loop = loop_new();
    s->wake = wake_new(s->loop);
    r = store_open(&(struct store_conf){ .path = s->dir.db, .wake = wake_call, .wake_ctx = s->wake },
                   &s->store, err);
    if (r < 0)
        return r;

    api_conf_of(s, s->options, &ac);
    s->api = api_new(&ac);
    r = api_check(s->api, err);
    if (r < 0)
        return r;

    control_conf_of(s, s->options, &cc);
    r = control_open(&cc, &s->control, err);
    if (r < 0)
        return r;
    api_set_control(s->api, s->control);
    s->turn = (struct turn){ .loop = s->loop, .store = s->store, .control = s->control };
    turn_start(&s->turn);
    return 0;
}

/* -- wire: who listens where */

/* Certificates for people: the fleet's own, or those of the options. @asks: clients for theirs, whoever they are. */
static struct tls_ctx *make_tls_people(const struct server *s, const struct options *o, bool asks, struct err *err)
{
    static const char *const alpn[] = { "http/1.1", NULL };
    const struct control_identity *id = control_identity(s->control);
    const struct tls_server_conf conf = { .cert_pem = id->server_cert_pem,
                                          .key_pem = id->server_key_pem,
                                          .ca_pem = id->ca_pem,
                                          .ask_client_cert = asks,
                                          .any_client_cert = asks,
                                          .alpn = alpn,
                                          .allow_tls12 = true };

    return tls_people_new(o, &conf, err);
}

static struct tls_ctx *make_tls_agents(const struct server *s, struct err *err)
{
    static const char *const alpn[] = { "h2", NULL };
    const struct control_identity *id = control_identity(s->control);

    return tls_server_new(&(struct tls_server_conf){ .cert_pem = id->server_cert_pem,
                                                     .key_pem = id->server_key_pem,
                                                     .ca_pem = id->ca_pem,
                                                     .ask_client_cert = true,
                                                     .alpn = alpn },
                          err);
}

static uint16_t port_at(const struct server *s, uint16_t offset)
{
    return s->at.port ? (uint16_t)(s->at.port + offset) : 0;
}

/* The ports where foreign agents look for their own servers. */
static int wire_more_http(struct server *s, struct listen_conf conf, struct err *err)
{
    const struct options *o = s->options;
    struct listen_at at;

    if (o->http_listen.n > HTTP_LISTEN_MAX)
        return err_set(err, -EINVAL, "config.bad_value", "http-listen: more than %d ports", HTTP_LISTEN_MAX);
    for (size_t i = 0; i < o->http_listen.n; i++) {
        int r = options_http_listen(o, i, &at, err);

        conf.addr = at.addr;
        conf.port = at.port;
        conf.plain_loopback_only = !o->http_plain;
        if (r == 0)
            r = listen_http(s->loop, &conf, api_http_ops(s->api), &s->more_http[i], err);
        if (r < 0)
            return r;
        s->n_more_http = i + 1;
        if (o->http_plain && !at.is_loopback)
            log_warn("server.http_plain", "plain HTTP is taken from other machines: keys and tokens can be read on the way",
                     LOG_CSTR("listen", o->http_listen.v[i].value));
    }
    return 0;
}

static int wire(struct server *s, struct err *err)
{
    struct listen_conf conf = { .addr = s->at.addr,
                                .port = port_at(s, 0),
                                .max_conns = s->options->max_connections };
    int r;

    s->tls_agents = make_tls_agents(s, err);
    s->tls_people = s->tls_agents ? make_tls_people(s, s->options, false, err) : NULL;
    s->tls_http = s->tls_people ? make_tls_people(s, s->options, s->options->http_client_certs, err) : NULL;
    if (!s->tls_http)
        return -EINVAL;

    conf.tls = s->tls_agents;
    r = listen_grpc(s->loop, &conf, api_grpc_ops(s->api), &s->grpc, err);
    if (r < 0)
        return r;

    conf.tls = s->tls_people;
    conf.allow_plain = conf.plain_loopback_only = true;
    conf.port = port_at(s, 1);
    r = listen_ws(s->loop, &conf, api_ws_ops(s->api), &s->ws, err);
    if (r < 0)
        return r;
    conf.tls = s->tls_http;
    conf.port = port_at(s, 2);
    r = listen_http(s->loop, &conf, api_http_ops(s->api), &s->http, err);
    if (r < 0)
        return r;

    r = wire_more_http(s, conf, err);
    if (r < 0)
        return r;

    r = listen_http(s->loop, &(struct listen_conf){ .unix_path = s->dir.socket, .allow_plain = true },
                    api_http_ops(s->api), &s->local, err);
    if (r < 0)
        return r;
    s->turn.agents = s->grpc;
    return 0;
}

/* "127.0.0.1:8120", "[::1]:8120". */
static void at_text(const char *addr, const struct listener *li, char dst[80])
{
    (void)snprintf(dst, 80, strchr(addr, ':') ? "[%s]:%u" : "%s:%u", addr, listener_port(li));
}

/* -- events of the running server */

static void finish(struct server *s)
{
    loop_stop(s->loop);
}

/* Everything was said. Agents close by themselves when they have read it; closing on them could cost them the
 * last words (TCP drops what was received when the other side closes with bytes unread). */
static void hang_up(struct server *s, usec_t now)
{
    s->is_hanging_up = true;
    listener_drain(s->grpc);
    if (now + HANG_UP_US < s->drain_until)
        s->drain_until = now + HANG_UP_US;
}

static void on_tick(void *ctx)
{
    struct server *s = ctx;
    usec_t now = clock_mono(&clock_real);

    log_tick();
    control_tick(s->control);
    api_tick(s->api);
    health_feed(&s->health, now, s->turn.n_turns, store_last_alive(s->store));
    if (!s->is_draining)
        return;
    bool is_saved = store_committed(s->store) >= store_newest(s->store) && commit_parked(s->control) == 0;
    if (!s->is_hanging_up && api_n_open(s->api) == 0 && is_saved)
        hang_up(s, now);
    if ((s->is_hanging_up && listener_conns(s->grpc) == 0) || now >= s->drain_until)
        finish(s);
}

/* Agents and people are told, what is under way may end, then the loop stops. */
static void drain(struct server *s, const char *why)
{
    if (s->is_draining) {
        (void)fputs("musterd: told twice: leaving at once\n", stderr);
        _exit(1);
    }
    s->is_draining = true;
    s->drain_until = clock_mono(&clock_real) + DRAIN_US;
    log_info("server.stopping", "stopping", LOG_CSTR("why", why), LOG_U64("open", api_n_open(s->api)));
    health_notify(&s->health, "STOPPING=1\nSTATUS=Stopping");
    listener_stop(s->grpc);
    listener_stop(s->ws);
    listener_stop(s->http);
    for (size_t i = 0; i < s->n_more_http; i++)
        listener_stop(s->more_http[i]);
    listener_stop(s->local);
    api_drain(s->api);
    control_drain(s->control);
    listener_drain(s->http);
    for (size_t i = 0; i < s->n_more_http; i++)
        listener_drain(s->more_http[i]);
    listener_drain(s->local);
    timer_start(s->tick, 10 * USEC_PER_MS, 20 * USEC_PER_MS);
}

static void on_sigterm(void *ctx)
{
    drain(ctx, "SIGTERM");
}

static void on_sigint(void *ctx)
{
    drain(ctx, "SIGINT");
}

static void on_sigusr1(void *ctx)
{
    (void)ctx;
    log_reopen();
    log_info("log.reopened", "the log file was opened anew");
}

static void apply_tls(struct server *s, const struct options *o)
{
    struct err err = { 0 };
    AUTO(tls_ctx_free) struct tls_ctx *people = make_tls_people(s, o, false, &err);
    AUTO(tls_ctx_free) struct tls_ctx *http = people ? make_tls_people(s, o, o->http_client_certs, &err) : NULL;

    if (!http) {
        log_error("config.tls", "certificates stay as they were", LOG_ERR(&err));
        return;
    }
    listener_set_tls(s->http, http);
    for (size_t i = 0; i < s->n_more_http; i++)
        listener_set_tls(s->more_http[i], http);
    listener_set_tls(s->ws, people);
    tls_ctx_free(s->tls_people);
    tls_ctx_free(s->tls_http);
    s->tls_people = TAKE(people);
    s->tls_http = TAKE(http);
}

/* Puts the newly loaded options in force. The old strings stay until the new ones are in use everywhere. */
static void apply(struct server *s, struct conf *fresh, struct options *o)
{
    AUTO(buf_done) struct buf changed = BUF(8192), restart = BUF(8192);
    struct log_conf lc;
    struct control_conf cc;
    struct api_conf ac;
    struct err err = { 0 };

    (void)conf_diff(s->conf, fresh, &changed, &restart);
    options_log_conf(o, &lc);
    if (log_open(&lc, &err) < 0)
        log_error("config.log", "the log stays as it was", LOG_ERR(&err));
    apply_tls(s, o);
    control_conf_of(s, o, &cc);
    control_reload(s->control, &cc);
    api_conf_of(s, o, &ac);
    api_reload(s->api, &ac);
    log_info("config.reloaded", "configuration reloaded", LOG_STR("changed", buf_as_str(&changed)),
             LOG_STR("need_restart", buf_as_str(&restart)));
}

static void on_sighup(void *ctx)
{
    struct server *s = ctx;
    struct conf *fresh = xnew0(struct conf);
    struct options *o = xnew0(struct options);
    const char *words[4];
    size_t n;
    struct err err = { 0 };

    health_notify(&s->health, "RELOADING=1\nMONOTONIC_USEC=%llu",
                  (unsigned long long)clock_mono(&clock_real));
    if (options_load(fresh, o, s->argc, s->argv, words, 4, &n, &err) < 0) {
        log_error("config.refused", "the configuration was not reloaded: the old one stays", LOG_ERR(&err));
        conf_done(fresh);
        free(fresh);
        free(o);
    } else {
        apply(s, fresh, o);
        conf_done(s->conf);
        *s->conf = *fresh;
        *s->options = *o; /* strings moved */
        s->conf->options = s->options;
        free(fresh);
        free(o);
    }
    health_notify(&s->health, "READY=1");
}

/* -- start */

static void announce(struct server *s)
{
    const struct control_identity *id = control_identity(s->control);
    struct fleet_counts n = { 0 };
    struct listen_at at;
    char grpc[80], ws[80], http[80], more[80], url[96];

    at_text(s->at.addr, s->grpc, grpc);
    at_text(s->at.addr, s->ws, ws);
    at_text(s->at.addr, s->http, http);
    api_set_listen(s->api, grpc, ws, http);
    for (size_t i = 0; i < s->n_more_http && options_http_listen(s->options, i, &at, NULL) == 0; i++) {
        at_text(at.addr, s->more_http[i], more);
        api_add_listen(s->api, more);
    }
    api_set_not_ready(s->api, NULL);
    fleet_count(s->control, &n);
    (void)snprintf(url, sizeof(url), "%s://%s", s->at.is_loopback ? "http" : "https", http);
    log_info("server.started", "musterd " MUSTER_VERSION " is ready", LOG_CSTR("url", url),
             LOG_CSTR("agents", grpc), LOG_U64("hosts", n.total),
             LOG_U64("ms", (clock_mono(&clock_real) - s->started) / USEC_PER_MS));
    log_info("server.identity", "fleet", LOG_CSTR("fleet", id->fleet), LOG_CSTR("pin", id->pin_text),
             LOG_CSTR("state", s->dir.path));
    if (s->options->dev)
        log_info("server.dev", "development mode: local callers need no credential");
    health_notify(&s->health, "READY=1\nSTATUS=%u hosts, listening on %s", n.total, grpc);
}

static void start(struct server *s)
{
    loop_on_signal(s->loop, SIGTERM, on_sigterm, s);
    loop_on_signal(s->loop, SIGINT, on_sigint, s);
    loop_on_signal(s->loop, SIGHUP, on_sighup, s);
    loop_on_signal(s->loop, SIGUSR1, on_sigusr1, s);
    s->tick = timer_new(s->loop, on_tick, s);
    timer_start(s->tick, TICK_US, TICK_US);
    announce(s);
}

/* -- stop: in the order that nobody calls into what is gone. Connections first (their owners tell control),
 * then control (parked answers are dropped), then the store (what was recorded is saved), then api and the
 * loop. */
static void stop(struct server *s)
{
    listener_free(s->local);
    listener_free(s->http);
    for (size_t i = 0; i < s->n_more_http; i++)
        listener_free(s->more_http[i]);
    listener_free(s->ws);
    listener_free(s->grpc);
    if (s->control) { /* what the closing connections told us is recorded too */
        commit_release(s->control);
        store_seal(s->store);
    }
    turn_stop(&s->turn);
    timer_free(s->tick);
    if (s->api)
        api_set_control(s->api, NULL);
    control_free(s->control);
    store_close(s->store);
    api_free(s->api);
    tls_ctx_free(s->tls_http);
    tls_ctx_free(s->tls_people);
    tls_ctx_free(s->tls_agents);
    wake_free(s->wake);
    loop_free(s->loop);
    statedir_unlock(&s->dir);
    health_done(&s->health);
    free(s->key_header);
    free(s->proxies);
}

static int prepare(struct server *s, struct err *err)
{
    struct log_conf lc;
    int r;

    (void)signal(SIGPIPE, SIG_IGN);
    raise_nofile();
    options_log_conf(s->options, &lc);
    r = log_open(&lc, err);
    if (r < 0)
        return r;
    r = options_listen(s->options, &s->at, err);
    if (r < 0)
        return r;
    r = statedir_paths(options_state_dir(s->options), &s->dir, err);
    if (r < 0)
        return r;
    return statedir_open(&s->dir, err);
}

int server_main(struct conf *c, struct options *o, int argc, char **argv)
{
    struct server s = { .conf = c,
                        .options = o,
                        .argc = argc,
                        .argv = argv,
                        .dir.lock_fd = -1,
                        .started = clock_mono(&clock_real) };
    struct err err = { 0 };
    int r;

    health_init(&s.health);
    r = prepare(&s, &err);
    if (r == 0)
        r = build(&s, &err);
    if (r == 0)
        r = wire(&s, &err);
    if (r < 0) {
        (void)fprintf(stderr, "musterd: %s [%s]\n", err.text, err.slug);
        health_notify(&s.health, "STATUS=%s", err.text);
        stop(&s);
        return 1;
    }
    start(&s);
    loop_run(s.loop);
    stop(&s);
    log_info("server.stopped", "stopped");
    log_done();
    return 0;
}
