/* agent/dialects/grapheon_options.c - the upstream agent's flags, variables and env file, and what we add to them.
 *
 * Flag > environment > env file > default. Upstream ignores most keys of a file given with --config; here every key counts. No
 * abbreviations: "--reg" is an error there and here. */
#include <errno.h>

#include "agent/dialects/grapheon.h"
#include "base/fd.h"

enum { ENV_FILE_MAX = 64 << 10 };
enum type { T_STR, T_INT, T_BOOL, T_SWITCH }; /* a switch has no variable */

struct option {
    const char *flag, *env;
    enum type type;
    size_t offset;
    const char *value; /* default */
    const char *arg, *help;
    bool is_secret, is_ours;
    int64_t min, max;
};

#define O(m) offsetof(struct grapheon_options, m)
#define ENV(n) "GRAPHEON_AGENT_" n
/* clang-format off */
static const struct option table[] = {
    { "config", ENV("CONFIG"), T_STR, O(config), "/etc/grapheon-agent.env", "PATH", "env file with KEY=VALUE lines; may be missing" },
    { "state-dir", ENV("STATE_DIR"), T_STR, O(state_dir), "/var/lib/grapheon-agent", "PATH", "where identity, key and last snapshot are kept" },
    { "server-url", ENV("SERVER_URL"), T_STR, O(server_url), NULL, "URL", "the server, with a path prefix if it has one" },
    { "enrollment-key", ENV("ENROLLMENT_KEY"), T_STR, O(enrollment_key), NULL, "KEY", "key for the first registration; others can see it in the process list: prefer the file", .is_secret = true },
    { "enrollment-key-file", ENV("ENROLLMENT_KEY_FILE"), T_STR, O(enrollment_key_file), NULL, "PATH", "file with that key, mode 0600", .is_ours = true },
    { "forget-enrollment-key", ENV("FORGET_ENROLLMENT_KEY"), T_BOOL, O(forget_enrollment_key), NULL, NULL, "remove that file once an API key was issued", .is_ours = true },
    { "display-name", ENV("DISPLAY_NAME"), T_STR, O(display_name), NULL, "NAME", "name shown to operators" },
    { "site-name", ENV("SITE_NAME"), T_STR, O(site_name), NULL, "NAME", "site shown to operators" },
    { "hostname", ENV("HOSTNAME"), T_STR, O(hostname), NULL, "NAME", "instead of the system's host name" },
    { "request-timeout-seconds", ENV("REQUEST_TIMEOUT_SECONDS"), T_INT, O(request_timeout_s), "30", "N", "for the connection and for each answer", .min = 1, .max = 3600 },
    { "timer-interval-seconds", ENV("TIMER_INTERVAL_SECONDS"), T_INT, O(timer_interval_s), "900", "N", "how often the timer starts this program", .min = 0, .max = 604800 },
    { "api-key-header", ENV("API_KEY_HEADER"), T_STR, O(api_key_header), "X-Agent-Api-Key", "NAME", "header that carries the API key" },
    { "ca-file", ENV("CA_FILE"), T_STR, O(ca_file), NULL, "PATH", "trust these CAs instead of the system's" },
    { "insecure-skip-verify", ENV("INSECURE_SKIP_VERIFY"), T_BOOL, O(insecure_skip_verify), NULL, NULL, "take any certificate of the server" },
    { "allow-http", ENV("ALLOW_HTTP"), T_BOOL, O(allow_http), NULL, NULL, "allow http:// to other machines: keys travel in the clear", .is_ours = true },
    { "client-cert", ENV("CLIENT_CERT"), T_STR, O(client_cert), NULL, "PATH", "certificate this host shows an https:// server, PEM: musterd binds the agent to its key", .is_ours = true },
    { "client-key", ENV("CLIENT_KEY"), T_STR, O(client_key), NULL, "PATH", "file with its key, mode 0600, without a pass phrase; the certificate's file when not given", .is_ours = true },
    { "collector", ENV("COLLECTOR"), T_STR, O(collector), "netlink", "HOW", "netlink, or commands: ip, ss and netstat of PATH", .is_ours = true },
    { "raw", ENV("RAW"), T_BOOL, O(raw), NULL, NULL, "send what ip, ss and netstat of PATH print, for musterd to read; rows where that does not fit or is not known", .is_ours = true },
    { "wildcard-listeners", ENV("WILDCARD_LISTENERS"), T_STR, O(wildcards), "auto", "HOW", "auto, send or drop connections with the local address 0.0.0.0 or ::", .is_ours = true },
    { "max-rows", ENV("MAX_ROWS"), T_INT, O(max_rows), "20000", "N", "of a section; more are left out and counted", .is_ours = true, .min = 1, .max = 1000000 },
    { "drop-time-wait", ENV("DROP_TIME_WAIT"), T_BOOL, O(drop_time_wait), NULL, NULL, "leave connections in TIME-WAIT out", .is_ours = true },
    { "extended-rows", ENV("EXTENDED_ROWS"), T_BOOL, O(extended_rows), NULL, NULL, "also tell IPv6 routes, those of other tables, next hops, and interfaces and all owners of sockets", .is_ours = true },
    { "full-every-seconds", ENV("FULL_EVERY_SECONDS"), T_INT, O(full_every_s), "86400", "N", "send everything again so often; 0: never", .is_ours = true, .min = 0, .max = 31536000 },
    { "retries", ENV("RETRIES"), T_INT, O(retries), "2", "N", "more attempts when the server cannot be reached or is busy", .is_ours = true, .min = 0, .max = 10 },
    { "reregister", ENV("REREGISTER"), T_BOOL, O(reregister), NULL, NULL, "register again when the API key is refused (401)", .is_ours = true },
    { "exit-codes", ENV("EXIT_CODES"), T_STR, O(exit_codes), "plain", "HOW", "plain: 0, 1, 2. fine: also 3 network, 4 refused key, 5 refused report, 6 server, 78 configuration", .is_ours = true },
    { "register-only", NULL, T_SWITCH, O(register_only), NULL, NULL, "register (or ask whether an operator approved), then stop" },
    { "check-in-only", NULL, T_SWITCH, O(check_in_only), NULL, NULL, "never register; fails without an API key" },
    { "force", NULL, T_SWITCH, O(force), NULL, NULL, "collect now: no cadence gate and no jitter" },
    { "no-jitter", NULL, T_SWITCH, O(no_jitter), NULL, NULL, "do not wait before collecting", .is_ours = true },
    { "print-report", NULL, T_SWITCH, O(print_report), NULL, NULL, "print the report that would be sent; send and keep nothing", .is_ours = true },
    { "check-config", NULL, T_SWITCH, O(check_config), NULL, NULL, "check and print the settings; do nothing else", .is_ours = true },
    { "log-level", ENV("LOG_LEVEL"), T_STR, O(log_level), "INFO", "LEVEL", "DEBUG, INFO, WARNING, ERROR or CRITICAL" },
    { "version", NULL, T_SWITCH, O(version), NULL, NULL, "print the version", .is_ours = true },
    { "man", NULL, T_SWITCH, O(man), NULL, NULL, "print the manual page", .is_ours = true },
    { "help", NULL, T_SWITCH, O(help), NULL, NULL, "print this" },
};
/* clang-format on */

