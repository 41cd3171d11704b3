/* tests/unit/api/test_grapheon_raw.c - the promises of grapheon_raw.c: texts of commands in a check-in. */
#include "grapheon_fixture.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

static const char *verdict(const char *name)
{
    for (size_t i = 0; i < r.n_raws; i++)
        if (str_is(r.raws[i].name, name))
            return r.raws[i].verdict;
    return "";
}

#define SS(port) "tcp LISTEN 0 1 *:" port " *:* users:((\\\"sshd\\\",pid=900,fd=3))\\n"

static void rows_are_those_the_agent_would_have_sent(void **state)
{
    struct fact_row from_list;
    char list[1024];

    (void)state;
    (void)snprintf(list, sizeof(list), "{%s,\"removed\":{},\"connections\":[%s]}", HEAD,
                   "{\"local_ip\":\"0.0.0.0\",\"local_port\":22,\"pid\":900,\"process_name\":\"sshd\",\"protocol\":\"tcp\","
                   "\"remote_ip\":\"0.0.0.0\",\"remote_port\":null,\"state\":\"listen\"}");
    AUTO(arena_free) struct arena *other = arena_new(1 << 20);
    assert_int_equal(grapheon_read_report(other, str_of(list), false, &r), GRAPHEON_READ_OK);
    from_list = r.sections[REPORT_CONNECTIONS].rows[0];
    assert_int_equal(read_text("{" HEAD ",\"raw\":{\"ss_tunap\":\"" SS("22") "\"}}"), GRAPHEON_READ_OK);
    assert_int_equal(r.sections[REPORT_CONNECTIONS].n_rows, 1);
    assert_true(str_eq(r.sections[REPORT_CONNECTIONS].rows[0].key, from_list.key));
    assert_true(str_eq(r.sections[REPORT_CONNECTIONS].rows[0].json, from_list.json));
    assert_string_equal(verdict("ss_tunap"), "ok");
    assert_int_equal(r.n_connections, 1);
}

static void digests_are_over_the_rows_of_the_text(void **state)
{
    (void)state;
    assert_int_equal(read_text("{" HEAD ",\"digest\":{\"connections\":{\"count\":1,\"sha256\":"
                               "\"0000000000000000000000000000000000000000000000000000000000000000\"}},"
                               "\"raw\":{\"ss_tunap\":\"" SS("22") SS("22") "\"}}"),
                     GRAPHEON_READ_OK);
    assert_int_equal(r.sections[REPORT_CONNECTIONS].added.count, 1);
    assert_int_equal(r.sections[REPORT_CONNECTIONS].n_rows, 1);
    assert_int_equal(r.n_connections, 2);
}

static void a_text_is_whole_unless_the_report_says_it_is_no_snapshot(void **state)
{
    static const struct {
        const char *member;
        bool is_whole;
    } table[] = { { "", true }, { ",\"full_snapshot\":true", true }, { ",\"full_snapshot\":false", false }, { ",\"full_snapshot\":\"no\"", false } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        char text[512];

        (void)snprintf(text, sizeof(text), "{%s,\"raw\":{\"ip_neigh\":\"[]\"},\"routes\":[]%s}", HEAD, table[i].member);
        assert_int_equal(read_text(text), GRAPHEON_READ_OK);
        assert_int_equal(r.sections[REPORT_NEIGHBORS].is_whole, table[i].is_whole);
        assert_false(r.sections[REPORT_ROUTES].is_whole);
        assert_true(r.sections[REPORT_NEIGHBORS].is_raw && !r.sections[REPORT_ROUTES].is_raw);
    }
}

static void a_status_the_agent_tells_stands(void **state)
{
    (void)state;
    assert_int_equal(read_text("{" HEAD ",\"raw\":{\"ip_neigh\":\"[]\",\"ip_route\":\"\"},\"section_status\":{\"neighbors\":\"failed\"}}"), GRAPHEON_READ_OK);
    assert_int_equal(r.sections[REPORT_NEIGHBORS].status, SECTION_FAILED);
    assert_int_equal(r.sections[REPORT_ROUTES].status, 0);
}

