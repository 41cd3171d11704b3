/* agent/options.c - see options.h. */
#include "agent/options.h"

#include <errno.h>
#include <unistd.h>

#include "agent/ports.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/yaml.h"

static const struct name level_names[] = {
    { LOG_ERROR, "error" }, { LOG_WARN, "warn" }, { LOG_INFO, "info" }, { LOG_DEBUG, "debug" }, { LOG_TRACE, "trace" }, NAMES_END
};
static const struct name format_names[] = { { LOG_PRETTY, "pretty" }, { LOG_JSON, "json" }, { LOG_COMPACT, "compact" }, NAMES_END };

#define AT(m) offsetof(struct options, m)
static const struct conf_row rows[] = {
    { .name = "config", .letter = 'c', .type = CONF_STR, .offset = AT(config), .env = "MUSTER_AGENT_CONFIG", .arg = "FILE",
      .help = "Configuration file (YAML); the default one may be missing: " OPTIONS_CONFIG ".", .group = "General" },
    { .name = "server", .letter = 's', .type = CONF_STR, .offset = AT(server), .env = "MUSTER_SERVER", .arg = "HOST:PORT",
      .help = "The server to belong to; once enrolled it is remembered. Port 8120 when not said.", .group = "General" },
    { .name = "state-dir", .type = CONF_STR, .offset = AT(state_dir), .env = "MUSTER_STATE_DIR", .value = "/var/lib/muster-agent",
      .arg = "DIR", .help = "Where key, certificate, spool and running commands are kept; set to mode 0700.", .group = "General" },
    { .name = "policy", .type = CONF_STR, .offset = AT(policy), .env = "MUSTER_POLICY", .arg = "FILE",
      .help = "What this host allows whatever the server asks (run, users, roles); default, when it is there: " OPTIONS_POLICY ".",
      .group = "General" },
    { .name = "labels", .type = CONF_MAP, .offset = AT(labels), .arg = "KEY=VALUE", .flags = CONF_RELOAD | CONF_HIDDEN,
      .help = "Labels of this host, in the configuration file.", .group = "General" },
    { .name = "label", .letter = 'l', .type = CONF_MAP, .offset = AT(label), .arg = "KEY=VALUE", .flags = CONF_FLAG_ONLY,
      .help = "A label this host claims; it matches no selector until an operator accepts it. May be repeated.", .group = "General" },
    { .name = "token", .type = CONF_STR, .offset = AT(token), .env = "MUSTER_TOKEN", .arg = "CODE@sha256:HEX", .flags = CONF_IS_SECRET,
      .help = "Install token; overwritten in the process list. Needed once.", .group = "Enrolment" },
    { .name = "token-file", .type = CONF_STR, .offset = AT(token_file), .arg = "FILE", .help = "Reads the install token from FILE.",
      .group = "Enrolment" },
    { .name = "ca", .type = CONF_STR, .offset = AT(ca), .env = "MUSTER_CA", .arg = "FILE",
      .help = "Trusts this CA instead of a token's pin; the server then decides by operator.", .group = "Enrolment" },
    { .name = "log-level", .type = CONF_ENUM, .offset = AT(log_level), .env = "MUSTER_LOG_LEVEL", .env_alt = "LOG_LEVEL", .value = "info",
      .names = level_names, .flags = CONF_RELOAD, .arg = "LEVEL", .help = "error, warn, info, debug or trace.", .group = "Log" },
    { .name = "log-format", .type = CONF_ENUM, .offset = AT(log_format), .env = "MUSTER_LOG_FORMAT", .env_alt = "LOG_FORMAT",
      .value = "pretty", .names = format_names, .flags = CONF_RELOAD, .arg = "FORMAT", .help = "pretty, json or compact.", .group = "Log" },
    { .name = "log-file", .type = CONF_STR, .offset = AT(log_file), .env = "MUSTER_LOG_FILE", .env_alt = "LOG_FILE", .flags = CONF_RELOAD,
      .arg = "FILE", .help = "Writes the log there instead of to stderr.", .group = "Log" },
    { .name = "spool-max", .type = CONF_SIZE, .offset = AT(spool_max), .env = "MUSTER_SPOOL_MAX", .value = "8MiB", .min = 4 << 20,
      .max = 1 << 30, .arg = "SIZE", .help = "How much is kept on disk for a server that is away.", .group = "Limits" },
    { .name = "port-scan", .type = CONF_STR, .offset = AT(port_scan), .env = "MUSTER_PORT_SCAN", .arg = "START-END",
      .help = "Scans these ports for free ones, and hands some out when the server asks; unset: off.", .group = "Ports" },
    { .name = "port-scan-interval", .type = CONF_DURATION, .offset = AT(port_scan_interval), .env = "MUSTER_PORT_SCAN_INTERVAL",
      .value = "60s", .min = USEC_PER_SEC, .max = USEC_PER_DAY, .arg = "TIME", .help = "Between the end of a scan and the next.",
      .group = "Ports" },
    { .name = "port-scan-method", .type = CONF_ENUM, .offset = AT(port_scan_method), .env = "MUSTER_PORT_SCAN_METHOD", .value = "netlink",
      .names = port_method_names, .arg = "HOW",
      .help = "netlink: asks the kernel, no port is touched. strict: tries each. bind: tries each with SO_REUSEADDR.", .group = "Ports" },
    { .name = "port-scan-max", .type = CONF_U32, .offset = AT(port_scan_max), .env = "MUSTER_PORT_SCAN_MAX", .value = "100", .min = 1,
      .max = PORTS_MAX, .arg = "N", .help = "Most ports that are handed out at once.", .group = "Ports" },
    { .name = "metrics-listen", .type = CONF_STR, .offset = AT(metrics_listen), .env = "MUSTER_METRICS_LISTEN", .arg = "ADDR[:PORT]",
      .help = "Serves the port metrics to Prometheus there, and allocations; port 9102 when not said; unset: off.", .group = "Ports" },
    { .name = "metrics-token", .type = CONF_STR, .offset = AT(metrics_token), .env = "MUSTER_METRICS_TOKEN", .arg = "TOKEN",
      .flags = CONF_IS_SECRET, .help = "Bearer token that allocations there have to show; unset: none.", .group = "Ports" },
    { .name = "hold", .type = CONF_STR, .offset = AT(hold), .env = "MUSTER_HOLD", .arg = "FILE", .flags = CONF_HIDDEN,
      .help = "The muster-hold program; default: beside muster-agent, then in its libexec directory.", .group = "Limits" },
    { .name = "man", .type = CONF_BOOL, .offset = AT(man), .flags = CONF_FLAG_ONLY | CONF_HIDDEN, .help = "Prints the manual page.",
      .group = "General" },
};

