/* tests/unit/store/test_trails.c - what happened: appended, read in pages, repeats dropped, gone with its parent or by age. */
#include "fixture.h"

#include <sqlite3.h> /* the tests of this floor may look behind the curtain */

#include "base/limits.h"

struct step {
    struct str text, token;
    uint64_t n;
};
static const struct field step_fields[] = {
    F_STR(struct step, text, "text", LIMIT_OBJECT_BYTES),
    F_STR(struct step, token, "token", 64, .flags = FIELD_SECRET),
    F_U64(struct step, n, "n"),
};
static const struct record step_record = RECORD(step, step_fields);

static void put_key(struct fixture *f, uint64_t id, enum trail_kind kind, uint64_t parent, const char *key)
{
    struct step st = { .text = STR("t\xc3\xa4xt"), .token = STR("hush"), .n = id * 10 };
    store_put_trail(f->s,
                    &(struct trail_row){
                        .id = id, .kind = kind, .parent = parent, .at = id * 100, .key = str_of(key) },
                    &step_record, &st);
}

static void put(struct fixture *f, uint64_t id, enum trail_kind kind, uint64_t parent)
{
    put_key(f, id, kind, parent, "");
}

/* -- reading */

struct page {
    struct fixture *f;
    uint64_t ids[2000];
    size_t n;
    char key[64];
    uint64_t count;
};

static void on_row(void *ctx, const struct trail_row *t, const void *obj)
{
    struct page *p = ctx;
    const struct step *st = obj;
    assert_int_equal(st->n, t->id * 10);
    assert_int_equal(t->at, t->id * 100);
    assert_str(st->text, "t\xc3\xa4xt");
    assert_int_equal(st->token.len, 0);
    p->ids[p->n++] = t->id;
    str_copy(t->key, p->key, sizeof(p->key));
}

static void on_done(void *ctx, int result)
{
    fixture_done(((struct page *)ctx)->f, result);
}

static void read_page(struct fixture *f, enum trail_kind kind, uint64_t parent, uint64_t after, uint32_t skip,
                      uint32_t limit, struct page *p)
{
    *p = (struct page){ .f = f };
    fixture_begin(f);
    store_read_trail(f->s, kind, parent, after, skip, limit, &step_record, on_row, on_done, p);
    assert_int_equal(fixture_finish(f), 0);
}

static void on_count(void *ctx, uint64_t n)
{
    struct page *p = ctx;
    p->count = n;
    p->n++;
}

static uint64_t count(struct fixture *f, enum trail_kind kind, uint64_t parent)
{
    struct page p = { .f = f };
    fixture_begin(f);
    store_read_trail_count(f->s, kind, parent, on_count, on_done, &p);
    assert_int_equal(fixture_finish(f), 0);
    assert_int_equal(p.n, 1);
    return p.count;
}

