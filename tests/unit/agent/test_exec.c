/* Real holds, real processes: what agent/exec.h promises. Waits for events, never for time (but where time is the promise). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/exec.h"
#include "agent/ledger.h"
#include "base/fd.h"
#include "base/mem.h"
#include "hold/spec.h"

static struct {
    struct loop *loop;
    struct exec *exec;
    struct timer *watchdog;
    char dir[64];
    uint64_t wait_for;          /* stop the loop when this task ... */
    enum { FOR_END, FOR_START, FOR_OUTPUT } wait_what;
    unsigned n_accepted, n_started, n_output, n_finished;
    struct task_end end;        /* of wait_for */
    char message[300];
    uint32_t pid;
    bool is_late;
} T;

static void note(uint64_t id, int what)
{
    if (id == T.wait_for && what == (int)T.wait_what)
        loop_stop(T.loop);
}
static void on_accepted(void *ctx, uint64_t id)
{
    (void)ctx;
    (void)id;
    T.n_accepted++;
}
static void on_started(void *ctx, uint64_t id, uint32_t pid, usec_t at)
{
    (void)ctx;
    assert_true(at > 0);
    T.n_started++;
    T.pid = pid;
    note(id, FOR_START);
}
static void on_output(void *ctx, uint64_t id)
{
    (void)ctx;
    T.n_output++;
    note(id, FOR_OUTPUT);
}
static void on_finished(void *ctx, const struct task_end *end)
{
    (void)ctx;
    T.n_finished++;
    if (end->task_id == T.wait_for) {
        T.end = *end;
        assert_int_equal(str_copy(end->message, T.message, sizeof(T.message)), 0);
    }
    note(end->task_id, FOR_END);
}
static void on_watchdog(void *ctx)
{
    (void)ctx;
    T.is_late = true;
    loop_stop(T.loop);
}

static struct exec *open_exec(uint32_t max_running)
{
    struct exec_conf conf = { .state_dir = T.dir, .hold_path = HOLD_PATH, .max_running = max_running, .allow_run = true };
    struct exec_ops ops = { on_accepted, on_started, on_output, on_finished, NULL };
    struct err err = { 0 };
    struct exec *x = NULL;

    if (exec_open(T.loop, &conf, &ops, &x, &err) < 0)
        fail_msg("%s", err.text);
    return x;
}

static void wait_for(uint64_t id, int what)
{
    T.wait_for = id;
    T.wait_what = what;
    T.is_late = false;
    timer_start(T.watchdog, 15 * USEC_PER_SEC, 0);
    loop_run(T.loop);
    timer_stop(T.watchdog);
    assert_false(T.is_late);
}

static int set_up(void **state)
{
    (void)state;
    memset(&T, 0, sizeof(T));
    (void)snprintf(T.dir, sizeof(T.dir), "/tmp/test-exec-XXXXXX");
    assert_non_null(mkdtemp(T.dir));
    T.loop = loop_new();
    T.watchdog = timer_new(T.loop, on_watchdog, NULL);
    T.exec = open_exec(4);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    exec_free(T.exec);
    timer_free(T.watchdog);
    loop_free(T.loop);
    (void)fd_remove_tree(T.dir);
    return 0;
}

static struct str words[8];
static struct command sh(uint64_t id, const char *text)
{
    words[0] = STR("/bin/sh");
    words[1] = STR("-c");
    words[2] = str_of(text);
    return (struct command){ .task_id = id, .argv = { words, 3 }, .output_cap_bytes = 1 << 20, .grace = USEC_PER_SEC };
}

static void run(uint64_t id, const char *text)
{
    struct command c = sh(id, text);

    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(id, FOR_END);
}

static struct str output(uint64_t id, enum output_stream st)
{
    static char bytes[1 << 16];
    int64_t n = exec_read(T.exec, id, st, 0, bytes, sizeof(bytes));

    assert_true(n >= 0);
    return str_bytes(bytes, (size_t)n);
}

/* -- ends */

static void an_exit_code_is_the_commands_own(void **state)
{
    (void)state;
    run(1, "exit 37");
    assert_int_equal(T.end.outcome, OUTCOME_EXITED);
    assert_int_equal(T.end.exit_code, 37);
    assert_true(T.end.started_at > 0 && T.end.finished_at >= T.end.started_at);
    assert_int_equal(T.n_accepted, 1);
    assert_int_equal(T.n_started, 1);
}

