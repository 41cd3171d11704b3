/* Promises of grapheon_rows.c, codec/listing_rows.c and codec/json_ascii.c: rows byte for byte as Python writes them, deltas against a naive copy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "agent/dialects/grapheon.h"
#include "fleet/inventory.h"

static struct arena *arena;

static int up(void **state)
{
    (void)state;
    arena = arena_new(64 << 20);
    return 0;
}

static int down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static struct rows rows_new(void)
{
    return (struct rows){ .arena = arena };
}

static void only_row(struct rows *r, const char *text)
{
    assert_int_equal(r->n, 1);
    assert_string_equal(r->v[0].ptr, text);
    rows_done(r);
}

static void rows_are_compact_sorted_and_null_where_nothing_is_known(void **state)
{
    struct rows r = rows_new();
    struct connection_seen c = { .protocol = STR("tcp"), .state = STR("LISTEN"), .local = STR("*"), .remote = STR("[::]"), .local_port = 22 };

    (void)state;
    rows_address(&r, STR("eth0"), STR("192.0.2.5"), 24, STR("02:00:00:00:00:05"));
    only_row(&r, "{\"interface\":\"eth0\",\"ip_address\":\"192.0.2.5\",\"mac_address\":\"02:00:00:00:00:05\",\"prefix_length\":24}");
    rows_neighbor(&r, STR_NONE, STR("FE80::5%eth0"), STR("192.0.2.5"), STR("STALE,NOARP"));
    only_row(&r, "{\"interface\":null,\"ip_address\":\"fe80::5\",\"mac_address\":null,\"state\":\"stale,noarp\"}");
    rows_connection(&r, &c);
    only_row(&r, "{\"local_ip\":\"0.0.0.0\",\"local_port\":22,\"pid\":null,\"process_name\":null,\"protocol\":\"tcp\",\"remote_ip\":\"::\","
                 "\"remote_port\":null,\"state\":\"listen\"}");
    rows_route(&r, &(struct route_seen){ .gateway = STR("192.0.2.1"), .interface = STR("eth0"), .source = STR("0.0.0.0") });
    only_row(&r, "{\"destination\":\"default\",\"gateway\":\"192.0.2.1\",\"interface\":\"eth0\",\"source_ip\":null}");
}

static void a_wildcard_is_one_with_an_interface_in_front_too(void **state)
{
    struct rows r = rows_new();
    struct connection_seen c = { .protocol = STR("udp"), .state = STR("UNCONN"), .local = STR("*"), .remote = STR("*"), .local_port = 68,
                                 .interface = STR("e,\"local_ip\":") };

    (void)state;
    rows_connection(&r, &c);
    c.local = STR("::");
    r.is_extended = true;
    rows_connection(&r, &c);
    c.local = STR("fe80::1");
    rows_connection(&r, &c);
    assert_int_equal(rows__count_wildcards(&r), 2);
    assert_int_equal(rows__drop_wildcards(&r), 2);
    only_row(&r, "{\"interface\":\"e,\\\"local_ip\\\":\",\"local_ip\":\"fe80::1\",\"local_port\":68,\"pid\":null,\"process_name\":null,\"protocol\":\"udp\","
                 "\"remote_ip\":\"0.0.0.0\",\"remote_port\":null,\"state\":\"unknown\"}");
}

static void what_no_server_takes_is_left_out(void **state)
{
    struct rows r = rows_new();
    struct connection_seen c = { .protocol = STR("tcp"), .state = STR("x"), .local = STR("1.2.3.4"), .remote = STR("1.2.3.5"), .local_port = 0 };

    (void)state;
    rows_address(&r, STR("e"), STR("0.0.0.0"), 0, STR_NONE);
    rows_address(&r, STR("e"), STR("::"), 0, STR_NONE);
    rows_address(&r, STR("e"), STR("nonsense"), 0, STR_NONE);
    rows_address(&r, STR("e"), STR("1.2.3"), 0, STR_NONE);
    rows_address(&r, STR("e"), STR("192.0.2.1"), 129, STR_NONE);
    rows_neighbor(&r, STR("e"), STR(""), STR_NONE, STR_NONE);
    rows_connection(&r, &c);
    c.local_port = 65536;
    rows_connection(&r, &c);
    c.local_port = 1;
    c.remote = STR("?");
    rows_connection(&r, &c);
    assert_int_equal(r.n, 0);
    assert_int_equal(r.n_refused, 9);
    rows_address(&r, STR("e"), STR("192.0.2.1"), 128, STR_NONE);
    c.remote = STR("1.2.3.5");
    c.local_port = 65535;
    rows_connection(&r, &c);
    assert_int_equal(r.n, 2);
    assert_true(str_find(r.v[1], STR("\"state\":\"unknown\"")) > 0);
    rows_done(&r);
}

static void states_are_the_servers_words(void **state)
{
    static const char *const table[][2] = {
        { "ESTAB", "established" },     { "CONNECTED", "established" }, { "ESTABLISHED", "established" }, { "UNCONN", "unknown" },
        { "FIN-WAIT-1", "fin_wait1" },  { "FIN_WAIT2", "fin_wait2" },   { "FIN-WAIT-2", "fin_wait2" },    { "TIME-WAIT", "time_wait" },
        { "CLOSE", "closed" },          { "CLOSED", "closed" },         { "NEW-SYN-RECV", "syn_recv" },   { "SYN-SENT", "syn_sent" },
        { "LAST-ACK", "last_ack" },     { "CLOSING", "closing" },       { "listen", "listen" },           { "", "unknown" },
        { "bound-inactive", "unknown" }, { "a-very-long-word-no-kernel-ever-says", "unknown" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct rows r = rows_new();
        struct connection_seen c = { .protocol = STR("tcp"), .state = str_of(table[i][0]), .local = STR("1.2.3.4"), .remote = STR("*"), .local_port = 1 };
        AUTO_FREE char *want = xasprintf("\"state\":\"%s\"}", table[i][1]);

        rows_connection(&r, &c);
        if (r.n != 1 || !str_ends(r.v[0], str_of(want)))
            fail_msg("%s: %s", table[i][0], r.n ? r.v[0].ptr : "no row");
        rows_done(&r);
    }
}

static void addresses_look_as_pythons(void **state)
{
    static const struct {
        const char *in, *out;
        bool any;
    } table[] = {
        { "*", "0.0.0.0", true },
        { " 192.0.2.1 ", "192.0.2.1", false },
        { "[::1]", "::1", false },
        { "::", "::", true },
        { "0:0:0:0:0:0:0:0", "::", true },
        { "::ffff:192.0.2.5", "::ffff:c000:205", false },
        { "::192.0.2.5", "::c000:205", false },
        { "fe80::1%eth0", "fe80::1", false },
        { "[fe80::1]%eth0", "fe80::1", false },
        { "2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1", false },
        { "1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7", false }, /* one zero group alone is not shortened */
        { "1:0:0:2:0:0:0:3", "1:0:0:2::3", false },
        { "1::", "1::", false },
        { "1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7:0", false },
        { "1:2:3:4:5:6:0:0", "1:2:3:4:5:6::", false },
        { "ff02::fb", "ff02::fb", false },
    };
    static const char *const bad[] = { "", "192.0.2", "192.0.2.256", "01.2.3.4", "1.2.3.4.5", ":::", "1::2::3", "g::", "host", "192.0.2.1/24" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        char dst[46];
        bool any;

        if (!listing_ip(str_of(table[i].in), dst, &any))
            fail_msg("%s", table[i].in);
        assert_string_equal(dst, table[i].out);
        assert_int_equal(any, table[i].any);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char dst[46];
        bool any;

        if (listing_ip(str_of(bad[i]), dst, &any))
            fail_msg("taken: %s", bad[i]);
    }
}

