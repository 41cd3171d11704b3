/* agent/dialects/sigma_options.c - the options of the sigma agent (its 2.1) and ours. A flag beats the environment, and a variable whose
 * flag was given is not even looked at. */
#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#include "agent/collect/source.h"
#include "agent/dialects/sigma.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

static const struct name owners_names[] = { { 0, "proc" }, { 1, "ss" }, NAMES_END };

#define AT(m) offsetof(struct sigma_options, m)
#define LOOKUPS "https://icanhazip.com/,https://ifconfig.me/ip,https://api.ipify.org/"
static const struct conf_row rows[] = {
    { .name = "api-url", .type = CONF_STR, .offset = AT(api_url), .env = "SIGMA_API_URL", .value = "http://localhost:3000/api", .arg = "URL",
      .help = "Base URL of the sigma API.", .group = "Server" },
    { .name = "api-key", .type = CONF_STR, .offset = AT(api_key), .env = "SIGMA_API_KEY", .arg = "KEY", .flags = CONF_IS_SECRET,
      .help = "Sent as x-api-key; without one no such header is sent. SIGMA_API_KEY_FILE names a file with it.", .group = "Server" },
    { .name = "interval", .type = CONF_U32, .offset = AT(interval_s), .env = "AGENT_INTERVAL", .value = "60", .arg = "SECONDS",
      .help = "Between heartbeats; at least 1.", .group = "Server" },
    { .name = "ca-file", .type = CONF_STR, .offset = AT(ca_file), .env = "AGENT_CA_FILE", .arg = "FILE",
      .help = "Trusts these CAs instead of the system's.", .group = "Server" },
    { .name = "port-requests", .type = CONF_BOOL, .offset = AT(port_requests), .env = "AGENT_PORT_REQUESTS", .value = "true",
      .help = "Fetches questions about ports from a server that has them (for hosts behind NAT), while the port scan is on.",
      .group = "Server" },
    { .name = "hostname", .type = CONF_STR, .offset = AT(hostname), .env = "AGENT_HOSTNAME", .arg = "NAME",
      .help = "Instead of /etc/host_hostname or the kernel's.", .group = "Host" },
    { .name = "alias", .type = CONF_STR, .offset = AT(alias), .env = "AGENT_ALIAS", .arg = "NAME", .help = "DNS name of this host.",
      .group = "Host" },
    { .name = "ssh-port", .type = CONF_U32, .offset = AT(ssh_port), .env = "AGENT_SSH_PORT", .value = "22", .max = INT32_MAX, .arg = "PORT",
      .help = "Where this host's SSH listens.", .group = "Host" },
    { .name = "keep-172", .type = CONF_BOOL, .offset = AT(keep_172), .env = "AGENT_KEEP_172",
      .help = "Reports addresses of 172.16.0.0/12 too, but for those of container bridges.", .group = "Host" },
    { .name = "public-ip", .type = CONF_STR, .offset = AT(public_ip), .env = "AGENT_PUBLIC_IP", .arg = "ADDR",
      .help = "The public address; nobody is asked for it.", .group = "Host" },
    { .name = "public-ip-url", .type = CONF_STR, .offset = AT(public_ip_url), .env = "AGENT_PUBLIC_IP_URL", .value = LOOKUPS,
      .arg = "URL,...", .help = "Who is asked for the public address when no interface has one; empty or `none`: nobody.", .group = "Host" },
    { .name = "metrics-port", .type = CONF_U32, .offset = AT(metrics_port), .env = "AGENT_METRICS_PORT", .value = "9102", .max = UINT16_MAX,
      .arg = "PORT", .help = "Serves /metrics and /ports/allocate there; 0: not at all.", .group = "Ports" },
    { .name = "metrics-bind", .type = CONF_STR, .offset = AT(metrics_bind), .env = "AGENT_METRICS_BIND", .value = "0.0.0.0", .arg = "ADDR",
      .help = "Address of that server.", .group = "Ports" },
    { .name = "metrics-token", .type = CONF_STR, .offset = AT(metrics_token), .env = "AGENT_METRICS_TOKEN", .arg = "TOKEN",
      .flags = CONF_IS_SECRET, .help = "Bearer token that /ports asks for; unset: none, as sigma servers expect.", .group = "Ports" },
    { .name = "port-scan", .type = CONF_BOOL, .offset = AT(port_scan), .env = "AGENT_PORT_SCAN", .help = "Scans for free ports.",
      .group = "Ports" },
    { .name = "port-scan-range", .type = CONF_STR, .offset = AT(port_scan_range), .env = "AGENT_PORT_SCAN_RANGE", .value = "10000-30000",
      .arg = "START-END", .help = "Which ports, both ends included.", .group = "Ports" },
    { .name = "port-scan-interval", .type = CONF_U32, .offset = AT(port_scan_interval_s), .env = "AGENT_PORT_SCAN_INTERVAL", .value = "60",
      .arg = "SECONDS", .help = "Between the end of a scan and the next; at least 1.", .group = "Ports" },
    { .name = "scan-method", .type = CONF_ENUM, .offset = AT(scan_method), .env = "AGENT_SCAN_METHOD", .value = "bind",
      .names = port_method_names, .arg = "HOW",
      .help = "bind: tries each port with SO_REUSEADDR. strict: without. netlink: the strict answer without touching a port.",
      .group = "Ports" },
    { .name = "scan-owners", .type = CONF_ENUM, .offset = AT(scan_owners), .env = "AGENT_SCAN_OWNERS", .value = "proc",
      .names = owners_names, .arg = "HOW", .help = "Who uses a port: from /proc, or from what ss(8) prints.", .group = "Ports" },
    { .name = "source", .type = CONF_MAP, .offset = AT(sources), .env = "AGENT_SOURCES", .arg = "NAME=PATTERN",
      .help = "One more class of processes: those with PATTERN in their name. May be repeated.", .group = "Ports" },
    { .name = "max-allocate", .type = CONF_U32, .offset = AT(max_allocate), .env = "AGENT_MAX_ALLOCATE", .value = "100", .min = 1,
      .max = PORTS_MAX, .arg = "N", .help = "Most ports one allocation may ask for.", .group = "Ports" },
    { .name = "state-dir", .type = CONF_STR, .offset = AT(state_dir), .env = "AGENT_STATE_DIR", .env_alt = "STATE_DIRECTORY", .arg = "DIR",
      .help = "Leases of ports are kept there over restarts; unset: they end with the agent.", .group = "Ports" },
    { .name = "log", .type = CONF_STR, .offset = AT(log), .env = "AGENT_LOG", .env_alt = "RUST_LOG", .value = "info", .arg = "LEVEL",
      .help = "error, warn, info, debug or trace.", .group = "Log" },
    { .name = "auth-backoff", .type = CONF_DURATION, .offset = AT(auth_backoff), .value = "5m", .flags = CONF_HIDDEN,
      .help = "Pause after the server refused the key." },
    { .name = "request-timeout", .type = CONF_DURATION, .offset = AT(request_timeout), .value = "15s", .flags = CONF_HIDDEN,
      .help = "Of a request as a whole." },
    { .name = "man", .type = CONF_BOOL, .offset = AT(man), .flags = CONF_FLAG_ONLY | CONF_HIDDEN, .help = "Prints the manual page." },
    { .name = "root", .type = CONF_STR, .offset = AT(root), .value = "", .flags = CONF_HIDDEN | CONF_FLAG_ONLY,
      .help = "A tree to read /proc and /etc from (tests)." },
};