static void a_death_by_signal_names_the_signal(void **state)
{
    (void)state;
    run(1, "kill -9 $$");
    assert_int_equal(T.end.outcome, OUTCOME_SIGNALED);
    assert_int_equal(T.end.signal, SIGKILL);
}

static void stdout_and_stderr_are_kept_apart_byte_for_byte(void **state)
{
    (void)state;
    run(1, "printf 'a\\000b'; printf 'err\\377' >&2");
    assert_true(str_eq(output(1, STREAM_STDOUT), STR("a\0b")));
    assert_true(str_eq(output(1, STREAM_STDERR), STR("err\377")));
    assert_int_equal(T.end.stdout_bytes, 3);
    assert_int_equal(T.end.stderr_total, 4);
    assert_false(T.end.stdout_truncated);
    assert_true(T.n_output > 0);
}

static void output_over_the_cap_is_cut_and_says_so(void **state)
{
    struct command c = sh(1, "head -c 100000 /dev/zero; head -c 99 /dev/zero >&2");

    (void)state;
    c.output_cap_bytes = 99;
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(1, FOR_END);
    assert_int_equal(T.end.stdout_bytes, 99);
    assert_int_equal(T.end.stdout_total, 100000);
    assert_true(T.end.stdout_truncated);
    assert_int_equal(T.end.stderr_bytes, 99);
    assert_false(T.end.stderr_truncated);
    assert_int_equal(output(1, STREAM_STDOUT).len, 99);
}

static void a_timeout_ends_the_whole_group(void **state)
{
    struct command c = sh(1, "sleep 1000 & sleep 1000; echo not here");

    (void)state;
    c.timeout = 100 * USEC_PER_MS;
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(1, FOR_END);
    assert_int_equal(T.end.outcome, OUTCOME_TIMED_OUT);
    assert_int_equal(T.end.signal, SIGTERM);
    assert_true(kill(-(pid_t)T.pid, 0) < 0 && errno == ESRCH);
}

static void what_ignores_sigterm_is_killed_after_the_grace(void **state)
{
    struct command c = sh(1, "trap '' TERM; echo ready; while :; do sleep 1000; done");

    (void)state;
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(1, FOR_OUTPUT);
    exec_cancel(T.exec, 1, 50 * USEC_PER_MS);
    wait_for(1, FOR_END);
    assert_int_equal(T.end.outcome, OUTCOME_CANCELLED);
    assert_int_equal(T.end.signal, SIGKILL);
}

static void a_cancelled_command_takes_even_daemons_with_it(void **state)
{
    struct command c = sh(1, "setsid sh -c 'trap \"\" TERM; echo $$; exec sleep 1000' & wait");
    struct str pid;
    uint64_t p;

    (void)state;
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(1, FOR_OUTPUT);
    pid = str_trim(output(1, STREAM_STDOUT));
    assert_int_equal(str_to_u64(pid, &p), 0);
    exec_cancel(T.exec, 1, 50 * USEC_PER_MS);
    wait_for(1, FOR_END);
    assert_int_equal(T.end.outcome, OUTCOME_CANCELLED);
    assert_true(kill((pid_t)p, 0) < 0 && errno == ESRCH);
}

static void what_stays_in_the_background_does_not_hold_the_end_up(void **state)
{
    uint64_t p;

    (void)state;
    run(1, "sleep 1000 & echo $!");
    assert_int_equal(T.end.outcome, OUTCOME_EXITED);
    assert_true(T.end.finished_at - T.end.started_at < 5 * USEC_PER_SEC);
    assert_int_equal(str_to_u64(str_trim(output(1, STREAM_STDOUT)), &p), 0);
    assert_int_equal(kill((pid_t)p, SIGKILL), 0); /* and it was left alone */
}

/* -- input, user, directory, environment */

static void input_given_whole_is_read_to_its_end(void **state)
{
    struct command c = sh(1, "cat; echo .");

    (void)state;
    c.stdin_data.b = STR("hello\n");
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(1, FOR_END);
    assert_true(str_eq(output(1, STREAM_STDOUT), STR("hello\n.\n")));
}

