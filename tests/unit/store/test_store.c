/* tests/unit/store/test_store.c - units, tickets, health, reads behind tickets: the promises of
 * store/store.h. */
#include "fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "store/fake.h"

static int fake_setup(void **state)
{
    struct fixture *f = fixture_new();
    *state = f;
    fake_reset();
    f->driver = &driver_fake;
    f->max_open_units = 4;
    fixture_open(f);
    return 0;
}

static int fake_teardown(void **state)
{
    fake_reset();
    return fixture_teardown(state);
}

static void seen(struct fixture *f, uint64_t id)
{
    store_put_seen(f->s, &(struct seen_row){ .host_id = id, .last_seen = id * 10 });
}

static void task(struct fixture *f, uint64_t id)
{
    store_put_task(f->s,
                   &(struct task_row){ .id = id, .job_id = 1, .host_name = STR("h"), .state = TASK_QUEUED });
}

static void count_task(void *ctx, const struct task_row *t)
{
    struct fixture *f = ctx;
    assert_str(t->host_name, "h");
    f->n_rows++;
}

static size_t n_tasks(struct fixture *f)
{
    fixture_begin(f);
    store_read_tasks(f->s, 1, 0, 1000, count_task, fixture_done, f);
    assert_int_equal(fixture_finish(f), 0);
    return f->n_rows;
}

static void a_unit_gets_a_ticket_and_an_empty_one_none(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(store_newest(f->s), 0);
    store_seal(f->s);
    assert_int_equal(store_newest(f->s), 0);
    seen(f, 1);
    assert_int_equal(store_newest(f->s), 1);
    seen(f, 2);
    assert_int_equal(store_newest(f->s), 1);
    store_seal(f->s);
    store_seal(f->s);
    seen(f, 3);
    assert_int_equal(store_newest(f->s), 2);
    fixture_commit(f);
    assert_int_equal(store_committed(f->s), 2);
    struct store_stats st;
    store_stats(f->s, &st);
    assert_int_equal(st.units, 2);
    assert_int_equal(st.rows, 3);
    assert_true(st.commits >= 1);
    assert_true(store_last_alive(f->s) > 0);
}

static void a_ticket_does_not_come_back_before_the_commit(void **state)
{
    struct fixture *f = *state;
    fake_hold(true);
    seen(f, 1);
    store_seal(f->s);
    fake_wait_held();
    store_poll(f->s);
    assert_int_equal(store_committed(f->s), 0);
    assert_int_equal(store_health(f->s, NULL), 0);
    fake_hold(false);
    fixture_commit(f);
    assert_int_equal(store_committed(f->s), 1);
}

static void a_disk_that_hangs_is_unhealthy_until_it_answers(void **state)
{
    struct fixture *f = *state;
    struct err err;
    fixture_close(f);
    f->hung_after = 20 * USEC_PER_MS;
    fixture_open(f);
    fake_hold(true);
    seen(f, 1);
    store_seal(f->s);
    fake_wait_held();
    while (store_health(f->s, &err) == 0)
        store_poll(f->s);
    assert_string_equal(err.slug, "store.io");
    assert_int_equal(store_committed(f->s), 0);
    fake_hold(false);
    fixture_commit(f);
    assert_int_equal(store_health(f->s, NULL), 0);
}

static void committed_moves_inside_poll_only(void **state)
{
    struct fixture *f = *state;
    seen(f, 1);
    store_seal(f->s);
    sem_wait(&f->woken); /* durable now, on the other thread */
    assert_int_equal(store_committed(f->s), 0);
    store_poll(f->s);
    assert_int_equal(store_committed(f->s), 1);
}

static void a_store_with_four_open_units_is_behind(void **state)
{
    struct fixture *f = *state;
    fake_hold(true);
    for (uint64_t i = 1; i <= 4; i++) {
        assert_false(store_is_behind(f->s));
        seen(f, i);
        store_seal(f->s);
    }
    assert_true(store_is_behind(f->s));
    fake_hold(false);
    fixture_commit(f);
    assert_false(store_is_behind(f->s));
}

