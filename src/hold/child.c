/* hold/child.c - see child.h. */
#include "hold/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int child_error_fd;

static void child_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void child_fail(const char *fmt, ...)
{
    char text[CHILD_ERROR_MAX] = "";
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    (void)fd_write_all(child_error_fd, text, strlen(text) + 1);
    _exit(127);
}

/* Ignored signals and a blocked mask survive exec: a command must not inherit ours. */
static void child_reset_signals(void)
{
    struct sigaction dfl = { .sa_handler = SIG_DFL };
    sigset_t none;

    for (int s = 1; s < SIGRTMIN; s++)
        (void)sigaction(s, &dfl, NULL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* By name; a name of digits only that nobody has is a uid. Without a name: NULL, the agent's own, who is not looked up (a quarter
 * of a millisecond): the agent knows itself and put its HOME, USER, LOGNAME and SHELL into the spec. */
static const struct passwd *child_find_user(const char *name)
{
    const struct passwd *pw;
    uint64_t uid;

    if (!name[0])
        return NULL;
    pw = getpwnam(name);
    if (!pw && str_to_u64(str_of(name), &uid) == 0 && uid < UINT32_MAX)
        pw = getpwuid((uid_t)uid);
    if (!pw)
        child_fail("no such user: %.100s", name);
    return pw;
}

static void child_become(const struct passwd *pw, const char *name)
{
    if (!pw || (pw->pw_uid == geteuid() && pw->pw_gid == getegid() && geteuid() != 0))
        return; /* the agent's own user, with the groups it has */
    if (initgroups(pw->pw_name, pw->pw_gid) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
        setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
        child_fail("not allowed to become user %.100s: %s", name, strerror(errno));
}

static bool env_has(const char *const *env, const char *key)
{
    size_t n = strlen(key);

    for (; *env; env++)
        if (strncmp(*env, key, n) == 0 && (*env)[n] == '=')
            return true;
    return false;
}

/* The whole environment: what was given, and the least a program expects where that does not say. */
static char **child_env(const struct hold_spec *spec, const struct passwd *pw)
{
    const char *base[][2] = {
        { "PATH", DEFAULT_PATH },
        { "HOME", pw && pw->pw_dir[0] ? pw->pw_dir : "/" },
        { "USER", pw ? pw->pw_name : "" },
        { "LOGNAME", pw ? pw->pw_name : "" },
        { "SHELL", pw && pw->pw_shell[0] ? pw->pw_shell : "/bin/sh" },
    };
    size_t n = 0, at = 0;
    char **env;

    while (spec->env[n])
        n++;
    env = xcalloc(n + ARRAY_SIZE(base) + 1, sizeof(*env));
    for (size_t i = 0; i < ARRAY_SIZE(base); i++)
        if (!env_has(spec->env, base[i][0]) && base[i][1][0])
            env[at++] = xasprintf("%s=%s", base[i][0], base[i][1]);
    for (size_t i = 0; i < n; i++)
        env[at++] = (char *)(uintptr_t)spec->env[i];
    return env;
}

static void child_chdir(const struct hold_spec *spec, const struct passwd *pw)
{
    if (spec->cwd[0]) {
        if (chdir(spec->cwd) < 0)
            child_fail("cwd: %.150s: %s", spec->cwd, strerror(errno));
        return;
    }
    /* Another user's command starts at home, as with ssh; at the root where there is no home. */
    if (pw && chdir(pw->pw_dir) < 0 && chdir("/") < 0)
        child_fail("cwd: /: %s", strerror(errno));
}

/* execvpe() would use our PATH and fall back to a shell; argv is exact here. */
static void child_exec(const struct hold_spec *spec, char **env)
{
    const char *name = spec->argv[0];
    char **argv = (char **)(uintptr_t)spec->argv;
    struct str path = STR_NONE, dir;
    int saved = ENOENT;

    if (name[0] == '\0')
        child_fail("no such program: the name is empty");
    if (strchr(name, '/')) {
        (void)execve(name, argv, env);
        saved = errno;
    } else {
        for (char **e = env; *e; e++)
            if (strncmp(*e, "PATH=", 5) == 0)
                path = str_of(*e + 5);
        while (str_cut(&path, ':', &dir)) {
            char file[4096];

            if (snprintf(file, sizeof(file), "%.*s/%s", STR_FMT(dir.len ? dir : STR("."))
                         , name) >= (int)sizeof(file))
                continue;
            (void)execve(file, argv, env);
            if (errno != ENOENT && errno != ENOTDIR)
                saved = errno;
            if (saved == E2BIG || saved == ENOMEM || saved == ENOEXEC)
                break;
        }
    }
    if (saved == ENOENT && access(name, F_OK) < 0)
        child_fail("no such program: %.150s", name);
    if (saved == ENOENT)
        child_fail("cannot run %.150s: its interpreter is missing", name);
    child_fail("cannot run %.150s: %s", name, strerror(saved));
}

void child_run(const struct hold_spec *spec, const struct child_fds *fds)
{
    const struct passwd *pw;
    char **env;

    child_error_fd = fds->error_fd;
    (void)setsid(); /* own session and process group, no terminal */
    child_reset_signals();
    (void)umask(022);
    if (dup2(fds->in, 0) < 0 || dup2(fds->out, 1) < 0 || dup2(fds->err, 2) < 0)
        child_fail("descriptors: %s", strerror(errno));

    pw = child_find_user(spec->user);
    child_become(pw, spec->user);
    env = child_env(spec, pw);
    child_chdir(spec, pw);
    child_exec(spec, env);
    _exit(127);
}