static void a_text_that_cannot_be_read_leaves_nothing_but_its_reason(void **state)
{
    static const char *const bad[] = { "\"what\"", "\"[1,\"", "\"[{\\\"dst\\\":\\\"192.0.2.1\\\"}] x\"", "\"{}\"", "7", "[]", "true" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char text[512];

        (void)snprintf(text, sizeof(text), "{%s,\"neighbors\":[{\"ip_address\":\"192.0.2.9\"}],\"raw\":{\"ip_neigh\":%s}}", HEAD, bad[i]);
        assert_int_equal(read_text(text), GRAPHEON_READ_OK);
        assert_string_equal(verdict("ip_neigh"), "failed");
        assert_int_equal(r.sections[REPORT_NEIGHBORS].status, SECTION_FAILED);
        assert_int_equal(r.sections[REPORT_NEIGHBORS].n_rows, 0);
        assert_false(r.sections[REPORT_NEIGHBORS].is_whole);
        assert_int_equal(r.n_rejected, 1);
        assert_string_equal(r.refusals[0].field, "raw.ip_neigh");
        assert_int_equal(grapheon_read_report(arena, str_of(text), true, &r), GRAPHEON_READ_FIELDS);
    }
    assert_int_equal(read_text("{" HEAD ",\"raw\":{\"ip_neigh\":\"\xff\"}}"), GRAPHEON_READ_JSON);
}

