/* tests/unit/fleet/test_inventory.c - the promises of fleet/inventory.h, against a naive copy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "fleet/inventory.h"

/* The naive copy: a value or none for each of KEYS keys. */
enum { KEYS = 60 };
struct model {
    int value[KEYS]; /* 0: not there */
    char keys[KEYS][16], json[KEYS][32];
    struct fact_row rows[KEYS];
};

static size_t model_rows(struct model *m)
{
    size_t n = 0;
    for (int i = KEYS - 1; i >= 0; i--) { /* not sorted: body_make sorts */
        if (!m->value[i])
            continue;
        snprintf(m->keys[i], sizeof(m->keys[i]), "k%.*s%d", i % 5, "xxxxx", i);
        snprintf(m->json[i], sizeof(m->json[i]), "{\"v\":%d}", m->value[i]);
        m->rows[n++] = (struct fact_row){ str_of(m->keys[i]), str_of(m->json[i]) };
    }
    return n;
}

static void model_body(struct model *m, struct buf *body)
{
    size_t n = model_rows(m);
    assert_int_equal(body_make(m->rows, n, body, NULL), 0);
    assert_int_equal(body_check(buf_as_str(body)), 0);
    assert_int_equal(body_count(buf_as_str(body)), n);
}

static void change(struct model *m)
{
    for (long n = random() % 12; n > 0; n--) {
        int i = (int)(random() % KEYS);
        m->value[i] = random() % 3 ? (int)(1 + random() % 1000) : 0;
    }
}

struct collect {
    struct section_delta d;
    struct fact_row rows[KEYS];
    struct str removed[KEYS];
    struct fact_digest digest;
    struct str last;
};

/* Makes a delta from a diff, and the digest as the agent does: one subtraction and one addition a change. */
static void on_diff(void *ctx, struct str key, struct str before, struct str after)
{
    struct collect *c = ctx;
    struct fact_digest h;
    assert_true(!c->last.ptr || str_cmp(c->last, key) < 0);
    c->last = key;
    assert_true(before.ptr || after.ptr);
    if (before.ptr) {
        fact_row_hash(&(struct fact_row){ key, before }, &h);
        fact_digest_sub(&c->digest, &h);
    }
    if (after.ptr) {
        fact_row_hash(&(struct fact_row){ key, after }, &h);
        fact_digest_add(&c->digest, &h);
        c->rows[c->d.n_rows++] = (struct fact_row){ key, after };
    } else {
        c->removed[c->d.n_removed++] = key;
    }
}

static void random_changes_round_trip_through_diff_delta_and_apply(void **state)
{
    (void)state;
    struct model *m = xnew0(struct model);
    AUTO(buf_done) struct buf old = BUF(1 << 20);
    srandom(42);
    model_body(m, &old);
    for (int round = 0; round < 2000; round++) {
        AUTO(buf_done) struct buf new = BUF(1 << 20), delta = BUF(1 << 20), sum = BUF(1 << 20);
        struct collect c = { 0 };
        struct fact_digest scratch;
        change(m);
        model_body(m, &new);
        body_digest(buf_as_str(&old), &c.digest);
        body_diff(buf_as_str(&old), buf_as_str(&new), on_diff, &c);
        body_digest(buf_as_str(&new), &scratch);
        assert_true(fact_digest_eq(&c.digest, &scratch)); /* incremental == from scratch */
        c.d.rows = c.rows;
        c.d.removed = c.removed;
        assert_int_equal(delta_encode(&c.d, &delta), 0);
        assert_int_equal(body_apply(buf_as_str(&old), buf_as_str(&delta), &sum), 0);
        assert_true(str_eq(buf_as_str(&sum), buf_as_str(&new)));
        buf_reset(&old);
        assert_int_equal(buf_str(&old, buf_as_str(&new)), 0);
    }
    free(m);
}

static void many_deltas_at_once_are_the_same_as_one_by_one(void **state)
{
    (void)state;
    struct model *m = xnew0(struct model);
    srandom(7);
    for (int round = 0; round < 100; round++) {
        AUTO(buf_done) struct buf base = BUF(1 << 20), at = BUF(1 << 20), sum = BUF(1 << 20);
        struct buf deltas[32];
        struct str list[32];
        size_t n = (size_t)(random() % 33);
        change(m);
        model_body(m, &base);
        assert_int_equal(buf_str(&at, buf_as_str(&base)), 0);
        for (size_t i = 0; i < n; i++) {
            AUTO(buf_done) struct buf next = BUF(1 << 20);
            struct collect c = { 0 };
            deltas[i] = BUF(1 << 20);
            change(m);
            model_body(m, &next);
            body_diff(buf_as_str(&at), buf_as_str(&next), on_diff, &c);
            c.d.rows = c.rows;
            c.d.removed = c.removed;
            assert_int_equal(delta_encode(&c.d, &deltas[i]), 0);
            list[i] = buf_as_str(&deltas[i]);
            buf_reset(&at);
            assert_int_equal(buf_str(&at, buf_as_str(&next)), 0);
        }
        assert_int_equal(body_apply_all(buf_as_str(&base), list, n, &sum), 0);
        assert_true(str_eq(buf_as_str(&sum), buf_as_str(&at)));
        for (size_t i = 0; i < n; i++)
            buf_done(&deltas[i]);
    }
    free(m);
}

