/* agent/collect/services.c - systemd's services, sockets and timers, without asking systemd (no D-Bus, no child).
 *
 *   what there is      unit files in the five unit directories; links in *.wants and *.requires; what is active now
 *   active             /run/systemd/units/invocation:NAME is there from activation until the unit stopped
 *   running            its control group has a process
 *   enabled            a .wants or .requires directory under /etc or /run links it
 *
 * A unit that failed and one that was stopped look the same from here: both are "inactive". Cost: one read of each unit file
 * (about 200), 2-4 ms. */
#include "agent/collect/services.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/vec.h"

struct service_facts {
    struct str name, kind, state, enabled, description;
    bool is_running;
};
static const struct field service_fields[] = {
    F_STR(struct service_facts, name, "name", 256, .help = "Unit."),
    F_STR(struct service_facts, kind, "type", 16, .help = "service, socket, timer."),
    F_STR(struct service_facts, state, "state", 16, .help = "active or inactive."),
    F_BOOL(struct service_facts, is_running, "running", .help = "It has processes."),
    F_STR(struct service_facts, enabled, "enabled", 16, .help = "enabled, disabled, static, masked, transient, generated."),
    F_STR(struct service_facts, description, "description", 128, .flags = FIELD_OMIT, .help = "What it says it is."),
};
static const struct record service_record = RECORD(service_facts, service_fields);

enum { UNITS_MAX = 20000, UNIT_NAME_MAX = 256 };

struct unit {
    struct str name;
    uint8_t rank; /* of the directory its file is in; lower wins */
    bool has_file, has_install, is_masked, is_transient, is_generated, is_enabled, is_active;
    struct str description;
};
struct survey {
    struct collect_out *out;
    const char *root;
    VEC(struct unit) v; /* one per mention; merged after sorting */
    const char *dir;    /* being read, with its rank and kind */
    uint8_t rank;
    bool enables;       /* links below it enable */
};

/* In systemd's order of preference. */
static const char *const unit_dirs[] = {
    "/etc/systemd/system",          "/run/systemd/system",     "/run/systemd/transient", "/run/systemd/generator",
    "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
};

static struct str kind_of(struct str name)
{
    static const struct str kinds[] = { STR(".service"), STR(".socket"), STR(".timer") };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (str_ends(name, kinds[i]))
            return str_sub(kinds[i], 1, kinds[i].len);
    return STR_NONE;
}

static bool is_template(struct str name)
{
    ptrdiff_t at = str_find_char(name, '@');
    return at >= 0 && (size_t)at + 1 < name.len && name.ptr[at + 1] == '.';
}

int unit__line(void *ctx, struct str line)
{
    struct unit_file *u = ctx;
    struct str key, value;
    line = str_trim(line);
    if (line.len && line.ptr[0] == '[') {
        u->in_unit = str_is(line, "[Unit]");
        u->in_install = str_is(line, "[Install]");
    } else if ((u->in_install || u->in_unit) && line.len && line.ptr[0] != '#' && line.ptr[0] != ';' &&
               src__pair(line, '=', &key, &value)) {
        if (u->in_install)
            u->has_install = true;
        else if (str_is(key, "Description"))
            str_copy(str_sub(value, 0, sizeof(u->description) - 1), u->description, sizeof(u->description));
    }
    return 0;
}

static struct unit *add_unit(struct survey *s, struct str name)
{
    if (!kind_of(name).len || is_template(name) || name.len > UNIT_NAME_MAX)
        return NULL;
    if (s->v.n == UNITS_MAX) {
        s->out->is_cut = true;
        return NULL;
    }
    struct str copy = collect__keep(s->out, name);
    if (!copy.ptr)
        return NULL;
    struct unit *u = vec_add(&s->v);
    u->name = copy;
    u->rank = UINT8_MAX;
    return u;
}

static int on_link(void *ctx, const char *name)
{
    struct survey *s = ctx;
    struct unit *u = add_unit(s, str_of(name));
    if (u)
        u->is_enabled = true;
    return 0;
}

static int on_active(void *ctx, const char *name)
{
    struct survey *s = ctx;
    struct str n = str_of(name);
    if (!str_starts(n, STR("invocation:")))
        return 0;
    struct unit *u = add_unit(s, str_sub(n, sizeof("invocation:") - 1, n.len));
    if (u)
        u->is_active = true;
    return 0;
}

/* Reads the file of a unit, or what the link in its place means. */
static void read_unit(struct survey *s, const char *name)
{
    char path[SRC_PATH_MAX];
    struct str link = src__link(s->out->arena, s->root, "%s/%s", s->dir, name);
    bool is_masked = str_is(link, "/dev/null");
    /* a link to a unit of another name is an alias: the unit stands for itself */
    if (link.len && !is_masked && !str_is(src__base(link), name))
        return;
    struct unit *u = add_unit(s, str_of(name));
    if (!u || src__path(path, "", "%s/%s", s->dir, name) < 0)
        return;
    u->has_file = true;
    u->rank = s->rank;
    u->is_masked = is_masked;
    u->is_transient = strstr(s->dir, "transient") != NULL;
    u->is_generated = strstr(s->dir, "generator") != NULL;
    if (is_masked)
        return;
    struct unit_file f = { 0 };
    if (link.len && link.ptr[0] == '/') /* linked from elsewhere: absolute links need the root in front */
        src__path(path, "", "%.*s", STR_FMT(link));
    (void)src__file_lines(s->root, path, unit__line, &f);
    u->has_install = f.has_install;
    u->description = collect__keep(s->out, str_of(f.description));
}

