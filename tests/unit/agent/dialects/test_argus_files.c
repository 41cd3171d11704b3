/* Promises about what the Argus personalities keep on disk: argus_cache.c, argus_book.c, argus_logs.c, argus_spool.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/dialects/argus_report.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/text.h"

static char top[64], dir[96];

static int up(void **state)
{
    (void)state;
    (void)snprintf(top, sizeof(top), "/tmp/test-argus-XXXXXX");
    assert_non_null(mkdtemp(top));
    (void)snprintf(dir, sizeof(dir), "%s/home", top);
    return 0;
}

static int down(void **state)
{
    (void)state;
    return fd_remove_tree(top);
}

static const char *in_dir(const char *name)
{
    static char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static mode_t mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    return st.st_mode & 07777;
}

static void put(const char *path, const char *text, mode_t mode)
{
    assert_int_equal(fd_replace_file(path, str_of(text), mode, NULL), 0);
}

/* -- cache */

static void the_directory_is_made_private_and_made_private_again(void **state)
{
    (void)state;
    assert_int_equal(argus__dir_make(dir, NULL), 0);
    assert_int_equal(mode_of(dir), 0700);
    assert_int_equal(mode_of(in_dir("logs")), 0700);
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(argus__dir_make(dir, NULL), 0);
    assert_int_equal(mode_of(dir), 0700);
}

static void a_directory_of_somebody_else_is_refused(void **state)
{
    struct err err = { 0 };

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(chown(dir, 12345, 12345), 0);
    assert_int_equal(argus__dir_make(dir, &err), -EPERM);
    assert_string_equal(err.slug, "argus.directory");
}

static void one_agent_holds_the_lock(void **state)
{
    struct err err = { 0 };
    int fd, other;

    (void)state;
    assert_int_equal(argus__dir_make(dir, NULL), 0);
    fd = argus__dir_lock(dir, NULL);
    assert_true(fd >= 0);
    assert_int_equal(argus__dir_lock(dir, &err), -EBUSY);
    assert_string_equal(err.slug, "argus.busy");
    (void)close(fd);
    other = argus__dir_lock(dir, NULL);
    assert_true(other >= 0);
    (void)close(other);
}

static void a_registration_is_read_back_and_private(void **state)
{
    struct argus_cache c = { .url = (char *)(uintptr_t) "https://a.example/x", .agent_id = (char *)(uintptr_t) "agent-0123456789ab",
                             .token = (char *)(uintptr_t) "ag_live_\"\\x", .poll_s = 7 };
    AUTO(argus__cache_done) struct argus_cache got = { 0 };
    AUTO(secret_room_done) struct secret_room room = { 0 };
    struct err err = { 0 };

    (void)state;
    assert_int_equal(argus__dir_make(dir, NULL), 0);
    assert_int_equal(argus__cache_read(dir, &got, &err), -ENOENT);
    assert_string_equal(err.slug, "argus.unregistered");
    assert_int_equal(argus__cache_room(dir, &room, NULL), 0);
    assert_int_equal(argus__cache_read(dir, &got, &err), -ENOENT); /* nothing there yet */
    assert_int_equal(argus__cache_write(&room, &c, NULL), 0);
    assert_int_equal(mode_of(in_dir("token.json")), 0600);
    assert_int_equal(argus__cache_read(dir, &got, NULL), 0);
    assert_string_equal(got.url, c.url);
    assert_string_equal(got.agent_id, c.agent_id);
    assert_string_equal(got.token, c.token);
    assert_int_equal(got.poll_s, 7);
    assert_int_equal(chmod(in_dir("token.json"), 0640), 0);
    assert_int_equal(argus__cache_read(dir, &got, &err), -EPERM);
}

