/* agent/dialects/argus_agent.c - the agent's loop: polls, heartbeats, backoff, and when to give up. See argus.h.
 *
 * Two connections: polls may be long ones, and must not keep an acknowledgement waiting. Only time that runs by itself is used here,
 * never the calendar's: a host whose clock is a day off works like any other. */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "agent/dialects/argus.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"

enum { WAIT_S = 25, TIMEOUT_S = 15, ROTATE_EVERY_S = 10, SOON_MS = 50, EXEC_MAX = 4096 };

void argus__end(struct argus *g, int code)
{
    g->exit_code = code;
    loop_stop(g->loop);
}

void argus__maybe_done(struct argus *g)
{
    if (!g->opt->once || !g->has_polled || g->is_talking)
        return;
    for (size_t i = 0; i < g->book->cmds.n; i++)
        if (g->book->cmds.v[i]->phase == ARGUS_RUNNING && g->book->cmds.v[i]->answer == ARGUS_NO_ANSWER)
            return; /* its start is not known yet */
    argus__end(g, ARGUS_EXIT_OK);
}

bool argus__reread_token(struct argus *g)
{
    AUTO(argus__cache_done) struct argus_cache c = { 0 };

    if (argus__cache_read(g->opt->state_dir, &c, NULL) < 0 || !argus__same_origin(c.url, g->cache.url) ||
        strcmp(c.token, g->cache.token) == 0)
        return false;
    log_info("agent.token", "the agent was registered anew: going on with the new token", LOG_CSTR("agent", c.agent_id));
    secret_free(g->cache.token);
    free(g->cache.agent_id);
    g->cache.token = TAKE(c.token);
    g->cache.agent_id = TAKE(c.agent_id);
    return true;
}

static usec_t poll_every(const struct argus *g)
{
    return g->opt->poll_interval ? g->opt->poll_interval : (g->cache.poll_s ? g->cache.poll_s : ARGUS_POLL_S) * USEC_PER_SEC;
}

static usec_t beat_every(const struct argus *g)
{
    return g->opt->heartbeat_interval ? g->opt->heartbeat_interval
                                      : (g->book->heartbeat_s ? g->book->heartbeat_s : ARGUS_HEARTBEAT_S) * USEC_PER_SEC;
}

static bool is_long_poll(const struct argus *g)
{
    return g->book->has_wait && !g->opt->once && !g->opt->dry_run;
}

usec_t argus__wait_after(uint32_t n_failures, const struct outbound_reply *r)
{
    const usec_t most = ARGUS_RETRY_AFTER_MAX_S * USEC_PER_SEC;

    if (r->retry_after)
        return r->retry_after < most ? r->retry_after : most;
    return argus__backoff(n_failures);
}

void argus__talk_done(struct argus *g)
{
    argus__keep(g);
    /* All that was handed out is acknowledged: what came meanwhile need not wait for the interval. */
    if (g->has_news && is_long_poll(g) && !g->is_polling && g->n_poll_failures == 0)
        timer_start(g->poll_timer, SOON_MS * USEC_PER_MS, 0);
    g->has_news = false;
    argus__maybe_done(g);
}

/* -- polls */

static void on_job(void *ctx, const struct argus_job *job, const char *why)
{
    struct argus *g = ctx;

    if (g->opt->dry_run)
        argus__work_dry(g, job, why);
    else
        argus__work(g, job, why);
}

/* Intents nothing came of and the server no longer asks for. */
static void drop_stale(struct argus *g)
{
    for (size_t i = 0; i < g->book->cmds.n;) {
        struct argus_cmd *c = g->book->cmds.v[i];

        if (c->kind == ARGUS_RERUN && c->phase == ARGUS_INTENT && !c->is_seen)
            argus__book_remove(g->book, c);
        else
            i++;
    }
}

static void poll_failed(struct argus *g, const struct outbound_reply *r, const char *text)
{
    usec_t wait = argus__wait_after(++g->n_poll_failures, r);

    log_warn("poll.failed", "the server could not be asked", LOG_CSTR("why", text), LOG_U64("again_in_ms", wait / USEC_PER_MS));
    if (g->opt->once || g->opt->dry_run)
        argus__end(g, argus__is_downgrade(r) || (r->err && strcmp(r->err->slug, "net.tls") == 0) ? ARGUS_EXIT_INSECURE : ARGUS_EXIT_RUNTIME);
    else
        timer_start(g->poll_timer, argus__jitter(wait, rand_u64()), 0);
}

