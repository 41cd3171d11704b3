/* Promises of secret_file_*() in agent/dialects/personality.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/dialects/personality.h"
#include "base/fd.h"
#include "base/mem.h"

static char dir[64], path[96];

static int up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/test-secret-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/key", dir);
    return 0;
}

static int down(void **state)
{
    (void)state;
    return fd_remove_tree(dir);
}

static mode_t mode_of(const char *p)
{
    struct stat st;

    assert_int_equal(lstat(p, &st), 0);
    return st.st_mode & 07777;
}

static void what_is_written_is_read_back_trimmed_and_private(void **state)
{
    AUTO(buf_done) struct buf b = BUF(64);
    struct err err = { 0 };

    (void)state;
    (void)umask(0);
    assert_int_equal(secret_file_write(path, STR("  gpak_x\n"), &err), 0);
    assert_int_equal(mode_of(path), 0600);
    assert_int_equal(secret_file_read(path, 64, &b, &err), 0);
    assert_string_equal(buf_as_cstr(&b), "gpak_x");
}

static void a_file_others_can_read_is_refused(void **state)
{
    static const mode_t modes[] = { 0640, 0604, 0620, 0601, 0644 };
    AUTO(buf_done) struct buf b = BUF(64);
    struct err err = { 0 };

    (void)state;
    assert_int_equal(secret_file_write(path, STR("k"), &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_int_equal(secret_file_read(path, 64, &b, &err), -EPERM);
        assert_string_equal(err.slug, "file.mode");
    }
    assert_int_equal(b.len, 0);
    assert_int_equal(chmod(path, 0400), 0);
    assert_int_equal(secret_file_read(path, 64, &b, &err), 0);
}

static void a_file_of_another_user_is_refused(void **state)
{
    AUTO(buf_done) struct buf b = BUF(64);
    struct err err = { 0 };

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(secret_file_write(path, STR("k"), &err), 0);
    assert_int_equal(chown(path, 12345, 12345), 0);
    assert_int_equal(secret_file_read(path, 64, &b, &err), -EPERM);
    assert_string_equal(err.slug, "file.owner");
}

static void missing_too_large_and_not_a_file_are_told_apart(void **state)
{
    AUTO(buf_done) struct buf b = BUF(64);
    struct err err = { 0 };

    (void)state;
    assert_int_equal(secret_file_read(path, 64, &b, &err), -ENOENT);
    assert_int_equal(secret_file_read(dir, 64, &b, &err), -EINVAL);
    assert_int_equal(secret_file_write(path, STR("12345678"), &err), 0);
    assert_int_equal(secret_file_read(path, 7, &b, &err), -EMSGSIZE);
    assert_int_equal(secret_file_read(path, 8, &b, &err), 0);
    assert_int_equal(b.len, 8);
    buf_reset(&b);
    assert_int_equal(secret_file_write(path, STR(""), &err), 0);
    assert_int_equal(secret_file_read(path, 8, &b, &err), 0);
    assert_int_equal(b.len, 0);
}

/* A link in the place of the temporary is not followed, and one in the place of the file is replaced. */
static void a_planted_link_is_not_written_through(void **state)
{
    AUTO_FREE char *victim = xasprintf("%s/victim", dir), *tmp = xasprintf("%s.tmp~", path);
    AUTO(buf_done) struct buf b = BUF(64);
    struct err err = { 0 };

    (void)state;
    assert_int_equal(fd_replace_file(victim, STR("old"), 0644, &err), 0);
    assert_int_equal(symlink(victim, path), 0);
    assert_int_equal(symlink(victim, tmp), 0);
    assert_int_equal(secret_file_write(path, STR("new"), &err), 0);
    assert_int_equal(fd_read_file(victim, &b), 0);
    assert_string_equal(buf_as_cstr(&b), "old");
    assert_int_equal(mode_of(path), 0600);
}

static void room_is_taken_first_and_used_or_given_back(void **state)
{
    AUTO(secret_room_done) struct secret_room room = { 0 };
    AUTO_FREE char *tmp = xasprintf("%s.new~", path), *victim = xasprintf("%s/victim", dir);
    AUTO(buf_done) struct buf b = BUF(64);
    struct err err = { 0 };
    struct stat st;

    (void)state;
    (void)umask(0);
    assert_int_equal(secret_file_write(path, STR("old"), &err), 0);
    assert_int_equal(mkdir(tmp, 0700), 0); /* stands for a disk without room */
    assert_true(secret_room_take(path, 4096, &room, &err) < 0);
    assert_string_equal(err.slug, "file.write");
    assert_null(room.path);
    assert_int_equal(rmdir(tmp), 0);
    assert_int_equal(fd_replace_file(victim, STR("theirs"), 0644, &err), 0);
    assert_int_equal(symlink(victim, tmp), 0);
    assert_int_equal(secret_room_take(path, 4096, &room, &err), 0);
    assert_int_equal(mode_of(tmp), 0600);
    assert_int_equal(stat(tmp, &st), 0);
    assert_int_equal(st.st_size, 4096);
    struct secret_room other = { 0 };
    assert_int_equal(secret_room_take(path, 4, &other, &err), -EBUSY); /* a second registration at the same time */
    assert_string_equal(err.slug, "file.busy");
    secret_room_done(&room);
    assert_int_equal(access(tmp, F_OK), -1);
    assert_int_equal(secret_room_take(path, 4, &room, &err), 0);
    assert_int_equal(secret_room_fill(&room, STR("12345"), &err), -ENOBUFS);
    assert_int_equal(secret_room_take(path, 4, &room, &err), 0);
    assert_int_equal(secret_file_read(path, 64, &b, &err), 0);
    assert_string_equal(buf_as_cstr(&b), "old");
    assert_int_equal(secret_room_fill(&room, STR("new"), &err), 0);
    assert_int_equal(access(tmp, F_OK), -1);
    buf_reset(&b);
    assert_int_equal(secret_file_read(path, 64, &b, &err), 0);
    assert_string_equal(buf_as_cstr(&b), "new");
    assert_int_equal(mode_of(path), 0600);
    buf_reset(&b);
    assert_int_equal(fd_read_file(victim, &b), 0);
    assert_string_equal(buf_as_cstr(&b), "theirs");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        T(what_is_written_is_read_back_trimmed_and_private),
        T(a_file_others_can_read_is_refused),
        T(a_file_of_another_user_is_refused),
        T(missing_too_large_and_not_a_file_are_told_apart),
        T(a_planted_link_is_not_written_through),
        T(room_is_taken_first_and_used_or_given_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
