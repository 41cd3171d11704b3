/* server/options.c - see options.h. */
#include "server/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/yaml.h"
#include "control/control.h"

static const struct name level_names[] = { { LOG_ERROR, "error" },
                                           { LOG_WARN, "warn" },
                                           { LOG_WARN, "warning" },
                                           { LOG_INFO, "info" },
                                           { LOG_DEBUG, "debug" },
                                           { LOG_TRACE, "trace" },
                                           NAMES_END };
static const struct name format_names[] = {
    { LOG_PRETTY, "pretty" }, { LOG_JSON, "json" }, { LOG_COMPACT, "compact" }, NAMES_END
};
static const struct name rotation_names[] = {
    { LOG_ROTATE_NEVER, "never" }, { LOG_ROTATE_DAILY, "daily" }, { LOG_ROTATE_HOURLY, "hourly" }, NAMES_END
};

#define SEC USEC_PER_SEC
#define DAY USEC_PER_DAY
#define AT(m) offsetof(struct options, m)
static const struct conf_row rows[] = {
    { "dev", 0, CONF_BOOL, AT(dev), "MUSTER_DEV", .value = "false", .group = "General",
      .help = "Development mode: loopback only, and there local callers need no credential." },
    { "config", 'c', CONF_STR, AT(config), "MUSTER_CONFIG", .arg = "FILE", .group = "General",
      .help = "Configuration file in YAML; default: none." },
    { "state-dir", 0, CONF_STR, AT(state_dir), "MUSTER_STATE_DIR", .arg = "DIR", .group = "General",
      .help = "Where everything is kept; default /var/lib/muster, with --dev ./var/server." },
    { "listen", 'l', CONF_STR, AT(listen), "MUSTER_LISTEN", "LISTEN_ADDR", .arg = "ADDR:PORT",
      .group = "General",
      .help = "Base port: gRPC here, WebSocket on PORT+1, HTTP on PORT+2; default 0.0.0.0:8120, with --dev "
              "127.0.0.1:8120." },
    { "tls-cert", 0, CONF_STR, AT(tls_cert), "MUSTER_TLS_CERT", .arg = "FILE", .flags = CONF_RELOAD,
      .group = "General", .help = "Certificate chain for HTTPS and WebSocket instead of the fleet's own." },
    { "tls-key", 0, CONF_STR, AT(tls_key), "MUSTER_TLS_KEY", .arg = "FILE", .flags = CONF_RELOAD,
      .group = "General", .help = "Its private key." },
    { "tls-name", 0, CONF_LIST, AT(tls_names), "MUSTER_TLS_NAMES", .arg = "NAME", .group = "General",
      .help = "One more name or address the server is reached by, for the fleet's own certificate; may be repeated. It always has "
              "localhost and this machine's host name. A change makes a new certificate at the next start, of the same CA." },
    { "trusted-proxy", 0, CONF_LIST, AT(trusted_proxies), "MUSTER_TRUSTED_PROXIES", .arg = "ADDR",
      .flags = CONF_RELOAD, .group = "General",
      .help = "Address of a proxy whose X-Forwarded-For is believed; may be repeated." },
    { "metrics", 0, CONF_BOOL, AT(metrics), "MUSTER_METRICS", "METRICS_ENABLED", .value = "true",
      .flags = CONF_RELOAD, .group = "General", .help = "Serve /metrics." },
    { "max-connections", 0, CONF_U32, AT(max_connections), "MUSTER_MAX_CONNECTIONS", .value = "0",
      .group = "General", .help = "Connections a port holds at once; 0: as many as descriptors allow." },

    { "http-listen", 0, CONF_LIST, AT(http_listen), "MUSTER_HTTP_LISTEN", .arg = "ADDR:PORT", .group = "Accents",
      .help = "One more port for HTTP, where foreign agents look for their server (0.0.0.0:3000); may be repeated." },
    { "http-plain", 0, CONF_BOOL, AT(http_plain), "MUSTER_HTTP_PLAIN", .value = "false", .group = "Accents",
      .help = "Take plain HTTP on the ports of --http-listen even beyond loopback: keys and tokens then cross the network "
              "readable by others." },
    { "require-https", 0, CONF_BOOL, AT(require_https), "MUSTER_REQUIRE_HTTPS", .value = "false", .flags = CONF_RELOAD,
      .group = "Accents", .help = "Refuse tokens of foreign agents over plain HTTP from other machines." },
    { "http-client-certs", 0, CONF_BOOL, AT(http_client_certs), "MUSTER_HTTP_CLIENT_CERTS", .value = "false", .flags = CONF_RELOAD,
      .group = "Accents",
      .help = "Ask HTTPS clients for a certificate, of any CA or none: it binds a Graphēon agent to its key. Nobody must show one "
              "but where an enrollment key says so." },
    { "sigma-heartbeat-creates", 0, CONF_BOOL, AT(sigma_heartbeat_creates), "MUSTER_SIGMA_HEARTBEAT_CREATES", .value = "true",
      .flags = CONF_RELOAD, .group = "Accents",
      .help = "A sigma heartbeat of an unknown host makes its record, instead of 404." },
    { "sigma-allow-loopback-agents", 0, CONF_BOOL, AT(sigma_allow_loopback), "MUSTER_SIGMA_ALLOW_LOOPBACK_AGENTS", .value = "false",
      .flags = CONF_RELOAD, .group = "Accents",
      .help = "Ports may be asked of sigma agents at loopback addresses (tests)." },
    { "argus-sign-up", 0, CONF_BOOL, AT(argus_sign_up), "MUSTER_ARGUS_SIGN_UP", .value = "false", .flags = CONF_RELOAD,
      .group = "Accents",
      .help = "Anybody may make a user (viewer) through POST /api/auth/register." },
    { "argus-agent-life", 0, CONF_DURATION, AT(argus_agent_life), "MUSTER_ARGUS_AGENT_LIFE", .value = "0",
      .max = 3650 * DAY, .flags = CONF_RELOAD, .arg = "TIME", .group = "Accents",
      .help = "How long an Argus agent's token is good after it registered; 0: until it is revoked." },
    { "grapheon-strict", 0, CONF_BOOL, AT(grapheon_strict), "MUSTER_GRAPHEON_STRICT", .value = "false", .flags = CONF_RELOAD,
      .group = "Accents", .help = "One bad row refuses a whole report, instead of being left out." },
    { "grapheon-max-report", 0, CONF_SIZE, AT(grapheon_max_report), "MUSTER_GRAPHEON_MAX_REPORT", "AGENT_MAX_REPORT_BYTES",
      .value = "256KiB", .min = 16384, .max = 4 << 20, .flags = CONF_RELOAD, .group = "Accents",
      .help = "Largest check-in body, as sent." },
    { "grapheon-key-header", 0, CONF_STR, AT(grapheon_key_header), "MUSTER_GRAPHEON_KEY_HEADER", "AGENT_API_KEY_HEADER",
      .value = "X-Agent-Api-Key", .arg = "NAME", .group = "Accents", .help = "Header of a Graphēon agent's key." },

    { "log-level", 0, CONF_ENUM, AT(log_level), "MUSTER_LOG_LEVEL", "LOG_LEVEL", .value = "info",
      .names = level_names, .flags = CONF_RELOAD, .arg = "LEVEL", .group = "Logging",
      .help = "What is logged; a plain level in RUST_LOG is taken too." },
    { "log-format", 0, CONF_ENUM, AT(log_format), "MUSTER_LOG_FORMAT", "LOG_FORMAT", .value = "pretty",
      .names = format_names, .flags = CONF_RELOAD, .arg = "FORMAT", .group = "Logging",
      .help = "Shape of a line." },
    { "log-file", 0, CONF_STR, AT(log_file), "MUSTER_LOG_FILE", "LOG_FILE", .arg = "FILE",
      .flags = CONF_RELOAD, .group = "Logging",
      .help = "Log here instead of standard error; SIGUSR1 reopens it." },
    { "log-file-rotation", 0, CONF_ENUM, AT(log_rotation), "MUSTER_LOG_FILE_ROTATION", "LOG_FILE_ROTATION",
      .value = "daily", .names = rotation_names, .flags = CONF_RELOAD, .arg = "WHEN", .group = "Logging",
      .help = "When a new file is begun." },
    { "log-file-retention-days", 0, CONF_U32, AT(log_retention_days), "MUSTER_LOG_FILE_RETENTION_DAYS",
      "LOG_FILE_RETENTION_DAYS", .value = "7", .max = 36500, .flags = CONF_RELOAD, .arg = "DAYS",
      .group = "Logging", .help = "Older rotated files are deleted; 0 keeps them." },

    { "heartbeat", 0, CONF_DURATION, AT(heartbeat), "MUSTER_HEARTBEAT", .value = "10s",
      .min = 200 * USEC_PER_MS, .max = 3600 * SEC, .flags = CONF_RELOAD, .group = "Fleet",
      .help = "How often agents report; stretched when there are many." },
    { "beats-per-second", 0, CONF_U32, AT(beats_per_s), "MUSTER_BEATS_PER_SECOND", .value = "2000", .min = 1,
      .max = 1000000, .flags = CONF_RELOAD, .group = "Fleet",
      .help = "Above this many heartbeats a second the interval is stretched." },
    { "pending-ttl", 0, CONF_DURATION, AT(pending_ttl), "MUSTER_PENDING_TTL", .value = "7d", .min = SEC,
      .max = 3650 * DAY, .flags = CONF_RELOAD, .group = "Fleet",
      .help = "How long an enrolment request waits for an operator." },
    { "certificate-ttl", 0, CONF_DURATION, AT(cert_ttl), "MUSTER_CERTIFICATE_TTL", .value = "30d", .min = SEC,
      .max = 3650 * DAY, .flags = CONF_RELOAD, .group = "Fleet",
      .help = "Life of a host's certificate; agents renew at two thirds of it." },
    { "job-deadline", 0, CONF_DURATION, AT(job_deadline), "MUSTER_JOB_DEADLINE", .value = "1h", .min = SEC,
      .max = 365 * DAY, .flags = CONF_RELOAD, .group = "Fleet",
      .help = "How long a job waits for hosts that are away, unless it says." },
    { "away-limit", 0, CONF_DURATION, AT(away_limit), "MUSTER_AWAY_LIMIT", .value = "24h", .min = SEC,
      .max = 365 * DAY, .flags = CONF_RELOAD, .group = "Fleet",
      .help = "A running task of a host away for longer is lost." },
    { "max-running-tasks", 0, CONF_U32, AT(max_tasks), "MUSTER_MAX_RUNNING_TASKS", .value = "16", .min = 1,
      .max = 1024, .flags = CONF_RELOAD, .group = "Fleet",
      .help = "Commands a host runs at once; the rest queue." },
    { "output-cap", 0, CONF_SIZE, AT(output_cap), "MUSTER_OUTPUT_CAP", .value = "64MiB", .min = 1024,
      .max = 1ULL << 40, .flags = CONF_RELOAD, .group = "Fleet",
      .help = "Bytes kept of each output stream of a command." },

    { "retention", 0, CONF_DURATION, AT(keep), "MUSTER_RETENTION", .value = "30d", .min = 60 * SEC,
      .max = 36500 * DAY, .flags = CONF_RELOAD, .group = "Retention",
      .help = "Job output, events and inventory history older than this go; looked at each minute." },
    { "audit-retention", 0, CONF_DURATION, AT(keep_audit), "MUSTER_AUDIT_RETENTION", .value = "400d",
      .min = 60 * SEC, .max = 36500 * DAY, .flags = CONF_RELOAD, .group = "Retention",
      .help = "Audit rows older than this go." },
    { "quota", 0, CONF_SIZE, AT(quota), "MUSTER_QUOTA", .value = "10GiB", .min = 1 << 20, .max = 1ULL << 50,
      .flags = CONF_RELOAD, .group = "Retention",
      .help = "Output, events and history together; the oldest go first, but a tenth of it is for events and history in any case. Looked at each minute." },

    { "limit-refusals", 0, CONF_U32, AT(refusals_per_s), "MUSTER_LIMIT_REFUSALS", .value = "20", .min = 1,
      .max = 1000000, .flags = CONF_RELOAD, .arg = "PER_SECOND", .group = "Admission",
      .help = "Bad credentials answered per address, then 429." },
    { "limit-login", 0, CONF_U32, AT(login_per_min), "MUSTER_LIMIT_LOGIN", .value = "10", .min = 1,
      .max = 1000000, .flags = CONF_RELOAD, .arg = "PER_MINUTE", .group = "Admission",
      .help = "Logins per address and per user." },
    { "limit-enroll", 0, CONF_U32, AT(enroll_per_s), "MUSTER_LIMIT_ENROLL", .value = "0", .max = 1000000,
      .flags = CONF_RELOAD, .arg = "PER_SECOND", .group = "Admission",
      .help = "Enrolments with a valid install token, whole server; 0: 200, with --dev 1000." },
    { "limit-connect", 0, CONF_U32, AT(connect_per_s), "MUSTER_LIMIT_CONNECT", .value = "5000", .min = 1,
      .max = 1000000, .flags = CONF_RELOAD, .arg = "PER_SECOND", .group = "Admission",
      .help = "Agents that say hello, whole server." },
    { "limit-checkin", 0, CONF_U32, AT(checkin_per_s), "MUSTER_LIMIT_CHECKIN", .value = "500", .min = 1,
      .max = 1000000, .flags = CONF_RELOAD, .arg = "PER_SECOND", .group = "Admission",
      .help = "Numbered messages of one agent; beyond it is not read." },
    { "limit-output", 0, CONF_SIZE, AT(output_per_s), "MUSTER_LIMIT_OUTPUT", .value = "32MiB", .min = 1024,
      .max = 1ULL << 40, .flags = CONF_RELOAD, .arg = "BYTES", .group = "Admission",
      .help = "Task output of one agent a second; beyond it is not read." },
    { "limit-operator", 0, CONF_U32, AT(operator_per_s), "MUSTER_LIMIT_OPERATOR", .value = "2000", .min = 1,
      .max = 1000000, .flags = CONF_RELOAD, .arg = "PER_SECOND", .group = "Admission",
      .help = "API calls of one principal." },
};

