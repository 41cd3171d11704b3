/* tests/unit/base/test_fd.c - the promises of base/fd.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/mem.h"

static char dir[] = "/tmp/muster-fd-XXXXXX";

static const char *in_dir(const char *name)
{
    static char path[4][512];
    static int at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof(path[at]), "%s/%s", dir, name);
    return path[at];
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return fd_remove_tree(dir);
}

static void replace_leaves_the_new_file_with_its_mode(void **state)
{
    (void)state;
    const char *path = in_dir("file");
    struct stat st;
    umask(0077);
    assert_int_equal(fd_replace_file(path, STR("one"), 0644, NULL), 0);
    assert_int_equal(fd_replace_file(path, STR("two"), 0640, NULL), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    AUTO(buf_done) struct buf b = BUF(3);
    assert_int_equal(fd_read_file(path, &b), 0);
    assert_true(str_is(buf_as_str(&b), "two"));
    assert_int_equal(access(in_dir("file.tmp~"), F_OK), -1);
}

static void a_failed_replace_keeps_the_old_file_and_says_why(void **state)
{
    (void)state;
    struct err err = { 0 };
    assert_int_equal(fd_replace_file(in_dir("no/such"), STR("x"), 0600, &err), -ENOENT);
    assert_string_equal(err.slug, "file.write");
    assert_non_null(strstr(err.text, "No such file"));
    assert_int_equal(mkdir(in_dir("taken"), 0700), 0);
    assert_true(fd_replace_file(in_dir("taken"), STR("x"), 0600, &err) < 0);
    assert_int_equal(access(in_dir("taken.tmp~"), F_OK), -1);
}

static void a_planted_link_is_not_followed(void **state)
{
    (void)state;
    assert_int_equal(fd_replace_file(in_dir("victim"), STR("safe"), 0600, NULL), 0);
    assert_int_equal(symlink(in_dir("victim"), in_dir("target.tmp~")), 0);
    assert_int_equal(fd_replace_file(in_dir("target"), STR("new"), 0600, NULL), 0);
    AUTO(buf_done) struct buf b = BUF(64);
    assert_int_equal(fd_read_file(in_dir("victim"), &b), 0);
    assert_true(str_is(buf_as_str(&b), "safe"));
}

static void reading_stops_at_the_maximum(void **state)
{
    (void)state;
    const char *path = in_dir("ten");
    assert_int_equal(fd_replace_file(path, STR("0123456789"), 0600, NULL), 0);
    AUTO(buf_done) struct buf over = BUF(9);
    AUTO(buf_done) struct buf exact = BUF(10);
    assert_int_equal(fd_read_file(path, &over), -ENOBUFS);
    assert_int_equal(over.len, 0);
    assert_int_equal(fd_read_file(path, &exact), 0);
    assert_int_equal(exact.len, 10);
    assert_int_equal(fd_read_file(in_dir("none"), &exact), -ENOENT);
    AUTO(buf_done) struct buf proc = BUF(1 << 20);
    assert_int_equal(fd_read_file("/proc/self/status", &proc), 0);
    assert_true(proc.len > 100);
}

static void pipes_carry_all_or_tell(void **state)
{
    (void)state;
    int p[2];
    char back[6];
    assert_int_equal(pipe(p), 0);
    struct iovec iov[] = { iov_of("abc", 3), iov_of("", 0), iov_of("def", 3) };
    assert_int_equal(fd_writev_all(p[1], iov, 3), 0);
    assert_int_equal(fd_read_all(p[0], back, 6), 0);
    assert_memory_equal(back, "abcdef", 6);
    assert_int_equal(fd_set_nonblock(p[0]), 0);
    assert_int_equal(fd_read_all(p[0], back, 1), -EAGAIN);
    fd_close(&p[1]);
    assert_int_equal(p[1], -1);
    assert_int_equal(fd_read_all(p[0], back, 1), -EIO);
    fd_close(&p[0]);
    fd_close(&p[0]);
    assert_int_equal(fd_write_all(-1, "x", 1), -EBADF);
}

static void trees_are_made_and_removed_without_following_links(void **state)
{
    (void)state;
    assert_int_equal(fd_mkdirs(in_dir("a/b/c"), 0700), 0);
    assert_int_equal(fd_mkdirs(in_dir("a/b/c"), 0700), 0);
    assert_int_equal(fd_mkdirs(in_dir("a/b/c/"), 0700), 0);
    assert_int_equal(fd_replace_file(in_dir("a/b/c/f"), STR("x"), 0600, NULL), 0);
    assert_int_equal(fd_replace_file(in_dir("outside"), STR("x"), 0600, NULL), 0);
    assert_int_equal(symlink("..", in_dir("a/b/up")), 0);
    assert_int_equal(symlink(in_dir("outside"), in_dir("a/link")), 0);
    assert_int_equal(fd_mkdirs(in_dir("outside/x"), 0700), -ENOTDIR);
    assert_int_equal(fd_mkdirs(in_dir("outside"), 0700), -ENOTDIR);
    assert_int_equal(fd_remove_tree(in_dir("a")), 0);
    assert_int_equal(access(in_dir("a"), F_OK), -1);
    assert_int_equal(access(in_dir("outside"), F_OK), 0);
    assert_int_equal(fd_remove_tree(in_dir("a")), 0);
    assert_int_equal(fd_sync_parent(in_dir("outside")), 0);
}

static void what_others_could_change_is_refused_with_which_and_how_to_mend_it(void **state)
{
    const char *path = in_dir("rules");
    AUTO_FREE char *name = xstrdup(path);
    struct err err = { 0 };

    (void)state;
    assert_int_equal(fd_replace_file(name, STR("x"), 0644, NULL), 0);
    AUTO_FD int fd = open(name, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fd_check_owned(fd, name, "rules.bad", &err), 0);
    assert_int_equal(chmod(name, 0664), 0);
    assert_int_equal(fd_check_owned(fd, name, "rules.bad", &err), -EPERM);
    assert_string_equal(err.slug, "rules.bad");
    assert_non_null(strstr(err.text, "mode 664"));
    assert_non_null(strstr(err.text, "chmod go-w /"));
    assert_int_equal(chmod(name, 0644), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(name, 4321, (gid_t)-1), 0);
        assert_int_equal(fd_check_owned(fd, name, "rules.bad", &err), -EPERM);
        assert_non_null(strstr(err.text, "uid 4321"));
        assert_non_null(strstr(err.text, "chown root /"));
    }
    AUTO_FD int top = open("/", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fd_check_owned(top, "/", "rules.bad", &err), -EPERM);
    assert_non_null(strstr(err.text, "no regular file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replace_leaves_the_new_file_with_its_mode),
        cmocka_unit_test(a_failed_replace_keeps_the_old_file_and_says_why),
        cmocka_unit_test(a_planted_link_is_not_followed),
        cmocka_unit_test(reading_stops_at_the_maximum),
        cmocka_unit_test(pipes_carry_all_or_tell),
        cmocka_unit_test(what_others_could_change_is_refused_with_which_and_how_to_mend_it),
        cmocka_unit_test(trees_are_made_and_removed_without_following_links),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
