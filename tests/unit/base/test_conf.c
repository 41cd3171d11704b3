/* tests/unit/base/test_conf.c - the promises of base/conf.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "base/conf.h"
#include "base/fd.h"
#include "base/mem.h"

struct options {
    bool dev, color;
    uint32_t workers;
    uint64_t cache;
    usec_t heartbeat;
    char *listen, *token;
    int format;
    struct conf_map labels, users;
};
static const struct name formats[] = { { 0, "pretty" }, { 1, "json" }, NAMES_END };
#define AT(m) offsetof(struct options, m)
static const struct conf_row rows[] = {
    { .name = "dev", .type = CONF_BOOL, .offset = AT(dev), .env = "T_DEV", .help = "development mode" },
    { .name = "color", .type = CONF_BOOL, .offset = AT(color), .value = "true", .help = "use colour" },
    { .name = "workers",
      .letter = 'w',
      .type = CONF_U32,
      .offset = AT(workers),
      .value = "4",
      .min = 1,
      .max = 64,
      .env = "T_WORKERS",
      .flags = CONF_RELOAD,
      .help = "threads",
      .group = "Speed" },
    { .name = "cache",
      .type = CONF_SIZE,
      .offset = AT(cache),
      .value = "10MiB",
      .min = 1024,
      .max = 1 << 30,
      .group = "Speed",
      .help = "how much is kept in memory before the oldest goes, counting every byte once" },
    { .name = "heartbeat",
      .type = CONF_DURATION,
      .offset = AT(heartbeat),
      .value = "10s",
      .help = "interval" },
    { .name = "listen",
      .letter = 'l',
      .type = CONF_STR,
      .offset = AT(listen),
      .value = "127.0.0.1:8120",
      .env = "T_LISTEN",
      .env_alt = "T_LISTEN_ADDR",
      .arg = "ADDR:PORT",
      .help = "where to listen" },
    { .name = "token",
      .type = CONF_STR,
      .offset = AT(token),
      .env = "T_TOKEN",
      .flags = CONF_IS_SECRET,
      .help = "install token" },
    { .name = "log-format",
      .type = CONF_ENUM,
      .offset = AT(format),
      .names = formats,
      .value = "pretty",
      .help = "shape of lines" },
    { .name = "label",
      .type = CONF_MAP,
      .offset = AT(labels),
      .env = "T_LABEL",
      .help = "label of this host" },
    { .name = "allow", .type = CONF_LIST, .offset = AT(users), .help = "allowed user" },
    { .name = "hidden", .type = CONF_U32, .offset = AT(workers), .flags = CONF_FLAG_ONLY | CONF_HIDDEN },
};
static const struct conf_table table = { "testd", "[OPTION...]",    "a server for tests",
                                         rows,    ARRAY_SIZE(rows), sizeof(struct options) };

static struct options o;
static struct conf c;
static struct err err;

static int setup(void **state)
{
    (void)state;
    static const char *const names[] = { "T_DEV",   "T_WORKERS",    "T_LISTEN", "T_LISTEN_ADDR",
                                         "T_TOKEN", "T_TOKEN_FILE", "T_LABEL" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        unsetenv(names[i]);
    err_reset(&err);
    conf_init(&c, &table, &o);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    conf_done(&c);
    return 0;
}

static char *line_v[32];
static int cut_words(const char *line)
{
    static char text[512];
    int argc = 0;
    char *save = NULL;
    snprintf(text, sizeof(text), "testd %s", line);
    for (char *p = text; (line_v[argc] = strtok_r(p, " ", &save)); p = NULL)
        argc++;
    return argc;
}

static int flags(const char *line, int *ret_first)
{
    return conf_flags(&c, cut_words(line), line_v, ret_first, &err);
}

static void one_word_may_stand_between_flags(void **state)
{
    (void)state;
    const char *word = "before";
    assert_int_equal(conf_flags_word(&c, cut_words("--workers 5"), line_v, &word, &err), CONF_OK);
    assert_null(word);
    assert_int_equal(conf_flags_word(&c, cut_words("--workers 6 go --dev"), line_v, &word, &err), CONF_OK);
    assert_string_equal(word, "go");
    assert_true(o.workers == 6 && o.dev);
    assert_int_equal(conf_flags_word(&c, cut_words("go --help"), line_v, &word, &err), CONF_HELP);
    assert_int_equal(conf_flags_word(&c, cut_words("--no-such go"), line_v, &word, &err), -EINVAL);
    assert_null(word);
    assert_int_equal(conf_flags_word(&c, cut_words("go --dev away"), line_v, &word, &err), -EINVAL);
    assert_string_equal(err.slug, "config.usage");
    assert_non_null(strstr(err.text, "away"));
}

static void defaults_are_there(void **state)
{
    (void)state;
    assert_false(o.dev);
    assert_true(o.color);
    assert_int_equal(o.workers, 4);
    assert_int_equal(o.cache, 10 << 20);
    assert_true(o.heartbeat == 10 * USEC_PER_SEC);
    assert_string_equal(o.listen, "127.0.0.1:8120");
    assert_null(o.token);
}

static void flag_beats_environment_beats_file_in_any_order(void **state)
{
    (void)state;
    int first;
    struct kv kvs[] = { { STR("workers"), STR("5") },
                        { STR("listen"), STR("file") },
                        { STR("heartbeat"), STR("20s") } };
    setenv("T_WORKERS", "6", 1);
    setenv("T_LISTEN_ADDR", "env", 1);
    assert_int_equal(flags("-w 7 rest --dev", &first), CONF_OK);
    assert_int_equal(first, 3); /* the first word ends the flags */
    assert_int_equal(conf_env(&c, &err), 0);
    assert_int_equal(conf_file(&c, "f.yaml", kvs, 3, &err), 0);
    assert_int_equal(o.workers, 7);
    assert_string_equal(o.listen, "env");
    assert_true(o.heartbeat == 20 * USEC_PER_SEC);
    assert_false(o.dev);
    AUTO(buf_done) struct buf b = BUF(4096);
    assert_int_equal(conf_dump(&c, true, &b), 0);
    assert_non_null(strstr(buf_as_cstr(&b), "workers = 7  # flag --workers\n"));
    assert_non_null(strstr(buf_as_cstr(&b), "listen = env  # environment T_LISTEN_ADDR\n"));
    assert_non_null(strstr(buf_as_cstr(&b), "heartbeat = 20s  # file f.yaml\n"));
    assert_non_null(strstr(buf_as_cstr(&b), "cache = 10MiB  # default\n"));
}

