/* tests/unit/api/test_grapheon_report.c - the promises of grapheon_read_report(): the body of a check-in. */
#include "grapheon_fixture.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "codec/json_scan.h"

static const struct report_rows *rows_of(enum report_section s)
{
    return &r.sections[s];
}

static void assert_row(enum report_section s, size_t i, const char *key, const char *json)
{
    assert_true(i < rows_of(s)->n_rows);
    struct fact_row row = rows_of(s)->rows[i];
    if (!str_is(row.key, key) || !str_is(row.json, json))
        fail_msg("%.*s %.*s", STR_FMT(row.key), STR_FMT(row.json));
}

static void rows_get_our_words_and_a_key(void **state)
{
    (void)state;
    assert_int_equal(read_text("{" HEAD ",\"addresses\":[{\"interface\":\"eth0\",\"ip_address\":\"192.0.2.5\",\"mac_address\":\"02-00-00-00-00-0A\",\"prefix_length\":24},"
                               "{\"ip_address\":\"FE80::5%eth0\"}],"
                               "\"neighbors\":[{\"interface\":\"eth0\",\"ip_address\":\"192.0.2.1\",\"mac_address\":null,\"state\":\"STALE,NoArp\"}],"
                               "\"routes\":[{\"destination\":\"default\",\"gateway\":\"192.0.2.1\",\"interface\":\"eth0\",\"source_ip\":\"192.0.2.5\"}]}"),
                     GRAPHEON_READ_OK);
    assert_row(REPORT_ADDRESSES, 0, "eth0 192.0.2.5/24",
               "{\"interface\":\"eth0\",\"address\":\"192.0.2.5\",\"prefix\":24,\"family\":\"inet\",\"mac\":\"02:00:00:00:00:0a\"}");
    assert_row(REPORT_ADDRESSES, 1, "- fe80::5", "{\"address\":\"fe80::5\",\"family\":\"inet6\"}");
    assert_row(REPORT_NEIGHBORS, 0, "eth0 192.0.2.1", "{\"interface\":\"eth0\",\"address\":\"192.0.2.1\",\"state\":\"stale,noarp\"}");
    assert_row(REPORT_ROUTES, 0, "default via 192.0.2.1 dev eth0",
               "{\"destination\":\"default\",\"gateway\":\"192.0.2.1\",\"interface\":\"eth0\",\"source\":\"192.0.2.5\"}");
    assert_int_equal(r.n_ips, 3);
    assert_true(str_is(r.ips[0], "192.0.2.1") && str_is(r.ips[1], "192.0.2.5") && str_is(r.ips[2], "fe80::5"));
    assert_true(r.n_macs == 1 && str_is(r.macs[0], "02:00:00:00:00:0a"));
    assert_int_equal(r.n_rejected, 0);
}