static void the_empty_section_is_all_zero_and_order_does_not_matter(void **state)
{
    (void)state;
    struct fact_digest zero = { 0 }, d, e = { 0 }, h1, h2;
    struct fact_row r1 = { STR("a"), STR("{}") }, r2 = { STR("b"), STR("{\"x\":1}") };
    body_digest(STR_NONE, &d);
    assert_true(fact_digest_eq(&d, &zero));
    fact_row_hash(&r1, &h1);
    fact_row_hash(&r2, &h2);
    d = zero;
    fact_digest_add(&d, &h1);
    fact_digest_add(&d, &h2);
    fact_digest_add(&e, &h2);
    fact_digest_add(&e, &h1);
    assert_true(fact_digest_eq(&d, &e));
    fact_digest_sub(&d, &h1);
    fact_digest_sub(&d, &h2);
    assert_true(fact_digest_eq(&d, &zero));
    fact_digest_sub(&d, &h1); /* below zero wraps, and comes back */
    fact_digest_add(&d, &h1);
    assert_true(fact_digest_eq(&d, &zero));
}

static void the_row_hash_is_as_written_down(void **state)
{
    (void)state;
    static const char text[] = "muster.row\0key\0{\"a\":1}";
    struct fact_digest want, got;
    sha256(str_bytes(text, sizeof(text) - 1), want.b);
    fact_row_hash(&(struct fact_row){ STR("key"), STR("{\"a\":1}") }, &got);
    assert_true(fact_digest_eq(&want, &got));
    char *large = xmalloc(8000); /* takes the other way through the function */
    memset(large, 'x', 8000);
    AUTO(buf_done) struct buf b = BUF(9000);
    buf_append(&b, "muster.row\0k", 13);
    buf_append(&b, large, 8000);
    b.ptr[12] = 0;
    sha256(buf_as_str(&b), want.b);
    fact_row_hash(&(struct fact_row){ STR("k"), str_bytes(large, 8000) }, &got);
    assert_true(fact_digest_eq(&want, &got));
    free(large);
}

static void carries_run_through_all_256_bits(void **state)
{
    (void)state;
    struct fact_digest ones, one = { { 1 } }, zero = { 0 };
    memset(ones.b, 0xff, sizeof(ones.b));
    fact_digest_add(&ones, &one);
    assert_true(fact_digest_eq(&ones, &zero));
    fact_digest_sub(&ones, &one);
    for (int i = 0; i < 32; i++)
        assert_int_equal(ones.b[i], 0xff);
}

static void a_doubled_key_is_refused_and_leaves_the_body(void **state)
{
    (void)state;
    struct fact_row rows[] = { { STR("b"), STR("1") }, { STR("a"), STR("2") }, { STR("b"), STR("3") } };
    AUTO(buf_done) struct buf body = BUF(1000);
    struct err err;
    buf_cstr(&body, "x");
    assert_int_equal(body_make(rows, 3, &body, &err), -EINVAL);
    assert_string_equal(err.slug, "field.duplicate");
    assert_int_equal(body.len, 1);
    assert_int_equal(body_make(rows, 2, &body, &err), 0);
}

static void rows_have_limits_one_under_exact_one_over(void **state)
{
    (void)state;
    char *big = xmalloc(LIMIT_ROW_BYTES + 1);
    memset(big, 'j', LIMIT_ROW_BYTES + 1);
    AUTO(buf_done) struct buf body = BUF(1 << 20);
    struct err err;
    struct fact_row row = { STR("k"), str_bytes(big, LIMIT_ROW_BYTES - 1) };
    assert_int_equal(body_make(&row, 1, &body, &err), 0);
    assert_int_equal(body_check(buf_as_str(&body)), 0);
    row.json.len++;
    assert_int_equal(body_make(&row, 1, &body, &err), -ENOBUFS);
    row = (struct fact_row){ STR(""), STR("1") };
    assert_int_equal(body_make(&row, 1, &body, &err), -ENOBUFS);
    assert_int_equal(delta_add(&body, '+', STR(""), STR("1")), -ENOBUFS);
    free(big);

    struct fact_row *rows = xcalloc(LIMIT_SECTION_ROWS + 1, sizeof(*rows));
    char(*keys)[8] = xcalloc(LIMIT_SECTION_ROWS + 1, 8);
    for (int i = 0; i <= LIMIT_SECTION_ROWS; i++) {
        snprintf(keys[i], 8, "%07d", i);
        rows[i] = (struct fact_row){ str_of(keys[i]), STR("1") };
    }
    buf_reset(&body);
    assert_int_equal(body_make(rows, LIMIT_SECTION_ROWS, &body, &err), 0);
    assert_int_equal(body_count(buf_as_str(&body)), LIMIT_SECTION_ROWS);
    AUTO(buf_done) struct buf more = BUF(1 << 20), out = BUF(1 << 20);
    assert_int_equal(delta_add(&more, '+', STR("zzz"), STR("1")), 0);
    assert_int_equal(body_apply(buf_as_str(&body), buf_as_str(&more), &out), -ENOBUFS);
    assert_int_equal(out.len, 0);
    buf_reset(&body);
    assert_int_equal(body_make(rows, LIMIT_SECTION_ROWS + 1, &body, &err), -ENOBUFS);
    assert_int_equal(body.len, 0);
    free(rows);
    free(keys);
}

