/* base/conf_text.c - help, manual page, dump and diff of an option table. See conf.h. */
#include "base/conf_text.h"

#include <ctype.h>
#include <errno.h>

#include "base/mem.h"
#include "base/text.h"

enum { HELP_COLUMN = 32, HELP_WIDTH = 96, TEXT_MAX = 1 << 20 };

void conf__number(enum conf_type type, uint64_t v, char *dst, size_t size)
{
    static const struct {
        uint64_t factor;
        const char *text;
    } durations[] = { { 86400000000ULL, "d" }, { 3600000000ULL, "h" }, { 60000000ULL, "m" },
                      { 1000000ULL, "s" },     { 1000ULL, "ms" },      { 1, "us" } },
      sizes[] = { { 1ULL << 40, "TiB" },
                  { 1ULL << 30, "GiB" },
                  { 1ULL << 20, "MiB" },
                  { 1ULL << 10, "KiB" },
                  { 1, "" } };
    if (type == CONF_DURATION) {
        for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
            if (v % durations[i].factor)
                continue;
            const char *unit = v ? durations[i].text : "s";
            snprintf(dst, size, "%llu%s", (unsigned long long)(v / durations[i].factor), unit);
            return;
        }
    }
    if (type == CONF_SIZE && v) {
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
            if (v % sizes[i].factor)
                continue;
            snprintf(dst, size, "%llu%s", (unsigned long long)(v / sizes[i].factor), sizes[i].text);
            return;
        }
    }
    snprintf(dst, size, "%llu", (unsigned long long)v);
}

void conf__names(const struct conf_row *row, struct buf *out)
{
    for (const struct name *n = row->names; n && n->text; n++)
        buf_printf(out, "%s%s", n == row->names ? "" : ", ", n->text);
}

/* Row @i's value as it would be written in a file. */
static int put_value(const struct conf *c, size_t i, struct buf *out)
{
    const struct conf_row *row = &c->table->rows[i];
    const void *p = conf__value(c, i);
    const struct conf_map *m = p;
    char text[64];
    int r = 0;
    switch (row->type) {
    case CONF_BOOL:
        return buf_cstr(out, *(const bool *)p ? "true" : "false");
    case CONF_U32:
        return buf_printf(out, "%u", *(const uint32_t *)p);
    case CONF_SIZE:
    case CONF_DURATION:
        conf__number(row->type, *(const uint64_t *)p, text, sizeof(text));
        return buf_cstr(out, text);
    case CONF_ENUM:
        return buf_cstr(out, name_of(row->names, *(const int *)p));
    case CONF_STR:
        return text_printable(out, str_of(*(char *const *)p));
    case CONF_MAP:
    case CONF_LIST:
        for (size_t k = 0; k < m->n && r == 0; k++)
            r = buf_printf(out, "%s%s%s%s", k ? "," : "", m->v[k].key, m->v[k].key[0] ? "=" : "",
                           m->v[k].value);
        return r;
    }
    return 0;
}

int conf_dump(const struct conf *c, bool with_origin, struct buf *out)
{
    static const char *const origins[] = { "default", "file", "environment", "flag" };
    for (size_t i = 0; i < c->table->n_rows; i++) {
        const struct conf_row *row = &c->table->rows[i];
        if (row->flags & CONF_FLAG_ONLY)
            continue;
        int r = buf_printf(out, "%s = ", row->name);
        if (r == 0 && (row->flags & CONF_IS_SECRET))
            r = buf_cstr(out, c->origin[i] == CONF_DEFAULT ? "" : "(not shown)");
        else if (r == 0)
            r = put_value(c, i, out);
        if (r == 0 && with_origin && c->origin[i] == CONF_DEFAULT)
            r = buf_cstr(out, "  # default");
        else if (r == 0 && with_origin)
            r = buf_printf(out, "  # %s %s", origins[c->origin[i]], c->source[i]);
        if (r == 0)
            r = buf_char(out, '\n');
        if (r < 0)
            return r;
    }
    return 0;
}

