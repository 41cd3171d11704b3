/* cli/cmd.h - what a verb is, and what it is given. One command, one const row; cmd_table in commands.c lists
 * them all.
 *
 *   muster [GLOBAL...] VERB [SUBVERB] [OPTION...] ARG...
 *
 * A verb returns the program's exit code. When it fails it has written why into cli->err; main() prints that
 * as one sentence with a hint. One thread, one loop. */
#ifndef MUSTER_CLI_CMD_H
#define MUSTER_CLI_CMD_H

#include "base/conf.h"
#include "base/err.h"
#include "cli/target.h"
#include "net/client.h"
#include "net/loop.h"

/* Exit codes: scripts depend on them (docs/cli.md). `run` on one host passes the remote code through. */
enum rc {
    RC_OK = 0,
    RC_FAILED = 1,
    RC_USAGE = 2,
    RC_PARTIAL = 3, /* some hosts failed */
    RC_NOT_FOUND = 4,
    RC_DENIED = 5,
    RC_UNREACHABLE = 6, /* or timed out */
    RC_CONFLICT = 7,
    RC_CONFIG = 78, /* EX_CONFIG */
    RC_INTERRUPTED = 130,
    RC_PIPE = 141, /* our reader left: 128 + SIGPIPE */
};

enum output_format { OUT_TABLE, OUT_WIDE, OUT_JSON, OUT_NAME };

/* Every verb's options struct starts with this one. */
struct global_opts {
    char *server, *token, *context, *pin, *ca, *config;
    bool json, color;
    int output; /* enum output_format; OUT_JSON also by --json */
};

struct args {
    char **v; /* words that are no flags, in order */
    int n;
    int dash; /* index of the first word after "--", or -1 */
};

struct cli {
    const struct global_opts *g;
    const struct cmd *cmd;
    struct conf *conf; /* where each value came from */
    struct loop *loop;
    struct target target; /* the server; resolved on first use */
    bool has_target;
    struct tls_ctx *tls;
    struct http_client *http; /* for plain calls; streams make their own */
    struct waiting *waiting;  /* cli/waiting.h */
    struct err err;
    bool out_tty, err_tty; /* standard output, standard error are terminals */
    bool out_color, err_color;
};

struct cmd {
    const char *name;            /* "hosts", "token create" */
    const char *alias;           /* another name, or NULL */
    const char *group;           /* heading in `muster help` */
    const char *usage;           /* after the name: "HOST [SECTION]" */
    const char *summary;         /* one line */
    const char *details;         /* further sentences for help and the manual page; NULL */
    const struct conf_row *rows; /* own options; offsets into its own struct */
    size_t n_rows;
    size_t size;            /* of its options struct; 0: only struct global_opts */
    int min_args, max_args; /* words; max -1: any number */
    bool takes_dash;        /* words after "--" are expected */
    bool is_hidden;
    bool takes_host; /* completion offers host names */
    int (*run)(struct cli *cli, const void *options, const struct args *args);
};

/* NULL-terminated list of all verbs. */
extern const struct cmd *const cmd_table[];
extern const struct conf_row global_rows[];
extern const size_t n_global_rows;

/* The row for words @v (@n of them): "token create" before "token". Sets *@ret_words to 1 or 2. NULL:
 * unknown. */
const struct cmd *cmd_find(char **v, int n, int *ret_words);
/* The option table of @cmd with the global rows in front; release the rows with free(). */
struct conf_row *cmd_rows(const struct cmd *cmd, size_t *ret_n);

/* Fills cli->err and returns @rc. */
int cli_fail(struct cli *cli, int rc, const char *slug, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* A wrong command line: RC_USAGE with "usage". */
int cli_usage(struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "muster: sentence" on standard error. */
void cli_note(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What to do next about @e, or NULL: a constant, or written to @room. */
const char *cli_hint(const struct err *e, char *room, size_t size);

static inline enum output_format cli_format(const struct cli *cli)
{
    return cli->g->json ? OUT_JSON : (enum output_format)cli->g->output;
}

/* -- the rows, by file */
extern const struct cmd cmd_status, cmd_ca;
extern const struct cmd cmd_hosts, cmd_host, cmd_label, cmd_rename, cmd_link, cmd_forget;
extern const struct cmd cmd_inventory;
extern const struct cmd cmd_token_create, cmd_token_list, cmd_token_revoke;
extern const struct cmd cmd_pending, cmd_approve, cmd_reject, cmd_revoke;
extern const struct cmd cmd_run;
extern const struct cmd cmd_jobs, cmd_job, cmd_cancel, cmd_ports;
extern const struct cmd cmd_events, cmd_audit, cmd_backup;
extern const struct cmd cmd_user_add, cmd_user_list, cmd_user_passwd, cmd_user_disable, cmd_user_enable,
    cmd_user_role;
extern const struct cmd cmd_login, cmd_logout, cmd_context_list, cmd_context_use, cmd_context_remove;
extern const struct cmd cmd_api_token_create, cmd_api_token_list, cmd_api_token_revoke;
extern const struct cmd cmd_completion, cmd_help;

#endif