static void sixty_four_mebibytes_uncommitted_is_behind(void **state)
{
    struct fixture *f = *state;
    static char chunk[1 << 20];
    fake_hold(true);
    for (uint64_t i = 0; i < 64; i++) {
        assert_false(store_is_behind(f->s));
        store_put_output(
            f->s, &(struct output_frame){ 1, STREAM_STDOUT, i << 20, str_bytes(chunk, sizeof(chunk)) });
    }
    store_seal(f->s);
    assert_true(store_is_behind(f->s));
    fake_hold(false);
    fixture_commit(f);
    assert_false(store_is_behind(f->s));
}

static void a_read_sees_what_was_put_before_it_sealed_or_not(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 1; i <= 50; i++) {
        task(f, i);
        if (i % 3 == 0)
            store_seal(f->s);
        fixture_begin(f);
        store_read_tasks(f->s, 1, 0, 1000, count_task, fixture_done, f);
        assert_int_equal(fixture_finish(f), 0);
        assert_int_equal(f->n_rows, i);
    }
}

static void a_read_waits_for_a_commit_that_waits(void **state)
{
    struct fixture *f = *state;
    fake_hold(true);
    task(f, 1);
    store_seal(f->s);
    fake_wait_held();
    fixture_begin(f);
    store_read_tasks(f->s, 1, 0, 10, count_task, fixture_done, f);
    store_poll(f->s);
    assert_false(f->is_done);
    fake_hold(false);
    assert_int_equal(fixture_finish(f), 0);
    assert_int_equal(f->n_rows, 1);
}

static void a_failed_commit_is_tried_again_and_loses_nothing(void **state)
{
    struct fixture *f = *state;
    struct err err;
    task(f, 1);
    fixture_commit(f);
    fake_fail_commits(0, 3, -ENOSPC);
    task(f, 2);
    store_seal(f->s);
    while (store_health(f->s, NULL) == 0)
        fixture_wait(f);
    assert_int_equal(store_health(f->s, &err), -ENOSPC);
    assert_string_equal(err.slug, "store.disk_full");
    assert_int_equal(store_committed(f->s), 1);
    task(f, 3);
    fixture_commit(f);
    while (store_health(f->s, NULL) != 0)
        fixture_wait(f);
    assert_int_equal(fake_n_failed(), 3);
    assert_int_equal(n_tasks(f), 3);
    struct store_stats st;
    store_stats(f->s, &st);
    assert_int_equal(st.commit_failures, 3);
}

static void health_says_what_is_wrong(void **state)
{
    struct fixture *f = *state;
    const struct {
        int error;
        const char *slug;
    } cases[] = { { -ENOSPC, "store.disk_full" },
                  { -EROFS, "store.read_only" },
                  { -EIO, "store.io" },
                  { -EBUSY, "store.io" } };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err;
        fake_fail_commits(0, 1, cases[i].error);
        seen(f, i + 1);
        store_seal(f->s);
        while (store_health(f->s, NULL) == 0)
            fixture_wait(f);
        assert_int_equal(store_health(f->s, &err), cases[i].error);
        assert_string_equal(err.slug, cases[i].slug);
        fixture_commit(f);
        while (store_health(f->s, NULL) != 0)
            fixture_wait(f);
    }
}

static void a_probe_makes_it_healthy_without_traffic(void **state)
{
    struct fixture *f = *state;
    fake_fail_commits(0, 2, -EIO);
    fixture_begin(f);
    /* A step of retention fails: nothing waits to be committed afterwards. */
    store_retain(f->s, &(struct retention){ .keep = 1 }, 1000000, fixture_done, f);
    assert_int_equal(fixture_finish(f), -EIO);
    while (store_health(f->s, NULL) == 0)
        fixture_wait(f);
    while (store_health(f->s, NULL) != 0)
        fixture_wait(f);
    assert_int_equal(fake_n_failed(), 2);
}

static void a_damaged_database_stops_all_commits(void **state)
{
    struct fixture *f = *state;
    struct err err;
    fake_fail_commits(0, 1, -EBADMSG);
    seen(f, 1);
    store_seal(f->s);
    while (store_health(f->s, NULL) == 0)
        fixture_wait(f);
    assert_int_equal(store_health(f->s, &err), -EBADMSG);
    assert_string_equal(err.slug, "store.corrupt");
    seen(f, 2);
    store_seal(f->s);
    fixture_begin(f);
    store_read_tasks(f->s, 1, 0, 10, count_task, fixture_done, f);
    store_poll(f->s);
    assert_int_equal(store_committed(f->s), 0);
    assert_false(f->is_done);
    fixture_close(f); /* does not hang, and the read is done */
    assert_true(f->is_done);
    assert_int_equal(f->result, -ECANCELED);
}

