/* cli/ask.c - see ask.h. */
#include "cli/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

enum { LINE_MAX_INPUT = 1 << 10, PASSWORD_MAX = 4 << 10 };

/* The terminal itself, even when standard input is a file. */
static int open_tty(void)
{
    return open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
}

static char *read_line(int fd)
{
    char line[LINE_MAX_INPUT];
    size_t n = 0;
    for (;;) {
        char c;
        ssize_t r = read(fd, &c, 1);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0 && n == 0)
            return NULL;
        if (r <= 0 || c == '\n')
            break;
        if (n < sizeof(line) - 1)
            line[n++] = c;
    }
    char *ret = xstrndup(line, n);
    secret_wipe(line, sizeof(line));
    return ret;
}

char *ask_line(const char *prompt)
{
    AUTO_FD int fd = open_tty();
    if (fd < 0)
        return NULL;
    (void)fd_write_all(fd, prompt, strlen(prompt));
    return read_line(fd);
}

bool ask_yes(const char *question)
{
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return true;
    AUTO_FREE char *prompt = xasprintf("%s [y/N] ", question);
    AUTO_FREE char *answer = ask_line(prompt);
    return answer && (str_eq_nocase(str_of(answer), STR("y")) || str_eq_nocase(str_of(answer), STR("yes")));
}

static char *ask_hidden(const char *prompt)
{
    AUTO_FD int fd = open_tty();
    struct termios was, quiet;
    if (fd < 0 || tcgetattr(fd, &was) < 0)
        return NULL;
    quiet = was;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    quiet.c_lflag |= ICANON | ISIG;
    (void)fd_write_all(fd, prompt, strlen(prompt));
    (void)tcsetattr(fd, TCSAFLUSH, &quiet);
    char *line = read_line(fd);
    (void)tcsetattr(fd, TCSAFLUSH, &was);
    (void)fd_write_all(fd, "\n", 1);
    return line;
}

static char *from_bytes(const struct buf *b, struct err *err)
{
    struct str s = buf_as_str(b);
    if (str_ends(s, STR("\n")))
        s.len--;
    if (str_ends(s, STR("\r")))
        s.len--;
    if (s.len == 0 || str_has_nul(s)) {
        err_set(err, -EINVAL, "password.empty",
                s.len ? "a password must not contain NUL" : "the password is empty");
        return NULL;
    }
    return str_dup(s);
}

static char *from_file(const char *path, struct err *err)
{
    AUTO(buf_done_secret) struct buf b = BUF(PASSWORD_MAX);
    bool is_stdin = !path || strcmp(path, "-") == 0;
    int r = fd_read_file(is_stdin ? "/dev/stdin" : path, &b);
    if (r < 0) {
        err_set(err, r, "password.read", "cannot read the password from %s: %m",
                is_stdin ? "standard input" : path);
        return NULL;
    }
    return from_bytes(&b, err);
}

char *ask_password(const char *file, const char *prompt, const char *confirm, struct err *err)
{
    if (file || !isatty(STDIN_FILENO))
        return from_file(file, err);
    char *first = ask_hidden(prompt);
    if (!first || !*first) {
        secret_free(first);
        err_set(err, -EINVAL, "password.empty", "no password was given");
        return NULL;
    }
    char *second = confirm ? ask_hidden(confirm) : NULL;
    bool differs = confirm && (!second || strcmp(first, second) != 0);
    secret_free(second);
    if (!differs)
        return first;
    secret_free(first);
    err_set(err, -EINVAL, "password.differs", "the two passwords differ");
    return NULL;
}
