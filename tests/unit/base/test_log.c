/* tests/unit/base/test_log.c - the promises of base/log.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#define LOG_TARGET "muster::test"
#include "base/log.h"
#include "base/mem.h"

static char dir[] = "/tmp/muster-log-XXXXXX";
static struct clock hand;
static char last[20000];
static size_t n_lines;

static void keep(void *ctx, enum log_level level, const char *slug, const char *line)
{
    (void)ctx, (void)level, (void)slug;
    snprintf(last, sizeof(last), "%s", line);
    n_lines++;
}

static int setup(void **state)
{
    (void)state;
    log_done();
    hand = clock_hand(1795327005123456ULL);
    log_set_clock(&hand);
    n_lines = 0;
    last[0] = '\0';
    return 0;
}

static int group_setup(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    log_done();
    return fd_remove_tree(dir);
}

static void open_with(enum log_format format, uint32_t ring_lines)
{
    struct log_conf conf = { .level = LOG_INFO, .format = format, .ring_lines = ring_lines };
    assert_int_equal(log_open(&conf, NULL), 0);
    log_set_sink(keep, NULL);
}

static void pretty_has_time_level_target_message_fields(void **state)
{
    (void)state;
    open_with(LOG_PRETTY, 0);
    log_info("host.approved", "host approved", LOG_CSTR("host", "web \"1\"\n"), LOG_U64("id", 7),
             LOG_BOOL("new", true));
    assert_string_equal(last, "2026-11-22T05:56:45.123456Z INFO muster::test: host approved "
                              "host=\"web \\\"1\\\"\\x0A\" id=7 new=true");
}

static void compact_is_short(void **state)
{
    (void)state;
    open_with(LOG_COMPACT, 0);
    log_warn("x.y", "careful", LOG_I64("n", -3), LOG_F64("f", 0.5));
    assert_string_equal(last, "05:56:45 WARN careful n=-3 f=0.5");
}

static void json_is_flat(void **state)
{
    (void)state;
    open_with(LOG_JSON, 0);
    struct err e = { 0 };
    err_set(&e, -5, "disk.full", "no \"room\"");
    log_error("store.failed", "cannot write", LOG_ERR(&e), LOG_STR("raw", STR("\xff\x01\t")));
    assert_string_equal(
        last, "{\"timestamp\":\"2026-11-22T05:56:45.123456Z\",\"level\":\"ERROR\","
              "\"message\":\"cannot write\",\"target\":\"muster::test\",\"slug\":\"store.failed\","
              "\"error\":\"disk.full\",\"why\":\"no \\\"room\\\"\",\"raw\":\"\xef\xbf\xbd\\u0001\\t\"}");
}

static void a_huge_value_is_cut_and_json_still_closes(void **state)
{
    (void)state;
    open_with(LOG_JSON, 0);
    char big[9001];
    memset(big, '\x01', sizeof(big) - 1); /* six characters each in JSON */
    big[9000] = '\0';
    log_info("x", "m", LOG_CSTR("a", big), LOG_CSTR("b", "after"));
    assert_int_equal(last[strlen(last) - 1], '}');
    assert_non_null(strstr(last, "\"cut\":true"));
}

static void levels_filter_and_parse(void **state)
{
    (void)state;
    enum log_level level;
    enum log_format format;
    open_with(LOG_PRETTY, 0);
    log_debug("x", "not shown");
    assert_int_equal(n_lines, 0);
    log_set_level(LOG_DEBUG);
    log_debug("x", "shown");
    assert_int_equal(n_lines, 1);
    assert_int_equal(log_level_parse(STR("Warning"), &level), 0);
    assert_int_equal(level, LOG_WARN);
    assert_int_equal(log_level_parse(STR("trace"), &level), 0);
    assert_true(log_level_parse(STR("loud"), &level) < 0);
    assert_int_equal(log_format_parse(STR("json"), &format), 0);
    assert_true(log_format_parse(STR("xml"), &format) < 0);
}