enum origin { FROM_DEFAULT, FROM_FILE, FROM_ENV, FROM_FLAG };
static uint8_t origin[ARRAY_SIZE(table)];

static char **str_at(struct grapheon_options *o, size_t i)
{
    return (char **)(void *)((char *)o + table[i].offset);
}

static bool is_yes(struct str s)
{
    return str_eq_nocase(s, STR("1")) || str_eq_nocase(s, STR("true")) || str_eq_nocase(s, STR("yes")) ||
           str_eq_nocase(s, STR("on"));
}

static int set(struct grapheon_options *o, size_t i, struct str value, enum origin from, struct err *err)
{
    const struct option *op = &table[i];
    const char *slug = from == FROM_FLAG ? "usage" : "config.value";
    int64_t n;

    origin[i] = (uint8_t)from;
    if (op->type == T_BOOL || op->type == T_SWITCH) {
        *(bool *)((char *)o + op->offset) = from == FROM_FLAG || is_yes(str_trim(value));
        return 0;
    }
    if (op->type == T_INT) {
        if (str_to_i64(str_trim(value), &n) < 0)
            return err_set(err, -EINVAL, slug, "--%s: \"%.*s\" is not a number", op->flag, STR_FMT(str_sub(value, 0, 40)));
        if (n < op->min || n > op->max)
            return err_set(err, -EINVAL, slug, "--%s: %lld is not within %lld and %lld", op->flag, (long long)n,
                           (long long)op->min, (long long)op->max);
        *(int64_t *)(void *)((char *)o + op->offset) = n;
        return 0;
    }
    secret_free(*str_at(o, i));
    *str_at(o, i) = value.len > 0 ? str_dup(value) : NULL;
    return 0;
}