static void without_input_the_command_reads_nothing(void **state)
{
    (void)state;
    run(1, "cat; echo .");
    assert_true(str_eq(output(1, STREAM_STDOUT), STR(".\n")));
    assert_int_equal(exec_input(T.exec, 1, 0, STR("x"), false), -EPIPE);
    assert_int_equal(exec_input(T.exec, 2, 0, STR("x"), false), -ENOENT);
}

static void input_that_follows_is_contiguous_and_repeats_are_dropped(void **state)
{
    struct command c = sh(1, "cat");

    (void)state;
    c.stdin_open = true;
    c.stdin_data.b = STR("0");
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    assert_int_equal(exec_input(T.exec, 1, 0, STR("abc"), false), 3);
    assert_int_equal(exec_input(T.exec, 1, 5, STR("gap"), false), 3);
    assert_int_equal(exec_input(T.exec, 1, 1, STR("bcd"), false), 4);
    assert_int_equal(exec_input(T.exec, 1, 0, STR("ab"), false), 4);
    wait_for(1, FOR_OUTPUT); /* it gets input before the end of it */
    assert_int_equal(exec_input(T.exec, 1, 4, STR("e"), true), 5);
    wait_for(1, FOR_END);
    assert_true(str_eq(output(1, STREAM_STDOUT), STR("0abcde")));
}

static void refusals_say_what_is_wrong(void **state)
{
    struct command c = sh(1, "true");

    (void)state;
    words[0] = STR("no-such-program-at-all");
    c.argv.n = 1;
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(1, FOR_END);
    assert_int_equal(T.end.outcome, OUTCOME_REFUSED);
    assert_string_equal(T.message, "no such program: no-such-program-at-all");
    assert_int_equal(T.n_started, 0);

    c = sh(2, "true");
    c.user = STR("nobody-of-this-name");
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(2, FOR_END);
    assert_int_equal(T.end.outcome, OUTCOME_REFUSED);
    assert_string_equal(T.message, "no such user: nobody-of-this-name");

    c = sh(3, "true");
    c.cwd = STR("/no/such/directory");
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(3, FOR_END);
    assert_int_equal(T.end.outcome, OUTCOME_REFUSED);
    assert_string_equal(T.message, "cwd: /no/such/directory: No such file or directory");

    c = sh(4, "true");
    words[0] = STR("/etc/passwd");
    c.argv.n = 1;
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(4, FOR_END);
    assert_int_equal(T.end.outcome, OUTCOME_REFUSED);
    assert_string_equal(T.message, "cannot run /etc/passwd: Permission denied");
}

static void the_environment_is_the_least_one_and_what_was_given(void **state)
{
    struct command c = { .task_id = 1, .output_cap_bytes = 4096 };
    struct kv env[] = { { STR("A"), STR("1=2") }, { STR("HOME"), STR("/x") } };
    const struct passwd *pw = getpwuid(geteuid());
    char want[512];

    (void)state;
    assert_int_equal(setenv("MUSTER_SECRET", "x", 1), 0);
    words[0] = STR("env");
    c.argv = (struct str_list){ words, 1 };
    c.env = (struct kv_list){ env, 2 };
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(1, FOR_END);
    (void)snprintf(want, sizeof(want),
                   "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nUSER=%s\nLOGNAME=%s\nSHELL=%s\n"
                   "A=1=2\nHOME=/x\n",
                   pw->pw_name, pw->pw_name, pw->pw_shell);
    assert_true(str_is(output(1, STREAM_STDOUT), want));
}

static void a_command_runs_as_its_user_at_home(void **state)
{
    struct command c = sh(1, "id -u; id -un; echo $HOME; pwd");
    const struct passwd *pw = getpwnam("games");
    char want[256];

    (void)state;
    if (geteuid() != 0 || !pw || access(pw->pw_dir, X_OK) < 0) {
        skip();
        return;
    }
    (void)snprintf(want, sizeof(want), "%u\ngames\n%s\n%s\n", pw->pw_uid, pw->pw_dir, pw->pw_dir);
    c.user = STR("games");
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(1, FOR_END);
    assert_int_equal(T.end.outcome, OUTCOME_EXITED);
    assert_true(str_is(output(1, STREAM_STDOUT), want));
}

