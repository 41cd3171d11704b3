/* bench/fleetsim.c - simulated agents for measuring a server: options, start, end. See sim.h and docs/fleetsim.md.
 *
 *   fleetsim --server 127.0.0.1:8120 --token CODE@sha256:HEX --agents 10000 --heartbeat 10s --duration 60s */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "sim.h"

static const struct name mode_names[] = {
    { SIM_IDLE, "idle" },
    { SIM_STORM, "storm" },
    { SIM_CHECKIN, "checkin" },
    { SIM_FANOUT, "fanout" },
    NAMES_END,
};

#define AT(member) offsetof(struct sim_options, member)
static const struct conf_row rows[] = {
    { .name = "server", .letter = 's', .type = CONF_STR, .offset = AT(server), .env = "MUSTER_SERVER", .value = "127.0.0.1:8120",
      .arg = "HOST:PORT", .help = "The server's gRPC address." },
    { .name = "token", .type = CONF_STR, .offset = AT(token), .env = "MUSTER_TOKEN", .flags = CONF_IS_SECRET, .arg = "CODE@sha256:HEX",
      .help = "Install token; to make identities it must be unlimited and approve by itself "
              "(muster token create --uses 0 --auto-approve)." },
    { .name = "agents", .letter = 'n', .type = CONF_U32, .offset = AT(agents), .value = "100", .min = 1, .max = 65535, .arg = "N",
      .help = "How many agents." },
    { .name = "mode", .type = CONF_ENUM, .offset = AT(mode), .value = "idle", .names = mode_names, .arg = "MODE",
      .help = "idle: connect and beat. checkin: also numbered inventory deltas. fanout: answer commands. storm: come back after the "
              "server was killed. Every mode answers commands and comes back; the mode sets what is reported and a default rate." },
    { .name = "heartbeat", .type = CONF_DURATION, .offset = AT(heartbeat), .value = "10s", .arg = "D",
      .help = "Between two heartbeats of one agent; 0: as the server says." },
    { .name = "duration", .type = CONF_DURATION, .offset = AT(duration), .value = "60s", .arg = "D",
      .help = "How long, counted from the moment all are connected. SIGINT ends it earlier, with the summary." },
    { .name = "rate", .type = CONF_U32, .offset = AT(rate), .value = "0", .max = 1000000, .arg = "N",
      .help = "Check-ins a second over all agents, sent whether or not the server keeps up; 0: none, or 1000 in mode checkin." },
    { .name = "connect-rate", .type = CONF_U32, .offset = AT(connect_rate), .value = "0", .max = 1000000, .arg = "N",
      .help = "First connects a second; 0: all at once." },
    { .name = "connect-timeout", .type = CONF_DURATION, .offset = AT(connect_timeout), .value = "60s", .arg = "D",
      .help = "Longest wait for one connection, the server's backlog included." },
    { .name = "backoff-max", .type = CONF_DURATION, .offset = AT(backoff_max), .value = "60s", .arg = "D",
      .help = "Longest wait between two attempts; it starts at 1 s and doubles, +-20 %, as a real agent's." },
    { .name = "keys-dir", .type = CONF_STR, .offset = AT(keys_dir), .value = "", .arg = "DIR",
      .help = "Where identities are kept between runs, one file per server key; $XDG_CACHE_HOME/muster/fleetsim or ~/.cache/muster/fleetsim "
              "when empty." },
    { .name = "json", .type = CONF_BOOL, .offset = AT(json), .value = "false", .help = "The summary on one line." },
};
static const struct conf_table table = {
    .program = "fleetsim",
    .synopsis = "--server HOST:PORT --token CODE@sha256:HEX [OPTION...]",
    .summary = "simulated agents for measuring a muster server",
    .rows = rows,
    .n_rows = ARRAY_SIZE(rows),
    .size = sizeof(struct sim_options),
};

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

static int usage(const char *why)
{
    fprintf(stderr, "fleetsim: %s (fleetsim --help)\n", why);
    return EXIT_USAGE;
}

/* HOST:PORT, [v6]:PORT. */
static bool parse_server(struct sim *s)
{
    struct str all = str_of(s->o.server);
    const char *colon = strrchr(s->o.server, ':');
    uint64_t port;
    if (!colon || str_to_u64(str_of(colon + 1), &port) < 0 || port == 0 || port > 65535)
        return false;
    struct str host = str_sub(all, 0, (size_t)(colon - s->o.server));
    if (str_starts(host, STR("[")) && str_ends(host, STR("]")))
        host = str_sub(host, 1, host.len - 2);
    s->port = (uint16_t)port;
    return host.len > 0 && str_copy(host, s->host, sizeof(s->host)) == 0;
}

/* CODE@sha256:HEX. */
static bool parse_token(struct sim *s, uint8_t pin[SHA256_LEN])
{
    struct str t = str_of(s->o.token), code;
    ptrdiff_t at = str_find(t, STR("@sha256:"));
    if (at <= 0)
        return false;
    code = str_sub(t, 0, (size_t)at);
    return hex_decode(str_sub(t, (size_t)at + 8, t.len), pin, SHA256_LEN) == 0 && str_copy(code, s->code, sizeof(s->code)) == 0;
}