static void poll_unauthorized(struct argus *g)
{
    if (argus__reread_token(g)) {
        g->n_unauthorized = 0;
        timer_start(g->poll_timer, SOON_MS * USEC_PER_MS, 0);
        return;
    }
    if (++g->n_unauthorized >= ARGUS_UNAUTHORIZED_MAX || g->opt->once || g->opt->dry_run) {
        log_error("agent.unauthorized", "the server rejects this agent's token: run `argus-agent --reregister` with ARGUS_TOKEN set",
                  LOG_CSTR("agent", g->cache.agent_id));
        argus__end(g, ARGUS_EXIT_TOKEN);
        return;
    }
    log_warn("poll.unauthorized", "the server rejects this agent's token; asking again", LOG_U64("times", g->n_unauthorized));
    timer_start(g->poll_timer, argus__jitter(poll_every(g), rand_u64()), 0);
}

static void poll_answered(struct argus *g, const struct outbound_reply *r)
{
    struct err err = { 0 };
    usec_t took = loop_now(g->loop) - g->poll_began, wait = poll_every(g);
    int n;

    for (size_t i = 0; i < g->book->cmds.n; i++)
        g->book->cmds.v[i]->is_seen = false;
    n = argus__jobs_each(r->body, on_job, g, &err);
    if (n < 0) {
        poll_failed(g, r, err.text);
        return;
    }
    if (!g->opt->dry_run) {
        drop_stale(g);
        argus__keep(g); /* before anything of it is told */
    }
    if (g->n_poll_failures > 0)
        log_info("poll.works", "the server answers again");
    g->n_poll_failures = g->n_unauthorized = 0;
    g->has_polled = true;
    if (g->opt->dry_run) {
        if (n == 0)
            (void)printf("there is nothing to do\n");
        argus__end(g, ARGUS_EXIT_OK);
        return;
    }
    if (is_long_poll(g) && n == 0 && took >= USEC_PER_SEC)
        wait = SOON_MS * USEC_PER_MS;
    timer_start(g->poll_timer, argus__jitter(wait, rand_u64()), 0);
    argus__talk(g);
}

static void on_poll(void *ctx, const struct outbound_reply *r)
{
    struct argus *g = ctx;
    char text[512];

    g->is_polling = false;
    if (r->status == 200) {
        poll_answered(g, r);
    } else if (r->status == 401) {
        poll_unauthorized(g);
    } else if (r->status == 403) {
        argus__reply_text(r, text, sizeof(text));
        log_error("agent.forbidden", "this token is not this agent's, or may not poll: register anew", LOG_CSTR("agent", g->cache.agent_id),
                  LOG_CSTR("why", text));
        argus__end(g, ARGUS_EXIT_TOKEN);
    } else {
        argus__reply_text(r, text, sizeof(text));
        poll_failed(g, r, text);
    }
}

static void on_poll_timer(void *ctx)
{
    struct argus *g = ctx;
    bool is_long = is_long_poll(g);
    AUTO_FREE char *path = is_long ? xasprintf("/api/agents/%s/jobs?wait=%d", g->cache.agent_id, WAIT_S)
                                   : xasprintf("/api/agents/%s/jobs", g->cache.agent_id);
    struct argus_ask q = { .method = "GET", .path = path, .token = g->cache.token, .done = on_poll, .ctx = g,
                           .timeout = (TIMEOUT_S + (is_long ? WAIT_S : 0)) * USEC_PER_SEC };

    if (g->is_polling)
        return;
    g->is_polling = true;
    g->poll_began = loop_now(g->loop);
    (void)argus__send(g->poll_out, &q);
}

/* -- other timers */

static void on_talk_timer(void *ctx)
{
    argus__talk(ctx);
}

static void on_beat_timer(void *ctx)
{
    struct argus *g = ctx;

    g->is_beat_due = true;
    argus__talk(g);
    timer_start(g->beat_timer, argus__jitter(beat_every(g), rand_u64()), 0);
}

/* Copying may take a while on a slow disk: on a pool thread, with names of its own. */
struct argus_rotation {
    struct argus *owner; /* NULL: it ended meanwhile */
    char *dir;
    VEC(char *) ids;
    uint64_t max;
};

static void rotation_work(void *ctx)
{
    struct argus_rotation *t = ctx;

    for (size_t i = 0; i < t->ids.n; i++)
        (void)argus__log_rotate(t->dir, t->ids.v[i], t->max);
}

static void rotation_done(void *ctx)
{
    struct argus_rotation *t = ctx;

    if (t->owner)
        t->owner->rotation = NULL;
    for (size_t i = 0; i < t->ids.n; i++)
        free(t->ids.v[i]);
    vec_done(&t->ids);
    free(t->dir);
    free(t);
}

