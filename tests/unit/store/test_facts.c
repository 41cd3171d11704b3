/* tests/unit/store/test_facts.c - inventory: current state, folding, history, drift. */
#include "fixture.h"
#include "store/facts.h"

enum { KEYS = 20 };

/* The last of so many deltas of the section these tests use is folded. */
static int fold_at(void)
{
    return (int)facts__fold_at(7, STR("os"));
}

/* A naive copy of one section; values 0: not there. */
struct naive {
    int value[KEYS];
    char keys[KEYS][8], json[KEYS][24];
    struct fact_digest digest;
};

static size_t rows_of(struct naive *s, struct fact_row rows[KEYS])
{
    size_t n = 0;
    for (int i = 0; i < KEYS; i++) {
        if (!s->value[i])
            continue;
        snprintf(s->keys[i], sizeof(s->keys[i]), "k%02d", i);
        snprintf(s->json[i], sizeof(s->json[i]), "{\"v\":%d}", s->value[i]);
        rows[n++] = (struct fact_row){ str_of(s->keys[i]), str_of(s->json[i]) };
    }
    return n;
}

static void body_of(struct naive *s, struct buf *body)
{
    struct fact_row rows[KEYS];
    size_t n = rows_of(s, rows);
    assert_int_equal(body_make(rows, n, body, NULL), 0);
    body_digest(buf_as_str(body), &s->digest);
}

static void put_full(struct fixture *f, uint64_t host, const char *name, struct naive *s, usec_t at)
{
    AUTO(buf_done) struct buf body = BUF(1 << 16);
    body_of(s, &body);
    store_put_facts_full(f->s,
                         &(struct fact_head){ .host_id = host,
                                              .section = str_of(name),
                                              .status = SECTION_OK,
                                              .digest = s->digest,
                                              .received_at = at },
                         buf_as_str(&body), false);
}

/* One key changes or goes. */
static void put_change(struct fixture *f, uint64_t host, const char *name, struct naive *s, int key,
                       int value, usec_t at)
{
    AUTO(buf_done) struct buf delta = BUF(1 << 16), body = BUF(1 << 16);
    char k[16], j[24];
    snprintf(k, sizeof(k), "k%02d", key);
    snprintf(j, sizeof(j), "{\"v\":%d}", value);
    delta_add(&delta, value ? '+' : '-', str_of(k), value ? str_of(j) : STR_NONE);
    s->value[key] = value;
    body_of(s, &body);
    store_put_facts_delta(f->s,
                          &(struct fact_head){ .host_id = host,
                                               .section = str_of(name),
                                               .status = SECTION_OK,
                                               .digest = s->digest,
                                               .received_at = at },
                          buf_as_str(&delta));
}

struct got {
    struct fixture *f;
    struct buf body;
    struct fact_head h;
    char message[32];
    size_t n;
};

static void on_section(void *ctx, const struct fact_head *h, struct str body)
{
    struct got *g = ctx;
    g->n++;
    g->h = *h;
    str_copy(h->message, g->message, sizeof(g->message));
    buf_reset(&g->body);
    assert_int_equal(buf_str(&g->body, body), 0);
    assert_int_equal(h->n_rows, body_count(body));
}

static void on_done(void *ctx, int result)
{
    fixture_done(((struct got *)ctx)->f, result);
}

static void read_now(struct fixture *f, uint64_t host, const char *name, struct got *g)
{
    g->f = f;
    g->n = 0;
    g->body.max = 1 << 20;
    fixture_begin(f);
    store_read_facts(f->s, host, str_of(name), on_section, on_done, g);
    assert_int_equal(fixture_finish(f), 0);
}

static void expect(struct fixture *f, uint64_t host, const char *name, struct naive *s)
{
    AUTO(buf_done) struct buf want = BUF(1 << 16);
    struct got g = { 0 };
    body_of(s, &want);
    read_now(f, host, name, &g);
    assert_int_equal(g.n, 1);
    assert_true(str_eq(buf_as_str(&g.body), buf_as_str(&want)));
    assert_true(fact_digest_eq(&g.h.digest, &s->digest));
    buf_done(&g.body);
}