int conf_diff(const struct conf *a, const struct conf *b, struct buf *ret_changed,
              struct buf *ret_need_restart)
{
    for (size_t i = 0; i < a->table->n_rows; i++) {
        const struct conf_row *row = &a->table->rows[i];
        AUTO(buf_done_secret) struct buf va = BUF(TEXT_MAX);
        AUTO(buf_done_secret) struct buf vb = BUF(TEXT_MAX);
        int r = put_value(a, i, &va);
        if (r == 0)
            r = put_value(b, i, &vb);
        if (r < 0)
            return r;
        if (str_eq(buf_as_str(&va), buf_as_str(&vb)))
            continue;
        r = buf_printf(ret_changed, "%s%s", ret_changed->len ? ", " : "", row->name);
        if (r == 0 && !(row->flags & CONF_RELOAD))
            r = buf_printf(ret_need_restart, "%s%s", ret_need_restart->len ? ", " : "", row->name);
        if (r < 0)
            return r;
    }
    return 0;
}

/* -- help */

static const char *arg_of(const struct conf_row *row)
{
    if (row->arg)
        return row->arg;
    switch (row->type) {
    case CONF_BOOL:
        return NULL;
    case CONF_U32:
        return "N";
    case CONF_SIZE:
        return "SIZE";
    case CONF_DURATION:
        return "DURATION";
    case CONF_STR:
        return "TEXT";
    case CONF_ENUM:
        return "NAME";
    case CONF_MAP:
        return "KEY=VALUE";
    case CONF_LIST:
        return "VALUE";
    }
    return NULL;
}

/* Sentence, choices and default of a row. */
static void put_sentence(const struct conf_row *row, struct buf *out)
{
    struct str help = str_of(row->help);
    if (str_ends(help, STR("."))) /* the page adds its own, behind the default */
        help.len--;
    buf_str(out, help);
    if (row->names) {
        buf_cstr(out, " (one of ");
        conf__names(row, out);
        buf_char(out, ')');
    }
    if (row->value && *row->value && !(row->type == CONF_BOOL && strcmp(row->value, "false") == 0))
        buf_printf(out, " [default: %s]", row->value);
}

/* Appends @text at HELP_COLUMN, broken between words; @at is the column the line has reached. */
static void put_wrapped(struct buf *out, size_t at, struct str text)
{
    if (at + 2 > HELP_COLUMN) {
        buf_char(out, '\n');
        at = 0;
    }
    struct str word;
    bool is_first = true;
    while (str_word(&text, &word)) {
        size_t columns = utf8_columns(word);
        if (!is_first && at + 1 + columns > HELP_WIDTH) {
            buf_char(out, '\n');
            at = 0;
            is_first = true;
        }
        if (is_first) {
            size_t pad = at < HELP_COLUMN ? HELP_COLUMN - at : 0;
            buf_printf(out, "%*s", (int)pad, "");
            at += pad;
        } else {
            buf_char(out, ' ');
            at++;
        }
        buf_str(out, word);
        at += columns;
        is_first = false;
    }
    buf_char(out, '\n');
}

static int help_row(const struct conf_row *row, struct buf *out)
{
    AUTO(buf_done) struct buf left = BUF(256);
    AUTO(buf_done) struct buf text = BUF(4096);
    if (row->letter)
        buf_printf(&left, "  -%c, ", row->letter);
    else
        buf_cstr(&left, "      ");
    const char *arg = arg_of(row);
    bool is_on = row->type == CONF_BOOL && row->value && strcmp(row->value, "true") == 0;
    buf_printf(&left, "--%s%s%s%s", is_on ? "[no-]" : "", row->name, arg ? " " : "", arg ? arg : "");
    put_sentence(row, &text);
    int r = buf_str(out, buf_as_str(&left));
    if (r == 0)
        put_wrapped(out, left.len, buf_as_str(&text));
    return r;
}

static const char *group_of(const struct conf_row *row)
{
    return row->group ? row->group : "Options";
}