static void the_command_has_its_own_session_and_no_descriptor_of_ours(void **state)
{
    (void)state;
    run(1, "ls /proc/self/fd | wc -l; cut -d' ' -f5,6 /proc/self/stat | tr ' ' '\\n' | uniq | wc -l; umask");
    /* 0, 1, 2 and the directory ls itself reads. */
    assert_true(str_eq(output(1, STREAM_STDOUT), STR("4\n1\n0022\n")));
}

/* -- the queue */

static void more_than_the_limit_wait_their_turn(void **state)
{
    struct command c;
    uint32_t running, queued;

    (void)state;
    exec_set_max_running(T.exec, 1);
    c = sh(5, "echo go; read x");
    c.stdin_open = true;
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    c = sh(4, "echo second");
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    c = sh(3, "echo third");
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(5, FOR_OUTPUT);
    exec_count(T.exec, &running, &queued);
    assert_int_equal(running, 1);
    assert_int_equal(queued, 2);

    exec_cancel(T.exec, 4, 0);
    wait_for(4, FOR_END);
    assert_int_equal(T.end.outcome, OUTCOME_CANCELLED);
    assert_int_equal(T.end.started_at, 0);
    assert_true(exec_input(T.exec, 5, 0, STR("\n"), true) == 1);
    wait_for(3, FOR_END);
    assert_int_equal(T.end.outcome, OUTCOME_EXITED);
    exec_count(T.exec, &running, &queued);
    assert_int_equal(running + queued, 0);
}

static void what_came_too_late_is_refused(void **state)
{
    struct command c;

    (void)state;
    exec_set_max_running(T.exec, 1);
    c = sh(5, "echo go; read x");
    c.stdin_open = true;
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(5, FOR_OUTPUT);
    c = sh(1, "true");
    assert_int_equal(exec_offer(T.exec, &c, 1), 0);
    assert_true(exec_input(T.exec, 5, 0, STR("\n"), true) == 1);
    wait_for(1, FOR_END);
    assert_int_equal(T.end.outcome, OUTCOME_REFUSED);
    c = sh(2, "true");
    c.start_before = 1; /* a clock of the server's that says nothing here */
    assert_int_equal(exec_offer(T.exec, &c, USEC_PER_MIN), 0);
    wait_for(2, FOR_END);
    assert_int_equal(T.end.outcome, OUTCOME_EXITED);
}

static void local_policy_refuses(void **state)
{
    static const char *const users[] = { "nobody", NULL };
    struct command c = sh(1, "true");

    (void)state;
    exec_set_policy(T.exec, false, NULL);
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(1, FOR_END);
    assert_int_equal(T.end.outcome, OUTCOME_REFUSED);

    exec_set_policy(T.exec, true, users);
    c = sh(2, "true"); /* as ourselves: not in the list either */
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(2, FOR_END);
    assert_int_equal(T.end.outcome, OUTCOME_REFUSED);
    assert_string_equal(T.message, "the policy of this host does not allow this user");
}

/* -- restarts */

/* As after kill -9 of the agent: nothing of the old one is left but files. */
static void restart(uint32_t max_running)
{
    exec_free(T.exec);
    T.exec = open_exec(max_running);
}

static void a_running_task_is_adopted_and_ends_with_the_truth(void **state)
{
    struct command c = sh(1, "echo one; read x; echo $x; exit 5");

    (void)state;
    c.stdin_open = true;
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(1, FOR_OUTPUT);
    restart(4);
    wait_for(1, FOR_START);
    assert_int_equal(exec_input(T.exec, 1, 0, STR("two\n"), false), 4);
    wait_for(1, FOR_END);
    assert_int_equal(T.end.outcome, OUTCOME_EXITED);
    assert_int_equal(T.end.exit_code, 5);
    assert_true(str_eq(output(1, STREAM_STDOUT), STR("one\ntwo\n")));
}