static int find(struct str flag)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (str_is(flag, table[i].flag))
            return (int)i;
    return -1;
}

/* Flags win, but which file to read is one of them: they are set first and not touched later. */
static int read_flags(struct grapheon_options *o, int argc, char **argv, struct err *err)
{
    for (int k = 1; k < argc; k++) {
        struct str s = str_of(argv[k]), name;
        bool has_value;
        int i, r;

        if (strcmp(argv[k], "-h") == 0) {
            o->help = true;
            continue;
        }
        if (!str_starts(s, STR("--"))) {
            if (strcmp(argv[k], "status") != 0 || o->word)
                return err_set(err, -EINVAL, "usage", "unrecognized argument: %s", argv[k]);
            o->word = "status";
            continue;
        }
        s = str_sub(s, 2, SIZE_MAX);
        has_value = str_find_char(s, '=') >= 0;
        (void)str_cut(&s, '=', &name);
        i = find(name);
        if (i < 0)
            return err_set(err, -EINVAL, "usage", "unrecognized argument: --%.*s", STR_FMT(name));
        if (!table[i].arg) {
            if (has_value)
                return err_set(err, -EINVAL, "usage", "--%s takes no value", table[i].flag);
        } else if (!has_value) {
            if (k + 1 == argc)
                return err_set(err, -EINVAL, "usage", "--%s needs a value", table[i].flag);
            s = str_of(argv[++k]);
        }
        r = set(o, (size_t)i, s, FROM_FLAG, err);
        if (r < 0)
            return r;
        if (table[i].is_secret && s.len > 0) /* /proc/PID/cmdline is everybody's to read */
            memset((char *)(uintptr_t)s.ptr, 'x', s.len);
    }
    return o->register_only && o->check_in_only
               ? err_set(err, -EINVAL, "usage", "--check-in-only is not allowed with --register-only")
               : 0;
}

struct filling {
    struct grapheon_options *o;
    struct err *err;
    int r;
    uint8_t is_set[ARRAY_SIZE(table)];
};

static void on_file_key(void *ctx, struct str key, struct str value)
{
    struct filling *f = ctx;

    for (size_t i = 0; f->r == 0 && i < ARRAY_SIZE(table); i++)
        if (table[i].env && str_is(key, table[i].env) && !f->is_set[i] && origin[i] < FROM_ENV && !getenv(table[i].env)) {
            f->is_set[i] = 1;
            f->r = set(f->o, i, value, FROM_FILE, f->err);
            if (f->r < 0)
                err_prefix(f->err, "%s", f->o->config);
        }
}

void grapheon__env_file(struct str text, void (*fn)(void *ctx, struct str key, struct str value), void *ctx)
{
    struct str line, key;

    while (str_cut(&text, '\n', &line)) {
        line = str_trim(line);
        if (line.len == 0 || line.ptr[0] == '#' || str_find_char(line, '=') < 0)
            continue;
        (void)str_cut(&line, '=', &key);
        line = str_trim(line);
        while (line.len > 0 && (line.ptr[0] == '"' || line.ptr[0] == '\''))
            line = str_sub(line, 1, SIZE_MAX);
        while (line.len > 0 && (line.ptr[line.len - 1] == '"' || line.ptr[line.len - 1] == '\''))
            line.len--;
        fn(ctx, str_trim(key), line);
    }
}

static int read_file(struct grapheon_options *o, struct err *err)
{
    AUTO(buf_done_secret) struct buf b = BUF(ENV_FILE_MAX);
    struct filling f = { .o = o, .err = err };
    int r;

    if (!o->config)
        return 0;
    r = fd_read_file(o->config, &b);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return err_set(err, r, "config.read", "cannot read %s: %m", o->config);
    grapheon__env_file(buf_as_str(&b), on_file_key, &f);
    return f.r;
}