static void extended_rows_keep_their_members(void **state)
{
    (void)state;
    assert_int_equal(read_text("{" HEAD ",\"connections\":[{\"interface\":\"eth0\",\"local_ip\":\"fe80::1\",\"local_port\":22,\"owners\":["
                               "{\"pid\":7,\"process_name\":\"a \\\"b\\\"\"},{\"pid\":9,\"process_name\":null,\"x\":[]}],\"pid\":9,\"protocol\":\"tcp\",\"remote_ip\":\"::\"}],"
                               "\"routes\":[{\"destination\":\"default\",\"family\":\"inet6\",\"interface\":\"tun0\",\"metric\":1024},"
                               "{\"destination\":\"default\",\"family\":\"inet\",\"interface\":\"tun0\",\"metric\":1024},"
                               "{\"destination\":\"2001:db8::/48\",\"family\":\"inet6\",\"metric\":5,\"table\":77,\"nexthops\":[{\"gateway\":\"2001:DB8::1\",\"interface\":\"e\",\"weight\":3},{\"gateway\":null,\"interface\":\"f\"}]},"
                               "{\"destination\":\"2001:db8::/48\",\"family\":\"inet6\",\"metric\":6,\"table\":77,\"nexthops\":[]},"
                               "{\"destination\":\"2001:db8::/48\",\"family\":\"inet6\",\"metric\":6,\"table\":\"blue\",\"nexthops\":null}]}"),
                     GRAPHEON_READ_OK);
    assert_int_equal(r.n_rejected, 0);
    assert_row(REPORT_CONNECTIONS, 0, "tcp [fe80::1]:22 * %eth0",
               "{\"protocol\":\"tcp\",\"address\":\"fe80::1\",\"port\":22,\"interface\":\"eth0\",\"pid\":9,"
               "\"owners\":[{\"pid\":7,\"process\":\"a \\\"b\\\"\"},{\"pid\":9}]}");
    assert_int_equal(rows_of(REPORT_ROUTES)->n_rows, 5);
    assert_row(REPORT_ROUTES, 0, "default inet6 dev tun0 metric 1024",
               "{\"destination\":\"default\",\"family\":\"inet6\",\"interface\":\"tun0\",\"metric\":1024}");
    assert_row(REPORT_ROUTES, 1, "default dev tun0 metric 1024",
               "{\"destination\":\"default\",\"family\":\"inet\",\"interface\":\"tun0\",\"metric\":1024}");
    assert_row(REPORT_ROUTES, 2, "2001:db8::/48 metric 5 table 77",
               "{\"destination\":\"2001:db8::/48\",\"family\":\"inet6\",\"metric\":5,\"table\":77,"
               "\"nexthops\":[{\"gateway\":\"2001:db8::1\",\"interface\":\"e\",\"weight\":3},{\"interface\":\"f\"}]}");
    assert_row(REPORT_ROUTES, 3, "2001:db8::/48 metric 6 table 77",
               "{\"destination\":\"2001:db8::/48\",\"family\":\"inet6\",\"metric\":6,\"table\":77}");
    assert_row(REPORT_ROUTES, 4, "2001:db8::/48 metric 6 table blue",
               "{\"destination\":\"2001:db8::/48\",\"family\":\"inet6\",\"metric\":6,\"table\":\"blue\"}");
}

static void members_of_extended_rows_are_checked(void **state)
{
    static const struct {
        const char *member, *field, *type;
    } routes[] = {
        { "\"nexthops\":{}", "routes.0.nexthops", "list_type" },
        { "\"nexthops\":[7]", "routes.0.nexthops", "model_type" },
        { "\"nexthops\":[{\"weight\":1}]", "routes.0.nexthops", "missing" },
        { "\"nexthops\":[{\"gateway\":\"x\"}]", "routes.0.nexthops.gateway", "value_error" },
        { "\"nexthops\":[{\"gateway\":\"::\"}]", "routes.0.nexthops.gateway", "value_error" },
        { "\"nexthops\":[{\"interface\":7}]", "routes.0.nexthops.interface", "string_type" },
        { "\"nexthops\":[{\"interface\":\"e\",\"weight\":-1}]", "routes.0.nexthops.weight", "greater_than_equal" },
        { "\"metric\":4294967296", "routes.0.metric", "less_than_equal" },
        { "\"table\":-1", "routes.0.table", "greater_than_equal" },
        { "\"table\":[]", "routes.0.table", "int_parsing" },
        { "\"family\":6", "routes.0.family", "string_type" },
    }, sockets[] = {
        { "\"owners\":7", "connections.0.owners", "list_type" },
        { "\"owners\":[[]]", "connections.0.owners", "model_type" },
        { "\"owners\":[{\"process_name\":\"x\"}]", "connections.0.owners.pid", "missing" },
        { "\"owners\":[{\"pid\":\"x\"}]", "connections.0.owners.pid", "int_parsing" },
        { "\"owners\":[{\"pid\":1,\"process_name\":[]}]", "connections.0.owners.process_name", "string_type" },
        { "\"interface\":7", "connections.0.interface", "string_type" },
    };
    char text[512];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(routes) + ARRAY_SIZE(sockets); i++) {
        bool is_route = i < ARRAY_SIZE(routes);
        const char *member = is_route ? routes[i].member : sockets[i - ARRAY_SIZE(routes)].member;
        const char *field = is_route ? routes[i].field : sockets[i - ARRAY_SIZE(routes)].field;
        const char *type = is_route ? routes[i].type : sockets[i - ARRAY_SIZE(routes)].type;

        (void)snprintf(text, sizeof(text),
                       is_route ? "{%s,\"routes\":[{\"destination\":\"default\",%s}]}"
                                : "{%s,\"connections\":[{\"local_ip\":\"::\",\"local_port\":1,\"protocol\":\"tcp\",\"remote_ip\":\"::\",%s}]}",
                       HEAD, member);
        assert_int_equal(read_text(text), GRAPHEON_READ_OK);
        assert_int_equal(r.n_rejected, 1);
        assert_string_equal(r.refusals[0].field, field);
        assert_string_equal(r.refusals[0].type, type);
    }
}