static void a_task_that_ended_meanwhile_tells_its_result(void **state)
{
    struct command c = sh(1, "read x; exit 6");
    char path[128];

    (void)state;
    c.stdin_open = true;
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    assert_int_equal(exec_input(T.exec, 1, 0, STR("x\n"), true), 2);
    wait_for(1, FOR_START);
    exec_free(T.exec);
    (void)snprintf(path, sizeof(path), "%s/tasks/1/lock", T.dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0); /* when the hold lets go, it is done */
    assert_int_equal(close(fd), 0);
    T.exec = open_exec(4);
    wait_for(1, FOR_END);
    assert_int_equal(T.end.exit_code, 6);
}

static pid_t hold_of(uint32_t child)
{
    char path[64], text[512];
    int parent = 0;
    FILE *f;

    (void)snprintf(path, sizeof(path), "/proc/%u/status", child);
    f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(text, sizeof(text), f))
        if (sscanf(text, "PPid: %d", &parent) == 1)
            break;
    (void)fclose(f);
    return parent;
}

static void a_killed_hold_is_lost_and_its_command_goes_with_it(void **state)
{
    struct command c = sh(1, "echo here; sleep 1000");
    uint32_t child;

    (void)state;
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(1, FOR_OUTPUT);
    child = T.pid;
    assert_int_equal(kill(hold_of(child), SIGKILL), 0);
    wait_for(1, FOR_END);
    assert_int_equal(T.end.outcome, OUTCOME_LOST);
    assert_int_equal(T.end.stdout_bytes, 5);
    while (hold_pid_ticks(child) != 0 && kill((pid_t)child, 0) == 0)
        (void)waitpid((pid_t)child, NULL, WNOHANG); /* until init has it */
}

static void intent_without_a_hold_is_lost_after_a_restart(void **state)
{
    struct ledger *g = NULL;
    char path[128];
    int dir;

    (void)state;
    exec_free(T.exec);
    (void)snprintf(path, sizeof(path), "%s/tasks", T.dir);
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(ledger_open(dir, "ledger", &g, NULL), 0);
    assert_int_equal(ledger_set(g, 9, LEDGER_STARTED), 0);
    ledger_free(g);
    assert_int_equal(close(dir), 0);
    T.exec = open_exec(4);
    wait_for(9, FOR_END);
    assert_int_equal(T.end.outcome, OUTCOME_LOST);
}

/* As after a kill between the ledger and the hold: everything is there but the lock. */
static void intent_that_no_hold_was_told_of_is_started_after_a_restart(void **state)
{
    struct command c = sh(1, "echo go; read x");
    struct ledger *g = NULL;
    char path[128];
    int dir;

    (void)state;
    exec_set_max_running(T.exec, 1);
    c.stdin_open = true;
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    c = sh(2, "exit 9");
    assert_int_equal(exec_offer(T.exec, &c, 0), 0); /* queued: with a spec and without a lock */
    wait_for(1, FOR_OUTPUT);
    exec_free(T.exec);
    (void)snprintf(path, sizeof(path), "%s/tasks", T.dir);
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(ledger_open(dir, "ledger", &g, NULL), 0);
    assert_int_equal(ledger_set(g, 2, LEDGER_STARTED), 0);
    ledger_free(g);
    assert_int_equal(close(dir), 0);
    T.exec = open_exec(1);
    wait_for(1, FOR_START);
    assert_int_equal(exec_input(T.exec, 1, 0, STR_NONE, true), 0);
    wait_for(2, FOR_END);
    assert_int_equal(T.end.exit_code, 9);
}

static void a_queued_task_is_still_queued_after_a_restart(void **state)
{
    struct command c = sh(1, "echo go; read x");

    (void)state;
    exec_set_max_running(T.exec, 1);
    c.stdin_open = true;
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    c = sh(2, "exit 8");
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    wait_for(1, FOR_OUTPUT);
    restart(1);
    wait_for(1, FOR_START);
    assert_int_equal(exec_input(T.exec, 1, 0, STR_NONE, true), 0);
    wait_for(2, FOR_END);
    assert_int_equal(T.end.exit_code, 8);
}