const struct conf_table options_table = {
    .program = "musterd",
    .synopsis = "[OPTION...] [config check | config dump [--origin] | doctor | backup FILE | restore FILE]",
    .summary = "control server of a fleet",
    .rows = rows,
    .n_rows = ARRAY_SIZE(rows),
    .size = sizeof(struct options),
};

/* -- loading */

static int load_file(struct conf *c, const char *path, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF(LIMIT_YAML_BYTES);
    int r;

    r = fd_read_file(path, &text);
    if (r == -ENOBUFS)
        return err_set(err, -EFBIG, "config.too_large", "%s: larger than %d bytes", path, LIMIT_YAML_BYTES);
    if (r < 0)
        return err_set(err, r, "config.read", "%s: %m", path);
    r = yaml_conf(c, path, buf_as_str(&text), err);
    /* The command line has the same variable for its own file. */
    if (r < 0 && strcmp(err->slug, "config.unknown_key") == 0 && (strcmp(err->path, "current") == 0 || strncmp(err->path, "contexts", 8) == 0)) {
        char key[ERR_PATH_MAX]; /* err_set() empties the path before it formats */

        memcpy(key, err->path, sizeof(key));
        return err_set(err, r, "config.unknown_key", "%s is the file of muster, the command line (it has %s); musterd's own is named with --config or "
                       "MUSTER_CONFIG", path, key);
    }
    return r;
}

