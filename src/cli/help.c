/* cli/help.c - see help.h. */
#include "cli/help.h"

#include "base/mem.h"

enum { HELP_MAX = 1 << 20, USAGE_COLUMN = 20 };

static const char *const groups[] = { "Fleet",  "Work",    "Enrolment", "Records",
                                      "People", "Servers", "Server",    "Help" };

static int put(FILE *f, struct buf *b)
{
    return fwrite(b->ptr, 1, b->len, f) == b->len && fflush(f) == 0 ? RC_OK : RC_FAILED;
}

int help_verbs(FILE *f)
{
    AUTO(buf_done) struct buf b = BUF(HELP_MAX);
    buf_cstr(&b, "muster - control a fleet from the shell\n\nUsage: muster [GLOBAL OPTION...] VERB "
                 "[OPTION...] [ARG...]\n");
    for (size_t g = 0; g < ARRAY_SIZE(groups); g++) {
        buf_printf(&b, "\n%s:\n", groups[g]);
        for (size_t i = 0; cmd_table[i]; i++)
            if (!cmd_table[i]->is_hidden && strcmp(cmd_table[i]->group, groups[g]) == 0)
                buf_printf(&b, "  %-*s %s\n", USAGE_COLUMN, cmd_table[i]->name, cmd_table[i]->summary);
    }
    buf_cstr(&b, "\nmuster help VERB tells more about one; muster VERB --help too.\n"
                 "Exit codes: 0 ok, 1 failed, 2 usage, 3 some hosts failed, 4 not found, 5 denied, 6 "
                 "unreachable or timed\n"
                 "out, 7 conflict, 78 configuration; run on one host ends with the command's own code.\n");
    return put(f, &b);
}

int help_verb(FILE *f, const struct cmd *cmd)
{
    AUTO(buf_done) struct buf b = BUF(HELP_MAX);
    AUTO_FREE char *program = xasprintf("muster %s", cmd->name);
    size_t n;
    AUTO_FREE struct conf_row *rows = cmd_rows(cmd, &n);
    struct conf_table t = {
        .program = program, .synopsis = cmd->usage, .summary = cmd->summary, .rows = rows, .n_rows = n
    };
    (void)conf_help(&t, &b);
    if (cmd->details) { /* wrapped like the rest, after the options */
        buf_char(&b, '\n');
        struct str rest = str_of(cmd->details), word;
        size_t at = 0;
        while (str_word(&rest, &word)) {
            if (at && at + 1 + word.len > 96) {
                buf_char(&b, '\n');
                at = 0;
            }
            buf_printf(&b, "%s%.*s", at ? " " : "", STR_FMT(word));
            at += word.len + (at ? 1 : 0);
        }
        buf_char(&b, '\n');
    }
    return put(f, &b);
}

/* -- verbs of two words */

/* What follows @group in @c's name, or NULL. */
static const char *second_word(const struct cmd *c, const char *group)
{
    size_t n = strlen(group);
    return strncmp(c->name, group, n) == 0 && c->name[n] == ' ' ? c->name + n + 1 : NULL;
}

bool help_is_group(const char *word)
{
    for (size_t i = 0; cmd_table[i]; i++)
        if (second_word(cmd_table[i], word))
            return true;
    return false;
}

int help_group(FILE *f, const char *word)
{
    AUTO(buf_done) struct buf b = BUF(HELP_MAX);
    const char *alone = NULL, *between = " ";
    buf_printf(&b, "Usage: muster %s", word);
    for (size_t i = 0; cmd_table[i]; i++) {
        const struct cmd *c = cmd_table[i];
        if (!second_word(c, word))
            continue;
        buf_printf(&b, "%s%s", between, second_word(c, word));
        between = "|";
        if (c->alias && strcmp(c->alias, word) == 0)
            alone = c->name;
    }
    buf_cstr(&b, " [OPTION...] [ARG...]\n\n");
    for (size_t i = 0; cmd_table[i]; i++)
        if (second_word(cmd_table[i], word))
            buf_printf(&b, "  %-*s %s\n", USAGE_COLUMN, cmd_table[i]->name, cmd_table[i]->summary);
    if (alone)
        buf_printf(&b, "\nmuster %s alone is muster %s.\n", word, alone);
    buf_printf(&b, "%smuster help %s VERB tells more about one.\n", alone ? "" : "\n", word);
    return put(f, &b);
}