static void lists_within_a_row_end_at_64_items(void **state)
{
    AUTO(buf_done) struct buf b = BUF(64 << 10);

    (void)state;
    for (int n = 64; n <= 65; n++) {
        buf_reset(&b);
        (void)buf_cstr(&b, "{" HEAD ",\"routes\":[{\"destination\":\"default\",\"nexthops\":[");
        for (int i = 0; i < n; i++)
            (void)buf_printf(&b, "%s{\"interface\":\"e%d\"}", i ? "," : "", i);
        (void)buf_cstr(&b, "]}]}");
        assert_int_equal(read_text(buf_as_cstr(&b)), GRAPHEON_READ_OK);
        assert_int_equal(r.n_rejected, n > 64);
        if (n > 64)
            assert_string_equal(r.refusals[0].type, "too_long");
    }
}

#define LISTEN(port, pid) \
    "{\"local_ip\":\"0.0.0.0\",\"local_port\":" port ",\"remote_ip\":\"::\",\"remote_port\":null,\"protocol\":\"TCP\",\"state\":\"Listen\",\"pid\":" pid "}"

static void a_wildcard_is_taken_and_is_no_address(void **state)
{
    (void)state;
    assert_int_equal(read_text("{" HEAD ",\"connections\":[" LISTEN("22", "900") "]}"), GRAPHEON_READ_OK);
    assert_row(REPORT_CONNECTIONS, 0, "tcp 0.0.0.0:22 *",
               "{\"protocol\":\"tcp\",\"address\":\"0.0.0.0\",\"port\":22,\"state\":\"listen\",\"pid\":900}");
    assert_int_equal(r.n_ips, 0);
    /* The process is not in the key, but behind it. */
    const struct report_rows *in = rows_of(REPORT_CONNECTIONS);
    assert_true(str_eq((struct str){ in->rows[0].key.ptr, in->rows[0].key.len + in->tails[0] }, STR("tcp 0.0.0.0:22 * pid 900")));
}

static void the_process_is_in_the_key_of_who_tells_removals(void **state)
{
    (void)state;
    assert_int_equal(read_text("{" HEAD ",\"connections\":[" LISTEN("22", "900") "," LISTEN("22", "901") "],\"removed\":{\"connections\":[" LISTEN("23", "7") "]}}"),
                     GRAPHEON_READ_OK);
    assert_true(r.tells_removals);
    assert_int_equal(rows_of(REPORT_CONNECTIONS)->n_rows, 2);
    assert_true(str_is(rows_of(REPORT_CONNECTIONS)->rows[1].key, "tcp 0.0.0.0:22 * pid 901"));
    assert_int_equal(rows_of(REPORT_CONNECTIONS)->tails[1], 0);
    assert_true(rows_of(REPORT_CONNECTIONS)->n_removed == 1 && str_is(rows_of(REPORT_CONNECTIONS)->removed[0], "tcp 0.0.0.0:23 * pid 7"));
}

static void of_a_thing_told_twice_the_later_word_counts(void **state)
{
    (void)state;
    assert_int_equal(read_text("{" HEAD ",\"connections\":[" LISTEN("22", "1") "," LISTEN("23", "5") "," LISTEN("22", "2") "]}"), GRAPHEON_READ_OK);
    assert_int_equal(rows_of(REPORT_CONNECTIONS)->n_rows, 2);
    assert_true(str_find(rows_of(REPORT_CONNECTIONS)->rows[0].json, STR("\"pid\":2")) > 0);
    assert_int_equal(r.n_connections, 3);
}

