/* cli/cmd_completion.c - completion scripts, written from the verb table. Host names come from `muster hosts
 * -o name`, asked for at the moment of the Tab. */
#include <stdio.h>

#include "base/mem.h"
#include "cli/show.h"

enum { SCRIPT_MAX = 1 << 20 };

/* The first words of all verbs, each once. */
static void first_words(struct buf *b, const char *between)
{
    AUTO(buf_done) struct buf seen = BUF(SCRIPT_MAX);
    for (size_t i = 0; cmd_table[i]; i++) {
        struct str name = str_of(cmd_table[i]->name), head;
        (void)str_cut(&name, ' ', &head);
        AUTO_FREE char *key = xasprintf(" %.*s ", STR_FMT(head));
        if (cmd_table[i]->is_hidden || str_find(buf_as_str(&seen), str_of(key)) >= 0)
            continue;
        buf_printf(b, "%s%.*s", seen.len ? between : "", STR_FMT(head));
        buf_cstr(&seen, key);
    }
}

/* "token" and "create" of "token create"; false: the second is empty. */
static bool is_two_words(const struct cmd *c, struct str *ret_head, struct str *ret_rest)
{
    *ret_rest = str_of(c->name);
    (void)str_cut(ret_rest, ' ', ret_head);
    return ret_rest->len > 0;
}

/* "create list revoke" for "token". */
static void second_words(struct buf *b, struct str first)
{
    for (size_t i = 0; cmd_table[i]; i++) {
        struct str head, rest;
        if (is_two_words(cmd_table[i], &head, &rest) && str_eq(head, first))
            buf_printf(b, "%.*s ", STR_FMT(rest));
    }
}

static void put_flags(struct buf *b, const struct conf_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool is_on = rows[i].type == CONF_BOOL && rows[i].value && strcmp(rows[i].value, "true") == 0;
        if (!(rows[i].flags & CONF_HIDDEN))
            buf_printf(b, "--%s%s ", is_on ? "no-" : "", rows[i].name);
    }
}

/* case lines "token\ create) flags=...;; " shared by bash and zsh */
static void put_cases(struct buf *b)
{
    for (size_t i = 0; cmd_table[i]; i++) {
        const struct cmd *c = cmd_table[i];
        struct str head, rest;
        bool is_two = is_two_words(c, &head, &rest);
        if (c->is_hidden)
            continue;
        buf_printf(b, "    '%.*s%s%.*s') flags='", STR_FMT(head), is_two ? " " : "",
                   is_two ? (int)rest.len : 0, is_two ? rest.ptr : "");
        put_flags(b, c->rows, c->n_rows);
        buf_printf(b, "'; hosts=%d ;;\n", c->takes_host);
    }
}

static void put_groups(struct buf *b)
{
    AUTO(buf_done) struct buf seen = BUF(SCRIPT_MAX);
    for (size_t i = 0; cmd_table[i]; i++) {
        struct str head, rest;
        if (!is_two_words(cmd_table[i], &head, &rest))
            continue;
        AUTO_FREE char *key = xasprintf(" %.*s ", STR_FMT(head));
        if (str_find(buf_as_str(&seen), str_of(key)) >= 0)
            continue;
        buf_cstr(&seen, key);
        buf_printf(b, "    '%.*s') subs='", STR_FMT(head));
        second_words(b, head);
        buf_cstr(b, "' ;;\n");
    }
}

static void put_words(struct buf *b, const struct name *names)
{
    for (const struct name *v = names; v && v->text; v++)
        buf_printf(b, "%s%s", v == names ? "" : " ", v->text);
}

static bool is_file(const struct conf_row *row)
{
    return row->arg && strcmp(row->arg, "FILE") == 0;
}

/* The words of a case line for an option, at @verb (a pattern). */
static void put_option_case(struct buf *b, const char *verb, const struct conf_row *row)
{
    buf_printf(b, "  %s' --%s'", verb, row->name);
    if (row->letter)
        buf_printf(b, "|%s' -%c'", verb, row->letter);
    buf_cstr(b, ") echo '");
}

