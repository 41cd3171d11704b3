/* What hold/spec.h and agent/ledger.h promise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "agent/ledger.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "hold/spec.h"

static const char *argv_[] = { "echo", "", "a b", NULL };
static const char *env_[] = { "A=1", NULL };
static const struct hold_spec sample = {
    .task_id = 7, .timeout_us = 1, .grace_us = 2, .output_cap_bytes = 3, .start_before_us = 4, .boot = 6, .stdin_given = 5,
    .stdin_mode = HOLD_STDIN_PIPE, .user = "root", .cwd = "/tmp", .argv = argv_, .env = env_,
};

static void a_spec_comes_back_as_it_was(void **state)
{
    AUTO(buf_done) struct buf b = BUF(SPEC_MAX_BYTES);
    AUTO(hold_spec_done) struct hold_spec s;

    (void)state;
    assert_int_equal(hold_spec_write(&sample, &b), 0);
    assert_int_equal(hold_spec_read(buf_as_str(&b), &s), 0);
    assert_true(s.task_id == 7 && s.timeout_us == 1 && s.grace_us == 2 && s.output_cap_bytes == 3 && s.start_before_us == 4 &&
                s.boot == 6 && s.stdin_given == 5 && s.stdin_mode == HOLD_STDIN_PIPE);
    assert_string_equal(s.user, "root");
    assert_string_equal(s.cwd, "/tmp");
    for (int i = 0; i < 3; i++)
        assert_string_equal(s.argv[i], argv_[i]);
    assert_null(s.argv[3]);
    assert_string_equal(s.env[0], "A=1");
    assert_null(s.env[1]);
}

static void a_spec_cut_anywhere_or_with_a_bit_flipped_is_none(void **state)
{
    AUTO(buf_done) struct buf b = BUF(SPEC_MAX_BYTES);
    struct hold_spec s;

    (void)state;
    assert_int_equal(hold_spec_write(&sample, &b), 0);
    for (size_t n = 0; n < b.len; n++) {
        assert_int_equal(hold_spec_read(str_bytes(b.ptr, n), &s), -EBADMSG);
        assert_null(s.argv);
    }
    for (size_t i = 0; i < b.len * 8; i++) {
        b.ptr[i / 8] ^= (uint8_t)(1 << (i % 8));
        assert_int_equal(hold_spec_read(buf_as_str(&b), &s), -EBADMSG);
        b.ptr[i / 8] ^= (uint8_t)(1 << (i % 8));
    }
    assert_int_equal(buf_char(&b, 'x'), 0);
    assert_int_equal(hold_spec_read(buf_as_str(&b), &s), -EBADMSG);
}

static void words_are_limited(void **state)
{
    AUTO(buf_done) struct buf b = BUF(SPEC_MAX_BYTES);
    AUTO_FREE const char **many = xcalloc(LIMIT_ARGV + 2, sizeof(*many));
    AUTO_FREE char *big = xmalloc(SPEC_MAX_BYTES + 1);
    struct hold_spec s = sample;

    (void)state;
    for (size_t i = 0; i < LIMIT_ARGV; i++)
        many[i] = "x";
    s.argv = many;
    assert_int_equal(hold_spec_write(&s, &b), 0);
    many[LIMIT_ARGV] = "x";
    assert_int_equal(hold_spec_write(&s, &b), -EINVAL);
    s.argv = (const char *[]){ NULL };
    assert_int_equal(hold_spec_write(&s, &b), -EINVAL);
    memset(big, 'x', SPEC_MAX_BYTES);
    big[SPEC_MAX_BYTES] = '\0';
    s.argv = (const char *[]){ big, NULL };
    assert_int_equal(hold_spec_write(&s, &b), -ENOBUFS);
    big[SPEC_MAX_NAME + 1] = '\0';
    s.argv = argv_;
    s.cwd = big;
    assert_int_equal(hold_spec_write(&s, &b), -EINVAL);
    big[SPEC_MAX_NAME] = '\0';
    assert_int_equal(hold_spec_write(&s, &b), 0);
}

static void an_end_comes_back_and_what_lies_behind_does_not_matter(void **state)
{
    struct hold_end e = { .outcome = HOLD_SIGNALED, .exit_code = -1, .signal = 9, .started_at_us = 1, .finished_at_us = 2,
                          .stdout_bytes = 3, .stderr_bytes = 4, .stdout_total = 5, .stderr_total = 6, .is_stderr_cut = true,
                          .message = "because" };
    uint8_t bytes[512] = { 0 };
    struct hold_end r;
    size_t n = hold_end_write(&e, bytes);

    (void)state;
    assert_int_equal(hold_end_read(str_bytes(bytes, sizeof(bytes)), &r), 0);
    assert_memory_equal(&r, &e, sizeof(e));
    for (size_t i = 0; i < n; i++)
        assert_int_equal(hold_end_read(str_bytes(bytes, i), &r), -EBADMSG);
    for (size_t i = 0; i < n * 8; i++) {
        bytes[i / 8] ^= (uint8_t)(1 << (i % 8));
        assert_int_equal(hold_end_read(str_bytes(bytes, sizeof(bytes)), &r), -EBADMSG);
        bytes[i / 8] ^= (uint8_t)(1 << (i % 8));
    }
}

static void a_start_tells_a_recycled_pid(void **state)
{
    struct hold_started s = { .pid = (uint32_t)getpid(), .at_us = 1, .pid_ticks = hold_pid_ticks((uint32_t)getpid()) }, r;
    uint8_t bytes[STARTED_BYTES];

    (void)state;
    assert_true(s.pid_ticks > 0);
    hold_started_write(&s, bytes);
    assert_int_equal(hold_started_read(str_bytes(bytes, sizeof(bytes)), &r), 0);
    assert_true(r.pid == s.pid && r.pid_ticks == s.pid_ticks && r.at_us == 1);
    bytes[9] ^= 1;
    assert_int_equal(hold_started_read(str_bytes(bytes, sizeof(bytes)), &r), -EBADMSG);
    assert_int_equal(hold_pid_ticks(UINT32_MAX), 0);
}

/* -- the ledger */