static void no_drift(void *ctx, uint64_t host_id, struct str section)
{
    (void)ctx;
    fail_msg("drift of %lu %.*s", (unsigned long)host_id, STR_FMT(section));
}

static void current_is_right_at_every_delta_folded_or_not(void **state)
{
    struct fixture *f = *state;
    struct naive s = { .value = { 1, 2, 3 } }, other = { .value = { 9 } };
    store_on_drift(f->s, no_drift, NULL);
    put_full(f, 1, "packages", &s, 1);
    put_full(f, 2, "packages", &other, 1);
    expect(f, 1, "packages", &s);
    srandom(3);
    for (usec_t i = 2; i < 120; i++) { /* folds several times */
        put_change(f, 1, "packages", &s, (int)(random() % KEYS), (int)(random() % 4), i);
        if (random() % 3 == 0)
            expect(f, 1, "packages", &s);
    }
    expect(f, 1, "packages", &s);
    expect(f, 2, "packages", &other);
    fixture_reopen(f);
    expect(f, 1, "packages", &s);
}

static void a_delta_without_a_base_starts_from_nothing(void **state)
{
    struct fixture *f = *state;
    struct naive s = { 0 };
    put_change(f, 1, "users", &s, 3, 7, 1);
    expect(f, 1, "users", &s);
}

static void an_empty_delta_changes_the_head_only(void **state)
{
    struct fixture *f = *state;
    struct naive s = { .value = { 1 } };
    struct got g = { 0 };
    put_full(f, 1, "gpus", &s, 1);
    put_change(f, 1, "gpus", &s, 2, 5, 2);
    store_put_facts_delta(f->s,
                          &(struct fact_head){ .host_id = 1,
                                               .section = STR("gpus"),
                                               .status = SECTION_FAILED,
                                               .message = STR("no driver"),
                                               .digest = s.digest },
                          STR_NONE);
    expect(f, 1, "gpus", &s);
    read_now(f, 1, "gpus", &g);
    assert_int_equal(g.h.status, SECTION_FAILED);
    assert_string_equal(g.message, "no driver");
    buf_done(&g.body);
}

static void all_sections_of_one_host(void **state)
{
    struct fixture *f = *state;
    struct naive s = { .value = { 1 } };
    struct got g = { 0 };
    put_full(f, 1, "os", &s, 1);
    put_full(f, 1, "cpu", &s, 1);
    put_full(f, 2, "cpu", &s, 1);
    read_now(f, 1, NULL, &g);
    assert_int_equal(g.n, 2);
    read_now(f, 1, "memory", &g);
    assert_int_equal(g.n, 0);
    read_now(f, 3, NULL, &g);
    assert_int_equal(g.n, 0);
    buf_done(&g.body);
}

/* -- history */

struct changes {
    struct fixture *f;
    uint64_t last_id;
    size_t n;
    char text[4096];
};

static void on_change(void *ctx, const struct fact_change *c)
{
    struct changes *g = ctx;
    size_t at = strlen(g->text);
    assert_true(g->last_id == 0 || c->id < g->last_id); /* newest first */
    g->last_id = c->id;
    g->n++;
    snprintf(g->text + at, sizeof(g->text) - at, "%lu %.*s %.*s %.*s>%.*s\n", (unsigned long)c->at,
             STR_FMT(c->section), STR_FMT(c->key), STR_FMT(c->before), STR_FMT(c->after));
}

static void on_changes_done(void *ctx, int result)
{
    fixture_done(((struct changes *)ctx)->f, result);
}

static void read_changes(struct fixture *f, uint64_t host, const char *section, uint64_t before,
                         uint32_t limit, struct changes *g)
{
    *g = (struct changes){ .f = f };
    fixture_begin(f);
    store_read_changes(f->s, host, str_of(section), before, limit, on_change, on_changes_done, g);
    assert_int_equal(fixture_finish(f), 0);
}

