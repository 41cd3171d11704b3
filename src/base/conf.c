/* base/conf.c - see conf.h. Texts about a table (help, manual page, dump) are in conf_text.c. */
#include "base/conf.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>

#include "base/conf_text.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/vec.h"

enum { SECRET_FILE_MAX = 64 << 10 };

void *conf__value(const struct conf *c, size_t i)
{
    return (char *)c->options + c->table->rows[i].offset;
}

static void map_done(struct conf_map *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->v[i].key);
        secret_free(m->v[i].value);
    }
    free(m->v);
    *m = (struct conf_map){ 0 };
}

/* A later value of the same key replaces the earlier one, except in lists (empty keys). */
static void map_put(struct conf_map *m, struct str key, struct str value)
{
    for (size_t i = 0; key.len && i < m->n; i++) {
        if (!str_is(key, m->v[i].key))
            continue;
        free(m->v[i].value);
        m->v[i].value = str_dup(value);
        return;
    }
    m->v = xreallocarray(m->v, m->n + 1, sizeof(*m->v));
    m->v[m->n].key = str_dup(key);
    m->v[m->n].value = str_dup(value);
    m->n++;
}

static int parse_bool(struct str s, bool *ret)
{
    static const struct name names[] = {
        { 1, "true" }, { 1, "yes" }, { 1, "on" }, { 1, "1" }, { 0, "false" },
        { 0, "no" },   { 0, "off" }, { 0, "0" },  NAMES_END,
    };
    int v = name_value(names, s);
    if (v < 0)
        return -EINVAL;
    *ret = v;
    return 0;
}

static int bad_value(struct err *err, const struct conf_row *row, const char *source, const char *slug,
                     const char *want)
{
    if (strncmp(source, "--", 2) == 0) /* the flag bears the name */
        err_set(err, -EINVAL, slug, "%s must be %s", source, want);
    else
        err_set(err, -EINVAL, slug, "%s: %s must be %s", source, row->name, want);
    err_path(err, row->name);
    return -EINVAL;
}

static int bad_range(struct err *err, const struct conf_row *row, const char *source)
{
    char low[64], high[64], want[192];
    conf__number(row->type, row->min, low, sizeof(low));
    conf__number(row->type, row->max, high, sizeof(high));
    snprintf(want, sizeof(want), "between %s and %s", low, high);
    return bad_value(err, row, source, "config.range", want);
}

static int parse_number(const struct conf_row *row, struct str s, uint64_t *ret, const char *source,
                        struct err *err)
{
    int r;
    const char *want;
    if (row->type == CONF_SIZE) {
        r = str_to_size(s, ret);
        want = "a size, such as 64K, 10MiB or 1G";
    } else if (row->type == CONF_DURATION) {
        r = str_to_duration_us(s, ret);
        want = "a duration, such as 250ms, 30s, 5m, 1h or 7d";
    } else {
        r = str_to_u64(s, ret);
        want = "a whole number";
    }
    if (r == -EINVAL)
        return bad_value(err, row, source, "config.bad_value", want);
    bool is_out = r == -ERANGE || ((row->min || row->max) && (*ret < row->min || *ret > row->max));
    if (is_out && (row->min || row->max))
        return bad_range(err, row, source);
    if (is_out || (row->type == CONF_U32 && *ret > UINT32_MAX))
        return bad_value(err, row, source, "config.range", "smaller");
    return 0;
}

static int bad_enum(struct err *err, const struct conf_row *row, const char *source)
{
    AUTO(buf_done) struct buf want = BUF(512);
    buf_cstr(&want, "one of ");
    conf__names(row, &want);
    return bad_value(err, row, source, "config.bad_value", buf_as_cstr(&want));
}