/* -- manual page */

static void roff(struct buf *b, const char *s)
{
    if (*s == '.' || *s == '\'')
        buf_cstr(b, "\\&");
    for (; *s; s++) {
        if (*s == '\\')
            buf_cstr(b, "\\e");
        else if (*s == '-')
            buf_cstr(b, "\\-");
        else
            buf_char(b, *s);
    }
}

static void man_row(struct buf *b, const struct conf_row *row)
{
    bool is_on = row->type == CONF_BOOL && row->value && strcmp(row->value, "true") == 0;
    buf_cstr(b, ".TP\n");
    if (row->letter)
        buf_printf(b, "\\fB\\-%c\\fR, ", row->letter);
    buf_printf(b, "\\fB\\-\\-%s", is_on ? "no\\-" : "");
    roff(b, row->name);
    buf_cstr(b, "\\fR");
    if (row->type != CONF_BOOL) {
        buf_cstr(b, " \\fI");
        roff(b, row->arg                     ? row->arg
                : row->type == CONF_DURATION ? "DURATION"
                : row->type == CONF_U32      ? "N"
                : row->type == CONF_SIZE     ? "SIZE"
                                             : "VALUE");
        buf_cstr(b, "\\fR");
    }
    buf_char(b, '\n');
    roff(b, row->help);
    for (const struct name *n = row->names; n && n->text; n++)
        buf_printf(b, "%s%s", n == row->names ? ": " : ", ", n->text);
    if (row->value && row->type != CONF_BOOL)
        buf_printf(b, " (default %s)", row->value);
    if (row->env)
        buf_printf(b, ".\nAlso \\fB%s\\fR in the environment", row->env);
    buf_cstr(b, ".\n");
}

static void man_verb(struct buf *b, const struct cmd *c)
{
    buf_cstr(b, ".SS muster ");
    roff(b, c->name);
    if (*c->usage) {
        buf_char(b, ' ');
        roff(b, c->usage);
    }
    buf_char(b, '\n');
    AUTO_FREE char *first = xstrdup(c->summary);
    if (first[0] >= 'a' && first[0] <= 'z')
        first[0] = (char)(first[0] - 32);
    roff(b, first);
    buf_cstr(b, ".\n");
    if (c->alias)
        buf_printf(b, "Also: \\fBmuster %s\\fR.\n", c->alias);
    if (c->details) {
        roff(b, c->details);
        buf_char(b, '\n');
    }
    for (size_t i = 0; i < c->n_rows; i++)
        if (!(c->rows[i].flags & CONF_HIDDEN))
            man_row(b, &c->rows[i]);
}