static void digests_are_those_of_the_page(void **state)
{
    (void)state;
    char hex[2 * SHA256_LEN + 1];
    /* made by tests/flow/grapheon_agent.py, with blanks and keys in another order here */
    assert_int_equal(read_text("{" HEAD ", \"digest\": {\"connections\": {\"count\": 2, \"sha256\": \"575c49c3b42cfeedb3ef6d654580d8b639a3dd531e3dd9da4b5eb2750a33f865\"}, \"routes\": {\"count\": 1, \"sha256\": \"237efde8f4c398e65b3736dee7fa238e94da7f5877df85a2e646a4d850aa161b\"}},"
                               "\"routes\": [ { \"gateway\" : null, \"destination\" : \"d\\u00e9\" } ],"
                               "\"connections\": [{\"local_port\": 22, \"local_ip\": \"0.0.0.0\", \"pid\": 900, \"process_name\": \"sshd\", \"protocol\": \"tcp\", \"remote_ip\": \"0.0.0.0\", \"remote_port\": null, \"state\": \"listen\"},"
                               "{\"local_ip\": \"127.0.0.53\", \"local_port\": 53, \"pid\": 620, \"process_name\": \"systemd-resolve\", \"protocol\": \"udp\", \"remote_ip\": \"0.0.0.0\", \"remote_port\": null, \"state\": \"unknown\"},"
                               "{\"local_ip\": \"127.0.0.53\", \"local_port\": 53, \"pid\": 620, \"process_name\": \"systemd-resolve\", \"protocol\": \"udp\", \"remote_ip\": \"0.0.0.0\", \"remote_port\": null, \"state\": \"unknown\"}]}"),
                     GRAPHEON_READ_OK);
    hex_encode(rows_of(REPORT_CONNECTIONS)->added.sum.b, SHA256_LEN, hex);
    assert_string_equal(hex, "575c49c3b42cfeedb3ef6d654580d8b639a3dd531e3dd9da4b5eb2750a33f865");
    assert_true(report_digest_eq(&rows_of(REPORT_CONNECTIONS)->added, &rows_of(REPORT_CONNECTIONS)->digest));
    assert_true(report_digest_eq(&rows_of(REPORT_ROUTES)->added, &rows_of(REPORT_ROUTES)->digest));
    assert_false(rows_of(REPORT_ADDRESSES)->has_digest);
}

static void refused_rows_count_in_the_digest(void **state)
{
    (void)state;
    assert_int_equal(read_text("{" HEAD ",\"digest\":{\"routes\":{\"count\":1,\"sha256\":\"" "237efde8f4c398e65b3736dee7fa238e94da7f5877df85a2e646a4d850aa161b" "\"}},\"routes\":[{\"destination\":\"\"}]}"), GRAPHEON_READ_OK);
    assert_int_equal(r.n_rejected, 1);
    assert_int_equal(rows_of(REPORT_ROUTES)->added.count, 1);
    assert_int_equal(rows_of(REPORT_ROUTES)->n_rows, 0);
}

/* Room for the first list's rows must not be taken for that of the second. */
static void of_removals_told_twice_the_later_word_counts(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF(1 << 20);
    (void)buf_cstr(&b, "{" HEAD ",\"removed\":{\"neighbors\":[");
    for (int i = 0; i < 2000; i++)
        (void)buf_printf(&b, "%s{\"ip_address\":\"10.0.%d.%d\"}", i ? "," : "", i / 250, i % 250 + 1);
    (void)buf_cstr(&b, "],\"neighbors\":[{\"ip_address\":\"::1\"}]}}");
    assert_int_equal(read_text(buf_as_cstr(&b)), GRAPHEON_READ_OK);
    assert_int_equal(rows_of(REPORT_NEIGHBORS)->n_removed, 1);
    assert_true(str_is(rows_of(REPORT_NEIGHBORS)->removed[0], "- ::1"));
}

static void short_rows_outgrow_the_room_made_for_usual_ones(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF(1 << 20);
    (void)buf_cstr(&b, "{" HEAD ",\"removed\":{\"neighbors\":[");
    for (int i = 0; i < 1500; i++)
        (void)buf_printf(&b, "%s{\"ip_address\":\"1.0.%d.%d\"}", i ? "," : "", i / 250, i % 250 + 1);
    (void)buf_cstr(&b, "]},\"neighbors\":[");
    for (int i = 0; i < 1500; i++)
        (void)buf_printf(&b, "%s{\"ip_address\":\"2.0.%d.%d\",\"mac_address\":\"02:00:00:00:%02x:%02x\"}", i ? "," : "", i / 250,
                         i % 250 + 1, i / 250, i % 250 + 1);
    (void)buf_cstr(&b, "]}");
    assert_int_equal(read_text(buf_as_cstr(&b)), GRAPHEON_READ_OK);
    assert_int_equal(rows_of(REPORT_NEIGHBORS)->n_removed, 1500);
    assert_true(str_is(rows_of(REPORT_NEIGHBORS)->removed[1499], "- 1.0.5.250"));
    assert_int_equal(rows_of(REPORT_NEIGHBORS)->n_rows, 1500);
    assert_true(str_is(rows_of(REPORT_NEIGHBORS)->rows[1499].key, "- 2.0.5.250"));
    assert_true(str_is(rows_of(REPORT_NEIGHBORS)->macs[1499], "02:00:00:00:05:fa"));
    assert_int_equal(r.n_ips, 1500);
    assert_int_equal(r.n_ip_marks, 1500);
    assert_int_equal(r.n_macs, 1500);
    for (size_t i = 0; i < r.n_ips; i++)
        assert_true(r.ips[i].len >= 7);
}

