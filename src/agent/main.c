/* muster-agent - the agent of a host: keeps one link to its server, tells facts, runs commands. docs/internals/roles.md, links.md.
 *
 * Exit codes: 0 ok, 1 failed, 2 usage, 5 denied by the server, 78 configuration. */
#define LOG_TARGET "agent"
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/address.h"
#include "agent/collect/collect.h"
#include "agent/dialects/personality.h"
#include "agent/hub.h"
#include "agent/link.h"
#include "agent/options.h"
#include "agent/policy.h"
#include "agent/ports.h"
#include "agent/state.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/loop.h"

enum { EXIT_USAGE = 2, EXIT_DENIED = 5, EXIT_CONFIG = 78, DEFAULT_PORT = 8120, DEFAULT_METRICS_PORT = 9102 };

struct agent {
    int argc;
    char **argv;
    struct conf conf;
    struct options opt;
    struct policy policy;
    struct join_token token;
    bool has_token;
    char *ca_pem, *host, *hold_path, *metrics_addr;
    uint16_t port;
    struct loop *loop;
    struct state *state;
    struct hub *hub;
    struct link *link;
    struct role_settings settings;
    bool enroll_only;
    bool was_enrolled;  /* at the start, as far as the files say */
    bool is_in;         /* the server said so */
    struct err unasked; /* why it could not be asked */
    int exit_code;
};

/* -- small things of a daemon */

