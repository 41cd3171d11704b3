/* tests/unit/store/test_lazy.c - small rows that are journalled first: the last word counts, whatever happens
 * in between. */
#include "fixture.h"

#include "store/fake.h"

enum { HOSTS = 9000, SECTIONS = 3 };
static const char *const sections[SECTIONS] = { "os", "cpu", "users" };

/* What must be there. */
static struct {
    struct seen_row seen[HOSTS + 1];
    uint64_t taken_at[HOSTS + 1][SECTIONS]; /* 0: no head */
} model;

static int setup(void **state)
{
    struct fixture *f = fixture_new();
    *state = f;
    fake_reset();
    memset(&model, 0, sizeof(model));
    f->driver = &driver_fake;
    fixture_open(f);
    srandom(5);
    return 0;
}

static int teardown(void **state)
{
    fake_reset();
    return fixture_teardown(state);
}

static void put_hosts(struct fixture *f)
{
    for (uint64_t i = 1; i <= HOSTS; i++) {
        struct host_row h = { .id = i, .state = HOST_APPROVED };
        char name[16];
        snprintf(name, sizeof(name), "h%lu", (unsigned long)i);
        snprintf(h.uuid, sizeof(h.uuid), "%lu", (unsigned long)i);
        h.name = str_of(name);
        memcpy(h.fingerprint, &i, sizeof(i));
        store_put_host(f->s, &h);
    }
}

static void put_seen(struct fixture *f, uint64_t host, uint64_t v)
{
    model.seen[host] = (struct seen_row){ host, v, v + 1, v + 2 };
    store_put_seen(f->s, &model.seen[host]);
}

static void put_head(struct fixture *f, uint64_t host, int section, uint64_t v)
{
    char message[32];
    snprintf(message, sizeof(message), "v%lu", (unsigned long)v);
    model.taken_at[host][section] = v;
    store_put_facts_delta(f->s,
                          &(struct fact_head){ .host_id = host,
                                               .section = str_of(sections[section]),
                                               .status = SECTION_OK,
                                               .message = str_of(message),
                                               .digest = { { (uint8_t)v } },
                                               .taken_at = v,
                                               .received_at = v + 1 },
                          STR_NONE);
}

static void forget(struct fixture *f, uint64_t host)
{
    model.seen[host] = (struct seen_row){ 0 };
    for (int k = 0; k < SECTIONS; k++)
        model.taken_at[host][k] = 0;
    store_del_host(f->s, host);
}

static void check_host(void *ctx, const struct host_row *h, const struct seen_row *seen)
{
    (void)ctx;
    const struct seen_row *want = &model.seen[h->id];
    if (want->last_seen != seen->last_seen || want->spool_epoch != seen->spool_epoch ||
        want->acked_seq != seen->acked_seq)
        fail_msg("host %lu seen %lu, not %lu", (unsigned long)h->id, (unsigned long)seen->last_seen,
                 (unsigned long)want->last_seen);
}

static void check_head(void *ctx, const struct fact_head *h)
{
    size_t *n = ctx;
    char message[32];
    int k = 0;
    while (!str_is(h->section, sections[k]))
        k++;
    uint64_t want = model.taken_at[h->host_id][k];
    snprintf(message, sizeof(message), "v%lu", (unsigned long)want);
    if (h->taken_at != want || !str_is(h->message, message) || h->digest.b[0] != (uint8_t)want)
        fail_msg("host %lu %s: %lu, not %lu", (unsigned long)h->host_id, sections[k],
                 (unsigned long)h->taken_at, (unsigned long)want);
    ++*n;
}

static void check_all(struct fixture *f)
{
    size_t n = 0, want = 0;
    assert_int_equal(store_load_hosts(f->s, check_host, NULL, NULL), 0);
    assert_int_equal(store_load_fact_heads(f->s, check_head, &n, NULL), 0);
    for (uint64_t i = 1; i <= HOSTS; i++)
        for (int k = 0; k < SECTIONS; k++)
            want += model.taken_at[i][k] != 0;
    assert_int_equal(n, want);
}

