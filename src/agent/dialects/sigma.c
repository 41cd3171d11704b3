/* agent/dialects/sigma.c - muster-agent as sigma-agent: registers, then heartbeats for ever; beside it the port scan and the metrics
 * server (docs/wire/sigma.md). Exit codes: 0 stopped by a signal, 1 bad range, 2 usage.
 *
 *   start ── discover ── register ──2xx── beat every interval ──404── register
 *                           └─ else: again after 1 s, 2 s ... 60 s
 *
 * Beats lie on a grid of the monotonic clock that begins with the registration; one that is still under way is not overtaken. */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "agent/dialects/sigma.h"
#include "agent/ports_http.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/record.h"

enum { EXIT_RANGE = 1, EXIT_USAGE = 2, BODY_MAX = 256 << 10, ANSWER_ARENA = 4 << 20 };
#define RETRY_FIRST USEC_PER_SEC
#define RETRY_MAX (60 * USEC_PER_SEC)
#define LOOKUP_EVERY (10 * USEC_PER_MIN)

struct sigma {
    struct conf conf;
    struct sigma_options opt;
    char *hostname;
    struct loop *loop;
    struct sigma_talk *talk;
    struct sigma_queue *queue;
    struct ports *ports;
    struct ports_http *http;
    struct sigma_lookup *lookup;
    struct timer *retry, *beat;
    bool is_registered, is_busy;
    usec_t backoff, due;             /* of the next registration; of the next beat, loop time */
    usec_t looked_up_at;             /* loop time; 0: never */
    char found[INET6_ADDRSTRLEN];    /* by the last lookup */
    struct sigma_addresses now, told;
    uint64_t n_failures;
    usec_t last_beat_at;             /* wall; of the last that was taken */
};

static void send_now(struct sigma *s);

/* -- what we are */

static void discovered(struct sigma *s)
{
    if (s->found[0] && !sigma_addresses_have_public(&s->now))
        (void)sigma_addresses_add(&s->now, str_of(s->found));
    if (s->now.is_cut)
        log_warn("sigma.addresses", "only so many addresses are reported", LOG_U64("addresses", s->now.n));
    send_now(s);
}

static void on_found(void *ctx, struct str ip)
{
    struct sigma *s = ctx;

    if (ip.len)
        (void)str_copy(ip, s->found, sizeof(s->found));
    else
        log_warn("sigma.lookup", "nobody could say what the public address of this host is");
    sigma_lookup_free(TAKE(s->lookup));
    discovered(s);
}

/* Then send_now(). */
static void discover(struct sigma *s)
{
    usec_t now = loop_now(s->loop);

    sigma_addresses_read(s->opt.root, s->opt.keep_172, &s->now);
    if (s->opt.public_ip)
        (void)sigma_addresses_add(&s->now, str_of(s->opt.public_ip));
    if (sigma_addresses_have_public(&s->now) || !s->opt.public_ip_url || !*s->opt.public_ip_url ||
        (s->looked_up_at && now < s->looked_up_at + LOOKUP_EVERY)) {
        discovered(s);
        return;
    }
    s->looked_up_at = now ? now : 1;
    s->lookup = sigma_lookup_new(s->loop, s->opt.public_ip_url, s->opt.ca_file, on_found, s);
}

static void put_addresses(const struct sigma_addresses *a, struct jw *w)
{
    jw_key(w, "ip_addresses");
    jw_list(w);
    for (size_t i = 0; i < a->n; i++) {
        jw_map(w);
        jw_key(w, "ip");
        jw_cstr(w, a->v[i].ip);
        jw_key(w, "label");
        jw_cstr(w, a->v[i].label);
        jw_end_map(w);
    }
    jw_end_list(w);
}

static void put_info(struct sigma *s, struct jw *w)
{
    const struct port_scan *scan = s->ports ? &ports_result(s->ports)->scan : NULL;

    jw_key(w, "system_info");
    sigma_info_write(s->opt.root, s->http ? ports_http_port(s->http) : 0, scan && scan->at ? scan : NULL,
                     s->opt.max_allocate, w);
}

/* Keys in the order of the seed's agent. */
static int make_body(struct sigma *s, struct buf *out)
{
    struct jw w = JW(out);

    jw_map(&w);
    jw_key(&w, "hostname");
    jw_cstr(&w, s->hostname);
    if (!s->is_registered) {
        if (s->opt.alias && *s->opt.alias) {
            jw_key(&w, "alias");
            jw_cstr(&w, s->opt.alias);
        }
        put_addresses(&s->now, &w);
        jw_key(&w, "ssh_port");
        jw_u64(&w, s->opt.ssh_port);
        put_info(s, &w);
    } else {
        put_info(s, &w);
        if (!sigma_addresses_eq(&s->now, &s->told)) /* ours: the seed's agent never looks again */
            put_addresses(&s->now, &w);
    }
    jw_end_map(&w);
    return jw_done(&w);
}

