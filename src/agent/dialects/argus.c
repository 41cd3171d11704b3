/* agent/dialects/argus.c - muster-agent as argus-agent: what the command line asks for, and registration. See argus.h. */
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/dialects/argus.h"
#include "agent/dialects/outbound_url.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/record.h"

enum { TOKEN_BYTES = 4096 };

static int fail(int code, const struct err *err)
{
    (void)fprintf(stderr, "argus-agent: %s\n", err->text[0] ? err->text : "failed");
    return code;
}

static int print_text(int (*fn)(const struct conf_table *t, struct buf *out))
{
    AUTO(buf_done) struct buf out = BUF(64 << 10);

    if (fn(&argus_options_table, &out) < 0)
        return ARGUS_EXIT_RUNTIME;
    return fwrite(out.ptr, 1, out.len, stdout) == out.len ? ARGUS_EXIT_OK : ARGUS_EXIT_RUNTIME;
}

static int print_unit(const struct argus_options *o)
{
    AUTO(buf_done) struct buf out = BUF(16 << 10);
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

    if (n <= 0)
        return ARGUS_EXIT_RUNTIME;
    exe[n] = '\0';
    if (argus__systemd_unit(o, exe, &out) < 0)
        return ARGUS_EXIT_RUNTIME;
    return fwrite(out.ptr, 1, out.len, stdout) == out.len ? ARGUS_EXIT_OK : ARGUS_EXIT_RUNTIME;
}

static void warn_loudly(const struct argus_options *o, const char *url)
{
    AUTO(outbound__url_done) struct outbound_url u = { 0 };

    if (!o->insecure_http || !url || outbound__url(str_of(url), false, &u, NULL) < 0 || u.is_tls || outbound__is_loopback(u.host))
        return;
    (void)fprintf(stderr, "argus-agent: WARNING: --insecure-http: the token and every command travel in the clear to %s.\n"
                          "argus-agent: WARNING: whoever is on the way can read the token and run commands on this host.\n", u.host);
}

/* -- registering */

/* The capabilities are the only place a label has in the strict body. */
static void write_request(const struct argus_options *o, struct buf *out)
{
    AUTO_FREE char *label = o->label ? xasprintf("label=%s", o->label) : NULL;
    char host[ARGUS_HOSTNAME_MAX + 1] = "";
    struct str capabilities[] = { STR("rerun"), STR("stop"), str_of(label) };
    struct argus_register rq = { .version = STR(MUSTER_VERSION), .capabilities = { capabilities, label ? 3 : 2 } };
    struct jw w = JW(out);

    if (!o->hostname)
        (void)gethostname(host, sizeof(host) - 1);
    rq.hostname = str_of(o->hostname ? o->hostname : host);
    record_write(&argus_register_record, &rq, &w);
    (void)jw_done(&w);
}

struct registration {
    const struct argus_options *opt;
    struct secret_room room; /* for the token, which the server says once and which kills the old one */
    struct err *err;
    int exit_code;
};

/* What the server said about itself is the book's; while an agent runs the book is its own, and it goes on without. */
static void note_features(const struct argus_options *o, const struct argus_registered *reg)
{
    AUTO(argus__book_free) struct argus_book *b = NULL;
    AUTO_FD int lock = argus__dir_lock(o->state_dir, NULL);

    if (lock < 0 || argus__book_open(o->state_dir, &b, NULL) < 0)
        return;
    b->heartbeat_s = reg->heartbeat_interval_s;
    b->has_exit = b->has_wait = false;
    for (size_t i = 0; i < reg->features.n; i++) {
        b->has_exit |= str_is(reg->features.v[i], "exit");
        b->has_wait |= str_is(reg->features.v[i], "wait");
    }
    (void)argus__book_save(b);
}

static int keep(struct registration *x, struct str body)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    struct record_errors errs;
    struct argus_registered reg;
    struct err why = { 0 };
    int r = record_decode_json(&argus_token_record, a, body, ARGUS_REPLY_BYTES, &reg, &errs, &why);

    if (r < 0 || !argus__id_is_safe(reg.agent_id))
        return err_set(x->err, -EBADMSG, "argus.reply", "the server's answer to the registration is not understood: %s",
                       r < 0 ? why.text : "a strange agent id");
    AUTO(argus__cache_done) struct argus_cache c = {
        .url = xstrdup(x->opt->url), .agent_id = str_dup(reg.agent_id), .token = str_dup(reg.agent_token), .poll_s = reg.poll_interval_s
    };
    r = argus__cache_write(&x->room, &c, x->err);
    if (r < 0)
        return r;
    note_features(x->opt, &reg);
    log_info("agent.registered", "registered", LOG_CSTR("agent", c.agent_id), LOG_CSTR("server", c.url));
    return 0;
}