static void a_value_of_zero_is_told_from_none(void **state)
{
    (void)state;
    int first;
    setenv("T_WORKERS", "6", 1);
    assert_false(conf_is_given(&c, "heartbeat"));
    assert_int_equal(flags("--hidden 0", &first), CONF_OK);
    assert_int_equal(conf_env(&c, &err), 0);
    assert_true(conf_is_given(&c, "hidden"));
    assert_true(conf_is_given(&c, "workers"));
    assert_false(conf_is_given(&c, "heartbeat"));
    assert_false(conf_is_given(&c, "no-such"));
}

static void bad_values_say_which_and_what_is_wanted(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *slug;
    } bad[] = {
        { "workers", "0", "config.range" },         { "workers", "65", "config.range" },
        { "workers", "many", "config.bad_value" },  { "workers", "99999999999999999999", "config.range" },
        { "cache", "1023", "config.range" },        { "cache", "2G", "config.range" },
        { "cache", "x", "config.bad_value" },       { "heartbeat", "soon", "config.bad_value" },
        { "dev", "maybe", "config.bad_value" },     { "log-format", "xml", "config.bad_value" },
        { "label", "novalue", "config.bad_value" }, { "label", "=v", "config.bad_value" },
        { "nothing", "1", "config.unknown_key" },   { "hidden", "1", "config.unknown_key" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct kv kv = { str_of(bad[i].key), str_of(bad[i].value) };
        err_reset(&err);
        assert_int_equal(conf_file(&c, "f.yaml", &kv, 1, &err), -EINVAL);
        assert_string_equal(err.slug, bad[i].slug);
        assert_string_equal(err.path, bad[i].key);
    }
    assert_int_equal(o.workers, 4);
    assert_int_equal(conf_set(&c, "cache", STR("1024"), CONF_FROM_FLAG, "test", &err), 0);
    assert_int_equal(conf_set(&c, "cache", STR("1G"), CONF_FROM_FLAG, "test", &err), 0);
}

