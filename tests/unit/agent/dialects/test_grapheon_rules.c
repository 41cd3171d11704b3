/* Promises of grapheon_rules.c and of the env file: gate, policy, times, what an answer means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>

#include "agent/dialects/grapheon.h"

static struct arena *arena;

static int up(void **state)
{
    (void)state;
    arena = arena_new(16 << 20);
    return 0;
}

static int down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static const struct node *parse(const char *text)
{
    struct node *n;

    if (json_parse(arena, str_of(text), 1 << 20, &n, NULL) < 0)
        fail_msg("%s", text);
    return n;
}

static void merged(const char *cached, const char *fresh, const char *want)
{
    AUTO(buf_done) struct buf b = BUF(1 << 20);

    assert_int_equal(grapheon__policy_merge(cached ? parse(cached) : NULL, fresh ? parse(fresh) : NULL, &b), 0);
    assert_string_equal(buf_as_cstr(&b), want);
}

#define DEFAULTS "\"command_timeout_seconds\":15,\"enabled_commands\":{\"ip_addr\":true,\"ip_neigh\":true,\"ip_route\":true,\"ss_tunap\":true},"

static void policies_are_merged_key_by_key(void **state)
{
    (void)state;
    merged(NULL, NULL, "{\"checkin_interval_seconds\":3600," DEFAULTS "\"jitter_seconds\":300,\"max_report_bytes\":262144}");
    merged("{\"jitter_seconds\":5,\"name\":\"old\"}", "{\"name\":\"new\",\"id\":7}",
           "{\"checkin_interval_seconds\":3600," DEFAULTS "\"id\":7,\"jitter_seconds\":5,\"max_report_bytes\":262144,\"name\":\"new\"}");
    merged("{\"jitter_seconds\":5}", "null", "{\"checkin_interval_seconds\":3600," DEFAULTS "\"jitter_seconds\":5,\"max_report_bytes\":262144}");
    merged("[]", "{\"enabled_commands\":{}}",
           "{\"checkin_interval_seconds\":3600,\"command_timeout_seconds\":15,\"enabled_commands\":{},\"jitter_seconds\":300,\"max_report_bytes\":262144}");
}

static void a_key_of_ours_goes_when_the_server_no_longer_names_it(void **state)
{
    struct grapheon_policy p;

    (void)state;
    merged("{\"target_version\":\"1\",\"name\":\"n\"}", "{\"jitter_seconds\":5}",
           "{\"checkin_interval_seconds\":3600," DEFAULTS "\"jitter_seconds\":5,\"max_report_bytes\":262144,\"name\":\"n\"}");
    merged("{\"target_version\":\"1\"}", "{\"target_version\":\"2\"}",
           "{\"checkin_interval_seconds\":3600," DEFAULTS "\"jitter_seconds\":300,\"max_report_bytes\":262144,\"target_version\":\"2\"}");
    merged("{\"target_version\":\"1\"}", "null",
           "{\"checkin_interval_seconds\":3600," DEFAULTS "\"jitter_seconds\":300,\"max_report_bytes\":262144,\"target_version\":\"1\"}");
    grapheon__policy_read(parse("{\"target_version\":\"0.3.1~rc1\"}"), &p);
    assert_string_equal(p.target_version, "0.3.1~rc1");
    for (size_t i = 0; i < 4; i++) {
        grapheon__policy_read(parse(((const char *[]){ "{}", "{\"target_version\":null}", "{\"target_version\":3}", "{\"target_version\":\"1\\u001b[1m\"}" })[i]), &p);
        assert_string_equal(p.target_version, "");
    }
}

static void only_collectors_that_are_listed_run(void **state)
{
    struct grapheon_policy p;

    (void)state;
    grapheon__policy_read(parse("{\"collectors\":[\"ip_neigh\",\"ip_addr\",\"docker_ps\",7,\"two words\",\"\",\"ip_neigh\"],\"enabled_commands\":{\"ip_addr\":false}}"), &p);
    assert_true(p.has_collectors);
    assert_true(!p.enabled[GS_ADDRESSES] && p.enabled[GS_NEIGHBORS] && !p.enabled[GS_CONNECTIONS] && !p.enabled[GS_ROUTES]);
    assert_int_equal(p.n_unknown, 1);
    assert_string_equal(p.unknown[0], "docker_ps");
    grapheon__policy_read(parse("{\"collectors\":[]}"), &p);
    for (size_t s = 0; s < GS_N; s++)
        assert_false(p.enabled[s]);
    for (size_t i = 0; i < 4; i++) {
        grapheon__policy_read(parse(((const char *[]){ "{}", "{\"collectors\":null}", "{\"collectors\":\"ip_addr\"}", "{\"collectors\":{}}" })[i]), &p);
        assert_true(!p.has_collectors && p.enabled[GS_ADDRESSES] && p.enabled[GS_ROUTES]);
    }
    merged("{\"collectors\":[\"ip_addr\"]}", "{\"jitter_seconds\":5}",
           "{\"checkin_interval_seconds\":3600," DEFAULTS "\"jitter_seconds\":5,\"max_report_bytes\":262144}");
    AUTO(buf_done) struct buf many = BUF(4096);
    (void)buf_cstr(&many, "{\"collectors\":[\"ip_addr\"");
    for (int i = 0; i < 3 * REPORT_COLLECTORS_MAX; i++)
        (void)buf_printf(&many, ",\"c%d\"", i);
    (void)buf_cstr(&many, "]}");
    grapheon__policy_read(parse(buf_as_cstr(&many)), &p);
    assert_int_equal(p.n_unknown, REPORT_COLLECTORS_MAX);
    assert_true(p.enabled[GS_ADDRESSES]);
}

static void nonsense_in_a_policy_counts_as_the_default(void **state)
{
    struct grapheon_policy p;

    (void)state;
    grapheon__policy_read(parse("{\"checkin_interval_seconds\":null,\"jitter_seconds\":\"x\",\"command_timeout_seconds\":0,\"max_report_bytes\":16383,"
                                "\"enabled_commands\":{\"ip_neigh\":false,\"ss_tunap\":0,\"other\":false}}"), &p);
    assert_int_equal(p.interval_s, 3600);
    assert_int_equal(p.jitter_s, 300);
    assert_int_equal(p.command_timeout_s, 15);
    assert_int_equal(p.max_report_bytes, 262144);
    assert_true(p.enabled[GS_ADDRESSES] && !p.enabled[GS_NEIGHBORS] && p.enabled[GS_CONNECTIONS] && p.enabled[GS_ROUTES]);
    grapheon__policy_read(parse("{\"checkin_interval_seconds\":60,\"jitter_seconds\":3600,\"command_timeout_seconds\":300,\"max_report_bytes\":16384,\"enabled_commands\":{}}"), &p);
    assert_int_equal(p.interval_s, 60);
    assert_int_equal(p.jitter_s, 3600);
    assert_int_equal(p.command_timeout_s, 300);
    assert_int_equal(p.max_report_bytes, 16384);
    assert_true(p.enabled[GS_NEIGHBORS]);
    grapheon__policy_read(NULL, &p);
    assert_int_equal(p.interval_s, 3600);
}

static void times_come_with_and_without_a_zone(void **state)
{
    static const char *const same[] = { "2026-11-22T08:00:00Z", "2026-11-22T08:00:00", "2026-11-22 08:00:00", "2026-11-22T08:00:00.000000", "2026-11-22T09:00:00+01:00",
                                        "2026-11-22T08:00:00.000Z" };
    static const char *const bad[] = { "", "2026-11-22", "yesterday", "2026-13-22T08:00:00", "08:00:00", "T" };
    usec_t t;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
        if (grapheon__time(str_of(same[i]), &t) < 0)
            fail_msg("%s", same[i]);
        assert_int_equal(t, 1795334400 * USEC_PER_SEC);
    }
    assert_int_equal(grapheon__time(STR("2026-11-22T08:00:00.123456"), &t), 0);
    assert_int_equal(t % USEC_PER_SEC, 123456);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(grapheon__time(str_of(bad[i]), &t), -EINVAL);
}

static void the_gate_opens_when_it_is_time(void **state)
{
    struct grapheon_policy p = { .interval_s = 3600 };
    usec_t now = 1795334400 * USEC_PER_SEC, wait;

    (void)state;
    assert_true(grapheon__gate(&p, 900, 0, now, &wait));                          /* never yet */
    assert_false(grapheon__gate(&p, 900, now - 600 * USEC_PER_SEC, now, &wait));  /* ten minutes ago */
    assert_int_equal(wait, 3000 * USEC_PER_SEC);
    assert_true(grapheon__gate(&p, 900, now - 7200 * USEC_PER_SEC, now, &wait));  /* two hours ago */
    assert_true(grapheon__gate(&p, 900, now - 3600 * USEC_PER_SEC, now, &wait));  /* exactly */
    assert_false(grapheon__gate(&p, 900, now - 3600 * USEC_PER_SEC + 1, now, &wait));
    assert_true(grapheon__gate(&p, 3600, now, now, &wait));                       /* the timer is as slow */
    assert_false(grapheon__gate(&p, 3599, now, now, &wait));
    assert_false(grapheon__gate(&p, 900, now + 3600 * USEC_PER_SEC, now, &wait)); /* the server's clock is a little ahead */
    assert_true(grapheon__gate(&p, 900, now + 3600 * USEC_PER_SEC + 1, now, &wait));
}

