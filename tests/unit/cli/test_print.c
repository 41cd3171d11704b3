/* Promises of cli/print.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/print.h"

struct part {
    struct str os;
    uint64_t disk_bytes;
};
static const struct field part_fields[] = {
    F_STR(struct part, os, "os", 64, .column = "OS", .usual = "Linux"),
    F_U64(struct part, disk_bytes, "disk_bytes", .column = ""),
};
static const struct record part_record = RECORD(part, part_fields);
struct thing {
    struct str name, status;
    uint64_t count;
    struct part part;
    usec_t at;
    struct str secret, extra;
};
static const struct field thing_fields[] = {
    F_STR(struct thing, name, "name", 64, .flags = FIELD_ID, .column = "NAME"),
    F_STR(struct thing, status, "status", 64, .flags = FIELD_STATE, .column = "STATUS"),
    F_U64(struct thing, count, "count", .column = "COUNT"),
    F_SUB(struct thing, part, "part", &part_record, .column = "PART"),
    F_TIME(struct thing, at, "last_seen", .column = "SEEN"),
    F_STR(struct thing, secret, "secret", 64, .flags = FIELD_SECRET, .column = ""),
    F_STR(struct thing, extra, "extra", 64, .flags = FIELD_WIDE, .column = "EXTRA"),
};
static const struct record thing_record = RECORD(thing, thing_fields);

#define NOW (1000 * USEC_PER_SEC)

static void add(struct table *t, const char *name, const char *status, uint64_t count, const char *os)
{
    struct thing x = { .name = str_of(name),
                       .status = str_of(status),
                       .count = count,
                       .part = { .os = str_of(os) },
                       .at = NOW - 5 * USEC_PER_SEC,
                       .extra = STR("more") };
    table_add(t, &x, NOW);
}

static void columns_are_aligned_and_no_line_ends_in_spaces(void **state)
{
    AUTO(table_free) struct table *t = table_of(&thing_record, false);
    AUTO(buf_done) struct buf out = BUF(4096);
    (void)state;
    add(t, "a", "ready", 5, "Debian");
    add(t, "much-longer", "busy", 12345, NULL);
    table_write(t, false, false, &out);
    assert_int_equal(table_rows(t), 2);
    assert_string_equal(buf_as_cstr(&out), "NAME         STATUS  COUNT  OS      SEEN\n"
                                           "a            ready       5  Debian  5s\n"
                                           "much-longer  busy    12345  -       5s\n");
}

static void wide_columns_and_empty_columns_follow_what_was_asked(void **state)
{
    AUTO(table_free) struct table *narrow = table_of(&thing_record, false);
    AUTO(table_free) struct table *wide = table_of(&thing_record, true);
    AUTO(buf_done) struct buf out = BUF(4096);
    (void)state;
    add(narrow, "a", "ready", 1, NULL);
    add(wide, "a", "ready", 1, NULL);
    table_write(narrow, false, false, &out);
    assert_string_equal(buf_as_cstr(&out), "NAME  STATUS  COUNT  SEEN\na     ready       1  5s\n");
    buf_reset(&out);
    table_write(wide, false, true, &out);
    assert_string_equal(buf_as_cstr(&out),
                        "NAME  STATUS  COUNT  OS  SEEN  EXTRA\na     ready       1  -   5s    more\n");
}

static void a_column_where_all_rows_say_the_usual_is_left_out(void **state)
{
    AUTO(table_free) struct table *t = table_of(&thing_record, false);
    AUTO(buf_done) struct buf out = BUF(4096);
    (void)state;
    add(t, "a", "ready", 1, "Linux");
    add(t, "b", "ready", 1, NULL);
    table_write(t, false, false, &out);
    assert_string_equal(buf_as_cstr(&out), "NAME  STATUS  COUNT  SEEN\na     ready       1  5s\nb     ready       1  5s\n");
    add(t, "c", "ready", 1, "Plan 9");
    buf_reset(&out);
    table_write(t, false, false, &out);
    assert_true(str_find(buf_as_str(&out), STR("  Linux   ")) > 0);
}

static void wide_characters_count_as_the_columns_they_take(void **state)
{
    struct str headings[] = { STR("A"), STR("B") };
    AUTO(table_free) struct table *t = table_named(headings, 2);
    AUTO(buf_done) struct buf out = BUF(4096);
    (void)state;
    table_add_cells(t, (struct str[]){ STR("\xe6\xbc\xa2"), STR("x") });
    table_add_cells(t, (struct str[]){ STR("abcd"), STR("y") });
    table_write(t, false, false, &out);
    assert_string_equal(buf_as_cstr(&out), "A     B\n\xe6\xbc\xa2    x\nabcd  y\n");
}

static void colour_is_only_where_it_was_asked_for_and_only_on_states(void **state)
{
    AUTO(table_free) struct table *t = table_of(&thing_record, false);
    AUTO(buf_done) struct buf out = BUF(4096);
    (void)state;
    add(t, "ready", "ready", 1, NULL);
    table_write(t, false, false, &out);
    assert_true(str_find(buf_as_str(&out), STR("\x1b")) < 0);
    buf_reset(&out);
    table_write(t, true, false, &out);
    assert_true(str_find(buf_as_str(&out), STR("\nready  \x1b[32mready\x1b[0m")) > 0);
}

static void control_characters_never_reach_the_terminal(void **state)
{
    struct str headings[] = { STR("A\n") };
    AUTO(table_free) struct table *named = table_named(headings, 1);
    AUTO(table_free) struct table *t = table_of(&thing_record, false);
    AUTO(buf_done) struct buf out = BUF(4096);
    (void)state;
    table_add_cells(named, (struct str[]){ STR("\x1b[2J") });
    add(t, "x\ny", "\x07", 1, "\x1b");
    table_write(named, true, false, &out);
    table_write(t, false, false, &out);
    struct thing x = { .name = STR("\x1b"), .extra = STR("\r") };
    print_object(&thing_record, &x, NOW, &out);
    print_name(&thing_record, &x, &out);
    for (size_t i = 0; i < out.len; i++)
        assert_true(out.ptr[i] == '\n' || out.ptr[i] >= ' ' || (out.ptr[i] == '\x1b' && i + 1 < out.len));
    assert_true(str_find(buf_as_str(&out), STR("\\x1B[2J")) >= 0);
}

static void an_object_is_lines_without_the_empty_and_the_secret_ones(void **state)
{
    struct thing x = { .name = STR("web-1"),
                       .count = 7,
                       .part = { .disk_bytes = 3 << 20 },
                       .at = NOW - 90 * USEC_PER_SEC,
                       .secret = STR("hush") };
    AUTO(buf_done) struct buf out = BUF(4096);
    (void)state;
    print_object(&thing_record, &x, NOW, &out);
    assert_true(str_find(buf_as_str(&out), STR("hush")) < 0);
    assert_true(str_find(buf_as_str(&out), STR("status")) < 0);
    assert_true(str_find(buf_as_str(&out), STR("name:")) == 0);
    assert_true(str_find(buf_as_str(&out), STR("\npart:\n  disk:")) > 0);
    assert_true(str_find(buf_as_str(&out), STR("3.0 MiB\n")) > 0);
    assert_true(str_find(buf_as_str(&out), STR("last seen:")) > 0 &&
                str_find(buf_as_str(&out), STR("ago)\n")) > 0);
}

struct piece {
    struct str name, state, why;
};
static const struct field piece_fields[] = {
    F_STR(struct piece, name, "name", 64),
    F_STR(struct piece, state, "state", 64),
    F_STR(struct piece, why, "why", 64),
};
static const struct record piece_record = RECORD(piece, piece_fields);
struct whole {
    LIST(struct piece) pieces, none;
};
static const struct field whole_fields[] = {
    F_LIST(struct whole, pieces, "pieces", 8, &piece_record),
    F_LIST(struct whole, none, "none", 8, &piece_record),
};
static const struct record whole_record = RECORD(whole, whole_fields);

static void a_list_in_an_object_is_a_line_each_and_nothing_when_empty(void **state)
{
    struct piece v[] = { { STR("left"), STR("ok"), STR("") },
                         { STR("a_name_longer_than_the_column"), STR("off"), STR("so\x1b") },
                         { STR("bare"), STR(""), STR("") } };
    struct whole x = { .pieces = { v, 3 } };
    AUTO(buf_done) struct buf out = BUF(4096);
    (void)state;
    print_object(&whole_record, &x, NOW, &out);
    assert_string_equal(buf_as_cstr(&out), "pieces:\n"
                                           "  left:                 ok\n"
                                           "  a_name_longer_than_the_column: off: so\\x1B\n"
                                           "  bare\n");
}

static void a_time_to_come_says_in(void **state)
{
    AUTO(table_free) struct table *t = table_of(&thing_record, false);
    AUTO(buf_done) struct buf out = BUF(4096);
    struct thing x = { .name = STR("a"), .at = NOW + 60 * USEC_PER_SEC };
    (void)state;
    table_add(t, &x, NOW);
    table_write(t, false, false, &out);
    assert_true(str_find(buf_as_str(&out), STR("in 1m")) > 0);
}

static void bytes_are_rounded_for_people(void **state)
{
    static const struct {
        uint64_t n;
        const char *want;
    } rows[] = { { 0, "0 B" },
                 { 1023, "1023 B" },
                 { 1024, "1.0 KiB" },
                 { 150 << 10, "150 KiB" },
                 { 3ULL << 40, "3.0 TiB" },
                 { UINT64_MAX, "16384 PiB" } };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(buf_done) struct buf b = BUF(64);
        print_bytes(rows[i].n, &b);
        assert_string_equal(buf_as_cstr(&b), rows[i].want);
    }
}

static void a_reader_that_left_is_epipe_and_a_full_pipe_is_waited_for(void **state)
{
    int p[2];
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(print_out(p[1], STR("hello")), 0);
    close(p[0]);
    assert_int_equal(print_out(p[1], STR("hello")), -EPIPE);
    close(p[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_aligned_and_no_line_ends_in_spaces),
        cmocka_unit_test(wide_columns_and_empty_columns_follow_what_was_asked),
        cmocka_unit_test(a_column_where_all_rows_say_the_usual_is_left_out),
        cmocka_unit_test(wide_characters_count_as_the_columns_they_take),
        cmocka_unit_test(colour_is_only_where_it_was_asked_for_and_only_on_states),
        cmocka_unit_test(control_characters_never_reach_the_terminal),
        cmocka_unit_test(an_object_is_lines_without_the_empty_and_the_secret_ones),
        cmocka_unit_test(a_list_in_an_object_is_a_line_each_and_nothing_when_empty),
        cmocka_unit_test(a_time_to_come_says_in),
        cmocka_unit_test(bytes_are_rounded_for_people),
        cmocka_unit_test(a_reader_that_left_is_epipe_and_a_full_pipe_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