static void history_tells_what_changed_when(void **state)
{
    struct fixture *f = *state;
    struct naive p = { .value = { 1, 2, 3 } }, u = { .value = { 5 } };
    struct changes g;
    put_full(f, 1, "packages", &p, 10); /* the first report is no change */
    put_full(f, 1, "users", &u, 10);
    put_change(f, 1, "packages", &p, 0, 8, 11);
    put_change(f, 1, "users", &u, 1, 6, 12);
    put_change(f, 1, "packages", &p, 1, 0, 13);
    p.value[2] = 4; /* a full report: the store knows what was there */
    p.value[0] = 0;
    p.value[7] = 7;
    put_full(f, 1, "packages", &p, 14);
    put_full(f, 1, "packages", &p, 15); /* nothing new */
    read_changes(f, 1, NULL, 0, 100, &g);
    assert_string_equal(g.text, "14 packages k07 >{\"v\":7}\n"
                                "14 packages k02 {\"v\":3}>{\"v\":4}\n"
                                "14 packages k00 {\"v\":8}>\n"
                                "13 packages k01 >\n"
                                "12 users k01 >{\"v\":6}\n"
                                "11 packages k00 >{\"v\":8}\n");
    read_changes(f, 1, "users", 0, 100, &g);
    assert_string_equal(g.text, "12 users k01 >{\"v\":6}\n");
    expect(f, 1, "packages", &p);
    read_changes(f, 2, NULL, 0, 100, &g);
    assert_int_equal(g.n, 0);
}

static void pages_of_history_join_without_gap_or_double(void **state)
{
    struct fixture *f = *state;
    struct naive p = { .value = { 1 } }, u = { .value = { 1 } };
    struct changes all, page;
    char joined[4096] = "";
    put_full(f, 1, "packages", &p, 1);
    put_full(f, 1, "users", &u, 1);
    for (int i = 1; i < 10; i++) {
        put_change(f, 1, "packages", &p, i, i, (usec_t)i);
        put_change(f, 1, "users", &u, i, i, (usec_t)i);
    }
    for (int i = 0; i < KEYS; i++)
        p.value[i] = 100 + i;
    put_full(f, 1, "packages", &p, 50); /* twenty changes in one delta: pages end inside it */
    read_changes(f, 1, NULL, 0, 1000, &all);
    assert_int_equal(all.n, 38);
    for (uint64_t before = 0;;) {
        read_changes(f, 1, NULL, before, 3, &page);
        if (page.n == 0)
            break;
        size_t at = strlen(joined);
        snprintf(joined + at, sizeof(joined) - at, "%s", page.text);
        before = page.last_id;
    }
    assert_string_equal(joined, all.text);
}

static void no_history_keeps_only_what_is_current(void **state)
{
    struct fixture *f = *state;
    struct naive s = { .value = { 1 } };
    struct changes g;
    put_full(f, 1, "connections", &s, 1);
    AUTO(buf_done) struct buf body = BUF(1 << 16);
    s.value[5] = 5;
    body_of(&s, &body);
    store_put_facts_full(
        f->s, &(struct fact_head){ .host_id = 1, .section = STR("connections"), .digest = s.digest },
        buf_as_str(&body), true);
    expect(f, 1, "connections", &s);
    read_changes(f, 1, NULL, 0, 100, &g);
    assert_int_equal(g.n, 0);
}