/* What may follow an option that takes a value: the list of it, "/" for files, "=" for what nobody can know. */
static void put_values(struct buf *b, const char *verb, const struct conf_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (rows[i].type == CONF_BOOL || (rows[i].flags & CONF_HIDDEN))
            continue;
        put_option_case(b, verb, &rows[i]);
        if (rows[i].names)
            put_words(b, rows[i].names);
        else
            buf_char(b, is_file(&rows[i]) ? '/' : '=');
        buf_cstr(b, "' ;;\n");
    }
}

static void put_all_values(struct buf *b)
{
    buf_cstr(b, "_muster_values() {\n  # verb, the word before the one being completed\n  case \"$1 $2\" in\n"
                "  *' --context') muster context list -o name 2>/dev/null ;;\n");
    put_values(b, "*", global_rows, n_global_rows);
    for (size_t i = 0; cmd_table[i]; i++) {
        AUTO_FREE char *verb = xasprintf("'%s'", cmd_table[i]->name);
        put_values(b, verb, cmd_table[i]->rows, cmd_table[i]->n_rows);
    }
    buf_cstr(b, "  'completion completion') echo 'bash zsh fish' ;;\n"
                "  'backup backup') echo / ;;\n"
                "  'context use use'|'context remove remove') muster context list -o name 2>/dev/null ;;\n"
                "  'help help') echo '");
    first_words(b, " ");
    buf_cstr(b, "' ;;\n  esac\n}\n");
}

/* "--server|--token|-o": what a word follows that is no verb. */
static void put_value_flags(struct buf *b, const char *between)
{
    bool is_first = true;
    for (size_t i = 0; i < n_global_rows; i++) {
        const struct conf_row *row = &global_rows[i];
        if (row->type == CONF_BOOL || (row->flags & CONF_HIDDEN))
            continue;
        buf_printf(b, "%s--%s", is_first ? "" : between, row->name);
        if (row->letter)
            buf_printf(b, "%s-%c", between, row->letter);
        is_first = false;
    }
}

/* Both shells run this: it finds the verb among the words and sets flags, subs, hosts. */
static void put_common(struct buf *b)
{
    buf_cstr(b, "_muster_words() {\n"
                "  # words before the one being completed -> verb, sub\n"
                "  verb= sub= subs= flags= hosts=0\n"
                "  local w skip=0\n"
                "  for w in \"$@\"; do\n"
                "    if [ $skip = 1 ]; then skip=0; continue; fi\n"
                "    case \"$w\" in\n"
                "    ");
    put_value_flags(b, "|");
    buf_cstr(b, ") skip=1 ;;\n"
                "    -*) ;;\n"
                "    *) if [ -z \"$verb\" ]; then verb=$w; elif [ -z \"$sub\" ]; then sub=$w; fi ;;\n"
                "    esac\n"
                "  done\n"
                "  case \"$verb\" in\n");
    put_groups(b);
    buf_cstr(b, "  esac\n"
                "  if [ -n \"$subs\" ] && [ -n \"$sub\" ]; then verb=\"$verb $sub\"; subs=; fi\n"
                "  case \"$verb\" in\n");
    put_cases(b);
    buf_cstr(b, "  esac\n  flags=\"$flags");
    put_flags(b, global_rows, n_global_rows);
    buf_cstr(b, "--help\"\n}\n");
    put_all_values(b);
}

