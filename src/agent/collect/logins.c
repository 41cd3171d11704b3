/* agent/collect/logins.c - who is logged in: utmp records, or logind's session files where utmp has been given up. Key =
 * "user line" ("alice pts/0"). A small read; one stat a record. */
#include "agent/collect/logins.h"

#include <arpa/inet.h>
#include <errno.h>
#include <utmp.h>

#include "base/fd.h"

struct login_facts {
    struct str user, line, host;
    usec_t since;
    uint32_t pid;
};
static const struct field login_fields[] = {
    F_STR(struct login_facts, user, "user", 64, .help = "User."),
    F_STR(struct login_facts, line, "line", 64, .flags = FIELD_OMIT, .help = "Terminal."),
    F_STR(struct login_facts, host, "from", 256, .flags = FIELD_OMIT, .help = "Where from."),
    F_TIME(struct login_facts, since, "since", .help = "Since when."),
    F_U32(struct login_facts, pid, "pid", .flags = FIELD_OMIT, .help = "Process of the session."),
};
static const struct record login_record = RECORD(login_facts, login_fields);

enum { UTMP_MAX = 4 << 20 };

/* A field of a utmp record: NUL-padded, not NUL-terminated. */
static struct str padded(const char *p, size_t n)
{
    return str_bytes(p, strnlen(p, n));
}

static bool is_alive(const char *root, uint32_t pid)
{
    char path[64];
    int n = snprintf(path, sizeof(path), "/proc/%u", pid);
    return n > 0 && src__exists(root, path);
}

/* A type no record has: the file holds something else. */
static bool is_record(const struct utmp *u)
{
    return u->ut_type >= EMPTY && u->ut_type <= ACCOUNTING;
}

static int add_login(struct collect_out *out, const struct login_facts *f)
{
    struct str key = arena_printf(out->arena, "%.*s %.*s", STR_FMT(f->user), STR_FMT(f->line));
    return collect_row(out, key, &login_record, f);
}

int logins__utmp(struct collect_out *out, const char *root, struct str bytes)
{
    int r = bytes.len % sizeof(struct utmp) ? collect__garbled(out, "utmp", "is not made of whole records") : 0;
    for (; r == 0 && bytes.len >= sizeof(struct utmp); bytes = str_sub(bytes, sizeof(struct utmp), bytes.len)) {
        struct utmp u;
        memcpy(&u, bytes.ptr, sizeof(u));
        if (!is_record(&u))
            return collect__garbled(out, "utmp", "holds what is no record of a login");
        struct login_facts f = {
            .user = padded(u.ut_user, sizeof(u.ut_user)),
            .line = padded(u.ut_line, sizeof(u.ut_line)),
            .host = padded(u.ut_host, sizeof(u.ut_host)),
            .pid = (uint32_t)u.ut_pid,
        };
        if (u.ut_type != USER_PROCESS || !f.user.len || u.ut_pid <= 0 || !is_alive(root, f.pid))
            continue; /* sessions that died without a word leave their record behind */
        if (u.ut_tv.tv_sec > 0)
            f.since = (usec_t)u.ut_tv.tv_sec * USEC_PER_SEC;
        r = add_login(out, &f);
    }
    return r;
}

/* -- logind's files: KEY=value lines */
struct session {
    char user[64], tty[64], host[256], kind[32], state[32];
    uint64_t since_us, leader;
};
static int on_session_line(void *ctx, struct str line)
{
    struct session *s = ctx;
    struct str key, value;
    if (!src__pair(line, '=', &key, &value))
        return 0;
    if (str_is(key, "USER"))
        str_copy(value, s->user, sizeof(s->user));
    else if (str_is(key, "TTY"))
        str_copy(value, s->tty, sizeof(s->tty));
    else if (str_is(key, "REMOTE_HOST"))
        str_copy(value, s->host, sizeof(s->host));
    else if (str_is(key, "CLASS"))
        str_copy(value, s->kind, sizeof(s->kind));
    else if (str_is(key, "STATE"))
        str_copy(value, s->state, sizeof(s->state));
    else if (str_is(key, "REALTIME"))
        (void)str_to_u64(value, &s->since_us);
    else if (str_is(key, "LEADER"))
        (void)str_to_u64(value, &s->leader);
    return 0;
}

struct walk {
    struct collect_out *out;
    const char *root;
};
static int on_session(void *ctx, const char *name)
{
    struct walk *w = ctx;
    char path[SRC_PATH_MAX];
    struct session s = { 0 };
    if (strchr(name, '.') || src__path(path, "", "/run/systemd/sessions/%s", name) < 0)
        return 0; /* N.ref is a pipe */
    int r = src__file_lines(w->root, path, on_session_line, &s);
    if (r < 0) /* a session may end while we look */
        return r == -ENOENT ? 0 : collect__failed(w->out, r, path);
    if (!s.user[0])
        return collect__garbled(w->out, path, "says of no user");
    if (strcmp(s.kind, "user") != 0 || strcmp(s.state, "closing") == 0)
        return 0;
    struct login_facts f = {
        .user = str_of(s.user),
        .line = s.tty[0] ? str_of(s.tty) : arena_printf(w->out->arena, "session %s", name),
        .host = str_of(s.host),
        .since = s.since_us - s.since_us % USEC_PER_SEC,
        .pid = s.leader <= UINT32_MAX ? (uint32_t)s.leader : 0,
    };
    return add_login(w->out, &f);
}

int logins__run(struct collect_out *out, const char *root)
{
    static const char *const paths[] = { "/run/utmp", "/var/run/utmp" };
    AUTO(buf_done) struct buf b = BUF(UTMP_MAX);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        char path[SRC_PATH_MAX];
        int r = src__path(path, root, "%s", paths[i]);
        if (r == 0)
            r = fd_read_file(path, &b);
        if (r == 0)
            return logins__utmp(out, root, buf_as_str(&b));
        if (r != -ENOENT)
            return collect__failed(out, r, paths[i]);
    }
    struct walk w = { out, root };
    int r = src__dir(root, "/run/systemd/sessions", on_session, &w);
    if (r == -ENOENT)
        return collect__missing(out, "neither utmp nor logind");
    return r < 0 ? collect__failed(out, r, "/run/systemd/sessions") : 0;
}
