/* agent/collect/packages.c - installed packages: the dpkg status file parsed as a stream, rpm asked by a child (rpm.c).
 *
 * Key = dpkg's own name for it: "bash", "libc6:amd64". Cost: about 1.5 us a line kept; asked every minute by mtime only. */
#include "agent/collect/packages.h"

#include <errno.h>

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

/* "want flag status", as in "hold ok installed". */
static int end_paragraph(struct dpkg_reading *d)
{
    struct str status = str_of(d->status), want, flag, state;
    int r = 0;
    bool is_there = d->name[0] && str_word(&status, &want) && str_word(&status, &flag) && str_word(&status, &state) &&
                    !str_is(state, "not-installed") && !str_is(state, "config-files");
    if (is_there) {
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
    *d = (struct dpkg_reading){ .out = d->out };
    return r;
}

int dpkg__line(void *ctx, struct str line)
{
    struct dpkg_reading *d = ctx;
    if (line.len == 0)
        return end_paragraph(d);
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

int packages__run(struct collect_out *out, const char *root)
{
    struct dpkg_reading d = { .out = out };
    int r = src__file_lines(root, dpkg_status, dpkg__line, &d);
    if (r == 0)
        r = dpkg__end(&d);
    bool has_dpkg = r != -ENOENT;
    if (r < 0 && r != -ENOENT)
        return r == -ENOBUFS ? r : collect__failed(out, r, dpkg_status);

    if (rpm__database(root))
        return rpm__run(out, root);
    return has_dpkg ? 0 : collect__missing(out, "neither dpkg nor rpm");
}

bool packages__is_changed(void *state)
{
    struct collect_state *st = state;
    return src__changed(st, SECTION_PACKAGES, dpkg_status, rpm__database(st->root));
}
