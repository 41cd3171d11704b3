/* tests/unit/store/test_full.c - a disk that is really full: a small tmpfs in a mount namespace of our own.
 * Skipped where that is not allowed. The space left is another one each time, so that it runs out in another
 * place of SQLite's work each time. */
#include "fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

static bool has_mount;

static void put_task(struct fixture *f, uint64_t id)
{
    store_put_task(f->s,
                   &(struct task_row){ .id = id, .job_id = 1, .host_name = STR("some name of a host") });
}

/* Leaves @left bytes free. */
static void fill(struct fixture *f, const char *path, uint64_t left)
{
    struct statvfs v;
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(statvfs(f->dir, &v), 0);
    uint64_t n_free = v.f_bfree * v.f_frsize;
    assert_true(n_free > left);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)(n_free - left)), 0);
}

static void on_task(void *ctx, const struct task_row *t)
{
    struct fixture *f = ctx;
    assert_int_equal(t->id, ++f->n_rows); /* each one, in order */
}

static void a_disk_that_is_full_for_a_while_loses_nothing(void **state)
{
    (void)state;
    if (!has_mount)
        skip();
    struct fixture *f = fixture_new();
    assert_int_equal(mount("muster-test", f->dir, "tmpfs", 0, "size=4m"), 0);
    fixture_open(f);
    AUTO_FREE char *filler = xasprintf("%s/filler", f->dir);
    uint64_t n = 0;
    for (int round = 0; round < 12; round++) {
        struct err err;
        fill(f, filler, (uint64_t)round * 12288);
        while (store_health(f->s, NULL) == 0) {
            for (int i = 0; i < 30; i++)
                put_task(f, ++n);
            store_seal(f->s);
            fixture_wait(f);
        }
        assert_int_equal(store_health(f->s, &err), -ENOSPC);
        assert_string_equal(err.slug, "store.disk_full");
        assert_true(store_committed(f->s) < store_newest(f->s));
        assert_int_equal(unlink(filler), 0);
        fixture_commit(f); /* goes on by itself */
        while (store_health(f->s, NULL) != 0)
            fixture_wait(f);
    }
    fixture_reopen(f);
    fixture_begin(f);
    store_read_tasks(f->s, 1, 0, 1000000, on_task, fixture_done, f);
    assert_int_equal(fixture_finish(f), 0);
    assert_int_equal(f->n_rows, n);
    fixture_close(f);
    struct err err;
    assert_int_equal(store_check(f->path, &err), 0);
    assert_int_equal(umount2(f->dir, MNT_DETACH), 0);
    fixture_free(f);
}

static void a_full_disk_at_start_is_said(void **state)
{
    (void)state;
    if (!has_mount)
        skip();
    struct fixture *f = fixture_new();
    assert_int_equal(mount("muster-test", f->dir, "tmpfs", 0, "size=4m"), 0);
    AUTO_FREE char *filler = xasprintf("%s/filler", f->dir);
    fill(f, filler, 0);
    assert_int_equal(fixture_try_open(f), -ENOSPC);
    assert_string_equal(f->err.slug, "store.disk_full");
    assert_int_equal(unlink(filler), 0);
    fixture_open(f); /* what the failed start left behind does not hinder */
    fixture_close(f);
    assert_int_equal(umount2(f->dir, MNT_DETACH), 0);
    fixture_free(f);
}

static void a_read_only_disk_is_said(void **state)
{
    (void)state;
    if (!has_mount)
        skip();
    struct fixture *f = fixture_new();
    assert_int_equal(mount("muster-test", f->dir, "tmpfs", 0, "size=4m"), 0);
    fixture_open(f);
    fixture_close(f);
    assert_int_equal(mount("muster-test", f->dir, NULL, MS_REMOUNT | MS_RDONLY, "size=4m"), 0);
    assert_int_equal(fixture_try_open(f), -EROFS);
    assert_string_equal(f->err.slug, "store.read_only");
    assert_int_equal(umount2(f->dir, MNT_DETACH), 0);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_that_is_full_for_a_while_loses_nothing),
        cmocka_unit_test(a_full_disk_at_start_is_said),
        cmocka_unit_test(a_read_only_disk_is_said),
    };
    has_mount = unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
    has_mount = has_mount && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
