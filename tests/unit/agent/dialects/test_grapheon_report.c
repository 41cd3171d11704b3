/* Promises of grapheon_report.c: pieces fit, nothing is lost or doubled between them, and the digest is right after each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>

#include "agent/dialects/grapheon.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "codec/gzip.h"
#include "fleet/inventory.h"

static struct arena *arena;
static struct grapheon_sample sample;
static struct report_plan plan;
static struct report_head head = { .uuid = "u-1", .hostname = "host", .epoch = "e", .platform_release = "6.1", .observed_at = "2026-11-22T08:00:00Z" };

static int up(void **state)
{
    (void)state;
    arena = arena_new(256 << 20);
    sample = (struct grapheon_sample){ 0 };
    plan = (struct report_plan){ .sample = &sample };
    for (size_t s = 0; s < GS_N; s++)
        sample.status[s] = SECTION_OK;
    return 0;
}

static int down(void **state)
{
    (void)state;
    plan__done(&plan);
    sample__done(&sample);
    arena_free(arena);
    return 0;
}

static uint32_t seed;
static uint32_t dice(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static void put(struct rows *r, const char *what, unsigned i, unsigned pad)
{
    char noise[512];

    for (unsigned k = 0; k < pad; k++)
        noise[k] = (char)('a' + dice(26)); /* does not compress well */
    *vec_add(r) = arena_printf(arena, "{\"%s\":\"%06u\",\"pad\":\"%.*s\"}", what, i, (int)pad, noise);
}

static const struct node *parse(const struct buf *json)
{
    struct node *n;

    assert_int_equal(json_parse(arena, buf_as_str(json), json->len, &n, NULL), 0);
    return n;
}

static size_t length(const struct node *map, const char *key)
{
    const struct node *n = map ? node_get(map, key) : NULL;

    return n ? n->n : 0;
}

static void step(uint64_t number, size_t max, struct report_step *ret, const struct node **ret_json)
{
    AUTO(buf_done) struct buf json = BUF(64 << 20), gz = BUF(GRAPHEON_RAW_BYTES), back = BUF(64 << 20);

    assert_int_equal(grapheon__report_step(&plan, &head, number, max, &json, &gz, ret), 0);
    assert_true(json.len <= max);
    assert_int_equal(gzip_inflate(buf_as_str(&gz), &back), 0);
    assert_true(str_eq(buf_as_str(&back), buf_as_str(&json)));
    *ret_json = parse(&json);
}

static void pieces_fit_and_make_the_whole(void **state)
{
    (void)state;
    for (seed = 1; seed < 100000; seed = seed * 5 + 3) {
        size_t max = GRAPHEON_REPORT_MIN + dice(60000), n = 0, want[GS_N][2];
        struct report_step st;

        for (size_t s = 0; s < GS_N; s++) {
            plan.added[s].n = plan.gone[s].n = plan.at_added[s] = plan.at_gone[s] = 0;
            plan.told[s] = (struct told){ 0 };
            for (unsigned i = dice(300); i > 0; i--)
                put(&plan.added[s], "n", i, dice(300));
            for (unsigned i = dice(200); i > 0; i--) {
                put(&plan.gone[s], "g", i, dice(100));
                told__add(&plan.told[s], (enum grapheon_section)s, plan.gone[s].v[plan.gone[s].n - 1]);
            }
            want[s][0] = plan.added[s].n;
            want[s][1] = plan.gone[s].n;
        }
        do {
            const struct node *json;

            step(++n, max, &st, &json);
            for (size_t s = 0; s < GS_N; s++) {
                assert_int_equal(length(json, grapheon_section_names[s]), st.added[s]);
                assert_int_equal(length(node_get(json, "removed"), grapheon_section_names[s]), st.gone[s]);
                plan.at_added[s] += st.added[s];
                plan.at_gone[s] += st.gone[s];
                plan.told[s] = st.told[s];
            }
            assert_int_equal(node_get(json, "sequence_number")->i, n);
        } while (!st.is_last);
        for (size_t s = 0; s < GS_N; s++) {
            struct told fresh = { 0 };

            assert_int_equal(plan.at_added[s], want[s][0]);
            assert_int_equal(plan.at_gone[s], want[s][1]);
            for (size_t i = 0; i < plan.added[s].n; i++)
                told__add(&fresh, (enum grapheon_section)s, plan.added[s].v[i]);
            assert_int_equal(plan.told[s].n, fresh.n);
            assert_true(fact_digest_eq(&plan.told[s].digest, &fresh.digest));
        }
        arena_reset(arena);
    }
}