/* -- the metrics server */

static struct ports *lend_ports(void *ctx)
{
    return ((struct sigma *)ctx)->ports;
}

static void put_family(struct buf *out, const char *name, const char *type, const char *help, const char *hostname, const char *more,
                       uint64_t value, bool is_us)
{
    (void)buf_printf(out, "\n# HELP %s %s\n# TYPE %s %s\n%s{hostname=\"", name, help, name, type, name);
    (void)ports_label(out, str_of(hostname));
    (void)buf_printf(out, "\"%s} %llu", more, (unsigned long long)(is_us ? value / USEC_PER_SEC : value));
    if (is_us)
        (void)buf_printf(out, ".%03llu", (unsigned long long)(value % USEC_PER_SEC / 1000));
    (void)buf_char(out, '\n');
}

static void more_metrics(void *ctx, struct buf *out)
{
    const struct sigma *s = ctx;

    put_family(out, "sigma_agent_build_info", "gauge", "Version of this agent.", s->hostname,
               ",agent=\"muster-agent\",version=\"" MUSTER_VERSION "\"", 1, false);
    put_family(out, "sigma_heartbeat_failures_total", "counter", "Heartbeats and registrations that were not taken.", s->hostname, "",
               s->n_failures, false);
    put_family(out, "sigma_heartbeat_last_success_timestamp_seconds", "gauge", "When the last one was taken, 0: none was.", s->hostname, "",
               s->last_beat_at, true);
}

/* A port somebody else has is no reason to stay away: it is tried again with each heartbeat, and not reported until then. */
static void serve_metrics(struct sigma *s)
{
    struct ports_http_conf conf = { .loop = s->loop, .addr = s->opt.metrics_bind, .port = (uint16_t)s->opt.metrics_port,
                                    .hostname = s->hostname, .token = s->opt.metrics_token, .max_count = s->opt.max_allocate,
                                    .ports = lend_ports, .more = more_metrics, .ctx = s };
    struct err err = { 0 };

    if (s->http || s->opt.metrics_port == 0)
        return;
    if (ports_http_new(&conf, &s->http, &err) < 0)
        log_error("sigma.metrics", "the metrics server cannot listen", LOG_ERR(&err));
    else
        log_info("sigma.metrics", "metrics are served", LOG_CSTR("address", s->opt.metrics_bind), LOG_U64("port", ports_http_port(s->http)));
}

/* -- when */

usec_t sigma_next_beat(usec_t due, usec_t every, usec_t now, usec_t not_before)
{
    usec_t from = not_before > now + 1 ? not_before : now + 1;

    assert(every > 0);
    return due >= from ? due : due + (from - due + every - 1) / every * every;
}

static void beat_at(struct sigma *s, usec_t at_least)
{
    usec_t now = loop_now(s->loop);

    s->due = sigma_next_beat(s->due, s->opt.interval_s * USEC_PER_SEC, now, at_least);
    timer_start(s->beat, s->due - now, 0);
}

static void on_due(void *ctx)
{
    struct sigma *s = ctx;

    if (s->is_busy)
        return;
    s->is_busy = true;
    serve_metrics(s);
    discover(s);
}

/* After @at_least, and later with each failure; a crowd of agents does not come back at once. */
static void retry_later(struct sigma *s, usec_t at_least)
{
    usec_t after;

    s->backoff = s->backoff == 0 ? RETRY_FIRST : s->backoff * 2 > RETRY_MAX ? RETRY_MAX : s->backoff * 2;
    after = s->backoff - s->backoff / 5 + rand_below(s->backoff * 2 / 5 + 1);
    timer_start(s->retry, after > at_least ? after : at_least, 0);
}

/* -- talking */

static bool is_refused(const struct outbound_reply *r)
{
    return r->status == 401 || r->status == 403;
}

/* The answer to both: a machine with id, hostname and status. */
static void check_answer(const struct outbound_reply *r)
{
    AUTO(arena_free) struct arena *a = arena_new(ANSWER_ARENA);
    struct sigma_registered got;
    struct record_errors errs = { 0 };
    struct err err = { 0 };

    if (r->body.len && record_decode_json(&sigma_registered_record, a, r->body, ANSWER_ARENA, &got, &errs, &err) == 0 &&
        got.seen.present == 7 && got.seen.null == 0)
        log_debug("sigma.taken", "the server knows this host", LOG_STR("id", got.id), LOG_STR("hostname", got.hostname),
                  LOG_STR("status", got.status));
    else
        log_warn("sigma.answer", "the server's answer cannot be read: it should be a VPS with id, hostname and status",
                 LOG_CSTR("why", err.text));
}

