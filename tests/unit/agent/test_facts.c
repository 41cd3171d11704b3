/* What agent/facts.h promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/facts.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"

static char dir[64], path[96];
static struct buf body;
static struct fact_digest digest;

static int set_up(void **state)
{
    struct fact_row rows[] = { { STR("a"), STR("{\"x\":1}") }, { STR("b"), STR("{}") } };

    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/test-facts-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/facts", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/facts/%s", dir, name_of(section_names, SECTION_OS));
    body = BUF(LIMIT_SECTION_BYTES);
    assert_int_equal(body_make(rows, 2, &body, NULL), 0);
    body_digest(buf_as_str(&body), &digest);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_done(&body);
    (void)fd_remove_tree(dir);
    return 0;
}

static int read_it(struct buf *b)
{
    uint32_t status = 0;
    struct fact_digest d;
    int r = facts_read(dir, SECTION_OS, b, &status, &d);

    if (r == 0) {
        assert_int_equal(status, 7);
        assert_true(fact_digest_eq(&d, &digest));
    }
    return r;
}

static void what_is_written_is_read(void **state)
{
    AUTO(buf_done) struct buf b = BUF(LIMIT_SECTION_BYTES);

    (void)state;
    assert_int_equal(read_it(&b), -ENOENT);
    assert_int_equal(facts_write(dir, SECTION_OS, 7, &digest, buf_as_str(&body)), 0);
    assert_int_equal(read_it(&b), 0);
    assert_true(str_eq(buf_as_str(&b), buf_as_str(&body)));
}

static void a_torn_or_bent_file_is_told_from_a_whole_one(void **state)
{
    AUTO(buf_done) struct buf whole = BUF(LIMIT_SECTION_BYTES);

    (void)state;
    assert_int_equal(facts_write(dir, SECTION_OS, 7, &digest, buf_as_str(&body)), 0);
    assert_int_equal(fd_read_file(path, &whole), 0);
    for (size_t i = 0; i < whole.len; i++) {
        AUTO(buf_done) struct buf b = BUF(LIMIT_SECTION_BYTES), c = BUF(LIMIT_SECTION_BYTES);

        assert_int_equal(truncate(path, (off_t)i), 0);
        assert_int_equal(read_it(&b), -EBADMSG);
        whole.ptr[i] ^= 1;
        assert_int_equal(fd_replace_file(path, buf_as_str(&whole), 0600, NULL), 0);
        assert_int_equal(read_it(&c), -EBADMSG);
        whole.ptr[i] ^= 1;
        assert_int_equal(fd_replace_file(path, buf_as_str(&whole), 0600, NULL), 0);
    }
}

static void what_cannot_be_written_leaves_the_file_as_it_was(void **state)
{
    AUTO(buf_done) struct buf b = BUF(LIMIT_SECTION_BYTES);
    AUTO_FREE char *tmp = xasprintf("%s.tmp~", path);

    (void)state;
    assert_int_equal(facts_write(dir, SECTION_OS, 7, &digest, buf_as_str(&body)), 0);
    assert_int_equal(mkdir(tmp, 0700), 0); /* in the way of the new one */
    assert_int_equal(facts_write(dir, SECTION_OS, 8, &digest, STR_NONE), -EISDIR);
    assert_int_equal(read_it(&b), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(what_is_written_is_read),
        T(a_torn_or_bent_file_is_told_from_a_whole_one),
        T(what_cannot_be_written_leaves_the_file_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