/* True if no earlier shown row has this row's group. */
static bool opens_group(const struct conf_table *t, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (!(t->rows[k].flags & CONF_HIDDEN) && strcmp(group_of(&t->rows[k]), group_of(&t->rows[i])) == 0)
            return false;
    return true;
}

static bool has_row(const struct conf_table *t, const char *name)
{
    for (size_t i = 0; i < t->n_rows; i++)
        if (strcmp(t->rows[i].name, name) == 0)
            return true;
    return false;
}

static bool has_letter(const struct conf_table *t, char letter)
{
    for (size_t i = 0; i < t->n_rows; i++)
        if (t->rows[i].letter == letter)
            return true;
    return false;
}

/* What every program understands without a row of its own. */
static const struct conf_row builtin_rows[] = {
    { .name = "help",
      .letter = 'h',
      .type = CONF_BOOL,
      .flags = CONF_FLAG_ONLY,
      .help = "show this help and exit" },
    { .name = "version",
      .letter = 'V',
      .type = CONF_BOOL,
      .flags = CONF_FLAG_ONLY,
      .help = "show the version and exit" },
};

typedef int (*row_fn)(const struct conf_row *row, struct buf *out);
typedef int (*heading_fn)(const char *group, struct buf *out);

/* Calls @on_row for every row that is shown, group by group in the order they first appear. */
static int walk(const struct conf_table *t, heading_fn on_group, row_fn on_row, struct buf *out)
{
    int r = 0;
    for (size_t i = 0; i < t->n_rows && r == 0; i++) {
        if ((t->rows[i].flags & CONF_HIDDEN) || !opens_group(t, i))
            continue;
        const char *group = group_of(&t->rows[i]);
        r = on_group(group, out);
        for (size_t k = i; k < t->n_rows && r == 0; k++)
            if (!(t->rows[k].flags & CONF_HIDDEN) && strcmp(group_of(&t->rows[k]), group) == 0)
                r = on_row(&t->rows[k], out);
    }
    if (r == 0)
        r = on_group("Help", out);
    for (size_t i = 0; i < ARRAY_SIZE(builtin_rows) && r == 0; i++) {
        struct conf_row row = builtin_rows[i];
        if (has_letter(t, row.letter))
            row.letter = 0;
        if (!has_row(t, row.name))
            r = on_row(&row, out);
    }
    return r;
}

static int help_group(const char *group, struct buf *out)
{
    return buf_printf(out, "\n%s:\n", group);
}

/* Runs @walk into a buffer large enough, so that only the last copy can meet the caller's maximum. */
int conf_help(const struct conf_table *t, struct buf *out)
{
    AUTO(buf_done) struct buf b = BUF(TEXT_MAX);
    buf_printf(&b, "%s - %s\n\nUsage: %s %s\n", t->program, t->summary, t->program, t->synopsis);
    int r = walk(t, help_group, help_row, &b);
    return r < 0 ? r : buf_str(out, buf_as_str(&b));
}

/* -- manual page */

/* Text as roff: backslashes, leading dots and quotes would be commands; a plain '-' would become a hyphen. */
static void put_roff(struct buf *out, struct str s)
{
    if (s.len && (s.ptr[0] == '.' || s.ptr[0] == '\''))
        buf_cstr(out, "\\&");
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\\')
            buf_cstr(out, "\\e");
        else if (s.ptr[i] == '-')
            buf_cstr(out, "\\-");
        else
            buf_char(out, s.ptr[i]);
    }
}

static int man_group(const char *group, struct buf *out)
{
    return buf_printf(out, ".SS \"%s\"\n", group);
}

static int man_row(const struct conf_row *row, struct buf *out)
{
    const char *arg = arg_of(row);
    buf_cstr(out, ".TP\n");
    bool is_on = row->type == CONF_BOOL && row->value && strcmp(row->value, "true") == 0;
    if (row->letter)
        buf_printf(out, "\\fB\\-%c\\fR, ", row->letter);
    buf_printf(out, "\\fB\\-\\-%s", is_on ? "[no\\-]" : "");
    put_roff(out, str_of(row->name));
    buf_cstr(out, "\\fR");
    if (arg) {
        buf_cstr(out, " \\fI");
        put_roff(out, str_of(arg));
        buf_cstr(out, "\\fR");
    }
    buf_char(out, '\n');
    AUTO(buf_done) struct buf text = BUF(4096);
    put_sentence(row, &text);
    put_roff(out, buf_as_str(&text));
    if (row->env)
        buf_printf(out, ".\nAlso \\fB%s\\fR in the environment", row->env);
    if (row->flags & CONF_RELOAD)
        buf_cstr(out, ".\nRead again on SIGHUP");
    return buf_cstr(out, ".\n");
}