static void two_hosts_of_one_name_are_a_mistake_that_stops_commits(void **state)
{
    struct fixture *f = *state;
    struct host_row a = {
        .id = 1, .uuid = "a", .state = HOST_PENDING, .name = STR("x"), .fingerprint = { 1 }
    };
    struct host_row b = {
        .id = 2, .uuid = "b", .state = HOST_PENDING, .name = STR("x"), .fingerprint = { 2 }
    };
    struct err err;
    store_put_host(f->s, &a);
    fixture_commit(f);
    store_put_host(f->s, &b);
    store_seal(f->s);
    while (store_health(f->s, NULL) == 0)
        fixture_wait(f);
    store_health(f->s, &err);
    assert_string_equal(err.slug, "store.corrupt");
    assert_int_equal(store_committed(f->s), 1);
}

static void close_commits_what_is_there_and_finishes_reads(void **state)
{
    struct fixture *f = *state;
    task(f, 1);
    store_seal(f->s);
    task(f, 2);
    fixture_begin(f);
    store_read_tasks(f->s, 1, 0, 10, count_task, fixture_done, f);
    fixture_close(f);
    assert_true(f->is_done);
    assert_int_equal(f->result, -ECANCELED);
    assert_int_equal(f->n_rows, 0);
    fixture_open(f);
    assert_int_equal(n_tasks(f), 2);
}

static void files_are_private(void **state)
{
    struct fixture *f = *state;
    const char *const suffixes[] = { "", "-wal", "-shm", "-lock" };
    seen(f, 1);
    fixture_commit(f);
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        struct stat st;
        AUTO_FREE char *path = xasprintf("%s%s", f->path, suffixes[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
}

static void a_second_server_is_kept_out(void **state)
{
    struct fixture *f = *state;
    struct store *first = f->s;
    assert_int_equal(fixture_try_open(f), -EAGAIN);
    assert_string_equal(f->err.slug, "store.locked");
    f->s = first;
}

static void overwrite(const char *path, off_t at, const void *p, size_t n)
{
    AUTO_FD int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, p, n, at), (ssize_t)n);
}

static void a_damaged_file_is_refused_with_advice(void **state)
{
    struct fixture *f = *state;
    seen(f, 1);
    fixture_commit(f);
    fixture_close(f);
    overwrite(f->path, 0, "this is not a database at all...", 32);
    assert_int_equal(fixture_try_open(f), -EBADMSG);
    assert_string_equal(f->err.slug, "store.corrupt");
    assert_non_null(strstr(f->err.text, "restore"));
}

/* As an open leaves it: one page, no table. */
static void empty_database(const char *path)
{
    struct err err = { 0 };
    struct db *db;

    assert_int_equal(driver_sqlite.open(&driver_sqlite, path, DB_WRITE | DB_CREATE, &db, &err), 0);
    db_close(db);
}

static void an_emptied_or_missing_file_is_lost_not_new(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *log = xasprintf("%s-wal", f->path);

    fixture_close(f);
    assert_int_equal(store_check_lost(f->path, &f->err), 0);
    assert_int_equal(truncate(f->path, 0), 0);
    (void)unlink(log);
    assert_int_equal(fixture_try_open(f), -EBADMSG);
    assert_string_equal(f->err.slug, "store.corrupt");
    assert_non_null(strstr(f->err.text, "restore"));
    assert_int_equal(unlink(f->path), 0);
    assert_int_equal(fixture_try_open(f), -EBADMSG);
    assert_int_equal(access(f->path, F_OK), -1); /* and no new one was made */
}

