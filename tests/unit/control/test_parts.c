/* tests/unit/control/test_parts.c - the private parts: timers, buckets, text, and what ten thousand of each
 * cost. */
#include "fixture.h"

#include <malloc.h>

#include "base/rand.h"
#include "control/core.h"

static void timers_come_out_in_order_whatever_was_done_to_them(void **state)
{
    enum { N = 300 };
    struct timers ts = { 0 };
    struct timer t[N] = { 0 };
    usec_t at[N];
    (void)state;
    for (int i = 0; i < N; i++)
        at[i] = USEC_NEVER;
    for (int step = 0; step < 20000; step++) {
        size_t i = rand_below(N);
        at[i] = rand_below(4) ? rand_below(1000) : USEC_NEVER;
        timers_set(&ts, &t[i], at[i]);
        if (step % 100)
            continue;
        usec_t now = rand_below(1000);
        usec_t last = 0;
        for (struct timer *due; (due = timers_pop(&ts, now));) {
            size_t k = (size_t)(due - t);
            assert_true(due->at == at[k] && at[k] <= now && at[k] >= last);
            last = at[k];
            at[k] = USEC_NEVER;
        }
        for (int k = 0; k < N; k++)
            assert_true(at[k] == USEC_NEVER ? t[k].place == 0 : at[k] > now && t[k].place > 0);
    }
    timers_done(&ts);
}

static void a_bucket_holds_its_burst_and_gains_its_rate(void **state)
{
    struct bucket b = { 0 };
    const struct rate r = { 10, 3 };
    usec_t now = USEC_PER_DAY, wait = 0;
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_true(bucket_take(&b, &r, now, 1, NULL));
    assert_false(bucket_take(&b, &r, now, 1, &wait));
    assert_true(wait >= 100 * USEC_PER_MS && wait < 110 * USEC_PER_MS);
    assert_false(bucket_take(&b, &r, now + 99 * USEC_PER_MS, 1, NULL));
    assert_true(bucket_take(&b, &r, now + 101 * USEC_PER_MS, 1, NULL));
    now += USEC_PER_DAY;
    for (int i = 0; i < 3; i++)
        assert_true(bucket_take(&b, &r, now, 1, NULL));
    assert_false(bucket_take(&b, &r, now, 1, NULL));
    assert_int_equal(bucket_charge(&b, &r, now + USEC_PER_SEC, 3), 0);
    assert_true(bucket_charge(&b, &r, now + USEC_PER_SEC, 1) > 0);
}

static void a_slow_rate_asked_every_millisecond_still_gains(void **state)
{
    struct bucket b = { 0 };
    const struct rate r = { 1.0 / 60, 1 };
    usec_t now = USEC_PER_DAY;
    int n = 0;
    (void)state;
    for (int i = 0; i < 600000; i++, now += USEC_PER_MS)
        n += bucket_take(&b, &r, now, 1, NULL);
    assert_in_range(n, 10, 11);
}

static void keys_beyond_the_table_push_out_the_oldest(void **state)
{
    struct admission *a = admission_new(100);
    const struct rate r = { 0.001, 1 };
    char key[16];
    (void)state;
    assert_true(admission_take(a, 'x', STR("first"), &r, USEC_PER_DAY, NULL));
    assert_false(admission_take(a, 'x', STR("first"), &r, USEC_PER_DAY, NULL));
    assert_true(admission_take(a, 'y', STR("first"), &r, USEC_PER_DAY, NULL)); /* another kind */
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "%d", i);
        assert_true(admission_take(a, 'x', str_of(key), &r, USEC_PER_DAY, NULL));
    }
    assert_true(admission_take(a, 'x', STR("first"), &r, USEC_PER_DAY, NULL));
    admission_free(a);
}

static void foreign_text_is_mended_and_cut_at_a_character(void **state)
{
    struct arena *a = arena_new(4096);
    struct str plain = STR("plain \xc3\xa4");
    (void)state;
    assert_ptr_equal(text__clean(a, plain, 100).ptr, plain.ptr);
    assert_true(str_is(text__clean(a, STR("a\x1b[1mb\n"), 100), "a?[1mb "));
    assert_true(str_is(text__clean(a, STR("\xff"), 100), "\xef\xbf\xbd"));
    assert_true(str_is(text__clean(a, STR("a\xc3\xa4"), 3), "a\xc3\xa4"));
    assert_true(str_is(text__clean(a, STR("a\xc3\xa4"), 2), "a"));
    assert_int_equal(text__clean(a, STR("\xff\xff\xff"), 4).len, 3);
    arena_free(a);
}

/* -- sizes and speed at ten thousand. Not a timed test: figures are printed, memory is held to its promise.
 */