/* Writes row @i's value from @s; for maps and lists adds to it. @whole: commas separate several. */
static int store(struct conf *c, size_t i, struct str s, bool whole, const char *source, struct err *err)
{
    const struct conf_row *row = &c->table->rows[i];
    void *p = conf__value(c, i);
    uint64_t v;
    int e;
    struct str part, key;
    switch (row->type) {
    case CONF_BOOL:
        if (parse_bool(s, p) < 0)
            return bad_value(err, row, source, "config.bad_value", "true or false");
        return 0;
    case CONF_U32:
        if (parse_number(row, s, &v, source, err) < 0)
            return -EINVAL;
        *(uint32_t *)p = (uint32_t)v;
        return 0;
    case CONF_SIZE:
    case CONF_DURATION:
        return parse_number(row, s, p, source, err);
    case CONF_ENUM:
        e = name_value(row->names, s);
        if (e < 0)
            return bad_enum(err, row, source);
        *(int *)p = e;
        return 0;
    case CONF_STR:
        if (str_has_nul(s))
            return bad_value(err, row, source, "config.bad_value", "text without NUL");
        secret_free(*(char **)p);
        *(char **)p = str_dup(s);
        return 0;
    case CONF_MAP:
    case CONF_LIST:
        while (whole ? str_cut(&s, ',', &part) : s.ptr != NULL) {
            if (!whole) {
                part = s;
                s = STR_NONE;
            }
            part = str_trim(part);
            if (part.len == 0)
                continue;
            key = STR_NONE;
            if (row->type == CONF_MAP && (str_find_char(part, '=') < 1 || !str_cut(&part, '=', &key)))
                return bad_value(err, row, source, "config.bad_value", "KEY=VALUE");
            map_put(p, key, part.ptr ? part : STR(""));
        }
        return 0;
    }
    return -EINVAL;
}

/* A value that a stronger origin has already set is still checked, so that a bad line never hides. */
static int apply(struct conf *c, size_t i, struct str s, bool whole, enum conf_origin origin,
                 const char *source, struct err *err)
{
    const struct conf_row *row = &c->table->rows[i];
    bool is_many = row->type == CONF_MAP || row->type == CONF_LIST;
    if (origin < c->origin[i]) {
        AUTO_FREE void *scratch = xcalloc(1, c->table->size);
        struct conf other = *c;
        other.options = scratch;
        int r = store(&other, i, s, whole, source, err);
        if (is_many)
            map_done(conf__value(&other, i));
        else if (row->type == CONF_STR)
            secret_free(*(char **)conf__value(&other, i));
        return r;
    }
    if (is_many && origin > c->origin[i])
        map_done(conf__value(c, i));
    int r = store(c, i, s, whole, source, err);
    if (r < 0)
        return r;
    c->origin[i] = (uint8_t)origin;
    char *copy = xstrdup(source);
    free((void *)(uintptr_t)c->source[i]);
    c->source[i] = copy;
    return 0;
}

void conf_init(struct conf *c, const struct conf_table *table, void *options)
{
    memset(options, 0, table->size);
    *c = (struct conf){ .table = table,
                        .options = options,
                        .origin = xcalloc(table->n_rows, sizeof(*c->origin)),
                        .source = xcalloc(table->n_rows, sizeof(*c->source)) };
    for (size_t i = 0; i < table->n_rows; i++) {
        const char *value = table->rows[i].value;
        int r = value ? apply(c, i, str_of(value), true, CONF_DEFAULT, "default", NULL) : 0;
        assert(r == 0); /* a default that does not parse is a bug in the table */
    }
}

void conf_done(struct conf *c)
{
    for (size_t i = 0; c->table && i < c->table->n_rows; i++) {
        enum conf_type type = c->table->rows[i].type;
        char **text = conf__value(c, i);
        if (type == CONF_STR) {
            secret_free(*text);
            *text = NULL;
        } else if (type == CONF_MAP || type == CONF_LIST) {
            map_done(conf__value(c, i));
        }
        free((void *)(uintptr_t)c->source[i]);
    }
    free(c->origin);
    free(c->source);
    *c = (struct conf){ 0 };
}

