/* agent/collect/disks.c - block devices and their partitions from /sys/block; key = kernel name. About ten small reads a disk. */
#include "agent/collect/source.h"

#include <errno.h>
#include <stdio.h>

#include "base/limits.h"

struct disk_facts {
    struct str name, kind, parent, model, vendor, serial, wwid, mapper, backing_file;
    uint64_t bytes;
    bool is_rotational, is_removable, is_read_only;
};
static const struct field disk_fields[] = {
    F_STR(struct disk_facts, name, "name", 64, .help = "Kernel name."),
    F_STR(struct disk_facts, kind, "kind", 16, .help = "disk, partition, loop, mapper, raid."),
    F_U64(struct disk_facts, bytes, "size_bytes", .help = "Size."),
    F_STR(struct disk_facts, parent, "parent", 64, .flags = FIELD_OMIT, .help = "Disk of a partition."),
    F_STR(struct disk_facts, vendor, "vendor", 64, .flags = FIELD_OMIT, .help = "Maker."),
    F_STR(struct disk_facts, model, "model", 128, .flags = FIELD_OMIT, .help = "Model."),
    F_STR(struct disk_facts, serial, "serial", 128, .flags = FIELD_OMIT, .help = "Serial number."),
    F_STR(struct disk_facts, wwid, "wwid", 256, .flags = FIELD_OMIT, .help = "World-wide id."),
    F_STR(struct disk_facts, mapper, "mapper", 128, .flags = FIELD_OMIT, .help = "Name in the device mapper."),
    F_STR(struct disk_facts, backing_file, "backing_file", 1024, .flags = FIELD_OMIT, .help = "File behind a loop device."),
    F_BOOL(struct disk_facts, is_rotational, "rotational", .flags = FIELD_OMIT, .help = "Turning platters."),
    F_BOOL(struct disk_facts, is_removable, "removable", .flags = FIELD_OMIT, .help = "Removable medium."),
    F_BOOL(struct disk_facts, is_read_only, "read_only", .flags = FIELD_OMIT, .help = "Write-protected."),
};
static const struct record disk_record = RECORD(disk_facts, disk_fields);

enum { SECTOR = 512 }; /* of /sys/block/.../size, whatever the disk's own is */

struct walk {
    struct collect_out *out;
    const char *root, *disk;
};

/* A size nobody can read is not 0: the disk is there. One that went away while we looked is 0 to who asks. */
static int read_size(struct walk *w, const char *disk, const char *name, uint64_t *ret_sectors)
{
    int r = src__number_of(ret_sectors, w->root, "/sys/block/%s%s%s/size", disk, *name ? "/" : "", name);
    if (r == -ENOENT || r == -ENODEV)
        *ret_sectors = 0;
    else if (r < 0 || *ret_sectors > UINT64_MAX / SECTOR) {
        char why[96];
        (void)snprintf(why, sizeof(why), "the size of %.48s cannot be understood", *name ? name : disk);
        return collect__garbled(w->out, "/sys/block", why);
    }
    return 0;
}

static int on_partition(void *ctx, const char *name)
{
    struct walk *w = ctx;
    uint64_t sectors;
    if (!str_starts(str_of(name), str_of(w->disk)) ||
        !src__number(w->root, "/sys/block/%s/%s/partition", w->disk, name))
        return 0;
    int r = read_size(w, w->disk, name, &sectors);
    if (r < 0)
        return r;
    struct disk_facts f = {
        .name = str_of(name),
        .kind = STR("partition"),
        .parent = str_of(w->disk),
        .bytes = sectors * SECTOR,
        .is_read_only = src__number(w->root, "/sys/block/%s/%s/ro", w->disk, name) != 0,
    };
    return collect_row(w->out, f.name, &disk_record, &f);
}

static struct str first_of(struct str a, struct str b)
{
    return a.len ? a : b;
}

static int on_disk(void *ctx, const char *name)
{
    struct walk *w = ctx;
    uint64_t sectors;
    int r = read_size(w, name, "", &sectors);
    if (r < 0)
        return r;
    if (sectors == 0 || str_starts(str_of(name), STR("ram")))
        return 0; /* an empty drive or an unused loop device */

    struct arena *a = w->out->arena;
    const char *root = w->root;
    struct disk_facts f = {
        .name = str_of(name),
        .kind = STR("disk"),
        .bytes = sectors * SECTOR,
        .vendor = src__word(a, root, "/sys/block/%s/device/vendor", name),
        .model = src__word(a, root, "/sys/block/%s/device/model", name),
        .serial = first_of(src__word(a, root, "/sys/block/%s/serial", name),
                           src__word(a, root, "/sys/block/%s/device/serial", name)),
        .wwid = first_of(src__word(a, root, "/sys/block/%s/wwid", name),
                         src__word(a, root, "/sys/block/%s/device/wwid", name)),
        .mapper = src__word(a, root, "/sys/block/%s/dm/name", name),
        .backing_file = src__word(a, root, "/sys/block/%s/loop/backing_file", name),
        .is_rotational = src__number(root, "/sys/block/%s/queue/rotational", name) != 0,
        .is_removable = src__number(root, "/sys/block/%s/removable", name) != 0,
        .is_read_only = src__number(root, "/sys/block/%s/ro", name) != 0,
    };
    if (f.mapper.len)
        f.kind = STR("mapper");
    else if (str_starts(f.name, STR("loop")))
        f.kind = STR("loop");
    else if (str_starts(f.name, STR("md")))
        f.kind = STR("raid");
    r = collect_row(w->out, f.name, &disk_record, &f);
    if (r < 0)
        return r;

    char path[SRC_PATH_MAX];
    r = src__path(path, "", "/sys/block/%s", name);
    struct walk inside = { w->out, root, name };
    if (r == 0)
        r = src__dir(root, path, on_partition, &inside);
    return r == -ENOENT ? 0 : r;
}

int disks__run(struct collect_out *out, const char *root)
{
    struct walk w = { .out = out, .root = root };
    int r = src__dir(root, "/sys/block", on_disk, &w);
    if (r == -ENOENT)
        return collect__missing(out, "no /sys/block");
    return r < 0 ? collect__failed(out, r, "/sys/block") : 0;
}
