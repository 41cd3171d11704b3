/* tests/unit/store/test_objects.c - nouns kept as one document each: replaced, often, deleted, read at the next start. */
#include "fixture.h"

#include <sqlite3.h> /* the tests of this floor may look behind the curtain */

#include "base/limits.h"
#include "store/fake.h"

/* -- a noun */

struct part {
    struct str what, secret;
};
static const struct field part_fields[] = {
    F_STR(struct part, what, "what", 64),
    F_STR(struct part, secret, "secret", 64, .flags = FIELD_SECRET),
};
static const struct record part_record = RECORD(part, part_fields);

struct thing {
    struct str name, password, note;
    uint64_t n;
    bool is_on;
    usec_t at;
    struct part part;
    LIST(struct part) parts;
};
static const struct field thing_fields[] = {
    F_STR(struct thing, name, "name", 64, .flags = FIELD_REQUIRED),
    F_STR(struct thing, password, "password", 64, .flags = FIELD_SECRET),
    F_STR(struct thing, note, "note", LIMIT_OBJECT_BYTES, .flags = FIELD_OMIT),
    F_U64(struct thing, n, "n"),
    F_BOOL(struct thing, is_on, "is_on"),
    F_TIME(struct thing, at, "at"),
    F_SUB(struct thing, part, "part", &part_record),
    F_LIST(struct thing, parts, "parts", 8, &part_record),
};
static const struct record thing_record = RECORD(thing, thing_fields);

static void put_n(struct fixture *f, enum object_kind kind, uint64_t id, uint64_t n)
{
    store_put_object(f->s, kind, id, id + 7, &thing_record, &(struct thing){ .name = STR("x"), .n = n });
}

static void put_often(struct fixture *f, enum object_kind kind, uint64_t id, uint64_t n)
{
    store_put_object_often(f->s, kind, id, id + 7, &thing_record,
                           &(struct thing){ .name = STR("x"), .n = n });
}

/* -- what is there */

enum { IDS = 20000 };
struct there {
    uint64_t n[IDS + 1]; /* 0: not there */
    size_t count;
    uint64_t last;
};

static void on_thing(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    struct there *t = ctx;
    const struct thing *o = obj;
    assert_true(id > t->last && id <= IDS); /* in order */
    assert_int_equal(parent, id + 7);
    assert_str(o->name, "x");
    t->last = id;
    t->n[id] = o->n;
    t->count++;
}

static size_t load(struct fixture *f, enum object_kind kind, struct there *t)
{
    struct err err = { 0 };
    memset(t, 0, sizeof(*t));
    if (store_load_objects(f->s, kind, &thing_record, on_thing, t, &err) < 0)
        fail_msg("%s: %s", err.slug, err.text);
    return t->count;
}

static void expect_one(struct fixture *f, enum object_kind kind, uint64_t id, uint64_t n)
{
    struct there *t = xnew0(struct there);
    assert_int_equal(load(f, kind, t), 1);
    assert_int_equal(t->n[id], n);
    free(t);
}

