/* agent/dialects/argus_options.c - the command line of argus-agent. See argus.h. */
#include <errno.h>
#include <pwd.h>
#include <unistd.h>

#include "agent/dialects/argus.h"
#include "base/log.h"
#include "base/mem.h"

static const struct name level_names[] = {
    { LOG_ERROR, "error" }, { LOG_WARN, "warn" }, { LOG_INFO, "info" }, { LOG_DEBUG, "debug" }, { LOG_TRACE, "trace" }, NAMES_END
};
static const struct name format_names[] = { { LOG_PRETTY, "pretty" }, { LOG_JSON, "json" }, { LOG_COMPACT, "compact" }, NAMES_END };
static const struct name overrides_names[] = { { ARGUS_OVERRIDES_ENV, "env" }, { ARGUS_OVERRIDES_APPEND, "append" }, NAMES_END };

#define AT(m) offsetof(struct argus_options, m)
static const struct conf_row rows[] = {
    { .name = "argus-url", .type = CONF_STR, .offset = AT(url), .env = "ARGUS_URL", .arg = "URL",
      .help = "The Argus server. Needed to register; afterwards it must be the same server or left out.", .group = "Server" },
    { .name = "token", .type = CONF_STR, .offset = AT(token), .env = "ARGUS_TOKEN", .flags = CONF_IS_SECRET, .arg = "TOKEN",
      .help = "Reporter token (em_live_...) or session token to register with; never stored. Better in the environment, or in a file "
              "named by ARGUS_TOKEN_FILE.",
      .group = "Server" },
    { .name = "token-file", .type = CONF_STR, .offset = AT(token_file), .flags = CONF_FLAG_ONLY, .arg = "FILE",
      .help = "Reads that token from FILE.", .group = "Server" },
    { .name = "ca-file", .type = CONF_STR, .offset = AT(ca_file), .env = "ARGUS_CA_FILE", .arg = "FILE",
      .help = "Trusts the CA certificates in FILE instead of the system's.", .group = "Server" },
    { .name = "insecure-http", .type = CONF_BOOL, .offset = AT(insecure_http), .env = "ARGUS_AGENT_INSECURE_HTTP",
      .help = "Allows http:// to other hosts: everybody on the way can read the token and put in commands.", .group = "Server" },
    { .name = "register", .type = CONF_BOOL, .offset = AT(do_register), .flags = CONF_FLAG_ONLY,
      .help = "Registers, writes the token file and ends; a registration that is there is kept. The same as the word `register`.",
      .group = "Actions" },
    { .name = "reregister", .type = CONF_BOOL, .offset = AT(do_reregister), .flags = CONF_FLAG_ONLY,
      .help = "Registers even so: the server gives a new token and the old one is dead.", .group = "Actions" },
    { .name = "once", .type = CONF_BOOL, .offset = AT(once), .flags = CONF_FLAG_ONLY,
      .help = "Polls once, starts what there is, tells so, and ends; what it started goes on.", .group = "Actions" },
    { .name = "dry-run", .type = CONF_BOOL, .offset = AT(dry_run), .flags = CONF_FLAG_ONLY,
      .help = "Polls once and prints what would be done; tells and starts nothing. With register: prints the request.", .group = "Actions" },
    { .name = "print-systemd", .type = CONF_BOOL, .offset = AT(print_systemd), .flags = CONF_FLAG_ONLY,
      .help = "Prints a unit file for this agent.", .group = "Actions" },
    { .name = "hostname", .type = CONF_STR, .offset = AT(hostname), .env = "ARGUS_AGENT_HOSTNAME", .arg = "NAME",
      .help = "The name to register as; default: this host's. Reruns go by it.", .group = "Agent" },
    { .name = "label", .type = CONF_STR, .offset = AT(label), .env = "ARGUS_AGENT_LABEL", .arg = "NAME",
      .help = "Tells several agents of one host and one Argus user apart; name it after the OS user whose batches it reruns.",
      .group = "Agent" },
    { .name = "state-dir", .type = CONF_STR, .offset = AT(state_dir), .env = "ARGUS_AGENT_STATE_DIR", .arg = "DIR",
      .help = "Where token, state and logs are kept; default ~/.argus-agent. Set to mode 0700.", .group = "Agent" },
    { .name = "poll-interval", .type = CONF_DURATION, .offset = AT(poll_interval), .env = "ARGUS_AGENT_POLL_INTERVAL",
      .min = 100 * 1000, .max = 3600 * USEC_PER_SEC, .arg = "TIME", .help = "Between polls; default: what the server says (10 s).",
      .group = "Agent" },
    { .name = "heartbeat-interval", .type = CONF_DURATION, .offset = AT(heartbeat_interval), .env = "ARGUS_AGENT_HEARTBEAT_INTERVAL",
      .min = 100 * 1000, .max = 3600 * USEC_PER_SEC, .arg = "TIME", .help = "Between heartbeats; default: what the server says (30 s).",
      .group = "Agent" },
    { .name = "max-concurrent", .type = CONF_U32, .offset = AT(max_concurrent), .env = "ARGUS_AGENT_MAX_CONCURRENT", .value = "4", .min = 1,
      .max = 256, .arg = "N", .help = "Reruns at once; further ones wait at the server.", .group = "Reruns" },
    { .name = "grace", .type = CONF_DURATION, .offset = AT(grace), .env = "ARGUS_AGENT_GRACE", .value = "10", .min = 0,
      .max = 3600 * USEC_PER_SEC, .arg = "TIME", .help = "Between SIGTERM and SIGKILL of a stop that does not say.", .group = "Reruns" },
    { .name = "policy", .type = CONF_STR, .offset = AT(policy), .env = "ARGUS_AGENT_POLICY", .arg = "FILE",
      .help = "Only commands that a line of FILE permits are run: `prefix: TEXT` (further words may follow, but no operator of the shell) or "
              "`regex: PATTERN` (extended, of the whole command; never of several lines); with lines `cwd: DIR` only in or below those directories. Read anew for each. Of a recorded environment only variables that are known "
              "to be data (CUDA_VISIBLE_DEVICES, OMP_NUM_THREADS, WANDB_PROJECT and the like) are set then, and what --allow-env names.",
      .group = "Reruns" },
    { .name = "allow-env", .type = CONF_LIST, .offset = AT(allow_env), .env = "ARGUS_AGENT_ALLOW_ENV", .arg = "NAME",
      .help = "A variable a recorded environment may set although it is dangerous: PATH; with a policy, any that is not known to be data. "
              "Never LD_*.", .group = "Reruns" },
    { .name = "overrides", .type = CONF_ENUM, .offset = AT(overrides), .env = "ARGUS_AGENT_OVERRIDES", .value = "env",
      .names = overrides_names, .arg = "WAY",
      .help = "How overrides reach a rerun: env (only in ARGUS_RERUN_OVERRIDES) or append (also behind the command, as quoted key=value).",
      .group = "Reruns" },
    { .name = "log-max", .type = CONF_SIZE, .offset = AT(log_max), .env = "ARGUS_AGENT_LOG_MAX", .value = "64MiB", .min = 4096,
      .max = (uint64_t)1 << 40, .arg = "SIZE", .help = "A rerun's log above it is moved to logs/ID.log.1.", .group = "Reruns" },
    { .name = "hold", .type = CONF_STR, .offset = AT(hold), .env = "MUSTER_HOLD", .flags = CONF_HIDDEN, .arg = "FILE",
      .help = "The muster-hold program; default: beside the agent, then in its libexec directory.", .group = "Reruns" },
    { .name = "verbose", .letter = 'v', .type = CONF_BOOL, .offset = AT(verbose), .flags = CONF_FLAG_ONLY, .help = "As --log-level debug.",
      .group = "Log" },
    { .name = "log-level", .type = CONF_ENUM, .offset = AT(log_level), .env = "ARGUS_AGENT_LOG_LEVEL", .value = "info", .names = level_names,
      .arg = "LEVEL", .help = "error, warn, info, debug or trace.", .group = "Log" },
    { .name = "log-format", .type = CONF_ENUM, .offset = AT(log_format), .env = "ARGUS_AGENT_LOG_FORMAT", .value = "pretty",
      .names = format_names, .arg = "FORMAT", .help = "pretty, json or compact.", .group = "Log" },
    { .name = "log-file", .type = CONF_STR, .offset = AT(log_file), .env = "ARGUS_AGENT_LOG_FILE", .arg = "FILE",
      .help = "Writes the log there instead of to stderr.", .group = "Log" },
    { .name = "man", .type = CONF_BOOL, .offset = AT(man), .flags = CONF_FLAG_ONLY | CONF_HIDDEN, .help = "Prints the manual page.",
      .group = "Actions" },
};