static void what_does_not_compress_is_cut_by_its_compressed_size(void **state)
{
    const struct node *json;
    struct report_step st;

    (void)state;
    seed = 5;
    for (unsigned i = 0; i < 2000; i++)
        put(&plan.added[GS_ROUTES], "n", i, 400);
    step(1, 10485760, &st, &json);
    assert_false(st.is_last);
    assert_true(st.added[GS_ROUTES] > 100 && st.added[GS_ROUTES] < 2000);
}

static void a_row_that_never_fits_is_said_to(void **state)
{
    AUTO(buf_done) struct buf json = BUF(1 << 20), gz = BUF(GRAPHEON_RAW_BYTES);
    struct report_step st;

    (void)state;
    put(&plan.added[GS_ROUTES], "n", 1, 500);
    assert_int_equal(grapheon__report_step(&plan, &head, 1, 2500, &json, &gz, &st), -EMSGSIZE);
    assert_int_equal(grapheon__report_step(&plan, &head, 1, 4000, &json, &gz, &st), 0);
}

static void a_heartbeat_has_four_empty_lists(void **state)
{
    const struct node *json;
    struct report_step st;

    (void)state;
    sample.status[GS_NEIGHBORS] = SECTION_FAILED;
    sample.rows[GS_CONNECTIONS].n_truncated = 3;
    step(7, GRAPHEON_REPORT_MIN, &st, &json);
    assert_true(st.is_last);
    for (size_t s = 0; s < GS_N; s++)
        assert_int_equal(node_get(json, grapheon_section_names[s])->type, NODE_LIST);
    assert_null(node_get(json, "removed"));
    assert_true(str_is(node_get(node_get(json, "section_status"), "neighbors")->s, "failed"));
    assert_null(node_get(node_get(json, "digest"), "neighbors"));
    assert_non_null(node_get(node_get(json, "digest"), "routes"));
    assert_int_equal(node_get(node_get(json, "truncated"), "connections")->i, 3);
    assert_int_equal(node_get(json, "full_snapshot")->b, false);
}

static void put_text(enum grapheon_section s, const char *command, const char *text, size_t n)
{
    sample.command[s] = command;
    sample.text[s] = (struct buf)BUF(GRAPHEON_OUTPUT_BYTES);
    assert_int_equal(buf_append(&sample.text[s], text, n), 0);
}

static void texts_go_as_they_were_printed_and_in_one_report(void **state)
{
    AUTO(buf_done) struct buf out = BUF(64 << 10), gz = BUF(GRAPHEON_RAW_BYTES);
    const struct node *json, *raw;
    struct report_step st;

    (void)state;
    plan.raw = plan.full = true;
    sample.status[GS_ROUTES] = SECTION_MISSING;
    put_text(GS_ADDRESSES, "ip_addr", "[]", 2);
    put_text(GS_NEIGHBORS, "ip_neigh", "", 0);
    put_text(GS_CONNECTIONS, "netstat_tunap", "a\tb \"\xc3\xa9\xff\n", 9);
    step(7, GRAPHEON_REPORT_MIN, &st, &json);
    assert_true(st.is_last);
    raw = node_get(json, "raw");
    assert_int_equal(raw->n, 3);
    assert_true(str_is(node_get(raw, "ip_addr")->s, "[]") && str_is(node_get(raw, "ip_neigh")->s, ""));
    assert_true(str_is(node_get(raw, "netstat_tunap")->s, "a\tb \"\xc3\xa9\xef\xbf\xbd\n"));
    /* to who does not read texts it is a report in which nothing is new */
    assert_true(!node_get(json, "full_snapshot") && !node_get(json, "digest") && !node_get(json, "removed"));
    assert_true(str_is(node_get(node_get(json, "section_status"), "routes")->s, "missing"));
    for (size_t s = 0; s < GS_N; s++)
        assert_int_equal(length(json, grapheon_section_names[s]), 0);

    assert_int_equal(grapheon__report_step(&plan, &head, 7, GRAPHEON_REPORT_MIN, &out, &gz, &st), 0);
    size_t fits = out.len;
    assert_int_equal(grapheon__report_step(&plan, &head, 7, fits, &out, &gz, &st), 0);
    assert_int_equal(grapheon__report_step(&plan, &head, 7, fits - 1, &out, &gz, &st), -EMSGSIZE);
}