static void no_task_runs_twice(void **state)
{
    AUTO_FREE char *text = xasprintf("echo x >>%s/ran", T.dir);
    AUTO_FREE char *path = xasprintf("%s/ran", T.dir);
    struct command c = sh(1, text);
    struct stat st;

    (void)state;
    assert_int_equal(exec_offer(T.exec, &c, 0), 0);
    assert_int_equal(exec_offer(T.exec, &c, 0), 0); /* a repeat while it runs */
    wait_for(1, FOR_END);
    assert_int_equal(exec_offer(T.exec, &c, 0), 0); /* one after the end */
    exec_forget(T.exec, 1);
    restart(4);
    (void)loop_poll(T.loop);
    assert_int_equal(exec_offer(T.exec, &c, 0), 0); /* a late one, when nothing is left of it */
    wait_for(1, FOR_END);
    assert_int_equal(T.end.outcome, OUTCOME_LOST);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 2);
}

static void count_task(void *ctx, const struct exec_task *t)
{
    unsigned *n = ctx;

    assert_true(t->task_id > 0);
    (*n)++;
}

/* Of this process, zombies included. */
static size_t children(void)
{
    AUTO(buf_done) struct buf b = BUF(65536);
    AUTO_FREE char *path = xasprintf("/proc/self/task/%d/children", (int)getpid());
    struct str rest, word;
    size_t n = 0;

    assert_int_equal(fd_read_file(path, &b), 0);
    rest = buf_as_str(&b);
    while (str_word(&rest, &word))
        n++;
    return n;
}

static void forgetting_leaves_no_directory_no_descriptor_no_zombie(void **state)
{
    char path[128];
    size_t before = children(); /* other tests' */
    unsigned n = 0;
    int fd, after;

    (void)state;
    fd = dup(0);
    for (uint64_t id = 1; id <= 20; id++) {
        run(id, "true");
        exec_forget(T.exec, id);
    }
    exec_list(T.exec, count_task, &n);
    (void)loop_poll(T.loop);
    exec_list(T.exec, count_task, &n);
    timer_start(T.watchdog, 15 * USEC_PER_SEC, 0);
    while (!T.is_late && children() > before + 1) /* one may wait for the next command */
        (void)loop_poll(T.loop);
    assert_false(T.is_late);
    (void)snprintf(path, sizeof(path), "%s/tasks/20", T.dir);
    assert_true(access(path, F_OK) < 0);
    assert_true(n <= 1);
    after = dup(0);
    assert_true(after <= fd + 2); /* the socket of the one that waits may lie between */
    (void)close(after);
    (void)close(fd);
}

static void a_book_that_was_lost_takes_every_directory_for_started(void **state)
{
    AUTO_FREE char *path = xasprintf("%s/tasks/ledger", T.dir);

    (void)state;
    run(1, "exit 3");
    exec_free(T.exec);
    assert_int_equal(unlink(path), 0);
    T.exec = open_exec(4);
    wait_for(1, FOR_END);
    assert_int_equal(T.end.exit_code, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
        T(an_exit_code_is_the_commands_own),
        T(a_death_by_signal_names_the_signal),
        T(stdout_and_stderr_are_kept_apart_byte_for_byte),
        T(output_over_the_cap_is_cut_and_says_so),
        T(a_timeout_ends_the_whole_group),
        T(what_ignores_sigterm_is_killed_after_the_grace),
        T(a_cancelled_command_takes_even_daemons_with_it),
        T(what_stays_in_the_background_does_not_hold_the_end_up),
        T(input_given_whole_is_read_to_its_end),
        T(without_input_the_command_reads_nothing),
        T(input_that_follows_is_contiguous_and_repeats_are_dropped),
        T(refusals_say_what_is_wrong),
        T(the_environment_is_the_least_one_and_what_was_given),
        T(a_command_runs_as_its_user_at_home),
        T(the_command_has_its_own_session_and_no_descriptor_of_ours),
        T(more_than_the_limit_wait_their_turn),
        T(what_came_too_late_is_refused),
        T(local_policy_refuses),
        T(a_running_task_is_adopted_and_ends_with_the_truth),
        T(a_task_that_ended_meanwhile_tells_its_result),
        T(a_killed_hold_is_lost_and_its_command_goes_with_it),
        T(intent_without_a_hold_is_lost_after_a_restart),
        T(intent_that_no_hold_was_told_of_is_started_after_a_restart),
        T(a_queued_task_is_still_queued_after_a_restart),
        T(no_task_runs_twice),
        T(forgetting_leaves_no_directory_no_descriptor_no_zombie),
        T(a_book_that_was_lost_takes_every_directory_for_started),
#undef T
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