static char dir[64];
static int dir_fd;

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/test-ledger-XXXXXX");
    assert_non_null(mkdtemp(dir));
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)close(dir_fd);
    (void)fd_remove_tree(dir);
    return 0;
}

static struct ledger *open_ledger(void)
{
    struct ledger *g = NULL;

    assert_int_equal(ledger_open(dir_fd, "ledger", &g, NULL), 0);
    return g;
}

static void states_survive_and_only_open_ones_are_visited(void **state)
{
    struct ledger *g = open_ledger();
    enum ledger_state st;
    uint32_t iter = 0;
    uint64_t id;

    (void)state;
    assert_int_equal(ledger_get(g, 5), LEDGER_NEVER);
    assert_int_equal(ledger_set(g, 5, LEDGER_QUEUED), 0);
    assert_int_equal(ledger_set(g, 6, LEDGER_STARTED), 0);
    assert_int_equal(ledger_set(g, 7, LEDGER_STARTED), 0);
    assert_int_equal(ledger_set(g, 7, LEDGER_FORGOTTEN), 0);
    assert_int_equal(ledger_set(g, 8, LEDGER_FORGOTTEN), 0); /* never heard of: nothing to forget */
    ledger_free(g);
    g = open_ledger();
    assert_int_equal(ledger_get(g, 7), LEDGER_FORGOTTEN);
    assert_int_equal(ledger_get(g, 8), LEDGER_NEVER);
    assert_true(ledger_next(g, &iter, &id, &st) && id == 5 && st == LEDGER_QUEUED);
    assert_true(ledger_next(g, &iter, &id, &st) && id == 6 && st == LEDGER_STARTED);
    assert_false(ledger_next(g, &iter, &id, &st));
    ledger_free(g);
}

static void the_newest_are_remembered_and_open_ones_are_never_overwritten(void **state)
{
    struct ledger *g = open_ledger();

    (void)state;
    assert_int_equal(ledger_set(g, 1, LEDGER_STARTED), 0);
    for (uint64_t id = 2; id < 2 + LEDGER_SLOTS * 2; id++) {
        assert_int_equal(ledger_set(g, id, LEDGER_QUEUED), 0);
        assert_int_equal(ledger_set(g, id, LEDGER_FORGOTTEN), 0);
        if (id % 1000 == 0) {
            ledger_free(g);
            g = open_ledger();
        }
    }
    assert_int_equal(ledger_get(g, 1), LEDGER_STARTED);
    assert_int_equal(ledger_get(g, 2), LEDGER_NEVER);
    for (uint64_t id = LEDGER_SLOTS * 2 + 1, n = 0; n < LEDGER_SLOTS - 1; id--, n++)
        assert_int_equal(ledger_get(g, id), LEDGER_FORGOTTEN);
    ledger_free(g);
}

static void a_full_ledger_refuses(void **state)
{
    AUTO(ledger_free) struct ledger *g = open_ledger();

    (void)state;
    for (uint64_t id = 1; id <= LEDGER_SLOTS; id++)
        assert_int_equal(ledger_set(g, id, LEDGER_QUEUED), 0);
    assert_int_equal(ledger_set(g, LEDGER_SLOTS + 1, LEDGER_QUEUED), -ENOSPC);
    assert_int_equal(ledger_set(g, 17, LEDGER_FORGOTTEN), 0);
    assert_int_equal(ledger_set(g, LEDGER_SLOTS + 1, LEDGER_QUEUED), 0);
}

static void a_torn_slot_is_empty_and_hides_no_other(void **state)
{
    struct ledger *g = open_ledger();
    int fd;

    (void)state;
    for (uint64_t id = 1; id <= 3; id++)
        assert_int_equal(ledger_set(g, id, LEDGER_STARTED), 0);
    ledger_free(g);
    fd = openat(dir_fd, "ledger", O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, LEDGER_SLOT_BYTES + 3), 1);
    assert_int_equal(close(fd), 0);
    g = open_ledger();
    assert_int_equal(ledger_get(g, 1), LEDGER_STARTED);
    assert_int_equal(ledger_get(g, 2), LEDGER_NEVER);
    assert_int_equal(ledger_get(g, 3), LEDGER_STARTED);
    ledger_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
        cmocka_unit_test(a_spec_comes_back_as_it_was),
        cmocka_unit_test(a_spec_cut_anywhere_or_with_a_bit_flipped_is_none),
        cmocka_unit_test(words_are_limited),
        cmocka_unit_test(an_end_comes_back_and_what_lies_behind_does_not_matter),
        cmocka_unit_test(a_start_tells_a_recycled_pid),
        T(states_survive_and_only_open_ones_are_visited),
        T(the_newest_are_remembered_and_open_ones_are_never_overwritten),
        T(a_full_ledger_refuses),
        T(a_torn_slot_is_empty_and_hides_no_other),
#undef T
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