static void jitter_is_stable_and_within_bounds(void **state)
{
    uint32_t seen = 0;

    (void)state;
    assert_int_equal(grapheon__jitter(STR("a"), 0), 0);
    assert_int_equal(grapheon__jitter(STR("a"), 300), grapheon__jitter(STR("a"), 300));
    for (int i = 0; i < 200; i++) {
        char uuid[16];

        (void)snprintf(uuid, sizeof(uuid), "u%d", i);
        uint32_t j = grapheon__jitter(str_of(uuid), 3);

        assert_true(j <= 3);
        seen |= 1u << j;
    }
    assert_int_equal(seen, 15);
}

static void the_wildcard_refusal_is_a_422_without_errors(void **state)
{
    (void)state;
    assert_true(grapheon__is_wildcard_refusal(422, parse("{\"detail\":\"x\"}")));
    assert_false(grapheon__is_wildcard_refusal(422, parse("{\"detail\":\"x\",\"errors\":[]}")));
    assert_false(grapheon__is_wildcard_refusal(422, parse("{}")));
    assert_false(grapheon__is_wildcard_refusal(422, parse("[]")));
    assert_false(grapheon__is_wildcard_refusal(422, NULL));
    assert_false(grapheon__is_wildcard_refusal(400, parse("{\"detail\":\"x\"}")));
}

