/* base/conf.h - the option table: flags, environment, file and defaults from the same rows; --help, the manual
 * page, `config dump --origin` and reload too. Precedence: flag > environment > file > default.
 *
 * base knows no YAML: the caller turns a config file into kv pairs ("log.level" -> "info", lists joined by ',')
 * and hands them to conf_file(). Values live in the caller's options struct at .offset. One thread. */
#ifndef MUSTER_CONF_H
#define MUSTER_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/field.h"

enum conf_type {
    CONF_BOOL,     /* bool; flag without value: true; --no-NAME: false */
    CONF_U32,      /* uint32_t, min..max */
    CONF_SIZE,     /* uint64_t bytes, "10MiB" */
    CONF_DURATION, /* usec_t, "10s" */
    CONF_STR,      /* char * malloced (NULL when unset) */
    CONF_ENUM,     /* int, .names */
    CONF_MAP,      /* struct conf_map: "k=v" repeated (flag) or a file's mapping */
    CONF_LIST,     /* struct conf_map with empty keys: repeated values */
};
enum conf_origin { CONF_DEFAULT, CONF_FROM_FILE, CONF_FROM_ENV, CONF_FROM_FLAG };
enum conf_flags {
    CONF_RELOAD = 1,    /* takes effect on SIGHUP; others need a restart and say so */
    CONF_IS_SECRET = 2, /* never dumped; overwritten in argv; NAME_FILE read from a file in the environment */
    CONF_FLAG_ONLY = 4, /* neither file nor environment (--config, --help) */
    CONF_HIDDEN = 8,
};

struct conf_map {
    struct {
        char *key, *value;
    } *v;
    size_t n;
};

struct conf_row {
    const char *name;    /* file key and long flag: "log-level" (flag --log-level, file log-level) */
    char letter;         /* short flag or 0 */
    enum conf_type type;
    size_t offset;
    const char *env;     /* "MUSTER_LOG_LEVEL" */
    const char *env_alt; /* also accepted: "LOG_LEVEL"; NULL */
    const char *value;   /* default, as text; NULL: unset */
    uint64_t min, max;   /* numbers, sizes, durations (us); both 0: any */
    const struct name *names; /* of a CONF_ENUM: its words. Of a CONF_STR: those that are known, shown in help; it may be another */
    uint32_t flags;
    const char *arg;     /* "ADDR:PORT" in help */
    const char *help;    /* one sentence */
    const char *group;   /* heading in help, manual page */
};

struct conf_table {
    const char *program, *synopsis, *summary; /* "musterd", "[OPTION...]", "control server of a fleet" */
    const struct conf_row *rows;
    size_t n_rows;
    size_t size; /* of the options struct */
};

/* One run of loading: where each value came from. */
struct conf {
    const struct conf_table *table;
    void *options;
    uint8_t *origin;     /* enum conf_origin per row */
    const char **source; /* the file's name, the variable or the flag; copies, NULL for a default unset */
};

/* Defaults into @options (zeroed first). Release with conf_done(), which frees the strings in @options. */
void conf_init(struct conf *c, const struct conf_table *table, void *options);
void conf_done(struct conf *c);
/* Each 0, or -EINVAL and @err (slug "config.unknown_key", "config.bad_value", "config.range"; path = name). */
/* In a file "log.level" and "log_level" are the row "log-level"; "labels.role" is a member of the CONF_MAP row "labels".
 * A value whose row a stronger origin has set already is checked and then left, so the order of calls is free. */
int conf_file(struct conf *c, const char *path, const struct kv *kvs, size_t n, struct err *err);
/* An empty variable counts as unset. */
int conf_env(struct conf *c, struct err *err);
/* Parses flags with getopt_long (permuting off: stops at the first word that is no flag). Sets @*ret_first to
 * its index. Secrets in argv are overwritten with 'x'. Outcomes: CONF_HELP, CONF_VERSION when asked for: -h, --help,
 * -V and --version are understood without a row. Not reentrant (getopt). */
enum { CONF_OK = 0, CONF_HELP, CONF_VERSION };
int conf_flags(struct conf *c, int argc, char **argv, int *ret_first, struct err *err);
/* The same for a program that takes at most one word, with flags before and behind it: *@ret_word is the word (lent from @argv) or
 * NULL. A second word is -EINVAL ("config.usage"). */
int conf_flags_word(struct conf *c, int argc, char **argv, const char **ret_word, struct err *err);
/* Is @err of conf_flags() or conf_flags_word() a slip of the keyboard (no such option, a value or word too few or many: exit 2), and not
 * what somebody configured (exit 78)? */
bool conf_is_usage(const struct err *err);
/* One value by name, as from a flag. */
int conf_set(struct conf *c, const char *name, struct str value, enum conf_origin origin, const char *source,
             struct err *err);

/* Was this option given: by a flag, the environment or a file? For those whose zero is a value too. False for a name that is no row. */
bool conf_is_given(const struct conf *c, const char *name);

/* `--help` text; roff manual page body (OPTIONS, ENVIRONMENT); "name = value  # origin" lines. 0 or -ENOBUFS. */
int conf_help(const struct conf_table *t, struct buf *out);
int conf_man(const struct conf_table *t, struct buf *out);
int conf_dump(const struct conf *c, bool with_origin, struct buf *out);
/* Names of rows whose value differs between two loads and which lack CONF_RELOAD: appended ", "-joined. */
int conf_diff(const struct conf *a, const struct conf *b, struct buf *ret_changed, struct buf *ret_need_restart);

#endif