static void a_text_longer_than_a_server_reads_is_not_sent(void **state)
{
    static const struct {
        const char *end; /* of a text of @n bytes */
        size_t n;
        int r;
    } table[] = {
        { "x", GRAPHEON_TEXT_MAX, 0 },
        { "x", GRAPHEON_TEXT_MAX + 1, -EMSGSIZE },
        { "\xff", GRAPHEON_TEXT_MAX - 2, 0 }, /* three bytes where it is read */
        { "\xff", GRAPHEON_TEXT_MAX - 1, -EMSGSIZE },
        { "", GRAPHEON_TEXT_MAX - 2, 0 }, /* and NUL too */
        { "", GRAPHEON_TEXT_MAX - 1, -EMSGSIZE },
    };

    (void)state;
    plan.raw = true;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        AUTO(buf_done) struct buf out = BUF(64 << 20), gz = BUF(GRAPHEON_RAW_BYTES);
        AUTO_FREE char *text = xmalloc(table[i].n);
        struct report_step st;

        memset(text, ' ', table[i].n);
        text[table[i].n - 1] = table[i].end[0];
        for (size_t s = 0; s < GS_N; s++)
            put_text((enum grapheon_section)s, grapheon_command_names[s], s == GS_CONNECTIONS ? text : "", s == GS_CONNECTIONS ? table[i].n : 0);
        assert_int_equal(grapheon__report_step(&plan, &head, 7, 10485760, &out, &gz, &st), table[i].r);
        for (size_t s = 0; s < GS_N; s++)
            buf_done(&sample.text[s]);
    }
    put_text(GS_CONNECTIONS, "ss_tunap", "", 0);
}

static void collectors_are_told_of_where_the_policy_lists_them(void **state)
{
    struct grapheon_policy policy = { .has_collectors = true, .n_unknown = 1, .unknown = { "docker_ps" } };
    const struct node *json, *told;
    struct report_step st;

    (void)state;
    step(7, GRAPHEON_REPORT_MIN, &st, &json);
    assert_null(node_get(json, "collector_status"));
    sample.status[GS_ROUTES] = SECTION_DISABLED;
    head.policy = &policy;
    step(7, GRAPHEON_REPORT_MIN, &st, &json);
    head.policy = NULL;
    told = node_get(json, "collector_status");
    assert_int_equal(told->n, 5);
    assert_true(str_is(node_get(told, "docker_ps")->s, "missing") && str_is(node_get(told, "ip_neigh")->s, "ok"));
    assert_true(str_is(node_get(told, "ip_route")->s, "disabled"));
}

static void a_registration_stays_below_its_limit(void **state)
{
    AUTO(buf_done) struct buf b = BUF(1 << 20);
    struct grapheon_options o = { .display_name = (char *)(uintptr_t)"D" };
    struct rows many = { 0 };
    const struct node *json;

    (void)state;
    seed = 1;
    for (unsigned i = 0; i < 2000; i++)
        put(&many, "n", i, 80);
    assert_int_equal(grapheon__register_body(&o, &head, "claim", STR("gaek_x"), &many, &b), 0);
    assert_true(b.len <= GRAPHEON_REGISTER_BYTES);
    json = parse(&b);
    assert_true(length(json, "addresses") > 100);
    char hash[SHA256_HEX_MAX];

    sha256_hex(STR("claim"), hash);
    assert_true(str_is(node_get(json, "claim_sha256")->s, hash));
    assert_int_equal(node_get(json, "site_name")->type, NODE_NULL);
    rows_done(&many);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        T(pieces_fit_and_make_the_whole),
        T(what_does_not_compress_is_cut_by_its_compressed_size),
        T(a_row_that_never_fits_is_said_to),
        T(a_heartbeat_has_four_empty_lists),
        T(texts_go_as_they_were_printed_and_in_one_report),
        T(a_text_longer_than_a_server_reads_is_not_sent),
        T(collectors_are_told_of_where_the_policy_lists_them),
        T(a_registration_stays_below_its_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