static int choose(const char *flag, const char *value, const char *const *words, const char *shown, int *ret, struct err *err)
{
    for (int i = 0; words[i]; i++)
        if (value && strcmp(value, words[i]) == 0) {
            *ret = i;
            return 0;
        }
    return err_set(err, -EINVAL, origin[find(str_of(flag))] == FROM_FLAG ? "usage" : "config.value", "--%s: \"%s\" is none of %s",
                   flag, value ? value : "", shown);
}

static int finish(struct grapheon_options *o, struct err *err)
{
    static const char *const collectors[] = { "netlink", "commands", NULL },
                             *const wildcards[] = { "auto", "send", "drop", NULL }, *const codes[] = { "plain", "fine", NULL };
    int how = 0, r = choose("collector", o->collector, collectors, "netlink, commands", &how, err);

    o->by_commands = how == 1 || o->raw;
    if (r == 0)
        r = choose("wildcard-listeners", o->wildcards, wildcards, "auto, send, drop", &how, err);
    o->wildcard_mode = (enum grapheon_wildcards)how;
    if (r == 0)
        r = choose("exit-codes", o->exit_codes, codes, "plain, fine", &how, err);
    o->fine_codes = r == 0 && how == 1;
    return r;
}

int grapheon__options(struct grapheon_options *o, int argc, char **argv, struct err *err)
{
    int r;

    *o = (struct grapheon_options){ 0 };
    memset(origin, FROM_DEFAULT, sizeof(origin));
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (table[i].value)
            (void)set(o, i, str_of(table[i].value), FROM_DEFAULT, NULL);
    r = read_flags(o, argc, argv, err);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(table); i++) {
        const char *v = table[i].env && origin[i] < FROM_ENV ? getenv(table[i].env) : NULL;

        if (v && *v)
            r = set(o, i, str_of(v), FROM_ENV, err);
    }
    if (r == 0)
        r = read_file(o, err);
    return r == 0 ? finish(o, err) : r;
}

void grapheon__options_done(struct grapheon_options *o)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (table[i].type == T_STR)
            secret_free(*str_at(o, i));
    *o = (struct grapheon_options){ 0 };
}

const char *grapheon__option_origin(const char *name)
{
    static const char *const words[] = { "default", "file", "environment", "flag" };
    int i = find(str_of(name));

    return i < 0 ? "" : words[origin[i]];
}

/* -- texts */

int grapheon__usage(const char *program, struct buf *out)
{
    return buf_printf(out, "usage: %s [OPTION...] [status]\n       %s verify [--key FILE] FILE\n", program, program);
}

static const char summary[] = "Low-impact one-shot collector for Graphēon: addresses, neighbours, connections and routes.\n"
                              "Started by a timer, or directly for a first registration or a test.\n";

int grapheon__help(const char *program, struct buf *out)
{
    int r = grapheon__usage(program, out);

    r = r < 0 ? r : buf_printf(out, "\n%s\nOptions:\n", summary);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(table); i++) {
        AUTO_FREE char *flag = xasprintf("%s--%s%s%s", strcmp(table[i].flag, "help") == 0 ? "-h, " : "", table[i].flag,
                                         table[i].arg ? " " : "", table[i].arg ? table[i].arg : "");

        r = buf_printf(out, "  %-30s %s", flag, table[i].help);
        if (r == 0 && table[i].value)
            r = buf_printf(out, " (%s)", table[i].value);
        r = r < 0 ? r : buf_char(out, '\n');
    }
    r = r < 0
            ? r
            : buf_printf(
                  out,
                  "\nEach option with a value and each yes-or-no setting can also stand in the environment or in the env file, "
                  "as\n"
                  "GRAPHEON_AGENT_ and its name in capitals: GRAPHEON_AGENT_SERVER_URL=https://graphs.example.org\n"
                  "\nThe word status prints what is known about this host and its last report. verify checks a release, by its\n"
                  "manifest and without a network: verify --help says how.\n"
                  "\nExamples:\n"
                  "  %s --server-url https://graphs.example.org --enrollment-key-file /root/key --register-only\n"
                  "  %s --server-url http://127.0.0.1:8000 --state-dir ./agent-state --check-in-only --force --log-level DEBUG\n"
                  "  %s --config /etc/grapheon-agent.env\n",
                  program, program, program);
    return r;
}