const struct conf_table sigma_options_table = {
    .program = "sigma-agent",
    .synopsis = "[OPTION...]",
    .summary = "muster-agent as the agent of a sigma server: registers this host, sends heartbeats, scans ports",
    .rows = rows,
    .n_rows = ARRAY_SIZE(rows),
    .size = sizeof(struct sigma_options),
};

/* What a flag says is not asked of the environment; the switch knows no empty value there. */
static int check_environment(const struct conf *c, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *v = rows[i].env ? getenv(rows[i].env) : NULL;

        if (v && c->origin[i] == CONF_FROM_FLAG)
            (void)unsetenv(rows[i].env);
        else if (v && !*v && rows[i].offset == AT(port_scan))
            return err_set(err, -EINVAL, "config.bad_value", "AGENT_PORT_SCAN: must be true or false");
    }
    return 0;
}

int sigma_options_load(struct conf *c, struct sigma_options *o, int argc, char **argv, struct err *err)
{
    struct in6_addr any;
    int first = 0, r;

    conf_init(c, &sigma_options_table, o);
    r = conf_flags(c, argc, argv, &first, err);
    if (r != CONF_OK)
        return r;
    if (first < argc)
        return err_set(err, -EINVAL, "config.usage", "do not know what to do with \"%s\"", argv[first]);
    r = check_environment(c, err);
    if (r == 0)
        r = conf_env(c, err);
    if (r < 0)
        return r;
    if (o->interval_s == 0)
        o->interval_s = 1;
    if (o->port_scan_interval_s == 0)
        o->port_scan_interval_s = 1;
    if (o->public_ip && !*o->public_ip)
        free(TAKE(o->public_ip));
    if (o->public_ip && inet_pton(strchr(o->public_ip, ':') ? AF_INET6 : AF_INET, o->public_ip, &any) != 1)
        return err_set(err, -EINVAL, "config.bad_value", "--public-ip: %s is not an address", o->public_ip);
    if (o->public_ip_url && strcmp(o->public_ip_url, "none") == 0)
        o->public_ip_url[0] = '\0';
    return 0;
}

int sigma_log_level(const char *filter)
{
    struct str rest = str_of(filter), part, value;
    enum log_level found = LOG_INFO, level;

    while (str_cut(&rest, ',', &part)) {
        ptrdiff_t eq = str_find_char(part, '=');

        value = str_trim(eq < 0 ? part : str_sub(part, (size_t)eq + 1, part.len));
        if (log_level_parse(value, &level) == 0)
            found = level;
    }
    return found;
}

char *sigma_hostname(const struct sigma_options *o)
{
    static const char *const files[] = { "/etc/host_hostname", "/proc/sys/kernel/hostname" };
    AUTO(arena_free) struct arena *a = arena_new(64 << 10);
    char name[256] = "";

    if (o->hostname && *o->hostname)
        return xstrdup(o->hostname);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        struct str word = src__word(a, o->root, "%s", files[i]);

        if (word.len)
            return str_dup(word);
    }
    if (!*o->root && gethostname(name, sizeof(name) - 1) == 0 && name[0])
        return xstrdup(name);
    return xstrdup("unknown");
}