int help_man(FILE *f)
{
    AUTO(buf_done) struct buf b = BUF(HELP_MAX);
    buf_printf(&b, ".TH MUSTER 1 \"\" \"Muster %s\" \"Muster\"\n", MUSTER_VERSION);
    buf_cstr(&b,
             ".SH NAME\nmuster \\- control a fleet from the shell\n.SH SYNOPSIS\n\\fBmuster\\fR "
             "[\\fIGLOBAL OPTION\\fR...] \\fIVERB\\fR [\\fIOPTION\\fR...] [\\fIARG\\fR...]\n.SH DESCRIPTION\n"
             "Talks to \\fBmusterd\\fR(8): shows hosts, lets new ones in, runs commands on them.\n"
             "Without \\-\\-server, \\-\\-context and a current context it uses the server's local socket:\n"
             "\\fI./var/server/musterd.sock\\fR, \\fI/run/muster/musterd.sock\\fR or "
             "\\fI/var/lib/muster/musterd.sock\\fR.\n"
             "Flags win over the environment.\n.SH GLOBAL OPTIONS\n");
    for (size_t i = 0; i < n_global_rows; i++)
        man_row(&b, &global_rows[i]);
    buf_cstr(&b, ".SH VERBS\n");
    for (size_t g = 0; g < ARRAY_SIZE(groups); g++)
        for (size_t i = 0; cmd_table[i]; i++)
            if (!cmd_table[i]->is_hidden && strcmp(cmd_table[i]->group, groups[g]) == 0)
                man_verb(&b, cmd_table[i]);
    buf_cstr(
        &b,
        ".SH EXIT STATUS\n.TP\n0\nDone.\n.TP\n1\nIt failed.\n.TP\n2\nThe command line is wrong.\n.TP\n3\n"
        "Some hosts failed.\n.TP\n4\nThere is no such thing.\n.TP\n5\nDenied.\n.TP\n6\nUnreachable or timed "
        "out.\n.TP\n7\nIt clashes with what is there.\n.TP\n78\nThe configuration is wrong.\n.TP\n130\n"
        "Ended by Ctrl\\-C.\n.PP\n\\fBmuster run\\fR on one host ends with the command's own code.\n"
        ".SH FILES\n.TP\n\\fI~/.config/muster/config.yaml\\fR\nContexts and their tokens, mode 0600.\n"
        ".SH SEE ALSO\n\\fBmusterd\\fR(8), \\fBmuster\\-agent\\fR(8)\n");
    return put(f, &b);
}

/* -- suggestions */

/* Edits (insert, drop, change) between two short words. */
static size_t distance(const char *a, const char *b)
{
    enum { WORD_MAX = 32 };
    size_t row[WORD_MAX + 1], n = strlen(a), m = strlen(b);
    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t best = row[j] + 1 < row[j - 1] + 1 ? row[j] + 1 : row[j - 1] + 1;
            row[j] = best < change ? best : change;
        }
    }
    return row[m];
}

const char *help_suggest(const char *word)
{
    const char *best = NULL;
    size_t least = 3;
    for (size_t i = 0; cmd_table[i]; i++) {
        const char *space = strchr(cmd_table[i]->name, ' ');
        AUTO_FREE char *first =
            space ? xstrndup(cmd_table[i]->name, (size_t)(space - cmd_table[i]->name)) : NULL;
        size_t d = distance(word, first ? first : cmd_table[i]->name);
        if (d < least) {
            least = d;
            best = cmd_table[i]->name;
        }
    }
    return best;
}

const char *help_suggest_in(const char *group, const char *word)
{
    const char *best = NULL;
    size_t least = 3;
    for (size_t i = 0; cmd_table[i]; i++) {
        const char *second = second_word(cmd_table[i], group);
        size_t d = second ? distance(word, second) : least;
        if (d < least) {
            least = d;
            best = second;
        }
    }
    return best;
}

const char *help_suggest_option(const struct conf_row *rows, size_t n, const char *word)
{
    const char *best = NULL;
    size_t least = 3;
    if (strncmp(word, "--", 2) != 0)
        return NULL; /* of a letter nothing can be guessed */
    word += 2;
    for (size_t i = 0; i < n; i++) {
        size_t d = rows[i].flags & CONF_HIDDEN ? least : distance(word, rows[i].name);
        if (d < least) {
            least = d;
            best = rows[i].name;
        }
    }
    return best;
}

static int help_run(struct cli *cli, const void *options, const struct args *args)
{
    int words;
    (void)options;
    if (args->n == 0)
        return help_verbs(stdout);
    if (args->n == 1 && help_is_group(args->v[0]))
        return help_group(stdout, args->v[0]);
    const struct cmd *c = cmd_find(args->v, args->n, &words);
    if (!c)
        return cli_usage(cli, "there is no verb %s. All of them: muster help", args->v[0]);
    return help_verb(stdout, c);
}

const struct cmd cmd_help = {
    .name = "help",
    .group = "Help",
    .usage = "[VERB]",
    .summary = "tell about all verbs, or one",
    .max_args = 2,
    .run = help_run,
};