/* RUST_LOG wins over LOG_LEVEL as in the guide; one that holds filters is not for us. */
static int take_rust_log(struct conf *c, struct err *err)
{
    const char *v = getenv("RUST_LOG");
    enum log_level level;

    if (!v || !v[0] || getenv("MUSTER_LOG_LEVEL") || log_level_parse(str_of(v), &level) < 0)
        return 0;
    return conf_set(c, "log-level", str_of(v), CONF_FROM_ENV, "RUST_LOG", err);
}

/* Flags may stand before, between and after the words. */
static int take_flags(struct conf *c, int argc, char **argv, const char **words, size_t max, size_t *ret_n,
                      struct err *err)
{
    int at = 0, outcome = CONF_OK;

    *ret_n = 0;
    while (at < argc) {
        int first = 1, r;

        /* "--origin" belongs to a subcommand, not to the table. */
        while (at + 1 < argc && strcmp(argv[at + 1], "--origin") == 0 && *ret_n > 0 && *ret_n < max) {
            words[(*ret_n)++] = argv[at + 1];
            at++;
        }
        r = conf_flags(c, argc - at, argv + at, &first, err);
        if (r < 0)
            return r;
        if (r != CONF_OK)
            outcome = r;
        at += first;
        if (at >= argc)
            break;
        if (*ret_n == max)
            return err_set(err, -EINVAL, "config.usage", "too many words, starting at \"%s\"", argv[at]);
        words[(*ret_n)++] = argv[at]; /* conf_flags() skips its argv[0]: here, the word */
    }
    return outcome;
}

