/* agent/collect/dmi.c - the machine as its firmware describes it: /sys/class/dmi/id, or the device tree. Row "dmi". A dozen
 * small reads, daily. */
#include "agent/collect/source.h"

struct dmi_facts {
    struct str vendor, product, version, serial, uuid, sku, family, board_vendor, board_name, board_version, board_serial,
        bios_vendor, bios_version, bios_date, chassis_vendor, chassis_type, chassis_serial, chassis_asset;
};
#define DMI(member, file, text) F_STR(struct dmi_facts, member, file, 128, .flags = FIELD_OMIT, .help = text)
/* The name is also the file's. */
static const struct field dmi_fields[] = {
    DMI(vendor, "sys_vendor", "Maker of the machine."),
    DMI(product, "product_name", "Model."),
    DMI(version, "product_version", "Version of the model."),
    DMI(serial, "product_serial", "Serial number (readable by root only)."),
    DMI(uuid, "product_uuid", "UUID of the machine (readable by root only)."),
    DMI(sku, "product_sku", "Stock number."),
    DMI(family, "product_family", "Family."),
    DMI(board_vendor, "board_vendor", "Maker of the board."),
    DMI(board_name, "board_name", "Board."),
    DMI(board_version, "board_version", "Version of the board."),
    DMI(board_serial, "board_serial", "Serial number of the board."),
    DMI(bios_vendor, "bios_vendor", "Maker of the firmware."),
    DMI(bios_version, "bios_version", "Version of the firmware."),
    DMI(bios_date, "bios_date", "Date of the firmware."),
    DMI(chassis_vendor, "chassis_vendor", "Maker of the case."),
    DMI(chassis_type, "chassis_type", "Type of the case, SMBIOS number."),
    DMI(chassis_serial, "chassis_serial", "Serial number of the case."),
    DMI(chassis_asset, "chassis_asset_tag", "Asset tag."),
};
static const struct record dmi_record = RECORD(dmi_facts, dmi_fields);

int dmi__run(struct collect_out *out, const char *root)
{
    static const char dir[] = "/sys/class/dmi/id";
    struct dmi_facts f = { 0 };
    bool has_dmi = src__exists(root, dir), has_any = false;
    if (has_dmi) {
        for (size_t i = 0; i < sizeof(dmi_fields) / sizeof(dmi_fields[0]); i++) {
            struct str *dst = (struct str *)(void *)((char *)&f + dmi_fields[i].offset);
            *dst = str_sub(src__word(out->arena, root, "/sys/class/dmi/id/%s", dmi_fields[i].name), 0, dmi_fields[i].max);
            has_any = has_any || dst->len > 0;
        }
    } else if (src__exists(root, "/proc/device-tree/model")) {
        f.product = src__word(out->arena, root, "/proc/device-tree/model");
        f.serial = src__word(out->arena, root, "/proc/device-tree/serial-number");
        has_any = f.product.len > 0;
    } else {
        return collect__missing(out, "neither DMI nor a device tree");
    }
    if (!has_any)
        return collect__garbled(out, has_dmi ? dir : "/proc/device-tree/model", "nothing in it can be read");
    return collect_row(out, STR("dmi"), &dmi_record, &f);
}