static void what_is_no_registration_is_not_taken_for_one(void **state)
{
    static const char *const bad[] = {
        "", "{", "[]", "{\"argus_url\":\"https://a\",\"agent_id\":\"a\"}", "{\"argus_url\":\"https://a\",\"agent_token\":\"t\"}",
        "{\"argus_url\":\"https://a\",\"agent_id\":\"../../x\",\"agent_token\":\"t\"}",
        "{\"argus_url\":\"https://a\",\"agent_id\":5,\"agent_token\":\"t\"}",
    };
    AUTO(argus__cache_done) struct argus_cache got = { 0 };

    (void)state;
    assert_int_equal(argus__dir_make(dir, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        put(in_dir("token.json"), bad[i], 0600);
        assert_int_equal(argus__cache_read(dir, &got, NULL), -EBADMSG);
        assert_null(got.token);
    }
}

static void origins_are_scheme_host_and_port(void **state)
{
    (void)state;
    assert_true(argus__same_origin("https://A.example", "https://a.example:443/x/"));
    assert_true(argus__same_origin("http://a:80", "http://a"));
    assert_false(argus__same_origin("https://a", "http://a"));
    assert_false(argus__same_origin("https://a", "https://a:444"));
    assert_false(argus__same_origin("https://a", "https://b"));
    assert_false(argus__same_origin("https://a", "nonsense"));
}

/* -- book */

static void the_book_survives_with_all_it_says(void **state)
{
    AUTO(argus__book_free) struct argus_book *b = NULL;
    AUTO(argus__book_free) struct argus_book *got = NULL;
    struct argus_cmd *c;

    (void)state;
    assert_int_equal(argus__dir_make(dir, NULL), 0);
    assert_int_equal(argus__book_open(dir, &b, NULL), 0);
    assert_int_equal(b->next_task, 1);
    b->next_task = 9;
    b->has_exit = true;
    b->heartbeat_s = 31;
    c = argus__book_add(b, STR("c-1"), STR("batch \"1\""), ARGUS_RERUN);
    c->phase = ARGUS_RUNNING;
    c->task = 8;
    c->pid = 4321;
    c->pid_ticks = 1ull << 60;
    argus__cmd_answer(c, ARGUS_STARTED, NULL);
    c = argus__book_add(b, STR("c-2"), STR("batch \"1\""), ARGUS_STOP);
    c->phase = ARGUS_OVER;
    argus__cmd_answer(c, ARGUS_FAILED, "no longer\nrunning");
    c->is_exit_due = c->has_exit = true;
    c->exit_code = 255;
    c->signal = 9;
    c->runtime = 123456789;
    assert_int_equal(argus__book_save(b), 0);
    assert_int_equal(mode_of(in_dir("state.json")), 0600);

    assert_int_equal(argus__book_open(dir, &got, NULL), 0);
    assert_int_equal(got->next_task, 9);
    assert_true(got->has_exit && !got->has_wait && got->heartbeat_s == 31);
    c = argus__book_find(got, STR("c-1"));
    assert_non_null(c);
    assert_true(c->kind == ARGUS_RERUN && c->phase == ARGUS_RUNNING && c->task == 8 && c->pid == 4321 && c->pid_ticks == 1ull << 60);
    assert_true(c->answer == ARGUS_STARTED && !c->is_acked && !c->error && !c->is_exit_due);
    assert_ptr_equal(argus__book_task(got, 8), c);
    assert_ptr_equal(argus__book_rerun(got, STR("batch \"1\"")), c);
    c = argus__book_find(got, STR("c-2"));
    assert_true(c->kind == ARGUS_STOP && c->phase == ARGUS_OVER && c->answer == ARGUS_FAILED && c->is_exit_due && c->has_exit);
    assert_string_equal(c->error, "no longer\nrunning");
    assert_true(c->exit_code == 255 && c->signal == 9 && c->runtime == 123456789);
    assert_null(argus__book_task(got, 0));
    assert_null(argus__book_rerun(got, STR("other")));
}

static void a_book_that_cannot_be_read_is_not_an_empty_one(void **state)
{
    static const char *const bad[] = { "{", "{\"version\":2,\"next_task\":1}", "[]", "{\"version\":1,\"next_task\":1,\"commands\":[{\"id\":\"x\"}]}" };
    struct argus_book *b = NULL;

    (void)state;
    assert_int_equal(argus__dir_make(dir, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err err = { 0 };

        put(in_dir("state.json"), bad[i], 0600);
        assert_true(argus__book_open(dir, &b, &err) < 0);
        assert_string_equal(err.slug, "argus.book");
        assert_null(b);
    }
    put(in_dir("state.json"), "{\"version\":1,\"next_task\":1}", 0644);
    assert_int_equal(argus__book_open(dir, &b, NULL), -EPERM);
}

static void the_oldest_that_are_quite_over_are_dropped_and_no_others(void **state)
{
    AUTO(argus__book_free) struct argus_book *b = NULL;
    char id[32];

    (void)state;
    assert_int_equal(argus__dir_make(dir, NULL), 0);
    assert_int_equal(argus__book_open(dir, &b, NULL), 0);
    for (int i = 0; i < ARGUS_BOOK_KEPT + 10; i++) {
        struct argus_cmd *c;

        (void)snprintf(id, sizeof(id), "c-%d", i);
        c = argus__book_add(b, str_of(id), STR("b"), ARGUS_RERUN);
        c->phase = i == 0 ? ARGUS_RUNNING : ARGUS_OVER;
        c->is_acked = i != 1;
        c->is_exit_due = i == 2;
    }
    assert_int_equal(b->cmds.n, ARGUS_BOOK_KEPT);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(id, sizeof(id), "c-%d", i);
        assert_non_null(argus__book_find(b, str_of(id)));
    }
    assert_null(argus__book_find(b, STR("c-3")));
    assert_non_null(argus__book_find(b, STR("c-13")));
    assert_int_equal(argus__book_save(b), 0);
}

/* -- logs */

static void the_tail_of_a_log_is_text_without_controls(void **state)
{
    AUTO(buf_done) struct buf tail = BUF(ARGUS_LOG_TAIL_MAX), big = BUF(1 << 20);

    (void)state;
    assert_int_equal(argus__dir_make(dir, NULL), 0);
    argus__log_tail(dir, "none", &tail);
    assert_int_equal(tail.len, 0);
    assert_int_equal(fd_replace_file(in_dir("logs/a.log"), STR("x\x1b[1m\0\xff\xc3\xa9\r\n"), 0600, NULL), 0);
    argus__log_tail(dir, "a", &tail);
    assert_string_equal(buf_as_cstr(&tail), "x [1m \xef\xbf\xbd\xc3\xa9 \n");
    for (int size = ARGUS_LOG_TAIL_MAX - 1; size <= ARGUS_LOG_TAIL_MAX + 1; size++) {
        buf_reset(&big);
        buf_reset(&tail);
        for (int i = 0; i < size; i++)
            (void)buf_char(&big, i == 0 ? 'F' : 'x');
        put(in_dir("logs/b.log"), buf_as_cstr(&big), 0600);
        argus__log_tail(dir, "b", &tail);
        assert_int_equal(tail.len, size < ARGUS_LOG_TAIL_MAX ? size : ARGUS_LOG_TAIL_MAX);
        assert_int_equal(tail.ptr[0], size <= ARGUS_LOG_TAIL_MAX ? 'F' : 'x');
    }
    /* every byte invalid: three times as long as read, cut at a character */
    buf_reset(&big);
    buf_reset(&tail);
    for (int i = 0; i < ARGUS_LOG_TAIL_MAX; i++)
        (void)buf_char(&big, '\xff');
    assert_int_equal(fd_replace_file(in_dir("logs/c.log"), buf_as_str(&big), 0600, NULL), 0);
    argus__log_tail(dir, "c", &tail);
    assert_true(tail.len <= ARGUS_LOG_TAIL_MAX && tail.len > ARGUS_LOG_TAIL_MAX - 4 && utf8_is_valid(buf_as_str(&tail)));
}

static void a_log_above_its_maximum_moves_aside_and_its_writer_goes_on(void **state)
{
    AUTO(buf_done) struct buf b = BUF(64);
    AUTO_FD int fd = -1;

    (void)state;
    assert_int_equal(argus__dir_make(dir, NULL), 0);
    fd = open(in_dir("logs/a.log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_int_equal(fd_write_all(fd, "0123456789", 10), 0);
    assert_int_equal(argus__log_rotate(dir, "a", 10), 0);
    assert_int_equal(access(in_dir("logs/a.log.1"), F_OK), -1);
    assert_int_equal(fd_write_all(fd, "x", 1), 0);
    assert_int_equal(argus__log_rotate(dir, "a", 10), 0);
    assert_int_equal(fd_write_all(fd, "after", 5), 0);
    assert_int_equal(fd_read_file(in_dir("logs/a.log"), &b), 0);
    assert_string_equal(buf_as_cstr(&b), "after");
    buf_reset(&b);
    assert_int_equal(fd_read_file(in_dir("logs/a.log.1"), &b), 0);
    assert_string_equal(buf_as_cstr(&b), "0123456789x");
    assert_int_equal(mode_of(in_dir("logs/a.log.1")), 0600);
    assert_int_equal(argus__log_rotate(dir, "none", 10), -ENOENT);
}

static void only_so_many_logs_are_kept_and_never_fewer_than_run(void **state)
{
    AUTO(argus__book_free) struct argus_book *b = NULL;
    char name[64];

    (void)state;
    assert_int_equal(argus__dir_make(dir, NULL), 0);
    assert_int_equal(argus__book_open(dir, &b, NULL), 0);
    for (int i = 0; i < ARGUS_LOGS_KEPT; i++) {
        struct timespec at[2] = { { 1000 + i, 0 }, { 1000 + i, 0 } };

        (void)snprintf(name, sizeof(name), "logs/c-%d.log", i);
        put(in_dir(name), "x", 0600);
        assert_int_equal(utimensat(AT_FDCWD, in_dir(name), at, 0), 0);
    }
    put(in_dir("logs/c-1.log.1"), "x", 0600);
    argus__book_add(b, STR("c-0"), STR("b"), ARGUS_RERUN)->phase = ARGUS_RUNNING;
    free(argus__log_make(dir, STR("new"), b)); /* with the running one left out there is room for it */
    assert_int_equal(access(in_dir("logs/c-1.log"), F_OK), 0);
    free(argus__log_make(dir, STR("newer"), b));
    assert_int_equal(access(in_dir("logs/c-0.log"), F_OK), 0);
    assert_int_equal(access(in_dir("logs/c-1.log"), F_OK), -1);
    assert_int_equal(access(in_dir("logs/c-1.log.1"), F_OK), -1);
    assert_int_equal(access(in_dir("logs/c-2.log"), F_OK), 0);
    assert_int_equal(mode_of(in_dir("logs/newer.log")), 0600);
}

/* -- spool */

static void events_wait_in_order_until_they_are_sent(void **state)
{
    AUTO(argus__spool_free) struct argus_spool *s = NULL;
    AUTO(argus__spool_free) struct argus_spool *other = NULL;
    struct str e;

    (void)state;
    assert_int_equal(argus__spool_open(dir, "https://a:443", &s, NULL), 0);
    assert_int_equal(argus__spool_open(dir, "https://a:443", &other, NULL), 0);
    assert_int_equal(argus__spool_take(s), 0);
    assert_int_equal(argus__spool_put(s, STR("{\"n\":1}")), 0);
    assert_int_equal(argus__spool_put(other, STR("{\"n\":2}")), 0);
    assert_int_equal(mode_of(in_dir("argus-report-https---a-443.jsonl")), 0600);
    assert_int_equal(argus__spool_take(s), 1);
    assert_int_equal(argus__spool_take(other), 0); /* one at a time sends */
    assert_int_equal(argus__spool_put(other, STR("{\"n\":3}")), 0);
    assert_true(argus__spool_next(s, &e) && str_is(e, "{\"n\":1}"));
    assert_true(argus__spool_next(s, &e) && str_is(e, "{\"n\":2}"));
    assert_false(argus__spool_next(s, &e));
    argus__spool_give(s, false);
    assert_int_equal(argus__spool_take(other), 1); /* what was not sent comes again, first and alone */
    assert_true(argus__spool_next(other, &e) && str_is(e, "{\"n\":1}"));
    argus__spool_give(other, true);
    assert_int_equal(argus__spool_take(s), 1);
    assert_true(argus__spool_next(s, &e) && str_is(e, "{\"n\":3}"));
    assert_false(argus__spool_next(s, &e));
    argus__spool_give(s, true);
    assert_int_equal(argus__spool_take(s), 0);
}

static void a_torn_line_is_skipped(void **state)
{
    AUTO(argus__spool_free) struct argus_spool *s = NULL;
    struct str e;

    (void)state;
    assert_int_equal(argus__spool_open(dir, "x", &s, NULL), 0);
    put(in_dir("argus-report-x.jsonl"), "\n{\"torn\n\n{\"n\":1}\n{\"half\":", 0600);
    assert_int_equal(argus__spool_take(s), 1);
    assert_true(argus__spool_next(s, &e) && str_is(e, "{\"n\":1}"));
    assert_false(argus__spool_next(s, &e));
    argus__spool_give(s, true);
}

static void the_spool_is_full_at_its_maximum(void **state)
{
    AUTO(argus__spool_free) struct argus_spool *s = NULL;
    AUTO_FREE char *big = xmalloc(SPOOL_BYTES);

    (void)state;
    memset(big, 'x', SPOOL_BYTES);
    assert_int_equal(argus__spool_open(dir, "x", &s, NULL), 0);
    assert_int_equal(argus__spool_put(s, str_bytes(big, SPOOL_BYTES)), -ENOSPC);
    assert_int_equal(argus__spool_put(s, str_bytes(big, SPOOL_BYTES - 11)), 0);
    assert_int_equal(argus__spool_put(s, STR("0123456789")), -ENOSPC);
    assert_int_equal(argus__spool_put(s, STR("012345678")), 0);
    assert_int_equal(argus__spool_put(s, STR("")), -ENOSPC);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, up, down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_directory_is_made_private_and_made_private_again),
        T(a_directory_of_somebody_else_is_refused),
        T(one_agent_holds_the_lock),
        T(a_registration_is_read_back_and_private),
        T(what_is_no_registration_is_not_taken_for_one),
        T(origins_are_scheme_host_and_port),
        T(the_book_survives_with_all_it_says),
        T(a_book_that_cannot_be_read_is_not_an_empty_one),
        T(the_oldest_that_are_quite_over_are_dropped_and_no_others),
        T(the_tail_of_a_log_is_text_without_controls),
        T(a_log_above_its_maximum_moves_aside_and_its_writer_goes_on),
        T(only_so_many_logs_are_kept_and_never_fewer_than_run),
        T(events_wait_in_order_until_they_are_sent),
        T(a_torn_line_is_skipped),
        T(the_spool_is_full_at_its_maximum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
