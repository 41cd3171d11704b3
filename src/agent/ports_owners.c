/* agent/ports_owners.c - who uses a port: classes of process names, from /proc or from the words of ss. See ports.h. Any thread. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/collect/owners.h"
#include "agent/ports_priv.h"
#include "base/clock.h"
#include "base/fd.h"

/* All names of one walk over /proc; above it names are missing, never wrong. */
enum { OWNERS_ARENA = 8 << 20, SS_MAX_BYTES = 32 << 20, SS_MAX_MS = 10000 };

static const char *const fixed[PORT_SOURCES_FIXED] = { "envoy", "sshd", "nginx", "node_exporter", "other", "unknown" };

/* -- classes */

void ports__sources(const struct ports_conf *conf, const char *names[PORT_SOURCES_MAX], size_t *ret_n)
{
    size_t n = PORT_SOURCES_FIXED;

    for (size_t i = 0; i < PORT_SOURCES_FIXED; i++)
        names[i] = fixed[i];
    for (size_t i = 0; i < conf->n_sources; i++) {
        bool is_known = false;

        for (size_t k = 0; k < n; k++)
            is_known = is_known || strcmp(names[k], conf->sources[i].name) == 0;
        if (!is_known && n < PORT_SOURCES_MAX)
            names[n++] = conf->sources[i].name;
    }
    *ret_n = n;
}

static bool has_nocase(struct str s, struct str part)
{
    for (size_t i = 0; i + part.len <= s.len; i++)
        if (str_eq_nocase(str_sub(s, i, part.len), part))
            return true;
    return false;
}

size_t port_class(const struct ports_conf *conf, struct str process)
{
    if (process.len == 0)
        return PORT_CLASS_UNKNOWN;
    for (size_t i = 0; i < PORT_CLASS_OTHER; i++)
        if (has_nocase(process, str_of(fixed[i])))
            return i;
    for (size_t i = 0; i < conf->n_sources; i++)
        if (conf->sources[i].pattern[0] && has_nocase(process, str_of(conf->sources[i].pattern))) {
            const char *names[PORT_SOURCES_MAX];
            size_t n;

            ports__sources(conf, names, &n);
            for (size_t k = 0; k < n; k++)
                if (strcmp(names[k], conf->sources[i].name) == 0)
                    return k;
        }
    return PORT_CLASS_OTHER;
}

/* -- by /proc */

void owners__classes(const struct ports_conf *conf, const uint8_t *bitmap, const struct diag *listeners, uint8_t *ret_class)
{
    AUTO(arena_free) struct arena *a = arena_new(OWNERS_ARENA);
    struct owners owners = { 0 };

    memset(ret_class, PORT_CLASS_UNKNOWN, (size_t)(conf->last - conf->first) + 1);
    for (size_t i = 0; i < listeners->listeners.n; i++)
        if (ports__bit(bitmap, listeners->listeners.v[i].port - conf->first))
            owners__want(&owners, listeners->listeners.v[i].inode);
    owners__find(&owners, a, conf->root);
    for (size_t i = 0; i < listeners->listeners.n; i++) {
        const struct diag_listener *l = &listeners->listeners.v[i];
        const struct owner *o = owners__of(&owners, l->inode);

        if (o && o->process.len) /* of two listeners on one port the one that is known */
            ret_class[l->port - conf->first] = (uint8_t)port_class(conf, o->process);
    }
    owners__done(&owners);
}

/* -- by ss */

int ss_line(struct str line, uint16_t *ret_port, struct str *ret_process)
{
    struct str rest = line, word, users = STR("users:((\"");
    uint64_t port;
    ptrdiff_t at;
    size_t colon;

    for (int i = 0;; i++) {
        if (i == 2 || !str_word(&rest, &word))
            return 0;
        if (str_is(word, "LISTEN"))
            break;
    }
    for (int i = 0; i < 3; i++)
        if (!str_word(&rest, &word))
            return 0;
    for (colon = word.len; colon > 0 && word.ptr[colon - 1] != ':'; colon--)
        ;
    if (colon == 0 || str_to_u64(str_sub(word, colon, word.len), &port) < 0 || port > UINT16_MAX)
        return 0;
    *ret_port = (uint16_t)port;
    *ret_process = STR("");
    at = str_find(rest, users); /* not by fields: a name may have blanks */
    if (at >= 0) {
        struct str name = str_sub(rest, (size_t)at + users.len, rest.len);
        ptrdiff_t end = str_find_char(name, '"');

        if (end > 0)
            *ret_process = str_sub(name, 0, (size_t)end);
    }
    return 1;
}

struct ss_ctx {
    const struct ports_conf *conf;
    const uint8_t *bitmap;
    uint8_t *class;
    size_t n_lines;
};

static int on_ss_line(void *ctx, struct str line)
{
    struct ss_ctx *c = ctx;
    struct str process;
    uint16_t port;

    if (c->n_lines++ == 0) /* the heading */
        return 0;
    if (ss_line(line, &port, &process) && port >= c->conf->first && port <= c->conf->last)
        c->class[port - c->conf->first] = (uint8_t)port_class(c->conf, process);
    return 0;
}

/* Reads what the child says until it ends, at most so much for so long. */
static int read_words(int fd, struct src_lines *l)
{
    usec_t end = clock_mono(&clock_real) + SS_MAX_MS * USEC_PER_MS, now;
    size_t total = 0;
    char chunk[16384];

    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        ssize_t n;

        now = clock_mono(&clock_real);
        if (now >= end || total > SS_MAX_BYTES)
            return -ETIMEDOUT;
        if (poll(&p, 1, (int)((end - now) / USEC_PER_MS) + 1) < 0 && errno != EINTR)
            return -errno;
        if (!p.revents)
            continue;
        n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return src__lines_end(l);
        total += (size_t)n;
        (void)src__lines_feed(l, str_bytes(chunk, (size_t)n));
    }
}

static int spawn_ss(const char *program, int out, pid_t *ret)
{
    char *argv[] = { (char *)(uintptr_t)"ss", (char *)(uintptr_t)"-tulnp", NULL };
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    sigset_t none;
    int r;

    sigemptyset(&none);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&fa, out, 1);
    posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
    r = posix_spawnp(ret, program, &fa, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&attr);
    return -r;
}

int owners__classes_ss(const struct ports_conf *conf, const uint8_t *bitmap, uint8_t *ret_class)
{
    struct ss_ctx c = { .conf = conf, .bitmap = bitmap, .class = ret_class };
    struct src_lines lines = src__lines(on_ss_line, &c);
    int fds[2], r, status;
    pid_t pid;

    memset(ret_class, PORT_CLASS_UNKNOWN, (size_t)(conf->last - conf->first) + 1);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    r = spawn_ss(conf->ss, fds[1], &pid);
    fd_close(&fds[1]);
    if (r == 0) {
        r = read_words(fds[0], &lines);
        if (r < 0)
            (void)kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    fd_close(&fds[0]);
    src__lines_done(&lines);
    return r < 0 ? r : c.n_lines ? 0 : -ENODATA;
}
