/* agent/collect/gpus.c - display controllers (PCI class 03) and accelerators the kernel shows as DRM cards. Key = PCI slot, or
 * the card's name where there is no PCI. A read per PCI device, daily. */
#include "agent/collect/gpus.h"

#include <errno.h>

struct gpu_facts {
    struct str slot, vendor, vendor_id, device_id, subsystem_id, driver, model, uuid, firmware;
    uint64_t vram_bytes;
};
static const struct field gpu_fields[] = {
    F_STR(struct gpu_facts, slot, "slot", 64, .help = "PCI slot or card."),
    F_STR(struct gpu_facts, vendor, "vendor", 64, .flags = FIELD_OMIT, .help = "Maker."),
    F_STR(struct gpu_facts, vendor_id, "vendor_id", 16, .flags = FIELD_OMIT, .help = "PCI vendor."),
    F_STR(struct gpu_facts, device_id, "device_id", 16, .flags = FIELD_OMIT, .help = "PCI device."),
    F_STR(struct gpu_facts, subsystem_id, "subsystem_id", 32, .flags = FIELD_OMIT, .help = "PCI subsystem vendor:device."),
    F_STR(struct gpu_facts, model, "model", 128, .flags = FIELD_OMIT, .help = "Model, where the driver says."),
    F_STR(struct gpu_facts, uuid, "uuid", 64, .flags = FIELD_OMIT, .help = "UUID, where the driver says."),
    F_STR(struct gpu_facts, firmware, "firmware", 64, .flags = FIELD_OMIT, .help = "Video BIOS, where the driver says."),
    F_STR(struct gpu_facts, driver, "driver", 64, .flags = FIELD_OMIT, .help = "Kernel driver."),
    F_U64(struct gpu_facts, vram_bytes, "vram_bytes", .flags = FIELD_OMIT, .help = "Memory, where the driver says."),
};
static const struct record gpu_record = RECORD(gpu_facts, gpu_fields);

struct walk {
    struct collect_out *out;
    const char *root;
};

int gpus__nvidia_line(void *ctx, struct str line)
{
    struct nvidia_info *n = ctx;
    struct str key, value;
    if (!src__pair(line, ':', &key, &value))
        return 0;
    if (str_is(key, "Model"))
        str_copy(str_sub(value, 0, sizeof(n->model) - 1), n->model, sizeof(n->model));
    else if (str_is(key, "GPU UUID"))
        str_copy(str_sub(value, 0, sizeof(n->uuid) - 1), n->uuid, sizeof(n->uuid));
    else if (str_is(key, "Video BIOS"))
        str_copy(str_sub(value, 0, sizeof(n->firmware) - 1), n->firmware, sizeof(n->firmware));
    return 0;
}

static struct str vendor_name(struct str id)
{
    static const struct {
        const char *id, *name;
    } vendors[] = { { "0x10de", "NVIDIA" }, { "0x1002", "AMD" },        { "0x8086", "Intel" },  { "0x1a03", "ASPEED" },
                    { "0x102b", "Matrox" }, { "0x1af4", "Red Hat" },    { "0x1b36", "Red Hat" }, { "0x15ad", "VMware" },
                    { "0x1234", "QEMU" },   { "0x1414", "Microsoft" } };
    for (size_t i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++)
        if (str_is(id, vendors[i].id))
            return str_of(vendors[i].name);
    return STR_NONE;
}

static int on_pci(void *ctx, const char *slot)
{
    struct walk *w = ctx;
    struct arena *a = w->out->arena;
    const char *root = w->root;
    char path[SRC_PATH_MAX];
    struct str kind = src__word(a, root, "/sys/bus/pci/devices/%s/class", slot);
    if (!str_starts(kind, STR("0x")) && src__path(path, "", "/sys/bus/pci/devices/%s/class", slot) == 0 && src__exists(root, path))
        return collect__garbled(w->out, path, "is no class of a device");
    if (!str_starts(kind, STR("0x03")))
        return 0;

    struct nvidia_info nv = { 0 };
    if (src__path(path, "", "/proc/driver/nvidia/gpus/%s/information", slot) == 0)
        (void)src__file_lines(root, path, gpus__nvidia_line, &nv);
    struct gpu_facts f = {
        .slot = str_of(slot),
        .vendor_id = src__word(a, root, "/sys/bus/pci/devices/%s/vendor", slot),
        .device_id = src__word(a, root, "/sys/bus/pci/devices/%s/device", slot),
        .driver = src__base(src__link(a, root, "/sys/bus/pci/devices/%s/driver", slot)),
        .vram_bytes = src__number(root, "/sys/bus/pci/devices/%s/mem_info_vram_total", slot), /* amdgpu */
        .model = str_of(nv.model),
        .uuid = str_of(nv.uuid),
        .firmware = str_of(nv.firmware),
    };
    struct str sub_vendor = src__word(a, root, "/sys/bus/pci/devices/%s/subsystem_vendor", slot),
               sub_device = src__word(a, root, "/sys/bus/pci/devices/%s/subsystem_device", slot);
    if (sub_vendor.len && sub_device.len)
        f.subsystem_id = arena_printf(a, "%.*s:%.*s", STR_FMT(sub_vendor), STR_FMT(sub_device));
    f.vendor = vendor_name(f.vendor_id);
    return collect_row(w->out, f.slot, &gpu_record, &f);
}

/* cardN without a PCI device: a system-on-chip. cardN-HDMI-A-1 is a plug. */
static int on_card(void *ctx, const char *name)
{
    struct walk *w = ctx;
    struct arena *a = w->out->arena;
    if (!str_starts(str_of(name), STR("card")) || strchr(name, '-') ||
        str_is(src__base(src__link(a, w->root, "/sys/class/drm/%s/device/subsystem", name)), "pci"))
        return 0;
    struct gpu_facts f = {
        .slot = str_of(name),
        .driver = src__base(src__link(a, w->root, "/sys/class/drm/%s/device/driver", name)),
    };
    return collect_row(w->out, f.slot, &gpu_record, &f);
}

int gpus__run(struct collect_out *out, const char *root)
{
    struct walk w = { out, root };
    int pci = src__dir(root, "/sys/bus/pci/devices", on_pci, &w);
    int drm = src__dir(root, "/sys/class/drm", on_card, &w);
    if (pci == -ENOENT && drm == -ENOENT)
        return collect__missing(out, "no PCI bus and no display");
    if (pci < 0 && pci != -ENOENT)
        return collect__failed(out, pci, "/sys/bus/pci/devices");
    return drm < 0 && drm != -ENOENT ? collect__failed(out, drm, "/sys/class/drm") : 0;
}