static void forgetting_a_host_forgets_its_inventory(void **state)
{
    struct fixture *f = *state;
    struct naive s = { .value = { 1 } }, other = { .value = { 2 } };
    struct got g = { 0 };
    struct changes c;
    put_full(f, 1, "os", &s, 1);
    put_full(f, 2, "os", &other, 1);
    for (int i = 0; i < 40; i++)
        put_change(f, 1, "os", &s, i % KEYS, i + 1, 2);
    put_change(f, 2, "os", &other, 4, 4, 2);
    store_del_host(f->s, 1);
    read_now(f, 1, NULL, &g);
    assert_int_equal(g.n, 0);
    read_changes(f, 1, NULL, 0, 100, &c);
    assert_int_equal(c.n, 0);
    expect(f, 2, "os", &other);
    read_changes(f, 2, NULL, 0, 100, &c);
    assert_int_equal(c.n, 1);
    buf_done(&g.body);
}

/* -- drift */

struct drifted {
    int n;
    uint64_t host_id;
    char section[32];
};

static void on_drift(void *ctx, uint64_t host_id, struct str section)
{
    struct drifted *d = ctx;
    d->n++;
    d->host_id = host_id;
    str_copy(section, d->section, sizeof(d->section));
}

static void check_head(void *ctx, const struct fact_head *h)
{
    struct naive *s = ctx;
    assert_int_equal(h->host_id, 7);
    assert_true(fact_digest_eq(&h->digest, &s->digest));
    assert_int_equal(h->n_rows, 2);
}

static void a_digest_that_does_not_add_up_is_told_when_folded(void **state)
{
    struct fixture *f = *state;
    struct naive s = { .value = { 1 } };
    struct drifted d = { 0 };
    store_on_drift(f->s, on_drift, &d);
    put_full(f, 7, "os", &s, 1);
    for (int i = 0; i < fold_at() - 1; i++)
        put_change(f, 7, "os", &s, 1, i + 1, 2);
    /* The one that is folded says a digest that is not true. */
    struct fact_digest lie = { { 1, 2, 3 } };
    AUTO(buf_done) struct buf delta = BUF(100);
    delta_add(&delta, '+', STR("k01"), STR("{\"v\":99}"));
    s.value[1] = 99;
    store_put_facts_delta(f->s, &(struct fact_head){ .host_id = 7, .section = STR("os"), .digest = lie },
                          buf_as_str(&delta));
    fixture_commit(f);
    store_poll(f->s);
    assert_int_equal(d.n, 1);
    assert_int_equal(d.host_id, 7);
    assert_string_equal(d.section, "os");
    AUTO(buf_done) struct buf body = BUF(1 << 16);
    body_of(&s, &body);
    expect(f, 7, "os", &s); /* the recorded digest is the true one */
    fixture_reopen(f);
    assert_int_equal(store_load_fact_heads(f->s, check_head, &s, NULL), 0);
}

static void a_delta_that_cannot_be_read_is_drift_and_not_the_end(void **state)
{
    struct fixture *f = *state;
    struct naive s = { .value = { 1 } };
    struct drifted d = { 0 };
    store_on_drift(f->s, on_drift, &d);
    put_full(f, 7, "os", &s, 1);
    store_put_facts_delta(
        f->s, &(struct fact_head){ .host_id = 7, .section = STR("os"), .digest = { { 4 } } }, STR("rubbish"));
    struct got g = { 0 };
    read_now(f, 7, "os", &g);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.h.n_rows, 1); /* the last good base */
    buf_done(&g.body);
    for (int i = 0; i < fold_at() - 1; i++)
        put_change(f, 7, "os", &s, 1, i + 1, 2);
    fixture_commit(f);
    store_poll(f->s);
    assert_int_equal(d.n, 1);
    assert_int_equal(store_health(f->s, NULL), 0);
    put_full(f, 7, "os", &s, 3);
    expect(f, 7, "os", &s);
}

static void a_large_delta_is_folded_at_once(void **state)
{
    struct fixture *f = *state;
    struct drifted d = { 0 };
    AUTO(buf_done) struct buf delta = BUF(1 << 20);
    char key[16], *big = xmalloc(8000);
    memset(big, 'j', 8000);
    store_on_drift(f->s, on_drift, &d);
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "%d", i);
        assert_int_equal(delta_add(&delta, '+', str_of(key), str_bytes(big, 8000)), 0);
    }
    store_put_facts_delta(f->s, &(struct fact_head){ .host_id = 7, .section = STR("os") },
                          buf_as_str(&delta));
    fixture_commit(f);
    store_poll(f->s);
    assert_int_equal(d.n, 1); /* its digest was zero: only folding could know */
    free(big);
}