static void repeats_above_twenty_a_second_are_counted(void **state)
{
    (void)state;
    open_with(LOG_PRETTY, 0);
    for (int i = 0; i < 50; i++)
        log_info("flood", "again");
    assert_int_equal(n_lines, 20);
    log_info("other", "not affected");
    assert_int_equal(n_lines, 21);
    clock_turn(&hand, USEC_PER_SEC);
    log_info("flood", "again");
    assert_int_equal(n_lines, 23); /* the count, then the line */
    log_info("third", "x");
    assert_int_equal(n_lines, 24);
}

static size_t n_visited;
static char visited[64];
static void visit(void *ctx, uint64_t wall_us, enum log_level level, const char *target, const char *line)
{
    (void)ctx, (void)level;
    assert_true(wall_us > 0);
    assert_string_equal(target, "muster::test");
    if (n_visited++ == 0)
        snprintf(visited, sizeof(visited), "%s", line);
}

static void the_ring_keeps_the_newest_and_none_when_off(void **state)
{
    (void)state;
    open_with(LOG_PRETTY, 10);
    for (unsigned i = 0; i < 15; i++) {
        log_info("ring", "line", LOG_U64("i", i));
        clock_turn(&hand, USEC_PER_SEC);
    }
    n_visited = 0;
    log_visit(visit, NULL);
    assert_int_equal(n_visited, 10);
    assert_string_equal(visited, "line i=5");
    open_with(LOG_PRETTY, 0);
    log_info("ring", "line");
    n_visited = 0;
    log_visit(visit, NULL);
    assert_int_equal(n_visited, 0);
}