const struct conf_table argus_options_table = {
    .program = "argus-agent",
    .synopsis = "[OPTION...] [register | run]",
    .summary = "runs again what an Argus server's batches recorded on this host, and stops it. `register` makes it known to the server once, "
               "with ARGUS_URL and ARGUS_TOKEN; without a word, or with `run`, it is the daemon, in the foreground. It opens no port: it asks the "
               "server. What it started goes on when it ends, and is found again when it comes back. Exit codes: 0 done, 1 failed, "
               "2 usage, 3 not registered or the token was rejected, 4 an insecure connection was refused",
    .rows = rows,
    .n_rows = ARRAY_SIZE(rows),
    .size = sizeof(struct argus_options),
};

static int check(const struct argus_options *o, struct err *err)
{
    struct str label = str_of(o->label), host = str_of(o->hostname);

    if (o->label && (!argus__id_is_safe(label) || label.len > 64 - STR("label=").len))
        return err_set(err, -EINVAL, "config.bad_value", "label: letters, digits, '-', '_' and '.', at most 58 of them");
    if (o->hostname && host.len > ARGUS_HOSTNAME_MAX)
        return err_set(err, -EINVAL, "config.bad_value", "hostname: longer than %d characters", ARGUS_HOSTNAME_MAX);
    for (size_t i = 0; i < host.len; i++)
        if ((uint8_t)host.ptr[i] < ' ' || host.ptr[i] == 0x7f)
            return err_set(err, -EINVAL, "config.bad_value", "hostname: control characters have no place in it");
    return 0;
}