static void on_rotate_timer(void *ctx)
{
    struct argus *g = ctx;
    struct argus_rotation *t;

    if (g->rotation || argus__n_running(g) == 0)
        return;
    t = xnew0(struct argus_rotation);
    *t = (struct argus_rotation){ .owner = g, .dir = xstrdup(g->opt->state_dir), .max = g->opt->log_max };
    for (size_t i = 0; i < g->book->cmds.n; i++)
        if (g->book->cmds.v[i]->kind == ARGUS_RERUN && g->book->cmds.v[i]->phase == ARGUS_RUNNING)
            *vec_add(&t->ids) = xstrdup(g->book->cmds.v[i]->id);
    g->rotation = t;
    loop_work(g->loop, rotation_work, rotation_done, t);
}

static void on_signal(void *ctx)
{
    struct argus *g = ctx;

    log_info("agent.ends", "told to end; what was started goes on", LOG_U64("running", argus__n_running(g)));
    argus__end(g, ARGUS_EXIT_OK);
}

/* -- beginning and end */

/* Beside ourselves first: so a build directory works as it is. */
static char *find_hold(const struct argus_options *o)
{
    static const char *const places[] = { "", "/../libexec/muster" };
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    if (o->hold)
        return xstrdup(o->hold);
    self[n > 0 ? n : 0] = '\0';
    slash = strrchr(self, '/');
    for (size_t i = 0; slash && i < ARRAY_SIZE(places); i++) {
        AUTO_FREE char *path = xasprintf("%.*s%s/muster-hold", (int)(slash - self), self, places[i]);

        if (access(path, X_OK) == 0)
            return TAKE(path);
    }
    return xstrdup("/usr/libexec/muster/muster-hold");
}

static void agent_done(struct argus *g)
{
    if (g->rotation)
        g->rotation->owner = NULL;
    outbound_free(g->poll_out);
    outbound_free(g->talk_out);
    timer_free(g->poll_timer);
    timer_free(g->beat_timer);
    timer_free(g->talk_timer);
    timer_free(g->rotate_timer);
    exec_free(g->exec);
    argus__book_free(g->book);
    loop_free(g->loop);
}

static int agent_open(struct argus *g, int *ret_exit, struct err *err)
{
    AUTO_FREE char *hold = find_hold(g->opt);
    struct exec_conf conf = { .state_dir = g->opt->state_dir, .hold_path = hold, .max_running = EXEC_MAX, .allow_run = true };
    struct exec_ops ops = argus__exec_ops;
    struct argus_link link = { .url = g->cache.url, .ca_file = g->opt->ca_file, .insecure_http = g->opt->insecure_http };
    int r;

    g->loop = link.loop = loop_new();
    r = argus__outbound(&link, &g->poll_out, ret_exit, err);
    if (r == 0)
        r = argus__outbound(&link, &g->talk_out, ret_exit, err);
    if (r < 0)
        return r;
    *ret_exit = ARGUS_EXIT_RUNTIME;
    r = argus__book_open(g->opt->state_dir, &g->book, err);
    ops.ctx = g;
    if (r == 0)
        r = exec_open(g->loop, &conf, &ops, &g->exec, err);
    if (r < 0)
        return r;
    g->poll_timer = timer_new(g->loop, on_poll_timer, g);
    g->beat_timer = timer_new(g->loop, on_beat_timer, g);
    g->talk_timer = timer_new(g->loop, on_talk_timer, g);
    g->rotate_timer = timer_new(g->loop, on_rotate_timer, g);
    return 0;
}

int argus__agent_run(const struct argus_options *o, struct argus_cache *cache, struct err *err)
{
    struct argus g = { .opt = o, .cache = *cache, .exit_code = ARGUS_EXIT_OK };
    int code = ARGUS_EXIT_RUNTIME;

    *cache = (struct argus_cache){ 0 };
    if (agent_open(&g, &code, err) == 0) {
        loop_on_signal(g.loop, SIGINT, on_signal, &g);
        loop_on_signal(g.loop, SIGTERM, on_signal, &g);
        argus__work_adopt(&g);
        timer_start(g.poll_timer, 0, 0);
        if (!o->once && !o->dry_run) {
            timer_start(g.beat_timer, argus__jitter(beat_every(&g), rand_u64()), 0);
            timer_start(g.rotate_timer, ROTATE_EVERY_S * USEC_PER_SEC, ROTATE_EVERY_S * USEC_PER_SEC);
        }
        log_info("agent.runs", "polling for commands", LOG_CSTR("agent", g.cache.agent_id), LOG_CSTR("server", outbound_origin(g.poll_out)),
                 LOG_U64("every_ms", poll_every(&g) / USEC_PER_MS));
        loop_run(g.loop);
        argus__keep(&g);
        code = g.exit_code;
    }
    agent_done(&g);
    argus__cache_done(&g.cache);
    return code;
}