/* "log.level" and "log_level" in a file are the row "log-level". */
static bool is_name(const struct conf_row *row, struct str s)
{
    if (strlen(row->name) != s.len)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i] == '.' || s.ptr[i] == '_' ? '-' : s.ptr[i];
        if (c != row->name[i])
            return false;
    }
    return true;
}

static ptrdiff_t find_row(const struct conf_table *t, struct str name)
{
    for (size_t i = 0; i < t->n_rows; i++)
        if (is_name(&t->rows[i], name))
            return (ptrdiff_t)i;
    return -1;
}

/* The CONF_MAP row that @name is a member of ("labels.role"): its index and the member's key. */
static ptrdiff_t find_map(const struct conf_table *t, struct str name, struct str *ret_key)
{
    for (size_t at = 1; at < name.len; at++) {
        if (name.ptr[at] != '.')
            continue;
        ptrdiff_t i = find_row(t, str_sub(name, 0, at));
        if (i >= 0 && t->rows[i].type == CONF_MAP) {
            *ret_key = str_sub(name, at + 1, name.len);
            return i;
        }
    }
    return -1;
}

static int unknown_key(struct err *err, const char *source, struct str name)
{
    char text[ERR_PATH_MAX];
    snprintf(text, sizeof(text), "%.*s", STR_FMT(name));
    err_set(err, -EINVAL, "config.unknown_key", "%s: there is no option %s", source, text);
    err_path(err, text);
    return -EINVAL;
}

/* True if some pair is a member of the map @name: then its "k=v,k=v" form, which commas can bend, is left
 * out. */
static bool has_members(const struct kv *kvs, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_starts(kvs[i].key, name) && kvs[i].key.len > name.len && kvs[i].key.ptr[name.len] == '.')
            return true;
    return false;
}