static void bad_rows_say_where_and_why(void **state)
{
    (void)state;
    static const struct {
        const char *section, *row, *field, *type;
    } t[] = {
        { "addresses", "{}", "addresses.0.ip_address", "missing" },
        { "addresses", "{\"ip_address\":5}", "addresses.0.ip_address", "string_type" },
        { "addresses", "{\"ip_address\":\"0.0.0.0\"}", "addresses.0.ip_address", "value_error" },
        { "addresses", "{\"ip_address\":\"1.2.3.4\",\"prefix_length\":129}", "addresses.0.prefix_length", "less_than_equal" },
        { "addresses", "{\"ip_address\":\"1.2.3.4\",\"prefix_length\":-1}", "addresses.0.prefix_length", "greater_than_equal" },
        { "addresses", "{\"ip_address\":\"1.2.3.4\",\"mac_address\":\"192.0.2.5\"}", "addresses.0.mac_address", "value_error" },
        { "addresses", "7", "addresses.0", "model_type" },
        { "neighbors", "{\"ip_address\":\"::\"}", "neighbors.0.ip_address", "value_error" },
        { "connections", "{\"local_ip\":\"::\",\"local_port\":1,\"remote_ip\":\"::\",\"protocol\":\"tcp\",\"state\":\"close\"}", "connections.0.state", "value_error" },
        { "connections", "{\"local_ip\":\"::\",\"local_port\":1,\"remote_ip\":\"::\",\"protocol\":\"gre\"}", "connections.0.protocol", "value_error" },
        { "connections", "{\"local_ip\":\"::\",\"local_port\":65536,\"remote_ip\":\"::\",\"protocol\":\"tcp\"}", "connections.0.local_port", "less_than_equal" },
        { "connections", "{\"local_ip\":\"::\",\"local_port\":\"x\",\"remote_ip\":\"::\",\"protocol\":\"tcp\"}", "connections.0.local_port", "int_parsing" },
        { "connections", "{\"local_ip\":\"::\",\"remote_ip\":\"::\",\"protocol\":\"tcp\"}", "connections.0.local_port", "missing" },
        { "routes", "{\"gateway\":null}", "routes.0.destination", "missing" },
        { "routes", "{\"destination\":\"\"}", "routes.0.destination", "string_too_short" },
        { "routes", "{\"destination\":\"default\",\"gateway\":\"0.0.0.0\"}", "routes.0.gateway", "value_error" },
    };
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        char text[512];
        snprintf(text, sizeof(text), "{" HEAD ",\"%s\":[%s]}", t[i].section, t[i].row);
        assert_int_equal(read_text(text), GRAPHEON_READ_OK);
        assert_int_equal(r.n_rejected, 1);
        assert_string_equal(r.refusals[0].field, t[i].field);
        assert_string_equal(r.refusals[0].type, t[i].type);
        arena_reset(arena);
        assert_int_equal(grapheon_read_report(arena, str_of(text), true, &r), GRAPHEON_READ_FIELDS);
    }
}

static void texts_end_at_their_number_of_characters(void **state)
{
    (void)state;
    char name[256 * 2 + 1], text[1024];
    for (size_t n = 254; n <= 256; n++) {
        for (size_t i = 0; i < n; i++)
            memcpy(name + 2 * i, "\xc3\xa9", 2);
        name[2 * n] = '\0';
        snprintf(text, sizeof(text), "{" HEAD ",\"routes\":[{\"destination\":\"%s\"}]}", name);
        assert_int_equal(read_text(text), GRAPHEON_READ_OK);
        assert_int_equal(r.n_rejected, n > 255);
        snprintf(text, sizeof(text), "{" HEAD ",\"hostname\":\"%s\"}", name);
        assert_int_equal(read_text(text), n > 255 ? GRAPHEON_READ_FIELDS : GRAPHEON_READ_OK);
    }
}