static void bash(struct buf *b)
{
    buf_cstr(b, "# muster completion for bash: source <(muster completion bash)\n");
    put_common(b);
    buf_cstr(b, "_muster() {\n"
                "  local cur=${COMP_WORDS[COMP_CWORD]} verb sub subs flags hosts list i\n"
                "  local whole=() n=0 glue=0 # bash cuts words at : and =, URLs too\n"
                "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
                "    case \"${COMP_WORDS[i]}\" in\n"
                "    --) return ;;\n"
                "    [:=]*) glue=1 ;;\n"
                "    *) [ $glue = 1 ] || n=$((n + 1)); glue=0 ;;\n"
                "    esac\n"
                "    whole[n]+=${COMP_WORDS[i]}\n"
                "  done\n"
                "  _muster_words \"${whole[@]:1}\"\n"
                "  if [ -z \"$verb\" ]; then list=\"");
    first_words(b, " ");
    buf_cstr(b, "\"\n"
                "  elif [ -n \"$subs\" ]; then list=$subs\n"
                "  elif [ \"$hosts\" = 1 ] && [ \"${cur#-}\" = \"$cur\" ]; then list=$(muster hosts -o name "
                "2>/dev/null)\n"
                "  fi\n"
                "  case \"$cur\" in -*) list=$flags ;; esac\n"
                "  i=$(_muster_values \"$verb\" \"${COMP_WORDS[COMP_CWORD-1]}\")\n"
                "  [ \"$i\" = / ] && { compopt -o filenames; COMPREPLY=($(compgen -f -- \"$cur\")); return; }\n"
                "  [ \"$i\" = = ] && return\n"
                "  [ -n \"$i\" ] && list=$i\n"
                "  COMPREPLY=($(compgen -W \"$list\" -- \"$cur\"))\n"
                "}\n"
                "complete -F _muster muster\n");
}

static void zsh(struct buf *b)
{
    buf_cstr(b, "#compdef muster\n# muster completion for zsh: source <(muster completion zsh)\n");
    put_common(b);
    buf_cstr(b, "_muster() {\n"
                "  local cur=${words[CURRENT]} verb sub subs flags hosts list values\n"
                "  [[ ${words[(I)--]} -gt 0 && ${words[(I)--]} -lt $CURRENT ]] && { _files; return; }\n"
                "  _muster_words \"${(@)words[2,CURRENT-1]}\"\n"
                "  if [ -z \"$verb\" ]; then list=\"");
    first_words(b, " ");
    buf_cstr(b, "\"\n"
                "  elif [ -n \"$subs\" ]; then list=$subs\n"
                "  elif [ \"$hosts\" = 1 ]; then list=$(muster hosts -o name 2>/dev/null)\n"
                "  fi\n"
                "  case \"$cur\" in -*) list=$flags ;; esac\n"
                "  values=$(_muster_values \"$verb\" \"${words[CURRENT-1]}\")\n"
                "  [[ $values = / ]] && { _files; return; }\n"
                "  [[ $values = '=' ]] && return\n"
                "  [[ -n $values ]] && list=$values\n"
                "  compadd -- ${=list}\n"
                "}\n"
                "# found in fpath, the first Tab runs this file as the function itself; sourced, it is made known\n"
                "if [[ $funcstack[1] = _muster ]]; then _muster \"$@\"; else compdef _muster muster; fi\n");
}

static void fish_quote(struct buf *b, const char *s)
{
    for (; *s; s++) {
        if (*s == '\'' || *s == '\\')
            buf_char(b, '\\');
        buf_char(b, *s);
    }
}

static void fish_flags(struct buf *b, const char *when, const struct conf_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool is_on = rows[i].type == CONF_BOOL && rows[i].value && strcmp(rows[i].value, "true") == 0;
        if (rows[i].flags & CONF_HIDDEN)
            continue;
        buf_printf(b, "complete -c muster %s -l %s%s", when, is_on ? "no-" : "", rows[i].name);
        if (rows[i].letter)
            buf_printf(b, " -s %c", rows[i].letter);
        if (rows[i].names) {
            buf_cstr(b, " -xa '");
            put_words(b, rows[i].names);
            buf_char(b, '\'');
        } else if (strcmp(rows[i].name, "context") == 0) {
            buf_cstr(b, " -xa '(muster context list -o name 2>/dev/null)'");
        } else if (rows[i].type != CONF_BOOL) {
            buf_cstr(b, is_file(&rows[i]) ? " -rF" : " -x");
        }
        buf_cstr(b, " -d '");
        fish_quote(b, rows[i].help);
        buf_cstr(b, "'\n");
    }
}

