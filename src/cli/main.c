/* cli/main.c - the muster program: finds the verb, reads its options, runs it, says what went wrong. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "cli/cmd.h"
#include "cli/help.h"
#include "cli/waiting.h"
#include "net/tls_ctx.h"

/* The socket is not there or not for us, most often because nobody named a server: the usual first stumble. */
static const char *local_hint(const struct cli *cli, int rc)
{
    bool is_connecting = str_starts(str_of(cli->err.slug), STR("net."));
    if (!cli->target.unix_path || !is_connecting || (rc != RC_UNREACHABLE && rc != RC_DENIED))
        return NULL;
    if (cli->err.code == -EACCES)
        return "The local socket is for root and the server's user: use sudo, or muster login URL --pin "
               "sha256:HEX";
    if (!cli->target.is_default && (cli->err.code == -ENOENT || cli->err.code == -ECONNREFUSED))
        return "Is musterd running? Its socket is musterd.sock in its --state-dir";
    if (!cli->target.is_default)
        return NULL;
    return "Is musterd running here? Start it, or name another with --server URL or muster login URL --pin "
           "sha256:HEX";
}

static void say_error(const struct cli *cli, int rc)
{
    const struct err *e = &cli->err;
    if (!err_is(e))
        return;
    fflush(stdout);
    bool is_usage = strcmp(e->slug, "usage") == 0;
    size_t n = strlen(e->text);
    bool ends = n && (e->text[n - 1] == '.' || e->text[n - 1] == '?');
    char room[256];
    const char *hint = local_hint(cli, rc);
    if (!hint)
        hint = cli_hint(e, room, sizeof(room));
    fprintf(stderr, "muster: %s%s%s", is_usage ? "" : e->slug, is_usage ? "" : ": ", e->text);
    if (is_usage && cli->cmd)
        fprintf(stderr, "%s Usage: muster %s%s%s", ends ? "" : ".", cli->cmd->name, cli->cmd->usage[0] ? " " : "", cli->cmd->usage);
    else if (hint)
        fprintf(stderr, "%s %s", ends ? "" : ".", hint);
    fputc('\n', stderr);
}

/* -- words */

/* Index of the verb: the first word that is neither a global flag nor its value. */
static int find_verb(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-' || !argv[i][1])
            return i;
        if (strcmp(argv[i], "--") == 0)
            return i + 1;
        for (size_t k = 0; k < n_global_rows; k++) {
            const struct conf_row *row = &global_rows[k];
            bool is_long = strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, row->name) == 0;
            bool is_short = row->letter && argv[i][1] == row->letter && !argv[i][2];
            if ((is_long || is_short) && row->type != CONF_BOOL) {
                i++;
                break;
            }
        }
    }
    return argc;
}

struct parsed {
    struct conf_row *rows;
    char *program;
    struct conf_table table;
    struct conf conf;
    void *options;
    struct args args;
    VEC(char *) argv;
};

static void parsed_done(struct parsed *p)
{
    if (p->options)
        conf_done(&p->conf);
    free(p->options);
    free(p->rows);
    free(p->program);
    free(p->args.v);
    vec_done(&p->argv);
}
DEFINE_AUTO_VALUE(struct parsed, parsed_done)

/* Flags and words may be mixed; conf_flags() stops at each word. */
static int parse_words(struct parsed *p, struct err *err)
{
    int at = 0, n = (int)p->argv.n, first, outcome = CONF_OK;
    p->args = (struct args){ .v = xcalloc((size_t)n + 1, sizeof(char *)), .dash = -1 };
    for (;;) {
        int r = conf_flags(&p->conf, n - at, p->argv.v + at, &first, err);
        if (r < 0)
            return r;
        if (r != CONF_OK && outcome == CONF_OK)
            outcome = r;
        bool is_dash = first > 1 && strcmp(p->argv.v[at + first - 1], "--") == 0;
        at += first;
        if (is_dash) {
            p->args.dash = p->args.n;
            while (at < n)
                p->args.v[p->args.n++] = p->argv.v[at++];
        }
        if (at >= n)
            return outcome;
        p->args.v[p->args.n++] = p->argv.v[at];
    }
}

static int parse(struct parsed *p, const struct cmd *cmd, int argc, char **argv, int verb, int n_words,
                 struct err *err)
{
    size_t n_rows;
    p->rows = cmd_rows(cmd, &n_rows);
    size_t size = cmd && cmd->size ? cmd->size : sizeof(struct global_opts);
    p->program = cmd ? xasprintf("muster %s", cmd->name) : xstrdup("muster");
    p->table = (struct conf_table){ .program = p->program,
                                    .synopsis = "VERB [OPTION...]",
                                    .summary = "control a fleet from the shell",
                                    .rows = p->rows,
                                    .n_rows = n_rows,
                                    .size = size };
    p->options = xcalloc(1, size);
    conf_init(&p->conf, &p->table, p->options);
    for (int i = 0; i < argc; i++)
        if (i < verb || i >= verb + n_words)
            *vec_add(&p->argv) = argv[i];
    int r = conf_env(&p->conf, err);
    return r < 0 ? r : parse_words(p, err);
}