static void only_the_network_and_busy_servers_get_a_second_chance(void **state)
{
    static const int yes[] = { 0, 429, 502, 503, 504 }, no[] = { 200, 301, 400, 401, 403, 404, 409, 413, 415, 422, 500, 501 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
        assert_true(grapheon__is_retryable(yes[i]));
    for (size_t i = 0; i < ARRAY_SIZE(no); i++)
        assert_false(grapheon__is_retryable(no[i]));
    assert_int_equal(grapheon__backoff(1, 0, 0), USEC_PER_SEC / 2);
    assert_int_equal(grapheon__backoff(1, 0, USEC_PER_SEC / 2), USEC_PER_SEC);
    assert_int_equal(grapheon__backoff(3, 0, 0), 2 * USEC_PER_SEC);
    assert_int_equal(grapheon__backoff(1, 9 * USEC_PER_SEC, 0), 9 * USEC_PER_SEC);
    for (unsigned n = 1; n < 40; n++)
        assert_true(grapheon__backoff(n, 0, UINT64_MAX) <= 16 * USEC_PER_SEC);
}

static void exit_codes_are_plain_unless_asked_for_otherwise(void **state)
{
    static const struct {
        int status, fine;
    } table[] = { { 401, 4 }, { 403, 4 }, { 429, 6 }, { 500, 6 }, { 503, 6 }, { 400, 5 }, { 409, 5 }, { 413, 5 }, { 422, 5 }, { 302, 5 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        assert_int_equal(grapheon__exit_code(false, table[i].status, false), 1);
        assert_int_equal(grapheon__exit_code(true, table[i].status, false), table[i].fine);
    }
    assert_int_equal(grapheon__exit_code(true, 0, true), 3);
    assert_int_equal(grapheon__exit_code(false, 0, true), 1);
}

static void on_pair(void *ctx, struct str key, struct str value)
{
    buf_printf(ctx, "[%.*s|%.*s]", STR_FMT(key), STR_FMT(value));
}

static void env_files_are_read_as_upstream_reads_them(void **state)
{
    AUTO(buf_done) struct buf b = BUF(4096);

    (void)state;
    grapheon__env_file(STR("A=1\n  B = two words  \n# C=3\nno equals\n\nD=\"quoted\"\r\nE='x'y'\nF=a=b # kept\nexport G=1\nH=\n=I"), on_pair, &b);
    assert_string_equal(buf_as_cstr(&b), "[A|1][B|two words][D|quoted][E|x'y][F|a=b # kept][export G|1][H|][|I]");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        T(policies_are_merged_key_by_key),
        T(a_key_of_ours_goes_when_the_server_no_longer_names_it),
        T(only_collectors_that_are_listed_run),
        T(nonsense_in_a_policy_counts_as_the_default),
        T(times_come_with_and_without_a_zone),
        T(the_gate_opens_when_it_is_time),
        T(jitter_is_stable_and_within_bounds),
        T(the_wildcard_refusal_is_a_422_without_errors),
        T(only_the_network_and_busy_servers_get_a_second_chance),
        T(exit_codes_are_plain_unless_asked_for_otherwise),
        T(env_files_are_read_as_upstream_reads_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
