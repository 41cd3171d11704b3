/* agent/collect/kernel.c - the running kernel, one row "kernel". Five small reads. The command line is left out: it can carry
 * secrets. */
#include "agent/collect/source.h"

#include <errno.h>
#include <sys/utsname.h>

struct kernel_facts {
    struct str name, release, version, arch, boot_id;
    uint64_t tainted;
    bool is_modular;
};
static const struct field kernel_fields[] = {
    F_STR(struct kernel_facts, name, "name", 64, .help = "Linux."),
    F_STR(struct kernel_facts, release, "release", 128, .help = "Release: 6.1.0-18-amd64."),
    F_STR(struct kernel_facts, version, "version", 256, .flags = FIELD_OMIT, .help = "Build."),
    F_STR(struct kernel_facts, arch, "arch", 64, .help = "Machine architecture."),
    F_STR(struct kernel_facts, boot_id, "boot_id", 64, .flags = FIELD_OMIT, .help = "New at every boot."),
    F_U64(struct kernel_facts, tainted, "tainted", .help = "Taint bits; 0: none."),
    F_BOOL(struct kernel_facts, is_modular, "modular", .help = "Loads modules."),
};
static const struct record kernel_record = RECORD(kernel_facts, kernel_fields);

int kernel__run(struct collect_out *out, const char *root)
{
    struct utsname un = { 0 };
    uname(&un);
    struct arena *a = out->arena;
    uint64_t tainted = 0;
    int r = src__number_of(&tainted, root, "/proc/sys/kernel/tainted");
    if (r < 0 && r != -ENOENT)
        return collect__failed(out, r, "/proc/sys/kernel/tainted");
    struct kernel_facts f = {
        .name = src__word(a, root, "/proc/sys/kernel/ostype"),
        .release = src__word(a, root, "/proc/sys/kernel/osrelease"),
        .version = src__word(a, root, "/proc/sys/kernel/version"),
        .arch = str_of(un.machine),
        .boot_id = src__word(a, root, "/proc/sys/kernel/random/boot_id"),
        .tainted = tainted,
        .is_modular = src__exists(root, "/proc/modules"),
    };
    if (!f.name.len)
        f.name = str_of(un.sysname);
    if (!f.release.len)
        f.release = str_of(un.release);
    return collect_row(out, STR("kernel"), &kernel_record, &f);
}