const struct conf_table options_table = {
    .program = "muster-agent",
    .synopsis = "[OPTION...] [enroll | status | facts]",
    .summary = "the Muster agent of this host. Without a word it is the daemon, in the foreground; `enroll` waits until an operator "
               "has let the host in and ends; `status` says how things are; `facts` prints what it would report.",
    .rows = rows,
    .n_rows = ARRAY_SIZE(rows),
    .size = sizeof(struct options),
};

static int load_file(struct conf *c, const char *path, bool must_exist, struct err *err)
{
    AUTO(buf_done_secret) struct buf text = BUF(LIMIT_YAML_BYTES);
    int r = fd_read_file(path, &text);

    if (r == -ENOENT && !must_exist)
        return 0;
    if (r < 0)
        return err_set(err, r, "config.read", "%s: %m", path);
    return yaml_conf(c, path, buf_as_str(&text), err);
}

int options_load(struct conf *c, struct options *o, int argc, char **argv, const char **ret_sub, struct err *err)
{
    int r;

    conf_init(c, &options_table, o);
    r = conf_flags_word(c, argc, argv, ret_sub, err);
    if (r != CONF_OK)
        return r;
    r = conf_env(c, err);
    if (r == 0)
        r = load_file(c, o->config ? o->config : OPTIONS_CONFIG, o->config != NULL, err);
    return r;
}