static int man_row(const struct option *op, struct buf *out)
{
    int r = buf_cstr(out, ".TP\n.B ");

    if (strcmp(op->flag, "help") == 0)
        r = r < 0 ? r : buf_cstr(out, "\\-h, ");
    r = r < 0 ? r : buf_cstr(out, "\\-\\-");
    for (const char *p = op->flag; r == 0 && *p; p++)
        r = *p == '-' ? buf_cstr(out, "\\-") : buf_char(out, *p);
    if (r == 0 && op->arg)
        r = buf_printf(out, " \\fI%s\\fR", op->arg);
    r = r < 0 ? r : buf_printf(out, "\n%s.", op->help);
    if (r == 0 && op->value)
        r = buf_printf(out, " Default: %s.", op->value);
    if (r == 0 && op->env)
        r = buf_printf(out, " Variable: %s.", op->env);
    if (r == 0 && op->is_ours)
        r = buf_cstr(out, " Not in the upstream agent.");
    return r < 0 ? r : buf_char(out, '\n');
}

int grapheon__man(struct buf *out)
{
    int r = buf_cstr(
        out, ".TH GRAPHEON-AGENT 8 \"\" \"muster " MUSTER_VERSION "\" \"Muster\"\n.SH NAME\n"
             "grapheon-agent \\- one-shot collector for a Graphēon server\n.SH SYNOPSIS\n"
             ".B grapheon-agent\n[\\fIOPTION\\fR...] [\\fBstatus\\fR]\n.br\n.B muster-agent grapheon\n[\\fIOPTION\\fR...] "
             "[\\fBstatus\\fR]\n.br\n.B grapheon-agent verify\n[\\fB\\-\\-key\\fR \\fIFILE\\fR] \\fIFILE\\fR\n"
             ".SH DESCRIPTION\nCollects addresses, neighbours, connections and routes, and sends what changed since the last\n"
             "report. It takes the flags, variables, files and exit codes of the Python agent of Graphēon 0.3 and can\n"
             "take its place on a host, or give it back: both use the same state directory.\n.SH OPTIONS\n");

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(table); i++)
        r = man_row(&table[i], out);
    r = r < 0 ? r
              : buf_cstr(out,
                         ".SH CHECKING A RELEASE\n.B verify\nchecks the manifest of a release, or a file that one names, without a\n"
                         "network: the Ed25519 signature beside it (\\fIMANIFEST\\fR.sig) against the public key that is built in\n"
                         "or that \\fB\\-\\-key\\fR names, then size and SHA\\-256 of the file, or of every file that is beside the\n"
                         "manifest. It exits with 0 when all is good, else with 1; \\fBverify \\-\\-help\\fR tells the rest.\n"
                         ".SH FILES\n.TP\n.I /etc/grapheon-agent.env\nKEY=VALUE lines; flags and the environment win.\n"
                         ".TP\n.I /var/lib/grapheon-agent\nagent_uuid, api_key, state.json; .claim and .muster.json are ours.\n"
                         ".SH EXIT STATUS\n.TP\n.B 0\nReported, waiting for approval, registered, or not yet time to report.\n"
                         ".TP\n.B 1\nFailed; nothing was kept, the next run tries again.\n.TP\n.B 2\nWrong usage.\n"
                         ".TP\n.B 3, 4, 5, 6, 78\nWith \\-\\-exit\\-codes fine: network, refused key, refused report, server, "
                         "configuration.\n"
                         ".SH SEE ALSO\n.BR muster-agent (8)\n");
    return r;
}

int grapheon__options_dump(const struct grapheon_options *o, struct buf *out)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(table); i++) {
        const char *base = (const char *)o + table[i].offset, *s;

        if (!table[i].env)
            continue;
        r = buf_printf(out, "%s=", table[i].env);
        if (r < 0)
            break;
        switch (table[i].type) {
        case T_INT:
            r = buf_printf(out, "%lld", (long long)*(const int64_t *)(const void *)base);
            break;
        case T_BOOL:
        case T_SWITCH:
            r = buf_cstr(out, *(const bool *)base ? "true" : "false");
            break;
        case T_STR:
            s = *(char *const *)(const void *)base;
            r = buf_cstr(out, !s ? "" : table[i].is_secret ? "(set)" : s);
            break;
        }
        r = r < 0 ? r : buf_printf(out, "  # %s\n", grapheon__option_origin(table[i].flag));
    }
    return r;
}