static void random_changes(struct fixture *f, int units, bool failing)
{
    static uint64_t v = 1;
    for (int u = 0; u < units; u++) {
        for (long n = random() % 200; n > 0; n--) {
            uint64_t host = 1 + (uint64_t)random() % HOSTS;
            if (random() % 3)
                put_head(f, host, (int)(random() % SECTIONS), v++);
            else
                put_seen(f, host, v++);
        }
        if (random() % 40 == 0)
            forget(f, 1 + (uint64_t)random() % HOSTS);
        if (failing && random() % 20 == 0)
            fake_fail_commits((int)(random() % 3), 1, -EIO);
        store_seal(f->s);
        if (random() % 4)
            fixture_commit(f);
    }
    fixture_commit(f);
}

static void the_last_word_counts_through_sweeps_and_a_restart(void **state)
{
    struct fixture *f = *state;
    put_hosts(f);
    random_changes(f, 400, false); /* some 40,000 changes: several sweeps begin and end */
    fixture_reopen(f);
    check_all(f);
    random_changes(f, 50, false);
    fixture_reopen(f);
    check_all(f);
}

static void commits_that_fail_in_between_change_nothing(void **state)
{
    struct fixture *f = *state;
    put_hosts(f);
    random_changes(f, 300, true);
    assert_true(fake_n_failed() > 3);
    fake_reset();
    fixture_reopen(f);
    check_all(f);
}

static void a_crash_at_any_commit_leaves_the_last_word(void **state)
{
    struct fixture *f = *state;
    put_hosts(f);
    fixture_commit(f);
    for (int round = 0; round < 8; round++) {
        random_changes(f, 40, false);
        struct fixture *after = fixture_crashed(f);
        check_all(after);
        fixture_free(after);
    }
}

struct one {
    struct fixture *f;
    struct fact_head h;
    char message[32];
    size_t n;
};

static void on_section(void *ctx, const struct fact_head *h, struct str body)
{
    struct one *o = ctx;
    (void)body;
    o->h = *h;
    str_copy(h->message, o->message, sizeof(o->message));
    o->n++;
}

static void on_done(void *ctx, int result)
{
    fixture_done(((struct one *)ctx)->f, result);
}

static void reads_see_what_is_only_in_the_journal(void **state)
{
    struct fixture *f = *state;
    struct one o = { .f = f };
    for (uint64_t v = 1; v <= 5; v++) {
        put_head(f, 7, 0, v);
        put_head(f, 8, 0, 100 + v);
        put_head(f, 7, 1, 50 + v);
        fixture_begin(f);
        store_read_facts(f->s, 7, STR("os"), on_section, on_done, &o);
        assert_int_equal(fixture_finish(f), 0);
        assert_int_equal(o.n, v);
        assert_int_equal(o.h.taken_at, v);
    }
    o.n = 0;
    fixture_begin(f);
    store_read_facts(f->s, 7, STR_NONE, on_section, on_done, &o);
    assert_int_equal(fixture_finish(f), 0);
    assert_int_equal(o.n, 2);
    forget(f, 7);
    put_head(f, 7, 2, 9); /* an id does not come back, but if it did */
    o.n = 0;
    fixture_begin(f);
    store_read_facts(f->s, 7, STR_NONE, on_section, on_done, &o);
    assert_int_equal(fixture_finish(f), 0);
    assert_int_equal(o.n, 1);
    assert_string_equal(o.message, "v9");
}

static void long_names_of_sections_are_names_too(void **state)
{
    struct fixture *f = *state;
    struct one o = { .f = f };
    char name[600];
    memset(name, 's', sizeof(name));
    for (size_t len = 50; len <= 600; len += 275)
        store_put_facts_delta(
            f->s, &(struct fact_head){ .host_id = 1, .section = str_bytes(name, len), .taken_at = len },
            STR_NONE);
    for (size_t len = 50; len <= 600; len += 275) {
        fixture_begin(f);
        store_read_facts(f->s, 1, str_bytes(name, len), on_section, on_done, &o);
        assert_int_equal(fixture_finish(f), 0);
        assert_int_equal(o.h.taken_at, len);
    }
}

#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_last_word_counts_through_sweeps_and_a_restart),
        T(commits_that_fail_in_between_change_nothing),
        T(a_crash_at_any_commit_leaves_the_last_word),
        T(reads_see_what_is_only_in_the_journal),
        T(long_names_of_sections_are_names_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
