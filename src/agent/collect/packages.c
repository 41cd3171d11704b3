/* agent/collect/packages.c - installed packages: the dpkg status file parsed as a stream, rpm asked by a child (rpm.c).
 *
 * Key = dpkg's own name for it: "bash", "libc6:amd64". Cost: about 1.5 us a line kept; asked every minute by mtime only. */
#include "agent/collect/packages.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"

static const struct field package_fields[] = {
    F_STR(struct package_facts, name, "name", 128, .help = "Name."),
    F_STR(struct package_facts, version, "version", 128, .help = "Version."),
    F_STR(struct package_facts, arch, "arch", 32, .flags = FIELD_OMIT, .help = "Architecture."),
    F_STR(struct package_facts, source, "source", 128, .flags = FIELD_OMIT, .help = "Source package, if it has another name."),
    F_STR(struct package_facts, section, "section", 64, .flags = FIELD_OMIT, .help = "Section or group."),
    F_STR(struct package_facts, status, "status", 64, .flags = FIELD_OMIT, .help = "If anything but installed: half-installed."),
    F_BOOL(struct package_facts, is_held, "held", .flags = FIELD_OMIT, .help = "Kept at its version."),
    F_U64(struct package_facts, installed_bytes, "installed_bytes", .flags = FIELD_OMIT, .help = "Size on disk."),
    F_STR(struct package_facts, manager, "manager", 8, .help = "dpkg or rpm."),
};
const struct record package_record = RECORD(package_facts, package_fields);

static const char dpkg_status[] = "/var/lib/dpkg/status";

/* Copies what fits: names longer than the field are not packages. */
static void keep(char *dst, size_t size, struct str v)
{
    size_t n = v.len < size - 1 ? v.len : size - 1;
    if (n)
        memcpy(dst, v.ptr, n);
    dst[n] = '\0';
}

static int bad(struct dpkg_reading *d, const char *why)
{
    d->why = why;
    return -EBADMSG;
}

/* "want flag status", as in "hold ok installed". */
static int end_paragraph(struct dpkg_reading *d)
{
    struct str status = str_of(d->status), want, flag, state;
    int r = 0;
    if (!d->has_field)
        return 0;
    if (!d->name[0])
        return bad(d, "a paragraph has no Package");
    if (!str_word(&status, &want) || !str_word(&status, &flag) || !str_word(&status, &state))
        return bad(d, "a paragraph has no Status");
    if (str_is(state, "installed") && !d->version[0])
        return bad(d, "an installed package has no Version");
    if (!str_is(state, "not-installed") && !str_is(state, "config-files")) {
        struct package_facts f = {
            .name = str_of(d->name),
            .version = str_of(d->version),
            .arch = str_of(d->arch),
            .source = str_of(d->source),
            .section = str_of(d->section),
            .status = str_is(state, "installed") ? STR_NONE : state,
            .is_held = str_is(want, "hold"),
            .installed_bytes = d->installed_kib * 1024,
            .manager = STR("dpkg"),
        };
        char key[sizeof(d->name) + sizeof(d->arch) + 1];
        bool is_same = strcmp(d->multi_arch, "same") == 0;
        int n = snprintf(key, sizeof(key), "%s%s%s", d->name, is_same ? ":" : "", is_same ? d->arch : "");
        r = collect_row(d->out, str_bytes(key, (size_t)n), &package_record, &f);
    }
    *d = (struct dpkg_reading){ .out = d->out, .n_line = d->n_line };
    return r;
}

/* "Name:" in front, of visible characters. */
static bool is_field(struct str line)
{
    for (size_t i = 0; i < line.len; i++) {
        if (line.ptr[i] == ':')
            return i > 0;
        if (line.ptr[i] <= ' ' || line.ptr[i] > '~')
            return false;
    }
    return false;
}

int dpkg__line(void *ctx, struct str line)
{
    struct dpkg_reading *d = ctx;
    d->n_line++;
    if (line.len == 0)
        return end_paragraph(d);
    if (line.ptr[0] == ' ' || line.ptr[0] == '\t') /* of a field above */
        return d->has_field ? 0 : bad(d, "a paragraph begins in its middle");
    if (!is_field(line))
        return bad(d, "a line is no field");
    d->has_field = true;
    /* Most lines are continuations, file lists and dependencies: one look at the first byte sends them away. */
    struct str key, value;
    switch (line.ptr[0]) {
    case 'P':
    case 'S':
    case 'A':
    case 'V':
    case 'M':
    case 'I':
        if (!src__pair(line, ':', &key, &value))
            return 0;
        break;
    default:
        return 0;
    }
    if (str_is(key, "Package"))
        keep(d->name, sizeof(d->name), value);
    else if (str_is(key, "Status"))
        keep(d->status, sizeof(d->status), value);
    else if (str_is(key, "Section"))
        keep(d->section, sizeof(d->section), value);
    else if (str_is(key, "Source")) {
        struct str name = STR_NONE;
        str_word(&value, &name); /* a version in parentheses may follow */
        keep(d->source, sizeof(d->source), name);
    } else if (str_is(key, "Architecture"))
        keep(d->arch, sizeof(d->arch), value);
    else if (str_is(key, "Multi-Arch"))
        keep(d->multi_arch, sizeof(d->multi_arch), value);
    else if (str_is(key, "Version"))
        keep(d->version, sizeof(d->version), value);
    else if (str_is(key, "Installed-Size") && (str_to_u64(value, &d->installed_kib) < 0 || d->installed_kib > (1ull << 40)))
        d->installed_kib = 0;
    return 0;
}

int dpkg__end(struct dpkg_reading *d)
{
    return end_paragraph(d);
}

/* A file cut short would be told as so many packages removed. */
static bool ends_in_newline(const char *root)
{
    char path[SRC_PATH_MAX], last = '\n';
    if (src__path(path, root, "%s", dpkg_status) < 0)
        return false;
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 || lseek(fd, -1, SEEK_END) < 0 || read(fd, &last, 1) != 1 || last == '\n';
}

int packages__run(struct collect_out *out, const char *root)
{
    struct dpkg_reading d = { .out = out };
    int r = src__file_lines(root, dpkg_status, dpkg__line, &d);
    if (r == 0)
        r = dpkg__end(&d);
    if (r == 0 && d.n_line > 0 && !ends_in_newline(root))
        d.why = "it ends in the middle of a line";
    if (d.why) {
        char why[96];
        (void)snprintf(why, sizeof(why), "line %u: %s", d.n_line, d.why);
        return collect__garbled(out, dpkg_status, why);
    }
    if (r < 0 && r != -ENOENT)
        return collect__failed(out, r, dpkg_status);

    if (rpm__database(root)) /* beside it dpkg may be a mere tool that has nothing installed */
        return rpm__run(out, root);
    if (r == -ENOENT)
        return collect__missing(out, "neither dpkg nor rpm");
    /* a system has packages: an empty file is what a crash leaves */
    return d.n_line == 0 ? collect__garbled(out, dpkg_status, "is empty") : 0;
}

bool packages__is_changed(void *state)
{
    struct collect_state *st = state;
    return src__changed(st, SECTION_PACKAGES, dpkg_status, rpm__database(st->root));
}