static size_t count(struct fixture *f, enum object_kind kind)
{
    AUTO_FREE struct there *t = xnew0(struct there);
    return load(f, kind, t);
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

/* -- documents */

static void on_whole(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    const struct thing *o = obj;
    ++*(int *)ctx;
    assert_int_equal(id, 3);
    assert_int_equal(parent, 9);
    assert_str(o->name, "n\xc3\xa4me \"q\"");
    assert_int_equal(o->n, 1ull << 60);
    assert_true(o->is_on);
    assert_int_equal(o->at, 1700000000123456);
    assert_str(o->part.what, "a");
    assert_int_equal(o->parts.n, 2);
    assert_str(o->parts.v[1].what, "c");
    assert_int_equal(o->password.len + o->part.secret.len + o->parts.v[0].secret.len, 0);
}

static void put_whole(struct fixture *f)
{
    char name[] = "n\xc3\xa4me \"q\"";
    struct part parts[] = { { STR("b"), STR("hush-3") }, { STR("c"), STR_NONE } };
    struct thing o = { .name = str_of(name),
                       .password = STR("hush-1"),
                       .n = 1ull << 60,
                       .is_on = true,
                       .at = 1700000000123456,
                       .part = { STR("a"), STR("hush-2") },
                       .parts = { parts, 2 } };
    store_put_object(f->s, OBJECT_ASSET, 3, 9, &thing_record, &o);
    memset(name, 'z', sizeof(name) - 1); /* not kept: written at once */
    parts[1].what = STR("changed");
}

static void an_object_survives_a_restart_whole_and_without_its_secrets(void **state)
{
    struct fixture *f = *state;
    int n = 0;
    put_whole(f);
    fixture_reopen(f);
    assert_int_equal(store_load_objects(f->s, OBJECT_ASSET, &thing_record, on_whole, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_int_equal(number(f, "SELECT count(*) FROM object WHERE body LIKE '%hush%'"), 0);
    assert_int_equal(number(f, "SELECT count(*) FROM object WHERE body LIKE '%password%'"), 0);
}

static void a_put_replaces_and_kinds_are_apart(void **state)
{
    struct fixture *f = *state;
    put_n(f, OBJECT_ASSET, 1, 10);
    put_n(f, OBJECT_PROVIDER, 1, 20);
    put_n(f, OBJECT_ASSET, 1, 11);
    fixture_reopen(f);
    expect_one(f, OBJECT_ASSET, 1, 11);
    expect_one(f, OBJECT_PROVIDER, 1, 20);
    assert_int_equal(count(f, OBJECT_RUN), 0);
    store_del_object(f->s, OBJECT_ASSET, 1);
    store_del_object(f->s, OBJECT_ASSET, 4); /* nobody: no harm */
    fixture_reopen(f);
    assert_int_equal(count(f, OBJECT_ASSET), 0);
    expect_one(f, OBJECT_PROVIDER, 1, 20);
}

static void objects_come_in_the_order_of_their_ids(void **state)
{
    struct fixture *f = *state;
    const uint64_t ids[] = { 400, 3, 17000, 1, 18 };
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
        put_n(f, OBJECT_RUN, ids[i], i + 1);
    fixture_reopen(f);
    assert_int_equal(count(f, OBJECT_RUN), ARRAY_SIZE(ids)); /* on_thing looks */
}

static void on_note(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    (void)id;
    (void)parent;
    *(size_t *)ctx = ((const struct thing *)obj)->note.len;
}

static void a_document_of_the_largest_size_comes_back(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *text = xmalloc(LIMIT_OBJECT_BYTES);
    struct thing o = { .name = STR("x"), .note = { text, LIMIT_OBJECT_BYTES - 200 } };
    size_t len = 0;
    memset(text, 'a', LIMIT_OBJECT_BYTES);
    store_put_object(f->s, OBJECT_RUN, 1, 0, &thing_record, &o);
    fixture_commit(f);
    o.note.len += (size_t)(LIMIT_OBJECT_BYTES - number(f, "SELECT length(body) FROM object"));
    store_put_object(f->s, OBJECT_RUN, 1, 0, &thing_record, &o);
    fixture_commit(f);
    assert_int_equal(number(f, "SELECT length(body) FROM object"), LIMIT_OBJECT_BYTES);
    fixture_reopen(f);
    assert_int_equal(store_load_objects(f->s, OBJECT_RUN, &thing_record, on_note, &len, NULL), 0);
    assert_int_equal(len, o.note.len);
}

static void a_document_that_does_not_decode_is_named(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE struct there *t = xnew0(struct there);
    sqlite3 *h;
    struct err err = { 0 };
    put_n(f, OBJECT_RUN, 1, 5);
    put_n(f, OBJECT_RUN, 2, 5);
    fixture_close(f);
    assert_int_equal(sqlite3_open(f->path, &h), SQLITE_OK);
    assert_int_equal(sqlite3_exec(h, "UPDATE object SET body = '{\"n\":\"many\"}' WHERE id = 2", 0, 0, 0), 0);
    sqlite3_close(h);
    fixture_open(f);
    assert_int_equal(store_load_objects(f->s, OBJECT_RUN, &thing_record, on_thing, t, &err), -EBADMSG);
    assert_string_equal(err.slug, "store.corrupt");
    assert_non_null(strstr(err.text, "thing 2"));
    assert_int_equal(store_load_objects(f->s, OBJECT_RUN, &thing_record, on_thing, &(struct there){ 0 }, NULL),
                     -EBADMSG);
}

/* -- ids */

static uint64_t next_id(struct fixture *f, enum object_kind kind)
{
    uint64_t id = 0;
    assert_int_equal(store_load_next_object(f->s, kind, &id, NULL), 0);
    return id;
}

static void ids_are_never_used_again_not_even_after_a_delete(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(next_id(f, OBJECT_ASSET), 1);
    put_n(f, OBJECT_ASSET, 5, 1);
    put_n(f, OBJECT_ASSET, 6, 1);
    put_often(f, OBJECT_ASSET_STATE, 9, 1);
    fixture_reopen(f);
    assert_int_equal(next_id(f, OBJECT_ASSET), 7);
    assert_int_equal(next_id(f, OBJECT_ASSET_STATE), 10);
    assert_int_equal(next_id(f, OBJECT_RUN), 1);
    store_del_object(f->s, OBJECT_ASSET, 6);
    store_del_object(f->s, OBJECT_ASSET, 5);
    put_often(f, OBJECT_ASSET_STATE, 12, 1); /* never filed */
    store_del_object(f->s, OBJECT_ASSET_STATE, 12);
    fixture_reopen(f);
    assert_int_equal(next_id(f, OBJECT_ASSET), 7);
    assert_int_equal(next_id(f, OBJECT_ASSET_STATE), 13);
}

/* -- often */

static void of_many_puts_only_the_last_reaches_the_table(void **state)
{
    struct fixture *f = *state;
    for (uint64_t n = 1; n <= 500; n++) {
        put_often(f, OBJECT_ASSET_STATE, 1, n);
        store_seal(f->s);
    }
    fixture_commit(f);
    assert_int_equal(number(f, "SELECT count(*) FROM object"), 0); /* in the journal, and durable */
    struct fixture *after = fixture_crashed(f);
    expect_one(after, OBJECT_ASSET_STATE, 1, 500);
    fixture_free(after);
    fixture_reopen(f);
    expect_one(f, OBJECT_ASSET_STATE, 1, 500);
}

static void a_delete_beats_what_is_pending(void **state)
{
    struct fixture *f = *state;
    put_often(f, OBJECT_ASSET_STATE, 1, 1);
    put_often(f, OBJECT_ASSET_STATE, 2, 1);
    fixture_commit(f);
    store_del_object(f->s, OBJECT_ASSET_STATE, 1);
    put_often(f, OBJECT_ASSET_STATE, 3, 1);
    store_del_object(f->s, OBJECT_ASSET_STATE, 3); /* in one unit */
    fixture_commit(f);
    struct fixture *after = fixture_crashed(f);
    expect_one(after, OBJECT_ASSET_STATE, 2, 1);
    fixture_free(after);
    fixture_reopen(f);
    expect_one(f, OBJECT_ASSET_STATE, 2, 1);
    put_often(f, OBJECT_ASSET_STATE, 2, 7);
    store_del_object(f->s, OBJECT_ASSET_STATE, 2);
    put_often(f, OBJECT_ASSET_STATE, 2, 8); /* and what comes after the delete beats it */
    fixture_reopen(f);
    expect_one(f, OBJECT_ASSET_STATE, 2, 8);
}

static void a_plain_put_beats_what_is_pending(void **state)
{
    struct fixture *f = *state;
    put_often(f, OBJECT_ASSET, 1, 1);
    put_n(f, OBJECT_ASSET, 1, 2);
    fixture_commit(f);
    struct fixture *after = fixture_crashed(f);
    expect_one(after, OBJECT_ASSET, 1, 2);
    fixture_free(after);
    put_often(f, OBJECT_ASSET, 1, 3);
    fixture_commit(f);
    after = fixture_crashed(f);
    expect_one(after, OBJECT_ASSET, 1, 3);
    fixture_free(after);
    put_n(f, OBJECT_ASSET, 1, 4);
    fixture_reopen(f);
    expect_one(f, OBJECT_ASSET, 1, 4);
}

static struct there model;

static void random_changes(struct fixture *f, int units, bool failing)
{
    static uint64_t v = 1;
    for (int u = 0; u < units; u++) {
        for (long n = random() % 400; n > 0; n--) {
            uint64_t id = 1 + (uint64_t)random() % IDS;
            long what = random() % 20;
            model.n[id] = what == 0 ? 0 : v++;
            if (what == 0)
                store_del_object(f->s, OBJECT_ASSET_STATE, id);
            else if (what < 3)
                put_n(f, OBJECT_ASSET_STATE, id, model.n[id]);
            else
                put_often(f, OBJECT_ASSET_STATE, id, model.n[id]);
        }
        if (random() % 10 == 0)
            store_put_seen(f->s, &(struct seen_row){ .host_id = v });
        if (failing && random() % 20 == 0)
            fake_fail_commits((int)(random() % 3), 1, -EIO);
        store_seal(f->s);
        if (random() % 4)
            fixture_commit(f);
    }
    fixture_commit(f);
}

static void expect_model(struct fixture *f)
{
    AUTO_FREE struct there *t = xnew0(struct there);
    (void)load(f, OBJECT_ASSET_STATE, t);
    for (uint64_t id = 1; id <= IDS; id++)
        if (t->n[id] != model.n[id])
            fail_msg("object %lu is %lu, not %lu", (unsigned long)id, (unsigned long)t->n[id],
                     (unsigned long)model.n[id]);
}

static void the_last_word_counts_through_sweeps_crashes_and_failures(void **state)
{
    struct fixture *f = *state;
    memset(&model, 0, sizeof(model));
    srandom(17);
    for (int round = 0; round < 12; round++) {
        random_changes(f, 80, round % 2);
        fake_reset();
        struct fixture *after = fixture_crashed(f); /* in the middle of a sweep, mostly */
        expect_model(after);
        fixture_free(after);
        if (round % 4 == 3) {
            fixture_reopen(f);
            expect_model(f);
        }
    }
}

static int fake_setup(void **state)
{
    struct fixture *f = fixture_new();
    *state = f;
    fake_reset();
    f->driver = &driver_fake;
    fixture_open(f);
    return 0;
}

static int fake_teardown(void **state)
{
    fake_reset();
    return fixture_teardown(state);
}

static void forgetting_a_host_leaves_objects_to_their_owners(void **state)
{
    struct fixture *f = *state;
    put_n(f, OBJECT_CREDENTIAL, 1, 1);
    put_often(f, OBJECT_ASSET_STATE, 1, 2);
    store_put_seen(f->s, &(struct seen_row){ .host_id = 1, .last_seen = 9 });
    fixture_commit(f);
    store_del_host(f->s, 1);
    fixture_reopen(f);
    expect_one(f, OBJECT_CREDENTIAL, 1, 1);
    expect_one(f, OBJECT_ASSET_STATE, 1, 2);
}

#define T(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)
#define FAKE(t) cmocka_unit_test_setup_teardown(t, fake_setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_object_survives_a_restart_whole_and_without_its_secrets),
        T(a_put_replaces_and_kinds_are_apart),
        T(objects_come_in_the_order_of_their_ids),
        T(a_document_of_the_largest_size_comes_back),
        T(a_document_that_does_not_decode_is_named),
        T(ids_are_never_used_again_not_even_after_a_delete),
        T(of_many_puts_only_the_last_reaches_the_table),
        T(a_delete_beats_what_is_pending),
        T(a_plain_put_beats_what_is_pending),
        FAKE(the_last_word_counts_through_sweeps_crashes_and_failures),
        T(forgetting_a_host_leaves_objects_to_their_owners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