static int check_words(struct cli *cli, const struct cmd *cmd, const struct args *args)
{
    if (cmd->takes_dash)
        return RC_OK;
    if (args->n < cmd->min_args)
        return cli_usage(cli, "%s needs %s", cmd->name,
                         cmd->min_args == 1 ? "an argument" : "more arguments");
    for (int i = 0; i < args->n; i++) /* a script's variable that is not set: no host, job or user has that name */
        if (!args->v[i][0])
            return cli_usage(cli, "argument %d of %s is empty", i + 1, cmd->name);
    if (cmd->max_args >= 0 && args->n > cmd->max_args)
        return cli_usage(cli, "%s takes %s: %s is too much", cmd->name,
                         cmd->max_args == 0 ? "no argument" : "fewer arguments", args->v[cmd->max_args]);
    return RC_OK;
}

static void cli_init(struct cli *cli, struct parsed *p)
{
    cli->g = p->options;
    cli->conf = &p->conf;
    cli->out_tty = isatty(STDOUT_FILENO);
    cli->err_tty = isatty(STDERR_FILENO);
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    bool may = cli->g->color && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
    cli->out_color = may && cli->out_tty;
    cli->err_color = may && cli->err_tty;
}

static void cli_done(struct cli *cli)
{
    waiting_free(cli->waiting);
    http_client_free(cli->http);
    loop_free(cli->loop);
    tls_ctx_free(cli->tls);
    target_done(&cli->target);
}

/* "muster token crate": the group's own verb has no use for the word. */
static int unknown_second_word(struct cli *cli, const char *group, const char *word)
{
    const char *near = help_suggest_in(group, word);
    cli->cmd = NULL; /* the usage of the verb that stands for the group would mislead */
    if (near)
        return cli_usage(cli, "there is no verb %s %s; did you mean: %s %s? All of them: muster help %s", group, word, group, near, group);
    return cli_usage(cli, "there is no verb %s %s. All of them: muster help %s", group, word, group);
}

static int unknown_verb(struct cli *cli, int argc, char **argv, int verb)
{
    if (verb >= argc)
        return help_verbs(stderr), RC_USAGE;
    if (help_is_group(argv[verb]) && verb + 1 < argc && argv[verb + 1][0] != '-')
        return unknown_second_word(cli, argv[verb], argv[verb + 1]);
    if (help_is_group(argv[verb]))
        return help_group(stderr, argv[verb]), RC_USAGE;
    const char *two = strcmp(argv[verb], "version") == 0 ? "--version" : help_suggest(argv[verb]);
    (void)cli_usage(cli, "there is no verb %s%s%s. All of them: muster help", argv[verb],
                    two ? "; did you mean: " : "", two ? two : "");
    return RC_USAGE;
}

/* The option table said no to a flag: its sentence names the help to read; the slug is of no use here. */
static int bad_option(struct cli *cli, const struct parsed *p)
{
    struct err e = cli->err;
    const char *near = strcmp(e.slug, "config.unknown_key") == 0
                           ? help_suggest_option(p->rows, p->table.n_rows, e.path)
                           : NULL;
    return near ? cli_usage(cli, "there is no option %s; did you mean --%s? See %s --help", e.path, near, p->program)
                : cli_usage(cli, "%s", e.text);
}

/* Everything after the verb was found; an error is left in cli->err. */
static int run(struct cli *cli, struct parsed *p, int argc, char **argv)
{
    int n_words = 0, verb = find_verb(argc, argv);
    const struct cmd *cmd = cmd_find(argv + verb, argc - verb, &n_words);
    cli->cmd = cmd;
    int outcome = parse(p, cmd, argc, argv, verb, n_words, &cli->err);
    if (outcome < 0)
        return p->args.v == NULL ? RC_CONFIG : bad_option(cli, p);
    cli_init(cli, p);
    if (outcome == CONF_VERSION)
        return printf("muster %s\n", MUSTER_VERSION) < 0 ? RC_FAILED : RC_OK;
    bool is_group = verb < argc && n_words < 2 && help_is_group(argv[verb]);
    if (outcome == CONF_HELP && is_group)
        return help_group(stdout, argv[verb]);
    if (outcome == CONF_HELP)
        return cmd ? help_verb(stdout, cmd) : help_verbs(stdout);
    if (!cmd)
        return unknown_verb(cli, argc, argv, verb);
    if (is_group && p->args.n > 0)
        return unknown_second_word(cli, argv[verb], p->args.v[0]);
    int rc = check_words(cli, cmd, &p->args);
    return rc == RC_OK ? cmd->run(cli, p->options, &p->args) : rc;
}

int main(int argc, char **argv)
{
    AUTO(parsed_done) struct parsed p = { 0 };
    struct cli cli = { 0 };
    signal(SIGPIPE, SIG_IGN); /* a reader that left is an error code, and the job gets cancelled */
    log_set_level(LOG_ERROR);
    if (argc == 2 && strcmp(argv[1], "--man") == 0)
        return help_man(stdout);
    int rc = run(&cli, &p, argc, argv);
    if (rc != RC_OK)
        say_error(&cli, rc);
    cli_done(&cli);
    if (fflush(stdout) != 0 && rc == RC_OK)
        rc = errno == EPIPE ? RC_PIPE : RC_FAILED;
    return rc;
}