/* Two descriptors an agent at most (one while it closes), and ours. */
static int raise_nofile(uint32_t agents)
{
    struct rlimit rl;
    getrlimit(RLIMIT_NOFILE, &rl);
    rlim_t want = agents + agents / 2 + 64;
    if (rl.rlim_cur >= want)
        return 0;
    if (rl.rlim_max < want) {
        struct rlimit more = { want, want }; /* root may */
        if (setrlimit(RLIMIT_NOFILE, &more) == 0)
            return 0;
    }
    rl.rlim_cur = rl.rlim_max;
    setrlimit(RLIMIT_NOFILE, &rl);
    return rl.rlim_cur >= (rlim_t)agents + 64 ? 0 : -EMFILE;
}

static void on_signal(void *ctx)
{
    sim_end(ctx, NULL);
}

/* Private keys are nothing for the directory somebody happens to be in. */
static char *keys_dir(const struct sim_options *o)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

    if (o->keys_dir && o->keys_dir[0])
        return xstrdup(o->keys_dir);
    if (cache && cache[0] == '/')
        return xasprintf("%s/muster/fleetsim", cache);
    return xasprintf("%s/.cache/muster/fleetsim", home ? home : "");
}

static int run(struct sim *s)
{
    uint8_t pin[SHA256_LEN];
    struct err err = { 0 };
    if (!parse_server(s))
        return usage("--server must be HOST:PORT");
    if (!s->o.token || !parse_token(s, pin))
        return usage("--token must be CODE@sha256:HEX, as muster token create prints it");
    if (raise_nofile(s->o.agents) < 0)
        return usage("the limit of open files is too low for so many agents: raise it (ulimit -Hn)");
    if (s->o.mode == SIM_CHECKIN && s->o.rate == 0)
        s->o.rate = 1000;
    AUTO_FREE char *dir = keys_dir(&s->o);
    if (identities_open(&s->ids, dir, pin, s->o.agents, &err) < 0) {
        fprintf(stderr, "fleetsim: %s\n", err.text);
        return EXIT_FAILED;
    }

    s->started_at = sim_now();
    s->agents = xcalloc(s->o.agents, sizeof(*s->agents));
    for (uint32_t i = 0; i < s->o.agents; i++)
        s->agents[i] = (struct agent){ .sim = s, .index = i };
    s->out = BUF(1 << 20);
    pb_arena_init(&s->in, LIMIT_PB_ARENA);
    s->loop = loop_new();
    loop_on_signal(s->loop, SIGINT, on_signal, s);
    loop_on_signal(s->loop, SIGTERM, on_signal, s);
    sim_enroll(s, sim_work_start);
    if (!s->is_over)
        loop_run(s->loop);
    if (!s->fatal[0] || s->running_at)
        sim_report(s);
    if (s->fatal[0]) {
        bool is_new = s->last_error[0] && strcmp(s->last_error, s->fatal) != 0;
        fprintf(stderr, "fleetsim: %s%s%s\n", s->fatal, is_new ? "; last error: " : "", is_new ? s->last_error : "");
    } else if (!s->running_at) {
        fprintf(stderr, "fleetsim: ended before the run began\n");
    }
    return s->fatal[0] ? EXIT_FAILED : 0;
}

static int print_text(int (*make)(const struct conf_table *, struct buf *))
{
    AUTO(buf_done) struct buf b = BUF(1 << 20);
    if (make(&table, &b) < 0)
        return EXIT_FAILED;
    fwrite(b.ptr, 1, b.len, stdout);
    return 0;
}

int main(int argc, char **argv)
{
    struct sim *s = xnew0(struct sim);
    struct conf c;
    struct err err = { 0 };
    int first = argc, rc;
    if (argc == 2 && strcmp(argv[1], "--man") == 0)
        return print_text(conf_man);
    signal(SIGPIPE, SIG_IGN);
    conf_init(&c, &table, &s->o);
    int r = conf_env(&c, &err);
    if (r == 0)
        r = conf_flags(&c, argc, argv, &first, &err);
    if (r < 0)
        rc = fprintf(stderr, "fleetsim: %s\n", err.text) < 0 ? EXIT_FAILED : EXIT_USAGE;
    else if (r == CONF_HELP)
        rc = print_text(conf_help);
    else if (r == CONF_VERSION)
        rc = printf("fleetsim %s\n", MUSTER_VERSION) < 0;
    else if (first < argc)
        rc = usage("it takes options only");
    else
        rc = run(s);

    sim_enroll_done(s);
    sim_work_done(s);
    loop_free(s->loop);
    identities_done(&s->ids);
    pb_arena_done(&s->in);
    buf_done(&s->out);
    free(s->agents);
    conf_done(&c);
    free(s);
    return rc;
}