/* -- deltas of somebody who keeps no digest */

/* One key changes or goes; the digest that comes along means nothing. */
static void put_blind(struct fixture *f, struct naive *s, int key, int value, usec_t at)
{
    AUTO(buf_done) struct buf delta = BUF(1 << 16);
    char k[16], j[24];
    snprintf(k, sizeof(k), "k%02d", key);
    snprintf(j, sizeof(j), "{\"v\":%d}", value);
    delta_add(&delta, value ? '+' : '-', str_of(k), value ? str_of(j) : STR_NONE);
    s->value[key] = value;
    store_put_facts_blind(f->s,
                          &(struct fact_head){ .host_id = 7,
                                               .section = STR("os"),
                                               .status = SECTION_OK,
                                               .digest = { { 0xee } },
                                               .received_at = at },
                          buf_as_str(&delta));
}

static void expect_rows(struct fixture *f, struct naive *s, struct got *g)
{
    AUTO(buf_done) struct buf want = BUF(1 << 16);
    body_of(s, &want);
    read_now(f, 7, "os", g);
    assert_int_equal(g->n, 1);
    assert_true(str_eq(buf_as_str(&g->body), buf_as_str(&want)));
}

static void blind_deltas_fold_to_a_true_digest_without_drift(void **state)
{
    struct fixture *f = *state;
    struct naive s = { .value = { 1, 2, 3 } };
    struct got g = { 0 };
    store_on_drift(f->s, no_drift, NULL);
    put_full(f, 7, "os", &s, 1);
    const struct fact_digest first = s.digest;
    srandom(9);
    for (usec_t i = 1; i < (usec_t)fold_at(); i++) {
        put_blind(f, &s, (int)(random() % KEYS), (int)(random() % 4), i + 1);
        expect_rows(f, &s, &g);
        assert_int_equal(g.h.received_at, i + 1);
        assert_true(fact_digest_eq(&g.h.digest, &first)); /* not known yet */
    }
    put_blind(f, &s, 0, 77, 40); /* the last */
    expect_rows(f, &s, &g);
    assert_true(fact_digest_eq(&g.h.digest, &s.digest));
    fixture_commit(f);
    store_poll(f->s);
    buf_done(&g.body);
}

static void that_a_section_is_blind_is_known_after_a_crash(void **state)
{
    struct fixture *f = *state;
    struct naive s = { .value = { 1, 2, 3 } };
    struct got g = { 0 };
    put_full(f, 7, "os", &s, 1);
    put_blind(f, &s, 4, 9, 2);
    fixture_commit(f);
    struct fixture *after = fixture_crashed(f); /* through the journal and the table */
    store_on_drift(after->s, no_drift, NULL);
    fixture_begin(after);
    store_retain(after->s, &(struct retention){ .keep = 1 }, 1000, fixture_done, after); /* folds what it takes away */
    assert_int_equal(fixture_finish(after), 0);
    store_poll(after->s);
    expect_rows(after, &s, &g);
    assert_true(fact_digest_eq(&g.h.digest, &s.digest));
    fixture_free(after);
    buf_done(&g.body);
}

static void a_blind_delta_without_a_base_starts_from_nothing(void **state)
{
    struct fixture *f = *state;
    struct naive s = { 0 };
    struct got g = { 0 };
    store_on_drift(f->s, no_drift, NULL);
    put_blind(f, &s, 3, 1, 1);
    expect_rows(f, &s, &g);
    for (int i = 0; i < fold_at() - 1; i++)
        put_blind(f, &s, 4, i + 1, 2);
    expect_rows(f, &s, &g);
    assert_true(fact_digest_eq(&g.h.digest, &s.digest));
    buf_done(&g.body);
}