/* Killed before the first tidying, its log was thrown away: a page that says nothing of the fleet is left. */
static void a_file_without_a_schema_where_one_was_is_lost(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *lock = xasprintf("%s-lock", f->path), *log = xasprintf("%s-wal", f->path);
    struct err err = { 0 };
    struct stat st;

    fixture_close(f);
    assert_int_equal(unlink(f->path), 0);
    (void)unlink(log);
    empty_database(f->path);
    assert_int_equal(store_check_lost(f->path, &f->err), -EBADMSG);
    assert_int_equal(fixture_try_open(f), -EBADMSG);
    assert_string_equal(f->err.slug, "store.corrupt");
    assert_non_null(strstr(f->err.text, "restore"));
    /* where none was, it is a first start that was killed */
    assert_int_equal(truncate(lock, 0), 0);
    assert_int_equal(store_check_lost(f->path, &err), 0);
    fixture_open(f);
    assert_true(stat(lock, &st) == 0 && st.st_size > 0);
}

/* Of a version that made no mark: a log without its database. */
static void an_emptied_file_beside_its_log_is_lost(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *lock = xasprintf("%s-lock", f->path), *log = xasprintf("%s-wal", f->path);

    fixture_close(f);
    assert_int_equal(truncate(f->path, 0), 0);
    assert_int_equal(truncate(lock, 0), 0);
    assert_int_equal(fd_replace_file(log, STR("pages"), 0600, NULL), 0);
    assert_int_equal(fixture_try_open(f), -EBADMSG);
    assert_string_equal(f->err.slug, "store.corrupt");
}

static void a_first_start_that_was_killed_is_still_a_first_start(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    AUTO_FREE char *lock = xasprintf("%s-lock", f->path);

    assert_int_equal(fd_replace_file(f->path, STR_NONE, 0600, NULL), 0);
    assert_int_equal(fd_replace_file(lock, STR_NONE, 0600, NULL), 0);
    fixture_open(f);
    fixture_reopen(f);
    fixture_free(f);
}

static void somebody_elses_database_is_refused(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    overwrite(f->path, 68, "\x12\x34\x56\x78", 4); /* application id */
    assert_int_equal(fixture_try_open(f), -EBADMSG);
    assert_string_equal(f->err.slug, "store.corrupt");
}

static void a_newer_database_is_refused(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    overwrite(f->path, 60, "\x00\x00\x03\xe7", 4); /* user version 999 */
    assert_int_equal(fixture_try_open(f), -EPROTONOSUPPORT);
    assert_string_equal(f->err.slug, "store.newer");
}

static void a_directory_that_is_not_there_is_an_error_not_a_crash(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    AUTO_FREE char *path = xasprintf("%s/no/muster.db", f->dir);
    const struct store_conf conf = { .path = path };
    assert_int_equal(store_open(&conf, &f->s, &f->err), -ENOENT);
    assert_string_equal(f->err.slug, "store.open");
    fixture_free(f);
}

#define T(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)
#define FAKE(t) cmocka_unit_test_setup_teardown(t, fake_setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_unit_gets_a_ticket_and_an_empty_one_none),
        FAKE(a_ticket_does_not_come_back_before_the_commit),
        FAKE(a_disk_that_hangs_is_unhealthy_until_it_answers),
        T(committed_moves_inside_poll_only),
        FAKE(a_store_with_four_open_units_is_behind),
        cmocka_unit_test_setup_teardown(sixty_four_mebibytes_uncommitted_is_behind, fake_setup,
                                        fake_teardown),
        T(a_read_sees_what_was_put_before_it_sealed_or_not),
        FAKE(a_read_waits_for_a_commit_that_waits),
        FAKE(a_failed_commit_is_tried_again_and_loses_nothing),
        FAKE(health_says_what_is_wrong),
        FAKE(a_probe_makes_it_healthy_without_traffic),
        FAKE(a_damaged_database_stops_all_commits),
        T(two_hosts_of_one_name_are_a_mistake_that_stops_commits),
        T(close_commits_what_is_there_and_finishes_reads),
        T(files_are_private),
        T(a_second_server_is_kept_out),
        T(a_damaged_file_is_refused_with_advice),
        T(an_emptied_or_missing_file_is_lost_not_new),
        T(a_file_without_a_schema_where_one_was_is_lost),
        T(an_emptied_file_beside_its_log_is_lost),
        cmocka_unit_test(a_first_start_that_was_killed_is_still_a_first_start),
        T(somebody_elses_database_is_refused),
        T(a_newer_database_is_refused),
        cmocka_unit_test(a_directory_that_is_not_there_is_an_error_not_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