static void more_rows_than_a_section_holds_are_dropped_and_counted(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF(8 << 20);
    for (int n = LIMIT_SECTION_ROWS - 1; n <= LIMIT_SECTION_ROWS + 1; n++) {
        buf_reset(&b);
        buf_cstr(&b, "{" HEAD ",\"routes\":[");
        for (int i = 0; i < n; i++)
            buf_printf(&b, "%s{\"destination\":\"%05d\"}", i ? "," : "", i);
        buf_cstr(&b, "]}");
        arena_reset(arena);
        assert_int_equal(grapheon_read_report(arena, buf_as_str(&b), false, &r), GRAPHEON_READ_OK);
        assert_int_equal(rows_of(REPORT_ROUTES)->n_rows, n > LIMIT_SECTION_ROWS ? LIMIT_SECTION_ROWS : n);
        assert_int_equal(rows_of(REPORT_ROUTES)->n_dropped, n > LIMIT_SECTION_ROWS);
    }
}

/* Whenever it comes: while there is room, when the section is full, and to every place in it. */
static void the_later_word_finds_its_row_in_a_section_of_any_size(void **state)
{
    AUTO(buf_done) struct buf b = BUF(8 << 20);

    (void)state;
    for (int n = 1; n <= LIMIT_SECTION_ROWS; n = n < 40 ? n + 1 : n * 3 < LIMIT_SECTION_ROWS ? n * 3 : n + LIMIT_SECTION_ROWS / 2) {
        buf_reset(&b);
        buf_cstr(&b, "{" HEAD ",\"neighbors\":[");
        for (int i = 0; i < n; i++)
            buf_printf(&b, "{\"ip_address\":\"10.%d.%d.1\"},{\"ip_address\":\"10.0.0.1\",\"state\":\"s%d\"},", i / 256, i % 256, i);
        for (int i = n; i-- > 0;)
            buf_printf(&b, "{\"ip_address\":\"10.%d.%d.1\",\"state\":\"s%d\"}%s", i / 256, i % 256, i, i ? "," : "]}");
        arena_reset(arena);
        assert_int_equal(grapheon_read_report(arena, buf_as_str(&b), false, &r), GRAPHEON_READ_OK);
        assert_int_equal(rows_of(REPORT_NEIGHBORS)->n_rows, n);
        assert_int_equal(rows_of(REPORT_NEIGHBORS)->n_dropped, 0);
        assert_int_equal(r.n_neighbors, 3 * n);
        for (int i = 0; i < n; i++) {
            char key[64], json[128];

            snprintf(key, sizeof(key), "- 10.%d.%d.1", i / 256, i % 256);
            snprintf(json, sizeof(json), "{\"address\":\"10.%d.%d.1\",\"state\":\"s%d\"}", i / 256, i % 256, i);
            assert_row(REPORT_NEIGHBORS, (size_t)i, key, json);
        }
    }
}

static void a_later_word_that_is_longer_counts_into_the_section(void **state)
{
    enum { N = 700, OWNERS = 60 };
    AUTO(buf_done) struct buf b = BUF(16 << 20);
    size_t bytes = 0, n_long = 0;

    (void)state;
    buf_cstr(&b, "{" HEAD ",\"connections\":[");
    for (int i = 0; i < N; i++)
        buf_printf(&b, "{\"protocol\":\"tcp\",\"local_ip\":\"192.0.2.1\",\"local_port\":%d,\"remote_ip\":\"::\"},", i + 1);
    for (int i = 0; i < N; i++) {
        buf_printf(&b, "{\"protocol\":\"tcp\",\"local_ip\":\"192.0.2.1\",\"local_port\":%d,\"remote_ip\":\"::\",\"owners\":[", i + 1);
        for (int k = 0; k < OWNERS; k++)
            buf_printf(&b, "%s{\"pid\":%d,\"process_name\":\"%060d\"}", k ? "," : "", k + 1, k);
        buf_printf(&b, "]}%s", i + 1 < N ? "," : "]}");
    }
    arena_reset(arena);
    assert_int_equal(grapheon_read_report(arena, buf_as_str(&b), false, &r), GRAPHEON_READ_OK);
    assert_int_equal(r.n_rejected, 0);
    assert_int_equal(rows_of(REPORT_CONNECTIONS)->n_rows, N);
    for (size_t i = 0; i < N; i++) {
        const struct fact_row *row = &rows_of(REPORT_CONNECTIONS)->rows[i];

        bytes += row->key.len + row->json.len + 8;
        n_long += row->json.len > 1000;
    }
    assert_true(bytes <= LIMIT_SECTION_BYTES);
    assert_true(n_long > 0 && n_long < N);
    assert_int_equal(rows_of(REPORT_CONNECTIONS)->n_dropped, N - n_long);
}