/* Which of them there is differs from host to host; one that cannot be read is another thing: its units would be told as gone. */
static int read_dir(struct survey *s, const char *path, src_entry_fn fn)
{
    int r = src__dir(s->root, path, fn, s);
    bool is_none = r == -ENOENT || (r == -ENOTDIR && fn == on_link); /* a file called x.wants is nothing to systemd either */
    return r == 0 || is_none ? 0 : collect__failed(s->out, r, path);
}

static int on_unit(void *ctx, const char *name)
{
    struct survey *s = ctx;
    struct str n = str_of(name);
    if (str_ends(n, STR(".wants")) || str_ends(n, STR(".requires"))) {
        char path[SRC_PATH_MAX];
        if (s->enables && src__path(path, "", "%s/%s", s->dir, name) == 0)
            return read_dir(s, path, on_link);
    } else if (kind_of(n).len && !is_template(n)) {
        read_unit(s, name);
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct unit *x = a, *y = b;
    int r = str_cmp(x->name, y->name);
    return r ? r : (int)x->rank - (int)y->rank;
}

/* Instances ("getty@tty1.service") live one slice deeper than others. */
static bool has_processes(const char *root, struct str name)
{
    static const char *const trees[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified" };
    char path[SRC_PATH_MAX], slice[UNIT_NAME_MAX + 16] = "";
    ptrdiff_t at = str_find_char(name, '@');
    if (at > 0) {
        /* system-getty.slice; a dash of the prefix is written \x2d */
        size_t n = (size_t)snprintf(slice, sizeof(slice), "/system-");
        for (size_t i = 0; i < (size_t)at && n + 12 < sizeof(slice); i++)
            n += (size_t)snprintf(slice + n, sizeof(slice) - n, name.ptr[i] == '-' ? "\\x2d" : "%c", name.ptr[i]);
        snprintf(slice + n, sizeof(slice) - n, ".slice");
    }
    for (size_t i = 0; i < sizeof(trees) / sizeof(trees[0]); i++) {
        char byte;
        if (src__path(path, root, "%s/system.slice%s/%.*s/cgroup.procs", trees[i], slice, STR_FMT(name)) < 0)
            continue;
        AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
            return read(fd, &byte, 1) == 1;
    }
    return false;
}

/* A group with children keeps its processes in them (user@.service, containers): then "active" is all there is to say. */
static int add_rows(struct survey *s)
{
    int r = 0;
    qsort(s->v.v, s->v.n, sizeof(*s->v.v), by_name);
    for (size_t i = 0, next; r == 0 && i < s->v.n; i = next) {
        struct unit u = s->v.v[i]; /* the file that counts is first */
        for (next = i + 1; next < s->v.n && str_eq(s->v.v[next].name, u.name); next++) {
            u.is_enabled |= s->v.v[next].is_enabled;
            u.is_active |= s->v.v[next].is_active;
        }
        struct service_facts f = {
            .name = u.name,
            .kind = kind_of(u.name),
            .state = u.is_active ? STR("active") : STR("inactive"),
            .description = u.description,
            .is_running = u.is_active && has_processes(s->root, u.name),
            .enabled = u.is_masked      ? STR("masked")
                       : u.is_transient ? STR("transient")
                       : u.is_enabled   ? STR("enabled")
                       : u.is_generated ? STR("generated")
                       : u.has_install  ? STR("disabled")
                                        : STR("static"),
        };
        r = collect_row(s->out, f.name, &service_record, &f);
    }
    return r;
}

int services__run(struct collect_out *out, const char *root)
{
    if (!src__exists(root, "/run/systemd/system")) /* sd_booted(3) */
        return collect__missing(out, "systemd does not run here");

    struct survey s = { .out = out, .root = root };
    char lib[SRC_PATH_MAX], target[16];
    /* with a merged /usr the last two directories are one */
    bool is_merged = src__path(lib, root, "/lib") == 0 && readlink(lib, target, sizeof(target)) > 0;
    size_t n_dirs = sizeof(unit_dirs) / sizeof(unit_dirs[0]) - is_merged;
    int r = 0;
    for (size_t i = 0; r == 0 && i < n_dirs; i++) {
        s.dir = unit_dirs[i];
        s.rank = (uint8_t)i;
        s.enables = str_starts(str_of(s.dir), STR("/etc/")) || str_starts(str_of(s.dir), STR("/run/"));
        r = read_dir(&s, s.dir, on_unit);
    }
    if (r == 0)
        r = read_dir(&s, "/run/systemd/units", on_active);
    if (r == 0)
        r = s.v.n ? add_rows(&s) : collect__garbled(out, "/run/systemd/system", "systemd runs here, and no unit of it is found");
    vec_done(&s.v);
    return r;
}