int conf_file(struct conf *c, const char *path, const struct kv *kvs, size_t n, struct err *err)
{
    for (size_t k = 0; k < n; k++) {
        struct str key;
        ptrdiff_t i = find_row(c->table, kvs[k].key);
        ptrdiff_t map = i < 0 ? find_map(c->table, kvs[k].key, &key) : -1;
        ptrdiff_t row = i >= 0 ? i : map;
        if (row < 0 && has_members(kvs, n, kvs[k].key))
            continue; /* a section's own "k=v,k=v" form: its members are seen one by one */
        if (row < 0 || (c->table->rows[row].flags & CONF_FLAG_ONLY))
            return unknown_key(err, path, kvs[k].key);
        int r = 0;
        if (map >= 0) {
            AUTO_FREE char *pair = xasprintf("%.*s=%.*s", STR_FMT(key), STR_FMT(kvs[k].value));
            r = apply(c, (size_t)map, str_of(pair), false, CONF_FROM_FILE, path, err);
        } else if (c->table->rows[i].type != CONF_MAP || !has_members(kvs, n, kvs[k].key)) {
            struct str v = kvs[k].value.ptr ? kvs[k].value : STR("");
            r = apply(c, (size_t)i, v, true, CONF_FROM_FILE, path, err);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

/* Value of a secret's NAME_FILE variable: the file without its trailing newline. */
static int env_secret_file(struct conf *c, size_t i, const char *name, struct err *err)
{
    AUTO_FREE char *var = xasprintf("%s_FILE", name);
    const char *path = getenv(var);
    if (!path || !*path)
        return 0;
    AUTO(buf_done_secret) struct buf b = BUF(SECRET_FILE_MAX);
    int r = fd_read_file(path, &b);
    if (r < 0) {
        err_set(err, r, "config.bad_value", "%s: cannot read %s: %m", var, path);
        err_path(err, c->table->rows[i].name);
        return -EINVAL;
    }
    struct str s = buf_as_str(&b);
    if (str_ends(s, STR("\n")))
        s.len--;
    return apply(c, i, s, true, CONF_FROM_ENV, var, err);
}

int conf_env(struct conf *c, struct err *err)
{
    for (size_t i = 0; i < c->table->n_rows; i++) {
        const struct conf_row *row = &c->table->rows[i];
        if (row->flags & CONF_FLAG_ONLY)
            continue;
        const char *name = row->env, *value = name ? getenv(name) : NULL;
        if ((!value || !*value) && row->env_alt) {
            name = row->env_alt;
            value = getenv(name);
        }
        int r = 0;
        if (value && *value) /* empty counts as unset: compose files and unit files leave such behind */
            r = apply(c, i, str_of(value), true, CONF_FROM_ENV, name, err);
        else if (row->env && (row->flags & CONF_IS_SECRET))
            r = env_secret_file(c, i, row->env, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* -- flags */

/* Numbers getopt_long returns for long options: the row's index above all characters. */
enum { OPT_HELP = 1000, OPT_VERSION, OPT_ROW = 2000, OPT_NO_ROW = 100000 };

struct flag_table {
    VEC(struct option) longs;
    VEC(char *) names; /* "no-..." */
    struct buf letters;
};

static void flag_table_done(struct flag_table *f)
{
    for (size_t i = 0; i < f->names.n; i++)
        free(f->names.v[i]);
    vec_done(&f->names);
    vec_done(&f->longs);
    buf_done(&f->letters);
}
DEFINE_AUTO_VALUE(struct flag_table, flag_table_done)

static bool has_letter(const struct conf_table *t, char letter)
{
    for (size_t i = 0; i < t->n_rows; i++)
        if (t->rows[i].letter == letter)
            return true;
    return false;
}

static void flag_table_init(struct flag_table *f, const struct conf_table *t)
{
    f->letters = BUF(1024);
    buf_cstr(&f->letters, "+:");
    for (size_t i = 0; i < t->n_rows; i++) {
        const struct conf_row *row = &t->rows[i];
        bool is_bool = row->type == CONF_BOOL;
        int val = strcmp(row->name, "help") == 0      ? OPT_HELP
                  : strcmp(row->name, "version") == 0 ? OPT_VERSION
                                                      : OPT_ROW + (int)i;
        *vec_add(&f->longs) =
            (struct option){ row->name, is_bool ? optional_argument : required_argument, NULL, val };
        if (is_bool) {
            char *no = xasprintf("no-%s", row->name);
            *vec_add(&f->names) = no;
            *vec_add(&f->longs) = (struct option){ no, no_argument, NULL, OPT_NO_ROW + (int)i };
        }
        if (row->letter)
            buf_printf(&f->letters, is_bool ? "%c" : "%c:", row->letter);
    }
    if (find_row(t, STR("help")) < 0) {
        *vec_add(&f->longs) = (struct option){ "help", no_argument, NULL, OPT_HELP };
        if (!has_letter(t, 'h'))
            buf_char(&f->letters, 'h');
    }
    if (find_row(t, STR("version")) < 0) {
        *vec_add(&f->longs) = (struct option){ "version", no_argument, NULL, OPT_VERSION };
        if (!has_letter(t, 'V'))
            buf_char(&f->letters, 'V');
    }
    (void)vec_add(&f->longs); /* all-zero ends the table */
}

static int bad_flag(const struct conf_table *t, int opt, char **argv, struct err *err)
{
    /* optopt is the letter, the .val of a long option, or 0 for an unknown long one */
    char name[ERR_PATH_MAX];
    if (optopt > 0 && optopt < 256)
        snprintf(name, sizeof(name), "-%c", optopt);
    else if (optopt >= OPT_ROW)
        snprintf(name, sizeof(name), "--%s", t->rows[(optopt - OPT_ROW) % (OPT_NO_ROW - OPT_ROW)].name);
    else
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(argv[optind - 1], "="), argv[optind - 1]);
    if (opt == ':')
        err_set(err, -EINVAL, "config.usage", "%s needs a value; see %s --help", name, t->program);
    else
        err_set(err, -EINVAL, "config.unknown_key", "there is no option %s; see %s --help", name, t->program);
    err_path(err, name);
    return -EINVAL;
}

static int set_flag(struct conf *c, size_t i, const char *value, struct err *err)
{
    char source[128];
    snprintf(source, sizeof(source), "--%s", c->table->rows[i].name);
    return apply(c, i, str_of(value ? value : "true"), false, CONF_FROM_FLAG, source, err);
}

static ptrdiff_t row_of_opt(const struct conf_table *t, int opt)
{
    if (opt >= OPT_ROW)
        return opt - OPT_ROW;
    for (size_t i = 0; i < t->n_rows; i++)
        if (t->rows[i].letter == opt)
            return (ptrdiff_t)i;
    return -1;
}

int conf_flags(struct conf *c, int argc, char **argv, int *ret_first, struct err *err)
{
    const struct conf_table *t = c->table;
    assert(t->n_rows < OPT_NO_ROW - OPT_ROW);
    AUTO(flag_table_done) struct flag_table f = { 0 };
    flag_table_init(&f, t);
    optind = 0; /* glibc: start afresh */
    opterr = 0;
    int opt, outcome = CONF_OK;
    while ((opt = getopt_long(argc, argv, buf_as_cstr(&f.letters), f.longs.v, NULL)) != -1) {
        int r = 0;
        if (opt == '?' || opt == ':')
            return bad_flag(t, opt, argv, err);
        ptrdiff_t i = row_of_opt(t, opt);
        if (opt == OPT_HELP || (opt == 'h' && i < 0)) {
            outcome = CONF_HELP;
        } else if (opt == OPT_VERSION || (opt == 'V' && i < 0)) {
            outcome = outcome == CONF_HELP ? CONF_HELP : CONF_VERSION;
        } else if (opt >= OPT_NO_ROW) {
            r = set_flag(c, (size_t)(opt - OPT_NO_ROW), "false", err);
        } else {
            r = set_flag(c, (size_t)i, optarg, err);
            if (optarg && (t->rows[i].flags & CONF_IS_SECRET))
                memset(optarg, 'x', strlen(optarg)); /* ps shows argv to everybody */
        }
        if (r < 0)
            return r;
    }
    *ret_first = optind;
    return outcome;
}

int conf_flags_word(struct conf *c, int argc, char **argv, const char **ret_word, struct err *err)
{
    int first = 0, again = 0, r;

    *ret_word = NULL;
    r = conf_flags(c, argc, argv, &first, err);
    if (r != CONF_OK || first >= argc)
        return r;
    *ret_word = argv[first];
    r = conf_flags(c, argc - first, argv + first, &again, err); /* skips its argv[0]: here, the word */
    if (r != CONF_OK || first + again >= argc)
        return r;
    return err_set(err, -EINVAL, "config.usage", "do not know what to do with \"%s\"", argv[first + again]);
}

bool conf_is_given(const struct conf *c, const char *name)
{
    ptrdiff_t i = find_row(c->table, str_of(name));
    return i >= 0 && c->origin[i] != CONF_DEFAULT;
}

bool conf_is_usage(const struct err *err)
{
    return strcmp(err->slug, "config.usage") == 0 || (err->path[0] == '-' && strcmp(err->slug, "config.unknown_key") == 0);
}

int conf_set(struct conf *c, const char *name, struct str value, enum conf_origin origin, const char *source,
             struct err *err)
{
    struct str key;
    ptrdiff_t i = find_row(c->table, str_of(name));
    if (i >= 0)
        return apply(c, (size_t)i, value.ptr ? value : STR(""),
                     origin == CONF_FROM_FILE || origin == CONF_FROM_ENV, origin, source, err);
    i = find_map(c->table, str_of(name), &key);
    if (i < 0)
        return unknown_key(err, source, str_of(name));
    AUTO_FREE char *pair = xasprintf("%.*s=%.*s", STR_FMT(key), STR_FMT(value));
    return apply(c, (size_t)i, str_of(pair), false, origin, source, err);
}