static void a_body_cut_anywhere_is_noticed_or_shorter(void **state)
{
    (void)state;
    struct fact_row rows[] = { { STR("a"), STR("{\"x\":1}") },
                               { STR("bb"), STR("{}") },
                               { STR("c"), STR("") } };
    AUTO(buf_done) struct buf body = BUF(1000);
    assert_int_equal(body_make(rows, 3, &body, NULL), 0);
    int n_good = 0;
    for (size_t n = 0; n <= body.len; n++) {
        int r = body_check(str_bytes(body.ptr, n));
        assert_true(r == 0 || r == -EBADMSG);
        n_good += r == 0;
    }
    assert_int_equal(n_good, 4); /* before the first row and after each */
    body.ptr[8] = 'z';           /* no longer sorted */
    assert_int_equal(body_check(buf_as_str(&body)), -EBADMSG);
}

static void a_delta_cut_anywhere_changes_nothing(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf delta = BUF(1000), out = BUF(1000);
    struct fact_row row = { STR("key"), STR("{\"x\":1}") };
    struct str gone = STR("gone");
    struct section_delta d = { .rows = &row, .n_rows = 1, .removed = &gone, .n_removed = 1 };
    assert_int_equal(delta_encode(&d, &delta), 0);
    int n_good = 0;
    for (size_t n = 0; n <= delta.len; n++) {
        out.len = 0;
        int r = body_apply(STR_NONE, str_bytes(delta.ptr, n), &out);
        assert_true(r == 0 || (r == -EBADMSG && out.len == 0));
        n_good += r == 0;
    }
    assert_int_equal(n_good, 3);
    delta.ptr[0] = '*';
    assert_int_equal(body_apply(STR_NONE, buf_as_str(&delta), &out), -EBADMSG);
}

static void the_later_word_on_a_key_wins_and_removing_nothing_is_no_error(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf delta = BUF(1000), out = BUF(1000);
    struct fact_row row;
    size_t pos = 0;
    delta_add(&delta, '+', STR("a"), STR("1"));
    delta_add(&delta, '-', STR("nothing"), STR_NONE);
    delta_add(&delta, '-', STR("a"), STR("what was there"));
    delta_add(&delta, '+', STR("a"), STR("2"));
    assert_int_equal(body_apply(STR_NONE, buf_as_str(&delta), &out), 0);
    assert_int_equal(body_next(buf_as_str(&out), &pos, &row), 1);
    assert_true(str_is(row.json, "2"));
    assert_int_equal(body_next(buf_as_str(&out), &pos, &row), 0);
}

static void verdicts(void **state)
{
    (void)state;
    struct fact_digest recorded = { { 1 } }, other = { { 2 } };
    struct fact_row row = { STR("k"), STR("{}") };
    struct section_delta d = { .base = recorded, .digest = other };
    assert_int_equal(delta_judge(&d, true, &recorded), DELTA_TAKE);
    assert_int_equal(delta_judge(&d, true, &other), DELTA_TAKE_SAME); /* a repeat */
    assert_int_equal(delta_judge(&d, true, &(struct fact_digest){ { 9 } }), DELTA_RESYNC);
    assert_int_equal(delta_judge(&d, false, &recorded), DELTA_RESYNC);
    struct section_delta full = { .full = true, .rows = &row, .n_rows = 1 };
    assert_int_equal(delta_judge(&full, false, NULL), DELTA_RESYNC);
    fact_row_hash(&row, &full.digest);
    assert_true(delta_digest_is_right(&full));
    assert_int_equal(delta_judge(&full, false, NULL), DELTA_TAKE);
    assert_int_equal(delta_judge(&full, true, &other), DELTA_TAKE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_round_trip_through_diff_delta_and_apply),
        cmocka_unit_test(many_deltas_at_once_are_the_same_as_one_by_one),
        cmocka_unit_test(the_empty_section_is_all_zero_and_order_does_not_matter),
        cmocka_unit_test(the_row_hash_is_as_written_down),
        cmocka_unit_test(carries_run_through_all_256_bits),
        cmocka_unit_test(a_doubled_key_is_refused_and_leaves_the_body),
        cmocka_unit_test(rows_have_limits_one_under_exact_one_over),
        cmocka_unit_test(a_body_cut_anywhere_is_noticed_or_shorter),
        cmocka_unit_test(a_delta_cut_anywhere_changes_nothing),
        cmocka_unit_test(the_later_word_on_a_key_wins_and_removing_nothing_is_no_error),
        cmocka_unit_test(verdicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
