/* agent/collect/os.c - what runs here: os-release(5), host name, time zone. One row "os". Three small reads. */
#include "agent/collect/source.h"

#include <errno.h>
#include <sys/utsname.h>

struct os_facts {
    struct str id, id_like, name, pretty_name, version, version_id, codename, variant, hostname, timezone, arch, container;
};
static const struct field os_fields[] = {
    F_STR(struct os_facts, hostname, "hostname", 255, .help = "Host name the kernel has."),
    F_STR(struct os_facts, id, "id", 64, .flags = FIELD_OMIT, .help = "Distribution, for scripts: debian."),
    F_STR(struct os_facts, id_like, "id_like", 128, .flags = FIELD_OMIT, .help = "Distributions it derives from."),
    F_STR(struct os_facts, name, "name", 128, .flags = FIELD_OMIT, .help = "Distribution, for people."),
    F_STR(struct os_facts, pretty_name, "pretty_name", 192, .flags = FIELD_OMIT, .help = "Name and version."),
    F_STR(struct os_facts, version, "version", 128, .flags = FIELD_OMIT, .help = "Version, for people."),
    F_STR(struct os_facts, version_id, "version_id", 64, .flags = FIELD_OMIT, .help = "Version, for scripts."),
    F_STR(struct os_facts, codename, "codename", 64, .flags = FIELD_OMIT, .help = "Code name of the release."),
    F_STR(struct os_facts, variant, "variant", 64, .flags = FIELD_OMIT, .help = "Variant of the distribution."),
    F_STR(struct os_facts, arch, "arch", 64, .flags = FIELD_OMIT, .help = "Machine architecture."),
    F_STR(struct os_facts, timezone, "timezone", 128, .flags = FIELD_OMIT, .help = "Time zone: Europe/Berlin."),
    F_STR(struct os_facts, container, "container", 64, .flags = FIELD_OMIT, .help = "Kind of container it runs in, if any."),
};
static const struct record os_record = RECORD(os_facts, os_fields);

/* Without its quotes; in double quotes a backslash keeps the next character as it is. */
static void unquote(struct str v, char *dst, size_t size)
{
    char quote = 0;
    if (v.len >= 2 && (v.ptr[0] == '"' || v.ptr[0] == '\'') && v.ptr[v.len - 1] == v.ptr[0]) {
        quote = v.ptr[0];
        v = str_sub(v, 1, v.len - 2);
    }
    size_t n = 0;
    for (size_t i = 0; i < v.len && n + 1 < size; i++) {
        if (v.ptr[i] == '\\' && quote != '\'' && i + 1 < v.len)
            i++;
        if (v.ptr[i] != '\0')
            dst[n++] = v.ptr[i];
    }
    dst[n] = '\0';
}

int os__line(void *ctx, struct str line)
{
    struct os_release *o = ctx;
    const struct {
        const char *key;
        char *dst;
        size_t size;
    } keys[] = {
        { "ID", o->id, sizeof(o->id) },
        { "ID_LIKE", o->id_like, sizeof(o->id_like) },
        { "NAME", o->name, sizeof(o->name) },
        { "PRETTY_NAME", o->pretty_name, sizeof(o->pretty_name) },
        { "VERSION", o->version, sizeof(o->version) },
        { "VERSION_ID", o->version_id, sizeof(o->version_id) },
        { "VERSION_CODENAME", o->codename, sizeof(o->codename) },
        { "VARIANT_ID", o->variant, sizeof(o->variant) },
    };
    struct str key, value;
    if (!src__pair(line, '=', &key, &value))
        return 0;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (str_is(key, keys[i].key))
            unquote(value, keys[i].dst, keys[i].size);
    return 0;
}

int os__release(const char *root, struct os_release *ret)
{
    *ret = (struct os_release){ 0 };
    int r = src__file_lines(root, "/etc/os-release", os__line, ret);
    return r == -ENOENT ? src__file_lines(root, "/usr/lib/os-release", os__line, ret) : r;
}

/* /etc/localtime -> ../usr/share/zoneinfo/Europe/Berlin; else Debian's /etc/timezone. */
static struct str timezone_of(struct arena *a, const char *root)
{
    struct str link = src__link(a, root, "/etc/localtime");
    ptrdiff_t at = str_find(link, STR("/zoneinfo/"));
    return at >= 0 ? str_sub(link, (size_t)at + sizeof("/zoneinfo/") - 1, link.len) : src__word(a, root, "/etc/timezone");
}

int os__run(struct collect_out *out, const char *root)
{
    struct os_release o;
    int r = os__release(root, &o);
    if (r < 0 && r != -ENOENT)
        return collect__failed(out, r, "os-release");
    if (r == 0 && !o.id[0] && !o.name[0] && !o.pretty_name[0])
        return collect__garbled(out, "os-release", "is there and names no system");

    struct utsname un = { 0 };
    uname(&un);
    struct os_facts f = {
        .id = str_of(o.id),
        .id_like = str_of(o.id_like),
        .name = str_of(o.name),
        .pretty_name = str_of(o.pretty_name),
        .version = str_of(o.version),
        .version_id = str_of(o.version_id),
        .codename = str_of(o.codename),
        .variant = str_of(o.variant),
        .hostname = src__word(out->arena, root, "/proc/sys/kernel/hostname"),
        .timezone = timezone_of(out->arena, root),
        .arch = str_of(un.machine),
        .container = src__word(out->arena, root, "/run/systemd/container"),
    };
    if (!f.hostname.len)
        f.hostname = str_of(un.nodename);
    if (!f.container.len && src__exists(root, "/.dockerenv"))
        f.container = STR("docker");
    if (!f.container.len && src__exists(root, "/run/.containerenv"))
        f.container = STR("podman");
    return collect_row(out, STR("os"), &os_record, &f);
}
