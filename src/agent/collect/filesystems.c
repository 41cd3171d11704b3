/* agent/collect/filesystems.c - mounted file systems that hold data, from mountinfo; key = mount point. How full they are is the
 * heartbeat's affair. Size by statvfs(), never on a file system whose server may be gone: that call would hang.
 *
 * Left out: kernel and memory file systems, and the mounts of container engines, which come and go by the minute. */
#include "agent/collect/source.h"

#include <errno.h>
#include <sys/statvfs.h>

#include "base/vec.h"

struct fs_facts {
    struct str mountpoint, device, kind, options, subtree;
    uint64_t bytes;
    bool is_read_only, is_remote;
};
static const struct field fs_fields[] = {
    F_STR(struct fs_facts, mountpoint, "mountpoint", 1024, .help = "Where it is mounted."),
    F_STR(struct fs_facts, device, "device", 1024, .help = "What is mounted."),
    F_STR(struct fs_facts, kind, "type", 64, .help = "Type: ext4."),
    F_STR(struct fs_facts, options, "options", 512, .help = "Mount options."),
    F_STR(struct fs_facts, subtree, "subtree", 1024, .flags = FIELD_OMIT, .help = "Part of it that is mounted, if not all."),
    F_U64(struct fs_facts, bytes, "size_bytes", .flags = FIELD_OMIT, .help = "Size; not asked of remote ones."),
    F_BOOL(struct fs_facts, is_read_only, "read_only", .help = "Mounted read-only."),
    F_BOOL(struct fs_facts, is_remote, "remote", .flags = FIELD_OMIT, .help = "Served by another machine or a process."),
};
static const struct record fs_record = RECORD(fs_facts, fs_fields);

struct reading {
    struct collect_out *out;
    VEC(struct fs_facts) v;
    bool has_mount; /* wanted or not */
};
enum { MOUNTS_MAX = 20000 };

/* \040 and friends. */
static struct str unescape(struct collect_out *out, struct str s)
{
    struct str copy = collect__keep(out, s);
    char *dst = (char *)(uintptr_t)copy.ptr;
    size_t n = 0;
    for (size_t i = 0; i < copy.len; i++) {
        const char *p = copy.ptr + i;
        if (*p == '\\' && i + 3 < copy.len && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' &&
            p[3] <= '7') {
            dst[n++] = (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
            i += 3;
        } else {
            dst[n++] = *p;
        }
    }
    copy.len = n;
    return copy;
}

static bool is_one_of(struct str s, const char *const *list)
{
    for (; *list; list++)
        if (str_is(s, *list))
            return true;
    return false;
}

static bool is_remote(struct str kind)
{
    static const char *const kinds[] = { "nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "9p", "afs", "lustre",
                                         "glusterfs", "ocfs2", "gfs2", "ncpfs", "coda", "fuseblk", "fuse", NULL };
    return is_one_of(kind, kinds) || str_starts(kind, STR("fuse."));
}

static bool is_wanted(const struct fs_facts *f)
{
    static const char *const kinds[] = { "zfs", "btrfs", "bcachefs", "virtiofs", "ubifs", "jffs2", NULL };
    static const struct str noise[] = { STR("/var/lib/docker/"), STR("/var/lib/containers/"), STR("/var/lib/kubelet/"),
                                        STR("/var/lib/containerd/"), STR("/run/"), STR("/proc/"), STR("/sys/"), STR("/dev/") };
    if (str_is(f->mountpoint, "/"))
        return true;
    for (size_t i = 0; i < sizeof(noise) / sizeof(noise[0]); i++)
        if (str_starts(f->mountpoint, noise[i]))
            return false;
    if (str_is(f->kind, "fuse.gvfsd-fuse") || str_is(f->kind, "fuse.portal"))
        return false;
    return f->is_remote || is_one_of(f->kind, kinds) || str_starts(f->device, STR("/"));
}

/* id parent major:minor root mountpoint options [field ...] - type source superoptions    (proc(5)) */
static int on_line(void *ctx, struct str line)
{
    struct reading *rd = ctx;
    struct str id, parent, dev, subtree, mountpoint, options, word, kind, device, super;
    if (!str_word(&line, &id) || !str_word(&line, &parent) || !str_word(&line, &dev) || !str_word(&line, &subtree) ||
        !str_word(&line, &mountpoint) || !str_word(&line, &options))
        return 0;
    do {
        if (!str_word(&line, &word))
            return 0;
    } while (!str_is(word, "-"));
    if (!str_word(&line, &kind) || !str_word(&line, &device))
        return 0;
    if (!str_word(&line, &super))
        super = STR_NONE;

    struct fs_facts f = {
        .mountpoint = mountpoint,
        .device = device,
        .kind = kind,
        .is_remote = is_remote(kind),
        /* a mount is read-only when it is, or when what it shows is */
        .is_read_only = str_starts(options, STR("ro,")) || str_is(options, "ro") || str_starts(super, STR("ro,")) ||
                        str_is(super, "ro"),
    };
    rd->has_mount = true;
    if (!is_wanted(&f))
        return 0;
    f.mountpoint = unescape(rd->out, mountpoint);
    f.device = unescape(rd->out, device);
    f.kind = collect__keep(rd->out, kind);
    f.options = collect__keep(rd->out, str_sub(options, 0, 512));
    if (!str_is(subtree, "/"))
        f.subtree = unescape(rd->out, subtree);
    if (!f.mountpoint.ptr || !f.device.ptr || rd->v.n == MOUNTS_MAX) {
        rd->out->is_cut = true;
        return 1;
    }
    *vec_add(&rd->v) = f;
    return 0;
}

static uint64_t size_of(const char *root, const struct fs_facts *f)
{
    char path[SRC_PATH_MAX];
    struct statvfs st;
    /* ZFS counts what other datasets leave: that moves with every write */
    if (f->is_remote || str_is(f->kind, "zfs") || src__path(path, root, "%.*s", STR_FMT(f->mountpoint)) < 0 ||
        statvfs(path, &st) < 0)
        return 0;
    return (uint64_t)st.f_blocks * st.f_frsize;
}

int filesystems__run(struct collect_out *out, const char *root)
{
    struct reading rd = { .out = out };
    /* what init sees: our own view may be a service's private one */
    const char *path = "/proc/1/mountinfo";
    int r = src__file_lines(root, path, on_line, &rd);
    if (r == -ENOENT || r == -EACCES || r == -EPERM) {
        path = "/proc/self/mountinfo";
        r = src__file_lines(root, path, on_line, &rd);
    }
    if (r < 0)
        r = collect__failed(out, r, path);
    else if (!rd.has_mount)
        r = collect__garbled(out, path, "lists no mount");
    /* last first: what is mounted over something else hides it */
    for (size_t i = rd.v.n; r == 0 && i-- > 0;) {
        rd.v.v[i].bytes = size_of(root, &rd.v.v[i]);
        r = collect_row(out, rd.v.v[i].mountpoint, &fs_record, &rd.v.v[i]);
    }
    vec_done(&rd.v);
    return r;
}