char *argus__home(void)
{
    const char *home = getenv("HOME");
    const struct passwd *pw = home && *home ? NULL : getpwuid(geteuid());

    return xstrdup(home && *home ? home : pw && pw->pw_dir[0] ? pw->pw_dir : "/");
}

int argus__options(struct conf *c, struct argus_options *o, int argc, char **argv, const char **ret_word, struct err *err)
{
    int r;

    conf_init(c, &argus_options_table, o);
    r = conf_flags_word(c, argc, argv, ret_word, err);
    if (r != CONF_OK)
        return r;
    r = conf_env(c, err);
    if (r == 0)
        r = check(o, err);
    if (r < 0)
        return r;
    if (!o->state_dir) {
        AUTO_FREE char *home = argus__home();

        o->state_dir = xasprintf("%s/.argus-agent", home);
    }
    return CONF_OK;
}

/* Text in a unit's value: '%' and '$' are the manager's, quotes hold the rest together. */
static void unit_word(struct buf *out, const char *s)
{
    (void)buf_char(out, '"');
    for (; *s; s++) {
        if (*s == '%' || *s == '$')
            (void)buf_char(out, *s);
        if (*s == '"' || *s == '\\')
            (void)buf_char(out, '\\');
        (void)buf_char(out, *s);
    }
    (void)buf_char(out, '"');
}

int argus__systemd_unit(const struct argus_options *o, const char *exe, struct buf *out)
{
    const struct passwd *pw = getpwuid(geteuid());

    (void)buf_cstr(out, "[Unit]\n"
                        "Description=Argus host agent\n"
                        "After=network-online.target\n"
                        "Wants=network-online.target\n"
                        "\n"
                        "[Service]\n"
                        "Type=simple\n");
    (void)buf_printf(out, "# The user the token file belongs to.\nUser=%s\n", pw ? pw->pw_name : "root");
    (void)buf_cstr(out, "ExecStart=");
    unit_word(out, exe);
    (void)buf_cstr(out, " argus run --state-dir ");
    unit_word(out, o->state_dir);
    (void)buf_cstr(out, "\n"
                        "# ARGUS_URL and options (mode 0600); the token to register with has no place in it.\n"
                        "EnvironmentFile=-/etc/argus-agent/env\n"
                        "Restart=on-failure\n"
                        "RestartSec=10\n"
                        "# Usage, not registered, insecure: a person must act.\n"
                        "RestartPreventExitStatus=2 3 4\n"
                        "# Reruns outlive the agent: only its own process is stopped.\n"
                        "KillMode=process\n");
    return buf_cstr(out, "\n[Install]\nWantedBy=multi-user.target\n");
}