static void taken(struct sigma *s, const struct outbound_reply *r)
{
    check_answer(r);
    s->told = s->now;
    s->last_beat_at = clock_wall(&clock_real);
    if (s->queue)
        sigma_queue_known(s->queue);
}

static void on_registered(void *ctx, const struct outbound_reply *r)
{
    struct sigma *s = ctx;
    char why[ERR_TEXT_MAX];

    s->is_busy = false;
    if (r->status >= 200 && r->status < 300) {
        taken(s, r);
        log_info("sigma.registered", "registered", LOG_CSTR("hostname", s->hostname), LOG_U64("addresses", s->now.n));
        s->is_registered = true;
        s->backoff = 0;
        s->due = loop_now(s->loop);
        beat_at(s, 0);
        if (s->queue)
            sigma_queue_start(s->queue);
        return;
    }
    s->n_failures++;
    sigma_talk_why(r, why, sizeof(why));
    if (is_refused(r))
        log_error("sigma.refused", "the server refuses our key; the next attempt is some minutes away", LOG_I64("status", r->status),
                  LOG_CSTR("why", why));
    else
        log_error("sigma.register", "registering failed", LOG_I64("status", r->status), LOG_CSTR("why", why));
    retry_later(s, is_refused(r) ? s->opt.auth_backoff : r->retry_after);
}

static void on_beat_answer(void *ctx, const struct outbound_reply *r)
{
    struct sigma *s = ctx;
    char why[ERR_TEXT_MAX];
    usec_t now = loop_now(s->loop);

    s->is_busy = false;
    if (r->status >= 200 && r->status < 300) {
        taken(s, r);
        beat_at(s, 0);
        return;
    }
    s->n_failures++;
    sigma_talk_why(r, why, sizeof(why));
    if (r->status == 404) {
        log_warn("sigma.unknown", "the server does not know this host (any more): registering", LOG_CSTR("why", why));
        s->is_registered = false;
        timer_start(s->retry, 0, 0);
    } else if (is_refused(r)) {
        log_error("sigma.refused", "the server refuses our key; the next heartbeat is some minutes away", LOG_I64("status", r->status),
                  LOG_CSTR("why", why));
        s->due = now + s->opt.auth_backoff; /* and from there on the grid */
        timer_start(s->beat, s->opt.auth_backoff, 0);
    } else {
        log_warn("sigma.heartbeat", "a heartbeat was not taken", LOG_I64("status", r->status), LOG_CSTR("why", why));
        beat_at(s, r->retry_after ? now + r->retry_after : 0);
    }
}

static void send_now(struct sigma *s)
{
    AUTO(buf_done) struct buf body = BUF(BODY_MAX);

    if (make_body(s, &body) < 0) { /* cannot be: every part has its cap */
        log_error("sigma.body", "the report does not fit");
        s->is_busy = false;
        retry_later(s, 0);
        return;
    }
    sigma_talk_send(s->talk, s->is_registered ? "/agent/heartbeat" : "/agent/register", buf_as_str(&body), 0,
                    s->is_registered ? on_beat_answer : on_registered, s);
}

/* -- life */

static void on_scanned(void *ctx)
{
    struct sigma *s = ctx;
    const struct err *trouble = ports_trouble(s->ports);
    const struct port_scan *scan = &ports_result(s->ports)->scan;

    if (trouble)
        log_warn("sigma.scan", "the port scan failed", LOG_ERR(trouble));
    else
        log_debug("sigma.scan", "ports were scanned", LOG_U64("total", scan->total), LOG_U64("available", scan->available),
                  LOG_U64("us", scan->duration_us));
}

static int start_scan(struct sigma *s, struct err *err)
{
    AUTO_FREE char *leases = NULL;
    AUTO_FREE struct port_source *sources = xcalloc(s->opt.sources.n + 1, sizeof(*sources));
    struct ports_conf conf = { .loop = s->loop, .root = "", .first = s->opt.first, .last = s->opt.last,
                               .every = s->opt.port_scan_interval_s * USEC_PER_SEC, .method = (enum port_method)s->opt.scan_method,
                               .max_count = s->opt.max_allocate, .sources = sources, .n_sources = s->opt.sources.n,
                               .ss = s->opt.scan_owners ? "ss" : NULL, .scanned = on_scanned, .ctx = s };

    if (s->opt.state_dir && *s->opt.state_dir) {
        int r = fd_mkdirs(s->opt.state_dir, 0700);

        if (r < 0)
            return err_set(err, r, "config.state_dir", "--state-dir: %s: %s", s->opt.state_dir, strerror(-r));
        conf.lease_file = leases = xasprintf("%s/port-leases.json", s->opt.state_dir);
    }
    for (size_t i = 0; i < s->opt.sources.n; i++)
        sources[i] = (struct port_source){ s->opt.sources.v[i].key, s->opt.sources.v[i].value };
    return ports_new(&conf, &s->ports, err);
}