static bool has_file(const char *name)
{
    AUTO_FREE char *path = xasprintf("%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void put_file(const char *name)
{
    AUTO_FREE char *path = xasprintf("%s/%s", dir, name);
    assert_int_equal(fd_replace_file(path, STR("x\n"), 0600, NULL), 0);
}

static void daily_files_get_the_day_s_name_and_old_ones_go(void **state)
{
    (void)state;
    AUTO_FREE char *path = xasprintf("%s/d.log", dir);
    put_file("d.log.2026-11-13");
    put_file("d.log.2026-11-20");
    put_file("d.log.notes");
    put_file("other.log.2026-11-01");
    struct log_conf conf = {
        .level = LOG_INFO, .file = path, .rotation = LOG_ROTATE_DAILY, .retention_days = 7
    };
    assert_int_equal(log_open(&conf, NULL), 0);
    assert_false(has_file("d.log.2026-11-13"));
    assert_true(has_file("d.log.2026-11-20"));
    log_info("a", "first day");
    clock_turn(&hand, USEC_PER_DAY);
    log_info("a", "second day");
    assert_true(has_file("d.log.2026-11-22") && has_file("d.log"));
    clock_turn(&hand, 6 * USEC_PER_DAY);
    log_info("a", "a week later");
    assert_false(has_file("d.log.2026-11-20"));
    assert_true(has_file("d.log.2026-11-22") && has_file("d.log.2026-11-23"));
    assert_true(has_file("d.log.notes") && has_file("other.log.2026-11-01"));
    AUTO(buf_done) struct buf b = BUF(4096);
    assert_int_equal(fd_read_file(path, &b), 0);
    assert_true(str_find(buf_as_str(&b), STR("a week later")) > 0);
    assert_true(str_find(buf_as_str(&b), STR("\033[")) < 0);
}

static void hourly_names_carry_the_hour_and_taken_names_a_number(void **state)
{
    (void)state;
    AUTO_FREE char *path = xasprintf("%s/h.log", dir);
    put_file("h.log.2026-11-22-05");
    struct log_conf conf = { .level = LOG_INFO, .file = path, .rotation = LOG_ROTATE_HOURLY };
    assert_int_equal(log_open(&conf, NULL), 0);
    log_info("a", "x");
    clock_turn(&hand, USEC_PER_HOUR);
    log_info("a", "y");
    assert_true(has_file("h.log.2026-11-22-05.1"));
}

static void a_quiet_log_is_turned_and_tidied_without_a_line(void **state)
{
    (void)state;
    AUTO_FREE char *path = xasprintf("%s/q.log", dir);
    struct log_conf conf = {
        .level = LOG_INFO, .file = path, .rotation = LOG_ROTATE_DAILY, .retention_days = 2
    };
    assert_int_equal(log_open(&conf, NULL), 0);
    log_info("a", "the last for days");
    log_tick();
    assert_false(has_file("q.log.2026-11-22"));
    clock_turn(&hand, USEC_PER_DAY);
    log_tick();
    assert_true(has_file("q.log.2026-11-22") && has_file("q.log"));
    clock_turn(&hand, USEC_PER_DAY);
    log_tick(); /* nothing was said: no empty file for that day */
    assert_false(has_file("q.log.2026-11-23"));
    clock_turn(&hand, USEC_PER_DAY);
    log_tick();
    assert_false(has_file("q.log.2026-11-22"));
    assert_true(has_file("q.log"));
}

static void a_file_left_by_yesterday_s_run_is_rotated_at_the_start(void **state)
{
    (void)state;
    AUTO_FREE char *path = xasprintf("%s/y.log", dir);
    put_file("y.log");
    const struct timespec times[2] = { { .tv_sec = 1795327005 - 86400 }, { .tv_sec = 1795327005 - 86400 } };
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    struct log_conf conf = { .level = LOG_INFO, .file = path, .rotation = LOG_ROTATE_DAILY };
    assert_int_equal(log_open(&conf, NULL), 0);
    assert_true(has_file("y.log.2026-11-21"));
}

static void a_moved_file_is_opened_anew(void **state)
{
    (void)state;
    AUTO_FREE char *path = xasprintf("%s/m.log", dir);
    AUTO_FREE char *moved = xasprintf("%s/m.log.old", dir);
    struct log_conf conf = { .level = LOG_INFO, .file = path };
    assert_int_equal(log_open(&conf, NULL), 0);
    log_info("a", "x");
    assert_int_equal(rename(path, moved), 0);
    log_reopen();
    assert_true(has_file("m.log"));
    assert_int_equal(rename(path, moved), 0);
    clock_turn(&hand, USEC_PER_SEC); /* noticed without the signal too */
    log_info("a", "y");
    assert_true(has_file("m.log"));
}

static void a_file_that_cannot_be_opened_is_an_error_and_the_old_sink_stays(void **state)
{
    (void)state;
    struct err err = { 0 };
    open_with(LOG_PRETTY, 0);
    struct log_conf conf = { .level = LOG_INFO, .file = "/nonexistent/x.log" };
    assert_true(log_open(&conf, &err) < 0);
    assert_string_equal(err.slug, "log.open");
    log_info("a", "x");
    assert_int_equal(n_lines, 1);
}

#define t(name) cmocka_unit_test_setup(name, setup)
int main(void)
{
    const struct CMUnitTest tests[] = {
        t(pretty_has_time_level_target_message_fields),
        t(compact_is_short),
        t(json_is_flat),
        t(a_huge_value_is_cut_and_json_still_closes),
        t(levels_filter_and_parse),
        t(repeats_above_twenty_a_second_are_counted),
        t(the_ring_keeps_the_newest_and_none_when_off),
        t(daily_files_get_the_day_s_name_and_old_ones_go),
        t(hourly_names_carry_the_hour_and_taken_names_a_number),
        t(a_quiet_log_is_turned_and_tidied_without_a_line),
        t(a_file_left_by_yesterday_s_run_is_rotated_at_the_start),
        t(a_moved_file_is_opened_anew),
        t(a_file_that_cannot_be_opened_is_an_error_and_the_old_sink_stays),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