static void file_names_may_be_nested(void **state)
{
    (void)state;
    struct kv kvs[] = { { STR("log"), STR("format=json") },   { STR("log.format"), STR("json") },
                        { STR("label"), STR("role=a,b,c=") }, { STR("label.role"), STR("a,b") },
                        { STR("label.c"), STR("") },          { STR("allow"), STR("root, adm") } };
    assert_int_equal(conf_file(&c, "f", kvs, ARRAY_SIZE(kvs), &err), 0);
    assert_int_equal(o.format, 1);
    assert_int_equal(o.labels.n, 2);
    assert_string_equal(o.labels.v[0].key, "role");
    assert_string_equal(o.labels.v[0].value, "a,b");
    assert_int_equal(o.users.n, 2);
    assert_string_equal(o.users.v[1].value, "adm");
}

static void repeated_flags_gather_and_replace_the_file_s(void **state)
{
    (void)state;
    int first;
    struct kv kv = { STR("label"), STR("x=1") };
    assert_int_equal(conf_file(&c, "f", &kv, 1, &err), 0);
    assert_int_equal(flags("--label a=1 --label b=2 --label a=3,4 --no-color --dev", &first), CONF_OK);
    assert_int_equal(o.labels.n, 2);
    assert_string_equal(o.labels.v[0].value, "3,4");
    assert_true(o.dev);
    assert_false(o.color);
}

static void secrets_vanish_from_argv_and_dump(void **state)
{
    (void)state;
    int first;
    char prog[] = "testd", flag[] = "--token", joined[] = "--token=SECRET", value[] = "SECRET";
    char *argv[] = { prog, joined, flag, value, NULL };
    assert_int_equal(conf_flags(&c, 4, argv, &first, &err), CONF_OK);
    assert_string_equal(o.token, "SECRET");
    assert_string_equal(joined, "--token=xxxxxx");
    assert_string_equal(value, "xxxxxx");
    AUTO(buf_done) struct buf b = BUF(4096);
    assert_int_equal(conf_dump(&c, true, &b), 0);
    assert_null(strstr(buf_as_cstr(&b), "SECRET"));
}

static void a_secret_may_stand_in_a_file(void **state)
{
    (void)state;
    char path[] = "/tmp/muster-conf-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, "CODE\n", 5), 0);
    fd_close(&fd);
    setenv("T_TOKEN_FILE", path, 1);
    assert_int_equal(conf_env(&c, &err), 0);
    assert_string_equal(o.token, "CODE");
    unlink(path);
    assert_int_equal(conf_env(&c, &err), -EINVAL);
}

static void help_version_and_wrong_flags(void **state)
{
    (void)state;
    int first;
    assert_int_equal(flags("--help", &first), CONF_HELP);
    assert_int_equal(flags("-h", &first), CONF_HELP);
    assert_int_equal(flags("--version", &first), CONF_VERSION);
    assert_int_equal(flags("-V", &first), CONF_VERSION);
    assert_int_equal(flags("--nonsense=1", &first), -EINVAL);
    assert_string_equal(err.path, "--nonsense");
    assert_true(conf_is_usage(&err));
    assert_int_equal(flags("-z", &first), -EINVAL);
    assert_string_equal(err.path, "-z");
    assert_int_equal(flags("--workers", &first), -EINVAL);
    assert_true(conf_is_usage(&err));
    assert_int_equal(flags("-- --dev", &first), CONF_OK);
    assert_int_equal(first, 2);
}