static void an_empty_blind_delta_changes_the_head_but_not_its_digest(void **state)
{
    struct fixture *f = *state;
    struct naive s = { .value = { 1 } };
    struct got g = { 0 };
    put_full(f, 7, "os", &s, 1);
    store_put_facts_blind(f->s,
                          &(struct fact_head){ .host_id = 7,
                                               .section = STR("os"),
                                               .status = SECTION_FAILED,
                                               .message = STR("no tool"),
                                               .taken_at = 9 },
                          STR_NONE);
    expect_rows(f, &s, &g);
    assert_string_equal(g.message, "no tool");
    assert_int_equal(g.h.taken_at, 9);
    assert_true(fact_digest_eq(&g.h.digest, &s.digest));
    buf_done(&g.body);
}

static void a_promise_after_blind_deltas_is_held_to(void **state)
{
    struct fixture *f = *state;
    struct naive s = { .value = { 1 } };
    struct got g = { 0 };
    struct drifted d = { 0 };
    store_on_drift(f->s, on_drift, &d);
    put_full(f, 7, "os", &s, 1);
    put_blind(f, &s, 2, 5, 2);
    for (int i = 0; i < fold_at() - 1; i++)
        put_change(f, 7, "os", &s, 1, i + 1, 3); /* true ones */
    expect(f, 7, "os", &s);
    assert_int_equal(d.n, 0);
    put_blind(f, &s, 2, 6, 4);
    for (int i = 0; i < fold_at() - 2; i++)
        put_change(f, 7, "os", &s, 1, i + 2, 5);
    AUTO(buf_done) struct buf delta = BUF(100);
    delta_add(&delta, '+', STR("k01"), STR("{\"v\":99}"));
    store_put_facts_delta(f->s, &(struct fact_head){ .host_id = 7, .section = STR("os"), .digest = { { 1 } } },
                          buf_as_str(&delta)); /* a lie */
    fixture_commit(f);
    store_poll(f->s);
    assert_int_equal(d.n, 1);
    put_full(f, 7, "os", &s, 9); /* and a report in full is as ever */
    expect(f, 7, "os", &s);
    buf_done(&g.body);
}

static void blind_deltas_are_history_too(void **state)
{
    struct fixture *f = *state;
    struct naive s = { .value = { 1 } };
    put_full(f, 7, "os", &s, 1);
    put_blind(f, &s, 3, 8, 2);
    struct changes g;
    read_changes(f, 7, "os", 0, 10, &g);
    assert_string_equal(g.text, "2 os k03 >{\"v\":8}\n");
}

/* Five hundred hosts in step must not be folded in one commit. */
static void sections_fold_at_numbers_of_their_own(void **state)
{
    (void)state;
    static const char *const sections[] = { "connections", "neighbours" };
    for (size_t s = 0; s < 2; s++) {
        size_t at[33] = { 0 };
        for (uint64_t host = 1; host <= 500; host++) {
            uint32_t n = facts__fold_at(host, str_of(sections[s]));
            assert_true(n >= 17 && n <= 32);
            assert_int_equal(n, facts__fold_at(host, str_of(sections[s])));
            at[n]++;
        }
        for (size_t n = 17; n <= 32; n++)
            assert_true(at[n] >= 15 && at[n] <= 60);
    }
}

/* -- moving */

