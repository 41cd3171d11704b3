/* tests/unit/store/test_upgrade.c - a database made by an older schema is taken over with all that is in it. */
#include "fixture.h"

#include <sqlite3.h>

#include "store/schema.h"

static void run(sqlite3 *h, const char *sql)
{
    char *why = NULL;
    if (sqlite3_exec(h, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s", why);
}

/* As version 1 left it: tables, some rows, and a journal that a crash left unfiled: host 1's section "os", seen at 30. */
static void make_first(const char *path)
{
    sqlite3 *h;
    assert_int_equal(store__migrations[0].version, 1);
    assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
    run(h, "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; BEGIN");
    run(h, store__migrations[0].sql);
    run(h, "PRAGMA application_id = 1299542900; PRAGMA user_version = 1; COMMIT");
    run(h, "INSERT INTO host VALUES (1, 'u-1', 2, 'web', x'0101010101010101010101010101010101010101010101010101010101010101',"
           " 'native', 'web', '', '', '', '', '', '', '{}', 4, 0, 0, '{}', '', 5, 0, '', '', 0, 0, '')");
    run(h, "INSERT INTO event VALUES (7, 1, 'host.online', 'u-1', 'web', '{}')");
    run(h, "UPDATE tally SET events = 88");
    run(h, "INSERT INTO high VALUES ('job', 40)");
    run(h, "INSERT INTO fact_head VALUES (1, 'cpu', 1, '', zeroblob(32), 10, 11, 0, 3, 0)");
    run(h, "INSERT INTO lazy VALUES (9, "
           "x'53' || x'0100000000000000' || x'0200000000000000' || x'0300000000000000' || x'1e00000000000000' ||"
           "x'48' || x'0100000000000000' || x'02000000' || CAST('os' AS BLOB) || x'00000000' || x'20000000' || zeroblob(32) ||"
           "x'0100000000000000' || x'0500000000000000' || x'1400000000000000' || x'1500000000000000' ||"
           "x'0400000000000000' || x'0000000000000000')");
    assert_int_equal(sqlite3_close(h), SQLITE_OK);
}

static void on_host(void *ctx, const struct host_row *h, const struct seen_row *seen)
{
    ++*(int *)ctx;
    assert_str(h->name, "web");
    assert_int_equal(h->claims.cpu_cores, 4);
    assert_str(h->decided_why, "");
    assert_int_equal(seen->spool_epoch, 2);
    assert_int_equal(seen->acked_seq, 3);
    assert_int_equal(seen->last_seen, 30);
}

static void on_head(void *ctx, const struct fact_head *h)
{
    int *n = ctx;
    assert_str(h->section, *n == 0 ? "cpu" : "os");
    assert_int_equal(h->taken_at, *n == 0 ? 10 : 20);
    ++*n;
}

struct word {
    struct str text;
};
static const struct field word_fields[] = { F_STR(struct word, text, "text", 64) };
static const struct record word_record = RECORD(word, word_fields);

static void on_object(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    assert_int_equal(id + parent, 5);
    assert_str(((const struct word *)obj)->text, "new");
    ++*(int *)ctx;
}

static void a_first_database_is_upgraded_with_all_that_is_in_it(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct store_next next;
    int n_hosts = 0, n_heads = 0, n_objects = 0;
    make_first(f->path);
    for (int round = 0; round < 2; round++) { /* and opened again it is not upgraded again */
        fixture_open(f);
        n_hosts = n_heads = 0;
        assert_int_equal(store_load_hosts(f->s, on_host, &n_hosts, NULL), 0);
        assert_int_equal(store_load_fact_heads(f->s, on_head, &n_heads, NULL), 0);
        assert_int_equal(n_hosts, 1);
        assert_int_equal(n_heads, 2);
        assert_int_equal(store_load_next(f->s, &next, NULL), 0);
        assert_int_equal(next.job, 41);
        assert_int_equal(next.event, 8);
        assert_int_equal(next.trail, round == 0 ? 2 : 3);
        assert_int_equal(store_load_objects(f->s, OBJECT_ASSET, &word_record, on_object, &n_objects, NULL), 0);
        assert_int_equal(n_objects, round);
        store_put_object(f->s, OBJECT_ASSET, 3, 2, &word_record, &(struct word){ STR("new") });
        if (round == 0)
            store_put_trail(f->s, &(struct trail_row){ .id = 2, .kind = TRAIL_ASSET, .parent = 3 }, &word_record,
                            &(struct word){ STR("new") });
        fixture_close(f);
    }
    assert_int_equal(store_check(f->path, NULL), 0);
    fixture_free(f);
}

static void a_first_backup_can_be_restored_and_is_upgraded_when_opened(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    AUTO_FREE char *old = xasprintf("%s/old.db", f->dir);
    int n = 0;
    make_first(old);
    assert_int_equal(store_check(old, NULL), 0);
    assert_int_equal(store_restore(old, f->path, clock_wall(&clock_real), NULL), 0);
    fixture_open(f);
    assert_int_equal(store_load_hosts(f->s, on_host, &n, NULL), 0);
    assert_int_equal(n, 1);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_database_is_upgraded_with_all_that_is_in_it),
        cmocka_unit_test(a_first_backup_can_be_restored_and_is_upgraded_when_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
