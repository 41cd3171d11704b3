/* tests/unit/store/test_copies.c - backup while running, restore, check. */
#include "fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

static void put_events(struct fixture *f, uint64_t first, uint64_t n)
{
    char blob[2000];
    memset(blob, 'e', sizeof(blob));
    for (uint64_t i = first; i < first + n; i++)
        store_put_event(
            f->s,
            &(struct event){ .id = i, .at = i, .type = STR("x"), .host = str_bytes(blob, sizeof(blob)) });
}

static void count(void *ctx, const struct event *e)
{
    struct fixture *f = ctx;
    f->n_rows++;
    assert_int_equal(e->host.len, 2000);
}

static size_t n_events(struct fixture *f)
{
    fixture_begin(f);
    store_read_events(f->s, 0, false, 100000, STR_NONE, STR_NONE, count, fixture_done, f);
    assert_int_equal(fixture_finish(f), 0);
    return f->n_rows;
}

struct progress {
    uint64_t done, total;
    int n;
};
static struct progress progress;

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    assert_true(done >= progress.done && done <= total);
    progress = (struct progress){ done, total, progress.n + 1 };
}

static void a_backup_taken_under_load_is_one_moment(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *copy = xasprintf("%s/copy.db", f->dir);
    AUTO_FREE char *second = xasprintf("%s/second.db", f->dir);
    struct stat st;
    put_events(f, 1, 5000);
    fixture_commit(f);
    progress = (struct progress){ 0 };
    fixture_begin(f);
    store_backup(f->s, copy, on_progress, fixture_done, f);
    for (uint64_t i = 5001; !f->is_done; i++) { /* writing goes on */
        put_events(f, i, 1);
        store_seal(f->s);
        fixture_wait(f);
    }
    assert_int_equal(f->result, 0);
    assert_true(progress.n >= 1 && progress.done == progress.total);
    assert_int_equal(stat(copy, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    size_t n_now = n_events(f);
    struct err err = { 0 };
    assert_int_equal(store_check(copy, &err), 0);
    fixture_close(f);
    assert_int_equal(store_restore(copy, second, clock_wall(&clock_real), &err), 0);
    assert_int_equal(stat(second, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    snprintf(f->path, sizeof(f->path), "%s", second);
    fixture_open(f);
    size_t n_then = n_events(f);
    assert_true(n_then >= 5000 && n_then <= n_now);
    put_events(f, 100000, 1); /* and it can be written */
    assert_int_equal(n_events(f), n_then + 1);
}

static void an_existing_file_is_never_overwritten(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *copy = xasprintf("%s/copy.db", f->dir);
    struct err err;
    assert_int_equal(fd_replace_file(copy, STR("precious"), 0600, NULL), 0);
    fixture_begin(f);
    store_backup(f->s, copy, NULL, fixture_done, f);
    assert_int_equal(fixture_finish(f), -EEXIST);
    AUTO(buf_done) struct buf b = BUF(100);
    assert_int_equal(fd_read_file(copy, &b), 0);
    assert_str(buf_as_str(&b), "precious");
    assert_int_equal(store_restore(f->path, copy, clock_wall(&clock_real), &err), -EEXIST);
}

static void a_backup_into_nowhere_fails_and_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *copy = xasprintf("%s/no/copy.db", f->dir);
    fixture_begin(f);
    store_backup(f->s, copy, NULL, fixture_done, f);
    assert_int_equal(fixture_finish(f), -ENOENT);
    fixture_begin(f); /* and the next one may start */
    AUTO_FREE char *good = xasprintf("%s/good.db", f->dir);
    store_backup(f->s, good, NULL, fixture_done, f);
    assert_int_equal(fixture_finish(f), 0);
}

static void on_busy(void *ctx, int result)
{
    *(int *)ctx = result;
}

static void only_one_backup_at_a_time(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *a = xasprintf("%s/a.db", f->dir), *b = xasprintf("%s/b.db", f->dir);
    int second = 1;
    fixture_begin(f);
    store_backup(f->s, a, NULL, fixture_done, f);
    store_backup(f->s, b, NULL, on_busy, &second);
    assert_int_equal(second, 1); /* answers come inside store_poll() */
    assert_int_equal(fixture_finish(f), 0);
    assert_int_equal(second, -EBUSY);
    assert_int_equal(access(b, F_OK), -1);
}

static void closing_ends_a_backup_and_removes_the_half(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *copy = xasprintf("%s/copy.db", f->dir), *part = xasprintf("%s/copy.db.part~", f->dir);
    put_events(f, 1, 20000);
    fixture_commit(f);
    fixture_begin(f);
    store_backup(f->s, copy, NULL, fixture_done, f);
    fixture_close(f);
    assert_true(f->is_done);
    assert_int_equal(access(part, F_OK), -1);
    if (f->result == 0) /* it was faster than we: then it is whole */
        assert_int_equal(store_check(copy, NULL), 0);
    else
        assert_int_equal(access(copy, F_OK), -1);
}

/* The numbers that the server would give out next from a restore of @f->path's backup @from at @now. */
static uint64_t restored(struct fixture *f, const char *from, const char *to, usec_t now, int outcome, struct store_next *ret_next)
{
    struct err err = { 0 };
    assert_int_equal(store_restore(from, to, now, &err), outcome);
    snprintf(f->path, sizeof(f->path), "%s", to);
    fixture_open(f);
    assert_int_equal(store_load_next(f->s, ret_next, NULL), 0);
    fixture_close(f);
    return ret_next->task;
}

static void after_a_restore_no_task_gets_a_number_the_agents_may_know(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *first = xasprintf("%s/first.db", f->dir);
    AUTO_FREE char *second = xasprintf("%s/second.db", f->dir);
    AUTO_FREE char *later = xasprintf("%s/later.db", f->dir);
    AUTO_FREE char *part = xasprintf("%s.restored~", first);
    AUTO_FREE char *backup = xstrdup(f->path);
    const usec_t now = STORE_RESTORE_EPOCH + 300 * USEC_PER_DAY;
    struct store_next before, next;
    assert_int_equal(store_load_next(f->s, &before, NULL), 0);
    put_events(f, 1, 1);
    fixture_commit(f);
    fixture_close(f);
    assert_int_equal(fd_replace_file(part, STR("of a restore that was cut off"), 0600, NULL), 0);
    assert_int_equal(restored(f, backup, first, now, STORE_RESTORED, &next), 300 * USEC_PER_DAY + 1);
    assert_int_equal(access(part, F_OK), -1);
    /* Who follows events comes back with the last he saw; a job's number is for people, and short. */
    assert_int_equal(next.event, 300 * USEC_PER_DAY + 1);
    assert_int_equal(next.trail, 300 * USEC_PER_DAY + 1);
    assert_int_equal(next.job, 300 * USEC_PER_DAY / USEC_PER_SEC + 1);
    assert_int_equal(next.audit, before.audit);
    /* The same backup once more, a second later: above every number the first restore can have given out in that second. */
    assert_int_equal(restored(f, backup, second, now + USEC_PER_SEC, STORE_RESTORED, &next), 300 * USEC_PER_DAY + USEC_PER_SEC + 1);
    /* And a backup of what was restored. */
    assert_int_equal(restored(f, first, later, now + 2 * USEC_PER_SEC, STORE_RESTORED, &next), 300 * USEC_PER_DAY + 2 * USEC_PER_SEC + 1);
    assert_true(next.task < UINT64_C(1) << 53);
    fixture_open(f);
    assert_int_equal(n_events(f), 1);
}

static void a_restore_by_a_clock_that_is_behind_still_skips_what_the_backup_gave_out(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *first = xasprintf("%s/first.db", f->dir);
    AUTO_FREE char *backup = xstrdup(f->path);
    const usec_t now = STORE_RESTORE_EPOCH + 300 * USEC_PER_DAY;
    const usec_t wrong[] = { 0, 1, STORE_RESTORE_EPOCH, now };
    struct store_next next;
    uint64_t seen[ARRAY_SIZE(wrong)];
    fixture_commit(f);
    fixture_close(f);
    const uint64_t used = restored(f, backup, first, now, STORE_RESTORED, &next) - 1;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        AUTO_FREE char *to = xasprintf("%s/wrong%zu.db", f->dir, i);
        seen[i] = restored(f, first, to, wrong[i], STORE_CLOCK_BEHIND, &next);
        assert_true(seen[i] > used + STORE_RESTORE_STEP);
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(seen[i], seen[k]);
    }
    fixture_open(f);
}

static void a_damaged_or_foreign_file_is_not_restored(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *text = xasprintf("%s/text", f->dir), *to = xasprintf("%s/to.db", f->dir),
                   *none = xasprintf("%s/none", f->dir);
    AUTO_FREE char *empty = xasprintf("%s/empty", f->dir);
    struct err err;
    put_events(f, 1, 3000);
    fixture_close(f);
    assert_int_equal(store_check(f->path, &err), 0);
    AUTO_FD int fd = open(f->path, O_RDWR | O_CLOEXEC);
    char page[4096];
    memset(page, 0x5a, sizeof(page));
    for (off_t at = 40; at < 200; at++) /* pages in the middle */
        assert_int_equal(pwrite(fd, page, sizeof(page), at * 4096), 4096);
    assert_int_equal(store_check(f->path, &err), -EBADMSG);
    assert_string_equal(err.slug, "store.corrupt");
    assert_int_equal(store_restore(f->path, to, clock_wall(&clock_real), &err), -EBADMSG);
    assert_int_equal(access(to, F_OK), -1);
    assert_int_equal(fd_replace_file(text,
                                     STR("not a database, but long enough to look at: ................."),
                                     0600, NULL),
                     0);
    assert_int_equal(store_restore(text, to, clock_wall(&clock_real), &err), -EBADMSG);
    assert_int_equal(fd_replace_file(empty, STR(""), 0600, NULL), 0);
    assert_int_equal(store_restore(empty, to, clock_wall(&clock_real), &err), -EBADMSG);
    assert_int_equal(store_restore(none, to, clock_wall(&clock_real), &err), -ENOENT);
    assert_int_equal(access(to, F_OK), -1);
}

#define T(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_backup_taken_under_load_is_one_moment),        T(an_existing_file_is_never_overwritten),
        T(a_backup_into_nowhere_fails_and_leaves_nothing), T(only_one_backup_at_a_time),
        T(closing_ends_a_backup_and_removes_the_half),     T(a_damaged_or_foreign_file_is_not_restored),
        T(after_a_restore_no_task_gets_a_number_the_agents_may_know),
        T(a_restore_by_a_clock_that_is_behind_still_skips_what_the_backup_gave_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