static void a_text_with_no_row_in_it_takes_nothing_away(void **state)
{
    static const struct {
        const char *name, *text, *verdict;
    } table[] = {
        { "ss_tunap", "Cannot open netlink socket: Operation not permitted\\n", "failed" },
        { "ss_tunap", "ss: error while loading shared libraries: libelf.so.1\\ntcp LISTEN 0 1 nothing *:*\\n", "failed" },
        { "netstat_tunap", "netstat: command not found\\n", "failed" },
        { "ip_neigh", "[7, {}]", "failed" },
        { "ss_tunap", "", "ok" },
        { "ss_tunap", "Netid State Recv-Q Send-Q Local Address:Port\\n\\nicmp6 UNCONN 0 0 *:58 *:*\\n", "ok" },
        { "netstat_tunap", "Active Internet connections\\n", "ok" },
        { "ss_tunap", "nonsense\\n" SS("22"), "ok" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        bool fails = str_is(str_of(table[i].verdict), "failed");
        const struct report_rows *rows;
        char text[512];

        (void)snprintf(text, sizeof(text), "{%s,\"raw\":{\"%s\":\"%s\"}}", HEAD, table[i].name, table[i].text);
        assert_int_equal(read_text(text), GRAPHEON_READ_OK);
        rows = &r.sections[str_is(str_of(table[i].name), "ip_neigh") ? REPORT_NEIGHBORS : REPORT_CONNECTIONS];
        assert_string_equal(verdict(table[i].name), table[i].verdict);
        assert_int_equal(rows->status, fails ? SECTION_FAILED : 0);
        assert_int_equal(rows->is_whole, !fails);
        if (!fails)
            continue;
        assert_int_equal(r.n_connections + r.n_neighbors, 0);
        assert_string_equal(r.refusals[r.n_refusals - 1].message, "no line of it could be read");
    }
}

static void a_text_ends_at_its_cap(void **state)
{
    static const char before[] = "{" HEAD ",\"raw\":{\"ss_tunap\":\"", after[] = "\"}}";

    (void)state;
    for (int over = 0; over < 2; over++) {
        size_t n = GRAPHEON_RAW_TEXT_MAX + (size_t)over;
        AUTO_FREE char *text = xmalloc(sizeof(before) + n + sizeof(after));

        memcpy(text, before, sizeof(before) - 1);
        memset(text + sizeof(before) - 1, ' ', n);
        memcpy(text + sizeof(before) - 1 + n, after, sizeof(after));
        assert_int_equal(read_text(text), GRAPHEON_READ_OK);
        assert_string_equal(verdict("ss_tunap"), over ? "failed" : "ok");
        assert_int_equal(r.n_rejected, over);
    }
}

static void unknown_names_are_said_up_to_a_number(void **state)
{
    AUTO(buf_done) struct buf b = BUF(64 << 10);

    (void)state;
    (void)buf_cstr(&b, "{" HEAD ",\"raw\":{");
    for (int i = 0; i < 3 * REPORT_RAWS; i++)
        (void)buf_printf(&b, "\"n%d\":\"\",", i);
    (void)buf_cstr(&b, "\"ip_route\":\"[]\"}}");
    arena_reset(arena);
    assert_int_equal(grapheon_read_report(arena, buf_as_str(&b), false, &r), GRAPHEON_READ_OK);
    assert_int_equal(r.n_raws, REPORT_RAWS);
    assert_string_equal(verdict("ip_route"), "ok"); /* what we know comes first */
    assert_string_equal(verdict("n0"), "unknown");
    assert_int_equal(r.n_rejected, 0);
    assert_int_equal(read_text("{" HEAD ",\"raw\":{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa9\":\"\"}}"), GRAPHEON_READ_OK);
    assert_int_equal(r.raws[0].name.len, 63); /* no half character */
}

static void each_name_is_answered_once(void **state)
{
    static const struct {
        const char *raw;
        size_t n;
    } table[] = {
        { "\"ip_neigh\":\"[]\",\"ip_neigh\":\"[]\"", 1 },
        { "\"ip\\u005fneigh\":\"\",\"ip_neigh\":\"[]\"", 1 },
        { "\"x\":1,\"x\":2,\"\\u0078\":3,\"y\":4", 2 },
        { "\"\":1,\"\":2", 1 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        char text[512];

        (void)snprintf(text, sizeof(text), "{%s,\"raw\":{%s}}", HEAD, table[i].raw);
        assert_int_equal(read_text(text), GRAPHEON_READ_OK);
        assert_int_equal(r.n_raws, table[i].n);
        for (size_t k = 1; k < r.n_raws; k++)
            assert_false(str_eq(r.raws[k].name, r.raws[0].name));
        assert_string_equal(r.raws[0].verdict, i < 2 ? "ok" : "unknown"); /* what we know stands */
    }
    /* those cut to the same name, too */
    AUTO(buf_done) struct buf b = BUF(64 << 10);
    (void)buf_cstr(&b, "{" HEAD ",\"raw\":{");
    for (int i = 0; i < 3 * REPORT_RAWS; i++)
        (void)buf_printf(&b, "\"%064d%d\":\"\",", 0, i);
    (void)buf_cstr(&b, "\"z\":\"\"}}");
    arena_reset(arena);
    assert_int_equal(grapheon_read_report(arena, buf_as_str(&b), false, &r), GRAPHEON_READ_OK);
    assert_int_equal(r.n_raws, 2);
    assert_string_equal(verdict("z"), "unknown");
}

/* The shortest lines there are, one row each: what reading them takes stays within what grapheon_intake.c allows for. */
static void short_lines_fit_into_the_room_that_is_reckoned_with(void **state)
{
    AUTO(buf_done) struct buf b = BUF(4 << 20);

    (void)state;
    (void)buf_cstr(&b, "{" HEAD ",\"raw\":{\"ss_tunap\":\"");
    for (int i = 0; i < LIMIT_SECTION_ROWS + 100; i++)
        (void)buf_printf(&b, "tcp x 0 0 %d.%d.1.1:1 *\\n", 1 + i / 250, i % 250);
    (void)buf_cstr(&b, "\"}}");
    AUTO(arena_free) struct arena *a = arena_new((64 << 10) + 32 * b.len);
    assert_int_equal(grapheon_read_report(a, buf_as_str(&b), false, &r), GRAPHEON_READ_OK);
    assert_true(r.sections[REPORT_CONNECTIONS].n_rows > 10000);
    assert_int_equal(r.sections[REPORT_CONNECTIONS].n_rows + r.sections[REPORT_CONNECTIONS].n_dropped, LIMIT_SECTION_ROWS + 100);
}

static void what_is_cut_off_or_short_of_room_is_said(void **state)
{
    static const char whole[] = "{" HEAD ",\"raw\":{\"ip_neigh\":\"[{\\\"dst\\\":\\\"192.0.2.1\\\",\\\"dev\\\":\\\"\\\\u0065th0\\\"}]\",\"ss_tunap\":\"" SS("22") SS("23") "\",\"x\":1}}";

    (void)state;
    assert_int_equal(read_text(whole), GRAPHEON_READ_OK);
    assert_true(str_is(r.sections[REPORT_NEIGHBORS].rows[0].key, "eth0 192.0.2.1"));
    for (size_t n = 0; n + 1 < sizeof(whole); n++) {
        arena_reset(arena);
        assert_int_equal(grapheon_read_report(arena, str_bytes(whole, n), false, &r), GRAPHEON_READ_JSON);
    }
    for (size_t max = 1024; max < 16384; max += 128) {
        AUTO(arena_free) struct arena *small = arena_new(max);
        enum grapheon_read got = grapheon_read_report(small, str_of(whole), false, &r);
        assert_true(got == GRAPHEON_READ_TOO_LARGE || got == GRAPHEON_READ_OK);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(rows_are_those_the_agent_would_have_sent),
        T(digests_are_over_the_rows_of_the_text),
        T(a_text_is_whole_unless_the_report_says_it_is_no_snapshot),
        T(a_status_the_agent_tells_stands),
        T(a_text_that_cannot_be_read_leaves_nothing_but_its_reason),
        T(a_text_with_no_row_in_it_takes_nothing_away),
        T(a_text_ends_at_its_cap),
        T(unknown_names_are_said_up_to_a_number),
        T(each_name_is_answered_once),
        T(short_lines_fit_into_the_room_that_is_reckoned_with),
        T(what_is_cut_off_or_short_of_room_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