static void what_is_cut_off_anywhere_is_no_report(void **state)
{
    (void)state;
    static const char whole[] = "{" HEAD ",\"full_snapshot\":true,\"connections\":[" LISTEN("22", "900") "],\"digest\":{\"routes\":{\"count\":0,\"sha256\":\"\"}}}";
    for (size_t n = 0; n + 1 < sizeof(whole); n++) {
        arena_reset(arena);
        assert_int_equal(grapheon_read_report(arena, str_bytes(whole, n), false, &r), GRAPHEON_READ_JSON);
    }
    assert_int_equal(read_text(whole), GRAPHEON_READ_OK);
}

static void an_arena_too_small_for_it_is_said_and_not_written_past(void **state)
{
    (void)state;
    static const char whole[] = "{" HEAD ",\"connections\":[" LISTEN("22", "900") "," LISTEN("23", "900") "]}";
    for (size_t max = 1024; max < 16384; max += 256) {
        AUTO(arena_free) struct arena *small = arena_new(max);
        enum grapheon_read got = grapheon_read_report(small, str_of(whole), false, &r);
        assert_true(got == GRAPHEON_READ_TOO_LARGE || got == GRAPHEON_READ_OK);
    }
}

static void times_are_read_as_upstream_reads_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        usec_t want;
    } t[] = {
        { "2026-11-22T04:07:41Z", 1795320461000000 },       { "2026-11-22T04:07:41", 1795320461000000 },
        { "2026-11-22 04:07:41.5", 1795320461500000 },      { "2026-11-22T06:07:41+02:00", 1795320461000000 },
        { "2026-11-22", 1795305600000000 },                 { "1795320461", 1795320461000000 },
        { "1795320461000", 1795320461000000 },              { "1795320461.25", 1795320461250000 },
    };
    usec_t got;
    char text[32];
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        if (!grapheon_parse_time(str_of(t[i].text), &got))
            fail_msg("%s", t[i].text);
        assert_int_equal(got, t[i].want);
    }
    static const char *const bad[] = { "", "never", "2026-13-01", "2026-11-22T25:00:00Z", "-5", "1e300", "2026-11-22T04:07:41Zz" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(grapheon_parse_time(str_of(bad[i]), &got));
    grapheon_format_time(1795320461000123, text);
    assert_string_equal(text, "2026-11-22T04:07:41.000123");
    grapheon_format_time(951782399999999, text);
    assert_string_equal(text, "2000-02-28T23:59:59.999999");
    grapheon_format_time(951782400000000, text);
    assert_string_equal(text, "2000-02-29T00:00:00.000000");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(rows_get_our_words_and_a_key),
        T(a_wildcard_is_taken_and_is_no_address),
        T(the_process_is_in_the_key_of_who_tells_removals),
        T(of_a_thing_told_twice_the_later_word_counts),
        T(digests_are_those_of_the_page),
        T(refused_rows_count_in_the_digest),
        T(of_removals_told_twice_the_later_word_counts),
        T(short_rows_outgrow_the_room_made_for_usual_ones),
        T(extended_rows_keep_their_members),
        T(members_of_extended_rows_are_checked),
        T(lists_within_a_row_end_at_64_items),
        T(bad_rows_say_where_and_why),
        T(texts_end_at_their_number_of_characters),
        T(more_rows_than_a_section_holds_are_dropped_and_counted),
        T(the_later_word_finds_its_row_in_a_section_of_any_size),
        T(a_later_word_that_is_longer_counts_into_the_section),
        T(what_is_cut_off_anywhere_is_no_report),
        T(an_arena_too_small_for_it_is_said_and_not_written_past),
        T(times_are_read_as_upstream_reads_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