/* fish's own __fish_seen_subcommand_from asks for a word anywhere: a host named "token", or the URL after --server, would be a verb. */
static void fish_helpers(struct buf *b)
{
    buf_cstr(b, "# muster completion for fish: muster completion fish | source\n"
                "complete -c muster -f\n"
                "function __muster_at # the words before the one being completed, without options; -- ends them\n"
                "    set -l skip 0\n"
                "    set -l words\n"
                "    set -l all (commandline -opc)\n"
                "    for w in $all[2..]\n"
                "        if test $skip = 1\n"
                "            set skip 0\n"
                "            continue\n"
                "        end\n"
                "        switch $w\n"
                "            case --\n"
                "                set words --\n"
                "                break\n"
                "            case ");
    put_value_flags(b, " ");
    buf_cstr(b, "\n"
                "                set skip 1\n"
                "            case '-*'\n"
                "            case '*'\n"
                "                set -a words $w\n"
                "        end\n"
                "    end\n"
                "    string join ' ' -- $words\n"
                "end\n"
                "function __muster_is # these words, and no more\n"
                "    test (__muster_at | string collect -a) = \"$argv\"\n"
                "end\n"
                "function __muster_in # these words first\n"
                "    string match -q -- \"$argv *\" (__muster_at | string collect -a)' '\n"
                "end\n");
}

static void fish_verb(struct buf *b, const struct cmd *c)
{
    struct str head, rest;
    bool is_two = is_two_words(c, &head, &rest);
    AUTO_FREE char *when = xasprintf("-n '__muster_in %s'", c->name);
    buf_printf(b, "complete -c muster -n __muster_is -a %.*s -d '", STR_FMT(head));
    fish_quote(b, is_two ? "" : c->summary);
    buf_cstr(b, "'\n");
    if (is_two) {
        buf_printf(b, "complete -c muster -n '__muster_is %.*s' -a %.*s -d '", STR_FMT(head), STR_FMT(rest));
        fish_quote(b, c->summary);
        buf_cstr(b, "'\n");
    }
    if (c->takes_host)
        buf_printf(b, "complete -c muster %s -a '(muster hosts -o name 2>/dev/null)'\n", when);
    fish_flags(b, when, c->rows, c->n_rows);
}

static void fish(struct buf *b)
{
    fish_helpers(b);
    fish_flags(b, "", global_rows, n_global_rows);
    buf_cstr(b, "complete -c muster -n '__muster_is --' -F\n"
                "complete -c muster -n '__muster_is backup' -F\n"
                "complete -c muster -n '__muster_is completion' -a 'bash zsh fish'\n"
                "complete -c muster -n '__muster_is context use; or __muster_is context remove' "
                "-a '(muster context list -o name 2>/dev/null)'\n"
                "complete -c muster -n '__muster_is help' -a '");
    first_words(b, " ");
    buf_cstr(b, "'\n");
    for (size_t i = 0; cmd_table[i]; i++)
        if (!cmd_table[i]->is_hidden)
            fish_verb(b, cmd_table[i]);
}

static int completion_run(struct cli *cli, const void *options, const struct args *args)
{
    AUTO(buf_done) struct buf b = BUF(SCRIPT_MAX);
    (void)options;
    if (strcmp(args->v[0], "bash") == 0)
        bash(&b);
    else if (strcmp(args->v[0], "zsh") == 0)
        zsh(&b);
    else if (strcmp(args->v[0], "fish") == 0)
        fish(&b);
    else
        return cli_usage(cli, "%s is no shell we know", args->v[0]);
    return show_text(cli, &b);
}

const struct cmd cmd_completion = {
    .name = "completion",
    .group = "Help",
    .usage = "bash|zsh|fish",
    .summary = "print a completion script for a shell",
    .details = "For bash and zsh (after compinit): source <(muster completion bash). For fish: muster completion fish | source. Host "
               "names are asked from the server when Tab is pressed.",
    .min_args = 1,
    .max_args = 1,
    .run = completion_run,
};