static void man_env(const struct conf_table *t, struct buf *out)
{
    bool is_first = true;
    for (size_t i = 0; i < t->n_rows; i++) {
        const struct conf_row *row = &t->rows[i];
        if (!row->env || (row->flags & (CONF_HIDDEN | CONF_FLAG_ONLY)))
            continue;
        if (is_first)
            buf_cstr(out, ".SH ENVIRONMENT\n");
        is_first = false;
        buf_printf(out, ".TP\n\\fB%s\\fR", row->env);
        if (row->flags & CONF_IS_SECRET)
            buf_printf(out, ", \\fB%s_FILE\\fR", row->env);
        if (row->env_alt)
            buf_printf(out, ", \\fB%s\\fR", row->env_alt);
        buf_cstr(out, "\nAs \\fB\\-\\-");
        put_roff(out, str_of(row->name));
        buf_cstr(out, "\\fR.\n");
    }
}

/* A program that reads a file is told which by the row "config". */
static bool has_file(const struct conf_table *t)
{
    for (size_t i = 0; i < t->n_rows; i++)
        if (strcmp(t->rows[i].name, "config") == 0)
            return true;
    return false;
}

static bool has_env(const struct conf_table *t)
{
    for (size_t i = 0; i < t->n_rows; i++)
        if (t->rows[i].env && !(t->rows[i].flags & (CONF_HIDDEN | CONF_FLAG_ONLY)))
            return true;
    return false;
}

/* What whatis(1) shows: one line, without its full stop. */
static struct str first_sentence(struct str s)
{
    ptrdiff_t end = str_find(s, STR(". "));
    if (end >= 0)
        return str_sub(s, 0, (size_t)end);
    return str_ends(s, STR(".")) ? str_sub(s, 0, s.len - 1) : s;
}

int conf_man(const struct conf_table *t, struct buf *out)
{
    AUTO(buf_done) struct buf b = BUF(TEXT_MAX);
    AUTO_FREE char *title = xstrdup(t->program);
    for (char *p = title; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    /* daemons are for the administrator (section 8), the rest for everybody */
    bool is_daemon = str_ends(str_of(t->program), STR("d")) || str_ends(str_of(t->program), STR("agent"));
    buf_printf(&b, ".TH %s %d \"\" \"Muster %s\" \"Muster\"\n.SH NAME\n", title, is_daemon ? 8 : 1,
               MUSTER_VERSION);
    put_roff(&b, str_of(t->program));
    buf_cstr(&b, " \\- ");
    put_roff(&b, first_sentence(str_of(t->summary)));
    buf_cstr(&b, "\n.SH SYNOPSIS\n\\fB");
    put_roff(&b, str_of(t->program));
    buf_cstr(&b, "\\fR ");
    put_roff(&b, str_of(t->synopsis));
    buf_cstr(&b, "\n.SH DESCRIPTION\n\\fB");
    put_roff(&b, str_of(t->program));
    buf_cstr(&b, "\\fR: ");
    put_roff(&b, str_of(t->summary));
    buf_printf(&b, "%s\nA value given as a flag wins over %s%sthe default.\n.SH OPTIONS\n",
               str_ends(str_of(t->summary), STR(".")) ? "" : ".",
               has_env(t) ? "one from the environment, which wins over " : "",
               has_file(t) ? "the configuration\nfile, which wins over " : "");
    int r = walk(t, man_group, man_row, &b);
    man_env(t, &b);
    return r < 0 ? r : buf_str(out, buf_as_str(&b));
}