static void on_registered(void *ctx, const struct outbound_reply *r)
{
    struct registration *x = ctx;
    char text[512];

    if (r->status == 200 || r->status == 201) {
        x->exit_code = keep(x, r->body) == 0 ? ARGUS_EXIT_OK : ARGUS_EXIT_RUNTIME;
        return;
    }
    argus__reply_text(r, text, sizeof(text));
    if (r->status == 401 || r->status == 403) {
        x->exit_code = ARGUS_EXIT_TOKEN;
        (void)err_set(x->err, -EACCES, "argus.token", "ARGUS_TOKEN was not accepted: %s", text);
    } else {
        x->exit_code = argus__is_downgrade(r) || (r->err && strcmp(r->err->slug, "net.tls") == 0) ? ARGUS_EXIT_INSECURE : ARGUS_EXIT_RUNTIME;
        (void)err_set(x->err, -EIO, "argus.register", "not registered: %s", text);
    }
}

static void on_interrupt(void *ctx)
{
    loop_stop(ctx);
}

static int do_register(const struct argus_options *o, struct err *err)
{
    AUTO(loop_free) struct loop *l = loop_new();
    AUTO(outbound_free) struct outbound *out = NULL;
    AUTO(buf_done) struct buf body = BUF(16 << 10);
    struct argus_link link = { .loop = l, .url = o->url, .ca_file = o->ca_file, .insecure_http = o->insecure_http };
    struct registration x = { .opt = o, .err = err, .exit_code = ARGUS_EXIT_RUNTIME };
    struct argus_ask q = { .method = "POST", .path = "/api/agents/register", .token = o->token, .done = on_registered, .ctx = &x };
    int code;

    warn_loudly(o, o->url);
    if (argus__outbound(&link, &out, &code, err) < 0)
        return code;
    write_request(o, &body);
    q.body = buf_as_str(&body);
    if (o->dry_run) {
        (void)printf("POST %s%s\n%.*s\n", o->url, q.path, STR_FMT(q.body));
        return ARGUS_EXIT_OK;
    }
    if (!o->token || !o->token[0]) {
        err_set(err, -EINVAL, "argus.token", "ARGUS_TOKEN is not set: a reporter token (em_live_...) is needed to register");
        return ARGUS_EXIT_TOKEN;
    }
    if (argus__cache_room(o->state_dir, &x.room, err) < 0)
        return ARGUS_EXIT_RUNTIME;
    loop_on_signal(l, SIGINT, on_interrupt, l);
    loop_on_signal(l, SIGTERM, on_interrupt, l);
    if (argus__call(l, out, &q) < 0)
        err_set(err, -EINTR, "argus.register", "not registered: interrupted");
    secret_room_done(&x.room);
    return x.exit_code;
}

/* A registration that is there is kept: the server would kill its token. */
static int register_once(struct argus_options *o, struct err *err)
{
    AUTO(argus__cache_done) struct argus_cache c = { 0 };
    int r = o->do_reregister ? -ENOENT : argus__cache_read(o->state_dir, &c, err);

    if (r == 0 && o->url && !argus__same_origin(o->url, c.url)) {
        err_set(err, -EEXIST, "argus.origin", "this host is registered at %s, not at %s: --reregister to change that", c.url, o->url);
        return ARGUS_EXIT_USAGE;
    }
    if (r == 0) {
        (void)printf("registered already as %s at %s\n", c.agent_id, c.url);
        return ARGUS_EXIT_OK;
    }
    if (r != -ENOENT && r != -EBADMSG)
        return r == -EPERM ? ARGUS_EXIT_TOKEN : ARGUS_EXIT_RUNTIME;
    *err = (struct err){ 0 };
    if (!o->url && o->do_reregister && argus__cache_read(o->state_dir, &c, NULL) == 0)
        o->url = xstrdup(c.url);
    if (!o->url) {
        err_set(err, -EINVAL, "config.usage", "ARGUS_URL is not set: which server?");
        return ARGUS_EXIT_USAGE;
    }
    return do_register(o, err);
}

/* -- running */