static void hardware_addresses_are_six_pairs(void **state)
{
    (void)state;
    assert_true(listing_is_mac(STR("02:00:00:00:00:05")));
    assert_true(listing_is_mac(STR("AA-bb:CC-dd:EE-ff")));
    assert_false(listing_is_mac(STR("02:00:00:00:00")));
    assert_false(listing_is_mac(STR("02:00:00:00:00:05:06")));
    assert_false(listing_is_mac(STR("0g:00:00:00:00:05")));
    assert_false(listing_is_mac(STR("02.00.00.00.00.05")));
    assert_false(listing_is_mac(STR("192.0.2.5")));
    assert_false(listing_is_mac(STR("")));
}

static void text_is_escaped_as_python_does(void **state)
{
    static const struct {
        struct str in;
        const char *out;
    } table[] = {
        { STR("plain"), "\"plain\"" },
        { STR("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"" },
        { STR("\n\r\t\f\b"), "\"\\n\\r\\t\\f\\b\"" },
        { STR("\x01\x1f\x7f"), "\"\\u0001\\u001f\\u007f\"" },
        { STR("\xc3\xa4\xe2\x82\xac"), "\"\\u00e4\\u20ac\"" },
        { STR("\xf0\x9f\x98\x80"), "\"\\ud83d\\ude00\"" },
        { STR("x\xff"), "\"x\\ufffd\"" },
        { STR(""), "\"\"" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        AUTO(buf_done) struct buf b = BUF(256);

        assert_int_equal(json_ascii_str(&b, table[i].in), 0);
        assert_string_equal(buf_as_cstr(&b), table[i].out);
    }
}

static void trees_are_written_canonical_and_indented(void **state)
{
    AUTO(buf_done) struct buf b = BUF(4096), p = BUF(4096);
    struct node *n;

    (void)state;
    assert_int_equal(json_parse(arena, STR(" {\"b\":[1, {\"z\":null,\"a\":true}], \"a\": {}, \"e\": [], \"\xc3\xa4\":\"x,y:{\\\"\"} "), 4096, &n, NULL), 0);
    assert_int_equal(json_ascii_canonical(n, &b), 0);
    assert_string_equal(buf_as_cstr(&b), "{\"a\":{},\"b\":[1,{\"a\":true,\"z\":null}],\"e\":[],\"\\u00e4\":\"x,y:{\\\"\"}");
    assert_int_equal(json_ascii_pretty(buf_as_str(&b), &p), 0);
    assert_string_equal(buf_as_cstr(&p), "{\n  \"a\": {},\n  \"b\": [\n    1,\n    {\n      \"a\": true,\n      \"z\": null\n    }\n  ],\n  \"e\": [],\n"
                                         "  \"\\u00e4\": \"x,y:{\\\"\"\n}");
}

static void the_cap_counts_what_it_leaves_out(void **state)
{
    struct rows r = rows_new();

    (void)state;
    r.max = 3;
    for (unsigned i = 1; i <= 5; i++)
        rows_address(&r, STR("e"), STR("192.0.2.1"), i, STR_NONE);
    assert_int_equal(r.n, 3);
    assert_int_equal(r.n_truncated, 2);
    rows_done(&r);
}

static void wildcard_listeners_are_found_by_their_local_address(void **state)
{
    static const char *const locals[] = { "0.0.0.0", "::", "*", "127.0.0.1", "::1" };
    struct rows r = rows_new();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(locals); i++)
        rows_connection(&r, &(struct connection_seen){ .protocol = STR("tcp"), .local = str_of(locals[i]), .remote = STR("0.0.0.0"), .local_port = 1 });
    assert_int_equal(rows__count_wildcards(&r), 3);
    assert_int_equal(rows__drop_wildcards(&r), 3);
    assert_int_equal(r.n, 2);
    assert_int_equal(rows__drop_wildcards(&r), 0);
    rows_done(&r);
}

/* -- the delta against a copy that thinks in loops */

static uint32_t seed;
static uint32_t dice(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static bool has(const struct rows *r, struct str s)
{
    for (size_t i = 0; i < r->n; i++)
        if (str_eq(r->v[i], s))
            return true;
    return false;
}

static struct rows random_rows(unsigned kinds)
{
    struct rows r = rows_new();

    for (unsigned n = dice(12); n > 0; n--)
        *vec_add(&r) = arena_printf(arena, "{\"k\":%u}", dice(kinds));
    rows_sort(&r);
    return r;
}

static void compare(const struct rows *now, const struct rows *before, const struct rows *added, const struct rows *gone)
{
    size_t n = 0;

    for (size_t i = 0; i < now->n; i++) /* doubles kept, in order */
        if (!has(before, now->v[i])) {
            assert_true(n < added->n);
            assert_true(str_eq(added->v[n++], now->v[i]));
        }
    assert_int_equal(n, added->n);
    n = 0;
    for (size_t i = 0; i < before->n; i++) /* each once */
        if (!has(now, before->v[i]) && (i == 0 || !str_eq(before->v[i], before->v[i - 1]))) {
            assert_true(n < gone->n);
            assert_true(str_eq(gone->v[n++], before->v[i]));
        }
    assert_int_equal(n, gone->n);
}

static struct told told_of(const struct rows *r)
{
    struct told t = { 0 };

    for (size_t i = 0; i < r->n; i++)
        if (i == 0 || !str_eq(r->v[i], r->v[i - 1]))
            told__add(&t, GS_ROUTES, r->v[i]);
    return t;
}

static void deltas_and_digests_agree_with_a_naive_copy(void **state)
{
    (void)state;
    for (seed = 1; seed < 4000000; seed = seed * 3 + 7) {
        for (int round = 0; round < 60; round++) {
            struct rows before = random_rows(1 + dice(20)), now = random_rows(1 + dice(20)), added = { 0 }, gone = { 0 };
            struct told t = told_of(&before), want = told_of(&now);

            rows__delta(&now, &before, &added, &gone);
            compare(&now, &before, &added, &gone);
            for (size_t i = 0; i < gone.n; i++)
                told__sub(&t, GS_ROUTES, gone.v[i]);
            for (size_t i = 0; i < added.n; i++)
                if (i == 0 || !str_eq(added.v[i], added.v[i - 1]))
                    told__add(&t, GS_ROUTES, added.v[i]);
            assert_int_equal(t.n, want.n);
            assert_true(fact_digest_eq(&t.digest, &want.digest));
            rows_done(&before);
            rows_done(&now);
            rows_done(&added);
            rows_done(&gone);
        }
        arena_reset(arena);
    }
}

static void a_row_of_a_state_file_keeps_its_identity_in_any_key_order(void **state)
{
    struct rows r = rows_new();
    struct node *n;

    (void)state;
    assert_int_equal(json_parse(arena, STR("[{\"prefix_length\":24,\"interface\":\"e\",\"ip_address\":\"1.2.3.4\",\"mac_address\":null},7]"), 4096, &n, NULL), 0);
    rows_node(&r, n->child);
    rows_node(&r, n->child->next);
    rows_address(&r, STR("e"), STR("1.2.3.4"), 24, STR_NONE);
    assert_int_equal(r.n, 2);
    assert_true(str_eq(r.v[0], r.v[1]));
    rows_done(&r);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        T(rows_are_compact_sorted_and_null_where_nothing_is_known),
        T(a_wildcard_is_one_with_an_interface_in_front_too),
        T(what_no_server_takes_is_left_out),
        T(states_are_the_servers_words),
        T(addresses_look_as_pythons),
        T(hardware_addresses_are_six_pairs),
        T(text_is_escaped_as_python_does),
        T(trees_are_written_canonical_and_indented),
        T(the_cap_counts_what_it_leaves_out),
        T(wildcard_listeners_are_found_by_their_local_address),
        T(deltas_and_digests_agree_with_a_naive_copy),
        T(a_row_of_a_state_file_keeps_its_identity_in_any_key_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