static void help_is_grouped_and_fits_100_columns(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF(8192);
    assert_int_equal(conf_help(&table, &b), 0);
    assert_non_null(strstr(buf_as_cstr(&b), "\nSpeed:\n  -w, --workers N"));
    assert_non_null(strstr(buf_as_cstr(&b), "--[no-]color"));
    assert_non_null(strstr(buf_as_cstr(&b), "(one of pretty, json) [default: pretty]"));
    assert_non_null(strstr(buf_as_cstr(&b), "\n  -h, --help "));
    assert_null(strstr(buf_as_cstr(&b), "--hidden"));
    struct str rest = buf_as_str(&b), line;
    while (str_cut(&rest, '\n', &line))
        assert_true(line.len <= 100);
    struct buf small = BUF(10);
    assert_int_equal(conf_help(&table, &small), -ENOBUFS);
    buf_done(&small);
}

static void the_manual_page_has_its_sections(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF(1 << 16);
    static const char *const want[] = { ".TH TESTD 8 ",    ".SH NAME",          ".SH SYNOPSIS",
                                        ".SH DESCRIPTION", ".SH OPTIONS",       ".SH ENVIRONMENT",
                                        "T_TOKEN_FILE",    "\\-\\-log\\-format" };
    assert_int_equal(conf_man(&table, &b), 0);
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        assert_non_null(strstr(buf_as_cstr(&b), want[i]));
}

static void the_manual_page_speaks_of_a_file_only_where_one_is_read(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF(1 << 16);
    const struct conf_row with_file[] = { { .name = "config", .type = CONF_STR, .help = "a file" } };
    const struct conf_table alone = { "testd", "", "tests", with_file, 1, sizeof(struct options) };
    assert_int_equal(conf_man(&table, &b), 0);
    assert_non_null(strstr(buf_as_cstr(&b), "a flag wins over one from the environment, which wins over the default.\n"));
    buf_reset(&b);
    assert_int_equal(conf_man(&alone, &b), 0);
    assert_non_null(strstr(buf_as_cstr(&b), "a flag wins over the configuration\nfile, which wins over the default.\n"));
}

static void diff_names_what_changed_and_what_needs_a_restart(void **state)
{
    (void)state;
    struct options o2;
    struct conf c2;
    conf_init(&c2, &table, &o2);
    assert_int_equal(conf_set(&c2, "cache", STR("1M"), CONF_FROM_FILE, "f", &err), 0);
    assert_int_equal(conf_set(&c2, "label.role", STR("web"), CONF_FROM_FILE, "f", &err), 0);
    assert_int_equal(conf_set(&c2, "nope", STR("9"), CONF_FROM_FILE, "f", &err), -EINVAL);
    AUTO(buf_done) struct buf changed = BUF(256);
    AUTO(buf_done) struct buf restart = BUF(256);
    assert_int_equal(conf_diff(&c, &c2, &changed, &restart), 0);
    assert_string_equal(buf_as_cstr(&changed), "cache, label");
    assert_string_equal(buf_as_cstr(&restart), "cache, label");
    conf_done(&c2);
}

#define t(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        t(defaults_are_there),
        t(flag_beats_environment_beats_file_in_any_order),
        t(bad_values_say_which_and_what_is_wanted),
        t(a_value_of_zero_is_told_from_none),
        t(file_names_may_be_nested),
        t(repeated_flags_gather_and_replace_the_file_s),
        t(secrets_vanish_from_argv_and_dump),
        t(a_secret_may_stand_in_a_file),
        t(one_word_may_stand_between_flags),
        t(help_version_and_wrong_flags),
        t(help_is_grouped_and_fits_100_columns),
        t(the_manual_page_has_its_sections),
        t(the_manual_page_speaks_of_a_file_only_where_one_is_read),
        t(diff_names_what_changed_and_what_needs_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