/* What can stand in a certificate: a host name (a first label "*" is a wildcard) or an address. */
static bool is_tls_name(const char *name)
{
    struct in6_addr any;
    size_t n = strlen(name);

    if (inet_pton(AF_INET, name, &any) == 1 || inet_pton(AF_INET6, name, &any) == 1)
        return true;
    if (strncmp(name, "*.", 2) == 0)
        name += 2;
    for (const char *p = name; *p; p++)
        if (!((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z') && !(*p >= '0' && *p <= '9') && *p != '-' &&
            (*p != '.' || p == name || p[1] == '.' || !p[1]))
            return false;
    return *name && n <= 253;
}

static int check_tls_names(const struct options *o, struct err *err)
{
    if (o->tls_names.n > CONTROL_NAMES_MAX)
        return err_set(err, -EINVAL, "config.bad_value", "tls-name: more than %d names", CONTROL_NAMES_MAX);
    for (size_t i = 0; i < o->tls_names.n; i++)
        if (!is_tls_name(o->tls_names.v[i].value))
            return err_set(err, -EINVAL, "config.bad_value", "tls-name: \"%s\" is neither a host name nor an address",
                           o->tls_names.v[i].value);
    return 0;
}

/* Peers are compared with these letter by letter: a name or a network would never match, and nobody would be told. */
static int check_proxies(const struct options *o, struct err *err)
{
    struct in6_addr any;

    for (size_t i = 0; i < o->trusted_proxies.n; i++)
        if (inet_pton(AF_INET, o->trusted_proxies.v[i].value, &any) != 1 &&
            inet_pton(AF_INET6, o->trusted_proxies.v[i].value, &any) != 1)
            return err_set(err, -EINVAL, "config.bad_value", "trusted-proxy: \"%s\" is no IP address",
                           o->trusted_proxies.v[i].value);
    return 0;
}

int options_load(struct conf *c, struct options *o, int argc, char **argv, const char **words, size_t max,
                 size_t *ret_n, struct err *err)
{
    int outcome, r;

    conf_init(c, &options_table, o);
    outcome = take_flags(c, argc, argv, words, max, ret_n, err);
    if (outcome != CONF_OK)
        return outcome;
    r = conf_env(c, err);
    if (r == 0)
        r = take_rust_log(c, err);
    if (r == 0 && o->config)
        r = load_file(c, o->config, err);
    if (r < 0)
        return r;
    if ((o->tls_cert != NULL) != (o->tls_key != NULL))
        return err_set(err, -EINVAL, "config.bad_value", "tls-cert and tls-key go together");
    if ((r = check_tls_names(o, err)) < 0 || (r = check_proxies(o, err)) < 0)
        return r;
    struct listen_at at;
    for (size_t i = 0; i < o->http_listen.n; i++)
        if ((r = options_http_listen(o, i, &at, err)) < 0)
            return r;
    return options_listen(o, &at, err);
}

static bool is_loopback(const char *addr)
{
    struct in6_addr a6;
    struct in_addr a4;

    if (inet_pton(AF_INET, addr, &a4) == 1)
        return (ntohl(a4.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, addr, &a6) == 1 && IN6_IS_ADDR_LOOPBACK(&a6);
}

/* "ADDR:PORT" of the option @name; no address: @none. */
static int parse_listen(const char *name, const char *text, const char *none, uint16_t max_port, struct listen_at *ret, struct err *err)
{
    const char *colon = strrchr(text, ':');
    struct str addr = colon ? str_bytes(text, (size_t)(colon - text)) : STR_NONE;
    struct in6_addr any;
    uint64_t port;

    *ret = (struct listen_at){ 0 };
    if (addr.len > 2 && addr.ptr[0] == '[' && addr.ptr[addr.len - 1] == ']')
        addr = str_sub(addr, 1, addr.len - 2);
    if (!colon || str_to_u64(str_of(colon + 1), &port) < 0 || port > max_port)
        return err_set(err, -EINVAL, "config.bad_value", "%s: \"%s\" is no ADDR:PORT with a port up to %u", name, text, max_port);
    if (addr.len == 0)
        addr = str_of(none);
    if (str_is(addr, "localhost"))
        addr = STR("127.0.0.1");
    if (str_copy(addr, ret->addr, sizeof(ret->addr)) < 0 ||
        (inet_pton(AF_INET, ret->addr, &any) != 1 && inet_pton(AF_INET6, ret->addr, &any) != 1))
        return err_set(err, -EINVAL, "config.bad_value", "%s: \"%.*s\" is no numeric address", name, STR_FMT(addr));
    ret->port = (uint16_t)port;
    ret->is_loopback = is_loopback(ret->addr);
    return 0;
}

int options_listen(const struct options *o, struct listen_at *ret, struct err *err)
{
    const char *text = o->listen ? o->listen : o->dev ? "127.0.0.1:8120" : "0.0.0.0:8120";
    int r = parse_listen("listen", text, o->dev ? "127.0.0.1" : "0.0.0.0", 65533, ret, err);

    if (r < 0)
        return r;
    if (o->dev && !ret->is_loopback)
        return err_set(err, -EINVAL, "config.bad_value",
                       "listen: %s is not a loopback address; --dev is for this machine only, so leave it "
                       "out or listen on 127.0.0.1",
                       ret->addr);
    return 0;
}

int options_http_listen(const struct options *o, size_t i, struct listen_at *ret, struct err *err)
{
    return parse_listen("http-listen", o->http_listen.v[i].value, o->dev ? "127.0.0.1" : "0.0.0.0", 65535, ret, err);
}

const char *options_state_dir(const struct options *o)
{
    if (o->state_dir)
        return o->state_dir;
    return o->dev ? "./var/server" : "/var/lib/muster";
}

void options_log_conf(const struct options *o, struct log_conf *ret)
{
    *ret = (struct log_conf){ .level = (enum log_level)o->log_level,
                              .format = (enum log_format)o->log_format,
                              .file = o->log_file,
                              .retention_days = o->log_retention_days,
                              .ring_lines = LOG_RING_LINES };
    switch (o->log_rotation) {
    case LOG_ROTATE_DAILY:
        ret->rotation = LOG_ROTATE_DAILY;
        break;
    case LOG_ROTATE_HOURLY:
        ret->rotation = LOG_ROTATE_HOURLY;
        break;
    default:
        ret->rotation = LOG_ROTATE_NEVER;
        break;
    }
}
