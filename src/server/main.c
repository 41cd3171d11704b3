/* server/main.c - musterd: flags and subcommands; nothing else. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/offline.h"
#include "server/server.h"

enum { EXIT_USAGE = 2, WORDS_MAX = 4 };

static const char commands_text[] =
    "\nCommands:\n"
    "  config check            say whether the configuration is good (78 if not)\n"
    "  config dump [--origin]  every option, and where its value came from\n"
    "  doctor                  look at everything a server needs; say what is wrong and the fix\n"
    "  backup FILE             copy the database into a new file, also while the server runs\n"
    "  restore FILE            put a backup into an empty state directory\n";

static const char commands_roff[] =
    ".SH COMMANDS\nWithout a command the server runs until it is told to stop.\n"
    ".TP\n\\fBconfig check\\fR\nSay whether the configuration is good; exit 78 if it is not.\n"
    ".TP\n\\fBconfig dump\\fR [\\fB\\-\\-origin\\fR]\nPrint every option, and where its value came from.\n"
    ".TP\n\\fBdoctor\\fR\nLook at everything a server needs; say what is wrong and the fix.\n"
    ".TP\n\\fBbackup\\fR \\fIFILE\\fR\nCopy the database into a new file, also while the server runs.\n"
    ".TP\n\\fBrestore\\fR \\fIFILE\\fR\nPut a backup into an empty state directory. "
    "Agents that come back stop the commands that were begun after the backup: the server does not know them.\n"
    ".SH SIGNALS\nTERM and INT drain and stop, a second one stops at once; HUP reloads the configuration; "
    "USR1 reopens the log file.\n"
    ".SH EXIT STATUS\n0 after a drain; 1 when it could not start or a command failed; 2 wrong usage; 78 "
    "wrong configuration.\n";

static int print(int (*make)(const struct conf_table *t, struct buf *out), const char *more)
{
    AUTO(buf_done) struct buf out = BUF(1 << 20);

    if (make(&options_table, &out) < 0)
        return 1;
    (void)fwrite(out.ptr, 1, out.len, stdout);
    (void)fputs(more, stdout);
    return 0;
}

static int usage(const char *text)
{
    (void)fprintf(stderr, "musterd: %s; see musterd --help\n", text);
    return EXIT_USAGE;
}

static int command(struct conf *c, struct options *o, const char **words, size_t n)
{
    if (strcmp(words[0], "config") == 0)
        return offline_config(c, words, n);
    if (strcmp(words[0], "doctor") == 0)
        return n == 1 ? offline_doctor(c, o) : usage("doctor takes nothing more");
    if (strcmp(words[0], "backup") == 0)
        return n == 2 ? offline_backup(o, words[1]) : usage("backup takes one file");
    if (strcmp(words[0], "restore") == 0)
        return n == 2 ? offline_restore(o, words[1]) : usage("restore takes one file");
    (void)fprintf(stderr, "musterd: \"%s\" is no command; see musterd --help\n", words[0]);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct options o;
    struct conf c;
    struct err err = { 0 };
    const char *words[WORDS_MAX];
    size_t n = 0;
    int r, code;

    if (argc == 2 && strcmp(argv[1], "--man") == 0)
        return print(conf_man, commands_roff);
    r = options_load(&c, &o, argc, argv, words, WORDS_MAX, &n, &err);
    if (r == CONF_HELP) {
        code = print(conf_help, commands_text);
    } else if (r == CONF_VERSION) {
        (void)puts("musterd " MUSTER_VERSION);
        code = 0;
    } else if (r < 0) {
        (void)fprintf(stderr, "musterd: %s\n", err.text);
        code = conf_is_usage(&err) ? EXIT_USAGE : EXIT_CONFIG;
    } else if (n > 0) {
        code = command(&c, &o, words, n);
    } else {
        code = server_main(&c, &o, argc, argv);
    }
    conf_done(&c);
    return code;
}