/* One datagram to the service manager, if there is one. */
static void tell_systemd(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    size_t n = path ? strlen(path) : 0;
    AUTO_FD int fd = -1;

    if (n == 0 || n >= sizeof(sa.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(sa.sun_path, path, n);
    if (path[0] == '@')
        sa.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        (void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&sa,
                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

/* An agent is small because it asks for little and gives back: one arena, large pieces mapped, few and small threads. */
static void stay_small(void)
{
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MMAP_THRESHOLD, 64 << 10);
    (void)mallopt(M_TRIM_THRESHOLD, 32 << 10);
    (void)mallopt(M_TOP_PAD, 16 << 10);
    loop_small_pool(); /* only names are looked up there */
}

static int fail(int code, const struct err *err)
{
    (void)fprintf(stderr, "muster-agent: %s\n", err->text[0] ? err->text : "failed");
    return code;
}

static int start_log(const struct options *o, struct err *err)
{
    struct log_conf conf = {
        .level = (enum log_level)o->log_level, .format = (enum log_format)o->log_format, .file = o->log_file, .ring_lines = 0
    };

    return log_open(&conf, err);
}

/* Labels of the command line over those of the file. */
static void merge_labels(struct options *o)
{
    for (size_t i = 0; i < o->label.n; i++) {
        size_t at = 0;

        while (at < o->labels.n && strcmp(o->labels.v[at].key, o->label.v[i].key) != 0)
            at++;
        if (at == o->labels.n) {
            o->labels.v = xreallocarray(o->labels.v, ++o->labels.n, sizeof(*o->labels.v));
            o->labels.v[at].key = xstrdup(o->label.v[i].key);
        } else {
            free(o->labels.v[at].value);
        }
        o->labels.v[at].value = xstrdup(o->label.v[i].value);
    }
}

/* Beside ourselves first: so a build directory works as it is. */
static char *find_hold(const struct options *o)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    if (o->hold)
        return xstrdup(o->hold);
    if (n > 0) {
        self[n] = '\0';
        slash = strrchr(self, '/');
        if (slash) {
            char *beside, *libexec;

            *slash = '\0';
            beside = xasprintf("%s/muster-hold", self);
            if (access(beside, X_OK) == 0)
                return beside;
            free(beside);
            libexec = xasprintf("%s/../libexec/muster/muster-hold", self);
            if (access(libexec, X_OK) == 0)
                return libexec;
            free(libexec);
        }
    }
    return xstrdup("/usr/libexec/muster/muster-hold");
}

/* -- preparing */

static int read_token(struct agent *a, struct err *err)
{
    AUTO(buf_done_secret) struct buf b = BUF(4096);
    int r;

    if (a->opt.token) {
        r = join_token_parse(str_of(a->opt.token), &a->token, err);
        secret_wipe(a->opt.token, strlen(a->opt.token));
        (void)unsetenv("MUSTER_TOKEN");
    } else if (a->opt.token_file) {
        r = fd_read_file(a->opt.token_file, &b);
        if (r < 0)
            return err_set(err, r, "config.read", "%s: %m", a->opt.token_file);
        r = join_token_parse(buf_as_str(&b), &a->token, err);
    } else {
        return 0;
    }
    a->has_token = r == 0;
    return r;
}

static int read_ca(struct agent *a, struct err *err)
{
    AUTO(buf_done) struct buf b = BUF(64 << 10);
    struct pki_cert cert;
    int r;

    if (!a->opt.ca)
        return 0;
    r = fd_read_file(a->opt.ca, &b);
    if (r < 0)
        return err_set(err, r, "config.read", "%s: %m", a->opt.ca);
    r = pki_cert_read(buf_as_str(&b), &cert, err);
    if (r < 0) {
        err_prefix(err, "%s", a->opt.ca);
        return r;
    }
    a->ca_pem = str_dup(buf_as_str(&b));
    return 0;
}

/* A token of another server for a host that already belongs to one is a mistake that must not pass in silence. */
static int check_token(struct agent *a, struct err *err)
{
    struct pki_cert ca;

    if (!a->has_token || !a->state->cert_pem || !a->state->ca_pem)
        return 0;
    if (pki_cert_read(str_of(a->state->ca_pem), &ca, err) < 0)
        return 0;
    if (memcmp(ca.spki_sha256, a->token.pin, SHA256_LEN) == 0) {
        log_debug("enroll.token", "already enrolled: the token is not needed");
        return 0;
    }
    return err_set(err, -EEXIST, "config.token", "this host belongs to fleet %s already, and the token is for another server. To move the "
                                                 "host, stop the agent and remove %s",
                   a->state->fleet ? a->state->fleet : "(unknown)", a->state->dir);
}

/* What the roles port_scan and exporter are told. */
static int read_settings(struct agent *a, struct err *err)
{
    struct role_settings *s = &a->settings;
    int r = 0;

    *s = (struct role_settings){ .scan_every = a->opt.port_scan_interval, .scan_method = a->opt.port_scan_method,
                                 .scan_max_count = a->opt.port_scan_max, .metrics_token = a->opt.metrics_token };
    if (a->opt.port_scan)
        r = port_range_parse(str_of(a->opt.port_scan), &s->scan_first, &s->scan_last, err);
    if (r == 0 && a->opt.metrics_listen)
        r = address_parse(str_of(a->opt.metrics_listen), DEFAULT_METRICS_PORT, &a->metrics_addr, &s->metrics_port, err);
    s->metrics_addr = a->metrics_addr;
    return r;
}

static int read_policy(const struct agent *a, struct policy *ret, struct err *err)
{
    AUTO(policy_done) struct policy p = { 0 };
    int r = policy_read(a->opt.policy ? a->opt.policy : OPTIONS_POLICY, a->opt.policy != NULL, &p, err);

    if (r == 0)
        r = hub_check_policy(&p, err);
    if (r < 0)
        return r;
    *ret = p;
    p = (struct policy){ 0 };
    return 0;
}

static int prepare(struct agent *a, struct err *err)
{
    const char *server;
    int r = read_policy(a, &a->policy, err);

    if (r == 0)
        r = read_token(a, err);
    if (r == 0)
        r = read_ca(a, err);
    if (r == 0)
        r = state_open(a->opt.state_dir, &a->state, err);
    if (r == 0)
        r = check_token(a, err);
    if (r < 0)
        return r;
    server = a->opt.server ? a->opt.server : a->state->server;
    if (!server)
        return err_set(err, -EINVAL, "config.server", "which server? --server HOST:PORT, or server: in " OPTIONS_CONFIG);
    r = address_parse(str_of(server), DEFAULT_PORT, &a->host, &a->port, err);
    if (r < 0)
        return r;
    if (!a->state->cert_pem && !a->has_token && !a->ca_pem && !a->state->ca_pem)
        return err_set(err, -EINVAL, "config.token", "this host is not enrolled, and without --token or --ca there is no way to know the "
                                                     "server. Make a token on the server with: muster token create");
    r = read_settings(a, err);
    if (r < 0)
        return r;
    merge_labels(&a->opt);
    a->hold_path = find_hold(&a->opt);
    return state_make_key(a->state, err);
}

/* -- running */

static void on_stop(void *ctx)
{
    struct agent *a = ctx;

    log_info("agent.stop", "stopping; running commands go on and are met again at the next start");
    tell_systemd("STOPPING=1");
    if (!link_leave(a->link)) /* a second signal does not wait either */
        loop_stop(a->loop);
}

static void on_left(void *ctx)
{
    struct agent *a = ctx;

    loop_stop(a->loop);
}

static void on_reload(void *ctx)
{
    struct agent *a = ctx;
    struct options fresh = { 0 };
    struct conf conf;
    struct policy policy;
    struct err err = { 0 };
    const char *sub;

    tell_systemd("RELOADING=1");
    if (options_load(&conf, &fresh, a->argc, a->argv, &sub, &err) != CONF_OK || start_log(&fresh, &err) < 0 ||
        read_policy(a, &policy, &err) < 0) {
        log_error("config.reload", "the configuration stays as it was", LOG_ERR(&err));
        conf_done(&conf);
        tell_systemd("READY=1");
        return;
    }
    merge_labels(&fresh);
    { /* the link has a pointer to the labels: exchange what is in it */
        struct conf_map old = a->opt.labels;

        a->opt.labels = fresh.labels;
        fresh.labels = old;
    }
    conf_done(&conf);

    struct policy before = a->policy;

    a->policy = policy;
    if (a->hub)
        hub_policy_changed(a->hub);
    policy_done(&before);
    log_info("config.reload", "configuration and policy were read anew; labels are told at the next connection");
    tell_systemd("READY=1");
}

static void on_enrolled(void *ctx)
{
    struct agent *a = ctx;

    a->is_in = true;
    if (a->enroll_only)
        loop_stop(a->loop);
}

/* Who waits to be let in waits on; who is in by its files is told so now, and that nobody confirmed it. */
static void on_failed(void *ctx, const struct err *err)
{
    struct agent *a = ctx;

    if (!a->enroll_only || !a->was_enrolled)
        return;
    a->unasked = *err;
    loop_stop(a->loop);
}

static void on_up(void *ctx)
{
    (void)ctx;
    tell_systemd("STATUS=connected");
    (void)malloc_trim(0);
}

static void on_over(void *ctx, int code, const struct err *err)
{
    struct agent *a = ctx;

    log_error("agent.over", "the agent gives up", LOG_ERR(err));
    a->exit_code = code;
    loop_stop(a->loop);
}

static int run(struct agent *a, struct err *err)
{
    struct hub_conf hub = { .state_dir = a->state->dir, .hold_path = a->hold_path, .policy = &a->policy, .spool_max_bytes = a->opt.spool_max,
                            .settings = a->settings };
    struct link_conf link = { .state = a->state, .host = a->host, .port = a->port, .ca_pem = a->ca_pem, .labels = &a->opt.labels };
    struct link_ops ops = { on_enrolled, on_up, on_over, on_failed, on_left, a };
    int r;

    a->loop = hub.loop = link.loop = loop_new();
    loop_on_signal(a->loop, SIGTERM, on_stop, a);
    loop_on_signal(a->loop, SIGINT, on_stop, a);
    loop_on_signal(a->loop, SIGHUP, on_reload, a);
    (void)signal(SIGPIPE, SIG_IGN);
    if (!a->enroll_only) {
        r = hub_new(&hub, &a->hub, err);
        if (r < 0)
            return r;
    }
    link.hub = a->hub;
    link.token = a->has_token ? &a->token : NULL;
    a->link = link_new(&link, &ops);
    if (a->hub) {
        struct hub_ops up = link_hub_ops(a->link);

        hub_start(a->hub, &up);
    }
    link_start(a->link);
    log_info("agent.start", "muster-agent " MUSTER_VERSION, LOG_CSTR("server", a->host), LOG_U64("port", a->port),
             LOG_CSTR("state", a->state->dir));
    tell_systemd("READY=1");
    loop_run(a->loop);
    return 0;
}

static void agent_done(struct agent *a)
{
    /* The roles say their last through the link, so they go first. */
    hub_free(a->hub);
    link_free(a->link);
    loop_free(a->loop);
    state_free(a->state);
    policy_done(&a->policy);
    secret_wipe(&a->token, sizeof(a->token));
    free(a->ca_pem);
    free(a->host);
    free(a->hold_path);
    free(a->metrics_addr);
}

/* What `enroll` says at its end. */
static int say_enrolled(const struct agent *a, const char *host_before)
{
    const struct state *s = a->state;
    const char *fleet = s->fleet ? s->fleet : "?";

    if (a->unasked.slug[0])
        (void)printf("already enrolled: host %s of fleet %s; the server could not be asked whether it still is: %s\n", s->host_id, fleet,
                     a->unasked.text);
    else if (!a->is_in)
        return 1; /* stopped by a signal while waiting */
    else if (a->was_enrolled && strcmp(host_before, s->host_id) == 0)
        (void)printf("already enrolled: host %s of fleet %s\n", s->host_id, fleet);
    else
        (void)printf("enrolled: host %s of fleet %s\n", s->host_id, fleet);
    return 0;
}

static int cmd_run(struct agent *a, bool enroll_only)
{
    char host_before[UUID_TEXT_MAX];
    struct err err = { 0 };
    int r;

    a->enroll_only = enroll_only;
    (void)umask(077);
    r = prepare(a, &err);
    if (r == -EBUSY)
        return fail(1, &err);
    if (r < 0)
        return fail(EXIT_CONFIG, &err);
    a->was_enrolled = a->state->cert_pem && clock_wall(&clock_real) < a->state->cert.not_after;
    memcpy(host_before, a->state->host_id, sizeof(host_before));
    r = run(a, &err);
    if (r < 0)
        return fail(1, &err);
    return enroll_only && a->exit_code == 0 ? say_enrolled(a, host_before) : a->exit_code;
}

/* -- the other words */

static int cmd_status(const struct options *o)
{
    AUTO(state_free) struct state *s = NULL;
    AUTO(buf_done) struct buf link = BUF(8192);
    AUTO_FREE char *path = xasprintf("%s/link.json", o->state_dir);
    char fingerprint[STATE_FINGERPRINT_MAX], until[CLOCK_TEXT_MAX];
    struct err err = { 0 };
    uint64_t pid;
    int r = state_peek(o->state_dir, &s, &err);

    if (r == -ENOENT) {
        (void)printf("not enrolled: %s does not exist\n", o->state_dir);
        return 1;
    }
    if (r < 0)
        return fail(EXIT_CONFIG, &err);
    pid = state_running_pid(s);
    state_fingerprint(s, fingerprint);
    (void)printf("agent        %s\n", MUSTER_VERSION);
    if (pid)
        (void)printf("running      yes, pid %llu\n", (unsigned long long)pid);
    else
        (void)printf("running      no\n");
    (void)printf("fingerprint  %s\n", fingerprint[0] ? fingerprint : "none yet");
    if (s->cert_pem) {
        clock_format(s->cert.not_after, 0, until);
        (void)printf("enrolled     yes, host %s of fleet %s\ncertificate  until %s\n", s->host_id, s->fleet ? s->fleet : "?", until);
    } else {
        (void)printf("enrolled     %s\n", s->ca_pem ? "not yet: an operator has to approve this host" : "no");
    }
    if (s->server)
        (void)printf("server       %s\n", s->server);
    if (fd_read_file(path, &link) == 0 && link.len > 0)
        (void)printf("link         %s%.*s\n", pid ? "" : "(when it last ran) ", STR_FMT(str_trim(buf_as_str(&link))));
    return s->cert_pem && pid ? 0 : 1;
}

/* What the agent would report, and so under the same policy. */
static int cmd_facts(struct agent *a)
{
    AUTO(buf_done) struct buf out = BUF(64 << 20);
    struct err err = { 0 };
    int r = read_policy(a, &a->policy, &err);

    if (r < 0)
        return fail(EXIT_CONFIG, &err);
    if (!policy_allows_role(&a->policy, role_port_scan.name))
        collect_ports_off(SECTION_DISABLED, POLICY_OFF);
    r = collect_facts_json("", policy_allows_role(&a->policy, role_inventory.name) ? NULL : POLICY_OFF, &out);
    if (r < 0) {
        (void)err_set(&err, r, "facts", "facts: %m");
        return fail(1, &err);
    }
    (void)buf_char(&out, '\n');
    return fd_write_all(STDOUT_FILENO, out.ptr, out.len) == 0 ? 0 : 1;
}

static int man(const struct conf_table *t, struct buf *out)
{
    int r = conf_man(t, out);
    return r < 0 ? r : buf_cstr(out, ".SH EXIT STATUS\n0 stopped as told, enrolled (or enrolled before and the server not reached), printed; 1 failed; 2 wrong usage; 5 the server lets this host in no more "
                                     "(rejected, revoked, its token not good); 78 wrong configuration, or a server that is not the one of the pin.\n");
}

/* "muster-agent sigma --help" says the rest. */
static int help(const struct conf_table *t, struct buf *out)
{
    int r = conf_help(t, out);

    if (r == 0 && personality_table[0])
        r = buf_cstr(out, "\nAs the agent of another system (each has its own options: --help behind the word):\n");
    for (const struct personality *const *p = personality_table; r == 0 && *p; p++)
        r = buf_printf(out, "  muster-agent %-13s %s (also as %s)\n", (*p)->name, (*p)->summary, (*p)->argv0);
    return r;
}

static int print_text(int (*make)(const struct conf_table *t, struct buf *out))
{
    AUTO(buf_done) struct buf out = BUF(1 << 20);

    if (make(&options_table, &out) < 0)
        return 1;
    return fd_write_all(STDOUT_FILENO, out.ptr, out.len) == 0 ? 0 : 1;
}

static int dispatch(struct agent *a, const char *sub)
{
    if (!sub)
        return cmd_run(a, false);
    if (strcmp(sub, "enroll") == 0)
        return cmd_run(a, true);
    if (strcmp(sub, "status") == 0)
        return cmd_status(&a->opt);
    if (strcmp(sub, "facts") == 0)
        return cmd_facts(a);
    (void)fprintf(stderr, "muster-agent: unknown command \"%s\": enroll, status, facts, or nothing for the daemon\n", sub);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct agent a = { .argc = argc, .argv = argv };
    struct err err = { 0 };
    const char *sub = NULL;
    const struct personality *other;
    int code, r, shift;

    stay_small();
    other = personality_find(argc, argv, &shift);
    if (other)
        return other->main(argc - shift, argv + shift);
    r = options_load(&a.conf, &a.opt, argc, argv, &sub, &err);
    if (r == CONF_HELP)
        code = print_text(help);
    else if (r == CONF_VERSION)
        code = printf("muster-agent " MUSTER_VERSION "\n") > 0 ? 0 : 1;
    else if (r < 0)
        code = fail(conf_is_usage(&err) ? EXIT_USAGE : EXIT_CONFIG, &err);
    else if (a.opt.man)
        code = print_text(man);
    else if (start_log(&a.opt, &err) < 0)
        code = fail(EXIT_CONFIG, &err);
    else
        code = dispatch(&a, sub);
    agent_done(&a);
    conf_done(&a.conf);
    log_done();
    return code;
}