static int64_t number(struct fixture *f, const char *sql)
{
    sqlite3 *h;
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_open_v2(f->path, &h, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(h);
    return n;
}

static void a_row_survives_a_restart_and_is_found_under_its_parent(void **state)
{
    struct fixture *f = *state;
    struct page p;
    put_key(f, 2, TRAIL_CHECKIN, 7, "k-2");
    put(f, 3, TRAIL_CHECKIN, 8);
    put(f, 4, TRAIL_RUN_LOG, 7);
    fixture_reopen(f);
    read_page(f, TRAIL_CHECKIN, 7, 0, 0, 10, &p);
    assert_int_equal(p.n, 1);
    assert_int_equal(p.ids[0], 2);
    assert_string_equal(p.key, "k-2");
    read_page(f, TRAIL_CHECKIN, 9, 0, 0, 10, &p);
    assert_int_equal(p.n, 0);
    assert_int_equal(number(f, "SELECT count(*) FROM trail WHERE CAST(body AS TEXT) LIKE '%hush%'"), 0);
}

static void pages_newest_first_with_skip_and_ascending_from_behind_an_id(void **state)
{
    struct fixture *f = *state;
    struct page p;
    for (uint64_t id = 2; id <= 101; id++) /* odd ones belong to 1 */
        put(f, id, TRAIL_RUN_EVENT, id % 2);
    fixture_commit(f);
    read_page(f, TRAIL_RUN_EVENT, 1, 0, 0, 3, &p);
    assert_int_equal(p.n, 3);
    assert_int_equal(p.ids[0], 101);
    assert_int_equal(p.ids[2], 97);
    read_page(f, TRAIL_RUN_EVENT, 1, 0, 3, 3, &p);
    assert_int_equal(p.ids[0], 95);
    read_page(f, TRAIL_RUN_EVENT, 1, 0, 48, 3, &p); /* the last two */
    assert_int_equal(p.n, 2);
    assert_int_equal(p.ids[1], 3);
    read_page(f, TRAIL_RUN_EVENT, 1, 0, 50, 3, &p);
    assert_int_equal(p.n, 0);
    read_page(f, TRAIL_RUN_EVENT, 1, 1, 0, 2, &p); /* 1: from the start */
    assert_int_equal(p.n, 2);
    assert_int_equal(p.ids[0], 3);
    assert_int_equal(p.ids[1], 5);
    read_page(f, TRAIL_RUN_EVENT, 1, 5, 0, 100, &p);
    assert_int_equal(p.n, 48);
    assert_int_equal(p.ids[0], 7);
    assert_int_equal(p.ids[47], 101);
    read_page(f, TRAIL_RUN_EVENT, 1, 101, 0, 100, &p);
    assert_int_equal(p.n, 0);
    assert_int_equal(count(f, TRAIL_RUN_EVENT, 1), 50);
    assert_int_equal(count(f, TRAIL_RUN_EVENT, 5), 0);
}

static void a_repeated_key_is_dropped_within_its_kind_only(void **state)
{
    struct fixture *f = *state;
    struct page p;
    put_key(f, 2, TRAIL_RUN_EVENT, 1, "once");
    put_key(f, 3, TRAIL_RUN_EVENT, 1, "once"); /* in the same unit */
    fixture_commit(f);
    put_key(f, 4, TRAIL_RUN_EVENT, 2, "once"); /* of another parent, later */
    put_key(f, 5, TRAIL_RUN_LOG, 1, "once");
    put(f, 6, TRAIL_RUN_EVENT, 1); /* no key: never a repeat */
    put(f, 7, TRAIL_RUN_EVENT, 1);
    fixture_commit(f);
    read_page(f, TRAIL_RUN_EVENT, 1, 1, 0, 10, &p);
    assert_int_equal(p.n, 3);
    assert_int_equal(p.ids[0], 2);
    assert_int_equal(p.ids[1], 6);
    assert_int_equal(count(f, TRAIL_RUN_EVENT, 2), 0);
    assert_int_equal(count(f, TRAIL_RUN_LOG, 1), 1);
    assert_int_equal(number(f, "SELECT trails FROM tally"),
                     number(f, "SELECT sum(length(key)+length(body)+64) FROM trail"));
}

static void by_key(struct fixture *f, enum trail_kind kind, const char *key, struct page *p)
{
    *p = (struct page){ .f = f };
    fixture_begin(f);
    store_read_trail_by_key(f->s, kind, str_of(key), &step_record, on_row, on_done, p);
    assert_int_equal(fixture_finish(f), 0);
}

static void a_key_finds_its_row(void **state)
{
    struct fixture *f = *state;
    struct page p;
    put_key(f, 2, TRAIL_RUN_EVENT, 1, "a");
    put_key(f, 3, TRAIL_RUN_EVENT, 1, "b");
    put(f, 4, TRAIL_RUN_EVENT, 1);
    by_key(f, TRAIL_RUN_EVENT, "b", &p);
    assert_int_equal(p.n, 1);
    assert_int_equal(p.ids[0], 3);
    by_key(f, TRAIL_RUN_EVENT, "c", &p);
    assert_int_equal(p.n, 0);
    by_key(f, TRAIL_RUN_LOG, "b", &p);
    assert_int_equal(p.n, 0);
    by_key(f, TRAIL_RUN_EVENT, "", &p);
    assert_int_equal(p.n, 0);
}

static void a_parent_that_went_takes_its_trail_along(void **state)
{
    struct fixture *f = *state;
    struct store_next next;
    for (uint64_t id = 2; id <= 1001; id++)
        put_key(f, id, TRAIL_RUN_LOG, id % 2, id == 1001 ? "\xc3\xa4 key" : "");
    put(f, 1002, TRAIL_RUN_EVENT, 1);
    fixture_commit(f);
    store_del_trail(f->s, TRAIL_RUN_LOG, 1);
    store_del_trail(f->s, TRAIL_RUN_LOG, 99); /* nobody's */
    fixture_commit(f);
    assert_int_equal(count(f, TRAIL_RUN_LOG, 1), 0);
    assert_int_equal(count(f, TRAIL_RUN_LOG, 0), 500);
    assert_int_equal(count(f, TRAIL_RUN_EVENT, 1), 1);
    assert_int_equal(number(f, "SELECT trails FROM tally"),
                     number(f, "SELECT sum(length(cast(key AS BLOB))+length(body)+64) FROM trail"));
    store_del_trail(f->s, TRAIL_RUN_EVENT, 1);
    store_del_trail(f->s, TRAIL_RUN_LOG, 0);
    fixture_reopen(f);
    assert_int_equal(store_load_next(f->s, &next, NULL), 0);
    assert_int_equal(next.trail, 1003); /* gone, and not given again */
    assert_int_equal(number(f, "SELECT trails FROM tally"), 0);
}

static void the_first_number_is_two(void **state)
{
    struct fixture *f = *state;
    struct store_next next;
    assert_int_equal(store_load_next(f->s, &next, NULL), 0);
    assert_int_equal(next.trail, 2);
    put(f, 2, TRAIL_ASSET, 1);
    fixture_reopen(f);
    assert_int_equal(store_load_next(f->s, &next, NULL), 0);
    assert_int_equal(next.trail, 3);
}

static void a_row_that_does_not_decode_is_left_out(void **state)
{
    struct fixture *f = *state;
    struct page p;
    sqlite3 *h;
    for (uint64_t id = 2; id <= 4; id++)
        put(f, id, TRAIL_ADDRESS, 1);
    fixture_close(f);
    assert_int_equal(sqlite3_open(f->path, &h), SQLITE_OK);
    assert_int_equal(sqlite3_exec(h, "UPDATE trail SET body = CAST('{\"n\":' AS BLOB) WHERE id = 3", 0, 0, 0), 0);
    sqlite3_close(h);
    fixture_open(f);
    read_page(f, TRAIL_ADDRESS, 1, 0, 0, 10, &p);
    assert_int_equal(p.n, 2);
    assert_int_equal(p.ids[0], 4);
    assert_int_equal(p.ids[1], 2);
}

static void on_large(void *ctx, const struct trail_row *t, const void *obj)
{
    (void)t;
    (void)obj;
    ((struct page *)ctx)->n++;
}

static void a_read_that_grows_too_large_fails_and_hands_out_nothing(void **state)
{
    struct fixture *f = *state;
    struct page p = { .f = f };
    AUTO_FREE char *text = xmalloc(250000);
    struct step st = { .text = { text, 250000 } };
    memset(text, 'x', 250000);
    for (uint64_t id = 2; id < 402; id++) {
        store_put_trail(f->s, &(struct trail_row){ .id = id, .kind = TRAIL_RUN_LOG, .parent = 1 }, &step_record, &st);
        if (id % 50 == 0)
            fixture_commit(f);
    }
    fixture_begin(f);
    store_read_trail(f->s, TRAIL_RUN_LOG, 1, 0, 0, 400, &step_record, on_large, on_done, &p);
    assert_int_equal(fixture_finish(f), -ENOBUFS);
    assert_int_equal(p.n, 0);
    fixture_begin(f);
    store_read_trail(f->s, TRAIL_RUN_LOG, 1, 0, 0, 100, &step_record, on_large, on_done, &p);
    assert_int_equal(fixture_finish(f), 0);
    assert_int_equal(p.n, 100);
}

static void a_backup_has_them(void **state)
{
    struct fixture *f = *state;
    struct page p;
    AUTO_FREE char *copy = xasprintf("%s/copy.db", f->dir), *back = xasprintf("%s/back.db", f->dir);
    put(f, 2, TRAIL_CHECKIN, 1);
    fixture_commit(f);
    fixture_begin(f);
    store_backup(f->s, copy, NULL, fixture_done, f);
    assert_int_equal(fixture_finish(f), 0);
    fixture_close(f);
    assert_int_equal(store_restore(copy, back, clock_wall(&clock_real), NULL), 0);
    assert_int_equal(store_check(back, NULL), 0);
    snprintf(f->path, sizeof(f->path), "%s", back);
    fixture_open(f);
    read_page(f, TRAIL_CHECKIN, 1, 0, 0, 10, &p);
    assert_int_equal(p.n, 1);
}

#define T(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_row_survives_a_restart_and_is_found_under_its_parent),
        T(pages_newest_first_with_skip_and_ascending_from_behind_an_id),
        T(a_repeated_key_is_dropped_within_its_kind_only),
        T(a_key_finds_its_row),
        T(a_parent_that_went_takes_its_trail_along),
        T(the_first_number_is_two),
        T(a_row_that_does_not_decode_is_left_out),
        T(a_read_that_grows_too_large_fails_and_hands_out_nothing),
        T(a_backup_has_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