static void on_stop(void *ctx)
{
    struct sigma *s = ctx;

    log_info("sigma.stop", "stopping");
    loop_stop(s->loop);
}

static int start(struct sigma *s, struct err *err)
{
    struct sigma_talk_conf talk = { .loop = s->loop, .api_url = s->opt.api_url, .api_key = s->opt.api_key, .ca_file = s->opt.ca_file,
                                    .total_timeout = s->opt.request_timeout };
    struct sigma_queue_conf queue = { .loop = s->loop, .hostname = s->hostname, .auth_backoff = s->opt.auth_backoff };
    int r;

    if (s->opt.port_scan && (r = start_scan(s, err)) < 0)
        return r;
    r = sigma_talk_new(&talk, &s->talk, err);
    if (r < 0)
        return r;
    queue.ports = s->ports;
    if (s->ports && s->opt.port_requests) {
        r = sigma_talk_new(&talk, &queue.talk, err);
        if (r < 0)
            return r;
        s->queue = sigma_queue_new(&queue);
    }
    s->retry = timer_new(s->loop, on_due, s);
    s->beat = timer_new(s->loop, on_due, s);
    on_due(s);
    return 0;
}

static void sigma_done(struct sigma *s)
{
    /* the scan's answers go to queue and server, so these come after it */
    ports_free(TAKE(s->ports));
    ports_http_free(s->http);
    sigma_queue_free(s->queue);
    sigma_lookup_free(s->lookup);
    sigma_talk_free(s->talk);
    timer_free(s->retry);
    timer_free(s->beat);
    loop_free(s->loop);
    free(s->hostname);
}

static int fail(int code, const struct err *err)
{
    (void)fprintf(stderr, "sigma-agent: %s\n", err->text);
    return code;
}

static int run(struct sigma *s)
{
    struct log_conf log = { .level = (enum log_level)sigma_log_level(s->opt.log), .format = LOG_PRETTY };
    struct err err = { 0 };
    int code = 0;

    if (s->opt.port_scan && port_range_parse(str_of(s->opt.port_scan_range), &s->opt.first, &s->opt.last, &err) < 0)
        return fail(EXIT_RANGE, &err);
    (void)log_open(&log, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    s->hostname = sigma_hostname(&s->opt);
    s->loop = loop_new();
    loop_on_signal(s->loop, SIGTERM, on_stop, s);
    loop_on_signal(s->loop, SIGINT, on_stop, s);
    log_info("sigma.start", "muster-agent " MUSTER_VERSION " as sigma-agent", LOG_CSTR("server", s->opt.api_url),
             LOG_CSTR("hostname", s->hostname), LOG_U64("interval_s", s->opt.interval_s));
    if (start(s, &err) < 0)
        code = fail(EXIT_USAGE, &err);
    else
        loop_run(s->loop);
    sigma_done(s);
    log_done();
    return code;
}

static int print_text(int (*make)(const struct conf_table *t, struct buf *out))
{
    AUTO(buf_done) struct buf text = BUF(1 << 20);

    return make(&sigma_options_table, &text) == 0 && fd_write_all(STDOUT_FILENO, text.ptr, text.len) == 0 ? 0 : 1;
}

static int sigma_main(int argc, char **argv)
{
    struct sigma s = { 0 };
    struct err err = { 0 };
    int r = sigma_options_load(&s.conf, &s.opt, argc, argv, &err), code;

    if (r == CONF_HELP)
        code = print_text(conf_help);
    else if (r == CONF_VERSION)
        code = printf("sigma-agent (muster-agent " MUSTER_VERSION ")\n") > 0 ? 0 : 1;
    else if (r < 0)
        code = fail(EXIT_USAGE, &err);
    else if (s.opt.man)
        code = print_text(conf_man);
    else
        code = run(&s);
    conf_done(&s.conf);
    return code;
}

const struct personality personality_sigma = {
    .name = "sigma", .argv0 = "sigma-agent", .summary = "reports to a sigma server", .main = sigma_main
};