/* Rows, digest, state and history go along, folded or not, through a crash; the next delta fits; forgetting the old host takes nothing. */
static void a_moved_section_is_what_it_was(void **state)
{
    struct fixture *f = *state, *after;
    struct naive s = { .value = { 1, 2, 3 } }, os = { .value = { 4 } }, gone = { .value = { 6 } };
    struct changes was, is;
    store_on_drift(f->s, no_drift, NULL);
    put_full(f, 7, "routes", &s, 1);
    put_full(f, 8, "os", &os, 1);
    put_full(f, 8, "reported_routes", &gone, 1); /* goes, with its history */
    gone.value[5] = 5;
    put_full(f, 8, "reported_routes", &gone, 2);
    srandom(5);
    for (usec_t i = 2; i < 40; i++) /* some folded, some open */
        put_change(f, 7, "routes", &s, (int)(random() % KEYS), (int)(random() % 4), i);
    read_changes(f, 7, NULL, 0, 100, &was);
    store_move_facts(f->s, 7, STR("routes"), 8, STR("reported_routes"));
    store_del_host(f->s, 7);
    for (int round = 0; round < 2; round++) {
        expect(f, 8, "reported_routes", &s);
        expect(f, 8, "os", &os);
        read_changes(f, 8, "reported_routes", 0, 100, &is);
        assert_int_equal(is.n, was.n);
        assert_int_equal(is.last_id, was.last_id);
        read_changes(f, 7, NULL, 0, 100, &is);
        assert_int_equal(is.n, 0);
        if (round == 0)
            fixture_reopen(f);
    }
    store_on_drift(f->s, no_drift, NULL);
    for (usec_t i = 40; i < 70; i++)
        put_change(f, 8, "reported_routes", &s, (int)(random() % KEYS), (int)(random() % 4), i);
    fixture_commit(f);
    after = fixture_crashed(f);
    store_on_drift(after->s, no_drift, NULL);
    expect(after, 8, "reported_routes", &s);
    /* Retention folds by the names the deltas have now. */
    fixture_begin(after);
    store_retain(after->s, &(struct retention){ .keep = 1 }, 1000, fixture_done, after);
    assert_int_equal(fixture_finish(after), 0);
    store_poll(after->s);
    expect(after, 8, "reported_routes", &s);
    fixture_free(after);
}

/* Moved and killed at once: nothing of it has been filed in its table yet. */
static void a_section_moved_just_before_a_crash_is_moved(void **state)
{
    struct fixture *f = *state, *after;
    struct naive s = { .value = { 1, 2, 3 } };
    struct got g = { 0 };
    put_full(f, 7, "os", &s, 1);
    put_blind(f, &s, 4, 9, 2);
    fixture_commit(f);
    store_move_facts(f->s, 7, STR("os"), 8, STR("os"));
    store_del_host(f->s, 7);
    fixture_commit(f);
    after = fixture_crashed(f);
    store_on_drift(after->s, no_drift, NULL);
    read_now(after, 7, "os", &g);
    assert_int_equal(g.n, 0);
    read_now(after, 8, "os", &g);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.h.n_rows, 4);
    assert_int_equal(g.h.received_at, 2);
    buf_done(&g.body);
    fixture_free(after);
}

#define T(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(current_is_right_at_every_delta_folded_or_not),
        T(a_delta_without_a_base_starts_from_nothing),
        T(an_empty_delta_changes_the_head_only),
        T(all_sections_of_one_host),
        T(history_tells_what_changed_when),
        T(pages_of_history_join_without_gap_or_double),
        T(no_history_keeps_only_what_is_current),
        T(forgetting_a_host_forgets_its_inventory),
        T(a_digest_that_does_not_add_up_is_told_when_folded),
        T(a_delta_that_cannot_be_read_is_drift_and_not_the_end),
        T(a_large_delta_is_folded_at_once),
        T(blind_deltas_fold_to_a_true_digest_without_drift),
        T(that_a_section_is_blind_is_known_after_a_crash),
        T(a_blind_delta_without_a_base_starts_from_nothing),
        T(an_empty_blind_delta_changes_the_head_but_not_its_digest),
        T(a_promise_after_blind_deltas_is_held_to),
        T(blind_deltas_are_history_too),
        T(a_moved_section_is_what_it_was),
        T(a_section_moved_just_before_a_crash_is_moved),
        T(sections_fold_at_numbers_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