static int run(const struct argus_options *o, struct err *err)
{
    AUTO(argus__cache_done) struct argus_cache c = { 0 };
    AUTO_FD int lock = -1;
    int r = argus__cache_read(o->state_dir, &c, err);

    if (r < 0)
        return r == -ENOENT || r == -EPERM || r == -EBADMSG ? ARGUS_EXIT_TOKEN : ARGUS_EXIT_RUNTIME;
    if (o->url && !argus__same_origin(o->url, c.url)) {
        err_set(err, -EINVAL, "argus.origin", "ARGUS_URL is %s, but the token belongs to %s: it is not sent elsewhere. Register there with "
                                              "--reregister, or unset ARGUS_URL", o->url, c.url);
        return ARGUS_EXIT_USAGE;
    }
    if (o->url) { /* the same server; the path before /api may have changed */
        free(c.url);
        c.url = xstrdup(o->url);
    }
    if (!o->dry_run) {
        lock = argus__dir_lock(o->state_dir, err);
        if (lock < 0)
            return ARGUS_EXIT_RUNTIME;
    }
    warn_loudly(o, c.url);
    return argus__agent_run(o, &c, err);
}

/* -- the command line */

static int check_policy(const struct argus_options *o, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF(ARGUS_POLICY_BYTES);

    return o->policy ? argus__policy_read(o->policy, &text, err) : 0;
}

static int read_token_file(struct argus_options *o, struct err *err)
{
    AUTO(buf_done_secret) struct buf text = BUF(TOKEN_BYTES);
    int r;

    if (!o->token_file)
        return 0;
    r = fd_read_file(o->token_file, &text);
    if (r < 0)
        return err_set(err, r, "config.read", "%s: %m", o->token_file);
    secret_free(o->token);
    o->token = str_dup(str_trim(buf_as_str(&text)));
    return 0;
}

static int dispatch(struct argus_options *o, const char *word, struct err *err)
{
    bool is_register = o->do_register || o->do_reregister;

    if (word && strcmp(word, "register") == 0) {
        is_register = true;
    } else if (word && strcmp(word, "run") != 0) {
        err_set(err, -EINVAL, "config.usage", "do not know what to do with \"%s\"", word);
        return ARGUS_EXIT_USAGE;
    }
    if (o->print_systemd)
        return print_unit(o);
    if (check_policy(o, err) < 0 || read_token_file(o, err) < 0)
        return ARGUS_EXIT_USAGE;
    if (argus__dir_make(o->state_dir, err) < 0)
        return ARGUS_EXIT_RUNTIME;
    return is_register ? register_once(o, err) : run(o, err);
}

static int manual(const struct conf_table *t, struct buf *out)
{
    int r = conf_man(t, out);

    return r < 0 ? r
                 : buf_cstr(out, ".SH FILES\n.TP\n.I /etc/argus-agent/env, /etc/argus-agent/USER.env\n"
                                 "KEY=VALUE lines, mode 0600, that the units argus-agent@USER read, the second over the first. The agent itself\n"
                                 "reads its environment only: started by hand it knows nothing of them.\n"
                                 ".TP\n.I ~/.argus-agent/env\nThe same for the unit of one user (systemctl \\-\\-user).\n"
                                 ".TP\n.I /etc/argus-agent/policy\nWhere a policy belongs; used when \\fBARGUS_AGENT_POLICY\\fR names it.\n"
                                 ".TP\n.I ~/.argus-agent\ntoken.json, agent.lock, state.json, logs.\n");
}

static int argus_main(int argc, char **argv)
{
    struct conf conf = { 0 };
    struct argus_options o = { 0 };
    struct err err = { 0 };
    const char *word = NULL;
    int code, r = argus__options(&conf, &o, argc, argv, &word, &err);

    (void)umask(077);
    if (r == CONF_HELP)
        code = print_text(conf_help);
    else if (r == CONF_VERSION)
        code = printf("argus-agent " MUSTER_VERSION "\n") > 0 ? ARGUS_EXIT_OK : ARGUS_EXIT_RUNTIME;
    else if (r < 0)
        code = fail(ARGUS_EXIT_USAGE, &err);
    else if (o.man)
        code = print_text(manual);
    else {
        struct log_conf log = { .level = o.verbose ? LOG_DEBUG : (enum log_level)o.log_level, .format = (enum log_format)o.log_format,
                                .file = o.log_file };

        code = log_open(&log, &err) < 0 ? ARGUS_EXIT_USAGE : dispatch(&o, word, &err);
        if (code != ARGUS_EXIT_OK && err_is(&err))
            (void)fail(code, &err);
    }
    conf_done(&conf);
    log_done();
    return code;
}

const struct personality personality_argus = {
    .name = "argus",
    .argv0 = "argus-agent",
    .summary = "an Argus server's host agent: reruns and stops batches",
    .main = argus_main,
};