static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct host_row row_of(uint64_t i, char *name)
{
    static struct str addresses[] = { STR("10.20.30.40"), STR("fd00:1234:5678::1234:5678:9abc") };
    static struct kv labels[] = { { STR("role"), STR("web") }, { STR("zone"), STR("eu-central-1") } };
    static char machine_id[65];
    struct host_row r = { .id = i,
                          .state = HOST_APPROVED,
                          .name = str_of(name),
                          .dialect = STR("native"),
                          .created_at = 1,
                          .decided_at = 1,
                          .decided_by = STR("token:1"),
                          .cert_serial = STR("00112233445566778899aabbccddeeff"),
                          .labels = { labels, 2 } };
    snprintf(machine_id, sizeof(machine_id), "%064llx", (unsigned long long)i);
    snprintf(r.uuid, sizeof(r.uuid), "01890a5d-ac96-774b-bcce-%012llx", (unsigned long long)i);
    memcpy(r.fingerprint, &i, sizeof(i));
    r.claims = (struct host_claims){ .hostname = str_of(name),
                                     .machine_id = str_of(machine_id),
                                     .os = STR("Debian GNU/Linux 12 (bookworm)"),
                                     .kernel = STR("6.1.0-18-amd64"),
                                     .arch = STR("x86_64"),
                                     .agent_version = STR("0.1.0"),
                                     .addresses = { addresses, 2 } };
    return r;
}

static bool count_host(void *ctx, const struct host_view *v)
{
    (void)v;
    ++*(size_t *)ctx;
    return true;
}

static void ten_thousand_hosts_and_a_job_over_all_of_them_fit(void **state)
{
    enum { N = 10000 };
    struct fixture *f = *state;
    char name[32];
    for (uint64_t i = 1; i <= N; i++) {
        snprintf(name, sizeof(name), "web-%05llu.example", (unsigned long long)i);
        const struct host_row r = row_of(i, name);
        store_put_host(f->s, &r);
        store_put_seen(f->s, &(struct seen_row){ .host_id = i, .last_seen = clock_wall(&f->clock) });
        for (int s = 0; s < 17; s++)
            store_put_facts_delta(f->s,
                                  &(struct fact_head){ .host_id = i,
                                                       .section = str_of(name_of(section_names, s)),
                                                       .status = SECTION_OK },
                                  STR_NONE);
        if (i % 1000 == 0)
            store_seal(f->s);
    }
    settle(f);
    fixture_close(f);
    f->drop_lines = true;
    double t0 = seconds();
    fixture_open(f);
    double opened = seconds() - t0;
    size_t before = mallinfo2().uordblks;
    control_free(f->c);
    size_t each = (before - mallinfo2().uordblks) / N;
    store_close(f->s);
    print_message("start with %d hosts: %.0f ms, %zu bytes each, %zu of them the struct; a task %zu\n", N,
                  opened * 1000, each, sizeof(struct host), sizeof(struct task));
    assert_true(each <= 1500 || mallinfo2().uordblks == 0); /* sanitizers count nothing */
    assert_true(sizeof(struct task) <= 120);
    fixture_open(f);
    settle(f);

    size_t n = 0;
    t0 = seconds();
    host_list(f->c, 0, NULL, count_host, &n);
    print_message("first list: %.1f ms\n", (seconds() - t0) * 1000);
    assert_int_equal(n, N);
    t0 = seconds();
    for (uint64_t i = 1; i <= N; i++) {
        struct principal p = { .kind = PRINCIPAL_HOST, .host_id = i };
        const struct hello h = { .claims = { .hostname = STR("x") },
                                 .peer_addr = "192.0.2.1",
                                 .spool_epoch = 1 };
        assert_int_equal(checkin_hello(f->c, &p, (struct link_id){ i }, &h, &f->err), 0);
    }
    double hello = seconds() - t0;
    settle(f);
    print_message("%d hellos: %.0f ms of the loop, %.0f ms all in all\n", N, hello * 1000,
                  (seconds() - t0) * 1000);

    struct str argv[] = { STR("true") };
    const struct job_wish w = { .all = true, .argv = { argv, 1 } };
    struct job_news news = { 0 };
    t0 = seconds();
    job_create(f->c, &f->admin, &w, on_job, &news);
    double create = seconds() - t0;
    settle(f);
    print_message("a job over %d: %.0f ms of the loop, offered after %.0f ms\n", N, create * 1000,
                  (seconds() - t0) * 1000);
    assert_int_equal(f->n_offers, N);
    t0 = seconds();
    for (uint64_t i = 1; i <= N; i++) {
        const struct sim m = { .link = i };
        struct sim copy = m;
        agent_runs(f, &copy, i, "x", 0);
    }
    double results = seconds() - t0;
    settle(f);
    print_message("%d results: %.0f ms of the loop, done after %.0f ms\n", N, results * 1000,
                  (seconds() - t0) * 1000);
    assert_int_equal(the_job(f, news.id).counts.succeeded, N);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_come_out_in_order_whatever_was_done_to_them),
        cmocka_unit_test(a_bucket_holds_its_burst_and_gains_its_rate),
        cmocka_unit_test(a_slow_rate_asked_every_millisecond_still_gains),
        cmocka_unit_test(keys_beyond_the_table_push_out_the_oldest),
        T(foreign_text_is_mended_and_cut_at_a_character),
        T(ten_thousand_hosts_and_a_job_over_all_of_them_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
